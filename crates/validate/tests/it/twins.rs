//! Behaviour twins under the audit: both programs are true, and they are not the same.

use super::audit::tasks;
use super::compiled::bred;
use flyroom_explanation::Body;
use flyroom_network::Edge;
use flyroom_organism::gauge_twin::Move;
use flyroom_organism::{Specimen, Subject, Truth, find, twins};
use flyroom_tensor::{Context, Kernels};
use flyroom_validate::audit::{Options, Outcome, audit};
use flyroom_validate::distance::Effects;
use flyroom_validate::part_effects::Asked;
use serde_json::json;

fn program(truth: &Truth) -> String {
    match &truth.explanation.as_ref().unwrap().body {
        Body::Rasp { program, .. } => serde_json::to_string(program).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// On all inputs of three lengths, so that every edge has one on which it moves the answer.
fn holds(specimen: &Specimen, truth: &Truth) {
    let options = Options {
        edge_runs: 1 << 17,
        single_runs: 1 << 14,
        pair_runs: 1 << 9,
        ..Options::default()
    };
    let cx = Context::new(Kernels::detect(), 2);
    let a = audit(specimen, truth, &tasks(specimen, 1..=3), &options, &cx).unwrap();
    let checks: Vec<_> =
        a.checks().into_iter().map(|(n, c)| (n, c.outcome, c.counterexamples.first())).collect();
    assert_eq!(a.outcome, Outcome::Holds, "{}: {checks:#?}", specimen.label());
    // Each check brings a control that fails.
    let controls: Vec<_> = a.checks().into_iter().filter_map(|(_, c)| c.control.clone()).collect();
    assert!(!controls.is_empty() && controls.iter().all(|c| c.fails), "{controls:?}");
}

#[test]
fn the_audits_of_behaviour_twins_hold_and_name_different_programs() {
    for pair in twins::BEHAVIOUR {
        let [(a, ours), (b, theirs)] = pair.map(|name| bred(name, json!({}), 1));
        assert_ne!(program(&ours), program(&theirs), "{pair:?}");
        holds(&a, &ours);
        holds(&b, &theirs);
    }
}

fn asked<T>(specimen: &Specimen, f: impl Fn(&Asked) -> T) -> T {
    let task =
        find(&specimen.spec.organism).unwrap().task(&specimen.spec.parameters, None).unwrap();
    let subject = Subject::new(specimen, &task, &Context::single()).unwrap();
    f(&Asked::new(&subject).unwrap())
}

/// What the truth says of a specimen: its program, its edges, and its outputs alone.
fn explained(specimen: &Specimen, truth: &Truth) -> [Effects; 3] {
    let edges: Vec<Edge> = truth.circuit.iter().flatten().map(|k| k.edge).collect();
    asked(specimen, |a| {
        [
            a.effects(a.variables(truth.explanation.as_ref().unwrap()).unwrap()),
            a.effects(a.edges(&edges).unwrap()),
            a.effects(a.outputs()),
        ]
    })
}

/// Measured over all seven pairs, seeds 0 and 1 and all six moves: programs .066 to .43 apart, edges
/// .033 to .48; outputs of twins, and all three of the same mechanism, below 6e-6.
#[test]
fn seeds_and_gauge_twins_are_at_no_distance_and_behaviour_twins_are_apart_in_all_but_outputs() {
    for (i, pair) in twins::BEHAVIOUR.into_iter().enumerate() {
        let of = |name: &str, seed: u64| {
            let (s, t) = bred(name, json!({}), seed);
            explained(&s, &t)
        };
        let apart =
            |a: &[Effects; 3], b: &[Effects; 3]| [0, 1, 2].map(|k| a[k].distance(&b[k]).unwrap());
        let both = pair.map(|name| of(name, 0));
        let [programs, edges, outputs] = apart(&both[0], &both[1]);
        assert!(programs > 0.05 && edges > 0.03, "{pair:?}: {programs} {edges}");
        assert!(outputs < 1e-4, "{pair:?}: {outputs}");
        for (k, name) in pair.into_iter().enumerate() {
            // The six moves take turns over the pairs.
            let how = Move::ALL[(2 * i + k) % 6].1;
            let (s, t) = bred("gauge-twin", json!({ "of": name, "move": how }), 2);
            for (what, same) in [("seed 1", of(name, 1)), (how, explained(&s, &t))] {
                let d = apart(&both[k], &same);
                assert!(d.iter().all(|d| *d < 1e-4), "{name}, {what}: {d:?}");
            }
        }
    }
}
