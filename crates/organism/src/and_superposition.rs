//! Thousands of ANDs from fewer neurons than there are booleans, by construction.
//!
//! Of n booleans at most s are true. Each neuron is given a set of booleans, each by chance, and counts those
//! of its set that are true beyond the first, ReLU(sum - 1); the AND of j and k is read as the mean over the
//! neurons whose sets hold both (Vaintrob, Mendel and Hänni 2024, "Toward a mathematical framework for computation
//! in superposition"; Hänni et al. 2024, "Mathematical models of computation in superposition", arXiv 2408.05451).
//!
//! *The bound.* Write T(j, k) for the neurons that hold both j and k, and a for the greatest share of any T(j, k) that
//! holds a third boolean too. A neuron that holds t > 0 true booleans answers t - 1, so one of T(j, k) says
//! too much by at most the number of true booleans that it holds besides j and k, or besides one of them,
//! or besides the first: at most s - 1 of them. Each is held by a share of at most a. So no answer is too
//! low and none too high by more than (s - 1) a, whatever the input; a is counted for each specimen, over all
//! triples.
//!
//! Where the bound is below 1, every AND is told from every other answer by a threshold above the bound.

mod trained;

pub(crate) use trained::TRAINED;

use crate::organism::{as_parameters, typed};
use crate::train::Nursery;
use crate::{Bred, Entry, Error, Feature, Organism, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network, Runner, Weights};
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Clean inputs of the task.
const CLEAN: usize = 256;
/// Inputs that are all run where there are no more; else as many are drawn.
const MOST_INPUTS: usize = 1 << 14;
/// Inputs of one pass.
const AT_ONCE: usize = 256;
/// Weights of a network at most.
const MOST_WEIGHTS: usize = 1 << 24;
/// What rounding to f32 may add to an answer.
const ROUNDING: f64 = 1e-5;

/// The organism.
#[derive(Debug)]
pub(crate) struct AndSuperposition;

/// What a specimen is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// Booleans n.
    n_features: usize,
    /// Neurons.
    d_mlp: usize,
    /// Probability that a neuron's set holds a boolean.
    density: f64,
    /// Booleans s that may be true at once.
    most_active: usize,
    /// The control: without ReLU it counts down too.
    relu: bool,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { n_features: 128, d_mlp: 120, density: 0.5, most_active: 2, relu: true }
    }
}

/// Pairs (j, k), j < k, in the order of the outputs.
fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |j| (j + 1..n).map(move |k| (j, k)))
}

/// Which booleans each neuron's set holds.
struct Sets {
    /// The neurons of each boolean, in words of 64.
    of: Vec<Vec<u64>>,
}

impl Sets {
    fn drawn(recipe: &Recipe, seed: u64) -> Self {
        let mut draw = Stream::new(seed, "init").block(0);
        let mut of = vec![vec![0u64; recipe.d_mlp.div_ceil(64)]; recipe.n_features];
        for mine in &mut of {
            for i in 0..recipe.d_mlp {
                mine[i / 64] |= u64::from(draw.uniform64() < recipe.density) << (i % 64);
            }
        }
        Self { of }
    }

    /// The sets that a network's first layer shows.
    fn shown(network: &Network) -> Result<Self, Error> {
        let w = network.weight("blocks.0.mlp.W_in")?; // [feature, neuron]
        let &[n, d_mlp] = w.shape() else {
            return Err(Error::Truth("blocks.0.mlp.W_in is no matrix".into()));
        };
        let mut of = vec![vec![0u64; d_mlp.div_ceil(64)]; n];
        for (mine, row) in of.iter_mut().zip(w.data().chunks_exact(d_mlp.max(1))) {
            for (i, &x) in row.iter().enumerate() {
                mine[i / 64] |= u64::from(x > 0.5) << (i % 64);
            }
        }
        Ok(Self { of })
    }

    fn holds(&self, boolean: usize, neuron: usize) -> bool {
        self.of[boolean][neuron / 64] >> (neuron % 64) & 1 == 1
    }

    /// Neurons that hold two booleans.
    fn both(&self, j: usize, k: usize) -> Vec<u64> {
        self.of[j].iter().zip(&self.of[k]).map(|(a, b)| a & b).collect()
    }

    /// The least number of neurons that hold a pair.
    fn least(&self) -> u32 {
        pairs(self.of.len()).map(|(j, k)| count(&self.both(j, k))).min().unwrap_or(0)
    }

    /// a: the greatest share of a pair's neurons that hold a third boolean too.
    fn greatest_share(&self) -> f64 {
        let n = self.of.len();
        pairs(n).fold(0.0, |most: f64, (j, k)| {
            let both = self.both(j, k);
            let thirds = (0..n).filter(|l| *l != j && *l != k);
            let three = |l: usize| -> u32 {
                self.of[l].iter().zip(&both).map(|(a, b)| (a & b).count_ones()).sum()
            };
            let top = thirds.map(three).max().unwrap_or(0);
            most.max(f64::from(top) / f64::from(count(&both).max(1)))
        })
    }
}

fn count(words: &[u64]) -> u32 {
    words.iter().map(|w| w.count_ones()).sum()
}

impl Recipe {
    fn read(parameters: &Parameters) -> Result<Self, Error> {
        let r: Self = typed(ENTRY.name, parameters)?;
        r.check().map_err(bad)?;
        if !(r.density > 0.0 && r.density <= 1.0) {
            return Err(bad(format!("density = {} is not in (0, 1]", r.density)));
        }
        Ok(r)
    }

    /// Sizes that make sense.
    fn check(&self) -> Result<(), String> {
        if !(3..=512).contains(&self.n_features) {
            return Err(format!("n_features = {}; hint: from 3 to 512", self.n_features));
        }
        if !(1..=1 << 12).contains(&self.d_mlp) {
            return Err(format!("d_mlp = {}; hint: from 1 to 4096", self.d_mlp));
        }
        if self.d_mlp * self.d_out() > MOST_WEIGHTS {
            return Err(format!(
                "{} ANDs of {} neurons are more than {MOST_WEIGHTS} weights; hint: fewer n_features",
                self.d_out(),
                self.d_mlp
            ));
        }
        if !(2..=self.n_features).contains(&self.most_active) {
            return Err(format!(
                "most_active = {}; hint: from 2 to {}",
                self.most_active, self.n_features
            ));
        }
        Ok(())
    }

    fn d_out(&self) -> usize {
        self.n_features * (self.n_features - 1) / 2
    }

    fn network(&self, seed: u64) -> Result<Network, Error> {
        let (n, d) = (self.n_features, self.d_mlp);
        let sets = Sets::drawn(self, seed);
        if sets.least() == 0 {
            let why = "two booleans share no neuron; hint: a higher density or more d_mlp";
            return Err(bad(why.into()));
        }
        let one = |holds: bool| if holds { 1.0 } else { 0.0 };
        let read = Tensor::from_fn(&[n, d], |i| one(sets.holds(i / d, i % d)));
        let mut write = Tensor::zeros(&[d, self.d_out()]);
        for (column, (j, k)) in pairs(n).enumerate() {
            let both = sets.both(j, k);
            let share = 1.0 / count(&both) as f32;
            for i in (0..d).filter(|i| both[i / 64] >> (i % 64) & 1 == 1) {
                write.data_mut()[i * self.d_out() + column] = share;
            }
        }
        let weights = Weights::from([
            ("blocks.0.mlp.W_in".into(), read),
            ("blocks.0.mlp.b_in".into(), Tensor::from_fn(&[d], |_| -1.0)),
            ("unembed.W_U".into(), write),
            ("unembed.b_U".into(), Tensor::zeros(&[self.d_out()])),
        ]);
        Ok(Network::new(self.architecture(), weights)?)
    }

    fn architecture(&self) -> Architecture {
        Architecture::Mlp(MlpConfig {
            d_in: self.n_features,
            d_hidden: vec![self.d_mlp],
            d_out: self.d_out(),
            act_fn: if self.relu { Activation::Relu } else { Activation::Identity },
            bias: true,
            residual: false,
        })
    }

    /// All inputs, if they are few enough; else draws with as many true booleans as there may be.
    fn inputs(&self) -> (Vec<Vec<usize>>, bool) {
        let (n, s) = (self.n_features, self.most_active);
        let mut all: Vec<Vec<usize>> = vec![vec![]];
        let mut last = 0..1;
        for _ in 0..s {
            let start = all.len();
            for i in last {
                for j in all[i].last().map_or(0, |j| j + 1)..n {
                    if all.len() == MOST_INPUTS {
                        return (self.draws("and-superposition/error", MOST_INPUTS), false);
                    }
                    let mut more = all[i].clone();
                    more.push(j);
                    all.push(more);
                }
            }
            last = start..all.len();
        }
        (all, true)
    }

    fn draws(&self, stream: &str, many: usize) -> Vec<Vec<usize>> {
        let mut random = Stream::new(0, stream).block(0);
        let one = |_| {
            let mut order: Vec<usize> = (0..self.n_features).collect();
            random.shuffle(&mut order);
            order.truncate(self.most_active);
            order.sort_unstable();
            order
        };
        (0..many).map(one).collect()
    }

    fn vectors(&self, rows: &[Vec<usize>]) -> Result<Inputs, Error> {
        let mut values = vec![0.0; rows.len() * self.n_features];
        for (i, row) in rows.iter().enumerate() {
            row.iter().for_each(|j| values[i * self.n_features + j] = 1.0);
        }
        Ok(Inputs::vectors(self.n_features, values)?)
    }

    /// Whether each AND holds.
    fn ands<'a>(&self, row: &'a [usize]) -> impl Iterator<Item = bool> + 'a {
        pairs(self.n_features).map(|(j, k)| row.contains(&j) && row.contains(&k))
    }

    fn task(&self) -> Result<Task, Error> {
        let rows = self.draws("and-superposition/evaluation", CLEAN);
        let one = |and: bool| if and { 1.0 } else { 0.0 };
        let answers = rows.iter().flat_map(|row| self.ands(row).map(one)).collect();
        let (n, s, d) = (self.n_features, self.most_active, self.d_out());
        let domain = format!("{CLEAN} draws of {s} true booleans of {n}");
        Ok(Task::of_values(domain, self.vectors(&rows)?, answers, d))
    }

    /// What a network answers on all inputs, or on draws of them.
    fn answered(&self, network: &Network, cx: &Context) -> Result<Answered, Error> {
        let (rows, exhaustive) = self.inputs();
        let (mut least, mut most, mut off) = (f64::INFINITY, f64::NEG_INFINITY, 0f64);
        let (mut error, mut zero) = (0f64, 0f64);
        for rows in rows.chunks(AT_ONCE) {
            let outputs = Runner::new(network, &self.vectors(rows)?, cx)?.logits()?;
            for (row, y) in rows.iter().zip(outputs.data().chunks_exact(self.d_out())) {
                for (and, &y) in self.ands(row).zip(y) {
                    let (y, wanted) = (f64::from(y), if and { 1.0 } else { 0.0 });
                    match and {
                        true => least = least.min(y),
                        false => most = most.max(y),
                    }
                    off = off.max((y - wanted).abs());
                    error += (y - wanted) * (y - wanted);
                    zero += wanted;
                }
            }
        }
        let inputs = rows.len();
        let (error, zero) = (error / inputs as f64, zero / inputs as f64);
        Ok(Answered { ands: self.d_out(), inputs, exhaustive, least, most, off, error, zero })
    }
}

fn bad(why: String) -> Error {
    Error::Parameters { organism: ENTRY.name.into(), why }
}

/// What a network answers.
struct Answered {
    ands: usize,
    inputs: usize,
    exhaustive: bool,
    /// The lowest answer where both are true, and the highest elsewhere.
    least: f64,
    most: f64,
    /// The largest error.
    off: f64,
    /// Squared error summed over outputs, in the mean over inputs, and that of answering 0.
    error: f64,
    zero: f64,
}

impl Answered {
    fn numbers(&self) -> Parameters {
        Parameters::from_iter([
            ("ands".into(), json!(self.ands)),
            ("inputs".into(), json!(self.inputs)),
            ("exhaustive".into(), json!(self.exhaustive)),
            ("least_and".into(), json!(self.least)),
            ("most_other".into(), json!(self.most)),
            ("max_error".into(), json!(self.off)),
            ("squared_error".into(), json!(self.error)),
            ("squared_error_of_zero".into(), json!(self.zero)),
        ])
    }
}

const ENTRY: Entry = Entry {
    name: "and-superposition",
    version: 1,
    summary: "8,128 ANDs of 128 booleans by 120 neurons, constructed, with an error that is bounded",
    source: Source::Compiled,
    standing: Standing::Exact,
    cost: "1 s",
};

impl Organism for AndSuperposition {
    fn entry(&self) -> Entry {
        ENTRY
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&Recipe::default())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        _: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        let network = Recipe::read(parameters)?.network(seed)?;
        let truth = truth(&network)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let recipe = Recipe::read(parameters)?;
        if let Some(length) = length.filter(|l| *l != 1) {
            let why = format!("its inputs are vectors, which have no length {length}");
            return Err(bad(why));
        }
        recipe.task()
    }

    /// `ands`, the outputs; `bound`, (s - 1) a; over `inputs` many inputs, all of them if `exhaustive`: `least_and`, the
    /// lowest answer where both are true, `most_other`, the highest elsewhere, `max_error` and whether it is
    /// `within` the bound; `squared_error`, summed over outputs, beside that of answering 0.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let recipe = Recipe::read(parameters)?;
        let bound = (recipe.most_active - 1) as f64 * Sets::shown(network)?.greatest_share();
        let answered = recipe.answered(network, cx)?;
        let mut out = answered.numbers();
        out.insert("bound".into(), json!(bound));
        out.insert("within".into(), json!(answered.off <= bound + ROUNDING));
        Ok(out)
    }
}

/// Directions of the booleans at the neurons: more than there are neurons.
fn truth(network: &Network) -> Result<Truth, Error> {
    let w = network.weight("blocks.0.mlp.W_in")?;
    let features = (0..w.shape()[0]).map(|j| {
        let row = w.row(j);
        let norm = row.iter().fold(0f64, |s, &x| s + f64::from(x) * f64::from(x)).sqrt();
        Feature {
            name: format!("x{j}"),
            site: "blocks.0.mlp.hook_pre".into(),
            direction: row.iter().map(|&x| (f64::from(x) / norm) as f32).collect(),
            parent: None,
        }
    });
    let Entry { source, standing, .. } = ENTRY;
    Ok(Truth { source, standing, features: features.collect(), ..Truth::nothing() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_defaults;

    fn measured(set: serde_json::Value) -> Parameters {
        let p = with_defaults(&AndSuperposition, set.as_object().unwrap()).unwrap();
        let cx = Context::single();
        let bred = AndSuperposition.breed(&p, 0, &cx, &Nursery::none()).unwrap();
        AndSuperposition.measure(&p, &bred.network, &cx).unwrap()
    }

    #[test]
    fn every_answer_is_within_the_bound_and_two_true_booleans_reach_it() {
        for (s, inputs) in [(2, 1 + 24 + 276), (3, 1 + 24 + 276 + 2024)] {
            let m = measured(json!({ "n_features": 24, "d_mlp": 40, "most_active": s }));
            assert_eq!((&m["inputs"], &m["exhaustive"]), (&json!(inputs), &json!(true)));
            assert_eq!(m["within"], true, "{m:?}");
            let (bound, off) = (m["bound"].as_f64().unwrap(), m["max_error"].as_f64().unwrap());
            // One true boolean of the pair and the worst third.
            assert!(if s == 2 { (bound - off).abs() < ROUNDING } else { off > bound / 2.0 });
            assert!((m["least_and"].as_f64().unwrap() - 1.0).abs() < ROUNDING);
        }
    }

    #[test]
    fn without_relu_the_error_is_outside_the_bound() {
        // Where neither is true the mean counts from -1.
        let m = measured(json!({ "n_features": 32, "d_mlp": 120, "relu": false }));
        assert!(m["bound"].as_f64().unwrap() < 1.0);
        assert!((m["max_error"].as_f64().unwrap() - 1.0).abs() < ROUNDING);
        assert_eq!(m["within"], false);
    }

    #[test]
    fn the_share_is_that_of_sets_written_by_hand() {
        // Booleans 0 and 1 share neurons 0, 1 and 2, of which boolean 2 holds two.
        let sets = Sets { of: vec![vec![0b0111], vec![0b1111], vec![0b1011]] };
        assert_eq!((sets.least(), sets.both(0, 2)), (2, vec![0b0011]));
        // Of the two neurons of 0 and 2, boolean 1 holds both.
        assert_eq!(sets.greatest_share(), 1.0);
        let sets = Sets { of: vec![vec![0b0111], vec![0b1110], vec![0b1011]] };
        // Of (0, 1) half, of (0, 2) half, of (1, 2) half.
        assert_eq!(sets.greatest_share(), 0.5);
    }

    #[test]
    fn sizes_that_make_no_sense_are_errors_that_name_them() {
        for (set, key) in [
            (json!({ "n_features": 2 }), "n_features"),
            (json!({ "d_mlp": 0 }), "d_mlp"),
            (json!({ "n_features": 512, "d_mlp": 4096 }), "n_features"),
            (json!({ "density": 0.0 }), "density"),
            (json!({ "most_active": 1 }), "most_active"),
            (json!({ "d_mlp": 2 }), "d_mlp"),
        ] {
            let p = with_defaults(&AndSuperposition, set.as_object().unwrap()).unwrap();
            let e = AndSuperposition.breed(&p, 0, &Context::single(), &Nursery::none());
            assert!(e.err().unwrap().to_string().contains(key), "{key}");
        }
    }
}
