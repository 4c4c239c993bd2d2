//! Norm-smuggling: a letter lies along one direction, its sign says which letter it is (a or b), its
//! norm whether it is a capital. Neurons read both, so the norm counts as much as the sign; but a linear
//! read-out of the activations, and so any dictionary of directions that are read and written linearly,
//! tells no capital from the others: no side of any plane holds A and B and neither a nor b. Recurrent
//! networks were found to store sequences so (Csordás et al. 2024, "Recurrent neural networks learn to
//! store and generate sequences using non-linear representations").
//!
//! With x the coordinate, 1 for a, 2 for A, -1 for b, -2 for B, the neurons write relu(x) - 2 relu(x - 1)
//! for a, relu(x - 1) for A, and the same of -x for b and B. In the control arm each letter has a
//! direction of its own, of norm 1, and neurons that are never silent copy it.

use super::Written;
use super::sheet::{Sheet, first};
use crate::Error;
use flyroom_explanation::rasp::{Expr, Lambda, Program};

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let letters = ["a", "A", "b", "B"];
    let mut s = if armed {
        let line = Some(("first", &[1.0, 2.0, -1.0, -2.0][..]));
        let mut s = Sheet::with_line(&letters, line, &["said"], 2, 8)?;
        s.tells(
            "first",
            "said",
            &[
                (1.0, 0.0, [1.0, 0.0, 0.0, 0.0]),
                (1.0, -1.0, [-2.0, 1.0, 0.0, 0.0]),
                (-1.0, 0.0, [0.0, 0.0, 1.0, 0.0]),
                (-1.0, -1.0, [0.0, 0.0, -2.0, 1.0]),
            ],
        );
        s
    } else {
        let mut s = Sheet::new(&letters, &["first", "said"], 2, 8)?;
        s.neurons(&["first"], "said", &[(1.0, 1.0, 0.5), (1.0, 2.0, 0.5)]);
        s.resting("said", -1.5);
        s
    };
    s.first(0, "first");
    s.answers("said", 1.0);
    let said = Expr::Map { f: Lambda::X, x: "first".into() };
    s.written("norm-smuggling", Program::new(true).define("first", first()).define("said", said))
}
