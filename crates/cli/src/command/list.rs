//! `flyroom list`: the registries.

use crate::args::Registry;
use crate::output;
use anyhow::Result;
use serde_json::{Value, json};

/// The entries of a registry, with their parameters.
pub fn entries(what: Registry) -> Vec<Value> {
    match what {
        Registry::Organisms => {
            let all = flyroom_organism::registry().iter().map(|o| {
                let mut v = json!(o.entry());
                v["parameters"] = json!(o.defaults());
                v
            });
            all.collect()
        }
        Registry::Methods => {
            let mut all: Vec<Value> = vec![];
            for m in flyroom_decompose::registry() {
                let mut v = json!(m.entry());
                v["parameters"] = json!(m.defaults());
                all.push(v);
            }
            for m in flyroom_describe::registry() {
                let mut v = json!(m.entry());
                v["parameters"] = json!(m.defaults());
                all.push(v);
            }
            all
        }
        Registry::Metrics => flyroom_validate::METRICS.iter().map(|m| json!(m)).collect(),
    }
}

pub fn run(what: Registry, as_json: bool) -> Result<bool> {
    let entries = entries(what);
    let columns: &[&str] = match what {
        Registry::Organisms => &["name", "source", "standing", "cost", "summary"],
        Registry::Methods => &["name", "step", "source", "summary"],
        Registry::Metrics => &["name", "table", "null", "summary"],
    };
    if as_json {
        output::json(&entries)?;
        return Ok(true);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| columns.iter().map(|c| e[c].as_str().unwrap_or("").to_owned()).collect())
        .collect();
    output::data(&output::table(columns, &rows));
    Ok(true)
}
