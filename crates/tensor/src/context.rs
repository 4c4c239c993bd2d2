//! Which instructions and how many threads: the two things that may change the time of a result
//! and never its bits.
//!
//! [`Kernels`] names an instruction set, [`Context`] pairs one with a pool of threads. Every
//! kernel of this crate takes a context first. Threads divide *outputs* ([`Context::split`],
//! [`Context::ranges`]); a sum is always done by one thread in the order of docs/bits.md.
//!
//! ```
//! use flyroom_tensor::context::{Context, Kernels};
//! let cx = Context::new(Kernels::detect(), 2);
//! let mut out = vec![0.0; 6];
//! cx.split(&mut out, 2, 1, |start, chunk| {
//!     for (i, pair) in chunk.chunks_mut(2).enumerate() {
//!         pair.fill((start + i) as f32);
//!     }
//! });
//! assert_eq!(out, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
//! ```

use crate::pool::Pool;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An instruction set for which the kernels are compiled. All give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kernels {
    /// Plain Rust with an exact fused multiply-add in software; runs everywhere, slowly.
    Portable,
    /// x86-64 with AVX2 and FMA (Intel since 2013, AMD since 2015).
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl Kernels {
    /// Every instruction set, slowest first.
    pub const ALL: [Kernels; 4] =
        [Kernels::Portable, Kernels::Neon, Kernels::Avx2, Kernels::Avx512];

    /// The fastest set that this CPU has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|kernels| kernels.available()).unwrap_or(Kernels::Portable)
    }

    /// Whether this CPU (and this build) has the instructions.
    pub fn available(self) -> bool {
        match self {
            Kernels::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => {
                Kernels::Avx2.available() && std::arch::is_x86_feature_detected!("avx512f")
            }
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The sets that this CPU has, slowest first.
    pub fn all_available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|k| k.available()).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Kernels::Portable => "portable",
            Kernels::Avx2 => "avx2",
            Kernels::Avx512 => "avx512",
            Kernels::Neon => "neon",
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a name does not select kernels.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KernelsError {
    /// Not one of the known names.
    #[error("no kernels are called `{0}`; hint: auto, portable, avx2, avx512 or neon")]
    Unknown(String),
    /// A known name, but the CPU lacks the instructions.
    #[error("this CPU has no {0} instructions; hint: `auto` picks the best that it has")]
    Unavailable(Kernels),
}

impl FromStr for Kernels {
    type Err = KernelsError;

    /// Reads `auto`, `portable`, `avx2`, `avx512` or `neon`; an error when this CPU lacks it.
    fn from_str(name: &str) -> Result<Self, KernelsError> {
        if name == "auto" {
            return Ok(Kernels::detect());
        }
        let kernels = Self::ALL
            .into_iter()
            .find(|k| k.name() == name)
            .ok_or_else(|| KernelsError::Unknown(name.to_owned()))?;
        if kernels.available() { Ok(kernels) } else { Err(KernelsError::Unavailable(kernels)) }
    }
}

/// Work below this cost (in element operations, about a third of a nanosecond each) is not worth
/// handing to another thread.
const MIN_COST_PER_CHUNK: usize = 8 * 1024;

/// Kernels and threads. Cheap to clone: clones share the pool.
#[derive(Clone)]
pub struct Context {
    kernels: Kernels,
    threads: usize,
    /// `threads - 1` helpers; the calling thread is the last worker. `None` for one thread.
    pool: Option<Arc<Pool>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {} threads)", self.kernels, self.threads)
    }
}

impl Context {
    /// A context of `threads` threads (0 counts as 1), the caller's among them.
    ///
    /// # Panics
    /// If this CPU lacks `kernels`; parse the name with [`Kernels::from_str`] to get an error
    /// instead. If the operating system gives no threads, the context has one.
    pub fn new(kernels: Kernels, threads: usize) -> Self {
        assert!(kernels.available(), "{}", KernelsError::Unavailable(kernels));
        let threads = threads.max(1);
        let pool = Pool::new(threads - 1);
        let threads = pool.helpers() + 1;
        let pool = (threads > 1).then(|| Arc::new(pool));
        Self { kernels, threads, pool }
    }

    /// The best kernels that this CPU has, on the calling thread alone.
    pub fn single() -> Self {
        Self::new(Kernels::detect(), 1)
    }

    /// The same kernels on the calling thread alone: for what one of several threads does.
    pub fn alone(&self) -> Self {
        Self { kernels: self.kernels, threads: 1, pool: None }
    }

    /// How many threads work, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Calls `f` once for each of `0..tasks`, on all threads, in no particular order.
    pub fn each(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        match &self.pool {
            Some(pool) if tasks > 1 => {
                let next = AtomicUsize::new(0);
                pool.run(&|| {
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            break;
                        }
                        f(task);
                    }
                });
            }
            _ => (0..tasks).for_each(f),
        }
    }

    /// Cuts `0..units` into ranges and calls `f` for each, on several threads where the whole
    /// cost (`units * cost_per_unit` element operations) is worth it.
    pub fn ranges(&self, units: usize, cost_per_unit: usize, f: impl Fn(Range<usize>) + Sync) {
        if units == 0 {
            return;
        }
        let cost = units.saturating_mul(cost_per_unit.max(1));
        // Two ranges a thread: a thread that is late for one may leave the next to another.
        let chunks = (cost / MIN_COST_PER_CHUNK).min(2 * self.threads).min(units).max(1);
        if self.threads == 1 || chunks == 1 {
            return f(0..units);
        }
        self.each(chunks, |i| {
            f(units * i / chunks..units * (i + 1) / chunks);
        });
    }

    /// Cuts `out` into contiguous chunks of whole units (`unit` elements each; the last unit may
    /// be short) and calls `f(start_unit, chunk)`, perhaps on several threads.
    pub fn split(
        &self,
        out: &mut [f32],
        unit: usize,
        cost_per_unit: usize,
        f: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let unit = unit.max(1);
        let len = out.len();
        let shared = SharedMut::new(out);
        self.ranges(len.div_ceil(unit), cost_per_unit, |range| {
            let elements = range.start * unit..(range.end * unit).min(len);
            // SAFETY: `ranges` hands out disjoint ranges of units.
            f(range.start, unsafe { shared.slice(elements) });
        });
    }

    /// [`Context::split`] of several arrays at once: `out[i]` has `units[i]` elements for each of
    /// equally many units.
    ///
    /// # Panics
    /// If the arrays have not equally many units.
    pub fn split_all<const N: usize>(
        &self,
        out: [&mut [f32]; N],
        units: [usize; N],
        cost_per_unit: usize,
        f: impl Fn(usize, [&mut [f32]; N]) + Sync,
    ) {
        let units = units.map(|unit| unit.max(1));
        let count = out.first().map_or(0, |out| out.len() / units[0]);
        assert!(out.iter().zip(units).all(|(out, unit)| out.len() == count * unit));
        let shared = out.map(SharedMut::new);
        self.ranges(count, cost_per_unit, |range| {
            // SAFETY: `ranges` hands out disjoint ranges of units.
            let parts = std::array::from_fn(|i| unsafe {
                shared[i].slice(range.start * units[i]..range.end * units[i])
            });
            f(range.start, parts);
        });
    }
}

/// A mutable slice that several threads write in disjoint places.
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    lifetime: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: only `slice` and `ptr` give access, and their callers promise disjoint places.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as for the slice that it was made from.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), lifetime: std::marker::PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No element is reachable by two live slices.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds by the line above, not shared by the caller's promise.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start)
        }
    }

    /// The elements of `range`, to be read.
    ///
    /// # Safety
    /// No element is reachable by a live slice that can be written.
    pub(crate) unsafe fn read(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds by the line above, not written by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// The address of the first element, for writes to scattered places.
    pub(crate) fn ptr(&self) -> *mut T {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_visited_once_whatever_the_threads() {
        for threads in 1..5 {
            let cx = Context::new(Kernels::Portable, threads);
            for (len, unit) in [(0, 3), (1, 3), (7, 3), (100_003, 7), (200_000, 1)] {
                let mut out = vec![0.0; len];
                cx.split(&mut out, unit, 1000, |start, chunk| {
                    for (i, x) in chunk.iter_mut().enumerate() {
                        *x += (start * unit + i + 1) as f32;
                    }
                });
                assert!(out.iter().enumerate().all(|(i, &x)| x == (i + 1) as f32));
            }
        }
    }

    #[test]
    fn names_are_read_back_and_unknown_ones_are_errors() {
        for kernels in Kernels::all_available() {
            assert_eq!(kernels.to_string().parse(), Ok(kernels));
        }
        assert_eq!("auto".parse(), Ok(Kernels::detect()));
        assert_eq!("sse9".parse::<Kernels>(), Err(KernelsError::Unknown("sse9".into())));
        let lacking = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
        assert!(matches!(lacking.parse::<Kernels>(), Err(KernelsError::Unavailable(_))));
    }
}
