//! Weights on disk: safetensors, read whole and checked, written to a temporary name and renamed.

use crate::Error;
use flyroom_tensor::Tensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A tensor as it lies in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Little-endian bytes.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// From f32 values.
    pub fn from_tensor(t: &Tensor) -> Self {
        Self {
            dtype: Dtype::F32,
            shape: t.shape().to_vec(),
            bytes: t.data().iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// As f32 values, if it holds floats that f32 contains.
    pub fn to_tensor(&self) -> Option<Tensor> {
        let data = match self.dtype {
            Dtype::F32 => self
                .bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::BF16 => self
                .bytes
                .chunks_exact(2)
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
                .collect(),
            Dtype::F16 => {
                self.bytes.chunks_exact(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect()
            }
            _ => return None,
        };
        Tensor::new(&self.shape, data).ok()
    }
}

/// IEEE 754 binary16 to binary32, exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 1023);
    match exponent {
        // Zeros and subnormals: fraction * 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * f32::from_bits((127 - 24) << 23)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

/// Tensors of a file by name.
pub type RawTensors = BTreeMap<String, RawTensor>;

/// All tensors of a safetensors file, with its metadata.
pub fn read_safetensors(path: &Path) -> Result<(RawTensors, BTreeMap<String, String>), Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let bad = |e: safetensors::SafeTensorError| {
        Error::format(path, format!("not a whole safetensors file ({e})"))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(bad)?;
    let tensors = file
        .iter()
        .map(|(name, view)| {
            let t = RawTensor {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            (name.to_string(), t)
        })
        .collect();
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(bad)?;
    let metadata =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok((tensors, metadata))
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
    let bytes =
        safetensors::serialize(views, metadata).map_err(|e| Error::format(path, e.to_string()))?;
    write_whole(path, &bytes)
}

/// Writes bytes to a temporary neighbour and renames it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // Two threads may write the same file: each has a temporary name of its own.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".{name}.tmp-{}-{next}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Error::file(path, e)
    })
}
