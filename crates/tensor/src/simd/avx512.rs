//! The lanes of x86-64 with AVX-512F: one 512-bit register.

use super::{LANES, Real, Simd, Task};
use std::arch::x86_64::*;

/// Runs `task` compiled with AVX-512F, AVX2 and FMA.
///
/// # Safety
/// The CPU has them.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<T: Task>(task: T) -> T::Output {
    task.run::<Lanes>()
}

/// Sixteen values in a register.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(__m512);

/// One intrinsic as a method body.
macro_rules! op {
    // SAFETY: values of `Lanes` exist only inside `run`, where the CPU has the instruction.
    ($e:expr) => {
        unsafe { $e }
    };
}

#[inline(always)]
fn int(x: Lanes) -> __m512i {
    op!(_mm512_castps_si512(x.0))
}

#[inline(always)]
fn float(x: __m512i) -> Lanes {
    Lanes(op!(_mm512_castsi512_ps(x)))
}

impl Real for Lanes {
    type Mask = __mmask16;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Lanes(op!(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Lanes(op!(_mm512_add_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Lanes(op!(_mm512_sub_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Lanes(op!(_mm512_mul_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Lanes(op!(_mm512_div_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Lanes(op!(_mm512_fmadd_ps(self.0, b.0, c.0)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lanes(op!(_mm512_sqrt_ps(self.0)))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Lanes(op!(_mm512_max_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Lanes(op!(_mm512_min_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        float(op!(_mm512_and_si512(int(self), int(b))))
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        float(op!(_mm512_or_si512(int(self), int(b))))
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        float(op!(_mm512_xor_si512(int(self), int(b))))
    }
    #[inline(always)]
    fn add_bits(self, b: Self) -> Self {
        float(op!(_mm512_add_epi32(int(self), int(b))))
    }
    #[inline(always)]
    fn sub_bits(self, b: Self) -> Self {
        float(op!(_mm512_sub_epi32(int(self), int(b))))
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self) -> Self {
        float(op!(_mm512_sll_epi32(int(self), _mm_cvtsi32_si128(N))))
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        float(op!(_mm512_sra_epi32(int(self), _mm_cvtsi32_si128(N))))
    }
    #[inline(always)]
    fn less(self, b: Self) -> Self::Mask {
        op!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, b.0))
    }
    #[inline(always)]
    fn equal(self, b: Self) -> Self::Mask {
        op!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, b.0))
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Lanes(op!(_mm512_mask_blend_ps(mask, b.0, a.0)))
    }
}

impl Simd for Lanes {
    const TILE_ROWS: usize = 12;
    const TILE_VECTORS: usize = 2;
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        Lanes(op!(_mm512_loadu_ps(p)))
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        op!(_mm512_storeu_ps(p, self.0));
    }
    #[inline(always)]
    fn load_part(x: &[f32], fill: f32) -> Self {
        debug_assert!(x.len() <= LANES);
        let mask = ((1u32 << x.len()) - 1) as __mmask16;
        Lanes(op!(_mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, x.as_ptr())))
    }
    #[inline(always)]
    fn store_part(self, x: &mut [f32]) {
        debug_assert!(x.len() <= LANES);
        let mask = ((1u32 << x.len()) - 1) as __mmask16;
        op!(_mm512_mask_storeu_ps(x.as_mut_ptr(), mask, self.0));
    }
    #[inline(always)]
    fn transpose(r: [Self; 16]) -> [Self; 16] {
        let mut t = r;
        // Pairs, then quadruples of rows inside each 128-bit quarter.
        for i in 0..8 {
            t[2 * i] = Lanes(op!(_mm512_unpacklo_ps(r[2 * i].0, r[2 * i + 1].0)));
            t[2 * i + 1] = Lanes(op!(_mm512_unpackhi_ps(r[2 * i].0, r[2 * i + 1].0)));
        }
        let mut q = t;
        for i in 0..4 {
            let pd = [
                op!(_mm512_castps_pd(t[4 * i].0)),
                op!(_mm512_castps_pd(t[4 * i + 1].0)),
                op!(_mm512_castps_pd(t[4 * i + 2].0)),
                op!(_mm512_castps_pd(t[4 * i + 3].0)),
            ];
            q[4 * i] = Lanes(op!(_mm512_castpd_ps(_mm512_unpacklo_pd(pd[0], pd[2]))));
            q[4 * i + 1] = Lanes(op!(_mm512_castpd_ps(_mm512_unpackhi_pd(pd[0], pd[2]))));
            q[4 * i + 2] = Lanes(op!(_mm512_castpd_ps(_mm512_unpacklo_pd(pd[1], pd[3]))));
            q[4 * i + 3] = Lanes(op!(_mm512_castpd_ps(_mm512_unpackhi_pd(pd[1], pd[3]))));
        }
        // q[4i + j] holds, in quarter c, rows 4i..4i+4 of column 4c + j: gather the quarters.
        let mut out = r;
        for j in 0..4 {
            let even_low = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(q[j].0, q[4 + j].0));
            let odd_low = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(q[j].0, q[4 + j].0));
            let even_high = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(q[8 + j].0, q[12 + j].0));
            let odd_high = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(q[8 + j].0, q[12 + j].0));
            out[j] = Lanes(op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(even_low, even_high)));
            out[8 + j] = Lanes(op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(even_low, even_high)));
            out[4 + j] = Lanes(op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd_low, odd_high)));
            out[12 + j] = Lanes(op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd_low, odd_high)));
        }
        out
    }
}
