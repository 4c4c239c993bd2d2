//! A run that is killed at random moments, again and again, loses no finished cell.
//!
//! The moments come from a seeded stream, so a failure can be looked for again (as far as a clock
//! allows). `FLYROOM_KILLS` sets how many kills; `.ci/kills N` is the long run.

use crate::tool::{command, line, scratch, small_plan};
use flyroom_bench::{Key, Store};
use flyroom_tensor::Stream;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs the plan until it ends or the time is over; `None` if it was killed.
#[allow(clippy::disallowed_methods, reason = "the moment of a kill is a moment of the clock")]
fn run_for(dir: &Path, out: &str, time: Duration) -> Option<ExitStatus> {
    let mut child = command(dir, &["run", "plan.toml", "--out", out, "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("its status") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    child.kill().expect("killed");
    let status = child.wait().expect("ended");
    status.code().map(|_| status)
}

/// The keys of all finished cells, each hashed from its files.
fn whole_cells(run: &Path) -> BTreeSet<Key> {
    // A kill may come before there is a run.
    let Ok(store) = Store::view(run) else { return BTreeSet::new() };
    let keys = store.keys().expect("the cells can be listed");
    for key in &keys {
        let cell = store.get(key).unwrap_or_else(|e| panic!("after a kill: {e}"));
        let cell = cell.expect("it was listed");
        store.verify(&cell).unwrap_or_else(|e| panic!("after a kill: {e}"));
    }
    keys
}

fn read(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
#[allow(clippy::disallowed_methods, reason = "moments of the kills are shares of a duration")]
fn kills_at_random_moments_lose_no_finished_cell_and_corrupt_nothing() {
    let wanted: usize =
        std::env::var("FLYROOM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(2, 600, 32)).expect("a plan");
    let begin = Instant::now();
    let whole = line(dir.path(), "run plan.toml --out whole --quiet");
    let took = begin.elapsed();
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let board = read(dir.path(), "whole/board.json");
    let (mut kills, mut rounds, mut lives) = (0, 0, 0);
    let mut moments = Stream::new(20, "kills").block(0);
    while kills < wanted {
        let out = format!("killed-{rounds}");
        let run = dir.path().join(&out);
        let mut finished = BTreeSet::new();
        loop {
            // Short lives and long ones; the last of a round is not killed.
            let share = f64::from(moments.uniform()) * f64::from(moments.uniform());
            lives += 1;
            let ended = run_for(dir.path(), &out, took.mul_f64(share));
            let now = whole_cells(&run);
            let lost: Vec<_> = finished.difference(&now).collect();
            assert!(lost.is_empty(), "kill {kills}, moment {share}: lost {lost:?}");
            finished = now;
            match ended {
                None => kills += 1,
                Some(status) => {
                    assert!(status.success(), "kill {kills}: {status}");
                    break;
                }
            }
            if kills >= wanted {
                break;
            }
        }
        let last = line(dir.path(), &format!("run plan.toml --out {out} --quiet"));
        assert_eq!(last.code, Some(0), "{}", last.stderr);
        for file in ["board.json", "board.csv", "specimens.json", "report.html"] {
            let killed = read(dir.path(), &format!("{out}/{file}"));
            assert_eq!(killed, read(dir.path(), &format!("whole/{file}")), "{file} of {out}");
        }
        assert_eq!(whole_cells(&run), whole_cells(&dir.path().join("whole")));
        let again = line(dir.path(), &format!("gc {out} --json")).json();
        assert_eq!(again["kept"].as_array().map(Vec::len), Some(0), "{again}");
        std::fs::remove_dir_all(&run).expect("removed");
        rounds += 1;
    }
    assert!(!board.is_empty());
    eprintln!(
        "{kills} kills in {lives} lives of {rounds} runs: no finished cell lost, equal boards"
    );
}
