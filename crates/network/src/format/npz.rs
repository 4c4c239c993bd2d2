//! NumPy's `.npy` and `.npz`: one array, and an archive of named ones.
//!
//! Read are whole numbers, floats and booleans, little-endian, in C and Fortran order (turned to C
//! order), versions 1 to 3 of the header (Kern, NEP 1). Arrays of Python objects would run code and
//! are refused, as are other types, by name. Written is version 1 in C order. BF16 has no name in
//! NumPy, so it is not written.

use super::zip::{self, Archive};
use super::{RawTensor, RawTensors, Source, write_whole};
use crate::Error;
use ::safetensors::Dtype;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header longer than this declares no plain array.
const LONGEST_HEADER: u64 = 1 << 16;
/// NumPy's own limit.
const MOST_AXES: usize = 64;

/// Element types and how NumPy writes them.
const TYPES: [(Dtype, &str); 12] = [
    (Dtype::F16, "<f2"),
    (Dtype::F32, "<f4"),
    (Dtype::F64, "<f8"),
    (Dtype::I8, "|i1"),
    (Dtype::I16, "<i2"),
    (Dtype::I32, "<i4"),
    (Dtype::I64, "<i8"),
    (Dtype::U8, "|u1"),
    (Dtype::U16, "<u2"),
    (Dtype::U32, "<u4"),
    (Dtype::U64, "<u8"),
    (Dtype::BOOL, "|b1"),
];

/// All arrays of an `.npz` file, by name.
pub fn read_npz(path: &Path) -> Result<RawTensors, Error> {
    npz_from_source(Source::open(path)?)
}

/// The same of an open file or of bytes.
pub fn npz_from_source(source: Source) -> Result<RawTensors, Error> {
    let archive = Archive::open(source, "an .npz file")?;
    let bad = |why: String| archive.source().bad(why);
    let mut out = RawTensors::new();
    let mut left = archive.source().len().saturating_mul(zip::RATIO).max(zip::ALWAYS);
    for member in archive.names() {
        let len = archive.len_of(member).unwrap_or(0);
        left = left.checked_sub(len).ok_or_else(|| {
            bad(format!(
                "its arrays unpack to more than {} times the file; hint: save it with numpy.savez, \
                 without compression",
                zip::RATIO
            ))
        })?;
        let array = parse(archive.read(member)?).map_err(|e| bad(format!("'{member}': {e}")))?;
        let name = member.strip_suffix(".npy").unwrap_or(member);
        if out.insert(name.to_string(), array).is_some() {
            return Err(bad(format!("two arrays have the name '{name}'")));
        }
    }
    Ok(out)
}

/// The array of an `.npy` file.
pub fn read_npy(path: &Path) -> Result<RawTensor, Error> {
    let source = Source::open(path)?;
    let bytes = source.at(0, source.len(), "the array")?;
    parse(bytes).map_err(|e| source.bad(e))
}

/// Writes an `.npz` file without compression; the same arrays are the same file.
pub fn write_npz(path: &Path, arrays: &RawTensors) -> Result<(), Error> {
    let members = arrays
        .iter()
        .map(|(name, array)| {
            let bytes = serialise(array)
                .map_err(|e| Error::format(path, format!("array '{name}': {e}")))?;
            Ok((format!("{name}.npy"), bytes))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let archive = zip::stored(&members).ok_or_else(|| {
        Error::format(path, "more than 4 GB or 65,534 arrays; hint: safetensors holds them")
    })?;
    write_whole(path, &archive)
}

/// Writes an `.npy` file.
pub fn write_npy(path: &Path, array: &RawTensor) -> Result<(), Error> {
    write_whole(path, &serialise(array).map_err(|e| Error::format(path, e))?)
}

/// An array from the bytes of a file.
fn parse(mut bytes: Vec<u8>) -> Result<RawTensor, String> {
    let (start, len) = match (bytes.strip_prefix(MAGIC), bytes.get(8..12)) {
        (Some([1, _, ..]), Some(&[a, b, ..])) => (10, u64::from(u16::from_le_bytes([a, b]))),
        (Some([2 | 3, _, ..]), Some(&[a, b, c, d])) => {
            (12, u64::from(u32::from_le_bytes([a, b, c, d])))
        }
        (Some([v, ..]), _) => return Err(format!("version {v} of .npy is not read")),
        _ => return Err("not an .npy array".into()),
    };
    let header = (len <= LONGEST_HEADER)
        .then(|| bytes.get(start..start + len as usize))
        .flatten()
        .and_then(|h| std::str::from_utf8(h).ok())
        .ok_or("its header is cut short or no text")?;
    let header = Header::parse(header)?;
    let size = header.dtype.bitsize() / 8;
    let count = header.shape.iter().try_fold(size, |n, &k| n.checked_mul(k));
    bytes.drain(..start + len as usize);
    if count != Some(bytes.len()) {
        return Err(format!(
            "shape {:?} of {:?} does not take the {} bytes that follow",
            header.shape,
            header.dtype,
            bytes.len()
        ));
    }
    if header.fortran {
        bytes = row_major(&bytes, &header.shape, size);
    }
    Ok(RawTensor { dtype: header.dtype, shape: header.shape, bytes })
}

/// Elements in C order from those in Fortran order.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..bytes.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &n)| at * n + i);
        out.extend_from_slice(bytes.get(at * size..(at + 1) * size).unwrap_or_default());
        for (i, &n) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    out
}

fn serialise(array: &RawTensor) -> Result<Vec<u8>, String> {
    let kind =
        TYPES.iter().find(|(d, _)| *d == array.dtype).map(|(_, kind)| kind).ok_or_else(|| {
            format!("NumPy has no type for {:?}; hint: safetensors holds it", array.dtype)
        })?;
    let axes: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    // A tuple of one keeps its comma.
    let axes = if array.shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({axes}), }}");
    // Padded so that the elements begin at a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let len = u16::try_from(header.len()).map_err(|_| "too many axes for .npy")?;
    Ok([MAGIC, &[1, 0], &len.to_le_bytes(), header.as_bytes(), &array.bytes].concat())
}

/// What a header says: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Header {
    dtype: Dtype,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut dtype, mut fortran, mut shape) = (None, None, None);
        let bad = || format!("its header {:?} is not that of a plain array", text.trim_end());
        let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let mut rest = inner.ok_or_else(bad)?.trim();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(bad)?;
            rest = after.trim_start().strip_prefix(':').ok_or_else(bad)?.trim_start();
            match key {
                "descr" => {
                    let (kind, after) = quoted(rest).ok_or_else(|| {
                        format!(
                            "its elements are records, {:?}; plain numbers are read",
                            text.trim_end()
                        )
                    })?;
                    (dtype, rest) = (Some(dtype_of(kind)?), after);
                }
                "fortran_order" => {
                    let (value, after) = match rest.strip_prefix("False") {
                        Some(after) => (false, after),
                        None => (true, rest.strip_prefix("True").ok_or_else(bad)?),
                    };
                    (fortran, rest) = (Some(value), after);
                }
                "shape" => {
                    let (axes, after) =
                        rest.strip_prefix('(').and_then(|r| r.split_once(')')).ok_or_else(bad)?;
                    let axes = axes.split(',').map(str::trim).filter(|a| !a.is_empty());
                    let axes: Vec<usize> =
                        axes.map(|a| a.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
                    (shape, rest) = (Some(axes).filter(|a| a.len() <= MOST_AXES), after);
                }
                _ => return Err(bad()),
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        match (dtype, fortran, shape) {
            (Some(dtype), Some(fortran), Some(shape)) => Ok(Self { dtype, fortran, shape }),
            _ => Err(bad()),
        }
    }
}

/// A text in quotes, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

fn dtype_of(kind: &str) -> Result<Dtype, String> {
    let plain = |t: &str| t.trim_start_matches(['<', '|', '=']).to_string();
    if kind.contains('O') {
        return Err(
            "it holds pickled Python objects, which are not read; hint: save plain numbers".into(),
        );
    }
    if kind.starts_with('>') {
        return Err(format!("its elements '{kind}' are big-endian; hint: save .astype('<...')"));
    }
    let found = TYPES.iter().find(|(_, name)| plain(name) == plain(kind));
    found.map(|(d, _)| *d).ok_or_else(|| format!("its elements are '{kind}', which is not read"))
}
