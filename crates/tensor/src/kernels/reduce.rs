//! Sums, means, products and maxima along one axis.
//!
//! Along the last axis: lane i of sixteen sums elements i, i + 16, ... from +0, and the lanes fold
//! 8-4-2-1. Along any other axis: one chain of additions from +0 in ascending order.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::reduce};
//! let (cx, x) = (Context::single(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
//! let (mut rows, mut cols) = ([0.0; 2], [0.0; 3]);
//! reduce::sum_last(&cx, &x, 2, 3, &mut rows);
//! reduce::sum_rows(&cx, &x, 2, 3, &mut cols);
//! assert_eq!((rows, cols), ([6.0, 15.0], [5.0, 7.0, 9.0]));
//! ```

use crate::context::{Context, SharedMut};
use crate::simd::{LANES, Simd, Task, dispatch};

/// The canonical sum of one row.
#[inline(always)]
pub(crate) fn sum_row<S: Simd>(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sum = S::zero();
    for chunk in chunks {
        sum = sum.add(S::load(chunk));
    }
    if !rest.is_empty() {
        // Lanes past the end add +0, which changes no bit of a sum that started at +0.
        sum = sum.add(S::load_part(rest, 0.0));
    }
    sum.fold_add()
}

/// The canonical inner product of two rows: fused multiply-adds in the lanes.
#[inline(always)]
pub(crate) fn dot_row<S: Simd>(x: &[f32], y: &[f32]) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sum = S::zero();
    for (x, y) in x.iter().zip(y) {
        sum = S::load(x).fma(S::load(y), sum);
    }
    if !x_rest.is_empty() {
        sum = S::load_part(x_rest, 0.0).fma(S::load_part(y_rest, 0.0), sum);
    }
    sum.fold_add()
}

/// The greatest element of a row, -infinity for an empty one.
#[inline(always)]
pub(crate) fn max_row<S: Simd>(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut max = S::splat(f32::NEG_INFINITY);
    for chunk in chunks {
        max = max.max(S::load(chunk));
    }
    if !rest.is_empty() {
        max = max.max(S::load_part(rest, f32::NEG_INFINITY));
    }
    max.fold_max()
}

/// What to do with each row.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Mean,
    Max,
}

struct Last<'a> {
    fold: Fold,
    x: &'a [f32],
    cols: usize,
    out: &'a mut [f32],
}

impl Task for Last<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, out) in self.out.iter_mut().enumerate() {
            let x = &self.x[r * self.cols..(r + 1) * self.cols];
            *out = match self.fold {
                Fold::Sum => sum_row::<S>(x),
                Fold::Mean => sum_row::<S>(x) / self.cols as f32,
                Fold::Max => max_row::<S>(x),
            };
        }
    }
}

fn fold_last(cx: &Context, fold: Fold, x: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(out.len(), rows);
    cx.split(out, 1, cols, |start, out| {
        let x = &x[start * cols..(start + out.len()) * cols];
        dispatch(cx, Last { fold, x, cols, out });
    });
}

/// out\[row\] = sum of x\[row, ..\].
pub fn sum_last(cx: &Context, x: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    fold_last(cx, Fold::Sum, x, rows, cols, out);
}

/// out\[row\] = sum of x\[row, ..\] / cols; NaN for no columns.
pub fn mean_last(cx: &Context, x: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    fold_last(cx, Fold::Mean, x, rows, cols, out);
}

/// out\[row\] = max of x\[row, ..\]; -infinity for no columns.
pub fn max_last(cx: &Context, x: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    fold_last(cx, Fold::Max, x, rows, cols, out);
}

struct Dot<'a> {
    x: &'a [f32],
    y: &'a [f32],
    cols: usize,
    out: &'a mut [f32],
}

impl Task for Dot<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, out) in self.out.iter_mut().enumerate() {
            let row = r * self.cols..(r + 1) * self.cols;
            *out = dot_row::<S>(&self.x[row.clone()], &self.y[row]);
        }
    }
}

/// out\[row\] = sum of x\[row, ..\] y\[row, ..\], fused multiply-adds in the lanes.
pub fn dot_last(cx: &Context, x: &[f32], y: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(y.len(), rows * cols);
    assert_eq!(out.len(), rows);
    cx.split(out, 1, cols, |start, out| {
        let range = start * cols..(start + out.len()) * cols;
        let (x, y) = (&x[range.clone()], &y[range]);
        dispatch(cx, Dot { x, y, cols, out });
    });
}

/// Chains over `axis` for a contiguous part of the inner axis.
struct Axis<'a> {
    /// From the first element of the part.
    x: &'a [f32],
    axis: usize,
    /// Distance of neighbours on the axis.
    stride: usize,
    out: &'a mut [f32],
}

impl Task for Axis<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        // Four vectors at a time: a cache line of each row is read once.
        const WIDE: usize = 4 * LANES;
        let (wide, rest) = self.out.as_chunks_mut::<WIDE>();
        let done = wide.len() * WIDE;
        for (j, out) in wide.iter_mut().enumerate() {
            let mut sums = [S::zero(); 4];
            for i in 0..self.axis {
                let row = &self.x[i * self.stride + j * WIDE..][..WIDE];
                let (row, _) = row.as_chunks::<LANES>();
                for v in 0..4 {
                    sums[v] = sums[v].add(S::load(&row[v]));
                }
            }
            let (out, _) = out.as_chunks_mut::<LANES>();
            for v in 0..4 {
                sums[v].store(&mut out[v]);
            }
        }
        for (j, out) in rest.chunks_mut(LANES).enumerate() {
            let mut sum = S::zero();
            for i in 0..self.axis {
                let row = &self.x[i * self.stride + done + j * LANES..][..out.len()];
                sum = sum.add(S::load_part(row, 0.0));
            }
            sum.store_part(out);
        }
    }
}

/// out\[outer, inner\] = sum over axis of x\[outer, axis, inner\], one ascending chain from +0 for
/// each element.
pub fn sum_axis(cx: &Context, x: &[f32], outer: usize, axis: usize, inner: usize, out: &mut [f32]) {
    assert_eq!(x.len(), outer * axis * inner);
    assert_eq!(out.len(), outer * inner);
    if inner == 0 {
        return;
    }
    // Units of at most 64 columns of one outer index.
    const UNIT: usize = 4 * LANES;
    let parts = inner.div_ceil(UNIT);
    let shared = SharedMut::new(out);
    cx.ranges(outer * parts, UNIT.min(inner) * axis, |range| {
        let mut unit = range.start;
        while unit < range.end {
            let (o, part) = (unit / parts, unit % parts);
            // Neighbouring parts of one outer index in one go.
            let end = (part + (range.end - unit)).min(parts);
            let (from, to) = (part * UNIT, (end * UNIT).min(inner));
            // SAFETY: `ranges` hands out disjoint ranges of units.
            let out = unsafe { shared.slice(o * inner + from..o * inner + to) };
            let x = &x[(o * axis * inner + from).min(x.len())..];
            let stride = inner;
            dispatch(cx, Axis { x, axis, stride, out });
            unit += end - part;
        }
    });
}

/// out\[col\] = sum over rows of x\[row, col\], one ascending chain from +0 for each column.
pub fn sum_rows(cx: &Context, x: &[f32], rows: usize, cols: usize, out: &mut [f32]) {
    sum_axis(cx, x, 1, rows, cols, out);
}
