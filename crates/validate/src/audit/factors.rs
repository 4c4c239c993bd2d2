//! Factors: the residual stream holds each factor of the data where it is asked for, and answers from it.
//!
//! A truth that names a process with factors claims of each one that the next token ever depends on: behind the last
//! layer a linear read-out gives its marginal better than from the network before its first step, from a bag of words and from
//! the history; and exchanging its plane there moves the prediction as Bayes says ([`crate::factors`]). What must
//! fail: random planes of the same dimension, and an idle factor that is claimed to be one that is asked.

use super::beliefs::{MOVED, UNMOVED};
use super::{Check, Control, Counterexample, Ground};
use crate::Error;
use crate::factors::{FactorScore, factors};
use serde::{Deserialize, Serialize};

/// The check and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactorsAudit {
    /// The outcome.
    #[serde(flatten)]
    pub check: Check,
    /// What was measured.
    pub measured: FactorScore,
}

/// `None` where the truth names no process with factors.
pub(super) fn check(ground: &Ground) -> Result<Option<FactorsAudit>, Error> {
    let named = ground.truth.process.as_ref().filter(|p| !p.factors().is_empty());
    let Some(process) = named else { return Ok(None) };
    let measured = factors(ground.specimen, process, ground.cx)?;
    let mut check = Check::empty();
    let mut claim = |factor: &str, what: &str, got: f64, least: f64| {
        check.claims += 1;
        check.comparisons += 1;
        if got.is_nan() || got < least {
            check.fail(|| Counterexample {
                claim: format!("{factor}: {what}"),
                input: vec![],
                place: "behind the last layer".into(),
                wanted: format!("at least {least:.3}"),
                got: format!("{got:.3}"),
            });
        }
    };
    let last = |sites: &[(String, f64)]| sites.last().map_or(f64::NAN, |s| s.1);
    for f in measured.read.iter().filter(|f| f.asked) {
        let got = last(&f.trained);
        claim(&f.name, "read better than before training", got, last(&f.untrained));
        claim(&f.name, "read better than from a bag of words", got, f.bag);
        claim(&f.name, "read better than from the history", got, f.history);
    }
    for e in &measured.exchanged {
        claim(&e.name, "its plane exchanged moves the prediction", e.moved, MOVED);
    }
    let random = measured.exchanged.iter().map(|e| e.random);
    let wrong = measured.misnamed.iter().map(|m| m.moved);
    let reached = random.chain(wrong).fold(f64::MIN, f64::max);
    let what = "random planes, and idle factors claimed to be others";
    check.control = Some(Control::at_most(what, reached, UNMOVED));
    check.runs = measured.runs;
    Ok(Some(FactorsAudit { check: check.concluded(), measured }))
}
