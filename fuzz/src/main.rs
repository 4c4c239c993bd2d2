//! `flyroom-fuzz TARGET|all SECONDS [SEED]`: a table of what each target did; exit code 1 if a file
//! was found that a reader does not survive. Such files are written to `findings/`.

use flyroom_fuzz::targets::TARGETS;
use flyroom_fuzz::{Target, coverage, fuzz};
use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods)] // how long to look is no result
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (name, seconds) = (words.next().unwrap_or_default(), words.next());
    let chosen: Vec<&Target> = TARGETS.iter().filter(|t| name == "all" || t.name == name).collect();
    let seed = words.next().map_or(Some(0), |s| s.parse().ok());
    let seconds = seconds.and_then(|s| s.parse().ok());
    let (Some(seconds), Some(seed), false) = (seconds, seed, chosen.is_empty()) else {
        let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
        eprintln!("flyroom-fuzz TARGET|all SECONDS [SEED]\ntargets: {}", names.join(", "));
        std::process::exit(2);
    };
    std::panic::set_hook(Box::new(|_| {}));
    println!("target        executions  corpus    edges  peak MiB  findings");
    let mut found = false;
    for target in chosen {
        let end = now() + Duration::from_secs(seconds);
        let out = fuzz(target, seed, |_| now() >= end);
        println!(
            "{:<12} {:>11} {:>7} {:>8} {:>9} {:>9}",
            target.name,
            out.executions,
            out.corpus,
            if coverage::counts() { out.seen.to_string() } else { "-".into() },
            out.peak >> 20,
            out.findings.len()
        );
        for (i, finding) in out.findings.iter().enumerate() {
            found = true;
            let path = format!("findings/{}-{seed}-{i}", target.name);
            let written = std::fs::create_dir_all("findings");
            let written = written.and_then(|()| std::fs::write(&path, &finding.input));
            println!("  {path}: {} {}", finding.what, written.map_or("(not written)", |()| ""));
        }
    }
    std::process::exit(i32::from(found));
}
