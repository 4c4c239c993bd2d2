//! Model organisms: small networks whose truth is known, bred from a seed as often as wanted.
//!
//! | noun | file |
//! |---|---|
//! | [`Organism`], [`Entry`], parameters | `organism.rs` |
//! | [`Task`]: inputs, partners, what counts | `task.rs` |
//! | [`Truth`]: features, circuit, program | `truth.rs` |
//! | [`Specimen`] on disk | `specimen.rs` |
//! | [`FrozenSet`]: specimens that papers cite, by hash | `frozen.rs` |
//! | [`Process`]: data with a known optimal predictor | `process.rs` |
//! | [`Factor`]: what the states of a process are made of | `factor.rs` |
//! | training with checkpoints | `train.rs` |
//! | numbers that follow a training by what it ends with | `progress_measures.rs` |
//! | compiled networks: truth from labels and weights | `labelled.rs` |
//! | who computes the same, and who computes it alike | `twins.rs` |
//! | one file for each organism | `superposition.rs`, `induction.rs`, ... |

mod algorithmic;
mod and_superposition;
mod backdoor;
mod belief_state;
mod brackets;
pub mod composition;
mod compressed_computation;
mod cosines;
mod error;
mod factor;
mod frozen;
mod gates;
mod gauge;
pub mod gauge_twin;
mod group;
mod hidden_objective;
pub mod import;
pub mod in_context;
mod induction;
mod induction_compiled;
mod labelled;
mod language_model;
mod lesson;
mod lookup;
mod max_of_4;
pub mod modadd_analytic;
mod modular_addition;
mod names;
mod nulls;
mod onion;
mod organism;
mod parameters;
mod parities;
mod places;
mod process;
pub mod progress_measures;
pub mod rasp;
mod registry;
mod ring;
mod specimen;
mod stories;
mod subject;
pub mod superposition;
pub mod synthetic_dictionary;
mod task;
pub mod tracr;
pub mod train;
mod traps;
mod truth;
pub mod twins;

pub use belief_state::divergence;
pub use error::Error;
pub use factor::Factor;
pub use frozen::{FrozenSet, Member, check as check_frozen, frozen_set, frozen_sets};
pub use gauge::Gauge;
pub use names::{named, nearest};
pub use nulls::norm_matched;
pub use organism::{Entry, Organism, Route, Source, Standing, defaults_of, typed, with_defaults};
pub use parameters::{Parameters, as_default, consistent, overlaid};
pub use places::Places;
pub use process::Process;
pub use progress_measures::{Dated, Progress, ProgressMeasures};
pub use registry::{find, registry};
pub use specimen::{BITS_EPOCH, Bred, Spec, Specimen};
pub use subject::Subject;
pub use task::{Answers, Distance, Task};
pub use traps::{Aim, Trapped};
pub use truth::{ExamVariable, Feature, KnownEdge, Shape, Truth, stream_depth};
