//! All describe methods, one line each.

use crate::{
    ActivationPatching, Describe, DirectLogitAttribution, Error, Fourier, LogitLens, Scores,
};

/// Every describe method, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Describe] {
    &[
        &Scores::Exact,
        &Scores::Eap,
        &Scores::EapIg,
        &Fourier,
        &LogitLens,
        &DirectLogitAttribution,
        &ActivationPatching,
    ]
}

/// The method of a name.
pub fn find(name: &str) -> Result<&'static dyn Describe, Error> {
    registry().iter().copied().find(|m| m.entry().name == name).ok_or_else(|| {
        let near = registry()
            .iter()
            .map(|m| m.entry().name)
            .map(|n| (strsim::damerau_levenshtein(n, name), n))
            .filter(|(d, n)| *d <= n.len() / 3 + 1)
            .min();
        Error::Unknown {
            name: name.into(),
            hint: near.map(|(_, n)| format!("; did you mean '{n}'?")).unwrap_or_default(),
        }
    })
}
