//! Decoy: a head writes the letter of the place before to directions of its own, and nothing reads
//! them. A probe finds it at every place with an accuracy of 1; setting it changes no output. What
//! can be read need not be used. The control arm does not write the decoy: what is left is used.

use super::Written;
use super::sheet::{Sheet, first, previous};
use crate::Error;
use flyroom_explanation::rasp::Program;

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut s = Sheet::new(&["a", "b", "c"], &["decoy", "first"], 2, 0)?;
    let mut program = Program::new(true);
    if armed {
        s.previous(0, "decoy");
        program = program.define("decoy", previous());
    }
    s.first(1, "first");
    s.answers("first", 1.0);
    s.written("decoy", program.define("first", first()))
}
