//! Networks: against an independent oracle, against themselves, and against broken input.

mod common;
mod files;
mod oracle;
mod patching;
mod places;
