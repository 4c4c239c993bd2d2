//! Quantiles by linear interpolation.

/// The q-quantile, 0 <= q <= 1, by linear interpolation between order statistics (type 7 of
/// Hyndman and Fan 1996; numpy's and R's default). `None` of no values.
///
/// ```
/// use flyroom_bench::statistics::quantile;
/// assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.25), Some(1.75));
/// ```
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    of_sorted(&super::sorted(values), q)
}

/// The middle value, or the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

pub(super) fn of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let fraction = position - position.floor();
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(if a == b { a } else { a + fraction * (b - a) })
}
