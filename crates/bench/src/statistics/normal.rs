//! The normal distribution.

use flyroom_tensor::math::exp64;

/// 1 / sqrt(2 pi).
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_7;

/// P(Z <= x) for a standard normal Z.
///
/// Near 0 by the series of Marsaglia (2004, eq. 1), 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...),
/// whose terms are all of one sign; beyond 4 by the continued fraction for the tail (Abramowitz
/// and Stegun 26.2.14), which keeps the relative precision of small tails.
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let size = x.abs();
    if size > 39.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let density = DENSITY_AT_ZERO * exp64(-0.5 * size * size);
    if size < 4.0 {
        let (mut term, mut sum, mut k) = (size, 0.0, 1.0);
        while sum + term > sum {
            sum += term;
            k += 2.0;
            term *= size * size / k;
        }
        let half = density * sum;
        return if x > 0.0 { 0.5 + half } else { 0.5 - half };
    }
    let mut fraction = size;
    for k in (1..=120).rev() {
        fraction = size + f64::from(k) / fraction;
    }
    let tail = density / fraction;
    if x > 0.0 { 1.0 - tail } else { tail }
}

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
