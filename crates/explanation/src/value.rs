//! Values: what a variable of an explanation holds at one position.
//!
//! Values are data in a file, keys of tables and results of programs, so they have a total order
//! and an equality: reals are equal when their bits are. In JSON an [`Value::Int`] is `3`, a
//! [`Value::Real`] is `3.0`, a token `"a"`, a truth value `true`, nothing `null`, and a mixture a
//! list of pairs `[["a", 0.5], ["b", 0.5]]`.
//!
//! ```
//! use flyroom_explanation::Value;
//! let v: Value = serde_json::from_str("3.0").unwrap();
//! assert_eq!(v, Value::Real(3.0));
//! assert_ne!(v, Value::Int(3));
//! ```

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// What a variable holds at one position.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number; finite in files.
    Real(f64),
    /// A token or another category.
    Token(String),
    /// Nothing: the aggregate of an empty selection. A network writes the zero vector for it.
    None,
    /// Several categories at once, each with its weight: what uniform attention over different
    /// one-hot vectors writes. Weights add up to at most 1 (the rest is [`Value::None`]), values
    /// are distinct and in order. It may be read out or averaged again; anything else that is
    /// computed from it is [`Value::Unknown`].
    Mixture(Vec<(Value, f64)>),
    /// A value about which the program says nothing: computed from a mixture, or outside a table.
    /// Never in a file.
    #[serde(skip)]
    Unknown,
}

impl Value {
    /// A token.
    pub fn token(s: impl Into<String>) -> Self {
        Self::Token(s.into())
    }

    /// The number that it is: an integer, a real, or a truth value as 0 or 1.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Real(r) => Some(*r),
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            _ => None,
        }
    }

    /// Numbers compare as numbers, tokens as strings; `None` where there is no such order.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Token(a), Self::Token(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    /// Whether two values are the same number or the same category: 1 and 1.0 are.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(_) | Self::Real(_), Self::Int(_) | Self::Real(_)) => {
                self.compare(other) == Some(Ordering::Equal)
            }
            _ => self == other,
        }
    }

    /// The weighted sum of categories, as the simplest value that says it: the sum of weights of
    /// equal values is taken, a single category with weight 1 is that category, no weight is
    /// [`Value::None`]. `Unknown` among them makes the sum unknown.
    ///
    /// ```
    /// use flyroom_explanation::Value;
    /// let (a, b) = (Value::token("a"), Value::token("b"));
    /// assert_eq!(Value::mixture([(a.clone(), 0.5), (a.clone(), 0.5)]), a);
    /// assert_eq!(
    ///     Value::mixture([(b.clone(), 0.5), (a.clone(), 0.5)]),
    ///     Value::Mixture(vec![(a, 0.5), (b, 0.5)]),
    /// );
    /// ```
    pub fn mixture(terms: impl IntoIterator<Item = (Self, f64)>) -> Self {
        let mut sums = std::collections::BTreeMap::<Self, f64>::new();
        for (value, weight) in terms {
            match value {
                Self::None => {}
                Self::Unknown => return Self::Unknown,
                Self::Mixture(inner) => {
                    inner.into_iter().for_each(|(v, w)| *sums.entry(v).or_default() += weight * w)
                }
                other => *sums.entry(other).or_default() += weight,
            }
        }
        sums.retain(|_, w| *w != 0.0);
        match sums.len() {
            0 => Self::None,
            1 if sums.values().all(|w| (w - 1.0).abs() < 1e-12) => {
                sums.into_keys().next().unwrap_or(Self::None)
            }
            _ => Self::Mixture(sums.into_iter().collect()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Real(_) => 3,
            Self::Token(_) => 4,
            Self::Mixture(_) => 5,
            Self::Unknown => 6,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Token(a), Self::Token(b)) => a.cmp(b),
            (Self::Mixture(a), Self::Mixture(b)) => a
                .iter()
                .zip(b)
                .map(|(x, y)| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)))
                .find(|o| o.is_ne())
                .unwrap_or_else(|| a.len().cmp(&b.len())),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Real(r) => write!(f, "{r:?}"),
            Self::Token(t) => write!(f, "{t}"),
            Self::None => write!(f, "none"),
            Self::Mixture(terms) => {
                let terms: Vec<String> = terms.iter().map(|(v, w)| format!("{w} {v}")).collect();
                write!(f, "{}", terms.join(" + "))
            }
            Self::Unknown => write!(f, "unknown"),
        }
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<f64> for Value {
    fn from(r: f64) -> Self {
        Self::Real(r)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Token(s.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_json() {
        let values = [
            Value::None,
            Value::Bool(true),
            Value::Int(-7),
            Value::Real(1.0),
            Value::Real(-0.0),
            Value::Real(1.0 / 3.0),
            Value::Real(1e300),
            Value::token("a"),
            Value::token("3"),
            Value::Mixture(vec![(Value::Int(1), 0.5), (Value::token("b"), 0.25)]),
        ];
        for v in values {
            let text = serde_json::to_string(&v).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), v, "{text}");
        }
    }

    #[test]
    fn unknown_cannot_be_written() {
        assert!(serde_json::to_string(&Value::Unknown).is_err());
    }

    #[test]
    fn reals_are_equal_by_bits_and_same_by_number() {
        assert_ne!(Value::Real(0.0), Value::Real(-0.0));
        assert!(Value::Real(0.0).same(&Value::Real(-0.0)));
        assert_eq!(Value::Real(f64::NAN), Value::Real(f64::NAN));
        assert!(Value::Int(2).same(&Value::Real(2.0)));
        assert!(!Value::Int(1).same(&Value::Bool(true)));
    }

    #[test]
    fn a_mixture_of_mixtures_is_linear() {
        let (a, b) = (Value::token("a"), Value::token("b"));
        let half = Value::mixture([(a.clone(), 0.5), (b.clone(), 0.5)]);
        let both = Value::mixture([(half, 0.5), (a.clone(), 0.5)]);
        assert_eq!(both, Value::Mixture(vec![(a.clone(), 0.75), (b, 0.25)]));
        assert_eq!(
            Value::mixture([(a.clone(), 0.5), (Value::None, 0.5)]),
            Value::Mixture(vec![(a, 0.5)])
        );
        assert_eq!(Value::mixture([]), Value::None);
    }
}
