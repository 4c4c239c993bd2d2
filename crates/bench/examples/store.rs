//! How long a run of many cells takes to be opened: `cargo run --release -p flyroom-bench --example
//! store -- [CELLS, 10000] [KIB a cell, 64]`. Writes to a temporary folder.
//!
//! Three looks at all cells: every file hashed (no index), by the index, and by the index after it
//! was deleted. The last must cost what the first did.
#![allow(clippy::disallowed_methods, reason = "a clock is what this is for")]

use flyroom_bench::{CellSpec, Plan, Store};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn seconds(what: &str, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let begin = Instant::now();
    work()?;
    println!("{what:<44} {:>8.2} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let cells = numbers.next().transpose()?.unwrap_or(10_000);
    let kib = numbers.next().transpose()?.unwrap_or(64);
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("run");
    let plan = Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml")?;
    let spec = |seed| CellSpec::new("specimen", "o", 1).seed(seed);
    let look = |root: &Path| -> Outcome<()> {
        let store = Store::open(root, &plan)?;
        for seed in 0..cells {
            store.get(&spec(seed).key())?.ok_or("a cell is missing")?;
        }
        Ok(())
    };
    seconds(&format!("{cells} cells of {kib} KiB are written"), || {
        let store = Store::open(&root, &plan)?;
        for seed in 0..cells {
            store.put(&spec(seed), |folder| {
                let bytes = vec![seed as u8; kib as usize * 1024];
                Ok(fs::write(folder.join("weights.bin"), bytes)?)
            })?;
        }
        Ok(())
    })?;
    std::thread::sleep(Duration::from_millis(100));
    let index = root.join("index.json");
    if index.exists() {
        fs::remove_file(&index)?;
    }
    seconds("all are looked at, every file hashed", || look(&root))?;
    println!("{:<44} {:>8} KiB", "index.json", fs::metadata(&index)?.len() / 1024);
    seconds("all are looked at, by the index", || look(&root))?;
    fs::remove_file(&index)?;
    seconds("all are looked at, the index deleted", || look(&root))
}
