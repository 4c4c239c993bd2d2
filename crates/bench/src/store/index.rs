//! Which files were verified, by size and times, so that a large run is resumed without reading all
//! of it again.
//!
//! `index.json` is never the truth: what it does not know, or knows otherwise than the disk says, is
//! hashed. It may be deleted at any time. A file whose times lie so near to the moment of its hash
//! that a later change could leave them equal is not remembered (the `racy` entries of git's index).
//! What a computation reads is hashed once a process whatever the index says
//! ([`super::Store::verify`]), so that no result is made from a damaged file.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::SCHEMA;
use crate::clock;
use crate::key::Key;

pub(super) const FILE: &str = "index.json";

/// File systems with fine times tick at least this often, in nanoseconds (100 Hz, doubled).
const FINE_TICK_NS: u64 = 20_000_000;
/// The coarsest tick there is (FAT).
const COARSE_TICK_NS: u64 = 2_000_000_000;

/// Size, time of the last change of content and of the last change of anything, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp(u64, u64, u64);

pub(super) type Stamps = BTreeMap<String, Stamp>;

impl Stamp {
    /// The stamp of a file, and whether a change after `now` would show in it.
    pub(super) fn of(file: &Metadata, now_ns: u64) -> Option<(Self, bool)> {
        let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let changed = u64::try_from(changed.as_nanos()).ok()?;
        #[cfg(unix)]
        let touched = {
            use std::os::unix::fs::MetadataExt as _;
            let seconds = u64::try_from(file.ctime()).ok()?;
            seconds
                .checked_mul(1_000_000_000)?
                .checked_add(u64::try_from(file.ctime_nsec()).ok()?)?
        };
        #[cfg(not(unix))]
        let touched = 0;
        let tick = if changed % 1_000_000 == 0 { COARSE_TICK_NS } else { FINE_TICK_NS };
        let settled = now_ns.saturating_sub(changed.max(touched)) > tick;
        Some((Self(file.len(), changed, touched), settled))
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    schema: u32,
    cells: BTreeMap<Key, Stamps>,
}

#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    content: Mutex<(Content, usize)>,
}

impl Index {
    /// Reads what is there; the second is why it could not be used.
    pub(super) fn load(root: &Path) -> (Self, Option<String>) {
        let path = root.join(FILE);
        let (content, why) = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Content>(&bytes) {
                Ok(content) if content.schema == SCHEMA => (content, None),
                Ok(content) => {
                    (Content::default(), Some(format!("it has schema {}", content.schema)))
                }
                Err(e) => (Content::default(), Some(e.to_string())),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => (Content::default(), None),
            Err(e) => (Content::default(), Some(e.to_string())),
        };
        let remark = why
            .map(|why| format!("{} is made anew, and all files are hashed: {why}", path.display()));
        (Self { path, content: Mutex::new((content, 0)) }, remark)
    }

    fn lock(&self) -> MutexGuard<'_, (Content, usize)> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, key: &Key) -> Option<Stamps> {
        self.lock().0.cells.get(key).cloned()
    }

    /// Remembers a cell; true when it is time to save.
    pub(super) fn remember(&self, key: &Key, stamps: Stamps) -> bool {
        let mut guard = self.lock();
        if guard.0.cells.get(key) == Some(&stamps) {
            return false;
        }
        guard.0.cells.insert(key.clone(), stamps);
        guard.1 += 1;
        // Geometric, so that all savings of a run together cost no more than a few of the last.
        guard.1 >= 256.max(guard.0.cells.len() / 4)
    }

    /// The bytes to write, if there is anything new; cells that `kept` denies are left out.
    pub(super) fn unsaved(&self, kept: impl Fn(&Key) -> bool) -> Option<Vec<u8>> {
        let mut guard = self.lock();
        if guard.1 == 0 {
            return None;
        }
        guard.1 = 0;
        guard.0.schema = SCHEMA;
        guard.0.cells.retain(|key, _| kept(key));
        serde_json::to_vec(&guard.0).ok()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The moment before a file is read.
pub(super) fn now_ns() -> u64 {
    clock::unix_ns()
}
