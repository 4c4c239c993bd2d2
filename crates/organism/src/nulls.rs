//! Nulls: networks in which there is nothing to find, made from organisms in which there is.
//!
//! A score that a null reaches says nothing about the method that reached it. [`UNTRAINED`] is a
//! trained organism before its first step: same architecture, same initial weights.
//! [`SHUFFLED_LABELS`] is trained as long on the same inputs, with answers that do not belong to
//! them. [`NORM_MATCHED`] is any organism whose weights were drawn anew, each tensor with the norm that
//! it had: what a method sees of sizes alone. [`CONSTANT`] is one whose matrices are zero: it answers
//! the same to every input. [`MEMORISER`] behaves like the organism on the inputs that it holds, by a
//! table with one neuron for each, and has learned nothing from them. All know which organism they shadow by their parameter `of`, share its
//! streams (so seed 3 of a null starts where seed 3 of the organism starts), are judged by its task
//! and measured by its numbers; the truth about them is that there is none.

use crate::lookup;
use crate::organism::typed;
use crate::task::accuracy_and_loss;
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, Truth, find, with_defaults,
};
use flyroom_network::Network;
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A null: another organism, bred otherwise or with other weights.
#[derive(Debug)]
pub struct Null {
    name: &'static str,
    summary: &'static str,
    cost: &'static str,
    how: How,
}

/// What makes another organism a null.
#[derive(Debug)]
enum How {
    /// One of its parameters has this value.
    Fixed(&'static str, fn() -> Json),
    /// Its weights are replaced, one by one, with random numbers from a stream of their own.
    Replaced(fn(&Tensor, &mut Generator) -> Tensor),
    /// A lookup table of its task stands in its place; nothing is trained.
    Table,
}

/// A trained organism before its first step.
pub const UNTRAINED: Null = Null {
    name: "untrained",
    summary: "another organism's network before its first step",
    cost: "0 s",
    how: How::Fixed("steps", || Json::from(0)),
};

/// A trained organism whose answers were shuffled.
pub const SHUFFLED_LABELS: Null = Null {
    name: "shuffled-labels",
    summary: "another organism's network trained on answers that do not belong to its inputs",
    cost: "that of the other organism",
    how: How::Fixed("shuffle_labels", || Json::from(true)),
};

/// Random weights, each tensor with the norm that it has in the other organism.
pub const NORM_MATCHED: Null = Null {
    name: "norm-matched",
    summary: "another organism's network with random weights of the same norms",
    cost: "that of the other organism",
    how: How::Replaced(same_norm),
};

/// The same answer to every input: all matrices are zero, biases stay.
pub const CONSTANT: Null = Null {
    name: "constant",
    summary: "another organism's network with zero matrices: one answer to every input",
    cost: "that of the other organism",
    how: How::Replaced(|t, _| match t.shape() {
        [_] => t.clone(),
        shape => Tensor::zeros(shape),
    }),
};

/// The same answers from a lookup table: no mechanism but memory.
pub const MEMORISER: Null = Null {
    name: "memoriser",
    summary: "a lookup table of another organism's task: its answers on the inputs held, and no algorithm",
    cost: "0 s",
    how: How::Table,
};

fn same_norm(t: &Tensor, random: &mut Generator) -> Tensor {
    let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let mut drawn = Tensor::zeros(t.shape());
    random.fill_normal(drawn.data_mut(), 1.0);
    let scale = norm(t.data()) / norm(drawn.data()).max(f64::MIN_POSITIVE);
    drawn.data_mut().iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    drawn
}

fn replaced(
    network: &Network,
    stream: &Stream,
    anew: fn(&Tensor, &mut Generator) -> Tensor,
) -> Result<Network, Error> {
    let weights = network
        .weights()
        .iter()
        .enumerate()
        .map(|(i, (name, t))| (name.clone(), anew(t, &mut stream.block(i as u64))));
    Ok(Network::new(network.architecture().clone(), weights.collect())?)
}

/// A network with weights drawn anew, each tensor with the norm that it had: what [`NORM_MATCHED`] makes
/// of an organism, for methods that draw their null from it.
pub fn norm_matched(network: &Network, stream: &Stream) -> Result<Network, Error> {
    replaced(network, stream, same_norm)
}

/// Parameters of a null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shadow {
    /// Name of the other organism.
    of: String,
    /// Parameters of it that differ from its defaults.
    set: Parameters,
    /// Of a table: the share of the inputs that it holds, drawn by the seed.
    #[serde(default = "all_of_them")]
    share: f64,
}

fn all_of_them() -> f64 {
    1.0
}

impl Null {
    /// The other organism and its parameters with the null's own fixed.
    fn shadowed(
        &self,
        parameters: &Parameters,
    ) -> Result<(&'static dyn Organism, Parameters), Error> {
        let shadow: Shadow = typed(self.name, parameters)?;
        if !(0.0..=1.0).contains(&shadow.share) {
            let why = format!("share = {} is no share", shadow.share);
            return Err(Error::Parameters { organism: self.name.into(), why });
        }
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        let other = find(&shadow.of)?;
        if matches!(other.entry().source, Source::Nothing) {
            return Err(bad(format!("of = '{}' is a null itself", shadow.of)));
        }
        let How::Fixed(parameter, value) = self.how else {
            return Ok((other, with_defaults(other, &shadow.set)?));
        };
        if !other.defaults().contains_key(parameter) {
            return Err(bad(format!(
                "of = '{}' is not possible: it has no parameter '{parameter}'; hint: an organism that is trained has",
                shadow.of
            )));
        }
        if shadow.set.contains_key(parameter) {
            return Err(bad(format!("set.{parameter} is what this null fixes")));
        }
        let mut set = shadow.set;
        set.insert(parameter.into(), value());
        Ok((other, with_defaults(other, &set)?))
    }
}

impl Organism for Null {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Nothing,
            standing: Standing::Exact,
            cost: self.cost,
        }
    }

    fn defaults(&self) -> Parameters {
        let table = matches!(self.how, How::Table);
        let of = if table { "modular-addition-mini" } else { "superposition-5-2" };
        let mut out = Parameters::from_iter([
            ("of".to_string(), Json::from(of)),
            ("set".to_string(), Json::Object(Parameters::new())),
        ]);
        if table {
            out.insert("share".into(), Json::from(1.0));
        }
        out
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let (other, theirs) = self.shadowed(parameters)?;
        if let How::Table = self.how {
            let share = typed::<Shadow>(self.name, parameters)?.share;
            let task = other.task(&theirs, None)?;
            let inputs = lookup::distinct(&task);
            let count = (share * inputs.len() as f64).ceil() as usize;
            let held = Stream::new(seed, self.name).block(0).choose(inputs.len(), count);
            let kept: Vec<usize> = held.into_iter().map(|i| inputs[i]).collect();
            let bad = |e: Error| Error::Parameters {
                organism: self.name.into(),
                why: format!("of = '{}': {e}", other.entry().name),
            };
            let network = lookup::network(&task, &kept).map_err(bad)?;
            return Ok(Bred { network, curve: vec![], truth: Truth::nothing() });
        }
        let bred = other.breed(&theirs, seed, cx, nursery)?;
        let network = match self.how {
            How::Fixed(..) | How::Table => bred.network,
            How::Replaced(anew) => replaced(&bred.network, &Stream::new(seed, self.name), anew)?,
        };
        Ok(Bred { network, truth: Truth::nothing(), ..bred })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let (other, theirs) = self.shadowed(parameters)?;
        other.task(&theirs, length)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let (other, theirs) = self.shadowed(parameters)?;
        if let How::Table = self.how {
            // What else describes the other organism is about its form, which a table does not have.
            return accuracy_and_loss(&other.task(&theirs, None)?, network, cx);
        }
        other.measure(&theirs, network, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::superposition::SUPERPOSITION_5_2;
    use flyroom_network::Runner;
    use serde_json::json;

    fn of(null: &Null, set: Json) -> Parameters {
        with_defaults(null, set.as_object().unwrap()).unwrap()
    }

    #[test]
    fn an_untrained_network_is_the_first_one_of_the_same_seed() {
        let cx = Context::single();
        let parameters = of(&UNTRAINED, json!({ "of": "superposition-5-2" }));
        let null = UNTRAINED.breed(&parameters, 4, &cx, &Nursery::none()).unwrap();
        assert!(null.curve.is_empty());
        assert_eq!(null.truth, Truth::nothing());
        let set = json!({ "steps": 0 }).as_object().unwrap().clone();
        let theirs = with_defaults(&SUPERPOSITION_5_2, &set).unwrap();
        let first = SUPERPOSITION_5_2.breed(&theirs, 4, &cx, &Nursery::none()).unwrap();
        assert_eq!(null.network.hash(), first.network.hash());
        let numbers = UNTRAINED.measure(&parameters, &null.network, &cx).unwrap();
        // Ten seeds lie between .81 and 4.3; a trained network at .19.
        assert!(numbers["loss_ratio"].as_f64().unwrap() > 0.5);
    }

    #[test]
    fn parameters_of_the_other_organism_pass_through() {
        let parameters = of(&SHUFFLED_LABELS, json!({ "set": { "steps": 7, "batch": 16 } }));
        let cx = Context::single();
        let null = SHUFFLED_LABELS.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
        assert_eq!(null.curve.last().map(|p| p.step), Some(7));
        assert_eq!(null.truth, Truth::nothing());
    }

    #[test]
    fn what_cannot_be_a_null_is_an_error_that_says_why() {
        for (null, set, why) in [
            (&UNTRAINED, json!({ "of": "modular-addition-analytic" }), "no parameter 'steps'"),
            (&UNTRAINED, json!({ "of": "untrained" }), "is a null itself"),
            (&CONSTANT, json!({ "of": "norm-matched" }), "is a null itself"),
            (&UNTRAINED, json!({ "set": { "steps": 3 } }), "set.steps"),
            (&SHUFFLED_LABELS, json!({ "of": "superposition-5-3" }), "did you mean"),
            (&MEMORISER, json!({ "share": 1.5 }), "is no share"),
        ] {
            let error = null.task(&of(null, set), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn norm_matched_weights_have_the_norms_and_nothing_else() {
        let cx = Context::single();
        let parameters = of(&NORM_MATCHED, json!({ "of": "induction-compiled@aligned" }));
        let null = NORM_MATCHED.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
        let theirs = find("induction-compiled@aligned").unwrap();
        let bred = theirs.breed(&theirs.defaults(), 0, &cx, &Nursery::none()).unwrap();
        let norm = |t: &Tensor| t.data().iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        for (name, t) in bred.network.weights() {
            let (a, b) = (norm(t), norm(&null.network.weights()[name]));
            assert!((a - b).abs() <= 1e-4 * a.max(1.0), "{name}: {a} {b}");
        }
        let accuracy = |n: &Network| {
            NORM_MATCHED.measure(&parameters, n, &cx).unwrap()["accuracy"].as_f64().unwrap()
        };
        // A network that never gives a letter is right at .697 of the positions.
        assert_eq!(accuracy(&bred.network), 1.0);
        assert!(accuracy(&null.network) < 0.697, "{}", accuracy(&null.network));
    }

    #[test]
    fn a_memoriser_answers_what_it_holds_and_nothing_else() {
        let cx = Context::single();
        for (other, set, held) in [
            ("modular-addition-mini", json!({ "modulus": 13 }), 169),
            ("modular-addition-analytic", json!({ "modulus": 11 }), 121),
            // Sequences of four letters of three, answered at four positions.
            ("trap-decoy", json!({}), 81),
        ] {
            for share in [1.0, 0.5] {
                let parameters = of(&MEMORISER, json!({ "of": other, "set": set, "share": share }));
                let null = MEMORISER.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
                assert_eq!(null.truth, Truth::nothing());
                let task = MEMORISER.task(&parameters, None).unwrap();
                let logits = Runner::new(&null.network, &task.inputs, &cx).unwrap();
                let logits = logits.logits().unwrap();
                // Every row that counts is the one-hot of its answer, or 0.
                let silent = (0..task.clean)
                    .filter(|&i| logits.row(i).iter().all(|x| x.abs() < 1e-6))
                    .count();
                assert_eq!(task.clean, held, "{other}");
                let kept = (share * task.clean as f64).ceil() as usize;
                assert_eq!(silent, task.clean - kept, "{other} {share}");
                let m = MEMORISER.measure(&parameters, &null.network, &cx).unwrap();
                let accuracy = m["accuracy"].as_f64().unwrap();
                assert!(accuracy >= share && (share < 1.0 || accuracy == 1.0), "{other}: {m:?}");
                assert!(share == 1.0 || accuracy < 0.75, "{other}: {m:?}");
            }
        }
    }

    #[test]
    fn a_constant_network_answers_the_same_to_every_input() {
        let cx = Context::single();
        for other in ["induction-compiled", "superposition-5-2", "modular-addition-analytic"] {
            let set = if other == "superposition-5-2" { json!({ "steps": 20 }) } else { json!({}) };
            let parameters = of(&CONSTANT, json!({ "of": other, "set": set }));
            let null = CONSTANT.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
            let task = CONSTANT.task(&parameters, None).unwrap();
            let runner = Runner::new(&null.network, &task.inputs, &cx).unwrap();
            let outputs = runner.logits().unwrap();
            let first = &outputs.data()[..task.d_out];
            assert!(outputs.data().chunks_exact(task.d_out).all(|row| row == first), "{other}");
        }
    }
}
