//! A matrix as a field of squares: attention, confusion, overlap of parts with features.

use serde::{Deserialize, Serialize};

use super::{at, clip, escape, label};

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
}

impl Heatmap {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let finite = || self.values.iter().flatten().flatten().copied().filter(|v| v.is_finite());
        let largest = finite().map(f64::abs).fold(0.0, f64::max);
        let (n_rows, n_columns) = (self.rows.len().max(1), self.columns.len().max(1));
        let cell = (400.0 / n_columns as f64).min(260.0 / n_rows as f64).clamp(9.0, 44.0);
        let names_width =
            self.rows.iter().map(|n| n.chars().count().min(14)).max().unwrap_or(0) as f64 * 7.0
                + 10.0;
        let (left, top) = (names_width.max(30.0), 40.0);
        let width = (left + cell * n_columns as f64 + 12.0).max(300.0);
        let height = top + cell * n_rows as f64 + 40.0;
        // One line above the names of the columns: what the rows are, what the columns are.
        let heading = match (self.y_label.is_empty(), self.x_label.is_empty()) {
            (false, false) => format!("{} (down) by {} (across)", self.y_label, self.x_label),
            _ => format!("{}{}", self.y_label, self.x_label),
        };
        let mut text = format!("<text class=\"axis\" x=\"4\" y=\"13\">{}</text>", escape(&heading));
        let every = |size: f64| {
            [1, 2, 5, 10, 20, 50].into_iter().find(|e| *e as f64 * cell >= size).unwrap_or(100)
        };
        for (i, name) in self.rows.iter().enumerate().step_by(every(13.0)) {
            text.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(left - 6.0),
                at(top + (i as f64 + 0.5) * cell + 4.0),
                escape(&clip(name, 14))
            ));
        }
        let widest =
            self.columns.iter().map(|n| n.chars().count().min(8)).max().unwrap_or(1) as f64 * 7.0
                + 4.0;
        for (j, name) in self.columns.iter().enumerate().step_by(every(widest)) {
            text.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(left + (j as f64 + 0.5) * cell),
                at(top - 7.0),
                escape(&clip(name, 8))
            ));
        }
        for (i, row) in self.values.iter().enumerate().take(n_rows) {
            for (j, value) in row.iter().enumerate().take(n_columns) {
                text.push_str(&self.cell(
                    *value,
                    largest,
                    [left + j as f64 * cell, top + i as f64 * cell, cell],
                ));
            }
        }
        text.push_str(&scale(left, height - 14.0, largest, finite().any(|v| v < 0.0)));
        ([width, height], text)
    }

    fn cell(&self, value: Option<f64>, largest: f64, [x, y, size]: [f64; 3]) -> String {
        let (x, y, side) = (at(x + 0.5), at(y + 0.5), at(size - 1.0));
        match value.filter(|v| v.is_finite()) {
            None => format!(
                "<rect class=\"absent\" x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\"/>"
            ),
            Some(v) => {
                let share = if largest > 0.0 { v.abs() / largest } else { 0.0 };
                let class = if v < 0.0 { "negative" } else { "positive" };
                format!(
                    "<rect class=\"{class}\" fill-opacity=\"{share:.3}\" x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\"><title>{}</title></rect>",
                    label(v)
                )
            }
        }
    }
}

/// Five squares from the least to the largest.
fn scale(x: f64, y: f64, largest: f64, negative: bool) -> String {
    let shares: &[f64] =
        if negative { &[-1.0, -0.5, 0.0, 0.5, 1.0] } else { &[0.0, 0.25, 0.5, 0.75, 1.0] };
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
    let low = if negative { -largest } else { 0.0 };
    text.push_str(&format!(
        "<text class=\"tick\" x=\"{}\" y=\"{2}\" text-anchor=\"end\">{3}</text><text class=\"tick\" x=\"{1}\" y=\"{2}\">{4}</text>",
        at(x + 35.0),
        at(x + 115.0),
        at(y + 9.0),
        label(low),
        label(largest)
    ));
    text
}
