//! Step 2: say what the parts do and how they are wired, as something that can be executed.
//!
//! A [`Describe`] method sees a [`Subject`](flyroom_organism::Subject), never its truth, and
//! returns a [`Description`]: an executable [`Explanation`](flyroom_explanation::Explanation) with
//! what was seen on the way. To add a method: implement the trait, add one line to the registry,
//! write one page in `docs/methods/`.

mod activation_patching;
mod candidate;
mod circuit;
mod counterfactual;
mod das;
mod direct_logit_attribution;
mod error;
mod exchange;
mod fourier;
mod grid;
mod hypothesis;
mod logit_lens;
mod method;
pub mod metric;
pub mod mib;
mod probed_program;
mod prompts;
mod readout;
mod registry;
mod subspace;

pub use activation_patching::ActivationPatching;
pub use circuit::{SATURATED, Scores};
pub use das::{Das, PLACED};
pub use direct_logit_attribution::{DirectLogitAttribution, TOLERANCE};
pub use error::Error;
pub use fourier::Fourier;
pub use grid::{Grid, GridAxis};
pub use hypothesis::AGREES;
pub use logit_lens::LogitLens;
pub use method::{Describe, Description, EdgeScore, FrequencyLine};
pub use probed_program::{ProbedProgram, READ};
pub use prompts::token_text;
pub use registry::{find, registry};
