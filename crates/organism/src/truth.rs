//! What is known about a specimen, in its own coordinates.
//!
//! Truth lies apart from the specimen, under `truth/<id>/truth.json`, and only `audit` and
//! `validate` open it: no method sees it.

use crate::Process;
use crate::organism::{Source, Standing};
use flyroom_explanation::Explanation;
use flyroom_network::{Edge, Selector};
use serde::{Deserialize, Serialize};

/// A direction that means something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// What it means.
    pub name: String,
    /// Where it lies.
    pub site: String,
    /// Unit vector in the coordinates of the site.
    pub direction: Vec<f32>,
    /// The feature without which it is never active, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// What is known of one edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownEdge {
    /// Which edge.
    pub edge: Edge,
    /// Whether the task's corruption can move it. One that it cannot is `untestable here`: left
    /// out of the ranking, audited by other interventions.
    pub testable: bool,
}

/// The truth about a specimen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Version of this format.
    pub schema: u32,
    /// Where it comes from.
    pub source: Source,
    /// How far it can be relied on.
    pub standing: Standing,
    /// Known directions.
    pub features: Vec<Feature>,
    /// All edges through which the answer flows, or `None` if the wiring is not known.
    pub circuit: Option<Vec<KnownEdge>>,
    /// The executable program with its alignment: the oracle of effect skill.
    pub explanation: Option<Explanation>,
    /// Subspaces and positions that the exam may set and interchange, in-domain.
    pub variables: Vec<ExamVariable>,
    /// The process that generates the data, whose beliefs a network that predicts well must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// How the tokens of a position lie to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

/// What is known of the shape in which the tokens of a position lie at a site: the mean activations of tokens 0,
/// 1, ... there are these points, turned, scaled and moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Where.
    pub site: String,
    /// The position of the tokens and of the activations.
    pub pos: usize,
    /// A point for each token; in the plane and in the order of a ring.
    pub points: Vec<Vec<f32>>,
}

/// A variable of the exam: where it lies and which coordinates its values have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExamVariable {
    /// Its name in the truth.
    pub name: String,
    /// Site and basis; the position is chosen by the exam.
    pub selector: Selector,
    /// Positions at which it means something.
    pub positions: Vec<usize>,
    /// Coordinates of each value of its domain.
    pub values: Vec<Vec<f32>>,
}

/// Order of computation of a site that reads or writes the residual stream: what lies at a greater
/// depth is computed later. `None` for sites elsewhere.
pub fn stream_depth(site: &str) -> Option<usize> {
    match site {
        "hook_embed" | "hook_pos_embed" => return Some(0),
        "unembed.hook_in" => return Some(usize::MAX),
        _ => {}
    }
    let (layer, hook) = site.strip_prefix("blocks.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    match hook {
        "hook_resid_pre" => Some(3 * layer),
        "hook_attn_out" | "hook_resid_mid" => Some(3 * layer + 1),
        "hook_mlp_out" => Some(3 * layer + 2),
        "hook_resid_post" => Some(3 * layer + 3),
        _ => None,
    }
}

impl Truth {
    /// Features that lie at a site: those written there, and in the residual stream also those
    /// that were written before.
    pub fn features_at(&self, site: &str) -> Vec<Feature> {
        let stream = site.contains("resid") || site == "unembed.hook_in";
        let here = |f: &Feature| {
            f.site == site
                || (stream
                    && matches!((stream_depth(&f.site), stream_depth(site)), (Some(a), Some(b)) if a <= b))
        };
        self.features
            .iter()
            .filter(|f| here(f))
            .map(|f| Feature { site: site.into(), ..f.clone() })
            .collect()
    }

    /// Nothing is known, or there is nothing to know.
    pub fn nothing() -> Self {
        Self {
            schema: 1,
            source: Source::Nothing,
            standing: Standing::Exact,
            features: vec![],
            circuit: None,
            explanation: None,
            variables: vec![],
            process: None,
            shape: None,
        }
    }
}
