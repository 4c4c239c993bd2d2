//! What can go wrong with a network, its weights, its sites and its interventions.

use std::path::{Path, PathBuf};

/// Errors name the file, the tensor or the site, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused.
    #[error(transparent)]
    Tensor(#[from] flyroom_tensor::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something other than what its format says.
    #[error("{path}: {why}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A weight is missing.
    #[error("no tensor '{0}' among the weights")]
    Missing(String),
    /// A weight has another shape than the architecture wants.
    #[error("tensor '{name}' has shape {got:?}, the architecture wants {wanted:?}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// The shape wanted.
        wanted: Vec<usize>,
    },
    /// A weight is not a number.
    #[error("tensor '{name}' holds {value} at flat index {index}")]
    NonFinite {
        /// Which tensor.
        name: String,
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
    /// An architecture that contradicts itself.
    #[error("architecture: {0}")]
    Architecture(String),
    /// A selector, edge or site that cannot be read or does not exist here.
    #[error("'{text}': {why}")]
    Selector {
        /// As written.
        text: String,
        /// What is wrong, and near what.
        why: String,
    },
    /// Inputs that the network cannot take.
    #[error("inputs: {0}")]
    Input(String),
}

impl Error {
    /// An [`Error::File`] for `path`.
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// An [`Error::Format`] for `path`.
    pub fn format(path: &Path, why: impl Into<String>) -> Self {
        Self::Format { path: path.into(), why: why.into() }
    }
}
