//! Networks for TransformerLens: the dictionary of which its `HookedTransformerConfig` is made, and a
//! state dict under its names (checked against version 3.9).
//!
//! TransformerLens has every bias, a learned table of positions unless they rotate, and other names for
//! shared keys and values (`_W_K`). What a network here lacks is written as zeros, which changes no
//! logit; what TransformerLens cannot compute is an error that names it.

use super::{RawTensor, RawTensors};
use crate::{
    Activation, Architecture, Error, Network, Norm, Pairs, Pattern, Positions, TransformerConfig,
};
use flyroom_tensor::Tensor;
use serde_json::{Value as Json, json};

/// A network as (config, state dict); buffers such as `attn.mask` are not parameters and stay out.
///
/// # Errors
/// If the network is no transformer, or one that TransformerLens has no words for.
pub fn transformer_lens(network: &Network) -> Result<(Json, RawTensors), Error> {
    let Architecture::Transformer(c) = network.architecture() else {
        return Err(Error::Architecture(
            "TransformerLens holds transformers only; hint: --for npz takes any network".into(),
        ));
    };
    let config = config(c)?;
    let shared = c.n_kv_heads != c.n_heads;
    let mut out = RawTensors::new();
    for (name, t) in network.weights() {
        let name = match name.rsplit_once(".attn.") {
            Some((block, last @ ("W_K" | "W_V" | "b_K" | "b_V"))) if shared => {
                format!("{block}.attn._{last}")
            }
            _ => name.clone(),
        };
        out.insert(name, RawTensor::from_tensor(t));
    }
    for (name, shape) in zeros(c, shared) {
        out.entry(name).or_insert_with(|| RawTensor::from_tensor(&Tensor::zeros(&shape)));
    }
    Ok((config, out))
}

fn config(c: &TransformerConfig) -> Result<Json, Error> {
    let no = |what: &str| Err(Error::Architecture(format!("TransformerLens has no {what}")));
    let act_fn = match c.act_fn {
        Activation::Relu => "relu",
        Activation::Gelu => "gelu_new",
        Activation::GeluErf => "gelu",
        Activation::Silu => "silu",
        Activation::Square if c.d_mlp > 0 => return no("activation x^2"),
        Activation::Identity if c.d_mlp > 0 => return no("MLP without an activation"),
        Activation::Square | Activation::Identity => "relu",
    };
    if c.pattern == Pattern::Linear {
        return no("attention without a softmax");
    }
    if c.vectors {
        return no("inputs of vectors");
    }
    if c.attention_share != 1.0 {
        return no("pattern that is only in part a softmax");
    }
    let mut cfg = json!({
        "n_layers": c.n_layers,
        "d_model": c.d_model,
        "n_heads": c.n_heads,
        "n_key_value_heads": (c.n_kv_heads != c.n_heads).then_some(c.n_kv_heads),
        "d_head": c.d_head,
        "d_mlp": if c.d_mlp > 0 { c.d_mlp } else { 4 * c.d_model },
        "attn_only": c.d_mlp == 0,
        "d_vocab": c.d_vocab,
        "d_vocab_out": c.d_vocab_out,
        "n_ctx": c.n_ctx,
        "act_fn": act_fn,
        "gated_mlp": c.gated_mlp,
        "normalization_type": match c.norm {
            Norm::None => None,
            Norm::LayerNorm => Some("LN"),
            Norm::RmsNorm => Some("RMS"),
        },
        "eps": c.eps,
        "attention_dir": if c.causal { "causal" } else { "bidirectional" },
        "use_attn_scale": true,
        "attn_scale": c.attn_scale,
        "parallel_attn_mlp": c.parallel_attn_mlp,
        "positional_embedding_type": "standard",
        "default_prepend_bos": false,
        "init_weights": false,
        "device": "cpu",
        "model_name": "flyroom",
    });
    if let Positions::Rotary(r) = &c.positions {
        cfg["positional_embedding_type"] = json!("rotary");
        cfg["rotary_dim"] = json!(r.dim);
        cfg["rotary_base"] = json!(r.base);
        cfg["rotary_adjacent_pairs"] = json!(r.pairs == Pairs::Adjacent);
    }
    Ok(cfg)
}

/// Parameters that TransformerLens always has, with their shapes.
fn zeros(c: &TransformerConfig, shared: bool) -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("unembed.b_U".to_owned(), vec![c.d_vocab_out])];
    if c.positions == Positions::None {
        all.push(("pos_embed.W_pos".to_owned(), vec![c.n_ctx, c.d_model]));
    }
    for i in 0..c.n_layers {
        let mut add = |name: &str, shape: &[usize]| {
            all.push((format!("blocks.{i}.{name}"), shape.to_vec()));
        };
        let (k, v) = if shared { ("attn._b_K", "attn._b_V") } else { ("attn.b_K", "attn.b_V") };
        add("attn.b_Q", &[c.n_heads, c.d_head]);
        add(k, &[c.n_kv_heads, c.d_head]);
        add(v, &[c.n_kv_heads, c.d_head]);
        add("attn.b_O", &[c.d_model]);
        if c.d_mlp > 0 {
            add("mlp.b_in", &[c.d_mlp]);
            add("mlp.b_out", &[c.d_model]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(c: TransformerConfig) -> Network {
        let a = Architecture::Transformer(c);
        let weights = Network::parameters(&a)
            .unwrap()
            .into_iter()
            .map(|(n, s)| (n, Tensor::from_fn(&s, |i| (i as f32 + 1.0).sqrt())))
            .collect();
        Network::new(a, weights).unwrap()
    }

    #[test]
    fn every_weight_is_there_bit_for_bit_and_what_is_missing_is_zero() {
        let c = TransformerConfig { d_mlp: 6, ..TransformerConfig::plain(1, 4, 2, 5, 3) };
        let n = network(c);
        let (cfg, tensors) = transformer_lens(&n).unwrap();
        for (name, t) in n.weights() {
            assert_eq!(tensors[name], RawTensor::from_tensor(t), "{name}");
        }
        // The names of TransformerLens 3.9 without its buffers, counted on a model of this form:
        // 2 embeddings, 8 of attention, 4 of the MLP, 2 of the unembedding.
        assert_eq!(tensors.len(), 16);
        assert!(tensors["blocks.0.attn.b_Q"].bytes.iter().all(|&b| b == 0));
        assert_eq!((&cfg["attn_only"], &cfg["d_mlp"]), (&json!(false), &json!(6)));
    }

    #[test]
    fn shared_keys_and_values_have_their_own_names() {
        let c = TransformerConfig { n_kv_heads: 1, ..TransformerConfig::plain(1, 4, 2, 5, 3) };
        let (cfg, tensors) = transformer_lens(&network(c)).unwrap();
        assert_eq!(tensors["blocks.0.attn._W_K"].shape, [1, 4, 2]);
        assert_eq!(tensors["blocks.0.attn._b_V"].shape, [1, 2]);
        assert!(!tensors.contains_key("blocks.0.attn.W_K"));
        assert_eq!(cfg["n_key_value_heads"], json!(1));
    }

    #[test]
    fn what_transformer_lens_cannot_compute_is_named() {
        let plain = TransformerConfig { d_mlp: 6, ..TransformerConfig::plain(1, 4, 2, 5, 3) };
        for (c, word) in [
            (TransformerConfig { act_fn: Activation::Square, ..plain.clone() }, "x^2"),
            (TransformerConfig { attention_share: 0.5, ..plain.clone() }, "softmax"),
            (
                TransformerConfig { pattern: Pattern::Linear, causal: false, ..plain.clone() },
                "softmax",
            ),
            (TransformerConfig { vectors: true, ..plain }, "vectors"),
        ] {
            let e = transformer_lens(&network(c)).unwrap_err().to_string();
            assert!(e.contains(word), "{e}");
        }
    }
}
