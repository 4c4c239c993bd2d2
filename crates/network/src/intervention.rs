//! Interventions as plain data: where, what, and the id of a source *input*, never an activation.
//!
//! The same list runs on a network ([`crate::Runner`]), on an explanation (crate `explanation`)
//! and in a trial, so the three mean the same thing by it.

use crate::edge::Edge;
use crate::selector::Selector;
use serde::{Deserialize, Serialize};

/// Where an intervention acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Part of a site.
    Site(Selector),
    /// Edges: the receiver's input becomes x + sum over its patched senders u of (a_u' - a_u).
    Edges(Vec<Edge>),
    /// Part of a parameter, for all positions and inputs of the run.
    Weight(Selector),
}

/// What an intervention does there. `input` is an index into the set of inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Sets to 0; along a subspace this is the projection away from it.
    Zero,
    /// Sets to the mean per position over the set of inputs.
    Mean,
    /// Sets to what a run on another input has there. With the task's corrupted partner this is
    /// resampling, with an input chosen by the experimenter it is the interchange intervention of
    /// Geiger et al. 2021.
    Interchange {
        /// The source input.
        input: usize,
    },
    /// Sets to given values: one for each selected coordinate, or for each row of the basis; on
    /// edges all that their sender writes, `[pos, d_model]`.
    Set {
        /// The values.
        values: Vec<f32>,
    },
    /// Adds `factor` times the difference between a source input's clean values and this input's.
    Add {
        /// The source input.
        input: usize,
        /// Multiplies the difference.
        factor: f32,
    },
}

/// One intervention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervention {
    /// Where.
    pub target: Target,
    /// What.
    pub operation: Operation,
}

impl Intervention {
    /// On part of a site.
    pub fn site(selector: Selector, operation: Operation) -> Self {
        Self { target: Target::Site(selector), operation }
    }

    /// On edges.
    pub fn edges(edges: Vec<Edge>, operation: Operation) -> Self {
        Self { target: Target::Edges(edges), operation }
    }

    /// On a parameter.
    pub fn weight(selector: Selector, operation: Operation) -> Self {
        Self { target: Target::Weight(selector), operation }
    }
}

/// One run: an input of the set with interventions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Index of the input.
    pub input: usize,
    /// What is done during the run.
    pub interventions: Vec<Intervention>,
}
