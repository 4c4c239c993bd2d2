//! The shared projection: a compiled network with every write to the stream multiplied by W and
//! every read by its transpose, and what that makes of its truth.
//!
//! W is `[dims, d_model]`, one row for each residual dimension of the compiled network. What was
//! written along dimension i is written along row i; what was read from it is the inner product with
//! row i, which also holds the inner products of row i with all others that are written:
//! *interference*. A dimension that no weight reads has the row 0.

use crate::rasp::Compiled;
use crate::train::Trained;
use crate::{Error, ExamVariable, Feature, Source, Standing, Truth};
use flyroom_explanation::{Alignment, Code, Part};
use flyroom_network::{Architecture, Network, Selector, TransformerConfig, Weights};
use flyroom_tensor::{Bindings, Context, Graph, Program, Stream, Tensor, Value, linalg};
use std::collections::BTreeMap;

/// Name of the tensor that is trained.
pub(super) const W: &str = "projection.W";
/// W with the rows of unread dimensions 0.
const MASKED: &str = "projection.masked";
/// How far what a query, a key, a value or a logit reads may be off where it tells values apart.
const OFF: f32 = 0.25;
/// How far what a value or a logit reads may be off where the output is a number.
const OFF_NUMBER: f32 = 0.01;
/// How far a neuron's may, before its activation.
const OFF_STEP: f32 = 0.1;
/// Weight of the distance from orthogonal rows.
const ORTHOGONAL: f32 = 0.1;
/// Tolerance of the truth: what a step between 0 and 1 bears on both sides.
const TOLERANCE: f64 = 0.1;
/// Length below which the part of a row outside the span of others counts as rounding.
const RANK: f64 = 1e-5;

/// A compiled network seen through a projection that is yet to be found.
pub(super) struct Projected<'a> {
    pub compiled: &'a Compiled,
    config: TransformerConfig,
    /// 1 for dimensions that some weight reads.
    read: Vec<bool>,
    /// Sites at which the stream is read, and what an error of each dimension there counts.
    readers: Vec<(String, Vec<f32>)>,
}

/// Leaf with what the uncompressed network's stream holds.
pub(super) fn stream_leaf(site: &str) -> String {
    format!("stream.{site}")
}

/// Where the residual axis of a weight lies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Writes,
    Reads,
    Neither,
}

fn side(weight: &str) -> Side {
    match weight.rsplit('.').next().unwrap_or(weight) {
        "W_E" | "W_pos" | "W_O" | "b_O" | "W_out" | "b_out" => Side::Writes,
        "W_Q" | "W_K" | "W_V" | "W_in" | "W_U" => Side::Reads,
        _ => Side::Neither,
    }
}

/// Largest weight with which each residual dimension is read.
fn largest(t: &Tensor, dims: usize) -> Vec<f32> {
    let columns = t.shape()[t.shape().len() - 1];
    let mut out = vec![0f32; dims];
    for (i, x) in t.data().iter().enumerate() {
        let dim = i / columns % dims;
        out[dim] = out[dim].max(x.abs());
    }
    out
}

/// Readers of the stream: where it is read, and what a dimension may be off, by the weight with which
/// it is read. Attention and logits tell 0 from 1, unless the output is a number; neurons have steps
/// (`weights.rs`), so what they read may be off by a tenth of the inverse weight.
fn readers(compiled: &Compiled, c: &TransformerConfig) -> Vec<(String, Vec<f32>)> {
    let network = &compiled.network;
    let moved = match compiled.labelled.readout {
        Code::Scalar { .. } => OFF_NUMBER,
        _ => OFF,
    };
    let read = |names: &[String], per: &dyn Fn(f32) -> f32| -> Vec<f32> {
        let mut out = vec![0f32; c.d_model];
        for t in names.iter().filter_map(|n| network.weights().get(n)) {
            let each = largest(t, c.d_model);
            out.iter_mut().zip(each).for_each(|(o, x)| {
                if x > 0.0 {
                    *o = o.max(1.0 / per(x));
                }
            });
        }
        out
    };
    let mut out = vec![];
    for l in 0..c.n_layers {
        let at = |w: &str| format!("blocks.{l}.{w}");
        let scores = read(&["attn.W_Q", "attn.W_K"].map(at), &|_| OFF);
        let values = read(&[at("attn.W_V")], &|_| moved);
        let attention = scores.iter().zip(values).map(|(s, v)| s.max(v)).collect();
        out.push((at("hook_resid_pre"), attention));
        if c.d_mlp > 0 {
            out.push((at("hook_resid_mid"), read(&[at("mlp.W_in")], &|w| OFF_STEP / w)));
        }
    }
    out.push(("unembed.hook_in".into(), read(&["unembed.W_U".into()], &|_| moved)));
    out
}

impl<'a> Projected<'a> {
    /// Fails where the width is none, or more than there is to compress.
    pub fn new(compiled: &'a Compiled, d_model: usize) -> Result<Self, Error> {
        let name = &compiled.labelled.name;
        let bad = |why: String| Error::Parameters { organism: name.clone(), why };
        let Some(own) = compiled.network.architecture().transformer() else {
            return Err(bad("only a transformer has a residual stream".into()));
        };
        if !(1..=own.d_model).contains(&d_model) {
            return Err(bad(format!(
                "d_model = {d_model} is not in 1..={}, the residual dimensions of the program",
                own.d_model
            )));
        }
        let mut read = vec![false; own.d_model];
        for (weight, t) in compiled.network.weights() {
            if side(weight) == Side::Reads {
                largest(t, own.d_model).iter().zip(&mut read).for_each(|(x, r)| *r |= *x > 0.0);
            }
        }
        let config = TransformerConfig { d_model, ..own.clone() };
        let readers = readers(compiled, own);
        Ok(Self { compiled, config, read, readers })
    }

    /// Dimensions that some weight reads.
    pub fn dims(&self) -> usize {
        self.read.iter().filter(|r| **r).count()
    }

    pub fn architecture(&self) -> Architecture {
        Architecture::Transformer(self.config.clone())
    }

    /// Rows of random direction and length 1.
    pub fn random(&self, seed: u64) -> Weights {
        let d = self.config.d_model;
        let mut random = Stream::new(seed, "init/projection.W").block(0);
        let mut w = Tensor::zeros(&[self.read.len(), d]);
        for (row, read) in w.data_mut().chunks_exact_mut(d).zip(&self.read) {
            random.fill_normal(row, 1.0);
            let x: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let scale = if *read { 1.0 / linalg::dot(&x, &x).sqrt().max(1e-9) } else { 0.0 };
            row.iter_mut().zip(x).for_each(|(r, x)| *r = (x * scale) as f32);
        }
        Weights::from([(W.into(), w)])
    }

    /// W with the rows of unread dimensions 0.
    fn masked(&self, g: &mut Graph) -> Result<Value, flyroom_tensor::Error> {
        let shape = [self.read.len(), self.config.d_model];
        let w = g.parameter(W, &shape);
        let d = self.config.d_model;
        let mask = Tensor::from_fn(&shape, |i| f32::from(u8::from(self.read[i / d])));
        let mask = g.constant(mask);
        let w = g.mul(w, mask)?;
        Ok(g.site(MASKED, w))
    }

    /// A weight of the narrow network.
    fn weight(
        &self,
        g: &mut Graph,
        name: &str,
        w: Value,
    ) -> Result<Option<Value>, flyroom_tensor::Error> {
        let Some(t) = self.compiled.network.weights().get(name) else { return Ok(None) };
        let own = g.constant(t.clone());
        let formula = match (side(name), t.shape().len()) {
            (Side::Neither, _) => return Ok(Some(own)),
            (Side::Writes, 1) => {
                let row = g.reshape(own, &[1, t.shape()[0]])?;
                let row = g.einsum("aD,Dd->ad", row, w)?;
                return Ok(Some(g.reshape(row, &[self.config.d_model])?));
            }
            (Side::Writes, 2) => "aD,Dd->ad",
            (Side::Writes, _) => "hkD,Dd->hkd",
            (Side::Reads, 2) => "Da,Dd->da",
            (Side::Reads, _) => "hDk,Dd->hdk",
        };
        Ok(Some(g.einsum(formula, own, w)?))
    }

    /// Mean over inputs and positions of the squared errors with which the uncompressed network's
    /// stream (leaves `stream.SITE`) would be read through W and back, each in units of what its
    /// reader bears; and, with a small weight, the squared distance of W W^T from the identity on what is
    /// read, so that rows are orthogonal where there is room.
    pub fn readings(
        &self,
        g: &mut Graph,
        batch: usize,
        pos: usize,
    ) -> Result<Value, flyroom_tensor::Error> {
        let w = g.at(MASKED)?;
        let shape = [batch, pos, self.read.len()];
        let mut sum: Option<Value> = None;
        for (site, weights) in &self.readers {
            let h = g.input(&stream_leaf(site), &shape);
            let narrow = g.einsum("bpD,Dd->bpd", h, w)?;
            let back = g.einsum("bpd,Dd->bpD", narrow, w)?;
            let off = g.sub(back, h)?;
            let weights = g.constant(Tensor::new(&[weights.len()], weights.clone())?);
            let off = g.mul(off, weights)?;
            let square = g.mul(off, off)?;
            let part = g.sum(square)?;
            sum = Some(match sum {
                Some(s) => g.add(s, part)?,
                None => part,
            });
        }
        let sum = sum.unwrap_or_else(|| g.constant(Tensor::zeros(&[])));
        let sum = g.scale(sum, 1.0 / (batch * pos) as f32)?;
        let n = self.read.len();
        let gram = g.einsum("Dd,Ed->DE", w, w)?;
        let own =
            Tensor::from_fn(&[n, n], |i| f32::from(u8::from(i / n == i % n && self.read[i % n])));
        let own = g.constant(own);
        let off = g.sub(gram, own)?;
        let square = g.mul(off, off)?;
        let across = g.sum(square)?;
        let across = g.scale(across, ORTHOGONAL)?;
        g.add(sum, across)
    }

    /// Sites at which the stream is read.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().map(|(site, _)| site.as_str())
    }

    /// W as rows of f64, those of unread dimensions 0.
    fn rows(&self, w: &Tensor) -> Vec<Vec<f64>> {
        let d = self.config.d_model;
        w.data()
            .chunks_exact(d)
            .zip(&self.read)
            .map(|(row, &read)| {
                row.iter().map(|&x| if read { f64::from(x) } else { 0.0 }).collect()
            })
            .collect()
    }

    /// The rows that made a network, from all that it writes: the least squares solution.
    pub fn rows_of(&self, network: &Network) -> Result<Vec<Vec<f64>>, Error> {
        let (dims, d) = (self.read.len(), self.config.d_model);
        let (mut own, mut narrow) = (vec![], vec![]);
        for (name, t) in self.compiled.network.weights() {
            if side(name) == Side::Writes {
                own.extend(t.data().iter().map(|&x| f64::from(x)));
                narrow.extend(network.weight(name)?.data().iter().map(|&x| f64::from(x)));
            }
        }
        let n = own.len() / dims.max(1);
        if narrow.len() != n * d {
            return Err(Error::Truth("a network of another width".into()));
        }
        let w = linalg::ridge(n, dims, d, &own, &narrow, 1e-9)
            .map_err(|e| Error::Truth(e.to_string()))?;
        Ok(w.chunks_exact(d).map(<[f64]>::to_vec).collect())
    }

    /// The truth of the narrow network: the compiled one's, with directions, codes and values of
    /// what is read moved to their images. `own` is the truth of the compiled network.
    pub fn truth(&self, own: &Truth, w: &Tensor) -> Truth {
        let rows = self.rows(w);
        let image = |x: &[f32]| -> Vec<f64> {
            let mut out = vec![0.0; self.config.d_model];
            for (x, row) in x.iter().zip(&rows).filter(|(x, _)| **x != 0.0) {
                out.iter_mut().zip(row).for_each(|(o, r)| *o += f64::from(*x) * r);
            }
            out
        };
        let features = own.features.iter().filter_map(|f| {
            let to = image(&f.direction);
            let length = linalg::dot(&to, &to).sqrt();
            let direction = to.iter().map(|x| (x / length) as f32).collect();
            (length > 0.0).then(|| Feature { direction, ..f.clone() })
        });
        // A subspace as rows of dimensions, in an orthonormal basis of their images.
        let span = |s: &Selector| -> Option<Span> {
            let images: Vec<Vec<f64>> = s.basis.as_ref()?.iter().map(|b| image(b)).collect();
            let d = self.config.d_model;
            let basis = linalg::orthonormal_rows(images.len(), d, &images.concat(), RANK);
            (!basis.is_empty()).then(|| Span {
                images,
                basis: basis.chunks_exact(d).map(<[f64]>::to_vec).collect(),
            })
        };
        let narrow = |s: &Selector, span: &Span| {
            let basis = span.basis.iter().map(|q| q.iter().map(|&x| x as f32).collect()).collect();
            Selector { basis: Some(basis), ..s.clone() }
        };
        let mut variables = vec![];
        for v in &own.variables {
            let Some(span) = span(&v.selector) else { continue };
            variables.push(ExamVariable {
                selector: narrow(&v.selector, &span),
                values: v.values.iter().map(|x| span.coordinates(x)).collect(),
                ..v.clone()
            });
        }
        let explanation = own.explanation.clone().map(|mut e| {
            e.tolerance = TOLERANCE;
            e.parts.retain(|p| variables.iter().any(|v| v.name == p.name));
            for Part { alignments, .. } in &mut e.parts {
                // What nobody reads any more is nobody's claim.
                alignments.retain(|a| a.readers.as_ref().is_none_or(|r| !r.is_empty()));
                for a in alignments {
                    if let Some(span) = span(&a.selector) {
                        let code = span.code(&a.code);
                        *a = Alignment { selector: narrow(&a.selector, &span), code, ..a.clone() };
                    }
                }
            }
            e
        });
        Truth {
            source: Source::Constrained,
            standing: Standing::Contested,
            features: features.collect(),
            explanation,
            variables,
            ..own.clone()
        }
    }
}

/// Images of a variable's dimensions and an orthonormal basis of what they span.
struct Span {
    images: Vec<Vec<f64>>,
    basis: Vec<Vec<f64>>,
}

impl Span {
    /// Coordinates along the basis of what has these coordinates along the dimensions.
    fn coordinates(&self, x: &[f32]) -> Vec<f32> {
        let along = |q: &Vec<f64>| -> f64 {
            x.iter().zip(&self.images).map(|(x, i)| f64::from(*x) * linalg::dot(q, i)).sum()
        };
        self.basis.iter().map(|q| along(q) as f32).collect()
    }

    fn code(&self, own: &Code) -> Code {
        match own {
            Code::OneHot { values } => {
                let vectors = values.iter().filter_map(|v| own.encode(v));
                let vectors = vectors.map(|x| self.coordinates(&x)).collect();
                Code::Table { values: values.clone(), vectors }
            }
            Code::Scalar { scale, offset } => {
                let length = self.coordinates(&[1.0]).first().copied().unwrap_or(1.0);
                Code::Scalar { scale: scale * length, offset: offset * length }
            }
            other => other.clone(),
        }
    }
}

impl Trained for Projected<'_> {
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Value, Error> {
        let mut plain = Graph::new();
        flyroom_network::record(
            &mut plain,
            &self.architecture(),
            batch,
            pos,
            flyroom_network::Form::Plain,
        )?;
        let w = self.masked(g)?;
        g.splice(&plain, "", &mut |g, name, _| self.weight(g, name, w))?;
        Ok(g.at("hook_logits")?)
    }

    fn network(&self, trained: Weights) -> Result<Network, Error> {
        let mut g = Graph::new();
        let w = self.masked(&mut g)?;
        let (mut names, mut outputs) = (vec![], vec![]);
        for (name, _) in Network::parameters(&self.architecture())? {
            if let Some(v) = self.weight(&mut g, &name, w)? {
                names.push(name);
                outputs.push(v);
            }
        }
        let mut program = Program::compile(&g, &outputs)?;
        program.run(&Context::single(), &Bindings::new().with_all(&trained))?;
        let weights: BTreeMap<String, Tensor> = names
            .into_iter()
            .enumerate()
            .map(|(i, name)| Ok((name, program.tensor(i)?)))
            .collect::<Result<_, flyroom_tensor::Error>>()?;
        Ok(Network::new(self.architecture(), weights)?)
    }
}

/// How much the rows of a projection are in each other's way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interference {
    /// Sum over pairs i, j of other rows of (w_i . w_j)^2, over the sum of |w_i|^4.
    pub interference: f64,
    /// What as many random directions have in the mean.
    pub random: f64,
    /// What no rows of one length can go below (Welch 1974).
    pub floor: f64,
    /// Rows whose squared length is at least half of what it is without compression.
    pub kept: usize,
}

impl Interference {
    /// Of rows that are read, in `d` dimensions.
    pub fn of(rows: &[Vec<f64>], d: usize) -> Self {
        let square = |x: f64| x * x;
        let (mut across, mut own, mut kept) = (0.0, 0.0, 0);
        for (i, x) in rows.iter().enumerate() {
            let length = linalg::dot(x, x);
            own += square(length);
            kept += usize::from(length >= 0.5);
            across += rows
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, y)| square(linalg::dot(x, y)))
                .sum::<f64>();
        }
        let n = rows.len().max(1) as f64;
        Self {
            interference: if own > 0.0 { across / own } else { 0.0 },
            random: (n - 1.0) / d.max(1) as f64,
            floor: (n / d.max(1) as f64 - 1.0).max(0.0),
            kept,
        }
    }
}

impl Projected<'_> {
    /// Interference of the rows that made a network.
    pub fn interference(&self, network: &Network) -> Result<Interference, Error> {
        let rows = self.rows_of(network)?;
        let read: Vec<Vec<f64>> =
            rows.into_iter().zip(&self.read).filter(|(_, r)| **r).map(|(row, _)| row).collect();
        Ok(Interference::of(&read, self.config.d_model))
    }
}
