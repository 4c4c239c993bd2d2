//! The k largest elements of each row, all others set to zero (Makhzani and Frey 2013; Gao et al.
//! 2024). Of equal elements the one with the lower index stays.

use crate::kernel::{Applied, Arg, Arg64, rows, shapes_error};
use crate::{Context, Error, Graph, Kernel, Op, Value};

/// Keeps the k largest of each row.
#[derive(Debug, Clone, Copy)]
pub struct TopK {
    /// Elements kept in each row.
    pub k: usize,
}

/// Indices of the k largest, unordered. What is not a number is smaller than every number.
fn largest<T: PartialOrd + Copy>(row: &[T], k: usize, order: &mut Vec<usize>) {
    order.clear();
    candidates(row, k, order);
    if order.len() < k {
        order.clear();
        order.extend(0..row.len());
    }
    if k < order.len() {
        order.select_nth_unstable_by(k, |&a, &b| {
            let number = |i: usize| row[i].partial_cmp(&row[i]).is_some();
            let by_value = row[b].partial_cmp(&row[a]);
            by_value.unwrap_or_else(|| number(b).cmp(&number(a))).then(a.cmp(&b))
        });
        order.truncate(k);
    }
}

/// Few indices, the k largest among them: of k groups each has an element as large as the smallest
/// of the groups' maxima, so nothing below it is among the k largest. Fewer than k where elements
/// are not numbers.
fn candidates<T: PartialOrd + Copy>(row: &[T], k: usize, order: &mut Vec<usize>) {
    if k == 0 {
        return;
    }
    let (first, rest) = row.split_at(k.min(row.len()));
    let mut maxima = first.to_vec();
    for chunk in rest.chunks(k) {
        for (m, &x) in maxima.iter_mut().zip(chunk) {
            *m = if x > *m { x } else { *m };
        }
    }
    let smallest = maxima.into_iter().reduce(|a, b| if b < a { b } else { a });
    if let Some(bound) = smallest {
        order.extend((0..row.len()).filter(|&i| row[i] >= bound));
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
        let (_, cols) = x[0].rows();
        let x = x[0].real();
        if cols == 0 {
            return;
        }
        cx.split(y, cols, 8 * cols, |first, y| {
            let mut order = Vec::with_capacity(cols);
            for (r, y) in y.chunks_exact_mut(cols).enumerate() {
                let row = &x[(first + r) * cols..(first + r + 1) * cols];
                largest(row, self.k, &mut order);
                y.fill(0.0);
                order.iter().for_each(|&i| y[i] = row[i]);
            }
        });
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        let mut order = vec![];
        for (row, y) in x[0].real.chunks(cols.max(1)).zip(y.chunks_mut(cols.max(1))) {
            largest(row, self.k, &mut order);
            y.fill(0.0);
            order.iter().for_each(|&i| y[i] = row[i]);
        }
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

    fn run(&self, _cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (_, cols) = x[0].rows();
        let mut order = vec![];
        y.fill(0.0);
        for (r, row) in x[0].real().chunks(cols.max(1)).enumerate() {
            largest(row, self.0.k, &mut order);
            order.iter().for_each(|&i| y[r * cols + i] = x[1].real()[r * cols + i]);
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (_, cols) = rows(x[0].shape);
        let mut order = vec![];
        y.fill(0.0);
        for (r, row) in x[0].real.chunks(cols.max(1)).enumerate() {
            largest(row, self.0.k, &mut order);
            order.iter().for_each(|&i| y[r * cols + i] = x[1].real[r * cols + i]);
        }
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
