//! One training loop for every kind of sparse dictionary.
//!
//! What all kinds share: activations divided by their root mean square deviation (the factor is
//! folded into the biases afterwards, so the learning rate means the same at every site and the
//! squared error is the fraction of variance unexplained); a decoder of random unit rows whose
//! transpose starts the encoder; b_dec at the mean; Adam without decay, whose learning rate falls
//! linearly to 0 over the last fifth; the batch of step t from block t of a stream. What they
//! differ in is [`Loop`]: how pre-activations become latents, what else is paid for, whether decoder
//! rows keep unit length, and what is done for latents that never fire:
//!
//! - *resampling* (Bricken et al. 2023, "neuron resampling"): a latent that did not fire since the
//!   last time starts anew on what the dictionary left of a sample, drawn with a probability
//!   proportional to its squared loss;
//! - an *auxiliary loss* (Gao et al. 2024, section 2.2): the largest dead latents are to reconstruct
//!   what is left, e = x - x^, taken as given: coefficient |e - z_dead W_dec|^2.

use crate::dense::Dense;
use crate::random::unit_directions;
use crate::sparse::Sparse;
use crate::{Data, Error};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Graph, Stream, Tensor, Value};
use std::cell::Cell;
use std::ops::Range;

/// A kind of dictionary, with its sizes.
pub(crate) struct Loop<'a> {
    /// For errors, and the first part of the names of its streams.
    pub method: &'static str,
    pub n_latents: usize,
    pub steps: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Decoder rows keep unit length: the part of the gradient along a row is removed before the
    /// step and the row is normalised after it.
    pub unit_rows: bool,
    /// Times that dead latents start anew, evenly over the first half of the training.
    pub resamples: usize,
    pub latents: Latents<'a>,
}

/// How pre-activations become latents.
pub(crate) enum Latents<'a> {
    /// The largest stay, the others and all that are not positive are 0.
    Largest(Keep, Option<Auxiliary>),
    /// The same, and so many latents of the front are to reconstruct as well, ascending.
    Nested(Keep, Vec<usize>),
    /// The positive ones stay, and something is paid for them.
    Paid(Penalty<'a>),
}

/// How many latents stay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// So many of each sample.
    OfSample(usize),
    /// So many of a batch.
    OfBatch(usize),
}

/// A loss for latents that did not fire lately.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Auxiliary {
    /// Dead latents that reconstruct a sample.
    pub k: usize,
    /// Weight of the loss.
    pub coefficient: f64,
    /// A latent is dead after so many steps in which it did not fire.
    pub dead_after: usize,
}

/// Records a scalar of latents and decoder rows.
type Paid<'a> =
    dyn Fn(&mut Graph, Value, Value) -> Result<Value, flyroom_tensor::Error> + Sync + 'a;

/// What is paid beside the squared error.
pub(crate) struct Penalty<'a> {
    /// A scalar of latents `[sample, latent]` and decoder rows `[latent, unit]`.
    pub record: &'a Paid<'a>,
    /// Its weight at step t, counted from 1.
    pub weight: &'a (dyn Fn(usize) -> f64 + Sync),
}

/// What training leaves, in the units of the data.
pub(crate) struct Trained {
    pub w_enc: Tensor,
    pub b_enc: Tensor,
    pub w_dec: Tensor,
    pub b_dec: Tensor,
    /// Latents of the data over those that training saw.
    pub scale: f64,
}

/// Lengths of the axes of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub batch: usize,
    /// Latents.
    pub n: usize,
    /// Units.
    pub d: usize,
}

/// The weights in training, or as much for each: encoder rows `[latent, unit]`, biases `[latent]`,
/// decoder rows `[latent, unit]`, biases `[unit]`. What belongs to a latent lies together.
pub(crate) type Weights = [Vec<f32>; 4];

pub(crate) const W_ENC: usize = 0;
pub(crate) const B_ENC: usize = 1;
pub(crate) const W_DEC: usize = 2;
pub(crate) const B_DEC: usize = 3;

/// Forward and backward through a dictionary: [`Sparse`] through active latents only, [`Dense`]
/// through all.
pub(crate) trait Pass: Sync {
    /// The loss of a batch `[sample, unit]` at step t, counted from 1.
    fn run(&mut self, cx: &Context, x: &[f32], w: &Weights, t: usize) -> Result<f32, Error>;

    /// Adds the auxiliary loss, if there is one, to the gradients of the last run.
    fn revive(&mut self, _cx: &Context, _w: &Weights, _last_fired: &[usize], _t: usize) {}

    /// All latents of the last run that are not 0, and perhaps some that are.
    fn latents(&self) -> &[f32];

    /// Calls `f` with every latent that fired, at least once.
    fn fired(&self, f: &mut dyn FnMut(usize));

    /// Writes what a level leaves of the batch, x - x^, `[sample, unit]`, and says which latents it
    /// has that no level before has; `None` beyond the last, which is the whole dictionary.
    fn left(&self, level: usize, out: &mut Vec<f32>) -> Option<Range<usize>>;

    /// Writes the gradients of what belongs to some latents: of encoder rows, encoder biases and
    /// decoder rows. `spare` has room for two rows.
    fn rows(&self, cx: &Context, latents: Range<usize>, out: [&mut [f32]; 3], spare: &mut [f32]);

    /// The gradient of the decoder's biases.
    fn b_dec(&self) -> &[f32];
}

impl Loop<'_> {
    fn check(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::parameters(self.method, why));
        if self.batch == 0 || self.n_latents == 0 {
            return bad(format!("batch = {}, n_latents = {}", self.batch, self.n_latents));
        }
        let all = self.batch.checked_mul(self.n_latents);
        if all.is_none_or(|all| u32::try_from(all).is_err()) {
            let why = format!("batch = {} times n_latents = {}", self.batch, self.n_latents);
            return bad(format!("{why} is more than 2^32; hint: lower batch"));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return bad(format!("lr = {} is not positive", self.lr));
        }
        if let Latents::Largest(_, Some(a)) = &self.latents
            && !(a.coefficient.is_finite() && a.k <= self.n_latents && a.dead_after > 0)
        {
            return bad(format!(
                "{} auxiliary latents of {}, coefficient {}, dead after {} steps",
                a.k, self.n_latents, a.coefficient, a.dead_after
            ));
        }
        Ok(())
    }

    /// Settings of the optimiser at step t, counted from 1.
    fn adam(&self, t: usize) -> AdamW {
        let left = (self.steps + 1 - t) as f64 / (0.2 * self.steps as f64);
        AdamW {
            lr: self.lr * left.min(1.0),
            beta1: self.beta1,
            weight_decay: 0.0,
            ..AdamW::default()
        }
    }

    /// Whether dead latents start anew after step t.
    fn resamples_after(&self, t: usize) -> bool {
        let every = (self.steps / (2 * self.resamples.max(1))).max(1);
        self.resamples > 0 && t.is_multiple_of(every) && t / every <= self.resamples
    }

    /// Trains on samples of `data`; `watch` sees the latents of each step that are not 0, and perhaps
    /// some that are.
    pub fn train(
        &self,
        data: &Data,
        seed: u64,
        cx: &Context,
        watch: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<Trained, Error> {
        let (rows, d) = data.checked()?;
        self.check()?;
        let mean = data.mean(rows, d);
        let scale = deviation(data, &mean);
        let x: Vec<f32> =
            data.activations.data().iter().map(|&x| (f64::from(x) / scale) as f32).collect();
        let mut state = State::new(self, d, seed, &mean, scale)?;
        let sizes = Sizes { batch: self.batch, n: self.n_latents, d };
        let mut pass: Box<dyn Pass + '_> = match &self.latents {
            Latents::Largest(keep, auxiliary) => {
                Box::new(Sparse::new(sizes, *keep, *auxiliary, &[]))
            }
            Latents::Nested(keep, prefixes) => Box::new(Sparse::new(sizes, *keep, None, prefixes)),
            Latents::Paid(penalty) => Box::new(Dense::new(sizes, penalty)?),
        };
        let draws = Stream::new(seed, &format!("{}/data", self.method));
        let resample = Stream::new(seed, &format!("{}/resample", self.method));
        let mut batch = Vec::with_capacity(self.batch * d);
        for t in 1..=self.steps {
            let mut draw = draws.block(t as u64);
            batch.clear();
            for _ in 0..self.batch {
                let i = draw.below(rows as u64) as usize;
                batch.extend_from_slice(&x[i * d..(i + 1) * d]);
            }
            let loss = pass.run(cx, &batch, &state.weights, t)?;
            if !loss.is_finite() {
                let why = format!("the loss is {loss} at step {t}; hint: lower lr");
                return Err(Error::parameters(self.method, why));
            }
            watch(t, pass.latents());
            pass.fired(&mut |j| state.last_fired[j] = t);
            pass.revive(cx, &state.weights, &state.last_fired, t);
            state.step(self, t, &*pass, cx);
            if self.resamples_after(t) {
                let mut draw = resample.block(t as u64);
                let mut level = 0;
                while let Some(latents) = pass.left(level, &mut batch) {
                    state.resample(latents, &batch, &mut draw);
                    level += 1;
                }
                state.resampled = t;
            }
        }
        let [w_enc, mut b_enc, w_dec, mut b_dec] = state.weights;
        for b in [&mut b_enc, &mut b_dec] {
            b.iter_mut().for_each(|b| *b = (f64::from(*b) * scale) as f32);
        }
        Ok(Trained {
            w_enc: Tensor::new(&[self.n_latents, d], w_enc)?.transposed()?,
            b_enc: Tensor::new(&[self.n_latents], b_enc)?,
            w_dec: Tensor::new(&[self.n_latents, d], w_dec)?,
            b_dec: Tensor::new(&[d], b_dec)?,
            scale,
        })
    }
}

/// Root mean square deviation of a unit from its mean; 1 where nothing varies.
fn deviation(data: &Data, mean: &[f64]) -> f64 {
    let x = data.activations.data();
    let mut sum = 0.0;
    for row in x.chunks_exact(mean.len()) {
        for (&x, m) in row.iter().zip(mean) {
            sum += (f64::from(x) - m) * (f64::from(x) - m);
        }
    }
    let deviation = (sum / x.len() as f64).sqrt();
    if deviation > 0.0 { deviation } else { 1.0 }
}

/// Rows that one thread updates together, while their gradients are at hand.
const ROWS: usize = 8;

thread_local! {
    /// Memory for gradients of [`ROWS`] latents.
    static GRADIENTS: Cell<Vec<f32>> = const { Cell::new(vec![]) };
}

struct State {
    d: usize,
    weights: Weights,
    first: Weights,
    second: Weights,
    /// The step at which each latent last fired; 0 if it never did.
    last_fired: Vec<usize>,
    /// The step after which dead latents last started anew.
    resampled: usize,
}

impl State {
    fn new(kind: &Loop, d: usize, seed: u64, mean: &[f64], scale: f64) -> Result<Self, Error> {
        let n = kind.n_latents;
        let mut draw = Stream::new(seed, &format!("{}/init", kind.method)).block(0);
        let w_dec = unit_directions(n, d, &mut draw);
        let b_dec = mean.iter().map(|m| (m / scale) as f32).collect();
        let weights = [w_dec.clone(), vec![0.0; n], w_dec, b_dec];
        let zeros = || std::array::from_fn(|i| vec![0.0; weights[i].len()]);
        let (first, second) = (zeros(), zeros());
        Ok(Self { d, weights, first, second, last_fired: vec![0; n], resampled: 0 })
    }

    /// One pass over all that belongs to each latent: its gradients, the step along them, the
    /// length of its decoder row.
    fn step(&mut self, kind: &Loop, t: usize, pass: &dyn Pass, cx: &Context) {
        let (adam, d, alone) = (kind.adam(t), self.d, cx.alone());
        let t = t as u64;
        let ([w0, w1, w2, w3], [m0, m1, m2, m3], [v0, v1, v2, v3]) =
            (each(&mut self.weights), each(&mut self.first), each(&mut self.second));
        let units = [d, 1, d, d, 1, d, d, 1, d];
        cx.split_all([w0, w1, w2, m0, m1, m2, v0, v1, v2], units, 32 * d, |start, mut parts| {
            let mut memory = GRADIENTS.take();
            memory.resize(ROWS * (2 * d + 1) + 2 * d, 0.0);
            let count = parts[B_ENC].len();
            for at in (0..count).step_by(ROWS) {
                let len = ROWS.min(count - at);
                let (enc, rest) = memory.split_at_mut(len * d);
                let (dec, rest) = rest.split_at_mut(len * d);
                let (bias, rest) = rest.split_at_mut(len);
                let latents = start + at..start + at + len;
                pass.rows(&alone, latents, [enc, bias, dec], &mut rest[..2 * d]);
                let [w0, w1, w2, m0, m1, m2, v0, v1, v2] = {
                    let mut i = 0;
                    parts.each_mut().map(|part| {
                        let unit = units[i];
                        i += 1;
                        &mut part[at * unit..(at + len) * unit]
                    })
                };
                if kind.unit_rows {
                    reject(dec, w2, d);
                }
                adam.step(&alone, t, w0, enc, m0, v0);
                adam.step(&alone, t, w1, bias, m1, v1);
                adam.step(&alone, t, w2, dec, m2, v2);
                if kind.unit_rows {
                    normalise_rows(w2, d);
                }
            }
            GRADIENTS.set(memory);
        });
        adam.step(cx, t, w3, pass.b_dec(), m3, v3);
    }

    /// Starts latents that did not fire anew on what is left of samples of the last batch.
    fn resample(&mut self, latents: Range<usize>, error: &[f32], draw: &mut Generator) {
        let d = self.d;
        let losses: Vec<f64> = error
            .chunks_exact(d)
            .map(|e| e.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>())
            .collect();
        let total: f64 = losses.iter().map(|l| l * l).sum();
        // Where nothing is left to explain, a dead latent may stay dead.
        if total <= 0.0 || !total.is_finite() {
            return;
        }
        let dead: Vec<usize> = latents.filter(|&j| self.last_fired[j] <= self.resampled).collect();
        for j in dead {
            let mut left = draw.uniform64() * total;
            let mut pick = losses.len() - 1;
            for (i, l) in losses.iter().enumerate() {
                left -= l * l;
                if left < 0.0 {
                    pick = i;
                    break;
                }
            }
            let row = j * d..(j + 1) * d;
            self.weights[W_DEC][row.clone()].copy_from_slice(&error[pick * d..(pick + 1) * d]);
            normalise(&mut self.weights[W_DEC][row.clone()]);
            let [w_enc, b_enc, w_dec, _] = &mut self.weights;
            w_enc[row.clone()].copy_from_slice(&w_dec[row.clone()]);
            b_enc[j] = 0.0;
            for moments in [&mut self.first, &mut self.second] {
                moments[W_DEC][row.clone()].fill(0.0);
                moments[W_ENC][row.clone()].fill(0.0);
                moments[B_ENC][j] = 0.0;
            }
        }
    }
}

fn each(weights: &mut Weights) -> [&mut [f32]; 4] {
    weights.each_mut().map(Vec::as_mut_slice)
}

/// Sums over i of `a[r, i]` `b[r, i]` in f64, ascending, for at most [`ROWS`] rows: all at once, because
/// each sum waits for its last term.
fn products(a: &[f32], b: &[f32], d: usize) -> [f64; ROWS] {
    let mut sums = [0.0; ROWS];
    if a.len() == ROWS * d {
        let a: [&[f32]; ROWS] = std::array::from_fn(|r| &a[r * d..(r + 1) * d]);
        let b: [&[f32]; ROWS] = std::array::from_fn(|r| &b[r * d..(r + 1) * d]);
        for i in 0..d {
            for r in 0..ROWS {
                sums[r] += f64::from(a[r][i]) * f64::from(b[r][i]);
            }
        }
    } else {
        for (sum, (a, b)) in sums.iter_mut().zip(a.chunks_exact(d).zip(b.chunks_exact(d))) {
            for (&a, &b) in a.iter().zip(b) {
                *sum += f64::from(a) * f64::from(b);
            }
        }
    }
    sums
}

/// Removes from each row of `g` the part along the unit row of `w`, for at most [`ROWS`] rows.
fn reject(g: &mut [f32], w: &[f32], d: usize) {
    let along = products(g, w, d);
    for ((g, w), along) in g.chunks_exact_mut(d).zip(w.chunks_exact(d)).zip(along) {
        for (g, &w) in g.iter_mut().zip(w) {
            *g = (f64::from(*g) - along * f64::from(w)) as f32;
        }
    }
}

/// Makes rows unit vectors and returns their lengths, for at most [`ROWS`] rows; rows of zeros stay.
fn normalise_rows(rows: &mut [f32], d: usize) -> [f64; ROWS] {
    let norms = products(rows, rows, d).map(f64::sqrt);
    for (row, norm) in rows.chunks_exact_mut(d).zip(norms) {
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
    norms
}

/// Makes a row a unit vector and returns its length; a row of zeros stays.
pub(crate) fn normalise(row: &mut [f32]) -> f64 {
    let d = row.len();
    normalise_rows(row, d)[0]
}

/// Sparse sums of known directions, for the tests of every kind.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Decompose;
    use flyroom_organism::Parameters;
    use flyroom_tensor::Kernels;

    /// Five features in a plane at 72 degrees, each uniform on \[0, 1\] and active with p = .05: what a
    /// 5-2 autoencoder that learned the pentagon (Elhage et al. 2022) has at its hidden layer.
    pub fn pentagon(samples: usize, seed: u64) -> Data {
        let mut draw = Stream::new(seed, "pentagon").block(0);
        let mut x = vec![0f32; samples * 2];
        for row in x.chunks_exact_mut(2) {
            for i in 0..5 {
                if draw.bernoulli(0.05) {
                    let (s, c) = flyroom_tensor::math::sin_cos_turns64(f64::from(i) / 5.0);
                    let u = draw.uniform64();
                    row[0] += (c * u) as f32;
                    row[1] += (s * u) as f32;
                }
            }
        }
        Data::new("hook_hidden", Tensor::new(&[samples, 2], x).unwrap())
    }

    /// The least over five features of the best cosine of any direction with it.
    pub fn worst_of_pentagon(directions: Vec<&[f32]>) -> f64 {
        (0..5)
            .map(|i| {
                let (s, c) = flyroom_tensor::math::sin_cos_turns64(f64::from(i) / 5.0);
                let cosine = |r: &&[f32]| {
                    let (x, y) = (f64::from(r[0]), f64::from(r[1]));
                    (x * c + y * s) / x.hypot(y)
                };
                directions.iter().map(cosine).fold(-1.0, f64::max)
            })
            .fold(1.0, f64::min)
    }

    /// Twenty random directions of ten units, `[20, 10]`, and samples of one at a time.
    pub fn twenty(samples: usize) -> (Data, Vec<f32>) {
        let truth = unit_directions(20, 10, &mut Stream::new(0, "twenty").block(0));
        let mut draw = Stream::new(0, "twenty").block(1);
        let mut x = vec![];
        for _ in 0..samples {
            let (i, size) = (draw.below(20) as usize, 0.5 + draw.uniform());
            x.extend(truth[10 * i..10 * (i + 1)].iter().map(|v| v * size));
        }
        (Data::new("s", Tensor::new(&[samples, 10], x).unwrap()), truth)
    }

    /// How many of the unit rows of `truth` have a unit direction with a cosine above .95.
    pub fn found(truth: &[f32], directions: Vec<&[f32]>) -> usize {
        let cosine = |f: &[f32], r: &[f32]| f.iter().zip(r).map(|(f, r)| f * r).sum::<f32>();
        let near = |f: &&[f32]| directions.iter().any(|r| cosine(f, r) > 0.95);
        truth.chunks_exact(10).filter(near).count()
    }

    pub fn set(json: serde_json::Value) -> Parameters {
        json.as_object().unwrap().clone()
    }

    /// A method trains to the same bits with all kernels and any number of threads, and another
    /// seed trains to others.
    pub fn holds_its_bits(method: &dyn Decompose, s: &Parameters) {
        let data = pentagon(300, 9);
        let first = method.decompose(&data, s, 1, &Context::new(Kernels::Portable, 1)).unwrap();
        for kernels in Kernels::all_available() {
            for threads in [1, 2, 3] {
                let cx = Context::new(kernels, threads);
                assert_eq!(method.decompose(&data, s, 1, &cx).unwrap(), first);
                let x = &data.activations;
                let z = first.encode(x, &cx).unwrap();
                assert_eq!(z, first.encode(x, &Context::new(Kernels::Portable, 1)).unwrap());
            }
        }
        assert_ne!(method.decompose(&data, s, 2, &Context::single()).unwrap(), first);
    }

    /// The first digits of the hash of a dictionary's weights.
    fn digest(method: &dyn Decompose, data: &Data, s: serde_json::Value, threads: usize) -> String {
        let cx = Context::new(Kernels::detect(), threads);
        let d = method.decompose(data, &set(s), 3, &cx).unwrap();
        let mut values = vec![];
        for t in [&d.w_enc, &d.b_enc, &d.w_dec, &d.b_dec] {
            values.extend_from_slice(t.data());
        }
        if let crate::Encode::JumpRelu { threshold } = &d.encode {
            values.push(threshold[0]);
        }
        flyroom_tensor::hash::floats(&values).to_string()[..16].into()
    }

    /// Recorded when every kind was trained by a dense graph, W_enc `[unit, latent]` and all.
    #[test]
    fn dictionaries_are_those_of_the_dense_graph() {
        use crate::{batch_topk::BATCH_TOPK, l1::L1, topk::TOPK};
        use serde_json::json;
        let (twenty, pentagon) = (twenty(700).0, pentagon(900, 4));
        let cases: [(&dyn Decompose, &Data, serde_json::Value, &str); 8] = [
            (
                &TOPK,
                &twenty,
                json!({"n_latents": 67, "k": 3, "steps": 120, "batch": 61}),
                "2f5cf1ec73220494",
            ),
            (
                &TOPK,
                &twenty,
                json!({"n_latents": 40, "k": 40, "steps": 50, "batch": 33, "resamples": 0}),
                "8ae25122b80f074f",
            ),
            (
                &TOPK,
                &twenty,
                json!({"n_latents": 131, "k": 5, "steps": 150, "batch": 37, "auxk": 16, "dead_after": 5}),
                "3165409aaeacb9d7",
            ),
            (
                &TOPK,
                &pentagon,
                json!({"n_latents": 1031, "k": 2, "steps": 60, "batch": 64, "auxk": 70, "dead_after": 3, "resamples": 3}),
                "6d9ba64b221e8fb2",
            ),
            (
                &BATCH_TOPK,
                &twenty,
                json!({"n_latents": 67, "k": 2.5, "steps": 120, "batch": 61}),
                "cc16672c24d83f61",
            ),
            (
                &BATCH_TOPK,
                &pentagon,
                json!({"n_latents": 131, "k": 1.3, "steps": 120, "batch": 257, "auxk": 9, "dead_after": 4}),
                "baf87eb05fdbbe70",
            ),
            (
                &L1,
                &twenty,
                json!({"n_latents": 67, "steps": 120, "batch": 61, "resamples": 2}),
                "605a3bd312a65068",
            ),
            (
                &L1,
                &pentagon,
                json!({"n_latents": 13, "steps": 200, "batch": 64, "beta1": 0.9}),
                "0e53665ccb87e77d",
            ),
        ];
        for (method, data, s, wanted) in cases {
            for threads in [1, 2, 7] {
                let got = digest(method, data, s.clone(), threads);
                assert_eq!(got, wanted, "{} {s}, {threads} threads", method.entry().name);
            }
        }
    }
}
