//! docs/long-checks.md: every long check with its last result.
//!
//! The page is made from the pages as they are, from the ids that `crates/organism` keeps, and from the last results in
//! `docs/long-checks/`, whose two files have the lines that long runs write (`docs_long.rs`, `crates/organism/tests/ids`).
//! `FLYROOM_UPDATE=1` writes all three, with what the folder FLYROOM_LONG holds.

use crate::docs::{Block, Claim, Done, Kind, blocks, blocks_of, docs, holds};
use crate::docs_long::{PageEntry, asked_for, key, line, lines, page, results};
use flyroom_organism::frozen_sets;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many ids are shown; all are in `docs/long-checks/`.
const SHOWN: usize = 5;

/// A specimen that was bred anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdEntry {
    organism: String,
    seed: u64,
    /// The first letters of the id that it had, and of the one that it has now.
    kept: String,
    found: String,
    seconds: f64,
    day: String,
}

/// Specimens of an organism whose ids are kept, by seed.
struct Kept {
    name: String,
    organism: String,
    ids: Vec<String>,
}

/// What is shown.
struct Record {
    blocks: Vec<Block>,
    pages: BTreeMap<String, PageEntry>,
    kept: Vec<Kept>,
    /// Of each that is kept, by seed: the last time that it was bred anew.
    ids: Vec<Vec<Option<IdEntry>>>,
}

fn kept() -> Vec<Kept> {
    let path = docs().join("../crates/organism/tests/ids/whole.json");
    let text = std::fs::read_to_string(path).expect("whole.json is there");
    let whole: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("lists of ids");
    let whole =
        whole.into_iter().map(|(organism, ids)| Kept { name: organism.clone(), organism, ids });
    let frozen = frozen_sets().iter().flat_map(|set| {
        set.members.iter().map(|m| Kept {
            name: format!("{} of {}", m.organism, set.name),
            organism: m.organism.clone(),
            ids: m.ids.iter().map(|id| id[..12].into()).collect(),
        })
    });
    whole.chain(frozen).collect()
}

impl Record {
    /// Of what is asked today, the last results in some folders.
    fn read(folders: &[PathBuf]) -> Self {
        let all: Vec<IdEntry> = folders.iter().flat_map(|f| lines(&f.join("ids.jsonl"))).collect();
        let last: BTreeMap<_, _> =
            all.into_iter().map(|e| ((e.organism.clone(), e.seed, e.kept.clone()), e)).collect();
        let kept = kept();
        let of = |k: &Kept| {
            let entry = |(seed, id): (u64, &String)| {
                last.get(&(k.organism.clone(), seed, id.clone())).cloned()
            };
            (0..).zip(&k.ids).map(entry).collect()
        };
        let ids = kept.iter().map(of).collect();
        Self { blocks: blocks_of(Kind::Long), pages: results(folders), kept, ids }
    }

    fn write(&self, folder: &Path) {
        let pages = self.blocks.iter().filter_map(|b| self.pages.get(&key(b)));
        let pages: String = pages.map(line).collect();
        let ids: String = self.ids.iter().flatten().flatten().map(line).collect();
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("pages.jsonl"), pages).expect("the results are written");
        std::fs::write(folder.join("ids.jsonl"), ids).expect("the results are written");
    }

    fn page(&self) -> String {
        let last = |b: &Block| self.pages.get(&key(b));
        let count = |wanted: Option<bool>| {
            self.blocks.iter().filter(|b| last(b).map(PageEntry::holds) == wanted).count()
        };
        let same = |e: &&IdEntry| e.found == e.kept;
        let bred = || self.ids.iter().flatten().flatten();
        let rows: String = self.blocks.iter().map(|b| rows(b, last(b))).collect();
        let ids: String = self.kept.iter().zip(&self.ids).map(|(k, of)| id_row(k, of)).collect();
        format!(
            "\
# Long checks

**Claim.** What the pages say of runs of minutes and hours was measured, and what has not been measured since it was changed is named.

Of {} long checks {} hold, {} fail; still to be run since a change: {}. Of {} specimens whose ids are kept {} were bred anew with the same id,
{} with another one, and {} not yet.

`.ci/run --long FOLDER` runs them. Each result is a line in that folder as soon as it is known, and a run that was broken off goes on; what is there and holds is not run again until its
check, the program's version or the epoch of the bits changes. This page is made from the pages and from the last results, [every value and every id of
them](long-checks/): `FLYROOM_LONG=/PATH/OF/FOLDER FLYROOM_UPDATE=1 cargo test -p flyroom --test it docs_table`. That it names every long check as the pages have
it now is a test.

## What the pages claim

Behind each claim what was measured, from the least to the greatest where there are several values. Seconds are computing time on one core; of a run that was broken off, of its last part.

| page | command | what is claimed: what was measured | seconds | day (UTC) | ids of the specimens |
|---|---|---|---|---|---|
{rows}
## Ids

Organisms with their full recipes, bred anew: the first five ids as they are now, and how many are as they were.

| organism | same id | other id | not yet | seconds | last day (UTC) | ids of seeds 0, 1, ... |
|---|---|---|---|---|---|---|
{ids}",
            self.blocks.len(),
            count(Some(true)),
            count(Some(false)),
            count(None),
            self.ids.iter().flatten().count(),
            bred().filter(same).count(),
            bred().filter(|e| !same(e)).count(),
            self.ids.iter().flatten().filter(|e| e.is_none()).count(),
        )
    }
}

/// A row for each command of a block.
fn rows(block: &Block, last: Option<&PageEntry>) -> String {
    let mut all = String::new();
    for (i, step) in block.steps.iter().enumerate() {
        let done = last.and_then(|e| e.steps.get(i));
        let (mut of_page, mut day, mut ids) = (String::new(), "", String::new());
        if i == 0 {
            let page = page(block);
            of_page = format!("[{page}]({page})");
            day = last.map_or("", |e| &e.day);
            ids = last.map_or(String::new(), |e| some_of(e.ids.values()));
        }
        let command = &step.command;
        let said = match (last, done) {
            (None, _) if i == 0 => vec!["**not run since it was changed**".into()],
            (Some(_), None) => vec!["**not reached**".into()],
            (_, Some(d)) if d.claims.is_empty() && !d.failures.is_empty() => {
                vec!["**fails**: the command did not end".into()]
            }
            _ => vec![],
        };
        let claims = step.claims.iter().enumerate().map(|(c, claim)| {
            let values = done.and_then(|d| d.claims.get(c)).map(|(_, values)| values);
            measured(claim, values)
        });
        let said = said.into_iter().chain(claims).collect::<Vec<_>>().join("<br>");
        let seconds = done.map_or(String::new(), |d| format!("{:.0}", d.seconds));
        all += &format!("| {of_page} | `{command}` | {said} | {seconds} | {day} | {ids} |\n");
    }
    all
}

/// A claim, and what was measured.
fn measured(claim: &Claim, values: Option<&Vec<Value>>) -> String {
    let text = claim.text.replace('|', "\\|");
    let Some(values) = values else { return format!("`{text}`") };
    let fails = if holds_all(claim, values) { "" } else { " **fails**" };
    format!("`{text}`: {}{fails}", span(values))
}

fn holds_all(claim: &Claim, values: &[Value]) -> bool {
    !values.is_empty() && values.iter().all(|v| holds(&claim.op, v))
}

/// Numbers from the least to the greatest, other values each once.
fn span(values: &[Value]) -> String {
    let mut numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    numbers.sort_by(f64::total_cmp);
    let mut words: Vec<String> = match (numbers.first(), numbers.last()) {
        (Some(a), Some(b)) if numbers.len() == values.len() => vec![digits(*a), digits(*b)],
        _ => values.iter().map(Value::to_string).collect(),
    };
    words.dedup();
    words.join(" to ")
}

/// Four digits that count.
fn digits(x: f64) -> String {
    let rounded: f64 = format!("{x:.3e}").parse().unwrap_or(x);
    if x != 0.0 && x.abs() < 1e-3 { format!("{rounded:e}") } else { rounded.to_string() }
}

/// The first letters of the first ids.
fn some_of<'a>(ids: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = ids.len().saturating_sub(SHOWN);
    let mut some: Vec<String> = ids.take(SHOWN).map(|id| format!("`{}`", &id[..8])).collect();
    if more > 0 {
        some.push(format!("{more} more"));
    }
    some.join(" ")
}

/// The row of an organism whose ids are kept.
fn id_row(kept: &Kept, last: &[Option<IdEntry>]) -> String {
    let bred: Vec<&IdEntry> = last.iter().flatten().collect();
    let same = bred.iter().filter(|e| e.found == e.kept).count();
    let others = match bred.len() - same {
        0 => "0".into(),
        n => format!("**{n}**"),
    };
    let left = last.len() - bred.len();
    let seconds = bred.iter().fold(0.0, |sum, e| sum + e.seconds);
    let day = bred.iter().map(|e| &*e.day).max().unwrap_or("");
    let ids = some_of(bred.iter().map(|e| &e.found).collect::<Vec<_>>().into_iter());
    let name = &kept.name;
    format!("| {name} | {same} | {others} | {left} | {seconds:.0} | {day} | {ids} |\n")
}

#[test]
fn every_long_check_of_the_pages_stands_in_the_table_with_its_last_result() {
    let folder = docs().join("long-checks");
    let path = docs().join("long-checks.md");
    if std::env::var_os("FLYROOM_UPDATE").is_some() {
        let record =
            Record::read(&[vec![folder.clone()], asked_for().into_iter().collect()].concat());
        record.write(&folder);
        return std::fs::write(path, record.page()).expect("the table is written");
    }
    let shown = std::fs::read_to_string(path).unwrap_or_default();
    let now = Record::read(&[folder]).page();
    assert!(
        shown == now,
        "docs/long-checks.md is not made from the pages as they are: a long check or a kept id was changed;\n\
         hint: FLYROOM_UPDATE=1 cargo test -p flyroom --test it docs_table"
    );
}

#[test]
fn the_table_says_what_holds_what_fails_and_what_was_not_run() {
    let page = "```check-long\nbreed x\na > 1\nb == \"clock\"\nbreed y\nc < 1\n```\n";
    let block = &blocks("page.md", page).expect("it parses")[0];
    assert_eq!(
        rows(block, None),
        "| [page.md](page.md) | `breed x` | **not run since it was changed**<br>`a > 1`<br>`b == \"clock\"` |  |  |  |\n\
         |  | `breed y` | `c < 1` |  |  |  |\n"
    );
    let steps = vec![Done {
        command: "breed x".into(),
        seconds: 61.7,
        claims: vec![
            ("a > 1".into(), vec![json!(2), json!(1.23456)]),
            ("b == \"clock\"".into(), vec![json!("pizza")]),
        ],
        failures: vec!["docs/page.md:4: b".into()],
    }];
    let ids = [("x-0".to_string(), "0123456789abcdef".to_string())].into();
    let entry =
        PageEntry { key: key(block), page: "page.md".into(), day: "2026-01-01".into(), ids, steps };
    assert_eq!(
        rows(block, Some(&entry)),
        "| [page.md](page.md) | `breed x` | `a > 1`: 1.235 to 2<br>`b == \"clock\"`: \"pizza\" **fails** | 62 | 2026-01-01 | `01234567` |\n\
         |  | `breed y` | **not reached**<br>`c < 1` |  |  |  |\n"
    );
}
