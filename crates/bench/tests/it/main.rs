//! Plans, stores, boards and reports; whole runs of embedded plans, and what may befall them.

mod board;
mod crash_test;
mod disk;
mod foreign;
mod generated;
mod index;
mod plan;
mod report;
mod schedule;
mod statistics;
mod store;
