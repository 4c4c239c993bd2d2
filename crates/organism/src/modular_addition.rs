//! Addition modulo p: the task, and transformers that are trained to do it.
//!
//! A network reads a and b, then `=` where its vocabulary has one, and answers a + b mod p at the
//! last position. All p^2 pairs are its inputs. Trained on a part of them with strong weight decay
//! it first learns these by heart and later, often suddenly, answers the others too (Power et al.
//! 2022, "Grokking"); by then its embedding holds the numbers on a few circles (Nanda et al. 2023,
//! "Progress measures for grokking via mechanistic interpretability", whose architecture and
//! recipe `modular-addition` follows).
//!
//! | file | holds |
//! |---|---|
//! | this one | the task, [`Recipe`], [`ModularAddition`] |
//! | `modular_addition/clock_pizza.rs` | [`ClockPizza`](clock_pizza::ClockPizza): attention as strong as one likes |
//! | `modular_addition/located.rs` | which circles a specimen uses: the truth, and progress measures |
//! | `modular_addition/progress.rs` | these measures over the steps of a training |
//! | `modular_addition/symmetry.rs` | clock or pizza: gradient symmetricity and distance irrelevance |
//! | `modular_addition/public.rs` | networks of others, read from files |

mod clock_pizza;
mod located;
mod progress;
mod public;
mod symmetry;

pub(crate) use clock_pizza::CLOCK_PIZZA;
pub(crate) use public::{CLOCK_PIZZA59, MODADD113, Settings};

use crate::organism::{as_parameters, typed};
use crate::progress_measures::ProgressMeasures;
use crate::task::{cross_entropy, other_inputs};
use crate::train::{Batch, Nursery, Training, init};
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task, Truth,
};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Inputs, Network, Runner, TransformerConfig};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::{Context, Stream};
use located::Spectrum;
use progress::KeyFrequencies;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// All pairs of a task of addition modulo `p`; with `equals`, token p stands behind them. The
/// first p logits count.
pub(crate) fn all_pairs(
    organism: &str,
    p: usize,
    equals: bool,
    length: Option<usize>,
) -> Result<Task, Error> {
    task_of_pairs(p, equals, length)
        .map_err(|why| Error::Parameters { organism: organism.into(), why })
}

fn task_of_pairs(p: usize, equals: bool, length: Option<usize>) -> Result<Task, String> {
    let pos = 2 + usize::from(equals);
    if let Some(n) = length.filter(|&n| n != pos) {
        let what = if equals { "a, b and =" } else { "a and b" };
        return Err(format!("inputs are {what}, so they have {pos} tokens, not {n}"));
    }
    if !(2..=1024).contains(&p) {
        return Err(format!("modulus {p} is not in 2..=1024"));
    }
    let mut rows = Vec::with_capacity(p * p);
    for (a, b) in pairs(p) {
        let mut row = vec![a as u32, b as u32];
        row.extend(equals.then_some(p as u32));
        rows.push(row);
    }
    let sums: Vec<u32> = pairs(p).map(|(a, b)| ((a + b) % p) as u32).collect();
    let last = |i: usize| i % pos == pos - 1;
    let mut vocabulary: Vec<Value> = (0..p as i64).map(Value::Int).collect();
    vocabulary.extend(equals.then(|| Value::token("=")));
    Ok(Task {
        domain: format!("all {} pairs (a, b) modulo {p}", p * p),
        exhaustive: true,
        clean: rows.len(),
        partner: other_inputs(rows.len(), 0),
        reads: (0..rows.len() * pos).map(last).collect(),
        answers: Answers::Classes(
            (0..rows.len() * pos).map(|i| if last(i) { sums[i / pos] } else { 0 }).collect(),
        ),
        inputs: Inputs::tokens(&rows).map_err(|e| e.to_string())?,
        d_out: vocabulary.len(),
        columns: p,
        distance: Distance::CentredLogits,
        vocabulary,
        modulus: Some(p),
    })
}

/// (a, b) in order of the inputs.
fn pairs(p: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..p * p).map(move |i| (i / p, i % p))
}

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// p.
    pub modulus: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Heads of the one layer.
    pub n_heads: usize,
    /// ReLU neurons.
    pub d_mlp: usize,
    /// Share of all pairs that is trained on.
    pub train_share: f64,
    /// Which pairs these are: the same for every seed, so that whoever holds a specimen knows
    /// which pairs it never saw.
    pub split: u64,
    /// Pairs of a step, drawn from the training pairs; 0 means all of them, in order.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Learning rate of AdamW behind the warm-up.
    pub lr: f64,
    /// Steps over which the learning rate grows from 0, linearly.
    pub warmup: usize,
    /// Steps at the end over which the learning rate falls to 0, linearly.
    pub cooldown: usize,
    /// Decoupled weight decay, on all weights.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Standard deviation of every matrix at the start, times sqrt(d_model); biases start at 0.
    pub init: f32,
    /// The null: the sums of all pairs change places among the pairs.
    pub shuffle_labels: bool,
}

impl Default for Recipe {
    /// The recipe of `modular-addition-mini`.
    fn default() -> Self {
        Self {
            modulus: 59,
            d_model: 64,
            n_heads: 4,
            d_mlp: 256,
            train_share: 0.5,
            split: 0,
            batch: 512,
            steps: 1200,
            lr: 5e-3,
            warmup: 10,
            cooldown: 300,
            weight_decay: 1.0,
            beta1: 0.9,
            beta2: 0.98,
            init: 1.0,
            shuffle_labels: false,
        }
    }
}

impl Recipe {
    fn check(&self, organism: &str) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Parameters { organism: organism.into(), why });
        if !(3..=1024).contains(&self.modulus) {
            return bad(format!("modulus {} is not in 3..=1024", self.modulus));
        }
        if self.n_heads == 0 || !self.d_model.is_multiple_of(self.n_heads) || self.d_model == 0 {
            return bad(format!(
                "n_heads = {} does not divide d_model = {}",
                self.n_heads, self.d_model
            ));
        }
        let sizes = [
            ("d_model", self.d_model, 1 << 13),
            ("d_mlp", self.d_mlp, 1 << 16),
            ("batch", self.batch, 1 << 20),
        ];
        for (name, n, most) in sizes {
            if n > most {
                return bad(format!("{name} = {n} is too large; hint: at most {most}"));
            }
        }
        if !(0.0..=1.0).contains(&self.train_share) || self.training_pairs() == 0 {
            return bad(format!(
                "train_share = {} leaves no pairs or more than all",
                self.train_share
            ));
        }
        let rates = [("lr", self.lr), ("weight_decay", self.weight_decay)];
        if let Some((name, x)) = rates.into_iter().find(|(_, x)| !(0.0..=100.0).contains(x)) {
            return bad(format!("{name} = {x} is not in 0..100"));
        }
        let betas = [("beta1", self.beta1), ("beta2", self.beta2)];
        if let Some((name, x)) = betas.into_iter().find(|(_, x)| !(0.0..1.0).contains(x)) {
            return bad(format!("{name} = {x} is not in 0..1"));
        }
        Ok(())
    }

    fn architecture(&self) -> Architecture {
        let mut c = TransformerConfig::plain(1, self.d_model, self.n_heads, self.modulus + 1, 3);
        c.d_mlp = self.d_mlp;
        Architecture::Transformer(c)
    }

    fn training_pairs(&self) -> usize {
        (self.train_share * (self.modulus * self.modulus) as f64).round() as usize
    }

    /// Whether each pair is trained on.
    fn trained(&self) -> Vec<bool> {
        split(self.modulus, self.training_pairs(), self.split)
    }

    /// What each pair is answered with while training: its sum, or another pair's.
    fn labels(&self) -> Vec<u32> {
        let mut labels = sums(self.modulus);
        if self.shuffle_labels {
            Stream::new(self.split, "modular addition/labels").block(0).shuffle(&mut labels);
        }
        labels
    }

    /// Settings of the optimiser at step t, counted from 1.
    fn adamw(&self, t: usize) -> AdamW {
        let rise = t as f64 / self.warmup.max(1) as f64;
        let fall = (self.steps + 1 - t.min(self.steps)) as f64 / (self.cooldown + 1) as f64;
        AdamW {
            lr: self.lr * rise.min(fall).min(1.0),
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            ..AdamW::default()
        }
    }
}

/// Whether each of the pairs modulo `p` is trained on, where `count` are; `number` says which.
fn split(p: usize, count: usize, number: u64) -> Vec<bool> {
    let mut trained = vec![false; p * p];
    let order = Stream::new(number, "modular addition/split").block(0).permutation(p * p);
    order.iter().take(count).for_each(|&i| trained[i] = true);
    trained
}

/// The sum of each pair.
fn sums(p: usize) -> Vec<u32> {
    pairs(p).map(|(a, b)| ((a + b) % p) as u32).collect()
}

/// Logits of all pairs, `[a * p + b][c]`.
fn answers(task: &Task, network: &Network, cx: &Context) -> Result<Vec<Vec<f64>>, Error> {
    let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
    let (pos, d) = (task.pos(), task.d_out);
    Ok((0..task.clean)
        .map(|i| {
            let at = (i * pos + pos - 1) * d;
            logits.data()[at..at + task.columns].iter().map(|&x| f64::from(x)).collect()
        })
        .collect())
}

/// Accuracy and mean cross-entropy of some pairs; `None` if there are none.
fn scores(
    logits: &[Vec<f64>],
    labels: &[u32],
    counts: impl Fn(usize) -> bool,
) -> Option<(f64, f64)> {
    let (mut right, mut loss, mut n) = (0usize, 0.0, 0usize);
    for i in (0..logits.len()).filter(|&i| counts(i)) {
        let row = &logits[i];
        let best = (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
        right += usize::from(best == labels[i] as usize);
        loss += cross_entropy(row, labels[i] as usize);
        n += 1;
    }
    (n > 0).then(|| (right as f64 / n as f64, loss / n as f64))
}

/// Accuracy and loss of trained and of held-out pairs.
fn progress(trained: &[bool], labels: &[u32], logits: &[Vec<f64>]) -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    for (name, wanted) in [("train", true), ("test", false)] {
        if let Some((accuracy, loss)) = scores(logits, labels, |i| trained[i] == wanted) {
            out.insert(format!("{name}_accuracy"), accuracy);
            out.insert(format!("{name}_loss"), loss);
        }
    }
    out
}

/// The organism under one of its names.
#[derive(Debug)]
pub struct ModularAddition {
    name: &'static str,
    summary: &'static str,
    cost: &'static str,
    recipe: fn() -> Recipe,
}

/// A network that is small and generalises within a minute.
pub const MODULAR_ADDITION_MINI: ModularAddition = ModularAddition {
    name: "modular-addition-mini",
    summary: "a small 1-layer transformer that learned a + b mod 59 on circles",
    cost: "20 s",
    recipe: Recipe::default,
};

/// The network of the paper.
pub const MODULAR_ADDITION: ModularAddition = ModularAddition {
    name: "modular-addition",
    summary: "the 1-layer transformer of Nanda et al. 2023, trained on 30 % of a + b mod 113",
    cost: "2 h",
    recipe: || Recipe {
        modulus: 113,
        d_model: 128,
        d_mlp: 512,
        train_share: 0.3,
        batch: 0,
        steps: 25_000,
        lr: 1e-3,
        cooldown: 0,
        ..Recipe::default()
    },
};

/// The null: nothing to learn but by heart.
pub const MODULAR_ADDITION_SHUFFLED: ModularAddition = ModularAddition {
    name: "modular-addition-shuffled",
    summary: "the control of modular-addition-mini: all pairs, with shuffled sums",
    cost: "20 s",
    recipe: || Recipe { train_share: 1.0, shuffle_labels: true, ..Recipe::default() },
};

impl ModularAddition {
    fn recipe(&self, parameters: &Parameters) -> Result<Recipe, Error> {
        let recipe: Recipe = typed(self.name, parameters)?;
        recipe.check(self.name)?;
        Ok(recipe)
    }
}

impl Organism for ModularAddition {
    fn entry(&self) -> Entry {
        let null = (self.recipe)().shuffle_labels;
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: if null { Source::Nothing } else { Source::ReverseEngineered },
            standing: if null { Standing::Exact } else { Standing::Contested },
            cost: self.cost,
        }
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&(self.recipe)())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let recipe = self.recipe(parameters)?;
        let p = recipe.modulus;
        let (trained, labels) = (recipe.trained(), recipe.labels());
        let all: Vec<usize> = (0..p * p).filter(|&i| trained[i]).collect();
        let batch = if recipe.batch == 0 { all.len() } else { recipe.batch };
        let order = Stream::new(seed, "data");
        let draw = |t: usize| {
            let rows: Vec<usize> = if recipe.batch == 0 {
                all.clone()
            } else {
                let mut generator = order.block(t as u64);
                (0..batch).map(|_| all[generator.below(all.len() as u64) as usize]).collect()
            };
            let tokens = rows.iter().flat_map(|&i| [i / p, i % p, p]).map(|x| x as u32).collect();
            let targets = rows.iter().map(|&i| labels[i]).collect();
            Batch { pos: None, index: vec![("tokens", tokens), ("targets", targets)], real: vec![] }
        };
        let task = self.task(parameters, None)?;
        let training = Training {
            organism: self.name,
            seed,
            architecture: &recipe.architecture(),
            batch,
            pos: 3,
            steps: recipe.steps,
            optimizer: &|t| recipe.adamw(t),
            data: &draw,
            loss: &|g, logits| {
                let logits = g.slice(logits, 1, 2, 1)?; // [batch, 1, class]
                let logits = g.slice(logits, 2, 0, p)?;
                let targets = g.index_input("targets", &[batch, 1]);
                let losses = g.cross_entropy(logits, targets)?;
                g.mean(losses)
            },
            probe_every: (recipe.steps / 60).max(1),
            probe: &|network| Ok(progress(&trained, &labels, &answers(&task, network, cx)?)),
        };
        let scale = recipe.init / (recipe.d_model as f32).sqrt();
        let (network, curve) =
            training.run(init(&recipe.architecture(), scale, seed)?, cx, nursery)?;
        let truth = if recipe.shuffle_labels {
            Truth::nothing()
        } else {
            Spectrum::of(p, &answers(&task, &network, cx)?, network.weight("embed.W_E")?).truth()
        };
        Ok(Bred { network, curve, truth })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let recipe = self.recipe(parameters)?;
        all_pairs(self.name, recipe.modulus, true, length)
    }

    /// `accuracy` and `loss` over all pairs; `train_`, `test_` the same over the pairs trained on and
    /// held out, against the labels of the training; what [`Spectrum::measures`] and
    /// [`symmetry::measures`] add.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let recipe = self.recipe(parameters)?;
        let task = self.task(parameters, None)?;
        let logits = answers(&task, network, cx)?;
        let (trained, labels) = (recipe.trained(), recipe.labels());
        let mut out = Parameters::new();
        if let Some((accuracy, loss)) = scores(&logits, &sums(recipe.modulus), |_| true) {
            out.insert("accuracy".into(), json!(accuracy));
            out.insert("loss".into(), json!(loss));
        }
        out.extend(progress(&trained, &labels, &logits).into_iter().map(|(n, x)| (n, json!(x))));
        let spectrum = Spectrum::of(recipe.modulus, &logits, network.weight("embed.W_E")?);
        out.extend(spectrum.measures(&labels, &trained));
        out.extend(symmetry::measures(&task, network, &logits, cx)?);
        Ok(out)
    }

    fn progress_measures(
        &self,
        parameters: &Parameters,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Option<Box<dyn ProgressMeasures>>, Error> {
        let recipe = self.recipe(parameters)?;
        let task = self.task(parameters, None)?;
        let (labels, trained) = (recipe.labels(), recipe.trained());
        let keys = KeyFrequencies::of(recipe.modulus, task, labels, trained, finished, seed, cx)?;
        Ok(Some(Box::new(keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Specimen, with_defaults};
    use flyroom_tensor::Kernels;
    use serde_json::Value as Json;

    fn parameters(set: Json) -> Parameters {
        with_defaults(&MODULAR_ADDITION_MINI, set.as_object().unwrap()).unwrap()
    }

    fn small() -> Json {
        json!({ "modulus": 7, "d_model": 16, "d_mlp": 24, "batch": 20, "steps": 12 })
    }

    #[test]
    fn the_split_follows_its_number_and_not_the_seed() {
        let recipe = |set| typed::<Recipe>("", &parameters(set)).unwrap();
        let (a, b) = (recipe(json!({})), recipe(json!({ "split": 1 })));
        assert_eq!(a.trained().iter().filter(|t| **t).count(), 1741); // half of 59^2, rounded up
        assert_ne!(a.trained(), b.trained());
        let labels = recipe(json!({ "shuffle_labels": true })).labels();
        let mut counts = vec![0; 59];
        labels.iter().for_each(|&l| counts[l as usize] += 1);
        assert!(counts.iter().all(|&n| n == 59));
        let right = labels.iter().zip(a.labels()).filter(|(x, y)| *x == y).count();
        // 59 pairs keep their sum by chance; five standard deviations.
        assert!(right < 59 + 39, "{right}");
    }

    fn id(cx: &Context, nursery: &Nursery, set: Json) -> Result<String, Error> {
        let parameters = parameters(set);
        let bred = MODULAR_ADDITION_MINI.breed(&parameters, 3, cx, nursery)?;
        Ok(Specimen::new(&MODULAR_ADDITION_MINI, &parameters, 3, bred, Parameters::new()).0.id())
    }

    #[test]
    fn a_specimen_is_the_same_on_all_kernels_threads_and_across_a_stop() {
        for batch in [20, 0] {
            let mut set = small();
            set["batch"] = json!(batch);
            let wanted = id(&Context::single(), &Nursery::none(), set.clone()).unwrap();
            for kernels in Kernels::all_available() {
                for threads in [1, 2, 4] {
                    let cx = Context::new(kernels, threads);
                    assert_eq!(id(&cx, &Nursery::none(), set.clone()).unwrap(), wanted);
                }
            }
            let folder = tempfile::tempdir().unwrap();
            let stop = Nursery {
                checkpoints: Some(folder.path().into()),
                every: 1000,
                progress: &|step, _| step != 5,
                watch: None,
            };
            assert!(id(&Context::single(), &stop, set.clone()).is_err());
            let go_on = Nursery { progress: &|_, _| true, ..stop };
            assert_eq!(id(&Context::single(), &go_on, set).unwrap(), wanted);
        }
    }

    #[test]
    fn the_learning_rate_rises_stays_and_falls() {
        let recipe = typed::<Recipe>(
            "",
            &parameters(json!({ "steps": 100, "warmup": 10, "cooldown": 20, "lr": 1.0 })),
        )
        .unwrap();
        let lr = |t: usize| recipe.adamw(t).lr;
        assert_eq!((lr(1), lr(10), lr(80)), (0.1, 1.0, 1.0));
        assert!((lr(90) - 11.0 / 21.0).abs() < 1e-12 && (lr(100) - 1.0 / 21.0).abs() < 1e-12);
    }

    #[test]
    fn recipes_that_make_no_sense_are_errors_that_name_the_parameter() {
        for (set, name) in [
            (json!({ "modulus": 2 }), "modulus"),
            (json!({ "n_heads": 3 }), "n_heads"),
            (json!({ "train_share": 0.0 }), "train_share"),
            (json!({ "train_share": 1.5 }), "train_share"),
            (json!({ "lr": -1.0 }), "lr"),
            (json!({ "beta2": 1.0 }), "beta2"),
        ] {
            let e = MODULAR_ADDITION_MINI.task(&parameters(set), None).unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
    }
}
