//! The normal distribution.

pub use flyroom_tensor::math::normal_cdf64 as normal_cdf;

/// The x with P(Z <= x) = p; infinite at 0 and 1, not a number outside.
pub fn normal_quantile(p: f64) -> f64 {
    match p {
        p if p.is_nan() || !(0.0..=1.0).contains(&p) => f64::NAN,
        0.0 => f64::NEG_INFINITY,
        0.5 => 0.0,
        1.0 => f64::INFINITY,
        // 1 - p is exact for p in 1/2..=1, and the lower half keeps its relative precision.
        p if p > 0.5 => -super::invert(normal_cdf, 1.0 - p, -39.0, 0.0),
        p => super::invert(normal_cdf, p, -39.0, 0.0),
    }
}
