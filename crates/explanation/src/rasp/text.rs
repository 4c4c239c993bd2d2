//! Programs as people write them.
//!
//! The language is that of Weiss et al. 2021, one construct for each [`Expr`](super::Expr), and two lines that
//! say on which inputs the program is to run. `docs/rasp.md` teaches it. A text becomes a
//! [`Script`] or a [`Diagnostic`] that points at the place; a script's text becomes the same
//! script again.
//!
//! | file | holds |
//! |---|---|
//! | `text/diagnostic.rs` | [`Diagnostic`]: what is wrong, where, and the way out |
//! | `text/lexer.rs` | text to tokens with their places |
//! | `text/parser.rs` | tokens to statements |
//! | `text/lower.rs` | statements to variables: names, selectors, steps of at most two sequences |
//! | `text/kind.rs` | which kinds of values an expression can have |
//! | `text/words.rs` | words that are asked for and that nothing can be |
//! | `text/print.rs` | a script as text |
//!
//! ```
//! use flyroom_explanation::{Value, rasp::{Interpreter, Overrides, Script}};
//! let script: Script = "
//! vocabulary: a b c
//! length: 5
//! length = selector_width(select(tokens, tokens, true))
//! opposite = length - 1 - indices
//! reverse = aggregate(select(indices, opposite, ==), tokens)
//! return reverse
//! ".parse()?;
//! let tokens: Vec<Value> = ["a", "b", "c"].map(Value::from).to_vec();
//! let trace = Interpreter::new(&script.program)?.run(&tokens, &Overrides::none())?;
//! assert_eq!(trace.output(), ["c", "b", "a"].map(Value::from));
//! # Ok::<(), flyroom_explanation::Error>(())
//! ```

mod diagnostic;
mod kind;
mod lexer;
mod lower;
mod parser;
mod print;
#[cfg(test)]
mod tests;
mod words;

pub use diagnostic::Diagnostic;

use super::Program;
use crate::{Error, Value};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

/// Bytes of a text at most; a program of this size has more steps than any network has layers.
const BYTES: usize = 1 << 16;
/// Bytes at most once every named selector is written out where it is used.
const BYTES_WRITTEN_OUT: usize = 1 << 18;
/// Variables of a program at most.
const VARIABLES: usize = 1000;
/// Expressions within expressions at most: a JSON file of the program nests twice as deep, and its
/// reader stops at 128.
const DEPTH: usize = 48;
/// Letters of a name at most.
const NAME: usize = 64;
/// Tokens of a vocabulary, and of a sequence, and entries of a table at most.
const ENTRIES: usize = 1000;

/// A program with the inputs that it is for: sequences of 1 to `length` tokens of `vocabulary`
/// behind BOS.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The program; `bos` is true.
    pub program: Program,
    /// Distinct words or integers, in the order of the text.
    pub vocabulary: Vec<Value>,
    /// Longest sequence, without BOS.
    pub length: usize,
}

impl FromStr for Script {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|d| Box::new(d).into())
    }
}

impl Script {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        if text.len() > BYTES {
            let why = format!("this text is too large: a program has {BYTES} bytes at most");
            return Err(Diagnostic::new("", 0..0, why, "split it, or cut what it does not need"));
        }
        // Some editors begin a file with a mark of the byte order.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        lower::lower(text, parser::parse(text)?)
    }

    /// Points at the line of a text that defines a variable, or from which a step was made that bears its
    /// name.
    pub fn point_at(text: &str, variable: &str, why: &str, hint: &str) -> Diagnostic {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let statements = parser::parse(text).map(|p| p.statements).unwrap_or_default();
        let made = |name: &str| {
            let rest = variable.strip_prefix(name);
            rest.is_some_and(|r| r.is_empty() || r.starts_with('_'))
        };
        let of = statements.into_iter().filter(|s| made(&s.name)).max_by_key(|s| s.name.len());
        Diagnostic::new(text, of.map_or(0..0, |s| s.at), why, hint)
    }

    /// Reads a file; gives its text too. No more of it is read than a program may have.
    pub fn read(path: &Path) -> Result<(Self, String), Error> {
        let mut bytes = vec![];
        File::open(path)
            .and_then(|f| f.take(BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|e| Error::file(path, e))?;
        let place = |source| Error::TextFile { path: path.into(), source: Box::new(source) };
        let text = String::from_utf8(bytes).map_err(|e| {
            let why = format!("this is no text: byte {} is no UTF-8", e.utf8_error().valid_up_to());
            place(Diagnostic::new("", 0..0, why, "a program is plain text, see docs/rasp.md"))
        })?;
        Ok((Self::parse(&text).map_err(place)?, text))
    }

    /// The sequence that words separated by spaces are; the error says what is wrong with them,
    /// and what to do.
    pub fn tokens(&self, words: &str) -> Result<Vec<Value>, String> {
        let known = || {
            let all: Vec<String> = self.vocabulary.iter().take(20).map(Value::to_string).collect();
            format!("the tokens are {}", diagnostic::shown_list(&all, self.vocabulary.len()))
        };
        let token = |w: &str| {
            let found = self.vocabulary.iter().find(|v| v.to_string() == w).cloned();
            found.ok_or_else(|| format!("no token '{}'; hint: {}", diagnostic::shown(w), known()))
        };
        let tokens = words.split_whitespace().map(token).collect::<Result<Vec<_>, _>>()?;
        match tokens.len() {
            0 => Err(format!("no token at all; hint: {}", known())),
            n if n > self.length => {
                let most = self.length;
                Err(format!("{n} tokens; hint: this program takes {most} at most ('length:')"))
            }
            _ => Ok(tokens),
        }
    }

    /// The text that parses to this script. Fails for what only data can say: a program without
    /// BOS, a constant mixture, functions that ignore what they read.
    pub fn text(&self) -> Result<String, Error> {
        print::print(self)
    }
}
