//! What a run no longer needs: cells of older plans and versions, and what killed processes left.
//!
//! Nothing is removed that the plan needs, nothing while another process is at work in the run (it
//! may be of another version, which needs other cells), no cell from a folder that is a link (other
//! runs may share it), and never the second content of a key: that is evidence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Store, StoreError, claim, session};
use crate::key::Key;

const UNFINISHED: &str = "unfinished, and its process has ended";

/// What must stay.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The cells of the plan, finished or not.
    pub cells: BTreeSet<Key>,
    /// The ids of the finished specimens of the plan; `None` if one could not be read: then every
    /// truth stays.
    pub truths: Option<BTreeSet<String>>,
}

/// One thing that is not needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// Its path within the run.
    pub path: String,
    /// Why nobody needs it.
    pub why: &'static str,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What was found, and removed unless it was a dry run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Garbage {
    /// By path.
    pub removed: Vec<Removed>,
    /// What stays although it looks like garbage, with the reason.
    pub kept: Vec<String>,
}

impl Garbage {
    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|r| r.bytes).sum()
    }
}

impl Store {
    /// Finds what is not needed and, unless `dry_run`, removes it.
    ///
    /// # Errors
    /// If another process is at work, or something cannot be listed or removed.
    pub fn collect_garbage(&self, keep: &Keep, dry_run: bool) -> Result<Garbage, StoreError> {
        if session::others_at_work(&self.root, self.session.as_ref().map(session::Session::id)) {
            return Err(StoreError::AtWork { root: self.root.clone() });
        }
        let mut found = Garbage::default();
        let shared = fs::symlink_metadata(self.root.join("cells")).is_ok_and(|m| m.is_symlink());
        for name in names(&self.root.join("cells"))? {
            let needed = Key::parse(&name).is_some_and(|key| keep.cells.contains(&key));
            if !needed && shared {
                found.kept.push(format!("cells/{name}: cells is a link, other runs may need it"));
            } else if !needed {
                found.add(&self.root, format!("cells/{name}"), "no plan of the run needs it");
            }
        }
        for name in names(&self.root.join("checkpoints"))? {
            let key = Key::parse(&name).filter(|key| keep.cells.contains(key));
            let why = match key {
                None => "no plan of the run needs it",
                Some(key) if self.contains(&key) => "its specimen is finished",
                Some(_) => continue,
            };
            found.add(&self.root, format!("checkpoints/{name}"), why);
        }
        if let Some(truths) = &keep.truths {
            for name in names(&self.root.join("truth"))? {
                if !truths.contains(&name) && !shared {
                    found.add(&self.root, format!("truth/{name}"), "no finished specimen has it");
                }
            }
        }
        for name in names(&self.root.join(claim::FOLDER))? {
            if Key::parse(&name).is_none_or(|key| !self.is_claimed(&key)) {
                let path = format!("{}/{name}", claim::FOLDER);
                found.add(&self.root, path, "its process has ended");
            }
        }
        for name in names(&self.root)? {
            let unfinished = name.starts_with(session::PREFIX)
                && Some(&*name) != self.session.as_ref().map(|s| s.folder_name()).as_deref();
            if unfinished {
                found.add(&self.root, name, UNFINISHED);
            }
        }
        for file in session::torn(&self.root) {
            let within = file.strip_prefix(&self.root).unwrap_or(&file);
            // Those of a folder that goes go with it.
            if !found.removed.iter().any(|r| within.starts_with(&r.path)) {
                found.add(&self.root, within.display().to_string(), UNFINISHED);
            }
        }
        for name in names(&self.root.join("broken"))? {
            found
                .kept
                .push(format!("broken/{name}: the second content of a cell, which is evidence"));
        }
        found.removed.sort_by(|a, b| a.path.cmp(&b.path));
        if !dry_run {
            for removed in &found.removed {
                self.remove(&removed.path)?;
            }
        }
        Ok(found)
    }

    /// A cell leaves its place in one step, so that no half of one is ever found there.
    fn remove(&self, path: &str) -> Result<(), StoreError> {
        let mut from = self.root.join(path);
        let failed = |path: &Path, e| StoreError::io("remove", path, e);
        if let Some(key) = path.strip_prefix("cells/") {
            let aside = self.root.join(format!("{}garbage-{key}", session::PREFIX));
            self.disk.rename(&from, &aside).map_err(|e| failed(&from, e))?;
            from = aside;
        }
        self.disk.remove_all(&from).map_err(|e| failed(&from, e))
    }
}

impl Garbage {
    fn add(&mut self, root: &Path, path: String, why: &'static str) {
        let bytes = size(&root.join(&path));
        self.removed.push(Removed { path, why, bytes });
    }
}

/// The names in a folder, ascending; none if there is no such folder.
fn names(folder: &Path) -> Result<BTreeSet<String>, StoreError> {
    match fs::read_dir(folder) {
        Ok(listing) => {
            Ok(listing.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(e) => Err(StoreError::io("list", folder, e)),
    }
}

/// Bytes of a file, or of all files below a folder; links count as nothing.
fn size(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if meta.is_symlink() {
        return 0;
    }
    if !meta.is_dir() {
        return meta.len();
    }
    let Ok(listing) = fs::read_dir(path) else { return 0 };
    listing.flatten().map(|e| size(&e.path())).sum()
}
