//! The gated recurrent unit: against PyTorch's, its gradients, and interventions on its states.

use crate::common::{close, gradients_are_finite_differences};
use flyroom_network::*;
use flyroom_tensor::{Bindings64, Context, Graph, Tensor};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What `benchmarks/oracles/gru.py` recorded.
#[derive(Deserialize)]
struct Recorded {
    weights: BTreeMap<String, Value>,
    tokens: Vec<Vec<u32>>,
    states: Vec<Vec<Vec<f32>>>,
    logits: Vec<Vec<Vec<f32>>>,
}

fn config() -> GruConfig {
    GruConfig { d_vocab: 5, d_vocab_out: 4, d_embed: 3, d_hidden: 6, n_ctx: 5 }
}

fn recorded() -> (Recorded, Network, Inputs) {
    let recorded: Recorded = serde_json::from_str(include_str!("gru.json")).unwrap();
    let architecture = Architecture::Gru(config());
    let shapes: BTreeMap<_, _> = Network::parameters(&architecture).unwrap().into_iter().collect();
    let tensor = |name: &String, v: &Value| {
        let data = match serde_json::from_value::<Vec<Vec<f32>>>(v.clone()) {
            Ok(rows) => rows.concat(),
            Err(_) => serde_json::from_value(v.clone()).unwrap(),
        };
        (name.clone(), Tensor::new(&shapes[name], data).unwrap())
    };
    let weights = recorded.weights.iter().map(|(n, v)| tensor(n, v)).collect();
    let network = Network::new(architecture, weights).unwrap();
    let inputs = Inputs::tokens(&recorded.tokens).unwrap();
    (recorded, network, inputs)
}

#[test]
fn a_gru_computes_what_pytorch_computes() {
    let (recorded, network, inputs) = recorded();
    assert!(network.extra.is_empty());
    let cx = Context::single();
    let runner = Runner::new(&network, &inputs, &cx).unwrap();
    close(runner.logits().unwrap().data(), &recorded.logits.concat().concat(), 1e-6, "logits");
    for t in 0..5 {
        let wanted: Vec<f32> = recorded.states.iter().flat_map(|s| s[t].clone()).collect();
        let site = format!("cells.{t}.hook_state");
        close(runner.clean(&site).unwrap().data(), &wanted, 1e-6, &site);
    }
}

#[test]
fn gradients_of_a_gru_are_those_of_finite_differences() {
    let (_, network, inputs) = recorded();
    let Inputs::Tokens { ids, .. } = &inputs else { panic!() };
    let mut g = Graph::new();
    let logits = record(&mut g, network.architecture(), 3, 5, Form::Plain).unwrap();
    let bindings = Bindings64::default().with_index("tokens", ids);
    gradients_are_finite_differences(g, logits, &network, &[], bindings);
}

#[test]
fn a_state_that_is_exchanged_is_all_that_later_positions_know() {
    let (_, network, inputs) = recorded();
    let cx = Context::single();
    // Both inputs end alike; what differs lies in front.
    let Inputs::Tokens { ids, .. } = &inputs else { panic!() };
    let mut rows: Vec<Vec<u32>> = ids.chunks(5).map(<[u32]>::to_vec).collect();
    let tail = rows[1][3..].to_vec();
    rows[0][3..].copy_from_slice(&tail);
    let inputs = Inputs::tokens(&rows).unwrap();
    let runner = Runner::new(&network, &inputs, &cx).unwrap();
    let exchange = Operation::Interchange { input: 1 };
    let i = Intervention::site(Selector::site("cells.2.hook_state"), exchange);
    let out = runner.run(&[Row { input: 0, interventions: vec![i] }]).unwrap();
    let clean = runner.logits().unwrap();
    assert_eq!(out[0][..8], clean.row(0)[..8]);
    assert_eq!(out[0][8..], clean.row(1)[8..]);
    assert_ne!(out[0][12..], clean.row(0)[12..]);
}

#[test]
fn what_a_gru_has_not_is_an_error() {
    let (_, network, inputs) = recorded();
    let cx = Context::single();
    let runner = Runner::new(&network, &inputs, &cx).unwrap();
    assert!(runner.edges().is_none());
    let why = |i: Intervention| {
        runner.run(&[Row { input: 0, interventions: vec![i] }]).unwrap_err().to_string()
    };
    let zero = |s: &str| Intervention::site(s.parse().unwrap(), Operation::Zero);
    assert!(why(zero("cells.5.hook_state")).contains("no such site"));
    assert!(why(zero("cells.2.hook_state[pos=1]")).contains("pos"));
    let edge = Intervention::edges(vec!["embed->logits".parse().unwrap()], Operation::Zero);
    assert!(why(edge).contains("only a transformer has edges"));
    let long = Inputs::tokens(&[vec![0; 6]]).unwrap();
    let refused =
        |inputs: &Inputs| Runner::new(&network, inputs, &cx).map(drop).unwrap_err().to_string();
    assert!(refused(&long).contains("6 tokens in a context of 5"));
    assert!(refused(&Inputs::tokens(&[vec![5]]).unwrap()).contains("token 5"));
    assert!(refused(&Inputs::vectors(3, vec![0.0; 3]).unwrap()).contains("takes tokens"));
    for (c, said) in [
        (GruConfig { d_hidden: 0, ..config() }, "d_hidden"),
        (GruConfig { n_ctx: 1 << 20, ..config() }, "n_ctx"),
    ] {
        assert!(Architecture::Gru(c).validate().unwrap_err().to_string().contains(said));
    }
}
