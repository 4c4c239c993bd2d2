//! Compiled programs whose residual stream was compressed into fewer dimensions (Lindner et al.
//! 2023, section 5).
//!
//! The weights of the compiled network stay as they are; every write to its residual stream of D
//! dimensions goes through one matrix W `[D, d_model]` and every read through its transpose, and W
//! alone is trained. What comes out is an ordinary transformer of width d_model < D whose algorithm
//! is known and whose variables lie in superposition: they read each other's *interference*.
//!
//! The loss compares with the uncompressed network, on sequences of all lengths: squared error of
//! the outputs, plus squared error of what each attention and each MLP writes, before its
//! projection. Dimensions that no weight reads are dropped from the start; whatever else has to go
//! is the training's choice.
//!
//! | file | holds |
//! |---|---|
//! | `compressed/projection.rs` | W: the weights and the truth that it makes, interference |

mod projection;

use super::{Compiled, Rasp};
use crate::organism::{as_parameters, typed};
use crate::train::{Batch, Nursery, Training};
use crate::{Answers, Bred, Entry, Error, Organism, Parameters, Source, Standing, Task};
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::{Context, Graph, Stream, Tensor, Value};
use projection::{Projected, stream_leaf};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// A compiled organism in fewer dimensions.
#[derive(Debug)]
pub(crate) struct Compressed {
    name: &'static str,
    summary: &'static str,
    of: &'static Rasp,
    /// Width where nobody says another.
    d_model: usize,
}

/// The sequence backwards.
pub(crate) const REVERSE: Compressed = Compressed {
    name: "rasp-reverse-compressed",
    summary: "The sequence backwards, compiled and compressed: variables in superposition.",
    of: &super::REVERSE,
    d_model: 16,
};

/// How often each token occurs.
pub(crate) const HISTOGRAM: Compressed = Compressed {
    name: "rasp-histogram-compressed",
    summary: "How often each token occurs, compiled and compressed: variables in superposition.",
    of: &super::HISTOGRAM,
    d_model: 8,
};

/// Distinct tokens in order.
pub(crate) const SORT_UNIQUE: Compressed = Compressed {
    name: "rasp-sort-unique-compressed",
    summary: "Distinct tokens in order, compiled and compressed: variables in superposition.",
    of: &super::SORT_UNIQUE,
    d_model: 16,
};

/// The share of x so far.
pub(crate) const FRACTION_PREVIOUS: Compressed = Compressed {
    name: "rasp-fraction-previous-compressed",
    summary: "The share of x so far, compiled and compressed: variables in superposition.",
    of: &super::FRACTION_PREVIOUS,
    d_model: 8,
};

/// What is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// Longest sequence, without BOS; 0 is that of the program's text.
    length: usize,
    /// Width of the stream.
    d_model: usize,
    steps: usize,
    batch: usize,
    lr: f64,
}

impl Compressed {
    fn recipe(&self, parameters: &Parameters) -> Result<(Recipe, Compiled), Error> {
        let recipe: Recipe = typed(self.name, parameters)?;
        let bad = |why: String| Err(Error::Parameters { organism: self.name.into(), why });
        if recipe.batch == 0 || recipe.batch > 1 << 16 {
            return bad(format!("batch = {} is not a size; hint: from 1 to 65536", recipe.batch));
        }
        if !(recipe.lr > 0.0 && recipe.lr <= 10.0) {
            return bad(format!("lr = {} is not in (0, 10]", recipe.lr));
        }
        let of = Parameters::from_iter([("length".to_string(), json!(recipe.length))]);
        let mut compiled = self.of.compiled(&of)?;
        compiled.labelled.name = self.name.into();
        Ok((recipe, compiled))
    }
}

/// What the uncompressed network does on all inputs of one length.
struct Model {
    inputs: Inputs,
    /// By leaf: values of all inputs, and how many of each.
    values: BTreeMap<String, (std::sync::Arc<Tensor>, usize)>,
}

/// Sites that are compared, with the leaf of their targets.
fn compared(network: &Network) -> Vec<(String, String)> {
    let Some(c) = network.architecture().transformer() else { return vec![] };
    let mut out = vec![("hook_logits".to_string(), "target.logits".to_string())];
    for l in 0..c.n_layers {
        out.push((format!("blocks.{l}.hook_attn_out"), format!("target.{l}.attn")));
        if c.d_mlp > 0 {
            out.push((format!("blocks.{l}.hook_mlp_out"), format!("target.{l}.mlp")));
        }
    }
    out
}

impl Model {
    fn new(projected: &Projected, length: usize, cx: &Context) -> Result<Self, Error> {
        let compiled = projected.compiled;
        let inputs = compiled.labelled.task(length)?.inputs;
        let runner = Runner::new(&compiled.network, &inputs, cx)?;
        let mut values = BTreeMap::new();
        let streams = projected.streams().map(|s| (s.to_string(), stream_leaf(s)));
        for (site, leaf) in compared(&compiled.network).into_iter().chain(streams) {
            let all = runner.clean(&site)?;
            let each = runner.site(&site)?.size();
            values.insert(leaf, (all, each));
        }
        drop(runner);
        Ok(Self { inputs, values })
    }
}

/// Sum of squared differences from a leaf of its shape, at the positions behind BOS, in the mean over them
/// and inputs.
fn squared(g: &mut Graph, x: Value, leaf: &str) -> Result<Value, flyroom_tensor::Error> {
    let shape = g.shape(x).to_vec();
    let target = g.input(leaf, &shape);
    let off = g.sub(x, target)?;
    let off = g.slice(off, 1, 1, shape[1] - 1)?;
    let square = g.mul(off, off)?;
    let sum = g.sum(square)?;
    g.scale(sum, 1.0 / (shape[0] * (shape[1] - 1)) as f32)
}

/// Outputs, and what every attention and MLP would write without projection, against the targets.
fn loss(
    g: &mut Graph,
    logits: Value,
    projected: &Projected,
) -> Result<Value, flyroom_tensor::Error> {
    let network = &projected.compiled.network;
    let &[batch, pos, _] = g.shape(logits) else { return Ok(logits) };
    let mut sum = squared(g, logits, "target.logits")?;
    let Some(c) = network.architecture().transformer() else { return Ok(sum) };
    let mut add = |g: &mut Graph, site: String, weight: String, formula, leaf: String| {
        let (Ok(from), Some(w)) = (g.at(&site), network.weights().get(&weight)) else {
            return Ok(());
        };
        let w = g.constant(w.clone());
        let out = g.einsum(formula, from, w)?;
        let part = squared(g, out, &leaf)?;
        sum = g.add(sum, part)?;
        Ok::<(), flyroom_tensor::Error>(())
    };
    for l in 0..c.n_layers {
        let at = |s: &str| format!("blocks.{l}.{s}");
        add(g, at("attn.hook_z"), at("attn.W_O"), "bphk,hkD->bpD", format!("target.{l}.attn"))?;
        add(g, at("mlp.hook_post"), at("mlp.W_out"), "bpf,fD->bpD", format!("target.{l}.mlp"))?;
    }
    let share = g.input("behaviour", &[]);
    let sum = g.mul(sum, share)?;
    let readings = projected.readings(g, batch, pos)?;
    g.add(sum, readings)
}

impl Organism for Compressed {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 2,
            summary: self.summary,
            source: Source::Constrained,
            standing: Standing::Contested,
            cost: "30 s",
        }
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&Recipe {
            length: 0,
            d_model: self.d_model,
            steps: 20_000,
            batch: 128,
            lr: 1e-2,
        })
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let (recipe, compiled) = self.recipe(parameters)?;
        let projected = Projected::new(&compiled, recipe.d_model)?;
        let n = compiled.labelled.length;
        let models: Vec<Model> =
            (1..=n).map(|n| Model::new(&projected, n, cx)).collect::<Result<_, _>>()?;
        let data = |t: usize| batch(&models, &recipe, seed, t);
        let training = Training {
            organism: self.name,
            seed,
            architecture: &projected,
            batch: recipe.batch,
            pos: n + 1,
            steps: recipe.steps,
            optimizer: &|t| {
                // To a tenth in the first half, to nothing in the second.
                let left = 2.0 * (1.0 - (t - 1) as f64 / recipe.steps as f64);
                let share = if left > 1.0 { 0.1 + 0.9 * (left - 1.0) } else { 0.1 * left };
                AdamW { lr: recipe.lr * share, weight_decay: 0.0, ..AdamW::default() }
            },
            data: &data,
            loss: &|g, logits| loss(g, logits, &projected),
            probe_every: (recipe.steps / 40).max(1),
            probe: &|network| {
                let i = projected.interference(network)?;
                Ok(BTreeMap::from([("interference".to_string(), i.interference)]))
            },
        };
        let (trained, curve) = training.tensors(projected.random(seed), cx, nursery)?;
        let own = compiled.labelled.truth(&compiled.network, cx)?;
        let truth = projected.truth(&own, &trained[projection::W]);
        let network = crate::train::Trained::network(&projected, trained)?;
        Ok(Bred { network, curve, truth })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let labelled = self.recipe(parameters)?.1.labelled;
        labelled.task(length.unwrap_or(labelled.length))
    }

    /// Over all inputs of all lengths: `accuracy`, of numbers the share whose nearest output that
    /// the program gives is the right one; `max_error`, as of the uncompressed network. Of the rows
    /// of W that are read: `interference`, what random ones of the same size have
    /// (`interference_random`) and what cannot be gone below if all are kept
    /// (`interference_floor`), and how many are `kept` of `dims`.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let (recipe, compiled) = self.recipe(parameters)?;
        let projected = Projected::new(&compiled, recipe.d_model)?;
        let mut out = compiled.labelled.measure(network, cx)?;
        if !out.contains_key("accuracy") {
            out.insert("accuracy".into(), json!(nearest_number(&compiled, network, cx)?));
        }
        let i = projected.interference(network)?;
        out.insert("interference".into(), json!(i.interference));
        out.insert("interference_random".into(), json!(i.random));
        out.insert("interference_floor".into(), json!(i.floor));
        out.insert("kept".into(), json!(i.kept));
        out.insert("dims".into(), json!(projected.dims()));
        Ok(out)
    }
}

/// Batch of step `t`: sequences of one length, the longer the likelier, with what the uncompressed
/// network does on them.
fn batch(models: &[Model], recipe: &Recipe, seed: u64, t: usize) -> Batch {
    let mut random = Stream::new(seed, "data").block(t as u64);
    let n = models.len() as u64;
    let mut draw = random.below(n * (n + 1) / 2);
    let mut length = 0;
    while draw > length as u64 {
        draw -= length as u64 + 1;
        length += 1;
    }
    let model = &models[length];
    let rows: Vec<usize> =
        (0..recipe.batch).map(|_| random.below(model.inputs.len() as u64) as usize).collect();
    let mut real: Vec<(String, Vec<f32>)> = model
        .values
        .iter()
        .map(|(leaf, (all, each))| {
            let row = |&i: &usize| all.data()[i * each..(i + 1) * each].iter().copied();
            (leaf.clone(), rows.iter().flat_map(row).collect())
        })
        .collect();
    real.push(("behaviour".into(), vec![if 2 * t > recipe.steps { 1.0 } else { 0.0 }]));
    Batch {
        pos: Some(model.inputs.pos()),
        index: vec![(
            "tokens",
            rows.iter().flat_map(|&i| model.inputs.token_row(i).to_vec()).collect(),
        )],
        real,
    }
}

/// Share of outputs that are nearest to what the program says, among all that it says.
fn nearest_number(compiled: &Compiled, network: &Network, cx: &Context) -> Result<f64, Error> {
    let (mut right, mut read) = (0usize, 0usize);
    for n in 1..=compiled.labelled.length {
        let task = compiled.labelled.task(n)?;
        let Answers::Values(answers) = &task.answers else { continue };
        let mut values: Vec<f32> = answers.clone();
        values.sort_by(f32::total_cmp);
        values.dedup();
        let runner = Runner::new(network, &task.inputs, cx)?;
        let outputs = runner.logits()?;
        for ((y, wanted), _) in
            outputs.data().iter().zip(answers).zip(&task.reads).filter(|(_, r)| **r)
        {
            let off = |v: f32| (v - y).abs();
            right += usize::from(values.iter().all(|&v| v == *wanted || off(*wanted) < off(v)));
            read += 1;
        }
    }
    Ok(right as f64 / read.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Trained;
    use crate::with_defaults;

    fn set(o: &Compressed, set: serde_json::Value) -> Parameters {
        with_defaults(o, set.as_object().unwrap()).unwrap()
    }

    fn cx() -> Context {
        Context::single()
    }

    #[test]
    fn an_identity_for_projection_is_the_compiled_network_on_what_is_read() {
        let (_, compiled) = HISTOGRAM.recipe(&HISTOGRAM.defaults()).unwrap();
        let d = compiled.network.architecture().transformer().unwrap().d_model;
        let projected = Projected::new(&compiled, d).unwrap();
        let identity = Tensor::from_fn(&[d, d], |i| f32::from(u8::from(i / d == i % d)));
        let trained = [(projection::W.to_string(), identity)].into_iter().collect();
        let network = projected.network(trained).unwrap();
        let m =
            HISTOGRAM.measure(&set(&HISTOGRAM, json!({ "d_model": d })), &network, &cx()).unwrap();
        assert_eq!((&m["accuracy"], &m["kept"], &m["dims"]), (&1.0.into(), &12.into(), &12.into()));
        assert!(m["interference"].as_f64().unwrap() < 1e-12, "{m:?}");
        assert!(m["max_error"].as_f64().unwrap() < 1e-6, "{m:?}");
    }

    #[test]
    fn untrained_rows_interfere_as_random_directions_do() {
        // Mean over 24 seeds of what has the mean (12 - 1) / 8.
        let mut sum = 0.0;
        for seed in 0..24 {
            let p = set(&HISTOGRAM, json!({ "steps": 0, "d_model": 8 }));
            let bred = HISTOGRAM.breed(&p, seed, &cx(), &Nursery::none()).unwrap();
            let m = HISTOGRAM.measure(&p, &bred.network, &cx()).unwrap();
            assert_eq!((&m["interference_random"], &m["kept"]), (&1.375.into(), &12.into()));
            sum += m["interference"].as_f64().unwrap() / 24.0;
        }
        assert!((sum - 1.375).abs() < 0.1, "{sum}");
    }

    #[test]
    fn a_run_that_stops_and_resumes_gives_the_same_bits() {
        let p = set(&HISTOGRAM, json!({ "steps": 12, "length": 3, "batch": 8 }));
        let whole = HISTOGRAM.breed(&p, 1, &cx(), &Nursery::none()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let nursery = |stop: bool| {
            let progress: &'static (dyn Fn(usize, usize) -> bool + Sync) =
                if stop { &|t, _| t < 5 } else { &|_, _| true };
            Nursery { checkpoints: Some(dir.path().into()), every: 100, progress, watch: None }
        };
        assert!(HISTOGRAM.breed(&p, 1, &cx(), &nursery(true)).is_err());
        let resumed = HISTOGRAM.breed(&p, 1, &cx(), &nursery(false)).unwrap();
        assert_eq!(whole.network.hash(), resumed.network.hash());
        assert_eq!((whole.curve, whole.truth), (resumed.curve, resumed.truth));
    }

    #[test]
    fn the_truth_is_that_of_the_compiled_network_in_fewer_dimensions() {
        let p = set(&HISTOGRAM, json!({ "steps": 2, "length": 3, "d_model": 5 }));
        let bred = HISTOGRAM.breed(&p, 0, &cx(), &Nursery::none()).unwrap();
        let (_, compiled) = HISTOGRAM.recipe(&p).unwrap();
        let own = compiled.labelled.truth(&compiled.network, &cx()).unwrap();
        assert_eq!(bred.truth.circuit, own.circuit);
        assert_eq!(
            (bred.truth.source, bred.truth.standing),
            (Source::Constrained, Standing::Contested)
        );
        let (mine, theirs) = (bred.truth.explanation.unwrap(), own.explanation.unwrap());
        assert_eq!(mine.body, theirs.body);
        mine.check().unwrap();
        assert!(bred.truth.features.iter().all(|f| f.direction.len() == 5));
        // Nothing in a histogram reads where a token stands.
        assert!(mine.parts.iter().all(|p| p.name != "indices"));
    }

    #[test]
    fn impossible_widths_are_refused_by_name() {
        for d in [0, 19] {
            let p = set(&HISTOGRAM, json!({ "d_model": d }));
            let e = HISTOGRAM.breed(&p, 0, &cx(), &Nursery::none()).unwrap_err().to_string();
            assert!(e.contains("1..=18"), "{e}");
        }
    }
}
