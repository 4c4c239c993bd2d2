//! How results and errors reach people.

use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

/// Why data did not reach stdout.
static LOST: OnceLock<String> = OnceLock::new();

/// Words to stderr are JSON, one object a line.
static JSON_WORDS: OnceLock<()> = OnceLock::new();

/// From now on words are JSON objects too.
pub fn words_as_json() {
    let _ = JSON_WORDS.set(());
}

/// Why some data did not reach stdout, if it did not.
pub fn lost() -> Option<String> {
    LOST.get().cloned()
}

/// Data to stdout. A reader that went away is no error.
pub fn data(text: &str) {
    let mut out = io::stdout().lock();
    let end: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end));
    if let Err(e) = written.and_then(|()| out.flush())
        && e.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(format!("{e}{}", way_out(e.kind())));
    }
}

/// What to do about a disk that does not take what it is given.
fn way_out(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; hint: make room and run the same command again; what is finished is kept"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; hint: choose a place that can be written"
        }
        _ => "",
    }
}

/// One line of progress as JSON, to stderr.
pub fn line(
    event: &str,
    cell: &str,
    done: usize,
    total: usize,
    seconds: f64,
    more: &[(&str, Value)],
) {
    let seconds = (seconds * 1000.0).round() / 1000.0;
    let mut object =
        json!({ "event": event, "cell": cell, "done": done, "total": total, "seconds": seconds });
    for (name, value) in more {
        object[*name] = value.clone();
    }
    let _ = writeln!(io::stderr().lock(), "{object}");
}

/// Data as JSON to stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Words to stderr.
pub fn say(quiet: bool, text: &str) {
    if JSON_WORDS.get().is_some() {
        let _ = writeln!(io::stderr().lock(), "{}", json!({ "event": "remark", "text": text }));
    } else if !quiet {
        eprintln!("{text}");
    }
}

/// An error to stderr: what, then what to do.
pub fn error(e: &anyhow::Error) {
    let mut seen: Vec<String> = vec![];
    for cause in e.chain() {
        let text = cause.to_string();
        // A cause that its effect already quotes is not said twice.
        if !seen.iter().any(|s| s.contains(&text)) {
            seen.push(text);
        }
    }
    let mut text = seen.join(": ");
    if let Some(e) = e.chain().find_map(|cause| cause.downcast_ref::<io::Error>())
        && !text.contains("hint: ")
    {
        text.push_str(way_out(e.kind()));
    }
    if JSON_WORDS.get().is_some() {
        let _ = writeln!(io::stderr().lock(), "{}", json!({ "event": "error", "text": text }));
        return;
    }
    let (at, skip) = match (text.find("; hint: "), text.find("; did you mean ")) {
        (Some(at), _) => (Some(at), "; hint: ".len()),
        (None, at) => (at, "; ".len()),
    };
    match at.map(|at| (&text[..at], &text[at + skip..])) {
        Some((what, hint)) => eprintln!("error: {what}\nhint: {hint}"),
        None => eprintln!("error: {text}"),
    }
}

/// Whether someone watches stderr.
pub fn watched(quiet: bool) -> bool {
    !quiet && std::io::stderr().is_terminal()
}

/// Columns under headings, widths as needed; numbers are given as they shall be printed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let columns = headings.len();
    let width = |c: usize| {
        rows.iter()
            .map(|r| r[c].chars().count())
            .chain([headings[c].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (c, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if c + 1 < columns {
                text.push_str(&" ".repeat(widths[c] - cell.chars().count() + 2));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    };
    let mut out = line(headings.to_vec());
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

/// A number with as many digits as people read.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        a if !(1e-3..1e6).contains(&a) => format!("{x:.2e}"),
        a if a >= 100.0 => format!("{x:.1}"),
        _ => format!("{x:.4}"),
    }
}
