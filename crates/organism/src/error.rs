//! What can go wrong while an organism is bred, stored or read.

use std::path::PathBuf;

/// Errors name the organism, the parameter or the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network refused.
    #[error(transparent)]
    Network(#[from] flyroom_network::Error),
    /// The engine refused.
    #[error(transparent)]
    Tensor(#[from] flyroom_tensor::Error),
    /// The language of explanations refused.
    #[error(transparent)]
    Explanation(#[from] flyroom_explanation::Error),
    /// A parameter that is unknown or of the wrong kind.
    #[error("organism {organism}: {why}")]
    Parameters {
        /// Which organism.
        organism: String,
        /// What is wrong.
        why: String,
    },
    /// Training left the numbers.
    #[error("organism {organism}, seed {seed}: the loss is {loss} at step {step}")]
    Diverged {
        /// Which organism.
        organism: String,
        /// Which seed.
        seed: u64,
        /// When.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// A file or folder is not what its place says.
    #[error("{path}: {why}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// No organism of this name.
    #[error("no organism '{name}'{hint}")]
    Unknown {
        /// The name as given.
        name: String,
        /// `; did you mean ...?` or nothing.
        hint: String,
    },
    /// A fact about an explanation or a truth that cannot be expressed.
    #[error("{0}")]
    Truth(String),
    /// A specimen of a frozen set that came out otherwise than it was frozen.
    #[error(
        "bits broken: {organism} seed {seed} is {id}, but {set} has {frozen}; hint: breed it again; if it \
         comes out so again, this build computes other bits on this machine: please report it"
    )]
    BitsBroken {
        /// Which organism.
        organism: String,
        /// Which seed.
        seed: u64,
        /// The set.
        set: String,
        /// What came out.
        id: String,
        /// What was frozen.
        frozen: String,
    },
}
