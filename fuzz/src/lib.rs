//! Damaged and hostile files against every reader: no panic, no runaway memory.
//!
//! Each [`Target`] is a reader with a few good files. The [loop](fuzz()) changes them a little, hands
//! them to the reader and looks for two findings: a panic, and more memory than 64 times the file
//! plus 64 MiB ([`memory`]). An error is the right answer to a bad file and no finding. Draws come
//! from streams, so a run is repeated by its seed.
//!
//! Compiled with LLVM's coverage counters (`.ci/fuzz` does), an input that reaches new code joins
//! the good files ([`coverage`]); without them the loop works, unguided. That needs neither a nightly
//! compiler nor a C++ one, which libFuzzer would.
//!
//! Inputs of past findings lie in `fuzz/regressions/TARGET/` and are run by `cargo test`.

pub mod coverage;
pub mod memory;
pub mod mutate;
pub mod targets;

use coverage::Coverage;
use flyroom_tensor::Stream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A reader under test.
#[derive(Debug)]
pub struct Target {
    /// Its name, on the command line and as a folder of regressions.
    pub name: &'static str,
    /// Good files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the format, which chance would not find.
    pub words: &'static [&'static str],
    /// Reads a file; the folder is its own.
    pub read: fn(&Path, &[u8]),
}

/// A file that a reader does not survive.
#[derive(Debug)]
pub struct Finding {
    /// What happened.
    pub what: String,
    /// The file.
    pub input: Vec<u8>,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Files that were read.
    pub executions: u64,
    /// Good files at the end.
    pub corpus: usize,
    /// Kinds of behaviour seen, if the program counts them.
    pub seen: usize,
    /// The most memory that one file took, in bytes.
    pub peak: usize,
    /// The first file of each finding.
    pub findings: Vec<Finding>,
}

/// The longest file that is tried.
const LONGEST: usize = 1 << 16;
/// Findings after which a run ends: each is to be understood before more are sought.
const MOST_FINDINGS: usize = 10;

/// Reads one file.
///
/// # Errors
/// With what the reader did not survive.
pub fn read(target: &Target, folder: &Path, input: &[u8]) -> Result<usize, String> {
    memory::watch(input);
    let result = catch_unwind(AssertUnwindSafe(|| (target.read)(folder, input)));
    let peak = memory::peak();
    match result {
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(format!("panic: {text}"))
        }
        Ok(()) if peak > memory::allowed(input.len()) => {
            Err(format!("{peak} bytes of memory for a file of {}", input.len()))
        }
        Ok(()) => Ok(peak),
    }
}

/// Reads changed files until `stop`, which is asked before each with the number so far.
pub fn fuzz(target: &Target, seed: u64, mut stop: impl FnMut(u64) -> bool) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stream = Stream::new(seed, target.name);
    let mut corpus = (target.seeds)();
    let mut coverage = Coverage::default();
    let mut out = Outcome::default();
    let mut waiting: Vec<Vec<u8>> = corpus.clone();
    while !stop(out.executions) && out.findings.len() < MOST_FINDINGS {
        let good = waiting.pop();
        let input = good.clone().unwrap_or_else(|| {
            let mut draws = stream.block(out.executions);
            mutate::change(&mut draws, &corpus, target.words, LONGEST)
        });
        coverage.start();
        let result = read(target, folder.path(), &input);
        let new = coverage.stop();
        out.executions += 1;
        match result {
            Ok(peak) => {
                out.peak = out.peak.max(peak);
                if new && good.is_none() {
                    corpus.push(input);
                }
            }
            Err(what) if out.findings.iter().all(|f| f.what != what) => {
                out.findings.push(Finding { what, input });
            }
            Err(_) => {}
        }
    }
    out.corpus = corpus.len();
    out.seen = coverage.seen();
    out
}

/// Inputs of past findings of a target.
pub fn regressions(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.into_iter().filter_map(|p| Some((p.clone(), std::fs::read(&p).ok()?))).collect()
}
