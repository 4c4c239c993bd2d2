//! The commands, one file each.

mod audit;
mod breed;
mod cell;
mod collect;
mod decompose;
mod describe;
mod exam;
mod export;
mod gc;
mod import;
mod kind;
mod list;
mod phases;
mod progress;
mod prompt;
mod rasp;
mod run;
mod show;
mod tally;
mod trace;
mod transfer;
mod validate;

use crate::args::{Args, Command};
use anyhow::{Context as _, Result, bail};
use flyroom_organism::{Parameters, Specimen, Task};
use flyroom_tensor::{Context, Kernels};
use serde_json::Value;
use std::path::Path;

/// Carries out a command; false is the answer no.
pub fn run(args: &Args) -> Result<bool> {
    match &args.command {
        Command::List { what, json } => list::run(*what, *json),
        Command::Breed { organism, seeds, set, tally, out, progress, json } => {
            if let Some(set_of) = flyroom_organism::frozen_set(organism) {
                if let Some(key) = tally {
                    bail!("--tally {key}: {organism} is a set; hint: tally one of its organisms");
                }
                let bred = breed::set(args, set_of, seeds, set, out, *progress)?;
                return breed::print(&bred, *json);
            }
            let bred = breed::run(args, organism, seeds, set, out, *progress)?;
            match tally {
                Some(key) => tally::run(args, &bred, key, *json),
                None => breed::print(&bred.specimens, *json),
            }
        }
        Command::Phases { organism, over, measure, seeds, set, out, progress, json } => {
            let asked =
                phases::Asked { organism, over, measure, seeds, set, out, progress: *progress };
            phases::run(args, &asked, *json)
        }
        Command::Progress { organism, seeds, set, every, by, out, progress, json } => {
            let (every, by, progress) = (*every, *by, *progress);
            let asked = progress::Asked { organism, seeds, set, every, by, out, progress };
            progress::run(args, &asked, *json)
        }
        Command::Audit { specimen, length, within, json } => {
            audit::run(args, specimen, *length, *within, *json)
        }
        Command::Decompose { specimen, method, site, set, seed, out, json } => {
            decompose::run(args, specimen, method, site.as_deref(), set, *seed, out, *json)
        }
        Command::Describe { specimen, method, parts, set, seed, out, json } => {
            describe::run(args, specimen, method, parts.as_deref(), set, *seed, out, *json)
        }
        Command::Validate { specimen, explanation, site, activation, out, json } => {
            let declared = validate::declared(site.as_deref(), activation.as_deref())?;
            validate::run(args, specimen, explanation, &declared, out.as_deref(), *json)
        }
        Command::Run { plan, out, progress, json } => {
            run::run(args, plan.as_deref(), out.as_deref(), *progress, *json)
        }
        Command::Cell { plan, index, list, again, out, progress, json } => {
            let (plan, root) = run::plan(plan.as_deref(), out.as_deref())?;
            match index {
                Some(index) if !list => {
                    cell::run(args, &plan, &root, *index, *again, *progress, *json)
                }
                _ => cell::list(args, &plan, &root, *json),
            }
        }
        Command::Collect { runs, out, json } => collect::run(args, runs, out.as_deref(), *json),
        Command::Gc { run, dry_run, json } => gc::run(args, run, *dry_run, *json),
        Command::Exam { organism, seed, set, out, submit, specimen, apart, json } => {
            match (submit, specimen, out) {
                (Some(file), Some(dir), _) => {
                    exam::submit(args, organism, file, dir, apart.as_deref(), *json)
                }
                (_, _, Some(out)) => {
                    exam::issue(args, organism, *seed, set, out, apart.as_deref(), *json)
                }
                _ => bail!("exam: no folder; hint: --out DIR, or --submit FILE --specimen DIR"),
            }
        }
        Command::Export { specimen, form, from, site, out, json } => {
            export::run(args, specimen, *form, from.as_deref(), site, out, *json)
        }
        Command::Report { run, json } => run::report(run, *json),
        Command::Transfer { run, json } => transfer::run(run, *json),
        Command::Show { what, row, ledger, ask, json } => match (&ask.prompt, row) {
            (Some(text), _) if rasp::is(what) => rasp::trace(what, text, ask, *json),
            (Some(text), _) => prompt::run(args, what, text, ask, *json),
            (None, Some(row)) => trace::run(args, what, row, *json),
            (None, None) if *ledger => trace::ledger(what, *json),
            (None, None) => show::run(what, *json),
        },
        Command::Import { kind, path, rotated, organism, layout, set, asked, out, json } => {
            let mut options =
                import::options(*rotated, organism.as_deref(), layout.as_deref(), set)?;
            options.prompts = import::prompts(asked)?;
            import::run(args, kind, path, &options, out, *json)
        }
    }
}

impl Args {
    /// Threads to use.
    pub fn threads(&self) -> Result<usize> {
        match self.threads {
            Some(0) => bail!("--threads 0: no thread, no result; hint: leave it out for all cores"),
            Some(n) => Ok(n),
            None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    fn kernels(&self) -> Result<Kernels> {
        self.kernels.parse::<Kernels>().with_context(|| format!("--kernels {}", self.kernels))
    }

    /// One network at a time on all threads.
    pub fn context(&self) -> Result<Context> {
        Ok(Context::new(self.kernels()?, self.threads()?))
    }

    /// Many cells at a time, each on one thread.
    pub fn cell_context(&self) -> Result<Context> {
        Ok(Context::new(self.kernels()?, 1))
    }
}

/// `key=value` pairs; values are TOML-like: numbers, true, false, else text.
pub fn settings(set: &[String]) -> Result<Parameters> {
    let mut out = Parameters::new();
    for s in set {
        let Some((key, value)) = s.split_once('=') else {
            bail!("--set {s}: no value; hint: write KEY=VALUE");
        };
        let value = serde_json::from_str::<Value>(value)
            .ok()
            .filter(|v| v.is_number() || v.is_boolean())
            .unwrap_or_else(|| Value::from(value));
        if out.insert(key.trim().into(), value).is_some() {
            bail!("--set {key}: given twice");
        }
    }
    Ok(out)
}

/// A specimen from its folder, with its task.
pub fn specimen(dir: &Path) -> Result<(Specimen, Task)> {
    let specimen = Specimen::read(dir)?;
    let file = || dir.join("specimen.json").display().to_string();
    let organism = flyroom_organism::find(&specimen.spec.organism).with_context(file)?;
    let task = organism.task(&specimen.spec.parameters, None).with_context(file)?;
    Ok((specimen, task))
}
