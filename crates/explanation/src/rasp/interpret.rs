//! Evaluates a program on a sequence, with some of its variables set from outside.
//!
//! [`Interpreter::new`] checks the program once and turns names into slots; [`Interpreter::run`]
//! is then cheap enough for the thousands of evaluations of a trial. An [`Override`] sets a
//! variable at one index; everything that reads it afterwards sees the new value. A variable may
//! lie in a network at several places, each read by other variables: an override with `readers`
//! is seen by those alone ([`READOUT`] names the output's readout).
//!
//! ```
//! use flyroom_explanation::{Value, rasp::{Interpreter, Overrides, library}};
//! let hist = Interpreter::new(&library::hist())?;
//! let tokens: Vec<Value> = ["a", "b", "a"].map(Value::from).to_vec();
//! let trace = hist.run(&tokens, &Overrides::none())?;
//! assert_eq!(trace.output(), &[2, 1, 2].map(Value::Int));
//! # Ok::<(), flyroom_explanation::Error>(())
//! ```

use super::ast::{Combine, Expr, INDICES, Lambda, Predicate, Program, Rule, TOKENS};
use super::lambda::Selected;
use crate::{Error, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// Name of the reader that turns the output variable into the network's output.
pub const READOUT: &str = "readout";

/// One variable set at one index.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Which variable; `tokens` and `indices` too.
    pub variable: String,
    /// At which index of the program's sequence.
    pub index: usize,
    /// To what.
    pub value: Value,
    /// Who sees it; all readers if `None`.
    pub readers: Option<Arc<[String]>>,
}

/// Variables set from outside. Where two set the same for the same reader, one with readers wins
/// over one without, and then the later one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides(Vec<Override>);

impl Overrides {
    /// Nothing is set.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets a variable at an index for all its readers.
    pub fn set(mut self, variable: &str, index: usize, value: impl Into<Value>) -> Self {
        self.push(Override {
            variable: variable.into(),
            index,
            value: value.into(),
            readers: None,
        });
        self
    }

    /// Adds an override.
    pub fn push(&mut self, o: Override) {
        self.0.push(o);
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Every variable's sequence after one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    names: Arc<[String]>,
    sequences: Vec<Vec<Value>>,
    output: Vec<Value>,
}

impl Trace {
    /// The sequence of a variable, `tokens` and `indices` among them.
    pub fn get(&self, variable: &str) -> Option<&[Value]> {
        let slot = self.names.iter().position(|n| n == variable)?;
        Some(&self.sequences[slot])
    }

    /// The output variable as the readout sees it.
    pub fn output(&self) -> &[Value] {
        &self.output
    }

    /// Names and sequences in order of computation.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.names.iter().map(String::as_str).zip(self.sequences.iter().map(Vec::as_slice))
    }
}

/// A program with names resolved.
#[derive(Debug, Clone)]
pub struct Interpreter {
    names: Arc<[String]>,
    steps: Vec<Step>,
    output: usize,
}

#[derive(Debug, Clone)]
enum Step {
    Constant(Value),
    Map(Lambda, usize),
    SequenceMap(Lambda, usize, usize),
    Aggregate(Pairs, bool, usize, Combine, Value),
    SelectorWidth(Pairs, bool),
}

/// A [`Rule`] over slots.
#[derive(Debug, Clone)]
enum Pairs {
    Of(usize, usize, Predicate),
    And(Box<Pairs>, Box<Pairs>),
    Or(Box<Pairs>, Box<Pairs>),
    Not(Box<Pairs>),
}

/// An override over slots: (slot, index, value, readers' slots).
type Placed<'a> = (usize, usize, &'a Value, Option<Vec<usize>>);

/// Evaluates once; use an [`Interpreter`] to evaluate often.
pub fn evaluate(p: &Program, tokens: &[Value], overrides: &Overrides) -> Result<Trace, Error> {
    Interpreter::new(p)?.run(tokens, overrides)
}

impl Interpreter {
    /// Fails when a name is taken, reserved, or read before it is computed.
    pub fn new(p: &Program) -> Result<Self, Error> {
        let mut names = vec![TOKENS.to_string(), INDICES.to_string()];
        let mut steps = vec![];
        for v in &p.variables {
            if names.contains(&v.name) || v.name == READOUT || v.name.is_empty() {
                return Err(Error::program(&v.name, "this name is empty, reserved or taken"));
            }
            let slot = |name: &str| {
                names.iter().position(|n| n == name).ok_or_else(|| {
                    let late = p.variables.iter().any(|w| w.name == name);
                    let why = if late { "is computed later" } else { "does not exist" };
                    Error::program(&v.name, format!("reads '{name}', which {why}"))
                })
            };
            steps.push(match &v.expr {
                Expr::Constant(c) => Step::Constant(c.clone()),
                Expr::Map { f, x } => Step::Map(f.clone(), slot(x)?),
                Expr::SequenceMap { f, x, y } => Step::SequenceMap(f.clone(), slot(x)?, slot(y)?),
                Expr::Aggregate { select, x, combine, default } => Step::Aggregate(
                    pairs(&select.rule, &slot)?,
                    select.causal,
                    slot(x)?,
                    *combine,
                    default.clone(),
                ),
                Expr::SelectorWidth { select } => {
                    Step::SelectorWidth(pairs(&select.rule, &slot)?, select.causal)
                }
            });
            names.push(v.name.clone());
        }
        let output = names
            .iter()
            .position(|n| *n == p.output)
            .ok_or_else(|| Error::program(&p.output, "the output is no variable"))?;
        Ok(Self { names: names.into(), steps, output })
    }

    /// Names of `tokens`, `indices` and all variables in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn place<'a>(&self, o: &'a Override, n: usize) -> Result<Placed<'a>, Error> {
        let slot = |name: &str| {
            self.names
                .iter()
                .position(|x| x == name)
                .ok_or_else(|| Error::program(name, "no such variable to override or to read it"))
        };
        if o.index >= n {
            let why = format!("index {} in a sequence of {n}", o.index);
            return Err(Error::program(&o.variable, why));
        }
        let readers = match &o.readers {
            None => None,
            Some(r) => Some(
                r.iter()
                    .map(|r| if r == READOUT { Ok(self.names.len()) } else { slot(r) })
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        };
        Ok((slot(&o.variable)?, o.index, &o.value, readers))
    }

    /// Evaluates on a sequence (without BOS).
    pub fn run(&self, tokens: &[Value], overrides: &Overrides) -> Result<Trace, Error> {
        let n = tokens.len();
        let placed = overrides.0.iter().map(|o| self.place(o, n)).collect::<Result<Vec<_>, _>>()?;
        let mut memory = Memory { sequences: Vec::with_capacity(self.names.len()), placed };
        memory.store(tokens.to_vec());
        memory.store((0..n as i64).map(Value::Int).collect());
        for (i, step) in self.steps.iter().enumerate() {
            let reader = i + 2;
            let sequence = step
                .run(&memory, reader, n)
                .map_err(|why| Error::program(&self.names[reader], why))?;
            memory.store(sequence);
        }
        let output = memory.seen(self.output, self.names.len()).into_owned();
        Ok(Trace { names: self.names.clone(), sequences: memory.sequences, output })
    }
}

fn pairs(rule: &Rule, slot: &impl Fn(&str) -> Result<usize, Error>) -> Result<Pairs, Error> {
    let boxed = |r: &Rule| pairs(r, slot).map(Box::new);
    Ok(match rule {
        Rule::Pairs { keys, queries, predicate } => {
            Pairs::Of(slot(keys)?, slot(queries)?, predicate.clone())
        }
        Rule::And(a, b) => Pairs::And(boxed(a)?, boxed(b)?),
        Rule::Or(a, b) => Pairs::Or(boxed(a)?, boxed(b)?),
        Rule::Not(a) => Pairs::Not(boxed(a)?),
    })
}

struct Memory<'a> {
    sequences: Vec<Vec<Value>>,
    placed: Vec<Placed<'a>>,
}

impl Memory<'_> {
    fn store(&mut self, mut sequence: Vec<Value>) {
        let slot = self.sequences.len();
        for (s, index, value, readers) in &self.placed {
            if *s == slot && readers.is_none() {
                sequence[*index] = (*value).clone();
            }
        }
        self.sequences.push(sequence);
    }

    /// A variable as one reader sees it.
    fn seen(&self, slot: usize, reader: usize) -> Cow<'_, [Value]> {
        let mut out = Cow::Borrowed(self.sequences[slot].as_slice());
        for (s, index, value, readers) in &self.placed {
            if *s == slot && readers.as_ref().is_some_and(|r| r.contains(&reader)) {
                out.to_mut()[*index] = (*value).clone();
            }
        }
        out
    }
}

impl Step {
    fn run(&self, memory: &Memory, reader: usize, n: usize) -> Result<Vec<Value>, String> {
        match self {
            Self::Constant(v) => Ok(vec![v.clone(); n]),
            Self::Map(f, x) => {
                let x = memory.seen(*x, reader);
                x.iter().map(|x| elementwise(f, x, &Value::None)).collect()
            }
            Self::SequenceMap(f, x, y) => {
                let (x, y) = (memory.seen(*x, reader), memory.seen(*y, reader));
                x.iter().zip(y.iter()).map(|(x, y)| elementwise(f, x, y)).collect()
            }
            Self::Aggregate(pairs, causal, x, combine, default) => {
                let selected = Selection::new(pairs, *causal, memory, reader, n)?;
                let x = memory.seen(*x, reader);
                (0..n)
                    .map(|q| match selected.keys(q) {
                        None => Ok(Value::Unknown),
                        Some(keys) => {
                            let values: Vec<&Value> = keys.iter().map(|&k| &x[k]).collect();
                            brought_together(&values, *combine, default)
                        }
                    })
                    .collect()
            }
            Self::SelectorWidth(pairs, causal) => {
                let selected = Selection::new(pairs, *causal, memory, reader, n)?;
                Ok((0..n)
                    .map(|q| {
                        selected.keys(q).map_or(Value::Unknown, |k| Value::Int(k.len() as i64))
                    })
                    .collect())
            }
        }
    }
}

/// Which keys each query selects, `[query, key]`.
struct Selection {
    n: usize,
    pairs: Vec<Selected>,
}

impl Selection {
    fn new(
        p: &Pairs,
        causal: bool,
        memory: &Memory,
        reader: usize,
        n: usize,
    ) -> Result<Self, String> {
        let mut pairs = Self::of(p, causal, memory, reader, n)?;
        if causal {
            for q in 0..n {
                pairs[q * n + q + 1..(q + 1) * n].fill(Selected::No);
            }
        }
        Ok(Self { n, pairs })
    }

    fn of(
        p: &Pairs,
        causal: bool,
        memory: &Memory,
        reader: usize,
        n: usize,
    ) -> Result<Vec<Selected>, String> {
        let both = |a: &Pairs, b: &Pairs, join: fn(Selected, Selected) -> Selected| {
            let a = Self::of(a, causal, memory, reader, n)?;
            let b = Self::of(b, causal, memory, reader, n)?;
            Ok(a.into_iter().zip(b).map(|(a, b)| join(a, b)).collect())
        };
        match p {
            Pairs::Of(keys, queries, predicate) => {
                let (keys, queries) = (memory.seen(*keys, reader), memory.seen(*queries, reader));
                let mut out = Vec::with_capacity(n * n);
                for (q, query) in queries.iter().enumerate() {
                    for (k, key) in keys.iter().enumerate() {
                        // What the causal cut removes need not have a value.
                        let cut = causal && k > q;
                        out.push(if cut { Selected::No } else { predicate.holds(key, query)? });
                    }
                }
                Ok(out)
            }
            Pairs::And(a, b) => both(a, b, Selected::and),
            Pairs::Or(a, b) => both(a, b, Selected::or),
            Pairs::Not(a) => {
                Ok(Self::of(a, causal, memory, reader, n)?.into_iter().map(Selected::not).collect())
            }
        }
    }

    /// Selected keys of a query in order; `None` where one is unknown.
    fn keys(&self, q: usize) -> Option<Vec<usize>> {
        let row = &self.pairs[q * self.n..(q + 1) * self.n];
        if row.contains(&Selected::Unknown) {
            return None;
        }
        Some((0..self.n).filter(|&k| row[k] == Selected::Yes).collect())
    }
}

/// A function of variables at one index. Neurons read all of them at once: where one has no value
/// the result has none, also where the function would not look at it.
fn elementwise(f: &Lambda, x: &Value, y: &Value) -> Result<Value, String> {
    let without = |v: &Value| matches!(v, Value::Mixture(_) | Value::Unknown);
    match without(x) || without(y) {
        true => Ok(Value::Unknown),
        false => f.apply(x, y).map(Cow::into_owned),
    }
}

fn brought_together(values: &[&Value], combine: Combine, default: &Value) -> Result<Value, String> {
    let Some((first, rest)) = values.split_first() else {
        return Ok(default.clone());
    };
    if rest.iter().all(|v| v == first) {
        return Ok((*first).clone());
    }
    let n = values.len() as f64;
    match combine {
        Combine::Mixture => {
            // Counted before they are weighed: k / n is exact where k times 1 / n is not.
            let counted = Value::mixture(values.iter().map(|v| ((*v).clone(), 1.0)));
            Ok(match counted {
                Value::Mixture(terms) => {
                    Value::Mixture(terms.into_iter().map(|(v, w)| (v, w / n)).collect())
                }
                other => Value::mixture([(other, 1.0 / n)]),
            })
        }
        Combine::Mean => {
            let mut sum = 0.0;
            for v in values {
                sum += match v {
                    Value::None => 0.0,
                    Value::Mixture(_) | Value::Unknown => return Ok(Value::Unknown),
                    v => v.number().ok_or_else(|| format!("the mean of {v} and others"))?,
                };
            }
            Ok(Value::Real(sum / n))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ast::{Binary, Select};
    use super::*;

    fn tokens(s: &str) -> Vec<Value> {
        s.split_whitespace().map(Value::from).collect()
    }

    fn aggregate(select: Select, x: &str) -> Expr {
        Expr::Aggregate { select, x: x.into(), combine: Combine::Mixture, default: Value::None }
    }

    #[test]
    fn an_aggregate_over_different_tokens_is_a_mixture_that_computation_does_not_know() {
        let all = Select::new(TOKENS, TOKENS, Predicate::True);
        let p = Program::new(false).define("all", aggregate(all.clone(), TOKENS)).define(
            "is_a",
            Expr::Map { f: Lambda::X.with(Binary::Eq, Lambda::constant("a")), x: "all".into() },
        );
        let t = evaluate(&p, &tokens("a a b"), &Overrides::none()).unwrap();
        let wanted =
            Value::Mixture(vec![(Value::token("a"), 2.0 / 3.0), (Value::token("b"), 1.0 / 3.0)]);
        assert_eq!(t.get("all").unwrap()[0], wanted);
        assert_eq!(t.output()[0], Value::Unknown);
        // Averaged again it stays exact.
        let p = Program::new(false)
            .define("all", aggregate(all.clone(), TOKENS))
            .define("again", aggregate(all, "all"));
        let t = evaluate(&p, &tokens("a a b"), &Overrides::none()).unwrap();
        assert_eq!(t.output()[2], wanted);
    }

    /// By hand: "a" at the first index decides alone, and yet what stands beside it has no value.
    #[test]
    fn a_function_that_looks_away_from_a_variable_without_a_value_has_none_either() {
        let all = Select::new(TOKENS, TOKENS, Predicate::True);
        let is_a = Lambda::X.with(Binary::Eq, Lambda::constant("a"));
        let f = is_a.choose(Lambda::constant(1), Lambda::Y);
        let p = Program::new(false)
            .define("all", aggregate(all, TOKENS))
            .define("either", Expr::SequenceMap { f, x: TOKENS.into(), y: "all".into() });
        let t = evaluate(&p, &tokens("a b"), &Overrides::none()).unwrap();
        assert_eq!(t.output(), &[Value::Unknown, Value::Unknown]);
        let t = evaluate(&p, &tokens("a a"), &Overrides::none()).unwrap();
        assert_eq!(t.output(), &[1, 1].map(Value::Int));
    }

    #[test]
    fn a_causal_selection_sees_no_later_key_also_under_not() {
        let equal = Select::new(TOKENS, TOKENS, Predicate::Eq);
        let others = Select { rule: Rule::Not(Box::new(equal.rule)), causal: true };
        let p = Program::new(false).define("n", Expr::SelectorWidth { select: others });
        let t = evaluate(&p, &tokens("a b a c"), &Overrides::none()).unwrap();
        assert_eq!(t.output(), &[0, 1, 1, 3].map(Value::Int));
    }

    #[test]
    fn an_override_changes_exactly_what_reads_the_variable() {
        let p = super::super::library::reverse();
        let run = Interpreter::new(&p).unwrap();
        let clean = run.run(&tokens("a b c d"), &Overrides::none()).unwrap();
        let set = Overrides::none().set("opp_idx_4", 0, 2);
        let t = run.run(&tokens("a b c d"), &set).unwrap();
        for (name, values) in t.iter() {
            let downstream = ["opp_idx_4", "opp_idx-1_3", "reverse_1"].contains(&name);
            assert_eq!(values[1..], clean.get(name).unwrap()[1..], "{name}");
            assert_eq!(values[0] != clean.get(name).unwrap()[0], downstream, "{name}");
        }
        assert_eq!(t.output(), &tokens("b c b a"));
    }

    #[test]
    fn an_override_with_readers_is_seen_by_those_alone() {
        let p = super::super::library::sort_unique();
        let run = Interpreter::new(&p).unwrap();
        let input: Vec<Value> = [3, 1, 5, 2].map(Value::Int).to_vec();
        let mut set = Overrides::none();
        set.push(Override {
            variable: TOKENS.into(),
            index: 0,
            value: Value::Int(4),
            readers: Some(vec!["sort_14".to_string()].into()),
        });
        let t = run.run(&input, &set).unwrap();
        // 3 stays third in order, and a 4 is moved there.
        assert_eq!(t.output(), &[1, 2, 4, 5].map(Value::Int));
        assert_eq!(t.get(TOKENS).unwrap()[0], Value::Int(3));
        let mut set = Overrides::none();
        set.push(Override {
            variable: "sort_14".into(),
            index: 0,
            value: Value::Int(4),
            readers: Some(vec![READOUT.to_string()].into()),
        });
        let t = run.run(&input, &set).unwrap();
        assert_eq!(t.output()[0], Value::Int(4));
        assert_eq!(t.get("sort_14").unwrap()[0], Value::Int(1));
    }

    #[test]
    fn a_program_that_reads_ahead_is_refused_by_name() {
        let read = |x: &str| Expr::Map { f: Lambda::X, x: x.into() };
        let p = Program::new(false).define("a", read("b")).define("b", read(TOKENS));
        let e = Interpreter::new(&p).unwrap_err().to_string();
        assert_eq!(e, "program, variable 'a': reads 'b', which is computed later");
        let p = Program::new(false).define(TOKENS, read(INDICES));
        assert!(Interpreter::new(&p).is_err());
    }

    #[test]
    fn the_mean_of_numbers_is_real_and_of_one_number_that_number() {
        let upto = Select::new(INDICES, INDICES, Predicate::Leq);
        let p = Program::new(false).define(
            "mean",
            Expr::Aggregate {
                select: upto,
                x: INDICES.into(),
                combine: Combine::Mean,
                default: Value::Real(0.0),
            },
        );
        let t = evaluate(&p, &tokens("a b c"), &Overrides::none()).unwrap();
        assert_eq!(t.output(), &[Value::Int(0), Value::Real(0.5), Value::Real(1.0)]);
    }

    #[test]
    fn an_empty_sequence_is_a_sequence() {
        let t = evaluate(&super::super::library::hist(), &[], &Overrides::none()).unwrap();
        assert!(t.output().is_empty());
    }
}
