//! Step 3: put what was said on trial.
//!
//! | question | file |
//! |---|---|
//! | are the parts the true ones? | `parts.rs` |
//! | what does the reconstruction lose? | `reconstruction.rs` |
//! | are latents on when their features are? | `classifier.rs` |
//! | do latents fall silent where more specific ones fire? | `absorption.rs` |
//! | is what it reads also used? | `used.rs` |
//! | are the edges the true ones, and are they enough? | `wiring.rs` |
//! | which interventions are asked | `exam.rs` |
//! | are their effects predicted? | `effect.rs` |
//! | what would chance reach? | `null.rs` |
//! | the card, the verdict, the step to blame | `trial.rs` |
//! | is the truth true? | `audit/` |
//! | what does each part of an explanation do? | `part_effects.rs` |
//! | do two explanations say the same? | `distance.rs` |
//! | are different algorithms told apart? | `twins.rs` |
//! | do things lie to each other as they should? | `geometry.rs` |
//! | does it hold the beliefs that it needs? | `beliefs.rs` |
//! | and each factor of them, where it is needed? | `factors/` |

pub mod absorption;
pub mod audit;
pub mod beliefs;
pub mod classifier;
pub mod distance;
mod effect;
mod error;
pub mod exam;
pub mod factors;
pub mod geometry;
mod null;
pub mod part_effects;
pub mod parts;
pub mod reconstruction;
mod registry;
mod trial;
pub mod twins;
pub mod used;
pub mod wiring;

pub use effect::{EffectScore, FLOAT_FLOOR, FamilyScore, LEAKY, LEAST, NO_EFFECT, Observed, Stage};
pub use error::Error;
pub use null::{derangement, misdescribed, padded, reassigned, reassigned_parts};
pub use registry::{METRICS, MetricEntry};
pub use trial::{
    Bits, Card, ExamScore, HOLDS, NOTHING, NULL_DRAWS, Null, SNAPSHOT, Trial, blame, verdict,
};
