//! What can be wrong with a plan, in words for the person who wrote it.

use std::fmt;

/// An error of a plan: where, what, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanError {
    /// The file as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Box<PlanProblem>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kinds of errors that a plan can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanProblem {
    /// The text is not TOML.
    #[error("this is not TOML: {0}")]
    Syntax(String),
    /// A key that means nothing.
    #[error("unknown key `{key}` in {place}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands, as `[[method]]`.
        place: String,
    },
    /// A name that is not in the registry.
    #[error("there is no {noun} `{name}`")]
    UnknownName {
        /// What it should be a name of.
        noun: String,
        /// The name.
        name: String,
    },
    /// A method is restricted to an organism that the plan does not breed.
    #[error("the plan has no organism `{0}`")]
    NotInPlan(String),
    /// A parameter that the entry does not have.
    #[error("`{entry}` has no parameter `{name}`")]
    UnknownParameter {
        /// The entry of the registry.
        entry: String,
        /// The parameter.
        name: String,
    },
    /// A key that must be there.
    #[error("{place} has no `{key}`")]
    Missing {
        /// The key.
        key: String,
        /// Where it is missing.
        place: String,
    },
    /// A value of another type.
    #[error("`{key}` is {found}, but should be {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A value of the right type that cannot be used.
    #[error("`{key}` is {found}, but should be {wanted}")]
    OutOfRange {
        /// The key.
        key: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// Parameters that are each possible and not together.
    #[error("{0}")]
    Inconsistent(String),
    /// The same entry with the same parameters, twice.
    #[error("{what} stands twice; first in line {first_line}")]
    Duplicate {
        /// The entry.
        what: String,
        /// Where it stands first.
        first_line: usize,
    },
    /// A plan without organisms asks for nothing.
    #[error("the plan names no organism")]
    Empty,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PlanError {}

/// `did you mean ...?` where a name is near, else the names that there are.
pub(super) fn suggest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = names.collect();
    known.sort_unstable();
    known.dedup();
    let near = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), *name))
        .filter(|(likeness, _)| *likeness > 0.75)
        // The first of equals, so that the message is always the same.
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    match near {
        Some((_, name)) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None if known.len() <= 12 => Some(format!("there are {}", list(&known))),
        None => Some(format!("there are {} and {} more", list(&known[..12]), known.len() - 12)),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
