//! Fourier description of cyclic tasks (Nanda et al. 2023, arXiv 2301.05217): a network that adds
//! modulo p embeds its operands as cosines and sines at a few frequencies and answers with
//! logits(c) = sum over k of A_k cos(2 pi k (a + b - c) / p + phi_k).
//!
//! Power, removal and amplitude are three different readings and may disagree: power looks at the
//! embedding, removal takes a frequency out of it and runs the network, the amplitude is what
//! arrives in the logits. Words are thresholds: a frequency is `key` if its power is more than
//! [`KEY`] times the mean power of all frequencies, and `flat` if no frequency is (shuffled labels
//! reach 1.5 times their median); it is `used` if its removal costs at least [`NEEDED`] of accuracy
//! or its cosine holds at least [`WRITTEN`] of the variance of the centred logits, else `unused`.
//! The explanation is the sum of cosines at the key frequencies; where the spectrum is flat, at
//! all that are used.

use crate::{Describe, Description, Error, FrequencyLine};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::{Body, Code, Cosines, Part, Term};
use flyroom_network::{Architecture, Network, Runner, Selector};
use flyroom_organism::{Answers, Parameters, Subject};
use flyroom_tensor::{Tensor, linalg, math};

/// Power of a key frequency, in means over all frequencies.
pub const KEY: f64 = 2.5;
/// Loss of accuracy from which on a frequency is needed.
pub const NEEDED: f64 = 0.01;
/// Share of the variance of the centred logits from which on a frequency is written.
pub const WRITTEN: f64 = 1e-3;

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct Fourier;

/// Where the operands enter: a weight, the first of its rows for each operand, and the site with
/// the position of each operand.
struct Entrance {
    weight: &'static str,
    site: &'static str,
    /// For each operand: (first row of the weight, position).
    operands: [(usize, usize); 2],
    /// Vectors carry the operands as one-hot codes, so the plane lies in the input itself.
    one_hot: bool,
}

fn entrance(architecture: &Architecture, modulus: usize) -> Result<Entrance, Error> {
    match architecture {
        Architecture::Transformer(c) if c.d_vocab >= modulus => Ok(Entrance {
            weight: "embed.W_E",
            site: "hook_embed",
            operands: [(0, 0), (0, 1)],
            one_hot: false,
        }),
        Architecture::Mlp(c) if c.d_in == 2 * modulus => Ok(Entrance {
            weight: "blocks.0.mlp.W_in",
            site: "hook_input",
            operands: [(0, 0), (modulus, 0)],
            one_hot: true,
        }),
        _ => Err(Error::NotApplicable {
            method: "fourier",
            why: "it reads two cyclic operands from an embedding or a one-hot input".into(),
        }),
    }
}

/// Unit vectors cos and sin of a frequency over the residues.
pub fn waves(modulus: usize, frequency: usize) -> [Vec<f64>; 2] {
    let norm = (2.0 / modulus as f64).sqrt();
    let angle = |i: usize| {
        let turns = (frequency * i % modulus) as f64 / modulus as f64;
        math::sin_cos_turns64(turns)
    };
    [
        (0..modulus).map(|i| norm * angle(i).1).collect(),
        (0..modulus).map(|i| norm * angle(i).0).collect(),
    ]
}

/// Rows `first..first + p` of a matrix `[rows, d]` along a wave: a vector of d.
fn along(m: &Tensor, first: usize, wave: &[f64]) -> Vec<f64> {
    let d = m.shape()[1];
    let mut out = vec![0.0; d];
    for (i, w) in wave.iter().enumerate() {
        let row = &m.data()[(first + i) * d..(first + i + 1) * d];
        out.iter_mut().zip(row).for_each(|(o, &x)| *o += w * f64::from(x));
    }
    out
}

fn without(m: &Tensor, entrance: &Entrance, modulus: usize, frequency: usize) -> Tensor {
    let mut out = m.clone();
    let d = m.shape()[1];
    let mut firsts: Vec<usize> = entrance.operands.iter().map(|o| o.0).collect();
    firsts.dedup();
    for first in firsts {
        for wave in waves(modulus, frequency) {
            let part = along(m, first, &wave);
            for (i, w) in wave.iter().enumerate() {
                let row = &mut out.data_mut()[(first + i) * d..(first + i + 1) * d];
                row.iter_mut().zip(&part).for_each(|(x, p)| *x = (f64::from(*x) - w * p) as f32);
            }
        }
    }
    out
}

/// The residues of both operands of an input.
pub fn operands(subject: &Subject, modulus: usize, input: usize) -> (usize, usize) {
    let inputs = &subject.task.inputs;
    match inputs.token_row(input) {
        [a, b, ..] => (*a as usize, *b as usize),
        _ => {
            let x = inputs.vector_row(input);
            let hot = |x: &[f32]| x.iter().position(|&v| v > 0.5).unwrap_or(0);
            (hot(&x[..modulus]), hot(&x[modulus..]))
        }
    }
}

/// Outputs that count, for each clean input: one row of `columns` logits.
struct Readout {
    rows: Vec<Vec<f32>>,
    answers: Vec<usize>,
}

fn read(subject: &Subject, outputs: &Tensor) -> Readout {
    let task = subject.task;
    let (pos, d) = (task.pos(), task.d_out);
    let classes = match &task.answers {
        Answers::Classes(c) => c.as_slice(),
        Answers::Values(_) => &[],
    };
    let mut out = Readout { rows: vec![], answers: vec![] };
    for i in 0..task.clean {
        if let Some(p) = task.read_positions(i).next() {
            let at = (i * pos + p) * d;
            out.rows.push(outputs.data()[at..at + d].to_vec());
            out.answers.push(classes.get(i * pos + p).map_or(0, |&c| c as usize));
        }
    }
    out
}

impl Readout {
    /// Mean square of the logits of the first columns, each row centred.
    fn variance(&self, columns: usize) -> f64 {
        let mut sum = 0.0;
        for row in &self.rows {
            let row = &row[..columns];
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
            sum += row.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum::<f64>();
        }
        sum / (self.rows.len() * columns).max(1) as f64
    }

    fn accuracy_and_loss(&self, columns: usize) -> (f64, f64) {
        let (mut right, mut loss) = (0usize, 0.0);
        for (row, &answer) in self.rows.iter().zip(&self.answers) {
            let row = &row[..columns];
            let best = (0..columns).fold(0, |b, c| if row[c] > row[b] { c } else { b });
            right += usize::from(best == answer);
            let max = f64::from(row[best]);
            let sum: f64 = row.iter().map(|&x| math::exp64(f64::from(x) - max)).sum();
            loss += max + math::ln64(sum) - f64::from(row[answer]);
        }
        let n = self.rows.len().max(1) as f64;
        (right as f64 / n, loss / n)
    }
}

impl Describe for Fourier {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: "fourier",
            step: "describe",
            version: 1,
            summary: "reads a cyclic task as a sum of cosines at the frequencies of its embedding",
            source: "Nanda et al. 2023, arXiv 2301.05217",
        }
    }

    fn defaults(&self) -> Parameters {
        Parameters::new()
    }

    fn describe(
        &self,
        subject: &Subject,
        _parts: Option<&Dictionary>,
        _parameters: &Parameters,
        _seed: u64,
    ) -> Result<Description, Error> {
        let p = subject.task.modulus.ok_or(Error::NotApplicable {
            method: "fourier",
            why: "the task is not cyclic".into(),
        })?;
        if !subject.task.exhaustive || p < 3 {
            let why = "it needs all pairs of operands".into();
            return Err(Error::NotApplicable { method: "fourier", why });
        }
        let network = subject.network();
        let door = entrance(network.architecture(), p)?;
        let table = network.weight(door.weight)?;
        let half = (p - 1) / 2;

        let mut powers = vec![0.0; half + 1];
        for (k, power) in powers.iter_mut().enumerate().skip(1) {
            for (first, _) in dedup(door.operands) {
                for wave in waves(p, k) {
                    *power += along(table, first, &wave).iter().map(|x| x * x).sum::<f64>();
                }
            }
        }
        let total: f64 = powers.iter().sum();
        powers.iter_mut().for_each(|x| *x /= total.max(f64::MIN_POSITIVE));

        let clean = read(subject, &*subject.runner.logits()?);
        let cosines = amplitudes(subject, &clean, p);
        let amplitude = |k: usize| f64::from(cosines[k].amplitude);
        let columns = subject.task.columns.min(p);
        // A cosine of amplitude A has mean square A^2 / 2 over the residues.
        let variance = clean.variance(columns).max(f64::MIN_POSITIVE);
        let share = |k: usize| amplitude(k) * amplitude(k) / 2.0 / variance;
        let flat = !powers.iter().any(|&x| x > KEY / half as f64);

        let (whole, _) = clean.accuracy_and_loss(subject.task.columns);
        let mut lines = vec![];
        for k in 1..=half {
            let cut = network.with_weight(door.weight, without(table, &door, p, k))?;
            let (accuracy, cross_entropy, max_logit_change) = effect(subject, &cut, &clean)?;
            let key = powers[k] > KEY / half as f64;
            let needed = whole - accuracy >= NEEDED;
            let written = share(k) >= WRITTEN;
            lines.push(FrequencyLine {
                frequency: k,
                power: powers[k],
                amplitude: amplitude(k),
                accuracy,
                cross_entropy,
                max_logit_change,
                embedding: if flat {
                    "flat"
                } else if key {
                    "key"
                } else {
                    "minor"
                }
                .into(),
                verdict: if needed || written { "used" } else { "unused" }.into(),
            });
        }
        lines.sort_by(|a, b| b.power.total_cmp(&a.power));

        let told = |l: &&FrequencyLine| {
            if flat { l.verdict == "used" } else { l.embedding == "key" }
        };
        let keys: Vec<usize> = lines.iter().filter(told).map(|l| l.frequency).collect();
        // Cosines of different frequencies are orthogonal over the residues, so shares add up.
        let logit_r2 = Some(keys.iter().map(|&k| share(k)).sum());
        let terms: Vec<Term> = keys.iter().map(|&k| cosines[k]).collect();
        let mut parts = vec![];
        for &k in &keys {
            for (o, &(first, pos)) in door.operands.iter().enumerate() {
                let (basis, code) = plane(table, &door, p, k, first);
                let mut selector = Selector::site(door.site).in_basis(basis);
                if !door.one_hot {
                    selector = selector.at_pos(pos);
                }
                parts.push(Part::new(
                    format!("{} at frequency {k}", ["a", "b"][o]),
                    selector,
                    code,
                ));
            }
        }
        let body = Body::Cosines(Cosines { modulus: p as u32, operands: [0, 1], terms });
        let explanation = crate::method::signed("fourier", subject, parts, body);
        Ok(Description { frequencies: lines, logit_r2, ..Description::new(explanation) })
    }
}

fn dedup(operands: [(usize, usize); 2]) -> Vec<(usize, usize)> {
    let mut out = operands.to_vec();
    out.dedup_by_key(|o| o.0);
    out
}

/// The plane of a frequency in the coordinates of the site: an orthonormal basis, and the code of
/// a residue in it. Other frequencies may lean into the plane; the constant part is its offset.
fn plane(m: &Tensor, door: &Entrance, p: usize, k: usize, first: usize) -> (Vec<Vec<f32>>, Code) {
    let [c, s] = waves(p, k);
    let norm = (2.0 / p as f64).sqrt();
    let (width, cos, sin, centre) = if door.one_hot {
        let place = |w: &[f64]| {
            let mut x = vec![0.0; 2 * p];
            x[first..first + p].copy_from_slice(w);
            x
        };
        (2 * p, place(&c), place(&s), place(&vec![1.0 / p as f64; p]))
    } else {
        let mean = vec![1.0 / p as f64; p];
        (m.shape()[1], along(m, first, &c), along(m, first, &s), along(m, first, &mean))
    };
    let rows = [cos.as_slice(), &sin].concat();
    let basis = linalg::orthonormal_rows(2, width, &rows, 1e-9);
    let coordinate = |q: &[f64], x: &[f64]| linalg::dot(q, x);
    let mut map = [[0.0f32; 2]; 2];
    let mut offset = [0.0f32; 2];
    for (i, q) in basis.chunks(width).enumerate() {
        map[i] = [(norm * coordinate(q, &cos)) as f32, (norm * coordinate(q, &sin)) as f32];
        offset[i] = coordinate(q, &centre) as f32;
    }
    let basis = basis.chunks(width).map(|q| q.iter().map(|&x| x as f32).collect()).collect();
    (basis, Code::Plane { modulus: p as u32, frequency: k as u32, map, offset })
}

/// Amplitude and phase of every frequency in the centred logits as a function of a + b - c.
fn amplitudes(subject: &Subject, clean: &Readout, p: usize) -> Vec<Term> {
    let columns = subject.task.columns.min(p);
    let (mut sums, mut counts) = (vec![0.0; p], vec![0usize; p]);
    for (i, row) in clean.rows.iter().enumerate() {
        let (a, b) = operands(subject, p, i);
        let mean = row[..columns].iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
        for (c, &x) in row[..columns].iter().enumerate() {
            let d = (a + b + p - c) % p;
            sums[d] += f64::from(x) - mean;
            counts[d] += 1;
        }
    }
    let f: Vec<f64> = sums.iter().zip(&counts).map(|(s, &n)| s / n.max(1) as f64).collect();
    (0..=(p - 1) / 2)
        .map(|k| {
            let [c, s] = waves(p, k);
            let norm = (2.0 / p as f64).sqrt();
            let dot = |w: &[f64]| norm * w.iter().zip(&f).map(|(w, f)| w * f).sum::<f64>();
            let (x, y) = (dot(&c), dot(&s));
            Term {
                frequency: k as u32,
                amplitude: (x * x + y * y).sqrt() as f32,
                phase: math::atan2_64(-y, x) as f32,
            }
        })
        .collect()
}

/// (accuracy, cross-entropy, largest change of a logit) of a changed network.
fn effect(subject: &Subject, cut: &Network, clean: &Readout) -> Result<(f64, f64, f64), Error> {
    let runner = Runner::new(cut, &subject.task.inputs, &subject.context)?;
    let now = read(subject, &*runner.logits()?);
    let (accuracy, loss) = now.accuracy_and_loss(subject.task.columns);
    let change = now
        .rows
        .iter()
        .flatten()
        .zip(clean.rows.iter().flatten())
        .map(|(x, y)| f64::from((x - y).abs()))
        .fold(0.0, f64::max);
    Ok((accuracy, loss, change))
}
