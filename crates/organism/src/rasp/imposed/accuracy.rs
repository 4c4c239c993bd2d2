//! How well a network does what was imposed: interchange accuracy, alone and strict (METRICS: causal
//! variables).

use super::plan::{Component, Known, Plan, Taken};
use crate::Error;
use flyroom_explanation::Code;
use flyroom_network::{Intervention, Network, Operation, Row, Runner};
use flyroom_tensor::{Context, Stream};

/// Pairs on which interchange accuracy is measured, for each component.
const MEASURED: usize = 256;

/// Shares of outputs that are as the program says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interchanged {
    /// Outputs that the exchange changes in the program, and those of them that come out right.
    pub(super) moved: [usize; 2],
    /// Outputs that it leaves as they are.
    pub(super) kept: [usize; 2],
}

impl Interchanged {
    fn count(&mut self, moves: bool, right: bool) {
        let of = if moves { &mut self.moved } else { &mut self.kept };
        of[0] += 1;
        of[1] += usize::from(right);
    }

    pub(super) fn share([all, right]: [usize; 2]) -> f64 {
        right as f64 / all.max(1) as f64
    }
}

impl Plan {
    /// Interchange accuracy at the full length on drawn pairs: alone, with all components without
    /// a variable resampled (strict), and with these alone.
    pub(super) fn interchanged(
        &self,
        network: &Network,
        cx: &Context,
    ) -> Result<[Interchanged; 3], Error> {
        let known = self.known()?;
        let Some(Known { task, traces }) = known.last() else {
            return Ok([Interchanged::default(); 3]);
        };
        let d = self.labelled.readout.dims();
        let numbers = self.numbers(&known);
        let runner = Runner::new(network, &task.inputs, cx)?;
        let mut random = Stream::new(0, "iit/pairs").block(0);
        let mut out = [Interchanged::default(); 3];
        let outside = |source: usize| {
            let spare = self.components.iter().filter(|c| c.variable.is_none());
            spare.filter_map(Component::written).map(move |selector| {
                Intervention::site(selector, Operation::Interchange { input: source })
            })
        };
        for owner in self.owners() {
            let component = &self.components[owner];
            let Some(at) = component.written() else { continue };
            let mut rows = vec![];
            let mut wanted = vec![];
            for k in 0..MEASURED {
                let mut pick = || random.below(task.clean as u64) as usize;
                let (base, source, third) = (pick(), pick(), pick());
                let positions: Vec<bool> =
                    (1..task.pos()).map(|_| k % 2 == 0 || random.bernoulli(0.5)).collect();
                let exchange: Vec<Intervention> = (1..task.pos())
                    .filter(|p| positions[p - 1])
                    .map(|p| {
                        let operation = Operation::Interchange { input: source };
                        Intervention::site(at.clone().at_pos(p), operation)
                    })
                    .collect();
                let tokens = self.labelled.values(&task.inputs.token_row(base)[1..]);
                let taken: Vec<Taken> = (0..task.pos() - 1)
                    .filter(|&index| positions[index])
                    .map(|index| Taken { component: owner, index, from: &traces[source] })
                    .collect();
                let then = self.counterfactual(&tokens, &taken)?;
                let (clean, then) = (self.wanted(&traces[base]), self.wanted(&then));
                let strict = exchange.iter().cloned().chain(outside(third)).collect();
                rows.extend([
                    Row { input: base, interventions: exchange },
                    Row { input: base, interventions: strict },
                    Row { input: base, interventions: outside(third).collect() },
                ]);
                wanted.push((clean, then));
            }
            let got = runner.run(&rows)?;
            for (i, y) in got.iter().enumerate() {
                let (clean, then) = &wanted[i / 3];
                let expected = if i % 3 == 2 { clean } else { then };
                for p in (1..task.pos()).filter(|&p| clean.reads[p] && then.reads[p]) {
                    let at = p * d..(p + 1) * d;
                    let moves = clean.values[at.clone()] != then.values[at.clone()];
                    let right = self.says(&numbers, &y[at.clone()], &expected.values[at]);
                    out[i % 3].count(moves && i % 3 != 2, right);
                }
            }
        }
        Ok(out)
    }

    /// Numbers that the program gives, if it gives numbers.
    fn numbers(&self, known: &[Known]) -> Vec<f32> {
        let mut all: Vec<f32> = known
            .iter()
            .flat_map(|k| &k.traces)
            .flat_map(|t| {
                let w = self.wanted(t);
                w.values.into_iter().zip(w.reads).filter(|(_, r)| *r).map(|(v, _)| v)
            })
            .collect();
        all.sort_by(f32::total_cmp);
        all.dedup();
        all
    }

    /// Share of outputs on all inputs of all lengths that say what the program says.
    pub(super) fn accuracy(&self, network: &Network, cx: &Context) -> Result<(f64, usize), Error> {
        let known = self.known()?;
        let numbers = self.numbers(&known);
        let d = self.labelled.readout.dims();
        let (mut right, mut all, mut inputs) = (0usize, 0usize, 0usize);
        for Known { task, traces } in &known {
            let runner = Runner::new(network, &task.inputs, cx)?;
            let logits = runner.logits()?;
            inputs += task.clean;
            for (i, trace) in traces.iter().enumerate() {
                let wanted = self.wanted(trace);
                for p in (0..task.pos()).filter(|&p| wanted.reads[p]) {
                    let at = (i * task.pos() + p) * d;
                    let own = &wanted.values[p * d..(p + 1) * d];
                    right += usize::from(self.says(&numbers, &logits.data()[at..at + d], own));
                    all += 1;
                }
            }
        }
        Ok((right as f64 / all.max(1) as f64, inputs))
    }

    /// Whether a row of outputs says what is wanted: the largest column, or of numbers the nearest
    /// that the program gives anywhere.
    fn says(&self, numbers: &[f32], got: &[f32], wanted: &[f32]) -> bool {
        if let Code::Scalar { .. } = self.labelled.readout {
            let off = |v: f32| (v - got[0]).abs();
            return numbers.iter().all(|&v| v == wanted[0] || off(wanted[0]) < off(v));
        }
        let best = (0..got.len()).fold(0, |b, k| if got[k] > got[b] { k } else { b });
        wanted[best] == 1.0
    }
}
