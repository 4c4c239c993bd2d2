//! Real language models: a Hugging Face folder or a GGUF file as a [`Network`].
//!
//! A file says what it is in a config of its family and holds tensors under the family's names and
//! layouts. The config becomes a [`TransformerConfig`](crate::TransformerConfig) or is refused by the
//! key that is not computed here; each parameter is a strided [view](view::View) of one tensor, whose
//! shape is checked first. Tensors that no parameter uses (masks, frequency tables) are kept in
//! [`Network::extra`]. It lives in this crate because a network from a file is a network: everything
//! above it, the organisms among them, sees no difference.
//!
//! The embedding of a tied model becomes two parameters, `embed.W_E` and `unembed.W_U` as
//! TransformerLens has them; they are transposes of each other, so they share no memory.
//!
//! | file | holds |
//! |---|---|
//! | `config.rs` | `config.json`, key by key |
//! | `gguf.rs` | GGUF's metadata |
//! | `family.rs` | names and layouts, one table a family |
//! | `view.rs` | a parameter as part of a tensor |
//! | `shards.rs` | `model.safetensors`, also in several files |

mod config;
mod family;
mod gguf;
mod shards;
mod view;

use crate::format::RawTensor;
use crate::format::gguf::Gguf;
use crate::{Architecture, Error, Network, Weights};
use config::Declared;
use flyroom_tensor::Tensor;
use shards::Shards;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use view::View;

/// Named tensors of a file or folder.
trait Tensors {
    /// Names and shapes.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>>;
    /// One tensor as floats.
    fn read(&self, name: &str) -> Result<Tensor, Error>;
    /// One tensor as it is to be kept.
    fn raw(&self, name: &str) -> Result<RawTensor, Error>;
    /// An error about the file.
    fn bad(&self, why: String) -> Error;
}

impl Tensors for Gguf {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors().map(|(n, t)| (n.to_string(), t.shape.clone())).collect()
    }

    fn read(&self, name: &str) -> Result<Tensor, Error> {
        Gguf::read(self, name)
    }

    fn raw(&self, name: &str) -> Result<RawTensor, Error> {
        Ok(RawTensor::from_tensor(&Gguf::read(self, name)?))
    }

    fn bad(&self, why: String) -> Error {
        self.source().bad(why)
    }
}

/// Reads a folder with `config.json` and `model.safetensors` (or `model.safetensors.index.json` and
/// its shards) of a Llama, Mistral, Qwen 2, GPT-2 or GPT-NeoX model.
pub fn from_huggingface(dir: &Path) -> Result<Network, Error> {
    let declared = Declared::read(&dir.join("config.json"))?;
    assemble(&declared, &Shards::open(dir)?)
}

/// Reads the network of a GGUF file of the Llama family.
pub fn from_gguf(file: &Gguf) -> Result<Network, Error> {
    assemble(&gguf::declared(file)?, file)
}

fn assemble(declared: &Declared, file: &dyn Tensors) -> Result<Network, Error> {
    let Declared { family, config, tied } = declared;
    let architecture = Architecture::Transformer(config.clone());
    architecture.validate().map_err(|e| file.bad(e.to_string()))?;
    let shapes = file.shapes();
    let holds = |name: &str| shapes.contains_key(name);
    let prefix = ["model.", "transformer.", "gpt_neox."]
        .into_iter()
        .find(|p| {
            ["embed_tokens.weight", "wte.weight", "embed_in.weight"]
                .iter()
                .any(|t| holds(&format!("{p}{t}")))
        })
        .unwrap_or("");
    // Where a parameter lies, after its shape there was compared.
    let placed = |name: &str| -> Result<View, Error> {
        let view = family
            .view(config, prefix, *tied, name)
            .ok_or_else(|| file.bad(format!("this family has no place for '{name}'")))?;
        match shapes.get(&view.tensor) {
            None => Err(file.bad(format!("no tensor '{}'", view.tensor))),
            Some(got) if *got != view.shape => Err(file.bad(format!(
                "tensor '{}' has shape {got:?}, the config wants {:?}",
                view.tensor, view.shape
            ))),
            Some(_) => Ok(view),
        }
    };
    // The sizes that a config declares are held against the tensors before memory is asked for.
    placed("embed.W_E")?;
    if let Some(last) = config.n_layers.checked_sub(1) {
        for part in ["attn.W_Q", "attn.W_K", "mlp.W_in"] {
            placed(&format!("blocks.{last}.{part}"))?;
        }
    }
    let mut views = BTreeMap::new();
    for (name, shape) in Network::parameters(&architecture)? {
        views.insert(name.clone(), (placed(&name)?, shape));
    }
    let used: BTreeSet<String> = views.values().map(|(v, _)| v.tensor.clone()).collect();
    let mut weights = Weights::new();
    for (name, (view, shape)) in views {
        weights.insert(name, view.read(&file.read(&view.tensor)?, &shape)?);
    }
    let mut network = Network::new(architecture, weights).map_err(|e| file.bad(e.to_string()))?;
    for name in shapes.keys().filter(|n| !used.contains(*n)) {
        network.extra.insert(name.clone(), file.raw(name)?);
    }
    Ok(network)
}
