//! A script as text.

use super::Script;
use super::lexer::is_word;
use super::parser::{COMPARES, MINUS, NOT, OPERATORS, RESERVED};
use crate::rasp::library::counting;
use crate::rasp::{Combine, Expr, INDICES, Lambda, Predicate, Rule, Select, TOKENS, Unary};
use crate::{Error, Value};
use std::borrow::Cow;
use std::fmt::{self, Write};

/// How strongly a whole expression, and a name, bind.
const ANY: u8 = 0;
const OPERAND: u8 = 8;

/// The text that parses to the script.
pub(super) fn print(script: &Script) -> Result<String, Error> {
    let mut out = String::from("vocabulary:");
    for v in &script.vocabulary {
        let _ = write!(out, " {}", value(v, true));
    }
    let _ = writeln!(out, "\nlength: {}\n", script.length);
    let mut rest = script.program.variables.as_slice();
    while let [v, after @ ..] = rest {
        if let (Expr::SelectorWidth { select }, [_, count, ..]) = (&v.expr, after)
            && let Some(step) = rest.get(..3)
            && counting(&count.name, select.clone()) == step
        {
            let _ = writeln!(out, "{} = selector_width({})", name(&count.name), selector(select));
            rest = &rest[3..];
            continue;
        }
        let _ = writeln!(out, "{} = {}", name(&v.name), v.expr);
        rest = after;
    }
    let _ = writeln!(out, "return {}", name(&script.program.output));
    // What is not of the form that the parser gives has no text.
    match Script::parse(&out) {
        Ok(again) if again == *script => Ok(out),
        Ok(again) => {
            let pairs = script.program.variables.iter().zip(&again.program.variables);
            let other = pairs.filter(|(a, b)| a != b).map(|(a, _)| a.name.as_str()).next();
            let why = "only data can say what it computes; it has no form as text";
            Err(Error::program(other.unwrap_or(&script.program.output), why))
        }
        Err(e) => Err(Error::program(&script.program.output, format!("as text, at {e}"))),
    }
}

fn quoted(s: &str, quote: char) -> String {
    let mut out = String::from(quote);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c == quote || c == '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn name(s: &str) -> Cow<'_, str> {
    match is_word(s) && (!RESERVED.contains(&s) || [TOKENS, INDICES].contains(&s)) {
        true => s.into(),
        false => quoted(s, '`').into(),
    }
}

/// A value; a word without quotes where only values can stand.
fn value(v: &Value, alone: bool) -> String {
    match v {
        Value::Token(t) if alone && is_word(t) && !RESERVED.contains(&t.as_str()) => t.clone(),
        Value::Token(t) => quoted(t, '"'),
        v => v.to_string(),
    }
}

fn selector(s: &Select) -> String {
    match s.causal {
        true => format!("causal({})", rule(&s.rule, ANY)),
        false => rule(&s.rule, ANY),
    }
}

/// `text`, in brackets if it binds less strongly than its place wants.
fn bound(text: String, strength: u8, least: u8) -> String {
    if strength < least { format!("({text})") } else { text }
}

fn rule(r: &Rule, least: u8) -> String {
    let joined = |a: &Rule, b: &Rule, word: &str, strength: u8| {
        let text = format!("{} {word} {}", rule(a, strength), rule(b, strength + 1));
        bound(text, strength, least)
    };
    match r {
        Rule::Pairs { keys, queries, predicate } => {
            let (keys, queries) = (name(keys), name(queries));
            format!("select({keys}, {queries}, {})", condition(predicate))
        }
        Rule::And(a, b) => joined(a, b, "and", 2),
        Rule::Or(a, b) => joined(a, b, "or", 1),
        Rule::Not(a) => bound(format!("not {}", rule(a, NOT)), NOT, least),
    }
}

fn condition(p: &Predicate) -> String {
    match p {
        Predicate::Eq => "==".into(),
        Predicate::Neq => "!=".into(),
        Predicate::Lt => "<".into(),
        Predicate::Leq => "<=".into(),
        Predicate::Gt => ">".into(),
        Predicate::Geq => ">=".into(),
        Predicate::True => "true".into(),
        // In brackets, as `true` alone is the predicate.
        Predicate::When(Lambda::Const(v)) => format!("({})", value(v, false)),
        Predicate::When(f) => lambda(f, "key", "query", ANY),
    }
}

impl fmt::Display for Expr {
    /// As it stands in a text behind `name = `. A selector's width alone is `selector_width(...)`,
    /// which in a text is three variables.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Constant(c) => f.write_str(&value(c, false)),
            Self::Map { f: g, x } => f.write_str(&lambda(g, &name(x), "", ANY)),
            Self::SequenceMap { f: g, x, y } => f.write_str(&lambda(g, &name(x), &name(y), ANY)),
            Self::Aggregate { select, x, combine, default } => {
                let function = match combine {
                    Combine::Mixture => "aggregate",
                    Combine::Mean => "mean",
                };
                write!(f, "{function}({}, {}", selector(select), name(x))?;
                match default {
                    Value::None => f.write_str(")"),
                    v => write!(f, ", default = {})", value(v, true)),
                }
            }
            Self::SelectorWidth { select } => write!(f, "selector_width({})", selector(select)),
        }
    }
}

fn lambda(f: &Lambda, x: &str, y: &str, least: u8) -> String {
    let inner = |f: &Lambda, least: u8| lambda(f, x, y, least);
    match f {
        Lambda::X => x.into(),
        Lambda::Y => y.into(),
        Lambda::Const(v) => value(v, false),
        Lambda::Unary(Unary::Round, a) => format!("round({})", inner(a, ANY)),
        Lambda::Unary(Unary::Not, a) => bound(format!("not {}", inner(a, NOT)), NOT, least),
        Lambda::Unary(Unary::Neg, a) => {
            let a = match a.as_ref() {
                // A sign before digits belongs to the number.
                Lambda::Const(Value::Int(_) | Value::Real(_)) => format!("({})", inner(a, ANY)),
                a => inner(a, MINUS),
            };
            bound(format!("-{a}"), MINUS, least)
        }
        Lambda::Binary(op, a, b) => {
            let (sign, _, strength) =
                OPERATORS.into_iter().find(|(_, o, _)| o == op).unwrap_or(("", *op, OPERAND));
            // Comparisons do not chain; all else leans left.
            let left = if strength == COMPARES { COMPARES + 1 } else { strength };
            let text = format!("{} {sign} {}", inner(a, left), inner(b, strength + 1));
            bound(text, strength, least)
        }
        Lambda::If(c, a, b) => {
            let text =
                format!("if {} then {} else {}", inner(c, ANY), inner(a, ANY), inner(b, ANY));
            bound(text, ANY, least)
        }
        Lambda::Table { of, entries, otherwise } => {
            let entries = entries.iter().map(|(k, v)| (value(k, true), value(v, true)));
            let otherwise = otherwise.iter().map(|v| ("else".to_string(), value(v, true)));
            let all: Vec<String> =
                entries.chain(otherwise).map(|(k, v)| format!("{k}: {v}")).collect();
            format!("{{{}}}[{}]", all.join(", "), inner(of, ANY))
        }
    }
}
