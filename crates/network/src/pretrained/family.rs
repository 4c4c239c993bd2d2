//! The names and layouts of the families of language models, one table each: for every parameter of
//! ours the tensor that holds it and how it lies there.

use super::view::View;
use crate::TransformerConfig;

/// Whose names a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `model.layers.0.self_attn.q_proj.weight` (Llama, Mistral, Qwen 2): linear maps as `[out, in]`.
    Llama,
    /// `h.0.attn.c_attn.weight` (GPT-2): linear maps as `[in, out]`, q, k, v side by side.
    Gpt2,
    /// `gpt_neox.layers.0.attention.query_key_value.weight` (GPT-NeoX, Pythia): linear maps as
    /// `[out, in]`, q, k, v inside each head.
    NeoX,
    /// `blk.0.attn_q.weight` (GGUF): as Llama; `permuted` is whether the rows of q and k have
    /// llama.cpp's order, in which the coordinates of a rotary pair are neighbours.
    Gguf {
        /// True for Llama, false for Qwen 2.
        permuted: bool,
    },
}

/// Index among q, k, v.
fn which(letter: &str) -> usize {
    match letter {
        "Q" => 0,
        "K" => 1,
        _ => 2,
    }
}

impl Family {
    /// Where a parameter lies. `prefix` stands before the names of some files; `tied` says that the
    /// unembedding is the embedding.
    pub fn view(self, c: &TransformerConfig, prefix: &str, tied: bool, name: &str) -> Option<View> {
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let (stem, rest) = match (block, self) {
            (None, _) => (prefix.to_string(), name),
            (Some((i, rest)), Self::Llama) => (format!("{prefix}layers.{i}."), rest),
            (Some((i, rest)), Self::Gpt2) => (format!("{prefix}h.{i}."), rest),
            (Some((i, rest)), Self::NeoX) => (format!("{prefix}layers.{i}."), rest),
            (Some((i, rest)), Self::Gguf { .. }) => (format!("{prefix}blk.{i}."), rest),
        };
        let at = |tensor: &str| format!("{stem}{tensor}");
        match self {
            Self::Llama => llama(c, at, tied, rest),
            Self::Gpt2 => gpt2(c, at, rest),
            Self::NeoX => neox(c, at, tied, rest),
            Self::Gguf { permuted } => gguf(c, at, tied, permuted, rest),
        }
    }
}

fn llama(c: &TransformerConfig, at: impl Fn(&str) -> String, tied: bool, p: &str) -> Option<View> {
    let (d, k, f, h, kv) = (c.d_model, c.d_head, c.d_mlp, c.n_heads, c.n_kv_heads);
    Some(match p {
        "embed.W_E" => View::whole(at("embed_tokens.weight"), &[c.d_vocab, d]),
        "unembed.W_U" if tied => View::transposed(at("embed_tokens.weight"), d, c.d_vocab_out),
        "unembed.W_U" => View::transposed("lm_head.weight", d, c.d_vocab_out),
        "ln_final.w" => View::whole(at("norm.weight"), &[d]),
        "ln1.w" => View::whole(at("input_layernorm.weight"), &[d]),
        "ln2.w" => View::whole(at("post_attention_layernorm.weight"), &[d]),
        "attn.W_Q" => View::reading_heads(at("self_attn.q_proj.weight"), h, d, k),
        "attn.W_K" => View::reading_heads(at("self_attn.k_proj.weight"), kv, d, k),
        "attn.W_V" => View::reading_heads(at("self_attn.v_proj.weight"), kv, d, k),
        "attn.b_Q" => View::whole(at("self_attn.q_proj.bias"), &[h * k]),
        "attn.b_K" => View::whole(at("self_attn.k_proj.bias"), &[kv * k]),
        "attn.b_V" => View::whole(at("self_attn.v_proj.bias"), &[kv * k]),
        "attn.W_O" => View::writing_heads(at("self_attn.o_proj.weight"), h, k, d),
        "attn.b_O" => View::whole(at("self_attn.o_proj.bias"), &[d]),
        "mlp.W_gate" => View::transposed(at("mlp.gate_proj.weight"), d, f),
        "mlp.W_in" => View::transposed(at("mlp.up_proj.weight"), d, f),
        "mlp.W_out" => View::transposed(at("mlp.down_proj.weight"), f, d),
        _ => return None,
    })
}

fn gpt2(c: &TransformerConfig, at: impl Fn(&str) -> String, p: &str) -> Option<View> {
    let (d, k, f, h) = (c.d_model, c.d_head, c.d_mlp, c.n_heads);
    Some(match p {
        "embed.W_E" => View::whole(at("wte.weight"), &[c.d_vocab, d]),
        "unembed.W_U" => View::transposed(at("wte.weight"), d, c.d_vocab_out),
        "pos_embed.W_pos" => View::whole(at("wpe.weight"), &[c.n_ctx, d]),
        "ln_final.w" => View::whole(at("ln_f.weight"), &[d]),
        "ln_final.b" => View::whole(at("ln_f.bias"), &[d]),
        "ln1.w" => View::whole(at("ln_1.weight"), &[d]),
        "ln1.b" => View::whole(at("ln_1.bias"), &[d]),
        "ln2.w" => View::whole(at("ln_2.weight"), &[d]),
        "ln2.b" => View::whole(at("ln_2.bias"), &[d]),
        "attn.W_O" => View::whole(at("attn.c_proj.weight"), &[h * k, d]),
        "attn.b_O" => View::whole(at("attn.c_proj.bias"), &[d]),
        "mlp.W_in" => View::whole(at("mlp.c_fc.weight"), &[d, f]),
        "mlp.b_in" => View::whole(at("mlp.c_fc.bias"), &[f]),
        "mlp.W_out" => View::whole(at("mlp.c_proj.weight"), &[f, d]),
        "mlp.b_out" => View::whole(at("mlp.c_proj.bias"), &[d]),
        _ => match p.strip_prefix("attn.")?.split_once('_')? {
            ("W", letter) => View::third(at("attn.c_attn.weight"), which(letter), h, d, k),
            ("b", letter) => View::third_bias(at("attn.c_attn.bias"), which(letter), h, k),
            _ => return None,
        },
    })
}

fn neox(c: &TransformerConfig, at: impl Fn(&str) -> String, tied: bool, p: &str) -> Option<View> {
    let (d, k, f, h) = (c.d_model, c.d_head, c.d_mlp, c.n_heads);
    Some(match p {
        "embed.W_E" => View::whole(at("embed_in.weight"), &[c.d_vocab, d]),
        "unembed.W_U" if tied => View::transposed(at("embed_in.weight"), d, c.d_vocab_out),
        "unembed.W_U" => View::transposed("embed_out.weight", d, c.d_vocab_out),
        "ln_final.w" => View::whole(at("final_layer_norm.weight"), &[d]),
        "ln_final.b" => View::whole(at("final_layer_norm.bias"), &[d]),
        "ln1.w" => View::whole(at("input_layernorm.weight"), &[d]),
        "ln1.b" => View::whole(at("input_layernorm.bias"), &[d]),
        "ln2.w" => View::whole(at("post_attention_layernorm.weight"), &[d]),
        "ln2.b" => View::whole(at("post_attention_layernorm.bias"), &[d]),
        "attn.W_O" => View::writing_heads(at("attention.dense.weight"), h, k, d),
        "attn.b_O" => View::whole(at("attention.dense.bias"), &[d]),
        "mlp.W_in" => View::transposed(at("mlp.dense_h_to_4h.weight"), d, f),
        "mlp.b_in" => View::whole(at("mlp.dense_h_to_4h.bias"), &[f]),
        "mlp.W_out" => View::transposed(at("mlp.dense_4h_to_h.weight"), f, d),
        "mlp.b_out" => View::whole(at("mlp.dense_4h_to_h.bias"), &[d]),
        _ => {
            let fused = "attention.query_key_value";
            match p.strip_prefix("attn.")?.split_once('_')? {
                ("W", x) => View::of_head(at(&format!("{fused}.weight")), which(x), h, d, k),
                ("b", x) => View::of_head_bias(at(&format!("{fused}.bias")), which(x), h, k),
                _ => return None,
            }
        }
    })
}

fn gguf(
    c: &TransformerConfig,
    at: impl Fn(&str) -> String,
    tied: bool,
    permuted: bool,
    p: &str,
) -> Option<View> {
    let (d, k, f, h, kv) = (c.d_model, c.d_head, c.d_mlp, c.n_heads, c.n_kv_heads);
    let turned = |v: View| if permuted { v.unpermuted() } else { v };
    let bias = |name: &str, heads: usize| {
        let whole = View::whole(at(name), &[heads * k]);
        View { axes: vec![(heads, k), (k, 1)], ..whole }
    };
    Some(match p {
        "embed.W_E" => View::whole(at("token_embd.weight"), &[c.d_vocab, d]),
        "unembed.W_U" if tied => View::transposed(at("token_embd.weight"), d, c.d_vocab_out),
        "unembed.W_U" => View::transposed(at("output.weight"), d, c.d_vocab_out),
        "ln_final.w" => View::whole(at("output_norm.weight"), &[d]),
        "ln1.w" => View::whole(at("attn_norm.weight"), &[d]),
        "ln2.w" => View::whole(at("ffn_norm.weight"), &[d]),
        "attn.W_Q" => turned(View::reading_heads(at("attn_q.weight"), h, d, k)),
        "attn.W_K" => turned(View::reading_heads(at("attn_k.weight"), kv, d, k)),
        "attn.W_V" => View::reading_heads(at("attn_v.weight"), kv, d, k),
        "attn.b_Q" => turned(bias("attn_q.bias", h)),
        "attn.b_K" => turned(bias("attn_k.bias", kv)),
        "attn.b_V" => bias("attn_v.bias", kv),
        "attn.W_O" => View::writing_heads(at("attn_output.weight"), h, k, d),
        "mlp.W_gate" => View::transposed(at("ffn_gate.weight"), d, f),
        "mlp.W_in" => View::transposed(at("ffn_up.weight"), d, f),
        "mlp.W_out" => View::transposed(at("ffn_down.weight"), f, d),
        _ => return None,
    })
}
