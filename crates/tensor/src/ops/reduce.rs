//! Sums: of everything, and down to a shape that broadcasts back.

use super::binary::broadcast;
use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value, kernels::reduce};
use std::ops::Range;
use std::sync::Arc;

/// Rows whose sums are at hand at once.
const ROWS: usize = 4096;

/// Sum of all elements to a scalar (shape `[]`): rows by lanes, then the rows in one chain.
#[derive(Debug, Clone, Copy)]
pub struct Sum;

impl Kernel for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn shape(&self, _x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(vec![])
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        let (x, mut room) = (x[0].real(), [0.0; ROWS]);
        y[0] = 0.0;
        for start in (0..rows).step_by(ROWS) {
            let sums = &mut room[..ROWS.min(rows - start)];
            let x = &x[start * cols..(start + sums.len()) * cols];
            reduce::sum_last(cx, x, sums.len(), cols, sums);
            y[0] = sums.iter().fold(y[0], |a, b| a + b);
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        y[0] = x[0].real.iter().sum();
    }
}

impl Op for Sum {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.repeat_like(dy, at.x[0])?)])
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.sum(d)).transpose()
    }
}

/// Sum over the axes along which `target` repeats: the reverse of broadcasting. The last axis is
/// summed first, by lanes; every other run of neighbouring axes is one ascending chain.
#[derive(Debug, Clone)]
pub struct SumTo {
    target: Vec<usize>,
}

impl SumTo {
    /// The shape that is summed to.
    pub(crate) fn target(&self) -> &[usize] {
        &self.target
    }

    /// Whether axis `i` of `from` is kept, after padding the target with ones in front. Of pieces, whose
    /// leading axes are one, `len` tells whether that is.
    fn keeps(&self, from: &[usize], len: usize, i: usize) -> bool {
        let same = |i: usize| {
            (i + self.target.len())
                .checked_sub(from.len())
                .is_some_and(|t| self.target[t] == from[i])
        };
        if i > 0 {
            return same(i);
        }
        let kept: usize = (1..from.len()).filter(|&i| same(i)).map(|i| from[i]).product();
        from[0] * kept == len
    }
}

impl Kernel for SumTo {
    fn name(&self) -> &'static str {
        "sum_to"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        if self.target.len() > x[0].len() || broadcast(&self.target, x[0]).as_deref() != Some(x[0])
        {
            return Err(shapes_error("sum_to", &[x[0], &self.target], "does not broadcast back"));
        }
        Ok(self.target.clone())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        let same = x[0].iter().zip(&self.target).take_while(|(a, b)| a == b).count();
        let axes = if x[0].len() == self.target.len() { same } else { 0 };
        (axes > 0).then(|| Walk { axes, walked: vec![true] })
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let from = x[0].shape;
        let keeps = |i: &usize| self.keeps(from, y.len(), *i);
        let size = |axes: Range<usize>| from[axes].iter().product::<usize>();
        // The last axis before `end` that is still to be summed.
        let left = |end: usize| (0..end).rev().find(|i| from[*i] != 1 && !keeps(i));
        // Axes from `end` on are summed, or kept: these hold `inner` values.
        let (mut end, mut inner) = (from.len(), 1);
        let mut current: std::borrow::Cow<[f32]> = x[0].real().into();
        if let Some(last) = left(end)
            && last + 1 == end
        {
            end = last;
            let rows = size(0..end);
            if left(end).is_none() {
                return reduce::sum_last(cx, &current, rows, from[last], y);
            }
            let mut sums = vec![0.0; rows];
            reduce::sum_last(cx, &current, rows, from[last], &mut sums);
            current = sums.into();
        }
        while let Some(last) = left(end) {
            inner *= size(last + 1..end);
            end = (0..=last).rev().find(keeps).map_or(0, |i| i + 1);
            let (outer, axis) = (size(0..end), size(end..last + 1));
            if left(end).is_none() {
                return reduce::sum_axis(cx, &current, outer, axis, inner, y);
            }
            let mut sums = vec![0.0; outer * inner];
            reduce::sum_axis(cx, &current, outer, axis, inner, &mut sums);
            current = sums.into();
        }
        y.copy_from_slice(&current);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        y.fill(0.0);
        let from = x[0].shape;
        for (i, v) in x[0].real.iter().enumerate() {
            let (mut rest, mut offset, mut stride) = (i, 0, 1);
            for (axis, &n) in from.iter().enumerate().rev() {
                if self.keeps(from, y.len(), axis) {
                    offset += (rest % n) * stride;
                    stride *= n;
                }
                rest /= n;
            }
            y[offset] += v;
        }
    }
}

impl Op for SumTo {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.repeat_like(dy, at.x[0])?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        // An axis along which nothing is added.
        let axis = part.axis + x[0].len() - self.target.len();
        (self.target[part.axis] == x[0][axis]).then(|| {
            let target = part.shape(&self.target);
            (Arc::new(Self { target }) as Arc<dyn Op>, vec![Some(axis)])
        })
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.sum_to(d, &self.target)).transpose()
    }
}

impl Graph {
    /// Sum of all elements.
    pub fn sum(&mut self, x: Value) -> Result<Value, Error> {
        self.apply(Sum, &[x])
    }

    /// Mean of all elements.
    pub fn mean(&mut self, x: Value) -> Result<Value, Error> {
        let n: usize = self.shape(x).iter().product();
        let s = self.sum(x)?;
        self.scale(s, 1.0 / n as f32)
    }

    /// Sum down to `target`, a shape that broadcasts to that of `x`.
    pub fn sum_to(&mut self, x: Value, target: &[usize]) -> Result<Value, Error> {
        if self.shape(x) == target {
            return Ok(x);
        }
        self.apply(SumTo { target: target.to_vec() }, &[x])
    }

    /// Sum down to the shape of `like`.
    pub fn sum_like(&mut self, x: Value, like: Value) -> Result<Value, Error> {
        let target = self.shape(like).to_vec();
        self.sum_to(x, &target)
    }
}
