//! Many runs of one graph on the same inputs that differ only behind an edit.
//!
//! A *variant* of a run has something else at a site, and so has whatever reads that. [`Variants`] records
//! a graph once, for each entry of its batch (the first axis of what is no parameter), and beside it, for
//! each call of [`Variants::add`], so many variants of every entry: of each value only what the edit can
//! have changed. All else is read where the common run has it, computed once for all variants. Where the
//! edit is of one index of an axis (one head's query), what follows is of that index alone up to the first
//! operation that mixes the axis.
//!
//! *Bits.* Every element is computed by the same operations from the same operands as in a run of its own.

use crate::graph::Node;
use crate::kernel::shapes_error;
use crate::ops::{Binary, Einsum, SumTo, Unary};
use crate::{Error, Graph, Narrowed, Op, Part, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value in all variants: the first axis has those of an entry of the batch side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Varied {
    /// `[batch * times, ..]`.
    pub value: Value,
    /// The indices that `value` has; at the others variants have what the common run has.
    pub part: Option<Part>,
}

/// What the readers of a site shall read in the variants: sees the graph that is being recorded, the site's
/// name, what the common run has there and what the variants have now, if that is not the same.
pub type Vary<'e> =
    dyn FnMut(&mut Recording, &str, Value, Option<Varied>) -> Result<Option<Varied>, Error> + 'e;

/// A graph and variants of it.
#[derive(Debug)]
pub struct Variants<'g> {
    plain: &'g Graph,
    /// Where each value of the plain graph went.
    common: Vec<Value>,
    recording: Recording,
}

/// The graph of a common run and of variants of it.
#[derive(Debug)]
pub struct Recording {
    /// The graph.
    pub graph: Graph,
    times: usize,
    /// Parts of what is common: (value, axis, first index, how many).
    slices: BTreeMap<(Value, usize, usize, usize), Value>,
}

impl<'g> Variants<'g> {
    /// Records the common run.
    pub fn new(plain: &'g Graph) -> Result<Self, Error> {
        let mut recording = Recording::of(Graph::new());
        let common = recording.graph.join(plain, "")?;
        Ok(Self { plain, common, recording })
    }

    /// Records so many variants of each entry of the batch; returns what they have at `read`, a value of the
    /// plain graph: `[batch * times, ..]`, or what the common run has where no edit reaches it. Names of
    /// sites move to the variants', where all of the site is theirs.
    pub fn add(&mut self, times: usize, edit: &mut Vary, read: Value) -> Result<Value, Error> {
        let recording = &mut self.recording;
        recording.times = times;
        let mut varied: Vec<Option<Varied>> = Vec::with_capacity(self.plain.nodes.len());
        for (i, node) in self.plain.nodes.iter().enumerate() {
            let now = match node {
                Node::Leaf { .. } | Node::Constant(_) => None,
                Node::Alias { of, site } => {
                    let mut now = varied[of.index()];
                    if self.plain.shape(*of) != self.plain.shapes[i].as_slice()
                        && let Some(v) = now
                    {
                        let from = self.common[of.index()];
                        now = Some(recording.reshaped(from, v, &self.plain.shapes[i])?);
                    }
                    if let Some(name) = site {
                        now = edit(recording, name, self.common[i], now)?;
                        if let Some(v @ Varied { part: None, .. }) = &mut now {
                            v.value = recording.graph.site(name, v.value);
                        }
                    }
                    now
                }
                Node::Apply { op, x } => {
                    let now: Vec<_> =
                        x.iter().map(|v| (self.common[v.index()], varied[v.index()])).collect();
                    recording.varied(op, &now, &self.plain.shapes[i])?
                }
                Node::Derived { kernel, x } => {
                    match x.iter().any(|v| varied[v.index()].is_some()) {
                        true => {
                            let shapes: Vec<_> = x.iter().map(|&v| self.plain.shape(v)).collect();
                            let why = "part of a derivative has no variants";
                            return Err(shapes_error(kernel.name(), &shapes, why));
                        }
                        false => None,
                    }
                }
            };
            varied.push(now);
        }
        match varied[read.index()] {
            Some(_) => recording.whole(self.common[read.index()], varied[read.index()]),
            None => Ok(self.common[read.index()]),
        }
    }

    /// What was recorded.
    pub fn finish(self) -> Graph {
        self.recording.graph
    }
}

impl Recording {
    /// Goes on with a graph, one variant of each entry.
    pub fn of(graph: Graph) -> Self {
        Self { graph, times: 1, slices: BTreeMap::new() }
    }

    /// Variants of each entry.
    pub fn times(&self) -> usize {
        self.times
    }

    /// All of a value in all variants, `[batch * times, ..]`.
    pub fn whole(&mut self, common: Value, varied: Option<Varied>) -> Result<Value, Error> {
        let Some(Varied { value, part }) = varied else { return self.repeated(common) };
        let Some(Part { axis, start, len }) = part else { return Ok(value) };
        let mut all = vec![];
        let end = start + len;
        for (first, len) in [(0, start), (end, self.graph.shape(common)[axis] - end)] {
            if first == end {
                all.push(value);
            }
            if len > 0 {
                let rest = self.part(common, Part { axis, start: first, len })?;
                all.push(self.repeated(rest)?);
            }
        }
        self.graph.concat(&all, axis)
    }

    /// Indices of what is common.
    pub fn part(&mut self, x: Value, part: Part) -> Result<Value, Error> {
        let Part { axis, start, len } = part;
        let key = (x, axis, start, len);
        if let Some(&v) = self.slices.get(&key) {
            return Ok(v);
        }
        let v = self.graph.slice(x, axis, start, len)?;
        self.slices.insert(key, v);
        Ok(v)
    }

    /// What is common, once for each variant.
    fn repeated(&mut self, x: Value) -> Result<Value, Error> {
        let shape = self.graph.shape(x).to_vec();
        let (Some((&batch, rest)), true) = (shape.split_first(), self.times != 1) else {
            return Ok(x);
        };
        let x = self.graph.reshape(x, &[&[batch, 1], rest].concat())?;
        let x = self.graph.repeat_to(x, &[&[batch, self.times], rest].concat())?;
        self.graph.reshape(x, &[&[batch * self.times], rest].concat())
    }

    /// The same under another shape, `to` in the common run.
    fn reshaped(&mut self, common: Value, v: Varied, to: &[usize]) -> Result<Varied, Error> {
        let from = self.graph.shape(common).to_vec();
        let moved =
            v.part.map(|p| crate::narrow::through_reshape(to, &from, p.axis).map(|a| p.of(a)));
        let (value, part) = match moved {
            None => (v.value, None),
            Some(Some(part)) => (v.value, Some(part)),
            Some(None) => (self.whole(common, Some(v))?, None),
        };
        let mut shape = part.map_or(to.to_vec(), |p| p.shape(to));
        match shape.first_mut() {
            Some(batch) if *batch == from[0] => *batch *= self.times,
            _ => {
                return Err(shapes_error(
                    "reshape",
                    &[&from, to],
                    "the batch is not the first axis",
                ));
            }
        }
        Ok(Varied { value: self.graph.reshape(value, &shape)?, part })
    }

    /// An operation on operands some of which may be varied; `shape` is that of its result in the common
    /// run.
    fn varied(
        &mut self,
        op: &Arc<dyn Op>,
        x: &[(Value, Option<Varied>)],
        shape: &[usize],
    ) -> Result<Option<Varied>, Error> {
        if x.iter().all(|x| x.1.is_none()) {
            return Ok(None);
        }
        if let Some(sum) = self.summed(op, x)? {
            return Ok(Some(Varied { value: sum, part: None }));
        }
        let narrowed = self.narrowed(op, x, shape);
        let part = narrowed.as_ref().map(|n| n.0);
        let (op, axes) = match narrowed {
            Some((_, (op, axes))) => (op, axes),
            None => (op.clone(), vec![None; x.len()]),
        };
        let mut operands = vec![];
        for (&(common, varied), axis) in x.iter().zip(axes) {
            operands.push(match (varied, part, axis) {
                (Some(v), Some(_), _) => (v.value, true),
                (Some(_), None, _) => (self.whole(common, varied)?, true),
                (None, Some(part), Some(axis)) => (self.part(common, part.of(axis))?, false),
                (None, ..) => (common, false),
            });
        }
        Ok(Some(Varied { value: self.apply(op, &operands)?, part }))
    }

    /// The part of the result that varied parts of operands make, and the operation that makes it.
    fn narrowed(
        &self,
        op: &Arc<dyn Op>,
        x: &[(Value, Option<Varied>)],
        shape: &[usize],
    ) -> Option<(Part, Narrowed)> {
        let shapes: Vec<&[usize]> = x.iter().map(|x| self.graph.shape(x.0)).collect();
        let first = x.iter().find_map(|x| x.1)?.part?;
        (1..shape.len()).filter(|&a| first.start + first.len <= shape[a]).find_map(|axis| {
            let part = first.of(axis);
            let narrowed = op.narrowed(&shapes, part)?;
            let fits = x.iter().zip(&narrowed.1).all(|((_, varied), axis)| {
                varied.is_none_or(|v| axis.is_some() && v.part == axis.map(|a| part.of(a)))
            });
            fits.then_some((part, narrowed))
        })
    }

    /// A sum over the axis of which one index is varied: the common terms before it, it, those behind.
    fn summed(
        &mut self,
        op: &Arc<dyn Op>,
        x: &[(Value, Option<Varied>)],
    ) -> Result<Option<Value>, Error> {
        let (Some(sum), &[(common, Some(varied))]) = (downcast::<SumTo>(op), x) else {
            return Ok(None);
        };
        let Varied { value, part: Some(Part { axis, start, len: 1 }) } = varied else {
            return Ok(None);
        };
        let (from, to) = (self.graph.shape(common).to_vec(), sum.target().to_vec());
        let alone = from.len() == to.len()
            && axis + 1 < from.len()
            && (0..from.len()).all(|i| (from[i] == to[i]) != (i == axis));
        if !alone {
            return Ok(None);
        }
        let mut rest = start + 1;
        let before = if start > 0 {
            let terms = self.part(common, Part { axis, start: 0, len: start })?;
            self.graph.sum_to(terms, &to)?
        } else {
            // The first two terms may change places: the sum from +0 of the second comes first.
            rest = 2;
            let second = self.part(common, Part { axis, start: 1, len: 1 })?;
            self.graph.unary(Unary::Shift(0.0), second)?
        };
        let add: Arc<dyn Op> = Arc::new(Binary::Add);
        let mut sum = self.apply(add.clone(), &[(before, false), (value, true)])?;
        for start in rest..from[axis] {
            let term = self.part(common, Part { axis, start, len: 1 })?;
            sum = self.apply(add.clone(), &[(sum, true), (term, false)])?;
        }
        Ok(Some(sum))
    }

    /// Records an operation on operands of which some have all variants and the others are common to them;
    /// the result has all variants.
    pub fn apply(&mut self, op: Arc<dyn Op>, x: &[(Value, bool)]) -> Result<Value, Error> {
        let times = self.times;
        if times == 1 {
            let x: Vec<Value> = x.iter().map(|x| x.0).collect();
            return self.push(op, &x);
        }
        let entries = |g: &Graph, (v, varied): (Value, bool)| {
            let mut shape = g.shape(v).to_vec();
            if let (Some(batch), true) = (shape.first_mut(), varied) {
                *batch /= times;
            }
            shape
        };
        // Shapes of one variant.
        let shapes: Vec<Vec<usize>> = x.iter().map(|&x| entries(&self.graph, x)).collect();
        let varied: Vec<bool> = x.iter().map(|x| x.1).collect();
        let beside: Option<Arc<dyn Op>> = match downcast::<Einsum>(&op) {
            Some(e) => e.beside([varied[0], varied[1]], times).map(|e| Arc::new(e) as Arc<dyn Op>),
            None => None,
        };
        let axes = shapes.iter().map(Vec::len).max().unwrap_or(0);
        let mixed = downcast::<Binary>(&op).is_some()
            && (0..2).any(|i| !varied[i] && shapes[i].len() == axes);
        if beside.is_some() || mixed {
            // [batch, times, ..] beside [batch, ..] or [batch, 1, ..].
            let mut operands = vec![];
            for (&(v, varied), shape) in x.iter().zip(&shapes) {
                let shape = match (varied, mixed && shape.len() == axes) {
                    (true, _) => [&[shape[0], times], &shape[1..]].concat(),
                    (false, true) => [&[shape[0], 1], &shape[1..]].concat(),
                    (false, false) => shape.clone(),
                };
                operands.push(self.graph.shaped(v, &shape));
            }
            let y = self.push(beside.unwrap_or(op), &operands)?;
            let shape = self.graph.shape(y).to_vec();
            return self.graph.reshape(y, &[&[shape[0] * shape[1]], &shape[2..]].concat());
        }
        let all: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let batch = x.iter().zip(&all).find(|(x, _)| x.1).map_or(1, |(_, shape)| shape[0]);
        let rows = Part { axis: 0, start: 0, len: batch * times };
        let (op, axes) = op
            .narrowed(&all, rows)
            .ok_or_else(|| shapes_error(op.name(), &all, "this operation has no variants"))?;
        let mut operands = vec![];
        for (&(v, varied), axis) in x.iter().zip(axes) {
            operands.push(if !varied && axis == Some(0) { self.repeated(v)? } else { v });
        }
        self.push(op, &operands)
    }

    fn push(&mut self, op: Arc<dyn Op>, x: &[Value]) -> Result<Value, Error> {
        let shapes: Vec<&[usize]> = x.iter().map(|&v| self.graph.shape(v)).collect();
        let shape = op.shape(&shapes)?;
        Ok(self.graph.push(Node::Apply { op, x: x.to_vec() }, shape))
    }
}

fn downcast<T: 'static>(op: &Arc<dyn Op>) -> Option<&T> {
    (op.as_ref() as &dyn Any).downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bindings, Context, Program, Stream};

    const HEADS: usize = 3;

    /// Attention on x `[batch, 4, 5]` with a residual; the site `q` is `[batch, 4, head, 2]`.
    fn attention(batch: usize) -> Result<(Graph, Value), Error> {
        let mut g = Graph::new();
        let x = g.input("x", &[batch, 4, 5]);
        let [wq, wk] = ["wq", "wk"].map(|w| g.parameter(w, &[HEADS, 5, 2]));
        let wo = g.parameter("wo", &[HEADS, 2, 5]);
        let q = g.einsum("bpd,hdk->bphk", x, wq)?;
        let q = g.site("q", q);
        let k = g.einsum("bpd,hdk->bphk", x, wk)?;
        let scores = g.einsum("bqhk,bphk->bhqp", q, k)?;
        let scores = g.causal_mask(scores)?;
        let pattern = g.softmax(scores)?;
        let z = g.einsum("bhqp,bphk->bqhk", pattern, k)?;
        let result = g.einsum("bphk,hkd->bphd", z, wo)?;
        let sum = g.sum_to(result, &[batch, 4, 1, 5])?;
        let sum = g.reshape(sum, &[batch, 4, 5])?;
        let y = g.add(x, sum)?;
        let centred = g.center(y)?;
        let scale = g.root_mean_square(centred, 1e-5)?;
        let y = g.div(centred, scale)?;
        Ok((g, y))
    }

    fn values(name: &str, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        Stream::new(3, name).block(0).fill_normal(&mut out, 1.0);
        out
    }

    fn run(g: &Graph, out: Value, leaves: &[(&str, &[f32])]) -> Result<Vec<f32>, Error> {
        let weights = ["wq", "wk", "wo"].map(|w| (w, values(w, HEADS * 10)));
        let mut bindings = Bindings::new();
        weights.iter().for_each(|(name, w)| bindings.bind(name, w));
        leaves.iter().for_each(|(name, x)| bindings.bind(name, x));
        let mut program = Program::compile(g, &[out])?;
        program.run(&Context::single(), &bindings)?;
        Ok(program.output(0).to_vec())
    }

    #[test]
    fn variants_have_the_bits_of_runs_of_their_own() -> Result<(), Error> {
        let parts = (0..HEADS).map(|h| Some(Part { axis: 2, start: h, len: 1 })).chain([None]);
        for part in parts {
            for (batch, times) in [(1, 1), (1, 3), (2, 1), (2, 3)] {
                let (plain, y) = attention(batch)?;
                let heads = part.map_or(HEADS, |p| p.len);
                let (x, edit) =
                    (values("x", batch * 20), values("edit", batch * times * 8 * heads));
                let mut variants = Variants::new(&plain)?;
                let mut vary = |r: &mut Recording, name: &str, _: Value, now: Option<Varied>| {
                    let shape = [batch * times, 4, heads, 2];
                    Ok(match name {
                        "q" => Some(Varied { value: r.graph.input("edit", &shape), part }),
                        _ => now,
                    })
                };
                let out = variants.add(times, &mut vary, y)?;
                let g = variants.finish();
                let got = run(&g, out, &[("x", &x), ("edit", &edit)])?;

                // The same with one entry and one variant of it at a time.
                let (one, y) = attention(1)?;
                for (i, got) in got.chunks(20).enumerate() {
                    let g = one.edited(&mut |g, name, v| {
                        if name != "q" {
                            return Ok(None);
                        }
                        let all = (0..HEADS).map(|h| match part {
                            Some(p) if p.start != h => g.slice(v, 2, h, 1),
                            _ => {
                                let e = g.input("edit", &[1, 4, heads, 2]);
                                g.slice(e, 2, if part.is_some() { 0 } else { h }, 1)
                            }
                        });
                        let all = all.collect::<Result<Vec<_>, _>>()?;
                        g.concat(&all, 2).map(Some)
                    })?;
                    // What is recorded for the edit lies in front of all that follows.
                    let y = Value(y.0 + (g.len() - one.len()) as u32);
                    let (x, edit) = (&x[i / times * 20..], &edit[i * 8 * heads..]);
                    let wanted = run(&g, y, &[("x", &x[..20]), ("edit", &edit[..8 * heads])])?;
                    assert_eq!(got, wanted, "{part:?}, {batch} x {times}, row {i}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn what_no_edit_reaches_is_common() -> Result<(), Error> {
        let (plain, y) = attention(2)?;
        let mut variants = Variants::new(&plain)?;
        let out = variants.add(3, &mut |_, _, _, now| Ok(now), y)?;
        assert_eq!(variants.finish().shape(out), [2, 4, 5]);
        Ok(())
    }
}
