//! Geometry: tokens lie to each other as the truth says ([`crate::geometry`]).

use super::{Check, Control, Counterexample, Ground};
use crate::Error;
use crate::geometry::{GeometryScore, activations};
use flyroom_organism::Subject;
use serde::{Deserialize, Serialize};

/// Correlation of pairwise angles from which on points have a shape.
pub const SHAPED: f64 = 0.9;

/// Share of the variance that a match of them may leave.
pub const UNMATCHED: f64 = 0.2;

/// The check and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeometryAudit {
    /// The outcome.
    #[serde(flatten)]
    pub check: Check,
    /// What was measured.
    pub measured: GeometryScore,
}

/// `None` where the truth names no shape.
pub(super) fn check(ground: &Ground) -> Result<Option<GeometryAudit>, Error> {
    let (Some(shape), Some(task)) = (&ground.truth.shape, ground.tasks.last()) else {
        return Ok(None);
    };
    let subject = Subject::new(ground.specimen, task, &ground.alone())?;
    let measured = activations(&subject, shape)?;
    let mut check = Check::empty();
    let mut claim = |what: &str, got: f64, wanted: String, holds: bool| {
        check.claims += 1;
        check.comparisons += 1;
        if !holds {
            check.fail(|| Counterexample {
                claim: what.into(),
                input: vec![],
                place: format!("{}[pos={}]", shape.site, shape.pos),
                wanted,
                got: format!("{got:.3}"),
            });
        }
    };
    let f = measured.found;
    let at_least = |x: f64| format!("at least {x}");
    claim("angles between tokens", f.angles, at_least(SHAPED), f.angles >= SHAPED);
    let at_most = format!("at most {UNMATCHED}");
    claim("what the best match leaves", f.residual, at_most, f.residual <= UNMATCHED);
    claim("order round the ring", f.order, at_least(1.0), f.order >= 1.0);
    let what = "angles under names that changed places, 95 % of draws";
    check.control = Some(Control::at_most(what, measured.null_upper, SHAPED));
    Ok(Some(GeometryAudit { check: check.concluded(), measured }))
}
