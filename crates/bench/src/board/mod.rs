//! The board: what a run's numbers support.
//!
//! Three tables and never one composite: parts recovered, wiring recovered, effects predicted; and a
//! fourth, algorithms told apart, where a run has behaviour twins. Each
//! row is one method on one organism by one metric, its score between its null and its oracle, with
//! every seed shown. Whether a row is ranked is decided here and nowhere else, in this
//! order; the first that holds wins:
//!
//! 1. a cell that it is made of failed or is not there: `failed`, with the seeds and the reason; the
//!    mean of the other seeds is shown and has no rank, because seeds that fail are not drawn at
//!    random;
//! 2. no seed has a score: `n/a` or `untestable`, with the reason;
//! 3. the whole model: `ceiling`;
//! 4. the known truth, or something wrong on purpose: `truth`, `control`; a control whose score is
//!    [`HOLDS`] of the way from its null to its oracle is a fault of the board;
//! 5. a null is missing: `uncontrolled`;
//! 6. a control of the instrument fails: `invalid`. Either the null's interval excludes what theory
//!    says about it (this row), or an exact-truth oracle lies below a method of the same tier by
//!    more than the interval of their paired difference (all rows of that organism, metric and
//!    tier: the oracle is theirs as well). Both intervals are at 95 % for the whole board
//!    (Bonferroni over the checks that are made), else a board of 100 rows would call itself broken
//!    every time;
//! 7. score and null are not told apart, that is the interval of their difference over seeds holds 0,
//!    or the score is under the null by no more than the mean of as many of its own draws is in 95 % of
//!    all cases: `at null`; else the mean score is under the mean null: `below null`;
//! 8. the audit used the method's own interventions: `circular`;
//! 9. the truth is reverse-engineered or contested: `claim`;
//! 10. one specimen: `single`;
//! 11. another metric is the table's own: `beside`;
//! 12. no oracle: `no truth`, ranked by the difference to the null;
//! 13. else `ranked`, by the score, and at equal scores by the bits that the explanation takes.
//!
//! Ranks are within (table, organism, metric, tier). Everything is sorted, so that equal results
//! give equal bytes of `board.json`, in whatever order they came.
//!
//! ```
//! use flyroom_bench::board::{Board, CellResult, OracleKind, Status, Table};
//! let result = |method, seed, score| {
//!     CellResult::new(Table::Parts, "superposition-5-2", method, "mcc", seed, score)
//!         .null(0.55)
//!         .oracle(1.0, OracleKind::Truth)
//! };
//! let board = Board::from_results(vec![
//!     result("topk", 0, 0.93), result("topk", 1, 0.95),
//!     result("pca", 0, 0.52), result("pca", 1, 0.521),
//! ]);
//! assert_eq!(board.rows[0].method, "topk");
//! assert_eq!((board.rows[0].status, board.rows[0].rank), (Status::Ranked, Some(1)));
//! assert_eq!((board.rows[1].status, board.rows[1].rank), (Status::BelowNull, None));
//! ```

mod csv;
mod judge;
pub mod matrix;
mod result;
pub mod route;
mod row;
mod terminal;
mod verdict;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use flyroom_organism::Route;
use serde::{Deserialize, Serialize};

pub use matrix::{Arm, CrashTest};
pub use result::{Absent, CellResult, NullTheory, OracleKind, Role, Source, Standing, Table, Tier};
pub use route::RouteRank;
pub use row::{Row, SeedScore, Status};
pub use verdict::{Grade, Verdict};

pub(crate) use csv::{exact, quote};

use crate::canonical::{self, CanonicalError};

/// Two scores nearer than this are equal: scores come from f32 networks.
pub const FLOAT_FLOOR: f64 = 1e-6;

/// Share of the way from null to oracle from which on an explanation holds.
pub const HOLDS: f64 = 0.9;

/// The schema of `board.json`.
pub const SCHEMA: u32 = 1;

/// The ranking that a run supports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// The schema of the file.
    pub schema: u32,
    /// All rows: by table, organism, primary metrics first, tier, then the best first.
    pub rows: Vec<Row>,
    /// Mean ranks by construction route, where the run has two or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteRank>>,
    /// Which methods the traps of the run break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash_test: Option<CrashTest>,
    /// What is wrong with the instrument; empty on a board that may be cited.
    pub faults: Vec<String>,
    /// Results that could not enter: the same seed twice, a score that is not finite.
    pub refused: Vec<String>,
}

impl Board {
    /// Groups results into rows, judges and ranks them.
    pub fn from_results(results: Vec<CellResult>) -> Self {
        judge::board(results)
    }

    /// With mean ranks by the routes of its organisms.
    #[must_use]
    pub fn routed(mut self, routes: &BTreeMap<String, Route>) -> Self {
        self.routes = route::ranks(&self.rows, routes);
        self
    }

    /// With the crash test of the traps among its organisms.
    #[must_use]
    pub fn crash_tested(mut self, arms: &[Arm]) -> Self {
        self.crash_test = matrix::crash_test(&self.rows, arms);
        self
    }

    /// The bytes of `board.json`: equal for equal results.
    ///
    /// # Errors
    /// If a number in a detail has no JSON.
    pub fn to_json(&self) -> Result<String, CanonicalError> {
        Ok(canonical::of(self)? + "\n")
    }

    /// Reads `board.json`.
    ///
    /// # Errors
    /// If the text has another form.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The rows as comma-separated values, one row a line (RFC 4180).
    pub fn to_csv(&self) -> String {
        csv::rows(self)
    }

    /// The three tables, the verdicts and what is wrong, as text of at most 100 columns.
    pub fn to_text(&self) -> String {
        terminal::board(self)
    }

    /// The rows of one table.
    pub fn table(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.table == table)
    }

    /// One sentence for each method on each organism.
    pub fn verdicts(&self) -> Vec<Verdict> {
        verdict::all(self)
    }
}

/// A larger score first; rows without one last.
fn best_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// A number for people: three digits after the point, fewer where it is large.
pub(crate) fn number(x: f64) -> String {
    let text = match x.abs() {
        size if !size.is_finite() => return "-".to_owned(),
        size if size < 9.9995 => format!("{x:.3}"),
        size if size < 999.95 => format!("{x:.1}"),
        size if size < 1e7 => format!("{x:.0}"),
        _ => format!("{x:.2e}"),
    };
    // -0.000 is 0.
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') {
        text.replace('-', "")
    } else {
        text
    }
}
