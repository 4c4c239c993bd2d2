//! Asking for what will be read next while the present is computed: the next block of b before it is packed,
//! and what of a is read in its own place.

use crate::simd::{LANES, prefetch};

/// Rows of memory, each one run.
#[derive(Clone, Copy)]
pub(super) struct Region {
    /// The start of the next row.
    at: *const f32,
    /// Values from one row to the next.
    step: usize,
    /// How many rows are left.
    rows: usize,
    /// Cache lines of a row.
    lines: usize,
}

impl Region {
    pub(super) const NONE: Region = Region { at: std::ptr::null(), step: 0, rows: 0, lines: 0 };

    /// What lies at `first` of `src` along two axes, each given as the values from one index to the next, where
    /// they are equally many, and how many indices: the axis of neighbours makes the rows.
    pub(super) fn new(
        src: &[f32],
        first: usize,
        x: (Option<usize>, usize),
        y: (Option<usize>, usize),
    ) -> Self {
        let (((Some(1), len), (Some(step), rows)) | ((Some(step), rows), (Some(1), len))) = (x, y)
        else {
            return Region::NONE;
        };
        Region { at: src.as_ptr().wrapping_add(first), step, rows, lines: len.div_ceil(LANES) }
    }

    /// How many lines are left.
    pub(super) fn count(&self) -> usize {
        self.rows * self.lines
    }
}

/// What is wanted, the first first.
pub(super) struct Ahead {
    pub(super) regions: [Region; 3],
    /// Of the present row, the lines that were asked for.
    line: usize,
}

impl Ahead {
    pub(super) fn new(regions: [Region; 3]) -> Self {
        Ahead { regions, line: 0 }
    }

    /// How many lines are left.
    pub(super) fn count(&self) -> usize {
        self.regions.iter().map(Region::count).sum()
    }

    /// Asks for some lines, at most to the end of a row.
    #[inline(always)]
    pub(super) fn ask(&mut self, lines: usize) {
        let mut i = 0;
        while self.regions[i].rows == 0 {
            i += 1;
            if i == self.regions.len() {
                return;
            }
        }
        let region = &mut self.regions[i];
        let end = region.lines.min(self.line + lines);
        for line in self.line..end {
            prefetch(region.at.wrapping_add(line * LANES));
        }
        self.line = end;
        if end == region.lines {
            self.line = 0;
            region.at = region.at.wrapping_add(region.step);
            region.rows -= 1;
        }
    }
}
