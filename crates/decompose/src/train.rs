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

use crate::dictionary::{Leaves, record_decode, record_pre};
use crate::random::unit_directions;
use crate::{Data, Error};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Bindings, Context, Graph, Program, Stream, Tensor, Value};

type Recorded = Result<Value, flyroom_tensor::Error>;

/// How pre-activations `[sample, latent]` become latents.
pub(crate) type Latents<'a> = dyn Fn(&mut Graph, Value) -> Recorded + 'a;

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
    pub auxiliary: Option<Auxiliary>,
    /// From pre-activations `[sample, latent]` to latents.
    pub latents: &'a Latents<'a>,
    pub penalty: Option<Penalty<'a>>,
}

/// A loss for latents that did not fire lately.
pub(crate) struct Auxiliary {
    /// Dead latents that reconstruct a sample.
    pub k: usize,
    /// Weight of the loss.
    pub coefficient: f64,
    /// A latent is dead after so many steps in which it did not fire.
    pub dead_after: usize,
}

/// What is paid beside the squared error.
pub(crate) struct Penalty<'a> {
    /// A scalar of latents `[sample, latent]` and decoder rows.
    pub record: &'a dyn Fn(&mut Graph, Value, &Leaves) -> Recorded,
    /// Its weight at step t, counted from 1.
    pub weight: &'a dyn Fn(usize) -> f64,
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

const W_ENC: usize = 0;
const B_ENC: usize = 1;
const W_DEC: usize = 2;
const NAMES: [&str; 4] = ["W_enc", "b_enc", "W_dec", "b_dec"];

// Outputs of the program, behind the four gradients.
const LOSS: usize = 4;
const LATENTS: usize = 5;
const ERROR: usize = 6;

impl Loop<'_> {
    fn check(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::parameters(self.method, why));
        if self.batch == 0 || self.n_latents == 0 {
            return bad(format!("batch = {}, n_latents = {}", self.batch, self.n_latents));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return bad(format!("lr = {} is not positive", self.lr));
        }
        if let Some(a) = &self.auxiliary
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

    /// Trains on samples of `data`; `watch` sees the latents of each step, `[sample, latent]`.
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
        let mut program = self.program(d)?;
        let mut revival = self.auxiliary.as_ref().map(|a| self.revival(a, d)).transpose()?;
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
            let weight = [self.penalty.as_ref().map_or(0.0, |p| (p.weight)(t) as f32)];
            program.run(cx, &state.bindings().with("x", &batch).with("penalty", &weight))?;
            let loss = program.output(LOSS)[0];
            if !loss.is_finite() {
                let why = format!("the loss is {loss} at step {t}; hint: lower lr");
                return Err(Error::parameters(self.method, why));
            }
            let z = program.output(LATENTS);
            watch(t, z);
            for z in z.chunks_exact(self.n_latents) {
                let fired = state.last_fired.iter_mut().zip(z).filter(|(_, z)| **z > 0.0);
                fired.for_each(|(last, _)| *last = t);
            }
            let mut gradients: [Vec<f32>; 4] = std::array::from_fn(|i| program.output(i).to_vec());
            if let (Some(a), Some(revival)) = (&self.auxiliary, &mut revival) {
                let alive = |&last: &usize| last + a.dead_after > t;
                // An offset under which no dead latent lies.
                let offset: Vec<f32> =
                    state.last_fired.iter().map(|l| if alive(l) { -1e30 } else { 0.0 }).collect();
                if offset.contains(&0.0) {
                    let left = program.output(ERROR);
                    let bindings = state.bindings().with("x", &batch);
                    revival.run(cx, &bindings.with("left", left).with("offset", &offset))?;
                    for (i, g) in gradients.iter_mut().enumerate() {
                        g.iter_mut().zip(revival.output(i)).for_each(|(g, x)| *g += x);
                    }
                }
            }
            state.step(self, &self.adam(t), t as u64, gradients, cx);
            if self.resamples_after(t) {
                state.resample(program.output(ERROR), &mut resample.block(t as u64));
                state.resampled = t;
            }
        }
        let [w_enc, mut b_enc, w_dec, mut b_dec] = state.weights;
        for b in [&mut b_enc, &mut b_dec] {
            b.data_mut().iter_mut().for_each(|b| *b = (f64::from(*b) * scale) as f32);
        }
        Ok(Trained { w_enc, b_enc, w_dec, b_dec, scale })
    }

    /// Outputs: four gradients, loss, latents, error of each element.
    fn program(&self, d: usize) -> Result<Program, Error> {
        let mut g = Graph::new();
        let x = g.input("x", &[self.batch, d]);
        let leaves = Leaves::record(&mut g, d, self.n_latents);
        let pre = record_pre(&mut g, x, &leaves, true)?;
        let z = (self.latents)(&mut g, pre)?;
        let y = record_decode(&mut g, z, &leaves)?;
        let error = g.sub(x, y)?; // [sample, unit]
        let square = g.mul(error, error)?;
        let mut loss = g.mean(square)?;
        if let Some(p) = &self.penalty {
            let paid = (p.record)(&mut g, z, &leaves)?;
            let weight = g.input("penalty", &[]);
            let paid = g.mul(paid, weight)?;
            loss = g.add(loss, paid)?;
        }
        let mut outputs = g.gradient(loss, &leaves.all())?;
        outputs.extend([loss, z, error]);
        Ok(Program::compile(&g, &outputs)?)
    }

    /// The gradients of the auxiliary loss.
    fn revival(&self, a: &Auxiliary, d: usize) -> Result<Program, Error> {
        let mut g = Graph::new();
        let x = g.input("x", &[self.batch, d]);
        let left = g.input("left", &[self.batch, d]);
        let offset = g.input("offset", &[self.n_latents]);
        let leaves = Leaves::record(&mut g, d, self.n_latents);
        let pre = record_pre(&mut g, x, &leaves, true)?;
        let dead = g.add(pre, offset)?;
        let dead = g.top_k(dead, a.k)?;
        let z = g.relu(dead)?;
        let y = g.einsum("bn,nd->bd", z, leaves.w_dec)?;
        let error = g.sub(left, y)?;
        let square = g.mul(error, error)?;
        let loss = g.mean(square)?;
        let loss = g.scale(loss, a.coefficient as f32)?;
        let gradients = g.gradient(loss, &leaves.all())?;
        Ok(Program::compile(&g, &gradients)?)
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

struct State {
    d: usize,
    n: usize,
    /// In order of [`NAMES`].
    weights: [Tensor; 4],
    first: [Vec<f32>; 4],
    second: [Vec<f32>; 4],
    /// The step at which each latent last fired; 0 if it never did.
    last_fired: Vec<usize>,
    /// The step after which dead latents last started anew.
    resampled: usize,
}

impl State {
    fn new(kind: &Loop, d: usize, seed: u64, mean: &[f64], scale: f64) -> Result<Self, Error> {
        let n = kind.n_latents;
        let mut draw = Stream::new(seed, &format!("{}/init", kind.method)).block(0);
        let w_dec = Tensor::new(&[n, d], unit_directions(n, d, &mut draw))?;
        let b_dec = mean.iter().map(|m| (m / scale) as f32).collect();
        let weights = [w_dec.transposed()?, Tensor::zeros(&[n]), w_dec, Tensor::new(&[d], b_dec)?];
        let zeros = || std::array::from_fn(|i| vec![0.0; weights[i].data().len()]);
        let (first, second) = (zeros(), zeros());
        Ok(Self { d, n, weights, first, second, last_fired: vec![0; n], resampled: 0 })
    }

    fn bindings(&self) -> Bindings<'_> {
        let mut bindings = Bindings::new();
        for (name, w) in NAMES.iter().zip(&self.weights) {
            bindings.bind(name, w.data());
        }
        bindings
    }

    fn step(
        &mut self,
        kind: &Loop,
        adam: &AdamW,
        t: u64,
        mut gradients: [Vec<f32>; 4],
        cx: &Context,
    ) {
        if kind.unit_rows {
            let rows = self.weights[W_DEC].data().chunks_exact(self.d);
            gradients[W_DEC].chunks_exact_mut(self.d).zip(rows).for_each(|(g, w)| reject(g, w));
        }
        for (i, gradient) in gradients.iter().enumerate() {
            let (m, v) = (&mut self.first[i], &mut self.second[i]);
            adam.step(cx, t, self.weights[i].data_mut(), gradient, m, v);
        }
        if kind.unit_rows {
            self.weights[W_DEC].data_mut().chunks_exact_mut(self.d).for_each(|row| {
                normalise(row);
            });
        }
    }

    /// Starts latents that did not fire anew on what is left of samples of the last batch.
    fn resample(&mut self, error: &[f32], draw: &mut Generator) {
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
        let dead: Vec<usize> =
            (0..self.n).filter(|&j| self.last_fired[j] <= self.resampled).collect();
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
            let mut row = error[pick * d..(pick + 1) * d].to_vec();
            normalise(&mut row);
            self.weights[W_DEC].data_mut()[j * d..(j + 1) * d].copy_from_slice(&row);
            for (i, &x) in row.iter().enumerate() {
                self.weights[W_ENC].data_mut()[i * self.n + j] = x;
            }
            self.weights[B_ENC].data_mut()[j] = 0.0;
            for moments in [&mut self.first, &mut self.second] {
                moments[W_DEC][j * d..(j + 1) * d].fill(0.0);
                moments[W_ENC].iter_mut().skip(j).step_by(self.n).for_each(|x| *x = 0.0);
                moments[B_ENC][j] = 0.0;
            }
        }
    }
}

/// Removes the part of `g` along the unit vector `w`.
fn reject(g: &mut [f32], w: &[f32]) {
    let along: f64 = g.iter().zip(w).map(|(&g, &w)| f64::from(g) * f64::from(w)).sum();
    for (g, &w) in g.iter_mut().zip(w) {
        *g = (f64::from(*g) - along * f64::from(w)) as f32;
    }
}

/// Makes a row a unit vector and returns its length; a row of zeros stays.
pub(crate) fn normalise(row: &mut [f32]) -> f64 {
    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    }
    norm
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
}
