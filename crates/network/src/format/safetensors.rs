//! Weights on disk as safetensors: the header is read and checked first, each tensor when it is
//! asked for, so that a file larger than what is used of it costs nothing.

use super::{RawTensor, RawTensors, Source, write_whole};
use crate::Error;
use ::safetensors::tensor::{Metadata, TensorInfo, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The length of the header stands in the first eight bytes.
const LENGTH: u64 = 8;
/// The longest header that is read; the reference implementation has the same limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open safetensors file: its header, and its tensors on demand.
#[derive(Debug)]
pub struct SafetensorsFile {
    source: Source,
    /// Where the tensors begin.
    start: u64,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsFile {
    /// Reads and checks the header.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_source(Source::open(path)?)
    }

    /// The same of an open file or of bytes.
    pub fn from_source(source: Source) -> Result<Self, Error> {
        let bad = |why: String| source.bad(format!("not a whole safetensors file ({why})"));
        let head = source.at(0, LENGTH.min(source.len()), "the length of the header")?;
        let head =
            <[u8; 8]>::try_from(head).map_err(|_| bad("it is shorter than 8 bytes".into()))?;
        let length = u64::from_le_bytes(head);
        if length > LONGEST_HEADER.min(source.len() - LENGTH) {
            return Err(bad(format!("it declares a header of {length} bytes")));
        }
        let header = source.at(LENGTH, length, "the header")?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
        let (start, held) = (LENGTH + length, header.data_len() as u64);
        if start.checked_add(held) != Some(source.len()) {
            return Err(bad(format!(
                "its tensors take {held} bytes, {} follow the header",
                source.len() - start
            )));
        }
        let metadata =
            header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let tensors = header.tensors().into_iter().map(|(n, i)| (n, i.clone())).collect();
        Ok(Self { source, start, tensors, metadata })
    }

    /// Names, element types and shapes, in order of name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(n, i)| (n.as_str(), i))
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Reads one tensor.
    pub fn read(&self, name: &str) -> Result<RawTensor, Error> {
        let info =
            self.tensors.get(name).ok_or_else(|| self.source.bad(format!("no tensor '{name}'")))?;
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let bytes = self.source.at(self.start + from, to - from, &format!("tensor '{name}'"))?;
        Ok(RawTensor { dtype: info.dtype, shape: info.shape.clone(), bytes })
    }
}

/// All tensors of a safetensors file, with its metadata.
pub fn read_safetensors(path: &Path) -> Result<(RawTensors, BTreeMap<String, String>), Error> {
    let file = SafetensorsFile::open(path)?;
    let tensors = file
        .tensors()
        .map(|(n, _)| Ok((n.to_string(), file.read(n)?)))
        .collect::<Result<_, Error>>()?;
    Ok((tensors, file.metadata))
}

/// Writes a safetensors file; the file appears whole or not at all.
pub fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, RawTensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let views = tensors
        .iter()
        .map(|(name, t)| {
            TensorView::new(t.dtype, t.shape.clone(), &t.bytes)
                .map(|v| (name.as_str(), v))
                .map_err(|e| Error::format(path, format!("tensor '{name}': {e}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let metadata = (!metadata.is_empty())
        .then(|| metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    let bytes = ::safetensors::serialize(views, metadata)
        .map_err(|e| Error::format(path, e.to_string()))?;
    write_whole(path, &bytes)
}
