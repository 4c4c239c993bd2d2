//! One sentence for each explanation: what it gets right, and which step to blame.
//!
//! Every word is a threshold on one number, the share of the way from the null to the oracle of the
//! table's primary metric (the mean, if a table has several):
//!
//! | share | grade | parts, wiring | effects |
//! |---|---|---|---|
//! | .9 and more | right | right parts | right effect sizes |
//! | .6 to .9 | most | most parts | roughly right effect sizes |
//! | .25 to .6 | some | some parts | poor effect sizes |
//! | below .25 | wrong | wrong parts | wrong effect sizes |
//!
//! A table whose rows are all `at null` or `below null` says so instead: *parts not told apart from
//! chance*, *parts worse than chance*; either counts as wrong. Where no true wiring is known, the
//! wiring's grade comes from faithfulness alone, which says that a circuit carries the answer and not
//! that it is the right one: *a faithful circuit*, *a mostly*, *a partly*, *no faithful circuit*.
//!
//! An explanation *holds* if its effects are right and no other table says less than `most`. The
//! blame comes from validation where it could tell, else from the first step that is not right:
//! parts that are not found are blamed on `decompose`, wiring and effects on `describe`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Board, HOLDS, Role, Row, SeedScore, Source, Status, Table, Tier, number};

/// From here on it is mostly right.
const MOST: f64 = 0.6;
/// From here on there is something in it.
const SOME: f64 = 0.25;

/// How far one table's score is on the way from null to oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Below .25 of the way.
    Wrong,
    /// .25 to .6.
    Some,
    /// .6 to .9.
    Most,
    /// .9 and more.
    Right,
}

impl Grade {
    /// The grade of a share of the way.
    pub fn of(share: f64) -> Self {
        match share {
            s if s >= HOLDS => Self::Right,
            s if s >= MOST => Self::Most,
            s if s >= SOME => Self::Some,
            _ => Self::Wrong,
        }
    }

    /// Of a circuit that was judged without knowing the true one.
    fn faithful(self) -> &'static str {
        match self {
            Self::Right => "a faithful circuit",
            Self::Most => "a mostly faithful circuit",
            Self::Some => "a partly faithful circuit",
            Self::Wrong => "no faithful circuit",
        }
    }

    fn words(self, table: Table) -> String {
        let word = match (self, table) {
            (Self::Right, _) => "right",
            (Self::Most, Table::Effects) => "roughly right",
            (Self::Most, _) => "most",
            (Self::Some, Table::Effects) => "poor",
            (Self::Some, _) => "some",
            (Self::Wrong, _) => "wrong",
        };
        let noun = noun(table);
        // Wiring is not counted in pieces.
        let of = if table == Table::Wiring && matches!(self, Self::Most | Self::Some) {
            " of the"
        } else {
            ""
        };
        format!("{word}{of} {noun}")
    }
}

fn noun(table: Table) -> &'static str {
    match table {
        Table::Parts => "parts",
        Table::Wiring => "wiring",
        Table::Effects => "effect sizes",
        Table::Twins => "algorithms",
    }
}

/// What is to be said about one method on one organism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The organism.
    pub organism: String,
    /// The method.
    pub method: String,
    /// Why it stands on the board.
    #[serde(default)]
    pub role: Role,
    /// The tier of its effects; `-` where it has none.
    pub tier: Tier,
    /// The grade of each table that has a score between a null and an oracle.
    pub grades: BTreeMap<Table, Grade>,
    /// Whether it holds; `None` where it predicts nothing, or nothing that could be judged.
    pub holds: Option<bool>,
    /// The step to blame, where it does not hold.
    pub blame: Option<String>,
    /// The sentence.
    pub text: String,
}

pub(super) fn all(board: &Board) -> Vec<Verdict> {
    let ceiling = |row: &&Row| row.tier != Tier::Whole && row.table != Table::Twins;
    // Parts and wiring belong to every tier in which the method predicts effects.
    let mut subjects: BTreeMap<(String, String), BTreeSet<Tier>> = BTreeMap::new();
    let claims = |row: &&Row| row.primary && row.status != Status::NotApplicable;
    for row in board.rows.iter().filter(ceiling).filter(claims) {
        let tiers = subjects.entry((row.organism.clone(), row.method.clone())).or_default();
        if row.table == Table::Effects {
            tiers.insert(row.tier);
        }
    }
    let mut verdicts = Vec::new();
    for ((organism, method), mut tiers) in subjects {
        if tiers.is_empty() {
            tiers.insert(Tier::None);
        }
        let several = tiers.len() > 1;
        for tier in tiers {
            let rows: Vec<&Row> = board
                .rows
                .iter()
                .filter(ceiling)
                .filter(|r| r.primary && r.organism == organism && r.method == method)
                .filter(|r| r.table != Table::Effects || r.tier == tier)
                .collect();
            verdicts.push(judge(&organism, &method, tier, several, &rows));
        }
    }
    verdicts
}

fn judge(organism: &str, method: &str, tier: Tier, several: bool, rows: &[&Row]) -> Verdict {
    let mut grades = BTreeMap::new();
    let mut findings = Vec::new();
    for table in Table::ALL {
        let of_table: Vec<&Row> = rows.iter().copied().filter(|r| r.table == table).collect();
        let judged = |row: &&Row| !{
            matches!(row.status, Status::Invalid | Status::Uncontrolled | Status::Failed)
        };
        let placed: Vec<(&Row, f64)> = of_table
            .iter()
            .copied()
            .filter(judged)
            // What is not told apart from the null has gone no part of the way.
            .filter_map(|r| Some((r, if r.status == Status::AtNull { 0.0 } else { r.position()? })))
            .collect();
        if !placed.is_empty() {
            let grade = Grade::of(placed.iter().map(|p| p.1).sum::<f64>() / placed.len() as f64);
            grades.insert(table, grade);
            let all = |status| placed.iter().all(|(r, _)| r.status == status);
            findings.push(if all(Status::AtNull) {
                format!("{} not told apart from chance", noun(table))
            } else if all(Status::BelowNull) {
                format!("{} worse than chance", noun(table))
            } else if placed.iter().all(|(r, _)| r.metric == "faithfulness") {
                grade.faithful().to_owned()
            } else {
                grade.words(table)
            });
        } else if let Some(row) = of_table.first() {
            findings.extend(without_grade(row));
        }
    }
    let holds = grades.get(&Table::Effects).map(|effects| {
        *effects == Grade::Right && grades.values().all(|grade| *grade >= Grade::Most)
    });
    let fell_short = holds == Some(false) || grades.values().any(|g| *g < Grade::Most);
    let role = rows.first().map_or(Role::Method, |r| r.role);
    let blame = match role {
        // What is wrong on purpose is blamed by the trial alone: that is what it controls.
        Role::Control => rows.iter().find_map(|r| r.blame.clone()),
        _ if fell_short => blame(rows, &grades),
        _ => None,
    };

    let subject = subject(organism, method, tier, several, rows);
    let lead = match holds {
        Some(false) if rows.iter().any(|r| r.role == Role::Control) => {
            "fails, as it must: ".to_owned()
        }
        Some(true) => {
            let (right, of) = seeds_that_hold(rows);
            if of > 1 { format!("holds on {right} of {of} seeds: ") } else { "holds: ".to_owned() }
        }
        Some(false) | None => String::new(),
    };
    let made_nothing = rows.iter().all(|r| r.status == Status::Failed);
    if holds.is_none() && !made_nothing && !rows.iter().any(|r| r.table == Table::Effects) {
        findings.push("a snapshot that predicts no effects".to_owned());
    }
    let mut text = format!("{subject}: {lead}{}", findings.join(", "));
    if let Some(step) = &blame {
        text.push_str(&format!("; blame: {step}"));
    }
    if rows.iter().any(|r| r.source == Source::ReverseEngineered) {
        text.push_str(" (the truth is itself a claim)");
    }
    Verdict {
        organism: organism.to_owned(),
        method: method.to_owned(),
        role,
        tier,
        grades,
        holds,
        blame,
        text,
    }
}

/// What to say about a table whose score has no place between a null and an oracle.
fn without_grade(row: &Row) -> Option<String> {
    let table = row.table.name();
    Some(match row.status {
        Status::Invalid => format!("{table} cannot be judged: a control failed"),
        Status::Uncontrolled => format!("{table} without a null, so not judged"),
        Status::Untestable => format!("{table} not testable here"),
        Status::Failed => format!("{table} not complete: a cell failed"),
        Status::NotApplicable => return None,
        _ => match row.above_null {
            Some(d) if d.above(0.0) => format!("{table} {} above the null", number(d.mean)),
            Some(_) => format!("{table} not told apart from the null"),
            None => return None,
        },
    })
}

fn blame(rows: &[&Row], grades: &BTreeMap<Table, Grade>) -> Option<String> {
    let said = |table| rows.iter().filter(move |r| r.table == table).find_map(|r| r.blame.clone());
    let said = Table::ALL.into_iter().rev().find_map(said);
    said.or_else(|| {
        let parts = grades.get(&Table::Parts).is_some_and(|g| *g < Grade::Most);
        Some(if parts { "decompose" } else { "describe" }.to_owned())
    })
}

fn subject(organism: &str, method: &str, tier: Tier, several: bool, rows: &[&Row]) -> String {
    let seeds: BTreeSet<u64> = rows.iter().flat_map(|r| r.seeds.iter().map(|s| s.seed)).collect();
    let specimen = match (seeds.len(), seeds.first()) {
        (1, Some(seed)) => format!("{organism}/{seed}"),
        _ => organism.to_owned(),
    };
    let access = if several { format!(" ({})", tier.name()) } else { String::new() };
    format!("{method}{access} on {specimen}")
}

/// On how many seeds the effects are right, and of how many.
fn seeds_that_hold(rows: &[&Row]) -> (usize, usize) {
    let effects: Vec<&&Row> = rows.iter().filter(|r| r.table == Table::Effects).collect();
    let mut shares: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for row in effects {
        let share = |seed: &SeedScore| Some((seed.seed, row.position_of(seed)?));
        for (seed, share) in row.seeds.iter().filter_map(share) {
            shares.entry(seed).or_default().push(share);
        }
    }
    let right = shares
        .values()
        .filter(|s| Grade::of(s.iter().sum::<f64>() / s.len() as f64) == Grade::Right)
        .count();
    (right, shares.len())
}
