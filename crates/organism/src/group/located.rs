//! In which irreducible representations of a group a network's neurons lie: located truth.
//!
//! The neurons of one hidden layer see a and b through two tables, l(a) and r(b), and write a third, o(c):
//! functions on the group. Papers agree that after training each neuron's tables lie in what few
//! irreducible representations span (Chughtai et al. 2023: representations are multiplied; Stander et
//! al. 2024: the neurons tell cosets of subgroups, which lie in few representations too). So there are two
//! numbers. The *share* of a table in a representation is the squared norm of its projection over that of
//! the table, both without the constant; a neuron's *purity* is the largest share that one representation
//! has of all three of its tables at once, the least of the three counting. What one subgroup H explains of
//! l by means over cosets a H and of r by means over cosets H b, the lesser counting, is the neuron's
//! *coset share*, for the best H. Both are corrected for what they are by chance, as R^2 is for its degrees
//! of freedom: a table of n numbers has n - 1 beside its mean. No method of the registries looks this way.

use super::finite::Group;
use super::square::{Labels, Square};
use flyroom_network::Network;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// The mean from which on neurons are said to be `irreps`, or `cosets`. The networks of random squares and
/// the untrained ones reach .03 and .25, a group read in another one .58 and .60; read in itself each group of
/// order 24 reaches .93 in purity (docs/organisms/group-composition.md).
pub(super) const HOLDS: f64 = 0.7;

/// The three tables of one neuron, by row, by column and by symbol.
struct Neuron([Vec<f64>; 3]);

/// What one group finds in a network.
pub(super) struct Reading {
    /// Name of the group.
    pub group: String,
    /// Whether the square is the group's table under some labels; then they are used.
    pub isotopic: bool,
    /// Mean purity of the neurons.
    pub purity: f64,
    /// Mean coset share of the neurons.
    pub coset_share: f64,
    /// Share of the input tables of all neurons in each representation but the trivial one.
    pub shares: Vec<(String, f64)>,
}

impl Reading {
    /// Through the labels under which the square is the group's, or else as rows, columns and symbols are
    /// numbered.
    pub fn new(network: &Network, square: &Square, group: &Group) -> Result<Self, crate::Error> {
        let n = group.order();
        let found = Labels::of(square, group);
        let isotopic = found.is_some();
        let labels = found.unwrap_or_else(|| Labels::natural(n));
        let neurons = neurons(network, n)?;
        let partitions = partitions(group);
        let (mut purity, mut cosets, mut weights) = (0.0, 0.0, 0.0);
        let mut held = vec![0.0; group.irreps.len()];
        for Neuron(tables) in &neurons {
            let places = [&labels.rows, &labels.columns, &labels.symbols];
            let powers: Vec<Vec<f64>> =
                tables.iter().zip(places).map(|(t, at)| powers(t, at, group)).collect();
            for input in &powers[..2] {
                held.iter_mut().zip(input).for_each(|(h, p)| *h += p);
            }
            let totals: Vec<f64> = powers.iter().map(|p| p[1..].iter().sum()).collect();
            if totals.iter().any(|t| *t <= 0.0) {
                continue;
            }
            let free = |i: usize| group.irreps[i].kernel[0] * n as f64;
            let least = |i: usize| {
                let share = powers.iter().zip(&totals).map(|(p, t)| p[i] / t);
                corrected(share.fold(f64::INFINITY, f64::min), free(i), n)
            };
            let best = (1..group.irreps.len()).map(least).fold(0.0, f64::max);
            // What a neuron does to a logit is of the size of one input table times its output table.
            let weight = ((totals[0] + totals[1]) * totals[2]).sqrt();
            purity += weight * best;
            let explained = |[left, right]: &[Vec<usize>; 2]| {
                let l = between(&tables[0], &labels.rows, left);
                corrected(l.0.min(between(&tables[1], &labels.columns, right).0), l.1, n)
            };
            cosets += weight * partitions.iter().map(explained).fold(0.0, f64::max);
            weights += weight;
        }
        let all: f64 = held[1..].iter().sum();
        let share = |h: &f64| if all > 0.0 { h / all } else { 0.0 };
        let names = group.irreps[1..].iter().map(|r| r.name.clone());
        Ok(Self {
            group: group.name.clone(),
            isotopic,
            purity: if weights > 0.0 { purity / weights } else { 0.0 },
            coset_share: if weights > 0.0 { cosets / weights } else { 0.0 },
            shares: names.zip(held[1..].iter().map(share)).collect(),
        })
    }

    /// `irreps`, `cosets`, `irreps and cosets` or `none`.
    pub fn word(&self) -> &'static str {
        match (self.purity >= HOLDS, self.coset_share >= HOLDS) {
            (true, true) => "irreps and cosets",
            (true, false) => "irreps",
            (false, true) => "cosets",
            (false, false) => "none",
        }
    }

    pub fn json(&self) -> Json {
        let shares: serde_json::Map<String, Json> =
            self.shares.iter().map(|(n, x)| (n.clone(), json!(x))).collect();
        json!({
            "isotopic": self.isotopic,
            "purity": self.purity,
            "coset_share": self.coset_share,
            "neurons": self.word(),
            "irrep_shares": shares,
        })
    }
}

/// A share of the variance that `free` of n - 1 degrees of freedom explain, less chance: 0 for a random
/// table in the mean, 1 for all.
fn corrected(share: f64, free: f64, n: usize) -> f64 {
    let chance = free / (n - 1) as f64;
    if chance < 1.0 { (share - chance) / (1.0 - chance) } else { 0.0 }
}

/// For each proper subgroup H that two elements generate, H = 1 left out: the coset a H of each element,
/// and the coset H b, by the least element in it.
fn partitions(group: &Group) -> Vec<[Vec<usize>; 2]> {
    let n = group.order();
    let mut found = BTreeSet::new();
    for g in 1..n {
        for h in 0..=g {
            let mut inside = vec![false; n];
            inside[0] = true;
            let mut front = vec![0];
            while let Some(x) = front.pop() {
                for next in [group.table[x][g], group.table[x][h]] {
                    if !inside[next] {
                        inside[next] = true;
                        front.push(next);
                    }
                }
            }
            if !inside.iter().all(|i| *i) {
                found.insert(inside);
            }
        }
    }
    let least = |inside: &[bool], of: &dyn Fn(usize) -> usize| {
        (0..n).filter(|&h| inside[h]).map(of).min().unwrap_or(0)
    };
    let of = |inside: Vec<bool>| {
        let left = (0..n).map(|g| least(&inside, &|h| group.table[g][h])).collect();
        let right = (0..n).map(|g| least(&inside, &|h| group.table[h][g])).collect();
        [left, right]
    };
    found.into_iter().map(of).collect()
}

/// Share of a table's variance between the classes of a partition, and the classes less one.
fn between(table: &[f64], at: &[usize], class: &[usize]) -> (f64, f64) {
    let n = table.len();
    let mean = table.iter().sum::<f64>() / n as f64;
    let (mut sums, mut counts) = (vec![0.0; n], vec![0.0; n]);
    for (&g, x) in at.iter().zip(table) {
        sums[class[g]] += x - mean;
        counts[class[g]] += 1.0;
    }
    let total: f64 = table.iter().map(|x| (x - mean) * (x - mean)).sum();
    let held = sums.iter().zip(&counts).filter(|(_, c)| **c > 0.0).map(|(s, c)| s * s / c);
    let explained: f64 = held.sum();
    let classes = counts.iter().filter(|c| **c > 0.0).count();
    (if total > 0.0 { explained / total } else { 0.0 }, classes as f64 - 1.0)
}

/// The tables of all neurons of a network of one hidden layer over two one-hot elements.
fn neurons(network: &Network, n: usize) -> Result<Vec<Neuron>, crate::Error> {
    let w_in = network.weight("blocks.0.mlp.W_in")?; // [2 n, d_mlp]
    let w_out = network.weight("unembed.W_U")?; // [d_mlp, n]
    let width = w_in.shape()[1];
    let input = |first: usize, j: usize| {
        (0..n).map(|x| f64::from(w_in.data()[(first + x) * width + j])).collect()
    };
    let output = |j: usize| w_out.row(j).iter().map(|&x| f64::from(x)).collect();
    Ok((0..width).map(|j| Neuron([input(0, j), input(n, j), output(j)])).collect())
}

/// Squared norm of the projection of a table onto each representation; entry i belongs to element at[i].
fn powers(table: &[f64], at: &[usize], group: &Group) -> Vec<f64> {
    let n = group.order();
    let mut f = vec![0.0; n];
    at.iter().zip(table).for_each(|(&g, x)| f[g] = *x);
    // f P f = sum over x of kappa(x) times the sum over h of f(x h) f(h).
    let along: Vec<f64> =
        group.table.iter().map(|row| row.iter().zip(&f).map(|(&xh, y)| f[xh] * y).sum()).collect();
    let of = |kernel: &[f64]| kernel.iter().zip(&along).map(|(k, a)| k * a).sum::<f64>().max(0.0);
    group.irreps.iter().map(|r| of(&r.kernel)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A function's squared norm is the sum of those of its projections, and a kernel's own column lies in
    // its own representation.
    #[test]
    fn powers_add_up_and_a_column_of_a_kernel_is_pure() {
        for name in ["Z24", "D12", "S4"] {
            let group = Group::named(name).unwrap();
            let n = group.order();
            let natural = Labels::natural(n).rows;
            let f: Vec<f64> = (0..n).map(|i| ((i * i * 7 + 3 * i) % 11) as f64 - 4.0).collect();
            let norm: f64 = f.iter().map(|x| x * x).sum();
            let sum: f64 = powers(&f, &natural, &group).iter().sum();
            assert!((sum - norm).abs() < 1e-9 * norm, "{name}: {sum} {norm}");
            for (i, irrep) in group.irreps.iter().enumerate() {
                let moved: Vec<f64> = (0..n).map(|g| irrep.kernel[group.table[g][5]]).collect();
                let found = powers(&moved, &natural, &group);
                let all: f64 = found.iter().sum();
                assert!((found[i] - all).abs() < 1e-12, "{name} {i}: {found:?}");
            }
        }
    }
}
