//! Sixteen lanes of f32, whatever the CPU: the one vector type of which every kernel is written.
//!
//! [`Simd`] is implemented by `portable::Lanes` (an array and an exact fused multiply-add in
//! software), `avx2::Lanes` (two 256-bit registers), `avx512::Lanes` (one of 512 bits) and
//! `neon::Lanes` (four of 128). Each operation is the IEEE one in every lane, so a kernel that is
//! written once over [`Simd`] has the same bits on all of them. [`Real`] is the part of it that makes
//! sense for one value too (`portable::One`), so that the functions of [`crate::math`] have the same
//! bits for a value alone and in any lane.
//!
//! A kernel is a [`Task`]: a struct of its slices whose `run::<S>` is generic and
//! `#[inline(always)]`. [`dispatch`] calls it inside a function that is compiled with the chosen
//! instructions (`#[target_feature]`), into which everything is inlined.
//!
//! No closures inside a task: a closure is a function of its own, which is compiled without the
//! instructions and, where it is not inlined, calls every operation as a function.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

use crate::context::{Context, Kernels};

/// Lanes of a vector: also the number of virtual lanes of the canonical sum.
pub(crate) const LANES: usize = 16;

/// f32 arithmetic in one lane or in sixteen: that of which [`crate::math`] is written.
///
/// Vectors are only made inside [`dispatch`], which runs on a CPU that has the instructions; that
/// is what makes the methods safe to call.
pub(crate) trait Real: Copy {
    /// A truth value for each lane.
    type Mask: Copy;

    /// `x` in every lane.
    fn splat(x: f32) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// `self * b + c` with one rounding.
    fn fma(self, b: Self, c: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self > b ? self : b`: of two equal or unordered values, `b`.
    fn max(self, b: Self) -> Self;
    /// `self < b ? self : b`: of two equal or unordered values, `b`.
    fn min(self, b: Self) -> Self;

    /// Bitwise and.
    fn and(self, b: Self) -> Self;
    /// Bitwise or.
    fn or(self, b: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, b: Self) -> Self;
    /// Adds the bit patterns as wrapping 32-bit integers.
    fn add_bits(self, b: Self) -> Self;
    /// Subtracts the bit patterns as wrapping 32-bit integers.
    fn sub_bits(self, b: Self) -> Self;
    /// Shifts the bit patterns left.
    fn shift_left<const N: i32>(self) -> Self;
    /// Shifts the bit patterns right, keeping the sign (arithmetic shift).
    fn shift_right<const N: i32>(self) -> Self;

    /// `self < b`, false when unordered.
    fn less(self, b: Self) -> Self::Mask;
    /// `self == b`, false when unordered.
    fn equal(self, b: Self) -> Self::Mask;
    /// `mask ? a : b`.
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;

    /// +0 in every lane.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }
    #[inline(always)]
    fn splat_bits(bits: u32) -> Self {
        Self::splat(f32::from_bits(bits))
    }
    #[inline(always)]
    fn neg(self) -> Self {
        self.xor(Self::splat(-0.0))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.and(Self::splat_bits(0x7fff_ffff))
    }
}

/// Sixteen f32 values.
pub(crate) trait Simd: Real {
    /// Rows of the product's register tile.
    const TILE_ROWS: usize;
    /// Vectors in each row of the product's register tile.
    const TILE_VECTORS: usize;

    /// # Safety
    /// Sixteen readable values at `p`.
    unsafe fn load_ptr(p: *const f32) -> Self;
    /// # Safety
    /// Sixteen writable values at `p`.
    unsafe fn store_ptr(self, p: *mut f32);
    /// The 16 x 16 matrix whose rows are `rows`, transposed.
    fn transpose(rows: [Self; 16]) -> [Self; 16];

    #[inline(always)]
    fn load(x: &[f32; LANES]) -> Self {
        // SAFETY: sixteen values.
        unsafe { Self::load_ptr(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32; LANES]) {
        // SAFETY: sixteen values.
        unsafe { self.store_ptr(x.as_mut_ptr()) }
    }
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut x = [0.0; LANES];
        self.store(&mut x);
        x
    }
    /// At most sixteen values, `fill` in the lanes after them.
    #[inline(always)]
    fn load_part(x: &[f32], fill: f32) -> Self {
        let mut lanes = [fill; LANES];
        lanes[..x.len()].copy_from_slice(x);
        Self::load(&lanes)
    }
    /// The first `x.len()` (at most sixteen) lanes.
    #[inline(always)]
    fn store_part(self, x: &mut [f32]) {
        x.copy_from_slice(&self.to_array()[..x.len()]);
    }
    /// The sum of the lanes: halves are added, 8 then 4 then 2 then 1.
    #[inline(always)]
    fn fold_add(self) -> f32 {
        let mut x = self.to_array();
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                x[i] += x[i + half];
            }
            half /= 2;
        }
        x[0]
    }
    /// The greatest of the lanes.
    #[inline(always)]
    fn fold_max(self) -> f32 {
        let mut x = self.to_array();
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                x[i] = if x[i] > x[i + half] { x[i] } else { x[i + half] };
            }
            half /= 2;
        }
        x[0]
    }
}

/// Asks for the cache line at `p`, which need not be readable.
#[inline(always)]
pub(crate) fn prefetch(p: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A piece of work that is written once for every instruction set.
pub(crate) trait Task {
    /// What it returns.
    type Output;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self) -> Self::Output;
}

/// Runs `task` compiled for the kernels of `cx`.
pub(crate) fn dispatch<T: Task>(cx: &Context, task: T) -> T::Output {
    match cx.kernels() {
        Kernels::Portable => task.run::<portable::Lanes>(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a context only holds kernels that the CPU has.
        Kernels::Avx2 => unsafe { avx2::run(task) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a context only holds kernels that the CPU has.
        Kernels::Avx512 => unsafe { avx512::run(task) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a context only holds kernels that the CPU has.
        Kernels::Neon => unsafe { neon::run(task) },
        #[allow(unreachable_patterns)]
        _ => task.run::<portable::Lanes>(),
    }
}
