//! The register tile: some rows times some vectors of columns, accumulated over a block of k.

use super::ahead::Ahead;
use crate::simd::{LANES, Simd, prefetch};

/// So many k between two times that a tile asks for what comes after it.
pub(super) const ASK_EVERY: usize = 16;
/// So many k ahead the columns are asked for: a panel comes out of the second cache.
const COLUMNS_AHEAD: usize = 8;

/// One tile of c.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// How many k.
    pub(super) depth: usize,
    /// Whether the sum starts here (at +0) or goes on from c.
    pub(super) first: bool,
    /// Whether it is a chain of its own, from +0, that is added to c.
    pub(super) section: bool,
    /// `depth` times the rows.
    pub(super) a: *const f32,
    /// Values from one row of a to the next and from one k to the next, where it is not packed.
    pub(super) apart: Option<(usize, usize)>,
    /// Lines that are asked for every [`ASK_EVERY`] k.
    pub(super) ask: usize,
    /// `depth` times the vectors of the columns.
    pub(super) b: *const f32,
    /// Values from one k to the next.
    pub(super) b_step: usize,
    pub(super) c: *mut f32,
    /// Offsets of the rows into c.
    pub(super) rows: &'a [usize],
    /// Offsets of the columns into c.
    pub(super) cols: &'a [usize],
    /// Whether the columns are vectors of sixteen neighbours in memory.
    pub(super) whole: bool,
}

/// Computes a tile of any height up to `S::TILE_ROWS` and any width up to `S::TILE_VECTORS`.
///
/// # Safety
/// `a` and `b` point to as much as the tile reads, and the offsets into c are valid and not in use by
/// another thread.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd>(t: Tile, ahead: &mut Ahead) {
    macro_rules! heights {
        ($vectors:literal: $($rows:literal)*) => {
            match t.rows.len() {
                $($rows => if $rows <= S::TILE_ROWS && $vectors <= S::TILE_VECTORS {
                    // SAFETY: the caller's promise.
                    unsafe {
                        match t.apart {
                            None => sized::<S, $rows, $vectors, true>(t, ahead, 1, $rows),
                            Some((row, k)) => sized::<S, $rows, $vectors, false>(t, ahead, row, k),
                        }
                    }
                })*
                _ => unreachable!("no tile is higher"),
            }
        };
    }
    match t.cols.len().div_ceil(LANES) {
        1 => heights!(1: 1 2 3 4 5 6 7 8 9 10 11 12),
        2 => heights!(2: 1 2 3 4 5 6 7 8 9 10 11 12),
        _ => unreachable!("no tile is wider"),
    }
}

/// A tile of `ROWS` rows and `VECTORS` vectors.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn sized<S: Simd, const ROWS: usize, const VECTORS: usize, const PACKED: bool>(
    t: Tile,
    ahead: &mut Ahead,
    row_step: usize,
    k_step: usize,
) {
    // Known where it is packed.
    let (row_step, k_step) = if PACKED { (1, ROWS) } else { (row_step, k_step) };
    let mut acc = [[S::zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise, for every access below.
    unsafe {
        // Where the sums are long, the lines of c arrive meanwhile.
        if t.depth >= 48 && t.whole {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    let col = *t.cols.get_unchecked(v * LANES);
                    prefetch(t.c.wrapping_add(*t.rows.get_unchecked(r) + col));
                }
            }
        }
        if !t.first && !t.section {
            acc = before::<S, ROWS, VECTORS>(&t);
        }
        // Three rows a pointer: what an address can name without an addition of its own.
        let mut a = [t.a; 4];
        for (i, a) in a.iter_mut().enumerate() {
            *a = a.wrapping_add(3 * i * row_step);
        }
        let mut b = t.b;
        let walk = Walk { row_step, k_step, b_step: t.b_step };
        if ROWS == S::TILE_ROWS && t.ask > 0 {
            let mut left = t.depth;
            while left > 0 {
                ahead.ask(t.ask);
                let count = left.min(ASK_EVERY);
                left -= count;
                accumulate(count, &mut a, &mut b, walk, &mut acc);
            }
        } else {
            accumulate(t.depth, &mut a, &mut b, walk, &mut acc);
        }
        if t.section {
            let mut sum = [[S::zero(); VECTORS]; ROWS];
            if !t.first {
                sum = before::<S, ROWS, VECTORS>(&t);
            }
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    sum[r][v] = sum[r][v].add(acc[r][v]);
                }
            }
            after(&t, sum);
        } else {
            after(&t, acc);
        }
    }
}

/// The same address, of which the compiler knows nothing: it would otherwise compute all rows' addresses
/// from one pointer, one addition for each, in units that multiply and add.
#[inline(always)]
// Nothing is read through it.
#[allow(clippy::pointers_in_nomem_asm_block)]
fn opaque(p: *const f32) -> *const f32 {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut p = p;
        // SAFETY: no instruction but a comment.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags));
        }
        p
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    p
}

/// What stands in c.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn before<S: Simd, const ROWS: usize, const VECTORS: usize>(
    t: &Tile,
) -> [[S; VECTORS]; ROWS] {
    let mut c = [[S::zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise, for every access below.
    unsafe {
        if t.whole {
            for r in 0..ROWS {
                let row = t.c.add(*t.rows.get_unchecked(r));
                for v in 0..VECTORS {
                    c[r][v] = S::load_ptr(row.add(*t.cols.get_unchecked(v * LANES)));
                }
            }
        } else {
            let mut aside = [[[0.0; LANES]; VECTORS]; ROWS];
            exchange::<VECTORS>(t, aside.as_flattened_mut().as_flattened_mut(), false);
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    c[r][v] = S::load(&aside[r][v]);
                }
            }
        }
    }
    c
}

/// How far apart neighbours are.
#[derive(Clone, Copy)]
struct Walk {
    row_step: usize,
    k_step: usize,
    b_step: usize,
}

/// The next `count` terms of every sum of a tile.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn accumulate<S: Simd, const ROWS: usize, const VECTORS: usize>(
    count: usize,
    a: &mut [*const f32; 4],
    b: &mut *const f32,
    walk: Walk,
    acc: &mut [[S; VECTORS]; ROWS],
) {
    for _ in 0..count {
        // SAFETY: the caller's promise.
        unsafe {
            let mut row = [S::zero(); VECTORS];
            for v in 0..VECTORS {
                row[v] = S::load_ptr(b.add(v * LANES));
                prefetch(b.wrapping_add(COLUMNS_AHEAD * walk.b_step + v * LANES));
            }
            for r in 0..ROWS {
                let x = S::splat(*a[r / 3].wrapping_add(r % 3 * walk.row_step));
                for v in 0..VECTORS {
                    acc[r][v] = x.fma(row[v], acc[r][v]);
                }
            }
        }
        for a in &mut a[..ROWS.div_ceil(3)] {
            *a = opaque(a.wrapping_add(walk.k_step));
        }
        *b = b.wrapping_add(walk.b_step);
    }
}

/// Writes a tile to c.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn after<S: Simd, const ROWS: usize, const VECTORS: usize>(
    t: &Tile,
    acc: [[S; VECTORS]; ROWS],
) {
    // SAFETY: the caller's promise, for every access below.
    unsafe {
        if t.whole {
            // All addresses before the first store, after which they would have to be read again.
            let mut cols = [t.c; VECTORS];
            for v in 0..VECTORS {
                cols[v] = t.c.add(*t.cols.get_unchecked(v * LANES));
            }
            let mut rows = [0; ROWS];
            for r in 0..ROWS {
                rows[r] = *t.rows.get_unchecked(r);
            }
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v].store_ptr(cols[v].add(rows[r]));
                }
            }
        } else {
            // Columns that are not whole vectors of neighbours.
            let mut aside = [[[0.0; LANES]; VECTORS]; ROWS];
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v].store(&mut aside[r][v]);
                }
            }
            exchange::<VECTORS>(t, aside.as_flattened_mut().as_flattened_mut(), true);
        }
    }
}

/// Copies the columns of a tile, wherever they lie, between c and rows of `VECTORS` vectors.
///
/// # Safety
/// As for [`tile`].
#[inline(never)]
unsafe fn exchange<const VECTORS: usize>(t: &Tile, aside: &mut [f32], write: bool) {
    for (&row, aside) in t.rows.iter().zip(aside.chunks_exact_mut(VECTORS * LANES)) {
        // SAFETY: the caller's promise.
        unsafe {
            let row = t.c.add(row);
            for (&col, x) in t.cols.iter().zip(aside) {
                if write {
                    *row.add(col) = *x;
                } else {
                    *x = *row.add(col);
                }
            }
        }
    }
}
