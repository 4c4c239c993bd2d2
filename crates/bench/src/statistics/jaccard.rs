//! Overlap of two sets, and how stable a found set is under resampling of its data.

use std::collections::BTreeSet;

use flyroom_tensor::Stream;

use super::mean;

/// |a and b| / |a or b|; two empty sets are equal, so 1.
pub fn jaccard<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
    let both = a.intersection(b).count();
    let either = a.len() + b.len() - both;
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// The stability of a set that is found from `n` items of data: the mean Jaccard overlap of what
/// `find` returns on pairs of bootstrap samples (indices below `n`, with replacement). 1 is a set
/// that any such sample finds. `None` without data or pairs.
pub fn bootstrap_jaccard<T: Ord>(
    n: usize,
    pairs: usize,
    seed: u64,
    mut find: impl FnMut(&[usize]) -> BTreeSet<T>,
) -> Option<f64> {
    if n == 0 {
        return None;
    }
    let stream = Stream::new(seed, "statistics/bootstrap-jaccard");
    let mut sample = |t: usize| {
        let mut draw = stream.block(t as u64);
        let indices: Vec<usize> = (0..n).map(|_| draw.below(n as u64) as usize).collect();
        find(&indices)
    };
    let overlaps: Vec<f64> =
        (0..pairs).map(|pair| jaccard(&sample(2 * pair), &sample(2 * pair + 1))).collect();
    mean(&overlaps)
}
