//! One step of an optimiser over one parameter, in one pass.
//!
//! [`AdamW::step`] is Adam with decoupled weight decay (Loshchilov and Hutter 2017, algorithm 2), in
//! the order in which PyTorch's single-tensor form computes it; [`sgd`] is gradient descent with
//! momentum (Sutskever et al. 2013, in PyTorch's convention).
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::adamw::AdamW};
//! let adamw = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
//! let (mut p, mut m, mut v) = ([1.0], [0.0], [0.0]);
//! adamw.step(&Context::single(), 1, &mut p, &[0.5], &mut m, &mut v);
//! assert!((p[0] - 0.9).abs() < 1e-6); // the first step has the length of the learning rate
//! ```

use crate::context::{Context, SharedMut};
use crate::math::powi64;
use crate::simd::{LANES, Real, Simd, Task, dispatch};

/// The settings of AdamW, as PyTorch names them. f64, because PyTorch computes with them in f64
/// before it rounds each product of them to the parameter's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled: each step multiplies the parameter by 1 - lr weight_decay.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// PyTorch's defaults.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// The constants of one step.
#[derive(Clone, Copy)]
struct Constants {
    keep: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    root_correction2: f32,
    eps: f32,
    step: f32,
}

struct Step<'a> {
    c: Constants,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

/// The new (p, m, v).
#[inline(always)]
fn update<R: Real>(c: Constants, p: R, g: R, m: R, v: R) -> (R, R, R) {
    let p = p.mul(R::splat(c.keep));
    // m + (g - m)(1 - beta1), as torch.lerp.
    let m = g.sub(m).fma(R::splat(c.one_minus_beta1), m);
    // beta2 v + (1 - beta2) g g
    let v = g.mul(R::splat(c.one_minus_beta2)).fma(g, v.mul(R::splat(c.beta2)));
    let root = v.sqrt().div(R::splat(c.root_correction2));
    let p = p.sub(m.div(root.add(R::splat(c.eps))).mul(R::splat(c.step)));
    (p, m, v)
}

impl Task for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (g, g_rest) = self.g.as_chunks::<LANES>();
        let (p, p_rest) = self.p.as_chunks_mut::<LANES>();
        let (m, m_rest) = self.m.as_chunks_mut::<LANES>();
        let (v, v_rest) = self.v.as_chunks_mut::<LANES>();
        for (((g, p), m), v) in g.iter().zip(p).zip(m).zip(v) {
            let (new_p, new_m, new_v) =
                update(self.c, S::load(p), S::load(g), S::load(m), S::load(v));
            new_p.store(p);
            new_m.store(m);
            new_v.store(v);
        }
        if !g_rest.is_empty() {
            let (new_p, new_m, new_v) = update(
                self.c,
                S::load_part(p_rest, 0.0),
                S::load_part(g_rest, 0.0),
                S::load_part(m_rest, 0.0),
                S::load_part(v_rest, 0.0),
            );
            new_p.store_part(p_rest);
            new_m.store_part(m_rest);
            new_v.store_part(v_rest);
        }
    }
}

impl AdamW {
    /// Step number `t`, counted from 1: updates the parameter `p` and its moments `m` and `v` (both
    /// zero before the first step) from the gradient `g`.
    pub fn step(
        &self,
        cx: &Context,
        t: u64,
        p: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
    ) {
        let n = g.len();
        assert!(p.len() == n && m.len() == n && v.len() == n);
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        let correction1 = 1.0 - powi64(self.beta1, t);
        let correction2 = 1.0 - powi64(self.beta2, t);
        let c = Constants {
            keep: (1.0 - self.lr * self.weight_decay) as f32,
            one_minus_beta1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            one_minus_beta2: (1.0 - self.beta2) as f32,
            root_correction2: correction2.sqrt() as f32,
            eps: self.eps as f32,
            step: (self.lr / correction1) as f32,
        };
        let (p, m, v) = (SharedMut::new(p), SharedMut::new(m), SharedMut::new(v));
        cx.ranges(n.div_ceil(LANES), 6 * LANES, |range| {
            let range = range.start * LANES..(range.end * LANES).min(n);
            let g = &g[range.clone()];
            // SAFETY: `ranges` hands out disjoint ranges.
            let (p, m, v) =
                unsafe { (p.slice(range.clone()), m.slice(range.clone()), v.slice(range)) };
            dispatch(cx, Step { c, p, g, m, v });
        });
    }
}

struct Sgd<'a> {
    lr: f32,
    momentum: f32,
    p: &'a mut [f32],
    g: &'a [f32],
    buffer: &'a mut [f32],
}

impl Task for Sgd<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (lr, momentum) = (S::splat(self.lr), S::splat(self.momentum));
        let chunks = self.p.chunks_mut(LANES).zip(self.buffer.chunks_mut(LANES));
        for ((p, buffer), g) in chunks.zip(self.g.chunks(LANES)) {
            let g = S::load_part(g, 0.0);
            let new = S::load_part(buffer, 0.0).mul(momentum).add(g);
            new.store_part(buffer);
            S::load_part(p, 0.0).sub(new.mul(lr)).store_part(p);
        }
    }
}

/// buffer = momentum buffer + g; p -= lr buffer. The buffer is zero before the first step.
pub fn sgd(cx: &Context, p: &mut [f32], g: &[f32], lr: f32, momentum: f32, buffer: &mut [f32]) {
    let n = g.len();
    assert!(p.len() == n && buffer.len() == n);
    let (p, buffer) = (SharedMut::new(p), SharedMut::new(buffer));
    cx.ranges(n.div_ceil(LANES), 2 * LANES, |range| {
        let range = range.start * LANES..(range.end * LANES).min(n);
        let g = &g[range.clone()];
        // SAFETY: `ranges` hands out disjoint ranges.
        let (p, buffer) = unsafe { (p.slice(range.clone()), buffer.slice(range)) };
        dispatch(cx, Sgd { lr, momentum, p, g, buffer });
    });
}
