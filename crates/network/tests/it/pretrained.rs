//! Language models of others: what their own programs compute with them.

use crate::common::{close, fixture};
use flyroom_network::*;
use flyroom_tensor::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Logits at every position of one prompt.
fn logits(network: &Network, prompt: &[u32]) -> Vec<Vec<f32>> {
    let inputs = Inputs::tokens(&[prompt.to_vec()]).unwrap();
    let runner = Runner::new(network, &inputs, &Context::single()).unwrap();
    let logits = runner.logits().unwrap();
    logits.data().chunks_exact(logits.shape()[2]).map(<[f32]>::to_vec).collect()
}

fn last_logits(network: &Network, prompt: &[u32]) -> Vec<f32> {
    logits(network, prompt).pop().unwrap()
}

fn greatest(logits: &[f32]) -> u32 {
    (0..logits.len()).fold(0, |b, i| if logits[i] > logits[b] { i } else { b }) as u32
}

#[derive(Deserialize)]
struct Reference {
    prompt_ids: Vec<u32>,
    last_logits: Vec<f32>,
    pos1_logits: Vec<f32>,
}

#[derive(Deserialize)]
struct Piece {
    text: String,
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

// reference_logits.json was computed from the original layout by another program, in float64.
#[test]
fn stories260k_gives_every_reference_logit_to_2e_4() {
    let Some(dir) = fixture("stories260k") else { return };
    let network = pretrained::from_huggingface(&dir).unwrap();
    let r: Reference = json(&dir.join("reference_logits.json"));
    let got = logits(&network, &r.prompt_ids);
    for (pos, wanted) in [(40, &r.last_logits), (1, &r.pos1_logits)] {
        assert_eq!(got[pos].len(), wanted.len());
        for (i, (g, w)) in got[pos].iter().zip(wanted).enumerate() {
            assert!((g - w).abs() < 2e-4, "logit {i} at {pos}: {g}, wanted {w}");
        }
    }
    // The control: one prompt token changed is seen.
    let mut other = r.prompt_ids.clone();
    other[3] += 1;
    let other = last_logits(&network, &other);
    assert!(other.iter().zip(&r.last_logits).any(|(g, w)| (g - w).abs() > 1e-2));
}

// FIXTURES.md: "greedy text starts 'Once upon a time'".
#[test]
fn stories260k_tells_a_story_that_starts_once_upon_a_time() {
    let Some(dir) = fixture("stories260k") else { return };
    let network = pretrained::from_huggingface(&dir).unwrap();
    let vocabulary: Vec<Piece> = json(&dir.join("vocab.json"));
    let mut tokens = vec![1];
    for _ in 0..8 {
        tokens.push(greatest(&last_logits(&network, &tokens)));
    }
    let text: String = tokens[1..].iter().map(|&t| vocabulary[t as usize].text.as_str()).collect();
    assert!(text.trim_start().starts_with("Once upon a time"), "{text:?}");
}

#[derive(Deserialize)]
struct Recorded {
    prompts: Vec<Vec<u32>>,
    /// By family: `[prompt][pos][logit]`.
    logits: BTreeMap<String, Vec<Vec<Vec<f32>>>>,
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tiny")
}

// Recorded from transformers by benchmarks/oracles/tiny_models.py.
#[test]
fn every_family_computes_what_transformers_computes_to_1e_4() {
    let recorded: Recorded = json(&tiny().join("logits.json"));
    assert_eq!(recorded.logits.len(), 6);
    for (family, wanted) in &recorded.logits {
        let network = pretrained::from_huggingface(&tiny().join(family)).unwrap();
        assert!(network.extra.is_empty(), "{family}: {:?}", network.extra.keys());
        for (prompt, wanted) in recorded.prompts.iter().zip(wanted) {
            let got = logits(&network, prompt);
            for (pos, (g, w)) in got.iter().zip(wanted).enumerate() {
                close(g, w, 1e-4, &format!("{family} at {pos} of {prompt:?}"));
            }
        }
    }
}

// The control: one family's weights are not another form's. Rotation of all coordinates instead of
// a quarter is seen, and so is the tanh form of GELU.
#[test]
fn the_forms_of_the_families_differ_by_more_than_their_tolerance() {
    let recorded: Recorded = json(&tiny().join("logits.json"));
    let wanted = &recorded.logits["neox"][0];
    for (key, value) in [("rotary_pct", 1.0.into()), ("hidden_act", "gelu_new".into())] {
        let changed = with_config(&tiny().join("neox"), |c| {
            c.insert(key.into(), serde_json::Value::clone(&value));
        });
        let network = pretrained::from_huggingface(changed.path()).unwrap();
        let got = logits(&network, &recorded.prompts[0]);
        let far = got.concat().iter().zip(wanted.concat()).any(|(g, w)| (g - w).abs() > 1e-3);
        assert!(far, "{key}");
    }
}

/// A copy of the fixture's folder with a changed config.
fn with_config(
    dir: &Path,
    change: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let mut config = json(&dir.join("config.json"));
    change(&mut config);
    std::fs::write(out.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    std::fs::copy(dir.join("model.safetensors"), out.path().join("model.safetensors")).unwrap();
    out
}

#[test]
fn what_a_config_asks_for_is_computed_or_refused_by_its_key() {
    let Some(dir) = fixture("stories260k") else { return };
    use serde_json::json;
    for (key, value, words) in [
        ("rope_scaling", json!({"type": "linear", "factor": 2.0}), "rope_scaling"),
        ("sliding_window", json!(128), "sliding_window"),
        ("hidden_act", json!("mish"), "'mish'; computed here are"),
        ("mlp_bias", json!(true), "mlp_bias"),
        ("attention_bias", json!(true), "no tensor 'model.layers.0.self_attn."),
        ("num_hidden_layers", json!(6), "no tensor 'model.layers.5.self_attn.q_proj.weight'"),
        (
            "num_key_value_heads",
            json!(8),
            "k_proj.weight' has shape [32, 64], the config wants [64, 64]",
        ),
        ("num_attention_heads", json!(7), "does not divide"),
        ("vocab_size", json!(16_000_000), "embed_tokens.weight' has shape [512, 64]"),
        ("hidden_size", json!("wide"), "key 'hidden_size' is \"wide\""),
        ("model_type", json!("bert"), "'bert'; read are llama"),
        ("logit_softcap", json!(30.0), "key 'logit_softcap' (30.0) is not known here"),
    ] {
        let changed = with_config(&dir, |c| {
            c.insert(key.into(), value.clone());
        });
        let error = pretrained::from_huggingface(changed.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{key}: {error}");
    }
    for key in ["hidden_size", "model_type", "max_position_embeddings"] {
        let changed = with_config(&dir, |c| {
            c.remove(key);
        });
        let error = pretrained::from_huggingface(changed.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("no key '{key}'")), "{error}");
    }
}

#[test]
fn a_model_in_shards_is_the_model_in_one_file() {
    let Some(dir) = fixture("stories260k") else { return };
    let (mut first, _) = read_safetensors(&dir.join("model.safetensors")).unwrap();
    let second = first.split_off("model.layers.2");
    let out = tempfile::tempdir().unwrap();
    let mut map = serde_json::Map::new();
    for (file, tensors) in [("a.safetensors", &first), ("b.safetensors", &second)] {
        write_safetensors(&out.path().join(file), tensors, &Default::default()).unwrap();
        map.extend(tensors.keys().map(|n| (n.clone(), file.into())));
    }
    std::fs::copy(dir.join("config.json"), out.path().join("config.json")).unwrap();
    let index = out.path().join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    let whole = pretrained::from_huggingface(&dir).unwrap();
    assert_eq!(pretrained::from_huggingface(out.path()).unwrap().hash(), whole.hash());
    // No file outside of the folder is opened.
    map.insert("x".into(), "../a.safetensors".into());
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    let error = pretrained::from_huggingface(out.path()).unwrap_err().to_string();
    assert!(error.contains("'../a.safetensors' of tensor 'x'"), "{error}");
}
