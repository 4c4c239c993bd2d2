//! A row of the board: one method on one organism by one metric, over all seeds.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::result::{OracleKind, Role, Source, Standing, Table, Tier};
use crate::statistics::Difference;

/// Where a row stands. Only `Ranked` and `NoTruth` rows have a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Between its null and its oracle, on a truth that can be trusted.
    #[serde(rename = "ranked")]
    Ranked,
    /// There is no oracle: ranked by the difference to the null.
    #[serde(rename = "no truth")]
    NoTruth,
    /// The truth was reverse-engineered or is contested: it is on trial as the method is.
    #[serde(rename = "claim")]
    Claim,
    /// One specimen: there is no interval, so no rank.
    #[serde(rename = "single")]
    Single,
    /// Score and null are not told apart: the interval of their difference holds 0.
    #[serde(rename = "at null")]
    AtNull,
    /// The method scores under its null: a finding.
    #[serde(rename = "below null")]
    BelowNull,
    /// The audit of the truth used the method's own interventions.
    #[serde(rename = "circular")]
    Circular,
    /// Not the table's own metric: read beside that, never ranked alone.
    #[serde(rename = "beside")]
    Beside,
    /// The whole model: the ceiling.
    #[serde(rename = "ceiling")]
    Ceiling,
    /// The truth itself: what can be reached.
    #[serde(rename = "truth")]
    Truth,
    /// Wrong on purpose: it must fail.
    #[serde(rename = "control")]
    Control,
    /// A seed has no null.
    #[serde(rename = "uncontrolled")]
    Uncontrolled,
    /// A control of the instrument failed: the number means nothing.
    #[serde(rename = "invalid")]
    Invalid,
    /// The method does not claim what the metric measures.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// The exam cannot decide it here.
    #[serde(rename = "untestable")]
    Untestable,
    /// A cell of the row failed or is not there.
    #[serde(rename = "failed")]
    Failed,
}

impl Status {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ranked => "ranked",
            Self::NoTruth => "no truth",
            Self::Claim => "claim",
            Self::Single => "single",
            Self::AtNull => "at null",
            Self::BelowNull => "below null",
            Self::Circular => "circular",
            Self::Beside => "beside",
            Self::Ceiling => "ceiling",
            Self::Truth => "truth",
            Self::Control => "control",
            Self::Uncontrolled => "uncontrolled",
            Self::Invalid => "invalid",
            Self::NotApplicable => "n/a",
            Self::Untestable => "untestable",
            Self::Failed => "failed",
        }
    }

    /// What it means, for a legend.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ranked => "between its null and its oracle, on a truth that can be trusted",
            Self::NoTruth => "no oracle: ranked by the difference to its null",
            Self::Claim => {
                "the truth was reverse-engineered or is contested: it is on trial too, so there is no rank"
            }
            Self::Single => "one specimen: no interval, so no rank",
            Self::AtNull => {
                "not told apart from its null: the 95 % interval of score minus null over seeds holds 0, or the null's own draws reach as low"
            }
            Self::BelowNull => {
                "scores under its own null, by more than its seeds or the null's own draws spread: a finding"
            }
            Self::Circular => "the audit of the truth used the method's own interventions: no rank",
            Self::Beside => "not the table's own metric: read beside it, never ranked alone",
            Self::Ceiling => "the whole model, for orientation: never ranked",
            Self::Truth => {
                "the known truth entered as an explanation: shows that the scale can be reached"
            }
            Self::Control => {
                "wrong on purpose and has to fail; a control that holds makes the board invalid"
            }
            Self::Uncontrolled => "its null did not run on every seed: off the board",
            Self::Invalid => "a control of the instrument failed: the number means nothing",
            Self::NotApplicable => "the method does not claim what the metric measures",
            Self::Untestable => "the exam cannot decide it here",
            Self::Failed => "a cell that it is made of failed or is not there: no rank until it is",
        }
    }
}

/// One specimen of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedScore {
    /// The specimen's seed.
    pub seed: u64,
    /// Its score.
    pub score: Option<f64>,
    /// Its null.
    pub null: Option<f64>,
    /// Its oracle.
    pub oracle: Option<f64>,
    /// Numbers and words that came with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
}

/// One method on one organism by one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name for people and commands: [`Row::id_of`], shortened.
    #[serde(default)]
    pub id: String,
    /// The question it answers.
    pub table: Table,
    /// The organism.
    pub organism: String,
    /// The method.
    pub method: String,
    /// The metric.
    pub metric: String,
    /// Whether the metric is the table's own.
    pub primary: bool,
    /// Why it stands on the board.
    #[serde(default)]
    pub role: Role,
    /// What the explanation may use.
    pub tier: Tier,
    /// How the truth came to be known.
    pub source: Source,
    /// How far it can be trusted.
    pub standing: Standing,
    /// A program that this project does not know had a part in it: another machine may get other
    /// numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine_dependent: bool,
    /// Mean over the seeds that have a score.
    pub score: Option<f64>,
    /// 95 % interval of the mean over seeds; `None` below two.
    pub interval: Option<[f64; 2]>,
    /// Mean of the nulls.
    pub null: Option<f64>,
    /// Mean of the oracles.
    pub oracle: Option<f64>,
    /// What the oracle is.
    pub oracle_kind: OracleKind,
    /// Score minus null, seed by seed.
    pub above_null: Option<Difference>,
    /// Every seed, ascending.
    pub seeds: Vec<SeedScore>,
    /// Where the row stands.
    pub status: Status,
    /// From 1, ties share the smaller; within (table, organism, metric, tier).
    pub rank: Option<u32>,
    /// The step to blame for what is missing.
    pub blame: Option<String>,
    /// Why it stands there, where that needs words.
    pub reason: Option<String>,
    /// The unit of the score.
    pub unit: String,
}

impl Row {
    /// What tells this row from all others, hashed: the same row has the same id in every run.
    pub fn id_of(&self) -> String {
        let names = [&self.organism, &self.method, &self.metric].map(String::as_str);
        let [organism, method, metric] = names;
        let text = [self.table.name(), organism, metric, self.tier.name(), method].join("\n");
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// How far the score is on the way from its null (0) to its oracle (1); `None` where one of
    /// them is missing or the two do not differ.
    pub fn position(&self) -> Option<f64> {
        position(self.score?, self.null?, self.oracle?)
    }

    /// Code length of the explanation in bits, once and for each token, mean over seeds; `None` where
    /// nothing was charged.
    pub fn bits(&self) -> Option<[f64; 2]> {
        let number = |s: &SeedScore, name: &str| s.details.get("bits")?.get(name)?.as_f64();
        let mean = |name: &str| {
            let all: Vec<f64> = self.seeds.iter().filter_map(|s| number(s, name)).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        Some([mean("once")?, mean("per_token").unwrap_or(0.0)])
    }

    /// Whether it takes more bits than another; not where one of them is charged nothing.
    pub(super) fn longer(&self, other: &Self) -> Ordering {
        match (self.bits(), other.bits()) {
            (Some(a), Some(b)) => a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])),
            _ => Ordering::Equal,
        }
    }

    /// The same for a single seed.
    pub fn position_of(&self, seed: &SeedScore) -> Option<f64> {
        position(seed.score?, seed.null?, seed.oracle?)
    }
}

fn position(score: f64, null: f64, oracle: f64) -> Option<f64> {
    let way = oracle - null;
    (way > super::FLOAT_FLOOR).then(|| (score - null) / way)
}
