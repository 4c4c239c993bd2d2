//! Tokens to statements.
//!
//! ```text
//! text       = { vocabulary ":" value { value } | "length" ":" integer | NAME "=" expression }
//!              "return" NAME
//! expression = "if" expression "then" expression "else" expression | or
//! or         = and { "or" and }
//! and        = not { "and" not }
//! not        = "not" not | compare
//! compare    = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum ]
//! sum        = product { ( "+" | "-" ) product }
//! product    = minus { ( "*" | "/" | "mod" ) minus }
//! minus      = "-" minus | operand
//! operand    = NAME | value | "(" expression ")" | table "[" expression "]" | function "(" ... ")"
//! table      = "{" [ value ":" value { "," value ":" value } ] [ "," "else" ":" value ] "}"
//! ```
//!
//! Selectors and sequences share the grammar; `lower.rs` tells them apart.

use super::diagnostic::{Diagnostic, did_you_mean, shown};
use super::lexer::{Placed, Token, tokens};
use super::{DEPTH, ENTRIES};
use crate::Value;
use crate::rasp::{Binary, Combine, INDICES, Predicate, READOUT, TOKENS, Unary};
use std::collections::BTreeSet;
use std::ops::Range;

/// Words that no variable may be called and no token without quotes.
pub(super) const RESERVED: [&str; 23] = [
    TOKENS,
    INDICES,
    READOUT,
    "select",
    "causal",
    "aggregate",
    "mean",
    "selector_width",
    "round",
    "and",
    "or",
    "not",
    "mod",
    "if",
    "then",
    "else",
    "true",
    "false",
    "none",
    "key",
    "query",
    "default",
    "return",
];

/// Functions with what they take.
const FUNCTIONS: [(&str, &str); 6] = [
    ("select", "select(keys, queries, ==)"),
    ("causal", "causal(selector)"),
    ("aggregate", "aggregate(selector, sequence) or aggregate(selector, sequence, default = 0)"),
    ("mean", "mean(selector, sequence) or mean(selector, sequence, default = 0)"),
    ("selector_width", "selector_width(selector)"),
    ("round", "round(sequence)"),
];

/// Conditions of a select that stand for themselves.
const PREDICATES: [(&str, Predicate); 6] = [
    ("==", Predicate::Eq),
    ("!=", Predicate::Neq),
    ("<", Predicate::Lt),
    ("<=", Predicate::Leq),
    (">", Predicate::Gt),
    (">=", Predicate::Geq),
];

/// Functions of two values with how strongly they bind.
pub(super) const OPERATORS: [(&str, Binary, u8); 13] = [
    ("or", Binary::Or, 1),
    ("and", Binary::And, 2),
    ("==", Binary::Eq, COMPARES),
    ("!=", Binary::Neq, COMPARES),
    ("<", Binary::Lt, COMPARES),
    ("<=", Binary::Leq, COMPARES),
    (">", Binary::Gt, COMPARES),
    (">=", Binary::Geq, COMPARES),
    ("+", Binary::Add, 5),
    ("-", Binary::Sub, 5),
    ("*", Binary::Mul, 6),
    ("/", Binary::Div, 6),
    ("mod", Binary::Mod, 6),
];
/// How strongly `not`, comparisons and a minus sign bind.
pub(super) const NOT: u8 = 3;
pub(super) const COMPARES: u8 = 4;
pub(super) const MINUS: u8 = 7;

/// An expression with its place.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Range<usize>,
    /// Expressions within it, one inside the other.
    pub depth: usize,
    pub form: Form,
}

/// Selectors and sequences.
#[derive(Debug)]
pub(super) enum Form {
    Name(String),
    /// The value of the key in a predicate.
    Key,
    /// The value of the query in a predicate.
    Query,
    Value(Value),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    Table {
        of: Box<Node>,
        entries: Vec<(Value, Value)>,
        otherwise: Option<Value>,
    },
    Select {
        keys: Box<Node>,
        queries: Box<Node>,
        condition: Condition,
    },
    Causal(Box<Node>),
    Aggregate {
        selector: Box<Node>,
        of: Box<Node>,
        combine: Combine,
        default: Value,
    },
    Width(Box<Node>),
}

/// The third argument of a select.
#[derive(Debug)]
pub(super) enum Condition {
    Plain(Predicate),
    When(Box<Node>),
}

/// `name = expression`.
#[derive(Debug)]
pub(super) struct Statement {
    pub name: String,
    pub at: Range<usize>,
    pub node: Node,
}

/// A text in its parts; names are not yet resolved.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The tokens, and the place of the line's first word.
    pub vocabulary: (Vec<(Value, Range<usize>)>, Range<usize>),
    pub length: (Value, Range<usize>),
    pub statements: Vec<Statement>,
    pub output: (String, Range<usize>),
    /// Every word that stands for a token somewhere.
    pub words: BTreeSet<String>,
}

/// Splits a text into its statements.
pub(super) fn parse(text: &str) -> Result<Parsed, Diagnostic> {
    let tokens = tokens(text)?;
    let mut p = Parser { text, tokens, next: 0, nesting: 0, open: vec![], words: BTreeSet::new() };
    let (mut vocabulary, mut length, mut output) = (None, None, None);
    let mut statements: Vec<Statement> = vec![];
    loop {
        let (token, at) = p.peek().clone();
        if token == Token::End {
            break;
        }
        if output.is_some() {
            let why = "nothing stands behind 'return'";
            return Err(p.wrong(at, why, "move this line up, or 'return' down"));
        }
        match (&token, &p.ahead(1).0) {
            (Token::Word("vocabulary"), Token::Sign(":")) => {
                p.header(at.clone(), vocabulary.is_some())?;
                vocabulary = Some((p.vocabulary()?, at));
            }
            (Token::Word("length"), Token::Sign(":")) => {
                p.header(at, length.is_some())?;
                let start = p.peek().1.start;
                let value = p.value("how many tokens a sequence has at most")?;
                length = Some((value, start..p.end()));
            }
            (Token::Word(w), Token::Sign(":")) => {
                let hint = did_you_mean(w, ["vocabulary", "length"]);
                let hint =
                    hint.unwrap_or("there are 'vocabulary: a b c' and 'length: 6'".to_string());
                return Err(p.wrong(at, format!("'{w}:' means nothing here"), hint));
            }
            (Token::Word("return"), _) => {
                p.step();
                output = Some(p.name("the name of the output")?);
                if !matches!(p.peek().0, Token::Newline) {
                    let hint = "give what is returned a name first: result = ... and, on the next \
                                line, return result";
                    return Err(p.unexpected("the end of the line behind the name", hint));
                }
            }
            _ => statements.push(p.statement()?),
        }
        if !matches!(p.peek().0, Token::Newline | Token::End) {
            let hint = match p.peek().0 {
                Token::Sign(")" | "]" | "}") => "no bracket is open here",
                Token::Sign("[") => "only a table is looked up: {a: 1, else: 0}[x]",
                _ => "each statement has a line of its own",
            };
            return Err(p.unexpected("an operator or the end of the line", hint));
        }
        p.step();
    }
    let missing = |why: &str, hint: &str| Diagnostic::new(text, 0..0, why, hint);
    let vocabulary = vocabulary.ok_or_else(|| {
        missing("there is no line 'vocabulary:'", "say which tokens there are: vocabulary: a b c")
    })?;
    let length = length.ok_or_else(|| {
        missing("there is no line 'length:'", "say how long a sequence is at most: length: 6")
    })?;
    let output = output.ok_or_else(|| {
        let last = statements.last().map_or("tokens", |s| s.name.as_str());
        let end = text.trim_end().len();
        let hint = format!("end with the variable that is the output: return {}", shown(last));
        Diagnostic::new(text, end..end, "the program returns nothing", hint)
    })?;
    Ok(Parsed { vocabulary, length, statements, output, words: p.words })
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Placed<'t>>,
    next: usize,
    /// Brackets, functions and signs around the next token.
    nesting: usize,
    /// Places of the brackets that are open.
    open: Vec<(&'static str, usize)>,
    words: BTreeSet<String>,
}

impl<'t> Parser<'t> {
    fn ahead(&self, n: usize) -> &Placed<'t> {
        const END: &Placed = &(Token::End, 0..0);
        self.tokens.get(self.next + n).or(self.tokens.last()).unwrap_or(END)
    }

    fn peek(&self) -> &Placed<'t> {
        self.ahead(0)
    }

    fn step(&mut self) -> Placed<'t> {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn wrong(
        &self,
        at: Range<usize>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(self.text, at, why, hint)
    }

    /// The next token is not what belongs there.
    fn unexpected(&self, expected: &str, hint: &str) -> Diagnostic {
        let (token, at) = self.peek();
        let why = format!("expected {expected}, found {}", token.describe());
        // What begins a statement shows that the bracket before it was meant to close.
        let ends = match token {
            Token::End | Token::Newline | Token::Word("return") => true,
            Token::Word(_) | Token::Name(_) => {
                let line = self.text.get(..at.start).and_then(|t| t.rsplit('\n').next());
                line.is_some_and(|l| l.trim().is_empty()) && self.ahead(1).0 == Token::Sign("=")
            }
            _ => false,
        };
        let hint = match (token, self.open.last()) {
            (Token::Sign("="), _) => "did you mean '=='?".into(),
            (_, Some((bracket, start))) if ends => {
                let place = self.wrong(*start..*start, "", "");
                let (line, column) = (place.line, place.column);
                format!("the '{bracket}' of line {line}, column {column} is still open")
            }
            _ => hint.into(),
        };
        self.wrong(at.clone(), why, hint)
    }

    fn eat(&mut self, sign: &'static str) -> bool {
        let there = self.peek().0 == Token::Sign(sign);
        if there {
            match sign {
                "(" | "[" | "{" => self.open.push((sign, self.peek().1.start)),
                ")" | "]" | "}" => drop(self.open.pop()),
                _ => {}
            }
            self.next += 1;
        }
        there
    }

    fn want(&mut self, sign: &'static str, hint: &str) -> Result<(), Diagnostic> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"), hint)) }
    }

    fn word(&mut self, word: &str, hint: &str) -> Result<(), Diagnostic> {
        if self.peek().0 != Token::Word(word) {
            return Err(self.unexpected(&format!("'{word}'"), hint));
        }
        self.next += 1;
        Ok(())
    }

    /// Steps over `vocabulary:` or `length:`.
    fn header(&mut self, at: Range<usize>, again: bool) -> Result<(), Diagnostic> {
        if again {
            let why = "this line stands in the text already";
            return Err(self.wrong(at, why, "keep one of the two"));
        }
        self.next += 2;
        Ok(())
    }

    fn vocabulary(&mut self) -> Result<Vec<(Value, Range<usize>)>, Diagnostic> {
        let mut all: Vec<(Value, Range<usize>)> = vec![];
        while !matches!(self.peek().0, Token::Newline | Token::End) {
            let start = self.peek().1.start;
            if self.peek().0 == Token::Sign(",") {
                return Err(self.unexpected("a token", "only spaces stand between tokens"));
            }
            let value = self.value("a token: a word, an integer or a word in double quotes")?;
            all.push((value, start..self.end()));
        }
        Ok(all)
    }

    /// A name, in backticks or not a word of the language.
    fn name(&mut self, expected: &str) -> Result<(String, Range<usize>), Diagnostic> {
        let (token, at) = self.peek().clone();
        let name = match token {
            Token::Word(w) => w.to_string(),
            Token::Name(n) => n,
            _ => return Err(self.unexpected(expected, "a name is letters, digits and '_'")),
        };
        self.next += 1;
        Ok((name, at))
    }

    fn statement(&mut self) -> Result<Statement, Diagnostic> {
        let (token, at) = self.peek().clone();
        let (name, reserved) = match token {
            Token::Word(w) => (w.to_string(), RESERVED.contains(&w)),
            Token::Name(n) => {
                let reserved = [TOKENS, INDICES, READOUT].contains(&n.as_str());
                (n, reserved)
            }
            _ => {
                let hint = "a statement is: name = expression";
                return Err(self.unexpected("the name of a variable", hint));
            }
        };
        self.next += 1;
        if self.peek().0 == Token::Sign("=") && reserved {
            let why = format!("'{name}' is a word of the language and cannot be a variable");
            return Err(self.wrong(at, why, format!("choose another name, such as {name}_1")));
        }
        if !self.eat("=") {
            let words = ["return", "vocabulary", "length"];
            let hint = did_you_mean(&name, words)
                .unwrap_or("a statement is: name = expression, or: return name".into());
            return Err(self.unexpected(&format!("'=' behind '{}'", shown(&name)), &hint));
        }
        let node = self.expression(0)?;
        Ok(Statement { name, at, node })
    }

    /// Where only a value can stand a word is a token.
    fn value(&mut self, expected: &str) -> Result<Value, Diagnostic> {
        let (token, at) = self.step();
        let value = match &token {
            Token::Number(digits) => self.number(digits, false, at)?,
            Token::Sign("-") if let (Token::Number(digits), at) = self.peek().clone() => {
                self.next += 1;
                self.number(digits, true, at)?
            }
            Token::Quoted(q) => Value::Token(q.clone()),
            Token::Word("true") => Value::Bool(true),
            Token::Word("false") => Value::Bool(false),
            Token::Word("none") => Value::None,
            Token::Word(w) if !RESERVED.contains(w) => Value::token(*w),
            _ => {
                self.next -= 1;
                let hint = match token {
                    Token::Word(w) => {
                        format!("this is a word of the language; the token is \"{w}\"")
                    }
                    _ => "a value is a number, a word, true, false or none".into(),
                };
                return Err(self.unexpected(expected, &hint));
            }
        };
        if let Value::Token(word) = &value {
            self.words.insert(word.clone());
        }
        Ok(value)
    }

    fn number(&self, digits: &str, minus: bool, at: Range<usize>) -> Result<Value, Diagnostic> {
        let signed = if minus { format!("-{digits}") } else { digits.to_string() };
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return signed.parse().map(Value::Int).map_err(|_| {
                let hint = format!("integers lie between {} and {}", i64::MIN, i64::MAX);
                self.wrong(at, "this integer is too large", hint)
            });
        }
        match signed.parse::<f64>() {
            Ok(r) if r.is_finite() => Ok(Value::Real(r)),
            _ => Err(self.wrong(at, "this number is too large", "reals lie below 1.8e308")),
        }
    }

    /// Goes one level down, as long as there are not too many.
    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        if self.nesting >= DEPTH {
            return Err(self.too_deep(self.peek().1.clone()));
        }
        self.nesting += 1;
        let out = read(self);
        self.nesting -= 1;
        out
    }

    fn too_deep(&self, at: Range<usize>) -> Diagnostic {
        let why = format!("more than {DEPTH} expressions lie one inside the other");
        self.wrong(at, why, "give a part of it a name of its own, on a line before")
    }

    fn node(&self, start: usize, form: Form) -> Result<Node, Diagnostic> {
        let end = self.end();
        let inner = match &form {
            Form::Name(_) | Form::Key | Form::Query | Form::Value(_) => 0,
            Form::Unary(_, a) | Form::Causal(a) | Form::Width(a) | Form::Table { of: a, .. } => {
                a.depth
            }
            Form::Binary(_, a, b) => a.depth.max(b.depth),
            Form::If(parts) => parts.iter().map(|p| p.depth).max().unwrap_or(0),
            Form::Aggregate { selector, of, .. } => selector.depth.max(of.depth),
            Form::Select { keys, queries, condition } => {
                let condition = match condition {
                    Condition::Plain(_) => 0,
                    Condition::When(f) => f.depth,
                };
                keys.depth.max(queries.depth).max(condition)
            }
        };
        if inner >= DEPTH {
            return Err(self.too_deep(start..end));
        }
        Ok(Node { at: start..end, depth: inner + 1, form })
    }

    /// The operator that comes next.
    fn operator(&self) -> Option<(&'static str, Binary, u8)> {
        let next = match self.peek().0 {
            Token::Sign(s) => s,
            Token::Word(w) => w,
            _ => return None,
        };
        OPERATORS.into_iter().find(|(sign, ..)| *sign == next)
    }

    /// An expression of operators that bind at least so strongly.
    fn expression(&mut self, least: u8) -> Result<Node, Diagnostic> {
        let start = self.peek().1.start;
        let mut left = self.prefixed(least)?;
        while let Some((_, op, strength)) = self.operator().filter(|(.., s)| *s >= least) {
            self.next += 1;
            let right = self.expression(strength + 1)?;
            left = self.node(start, Form::Binary(op, Box::new(left), Box::new(right)))?;
            if strength == COMPARES && self.operator().is_some_and(|(.., s)| s == COMPARES) {
                let hint = "join two comparisons with 'and', or put one in brackets";
                return Err(self.unexpected("one comparison", hint));
            }
        }
        Ok(left)
    }

    /// An operand with the words and signs before it.
    fn prefixed(&mut self, least: u8) -> Result<Node, Diagnostic> {
        let (token, at) = self.peek().clone();
        let start = at.start;
        match token {
            Token::Word("if") if least == 0 => {
                self.next += 1;
                self.deeper(|p| {
                    let usage = "it is: if condition then a else b";
                    let condition = p.expression(0)?;
                    p.word("then", usage)?;
                    let a = p.expression(0)?;
                    p.word("else", usage)?;
                    let b = p.expression(0)?;
                    p.node(start, Form::If(Box::new([condition, a, b])))
                })
            }
            Token::Word(word @ ("if" | "not")) if least > NOT || word == "if" => {
                let hint = format!("put it in brackets: ({word} ...)");
                Err(self.unexpected("an operand", &hint))
            }
            Token::Word("not") => {
                self.next += 1;
                self.deeper(|p| {
                    let a = p.expression(NOT)?;
                    p.node(start, Form::Unary(Unary::Not, Box::new(a)))
                })
            }
            Token::Sign("-") if matches!(self.ahead(1).0, Token::Number(_)) => {
                let value = self.value("a number")?;
                self.node(start, Form::Value(value))
            }
            Token::Sign("-") => {
                self.next += 1;
                self.deeper(|p| {
                    let a = p.expression(MINUS)?;
                    p.node(start, Form::Unary(Unary::Neg, Box::new(a)))
                })
            }
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> Result<Node, Diagnostic> {
        let (token, at) = self.peek().clone();
        let start = at.start;
        match token {
            Token::Sign("(") => {
                let inside = self.deeper(|p| {
                    p.eat("(");
                    let inside = p.expression(0)?;
                    p.want(")", "an operator is missing, or the bracket is not closed")?;
                    Ok(inside)
                })?;
                // Its place takes in the brackets.
                Ok(Node { at: start..self.end(), ..inside })
            }
            Token::Sign("{") => self.deeper(|p| p.table(start)),
            Token::Number(_) | Token::Quoted(_) | Token::Word("true" | "false" | "none") => {
                let value = self.value("a value")?;
                self.node(start, Form::Value(value))
            }
            Token::Word("key") => {
                self.next += 1;
                self.node(start, Form::Key)
            }
            Token::Word("query") => {
                self.next += 1;
                self.node(start, Form::Query)
            }
            Token::Word(w) if FUNCTIONS.iter().any(|(f, _)| *f == w) => {
                self.next += 1;
                self.deeper(|p| p.call(start, w))
            }
            Token::Word(w @ (TOKENS | INDICES)) => {
                self.next += 1;
                self.node(start, Form::Name(w.into()))
            }
            Token::Word(w) if !RESERVED.contains(&w) => {
                if self.ahead(1).0 == Token::Sign("(") {
                    let hint = did_you_mean(w, FUNCTIONS.map(|(f, _)| f)).unwrap_or_else(|| {
                        format!("the functions are {}", FUNCTIONS.map(|(f, _)| f).join(", "))
                    });
                    return Err(self.wrong(at, format!("there is no function '{w}'"), hint));
                }
                self.next += 1;
                self.node(start, Form::Name(w.into()))
            }
            Token::Name(n) => {
                self.next += 1;
                self.node(start, Form::Name(n))
            }
            _ => {
                let expected = "a name, a number, a token in double quotes, a function or '('";
                Err(self.unexpected(expected, "an operand is missing here"))
            }
        }
    }

    /// Where the last token ended.
    fn end(&self) -> usize {
        self.tokens.get(self.next.saturating_sub(1)).map_or(0, |(_, at)| at.end)
    }

    fn table(&mut self, start: usize) -> Result<Node, Diagnostic> {
        let usage = "a table is: {a: 1, b: 2, else: 0}[x]";
        self.want("{", usage)?;
        let mut entries: Vec<(Value, Value)> = vec![];
        let mut otherwise = None;
        while self.peek().0 != Token::Sign("}") {
            let at = self.peek().1.clone();
            if otherwise.is_some() {
                return Err(self.unexpected("'}'", "'else' is the last entry of a table"));
            }
            if self.peek().0 == Token::Word("else") {
                self.next += 1;
                self.want(":", usage)?;
                otherwise = Some(self.value("a value")?);
            } else {
                if entries.len() == ENTRIES {
                    let why = format!("a table of more than {ENTRIES} entries");
                    return Err(self.wrong(at, why, "compute the values instead"));
                }
                let key = self.value("a value")?;
                if entries.iter().any(|(k, _)| k.same(&key)) {
                    let why = format!("{} is in this table already", shown(&key.to_string()));
                    return Err(self.wrong(at, why, "keep one of the two"));
                }
                self.want(":", usage)?;
                entries.push((key, self.value("a value")?));
            }
            if !self.eat(",") {
                break;
            }
        }
        self.want("}", usage)?;
        self.want("[", usage)?;
        let of = Box::new(self.expression(0)?);
        self.want("]", usage)?;
        self.node(start, Form::Table { of, entries, otherwise })
    }

    fn call(&mut self, start: usize, function: &str) -> Result<Node, Diagnostic> {
        let usage = FUNCTIONS
            .iter()
            .find(|(f, _)| *f == function)
            .map_or(String::new(), |(_, usage)| format!("it is: {usage}"));
        self.want("(", &usage)?;
        let first = Box::new(self.expression(0)?);
        let form = match function {
            "select" => {
                self.want(",", &usage)?;
                let queries = Box::new(self.expression(0)?);
                self.want(",", &usage)?;
                Form::Select { keys: first, queries, condition: self.condition()? }
            }
            "aggregate" | "mean" => {
                self.want(",", &usage)?;
                let of = Box::new(self.expression(0)?);
                let mut default = Value::None;
                if self.eat(",") {
                    self.word("default", &usage)?;
                    self.want("=", &usage)?;
                    default = self.value("a value")?;
                }
                let combine = match function {
                    "mean" => Combine::Mean,
                    _ => Combine::Mixture,
                };
                Form::Aggregate { selector: first, of, combine, default }
            }
            "causal" => Form::Causal(first),
            "selector_width" => Form::Width(first),
            _ => Form::Unary(Unary::Round, first),
        };
        self.want(")", &usage)?;
        self.node(start, form)
    }

    /// A sign, `true`, or an expression over `key` and `query`.
    fn condition(&mut self) -> Result<Condition, Diagnostic> {
        let closes = self.ahead(1).0 == Token::Sign(")");
        match self.peek().0 {
            Token::Sign(sign) => {
                if let Some((_, p)) = PREDICATES.into_iter().find(|(s, _)| *s == sign) {
                    self.next += 1;
                    return Ok(Condition::Plain(p));
                }
                if matches!(sign, "=" | "+" | "*" | "/" | ")" | ",") {
                    let hint = "there are == != < <= > >= and true, or a condition such as key == \
                                query - 1";
                    return Err(self.unexpected("a predicate", hint));
                }
            }
            Token::Word("true") if closes => {
                self.next += 1;
                return Ok(Condition::Plain(Predicate::True));
            }
            Token::Word(w) if closes && !RESERVED.contains(&w) => {
                let at = self.peek().1.clone();
                let meant = match w {
                    "eq" | "equal" | "equals" | "EQ" => Some("=="),
                    "neq" | "ne" | "NEQ" => Some("!="),
                    "lt" | "LT" => Some("<"),
                    "leq" | "le" | "LEQ" => Some("<="),
                    "gt" | "GT" => Some(">"),
                    "geq" | "ge" | "GEQ" => Some(">="),
                    "True" | "TRUE" | "always" | "all" => Some("true"),
                    _ => None,
                };
                let hint = match meant {
                    Some(sign) => format!("did you mean '{sign}'?"),
                    None => "there are == != < <= > >= and true, or a condition such as key == \
                             query - 1"
                        .into(),
                };
                return Err(self.wrong(at, format!("there is no predicate '{w}'"), hint));
            }
            _ => {}
        }
        Ok(Condition::When(Box::new(self.expression(0)?)))
    }
}
