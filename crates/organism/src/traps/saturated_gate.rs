//! Saturated gate: the first letter passes relu(3x - 1) - relu(3x - 2), which is 0 up to 1/3 and 1
//! from 2/3 on, so at clean inputs (x = 0 or 1) it is flat. A gradient at the clean input is exactly
//! 0 at everything in front of the gate, and first-order attribution (EAP) calls it irrelevant;
//! gradients averaged on the way from another input (EAP-IG) cross the slope, and removing an edge
//! shows what it carries. The control arm has the neurons where they are not saturated:
//! (relu(x + 1) + relu(x + 2)) / 2 - 3/2, which is x.

use super::Written;
use super::sheet::{Sheet, first};
use crate::Error;
use flyroom_explanation::rasp::{Expr, Lambda, Program};

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut s = Sheet::new(&["a", "b", "c"], &["first", "gated"], 2, 6)?;
    s.first(0, "first");
    if armed {
        s.neurons(&["first"], "gated", &[(3.0, -1.0, 1.0), (3.0, -2.0, -1.0)]);
    } else {
        s.neurons(&["first"], "gated", &[(1.0, 1.0, 0.5), (1.0, 2.0, 0.5)]);
        s.resting("gated", -1.5);
    }
    s.answers("gated", 1.0);
    let gated = Expr::Map { f: Lambda::X, x: "first".into() };
    s.written("saturated-gate", Program::new(true).define("first", first()).define("gated", gated))
}
