//! Nulls: networks in which there is nothing to find, made from organisms in which there is.
//!
//! A score that a null reaches says nothing about the method that reached it. [`UNTRAINED`] is a
//! trained organism before its first step: same architecture, same initial weights.
//! [`SHUFFLED_LABELS`] is trained as long on the same inputs, with answers that do not belong to
//! them. Both know which organism they shadow by their parameter `of`, share its streams (so seed
//! 3 of a null starts where seed 3 of the organism starts), are judged by its task and measured by
//! its numbers; the truth about them is that there is none.

use crate::organism::typed;
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, Truth, find, with_defaults,
};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A null: another organism with one of its parameters fixed.
#[derive(Debug)]
pub struct Null {
    name: &'static str,
    summary: &'static str,
    cost: &'static str,
    /// The parameter of the other organism that makes it a null, and its value.
    fixed: (&'static str, fn() -> Json),
}

/// A trained organism before its first step.
pub const UNTRAINED: Null = Null {
    name: "untrained",
    summary: "another organism's network before its first step",
    cost: "0 s",
    fixed: ("steps", || Json::from(0)),
};

/// A trained organism whose answers were shuffled.
pub const SHUFFLED_LABELS: Null = Null {
    name: "shuffled-labels",
    summary: "another organism's network trained on answers that do not belong to its inputs",
    cost: "that of the other organism",
    fixed: ("shuffle_labels", || Json::from(true)),
};

/// Parameters of a null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shadow {
    /// Name of the other organism.
    of: String,
    /// Parameters of it that differ from its defaults.
    set: Parameters,
}

impl Null {
    /// The other organism and its parameters with the null's own fixed.
    fn shadowed(
        &self,
        parameters: &Parameters,
    ) -> Result<(&'static dyn Organism, Parameters), Error> {
        let shadow: Shadow = typed(self.name, parameters)?;
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        let other = find(&shadow.of)?;
        let (parameter, value) = self.fixed;
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
        Parameters::from_iter([
            ("of".to_string(), Json::from("superposition-5-2")),
            ("set".to_string(), Json::Object(Parameters::new())),
        ])
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let (other, theirs) = self.shadowed(parameters)?;
        let bred = other.breed(&theirs, seed, cx, nursery)?;
        Ok(Bred { truth: Truth::nothing(), ..bred })
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
        other.measure(&theirs, network, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::superposition::SUPERPOSITION_5_2;
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
            (&UNTRAINED, json!({ "of": "untrained" }), "no parameter 'steps'"),
            (&UNTRAINED, json!({ "set": { "steps": 3 } }), "set.steps"),
            (&SHUFFLED_LABELS, json!({ "of": "superposition-5-3" }), "did you mean"),
        ] {
            let error = null.task(&of(null, set), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
