//! What a [`Lambda`] computes.
//!
//! [`Value::None`] stands for a zero vector and goes through every function as none. A mixture
//! becomes [`Value::Unknown`] by any computation, and so do division by zero, overflow, and a
//! table's missing entry: the network does something there that the program does not say. A variable
//! that is either makes the whole step unknown, also where the function does not look at it
//! (`interpret.rs`): neurons read all their variables at once.
//! Adding a token to a number is an error of the program instead.

use super::ast::{Binary, Lambda, Predicate, Rule, Unary};
use crate::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

type Out<'a> = Result<Cow<'a, Value>, String>;

fn owned<'a>(v: Value) -> Out<'a> {
    Ok(Cow::Owned(v))
}

/// What an operand makes of the whole result, if it decides it.
fn passes(v: &Value) -> Option<Value> {
    match v {
        Value::None => Some(Value::None),
        Value::Mixture(_) | Value::Unknown => Some(Value::Unknown),
        _ => None,
    }
}

impl Lambda {
    /// The value for arguments `x` and `y`; the error says which operation met which values.
    pub fn apply<'a>(&'a self, x: &'a Value, y: &'a Value) -> Out<'a> {
        match self {
            Self::X => Ok(Cow::Borrowed(x)),
            Self::Y => Ok(Cow::Borrowed(y)),
            Self::Const(v) => Ok(Cow::Borrowed(v)),
            Self::Unary(op, a) => {
                let a = a.apply(x, y)?;
                match passes(&a) {
                    Some(v) => owned(v),
                    None => owned(unary(*op, &a)?),
                }
            }
            Self::Binary(op, a, b) => {
                let (a, b) = (a.apply(x, y)?, b.apply(x, y)?);
                match (passes(&a), passes(&b)) {
                    (Some(Value::Unknown), _) | (_, Some(Value::Unknown)) => owned(Value::Unknown),
                    (Some(_), _) | (_, Some(_)) => owned(Value::None),
                    _ => owned(binary(*op, &a, &b)?),
                }
            }
            Self::If(condition, a, b) => {
                let c = condition.apply(x, y)?;
                match (passes(&c), c.as_ref()) {
                    (Some(v), _) => owned(v),
                    (_, Value::Bool(true)) => a.apply(x, y),
                    (_, Value::Bool(false)) => b.apply(x, y),
                    (_, other) => Err(format!("'if' wants true or false, got {other}")),
                }
            }
            Self::Table { of, entries, otherwise } => {
                let key = of.apply(x, y)?;
                if let Some(v) = passes(&key) {
                    return owned(v);
                }
                Ok(entries
                    .iter()
                    .find(|(k, _)| k.same(&key))
                    .map(|(_, v)| Cow::Borrowed(v))
                    .or(otherwise.as_ref().map(Cow::Borrowed))
                    .unwrap_or(Cow::Owned(Value::Unknown)))
            }
        }
    }
}

fn unary(op: Unary, a: &Value) -> Result<Value, String> {
    Ok(match (op, a) {
        (Unary::Neg, Value::Int(i)) => i.checked_neg().map_or(Value::Unknown, Value::Int),
        (Unary::Neg, Value::Real(r)) => Value::Real(-r),
        (Unary::Not, Value::Bool(b)) => Value::Bool(!b),
        (Unary::Round, Value::Int(i)) => Value::Int(*i),
        (Unary::Round, Value::Real(r)) => {
            let r = r.round_ties_even();
            // Integers of f64 beyond 2^53 are not all there.
            if r.abs() <= 9.0e15 { Value::Int(r as i64) } else { Value::Unknown }
        }
        _ => return Err(format!("{op:?} of {a}")),
    })
}

fn binary(op: Binary, a: &Value, b: &Value) -> Result<Value, String> {
    let wrong = || format!("{op:?} of {a} and {b}");
    let order =
        |holds: fn(Ordering) -> bool| a.compare(b).map(|o| Value::Bool(holds(o))).ok_or_else(wrong);
    let arithmetic = |int: fn(i64, i64) -> Option<i64>, real: fn(f64, f64) -> f64| {
        if let (Value::Int(i), Value::Int(j)) = (a, b) {
            return Ok(int(*i, *j).map_or(Value::Unknown, Value::Int));
        }
        let (x, y) = a.number().zip(b.number()).ok_or_else(wrong)?;
        let z = real(x, y);
        Ok(if z.is_finite() { Value::Real(z) } else { Value::Unknown })
    };
    match (op, a, b) {
        (Binary::Add, ..) => arithmetic(i64::checked_add, |x, y| x + y),
        (Binary::Sub, ..) => arithmetic(i64::checked_sub, |x, y| x - y),
        (Binary::Mul, ..) => arithmetic(i64::checked_mul, |x, y| x * y),
        (Binary::Div, ..) => {
            let (x, y) = a.number().zip(b.number()).ok_or_else(wrong)?;
            let z = x / y;
            Ok(if z.is_finite() { Value::Real(z) } else { Value::Unknown })
        }
        (Binary::Mod, Value::Int(i), Value::Int(j)) => {
            Ok(i.checked_rem_euclid(*j).map_or(Value::Unknown, Value::Int))
        }
        (Binary::Eq, ..) => Ok(Value::Bool(a.same(b))),
        (Binary::Neq, ..) => Ok(Value::Bool(!a.same(b))),
        (Binary::Lt, ..) => order(Ordering::is_lt),
        (Binary::Leq, ..) => order(Ordering::is_le),
        (Binary::Gt, ..) => order(Ordering::is_gt),
        (Binary::Geq, ..) => order(Ordering::is_ge),
        (Binary::And, Value::Bool(p), Value::Bool(q)) => Ok(Value::Bool(*p && *q)),
        (Binary::Or, Value::Bool(p), Value::Bool(q)) => Ok(Value::Bool(*p || *q)),
        _ => Err(wrong()),
    }
}

/// Whether a pair is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selected {
    /// Key or query is none: in no pair, under no rule.
    Absent,
    No,
    Yes,
    /// The program does not say.
    Unknown,
}

impl Selected {
    pub(super) fn and(self, other: Self) -> Self {
        use Selected::{Absent, No, Unknown, Yes};
        match (self, other) {
            (No, _) | (_, No) => No,
            (Absent, _) | (_, Absent) => Absent,
            (Unknown, _) | (_, Unknown) => Unknown,
            _ => Yes,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        use Selected::{Absent, No, Unknown, Yes};
        match (self, other) {
            (Yes, _) | (_, Yes) => Yes,
            (Unknown, _) | (_, Unknown) => Unknown,
            (No, _) | (_, No) => No,
            _ => Absent,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            other => other,
        }
    }
}

impl Rule {
    /// Whether a pair is selected, from the value of each variable at the key and at the query;
    /// `None` where the program does not say.
    pub fn selects<'v>(
        &self,
        key: &impl Fn(&str) -> &'v Value,
        query: &impl Fn(&str) -> &'v Value,
    ) -> Result<Option<bool>, String> {
        Ok(match self.selected(key, query)? {
            Selected::Yes => Some(true),
            Selected::No | Selected::Absent => Some(false),
            Selected::Unknown => None,
        })
    }

    fn selected<'v>(
        &self,
        key: &impl Fn(&str) -> &'v Value,
        query: &impl Fn(&str) -> &'v Value,
    ) -> Result<Selected, String> {
        Ok(match self {
            Self::Pairs { keys, queries, predicate } => {
                predicate.holds(key(keys), query(queries))?
            }
            Self::And(a, b) => a.selected(key, query)?.and(b.selected(key, query)?),
            Self::Or(a, b) => a.selected(key, query)?.or(b.selected(key, query)?),
            Self::Not(a) => a.selected(key, query)?.not(),
        })
    }
}

impl From<bool> for Selected {
    fn from(b: bool) -> Self {
        if b { Self::Yes } else { Self::No }
    }
}

impl Predicate {
    pub(super) fn holds(&self, key: &Value, query: &Value) -> Result<Selected, String> {
        match (passes(key), passes(query)) {
            (None, None) => {}
            (Some(Value::None), _) | (_, Some(Value::None)) => return Ok(Selected::Absent),
            _ => return Ok(Selected::Unknown),
        }
        let order = |holds: fn(Ordering) -> bool| {
            key.compare(query)
                .map(|o| holds(o).into())
                .ok_or_else(|| format!("no order between {key} and {query}"))
        };
        match self {
            Self::True => Ok(Selected::Yes),
            Self::Eq => Ok(key.same(query).into()),
            Self::Neq => Ok((!key.same(query)).into()),
            Self::Lt => order(Ordering::is_lt),
            Self::Leq => order(Ordering::is_le),
            Self::Gt => order(Ordering::is_gt),
            Self::Geq => order(Ordering::is_ge),
            Self::When(f) => match f.apply(key, query)?.as_ref() {
                Value::Bool(b) => Ok((*b).into()),
                Value::None => Ok(Selected::Absent),
                Value::Mixture(_) | Value::Unknown => Ok(Selected::Unknown),
                other => Err(format!("a predicate gives true or false, got {other}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(f: &Lambda, x: impl Into<Value>, y: impl Into<Value>) -> Result<Value, String> {
        let (x, y) = (x.into(), y.into());
        f.apply(&x, &y).map(Cow::into_owned)
    }

    #[test]
    fn integers_stay_integers_and_division_is_real() {
        let f = |op| Lambda::X.with(op, Lambda::Y);
        assert_eq!(apply(&f(Binary::Sub), 3, 5), Ok(Value::Int(-2)));
        assert_eq!(apply(&f(Binary::Add), 3, 0.5), Ok(Value::Real(3.5)));
        assert_eq!(apply(&f(Binary::Div), 1, 4), Ok(Value::Real(0.25)));
        assert_eq!(apply(&f(Binary::Mod), -1, 113), Ok(Value::Int(112)));
    }

    #[test]
    fn what_the_program_does_not_say_is_unknown_and_not_an_error() {
        let f = |op| Lambda::X.with(op, Lambda::Y);
        assert_eq!(apply(&f(Binary::Div), 1, 0), Ok(Value::Unknown));
        assert_eq!(apply(&f(Binary::Mod), 1, 0), Ok(Value::Unknown));
        assert_eq!(apply(&f(Binary::Add), i64::MAX, 1), Ok(Value::Unknown));
        let mixture = Value::Mixture(vec![(Value::Int(1), 0.5), (Value::Int(2), 0.5)]);
        assert_eq!(apply(&f(Binary::Eq), mixture, 1), Ok(Value::Unknown));
    }

    #[test]
    fn none_goes_through_every_function_and_selects_nothing() {
        let f = Lambda::X.with(Binary::Add, Lambda::constant(1));
        assert_eq!(apply(&f, Value::None, 0), Ok(Value::None));
        assert_eq!(Predicate::True.holds(&Value::None, &Value::Int(0)), Ok(Selected::Absent));
    }

    #[test]
    fn adding_a_token_to_a_number_is_an_error() {
        assert!(apply(&Lambda::X.with(Binary::Add, Lambda::Y), "a", 1).is_err());
        assert!(Predicate::Lt.holds(&Value::token("a"), &Value::Int(1)).is_err());
    }
}
