//! Parts of arrays, arrays joined, and arrays repeated along axes.

use super::binary::{aligned, broadcast};
use crate::kernel::{Applied, Arg, Arg64, shapes_error};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value};
use std::sync::Arc;

/// (product before the axis, its length, product after it).
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// Indices `start..start + len` of an axis.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    axis: usize,
    start: usize,
    len: usize,
}

impl Slice {
    fn copy<T: Copy>(&self, x: &[T], shape: &[usize], y: &mut [T]) {
        let (outer, n, inner) = around(shape, self.axis);
        let block = self.len * inner;
        for o in 0..outer {
            let from = (o * n + self.start) * inner;
            y[o * block..(o + 1) * block].copy_from_slice(&x[from..from + block]);
        }
    }
}

impl Kernel for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let mut shape = x[0].to_vec();
        match shape.get_mut(self.axis) {
            Some(n) if self.start.checked_add(self.len).is_some_and(|end| end <= *n) => {
                *n = self.len
            }
            _ => {
                let why =
                    format!("axis {} has no {} elements from {}", self.axis, self.len, self.start);
                return Err(shapes_error("slice", x, why));
            }
        }
        Ok(shape)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.copy(x[0].real(), x[0].shape, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.copy(x[0].real, x[0].shape, y);
    }
}

/// The cotangent of a slice: zeros around it.
#[derive(Debug, Clone, Copy)]
struct Pad {
    slice: Slice,
    full: usize,
}

impl Pad {
    fn copy<T: Copy + Default>(&self, x: &[T], shape: &[usize], y: &mut [T]) {
        y.fill(T::default());
        let (outer, len, inner) = around(shape, self.slice.axis);
        let block = len * inner;
        for o in 0..outer {
            let to = (o * self.full + self.slice.start) * inner;
            y[to..to + block].copy_from_slice(&x[o * block..(o + 1) * block]);
        }
    }
}

impl Kernel for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let mut shape = x[0].to_vec();
        shape[self.slice.axis] = self.full;
        Ok(shape)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.copy(x[0].real(), x[0].shape, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.copy(x[0].real, x[0].shape, y);
    }
}

impl Op for Slice {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let full = g.shape(at.x[0])[self.axis];
        Ok(vec![Some(g.derived(Pad { slice: *self, full }, &[dy])?)])
    }

    fn narrowed(&self, _x: &[&[usize]], part: Part) -> Option<Narrowed> {
        (part.axis != self.axis).then(|| (Arc::new(*self) as Arc<dyn Op>, vec![Some(part.axis)]))
    }

    fn part(&self) -> Option<Part> {
        Some(Part { axis: self.axis, start: self.start, len: self.len })
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.apply(*self, &[d])).transpose()
    }
}

/// Arrays joined along an axis in which alone they may differ.
#[derive(Debug, Clone, Copy)]
pub struct Concat {
    axis: usize,
}

impl Concat {
    fn copy<'a, T: Copy + 'a>(&self, x: impl Iterator<Item = (&'a [T], &'a [usize])>, y: &mut [T]) {
        let parts: Vec<_> = x.collect();
        let full: usize = parts.iter().map(|(_, s)| s[self.axis]).sum();
        let mut start = 0;
        for (x, shape) in parts {
            let (outer, n, inner) = around(shape, self.axis);
            for o in 0..outer {
                let to = (o * full + start) * inner;
                y[to..to + n * inner].copy_from_slice(&x[o * n * inner..(o + 1) * n * inner]);
            }
            start += n;
        }
    }
}

impl Kernel for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let mut shape = x.first().map(|s| s.to_vec()).unwrap_or_default();
        if self.axis >= shape.len() {
            return Err(shapes_error("concat", x, format!("no axis {}", self.axis)));
        }
        for s in &x[1..] {
            let same =
                s.len() == shape.len() && (0..s.len()).all(|i| i == self.axis || s[i] == shape[i]);
            if !same {
                return Err(shapes_error("concat", x, "other axes differ"));
            }
            shape[self.axis] += s[self.axis];
        }
        Ok(shape)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.copy(x.iter().map(|a| (a.real(), a.shape)), y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.copy(x.iter().map(|a| (a.real, a.shape)), y);
    }
}

impl Op for Concat {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let mut start = 0;
        let mut out = vec![];
        for (&x, &wanted) in at.x.iter().zip(wanted) {
            let len = g.shape(x)[self.axis];
            out.push(if wanted { Some(g.slice(dy, self.axis, start, len)?) } else { None });
            start += len;
        }
        Ok(out)
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        let axes = vec![Some(part.axis); x.len()];
        (part.axis != self.axis).then(|| (Arc::new(*self) as Arc<dyn Op>, axes))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let parts: Vec<Value> =
            at.x.iter()
                .zip(dx)
                .map(|(&x, d)| d.unwrap_or_else(|| g.constant(crate::Tensor::zeros(g.shape(x)))))
                .collect();
        Ok(Some(g.concat(&parts, self.axis)?))
    }
}

/// Repeats along every axis of length 1 (and new leading axes) to a full shape.
#[derive(Debug, Clone)]
pub struct Expand {
    shape: Vec<usize>,
}

impl Expand {
    fn source(&self, i: usize, from: &[usize]) -> usize {
        let pad = self.shape.len() - from.len();
        let (mut rest, mut offset, mut stride) = (i, 0, 1);
        for axis in (0..self.shape.len()).rev() {
            let at = rest % self.shape[axis];
            rest /= self.shape[axis];
            if axis >= pad {
                if from[axis - pad] != 1 {
                    offset += at * stride;
                }
                stride *= from[axis - pad];
            }
        }
        offset
    }
}

impl Kernel for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        if broadcast(x[0], &self.shape).as_deref() != Some(self.shape.as_slice()) {
            return Err(shapes_error("expand", &[x[0], &self.shape], "it does not repeat to that"));
        }
        Ok(self.shape.clone())
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let cols = self.shape.last().copied().unwrap_or(1);
        let (from, x) = (x[0].shape, x[0].real());
        let whole = from.last() == Some(&cols);
        if cols == 0 {
            return;
        }
        cx.split(y, cols, cols, |first, y| {
            for (r, y) in y.chunks_exact_mut(cols).enumerate() {
                let at = self.source((first + r) * cols, from);
                if whole { y.copy_from_slice(&x[at..at + cols]) } else { y.fill(x[at]) }
            }
        });
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = x[0].real[self.source(i, x[0].shape)];
        }
    }
}

impl Op for Expand {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.sum_like(dy, at.x[0])?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        let axis = aligned(x[0], &[x[0], &self.shape], part.axis);
        Some((Arc::new(Self { shape: part.shape(&self.shape) }), vec![axis]))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.apply(self.clone(), &[d])).transpose()
    }
}

impl Graph {
    /// Indices `start..start + len` of `axis`.
    pub fn slice(
        &mut self,
        x: Value,
        axis: usize,
        start: usize,
        len: usize,
    ) -> Result<Value, Error> {
        self.apply(Slice { axis, start, len }, &[x])
    }

    /// Arrays joined along `axis`.
    pub fn concat(&mut self, x: &[Value], axis: usize) -> Result<Value, Error> {
        self.apply(Concat { axis }, x)
    }

    /// Repeats along axes of length 1 to `shape`.
    pub fn repeat_to(&mut self, x: Value, shape: &[usize]) -> Result<Value, Error> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.apply(Expand { shape: shape.to_vec() }, &[x])
    }

    /// Repeats to the shape of `like`.
    pub fn repeat_like(&mut self, x: Value, like: Value) -> Result<Value, Error> {
        let shape = self.shape(like).to_vec();
        self.repeat_to(x, &shape)
    }
}
