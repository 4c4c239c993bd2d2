//! Where everything stands: residual dimensions of each variable, layer and head of each writer.
//!
//! A variable is written in the first layer in which all that it reads is there: attention reads
//! the stream in front of its block, an MLP behind its block's attention. So there are as few
//! layers as the longest chain of variables needs.

use super::lower::{Lowered, Writer};
use crate::Error;
use std::ops::Range;

/// Residual dimensions at most.
const DIMENSIONS: usize = 4096;

/// Places of all steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// For each step its residual dimensions; empty without a place.
    pub dims: Vec<Range<usize>>,
    /// Dimension of BOS.
    pub bos: usize,
    pub d_model: usize,
    /// Steps that are heads of each layer, in order.
    pub heads: Vec<Vec<usize>>,
    /// Steps that neurons of each layer make, in order.
    pub neurons: Vec<Vec<usize>>,
}

impl Layout {
    pub fn new(organism: &str, l: &Lowered) -> Result<Self, Error> {
        let mut out = Self { dims: vec![], bos: 0, d_model: 0, heads: vec![], neurons: vec![] };
        // How many attentions and MLPs have run when a step is there.
        let mut depths: Vec<usize> = vec![];
        for (i, step) in l.steps.iter().enumerate() {
            let deepest = |reads: &[usize]| reads.iter().map(|&r| depths[r]).max().unwrap_or(0);
            let attention = |conjuncts: &[super::lower::Conjunct], x: Option<usize>| {
                let reads = conjuncts.iter().flat_map(|c| [c.keys, c.queries]).chain(x);
                let layer = deepest(&reads.collect::<Vec<_>>()).div_ceil(2);
                (layer, 2 * layer + 1)
            };
            let mlp = |reads: &[usize]| {
                let layer = deepest(reads) / 2;
                (layer, 2 * layer + 2)
            };
            let mut size = step.domain.dims();
            let depth = match &step.writer {
                Writer::Embed | Writer::Positions => 0,
                Writer::Nobody => {
                    size = 0;
                    0
                }
                Writer::Gather { conjuncts, x, .. } => {
                    let (layer, depth) = attention(conjuncts, Some(*x));
                    at(&mut out.heads, layer).push(i);
                    depth
                }
                Writer::Share { conjuncts } => {
                    let (layer, depth) = attention(conjuncts, None);
                    at(&mut out.heads, layer).push(i);
                    depth
                }
                Writer::Map { x, y, .. } => {
                    let reads: Vec<usize> = [*x].into_iter().chain(*y).collect();
                    let (layer, depth) = mlp(&reads);
                    at(&mut out.neurons, layer).push(i);
                    depth
                }
                Writer::Affine { terms, .. } => {
                    let reads: Vec<usize> = terms.iter().map(|t| t.0).collect();
                    let (layer, depth) = mlp(&reads);
                    at(&mut out.neurons, layer).push(i);
                    depth
                }
            };
            depths.push(depth);
            out.dims.push(out.d_model..out.d_model + size);
            out.d_model += size;
            if i == 0 {
                out.bos = out.d_model;
                out.d_model += 1;
            }
            if out.d_model > DIMENSIONS {
                let why = format!(
                    "with it the program needs more than {DIMENSIONS} residual dimensions; hint: a \
                     shorter length or a smaller vocabulary",
                );
                return Err(Error::variable(organism, &step.name, &why));
            }
        }
        let layers = out.heads.len().max(out.neurons.len()).max(1);
        out.heads.resize(layers, vec![]);
        out.neurons.resize(layers, vec![]);
        Ok(out)
    }
}

fn at(layers: &mut Vec<Vec<usize>>, layer: usize) -> &mut Vec<usize> {
    if layers.len() <= layer {
        layers.resize(layer + 1, vec![]);
    }
    &mut layers[layer]
}
