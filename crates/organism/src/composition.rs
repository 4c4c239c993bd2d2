//! Composition: through which input of layer 1 does layer 0 reach the answer?
//!
//! *Measures* the accuracy that is left when all edges from heads of layer 0 to the key, query or
//! value inputs of layer 1 carry another run's values (Elhage et al. 2021 name the three paths;
//! Olsson et al. 2022 find induction heads by K-composition; a head that attends to the earlier
//! copy of the present token and one that reads its place by Q-composition is another way).
//! *Intuition*: what a path carries is gone when the path carries another sequence's values.
//! *Source* of the words: thresholds fixed on bred specimens, stated at [`Class`].

use crate::{Error, Parameters, Task};
use flyroom_network::{
    Edge, Intervention, Network, Operation, Receiver, Row, Runner, Sender, TransformerConfig,
};
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A path *carries* the lookup when cutting it takes at least this share of what cutting all
/// three takes.
pub const CARRIES: f64 = 0.5;

/// Cutting all three must take at least this much accuracy, or there is no path.
pub const PATH: f64 = 0.3;

/// The verdict over one network. With drop(x) = clean accuracy - accuracy with x cut (resample):
/// no path if drop(all) < [`PATH`], else every x of key, query, value with
/// drop(x) >= [`CARRIES`] drop(all) carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Only the keys carry.
    Key,
    /// Only the queries carry.
    Query,
    /// Only the values carry.
    Value,
    /// Several carry: cutting either kills.
    Mixed,
    /// None alone carries, all together do: each can stand in for another.
    Redundant,
    /// Cutting everything between the layers changes little, or there is one layer.
    NoPath,
}

/// Accuracy that is left behind a cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Edges into keys cut.
    pub key: f64,
    /// Edges into queries cut.
    pub query: f64,
    /// Edges into values cut.
    pub value: f64,
    /// All of them cut.
    pub all: f64,
}

/// What cutting layer 0 from layer 1 does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// Accuracy uncut.
    pub clean: f64,
    /// Cut edges carry what the corrupted partner's run has there.
    pub resample: Cut,
    /// Cut edges carry the mean per position over the set.
    pub mean: Cut,
    /// The verdict.
    pub class: Class,
}

impl Composition {
    /// The verdict and the accuracies behind it, as they stand among a specimen's numbers.
    pub fn metrics(&self) -> Parameters {
        let cuts = [
            ("cut_key", self.resample.key),
            ("cut_query", self.resample.query),
            ("cut_value", self.resample.value),
            ("cut_all", self.resample.all),
        ];
        let mut out: Parameters = cuts.into_iter().map(|(n, x)| (n.into(), json!(x))).collect();
        out.insert("composition".into(), json!(self.class));
        out
    }
}

/// Accuracy with the edges from one head of layer 0 to one input of one head of layer 1 cut by
/// resampling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadPair {
    /// Which edge.
    pub edge: Edge,
    /// Accuracy that is left.
    pub accuracy: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Reference {
    Resample,
    Mean,
}

/// Classifies a network of one or more layers by cutting layer 0 from layer 1 on the clean inputs
/// of a task with classes.
pub fn composition(network: &Network, task: &Task, cx: &Context) -> Result<Composition, Error> {
    let runner = Runner::new(network, &task.inputs, cx)?;
    let clean = accuracy_of(task, runner.logits()?.data())?;
    let Some([key, query, value]) = paths(network) else {
        let uncut = Cut { key: clean, query: clean, value: clean, all: clean };
        return Ok(Composition { clean, resample: uncut, mean: uncut, class: Class::NoPath });
    };
    let all = [key.as_slice(), &query, &value].concat();
    let cut = |reference| -> Result<Cut, Error> {
        let left = |edges: &[Edge]| accuracy_without(&runner, task, edges, reference);
        Ok(Cut { key: left(&key)?, query: left(&query)?, value: left(&value)?, all: left(&all)? })
    };
    let (resample, mean) = (cut(Reference::Resample)?, cut(Reference::Mean)?);
    Ok(Composition { clean, class: classify(clean, &resample), resample, mean })
}

/// Every edge between a head of layer 0 and an input of a head of layer 1, cut alone.
pub fn head_pairs(network: &Network, task: &Task, cx: &Context) -> Result<Vec<HeadPair>, Error> {
    let runner = Runner::new(network, &task.inputs, cx)?;
    let edges = paths(network).map(|p| p.concat()).unwrap_or_default();
    edges
        .into_iter()
        .map(|edge| {
            let accuracy = accuracy_without(&runner, task, &[edge], Reference::Resample)?;
            Ok(HeadPair { edge, accuracy })
        })
        .collect()
}

fn classify(clean: f64, cut: &Cut) -> Class {
    let drop = clean - cut.all;
    if drop < PATH {
        return Class::NoPath;
    }
    let carries = |left: f64| clean - left >= CARRIES * drop;
    match (carries(cut.key), carries(cut.query), carries(cut.value)) {
        (true, false, false) => Class::Key,
        (false, true, false) => Class::Query,
        (false, false, true) => Class::Value,
        (false, false, false) => Class::Redundant,
        _ => Class::Mixed,
    }
}

/// Edges from layer 0 to the keys, queries and values of layer 1.
fn paths(network: &Network) -> Option<[Vec<Edge>; 3]> {
    let c: &TransformerConfig = network.architecture().transformer()?;
    if c.n_layers < 2 {
        return None;
    }
    let to = |n: usize, receiver: fn(usize, usize) -> Receiver| -> Vec<Edge> {
        (0..c.n_heads)
            .flat_map(|h| {
                (0..n).map(move |g| Edge { from: Sender::Head(0, h), to: receiver(1, g) })
            })
            .collect()
    };
    Some([
        to(c.n_kv_heads, Receiver::Key),
        to(c.n_heads, Receiver::Query),
        to(c.n_kv_heads, Receiver::Value),
    ])
}

fn accuracy_without(
    runner: &Runner,
    task: &Task,
    edges: &[Edge],
    reference: Reference,
) -> Result<f64, Error> {
    let row = |i: usize| {
        let operation = match reference {
            Reference::Resample => Operation::Interchange { input: task.partner[i] },
            Reference::Mean => Operation::Mean,
        };
        Row { input: i, interventions: vec![Intervention::edges(edges.to_vec(), operation)] }
    };
    let rows: Vec<Row> = (0..task.clean).map(row).collect();
    accuracy_of(task, &runner.run(&rows)?.concat())
}

fn accuracy_of(task: &Task, outputs: &[f32]) -> Result<f64, Error> {
    task.accuracy(outputs)
        .ok_or_else(|| Error::Truth("composition wants a task whose answers are classes".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(key: f64, query: f64, value: f64, all: f64) -> Cut {
        Cut { key, query, value, all }
    }

    #[test]
    fn the_words_are_their_thresholds() {
        // induction26 with resampled edges: K .197, Q .985, V .982, all .196 of .982.
        assert_eq!(classify(0.982, &cut(0.197, 0.985, 0.982, 0.196)), Class::Key);
        assert_eq!(classify(0.982, &cut(0.982, 0.197, 0.982, 0.196)), Class::Query);
        assert_eq!(classify(0.982, &cut(0.3, 0.3, 0.982, 0.196)), Class::Mixed);
        assert_eq!(classify(0.982, &cut(0.9, 0.9, 0.982, 0.196)), Class::Redundant);
        assert_eq!(classify(0.2, &cut(0.2, 0.2, 0.2, 0.19)), Class::NoPath);
    }
}
