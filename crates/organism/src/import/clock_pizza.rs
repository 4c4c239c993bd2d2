//! Two public networks that add modulo 59 (Zhong et al. 2023, "The clock and the pizza").
//!
//! Their matrices are `[out, in]` except the unembedding; `W_O` is 128 x 128, so its orientation
//! is declared here, from the code that trained them: `[d_model, head * d_head]`. Attention is not
//! masked and its pattern is c softmax + (1 - c) with c = `attn_coeff` of the config beside the
//! weights. There is no symbol `=`: the answer stands at b.

use super::file::TensorFile;
use super::{Declared, Imported, Layout, Options, contested, transformer_lens};
use crate::modular_addition::{CLOCK_PIZZA59, Settings};
use crate::organism::as_parameters;
use crate::{Bred, Error};
use flyroom_network::{Activation, Network, RawTensor};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `config_ID.json` beside `model_ID.safetensors`.
fn config_path(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?.strip_prefix("model_")?;
    Some(path.with_file_name(format!("config_{stem}.json")))
}

pub(crate) fn import(path: &Path, _: &Options) -> Result<Imported, Error> {
    let beside = config_path(path).ok_or_else(|| Error::Format {
        path: path.into(),
        why: "this kind is called model_ID.safetensors, with config_ID.json beside it".into(),
    })?;
    let bad = |why: String| Error::Format { path: beside.clone(), why };
    let text = std::fs::read_to_string(&beside).map_err(|e| bad(e.to_string()))?;
    let config: Map<String, Json> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let share = config
        .get("attn_coeff")
        .and_then(Json::as_f64)
        .filter(|c| (0.0..=1.0).contains(c))
        .ok_or_else(|| bad("no number 'attn_coeff' in 0..1".into()))?;
    let declared = Declared {
        layout: Some(Layout::OutIn),
        unembed_layout: Some(Layout::InOut),
        act_fn: Some(Activation::Relu),
        causal: Some(false),
        attention_share: Some(share as f32),
        ..Declared::default()
    };
    let network = transformer_lens::read(TensorFile::open(path)?, &declared)?;
    let (vocab, out, ctx) = network
        .architecture()
        .transformer()
        .map_or((0, 0, 0), |c| (c.d_vocab, c.d_vocab_out, c.n_ctx));
    if vocab != out || ctx != 2 {
        return Err(Error::Format {
            path: path.into(),
            why: format!(
                "{vocab} tokens in 'embed.W_E', {out} logits in 'unembed.W_U', {ctx} rows of \
                 'pos_embed.W_pos'; this kind reads a, b and answers in the same vocabulary"
            ),
        });
    }
    let settings = Settings { modulus: vocab, config, weights: network.hash() };
    Ok(Imported {
        organism: &CLOCK_PIZZA59,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}

/// A network's tensors as this kind of file has them.
pub(crate) fn write(network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    Ok(transformer_lens::write(network, Layout::OutIn, Layout::InOut))
}
