//! Grids as figures: two axes are a heat map, one is a row of bars around zero.

use crate::report::{Figure, Heatmap, SignedBar, SignedBars};
use flyroom_describe::Grid;

/// A number with three digits that count.
fn short(x: f64) -> String {
    let text = format!("{x:.3}");
    if text.trim_start_matches('-') == "0.000" && x != 0.0 {
        return format!("{x:.0e}");
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn caption(grid: &Grid) -> String {
    let null = grid.null_effect().map_or(String::new(), |(mean, high)| {
        format!(
            " Null, {}: {} from {} in the mean, {} at 95 %.",
            grid.null_is,
            short(mean),
            short(grid.neutral),
            short(high)
        )
    });
    format!("{}{null}", grid.reading)
}

fn quantity(grid: &Grid) -> String {
    match grid.unit.as_str() {
        "" | "rank" => grid.quantity.clone(),
        unit => format!("{} ({unit})", grid.quantity),
    }
}

/// The figure of a grid that a method read from a specimen.
pub fn figure(grid: &Grid, method: &str, organism: &str, seed: u64) -> Figure {
    let title = format!("{}: {method} on {organism} / {seed}", grid.name);
    let (rows, columns) = grid.shape();
    let labels = |axis: usize| grid.axes.get(axis).map(|a| a.labels.clone()).unwrap_or_default();
    let name = |axis: usize| grid.axes.get(axis).map(|a| a.name.clone()).unwrap_or_default();
    if grid.axes.len() == 1 {
        let bars = (0..rows).map(|i| SignedBar {
            name: labels(0)[i].clone(),
            value: grid.at(i, 0),
            null: grid.null.get(i).copied().flatten(),
        });
        return Figure::SignedBars(SignedBars {
            title,
            caption: caption(grid),
            x_label: quantity(grid),
            bars: bars.collect(),
        });
    }
    let lines = |all: &[Option<f64>]| -> Vec<Vec<Option<f64>>> {
        all.chunks(columns.max(1)).map(<[_]>::to_vec).collect()
    };
    Figure::Heatmap(Heatmap {
        title,
        caption: format!("{}. {}", capital(&quantity(grid)), caption(grid)),
        x_label: name(1),
        y_label: name(0),
        rows: labels(0),
        columns: labels(1),
        values: lines(&grid.values),
        neutral: grid.neutral,
        words: grid.words.chunks(columns.max(1)).map(<[_]>::to_vec).collect(),
        // Every word says its own; what stands out there is the colour. Of a distance the small is
        // the finding.
        outlined: grid
            .null_effect()
            .map(|n| n.1)
            .filter(|_| grid.words.is_empty() && !grid.distance),
        nulls: lines(&grid.null),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect())
}

/// The heads that a grid over layers and heads finds beyond its null, the strongest first.
pub fn heads(grid: &Grid) -> Vec<(usize, usize)> {
    if grid.axes.len() != 2 || grid.axes[0].name != "layer" || grid.axes[1].name != "head" {
        return vec![];
    }
    let (layers, heads) = grid.shape();
    let null = grid.null_effect().map_or(0.0, |n| n.1);
    let mut all: Vec<(usize, usize)> =
        (0..layers).flat_map(|l| (0..heads).map(move |h| (l, h))).collect();
    all.retain(|&(l, h)| grid.effect(l, h) > null);
    all.sort_by(|&a, &b| grid.effect(b.0, b.1).total_cmp(&grid.effect(a.0, a.1)).then(a.cmp(&b)));
    all
}
