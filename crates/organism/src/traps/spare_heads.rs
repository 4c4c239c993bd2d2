//! Spare heads: three heads bring the same letter, and neurons take the vote of two of them. Whatever
//! one head writes, the other two agree, so removing it, its inputs or its edge changes no output;
//! who removes one thing at a time finds an answer that comes from nowhere. Removed in pairs, each
//! head counts.
//!
//! With s the sum of the three, the neurons write relu(s - 1) - relu(s - 2): 0 up to one vote, 1 from
//! two on. There are two letters, so that among three votes two always agree.

use super::Written;
use super::sheet::{Sheet, first};
use crate::Error;
use flyroom_explanation::rasp::{Binary, Expr, Lambda, Program};

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut s = Sheet::new(&["a", "b"], &["one", "two", "three", "vote"], 4, 4)?;
    let votes = ["one", "two", "three"];
    votes.iter().enumerate().for_each(|(head, v)| s.first(head, v));
    s.answers("vote", 1.0);
    let heads = votes.iter().fold(Program::new(true), |p, v| p.define(*v, first()));
    if !armed {
        s.neurons(&votes[..1], "vote", &[(1.0, 1.0, 0.5), (1.0, 2.0, 0.5)]);
        s.resting("vote", -1.5);
        let one = Expr::Map { f: Lambda::X, x: "one".into() };
        return s.written("spare-heads", heads.define("vote", one));
    }
    s.neurons(&votes, "vote", &[(1.0, -1.0, 1.0), (1.0, -2.0, -1.0)]);
    let split = Lambda::constant("split");
    let agreed = Lambda::X.with(Binary::Eq, Lambda::Y).choose(Lambda::X, split.clone());
    let vote = Lambda::X.with(Binary::Eq, split).choose(Lambda::Y, Lambda::X);
    let of = |f: Lambda, x: &str, y: &str| Expr::SequenceMap { f, x: x.into(), y: y.into() };
    let program = heads
        .define("agreed", of(agreed, "one", "two"))
        .define("vote", of(vote, "agreed", "three"));
    s.written("spare-heads", program)
}
