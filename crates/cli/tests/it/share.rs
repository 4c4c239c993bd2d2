//! Several processes on one run, and one run from several machines.

use crate::tool::{command, copy, flyroom, line, listing, scratch, small_plan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A folder with the plan and a run of it by one process.
fn whole() -> tempfile::TempDir {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(3, 300, 32)).expect("a plan");
    let ran = line(dir.path(), "run plan.toml --out whole --quiet --threads 1");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    dir
}

fn start(dir: &Path, out: &str) -> Child {
    command(dir, &["run", "plan.toml", "--out", out, "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

fn same_results(dir: &Path, run: &str) {
    for file in ["board.json", "board.csv", "specimens.json", "report.html"] {
        let read = |run: &str| std::fs::read(dir.join(run).join(file)).expect(file);
        assert_eq!(read("whole"), read(run), "{file} of {run}");
    }
    let cells = |run: &str| listing(&dir.join(run).join("cells"));
    assert_eq!(cells("whole"), cells(run), "the cells of {run}");
    assert_eq!(listing(&dir.join("whole/truth")), listing(&dir.join(run).join("truth")));
}

/// How often each cell was computed, over all ledgers of a run.
fn computed(dir: &Path, run: &str) -> BTreeMap<String, usize> {
    let events = line(dir, &format!("show {run} --ledger --json")).json();
    let mut counts = BTreeMap::new();
    for event in events.as_array().expect("a list") {
        if event["event"] == "finished" {
            *counts.entry(event["key"].as_str().expect("a key").to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn four_processes_divide_the_work_and_end_with_the_board_of_one() {
    let dir = whole();
    let mut processes: Vec<Child> = (0..4).map(|_| start(dir.path(), "shared")).collect();
    for process in &mut processes {
        let out = process.wait().expect("it ends");
        assert_eq!(out.code(), Some(0));
    }
    same_results(dir.path(), "shared");
    let counts = computed(dir.path(), "shared");
    assert_eq!(
        counts.len(),
        listing(&dir.path().join("whole/cells"))
            .keys()
            .filter(|p| p.components().count() == 1)
            .count()
    );
    assert!(counts.values().all(|n| *n == 1), "a cell was computed twice: {counts:?}");
}

#[test]
fn what_a_killed_process_had_claimed_is_taken_over_at_once() {
    let dir = whole();
    let mut first = start(dir.path(), "shared");
    let claims = dir.path().join("shared/claims");
    let claimed = || std::fs::read_dir(&claims).map_or(0, |l| l.flatten().count());
    while claimed() == 0 && first.try_wait().expect("its status").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let mut second = start(dir.path(), "shared");
    first.kill().expect("killed");
    assert_eq!(first.wait().expect("ended").code(), None, "it was done before it was killed");
    assert_eq!(second.wait().expect("ended").code(), Some(0));
    same_results(dir.path(), "shared");
}

#[test]
fn an_array_of_single_cells_on_two_machines_collects_to_the_board_of_one() {
    let dir = whole();
    let list = line(dir.path(), "cell --plan plan.toml --out whole --list --json").json();
    let cells = list.as_array().expect("a list").clone();
    assert!(cells.iter().all(|c| c["state"] == "finished"));
    let elsewhere = line(dir.path(), "cell --plan plan.toml --out a --list --json").json();
    for (i, c) in elsewhere.as_array().expect("a list").iter().enumerate() {
        assert_eq!((&c["index"], &c["key"]), (&Value::from(i), &cells[i]["key"]), "stable");
        assert_eq!(c["state"], "missing");
        for need in c["needs"].as_array().expect("a list") {
            let need = need.as_u64().expect("an index") as usize;
            assert!(cells[need]["level"].as_u64() < c["level"].as_u64());
        }
    }
    // Only the last level is asked for; each brings what it needs. Two machines, odd and even.
    let last = cells.iter().map(|c| c["level"].as_u64()).max().expect("a level");
    let tasks: Vec<u64> = cells
        .iter()
        .filter(|c| c["level"].as_u64() == last)
        .filter_map(|c| c["index"].as_u64())
        .collect();
    for (n, task) in tasks.iter().enumerate() {
        let out = ["a", "b"][n % 2];
        let ran =
            line(dir.path(), &format!("cell --plan plan.toml --index {task} --out {out} --quiet"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    // A torn tail, as a kill leaves it, is no obstacle.
    let ledger = std::fs::read_dir(dir.path().join("b/ledger")).expect("ledgers").flatten().next();
    let ledger = ledger.expect("a ledger").path();
    let mut bytes = std::fs::read(&ledger).expect("a ledger");
    bytes.extend(b"{\"at_unix_ms\":1,\"eve");
    std::fs::write(&ledger, bytes).expect("torn");
    let before = listing(&dir.path().join("b"));
    let ran = line(dir.path(), "collect a b --out together --json --quiet").json();
    assert_eq!(listing(&dir.path().join("b")), before, "what is taken from is not changed");
    assert_eq!(ran["broken"].as_array().map(Vec::len), Some(0));
    // What no last cell needs (a cell of an earlier level that leaves results) is still missing.
    let rest = line(dir.path(), "run plan.toml --out together --quiet");
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    same_results(dir.path(), "together");
    let all: usize = computed(dir.path(), "together").values().sum();
    assert!(all >= cells.len(), "the ledgers of both came along");
    // Collected once more: nothing new, the same board.
    let again = line(dir.path(), "collect together a b --json --quiet").json();
    assert_eq!((&again["taken"], &again["missing"]), (&0.into(), &0.into()), "{again}");
    same_results(dir.path(), "together");
}

/// Rewrites one cell as another version of its entry would have left it: whole, and different.
fn rewrite(cells: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(cells).expect("cells").flatten().map(|e| e.path()).collect();
    all.sort();
    let cell = all.into_iter().find(|c| c.join("parts.json").exists()).expect("a cell of parts");
    let file = cell.join("parts.json");
    let mut text = std::fs::read_to_string(&file).expect("a file");
    let old = blake3_of(text.as_bytes());
    text.push('\n');
    std::fs::write(&file, &text).expect("written");
    let json = std::fs::read_to_string(cell.join("cell.json")).expect("cell.json");
    let changed = json.replace(&old, &blake3_of(text.as_bytes()));
    assert_ne!(changed, json);
    std::fs::write(cell.join("cell.json"), changed).expect("written");
    cell
}

fn blake3_of(bytes: &[u8]) -> String {
    flyroom_bench::Key::of(std::str::from_utf8(bytes).expect("text")).to_string()
}

#[test]
fn two_contents_of_one_key_are_bits_broken_and_no_result_until_somebody_decides() {
    let dir = whole();
    copy(&dir.path().join("whole"), &dir.path().join("other"));
    let changed = rewrite(&dir.path().join("other/cells"));
    let key = changed.file_name().and_then(|n| n.to_str()).expect("a key").to_owned();
    let ran = line(dir.path(), "collect whole other --out both");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for words in ["bits broken: cell", &key, "hint: compare the two folders", "`parts.json`"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    // Both are kept, whole.
    let broken: Vec<_> =
        std::fs::read_dir(dir.path().join("both/broken")).expect("broken").flatten().collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(listing(&broken[0].path()), listing(&changed));
    // The board has the row, without a rank and with the reason; so has the next run, and garbage
    // collection leaves the evidence.
    for command in ["collect both --out both", "run plan.toml --out both --quiet"] {
        let ran = line(dir.path(), command);
        assert_ne!(ran.code, None);
        let csv = std::fs::read_to_string(dir.path().join("both/board.csv")).expect("a board");
        let row = csv.lines().find(|l| l.contains("bits broken")).expect("a row says so");
        assert!(row.contains(",failed,"), "{row}");
    }
    assert_eq!(line(dir.path(), "gc both --quiet").code, Some(0));
    assert!(broken[0].path().exists());
    let list = line(dir.path(), "cell --plan plan.toml --out both --list --json").json();
    assert!(list.as_array().expect("a list").iter().any(|c| c["state"] == "two contents"));
    // Decided: both go, the cell is computed anew.
    std::fs::remove_dir_all(broken[0].path()).expect("removed");
    std::fs::remove_dir_all(dir.path().join("both/cells").join(&key)).expect("removed");
    assert_eq!(line(dir.path(), "run plan.toml --out both --quiet").code, Some(0));
    same_results(dir.path(), "both");
}

#[test]
fn a_cell_that_is_computed_again_with_another_content_is_bits_broken() {
    let dir = whole();
    let list = line(dir.path(), "cell --plan plan.toml --out whole --list --json").json();
    let changed = rewrite(&dir.path().join("whole/cells"));
    let key = changed.file_name().and_then(|n| n.to_str()).expect("a key");
    let cells = list.as_array().expect("a list");
    let index = cells.iter().find(|c| c["key"] == key).expect("the cell")["index"].clone();
    let again = |index: &Value| {
        let command = format!("cell --plan plan.toml --out whole --index {index} --again --quiet");
        line(dir.path(), &command)
    };
    // The control: a cell that is as it was is computed again without a word.
    assert_eq!(again(&cells[0]["index"]).code, Some(0));
    let ran = again(&index);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("bits broken") && ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn garbage_goes_and_what_the_plan_needs_is_not_computed_again() {
    let dir = whole();
    let path = dir.path();
    // Cells of an older plan: more seeds and another method.
    let older = small_plan(4, 300, 32).replace("\"pca\"", "\"neurons\"");
    std::fs::write(path.join("older.toml"), older).expect("a plan");
    assert_eq!(line(path, "run older.toml --out older --quiet").code, Some(0));
    for folder in ["cells", "truth"] {
        for entry in std::fs::read_dir(path.join("older").join(folder)).expect("there").flatten() {
            let to = path.join("whole").join(folder).join(entry.file_name());
            if !to.exists() {
                copy(&entry.path(), &to);
            }
        }
    }
    // What killed processes leave.
    let dead = path.join("whole/.tmp-4242-0000beef");
    std::fs::create_dir_all(dead.join("7")).expect("a folder");
    std::fs::write(dead.join("lock"), "").expect("a file");
    std::fs::write(dead.join("7/half"), [0; 1000]).expect("a file");
    std::fs::write(path.join("whole/.board.json.tmp-4242-1"), [0; 100]).expect("a file");
    let before = listing(&path.join("whole"));
    let dry = line(path, "gc whole --dry-run --json").json();
    assert_eq!(listing(&path.join("whole")), before, "a dry run changes nothing");
    assert!(dry["bytes"].as_u64().expect("bytes") > 1100);
    let done = line(path, "gc whole --json").json();
    assert_eq!(done["removed"], dry["removed"]);
    let cells = line(path, "cell --plan plan.toml --out whole --list --json").json();
    assert!(cells.as_array().expect("a list").iter().all(|c| c["state"] == "finished"));
    let counts = computed(path, "whole");
    let ran = line(path, "run plan.toml --out whole --quiet");
    assert_eq!(ran.code, Some(0));
    assert_eq!(computed(path, "whole"), counts, "something was computed again");
    let kept = listing(&path.join("whole/cells"));
    assert_eq!(kept.keys().filter(|p| p.components().count() == 1).count(), counts.len());
    assert_eq!(line(path, "gc whole --json").json()["removed"].as_array().map(Vec::len), Some(0));
}

#[test]
fn progress_as_json_is_one_object_a_line() {
    let dir = whole();
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let ran = flyroom(dir.path(), arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let read = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
        ran.stderr.lines().map(read).collect()
    };
    let all =
        lines(&["run", "plan.toml", "--out", "again", "--progress", "json", "--threads", "1"]);
    let cells: Vec<&Value> = all.iter().filter(|l| l["event"] != "remark").collect();
    let (first, last) = (cells[0], cells[cells.len() - 1]);
    assert_eq!((&first["event"], &first["done"]), (&"started".into(), &0.into()));
    assert_eq!(last["done"], last["total"]);
    assert!(first["total"].as_u64() > Some(10) && last["seconds"].as_f64() > Some(0.0));
    assert_eq!(cells.iter().filter(|l| l["event"] == "finished").count() as u64, last["total"]);
    // With one thread what takes longest starts first: the specimen that a trial waits for.
    assert_eq!(first["cell"], "breed superposition-5-2 / 0");
    let found = lines(&["run", "plan.toml", "--out", "again", "--progress", "json"]);
    assert!(found.iter().filter(|l| l["event"] == "finished").all(|l| l["found"] == true));
    let bred = lines(&["breed", "superposition-5-2", "--set", "steps=200", "--progress", "json"]);
    assert_eq!(bred.last().map(|l| (&l["event"], &l["done"])), Some((&"step".into(), &200.into())));
}

#[test]
fn a_cell_that_fails_keeps_its_rows_on_the_board_with_the_reason() {
    let dir = whole();
    let plan = small_plan(3, 20, 32);
    std::fs::write(dir.path().join("plan.toml"), plan).expect("a plan");
    let first = line(dir.path(), "run plan.toml --out run --quiet --json").json();
    // A specimen is damaged: what is made from it fails, and nothing else.
    let list = line(dir.path(), "cell --plan plan.toml --out run --list --json").json();
    let specimen = list[1].clone();
    assert_eq!(specimen["label"], "breed superposition-5-2 / 1");
    let cell = dir.path().join("run/cells").join(specimen["key"].as_str().expect("a key"));
    std::fs::write(cell.join("model.safetensors"), "no weights").expect("damaged");
    let ran = line(dir.path(), "run plan.toml --out run");
    assert_eq!(ran.code, Some(2));
    for words in ["Failed", "mcc: seed 1 of 3: it needs breed superposition-5-2 / 1, which failed"]
    {
        // The terminal breaks lines.
        let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{words}: {}", ran.stdout);
    }
    let text = std::fs::read_to_string(dir.path().join("run/board.json")).expect("a board");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let rows = |b: &Value| b["rows"].as_array().expect("rows").len();
    assert_eq!(rows(&board), rows(&first), "no row is gone");
    for row in board["rows"].as_array().expect("rows") {
        let hit = row["organism"] == "superposition-5-2";
        assert_eq!(row["status"] == "failed", hit, "{row}");
        assert_eq!(row["seeds"].as_array().map(Vec::len), Some(if hit { 3 } else { 1 }));
    }
    // The way out is the one that the message says.
    assert!(ran.stderr.contains("hint: delete the folder"), "{}", ran.stderr);
    std::fs::remove_dir_all(cell).expect("removed");
    assert_eq!(line(dir.path(), "run plan.toml --out run --quiet --json").json(), first);
}

#[test]
fn an_audit_of_a_run_decides_the_standing_on_its_board_and_changes_no_cell() {
    let dir = whole();
    let cells = listing(&dir.path().join("whole/cells"));
    let board = || -> Value {
        let text = std::fs::read_to_string(dir.path().join("whole/board.json")).expect("a board");
        serde_json::from_str(&text).expect("JSON")
    };
    let statuses = |board: &Value| -> Vec<String> {
        let rows = board["rows"].as_array().expect("rows").iter();
        rows.map(|r| format!("{} {}", r["standing"], r["status"])).collect()
    };
    let before = statuses(&board());
    assert!(before.iter().all(|s| s.starts_with("\"exact\"")), "{before:?}");
    let mut audited = vec![];
    for entry in std::fs::read_dir(dir.path().join("whole/cells")).expect("cells").flatten() {
        if entry.path().join("specimen.json").exists() {
            let folder = entry.path().display().to_string();
            let ran = flyroom(dir.path(), &["audit", &folder, "--json", "--quiet"]);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(ran.json()["outcome"], "holds");
            let id = ran.json()["specimen"].as_str().expect("an id").to_owned();
            audited.push(dir.path().join("whole/truth").join(id).join("audit.json"));
        }
    }
    assert!(!audited.is_empty());
    let again = || line(dir.path(), "run plan.toml --out whole --quiet --threads 1");
    assert_eq!(again().code, Some(0));
    assert_eq!(statuses(&board()), before, "what holds stays exact");
    // One seed's truth is contested: the worst standing of any seed is the row's.
    let text = std::fs::read_to_string(&audited[0]).expect("an audit");
    let mut audit: Value = serde_json::from_str(&text).expect("JSON");
    audit["standing"] = "contested".into();
    std::fs::write(&audited[0], audit.to_string()).expect("written");
    assert_eq!(again().code, Some(0));
    let after = statuses(&board());
    assert!(after.iter().any(|s| s == "\"contested\" \"claim\""), "{after:?}");
    // An audit of another truth says nothing.
    audit["truth"] = "0".into();
    std::fs::write(&audited[0], audit.to_string()).expect("written");
    assert_eq!(again().code, Some(0));
    assert_eq!(statuses(&board()), before);
    assert_eq!(listing(&dir.path().join("whole/cells")), cells, "no cell changed");
}
