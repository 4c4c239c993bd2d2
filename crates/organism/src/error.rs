//! What can go wrong while an organism is bred, stored or read.

use flyroom_explanation::rasp::Script;
use std::path::{Path, PathBuf};

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
    /// A variable of a program that no network computes here.
    #[error("organism {organism}: variable '{variable}' cannot be compiled: {why}; hint: {hint}")]
    Variable {
        /// Which organism.
        organism: String,
        /// Which variable.
        variable: String,
        /// What is wrong.
        why: String,
        /// What to do.
        hint: String,
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

impl Error {
    /// A variable that cannot be compiled; `why` may end with its own hint.
    pub(crate) fn variable(organism: &str, variable: &str, why: &str) -> Self {
        let hint = "`flyroom show rasp` says what can be compiled";
        let (why, hint) = why.split_once("; hint: ").unwrap_or((why, hint));
        let (organism, variable) = (organism.into(), variable.into());
        Self::Variable { organism, variable, why: why.into(), hint: hint.into() }
    }

    /// The same with the line of the program's text, where it is about one.
    pub(crate) fn in_text(self, text: &str) -> Self {
        match self {
            Self::Variable { variable, why, hint, .. } => {
                let why = format!("variable '{variable}' cannot be compiled: {why}");
                let at = Script::point_at(text, &variable, &why, &hint);
                Self::Explanation(Box::new(at).into())
            }
            other => other,
        }
    }

    /// The same with the name of the file in which the text lies, where it is about a place in one.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Explanation(flyroom_explanation::Error::Text(source)) => {
                let path = path.into();
                Self::Explanation(flyroom_explanation::Error::TextFile { path, source })
            }
            other => other,
        }
    }
}
