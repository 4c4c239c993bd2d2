//! Copies of blocks of an operand, in the order in which a register tile reads them.

use crate::simd::{LANES, Simd};
use std::cell::Cell;

/// One cache line, so that packed panels start on one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [f32; LANES]);

/// Memory for packed blocks that a thread keeps from one product to the next.
#[derive(Default)]
pub(super) struct Buffers {
    a: Vec<Line>,
    b: Vec<Line>,
}

thread_local! {
    static BUFFERS: Cell<Option<Buffers>> = const { Cell::new(None) };
}

/// The buffers of this thread.
pub(super) fn with_buffers() -> Buffers {
    BUFFERS.take().unwrap_or_default()
}

impl Buffers {
    /// Keeps the memory for the next product of this thread.
    pub(super) fn give_back(self) {
        BUFFERS.set(Some(self));
    }

    /// Room for so many values of a and of b, and for sixteen more after each.
    #[inline]
    pub(super) fn get(&mut self, a: usize, b: usize) -> (*mut f32, *mut f32) {
        for (buffer, len) in [(&mut self.a, a), (&mut self.b, b)] {
            let lines = len.div_ceil(LANES) + 1;
            if buffer.len() < lines {
                buffer.resize(lines, Line([0.0; LANES]));
            }
        }
        (self.a.as_mut_ptr().cast(), self.b.as_mut_ptr().cast())
    }
}

/// Values from one panel of so many k to the next: never a whole number of pages, where the same k of
/// all panels would fight for the same few places of the first cache.
#[inline(always)]
pub(super) fn panel_len<S: Simd>(depth: usize) -> usize {
    (depth + 1) * S::TILE_VECTORS * LANES
}

/// Writes `panels` panels of `S::TILE_VECTORS` vectors, one after the other, from rows of as many
/// neighbours that start at `first + ks[k]`: each row is read in one go.
///
/// # Safety
/// Every element lies inside `src`; `dst` has room for all of them.
#[inline(always)]
pub(super) unsafe fn pack_panels<S: Simd>(
    src: &[f32],
    first: usize,
    panels: usize,
    ks: &[usize],
    dst: *mut f32,
) {
    let width = S::TILE_VECTORS * LANES;
    let panel_len = panel_len::<S>(ks.len());
    for k in 0..ks.len() {
        for panel in 0..panels {
            for v in 0..S::TILE_VECTORS {
                let from = first + ks[k] + panel * width + v * LANES;
                let to = panel * panel_len + k * width + v * LANES;
                // SAFETY: the caller's promise.
                unsafe { S::load_ptr(src.as_ptr().add(from)).store_ptr(dst.add(to)) };
            }
        }
    }
}

/// Writes to `dst[k * stride + lane]` the element at `base + lanes[lane] + ks[k]` of `src`, for at
/// most sixteen lanes; `runs` say how many neighbours follow in memory.
///
/// # Safety
/// Every element lies inside `src`; `dst` has room for all of them and for sixteen more. Positions
/// between the last lane and the stride, and up to sixteen after the end, are overwritten.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd>(
    src: &[f32],
    base: usize,
    lanes: &[usize],
    lane_run: usize,
    (ks, k_runs): (&[usize], &[usize]),
    dst: *mut f32,
    stride: usize,
) {
    let (width, depth) = (lanes.len(), ks.len());
    if lane_run >= width {
        // Neighbouring lanes are neighbours in memory: one vector for each k.
        let first = base + lanes[0];
        for k in 0..depth {
            let from = first + ks[k];
            // SAFETY: a whole vector where the slice has one, the lanes alone otherwise.
            unsafe {
                let x = if width == LANES || (stride < LANES && from + LANES <= src.len()) {
                    S::load_ptr(src.as_ptr().add(from))
                } else {
                    S::load_part(src.get_unchecked(from..from + width), 0.0)
                };
                x.store_ptr(dst.add(k * stride));
            }
        }
        return;
    }
    let mut k = 0;
    while k < depth {
        let count = LANES.min(depth - k);
        if k_runs[k] >= count {
            // Neighbouring k are neighbours in memory: sixteen of them for each lane, transposed.
            // Lanes past the last repeat it: what they write is never read.
            let mut rows = [S::zero(); LANES];
            if count == LANES {
                for lane in 0..LANES {
                    let from = base + lanes[lane.min(width - 1)] + ks[k];
                    // SAFETY: sixteen elements from here are inside the slice.
                    rows[lane] = unsafe { S::load_ptr(src.as_ptr().add(from)) };
                }
            } else {
                for lane in 0..width {
                    let from = base + lanes[lane] + ks[k];
                    // SAFETY: `count` elements from here are inside the slice.
                    let row = unsafe { src.get_unchecked(from..from + count) };
                    rows[lane] = S::load_part(row, 0.0);
                }
            }
            let columns = S::transpose(rows);
            for i in 0..count {
                // SAFETY: lanes beyond the stride are overwritten by the next k, or lie in the room
                // after the end.
                unsafe { columns[i].store_ptr(dst.add((k + i) * stride)) };
            }
        } else {
            for i in k..k + count {
                let mut x = [0.0; LANES];
                for lane in 0..width {
                    // SAFETY: inside the slice by the caller's promise.
                    x[lane] = unsafe { *src.get_unchecked(base + lanes[lane] + ks[i]) };
                }
                // SAFETY: as above.
                unsafe { S::load(&x).store_ptr(dst.add(i * stride)) };
            }
        }
        k += count;
    }
}
