//! A tensor as it lies in a file: element type, shape, bytes. What is written again from it is the
//! same bit for bit, also where the type is one that no network here computes with.

use ::safetensors::Dtype;
use flyroom_tensor::Tensor;
use std::collections::BTreeMap;

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

/// Tensors of a file by name.
pub type RawTensors = BTreeMap<String, RawTensor>;

impl RawTensor {
    /// From f32 values.
    pub fn from_tensor(t: &Tensor) -> Self {
        Self {
            dtype: Dtype::F32,
            shape: t.shape().to_vec(),
            bytes: t.data().iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// From whole numbers, row by row.
    pub fn from_integers(shape: &[usize], values: impl IntoIterator<Item = i64>) -> Self {
        let bytes = values.into_iter().flat_map(i64::to_le_bytes).collect();
        Self { dtype: Dtype::I64, shape: shape.to_vec(), bytes }
    }

    /// As f32 values, if it holds floats that f32 contains.
    pub fn to_tensor(&self) -> Option<Tensor> {
        let data = match self.dtype {
            Dtype::F32 => self
                .bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::BF16 => self.bytes.chunks_exact(2).map(|b| bf16([b[0], b[1]])).collect(),
            Dtype::F16 => self.bytes.chunks_exact(2).map(|b| f16([b[0], b[1]])).collect(),
            _ => return None,
        };
        Tensor::new(&self.shape, data).ok()
    }
}

/// The upper half of a binary32, little-endian, as binary32.
pub(super) fn bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// IEEE 754 binary16, little-endian, as binary32, exactly.
pub(super) fn f16(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 1023);
    match exponent {
        // Zeros and subnormals: fraction * 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * f32::from_bits((127 - 24) << 23)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}
