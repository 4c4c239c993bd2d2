//! Weights of a lowered program (Lindner et al. 2023, section 3; the forms are our own).
//!
//! *Heads.* Each conjunct of a selection scores [`SHARPNESS`] where it allows a pair and 0 where it
//! does not; scores of k conjuncts add up. BOS, which stands for "nothing selected", scores half a
//! step less than all k: it is attended to where no key has them all. To be counted, it scores as
//! much as a selected key, and the attention that it gets is 1 / (1 + width). A query without a
//! value is the zero vector, so no key scores.
//!
//! *Neurons.* A step at t in a gap of width g is relu(k (z - t) + 1/2) - relu(k (z - t) - 1/2) with
//! 1 / k = .8 g: 0 below the gap and 1 above, whatever the rounding of z. A function of a number is a
//! sum of steps in the gaps between its values, each mirrored where its neurons then hold less
//! (1 - step(-z)); one of one-hot variables has a step at 1/2 of x_u, or
//! at 3/2 of x_u + y_v, for each combination. A linear function is relu(z) - relu(-z).
//!
//! *BOS.* Its position holds what its own head wrote there; every reader subtracts that, so that
//! keys, queries and neurons at BOS are 0 and the program's variables never lie there.

use super::domain::{Domain, Form, apply};
use super::layout::Layout;
use super::lower::{Conjunct, Lowered, Writer, thresholds};
use crate::Error;
use flyroom_explanation::Value;
use flyroom_explanation::rasp::Lambda;
use flyroom_network::{Architecture, Network, TransformerConfig, Weights};
use flyroom_tensor::Tensor;

/// Score of a conjunct that allows a pair: half of it leaves e^-16 = 1e-7 to another key. More would
/// multiply the rounding of keys and queries in a random gauge.
const SHARPNESS: f64 = 32.0;
/// Share of the way between two numbers on which a step between them rises: the wider, the less
/// steep, and what is left on both sides bears the rounding of the number.
const RAMP: f64 = 0.8;
/// Neurons of a block at most.
const NEURONS: usize = 1 << 14;

/// A head before its place among others is known. Rows are residual dimensions.
struct Head {
    /// (dimension, column, weight)
    query: Vec<(usize, usize, f64)>,
    key: Vec<(usize, usize, f64)>,
    value: Vec<(usize, usize, f64)>,
    /// Column that scores BOS, and by how much.
    default: (usize, f64),
    /// Columns of the scores.
    columns: usize,
    /// Residual dimension of each value column.
    out: Vec<usize>,
}

/// relu(weights . x + bias), written as `out`.
struct Neuron {
    read: Vec<(usize, f64)>,
    bias: f64,
    out: Vec<(usize, f64)>,
}

struct Writing<'a> {
    lowered: &'a Lowered,
    layout: &'a Layout,
    /// What the position of BOS holds of each step.
    at_bos: Vec<Vec<f64>>,
}

/// The network of a lowered program. `vocabulary` counts BOS, which is the last token.
pub(super) fn network(
    organism: &str,
    lowered: &Lowered,
    layout: &Layout,
    vocabulary: usize,
    length: usize,
) -> Result<Network, Error> {
    let mut w = Writing { lowered, layout, at_bos: vec![] };
    for step in &lowered.steps {
        w.at_bos.push(match &step.writer {
            Writer::Gather { default, .. } => step.domain.encode(default),
            Writer::Share { .. } => vec![1.0],
            _ => vec![0.0; step.domain.dims()],
        });
    }
    let heads: Vec<Vec<Head>> =
        layout.heads.iter().map(|l| l.iter().map(|&i| w.head(i)).collect()).collect();
    let mut neurons: Vec<Vec<Neuron>> = vec![];
    for layer in &layout.neurons {
        let mut all = vec![];
        for &i in layer {
            all.extend(w.neurons(i).map_err(Error::Truth)?);
        }
        if all.len() > NEURONS {
            let why = format!(
                "a block needs {} neurons, more than {NEURONS}; hint: a shorter length or a \
                 smaller vocabulary",
                all.len()
            );
            return Err(Error::Parameters { organism: organism.into(), why });
        }
        neurons.push(all);
    }

    let (output, code) = lowered.readout()?;
    let n_heads = heads.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let d_head = heads.iter().flatten().map(|h| h.columns.max(h.out.len())).max().unwrap_or(1);
    let n_ctx = length + 1;
    let mut c = TransformerConfig::plain(heads.len(), layout.d_model, n_heads, vocabulary, n_ctx);
    c.d_head = d_head;
    c.attn_scale = (d_head as f32).sqrt();
    c.d_mlp = neurons.iter().map(Vec::len).max().unwrap_or(0);
    c.d_vocab_out = code.dims();
    c.causal = lowered.causal;
    c.attn_bias = true;
    let architecture = Architecture::Transformer(c.clone());
    let mut weights = Weights::new();
    for (name, shape) in Network::parameters(&architecture)? {
        weights.insert(name, Tensor::zeros(&shape));
    }
    let mut put = |name: String, head: usize, i: usize, j: usize, x: f64| {
        if let Some(t) = weights.get_mut(&name) {
            let shape = t.shape().to_vec();
            let columns = shape[shape.len() - 1];
            let rows = if shape.len() > 1 { shape[shape.len() - 2] } else { 1 };
            t.data_mut()[(head * rows + i) * columns + j] += x as f32;
        }
    };
    for token in 0..vocabulary {
        // Tokens and BOS are one dimension each, in order.
        put("embed.W_E".into(), 0, token, token, 1.0);
        for (step, dims) in lowered.steps.iter().zip(&layout.dims).skip(1) {
            if step.writer == Writer::Embed && token + 1 < vocabulary {
                put("embed.W_E".into(), 0, token, dims.start, constant(&step.domain));
            }
        }
    }
    for i in 0..length {
        put("pos_embed.W_pos".into(), 0, i + 1, layout.dims[1].start + i, 1.0);
    }
    for (i, dim) in layout.dims[output].clone().enumerate() {
        put("unembed.W_U".into(), 0, dim, i, 1.0);
    }
    let scale = f64::from(c.attn_scale);
    for (l, heads) in heads.iter().enumerate() {
        let name = |m: &str| format!("blocks.{l}.attn.{m}");
        for (h, head) in heads.iter().enumerate() {
            head.query.iter().for_each(|&(i, j, x)| put(name("W_Q"), h, i, j, x * scale));
            head.key.iter().for_each(|&(i, j, x)| put(name("W_K"), h, i, j, x));
            head.value.iter().for_each(|&(i, j, x)| put(name("W_V"), h, i, j, x));
            head.out.iter().enumerate().for_each(|(j, &dim)| put(name("W_O"), h, j, dim, 1.0));
            let (column, score) = head.default;
            put(name("b_Q"), 0, h, column, score * scale);
        }
    }
    for (l, neurons) in neurons.iter().enumerate() {
        let name = |m: &str| format!("blocks.{l}.mlp.{m}");
        for (f, neuron) in neurons.iter().enumerate() {
            neuron.read.iter().for_each(|&(i, x)| put(name("W_in"), 0, i, f, x));
            neuron.out.iter().for_each(|&(i, x)| put(name("W_out"), 0, f, i, x));
            put(name("b_in"), 0, 0, f, neuron.bias);
        }
    }
    Ok(Network::new(architecture, weights)?)
}

/// Coordinate of a constant's one value.
fn constant(d: &Domain) -> f64 {
    match d.form {
        Form::OneHot => 1.0,
        Form::Number => d.values.first().and_then(Value::number).unwrap_or(0.0),
    }
}

impl Writing<'_> {
    fn domain(&self, i: usize) -> &Domain {
        &self.lowered.steps[i].domain
    }

    fn dim(&self, i: usize, k: usize) -> usize {
        self.layout.dims[i].start + k
    }

    /// What a row of weights reads at BOS of step `i`, to be taken away from BOS' own dimension.
    fn cancel(&self, i: usize, column: usize, row: &[(usize, usize, f64)]) -> f64 {
        let start = self.layout.dims[i].start;
        let read = |(dim, col, x): &(usize, usize, f64)| match *col == column {
            true => {
                dim.checked_sub(start).and_then(|k| self.at_bos[i].get(k)).map_or(0.0, |v| v * x)
            }
            false => 0.0,
        };
        -row.iter().map(read).sum::<f64>()
    }

    fn head(&self, i: usize) -> Head {
        let step = &self.lowered.steps[i];
        let out = self.layout.dims[i].clone().collect();
        match &step.writer {
            Writer::Gather { conjuncts, x, default } => {
                let mut head = self.scores(conjuncts, 0.5);
                head.out = out;
                let (from, to) = (self.domain(*x), &step.domain);
                match from.form {
                    Form::Number => head.value.push((self.dim(*x, 0), 0, 1.0)),
                    Form::OneHot => {
                        for (k, v) in from.values.iter().enumerate() {
                            for (j, w) in to.encode(v).into_iter().enumerate() {
                                if w != 0.0 {
                                    head.value.push((self.dim(*x, k), j, w));
                                }
                            }
                        }
                    }
                }
                for (j, w) in to.encode(default).into_iter().enumerate() {
                    let w = w + self.cancel(*x, j, &head.value);
                    if w != 0.0 {
                        head.value.push((self.layout.bos, j, w));
                    }
                }
                head
            }
            Writer::Share { conjuncts } => {
                let mut head = self.scores(conjuncts, 0.0);
                head.out = out;
                head.value.push((self.layout.bos, 0, 1.0));
                head
            }
            _ => self.scores(&[], 0.0),
        }
    }

    /// Queries and keys; BOS scores `less` of a conjunct's score less than a selected key.
    fn scores(&self, conjuncts: &[Conjunct], less: f64) -> Head {
        let (mut query, mut key) = (vec![], vec![]);
        let mut column = 0;
        for c in conjuncts {
            // Keys that every query treats alike share a column.
            let treated = |k: usize| c.allowed.iter().map(|row| row[k]).collect::<Vec<bool>>();
            let mut kinds: Vec<Vec<bool>> = vec![];
            let (mut reads, mut asks) = (vec![], vec![]);
            for k in 0..self.domain(c.keys).values.len() {
                let by = treated(k);
                if !by.contains(&true) {
                    continue;
                }
                let kind = kinds.iter().position(|b| *b == by).unwrap_or_else(|| {
                    kinds.push(by);
                    kinds.len() - 1
                });
                reads.push((self.dim(c.keys, k), column + kind, 1.0));
            }
            for (j, by) in kinds.iter().enumerate() {
                for (q, _) in by.iter().enumerate().filter(|(_, b)| **b) {
                    asks.push((self.dim(c.queries, q), column + j, SHARPNESS));
                }
            }
            for j in column..column + kinds.len() {
                for (side, i, rows) in [(&mut key, c.keys, &reads), (&mut query, c.queries, &asks)]
                {
                    let x = self.cancel(i, j, rows);
                    if x != 0.0 {
                        side.push((self.layout.bos, j, x));
                    }
                }
            }
            key.extend(reads);
            query.extend(asks);
            column += kinds.len();
        }
        key.push((self.layout.bos, column, 1.0));
        let default = (column, SHARPNESS * (conjuncts.len() as f64 - less));
        Head { query, key, value: vec![], default, columns: column + 1, out: vec![] }
    }

    /// A neuron that is 0 at BOS.
    fn silent_at_bos(&self, mut n: Neuron) -> Neuron {
        let mut there = n.bias;
        for &(dim, x) in &n.read {
            for (dims, held) in self.layout.dims.iter().zip(&self.at_bos) {
                if dims.contains(&dim) {
                    there += x * held[dim - dims.start];
                }
            }
        }
        if there > 0.0 {
            n.read.push((self.layout.bos, -there - 1.0));
        }
        n
    }

    fn neurons(&self, i: usize) -> Result<Vec<Neuron>, String> {
        let step = &self.lowered.steps[i];
        let write = |coordinates: &[f64], factor: f64| -> Vec<(usize, f64)> {
            let nonzero = coordinates.iter().enumerate().filter(|(_, x)| **x != 0.0);
            nonzero.map(|(k, x)| (self.dim(i, k), factor * x)).collect()
        };
        let to = &step.domain;
        let mut out = match &step.writer {
            Writer::Map { f, x, y: None } if self.domain(*x).form == Form::Number => {
                self.steps_of(f, *x, to, &write)?
            }
            Writer::Map { f, x, y } => self.table(f, *x, *y, to, &write),
            Writer::Affine { terms, constant } => {
                let mut read = vec![];
                for &(x, factor) in terms {
                    let from = self.domain(x);
                    for k in 0..from.dims() {
                        let v = match from.form {
                            Form::Number => 1.0,
                            Form::OneHot => from.values[k].number().unwrap_or(0.0),
                        };
                        if factor * v != 0.0 {
                            read.push((self.dim(x, k), factor * v));
                        }
                    }
                }
                let minus = read.iter().map(|&(d, x)| (d, -x)).collect();
                vec![
                    Neuron { read, bias: *constant, out: write(&[1.0], 1.0) },
                    Neuron { read: minus, bias: -constant, out: write(&[1.0], -1.0) },
                ]
            }
            _ => vec![],
        };
        out.retain(|n| !n.out.is_empty());
        Ok(out.into_iter().map(|n| self.silent_at_bos(n)).collect())
    }

    /// A function of a number: its lowest image, and a step at each threshold.
    fn steps_of(
        &self,
        f: &Lambda,
        x: usize,
        to: &Domain,
        write: &impl Fn(&[f64], f64) -> Vec<(usize, f64)>,
    ) -> Result<Vec<Neuron>, String> {
        let images = thresholds(f, self.domain(x))?;
        let points: Vec<f64> =
            self.domain(x).all().iter().map(|v| v.number().unwrap_or(0.0)).collect();
        let lowest = points.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut out = vec![];
        let mut constant = vec![0.0; to.dims()];
        let mut before: Option<(f64, Vec<f64>)> = None;
        for (upper, image) in images {
            let here = to.encode(&image);
            let last = before.as_ref().map_or(&constant, |(_, last)| last);
            let change: Vec<f64> = here.iter().zip(last).map(|(a, b)| a - b).collect();
            let Some((at, _)) = before else {
                constant = change;
                before = Some((upper, here));
                continue;
            };
            let gap = points.iter().map(|p| (p - at).abs()).fold(f64::INFINITY, f64::min);
            // Neurons are active on the side on which they have less to hold: fewer bits are lost.
            let below = at - lowest < highest - at;
            let side = if below { -1.0 } else { 1.0 };
            if below {
                constant.iter_mut().zip(&change).for_each(|(c, x)| *c += x);
            }
            let read = vec![(self.dim(x, 0), side)];
            out.extend(step(read, side * at, 2.0 * gap, |factor| write(&change, side * factor)));
            before = Some((upper, here));
        }
        out.push(Neuron { read: vec![], bias: 1.0, out: write(&constant, 1.0) });
        Ok(out)
    }

    /// A function of one or two one-hot variables: a step for each combination whose image is not
    /// zero.
    fn table(
        &self,
        f: &Lambda,
        x: usize,
        y: Option<usize>,
        to: &Domain,
        write: &impl Fn(&[f64], f64) -> Vec<(usize, f64)>,
    ) -> Vec<Neuron> {
        // 1 where a variable has its value number k, else 0: none is the lack of all.
        let says = |i: usize, k: usize| -> (Vec<(usize, f64)>, f64) {
            let d = self.domain(i);
            match k < d.values.len() {
                true => (vec![(self.dim(i, k), 1.0)], 0.0),
                false => ((0..d.values.len()).map(|k| (self.dim(i, k), -1.0)).collect(), 1.0),
            }
        };
        let mut out = vec![];
        let mut combination = |read: Vec<(usize, f64)>, at: f64, image: Value| {
            let image = to.encode(&image);
            out.extend(step(read, at, 1.0, |factor| write(&image, factor)));
        };
        for (k, u) in self.domain(x).all().iter().enumerate() {
            let (read, a) = says(x, k);
            let Some(y) = y else {
                combination(read, 0.5 - a, apply(f, u, &Value::None));
                continue;
            };
            for (j, v) in self.domain(y).all().iter().enumerate() {
                let (more, b) = says(y, j);
                let read = read.iter().copied().chain(more).collect();
                combination(read, 1.5 - a - b, apply(f, u, v));
            }
        }
        out
    }
}

/// Two neurons that write 0 where what is read lies below a threshold and `out(1)` where it lies
/// above, in a gap of some width around it.
fn step(
    read: Vec<(usize, f64)>,
    at: f64,
    gap: f64,
    out: impl Fn(f64) -> Vec<(usize, f64)>,
) -> [Neuron; 2] {
    let k = 1.0 / (RAMP * gap);
    [(0.5, 1.0), (-0.5, -1.0)].map(|(shift, factor)| Neuron {
        read: read.iter().map(|&(d, x)| (d, k * x)).collect(),
        bias: shift - k * at,
        out: out(factor),
    })
}
