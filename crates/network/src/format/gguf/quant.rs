//! Blocks of quantised weights as f32.
//!
//! A row is cut into blocks of 32 or 256 elements that share scales. Each element is one product, or
//! one product and one sum, of f32 values in the order that the format defines (ggml-org,
//! `ggml/src/ggml-quants.c`, `dequantize_row_*`), none fused, so its bits are those of every other
//! reader of the format.

use crate::format::raw::{bf16, f16};

/// The element types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(non_camel_case_types)] // as the format writes them
pub enum Quantisation {
    /// binary32.
    F32,
    /// binary16.
    F16,
    /// The upper half of binary32.
    BF16,
    /// 32 elements: scale d, 4 bits each. x = d (q - 8).
    Q4_0,
    /// 32 elements: scale d, offset m, 4 bits each. x = d q + m.
    Q4_1,
    /// 32 elements: scale d, 5 bits each. x = d (q - 16).
    Q5_0,
    /// 32 elements: scale d, 8 bits each. x = q d.
    Q8_0,
    /// 256 elements in 8 groups: scales d and dmin, 6 bits of scale s and offset m a group, 4 bits
    /// an element. x = (d s) q - (dmin m).
    Q4_K,
    /// 256 elements in 16 groups: scale d, 8 bits of scale s a group, 6 bits an element.
    /// x = (d s) (q - 32).
    Q6_K,
}

use Quantisation::{BF16, F16, F32, Q4_0, Q4_1, Q4_K, Q5_0, Q6_K, Q8_0};

/// Every type that is read.
const READ: [Quantisation; 9] = [F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q6_K];

/// Names of the format's types by their numbers; empty where a number was given up.
const NAMES: [&str; 40] = [
    "F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K",
    "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S",
    "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "",
    "", "", "MXFP4",
];

/// What a number of the format means, for errors.
pub(super) fn name_of(id: u32) -> String {
    match NAMES.get(id as usize) {
        Some(name) if !name.is_empty() => (*name).into(),
        _ => format!("the unknown type {id}"),
    }
}

/// All that are read, for errors.
pub(super) fn names() -> String {
    READ.map(|k| format!("{k:?}")).join(", ")
}

impl Quantisation {
    /// By the number of the format; the number again if it is not one that is read.
    pub(super) fn from_id(id: u32) -> Result<Self, u32> {
        let name = NAMES.get(id as usize).copied().unwrap_or_default();
        READ.into_iter().find(|k| format!("{k:?}") == name).ok_or(id)
    }

    /// Elements of a block.
    pub fn block(self) -> usize {
        match self {
            F32 | F16 | BF16 => 1,
            Q4_0 | Q4_1 | Q5_0 | Q8_0 => 32,
            Q4_K | Q6_K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            F32 => 4,
            F16 | BF16 => 2,
            Q4_0 => 2 + 16,
            Q4_1 => 2 + 2 + 16,
            Q5_0 => 2 + 4 + 16,
            Q8_0 => 2 + 32,
            Q4_K => 2 + 2 + 12 + 128,
            Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of so many elements, if that is a number.
    pub(super) fn bytes(self, elements: u64) -> Option<u64> {
        elements.div_ceil(self.block() as u64).checked_mul(self.block_bytes() as u64)
    }

    /// The elements of whole blocks; what is left over at the end is ignored.
    pub fn dequantise(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            F32 => blocks(bytes, |b: &[u8; 4]| [f32::from_le_bytes(*b)]),
            F16 => blocks(bytes, |b: &[u8; 2]| [f16(*b)]),
            BF16 => blocks(bytes, |b: &[u8; 2]| [bf16(*b)]),
            Q4_0 => blocks(bytes, q4_0),
            Q4_1 => blocks(bytes, q4_1),
            Q5_0 => blocks(bytes, q5_0),
            Q8_0 => blocks(bytes, q8_0),
            Q4_K => blocks(bytes, q4_k),
            Q6_K => blocks(bytes, q6_k),
        }
    }
}

fn blocks<const BYTES: usize, const N: usize>(
    bytes: &[u8],
    one: impl Fn(&[u8; BYTES]) -> [f32; N],
) -> Vec<f32> {
    let (whole, _) = bytes.as_chunks();
    let mut out = Vec::with_capacity(whole.len() * N);
    whole.iter().for_each(|b| out.extend_from_slice(&one(b)));
    out
}

/// Element i of 32 has its 4 bits in byte i % 16: the lower half of it for i < 16.
fn nibble(quants: &[u8], i: usize) -> u8 {
    quants[i % 16] >> (4 * (i / 16)) & 15
}

fn q4_0(b: &[u8; 18]) -> [f32; 32] {
    let d = f16([b[0], b[1]]);
    std::array::from_fn(|i| d * f32::from(nibble(&b[2..], i) as i8 - 8))
}

fn q4_1(b: &[u8; 20]) -> [f32; 32] {
    let (d, m) = (f16([b[0], b[1]]), f16([b[2], b[3]]));
    std::array::from_fn(|i| d * f32::from(nibble(&b[4..], i)) + m)
}

fn q5_0(b: &[u8; 22]) -> [f32; 32] {
    let d = f16([b[0], b[1]]);
    let high = u32::from_le_bytes([b[2], b[3], b[4], b[5]]);
    std::array::from_fn(|i| {
        let q = nibble(&b[6..], i) | ((high >> i & 1) as u8) << 4;
        d * f32::from(q as i8 - 16)
    })
}

fn q8_0(b: &[u8; 34]) -> [f32; 32] {
    let d = f16([b[0], b[1]]);
    std::array::from_fn(|i| f32::from(b[2 + i] as i8) * d)
}

/// Groups of 32: bytes 32 g/2 .. of the quants, lower halves for even g. Groups 0 to 3 have their
/// 6 bits of scale in the lower bits of s[0..4] and of offset in s[4..8]; of groups 4 to 7 the lower
/// 4 bits lie in s[8..12], the upper 2 above those of the first groups.
fn q4_k(b: &[u8; 144]) -> [f32; 256] {
    let (d, d_min) = (f16([b[0], b[1]]), f16([b[2], b[3]]));
    let (s, quants) = (&b[4..16], &b[16..]);
    let mut out = [0.0; 256];
    for (g, group) in out.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = match g {
            0..4 => (s[g] & 63, s[g + 4] & 63),
            _ => (s[g + 4] & 15 | s[g - 4] >> 6 << 4, s[g + 4] >> 4 | s[g] >> 6 << 4),
        };
        let (scale, offset) = (d * f32::from(scale), d_min * f32::from(offset));
        for (x, q) in group.iter_mut().zip(&quants[g / 2 * 32..]) {
            *x = scale * f32::from(q >> (4 * (g % 2)) & 15) - offset;
        }
    }
    out
}

/// Each half of 128 has 64 bytes of lower 4 bits and 32 bytes of upper 2 bits: run r of 32 takes
/// bytes 32 (r % 2) .. of the former, upper halves for r > 1, and bits 2r of the latter. Groups of
/// 16 share a scale.
fn q6_k(b: &[u8; 210]) -> [f32; 256] {
    let (low, high, scales) = (&b[..128], &b[128..192], &b[192..208]);
    let d = f16([b[208], b[209]]);
    std::array::from_fn(|i| {
        let (half, run, k) = (i / 128, i / 32 % 4, i % 32);
        let lower = low[half * 64 + run % 2 * 32 + k] >> (4 * (run / 2)) & 15;
        let upper = high[half * 32 + k] >> (2 * run) & 3;
        let scale = d * f32::from(scales[i / 16] as i8);
        scale * f32::from((lower | upper << 4) as i8 - 32)
    })
}
