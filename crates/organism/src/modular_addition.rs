//! Addition modulo p: the task, and the organism of public networks that learned it.
//!
//! A network reads a and b, then `=` where its vocabulary has one, and answers a + b mod p at the
//! last position. All p^2 pairs are its inputs. Trained networks put the numbers on a few circles
//! (Nanda et al. 2023, "Progress measures for grokking"); which circles a specimen uses is a
//! claim on trial, so the truth of an imported one is empty and contested.

use crate::import::not_bred;
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task,
    defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// All pairs of a task of addition modulo `p`; with `equals`, token p stands behind them.
/// `columns` of `d_out` logits count.
pub(crate) fn all_pairs(p: usize, equals: bool, d_out: usize) -> Result<Task, Error> {
    let mut rows = Vec::with_capacity(p * p);
    let mut sums = Vec::with_capacity(p * p);
    for a in 0..p {
        for b in 0..p {
            let mut row = vec![a as u32, b as u32];
            row.extend(equals.then_some(p as u32));
            rows.push(row);
            sums.push(((a + b) % p) as u32);
        }
    }
    let pos = 2 + usize::from(equals);
    let last = |i: usize| i % pos == pos - 1;
    let mut vocabulary: Vec<Value> = (0..p as i64).map(Value::Int).collect();
    vocabulary.extend(equals.then(|| Value::token("=")));
    Ok(Task {
        domain: format!("all {} pairs (a, b) modulo {p}", p * p),
        exhaustive: true,
        clean: rows.len(),
        partner: other_inputs(rows.len(), 0),
        reads: (0..rows.len() * pos).map(last).collect(),
        answers: Answers::Classes(
            (0..rows.len() * pos).map(|i| if last(i) { sums[i / pos] } else { 0 }).collect(),
        ),
        inputs: Inputs::tokens(&rows)?,
        d_out,
        columns: p,
        distance: Distance::CentredLogits,
        vocabulary,
        modulus: Some(p),
    })
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
            let top = row.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = row.iter().map(|x| flyroom_tensor::math::exp64(x - top)).sum();
            sum += flyroom_tensor::math::ln64(total) + top - row[classes[i * pos + p] as usize];
            n += 1;
        }
    }
    let mut out = Parameters::new();
    out.insert("accuracy".into(), json!(task.accuracy(logits.data())));
    out.insert("loss".into(), json!(sum / n.max(1) as f64));
    Ok(out)
}

/// Networks with the vocabulary 0..p and `=`.
#[derive(Debug)]
pub struct ModAdd113;

const NAME: &str = "modadd113";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// p.
    pub modulus: usize,
    /// blake3 of the weights: which network this is.
    pub weights: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { modulus: 113, weights: String::new() }
    }
}

impl Organism for ModAdd113 {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A public 1-layer transformer that adds modulo 113, imported.",
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            cost: "imported",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(NAME, "modadd113"))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let s: Settings = typed(NAME, parameters)?;
        if let Some(n) = length.filter(|&n| n != 3) {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!("inputs are a, b, =, so they have 3 tokens, not {n}"),
            });
        }
        if !(2..=1024).contains(&s.modulus) {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!("modulus {} is not in 2..=1024", s.modulus),
            });
        }
        all_pairs(s.modulus, true, s.modulus + 1)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        accuracy_and_loss(&self.task(parameters, None)?, network, cx)
    }
}
