//! The two halves of a normalisation, each along the last axis: centring, and the root of the
//! mean square. LayerNorm is both (Ba et al. 2016), RMSNorm the second alone (Zhang and Sennrich
//! 2019); apart, because `hook_scale` lies between them.

use super::narrowed_rows;
use crate::kernel::{Applied, Arg, Arg64, Walk, rows, shapes_error};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value, kernels::norm};

/// x - mean(x)
#[derive(Debug, Clone, Copy)]
pub struct Center;

impl Kernel for Center {
    fn name(&self) -> &'static str {
        "center"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        norm::center_last(cx, x[0].real(), rows, cols, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        for (x, y) in x[0].real.chunks(cols.max(1)).zip(y.chunks_mut(cols.max(1))) {
            let mean = x.iter().sum::<f64>() / cols as f64;
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
        }
    }
}

impl Op for Center {
    fn vjp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        // A symmetric projection: its own transpose.
        Ok(vec![Some(g.center(dy)?)])
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        narrowed_rows(*self, x, part)
    }

    fn jvp(
        &self,
        g: &mut Graph,
        _at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.center(d)).transpose()
    }
}

/// sqrt(mean(x^2) + eps), last axis kept with length 1.
#[derive(Debug, Clone, Copy)]
pub struct RootMeanSquare {
    /// Added under the root.
    pub eps: f32,
}

impl Kernel for RootMeanSquare {
    fn name(&self) -> &'static str {
        "root_mean_square"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let mut shape = x[0].to_vec();
        match shape.last_mut() {
            Some(last) => *last = 1,
            None => return Err(shapes_error("root_mean_square", x, "a scalar has no last axis")),
        }
        Ok(shape)
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 1)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (rows, cols) = x[0].rows();
        norm::rms_last(cx, x[0].real(), rows, cols, self.eps, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        for (x, y) in x[0].real.chunks(cols.max(1)).zip(y) {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / cols as f64;
            *y = (mean + f64::from(self.eps)).sqrt();
        }
    }
}

impl Op for RootMeanSquare {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        // dr/dx_i = x_i / (n r)
        let n = rows(g.shape(at.x[0])).1;
        let t = g.div(dy, at.y)?;
        let t = g.scale(t, 1.0 / n as f32)?;
        Ok(vec![Some(g.mul(at.x[0], t)?)])
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
        let n = rows(g.shape(at.x[0])).1;
        let t = g.mul(at.x[0], d)?;
        let t = g.sum_like(t, at.y)?;
        let t = g.div(t, at.y)?;
        Ok(Some(g.scale(t, 1.0 / n as f32)?))
    }
}

impl Graph {
    /// x - mean(x) along the last axis.
    pub fn center(&mut self, x: Value) -> Result<Value, Error> {
        self.apply(Center, &[x])
    }

    /// sqrt(mean(x^2) + eps) along the last axis, kept with length 1.
    pub fn root_mean_square(&mut self, x: Value, eps: f32) -> Result<Value, Error> {
        self.apply(RootMeanSquare { eps }, &[x])
    }
}
