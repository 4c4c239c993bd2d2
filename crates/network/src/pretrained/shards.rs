//! The tensors of a Hugging Face folder: one `model.safetensors`, or several files that
//! `model.safetensors.index.json` lists.

use super::Tensors;
use crate::Error;
use crate::format::{RawTensor, SafetensorsFile};
use flyroom_tensor::Tensor;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All tensors of a folder.
#[derive(Debug)]
pub(super) struct Shards {
    dir: PathBuf,
    files: BTreeMap<String, SafetensorsFile>,
    /// The file of each tensor.
    of: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let whole = "model.safetensors";
        let index = dir.join("model.safetensors.index.json");
        let mut files = BTreeMap::new();
        let mut of = BTreeMap::new();
        if dir.join(whole).exists() || !index.exists() {
            let file = SafetensorsFile::open(&dir.join(whole))?;
            of.extend(file.tensors().map(|(n, _)| (n.to_string(), whole.to_string())));
            files.insert(whole.to_string(), file);
            return Ok(Self { dir: dir.into(), files, of });
        }
        let bad = |why: String| Error::format(&index, why);
        let text = std::fs::read_to_string(&index).map_err(|e| Error::file(&index, e))?;
        let map: Index = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        for (tensor, name) in map.weight_map {
            // A name, not a way out of the folder.
            if Path::new(&name).file_name().is_none_or(|n| n != name.as_str()) {
                return Err(bad(format!(
                    "'{name}' of tensor '{tensor}' is no name of a file beside it"
                )));
            }
            if !files.contains_key(&name) {
                files.insert(name.clone(), SafetensorsFile::open(&dir.join(&name))?);
            }
            of.insert(tensor, name);
        }
        Ok(Self { dir: dir.into(), files, of })
    }

    fn file(&self, tensor: &str) -> Result<&SafetensorsFile, Error> {
        self.of
            .get(tensor)
            .and_then(|f| self.files.get(f))
            .ok_or_else(|| self.bad(format!("no tensor '{tensor}'")))
    }
}

impl Tensors for Shards {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let all = self.files.values().flat_map(SafetensorsFile::tensors);
        all.filter(|(n, _)| self.of.contains_key(*n))
            .map(|(n, info)| (n.to_string(), info.shape.clone()))
            .collect()
    }

    fn read(&self, name: &str) -> Result<Tensor, Error> {
        let raw = self.raw(name)?;
        raw.to_tensor().ok_or_else(|| {
            self.bad(format!("tensor '{name}' is {:?}, not f32, f16 or bf16", raw.dtype))
        })
    }

    fn raw(&self, name: &str) -> Result<RawTensor, Error> {
        self.file(name)?.read(name)
    }

    fn bad(&self, why: String) -> Error {
        Error::format(&self.dir, why)
    }
}
