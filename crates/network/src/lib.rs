//! Networks with named sites, interventions on them, and their weights on disk.
//!
//! A [`Network`] is an [`Architecture`] with weights under TransformerLens' names. Its forward
//! pass records a graph in which every hook is a [`Site`]; a [`Runner`] holds a network on one set
//! of [`Inputs`] and executes [`Row`]s: an input with [`Intervention`]s. Captures, patches, edge
//! patches and gradients are edits of the recorded graph, so the compiler prunes what nobody reads.
//!
//! | file | holds |
//! |---|---|
//! | `config.rs` | architectures as data |
//! | `transformer.rs`, `gru.rs`, `small.rs` | the forward passes, one line a site |
//! | `site.rs`, `selector.rs`, `edge.rs`, `intervention.rs` | the language of places and interventions |
//! | `network.rs` | weights in memory |
//! | `tokenizer/` | text to tokens and back |
//! | `format/` | weights on disk: readers and writers of files |
//! | `pretrained/` | language models of others as networks |
//! | `runner/`, `patch.rs`, `linear.rs` | execution, exact and to first order |

mod config;
mod edge;
mod error;
pub mod format;
mod gru;
mod inputs;
mod intervention;
mod linear;
mod network;
mod patch;
pub mod pretrained;
mod rotary;
mod runner;
mod selector;
mod site;
mod small;
pub mod tokenizer;
mod transformer;

pub use config::{
    Activation, Architecture, AutoencoderConfig, GruConfig, MlpConfig, NORM_EPS, Norm, Pairs,
    Pattern, Positions, Rotary, TransformerConfig,
};
pub use edge::{Edge, EdgeTable, Receiver, Sender};
pub use error::Error;
pub use format::{
    RawTensor, RawTensors, SafetensorsFile, read_safetensors, write_safetensors, write_whole,
};
pub use inputs::Inputs;
pub use intervention::{Intervention, Operation, Row, Target};
pub use network::{Form, Network, Weights, record};
pub use runner::{GradientPath, Runner};
pub use selector::{Selector, Span};
pub use site::{Axis, Site};
