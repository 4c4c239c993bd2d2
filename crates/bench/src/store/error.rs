//! What can go wrong with a run on disk, and the way out of each.

use std::io;
use std::path::{Path, PathBuf};

use crate::Fault;
use crate::key::Key;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk did not do what it was asked.
    #[error("cannot {action} {path}: {source}{}", io_hint(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds a run of another plan.
    #[error("{root} holds a run of another plan\nhint: give this plan a folder of its own with --out, or change {root}/plan.toml and run that: what both need is kept", root = .root.display())]
    OtherPlan {
        /// The run.
        root: PathBuf,
    },
    /// The folder is not a run.
    #[error("{root} is not a run: it has no plan.toml and cells/\nhint: `flyroom run --out {root}` makes one", root = .root.display())]
    NotARun {
        /// The folder.
        root: PathBuf,
    },
    /// The run was opened to look at.
    #[error("{root} was opened for reading only", root = .root.display())]
    ViewOnly {
        /// The run.
        root: PathBuf,
    },
    /// A file of a finished cell is not what was written.
    #[error("the cell is damaged: {file} {what}\nhint: delete the folder {folder} and run again; the cell is computed anew", file = .file.display(), folder = .folder.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
        /// The cell.
        folder: PathBuf,
    },
    /// A file was written by a version with another schema.
    #[error("{file} has schema {found}, this version reads {known}\nhint: use the version that wrote it, or a new folder with --out", file = .file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// The same key with other content: the promise of this project is broken.
    #[error(transparent)]
    BitsBroken(Box<BitsBroken>),
    /// A cell with two contents that nobody has decided between.
    #[error("bits broken: cell {key} has two contents, {there} and {other}, so it is no result{DECIDE}", there = .there.display(), other = .other.display())]
    Disputed {
        /// The cell.
        key: Key,
        /// The content that was there first.
        there: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// Somebody works in the run.
    #[error("another process is at work in {root}\nhint: wait until it has ended", root = .root.display())]
    AtWork {
        /// The run.
        root: PathBuf,
    },
    /// The code that fills the cell failed.
    #[error("{source}")]
    Work {
        /// The cell.
        key: Key,
        /// Its error.
        source: Fault,
    },
    /// A line of a ledger before the last one cannot be read.
    #[error("{file}:{line}: not a line of a ledger: {reason}\nhint: ledgers hold timings only; delete the line", file = .file.display())]
    Ledger {
        /// The ledger.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
}

/// What to do about two contents of one key.
const DECIDE: &str = "\n\
     hint: compare the two folders: the machines, kernels or versions that made them disagree, or an entry changed \
     without a new version (please report it); when the cause is found delete both folders and run again";

/// Two contents of one key, both kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "bits broken: cell {key} was computed twice with different results; `{file}` is {hash_there} in {there} \
     and {hash_new} in {new}{DECIDE}",
    there = .there.display(), new = .new.display()
)]
pub struct BitsBroken {
    /// The cell.
    pub key: Key,
    /// The first file that differs, by name.
    pub file: String,
    /// The hash of the file that was there, shortened.
    pub hash_there: String,
    /// The hash of the new file, shortened.
    pub hash_new: String,
    /// The cell that was there.
    pub there: PathBuf,
    /// Where the new content is kept.
    pub new: PathBuf,
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// A full disk is a full disk, also when the code that fills the cell met it.
    pub(super) fn from_fault(key: &Key, folder: &Path, source: Fault) -> Self {
        match source.downcast::<io::Error>() {
            Ok(e) if io_hint(&e).is_empty() => Self::Work { key: key.clone(), source: e },
            Ok(e) => Self::io("write", folder, *e),
            Err(source) => Self::Work { key: key.clone(), source },
        }
    }
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "\nhint: make room and run again; finished cells are kept"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "\nhint: choose a folder that can be written with --out"
        }
        _ => "",
    }
}
