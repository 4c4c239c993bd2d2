//! A matrix as a field of cells: sweeps of patches, lenses, overlaps of parts with features.
//!
//! The colour of a cell is how far its value lies from the one that says nothing (`neutral`), blue
//! above and red below, as a share of the largest. Where a null is known, cells beyond it are
//! outlined, so that what a null reaches as well does not catch the eye.

use serde::{Deserialize, Serialize};

use super::{at, clip, csv_row, escape, exact, label};

/// A matrix with names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heatmap {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What the columns are.
    pub x_label: String,
    /// What the rows are.
    pub y_label: String,
    /// The names of the rows, from above.
    pub rows: Vec<String>,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// `values[row][column]`; `None` is drawn as absent.
    pub values: Vec<Vec<Option<f64>>>,
    /// The value without colour.
    pub neutral: f64,
    /// Words written in the cells, `words[row][column]`; empty for none.
    pub words: Vec<Vec<String>>,
    /// Cells farther than this from the neutral value are outlined.
    pub outlined: Option<f64>,
    /// The null of each value, for the table beside the page; may be empty.
    pub nulls: Vec<Vec<Option<f64>>>,
}

/// Lengths in pixels: the field without words, the largest and smallest cell, a cell with a word.
const FIELD: [f64; 2] = [420.0, 300.0];
const CELL: [f64; 2] = [9.0, 44.0];
const WORD: [f64; 2] = [50.0, 15.0];
/// Letters of a name.
const NAME: usize = 14;

/// Places of the cells.
struct Layout {
    left: f64,
    top: f64,
    cell: [f64; 2],
    upright: bool,
}

impl Heatmap {
    fn layout(&self) -> Layout {
        let (n_rows, n_columns) = (self.rows.len().max(1), self.columns.len().max(1));
        let widest = |names: &[String]| {
            names.iter().map(|n| n.chars().count().min(NAME)).max().unwrap_or(0) as f64
        };
        let square = (FIELD[0] / n_columns as f64).min(FIELD[1] / n_rows as f64);
        let cell = if self.words.is_empty() {
            // A few rows under many columns, or the reverse, need not be slivers.
            let least = square.clamp(CELL[0], CELL[1]);
            [
                (FIELD[0] / n_columns as f64).clamp(least, least * 2.0).min(CELL[1]),
                (FIELD[1] / n_rows as f64).clamp(least, least * 2.0).min(CELL[1]),
            ]
        } else {
            WORD
        };
        // Names that are wider than their column stand upright.
        let upright = widest(&self.columns) * 6.6 + 3.0 > cell[0];
        let top = if upright { 24.0 + widest(&self.columns) * 6.3 } else { 40.0 };
        Layout { left: (widest(&self.rows) * 7.0 + 10.0).max(30.0), top, cell, upright }
    }

    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let finite = || self.values.iter().flatten().flatten().copied().filter(|v| v.is_finite());
        let neutral = self.colourless();
        let largest = finite().map(|v| (v - neutral).abs()).fold(0.0, f64::max);
        let (n_rows, n_columns) = (self.rows.len().max(1), self.columns.len().max(1));
        let place = self.layout();
        let Layout { left, top, cell: [wide, high], upright } = place;
        let width = (left + wide * n_columns as f64 + 12.0).max(300.0);
        let height = top + high * n_rows as f64 + 40.0;
        // One line above the names of the columns: what the rows are, what the columns are.
        let heading = match (self.y_label.is_empty(), self.x_label.is_empty()) {
            (false, false) => format!("{} (down) by {} (across)", self.y_label, self.x_label),
            _ => format!("{}{}", self.y_label, self.x_label),
        };
        let mut text = format!("<text class=\"axis\" x=\"4\" y=\"13\">{}</text>", escape(&heading));
        let every = |cell: f64, size: f64| {
            [1, 2, 5, 10, 20, 50].into_iter().find(|e| *e as f64 * cell >= size).unwrap_or(100)
        };
        for (i, name) in self.rows.iter().enumerate().step_by(every(high, 11.0)) {
            text.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(left - 6.0),
                at(top + (i as f64 + 0.5) * high + 4.0),
                escape(&clip(name, NAME))
            ));
        }
        let step = if upright { every(wide, 11.0) } else { every(wide, 7.0) };
        for (j, name) in self.columns.iter().enumerate().step_by(step) {
            let (x, y) = (left + (j as f64 + 0.5) * wide, top - 6.0);
            let name = escape(&clip(name, NAME));
            text.push_str(&if upright {
                format!(
                    "<text class=\"tick\" transform=\"translate({} {}) rotate(-90)\">{name}</text>",
                    at(x + 4.0),
                    at(y)
                )
            } else {
                format!(
                    "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                    at(x),
                    at(y)
                )
            });
        }
        for (i, row) in self.values.iter().enumerate().take(n_rows) {
            for (j, value) in row.iter().enumerate().take(n_columns) {
                text.push_str(&self.cell(*value, largest, i, j, &place));
            }
        }
        let signs = [finite().any(|v| v < neutral), finite().any(|v| v > neutral)];
        text.push_str(&scale(left, height - 14.0, neutral, largest, signs));
        ([width, height], text)
    }

    /// The value without colour; 0 where a file says nonsense.
    fn colourless(&self) -> f64 {
        if self.neutral.is_finite() { self.neutral } else { 0.0 }
    }

    fn cell(
        &self,
        value: Option<f64>,
        largest: f64,
        row: usize,
        column: usize,
        place: &Layout,
    ) -> String {
        let [wide, high] = place.cell;
        let (x, y) = (place.left + column as f64 * wide, place.top + row as f64 * high);
        let side = format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            at(x + 0.5),
            at(y + 0.5),
            at(wide - 1.0),
            at(high - 1.0)
        );
        let Some(v) = value.filter(|v| v.is_finite()) else {
            return format!("<rect class=\"absent\" {side}/>");
        };
        let from = v - self.colourless();
        let share = if largest > 0.0 { from.abs() / largest } else { 0.0 };
        let sign = if from < 0.0 { "negative" } else { "positive" };
        let beyond = if self.outlined.is_some_and(|n| from.abs() > n) { " beyond" } else { "" };
        let name = |names: &[String], i: usize| names.get(i).map_or(String::new(), |n| escape(n));
        let word = self.words.get(row).and_then(|w| w.get(column)).map(String::as_str);
        let said = word.map(|w| format!("{}: ", escape(w))).unwrap_or_default();
        let mut text = format!(
            "<rect class=\"{sign}{beyond}\" fill-opacity=\"{share:.2}\" {side}><title>{}, {}: {said}{}</title></rect>",
            name(&self.rows, row),
            name(&self.columns, column),
            label(v)
        );
        if let Some(word) = word {
            let class = if share > 0.55 { "word on" } else { "word" };
            text.push_str(&format!(
                "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(x + wide / 2.0),
                at(y + high / 2.0 + 3.5),
                escape(&clip(word, 8))
            ));
        }
        text
    }

    pub(super) fn legend(&self) -> Vec<(String, String)> {
        if self.outlined.is_none() {
            return vec![];
        }
        let mark = "<rect class=\"positive beyond\" fill-opacity=\"0.3\" x=\"6\" y=\"0\" width=\"10\" height=\"10\"/>";
        vec![(mark.into(), "beyond 95 % of the null".into())]
    }

    pub(super) fn csv(&self) -> String {
        let header = ["row", "column", "value", "null", "word"];
        let mut text = csv_row(&header.map(str::to_owned));
        let of = |all: &[Vec<Option<f64>>], i: usize, j: usize| {
            exact(all.get(i).and_then(|r| r.get(j)).copied().flatten())
        };
        for (i, row) in self.rows.iter().enumerate() {
            for (j, column) in self.columns.iter().enumerate() {
                let word = self.words.get(i).and_then(|w| w.get(j)).cloned().unwrap_or_default();
                text.push_str(&csv_row(&[
                    row.clone(),
                    column.clone(),
                    of(&self.values, i, j),
                    of(&self.nulls, i, j),
                    word,
                ]));
            }
        }
        text
    }
}

/// Five squares from the least to the largest; a side that no value lies on is left out.
fn scale(x: f64, y: f64, neutral: f64, largest: f64, [below, above]: [bool; 2]) -> String {
    let shares: &[f64] = match (below, above) {
        (true, true) => &[-1.0, -0.5, 0.0, 0.5, 1.0],
        (true, false) => &[-1.0, -0.75, -0.5, -0.25, 0.0],
        _ => &[0.0, 0.25, 0.5, 0.75, 1.0],
    };
    let mut text = String::new();
    for (i, share) in shares.iter().enumerate() {
        let class = if *share < 0.0 { "negative" } else { "positive" };
        text.push_str(&format!(
            "<rect class=\"{class} edge\" fill-opacity=\"{:.2}\" x=\"{}\" y=\"{}\" width=\"14\" height=\"10\"/>",
            share.abs(),
            at(x + 40.0 + 14.0 * i as f64),
            at(y)
        ));
    }
    // What is left of a difference by rounding is no number to read.
    let end = |i: usize| {
        let value = neutral + shares[i] * largest;
        label(if value.abs() < 1e-6 * largest { 0.0 } else { value })
    };
    text.push_str(&format!(
        "<text class=\"tick\" x=\"{}\" y=\"{2}\" text-anchor=\"end\">{3}</text><text class=\"tick\" x=\"{1}\" y=\"{2}\">{4}</text>",
        at(x + 35.0),
        at(x + 115.0),
        at(y + 9.0),
        end(0),
        end(4)
    ));
    text
}
