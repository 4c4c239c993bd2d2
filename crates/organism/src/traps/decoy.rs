//! Decoy: a head writes the letter of the place before to directions of its own, and nothing reads
//! them. A probe finds it at every place with an accuracy of 1; setting it changes no output. What
//! can be read need not be used.

use super::Written;
use super::sheet::{Sheet, first, previous};
use crate::Error;
use flyroom_explanation::rasp::Program;

pub(super) fn write() -> Result<Written, Error> {
    let mut s = Sheet::new(&["a", "b", "c"], &["decoy", "first"], 2, 0)?;
    s.previous(0, "decoy");
    s.first(1, "first");
    s.answers("first", 1.0);
    s.written("decoy", Program::new(true).define("decoy", previous()).define("first", first()))
}
