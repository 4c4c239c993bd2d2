//! Programs as data.
//!
//! A [`Program`] is a list of variables in order; each is one [`Expr`] over earlier variables and
//! the two builtins `tokens` and `indices`. A variable is a sequence: one value for each position.
//! BOS is not part of a sequence: with `bos`, index i of the program is position i + 1 of the
//! network.
//!
//! ```
//! use flyroom_explanation::rasp::{Lambda, Program};
//! let text = r#"{
//!   "variables": [{"name": "next", "expr": {"map": {
//!       "f": {"binary": ["add", "x", {"const": 1}]}, "x": "indices"}}}],
//!   "output": "next", "bos": true
//! }"#;
//! let program: Program = serde_json::from_str(text).unwrap();
//! assert_eq!(program.variables[0].name, "next");
//! ```

use crate::Value;
use serde::{Deserialize, Deserializer, Serialize};

/// The builtin variable with the input's tokens.
pub const TOKENS: &str = "tokens";
/// The builtin variable 0, 1, 2, ...
pub const INDICES: &str = "indices";

/// A program: variables in order of computation, and which of them is the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Each reads earlier ones.
    pub variables: Vec<Variable>,
    /// Name of the variable that the network's output shows.
    pub output: String,
    /// Whether the network's position 0 holds a beginning-of-sequence token that is no part of
    /// the program's sequence.
    #[serde(default)]
    pub bos: bool,
}

/// A named sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Unique in the program, neither `tokens` nor `indices`.
    pub name: String,
    /// How it is computed.
    pub expr: Expr,
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expr {
    /// The same value everywhere.
    Constant(Value),
    /// f(x) at every index.
    Map {
        /// A function of `x`.
        f: Lambda,
        /// Variable read.
        x: String,
    },
    /// f(x, y) at every index.
    SequenceMap {
        /// A function of `x` and `y`.
        f: Lambda,
        /// First variable read.
        x: String,
        /// Second variable read.
        y: String,
    },
    /// At every query index, the values of `x` at the selected keys brought together.
    Aggregate {
        /// Which keys.
        select: Select,
        /// Variable read.
        x: String,
        /// How several selected values become one.
        #[serde(default)]
        combine: Combine,
        /// The result where nothing is selected.
        #[serde(default = "none", skip_serializing_if = "is_none")]
        default: Value,
    },
    /// At every query index, how many keys are selected.
    SelectorWidth {
        /// Which keys.
        select: Select,
    },
}

fn none() -> Value {
    Value::None
}

fn is_none(v: &Value) -> bool {
    *v == Value::None
}

/// How an aggregate brings several values together. Exactly one selected value, or several equal
/// ones, are that value under both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Categories: different ones give a [`Value::Mixture`], as attention over one-hot codes does.
    #[default]
    Mixture,
    /// Numbers: their mean, as a real; [`Value::None`] counts as 0.
    Mean,
}

/// A selection: for every query, a set of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Which pairs.
    pub rule: Rule,
    /// Only keys at or before the query, applied after the rule: what causal attention can do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub causal: bool,
}

/// A rule on pairs (key, query).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Pairs whose values satisfy a predicate. A key or query that is [`Value::None`] is in no
    /// pair, whatever the predicate and also under `not`.
    Pairs {
        /// Variable that gives the keys.
        keys: String,
        /// Variable that gives the queries.
        queries: String,
        /// What must hold.
        predicate: Predicate,
    },
    /// Both.
    And(Box<Rule>, Box<Rule>),
    /// At least one.
    Or(Box<Rule>, Box<Rule>),
    /// The others.
    Not(Box<Rule>),
}

/// A condition on (key, query).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// key = query
    Eq,
    /// key != query
    Neq,
    /// key < query
    Lt,
    /// key <= query
    Leq,
    /// key > query
    Gt,
    /// key >= query
    Geq,
    /// Always.
    True,
    /// A function of `x` = key and `y` = query that gives a truth value.
    When(Lambda),
}

/// A function of at most two arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lambda {
    /// The first argument.
    X,
    /// The second argument.
    Y,
    /// A constant.
    Const(Value),
    /// A function of one value.
    Unary(Unary, Box<Lambda>),
    /// A function of two values.
    Binary(Binary, Box<Lambda>, Box<Lambda>),
    /// `if condition then a else b`.
    If(Box<Lambda>, Box<Lambda>, Box<Lambda>),
    /// Looks a value up.
    Table {
        /// What is looked up.
        of: Box<Lambda>,
        /// (argument, result); the first that matches counts.
        entries: Vec<(Value, Value)>,
        /// The result for other arguments; without it they are [`Value::Unknown`].
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        otherwise: Option<Value>,
    },
}

/// A key that is there is `Some`, also where its value is `null`, which means [`Value::None`].
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// Functions of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unary {
    /// -x
    Neg,
    /// Logical not.
    Not,
    /// Nearest whole number as an integer, ties to even.
    Round,
}

/// Functions of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binary {
    /// x + y
    Add,
    /// x - y
    Sub,
    /// x y
    Mul,
    /// x / y, always real; unknown for y = 0.
    Div,
    /// x mod y in 0..|y| for integers; unknown for y = 0.
    Mod,
    /// x = y, numbers as numbers.
    Eq,
    /// x != y
    Neq,
    /// x < y
    Lt,
    /// x <= y
    Leq,
    /// x > y
    Gt,
    /// x >= y
    Geq,
    /// Both.
    And,
    /// At least one.
    Or,
}

impl Lambda {
    /// A constant.
    pub fn constant(v: impl Into<Value>) -> Self {
        Self::Const(v.into())
    }

    /// `op(self)`.
    pub fn then(self, op: Unary) -> Self {
        Self::Unary(op, Box::new(self))
    }

    /// `self op other`.
    pub fn with(self, op: Binary, other: Self) -> Self {
        Self::Binary(op, Box::new(self), Box::new(other))
    }

    /// `if self then a else b`.
    pub fn choose(self, a: Self, b: Self) -> Self {
        Self::If(Box::new(self), Box::new(a), Box::new(b))
    }
}

impl Select {
    /// Pairs whose key and query satisfy a predicate.
    pub fn new(keys: &str, queries: &str, predicate: Predicate) -> Self {
        let rule = Rule::Pairs { keys: keys.into(), queries: queries.into(), predicate };
        Self { rule, causal: false }
    }

    /// Only keys at or before the query.
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// Pairs in both; causal if one of them is.
    pub fn and(self, other: Self) -> Self {
        let causal = self.causal || other.causal;
        Self { rule: Rule::And(Box::new(self.rule), Box::new(other.rule)), causal }
    }
}

impl Expr {
    /// Names of the variables read, in order, with repeats.
    pub fn reads(&self) -> Vec<&str> {
        fn rule<'a>(r: &'a Rule, out: &mut Vec<&'a str>) {
            match r {
                Rule::Pairs { keys, queries, .. } => out.extend([keys.as_str(), queries]),
                Rule::And(a, b) | Rule::Or(a, b) => {
                    rule(a, out);
                    rule(b, out);
                }
                Rule::Not(a) => rule(a, out),
            }
        }
        let mut out = vec![];
        match self {
            Self::Constant(_) => {}
            Self::Map { x, .. } => out.push(x.as_str()),
            Self::SequenceMap { x, y, .. } => out.extend([x.as_str(), y]),
            Self::Aggregate { select, x, .. } => {
                rule(&select.rule, &mut out);
                out.push(x);
            }
            Self::SelectorWidth { select } => rule(&select.rule, &mut out),
        }
        out
    }
}

impl Program {
    /// A program without variables that copies its input; add to it with [`Program::define`].
    pub fn new(bos: bool) -> Self {
        Self { variables: vec![], output: TOKENS.into(), bos }
    }

    /// Adds a variable and makes it the output.
    pub fn define(mut self, name: impl Into<String>, expr: Expr) -> Self {
        let name = name.into();
        self.output.clone_from(&name);
        self.variables.push(Variable { name, expr });
        self
    }

    /// The program's index of a network position; `None` for the position of BOS.
    pub fn index(&self, pos: usize) -> Option<usize> {
        pos.checked_sub(usize::from(self.bos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_no_default_from_the_default_none() {
        for otherwise in [None, Some(Value::None), Some(Value::Int(1))] {
            let f = Lambda::Table {
                of: Box::new(Lambda::X),
                entries: vec![(Value::token("a"), Value::Int(0))],
                otherwise,
            };
            let text = serde_json::to_string(&f).unwrap();
            assert_eq!(serde_json::from_str::<Lambda>(&text).unwrap(), f, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = r#"{"map": {"f": "x", "x": "tokens", "z": 1}}"#;
        assert!(serde_json::from_str::<Expr>(text).is_err());
    }
}
