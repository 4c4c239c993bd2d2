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
        ErrorKind::ReadOnlyFilesystem => "; hint: choose a place that can be written",
        ErrorKind::PermissionDenied => {
            "; hint: choose a place that you may read and write, or change its permissions"
        }
        ErrorKind::IsADirectory => "; hint: this is a folder; name a file in it",
        ErrorKind::NotADirectory => {
            "; hint: a file lies where a folder is needed; choose another place"
        }
        ErrorKind::NotFound => {
            "; hint: check the path: it starts in the folder in which the command runs"
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
    if let Some(flyroom_organism::Error::Parameters { organism, .. }) =
        e.chain().find_map(|cause| cause.downcast_ref())
        && !text.contains("hint: ")
    {
        let show = format!("`flyroom show {organism}` has its parameters and their defaults");
        text.push_str(&format!("; hint: {show}"));
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

/// Columns of a terminal that a table with prose keeps to.
const WIDE: usize = 100;
/// Before words that stand on a line of their own.
const INDENT: &str = "    ";

/// Columns under headings, widths as needed; numbers are given as they shall be printed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    columns(headings, rows, usize::MAX)
}

/// A table whose last column is prose: what does not fit on a terminal stands below its row.
pub fn table_with_prose(headings: &[&str], rows: &[Vec<String>]) -> String {
    columns(headings, rows, WIDE)
}

fn columns(headings: &[&str], rows: &[Vec<String>], wide: usize) -> String {
    let columns = headings.len();
    let width = |c: usize| {
        rows.iter()
            .map(|r| r[c].chars().count())
            .chain([headings[c].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let before_last: usize = widths.iter().rev().skip(1).map(|w| w + 2).sum();
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (c, cell) in cells.iter().enumerate() {
            let fits = before_last + cell.chars().count() <= wide;
            let last = c > 0 && c + 1 == columns;
            if last && !fits && *cell == headings[c] {
                // Below it nothing stands in this column.
                text.truncate(text.trim_end().len() + 2);
            } else if last && !fits && cell.contains(' ') {
                text.truncate(text.trim_end().len());
                text.push_str(&below(cell));
                continue;
            }
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

/// Words on lines of their own.
fn below(words: &str) -> String {
    let (mut text, mut width) = (String::new(), WIDE);
    for word in words.split(' ') {
        let more = word.chars().count() + 1;
        if width + more > WIDE {
            text.push_str(&format!("\n{INDENT}{word}"));
            width = INDENT.len() + more - 1;
        } else {
            text.push_str(&format!(" {word}"));
            width += more;
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_do_not_fit_beside_their_row_stand_below_it() {
        let row = |words: &str| vec!["name".repeat(15), words.to_owned()];
        let long = "word ".repeat(30);
        let all = table_with_prose(&["x", "says"], &[row("short"), row(long.trim_end())]);
        let lines: Vec<&str> = all.lines().collect();
        assert!(lines.iter().all(|l| l.chars().count() <= WIDE), "{all}");
        assert!(lines[1].ends_with("  short") && lines[2] == "name".repeat(15), "{all}");
        assert_eq!(lines.len(), 5);
        assert!(lines[3].starts_with("    word word") && lines[4].starts_with("    word"), "{all}");
        // A number is no prose: it stays in its column.
        let numbers = table_with_prose(&["x", "n"], &[vec!["x".repeat(99), "12.5".into()]]);
        assert_eq!(numbers.lines().count(), 2);
    }
}
