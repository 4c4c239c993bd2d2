//! The crash test: which methods a trap breaks.
//!
//! A trap is an organism with an [`Aim`]: the methods that it was made to break, and the metrics that
//! show it. The matrix has a line for each method and a column for each trap of the run; an entry
//! is a word, a threshold on the share of the way from the null to the oracle of the first of those
//! metrics for which the method has a score there:
//!
//! | word | when |
//! |---|---|
//! | `holds` | .9 and more on every seed of the trap |
//! | `breaks` | less on every seed, and .9 and more on every seed of its control arm |
//! | `low` | less on every seed, and not above it on the control arm either, or that is not in the run |
//! | `mixed` | neither on every seed |
//! | `n/a` | the method has no score there, or the score no place between a null and an oracle |
//!
//! The control arm is the same network but for what breaks the method (`armed = false` in the plan).
//! What a trap claims of itself enters no entry: a claim that is not borne out is said beside the
//! matrix, in [`CrashTest::unexpected`].

use std::collections::BTreeSet;

use flyroom_organism::{Aim, Trapped};
use serde::{Deserialize, Serialize};

use super::csv::{exact, quote};
use super::{HOLDS, Role, Row, number};

/// The words of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Word {
    /// Right on every seed.
    #[serde(rename = "holds")]
    Holds,
    /// Wrong on every seed, and right on every seed of the control arm.
    #[serde(rename = "breaks")]
    Breaks,
    /// Wrong on every seed, and the control arm does not say that the trap is the reason.
    #[serde(rename = "low")]
    Low,
    /// Right on some seeds.
    #[serde(rename = "mixed")]
    Mixed,
    /// No score.
    #[serde(rename = "n/a")]
    NotApplicable,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Holds, Self::Breaks, Self::Low, Self::Mixed, Self::NotApplicable];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Breaks => "breaks",
            Self::Low => "low",
            Self::Mixed => "mixed",
            Self::NotApplicable => "n/a",
        }
    }

    /// Its threshold in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Holds => "at least .9 of the way from null to oracle on every seed of the trap",
            Self::Breaks => {
                "less than .9 on every seed of the trap, and at least .9 on every seed of its control arm"
            }
            Self::Low => {
                "less than .9 on every seed of the trap, and its control arm does not say that the trap is the \
                 reason: less there too, or not in the run"
            }
            Self::Mixed => "at least .9 on some seeds of the trap",
            Self::NotApplicable => "the method has no score here",
        }
    }
}

/// One method on one trap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// The trap, as its label in the plan.
    pub trap: String,
    /// The word.
    pub word: Word,
    /// Whether the trap was made to break this method.
    pub made_for: bool,
    /// Whether the trap claims that this method sees through it.
    pub sees: bool,
    /// The metric that it is read from.
    pub metric: Option<String>,
    /// Mean share of the way from null to oracle.
    pub share: Option<f64>,
    /// The share of every seed, ascending.
    pub shares: Vec<f64>,
    /// The shares on the control arm.
    pub control: Vec<f64>,
    /// The board's rows that it was read from: the trap's, and the control arm's.
    pub rows: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The trap, as its label in the plan.
    pub trap: String,
    /// Its control arm, if that is in the run.
    pub control: Option<String>,
    /// What goes wrong.
    pub symptom: String,
    /// Methods that it was made to break.
    pub breaks: Vec<String>,
}

/// The matrix of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrashTest {
    /// The traps.
    pub traps: Vec<Column>,
    /// The methods, in order of the alphabet.
    pub methods: Vec<String>,
    /// Every method on every trap, method by method.
    pub entries: Vec<Entry>,
    /// Claims of a trap that this run does not bear out.
    pub unexpected: Vec<String>,
}

/// An organism of a run that is a trap, or the control arm of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its label in the plan.
    pub label: String,
    /// The organism that it is.
    pub organism: String,
    /// Its aim, and whether it is armed.
    pub trapped: Trapped,
}

/// The matrix of some rows; `None` where no trap is armed.
pub(super) fn crash_test(rows: &[Row], arms: &[Arm]) -> Option<CrashTest> {
    let armed: Vec<&Arm> = arms.iter().filter(|a| a.trapped.armed).collect();
    if armed.is_empty() {
        return None;
    }
    let control_of = |trap: &Arm| {
        arms.iter().find(|a| !a.trapped.armed && a.organism == trap.organism).map(|a| &*a.label)
    };
    let columns: Vec<(Column, Aim)> = armed
        .iter()
        .map(|trap| {
            let aim = trap.trapped.aim;
            let column = Column {
                trap: trap.label.clone(),
                control: control_of(trap).map(str::to_owned),
                symptom: aim.symptom.to_owned(),
                breaks: aim.breaks.iter().map(|m| (*m).to_owned()).collect(),
            };
            (column, aim)
        })
        .collect();
    let on_trap = |r: &&Row| r.role == Role::Method && armed.iter().any(|a| a.label == r.organism);
    let all: BTreeSet<&str> = rows.iter().filter(on_trap).map(|r| r.method.as_str()).collect();
    let mut entries: Vec<Entry> = vec![];
    let mut methods = vec![];
    for method in all {
        let line: Vec<Entry> = columns.iter().map(|(c, aim)| entry(rows, method, c, aim)).collect();
        // A method that claims nothing on any trap has no line.
        if line.iter().any(|e| e.word != Word::NotApplicable) {
            methods.push(method.to_owned());
            entries.extend(line);
        }
    }
    let unexpected = entries.iter().filter_map(unexpected).collect();
    Some(CrashTest {
        traps: columns.into_iter().map(|c| c.0).collect(),
        methods,
        entries,
        unexpected,
    })
}

/// The name in the registry of a method that a plan may have labelled with parameters or a number.
fn registered(method: &str) -> &str {
    method.split(['[', '/']).next().unwrap_or(method)
}

fn entry(rows: &[Row], method: &str, column: &Column, aim: &Aim) -> Entry {
    let of = |organism: &str, metric: &str| {
        let same = |r: &&Row| r.organism == organism && r.method == method && r.metric == metric;
        let row = rows.iter().find(same)?;
        let shares: Vec<f64> = row.seeds.iter().filter_map(|s| row.position_of(s)).collect();
        (!shares.is_empty()).then(|| (shares, row.id.clone()))
    };
    let found = aim.metrics.iter().find_map(|m| Some((*m, of(&column.trap, m)?)));
    let mut out = Entry {
        method: method.to_owned(),
        trap: column.trap.clone(),
        word: Word::NotApplicable,
        made_for: aim.breaks.contains(&registered(method)),
        sees: aim.seen_by.contains(&registered(method)),
        metric: None,
        share: None,
        shares: vec![],
        control: vec![],
        rows: vec![],
    };
    let Some((metric, (shares, row))) = found else { return out };
    let control = column.control.as_deref().and_then(|c| of(c, metric));
    out.rows = std::iter::once(row).chain(control.iter().map(|c| c.1.clone())).collect();
    out.control = control.map(|c| c.0).unwrap_or_default();
    out.share = Some(shares.iter().sum::<f64>() / shares.len() as f64);
    out.metric = Some(metric.to_owned());
    out.word = word(&shares, &out.control);
    out.shares = shares;
    out
}

fn word(shares: &[f64], control: &[f64]) -> Word {
    let right = |s: &f64| *s >= HOLDS;
    if shares.iter().all(right) {
        Word::Holds
    } else if shares.iter().any(right) {
        Word::Mixed
    } else if !control.is_empty() && control.iter().all(right) {
        Word::Breaks
    } else {
        Word::Low
    }
}

/// What a trap says of a method and the entry does not.
fn unexpected(e: &Entry) -> Option<String> {
    let share = number(e.share?);
    match e.word {
        Word::Breaks if e.made_for => None,
        Word::Low if e.made_for && e.control.is_empty() => None,
        _ if e.made_for => Some(format!(
            "{} was made to break {}, which {} here ({share})",
            e.trap,
            e.method,
            verb(e.word)
        )),
        Word::Holds => None,
        _ if e.sees => Some(format!(
            "{} says that {} sees through it, which {} here ({share})",
            e.trap,
            e.method,
            verb(e.word)
        )),
        _ => None,
    }
}

fn verb(word: Word) -> &'static str {
    match word {
        Word::Holds => "holds",
        Word::Breaks => "breaks",
        Word::Low => "is low on both arms",
        Word::Mixed => "holds on some seeds only",
        Word::NotApplicable => "has no score",
    }
}

impl CrashTest {
    /// The entry of a method on a trap.
    pub fn entry(&self, method: &str, trap: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.method == method && e.trap == trap)
    }

    /// The matrix as comma-separated values, one entry a line (RFC 4180).
    pub fn to_csv(&self) -> String {
        let mut text =
            String::from("method,trap,word,made_for,sees,metric,share,shares,control,rows\r\n");
        let several = |x: &[f64]| x.iter().map(f64::to_string).collect::<Vec<_>>().join(";");
        for e in &self.entries {
            let fields = [
                e.method.clone(),
                e.trap.clone(),
                e.word.name().to_owned(),
                e.made_for.to_string(),
                e.sees.to_string(),
                e.metric.clone().unwrap_or_default(),
                exact(e.share),
                several(&e.shares),
                several(&e.control),
                e.rows.join(";"),
            ];
            text.push_str(&fields.map(|f| quote(&f)).join(","));
            text.push_str("\r\n");
        }
        text
    }
}

impl Entry {
    /// The word and its number; a star where the trap was made for the method.
    pub fn text(&self) -> String {
        let share = self.share.map(|s| format!(" {}", number(s))).unwrap_or_default();
        format!("{}{share}{}", self.word.name(), if self.made_for { "*" } else { "" })
    }
}

/// A trap's label without what all of them have in common.
pub(crate) fn short(trap: &str) -> &str {
    trap.strip_prefix("trap-").unwrap_or(trap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_the_reason_only_where_its_control_arm_is_right() {
        for (shares, control, wanted) in [
            (&[1.0, 0.95][..], &[][..], Word::Holds),
            (&[0.3, 0.4], &[1.0, 0.9], Word::Breaks),
            (&[0.3, 0.4], &[1.0, 0.8], Word::Low),
            (&[0.3, 0.4], &[], Word::Low),
            (&[0.3, 0.9], &[1.0, 1.0], Word::Mixed),
        ] {
            assert_eq!(word(shares, control), wanted, "{shares:?} {control:?}");
        }
    }
}
