//! `flyroom phases`: what is measured on an organism over one or two of its parameters, every seed, as a
//! table, a file of comma-separated values and a picture.

use super::breed;
use super::tally::word;
use crate::args::{Args, Progress};
use crate::{names, output};
use anyhow::{Context as _, Result, bail};
use flyroom_bench::phases::{Phases, Point};
use flyroom_network::write_whole;
use serde_json::{Value, json};
use std::path::Path;

/// A parameter with the values that it takes.
struct Over {
    key: String,
    values: Vec<String>,
}

impl Over {
    fn parse(text: &str) -> Result<Self> {
        let values = text.split_once('=').map(|(key, values)| {
            let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
            (key.trim().to_owned(), values)
        });
        match values {
            Some((key, values)) if values.len() > 1 && values.iter().all(|v| !v.is_empty()) => {
                let again = (1..values.len()).find(|&i| values[..i].contains(&values[i]));
                if let Some(again) = again {
                    bail!("--over {text}: {} is given twice", values[again]);
                }
                Ok(Self { key, values })
            }
            _ => bail!("--over {text}: no values; hint: write KEY=A,B,C"),
        }
    }
}

/// What was asked for.
pub struct Asked<'a> {
    pub organism: &'a str,
    pub over: &'a [String],
    /// A number that is measured, or `METRIC=WORD`.
    pub measure: &'a str,
    pub seeds: &'a str,
    pub set: &'a [String],
    pub out: &'a Path,
    pub progress: Progress,
}

impl Asked<'_> {
    /// The measurement of one specimen: a number, or 1 where the word is said and 0 where not.
    fn value(&self, metrics: &Value) -> Result<f64> {
        let (key, asked) = self.key();
        let numbers = || {
            let all = metrics.as_object().into_iter().flatten();
            all.filter(|(_, v)| v.is_number()).map(|(k, _)| k.as_str())
        };
        match (metrics.get(key), asked) {
            (None, _) => {
                let known = metrics.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
                bail!("--measure {key}: this is not measured{}", names::hint(key, known))
            }
            (Some(v), Some(asked)) => match word(v) {
                Some(said) => Ok(f64::from(u8::from(said == asked))),
                None => {
                    bail!("--measure {}: {key} is no word; hint: leave ={asked} out", self.measure)
                }
            },
            (Some(Value::Bool(b)), None) => Ok(f64::from(u8::from(*b))),
            (Some(v), None) => v.as_f64().with_context(|| {
                let numbers: Vec<&str> = numbers().collect();
                let way_out = match word(v) {
                    Some(said) => {
                        format!("write {key}={said} for the share of seeds with this word")
                    }
                    None => format!("numbers are {}", numbers.join(", ")),
                };
                format!("--measure {key}: this is no number; hint: {way_out}")
            }),
        }
    }

    /// The name of what is measured, and the word whose share is asked for.
    fn key(&self) -> (&str, Option<&str>) {
        match self.measure.split_once('=') {
            Some((key, word)) => (key, Some(word)),
            None => (self.measure, None),
        }
    }
}

/// All combinations, the last parameter fastest.
fn grid(over: &[Over]) -> Vec<Vec<&str>> {
    over.iter().fold(vec![vec![]], |grid, o| {
        grid.into_iter()
            .flat_map(|point| {
                o.values.iter().map(move |v| {
                    let mut point = point.clone();
                    point.push(v.as_str());
                    point
                })
            })
            .collect()
    })
}

pub fn run(args: &Args, asked: &Asked, as_json: bool) -> Result<bool> {
    let over: Vec<Over> = asked.over.iter().map(|o| Over::parse(o)).collect::<Result<_>>()?;
    if over.len() > 2 {
        bail!("--over: a picture has two sides; hint: give one or two, and --set the others");
    }
    if over.len() == 2 && over[0].key == over[1].key {
        bail!("--over {}: given twice", over[0].key);
    }
    let seeds: Vec<u64> = breed::seeds(asked.seeds)?.collect();
    let keys = over.iter().map(|o| o.key.clone()).collect();
    let share = asked.key().1.is_some();
    let mut phases = Phases::new(asked.organism, asked.measure, share, keys, seeds);
    for point in grid(&over) {
        let settings: Vec<String> =
            over.iter().zip(&point).map(|(o, v)| format!("{}={v}", o.key)).collect();
        let out = asked.out.join(settings.join(","));
        let set: Vec<String> = asked.set.iter().chain(&settings).cloned().collect();
        let bred = breed::run(args, asked.organism, asked.seeds, &set, &out, asked.progress)?;
        let values: Result<Vec<f64>> =
            bred.specimens.iter().map(|s| asked.value(&s["metrics"])).collect();
        let untrained = match breed::untrained(args, &bred)? {
            Some(all) => Some(all.iter().map(|m| asked.value(m)).collect::<Result<_>>()?),
            None => None,
        };
        let at = over.iter().map(|o| bred.parameters.get(&o.key).cloned().unwrap_or(Value::Null));
        phases.add(at.collect(), values?, untrained);
    }
    let picture = asked.out.join("phases.svg");
    write_whole(&picture, phases.figure().picture().as_bytes())?;
    write_whole(&asked.out.join("phases.csv"), phases.csv().as_bytes())?;
    if as_json {
        output::json(&json!({ "phases": phases, "picture": picture }))?;
        return Ok(true);
    }
    output::data(&table(&phases));
    output::say(args.quiet, &format!("the picture: {}", picture.display()));
    Ok(true)
}

fn table(phases: &Phases) -> String {
    let row = |p: &Point| {
        let mut row: Vec<String> =
            p.at.iter().map(|v| word(v).unwrap_or_else(|| v.to_string())).collect();
        row.push(output::number(p.mean));
        row.push(p.interval.map_or_else(String::new, |[low, high]| {
            format!("{} to {}", output::number(low), output::number(high))
        }));
        let every: Vec<String> = p.values.iter().map(|v| output::number(*v)).collect();
        row.push(every.join(", "));
        let null = p.untrained.as_deref().and_then(flyroom_bench::statistics::mean);
        row.push(null.map_or_else(|| "-".to_owned(), output::number));
        row
    };
    let head: Vec<&str> = phases.over.iter().map(String::as_str).collect();
    let what = if phases.share { "share" } else { "mean" };
    let head = [&head[..], &[what, "95 %", "seeds", "untrained"]].concat();
    output::table(&head, &phases.points.iter().map(row).collect::<Vec<_>>())
}
