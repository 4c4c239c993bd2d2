//! The lanes of any CPU: an array, and a fused multiply-add that is exact without hardware.
//!
//! The product of two f32 is exact in f64 (24 + 24 bits of 53). The sum with c is rounded to odd
//! in f64: when the rounded sum is inexact (two-sum gives its error) and its last bit is even, it
//! moves one step towards the exact value. Rounding an odd-rounded value of at least 2 x 24 + 2
//! bits to f32 gives the correctly rounded result (Boldo and Melquiond 2008, "Emulation of FMA
//! and correctly rounded sums: proved algorithms using rounding to odd").

use super::{LANES, Real, Simd};

/// `a * b + c` with one rounding.
#[inline(always)]
pub(crate) fn soft_fma(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let sum = product + c;
    // Two-sum (Knuth): product + c = sum + error, exactly.
    let back = sum - product;
    let error = (product - (sum - back)) + (c - back);
    let bits = sum.to_bits();
    // Towards the exact value: away from zero when the error has the sign of the sum.
    let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u64::MAX };
    let inexact = error != 0.0 && sum.is_finite();
    let odd = if inexact && bits & 1 == 0 { bits.wrapping_add(step) } else { bits };
    f64::from_bits(odd) as f32
}

/// Sixteen values in memory.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lanes([f32; LANES]);

#[inline(always)]
fn bits2(a: Lanes, b: Lanes, f: impl Fn(u32, u32) -> u32) -> Lanes {
    Lanes(std::array::from_fn(|i| f32::from_bits(f(a.0[i].to_bits(), b.0[i].to_bits()))))
}

#[inline(always)]
fn map2(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes(std::array::from_fn(|i| f(a.0[i], b.0[i])))
}

impl Real for Lanes {
    type Mask = [bool; LANES];
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Lanes([x; LANES])
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        map2(self, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        map2(self, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        map2(self, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        map2(self, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Lanes(std::array::from_fn(|i| soft_fma(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lanes(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        map2(self, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        map2(self, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        bits2(self, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        bits2(self, b, |a, b| a | b)
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        bits2(self, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn add_bits(self, b: Self) -> Self {
        bits2(self, b, u32::wrapping_add)
    }
    #[inline(always)]
    fn sub_bits(self, b: Self) -> Self {
        bits2(self, b, u32::wrapping_sub)
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self) -> Self {
        bits2(self, self, |a, _| a << N)
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        bits2(self, self, |a, _| (a as i32 >> N) as u32)
    }
    #[inline(always)]
    fn less(self, b: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] < b.0[i])
    }
    #[inline(always)]
    fn equal(self, b: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] == b.0[i])
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Lanes(std::array::from_fn(|i| if mask[i] { a.0[i] } else { b.0[i] }))
    }
}

impl Simd for Lanes {
    const TILE_ROWS: usize = 4;
    const TILE_VECTORS: usize = 1;
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Lanes(unsafe { p.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn transpose(rows: [Self; 16]) -> [Self; 16] {
        std::array::from_fn(|i| Lanes(std::array::from_fn(|j| rows[j].0[i])))
    }
}

/// One value: the same operations without lanes.
#[derive(Clone, Copy)]
pub(crate) struct One(pub f32);

impl Real for One {
    type Mask = bool;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        One(x)
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        One(self.0 + b.0)
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        One(self.0 - b.0)
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        One(self.0 * b.0)
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        One(self.0 / b.0)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        One(soft_fma(self.0, b.0, c.0))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        One(self.0.sqrt())
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        if self.0 > b.0 { self } else { b }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        if self.0 < b.0 { self } else { b }
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        One(f32::from_bits(self.0.to_bits() & b.0.to_bits()))
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        One(f32::from_bits(self.0.to_bits() | b.0.to_bits()))
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        One(f32::from_bits(self.0.to_bits() ^ b.0.to_bits()))
    }
    #[inline(always)]
    fn add_bits(self, b: Self) -> Self {
        One(f32::from_bits(self.0.to_bits().wrapping_add(b.0.to_bits())))
    }
    #[inline(always)]
    fn sub_bits(self, b: Self) -> Self {
        One(f32::from_bits(self.0.to_bits().wrapping_sub(b.0.to_bits())))
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self) -> Self {
        One(f32::from_bits(self.0.to_bits() << N))
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        One(f32::from_bits((self.0.to_bits() as i32 >> N) as u32))
    }
    #[inline(always)]
    fn less(self, b: Self) -> bool {
        self.0 < b.0
    }
    #[inline(always)]
    fn equal(self, b: Self) -> bool {
        self.0 == b.0
    }
    #[inline(always)]
    fn select(mask: bool, a: Self, b: Self) -> Self {
        if mask { a } else { b }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Bit patterns where rounding is hard: any, and near cancellation, overflow and the subnormals.
    fn hard(g: &mut crate::random::Generator) -> (f32, f32, f32) {
        let mut any = || f32::from_bits(g.next_u32());
        let (a, b, c) = (any(), any(), any());
        let kind = g.below(4);
        let nudge = g.below(5) as u32;
        let product = (f64::from(a) * f64::from(b)) as f32;
        match kind {
            0 => (a, b, c),
            // c is about -a b: what is left has few bits.
            1 => (a, b, -f32::from_bits(product.to_bits().wrapping_add(nudge).wrapping_sub(2))),
            // c is tiny beside a b, or its half unit: ties.
            2 => (a, b, product * 2f32.powi(-(20 + g.below(10) as i32))),
            // Exponents near those of the smallest normal number.
            _ => {
                let small = |x: f32, e: u32| f32::from_bits(x.to_bits() & 0x807f_ffff | e << 23);
                let e = g.below(120) as u32 + 4;
                (small(a, e), small(b, 125 - e + nudge), small(c, nudge))
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn soft_fma_has_the_bits_of_the_hardware() {
        #[target_feature(enable = "fma")]
        unsafe fn hardware(a: f32, b: f32, c: f32) -> f32 {
            use std::arch::x86_64::*;
            _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)))
        }
        if !std::arch::is_x86_feature_detected!("fma") {
            println!("skipped: this CPU has no fused multiply-add");
            return;
        }
        let mut g = Stream::new(0, "fma").block(0);
        for _ in 0..4_000_000 {
            let (a, b, c) = hard(&mut g);
            // SAFETY: checked above.
            let want = unsafe { hardware(a, b, c) };
            let got = soft_fma(a, b, c);
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{a:e} * {b:e} + {c:e} = {want:e}, not {got:e}"
            );
        }
    }

    #[test]
    fn soft_fma_rounds_once() {
        // (1 + 2^-12)^2 - (1 + 2^-11) = 2^-24, which a rounded product loses.
        let x = 1.0 + 2f32.powi(-12);
        assert_eq!(soft_fma(x, x, -(1.0 + 2f32.powi(-11))), 2f32.powi(-24));
        assert_eq!(soft_fma(f32::MAX, 2.0, -f32::MAX), f32::MAX);
        assert_eq!(soft_fma(f32::MAX, 2.0, 0.0), f32::INFINITY);
        assert_eq!(soft_fma(-1.0, 0.0, 0.0).to_bits(), 0);
    }
}
