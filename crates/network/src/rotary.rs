//! Rotary positions (Su et al. 2021, eq. 34): the pair of coordinates (x, y) of a query or key at
//! position p becomes (x cos - y sin, y cos + x sin) of the angle p base^(-2i / dim), so that scores
//! depend on the distance of two positions alone.
//!
//! The tables are computed in f64 and rounded once; what is recorded is x * cos + turned(x) * sin,
//! where `turned` moves every pair by a quarter turn: a product with a matrix of 0, 1 and -1, exact.

use crate::config::{Pairs, Rotary};
use flyroom_tensor::{Error, Graph, Tensor, Value, math};

/// The constants of one network's rotation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables {
    cos: Value,
    sin: Value,
    quarter: Value,
}

impl Rotary {
    /// The two coordinates of pair i.
    fn pair(&self, i: usize) -> (usize, usize) {
        match self.pairs {
            Pairs::Halves => (i, i + self.dim / 2),
            Pairs::Adjacent => (2 * i, 2 * i + 1),
        }
    }

    /// Records the constants for `pos` positions of heads of `d_head` coordinates.
    pub(crate) fn tables(&self, g: &mut Graph, pos: usize, d_head: usize) -> Tables {
        let mut cos = Tensor::from_fn(&[pos, 1, d_head], |_| 1.0);
        let mut sin = Tensor::zeros(&[pos, 1, d_head]);
        let mut quarter = Tensor::zeros(&[d_head, d_head]); // [from, to]
        for i in 0..self.dim / 2 {
            let (x, y) = self.pair(i);
            let frequency = math::pow64(self.base, -2.0 * i as f64 / self.dim as f64);
            for p in 0..pos {
                let (s, c) = math::sin_cos64(p as f64 * frequency);
                for at in [x, y] {
                    cos.data_mut()[p * d_head + at] = c as f32;
                    sin.data_mut()[p * d_head + at] = s as f32;
                }
            }
            quarter.data_mut()[y * d_head + x] = -1.0;
            quarter.data_mut()[x * d_head + y] = 1.0;
        }
        Tables { cos: g.constant(cos), sin: g.constant(sin), quarter: g.constant(quarter) }
    }
}

impl Tables {
    /// Turns x `[batch, pos, head, d_head]`.
    pub fn turn(&self, g: &mut Graph, x: Value) -> Result<Value, Error> {
        let turned = g.einsum("bphk,kj->bphj", x, self.quarter)?;
        let along = g.mul(x, self.cos)?;
        let across = g.mul(turned, self.sin)?;
        g.add(along, across)
    }
}
