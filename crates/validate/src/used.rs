//! Is what a dictionary reads also used? (`used`)
//!
//! *Measures*, for every variable of the true program that is written at the dictionary's site: how
//! well a linear read-out of the latents tells its value on inputs that it was not fitted to, and how
//! far the outputs move when what the read-out reads, and nothing else, is exchanged with the corrupted
//! partner's. *Intuition*: a probe finds what is there; only an intervention tells whether anything
//! behind it looks (Elazar et al. 2021, "Amnesic probing"; Belinkov 2022, "Probing classifiers").
//!
//! With latents z, a read-out W \[latent, value\] fitted by least squares to one-hot values, and Q an
//! orthonormal basis of the columns of W, the site x becomes x + (z' - z) Q Q^T D, z' being the
//! partner's latents and D the decoder: behind it the read-out reads the partner's value. The effect
//! is the sum over inputs of D(y', y), as share of what exchanging the whole site moves.
//!
//! *Score*: mean effect over the variables that are read ([`READ`]). *Null*: exchanging random
//! subspaces of the latents of the same dimensions. *Oracle*: the mean effect of exchanging the true
//! directions of the variables that are used ([`USED`]). A method that takes what it can read for
//! what counts falls short of it by what it reads in vain.

use crate::Error;
use crate::audit::wanted::Wanted;
use flyroom_decompose::{Dictionary, Normalize, collect, positions};
use flyroom_explanation::{Body, Part, Value};
use flyroom_network::{Axis, Intervention, Operation, Row, Selector};
use flyroom_organism::{Subject, Truth, stream_depth};
use flyroom_tensor::{Stream, Tensor, linalg};
use serde::{Deserialize, Serialize};

/// Balanced accuracy from which on a variable is read.
pub const READ: f64 = 0.9;

/// Share of the whole site's effect from which on a variable is used.
pub const USED: f64 = 0.01;

/// Inputs on which things are exchanged, at most.
const INPUTS: usize = 64;

/// Random subspaces behind the null of each variable.
const DRAWS: u64 = 4;

/// Values of a variable that are told apart, at most.
const VALUES: usize = 64;

/// Ridge penalty, relative to the mean square of a latent: the one-hots of a program lie on a plane,
/// where least squares alone has no single answer.
const RIDGE: f64 = 1e-6;

/// What became of one variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableUse {
    /// The variable.
    pub variable: String,
    /// Balanced accuracy of the read-out on the inputs that it was not fitted to.
    pub read: f64,
    /// The same with the values in another order: what a read-out of these latents reaches where
    /// there is nothing to read.
    pub permuted: f64,
    /// Effect of exchanging what is read, as share of the whole site's.
    pub effect: f64,
    /// Effect of exchanging random subspaces of the same dimension.
    pub random: f64,
    /// Effect of exchanging the true directions.
    pub truth: f64,
}

/// How far what is read is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedScore {
    /// Every variable that is written at the site.
    pub variables: Vec<VariableUse>,
    /// Mean effect of those that are read; 0 where none is.
    pub used: f64,
    /// Mean effect of random subspaces in their place, or in that of all where none is read.
    pub null: f64,
    /// Mean effect of the true directions of those that are used.
    pub oracle: f64,
}

/// The site, its latents, and what is exchanged.
struct Ground<'s, 'a> {
    subject: &'s Subject<'a>,
    site: String,
    places: Vec<usize>,
    /// `[sample, unit]` and `[sample, latent]`, samples in order of (input, place).
    x: Tensor,
    z: Tensor,
    inputs: Vec<usize>,
    whole: f64,
}

/// Scores a dictionary; the error says why it cannot be asked.
pub fn used(
    subject: &Subject,
    dictionary: &Dictionary,
    truth: &Truth,
    seed: u64,
) -> Result<Result<UsedScore, &'static str>, Error> {
    let Some(e) = truth.explanation.as_ref().filter(|e| matches!(e.body, Body::Rasp { .. })) else {
        return Ok(Err("no program is known"));
    };
    let site = subject.runner.site(&dictionary.site)?;
    let single = site.axis_len(Axis::Head).is_none() && site.axis_len(Axis::Pos).is_some();
    if !single || dictionary.normalize != Normalize::None {
        return Ok(Err("its latents are not those of one vector at each position, as it is"));
    }
    let here = |p: &&Part| {
        p.alignments.first().is_some_and(|a| {
            let depth = |site: &str| stream_depth(site);
            a.selector.site == dictionary.site
                || (depth(&a.selector.site).is_some()
                    && depth(&a.selector.site) == depth(&dictionary.site))
        })
    };
    let parts: Vec<&Part> = e.parts.iter().filter(here).collect();
    let Some(wanted) = Wanted::new(e, subject.task)?.filter(|_| !parts.is_empty()) else {
        return Ok(Err("no variable of the program is written here"));
    };
    let Some(ground) = Ground::new(subject, dictionary)? else {
        return Ok(Err("exchanging the whole site moves no output"));
    };
    let mut variables = vec![];
    for part in parts {
        variables.extend(ground.variable(part, &wanted, dictionary, seed)?);
    }
    let mean = |all: Vec<f64>| all.iter().fold(0.0, |sum, x| sum + x) / all.len().max(1) as f64;
    let read: Vec<&VariableUse> = variables.iter().filter(|v| v.read >= READ).collect();
    let in_use: Vec<f64> = variables.iter().map(|v| v.truth).filter(|t| *t >= USED).collect();
    if in_use.is_empty() {
        return Ok(Err("nothing that is written here is used"));
    }
    let used = mean(read.iter().map(|v| v.effect).collect());
    let asked = if read.is_empty() { variables.iter().collect() } else { read };
    Ok(Ok(UsedScore {
        used,
        null: mean(asked.iter().map(|v| v.random).collect()),
        oracle: mean(in_use),
        variables,
    }))
}

impl<'s, 'a> Ground<'s, 'a> {
    fn new(subject: &'s Subject<'a>, dictionary: &Dictionary) -> Result<Option<Self>, Error> {
        let site = dictionary.site.clone();
        let places = positions(subject, &site)?;
        let x = collect(subject, &site)?.activations;
        let z = dictionary.encode(&x, &subject.context)?;
        let step = subject.task.clean.div_ceil(INPUTS).max(1);
        // A partner behind the clean inputs has no sample here.
        let known = |i: &usize| subject.task.partner[*i] < subject.task.clean;
        let inputs = (0..subject.task.clean).step_by(step).filter(known).collect();
        let mut out = Self { subject, site, places, x, z, inputs, whole: 0.0 };
        out.whole = out.moved(&|input, _, place| {
            let partner = subject.task.partner[input];
            Intervention::site(
                Selector::site(&out.site).at_pos(place),
                Operation::Interchange { input: partner },
            )
        })?;
        Ok((out.whole > 1e-9).then_some(out))
    }

    /// Sum over the inputs of D(y', y), with one intervention at every place.
    fn moved(&self, at: &dyn Fn(usize, usize, usize) -> Intervention) -> Result<f64, Error> {
        let row = |&input: &usize| {
            let each = self.places.iter().enumerate().map(|(k, &p)| at(input, k, p));
            Row { input, interventions: each.collect() }
        };
        let rows: Vec<Row> = self.inputs.iter().map(row).collect();
        let clean = self.subject.runner.logits()?;
        let outputs = self.subject.runner.run(&rows)?;
        let mut sum = 0.0;
        for (row, y) in rows.iter().zip(&outputs) {
            let before = self.subject.task.reading(row.input, clean.row(row.input));
            let after = self.subject.task.reading(row.input, y);
            sum += before.iter().zip(&after).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
        Ok(sum)
    }

    /// Effect of exchanging the latents' coordinates in a subspace, orthonormal rows `[n, latent]`.
    fn exchanged(&self, dictionary: &Dictionary, basis: &[f64]) -> Result<f64, Error> {
        let m = self.z.shape()[1];
        let moved = self.moved(&|input, k, place| {
            let sample = |input: usize| input * self.places.len() + k;
            let (own, other) = (sample(input), sample(self.subject.task.partner[input]));
            let change: Vec<f64> = self
                .z
                .row(own)
                .iter()
                .zip(self.z.row(other))
                .map(|(a, b)| f64::from(*b) - f64::from(*a))
                .collect();
            let mut x: Vec<f64> = self.x.row(own).iter().map(|x| f64::from(*x)).collect();
            for q in basis.chunks_exact(m) {
                let along = linalg::dot(q, &change);
                for (latent, q) in q.iter().enumerate().filter(|(_, q)| **q != 0.0) {
                    let write = dictionary.direction(latent);
                    x.iter_mut().zip(write).for_each(|(x, d)| *x += along * q * f64::from(*d));
                }
            }
            let values = x.into_iter().map(|x| x as f32).collect();
            let selector = Selector::site(&self.site).at_pos(place);
            Intervention::site(selector, Operation::Set { values })
        })?;
        Ok(moved / self.whole)
    }

    /// One variable; `None` where it has no two values here that can be told apart.
    fn variable(
        &self,
        part: &Part,
        wanted: &Wanted,
        dictionary: &Dictionary,
        seed: u64,
    ) -> Result<Option<VariableUse>, Error> {
        let n = self.places.len();
        let mut samples: Vec<(usize, Value)> = vec![];
        for input in 0..self.subject.task.clean {
            for (k, &place) in self.places.iter().enumerate() {
                match wanted.value(part, input, place) {
                    None | Some(Value::Unknown | Value::Mixture(_)) => {}
                    Some(value) => samples.push((input * n + k, value)),
                }
            }
        }
        let mut values: Vec<&Value> = samples.iter().map(|s| &s.1).collect();
        values.sort();
        values.dedup();
        let class = |v: &Value| values.binary_search(&v).unwrap_or(0);
        let all: Vec<(usize, usize)> = samples.iter().map(|(s, v)| (*s, class(v))).collect();
        let Some(basis) = part.alignments.first().and_then(|a| a.selector.basis.clone()) else {
            return Ok(None);
        };
        if !(2..=VALUES).contains(&values.len()) {
            return Ok(None);
        }
        let stream = Stream::new(seed, &format!("used/{}", part.name));
        let held_out: Vec<bool> = {
            let order = stream.block(0).permutation(self.subject.task.clean);
            let half = self.subject.task.clean / 2;
            let mut out = vec![false; order.len()];
            order[..half].iter().for_each(|&i| out[i] = true);
            out
        };
        let k = values.len();
        let Some((weights, read)) = self.read_out(&all, k, &held_out)? else { return Ok(None) };
        let order = stream.block(1).permutation(all.len());
        let shuffled: Vec<(usize, usize)> =
            all.iter().zip(order).map(|(s, o)| (s.0, all[o].1)).collect();
        let permuted = self.read_out(&shuffled, k, &held_out)?.map_or(0.0, |r| r.1);
        let m = self.z.shape()[1];
        let columns = linalg::transpose(m, k, &weights);
        let subspace = linalg::orthonormal_rows(k, m, &columns, 1e-4);
        let mut random = 0.0;
        for draw in 0..DRAWS {
            let mut g = stream.block(2 + draw);
            let normals: Vec<f64> = (0..subspace.len()).map(|_| g.normal64()).collect();
            let other = linalg::orthonormal_rows(subspace.len() / m, m, &normals, 1e-9);
            random += self.exchanged(dictionary, &other)? / DRAWS as f64;
        }
        let truth = self.moved(&|input, _, place| {
            let selector = Selector::site(&self.site).in_basis(basis.clone()).at_pos(place);
            let input = self.subject.task.partner[input];
            Intervention::site(selector, Operation::Interchange { input })
        })?;
        Ok(Some(VariableUse {
            variable: part.name.clone(),
            read,
            permuted,
            effect: self.exchanged(dictionary, &subspace)?,
            random,
            truth: truth / self.whole,
        }))
    }

    /// Weights `[latent, value]` of a linear read-out fitted to the inputs that are not held out, and
    /// its balanced accuracy on those that are.
    fn read_out(
        &self,
        samples: &[(usize, usize)],
        k: usize,
        held_out: &[bool],
    ) -> Result<Option<(Vec<f64>, f64)>, Error> {
        let (m, n) = (self.z.shape()[1], self.places.len());
        let (fitted, tested): (Vec<_>, Vec<_>) =
            samples.iter().copied().partition(|(s, _)| !held_out[s / n]);
        if fitted.is_empty() || tested.is_empty() {
            return Ok(None);
        }
        // Centred, so that the weights need not carry the constant.
        let count = fitted.len() as f64;
        let mut centre = vec![0.0; m];
        let mut share = vec![0.0; k];
        for &(s, v) in &fitted {
            let row = self.z.row(s);
            centre.iter_mut().zip(row).for_each(|(c, z)| *c += f64::from(*z) / count);
            share[v] += 1.0 / count;
        }
        let centred = |s: usize| {
            self.z.row(s).iter().zip(&centre).map(|(z, c)| f64::from(*z) - c).collect::<Vec<f64>>()
        };
        let x: Vec<f64> = fitted.iter().flat_map(|(s, _)| centred(*s)).collect();
        let y: Vec<f64> = fitted
            .iter()
            .flat_map(|(_, v)| (0..k).map(|i| f64::from(u8::from(i == *v)) - share[i]))
            .collect();
        let scale = x.iter().map(|x| x * x).sum::<f64>() / m as f64;
        if scale <= 0.0 {
            return Ok(None);
        }
        let weights = linalg::ridge(fitted.len(), m, k, &x, &y, RIDGE * scale)?;
        let (mut right, mut of) = (vec![0.0; k], vec![0.0; k]);
        for &(s, v) in &tested {
            let z = centred(s);
            let mut scores = share.clone();
            for (z, row) in z.iter().zip(weights.chunks_exact(k)) {
                scores.iter_mut().zip(row).for_each(|(s, w)| *s += z * w);
            }
            let best = (0..k).fold(0, |b, i| if scores[i] > scores[b] { i } else { b });
            right[v] += f64::from(u8::from(best == v));
            of[v] += 1.0;
        }
        let there: Vec<f64> =
            right.iter().zip(&of).filter(|(_, n)| **n > 0.0).map(|(r, n)| r / n).collect();
        Ok(Some((weights, there.iter().sum::<f64>() / there.len().max(1) as f64)))
    }
}
