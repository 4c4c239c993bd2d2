//! Beliefs: the residual stream holds what is needed to predict the process, and uses it.
//!
//! A truth that names a process claims that a linear read-out of all layers gives the Bayes beliefs
//! better than the history itself and than the network before its first step do, and that exchanging the plane of the
//! beliefs behind the last layer moves the prediction as Bayes says ([`crate::beliefs`]). Random planes
//! of the same dimension are what must fail.

use super::{Check, Control, Counterexample, Ground};
use crate::Error;
use crate::beliefs::{BeliefScore, beliefs};
use serde::{Deserialize, Serialize};

/// Share of the way to the prediction that Bayes asks for, from which on an exchange moves it there.
pub const MOVED: f64 = 0.9;

/// Share of that way that random planes may make.
pub const UNMOVED: f64 = 0.5;

/// The check and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeliefsAudit {
    /// The outcome.
    #[serde(flatten)]
    pub check: Check,
    /// What was measured.
    pub measured: BeliefScore,
}

/// `None` where the truth names no process, or one with factors, which are asked one by one (`factors.rs`).
pub(super) fn check(ground: &Ground) -> Result<Option<BeliefsAudit>, Error> {
    let named = ground.truth.process.as_ref().filter(|p| p.factors().is_empty());
    let Some(process) = named else { return Ok(None) };
    let measured = beliefs(ground.specimen, process, ground.cx)?;
    let mut check = Check::empty();
    let mut claim = |what: &str, got: f64, least: f64| {
        check.claims += 1;
        check.comparisons += 1;
        if got.is_nan() || got < least {
            check.fail(|| Counterexample {
                claim: what.into(),
                input: vec![],
                place: "the residual stream".into(),
                wanted: format!("at least {least}"),
                got: format!("{got:.3}"),
            });
        }
    };
    claim("beliefs are read better than from the history: score", measured.score, 0.0);
    claim("and than before training: over_untrained", measured.over_untrained, 0.0);
    let moved = measured.exchanged.last().map_or(f64::NAN, |e| e.moved);
    claim("exchanged beliefs move the prediction: moved", moved, MOVED);
    let random = measured.exchanged.last().map_or(f64::NAN, |e| e.random);
    check.control = Some(Control::at_most("random planes exchanged", random, UNMOVED));
    check.runs = measured.runs;
    Ok(Some(BeliefsAudit { check: check.concluded(), measured }))
}
