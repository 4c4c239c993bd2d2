//! exp, ln, tanh, sin, cos and their kin, of our own: libm's bits differ between machines.
//!
//! f32 functions are written once over [`Real`], in fused multiply-adds, so that a value has the
//! same bits alone ([`exp`]) and in any lane of a kernel. f64 functions ([`exp64`], ...) use plain
//! additions and multiplications, one value at a time: statistics and references want them, not
//! inner loops.
//!
//! Errors, measured against the standard library in f64 and against identities by the tests
//! below: `exp`, `ln`, `tanh` under 1.5 units in the last place, `sin` and `cos` under 0.51, the
//! f64 functions under 4 (of `lgamma64` below 8: 1e-14 absolute).
//!
//! ```
//! use flyroom_tensor::math;
//! assert_eq!(math::exp(0.0), 1.0);
//! assert_eq!(math::exp(f32::NEG_INFINITY), 0.0);
//! assert_eq!(math::ln(0.0), f32::NEG_INFINITY);
//! assert_eq!(math::log2_64(8.0), 3.0);
//! ```
//!
//! Method: argument reduction to a small interval (Cody and Waite 1980; for sin and cos of any
//! size Payne and Hanek 1983), then a polynomial: interpolated at Chebyshev nodes in f32, the Taylor
//! or the inverse hyperbolic tangent series in f64.

use crate::simd::Real;
use crate::simd::portable::One;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 to 15 bits, and the rest.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// 1.5 x 2^23: adding it rounds a small f32 to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// sum_i c[i] x^i by Horner's rule.
#[inline(always)]
fn polynomial<R: Real, const N: usize>(x: R, c: [f32; N]) -> R {
    let mut sum = R::splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum.fma(x, R::splat(c[i]));
    }
    sum
}

/// e^x in every lane: 0 below -104, infinity above 88.73.
#[inline(always)]
pub(crate) fn exp_lanes<R: Real>(x: R) -> R {
    // The bound comes first: `max` and `min` return their second operand when it is NaN. The lower one is
    // -254 ln 2, where both factors of 2^n are 0: a result that only rounds to 0 takes a CPU a hundred
    // cycles, and in softmax all that is masked is one.
    let x = R::splat(-176.06).max(R::splat(90.0).min(x));
    // x = n ln 2 + r, |r| <= ln(2) / 2.
    let shifted = x.fma(R::splat(LOG2_E), R::splat(ROUND));
    let n = shifted.sub(R::splat(ROUND));
    let r = n.fma(R::splat(-LN2_HIGH), x);
    let r = n.fma(R::splat(-LN2_LOW), r);
    // e^r = 1 + r + r^2 q(r), relative error 8e-10.
    let q = polynomial(
        r,
        [0.5, 0.166_666_67, 0.041_666_463, 0.008_333_310_5, 0.001_393_368_6, 0.000_198_910_3],
    );
    let e = q.fma(r.mul(r), r).add(R::splat(1.0));
    // 2^n in two factors, for results below the normal range and for n = 128.
    let n_bits = shifted.sub_bits(R::splat(ROUND));
    let half = n_bits.shift_right::<1>();
    let rest = n_bits.sub_bits(half);
    let one = R::splat(1.0);
    e.mul(half.shift_left::<23>().add_bits(one)).mul(rest.shift_left::<23>().add_bits(one))
}

/// P(Z <= x) and the density at x of a standard normal Z, in every lane.
#[inline(always)]
pub(crate) fn normal_lanes<R: Real>(x: R) -> (R, R) {
    let one = R::splat(1.0);
    let size = x.abs();
    let e = exp_lanes(size.mul(size).mul(R::splat(-0.5)));
    // The tail beyond s is e^(-s^2/2) u q(u) with u = 1 / (1 + 0.3 s), relative error 4.4e-9 to s = 14.
    let u = one.div(size.fma(R::splat(0.3), one));
    let q = polynomial(
        u,
        [
            0.119_687_69,
            0.119_551_76,
            0.110_405_18,
            0.077_589_065,
            0.098_480_74,
            -0.083_742_55,
            0.196_940_68,
            -0.232_038_48,
            0.114_040_27,
            -0.020_914_36,
        ],
    );
    let tail = e.mul(u.mul(q));
    let below = R::select(x.less(R::zero()), tail, one.sub(tail));
    (below, e.mul(R::splat(NORMAL_AT_ZERO as f32)))
}

/// ln x in every lane: -infinity at 0, NaN below.
#[inline(always)]
pub(crate) fn ln_lanes<R: Real>(x: R) -> R {
    // Subnormals are scaled by 2^23.
    let tiny = x.less(R::splat(f32::MIN_POSITIVE));
    let scaled = R::select(tiny, x.mul(R::splat(8_388_608.0)), x);
    let bias = R::select(tiny, R::splat(-23.0), R::splat(0.0));
    // x = 2^n m with m in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
    let above = scaled.sub_bits(R::splat_bits(0x3f35_04f3));
    let n_bits = above.shift_right::<23>();
    let m = scaled.sub_bits(n_bits.shift_left::<23>());
    // n as a float: n + 1.5 x 2^23 has n in its low bits.
    let n = n_bits.add_bits(R::splat(ROUND)).sub(R::splat(ROUND)).add(bias);
    let f = m.sub(R::splat(1.0));
    // ln(1 + f) = f - f^2 / 2 + f^3 q(f), relative error 3.4e-9.
    let q = polynomial(
        f,
        [
            0.333_333_3,
            -0.249_999_97,
            0.200_007_16,
            -0.166_678_03,
            0.142_490_58,
            -0.124_256_87,
            0.116_854_2,
            -0.114_797_34,
            0.069_716_12,
        ],
    );
    let square = f.mul(f);
    let tail = q.mul(f).fma(square, n.mul(R::splat(LN2_LOW)));
    let tail = square.fma(R::splat(-0.5), tail);
    let y = n.fma(R::splat(LN2_HIGH), f.add(tail));
    // 0 -> -infinity, below -> NaN, infinity and NaN -> themselves.
    let zero = R::splat(0.0);
    let y = R::select(zero.less(x), y, R::splat(f32::NAN));
    let y = R::select(x.equal(zero), R::splat(f32::NEG_INFINITY), y);
    R::select(x.less(R::splat(f32::INFINITY)), y, x)
}

/// tanh x in every lane.
#[inline(always)]
pub(crate) fn tanh_lanes<R: Real>(x: R) -> R {
    let size = x.abs();
    // Small: x + x^3 q(x^2), relative error 5e-9 up to 0.5625.
    let square = x.mul(x);
    let q = polynomial(
        square,
        [-0.333_333_3, 0.133_330_73, -0.053_901_754, 0.021_263_354, -0.006_525_572_4],
    );
    let small = q.mul(square).fma(x, x);
    // Large: 1 - 2 / (e^{2|x|} + 1), with the sign of x.
    let one = R::splat(1.0);
    let e = exp_lanes(size.add(size));
    let large = one.sub(R::splat(2.0).div(e.add(one)));
    R::select(size.less(R::splat(0.5625)), small, large).or(x.and(R::splat(-0.0)))
}

/// 1 / (1 + e^-x) in every lane.
#[inline(always)]
pub(crate) fn sigmoid_lanes<R: Real>(x: R) -> R {
    let one = R::splat(1.0);
    one.div(one.add(exp_lanes(x.neg())))
}

/// e^x.
pub fn exp(x: f32) -> f32 {
    exp_lanes(One(x)).0
}

/// Natural logarithm; -infinity at 0, NaN below.
pub fn ln(x: f32) -> f32 {
    ln_lanes(One(x)).0
}

/// Hyperbolic tangent.
pub fn tanh(x: f32) -> f32 {
    tanh_lanes(One(x)).0
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f32) -> f32 {
    sigmoid_lanes(One(x)).0
}

/// Sine of x radians: that of f64, rounded.
pub fn sin(x: f32) -> f32 {
    sin64(f64::from(x)) as f32
}

/// Cosine of x radians: that of f64, rounded.
pub fn cos(x: f32) -> f32 {
    cos64(f64::from(x)) as f32
}

/// Square root, correctly rounded (IEEE 754).
pub fn sqrt(x: f32) -> f32 {
    x.sqrt()
}

/// x^n by squaring, lowest bit of n first.
pub fn powi(x: f32, n: i32) -> f32 {
    powi64(f64::from(x), n) as f32
}

/// x^n by squaring, lowest bit of n first; the reciprocal at the end for negative n.
pub fn powi64(x: f64, n: i32) -> f64 {
    let mut left = n.unsigned_abs();
    let (mut power, mut result) = (x, 1.0);
    while left > 0 {
        if left & 1 == 1 {
            result *= power;
        }
        power *= power;
        left >>= 1;
    }
    if n < 0 { 1.0 / result } else { result }
}

/// 2^n, exactly, also where it is subnormal; 0 or infinity outside the range.
fn power_of_two(n: i32) -> f64 {
    match n {
        1024.. => f64::INFINITY,
        -1022..1024 => f64::from_bits(((n + 1023) as u64) << 52),
        -1074..-1022 => f64::from_bits(1 << (n + 1074)),
        _ => 0.0,
    }
}

/// ln 2 to 32 bits, and the rest.
const LN2_HIGH_64: f64 = 0.693_147_180_369_123_8;
const LN2_LOW_64: f64 = 1.908_214_929_270_587_7e-10;

/// sum_{i=1}^{terms} r^i / i!, from the smallest term.
fn exp_m1_series(r: f64, terms: u32) -> f64 {
    let mut sum = 0.0;
    for i in (2..=terms).rev() {
        sum = (sum + 1.0) * (r / f64::from(i));
    }
    r * sum + r
}

/// e^x.
pub fn exp64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 710.0 {
        return f64::INFINITY;
    }
    if x < -746.0 {
        return 0.0;
    }
    let n = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - n * LN2_HIGH_64) - n * LN2_LOW_64;
    let e = 1.0 + exp_m1_series(r, 14);
    let half = (n as i32) / 2;
    e * power_of_two(half) * power_of_two(n as i32 - half)
}

/// e^x - 1 without cancellation near 0.
pub fn exp_m1_64(x: f64) -> f64 {
    if x.abs() < 1.2 { exp_m1_series(x, 22) } else { exp64(x) - 1.0 }
}

/// x = 2^n m with m in [sqrt(1/2), sqrt(2)), for positive finite x.
fn split_exponent(x: f64) -> (f64, f64) {
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, 54) } else { (x, 0) };
    let above = x.to_bits().wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let n = (above as i64) >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub((n as u64) << 52));
    ((n - bias) as f64, m)
}

/// ln(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)), by 2 artanh(s) with s = f / (2 + f).
fn ln_1p_series(f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let mut sum = 0.0;
    for i in (1..=12).rev() {
        sum = (sum + 2.0 / f64::from(2 * i + 1)) * z;
    }
    // 2 s = f - s f, and s f = f^2 / 2 - s f^2 / 2: the large part of the result is exact.
    let half_square = 0.5 * f * f;
    f - (half_square - s * (half_square + sum))
}

/// Natural logarithm; -infinity at 0, NaN below.
pub fn ln64(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 {
        return if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    let (n, m) = split_exponent(x);
    n * LN2_HIGH_64 + (ln_1p_series(m - 1.0) + n * LN2_LOW_64)
}

/// ln(1 + x) without cancellation near 0.
pub fn ln_1p_64(x: f64) -> f64 {
    if x.abs() < 0.25 { ln_1p_series(x) } else { ln64(1.0 + x) }
}

/// Logarithm to base 2: exact for powers of two.
pub fn log2_64(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return ln64(x);
    }
    let (n, m) = split_exponent(x);
    n + ln_1p_series(m - 1.0) * std::f64::consts::LOG2_E
}

/// Logarithm to base 10: exact for powers of ten up to 10^22.
pub fn log10_64(x: f64) -> f64 {
    let y = ln64(x) * std::f64::consts::LOG10_E;
    let rounded = y.round_ties_even();
    let exact = (0.0..=22.0).contains(&rounded) && powi64(10.0, rounded as i32) == x;
    if exact { rounded } else { y }
}

/// x^y for positive x, as e^(y ln x): the relative error grows as |y ln x| units in the last place.
pub fn pow64(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    exp64(y * ln64(x))
}

/// Hyperbolic tangent.
pub fn tanh64(x: f64) -> f64 {
    let size = x.abs();
    let y = if size < 0.55 {
        let t = exp_m1_series(2.0 * size, 22);
        t / (t + 2.0)
    } else {
        1.0 - 2.0 / (exp64(2.0 * size) + 1.0)
    };
    y.copysign(x)
}

/// 1 / sqrt(2 pi).
const NORMAL_AT_ZERO: f64 = 0.398_942_280_401_432_7;

/// Density of a standard normal at x.
pub fn normal_density64(x: f64) -> f64 {
    NORMAL_AT_ZERO * exp64(-0.5 * x * x)
}

/// P(Z <= x) for a standard normal Z.
///
/// Near 0 by the series of Marsaglia (2004, eq. 1), 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...),
/// whose terms are all of one sign; beyond 4 by the continued fraction for the tail (Abramowitz
/// and Stegun 26.2.14), which keeps the relative precision of small tails.
pub fn normal_cdf64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let size = x.abs();
    if size > 39.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let density = normal_density64(size);
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

/// The first 1280 bits of 2 / pi after the point.
const TWO_OVER_PI: [u64; 20] = [
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
    0xf0cf_bc20_9af4_361d,
];

/// x = (4 j + quadrant) pi / 2 + r with |r| <= pi / 4, for finite x >= 0 (Payne and Hanek 1983).
fn reduce_quadrant(x: f64) -> (u64, f64) {
    if x < std::f64::consts::FRAC_PI_4 {
        return (0, x);
    }
    // x = m 2^e; x 2/pi mod 4 needs the bits of 2/pi from 2^(2 - e - 53) down: three words of
    // 64 bits after the first that matters give at least 192 - 53 - 64 bits of the fraction.
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    // Bits before `first` contribute multiples of 4 only.
    let first = (exponent - 2).max(0) as usize;
    let (word, shift) = (first / 64, first % 64);
    let take = |i: usize| {
        let get = |i: usize| TWO_OVER_PI.get(i).copied().unwrap_or(0);
        let high = get(word + i) << shift;
        if shift == 0 { high } else { high | (get(word + i + 1) >> (64 - shift)) }
    };
    // (m * window) as four words, most significant first; the window is 2/pi 2^first mod 1.
    let mut product = [0u64; 4];
    let mut carry = 0u128;
    for i in (0..4).rev() {
        let t = u128::from(mantissa) * u128::from(take(i)) + carry;
        product[i] = t as u64;
        carry = t >> 64;
    }
    // The value is 2^(exponent - first) (carry + product / 2^256), to be taken mod 4.
    let scale = exponent - first as i64;
    // Bring the point two bits below the top of a 256-bit word: shift left by scale + 64 - 2
    // counted from `carry`, which is the word above.
    let words = [carry as u64, product[0], product[1], product[2], product[3]];
    let point = 62 + scale;
    let at = |i: i64| -> u64 {
        // 64 bits that start `i` bits below the top of `words`.
        let (w, s) = ((i / 64) as usize, i % 64);
        let get = |j: usize| words.get(j).copied().unwrap_or(0);
        if s == 0 { get(w) } else { (get(w) << s) | (get(w + 1) >> (64 - s)) }
    };
    let top = at(point);
    let (mut high, mut low) = ((top << 2) | (at(point + 64) >> 62), at(point + 66));
    let mut quadrant = top >> 62;
    // The fraction of a quarter turn: above a half it is the next quadrant, from the other side.
    let negative = high >> 63 == 1;
    if negative {
        quadrant = (quadrant + 1) & 3;
        let value = !((u128::from(high) << 64) | u128::from(low)) + 1;
        high = (value >> 64) as u64;
        low = value as u64;
    }
    let fraction = (u128::from(high) << 64) | u128::from(low);
    // 2^-128 in f64, as two exact factors.
    let r = fraction as f64 * power_of_two(-128) * std::f64::consts::FRAC_PI_2;
    (quadrant, if negative { -r } else { r })
}

/// Sine and cosine of |r| <= pi / 4 by their Taylor series.
fn sin_cos_series(r: f64) -> (f64, f64) {
    let z = r * r;
    let (mut s, mut c) = (0.0, 0.0);
    for i in (2..=9).rev() {
        s = (1.0 - s) * z / f64::from((2 * i) * (2 * i + 1));
        c = (1.0 - c) * z / f64::from((2 * i) * (2 * i - 1));
    }
    let s = (1.0 - s) * z / 6.0;
    // cos = 1 - z/2 + z/2 c
    let half = 0.5 * z;
    let one_minus = 1.0 - half;
    let lost = (1.0 - one_minus) - half;
    (r - r * s, one_minus + (lost + half * c))
}

/// Sine and cosine of x radians; NaN for infinities.
pub fn sin_cos64(x: f64) -> (f64, f64) {
    if !x.is_finite() {
        return (f64::NAN, f64::NAN);
    }
    let (quadrant, r) = reduce_quadrant(x.abs());
    let (s, c) = sin_cos_series(r);
    let (s, c) = match quadrant {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    };
    (if x.is_sign_negative() { -s } else { s }, c)
}

/// Sine and cosine of x turns (2 pi x radians), for finite x: no argument is ever reduced by a
/// rounded pi.
pub fn sin_cos_turns64(x: f64) -> (f64, f64) {
    let quarters = 4.0 * (x - x.floor());
    let nearest = quarters.round_ties_even();
    let (s, c) = sin_cos_series((quarters - nearest) * std::f64::consts::FRAC_PI_2);
    match nearest as u8 & 3 {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

/// Sine of x radians.
pub fn sin64(x: f64) -> f64 {
    sin_cos64(x).0
}

/// Cosine of x radians.
pub fn cos64(x: f64) -> f64 {
    sin_cos64(x).1
}

/// The angle of tan(angle) = x, for x in 0..=1.
fn atan_unit(x: f64) -> f64 {
    // atan(x) = atan(c) + atan((x - c) / (1 + c x)) for the nearest eighth c.
    const ATAN: [f64; 9] = [
        0.0,
        0.124_354_994_546_761_44,
        0.244_978_663_126_864_15,
        0.358_770_670_270_572_25,
        0.463_647_609_000_806_1,
        0.558_599_315_343_562_4,
        0.643_501_108_793_284_4,
        0.718_829_999_621_624_5,
        std::f64::consts::FRAC_PI_4,
    ];
    let i = (8.0 * x).round_ties_even();
    let c = i / 8.0;
    let t = (x - c) / (1.0 + c * x);
    let z = t * t;
    let mut sum = 0.0;
    for i in (1..=8).rev() {
        sum = (1.0 / f64::from(2 * i + 1) - sum) * z;
    }
    ATAN[i as usize] + (t - t * sum)
}

/// The angle of the point (x, y), in (-pi, pi].
pub fn atan2_64(y: f64, x: f64) -> f64 {
    use std::f64::consts::{FRAC_PI_2, PI};
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let (ax, ay) = (x.abs(), y.abs());
    let angle = if ax == 0.0 && ay == 0.0 {
        0.0
    } else if ax.is_infinite() && ay.is_infinite() {
        std::f64::consts::FRAC_PI_4
    } else if ay <= ax {
        atan_unit(ay / ax)
    } else {
        FRAC_PI_2 - atan_unit(ax / ay)
    };
    let angle = if x.is_sign_negative() { PI - angle } else { angle };
    angle.copysign(y)
}

/// ln |gamma(x)|; infinity at 0, -1, -2, ...
///
/// Stirling's series (Abramowitz and Stegun 6.1.41) from 8 up, recurrence below, reflection for
/// negative x.
pub fn lgamma64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x <= 0.0 {
        if x == x.floor() {
            return f64::INFINITY;
        }
        // gamma(x) gamma(1 - x) = pi / sin(pi x)
        let fraction = x - 2.0 * (0.5 * x).floor();
        let sine = sin64(std::f64::consts::PI * fraction).abs();
        return ln64(std::f64::consts::PI / sine) - lgamma64(1.0 - x);
    }
    let (mut z, mut product) = (x, 1.0);
    while z < 8.0 {
        product *= z;
        z += 1.0;
    }
    let w = 1.0 / (z * z);
    const SERIES: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
        -3617.0 / 122_400.0,
    ];
    let tail = SERIES.iter().rev().fold(0.0, |sum, c| sum * w + c) / z;
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    (z - 0.5) * ln64(z) - z + HALF_LN_TAU + tail - ln64(product)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // the standard library's functions are the reference here

    use super::*;
    use crate::context::{Context, Kernels};
    use crate::kernels::elementwise;
    use crate::random::Stream;

    /// Distance in units in the last place of the f32 nearest to `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        let nearest = (want as f32).abs().max(f32::MIN_POSITIVE);
        let unit = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
        (f64::from(got) - want).abs() / unit
    }

    /// f32 bit patterns at a stride that is coprime to 2^32: every magnitude, both signs.
    fn spread() -> impl Iterator<Item = f32> {
        (0..1u32 << 20)
            .map(|i| f32::from_bits(i.wrapping_mul(4099).wrapping_add(77)))
            .filter(|x| x.is_finite())
            .chain((0..400_000).map(|i| (i as f32 - 200_000.0) * 0.000_53))
    }

    #[test]
    fn f32_functions_stay_within_their_stated_errors() {
        let (mut e, mut l, mut t, mut s) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for x in spread() {
            let y = f64::from(x);
            let want = y.exp();
            if want < f64::from(f32::MAX) && want > 1e-37 {
                e = e.max(ulps(exp(x), want));
            }
            if x > 0.0 {
                l = l.max(ulps(ln(x), y.ln()));
            }
            t = t.max(ulps(tanh(x), y.tanh()));
            s = s.max(ulps(sin(x), y.sin())).max(ulps(cos(x), y.cos()));
        }
        println!("ulps: exp {e:.3} ln {l:.3} tanh {t:.3} sin, cos {s:.3}");
        assert!(e < 1.5 && l < 1.5 && t < 1.5 && s < 0.51, "{e} {l} {t} {s}");
    }

    #[test]
    fn f32_functions_have_the_limits_of_analysis() {
        let inf = f32::INFINITY;
        assert_eq!(exp(-inf).to_bits(), 0);
        assert_eq!(exp(-104.0).to_bits(), 0);
        assert_eq!((exp(inf), exp(88.8), exp(0.0)), (inf, inf, 1.0));
        assert!(exp(88.72) < inf && exp(-103.0) > 0.0 && exp(f32::NAN).is_nan());
        assert_eq!((ln(0.0), ln(-0.0), ln(1.0), ln(inf)), (-inf, -inf, 0.0, inf));
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan() && ln(-inf).is_nan());
        assert_eq!((tanh(inf), tanh(-inf), tanh(20.0)), (1.0, -1.0, 1.0));
        assert_eq!((tanh(-0.0).to_bits(), tanh(0.0).to_bits()), (1 << 31, 0));
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!((sigmoid(inf), sigmoid(-inf), sigmoid(0.0)), (1.0, 0.0, 0.5));
        assert_eq!((powi(2.0, 10), powi(2.0, -2), powi(3.0, 0)), (1024.0, 0.25, 1.0));
    }

    #[test]
    fn a_value_alone_has_the_bits_of_the_same_value_in_a_lane() {
        let x: Vec<f32> = spread().step_by(7).collect();
        for kernels in Kernels::all_available() {
            let cx = Context::new(kernels, 1);
            let mut y = vec![0.0; x.len()];
            type Pair = (fn(&Context, &[f32], &mut [f32]), fn(f32) -> f32);
            let pairs: [Pair; 4] = [
                (elementwise::exp, exp),
                (elementwise::ln, ln),
                (elementwise::tanh, tanh),
                (elementwise::sigmoid, sigmoid),
            ];
            for (lanes, alone) in pairs {
                lanes(&cx, &x, &mut y);
                for (&x, y) in x.iter().zip(&y) {
                    let alone = alone(x);
                    assert!(
                        alone.to_bits() == y.to_bits() || alone.is_nan() && y.is_nan(),
                        "{kernels}: {x:e} {alone:e} {y:e}"
                    );
                }
            }
        }
    }

    /// Distance in units in the last place of `want`.
    fn ulps64(got: f64, want: f64) -> f64 {
        if got == want {
            return 0.0;
        }
        let size = want.abs().max(f64::MIN_POSITIVE);
        (got - want).abs() / (f64::from_bits(size.to_bits() + 1) - size)
    }

    #[test]
    fn f64_functions_stay_within_four_units_of_the_standard_library() {
        let mut g = Stream::new(0, "math").block(0);
        let mut worst = [0.0f64; 8];
        let mut note = |i: usize, x: f64, got: f64, want: f64| {
            let u = ulps64(got, want);
            assert!(u < 4.0, "function {i} at {x:e}: {got:e}, expected {want:e}, {u} units");
            worst[i] = worst[i].max(u);
        };
        for _ in 0..200_000 {
            let x = g.normal64() * exp64(4.0 * g.normal64());
            if x.abs() < 700.0 {
                note(0, x, exp64(x), x.exp());
            }
            note(1, x.abs(), ln64(x.abs()), x.abs().ln());
            note(2, x, tanh64(x), x.tanh());
            note(3, x, sin64(x), x.sin());
            note(4, x, cos64(x), x.cos());
            let y = g.normal64();
            note(5, x, atan2_64(x, y), x.atan2(y));
            note(6, x.abs(), log2_64(x.abs()), x.abs().log2());
            note(7, x.abs(), log10_64(x.abs()), x.abs().log10());
        }
        // Large arguments, where the whole of 2 / pi is needed.
        for i in 0..970 {
            let x = 1.234_567_89 * power_of_two(i);
            note(3, x, sin64(x), x.sin());
            note(4, x, cos64(x), x.cos());
        }
        println!("units: exp ln tanh sin cos atan2 log2 log10 {worst:.2?}");
    }

    #[test]
    fn f64_functions_have_exact_values_where_these_exist() {
        assert_eq!((exp64(0.0), exp64(f64::NEG_INFINITY), exp64(710.0)), (1.0, 0.0, f64::INFINITY));
        assert_eq!((ln64(1.0), ln64(0.0), ln64(-0.0)), (0.0, f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert!(ln64(-1.0).is_nan() && exp64(f64::NAN).is_nan() && sin64(f64::INFINITY).is_nan());
        for n in -1074..1024 {
            assert_eq!(log2_64(power_of_two(n)), f64::from(n));
        }
        for n in 0..23 {
            assert_eq!(log10_64(powi64(10.0, n)), f64::from(n));
        }
        assert_eq!((sin64(0.0), cos64(0.0), atan2_64(0.0, 1.0)), (0.0, 1.0, 0.0));
        assert_eq!(sin_cos_turns64(0.25), (1.0, 0.0));
        assert_eq!(sin_cos_turns64(-0.5).1, -1.0);
        use std::f64::consts::{FRAC_PI_4, PI};
        assert_eq!(atan2_64(0.0, -1.0), PI);
        assert_eq!(atan2_64(-1.0, -1.0), -3.0 * FRAC_PI_4);
    }

    #[test]
    fn lgamma_agrees_with_factorials_and_half_integers() {
        let mut factorial = 1.0f64;
        for n in 1..150 {
            let x = f64::from(n);
            assert!((lgamma64(x) - factorial.ln()).abs() <= 5e-15 * factorial.ln().max(1.0), "{n}");
            factorial *= x;
        }
        // gamma(1/2) = sqrt(pi), gamma(-1/2) = -2 sqrt(pi).
        let half_ln_pi = 0.5 * std::f64::consts::PI.ln();
        assert!((lgamma64(0.5) - half_ln_pi).abs() < 5e-15);
        assert!((lgamma64(-0.5) - (half_ln_pi + 2f64.ln())).abs() < 1e-14);
        assert_eq!(lgamma64(-3.0), f64::INFINITY);
        // 1e5: Stirling's series to the 1/(12 x) term, 1051287.7089736568949...
        assert!((lgamma64(1e5) - 1_051_287.708_973_656_9).abs() < 1e-9);
    }
}
