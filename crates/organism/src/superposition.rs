//! More features than dimensions: x^ = act(W^T W x + b) learns to keep sparse features apart.
//!
//! n features, each active with a small probability and then uniform on \[0, 1), pass through m < n
//! hidden units and back. With ReLU at the output the network stores them all, each as a direction
//! of its own, and lets the bias and the ReLU remove what they write on each other; without ReLU,
//! or with dense features, it can do no better than the best affine map of rank m. At n = 5, m = 2
//! the directions are the corners of a regular pentagon (Elhage et al. 2022, "Toy models of
//! superposition"; the recipe is that of Braun et al. 2025, "Attribution-based parameter
//! decomposition", section on toy models of superposition).
//!
//! Features may also fire in pairs: together, never together, or a child only with its parent
//! ([`Firing`]). Then the partners' directions stand in a relation that chance does not give them.
//!
//! Three nouns: [`Superposition`] is the organism, [`Recipe`] its parameters, [`Firing`] what is active
//! with what. The test of superposition is a loss below that of [`best_affine_loss`]; capacities and
//! angles describe.
//!
//! ```
//! use flyroom_organism::superposition::{Recipe, best_affine_loss};
//! // Three of five features are lost: 3/5 of the variance p/3 - p^2/4 at p = .05.
//! assert!((best_affine_loss(&Recipe::default()) - 0.009625).abs() < 1e-12);
//! ```

mod firing;

pub use firing::Firing;

use crate::organism::{as_parameters, typed};
use crate::train::{Batch, Nursery, Training};
use crate::{
    Answers, Bred, Distance, Entry, Error, Feature, Organism, Parameters, Source, Standing, Task,
    Truth,
};
use flyroom_explanation::Explanation;
use flyroom_network::{
    Activation, Architecture, AutoencoderConfig, Form, Inputs, Network, Weights, record,
};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::math::atan2_64;
use flyroom_tensor::ops::Unary;
use flyroom_tensor::{Bindings, Context, Graph, Program, Stream, Tensor, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values (inputs x features) on which the loss is measured. At 5-2 the standard error of the ratio is
/// .0003 for the pentagon and .0016 for its linear twin.
const MEASURED_VALUES: usize = 1 << 22;
/// Inputs of one pass while measuring.
const MEASURED_AT_ONCE: usize = 1 << 12;
/// Clean inputs of the task; as many partners follow.
const CLEAN: usize = 512;
/// A column of W shorter than this is a feature that the network does not represent.
const REPRESENTED: f64 = 0.1;
/// Seed of every stream that judges specimens, whatever their own seed.
const EVALUATION: u64 = 0;

/// The organism under one of its names.
#[derive(Debug)]
pub struct Superposition {
    name: &'static str,
    summary: &'static str,
    cost: &'static str,
    standard: fn() -> Recipe,
}

/// Five features in two dimensions: a pentagon.
pub const SUPERPOSITION_5_2: Superposition = Superposition {
    name: "superposition-5-2",
    summary: "five sparse features kept in two dimensions as the corners of a pentagon",
    cost: "1 s",
    standard: Recipe::default,
};

/// Its twin without ReLU, which cannot superpose.
pub const SUPERPOSITION_5_2_LINEAR: Superposition = Superposition {
    name: "superposition-5-2-linear",
    summary: "the twin of superposition-5-2 without ReLU: no better than the best affine map of rank 2",
    cost: "1 s",
    standard: || Recipe { act: Activation::Identity, ..Recipe::default() },
};

/// Forty features in ten dimensions, where random directions are far from all of them.
pub const SUPERPOSITION_40_10: Superposition = Superposition {
    name: "superposition-40-10",
    summary: "forty sparse features kept in ten dimensions, where no direction is near by chance",
    cost: "4 s",
    standard: || Recipe { n_features: 40, d_hidden: 10, ..Recipe::default() },
};

/// The same function with the identity between encoder and decoder: m more components.
pub const SUPERPOSITION_IDENTITY: Superposition = Superposition {
    name: "superposition-identity",
    summary: "superposition-5-2 with an identity matrix in the middle: n + m components",
    cost: "1 s",
    standard: || Recipe { identity: true, ..Recipe::default() },
};

/// Twenty features in ten dimensions, in pairs of which both are active or neither.
pub const SUPERPOSITION_CORRELATED: Superposition = Superposition {
    name: "superposition-correlated",
    summary: "features in pairs that are active together: partners end orthogonal",
    cost: "1 s",
    standard: || Recipe::paired(Firing::Correlated),
};

/// The same, at most one of a pair active.
pub const SUPERPOSITION_ANTICORRELATED: Superposition = Superposition {
    name: "superposition-anticorrelated",
    summary: "features in pairs of which at most one is active: partners end opposite",
    cost: "1 s",
    // Rarer features meet so rarely that any two may lie opposite.
    standard: || Recipe { p_active: 0.4, ..Recipe::paired(Firing::Anticorrelated) },
};

/// The same, the second of a pair active only where the first is.
pub const SUPERPOSITION_HIERARCHICAL: Superposition = Superposition {
    name: "superposition-hierarchical",
    summary: "features in pairs of a parent and a child that is active only where the parent is",
    cost: "1 s",
    standard: || Recipe::paired(Firing::Hierarchical),
};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Features n.
    pub n_features: usize,
    /// Hidden units m.
    pub d_hidden: usize,
    /// Probability that a feature is active.
    pub p_active: f64,
    /// Inputs of a step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Learning rate, constant.
    pub lr: f64,
    /// Decoupled weight decay, on W and b.
    pub weight_decay: f64,
    /// Function of the output.
    pub act: Activation,
    /// Importance of feature i is this to the power i.
    pub importance_decay: f64,
    /// Whether targets are permuted within the batch, so that there is nothing to learn.
    pub shuffle_labels: bool,
    /// Whether the identity stands between encoder and decoder. It is not trained.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    /// How features 2i and 2i + 1 are active together, where they are taken as pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Firing>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            n_features: 5,
            d_hidden: 2,
            p_active: 0.05,
            batch: 1024,
            steps: 10_000,
            lr: 5e-3,
            weight_decay: 0.01,
            act: Activation::Relu,
            importance_decay: 1.0,
            shuffle_labels: false,
            identity: false,
            firing: None,
        }
    }
}

impl Recipe {
    /// Twenty features in ten dimensions, in pairs.
    fn paired(firing: Firing) -> Self {
        Self { n_features: 20, d_hidden: 10, steps: 5000, firing: Some(firing), ..Self::default() }
    }

    /// What is trained.
    fn config(&self) -> AutoencoderConfig {
        AutoencoderConfig {
            n_features: self.n_features,
            d_hidden: self.d_hidden,
            act_fn: self.act,
            hidden_maps: 0,
        }
    }

    /// The trained network as a specimen has it. A fixed identity passes values and gradients on
    /// as they are, so inserting it behind the training and training around it give the same bits.
    fn finished(&self, trained: Network) -> Result<Network, Error> {
        if !self.identity {
            return Ok(trained);
        }
        let m = self.d_hidden;
        let mut weights = trained.weights().clone();
        let one = Tensor::from_fn(&[m, m], |i| if i / m == i % m { 1.0 } else { 0.0 });
        weights.insert("hidden.0.W".into(), one);
        let config = AutoencoderConfig { hidden_maps: 1, ..self.config() };
        Ok(Network::new(Architecture::Autoencoder(config), weights)?)
    }

    /// Weight of each feature in the loss, `[n_features]`.
    pub fn importances(&self) -> Vec<f32> {
        let mut next = 1.0;
        (0..self.n_features)
            .map(|_| {
                let now = next;
                next *= self.importance_decay;
                now as f32
            })
            .collect()
    }

    /// The inputs of one block of a stream, `[rows, n_features]`: of one uniform u for each, x = u / p
    /// where u < p and 0 elsewhere; of pairs as [`Firing`] says.
    pub fn inputs(&self, stream: &Stream, block: u64, rows: usize) -> Vec<f32> {
        let mut generator = stream.block(block);
        let p = self.p_active as f32;
        if let Some(firing) = self.firing {
            let pairs = rows * self.n_features / 2;
            return (0..pairs).flat_map(|_| firing.draw(p, &mut generator)).collect();
        }
        (0..rows * self.n_features)
            .map(|_| {
                let u = generator.uniform();
                if u < p { u / p } else { 0.0 }
            })
            .collect()
    }

    /// W normal with variance 2 / (n + m) (Glorot and Bengio 2010), b = 0.
    fn init(&self, seed: u64) -> Result<Weights, Error> {
        let (n, m) = (self.n_features, self.d_hidden);
        let mut w = vec![0.0; n * m];
        let scale = (2.0 / (n + m) as f64).sqrt() as f32;
        Stream::new(seed, "init").block(0).fill_normal(&mut w, scale);
        Ok(BTreeMap::from([
            ("W".to_string(), Tensor::new(&[m, n], w)?),
            ("b_final".to_string(), Tensor::zeros(&[n])),
        ]))
    }

    /// Adds the loss: squared error, weighted by importance, mean over batch and features.
    fn loss(&self, g: &mut Graph, output: Value) -> Result<Value, flyroom_tensor::Error> {
        let shape = g.shape(output).to_vec();
        let target = g.input("target", &shape);
        let error = g.sub(output, target)?;
        let mut squared = g.unary(Unary::Square, error)?;
        if self.importance_decay != 1.0 {
            let weights = g.constant(Tensor::new(&[self.n_features], self.importances())?);
            squared = g.mul(squared, weights)?;
        }
        g.mean(squared)
    }
}

/// Loss of the best affine map of rank m, in the units of the training loss.
///
/// The best map keeps the m largest eigenvalues of the covariance of the scaled features
/// sqrt(importance) x (Eckart and Young 1936) and pays the others. Features that are independent have
/// the variance v = p/3 - p^2/4 and a covariance that is diagonal; in pairs it has blocks of two
/// ([`Firing::moments`]).
pub fn best_affine_loss(recipe: &Recipe) -> f64 {
    let p = recipe.p_active;
    let importances: Vec<f64> = recipe.importances().into_iter().map(f64::from).collect();
    let mut costs: Vec<f64> = match recipe.firing {
        None => {
            let variance = p / 3.0 - p * p / 4.0;
            importances.iter().map(|w| w * variance).collect()
        }
        Some(firing) => {
            let [first, second, both] = firing.moments(p);
            let eigenvalues = |w: &[f64]| {
                let (a, b) = (w[0] * first, w[1] * second);
                let apart = ((a - b) * (a - b) + 4.0 * w[0] * w[1] * both * both).sqrt();
                [(a + b + apart) / 2.0, (a + b - apart) / 2.0]
            };
            importances.chunks_exact(2).flat_map(eigenvalues).collect()
        }
    };
    costs.sort_by(|a, b| b.total_cmp(a));
    costs.iter().skip(recipe.d_hidden).sum::<f64>() / recipe.n_features as f64
}

/// Columns of W, `[n_features][d_hidden]`: what each feature writes at `hook_hidden`.
fn columns(network: &Network) -> Result<Vec<Vec<f64>>, Error> {
    let w = network.weight("W")?;
    let n = w.shape()[1];
    Ok((0..n)
        .map(|i| w.data().iter().skip(i).step_by(n).map(|&x| f64::from(x)).collect())
        .collect())
}

fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).fold(0.0, |s, (x, y)| s + x * y)
}

/// The cosine of two columns; 0 with a column of 0.
fn cosine(x: &[f64], y: &[f64]) -> f64 {
    let norms = (inner(x, x) * inner(y, y)).sqrt();
    if norms > 0.0 { inner(x, y) / norms } else { 0.0 }
}

/// The least cosine of column `i` with any other: -1 where another lies opposite.
fn least_cosine(columns: &[Vec<f64>], i: usize) -> f64 {
    let others = columns.iter().enumerate().filter(|(j, _)| *j != i);
    others.map(|(_, c)| cosine(c, &columns[i])).fold(1.0, f64::min)
}

/// Capacities D_i = (w_i . w_i)^2 / sum_j (w_i . w_j)^2 (Scherlis et al. 2022); 0 for a column of 0.
fn capacities(columns: &[Vec<f64>]) -> Vec<f64> {
    columns
        .iter()
        .map(|x| {
            let all: f64 = columns.iter().map(|y| inner(x, y) * inner(x, y)).sum();
            if all > 0.0 { inner(x, x) * inner(x, x) / all } else { 0.0 }
        })
        .collect()
}

/// Capacities of a feature alone, in a tetrahedron, a triangle, a pair, a pentagon, a square antiprism
/// (Elhage et al. 2022).
const PLATEAUS: [f64; 6] = [1.0, 3.0 / 4.0, 2.0 / 3.0, 1.0 / 2.0, 2.0 / 5.0, 3.0 / 8.0];
/// How near a capacity lies that counts as one of them.
const ON_PLATEAU: f64 = 0.01;
/// How far beside them as many places lie that no shape has: what chance gives.
const BESIDE: f64 = 0.05;

/// The share of represented features whose capacity lies on a plateau, or so far below one.
fn on_plateau(capacities: &[f64], norms: &[f64], below: f64) -> f64 {
    let kept = capacities.iter().zip(norms).filter(|(_, n)| **n >= REPRESENTED);
    let near = |c: f64| PLATEAUS.iter().any(|p| (c - (p - below)).abs() <= ON_PLATEAU);
    let (of, on) = kept.fold((0, 0), |(of, on), (c, _)| (of + 1, on + usize::from(near(*c))));
    on as f64 / of.max(1) as f64
}

/// Angles in degrees between neighbours around the circle, for columns in two dimensions.
fn gaps_deg(columns: &[&Vec<f64>]) -> Vec<f64> {
    let degrees = 180.0 / std::f64::consts::PI;
    let mut at: Vec<f64> = columns.iter().map(|c| atan2_64(c[1], c[0]) * degrees).collect();
    at.sort_by(f64::total_cmp);
    (0..at.len()).map(|i| at.get(i + 1).copied().unwrap_or_else(|| at[0] + 360.0) - at[i]).collect()
}

/// The truth: feature i enters `hook_hidden` along column i of W, and leaves the identity, where
/// there is one, as it came. Columns shorter than .1 are not represented and are left out. Where a
/// child fires only with its parent, the truth says whose child it is.
pub fn truth(recipe: &Recipe, network: &Network) -> Result<Truth, Error> {
    let columns = columns(network)?;
    let hierarchical = recipe.firing == Some(Firing::Hierarchical);
    let behind = network.weight("hidden.0.W").is_ok().then_some("hidden.0.hook_out");
    let features = ["hook_hidden"]
        .into_iter()
        .chain(behind)
        .flat_map(|site| columns.iter().enumerate().map(move |(i, c)| (site, i, c)))
        .map(|(site, i, c)| (site, i, inner(c, c).sqrt(), c))
        .filter(|(_, _, norm, _)| *norm >= REPRESENTED)
        .map(|(site, i, norm, c)| Feature {
            name: format!("x{i}"),
            site: site.into(),
            direction: c.iter().map(|x| (x / norm) as f32).collect(),
            parent: (hierarchical && i % 2 == 1).then(|| format!("x{}", i - 1)),
        })
        .collect();
    Ok(Truth {
        source: Source::Generated,
        standing: Standing::Exact,
        features,
        explanation: explanation(),
        ..Truth::nothing()
    })
}

/// The program that the truth implies. A dictionary says where features lie and not what the
/// output does with them, so there is none: a snapshot.
fn explanation() -> Option<Explanation> {
    None
}

impl Superposition {
    fn recipe(&self, parameters: &Parameters) -> Result<Recipe, Error> {
        let recipe: Recipe = typed(self.name, parameters)?;
        let bad = |why: String| Err(Error::Parameters { organism: self.name.into(), why });
        let sizes = [
            ("n_features", recipe.n_features),
            ("d_hidden", recipe.d_hidden),
            ("batch", recipe.batch),
        ];
        if let Some((name, n)) = sizes.into_iter().find(|(_, n)| *n == 0 || *n > 1 << 20) {
            return bad(format!("{name} = {n} is not a size; hint: from 1 to {}", 1 << 20));
        }
        let [features, hidden, batch] = sizes.map(|(_, n)| n as u64);
        if features * hidden > 1 << 26 || features * batch > 1 << 28 {
            return bad(format!(
                "n_features = {features}, d_hidden = {hidden} and batch = {batch} are too much \
                 together; hint: n_features times d_hidden at most 2^26, times batch at most 2^28"
            ));
        }
        if !(recipe.p_active > 0.0 && recipe.p_active <= 1.0) {
            return bad(format!("p_active = {} is not in (0, 1]", recipe.p_active));
        }
        if let Some(firing) = recipe.firing {
            if !recipe.n_features.is_multiple_of(2) {
                return bad(format!("n_features = {} do not make pairs", recipe.n_features));
            }
            if recipe.p_active > firing.most_active() {
                let most = firing.most_active();
                return bad(format!("p_active = {} is more than {most}", recipe.p_active));
            }
        }
        let rates = [
            ("lr", recipe.lr),
            ("weight_decay", recipe.weight_decay),
            ("importance_decay", recipe.importance_decay),
        ];
        if let Some((name, x)) = rates.into_iter().find(|(_, x)| !(0.0..=10.0).contains(x)) {
            return bad(format!("{name} = {x} is not in 0..10"));
        }
        Ok(recipe)
    }
}

impl Organism for Superposition {
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

    fn defaults(&self) -> Parameters {
        as_parameters(&(self.standard)())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let recipe = self.recipe(parameters)?;
        let data = Stream::new(seed, "data");
        let labels = Stream::new(seed, "labels");
        let n = recipe.n_features;
        let draw = |t: usize| {
            let input = recipe.inputs(&data, t as u64, recipe.batch);
            let target = if recipe.shuffle_labels {
                let order = labels.block(t as u64).permutation(recipe.batch);
                order.iter().flat_map(|&i| &input[i * n..(i + 1) * n]).copied().collect()
            } else {
                input.clone()
            };
            Batch {
                pos: None,
                index: vec![],
                real: vec![("input".into(), input), ("target".into(), target)],
            }
        };
        let optimizer =
            AdamW { lr: recipe.lr, weight_decay: recipe.weight_decay, ..AdamW::default() };
        let training = Training {
            organism: self.name,
            seed,
            architecture: &Architecture::Autoencoder(recipe.config()),
            batch: recipe.batch,
            pos: 1,
            steps: recipe.steps,
            optimizer: &|_| optimizer,
            data: &draw,
            loss: &|g, output| recipe.loss(g, output),
            probe_every: (recipe.steps / 100).max(1),
            probe: &|_| Ok(BTreeMap::new()),
        };
        let (trained, curve) = training.run(recipe.init(seed)?, cx, nursery)?;
        let network = recipe.finished(trained)?;
        let truth =
            if recipe.shuffle_labels { Truth::nothing() } else { truth(&recipe, &network)? };
        Ok(Bred { network, curve, truth })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let recipe = self.recipe(parameters)?;
        if let Some(length) = length.filter(|l| *l != 1) {
            let why = format!("its inputs are vectors, which have no length {length}");
            return Err(Error::Parameters { organism: self.name.into(), why });
        }
        let n = recipe.n_features;
        let all = recipe.inputs(&Stream::new(EVALUATION, "evaluation task"), 0, 2 * CLEAN);
        Ok(Task {
            domain: format!(
                "{CLEAN} draws of {n} features, each active with probability {}{}",
                recipe.p_active,
                recipe.firing.map_or("", Firing::words)
            ),
            exhaustive: false,
            inputs: Inputs::vectors(n, all.clone())?,
            clean: CLEAN,
            partner: (CLEAN..2 * CLEAN).collect(),
            reads: vec![true; 2 * CLEAN],
            answers: Answers::Values(all),
            d_out: n,
            columns: n,
            distance: Distance::Squared { weights: recipe.importances() },
            vocabulary: vec![],
            modulus: None,
        })
    }

    /// `loss` and `loss_ratio` (over [`best_affine_loss`]) on about 2^22 fresh values, `norms`,
    /// `capacities`, `represented` (columns of W at least .1 long), with an identity `components`
    /// (these and its m dimensions); `dimensions_per_feature`, m / |W|^2; `on_plateau`, the share of represented
    /// features with the capacity of a known shape, and `beside_plateau`, its null; in two dimensions `angle_min`
    /// and `angle_max` in degrees between neighbours; at 5-2 `pentagon`: five columns, angles
    /// 72 +- 3 degrees, norms within a tenth of their mean.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let recipe = self.recipe(parameters)?;
        let loss = measured_loss(&recipe, network, cx)?;
        let columns = columns(network)?;
        let norms: Vec<f64> = columns.iter().map(|c| inner(c, c).sqrt()).collect();
        let kept: Vec<&Vec<f64>> =
            columns.iter().zip(&norms).filter(|(_, n)| **n >= REPRESENTED).map(|x| x.0).collect();
        let best = best_affine_loss(&recipe);
        let mut out = Parameters::new();
        out.insert("loss".into(), loss.into());
        if best > 0.0 {
            out.insert("loss_ratio".into(), (loss / best).into());
        }
        let shares = capacities(&columns);
        let all: f64 = norms.iter().map(|n| n * n).sum();
        if all > 0.0 {
            out.insert("dimensions_per_feature".into(), (recipe.d_hidden as f64 / all).into());
        }
        out.insert("on_plateau".into(), on_plateau(&shares, &norms, 0.0).into());
        out.insert("beside_plateau".into(), on_plateau(&shares, &norms, BESIDE).into());
        out.insert("capacities".into(), shares.into());
        out.insert("norms".into(), norms.clone().into());
        out.insert("represented".into(), kept.len().into());
        if recipe.firing.is_some() {
            let cosines: Vec<f64> = columns.chunks_exact(2).map(|c| cosine(&c[0], &c[1])).collect();
            out.insert("partner_cosines".into(), cosines.into());
            let nearest: Vec<f64> = (0..columns.len()).map(|i| least_cosine(&columns, i)).collect();
            out.insert("least_cosines".into(), nearest.into());
        }
        if recipe.identity {
            out.insert("components".into(), (kept.len() + recipe.d_hidden).into());
        }
        if recipe.d_hidden == 2 && kept.len() > 1 {
            let gaps = gaps_deg(&kept);
            let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
            let most = gaps.iter().copied().fold(0.0, f64::max);
            out.insert("angle_min".into(), least.into());
            out.insert("angle_max".into(), most.into());
        }
        if (recipe.n_features, recipe.d_hidden) == (5, 2) {
            let mean = norms.iter().sum::<f64>() / 5.0;
            let regular = kept.len() == 5
                && gaps_deg(&kept).iter().all(|a| (a - 72.0).abs() <= 3.0)
                && norms.iter().all(|x| (x - mean).abs() <= 0.1 * mean);
            out.insert("pentagon".into(), regular.into());
        }
        Ok(out)
    }
}

/// The training loss on fresh inputs, summed in f64 in order.
fn measured_loss(recipe: &Recipe, network: &Network, cx: &Context) -> Result<f64, Error> {
    let mut g = Graph::new();
    let output = record(&mut g, network.architecture(), MEASURED_AT_ONCE, 1, Form::Plain)?;
    let mut program = Program::compile(&g, &[output])?;
    let stream = Stream::new(EVALUATION, "evaluation loss");
    let weights = recipe.importances();
    let mut total = 0.0;
    let blocks = (MEASURED_VALUES / MEASURED_AT_ONCE / weights.len()).max(1);
    for block in 0..blocks {
        let x = recipe.inputs(&stream, block as u64, MEASURED_AT_ONCE);
        let bindings = Bindings::new().with_all(network.weights()).with("input", &x);
        program.run(cx, &bindings)?;
        let rows = program.output(0).chunks_exact(weights.len()).zip(x.chunks_exact(weights.len()));
        for (y, x) in rows {
            for ((y, x), w) in y.iter().zip(x).zip(&weights) {
                let error = f64::from(y - x);
                total += f64::from(*w) * error * error;
            }
        }
    }
    Ok(total / (blocks * MEASURED_AT_ONCE * weights.len()) as f64)
}

#[cfg(test)]
mod tests;
