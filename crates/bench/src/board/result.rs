//! One number of one seed, with what it takes to judge it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The questions; never one composite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Did it find the parts?
    Parts,
    /// Did it find the wiring?
    Wiring,
    /// Does it predict what happens inside?
    Effects,
    /// Does it tell algorithms apart? Only where a run has behaviour twins; rows are not about one
    /// organism, so no verdict comes from them.
    Twins,
}

impl Table {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 4] = [Self::Parts, Self::Wiring, Self::Effects, Self::Twins];

    /// The question that the table answers.
    pub fn question(self) -> &'static str {
        match self {
            Self::Parts => "Did it find the parts?",
            Self::Wiring => "Did it find the wiring?",
            Self::Effects => "Does it predict what happens inside?",
            Self::Twins => "Does it tell algorithms apart?",
        }
    }

    /// `parts`, `wiring`, `effects` or `twins`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parts => "parts",
            Self::Wiring => "wiring",
            Self::Effects => "effects",
            Self::Twins => "twins",
        }
    }

    /// What its rows are means over.
    pub fn over(self) -> &'static str {
        if self == Self::Twins { "pairs" } else { "seeds" }
    }

    /// Whether it says so where no method of a run claims it.
    pub fn is_always_shown(self) -> bool {
        self != Self::Twins
    }
}

/// What an explanation may use; rows of different tiers are never ranked together.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Tier {
    /// The explanation file and the input only.
    #[serde(rename = "closed")]
    Closed,
    /// May call the weights of the parts that it names.
    #[serde(rename = "open")]
    Open,
    /// The model itself: the ceiling, printed and never ranked.
    #[serde(rename = "whole")]
    Whole,
    /// Access is not part of this score.
    #[default]
    #[serde(rename = "-")]
    None,
}

impl Tier {
    /// `closed`, `open`, `whole` or `-`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Whole => "whole",
            Self::None => "-",
        }
    }
}

/// How the truth came to be known: the construction route of the organism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A compiler made the weights from a program.
    Compiled,
    /// Training was constrained to an algorithm.
    Constrained,
    /// The network was trained freely and taken apart by people: its rows are claims on trial.
    ReverseEngineered,
    /// The data were generated from known features.
    Generated,
}

impl Source {
    /// `compiled`, `constrained`, `reverse-engineered` or `generated`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Constrained => "constrained",
            Self::ReverseEngineered => "reverse-engineered",
            Self::Generated => "generated",
        }
    }
}

/// How far the truth can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// By construction.
    Exact,
    /// Interventions bear it out.
    Audited,
    /// An audit failed or two truths compete.
    Contested,
}

/// What the oracle of a score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OracleKind {
    /// The known truth, scored as a method would be.
    Truth,
    /// Handing back the input.
    Identity,
    /// The whole network.
    FullModel,
    /// What two seeds agree on.
    TwoSeedCeiling,
    /// There is none: ranked by the difference to the null.
    None,
}

impl OracleKind {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Identity => "identity",
            Self::FullModel => "full model",
            Self::TwoSeedCeiling => "two-seed ceiling",
            Self::None => "none",
        }
    }
}

/// What theory says about the null of a score; a null that disagrees is a broken instrument.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullTheory {
    /// Its expectation is this (AUROC: 0.5).
    Equals(f64),
    /// Its expectation is at most this (effect skill of shuffled pairs: 0).
    AtMost(f64),
}

/// Why there is no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The method does not claim what the metric measures (a snapshot has no effect skill).
    NotApplicable,
    /// The exam cannot decide it here (fewer than 20 effective interventions).
    Untestable,
    /// The cell that would have held it failed, or is not there.
    Failed,
}

/// Why a score stands on the board.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A method of the plan.
    #[default]
    Method,
    /// The known truth, entered as an explanation, as it is or padded: it shows that the scale can be
    /// reached.
    Truth,
    /// Something wrong on purpose, which must fail; one that holds is a fault of the instrument.
    Control,
}

/// One score of one seed. Higher is better: a metric where lower is better reports a skill, or its
/// negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellResult {
    /// The question it answers.
    pub table: Table,
    /// The organism, as its label in the plan.
    pub organism: String,
    /// The method or pair of methods, as its label in the plan.
    pub method: String,
    /// The metric.
    pub metric: String,
    /// Whether the metric is the table's own: verdicts are made of primary metrics only.
    pub primary: bool,
    /// Why it stands on the board.
    #[serde(default)]
    pub role: Role,
    /// What the explanation may use.
    pub tier: Tier,
    /// The specimen's seed.
    pub seed: u64,
    /// How the truth came to be known.
    pub source: Source,
    /// How far it can be trusted.
    pub standing: Standing,
    /// The audit that supports the truth used the method's own interventions.
    #[serde(default)]
    pub circular: bool,
    /// A program that this project does not know had a part in it: another machine may get another
    /// number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine_dependent: bool,
    /// The score; `None` with `absent` and `reason`.
    pub score: Option<f64>,
    /// The matched null; `None` if it did not run.
    pub null: Option<f64>,
    /// The interval of this seed's null over its draws, if it was drawn more than once.
    #[serde(default)]
    pub null_interval: Option<[f64; 2]>,
    /// The standard deviation of this seed's null over its draws, where they are of what is scored: how far
    /// apart two things without knowledge lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_spread: Option<f64>,
    /// What theory says about the null.
    #[serde(default)]
    pub null_theory: Option<NullTheory>,
    /// The oracle.
    pub oracle: Option<f64>,
    /// What the oracle is.
    pub oracle_kind: OracleKind,
    /// The step to blame for what is missing, where validation could tell.
    #[serde(default)]
    pub blame: Option<String>,
    /// Why there is no score.
    #[serde(default)]
    pub absent: Option<Absent>,
    /// Why there is no score, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// `share`, `bits`, `nats`, ...; empty for a skill.
    #[serde(default)]
    pub unit: String,
    /// Anything else worth keeping, by name.
    #[serde(default)]
    pub details: BTreeMap<String, Value>,
}

impl CellResult {
    /// A score between its null and its oracle; the rest is set by field.
    pub fn new(
        table: Table,
        organism: &str,
        method: &str,
        metric: &str,
        seed: u64,
        score: f64,
    ) -> Self {
        Self {
            table,
            organism: organism.to_owned(),
            method: method.to_owned(),
            metric: metric.to_owned(),
            primary: true,
            role: Role::Method,
            tier: Tier::None,
            seed,
            source: Source::Generated,
            standing: Standing::Exact,
            circular: false,
            machine_dependent: false,
            score: Some(score),
            null: None,
            null_interval: None,
            null_spread: None,
            null_theory: None,
            oracle: None,
            oracle_kind: OracleKind::None,
            blame: None,
            absent: None,
            reason: None,
            unit: String::new(),
            details: BTreeMap::new(),
        }
    }

    /// With a matched null.
    #[must_use]
    pub fn null(mut self, null: f64) -> Self {
        self.null = Some(null);
        self
    }

    /// With an oracle.
    #[must_use]
    pub fn oracle(mut self, oracle: f64, kind: OracleKind) -> Self {
        self.oracle = Some(oracle);
        self.oracle_kind = kind;
        self
    }

    /// In a tier.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// With where the truth comes from and how far it can be trusted.
    #[must_use]
    pub fn truth(mut self, source: Source, standing: Standing) -> Self {
        self.source = source;
        self.standing = standing;
        self
    }

    /// Without a score, for a reason.
    #[must_use]
    pub fn absent(mut self, absent: Absent, reason: &str) -> Self {
        self.score = None;
        self.absent = Some(absent);
        self.reason = Some(reason.to_owned());
        self
    }
}
