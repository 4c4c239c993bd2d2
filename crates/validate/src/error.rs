//! What can go wrong in a trial.

/// Errors of a trial.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network refused.
    #[error(transparent)]
    Network(#[from] flyroom_network::Error),
    /// The engine refused.
    #[error(transparent)]
    Tensor(#[from] flyroom_tensor::Error),
    /// The organism refused.
    #[error(transparent)]
    Organism(#[from] flyroom_organism::Error),
    /// The decomposition refused.
    #[error(transparent)]
    Decompose(#[from] flyroom_decompose::Error),
    /// The description refused.
    #[error(transparent)]
    Describe(#[from] flyroom_describe::Error),
    /// The explanation refused.
    #[error(transparent)]
    Explanation(#[from] flyroom_explanation::Error),
    /// A linear system has no solution.
    #[error(transparent)]
    Linalg(#[from] flyroom_tensor::linalg::LinalgError),
    /// The trial cannot be held.
    #[error("{0}")]
    Trial(String),
}
