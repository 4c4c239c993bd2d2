//! A tensor as a file has it: a strided view of a storage.

use ::safetensors::Dtype;
use std::sync::Arc;

/// Elements `offset + sum_i index_i * stride_i` of a storage. It is checked when it is made: every
/// element lies in the storage.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorView {
    storage: Arc<str>,
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: u64,
    /// One past the last element, from `offset`.
    extent: u64,
}

impl TensorView {
    /// Fails with words where shape, strides and offset leave a storage of so many bytes.
    pub(super) fn new(
        storage: Arc<str>,
        held: u64,
        dtype: Dtype,
        offset: u64,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, String> {
        let outside = || {
            format!(
                "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} leaves its \
                 storage '{storage}' of {held} bytes"
            )
        };
        let size = (dtype.bitsize() / 8) as u64;
        let count = shape.iter().try_fold(size, |n, &k| n.checked_mul(k as u64));
        if shape.len() != strides.len() || count.is_none() {
            return Err(outside());
        }
        let extent = match shape.contains(&0) {
            true => Some(0),
            false => shape
                .iter()
                .zip(&strides)
                .try_fold(1u64, |n, (&k, &s)| n.checked_add((k as u64 - 1).checked_mul(s as u64)?)),
        };
        let end = extent.and_then(|n| offset.checked_add(n)).and_then(|n| n.checked_mul(size));
        match (extent, end) {
            (Some(extent), Some(end)) if end <= held || extent == 0 => {
                Ok(Self { storage, dtype, shape, strides, offset, extent })
            }
            _ => Err(outside()),
        }
    }

    /// The key of the storage.
    pub fn storage(&self) -> &str {
        &self.storage
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn size(&self) -> usize {
        self.dtype.bitsize() / 8
    }

    /// How long it is when written out.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.size() as u64, |n, &k| n.saturating_mul(k as u64))
    }

    /// Where its bytes begin in the storage, and how many hold all its elements.
    pub(super) fn span(&self) -> (u64, u64) {
        let size = self.size() as u64;
        match self.extent {
            0 => (0, 0),
            n => (self.offset * size, n * size),
        }
    }

    /// Its elements in row-major order, from the bytes of its span.
    pub(super) fn gather(&self, held: &[u8]) -> Vec<u8> {
        let size = self.size();
        let mut out = Vec::with_capacity(self.bytes() as usize);
        self.gather_axis(held, 0, &mut out, size);
        out
    }

    fn gather_axis(&self, held: &[u8], axis: usize, out: &mut Vec<u8>, size: usize) {
        let rest = self.shape.get(axis..).unwrap_or_default();
        let strides = self.strides.get(axis..).unwrap_or_default();
        if row_major(rest, strides) {
            let count = rest.iter().product::<usize>() * size;
            out.extend_from_slice(held.get(..count).unwrap_or_default());
        } else if let (Some(&n), Some(&stride)) = (rest.first(), strides.first()) {
            for i in 0..n {
                let from = held.get(i * stride * size..).unwrap_or_default();
                self.gather_axis(from, axis + 1, out, size);
            }
        }
    }
}

/// Whether elements lie one after the other in their order; the stride of an axis of length 1 says
/// nothing.
fn row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut wanted = 1;
    shape.iter().zip(strides).rev().all(|(&n, &s)| {
        let fits = n == 1 || s == wanted;
        wanted *= n;
        fits
    })
}
