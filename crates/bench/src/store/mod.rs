//! A run on disk: finished cells, and what each process did.
//!
//! ```text
//! RUN/plan.toml                      the plan as it was written
//! RUN/cells/<key>/cell.json          what the cell is, and the blake3 of each of its files
//! RUN/cells/<key>/...                the files
//! RUN/ledger/<pid>-<nonce>.jsonl     one line per event, one file per process; timings are here only
//! RUN/.tmp-<pid>-<nonce>/            unfinished cells of a living process
//! RUN/broken/<key>-<pid>-<n>/        the second content of a key, if there ever is one
//! RUN/claims/<key>                   locked by the process that computes the cell
//! RUN/index.json                     which files were verified when; may be deleted at any time
//! ```
//!
//! The files are the truth; the index only says which of them need not be hashed once more. A cell is written to
//! a temporary folder, synced, and renamed into place, and a rename either happened or did not: a
//! kill at any moment loses at most the cells that were not finished. Any number of processes may
//! work in one folder. They divide the work by claims, which die with their process, and rely on
//! nothing but the renames: two that compute the same cell find equal content, and if the content
//! differs that is the error `bits broken`, the one promise that this project makes. A key with two
//! contents is no result until somebody has decided: [`Store::get`] refuses it.
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
mod claim;
mod disk;
mod error;
mod garbage;
mod index;
mod ledger;
mod merge;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use cell::Cell;
pub use claim::Claim;
pub use disk::{Disk, Trouble};
pub use error::{BitsBroken, StoreError};
pub use garbage::{Garbage, Keep, Removed};
pub use ledger::{Event, LedgerEntry};
pub use merge::Merged;

use crate::key::{CellSpec, Key};
use crate::plan::Plan;
use crate::{Fault, clock};
use cell::{Loaded, Seen};
use index::Index;
use session::Session;

/// The schema of the files that this module writes.
pub const SCHEMA: u32 = 1;

/// A run directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Absent where the run is only looked at.
    session: Option<Session>,
    disk: Disk,
    index: Index,
    /// Cells of which this process hashed every file.
    hashed: Mutex<BTreeSet<Key>>,
    remarks: Vec<String>,
}

impl Store {
    /// Opens a run for work: creates it, or continues one of the same plan. Folders that dead
    /// processes left unfinished are removed.
    ///
    /// # Errors
    /// If the directory holds a run of another plan, or cannot be written.
    pub fn open(root: &Path, plan: &Plan) -> Result<Self, StoreError> {
        Self::open_on(root, plan, Disk::default())
    }

    /// The same, on a disk that may fail.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(root: &Path, plan: &Plan, disk: Disk) -> Result<Self, StoreError> {
        for folder in [root.to_path_buf(), root.join("cells"), root.join("ledger")] {
            disk.create_folders(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        }
        session::clean(root);
        let session = Session::start(root, &disk)?;
        let store = Self::new(root, Some(session), disk);
        store.keep_plan(plan)?;
        Ok(store)
    }

    fn new(root: &Path, session: Option<Session>, disk: Disk) -> Self {
        let (index, remark) = Index::load(root);
        let remarks = remark.into_iter().collect();
        let root = root.to_path_buf();
        Self { root, session, disk, index, hashed: Mutex::default(), remarks }
    }

    /// Opens a run to look at: writes nothing, not even a ledger.
    ///
    /// # Errors
    /// If there is no run.
    pub fn view(root: &Path) -> Result<Self, StoreError> {
        if !root.join("plan.toml").is_file() || !root.join("cells").is_dir() {
            return Err(StoreError::NotARun { root: root.to_path_buf() });
        }
        Ok(Self::new(root, None, Disk::default()))
    }

    /// What people may want to know of how the run was found.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
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
    fn keep_plan(&self, plan: &Plan) -> Result<(), StoreError> {
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
        let written = self.disk.write(&temporary, plan.text.as_bytes()).and_then(|()| {
            self.disk.hard_link(&temporary, &path).or_else(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                // A file system without hard links: rename, and the check below finds a rival.
                _ => self.disk.rename(&temporary, &path),
            })
        });
        let _ = self.disk.remove_all(&folder);
        written.map_err(|e| StoreError::io("write", &path, e))?;
        self.disk.sync_folder(&self.root);
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

    /// A finished cell, every file of it checked: against its hash, or against size and times where
    /// the index knows that they belong to that hash; `None` if it is not there.
    ///
    /// # Errors
    /// If the cell is damaged or has two contents: the message names the file and the way out.
    pub fn get(&self, key: &Key) -> Result<Option<Cell>, StoreError> {
        let folder = self.folder_of(key);
        match fs::symlink_metadata(&folder) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("read", &folder, e)),
        }
        if let Some(other) = self.other_content(key) {
            return Err(StoreError::Disputed { key: key.clone(), there: folder, other });
        }
        let Loaded { cell, seen } = Cell::load(&folder, key, self.index.of(key).as_ref())?;
        self.note(key, seen);
        Ok(Some(cell))
    }

    /// Hashes every file of a cell, whatever the index knows, unless this process did before: for
    /// everything from which a result is made.
    ///
    /// # Errors
    /// If the cell is damaged.
    pub fn verify(&self, cell: &Cell) -> Result<(), StoreError> {
        let hashed = || self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if hashed().contains(&cell.key) {
            return Ok(());
        }
        let loaded = Cell::load(&cell.folder, &cell.key, None)?;
        self.note(&cell.key, loaded.seen);
        Ok(())
    }

    /// Remembers how a cell was looked at.
    fn note(&self, key: &Key, seen: Seen) {
        if seen.trusted {
            return;
        }
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        if !seen.unsettled && self.index.remember(key, seen.stamps) {
            self.save_index();
        }
    }

    /// Best effort: an index that is not written costs time and nothing else.
    fn save_index(&self) {
        let Some(session) = &self.session else { return };
        let Some(bytes) = self.index.unsaved(|key| self.contains(key)) else { return };
        let Ok(folder) = session.folder() else { return };
        let temporary = folder.join(index::FILE);
        let _ = self
            .disk
            .write(&temporary, &bytes)
            .and_then(|()| self.disk.rename(&temporary, self.index.path()));
        let _ = self.disk.remove_all(&folder);
    }

    /// The second content of a key, if there is one.
    fn other_content(&self, key: &Key) -> Option<PathBuf> {
        let listing = fs::read_dir(self.root.join("broken")).ok()?;
        let of_key = |name: &str| name.starts_with(key.as_str());
        let names = listing.flatten().filter(|e| e.file_name().to_str().is_some_and(of_key));
        names.map(|e| e.path()).min()
    }

    /// Whether a key has two contents.
    pub fn is_disputed(&self, key: &Key) -> bool {
        self.other_content(key).is_some()
    }

    /// The right to compute a cell: `None` if another process has it.
    ///
    /// # Errors
    /// If the claim cannot be written.
    pub fn claim(&self, key: &Key) -> Result<Option<Claim>, StoreError> {
        self.session()?;
        Claim::take(&self.root, key, &self.disk)
    }

    /// Whether a living process computes a cell.
    pub fn is_claimed(&self, key: &Key) -> bool {
        Claim::is_taken(&self.root, key)
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
            .and_then(|()| Cell::seal(&folder, spec, &self.disk))
            .and_then(|sealed| self.publish(&folder, sealed));
        if kept.is_err() {
            // Best effort: what stays is removed when the run is next opened.
            let _ = self.disk.remove_all(&folder);
        }
        kept
    }

    fn publish(&self, folder: &Path, sealed: Loaded) -> Result<Cell, StoreError> {
        let Loaded { cell, seen } = sealed;
        let key = cell.key.clone();
        let place = self.folder_of(&key);
        // A rename onto a folder that is not empty fails, so a finished cell is never replaced.
        match self.disk.rename(folder, &place) {
            Ok(()) => {
                self.disk.sync_folder(&self.root.join("cells"));
                self.note(&key, seen);
                Ok(Cell { folder: place, ..cell })
            }
            Err(_) if place.is_dir() => {
                let there = Cell::load(&place, &key, None)?.cell;
                if there.files == cell.files {
                    let _ = self.disk.remove_all(folder);
                    return Ok(there);
                }
                // A program of somebody else promises no bits: its first answer counts, and that
                // there was another is said.
                if there.is_foreign() {
                    let _ = self.disk.remove_all(folder);
                    let text = format!(
                        "machine-dependent: {} {} was answered a second time with other content; \
                         the first answer counts",
                        there.spec.kind,
                        key.short()
                    );
                    let _ = self.record(Event::Note { text });
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
        let mut kept = broken.join(format!("{}-{id}-{name}", new.key));
        let disk = &self.disk;
        if disk.create_folders(&broken).and_then(|()| disk.rename(folder, &kept)).is_err() {
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

impl Drop for Store {
    fn drop(&mut self) {
        self.save_index();
    }
}
