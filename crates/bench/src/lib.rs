//! From a plan to a board: which cells to run, where their results lie, and what they support.
//!
//! A *plan* is a matrix in TOML: organisms x methods x seeds. Each entry of it is a *cell*, one
//! deterministic job whose name is the hash of everything that decides its bits ([`CellSpec`]). A
//! *run* is the folder in which cells are kept ([`Store`]); a cell that is there is never computed
//! again, whoever computed it. The *board* ranks what the cells say ([`Board`]): each number
//! between its null and its oracle, with every seed shown, in three tables and never in one
//! composite. The *report* is the board as a page ([`report::ReportData`]).
//!
//! ```text
//! plan.toml -> Plan -> Schedule -> Store -> CellResult -> Board -> Verdict, tables, report.html
//!   plan/      plan/   schedule    store/     board/      board/       board/, report/
//! ```
//!
//! The library never prints, never reads the environment, and reads the clock in [`clock`] only;
//! progress goes to an [`Observer`].

mod absent;
pub mod assemble;
pub mod board;
pub mod bred;
pub mod canonical;
pub mod clock;
pub mod figures;
pub mod foreign;
pub mod key;
pub mod phases;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod schedule;
pub mod statistics;
pub mod store;
pub mod trace;
pub mod transfer;
mod twins;
pub mod work;

pub use board::{Board, CellResult, Row, Verdict};
pub use key::{BITS_EPOCH, CellSpec, Key};
pub use plan::{Catalog, EntryInfo, Plan, PlanError, SetInfo};
pub use report::ReportData;
pub use schedule::{Observer, Outcome, Schedule};
pub use store::{Cell, Store, StoreError};

/// An error of the code that fills a cell, whatever crate it comes from.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;
