//! How results and errors reach people.

use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Data to stdout. A reader that went away is no error.
pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
}

/// Data as JSON to stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Words to stderr.
pub fn say(quiet: bool, text: &str) {
    if !quiet {
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
    let text = seen.join(": ");
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
