//! Lookup table: three heads bring the tokens of the three places, neurons put them together, one for
//! each combination, and the largest token of each combination was written beside it. On every input it
//! answers as `rasp-max`, which is its control arm: there tokens are counted and compared. Who looks at
//! answers alone finds the program of the control arm here too; none of what it computes on the way
//! is in the table, and none of what the table holds is in that program.
//!
//! Where a sequence is shorter, places that are not there hold a 0, which no token is. The exam asks for
//! what lies between input and answer: setting a token is another input, and setting the answer says what
//! the answer is, so behaviour alone would know these.

use super::Written;
use crate::labelled::Labelled;
use crate::rasp::{MAX, compile};
use crate::{Error, Truth};
use flyroom_explanation::Value;
use flyroom_explanation::rasp::{Script, TOKENS};
use std::fmt::Write as _;

/// Longest sequence, and so the keys of the table.
const PLACES: [&str; 3] = ["one", "two", "three"];

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut script: Script = MAX.text.unwrap_or_default().parse()?;
    script.length = PLACES.len();
    if armed {
        let tokens = script.vocabulary.len();
        script = Script { vocabulary: script.vocabulary, ..table(tokens).parse()? };
    }
    let compiled = compile("trap-lookup-table", &script)?;
    Ok(Written { labelled: compiled.labelled, network: compiled.network })
}

/// The program of a table over the tokens 1 to `tokens`; what no place holds is taken for a 1.
fn table(tokens: usize) -> String {
    let mut text = String::from("vocabulary: 1\nlength: 3\n");
    for (i, place) in PLACES.iter().enumerate() {
        let _ = writeln!(
            text,
            "{place} = aggregate(select(indices, indices, key == {i}), tokens, default = 0)"
        );
    }
    let values = 0..=tokens;
    let entry = |one: usize, two: usize, three: usize| {
        format!("{}: {}", 100 * one + 10 * two + three, one.max(two).max(three).max(1))
    };
    let pairs = values.clone().flat_map(|one| values.clone().map(move |two| (one, two)));
    let entries: Vec<String> = pairs
        .flat_map(|(one, two)| values.clone().map(move |three| entry(one, two, three)))
        .collect();
    let _ = writeln!(text, "pair = 10 * one + two");
    let _ = writeln!(text, "max = {{{}}}[10 * pair + three]\nreturn max", entries.join(", "));
    text
}

/// What lies between input and answer is asked for, with values that it has on some input.
pub(super) fn inside(labelled: &Labelled, mut truth: Truth) -> Result<Truth, Error> {
    let traces = labelled.traces(labelled.length)?;
    truth.variables.retain(|v| v.name != TOKENS && v.name != "max");
    for v in &mut truth.variables {
        let Some(of) = labelled.variables.iter().find(|l| l.name == v.name) else { continue };
        let occurs =
            |x: &&Value| traces.iter().any(|(_, t)| t.get(&v.name).is_some_and(|s| s.contains(x)));
        v.values = of.domain.iter().filter(occurs).filter_map(|x| of.code.encode(x)).collect();
    }
    Ok(truth)
}
