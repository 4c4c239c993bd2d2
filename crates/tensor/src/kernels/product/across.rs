//! Products of a few elements each: sixteen entries of the batch at once, one in each lane.
//!
//! A tile of one row and three columns leaves most lanes idle and packs more than it computes. Here
//! rows of a and columns of b of sixteen entries are packed so that a lane holds an entry's values, and
//! each element of c is a vector: its chain of fused multiply-adds is the same.

use super::Part;
use super::pack::{Buffers, pack};
use crate::simd::{LANES, Simd};

/// Chains that are computed side by side, so that one need not wait for another.
const CHAINS: usize = 4;

/// All elements of the part.
///
/// # Safety
/// The tables lie inside the slices, and the elements of c belong to this part.
#[inline(always)]
pub(super) unsafe fn across<S: Simd>(part: &Part, buffers: &mut Buffers) {
    let plan = part.plan;
    let depth = plan.ks.len();
    let (rows, cols) = (part.rows.clone(), part.cols.clone());
    let (a, b) = buffers.get(rows.len() * depth * LANES, cols.len() * depth * LANES);
    let mut from = part.batch.start;
    while from < part.batch.end {
        let entries = &plan.batch[from..(from + LANES).min(part.batch.end)];
        let mut lanes = [0; LANES];
        for (i, row) in rows.clone().enumerate() {
            for (lane, entry) in lanes.iter_mut().zip(entries) {
                *lane = entry[0] + plan.rows.x[row];
            }
            let ks = (&plan.ks.x[..], &plan.ks.x_run[..]);
            // SAFETY: inside a by the caller's promise; the buffer holds it and sixteen more.
            unsafe {
                let to = a.add(i * depth * LANES);
                pack::<S>(part.a, 0, &lanes[..entries.len()], 1, ks, to, LANES);
            }
        }
        for (i, col) in cols.clone().enumerate() {
            for (lane, entry) in lanes.iter_mut().zip(entries) {
                *lane = entry[1] + plan.cols.x[col];
            }
            let ks = (&plan.ks.y[..], &plan.ks.y_run[..]);
            // SAFETY: as above, of b.
            unsafe {
                let to = b.add(i * depth * LANES);
                pack::<S>(part.b, 0, &lanes[..entries.len()], 1, ks, to, LANES);
            }
        }
        for (i, row) in rows.clone().enumerate() {
            let mut first = 0;
            while first < cols.len() {
                let mut acc = [S::zero(); CHAINS];
                for k in 0..depth {
                    // SAFETY: filled above.
                    unsafe {
                        let x = S::load_ptr(a.add((i * depth + k) * LANES));
                        for (n, acc) in acc.iter_mut().enumerate() {
                            // The last one again where there are fewer.
                            let col = (first + n).min(cols.len() - 1);
                            let y = S::load_ptr(b.add((col * depth + k) * LANES));
                            *acc = x.fma(y, *acc);
                        }
                    }
                }
                for (n, acc) in acc.iter().enumerate().take(cols.len() - first) {
                    let at = plan.rows.y[row] + plan.cols.y[cols.start + first + n];
                    for (entry, x) in entries.iter().zip(acc.to_array()) {
                        // SAFETY: an element of this part.
                        unsafe { *part.c.add(entry[2] + at) = x };
                    }
                }
                first += CHAINS;
            }
        }
        from += LANES;
    }
}
