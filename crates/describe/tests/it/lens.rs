//! Logit lens, direct logit attribution and activation patching against TransformerLens 3.9.0,
//! recorded by `benchmarks/oracles/lens.py`, and laws that hold whatever the network.

use flyroom_describe::{Description, Grid, find};
use flyroom_explanation::Value;
use flyroom_network::{
    Activation, Architecture, Inputs, Network, Norm, Runner, TransformerConfig, Weights,
};
use flyroom_organism::{Answers, Distance, Parameters, Subject, Task};
use flyroom_tensor::{Context, Tensor};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    config: BTreeMap<String, usize>,
    #[serde(default)]
    weights: BTreeMap<String, Vec<f32>>,
    tokens: Vec<Vec<u32>>,
    corrupted: Vec<Vec<u32>>,
    answer: Vec<u32>,
    wrong: Vec<u32>,
    /// Mean logit difference of the corrupted and of the clean prompts.
    difference: [f64; 2],
    lens: BTreeMap<String, Vec<f64>>,
    attribution: BTreeMap<String, f64>,
    sweeps: BTreeMap<String, Vec<f64>>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("lens.json")).unwrap()
}

impl Case {
    /// GPT-2's form: LayerNorm, biases everywhere, GELU by tanh.
    fn gpt2(&self) -> Network {
        let n = |name: &str| self.config[name];
        let c = TransformerConfig {
            d_mlp: n("d_mlp"),
            act_fn: Activation::Gelu,
            norm: Norm::LayerNorm,
            attn_bias: true,
            unembed_bias: true,
            ..TransformerConfig::plain(
                n("n_layers"),
                n("d_model"),
                n("n_heads"),
                n("d_vocab"),
                n("n_ctx"),
            )
        };
        let architecture = Architecture::Transformer(c);
        let weights: Weights = Network::parameters(&architecture)
            .unwrap()
            .into_iter()
            .map(|(name, shape)| {
                let values = self.weights[&name].clone();
                (name, Tensor::new(&shape, values).unwrap())
            })
            .collect();
        Network::new(architecture, weights).unwrap()
    }

    /// Clean prompts, then corrupted ones; the last position counts.
    fn task(&self, d_vocab: usize) -> Task {
        let n = self.tokens.len();
        let rows = [self.tokens.clone(), self.corrupted.clone()].concat();
        let pos = rows[0].len();
        let mut classes = vec![0; rows.len() * pos];
        for (i, &a) in self.answer.iter().chain(&self.wrong).enumerate() {
            classes[(i + 1) * pos - 1] = a;
        }
        Task {
            domain: "recorded prompts".into(),
            exhaustive: false,
            inputs: Inputs::tokens(&rows).unwrap(),
            clean: n,
            partner: (n..2 * n).chain(0..n).collect(),
            reads: (0..rows.len() * pos).map(|i| i % pos == pos - 1).collect(),
            answers: Answers::Classes(classes),
            d_out: d_vocab,
            columns: d_vocab,
            distance: Distance::CentredLogits,
            vocabulary: (0..d_vocab as i64).map(Value::Int).collect(),
            modulus: None,
        }
    }
}

fn describe(network: &Network, task: &Task, method: &str, set: serde_json::Value) -> Description {
    let subject = Subject {
        label: "recorded".into(),
        id: String::new(),
        organism: String::new(),
        runner: Runner::new(network, &task.inputs, &Context::single()).unwrap(),
        task,
        context: Context::single(),
    };
    let method = find(method).unwrap();
    let mut parameters: Parameters = method.defaults();
    parameters.extend(set.as_object().unwrap().clone());
    let d = method.describe(&subject, None, &parameters, 0).unwrap();
    d.grids.iter().for_each(|g| g.check().unwrap());
    d
}

fn grid<'d>(d: &'d Description, name: &str) -> &'d Grid {
    d.grids.iter().find(|g| g.name == name).unwrap()
}

#[track_caller]
fn close(grid: &Grid, wanted: &[f64], tolerance: f64) {
    assert_eq!(grid.values.len(), wanted.len(), "{}", grid.name);
    for (i, (got, wanted)) in grid.values.iter().zip(wanted).enumerate() {
        let got = got.unwrap();
        assert!((got - wanted).abs() < tolerance, "{} [{i}]: {got}, wanted {wanted}", grid.name);
    }
}

/// The issue asks for 1e-3; float32 on either side gives far less.
const TOLERANCE: f64 = 1e-4;

fn agrees(case: &Case, network: &Network) {
    let task = case.task(network.architecture().transformer().unwrap().d_vocab_out);
    let d = describe(network, &task, "logit-lens", json!({}));
    for (name, key) in [
        ("probability of the answer", "probability"),
        ("rank of the answer", "rank"),
        ("logit of the answer", "logit"),
        ("distance to the final distribution", "kl"),
    ] {
        close(grid(&d, name), &case.lens[key], TOLERANCE);
    }
    let top: Vec<String> = case.lens["top"].iter().map(f64::to_string).collect();
    assert_eq!(grid(&d, "top token").words, top);

    let d = describe(network, &task, "direct-logit-attribution", json!({}));
    let components = grid(&d, "components");
    for (label, value) in components.axes[0].labels.iter().zip(&components.values) {
        let wanted = case.attribution[label];
        assert!((value.unwrap() - wanted).abs() < TOLERANCE, "{label}: {value:?}, {wanted}");
    }
    // What is not among ours is a bias that the network does not have.
    for (label, wanted) in &case.attribution {
        assert!(components.axes[0].labels.contains(label) || *wanted == 0.0, "{label}");
    }
    let sum: f64 = components.values.iter().flatten().sum();
    assert!((sum - case.difference[1]).abs() < 1e-5, "{sum} of {}", case.difference[1]);

    let d = describe(network, &task, "activation-patching", json!({}));
    assert_eq!(d.grids.len(), case.sweeps.len());
    for (name, wanted) in &case.sweeps {
        close(grid(&d, name), wanted, 1e-3);
    }
}

#[test]
fn a_network_of_gpt_2_s_form_gives_transformer_lens_numbers() {
    let case = &cases()[0];
    assert_eq!(case.name, "gpt2-form");
    agrees(case, &case.gpt2());
}

#[test]
fn stories260k_gives_transformer_lens_numbers() {
    let Ok(dir) = std::env::var("FLYROOM_FIXTURES") else {
        eprintln!("SKIPPED: stories260k: FLYROOM_FIXTURES is not set");
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "FLYROOM_FIXTURES must be set where CI=true"
        );
        return;
    };
    let case = &cases()[1];
    assert_eq!(case.name, "stories260k");
    let folder = std::path::Path::new(&dir).join("stories260k");
    agrees(case, &flyroom_network::pretrained::from_huggingface(&folder).unwrap());
}

#[test]
fn components_add_up_to_the_logit_difference_of_every_prompt() {
    let case = &cases()[0];
    let network = case.gpt2();
    for k in 0..case.tokens.len() {
        let mut task = case.task(24);
        // One prompt: the one that the others' order puts first.
        let n = task.clean;
        task.inputs = task.inputs.pick((0..2 * n).map(|i| i / n * n + (i % n + k) % n));
        let Answers::Classes(classes) = &task.answers else { panic!() };
        let pos = task.pos();
        let moved = (0..2 * n).flat_map(|i| {
            let from = i / n * n + (i % n + k) % n;
            classes[from * pos..(from + 1) * pos].to_vec()
        });
        task.answers = Answers::Classes(moved.collect());
        let d = describe(&network, &task, "direct-logit-attribution", json!({ "prompts": 1 }));
        let sum: f64 = grid(&d, "components").values.iter().flatten().sum();
        let logits = Runner::new(&network, &task.inputs, &Context::single()).unwrap();
        let logits = logits.logits().unwrap();
        let last = &logits.row(0)[(pos - 1) * 24..];
        let wanted = last[case.answer[k] as usize] - last[case.wrong[k] as usize];
        assert!((sum - f64::from(wanted)).abs() < 1e-5, "prompt {k}: {sum}, wanted {wanted}");
    }
}

#[test]
fn the_last_layer_of_the_lens_is_the_network() {
    let case = &cases()[0];
    let network = case.gpt2();
    let d = describe(&network, &case.task(24), "logit-lens", json!({}));
    let kl = grid(&d, "distance to the final distribution");
    let (rows, columns) = kl.shape();
    assert!((0..columns).all(|c| kl.at(rows - 1, c) == Some(0.0)));
    assert!((0..columns).all(|c| kl.at(0, c) > Some(0.0)));
}

#[test]
fn a_run_patched_with_itself_changes_no_bit() {
    let case = &cases()[0];
    let network = case.gpt2();
    let set = json!({ "source": "itself", "sites": "resid_pre,attn_out,mlp_out,z,v,pattern" });
    let d = describe(&network, &case.task(24), "activation-patching", set);
    assert_eq!(d.grids.len(), 12);
    for g in &d.grids {
        assert!(g.values.iter().all(|&v| v == Some(g.neutral)), "{}: {:?}", g.name, g.values);
        assert!(g.null.iter().flatten().any(|&v| v != g.neutral), "{}", g.name);
    }
}

#[test]
fn what_stands_before_the_first_corrupted_token_restores_and_destroys_nothing() {
    let case = &cases()[0];
    let network = case.gpt2();
    let set = json!({ "sites": "resid_pre,attn_out,mlp_out" });
    let d = describe(&network, &case.task(24), "activation-patching", set);
    assert_eq!(d.grids.len(), 6);
    for g in &d.grids {
        // Positions 2 and 5 are corrupted (see the script); the network is causal.
        let (rows, columns) = g.shape();
        for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let moves = g.at(r, c) != Some(g.neutral);
            let embedded = g.name.starts_with("resid_pre") && r == 0;
            let able = if embedded { c == 2 || c == 5 } else { c >= 2 };
            // Behind the last attention only the position that is read counts.
            let behind = r == rows - 1 && !g.name.starts_with("resid_pre") && c + 1 < columns;
            assert_eq!(moves, able && !behind, "{} at {r}, {c}: {:?}", g.name, g.at(r, c));
        }
    }
}

#[test]
fn what_a_user_can_get_wrong_is_an_error_with_the_reason() {
    let case = &cases()[0];
    let network = case.gpt2();
    let task = case.task(24);
    let subject = Subject {
        label: String::new(),
        id: String::new(),
        organism: String::new(),
        runner: Runner::new(&network, &task.inputs, &Context::single()).unwrap(),
        task: &task,
        context: Context::single(),
    };
    let method = find("activation-patching").unwrap();
    for (set, word) in [
        (json!({ "sites": "resid_pre,resid" }), "'resid' is none of resid_pre, attn_out"),
        (json!({ "directions": "up" }), "'up' is none of denoising, noising"),
        (json!({ "source": "nobody" }), "it is partner or itself"),
        (json!({ "pairs": "many" }), "\"many\", expected usize"),
    ] {
        let set = set.as_object().unwrap().clone();
        let e = method.describe(&subject, None, &set, 0).unwrap_err().to_string();
        assert!(e.contains(word), "{e}");
    }
    // A task whose partners have the same answers has no logit difference.
    let mut task = case.task(24);
    task.partner = (0..8).collect();
    let subject = Subject {
        task: &task,
        runner: Runner::new(&network, &task.inputs, &Context::single()).unwrap(),
        ..subject
    };
    for name in ["logit-lens", "direct-logit-attribution", "activation-patching"] {
        let e = find(name).unwrap().describe(&subject, None, &Parameters::new(), 0).unwrap_err();
        assert!(e.to_string().contains("does not apply"), "{e}");
    }
}
