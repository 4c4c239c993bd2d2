//! Two public networks that add modulo 113 (1 layer, 4 heads, ReLU, no norm), under
//! TransformerLens' names. The prime and the symbol `=` follow from the vocabulary.

use super::file::TensorFile;
use super::{Declared, Imported, Layout, Options, contested, transformer_lens};
use crate::modular_addition::{MODADD113, Settings};
use crate::organism::as_parameters;
use crate::{Bred, Error};
use flyroom_network::Activation;
use serde_json::Map;
use std::path::Path;

pub(crate) fn import(path: &Path, _: &Options) -> Result<Imported, Error> {
    let declared = Declared {
        layout: Some(Layout::InOut),
        act_fn: Some(Activation::Relu),
        causal: Some(true),
        ..Declared::default()
    };
    let network = transformer_lens::read(TensorFile::open(path)?, &declared)?;
    let bad = |why: String| Error::Format { path: path.into(), why };
    let Some(c) = network.architecture().transformer() else {
        return Err(bad("not a transformer".into()));
    };
    if (c.n_ctx, c.d_vocab_out) != (3, c.d_vocab) || c.d_vocab < 3 {
        return Err(bad(format!(
            "tensor 'pos_embed.W_pos' has {} rows and 'unembed.W_U' {} columns; this kind reads \
             a, b, = and answers in its own vocabulary of {}",
            c.n_ctx, c.d_vocab_out, c.d_vocab
        )));
    }
    let settings = Settings { modulus: c.d_vocab - 1, config: Map::new(), weights: network.hash() };
    Ok(Imported {
        organism: &MODADD113,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}
