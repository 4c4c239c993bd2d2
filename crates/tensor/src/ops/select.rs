//! Elementwise choice: where a mask is not zero, the one, else the other. Interventions replace
//! values with it, because x + m (v - x) would not restore v bit for bit.

use super::binary::broadcast;
use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Tensor, Value};
use std::sync::Arc;

/// Operands mask, a, b of one shape: a where mask != 0, else b. [`Graph::select`] repeats shorter
/// operands first.
#[derive(Debug, Clone, Copy)]
pub struct Select;

impl Kernel for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        if x[1] != x[2] || x[0] != x[1] {
            return Err(shapes_error("select", x, "mask and both choices have one shape"));
        }
        Ok(x[1].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(3, x[0], 0)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (m, a, b) = (x[0].real(), x[1].real(), x[2].real());
        for (((y, m), a), b) in y.iter_mut().zip(m).zip(a).zip(b) {
            *y = if *m != 0.0 { *a } else { *b };
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = if x[0].real[i] != 0.0 { x[1].real[i] } else { x[2].real[i] };
        }
    }
}

impl Op for Select {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let zero = g.constant(Tensor::zeros(g.shape(dy)));
        let m = at.x[0];
        let a = if wanted[1] { Some(g.apply(Select, &[m, dy, zero])?) } else { None };
        let b = if wanted[2] { Some(g.apply(Select, &[m, zero, dy])?) } else { None };
        Ok(vec![None, a, b])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        Some((Arc::new(*self), vec![Some(part.axis); x.len()]))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        if dx[1].is_none() && dx[2].is_none() {
            return Ok(None);
        }
        let zero = g.constant(Tensor::zeros(g.shape(at.y)));
        let (a, b) = (dx[1].unwrap_or(zero), dx[2].unwrap_or(zero));
        Ok(Some(g.apply(Select, &[at.x[0], a, b])?))
    }
}

impl Graph {
    /// `a` where `mask` is not zero, else `b`. Operands of length 1 along an axis repeat.
    pub fn select(&mut self, mask: Value, a: Value, b: Value) -> Result<Value, Error> {
        let bad = |g: &Graph| {
            let shapes = [g.shape(mask), g.shape(a), g.shape(b)];
            shapes_error("select", &shapes, "they do not broadcast")
        };
        let ab = broadcast(self.shape(a), self.shape(b)).ok_or_else(|| bad(self))?;
        let shape = broadcast(self.shape(mask), &ab).ok_or_else(|| bad(self))?;
        let x = [mask, a, b]
            .into_iter()
            .map(|v| self.repeat_to(v, &shape))
            .collect::<Result<Vec<_>, _>>()?;
        self.apply(Select, &x)
    }
}
