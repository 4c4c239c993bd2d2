//! From a program to one whose every variable is written by one component.
//!
//! | what a program says | what it becomes |
//! |---|---|
//! | a width | attention writes 1 / (1 + width), an MLP makes the width from it |
//! | `a and b` of selectors | one head: their scores add up |
//! | `or` and `not` over several variables | the same over a product variable, `sort_keys` |
//! | a causal selection beside others that are not | `and indices <= indices` |
//! | a number that is compared, or read with another variable | its class by thresholds, `x_of_y` |
//! | a function of a number | the same by thresholds, where rounding could change it |
//!
//! The lowered program says the same on every input, and it is the one that the truth holds.

use super::domain::{Domain, Form, apply, gathered, image, image_of_two};
use crate::Error;
use flyroom_explanation::rasp::{
    Binary, Expr, INDICES, Lambda, Predicate, Program, Rule, Script, Select, TOKENS, Unary,
    Variable, library,
};
use flyroom_explanation::{Code, Value};
use std::collections::BTreeMap;

/// Two numbers that a threshold parts lie at least so far from each other.
pub(super) const GAP: f64 = 1e-3;
/// Numbers in a network are right to this, at worst.
const ROUNDING: f64 = 1e-5;
/// Combinations of values of one neuron layer, or of one selection, at most.
const COMBINATIONS: usize = 1 << 14;

/// A lowered program.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lowered {
    pub program: Program,
    /// For each variable, `tokens` and `indices` before the program's.
    pub steps: Vec<Step>,
    /// Whether no head may look ahead.
    pub causal: bool,
}

/// How a variable gets its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub name: String,
    pub domain: Domain,
    pub writer: Writer,
}

/// Who writes a variable; numbers are indices of steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Writer {
    /// Embedding of the tokens: `tokens` and constants.
    Embed,
    /// Embedding of the positions.
    Positions,
    /// Nobody: a width, before it is a share.
    Nobody,
    /// A head that gathers values of a variable.
    Gather { conjuncts: Vec<Conjunct>, x: usize, default: Value },
    /// A head that writes 1 / (1 + width).
    Share { conjuncts: Vec<Conjunct> },
    /// Neurons: a table over one or two one-hot variables, or over a number by thresholds.
    Map { f: Lambda, x: usize, y: Option<usize> },
    /// Neurons: constant + sum of factor * variable.
    Affine { terms: Vec<(usize, f64)>, constant: f64 },
}

/// Pairs of a key and a query that a selection allows; what it selects, all conjuncts allow.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conjunct {
    pub keys: usize,
    pub queries: usize,
    /// `[query value][key value]`
    pub allowed: Vec<Vec<bool>>,
}

struct Lowering<'a> {
    organism: &'a str,
    length: usize,
    source: &'a Program,
    causal: bool,
    out: Vec<Variable>,
    steps: Vec<Step>,
    /// Products that were made, by their factors.
    products: BTreeMap<Vec<usize>, usize>,
    /// Factors of each product's values, in order.
    factors: BTreeMap<usize, Vec<usize>>,
}

/// Lowers a program for sequences of its vocabulary and length.
pub(super) fn lower(organism: &str, script: &Script) -> Result<Lowered, Error> {
    let selects = |v: &Variable| match &v.expr {
        Expr::Aggregate { select, .. } | Expr::SelectorWidth { select } => Some(select.causal),
        _ => None,
    };
    let mut l = Lowering {
        organism,
        length: script.length,
        source: &script.program,
        causal: script.program.variables.iter().filter_map(selects).all(|c| c),
        out: vec![],
        steps: vec![],
        products: BTreeMap::new(),
        factors: BTreeMap::new(),
    };
    let tokens = Domain { form: Form::OneHot, values: script.vocabulary.clone(), none: false };
    l.push(TOKENS, tokens, Writer::Embed);
    let indices = (0..script.length as i64).map(Value::Int).collect();
    let indices = Domain { form: Form::OneHot, values: indices, none: false };
    l.push(INDICES, indices, Writer::Positions);
    for v in &script.program.variables {
        l.variable(v)?;
    }
    let output = script.program.output.clone();
    if l.steps[l.slot(&output)?].domain.all().len() == 1 {
        let why = "is the same on every input; hint: return what depends on tokens or on indices";
        return l.refuse(&output, why);
    }
    let program = Program { variables: l.out, output, bos: script.program.bos };
    Ok(Lowered { program, steps: l.steps, causal: l.causal })
}

/// 1 / (1 + x), as a width is made a share.
fn to_share() -> Lambda {
    let one = || Lambda::constant(1);
    one().with(Binary::Div, Lambda::X.with(Binary::Add, one()))
}

impl Lowering<'_> {
    fn refuse<T>(&self, name: &str, why: impl std::fmt::Display) -> Result<T, Error> {
        Err(Error::variable(self.organism, name, &format!("it {why}")))
    }

    fn push(&mut self, name: &str, domain: Domain, writer: Writer) -> usize {
        self.steps.push(Step { name: name.into(), domain, writer });
        self.steps.len() - 1
    }

    fn define(&mut self, name: &str, expr: Expr, domain: Domain, writer: Writer) -> usize {
        self.out.push(Variable { name: name.into(), expr });
        self.push(name, domain, writer)
    }

    fn slot(&self, name: &str) -> Result<usize, Error> {
        match self.steps.iter().position(|s| s.name == name) {
            Some(i) => Ok(i),
            None => Err(Error::Truth(format!("no variable '{name}' before it is read"))),
        }
    }

    /// A name that no variable of the program has, and no step so far.
    fn fresh(&self, wanted: String) -> String {
        let taken = |n: &String| {
            self.steps.iter().any(|s| s.name == *n)
                || self.source.variables.iter().any(|v| v.name == *n)
        };
        let numbered = (2..).map(|i| format!("{wanted}_{i}"));
        [wanted.clone()].into_iter().chain(numbered).find(|n| !taken(n)).unwrap_or(wanted.clone())
    }

    fn variable(&mut self, v: &Variable) -> Result<(), Error> {
        let name = v.name.as_str();
        match &v.expr {
            Expr::Constant(c) => {
                let domain = self.found(name, Domain::of([c.clone()]))?;
                self.define(name, v.expr.clone(), domain, Writer::Embed);
            }
            Expr::Map { f, x } => self.map(name, f, x)?,
            Expr::SequenceMap { f, x, y } if x == y => self.map(name, &on_diagonal(f), x)?,
            Expr::SequenceMap { f, x, y } => self.map_of_two(name, f, x, y)?,
            Expr::Aggregate { select, x, combine, default } => {
                let (select, conjuncts) = self.select(name, select)?;
                let at = self.slot(x)?;
                let domain = gathered(&self.steps[at].domain, *combine, default, self.length);
                let domain = self.found(name, domain)?;
                let (x, combine, default) = (x.clone(), *combine, default.clone());
                let writer = Writer::Gather { conjuncts, x: at, default: default.clone() };
                self.define(name, Expr::Aggregate { select, x, combine, default }, domain, writer);
            }
            Expr::SelectorWidth { select } => self.width(name, select)?,
        }
        Ok(())
    }

    fn found(&self, name: &str, d: Result<Domain, String>) -> Result<Domain, Error> {
        d.or_else(|why| self.refuse(name, why))
    }

    /// A width that nothing reads but the share made from it stays as it is.
    fn width(&mut self, name: &str, select: &Select) -> Result<(), Error> {
        let widths = (0..=self.length as i64).map(Value::Int);
        let domain = self.found(name, Domain::of(widths))?;
        let readers: Vec<&Variable> =
            self.source.variables.iter().filter(|v| v.expr.reads().contains(&name)).collect();
        let shared = matches!(
            readers[..], [Variable { expr: Expr::Map { f, .. }, .. }] if *f == to_share()
        );
        let (select, conjuncts) = self.select(name, select)?;
        if shared && self.source.output != name {
            self.define(name, Expr::SelectorWidth { select }, domain, Writer::Nobody);
            let at = self.steps.len() - 1;
            // The share is the next step that reads it; its conjuncts wait here.
            self.steps[at].writer = Writer::Share { conjuncts };
            return Ok(());
        }
        let [width, share, counted] = library::counting(name, select);
        let width_name = self.fresh(width.name);
        let share_name = self.fresh(share.name);
        self.define(&width_name, width.expr, domain.clone(), Writer::Share { conjuncts });
        let Expr::Map { f, .. } = share.expr else { return Ok(()) };
        self.map(&share_name, &f, &width_name)?;
        let Expr::Map { f, .. } = counted.expr else { return Ok(()) };
        self.map(name, &f, &share_name)
    }

    fn map(&mut self, name: &str, f: &Lambda, x: &str) -> Result<(), Error> {
        let at = self.slot(x)?;
        // From a width, which no component holds, attention itself makes the share.
        if let Writer::Share { conjuncts } = self.steps[at].writer.clone()
            && *f == to_share()
        {
            self.steps[at].writer = Writer::Nobody;
            let domain = self.found(name, image(f, &self.steps[at].domain))?;
            let expr = Expr::Map { f: f.clone(), x: x.into() };
            self.define(name, expr, domain, Writer::Share { conjuncts });
            return Ok(());
        }
        let domain = self.steps[at].domain.clone();
        if domain.form == Form::Number {
            if let Some((a, _, c)) = affine(f).filter(|_| !domain.none) {
                let image = self.found(name, image(f, &domain))?;
                if image.form == Form::Number {
                    let writer = Writer::Affine { terms: vec![(at, a)], constant: c };
                    self.define(name, Expr::Map { f: f.clone(), x: x.into() }, image, writer);
                    return Ok(());
                }
            }
            let f = self.by_thresholds(name, f, &domain)?;
            let image = self.found(name, image(&f, &domain))?;
            let writer = Writer::Map { f: f.clone(), x: at, y: None };
            self.define(name, Expr::Map { f, x: x.into() }, image, writer);
            return Ok(());
        }
        let image = self.found(name, image(f, &domain))?;
        let writer = Writer::Map { f: f.clone(), x: at, y: None };
        self.define(name, Expr::Map { f: f.clone(), x: x.into() }, image, writer);
        Ok(())
    }

    fn map_of_two(&mut self, name: &str, f: &Lambda, x: &str, y: &str) -> Result<(), Error> {
        let (i, j) = (self.slot(x)?, self.slot(y)?);
        let (dx, dy) = (self.steps[i].domain.clone(), self.steps[j].domain.clone());
        self.bound(name, dx.values.len(), dy.values.len())?;
        let numbers = dx.form == Form::Number || dy.form == Form::Number;
        let plain = |d: &Domain| {
            !d.none && d.values.iter().all(|v| matches!(v, Value::Int(_) | Value::Real(_)))
        };
        if let Some((a, b, c)) = affine(f).filter(|_| numbers && plain(&dx) && plain(&dy)) {
            let image = self.found(name, image_of_two(f, &dx, &dy))?;
            if image.form == Form::Number {
                let expr = Expr::SequenceMap { f: f.clone(), x: x.into(), y: y.into() };
                let writer = Writer::Affine { terms: vec![(i, a), (j, b)], constant: c };
                self.define(name, expr, image, writer);
                return Ok(());
            }
        }
        let row = |u: &Value| dy.all().iter().map(|v| apply(f, u, v)).collect::<Vec<_>>();
        let column = |v: &Value| dx.all().iter().map(|u| apply(f, u, v)).collect::<Vec<_>>();
        let i = self.classes(name, i, &row)?;
        let j = self.classes(name, j, &column)?;
        let image = image_of_two(f, &self.steps[i].domain, &self.steps[j].domain);
        let image = self.found(name, image)?;
        let (x, y) = (self.steps[i].name.clone(), self.steps[j].name.clone());
        let writer = Writer::Map { f: f.clone(), x: i, y: Some(j) };
        self.define(name, Expr::SequenceMap { f: f.clone(), x, y }, image, writer);
        Ok(())
    }

    fn bound(&self, name: &str, x: usize, y: usize) -> Result<(), Error> {
        if x.saturating_mul(y) > COMBINATIONS {
            return self.refuse(
                name,
                format!(
                    "combines {x} values with {y}, more than {COMBINATIONS} together; hint: a \
                     shorter length or a smaller vocabulary"
                ),
            );
        }
        Ok(())
    }

    /// The variable itself if it is one-hot; of a number, the class of its value, two values being
    /// of one class where `what` is the same. The first value of a class stands for it.
    fn classes<T: PartialEq>(
        &mut self,
        name: &str,
        at: usize,
        what: &impl Fn(&Value) -> T,
    ) -> Result<usize, Error> {
        let domain = self.steps[at].domain.clone();
        if domain.form == Form::OneHot {
            return Ok(at);
        }
        let x = self.steps[at].name.clone();
        let mut classes: Vec<(Value, T)> = vec![];
        let mut entries = vec![];
        for v in &domain.values {
            let w = what(v);
            let class = match classes.iter().find(|(_, c)| *c == w) {
                Some((first, _)) => first.clone(),
                None => {
                    classes.push((v.clone(), w));
                    v.clone()
                }
            };
            entries.push((v.clone(), class));
        }
        let f = Lambda::Table { of: Box::new(Lambda::X), entries, otherwise: None };
        let f = self.by_thresholds(name, &f, &domain)?;
        let named = self.fresh(format!("{x}_of_{name}"));
        let values = classes.into_iter().map(|(v, _)| v).collect();
        let image = Domain { form: Form::OneHot, values, none: false };
        let writer = Writer::Map { f: f.clone(), x: at, y: None };
        Ok(self.define(&named, Expr::Map { f, x }, image, writer))
    }

    /// A function of a number that gives the same on numbers that are a little off: itself, or
    /// `if x < t then .. else ..`.
    fn by_thresholds(&self, name: &str, f: &Lambda, domain: &Domain) -> Result<Lambda, Error> {
        let images = thresholds(f, domain).or_else(|why| self.refuse(name, why))?;
        let near = |x: f64, d: f64| apply(f, &Value::Real(x + d * x.abs().max(1.0)), &Value::None);
        let robust = domain.values.iter().filter_map(|v| Some((v, v.number()?))).all(|(v, x)| {
            let there = apply(f, v, &Value::None);
            [-ROUNDING, ROUNDING].iter().all(|d| near(x, *d) == there)
        });
        if robust {
            return Ok(f.clone());
        }
        let mut images = images.into_iter().rev();
        let Some((_, highest)) = images.next() else { return Ok(f.clone()) };
        Ok(images.fold(Lambda::Const(highest), |above, (upper, image)| {
            let below = Lambda::X.with(Binary::Lt, Lambda::constant(upper));
            below.choose(Lambda::Const(image), above)
        }))
    }

    /// A selection as conjuncts, and the same over the variables that these read.
    fn select(&mut self, name: &str, s: &Select) -> Result<(Select, Vec<Conjunct>), Error> {
        let mut parts = vec![];
        split(&s.rule, &mut parts);
        if s.causal && !self.causal {
            parts.push(Rule::Pairs {
                keys: INDICES.into(),
                queries: INDICES.into(),
                predicate: Predicate::Leq,
            });
        }
        // Parts over the same variables are one conjunct.
        let mut groups: Vec<(Vec<String>, Vec<String>, Rule)> = vec![];
        for part in parts {
            let (mut keys, mut queries) = (vec![], vec![]);
            sides(&part, &mut keys, &mut queries);
            match groups.iter_mut().find(|(k, q, _)| *k == keys && *q == queries) {
                Some((_, _, rule)) => {
                    *rule = Rule::And(Box::new(rule.clone()), Box::new(part));
                }
                None => groups.push((keys, queries, part)),
            }
        }
        let mut conjuncts = vec![];
        let mut rules = vec![];
        for (keys, queries, rule) in groups {
            let (conjunct, rule) = self.conjunct(name, &keys, &queries, &rule)?;
            conjuncts.push(conjunct);
            rules.push(rule);
        }
        let rule = rules.into_iter().reduce(|a, b| Rule::And(Box::new(a), Box::new(b)));
        let Some(rule) = rule else { return self.refuse(name, "selects by no rule") };
        Ok((Select { rule, causal: s.causal && self.causal }, conjuncts))
    }

    fn conjunct(
        &mut self,
        name: &str,
        keys: &[String],
        queries: &[String],
        rule: &Rule,
    ) -> Result<(Conjunct, Rule), Error> {
        let several = keys.len() > 1 || queries.len() > 1;
        let k = self.side(name, keys, several, |u, v| holds(rule, u, v), queries)?;
        let q = self.side(name, queries, several, |u, v| holds(rule, v, u), keys)?;
        let (dk, dq) = (self.steps[k].domain.clone(), self.steps[q].domain.clone());
        self.bound(name, dk.values.len(), dq.values.len())?;
        // A product's value stands for a value of each factor.
        let parts = |l: &Self, at: usize, names: &[String], i: usize| -> Vec<(String, Value)> {
            let values = l.unfold(at, i);
            names.iter().cloned().zip(values).collect()
        };
        let columns: Vec<_> = (0..dk.values.len()).map(|i| parts(self, k, keys, i)).collect();
        let rows: Vec<_> = (0..dq.values.len()).map(|i| parts(self, q, queries, i)).collect();
        let allowed: Vec<Vec<bool>> =
            rows.iter().map(|r| columns.iter().map(|c| holds(rule, c, r)).collect()).collect();
        let (key, query) = (self.steps[k].name.clone(), self.steps[q].name.clone());
        let rule = if several {
            let predicate = Predicate::When(table(&dk.values, &dq.values, &allowed));
            Rule::Pairs { keys: key, queries: query, predicate }
        } else {
            renamed(rule, &key, &query)
        };
        Ok((Conjunct { keys: k, queries: q, allowed }, rule))
    }

    /// The one-hot variable that stands for one side of a conjunct: itself, its classes, or a
    /// product.
    fn side(
        &mut self,
        name: &str,
        names: &[String],
        several: bool,
        holds: impl Fn(&[(String, Value)], &[(String, Value)]) -> bool,
        others: &[String],
    ) -> Result<usize, Error> {
        let slots = names.iter().map(|n| self.slot(n)).collect::<Result<Vec<_>, _>>()?;
        if !several {
            let other = self.steps[self.slot(&others[0])?].domain.all();
            let what = |u: &Value| -> Vec<bool> {
                let u = [(names[0].clone(), u.clone())];
                other.iter().map(|v| holds(&u, &[(others[0].clone(), v.clone())])).collect()
            };
            return self.classes(name, slots[0], &what);
        }
        let mut one_hot = vec![];
        for (n, at) in names.iter().zip(slots) {
            if self.steps[at].domain.none {
                let why = format!(
                    "selects by 'or' or 'not' over several variables, of which '{n}' may be \
                     none; hint: give '{n}' a default"
                );
                return self.refuse(name, why);
            }
            // Its classes are its values.
            one_hot.push(self.classes(name, at, &Value::clone)?);
        }
        self.product(name, &one_hot)
    }

    fn product(&mut self, name: &str, slots: &[usize]) -> Result<usize, Error> {
        if let Some(&at) = self.products.get(slots) {
            return Ok(at);
        }
        let Some((&last, before)) = slots.split_last() else {
            return self.refuse(name, "selects by no variable");
        };
        if before.is_empty() {
            return Ok(last);
        }
        let first = self.product(name, before)?;
        let (dx, dy) = (self.steps[first].domain.clone(), self.steps[last].domain.clone());
        self.bound(name, dx.values.len(), dy.values.len())?;
        let pair = |u: &Value, v: &Value| Value::token(format!("{u},{v}"));
        let mut f = Lambda::Const(Value::None);
        let mut values = vec![];
        for u in dx.values.iter().rev() {
            let entries = dy.values.iter().map(|v| (v.clone(), pair(u, v))).collect();
            let row = Lambda::Table { of: Box::new(Lambda::Y), entries, otherwise: None };
            let here = Lambda::X.with(Binary::Eq, Lambda::Const(u.clone()));
            f = here.choose(row, f);
        }
        for u in &dx.values {
            values.extend(dy.values.iter().map(|v| pair(u, v)));
        }
        let domain = Domain { form: Form::OneHot, values, none: false };
        let (x, y) = (self.steps[first].name.clone(), self.steps[last].name.clone());
        let named = self.fresh(format!("{x}_and_{y}"));
        let writer = Writer::Map { f: f.clone(), x: first, y: Some(last) };
        let at = self.define(&named, Expr::SequenceMap { f, x, y }, domain, writer);
        self.products.insert(slots.to_vec(), at);
        self.factors.insert(at, vec![first, last]);
        Ok(at)
    }

    /// Values of the factors for value `i` of a product; the value itself of another variable.
    fn unfold(&self, at: usize, i: usize) -> Vec<Value> {
        match self.factors.get(&at).map(Vec::as_slice) {
            Some(&[first, last]) => {
                let n = self.steps[last].domain.values.len();
                let mut out = self.unfold(first, i / n);
                out.push(self.steps[last].domain.values[i % n].clone());
                out
            }
            _ => vec![self.steps[at].domain.values[i].clone()],
        }
    }
}

/// Whether a rule allows a key and a query, given the values of their variables.
fn holds(rule: &Rule, key: &[(String, Value)], query: &[(String, Value)]) -> bool {
    fn of<'v>(values: &'v [(String, Value)], name: &str) -> &'v Value {
        values.iter().find(|(n, _)| n == name).map_or(&Value::None, |(_, v)| v)
    }
    // What is no pair of the program, such as a token against a number, is not selected.
    rule.selects(&|n: &str| of(key, n), &|n: &str| of(query, n)).ok().flatten().unwrap_or(false)
}

/// Conjuncts of a rule.
fn split(rule: &Rule, out: &mut Vec<Rule>) {
    match rule {
        Rule::And(a, b) => {
            split(a, out);
            split(b, out);
        }
        other => out.push(other.clone()),
    }
}

/// Variables of the keys and of the queries, each once.
fn sides(rule: &Rule, keys: &mut Vec<String>, queries: &mut Vec<String>) {
    match rule {
        Rule::Pairs { keys: k, queries: q, .. } => {
            for (name, out) in [(k, keys), (q, queries)] {
                if !out.contains(name) {
                    out.push(name.clone());
                }
            }
        }
        Rule::And(a, b) | Rule::Or(a, b) => {
            sides(a, keys, queries);
            sides(b, keys, queries);
        }
        Rule::Not(a) => sides(a, keys, queries),
    }
}

/// A rule over one variable on each side, read under other names.
fn renamed(rule: &Rule, key: &str, query: &str) -> Rule {
    let boxed = |r: &Rule| Box::new(renamed(r, key, query));
    match rule {
        Rule::Pairs { predicate, .. } => {
            Rule::Pairs { keys: key.into(), queries: query.into(), predicate: predicate.clone() }
        }
        Rule::And(a, b) => Rule::And(boxed(a), boxed(b)),
        Rule::Or(a, b) => Rule::Or(boxed(a), boxed(b)),
        Rule::Not(a) => Rule::Not(boxed(a)),
    }
}

/// A predicate of a key `x` and a query `y` as a table.
fn table(keys: &[Value], queries: &[Value], allowed: &[Vec<bool>]) -> Lambda {
    let mut f = Lambda::constant(false);
    for (i, key) in keys.iter().enumerate().rev() {
        let chosen = queries.iter().zip(allowed).filter(|(_, row)| row[i]);
        let entries: Vec<(Value, Value)> =
            chosen.map(|(q, _)| (q.clone(), Value::Bool(true))).collect();
        if entries.is_empty() {
            continue;
        }
        let otherwise = Some(Value::Bool(false));
        let row = Lambda::Table { of: Box::new(Lambda::Y), entries, otherwise };
        f = Lambda::X.with(Binary::Eq, Lambda::Const(key.clone())).choose(row, f);
    }
    f
}

/// f(x, x) as a function of x.
fn on_diagonal(f: &Lambda) -> Lambda {
    let boxed = |f: &Lambda| Box::new(on_diagonal(f));
    match f {
        Lambda::Y => Lambda::X,
        Lambda::X | Lambda::Const(_) => f.clone(),
        Lambda::Unary(op, a) => Lambda::Unary(*op, boxed(a)),
        Lambda::Binary(op, a, b) => Lambda::Binary(*op, boxed(a), boxed(b)),
        Lambda::If(c, a, b) => Lambda::If(boxed(c), boxed(a), boxed(b)),
        Lambda::Table { of, entries, otherwise } => {
            Lambda::Table { of: boxed(of), entries: entries.clone(), otherwise: otherwise.clone() }
        }
    }
}

/// a, b, c of a function a x + b y + c.
fn affine(f: &Lambda) -> Option<(f64, f64, f64)> {
    match f {
        Lambda::X => Some((1.0, 0.0, 0.0)),
        Lambda::Y => Some((0.0, 1.0, 0.0)),
        Lambda::Const(v) => Some((0.0, 0.0, v.number()?)),
        Lambda::Unary(Unary::Neg, a) => affine(a).map(|(a, b, c)| (-a, -b, -c)),
        Lambda::Binary(op, f, g) => {
            let ((a, b, c), (d, e, h)) = (affine(f)?, affine(g)?);
            match op {
                Binary::Add => Some((a + d, b + e, c + h)),
                Binary::Sub => Some((a - d, b - e, c - h)),
                Binary::Mul if (d, e) == (0.0, 0.0) => Some((a * h, b * h, c * h)),
                Binary::Mul if (a, b) == (0.0, 0.0) => Some((d * c, e * c, h * c)),
                Binary::Div if (d, e) == (0.0, 0.0) && h != 0.0 => Some((a / h, b / h, c / h)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Images of a number's values in order, each with the threshold above it; neighbours with the
/// same image are one.
pub(super) fn thresholds(f: &Lambda, domain: &Domain) -> Result<Vec<(f64, Value)>, String> {
    let mut points: Vec<(f64, Value)> = domain
        .all()
        .iter()
        .map(|v| (v.number().unwrap_or(0.0), apply(f, v, &Value::None)))
        .filter(|(_, image)| *image != Value::Unknown)
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<(f64, Value)> = vec![];
    let mut before: Option<f64> = None;
    for (x, image) in points {
        if let (Some((upper, last)), Some(y)) = (out.last_mut(), before) {
            if *last != image {
                if x - y < GAP {
                    return Err(format!(
                        "tells {y} from {x}, which is nearer than {GAP}; hint: a default where \
                         nothing is selected, or numbers on a coarser grid"
                    ));
                }
                *upper = (x + y) / 2.0;
                out.push((f64::INFINITY, image));
            }
        } else {
            out.push((f64::INFINITY, image));
        }
        before = Some(x);
    }
    Ok(out)
}

impl Lowered {
    /// How the output stands in the network's columns.
    pub fn readout(&self) -> Result<(usize, Code), Error> {
        let at = self.steps.iter().position(|s| s.name == self.program.output);
        let at = at.ok_or_else(|| Error::Truth("the output is no variable".into()))?;
        Ok((at, self.steps[at].domain.code()))
    }
}
