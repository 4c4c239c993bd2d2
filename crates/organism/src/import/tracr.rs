//! Networks compiled by Tracr (Lindner et al. 2023): Haiku names, every residual dimension labelled
//! in the JSON file beside the weights.
//!
//! Haiku stores linear maps as `w [in, out]` and `b [out]`. One head, no norm, no mask, scores
//! divided by sqrt(key_size), ReLU. The file holds no unembedding: the output is read from the
//! coordinates labelled with the output variable, so `unembed.W_U` selects them in the order of
//! the output encoding, or the one coordinate of a number.

use super::file::TensorFile;
use super::{Imported, Options};
use crate::organism::as_parameters;
use crate::tracr::{Compiled, Settings, by_program};
use crate::{Bred, Error};
use flyroom_network::{Architecture, Network, RawTensor, TransformerConfig, Weights};
use flyroom_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// Haiku's name of a parameter of ours; `None` for the unembedding, which Tracr has not.
fn haiku(name: &str) -> Option<String> {
    match name {
        "embed.W_E" => return Some("token_embed/embeddings".into()),
        "pos_embed.W_pos" => return Some("pos_embed/embeddings".into()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    let tail = match rest {
        "attn.W_Q" => "attn/query/w",
        "attn.b_Q" => "attn/query/b",
        "attn.W_K" => "attn/key/w",
        "attn.b_K" => "attn/key/b",
        "attn.W_V" => "attn/value/w",
        "attn.b_V" => "attn/value/b",
        "attn.W_O" => "attn/linear/w",
        "attn.b_O" => "attn/linear/b",
        "mlp.W_in" => "mlp/linear_1/w",
        "mlp.b_in" => "mlp/linear_1/b",
        "mlp.W_out" => "mlp/linear_2/w",
        "mlp.b_out" => "mlp/linear_2/b",
        _ => return None,
    };
    Some(format!("transformer/layer_{layer}/{tail}"))
}

/// Our shape without the axis of the single head, as Haiku has it.
fn headless(name: &str, ours: &[usize]) -> Vec<usize> {
    let with_head = ["W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"];
    match name.rsplit('.').next() {
        Some(last) if with_head.contains(&last) => ours[1..].to_vec(),
        _ => ours.to_vec(),
    }
}

pub(crate) fn import(path: &Path, options: &Options) -> Result<Imported, Error> {
    let labels = path.with_extension("json");
    let bad = |why: String| Error::Format { path: labels.clone(), why };
    let text = std::fs::read_to_string(&labels).map_err(|e| {
        bad(format!("{e}; hint: Tracr's labels and encodings lie beside the weights"))
    })?;
    let compiled: Compiled = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    compiled.check().map_err(&bad)?;
    let organism =
        by_program(&compiled.program, options.rotated.is_none()).map_err(|e| bad(e.to_string()))?;

    let mut file = TensorFile::open(path)?;
    let network = read(&mut file, &compiled)?;
    let settings = Settings { weights: network.hash(), compiled };
    let seed = options.rotated.unwrap_or(0);
    let parameters = as_parameters(&settings);
    let (mut network, truth) = organism.settle(&settings, network, seed)?;
    network.extra = file.rest();
    Ok(Imported { organism, parameters, seed, bred: Bred { network, curve: vec![], truth } })
}

fn read(file: &mut TensorFile, compiled: &Compiled) -> Result<Network, Error> {
    let [d_vocab, d_model] = file.axes("token_embed/embeddings", "[vocab, d_model]")?;
    let [n_ctx, _] = file.axes("pos_embed/embeddings", "[n_ctx, d_model]")?;
    let [_, d_head] = file.axes("transformer/layer_0/attn/query/w", "[d_model, key_size]")?;
    let [_, d_mlp] = file.axes("transformer/layer_0/mlp/linear_1/w", "[d_model, d_mlp]")?;
    let agree = |tensor: &str, what: &str, weights: usize, labels: usize| match labels == weights {
        true => Ok(()),
        false => Err(file.bad(format!(
            "'{tensor}' has {weights} {what}, the JSON file beside it says {labels}"
        ))),
    };
    let layers = file.layers("transformer/layer_");
    agree("transformer", "layers", layers, compiled.config.num_layers)?;
    agree("token_embed/embeddings", "columns", d_model, compiled.residual_labels.len())?;
    agree("token_embed/embeddings", "rows", d_vocab, compiled.input_encoding.len())?;
    agree("pos_embed/embeddings", "rows", n_ctx, compiled.max_seq_len + 1)?;
    agree("transformer/layer_0/attn/query/w", "columns", d_head, compiled.config.key_size)?;
    let columns = compiled.output_columns().map_err(|why| file.bad(why))?;
    let architecture = Architecture::Transformer(TransformerConfig {
        d_head,
        d_mlp,
        d_vocab_out: columns.len(),
        causal: false,
        attn_scale: (d_head as f32).sqrt(),
        attn_bias: true,
        ..TransformerConfig::plain(compiled.config.num_layers, d_model, 1, d_vocab, n_ctx)
    });
    let mut weights = Weights::new();
    for (name, shape) in Network::parameters(&architecture)? {
        let t = match haiku(&name) {
            Some(theirs) => {
                file.take_shaped(&theirs, &headless(&name, &shape))?.reshaped(&shape)?
            }
            None => Tensor::from_fn(&shape, |i| {
                f32::from(u8::from(columns[i % columns.len()] == i / columns.len()))
            }),
        };
        weights.insert(name, t);
    }
    Network::new(architecture, weights).map_err(|e| file.bad(e.to_string()))
}

/// A network's tensors under Haiku's names.
pub(crate) fn write(network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    let mut out = network.extra.clone();
    for (name, t) in network.weights() {
        if let Some(theirs) = haiku(name) {
            let t = t.clone().reshaped(&headless(name, t.shape()))?;
            out.insert(theirs, RawTensor::from_tensor(&t));
        }
    }
    Ok(out)
}
