//! Values over steps: learning curves, rate against distortion.

use serde::{Deserialize, Serialize};

use super::{Axis, COLOURS, Frame, at, csv_row, escape};

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the key.
    pub name: String,
    /// (x, y), ascending in x. Points that cannot be shown break the line.
    pub points: Vec<[f64; 2]>,
    /// Dashed: a control rather than a result.
    #[serde(default)]
    pub dashed: bool,
}

/// A named horizontal line: a null, an oracle, a theoretical value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Its name, written on it.
    pub name: String,
    /// Its height.
    pub y: f64,
}

/// Lines over a common axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The name of the horizontal axis, with its unit.
    pub x_label: String,
    /// The name of the vertical axis, with its unit.
    pub y_label: String,
    /// Logarithmic horizontal axis; values of 0 and below are not shown.
    pub log_x: bool,
    /// Logarithmic vertical axis; values of 0 and below are not shown.
    pub log_y: bool,
    /// The lines.
    pub series: Vec<Series>,
    /// Single values behind the lines, (x, y): one for each seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dots: Vec<[f64; 2]>,
    /// What they are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dots_name: String,
    /// Levels to compare them with.
    pub levels: Vec<Level>,
}

impl LineChart {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let points = || self.series.iter().flat_map(|s| s.points.iter()).chain(&self.dots);
        let x = Axis::new(points().map(|p| p[0]), self.log_x, Frame::LEFT, Frame::RIGHT);
        let y = Frame::y_axis(
            points().map(|p| p[1]).chain(self.levels.iter().map(|l| l.y)),
            self.log_y,
        );
        let frame = Frame { x, y };
        let mut text = frame.draw(&self.x_label, &self.y_label, None);
        for level in &self.levels {
            let Some(y) = frame.y.place(level.y) else { continue };
            text.push_str(&format!(
                "<line class=\"level\" x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text class=\"tick halo\" x=\"{}\" y=\"{}\" >{}</text>",
                at(Frame::LEFT),
                at(Frame::RIGHT),
                at(Frame::LEFT + 4.0),
                at(y - 4.0),
                escape(&level.name),
                y = at(y),
            ));
        }
        for [x, y] in &self.dots {
            if let (Some(x), Some(y)) = (frame.x.place(*x), frame.y.place(*y)) {
                let place = format!("cx=\"{}\" cy=\"{}\"", at(x), at(y));
                text.push_str(&format!("<circle class=\"single\" {place} r=\"3\"/>"));
            }
        }
        for (i, series) in self.series.iter().enumerate() {
            let mut path = String::new();
            let mut pen = 'M';
            for [x, y] in &series.points {
                match (frame.x.place(*x), frame.y.place(*y)) {
                    (Some(x), Some(y)) => {
                        path.push_str(&format!("{pen}{} {}", at(x), at(y)));
                        pen = 'L';
                    }
                    _ => pen = 'M',
                }
            }
            let dashed = if series.dashed { " dashed" } else { "" };
            text.push_str(&format!(
                "<path class=\"line c{}{dashed}\" d=\"{path}\"><title>{}</title></path>",
                i % COLOURS,
                escape(&series.name)
            ));
        }
        (Frame::SIZE, text)
    }

    pub(super) fn legend(&self) -> Vec<(String, String)> {
        if self.series.len() < 2 && self.dots.is_empty() {
            return vec![];
        }
        let item = |(i, series): (usize, &Series)| {
            let dashed = if series.dashed { " dashed" } else { "" };
            (
                format!("<path class=\"line c{}{dashed}\" d=\"M0 5L22 5\"/>", i % COLOURS),
                series.name.clone(),
            )
        };
        let dots = (!self.dots.is_empty()).then(|| {
            (
                "<circle class=\"single\" cx=\"11\" cy=\"5\" r=\"3\"/>".to_owned(),
                self.dots_name.clone(),
            )
        });
        self.series.iter().enumerate().map(item).chain(dots).collect()
    }

    pub(super) fn csv(&self) -> String {
        let mut text = csv_row(&["series", "x", "y"].map(str::to_owned));
        for s in &self.series {
            for [x, y] in &s.points {
                text.push_str(&csv_row(&[s.name.clone(), x.to_string(), y.to_string()]));
            }
        }
        for [x, y] in &self.dots {
            text.push_str(&csv_row(&[self.dots_name.clone(), x.to_string(), y.to_string()]));
        }
        for l in &self.levels {
            text.push_str(&csv_row(&[l.name.clone(), String::new(), l.y.to_string()]));
        }
        text
    }
}
