//! Products with a matrix of which few elements are not zero: the latents of a batch.
//!
//! [`Active`] holds those elements by row (sample) and, in the same breath, by column (latent). A product
//! with it takes only terms with an active factor, in the order in which the dense product takes
//! them; the terms that it leaves out have a factor of exactly zero, so docs/bits.md promises the same bits.
//! [`combine`] is such a sum of rows, for a sample over its latents as for a latent over its
//! samples; [`inner`] gives single elements of a dense product.
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::sparse::{Active, combine}};
//! let (cx, mut active) = (Context::single(), Active::default());
//! let mut x = [3.0, 1.0, 2.0, 0.0, -2.0, -1.0];
//! active.take_largest_of_rows(&cx, &mut x, &[0.0, 0.0, 0.5], 2);
//! assert_eq!(active.row(0), (&[0, 2][..], &[3.0, 2.5][..]));
//! assert!(active.row(1).0.is_empty()); // nothing positive
//! let table = [1.0, 10.0, 2.0, 20.0, 4.0, 40.0]; // [column, 2]
//! let mut y = [f32::NAN; 2];
//! combine(&cx, active.row(0), &table, &mut y);
//! assert_eq!(y, [13.0, 130.0]);
//! ```

use super::{elementwise, largest::largest};
use crate::context::{Context, SharedMut};
use crate::simd::{LANES, Simd, Task, dispatch};
use std::ops::Range;

/// The elements of a matrix `[row, column]` that are not zero.
#[derive(Debug, Clone, Default)]
pub struct Active {
    /// Where the entries of each row start, and where those of the last end.
    starts: Vec<usize>,
    /// Column of each entry, ascending in a row.
    columns: Vec<u32>,
    values: Vec<f32>,
    /// The same by column: where each starts, and row and place above of each, ascending.
    column_starts: Vec<usize>,
    rows: Vec<u32>,
    places: Vec<u32>,
}

impl Active {
    /// Adds `shift` to each row of `x`, and of the k largest elements of each row takes those above 0.
    ///
    /// # Panics
    /// If `x` is not made of rows as long as `shift`.
    pub fn take_largest_of_rows(&mut self, cx: &Context, x: &mut [f32], shift: &[f32], k: usize) {
        let width = shift.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        assert_eq!(x.len(), rows * width);
        let k = k.min(width);
        // Room for k in each row; what is not needed is closed up afterwards.
        self.starts.clear();
        self.starts.resize(rows + 1, 0);
        self.columns.resize(rows * k, 0);
        self.values.resize(rows * k, 0.0);
        let alone = cx.alone();
        let x = SharedMut::new(x);
        let (counts, columns, values) = (
            SharedMut::new(&mut self.starts),
            SharedMut::new(&mut self.columns),
            SharedMut::new(&mut self.values),
        );
        cx.ranges(rows, 2 * width, |range| {
            for r in range {
                // SAFETY: `ranges` hands out disjoint rows.
                let (x, count, columns, values) = unsafe {
                    (
                        x.slice(r * width..(r + 1) * width),
                        counts.slice(r + 1..r + 2),
                        columns.slice(r * k..(r + 1) * k),
                        values.slice(r * k..(r + 1) * k),
                    )
                };
                elementwise::add_assign(&alone, x, shift);
                largest(&alone, x, k, |j| {
                    let value = x[j as usize];
                    if value > 0.0 {
                        (columns[count[0]], values[count[0]]) = (j, value);
                        count[0] += 1;
                    }
                });
            }
        });
        for r in 0..rows {
            let (start, count) = (self.starts[r], self.starts[r + 1]);
            self.columns.copy_within(r * k..r * k + count, start);
            self.values.copy_within(r * k..r * k + count, start);
            self.starts[r + 1] = start + count;
        }
        self.sort_by_column(width);
    }

    /// Adds `shift` to each row of `x`, and of the k largest of all its elements takes those above 0.
    ///
    /// # Panics
    /// If `x` is not made of rows as long as `shift`.
    pub fn take_largest(&mut self, cx: &Context, x: &mut [f32], shift: &[f32], k: usize) {
        let width = shift.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        assert_eq!(x.len(), rows * width);
        let alone = cx.alone();
        cx.split(x, width, width, |_, x| {
            x.chunks_exact_mut(width.max(1))
                .for_each(|x| elementwise::add_assign(&alone, x, shift));
        });
        self.starts.clear();
        self.starts.resize(rows + 1, 0);
        self.values.clear();
        self.columns.clear();
        largest(cx, x, k, |i| {
            let (i, value) = (i as usize, x[i as usize]);
            if value > 0.0 {
                self.starts[i / width + 1] += 1;
                self.columns.push((i % width) as u32);
                self.values.push(value);
            }
        });
        for r in 0..rows {
            self.starts[r + 1] += self.starts[r];
        }
        self.sort_by_column(width);
    }

    /// A counting sort: rows stay ascending in each column.
    fn sort_by_column(&mut self, width: usize) {
        let (rows, len) = (self.starts.len() - 1, self.starts[self.starts.len() - 1]);
        self.columns.truncate(len);
        self.values.truncate(len);
        self.rows.resize(len, 0);
        self.places.resize(len, 0);
        self.column_starts.clear();
        self.column_starts.resize(width + 2, 0);
        // Counts two places on; after the sums, one place on stands where the next entry goes.
        self.columns.iter().for_each(|&j| self.column_starts[j as usize + 2] += 1);
        for j in 2..width + 2 {
            self.column_starts[j] += self.column_starts[j - 1];
        }
        for r in 0..rows {
            for e in self.starts[r]..self.starts[r + 1] {
                let next = &mut self.column_starts[self.columns[e] as usize + 1];
                (self.rows[*next], self.places[*next]) = (r as u32, e as u32);
                *next += 1;
            }
        }
    }

    /// Columns and values of the entries of row `r`, columns ascending.
    pub fn row(&self, r: usize) -> (&[u32], &[f32]) {
        let range = self.starts[r]..self.starts[r + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Rows of the entries of column `j`, ascending, and where these lie in the order of
    /// [`Active::by_column`].
    pub fn column(&self, j: usize) -> (&[u32], Range<usize>) {
        let range = self.column_starts[j]..self.column_starts[j + 1];
        (&self.rows[range.clone()], range)
    }

    /// Brings what `each` has for every entry, row by row, into the order of the columns.
    pub fn by_column(&self, each: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend(self.places.iter().map(|&e| each[e as usize]));
    }

    /// Column of every entry, row by row.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Value of every entry, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Calls `f` for each row, perhaps on several threads, with the row's part of `each`, which has one
    /// value for every entry, and the row's `width` values of each array in `out`. `cost` is that of a
    /// row, in element operations.
    ///
    /// # Panics
    /// If an array has another length.
    pub fn each_row<const N: usize>(
        &self,
        cx: &Context,
        each: &mut [f32],
        out: [&mut [f32]; N],
        width: usize,
        cost: usize,
        f: impl Fn(usize, &mut [f32], [&mut [f32]; N]) + Sync,
    ) {
        let rows = self.starts.len().saturating_sub(1);
        assert_eq!(each.len(), self.values.len());
        assert!(out.iter().all(|out| out.len() == rows * width));
        let (each, out) = (SharedMut::new(each), out.map(SharedMut::new));
        cx.ranges(rows, cost, |range| {
            for r in range {
                // SAFETY: `ranges` hands out disjoint rows.
                let (each, out) = unsafe {
                    (
                        each.slice(self.starts[r]..self.starts[r + 1]),
                        std::array::from_fn(|i| out[i].slice(r * width..(r + 1) * width)),
                    )
                };
                f(r, each, out);
            }
        });
    }
}

/// y = sum over i of `values[i]` `table[index[i], ..]`: each element one ascending chain of fused
/// multiply-adds from +0.
///
/// # Panics
/// If an index is beyond the table, whose rows are as long as `y`.
pub fn combine(cx: &Context, (index, values): (&[u32], &[f32]), table: &[f32], y: &mut [f32]) {
    assert_eq!(index.len(), values.len());
    dispatch(cx, Combine { index, values, table, y });
}

struct Combine<'a> {
    index: &'a [u32],
    values: &'a [f32],
    table: &'a [f32],
    y: &'a mut [f32],
}

/// Vectors of a row that are summed at a time.
const WIDE: usize = 8;

impl Task for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let d = self.y.len();
        let (wide, rest) = self.y.as_chunks_mut::<{ WIDE * LANES }>();
        let done = wide.len() * WIDE * LANES;
        for (i, y) in wide.iter_mut().enumerate() {
            let mut sum = [S::zero(); WIDE];
            for (&j, &value) in self.index.iter().zip(self.values) {
                let row = &self.table[j as usize * d + i * WIDE * LANES..][..WIDE * LANES];
                let (row, _) = row.as_chunks::<LANES>();
                let value = S::splat(value);
                for v in 0..WIDE {
                    sum[v] = value.fma(S::load(&row[v]), sum[v]);
                }
            }
            let (y, _) = y.as_chunks_mut::<LANES>();
            for v in 0..WIDE {
                sum[v].store(&mut y[v]);
            }
        }
        for (i, y) in rest.chunks_mut(LANES).enumerate() {
            let mut sum = S::zero();
            for (&j, &value) in self.index.iter().zip(self.values) {
                let row = &self.table[j as usize * d + done + i * LANES..][..y.len()];
                sum = S::splat(value).fma(S::load_part(row, 0.0), sum);
            }
            sum.store_part(y);
        }
    }
}

/// `y[i]` = sum over c of `x[c]` `table[index[i], c]`: one ascending chain of fused multiply-adds from +0.
///
/// # Panics
/// If an index is beyond the table, whose rows are as long as `x`.
pub fn inner(cx: &Context, x: &[f32], table: &[f32], index: &[u32], y: &mut [f32]) {
    assert_eq!(index.len(), y.len());
    dispatch(cx, Inner { x, table, index, y });
}

struct Inner<'a> {
    x: &'a [f32],
    table: &'a [f32],
    index: &'a [u32],
    y: &'a mut [f32],
}

impl Task for Inner<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let d = self.x.len();
        // A lane for each index: parts of sixteen rows are transposed, so that a chain is one lane's.
        for (index, y) in self.index.chunks(LANES).zip(self.y.chunks_mut(LANES)) {
            let mut sum = S::zero();
            for (i, x) in self.x.chunks(LANES).enumerate() {
                let mut rows = [S::zero(); LANES];
                for (row, &j) in rows.iter_mut().zip(index) {
                    let part = &self.table[j as usize * d + i * LANES..][..x.len()];
                    *row = match part.first_chunk::<LANES>() {
                        Some(part) => S::load(part),
                        None => S::load_part(part, 0.0),
                    };
                }
                let columns = S::transpose(rows);
                for (&x, column) in x.iter().zip(columns) {
                    sum = S::splat(x).fma(column, sum);
                }
            }
            sum.store_part(y);
        }
    }
}
