//! A network trained on what a RASP program answers, with an architecture and a recipe of one's
//! own.
//!
//! The program says which output belongs to each sequence of each length; how the network finds it
//! is its own affair. So its behaviour is known and nothing inside: the truth holds no feature,
//! no wiring and no program. Its task is that of the [compiled](super::OWN) network of the same text,
//! input by input, whose inside is known.
//!
//! A step draws one length, the longer the likelier, and sequences of it. Classes are trained by
//! cross-entropy, numbers and mixtures by squared error, at the positions where the program says something.

use super::compile_text;
use crate::labelled::Labelled;
use crate::lesson::{Form, Schedule, loss};
use crate::organism::{as_parameters, typed};
use crate::task::cross_entropy;
use crate::train::{Batch, Nursery, Training, init};
use crate::{Answers, Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Network, Runner};
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Its name in the registry.
pub const NAME: &str = "rasp-trained";

/// The organism.
#[derive(Debug)]
pub(crate) struct Trained;

/// What is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Recipe {
    /// The text of a program.
    program: String,
    /// Longest sequence, without BOS; 0 is that of the program's text.
    length: usize,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

fn bad(why: String) -> Error {
    Error::Parameters { organism: NAME.into(), why }
}

/// A task by a program, and a network for it.
struct Plan {
    recipe: Recipe,
    labelled: Labelled,
    architecture: Architecture,
}

impl Plan {
    fn new(parameters: &Parameters) -> Result<Self, Error> {
        let recipe: Recipe = typed(NAME, parameters)?;
        if recipe.program.trim().is_empty() {
            let hint = "flyroom breed FILE.toml, or --set program=\"$(cat FILE.rasp)\"";
            return Err(bad(format!("no program; hint: {hint}")));
        }
        recipe.schedule.check().map_err(bad)?;
        let labelled = compile_text(NAME, &recipe.program, recipe.length)?.labelled;
        let (vocab, pos) = (labelled.vocabulary.len(), labelled.length + 1);
        let d_out = labelled.readout.dims();
        let form = recipe.form.transformer(vocab, pos, d_out, recipe.schedule.batch);
        let architecture = Architecture::Transformer(form.map_err(bad)?);
        Ok(Self { recipe, labelled, architecture })
    }

    /// The tasks of all lengths, from 1 on.
    fn tasks(&self) -> Result<Vec<Task>, Error> {
        (1..=self.labelled.length).map(|n| self.labelled.task(n)).collect()
    }
}

/// Which input's answers each input of a task is trained on: its own, or with shuffled labels
/// another's, the same for every seed.
fn answered_as(recipe: &Recipe, tasks: &[Task]) -> Vec<Vec<usize>> {
    let one = |(n, task): (usize, &Task)| {
        let mut rows: Vec<usize> = (0..task.clean).collect();
        if recipe.schedule.shuffle_labels {
            Stream::new(0, "rasp-trained/labels").block(n as u64).shuffle(&mut rows);
        }
        rows
    };
    tasks.iter().enumerate().map(one).collect()
}

/// Batch of step `t`: sequences of one length, the longer the likelier, with their answers and the
/// weight of each position in the loss.
fn batch(recipe: &Recipe, tasks: &[Task], answered: &[Vec<usize>], seed: u64, t: usize) -> Batch {
    let mut random = Stream::new(seed, "data").block(t as u64);
    let n = tasks.len() as u64;
    let mut draw = random.below(n * (n + 1) / 2);
    let mut length = 0;
    while draw > length as u64 {
        draw -= length as u64 + 1;
        length += 1;
    }
    let (task, answered) = (&tasks[length], &answered[length]);
    let pos = task.pos();
    let rows: Vec<usize> =
        (0..recipe.schedule.batch).map(|_| random.below(task.clean as u64) as usize).collect();
    let theirs: Vec<usize> = rows.iter().map(|&i| answered[i]).collect();
    let reads: Vec<bool> =
        theirs.iter().flat_map(|&i| task.reads[i * pos..(i + 1) * pos].iter().copied()).collect();
    let counted = reads.iter().filter(|&&r| r).count().max(1);
    let share = |&r: &bool| if r { 1.0 / counted as f32 } else { 0.0 };
    let tokens = rows.iter().flat_map(|&i| task.inputs.token_row(i).to_vec()).collect();
    let mut out = Batch { pos: Some(pos), index: vec![("tokens", tokens)], real: vec![] };
    match &task.answers {
        Answers::Classes(c) => {
            let targets = theirs.iter().flat_map(|&i| c[i * pos..(i + 1) * pos].iter().copied());
            out.index.push(("targets", targets.collect()));
            out.real.push(("counts".into(), reads.iter().map(share).collect()));
        }
        Answers::Values(v) => {
            let d = task.d_out;
            let each = pos * d;
            let targets = theirs.iter().flat_map(|&i| v[i * each..(i + 1) * each].iter().copied());
            out.real.push(("targets".into(), targets.collect()));
            let counts = reads.iter().flat_map(|r| std::iter::repeat_n(share(r), d));
            out.real.push(("counts".into(), counts.collect()));
        }
    }
    out
}

/// How well a network does a program's tasks, beside what answers that do not look at the
/// sequence would do.
fn scores(tasks: &[Task], network: &Network, cx: &Context) -> Result<Parameters, Error> {
    let (mut right, mut sum, mut n, mut inputs) = (0usize, 0f64, 0usize, 0usize);
    let mut classes: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut worst, mut total, mut squares) = (0f64, vec![], 0f64);
    for task in tasks {
        let runner = Runner::new(network, &task.inputs, cx)?;
        let outputs = runner.logits()?;
        let (pos, d) = (task.pos(), task.d_out);
        inputs += task.clean;
        total.resize(d, 0f64);
        for at in (0..task.clean * pos).filter(|&at| task.reads[at]) {
            let row: Vec<f64> =
                outputs.data()[at * d..(at + 1) * d].iter().map(|&x| f64::from(x)).collect();
            n += 1;
            match &task.answers {
                Answers::Classes(c) => {
                    let best = (0..d).fold(0, |b, k| if row[k] > row[b] { k } else { b });
                    right += usize::from(best as u32 == c[at]);
                    sum += cross_entropy(&row, c[at] as usize);
                    *classes.entry(c[at]).or_default() += 1;
                }
                Answers::Values(v) => {
                    let wanted = &v[at * d..(at + 1) * d];
                    for ((x, &w), t) in row.iter().zip(wanted).zip(&mut total) {
                        let w = f64::from(w);
                        worst = worst.max((x - w).abs());
                        sum += (x - w) * (x - w);
                        squares += w * w;
                        *t += w;
                    }
                }
            }
        }
    }
    let count = n.max(1) as f64;
    let mut out = Parameters::new();
    if classes.is_empty() {
        let mean: f64 = total.iter().map(|t| t * t).sum::<f64>() / (count * count);
        out.insert("squared_error".into(), json!(sum / count));
        out.insert("squared_error_of_mean".into(), json!(squares / count - mean));
        out.insert("max_error".into(), json!(worst));
    } else {
        let most = classes.values().max().copied().unwrap_or(0);
        out.insert("accuracy".into(), json!(right as f64 / count));
        out.insert("accuracy_of_most_frequent".into(), json!(most as f64 / count));
        out.insert("loss".into(), json!(sum / count));
    }
    out.insert("inputs".into(), json!(inputs));
    Ok(out)
}

impl Organism for Trained {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A network of your own form, trained on what a RASP program of yours answers.",
            source: Source::Generated,
            standing: Standing::Contested,
            cost: "20 s",
        }
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&Recipe::default())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let plan = Plan::new(parameters)?;
        let recipe = &plan.recipe;
        let tasks = plan.tasks()?;
        // Some program's outputs are classes at some lengths only: then all are vectors.
        let tasks = alike(tasks);
        let classes = tasks.iter().all(|t| matches!(t.answers, Answers::Classes(_)));
        let answered = answered_as(recipe, &tasks);
        let training = Training {
            organism: NAME,
            seed,
            architecture: &plan.architecture,
            batch: recipe.schedule.batch,
            pos: plan.labelled.length + 1,
            steps: recipe.schedule.steps,
            optimizer: &|t| recipe.schedule.adamw(t),
            data: &|t| batch(recipe, &tasks, &answered, seed, t),
            loss: &|g, logits| loss(g, logits, classes, 0..g.shape(logits)[1]),
            probe_every: (recipe.schedule.steps / 20).max(1),
            probe: &|network| {
                let mut scores = scores(&tasks, network, cx)?;
                scores.remove("loss");
                let measured = |k: &str| !k.contains("_of_") && k != "inputs";
                let numbers = scores.into_iter().filter(|(k, _)| measured(k));
                Ok(numbers.filter_map(|(k, v)| Some((k, v.as_f64()?))).collect())
            },
        };
        let first = init(&plan.architecture, recipe.form.init_scale(), seed)?;
        let (network, curve) = training.run(first, cx, nursery)?;
        let Entry { source, standing, .. } = self.entry();
        Ok(Bred { network, curve, truth: Truth { source, standing, ..Truth::nothing() } })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let labelled = Plan::new(parameters)?.labelled;
        labelled.task(length.unwrap_or(labelled.length))
    }

    /// Over all inputs of all lengths, where the program says something. Of classes: `accuracy`,
    /// that of the most frequent answer alone, `loss` in nats; of numbers: `squared_error`, that of
    /// their mean alone, `max_error`.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        scores(&alike(Plan::new(parameters)?.tasks()?), network, cx)
    }
}

/// Tasks whose answers are classes at all lengths, or vectors at all.
fn alike(mut tasks: Vec<Task>) -> Vec<Task> {
    if tasks.iter().all(|t| matches!(t.answers, Answers::Classes(_))) {
        return tasks;
    }
    for task in &mut tasks {
        if let Answers::Classes(classes) = &task.answers {
            let one_hot =
                |&c: &u32| (0..task.d_out).map(move |k| f32::from(u8::from(k == c as usize)));
            task.answers = Answers::Values(classes.iter().flat_map(one_hot).collect());
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_defaults;

    const HISTOGRAM: &str = include_str!("programs/histogram.rasp");
    const SHARE: &str = include_str!("programs/fraction-previous.rasp");

    fn set(set: serde_json::Value) -> Parameters {
        with_defaults(&Trained, set.as_object().unwrap()).unwrap()
    }

    fn measured(p: &Parameters, seed: u64) -> Parameters {
        let cx = Context::single();
        let bred = Trained.breed(p, seed, &cx, &Nursery::none()).unwrap();
        assert!(bred.truth.circuit.is_none() && bred.truth.explanation.is_none());
        Trained.measure(p, &bred.network, &cx).unwrap()
    }

    #[test]
    fn a_network_learns_what_a_program_answers_and_without_steps_it_does_not() {
        let small = json!({ "program": HISTOGRAM, "length": 3, "n_layers": 1, "steps": 500 });
        let of = |m: &Parameters, k: &str| m[k].as_f64().unwrap();
        let (p, mut null) = (set(small.clone()), small);
        let m = measured(&p, 0);
        assert!(of(&m, "accuracy") > 0.99, "{m:?}");
        null["steps"] = json!(0);
        let m = measured(&set(null), 0);
        assert!(of(&m, "accuracy") < 0.8, "{m:?}");
    }

    #[test]
    fn numbers_are_learned_by_squared_error() {
        let m = measured(&set(json!({ "program": SHARE, "length": 3, "steps": 500 })), 0);
        let (off, null) = (m["squared_error"].as_f64(), m["squared_error_of_mean"].as_f64());
        assert!(off.unwrap() < 0.1 * null.unwrap(), "{m:?}");
    }

    #[test]
    fn its_task_is_that_of_the_compiled_network() {
        let text = json!({ "program": HISTOGRAM });
        let own = with_defaults(&super::super::OWN, text.as_object().unwrap()).unwrap();
        for length in [None, Some(2)] {
            let theirs = super::super::OWN.task(&own, length).unwrap();
            assert_eq!(Trained.task(&set(text.clone()), length).unwrap(), theirs);
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused_with_its_key_and_a_way_out() {
        for (change, why) in [
            (json!({ "program": " " }), "no program; hint: flyroom breed FILE.toml"),
            (json!({ "n_heads": 3 }), "does not divide d_model = 32; hint: d_model = 33"),
            (json!({ "n_heads": 0 }), "n_heads = 0 is no size; hint: from 1 to 256"),
            (json!({ "batch": 1u64 << 40 }), "batch = 1099511627776 is no size"),
            (json!({ "batch": 65536, "d_mlp": 16384 }), "hint: a smaller batch"),
            (json!({ "n_layers": 32, "d_model": 4096, "batch": 1 }), "hint: a smaller d_model"),
            (json!({ "lr": -1.0 }), "lr = -1 is no rate; hint: from 0 to 10"),
            (json!({ "beta2": 1.0 }), "beta2 = 1 is no share"),
            (json!({ "norm": "layer-norm" }), "hint: did you mean 'layer_norm'?"),
            (json!({ "positions": "sinusoidal" }), "hint: there are learned, rotary, none"),
            (json!({ "positions": "rotary", "d_model": 12 }), "hint: d_model = 16"),
            (json!({ "length": 40 }), "hint: a shorter 'length:'"),
        ] {
            let mut all = json!({ "program": HISTOGRAM });
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = Trained.task(&set(all), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
