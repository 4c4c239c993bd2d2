//! What is wrong with a text, where, and the way out.

use std::fmt;
use std::ops::Range;

/// Characters of a line that are shown at most.
const SHOWN: usize = 100;

/// Points at a place of a program's text.
///
/// ```
/// use flyroom_explanation::rasp::Script;
/// let text = "vocabulary: a b\nlength: 3\ncount = indices + indexes\nreturn count";
/// assert_eq!(Script::parse(text).unwrap_err().to_string(), "\
/// line 3, column 19: 'indexes' is not defined
///   |
/// 3 | count = indices + indexes
///   |                   ^^^^^^^
/// hint: did you mean 'indices'?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub why: String,
    /// What to do.
    pub hint: String,
    /// The line, cut around the place if it is long.
    source: String,
    /// Columns of `source` before the place, and of the place.
    marked: (usize, usize),
}

impl Diagnostic {
    /// At a range of bytes of the text.
    pub(super) fn new(
        text: &str,
        at: Range<usize>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let before = text.get(..at.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let line: &str = text.get(start..).and_then(|t| t.lines().next()).unwrap_or("");
        let place = before.get(start..).unwrap_or("").chars().count();
        let width = text.get(at).map_or(1, |t| t.lines().next().unwrap_or("").chars().count());
        // A long line is cut so that the place is well inside.
        let cut = if line.chars().count() <= SHOWN { 0 } else { place.saturating_sub(SHOWN / 2) };
        let source: String = line
            .chars()
            .skip(cut)
            .take(SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let width = width.clamp(1, SHOWN.saturating_sub(place - cut).max(1));
        Self {
            line: before.matches('\n').count() + 1,
            column: place + 1,
            why: why.into(),
            hint: hint.into(),
            source: source.trim_end().into(),
            marked: (place - cut, width),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { line, column, why, hint, source, marked: (before, width) } = self;
        writeln!(f, "line {line}, column {column}: {why}")?;
        if !source.is_empty() {
            let margin = " ".repeat(line.to_string().len());
            writeln!(f, "{margin} |")?;
            writeln!(f, "{line} | {source}")?;
            writeln!(f, "{margin} | {}{}", " ".repeat(*before), "^".repeat(*width))?;
        }
        write!(f, "hint: {hint}")
    }
}

impl std::error::Error for Diagnostic {}

/// `did you mean '...'?` where a name is near: at most a third of its letters, and one, have to
/// be changed.
pub(super) fn did_you_mean<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    known
        .into_iter()
        .map(|n| (strsim::damerau_levenshtein(n, wrong), n))
        .filter(|(d, n)| *d <= n.len() / 3 + 1 && *d < n.chars().count())
        .min()
        .map(|(_, n)| format!("did you mean '{n}'?"))
}

/// A text as a message shows it: cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let head: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{head}...") } else { head }
}

/// Words with spaces between, and whether there are more.
pub(super) fn shown_list(first: &[String], all: usize) -> String {
    let words: Vec<String> = first.iter().map(|w| shown(w)).collect();
    match all.saturating_sub(first.len()) {
        0 => words.join(" "),
        more => format!("{} and {more} more", words.join(" ")),
    }
}
