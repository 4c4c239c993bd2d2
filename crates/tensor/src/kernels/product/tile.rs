//! The register tile: some rows times some vectors of columns, accumulated over a block of k.

use crate::simd::{LANES, Simd, prefetch};

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
pub(super) unsafe fn tile<S: Simd>(t: Tile) {
    macro_rules! heights {
        ($vectors:literal: $($rows:literal)*) => {
            match t.rows.len() {
                $($rows => if $rows <= S::TILE_ROWS && $vectors <= S::TILE_VECTORS {
                    // SAFETY: the caller's promise.
                    unsafe {
                        match t.apart {
                            None => sized::<S, $rows, $vectors, true>(t, 1, $rows),
                            Some((row, k)) => sized::<S, $rows, $vectors, false>(t, row, k),
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
    row_step: usize,
    k_step: usize,
) {
    // Known where it is packed.
    let (row_step, k_step) = if PACKED { (1, ROWS) } else { (row_step, k_step) };
    let mut acc = [[S::zero(); VECTORS]; ROWS];
    // Columns that are not whole vectors of neighbours go through here.
    let mut aside = [[[0.0f32; LANES]; VECTORS]; ROWS];
    // SAFETY: the caller's promise, for every access below.
    unsafe {
        if !t.first && !t.section {
            acc = before::<S, ROWS, VECTORS>(&t, &mut aside);
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.depth {
            let mut row = [S::zero(); VECTORS];
            for v in 0..VECTORS {
                row[v] = S::load_ptr(b.add(v * LANES));
            }
            for r in 0..ROWS {
                let x = S::splat(*a.add(r * row_step));
                for v in 0..VECTORS {
                    acc[r][v] = x.fma(row[v], acc[r][v]);
                }
            }
            a = a.wrapping_add(k_step);
            b = b.wrapping_add(t.b_step);
        }
        if t.section {
            let mut sum = [[S::zero(); VECTORS]; ROWS];
            if !t.first {
                sum = before::<S, ROWS, VECTORS>(&t, &mut aside);
            }
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v] = sum[r][v].add(acc[r][v]);
                }
            }
        }
        if t.whole {
            for r in 0..ROWS {
                let row = t.c.add(*t.rows.get_unchecked(r));
                for v in 0..VECTORS {
                    acc[r][v].store_ptr(row.add(*t.cols.get_unchecked(v * LANES)));
                }
            }
        } else {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v].store(&mut aside[r][v]);
                }
            }
            exchange::<VECTORS>(&t, aside.as_flattened_mut().as_flattened_mut(), true);
        }
    }
}

/// What stands in c.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn before<S: Simd, const ROWS: usize, const VECTORS: usize>(
    t: &Tile,
    aside: &mut [[[f32; LANES]; VECTORS]; ROWS],
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

/// Asks for the lines of a tile of c.
#[inline(always)]
pub(super) fn prefetch_tile(c: *const f32, rows: &[usize], cols: &[usize]) {
    for &row in rows {
        for group in cols.chunks(LANES) {
            prefetch(c.wrapping_add(row + group[0]));
        }
    }
}
