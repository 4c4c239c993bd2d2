//! `config.json` of a Hugging Face folder as a [`TransformerConfig`]. A key that would change what the
//! network computes is read or refused by name; only keys that are known to change nothing are
//! passed over.

use super::family::Family;
use crate::Error;
use crate::config::{Activation, Norm, Pairs, Positions, Rotary, TransformerConfig};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What a config says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declared {
    pub family: Family,
    pub config: TransformerConfig,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
}

/// Keys that change no logit: bookkeeping, training, generation, numerics of other programs.
const PASSED_OVER: &[&str] = &[
    "architectures",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "use_cache",
    "initializer_range",
    "initializer_factor",
    "classifier_dropout",
    "attention_dropout",
    "hidden_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "pretraining_tp",
    "max_window_layers",
    "reorder_and_upcast_attn",
    "gradient_checkpointing",
    "id2label",
    "label2id",
    "n_ctx",
    "is_llama_config",
    "is_decoder",
    "is_encoder_decoder",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "problem_type",
    "chunk_size_feed_forward",
    "auto_map",
    "tokenizer_class",
];

/// The keys of a config; what nobody took is looked at in the end.
struct Keys {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl Keys {
    fn bad(&self, why: impl Into<String>) -> Error {
        Error::format(&self.path, why)
    }

    /// Takes a key; null is as good as absent.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key).filter(|v| !v.is_null())
    }

    fn typed<T>(
        &mut self,
        key: &str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(v) => match read(&v) {
                Some(x) => Ok(Some(x)),
                None => Err(self.bad(format!("key '{key}' is {v}, not {wanted}"))),
            },
        }
    }

    fn count(&mut self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        self.typed(key, "text", |v| v.as_str().map(str::to_owned))
    }

    fn need(&mut self, key: &str) -> Result<usize, Error> {
        self.count(key)?.ok_or_else(|| self.bad(format!("no key '{key}'")))
    }

    /// Fails unless a key is absent or has the one value that is computed here.
    fn only(&mut self, key: &str, value: &Value) -> Result<(), Error> {
        match self.take(key) {
            Some(v) if v != *value => {
                Err(self.bad(format!("key '{key}' is {v}; computed here is {value} alone")))
            }
            _ => Ok(()),
        }
    }

    fn activation(&mut self, key: &str, default: &str) -> Result<Activation, Error> {
        let name = self.text(key)?.unwrap_or_else(|| default.into());
        Ok(match name.as_str() {
            "silu" | "swish" => Activation::Silu,
            "gelu" => Activation::GeluErf,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::Gelu,
            "relu" => Activation::Relu,
            _ => {
                return Err(self.bad(format!(
                    "key '{key}' is '{name}'; computed here are silu, gelu, gelu_new and relu"
                )));
            }
        })
    }

    /// The base of the angles and the share of a head that is turned, in either of the two
    /// spellings.
    fn rotary(&mut self, base: &[&str], share: &[&str]) -> Result<(f64, f64), Error> {
        let mut inner = Map::new();
        for key in ["rope_scaling", "rope_parameters"] {
            match self.take(key) {
                None => {}
                Some(Value::Object(m)) => inner.extend(m),
                Some(v) => return Err(self.bad(format!("key '{key}' is {v}, no table"))),
            }
        }
        let mut inner = Self { path: self.path.clone(), keys: inner };
        for key in ["rope_type", "type"] {
            if let Some(kind) = inner.text(key)?.filter(|k| k != "default") {
                return Err(self.bad(format!(
                    "key 'rope_scaling' asks for '{kind}'; computed here are unscaled angles alone"
                )));
            }
        }
        let (mut b, mut s) = (inner.number("rope_theta")?, inner.number("partial_rotary_factor")?);
        if let Some(key) = inner.keys.keys().next() {
            return Err(self.bad(format!("key 'rope_scaling' has '{key}', which is not computed")));
        }
        for key in base {
            b = self.number(key)?.or(b);
        }
        for key in share {
            s = self.number(key)?.or(s);
        }
        Ok((b.unwrap_or(10_000.0), s.unwrap_or(1.0)))
    }

    /// Fails on a key that nobody took and that may mean something.
    fn finish(self) -> Result<(), Error> {
        let unknown = self.keys.iter().find(|(k, v)| {
            !(k.starts_with('_') || v.is_null() || PASSED_OVER.contains(&k.as_str()))
        });
        match unknown {
            None => Ok(()),
            Some((k, v)) => Err(self.bad(format!(
                "key '{k}' ({v}) is not known here and may change what the network computes; \
                 hint: take it out of the file if it does not"
            ))),
        }
    }
}

impl Declared {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
        let value = serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
        let Value::Object(keys) = value else {
            return Err(Error::format(path, "not a table of keys"));
        };
        let mut keys = Keys { path: path.into(), keys };
        let kind = keys
            .text("model_type")?
            .ok_or_else(|| keys.bad("no key 'model_type', which names the family"))?;
        let declared = match kind.as_str() {
            "llama" | "mistral" | "qwen2" => llama(&mut keys, &kind)?,
            "gpt2" => gpt2(&mut keys)?,
            "gpt_neox" => neox(&mut keys)?,
            _ => {
                return Err(keys.bad(format!(
                    "key 'model_type' is '{kind}'; read are llama, mistral, qwen2, gpt2, gpt_neox"
                )));
            }
        };
        keys.finish()?;
        Ok(declared)
    }
}

/// d_model / heads, if it is whole.
fn d_head(keys: &Keys, d: usize, heads: usize, names: [&str; 2]) -> Result<usize, Error> {
    if heads == 0 || !d.is_multiple_of(heads) {
        let [d_name, heads_name] = names;
        let why = format!("key '{heads_name}' = {heads} does not divide '{d_name}' = {d}");
        return Err(keys.bad(why));
    }
    Ok(d / heads)
}

fn llama(keys: &mut Keys, kind: &str) -> Result<Declared, Error> {
    let (d, heads) = (keys.need("hidden_size")?, keys.need("num_attention_heads")?);
    let kv = keys.count("num_key_value_heads")?.unwrap_or(heads);
    let k = match keys.count("head_dim")? {
        Some(k) => k,
        None => d_head(keys, d, heads, ["hidden_size", "num_attention_heads"])?,
    };
    let (base, share) = keys.rotary(&["rope_theta"], &["partial_rotary_factor"])?;
    if share != 1.0 {
        return Err(keys.bad(format!("key 'partial_rotary_factor' is {share}, not 1")));
    }
    keys.only("mlp_bias", &Value::Bool(false))?;
    keys.only("rope_interleaved", &Value::Bool(false))?;
    if kind == "qwen2" {
        // The window is declared also where it is not used.
        keys.only("use_sliding_window", &Value::Bool(false))?;
        keys.take("sliding_window");
    }
    if let Some(v) = keys.take("sliding_window") {
        return Err(
            keys.bad(format!("key 'sliding_window' is {v}; attention here sees everything before"))
        );
    }
    if let Some(v) = keys.take("layer_types") {
        let full = |v: &Value| v.as_str() == Some("full_attention");
        if !v.as_array().is_some_and(|a| a.iter().all(full)) {
            return Err(
                keys.bad(format!("key 'layer_types' is {v}, not full_attention throughout"))
            );
        }
    }
    let (vocab, n_ctx) = (keys.need("vocab_size")?, keys.need("max_position_embeddings")?);
    let config = TransformerConfig {
        n_kv_heads: kv,
        d_head: k,
        d_mlp: keys.need("intermediate_size")?,
        act_fn: keys.activation("hidden_act", "silu")?,
        norm: Norm::RmsNorm,
        positions: Positions::Rotary(Rotary { base, dim: k, pairs: Pairs::Halves }),
        attn_scale: (k as f32).sqrt(),
        attn_bias: keys.flag("attention_bias", false)?,
        qkv_bias: kind == "qwen2",
        mlp_bias: false,
        gated_mlp: true,
        eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        ..TransformerConfig::plain(keys.need("num_hidden_layers")?, d, heads, vocab, n_ctx)
    };
    Ok(Declared { family: Family::Llama, config, tied: keys.flag("tie_word_embeddings", false)? })
}

fn gpt2(keys: &mut Keys) -> Result<Declared, Error> {
    let (d, heads) = (keys.need("n_embd")?, keys.need("n_head")?);
    let k = d_head(keys, d, heads, ["n_embd", "n_head"])?;
    keys.only("scale_attn_weights", &Value::Bool(true))?;
    keys.only("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    keys.only("add_cross_attention", &Value::Bool(false))?;
    keys.only("tie_word_embeddings", &Value::Bool(true))?;
    let (vocab, n_ctx) = (keys.need("vocab_size")?, keys.need("n_positions")?);
    let config = TransformerConfig {
        d_head: k,
        d_mlp: keys.count("n_inner")?.unwrap_or(4 * d),
        act_fn: keys.activation("activation_function", "gelu_new")?,
        norm: Norm::LayerNorm,
        attn_scale: (k as f32).sqrt(),
        attn_bias: true,
        eps: keys.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        ..TransformerConfig::plain(keys.need("n_layer")?, d, heads, vocab, n_ctx)
    };
    Ok(Declared { family: Family::Gpt2, config, tied: true })
}

fn neox(keys: &mut Keys) -> Result<Declared, Error> {
    let (d, heads) = (keys.need("hidden_size")?, keys.need("num_attention_heads")?);
    let k = d_head(keys, d, heads, ["hidden_size", "num_attention_heads"])?;
    let (base, share) =
        keys.rotary(&["rotary_emb_base", "rope_theta"], &["rotary_pct", "partial_rotary_factor"])?;
    keys.only("attention_bias", &Value::Bool(true))?;
    let (vocab, n_ctx) = (keys.need("vocab_size")?, keys.need("max_position_embeddings")?);
    let config = TransformerConfig {
        d_head: k,
        d_mlp: keys.need("intermediate_size")?,
        act_fn: keys.activation("hidden_act", "gelu")?,
        norm: Norm::LayerNorm,
        // The share counts coordinates, of which only whole pairs are turned.
        positions: Positions::Rotary(Rotary {
            base,
            dim: (k as f64 * share) as usize,
            pairs: Pairs::Halves,
        }),
        attn_scale: (k as f32).sqrt(),
        attn_bias: true,
        parallel_attn_mlp: keys.flag("use_parallel_residual", true)?,
        eps: keys.number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
        ..TransformerConfig::plain(keys.need("num_hidden_layers")?, d, heads, vocab, n_ctx)
    };
    Ok(Declared { family: Family::NeoX, config, tied: keys.flag("tie_word_embeddings", false)? })
}
