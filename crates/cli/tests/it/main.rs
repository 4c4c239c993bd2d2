//! Tests of the binary as people and scripts use it: it is started, and what it prints, leaves on
//! disk and answers is read.

mod bits;
mod cli;
mod damaged;
mod disk;
mod docs;
mod docs_long;
mod docs_table;
mod exam;
mod kills;
mod progress;
mod rasp;
mod resume;
mod share;
mod tool;
mod trace;
mod twins;
