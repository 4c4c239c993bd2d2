//! Tests of the binary as people and scripts use it: it is started, and what it prints, leaves on
//! disk and answers is read.

mod bits;
mod cli;
mod damaged;
mod docs;
mod resume;
mod tool;
