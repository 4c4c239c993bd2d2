//! Softmax and log-softmax along the last axis, the cross entropy of rows, and their derivatives.
//!
//! The greatest element of a row is subtracted first; the sum of the exponentials is the canonical
//! sum of a row. -infinity is a position that does not exist: it gets probability +0, and a row
//! of nothing else is a row of +0.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::softmax};
//! let mut y = [0.0; 3];
//! let x = [1.0, 1.0, f32::NEG_INFINITY];
//! softmax::softmax_last(&Context::single(), &x, 1, 3, &mut y);
//! assert_eq!(y, [0.5, 0.5, 0.0]);
//! ```

use super::reduce::{dot_row, max_row, sum_row};
use crate::context::{Context, SharedMut};
use crate::math::{exp_lanes, ln};
use crate::simd::{LANES, Simd, Task, dispatch};

/// y = exp(x - max) for a row; returns the canonical sum of y.
#[inline(always)]
fn exp_row<S: Simd>(x: &[f32], max: f32, y: &mut [f32]) -> f32 {
    let max = S::splat(max);
    let mut sum = S::zero();
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks_mut::<LANES>();
    for (x, y) in x.iter().zip(y) {
        let e = exp_lanes(S::load(x).sub(max));
        e.store(y);
        sum = sum.add(e);
    }
    if !x_rest.is_empty() {
        let e = exp_lanes(S::load_part(x_rest, f32::NEG_INFINITY).sub(max));
        e.store_part(y_rest);
        sum = sum.add(e);
    }
    sum.fold_add()
}

/// The canonical sum of exp(x - max) of a row.
#[inline(always)]
fn sum_exp_row<S: Simd>(x: &[f32], max: f32) -> f32 {
    let max = S::splat(max);
    let mut sum = S::zero();
    let (x, x_rest) = x.as_chunks::<LANES>();
    for x in x {
        sum = sum.add(exp_lanes(S::load(x).sub(max)));
    }
    if !x_rest.is_empty() {
        let x = S::load_part(x_rest, f32::NEG_INFINITY);
        sum = sum.add(exp_lanes(x.sub(max)));
    }
    sum.fold_add()
}

/// y = f(y) of a row, where f also reads a constant.
#[inline(always)]
fn div_row<S: Simd>(y: &mut [f32], by: f32) {
    let by = S::splat(by);
    let (y, rest) = y.as_chunks_mut::<LANES>();
    for y in y {
        S::load(y).div(by).store(y);
    }
    if !rest.is_empty() {
        S::load_part(rest, 0.0).div(by).store_part(rest);
    }
}

#[inline(always)]
fn softmax_row<S: Simd>(x: &[f32], y: &mut [f32]) {
    let max = max_row::<S>(x);
    if max == f32::NEG_INFINITY {
        y.fill(0.0);
        return;
    }
    // Vectors of nothing but -infinity at the end are +0, which changes no sum.
    let mut end = x.len();
    while end > LANES && x[end - 1] == f32::NEG_INFINITY {
        let start = (end - 1) / LANES * LANES;
        if max_row::<S>(&x[start..end]) != f32::NEG_INFINITY {
            break;
        }
        end = start;
    }
    let (y, nothing) = y.split_at_mut(end);
    nothing.fill(0.0);
    let sum = exp_row::<S>(&x[..end], max, y);
    div_row::<S>(y, sum);
}

/// A row kernel with two inputs (the second may be empty) and one output.
trait RowMap: Copy + Sync {
    fn row<S: Simd>(self, index: usize, x: &[f32], z: &[f32], y: &mut [f32]);
}

struct Rows<'a, F> {
    f: F,
    first: usize,
    x: &'a [f32],
    z: &'a [f32],
    cols: usize,
    y: &'a mut [f32],
}

impl<F: RowMap> Task for Rows<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, y) in self.y.chunks_exact_mut(self.cols).enumerate() {
            let range = r * self.cols..(r + 1) * self.cols;
            let z = if self.z.is_empty() { self.z } else { &self.z[range.clone()] };
            self.f.row::<S>(self.first + r, &self.x[range], z, y);
        }
    }
}

fn map_rows(
    cx: &Context,
    cost: usize,
    f: impl RowMap,
    x: &[f32],
    z: &[f32],
    shape: (usize, usize),
    y: &mut [f32],
) {
    let (rows, cols) = shape;
    assert_eq!(x.len(), rows * cols);
    assert!(z.is_empty() || z.len() == rows * cols);
    assert_eq!(y.len(), rows * cols);
    if cols == 0 {
        return;
    }
    cx.split(y, cols, cost * cols, |first, y| {
        let range = first * cols..first * cols + y.len();
        let x = &x[range.clone()];
        let z = if z.is_empty() { z } else { &z[range] };
        dispatch(cx, Rows { f, first, x, z, cols, y });
    });
}

/// y\[row, ..\] = exp(x - max x) / sum exp(x - max x).
pub fn softmax_last(cx: &Context, x: &[f32], rows: usize, cols: usize, y: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct F;
    impl RowMap for F {
        #[inline(always)]
        fn row<S: Simd>(self, _: usize, x: &[f32], _: &[f32], y: &mut [f32]) {
            softmax_row::<S>(x, y);
        }
    }
    map_rows(cx, 8, F, x, &[], (rows, cols), y);
}

/// dx = y (dy - dot(y, dy)) in each row, from the result y of [`softmax_last`].
pub fn softmax_vjp(cx: &Context, y: &[f32], dy: &[f32], rows: usize, cols: usize, dx: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct F;
    impl RowMap for F {
        #[inline(always)]
        fn row<S: Simd>(self, _: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
            let dot = S::splat(dot_row::<S>(y, dy));
            let (y, y_rest) = y.as_chunks::<LANES>();
            let (dy, dy_rest) = dy.as_chunks::<LANES>();
            let (dx, dx_rest) = dx.as_chunks_mut::<LANES>();
            for ((y, dy), dx) in y.iter().zip(dy).zip(dx) {
                S::load(y).mul(S::load(dy).sub(dot)).store(dx);
            }
            if !y_rest.is_empty() {
                let dy = S::load_part(dy_rest, 0.0);
                S::load_part(y_rest, 0.0).mul(dy.sub(dot)).store_part(dx_rest);
            }
        }
    }
    assert_eq!(dy.len(), dx.len());
    map_rows(cx, 3, F, y, dy, (rows, cols), dx);
}

/// y\[row, ..\] = (x - max x) - ln sum exp(x - max x); -infinity in a row of -infinities.
pub fn log_softmax_last(cx: &Context, x: &[f32], rows: usize, cols: usize, y: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct F;
    impl RowMap for F {
        #[inline(always)]
        fn row<S: Simd>(self, _: usize, x: &[f32], _: &[f32], y: &mut [f32]) {
            let max = max_row::<S>(x);
            if max == f32::NEG_INFINITY {
                y.fill(f32::NEG_INFINITY);
                return;
            }
            let log = S::splat(ln(sum_exp_row::<S>(x, max)));
            let max = S::splat(max);
            let (x, x_rest) = x.as_chunks::<LANES>();
            let (y, y_rest) = y.as_chunks_mut::<LANES>();
            for (x, y) in x.iter().zip(y) {
                S::load(x).sub(max).sub(log).store(y);
            }
            if !x_rest.is_empty() {
                let x = S::load_part(x_rest, 0.0);
                x.sub(max).sub(log).store_part(y_rest);
            }
        }
    }
    map_rows(cx, 8, F, x, &[], (rows, cols), y);
}

/// dx = dy - exp(y) sum(dy) in each row, from the result y of [`log_softmax_last`].
pub fn log_softmax_vjp(
    cx: &Context,
    y: &[f32],
    dy: &[f32],
    rows: usize,
    cols: usize,
    dx: &mut [f32],
) {
    #[derive(Clone, Copy)]
    struct F;
    impl RowMap for F {
        #[inline(always)]
        fn row<S: Simd>(self, _: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
            let sum = S::splat(sum_row::<S>(dy));
            let (y, y_rest) = y.as_chunks::<LANES>();
            let (dy, dy_rest) = dy.as_chunks::<LANES>();
            let (dx, dx_rest) = dx.as_chunks_mut::<LANES>();
            for ((y, dy), dx) in y.iter().zip(dy).zip(dx) {
                let p = exp_lanes(S::load(y));
                S::load(dy).sub(p.mul(sum)).store(dx);
            }
            if !y_rest.is_empty() {
                let p = exp_lanes(S::load_part(y_rest, 0.0));
                let dy = S::load_part(dy_rest, 0.0);
                dy.sub(p.mul(sum)).store_part(dx_rest);
            }
        }
    }
    assert_eq!(dy.len(), dx.len());
    map_rows(cx, 6, F, y, dy, (rows, cols), dx);
}

struct CrossEntropy<'a> {
    x: &'a [f32],
    targets: &'a [u32],
    cols: usize,
    loss: &'a mut [f32],
}

impl Task for CrossEntropy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, loss) in self.loss.iter_mut().enumerate() {
            let x = &self.x[r * self.cols..(r + 1) * self.cols];
            let max = max_row::<S>(x);
            let log = ln(sum_exp_row::<S>(x, max));
            *loss = log - (x[self.targets[r] as usize] - max);
        }
    }
}

/// loss\[row\] = ln sum exp(x - max x) - (x\[row, target\] - max x): the negative log-probability
/// of the target, in nats.
///
/// # Panics
/// If a target is not below `cols`.
pub fn cross_entropy(
    cx: &Context,
    x: &[f32],
    targets: &[u32],
    rows: usize,
    cols: usize,
    loss: &mut [f32],
) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(targets.len(), rows);
    assert_eq!(loss.len(), rows);
    cx.split(loss, 1, 6 * cols, |start, loss| {
        let end = start + loss.len();
        let (x, targets) = (&x[start * cols..end * cols], &targets[start..end]);
        dispatch(cx, CrossEntropy { x, targets, cols, loss });
    });
}

struct CrossEntropyVjp<'a> {
    x: &'a [f32],
    targets: &'a [u32],
    dloss: &'a [f32],
    cols: usize,
    dx: &'a mut [f32],
}

impl Task for CrossEntropyVjp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let rows = self.x.chunks_exact(self.cols);
        for (r, (x, dx)) in rows.zip(self.dx.chunks_exact_mut(self.cols)).enumerate() {
            softmax_row::<S>(x, dx);
            dx[self.targets[r] as usize] -= 1.0;
            let by = S::splat(self.dloss[r]);
            let (dx, rest) = dx.as_chunks_mut::<LANES>();
            for dx in dx {
                S::load(dx).mul(by).store(dx);
            }
            if !rest.is_empty() {
                S::load_part(rest, 0.0).mul(by).store_part(rest);
            }
        }
    }
}

/// dx\[row, ..\] = (softmax(x\[row, ..\]) - onehot(target)) dloss\[row\].
///
/// # Panics
/// If a target is not below `cols`.
pub fn cross_entropy_vjp(
    cx: &Context,
    x: &[f32],
    targets: &[u32],
    dloss: &[f32],
    rows: usize,
    cols: usize,
    dx: &mut [f32],
) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(dx.len(), rows * cols);
    assert_eq!(targets.len(), rows);
    assert_eq!(dloss.len(), rows);
    if cols == 0 {
        return;
    }
    let shared = SharedMut::new(dx);
    cx.ranges(rows, 8 * cols, |range| {
        let part = range.start * cols..range.end * cols;
        // SAFETY: `ranges` hands out disjoint ranges of rows.
        let dx = unsafe { shared.slice(part.clone()) };
        let x = &x[part];
        let (targets, dloss) = (&targets[range.clone()], &dloss[range]);
        dispatch(cx, CrossEntropyVjp { x, targets, dloss, cols, dx });
    });
}
