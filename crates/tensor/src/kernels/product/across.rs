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
        let ks = &plan.ks;
        let (k_a, k_b) = ((&ks.x[..], &ks.x_run[..]), (&ks.y[..], &ks.y_run[..]));
        // SAFETY: inside a and b by the caller's promise; the buffers hold both and sixteen more.
        unsafe {
            packed::<S>(part.a, 0, entries, &plan.rows.x[rows.clone()], k_a, a);
            packed::<S>(part.b, 1, entries, &plan.cols.x[cols.clone()], k_b, b);
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

/// Packs what `operand` has at `offsets`, an entry in each lane.
///
/// # Safety
/// Every element lies inside `src`; `to` has room for all of them and for sixteen more.
#[inline(always)]
unsafe fn packed<S: Simd>(
    src: &[f32],
    operand: usize,
    entries: &[[usize; 3]],
    offsets: &[usize],
    (ks, runs): (&[usize], &[usize]),
    to: *mut f32,
) {
    let mut lanes = [0; LANES];
    for (i, offset) in offsets.iter().enumerate() {
        for (lane, entry) in lanes.iter_mut().zip(entries) {
            *lane = entry[operand] + offset;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let to = to.add(i * ks.len() * LANES);
            pack::<S>(src, 0, &lanes[..entries.len()], 1, (ks, runs), to, LANES);
        }
    }
}
