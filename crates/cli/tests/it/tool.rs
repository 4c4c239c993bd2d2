//! Starting the binary and looking at folders.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The printed JSON of a command that must succeed.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "stderr: {}", self.stderr);
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON ({e}): {}", self.stdout))
    }
}

/// The binary, in a folder, without anything of the caller's terminal.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    started_by(env!("CARGO_BIN_EXE_flyroom"), dir, args)
}

fn started_by(program: &str, dir: &Path, args: &[&str]) -> Command {
    let mut c = Command::new(program);
    c.args(args)
        .current_dir(dir)
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    c
}

/// Runs a command to its end.
pub fn flyroom(dir: &Path, args: &[&str]) -> Ran {
    ended(command(dir, args))
}

fn ended(mut command: Command) -> Ran {
    let out = command.output().expect("the binary starts");
    Ran {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Runs a command to its end, and the seconds that it computed: a machine that does other things, or that
/// stopped it for a while, does not count.
pub fn timed(dir: &Path, args: &[&str]) -> (Ran, f64) {
    let script = r#""$0" "$@"; code=$?; times > .times; exit $code"#;
    let args = [&["-c", script, env!("CARGO_BIN_EXE_flyroom")], args].concat();
    let ran = ended(started_by("sh", dir, &args));
    // The shell's own times, then those of what it started, each as 1m2.34s.
    let times = std::fs::read_to_string(dir.join(".times")).expect("the shell's times");
    let seconds = times.split_whitespace().skip(2).map(|t| {
        let (minutes, seconds) = t.trim_end_matches('s').split_once('m').expect("minutes");
        60.0 * minutes.parse::<f64>().expect("minutes") + seconds.parse::<f64>().expect("seconds")
    });
    (ran, (seconds.sum::<f64>() * 100.0).round() / 100.0)
}

/// Runs a command line, split at spaces.
pub fn line(dir: &Path, text: &str) -> Ran {
    flyroom(dir, &text.split_whitespace().collect::<Vec<_>>())
}

/// Every file and folder below a folder, with the bytes of the files.
pub fn listing(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn walk(root: &Path, dir: &Path, all: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in std::fs::read_dir(dir).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("below the root").to_path_buf();
            if path.is_dir() {
                all.insert(name, None);
                walk(root, &path, all);
            } else {
                all.insert(name, Some(std::fs::read(&path).expect("a file can be read")));
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(dir, dir, &mut all);
    all
}

/// Copies a folder with all that is below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for (name, bytes) in listing(from) {
        match bytes {
            None => std::fs::create_dir_all(to.join(name)).expect("a folder"),
            Some(b) => std::fs::write(to.join(name), b).expect("a file"),
        }
    }
}

/// A folder that vanishes with the test.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A plan of seconds: `seeds` trained specimens and a compiled one, two decompositions and a circuit.
pub fn small_plan(seeds: u64, steps: u64, batch: u64) -> String {
    format!(
        r#"name = "small"

[[organism]]
name = "superposition-5-2"
seeds = {seeds}
set = {{ steps = {steps}, batch = {batch} }}

[[organism]]
name = "induction-compiled"
set = {{ letters = 3, seq = 3, n_heads = 1 }}

[[method]]
step = "decompose"
name = "random"

[[method]]
step = "decompose"
name = "pca"

[[method]]
step = "describe"
name = "exact-patching"
set = {{ pairs = 4 }}
"#
    )
}
