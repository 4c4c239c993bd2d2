//! `flyroom breed`: specimens of an organism.

use super::rasp;
use crate::args::{Args, Progress};
use crate::progress::Steps;
use crate::{names, output};
use anyhow::{Result, bail};
use flyroom_bench::CellSpec;
use flyroom_bench::plan::own::{self, Own};
use flyroom_bench::plan::{PROGRAM, RASP, TRAINED};
use flyroom_organism::train::Nursery;
use flyroom_organism::{Parameters, Specimen};
use serde_json::{Value, json};
use std::path::Path;

/// `a..b`, end exclusive. A single number is refused: in a plan it is how many seeds, and here it
/// could be taken for that or for one of them.
pub fn seeds(text: &str) -> Result<std::ops::Range<u64>> {
    let number = |s: &str| {
        s.trim()
            .parse::<u64>()
            .map_err(|_| anyhow::anyhow!("--seeds {text}: no seeds; hint: write 0..5"))
    };
    let range = match text.split_once("..") {
        Some((a, b)) => number(a)?..number(b)?,
        None => {
            let n = number(text)?;
            bail!(
                "--seeds {text}: which seeds?; hint: 0..{n} are the first {n}, {n}..{} is seed {n}",
                n.saturating_add(1)
            );
        }
    };
    if range.is_empty() {
        bail!("--seeds {text}: this is no seed; hint: the end is exclusive, 0..1 is seed 0");
    }
    Ok(range)
}

pub fn run(
    args: &Args,
    organism: &str,
    seed_range: &str,
    set: &[String],
    out: &Path,
    progress: Progress,
    as_json: bool,
) -> Result<bool> {
    let mut set = super::settings(set)?;
    let path = Path::new(organism);
    let (name, called) = if rasp::is(path) {
        (RASP, rasp::organism(path, &mut set)?)
    } else if own::is(path) {
        (TRAINED, of_file(path, &mut set)?)
    } else {
        (organism, organism.to_owned())
    };
    let (organism, parameters) = names::organism(name, &set)?;
    let cx = args.context()?;
    let mut bred: Vec<Value> = vec![];
    for seed in seeds(seed_range)? {
        let label = format!("{called}-{seed}");
        let dir = out.join(&label);
        let there = dir.join("specimen.json").exists();
        let found = if there { Some(Specimen::read(&dir)?) } else { None };
        let specimen = match found {
            Some(s)
                if s.spec.parameters == parameters
                    && s.spec.version == organism.entry().version =>
            {
                output::say(args.quiet, &format!("{} is there already", dir.display()));
                s
            }
            Some(_) => bail!(
                "{} holds a specimen with other parameters; hint: choose another folder with --out",
                dir.display()
            ),
            None => {
                let steps_done = Steps::new(args, progress, &label);
                // What was begun with other parameters is not gone on with.
                let key =
                    CellSpec::new("specimen", organism.entry().name, organism.entry().version)
                        .parameters(parameters.clone().into_iter().collect())
                        .seed(seed)
                        .key();
                let nursery = Nursery {
                    checkpoints: Some(dir.join("checkpoints").join(key.short())),
                    every: 500,
                    progress: &|step, steps| {
                        steps_done.at(step, steps);
                        true
                    },
                };
                let result = organism.breed(&parameters, seed, &cx, &nursery).map_err(|e| {
                    let text = e.to_string();
                    let ours = text.contains("checkpoint.safetensors") && !text.contains("hint: ");
                    let way_out =
                        if ours { "; hint: delete this file to breed from the start" } else { "" };
                    anyhow::anyhow!("{text}{way_out}")
                })?;
                drop(steps_done);
                let metrics = organism.measure(&parameters, &result.network, &cx)?;
                let (specimen, truth) = Specimen::new(organism, &parameters, seed, result, metrics);
                truth.write(&specimen.truth_path(&dir))?;
                specimen.write(&dir)?;
                let _ = std::fs::remove_dir_all(dir.join("checkpoints"));
                specimen
            }
        };
        bred.push(summary(&specimen, &dir));
    }
    print(&bred, as_json)
}

/// Puts what the file of an organism says below what is set; gives the file's name.
fn of_file(path: &Path, set: &mut Parameters) -> Result<String> {
    if set.contains_key(PROGRAM) {
        bail!("--set {PROGRAM}: {} names one too; hint: leave one out", path.display());
    }
    let own = Own::read(path, None).map_err(|e| anyhow::anyhow!("{e}"))?;
    for (key, value) in own.parameters {
        set.entry(key).or_insert(value);
    }
    Ok(path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

/// What is printed of a specimen.
pub fn summary(s: &Specimen, dir: &Path) -> Value {
    json!({
        "organism": s.spec.organism,
        "seed": s.spec.seed,
        "id": s.id(),
        "weights": s.spec.weights,
        "path": dir,
        "metrics": s.spec.metrics,
    })
}

/// Specimens as JSON or as a table.
pub fn print(bred: &[Value], as_json: bool) -> Result<bool> {
    if as_json {
        output::json(&bred)?;
        return Ok(true);
    }
    let rows: Vec<Vec<String>> = bred
        .iter()
        .map(|v| {
            let numbers: Vec<String> = v["metrics"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| match v {
                    // A count is no measurement.
                    Value::Number(n) if n.is_u64() => Some(format!("{k} {n}")),
                    Value::Number(n) => Some(format!("{k} {}", output::number(n.as_f64()?))),
                    Value::Bool(b) => Some(format!("{k} {b}")),
                    Value::String(s) => Some(format!("{k} {s}")),
                    _ => None,
                })
                .collect();
            vec![
                v["path"].as_str().unwrap_or("").to_owned(),
                v["id"].as_str().unwrap_or("").chars().take(12).collect(),
                numbers.join(", "),
            ]
        })
        .collect();
    output::data(&output::table(&["specimen", "id", "measured"], &rows));
    Ok(true)
}
