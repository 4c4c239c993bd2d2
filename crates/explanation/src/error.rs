//! What can go wrong with an explanation: its file, its program, and the scene it is executed in.

use std::path::{Path, PathBuf};

/// Errors name the file and the key, or the part, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network refused.
    #[error(transparent)]
    Network(#[from] flyroom_network::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not an explanation.
    #[error("{path}: at {key}: {why}\nhint: {hint}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Where in the file: a key path such as `body.rasp.program.variables[2]`, or a line.
        key: String,
        /// What is wrong.
        why: String,
        /// What to do.
        hint: String,
    },
    /// A program that contradicts itself or meets values that it has no meaning for.
    #[error("program, variable '{variable}': {why}")]
    Program {
        /// Which variable.
        variable: String,
        /// What is wrong.
        why: String,
    },
    /// A text that is no program.
    #[error(transparent)]
    Text(#[from] Box<crate::rasp::Diagnostic>),
    /// A file whose text is no program.
    #[error("{path}: {source}")]
    TextFile {
        /// Which file.
        path: PathBuf,
        /// Where in it, and what.
        source: Box<crate::rasp::Diagnostic>,
    },
    /// A part that contradicts itself or the body.
    #[error("part '{part}': {why}")]
    Part {
        /// Which part.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// A body that cannot be executed.
    #[error("body: {0}")]
    Body(String),
    /// A subspace whose basis is not orthonormal.
    #[error("'{selector}': {why}")]
    Basis {
        /// Which selector.
        selector: String,
        /// What is wrong.
        why: String,
    },
    /// A scene that lacks what the explanation needs.
    #[error("scene: {0}")]
    Scene(String),
}

impl Error {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    pub(crate) fn program(variable: &str, why: impl Into<String>) -> Self {
        Self::Program { variable: variable.into(), why: why.into() }
    }

    pub(crate) fn part(part: &str, why: impl Into<String>) -> Self {
        Self::Part { part: part.into(), why: why.into() }
    }
}
