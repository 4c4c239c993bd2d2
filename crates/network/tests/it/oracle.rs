//! Activations against `benchmarks/oracles/transformer.py`, which shares no code with the engine.

use crate::common::{bits, close};
use flyroom_network::*;
use flyroom_tensor::{Context, Tensor};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    architecture: Architecture,
    weights: BTreeMap<String, Value>,
    inputs: Value,
    hooks: Vec<BTreeMap<String, Value>>,
}

fn flat(v: &Value, out: &mut Vec<f32>) {
    match v {
        Value::Array(x) => x.iter().for_each(|v| flat(v, out)),
        v => out.push(v.as_f64().unwrap() as f32),
    }
}

fn tensor(v: &Value) -> Tensor {
    let mut shape = vec![];
    let mut first = v;
    while let Value::Array(x) = first {
        shape.push(x.len());
        first = &x[0];
    }
    let mut data = vec![];
    flat(v, &mut data);
    Tensor::new(&shape, data).unwrap()
}

fn cases() -> Vec<(Case, Network, Inputs)> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("oracle.json")).unwrap();
    cases
        .into_iter()
        .map(|c| {
            let weights = c.weights.iter().map(|(n, v)| (n.clone(), tensor(v))).collect();
            let network = Network::new(c.architecture.clone(), weights).unwrap();
            let inputs = if c.architecture.transformer().is_some() {
                Inputs::tokens(&serde_json::from_value::<Vec<_>>(c.inputs.clone()).unwrap())
                    .unwrap()
            } else {
                let t = tensor(&c.inputs);
                Inputs::vectors(t.shape()[1], t.into_data()).unwrap()
            };
            (c, network, inputs)
        })
        .collect()
}

#[test]
fn every_kind_of_network_computes_what_the_oracle_computes_to_1e_5() {
    let cases = cases();
    assert_eq!(cases.len(), 13);
    for (case, network, inputs) in &cases {
        let runner = Runner::new(network, inputs, &Context::single()).unwrap();
        for (i, hooks) in case.hooks.iter().enumerate() {
            for (site, wanted) in hooks {
                let got = runner.clean(site).unwrap();
                let mut values = vec![];
                flat(wanted, &mut values);
                close(got.row(i), &values, 1e-5, &format!("{}: {site} of input {i}", case.name));
            }
        }
    }
}

#[test]
fn parameters_are_named_and_shaped_as_the_oracle_has_them() {
    for (case, ..) in cases() {
        let ours = Network::parameters(&case.architecture).unwrap();
        let theirs: Vec<(String, Vec<usize>)> =
            case.weights.iter().map(|(n, v)| (n.clone(), tensor(v).shape().to_vec())).collect();
        assert_eq!(ours, theirs, "{}", case.name);
    }
}

#[test]
fn a_wrong_weight_fails_the_oracle() {
    // The control: one weight moved by 1/64 is seen at 1e-5.
    let (case, network, inputs) = &cases()[0];
    let name = "blocks.1.attn.W_O";
    let mut t = network.weight(name).unwrap().clone();
    t.data_mut()[0] += 1.0 / 64.0;
    let broken = network.with_weight(name, t).unwrap();
    let runner = Runner::new(&broken, inputs, &Context::single()).unwrap();
    let mut wanted = vec![];
    flat(&case.hooks[0]["hook_logits"], &mut wanted);
    let got = runner.logits().unwrap();
    assert!(got.row(0).iter().zip(&wanted).any(|(g, w)| (g - w).abs() > 1e-4));
    assert_ne!(bits(got.row(0)), bits(&wanted));
}

#[test]
fn architectures_survive_json_and_refuse_unknown_fields() {
    for (case, ..) in cases() {
        let text = serde_json::to_string(&case.architecture).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), case.architecture);
        let extra = text.replacen('{', "{\"d_heads\":1,", 1);
        let error = serde_json::from_str::<Architecture>(&extra).unwrap_err().to_string();
        assert!(error.contains("d_heads"), "{error}");
    }
}
