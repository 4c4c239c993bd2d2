//! What a process did and how long it took: one line of JSON per event.
//!
//! A line is one `write`; a process that is killed in the middle of one leaves a torn last line,
//! which readers skip. Nothing that decides a result is here, so a ledger may be deleted.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::key::Key;

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub at_unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen to a cell. `cell` is its name for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are the same throughout: cell, key, duration, reason")]
pub enum Event {
    /// Work on it began.
    Started { cell: String, key: Key },
    /// It was computed and kept.
    Finished { cell: String, key: Key, duration_secs: f64 },
    /// It was there already.
    Found { cell: String, key: Key },
    /// It failed.
    Failed { cell: String, key: Key, duration_secs: f64, reason: String },
    /// It was not tried, because a cell that it needs is not there.
    Skipped { cell: String, key: Key, reason: String },
    /// Anything else worth keeping.
    Note { text: String },
}

pub(super) fn read_all(folder: &Path) -> Result<Vec<LedgerEntry>, StoreError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("list", folder, e)),
    };
    let mut paths: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        read(&path, &mut entries)?;
    }
    Ok(entries)
}

fn read(path: &Path, entries: &mut Vec<LedgerEntry>) -> Result<(), StoreError> {
    let bytes = fs::read(path).map_err(|e| StoreError::io("read", path, e))?;
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(_) if i + 1 == lines.len() => {}
            Err(e) => {
                let reason = e.to_string();
                return Err(StoreError::Ledger { file: path.to_path_buf(), line: i + 1, reason });
            }
        }
    }
    Ok(())
}
