//! `flyroom describe`: step 2.

use crate::args::Args;
use crate::{names, output};
use anyhow::{Result, bail};
use flyroom_decompose::Dictionary;
use flyroom_describe::{Description, Grid};
use flyroom_explanation::Body;
use flyroom_organism::Subject;
use std::path::{Path, PathBuf};

#[allow(clippy::too_many_arguments)]
pub fn run(
    args: &Args,
    specimen: &Path,
    method: &str,
    parts: Option<&Path>,
    set: &[String],
    seed: u64,
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    let (method, parameters) = names::describe(method, &super::settings(set)?)?;
    if parts.is_some() && !method.takes_parts() {
        bail!(
            "--parts: '{}' describes the network's own components and takes no dictionary; \
             hint: leave --parts out; `flyroom validate SPECIMEN DICTIONARY` scores a dictionary alone",
            method.entry().name
        );
    }
    let parts = parts.map(Dictionary::read).transpose()?;
    let (specimen, task) = super::specimen(specimen)?;
    let subject = Subject::new(&specimen, &task, &args.context()?)?;
    let d = method.describe(&subject, parts.as_ref(), &parameters, seed)?;
    d.explanation.check()?;
    for grid in &d.grids {
        grid.check().map_err(|e| anyhow::anyhow!(e))?;
    }
    d.explanation.write(out)?;
    let seen = beside(out);
    flyroom_network::write_whole(&seen, serde_json::to_string_pretty(&d)?.as_bytes())?;
    if as_json {
        output::json(&d)?;
    } else {
        output::data(&text(&d));
        let (out, seen) = (out.display(), seen.display());
        output::say(args.quiet, &format!("written to {out}, what was seen on the way to {seen}"));
    }
    Ok(true)
}

/// Where what a method saw on the way lies: `description.json` beside `explanation.json`,
/// `x.description.json` beside `x.json`.
pub fn beside(explanation: &Path) -> PathBuf {
    match explanation.file_stem().map(|s| s.to_string_lossy()) {
        Some(stem) if stem != "explanation" => {
            explanation.with_file_name(format!("{stem}.description.json"))
        }
        _ => explanation.with_file_name("description.json"),
    }
}

/// A description for people.
pub fn text(d: &Description) -> String {
    let mut out = String::new();
    if !d.frequencies.is_empty() {
        let rows: Vec<Vec<String>> = d
            .frequencies
            .iter()
            .map(|f| {
                vec![
                    f.frequency.to_string(),
                    output::number(f.power),
                    output::number(f.amplitude),
                    output::number(f.accuracy),
                    output::number(f.cross_entropy),
                    output::number(f.max_logit_change),
                    f.embedding.clone(),
                    f.verdict.clone(),
                ]
            })
            .collect();
        out.push_str(&output::table(
            &[
                "frequency",
                "power",
                "amplitude",
                "accuracy without",
                "CE without",
                "max |logit change|",
                "embedding",
                "verdict",
            ],
            &rows,
        ));
    }
    if let Some(r2) = d.logit_r2 {
        out.push_str(&format!("the sum of cosines holds {r2:.4} of the centred logits\n"));
    }
    if let Body::Circuit { edges, .. } = &d.explanation.body {
        let mut scored: Vec<_> = d.edges.iter().collect();
        scored.sort_by(|a, b| b.score.abs().total_cmp(&a.score.abs()));
        let rows: Vec<Vec<String>> = scored
            .iter()
            .take(edges.len().max(10))
            .map(|e| {
                let kept = if edges.contains(&e.edge) { "kept" } else { "" };
                let dead = if e.gradient_dead { "gradient-dead" } else { "" };
                vec![e.edge.to_string(), output::number(e.score), kept.into(), dead.into()]
            })
            .collect();
        out.push_str(&output::table(&["edge", "score", "circuit", "remark"], &rows));
        let more = match d.edges.len().saturating_sub(rows.len()) {
            0 => String::new(),
            n => format!("; {n} more with smaller scores"),
        };
        out.push_str(&format!("{} of {} edges kept{more}\n", edges.len(), d.edges.len()));
    }
    for grid in &d.grids {
        out.push_str(&grid_text(grid));
    }
    out
}

/// Rows and columns of a grid that a terminal shows.
const SHOWN: (usize, usize) = (16, 8);

/// A grid for people: the rows and columns that stand out most, in their order.
fn grid_text(grid: &Grid) -> String {
    let (rows, columns) = grid.shape();
    let row_effect = |r: usize| (0..columns).map(|c| grid.effect(r, c)).fold(0.0, f64::max);
    let column_effect = |c: usize| (0..rows).map(|r| grid.effect(r, c)).fold(0.0, f64::max);
    let shown = (strongest(rows, SHOWN.0, row_effect), strongest(columns, SHOWN.1, column_effect));
    let unit = if grid.unit.is_empty() { String::new() } else { format!(" ({})", grid.unit) };
    let quantity =
        if grid.quantity == grid.name { String::new() } else { format!(": {}", grid.quantity) };
    let mut out = format!("\n{}{quantity}{unit}\n", grid.name);
    let label = |axis: usize, i: usize| grid.axes.get(axis).map_or("", |a| a.labels[i].as_str());
    let value = |r: usize, c: usize| match grid.words.get(r * columns + c) {
        Some(word) => word.clone(),
        None => grid.at(r, c).map_or("-".into(), output::number),
    };
    let mut headings = vec![grid.axes.first().map_or("", |a| a.name.as_str())];
    headings.extend(shown.1.iter().map(|&c| label(1, c)));
    let single = grid.axes.len() == 1;
    if single {
        headings = vec![headings[0], "value", "null"];
    }
    let table: Vec<Vec<String>> = shown
        .0
        .iter()
        .map(|&r| {
            let mut line = vec![label(0, r).to_owned()];
            line.extend(shown.1.iter().map(|&c| value(r, c)));
            if single {
                let null = grid.null.get(r).copied().flatten();
                line.push(null.map_or("-".into(), output::number));
            }
            line
        })
        .collect();
    out.push_str(&output::table(&headings, &table));
    if let Some((mean, high)) = grid.null_effect() {
        let (mean, high) = (output::number(mean), output::number(high));
        out.push_str(&format!(
            "null, {}: {mean} from {} in the mean, {high} at 95 %\n",
            grid.null_is,
            output::number(grid.neutral)
        ));
    }
    if shown.0.len() < rows || shown.1.len() < columns {
        out.push_str(&format!(
            "{} of {rows} rows and {} of {columns} columns, those that stand out most\n",
            shown.0.len(),
            shown.1.len()
        ));
    }
    out
}

/// Up to `most` of 0..n with the largest effect, ascending; of equal ones, to a hundredth of the
/// largest, the last, because answers stand at the end.
fn strongest(n: usize, most: usize, effect: impl Fn(usize) -> f64) -> Vec<usize> {
    let largest = (0..n).map(&effect).fold(0.0, f64::max);
    let rounded =
        |i: usize| if largest > 0.0 { (effect(i) / largest * 100.0).round() } else { 0.0 };
    let mut all: Vec<usize> = (0..n).collect();
    all.sort_by(|&a, &b| rounded(b).total_cmp(&rounded(a)).then(b.cmp(&a)));
    all.truncate(most);
    all.sort_unstable();
    all
}
