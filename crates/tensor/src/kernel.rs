//! What an operation has to bring before a graph accepts it.
//!
//! A [`Kernel`] computes one output array from input arrays: in f32 on the canonical order, and
//! in f64 as the reference that tests hold the first against. An [`Op`] is a kernel that also
//! knows its derivatives, written as further nodes of the graph. Kernels that only appear inside
//! derivatives stop at `Kernel`: second derivatives are out of scope.

use crate::{Context, Error, Graph, Narrowed, Part, Value};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// One input of a kernel: its values and the lengths of its axes.
#[derive(Debug, Clone, Copy)]
pub struct Arg<'a> {
    /// The values, row-major.
    pub data: Data<'a>,
    /// Lengths of the axes.
    pub shape: &'a [usize],
}

/// Values of an input: reals, or indices into a table (tokens, targets).
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// Reals.
    Real(&'a [f32]),
    /// Indices.
    Index(&'a [u32]),
}

impl<'a> Arg<'a> {
    /// The reals. Graph construction guarantees the kind, so the other arm is unreachable.
    pub fn real(&self) -> &'a [f32] {
        match self.data {
            Data::Real(x) => x,
            Data::Index(_) => unreachable!("the graph checked that this operand is real"),
        }
    }

    /// The indices, with the same guarantee.
    pub fn index(&self) -> &'a [u32] {
        match self.data {
            Data::Index(x) => x,
            Data::Real(_) => unreachable!("the graph checked that this operand is an index"),
        }
    }

    /// (rows, length of the last axis).
    pub fn rows(&self) -> (usize, usize) {
        rows(self.shape)
    }
}

/// (product of all axes but the last, length of the last axis); a scalar is one row of one.
pub fn rows(shape: &[usize]) -> (usize, usize) {
    match shape.split_last() {
        Some((&cols, rest)) => (rest.iter().product(), cols),
        None => (1, 1),
    }
}

/// One input of an f64 reference.
#[derive(Debug, Clone, Copy)]
pub struct Arg64<'a> {
    /// Reals, empty for an index operand.
    pub real: &'a [f64],
    /// Indices, empty for a real operand.
    pub index: &'a [u32],
    /// Lengths of the axes.
    pub shape: &'a [usize],
}

/// How a kernel walks: piece i of the result needs piece i of the walked operands and all of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Leading axes, the same of the result and of the walked operands.
    pub axes: usize,
    /// Which operands are walked.
    pub walked: Vec<bool>,
}

impl Walk {
    /// All `operands` along all but the last `kept` axes of a shape; `None` where there are no others.
    pub(crate) fn all(operands: usize, shape: &[usize], kept: usize) -> Option<Self> {
        let axes = shape.len().checked_sub(kept).filter(|&n| n > 0)?;
        Some(Self { axes, walked: vec![true; operands] })
    }
}

/// A computation from arrays to one array.
pub trait Kernel: Any + Debug + Send + Sync {
    /// The field's name for it; errors and tests use it.
    fn name(&self) -> &'static str;

    /// Shape of the output, or why the operands do not fit.
    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error>;

    /// Which operands are indices (all others are reals).
    fn index_operands(&self) -> &'static [usize] {
        &[]
    }

    /// For an index operand: rows of the table that it points into.
    fn index_limit(&self, _operand: usize, _x: &[&[usize]]) -> Option<usize> {
        None
    }

    /// The leading axes along which the result can be computed piece by piece; `None`: as a whole only.
    fn walk(&self, _x: &[&[usize]]) -> Option<Walk> {
        None
    }

    /// Writes every element of `y`, whatever it held. Where it can be walked, operands and result may be
    /// some neighbouring pieces, their leading axes taken as one.
    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]);

    /// The same function in f64, plainly.
    fn reference(&self, x: &[Arg64], y: &mut [f64]);
}

/// The values around one application of an op: what a derivative rule may read.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// Operands.
    pub x: &'a [Value],
    /// Result.
    pub y: Value,
}

/// A kernel with its derivatives.
pub trait Op: Kernel {
    /// Adds to the graph the cotangents of the operands in `wanted`, given the cotangent `dy` of
    /// the result: dx_i = (dy/dx_i)^T dy. `None` where the derivative is zero everywhere.
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error>;

    /// The operation that makes `part` of the result, an axis among which no sum runs, from operands of
    /// these shapes; `None` where it cannot be had from parts of them.
    fn narrowed(&self, _x: &[&[usize]], _part: Part) -> Option<Narrowed> {
        None
    }

    /// The part of its one operand that the result is, if it is no more than that.
    fn part(&self) -> Option<Part> {
        None
    }

    /// Adds to the graph the tangent of the result, given tangents of the operands (`None` is
    /// zero): dy = sum_i (dy/dx_i) dx_i.
    fn jvp(&self, g: &mut Graph, at: Applied, dx: &[Option<Value>])
    -> Result<Option<Value>, Error>;
}

impl Kernel for Arc<dyn Op> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        (**self).shape(x)
    }

    fn index_operands(&self) -> &'static [usize] {
        (**self).index_operands()
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        (**self).index_limit(operand, x)
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        (**self).walk(x)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        (**self).run(cx, x, y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        (**self).reference(x, y);
    }
}

impl Op for Arc<dyn Op> {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        (**self).vjp(g, at, dy, wanted)
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        (**self).narrowed(x, part)
    }

    fn part(&self) -> Option<Part> {
        (**self).part()
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        (**self).jvp(g, at, dx)
    }
}

pub(crate) fn shapes_error(op: &'static str, x: &[&[usize]], why: impl Into<String>) -> Error {
    Error::Shapes { op, shapes: x.iter().map(|s| s.to_vec()).collect(), why: why.into() }
}
