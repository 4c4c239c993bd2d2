//! The flyroom binary: one file for each command, words to stderr, data to stdout.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 the command could not be carried out.

mod args;
mod command;
mod names;
mod output;
mod pages;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match command::run(&args) {
        Ok(_) if output::lost().is_some() => {
            let why = output::lost().unwrap_or_default();
            output::error(&anyhow::anyhow!("cannot write to stdout: {why}"));
            ExitCode::from(2)
        }
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            output::error(&e);
            ExitCode::from(2)
        }
    }
}
