//! Two public networks that add modulo 59 (Zhong et al. 2023, "The clock and the pizza").
//!
//! Their matrices are `[out, in]` except the unembedding; `W_O` is 128 x 128, so its orientation
//! is declared here, from the code that trained them: `[d_model, head * d_head]`. Attention is not
//! masked and its pattern is c softmax + (1 - c) with c = `attn_coeff` of the config beside the
//! weights. There is no symbol `=`: the answer stands at b.

use super::file::TensorFile;
use super::{
    Declared, Imported, Layout, Options, as_parameters, contested, not_bred, transformer_lens,
};
use crate::modular_addition::{accuracy_and_loss, all_pairs};
use crate::train::Nursery;
use crate::{Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, defaults_of, typed};
use flyroom_network::{Activation, Network, RawTensor};
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Networks that read a and b and answer a + b mod p.
#[derive(Debug)]
pub struct ClockPizza;

const NAME: &str = "clock-pizza59";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// p.
    modulus: usize,
    /// The config beside the weights, as it is.
    config: Map<String, Json>,
    /// blake3 of the weights: which network this is.
    weights: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { modulus: 59, config: Map::new(), weights: String::new() }
    }
}

impl Organism for ClockPizza {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A public 1-layer transformer that adds modulo 59, clock or pizza, imported.",
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            cost: "imported",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(NAME, "clock-pizza"))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let s: Settings = typed(NAME, parameters)?;
        let bad = |why: String| Error::Parameters { organism: NAME.into(), why };
        if let Some(n) = length.filter(|&n| n != 2) {
            return Err(bad(format!("inputs are a and b, so they have 2 tokens, not {n}")));
        }
        if !(2..=1024).contains(&s.modulus) {
            return Err(bad(format!("modulus {} is not in 2..=1024", s.modulus)));
        }
        all_pairs(s.modulus, false, s.modulus)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        accuracy_and_loss(&self.task(parameters, None)?, network, cx)
    }
}

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
        organism: &ClockPizza,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}

/// A network's tensors as this kind of file has them.
pub(crate) fn write(network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    Ok(transformer_lens::write(network, Layout::OutIn, Layout::InOut))
}
