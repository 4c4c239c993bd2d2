//! Interventions as edits of a recorded graph.
//!
//! Rows that touch the same sites in the same way share one graph, a *form*: what differs between
//! them, where in the site and to which values, is data bound at run time. So a thousand rows that
//! each replace another unit of one site are one compilation and a few batches.

use crate::config::TransformerConfig;
use crate::edge::{EdgeTable, Receiver, Sender};
use crate::network::{Form, record};
use crate::{Architecture, Error};
use flyroom_tensor::{Graph, Tensor, Value};
use std::collections::BTreeMap;

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
    /// Where edges are patched, if it is one receiver site alone.
    pub reader: Option<String>,
    /// Whether a site is read that only the split form has.
    pub split: bool,
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

    /// Leaf names of edit `i`: (mask, value).
    pub fn leaves(i: usize) -> (String, String) {
        (format!("edit.{i}.mask"), format!("edit.{i}.value"))
    }
}

/// Records the network with the edits of `shape` for `batch` rows.
pub(crate) fn record_patched(
    architecture: &Architecture,
    batch: usize,
    pos: usize,
    shape: &Shape,
) -> Result<Graph, Error> {
    let mut plain = Graph::new();
    record(&mut plain, architecture, batch, pos, shape.form())?;
    for (site, _) in &shape.sites {
        present(&plain, site)?;
    }
    let mut wiring = match (shape.edges, architecture) {
        (true, Architecture::Transformer(c)) => {
            Some(Wiring { reader: shape.reader.clone(), ..Wiring::new(c, batch, pos) })
        }
        (true, _) => return Err(Error::Architecture("only a transformer has edges".into())),
        _ => None,
    };
    let graph = plain.edited(&mut |g, name, v| {
        let mut now = v;
        if let Some(w) = &mut wiring {
            now = w.edit(g, name, now)?;
        }
        for (i, (site, edit)) in shape.sites.iter().enumerate() {
            if site == name {
                now = apply(g, i, edit, now)?;
            }
        }
        // Senders are read behind all edits of their site, so that a patched sender counts.
        if let Some(w) = &mut wiring {
            w.sent(g, name, now)?;
        }
        Ok((now != v).then_some(now))
    })?;
    Ok(graph)
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
    i: usize,
    edit: &Edit,
    x: Value,
) -> Result<Value, flyroom_tensor::Error> {
    let shape = g.shape(x).to_vec();
    let (mask, value) = Shape::leaves(i);
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
    /// Each `[batch, pos, senders, d_model]`, in order of the table.
    sent: Vec<Value>,
    /// All of `sent` side by side, made for the first that reads it.
    joined: Option<Value>,
    senders: usize,
    /// The only receiver site that is patched; `None` is all.
    reader: Option<String>,
}

/// Leaf with the senders' activations of the reference run, `[batch, pos, senders, d_model]`.
pub(crate) fn reference_leaf(site: &str) -> String {
    format!("reference.{site}")
}

/// Leaf with the patched edges into one receiver site, `[batch, senders so far, receivers]`.
pub(crate) fn mask_leaf(site: &str) -> String {
    format!("edges.{site}")
}

impl Wiring {
    pub fn new(c: &TransformerConfig, batch: usize, pos: usize) -> Self {
        let table = EdgeTable::new(c);
        Self {
            table,
            batch,
            pos,
            d_model: c.d_model,
            sent: vec![],
            joined: None,
            senders: 0,
            reader: None,
        }
    }

    /// Receivers that read at a site, in order.
    pub fn receivers(table: &EdgeTable, site: &str) -> Vec<Receiver> {
        table.receivers.iter().copied().filter(|&r| receiver_site(r) == site).collect()
    }

    /// [batch, pos, d_model] or [batch, pos, head, d_model] to [batch, pos, n, d_model].
    fn as_senders(&self, g: &mut Graph, v: Value) -> Result<(Value, usize), flyroom_tensor::Error> {
        let n =
            g.shape(v).iter().product::<usize>() / (self.batch * self.pos * self.d_model).max(1);
        Ok((g.reshape(v, &[self.batch, self.pos, n, self.d_model])?, n))
    }

    /// Notes what a sender site wrote.
    fn sent(&mut self, g: &mut Graph, name: &str, v: Value) -> Result<(), flyroom_tensor::Error> {
        if !self.table.senders.iter().any(|&s| sender_site(s) == name) {
            return Ok(());
        }
        let (v, n) = self.as_senders(g, v)?;
        let shape = g.shape(v).to_vec();
        let reference = g.input(&reference_leaf(name), &shape);
        let difference = g.sub(reference, v)?;
        self.sent.push(difference);
        self.joined = None;
        self.senders += n;
        Ok(())
    }

    /// Adds the patched edges' differences at a receiver site.
    fn edit(
        &mut self,
        g: &mut Graph,
        name: &str,
        x: Value,
    ) -> Result<Value, flyroom_tensor::Error> {
        let receivers = Self::receivers(&self.table, name).len();
        let elsewhere = self.reader.as_deref().is_some_and(|r| r != name);
        if receivers == 0 || self.sent.is_empty() || elsewhere {
            return Ok(x);
        }
        let mask = g.input(&mask_leaf(name), &[self.batch, self.senders, receivers]);
        let differences = match self.joined {
            Some(v) => v,
            None => g.concat(&self.sent, 2)?, // [batch, pos, senders, d_model]
        };
        self.joined = Some(differences);
        let delta = g.einsum("bur,bpud->bprd", mask, differences)?;
        let shape = g.shape(x).to_vec();
        let delta = g.reshape(delta, &shape)?;
        let moved = g.add(x, delta)?;
        // Where nothing moves x stays, bit for bit: -0 + 0 would be +0.
        g.select(delta, moved, x)
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
    let mut out = vec![];
    for (x, site) in sites {
        let moved = wiring.edit(g, &site, x)?;
        if moved != x {
            out.push((site.clone(), x, moved));
        }
        wiring.sent(g, &site, x)?;
    }
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
