//! The product of two arrays: every einsum of two operands, forward and backward.
//!
//! [`Product`] describes c\[batch, m, n\] = sum over k of a b by tables of element offsets, so that no
//! operand is ever copied into another order: transposes, heads inside a model axis and slices are
//! only other tables. Each c is one accumulator that starts at +0 and takes one fused multiply-add
//! for each k in the order of the table; that is the whole definition of its bits. Since a b = b a,
//! the roles of a and b may be exchanged, and since threads and blocks divide batch, m and n, or
//! carry the accumulators through c from one block of k to the next, none of the following shows
//! in the result.
//!
//! *How it is fast* (Goto and van de Geijn 2008, "Anatomy of high-performance matrix
//! multiplication"): blocks of a and b are packed ([`pack`]) so that a register tile ([`tile`]) of, say,
//! 12 rows by 32 columns reads both in order while its accumulators stay in registers. What few tiles
//! read is not worth a copy and is read where it lies; of products of a few elements, sixteen entries of
//! the batch are computed at once, one in each lane ([`across`]).
//!
//! ```
//! use flyroom_tensor::{context::Context, kernels::product::Product};
//! // c[m, n] = sum_k a[m, k] b[k, n] with m = 1, n = 2, k = 2, all row-major
//! let product = Product::new(
//!     vec![[0, 0, 0]],
//!     vec![[0, 0]],
//!     vec![[0, 0], [1, 1]],
//!     vec![[0, 0], [1, 2]],
//! );
//! let mut c = [f32::NAN; 2];
//! product.run(&Context::single(), &[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0], &mut c);
//! assert_eq!(c, [13.0, 16.0]);
//! ```

mod across;
mod ahead;
mod pack;
mod tile;

use crate::context::{Context, Kernels, SharedMut};
use crate::simd::{LANES, Simd, Task, dispatch};
use ahead::{Ahead, Region};
use pack::{Buffers, with_buffers};
use std::ops::Range;

/// k is cut into equal blocks of at most this many: each further block reads and writes c again, a
/// longer one leaves less of the second cache to the columns.
const BLOCK_K: usize = 768;
/// The same where all of c stays in the second cache (`SMALL_C` values).
const BLOCK_K_SMALL_C: usize = 256;
const SMALL_C: usize = 128 * 1024;
/// From here on a sum over so many k of a small c is bound by how often its operands are read.
const LONG_K: usize = 2048;
/// Values of b that are packed at once: 512 KiB, half of a second cache.
const BLOCK_B: usize = 128 * 1024;
/// An operand that at most so many tiles read is read where it lies.
const FEW_PANELS: usize = 8;
const FEW_TILES: usize = 12;
/// Products of at most so many elements, in so few columns that lanes would be idle, go [`across`].
const FEW_ELEMENTS: usize = 32;
const FEW_COLUMNS: usize = 8;

/// c\[batch, m, n\] = sum over k of a b, by tables of element offsets: an element of a lies at the sum
/// of its batch, m and k offsets, of b at batch, n and k, of c at batch, m and n.
#[derive(Clone, Debug)]
pub struct Product {
    /// Offsets into (a, b, c).
    pub batch: Vec<[usize; 3]>,
    /// Offsets into (a, c).
    pub m: Vec<[usize; 2]>,
    /// Offsets into (b, c).
    pub n: Vec<[usize; 2]>,
    /// Offsets into (a, b), in the order of the sum.
    pub k: Vec<[usize; 2]>,
    /// Each so many k are a chain of their own from +0; the chains are added from +0 in their order.
    pub section: Option<usize>,
    plan: Plan,
}

/// Offsets of one index into two arrays, and from each position on, how many neighbours follow one
/// another in memory.
#[derive(Clone, Debug)]
struct Table {
    x: Vec<usize>,
    x_run: Vec<usize>,
    x_step: Option<usize>,
    y: Vec<usize>,
    y_run: Vec<usize>,
    y_step: Option<usize>,
}

/// How far apart neighbours are, where all are equally far.
fn step(x: &[usize]) -> Option<usize> {
    let step = x.get(1).map_or(Some(0), |second| second.checked_sub(x[0]))?;
    x.windows(2).all(|w| w[1] == w[0].wrapping_add(step)).then_some(step)
}

/// Lengths of the ascending runs of neighbours that start at each position.
fn runs(x: &[usize]) -> Vec<usize> {
    let mut out = vec![1; x.len()];
    for i in (1..x.len()).rev() {
        if x[i] == x[i - 1] + 1 {
            out[i - 1] = out[i] + 1;
        }
    }
    out
}

impl Table {
    fn new(pairs: &[[usize; 2]], swapped: bool) -> Self {
        let side = |i: usize| pairs.iter().map(|p| p[i]).collect::<Vec<_>>();
        let (x, y) = if swapped { (side(1), side(0)) } else { (side(0), side(1)) };
        Self { x_run: runs(&x), y_run: runs(&y), x_step: step(&x), y_step: step(&y), x, y }
    }

    fn len(&self) -> usize {
        self.x.len()
    }
}

/// The tables as the kernel wants them: after the exchange of a and b, if any.
#[derive(Clone, Debug)]
struct Plan {
    swapped: bool,
    batch: Vec<[usize; 3]>,
    /// Into (a, c).
    rows: Table,
    /// Into (b, c).
    cols: Table,
    /// Into (a, b).
    ks: Table,
    /// Lengths that a, b, c must have (of the call, before any exchange).
    least: [usize; 3],
    /// Greatest offsets of the batch into them.
    furthest: [usize; 3],
}

/// How well an axis fills vectors of c: the share of lanes in use, a quarter of it where the lanes
/// would be scattered.
fn vector_score(pairs: &[[usize; 2]]) -> f64 {
    let n = pairs.len();
    let whole = (0..n)
        .step_by(LANES)
        .filter(|&i| {
            let end = (i + LANES).min(n);
            (i + 1..end).all(|j| pairs[j][1] == pairs[j - 1][1] + 1)
        })
        .count();
    let groups = n.div_ceil(LANES).max(1);
    let share = n as f64 / (groups * LANES) as f64;
    share * (0.25 + 0.75 * whole as f64 / groups as f64)
}

/// Whether every (batch, m, n) has an element of c of its own.
fn distinct(batch: &[[usize; 3]], m: &[[usize; 2]], n: &[[usize; 2]], least: usize) -> bool {
    // The usual case, without looking at every element: one index inside the gaps of the next.
    let mut axes = [
        batch.iter().map(|x| x[2]).collect::<Vec<_>>(),
        m.iter().map(|x| x[1]).collect(),
        n.iter().map(|x| x[1]).collect(),
    ]
    .map(|mut x| {
        x.sort_unstable();
        let gap = x.windows(2).map(|w| w[1] - w[0]).min().unwrap_or(usize::MAX);
        let span = x.last().map_or(0, |last| last - x[0]);
        (gap, span)
    });
    axes.sort_unstable();
    let mut reach = 0;
    if axes.into_iter().all(|(gap, span)| {
        let apart = gap > reach;
        reach += span;
        apart
    }) {
        return true;
    }
    let mut seen = vec![0u64; least.div_ceil(64)];
    for b in batch {
        for m in m {
            for n in n {
                let at = b[2] + m[1] + n[1];
                if seen[at / 64] >> (at % 64) & 1 == 1 {
                    return false;
                }
                seen[at / 64] |= 1 << (at % 64);
            }
        }
    }
    true
}

impl Product {
    /// Checks the tables and chooses which operand runs along the vectors. A table may be empty: with an
    /// empty k every c is +0, with another empty table there is no c.
    ///
    /// # Panics
    /// If two (batch, m, n) share an element of c.
    pub fn new(
        batch: Vec<[usize; 3]>,
        m: Vec<[usize; 2]>,
        n: Vec<[usize; 2]>,
        k: Vec<[usize; 2]>,
    ) -> Self {
        let greatest = |x: &mut dyn Iterator<Item = usize>| x.max();
        let end = |parts: [Option<usize>; 3]| -> usize {
            parts.into_iter().sum::<Option<usize>>().map_or(0, |last| last + 1)
        };
        let least = [
            end([
                greatest(&mut batch.iter().map(|x| x[0])),
                greatest(&mut m.iter().map(|x| x[0])),
                greatest(&mut k.iter().map(|x| x[0])),
            ]),
            end([
                greatest(&mut batch.iter().map(|x| x[1])),
                greatest(&mut n.iter().map(|x| x[0])),
                greatest(&mut k.iter().map(|x| x[1])),
            ]),
            end([
                greatest(&mut batch.iter().map(|x| x[2])),
                greatest(&mut m.iter().map(|x| x[1])),
                greatest(&mut n.iter().map(|x| x[1])),
            ]),
        ];
        // Threads write c through a raw pointer: this is what makes that sound.
        assert!(
            distinct(&batch, &m, &n, least[2]),
            "two elements of the product share a place in c"
        );
        let furthest = [0, 1, 2].map(|i| batch.iter().map(|x| x[i]).max().unwrap_or(0));
        let swapped = vector_score(&m) > 1.3 * vector_score(&n);
        let plan = if swapped {
            Plan {
                swapped,
                batch: batch.iter().map(|x| [x[1], x[0], x[2]]).collect(),
                rows: Table::new(&n, false),
                cols: Table::new(&m, false),
                ks: Table::new(&k, true),
                least,
                furthest,
            }
        } else {
            Plan {
                swapped,
                batch: batch.clone(),
                rows: Table::new(&m, false),
                cols: Table::new(&n, false),
                ks: Table::new(&k, false),
                least,
                furthest,
            }
        };
        Self { batch, m, n, k, section: None, plan }
    }

    /// Of a [`Product::section`]: what is packed at once.
    pub const LONGEST_SECTION: usize = BLOCK_K_SMALL_C;

    /// Overwrites every element of c that the tables name, and no other.
    ///
    /// # Panics
    /// If a slice is too short for the tables.
    pub fn run(&self, cx: &Context, a: &[f32], b: &[f32], c: &mut [f32]) {
        self.run_first(cx, self.batch.len(), a, b, c);
    }

    /// The same for the first `batches` entries of the batch alone; the slices may end with them.
    ///
    /// # Panics
    /// If a slice is too short for these, or there are not as many.
    pub fn run_first(&self, cx: &Context, batches: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
        let plan = &self.plan;
        let count = batches * plan.rows.len() * plan.cols.len();
        if count == 0 {
            return;
        }
        let least = if batches == self.batch.len() {
            plan.least
        } else {
            // What the entries left out reach further.
            let entries = &self.batch[..batches];
            let last = |i: usize| {
                let some = entries.iter().map(|x| x[i]).max().unwrap_or(0);
                plan.least[i] - (plan.furthest[i] - some)
            };
            [last(0), last(1), last(2)]
        };
        let long_enough = a.len() >= least[0] && b.len() >= least[1];
        assert!(long_enough || plan.ks.len() == 0, "an operand is shorter than its tables");
        assert!(c.len() >= least[2], "c is shorter than its tables");
        let (a, b) = if plan.swapped { (b, a) } else { (a, b) };
        let section = self.section;
        let grid = Grid::new(cx, plan, batches);
        let c = SharedMut::new(c);
        cx.each(grid.len(), |i| {
            let (batch, rows, cols) = grid.get(i);
            // The whole wrapper goes along: `c.ptr()` is only used for the elements of this part.
            let c = c.ptr();
            dispatch(cx, Part { plan, section, a, b, c, batch, rows, cols });
        });
    }
}

/// The parts into which the outputs are divided among the threads.
struct Grid {
    sizes: [usize; 3],
    steps: [usize; 3],
    counts: [usize; 3],
}

impl Grid {
    fn new(cx: &Context, plan: &Plan, batches: usize) -> Self {
        let sizes = [batches, plan.rows.len(), plan.cols.len()];
        let mut grid = Grid { sizes, steps: sizes, counts: [1; 3] };
        // Sixteen multiply-adds count as one element operation; below 16 Ki of these it is not worth
        // handing any to another thread.
        let cost = sizes.iter().product::<usize>().saturating_mul(plan.ks.len().max(1)) / 16;
        if cx.threads() == 1 || cost < 16 * 1024 {
            return grid;
        }
        let mut wanted = (4 * cx.threads()).min(cost / (4 * 1024));
        // Of a long sum every part reads both operands from memory: there are as few as threads.
        if plan.ks.len() >= LONG_K && sizes[0] == 1 && sizes[1] * sizes[2] <= SMALL_C {
            wanted = wanted.min(cx.threads());
        }
        // Whole batch entries first, then blocks of the longer side: every part of it packs the
        // whole other operand anew.
        let (rows, cols) = ((1, 12), (2, 32));
        let sides = if sizes[2] > sizes[1] { [cols, rows] } else { [rows, cols] };
        for (axis, unit) in [(0, 1), sides[0], sides[1]] {
            let units = sizes[axis].div_ceil(unit);
            let parts = wanted.min(units).max(1);
            grid.steps[axis] = units.div_ceil(parts) * unit;
            grid.counts[axis] = sizes[axis].div_ceil(grid.steps[axis]);
            wanted = wanted.div_ceil(grid.counts[axis]);
            if axis == 0 && grid.counts[0] >= 2 * cx.threads() {
                break;
            }
        }
        grid
    }

    fn len(&self) -> usize {
        self.counts.iter().product()
    }

    fn get(&self, i: usize) -> (Range<usize>, Range<usize>, Range<usize>) {
        let range = |axis: usize, i: usize| {
            let start = i * self.steps[axis];
            start..(start + self.steps[axis]).min(self.sizes[axis])
        };
        let (rest, col) = (i / self.counts[2], i % self.counts[2]);
        (range(0, rest / self.counts[1]), range(1, rest % self.counts[1]), range(2, col))
    }
}

/// The outputs of some batch entries, rows and columns: what one thread computes.
struct Part<'a> {
    plan: &'a Plan,
    section: Option<usize>,
    a: &'a [f32],
    b: &'a [f32],
    /// Of the whole of c; only the elements of this part are read or written.
    c: *mut f32,
    batch: Range<usize>,
    rows: Range<usize>,
    cols: Range<usize>,
}

/// Columns and k: what is packed at once.
type Block = (Range<usize>, Range<usize>);

impl Task for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut buffers = with_buffers();
        let (rows, cols) = (self.rows.len(), self.cols.len());
        let few = cols <= FEW_COLUMNS && rows * cols <= FEW_ELEMENTS;
        if few && self.section.is_none() && self.batch.len() >= LANES {
            // SAFETY: the tables are inside the slices, and the elements of c belong to this part.
            unsafe { across::across::<S>(&self, &mut buffers) };
            return buffers.give_back();
        }
        let k = self.plan.ks.len();
        // At least one block, also of no k: c is written.
        let small = rows * cols <= SMALL_C;
        let most = self.section.unwrap_or(if small { BLOCK_K_SMALL_C } else { BLOCK_K });
        let blocks = k.div_ceil(most).max(1);
        let tile_cols = S::TILE_VECTORS * LANES;
        let most_cols = BLOCK_B / (k / blocks + 1) / tile_cols * tile_cols;
        // Equal blocks of columns: every further one packs the rows anew.
        let block_cols = cols.div_ceil(cols.div_ceil(most_cols).max(1)).next_multiple_of(tile_cols);
        let col_blocks = cols.div_ceil(block_cols);
        let at = |i: usize| {
            let (col, block) = (i / blocks, i % blocks);
            let first = self.cols.start + col * block_cols;
            let cols = first..(first + block_cols).min(self.cols.end);
            (cols, k * block / blocks..k * (block + 1) / blocks)
        };
        for batch in self.batch.clone() {
            for i in 0..col_blocks * blocks {
                let next = (i + 1 < col_blocks * blocks).then(|| at(i + 1));
                self.block::<S>(&mut buffers, batch, at(i), next);
            }
        }
        buffers.give_back();
    }
}

impl Part<'_> {
    /// All rows of the part for a block of columns and of k.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        buffers: &mut Buffers,
        batch: usize,
        (cols, ks): Block,
        next: Option<Block>,
    ) {
        let plan = self.plan;
        let [a0, b0, c0] = plan.batch[batch];
        let depth = ks.len();
        let (tile_rows, tile_cols) = (S::TILE_ROWS, S::TILE_VECTORS * LANES);
        let panel_len = pack::panel_len::<S>(depth);
        let (k_a, k_b) = (&plan.ks.x[ks.clone()], &plan.ks.y[ks.clone()]);
        let (k_a_run, k_b_run) = (&plan.ks.x_run[ks.clone()], &plan.ks.y_run[ks.clone()]);
        let neighbours = plan.cols.x_run[cols.start] >= cols.len();
        // Where b is read in its own place: how far apart its rows are.
        let panels = cols.len().div_ceil(tile_cols);
        let there = match (plan.ks.y_step, k_b.last()) {
            (Some(step), Some(last)) if neighbours && self.rows.len() <= FEW_TILES * tile_rows => {
                let first = b0 + plan.cols.x[cols.start];
                // Whole vectors are read.
                let end = first + last + cols.len().next_multiple_of(LANES);
                (end <= self.b.len()).then(|| (first + k_b[0], step))
            }
            _ => None,
        };
        // The same of a: how far apart its rows and its columns are.
        let apart = match (plan.rows.x_step, plan.ks.x_step) {
            (Some(row), Some(k)) if (k == 1 || panels <= FEW_PANELS) && depth > 0 => Some((row, k)),
            _ => None,
        };
        let (packed_a, packed_b) = buffers.get(
            if apart.is_none() { depth * tile_rows } else { 0 },
            if there.is_none() { panels * panel_len } else { 0 },
        );
        if there.is_none() {
            self.panels::<S>(packed_b, b0, cols.clone(), (k_b, k_b_run));
        }
        // Rows of a that come from beyond the second cache are asked for a tile before.
        let from_afar = matches!(apart, Some((_, 1))) && self.rows.len() * depth > 2 * BLOCK_B;
        let mut ahead = self.ahead(batch, from_afar, &ks, next);
        let chunks = panels * depth.div_ceil(tile::ASK_EVERY);
        // Tiles of a, each against all panels: c is visited in the order of its rows.
        let mut at = self.rows.start;
        while at < self.rows.end {
            let rows = at..(at + tile_rows).min(self.rows.end);
            if apart.is_none() {
                // SAFETY: the buffer holds a tile, and room for 16 beyond.
                unsafe {
                    pack::pack::<S>(
                        self.a,
                        a0,
                        &plan.rows.x[rows.clone()],
                        plan.rows.x_run[at],
                        (k_a, k_a_run),
                        packed_a,
                        rows.len(),
                    );
                }
            }
            // The tiles that are left share the asking.
            let wanted = ahead.count().div_ceil((self.rows.end - at).div_ceil(tile_rows));
            if from_afar {
                let next = rows.end..(rows.end + tile_rows).min(self.rows.end);
                ahead.regions[0] = match plan.rows.x.get(next.start) {
                    Some(first) if !next.is_empty() => {
                        let rows = (plan.rows.x_step, next.len());
                        Region::new(self.a, a0 + first + k_a[0], rows, (Some(1), depth))
                    }
                    _ => Region::NONE,
                };
            }
            let ask = (wanted + ahead.regions[0].count()).div_ceil(chunks.max(1));
            let mut panel = 0;
            let mut col = cols.start;
            while col < cols.end {
                let width = tile_cols.min(cols.end - col);
                let runs = &plan.cols.y_run[col..col + width];
                let mut whole = width.is_multiple_of(LANES);
                for v in 0..width / LANES {
                    whole &= runs[v * LANES] >= LANES;
                }
                let c = self.c.wrapping_add(c0);
                // SAFETY: both buffers were filled above, or the operands are read inside their slices; these
                // elements of c belong to this part.
                unsafe {
                    let (b, b_step) = match there {
                        Some((first, step)) => {
                            (self.b.as_ptr().add(first + col - cols.start), step)
                        }
                        None => (
                            packed_b.add(panel * panel_len).cast_const(),
                            width.next_multiple_of(LANES),
                        ),
                    };
                    tile::tile::<S>(
                        tile::Tile {
                            depth,
                            ask,
                            first: ks.start == 0,
                            section: self.section.is_some(),
                            a: match apart {
                                Some(_) => self.a.as_ptr().add(a0 + plan.rows.x[at] + k_a[0]),
                                None => packed_a,
                            },
                            apart,
                            b,
                            b_step,
                            c,
                            rows: &plan.rows.y[rows.clone()],
                            cols: &plan.cols.y[col..col + width],
                            whole,
                        },
                        &mut ahead,
                    );
                }
                panel += 1;
                col += tile_cols;
            }
            at += tile_rows;
        }
    }

    /// What the next block reads of a and b, without what the present one reads too.
    fn ahead(
        &self,
        batch: usize,
        from_afar: bool,
        ks: &Range<usize>,
        next: Option<Block>,
    ) -> Ahead {
        let plan = self.plan;
        let [a0, b0, _] = plan.batch[batch];
        let (mut of_a, mut of_b) = (Region::NONE, Region::NONE);
        if let Some((next_cols, next_ks)) = next
            && let (Some(k_a), Some(k_b)) =
                (plan.ks.x.get(next_ks.start), plan.ks.y.get(next_ks.start))
        {
            let k = |step: Option<usize>| (step, next_ks.len());
            let first = b0 + plan.cols.x[next_cols.start] + k_b;
            let cols = (plan.cols.x_step, next_cols.len());
            of_b = Region::new(self.b, first, cols, k(plan.ks.y_step));
            if next_ks != *ks && !from_afar {
                let first = a0 + plan.rows.x[self.rows.start] + k_a;
                let rows = (plan.rows.x_step, self.rows.len());
                of_a = Region::new(self.a, first, rows, k(plan.ks.x_step));
            }
        }
        Ahead::new([Region::NONE, of_b, of_a])
    }

    /// Packs panels of b.
    #[inline(always)]
    fn panels<S: Simd>(
        &self,
        packed: *mut f32,
        b0: usize,
        cols: Range<usize>,
        (k_b, k_b_run): (&[usize], &[usize]),
    ) {
        let plan = self.plan;
        let tile_cols = S::TILE_VECTORS * LANES;
        let panel_len = pack::panel_len::<S>(k_b.len());
        if plan.cols.x_run[cols.start] >= cols.len() && cols.len().is_multiple_of(tile_cols) {
            // SAFETY: the buffer holds all panels.
            unsafe {
                pack::pack_panels::<S>(
                    self.b,
                    b0 + plan.cols.x[cols.start],
                    cols.len() / tile_cols,
                    k_b,
                    packed,
                );
            }
        } else {
            let mut panel = 0;
            let mut col = cols.start;
            while col < cols.end {
                let width = tile_cols.min(cols.end - col);
                let vectors = width.div_ceil(LANES);
                for v in 0..vectors {
                    let lanes = col + v * LANES..(col + (v + 1) * LANES).min(cols.end);
                    // SAFETY: the buffer holds `panel_len` more from here.
                    unsafe {
                        pack::pack::<S>(
                            self.b,
                            b0,
                            &plan.cols.x[lanes.clone()],
                            plan.cols.x_run[lanes.start],
                            (k_b, k_b_run),
                            packed.add(panel * panel_len + v * LANES),
                            vectors * LANES,
                        );
                    }
                }
                panel += 1;
                col += tile_cols;
            }
        }
    }
}

/// Fused multiply-adds on registers alone, as many as hide their latency.
struct Peak {
    rounds: usize,
}

impl Task for Peak {
    /// A value that needs all of them, and the operations of a round.
    type Output = (f32, usize);

    #[inline(always)]
    fn run<S: Simd>(self) -> (f32, usize) {
        let mut acc = [S::zero(); 12];
        let x = S::splat(std::hint::black_box(0.5));
        for _ in 0..self.rounds {
            // As many as the registers hold.
            for a in &mut acc[..S::TILE_ROWS] {
                *a = a.fma(x, x);
            }
        }
        let mut sum = S::zero();
        for a in acc {
            sum = sum.add(a);
        }
        (sum.fold_add(), S::TILE_ROWS * LANES * 2)
    }
}

/// The machine's rate of f32 operations a second (a multiply-add is two) with the kernels and threads
/// of `cx`, from registers: what a product can reach at most. `seconds` times one call of what it is given.
pub fn peak_rate(cx: &Context, seconds: impl FnOnce(&mut dyn FnMut()) -> f64) -> f64 {
    let rounds = if cx.kernels() == Kernels::Portable { 10_000 } else { 1_000_000 };
    let (_, operations) = dispatch(cx, Peak { rounds: 0 });
    let threads = cx.threads();
    let time = seconds(&mut || {
        cx.each(threads, |_| {
            std::hint::black_box(dispatch(cx, Peak { rounds }));
        });
    });
    (threads * rounds * operations) as f64 / time
}
