//! GGUF, the file format of llama.cpp: metadata, then a table of tensors, then their blocks.
//!
//! Read are versions 2 and 3, little-endian, all kinds of metadata, and the element types of
//! [`Quantisation`]; a tensor of another type is an error that names it, when it is asked for. The
//! layout follows the format's specification (ggml-org, `docs/gguf.md`). Offsets are checked against
//! the length of the file, and tensors may not overlap, so no file unpacks to more than
//! [`Quantisation`]'s ratio of its own length.
//!
//! GGUF counts axes from the innermost; shapes here are outermost first, as everywhere:
//! a linear map lies as `[out, in]`.
//!
//! ```no_run
//! use flyroom_network::format::gguf::Gguf;
//! let file = Gguf::open("model.gguf".as_ref())?;
//! let layers = file.metadata().count("llama.block_count")?;
//! let embed = file.read("token_embd.weight")?; // dequantised, [d_vocab, d_model]
//! # Ok::<(), flyroom_network::Error>(())
//! ```

mod metadata;
mod quant;
mod scan;

pub use metadata::{List, Metadata, Value};
pub use quant::Quantisation;

use super::Source;
use crate::Error;
use flyroom_tensor::Tensor;
use scan::Scan;
use std::collections::BTreeMap;
use std::path::Path;

const MAGIC: &[u8] = b"GGUF";
/// Where `general.alignment` is absent.
const ALIGNMENT: u64 = 32;
/// ggml has no tensor of more axes.
const MOST_AXES: u32 = 4;

/// A tensor of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Lengths of the axes, outermost first.
    pub shape: Vec<usize>,
    /// How its elements are stored; the number of the type if it is not one that is read here.
    pub kind: Result<Quantisation, u32>,
    /// Where it begins in the file.
    offset: u64,
}

/// An open GGUF file: its metadata and table, and its tensors on demand.
#[derive(Debug)]
pub struct Gguf {
    source: Source,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Gguf {
    /// Reads and checks metadata and table.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_source(Source::open(path)?)
    }

    /// The same of an open file or of bytes.
    pub fn from_source(source: Source) -> Result<Self, Error> {
        let mut scan = Scan::new(&source);
        version(&mut scan)?;
        let n_tensors = scan.u64("the number of tensors")?;
        let n_keys = scan.u64("the number of metadata keys")?;
        let metadata = Metadata::read(&mut scan, n_keys)?;
        // A tensor of the table takes at least 24 bytes.
        scan.affords(n_tensors, 24, "the table of tensors")?;
        let mut tensors = BTreeMap::new();
        for _ in 0..n_tensors {
            let name = scan.text("the name of a tensor")?;
            let info = tensor_info(&mut scan, &name)?;
            if tensors.insert(name.clone(), info).is_some() {
                return Err(source.bad(format!("tensor '{name}' stands twice in the table")));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(_) => metadata.count("general.alignment")? as u64,
        };
        if !alignment.is_power_of_two() {
            return Err(source.bad(format!("general.alignment is {alignment}, no power of two")));
        }
        let start = scan.at().checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
        place(&source, &mut tensors, start, alignment)?;
        Ok(Self { source, metadata, tensors })
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names, shapes and types, in order of name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(n, i)| (n.as_str(), i))
    }

    /// One entry of the table.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.tensors.get(name).ok_or_else(|| self.source.bad(format!("no tensor '{name}'")))
    }

    /// Reads one tensor, dequantised.
    pub fn read(&self, name: &str) -> Result<Tensor, Error> {
        let info = self.tensor(name)?;
        let kind = info.kind.map_err(|id| {
            self.source.bad(format!(
                "tensor '{name}' is stored as {}, which is not read; hint: {} are: convert it \
                 with llama.cpp's `llama-quantize --allow-requantize`",
                quant::name_of(id),
                quant::names()
            ))
        })?;
        let count = elements(&info.shape).unwrap_or(u64::MAX);
        let bytes = kind.bytes(count).unwrap_or(u64::MAX);
        let raw = self.source.at(info.offset, bytes, &format!("tensor '{name}'"))?;
        Ok(Tensor::new(&info.shape, kind.dequantise(&raw))?)
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Checks magic and version.
fn version(scan: &mut Scan) -> Result<(), Error> {
    let source = scan.source();
    if source.len() < 24 || scan.bytes(4, "the magic number")? != MAGIC {
        return Err(source.bad("not a GGUF file (it does not begin with 'GGUF' and a header)"));
    }
    match scan.u32("the version")? {
        2 | 3 => Ok(()),
        1 => Err(source.bad("GGUF version 1; hint: versions 2 and 3 are read, convert it again")),
        v if v.swap_bytes() < 1 << 16 => Err(source.bad(
            "a big-endian GGUF file; hint: little-endian ones are read, convert it with \
             `gguf-convert-endian`",
        )),
        v => Err(source.bad(format!("GGUF version {v}; versions 2 and 3 are read"))),
    }
}

/// One entry of the table, its offset still relative to the data.
fn tensor_info(scan: &mut Scan, name: &str) -> Result<TensorInfo, Error> {
    let what = format!("tensor '{name}'");
    let axes = scan.u32(&what)?;
    if axes > MOST_AXES {
        return Err(scan.source().bad(format!("{what} has {axes} axes; GGUF has at most 4")));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let n = scan.u64(&what)?;
        shape.push(usize::try_from(n).map_err(|_| {
            scan.source().bad(format!("{what} has an axis of {n}, more than memory can hold"))
        })?);
    }
    let kind = Quantisation::from_id(scan.u32(&what)?);
    let offset = scan.u64(&what)?;
    let rows_of = shape.first().copied().unwrap_or(1);
    if let Ok(kind) = kind
        && !rows_of.is_multiple_of(kind.block())
    {
        return Err(scan.source().bad(format!(
            "{what} has rows of {rows_of}, no multiple of the {} elements of a {kind:?} block",
            kind.block()
        )));
    }
    shape.reverse();
    Ok(TensorInfo { shape, kind, offset })
}

/// How many elements a shape has, if that is a number.
fn elements(shape: &[usize]) -> Option<u64> {
    shape.iter().try_fold(1u64, |n, &k| n.checked_mul(k as u64))
}

/// Makes offsets absolute, and checks that tensors lie in the file, aligned and apart.
fn place(
    source: &Source,
    tensors: &mut BTreeMap<String, TensorInfo>,
    start: u64,
    alignment: u64,
) -> Result<(), Error> {
    let mut spans = Vec::with_capacity(tensors.len());
    for (name, info) in tensors.iter_mut() {
        // Where a tensor of an unknown type ends is not known; it is never read.
        let bytes = match info.kind {
            Ok(kind) => elements(&info.shape).and_then(|n| kind.bytes(n)),
            Err(_) => Some(0),
        };
        let aligned = info.offset.is_multiple_of(alignment);
        let span = start
            .checked_add(info.offset)
            .and_then(|from| Some((from, from.checked_add(bytes?)?)))
            .filter(|(_, to)| aligned && *to <= source.len());
        let Some((from, to)) = span else {
            return Err(source.bad(format!(
                "tensor '{name}' {:?} at {} of the data does not fit the file of {} bytes or its \
                 alignment of {alignment}; hint: it is cut short or damaged, fetch it again",
                info.shape,
                info.offset,
                source.len()
            )));
        };
        info.offset = from;
        spans.push((from, to, name));
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if let [(_, end, a), (begin, _, b)] = pair
            && begin < end
        {
            return Err(source.bad(format!("tensors '{a}' and '{b}' overlap")));
        }
    }
    Ok(())
}
