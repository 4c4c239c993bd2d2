//! A file that is read in pieces, so that weights of any size need no second copy in memory.
//!
//! Every piece is compared with the length of the file before memory is asked for: a length that a
//! file merely declares never sizes an allocation.

use crate::Error;
use std::fmt;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// A file, or bytes that stand for one, with its length.
pub struct Source {
    path: PathBuf,
    len: u64,
    bytes: Mutex<Box<dyn Bytes>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).field("len", &self.len).finish()
    }
}

impl Source {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let mut file = std::fs::File::open(path)?;
            let len = file.seek(SeekFrom::End(0))?;
            // Opening a folder succeeds on some systems; reading it does not.
            if std::fs::metadata(path)?.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            Ok((file, len))
        };
        let (file, len) = open().map_err(|e| Error::file(path, e))?;
        Ok(Self { path: path.into(), len, bytes: Mutex::new(Box::new(file)) })
    }

    /// Bytes in memory under the name that errors give them.
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { path: name.into(), len, bytes: Mutex::new(Box::new(Cursor::new(bytes))) }
    }

    /// The name of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// An error about this file.
    pub fn bad(&self, why: impl Into<String>) -> Error {
        Error::format(&self.path, why)
    }

    /// `count` bytes from `offset`; `what` says in the error what they were to be.
    pub fn at(&self, offset: u64, count: u64, what: &str) -> Result<Vec<u8>, Error> {
        if offset.checked_add(count).is_none_or(|end| end > self.len) {
            return Err(self.bad(format!(
                "{what} wants {count} bytes from {offset}, the file ends at {}; \
                 hint: it is cut short or damaged, fetch or write it again",
                self.len
            )));
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let count = usize::try_from(count).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
            let mut out = vec![0; count];
            let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            bytes.seek(SeekFrom::Start(offset))?;
            bytes.read_exact(&mut out)?;
            Ok(out)
        };
        read().map_err(|e| Error::file(&self.path, e))
    }
}
