//! Progress: a bar for people who watch, or one JSON object a line for programs.

use crate::args::{Args, Progress};
use crate::output;
use flyroom_bench::Observer;
use flyroom_bench::clock::Stopwatch;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A listener for the cells of a run.
pub fn observer(args: &Args, progress: Progress) -> Box<dyn Observer> {
    match progress {
        Progress::Bar => Box::new(Bar::new(args)),
        Progress::Json => {
            output::words_as_json();
            Box::new(Lines::default())
        }
    }
}

struct Bar {
    bar: ProgressBar,
    working: Mutex<Vec<String>>,
    quiet: bool,
}

impl Bar {
    fn new(args: &Args) -> Self {
        let bar = if output::watched(args.quiet) {
            let style =
                ProgressStyle::with_template("{bar:24} {pos}/{len} cells  {elapsed}  {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, working: Mutex::default(), quiet: args.quiet }
    }

    fn show(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut working);
        self.bar.set_message(working.join(", "));
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| output::say(self.quiet, text));
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
        self.say(&format!("failed: {cell}: {reason}"));
        self.bar.inc(1);
    }

    fn skipped(&self, cell: &str, reason: &str) {
        self.say(&format!("skipped: {cell}: {reason}"));
        self.bar.inc(1);
    }

    fn remark(&self, text: &str) {
        self.say(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// One object a line: `event`, `cell`, `done`, `total`, `seconds`, and what the event adds.
struct Lines {
    since: Stopwatch,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Default for Lines {
    fn default() -> Self {
        let zero = AtomicUsize::default;
        Self { since: Stopwatch::start(), done: zero(), total: zero() }
    }
}

impl Lines {
    fn line(&self, event: &str, cell: &str, done: usize, more: &[(&str, Value)]) {
        let total = self.total.load(Ordering::SeqCst);
        output::line(event, cell, done, total, self.since.elapsed_secs(), more);
    }

    fn now(&self, event: &str, cell: &str, more: &[(&str, Value)]) {
        self.line(event, cell, self.done.load(Ordering::SeqCst), more);
    }

    fn ended(&self, event: &str, cell: &str, more: &[(&str, Value)]) {
        self.line(event, cell, self.done.fetch_add(1, Ordering::SeqCst) + 1, more);
    }
}

impl Observer for Lines {
    fn total(&self, cells: usize) {
        self.total.store(cells, Ordering::SeqCst);
    }

    fn started(&self, cell: &str) {
        self.now("started", cell, &[]);
    }

    fn waiting(&self, cell: &str) {
        self.now("waiting", cell, &[]);
    }

    fn finished(&self, cell: &str, found: bool) {
        self.ended("finished", cell, &[("found", json!(found))]);
    }

    fn failed(&self, cell: &str, reason: &str) {
        self.ended("failed", cell, &[("reason", json!(reason))]);
    }

    fn skipped(&self, cell: &str, reason: &str) {
        self.ended("skipped", cell, &[("reason", json!(reason))]);
    }

    fn remark(&self, text: &str) {
        self.now("remark", "", &[("text", json!(text))]);
    }
}

/// The steps of one specimen that is bred.
pub struct Steps {
    bar: Option<ProgressBar>,
    label: String,
    since: Stopwatch,
}

/// Lines of a breeding at most, between its first step and its last.
const LINES: usize = 100;

impl Steps {
    /// For the specimen of this name; its bar stands below those of others that are bred at the same time.
    pub fn new(args: &Args, progress: Progress, label: &str, bars: &MultiProgress) -> Self {
        let bar = match progress {
            Progress::Json => {
                output::words_as_json();
                None
            }
            Progress::Bar if !output::watched(args.quiet) => Some(ProgressBar::hidden()),
            Progress::Bar => {
                let style =
                    ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} steps  {eta} left")
                        .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = bars.add(ProgressBar::new(0).with_style(style));
                bar.set_prefix(label.to_owned());
                Some(bar)
            }
        };
        Self { bar, label: label.to_owned(), since: Stopwatch::start() }
    }

    /// So many steps of so many are done.
    pub fn at(&self, step: usize, steps: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(steps as u64);
                bar.set_position(step as u64);
            }
            None if step == steps || step.is_multiple_of((steps / LINES).max(1)) => {
                output::line("step", &self.label, step, steps, self.since.elapsed_secs(), &[]);
            }
            None => {}
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
