//! Forward and backward through all latents: a graph and its gradient.

use crate::Error;
use crate::train::{Pass, Penalty, Sizes, Weights};
use flyroom_tensor::{Bindings, Context, Graph, Program};
use std::ops::Range;

// Outputs of the program: the gradients in the order of the weights, then these.
const LOSS: usize = 4;
const LATENTS: usize = 5;
const ERROR: usize = 6;

/// z = ReLU((x - b_dec) W_enc + b_enc), x^ = z W_dec + b_dec; the mean square of x - x^ and what is paid
/// for z.
pub(crate) struct Dense<'a> {
    program: Program,
    sizes: Sizes,
    penalty: &'a Penalty<'a>,
}

/// Names of the leaves, in the order of the weights.
const NAMES: [&str; 4] = ["W_enc", "b_enc", "W_dec", "b_dec"];

impl<'a> Dense<'a> {
    pub fn new(sizes: Sizes, penalty: &'a Penalty<'a>) -> Result<Self, Error> {
        let Sizes { batch, n, d } = sizes;
        let mut g = Graph::new();
        let x = g.input("x", &[batch, d]);
        let shapes: [&[usize]; 4] = [&[n, d], &[n], &[n, d], &[d]];
        let weights: [_; 4] = std::array::from_fn(|i| g.parameter(NAMES[i], shapes[i]));
        let [w_enc, b_enc, w_dec, b_dec] = weights;
        let centred = g.sub(x, b_dec)?;
        let pre = g.einsum("bd,nd->bn", centred, w_enc)?;
        let pre = g.add(pre, b_enc)?;
        let z = g.relu(pre)?;
        let y = g.einsum("bn,nd->bd", z, w_dec)?;
        let y = g.add(y, b_dec)?;
        let error = g.sub(x, y)?; // [sample, unit]
        let square = g.mul(error, error)?;
        let loss = g.mean(square)?;
        let paid = (penalty.record)(&mut g, z, w_dec)?;
        let weight = g.input("penalty", &[]);
        let paid = g.mul(paid, weight)?;
        let loss = g.add(loss, paid)?;
        let mut outputs = g.gradient(loss, &weights)?;
        outputs.extend([loss, z, error]);
        Ok(Self { program: Program::compile(&g, &outputs)?, sizes, penalty })
    }
}

impl Pass for Dense<'_> {
    fn run(&mut self, cx: &Context, x: &[f32], w: &Weights, t: usize) -> Result<f32, Error> {
        let weight = [(self.penalty.weight)(t) as f32];
        let mut bindings = Bindings::new().with("x", x).with("penalty", &weight);
        for (name, w) in NAMES.iter().zip(w) {
            bindings.bind(name, w);
        }
        self.program.run(cx, &bindings)?;
        Ok(self.program.output(LOSS)[0])
    }

    fn latents(&self) -> &[f32] {
        self.program.output(LATENTS)
    }

    fn fired(&self, f: &mut dyn FnMut(usize)) {
        for z in self.latents().chunks_exact(self.sizes.n) {
            z.iter().enumerate().filter(|(_, z)| **z > 0.0).for_each(|(j, _)| f(j));
        }
    }

    fn left(&self, level: usize, out: &mut Vec<f32>) -> Option<Range<usize>> {
        out.clear();
        out.extend_from_slice(self.program.output(ERROR));
        (level == 0).then_some(0..self.sizes.n)
    }

    fn rows(&self, _cx: &Context, latents: Range<usize>, out: [&mut [f32]; 3], _: &mut [f32]) {
        for (i, (out, unit)) in out.into_iter().zip([self.sizes.d, 1, self.sizes.d]).enumerate() {
            let from = &self.program.output(i)[latents.start * unit..latents.end * unit];
            out.copy_from_slice(from);
        }
    }

    fn b_dec(&self) -> &[f32] {
        self.program.output(3)
    }
}
