//! Modular addition without training: a quadratic network whose weights are cosines.
//!
//! Neuron k has one frequency f and two phases. It adds cos(2 pi f a / p + s) and cos(2 pi f b / p + t),
//! squares the sum, and votes for answer c with cos(2 pi f c / p + s + t). The square holds
//! cos(2 pi f (a + b) / p + s + t), so the vote holds 1/2 cos(2 pi f (a + b - c) / p), which is
//! greatest at the right answer for every neuron; what else it holds depends on the phases and
//! averages out over neurons (Gromov 2023, "Grokking modular arithmetic", equations 9 to 13, with
//! random phases).
//!
//! *What averages out can be made to vanish.* With M neurons on one frequency and phases s = 2 pi u j/M,
//! t = 2 pi v j/M every unwanted term is a full turn of the circle if none of 2u, 2v, 2u+2v, u+v,
//! u-v, 3u+v, u+3v is a multiple of M; M = 6, u = 1, v = 4 is the smallest solution. With
//! `phases = "balanced"` the network therefore *is* [`closed_form`], up to rounding.
//!
//! Two nouns: [`Analytic`] is the organism, [`Recipe`] its parameters. The example computes the right
//! logit of the closed form, 1, and that of any other answer, -1 / (number of frequencies x 2).
//!
//! ```
//! use flyroom_organism::modadd_analytic::{Phases, Recipe};
//! let recipe = Recipe { modulus: 5, width: 12, phases: Phases::Balanced };
//! let logits = recipe.closed_form();
//! assert!((logits[0] - 1.0).abs() < 1e-12);
//! assert!((logits[3] + 0.25).abs() < 1e-12);
//! ```

use crate::cosines::{Plane, with_cosines};
use crate::organism::{as_parameters, typed};
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task, Truth,
};
use flyroom_explanation::Term;
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network, Runner, Selector};
use flyroom_tensor::math::sin_cos_turns64;
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seed of the stream that draws partners, whatever the specimen's own seed.
const EVALUATION: u64 = 0;

/// The organism under one of its names.
#[derive(Debug)]
pub struct Analytic {
    name: &'static str,
    summary: &'static str,
    standard: Recipe,
}

/// As published: random phases, so that unwanted terms average out.
pub const ANALYTIC: Analytic = Analytic {
    name: "modular-addition-analytic",
    summary: "a + b mod p by a quadratic network whose weights are cosines with random phases",
    standard: Recipe { modulus: 59, width: 256, phases: Phases::Random },
};

/// With phases that cancel unwanted terms: its logits are a sum of cosines and nothing else.
pub const ANALYTIC_BALANCED: Analytic = Analytic {
    name: "modular-addition-analytic-balanced",
    summary: "the same with six neurons a frequency, whose phases cancel all but cos(a + b - c)",
    standard: Recipe { modulus: 59, width: 174, phases: Phases::Balanced },
};

/// How the phases of neurons are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phases {
    /// Independent and uniform, as in the paper.
    Random,
    /// Evenly around the circle within each frequency, so that unwanted terms cancel; the seed
    /// turns each frequency as a whole.
    Balanced,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The modulus p, odd.
    pub modulus: usize,
    /// Neurons.
    pub width: usize,
    /// How the phases are drawn.
    pub phases: Phases,
}

/// A neuron: its frequency and its phases in turns.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Neuron {
    frequency: usize,
    phase_a: f64,
    phase_b: f64,
}

impl Recipe {
    /// Frequencies in use: 1..=(p-1)/2, as many as there are neurons for.
    pub fn frequencies(&self) -> std::ops::RangeInclusive<usize> {
        1..=((self.modulus - 1) / 2).min(self.width)
    }

    /// Neurons of each frequency, in the order of [`Recipe::frequencies`].
    fn neurons_of_each(&self) -> Vec<usize> {
        let used = self.frequencies().count();
        (0..used).map(|f| (self.width - f).div_ceil(used)).collect()
    }

    fn neurons(&self, seed: u64) -> Vec<Neuron> {
        let used = self.frequencies().count();
        let mut generator = Stream::new(seed, "init").block(0);
        match self.phases {
            Phases::Random => (0..self.width)
                .map(|k| Neuron {
                    frequency: 1 + k % used,
                    phase_a: generator.uniform64(),
                    phase_b: generator.uniform64(),
                })
                .collect(),
            Phases::Balanced => {
                let turns: Vec<(f64, f64)> =
                    (0..used).map(|_| (generator.uniform64(), generator.uniform64())).collect();
                let m = self.width / used;
                let (u, v) = balance(m).unwrap_or((0, 0));
                (0..self.width)
                    .map(|k| {
                        let (f, j) = (k % used, k / used);
                        let part = |i: usize| (i * j % m) as f64 / m as f64;
                        Neuron {
                            frequency: 1 + f,
                            phase_a: turns[f].0 + part(u),
                            phase_b: turns[f].1 + part(v),
                        }
                    })
                    .collect()
            }
        }
    }

    /// The logits that phases leave alone, by (a + b - c) mod p: the sum over frequencies f of
    /// N_f / N cos(2 pi f (a + b - c) / p), where N_f of the N neurons have frequency f.
    pub fn closed_form(&self) -> Vec<f64> {
        let p = self.modulus;
        let amplitudes = self.amplitudes();
        (0..p)
            .map(|d| {
                amplitudes.iter().map(|&(f, amplitude)| amplitude * cos_of(f * d, p, 0.0)).sum()
            })
            .collect()
    }

    /// Each frequency with its amplitude in [`Recipe::closed_form`].
    pub fn amplitudes(&self) -> Vec<(usize, f64)> {
        let share = |n: usize| n as f64 / self.width as f64;
        self.frequencies().zip(self.neurons_of_each().into_iter().map(share)).collect()
    }

    fn architecture(&self) -> Architecture {
        Architecture::Mlp(MlpConfig {
            d_in: 2 * self.modulus,
            d_hidden: vec![self.width],
            d_out: self.modulus,
            act_fn: Activation::Square,
            bias: false,
            residual: false,
        })
    }

    fn network(&self, seed: u64) -> Result<Network, Error> {
        let (p, width) = (self.modulus, self.width);
        let neurons = self.neurons(seed);
        let mut w_in = vec![0.0; 2 * p * width]; // [operand and value, neuron]
        let mut w_out = vec![0.0; width * p]; // [neuron, answer]
        // Each neuron's vote holds half a cosine: with 2 / N the right logit is 1.
        let scale = 2.0 / width as f64;
        for (k, n) in neurons.iter().enumerate() {
            for x in 0..p {
                w_in[x * width + k] = cos_of(n.frequency * x, p, n.phase_a) as f32;
                w_in[(p + x) * width + k] = cos_of(n.frequency * x, p, n.phase_b) as f32;
                let vote = cos_of(n.frequency * x, p, n.phase_a + n.phase_b);
                w_out[k * p + x] = (scale * vote) as f32;
            }
        }
        let weights = BTreeMap::from([
            ("blocks.0.mlp.W_in".to_string(), Tensor::new(&[2 * p, width], w_in)?),
            ("unembed.W_U".to_string(), Tensor::new(&[width, p], w_out)?),
        ]);
        Ok(Network::new(self.architecture(), weights)?)
    }
}

/// cos(2 pi (i / p + phase)), the phase in turns.
fn cos_of(i: usize, p: usize, phase: f64) -> f64 {
    sin_cos_turns64((i % p) as f64 / p as f64 + phase).1
}

/// (u, v) so that M phase pairs (u j / M, v j / M) cancel every unwanted term, if there are any.
fn balance(m: usize) -> Option<(usize, usize)> {
    (1..m).flat_map(|u| (1..m).map(move |v| (u, v))).find(|&(u, v)| {
        [2 * u, 2 * v, 2 * u + 2 * v, u + v, u.abs_diff(v), 3 * u + v, u + 3 * v]
            .iter()
            .all(|x| !x.is_multiple_of(m))
    })
}

/// The truth: neurons of frequency f read, of each operand, one plane of `hook_input`, and nothing
/// else is read. Within a plane no direction is distinguished (phases turn it), so planes are
/// variables and there are no single features. The program is [`Recipe::closed_form`].
fn truth(recipe: &Recipe) -> Truth {
    let term =
        |(f, amplitude)| Term { frequency: f as u32, amplitude: amplitude as f32, phase: 0.0 };
    let terms = (recipe.phases == Phases::Balanced)
        .then(|| recipe.amplitudes().into_iter().map(term).collect());
    let truth = Truth { source: Source::Compiled, standing: Standing::Exact, ..Truth::nothing() };
    with_cosines(recipe.modulus, &planes(recipe), terms, truth)
}

/// For each frequency the planes of both operands.
fn planes(recipe: &Recipe) -> Vec<Plane> {
    let p = recipe.modulus;
    // One-hot inputs along unit vectors: |cos over 0..p|^2 = p / 2.
    let norm = (2.0 / p as f64).sqrt();
    let mut all = vec![];
    for frequency in recipe.frequencies() {
        for (operand, first) in [("a", 0), ("b", p)] {
            let mut basis = vec![vec![0.0; 2 * p]; 2];
            for x in 0..p {
                let (sin, cos) = sin_cos_turns64((frequency * x % p) as f64 / p as f64);
                basis[0][first + x] = (norm * cos) as f32;
                basis[1][first + x] = (norm * sin) as f32;
            }
            let selector = Selector { basis: Some(basis), ..Selector::site("hook_input") };
            let map = [[norm, 0.0], [0.0, norm]];
            all.push(Plane { operand, frequency, selector, pos: None, map, centre: [0.0; 2] });
        }
    }
    all
}

impl Analytic {
    fn recipe(&self, parameters: &Parameters) -> Result<Recipe, Error> {
        let recipe: Recipe = typed(self.name, parameters)?;
        let bad = |why: String| Err(Error::Parameters { organism: self.name.into(), why });
        // All p^2 pairs are inputs, each of length 2p.
        if recipe.modulus.is_multiple_of(2) || !(3..256).contains(&recipe.modulus) {
            return bad(format!("modulus = {} is not an odd number in 3..256", recipe.modulus));
        }
        if recipe.width == 0 || recipe.width > 1 << 16 {
            return bad(format!("width = {} is not a number of neurons", recipe.width));
        }
        let used = recipe.frequencies().count();
        let each = recipe.width / used;
        let even = recipe.width.is_multiple_of(used) && balance(each).is_some();
        if recipe.phases == Phases::Balanced && !even {
            return bad(format!(
                "balanced phases want a multiple of {used} neurons, at least {}; hint: --set width={}",
                6 * used,
                6 * used
            ));
        }
        Ok(recipe)
    }
}

impl Organism for Analytic {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "0 s",
        }
    }

    fn route(&self) -> crate::Route {
        crate::Route::Analytic
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&self.standard)
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        _cx: &Context,
        _nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let recipe = self.recipe(parameters)?;
        Ok(Bred { network: recipe.network(seed)?, curve: vec![], truth: truth(&recipe) })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let recipe = self.recipe(parameters)?;
        if let Some(length) = length.filter(|l| *l != 1) {
            let why = format!("its inputs are vectors, which have no length {length}");
            return Err(Error::Parameters { organism: self.name.into(), why });
        }
        let p = recipe.modulus;
        let mut values = vec![0.0; p * p * 2 * p];
        let mut answers = vec![0; p * p];
        for a in 0..p {
            for b in 0..p {
                let i = a * p + b;
                values[i * 2 * p + a] = 1.0;
                values[i * 2 * p + p + b] = 1.0;
                answers[i] = ((a + b) % p) as u32;
            }
        }
        let mut generator = Stream::new(EVALUATION, "evaluation partners").block(0);
        let others = (p * p - 1) as u64;
        let partner =
            (0..p * p).map(|i| (i + 1 + generator.below(others) as usize) % (p * p)).collect();
        Ok(Task {
            domain: format!("all {} pairs of numbers below {p}", p * p),
            exhaustive: true,
            inputs: Inputs::vectors(2 * p, values)?,
            clean: p * p,
            partner,
            reads: vec![true; p * p],
            answers: Answers::Classes(answers),
            d_out: p,
            columns: p,
            distance: Distance::CentredLogits,
            vocabulary: vec![],
            modulus: Some(p),
        })
    }

    /// `accuracy` over all pairs, and `cosine_fidelity`: 1 - sum |y - e|^2 / sum |y - mean y|^2 of
    /// centred logits y against those of the closed form e.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let recipe = self.recipe(parameters)?;
        let p = recipe.modulus;
        let task = self.task(parameters, None)?;
        let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
        let closed = recipe.closed_form();
        let centre = closed.iter().sum::<f64>() / p as f64;
        let rows: Vec<Vec<f32>> = (0..task.clean).map(|i| task.reading(i, logits.row(i))).collect();
        let mut mean = vec![0.0; p];
        for row in &rows {
            mean.iter_mut().zip(row).for_each(|(m, &y)| *m += f64::from(y) / (p * p) as f64);
        }
        let (mut missed, mut all) = (0.0, 0.0);
        for (i, row) in rows.iter().enumerate() {
            for (c, &y) in row.iter().enumerate() {
                let predicted = closed[(i / p + i % p + p - c) % p] - centre;
                let y = f64::from(y);
                missed += (y - predicted) * (y - predicted);
                all += (y - mean[c]) * (y - mean[c]);
            }
        }
        let mut out = Parameters::new();
        if let Some(accuracy) = task.accuracy(logits.data()) {
            out.insert("accuracy".into(), accuracy.into());
        }
        if all > 0.0 {
            out.insert("cosine_fidelity".into(), (1.0 - missed / all).into());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_defaults;
    use flyroom_network::{Intervention, Operation, Row};
    use serde_json::{Value as Json, json};

    fn bred(organism: &Analytic, set: Json, seed: u64) -> (Parameters, Bred, Parameters) {
        let set = set.as_object().unwrap().clone();
        let parameters = with_defaults(organism, &set).unwrap();
        let cx = Context::single();
        let bred = organism.breed(&parameters, seed, &cx, &Nursery::none()).unwrap();
        let measured = organism.measure(&parameters, &bred.network, &cx).unwrap();
        (parameters, bred, measured)
    }

    #[test]
    fn at_width_256_every_answer_is_right_on_three_seeds_at_59_and_113() {
        for (modulus, seeds) in [(59, 3), (113, 1)] {
            for seed in 0..seeds {
                let (_, _, m) = bred(&ANALYTIC, json!({ "modulus": modulus }), seed);
                assert_eq!(m["accuracy"], 1.0, "modulus {modulus}, seed {seed}");
            }
        }
    }

    #[test]
    fn with_fewer_neurons_than_terms_average_over_answers_are_wrong() {
        // The control: at width 32 unwanted terms are as high as the wanted one.
        let (_, _, m) = bred(&ANALYTIC, json!({ "width": 32 }), 0);
        assert!(m["accuracy"].as_f64().unwrap() < 0.9, "{m:?}");
    }

    #[test]
    fn random_phases_are_not_the_closed_form_and_balanced_ones_are() {
        let (_, _, random) = bred(&ANALYTIC, json!({}), 0);
        assert!(random["cosine_fidelity"].as_f64().unwrap() < 0.9);
        for modulus in [5, 31, 59] {
            let set = json!({ "modulus": modulus, "width": 3 * (modulus - 1) });
            let (_, _, m) = bred(&ANALYTIC_BALANCED, set, 1);
            assert!(m["cosine_fidelity"].as_f64().unwrap() > 1.0 - 1e-10, "{m:?}");
            assert_eq!(m["accuracy"], 1.0);
        }
    }

    #[test]
    fn a_plane_set_to_another_operand_moves_its_cosine_and_no_other() {
        let (parameters, bred, _) =
            bred(&ANALYTIC_BALANCED, json!({ "modulus": 31, "width": 90 }), 2);
        let recipe: Recipe = typed("", &parameters).unwrap();
        let task = ANALYTIC_BALANCED.task(&parameters, None).unwrap();
        let runner = Runner::new(&bred.network, &task.inputs, &Context::single()).unwrap();
        let p = recipe.modulus;
        let (a, b, new, f) = (3, 8, 20, 5);
        for (operand, from) in [("a", a), ("b", b)] {
            let plane =
                bred.truth.variables.iter().find(|v| v.name == format!("{operand}{f}")).unwrap();
            let row = Row {
                input: a * p + b,
                interventions: vec![Intervention::site(
                    plane.selector.clone(),
                    Operation::Set { values: plane.values[new].clone() },
                )],
            };
            let got = &runner.run(&[row]).unwrap()[0];
            let clean = recipe.closed_form();
            for c in 0..p {
                let at =
                    |sum: usize| recipe.amplitudes()[f - 1].1 * cos_of(f * (sum + p - c), p, 0.0);
                let moved = at(a + b + new - from) - at(a + b);
                let wanted = clean[(a + b + p - c) % p] + moved;
                assert!((f64::from(got[c]) - wanted).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_width_that_cannot_be_balanced_is_an_error_that_names_one_that_can() {
        let set = json!({ "width": 256 }).as_object().unwrap().clone();
        let parameters = with_defaults(&ANALYTIC_BALANCED, &set).unwrap();
        let error = ANALYTIC_BALANCED.task(&parameters, None).unwrap_err().to_string();
        assert!(error.contains("--set width=174"), "{error}");
    }
}
