//! The architecture of a GGUF file of the Llama family, from its metadata.

use super::config::Declared;
use super::family::Family;
use crate::Error;
use crate::config::{Activation, Norm, Pairs, Positions, Rotary, TransformerConfig};
use crate::format::gguf::{Gguf, Value};

/// Reads the metadata.
pub(super) fn declared(file: &Gguf) -> Result<Declared, Error> {
    let m = file.metadata();
    let bad = |why: String| file.source().bad(why);
    let kind = m.text("general.architecture")?;
    let permuted = match kind {
        "llama" => true,
        "qwen2" => false,
        _ => {
            return Err(bad(format!(
                "metadata key 'general.architecture' is '{kind}'; read are llama and qwen2"
            )));
        }
    };
    let key = |k: &str| format!("{kind}.{k}");
    let optional = |k: &str| m.get(&key(k)).is_some();
    let count = |k: &str| m.count(&key(k));
    let (d, heads) = (count("embedding_length")?, count("attention.head_count")?);
    let kv =
        if optional("attention.head_count_kv") { count("attention.head_count_kv")? } else { heads };
    let k = match optional("attention.key_length") {
        true => count("attention.key_length")?,
        false if heads > 0 && d.is_multiple_of(heads) => d / heads,
        false => return Err(bad(format!("{heads} heads do not divide an embedding of {d}"))),
    };
    for (name, wanted) in [("attention.value_length", k), ("rope.dimension_count", k)] {
        if optional(name) && count(name)? != wanted {
            let got = count(name)?;
            return Err(bad(format!("metadata key '{kind}.{name}' is {got}, not {wanted}")));
        }
    }
    let refused = |(name, value): &(&str, &Value)| {
        let rest = name.strip_prefix(kind).unwrap_or("");
        let scaled = match value {
            Value::Text(t) => t != "none",
            Value::Float(x) => *x != 1.0 && *x != 0.0,
            _ => true,
        };
        (rest.starts_with(".rope.scaling") && scaled)
            || rest.starts_with(".expert")
            || rest == ".attention.sliding_window"
    };
    if let Some((name, value)) = m.iter().find(refused) {
        return Err(bad(format!("metadata key '{name}' is {value:?}, which is not computed here")));
    }
    let tensor = |name: &str| file.tensor(name).ok();
    if tensor("rope_freqs.weight").is_some() {
        return Err(bad(
            "tensor 'rope_freqs.weight' scales the angles, which is not computed here".into(),
        ));
    }
    let d_vocab = match tensor("token_embd.weight").map(|t| t.shape.as_slice()) {
        Some(&[n, _]) => n,
        _ => return Err(bad("no matrix 'token_embd.weight'".into())),
    };
    let base =
        if optional("rope.freq_base") { m.number(&key("rope.freq_base"))? } else { 10_000.0 };
    let config = TransformerConfig {
        n_kv_heads: kv,
        d_head: k,
        d_mlp: count("feed_forward_length")?,
        act_fn: Activation::Silu,
        norm: Norm::RmsNorm,
        positions: Positions::Rotary(Rotary { base, dim: k, pairs: Pairs::Halves }),
        attn_scale: (k as f32).sqrt(),
        qkv_bias: tensor("blk.0.attn_q.bias").is_some(),
        mlp_bias: false,
        gated_mlp: true,
        eps: m.number(&key("attention.layer_norm_rms_epsilon"))? as f32,
        ..TransformerConfig::plain(
            count("block_count")?,
            d,
            heads,
            d_vocab,
            count("context_length")?,
        )
    };
    let tied = tensor("output.weight").is_none();
    Ok(Declared { family: Family::Gguf { permuted }, config, tied })
}
