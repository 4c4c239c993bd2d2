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

pub use diagnostic::Diagnostic;

use super::Program;
use crate::{Error, Value};
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
            let why = format!("{} bytes; a program has {BYTES} at most", text.len());
            return Err(Diagnostic::new("", 0..0, why, "split it, or cut what it does not need"));
        }
        lower::lower(text, parser::parse(text)?)
    }

    /// The text that parses to this script. Fails for what only data can say: a program without
    /// BOS, a constant mixture, functions that ignore what they read.
    pub fn text(&self) -> Result<String, Error> {
        print::print(self)
    }
}
