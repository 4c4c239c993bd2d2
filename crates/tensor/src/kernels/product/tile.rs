//! The register tile: some rows times some vectors of columns, accumulated over a block of k.

use crate::simd::{LANES, Simd, prefetch};

/// One tile of c.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// How many k.
    pub(super) depth: usize,
    /// Whether the sum starts here (at +0) or goes on from c.
    pub(super) first: bool,
    /// `depth` times the rows.
    pub(super) a: *const f32,
    /// `depth` times the vectors of the columns.
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    /// Offsets of the rows into c.
    pub(super) rows: &'a [usize],
    /// Offsets of the columns into c, and how many follow one another in memory.
    pub(super) cols: &'a [usize],
    pub(super) cols_run: &'a [usize],
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
                    unsafe { sized::<S, $rows, $vectors>(t) }
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
unsafe fn sized<S: Simd, const ROWS: usize, const VECTORS: usize>(t: Tile) {
    let mut acc = [[S::zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise, for every access below.
    unsafe {
        if t.first {
            // The lines of c arrive while the sums are made.
            for r in 0..ROWS {
                let row = t.c.add(*t.rows.get_unchecked(r));
                for v in 0..VECTORS {
                    prefetch(row.add(*t.cols.get_unchecked(v * LANES)));
                }
            }
        } else {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v] = read_c(&t, r, v);
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.depth {
            let mut row = [S::zero(); VECTORS];
            for v in 0..VECTORS {
                row[v] = S::load_ptr(b.add(v * LANES));
            }
            for r in 0..ROWS {
                let x = S::splat(*a.add(r));
                for v in 0..VECTORS {
                    acc[r][v] = x.fma(row[v], acc[r][v]);
                }
            }
            a = a.add(ROWS);
            b = b.add(VECTORS * LANES);
        }
        for r in 0..ROWS {
            for v in 0..VECTORS {
                write_c(&t, r, v, acc[r][v]);
            }
        }
    }
}

/// Vector `v` of row `r` of c.
#[inline(always)]
unsafe fn read_c<S: Simd>(t: &Tile, r: usize, v: usize) -> S {
    let cols = v * LANES..((v + 1) * LANES).min(t.cols.len());
    // SAFETY: the caller's promise.
    unsafe {
        let row = t.c.add(*t.rows.get_unchecked(r));
        let start = row.add(*t.cols.get_unchecked(cols.start));
        if *t.cols_run.get_unchecked(cols.start) >= cols.len() {
            if cols.len() == LANES {
                S::load_ptr(start)
            } else {
                S::load_part(std::slice::from_raw_parts(start, cols.len()), 0.0)
            }
        } else {
            let mut x = [0.0; LANES];
            for (x, &col) in x.iter_mut().zip(&t.cols[cols]) {
                *x = *row.add(col);
            }
            S::load(&x)
        }
    }
}

/// Writes vector `v` of row `r` of c.
#[inline(always)]
unsafe fn write_c<S: Simd>(t: &Tile, r: usize, v: usize, x: S) {
    let cols = v * LANES..((v + 1) * LANES).min(t.cols.len());
    // SAFETY: the caller's promise.
    unsafe {
        let row = t.c.add(*t.rows.get_unchecked(r));
        let start = row.add(*t.cols.get_unchecked(cols.start));
        if *t.cols_run.get_unchecked(cols.start) >= cols.len() {
            if cols.len() == LANES {
                x.store_ptr(start);
            } else {
                x.store_part(std::slice::from_raw_parts_mut(start, cols.len()));
            }
        } else {
            let x = x.to_array();
            for (x, &col) in x.iter().zip(&t.cols[cols]) {
                *row.add(col) = *x;
            }
        }
    }
}
