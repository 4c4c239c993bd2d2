//! What can go wrong while a network is described.

/// Errors name the method and the reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network refused.
    #[error(transparent)]
    Network(#[from] flyroom_network::Error),
    /// The organism refused.
    #[error(transparent)]
    Organism(#[from] flyroom_organism::Error),
    /// The decomposition refused.
    #[error(transparent)]
    Decompose(#[from] flyroom_decompose::Error),
    /// The explanation refused.
    #[error(transparent)]
    Explanation(#[from] flyroom_explanation::Error),
    /// The engine refused.
    #[error(transparent)]
    Tensor(#[from] flyroom_tensor::Error),
    /// A matrix has no decomposition.
    #[error(transparent)]
    Linalg(#[from] flyroom_tensor::linalg::LinalgError),
    /// The method does not apply to this specimen: `n/a` on the board.
    #[error("method {method} does not apply: {why}")]
    NotApplicable {
        /// Which method.
        method: &'static str,
        /// Why.
        why: String,
    },
    /// A parameter that is unknown, of the wrong kind or out of range.
    #[error("method {method}: {why}")]
    Parameters {
        /// Which method.
        method: String,
        /// What is wrong.
        why: String,
    },
    /// No method of this name.
    #[error("no describe method '{name}'{hint}")]
    Unknown {
        /// The name as given.
        name: String,
        /// `; did you mean ...?` or nothing.
        hint: String,
    },
}
