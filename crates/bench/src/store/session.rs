//! One process at work in a run: its name, its temporary folder with a lock in it, its ledger.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Disk, LedgerEntry, StoreError};
use crate::clock;

pub(super) const PREFIX: &str = ".tmp-";
const LOCK: &str = "lock";

#[derive(Debug)]
pub(super) struct Session {
    /// `<pid>-<nonce>`.
    id: String,
    temporary: PathBuf,
    counter: AtomicU64,
    ledger_path: PathBuf,
    /// The file and how long it is, up to the last whole line.
    ledger: Mutex<(File, u64)>,
    disk: Disk,
    /// Held until the process ends, however it ends.
    _lock: File,
}

impl Session {
    pub(super) fn start(root: &Path, disk: &Disk) -> Result<Self, StoreError> {
        let pid = std::process::id();
        let mut nonce = clock::nonce();
        // A rival that cleans may take a folder between its creation and its lock: try again.
        for _ in 0..100 {
            nonce = nonce.wrapping_add(1);
            let id = format!("{pid}-{nonce:08x}");
            let temporary = root.join(format!("{PREFIX}{id}"));
            match disk.create_folder(&temporary) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(StoreError::io("create", &temporary, e)),
            }
            let lock_path = temporary.join(LOCK);
            let lock = match disk.open(&lock_path, false) {
                Ok(lock) => lock,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    let _ = fs::remove_dir_all(&temporary);
                    return Err(StoreError::io("create", &lock_path, e));
                }
            };
            // A file system without locks: work without; others then leave this folder alone.
            let taken = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if taken || !lock_path.exists() {
                continue;
            }
            let ledger_path = root.join("ledger").join(format!("{id}.jsonl"));
            let ledger = disk.open(&ledger_path, true);
            let ledger = match ledger {
                Ok(ledger) => Mutex::new((ledger, 0)),
                Err(e) => {
                    let _ = fs::remove_dir_all(&temporary);
                    return Err(StoreError::io("create", &ledger_path, e));
                }
            };
            return Ok(Self {
                id,
                temporary,
                counter: AtomicU64::new(0),
                ledger_path,
                ledger,
                disk: disk.clone(),
                _lock: lock,
            });
        }
        let busy = io::Error::new(
            io::ErrorKind::ResourceBusy,
            "other processes keep removing its temporary folder",
        );
        Err(StoreError::io("work in", root, busy))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The name of its temporary folder.
    pub(super) fn folder_name(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    /// A new empty folder.
    pub(super) fn folder(&self) -> Result<PathBuf, StoreError> {
        let folder = self.temporary.join(self.counter.fetch_add(1, Ordering::Relaxed).to_string());
        self.disk.create_folder(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        Ok(folder)
    }

    pub(super) fn record(&self, entry: &LedgerEntry) -> Result<(), StoreError> {
        let failed = |e: io::Error| StoreError::io("write", &self.ledger_path, e);
        let mut line = serde_json::to_vec(entry).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        // A thread that panicked while it held the ledger has written its line or not.
        let mut ledger = self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (file, length) = &mut *ledger;
        match self.disk.append(file, &line) {
            Ok(()) => *length += line.len() as u64,
            Err(e) => {
                // Half a line would join the next one; cutting it off takes no room.
                let _ = file.set_len(*length);
                return Err(failed(e));
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.disk.remove_all(&self.temporary);
    }
}

/// Whether another process is at work in a run.
pub(super) fn others_at_work(root: &Path, own: Option<&str>) -> bool {
    let Ok(listing) = fs::read_dir(root) else { return false };
    listing.flatten().any(|entry| {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let taken = |lock: File| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
        id.is_some_and(|id| Some(id) != own) && File::open(entry.path().join(LOCK)).is_ok_and(taken)
    })
}

/// Files that were about to be renamed into place (`.board.json.tmp-<pid>-<n>`), anywhere in a run
/// but in its cells, which appear whole.
pub(super) fn torn(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let elsewhere = folder == root && (name == "cells" || name.starts_with(PREFIX));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !elsewhere {
                folders.push(path);
            } else if path.is_file() && name.starts_with('.') && name.contains(PREFIX) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Removes the temporary folders of processes that are gone and, where no process is left, the files
/// that they did not finish. Best effort: what cannot be removed does no harm.
pub(super) fn clean(root: &Path) {
    // Looked up first: whoever writes one of these has a folder already, and has it until the end.
    let torn = torn(root);
    remove_folders(root);
    let Ok(mut listing) = fs::read_dir(root) else { return };
    let folder = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|e| {
            e.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) && e.path().is_dir()
        })
    };
    if !listing.any(folder) {
        for file in torn {
            let _ = fs::remove_file(file);
        }
    }
}

fn remove_folders(root: &Path) {
    let Ok(listing) = fs::read_dir(root) else { return };
    for entry in listing.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !path.is_dir() {
            continue;
        }
        match File::options().write(true).open(path.join(LOCK)) {
            // The lock is free, so its owner is dead; held while the folder goes.
            Ok(lock) if lock.try_lock().is_ok() => {
                let _ = fs::remove_dir_all(&path);
            }
            Ok(_) => {}
            // Killed between the folder and its lock: empty. Or about to be locked: start() retries.
            Err(_) => {
                let _ = fs::remove_dir(&path);
            }
        }
    }
}
