//! Text to tokens with their places.
//!
//! A line ends a statement unless a bracket is open. A name is letters, digits and `_`, or any
//! characters in backticks; a token of the vocabulary is a word in double quotes.

use super::NAME;
use super::diagnostic::{Diagnostic, shown};
use std::ops::Range;

/// The smallest pieces of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    /// A name or a word of the language.
    Word(&'t str),
    /// A name in backticks.
    Name(String),
    /// A word in double quotes.
    Quoted(String),
    /// Digits, perhaps with a point and an exponent.
    Number(&'t str),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// The end of a statement.
    Newline,
    /// The end of the text.
    End,
}

impl Token<'_> {
    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Word(w) => format!("'{}'", shown(w)),
            Self::Name(n) => format!("the name '{}'", shown(n)),
            Self::Quoted(q) => format!("the token \"{}\"", shown(q)),
            Self::Number(n) => format!("the number {}", shown(n)),
            Self::Sign(s) => format!("'{s}'"),
            Self::Newline => "the end of the line".into(),
            Self::End => "the end of the text".into(),
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 19] = [
    "==", "!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", "{", "}", ",",
    ":",
];

/// What other languages write, and what it is called here.
const FOREIGN: [(&str, &str); 10] = [
    ("&&", "write 'and'"),
    ("||", "write 'or'"),
    ("&", "write 'and'"),
    ("|", "write 'or'"),
    ("!", "write 'not', or '!=' for unequal"),
    ("%", "write 'mod'"),
    ("^", "powers are products: x * x"),
    ("'", "tokens stand in double quotes: \"a\""),
    (";", "a statement ends with its line"),
    (".", "a number begins with a digit: 0.5"),
];

pub(super) type Placed<'t> = (Token<'t>, Range<usize>);

/// Letters of a name after the first.
fn inside(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether it is a name without backticks, or a word of a vocabulary without quotes.
pub(super) fn is_word(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && s.chars().all(inside)
}

/// All tokens; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed<'_>>, Diagnostic> {
    let mut out: Vec<Placed> = vec![];
    let (mut at, mut open) = (0usize, 0usize);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let end = |length: usize| at..at + length;
        let (token, length) = match c {
            '\n' => {
                if open == 0 && out.last().is_some_and(|(t, _)| *t != Token::Newline) {
                    out.push((Token::Newline, at..at + 1));
                }
                at += 1;
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            ' ' | '\t' | '\r' => {
                at += 1;
                continue;
            }
            '"' | '`' => {
                let (content, length) = quoted(text, at, c)?;
                match c {
                    '"' => (Token::Quoted(content), length),
                    _ => (Token::Name(content), length),
                }
            }
            c if c.is_ascii_digit() => {
                let length = number(rest);
                if rest[length..].starts_with(|c: char| inside(c) || c == '.') {
                    let whole = rest.find(|c: char| !inside(c) && c != '.').unwrap_or(rest.len());
                    let why = format!("'{}' is no number and no name", shown(&rest[..whole]));
                    let hint = "a name begins with a letter; a token that does not stands in \
                                double quotes";
                    return Err(Diagnostic::new(text, end(whole), why, hint));
                }
                (Token::Number(&rest[..length]), length)
            }
            c if inside(c) => {
                let length = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
                if let Some(n) = rest[length..].find(|c: char| !c.is_alphanumeric() && c != '_')
                    && n > 0
                {
                    return Err(foreign_letters(text, at, at + length + n));
                }
                (Token::Word(&rest[..length]), length)
            }
            c if c.is_alphabetic() => {
                let length = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                return Err(foreign_letters(text, at, at + length));
            }
            _ => match SIGNS.into_iter().find(|s| rest.starts_with(s)) {
                Some(sign) => {
                    match sign {
                        "(" | "[" | "{" => open += 1,
                        ")" | "]" | "}" => open = open.saturating_sub(1),
                        _ => {}
                    }
                    (Token::Sign(sign), sign.len())
                }
                None => {
                    let foreign = FOREIGN.into_iter().find(|(s, _)| rest.starts_with(s));
                    let (length, hint) = foreign.map_or(
                        (c.len_utf8(), "a token that is no plain word stands in double quotes"),
                        |(s, hint)| (s.len(), hint),
                    );
                    let why = format!("'{}' means nothing here", shown(&rest[..length]));
                    return Err(Diagnostic::new(text, end(length), why, hint));
                }
            },
        };
        let name = match &token {
            Token::Word(w) => w.len(),
            Token::Name(n) => n.len(),
            _ => 0,
        };
        if name > NAME {
            let why = format!("a name of {name} letters; {NAME} is the most");
            return Err(Diagnostic::new(text, end(length), why, "choose a shorter name"));
        }
        out.push((token, at..at + length));
        at += length;
    }
    if out.last().is_some_and(|(t, _)| *t != Token::Newline) {
        out.push((Token::Newline, at..at));
    }
    out.push((Token::End, at..at));
    Ok(out)
}

fn foreign_letters(text: &str, from: usize, to: usize) -> Diagnostic {
    let word = text.get(from..to).unwrap_or("");
    let why = format!("'{}' has letters other than a to z", shown(word));
    let hint = "a name with them stands in backticks, a token in double quotes";
    Diagnostic::new(text, from..to, why, hint)
}

/// Length of the number at the start: digits, a point with digits, an exponent.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        bytes.get(from..).map_or(0, |b| b.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        if digits(length + 1 + sign) > 0 {
            length += 1 + sign + digits(length + 1 + sign);
        }
    }
    length
}

/// What stands between quotes, with `\"`, `\\`, `\n`, `\t` and `\u{...}`, and the length with
/// both quotes.
fn quoted(text: &str, at: usize, quote: char) -> Result<(String, usize), Diagnostic> {
    let rest = &text[at..];
    let wrong = |from: usize, to: usize, why: &str, hint: &str| {
        Err(Diagnostic::new(text, at + from..at + to, why, hint))
    };
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => {
                return match content.is_empty() {
                    true => wrong(0, i + 1, "nothing between the quotes", "give it a letter"),
                    false => Ok((content, i + 1)),
                };
            }
            '\n' => break,
            '\\' => match chars.next() {
                Some((_, 'n')) => content.push('\n'),
                Some((_, 't')) => content.push('\t'),
                Some((_, c)) if c == quote || c == '\\' => content.push(c),
                Some((_, 'u')) => {
                    let code = rest[i + 2..]
                        .strip_prefix('{')
                        .and_then(|r| r.split_once('}'))
                        .filter(|(digits, _)| (1..=6).contains(&digits.len()))
                        .and_then(|(digits, _)| {
                            let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                            Some((c, digits.len() + 2))
                        });
                    let Some((c, length)) = code else {
                        return wrong(i, i + 2, "no such character", "write it as \\u{e9}");
                    };
                    content.push(c);
                    for _ in 0..length {
                        chars.next();
                    }
                }
                _ => {
                    let hint = format!("there are \\{quote} \\\\ \\n \\t and \\u{{e9}}");
                    return wrong(i, i + 1, "an unknown escape", &hint);
                }
            },
            c => content.push(c),
        }
    }
    let hint = format!("close it with {quote} on the same line");
    wrong(0, 1, "this quote is not closed", &hint)
}
