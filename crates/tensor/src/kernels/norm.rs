//! The two halves of a normalisation along the last axis: centring, and the root mean square.
//!
//! LayerNorm (Ba et al. 2016) is both, RMSNorm (Zhang and Sennrich 2019) the second alone.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::norm};
//! let mut y = [0.0; 2];
//! norm::center_last(&Context::single(), &[1.0, 3.0], 1, 2, &mut y);
//! assert_eq!(y, [-1.0, 1.0]);
//! ```

use super::reduce::{dot_row, sum_row};
use crate::context::Context;
use crate::simd::{LANES, Simd, Task, dispatch};

struct Center<'a> {
    x: &'a [f32],
    cols: usize,
    y: &'a mut [f32],
}

impl Task for Center<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let rows = self.x.chunks_exact(self.cols);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(self.cols)) {
            let mean = S::splat(sum_row::<S>(x) / self.cols as f32);
            let (x, x_rest) = x.as_chunks::<LANES>();
            let (y, y_rest) = y.as_chunks_mut::<LANES>();
            for (x, y) in x.iter().zip(y) {
                S::load(x).sub(mean).store(y);
            }
            if !x_rest.is_empty() {
                S::load_part(x_rest, 0.0).sub(mean).store_part(y_rest);
            }
        }
    }
}

/// y\[row, ..\] = x\[row, ..\] - mean of x\[row, ..\].
pub fn center_last(cx: &Context, x: &[f32], rows: usize, cols: usize, y: &mut [f32]) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(y.len(), rows * cols);
    if cols == 0 {
        return;
    }
    cx.split(y, cols, 2 * cols, |start, y| {
        let x = &x[start * cols..start * cols + y.len()];
        dispatch(cx, Center { x, cols, y });
    });
}

/// dx of [`center_last`]: a symmetric projection, its own transpose.
pub fn center_vjp(cx: &Context, dy: &[f32], rows: usize, cols: usize, dx: &mut [f32]) {
    center_last(cx, dy, rows, cols, dx);
}

struct Rms<'a> {
    x: &'a [f32],
    cols: usize,
    eps: f32,
    out: &'a mut [f32],
}

impl Task for Rms<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, out) in self.out.iter_mut().enumerate() {
            let x = &self.x[r * self.cols..(r + 1) * self.cols];
            *out = (dot_row::<S>(x, x) / self.cols as f32 + self.eps).sqrt();
        }
    }
}

/// out\[row\] = sqrt(mean of x\[row, ..\]^2 + eps).
pub fn rms_last(cx: &Context, x: &[f32], rows: usize, cols: usize, eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(out.len(), rows);
    cx.split(out, 1, cols, |start, out| {
        let x = &x[start * cols..(start + out.len()) * cols];
        dispatch(cx, Rms { x, cols, eps, out });
    });
}

struct RmsVjp<'a> {
    x: &'a [f32],
    rms: &'a [f32],
    dy: &'a [f32],
    cols: usize,
    dx: &'a mut [f32],
}

impl Task for RmsVjp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let rows = self.x.chunks_exact(self.cols);
        for (r, (x, dx)) in rows.zip(self.dx.chunks_exact_mut(self.cols)).enumerate() {
            let slope = S::splat(self.dy[r] / (self.cols as f32 * self.rms[r]));
            let (x, x_rest) = x.as_chunks::<LANES>();
            let (dx, dx_rest) = dx.as_chunks_mut::<LANES>();
            for (x, dx) in x.iter().zip(dx) {
                S::load(x).mul(slope).store(dx);
            }
            if !x_rest.is_empty() {
                S::load_part(x_rest, 0.0).mul(slope).store_part(dx_rest);
            }
        }
    }
}

/// dx\[row, ..\] = x\[row, ..\] (dy\[row\] / (cols rms\[row\])), from the result rms of
/// [`rms_last`] and its cotangent dy.
pub fn rms_vjp(
    cx: &Context,
    x: &[f32],
    rms: &[f32],
    dy: &[f32],
    rows: usize,
    cols: usize,
    dx: &mut [f32],
) {
    assert_eq!(x.len(), rows * cols);
    assert_eq!(dx.len(), rows * cols);
    assert_eq!(rms.len(), rows);
    assert_eq!(dy.len(), rows);
    if cols == 0 {
        return;
    }
    cx.split(dx, cols, cols, |start, dx| {
        let end = start + dx.len() / cols;
        let (rms, dy) = (&rms[start..end], &dy[start..end]);
        let x = &x[start * cols..end * cols];
        dispatch(cx, RmsVjp { x, rms, dy, cols, dx });
    });
}
