//! Statements to variables.
//!
//! A selector gets its name's meaning wherever it is used; it is no variable. An elementwise
//! expression reads at most two sequences, as one MLP of the compiler does: what has more is cut
//! into steps with names such as `reverse_difference`, from what they are steps to and what they
//! compute. `if c then a else b` over three sequences becomes
//! `t = if c then a else "else"` and `if t == "else" then b else t`.
//! A selector's width is lowered as [`counting`] does it.

use super::diagnostic::{Diagnostic, did_you_mean, shown};
use super::kind::Kinds;
use super::parser::{Condition, Form, Node, OPERATORS, Parsed, Statement};
use super::{BYTES_WRITTEN_OUT, DEPTH, ENTRIES, Script, VARIABLES};
use crate::Value;
use crate::rasp::library::counting;
use crate::rasp::{
    Binary, Combine, Expr, INDICES, Lambda, Predicate, Program, Rule, Select, TOKENS, Unary,
    Variable,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The word before every sequence in a network.
const BOS: &str = "BOS";

type Result<T> = std::result::Result<T, Diagnostic>;

/// Resolves names and cuts expressions into steps.
pub(super) fn lower(text: &str, parsed: Parsed) -> Result<Script> {
    let Parsed { vocabulary, length, statements, output, words } = parsed;
    let wrong = |at: &Range<usize>, why: String, hint: &str| {
        Err(Diagnostic::new(text, at.clone(), why, hint))
    };
    let vocabulary = tokens_of(text, vocabulary.0, vocabulary.1)?;
    let length = match length {
        (Value::Int(n), at) => match usize::try_from(n) {
            Ok(n @ 1..=ENTRIES) => n,
            _ => {
                let why = format!("sequences have 1 to {ENTRIES} tokens, not {n}");
                return wrong(&at, why, "the length counts tokens without BOS: length: 6");
            }
        },
        (v, at) => {
            let why = format!("a length is an integer, not {}", shown(&v.to_string()));
            return wrong(&at, why, "the longest sequence, without BOS: length: 6");
        }
    };
    let kinds = vocabulary.iter().fold(Kinds::NOTHING, |k, v| k.or(Kinds::of(v)));
    let mut l = Lowering {
        text,
        variables: vec![],
        named: BTreeMap::new(),
        counters: BTreeMap::new(),
        places: BTreeMap::new(),
        words,
        written_out: 0,
    };
    l.named.insert(TOKENS.into(), Named::Sequence(kinds));
    l.named.insert(INDICES.into(), Named::Sequence(Kinds::INT));
    for s in &statements {
        if let Some(first) = l.places.insert(s.name.clone(), s.at.clone()) {
            let line = Diagnostic::new(text, first, "", "").line;
            let why = format!("'{}' is defined twice, first in line {line}", s.name);
            return wrong(&s.at, why, "a variable has one value: choose another name");
        }
    }
    for s in &statements {
        l.statement(s)?;
    }
    super::words::check(text, &vocabulary, &statements)?;
    let (name, at) = output;
    match l.look_up(&name, &at)? {
        Named::Sequence(_) => {}
        Named::Selector(_) => {
            let why = format!("'{name}' is a selector, and the output is a sequence");
            let hint = "count it with selector_width(...), or move values with aggregate(..., x)";
            return wrong(&at, why, hint);
        }
    }
    let program = Program { variables: l.variables, output: name, bos: true };
    Ok(Script { program, vocabulary, length })
}

/// Distinct words and integers.
fn tokens_of(
    text: &str,
    all: Vec<(Value, Range<usize>)>,
    line: Range<usize>,
) -> Result<Vec<Value>> {
    let wrong =
        |at: Range<usize>, why: String, hint: &str| Err(Diagnostic::new(text, at, why, hint));
    let mut seen = BTreeSet::new();
    let mut out = vec![];
    for (v, at) in all {
        let name = v.to_string();
        if !matches!(v, Value::Int(_) | Value::Token(_)) {
            let why = format!("a token is a word or an integer, not {}", shown(&name));
            return wrong(at, why, "a word of the language stands in double quotes: \"true\"");
        }
        if name.contains(char::is_whitespace) || name.is_empty() {
            let why = format!("the token \"{}\" is empty or has a space in it", shown(&name));
            return wrong(at, why, "tokens are separated by spaces: my_mine");
        }
        if name == BOS {
            let why = format!("{BOS} is what a network reads before every sequence");
            return wrong(at, why, "choose another token");
        }
        if !seen.insert(name.clone()) {
            let why = format!("the token {} is in the vocabulary twice", shown(&name));
            return wrong(at, why, "keep one of the two");
        }
        if out.len() == ENTRIES {
            let why = format!("a vocabulary of more than {ENTRIES} tokens");
            return wrong(at, why, "take fewer tokens");
        }
        out.push(v);
    }
    if out.is_empty() {
        let why = "the vocabulary is empty".to_string();
        return wrong(line, why, "name the tokens: vocabulary: a b c");
    }
    Ok(out)
}

/// What a name stands for.
#[derive(Debug, Clone)]
enum Named {
    Sequence(Kinds),
    Selector(Selector),
}

/// A selector over variables.
#[derive(Debug, Clone)]
struct Selector {
    select: Select,
    /// Expressions one inside the other.
    depth: usize,
    /// Bytes of its text with all names written out.
    bytes: usize,
}

/// What an elementwise expression may read.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    /// Sequences; steps are called after this name.
    Sequences(&'a str),
    /// A key and a query of these kinds.
    Pair(Kinds, Kinds),
}

/// Names of a predicate's arguments.
const KEY: &str = "key";
const QUERY: &str = "query";

/// An elementwise function of any number of variables.
#[derive(Debug)]
enum Function {
    Of(String),
    Const(Value),
    Unary(Unary, Box<Function>),
    Binary(Binary, Box<Function>, Box<Function>),
    If(Box<[Function; 3]>),
    Table(Box<Function>, Vec<(Value, Value)>, Option<Value>),
}

impl Function {
    fn children(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Of(_) | Self::Const(_) => vec![],
            Self::Unary(_, a) | Self::Table(a, ..) => vec![a],
            Self::Binary(_, a, b) => vec![a, b],
            Self::If(parts) => parts.iter_mut().collect(),
        }
    }

    /// The first three variables that it reads.
    fn reads(&self) -> Vec<&str> {
        fn add<'a>(f: &'a Function, out: &mut Vec<&'a str>) {
            match f {
                _ if out.len() > 2 => {}
                Function::Of(name) if !out.contains(&name.as_str()) => out.push(name),
                Function::Of(_) | Function::Const(_) => {}
                Function::Unary(_, a) | Function::Table(a, ..) => add(a, out),
                Function::Binary(_, a, b) => {
                    add(a, out);
                    add(b, out);
                }
                Function::If(parts) => parts.iter().for_each(|p| add(p, out)),
            }
        }
        let mut out = vec![];
        add(self, &mut out);
        out
    }

    /// The function of its first variable as x and its second as y.
    fn lambda(&self, x: &str) -> Lambda {
        match self {
            Self::Of(name) if name == x => Lambda::X,
            Self::Of(_) => Lambda::Y,
            Self::Const(v) => Lambda::Const(v.clone()),
            Self::Unary(op, a) => a.lambda(x).then(*op),
            Self::Binary(op, a, b) => a.lambda(x).with(*op, b.lambda(x)),
            Self::If(parts) => {
                let [c, a, b] = parts.as_ref();
                c.lambda(x).choose(a.lambda(x), b.lambda(x))
            }
            Self::Table(of, entries, otherwise) => Lambda::Table {
                of: Box::new(of.lambda(x)),
                entries: entries.clone(),
                otherwise: otherwise.clone(),
            },
        }
    }

    /// What a step is called that computes it.
    fn role(&self) -> &'static str {
        match self {
            Self::Of(_) => "copy",
            Self::Const(_) => "constant",
            Self::Unary(Unary::Neg, _) => "negative",
            Self::Unary(Unary::Round, _) => "rounded",
            Self::Table(..) => "looked_up",
            Self::If(_) => "choice",
            Self::Binary(Binary::Add, ..) => "sum",
            Self::Binary(Binary::Sub, ..) => "difference",
            Self::Binary(Binary::Mul, ..) => "product",
            Self::Binary(Binary::Div, ..) => "quotient",
            Self::Binary(Binary::Mod, ..) => "remainder",
            Self::Unary(Unary::Not, _) | Self::Binary(..) => "test",
        }
    }
}

struct Lowering<'t> {
    text: &'t str,
    variables: Vec<Variable>,
    named: BTreeMap<String, Named>,
    /// How often a step asked for a name.
    counters: BTreeMap<String, usize>,
    /// Where each name of the text is defined.
    places: BTreeMap<String, Range<usize>>,
    /// Every word that stands for a token somewhere.
    words: BTreeSet<String>,
    /// Bytes of the selectors that were written out.
    written_out: usize,
}

impl Lowering<'_> {
    fn wrong<T>(
        &self,
        at: &Range<usize>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Result<T> {
        Err(Diagnostic::new(self.text, at.clone(), why, hint))
    }

    fn look_up(&self, name: &str, at: &Range<usize>) -> Result<Named> {
        if let Some(n) = self.named.get(name) {
            return Ok(n.clone());
        }
        let shown = shown(name);
        if let Some(place) = self.places.get(name) {
            let line = Diagnostic::new(self.text, place.clone(), "", "").line;
            let why = format!("'{shown}' is not defined yet: line {line} defines it");
            return self.wrong(at, why, "move its line up; a variable reads earlier ones");
        }
        let known = self.places.keys().map(String::as_str).chain([TOKENS, INDICES]);
        let hint = match self.words.contains(name) {
            true => format!("the token is written in double quotes: \"{name}\""),
            false => did_you_mean(name, known)
                .unwrap_or("define it on a line before: name = expression".into()),
        };
        self.wrong(at, format!("'{shown}' is not defined"), hint)
    }

    fn statement(&mut self, s: &Statement) -> Result<()> {
        // Steps avoid the names of the text; only those of a count are fixed.
        if self.named.contains_key(&s.name) {
            let why = format!("'{}' is a step of a count of an earlier line", s.name);
            return self.wrong(&s.at, why, "choose another name");
        }
        if self.is_selector(&s.node) {
            let selector = self.selector(&s.node, &s.name)?;
            self.named.insert(s.name.clone(), Named::Selector(selector));
            return Ok(());
        }
        self.sequence(&s.node, &s.name)?;
        Ok(())
    }

    /// Whether an expression means a selector; where it contradicts itself the first operand
    /// decides.
    fn is_selector(&self, node: &Node) -> bool {
        match &node.form {
            Form::Name(n) => matches!(self.named.get(n), Some(Named::Selector(_))),
            Form::Select { .. } | Form::Causal(_) => true,
            Form::Unary(Unary::Not, a) => self.is_selector(a),
            Form::Binary(Binary::And | Binary::Or, a, b) => {
                self.is_selector(a) || self.is_selector(b)
            }
            _ => false,
        }
    }

    /// Adds a variable.
    fn define(&mut self, at: &Range<usize>, v: Variable, kinds: Kinds) -> Result<()> {
        if self.variables.len() >= VARIABLES {
            let why = format!("a program of more than {VARIABLES} variables");
            return self.wrong(at, why, "write a shorter one");
        }
        if self.named.contains_key(&v.name) {
            let why = format!("the name '{}' is needed here and taken", v.name);
            return self.wrong(at, why, "choose another name");
        }
        self.named.insert(v.name.clone(), Named::Sequence(kinds));
        self.variables.push(v);
        Ok(())
    }

    /// A free name for a step.
    fn step_name(&mut self, base: &str, role: &str) -> String {
        let name = format!("{base}_{role}");
        let counter = self.counters.entry(name.clone()).or_insert(0);
        loop {
            *counter += 1;
            let candidate = if *counter == 1 { name.clone() } else { format!("{name}_{counter}") };
            if !self.named.contains_key(&candidate) && !self.places.contains_key(&candidate) {
                return candidate;
            }
        }
    }

    /// The variable that an expression is: itself if it is a name, else a step.
    fn operand(&mut self, node: &Node, base: &str, role: &str) -> Result<(String, Kinds)> {
        if let Form::Name(n) = &node.form {
            let kinds = self.variable(n, &node.at)?;
            return Ok((n.clone(), kinds));
        }
        let name = self.step_name(base, role);
        let kinds = self.sequence(node, &name)?;
        Ok((name, kinds))
    }

    /// The kinds of a named sequence.
    fn variable(&self, name: &str, at: &Range<usize>) -> Result<Kinds> {
        match self.look_up(name, at)? {
            Named::Sequence(kinds) => Ok(kinds),
            Named::Selector(_) => {
                let why = format!("'{name}' is a selector, and a sequence belongs here");
                let hint = format!(
                    "count it with selector_width({name}), or move values with aggregate({name}, x)"
                );
                self.wrong(at, why, hint)
            }
        }
    }

    /// Defines `name` as a sequence.
    fn sequence(&mut self, node: &Node, name: &str) -> Result<Kinds> {
        match &node.form {
            Form::Aggregate { selector, of, combine, default } => {
                let select = self.selected(selector, name)?;
                let (x, mut kinds) = self.operand(of, name, "values")?;
                if *combine == Combine::Mean {
                    if !kinds.can_be(Kinds::NUMBER) {
                        let why = format!("'mean' wants numbers, not {}", kinds.describe());
                        return self.wrong(&of.at, why, "aggregate(...) moves words");
                    }
                    kinds = kinds.or(Kinds::REAL);
                }
                kinds = kinds.or(Kinds::of(default));
                let expr =
                    Expr::Aggregate { select, x, combine: *combine, default: default.clone() };
                self.define(&node.at, Variable { name: name.into(), expr }, kinds)?;
                Ok(kinds)
            }
            Form::Width(selector) => {
                let select = self.selected(selector, name)?;
                let kinds = [Kinds::INT, Kinds::REAL, Kinds::INT];
                for (v, kinds) in counting(name, select).into_iter().zip(kinds) {
                    if let Some(place) = self.places.get(&v.name).filter(|_| v.name != name) {
                        let why = format!("'{}' is the name of a step of '{name}'", v.name);
                        return self.wrong(&place.clone(), why, "choose another name");
                    }
                    self.define(&node.at, v, kinds)?;
                }
                Ok(Kinds::INT)
            }
            _ => {
                let (f, kinds) = self.function(node, Scope::Sequences(name))?;
                let f = self.cut(f, name, &node.at)?;
                self.elementwise(f, name, &node.at, kinds)?;
                Ok(kinds)
            }
        }
    }

    /// Defines `name` as a function of at most two variables.
    fn elementwise(
        &mut self,
        f: Function,
        name: &str,
        at: &Range<usize>,
        kinds: Kinds,
    ) -> Result<()> {
        let reads = f.reads();
        let expr = match reads.as_slice() {
            [] => {
                let f = f.lambda("");
                let value = f.apply(&Value::None, &Value::None).map(|v| v.into_owned());
                match value {
                    Ok(Value::Unknown) => {
                        let why = "this has no value: it divides by zero, is too large, or looks \
                                   up what the table lacks";
                        return self.wrong(at, why, "write the value itself");
                    }
                    Ok(value) => Expr::Constant(value),
                    Err(why) => return self.wrong(at, why, "operands are of one kind"),
                }
            }
            [x] => Expr::Map { f: f.lambda(x), x: x.to_string() },
            [x, y, ..] => Expr::SequenceMap { f: f.lambda(x), x: x.to_string(), y: y.to_string() },
        };
        self.define(at, Variable { name: name.into(), expr }, kinds)
    }

    /// Makes parts of a function steps until it reads two variables at most.
    fn cut(&mut self, mut f: Function, base: &str, at: &Range<usize>) -> Result<Function> {
        // First what reads too many itself, then what reads two.
        for most in [2, 1] {
            for i in 0..f.children().len() {
                if f.reads().len() <= 2 {
                    return Ok(f);
                }
                if let Some(child) = f.children().into_iter().nth(i)
                    && child.reads().len() > most
                {
                    let part = std::mem::replace(child, Function::Const(Value::None));
                    let step = self.step(part, base, at)?;
                    if let Some(child) = f.children().into_iter().nth(i) {
                        *child = Function::Of(step);
                    }
                }
            }
        }
        if f.reads().len() <= 2 {
            return Ok(f);
        }
        match f {
            // Three variables, one in each part.
            Function::If(parts) => {
                let [condition, a, b] = *parts;
                // No value of the program is this word.
                let mut word = "else".to_string();
                while self.words.contains(&word) {
                    word.push('_');
                }
                let other = || Function::Const(Value::token(word.clone()));
                let t = self.step(Function::If(Box::new([condition, a, other()])), base, at)?;
                let is_other = Function::Binary(
                    Binary::Eq,
                    Box::new(Function::Of(t.clone())),
                    Box::new(other()),
                );
                Ok(Function::If(Box::new([is_other, b, Function::Of(t)])))
            }
            _ => Ok(f),
        }
    }

    /// A variable for a part of an expression.
    fn step(&mut self, part: Function, base: &str, at: &Range<usize>) -> Result<String> {
        let part = self.cut(part, base, at)?;
        let name = self.step_name(base, part.role());
        // Its kinds were checked where it stands.
        self.elementwise(part, &name, at, Kinds::NOTHING)?;
        Ok(name)
    }

    /// A function of named sequences, whose other parts become steps.
    fn function(&mut self, node: &Node, scope: Scope) -> Result<(Function, Kinds)> {
        let boxed = |(f, kinds): (Function, Kinds)| (Box::new(f), kinds);
        match &node.form {
            Form::Value(v) => Ok((Function::Const(v.clone()), Kinds::of(v))),
            Form::Name(n) => match scope {
                Scope::Sequences(_) => {
                    let kinds = self.variable(n, &node.at)?;
                    Ok((Function::Of(n.clone()), kinds))
                }
                Scope::Pair(..) => {
                    let why = format!("a predicate compares a key with a query and sees no '{n}'");
                    let hint = match self.words.contains(n) {
                        true => format!("the token is written in double quotes: \"{n}\""),
                        false => "write 'key' or 'query', and give select(...) the sequences that \
                                  they come from"
                            .into(),
                    };
                    self.wrong(&node.at, why, hint)
                }
            },
            Form::Key | Form::Query => {
                let is_key = matches!(node.form, Form::Key);
                let name = if is_key { KEY } else { QUERY };
                match scope {
                    Scope::Pair(key, query) => {
                        Ok((Function::Of(name.into()), if is_key { key } else { query }))
                    }
                    Scope::Sequences(_) => {
                        let why = format!("'{name}' has a meaning in a predicate only");
                        let hint = "a predicate is the third argument of select(keys, queries, \
                                    key == query - 1)";
                        self.wrong(&node.at, why, hint)
                    }
                }
            }
            Form::Unary(op, a) => {
                let place = &a.at;
                let (a, kinds) = boxed(self.function(a, scope)?);
                match kinds.unary(*op) {
                    Ok(out) => Ok((Function::Unary(*op, a), out)),
                    Err(wanted) => {
                        let name = match op {
                            Unary::Neg => "-",
                            Unary::Not => "not",
                            Unary::Round => "round",
                        };
                        self.other_kind(place, name, wanted, kinds)
                    }
                }
            }
            Form::Binary(op, a, b) => {
                let (at_a, at_b) = (&a.at, &b.at);
                let (a, kinds_a) = boxed(self.function(a, scope)?);
                let (b, kinds_b) = boxed(self.function(b, scope)?);
                let sign = OPERATORS.iter().find(|(_, o, _)| o == op).map_or("", |(s, ..)| s);
                if let Some((kinds, wanted)) = Kinds::wanted(*op) {
                    for (at, k) in [(at_a, kinds_a), (at_b, kinds_b)] {
                        if !k.can_be(kinds) {
                            return self.other_kind(at, sign, wanted, k);
                        }
                    }
                }
                let orders = matches!(op, Binary::Lt | Binary::Leq | Binary::Gt | Binary::Geq);
                if orders && !kinds_a.ordered(kinds_b) {
                    return self.no_order(&node.at, sign, kinds_a, kinds_b);
                }
                Ok((Function::Binary(*op, a, b), kinds_a.binary(*op, kinds_b)))
            }
            Form::If(parts) => {
                let [condition, a, b] = parts.as_ref();
                let (c, kinds) = self.function(condition, scope)?;
                if !kinds.can_be(Kinds::TRUTH) {
                    return self.other_kind(&condition.at, "if", "true or false", kinds);
                }
                let (a, kinds_a) = self.function(a, scope)?;
                let (b, kinds_b) = self.function(b, scope)?;
                Ok((Function::If(Box::new([c, a, b])), kinds_a.or(kinds_b)))
            }
            Form::Table { of, entries, otherwise } => {
                let (of, _) = boxed(self.function(of, scope)?);
                let values = entries.iter().map(|(_, v)| v).chain(otherwise);
                let kinds = values.fold(Kinds::NOTHING, |k, v| k.or(Kinds::of(v)));
                Ok((Function::Table(of, entries.clone(), otherwise.clone()), kinds))
            }
            Form::Aggregate { .. } | Form::Width(_) => match scope {
                Scope::Sequences(base) => {
                    let role = match node.form {
                        Form::Aggregate { combine: Combine::Mean, .. } => "mean",
                        Form::Aggregate { .. } => "aggregate",
                        _ => "width",
                    };
                    let name = self.step_name(base, role);
                    let kinds = self.sequence(node, &name)?;
                    Ok((Function::Of(name), kinds))
                }
                Scope::Pair(..) => {
                    let why = "a predicate compares one key with one query";
                    let hint = "give this a name on a line before, and select by it";
                    self.wrong(&node.at, why, hint)
                }
            },
            Form::Select { .. } | Form::Causal(_) => {
                let why = "this is a selector, and a sequence belongs here";
                let hint = "count it with selector_width(...), or move values with \
                            aggregate(..., x)";
                self.wrong(&node.at, why, hint)
            }
        }
    }

    fn other_kind<T>(&self, at: &Range<usize>, op: &str, wanted: &str, kinds: Kinds) -> Result<T> {
        let why = format!("'{op}' wants {wanted}, not {}", kinds.describe());
        let hint = match kinds {
            Kinds::TOKEN => "a table turns words into other values: {a: 1, else: 0}[x]",
            Kinds::REAL if wanted == "integers" => "round(x) gives integers",
            Kinds::TRUTH => "if c then 1 else 0 turns true and false into numbers",
            _ => "a comparison gives true or false: x > 0",
        };
        self.wrong(at, why, hint)
    }

    fn no_order<T>(&self, at: &Range<usize>, sign: &str, a: Kinds, b: Kinds) -> Result<T> {
        let why = format!("'{sign}' finds no order between {} and {}", a.describe(), b.describe());
        self.wrong(at, why, "numbers compare with numbers, words with words")
    }

    /// A selector in its place: all that its names stand for is written out.
    fn selected(&mut self, node: &Node, base: &str) -> Result<Select> {
        Ok(self.selector(node, base)?.select)
    }

    fn selector(&mut self, node: &Node, base: &str) -> Result<Selector> {
        let bytes = node.at.len();
        match &node.form {
            Form::Name(n) => match self.look_up(n, &node.at)? {
                Named::Selector(s) => {
                    self.written_out += s.bytes;
                    if self.written_out > BYTES_WRITTEN_OUT {
                        let why = "this program is too large once its selectors are written out";
                        return self.wrong(&node.at, why, "select with fewer conditions");
                    }
                    Ok(s)
                }
                Named::Sequence(_) => {
                    let why = format!("'{n}' is a sequence, and a selector belongs here");
                    let hint = format!("a selector compares sequences: select({n}, {n}, ==)");
                    self.wrong(&node.at, why, hint)
                }
            },
            Form::Select { keys, queries, condition } => {
                let (key_name, key) = self.operand(keys, base, "keys")?;
                let (query_name, query) = self.operand(queries, base, "queries")?;
                let (predicate, depth) = match condition {
                    Condition::Plain(p) => {
                        let orders = [
                            ("<", Predicate::Lt),
                            ("<=", Predicate::Leq),
                            (">", Predicate::Gt),
                            (">=", Predicate::Geq),
                        ];
                        if let Some((sign, _)) = orders.iter().find(|(_, o)| o == p)
                            && !key.ordered(query)
                        {
                            return self.no_order(&node.at, sign, key, query);
                        }
                        (p.clone(), 1)
                    }
                    Condition::When(f) => {
                        let (g, kinds) = self.function(f, Scope::Pair(key, query))?;
                        if !kinds.can_be(Kinds::TRUTH) {
                            return self.other_kind(&f.at, "select", "true or false", kinds);
                        }
                        (Predicate::When(g.lambda(KEY)), 1 + f.depth)
                    }
                };
                let select = Select::new(&key_name, &query_name, predicate);
                Ok(Selector { select, depth, bytes })
            }
            Form::Causal(a) => {
                let mut s = self.selector(a, base)?;
                s.select.causal = true;
                Ok(s)
            }
            Form::Unary(Unary::Not, a) => {
                let s = self.selector(a, base)?;
                if s.select.causal {
                    return self.causal_inside(&node.at, "not");
                }
                let rule = Rule::Not(Box::new(s.select.rule));
                self.joined(node, rule, false, s.depth, s.bytes)
            }
            Form::Binary(op @ (Binary::And | Binary::Or), a, b) => {
                let a = self.selector(a, base)?;
                let b = self.selector(b, base)?;
                let (one, other) = (a.select.causal, b.select.causal);
                if *op == Binary::Or && one != other {
                    return self.causal_inside(&node.at, "or");
                }
                let (depth, bytes) = (a.depth.max(b.depth), a.bytes + b.bytes);
                let (a, b) = (Box::new(a.select.rule), Box::new(b.select.rule));
                let rule = if *op == Binary::And { Rule::And(a, b) } else { Rule::Or(a, b) };
                self.joined(node, rule, one || other, depth, bytes)
            }
            _ => {
                let why = "this is a sequence, and a selector belongs here";
                let hint = "a selector compares sequences: select(keys, queries, ==)";
                self.wrong(&node.at, why, hint)
            }
        }
    }

    fn joined(
        &self,
        node: &Node,
        rule: Rule,
        causal: bool,
        depth: usize,
        bytes: usize,
    ) -> Result<Selector> {
        if depth >= DEPTH {
            let why = format!("more than {DEPTH} selectors lie one inside the other");
            return self.wrong(&node.at, why, "select with fewer conditions");
        }
        Ok(Selector { select: Select { rule, causal }, depth: depth + 1, bytes })
    }

    fn causal_inside<T>(&self, at: &Range<usize>, word: &str) -> Result<T> {
        let why = format!("'{word}' over a causal selector is not causal");
        let hint = "put causal(...) around the whole selector, or write the cut as a condition: \
                    select(indices, indices, <=)";
        self.wrong(at, why, hint)
    }
}
