//! Edges: an edge moves an output under some corruption if and only if the truth has it.
//!
//! *Measures*, for every edge of the network, claimed or not, the largest change of an output that
//! counts when what the edge carries is replaced, all else left as it is (Goldowsky-Dill et al.
//! 2023). *Intuition*: one corruption cannot show all edges. What the task's partner leaves equal,
//! a position for one, only another replacement moves; so six are tried, and an edge that is
//! silent under all of them is taken for silent. What answers only where nothing else does, the
//! default of a selection that always finds something, is silent until it is *louder* than what
//! outvotes it, which is what the last is for. *Control*: a claim of as many edges drawn at random
//! is contradicted.
//!
//! | corruption | the sender's values |
//! |---|---|
//! | partner | of the task's corrupted partner |
//! | other | of another input |
//! | exchanged | its own, at two positions exchanged; the pairs of positions take turns over inputs |
//! | mean | the mean per position over all inputs |
//! | zero | 0 |
//! | amplified | its own, three times as large at one position; positions take turns over inputs |

use super::{Check, Control, Counterexample, Ground, spread};
use crate::Error;
use flyroom_network::{Axis, Edge, EdgeTable, Intervention, Operation, Row, Runner, Sender};
use flyroom_organism::{KnownEdge, Task};
use flyroom_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an edge carries instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// What the task's corrupted partner sends.
    Partner,
    /// What another input sends.
    Other,
    /// What it sends at another position.
    Exchanged,
    /// What is sent on average.
    Mean,
    /// Nothing.
    Zero,
    /// What it sends, [`AMPLIFIED`] times as large at one position.
    Amplified,
}

/// How much larger an amplified sender is at one position. A default lies half way to a match in
/// the networks that Tracr and this project compile, so twice is not enough to outvote it.
pub const AMPLIFIED: f32 = 3.0;

impl Corruption {
    /// In the order in which they are tried.
    pub const ALL: [Self; 6] =
        [Self::Partner, Self::Other, Self::Exchanged, Self::Mean, Self::Zero, Self::Amplified];

    /// As it is written in `audit.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Other => "other",
            Self::Exchanged => "exchanged",
            Self::Mean => "mean",
            Self::Zero => "zero",
            Self::Amplified => "amplified",
        }
    }
}

/// An edge that is claimed, or that contradicts the claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditedEdge {
    /// Which edge.
    pub edge: Edge,
    /// Whether the truth has it.
    pub claimed: bool,
    /// Whether the truth says that the task's partner moves it.
    pub testable: bool,
    /// Corruptions under which it moves an output.
    pub active: Vec<Corruption>,
    /// Largest change of an output under each corruption, as a share of the largest clean output.
    pub effects: BTreeMap<Corruption, f64>,
    /// Whether the network bears out what the truth says of it.
    pub holds: bool,
}

/// The check of edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgesAudit {
    /// Counts and control.
    #[serde(flatten)]
    pub check: Check,
    /// Edges of the network.
    pub table: usize,
    /// Inputs on which each was patched, over all lengths.
    pub inputs: usize,
    /// Whether these are all inputs.
    pub exhaustive: bool,
    /// Those that the truth has, and those that contradict it.
    pub edges: Vec<AuditedEdge>,
    /// Least effect of a claimed edge under the corruption that moves it most.
    pub least_claimed: f64,
    /// Largest effect of an edge that is not claimed.
    pub largest_unclaimed: f64,
}

pub(super) fn check(ground: &Ground) -> Result<EdgesAudit, Error> {
    let none = |why: &str| EdgesAudit {
        check: Check::not_applicable(why),
        table: 0,
        inputs: 0,
        exhaustive: false,
        edges: vec![],
        least_claimed: 0.0,
        largest_unclaimed: 0.0,
    };
    let Some(claimed) = &ground.truth.circuit else {
        return Ok(none("the truth claims no wiring"));
    };
    let Some(c) = ground.specimen.network.architecture().transformer() else {
        return Ok(none("only a transformer has edges"));
    };
    let table = EdgeTable::new(c);
    let mut check = Check::empty();
    for k in claimed {
        if table.index(k.edge).is_err() {
            check.fail(|| Counterexample {
                claim: format!("edge {}", k.edge),
                input: vec![],
                place: k.edge.to_string(),
                wanted: "an edge".into(),
                got: "this network has no such edge".into(),
            });
        }
    }
    let share = ground.options.edge_runs
        / (table.edges.len() * Corruption::ALL.len() * ground.tasks.len()).max(1);
    let stripes = ground.cx.threads().max(1);
    let samples: Vec<Sample> = ground
        .tasks
        .iter()
        .map(|task| Sample::new(ground, &table, task, share))
        .collect::<Result<_, _>>()?;
    let found = ground.each(samples.len() * stripes, |job| {
        let (sample, stripe) = (&samples[job / stripes], job % stripes);
        sample.effects(ground, &table, (stripe..table.edges.len()).step_by(stripes))
    })?;
    let mut most = vec![BTreeMap::<Corruption, Effect>::new(); table.edges.len()];
    for (job, patched) in found.into_iter().enumerate() {
        check.runs += patched.runs;
        check.comparisons += patched.runs;
        for (e, corruption, effect) in patched.largest {
            let effect = Effect { task: job / stripes, ..effect };
            let best = most[e].entry(corruption).or_insert(effect);
            if effect.size > best.size {
                *best = effect;
            }
        }
    }
    check.claims = table.edges.len();
    let known: BTreeMap<Edge, &KnownEdge> = claimed.iter().map(|k| (k.edge, k)).collect();
    let mut edges = vec![];
    let (mut least_claimed, mut largest_unclaimed) = (f64::INFINITY, 0f64);
    let mut active_edges: BTreeSet<Edge> = BTreeSet::new();
    for (&edge, effects) in table.edges.iter().zip(&most) {
        let active: Vec<Corruption> = effects
            .iter()
            .filter(|(_, e)| e.size > ground.options.within)
            .map(|(c, _)| *c)
            .collect();
        let largest = effects.values().map(|e| e.size).fold(0.0, f64::max);
        if !active.is_empty() {
            active_edges.insert(edge);
        }
        let partner = active.contains(&Corruption::Partner);
        let (is_claimed, testable) =
            known.get(&edge).map_or((false, false), |k| (true, k.testable));
        match is_claimed {
            true => least_claimed = least_claimed.min(largest),
            false => largest_unclaimed = largest_unclaimed.max(largest),
        }
        let wrong = match (is_claimed, testable) {
            (false, _) => (!active.is_empty()).then_some("silent under every corruption"),
            (true, true) => (!partner).then_some("moved by the task's partner"),
            (true, false) if partner => Some("silent under the task's partner"),
            (true, false) => active.is_empty().then_some("moved by some corruption"),
        };
        if let Some(wanted) = wrong {
            let place =
                effects.iter().max_by(|a, b| a.1.size.total_cmp(&b.1.size)).map(|(c, e)| (*c, *e));
            let input = place.map_or(vec![], |(_, e)| ground.words(&samples[e.task].task, e.input));
            check.fail(|| Counterexample {
                claim: format!("edge {edge}"),
                input,
                place: place.map_or(edge.to_string(), |(c, _)| format!("{edge}, {}", c.name())),
                wanted: wanted.into(),
                got: match partner && wanted.starts_with("silent under the") {
                    true => {
                        format!("partner moves it by {:.4}", effects[&Corruption::Partner].size)
                    }
                    false => format!("moved by {largest:.2e} of the largest output"),
                },
            });
        }
        if is_claimed || wrong.is_some() {
            edges.push(AuditedEdge {
                edge,
                claimed: is_claimed,
                testable,
                active,
                effects: effects.iter().map(|(c, e)| (*c, e.size)).collect(),
                holds: wrong.is_none(),
            });
        }
    }
    check.control = control(&table, claimed.len(), &active_edges);
    Ok(EdgesAudit {
        check: check.concluded(),
        table: table.edges.len(),
        inputs: samples.iter().map(|s| s.task.clean).sum(),
        exhaustive: samples.iter().all(|s| s.exhaustive),
        edges,
        least_claimed: if least_claimed.is_finite() { least_claimed } else { 0.0 },
        largest_unclaimed,
    })
}

/// As many edges drawn at random: the share of them that the network bears out.
fn control(table: &EdgeTable, claimed: usize, active: &BTreeSet<Edge>) -> Option<Control> {
    let n = table.edges.len();
    if claimed == 0 || claimed >= n {
        return None;
    }
    let mut g = Stream::new(0, "audit/edges").block(0);
    let drawn = g.choose(n, claimed);
    let right = drawn.iter().filter(|&&i| active.contains(&table.edges[i])).count();
    let what = "as many edges drawn at random: share of them that is active";
    Some(Control::at_most(
        what,
        right as f64 / claimed as f64,
        (claimed as f64 - 0.5) / claimed as f64,
    ))
}

/// The largest effect of an edge under a corruption, and where.
#[derive(Debug, Clone, Copy)]
struct Effect {
    size: f64,
    task: usize,
    input: usize,
}

/// What patching some edges did.
struct Patched {
    runs: usize,
    /// (index of the edge, corruption, largest effect).
    largest: Vec<(usize, Corruption, Effect)>,
}

/// The inputs of one length on which edges are patched.
struct Sample {
    task: Task,
    exhaustive: bool,
    /// Means of every sender over all inputs of the length, `[pos, d_model]`.
    means: BTreeMap<Sender, Vec<f32>>,
    /// Largest clean output that counts.
    scale: f64,
}

impl Sample {
    fn new(ground: &Ground, table: &EdgeTable, task: &Task, most: usize) -> Result<Self, Error> {
        let own = spread(task.clean, most.max(1));
        let exhaustive = task.exhaustive && own.len() == task.clean;
        let mut means = BTreeMap::new();
        for &sender in &table.senders {
            let (site, head) = written(sender);
            // One site at a time is held.
            let runner = Runner::new(&ground.specimen.network, &task.inputs, &ground.alone())?;
            let heads = runner.site(&site)?.axis_len(Axis::Head).unwrap_or(1);
            let unit = runner.site(&site)?.axis_len(Axis::Unit).unwrap_or(1);
            let mean = runner.mean(&site)?;
            means.insert(sender, of_head(&mean, heads, unit, head));
        }
        let task = task.restricted(&own);
        let runner = Runner::new(&ground.specimen.network, &task.inputs, &ground.alone())?;
        let clean = runner.logits()?;
        let mut scale = 0f64;
        for i in 0..task.clean {
            let y = task.reading(i, clean.row(i));
            scale = y.iter().map(|y| f64::from(y.abs())).fold(scale, f64::max);
        }
        Ok(Self { task, exhaustive, means, scale: scale.max(f64::MIN_POSITIVE) })
    }

    /// Patches some edges, one at a time, under every corruption.
    fn effects(
        &self,
        ground: &Ground,
        table: &EdgeTable,
        edges: impl Iterator<Item = usize>,
    ) -> Result<Patched, Error> {
        let runner = Runner::new(&ground.specimen.network, &self.task.inputs, &ground.alone())?;
        let clean = runner.logits()?;
        let readings: Vec<Vec<f32>> =
            (0..self.task.clean).map(|i| self.task.reading(i, clean.row(i))).collect();
        let mut others = Stream::new(0, "audit/others").block(self.task.pos() as u64);
        let n = self.task.clean;
        let other: Vec<Option<usize>> = (0..n)
            .map(|i| (n > 1).then(|| (i + 1 + others.below(n as u64 - 1) as usize) % n))
            .collect();
        let mut out = Patched { runs: 0, largest: vec![] };
        for e in edges {
            let edge = table.edges[e];
            for corruption in Corruption::ALL {
                let mut rows = vec![];
                for (input, other) in other.iter().enumerate() {
                    let operation = match corruption {
                        Corruption::Partner => {
                            Some(Operation::Interchange { input: self.task.partner[input] })
                        }
                        Corruption::Other => other.map(|input| Operation::Interchange { input }),
                        Corruption::Exchanged => exchanged(&runner, edge.from, input)?
                            .map(|values| Operation::Set { values }),
                        Corruption::Mean => {
                            let values = self.means[&edge.from].clone();
                            Some(Operation::Set { values })
                        }
                        Corruption::Zero => Some(Operation::Zero),
                        Corruption::Amplified => {
                            let values = amplified(&runner, edge.from, input)?;
                            Some(Operation::Set { values })
                        }
                    };
                    if let Some(operation) = operation {
                        let interventions = vec![Intervention::edges(vec![edge], operation)];
                        rows.push(Row { input, interventions });
                    }
                }
                out.runs += rows.len();
                let mut best = Effect { size: 0.0, task: 0, input: 0 };
                for (row, y) in rows.iter().zip(runner.run(&rows)?) {
                    let after = self.task.reading(row.input, &y);
                    for (a, b) in after.iter().zip(&readings[row.input]) {
                        let d = f64::from(a - b).abs() / self.scale;
                        // What is no number has moved.
                        let d = if d.is_nan() { f64::MAX } else { d };
                        if d > best.size {
                            best = Effect { size: d, task: 0, input: row.input };
                        }
                    }
                }
                if !rows.is_empty() {
                    out.largest.push((e, corruption, best));
                }
            }
        }
        Ok(out)
    }
}

/// Site and head at which a sender writes.
fn written(s: Sender) -> (String, usize) {
    match s {
        Sender::Embed => ("hook_embed".into(), 0),
        Sender::PosEmbed => ("hook_pos_embed".into(), 0),
        Sender::Head(l, h) => (format!("blocks.{l}.attn.hook_result"), h),
        Sender::Mlp(l) => (format!("blocks.{l}.hook_mlp_out"), 0),
    }
}

/// `[pos, unit]` of one head of `[pos, head, unit]`.
fn of_head(x: &[f32], heads: usize, unit: usize, head: usize) -> Vec<f32> {
    let rows = x.chunks_exact((heads * unit).max(1));
    rows.flat_map(|r| r[head * unit..(head + 1) * unit].iter().copied()).collect()
}

/// What a sender writes, `[pos, unit]`, and the length of a unit.
fn own(runner: &Runner, sender: Sender, input: usize) -> Result<(Vec<f32>, usize), Error> {
    let (name, head) = written(sender);
    let site = runner.site(&name)?;
    let heads = site.axis_len(Axis::Head).unwrap_or(1);
    let unit = site.axis_len(Axis::Unit).unwrap_or(1);
    Ok((of_head(&runner.clean_row(&name, input)?, heads, unit, head), unit))
}

/// What a sender writes, at two positions exchanged; `None` where there is one position.
fn exchanged(runner: &Runner, sender: Sender, input: usize) -> Result<Option<Vec<f32>>, Error> {
    let pos = runner.inputs().pos();
    if pos < 2 {
        return Ok(None);
    }
    let mut pairs = (0..pos).flat_map(|p| (0..p).map(move |q| (q, p)));
    let Some((p, q)) = pairs.nth(input % (pos * (pos - 1) / 2)) else { return Ok(None) };
    let (mut values, unit) = own(runner, sender, input)?;
    for i in 0..unit {
        values.swap(p * unit + i, q * unit + i);
    }
    Ok(Some(values))
}

/// What a sender writes, larger at one position.
fn amplified(runner: &Runner, sender: Sender, input: usize) -> Result<Vec<f32>, Error> {
    let (mut values, unit) = own(runner, sender, input)?;
    let p = input % runner.inputs().pos().max(1);
    values[p * unit..(p + 1) * unit].iter_mut().for_each(|x| *x *= AMPLIFIED);
    Ok(values)
}
