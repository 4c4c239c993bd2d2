//! Does it reconstruct: how much of the activations a dictionary keeps, and how much of the loss.
//!
//! **FVU** = sum |x - x^|^2 / sum |x - mean|^2. **Explained variance** = 1 - E|x - x^|^2 / (E|x|^2 -
//! |E x|^2), which is 1 - FVU. **L0**: latents that are not zero, per sample. **Dead**: share of
//! latents that are zero on the whole evaluation set. **Loss recovered** = (L_ablated - L_spliced) /
//! (L_ablated - L_model): the network runs with the reconstruction in the place of the activations.
//!
//! Reconstruction is not recovery: neurons reconstruct perfectly and so does any dictionary that is
//! dense enough. Never rank by it alone. Beside each number stand the identity (no loss), the zero
//! dictionary (x^ = 0), random dictionaries of the same size and sparsity, scaled as well as they
//! can be, and, for the loss, an error of equal length in a random direction; and the word *dense*
//! where more than [`DENSE`] of the latents are active.
//!
//! ```
//! use flyroom_decompose::{Dictionary, Encode};
//! use flyroom_tensor::{Context, Tensor};
//! use flyroom_validate::reconstruction::reconstruction;
//! // One direction of two: what lies along the other is lost.
//! let w = Tensor::new(&[1, 2], vec![1., 0.])?;
//! let (b_enc, b_dec) = (Tensor::zeros(&[1]), Tensor::zeros(&[2]));
//! let d = Dictionary::new("s", w.transposed()?, b_enc, w, b_dec, Encode::Relu)?;
//! let x = Tensor::new(&[4, 2], vec![2., 1., 2., -1., -2., 1., -2., -1.])?;
//! let score = reconstruction(&d, &x, 0, 20, &Context::single())?;
//! assert_eq!(score.fvu, Some((4. * 1. + 2. * 4.) / (4. * 1. + 4. * 4.)));
//! assert_eq!((score.l0, score.dead_share), (0.5, 0.0));
//! # Ok::<(), flyroom_decompose::Error>(())
//! ```

use flyroom_decompose::{Dictionary, Encode, Error, positions, unit_directions};
use flyroom_network::{Axis, Intervention, Operation, Row, Selector};
use flyroom_organism::{Answers, Distance, Subject, Task};
use flyroom_tensor::{Context, Stream, Tensor, math};
use serde::{Deserialize, Serialize};

/// A dictionary is dense where more than this share of its latents is active in the mean sample. The
/// field calls one latent dense from a tenth of the samples on (Sun et al. 2025, arXiv 2506.15679), in
/// dictionaries of thousands; with as few as five latents, as here, one that is active is a fifth.
pub const DENSE: f64 = 0.25;

/// How well activations are reconstructed, on the data at hand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reconstruction {
    /// Samples.
    pub samples: usize,
    /// Latents.
    pub latents: usize,
    /// Fraction of variance unexplained; `None` where nothing varies.
    pub fvu: Option<f64>,
    /// Share of variance explained, from moments.
    pub explained_variance: Option<f64>,
    /// Latents that are not zero, per sample.
    pub l0: f64,
    /// L0 is more than [`DENSE`] of the latents: reconstruction says nothing about parts.
    pub dense: bool,
    /// Share of latents that are zero on every sample.
    pub dead_share: f64,
    /// E|x^| / E|x|: below 1 where a dictionary shrinks; `None` where all samples are 0.
    pub shrinkage: Option<f64>,
    /// FVU of the identity: 0.
    pub identity_fvu: Option<f64>,
    /// FVU of the zero dictionary, x^ = 0: at least 1.
    pub zero_fvu: Option<f64>,
    /// Mean FVU of random dictionaries of the same size and encoder.
    pub null_fvu: Option<f64>,
    /// Standard error of that mean over the draws.
    pub null_standard_error: Option<f64>,
    /// Random dictionaries drawn.
    pub null_draws: usize,
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

fn square(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

fn square_distance(x: &[f32], y: &[f32]) -> f64 {
    x.iter()
        .zip(y)
        .map(|(&x, &y)| (f64::from(x) - f64::from(y)) * (f64::from(x) - f64::from(y)))
        .sum()
}

/// Mean of each unit and sum |x - mean|^2 of `[sample, unit]`.
fn moments(x: &Tensor) -> (Vec<f64>, f64) {
    let (n, d) = (x.shape()[0], x.shape()[1]);
    let mut mean = vec![0f64; d];
    for row in x.data().chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
    }
    mean.iter_mut().for_each(|m| *m /= n as f64);
    let mut variance = 0.0;
    for row in x.data().chunks_exact(d) {
        variance += row
            .iter()
            .zip(&mean)
            .map(|(&x, m)| (f64::from(x) - m) * (f64::from(x) - m))
            .sum::<f64>();
    }
    (mean, variance)
}

/// Scores the reconstruction of activations `[sample, unit]`, which should not be those that the
/// dictionary was made from. The null is `draws` random dictionaries from the evaluation stream of
/// `seed`: as many unit directions, read by their transpose with the same nonlinearity from the
/// centred activations, scaled by the constant that is best on these data.
pub fn reconstruction(
    dictionary: &Dictionary,
    x: &Tensor,
    seed: u64,
    draws: usize,
    cx: &Context,
) -> Result<Reconstruction, Error> {
    let &[samples, d] = x.shape() else {
        return Err(Error::Shapes(format!("wanted [sample, unit], got {:?}", x.shape())));
    };
    if samples == 0 || draws < 2 {
        return Err(Error::Shapes(format!("{samples} samples, {draws} random dictionaries")));
    }
    let n = dictionary.n_latents();
    let z = dictionary.encode(x, cx)?;
    let y = dictionary.decode_as(&z, x, cx)?;
    let (mean, variance) = moments(x);

    let mut alive = vec![false; n];
    let mut active = 0usize;
    for row in z.data().chunks_exact(n) {
        for (a, &z) in alive.iter_mut().zip(row) {
            *a |= z != 0.0;
            active += usize::from(z != 0.0);
        }
    }
    let error = square_distance(x.data(), y.data());
    // The definition by moments, in the order of its formula.
    let per = samples as f64;
    let second = square(x.data()) / per;
    let first: f64 = mean.iter().map(|m| m * m).sum();
    let norms = |t: &Tensor| t.data().chunks_exact(d).map(|r| square(r).sqrt()).sum::<f64>();

    let nulls: Option<Vec<f64>> = (0..draws)
        .map(|i| random_fvu(dictionary, x, &mean, variance, seed, i, cx))
        .collect::<Result<_, _>>()?;
    let null_fvu = nulls.as_ref().map(|v| v.iter().sum::<f64>() / v.len() as f64);
    let null_standard_error = nulls.as_ref().zip(null_fvu).map(|(v, m)| {
        let n = v.len() as f64;
        (v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / (n - 1.0) / n).sqrt()
    });
    Ok(Reconstruction {
        samples,
        latents: n,
        fvu: ratio(error, variance),
        explained_variance: ratio(error / per, second - first).map(|r| 1.0 - r),
        l0: active as f64 / per,
        dense: active as f64 / per > DENSE * n as f64,
        dead_share: alive.iter().filter(|a| !**a).count() as f64 / n as f64,
        shrinkage: ratio(norms(&y), norms(x)),
        identity_fvu: ratio(0.0, variance),
        zero_fvu: ratio(square(x.data()), variance),
        null_fvu,
        null_standard_error,
        null_draws: draws,
    })
}

/// A random dictionary of the size and encoder of another: unit directions from one block of a stream,
/// read by their transpose from what differs from the mean.
pub(crate) fn random_like(
    like: &Dictionary,
    mean: &[f64],
    seed: u64,
    stream: &str,
    draw: usize,
) -> Result<Dictionary, Error> {
    let (n, d) = (like.n_latents(), like.d_in());
    let mut generator = Stream::new(seed, stream).block(draw as u64);
    let w_dec = Tensor::new(&[n, d], unit_directions(n, d, &mut generator))?;
    let b_dec = mean.iter().map(|&m| m as f32).collect();
    Dictionary::new(
        &like.site,
        w_dec.transposed()?,
        Tensor::zeros(&[n]),
        w_dec,
        Tensor::new(&[d], b_dec)?,
        like.encode.clone(),
    )
}

/// Mean of each unit of `[sample, unit]`.
pub(crate) fn mean_of(x: &Tensor) -> Vec<f64> {
    moments(x).0
}

/// FVU of one random dictionary with the best constant; `None` where nothing varies.
fn random_fvu(
    like: &Dictionary,
    x: &Tensor,
    mean: &[f64],
    variance: f64,
    seed: u64,
    draw: usize,
    cx: &Context,
) -> Result<Option<f64>, Error> {
    let random = random_like(like, mean, seed, "evaluation/reconstruction/null", draw)?;
    let d = like.d_in();
    let y = random.reconstruct(x, cx)?;
    let (mut xy, mut yy) = (0.0, 0.0);
    for (x, y) in x.data().chunks_exact(d).zip(y.data().chunks_exact(d)) {
        for ((&x, &y), &m) in x.iter().zip(y).zip(random.b_dec.data()) {
            let (x, y) = (f64::from(x) - f64::from(m), f64::from(y) - f64::from(m));
            xy += x * y;
            yy += y * y;
        }
    }
    // |x - c y|^2 is least at c = xy / yy.
    let gain = if yy > 0.0 { xy * xy / yy } else { 0.0 };
    Ok(ratio(variance - gain, variance))
}

/// The loss of a network with a dictionary's reconstruction in the place of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spliced {
    /// What the losses are: `cross-entropy` in nats or `squared error`, mean over outputs that
    /// count.
    pub loss: &'static str,
    /// Of the network as it is; also with the activations replaced by themselves.
    pub model: f64,
    /// With the reconstruction.
    pub spliced: f64,
    /// With zeros.
    pub zero: f64,
    /// With the mean of each position over the set.
    pub mean: f64,
    /// With errors of the same lengths in random directions, mean over [`RANDOM_ERRORS`] draws.
    pub random_error: f64,
    /// (zero - spliced) / (zero - model); `None` where zeros do no harm.
    pub recovered_from_zero: Option<f64>,
    /// (mean - spliced) / (mean - model); `None` where the mean does no harm.
    pub recovered_from_mean: Option<f64>,
    /// The same of the random error, from zero.
    pub random_recovered_from_zero: Option<f64>,
    /// 1 - KL(model | spliced) / KL(model | zero); `None` for vectors.
    pub kl_recovered_from_zero: Option<f64>,
    /// 1 - KL(model | spliced) / KL(model | mean); `None` for vectors.
    pub kl_recovered_from_mean: Option<f64>,
}

/// Draws of the random error.
pub const RANDOM_ERRORS: u64 = 5;

/// Inputs that are run together.
const CHUNK: usize = 256;

/// Runs the clean inputs with the reconstruction spliced in at the positions that
/// [`positions`] names; elsewhere the activations stay. Random errors come from the evaluation stream
/// of `seed`.
pub fn spliced_loss(
    subject: &Subject,
    dictionary: &Dictionary,
    seed: u64,
) -> Result<Spliced, Error> {
    let splice = Splice::new(subject, dictionary)?;
    let cx = &subject.context;
    let mean = subject.runner.mean(&dictionary.site)?;
    let model = splice.run(|_, x| Ok(x.to_vec()))?;
    let spliced = splice.run(|_, x| splice.reconstruct(x, cx))?;
    let zero = splice.run(|_, x| Ok(vec![0.0; x.len()]))?;
    let means: Vec<f32> = splice
        .positions
        .iter()
        .flat_map(|p| mean[p * splice.width..][..splice.width].to_vec())
        .collect();
    let mean = splice.run(|_, x| Ok(means.repeat(x.len() / means.len())))?;
    let mut random_error = 0.0;
    for draw in 0..RANDOM_ERRORS {
        let stream = Stream::new(seed, &format!("evaluation/random error/{draw}"));
        let outputs = splice.run(|first, x| {
            let mut y = splice.reconstruct(x, cx)?;
            let mut generator = stream.block(first as u64);
            for (x, y) in x.chunks_exact(splice.width).zip(y.chunks_exact_mut(splice.width)) {
                let length = square_distance(x, y).sqrt();
                let direction = unit_directions(1, splice.width, &mut generator);
                for ((y, &x), &u) in y.iter_mut().zip(x).zip(&direction) {
                    *y = (f64::from(x) + length * f64::from(u)) as f32;
                }
            }
            Ok(y)
        })?;
        random_error += loss(subject.task, &outputs);
    }
    random_error /= RANDOM_ERRORS as f64;
    let task = subject.task;
    let of = |outputs: &[Vec<f32>]| loss(task, outputs);
    let (l_model, l_spliced, l_zero, l_mean) = (of(&model), of(&spliced), of(&zero), of(&mean));
    // An ablation whose harm is rounding error recovers nothing.
    let recovered = |ablated: f64, got: f64| {
        let harm = ablated - l_model;
        (harm.abs() > 1e-9 * l_model.abs().max(1e-9)).then(|| (ablated - got) / harm)
    };
    let kl = |ablated: &[Vec<f32>]| {
        let (a, b) = (divergence(task, &model, ablated)?, divergence(task, &model, &spliced)?);
        (a > 1e-12).then(|| 1.0 - b / a)
    };
    Ok(Spliced {
        loss: match task.answers {
            Answers::Classes(_) => "cross-entropy",
            Answers::Values(_) => "squared error",
        },
        model: l_model,
        spliced: l_spliced,
        zero: l_zero,
        mean: l_mean,
        random_error,
        recovered_from_zero: recovered(l_zero, l_spliced),
        recovered_from_mean: recovered(l_mean, l_spliced),
        random_recovered_from_zero: recovered(l_zero, random_error),
        kl_recovered_from_zero: kl(&zero),
        kl_recovered_from_mean: kl(&mean),
    })
}

struct Splice<'a> {
    subject: &'a Subject<'a>,
    dictionary: &'a Dictionary,
    positions: Vec<usize>,
    pos: usize,
    width: usize,
}

impl<'a> Splice<'a> {
    fn new(subject: &'a Subject<'a>, dictionary: &'a Dictionary) -> Result<Self, Error> {
        let site = subject.runner.site(&dictionary.site)?;
        let pos = site.axis_len(Axis::Pos).unwrap_or(1);
        let width = site.size() / pos.max(1);
        let positions = positions(subject, &dictionary.site)?;
        if width != dictionary.d_in() {
            return Err(Error::Shapes(format!(
                "a dictionary of {} units at {}, where {width} lie",
                dictionary.d_in(),
                dictionary.site
            )));
        }
        Ok(Self { subject, dictionary, positions, pos, width })
    }

    fn reconstruct(&self, x: &[f32], cx: &Context) -> Result<Vec<f32>, Error> {
        let x = Tensor::new(&[x.len() / self.width, self.width], x.to_vec())?;
        Ok(self.dictionary.reconstruct(&x, cx)?.into_data())
    }

    /// Outputs of every clean input when the activations `[input, position, unit]` of the inputs
    /// from the first one on are replaced by what `f` makes of them.
    fn run(
        &self,
        f: impl Fn(usize, &[f32]) -> Result<Vec<f32>, Error>,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let runner = &self.subject.runner;
        let site = &self.dictionary.site;
        let clean = runner.clean(site)?;
        let count = self.subject.task.clean;
        let mut outputs = Vec::with_capacity(count);
        for first in (0..count).step_by(CHUNK) {
            let inputs = first..count.min(first + CHUNK);
            let mut x = vec![];
            for i in inputs.clone() {
                for p in &self.positions {
                    x.extend_from_slice(&clean.row(i)[p * self.width..][..self.width]);
                }
            }
            let y = f(first, &x)?;
            let per_input = self.positions.len() * self.width;
            let rows: Vec<Row> = inputs
                .clone()
                .zip(y.chunks_exact(per_input))
                .map(|(i, y)| {
                    let mut values = clean.row(i).to_vec();
                    for (p, y) in self.positions.iter().zip(y.chunks_exact(self.width)) {
                        values[p * self.width..][..self.width].copy_from_slice(y);
                    }
                    debug_assert_eq!(values.len(), self.pos * self.width);
                    let set = Operation::Set { values };
                    Row {
                        input: i,
                        interventions: vec![Intervention::site(Selector::site(site), set)],
                    }
                })
                .collect();
            outputs.extend(runner.run(&rows)?);
        }
        Ok(outputs)
    }
}

/// Mean loss over the outputs that count of the clean inputs: cross-entropy over the columns that
/// count, or squared error with the distance's weights, summed over columns.
fn loss(task: &Task, outputs: &[Vec<f32>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    each_output(task, outputs, |at, row| {
        count += 1;
        sum += match &task.answers {
            Answers::Classes(classes) => {
                let chosen = log_softmax(row).get(classes[at] as usize).copied();
                -chosen.unwrap_or(f64::NEG_INFINITY)
            }
            Answers::Values(values) => {
                let wanted = &values[at * task.d_out..][..task.columns];
                let weight = |c: usize| match &task.distance {
                    Distance::Squared { weights } => f64::from(weights[c]),
                    Distance::CentredLogits => 1.0,
                };
                let error = |c: usize| f64::from(row[c]) - f64::from(wanted[c]);
                (0..row.len()).map(|c| weight(c) * error(c) * error(c)).sum()
            }
        };
    });
    sum / count.max(1) as f64
}

/// Mean KL divergence in nats of the outputs that count; `None` for vectors.
fn divergence(task: &Task, model: &[Vec<f32>], other: &[Vec<f32>]) -> Option<f64> {
    if matches!(task.answers, Answers::Values(_)) {
        return None;
    }
    let mut expected = vec![];
    each_output(task, model, |_, row| expected.push(log_softmax(row)));
    let (mut sum, mut i) = (0.0, 0);
    each_output(task, other, |_, row| {
        let q = log_softmax(row);
        sum += expected[i].iter().zip(&q).map(|(p, q)| math::exp64(*p) * (p - q)).sum::<f64>();
        i += 1;
    });
    Some(sum / expected.len().max(1) as f64)
}

/// Calls `f` with (index of the answer, the columns that count) for every output that counts.
fn each_output(task: &Task, outputs: &[Vec<f32>], mut f: impl FnMut(usize, &[f32])) {
    for (i, output) in outputs.iter().enumerate() {
        for p in task.read_positions(i) {
            f(i * task.pos() + p, &output[p * task.d_out..][..task.columns]);
        }
    }
}

pub(crate) fn log_softmax(row: &[f32]) -> Vec<f64> {
    let greatest = row.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
    let sum: f64 = row.iter().map(|&x| math::exp64(f64::from(x) - greatest)).sum();
    let log = greatest + math::ln64(sum);
    row.iter().map(|&x| f64::from(x) - log).collect()
}

/// A dictionary whose reconstruction is the activation itself: the other end of every scale.
pub fn identity(site: &str, d: usize) -> Result<Dictionary, Error> {
    let one = Tensor::from_fn(&[d, d], |i| if i / d == i % d { 1.0 } else { 0.0 });
    let zero = Tensor::zeros(&[d]);
    Dictionary::new(site, one.clone(), zero.clone(), one, zero, Encode::Linear)
}

/// The page is a test: every example in it is compiled and run.
#[cfg(doctest)]
mod page {
    #[doc = include_str!("../../../docs/metrics/variance-explained.md")]
    struct Fvu;
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_decompose::{Data, Decompose, collect, find};
    use flyroom_network::{
        Activation, Architecture, AutoencoderConfig, Inputs, Network, Runner, TransformerConfig,
    };
    use serde_json::json;

    /// ((37 i^2 + 11 i) mod 101) / 101, as in benchmarks/oracles/parts.py.
    fn formula(rows: usize, cols: usize) -> Data {
        let x = Tensor::from_fn(&[rows, cols], |i| ((37 * i * i + 11 * i) % 101) as f32 / 101.0);
        Data::new("s", x)
    }

    fn made(name: &str, data: &Data, set: serde_json::Value) -> Dictionary {
        let method: &dyn Decompose = find(name).unwrap();
        method.decompose(data, set.as_object().unwrap(), 0, &Context::single()).unwrap()
    }

    #[test]
    fn numbers_of_two_components_are_those_of_scikit_learn() {
        let data = formula(40, 5);
        let d = made("pca", &data, json!({"n": 2}));
        let s = reconstruction(&d, &data.activations, 0, 50, &Context::single()).unwrap();
        // scikit-learn 1.9.1: 1 - explained_variance_score, benchmarks/oracles/parts.py.
        assert!((s.fvu.unwrap() - 0.46623811703654106).abs() < 1e-6, "{s:?}");
        assert!((s.explained_variance.unwrap() - 0.5337618829634588).abs() < 1e-6);
        assert_eq!((s.l0, s.dead_share, s.identity_fvu), (2.0, 0.0, Some(0.0)));
        assert!(s.zero_fvu.unwrap() > 1.0);
        // Two random directions with the best constant for the data: at most what the constant
        // that is best on average leaves, (d - 1) / (d + n - 1) = 4/6; PCA leaves less.
        assert!(s.null_fvu.unwrap() < 0.7 && s.null_fvu.unwrap() > s.fvu.unwrap(), "{s:?}");
    }

    #[test]
    fn the_ends_of_the_scale_are_where_they_belong() {
        let data = formula(30, 4);
        let cx = Context::single();
        let x = &data.activations;
        let s = reconstruction(&identity("s", 4).unwrap(), x, 0, 5, &cx).unwrap();
        assert_eq!((s.fvu, s.shrinkage), (Some(0.0), Some(1.0)));
        let zero = Dictionary::new(
            "s",
            Tensor::zeros(&[4, 3]),
            Tensor::zeros(&[3]),
            Tensor::zeros(&[3, 4]),
            Tensor::zeros(&[4]),
            Encode::Relu,
        )
        .unwrap();
        let s = reconstruction(&zero, x, 0, 5, &cx).unwrap();
        assert_eq!((s.fvu, s.dead_share, s.l0), (s.zero_fvu, 1.0, 0.0));
        let constant = Tensor::from_fn(&[6, 4], |_| 1.0);
        let s = reconstruction(&zero, &constant, 0, 5, &cx).unwrap();
        assert_eq!((s.fvu, s.null_fvu), (None, None));
    }

    fn random_network(a: Architecture) -> Network {
        let mut draw = Stream::new(1, "reconstruction").block(0);
        let weights = Network::parameters(&a)
            .unwrap()
            .into_iter()
            .map(|(n, s)| (n, Tensor::from_fn(&s, |_| draw.normal())))
            .collect();
        Network::new(a, weights).unwrap()
    }

    fn subject<'a>(network: &'a Network, task: &'a Task) -> Subject<'a> {
        let cx = Context::single();
        let runner = Runner::new(network, &task.inputs, &cx).unwrap();
        let name = || "t".to_string();
        Subject { label: name(), id: name(), organism: name(), runner, task, context: cx }
    }

    fn autoencoder_task() -> Task {
        let mut draw = Stream::new(2, "inputs").block(0);
        let values: Vec<f32> = (0..300 * 5).map(|_| draw.uniform()).collect();
        Task {
            domain: "uniform".into(),
            exhaustive: false,
            inputs: Inputs::vectors(5, values.clone()).unwrap(),
            clean: 300,
            partner: (0..300).rev().collect(),
            reads: vec![true; 300],
            answers: Answers::Values(values),
            d_out: 5,
            columns: 5,
            distance: Distance::Squared { weights: vec![1.0; 5] },
            vocabulary: vec![],
            modulus: None,
        }
    }

    #[test]
    fn splicing_the_identity_changes_nothing_and_zeros_lose_everything() {
        let c = AutoencoderConfig {
            n_features: 5,
            d_hidden: 3,
            act_fn: Activation::Relu,
            hidden_maps: 0,
        };
        let (network, task) = (random_network(Architecture::Autoencoder(c)), autoencoder_task());
        let subject = subject(&network, &task);
        let s = spliced_loss(&subject, &identity("hook_hidden", 3).unwrap(), 0).unwrap();
        assert_eq!((s.spliced, s.recovered_from_zero), (s.model, Some(1.0)));
        // Errors of length 0; only the mean over draws rounds.
        assert!((s.random_error - s.model).abs() < 1e-12 * s.model);
        assert_eq!((s.loss, s.kl_recovered_from_zero), ("squared error", None));
        // The loss is that of the network's own outputs.
        let logits = subject.runner.logits().unwrap();
        let Answers::Values(values) = &task.answers else { unreachable!() };
        let own = square_distance(logits.data(), values) / 300.0;
        assert!((own - s.model).abs() < 1e-9 * own, "{own} {s:?}");

        // No decoder: the reconstruction is b_dec = 0, and nothing is recovered.
        let mut nothing = identity("hook_hidden", 3).unwrap();
        nothing.w_dec = Tensor::zeros(&[3, 3]);
        let s = spliced_loss(&subject, &nothing, 0).unwrap();
        assert_eq!((s.spliced, s.recovered_from_zero), (s.zero, Some(0.0)));
    }

    #[test]
    fn cross_entropy_and_divergence_of_a_transformer_are_recovered_by_all_components() {
        let a = Architecture::Transformer(TransformerConfig::plain(1, 8, 2, 6, 3));
        let network = random_network(a);
        let inputs: Vec<Vec<u32>> = (0..125).map(|i| vec![i / 25, i / 5 % 5, i % 5]).collect();
        let mut task = Task {
            domain: "all of 5^3".into(),
            exhaustive: true,
            inputs: Inputs::tokens(&inputs).unwrap(),
            clean: 125,
            partner: (0..125).collect(),
            reads: (0..375).map(|i| i % 3 == 2).collect(),
            answers: Answers::Classes(vec![0; 375]),
            d_out: 6,
            columns: 5,
            distance: Distance::CentredLogits,
            vocabulary: vec![],
            modulus: None,
        };
        // The answers are what the network says, so that ablation does harm.
        let said: Vec<u32> = {
            let s = subject(&network, &task);
            let logits = s.runner.logits().unwrap();
            let best = |r: &[f32]| (0..5).fold(0, |b, c| if r[c] > r[b] { c } else { b }) as u32;
            logits.data().chunks_exact(6).map(best).collect()
        };
        task.answers = Answers::Classes(said);
        let s = subject(&network, &task);
        let site = "blocks.0.hook_resid_post";
        let data = collect(&s, site).unwrap();
        let all = spliced_loss(&s, &made("pca", &data, json!({})), 0).unwrap();
        assert!((all.recovered_from_zero.unwrap() - 1.0).abs() < 1e-4, "{all:?}");
        assert!((all.kl_recovered_from_mean.unwrap() - 1.0).abs() < 1e-4, "{all:?}");
        let one = spliced_loss(&s, &made("pca", &data, json!({"n": 1})), 0).unwrap();
        let four = spliced_loss(&s, &made("pca", &data, json!({"n": 4})), 0).unwrap();
        assert!(one.kl_recovered_from_mean < four.kl_recovered_from_mean, "{one:?} {four:?}");
        assert!(four.kl_recovered_from_mean < all.kl_recovered_from_mean);
        let wrong = identity(site, 3).unwrap();
        assert!(spliced_loss(&s, &wrong, 0).unwrap_err().to_string().contains("where 8 lie"));
    }
}
