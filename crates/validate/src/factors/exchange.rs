//! Exchanging the plane of one factor between histories.

use super::ExchangedFactor;
use super::places::{DEPENDENT, FITTED, Ground, TESTED};
use crate::Error;
use crate::beliefs::rows;
use crate::reconstruction::log_softmax;
use flyroom_network::{Intervention, Network, Operation, Row, Runner, Selector};
use flyroom_organism::{Factor, divergence};
use flyroom_tensor::{Context, Stream, linalg, math};
use std::cell::Cell;

/// Random planes behind the null of an exchange.
const DRAWS: u64 = 4;

/// Total variation between two distributions.
fn variation(p: &[f64], q: &[f64]) -> f64 {
    0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

fn chances(logits: &[f32]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(math::exp64).collect()
}

/// Exchanges between tested histories at their last position.
pub(super) struct Exchange<'a> {
    ground: &'a Ground<'a>,
    runner: Runner<'a>,
    site: &'a str,
    clean: Vec<Vec<f32>>,
    pub runs: Cell<usize>,
}

impl<'a> Exchange<'a> {
    pub fn new(
        ground: &'a Ground<'a>,
        network: &'a Network,
        site: &'a str,
        cx: &'a Context,
    ) -> Result<Self, Error> {
        let runner = Runner::new(network, &ground.inputs, cx)?;
        let logits = runner.logits()?;
        let clean = (0..TESTED).map(|i| ground.last(logits.row(FITTED + i))).collect();
        Ok(Self { ground, runner, site, clean, runs: 0.into() })
    }

    fn belief(&self, i: usize) -> &[f64] {
        &self.ground.beliefs[FITTED + i][self.ground.pos - 1]
    }

    /// Tested histories that end where a factor is asked.
    fn asked(&self, factor: &Factor) -> Vec<usize> {
        (0..TESTED).filter(|&i| factor.asked(self.ground.process, self.belief(i))).collect()
    }

    /// Predictions when a plane is that of a donor, for each (base, donor).
    fn run(&self, pairs: &[(usize, usize)], plane: &[f64]) -> Result<Vec<Vec<f32>>, Error> {
        let d = self.runner.clean(self.site)?.shape().last().copied().unwrap_or(1);
        let selector =
            Selector::site(self.site).at_pos(self.ground.pos - 1).in_basis(rows(plane, d));
        let row = |&(input, donor): &(usize, usize)| {
            let operation = Operation::Interchange { input: FITTED + donor };
            Row {
                input: FITTED + input,
                interventions: vec![Intervention::site(selector.clone(), operation)],
            }
        };
        let outputs = self.runner.run(&pairs.iter().map(row).collect::<Vec<_>>())?;
        self.runs.set(self.runs.get() + pairs.len());
        Ok(outputs.iter().map(|y| self.ground.last(y)).collect())
    }

    /// Each history of a list with the one behind it.
    fn ring(list: &[usize]) -> Vec<(usize, usize)> {
        (0..list.len()).map(|i| (list[i], list[(i + 1) % list.len()])).collect()
    }

    /// P(next) of a base whose marginal of `factor` is the donor's of `source`.
    fn wanted(&self, (base, donor): (usize, usize), factor: &Factor, source: &Factor) -> Vec<f64> {
        let belief = self.belief(base);
        let marginal = source.marginal(self.belief(donor));
        let marginal = marginal.or_else(|| factor.marginal(belief)).unwrap_or_default();
        self.ground.process.next(&factor.replaced(belief, &marginal))
    }

    /// Share of the way to what it would be if the plane were that of `factor`, with the donor's marginal of `source`.
    pub fn moved(&self, factor: &Factor, source: &Factor, plane: &[f64]) -> Result<f64, Error> {
        let pairs = Self::ring(&self.asked(factor));
        let outputs = self.run(&pairs, plane)?;
        let (mut before, mut after) = (0.0, 0.0);
        for (pair, y) in pairs.iter().zip(&outputs) {
            let wanted = self.wanted(*pair, factor, source);
            before += divergence(&wanted, &self.clean[pair.0]);
            after += divergence(&wanted, y);
        }
        Ok(1.0 - after / before)
    }

    pub fn factor(&self, factor: &Factor, plane: &[f64]) -> Result<ExchangedFactor, Error> {
        let d = self.runner.clean(self.site)?.shape().last().copied().unwrap_or(1);
        let dims = plane.len() / d;
        let mut random = 0.0;
        for draw in 0..DRAWS {
            let mut g = Stream::new(0, &format!("factors/{}", factor.name)).block(draw);
            let normals: Vec<f64> = (0..plane.len()).map(|_| g.normal64()).collect();
            let other = linalg::orthonormal_rows(dims, d, &normals, DEPENDENT);
            random += self.moved(factor, factor, &other)? / DRAWS as f64;
        }
        let asked = self.asked(factor);
        let pairs = Self::ring(&asked);
        let due = |pair: &(usize, usize)| {
            let next = self.ground.process.next(self.belief(pair.0));
            variation(&self.wanted(*pair, factor, factor), &next)
        };
        let others: Vec<(usize, usize)> = (0..TESTED)
            .filter(|&i| {
                let belief = self.belief(i);
                let mut all = self.ground.process.factors().iter();
                !factor.asked(self.ground.process, belief)
                    && all.any(|f| f.asked(self.ground.process, belief))
            })
            .zip(asked.iter().copied().cycle())
            .collect();
        let elsewhere: f64 = self
            .run(&others, plane)?
            .iter()
            .zip(&others)
            .map(|(y, (base, _))| variation(&chances(&self.clean[*base]), &chances(y)))
            .sum();
        Ok(ExchangedFactor {
            name: factor.name.clone(),
            dims,
            pairs: pairs.len(),
            due: pairs.iter().map(due).sum::<f64>() / pairs.len().max(1) as f64,
            moved: self.moved(factor, factor, plane)?,
            random,
            elsewhere: elsewhere / others.len().max(1) as f64,
        })
    }
}
