//! Cross-entropy of logits against target indices.

use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::{Context, Error, Graph, Kernel, Op, Value, kernels::softmax, math};

/// Operands logits `[.., classes]` and targets `[..]`; result `[..]` in nats:
/// logsumexp(logits) - logits[target].
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy;

impl Kernel for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        match x[0].split_last() {
            Some((_, rows)) if rows == x[1] => Ok(rows.to_vec()),
            _ => Err(shapes_error("cross_entropy", x, "one target for each row of logits")),
        }
    }

    fn index_operands(&self) -> &'static [usize] {
        &[1]
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        if operand == 1 { x[0].last().copied() } else { None }
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(2, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        softmax::cross_entropy(cx, x[0].real(), x[1].index(), rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = crate::kernel::rows(x[0].shape);
        for (r, row) in x[0].real.chunks(cols.max(1)).enumerate() {
            y[r] = log_sum_exp(row) - row[x[1].index[r] as usize];
        }
    }
}

pub(super) fn log_sum_exp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + math::ln64(row.iter().map(|&x| math::exp64(x - max)).sum())
}

/// Operands logits, targets, d of each loss: (softmax - onehot) d.
#[derive(Debug, Clone, Copy)]
struct CrossEntropyVjp;

impl Kernel for CrossEntropyVjp {
    fn name(&self) -> &'static str {
        "cross_entropy vjp"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn index_operands(&self) -> &'static [usize] {
        &[1]
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        CrossEntropy.index_limit(operand, x)
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(3, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        let (logits, dy) = (x[0].real(), x[2].real());
        softmax::cross_entropy_vjp(cx, logits, x[1].index(), dy, rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = crate::kernel::rows(x[0].shape);
        for (r, row) in x[0].real.chunks(cols.max(1)).enumerate() {
            let lse = log_sum_exp(row);
            for c in 0..cols {
                let target = f64::from(x[1].index[r] as usize == c);
                y[r * cols + c] = (math::exp64(row[c] - lse) - target) * x[2].real[r];
            }
        }
    }
}

impl Op for CrossEntropy {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.derived(CrossEntropyVjp, &[at.x[0], at.x[1], dy])?), None])
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let Some(d) = dx[0] else { return Ok(None) };
        let ones = g.constant(crate::Tensor::from_fn(g.shape(at.y), |_| 1.0));
        let slope = g.derived(CrossEntropyVjp, &[at.x[0], at.x[1], ones])?;
        let terms = g.mul(slope, d)?;
        let mut kept = g.shape(at.y).to_vec();
        kept.push(1);
        let sums = g.sum_to(terms, &kept)?;
        let shape = g.shape(at.y).to_vec();
        Ok(Some(g.reshape(sums, &shape)?))
    }
}

impl Graph {
    /// Cross-entropy in nats of `logits` `[.., classes]` against `targets` `[..]`.
    pub fn cross_entropy(&mut self, logits: Value, targets: Value) -> Result<Value, Error> {
        self.apply(CrossEntropy, &[logits, targets])
    }
}
