//! The one way in which the store changes the disk, so that a test can make the disk fail at each
//! of its steps.
//!
//! A disk that runs full takes part of a write, refuses the rest, and still removes and renames; one
//! that became read-only refuses everything. Both are counted in steps: one for each change and one
//! more for every 64 bytes, so a write can fail before, inside and behind its bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one step.
const STEP: usize = 64;

/// The disk as it is, or one that fails after some steps.
#[derive(Clone, Debug, Default)]
pub struct Disk(Option<Arc<Faults>>);

#[derive(Debug)]
struct Faults {
    left: AtomicU64,
    trouble: Trouble,
}

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room left.
    Full,
    /// It can only be read.
    ReadOnly,
}

impl Disk {
    /// One that does so many steps and then fails for good.
    pub fn failing(steps: u64, trouble: Trouble) -> Self {
        Self(Some(Arc::new(Faults { left: AtomicU64::new(steps), trouble })))
    }

    /// How many of `wanted` steps are done; an error if it is none.
    fn steps(&self, wanted: u64) -> io::Result<u64> {
        let Some(faults) = &self.0 else { return Ok(wanted) };
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = faults.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        let done = left.unwrap_or(0).min(wanted);
        if done == 0 { Err(faults.trouble.error()) } else { Ok(done) }
    }

    /// A step that a full disk still does.
    fn step_without_room(&self) -> io::Result<()> {
        match &self.0 {
            Some(faults) if faults.trouble == Trouble::Full => Ok(()),
            _ => self.steps(1).map(|_| ()),
        }
    }

    /// Writes bytes to an open file.
    pub(super) fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let steps = 1 + bytes.len().div_ceil(STEP) as u64;
        let done = self.steps(steps)?;
        let fit = usize::try_from(done - 1).unwrap_or(usize::MAX).saturating_mul(STEP);
        file.write_all(&bytes[..bytes.len().min(fit)])?;
        if done < steps { Err(Trouble::Full.error_of(self)) } else { Ok(()) }
    }

    /// Writes a file and waits until it is on the disk.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.steps(1)?;
        let mut file = File::create(path)?;
        self.append(&mut file, bytes)?;
        file.sync_all()
    }

    pub(super) fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.steps(1)?;
        fs::create_dir(path)
    }

    pub(super) fn create_folders(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.steps(1)?;
        fs::create_dir_all(path)
    }

    /// Opens a file to write, making it if it is not there; `new` refuses one that is.
    pub(super) fn open(&self, path: &Path, new: bool) -> io::Result<File> {
        self.steps(1)?;
        File::options().create(true).create_new(new).append(true).open(path)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step_without_room()?;
        fs::rename(from, to)
    }

    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.steps(1)?;
        fs::hard_link(from, to)
    }

    pub(super) fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.step_without_room()?;
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    /// Waits until the disk has the names in a folder. Best effort: some systems cannot open
    /// folders.
    pub(super) fn sync_folder(&self, path: &Path) {
        if let Ok(folder) = File::open(path) {
            let _ = folder.sync_all();
        }
    }
}

impl Trouble {
    fn error(self) -> io::Error {
        io::Error::from(match self {
            Self::Full => io::ErrorKind::StorageFull,
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
        })
    }

    fn error_of(self, disk: &Disk) -> io::Error {
        disk.0.as_ref().map_or(self, |faults| faults.trouble).error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_what_fitted_and_still_renames() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        // Create, begin to write, 64 bytes of 100.
        let disk = Disk::failing(3, Trouble::Full);
        let error = disk.write(&a, &[7; 100]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&a).unwrap(), [7; 64]);
        disk.rename(&a, &b).unwrap();
        assert!(disk.write(&a, &[]).is_err() && !a.exists());
        disk.remove_all(&b).unwrap();
        let disk = Disk::failing(0, Trouble::ReadOnly);
        fs::write(&a, "x").unwrap();
        assert!(disk.rename(&a, &b).is_err() && disk.remove_all(&a).is_err() && a.exists());
    }
}
