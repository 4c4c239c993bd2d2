//! Rows of a table by index: embeddings.

use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::{Context, Error, Graph, Kernel, Op, Value};

/// Operands table `[rows, d]` and indices `[..]`; result `[.., d]`.
#[derive(Debug, Clone, Copy)]
pub struct Gather;

impl Kernel for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let &[_, d] = x[0] else {
            return Err(shapes_error("gather", x, "the table has two axes"));
        };
        let mut shape = x[1].to_vec();
        shape.push(d);
        Ok(shape)
    }

    fn index_operands(&self) -> &'static [usize] {
        &[1]
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        (operand == 1).then(|| x[0][0])
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        let axes = x[1].len();
        (axes > 0).then(|| Walk { axes, walked: vec![false, true] })
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (table, index) = (x[0].real(), x[1].index());
        let d = x[0].shape[1];
        if d == 0 {
            return;
        }
        cx.split(y, d, d, |first, y| {
            for (r, row) in y.chunks_exact_mut(d).enumerate() {
                let i = index[first + r] as usize;
                row.copy_from_slice(&table[i * d..(i + 1) * d]);
            }
        });
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let d = x[0].shape[1];
        for (r, &i) in x[1].index.iter().enumerate() {
            let i = i as usize;
            y[r * d..(r + 1) * d].copy_from_slice(&x[0].real[i * d..(i + 1) * d]);
        }
    }
}

/// Operands table `[rows, d]` and indices `[batch, pos]`; result `[batch, d]`: the rows of one position.
#[derive(Debug, Clone, Copy)]
pub struct GatherAt {
    /// Which one.
    pub pos: usize,
}

impl Kernel for GatherAt {
    fn name(&self) -> &'static str {
        "gather at"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        match (x[0], x[1]) {
            (&[_, d], &[batch, pos]) if self.pos < pos => Ok(vec![batch, d]),
            _ => Err(shapes_error("gather at", x, format!("there is no position {}", self.pos))),
        }
    }

    fn index_operands(&self) -> &'static [usize] {
        &[1]
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        (operand == 1).then(|| x[0][0])
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (table, index) = (x[0].real(), x[1].index());
        let (d, pos) = (x[0].shape[1], x[1].shape[1]);
        for (row, at) in y.chunks_exact_mut(d.max(1)).zip(index.chunks_exact(pos)) {
            let i = at[self.pos] as usize;
            row.copy_from_slice(&table[i * d..(i + 1) * d]);
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (d, pos) = (x[0].shape[1], x[1].shape[1]);
        for (row, at) in y.chunks_exact_mut(d.max(1)).zip(x[1].index.chunks_exact(pos)) {
            let i = at[self.pos] as usize;
            row.copy_from_slice(&x[0].real[i * d..(i + 1) * d]);
        }
    }
}

/// Operands table `[row, pos, ..]` and indices `[batch, pos]`; result `[batch, pos, ..]`: of each position the
/// row that its index names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PickRows;

impl PickRows {
    /// Values of a row at one position.
    fn width(x: &[usize]) -> usize {
        x.get(2..).unwrap_or(&[]).iter().product()
    }
}

impl Kernel for PickRows {
    fn name(&self) -> &'static str {
        "pick rows"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        match (x[0], x[1]) {
            (&[_, n, ref rest @ ..], &[batch, pos]) if n == pos => {
                Ok([&[batch, pos], rest].concat())
            }
            _ => Err(shapes_error("pick rows", x, "positions differ")),
        }
    }

    fn index_operands(&self) -> &'static [usize] {
        &[1]
    }

    fn index_limit(&self, operand: usize, x: &[&[usize]]) -> Option<usize> {
        (operand == 1).then(|| x[0][0])
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (table, index) = (x[0].real(), x[1].index());
        let (pos, width) = (x[0].shape[1], Self::width(x[0].shape));
        if width == 0 {
            return;
        }
        cx.split(y, width, width, |first, y| {
            for (r, row) in y.chunks_exact_mut(width).enumerate() {
                let at = index[first + r] as usize * pos + (first + r) % pos;
                row.copy_from_slice(&table[at * width..][..width]);
            }
        });
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (pos, width) = (x[0].shape[1], Self::width(x[0].shape));
        for (r, &i) in x[1].index.iter().enumerate() {
            let at = (i as usize * pos + r % pos) * width;
            y[r * width..][..width].copy_from_slice(&x[0].real[at..][..width]);
        }
    }
}

/// Operands indices and cotangent `[.., d]`: rows added in ascending order into `[rows, d]`. With a position,
/// indices are `[batch, pos]` and the cotangent `[batch, d]` belongs to that one.
#[derive(Debug, Clone, Copy)]
struct Scatter {
    rows: usize,
    pos: Option<usize>,
}

impl Scatter {
    /// The indices of the cotangent's rows, in order.
    fn indices<'a>(&self, index: &'a [u32], shape: &[usize]) -> impl Iterator<Item = usize> + 'a {
        let (first, every) = match (self.pos, shape) {
            (Some(p), &[_, pos]) => (p, pos),
            _ => (0, 1),
        };
        index.iter().skip(first).step_by(every.max(1)).map(|&i| i as usize)
    }
}

impl Kernel for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        let d = x[1].last().copied().unwrap_or(1);
        Ok(vec![self.rows, d])
    }

    fn index_operands(&self) -> &'static [usize] {
        &[0]
    }

    fn index_limit(&self, operand: usize, _x: &[&[usize]]) -> Option<usize> {
        (operand == 0).then_some(self.rows)
    }

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (index, dy) = (x[0].index(), x[1].real());
        let d = x[1].shape.last().copied().unwrap_or(1);
        y.fill(0.0);
        for (r, i) in self.indices(index, x[0].shape).enumerate() {
            let row = &mut y[i * d..(i + 1) * d];
            for (y, dy) in row.iter_mut().zip(&dy[r * d..(r + 1) * d]) {
                *y += dy;
            }
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let d = x[1].shape.last().copied().unwrap_or(1);
        y.fill(0.0);
        for (r, i) in self.indices(x[0].index, x[0].shape).enumerate() {
            for c in 0..d {
                y[i * d + c] += x[1].real[r * d + c];
            }
        }
    }
}

impl Op for Gather {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let rows = g.shape(at.x[0])[0];
        Ok(vec![Some(g.derived(Scatter { rows, pos: None }, &[at.x[1], dy])?), None])
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.gather(d, at.x[1])).transpose()
    }
}

impl Op for GatherAt {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let scatter = Scatter { rows: g.shape(at.x[0])[0], pos: Some(self.pos) };
        Ok(vec![Some(g.derived(scatter, &[at.x[1], dy])?), None])
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.apply(*self, &[d, at.x[1]])).transpose()
    }
}

impl Graph {
    /// Rows of `table` `[rows, d]` at `index` `[..]`.
    pub fn gather(&mut self, table: Value, index: Value) -> Result<Value, Error> {
        self.apply(Gather, &[table, index])
    }

    /// Rows of `table` `[rows, d]` at position `pos` of `index` `[batch, pos]`: `[batch, d]`.
    pub fn gather_at(&mut self, table: Value, index: Value, pos: usize) -> Result<Value, Error> {
        self.apply(GatherAt { pos }, &[table, index])
    }
}
