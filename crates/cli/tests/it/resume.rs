//! A process that is killed at any moment loses time and nothing else.

use crate::tool::{command, line, listing, scratch, small_plan};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn start(dir: &Path, arguments: &str) -> Child {
    command(dir, &arguments.split_whitespace().collect::<Vec<_>>())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Whether it was still at work when it was killed.
#[allow(clippy::disallowed_methods, reason = "the moment of a kill is a moment of the clock")]
fn kill_after(dir: &Path, arguments: &str, wait: Duration) -> bool {
    let mut child = start(dir, arguments);
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if child.try_wait().expect("its status").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended").code().is_none()
}

fn temporary(dir: &Path) -> Vec<String> {
    listing(dir)
        .keys()
        .map(|p| p.display().to_string())
        .filter(|p| p.contains("tmp") || p.contains("checkpoint.safetensors"))
        .collect()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "moments of the kills are shares of a duration")]
fn a_run_killed_five_times_ends_with_the_same_board() {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(2, 1500, 64)).expect("a plan");
    let begin = Instant::now();
    let whole = line(dir.path(), "run plan.toml --out whole --quiet --json");
    let took = begin.elapsed();
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    // Shares of the whole duration, in all less than it: work that is kept is not done again, so
    // each kill strikes a run that goes on where the one before was.
    let mut struck = 0;
    for share in [0.05, 0.3, 0.2, 0.15, 0.1] {
        struck += usize::from(kill_after(
            dir.path(),
            "run plan.toml --out killed --quiet",
            took.mul_f64(share),
        ));
    }
    assert!(struck >= 3, "only {struck} of 5 kills struck a run at work");
    let again = line(dir.path(), "run plan.toml --out killed --quiet --json");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stdout, whole.stdout, "the boards differ");
    for file in ["board.json", "board.csv", "specimens.json"] {
        let read = |run: &str| std::fs::read(dir.path().join(run).join(file)).expect(file);
        assert_eq!(read("whole"), read("killed"), "{file}");
    }
    let cells = |run: &str| listing(&dir.path().join(run).join("cells"));
    assert_eq!(cells("whole"), cells("killed"), "the cells differ");
    assert_eq!(temporary(&dir.path().join("killed")), Vec::<String>::new(), "left behind");
}

#[test]
fn a_run_that_is_finished_does_nothing_again() {
    let dir = scratch();
    let plan = small_plan(2, 20, 64);
    std::fs::write(dir.path().join("plan.toml"), plan).expect("a plan");
    let first = line(dir.path(), "run plan.toml --out run --quiet --json");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let before = listing(&dir.path().join("run/cells"));
    let second = line(dir.path(), "run plan.toml --out run --quiet --json");
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(listing(&dir.path().join("run/cells")), before);
}

/// The checkpoint that a breeding left below a folder.
fn checkpoint(dir: &Path) -> Option<PathBuf> {
    fn below(dir: &Path) -> Option<PathBuf> {
        std::fs::read_dir(dir).ok()?.flatten().find_map(|e| {
            let path = e.path();
            if path.is_dir() { below(&path) } else { Some(path).filter(|p| p.ends_with(FILE)) }
        })
    }
    const FILE: &str = "checkpoint.safetensors";
    below(dir)
}

/// Starts breeding and kills it as soon as there is a checkpoint.
fn stopped(dir: &Path, arguments: &str, out: &str) -> PathBuf {
    let mut child = start(dir, arguments);
    let out = dir.join(out);
    while checkpoint(&out).is_none() && child.try_wait().expect("its status").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    assert_eq!(child.wait().expect("ended").code(), None, "it was done before it could be killed");
    checkpoint(&out).expect("a checkpoint")
}

#[test]
fn breeding_killed_behind_a_checkpoint_ends_with_the_same_id() {
    let dir = scratch();
    let breed =
        "breed superposition-5-2 --seeds 1..2 --set steps=2500 --set batch=64 --json --quiet";
    let whole = line(dir.path(), &format!("{breed} --out whole")).json();
    let killed = format!("{breed} --out killed");
    stopped(dir.path(), &killed, "killed");
    assert!(!dir.path().join("killed/superposition-5-2-1/specimen.json").exists());
    let again = line(dir.path(), &killed).json();
    for key in ["id", "weights", "metrics"] {
        assert_eq!(again[0][key], whole[0][key], "{key}");
    }
    let file = |run: &str, name: &str| {
        std::fs::read(dir.path().join(run).join("superposition-5-2-1").join(name)).expect("a file")
    };
    for name in ["specimen.json", "model.safetensors", "curve.jsonl"] {
        assert_eq!(file("whole", name), file("killed", name), "{name}");
    }
    assert_eq!(temporary(&dir.path().join("killed")), Vec::<String>::new(), "left behind");
}

/// The control: a checkpoint decides where breeding goes on, so it is really read.
#[test]
fn a_damaged_checkpoint_is_named() {
    let dir = scratch();
    let breed = "breed superposition-5-2 --set steps=2500 --set batch=64 --out out";
    let file = stopped(dir.path(), breed, "out");
    std::fs::write(file, [0; 100]).expect("a file");
    let ran = line(dir.path(), breed);
    assert_eq!(ran.code, Some(2));
    for word in ["checkpoint.safetensors", "hint: delete this file"] {
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
}

/// What was begun with other parameters is not gone on with.
#[test]
fn a_checkpoint_of_other_parameters_is_not_taken_over() {
    let dir = scratch();
    let breed = |out: &str, batch: usize| {
        format!(
            "breed superposition-5-2 --set steps=2500 --set batch={batch} --json --quiet --out {out}"
        )
    };
    stopped(dir.path(), &breed("out", 64), "out");
    let fresh = line(dir.path(), &breed("fresh", 32)).json();
    let after = line(dir.path(), &breed("out", 32)).json();
    assert_eq!(after[0]["id"], fresh[0]["id"], "it went on with other parameters");
}
