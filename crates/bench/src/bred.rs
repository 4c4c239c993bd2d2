//! What was bred: the specimens of a run with what was measured on them, seed by seed and in a few
//! lines for people.

use crate::Fault;
use crate::store::Cell;
use flyroom_organism::{Parameters, Spec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A specimen of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bred {
    /// Its organism, as its label in the plan.
    pub organism: String,
    /// Its seed.
    pub seed: u64,
    /// blake3 of its weights.
    pub weights: String,
    /// What was measured.
    pub metrics: Parameters,
}

impl Bred {
    /// Reads the spec of a specimen's cell.
    pub fn of(organism: &str, cell: &Cell) -> Result<Self, Fault> {
        let spec: Spec = cell.read_json("specimen.json")?;
        Ok(Self {
            organism: organism.to_owned(),
            seed: spec.seed,
            weights: spec.weights,
            metrics: spec.metrics,
        })
    }
}

/// One line for each organism: means of numbers over the seeds, counts of words.
pub fn text(bred: &[Bred]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Bred>> = BTreeMap::new();
    for b in bred {
        groups.entry(&b.organism).or_default().push(b);
    }
    let width = groups.keys().map(|k| k.len()).max().unwrap_or(0);
    let mut out = String::from("What was bred\n");
    for (organism, members) in groups {
        let mut findings = vec![];
        for name in members[0].metrics.keys() {
            let values: Vec<&Value> = members.iter().filter_map(|m| m.metrics.get(name)).collect();
            findings.extend(finding(name, &values));
        }
        let n = members.len();
        let seeds = if n == 1 { "1 seed ".to_owned() } else { format!("{n} seeds") };
        out.push_str(&format!("  {organism:<width$}  {seeds}  {}\n", findings.join(", ")));
    }
    out
}

/// Everything that was measured on specimens of one organism, a line for each number or word, a
/// column for each seed.
pub fn every(bred: &[Bred]) -> String {
    let names: BTreeSet<&String> = bred.iter().flat_map(|b| b.metrics.keys()).collect();
    let said = |v: Option<&Value>| match v {
        Some(Value::Number(n)) => n.as_f64().map_or_else(|| n.to_string(), small),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Array(all)) => format!("{} numbers", all.len()),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let mut lines = vec![vec!["measured, seed".to_owned()]];
    lines[0].extend(bred.iter().map(|b| b.seed.to_string()));
    for name in names {
        let values = bred.iter().map(|b| said(b.metrics.get(name)));
        lines.push([name.replace('_', " ")].into_iter().chain(values).collect());
    }
    let columns = bred.len() + 1;
    let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let padded = |l: &Vec<String>| {
        let cells = l.iter().zip(&widths).enumerate();
        let cells =
            cells.map(|(c, (x, &w))| if c == 0 { format!("{x:<w$}") } else { format!("{x:>w$}") });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    lines.iter().map(padded).collect()
}

/// A number of the board, and one that would be rounded to nothing in powers of ten.
fn small(x: f64) -> String {
    if x != 0.0 && x.abs() < 5e-4 { format!("{x:.0e}") } else { crate::board::number(x) }
}

fn finding(name: &str, values: &[&Value]) -> Option<String> {
    let n = values.len();
    let numbers: Vec<f64> = values.iter().filter_map(|v| v.as_f64()).collect();
    let name = name.replace('_', " ");
    if numbers.len() == n && n > 0 {
        let mean = numbers.iter().sum::<f64>() / n as f64;
        return HEADLINES.contains(&name.as_str()).then(|| format!("{name} {}", small(mean)));
    }
    let words: Vec<String> = values
        .iter()
        .filter_map(|v| match v {
            Value::Bool(b) => Some(if *b { "yes".into() } else { "no".into() }),
            Value::String(s) => Some(s.clone()),
            _ => None,
        })
        .collect();
    if words.len() != n || n == 0 {
        return None;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for w in &words {
        *counts.entry(w).or_default() += 1;
    }
    let said: Vec<String> = counts.iter().map(|(w, c)| format!("{w} on {c} of {n}")).collect();
    Some(format!("{name}: {}", said.join(", ")))
}

/// Numbers that the few lines show; `specimens.json` has all.
const HEADLINES: [&str; 4] = ["accuracy", "loss", "loss ratio", "max error"];
