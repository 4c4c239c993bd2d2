//! Edges of a transformer's residual stream: who writes, who reads.
//!
//! Senders are `embed`, `pos_embed`, every head's write `a0.h1` and every MLP's `m0`; receivers
//! are the query input of every head, the key and value inputs of every kv head, every MLP and
//! `logits`. An edge is written as MIB writes it: `a0.h1->a1.h2<k>`, `m0->logits`. Biases belong
//! to no edge.

use crate::Error;
use crate::config::{Positions, TransformerConfig};
use crate::selector::natural;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A writer to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// Token embedding.
    Embed,
    /// Position embedding.
    PosEmbed,
    /// Head of a layer (layer, head).
    Head(usize, usize),
    /// MLP of a layer.
    Mlp(usize),
}

/// A reader of the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Receiver {
    /// Query input of (layer, head).
    Query(usize, usize),
    /// Key input of (layer, kv head).
    Key(usize, usize),
    /// Value input of (layer, kv head).
    Value(usize, usize),
    /// MLP of a layer.
    Mlp(usize),
    /// What the unembedding reads.
    Logits,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Sender::Embed => write!(f, "embed"),
            Sender::PosEmbed => write!(f, "pos_embed"),
            Sender::Head(l, h) => write!(f, "a{l}.h{h}"),
            Sender::Mlp(l) => write!(f, "m{l}"),
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Receiver::Query(l, h) => write!(f, "a{l}.h{h}<q>"),
            Receiver::Key(l, h) => write!(f, "a{l}.h{h}<k>"),
            Receiver::Value(l, h) => write!(f, "a{l}.h{h}<v>"),
            Receiver::Mlp(l) => write!(f, "m{l}"),
            Receiver::Logits => write!(f, "logits"),
        }
    }
}

/// One edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Edge {
    /// Who writes.
    pub from: Sender,
    /// Who reads.
    pub to: Receiver,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl From<Edge> for String {
    fn from(e: Edge) -> Self {
        e.to_string()
    }
}

impl TryFrom<String> for Edge {
    type Error = Error;

    fn try_from(s: String) -> Result<Self, Error> {
        s.parse()
    }
}

fn parse_head(s: &str) -> Option<(usize, usize)> {
    let (layer, head) = s.strip_prefix('a')?.split_once(".h")?;
    Some((natural(layer)?, natural(head)?))
}

impl std::str::FromStr for Edge {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Selector { text: text.into(), why: why.into() };
        let (from, to) = text.split_once("->").ok_or_else(|| bad("an edge is written FROM->TO"))?;
        let mlp = |s: &str| s.strip_prefix('m').and_then(natural);
        let from = match from {
            "embed" => Sender::Embed,
            "pos_embed" => Sender::PosEmbed,
            s => parse_head(s)
                .map(|(l, h)| Sender::Head(l, h))
                .or_else(|| mlp(s).map(Sender::Mlp))
                .ok_or_else(|| bad("senders are embed, pos_embed, aL.hH, mL"))?,
        };
        let to = match to {
            "logits" => Receiver::Logits,
            s => {
                let head = |suffix: &str| s.strip_suffix(suffix).and_then(parse_head);
                head("<q>")
                    .map(|(l, h)| Receiver::Query(l, h))
                    .or_else(|| head("<k>").map(|(l, h)| Receiver::Key(l, h)))
                    .or_else(|| head("<v>").map(|(l, h)| Receiver::Value(l, h)))
                    .or_else(|| mlp(s).map(Receiver::Mlp))
                    .ok_or_else(|| bad("receivers are aL.hH<q|k|v>, mL, logits"))?
            }
        };
        Ok(Self { from, to })
    }
}

/// All senders, receivers and edges of a transformer, in order of computation.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeTable {
    /// In order of writing.
    pub senders: Vec<Sender>,
    /// In order of reading.
    pub receivers: Vec<Receiver>,
    /// By receiver, then by sender.
    pub edges: Vec<Edge>,
    /// Index of every sender.
    order: BTreeMap<Sender, usize>,
    /// For every receiver: index of its first edge, and how many senders it has. They are always
    /// the first ones of `senders`.
    reads: BTreeMap<Receiver, (usize, usize)>,
}

impl EdgeTable {
    /// The table of an architecture.
    pub fn new(c: &TransformerConfig) -> Self {
        let mut senders = vec![Sender::Embed];
        if c.positions == Positions::Learned {
            senders.push(Sender::PosEmbed);
        }
        let mut receivers = vec![];
        let mut edges = vec![];
        let mut reads = BTreeMap::new();
        let mut read = |to: Receiver, senders: &[Sender]| {
            receivers.push(to);
            reads.insert(to, (edges.len(), senders.len()));
            edges.extend(senders.iter().map(|&from| Edge { from, to }));
        };
        for l in 0..c.n_layers {
            (0..c.n_heads).for_each(|h| read(Receiver::Query(l, h), &senders));
            (0..c.n_kv_heads).for_each(|h| read(Receiver::Key(l, h), &senders));
            (0..c.n_kv_heads).for_each(|h| read(Receiver::Value(l, h), &senders));
            let mlp = c.d_mlp > 0;
            if mlp && c.parallel_attn_mlp {
                read(Receiver::Mlp(l), &senders);
            }
            senders.extend((0..c.n_heads).map(|h| Sender::Head(l, h)));
            if mlp && !c.parallel_attn_mlp {
                read(Receiver::Mlp(l), &senders);
            }
            senders.extend(mlp.then_some(Sender::Mlp(l)));
        }
        read(Receiver::Logits, &senders);
        let order = senders.iter().enumerate().map(|(i, &s)| (s, i)).collect();
        Self { senders, receivers, edges, order, reads }
    }

    /// Index of an edge.
    pub fn index(&self, e: Edge) -> Result<usize, Error> {
        match (self.order.get(&e.from), self.reads.get(&e.to)) {
            (Some(&sender), Some(&(first, senders))) if sender < senders => Ok(first + sender),
            _ => Err(Error::Selector {
                text: e.to_string(),
                why: "this network has no such edge".into(),
            }),
        }
    }

    /// Index of a sender.
    pub fn sender(&self, s: Sender) -> Option<usize> {
        self.order.get(&s).copied()
    }

    /// (index of the first edge into a receiver, number of its senders).
    pub(crate) fn into(&self, r: Receiver) -> (usize, usize) {
        self.reads.get(&r).copied().unwrap_or((0, 0))
    }
}
