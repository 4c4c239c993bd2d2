//! `flyroom transfer`: whether methods rank on a run's organisms as they rank on public benchmarks.

use super::run::report_of;
use crate::output;
use anyhow::{Result, bail};
use flyroom_bench::transfer::{Transfer, compare, rankings};
use std::path::Path;

pub fn run(root: &Path, as_json: bool) -> Result<bool> {
    let report = report_of(root)?;
    let found = compare(rankings(), &report.board.rows);
    if found.is_empty() {
        let of = |r: &flyroom_bench::transfer::Ranking| {
            let methods: Vec<&str> = r.scores.keys().map(String::as_str).collect();
            format!("{} ({}) ranks {}", r.name, r.metric, methods.join(", "))
        };
        let known: Vec<String> = rankings().iter().map(of).collect();
        bail!(
            "{}: no organism on which two methods of a public ranking have a score; hint: {}",
            root.display(),
            known.join("; ")
        );
    }
    if as_json {
        output::json(&found)?;
        return Ok(true);
    }
    let rows: Vec<Vec<String>> = found.iter().flat_map(lines).collect();
    let head =
        ["ranking", "organism", "method", "there", "here", "seeds", "tau", "95 %", "p", "least p"];
    output::data(&output::table(&head, &rows));
    Ok(true)
}

/// A line for each method; what is said of all of them stands on the first.
fn lines(t: &Transfer) -> Vec<Vec<String>> {
    let two = |x: f64| format!("{x:.2}");
    let interval = t.interval.map(|[low, high]| format!("{low:.2} to {high:.2}"));
    let said = [
        t.seeds.len().to_string(),
        t.tau.map_or("-".into(), two),
        interval.unwrap_or_else(|| "-".into()),
        t.p.map_or("-".into(), two),
        two(t.least_p),
    ];
    let line = |(i, m): (usize, &flyroom_bench::transfer::Method)| {
        let mut line = vec![String::new(), String::new(), m.method.clone(), two(m.public)];
        line.push(format!("{:.3}", m.ours));
        if i == 0 {
            line[0].clone_from(&t.ranking);
            line[1] = format!("{} ({})", t.organism, t.metric);
            line.extend(said.clone());
        } else {
            line.resize(10, String::new());
        }
        line
    };
    t.methods.iter().enumerate().map(line).collect()
}
