//! A finished cell: a folder whose `cell.json` says what it is and what every file must hash to.
//!
//! `cell.json` is canonical JSON and one newline, so that a flipped bit anywhere in it is found:
//! either it no longer parses, or it is no longer canonical, or a hash in it no longer fits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::index::{Stamp, Stamps, now_ns};
use super::{Disk, SCHEMA, StoreError};
use crate::canonical;
use crate::key::{CellSpec, Key};

const CELL_JSON: &str = "cell.json";

/// A finished cell, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What it is.
    pub spec: CellSpec,
    /// Its name.
    pub key: Key,
    /// Where it lies.
    pub folder: PathBuf,
    /// blake3 of each file, by path within the folder with `/` between names.
    pub files: BTreeMap<String, String>,
}

impl Cell {
    /// Whether a program made it that this project does not know: its content is what it is, and a
    /// second run may differ.
    pub fn is_foreign(&self) -> bool {
        self.spec.parameters.contains_key(crate::foreign::MARK)
    }

    /// The path of a file of the cell.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The bytes of a file, checked once more against its hash.
    ///
    /// # Errors
    /// If the cell has no such file, or it is damaged.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name);
        let Some(hash) = self.files.get(name) else {
            return Err(damaged(&self.folder, &path, "is not a file of this cell"));
        };
        let bytes = fs::read(&path).map_err(|e| missing(&self.folder, &path, e))?;
        check(&self.folder, &path, &bytes, hash)?;
        Ok(bytes)
    }

    /// A JSON file of the cell.
    ///
    /// # Errors
    /// As [`Cell::read`], and if the file is not of this form.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes).map_err(|e| {
            damaged(
                &self.folder,
                &self.path(name),
                &format!("does not have the expected form: {e}"),
            )
        })
    }

    /// Reads a cell and checks every file of it that does not lie there as `known` says.
    pub(super) fn load(
        folder: &Path,
        key: &Key,
        known: Option<&Stamps>,
    ) -> Result<Loaded, StoreError> {
        let path = folder.join(CELL_JSON);
        let bad = |what: &str| damaged(folder, &path, what);
        let bytes = fs::read(&path).map_err(|e| missing(folder, &path, e))?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|e| bad(&format!("is not JSON: {e}")))?;
        let schema = value["schema"].as_u64().ok_or_else(|| bad("has no schema"))?;
        if schema != u64::from(SCHEMA) {
            return Err(StoreError::Schema { file: path.clone(), found: schema, known: SCHEMA });
        }
        if format!("{}\n", canonical::of_value(&value)).as_bytes() != bytes {
            return Err(bad("was changed: it is not as it was written"));
        }
        let spec: CellSpec = serde_json::from_value(value["spec"].clone())
            .map_err(|e| bad(&format!("has no spec: {e}")))?;
        if value["key"].as_str() != Some(key.as_str()) || spec.key() != *key {
            return Err(bad("was changed: what it describes has another key"));
        }
        let files: BTreeMap<String, String> = serde_json::from_value(value["files"].clone())
            .map_err(|e| bad(&format!("has no list of files: {e}")))?;
        let mut seen = Seen::default();
        for (name, hash) in &files {
            let plain = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            if !plain || name.contains('\\') {
                return Err(bad("was changed: it lists a file outside of the cell"));
            }
            let path = folder.join(name);
            let file = fs::metadata(&path).map_err(|e| missing(folder, &path, e))?;
            let stamp = Stamp::of(&file, now_ns());
            if let (Some((stamp, _)), Some(known)) = (stamp, known.and_then(|k| k.get(name)))
                && stamp == *known
            {
                seen.trusted = true;
                continue;
            }
            let bytes = fs::read(&path).map_err(|e| missing(folder, &path, e))?;
            check(folder, &path, &bytes, hash)?;
            seen.note(name, stamp);
        }
        let cell = Self { spec, key: key.clone(), folder: folder.to_path_buf(), files };
        Ok(Loaded { cell, seen })
    }

    /// Hashes and syncs what was written, and writes `cell.json`.
    pub(super) fn seal(folder: &Path, spec: &CellSpec, disk: &Disk) -> Result<Loaded, StoreError> {
        let mut files = BTreeMap::new();
        let mut seen = Seen::default();
        hash_folder(folder, "", &mut files, &mut seen)?;
        let key = spec.key();
        let cell_json =
            json!({ "schema": SCHEMA, "key": key, "spec": spec.to_value(), "files": files });
        let path = folder.join(CELL_JSON);
        disk.write(&path, format!("{}\n", canonical::of_value(&cell_json)).as_bytes())
            .map_err(|e| StoreError::io("write", &path, e))?;
        disk.sync_folder(folder);
        let cell = Self { spec: spec.clone(), key, folder: folder.to_path_buf(), files };
        Ok(Loaded { cell, seen })
    }
}

/// A cell and how it was looked at.
pub(super) struct Loaded {
    pub cell: Cell,
    pub seen: Seen,
}

/// What was hashed, and what was taken from the index.
#[derive(Default)]
pub(super) struct Seen {
    /// Stamps of the files that were hashed.
    pub stamps: Stamps,
    /// A file lies as the index knows it and was not hashed.
    pub trusted: bool,
    /// A file was hashed whose stamp would not show a change right now.
    pub unsettled: bool,
}

impl Seen {
    fn note(&mut self, name: &str, stamp: Option<(Stamp, bool)>) {
        match stamp {
            Some((stamp, true)) => {
                self.stamps.insert(name.to_owned(), stamp);
            }
            _ => self.unsettled = true,
        }
    }
}

fn hash_folder(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
    seen: &mut Seen,
) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(|e| StoreError::io("list", folder, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", folder, e))?;
        let path = entry.path();
        let refuse = |why: &str| {
            StoreError::io("keep", &path, io::Error::new(io::ErrorKind::InvalidInput, why))
        };
        let file_name = entry.file_name();
        let name = file_name.to_str().ok_or_else(|| refuse("its name is not UTF-8"))?;
        let name = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(|e| StoreError::io("read", &path, e))?;
        if kind.is_dir() {
            hash_folder(&path, &format!("{name}/"), files, seen)?;
            Disk::default().sync_folder(&path);
        } else if kind.is_file() {
            if name == CELL_JSON {
                return Err(refuse("cell.json is written by the store"));
            }
            let stamp = entry.metadata().ok().and_then(|file| Stamp::of(&file, now_ns()));
            let bytes = fs::read(&path).map_err(|e| StoreError::io("read", &path, e))?;
            seen.note(&name, stamp);
            files.insert(name, blake3::hash(&bytes).to_hex().to_string());
            let synced =
                fs::File::options().write(true).open(&path).and_then(|file| file.sync_all());
            synced.map_err(|e| StoreError::io("write", &path, e))?;
        } else {
            return Err(refuse("it is neither a file nor a folder"));
        }
    }
    Ok(())
}

fn check(folder: &Path, file: &Path, bytes: &[u8], hash: &str) -> Result<(), StoreError> {
    let found = blake3::hash(bytes).to_hex();
    if found.as_str() == hash {
        return Ok(());
    }
    let what = format!(
        "was changed: its blake3 is {}.. and should be {}..",
        &found[..12],
        hash.get(..12).unwrap_or(hash)
    );
    Err(damaged(folder, file, &what))
}

fn missing(folder: &Path, file: &Path, e: io::Error) -> StoreError {
    match e.kind() {
        io::ErrorKind::NotFound => damaged(folder, file, "is missing"),
        _ => StoreError::io("read", file, e),
    }
}

fn damaged(folder: &Path, file: &Path, what: &str) -> StoreError {
    StoreError::Damaged {
        file: file.to_path_buf(),
        what: what.to_owned(),
        folder: folder.to_path_buf(),
    }
}
