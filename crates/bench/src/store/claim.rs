//! Who works on a cell: a lock on `claims/<key>`, which the system frees when its process ends,
//! however it ends.
//!
//! Claims divide the work and decide nothing. Where they fail (a file system without locks, a claim
//! whose file was removed between opening and locking it) two processes compute the same cell, and
//! the second finds that its content is equal.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::{Disk, StoreError};
use crate::key::Key;

pub(super) const FOLDER: &str = "claims";

/// The right to compute a cell, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    disk: Disk,
    _lock: File,
}

impl Claim {
    /// Takes the claim; `None` if another process has it.
    pub(super) fn take(root: &Path, key: &Key, disk: &Disk) -> Result<Option<Self>, StoreError> {
        let folder = root.join(FOLDER);
        let path = folder.join(key.as_str());
        let failed = |e| StoreError::io("create", &path, e);
        disk.create_folders(&folder).map_err(failed)?;
        let lock = disk.open(&path, false).map_err(failed)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => {
                Ok(Some(Self { path, disk: disk.clone(), _lock: lock }))
            }
        }
    }

    /// Whether a living process has it. Asks without taking.
    pub(super) fn is_taken(root: &Path, key: &Key) -> bool {
        let path = root.join(FOLDER).join(key.as_str());
        let taken = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        File::open(path).is_ok_and(taken)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = self.disk.remove_all(&self.path);
    }
}
