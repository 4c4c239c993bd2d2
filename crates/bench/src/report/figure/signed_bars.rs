//! Contributions that add up: one bar for each component, to the right where it helps, to the left
//! where it hurts, before a band that shows how far its null reaches.

use serde::{Deserialize, Serialize};

use super::{Axis, at, clip, csv_row, escape, exact, label};

/// A contribution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignedBar {
    /// Whose.
    pub name: String,
    /// How much; `None` is not drawn.
    pub value: Option<f64>,
    /// How far its null reaches to either side.
    #[serde(default)]
    pub null: Option<f64>,
}

/// Bars to both sides of zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignedBars {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What the values are, with their unit.
    pub x_label: String,
    /// All of them, in order; the table beside the page has each.
    pub bars: Vec<SignedBar>,
}

/// Bars that are drawn; of more the longest.
const DRAWN: usize = 24;
const ROW: f64 = 15.0;
const LEFT: f64 = 92.0;
const WIDTH: f64 = 480.0;
const TOP: f64 = 22.0;

impl SignedBars {
    /// The bars that are drawn, in order.
    fn drawn(&self) -> Vec<&SignedBar> {
        let size = |b: &&SignedBar| b.value.map_or(0.0, f64::abs);
        let shown = |b: &&SignedBar| b.value.is_some_and(f64::is_finite);
        let mut sizes: Vec<f64> = self.bars.iter().filter(shown).map(|b| size(&b)).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let least = sizes.get(DRAWN - 1).copied().unwrap_or(0.0);
        self.bars.iter().filter(shown).filter(|b| size(b) >= least).take(DRAWN).collect()
    }

    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let drawn = self.drawn();
        let ends = drawn.iter().flat_map(|b| {
            let null = b.null.unwrap_or(0.0);
            [b.value.unwrap_or(0.0), null, -null]
        });
        let axis = Axis::new(ends.chain([0.0]), false, LEFT, WIDTH - 14.0);
        let height = TOP + ROW * drawn.len().max(1) as f64 + 38.0;
        let bottom = TOP + ROW * drawn.len().max(1) as f64;
        let mut text = String::new();
        for tick in &axis.ticks {
            let Some(x) = axis.place(*tick) else { continue };
            text.push_str(&format!(
                "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>\
                 <text class=\"tick\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(TOP - 4.0),
                at(bottom),
                at(bottom + 15.0),
                label(*tick),
                x = at(x)
            ));
        }
        let zero = axis.place(0.0).unwrap_or(LEFT);
        for (i, bar) in drawn.iter().enumerate() {
            let y = TOP + ROW * i as f64;
            let value = bar.value.unwrap_or(0.0);
            let Some(end) = axis.place(value) else { continue };
            if let Some((low, high)) =
                bar.null.and_then(|n| Some((axis.place(-n.abs())?, axis.place(n.abs())?)))
            {
                text.push_str(&format!(
                    "<rect class=\"nullband\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                    at(low),
                    at(y),
                    at(high - low),
                    at(ROW - 1.0)
                ));
            }
            let class = if value < 0.0 { "c1" } else { "c0" };
            text.push_str(&format!(
                "<rect class=\"block {class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: {}</title></rect>\
                 <text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(zero.min(end)),
                at(y + 3.0),
                at((end - zero).abs().max(0.5)),
                at(ROW - 7.0),
                escape(&bar.name),
                label(value),
                at(LEFT - 8.0),
                at(y + ROW / 2.0 + 3.5),
                escape(&clip(&bar.name, 12))
            ));
        }
        text.push_str(&format!(
            "<line class=\"base\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>\
             <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            at(TOP - 4.0),
            at(bottom),
            at(WIDTH - 14.0),
            at(bottom + 32.0),
            escape(&self.x_label),
            x = at(zero)
        ));
        if drawn.len() < self.bars.len() {
            text.push_str(&format!(
                "<text class=\"axis\" x=\"4\" y=\"12\">the {} longest of {}</text>",
                drawn.len(),
                self.bars.len()
            ));
        }
        ([WIDTH, height], text)
    }

    pub(super) fn legend(&self) -> Vec<(String, String)> {
        if self.bars.iter().all(|b| b.null.is_none()) {
            return vec![];
        }
        let mark = "<rect class=\"nullband\" x=\"2\" y=\"0\" width=\"18\" height=\"10\"/>";
        vec![(mark.into(), "95 % of its null".into())]
    }

    pub(super) fn csv(&self) -> String {
        let mut text = csv_row(&["name", "value", "null"].map(str::to_owned));
        for b in &self.bars {
            text.push_str(&csv_row(&[b.name.clone(), exact(b.value), exact(b.null)]));
        }
        text
    }
}
