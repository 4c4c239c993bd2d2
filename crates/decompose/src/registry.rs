//! All decompose methods, one line each.

use crate::neurons::Neurons;
use crate::pca::Pca;
use crate::random::Random;
use crate::topk::TopK;
use crate::{Decompose, Error};

/// Every decompose method, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Decompose] {
    &[&Neurons, &Random, &Pca, &TopK]
}

/// The method of a name.
pub fn find(name: &str) -> Result<&'static dyn Decompose, Error> {
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
