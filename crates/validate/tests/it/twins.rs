//! Behaviour twins under the audit: both programs are true, and they are not the same.

use super::audit::tasks;
use super::compiled::bred;
use flyroom_explanation::Body;
use flyroom_organism::{Specimen, Truth, twins};
use flyroom_tensor::{Context, Kernels};
use flyroom_validate::audit::{Options, Outcome, audit};
use serde_json::json;

fn program(truth: &Truth) -> String {
    match &truth.explanation.as_ref().unwrap().body {
        Body::Rasp { program, .. } => serde_json::to_string(program).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// On all inputs of two lengths, so that every edge has one on which it moves the answer.
fn holds(specimen: &Specimen, truth: &Truth) {
    let options = Options {
        edge_runs: 1 << 17,
        single_runs: 1 << 14,
        pair_runs: 1 << 9,
        ..Options::default()
    };
    let cx = Context::new(Kernels::detect(), 2);
    let a = audit(specimen, truth, &tasks(specimen, 2..=3), &options, &cx).unwrap();
    let checks = a.checks().map(|(name, c)| (name, c.outcome, c.counterexamples.first()));
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
