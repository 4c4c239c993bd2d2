//! Permutation tests of a difference of means: exact where the permutations can be listed.

use flyroom_tensor::Stream;

use super::mean;

/// Up to this many permutations are listed; beyond, [`DRAWS`] are drawn.
const MOST_LISTED: u64 = 1 << 16;
/// Draws where the permutations are too many.
const DRAWS: u64 = 10_000;

/// As extreme as the observed one, up to the rounding of two orders of the same sum.
fn as_extreme(statistic: f64, observed: f64) -> bool {
    statistic.abs() >= observed.abs() * (1.0 - 1e-14)
}

/// Two-sided p of "the differences are symmetric about 0": flips the sign of each difference.
/// Up to 16 pairs all 2^n flips, else 10,000 draws and p = (1 + #) / (1 + N). `None` of no pairs.
///
/// ```
/// use flyroom_bench::statistics::permutation_paired;
/// // All five positive: 2 of the 32 sign patterns are as extreme.
/// assert_eq!(permutation_paired(&[0.1, 0.2, 0.3, 0.1, 0.4]), Some(2.0 / 32.0));
/// ```
pub fn permutation_paired(differences: &[f64]) -> Option<f64> {
    let observed: f64 = differences.iter().sum();
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let flipped = |is_negative: &dyn Fn(usize) -> bool| {
        differences
            .iter()
            .enumerate()
            .map(|(i, d)| if is_negative(i) { -d } else { *d })
            .sum::<f64>()
    };
    if n <= MOST_LISTED.trailing_zeros() as usize {
        let extreme = (0..1u64 << n)
            .filter(|mask| as_extreme(flipped(&|i| mask >> i & 1 == 1), observed))
            .count();
        return Some(extreme as f64 / (1u64 << n) as f64);
    }
    let stream = Stream::new(0, "statistics/permutation-paired");
    let mut extreme = 0;
    for t in 0..DRAWS {
        let mut draw = stream.block(t);
        let signs: Vec<bool> = (0..n).map(|_| draw.below(2) == 1).collect();
        extreme += u64::from(as_extreme(flipped(&|i| signs[i]), observed));
    }
    Some((1 + extreme) as f64 / (1 + DRAWS) as f64)
}

/// Two-sided p of "both samples come from one distribution", by the difference of means over all
/// ways to divide the pool; beyond 2^16 ways 10,000 draws and p = (1 + #) / (1 + N). `None` if a
/// sample is empty.
pub fn permutation_independent(a: &[f64], b: &[f64]) -> Option<f64> {
    let observed = mean(a)? - mean(b)?;
    let pool: Vec<f64> = a.iter().chain(b).copied().collect();
    let total: f64 = pool.iter().sum();
    let statistic = |sum_of_a: f64| sum_of_a / a.len() as f64 - (total - sum_of_a) / b.len() as f64;
    if choose(pool.len() as u64, a.len() as u64) <= MOST_LISTED {
        let mut chosen: Vec<usize> = (0..a.len()).collect();
        let (mut extreme, mut count) = (0u64, 0u64);
        loop {
            let sum: f64 = chosen.iter().map(|i| pool[*i]).sum();
            extreme += u64::from(as_extreme(statistic(sum), observed));
            count += 1;
            // The next subset in lexicographic order.
            let Some(i) =
                (0..chosen.len()).rev().find(|i| chosen[*i] < pool.len() - chosen.len() + i)
            else {
                return Some(extreme as f64 / count as f64);
            };
            chosen[i] += 1;
            for j in i + 1..chosen.len() {
                chosen[j] = chosen[j - 1] + 1;
            }
        }
    }
    let stream = Stream::new(0, "statistics/permutation-independent");
    let mut extreme = 0;
    for t in 0..DRAWS {
        let sum: f64 =
            stream.block(t).choose(pool.len(), a.len()).into_iter().map(|i| pool[i]).sum();
        extreme += u64::from(as_extreme(statistic(sum), observed));
    }
    Some((1 + extreme) as f64 / (1 + DRAWS) as f64)
}

/// Subsets of k of n; more than can be counted is `u64::MAX`.
fn choose(n: u64, k: u64) -> u64 {
    let mut count: u64 = 1;
    for i in 0..k.min(n - k) {
        match count.checked_mul(n - i) {
            Some(product) => count = product / (i + 1),
            None => return u64::MAX,
        }
    }
    count
}
