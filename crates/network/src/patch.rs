//! Interventions as edits of a recorded graph.
//!
//! Rows that touch the same sites in the same way share one graph, a *form*: what differs between
//! them, where in the site and to which values, is data bound at run time. So a thousand rows that
//! each replace another unit of one site are one compilation and a few batches.

use crate::config::TransformerConfig;
use crate::edge::{EdgeTable, Receiver, Sender};
use crate::network::{Form, record};
use crate::{Architecture, Error};
use flyroom_tensor::ops::Binary;
use flyroom_tensor::{Graph, Part, Recording, Tensor, Value, Variants, Varied};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How one site is edited.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Edit {
    /// x' = value where the mask is 1.
    Replace,
    /// x' = value everywhere: what lies before the site is not computed for it.
    Whole,
    /// x' = x + value.
    Add,
    /// x' = x + mask (value - x) Q^T Q for an orthonormal basis Q `[k, unit]`.
    Subspace(Vec<Vec<f32>>),
}

/// What a group of rows has in common: sites with edits in order of application, and whether
/// edges are patched.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Shape {
    pub sites: Vec<(String, Edit)>,
    pub edges: bool,
    /// Whether a site is read that only the split form has.
    pub split: bool,
}

/// Where the edges of a run are read, if it is one site alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reader {
    pub site: String,
    /// Index among the receivers of the site, if it is one of several and nothing in front is edited.
    pub at: Option<usize>,
}

/// Runs of every prompt that are edited in the same places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Branch {
    pub reader: Option<Reader>,
    /// Runs of each prompt.
    pub times: usize,
}

/// Whether a site is the input of single heads, which only the split form has.
pub(crate) fn split_only(site: &str) -> bool {
    ["hook_q_input", "hook_k_input", "hook_v_input"].iter().any(|s| site.ends_with(s))
}

impl Shape {
    /// The form of recording that it needs: the inputs of single heads exist in the split one.
    pub fn form(&self) -> Form {
        let split = self.split || self.edges || self.sites.iter().any(|(s, _)| split_only(s));
        if split { Form::Split } else { Form::Plain }
    }

    /// Leaf names of edit `i` in a branch: (mask, value).
    pub fn leaves(branch: usize, i: usize) -> (String, String) {
        (format!("edit.{branch}.{i}.mask"), format!("edit.{branch}.{i}.value"))
    }
}

/// Records the network on `batch` prompts, and beside it the runs of each branch with the edits of `shape`.
/// Returns what each branch has at `read`: a row for each run of each prompt, or for each prompt where no
/// edit reaches it.
pub(crate) fn record_patched(
    architecture: &Architecture,
    (batch, pos): (usize, usize),
    shape: &Shape,
    branches: &[Branch],
    read: &str,
) -> Result<(Graph, Vec<Value>), Error> {
    let mut plain = Graph::new();
    record(&mut plain, architecture, batch, pos, shape.form())?;
    for (site, _) in &shape.sites {
        present(&plain, site)?;
    }
    let read = present(&plain, read)?;
    let mut wiring = match (shape.edges, architecture) {
        (true, Architecture::Transformer(c)) => Some(Wiring::new(c, batch, pos)),
        (true, _) => return Err(Error::Architecture("only a transformer has edges".into())),
        _ => None,
    };
    let mut variants = Variants::new(&plain)?;
    let mut outputs = vec![];
    for (b, branch) in branches.iter().enumerate() {
        if let Some(w) = &mut wiring {
            w.start(b, branch.reader.clone());
        }
        let mut vary = |r: &mut Recording, name: &str, common: Value, now: Option<Varied>| {
            let mut now = now;
            if let Some(w) = &mut wiring {
                now = w.edit(r, name, common, now)?;
            }
            for (i, (site, edit)) in shape.sites.iter().enumerate() {
                if site == name {
                    let x = r.whole(common, now)?;
                    let value = apply(&mut r.graph, (b, i), edit, x)?;
                    now = Some(Varied { value, part: None });
                }
            }
            // Senders are read behind all edits of their site, so that a patched sender counts.
            if let Some(w) = &mut wiring {
                w.sent(r, name, common, now)?;
            }
            Ok(now)
        };
        outputs.push(variants.add(branch.times, &mut vary, read)?);
    }
    Ok((variants.finish(), outputs))
}

/// The site in this form of recording, or why it is not there.
pub(crate) fn present(g: &Graph, site: &str) -> Result<Value, Error> {
    g.at(site).map_err(|_| Error::Selector {
        text: site.into(),
        why: "not in a run that patches edges or inputs of single heads: there every head has a \
              norm of its own"
            .into(),
    })
}

/// What readers of a site see behind edit `i`.
pub(crate) fn apply(
    g: &mut Graph,
    (branch, i): (usize, usize),
    edit: &Edit,
    x: Value,
) -> Result<Value, flyroom_tensor::Error> {
    let shape = g.shape(x).to_vec();
    let (mask, value) = Shape::leaves(branch, i);
    let value = g.input(&value, &shape);
    match edit {
        Edit::Replace => {
            let mask = g.input(&mask, &shape);
            g.select(mask, value, x)
        }
        Edit::Whole => Ok(value),
        Edit::Add => g.add(x, value),
        Edit::Subspace(basis) => {
            let (rest, unit) = (&shape[..shape.len() - 1], shape[shape.len() - 1]);
            let rows: usize = rest.iter().product();
            let k = basis.len();
            let q = g.constant(Tensor::from_fn(&[k, unit], |i| basis[i / unit][i % unit]));
            let difference = g.sub(value, x)?;
            let difference = g.reshape(difference, &[rows, unit])?;
            let coordinates = g.einsum("ru,ku->rk", difference, q)?;
            let step = g.einsum("rk,ku->ru", coordinates, q)?;
            let step = g.reshape(step, &shape)?;
            let mask = g.input(&mask, &shape);
            let step = g.mul(mask, step)?;
            g.add(x, step)
        }
    }
}

/// The residual stream taken apart: what every sender wrote so far.
pub(crate) struct Wiring {
    table: EdgeTable,
    batch: usize,
    pos: usize,
    d_model: usize,
    /// The branch that is recorded.
    branch: usize,
    /// The only receivers that are patched; `None` is all.
    reader: Option<Reader>,
    /// a - a' of each sender site so far: in the common run, `[batch, pos, senders, d_model]`, and, if they
    /// are not the same, in the variants, `[batch * times, pos, senders, d_model]`.
    sent: Vec<(Value, Option<Value>)>,
    /// All of `sent` side by side, made for the first that reads it, and whether they are varied.
    joined: Option<(Value, bool)>,
    senders: usize,
    /// Those of the common run, for all branches: of each site, and side by side by the count of sites.
    common: BTreeMap<String, Value>,
    beside: BTreeMap<usize, Value>,
}

/// Leaf with the senders' activations of the reference run, `[batch, pos, senders, d_model]`.
pub(crate) fn reference_leaf(site: &str) -> String {
    format!("reference.{site}")
}

/// Leaf with the edges into one receiver site that a branch patches, `[batch * times, senders so far,
/// receivers]`.
pub(crate) fn mask_leaf(branch: usize, site: &str) -> String {
    format!("edges.{branch}.{site}")
}

impl Wiring {
    pub fn new(c: &TransformerConfig, batch: usize, pos: usize) -> Self {
        Self {
            table: EdgeTable::new(c),
            batch,
            pos,
            d_model: c.d_model,
            branch: 0,
            reader: None,
            sent: vec![],
            joined: None,
            senders: 0,
            common: BTreeMap::new(),
            beside: BTreeMap::new(),
        }
    }

    /// Goes on with another branch.
    fn start(&mut self, branch: usize, reader: Option<Reader>) {
        (self.branch, self.reader) = (branch, reader);
        (self.sent, self.joined, self.senders) = (vec![], None, 0);
    }

    /// Receivers that read at a site, in order.
    pub fn receivers(table: &EdgeTable, site: &str) -> Vec<Receiver> {
        table.receivers.iter().copied().filter(|&r| receiver_site(r) == site).collect()
    }

    /// Notes what a sender site wrote.
    fn sent(
        &mut self,
        r: &mut Recording,
        name: &str,
        common: Value,
        varied: Option<Varied>,
    ) -> Result<(), flyroom_tensor::Error> {
        if !self.table.senders.iter().any(|&s| sender_site(s) == name) {
            return Ok(());
        }
        // [batch, pos, d_model] or [batch, pos, head, d_model] to [batch, pos, n, d_model].
        let values: usize = r.graph.shape(common).iter().product();
        let n = values / (self.batch * self.pos * self.d_model).max(1);
        let shape = [self.batch, self.pos, n, self.d_model];
        let reference = r.graph.input(&reference_leaf(name), &shape);
        let difference = match self.common.get(name) {
            Some(&v) => v,
            None => {
                let x = r.graph.reshape(common, &shape)?;
                let v = r.graph.sub(x, reference)?;
                self.common.insert(name.into(), v);
                v
            }
        };
        let varied = match varied {
            Some(v) => {
                let x = r.whole(common, Some(v))?;
                let x = r.graph.reshape(x, &[&[self.batch * r.times()], &shape[1..]].concat())?;
                Some(r.apply(Arc::new(Binary::Sub), &[(x, true), (reference, false)])?)
            }
            None => None,
        };
        self.sent.push((difference, varied));
        self.joined = None;
        self.senders += n;
        Ok(())
    }

    /// All differences so far, `[batch or batch * times, pos, senders, d_model]`, and whether they vary.
    fn differences(&mut self, r: &mut Recording) -> Result<(Value, bool), flyroom_tensor::Error> {
        if let Some(joined) = self.joined {
            return Ok(joined);
        }
        let joined = if self.sent.iter().all(|s| s.1.is_none()) {
            let v = match self.beside.get(&self.sent.len()) {
                Some(&v) => v,
                None => {
                    let all: Vec<Value> = self.sent.iter().map(|s| s.0).collect();
                    r.graph.concat(&all, 2)?
                }
            };
            self.beside.insert(self.sent.len(), v);
            (v, false)
        } else {
            let mut all = vec![];
            for &(common, varied) in &self.sent {
                all.push(varied.map_or_else(|| r.whole(common, None), Ok)?);
            }
            (r.graph.concat(&all, 2)?, true)
        };
        self.joined = Some(joined);
        Ok(joined)
    }

    /// Takes the patched edges' differences off what a receiver site reads.
    fn edit(
        &mut self,
        r: &mut Recording,
        name: &str,
        common: Value,
        now: Option<Varied>,
    ) -> Result<Option<Varied>, flyroom_tensor::Error> {
        let receivers = Self::receivers(&self.table, name).len();
        let elsewhere = self.reader.as_ref().is_some_and(|r| r.site != name);
        if receivers == 0 || self.sent.is_empty() || elsewhere {
            return Ok(now);
        }
        let at = self.reader.as_ref().and_then(|r| r.at);
        let part = at.map(|start| Part { axis: 2, start, len: 1 });
        let receivers = if part.is_some() { 1 } else { receivers };
        let (x, is_varied) = match (now, part) {
            (Some(_), _) => (r.whole(common, now)?, true),
            (None, Some(part)) => (r.part(common, part)?, false),
            (None, None) => (common, false),
        };
        let (differences, varied) = self.differences(r)?;
        let (batch, times) = (self.batch, r.times());
        let leaf = mask_leaf(self.branch, name);
        let mask = r.graph.input(&leaf, &[batch, times, self.senders, receivers]);
        let delta = if varied {
            let mask = r.graph.reshape(mask, &[batch * times, self.senders, receivers])?;
            r.graph.einsum("bur,bpud->bprd", mask, differences)?
        } else {
            r.graph.einsum("btur,bpud->btprd", mask, differences)?
        };
        let mut shape = r.graph.shape(x).to_vec();
        shape[0] = batch * times;
        let delta = r.graph.reshape(delta, &shape)?;
        // What no edge moves stays, bit for bit: a sum of nothing is +0, and -0 - (+0) is -0.
        let value = r.apply(Arc::new(Binary::Sub), &[(x, is_varied), (delta, true)])?;
        Ok(Some(Varied { value, part }))
    }
}

/// Every receiver site of a recorded split graph with its value and what it would be with the
/// patched edges, all senders at their clean values.
pub(crate) fn patched_receivers(
    g: &mut Graph,
    c: &TransformerConfig,
    batch: usize,
    pos: usize,
) -> Result<Vec<(String, Value, Value)>, Error> {
    let mut wiring = Wiring::new(c, batch, pos);
    let mut sites: Vec<(Value, String)> =
        g.sites().map(|(name, v)| (v, name.to_string())).collect();
    sites.sort();
    let mut r = Recording::of(std::mem::take(g));
    let mut out = vec![];
    for (x, site) in sites {
        if let Some(moved) = wiring.edit(&mut r, &site, x, None)? {
            out.push((site.clone(), x, moved.value));
        }
        wiring.sent(&mut r, &site, x, None)?;
    }
    *g = r.graph;
    Ok(out)
}

/// Where a receiver reads.
pub(crate) fn receiver_site(r: Receiver) -> String {
    match r {
        Receiver::Query(l, _) => format!("blocks.{l}.hook_q_input"),
        Receiver::Key(l, _) => format!("blocks.{l}.hook_k_input"),
        Receiver::Value(l, _) => format!("blocks.{l}.hook_v_input"),
        Receiver::Mlp(l) => format!("blocks.{l}.hook_mlp_in"),
        Receiver::Logits => "unembed.hook_in".into(),
    }
}

/// Where a sender writes.
pub(crate) fn sender_site(s: Sender) -> String {
    match s {
        Sender::Embed => "hook_embed".into(),
        Sender::PosEmbed => "hook_pos_embed".into(),
        Sender::Head(l, _) => format!("blocks.{l}.attn.hook_result"),
        Sender::Mlp(l) => format!("blocks.{l}.hook_mlp_out"),
    }
}

/// Sender sites in order of writing, each once.
pub(crate) fn sender_sites(table: &EdgeTable) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    for &s in &table.senders {
        let site = sender_site(s);
        if out.last() != Some(&site) {
            out.push(site);
        }
    }
    out
}

/// Receiver sites with the number of senders before each.
pub(crate) fn receiver_sites(table: &EdgeTable) -> BTreeMap<String, Vec<Receiver>> {
    let mut out: BTreeMap<String, Vec<Receiver>> = BTreeMap::new();
    for &r in &table.receivers {
        out.entry(receiver_site(r)).or_default().push(r);
    }
    out
}
