//! Attention patterns side by side: one small field for each head, queries downwards, keys across.
//!
//! Weights are drawn in eight steps, one path for each, so that many heads of long inputs stay a
//! small page; the table beside it has every number.

use serde::{Deserialize, Serialize};

use super::{at, clip, csv_row, escape};

/// One head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatternOfHead {
    /// As edges name it: `a0.h1`.
    pub name: String,
    /// `[query][key]`.
    pub weights: Vec<Vec<f32>>,
}

/// Heads on one input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttentionPatterns {
    /// The title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The tokens of the input.
    pub tokens: Vec<String>,
    /// The heads, in order.
    pub heads: Vec<PatternOfHead>,
}

/// Fields side by side, the side of one, the steps of weight.
const ACROSS: usize = 4;
const SIDE: f64 = 150.0;
const STEPS: u32 = 8;
/// Inputs of at most so many tokens have them written beside the fields.
const NAMED: usize = 20;

impl AttentionPatterns {
    pub(super) fn draw(&self) -> ([f64; 2], String) {
        let n = self.tokens.len().max(1);
        let cell = (SIDE / n as f64).clamp(2.0, 14.0);
        let side = cell * n as f64;
        let named = self.tokens.len() <= NAMED && cell >= 7.0;
        let letters = self.tokens.iter().map(|t| t.chars().count().min(9)).max().unwrap_or(0);
        let margin = if named { letters as f64 * 5.6 + 6.0 } else { 4.0 };
        let (step_x, step_y) = (margin + side + 12.0, margin + side + 26.0);
        let across = self.heads.len().clamp(1, ACROSS);
        let mut text = String::new();
        for (i, head) in self.heads.iter().enumerate() {
            let (x, y) = (
                (i % across) as f64 * step_x + margin,
                (i / across) as f64 * step_y + margin + 18.0,
            );
            text.push_str(&format!(
                "<g transform=\"translate({} {})\"><title>{}</title><rect class=\"field\" width=\"{s}\" height=\"{s}\"/>\
                 <text class=\"axis\" x=\"0\" y=\"{}\">{}</text>",
                at(x),
                at(y),
                escape(&head.name),
                at(-margin - 1.0),
                escape(&head.name),
                s = at(side)
            ));
            if named {
                for (t, token) in self.tokens.iter().enumerate() {
                    let (middle, token) = ((t as f64 + 0.5) * cell + 3.0, escape(&clip(token, 9)));
                    text.push_str(&format!(
                        "<text class=\"small\" x=\"-3\" y=\"{m}\" text-anchor=\"end\">{token}</text>\
                         <text class=\"small\" transform=\"translate({m} -3) rotate(-90)\">{token}</text>",
                        m = at(middle)
                    ));
                }
            }
            text.push_str(&fields(&head.weights, n, cell));
            text.push_str("</g>");
        }
        let down = self.heads.len().div_ceil(across).max(1);
        let width = (step_x * across as f64).max(300.0);
        ([width, step_y * down as f64 + 4.0], text)
    }

    pub(super) fn csv(&self) -> String {
        let header = ["head", "query", "query_token", "key", "key_token", "weight"];
        let mut text = csv_row(&header.map(str::to_owned));
        let token = |i: usize| self.tokens.get(i).cloned().unwrap_or_default();
        for head in &self.heads {
            for (q, row) in head.weights.iter().enumerate() {
                for (k, &w) in row.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                    text.push_str(&csv_row(&[
                        head.name.clone(),
                        q.to_string(),
                        token(q),
                        k.to_string(),
                        token(k),
                        w.to_string(),
                    ]));
                }
            }
        }
        text
    }
}

/// One path for each step of weight.
fn fields(weights: &[Vec<f32>], n: usize, cell: f64) -> String {
    let mut paths = vec![String::new(); STEPS as usize + 1];
    for (q, row) in weights.iter().enumerate().take(n) {
        for (k, &w) in row.iter().enumerate().take(n) {
            if !w.is_finite() {
                continue;
            }
            let step = (f64::from(w.clamp(0.0, 1.0)) * f64::from(STEPS)).round() as usize;
            if step > 0 {
                paths[step].push_str(&format!(
                    "M{} {}h{c}v{c}h-{c}z",
                    at(k as f64 * cell),
                    at(q as f64 * cell),
                    c = at(cell)
                ));
            }
        }
    }
    paths
        .iter()
        .enumerate()
        .filter(|(_, p)| !p.is_empty())
        .map(|(step, p)| {
            let share = step as f64 / f64::from(STEPS);
            format!("<path class=\"positive\" fill-opacity=\"{share:.2}\" d=\"{p}\"/>")
        })
        .collect()
}
