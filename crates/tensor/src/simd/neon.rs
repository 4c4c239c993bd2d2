//! The lanes of 64-bit ARM: four 128-bit registers.

use super::{LANES, Real, Simd, Task};
use std::arch::aarch64::*;

/// Runs `task` compiled with NEON.
///
/// # Safety
/// The CPU has it.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<T: Task>(task: T) -> T::Output {
    task.run::<Lanes>()
}

/// Lanes 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([float32x4_t; 4]);

/// An expression for each of the four registers `i`.
macro_rules! four {
    // SAFETY: values of `Lanes` exist only inside `run`, where the CPU has the instruction.
    ($i:ident, $e:expr) => {{
        let f = [
            {
                let $i = 0;
                unsafe { $e }
            },
            {
                let $i = 1;
                unsafe { $e }
            },
            {
                let $i = 2;
                unsafe { $e }
            },
            {
                let $i = 3;
                unsafe { $e }
            },
        ];
        f
    }};
}

/// An expression of two integer vectors for each of the four registers.
macro_rules! four_int {
    ($f:ident, $a:expr, $b:expr) => {
        Lanes(four!(
            i,
            vreinterpretq_f32_u32($f(
                vreinterpretq_u32_f32($a.0[i]),
                vreinterpretq_u32_f32($b.0[i])
            ))
        ))
    };
}

impl Real for Lanes {
    type Mask = [uint32x4_t; 4];
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Lanes(four!(_i, vdupq_n_f32(x)))
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Lanes(four!(i, vaddq_f32(self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Lanes(four!(i, vsubq_f32(self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Lanes(four!(i, vmulq_f32(self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Lanes(four!(i, vdivq_f32(self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Lanes(four!(i, vfmaq_f32(c.0[i], self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lanes(four!(i, vsqrtq_f32(self.0[i])))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        // Not `vmaxq_f32`, which orders zeros and returns NaN.
        Lanes(four!(i, vbslq_f32(vcgtq_f32(self.0[i], b.0[i]), self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Lanes(four!(i, vbslq_f32(vcltq_f32(self.0[i], b.0[i]), self.0[i], b.0[i])))
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        four_int!(vandq_u32, self, b)
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        four_int!(vorrq_u32, self, b)
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        four_int!(veorq_u32, self, b)
    }
    #[inline(always)]
    fn add_bits(self, b: Self) -> Self {
        four_int!(vaddq_u32, self, b)
    }
    #[inline(always)]
    fn sub_bits(self, b: Self) -> Self {
        four_int!(vsubq_u32, self, b)
    }
    #[inline(always)]
    fn shift_left<const N: i32>(self) -> Self {
        Lanes(four!(
            i,
            vreinterpretq_f32_s32(vshlq_s32(vreinterpretq_s32_f32(self.0[i]), vdupq_n_s32(N)))
        ))
    }
    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        // A shift left by a negative count is an arithmetic shift right.
        Lanes(four!(
            i,
            vreinterpretq_f32_s32(vshlq_s32(vreinterpretq_s32_f32(self.0[i]), vdupq_n_s32(-N)))
        ))
    }
    #[inline(always)]
    fn less(self, b: Self) -> Self::Mask {
        four!(i, vcltq_f32(self.0[i], b.0[i]))
    }
    #[inline(always)]
    fn equal(self, b: Self) -> Self::Mask {
        four!(i, vceqq_f32(self.0[i], b.0[i]))
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Lanes(four!(i, vbslq_f32(mask[i], a.0[i], b.0[i])))
    }
}

impl Simd for Lanes {
    const TILE_ROWS: usize = 6;
    const TILE_VECTORS: usize = 1;
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        Lanes(four!(i, vld1q_f32(p.add(4 * i))))
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        four!(i, vst1q_f32(p.add(4 * i), self.0[i]));
    }
    #[inline(always)]
    fn transpose(rows: [Self; 16]) -> [Self; 16] {
        let mut cells = [[0.0f32; LANES]; LANES];
        for (i, row) in rows.into_iter().enumerate() {
            let row = row.to_array();
            for j in 0..LANES {
                cells[j][i] = row[j];
            }
        }
        let mut out = rows;
        for i in 0..LANES {
            out[i] = Self::load(&cells[i]);
        }
        out
    }
}
