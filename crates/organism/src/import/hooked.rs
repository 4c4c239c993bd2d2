//! A model that TransformerLens saved: its state dict, and `cfg.json`, the dictionary of its
//! `HookedTransformerConfig` (`cfg.to_dict()`; `flyroom export --for transformer-lens` writes it too).
//!
//! The config says all that shapes do not, so nothing is declared. A key that would change the
//! logits in a way that is not computed here is refused by its name; the rest are settings of
//! TransformerLens and nothing to a network. A norm that was folded into the weights behind it (`LNPre`,
//! `RMSPre`) is the same norm with weight 1 and bias 0.

use super::file::TensorFile;
use crate::Error;
use flyroom_network::{
    Activation, Architecture, Network, Norm, Pairs, Positions, RawTensor, Rotary,
    TransformerConfig, Weights,
};
use flyroom_tensor::Tensor;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

/// The name of the config.
pub(super) const CONFIG: &str = "cfg.json";

/// Names of the state dict in a folder, in order of preference.
const STATES: [&str; 4] = ["model.safetensors", "model.pt", "model.pth", "state_dict.pt"];

/// Keys that must be absent, null, false or the number given, since another value changes logits.
const REFUSED: [(&str, f64); 19] = [
    ("num_experts", 0.0),
    ("use_local_attn", 0.0),
    ("scale_attn_by_inverse_layer_idx", 0.0),
    ("use_normalization_before_and_after", 0.0),
    ("attn_scores_soft_cap", -1.0),
    ("output_logits_soft_cap", -1.0),
    ("use_NTK_by_parts_rope", 0.0),
    ("use_yarn_rope", 0.0),
    ("use_dynamic_ntk_rope", 0.0),
    ("use_logn_attn", 0.0),
    ("use_qk_norm", 0.0),
    ("clip_qkv", 0.0),
    ("post_embedding_ln", 0.0),
    ("use_attention_sinks", 0.0),
    ("rotary_base_local", 0.0),
    ("rotary_scaling_factor", 1.0),
    ("relative_attention_num_buckets", 0.0),
    ("window_size", 0.0),
    ("attn_types", 0.0),
];

/// Where the state dict and the config of PATH lie, if it has a config.
pub(super) fn files(path: &Path) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    if !path.is_dir() {
        let config = path.with_file_name(CONFIG);
        return Ok(config.is_file().then(|| (path.to_path_buf(), config)));
    }
    let config = path.join(CONFIG);
    let state = STATES.iter().map(|name| path.join(name)).find(|p| p.is_file());
    match (state, config.is_file()) {
        (Some(state), true) => Ok(Some((state, config))),
        (state, _) => Err(Error::Format {
            path: path.into(),
            why: format!(
                "no {}; hint: json.dump(model.cfg.to_dict(), file, default=str) and \
                 torch.save(model.state_dict(), 'model.pt') write what is read",
                if state.is_none() { STATES.join(", ") } else { CONFIG.into() }
            ),
        }),
    }
}

/// Reads a network; what is left in the state dict becomes its extra tensors.
pub(super) fn read(state: &Path, config: &Path) -> Result<Network, Error> {
    let bad = |why: String| Error::Format { path: config.into(), why };
    let text = std::fs::read_to_string(config).map_err(|e| bad(e.to_string()))?;
    let cfg: Map<String, Json> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let mut file = TensorFile::open(state)?;
    let (mut c, folded) = transformer(&cfg).map_err(bad)?;
    let has = |name: &str| file.shape(name).is_some();
    c.attn_bias = has("blocks.0.attn.b_Q");
    c.mlp_bias = has("blocks.0.mlp.b_in") && !c.gated_mlp;
    c.unembed_bias = has("unembed.b_U");
    if c.positions == Positions::Learned && !has("pos_embed.W_pos") {
        return Err(file.bad("no tensor 'pos_embed.W_pos'"));
    }
    let shared = c.n_kv_heads != c.n_heads;
    let architecture = Architecture::Transformer(c);
    architecture.validate().map_err(|e| bad(e.to_string()))?;
    let mut weights = Weights::new();
    for (name, shape) in Network::parameters(&architecture)? {
        let theirs = match name.rsplit_once(".attn.") {
            Some((block, last @ ("W_K" | "W_V" | "b_K" | "b_V"))) if shared => {
                format!("{block}.attn._{last}")
            }
            _ => name.clone(),
        };
        let norm = name.contains(".ln1.") || name.contains(".ln2.") || name.starts_with("ln_final");
        let t = match folded && norm {
            true => Tensor::from_fn(&shape, |_| f32::from(u8::from(name.ends_with(".w")))),
            false => file.take_shaped(&theirs, &shape)?,
        };
        weights.insert(name, t);
    }
    let path = file.path().to_path_buf();
    let mut network = Network::new(architecture, weights).map_err(|e| file.bad(e.to_string()))?;
    network.extra = file.rest();
    // TransformerLens has every bias; those that no network here has are zeros.
    let zero = |t: &RawTensor| t.bytes.iter().all(|&b| b == 0);
    let lost = |(n, t): &(&String, &RawTensor)| super::transformer_lens::is_weight(n) && !zero(t);
    match network.extra.iter().find(lost) {
        Some((n, _)) => Err(Error::Format {
            path,
            why: format!("tensor '{n}' is a weight that {CONFIG} has no place for"),
        }),
        None => Ok(network),
    }
}

/// The architecture, and whether its norms were folded.
fn transformer(cfg: &Map<String, Json>) -> Result<(TransformerConfig, bool), String> {
    for (key, usual) in REFUSED {
        let same = match cfg.get(key) {
            None | Some(Json::Null | Json::Bool(false)) => true,
            Some(value) => value.as_f64() == Some(usual),
        };
        if !same {
            return Err(format!("{key} is {}, which is not computed here", cfg[key]));
        }
    }
    let size = |key: &str| -> Result<usize, String> {
        let n = cfg.get(key).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| format!("no whole number under '{key}'"))
    };
    let or = |key: &str, usual: usize| match cfg.get(key) {
        None | Some(Json::Null) => Ok(usual),
        Some(_) => size(key),
    };
    let truth = |key: &str, usual: bool| match cfg.get(key) {
        None | Some(Json::Null) => Ok(usual),
        Some(value) => value.as_bool().ok_or(format!("'{key}' is neither true nor false")),
    };
    let number = |key: &str, usual: f64| match cfg.get(key) {
        None | Some(Json::Null) => Ok(usual),
        // numpy's numbers come out of json.dump(..., default=str) as text.
        Some(Json::String(text)) => {
            text.parse().map_err(|_| format!("'{key}' is '{text}', no number"))
        }
        Some(value) => value.as_f64().ok_or(format!("'{key}' is {value}, no number")),
    };
    let text = |key: &str| cfg.get(key).and_then(Json::as_str);

    let (n_layers, d_model, n_heads) = (size("n_layers")?, size("d_model")?, size("n_heads")?);
    let (d_head, d_vocab) = (size("d_head")?, size("d_vocab")?);
    let d_mlp = match truth("attn_only", false)? {
        true => 0,
        false => or("d_mlp", d_model.saturating_mul(4))?,
    };
    let act_fn = match (text("act_fn"), d_mlp) {
        (_, 0) | (Some("relu"), _) => Activation::Relu,
        (Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh"), _) => Activation::Gelu,
        (Some("gelu"), _) => Activation::GeluErf,
        (Some("silu"), _) => Activation::Silu,
        (Some(other), _) => return Err(format!("act_fn is '{other}', which is not computed here")),
        (None, _) => return Err("no text under 'act_fn'".into()),
    };
    let (norm, folded) = match cfg.get("normalization_type") {
        None | Some(Json::Null) => (Norm::None, false),
        Some(name) => match name.as_str() {
            Some("LN") => (Norm::LayerNorm, false),
            Some("LNPre") => (Norm::LayerNorm, true),
            Some("RMS") => (Norm::RmsNorm, false),
            Some("RMSPre") => (Norm::RmsNorm, true),
            _ => return Err(format!("normalization_type is {name}, which is not computed here")),
        },
    };
    let positions = match text("positional_embedding_type").unwrap_or("standard") {
        "standard" => Positions::Learned,
        "rotary" => Positions::Rotary(Rotary {
            base: number("rotary_base", 10000.0)?,
            dim: or("rotary_dim", d_head)?,
            pairs: match truth("rotary_adjacent_pairs", false)? {
                true => Pairs::Adjacent,
                false => Pairs::Halves,
            },
        }),
        other => {
            return Err(format!(
                "positional_embedding_type is '{other}', which is not computed here"
            ));
        }
    };
    let causal = match text("attention_dir").unwrap_or("causal") {
        "causal" => true,
        "bidirectional" => false,
        other => return Err(format!("attention_dir is '{other}'")),
    };
    let attn_scale = match truth("use_attn_scale", true)? {
        false => 1.0,
        true => match number("attn_scale", -1.0)? {
            // TransformerLens' own sign for "the usual".
            -1.0 => (d_head as f32).sqrt(),
            given => given as f32,
        },
    };
    let c = TransformerConfig {
        n_kv_heads: or("n_key_value_heads", n_heads)?,
        d_head,
        d_mlp,
        d_vocab_out: match number("d_vocab_out", -1.0)? {
            -1.0 => d_vocab,
            _ => size("d_vocab_out")?,
        },
        act_fn,
        norm,
        positions,
        causal,
        attn_scale,
        eps: number("eps", 1e-5)? as f32,
        gated_mlp: truth("gated_mlp", false)?,
        parallel_attn_mlp: truth("parallel_attn_mlp", false)?,
        ..TransformerConfig::plain(n_layers, d_model, n_heads, d_vocab, size("n_ctx")?)
    };
    Ok((c, folded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::format::transformer_lens;
    use flyroom_network::{Inputs, Runner, read_safetensors, write_safetensors};
    use flyroom_tensor::Context;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// A model that TransformerLens 3.9.0 saved (benchmarks/oracles/transformer_lens_model.py).
    fn recorded() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transformer_lens")
    }

    fn logits(network: &Network, rows: &[Vec<u32>]) -> Tensor {
        let inputs = Inputs::tokens(rows).unwrap();
        let runner = Runner::new(network, &inputs, &Context::single()).unwrap();
        (*runner.logits().unwrap()).clone()
    }

    #[test]
    fn a_model_that_transformer_lens_saved_has_its_logits() {
        let (state, config) = files(&recorded()).unwrap().unwrap();
        let network = read(&state, &config).unwrap();
        let said = read_safetensors(&recorded().join("logits.safetensors")).unwrap().0;
        let tokens = &said["tokens"];
        let ids: Vec<u32> = tokens.bytes.chunks_exact(8).map(|b| u32::from(b[0])).collect();
        let rows: Vec<Vec<u32>> = ids.chunks(tokens.shape[1]).map(<[u32]>::to_vec).collect();
        let ours = logits(&network, &rows);
        // Theirs in float64; their own float32 is 9e-6 from it, on logits up to 8.5.
        let exact = said["exact"].to_tensor().unwrap();
        let off = ours.data().iter().zip(exact.data()).map(|(a, b)| (a - b).abs());
        let off = off.fold(0.0, f32::max);
        assert!(off < 1e-5, "{off}");
        // Buffers are kept.
        assert!(network.extra.contains_key("blocks.0.attn.mask"), "{:?}", network.extra.keys());
    }

    fn save(dir: &Path, config: &Json, tensors: &BTreeMap<String, RawTensor>) {
        std::fs::write(dir.join(CONFIG), config.to_string()).unwrap();
        write_safetensors(&dir.join("model.safetensors"), tensors, &BTreeMap::new()).unwrap();
    }

    #[test]
    fn what_is_exported_for_transformer_lens_comes_back_with_its_logits() {
        let plain = TransformerConfig::plain(2, 8, 4, 5, 3);
        let rotary = Rotary { base: 100.0, dim: 2, pairs: Pairs::Adjacent };
        for c in [
            plain.clone(),
            TransformerConfig { d_mlp: 6, norm: Norm::RmsNorm, n_kv_heads: 2, ..plain.clone() },
            TransformerConfig {
                d_mlp: 6,
                act_fn: Activation::Silu,
                gated_mlp: true,
                mlp_bias: false,
                parallel_attn_mlp: true,
                causal: false,
                norm: Norm::LayerNorm,
                eps: 1e-3,
                attn_scale: 1.0,
                positions: Positions::Rotary(rotary),
                ..plain
            },
        ] {
            let architecture = Architecture::Transformer(c);
            let weights = Network::parameters(&architecture).unwrap().into_iter();
            let weights = weights
                .map(|(n, s)| (n, Tensor::from_fn(&s, |i| ((i * 7 + 3) % 11) as f32 / 8.0 - 0.6)))
                .collect();
            let network = Network::new(architecture, weights).unwrap();
            let (config, tensors) = transformer_lens(&network).unwrap();
            let dir = tempfile::tempdir().unwrap();
            save(dir.path(), &config, &tensors);
            let (state, config) = files(dir.path()).unwrap().unwrap();
            let back = read(&state, &config).unwrap();
            let rows = [vec![0, 3, 1], vec![4, 4, 2]];
            assert_eq!(logits(&back, &rows), logits(&network, &rows));
            for (name, t) in network.weights() {
                assert_eq!(back.weights()[name], *t, "{name}");
            }
        }
    }

    #[test]
    fn a_folded_norm_is_one_with_weight_1_and_bias_0() {
        let plain =
            TransformerConfig { norm: Norm::LayerNorm, ..TransformerConfig::plain(1, 4, 2, 5, 3) };
        let architecture = Architecture::Transformer(plain);
        let weights = Network::parameters(&architecture).unwrap().into_iter();
        let weights = weights
            .map(|(n, s)| {
                let norm = n.contains("ln");
                let value = |i: usize| ((i * 5 + 1) % 7) as f32 / 4.0 - 0.7;
                let t = Tensor::from_fn(&s, |i| match norm {
                    true => f32::from(u8::from(n.ends_with(".w"))),
                    false => value(i),
                });
                (n, t)
            })
            .collect();
        let network = Network::new(architecture, weights).unwrap();
        let (mut config, mut tensors) = transformer_lens(&network).unwrap();
        config["normalization_type"] = json!("LNPre");
        tensors.retain(|name, _| !name.contains("ln"));
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &config, &tensors);
        let (state, config) = files(dir.path()).unwrap().unwrap();
        let rows = [vec![0, 3, 1]];
        assert_eq!(logits(&read(&state, &config).unwrap(), &rows), logits(&network, &rows));
    }

    #[test]
    fn what_would_change_logits_is_refused_by_its_key() {
        let good: Json = {
            let text = std::fs::read_to_string(recorded().join(CONFIG)).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        assert!(transformer(good.as_object().unwrap()).is_ok());
        for (key, value, word) in [
            ("attn_scores_soft_cap", json!(50.0), "attn_scores_soft_cap is 50"),
            ("num_experts", json!(8), "num_experts"),
            ("use_local_attn", json!(true), "use_local_attn"),
            ("act_fn", json!("solu_ln"), "solu_ln"),
            ("normalization_type", json!("DyT"), "DyT"),
            ("positional_embedding_type", json!("alibi"), "alibi"),
            ("attention_dir", json!("both"), "both"),
            ("n_layers", Json::Null, "'n_layers'"),
            ("attn_scale", json!("two"), "'attn_scale'"),
        ] {
            let mut cfg = good.clone();
            cfg[key] = value;
            let e = transformer(cfg.as_object().unwrap()).unwrap_err();
            assert!(e.contains(word), "{word}: {e}");
        }
    }

    #[test]
    fn a_folder_without_a_config_or_a_state_says_how_to_write_one() {
        let dir = tempfile::tempdir().unwrap();
        let e = files(dir.path()).unwrap_err().to_string();
        assert!(e.contains("model.pt") && e.contains("hint"), "{e}");
        std::fs::write(dir.path().join("model.pt"), b"PK").unwrap();
        let e = files(dir.path()).unwrap_err().to_string();
        assert!(e.contains("no cfg.json"), "{e}");
        // A file alone is declared by switches instead.
        assert_eq!(files(&dir.path().join("model.pt")).unwrap(), None);
    }
}
