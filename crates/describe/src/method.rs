//! What every describe method brings.

use crate::{Error, Grid};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::{Body, Explanation, Part};
use flyroom_network::Edge;
use flyroom_organism::{Parameters, Subject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A score of one edge; positive = the edge helps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeScore {
    /// Which edge.
    pub edge: Edge,
    /// Its score.
    pub score: f64,
    /// Gradients cannot reach it: a query or key edge whose attention is saturated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gradient_dead: bool,
}

/// What a method says of one frequency of a cyclic task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrequencyLine {
    /// 1..=(modulus - 1) / 2
    pub frequency: usize,
    /// Share of the non-constant power of the embedding.
    pub power: f64,
    /// Amplitude of cos(2 pi frequency (a + b - c) / modulus) in the centred logits.
    pub amplitude: f64,
    /// Accuracy without it.
    pub accuracy: f64,
    /// Cross-entropy in nats without it.
    pub cross_entropy: f64,
    /// Largest absolute change of any logit without it.
    pub max_logit_change: f64,
    /// `key` if its power is large, else `minor`; `flat` where none is.
    pub embedding: String,
    /// `used` or `unused`.
    pub verdict: String,
}

/// What a describe method returns: the explanation and what it saw on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Parts, what they do, how they are wired: executable.
    pub explanation: Explanation,
    /// Scores of all edges in order of the edge table, for methods that rank edges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<EdgeScore>,
    /// Frequencies by descending power, for cyclic tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frequencies: Vec<FrequencyLine>,
    /// Share of the centred logits, over all inputs, that a sum of cosines at the named frequencies
    /// holds; its null is 0, since the logits are centred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_r2: Option<f64>,
    /// Numbers over layers, positions, heads, each with its null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grids: Vec<Grid>,
}

impl Description {
    /// An explanation and nothing beside it.
    pub fn new(explanation: Explanation) -> Self {
        Self { explanation, edges: vec![], frequencies: vec![], logit_r2: None, grids: vec![] }
    }
}

/// A method that says what parts do and how they are wired.
pub trait Describe: Sync {
    /// Name, version, source.
    fn entry(&self) -> MethodEntry;

    /// Defaults of all parameters.
    fn defaults(&self) -> Parameters;

    /// Whether it describes the parts of a dictionary; without, it is never given one.
    fn takes_parts(&self) -> bool {
        false
    }

    /// Describes a subject, with or without the parts of a decomposition. Fails with
    /// [`Error::NotApplicable`] where it has nothing to say.
    fn describe(
        &self,
        subject: &Subject,
        parts: Option<&Dictionary>,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Description, Error>;
}

/// Settings of a method: its defaults, overlaid with what was set.
pub(crate) fn settings<S: DeserializeOwned>(
    method: &str,
    defaults: Parameters,
    set: &Parameters,
) -> Result<S, Error> {
    let mut all = defaults;
    all.extend(set.clone());
    serde_json::from_value(Json::Object(all))
        .map_err(|e| Error::Parameters { method: method.into(), why: e.to_string() })
}

/// An explanation of a subject that bears its method's name.
pub(crate) fn signed(method: &str, subject: &Subject, parts: Vec<Part>, body: Body) -> Explanation {
    let mut e = Explanation::new(format!("{method} of {}", subject.label), parts, body);
    e.specimen = Some(subject.id.clone());
    e.method = Some(method.into());
    e.scope = subject.task.domain.clone();
    e
}
