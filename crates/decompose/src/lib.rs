//! Step 1: take activations apart into parts.
//!
//! A [`Decompose`] method looks at what lies at one site and returns a [`Dictionary`]: parts with
//! how to read them from activations and how to write them back. To add a method: implement the
//! trait, add one line to the registry, write one page in `docs/methods/`.
//!
//! | file | holds |
//! |---|---|
//! | `method.rs`, `registry.rs` | the trait [`Decompose`], its [`Data`], the list of methods |
//! | `collect.rs`, `writer.rs` | [`collect`]: activations of a subject at a site, and the matrix behind them |
//! | `dictionary.rs`, `normalize.rs` | [`Dictionary`], and norms of samples before it |
//! | `sae_lens.rs`, `sparsify.rs`, `bare.rs` | the same as the folders of two peers, or as weights alone |
//! | `train.rs`, `dense.rs`, `sparse.rs` | the training loop of sparse dictionaries; forward and backward through all latents, or active ones |
//! | `largest.rs` | what TopK and BatchTopK share |
//! | `neurons.rs`, `random.rs`, `pca.rs`, `ica.rs`, `svd.rs`, `l1.rs`, `topk.rs`, `batch_topk.rs`, `matryoshka.rs` | one method each |

mod bare;
mod batch_topk;
mod collect;
mod dense;
mod dictionary;
mod error;
mod ica;
mod l1;
mod largest;
mod matryoshka;
mod method;
mod neurons;
mod normalize;
mod pca;
mod random;
mod registry;
mod sae_lens;
mod sparse;
mod sparsify;
mod svd;
mod topk;
mod train;
mod writer;

pub use bare::{Activation, Declared};
pub use collect::{collect, collect_everywhere, positions};
pub use dictionary::{Dictionary, Encode, Extra};
pub use error::Error;
pub use method::{Data, Decompose, MethodEntry, Writer, with_defaults};
pub use normalize::Normalize;
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
    #[doc = include_str!("../../../docs/methods/ica.md")]
    struct Ica;
    #[doc = include_str!("../../../docs/methods/topk.md")]
    struct TopK;
}
