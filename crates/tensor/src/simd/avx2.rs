//! The lanes of x86-64 with AVX2 and FMA: two 256-bit registers.

use super::{Real, Simd, Task};
use std::arch::x86_64::*;

/// Runs `task` compiled with AVX2 and FMA.
///
/// # Safety
/// The CPU has them.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<T: Task>(task: T) -> T::Output {
    task.run::<Lanes>()
}

/// Lanes 0..8 and 8..16.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(__m256, __m256);

/// One intrinsic as a method body.
macro_rules! op {
    // SAFETY: values of `Lanes` exist only inside `run`, where the CPU has the instruction.
    ($e:expr) => {
        unsafe { $e }
    };
}

/// An intrinsic of two vectors on both halves.
macro_rules! both {
    ($f:ident, $a:expr, $b:expr) => {
        Lanes(op!($f($a.0, $b.0)), op!($f($a.1, $b.1)))
    };
}

/// An integer intrinsic of two vectors on both halves.
macro_rules! both_int {
    ($f:ident, $a:expr, $b:expr) => {
        Lanes(
            op!(_mm256_castsi256_ps($f(_mm256_castps_si256($a.0), _mm256_castps_si256($b.0)))),
            op!(_mm256_castsi256_ps($f(_mm256_castps_si256($a.1), _mm256_castps_si256($b.1)))),
        )
    };
}

/// An integer shift on both halves.
macro_rules! both_shift {
    ($f:ident, $a:expr, $n:expr) => {
        Lanes(
            op!(_mm256_castsi256_ps($f(_mm256_castps_si256($a.0), _mm_cvtsi32_si128($n)))),
            op!(_mm256_castsi256_ps($f(_mm256_castps_si256($a.1), _mm_cvtsi32_si128($n)))),
        )
    };
}

/// An 8 x 8 transpose.
#[inline(always)]
fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    let mut t = r;
    for i in 0..4 {
        t[2 * i] = op!(_mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]));
        t[2 * i + 1] = op!(_mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
    }
    let mut q = t;
    for i in 0..2 {
        q[4 * i] = op!(_mm256_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]));
        q[4 * i + 1] = op!(_mm256_shuffle_ps::<0xee>(t[4 * i], t[4 * i + 2]));
        q[4 * i + 2] = op!(_mm256_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]));
        q[4 * i + 3] = op!(_mm256_shuffle_ps::<0xee>(t[4 * i + 1], t[4 * i + 3]));
    }
    let mut out = r;
    for j in 0..4 {
        out[j] = op!(_mm256_permute2f128_ps::<0x20>(q[j], q[4 + j]));
        out[4 + j] = op!(_mm256_permute2f128_ps::<0x31>(q[j], q[4 + j]));
    }
    out
}

impl Real for Lanes {
    type Mask = (__m256, __m256);
    #[inline(always)]
    fn splat(x: f32) -> Self {
        let x = op!(_mm256_set1_ps(x));
        Lanes(x, x)
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        both!(_mm256_add_ps, self, b)
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        both!(_mm256_sub_ps, self, b)
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        both!(_mm256_mul_ps, self, b)
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        both!(_mm256_div_ps, self, b)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Lanes(op!(_mm256_fmadd_ps(self.0, b.0, c.0)), op!(_mm256_fmadd_ps(self.1, b.1, c.1)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lanes(op!(_mm256_sqrt_ps(self.0)), op!(_mm256_sqrt_ps(self.1)))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        both!(_mm256_max_ps, self, b)
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        both!(_mm256_min_ps, self, b)
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        both!(_mm256_and_ps, self, b)
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        both!(_mm256_or_ps, self, b)
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        both!(_mm256_xor_ps, self, b)
    }
    #[inline(always)]
    fn add_bits(self, b: Self) -> Self {
        both_int!(_mm256_add_epi32, self, b)
    }
    #[inline(always)]
    fn sub_bits(self, b: Self) -> Self {
        both_int!(_mm256_sub_epi32, self, b)
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self) -> Self {
        both_shift!(_mm256_sll_epi32, self, N)
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        both_shift!(_mm256_sra_epi32, self, N)
    }
    #[inline(always)]
    fn less(self, b: Self) -> Self::Mask {
        (
            op!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, b.0)),
            op!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.1, b.1)),
        )
    }
    #[inline(always)]
    fn equal(self, b: Self) -> Self::Mask {
        (
            op!(_mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, b.0)),
            op!(_mm256_cmp_ps::<_CMP_EQ_OQ>(self.1, b.1)),
        )
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Lanes(op!(_mm256_blendv_ps(b.0, a.0, mask.0)), op!(_mm256_blendv_ps(b.1, a.1, mask.1)))
    }
}

impl Simd for Lanes {
    const TILE_ROWS: usize = 6;
    const TILE_VECTORS: usize = 1;
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        Lanes(op!(_mm256_loadu_ps(p)), op!(_mm256_loadu_ps(p.add(8))))
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        op!(_mm256_storeu_ps(p, self.0));
        op!(_mm256_storeu_ps(p.add(8), self.1));
    }
    #[inline(always)]
    fn transpose(rows: [Self; 16]) -> [Self; 16] {
        let mut out = rows;
        let mut block = [rows[0].0; 8];
        for i in 0..8 {
            block[i] = rows[i].0;
        }
        let top_left = transpose8(block);
        for i in 0..8 {
            block[i] = rows[i].1;
        }
        let top_right = transpose8(block);
        for i in 0..8 {
            block[i] = rows[8 + i].0;
        }
        let bottom_left = transpose8(block);
        for i in 0..8 {
            block[i] = rows[8 + i].1;
        }
        let bottom_right = transpose8(block);
        for i in 0..8 {
            out[i] = Lanes(top_left[i], bottom_left[i]);
            out[8 + i] = Lanes(top_right[i], bottom_right[i]);
        }
        out
    }
}
