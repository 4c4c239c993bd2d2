//! Networks that others trained or compiled, read into specimens.
//!
//! Each kind of file is a [`Kind`] of the table [`KINDS`]: it declares what the shapes of its
//! tensors do not say, checks the rest, and brings the organism whose task judges the network. No
//! code of a file is run, orientation is declared or an error, a missing tensor is named, an
//! unknown one is kept, and [`export`] returns every tensor bit for bit.
//!
//! | file | holds |
//! |---|---|
//! | `file.rs` | a file of tensors, with errors that name file and tensor |
//! | `hooked.rs` | a model that TransformerLens saved, with its config |
//! | `transformer_lens.rs` | TransformerLens' names in both layouts, without a config |
//! | `foreign.rs` | the organism of such a network: judged by another organism's task |
//! | `tracr.rs` | Haiku names of Tracr's compiled networks |
//! | `language_model.rs`, `prompts.rs` | Hugging Face folders and GGUF files, and what they are asked |
//! | `modadd113.rs`, `induction26.rs`, `clock_pizza.rs`, `routing12.rs` | public trained networks |

mod clock_pizza;
mod file;
mod foreign;
mod hooked;
mod induction26;
mod language_model;
mod modadd113;
mod prompts;
mod routing12;
#[cfg(test)]
mod tests;
mod tracr;
mod transformer_lens;

pub use foreign::Foreign;
pub use induction26::Induction26;
pub use language_model::PromptOptions;
pub use routing12::Routing12;
#[cfg(test)]
pub(crate) use tests::fixture;
pub use transformer_lens::{Declared, Layout};

use crate::{Bred, Error, Organism, Parameters, Specimen, Truth};
use flyroom_network::{Network, RawTensor};
use flyroom_tensor::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// What a user says about a file; each kind uses what it needs and refuses the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// What shapes do not say, for `transformer-lens`.
    pub declared: Declared,
    /// The organism whose task judges the network, for `transformer-lens`.
    pub organism: Option<String>,
    /// Parameters of that organism.
    pub set: Parameters,
    /// Seed of a random gauge, for compiled networks; aligned if absent.
    pub rotated: Option<u64>,
    /// What a language model is asked, for `huggingface` and `gguf`.
    pub prompts: PromptOptions,
}

/// A network from a file, with what is known of it.
#[derive(Debug)]
pub struct Imported {
    /// Whose task judges it.
    pub organism: &'static dyn Organism,
    /// All parameters of that organism.
    pub parameters: Parameters,
    /// Seed of the gauge, else 0.
    pub seed: u64,
    /// The network and its truth.
    pub bred: Bred,
}

impl Imported {
    /// Measures the network on its task and assembles the specimen; the truth goes its own way.
    pub fn into_specimen(self, cx: &Context) -> Result<(Specimen, Truth), Error> {
        let metrics = self.organism.measure(&self.parameters, &self.bred.network, cx)?;
        Ok(Specimen::new(self.organism, &self.parameters, self.seed, self.bred, metrics))
    }
}

/// A kind of file.
#[derive(Debug)]
pub struct Kind {
    /// Its name on the command line.
    pub name: &'static str,
    /// What PATH is.
    pub path: &'static str,
    read: fn(&Path, &Options) -> Result<Imported, Error>,
    write: fn(&Network) -> Result<BTreeMap<String, RawTensor>, Error>,
    /// Whether a random gauge can be asked for.
    gauge: bool,
}

/// All kinds, one each.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tracr",
        path: "NAME.safetensors with NAME.json beside it",
        read: tracr::import,
        write: tracr::write,
        gauge: true,
    },
    Kind {
        name: "transformer-lens",
        path: "folder with cfg.json and a state dict, or safetensors of these names",
        read: foreign::import,
        write: in_out,
        gauge: false,
    },
    Kind {
        name: "huggingface",
        path: "folder with config.json, model.safetensors and a tokenizer",
        read: language_model::huggingface,
        write: in_out,
        gauge: false,
    },
    Kind {
        name: "gguf",
        path: "GGUF file of the Llama family",
        read: language_model::gguf,
        write: in_out,
        gauge: false,
    },
    Kind {
        name: "modadd113",
        path: "safetensors of a network that adds modulo 113",
        read: modadd113::import,
        write: in_out,
        gauge: false,
    },
    Kind {
        name: "induction26",
        path: "safetensors of a 2-layer attention-only network",
        read: induction26::import,
        write: in_out,
        gauge: false,
    },
    Kind {
        name: "routing12",
        path: "safetensors of a 2-layer network that answers the slot asked for",
        read: routing12::import,
        write: routing12::write,
        gauge: false,
    },
    Kind {
        name: "clock-pizza",
        path: "model_ID.safetensors with config_ID.json beside it",
        read: clock_pizza::import,
        write: clock_pizza::write,
        gauge: false,
    },
];

fn in_out(network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    Ok(transformer_lens::write(network, Layout::InOut, Layout::InOut))
}

fn kind(name: &str) -> Result<&'static Kind, Error> {
    KINDS.iter().find(|k| k.name == name).ok_or_else(|| Error::Parameters {
        organism: name.into(),
        why: format!(
            "no such kind of file; hint: {}",
            KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Reads a file of a kind.
///
/// Fails when the file is not of that kind, naming the file and the tensor, or when the options
/// contradict it.
pub fn import(name: &str, path: &Path, options: &Options) -> Result<Imported, Error> {
    let kind = kind(name)?;
    let unused = |why: &str| Err(Error::Format { path: path.into(), why: why.into() });
    if options.rotated.is_some() && !kind.gauge {
        return unused("only compiled networks enter in a random gauge; hint: leave --rotated out");
    }
    let generic = name == "transformer-lens";
    if !generic && options.declared != Declared::default() {
        return unused(
            "this kind declares its architecture itself; hint: import transformer-lens takes declarations",
        );
    }
    // Of networks that bring their task, one leaves something to be said.
    let settable = generic || (name == "routing12" && options.set.keys().all(|k| k == "heads"));
    if !generic && (options.organism.is_some() || !(settable || options.set.is_empty())) {
        return unused("this kind brings its own task; hint: leave --organism and --set out");
    }
    let asked = options.prompts != PromptOptions::default();
    if asked && !["huggingface", "gguf"].contains(&name) {
        return unused(
            "this kind brings its own inputs; hint: prompts are for huggingface and gguf",
        );
    }
    (kind.read)(path, options)
}

/// The tensors of a network as a file of that kind has them: what [`import`] read, bit for bit.
pub fn export(name: &str, network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    (kind(name)?.write)(network)
}

/// The refusal of `breed` for networks that come from files.
pub(crate) fn not_bred(organism: &str, kind: &str) -> Error {
    Error::Parameters {
        organism: organism.into(),
        why: format!("it is imported, not bred; hint: flyroom import {kind} PATH --out DIR"),
    }
}

/// The truth of a network that papers took apart and nobody here located yet.
pub(crate) fn contested() -> Truth {
    Truth {
        source: crate::Source::ReverseEngineered,
        standing: crate::Standing::Contested,
        ..Truth::nothing()
    }
}
