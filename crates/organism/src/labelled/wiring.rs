//! Who writes and who reads which residual dimensions, by the weights alone.
//!
//! A component writes the dimensions in which a column of its output matrix is not zero, and reads
//! those in which a row of its input matrix is not. An edge exists where its ends share a
//! dimension, and the task's corruption can move it where it changes what the receiver makes of
//! the sender's write: the sum that a neuron, a value or a logit gets, and for a query or a key the
//! scores of some query against each other, for a shift of all of them is no change.

use crate::{Error, Task};
use flyroom_network::{
    Edge, EdgeTable, Intervention, Network, Operation, Receiver, Row, Runner, Sender,
    TransformerConfig,
};
use flyroom_tensor::{Context, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Inputs on which corruption is tried, spread evenly over the task.
const TRIED: usize = 256;
/// Smallest change of what is read, relative to the receiver's largest weight, or of a score.
const MOVED: f32 = 1e-3;

/// The wiring of a network in the coordinates of its labels.
pub(super) struct Wiring<'a> {
    network: &'a Network,
    table: EdgeTable,
    written: BTreeMap<Sender, BTreeSet<usize>>,
    read: BTreeMap<Receiver, BTreeSet<usize>>,
    config: &'a TransformerConfig,
}

/// One head of a weight `[head, rows, columns]`, or all of a weight `[rows, columns]`.
fn slice(t: &Tensor, head: Option<usize>) -> &[f32] {
    match (head, t.shape()) {
        (Some(h), &[_, rows, columns]) => &t.data()[h * rows * columns..(h + 1) * rows * columns],
        _ => t.data(),
    }
}

fn reading(r: Receiver) -> (String, Option<usize>) {
    match r {
        Receiver::Query(l, h) => (format!("blocks.{l}.attn.W_Q"), Some(h)),
        Receiver::Key(l, h) => (format!("blocks.{l}.attn.W_K"), Some(h)),
        Receiver::Value(l, h) => (format!("blocks.{l}.attn.W_V"), Some(h)),
        Receiver::Mlp(l) => (format!("blocks.{l}.mlp.W_in"), None),
        Receiver::Logits => ("unembed.W_U".into(), None),
    }
}

impl<'a> Wiring<'a> {
    pub fn new(network: &'a Network) -> Result<Self, Error> {
        let Some(c) = network.architecture().transformer() else {
            return Err(Error::Truth("only a transformer has edges".into()));
        };
        if c.n_kv_heads != c.n_heads {
            return Err(Error::Truth("heads of a compiled network share no keys".into()));
        }
        let table = EdgeTable::new(c);
        let d = c.d_model;
        let used = |name: &str, head, by_column: bool| -> Result<BTreeSet<usize>, Error> {
            let t = network.weight(name)?;
            let n = t.shape()[t.shape().len() - 1];
            let nonzero = slice(t, head).iter().enumerate().filter(|(_, x)| **x != 0.0);
            Ok(nonzero.map(|(i, _)| if by_column { i % n } else { i / n % d }).collect())
        };
        let mut written = BTreeMap::new();
        for &s in &table.senders {
            let (name, head) = match s {
                Sender::Embed => ("embed.W_E".into(), None),
                Sender::PosEmbed => ("pos_embed.W_pos".into(), None),
                Sender::Head(l, h) => (format!("blocks.{l}.attn.W_O"), Some(h)),
                Sender::Mlp(l) => (format!("blocks.{l}.mlp.W_out"), None),
            };
            written.insert(s, used(&name, head, true)?);
        }
        let mut read = BTreeMap::new();
        for &r in &table.receivers {
            let (name, head) = reading(r);
            read.insert(r, used(&name, head, false)?);
        }
        Ok(Self { network, table, written, read, config: c })
    }

    /// Edges whose ends share a dimension and through which the answer flows: from what they feed
    /// a way leads on to the logits.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        let shares = |e: &Edge| !self.written[&e.from].is_disjoint(&self.read[&e.to]);
        // Receivers come in order of computation, so those behind a sender are known before it.
        let mut live = BTreeSet::from([Receiver::Logits]);
        let senders = self.table.senders.iter().rev();
        for &s in senders {
            let heard = |e: &&Edge| e.from == s && live.contains(&e.to) && shares(e);
            if self.table.edges.iter().any(|e| heard(&e)) {
                match s {
                    Sender::Head(l, h) => live.extend([
                        Receiver::Query(l, h),
                        Receiver::Key(l, h),
                        Receiver::Value(l, h),
                    ]),
                    Sender::Mlp(l) => live.extend([Receiver::Mlp(l)]),
                    Sender::Embed | Sender::PosEmbed => {}
                }
            }
        }
        self.table.edges.iter().copied().filter(move |e| live.contains(&e.to) && shares(e))
    }

    /// Whether an MLP reads of the embedding that a place is BOS, and nothing comes of it on any of these
    /// tasks: what the MLP makes at BOS is brought nowhere else, and at every other place the neurons that read
    /// it are silent, or no output changes where they are made so. A compiler writes such weights where
    /// a neuron would answer to BOS.
    pub fn idle(
        &self,
        e: Edge,
        bos: usize,
        tasks: &dyn Fn() -> Result<Vec<Task>, Error>,
        cx: &Context,
    ) -> Result<bool, Error> {
        let (Sender::Embed, Receiver::Mlp(l)) = (e.from, e.to) else { return Ok(false) };
        let shared = self.written[&e.from].intersection(&self.read[&e.to]);
        if !shared.eq([&bos]) || self.brought_on(Sender::Mlp(l)) {
            return Ok(false);
        }
        let w = self.network.weight(&format!("blocks.{l}.mlp.W_in"))?.row(bos);
        for task in tasks()? {
            let runner = Runner::new(self.network, &task.inputs, cx)?;
            let fired = runner.clean(&format!("blocks.{l}.mlp.hook_post"))?;
            // BOS is at position 0 and nowhere else.
            let places = fired.data().chunks_exact(w.len().max(1)).enumerate();
            let mut behind = places.filter(|(i, _)| i % task.pos() != 0);
            if behind.any(|(_, x)| x.iter().zip(w).any(|(x, w)| *w != 0.0 && *x > 0.0))
                && self.answers_to_bos(e, &task, cx)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an output changes when BOS is brought to a place along an edge, where all else is as it is
    /// or where another edge into the same component carries nothing.
    fn answers_to_bos(&self, e: Edge, task: &Task, cx: &Context) -> Result<bool, Error> {
        let (n, d) = (task.clean, self.config.d_model);
        let task =
            task.restricted(&(0..TRIED.min(n)).map(|i| i * n / TRIED.min(n)).collect::<Vec<_>>());
        let runner = Runner::new(self.network, &task.inputs, cx)?;
        let clean = runner.logits()?;
        let readings: Vec<Vec<f32>> =
            (0..task.clean).map(|i| task.reading(i, clean.row(i))).collect();
        let scale = readings.iter().flatten().fold(0f32, |m, y| m.max(y.abs()));
        let embed = runner.clean("hook_embed")?;
        let beside = self.edges().filter(|o| o.to == e.to && o.from != e.from);
        let beside: Vec<Option<Edge>> = std::iter::once(None).chain(beside.map(Some)).collect();
        for with in beside {
            let silenced: Vec<Intervention> = with
                .map(|edge| Intervention::edges(vec![edge], Operation::Zero))
                .into_iter()
                .collect();
            for p in 1..task.pos() {
                let (mut alone, mut both) = (vec![], vec![]);
                for input in 0..task.clean {
                    let mut values = embed.row(input).to_vec();
                    values.copy_within(..d, p * d);
                    let brought = Intervention::edges(vec![e], Operation::Set { values });
                    let all = silenced.iter().cloned().chain([brought]).collect();
                    both.push(Row { input, interventions: all });
                    alone.push(Row { input, interventions: silenced.clone() });
                }
                for (i, (a, b)) in runner.run(&alone)?.iter().zip(runner.run(&both)?).enumerate() {
                    let (a, b) = (task.reading(i, a), task.reading(i, &b));
                    if a.iter().zip(&b).any(|(a, b)| (a - b).abs() > MOVED * scale) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Whether a key or a value reads what a component writes, or what is made of it at the same place.
    fn brought_on(&self, s: Sender) -> bool {
        self.table.edges.iter().filter(|e| e.from == s).any(|e| {
            !self.written[&e.from].is_disjoint(&self.read[&e.to])
                && match e.to {
                    Receiver::Key(..) | Receiver::Value(..) => true,
                    Receiver::Query(l, h) => self.brought_on(Sender::Head(l, h)),
                    Receiver::Mlp(l) => self.brought_on(Sender::Mlp(l)),
                    Receiver::Logits => false,
                }
        })
    }

    /// The first component that writes one of these dimensions.
    pub fn writer(&self, dims: &[usize]) -> Option<Sender> {
        let writes = |s: &&Sender| dims.iter().any(|d| self.written[*s].contains(d));
        self.table.senders.iter().find(writes).copied()
    }

    /// The residual stream at a depth; `None` where no component runs between it and the depth
    /// before.
    pub fn residual(&self, depth: usize) -> Option<String> {
        match (depth, depth % 2, self.config.d_mlp > 0) {
            (0, ..) => Some("blocks.0.hook_resid_pre".into()),
            (n, 1, true) => Some(format!("blocks.{}.hook_resid_mid", n / 2)),
            (n, 1, false) => Some(format!("blocks.{}.hook_resid_post", n / 2)),
            (n, _, true) => Some(format!("blocks.{}.hook_resid_post", n / 2 - 1)),
            _ => None,
        }
    }

    /// The last depth.
    pub fn last(&self) -> usize {
        2 * self.config.n_layers
    }

    /// Edges that the task's corruption moves.
    pub fn testable(&self, task: &Task, cx: &Context) -> Result<BTreeSet<Edge>, Error> {
        let clean: Vec<usize> =
            (0..task.clean).step_by(task.clean.div_ceil(TRIED).max(1)).collect();
        let rows = clean.iter().copied().chain(clean.iter().map(|&i| task.partner[i]));
        let inputs = task.inputs.pick(rows);
        let runner = Runner::new(self.network, &inputs, cx)?;
        let mut out = BTreeSet::new();
        for e in self.edges() {
            if self.moves(e, &runner, clean.len())? {
                out.insert(e);
            }
        }
        Ok(out)
    }

    /// Whether an edge carries other values on some of the first `n` inputs than on the `n` behind
    /// them.
    fn moves(&self, e: Edge, runner: &Runner, n: usize) -> Result<bool, Error> {
        let (site, heads, head) = match e.from {
            Sender::Embed => ("hook_embed".into(), 1, 0),
            Sender::PosEmbed => return Ok(false),
            Sender::Head(l, h) => (format!("blocks.{l}.attn.hook_result"), self.config.n_heads, h),
            Sender::Mlp(l) => (format!("blocks.{l}.hook_mlp_out"), 1, 0),
        };
        // What a change of a query meets are the keys, and the other way round.
        let met = match e.to {
            Receiver::Query(l, h) => Some((format!("blocks.{l}.attn.hook_k"), h)),
            Receiver::Key(l, h) => Some((format!("blocks.{l}.attn.hook_q"), h)),
            _ => None,
        };
        let met = match met {
            Some((site, head)) => Some((runner.clean(&site)?, head)),
            None => None,
        };
        let (name, slot) = reading(e.to);
        let t = self.network.weight(&name)?;
        let (w, width) = (slice(t, slot), t.shape()[t.shape().len() - 1]);
        let d = self.config.d_model;
        let dims: Vec<usize> =
            self.written[&e.from].intersection(&self.read[&e.to]).copied().collect();
        let floor = MOVED * w.iter().fold(0f32, |m, x| m.max(x.abs()));
        let writes = runner.clean(&site)?;
        for i in 0..n {
            let (a, b) = (writes.row(i), writes.row(n + i));
            let change = |at: usize| {
                let mut change = vec![0f32; width];
                for &j in &dims {
                    let delta = b[at + j] - a[at + j];
                    let row = &w[j * width..(j + 1) * width];
                    change.iter_mut().zip(row).for_each(|(c, w)| *c += delta * w);
                }
                change
            };
            let changes: Vec<Vec<f32>> =
                (head * d..a.len()).step_by(heads * d).map(change).collect();
            let moved = match &met {
                None => changes.iter().flatten().any(|c| c.abs() > floor),
                Some((other, head)) => {
                    let heads = self.config.n_heads;
                    let rows = other.row(i).chunks_exact(width).skip(*head).step_by(heads);
                    self.scores_move(e.to, &changes, &rows.collect::<Vec<_>>())
                }
            };
            if moved {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a change of queries moves a key's score against another's, `others` being the
    /// keys, or a change of keys, `others` being the queries.
    fn scores_move(&self, to: Receiver, changes: &[Vec<f32>], others: &[&[f32]]) -> bool {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let of_queries = matches!(to, Receiver::Query(..));
        (0..others.len()).any(|query| {
            let seen = if self.config.causal { query + 1 } else { others.len() };
            let scores = (0..seen).map(|key| match of_queries {
                true => dot(&changes[query], others[key]),
                false => dot(&changes[key], others[query]),
            });
            let (low, high) = scores.fold((f32::MAX, f32::MIN), |(l, h), s| (l.min(s), h.max(s)));
            high - low > MOVED * self.config.attn_scale
        })
    }
}

/// How many components have run when a place of the residual stream is read: 0 behind the
/// embeddings, then one more behind each attention and each MLP.
pub(super) fn depth(writer: Sender) -> usize {
    match writer {
        Sender::Embed | Sender::PosEmbed => 0,
        Sender::Head(l, _) => 2 * l + 1,
        Sender::Mlp(l) => 2 * l + 2,
    }
}
