//! Where each factor is read, and least squares there.

use crate::Error;
use crate::beliefs::{Samples, one_hot, samples};
use flyroom_network::{Inputs, Network, Runner};
use flyroom_organism::{Factor, Process};
use flyroom_tensor::{Context, Stream, linalg};

/// Histories to which read-outs are fitted.
pub(super) const FITTED: usize = 1024;

/// Histories on which they are judged, and between which is exchanged.
pub(super) const TESTED: usize = 1024;

/// Ridge penalty, relative to the mean square of a coordinate.
const RIDGE: f64 = 1e-6;

/// Length, as share of its own, below which what is left of a row counts as rounding error.
pub(super) const DEPENDENT: f64 = 1e-6;

/// Where one factor is read, fitted histories first.
pub(super) struct Places<'a> {
    pub factor: &'a Factor,
    pub asked: bool,
    /// Sample of each place: history * pos + position.
    pub at: Vec<usize>,
    /// How many of them are of fitted histories.
    pub fitted: usize,
    /// Marginal at each place, `[place][value]`.
    pub marginals: Vec<Vec<f64>>,
}

impl Places<'_> {
    /// The same places with marginals that changed places, those of fitted and of tested histories apart.
    pub fn shuffled(&self) -> Places<'_> {
        let mut order: Vec<usize> = (0..self.at.len()).collect();
        let stream = Stream::new(0, "factors/shuffled");
        stream.block(0).shuffle(&mut order[..self.fitted]);
        stream.block(1).shuffle(&mut order[self.fitted..]);
        let marginals = order.into_iter().map(|i| self.marginals[i].clone()).collect();
        Places { marginals, at: self.at.clone(), ..*self }
    }

    /// Mean of the fitted marginals, `[value]`.
    fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.factor.values.len()];
        for m in &self.marginals[..self.fitted] {
            mean.iter_mut().zip(m).for_each(|(s, p)| *s += p / self.fitted as f64);
        }
        mean
    }

    /// Mean square of the tested marginals less the fitted mean, over values too.
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let tested = &self.marginals[self.fitted..];
        let off = |m: &Vec<f64>| -> f64 {
            m.iter().zip(&mean).map(|(p, c)| (p - c) * (p - c)).sum::<f64>() / mean.len() as f64
        };
        tested.iter().map(off).sum::<f64>() / tested.len().max(1) as f64
    }

    pub fn r2(&self, error: f64) -> f64 {
        1.0 - error / self.variance()
    }

    /// Least squares on the fitted places: the mean squared error on the tested ones, and orthonormal rows that span the
    /// directions along which x moves with the marginal.
    pub fn read(&self, x: &Samples) -> Result<(f64, Vec<f64>), Error> {
        let (d, k, n) = (x.width, self.factor.values.len(), self.fitted);
        let row = |i: usize| &x.values[self.at[i] * d..(self.at[i] + 1) * d];
        let mut centre = vec![0.0; d];
        for i in 0..n {
            centre.iter_mut().zip(row(i)).for_each(|(c, v)| *c += v / n as f64);
        }
        let mean = self.mean();
        let (mut xs, mut ys) = (Vec::with_capacity(n * d), Vec::with_capacity(n * k));
        for i in 0..n {
            xs.extend(row(i).iter().zip(&centre).map(|(v, c)| v - c));
            ys.extend(self.marginals[i].iter().zip(&mean).map(|(p, m)| p - m));
        }
        let scale = xs.iter().map(|v| v * v).sum::<f64>() / d as f64;
        let weights = linalg::ridge(n, d, k, &xs, &ys, RIDGE * scale.max(f64::MIN_POSITIVE))?;
        let moves = linalg::product(k, n, d, &linalg::transpose(n, k, &ys), &xs);
        let plane = linalg::orthonormal_rows(k, d, &moves, DEPENDENT);
        let mut error = 0.0;
        for i in n..self.at.len() {
            let mut off: Vec<f64> =
                self.marginals[i].iter().zip(&mean).map(|(p, m)| m - p).collect();
            for ((v, c), w) in row(i).iter().zip(&centre).zip(weights.chunks_exact(k)) {
                off.iter_mut().zip(w).for_each(|(o, w)| *o += (v - c) * w);
            }
            error += off.iter().map(|o| o * o).sum::<f64>();
        }
        Ok((error / ((self.at.len() - n) * k).max(1) as f64, plane))
    }
}

/// Histories, fitted ones first, and what Bayes says behind each token.
pub(super) struct Ground<'a> {
    pub process: &'a Process,
    pub pos: usize,
    pub inputs: Inputs,
    /// `[history][pos][state]`
    pub beliefs: Vec<Vec<Vec<f64>>>,
    pub factors: Vec<Places<'a>>,
}

impl<'a> Ground<'a> {
    pub fn new(process: &'a Process, pos: usize) -> Result<Self, Error> {
        let mut random = Stream::new(0, "factors").block(0);
        let rows: Vec<Vec<u32>> =
            (0..FITTED + TESTED).map(|_| process.draw(pos, &mut random)).collect();
        let beliefs = rows.iter().map(|row| process.beliefs(row)).collect::<Option<Vec<_>>>();
        let beliefs = beliefs.ok_or_else(|| Error::Trial("a history that cannot come".into()))?;
        let one = |factor: &'a Factor| {
            let (mut places, mut anywhere) = (vec![], vec![]);
            for (i, behind) in beliefs.iter().enumerate() {
                for (p, belief) in behind.iter().enumerate() {
                    if let Some(marginal) = factor.marginal(belief) {
                        anywhere.push((i * pos + p, marginal.clone()));
                        if factor.asked(process, belief) {
                            places.push((i * pos + p, marginal));
                        }
                    }
                }
            }
            let asked = !places.is_empty();
            let (at, marginals): (Vec<_>, Vec<_>) =
                if asked { places } else { anywhere }.into_iter().unzip();
            let fitted = at.iter().filter(|&&i: &&usize| i < FITTED * pos).count();
            Places { factor, asked, at, fitted, marginals }
        };
        let factors: Vec<Places> = process.factors().iter().map(one).collect();
        if factors.iter().any(|p| p.fitted == 0 || p.fitted == p.at.len()) {
            return Err(Error::Trial("a factor that means something nowhere".into()));
        }
        Ok(Self { process, pos, inputs: Inputs::tokens(&rows)?, beliefs, factors })
    }

    pub fn activations(
        &self,
        network: &Network,
        sites: &[String],
        cx: &Context,
    ) -> Result<Vec<Samples>, Error> {
        let runner = Runner::new(network, &self.inputs, cx)?;
        sites.iter().map(|site| Ok(samples(runner.clean(site)?.as_ref()))).collect()
    }

    /// How often each token was seen so far.
    pub fn bag(&self) -> Samples {
        let width = self.process.tokens();
        let mut values = vec![];
        for i in 0..self.inputs.len() {
            let mut counts = vec![0.0; width];
            for &token in self.inputs.token_row(i) {
                counts[token as usize] += 1.0;
                values.extend_from_slice(&counts);
            }
        }
        Samples { width, values }
    }

    pub fn history(&self) -> Samples {
        one_hot(&self.inputs, self.process.tokens())
    }

    /// Logits of the last position.
    pub fn last(&self, output: &[f32]) -> Vec<f32> {
        output[(self.pos - 1) * self.process.tokens()..].to_vec()
    }
}
