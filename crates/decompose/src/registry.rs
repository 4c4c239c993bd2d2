//! All decompose methods, one line each.

use crate::{Decompose, Error};
use flyroom_organism::named;

/// Every decompose method, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Decompose] {
    &[
        &crate::neurons::NEURONS,
        &crate::random::RANDOM,
        &crate::pca::PCA,
        &crate::ica::ICA,
        &crate::svd::SVD,
        &crate::l1::L1,
        &crate::topk::TOPK,
        &crate::batch_topk::BATCH_TOPK,
        &crate::matryoshka::MATRYOSHKA,
    ]
}

/// The method of a name.
pub fn find(name: &str) -> Result<&'static dyn Decompose, Error> {
    named(registry(), |m| m.entry().name, name)
        .map_err(|hint| Error::Unknown { name: name.into(), hint })
}
