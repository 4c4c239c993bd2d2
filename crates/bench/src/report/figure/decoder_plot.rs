//! Directions in a plane: the true features as rays, what was learned as dots.

use serde::{Deserialize, Serialize};

use super::{at, csv_row, escape};

/// A point of the plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    /// To the right.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Its name; empty for none.
    #[serde(default)]
    pub name: String,
}

/// Learned directions against true ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderPlot {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The true directions.
    pub truth: Vec<Vector>,
    /// The learned ones, at their own length.
    pub learned: Vec<Vector>,
}

const SIZE: [f64; 2] = [340.0, 300.0];
const RADIUS: f64 = 112.0;

impl DecoderPlot {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let shown = |v: &&Vector| v.x.is_finite() && v.y.is_finite();
        let length = |v: &Vector| (v.x * v.x + v.y * v.y).sqrt();
        let longest =
            self.truth.iter().chain(&self.learned).filter(shown).map(length).fold(0.0, f64::max);
        let scale = if longest > 0.0 && longest.is_finite() { RADIUS / longest } else { 0.0 };
        let [cx, cy] = [SIZE[0] / 2.0, SIZE[1] / 2.0];
        let place = |v: &Vector| (cx + v.x * scale, cy - v.y * scale);
        let mut text = String::new();
        // The unit circle, where it fits: lengths are seen against it.
        let unit = scale.min(RADIUS * 1.2);
        text.push_str(&format!(
            "<circle class=\"circle\" cx=\"{cx}\" cy=\"{cy}\" r=\"{}\"/>\
             <line class=\"grid\" x1=\"{l}\" x2=\"{r}\" y1=\"{cy}\" y2=\"{cy}\"/><line class=\"grid\" x1=\"{cx}\" x2=\"{cx}\" y1=\"{t}\" y2=\"{b}\"/>",
            at(unit), l = cx - RADIUS - 8.0, r = cx + RADIUS + 8.0, t = cy - RADIUS - 8.0, b = cy + RADIUS + 8.0
        ));
        for vector in self.truth.iter().filter(shown) {
            let (x, y) = place(vector);
            text.push_str(&format!(
                "<line class=\"ray\" x1=\"{cx}\" y1=\"{cy}\" x2=\"{}\" y2=\"{}\"/>",
                at(x),
                at(y)
            ));
            let size = length(vector);
            if !vector.name.is_empty() && size > 0.0 {
                // Beyond the tip, pushed outwards.
                let (dx, dy) = (vector.x / size, vector.y / size);
                let anchor = if dx > 0.3 {
                    "start"
                } else if dx < -0.3 {
                    "end"
                } else {
                    "middle"
                };
                text.push_str(&format!(
                    "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    at(x + 10.0 * dx),
                    at(y - 12.0 * dy + 4.0),
                    escape(&vector.name)
                ));
            }
        }
        for vector in self.learned.iter().filter(shown) {
            let (x, y) = place(vector);
            text.push_str(&format!(
                "<circle class=\"learned\" cx=\"{}\" cy=\"{}\" r=\"4.5\"><title>{} ({:.2}, {:.2})</title></circle>",
                at(x),
                at(y),
                escape(&vector.name),
                vector.x,
                vector.y
            ));
        }
        (SIZE, text)
    }

    pub(super) fn csv(&self) -> String {
        let mut text = csv_row(&["kind", "name", "x", "y"].map(str::to_owned));
        for (kind, all) in [("true", &self.truth), ("learned", &self.learned)] {
            for v in all {
                let place = [v.x.to_string(), v.y.to_string()];
                let [x, y] = place;
                text.push_str(&csv_row(&[kind.to_owned(), v.name.clone(), x, y]));
            }
        }
        text
    }
}

pub(super) fn legend() -> Vec<(String, String)> {
    vec![
        (
            "<line class=\"ray\" x1=\"0\" y1=\"5\" x2=\"22\" y2=\"5\"/>".into(),
            "true direction".into(),
        ),
        ("<circle class=\"learned\" cx=\"11\" cy=\"5\" r=\"4.5\"/>".into(), "learned".into()),
        ("<circle class=\"circle\" cx=\"11\" cy=\"5\" r=\"4.5\"/>".into(), "length 1".into()),
    ]
}
