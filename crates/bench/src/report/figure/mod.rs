//! Figures: plain data that draws itself as SVG.
//!
//! A figure is data and not a picture, so that it is kept in a cell as JSON, compared in a test,
//! and drawn again when the page changes. Each has a title and a caption that says how to read it.

mod attention_patterns;
mod bar_chart;
mod circuit_graph;
mod decoder_plot;
mod heatmap;
mod line_chart;
mod signed_bars;

use serde::{Deserialize, Serialize};

pub use attention_patterns::{AttentionPatterns, PatternOfHead};
pub use bar_chart::{BarChart, BarSeries};
pub use circuit_graph::{CircuitEdge, CircuitGraph, CircuitNode, EdgeMark};
pub use decoder_plot::{DecoderPlot, Vector};
pub use heatmap::Heatmap;
pub use line_chart::{Level, LineChart, Series};
pub use signed_bars::{SignedBar, SignedBars};

use super::svg::{Axis, at, clip, escape, label};
use crate::board::{exact, quote};

/// Series beyond this many repeat their colours.
const COLOURS: usize = 6;

/// One figure of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Figure {
    /// Values over steps.
    LineChart(LineChart),
    /// Senders and receivers in layers.
    CircuitGraph(CircuitGraph),
    /// Directions in a plane against the true ones.
    DecoderPlot(DecoderPlot),
    /// A matrix.
    Heatmap(Heatmap),
    /// A value for each of a list.
    BarChart(BarChart),
    /// Contributions to either side of zero.
    SignedBars(SignedBars),
    /// What heads attend to.
    AttentionPatterns(AttentionPatterns),
}

/// Figures of one subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FigureGroup {
    /// Of what.
    pub heading: String,
    /// Shown.
    pub figures: Vec<Figure>,
    /// Shown when they are asked for.
    #[serde(default)]
    pub folded: Vec<Figure>,
}

/// A picture of its own is at least so wide, for its title and caption.
const PICTURE: f64 = 480.0;

/// A figure wider than this gets a row of the page to itself.
const WIDE: f64 = 540.0;

impl Figure {
    /// The title.
    pub fn title(&self) -> &str {
        match self {
            Self::LineChart(f) => &f.title,
            Self::CircuitGraph(f) => &f.title,
            Self::DecoderPlot(f) => &f.title,
            Self::Heatmap(f) => &f.title,
            Self::BarChart(f) => &f.title,
            Self::SignedBars(f) => &f.title,
            Self::AttentionPatterns(f) => &f.title,
        }
    }

    /// How to read it.
    pub fn caption(&self) -> &str {
        match self {
            Self::LineChart(f) => &f.caption,
            Self::CircuitGraph(f) => &f.caption,
            Self::DecoderPlot(f) => &f.caption,
            Self::Heatmap(f) => &f.caption,
            Self::BarChart(f) => &f.caption,
            Self::SignedBars(f) => &f.caption,
            Self::AttentionPatterns(f) => &f.caption,
        }
    }

    /// What is drawn, every number in full, as comma-separated values (RFC 4180).
    pub fn csv(&self) -> String {
        match self {
            Self::LineChart(f) => f.csv(),
            Self::CircuitGraph(f) => f.csv(),
            Self::DecoderPlot(f) => f.csv(),
            Self::Heatmap(f) => f.csv(),
            Self::BarChart(f) => f.csv(),
            Self::SignedBars(f) => f.csv(),
            Self::AttentionPatterns(f) => f.csv(),
        }
    }

    fn drawing(&self) -> ([f64; 2], String) {
        match self {
            Self::LineChart(f) => f.draw(),
            Self::CircuitGraph(f) => f.draw(),
            Self::DecoderPlot(f) => f.draw(),
            Self::Heatmap(f) => f.draw(),
            Self::BarChart(f) => f.draw(),
            Self::SignedBars(f) => f.draw(),
            Self::AttentionPatterns(f) => f.draw(),
        }
    }

    /// The drawing; its colours are classes of the page's style sheet.
    pub fn svg(&self) -> String {
        let ([width, height], body) = self.drawing();
        // A small drawing is not blown up; a wide one scrolls in its box rather than shrink its letters.
        let least =
            if width > 500.0 { format!("min-width:{}px;", at(width * 0.9)) } else { String::new() };
        let most = at(width * 1.2);
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" style=\"{least}max-width:{most}px\">{body}</svg>",
            at(width),
            at(height),
            escape(self.title())
        )
    }

    /// Marks, each the inner drawing of a 22 x 10 box, with what they mean.
    fn legend(&self) -> Vec<(String, String)> {
        match self {
            Self::LineChart(f) => f.legend(),
            Self::BarChart(f) => f.legend(),
            Self::CircuitGraph(f) => f.legend(),
            Self::DecoderPlot(_) => decoder_plot::legend(),
            Self::Heatmap(f) => f.legend(),
            Self::SignedBars(f) => f.legend(),
            Self::AttentionPatterns(_) => vec![],
        }
    }

    /// The drawing as a file of its own: with its title, key, caption and colours.
    pub fn picture(&self) -> String {
        let ([width, height], body) = self.drawing();
        let width = width.max(PICTURE);
        let mut y = 22.0;
        let title = escape(self.title());
        let mut text = format!("<text class=\"title\" x=\"4\" y=\"{}\">{title}</text>", at(y));
        for (mark, name) in self.legend() {
            y += 18.0;
            text.push_str(&format!(
                "<g transform=\"translate(6 {})\">{mark}</g><text x=\"36\" y=\"{}\">{}</text>",
                at(y - 9.0),
                at(y),
                escape(&name)
            ));
        }
        y += 14.0;
        text.push_str(&format!("<g transform=\"translate(0 {})\">{body}</g>", at(y)));
        y += height + 8.0;
        for line in wrapped(self.caption(), (width / 6.4) as usize) {
            y += 16.0;
            text.push_str(&format!(
                "<text class=\"tick\" x=\"4\" y=\"{}\">{}</text>",
                at(y),
                escape(&line)
            ));
        }
        let (wide, high) = (at(width), at(y + 12.0));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" role=\"img\" aria-label=\"{title}\">\n\
             <style>\n{}</style>\n<rect class=\"paper\" width=\"{wide}\" height=\"{high}\"/>\n{text}\n</svg>\n",
            super::DRAWN
        )
    }

    pub(super) fn to_html(&self, number: usize) -> String {
        let legend = legend(&self.legend());
        let wide = if self.drawing().0[0] > WIDE { " class=\"wide\"" } else { "" };
        format!(
            "<figure{wide}>\n<h3>{}</h3>\n{legend}<div class=\"scroll\">{}</div>\n<figcaption><b>Figure {number}.</b> {}</figcaption>\n</figure>\n",
            escape(self.title()),
            self.svg(),
            escape(self.caption())
        )
    }
}

/// Lines of at most so many characters, cut between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width
        {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last].push_str(&format!("{space}{word}"));
        }
    }
    lines
}

/// Names with their marks, above a drawing.
fn legend(items: &[(String, String)]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: Vec<String> = items
        .iter()
        .map(|(mark, name)| {
            format!("<li><svg class=\"key\" width=\"22\" height=\"10\" viewBox=\"0 0 22 10\" aria-hidden=\"true\">{mark}</svg>{}</li>", escape(name))
        })
        .collect();
    format!("<ul class=\"key\">{}</ul>\n", items.join(""))
}

/// The frame that charts share: a plot area with grid lines, ticks and names of axes.
struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    const SIZE: [f64; 2] = [480.0, 280.0];
    const LEFT: f64 = 50.0;
    const RIGHT: f64 = 462.0;
    const TOP: f64 = 24.0;
    const BOTTOM: f64 = 238.0;

    fn y_axis(values: impl Iterator<Item = f64>, log: bool) -> Axis {
        Axis::new(values, log, Self::BOTTOM, Self::TOP)
    }

    /// Grid, ticks and names; `x_ticks` are given where they are names and not numbers.
    fn draw(&self, x_label: &str, y_label: &str, x_ticks: Option<&[(f64, String)]>) -> String {
        let mut text = String::new();
        for tick in &self.y.ticks {
            let Some(y) = self.y.place(*tick) else { continue };
            text.push_str(&format!(
                "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>",
                at(Self::LEFT),
                at(Self::RIGHT),
                y = at(y)
            ));
            text.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(Self::LEFT - 7.0),
                at(y + 4.0),
                label(*tick)
            ));
        }
        let numbers: Vec<(f64, String)>;
        let ticks = match x_ticks {
            Some(ticks) => ticks,
            None => {
                let place = |t: &f64| Some((self.x.place(*t)?, label(*t)));
                numbers = self.x.ticks.iter().filter_map(place).collect();
                &numbers
            }
        };
        for (x, name) in ticks {
            text.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(*x),
                at(Self::BOTTOM + 16.0),
                escape(name)
            ));
        }
        text.push_str(&format!(
            "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <text class=\"axis\" x=\"4\" y=\"13\">{}</text>",
            at(Self::RIGHT),
            at(Self::BOTTOM + 35.0),
            escape(x_label),
            escape(y_label)
        ));
        text
    }
}

/// A line of comma-separated values.
fn csv_row(fields: &[String]) -> String {
    let fields: Vec<String> = fields.iter().map(|f| quote(f)).collect();
    fields.join(",") + "\r\n"
}
