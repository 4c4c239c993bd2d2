//! The area under the ROC curve, by exact ranks.

use super::ranks;

/// P(a positive scores above a negative), ties count half (Mann and Whitney 1947; Hanley and
/// McNeil 1982). `None` for lists of different length or where one class is absent.
///
/// ```
/// use flyroom_bench::statistics::auroc;
/// // Pairs: 0.9 > 0.1, 0.9 > 0.5, 0.5 > 0.1, and 0.5 ties with 0.5.
/// assert_eq!(auroc(&[0.9, 0.5, 0.5, 0.1], &[true, true, false, false]), Some(3.5 / 4.0));
/// ```
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    if scores.len() != positive.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let n_positive = positive.iter().filter(|p| **p).count();
    let n_negative = scores.len() - n_positive;
    if n_positive == 0 || n_negative == 0 {
        return None;
    }
    // Shared ranks are halves: sums of them are exact far beyond any list that fits in memory.
    let sum: f64 =
        ranks(scores).iter().zip(positive).filter(|(_, p)| **p).map(|(rank, _)| rank).sum();
    let least = (n_positive * (n_positive + 1)) as f64 / 2.0;
    Some((sum - least) / (n_positive as f64 * n_negative as f64))
}
