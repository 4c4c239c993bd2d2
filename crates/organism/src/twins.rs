//! Twins: which organisms compute the same, and which of these in the same way.
//!
//! *Behaviour twins* answer alike on every input of every length and run different programs: a
//! method that explains mechanisms tells them apart, one that looks at outputs cannot. Seeds of an
//! organism (each in a gauge of its own) and its [gauge twins](crate::gauge_twin) run the same
//! program: a method that tells those apart speaks of the writing. [`Mechanism`] says of any two
//! organisms which of the three they are.
//!
//! ```
//! use flyroom_organism::{Parameters, twins::Mechanism};
//! let none = Parameters::new();
//! let max = Mechanism::of("rasp-max", &none);
//! assert_eq!(max, Mechanism::of("rasp-max@aligned", &none));
//! assert!(max.is_behaviour_twin(&Mechanism::of("rasp-max-one-hot", &none)));
//! assert!(!max.is_behaviour_twin(&Mechanism::of("rasp-sort", &none)));
//! ```

use crate::Parameters;
use serde_json::Value as Json;

/// Pairs of organisms that compute the same function by different programs.
pub const BEHAVIOUR: [[&str; 2]; 7] = [
    ["rasp-max", "rasp-max-one-hot"],
    ["rasp-reverse", "rasp-reverse-behind"],
    ["rasp-histogram", "rasp-histogram-by-token"],
    ["rasp-sort", "rasp-sort-counting"],
    ["rasp-most-frequent", "rasp-most-frequent-tally"],
    ["rasp-pair-balance", "rasp-pair-balance-signed"],
    ["rasp-fraction-previous", "rasp-fraction-previous-counted"],
];

/// How an organism computes, whatever its gauge: a program and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Mechanism {
    /// The organism, without `@aligned`; of a gauge twin, the one that it is a twin of.
    pub name: String,
    /// All its parameters.
    pub parameters: Parameters,
}

impl Mechanism {
    /// The mechanism of an organism with all its parameters filled in.
    pub fn of(organism: &str, parameters: &Parameters) -> Self {
        let (mut name, mut own) = (organism, parameters.clone());
        if organism == crate::gauge_twin::NAME {
            name = parameters.get("of").and_then(Json::as_str).unwrap_or(organism);
            own = parameters.get("set").and_then(Json::as_object).cloned().unwrap_or_default();
            if let Ok(all) = crate::find(name).and_then(|o| crate::with_defaults(o, &own)) {
                own = all;
            }
        }
        let name = name.split('@').next().unwrap_or(name).to_owned();
        Self { name, parameters: own }
    }

    /// Whether another program answers as this one does on every input.
    pub fn is_behaviour_twin(&self, other: &Self) -> bool {
        let pair = [self.name.as_str(), other.name.as_str()];
        self.parameters == other.parameters
            && BEHAVIOUR.iter().any(|[a, b]| pair == [*a, *b] || pair == [*b, *a])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Specimen, Task, find};
    use flyroom_explanation::rasp::{Interpreter, Overrides, Program};
    use flyroom_explanation::{Body, Value};
    use flyroom_network::Runner;
    use flyroom_tensor::Context;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn bred(name: &str, seed: u64) -> crate::Bred {
        let o = find(name).unwrap();
        o.breed(&o.defaults(), seed, &Context::single(), &Nursery::none()).unwrap()
    }

    fn tasks(name: &str) -> Vec<Task> {
        let o = find(name).unwrap();
        (1..).map_while(|n| o.task(&o.defaults(), Some(n)).ok()).collect()
    }

    fn readings(task: &Task, network: &flyroom_network::Network) -> Vec<Vec<f32>> {
        let cx = Context::single();
        let logits = Runner::new(network, &task.inputs, &cx).unwrap().logits().unwrap();
        (0..task.clean).map(|i| task.reading(i, logits.row(i))).collect()
    }

    fn apart(name: [&str; 2], seed: u64) -> f32 {
        let networks = name.map(|n| bred(n, seed).network);
        let [ours, theirs] = name.map(tasks);
        assert!(ours.len() > 4 && ours.len() == theirs.len());
        let mut worst = 0f32;
        for (a, b) in ours.iter().zip(&theirs) {
            assert_eq!((&a.inputs, &a.partner, &a.reads), (&b.inputs, &b.partner, &b.reads));
            assert_eq!((a.d_out, &a.distance), (b.d_out, &b.distance), "{name:?}");
            let [x, y] = [0, 1].map(|k| readings(if k == 0 { a } else { b }, &networks[k]));
            let all = x.iter().flatten().zip(y.iter().flatten());
            worst = all.fold(worst, |w, (x, y)| w.max((x - y).abs()));
        }
        worst
    }

    #[test]
    fn behaviour_twins_agree_in_every_centred_logit_on_all_inputs_of_all_lengths() {
        for [a, b] in BEHAVIOUR {
            let aligned = apart([&format!("{a}@aligned"), &format!("{b}@aligned")], 0);
            let turned = (0..3).map(|seed| apart([a, b], seed)).fold(0f32, f32::max);
            println!("{a} {b}: aligned {aligned:.1e}, turned {turned:.1e}");
            assert!(aligned <= 1e-6 && turned <= 1e-5, "{a} {b}: {aligned} {turned}");
        }
    }

    #[test]
    fn organisms_that_are_no_twins_are_apart() {
        // The control: the same comparison over two organisms with the same inputs.
        assert!(apart(["rasp-histogram@aligned", "rasp-length@aligned"], 0) > 0.5);
    }

    fn program(name: &str) -> Program {
        match bred(name, 0).truth.explanation.unwrap().body {
            Body::Rasp { program, .. } => program,
            other => panic!("{other:?}"),
        }
    }

    /// What each variable that has a place is on all inputs of the full length.
    fn variables(name: &str) -> BTreeSet<Vec<Value>> {
        let p = program(name);
        let interpreter = Interpreter::new(&p).unwrap();
        let task = tasks(name).pop().unwrap();
        let mut all: Vec<Vec<Value>> = vec![vec![]; p.variables.len()];
        for i in 0..task.clean {
            let words: Vec<Value> = task.inputs.token_row(i)[1..]
                .iter()
                .map(|&t| task.vocabulary[t as usize].clone())
                .collect();
            let trace = interpreter.run(&words, &Overrides::none()).unwrap();
            for (v, values) in p.variables.iter().zip(&mut all) {
                let own = trace.iter().find(|(n, _)| *n == v.name).unwrap().1;
                values.extend(own.iter().cloned());
            }
        }
        all.into_iter().collect()
    }

    #[test]
    fn behaviour_twins_compute_different_variables() {
        for [a, b] in BEHAVIOUR {
            let (x, y) = (variables(a), variables(b));
            let shared = x.intersection(&y).count();
            println!("{a} {}, {b} {}, shared {shared}", x.len(), y.len());
            assert!(x != y && program(a) != program(b), "{a} {b}");
        }
    }

    #[test]
    fn seeds_gauges_and_gauge_twins_are_one_mechanism() {
        let twin = json!({ "of": "rasp-max@aligned", "move": "rotate", "set": { "length": 4 } });
        let twin = Mechanism::of("gauge-twin", twin.as_object().unwrap());
        let own = |length: usize| {
            Mechanism::of("rasp-max", json!({ "length": length }).as_object().unwrap())
        };
        assert_eq!(twin, own(4));
        assert_ne!(twin, own(5));
        let other = Mechanism { name: "rasp-max-one-hot".into(), ..own(4) };
        assert!(twin.is_behaviour_twin(&other) && other.is_behaviour_twin(&twin));
        assert!(!own(5).is_behaviour_twin(&other) && !twin.is_behaviour_twin(&own(4)));
    }

    #[test]
    fn every_twin_is_in_the_registry_and_no_two_specimens_are_one() {
        let mut ids = BTreeSet::new();
        for name in BEHAVIOUR.iter().flatten() {
            let o = find(name).unwrap();
            let (s, _) = Specimen::new(o, &o.defaults(), 0, bred(name, 0), Default::default());
            assert!(ids.insert(s.id()), "{name}");
        }
    }
}
