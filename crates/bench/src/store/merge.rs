//! Runs of one plan from several machines, brought together.
//!
//! A cell that both have must be equal, file for file; if it is not, both contents are kept and the
//! key is no result until somebody has decided. What is taken over is hashed on the way in and
//! again where it lies. Nothing in the run that is taken from changes.

use std::fs;
use std::path::Path;

use super::cell::Loaded;
use super::{Cell, Store, StoreError};
use crate::foreign::INPUTS;
use crate::key::Key;
use crate::plan::Plan;

/// What came of taking one run into another.
#[derive(Debug, Default)]
pub struct Merged {
    /// Cells that were taken over.
    pub taken: usize,
    /// Cells that both had, equal.
    pub equal: usize,
    /// Cells of other people's programs that have another content there: the first answer counts.
    pub second_answers: usize,
    /// Cells and truths with two contents, and how to go on.
    pub broken: Vec<String>,
    /// Cells that were left out because they are damaged, and how to go on.
    pub damaged: Vec<String>,
    /// Ledgers that were taken over.
    pub ledgers: usize,
}

impl Store {
    /// Takes in the cells, truths and ledgers of another run of the same plan.
    ///
    /// # Errors
    /// If the other folder is no run, or one of another plan, or the disk fails.
    pub fn take_in(&self, from: &Path) -> Result<Merged, StoreError> {
        let other = Self::view(from)?;
        let form = |text: &str| Plan::parse_form(text, "plan.toml").ok().map(|p| p.canonical());
        let plans = [form(&self.plan_text()?), form(&other.plan_text()?)];
        if plans[0].is_none() || plans[0] != plans[1] {
            return Err(StoreError::OtherPlan { root: from.to_path_buf() });
        }
        let same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        let mut merged = Merged::default();
        if same(&self.root, from) {
            return Ok(merged);
        }
        // Truths first: a cell of a specimen never lies without one.
        self.take_truths(from, &mut merged)?;
        self.take_inputs(from)?;
        for key in other.keys()? {
            match Cell::load(&other.folder_of(&key), &key, None) {
                Ok(Loaded { cell, .. }) => self.take_cell(&cell, &mut merged)?,
                Err(e) => merged.damaged.push(e.to_string()),
            }
        }
        self.take_second_contents(from, &mut merged)?;
        self.take_ledgers(from, &mut merged)?;
        Ok(merged)
    }

    fn take_cell(&self, cell: &Cell, merged: &mut Merged) -> Result<(), StoreError> {
        let place = self.folder_of(&cell.key);
        if place.is_dir() {
            match Cell::load(&place, &cell.key, None) {
                Ok(there) if there.cell.files == cell.files => {
                    merged.equal += 1;
                    return Ok(());
                }
                Ok(_) if self.has_second(cell) => return Ok(()),
                Ok(_) => {}
                Err(e) => {
                    merged.damaged.push(e.to_string());
                    return Ok(());
                }
            }
        }
        let folder = self.session()?.folder()?;
        let copied = self
            .copy(&cell.folder, &folder)
            .and_then(|()| Cell::load(&folder, &cell.key, None))
            .and_then(|copy| self.publish(&folder, copy));
        match copied {
            Ok(there) if there.files != cell.files => merged.second_answers += 1,
            Ok(_) => merged.taken += 1,
            Err(e @ StoreError::BitsBroken(_)) => merged.broken.push(e.to_string()),
            Err(e) => {
                let _ = self.disk.remove_all(&folder);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Whether just this content was kept as a second one before.
    fn has_second(&self, cell: &Cell) -> bool {
        let Ok(listing) = fs::read_dir(self.root.join("broken")) else { return false };
        let of_key = |e: &fs::DirEntry| {
            e.file_name().to_str().is_some_and(|name| name.starts_with(cell.key.as_str()))
        };
        listing.flatten().filter(of_key).any(|e| {
            Cell::load(&e.path(), &cell.key, None).is_ok_and(|there| there.cell.files == cell.files)
        })
    }

    /// A key that has two contents there has two contents here.
    fn take_second_contents(&self, from: &Path, merged: &mut Merged) -> Result<(), StoreError> {
        let Ok(listing) = fs::read_dir(from.join("broken")) else { return Ok(()) };
        let mut entries: Vec<_> = listing.flatten().map(|e| e.path()).collect();
        entries.sort();
        for second in entries {
            let Some(name) = second.file_name().and_then(|n| n.to_str()) else { continue };
            let place = self.root.join("broken").join(name);
            if place.exists() || !second.is_dir() {
                continue;
            }
            let folder = self.session()?.folder()?;
            self.copy(&second, &folder)?;
            self.settle(&folder, &place)?;
            let key = name.get(..64).and_then(Key::parse);
            if let Some(error) = key.and_then(|key| self.get(&key).err()) {
                merged.broken.push(error.to_string());
            }
        }
        Ok(())
    }

    /// What the plan read from beside it lies in the run. Its content is part of the cells' keys, so
    /// one copy is as good as another.
    fn take_inputs(&self, from: &Path) -> Result<(), StoreError> {
        let Ok(listing) = fs::read_dir(from.join(INPUTS)) else { return Ok(()) };
        for entry in listing.flatten() {
            let place = self.root.join(INPUTS).join(entry.file_name());
            if place.exists() {
                continue;
            }
            let folder = self.session()?.folder()?;
            let copy = folder.join("copy");
            if entry.path().is_dir() {
                self.disk.create_folder(&copy).map_err(|e| StoreError::io("create", &copy, e))?;
                self.copy(&entry.path(), &copy)?;
            } else {
                let bytes = fs::read(entry.path());
                bytes
                    .and_then(|bytes| self.disk.write(&copy, &bytes))
                    .map_err(|e| StoreError::io("write", &copy, e))?;
            }
            self.settle(&copy, &place)?;
            let _ = self.disk.remove_all(&folder);
        }
        Ok(())
    }

    fn take_truths(&self, from: &Path, merged: &mut Merged) -> Result<(), StoreError> {
        let Ok(listing) = fs::read_dir(from.join("truth")) else { return Ok(()) };
        let mut entries: Vec<_> = listing.flatten().map(|e| e.path()).collect();
        entries.sort();
        for truth in entries {
            let Some(id) = truth.file_name().and_then(|n| n.to_str()) else { continue };
            let file = truth.join("truth.json");
            let Ok(bytes) = fs::read(&file) else { continue };
            let place = self.root.join("truth").join(id);
            let there = place.join("truth.json");
            let folder = self.session()?.folder()?;
            let copy = folder.join("truth.json");
            self.disk.write(&copy, &bytes).map_err(|e| StoreError::io("write", &copy, e))?;
            match fs::read(&there) {
                Ok(own) if own == bytes => {
                    let _ = self.disk.remove_all(&folder);
                }
                Ok(_) => {
                    let hash = blake3::hash(&bytes).to_hex();
                    let kept = self.root.join("broken").join(format!("truth-{id}-{}", &hash[..12]));
                    if !kept.exists() {
                        self.settle(&folder, &kept)?;
                    }
                    merged.broken.push(format!(
                        "bits broken: the truth of specimen {id} has two contents, {} and {}\n\
                         hint: compare the two files; when the cause is found delete the wrong one and its cells",
                        there.display(),
                        kept.join("truth.json").display()
                    ));
                }
                Err(_) => self.settle(&folder, &place)?,
            }
        }
        Ok(())
    }

    /// One file per process and machine: they have names of their own. One that grew since it was
    /// last taken is taken anew; a torn last line stays torn, readers skip it.
    fn take_ledgers(&self, from: &Path, merged: &mut Merged) -> Result<(), StoreError> {
        let Ok(listing) = fs::read_dir(from.join("ledger")) else { return Ok(()) };
        let mut entries: Vec<_> = listing.flatten().map(|e| e.path()).collect();
        entries.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
        entries.sort();
        for ledger in entries {
            let Some(name) = ledger.file_stem().and_then(|n| n.to_str()) else { continue };
            let bytes = fs::read(&ledger).map_err(|e| StoreError::io("read", &ledger, e))?;
            let mut place = self.root.join("ledger").join(format!("{name}.jsonl"));
            match fs::read(&place) {
                Ok(own) if own.starts_with(&bytes) => continue,
                Ok(own) if !bytes.starts_with(&own) => {
                    // Two processes of one name on two machines.
                    let hash = blake3::hash(bytes.split(|b| *b == b'\n').next().unwrap_or(&[]));
                    let name = format!("{name}-{}.jsonl", &hash.to_hex()[..8]);
                    place = self.root.join("ledger").join(name);
                    if fs::read(&place).is_ok_and(|own| own.starts_with(&bytes)) {
                        continue;
                    }
                }
                _ => {}
            }
            let folder = self.session()?.folder()?;
            let copy = folder.join("ledger");
            self.disk
                .write(&copy, &bytes)
                .and_then(|()| self.disk.rename(&copy, &place))
                .map_err(|e| StoreError::io("write", &place, e))?;
            let _ = self.disk.remove_all(&folder);
            merged.ledgers += 1;
        }
        Ok(())
    }

    /// Moves a finished folder to its place.
    fn settle(&self, folder: &Path, place: &Path) -> Result<(), StoreError> {
        let failed = |e| StoreError::io("create", place, e);
        if let Some(parent) = place.parent() {
            self.disk.create_folders(parent).map_err(failed)?;
        }
        self.disk.rename(folder, place).map_err(failed)
    }

    /// Copies what is in a folder into an empty one.
    fn copy(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let listing = fs::read_dir(from).map_err(|e| StoreError::io("list", from, e))?;
        for entry in listing {
            let entry = entry.map_err(|e| StoreError::io("list", from, e))?;
            let (path, place) = (entry.path(), to.join(entry.file_name()));
            let failed = |e| StoreError::io("write", &place, e);
            let kind = entry.file_type().map_err(|e| StoreError::io("read", &path, e))?;
            if kind.is_dir() {
                self.disk.create_folder(&place).map_err(failed)?;
                self.copy(&path, &place)?;
            } else if kind.is_file() {
                let bytes = fs::read(&path).map_err(|e| StoreError::io("read", &path, e))?;
                self.disk.write(&place, &bytes).map_err(failed)?;
            }
        }
        self.disk.sync_folder(to);
        Ok(())
    }
}
