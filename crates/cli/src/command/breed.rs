//! `flyroom breed`: specimens of an organism, one seed a thread where there are as many seeds as threads:
//! networks of this size gain more from that than from threads inside of a step.

use super::rasp;
use crate::args::{Args, Progress};
use crate::progress::Steps;
use crate::{names, output};
use anyhow::{Result, bail};
use flyroom_bench::CellSpec;
use flyroom_bench::plan::own::{self, Own};
use flyroom_bench::plan::{PROGRAM, RASP, TRAINED};
use flyroom_organism::train::Nursery;
use flyroom_organism::{FrozenSet, Organism, Parameters, Specimen, check_frozen};
use flyroom_tensor::Context;
use indicatif::MultiProgress;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
        bail!("--seeds {text}: there is no seed in it; hint: the end is exclusive, 0..1 is seed 0");
    }
    Ok(range)
}

/// What a command bred, and from what.
pub struct Bred {
    pub organism: &'static dyn Organism,
    pub parameters: Parameters,
    /// The summary of each specimen, in order of seeds.
    pub specimens: Vec<Value>,
}

pub fn run(
    args: &Args,
    organism: &str,
    seed_range: &str,
    set: &[String],
    out: &Path,
    progress: Progress,
) -> Result<Bred> {
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
    let breeding = Breeding::new(args, organism, &parameters, &called, out, progress);
    let bred = each(args, seeds(seed_range)?, &|seed, cx| breeding.one(seed, cx))?;
    Ok(Bred { organism, parameters, specimens: bred })
}

/// What is done for a seed.
type OfSeed<'a, T> = &'a (dyn Fn(u64, &Context) -> Result<T> + Sync);

/// Does something for every seed, as many at a time as there are threads, each on one; those that are left
/// share them.
pub fn each<T: Send>(args: &Args, seeds: Range<u64>, one: OfSeed<T>) -> Result<Vec<T>> {
    let threads = args.threads()?;
    let count = seeds.end - seeds.start;
    let left = count % threads as u64;
    let whole = seeds.end - left;
    let mut done = together(seeds.start..whole, threads, &args.cell_context()?, one)?;
    if left > 0 {
        let cx = Context::new(args.cell_context()?.kernels(), threads / left as usize);
        done.extend(together(whole..seeds.end, left as usize, &cx, one)?);
    }
    Ok(done)
}

/// Does it for all seeds, so many at a time, each with the threads of `cx`; what came of it in order. No seed
/// is begun behind one that failed.
fn together<T: Send>(
    seeds: Range<u64>,
    at_once: usize,
    cx: &Context,
    one: OfSeed<T>,
) -> Result<Vec<T>> {
    let (next, done) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    let work = || {
        // Pools are not shared: threads that wait for one another would share no work.
        let cx = Context::new(cx.kernels(), cx.threads());
        loop {
            let take = |seed: u64| (seed < seeds.end).then(|| seed + 1);
            let taken = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            let Ok(seed) = taken else { return };
            let one = one(seed, &cx);
            if one.is_err() {
                next.store(seeds.end, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, one);
        }
    };
    std::thread::scope(|scope| {
        let others = (at_once as u64).min(seeds.end - seeds.start).saturating_sub(1);
        for _ in 0..others {
            // Where the system gives no thread, those that there are take all seeds.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

/// Every organism of a frozen set, as it was frozen: what comes out otherwise is an error.
pub fn set(
    args: &Args,
    set: &FrozenSet,
    seed_range: &str,
    asked: &[String],
    out: &Path,
    progress: Progress,
) -> Result<Vec<Value>> {
    let name = &set.name;
    if let Some(asked) = asked.first() {
        bail!(
            "--set {asked}: {name} is frozen with its parameters; hint: breed one of its organisms"
        );
    }
    let range = seeds(seed_range)?;
    if range.end > set.seeds() as u64 {
        bail!("--seeds {seed_range}: {name} has seeds 0..{}", set.seeds());
    }
    let mut bred = vec![];
    for member in &set.members {
        let (organism, parameters) = names::organism(&member.organism, &member.parameters)?;
        let breeding = Breeding::new(args, organism, &parameters, &member.organism, out, progress);
        bred.extend(each(args, range.clone(), &|seed, cx| breeding.one(seed, cx))?);
    }
    let says = format!("{} specimens as {name} was frozen, {}", bred.len(), set.hash());
    output::say(args.quiet, &says);
    Ok(bred)
}

/// What the specimens of one command have in common.
struct Breeding<'a> {
    args: &'a Args,
    organism: &'static dyn Organism,
    parameters: &'a Parameters,
    called: &'a str,
    out: &'a Path,
    progress: Progress,
    bars: MultiProgress,
}

impl<'a> Breeding<'a> {
    fn new(
        args: &'a Args,
        organism: &'static dyn Organism,
        parameters: &'a Parameters,
        called: &'a str,
        out: &'a Path,
        progress: Progress,
    ) -> Self {
        Self { args, organism, parameters, called, out, progress, bars: MultiProgress::new() }
    }

    /// The specimen of a seed, from disk or bred now.
    fn one(&self, seed: u64, cx: &Context) -> Result<Value> {
        let (args, organism, parameters) = (self.args, self.organism, self.parameters);
        let label = format!("{}-{seed}", self.called);
        let dir = self.out.join(&label);
        if dir.join("specimen.json").exists() {
            let there = Specimen::read(&dir)?;
            if there.spec.parameters != *parameters
                || there.spec.version != organism.entry().version
            {
                bail!(
                    "{} holds a specimen with other parameters; hint: choose another folder with --out",
                    dir.display()
                );
            }
            check_frozen(&there.spec)?;
            output::say(args.quiet, &format!("{} is there already", dir.display()));
            return Ok(summary(&there, &dir));
        }
        let steps_done = Steps::new(args, self.progress, &label, &self.bars);
        // What was begun with other parameters is not gone on with.
        let key = CellSpec::new("specimen", organism.entry().name, organism.entry().version)
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
            watch: None,
        };
        let result = organism.breed(parameters, seed, cx, &nursery).map_err(|e| {
            let text = e.to_string();
            if text.contains("checkpoint.safetensors") && !text.contains("hint: ") {
                return anyhow::anyhow!("{text}; hint: delete this file to breed from the start");
            }
            anyhow::Error::from(e)
        })?;
        drop(steps_done);
        let metrics = organism.measure(parameters, &result.network, cx)?;
        let (specimen, truth) = Specimen::new(organism, parameters, seed, result, metrics);
        check_frozen(&specimen.spec)?;
        truth.write(&specimen.truth_path(&dir))?;
        specimen.write(&dir)?;
        let _ = std::fs::remove_dir_all(dir.join("checkpoints"));
        Ok(summary(&specimen, &dir))
    }
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

/// What is measured on the same networks before their first step, by seed; nothing is written. `None` of
/// what is never trained, which has no untrained twin.
pub fn untrained(args: &Args, bred: &Bred) -> Result<Option<Vec<Value>>> {
    let mut parameters = bred.parameters.clone();
    if !parameters.contains_key("steps") {
        return Ok(None);
    }
    parameters.insert("steps".into(), Value::from(0));
    let cx = args.cell_context()?;
    let seeds = bred.specimens.iter().filter_map(|s| s["seed"].as_u64());
    let measured = seeds.map(|seed| {
        let first = bred.organism.breed(&parameters, seed, &cx, &Nursery::none())?;
        Ok(Value::Object(bred.organism.measure(&parameters, &first.network, &cx)?))
    });
    measured.collect::<Result<_>>().map(Some)
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
    output::data(&output::table_with_prose(&["specimen", "id", "measured"], &rows));
    Ok(true)
}
