//! Softmax along the last axis, its logarithm, and the causal mask before it.

use super::{loss::log_sum_exp, narrowed_rows};
use crate::kernel::{Applied, Arg, Arg64, Walk, rows, shapes_error};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value, kernels::softmax, math};
use std::sync::Arc;

/// exp(x - max) / sum; a row of -inf gives zeros.
#[derive(Debug, Clone, Copy)]
pub struct Softmax;

/// x - logsumexp(x)
#[derive(Debug, Clone, Copy)]
pub struct LogSoftmax;

/// Scores `[.., query, key]`: -inf where key > first + query.
#[derive(Debug, Clone, Copy)]
pub struct CausalMask {
    /// The place among the keys of the first query.
    pub first: usize,
}

impl Kernel for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        softmax::softmax_last(cx, x[0].real(), rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        for (x, y) in x[0].real.chunks(cols.max(1)).zip(y.chunks_mut(cols.max(1))) {
            let lse = log_sum_exp(x);
            y.iter_mut().zip(x).for_each(|(y, &x)| {
                *y = if lse == f64::NEG_INFINITY { 0.0 } else { math::exp64(x - lse) };
            });
        }
    }
}

/// Operands y = softmax(x), d: y (d - sum(y d)), which is both vjp and jvp.
#[derive(Debug, Clone, Copy)]
struct SoftmaxSlope;

impl Kernel for SoftmaxSlope {
    fn name(&self) -> &'static str {
        "softmax slope"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(2, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        softmax::softmax_vjp(cx, x[0].real(), x[1].real(), rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        let operands = x[0].real.chunks(cols.max(1)).zip(x[1].real.chunks(cols.max(1)));
        for ((p, d), y) in operands.zip(y.chunks_mut(cols.max(1))) {
            let dot: f64 = p.iter().zip(d).map(|(p, d)| p * d).sum();
            for c in 0..cols {
                y[c] = p[c] * (d[c] - dot);
            }
        }
    }
}

impl Op for Softmax {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.derived(SoftmaxSlope, &[at.y, dy])?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        narrowed_rows(*self, x, part)
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.derived(SoftmaxSlope, &[at.y, d])).transpose()
    }
}

impl Kernel for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        softmax::log_softmax_last(cx, x[0].real(), rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        for (x, y) in x[0].real.chunks(cols.max(1)).zip(y.chunks_mut(cols.max(1))) {
            let lse = log_sum_exp(x);
            y.iter_mut().zip(x).for_each(|(y, &x)| {
                *y = if x == f64::NEG_INFINITY { x } else { x - lse };
            });
        }
    }
}

impl Op for LogSoftmax {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        // dx = dy - softmax(x) sum(dy)
        let sums = row_sums(g, dy)?;
        let p = g.apply(super::Unary::Exp, &[at.y])?;
        let t = g.mul(p, sums)?;
        Ok(vec![Some(g.sub(dy, t)?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        narrowed_rows(*self, x, part)
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let Some(d) = dx[0] else { return Ok(None) };
        let p = g.apply(super::Unary::Exp, &[at.y])?;
        let t = g.mul(p, d)?;
        let sums = row_sums(g, t)?;
        Ok(Some(g.sub(d, sums)?))
    }
}

fn row_sums(g: &mut Graph, x: Value) -> Result<Value, Error> {
    let mut kept = g.shape(x).to_vec();
    if let Some(last) = kept.last_mut() {
        *last = 1;
    }
    g.sum_to(x, &kept)
}

impl CausalMask {
    fn fill<T: Copy>(&self, x: &[T], shape: &[usize], masked: T, y: &mut [T]) {
        let (queries, keys) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        y.copy_from_slice(x);
        for (r, row) in y.chunks_mut(keys.max(1)).enumerate() {
            let visible = (self.first + r % queries + 1).min(keys);
            row[visible..].fill(masked);
        }
    }

    fn check(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        match x[0] {
            [.., q, k] if self.first.checked_add(*q).is_some_and(|end| end <= *k) => {
                Ok(x[0].to_vec())
            }
            _ => Err(shapes_error("causal_mask", x, "[.., query, key], a key for each query")),
        }
    }
}

impl Kernel for CausalMask {
    fn name(&self) -> &'static str {
        "causal_mask"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        self.check(x)
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 2)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.fill(x[0].real(), x[0].shape, f32::NEG_INFINITY, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.fill(x[0].real, x[0].shape, f64::NEG_INFINITY, y);
    }
}

/// Zero where the mask hides.
#[derive(Debug, Clone, Copy)]
struct CausalZero(CausalMask);

impl Kernel for CausalZero {
    fn name(&self) -> &'static str {
        "causal_mask slope"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        self.0.check(x)
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 2)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.0.fill(x[0].real(), x[0].shape, 0.0, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.0.fill(x[0].real, x[0].shape, 0.0, y);
    }
}

impl Op for CausalMask {
    fn vjp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.derived(CausalZero(*self), &[dy])?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        // Queries of a part see the keys that they saw; a part of the keys is another mask.
        let axes = x[0].len();
        let first = self.first + if part.axis + 2 == axes { part.start } else { 0 };
        (part.axis + 1 < axes)
            .then(|| (Arc::new(Self { first }) as Arc<dyn Op>, vec![Some(part.axis)]))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.derived(CausalZero(*self), &[d])).transpose()
    }
}

impl Graph {
    /// Softmax along the last axis.
    pub fn softmax(&mut self, x: Value) -> Result<Value, Error> {
        self.apply(Softmax, &[x])
    }

    /// Log-softmax along the last axis.
    pub fn log_softmax(&mut self, x: Value) -> Result<Value, Error> {
        self.apply(LogSoftmax, &[x])
    }

    /// Hides keys behind the query in scores `[.., query, key]` of equal length.
    pub fn causal_mask(&mut self, x: Value) -> Result<Value, Error> {
        if let [.., queries, keys] = *self.shape(x)
            && queries != keys
        {
            let why = "[.., query, key] of equal length";
            return Err(shapes_error("causal_mask", &[self.shape(x)], why));
        }
        self.apply(CausalMask { first: 0 }, &[x])
    }
}
