//! PyTorch's `.pt`, `.pth` and `.bin` files, read without running anything.
//!
//! Such a file is a zip archive of one pickle, which says how to build an object, and one member a
//! storage. Python's `pickle` is a machine that may call any function; here a [`machine`] of plain
//! data interprets it and knows a short list of names: dictionaries, tensors and the like
//! ([`global`]). Every other name is refused, with itself in the error. Nothing that a file says can
//! be called.
//!
//! The result is a tree of [`Value`]s. Its tensors are views (offset, strides) of storages, read one
//! by one with [`PtFile::read`], so transposed and shared ones come out as they were saved and
//! nothing is held twice. The form from before PyTorch 1.6, which is no zip archive, is refused.

mod global;
mod machine;
mod value;
mod view;

pub use value::Value;
pub use view::TensorView;

use super::zip::Archive;
use super::{RawTensor, RawTensors, Source};
use crate::Error;
use std::path::Path;

/// Tensors of a file may share storages, which makes them longer together than the file; longer
/// than so many times is refused ...
const RATIO: u64 = 8;
/// ... unless they are shorter than this.
const ALWAYS: u64 = 1 << 20;
/// The longest pickle that is interpreted; a state dict of 10,000 tensors takes 2 MB.
const LONGEST_PICKLE: u64 = 1 << 28;

/// An open file: its tree, and its tensors on demand.
#[derive(Debug)]
pub struct PtFile {
    archive: Archive,
    /// Of all members.
    folder: String,
    value: Value,
}

impl PtFile {
    /// Interprets the pickle of a file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_source(Source::open(path)?)
    }

    /// The same of an open file or of bytes.
    pub fn from_source(source: Source) -> Result<Self, Error> {
        if source.len() >= 2 && source.at(0, 2, "the magic number")? != b"PK" {
            return Err(source.bad(
                "not a zip archive, so not a PyTorch file of version 1.6 or later; hint: load it \
                 with the PyTorch that wrote it and torch.save it again, or save safetensors",
            ));
        }
        let archive = Archive::open(source, "a PyTorch file")?;
        let bad = |why: String| archive.source().bad(why);
        let pickle = archive.names().find_map(|n| Some((n, n.strip_suffix("data.pkl")?)));
        let (name, folder) =
            pickle.ok_or_else(|| bad("no member 'data.pkl' in the archive".into()))?;
        let order = format!("{folder}byteorder");
        if archive.len_of(&order).is_some_and(|n| n == 3) {
            return Err(bad(
                "saved on a big-endian machine; hint: save it again on a usual one".into()
            ));
        }
        let len = archive.len_of(name).unwrap_or(0);
        if len > LONGEST_PICKLE {
            return Err(bad(format!("its pickle of {len} bytes is longer than {LONGEST_PICKLE}")));
        }
        let pickle = archive.slice(name, 0, len)?;
        let storages = |key: &str| archive.len_of(&format!("{folder}data/{key}"));
        let value = machine::run(&pickle, &storages).map_err(|e| bad(format!("{name}: {e}")))?;
        let folder = folder.to_string();
        Ok(Self { archive, folder, value })
    }

    /// The object that was saved.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file.
    pub fn source(&self) -> &Source {
        self.archive.source()
    }

    /// Reads a tensor of the tree, in row-major order.
    pub fn read(&self, view: &TensorView) -> Result<RawTensor, Error> {
        let what = format!("{}data/{}", self.folder, view.storage());
        let (from, count) = view.span();
        let limit = (self.source().len() * RATIO).max(ALWAYS);
        if view.bytes() > limit {
            return Err(self.source().bad(format!(
                "a tensor of shape {:?} in '{what}' takes {} bytes, the whole file {}; hint: it was \
                 saved expanded: save tensor.contiguous()",
                view.shape(),
                view.bytes(),
                self.source().len()
            )));
        }
        let held = self.archive.slice(&what, from, count)?;
        Ok(RawTensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.gather(&held),
        })
    }

    /// Reads all tensors, named by their keys from the root, joined by dots: of a state dict, its
    /// own names. What is no tensor is left out.
    pub fn tensors(&self) -> Result<RawTensors, Error> {
        let mut views = Vec::new();
        collect(&self.value, &mut String::new(), &mut views);
        let total = views.iter().try_fold(0u64, |n, (_, v)| n.checked_add(v.bytes()));
        let limit = (self.source().len() * RATIO).max(ALWAYS);
        if total.is_none_or(|n| n > limit) {
            return Err(self.source().bad(format!(
                "its tensors take more than {RATIO} times the file; hint: read those that you need"
            )));
        }
        let mut out = RawTensors::new();
        for (name, view) in views {
            let tensor = self.read(view).map_err(|e| match e {
                Error::Format { path, why } => {
                    Error::Format { path, why: format!("tensor '{name}': {why}") }
                }
                other => other,
            })?;
            if out.insert(name.clone(), tensor).is_some() {
                return Err(self.source().bad(format!("two tensors have the name '{name}'")));
            }
        }
        Ok(out)
    }
}

/// The tensors of a tree with their names.
fn collect<'a>(value: &'a Value, name: &mut String, out: &mut Vec<(String, &'a TensorView)>) {
    let mut within = |part: &str, value: &'a Value| {
        let end = name.len();
        if end > 0 {
            name.push('.');
        }
        name.push_str(part);
        collect(value, name, out);
        name.truncate(end);
    };
    match value {
        Value::Dict(pairs) => {
            for (key, value) in pairs {
                match key {
                    Value::Text(t) => within(t, value),
                    Value::Int(i) => within(&i.to_string(), value),
                    _ => {}
                }
            }
        }
        Value::List(items) | Value::Tuple(items) => {
            items.iter().enumerate().for_each(|(i, v)| within(&i.to_string(), v));
        }
        Value::Tensor(view) => out.push((name.clone(), view)),
        _ => {}
    }
}
