//! The k largest elements of a row.
//!
//! *How it is fast*: the row is cut into groups, eight for each element wanted, whose maxima are found by
//! vectors. The k-th largest of the maxima is a bound: k groups each have an element as large,
//! so nothing below it is among the k largest, and only the groups that reach it are looked into.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::largest::largest};
//! let mut found = vec![];
//! largest(&Context::single(), &[1.0, 5.0, f32::NAN, 5.0, 2.0, 5.0], 2, |i| found.push(i));
//! assert_eq!(found, [1, 3]);
//! ```

use crate::context::Context;
use crate::simd::{LANES, Simd, Task, dispatch};
use std::cell::Cell;
use std::cmp::Ordering;

thread_local! {
    /// Memory for maxima and indices that a thread keeps from one row to the next.
    static MEMORY: Cell<(Vec<f32>, Vec<u32>)> = const { Cell::new((vec![], vec![])) };
}

/// Which of elements `a` and `b` comes first: the larger, of equal ones the lower index. What is not
/// a number is smaller than every number.
pub(crate) fn order<T: PartialOrd>(row: &[T], a: usize, b: usize) -> Ordering {
    let number = |i: usize| row[i].partial_cmp(&row[i]).is_some();
    let by_value = row[b].partial_cmp(&row[a]);
    by_value.unwrap_or_else(|| number(b).cmp(&number(a))).then(a.cmp(&b))
}

/// Calls `take` with the indices of the k largest elements, ascending; with all where there are no
/// more than k. Of equal elements the one with the lower index is taken, and what is not a number is
/// smaller than every number.
pub fn largest(cx: &Context, row: &[f32], k: usize, take: impl FnMut(u32)) {
    if k == 0 {
        return;
    }
    let (mut maxima, mut found) = MEMORY.take();
    found.clear();
    candidates(cx, row, k, &mut maxima, &mut found);
    if found.len() < k {
        found.clear();
        found.extend(0..row.len() as u32);
    }
    if k < found.len() {
        found.select_nth_unstable_by(k, |&a, &b| order(row, a as usize, b as usize));
        found.truncate(k);
    }
    found.sort_unstable();
    found.iter().copied().for_each(take);
    MEMORY.set((maxima, found));
}

/// Few indices, the k largest among them; fewer than k where a search does not pay or elements are not
/// numbers.
fn candidates(cx: &Context, row: &[f32], k: usize, maxima: &mut Vec<f32>, found: &mut Vec<u32>) {
    let groups = k.saturating_mul(8).next_multiple_of(LANES);
    if groups > row.len() / 4 {
        return;
    }
    // The maxima, and behind them a copy to put in order.
    maxima.clear();
    maxima.resize(groups, f32::NEG_INFINITY);
    dispatch(cx, Maxima { row, maxima });
    maxima.extend_from_within(..);
    let (maxima, sorted) = maxima.split_at_mut(groups);
    let (_, &mut bound, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    for (group, _) in maxima.iter().enumerate().filter(|(_, m)| **m >= bound) {
        for i in (group..row.len()).step_by(groups) {
            if row[i] >= bound {
                found.push(i as u32);
            }
        }
    }
}

/// Element i belongs to group i mod `maxima.len()`, a multiple of the lanes.
struct Maxima<'a> {
    row: &'a [f32],
    maxima: &'a mut [f32],
}

impl Task for Maxima<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (maxima, _) = self.maxima.as_chunks_mut::<LANES>();
        for part in self.row.chunks(maxima.len() * LANES) {
            let (whole, rest) = part.as_chunks::<LANES>();
            for (m, x) in maxima.iter_mut().zip(whole) {
                // In this order what is not a number leaves the maximum as it was.
                S::load(x).max(S::load(m)).store(m);
            }
            if !rest.is_empty() {
                let m = &mut maxima[whole.len()];
                S::load_part(rest, f32::NEG_INFINITY).max(S::load(m)).store(m);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kernels, Stream};

    #[test]
    fn the_k_largest_are_those_that_sorting_puts_first() {
        let mut draw = Stream::new(0, "largest").block(0);
        for n in [0, 1, 2, 15, 16, 17, 131, 512, 1031, 5003] {
            // Few different values, so that ties are many; or all different; or all equal.
            for kind in 0..4 {
                let mut row = vec![0.0; n];
                draw.fill_normal(&mut row, 2.0);
                match kind {
                    0 => row.iter_mut().for_each(|x| *x = x.round()),
                    1 => row.fill(-1.5),
                    2 => row.iter_mut().step_by(3).for_each(|x| *x = f32::NAN),
                    _ => {}
                }
                for k in [0, 1, 2, 3, 7, 32, n / 2, n, n + 1] {
                    let mut wanted: Vec<u32> = (0..n as u32).collect();
                    wanted.sort_by(|&a, &b| order(&row, a as usize, b as usize));
                    wanted.truncate(k);
                    wanted.sort_unstable();
                    for kernels in Kernels::all_available() {
                        let mut found = vec![];
                        largest(&Context::new(kernels, 1), &row, k, |i| found.push(i));
                        assert_eq!(found, wanted, "{kernels} {n} {k} {kind}");
                    }
                }
            }
        }
    }
}
