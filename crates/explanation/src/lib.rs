//! The language of explanations, and its executor.
//!
//! An [`Explanation`] is [`Part`]s (variables, and the places where a network holds them) and a
//! [`Body`] (what the parts do, how they are wired), as data. It executes: [`predict`] takes the
//! same rows of inputs and interventions that a network's runner takes, and gives outputs or
//! abstains. It has a hash that freezes it for an exam, and a size in bits.
//!
//! | file | holds |
//! |---|---|
//! | `value.rs` | [`Value`]: what a variable holds at one position |
//! | `rasp.rs` | sequence programs: data, interpreter, library |
//! | `part.rs` | [`Part`], [`Alignment`], [`Code`]: variables and their places |
//! | `relation.rs` | [`relate`]: does an intervention cover a place, cut it, or miss it |
//! | `body.rs` | [`Body`]: program, cosines, circuit, the whole network, a snapshot |
//! | `explanation.rs` | [`Explanation`], its checks and its hash |
//! | `execute.rs` | [`predict`] |
//! | `bits.rs` | code lengths |
//! | `io.rs` | `explanation.json` |

pub mod bits;
mod body;
mod error;
mod execute;
mod explanation;
mod io;
mod part;
pub mod rasp;
mod relation;
mod value;

pub use body::{Ablation, Access, Body, Cosines, Readout, Term};
pub use error::Error;
pub use execute::{Abstention, Prediction, Reads, Reason, Scene, predict, variables};
pub use explanation::{Explanation, SCHEMA};
pub use part::{Alignment, Code, Decoded, Part};
pub use relation::{Overlap, Relation, TOLERANCE, relate, same_site};
pub use value::Value;
