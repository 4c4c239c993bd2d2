//! `flyroom list`: the registries and the frozen sets.

use super::tally::word;
use crate::args::Registry;
use crate::output;
use anyhow::Result;
use flyroom_organism::FrozenSet;
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
        Registry::Sets => flyroom_organism::frozen_sets().iter().map(set).collect(),
    }
}

/// A frozen set without its ids.
fn set(set: &FrozenSet) -> Value {
    let names: Vec<&str> = set.members.iter().map(|m| m.organism.as_str()).collect();
    json!({
        "name": set.name,
        "seeds": set.seeds(),
        "hash": set.hash(),
        "organisms": names,
        "summary": set.summary,
    })
}

/// One of them, or all.
pub fn run(what: Option<Registry>, as_json: bool) -> Result<bool> {
    match what {
        Some(what) if as_json => output::json(&entries(what))?,
        Some(what) => output::data(&table(what)),
        None if as_json => {
            let all =
                Registry::ALL.iter().map(|(r, name)| ((*name).to_owned(), entries(*r).into()));
            output::json(&Value::Object(all.collect()))?;
        }
        None => {
            let all: Vec<String> = Registry::ALL.iter().map(|(r, _)| table(*r)).collect();
            output::data(&all.join("\n"));
        }
    }
    Ok(true)
}

fn table(what: Registry) -> String {
    let columns: &[&str] = match what {
        Registry::Organisms => &["name", "source", "standing", "cost", "summary"],
        Registry::Methods => &["name", "step", "source", "summary"],
        Registry::Metrics => &["name", "table", "null", "summary"],
        Registry::Sets => &["name", "seeds", "hash", "summary"],
    };
    let rows: Vec<Vec<String>> = entries(what)
        .iter()
        .map(|e| columns.iter().map(|c| word(&e[*c]).unwrap_or_default()).collect())
        .collect();
    output::table_with_prose(columns, &rows)
}
