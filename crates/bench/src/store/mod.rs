//! A run on disk: finished cells, and what each process did.
//!
//! ```text
//! RUN/plan.toml                      the plan as it was written
//! RUN/cells/<key>/cell.json          what the cell is, and the blake3 of each of its files
//! RUN/cells/<key>/...                the files
//! RUN/ledger/<pid>-<nonce>.jsonl     one line per event, one file per process; timings are here only
//! RUN/.tmp-<pid>-<nonce>/            unfinished cells of a living process
//! RUN/broken/<key>-<pid>-<n>/        the second content of a key, if there ever is one
//! ```
//!
//! The files are the truth; there is no index that could disagree with them. A cell is written to
//! a temporary folder, synced, and renamed into place, and a rename either happened or did not: a
//! kill at any moment loses at most the cells that were not finished. Any number of processes may
//! work in one folder. They share nothing but the renames: two that compute the same cell find
//! equal content, and if the content differs that is the error `bits broken`, the one promise that
//! this project makes.
//!
//! A living process holds a lock on its temporary folder, so the folders of dead ones are known
//! without asking for process ids, which repeat and mean nothing on the next machine of a cluster.
//!
//! ```
//! use flyroom_bench::{CellSpec, Plan, Store};
//! let dir = tempfile::tempdir()?;
//! let plan = Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml")?;
//! let store = Store::open(&dir.path().join("run"), &plan)?;
//! let spec = CellSpec::new("specimen", "o", 1).seed(0);
//! assert!(store.get(&spec.key())?.is_none());
//! let cell = store.put(&spec, |folder| Ok(std::fs::write(folder.join("loss.json"), "0.5")?))?;
//! assert_eq!(cell.read("loss.json")?, b"0.5");
//! assert!(store.get(&spec.key())?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cell;
mod error;
mod ledger;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub use cell::Cell;
pub use error::{BitsBroken, StoreError};
pub use ledger::{Event, LedgerEntry};

use crate::key::{CellSpec, Key};
use crate::plan::Plan;
use crate::{Fault, clock};
use session::Session;

/// The schema of the files that this module writes.
pub const SCHEMA: u32 = 1;

/// A run directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Absent where the run is only looked at.
    session: Option<Session>,
}

impl Store {
    /// Opens a run for work: creates it, or continues one of the same plan. Folders that dead
    /// processes left unfinished are removed.
    ///
    /// # Errors
    /// If the directory holds a run of another plan, or cannot be written.
    pub fn open(root: &Path, plan: &Plan) -> Result<Self, StoreError> {
        for folder in [root.to_path_buf(), root.join("cells"), root.join("ledger")] {
            fs::create_dir_all(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        }
        session::clean(root);
        let session = Session::start(root)?;
        let store = Self { root: root.to_path_buf(), session: Some(session) };
        store.claim(plan)?;
        Ok(store)
    }

    /// Opens a run to look at: writes nothing, not even a ledger.
    ///
    /// # Errors
    /// If there is no run.
    pub fn view(root: &Path) -> Result<Self, StoreError> {
        if !root.join("plan.toml").is_file() || !root.join("cells").is_dir() {
            return Err(StoreError::NotARun { root: root.to_path_buf() });
        }
        Ok(Self { root: root.to_path_buf(), session: None })
    }

    /// The folder of the run.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The plan as it was written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn plan_text(&self) -> Result<String, StoreError> {
        let path = self.root.join("plan.toml");
        fs::read_to_string(&path).map_err(|e| StoreError::io("read", &path, e))
    }

    /// Makes the run one of this plan, or checks that it is.
    fn claim(&self, plan: &Plan) -> Result<(), StoreError> {
        let path = self.root.join("plan.toml");
        let same = |text: &str| {
            Plan::parse_form(text, "plan.toml").is_ok_and(|p| p.canonical() == plan.canonical())
        };
        let other = || StoreError::OtherPlan { root: self.root.clone() };
        match fs::read_to_string(&path) {
            Ok(text) if same(&text) => return Ok(()),
            Ok(_) => return Err(other()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io("read", &path, e)),
        }
        // Two processes may start at once: a hard link is made by one of them, whole.
        let session = self.session()?;
        let folder = session.folder()?;
        let temporary = folder.join("plan.toml");
        let written = write_synced(&temporary, plan.text.as_bytes()).and_then(|()| {
            fs::hard_link(&temporary, &path).or_else(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                // A file system without hard links: rename, and the check below finds a rival.
                _ => fs::rename(&temporary, &path),
            })
        });
        let _ = fs::remove_dir_all(&folder);
        written.map_err(|e| StoreError::io("write", &path, e))?;
        sync_folder(&self.root);
        if same(&self.plan_text()?) { Ok(()) } else { Err(other()) }
    }

    fn session(&self) -> Result<&Session, StoreError> {
        self.session.as_ref().ok_or_else(|| StoreError::ViewOnly { root: self.root.clone() })
    }

    /// Where a cell lies or will lie.
    pub fn folder_of(&self, key: &Key) -> PathBuf {
        self.root.join("cells").join(key.as_str())
    }

    /// Whether a cell is there; says nothing about its health.
    pub fn contains(&self, key: &Key) -> bool {
        self.folder_of(key).is_dir()
    }

    /// The keys of all finished cells, ascending.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn keys(&self) -> Result<BTreeSet<Key>, StoreError> {
        let folder = self.root.join("cells");
        let entries = fs::read_dir(&folder).map_err(|e| StoreError::io("list", &folder, e))?;
        Ok(entries.flatten().filter_map(|entry| Key::parse(entry.file_name().to_str()?)).collect())
    }

    /// A finished cell, every file of it checked against its hash; `None` if it is not there.
    ///
    /// # Errors
    /// If the cell is damaged: the message names the file and the way out.
    pub fn get(&self, key: &Key) -> Result<Option<Cell>, StoreError> {
        let folder = self.folder_of(key);
        match fs::symlink_metadata(&folder) {
            Ok(_) => Cell::load(&folder, key).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &folder, e)),
        }
    }

    /// Keeps a cell: `write` fills an empty folder with files (subfolders are allowed, links are
    /// not), which then becomes the cell. If the key is there already, the two contents must be
    /// equal.
    ///
    /// # Errors
    /// Of `write`; of the disk; `bits broken` if the key has other content.
    pub fn put(
        &self,
        spec: &CellSpec,
        write: impl FnOnce(&Path) -> Result<(), Fault>,
    ) -> Result<Cell, StoreError> {
        let key = spec.key();
        let folder = self.session()?.folder()?;
        let kept = write(&folder)
            .map_err(|source| StoreError::from_fault(&key, &folder, source))
            .and_then(|()| Cell::seal(&folder, spec))
            .and_then(|cell| self.publish(&folder, cell));
        if kept.is_err() {
            // Best effort: what stays is removed when the run is next opened.
            let _ = fs::remove_dir_all(&folder);
        }
        kept
    }

    fn publish(&self, folder: &Path, cell: Cell) -> Result<Cell, StoreError> {
        let key = cell.key.clone();
        let place = self.folder_of(&key);
        // A rename onto a folder that is not empty fails, so a finished cell is never replaced.
        match fs::rename(folder, &place) {
            Ok(()) => {
                sync_folder(&self.root.join("cells"));
                Ok(Cell { folder: place, ..cell })
            }
            Err(_) if place.is_dir() => {
                let there = Cell::load(&place, &key)?;
                if there.files == cell.files {
                    let _ = fs::remove_dir_all(folder);
                    return Ok(there);
                }
                Err(self.bits_broken(folder, &there, &cell))
            }
            Err(e) => Err(StoreError::io("create", &place, e)),
        }
    }

    /// Keeps both contents, so that they can be compared.
    fn bits_broken(&self, folder: &Path, there: &Cell, new: &Cell) -> StoreError {
        let differs = |name: &&String| there.files.get(*name) != new.files.get(*name);
        let names = there.files.keys().chain(new.files.keys());
        let file = names.filter(differs).min().cloned().unwrap_or_default();
        let hash = |cell: &Cell| {
            cell.files.get(&file).map_or_else(|| "absent".to_owned(), |h| h[..12].to_owned())
        };
        let broken = self.root.join("broken");
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or("0");
        let id = self.session.as_ref().map_or("view", Session::id);
        let mut kept = broken.join(format!("{}-{id}-{name}", new.key.short()));
        if fs::create_dir_all(&broken).and_then(|()| fs::rename(folder, &kept)).is_err() {
            kept = PathBuf::from("(could not be kept)");
        }
        StoreError::BitsBroken(Box::new(BitsBroken {
            key: new.key.clone(),
            hash_there: hash(there),
            hash_new: hash(new),
            file,
            there: there.folder.clone(),
            new: kept,
        }))
    }

    /// Adds a line to this process's ledger.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&self, event: Event) -> Result<(), StoreError> {
        self.session()?.record(&LedgerEntry { at_unix_ms: clock::unix_ms(), event })
    }

    /// What all processes did: by ledger file, then in order. A torn last line is left out.
    ///
    /// # Errors
    /// If a ledger cannot be read or is damaged before its last line.
    pub fn ledger(&self) -> Result<Vec<LedgerEntry>, StoreError> {
        ledger::read_all(&self.root.join("ledger"))
    }
}

/// Writes a file and waits until the disk has it.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the disk has the names in a folder. Best effort: some systems cannot open folders.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}
