//! `flyroom run`: a plan, from breeding to the board.

use crate::args::Args;
use crate::output;
use anyhow::{Context as _, Result};
use flyroom_bench::run::{FIRST_LOOK, catalog, run as carry_out};
use flyroom_bench::{Observer, Plan, ReportData};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

struct Bar {
    bar: ProgressBar,
    working: Mutex<Vec<String>>,
    quiet: bool,
}

impl Bar {
    fn new(args: &Args) -> Self {
        let bar = if output::watched(args.quiet) {
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len} cells  {elapsed}  {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, working: Mutex::default(), quiet: args.quiet }
    }

    fn show(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut working = self.working.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut working);
        self.bar.set_message(working.join(", "));
    }
}

impl Observer for Bar {
    fn total(&self, cells: usize) {
        self.bar.set_length(cells as u64);
    }

    fn started(&self, cell: &str) {
        self.show(|w| w.push(cell.to_owned()));
    }

    fn finished(&self, cell: &str, _found: bool) {
        self.show(|w| w.retain(|c| c != cell));
        self.bar.inc(1);
    }

    fn failed(&self, cell: &str, reason: &str) {
        self.show(|w| w.retain(|c| c != cell));
        self.bar.suspend(|| output::say(self.quiet, &format!("failed: {cell}: {reason}")));
        self.bar.inc(1);
    }

    fn skipped(&self, cell: &str, reason: &str) {
        self.bar.suspend(|| output::say(self.quiet, &format!("skipped: {cell}: {reason}")));
        self.bar.inc(1);
    }
}

pub fn run(args: &Args, plan: Option<&Path>, out: Option<&Path>, as_json: bool) -> Result<bool> {
    let (text, file) = match plan {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                anyhow::anyhow!("{}: {e}; hint: a plan is a file in TOML", path.display())
            })?;
            (text, path.display().to_string())
        }
        None => (FIRST_LOOK.to_owned(), "first-look".to_owned()),
    };
    let plan = Plan::parse(&text, &file, &catalog())?;
    let root = out.map_or_else(|| PathBuf::from("runs").join(&plan.name), Path::to_path_buf);
    let bar = Bar::new(args);
    let finished = carry_out(&plan, &root, &args.cell_context()?, args.threads()?, &bar)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    bar.bar.finish_and_clear();
    write(&root, &finished.report)?;
    let bred = serde_json::to_string_pretty(&finished.bred)?;
    flyroom_network::write_whole(&root.join("specimens.json"), bred.as_bytes())?;
    let board = &finished.report.board;
    if as_json {
        output::data(&board.to_json()?);
    } else {
        output::data(&flyroom_bench::bred::text(&finished.bred));
        output::data("");
        output::data(&board.to_text());
    }
    for (cell, reason) in &finished.failures {
        output::say(args.quiet, &format!("failed: {cell}: {reason}"));
    }
    output::say(args.quiet, &format!("the page: {}", root.join("report.html").display()));
    let Some((cell, reason)) = finished.failures.first() else { return Ok(true) };
    // Its own way out was printed above; here it is what and where.
    let reason = reason.lines().next().unwrap_or("");
    anyhow::bail!(
        "{} of the cells failed, all others are on the board; the first: {cell}: {reason}; \
         hint: run the same command again after mending the cause",
        finished.failures.len()
    )
}

/// The board, its table as CSV, and the page, beside the cells that they are made from.
pub fn write(root: &Path, report: &ReportData) -> Result<()> {
    let put =
        |name: &str, text: &str| flyroom_network::write_whole(&root.join(name), text.as_bytes());
    put("board.json", &report.board.to_json()?)?;
    put("board.csv", &report.board.to_csv())?;
    put("report.json", &serde_json::to_string(report)?)?;
    let tables = root.join("tables");
    // Tables of figures that are no more would be taken for tables of this page.
    if tables.exists() {
        std::fs::remove_dir_all(&tables).with_context(|| tables.display().to_string())?;
    }
    std::fs::create_dir_all(&tables).with_context(|| tables.display().to_string())?;
    for (name, text) in report.tables() {
        flyroom_network::write_whole(&tables.join(name), text.as_bytes())?;
    }
    Ok(put("report.html", &report.to_html())?)
}

/// `flyroom report`: the page and the tables of a run once more, from what the run left.
pub fn report(root: &Path, as_json: bool) -> Result<bool> {
    let path = root.join("report.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("{}; hint: `flyroom run` writes it when it ends", path.display())
    })?;
    let report: ReportData =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    write(root, &report)?;
    if as_json {
        output::json(&report)?;
    } else {
        output::data(&report.board.to_text());
    }
    Ok(true)
}
