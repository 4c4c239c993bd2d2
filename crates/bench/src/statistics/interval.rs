//! Means and their intervals over seeds, proportions, and paired differences.

use serde::{Deserialize, Serialize};

use super::{bca_interval, normal_quantile, t_quantile};

/// From this many values the interval is BCa; below, Student's t.
const BCA_FROM: usize = 8;

/// The mean; `None` of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    // Equal values have that value as their mean, without the rounding of sum and quotient.
    if values.iter().all(|v| *v == first) {
        return Some(first);
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation with n - 1; `None` below two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The t interval of a mean; `None` below two values.
pub fn t_interval(values: &[f64], confidence: f64) -> Option<[f64; 2]> {
    let (mean, sd) = (mean(values)?, standard_deviation(values)?);
    let df = u32::try_from(values.len() - 1).ok()?;
    let half = t_quantile(0.5 + 0.5 * confidence, df) * sd / (values.len() as f64).sqrt();
    Some([mean - half, mean + half])
}

/// The interval of a mean over seeds: Student's t below 8 values, BCa from 8; `None` below two.
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<[f64; 2]> {
    match values.len() {
        0 | 1 => None,
        n if n < BCA_FROM => t_interval(values, confidence),
        _ => bca_interval(values, confidence),
    }
}

/// The interval of a proportion (Wilson 1927): honest near 0 and 1 and for few trials. `None` for
/// no trials or more successes than trials.
///
/// ```
/// use flyroom_bench::statistics::wilson;
/// let [low, high] = wilson(0, 10, 0.95).unwrap();
/// assert!(low == 0.0 && (high - 0.277_532_8).abs() < 1e-6);
/// ```
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Option<[f64; 2]> {
    if trials == 0 || successes > trials {
        return None;
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let z = normal_quantile(0.5 + 0.5 * confidence);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // The ends are exact where theory says so; the subtraction is not.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Some([low, high])
}

/// How much more one thing scores than another on the same specimens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The mean of the differences.
    pub mean: f64,
    /// Its interval; `None` for one pair.
    pub interval: Option<[f64; 2]>,
}

impl Difference {
    /// Whether the whole interval lies above `floor`: not decidable from one pair.
    pub fn above(&self, floor: f64) -> bool {
        self.interval.is_some_and(|[low, _]| low > floor)
    }

    /// Whether the whole interval lies below `floor`: not decidable from one pair.
    pub fn below(&self, floor: f64) -> bool {
        self.interval.is_some_and(|[_, high]| high < floor)
    }
}

/// a - b, specimen by specimen; `None` of no pairs or of lists of different length.
pub fn paired_difference(a: &[f64], b: &[f64], confidence: f64) -> Option<Difference> {
    if a.len() != b.len() {
        return None;
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    Some(Difference {
        mean: mean(&differences)?,
        interval: mean_interval(&differences, confidence),
    })
}
