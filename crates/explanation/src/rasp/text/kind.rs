//! Which kinds of values an expression can have.
//!
//! A program may mix kinds, and what it computes where a condition excludes it does not matter. So
//! an operation is refused only where none of the values that can reach it has a meaning for it.

use crate::Value;
use crate::rasp::{Binary, Unary};

/// A set of kinds; [`Value::None`] is in none, as it goes through everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub const NOTHING: Self = Self(0);
    pub const TRUTH: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const REAL: Self = Self(4);
    pub const TOKEN: Self = Self(8);
    /// What [`Value::number`] takes for a number.
    pub const NUMBER: Self = Self(7);

    pub fn of(v: &Value) -> Self {
        match v {
            Value::Bool(_) => Self::TRUTH,
            Value::Int(_) => Self::INT,
            Value::Real(_) => Self::REAL,
            Value::Token(_) => Self::TOKEN,
            Value::None | Value::Mixture(_) | Value::Unknown => Self::NOTHING,
        }
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether some value has the wanted kind, or there is no value at all.
    pub fn can_be(self, wanted: Self) -> bool {
        self == Self::NOTHING || self.meets(wanted)
    }

    /// For messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NOTHING => "nothing",
            Self::TRUTH => "true or false",
            Self::TOKEN => "words",
            Self::INT => "integers",
            Self::REAL => "reals",
            k if !k.meets(Self::TOKEN) => "numbers",
            _ => "values of several kinds",
        }
    }

    /// Whether an order between the two exists.
    pub fn ordered(self, other: Self) -> bool {
        self == Self::NOTHING
            || other == Self::NOTHING
            || (self.meets(Self::NUMBER) && other.meets(Self::NUMBER))
            || (self.meets(Self::TOKEN) && other.meets(Self::TOKEN))
    }

    /// The kinds of op(self); the error is the kind that it wants.
    pub fn unary(self, op: Unary) -> Result<Self, &'static str> {
        let number = Self::INT.or(Self::REAL);
        match op {
            Unary::Not if self.can_be(Self::TRUTH) => Ok(Self::TRUTH),
            Unary::Not => Err("true or false"),
            Unary::Neg if self.can_be(number) => Ok(Self(self.0 & number.0)),
            Unary::Round if self.can_be(number) => Ok(Self::INT),
            Unary::Neg | Unary::Round => Err("numbers"),
        }
    }

    /// What an operand of an operation has to be able to be, and how that is called.
    pub fn wanted(op: Binary) -> Option<(Self, &'static str)> {
        match op {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => {
                Some((Self::NUMBER, "numbers"))
            }
            Binary::Mod => Some((Self::INT, "integers")),
            Binary::And | Binary::Or => Some((Self::TRUTH, "true or false")),
            _ => None,
        }
    }

    /// The kinds of `self op other`, if both are what it wants.
    pub fn binary(self, op: Binary, other: Self) -> Self {
        match op {
            Binary::Add | Binary::Sub | Binary::Mul => {
                let other_number = Self::TRUTH.or(Self::REAL);
                let integer = self.meets(Self::INT) && other.meets(Self::INT);
                let real = self.meets(other_number) || other.meets(other_number);
                let of = |there, kind| if there { kind } else { Self::NOTHING };
                of(integer, Self::INT).or(of(real, Self::REAL))
            }
            Binary::Div => Self::REAL,
            Binary::Mod => Self::INT,
            _ => Self::TRUTH,
        }
    }
}
