//! Circuits against the network and against the truth.
//!
//! Faithfulness f(C) = (m(C) - m(0)) / (m(N) - m(0)) under three ablations; CPR and CMD integrate
//! f and |1 - f| over the share of edges kept, at every k; edge AUROC asks whether true edges are
//! scored above others, ties averaged, edges that the corruption cannot move left out. The null is
//! a random union of paths from input to logits, matched on edges per (layer, kind).

use crate::Error;
use crate::exam::bucket;
use flyroom_describe::EdgeScore;
use flyroom_describe::metric::{CircuitMetric, Reference, mean};
use flyroom_network::{Edge, EdgeTable, Receiver, Sender};
use flyroom_organism::{KnownEdge, Subject};
use flyroom_tensor::Stream;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Random circuits drawn for the null.
pub const DRAWS: usize = 1000;

/// Edge scores below this share of m(N) - m(0) are float noise and tie at 0: the metric is a mean of
/// sums of f32, whose rounding is of the order of 1e-7 of its terms.
pub const FLOOR: f64 = 1e-6;

/// What a circuit is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WiringScore {
    /// Edges kept, after pruning what is not on a path from input to logits.
    pub kept: usize,
    /// Edges of the network.
    pub edges: usize,
    /// f(C) with zero, mean and resample ablation.
    pub faithfulness: BTreeMap<String, f64>,
    /// Mean f of the random circuits under resampling.
    pub null_faithfulness: f64,
    /// 95 % quantile of the random circuits' f.
    pub null_high: f64,
    /// (1 + random circuits at least as faithful) / (1 + draws).
    pub p_value: f64,
    /// Random circuits drawn.
    pub draws: usize,
    /// Integral of f over the share of edges kept, by signed score.
    pub cpr: f64,
    /// Integral of |1 - f|, by absolute score.
    pub cmd: f64,
    /// CPR with every f clipped to 0..1.
    pub cpr_bounded: f64,
    /// Against the true edges, where they are known.
    pub truth: Option<EdgeTruthScore>,
}

/// Edges against the true ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeTruthScore {
    /// Area under the ROC of |score| over testable edges; ties averaged, scores below [`FLOOR`] tied.
    pub auroc: f64,
    /// The same for scores drawn at random: mean and 95 % interval, theory says 1/2.
    pub null_auroc: [f64; 3],
    /// Of the kept edges the share that is true.
    pub precision: f64,
    /// Of the testable true edges the share that is kept.
    pub recall: f64,
    /// Recall among query and key edges that gradients cannot reach.
    pub gradient_dead_recall: Option<f64>,
    /// True edges that were missed.
    pub missed: Vec<Edge>,
    /// Kept edges that are not true.
    pub extra: Vec<Edge>,
    /// True edges that this corruption cannot move.
    pub untestable: Vec<Edge>,
    /// True edges whose gradient is dead.
    pub gradient_dead: Vec<Edge>,
}

/// The edges that lie on a path from an embedding to the logits inside a set. A head is a writer
/// if any of its inputs is reached, since its pattern alone can carry the answer.
pub fn pruned(edges: &[Edge], table: &EdgeTable) -> Vec<Edge> {
    let share = kv_share(table);
    let feeds = |to: Receiver, s: Sender| match (to, s) {
        (Receiver::Query(l, h), Sender::Head(m, i)) => l == m && h == i,
        (Receiver::Key(l, h) | Receiver::Value(l, h), Sender::Head(m, i)) => {
            l == m && i / share == h
        }
        (Receiver::Mlp(l), Sender::Mlp(m)) => l == m,
        _ => false,
    };
    let mut kept = edges.to_vec();
    loop {
        let before = kept.len();
        let now = kept.clone();
        kept.retain(|e| {
            let fed = matches!(e.from, Sender::Embed | Sender::PosEmbed)
                || now.iter().any(|d| feeds(d.to, e.from));
            let read = e.to == Receiver::Logits
                || table.senders.iter().any(|&s| feeds(e.to, s) && now.iter().any(|d| d.from == s));
            fed && read
        });
        if kept.len() == before {
            return kept;
        }
    }
}

fn kv_share(table: &EdgeTable) -> usize {
    let queries = table.receivers.iter().filter(|r| matches!(r, Receiver::Query(0, _))).count();
    let keys = table.receivers.iter().filter(|r| matches!(r, Receiver::Key(0, _))).count();
    (queries / keys.max(1)).max(1)
}

/// A union of random paths from the embeddings to the logits with as many edges in every (layer,
/// kind) as `like`, as far as paths allow.
pub fn random_circuit(like: &[Edge], table: &EdgeTable, g: &mut Generator) -> Vec<Edge> {
    let mut room: BTreeMap<(usize, u8), isize> = BTreeMap::new();
    for &e in like {
        *room.entry(bucket(e)).or_default() += 1;
    }
    let mut out: Vec<Edge> = vec![];
    let mut failures = 0;
    while failures < 50 && room.values().any(|&n| n > 0) {
        let path = random_path(table, g);
        let mut need: BTreeMap<(usize, u8), isize> = BTreeMap::new();
        for &e in path.iter().filter(|e| !out.contains(e)) {
            *need.entry(bucket(e)).or_default() += 1;
        }
        let fits = need.iter().all(|(b, &n)| room.get(b).copied().unwrap_or(0) >= n);
        if need.is_empty() || !fits {
            failures += 1;
            continue;
        }
        for e in path {
            if !out.contains(&e) {
                *room.entry(bucket(e)).or_default() -= 1;
                out.push(e);
            }
        }
    }
    out
}

/// From the logits back to an embedding, each step to a random sender through a random input.
fn random_path(table: &EdgeTable, g: &mut Generator) -> Vec<Edge> {
    let share = kv_share(table);
    let mut path = vec![];
    let mut to = Receiver::Logits;
    loop {
        let choices: Vec<Edge> = table.edges.iter().copied().filter(|e| e.to == to).collect();
        let Some(&e) = choices.get(g.below(choices.len().max(1) as u64) as usize) else {
            return path;
        };
        path.push(e);
        to = match e.from {
            Sender::Embed | Sender::PosEmbed => return path,
            Sender::Mlp(l) => Receiver::Mlp(l),
            Sender::Head(l, h) => match g.below(3) {
                0 => Receiver::Query(l, h),
                1 => Receiver::Key(l, h / share),
                _ => Receiver::Value(l, h / share),
            },
        };
    }
}

/// Scores a ranked circuit. `scores` are those of all edges; `kept` is the claimed circuit.
pub fn score(
    subject: &Subject,
    scores: &[EdgeScore],
    kept: &[Edge],
    truth: Option<&[KnownEdge]>,
    seed: u64,
) -> Result<WiringScore, Error> {
    let metric = CircuitMetric::new(subject, 16, "wiring")?;
    let table = metric.table().clone();
    let kept = pruned(kept, &table);
    let mut faithfulness = BTreeMap::new();
    let mut ends = (1.0, 0.0);
    for (name, reference) in
        [("zero", Reference::Zero), ("mean", Reference::Mean), ("resample", Reference::Resample)]
    {
        ends = metric.ends(reference)?;
        let m = metric.circuit(&kept, reference)?;
        faithfulness.insert(name.to_string(), fraction(m, ends));
    }

    let mut generator = Stream::new(seed, "wiring/null").block(0);
    // Long inputs get fewer draws; the number is printed.
    let tokens = metric.pairs.len() * subject.task.pos() * DRAWS;
    let draws = (DRAWS * 200_000 / tokens.max(1)).clamp(100, DRAWS);
    let sets: Vec<Vec<Edge>> = (0..draws)
        .map(|_| metric.complement(&random_circuit(&kept, &table, &mut generator)))
        .collect();
    let mut null: Vec<f64> =
        metric.many(&sets, Reference::Resample)?.iter().map(|m| fraction(mean(m), ends)).collect();
    null.sort_by(f64::total_cmp);
    let own = faithfulness["resample"];
    let as_good = null.iter().filter(|&&f| f >= own).count();

    let (cpr, cpr_bounded) = curve(&metric, scores, ends, false)?;
    let (cmd, _) = curve(&metric, scores, ends, true)?;
    Ok(WiringScore {
        kept: kept.len(),
        edges: table.edges.len(),
        faithfulness,
        null_faithfulness: mean(&null),
        null_high: null[(null.len() * 95 / 100).min(null.len() - 1)],
        p_value: (1 + as_good) as f64 / (1 + draws) as f64,
        draws,
        cpr,
        cmd,
        cpr_bounded,
        truth: truth
            .map(|t| against_truth(scores, &kept, t, FLOOR * (ends.0 - ends.1).abs(), seed)),
    })
}

fn fraction(m: f64, (whole, nothing): (f64, f64)) -> f64 {
    let range = whole - nothing;
    if range.abs() < 1e-12 { 0.0 } else { (m - nothing) / range }
}

/// Integral over the share of edges kept of f (and of f clipped to 0..1), or of |1 - f| where
/// edges are ranked by absolute score. At every k, by trapezoids.
fn curve(
    metric: &CircuitMetric,
    scores: &[EdgeScore],
    ends: (f64, f64),
    absolute: bool,
) -> Result<(f64, f64), Error> {
    let table = metric.table();
    let mut order: Vec<&EdgeScore> = scores.iter().collect();
    let key = |e: &EdgeScore| if absolute { e.score.abs() } else { e.score };
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    let sets: Vec<Vec<Edge>> = (0..=order.len())
        .map(|k| {
            let kept: Vec<Edge> = order[..k].iter().map(|e| e.edge).collect();
            metric.complement(&pruned(&kept, table))
        })
        .collect();
    let f: Vec<f64> =
        metric.many(&sets, Reference::Resample)?.iter().map(|m| fraction(mean(m), ends)).collect();
    let trapezoid = |g: &dyn Fn(f64) -> f64| {
        f.windows(2).map(|w| (g(w[0]) + g(w[1])) / 2.0).sum::<f64>() / (f.len() - 1).max(1) as f64
    };
    Ok(if absolute {
        (trapezoid(&|f| (1.0 - f).abs()), 0.0)
    } else {
        (trapezoid(&|f| f), trapezoid(&|f| f.clamp(0.0, 1.0)))
    })
}

/// Area under the ROC by exact ranks, ties averaged; 1/2 if one class is empty.
pub fn auroc(scored: &[(f64, bool)]) -> f64 {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = sorted.iter().filter(|s| s.1).count();
    let negatives = sorted.len() - positives;
    if positives == 0 || negatives == 0 {
        return 0.5;
    }
    let mut rank_sum = 0.0;
    let mut i = 0;
    while i < sorted.len() {
        let j = (i..sorted.len()).find(|&j| sorted[j].0 != sorted[i].0).unwrap_or(sorted.len());
        let rank = (i + 1 + j) as f64 / 2.0;
        rank_sum += rank * sorted[i..j].iter().filter(|s| s.1).count() as f64;
        i = j;
    }
    let p = positives as f64;
    (rank_sum - p * (p + 1.0) / 2.0) / (p * negatives as f64)
}

fn against_truth(
    scores: &[EdgeScore],
    kept: &[Edge],
    truth: &[KnownEdge],
    floor: f64,
    seed: u64,
) -> EdgeTruthScore {
    let seen = |score: f64| if score.abs() < floor { 0.0 } else { score.abs() };
    let known = |e: Edge| truth.iter().find(|k| k.edge == e);
    let ranked: Vec<(f64, bool)> = scores
        .iter()
        .filter(|s| known(s.edge).is_none_or(|k| k.testable))
        .map(|s| (seen(s.score), known(s.edge).is_some()))
        .collect();
    let mut g = Stream::new(seed, "wiring/auroc").block(0);
    let mut null: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<(f64, bool)> = ranked.iter().map(|&(_, t)| (g.uniform64(), t)).collect();
            auroc(&drawn)
        })
        .collect();
    null.sort_by(f64::total_cmp);
    let at = |q: f64| null[((null.len() - 1) as f64 * q) as usize];
    let testable: Vec<Edge> = truth.iter().filter(|k| k.testable).map(|k| k.edge).collect();
    let found = testable.iter().filter(|e| kept.contains(e)).count();
    let right = kept.iter().filter(|&&e| known(e).is_some()).count();
    let dead: Vec<Edge> = scores
        .iter()
        .filter(|s| s.gradient_dead && known(s.edge).is_some())
        .map(|s| s.edge)
        .collect();
    let share = |n: usize, of: usize| if of == 0 { 0.0 } else { n as f64 / of as f64 };
    EdgeTruthScore {
        auroc: auroc(&ranked),
        null_auroc: [mean(&null), at(0.025), at(0.975)],
        precision: share(right, kept.len()),
        recall: share(found, testable.len()),
        gradient_dead_recall: (!dead.is_empty())
            .then(|| share(dead.iter().filter(|e| kept.contains(e)).count(), dead.len())),
        missed: testable.iter().copied().filter(|e| !kept.contains(e)).collect(),
        extra: kept.iter().copied().filter(|&e| known(e).is_none()).collect(),
        untestable: truth.iter().filter(|k| !k.testable).map(|k| k.edge).collect(),
        gradient_dead: dead,
    }
}

/// The whole network as the trivial circuit: every edge, all scores equal.
pub fn everything(table: &EdgeTable) -> Vec<EdgeScore> {
    table.edges.iter().map(|&edge| EdgeScore { edge, score: 1.0, gradient_dead: false }).collect()
}
