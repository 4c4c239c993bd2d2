//! Bootstrap intervals, bias-corrected and accelerated (Efron 1987).
//!
//! The percentile bootstrap is too short for few seeds (of 3 it covers .75 instead of .95), and its
//! interval is symmetric where scores are squeezed against 1. BCa moves the two percentiles by the
//! bias z0 of the resampled statistic and by the acceleration a, estimated by the jackknife:
//! alpha' = Phi(z0 + (z0 + z_alpha) / (1 - a (z0 + z_alpha))) (Efron and Tibshirani 1993, eq. 14.10).

use flyroom_tensor::Stream;

use super::{mean, normal_cdf, normal_quantile, quantile, sorted};

/// Resamples of an interval.
pub const RESAMPLES: usize = 10_000;

/// The means of `resamples` samples drawn with replacement. The same values in the same order give
/// the same draws; the stream is named `statistics/bootstrap` under seed 0.
pub fn bootstrap_means(values: &[f64], resamples: usize) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    let n = values.len();
    let stream = Stream::new(0, "statistics/bootstrap");
    (0..resamples)
        .map(|t| {
            let mut draw = stream.block(t as u64);
            let sum: f64 = (0..n).map(|_| values[draw.below(n as u64) as usize]).sum();
            sum / n as f64
        })
        .collect()
}

/// The BCa interval of a mean; `None` below two values.
pub fn bca_interval(values: &[f64], confidence: f64) -> Option<[f64; 2]> {
    let theta = mean(values)?;
    if values.len() < 2 {
        return None;
    }
    if values.iter().all(|v| *v == theta) {
        return Some([theta, theta]);
    }
    let jackknife: Vec<f64> = (0..values.len())
        .map(|left_out| {
            let rest: f64 =
                values.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, v)| v).sum();
            rest / (values.len() - 1) as f64
        })
        .collect();
    // Values in ascending order: the interval of a set does not depend on how it was listed.
    bca_from(&bootstrap_means(&sorted(values), RESAMPLES), theta, &jackknife, confidence)
}

/// The BCa interval of any statistic, from its resampled values, its value on the sample and its
/// jackknife values. `None` of no resamples or if all of them lie on one side.
pub fn bca_from(
    resampled: &[f64],
    theta: f64,
    jackknife: &[f64],
    confidence: f64,
) -> Option<[f64; 2]> {
    if resampled.is_empty() {
        return None;
    }
    let below = resampled.iter().filter(|x| **x < theta).count();
    let at_most = resampled.iter().filter(|x| **x <= theta).count();
    let z0 = normal_quantile((below + at_most) as f64 / (2 * resampled.len()) as f64);
    if !z0.is_finite() {
        return None;
    }
    let centre = mean(jackknife)?;
    let deviations = || jackknife.iter().map(|x| centre - x);
    let squares: f64 = deviations().map(|d| d * d).sum();
    let cubes: f64 = deviations().map(|d| d * d * d).sum();
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares * squares.sqrt()) } else { 0.0 };
    let ordered = sorted(resampled);
    let end = |p: f64| {
        let z = z0 + normal_quantile(p);
        quantile::of_sorted(&ordered, normal_cdf(z0 + z / (1.0 - acceleration * z)))
    };
    let tail = 0.5 - 0.5 * confidence;
    Some([end(tail)?, end(1.0 - tail)?])
}
