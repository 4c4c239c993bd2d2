//! Student's t for whole degrees of freedom, where its distribution has a closed form.

use flyroom_tensor::math::atan2_64;

/// P(T <= t) with `df` degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4): finite sums
/// of powers of a cosine, plus one arc tangent where `df` is odd.
///
/// # Panics
/// If `df` is 0.
pub fn t_cdf(t: f64, df: u32) -> f64 {
    assert!(df > 0, "Student's t has at least one degree of freedom");
    let nu = f64::from(df);
    // theta = atan(t / sqrt(nu)) by its cosine and sine.
    let cos2 = nu / (nu + t * t);
    let sin = t / (nu + t * t).sqrt();
    let central = if df % 2 == 1 {
        let theta = atan2_64(t, nu.sqrt());
        let (mut term, mut sum) = (cos2.sqrt(), 0.0);
        for k in (3..df + 1).step_by(2) {
            sum += term;
            term *= cos2 * f64::from(k - 1) / f64::from(k);
        }
        (theta + sin * sum) * std::f64::consts::FRAC_2_PI
    } else {
        let (mut term, mut sum) = (1.0, 0.0);
        for k in (2..df + 1).step_by(2) {
            sum += term;
            term *= cos2 * f64::from(k - 1) / f64::from(k);
        }
        sin * sum
    };
    (0.5 + 0.5 * central).clamp(0.0, 1.0)
}

/// The t with P(T <= t) = p, for p in (0, 1).
///
/// # Panics
/// If `df` is 0.
pub fn t_quantile(p: f64, df: u32) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    if p < 0.5 {
        return -t_quantile(1.0 - p, df);
    }
    let mut high = 1.0;
    while t_cdf(high, df) < p && high < 1e12 {
        high *= 2.0;
    }
    super::invert(|t| t_cdf(t, df), p, 0.0, high)
}
