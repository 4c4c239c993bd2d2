//! Does a method tell algorithms apart? The ROC over pairs of specimens of behaviour twins.
//!
//! The specimens of two organisms that compute the same by different programs (their seeds, each in
//! a gauge of its own, and their gauge twins) are compared two by two by the
//! [distance](crate::distance) between what was said of them. A pair of one program is a negative, a
//! pair of both a positive; the score is the area under the ROC: the chance that a pair of different
//! mechanisms lies farther apart than one of the same. *Null*: the same distances with the specimens
//! dealt to the two programs anew, in all ways or [`DEALS`] random ones; its mean is 1/2, since every
//! pair is positive as often as any other. A look at outputs alone sees nothing and reaches 1/2.

use crate::Error;
use crate::distance::{Effects, NOISE};
use crate::wiring::auroc;
use flyroom_tensor::Stream;
use serde::{Deserialize, Serialize};

/// Deals of the null at most.
pub const DEALS: usize = 2000;

/// Share of the pairs of one mechanism that lie at or below the threshold of "different".
pub const QUANTILE: f64 = 0.95;

/// Two specimens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Their numbers.
    pub of: [usize; 2],
    /// Whether they run one program.
    pub same: bool,
    /// How far what was said of them lies apart; 0 below [`NOISE`].
    pub distance: f64,
}

/// How well distances tell the mechanisms of specimens apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwinScore {
    /// Chance that a pair of two mechanisms lies farther apart than one of the same, ties half.
    pub auroc: f64,
    /// The same with specimens dealt anew: mean, 2.5 % and 97.5 % quantile.
    pub null: [f64; 3],
    /// Deals of the null; all that there are, or [`DEALS`].
    pub deals: usize,
    /// Share of the deals that reach the score, the own one among them.
    pub p_value: f64,
    /// Pairs farther apart than this are different: the [`QUANTILE`] of the distances between
    /// specimens of one mechanism.
    pub threshold: f64,
    /// Share of the pairs of two mechanisms that are farther apart.
    pub told_apart: f64,
    /// Parts of each specimen's explanation, after dropping and merging.
    pub parts: Vec<usize>,
    /// All pairs.
    pub pairs: Vec<Pair>,
}

/// Scores what was said of specimens; `other` says which run the other program. `None` where
/// there are not both kinds of pairs.
pub fn score(said: &[Effects], other: &[bool], seed: u64) -> Result<Option<TwinScore>, Error> {
    let n = said.len().min(other.len());
    let mut pairs = vec![];
    for i in 0..n {
        for j in i + 1..n {
            let d = said[i].distance(&said[j])?;
            let distance = if d < NOISE { 0.0 } else { d };
            pairs.push(Pair { of: [i, j], same: other[i] == other[j], distance });
        }
    }
    let distances = |same: bool| -> Vec<f64> {
        let mut all: Vec<f64> =
            pairs.iter().filter(|p| p.same == same).map(|p| p.distance).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (same, different) = (distances(true), distances(false));
    let at = (QUANTILE * same.len() as f64).ceil() as usize;
    let (Some(&threshold), false) = (same.get(at.saturating_sub(1)), different.is_empty()) else {
        return Ok(None);
    };
    let area = |other: &[bool]| {
        let scored = pairs.iter().map(|p| (p.distance, other[p.of[0]] != other[p.of[1]]));
        auroc(&scored.collect::<Vec<_>>())
    };
    let own = area(other);
    let mut null: Vec<f64> = deals(&other[..n], seed).iter().map(|o| area(o)).collect();
    null.sort_by(f64::total_cmp);
    let quantile = |q: f64| null[((null.len() - 1) as f64 * q).round() as usize];
    let reached = null.iter().filter(|&&a| a >= own - 1e-12).count();
    Ok(Some(TwinScore {
        auroc: own,
        null: [null.iter().sum::<f64>() / null.len() as f64, quantile(0.025), quantile(0.975)],
        deals: null.len(),
        p_value: reached as f64 / null.len() as f64,
        threshold,
        told_apart: different.iter().filter(|&&d| d > threshold).count() as f64
            / different.len() as f64,
        parts: said.iter().map(Effects::len).collect(),
        pairs,
    }))
}

/// Who could run the other program: all ways to deal as many specimens to it, or random ones with
/// the own deal before them.
fn deals(other: &[bool], seed: u64) -> Vec<Vec<bool>> {
    let n = other.len();
    let k = other.iter().filter(|&&o| o).count();
    // n choose k by its product, which stays whole.
    let ways = (0..k).try_fold(1usize, |c, i| Some(c.checked_mul(n - i)? / (i + 1)));
    if ways.is_some_and(|w| w <= DEALS) {
        let mut all = vec![];
        choose(n, k, &mut vec![], &mut all);
        return all;
    }
    let mut g = Stream::new(seed, "twins/deals").block(0);
    let mut all = vec![other.to_vec()];
    for _ in 1..DEALS {
        let mut dealt = other.to_vec();
        g.shuffle(&mut dealt);
        all.push(dealt);
    }
    all
}

/// All ways to give `left` more of `n` places, the first of which are given already.
fn choose(n: usize, left: usize, given: &mut Vec<bool>, all: &mut Vec<Vec<bool>>) {
    let open = n - given.len();
    if open == 0 {
        return all.push(given.clone());
    }
    for gives in [true, false] {
        if (gives && left > 0) || (!gives && left < open) {
            given.push(gives);
            choose(n, left - usize::from(gives), given, all);
            given.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::PartEffect;

    fn said(directions: &[[f64; 2]]) -> Vec<Effects> {
        let of = |d: &[f64; 2]| {
            Effects::new(vec![PartEffect { name: "p".into(), effect: d.to_vec() }], 0.0)
        };
        directions.iter().map(of).collect()
    }

    const OTHER: [bool; 6] = [false, false, false, true, true, true];

    /// By hand: 3 + 3 specimens, 6 pairs of one program and 9 of both; 20 deals, of which 2 are the
    /// right one, so p = .1.
    #[test]
    fn two_mechanisms_are_told_apart_and_one_is_not() {
        let (a, b) = ([1.0, 0.0], [0.0, 1.0]);
        let s = score(&said(&[a, a, a, b, b, b]), &OTHER, 0).unwrap().unwrap();
        assert_eq!((s.auroc, s.deals, s.p_value, s.told_apart), (1.0, 20, 0.1, 1.0));
        assert!((s.null[0] - 0.5).abs() < 1e-12 && s.threshold == 0.0, "{s:?}");
        assert_eq!(s.pairs.iter().filter(|p| p.same).count(), 6);
        // Rounding is no difference.
        let near = said(&[a, [1.0, 1e-6], a, [1.0, 2e-6], a, [1.0, -1e-6]]);
        let s = score(&near, &OTHER, 0).unwrap().unwrap();
        assert_eq!((s.auroc, s.told_apart, s.p_value), (0.5, 0.0, 1.0));
    }

    #[test]
    fn the_null_is_a_half_on_any_distances() {
        let mut g = Stream::new(1, "twins test").block(0);
        for other in [vec![true, false, false, false, true, true, true], vec![false; 9]] {
            let mut other = other;
            other[0] = true;
            let any: Vec<[f64; 2]> =
                other.iter().map(|_| [f64::from(g.normal()), f64::from(g.normal())]).collect();
            let s = score(&said(&any), &other, 0).unwrap().unwrap();
            assert!((s.null[0] - 0.5).abs() < 1e-12, "{s:?}");
        }
        // Too many deals to make all of them: those of 8 + 8 are 12,870.
        let other: Vec<bool> = (0..16).map(|i| i % 2 == 0).collect();
        let any: Vec<[f64; 2]> =
            other.iter().map(|_| [f64::from(g.normal()), f64::from(g.normal())]).collect();
        let s = score(&said(&any), &other, 0).unwrap().unwrap();
        assert!(s.deals == DEALS && (s.null[0] - 0.5).abs() < 0.01, "{s:?}");
    }

    #[test]
    fn without_two_specimens_of_one_mechanism_there_is_no_score() {
        let all = said(&[[1.0, 0.0], [0.0, 1.0]]);
        assert!(score(&all, &[false, true], 0).unwrap().is_none());
        assert!(score(&all, &[true, true], 0).unwrap().is_none());
        assert!(score(&[], &[], 0).unwrap().is_none());
    }
}
