//! All describe methods, one line each.

use crate::{
    ActivationPatching, Das, Describe, DirectLogitAttribution, Error, Fourier, LogitLens,
    ProbedProgram, Scores,
};
use flyroom_organism::named;

/// Every describe method, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Describe] {
    &[
        &Scores::Exact,
        &Scores::Pairs,
        &Scores::Eap,
        &Scores::EapIg,
        &Scores::EapIgActivations,
        &Fourier,
        &LogitLens,
        &DirectLogitAttribution,
        &ActivationPatching,
        &ProbedProgram,
        &Das,
    ]
}

/// The method of a name.
pub fn find(name: &str) -> Result<&'static dyn Describe, Error> {
    named(registry(), |m| m.entry().name, name)
        .map_err(|hint| Error::Unknown { name: name.into(), hint })
}
