//! A circuit: senders and receivers in layers, edges by what was found of them.

use serde::{Deserialize, Serialize};

use super::{at, clip, csv_row, escape, label};

/// What became of an edge when a found circuit was compared with the true one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeMark {
    /// Not compared.
    #[default]
    Plain,
    /// In the method's circuit and not in the truth.
    Extra,
    /// In the truth and not in the method's circuit.
    Missed,
    /// In both.
    Found,
}

impl EdgeMark {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "edge",
            Self::Extra => "extra",
            Self::Missed => "missed",
            Self::Found => "found",
        }
    }
}

/// A sender or receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CircuitNode {
    /// How edges name it: `a0.h1`.
    pub id: String,
    /// What is written in it; the id if empty.
    #[serde(default)]
    pub name: String,
    /// Its row, from below: the embedding is 0, the logits are last.
    pub layer: u32,
}

/// An edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CircuitEdge {
    /// The sender's id.
    pub from: String,
    /// The receiver's id.
    pub to: String,
    /// How much it carries; the width is relative to the largest.
    pub weight: f64,
    /// What became of it.
    #[serde(default)]
    pub mark: EdgeMark,
}

/// A circuit in layers, from the input below to the output above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitGraph {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The nodes; within a layer from left to right.
    pub nodes: Vec<CircuitNode>,
    /// The edges; one that names an absent node is not drawn.
    pub edges: Vec<CircuitEdge>,
}

const BOX: [f64; 2] = [78.0, 24.0];
const ROW: f64 = 66.0;

impl CircuitGraph {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let mut layers: Vec<u32> = self.nodes.iter().map(|n| n.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let of_layer = |layer: u32| self.nodes.iter().filter(move |n| n.layer == layer);
        let widest = layers.iter().map(|l| of_layer(*l).count()).max().unwrap_or(0).max(1);
        let width = (widest as f64 * (BOX[0] + 14.0) + 20.0).max(480.0);
        let height = layers.len().max(1) as f64 * ROW + 10.0;
        let mut centres = std::collections::BTreeMap::new();
        for (row, layer) in layers.iter().enumerate() {
            let count = of_layer(*layer).count();
            for (i, node) in of_layer(*layer).enumerate() {
                let x = width * (i as f64 + 0.5) / count as f64;
                centres.insert(node.id.as_str(), (x, height - 5.0 - (row as f64 + 0.5) * ROW, row));
            }
        }
        let sizes = self.edges.iter().map(|e| e.weight.abs()).filter(|w| w.is_finite());
        let largest = sizes.fold(0.0, f64::max);
        let mut text = String::new();
        // The found ones last, so that they lie on top.
        let mut edges: Vec<&CircuitEdge> = self.edges.iter().collect();
        edges.sort_by_key(|e| e.mark);
        for edge in edges {
            let (Some(from), Some(to)) =
                (centres.get(edge.from.as_str()), centres.get(edge.to.as_str()))
            else {
                continue;
            };
            let share = if largest > 0.0 && edge.weight.is_finite() {
                edge.weight.abs() / largest
            } else {
                0.0
            };
            text.push_str(&format!(
                "<path class=\"wire {}\" stroke-width=\"{}\" d=\"{}\"><title>{} to {}, {}: {}</title></path>",
                edge.mark.name(),
                at(0.9 + 3.4 * share),
                wire(*from, *to),
                escape(&edge.from),
                escape(&edge.to),
                edge.mark.name(),
                label(edge.weight)
            ));
        }
        for node in &self.nodes {
            let Some((x, y, _)) = centres.get(node.id.as_str()) else { continue };
            let name = if node.name.is_empty() { &node.id } else { &node.name };
            text.push_str(&format!(
                "<g class=\"node\"><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                escape(&node.id),
                at(x - BOX[0] / 2.0),
                at(y - BOX[1] / 2.0),
                BOX[0],
                BOX[1],
                at(*x),
                at(y + 4.0),
                escape(&clip(name, 10))
            ));
        }
        ([width, height], text)
    }

    pub(super) fn legend(&self) -> Vec<(String, String)> {
        let mut marks: Vec<EdgeMark> =
            self.edges.iter().map(|e| e.mark).filter(|m| *m != EdgeMark::Plain).collect();
        marks.sort_unstable();
        marks.dedup();
        let item = |mark: &EdgeMark| {
            (
                format!(
                    "<path class=\"wire {}\" stroke-width=\"2.4\" d=\"M0 5L22 5\"/>",
                    mark.name()
                ),
                mark.name().to_owned(),
            )
        };
        marks.iter().rev().map(item).collect()
    }

    pub(super) fn csv(&self) -> String {
        let mut text = csv_row(&["from", "to", "weight", "mark"].map(str::to_owned));
        for e in &self.edges {
            let mark = e.mark.name().to_owned();
            text.push_str(&csv_row(&[e.from.clone(), e.to.clone(), e.weight.to_string(), mark]));
        }
        text
    }
}

/// From the top of the sender to the bottom of the receiver; an edge that passes a layer bows
/// sideways, so that it does not run behind the boxes between.
fn wire((x1, y1, row1): (f64, f64, usize), (x2, y2, row2): (f64, f64, usize)) -> String {
    let (start, end) = (y1 - BOX[1] / 2.0, y2 + BOX[1] / 2.0);
    let skipped = row2.saturating_sub(row1).saturating_sub(1) as f64;
    let bow = if skipped > 0.0 {
        (BOX[0] * 0.75 + 8.0 * skipped) * if x1 + x2 > 480.0 { 1.0 } else { -1.0 }
    } else {
        0.0
    };
    let reach = ((start - end) * 0.45).abs().max(10.0);
    format!(
        "M{} {}C{} {} {} {} {} {}",
        at(x1),
        at(start),
        at(x1 + bow),
        at(start - reach),
        at(x2 + bow),
        at(end + reach),
        at(x2),
        at(end)
    )
}
