//! Functions of corresponding elements of one, two or three arrays, and their derivatives.
//!
//! All slices of a call have the same length. No function depends on which lane or thread
//! computes an element, so the bits are those of one element at a time.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::elementwise};
//! let mut y = [0.0; 3];
//! elementwise::relu(&Context::single(), &[-1.0, 0.0, 2.0], &mut y);
//! assert_eq!(y, [0.0, 0.0, 2.0]);
//! ```

use crate::context::{Context, SharedMut};
use crate::math::{exp_lanes, ln_lanes, normal_lanes, sigmoid_lanes, tanh_lanes};
use crate::simd::{LANES, Real, Simd, Task, dispatch};

/// y = f(x)
trait Map1: Copy + Sync {
    fn map<R: Real>(self, x: R) -> R;
}

/// y = f(a, b)
trait Map2: Copy + Sync {
    fn map<R: Real>(self, a: R, b: R) -> R;
}

struct Run1<'a, F> {
    f: F,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Map1> Task for Run1<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks_mut::<LANES>();
        for (x, y) in x.iter().zip(y) {
            self.f.map(S::load(x)).store(y);
        }
        if !x_rest.is_empty() {
            self.f.map(S::load_part(x_rest, 0.0)).store_part(y_rest);
        }
    }
}

struct Run2<'a, F> {
    f: F,
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Map2> Task for Run2<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks_mut::<LANES>();
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            self.f.map(S::load(a), S::load(b)).store(y);
        }
        if !a_rest.is_empty() {
            let (a, b) = (S::load_part(a_rest, 0.0), S::load_part(b_rest, 0.0));
            self.f.map(a, b).store_part(y_rest);
        }
    }
}

/// `cost` in element operations.
fn map1(cx: &Context, cost: usize, f: impl Map1, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    cx.split(y, LANES, LANES * cost, |start, y| {
        let start = start * LANES;
        let x = &x[start..start + y.len()];
        dispatch(cx, Run1 { f, x, y });
    });
}

fn map2(cx: &Context, cost: usize, f: impl Map2, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert_eq!(a.len(), y.len());
    assert_eq!(b.len(), y.len());
    cx.split(y, LANES, LANES * cost, |start, y| {
        let start = start * LANES;
        let (a, b) = (&a[start..start + y.len()], &b[start..start + y.len()]);
        dispatch(cx, Run2 { f, a, b, y });
    });
}

/// How an operand stands for rows of equal length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// It has every element.
    Not,
    /// One row for all.
    Row,
    /// One element for each row.
    Column,
    /// One element for all.
    Single,
}

impl Repeat {
    /// The elements of an operand for row `r`, and whether these are one.
    #[inline(always)]
    fn of(self, x: &[f32], r: usize, cols: usize, len: usize) -> (&[f32], bool) {
        match self {
            Repeat::Not => (&x[r * cols..r * cols + len], false),
            Repeat::Row => (&x[..len], false),
            Repeat::Column => (&x[r..=r], true),
            Repeat::Single => (&x[..1], true),
        }
    }
}

struct Rows<'a, F> {
    f: F,
    a: (&'a [f32], Repeat),
    b: (&'a [f32], Repeat),
    first: usize,
    cols: usize,
    y: &'a mut [f32],
}

impl<F: Map2> Task for Rows<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (r, y) in self.y.chunks_mut(self.cols).enumerate() {
            let row = self.first + r;
            let (a, one_a) = self.a.1.of(self.a.0, row, self.cols, y.len());
            let (b, one_b) = self.b.1.of(self.b.0, row, self.cols, y.len());
            let f = self.f;
            match (one_a, one_b) {
                (false, false) => {
                    row_of::<S>(y, |i, n| f.map(load::<S>(a, i, n), load::<S>(b, i, n)))
                }
                (false, true) => {
                    let b = S::splat(b[0]);
                    row_of::<S>(y, |i, n| f.map(load::<S>(a, i, n), b));
                }
                (true, false) => {
                    let a = S::splat(a[0]);
                    row_of::<S>(y, |i, n| f.map(a, load::<S>(b, i, n)));
                }
                (true, true) => {
                    let both = f.map(S::splat(a[0]), S::splat(b[0]));
                    row_of::<S>(y, |_, _| both);
                }
            }
        }
    }
}

/// Up to sixteen elements from `i` on.
#[inline(always)]
fn load<S: Simd>(x: &[f32], i: usize, n: usize) -> S {
    match x[i..i + n].first_chunk() {
        Some(lanes) => S::load(lanes),
        None => S::load_part(&x[i..i + n], 0.0),
    }
}

/// y from `f` of the first element of each vector and how many it has.
#[inline(always)]
fn row_of<S: Simd>(y: &mut [f32], f: impl Fn(usize, usize) -> S) {
    let whole = y.len() / LANES * LANES;
    let (y, rest) = y.as_chunks_mut::<LANES>();
    for (i, y) in y.iter_mut().enumerate() {
        f(i * LANES, LANES).store(y);
    }
    if !rest.is_empty() {
        f(whole, rest.len()).store_part(rest);
    }
}

/// Declares a function of one array.
macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, $cost:expr, |$x:ident| $body:expr) => {
        $(#[$doc])*
        pub fn $name(cx: &Context, x: &[f32], y: &mut [f32]) {
            #[derive(Clone, Copy)]
            struct F;
            impl Map1 for F {
                #[inline(always)]
                fn map<R: Real>(self, $x: R) -> R {
                    $body
                }
            }
            map1(cx, $cost, F, x, y);
        }
    };
}

/// Declares a function of two arrays.
macro_rules! binary {
    ($(#[$doc:meta])* $name:ident($a:ident, $b:ident, $y:ident), $cost:expr, $body:expr) => {
        $(#[$doc])*
        pub fn $name(cx: &Context, $a: &[f32], $b: &[f32], $y: &mut [f32]) {
            #[derive(Clone, Copy)]
            struct F;
            impl Map2 for F {
                #[inline(always)]
                fn map<R: Real>(self, $a: R, $b: R) -> R {
                    $body
                }
            }
            map2(cx, $cost, F, $a, $b, $y);
        }
    };
}

/// Declares a function of two arrays, and the same of rows of `cols` elements, the last of which may be
/// short, from operands that may repeat.
macro_rules! arithmetic {
    ($(#[$doc:meta])* $name:ident, $rows:ident, $cost:expr, |$a:ident, $b:ident| $body:expr) => {
        binary! { $(#[$doc])* $name($a, $b, y), $cost, $body }

        $(#[$doc])*
        ///
        /// Rows have `cols` elements, the last may be short; operands may repeat.
        pub fn $rows(
            cx: &Context,
            a: (&[f32], Repeat),
            b: (&[f32], Repeat),
            cols: usize,
            y: &mut [f32],
        ) {
            #[derive(Clone, Copy)]
            struct F;
            impl Map2 for F {
                #[inline(always)]
                fn map<R: Real>(self, $a: R, $b: R) -> R {
                    $body
                }
            }
            if (a.1, b.1) == (Repeat::Not, Repeat::Not) {
                return map2(cx, $cost, F, a.0, b.0, y);
            }
            let cols = cols.max(1);
            cx.split(y, cols, cols * $cost, |first, y| {
                dispatch(cx, Rows { f: F, a, b, first, cols, y });
            });
        }
    };
}

arithmetic! {
    /// y = a + b
    add, add_rows, 1, |a, b| a.add(b)
}
arithmetic! {
    /// y = a - b
    sub, sub_rows, 1, |a, b| a.sub(b)
}
arithmetic! {
    /// y = a b
    mul, mul_rows, 1, |a, b| a.mul(b)
}
arithmetic! {
    /// y = a / b
    div, div_rows, 2, |a, b| a.div(b)
}

/// y = c x
pub fn scale(cx: &Context, x: &[f32], c: f32, y: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct F(f32);
    impl Map1 for F {
        #[inline(always)]
        fn map<R: Real>(self, x: R) -> R {
            x.mul(R::splat(self.0))
        }
    }
    map1(cx, 1, F(c), x, y);
}

/// y = x + c
pub fn add_const(cx: &Context, x: &[f32], c: f32, y: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct F(f32);
    impl Map1 for F {
        #[inline(always)]
        fn map<R: Real>(self, x: R) -> R {
            x.add(R::splat(self.0))
        }
    }
    map1(cx, 1, F(c), x, y);
}

unary! {
    /// y = x
    copy, 1, |x| x
}
unary! {
    /// y = max(x, 0), +0 for every x <= 0.
    relu, 1, |x| x.max(R::zero())
}
unary! {
    /// y = x^2
    square, 1, |x| x.mul(x)
}
unary! {
    /// y = sqrt(x), correctly rounded.
    sqrt, 3, |x| x.sqrt()
}
unary! {
    /// y = e^x
    exp, 5, |x| exp_lanes(x)
}
unary! {
    /// y = ln x
    ln, 6, |x| ln_lanes(x)
}
unary! {
    /// y = tanh x
    tanh, 8, |x| tanh_lanes(x)
}
unary! {
    /// y = 1 / (1 + e^-x)
    sigmoid, 6, |x| sigmoid_lanes(x)
}
unary! {
    /// y = x / (1 + e^-x) (SiLU or swish; Elfwing et al. 2017).
    silu, 6, |x| x.mul(sigmoid_lanes(x))
}
unary! {
    /// y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form of GELU (Hendrycks and
    /// Gimpel 2016), computed as x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which is the same.
    gelu_tanh, 8, |x| x.mul(sigmoid_lanes(gelu_inner(x)))
}

unary! {
    /// y = x P(Z <= x) for a standard normal Z: GELU itself (Hendrycks and Gimpel 2016), which is
    /// written x/2 (1 + erf(x / sqrt 2)).
    gelu_erf, 9, |x| x.mul(normal_lanes(x).0)
}

/// 2 sqrt(2/pi)
const GELU_SLOPE: f32 = 1.595_769;
const GELU_CUBIC: f32 = 0.044_715;

/// 2 sqrt(2/pi) (x + 0.044715 x^3)
#[inline(always)]
fn gelu_inner<R: Real>(x: R) -> R {
    let cubic = x.mul(x).fma(R::splat(GELU_CUBIC), R::splat(1.0));
    x.mul(R::splat(GELU_SLOPE)).mul(cubic)
}

binary! {
    /// dx = dy where x > 0, else 0 (the derivative at 0 is 0).
    relu_vjp(x, dy, dx), 1, R::select(R::zero().less(x), dy, R::zero())
}
binary! {
    /// dx = dy s (1 + x (1 - s)) with s = sigmoid(x).
    silu_vjp(x, dy, dx), 8, {
        let s = sigmoid_lanes(x);
        let one = R::splat(1.0);
        dy.mul(s.mul(x.fma(one.sub(s), one)))
    }
}
binary! {
    /// dx = dy y (1 - y), from the result y = sigmoid(x).
    sigmoid_vjp(y, dy, dx), 2, dy.mul(y.mul(R::splat(1.0).sub(y)))
}
binary! {
    /// dx = dy (1 - y^2), from the result y = tanh(x).
    tanh_vjp(y, dy, dx), 2, dy.mul(R::splat(1.0).sub(y.mul(y)))
}
binary! {
    /// dx = dy s (1 + x (1 - s) u') with u = 2 sqrt(2/pi) (x + 0.044715 x^3), s = sigmoid(u).
    gelu_vjp(x, dy, dx), 10, {
        let s = sigmoid_lanes(gelu_inner(x));
        let one = R::splat(1.0);
        let slope = x
            .mul(x)
            .fma(R::splat(3.0 * GELU_CUBIC), one)
            .mul(R::splat(GELU_SLOPE));
        dy.mul(s.mul(x.mul(slope).fma(one.sub(s), one)))
    }
}

binary! {
    /// dx = dy (P(Z <= x) + x p(x)) with the density p of a standard normal Z.
    gelu_erf_vjp(x, dy, dx), 11, {
        let (below, density) = normal_lanes(x);
        dy.mul(x.fma(density, below))
    }
}

struct AddAssign<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
}

impl Task for AddAssign<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks_mut::<LANES>();
        for (x, y) in x.iter().zip(y) {
            S::load(y).add(S::load(x)).store(y);
        }
        for (x, y) in x_rest.iter().zip(y_rest) {
            *y += x;
        }
    }
}

/// y += x
pub fn add_assign(cx: &Context, y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len());
    let shared = SharedMut::new(y);
    cx.ranges(x.len(), 1, |range| {
        // SAFETY: `ranges` hands out disjoint ranges.
        let y = unsafe { shared.slice(range.clone()) };
        dispatch(cx, AddAssign { y, x: &x[range] });
    });
}
