//! Circuits: which edges carry the answer.
//!
//! *Exact patching* removes one edge at a time and reads the change of the metric; *pair patching* also
//! beside each other edge, for what stands in for another shows only when both are gone; *EAP* (Syed et
//! al. 2023) predicts that change from one gradient, *EAP-IG* (Hanna et al. 2024) from the mean
//! gradient on the way from the corrupted input, *EAP-IG-activations* (Mueller et al. 2025) from that
//! on the way of the edge's own sender. Scores are positive where the edge helps. The circuit keeps
//! the edges whose score is at least `keep` of m(N) - m(0).

use crate::method::{settings, signed};
use crate::metric::{CircuitMetric, Reference, mean};
use crate::{Describe, Description, EdgeScore, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::{Ablation, Body};
use flyroom_network::{Edge, GradientPath, Receiver};
use flyroom_organism::{Parameters, Subject, defaults_of};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Attention is saturated where no entry of a pattern has A (1 - A) above this.
pub const SATURATED: f32 = 1e-3;

/// A receiver is dead where every edge into it scores below this share of m(N) - m(0).
pub const DEAD: f64 = 1e-6;

/// Runs in which two edges are removed, at most.
const MOST_RUNS: usize = 1 << 21;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Pairs (input, corrupted partner).
    pairs: usize,
    /// Share of m(N) - m(0) from which on an edge belongs to the circuit.
    keep: f64,
    /// Points of the gradient path; 1 is EAP.
    steps: usize,
    /// Whose runs the gradients of EAP-IG-activations are averaged over.
    over: Over,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pairs: 64, keep: 0.01, steps: 1, over: Over::Sender }
    }
}

/// [`GradientPath::Sender`] or [`GradientPath::Blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Over {
    Sender,
    Blocks,
}

/// How edges are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// m(N) - m(N without e).
    Exact,
    /// m(N without f) - m(N without e and f), for the f (or none) with which that is largest.
    Pairs,
    /// First order at the clean input.
    Eap,
    /// First order, gradients averaged over the path of embeddings.
    EapIg,
    /// First order, gradients averaged over the path of the sender's activation.
    EapIgActivations,
}

impl Scores {
    fn name(self) -> &'static str {
        match self {
            Scores::Exact => "exact-patching",
            Scores::Pairs => "pair-patching",
            Scores::Eap => "eap",
            Scores::EapIg => "eap-ig",
            Scores::EapIgActivations => "eap-ig-activations",
        }
    }
}

impl Describe for Scores {
    fn entry(&self) -> MethodEntry {
        let (summary, source) = match self {
            Scores::Exact => (
                "removes each edge alone and reads the change of the answer",
                "Goldowsky-Dill et al. 2023, arXiv 2304.05969",
            ),
            Scores::Pairs => (
                "removes each edge beside each other one: finds what stands in for another",
                "McGrath et al. 2023, arXiv 2307.15771",
            ),
            Scores::Eap => (
                "predicts the effect of removing each edge from one gradient",
                "Syed et al. 2023, arXiv 2310.10348",
            ),
            Scores::EapIg => (
                "the same with gradients averaged on the way from the corrupted input",
                "Hanna et al. 2024, arXiv 2403.17806",
            ),
            Scores::EapIgActivations => (
                "the same with gradients averaged on the way of each sender's own activation",
                "Mueller et al. 2025, arXiv 2504.13151",
            ),
        };
        MethodEntry { name: self.name(), step: "describe", version: 1, summary, source }
    }

    fn defaults(&self) -> Parameters {
        let mut p = defaults_of::<Settings>();
        match self {
            Scores::Exact | Scores::Pairs | Scores::Eap => p.remove("steps"),
            Scores::EapIg | Scores::EapIgActivations => p.insert("steps".into(), Json::from(5)),
        };
        if *self == Scores::Pairs {
            p.insert("pairs".into(), Json::from(16));
        }
        if *self != Scores::EapIgActivations {
            p.remove("over");
        }
        p
    }

    fn describe(
        &self,
        subject: &Subject,
        _parts: Option<&Dictionary>,
        parameters: &Parameters,
        _seed: u64,
    ) -> Result<Description, Error> {
        let settings: Settings = settings(self.name(), defaults_of::<Settings>(), parameters)?;
        let metric = CircuitMetric::new(subject, settings.pairs.max(1), self.name())?;
        let table = metric.table().clone();
        let (whole, nothing) = metric.ends(Reference::Resample)?;
        let scores: Vec<f64> = match self {
            Scores::Exact => {
                let alone: Vec<_> = table.edges.iter().map(|&e| vec![e]).collect();
                metric.many(&alone, Reference::Resample)?.iter().map(|m| whole - mean(m)).collect()
            }
            Scores::Pairs => in_pairs(&metric, whole)?,
            _ => {
                let path = match (self, settings.over) {
                    (Scores::EapIgActivations, Over::Sender) => GradientPath::Sender,
                    (Scores::EapIgActivations, Over::Blocks) => GradientPath::Blocks,
                    _ => GradientPath::Inputs,
                };
                let (pairs, steps) = (&metric.pairs, settings.steps.max(1));
                let each =
                    subject.runner.edge_attribution(pairs, &metric.direction, path, steps)?;
                (0..table.edges.len())
                    .map(|e| mean(&each.iter().map(|s| s[e]).collect::<Vec<_>>()))
                    .collect()
            }
        };
        let least = settings.keep * (whole - nothing).abs();
        let by_gradient = !matches!(self, Scores::Exact | Scores::Pairs);
        let dead = if by_gradient { saturated(subject)? } else { vec![] };
        // What no gradient reaches at all, a step of a compiled MLP for one, is dead as well.
        let silent = |to: Receiver| {
            let into = table.edges.iter().zip(&scores).filter(|(e, _)| e.to == to);
            into.map(|(_, s)| s.abs()).fold(0.0, f64::max) <= DEAD * (whole - nothing).abs()
        };
        let edges: Vec<EdgeScore> = table
            .edges
            .iter()
            .zip(&scores)
            .map(|(&edge, &score)| EdgeScore {
                edge,
                score,
                gradient_dead: dead.contains(&edge.to) || (by_gradient && silent(edge.to)),
            })
            .collect();
        let kept = edges.iter().filter(|e| e.score.abs() >= least && e.score != 0.0);
        let body =
            Body::Circuit { edges: kept.map(|e| e.edge).collect(), ablation: Ablation::Resample };
        let explanation = signed(self.name(), subject, vec![], body);
        Ok(Description { edges, ..Description::new(explanation) })
    }
}

/// What the removal of each edge takes, alone or beside the other edge with which it takes (or
/// gives) most.
fn in_pairs(metric: &CircuitMetric, whole: f64) -> Result<Vec<f64>, Error> {
    let edges = &metric.table().edges;
    let n = edges.len();
    let runs = n * (n + 1) / 2 * metric.pairs.len();
    if runs > MOST_RUNS {
        let why = format!(
            "{n} edges in pairs are {runs} runs, and {MOST_RUNS} are the most; hint: --set pairs={}",
            (MOST_RUNS / (n * (n + 1) / 2).max(1)).max(1)
        );
        return Err(Error::NotApplicable { method: Scores::Pairs.name(), why });
    }
    let mut sets: Vec<Vec<Edge>> = edges.iter().map(|&e| vec![e]).collect();
    let both = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    sets.extend(both.clone().map(|(i, j)| vec![edges[i], edges[j]]));
    let left: Vec<f64> = metric.many(&sets, Reference::Resample)?.iter().map(|m| mean(m)).collect();
    let (alone, together) = left.split_at(n);
    let mut scores: Vec<f64> = alone.iter().map(|m| whole - m).collect();
    let mut larger = |e: usize, taken: f64| {
        if taken.abs() > scores[e].abs() {
            scores[e] = taken;
        }
    };
    for ((i, j), m) in both.zip(together) {
        larger(i, alone[j] - m);
        larger(j, alone[i] - m);
    }
    Ok(scores)
}

/// Query and key receivers whose head attends so sharply that no gradient passes its softmax.
fn saturated(subject: &Subject) -> Result<Vec<Receiver>, Error> {
    let Some(c) = subject.network().architecture().transformer() else { return Ok(vec![]) };
    let mut out = vec![];
    for l in 0..c.n_layers {
        let pattern = subject.runner.clean(&format!("blocks.{l}.attn.hook_pattern"))?;
        let pos = subject.task.pos();
        let per_head = pos * pos;
        let mut most = vec![0.0f32; c.n_heads];
        for (i, block) in pattern.data().chunks(per_head).enumerate() {
            let m = &mut most[i % c.n_heads];
            block.iter().for_each(|&a| *m = m.max(a * (1.0 - a)));
        }
        for (h, &m) in most.iter().enumerate() {
            if m < SATURATED {
                out.push(Receiver::Query(l, h));
            }
        }
        let share = c.n_heads / c.n_kv_heads;
        for g in 0..c.n_kv_heads {
            if most[g * share..(g + 1) * share].iter().all(|&m| m < SATURATED) {
                out.push(Receiver::Key(l, g));
            }
        }
    }
    Ok(out)
}
