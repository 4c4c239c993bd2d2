//! Does a network hold the beliefs that it needs? (`belief`)
//!
//! *Measures*, on a network that was trained to predict a hidden Markov process: how well a linear
//! read-out of its residual stream gives the exact Bayes belief behind every history, and whether exchanging
//! what the read-out reads, and nothing else, between two histories moves the prediction as Bayes says.
//! *Intuition*: beliefs are nearly linear in the last few tokens, and in any random function of them, so
//! that a good fit alone says little; the score is the margin over both (Shai et al. 2024, arXiv
//! 2405.15943).
//!
//! With b the beliefs, x activations, and W, c fitted by least squares to other histories,
//! MSE = mean over histories, positions and states of (x W + c - b)^2, and
//!
//! ```text
//! score = log10(MSE of one-hot history / MSE of all layers joined)
//! ```
//!
//! *Nulls*: regression on the history itself (which token stood how many places back, and how many there
//! are), and the same network before its first step with the same layers joined. Beliefs that changed places
//! among histories are no null: every network passes that, an untrained one too.
//!
//! *Interchange*: x = b A + c + rest, fitted by least squares, says along which plane, the span of the rows of A,
//! activations move with the beliefs. At the last position of a site the part of x in that plane is
//! replaced by that of another history, whose belief is b'. With p' = P(next | b'), q the prediction before and q'
//! behind it, `moved` = 1 - sum KL(p' || q') / sum KL(p' || q). *Null*: random subspaces of the same
//! dimension. *Oracle*: the whole site. The columns of W span another plane, `by_weights`: regression weighs directions by
//! how little else varies along them, so that W points where little is read (Haufe et al. 2014, "On
//! the interpretation of weight vectors of linear models").

use crate::Error;
use flyroom_decompose::Dictionary;
use flyroom_network::{Inputs, Intervention, Network, Operation, Row, Runner, Selector};
use flyroom_organism::train::Nursery;
use flyroom_organism::{Process, Specimen, divergence, find};
use flyroom_tensor::{Context, Stream, Tensor, linalg, math};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Histories to which read-outs are fitted.
const FITTED: usize = 1024;

/// Histories on which they are judged, and between which is exchanged.
const TESTED: usize = 256;

/// Latents of a dictionary that a read-out takes, at most.
const LATENTS: usize = 1024;

/// Random subspaces behind the null of an interchange.
const DRAWS: u64 = 2;

/// Ridge penalty, relative to the mean square of a coordinate: layers that are joined hold some things twice.
const RIDGE: f64 = 1e-6;

/// Length, as share of its own, below which what is left of a row counts as rounding error.
const DEPENDENT: f64 = 1e-6;

/// How well the layers of one network give the beliefs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Mean squared error of each site behind a layer, in order.
    pub sites: Vec<(String, f64)>,
    /// Of the last of them.
    pub last: f64,
    /// Of all of them joined.
    pub joined: f64,
    /// log10(last / joined): what the last layer lacks.
    pub gap: f64,
}

/// What exchanging what is read does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchanged {
    /// Where.
    pub site: String,
    /// Dimensions of the plane.
    pub dims: usize,
    /// Share of the way from the old prediction to the one that Bayes asks for.
    pub moved: f64,
    /// The same along the columns of W.
    pub by_weights: f64,
    /// The same of random subspaces of the same dimension.
    pub random: f64,
    /// The same of the whole site.
    pub whole: f64,
}

/// Whether a network holds the beliefs of its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeliefScore {
    /// Variance of the beliefs, in the mean over states.
    pub variance: f64,
    /// Mean squared error of a read-out of the one-hot history.
    pub history: f64,
    /// The specimen.
    pub trained: Held,
    /// The same network before its first step.
    pub untrained: Held,
    /// log10(history / trained.joined).
    pub score: f64,
    /// log10(untrained.joined / trained.joined).
    pub over_untrained: f64,
    /// Interchange, site by site.
    pub exchanged: Vec<Exchanged>,
    /// Runs with interventions.
    pub runs: usize,
}

/// Scores a specimen that was trained to predict `process`.
pub fn beliefs(specimen: &Specimen, process: &Process, cx: &Context) -> Result<BeliefScore, Error> {
    let Some(config) = specimen.network.architecture().transformer() else {
        return Err(Error::Trial("only a transformer reads histories".into()));
    };
    let (pos, layers) = (config.n_ctx, config.n_layers);
    let sites: Vec<String> = (0..layers).map(|i| format!("blocks.{i}.hook_resid_post")).collect();
    let ground = Ground::new(process, pos)?;
    let history = ground.regression(&ground.history())?.error;
    let (trained, read_outs) = ground.held(&specimen.network, &sites, cx)?;
    let (untrained, _) = ground.held(&untrained(specimen, cx)?, &sites, cx)?;
    Ok(BeliefScore {
        variance: ground.variance(),
        history,
        score: log10(history / trained.joined),
        over_untrained: log10(untrained.joined / trained.joined),
        exchanged: ground.exchanged(&specimen.network, &sites, &read_outs, cx)?,
        runs: sites.len() * TESTED * (3 + DRAWS as usize),
        trained,
        untrained,
    })
}

/// How well the latents of a dictionary give the beliefs, in decades below the error of the history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatentBeliefs {
    /// The latents.
    pub score: f64,
    /// The untrained network's activations at the site.
    pub null: f64,
    /// The activations themselves.
    pub oracle: f64,
}

/// Scores a dictionary of a specimen that was trained to predict `process`; the error says why it cannot be
/// asked.
pub fn latents(
    specimen: &Specimen,
    process: &Process,
    dictionary: &Dictionary,
    cx: &Context,
) -> Result<Result<LatentBeliefs, &'static str>, Error> {
    let Some(config) = specimen.network.architecture().transformer() else {
        return Ok(Err("only a transformer reads histories"));
    };
    let (d, latents) = (dictionary.d_in(), dictionary.n_latents());
    if latents > LATENTS {
        return Ok(Err("it has more than 1,024 latents"));
    }
    if !process.factors().is_empty() {
        return crate::factors::latents(specimen, process, dictionary, config.n_ctx, cx);
    }
    let ground = Ground::new(process, config.n_ctx)?;
    let site = &dictionary.site;
    let runner = Runner::new(&specimen.network, &ground.inputs, cx)?;
    let x = runner.clean(site)?;
    if x.shape() != [ground.inputs.len(), ground.pos, d] {
        return Ok(Err("its latents are not those of one vector at each position"));
    }
    let flat = Tensor::new(&[ground.inputs.len() * ground.pos, d], x.data().to_vec())?;
    let z = samples(&dictionary.encode(&flat, cx)?);
    let before = untrained(specimen, cx)?;
    let before = samples(Runner::new(&before, &ground.inputs, cx)?.clean(site)?.as_ref());
    let history = ground.regression(&ground.history())?.error;
    let score = |x: &Samples| Ok::<_, Error>(log10(history / ground.regression(x)?.error));
    let (score, null, oracle) = (score(&z)?, score(&before)?, score(&samples(&x))?);
    Ok(Ok(LatentBeliefs { score, null, oracle }))
}

/// Activations `[.., width]`.
pub(crate) fn samples(x: &Tensor) -> Samples {
    let width = x.shape().last().copied().unwrap_or(1);
    Samples { width, values: x.data().iter().map(|&v| f64::from(v)).collect() }
}

pub(crate) fn log10(x: f64) -> f64 {
    math::ln64(x) / math::ln64(10.0)
}

/// The specimen before its first step.
pub(crate) fn untrained(specimen: &Specimen, cx: &Context) -> Result<Network, Error> {
    let organism = find(&specimen.spec.organism)?;
    let mut parameters = specimen.spec.parameters.clone();
    parameters.insert("steps".into(), json!(0));
    Ok(organism.breed(&parameters, specimen.spec.seed, cx, &Nursery::none())?.network)
}

/// Numbers of every history and position, `[sample, width]`.
pub(crate) struct Samples {
    pub width: usize,
    pub values: Vec<f64>,
}

/// Which of `tokens` stood how many places back, and the position.
pub(crate) fn one_hot(inputs: &Inputs, tokens: usize) -> Samples {
    let n = inputs.pos();
    let width = n * tokens + n;
    let mut values = vec![0.0; inputs.len() * n * width];
    let mut rows = values.chunks_exact_mut(width);
    for i in 0..inputs.len() {
        let history = inputs.token_row(i);
        for (p, row) in (0..n).zip(&mut rows) {
            row[n * tokens + p] = 1.0;
            for back in 0..=p {
                row[back * tokens + history[p - back] as usize] = 1.0;
            }
        }
    }
    Samples { width, values }
}

/// A linear map with its error on the tested histories.
struct ReadOut {
    /// `[width, state]`
    weights: Vec<f64>,
    /// Orthonormal rows that span the directions along which x moves with the beliefs, `[dims, width]`.
    plane: Vec<f64>,
    error: f64,
}

/// Histories, fitted ones first, and their beliefs.
struct Ground<'a> {
    process: &'a Process,
    pos: usize,
    inputs: Inputs,
    beliefs: Samples,
}

impl<'a> Ground<'a> {
    fn new(process: &'a Process, pos: usize) -> Result<Self, Error> {
        let mut random = Stream::new(0, "beliefs").block(0);
        let rows: Vec<Vec<u32>> =
            (0..FITTED + TESTED).map(|_| process.draw(pos, &mut random)).collect();
        let mut values = vec![];
        for row in &rows {
            let beliefs = process.beliefs(row);
            let beliefs =
                beliefs.ok_or_else(|| Error::Trial("a history that cannot come".into()))?;
            values.extend(beliefs.into_iter().flatten());
        }
        let beliefs = Samples { width: process.states(), values };
        Ok(Self { process, pos, inputs: Inputs::tokens(&rows)?, beliefs })
    }

    fn history(&self) -> Samples {
        one_hot(&self.inputs, self.process.tokens())
    }

    /// Variance of the beliefs on the tested histories, in the mean over states.
    fn variance(&self) -> f64 {
        let k = self.beliefs.width;
        let tested = &self.beliefs.values[FITTED * self.pos * k..];
        let n = (tested.len() / k) as f64;
        let of = |state: usize| {
            let each = || tested.iter().skip(state).step_by(k);
            let mean = each().sum::<f64>() / n;
            each().map(|b| (b - mean) * (b - mean)).sum::<f64>() / n
        };
        (0..k).map(of).sum::<f64>() / k as f64
    }

    /// Least squares on the fitted histories, judged on the tested ones.
    fn regression(&self, x: &Samples) -> Result<ReadOut, Error> {
        let (d, k) = (x.width, self.beliefs.width);
        let n = FITTED * self.pos;
        let mean = |s: &Samples| {
            let mut mean = vec![0.0; s.width];
            for row in s.values[..n * s.width].chunks_exact(s.width) {
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n as f64);
            }
            mean
        };
        let centred = |s: &Samples, mean: &[f64]| -> Vec<f64> {
            let rows = s.values.chunks_exact(s.width);
            rows.flat_map(|row| row.iter().zip(mean).map(|(v, m)| v - m)).collect()
        };
        let (xs, ys) = (centred(x, &mean(x)), centred(&self.beliefs, &mean(&self.beliefs)));
        let (x_fit, x_test) = xs.split_at(n * d);
        let (y_fit, y_test) = ys.split_at(n * k);
        let scale = x_fit.iter().map(|v| v * v).sum::<f64>() / d as f64;
        let weights = linalg::ridge(n, d, k, x_fit, y_fit, RIDGE * scale.max(f64::MIN_POSITIVE))?;
        // Covariance of beliefs and x; beliefs sum to 1, so one row is what the others leave.
        let moves = linalg::product(k, n, d, &linalg::transpose(n, k, y_fit), x_fit);
        let plane = linalg::orthonormal_rows(k, d, &moves, DEPENDENT);
        let mut error = 0.0;
        for (x, y) in x_test.chunks_exact(d).zip(y_test.chunks_exact(k)) {
            let mut off: Vec<f64> = y.iter().map(|y| -y).collect();
            for (x, w) in x.iter().zip(weights.chunks_exact(k)) {
                off.iter_mut().zip(w).for_each(|(o, w)| *o += x * w);
            }
            error += off.iter().map(|o| o * o).sum::<f64>();
        }
        Ok(ReadOut { weights, plane, error: error / y_test.len() as f64 })
    }

    /// Read-outs of every site of a network.
    fn held(
        &self,
        network: &Network,
        sites: &[String],
        cx: &Context,
    ) -> Result<(Held, Vec<ReadOut>), Error> {
        let runner = Runner::new(network, &self.inputs, cx)?;
        let mut all = vec![];
        for site in sites {
            all.push(samples(runner.clean(site)?.as_ref())); // [history, pos, d_model]
        }
        let count = self.inputs.len() * self.pos;
        let mut joined = Samples { width: all.iter().map(|s| s.width).sum(), values: vec![] };
        for i in 0..count {
            for s in &all {
                joined.values.extend(&s.values[i * s.width..(i + 1) * s.width]);
            }
        }
        let joined = self.regression(&joined)?.error;
        let read_outs = all.iter().map(|s| self.regression(s)).collect::<Result<Vec<_>, _>>()?;
        let last = read_outs.last().map_or(f64::NAN, |r| r.error);
        let of_sites = sites.iter().cloned().zip(read_outs.iter().map(|r| r.error)).collect();
        let gap = log10(last / joined);
        Ok((Held { sites: of_sites, last, joined, gap }, read_outs))
    }

    /// Exchanges what is read between tested histories, each with the next one.
    fn exchanged(
        &self,
        network: &Network,
        sites: &[String],
        read_outs: &[ReadOut],
        cx: &Context,
    ) -> Result<Vec<Exchanged>, Error> {
        let inputs = self.inputs.pick(FITTED..FITTED + TESTED);
        let runner = Runner::new(network, &inputs, cx)?;
        let n = self.process.tokens();
        let last = |output: &[f32]| output[(self.pos - 1) * n..].to_vec();
        let clean = runner.logits()?;
        let wanted = |i: usize| {
            let at = ((FITTED + (i + 1) % TESTED) * self.pos + self.pos - 1) * self.beliefs.width;
            self.process.next(&self.beliefs.values[at..at + self.beliefs.width])
        };
        let before: f64 = (0..TESTED).map(|i| divergence(&wanted(i), &last(clean.row(i)))).sum();
        let moved = |site: &str, basis: Option<Vec<Vec<f32>>>| -> Result<f64, Error> {
            let selector = Selector::site(site).at_pos(self.pos - 1);
            let selector = match basis {
                Some(basis) => selector.in_basis(basis),
                None => selector,
            };
            let row = |input: usize| {
                let operation = Operation::Interchange { input: (input + 1) % TESTED };
                Row { input, interventions: vec![Intervention::site(selector.clone(), operation)] }
            };
            let outputs = runner.run(&(0..TESTED).map(row).collect::<Vec<_>>())?;
            let outputs = outputs.iter().enumerate();
            let after: f64 = outputs.map(|(i, y)| divergence(&wanted(i), &last(y))).sum();
            Ok(1.0 - after / before)
        };
        let mut out = vec![];
        for (site, read) in sites.iter().zip(read_outs) {
            let k = self.beliefs.width;
            let d = read.weights.len() / k;
            let columns = linalg::transpose(d, k, &read.weights);
            let weights = linalg::orthonormal_rows(k, d, &columns, DEPENDENT);
            let dims = read.plane.len() / d;
            let mut random = 0.0;
            for draw in 0..DRAWS {
                let mut g = Stream::new(0, &format!("beliefs/{site}")).block(draw);
                let normals: Vec<f64> = (0..read.plane.len()).map(|_| g.normal64()).collect();
                let other = linalg::orthonormal_rows(dims, d, &normals, DEPENDENT);
                random += moved(site, Some(rows(&other, d)))? / DRAWS as f64;
            }
            out.push(Exchanged {
                site: site.clone(),
                dims,
                moved: moved(site, Some(rows(&read.plane, d)))?,
                by_weights: moved(site, Some(rows(&weights, d)))?,
                random,
                whole: moved(site, None)?,
            });
        }
        Ok(out)
    }
}

/// Rows of a matrix `[n, width]` for a selector.
pub(crate) fn rows(values: &[f64], width: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(width).map(|r| r.iter().map(|&x| x as f32).collect()).collect()
}

/// The page is a test: every example in it is compiled and run.
#[cfg(doctest)]
mod page {
    #[doc = include_str!("../../../docs/metrics/belief.md")]
    struct Belief;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_alone_tells_nearly_all_of_mess3() {
        let process = Process::mess3(0.05, 0.85).unwrap();
        let ground = Ground::new(&process, 10).unwrap();
        // An independent computation in Python gave a variance of .161 and errors of .0056 to .0063.
        assert!((ground.variance() - 0.161).abs() < 0.002, "{}", ground.variance());
        let history = ground.regression(&ground.history()).unwrap();
        assert!((0.0054..0.0065).contains(&history.error), "{}", history.error);
    }

    #[test]
    fn a_read_out_of_the_beliefs_themselves_is_exact_and_their_plane_has_one_dimension_less() {
        for process in [Process::mess3(0.05, 0.85).unwrap(), Process::rrxor().unwrap()] {
            let ground = Ground::new(&process, 6).unwrap();
            // Twice each, and a coordinate that says nothing.
            let (k, mut values) = (process.states(), vec![]);
            for b in ground.beliefs.values.chunks_exact(k) {
                values.extend(b.iter().chain(b).copied().chain([1.0]));
            }
            let read = ground.regression(&Samples { width: 2 * k + 1, values }).unwrap();
            // The ridge penalty is what is left.
            assert!(read.error < 1e-9, "{}", read.error);
            assert_eq!(read.plane.len() / (2 * k + 1), k - 1);
        }
    }
}
