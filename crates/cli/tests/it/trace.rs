//! Every number on the screen leads to its files and to its page in two commands.

use crate::tool::{line, scratch, small_plan};
use std::path::Path;

#[test]
fn every_row_leads_to_the_files_of_every_seed_and_to_a_page() {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(2, 50, 32)).expect("a plan");
    let ran = line(dir.path(), "run plan.toml --out run");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let last = ran.stderr.lines().last().expect("a last line");
    assert!(last.contains("flyroom show run ROW (as "), "{last}");
    let board = line(dir.path(), "show run --json").json();
    let rows = board.as_array().expect("rows");
    assert!(rows.len() >= 6, "{board}");
    for row in rows {
        let id = row["id"].as_str().expect("an id");
        assert!(row["status"] == "n/a" || ran.stdout.contains(id), "{id} is not on the screen");
        let traced = line(dir.path(), &format!("show run {id} --json")).json();
        let page = traced["page"].as_str().expect("a page");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page).exists());
        let seeds = traced["seeds"].as_array().expect("seeds");
        assert_eq!(seeds.len(), row["seeds"].as_array().expect("seeds").len(), "{id}");
        for (seed, on_board) in seeds.iter().zip(row["seeds"].as_array().expect("seeds")) {
            assert_eq!(seed["result"]["score"], on_board["score"], "{id}");
            assert_eq!(seed["result"]["null"], on_board["null"], "{id}");
            assert!(dir.path().join(seed["truth"].as_str().expect("a truth")).is_file());
            let cells = seed["cells"].as_array().expect("cells");
            for file in cells.iter().flat_map(|c| c["files"].as_array().expect("files")) {
                assert!(dir.path().join(file.as_str().expect("a path")).is_file(), "{file}");
            }
            let holds = |name: &str| seed.to_string().contains(name);
            assert!(holds("results.json") && holds("specimen.json"), "{id}: {seed}");
        }
        let text = line(dir.path(), &format!("show run {id}"));
        assert_eq!(text.code, Some(0));
        assert!(text.stdout.contains("its null: ") && text.stdout.contains("results.json"));
    }
}

#[test]
fn names_and_words_lead_to_their_pages() {
    let dir = scratch();
    for (name, says) in [
        ("mcc", "mean |cosine|"),
        ("pca", "# pca"),
        ("superposition-5-2", "Five sparse features"),
        ("claim", "reverse-engineered or contested"),
        ("board", "`at null`"),
        ("runs", "collect"),
    ] {
        let ran = line(dir.path(), &format!("show {name}"));
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        assert!(ran.stdout.contains(says), "{name}: {}", ran.stdout);
    }
    let ran = line(dir.path(), "show no-such-thing");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn an_organism_of_a_run_leads_to_its_specimens_and_a_wrong_name_to_the_nearest() {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(2, 50, 32)).expect("a plan");
    assert_eq!(line(dir.path(), "run plan.toml --out run --quiet").code, Some(0));
    let ran = line(dir.path(), "show run superposition-5-2");
    assert!(ran.stdout.matches("specimen.json").count() == 2, "{}", ran.stdout);
    let ran = line(dir.path(), "show run superposition-5-3");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("did you mean 'superposition-5-2'"), "{}", ran.stderr);
    let ran = line(dir.path(), "show run --ledger");
    assert!(ran.stdout.contains("breed superposition-5-2 / 0"), "{}", ran.stdout);
}
