//! A value for each of a list: Fourier spectra, recall by feature.

use serde::{Deserialize, Serialize};

use super::{Axis, COLOURS, Frame, at, csv_row, escape, label};

/// One value for each name of the chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// Its name in the key.
    pub name: String,
    /// As many values as the chart has names.
    pub values: Vec<f64>,
}

/// Bars side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What the names are.
    pub x_label: String,
    /// What the values are, with their unit.
    pub y_label: String,
    /// The names, from left to right.
    pub names: Vec<String>,
    /// The values.
    pub series: Vec<BarSeries>,
    /// The names to point out: the true frequencies.
    pub highlighted: Vec<usize>,
    /// What the highlighted names are, for the key.
    pub highlight: String,
}

impl BarChart {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let values = self.series.iter().flat_map(|s| s.values.iter().copied());
        let y = Frame::y_axis(values.chain([0.0]), false);
        let x = Axis::new([0.0, 1.0].into_iter(), false, Frame::LEFT, Frame::RIGHT);
        let frame = Frame { x, y };
        let count = self.names.len().max(1);
        let slot = (Frame::RIGHT - Frame::LEFT) / count as f64;
        let middle = |i: usize| Frame::LEFT + (i as f64 + 0.5) * slot;
        // Every name where there is room; else every second, fifth, tenth, ...
        let widest =
            self.names.iter().map(|n| n.chars().count()).max().unwrap_or(1) as f64 * 7.0 + 6.0;
        let every = [1, 2, 5, 10, 20, 50, 100]
            .into_iter()
            .find(|e| *e as f64 * slot >= widest)
            .unwrap_or(count);
        let ticks: Vec<(f64, String)> = (0..self.names.len())
            .filter(|i| i % every == 0 || self.highlighted.contains(i) && every > 1)
            .fold(Vec::new(), |mut ticks: Vec<(f64, String)>, i| {
                // A highlighted name goes before a regular one that it would touch.
                if self.highlighted.contains(&i)
                    && ticks.last().is_some_and(|(x, _)| middle(i) - x < widest * 0.8)
                {
                    ticks.pop();
                }
                if ticks.last().is_none_or(|(x, _)| middle(i) - x >= widest * 0.8) {
                    ticks.push((middle(i), self.names[i].clone()));
                }
                ticks
            });
        let mut text = frame.draw(&self.x_label, &self.y_label, Some(&ticks));
        let zero = frame.y.place(0.0).unwrap_or(Frame::BOTTOM);
        let wide = (slot * 0.78).max(0.6) / self.series.len().max(1) as f64;
        for (s, series) in self.series.iter().enumerate() {
            for (i, value) in series.values.iter().enumerate().take(self.names.len()) {
                let Some(top) = frame.y.place(*value) else { continue };
                let left = middle(i) + (s as f64 - self.series.len() as f64 / 2.0) * wide;
                let class = match self.highlighted.contains(&i) {
                    true => "highlighted".to_owned(),
                    false if self.highlighted.is_empty() => format!("c{}", s % COLOURS),
                    false => format!("quiet q{}", s % COLOURS),
                };
                text.push_str(&format!(
                    "<rect class=\"block {class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: {}</title></rect>",
                    at(left),
                    at(top.min(zero)),
                    at(wide),
                    at((zero - top).abs()),
                    escape(&self.names[i]),
                    label(*value)
                ));
            }
        }
        text.push_str(&format!(
            "<line class=\"base\" x1=\"{}\" x2=\"{}\" y1=\"{zero}\" y2=\"{zero}\"/>",
            at(Frame::LEFT),
            at(Frame::RIGHT),
            zero = at(zero)
        ));
        (Frame::SIZE, text)
    }

    pub(super) fn legend(&self) -> Vec<(String, String)> {
        let block = |class: String| {
            format!("<rect class=\"block {class}\" x=\"4\" y=\"0\" width=\"14\" height=\"10\"/>")
        };
        let mut items = Vec::new();
        if !self.highlighted.is_empty() && !self.highlight.is_empty() {
            items.push((block("highlighted".into()), self.highlight.clone()));
        }
        if self.series.len() > 1 || !items.is_empty() {
            let plain = self.highlighted.is_empty();
            items.extend(self.series.iter().enumerate().map(|(i, series)| {
                let class = if plain {
                    format!("c{}", i % COLOURS)
                } else {
                    format!("quiet q{}", i % COLOURS)
                };
                (block(class), series.name.clone())
            }));
        }
        items
    }

    pub(super) fn csv(&self) -> String {
        let header = ["name", "series", "value", "highlighted"];
        let mut text = csv_row(&header.map(str::to_owned));
        for s in &self.series {
            for (i, (name, value)) in self.names.iter().zip(&s.values).enumerate() {
                let marked = self.highlighted.contains(&i).to_string();
                text.push_str(&csv_row(&[name.clone(), s.name.clone(), value.to_string(), marked]));
            }
        }
        text
    }
}
