//! Edges: an edge moves an output under some corruption if and only if the truth has it.
//!
//! *Measures*, for every edge of the network, claimed or not, the largest change of an output that
//! counts when what the edge carries is replaced, all else left as it is (Goldowsky-Dill et al.
//! 2023). *Intuition*: one corruption cannot show all edges. What the task's partner leaves equal,
//! a position for one, only another replacement moves; so six are tried, and an edge that is
//! silent under all of them is taken for silent. What answers only where nothing else does, the
//! default of a selection that always finds something, is silent until it is *louder* than what
//! outvotes it, which is what the last is for. Where edges stand in for each other, none of them
//! moves anything alone: a claimed edge that is silent is patched together with each other claimed
//! edge, and so is then every edge that is not claimed: both with the partner's values, both with
//! 0, and exchanged positions where the other edge carries 0, for a value that no input holds is
//! what some edges tell apart from nothing. A network that was trained until its variables can be
//! exchanged ([`Code::Opaque`](flyroom_explanation::Code)) promises silence only of what some run sends: there an edge that is not claimed
//! is contradicted by the partner and by another input alone. *Control*: a claim of as many edges drawn at random is
//! contradicted.
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

/// Inputs on which two edges are patched together.
const JOINT_INPUTS: usize = 64;

/// What the other edge carries, and what the edge that is asked about carries.
const TOGETHER: [(Corruption, Corruption); 3] = [
    (Corruption::Partner, Corruption::Partner),
    (Corruption::Zero, Corruption::Zero),
    (Corruption::Zero, Corruption::Exchanged),
];

/// Corruptions of which silence is promised where variables can be exchanged alone.
const EXCHANGES: [Corruption; 2] = [Corruption::Partner, Corruption::Other];

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
    /// Where no corruption moves anything through it alone: the edge in whose company it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jointly: Option<Jointly>,
    /// Whether the network bears out what the truth says of it.
    pub holds: bool,
}

/// Two edges patched together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Jointly {
    /// The other edge, which is claimed.
    pub with: Edge,
    /// What it carries; the other carries the same, or 0 where this is exchanged.
    pub corruption: Corruption,
    /// Largest change of an output against that edge patched alone, as a share of the largest
    /// clean output.
    pub effect: f64,
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
    if ground.exchanges_only() {
        let silent = |e: usize| !known.contains_key(&table.edges[e]);
        for effects in most.iter_mut().enumerate().filter(|(e, _)| silent(*e)).map(|(_, m)| m) {
            effects.retain(|c, _| EXCHANGES.contains(c));
        }
    }
    let joint = joint(ground, &table, &known, &most, &samples, &mut check)?;
    let mut edges = vec![];
    let (mut least_claimed, mut largest_unclaimed) = (f64::INFINITY, 0f64);
    let mut active_edges: BTreeSet<Edge> = BTreeSet::new();
    for (&edge, effects) in table.edges.iter().zip(&most) {
        let active: Vec<Corruption> =
            effects.iter().filter(|(_, e)| e.size > ground.moves()).map(|(c, _)| *c).collect();
        let largest = effects.values().map(|e| e.size).fold(0.0, f64::max);
        if !active.is_empty() || joint.contains_key(&edge) {
            active_edges.insert(edge);
        }
        let partner = active.contains(&Corruption::Partner);
        let (is_claimed, testable) =
            known.get(&edge).map_or((false, false), |k| (true, k.testable));
        match is_claimed {
            true => {
                let jointly = joint.get(&edge).map_or(0.0, |j| j.effect);
                least_claimed = least_claimed.min(largest.max(jointly));
            }
            false => largest_unclaimed = largest_unclaimed.max(largest),
        }
        let jointly = joint.get(&edge).copied();
        let wrong = match (is_claimed, testable) {
            (false, _) => {
                (!active.is_empty() || jointly.is_some()).then_some("silent under every corruption")
            }
            (true, true) => (!partner
                && jointly.is_none_or(|j| j.corruption != Corruption::Partner))
            .then_some("moved by the task's partner"),
            (true, false) if partner => Some("silent under the task's partner"),
            (true, false) => {
                (active.is_empty() && jointly.is_none()).then_some("moved by some corruption")
            }
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
                jointly,
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

/// Patches claimed edges that are silent alone, and then all that are not claimed, together with
/// each claimed edge, on some inputs of the full length. Those that move an output against the
/// other edge alone, with the largest effect; the task's partner comes first.
fn joint(
    ground: &Ground,
    table: &EdgeTable,
    known: &BTreeMap<Edge, &KnownEdge>,
    most: &[BTreeMap<Corruption, Effect>],
    samples: &[Sample],
    check: &mut Check,
) -> Result<BTreeMap<Edge, Jointly>, Error> {
    let within = ground.moves();
    let moves = |e: usize, c: Corruption| most[e].get(&c).is_some_and(|x| x.size > within);
    let silent = |e: &usize| match known.get(&table.edges[*e]) {
        Some(k) if k.testable => !moves(*e, Corruption::Partner),
        Some(_) => Corruption::ALL.iter().all(|&c| !moves(*e, c)),
        None => false,
    };
    let quiet: Vec<usize> = (0..table.edges.len()).filter(silent).collect();
    let (Some(full), false) = (samples.last(), quiet.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let own = spread(full.task.clean, JOINT_INPUTS);
    let sample =
        Sample { task: full.task.restricted(&own), means: full.means.clone(), exhaustive: false };
    let others = (0..table.edges.len()).filter(|&e| !known.contains_key(&table.edges[e]));
    let candidates: Vec<usize> = quiet.iter().copied().chain(others).collect();
    let found = ground
        .each(candidates.len(), |i| sample.together(ground, table.edges[candidates[i]], known))?;
    let mut out = BTreeMap::new();
    for (e, (runs, best)) in candidates.into_iter().zip(found) {
        check.runs += runs;
        check.comparisons += runs;
        out.extend(best.filter(|j| j.effect > within).map(|j| (table.edges[e], j)));
    }
    Ok(out)
}

/// As many edges drawn at random: the share of them that the network bears out.
fn control(table: &EdgeTable, claimed: usize, active: &BTreeSet<Edge>) -> Option<Control> {
    let n = table.edges.len();
    if claimed == 0 || claimed >= n {
        return None;
    }
    let mut g = Stream::new(0, "audit/edges").block(0);
    let right =
        |drawn: &[usize]| drawn.iter().filter(|&&i| active.contains(&table.edges[i])).count();
    let mut drawn = g.choose(n, claimed);
    // Few edges can be drawn as they are: that is no control.
    while active.len() == claimed && right(&drawn) == claimed {
        drawn = g.choose(n, claimed);
    }
    let right = right(&drawn);
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
        Ok(Self { task: task.restricted(&own), exhaustive, means })
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
        let mut out = Patched { runs: 0, largest: vec![] };
        for e in edges {
            let edge = table.edges[e];
            for corruption in Corruption::ALL {
                let mut rows = vec![];
                for input in 0..self.task.clean {
                    if let Some(operation) =
                        self.operation(&runner, edge.from, corruption, input)?
                    {
                        let interventions = vec![Intervention::edges(vec![edge], operation)];
                        rows.push(Row { input, interventions });
                    }
                }
                out.runs += rows.len();
                let mut best = Effect { size: 0.0, task: 0, input: 0 };
                for (row, y) in rows.iter().zip(runner.run(&rows)?) {
                    let after = self.task.reading(row.input, &y);
                    for (a, b) in after.iter().zip(&readings[row.input]) {
                        let d = f64::from(a - b).abs() / ground.scale;
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

    /// What a sender's edge carries instead; `None` where the corruption does not exist.
    fn operation(
        &self,
        runner: &Runner,
        sender: Sender,
        corruption: Corruption,
        input: usize,
    ) -> Result<Option<Operation>, Error> {
        let n = self.task.clean;
        Ok(match corruption {
            Corruption::Partner => Some(Operation::Interchange { input: self.task.partner[input] }),
            Corruption::Other => (n > 1).then(|| {
                let mut g = Stream::new(self.task.pos() as u64, "audit/others").block(input as u64);
                Operation::Interchange { input: (input + 1 + g.below(n as u64 - 1) as usize) % n }
            }),
            Corruption::Exchanged => {
                exchanged(runner, sender, input)?.map(|values| Operation::Set { values })
            }
            Corruption::Mean => Some(Operation::Set { values: self.means[&sender].clone() }),
            Corruption::Zero => Some(Operation::Zero),
            Corruption::Amplified => {
                Some(Operation::Set { values: amplified(runner, sender, input)? })
            }
        })
    }

    /// Runs, and the largest effect of an edge in company of a claimed one against that one alone.
    fn together(
        &self,
        ground: &Ground,
        edge: Edge,
        known: &BTreeMap<Edge, &KnownEdge>,
    ) -> Result<(usize, Option<Jointly>), Error> {
        let runner = Runner::new(&ground.specimen.network, &self.task.inputs, &ground.alone())?;
        let (mut runs, mut best) = (0, None::<Jointly>);
        let all = match ground.exchanges_only() {
            true => &TOGETHER[..1],
            false => &TOGETHER[..],
        };
        for &(theirs, corruption) in all {
            // One sender has one reference in a run.
            let able = |k: &&&Edge| ***k != edge && (theirs == corruption || k.from != edge.from);
            for &with in known.keys().filter(|k| able(&k)) {
                let (mut alone, mut both) = (vec![], vec![]);
                for input in 0..self.task.clean {
                    let first = self.operation(&runner, with.from, theirs, input)?;
                    let second = self.operation(&runner, edge.from, corruption, input)?;
                    let (Some(first), Some(second)) = (first, second) else { continue };
                    let first = Intervention::edges(vec![with], first);
                    let second = Intervention::edges(vec![edge], second);
                    alone.push(Row { input, interventions: vec![first.clone()] });
                    both.push(Row { input, interventions: vec![first, second] });
                }
                runs += alone.len() + both.len();
                let mut effect = 0f64;
                let outputs = runner.run(&alone)?.into_iter().zip(runner.run(&both)?);
                for (row, (a, b)) in alone.iter().zip(outputs) {
                    let (a, b) =
                        (self.task.reading(row.input, &a), self.task.reading(row.input, &b));
                    for (a, b) in a.iter().zip(&b) {
                        effect = effect.max(f64::from(a - b).abs() / ground.scale);
                    }
                }
                if best.is_none_or(|b| effect > b.effect) {
                    best = Some(Jointly { with, corruption, effect });
                }
            }
            // The task's own corruption first: the others are asked only where it shows nothing.
            if best.is_some_and(|b| b.effect > ground.moves()) {
                break;
            }
        }
        Ok((runs, best))
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
pub(crate) fn own(
    runner: &Runner,
    sender: Sender,
    input: usize,
) -> Result<(Vec<f32>, usize), Error> {
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
