//! Forward and backward through active latents only: what TopK, BatchTopK and Matryoshka train by.
//!
//! Of a batch, few latents are not 0. Only the product that finds them is dense; everything after it takes the
//! terms of active latents alone, in the order of the dense products, so that every result has
//! the bits of the graph x^ = z W_dec + b_dec and its gradient (docs/bits.md; the test holds it
//! against that graph). With e = x - x^ and a loss c |e|^2:
//!
//! - dx^ = -2 c e, and dz = dx^ W_dec^T where z is active;
//! - row j of dW_dec is the sum of z dx^ over samples in which j is active, row j of dW_enc that of
//!   dz (x - b_dec): both are made when the latent is updated, and are never stored for all latents;
//! - b_dec gets the sum of dx^, and that of -dz W_enc^T from the encoder's side.
//!
//! Where several *levels* are to reconstruct, prefixes of the latents of which the last is all of them,
//! the loss is the sum over levels: x^ of a level is that of the one before and what its own latents
//! add, and dx^ of a latent is the sum over the levels that have it, the largest first.

use crate::Error;
use crate::train::{Auxiliary, B_DEC, B_ENC, Keep, Pass, Sizes, W_DEC, W_ENC, Weights};
use flyroom_tensor::Context;
use flyroom_tensor::kernels::product::Product;
use flyroom_tensor::kernels::sparse::{Active, combine, inner};
use flyroom_tensor::kernels::{elementwise, reduce};
use std::ops::Range;

/// The memory of a step; none is allocated once the first is done.
pub(crate) struct Sparse {
    sizes: Sizes,
    keep: Keep,
    auxiliary: Option<Auxiliary>,
    /// Where each level ends, ascending; the last is all latents.
    levels: Vec<usize>,
    /// `[sample, unit]` times `[latent, unit]`.
    encode: Product,
    /// x - b_dec, `[sample, unit]`.
    centred: Vec<f32>,
    /// `[sample, latent]`
    pre: Vec<f32>,
    main: Reconstruction,
    revived: Reconstruction,
    /// Whether the last run had dead latents to revive.
    reviving: bool,
    /// What is added to pre-activations so that no living latent is among the largest.
    offset: Vec<f32>,
    b_dec: Vec<f32>,
    /// One term of that, `[level, unit]`, and the sum of squares of each sample.
    term: Vec<f32>,
    losses: Vec<f32>,
}

/// What some latents reconstruct, and the derivatives of its loss.
#[derive(Default)]
struct Reconstruction {
    active: Active,
    /// dz of each active latent.
    slopes: Vec<f32>,
    /// z and dz in order of the latents, and the row of `back` that each active latent reads.
    z: Vec<f32>,
    dz: Vec<f32>,
    rows: Vec<u32>,
    /// What each level leaves of the target, `[sample, level, unit]`.
    error: Vec<f32>,
    squares: Vec<f32>,
    /// Cotangents of what a level's own latents add, `[sample, level, unit]`, and of b_dec as the
    /// encoder has it, in the first level of as much room.
    back: Vec<f32>,
    input: Vec<f32>,
}

impl Sparse {
    /// `prefixes` are the latents of each level before the last, ascending.
    pub fn new(sizes: Sizes, keep: Keep, auxiliary: Option<Auxiliary>, prefixes: &[usize]) -> Self {
        let Sizes { batch, n, d } = sizes;
        let levels: Vec<usize> = prefixes.iter().copied().chain([n]).collect();
        let rows = |count: usize, width: usize| (0..count).map(|i| [i * d, i * width]).collect();
        Self {
            sizes,
            keep,
            auxiliary,
            term: vec![0.0; levels.len() * d],
            levels,
            encode: Product::new(
                vec![[0, 0, 0]],
                rows(batch, n),
                rows(n, 1),
                (0..d).map(|i| [i, i]).collect(),
            ),
            centred: vec![0.0; batch * d],
            pre: vec![0.0; batch * n],
            main: Reconstruction::default(),
            revived: Reconstruction::default(),
            reviving: false,
            offset: vec![],
            b_dec: vec![0.0; d],
            losses: vec![0.0; batch],
        }
    }
}

impl Reconstruction {
    /// From its active latents; the loss is `scale` times the square of what each level leaves.
    fn run(
        &mut self,
        cx: &Context,
        target: &[f32],
        b_dec: Option<&[f32]>,
        w: &Weights,
        (d, scale): (usize, f32),
        levels: &[usize],
    ) {
        let Self { active, slopes, z, dz, rows, error, squares, back, input } = self;
        slopes.resize(active.values().len(), 0.0);
        for buffer in [&mut *error, squares, back, input] {
            buffer.resize(target.len() * levels.len(), 0.0);
        }
        let alone = cx.alone();
        let mean = active.values().len() / (target.len() / d).max(1) + 1;
        let (width, cost) = (levels.len() * d, 8 * (mean + levels.len() - 1) * d);
        let out: [&mut [f32]; 4] = [error, squares, back, input];
        active.each_row(cx, slopes, out, width, cost, |r, slopes, out| {
            let [error, squares, back, input] = out;
            let (latents, z) = active.row(r);
            let mut from = 0;
            for (l, &end) in levels.iter().enumerate() {
                let to = from + latents[from..].partition_point(|&j| (j as usize) < end);
                let (before, own) = error.split_at_mut(l * d);
                let own = &mut own[..d];
                combine(&alone, (&latents[from..to], &z[from..to]), &w[W_DEC], own);
                match (before.rchunks_exact(d).next(), b_dec) {
                    (Some(before), _) => elementwise::add_assign(&alone, own, before),
                    (None, Some(b)) => elementwise::add_assign(&alone, own, b),
                    (None, None) => {}
                }
                from = to;
            }
            let target = &target[r * d..(r + 1) * d];
            for (i, &x) in target.iter().cycle().take(width).enumerate() {
                let e = x - error[i];
                error[i] = e;
                squares[i] = e * e;
                back[i] = -(e * scale + e * scale);
            }
            for l in (1..levels.len()).rev() {
                let (smaller, larger) = back.split_at_mut(l * d);
                elementwise::add_assign(&alone, &mut smaller[(l - 1) * d..], &larger[..d]);
            }
            let mut from = 0;
            for (back, &end) in back.chunks_exact(d).zip(levels) {
                let to = from + latents[from..].partition_point(|&j| (j as usize) < end);
                inner(&alone, back, &w[W_DEC], &latents[from..to], &mut slopes[from..to]);
                from = to;
            }
            combine(&alone, (latents, slopes), &w[W_ENC], &mut input[..d]);
            input[..d].iter_mut().for_each(|x| *x = -*x);
        });
        active.by_column(active.values(), z);
        active.by_column(slopes, dz);
        rows.clear();
        let mut from = 0;
        for (l, &end) in levels.iter().enumerate() {
            for j in from..end {
                let at = |&r: &u32| r * levels.len() as u32 + l as u32;
                rows.extend(active.column(j).0.iter().map(at));
            }
            from = end;
        }
    }

    /// Gradients of latent j: of its encoder row, its bias, its decoder row.
    fn row(
        &self,
        cx: &Context,
        j: usize,
        centred: &[f32],
        w_enc: &mut [f32],
        w_dec: &mut [f32],
    ) -> f32 {
        let (samples, places) = self.active.column(j);
        let (z, dz) = (&self.z[places.clone()], &self.dz[places.clone()]);
        combine(cx, (samples, dz), centred, w_enc);
        combine(cx, (&self.rows[places], z), &self.back, w_dec);
        dz.iter().fold(0.0, |sum, dz| sum + dz)
    }
}

impl Pass for Sparse {
    fn run(&mut self, cx: &Context, x: &[f32], w: &Weights, _t: usize) -> Result<f32, Error> {
        let Sizes { batch, d, .. } = self.sizes;
        let alone = cx.alone();
        cx.split(&mut self.centred, d, d, |first, centred| {
            for (centred, x) in centred.chunks_exact_mut(d).zip(x[first * d..].chunks_exact(d)) {
                elementwise::sub(&alone, x, &w[B_DEC], centred);
            }
        });
        self.encode.run(cx, &self.centred, &w[W_ENC], &mut self.pre);
        let active = &mut self.main.active;
        match self.keep {
            Keep::OfSample(k) => active.take_largest_of_rows(cx, &mut self.pre, &w[B_ENC], k),
            Keep::OfBatch(k) => active.take_largest(cx, &mut self.pre, &w[B_ENC], k),
        }
        let scale = 1.0 / x.len() as f32;
        self.main.run(cx, x, Some(&w[B_DEC]), w, (d, scale), &self.levels);
        self.reviving = false;
        // The first level's latents are in all of them, and so is b_dec.
        let width = self.levels.len() * d;
        reduce::sum_rows(cx, &self.main.back, batch, width, &mut self.term);
        self.b_dec.copy_from_slice(&self.term[..d]);
        reduce::sum_rows(cx, &self.main.input, batch, width, &mut self.term);
        elementwise::add_assign(cx, &mut self.b_dec, &self.term[..d]);
        reduce::sum_last(cx, &self.main.squares, batch, width, &mut self.losses);
        Ok(self.losses.iter().fold(0.0, |sum, x| sum + x) * scale)
    }

    fn revive(&mut self, cx: &Context, w: &Weights, last_fired: &[usize], t: usize) {
        let (Some(a), Sizes { batch, d, .. }) = (self.auxiliary, self.sizes) else { return };
        let alive = |&last: &usize| last + a.dead_after > t;
        self.offset.clear();
        self.offset.extend(last_fired.iter().map(|l| if alive(l) { -1e30 } else { 0.0 }));
        self.reviving = self.offset.contains(&0.0);
        if !self.reviving {
            return;
        }
        let scale = a.coefficient as f32 * (1.0 / self.main.error.len() as f32);
        self.revived.active.take_largest_of_rows(cx, &mut self.pre, &self.offset, a.k);
        self.revived.run(cx, &self.main.error, None, w, (d, scale), &[self.sizes.n]);
        reduce::sum_rows(cx, &self.revived.input, batch, d, &mut self.term);
        elementwise::add_assign(cx, &mut self.b_dec, &self.term);
    }

    fn latents(&self) -> &[f32] {
        self.main.active.values()
    }

    fn fired(&self, f: &mut dyn FnMut(usize)) {
        self.main.active.columns().iter().for_each(|&j| f(j as usize));
    }

    fn left(&self, level: usize, out: &mut Vec<f32>) -> Option<Range<usize>> {
        let (d, levels) = (self.sizes.d, self.levels.len());
        let end = *self.levels.get(level)?;
        out.clear();
        self.main.error.chunks_exact(d).skip(level).step_by(levels).for_each(|e| out.extend(e));
        Some(if level == 0 { 0 } else { self.levels[level - 1] }..end)
    }

    fn rows(
        &self,
        cx: &Context,
        latents: Range<usize>,
        [w_enc, b_enc, w_dec]: [&mut [f32]; 3],
        spare: &mut [f32],
    ) {
        let d = self.sizes.d;
        let rows = w_enc.chunks_exact_mut(d).zip(b_enc).zip(w_dec.chunks_exact_mut(d));
        for (j, ((w_enc, b_enc), w_dec)) in latents.zip(rows) {
            *b_enc = self.main.row(cx, j, &self.centred, w_enc, w_dec);
            if self.reviving {
                let (encoder, decoder) = spare.split_at_mut(d);
                *b_enc += self.revived.row(cx, j, &self.centred, encoder, decoder);
                elementwise::add_assign(cx, w_enc, encoder);
                elementwise::add_assign(cx, w_dec, decoder);
            }
        }
    }

    fn b_dec(&self) -> &[f32] {
        &self.b_dec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::{Bindings, Graph, Kernels, Program, Stream};

    /// Loss, error and the four gradients, W_enc as `[latent, unit]`, all in one row.
    fn dense(sizes: Sizes, keep: Keep, x: &[f32], w: &Weights) -> Vec<f32> {
        let Sizes { batch, n, d } = sizes;
        let mut g = Graph::new();
        let x_leaf = g.input("x", &[batch, d]);
        let leaves =
            [g.input("0", &[n, d]), g.input("1", &[n]), g.input("2", &[n, d]), g.input("3", &[d])];
        let centred = g.sub(x_leaf, leaves[B_DEC]).unwrap();
        let pre = g.einsum("bd,nd->bn", centred, leaves[W_ENC]).unwrap();
        let pre = g.add(pre, leaves[B_ENC]).unwrap();
        let z = match keep {
            Keep::OfSample(k) => g.top_k(pre, k).and_then(|z| g.relu(z)).unwrap(),
            Keep::OfBatch(k) => {
                let positive = g.relu(pre).unwrap();
                let flat = g.reshape(positive, &[1, batch * n]).unwrap();
                let largest = g.top_k(flat, k).unwrap();
                g.reshape(largest, &[batch, n]).unwrap()
            }
        };
        let y = g.einsum("bn,nd->bd", z, leaves[W_DEC]).unwrap();
        let y = g.add(y, leaves[B_DEC]).unwrap();
        let error = g.sub(x_leaf, y).unwrap();
        let square = g.mul(error, error).unwrap();
        let loss = g.mean(square).unwrap();
        let mut outputs = vec![loss, error];
        outputs.extend(g.gradient(loss, &leaves).unwrap());
        let mut program = Program::compile(&g, &outputs).unwrap();
        let mut bindings = Bindings::new().with("x", x);
        for (name, w) in ["0", "1", "2", "3"].iter().zip(w) {
            bindings.bind(name, w);
        }
        program.run(&Context::new(Kernels::Portable, 1), &bindings).unwrap();
        (0..outputs.len()).flat_map(|i| program.output(i).to_vec()).collect()
    }

    /// The same of a pass that may have run on other data before.
    fn sparse(pass: &mut Sparse, cx: &Context, x: &[f32], w: &Weights) -> Vec<f32> {
        let Sizes { n, d, .. } = pass.sizes;
        let mut out = vec![pass.run(cx, x, w, 1).unwrap()];
        out.extend_from_slice(&pass.main.error);
        let (mut enc, mut bias, mut dec) = (vec![0.0; n * d], vec![0.0; n], vec![0.0; n * d]);
        pass.rows(cx, 0..n, [&mut enc, &mut bias, &mut dec], &mut vec![0.0; 2 * d]);
        [enc, bias, dec, pass.b_dec().to_vec()].iter().for_each(|x| out.extend_from_slice(x));
        out
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        // The sign of a zero is the one thing that docs/bits.md leaves to terms that are left out.
        x.iter().map(|x| if *x == 0.0 { 0 } else { x.to_bits() }).collect()
    }

    #[test]
    fn every_gradient_has_the_bits_of_the_dense_graph() {
        let mut draw = Stream::new(0, "sparse").block(0);
        for (batch, n, d, k) in [
            (1, 1, 1, 1),
            (1, 2, 1, 2),
            (2, 17, 3, 5),
            (7, 131, 13, 1),
            (13, 67, 17, 67),
            (31, 257, 37, 0),
            (61, 521, 131, 33),
            (5, 2053, 277, 19),
        ] {
            // Any data; ties and rows of equal values; nearly nothing positive.
            for kind in 0..3 {
                let mut new = |len: usize, size: f32| {
                    let mut x = vec![0.0; len];
                    draw.fill_normal(&mut x, size);
                    if kind == 1 {
                        x.iter_mut().for_each(|x| *x = x.round());
                    }
                    x
                };
                let mut w = [new(n * d, 1.0), new(n, 1.0), new(n * d, 1.0), new(d, 1.0)];
                let mut x = new(batch * d, 1.5);
                match kind {
                    1 => x[..d].copy_from_slice(&w[B_DEC]),
                    2 => w[B_ENC].fill(-3.0 * (d as f32).sqrt()),
                    _ => {}
                }
                let sizes = Sizes { batch, n, d };
                for keep in [Keep::OfSample(k), Keep::OfBatch(k * batch)] {
                    let wanted = bits(&dense(sizes, keep, &x, &w));
                    for kernels in Kernels::all_available() {
                        for threads in [1, 2, 3, 7] {
                            let cx = Context::new(kernels, threads);
                            let mut pass = Sparse::new(sizes, keep, None, &[]);
                            let first = sparse(&mut pass, &cx, &x, &w);
                            let why = format!("{sizes:?} {keep:?} {kind} {cx:?}");
                            assert_eq!(bits(&first), wanted, "{why}");
                            // Nothing is left of a run in the next.
                            sparse(&mut pass, &cx, &vec![0.5; batch * d], &w);
                            assert_eq!(first, sparse(&mut pass, &cx, &x, &w), "{why}");
                        }
                    }
                }
            }
        }
    }

    /// The loss of levels in f64, of the latents that a run kept and that stay as they are.
    fn loss_of_levels(pass: &Sparse, x: &[f32], w: &[Vec<f64>; 4]) -> f64 {
        let Sizes { d, .. } = pass.sizes;
        let mut sum = 0.0;
        for (r, x) in x.chunks_exact(d).enumerate() {
            for &end in &pass.levels {
                let mut y = w[B_DEC].clone();
                for &j in pass.main.active.row(r).0.iter().filter(|&&j| (j as usize) < end) {
                    let row = |w: &[f64], i: usize| w[j as usize * d + i];
                    let pre: f64 = (0..d)
                        .map(|i| (f64::from(x[i]) - w[B_DEC][i]) * row(&w[W_ENC], i))
                        .sum::<f64>()
                        + w[B_ENC][j as usize];
                    (0..d).for_each(|i| y[i] += pre * row(&w[W_DEC], i));
                }
                sum += y.iter().zip(x).map(|(y, x)| (f64::from(*x) - y).powi(2)).sum::<f64>();
            }
        }
        sum / x.len() as f64
    }

    #[test]
    fn gradients_of_levels_are_the_differences_of_their_loss_and_have_the_same_bits_everywhere() {
        let mut draw = Stream::new(0, "levels").block(0);
        for (batch, n, d, k, prefixes) in [
            (1, 2, 1, 2, vec![1]),
            (9, 12, 5, 27, vec![2, 5]),
            (7, 33, 13, 40, vec![1, 4, 16]),
            (5, 20, 4, 0, vec![3]),
        ] {
            let mut new = |len: usize| {
                let mut x = vec![0.0; len];
                draw.fill_normal(&mut x, 1.0);
                x
            };
            let w = [new(n * d), new(n), new(n * d), new(d)];
            let x = new(batch * d);
            let sizes = Sizes { batch, n, d };
            let mut pass = Sparse::new(sizes, Keep::OfBatch(k), None, &prefixes);
            let got = sparse(&mut pass, &Context::new(Kernels::Portable, 1), &x, &w);
            for kernels in Kernels::all_available() {
                for threads in [1, 2, 3, 7] {
                    let mut other = Sparse::new(sizes, Keep::OfBatch(k), None, &prefixes);
                    let again = sparse(&mut other, &Context::new(kernels, threads), &x, &w);
                    assert_eq!(bits(&again), bits(&got), "{kernels:?} {threads}");
                }
            }
            let wide = w.each_ref().map(|w| w.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            let loss = loss_of_levels(&pass, &x, &wide);
            assert!((f64::from(got[0]) - loss).abs() < 1e-4 * (1.0 + loss), "{} {loss}", got[0]);
            let mut at = 1 + pass.main.error.len();
            for part in 0..4 {
                for i in 0..w[part].len() {
                    let moved = |by: f64| {
                        let mut wide = wide.clone();
                        wide[part][i] += by;
                        loss_of_levels(&pass, &x, &wide)
                    };
                    let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let error = (f64::from(got[at]) - wanted).abs();
                    assert!(
                        error < 1e-3 * (1.0 + wanted.abs()),
                        "{part} {i}: {wanted} {}",
                        got[at]
                    );
                    at += 1;
                }
            }
        }
    }

    #[test]
    fn what_a_level_leaves_is_the_error_of_its_prefix() {
        // Two latents along two axes; the first level has the first alone.
        let w = [vec![1., 0., 0., 1.], vec![0.; 2], vec![1., 0., 0., 1.], vec![0.; 2]];
        let sizes = Sizes { batch: 1, n: 2, d: 2 };
        let mut pass = Sparse::new(sizes, Keep::OfBatch(2), None, &[1]);
        let loss = pass.run(&Context::single(), &[3.0, 4.0], &w, 1).unwrap();
        let mut left = vec![];
        assert_eq!(pass.left(0, &mut left), Some(0..1));
        assert_eq!(left, [0.0, 4.0]);
        assert_eq!(pass.left(1, &mut left), Some(1..2));
        assert_eq!(left, [0.0, 0.0]);
        assert_eq!(pass.left(2, &mut left), None);
        assert_eq!(loss, 8.0); // 4^2 over two units, and 0
    }
}
