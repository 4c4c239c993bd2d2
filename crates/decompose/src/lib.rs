//! Step 1: take activations apart into parts.
//!
//! A [`Decompose`] method looks at what lies at one site and returns a [`Dictionary`]: parts with
//! how to read them from activations and how to write them back. To add a method: implement the
//! trait, add one line to the registry, write one page in `docs/methods/`.
//!
//! | file | holds |
//! |---|---|
//! | `method.rs`, `registry.rs` | the trait [`Decompose`], its [`Data`], the list of methods |
//! | `collect.rs` | [`collect`]: activations of a subject at a site |
//! | `dictionary.rs`, `sae_lens.rs`, `sparsify.rs` | [`Dictionary`] in memory and as the folders of two peers |
//! | `neurons.rs`, `random.rs`, `pca.rs`, `topk.rs` | one method each |

mod collect;
mod dictionary;
mod error;
mod method;
mod neurons;
mod pca;
mod random;
mod registry;
mod sae_lens;
mod sparsify;
mod topk;

pub use collect::{collect, positions};
pub use dictionary::{Dictionary, Encode, Extra};
pub use error::Error;
pub use method::{Data, Decompose, MethodEntry, typed, with_defaults};
pub use pca::principal_components;
pub use random::{expected_fvu, unit_directions};
pub use registry::{find, registry};
pub use sae_lens::LINEAR;

/// The pages are tests: every example in them is compiled and run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/methods/neurons.md")]
    struct Neurons;
    #[doc = include_str!("../../../docs/methods/random.md")]
    struct Random;
    #[doc = include_str!("../../../docs/methods/pca.md")]
    struct Pca;
    #[doc = include_str!("../../../docs/methods/topk.md")]
    struct TopK;
}
