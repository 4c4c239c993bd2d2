//! `flyroom breed --tally KEY`: how often each value of a measured word comes over the seeds, beside the
//! untrained networks of the same seeds, which is what chance and the architecture give.

use super::breed::{self, Bred};
use crate::args::Args;
use crate::output;
use anyhow::{Result, bail};
use flyroom_bench::statistics::Tally;
use serde_json::{Value, json};

/// A word: text as it is, a truth value, a whole number or a list of such as JSON; a measurement is none.
pub fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(_) => Some(value.to_string()),
        Value::Number(n) if n.is_u64() => Some(value.to_string()),
        Value::Array(all) => {
            let all: Option<Vec<String>> = all.iter().map(word).collect();
            Some(format!("[{}]", all?.join(", ")))
        }
        _ => None,
    }
}

/// The words of all specimens under a key.
fn words<'a>(metrics: impl Iterator<Item = &'a Value>, key: &str) -> Result<Vec<String>> {
    let one = |m: &Value| {
        let known = || {
            let all = m.as_object().into_iter().flatten();
            all.filter(|(_, v)| word(v).is_some()).map(|(k, _)| k.as_str()).collect::<Vec<_>>()
        };
        match m.get(key).map(word) {
            Some(Some(word)) => Ok(word),
            found => {
                let why =
                    if found.is_some() { "is measured, and no word" } else { "is not measured" };
                bail!("--tally {key}: this {why}; hint: words are {}", known().join(", "))
            }
        }
    };
    metrics.map(one).collect()
}

pub fn run(args: &Args, bred: &Bred, key: &str, as_json: bool) -> Result<bool> {
    let trained = words(bred.specimens.iter().map(|s| &s["metrics"]), key)?;
    let trained = Tally::of(trained);
    // What was never trained has no untrained twin.
    let untrained = match breed::untrained(args, bred)? {
        Some(metrics) => Tally::of(words(metrics.iter(), key)?),
        None => None,
    };
    if as_json {
        output::json(&json!({
            "organism": bred.organism.entry().name,
            "metric": key,
            "tally": trained,
            "untrained": untrained,
        }))?;
        return Ok(true);
    }
    let rows =
        [("bred", &trained), ("untrained", &untrained)].into_iter().flat_map(|(of, tally)| {
            let of_class = move |t: &Tally| {
                let row = |c: &flyroom_bench::statistics::Class| {
                    let [low, high] = c.interval;
                    vec![
                        of.to_owned(),
                        c.word.clone(),
                        format!("{} of {}", c.count, t.n),
                        format!("{:.2}", c.share),
                        format!("{low:.2} to {high:.2}"),
                        format!("{:.2}", t.effective),
                    ]
                };
                t.classes.iter().map(row).collect::<Vec<_>>()
            };
            tally.as_ref().map(of_class).unwrap_or_default()
        });
    let head = ["network", key, "seeds", "share", "95 %", "classes in effect"];
    output::data(&output::table(&head, &rows.collect::<Vec<_>>()));
    Ok(true)
}
