//! What the pages claim of runs of minutes and hours: their `check-long` blocks.
//!
//! `FLYROOM_LONG=FOLDER` runs them, those that took least the last time first. A result is a line of
//! FOLDER/pages.jsonl as soon as it is there, so a run that was broken off goes on; what holds there is not run
//! again unless its block, the program's version or the epoch of the bits has changed.
//!
//! The last results are kept in `docs/long-checks/` and shown by the table of `docs_table.rs`.

use crate::docs::{Block, Done, Kind, blocks_of, docs, run, run_all};
use crate::tool::listing;
use flyroom_organism::{BITS_EPOCH, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last result of a block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageEntry {
    pub key: String,
    pub page: String,
    pub day: String,
    /// The specimens that it left, by their folders.
    pub ids: BTreeMap<String, String>,
    pub steps: Vec<Done>,
}

impl PageEntry {
    pub fn holds(&self) -> bool {
        self.steps.iter().all(|s| s.failures.is_empty())
    }

    fn seconds(&self) -> f64 {
        self.steps.iter().map(|s| s.seconds).sum()
    }
}

/// The folder of the results, if long checks are asked for.
pub fn asked_for() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("FLYROOM_LONG")?);
    assert!(folder.is_absolute(), "FLYROOM_LONG must be the absolute path of a folder");
    Some(folder)
}

fn today() -> String {
    let out = Command::new("date").args(["-u", "+%F"]).output().expect("date starts");
    String::from_utf8_lossy(&out.stdout).trim().into()
}

/// What decides the results of a block.
pub fn key(block: &Block) -> String {
    let steps: Vec<_> = block
        .steps
        .iter()
        .map(|s| (&s.command, s.claims.iter().map(|c| &c.text).collect::<Vec<_>>()))
        .collect();
    let all = json!([env!("CARGO_PKG_VERSION"), BITS_EPOCH, block.files, steps]);
    blake3::hash(all.to_string().as_bytes()).to_hex()[..12].into()
}

pub fn page(block: &Block) -> String {
    let place = &block.steps[0].place;
    place.trim_start_matches("docs/").rsplit_once(':').expect("a line").0.into()
}

pub fn line<T: Serialize>(entry: &T) -> String {
    serde_json::to_string(entry).expect("it can be written") + "\n"
}

/// The lines of a file that can be read: a run that is killed may leave half of one.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// The last results of all blocks, by key; those of later folders count more.
pub fn results(folders: &[PathBuf]) -> BTreeMap<String, PageEntry> {
    let all = folders.iter().flat_map(|f| lines::<PageEntry>(&f.join("pages.jsonl")));
    all.map(|e| (e.key.clone(), e)).collect()
}

/// The specimens that lie in a folder.
fn specimens(dir: &Path) -> BTreeMap<String, String> {
    let files = listing(dir).into_iter().filter(|(path, _)| path.ends_with("specimen.json"));
    files
        .map(|(path, bytes)| {
            let spec: Spec = serde_json::from_slice(&bytes.expect("a file")).expect("a specimen");
            (path.parent().expect("its folder").display().to_string(), spec.id())
        })
        .collect()
}

#[test]
fn what_the_pages_claim_of_long_runs_is_so() {
    let Some(folder) = asked_for() else {
        eprintln!("SKIPPED: check-long blocks of docs/: FLYROOM_LONG=FOLDER runs them");
        return;
    };
    let here = results(std::slice::from_ref(&folder));
    let known = results(&[docs().join("long-checks"), folder.clone()]);
    let mut blocks = blocks_of(Kind::Long);
    blocks.retain(|b| !here.get(&key(b)).is_some_and(PageEntry::holds));
    let took = |b: &Block| known.get(&key(b)).map_or(0.0, PageEntry::seconds);
    blocks.sort_by(|a, b| took(a).total_cmp(&took(b)));
    run_all(&blocks, |block| {
        // What was bred before it was broken off is not bred again.
        let dir = folder.join(key(block));
        std::fs::create_dir_all(&dir).expect("a folder of the block's own");
        let steps = run(block, "", &dir);
        let (key, page, day) = (key(block), page(block), today());
        let entry = PageEntry { key, page, day, ids: specimens(&dir), steps };
        let path = folder.join("pages.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.expect("it opens").write_all(line(&entry).as_bytes()).expect("a line is written");
        std::fs::remove_dir_all(&dir).expect("the folder goes");
        entry.steps
    });
}
