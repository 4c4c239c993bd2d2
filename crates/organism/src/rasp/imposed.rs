//! Natural-looking networks with an imposed circuit: strict interchange-intervention training (Geiger
//! et al. 2022, "Inducing causal structure for interpretable neural networks"; Gupta et al. 2024,
//! "InterpBench", who added the strict part).
//!
//! The compiler says which head or MLP writes each variable of a program ([`super::compile`]). Here a
//! transformer with as many layers, more heads than the program needs and a residual stream of any
//! width is trained from random weights until its components do the same:
//!
//! - *behaviour*: on every input it answers what the program answers;
//! - *interchange*: where components' outputs are those of other inputs, at some or all positions, it
//!   answers what the program answers when their variables are set to the other inputs' values;
//! - *strict*: where components that no variable belongs to hold the output of another input, nothing
//!   changes.
//!
//! So the roles are known and how they are played is not: weights, directions and codes are what
//! training found. The truth holds the program, each variable at the output of its component, where it can be
//! exchanged and not set ([`Code::Opaque`]), and the edges.
//!
//! | file | holds |
//! |---|---|
//! | this one | the organisms and their recipe |
//! | `imposed/plan.rs` | which component has which variable, and what the program says |
//! | `imposed/training.rs` | the graph that is trained, and its batches |
//! | `imposed/accuracy.rs` | interchange accuracy |
//! | `imposed/truth.rs` | the truth of a trained specimen |

mod accuracy;
mod plan;
mod training;
mod truth;

use super::Rasp;
use crate::lesson::Schedule;
use crate::organism::as_parameters;
use crate::train::{Nursery, Training, init};
use crate::{Bred, Entry, Error, Organism, Parameters, Source, Standing, Task};
use accuracy::Interchanged;
use flyroom_network::{Architecture, Network};
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// An organism with the circuit of a program.
#[derive(Debug)]
pub(crate) struct Imposed {
    name: &'static str,
    summary: &'static str,
    of: &'static Rasp,
    /// Longest sequence, without BOS.
    length: usize,
    /// Steps, and those of them over which the learning rate falls.
    steps: [usize; 2],
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recipe {
    /// Longest sequence, without BOS; 0 is that of the program's text.
    length: usize,
    d_model: usize,
    d_head: usize,
    /// Neurons of a layer.
    d_mlp: usize,
    /// Heads of a layer beyond those that the program needs.
    spare_heads: usize,
    /// Weight of answers behind interchanges of components with variables.
    interchange: f32,
    /// Weight of answers behind interchanges of all others.
    strict: f32,
    #[serde(flatten)]
    schedule: Schedule,
}

macro_rules! imposed {
    ($($constant:ident $name:literal $of:ident $length:literal $steps:expr, $summary:literal)*) => {$(
        #[doc = $summary]
        pub(crate) const $constant: Imposed = Imposed {
            name: $name,
            summary: $summary,
            of: &super::$of,
            length: $length,
            steps: $steps,
        };
    )*};
}

imposed! {
    HISTOGRAM "iit-histogram" HISTOGRAM 4 [6000, 3000],
        "How often each token occurs, the circuit imposed by interchange training."
    FRACTION_PREVIOUS "iit-fraction-previous" FRACTION_PREVIOUS 4 [6000, 3000],
        "The share of x so far, the circuit imposed by interchange training."
    PAIR_BALANCE "iit-pair-balance" PAIR_BALANCE_SIGNED 4 [6000, 3000],
        "Opened minus closed brackets, the circuit imposed by interchange training."
    MAX "iit-max" MAX 4 [6000, 3000], "The largest token, the circuit imposed by interchange training."
    SORT_UNIQUE "iit-sort-unique" SORT_UNIQUE 4 [6000, 3000],
        "Distinct tokens in order, the circuit imposed by interchange training."
    REVERSE "iit-reverse" REVERSE_BEHIND 4 [6000, 3000],
        "The sequence backwards, the circuit imposed by interchange training."
    IOI "ioi-small" IOI 4 [12000, 8000],
        "Which of two names stood once: duplicate-token, S-inhibition and name-mover head, imposed."
}

impl Organism for Imposed {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Constrained,
            standing: Standing::Contested,
            cost: "1 min",
        }
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&Recipe {
            length: self.length,
            d_model: 32,
            d_head: 16,
            d_mlp: 64,
            spare_heads: 2,
            interchange: 1.0,
            strict: 0.4,
            schedule: Schedule {
                steps: self.steps[0],
                batch: 96,
                lr: 3e-3,
                warmup: 100,
                cooldown: self.steps[1],
                ..Schedule::default()
            },
        })
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let plan = self.plan(parameters)?;
        let mut known = plan.known()?;
        known.retain(|k| plan.answers(k));
        let schedule = &plan.recipe.schedule;
        // Batches cannot fail: what a program says of every input has been asked before.
        plan.batch(&known, seed, 1)?;
        let training = Training {
            organism: self.name,
            seed,
            architecture: &plan,
            batch: schedule.batch,
            pos: plan.labelled.length + 1,
            steps: schedule.steps,
            optimizer: &|t| schedule.adamw(t),
            data: &|t| plan.batch(&known, seed, t).unwrap_or_default(),
            loss: &|g, outputs| crate::lesson::loss(g, outputs, false, 0..g.shape(outputs)[1]),
            probe_every: (schedule.steps / 20).max(1),
            probe: &|network| {
                let [alone, strict, outside] = plan.interchanged(network, cx)?;
                Ok(BTreeMap::from([
                    ("accuracy".to_string(), plan.accuracy(network, cx)?.0),
                    ("iia".to_string(), Interchanged::share(alone.moved)),
                    ("iia_strict".to_string(), Interchanged::share(strict.moved)),
                    ("outside".to_string(), Interchanged::share(outside.kept)),
                ]))
            },
        };
        let scale = 1.0 / (plan.recipe.d_model as f32).sqrt();
        let architecture = Architecture::Transformer(plan.config.clone());
        let (network, curve) = training.run(init(&architecture, scale, seed)?, cx, nursery)?;
        let truth = plan.truth(&network, cx)?;
        Ok(Bred { network, curve, truth })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let labelled = self.plan(parameters)?.labelled;
        labelled.task(length.unwrap_or(labelled.length))
    }

    /// `accuracy` over all inputs of all lengths. At the full length, on drawn pairs and at drawn
    /// positions: `iia`, the share of outputs right where an exchanged variable changes them in
    /// the program; `isolation`, where it does not; `iia_strict` with all components outside the
    /// program resampled as well; `outside`, the share of outputs unchanged when these alone are
    /// resampled; `differ`, the share of outputs that an exchange changes: doing nothing is right
    /// on the others.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let plan = self.plan(parameters)?;
        let (accuracy, inputs) = plan.accuracy(network, cx)?;
        let [alone, strict, outside] = plan.interchanged(network, cx)?;
        let differ = alone.moved[0] as f64 / (alone.moved[0] + alone.kept[0]).max(1) as f64;
        Ok(Parameters::from_iter([
            ("accuracy".into(), json!(accuracy)),
            ("inputs".into(), json!(inputs)),
            ("iia".into(), json!(Interchanged::share(alone.moved))),
            ("isolation".into(), json!(Interchanged::share(alone.kept))),
            ("iia_strict".into(), json!(Interchanged::share(strict.moved))),
            ("outside".into(), json!(Interchanged::share(outside.kept))),
            ("differ".into(), json!(differ)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_defaults;
    use serde_json::Value as Json;

    fn set(set: Json) -> Parameters {
        with_defaults(&HISTOGRAM, set.as_object().unwrap()).unwrap()
    }

    fn small(steps: usize) -> Parameters {
        set(json!({ "length": 2, "d_model": 16, "d_head": 8, "d_mlp": 32, "spare_heads": 1,
            "batch": 48, "steps": steps, "cooldown": 300 }))
    }

    #[test]
    fn what_is_imposed_can_be_exchanged_and_before_training_it_cannot() {
        let cx = Context::single();
        let of = |steps: usize| {
            let bred = HISTOGRAM.breed(&small(steps), 0, &cx, &Nursery::none()).unwrap();
            let m = HISTOGRAM.measure(&small(steps), &bred.network, &cx).unwrap();
            (
                bred.truth,
                ["accuracy", "iia", "iia_strict", "outside"].map(|k| m[k].as_f64().unwrap()),
            )
        };
        let (truth, trained) = of(1000);
        assert!(trained.iter().all(|&x| x > 0.9), "{trained:?}");
        let (_, untrained) = of(0);
        assert!(untrained.iter().all(|&x| x < 0.8), "{untrained:?}");
        let e = truth.explanation.unwrap();
        e.check().unwrap();
        assert!(truth.variables.iter().all(|v| v.values.is_empty() && e.part(&v.name).is_some()));
        let edges: Vec<String> =
            truth.circuit.unwrap().iter().map(|k| k.edge.to_string()).collect();
        assert!(edges.contains(&"m0->logits".into()) && !edges.contains(&"embed->logits".into()));
    }

    #[test]
    fn a_third_of_the_rows_is_of_each_kind_and_each_kind_weighs_what_it_weighs() {
        let plan = HISTOGRAM.plan(&small(1)).unwrap();
        let known = plan.known().unwrap();
        let batch = plan.batch(&known, 0, 1).unwrap();
        let pos = batch.pos.unwrap();
        let counts = &batch.real.iter().find(|(n, _)| n == "counts").unwrap().1;
        let d = plan.labelled.readout.dims();
        for (kind, weight) in [(0, 1.0), (1, 1.0), (2, 0.4)] {
            let own = counts.chunks_exact(pos * d).skip(kind).step_by(3);
            let sum: f32 = own.flatten().sum::<f32>() / d as f32;
            assert!((sum - weight).abs() < 1e-5, "{kind}: {sum}");
        }
        // Rows of behaviour exchange nothing, the others something.
        let masks = batch.real.iter().filter(|(n, _)| n.starts_with("exchange."));
        let mut moved = [0f32; 3];
        for (_, mask) in masks {
            let row = mask.len() / 48;
            mask.chunks_exact(row)
                .enumerate()
                .for_each(|(i, m)| moved[i % 3] += m.iter().sum::<f32>());
        }
        assert!(moved[0] == 0.0 && moved[1] > 0.0 && moved[2] > 0.0, "{moved:?}");
    }

    #[test]
    fn a_component_with_two_variables_is_refused() {
        let two = Imposed { of: &super::super::PAIR_BALANCE, ..PAIR_BALANCE };
        let e = two.task(&two.defaults(), None).unwrap_err().to_string();
        assert!(e.contains("cannot be exchanged alone"), "{e}");
    }
}
