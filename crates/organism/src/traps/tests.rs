//! The traps are what they say; which methods they break is tested where methods are known.

use super::*;

const ALL: [(&Trap, &Trap); 7] = [
    (&DECOY, &DECOY_ALIGNED),
    (&SATURATED_GATE, &SATURATED_GATE_ALIGNED),
    (&CANCELLING_PATHS, &CANCELLING_PATHS_ALIGNED),
    (&SPARE_HEADS, &SPARE_HEADS_ALIGNED),
    (&NORM_SMUGGLING, &NORM_SMUGGLING_ALIGNED),
    (&FOOLING_BRANCH, &FOOLING_BRANCH_ALIGNED),
    (&LOOKUP_TABLE, &LOOKUP_TABLE_ALIGNED),
];

fn bred(t: &Trap, seed: u64) -> Bred {
    t.breed(&t.defaults(), seed, &Context::single(), &Nursery::none()).unwrap()
}

fn unarmed() -> Parameters {
    serde_json::json!({ "armed": false }).as_object().unwrap().clone()
}

#[test]
fn every_trap_is_its_program_in_every_gauge() {
    for (turned, aligned) in ALL {
        // 3 + 9 + 27 + 81 sequences of three letters, 2 + 4 + 8 + 16 of two, 5 + 25 + 125 of five,
        // 4 + 16 + 64 + 256 of four.
        let inputs = match turned.name {
            "trap-spare-heads" => 30,
            "trap-norm-smuggling" => 340,
            "trap-lookup-table" => 155,
            _ => 120,
        };
        for (t, seed, most) in [(turned, 0, 1e-5), (turned, 1, 1e-5), (aligned, 0, 1e-6)] {
            let m = t.measure(&t.defaults(), &bred(t, seed).network, &Context::single()).unwrap();
            assert_eq!((&m["inputs"], &m["accuracy"]), (&inputs.into(), &1.0.into()), "{}", t.name);
            assert!(m["max_error"].as_f64().unwrap() < most, "{}: {m:?}", t.name);
            let cx = Context::single();
            let control = t.breed(&unarmed(), seed, &cx, &Nursery::none()).unwrap();
            let m = t.measure(&unarmed(), &control.network, &cx).unwrap();
            assert_eq!((&m["inputs"], &m["accuracy"]), (&inputs.into(), &1.0.into()), "{}", t.name);
            assert!(m["max_error"].as_f64().unwrap() < most, "{}: {m:?}", t.name);
        }
    }
}

#[test]
fn the_circuit_is_what_the_answer_flows_through() {
    let attention = |h: usize| {
        let to = |from: &str, slot: &str| format!("{from}->a0.h{h}<{slot}>");
        vec![to("pos_embed", "q"), to("pos_embed", "k"), to("embed", "v")]
    };
    let mut fooling: Vec<String> = bred(&FOOLING_BRANCH_ALIGNED, 0)
        .truth
        .circuit
        .unwrap()
        .iter()
        .map(|k| k.edge.to_string())
        .collect();
    fooling.sort();
    // The first layer is no part of it.
    assert_eq!(
        fooling,
        ["a1.h0->logits", "embed->a1.h0<v>", "pos_embed->a1.h0<k>", "pos_embed->a1.h0<q>"]
    );
    for (trap, heads, rest) in [
        // The decoy's head is no part of it.
        (&DECOY_ALIGNED, &[1][..], &["a0.h1->logits"][..]),
        (&SATURATED_GATE_ALIGNED, &[0], &["a0.h0->m0", "m0->logits"]),
        (&NORM_SMUGGLING_ALIGNED, &[0], &["a0.h0->m0", "m0->logits"]),
        (&CANCELLING_PATHS_ALIGNED, &[0], &["a0.h0->m0", "a0.h0->logits", "m0->logits"]),
        (&SPARE_HEADS_ALIGNED, &[0, 1, 2], &["a0.h0->m0", "a0.h1->m0", "a0.h2->m0", "m0->logits"]),
    ] {
        let mut wanted: Vec<String> = heads.iter().flat_map(|&h| attention(h)).collect();
        wanted.extend(rest.iter().map(|e| e.to_string()));
        let mut found: Vec<String> =
            bred(trap, 0).truth.circuit.unwrap().iter().map(|k| k.edge.to_string()).collect();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{}", trap.name);
    }
}

/// Neurons for combinations that only BOS has read of the embedding that a place is BOS, so that they keep silent
/// there; what they would write at BOS is brought nowhere.
#[test]
fn an_edge_that_only_silences_bos_is_not_claimed() {
    let b = bred(&LOOKUP_TABLE_ALIGNED, 0);
    // Tokens 1 to 5, then BOS.
    let of_bos = b.network.weight("blocks.0.mlp.W_in").unwrap().row(5);
    assert!(of_bos.iter().any(|x| *x != 0.0));
    let edges: Vec<String> = b.truth.circuit.unwrap().iter().map(|k| k.edge.to_string()).collect();
    assert!(!edges.contains(&"embed->m0".to_string()), "{edges:?}");
}

#[test]
fn an_unknown_parameter_is_refused() {
    let set = serde_json::json!({ "letters": 3 }).as_object().unwrap().clone();
    let e = DECOY.task(&set, None).unwrap_err().to_string();
    assert!(e.contains("trap-decoy") && e.contains("`letters`"), "{e}");
}
