//! The size of an explanation in bits.
//!
//! Every choice is charged what it costs to name it: one of k log2 k, an integer its Elias delta
//! code, a subset of k among n log2(n + 1) + log2 C(n, k), a real a sign and b bits on a grid of
//! its tensor's range. What an explanation calls is charged too: a circuit pays for the weights of
//! its heads and MLPs, the whole network for all of them. b is the smallest number of bits that
//! costs less than 1 % of the trivial predictor's loss, see [`choose_bits`].
//!
//! ```
//! use flyroom_explanation::bits;
//! assert_eq!(bits::elias_delta(1), 1.0);
//! assert_eq!(bits::elias_delta(17), 9.0);
//! // Two of four: five sizes, six subsets.
//! assert!((bits::subset(4, 2) - (5f64.log2() + 6f64.log2())).abs() < 1e-9);
//! ```

use crate::body::{Ablation, Body, Cosines};
use crate::part::{Alignment, Code};
use crate::rasp::{Expr, Lambda, Predicate, Program, Rule};
use crate::{Error, Explanation, TOLERANCE, Value};
use flyroom_network::{Architecture, Edge, EdgeTable, Network, Receiver, Selector, Sender};
use flyroom_tensor::math::{lgamma64, log2_64};
use std::collections::BTreeSet;

/// Kinds of [`Expr`].
const EXPRESSIONS: usize = 5;
/// Nodes of a [`Lambda`]: x, y, constant, if, table, 3 functions of one value, 13 of two.
const LAMBDAS: usize = 21;
/// Kinds of [`Predicate`].
const PREDICATES: usize = 8;
/// Kinds of [`Rule`].
const RULES: usize = 4;
/// Kinds of [`Body`], [`Code`], and of values in a file.
const BODIES: usize = 5;
const CODES: usize = 4;
const VALUES: usize = 6;

/// Bits of naming one of `k`.
pub fn choice(k: usize) -> f64 {
    log2_64(k.max(1) as f64)
}

/// Bits of an integer from 1 up: floor(log2 n) + 2 floor(log2(floor(log2 n) + 1)) + 1 (Elias
/// 1975). 0 is charged as 1.
pub fn elias_delta(n: u64) -> f64 {
    let length = n.max(1).ilog2();
    f64::from(length + 2 * (length + 1).ilog2() + 1)
}

/// Bits of any integer: 0, -1, 1, -2, ... as 1, 2, 3, 4, ...
pub fn integer(i: i64) -> f64 {
    let folded = if i < 0 {
        i.unsigned_abs().saturating_mul(2) - 1
    } else {
        i.unsigned_abs().saturating_mul(2)
    };
    elias_delta(folded.saturating_add(1))
}

/// Bits of k among n: log2(n + 1) + log2 C(n, k).
pub fn subset(n: usize, k: usize) -> f64 {
    let k = k.min(n);
    if k == 0 || k == n {
        return choice(n + 1);
    }
    let ln_factorial = |i: usize| lgamma64(i as f64 + 1.0);
    let ln = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    choice(n + 1) + (ln * std::f64::consts::LOG2_E).max(0.0)
}

/// Replaces every value of one tensor by the nearest of the grid sign x i / (2^bits - 1) x max|x|
/// with i in 0..2^bits.
pub fn quantize<'x>(values: impl Iterator<Item = &'x mut f32>, bits: u32) {
    let mut values: Vec<&mut f32> = values.collect();
    let range = values.iter().fold(0f64, |m, x| m.max(f64::from(x.abs())));
    if range == 0.0 || !range.is_finite() {
        return;
    }
    let steps = ((1u64 << bits.clamp(1, 52)) - 1) as f64;
    for x in &mut values {
        let i = (f64::from(**x) / range * steps).round_ties_even();
        **x = (i / steps * range) as f32;
    }
}

/// The smallest b in 1..=16 for which the loss on the seen families with all reals on the grid of
/// b bits exceeds that with full reals by less than 1 % of the trivial predictor's; 16 if none.
pub fn choose_bits<E>(
    full: f64,
    trivial: f64,
    mut loss: impl FnMut(u32) -> Result<f64, E>,
) -> Result<u32, E> {
    for b in 1..16 {
        if loss(b)? - full < 0.01 * trivial {
            return Ok(b);
        }
    }
    Ok(16)
}

/// What the choices of an explanation are made among.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The network explained.
    pub architecture: &'a Architecture,
    /// Number of its sites.
    pub sites: usize,
    /// Tokens in an input; 1 without positions.
    pub pos: usize,
    /// Inputs in the set, of which resampling needs one partner each.
    pub inputs: usize,
    /// Size of the vocabulary; 1 without tokens.
    pub vocabulary: usize,
    /// Bits of a real behind its sign, as [`choose_bits`] found them.
    pub real_bits: u32,
}

/// A size in bits, item by item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Size {
    /// What is charged and how much, for one explanation.
    pub items: Vec<(String, f64)>,
    /// Bits for every token that is explained; 0 unless the explanation is a code of activations.
    pub rate: f64,
}

impl Size {
    /// B: bits once.
    pub fn code(&self) -> f64 {
        self.items.iter().map(|(_, b)| b).sum()
    }

    /// B + N r.
    pub fn total(&self, tokens: usize) -> f64 {
        self.code() + tokens as f64 * self.rate
    }
}

/// Bits per token of a dictionary code with `l0` of `n` latents active:
/// log2 C(n, l0) + l0 b.
pub fn dictionary_rate(n: usize, l0: usize, real_bits: u32) -> f64 {
    subset(n, l0) - choice(n + 1) + l0 as f64 * f64::from(real_bits)
}

/// The size of an explanation. Names and words for people are free.
pub fn size(e: &Explanation, setting: &Setting) -> Result<Size, Error> {
    let s = Charge { setting };
    let mut out = Size::default();
    let mut parts = elias_delta(e.parts.len() as u64 + 1);
    for p in &e.parts {
        parts += elias_delta(p.alignments.len() as u64 + 1);
        if let Body::Rasp { program, .. } = &e.body {
            parts += choice(program.variables.len() + 2);
        }
        for a in &p.alignments {
            parts += s.alignment(a, &e.body);
        }
    }
    out.items.push(("parts".into(), parts));
    if e.tolerance != TOLERANCE {
        out.items.push(("tolerance".into(), s.real()));
    }
    out.items.push(("kind of body".into(), choice(BODIES)));
    match &e.body {
        Body::Rasp { program, readout } => {
            out.items.push(("program".into(), s.program(program)));
            let mut bits = s.code(&readout.code) + s.real() + 1.0;
            if readout.columns.is_some() {
                bits += readout.code.dims() as f64 * choice(s.columns());
            }
            out.items.push(("readout".into(), bits));
        }
        Body::Cosines(c) => out.items.push(("terms".into(), s.cosines(c))),
        Body::Circuit { edges, ablation } => s.circuit(edges, *ablation, &mut out)?,
        Body::Whole => {
            let n: usize = Network::parameters(setting.architecture)?
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            out.items.push(("all parameters".into(), n as f64 * s.real()));
        }
        Body::Snapshot => {}
    }
    Ok(out)
}

struct Charge<'a> {
    setting: &'a Setting<'a>,
}

impl Charge<'_> {
    fn real(&self) -> f64 {
        1.0 + f64::from(self.setting.real_bits)
    }

    fn columns(&self) -> usize {
        match self.setting.architecture {
            Architecture::Transformer(c) => c.d_vocab_out,
            Architecture::Mlp(c) => c.d_out,
            Architecture::Autoencoder(c) => c.n_features,
            Architecture::Gru(c) => c.d_vocab_out,
        }
    }

    fn value(&self, v: &Value) -> f64 {
        choice(VALUES)
            + match v {
                Value::Bool(_) => 1.0,
                Value::Int(i) => integer(*i),
                Value::Real(_) => self.real(),
                Value::Token(_) => choice(self.setting.vocabulary),
                Value::None | Value::Unknown => 0.0,
                Value::Mixture(terms) => {
                    elias_delta(terms.len() as u64 + 1)
                        + terms.iter().map(|(v, _)| self.value(v) + self.real()).sum::<f64>()
                }
            }
    }

    fn values(&self, values: &[Value]) -> f64 {
        elias_delta(values.len() as u64 + 1) + values.iter().map(|v| self.value(v)).sum::<f64>()
    }

    fn selector(&self, s: &Selector) -> f64 {
        // One bit each: are there heads, positions, units, a basis.
        let mut bits = choice(self.setting.sites) + 4.0;
        let span = |n: usize| choice(n * (n + 1) / 2);
        if s.head.is_some() {
            let heads = self.setting.architecture.transformer().map_or(1, |c| c.n_heads);
            bits += span(heads);
        }
        if s.pos.is_some() {
            bits += span(self.setting.pos);
        }
        if s.unit.is_some() {
            // The widest vectors bound the length of any axis.
            let widest = match self.setting.architecture {
                Architecture::Transformer(c) => c.d_model.max(c.d_mlp),
                Architecture::Mlp(c) => c.d_hidden.iter().copied().max().unwrap_or(1),
                Architecture::Autoencoder(c) => c.n_features.max(c.d_hidden),
                Architecture::Gru(c) => c.d_hidden.max(c.d_embed).max(c.d_vocab_out),
            };
            bits += span(widest);
        }
        if let Some(basis) = &s.basis {
            bits += elias_delta(basis.len() as u64 + 1) + 1.0;
            let axis = |r: &Vec<f32>| {
                r.iter().filter(|x| **x != 0.0).count() == 1 && r.iter().any(|x| x.abs() == 1.0)
            };
            // Rows that are axes up to sign are named, others are written out.
            bits += if basis.iter().all(axis) {
                basis.iter().map(|r| choice(r.len()) + 1.0).sum::<f64>()
            } else {
                basis.iter().map(|r| r.len() as f64 * self.real()).sum::<f64>()
            };
        }
        bits
    }

    fn code(&self, code: &Code) -> f64 {
        choice(CODES)
            + match code {
                Code::OneHot { values } => self.values(values),
                Code::Scalar { .. } => 2.0 * self.real(),
                Code::Table { values, vectors } => {
                    self.values(values) + vectors.iter().flatten().count() as f64 * self.real()
                }
                // As a table that is empty.
                Code::Opaque { .. } => self.values(&[]),
                Code::Plane { modulus, .. } => {
                    elias_delta(u64::from(*modulus)) + choice(*modulus as usize) + 6.0 * self.real()
                }
            }
    }

    fn alignment(&self, a: &Alignment, body: &Body) -> f64 {
        let readers = match (&a.readers, body) {
            (Some(r), Body::Rasp { program, .. }) => subset(program.variables.len() + 1, r.len()),
            _ => 0.0,
        };
        self.selector(&a.selector) + self.code(&a.code) + 1.0 + readers
    }

    fn program(&self, p: &Program) -> f64 {
        // BOS is one bit.
        let mut bits = elias_delta(p.variables.len() as u64 + 1) + 1.0;
        for (i, v) in p.variables.iter().enumerate() {
            // `tokens`, `indices` and the variables before.
            let name = choice(i + 2);
            bits += choice(EXPRESSIONS) + name * v.expr.reads().len() as f64;
            bits += match &v.expr {
                Expr::Constant(c) => self.value(c),
                Expr::Map { f, .. } | Expr::SequenceMap { f, .. } => self.lambda(f),
                Expr::Aggregate { select, default, .. } => {
                    2.0 + self.rule(&select.rule) + self.value(default)
                }
                Expr::SelectorWidth { select } => 1.0 + self.rule(&select.rule),
            };
        }
        bits + choice(p.variables.len() + 2)
    }

    fn rule(&self, r: &Rule) -> f64 {
        choice(RULES)
            + match r {
                Rule::Pairs { predicate, .. } => {
                    choice(PREDICATES)
                        + if let Predicate::When(f) = predicate { self.lambda(f) } else { 0.0 }
                }
                Rule::And(a, b) | Rule::Or(a, b) => self.rule(a) + self.rule(b),
                Rule::Not(a) => self.rule(a),
            }
    }

    fn lambda(&self, f: &Lambda) -> f64 {
        choice(LAMBDAS)
            + match f {
                Lambda::X | Lambda::Y => 0.0,
                Lambda::Const(v) => self.value(v),
                Lambda::Unary(_, a) => self.lambda(a),
                Lambda::Binary(_, a, b) => self.lambda(a) + self.lambda(b),
                Lambda::If(c, a, b) => self.lambda(c) + self.lambda(a) + self.lambda(b),
                Lambda::Table { of, entries, otherwise } => {
                    self.lambda(of)
                        + elias_delta(entries.len() as u64 + 1)
                        + entries.iter().map(|(k, v)| self.value(k) + self.value(v)).sum::<f64>()
                        + 1.0
                        + otherwise.as_ref().map_or(0.0, |v| self.value(v))
                }
            }
    }

    fn cosines(&self, c: &Cosines) -> f64 {
        // cos is even: frequencies k and p - k are one, so a subset of 1..(p - 1)/2.
        elias_delta(u64::from(c.modulus))
            + 2.0 * choice(self.setting.pos)
            + subset((c.modulus / 2) as usize, c.terms.len())
            + c.terms.len() as f64 * 2.0 * self.real()
    }

    fn circuit(&self, edges: &[Edge], ablation: Ablation, out: &mut Size) -> Result<(), Error> {
        let c = self
            .setting
            .architecture
            .transformer()
            .ok_or_else(|| Error::Body("a circuit of edges needs a transformer".into()))?;
        let table = EdgeTable::new(c);
        out.items.push(("edges".into(), subset(table.edges.len(), edges.len())));
        out.items.push(("kind of ablation".into(), choice(3)));
        let mut called = 0.0;
        for (name, shape) in Network::parameters(self.setting.architecture)? {
            called += called_share(&name, c.n_heads, c.n_kv_heads, edges)
                * shape.iter().product::<usize>() as f64;
        }
        out.items.push(("weights called".into(), called * self.real()));
        let kept: BTreeSet<Edge> = edges.iter().copied().collect();
        let ablated: BTreeSet<Sender> =
            table.edges.iter().filter(|e| !kept.contains(e)).map(|e| e.from).collect();
        let reference = match ablation {
            Ablation::Zero => 0.0,
            Ablation::Mean => (ablated.len() * self.setting.pos * c.d_model) as f64 * self.real(),
            // The partners are inputs: their tokens are the reference set.
            Ablation::Resample => {
                (self.setting.inputs * self.setting.pos) as f64 * choice(self.setting.vocabulary)
            }
        };
        out.items.push(("reference".into(), reference));
        Ok(())
    }
}

/// The share of a parameter that a circuit calls: the heads and MLPs at its edges' ends, the
/// embeddings that it reads, the unembedding. Biases that are written to the residual stream
/// belong to no edge and are always called.
fn called_share(name: &str, n_heads: usize, n_kv: usize, edges: &[Edge]) -> f64 {
    let sends = |s: Sender| edges.iter().any(|e| e.from == s);
    let flag = |b: bool| f64::from(u8::from(b));
    let Some(rest) = name.strip_prefix("blocks.") else {
        return match name {
            "embed.W_E" => flag(sends(Sender::Embed)),
            "pos_embed.W_pos" => flag(sends(Sender::PosEmbed)),
            _ => 1.0,
        };
    };
    let Some((layer, rest)) = rest.split_once('.') else {
        return 1.0;
    };
    let Ok(layer) = layer.parse::<usize>() else {
        return 1.0;
    };
    // Query heads that the circuit goes through, and the kv heads that they use.
    let mut heads = BTreeSet::new();
    let mut kv = BTreeSet::new();
    let group = (n_heads / n_kv.max(1)).max(1);
    for e in edges {
        if let Sender::Head(l, h) = e.from
            && l == layer
        {
            heads.insert(h);
            kv.insert(h / group);
        }
        match e.to {
            Receiver::Query(l, h) if l == layer => {
                heads.insert(h);
                kv.insert(h / group);
            }
            Receiver::Key(l, h) | Receiver::Value(l, h) if l == layer => {
                kv.insert(h);
            }
            _ => {}
        }
    }
    let mlp = edges.iter().any(|e| e.from == Sender::Mlp(layer) || e.to == Receiver::Mlp(layer));
    match rest {
        "attn.W_Q" | "attn.b_Q" | "attn.W_O" => heads.len() as f64 / n_heads.max(1) as f64,
        "attn.W_K" | "attn.b_K" | "attn.W_V" | "attn.b_V" => kv.len() as f64 / n_kv.max(1) as f64,
        "attn.b_O" | "mlp.b_out" => 1.0,
        r if r.starts_with("ln1.") => flag(!heads.is_empty() || !kv.is_empty()),
        r if r.starts_with("ln2.") || r.starts_with("mlp.") => flag(mlp),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rasp::library;
    use flyroom_network::TransformerConfig;

    #[test]
    fn elias_delta_has_its_known_lengths() {
        // Elias 1975, table of delta: 1 | 2..3 | 4..7 | 8..15 | 16..31 | 32..63.
        for (range, bits) in
            [(1..=1, 1), (2..=3, 4), (4..=7, 5), (8..=15, 8), (16..=31, 9), (32..=63, 10)]
        {
            for n in range {
                assert_eq!(elias_delta(n), f64::from(bits), "{n}");
            }
        }
        assert_eq!(elias_delta(u64::MAX), 76.0);
    }

    #[test]
    fn signed_integers_are_folded_around_zero() {
        for (i, n) in [(0, 1), (-1, 2), (1, 3), (-2, 4), (2, 5)] {
            assert_eq!(integer(i), elias_delta(n));
        }
        assert!(integer(i64::MIN).is_finite() && integer(i64::MAX).is_finite());
    }

    #[test]
    fn a_subset_costs_its_size_and_its_choice() {
        // log2 11 + log2 120 = 10.366322.
        assert!((subset(10, 3) - 10.366_322).abs() < 1e-6);
        assert_eq!(subset(10, 0), choice(11));
        assert_eq!(subset(10, 10), choice(11));
    }

    #[test]
    fn the_grid_holds_its_ends_and_loses_at_most_half_a_step() {
        let values = [0.3f32, -1.0, 0.77, 0.0, 0.51];
        for bits in 1..=16 {
            let mut q = values;
            quantize(q.iter_mut(), bits);
            assert_eq!((q[1], q[3]), (-1.0, 0.0));
            let step = 1.0 / (f64::from(1u32 << bits) - 1.0);
            for (a, b) in values.iter().zip(q) {
                assert!((f64::from(*a) - f64::from(b)).abs() <= step / 2.0 + 1e-7);
            }
        }
    }

    #[test]
    fn the_fewest_bits_within_one_percent_of_trivial_are_chosen() {
        let loss = |b: u32| Ok::<_, ()>(1.0 + 0.5f64.powi(b as i32));
        // 2^-b < 0.01 from b = 7.
        assert_eq!(choose_bits(1.0, 1.0, loss), Ok(7));
        assert_eq!(choose_bits(1.0, 0.0, |_| Ok::<_, ()>(1.0)), Ok(16));
    }

    fn setting(architecture: &Architecture) -> Setting<'_> {
        Setting { architecture, sites: 32, pos: 8, inputs: 10, vocabulary: 16, real_bits: 7 }
    }

    #[test]
    fn a_head_costs_four_d_model_d_head_reals_and_more_edges_cost_more() {
        let config = TransformerConfig::plain(2, 16, 4, 16, 8);
        let architecture = Architecture::Transformer(config);
        let s = setting(&architecture);
        let circuit = |edges: &[&str]| {
            let edges = edges.iter().map(|e| e.parse().unwrap()).collect();
            let body = Body::Circuit { edges, ablation: Ablation::Zero };
            size(&Explanation::new("c", vec![], body), &s).unwrap()
        };
        let called = |size: &Size| size.items.iter().find(|i| i.0 == "weights called").unwrap().1;
        let direct = circuit(&["embed->logits"]);
        let through =
            circuit(&["embed->a0.h1<v>", "embed->a0.h1<q>", "a0.h1->logits", "embed->logits"]);
        // A real is 8 bits here; 4 x 16 x 4 of them.
        assert_eq!(called(&through) - called(&direct), 8.0 * 4.0 * 16.0 * 4.0);
        assert!(through.code() > direct.code());
        let whole = size(&Explanation::new("w", vec![], Body::Whole), &s).unwrap();
        assert!(whole.code() > through.code());
    }

    #[test]
    fn a_shorter_program_is_smaller() {
        let architecture = Architecture::Transformer(TransformerConfig::plain(2, 16, 4, 16, 8));
        let s = Charge { setting: &setting(&architecture) };
        let (hist, reverse) = (s.program(&library::hist()), s.program(&library::reverse()));
        assert!(0.0 < hist && hist < reverse, "{hist} {reverse}");
    }

    #[test]
    fn totals_add_the_rate_for_every_token() {
        let size = Size { items: vec![("a".into(), 10.0), ("b".into(), 5.0)], rate: 2.0 };
        assert_eq!(size.total(100), 215.0);
        // C(8, 1) = 8: 3 bits and one real of 4.
        assert!((dictionary_rate(8, 1, 4) - 7.0).abs() < 1e-9);
    }
}
