//! What every check reports: counts, the first counterexamples, the control.

use super::Ground;
use flyroom_explanation::Value;
use flyroom_organism::Task;
use serde::{Deserialize, Serialize};

/// Counterexamples that are named.
const NAMED: usize = 5;

/// Whether a claim is borne out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everywhere.
    Holds,
    /// Not everywhere, or the control did not fail.
    Fails,
    /// The truth makes no such claim.
    NotApplicable,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Whether the claims hold.
    pub outcome: Outcome,
    /// Why it does not apply, or what failed, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Claims that were put to the network.
    pub claims: usize,
    /// Runs with interventions.
    pub runs: usize,
    /// Numbers that were compared with what is claimed, or whole outputs.
    pub comparisons: usize,
    /// Of these, those that contradict the claim.
    pub failures: usize,
    /// The largest difference between a number and what is claimed.
    pub largest_error: f64,
    /// What must fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// The first that contradict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterexamples: Vec<Counterexample>,
}

/// Something wrong on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What was done.
    pub what: String,
    /// What it reached, on the scale on which the claim reaches 1.
    pub reached: f64,
    /// What it must not exceed.
    pub most: f64,
    /// Whether it fails, as it must.
    pub fails: bool,
}

/// Where a claim is contradicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The claim.
    pub claim: String,
    /// The input, token by token; empty for vectors and for claims about all inputs.
    pub input: Vec<String>,
    /// Site and position, or the interventions.
    pub place: String,
    /// What is claimed.
    pub wanted: String,
    /// What the network has there.
    pub got: String,
}

impl Check {
    /// Nothing is claimed.
    pub(super) fn not_applicable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotApplicable, why: why.into(), ..Self::empty() }
    }

    /// Nothing compared yet.
    pub(super) fn empty() -> Self {
        Self {
            outcome: Outcome::Holds,
            why: String::new(),
            claims: 0,
            runs: 0,
            comparisons: 0,
            failures: 0,
            largest_error: 0.0,
            control: None,
            counterexamples: vec![],
        }
    }

    /// Another contradiction.
    pub(super) fn fail(&mut self, counterexample: impl FnOnce() -> Counterexample) {
        self.failures += 1;
        if self.counterexamples.len() < NAMED {
            self.counterexamples.push(counterexample());
        }
    }

    /// Too much is left open to say that the claims hold; a check that failed keeps its own words.
    pub(super) fn undecided(&mut self, why: String, first: Option<Counterexample>) {
        if self.outcome != Outcome::Fails {
            self.outcome = Outcome::Fails;
            self.why = why;
        }
        if self.counterexamples.len() < NAMED {
            self.counterexamples.extend(first);
        }
    }

    /// What another part of the same check found, behind what is here.
    pub(super) fn join(&mut self, other: Self) {
        self.claims += other.claims;
        self.runs += other.runs;
        self.comparisons += other.comparisons;
        self.failures += other.failures;
        self.largest_error = self.largest_error.max(other.largest_error);
        let room = NAMED.saturating_sub(self.counterexamples.len());
        self.counterexamples.extend(other.counterexamples.into_iter().take(room));
    }

    /// The outcome of all that was joined.
    pub(super) fn concluded(self) -> Self {
        self.concluded_within(0.0)
    }

    /// The same where a share of the comparisons may contradict.
    pub(super) fn concluded_within(mut self, allowed: f64) -> Self {
        if self.failures as f64 > allowed * self.comparisons as f64 {
            self.outcome = Outcome::Fails;
            self.why = format!("{} of {} comparisons fail", self.failures, self.comparisons);
        } else if let Some(c) = self.control.as_ref().filter(|c| !c.fails) {
            self.outcome = Outcome::Fails;
            self.why = format!("the control passes: {}", c.what);
        } else if self.comparisons == 0 {
            self = Self::not_applicable("there is nothing to compare");
        }
        self
    }
}

impl Control {
    /// A control that reached a score and must not exceed another.
    pub(super) fn at_most(what: impl Into<String>, reached: f64, most: f64) -> Self {
        Self { what: what.into(), reached, most, fails: reached <= most }
    }
}

impl Ground<'_> {
    /// An input in words.
    pub(super) fn words(&self, task: &Task, input: usize) -> Vec<String> {
        let word = |&t: &u32| {
            task.vocabulary.get(t as usize).map_or_else(|| t.to_string(), Value::to_string)
        };
        task.inputs.token_row(input).iter().map(word).collect()
    }
}
