//! The k largest elements of each row, all others set to zero (Makhzani and Frey 2013; Gao et al.
//! 2024). Of equal elements the one with the lower index stays.

use crate::kernel::{Applied, Arg, Arg64, rows, shapes_error};
use crate::kernels::largest::{largest, order};
use crate::{Context, Error, Graph, Kernel, Op, Value};

/// Keeps the k largest of each row.
#[derive(Debug, Clone, Copy)]
pub struct TopK {
    /// Elements kept in each row.
    pub k: usize,
}

/// y = values at the k largest of each row of x, zeros elsewhere.
fn pick(cx: &Context, k: usize, x: &Arg, values: &[f32], y: &mut [f32]) {
    let (_, cols) = x.rows();
    let x = x.real();
    if cols == 0 {
        return;
    }
    let alone = cx.alone();
    cx.split(y, cols, 2 * cols, |first, y| {
        for (r, y) in y.chunks_exact_mut(cols).enumerate() {
            let row = (first + r) * cols..(first + r + 1) * cols;
            let values = &values[row.clone()];
            y.fill(0.0);
            largest(&alone, &x[row], k, |i| y[i as usize] = values[i as usize]);
        }
    });
}

/// The same in f64, by sorting.
fn pick64(k: usize, x: &Arg64, values: &[f64], y: &mut [f64]) {
    let cols = rows(x.shape).1.max(1);
    y.fill(0.0);
    for (r, row) in x.real.chunks(cols).enumerate() {
        let mut found: Vec<usize> = (0..row.len()).collect();
        found.sort_by(|&a, &b| order(row, a, b));
        found.iter().take(k).for_each(|&i| y[r * cols + i] = values[r * cols + i]);
    }
}

impl Kernel for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        match x[0].last() {
            Some(&n) if self.k <= n => Ok(x[0].to_vec()),
            _ => Err(shapes_error("top_k", x, format!("rows are shorter than k = {}", self.k))),
        }
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        pick(cx, self.k, &x[0], x[0].real(), y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        pick64(self.k, &x[0], x[0].real, y);
    }
}

/// Operands x, d: d at the k largest of x.
#[derive(Debug, Clone, Copy)]
struct TopKSlope(TopK);

impl Kernel for TopKSlope {
    fn name(&self) -> &'static str {
        "top_k slope"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        pick(cx, self.0.k, &x[0], x[1].real(), y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        pick64(self.0.k, &x[0], x[1].real, y);
    }
}

impl Op for TopK {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(g.derived(TopKSlope(*self), &[at.x[0], dy])?)])
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| g.derived(TopKSlope(*self), &[at.x[0], d])).transpose()
    }
}

impl Graph {
    /// The k largest of each row, zeros elsewhere.
    pub fn top_k(&mut self, x: Value, k: usize) -> Result<Value, Error> {
        self.apply(TopK { k }, &[x])
    }
}
