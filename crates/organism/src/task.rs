//! A task: the inputs on which a specimen is judged, their corrupted partners, and which outputs
//! count.
//!
//! The set holds the clean inputs first and then inputs that serve only as corrupted partners, so
//! that one index names any of them. Means and resampling refer to this set.

use crate::{Error, Parameters};
use flyroom_explanation::Value;
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::{Context, Stream, math};
use serde_json::json;

/// The right answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// A class for each input and position, `[input, pos]`.
    Classes(Vec<u32>),
    /// A vector for each input and position, `[input, pos, d_out]`.
    Values(Vec<f32>),
}

/// How outputs are compared; named on the organism's page before any run.
#[derive(Debug, Clone, PartialEq)]
pub enum Distance {
    /// Squared error of logits centred over the columns that count.
    CentredLogits,
    /// Squared error, each column with a weight.
    Squared {
        /// One weight for each column that counts.
        weights: Vec<f32>,
    },
}

/// An evaluation set.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The domain in words, with its size.
    pub domain: String,
    /// Whether the clean inputs are all inputs of the domain.
    pub exhaustive: bool,
    /// Clean inputs, then partners.
    pub inputs: Inputs,
    /// How many of them are clean.
    pub clean: usize,
    /// Corrupted partner of each clean input, an index into the set.
    pub partner: Vec<usize>,
    /// Whether an output counts, `[input, pos]` over the whole set.
    pub reads: Vec<bool>,
    /// Answers over the whole set.
    pub answers: Answers,
    /// Outputs of the network, all columns.
    pub d_out: usize,
    /// The first so many columns count.
    pub columns: usize,
    /// How outputs are compared.
    pub distance: Distance,
    /// What each token id means; empty for vectors.
    pub vocabulary: Vec<Value>,
    /// Periods of cyclic operands: the modulus where tokens 0..modulus form a cycle.
    pub modulus: Option<usize>,
}

impl Task {
    /// Drawn inputs of one position with an answer `[input, d_out]` of numbers each: all outputs count, with
    /// equal weights, and each input has another one as its partner.
    pub fn of_values(domain: String, inputs: Inputs, answers: Vec<f32>, d_out: usize) -> Self {
        let n = inputs.len();
        Self {
            domain,
            exhaustive: false,
            inputs,
            clean: n,
            partner: other_inputs(n, 0),
            reads: vec![true; n],
            answers: Answers::Values(answers),
            d_out,
            columns: d_out,
            distance: Distance::Squared { weights: vec![1.0; d_out] },
            vocabulary: vec![],
            modulus: None,
        }
    }

    /// Positions of one input.
    pub fn pos(&self) -> usize {
        self.inputs.pos()
    }

    /// The same task on some of its clean inputs; their partners follow them.
    pub fn restricted(&self, inputs: &[usize]) -> Self {
        let n = inputs.len();
        let all: Vec<usize> =
            inputs.iter().copied().chain(inputs.iter().map(|&i| self.partner[i])).collect();
        let pos = self.pos();
        let answers = match &self.answers {
            Answers::Classes(c) => Answers::Classes(gathered(c, pos, &all)),
            Answers::Values(v) => Answers::Values(gathered(v, pos * self.d_out, &all)),
        };
        Self {
            inputs: self.inputs.pick(all.iter().copied()),
            clean: n,
            partner: (0..n).map(|i| n + i).collect(),
            reads: gathered(&self.reads, pos, &all),
            answers,
            exhaustive: false,
            ..self.clone()
        }
    }

    /// Positions of an input whose outputs count.
    pub fn read_positions(&self, input: usize) -> impl Iterator<Item = usize> + '_ {
        let pos = self.pos();
        (0..pos).filter(move |p| self.reads[input * pos + p])
    }

    /// The outputs of one input that count, from all its outputs `[pos, d_out]`, ready for
    /// squared error.
    pub fn reading(&self, input: usize, outputs: &[f32]) -> Vec<f32> {
        let mut counted = vec![];
        for p in self.read_positions(input) {
            counted.extend_from_slice(&outputs[p * self.d_out..p * self.d_out + self.columns]);
        }
        self.comparable(counted)
    }

    /// Outputs that count, `[positions that count, columns]`, as the distance compares them:
    /// centred, or scaled by the roots of its weights.
    pub fn comparable(&self, mut counted: Vec<f32>) -> Vec<f32> {
        for row in counted.chunks_exact_mut(self.columns.max(1)) {
            match &self.distance {
                Distance::CentredLogits => {
                    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
                    row.iter_mut().for_each(|x| *x = (f64::from(*x) - mean) as f32);
                }
                Distance::Squared { weights } => {
                    row.iter_mut().zip(weights).for_each(|(x, w)| *x *= w.sqrt());
                }
            }
        }
        counted
    }

    /// The direction of the circuit metric for a clean input, `[pos, d_out]`: 1 on the right
    /// answer and -1 on the partner's at every position that counts and where they differ; for
    /// vectors the scaled difference, so that the metric is 1 apart between the two answers.
    pub fn direction(&self, input: usize) -> Vec<f32> {
        let (pos, d) = (self.pos(), self.d_out);
        let partner = self.partner[input];
        let mut out = vec![0.0; pos * d];
        match &self.answers {
            Answers::Classes(classes) => {
                for p in self.read_positions(input) {
                    let (a, b) = (classes[input * pos + p], classes[partner * pos + p]);
                    if a != b && (a as usize) < d && (b as usize) < d {
                        out[p * d + a as usize] += 1.0;
                        out[p * d + b as usize] -= 1.0;
                    }
                }
            }
            Answers::Values(values) => {
                for p in self.read_positions(input) {
                    for c in 0..self.columns {
                        let at = |i: usize| values[(i * pos + p) * d + c];
                        out[p * d + c] = at(input) - at(partner);
                    }
                }
                let norm: f32 = out.iter().map(|x| x * x).sum();
                if norm > 0.0 {
                    out.iter_mut().for_each(|x| *x /= norm);
                }
            }
        }
        out
    }

    /// Share of counted outputs of the clean inputs whose largest column is the answer; `None`
    /// for tasks of vectors. `outputs` are those of the whole set, `[input, pos, d_out]`.
    pub fn accuracy(&self, outputs: &[f32]) -> Option<f64> {
        let Answers::Classes(classes) = &self.answers else { return None };
        let (pos, d) = (self.pos(), self.d_out);
        let (mut right, mut all) = (0usize, 0usize);
        for i in 0..self.clean {
            for p in self.read_positions(i) {
                let at = (i * pos + p) * d;
                let row = &outputs[at..at + self.columns];
                let best = (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
                right += usize::from(best as u32 == classes[i * pos + p]);
                all += 1;
            }
        }
        Some(right as f64 / all.max(1) as f64)
    }
}

/// Blocks of one width, one for each index.
fn gathered<T: Copy>(from: &[T], width: usize, indices: &[usize]) -> Vec<T> {
    indices.iter().flat_map(|&i| from[i * width..(i + 1) * width].iter().copied()).collect()
}

/// For each of `n` inputs another one, drawn uniformly; set `s` of an organism draws its own.
pub(crate) fn other_inputs(n: usize, s: u64) -> Vec<usize> {
    let mut draw = Stream::new(0, "partners").block(s);
    (0..n)
        .map(|i| match n {
            0 | 1 => i,
            _ => (i + 1 + draw.below(n as u64 - 1) as usize) % n,
        })
        .collect()
}

/// Accuracy and mean cross-entropy (nats) over the columns that count, on the clean inputs.
pub(crate) fn accuracy_and_loss(
    task: &Task,
    network: &Network,
    cx: &Context,
) -> Result<Parameters, Error> {
    let runner = Runner::new(network, &task.inputs, cx)?;
    let logits = runner.logits()?;
    let Answers::Classes(classes) = &task.answers else { return Ok(Parameters::new()) };
    let (pos, d) = (task.pos(), task.d_out);
    let (mut sum, mut n) = (0f64, 0usize);
    for i in 0..task.clean {
        for p in task.read_positions(i) {
            let at = (i * pos + p) * d;
            let row: Vec<f64> =
                logits.data()[at..at + task.columns].iter().map(|&x| f64::from(x)).collect();
            sum += cross_entropy(&row, classes[i * pos + p] as usize);
            n += 1;
        }
    }
    let mut out = Parameters::new();
    out.insert("accuracy".into(), json!(task.accuracy(logits.data())));
    out.insert("loss".into(), json!(sum / n.max(1) as f64));
    Ok(out)
}

/// Cross-entropy in nats of a row of logits against a class.
pub(crate) fn cross_entropy(row: &[f64], class: usize) -> f64 {
    let top = row.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = row.iter().map(|x| math::exp64(x - top)).sum();
    math::ln64(total) + top - row[class]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_inputs_with_numbers_for_answers_have_other_inputs_as_partners() {
        let values: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let inputs = Inputs::vectors(3, values.clone()).unwrap();
        let task = Task::of_values("four".into(), inputs, values, 3);
        assert_eq!((task.clean, task.pos(), task.columns), (4, 1, 3));
        assert!(task.partner.iter().enumerate().all(|(i, &p)| p != i && p < 4), "{task:?}");
        assert_eq!(task.reading(1, &[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }
}
