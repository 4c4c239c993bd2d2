//! How far apart two explanations are, whatever network each is about.
//!
//! A part of an explanation is what happens when it is intervened on: its *effect*, the change of the
//! comparable outputs over a common set of questions ([`crate::part_effects`]). Effects live in input
//! x output space, where no gauge reaches: a turned stream, permuted heads, a rescaled neuron leave
//! them as they are. An explanation becomes a distribution over directions: each part lies where its
//! effect points, with a mass in proportion to its length. Parts whose effect is noise are dropped,
//! so a padded neuron or an inserted layer is nothing; parts that point the same way are one, so a
//! neuron split in two is as it was.
//!
//! The distance is the least that it costs to move one distribution onto the other (Kantorovich
//! 1942; Villani 2009, chapter 6), if mass moved between unit vectors u and v costs |u - v| / 2: 0 for the
//! same direction, .71 for unrelated ones, 1 for opposite ones. That is a metric on distributions: 0
//! on itself, symmetric, with the triangle inequality. An explanation without parts is 1 away from
//! all that have some. The transport is exact: masses are rounded to whole [`UNITS`], and successive
//! shortest paths (Edmonds and Karp 1972) carry them.
//!
//! ```
//! use flyroom_validate::distance::{Effects, PartEffect};
//! let part = |name: &str, effect: &[f64]| PartEffect { name: name.into(), effect: effect.to_vec() };
//! let whole = Effects::new(vec![part("neuron", &[2.0, 0.0]), part("dead", &[0.0, 1e-9])], 1e-3);
//! let split = Effects::new(vec![part("half", &[1.0, 0.0]), part("other half", &[1.0, 0.0])], 1e-3);
//! let other = Effects::new(vec![part("other", &[0.0, 2.0])], 1e-3);
//! assert_eq!(whole.distance(&split)?, 0.0);
//! assert!((whole.distance(&other)? - 0.5f64.sqrt()).abs() < 1e-12);
//! # Ok::<(), flyroom_validate::Error>(())
//! ```

use crate::Error;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Length of an effect, as a share of that of the clean outputs, below which it is noise. The
/// rounding of a random gauge is 1e-5 of an output (docs/organisms/rasp.md).
pub const NOISE: f64 = 1e-3;

/// Half the chord between directions that are one. Half of [`NOISE`]: what merging moves is noise.
pub const COLLINEAR: f64 = 5e-4;

/// The mass of an explanation.
pub const UNITS: u64 = 1 << 24;

/// What happens when one part is intervened on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartEffect {
    /// The part.
    pub name: String,
    /// Change of each output, in the order of the questions.
    pub effect: Vec<f64>,
}

impl PartEffect {
    /// Euclidean length.
    pub fn length(&self) -> f64 {
        length(&self.effect)
    }
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Half the chord between two unit vectors, in 0..=1.
fn half_chord(u: &[f64], v: &[f64]) -> f64 {
    let squared: f64 = u.iter().zip(v).map(|(a, b)| (a - b) * (a - b)).sum();
    (squared.sqrt() / 2.0).min(1.0)
}

/// Parts that point the same way.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    direction: Vec<f64>,
    units: u64,
    names: Vec<String>,
}

/// The parts of one explanation as a distribution over directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    places: Vec<Place>,
}

impl Effects {
    /// Drops parts shorter than `floor` and merges those that point the same way. The order of the
    /// parts does not matter.
    pub fn new(parts: Vec<PartEffect>, floor: f64) -> Self {
        let mut parts: Vec<(f64, PartEffect)> = parts
            .into_iter()
            .map(|p| (p.length(), p))
            .filter(|(l, _)| l.is_finite() && *l > 0.0 && *l >= floor)
            .collect();
        parts.sort_by(|(l, a), (m, b)| {
            m.total_cmp(l).then_with(|| lexical(&a.effect, &b.effect)).then(a.name.cmp(&b.name))
        });
        // (direction of the longest, sum of lengths, names)
        let mut found: Vec<(Vec<f64>, f64, Vec<String>)> = vec![];
        for (l, p) in parts {
            let direction: Vec<f64> = p.effect.iter().map(|x| x / l).collect();
            match found.iter_mut().find(|(d, ..)| half_chord(d, &direction) <= COLLINEAR) {
                Some((_, sum, names)) => {
                    *sum += l;
                    names.push(p.name);
                }
                None => found.push((direction, l, vec![p.name])),
            }
        }
        let masses: Vec<f64> = found.iter().map(|f| f.1).collect();
        let places = found.into_iter().zip(shares(&masses)).filter(|(_, units)| *units > 0);
        let place = |((direction, _, names), units)| Place { direction, units, names };
        Self { places: places.map(place).collect() }
    }

    /// Parts after dropping and merging.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Names of the parts that are one, with their share of the mass, the largest first.
    pub fn parts(&self) -> impl Iterator<Item = (&[String], f64)> {
        self.places.iter().map(|p| (p.names.as_slice(), p.units as f64 / UNITS as f64))
    }

    /// The distance to another explanation, in 0..=1. Fails where they were asked different
    /// questions.
    pub fn distance(&self, other: &Self) -> Result<f64, Error> {
        let questions = |e: &Self| e.places.first().map(|p| p.direction.len());
        if let (Some(a), Some(b)) = (questions(self), questions(other))
            && a != b
        {
            return Err(Error::Trial(format!(
                "effects over {a} outputs cannot be compared with effects over {b}"
            )));
        }
        match (self.is_empty(), other.is_empty()) {
            (true, true) => return Ok(0.0),
            (true, false) | (false, true) => return Ok(1.0),
            (false, false) => {}
        }
        // In one order, so that both ways give the same bits.
        let (a, b) =
            if self.before(other) == Ordering::Greater { (other, self) } else { (self, other) };
        let units = |e: &Self| e.places.iter().map(|p| p.units).collect::<Vec<_>>();
        let cost: Vec<Vec<f64>> = a
            .places
            .iter()
            .map(|p| b.places.iter().map(|q| half_chord(&p.direction, &q.direction)).collect())
            .collect();
        let flow = transport(&units(a), &units(b), &cost);
        let moved = flow.iter().zip(&cost).flat_map(|(f, c)| f.iter().zip(c));
        Ok(moved.map(|(f, c)| *f as f64 * c).sum::<f64>() / UNITS as f64)
    }

    fn before(&self, other: &Self) -> Ordering {
        self.len().cmp(&other.len()).then_with(|| {
            let pairs = self.places.iter().zip(&other.places);
            pairs
                .map(|(a, b)| a.units.cmp(&b.units).then(lexical(&a.direction, &b.direction)))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }
}

fn lexical(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whole numbers in proportion to masses, [`UNITS`] together: what rounding down leaves goes to
/// the largest remainders, the first of equal ones first.
fn shares(masses: &[f64]) -> Vec<u64> {
    let total: f64 = masses.iter().sum();
    let exact: Vec<f64> = masses.iter().map(|m| m / total * UNITS as f64).collect();
    let mut units: Vec<u64> = exact.iter().map(|x| x.floor() as u64).collect();
    let mut order: Vec<usize> = (0..masses.len()).collect();
    order.sort_by(|&i, &j| (exact[j] - exact[j].floor()).total_cmp(&(exact[i] - exact[i].floor())));
    let given: u64 = units.iter().sum();
    let left = UNITS.saturating_sub(given) as usize;
    for &i in order.iter().cycle().take(if order.is_empty() { 0 } else { left }) {
        units[i] += 1;
    }
    // Rounding of the shares themselves can give a unit too many.
    let over = given.saturating_sub(UNITS);
    if let Some(first) = units.first_mut() {
        *first -= over.min(*first);
    }
    units
}

/// The cheapest flow from `supply` to `demand`, which have equal sums: units from each row to each
/// column. Successive shortest paths over reduced costs.
fn transport(supply: &[u64], demand: &[u64], cost: &[Vec<f64>]) -> Vec<Vec<u64>> {
    let (n, m) = (supply.len(), demand.len());
    let mut flow = vec![vec![0u64; m]; n];
    let (mut supply, mut demand) = (supply.to_vec(), demand.to_vec());
    // Rows first, then columns.
    let mut potential = vec![0.0f64; n + m];
    while supply.iter().any(|&s| s > 0) {
        let mut least = vec![f64::INFINITY; n + m];
        let mut before = vec![usize::MAX; n + m];
        let mut done = vec![false; n + m];
        for i in (0..n).filter(|&i| supply[i] > 0) {
            least[i] = (-potential[i]).max(0.0);
        }
        // Dijkstra until a column that still wants something is the nearest.
        let end = loop {
            let open = (0..n + m).filter(|&v| !done[v] && least[v].is_finite());
            let Some(v) = open.min_by(|&a, &b| least[a].total_cmp(&least[b])) else { return flow };
            done[v] = true;
            if v >= n && demand[v - n] > 0 {
                break v;
            }
            let mut reach = |w: usize, cost: f64| {
                let by = least[v] + (cost + potential[v] - potential[w]).max(0.0);
                if !done[w] && by < least[w] {
                    (least[w], before[w]) = (by, v);
                }
            };
            if v < n {
                (0..m).for_each(|j| reach(n + j, cost[v][j]));
            } else {
                let back = (0..n).filter(|&i| flow[i][v - n] > 0);
                back.for_each(|i| reach(i, -cost[i][v - n]));
            }
        };
        for v in 0..n + m {
            potential[v] += least[v].min(least[end]);
        }
        let mut units = demand[end - n];
        let mut at = end;
        while before[at] != usize::MAX {
            if at < n {
                units = units.min(flow[at][before[at] - n]);
            }
            at = before[at];
        }
        units = units.min(supply[at]);
        supply[at] -= units;
        demand[end - n] -= units;
        at = end;
        while before[at] != usize::MAX {
            let from = before[at];
            if at >= n {
                flow[from][at - n] += units;
            } else {
                flow[at][from - n] -= units;
            }
            at = from;
        }
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(effects: &[Vec<f64>]) -> Vec<PartEffect> {
        let part =
            |(i, e): (usize, &Vec<f64>)| PartEffect { name: i.to_string(), effect: e.clone() };
        effects.iter().enumerate().map(part).collect()
    }

    fn of(effects: &[Vec<f64>]) -> Effects {
        Effects::new(parts(effects), 1e-9)
    }

    /// One to five parts with four outputs.
    fn explanation() -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec(-1.0f64..1.0, 4), 1..6)
    }

    /// The cheapest assignment of equal masses, by trying all of them.
    fn cheapest(cost: &[Vec<f64>]) -> f64 {
        fn go(row: usize, used: &mut Vec<bool>, cost: &[Vec<f64>]) -> f64 {
            if row == cost.len() {
                return 0.0;
            }
            let mut best = f64::INFINITY;
            for j in 0..used.len() {
                if !used[j] {
                    used[j] = true;
                    best = best.min(cost[row][j] + go(row + 1, used, cost));
                    used[j] = false;
                }
            }
            best
        }
        go(0, &mut vec![false; cost.len()], cost)
    }

    proptest! {
        #[test]
        fn it_is_a_metric(a in explanation(), b in explanation(), c in explanation()) {
            let [a, b, c] = [of(&a), of(&b), of(&c)];
            let d = |x: &Effects, y: &Effects| x.distance(y).unwrap();
            prop_assert_eq!(d(&a, &a), 0.0);
            prop_assert_eq!(d(&a, &b).to_bits(), d(&b, &a).to_bits());
            prop_assert!((0.0..=1.0).contains(&d(&a, &b)));
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c) + 1e-9);
        }

        #[test]
        fn order_splitting_padding_and_scale_change_nothing(
            a in explanation(), b in explanation(), share in 0.1f64..0.9, scale in 0.1f64..10.0
        ) {
            let own = of(&a);
            let mut written = a.clone();
            written.reverse();
            let split = written[0].clone();
            written[0] = split.iter().map(|x| x * share).collect();
            written.push(split.iter().map(|x| x * (1.0 - share)).collect());
            written.push(vec![1e-12, 0.0, 0.0, 0.0]);
            written.iter_mut().flatten().for_each(|x| *x *= scale);
            let written = of(&written);
            prop_assert!(own.distance(&written).unwrap() < 1e-6);
            let other = of(&b);
            let (x, y) = (own.distance(&other).unwrap(), written.distance(&other).unwrap());
            prop_assert!((x - y).abs() < 1e-6, "{} {}", x, y);
        }

        #[test]
        fn transport_is_the_cheapest(
            n in 1usize..6, costs in prop::collection::vec(0.0f64..1.0, 25), units in 1u64..1000
        ) {
            let cost: Vec<Vec<f64>> = (0..n).map(|i| costs[i * n..(i + 1) * n].to_vec()).collect();
            // With equal masses some assignment is cheapest (Birkhoff).
            let flow = transport(&vec![units; n], &vec![units; n], &cost);
            let spent: f64 = (0..n)
                .flat_map(|i| (0..n).map(move |j| (i, j)))
                .map(|(i, j)| flow[i][j] as f64 * cost[i][j])
                .sum();
            prop_assert!((spent / units as f64 - cheapest(&cost)).abs() < 1e-9);
        }

        #[test]
        fn all_that_is_supplied_arrives(
            a in prop::collection::vec(0u64..50, 1..6), b in prop::collection::vec(0u64..50, 1..6),
            costs in prop::collection::vec(0.0f64..1.0, 25)
        ) {
            let (mut a, mut b) = (a, b);
            let (x, y) = (a.iter().sum::<u64>(), b.iter().sum::<u64>());
            a[0] += y.saturating_sub(x);
            b[0] += x.saturating_sub(y);
            let cost: Vec<Vec<f64>> =
                (0..a.len()).map(|i| costs[i * b.len()..(i + 1) * b.len()].to_vec()).collect();
            let flow = transport(&a, &b, &cost);
            let rows: Vec<u64> = flow.iter().map(|r| r.iter().sum()).collect();
            let columns: Vec<u64> = (0..b.len()).map(|j| flow.iter().map(|r| r[j]).sum()).collect();
            prop_assert_eq!((rows, columns), (a, b));
        }
    }

    /// By hand: masses 3/4 and 1/4 on two orthogonal directions against all on the first: a
    /// quarter moves by half of root two.
    #[test]
    fn mass_is_the_share_of_the_length() {
        let a = of(&[vec![3.0, 0.0], vec![0.0, 1.0]]);
        let b = of(&[vec![5.0, 0.0]]);
        assert!((a.distance(&b).unwrap() - 0.25 * 0.5f64.sqrt()).abs() < 1e-7);
        let shares: Vec<f64> = a.parts().map(|(_, s)| s).collect();
        assert_eq!(shares, [0.75, 0.25]);
    }

    #[test]
    fn opposite_effects_are_farthest_and_nothing_is_far_from_all() {
        let (a, b) = (of(&[vec![1.0, 0.0]]), of(&[vec![-2.0, 0.0]]));
        let none = of(&[]);
        assert_eq!(a.distance(&b).unwrap(), 1.0);
        assert_eq!((none.distance(&none).unwrap(), none.distance(&a).unwrap()), (0.0, 1.0));
        let longer = of(&[vec![1.0, 0.0, 0.0]]);
        assert!(a.distance(&longer).unwrap_err().to_string().contains("2 outputs"));
        assert!(of(&[vec![f64::NAN, 1.0], vec![f64::INFINITY, 0.0]]).is_empty());
    }
}
