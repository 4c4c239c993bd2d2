//! Fooling branch (Makelov et al. 2023, "Is this the subspace you are looking for?"): the first letter goes to
//! the logits by a head of the second layer. A head of the first brings it to directions of its own as well, where
//! nothing reads it (`copy`), and neurons wait there for what never comes: they read directions that
//! hardly move (`dormant`, the letter of the place before, .04 long) and answer from .15 on, or below -.05.
//!
//! An exchange along (copy + dormant) / sqrt 2 carries half of the copy's change over to the dormant
//! directions, and the neurons give the other input's letter, in front of the head that brings it. Who searches
//! for a subspace along which exchanges do what the variable does finds this one first. Along `copy` alone, or
//! `dormant` alone, no output moves.
//!
//! With w the coordinate of `dormant`, neurons write 4 relu(w - .15) - 2.86 relu(-w - .05), which is 1 at .4
//! and -1 at -.4. They take the copy back too, so that behind them the letter lies where the
//! second layer writes it and nowhere else. In the control arm nothing reads `dormant`.

use super::Written;
use super::sheet::{Sheet, first};
use crate::labelled::Labelled;
use crate::{Error, Truth};
use flyroom_explanation::rasp::{Program, TOKENS};
use flyroom_network::{Receiver, Sender};

/// Coordinate of a letter of `dormant`: three times as much wakes nothing.
const FAINT: f32 = 0.04;

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut s =
        Sheet::in_layers(2, &["a", "b", "c"], &["copy", "dormant", "woken", "first"], 2, 9)?;
    s.faint("dormant", FAINT);
    s.first(0, "copy");
    s.previous(1, "dormant");
    s.neurons(&["copy"], "copy", &[(1.0, 0.0, -1.0)]);
    if armed {
        s.neurons(&["dormant"], "woken", &[(1.0, -0.15, 4.0), (-1.0, -0.05, -1.0 / 0.35)]);
    }
    s.answers("woken", 1.0);
    s.behind();
    s.first(0, "first");
    s.answers("first", 1.0);
    let program = Program::new(true).define("copy", first()).define("first", first());
    s.written("fooling-branch", program)
}

/// No answer flows through the first layer, whatever its weights are; the copy lies where it is written and
/// no longer behind the neurons that take it back; and the exam asks for what lies between input and
/// answer, as that of the lookup table.
pub(super) fn asleep(_: &Labelled, mut truth: Truth) -> Result<Truth, Error> {
    let awake = |from: Sender, to: Receiver| {
        !matches!(from, Sender::Head(0, _) | Sender::Mlp(0))
            && !matches!(
                to,
                Receiver::Query(0, _)
                    | Receiver::Key(0, _)
                    | Receiver::Value(0, _)
                    | Receiver::Mlp(0)
            )
    };
    truth.circuit.iter_mut().for_each(|c| c.retain(|k| awake(k.edge.from, k.edge.to)));
    let parts = truth.explanation.iter_mut().flat_map(|e| &mut e.parts);
    parts.filter(|p| p.name == "copy").for_each(|p| p.alignments.truncate(1));
    truth.variables.retain(|v| v.name != TOKENS);
    Ok(truth)
}
