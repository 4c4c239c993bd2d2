//! A file of tensors from which an importer takes what it knows; what it leaves is kept.

use crate::Error;
use flyroom_network::format::Source;
use flyroom_network::format::pt::PtFile;
use flyroom_network::{RawTensor, read_safetensors};
use flyroom_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The tensors of a file that nobody took yet. Errors name the file and the tensor.
#[derive(Debug)]
pub(crate) struct TensorFile {
    path: PathBuf,
    tensors: BTreeMap<String, RawTensor>,
}

impl TensorFile {
    /// Opens safetensors, or what `torch.save` wrote, which its first bytes tell.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let source = Source::open(path)?;
        let torch = source.at(0, source.len().min(2), "the first bytes")? == b"PK";
        let tensors = match torch {
            true => PtFile::from_source(source)?.tensors()?,
            false => read_safetensors(path)?.0,
        };
        Ok(Self { path: path.into(), tensors })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about this file.
    pub fn bad(&self, why: impl Into<String>) -> Error {
        Error::Format { path: self.path.clone(), why: why.into() }
    }

    /// Lengths of the axes of a tensor that is still there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|t| t.shape.as_slice())
    }

    /// The same for one that must be there with so many axes.
    pub fn axes<const N: usize>(&self, name: &str, axes: &str) -> Result<[usize; N], Error> {
        let shape = self.shape(name).ok_or_else(|| self.missing(name))?;
        shape.try_into().map_err(|_| {
            self.bad(format!("tensor '{name}' has shape {shape:?}, this format has {axes} there"))
        })
    }

    /// Takes a tensor of finite floats.
    pub fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        let raw = self.tensors.remove(name).ok_or_else(|| self.missing(name))?;
        let t = raw.to_tensor().ok_or_else(|| {
            self.bad(format!("tensor '{name}' holds {:?}; weights are F32 or BF16", raw.dtype))
        })?;
        match t.data().iter().position(|x| !x.is_finite()) {
            Some(i) => Err(self.bad(format!(
                "tensor '{name}' holds {} at flat index {i}; weights are finite",
                t.data()[i]
            ))),
            None => Ok(t),
        }
    }

    /// Takes a tensor that must have a shape.
    pub fn take_shaped(&mut self, name: &str, wanted: &[usize]) -> Result<Tensor, Error> {
        match self.shape(name) {
            None => Err(self.missing(name)),
            Some(got) if got != wanted => Err(self.bad(format!(
                "tensor '{name}' has shape {got:?}, the rest of the file wants {wanted:?}"
            ))),
            Some(_) => self.take(name),
        }
    }

    /// What nobody took.
    pub fn rest(self) -> BTreeMap<String, RawTensor> {
        self.tensors
    }

    /// How many consecutive numbers, from 0, `prefix` is followed by among the names.
    pub fn layers(&self, prefix: &str) -> usize {
        (0..)
            .take_while(|l| {
                let start = format!("{prefix}{l}");
                self.tensors
                    .keys()
                    .any(|n| n.strip_prefix(&start).is_some_and(|r| r.starts_with(['.', '/'])))
            })
            .count()
    }

    fn missing(&self, name: &str) -> Error {
        self.bad(format!("no tensor '{name}'"))
    }
}
