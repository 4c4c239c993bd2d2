//! The metric of circuits, and runs in which edges are patched.
//!
//! m of an input is its logits along the task's direction (right answer minus the corrupted
//! partner's), averaged over the inputs on which the two answers differ. m(N) is the whole
//! network, m(0) the network with every edge corrupted.

use crate::Error;
use flyroom_network::{Edge, EdgeTable, Intervention, Operation, Row};
use flyroom_organism::Subject;
use std::collections::BTreeMap;

/// Edges of the rows that are run at once.
const MOST_EDGES: usize = 1 << 18;

/// What removed edges carry instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// Zeros.
    Zero,
    /// The mean per position over the task's inputs.
    Mean,
    /// The run on the corrupted partner.
    Resample,
}

/// The metric on a fixed sample of pairs (input, partner).
pub struct CircuitMetric<'s, 'a> {
    subject: &'s Subject<'a>,
    table: EdgeTable,
    /// (input, partner), those whose answers differ.
    pub pairs: Vec<(usize, usize)>,
    /// The direction of each pair, concatenated, `[pair, pos, d_out]`.
    pub direction: Vec<f32>,
    size: usize,
}

impl<'s, 'a> CircuitMetric<'s, 'a> {
    /// Takes up to `count` clean inputs, spread evenly, whose partner has another answer.
    pub fn new(
        subject: &'s Subject<'a>,
        count: usize,
        method: &'static str,
    ) -> Result<Self, Error> {
        let table = subject.runner.edges().cloned().ok_or(Error::NotApplicable {
            method,
            why: "edges exist in transformers only".into(),
        })?;
        let task = subject.task;
        let size = task.pos() * task.d_out;
        let (mut pairs, mut direction) = (vec![], vec![]);
        for i in spread(task.clean) {
            if pairs.len() == count {
                break;
            }
            let d = task.direction(i);
            if d.iter().any(|&x| x != 0.0) {
                pairs.push((i, task.partner[i]));
                direction.extend(d);
            }
        }
        if pairs.is_empty() {
            let why = "no corrupted partner changes the answer".into();
            return Err(Error::NotApplicable { method, why });
        }
        Ok(Self { subject, table, pairs, direction, size })
    }

    /// The edges.
    pub fn table(&self) -> &EdgeTable {
        &self.table
    }

    /// The subject.
    pub fn subject(&self) -> &'s Subject<'a> {
        self.subject
    }

    /// m of each pair with some edges patched to the reference.
    pub fn each(&self, patched: &[Edge], reference: Reference) -> Result<Vec<f64>, Error> {
        Ok(self.many(&[patched.to_vec()], reference)?.concat())
    }

    /// m of each pair for each of many sets of patched edges. Equal sets run once.
    pub fn many(&self, sets: &[Vec<Edge>], reference: Reference) -> Result<Vec<Vec<f64>>, Error> {
        let mut distinct: Vec<&[Edge]> = vec![];
        let mut index: BTreeMap<&[Edge], usize> = BTreeMap::new();
        let of_set: Vec<usize> = sets
            .iter()
            .map(|set| {
                *index.entry(set).or_insert_with(|| {
                    distinct.push(set);
                    distinct.len() - 1
                })
            })
            .collect();
        let mut out = vec![vec![0.0; self.pairs.len()]; distinct.len()];
        let mut first = 0;
        while first < distinct.len() {
            // Bounded memory: rows with so many edges at a time.
            let mut room = MOST_EDGES / self.pairs.len();
            let fits = |set: &&&[Edge]| {
                let enough = room > 0;
                room = room.saturating_sub(set.len() + 1);
                enough
            };
            let sets = distinct[first..].iter().take_while(fits).count().max(1);
            self.patched(&distinct[first..first + sets], reference, &mut out[first..first + sets])?;
            first += sets;
        }
        Ok(of_set.into_iter().map(|i| out[i].clone()).collect())
    }

    /// m of each pair for each of some sets of patched edges.
    fn patched(
        &self,
        sets: &[&[Edge]],
        reference: Reference,
        out: &mut [Vec<f64>],
    ) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(sets.len() * self.pairs.len());
        for set in sets {
            for &(input, partner) in &self.pairs {
                let operation = match reference {
                    Reference::Zero => Operation::Zero,
                    Reference::Mean => Operation::Mean,
                    Reference::Resample => Operation::Interchange { input: partner },
                };
                let interventions = if set.is_empty() {
                    vec![]
                } else {
                    vec![Intervention::edges(set.to_vec(), operation)]
                };
                rows.push(Row { input, interventions });
            }
        }
        // What m reads of each output.
        let read = |d: &[f32]| {
            let weights = d.iter().map(|&d| f64::from(d)).enumerate();
            weights.filter(|&(_, d)| d != 0.0).collect::<Vec<_>>()
        };
        let read: Vec<_> = self.direction.chunks(self.size).map(read).collect();
        self.subject.runner.run_each(&rows, "hook_logits", &mut |row, y| {
            let (set, pair) = (row / self.pairs.len(), row % self.pairs.len());
            out[set][pair] = read[pair].iter().map(|&(i, d)| f64::from(y[i]) * d).sum();
        })?;
        Ok(())
    }

    /// Mean m with all edges but those of a circuit patched.
    pub fn circuit(&self, kept: &[Edge], reference: Reference) -> Result<f64, Error> {
        Ok(mean(&self.each(&self.complement(kept), reference)?))
    }

    /// All edges that are not in a set.
    pub fn complement(&self, kept: &[Edge]) -> Vec<Edge> {
        self.table.edges.iter().copied().filter(|e| !kept.contains(e)).collect()
    }

    /// (m(N), m(0)).
    pub fn ends(&self, reference: Reference) -> Result<(f64, f64), Error> {
        let m = self.many(&[vec![], self.table.edges.clone()], reference)?;
        Ok((mean(&m[0]), mean(&m[1])))
    }
}

/// Arithmetic mean, 0 of nothing.
pub fn mean(x: &[f64]) -> f64 {
    if x.is_empty() { 0.0 } else { x.iter().sum::<f64>() / x.len() as f64 }
}

/// 0..n, each once, in an order whose every beginning is spread over the whole: steps of a stride
/// that is coprime to n.
pub(crate) fn spread(n: usize) -> impl Iterator<Item = usize> {
    let stride = (1..).map(|i| n * 5 / 8 + i).find(|&s| gcd(s, n) == 1).unwrap_or(1);
    (0..n).map(move |i| i * stride % n)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
