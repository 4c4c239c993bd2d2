//! A dictionary that is planted: activations are sums of known directions, as many as wanted.
//!
//! n random unit directions in D < n dimensions; an activation is W c with sparse
//! coefficients c. What makes this hard for a sparse dictionary is how c is drawn, after SynthSAEBench
//! (Chanin et al. 2026, arXiv 2602.14687): rates fall as a power of the rank (Zipf), firing is correlated
//! through a few common factors (a Gaussian copula of low rank), and features stand in trees in which a
//! child fires only with its parent and never beside a sibling.
//!
//! The network is the tied autoencoder of [`superposition`](crate::superposition) with W planted instead
//! of trained and no output function: its input is c, `hook_hidden` is W c, its output W^T W c. So every
//! method reads a site of a network, and nothing about the site is a claim.
//!
//! Differs from SynthSAEBench, whose network has 16,384 features in 768 dimensions, in size and in that
//! the rate of a child is a share of its parent's rate, so that all rates are known exactly.
//!
//! Three nouns: [`SyntheticDictionary`] the organism, [`Recipe`] its parameters, [`Generator`] what draws
//! coefficients.

use crate::organism::{as_parameters, typed};
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Feature, Organism, Parameters, Route, Source, Standing, Task, Truth,
};
use flyroom_network::{Activation, Architecture, AutoencoderConfig, Inputs, Network, Weights};
use flyroom_tensor::random;
use flyroom_tensor::{Context, Stream, Tensor, math};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Seed of the draws that judge specimens, whatever their own seed.
const EVALUATION: u64 = 0;
/// Levels of a tree: root, children, grandchildren.
const LEVELS: usize = 3;

/// The organism under one of its names.
#[derive(Debug)]
pub struct SyntheticDictionary {
    name: &'static str,
    summary: &'static str,
    cost: &'static str,
    standard: fn() -> Recipe,
}

/// 512 features in 64 dimensions.
pub const SYNTHETIC_DICTIONARY: SyntheticDictionary = SyntheticDictionary {
    name: "synthetic-dictionary",
    summary: "512 planted directions in 64 dimensions, with Zipf rates, common factors and trees",
    cost: "10 s",
    standard: || Recipe {
        n_features: 512,
        d_hidden: 64,
        trees: 32,
        samples: 16_384,
        ..Recipe::default()
    },
};

/// 128 features in 32 dimensions.
pub const SYNTHETIC_DICTIONARY_MINI: SyntheticDictionary = SyntheticDictionary {
    name: "synthetic-dictionary-mini",
    summary: "128 planted directions in 32 dimensions, with Zipf rates, common factors and trees",
    cost: "1 s",
    standard: Recipe::default,
};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Directions n.
    pub n_features: usize,
    /// Dimensions D.
    pub d_hidden: usize,
    /// Rate of the most frequent feature.
    pub rate: f64,
    /// The rate of the feature of rank r is `rate` r^-exponent; children stand outside the ranks.
    pub exponent: f64,
    /// Common factors behind the firing; 0 is independent firing.
    pub factors: usize,
    /// Share of the variance of what decides on firing that is common.
    pub common: f64,
    /// Trees, whose roots are the most frequent features.
    pub trees: usize,
    /// Children of a node, of which at most one fires.
    pub branching: usize,
    /// Probability that one of the children fires with its parent.
    pub child_share: f64,
    /// Coefficients are uniform on 1 - spread, 1 + spread.
    pub spread: f64,
    /// Activations of the task.
    pub samples: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            n_features: 128,
            d_hidden: 32,
            rate: 0.2,
            exponent: 0.5,
            factors: 4,
            common: 0.1,
            trees: 8,
            branching: 2,
            child_share: 0.6,
            spread: 0.2,
            samples: 8192,
        }
    }
}

impl Recipe {
    /// Nodes of one tree.
    fn nodes(&self) -> usize {
        (0..LEVELS as u32).map(|l| self.branching.saturating_pow(l)).fold(0, usize::saturating_add)
    }

    /// Features outside of trees or at their roots, which come first.
    fn ranked(&self) -> usize {
        self.n_features - self.trees * (self.nodes() - 1)
    }

    /// The parent of each feature. Roots come first, then features without a tree, then children.
    pub fn parents(&self) -> Vec<Option<usize>> {
        let mut out = vec![None; self.ranked()];
        let mut level: Vec<usize> = (0..self.trees).collect();
        for _ in 1..LEVELS {
            let mut next = vec![];
            for &parent in &level {
                for _ in 0..self.branching {
                    next.push(out.len());
                    out.push(Some(parent));
                }
            }
            level = next;
        }
        out
    }

    /// How often each feature fires.
    pub fn rates(&self) -> Vec<f64> {
        let each = self.child_share / self.branching.max(1) as f64;
        let mut out: Vec<f64> = vec![];
        for (i, parent) in self.parents().into_iter().enumerate() {
            out.push(match parent {
                None => self.rate * math::pow64((i + 1) as f64, -self.exponent),
                Some(p) => each * out[p],
            });
        }
        out
    }

    fn config(&self) -> AutoencoderConfig {
        AutoencoderConfig {
            n_features: self.n_features,
            d_hidden: self.d_hidden,
            act_fn: Activation::Identity,
            hidden_maps: 0,
        }
    }
}

/// z at which a standard normal variable lies above it with probability p, by halving.
fn normal_above(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if 1.0 - math::normal_cdf64(middle) > p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// What draws coefficients.
pub struct Generator {
    recipe: Recipe,
    parents: Vec<Option<usize>>,
    /// Of features without a parent: above which value of their normal variable they fire.
    thresholds: Vec<f64>,
    /// How much of each common factor goes into each of them, `[ranked, factors]`, rows of length
    /// sqrt(common).
    loadings: Vec<f64>,
}

impl Generator {
    /// The generator of a recipe: which features share factors is the same for all seeds.
    pub fn new(recipe: &Recipe) -> Self {
        let ranked = recipe.ranked();
        let mut draw = Stream::new(EVALUATION, "synthetic dictionary/factors").block(0);
        let mut loadings: Vec<f64> =
            (0..ranked * recipe.factors).map(|_| draw.normal64()).collect();
        if recipe.factors > 0 {
            for row in loadings.chunks_exact_mut(recipe.factors) {
                let norm = row.iter().fold(0.0, |s, x| s + x * x).sqrt();
                row.iter_mut().for_each(|x| *x *= recipe.common.sqrt() / norm.max(1e-12));
            }
        }
        let thresholds = recipe.rates()[..ranked].iter().map(|&p| normal_above(p)).collect();
        Self { parents: recipe.parents(), recipe: recipe.clone(), thresholds, loadings }
    }

    /// The coefficients of one activation, `[n_features]`.
    pub fn draw(&self, random: &mut random::Generator) -> Vec<f32> {
        let Recipe { factors, common, branching, child_share, spread, .. } = self.recipe;
        let shared: Vec<f64> = (0..factors).map(|_| random.normal64()).collect();
        let own = if factors > 0 { (1.0 - common).sqrt() } else { 1.0 };
        let mut out = vec![0f32; self.parents.len()];
        let value = |random: &mut random::Generator| {
            (1.0 + spread * (2.0 * random.uniform64() - 1.0)) as f32
        };
        for (i, &threshold) in self.thresholds.iter().enumerate() {
            let loading = &self.loadings[i * factors..(i + 1) * factors];
            let common = loading.iter().zip(&shared).fold(0.0, |s, (l, f)| s + l * f);
            if common + own * random.normal64() > threshold {
                out[i] = value(random);
            }
        }
        // Siblings stand side by side: one draw decides which of them fires, if any.
        let first = self.thresholds.len();
        for eldest in (first..out.len()).step_by(branching.max(1)) {
            let fires = self.parents[eldest].is_some_and(|p| out[p] > 0.0);
            let u = random.uniform64() / child_share.max(1e-12);
            if fires && u < 1.0 {
                let which = ((u * branching as f64) as usize).min(branching - 1);
                out[eldest + which] = value(random);
            }
        }
        out
    }
}

/// Unit directions `[n, d]` of a seed, uniform on the sphere.
fn directions(recipe: &Recipe, seed: u64) -> Vec<f32> {
    let d = recipe.d_hidden;
    let mut draw = Stream::new(seed, "synthetic dictionary/directions").block(0);
    let mut rows: Vec<f64> = (0..recipe.n_features * d).map(|_| draw.normal64()).collect();
    for row in rows.chunks_exact_mut(d) {
        let norm = row.iter().fold(0.0, |s, x| s + x * x).sqrt().max(1e-12);
        row.iter_mut().for_each(|x| *x /= norm);
    }
    rows.into_iter().map(|x| x as f32).collect()
}

/// Mean over directions of the greatest |cosine| with another one.
fn coherence(rows: &[f32], d: usize) -> f64 {
    let cosine = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).fold(0.0, |s, (x, y)| s + f64::from(*x) * f64::from(*y)).abs()
    };
    let n = rows.len() / d.max(1);
    let all: Vec<&[f32]> = rows.chunks_exact(d.max(1)).collect();
    let most =
        |i: usize| (0..n).filter(|&j| j != i).map(|j| cosine(all[i], all[j])).fold(0.0, f64::max);
    (0..n).map(most).sum::<f64>() / n.max(1) as f64
}

impl SyntheticDictionary {
    fn recipe(&self, parameters: &Parameters) -> Result<Recipe, Error> {
        let recipe: Recipe = typed(self.name, parameters)?;
        let bad = |why: String| Err(Error::Parameters { organism: self.name.into(), why });
        for (key, n, most) in [
            ("n_features", recipe.n_features, 1 << 14),
            ("d_hidden", recipe.d_hidden, 1 << 12),
            ("samples", recipe.samples, 1 << 20),
            ("branching", recipe.branching, 1 << 10),
        ] {
            if !(1..=most).contains(&n) {
                return bad(format!("{key} = {n} is not a size; hint: from 1 to {most}"));
            }
        }
        if recipe.factors > 1 << 10 {
            return bad(format!("factors = {} is too many", recipe.factors));
        }
        let cells = recipe.samples.saturating_mul(recipe.n_features.max(recipe.d_hidden));
        if cells > 1 << 28 {
            return bad("samples times features is more than 2^28; hint: fewer samples".into());
        }
        let shares = [
            ("rate", recipe.rate),
            ("common", recipe.common),
            ("child_share", recipe.child_share),
            ("spread", recipe.spread),
        ];
        if let Some((key, x)) = shares.into_iter().find(|(_, x)| !(0.0..1.0).contains(x)) {
            return bad(format!("{key} = {x} is no share; hint: from 0 on, below 1"));
        }
        if !(0.0..=10.0).contains(&recipe.exponent) {
            return bad(format!("exponent = {} is not in 0..10", recipe.exponent));
        }
        let below = recipe.trees.saturating_mul(recipe.nodes() - 1);
        if below.saturating_add(recipe.trees) > recipe.n_features {
            let nodes = recipe.nodes();
            return bad(format!(
                "{} trees of {nodes} nodes do not fit into {} features; hint: fewer trees",
                recipe.trees, recipe.n_features
            ));
        }
        Ok(recipe)
    }
}

impl Organism for SyntheticDictionary {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Generated,
            standing: Standing::Exact,
            cost: self.cost,
        }
    }

    fn route(&self) -> Route {
        Route::Analytic
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&(self.standard)())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        _: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        let recipe = self.recipe(parameters)?;
        let (n, d) = (recipe.n_features, recipe.d_hidden);
        let rows = Tensor::new(&[n, d], directions(&recipe, seed))?;
        let weights = Weights::from([
            ("W".to_string(), rows.transposed()?),
            ("b_final".to_string(), Tensor::zeros(&[n])),
        ]);
        let parents = recipe.parents();
        let features = rows
            .data()
            .chunks_exact(d)
            .zip(parents)
            .enumerate()
            .map(|(i, (direction, parent))| Feature {
                name: format!("x{i}"),
                site: "hook_hidden".into(),
                direction: direction.to_vec(),
                parent: parent.map(|p| format!("x{p}")),
            })
            .collect();
        Ok(Bred {
            network: Network::new(Architecture::Autoencoder(recipe.config()), weights)?,
            curve: vec![],
            truth: Truth {
                source: Source::Generated,
                standing: Standing::Exact,
                features,
                ..Truth::nothing()
            },
        })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let recipe = self.recipe(parameters)?;
        if let Some(length) = length.filter(|l| *l != 1) {
            let why = format!("its inputs are vectors, which have no length {length}");
            return Err(Error::Parameters { organism: self.name.into(), why });
        }
        let n = recipe.n_features;
        let generator = Generator::new(&recipe);
        let mut draw = Stream::new(EVALUATION, "synthetic dictionary/task").block(0);
        let all: Vec<f32> = (0..recipe.samples).flat_map(|_| generator.draw(&mut draw)).collect();
        let domain = format!("{} draws of {n} coefficients", recipe.samples);
        Ok(Task::of_values(domain, Inputs::vectors(n, all.clone())?, all, n))
    }

    /// `active`, features that fire in a draw on average, `coherence`, the mean over directions of the
    /// greatest |cosine| with another one, and the greatest and least rate.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        _: &Context,
    ) -> Result<Parameters, Error> {
        let recipe = self.recipe(parameters)?;
        let rates = recipe.rates();
        let rows = network.weight("W")?.transposed()?;
        Ok(Parameters::from_iter([
            ("active".into(), json!(rates.iter().sum::<f64>())),
            ("coherence".into(), json!(coherence(rows.data(), recipe.d_hidden))),
            ("rate_max".into(), json!(rates.iter().copied().fold(0.0, f64::max))),
            ("rate_min".into(), json!(rates.iter().copied().fold(1.0, f64::min))),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_fire_as_often_as_their_rates_say_and_children_only_with_parents() {
        let recipe = Recipe::default();
        let (generator, rates, parents) =
            (Generator::new(&recipe), recipe.rates(), recipe.parents());
        assert_eq!((rates.len(), parents.iter().flatten().count()), (128, 48));
        let mut draw = Stream::new(3, "test").block(0);
        let rows = 20_000;
        let mut count = vec![0usize; rates.len()];
        for _ in 0..rows {
            let c = generator.draw(&mut draw);
            for (i, parent) in parents.iter().enumerate() {
                count[i] += usize::from(c[i] > 0.0);
                assert!(c[i] == 0.0 || (0.8..=1.2).contains(&c[i]));
                assert!(c[i] == 0.0 || parent.is_none_or(|p| c[p] > 0.0));
                let twin = parents.get(i + 1).is_some_and(|p| p.is_some() && p == parent);
                assert!(!twin || c[i] == 0.0 || c[i + 1] == 0.0, "siblings {i}");
            }
        }
        for (c, p) in count.into_iter().zip(rates) {
            let (got, error) = (c as f64 / f64::from(rows), (p / f64::from(rows)).sqrt());
            assert!((got - p).abs() < 5.0 * error, "{got} {p}");
        }
    }

    #[test]
    fn common_factors_correlate_firing_and_without_them_it_is_independent() {
        for (common, correlated) in [(0.0, false), (0.5, true)] {
            let recipe = Recipe { common, factors: 1, trees: 0, ..Recipe::default() };
            let generator = Generator::new(&recipe);
            let mut draw = Stream::new(4, "test").block(0);
            let (mut both, mut each) = (0.0, [0.0; 2]);
            for _ in 0..20_000 {
                let c = generator.draw(&mut draw);
                let on = [c[0] > 0.0, c[1] > 0.0].map(|b| f64::from(u8::from(b)) / 20_000.0);
                both += on[0] * on[1] * 20_000.0;
                each = [each[0] + on[0], each[1] + on[1]];
            }
            let off = (both - each[0] * each[1]).abs();
            // Independent: sqrt(.028 / 20,000) = .0012. Of one factor the sign alone is open.
            assert_eq!(off > 0.006, correlated, "{common}: {off}");
        }
    }

    #[test]
    fn thresholds_are_quantiles() {
        // scipy.stats.norm.isf(.2), isf(.01)
        assert!((normal_above(0.2) - 0.841_621_233_572_914_3).abs() < 1e-9);
        assert!((normal_above(0.01) - 2.326_347_874_040_840_8).abs() < 1e-9);
    }

    #[test]
    fn parameters_that_make_no_sense_are_errors_that_name_them() {
        for (set, name) in [
            (json!({ "trees": 40 }), "trees"),
            (json!({ "rate": 1.5 }), "rate"),
            (json!({ "samples": 0 }), "samples"),
            (json!({ "branching": 4_000_000_000u64 }), "branching"),
        ] {
            let set = set.as_object().cloned().unwrap_or_default();
            let parameters = crate::with_defaults(&SYNTHETIC_DICTIONARY_MINI, &set).unwrap();
            let error = SYNTHETIC_DICTIONARY_MINI.task(&parameters, None).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
