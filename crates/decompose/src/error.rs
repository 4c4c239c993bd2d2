//! What can go wrong while activations are taken apart.

use std::path::PathBuf;

/// Errors name the method, the site or the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network refused.
    #[error(transparent)]
    Network(#[from] flyroom_network::Error),
    /// The organism refused.
    #[error(transparent)]
    Organism(#[from] flyroom_organism::Error),
    /// The engine refused.
    #[error(transparent)]
    Tensor(#[from] flyroom_tensor::Error),
    /// A decomposition of a matrix failed.
    #[error(transparent)]
    Linalg(#[from] flyroom_tensor::linalg::LinalgError),
    /// A parameter that is unknown, of the wrong kind or out of range.
    #[error("method {method}: {why}")]
    Parameters {
        /// Which method.
        method: String,
        /// What is wrong.
        why: String,
    },
    /// Arrays whose shapes or values do not fit.
    #[error("{0}")]
    Shapes(String),
    /// A file or folder is not what its format says.
    #[error("{path}: {why}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// No method of this name.
    #[error("no decompose method '{name}'{hint}")]
    Unknown {
        /// The name as given.
        name: String,
        /// `; did you mean ...?` or nothing.
        hint: String,
    },
}

impl Error {
    /// What is wrong with the parameters of a method.
    pub(crate) fn parameters(method: &str, why: impl ToString) -> Self {
        Self::Parameters { method: method.into(), why: why.to_string() }
    }
}
