//! A circuit that was imposed by training holds under exchanges, and nothing else does in its place.

use super::audit::{audited, tasks};
use super::compiled::bred;
use flyroom_network::Edge;
use flyroom_organism::{KnownEdge, Specimen, Standing, Truth};
use flyroom_validate::audit::Outcome;
use serde_json::{Value as Json, json};

fn trained(steps: usize) -> (Specimen, Truth) {
    let set: Json = json!({ "length": 2, "d_model": 16, "d_head": 8, "d_mlp": 32,
        "spare_heads": 1, "batch": 96, "steps": steps, "cooldown": 1000 });
    bred("iit-histogram", set, 0)
}

#[test]
fn an_imposed_circuit_is_audited_and_every_wrong_claim_about_it_is_contested() {
    let (specimen, truth) = trained(2500);
    let all = tasks(&specimen, 1..=2);
    let a = audited(&specimen, &truth, &all);
    assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Audited), "{a:#?}");

    let edge = |from: &str| from.parse::<Edge>().unwrap();
    let places = |t: &mut Truth, swap: [usize; 2]| {
        let parts = &mut t.explanation.as_mut().unwrap().parts;
        let of = swap.map(|i| parts[i].alignments.clone());
        parts[swap[0]].alignments = of[1].clone();
        parts[swap[1]].alignments = of[0].clone();
    };
    // `tokens`, `indices`, and what the head and the MLP write.
    let mut swapped = truth.clone();
    places(&mut swapped, [2, 3]);
    let mut foreign = truth.clone();
    let claim = KnownEdge { edge: edge("embed->logits"), testable: true };
    foreign.circuit.as_mut().unwrap().push(claim);
    let mut missing = truth.clone();
    missing.circuit.as_mut().unwrap().retain(|k| k.edge != edge("a0.h0->m0"));
    for (what, wrong) in
        [("variables swapped", swapped), ("an edge more", foreign), ("an edge less", missing)]
    {
        let a = audited(&specimen, &wrong, &all);
        assert_eq!((a.outcome, a.standing), (Outcome::Fails, Standing::Contested), "{what}");
    }
}

#[test]
fn before_training_the_circuit_is_not_there() {
    let (specimen, truth) = trained(0);
    let a = audited(&specimen, &truth, &tasks(&specimen, 1..=2));
    assert_eq!(a.program.check.outcome, Outcome::Fails);
}
