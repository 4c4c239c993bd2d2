//! Step 2: say what the parts do and how they are wired, as something that can be executed.
//!
//! A [`Describe`] method sees a [`Subject`](flyroom_organism::Subject), never its truth, and
//! returns a [`Description`]: an executable [`Explanation`](flyroom_explanation::Explanation) with
//! what was seen on the way. To add a method: implement the trait, add one line to the registry,
//! write one page in `docs/methods/`.

mod circuit;
mod error;
mod fourier;
mod method;
pub mod metric;
mod registry;

pub use circuit::{SATURATED, Scores};
pub use error::Error;
pub use fourier::Fourier;
pub use method::{Describe, Description, EdgeScore, FrequencyLine};
pub use registry::{find, registry};
