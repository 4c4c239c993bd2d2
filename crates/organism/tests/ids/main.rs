//! Every organism that is bred anew has the id that it had.
//!
//! `short.json` holds the ids of seed 0, of what is trained after 5 steps; it is checked always.
//! `whole.json` holds the first letters of the ids that the pages' tables were recorded from, seeds 0 to 4
//! at the full recipe. An id is a hash of what was asked for and of the weights, so one
//! that differs means another recipe, which wants another version, or other bits, which want another
//! epoch. `FLYROOM_UPDATE=1` writes `short.json`.
//!
//! `FLYROOM_LONG=FOLDER` breeds the specimens of `whole.json` and of the frozen sets. Each is a line of FOLDER/ids.jsonl
//! as soon as it is there; what stands there with the id that it had is not bred again, so a run that was broken off
//! goes on. `docs/long-checks.md` shows the last results.

use flyroom_organism::train::Nursery;
use flyroom_organism::{
    Member, Organism, Parameters, Specimen, find, frozen_sets, registry, with_defaults,
};
use flyroom_tensor::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps after which what is trained is looked at.
const STEPS: usize = 5;

/// How much of an id `whole.json` and the ledger hold.
const LETTERS: usize = 12;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ids").join(name)
}

fn id(o: &dyn Organism, set: &Parameters, seed: u64, cx: &Context) -> Option<String> {
    let parameters = with_defaults(o, set).ok()?;
    // Without a file or a program of a user's there is nothing to breed.
    let bred = o.breed(&parameters, seed, cx, &Nursery::none()).ok()?;
    Some(Specimen::new(o, &parameters, seed, bred, Parameters::new()).0.id())
}

fn kept(name: &str) -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap()
}

/// The first id of each organism of a part of the registry, after a few steps.
fn short(of: &[&'static dyn Organism]) -> BTreeMap<String, Vec<String>> {
    let cx = Context::single();
    let mut found = BTreeMap::new();
    for o in of {
        let mut set = Parameters::new();
        if o.defaults().contains_key("steps") {
            set.insert("steps".into(), json!(STEPS));
        }
        if let Some(id) = id(*o, &set, 0, &cx) {
            found.insert(o.entry().name.to_string(), vec![id]);
        }
    }
    found
}

/// A specimen to be bred anew, and the first letters of its id, or all of it.
struct Asked {
    organism: String,
    parameters: Parameters,
    seed: u64,
    kept: String,
}

impl Asked {
    /// What the ledger says of it.
    fn line(&self, found: &str, seconds: f64) -> Value {
        let day = Command::new("date").args(["-u", "+%F"]).output().unwrap();
        json!({
            "organism": self.organism,
            "seed": self.seed,
            "kept": self.kept[..LETTERS],
            "found": found[..LETTERS],
            "seconds": (seconds * 100.0).round() / 100.0,
            "day": String::from_utf8(day.stdout).unwrap().trim(),
        })
    }

    /// Whether a line of the ledger says that it came out as it was kept.
    fn has_come_out(&self, line: &Value) -> bool {
        let kept = &self.kept[..LETTERS];
        line["organism"] == self.organism
            && line["seed"] == self.seed
            && line["kept"] == kept
            && line["found"] == kept
    }
}

/// Seconds that this thread has computed; 0 where the system does not say.
fn computed() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Breeds on all cores what the ledger does not hold, and fails if anything has another id.
fn bred_anew(asked: Vec<Asked>) {
    let Some(folder) = std::env::var_os("FLYROOM_LONG").map(PathBuf::from) else {
        eprintln!("skipped: {} specimens; hint: FLYROOM_LONG=FOLDER breeds them", asked.len());
        return;
    };
    assert!(folder.is_absolute(), "FLYROOM_LONG must be the absolute path of a folder");
    let ledger = folder.join("ids.jsonl");
    // A run that is killed may leave half a line.
    let text = std::fs::read_to_string(&ledger).unwrap_or_default();
    let lines: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let left: Vec<Asked> =
        asked.into_iter().filter(|a| !lines.iter().any(|line| a.has_come_out(line))).collect();
    let file = OpenOptions::new().create(true).append(true).open(ledger).unwrap();
    let (next, others) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let work = || {
        let cx = Context::single();
        while let Some(a) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = computed();
            let found = id(find(&a.organism).unwrap(), &a.parameters, a.seed, &cx).unwrap();
            let line = a.line(&found, computed() - began).to_string() + "\n";
            (&file).write_all(line.as_bytes()).unwrap();
            if !found.starts_with(&a.kept) {
                let other = format!("{} {}: {found}, kept {}", a.organism, a.seed, a.kept);
                others.lock().unwrap().push(other);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let others = others.into_inner().unwrap();
    assert!(others.is_empty(), "{} came out otherwise:\n{}", others.len(), others.join("\n"));
}

#[test]
fn every_organism_bred_anew_has_its_id() {
    let parts: Vec<Vec<&'static dyn Organism>> =
        (0..2).map(|part| registry().iter().copied().skip(part).step_by(2).collect()).collect();
    let found: BTreeMap<String, Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || short(part))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(found.len() >= 70, "only {} organisms can be bred", found.len());
    if std::env::var_os("FLYROOM_UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
        return std::fs::write(file("short.json"), text).unwrap();
    }
    let kept = kept("short.json");
    let names = |m: &BTreeMap<String, Vec<String>>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&kept), "FLYROOM_UPDATE=1 writes what is found");
    for (organism, ids) in found {
        assert_eq!(ids, kept[&organism], "{organism} is bred to another id");
    }
}

#[test]
fn organisms_trained_to_their_end_have_their_ids() {
    let seeds = |(organism, ids): (String, Vec<String>)| {
        let asked = |(seed, kept)| Asked {
            organism: organism.clone(),
            parameters: Parameters::new(),
            seed,
            kept,
        };
        (0..).zip(ids).map(asked).collect::<Vec<_>>()
    };
    bred_anew(kept("whole.json").into_iter().flat_map(seeds).collect());
}

#[test]
fn every_specimen_of_a_frozen_set_bred_anew_is_the_one_that_was_frozen() {
    let seeds = |m: &Member| {
        let asked = |(seed, kept): (u64, &String)| Asked {
            organism: m.organism.clone(),
            parameters: m.parameters.clone(),
            seed,
            kept: kept.clone(),
        };
        (0..).zip(&m.ids).map(asked).collect::<Vec<_>>()
    };
    bred_anew(frozen_sets().iter().flat_map(|set| &set.members).flat_map(seeds).collect());
}
