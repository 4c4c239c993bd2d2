//! Words that a program asks for and that nothing in it can be: what is misspelt would never hold.

use super::diagnostic::{Diagnostic, did_you_mean, shown};
use super::parser::{Condition, Form, Node, Statement};
use crate::Value;
use crate::rasp::Binary;
use std::collections::BTreeSet;
use std::ops::Range;

/// Words of comparisons and of the left sides of tables must be tokens, or values of some expression.
pub(super) fn check(
    text: &str,
    vocabulary: &[Value],
    statements: &[Statement],
) -> Result<(), Diagnostic> {
    let mut words = Words::default();
    vocabulary.iter().for_each(|v| words.say(v));
    statements.iter().for_each(|s| words.read(&s.node));
    let Words { said, asked } = words;
    match asked.into_iter().find(|(word, _)| !said.contains(word)) {
        None => Ok(()),
        Some((word, at)) => {
            let why = format!("nothing is ever \"{}\", neither a token nor a value", shown(&word));
            let hint = did_you_mean(&word, said.iter().map(String::as_str));
            let hint = hint.unwrap_or("compare with a word of the vocabulary".into());
            Err(Diagnostic::new(text, at, why, hint))
        }
    }
}

#[derive(Default)]
struct Words {
    said: BTreeSet<String>,
    asked: Vec<(String, Range<usize>)>,
}

impl Words {
    fn say(&mut self, v: &Value) {
        if let Value::Token(_) = v {
            self.said.insert(v.to_string());
        }
    }

    fn ask(&mut self, v: &Value, at: &Range<usize>) {
        if let Value::Token(_) = v {
            self.asked.push((v.to_string(), at.clone()));
        }
    }

    fn read(&mut self, node: &Node) {
        match &node.form {
            Form::Name(_) | Form::Key | Form::Query => {}
            Form::Value(v) => self.say(v),
            Form::Unary(_, a) | Form::Causal(a) | Form::Width(a) => self.read(a),
            Form::Binary(op, a, b) => {
                for side in [a, b] {
                    match &side.form {
                        Form::Value(v) if matches!(op, Binary::Eq | Binary::Neq) => {
                            self.ask(v, &side.at);
                        }
                        _ => self.read(side),
                    }
                }
            }
            Form::If(parts) => parts.iter().for_each(|p| self.read(p)),
            Form::Table { of, entries, otherwise } => {
                self.read(of);
                entries.iter().for_each(|(key, _)| self.ask(key, &node.at));
                entries.iter().map(|(_, v)| v).chain(otherwise).for_each(|v| self.say(v));
            }
            Form::Select { keys, queries, condition } => {
                self.read(keys);
                self.read(queries);
                if let Condition::When(node) = condition {
                    self.read(node);
                }
            }
            Form::Aggregate { selector, of, default, .. } => {
                self.read(selector);
                self.read(of);
                self.say(default);
            }
        }
    }
}
