//! What a GGUF file says of itself: keys with numbers, text or lists.

use super::scan::Scan;
use crate::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lists of lists deeper than this are refused; no known key has any.
const DEEPEST: usize = 4;

/// One value. Numbers are widened: which width they were stored in says nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// uint8 to uint64.
    Unsigned(u64),
    /// int8 to int64.
    Signed(i64),
    /// float32 and float64.
    Float(f64),
    /// bool.
    Bool(bool),
    /// string.
    Text(String),
    /// array.
    List(List),
}

/// The values of an array, which are all of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum List {
    /// uint8 to uint64.
    Unsigned(Vec<u64>),
    /// int8 to int64.
    Signed(Vec<i64>),
    /// float32 and float64.
    Float(Vec<f64>),
    /// bool.
    Bool(Vec<bool>),
    /// string.
    Text(Vec<String>),
    /// array.
    Lists(Vec<List>),
}

/// The numbers by which a file tells kinds of values apart.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unsigned(u32),
    Signed(u32),
    Float(u32),
    Bool,
    Text,
    List,
}

impl Kind {
    fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::Unsigned(1),
            1 => Self::Signed(1),
            2 => Self::Unsigned(2),
            3 => Self::Signed(2),
            4 => Self::Unsigned(4),
            5 => Self::Signed(4),
            6 => Self::Float(4),
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::List,
            10 => Self::Unsigned(8),
            11 => Self::Signed(8),
            12 => Self::Float(8),
            _ => return None,
        })
    }

    /// The fewest bytes that one value takes.
    fn least(self) -> u64 {
        match self {
            Self::Unsigned(n) | Self::Signed(n) | Self::Float(n) => u64::from(n),
            Self::Bool => 1,
            Self::Text => 8,
            Self::List => 12,
        }
    }
}

/// Keys and values of a file. Its getters fail with the file and the key.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    path: PathBuf,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    pub(super) fn read(scan: &mut Scan, count: u64) -> Result<Self, Error> {
        // A key takes at least 8 bytes of length, 4 of kind and one of value.
        scan.affords(count, 13, "the metadata")?;
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let key = scan.text("a metadata key")?;
            let value = value(scan, &key)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(scan.source().bad(format!("metadata key '{key}' stands twice")));
            }
        }
        Ok(Self { path: scan.source().path().into(), values })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys and values, in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// A value if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A whole number that is not negative.
    pub fn count(&self, key: &str) -> Result<usize, Error> {
        self.typed(key, "a whole number", |v| match v {
            Value::Unsigned(n) => usize::try_from(*n).ok(),
            Value::Signed(n) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<f64, Error> {
        self.typed(key, "a number", |v| match v {
            Value::Float(x) => Some(*x),
            Value::Unsigned(n) => Some(*n as f64),
            Value::Signed(n) => Some(*n as f64),
            _ => None,
        })
    }

    /// Yes or no.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        self.typed(key, "true or false", |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// Text.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        self.typed(key, "text", |v| match v {
            Value::Text(t) => Some(t.as_str()),
            _ => None,
        })
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Result<&[String], Error> {
        self.typed(key, "a list of texts", |v| match v {
            Value::List(List::Text(t)) => Some(t.as_slice()),
            _ => None,
        })
    }

    /// A list of numbers with a fraction.
    pub fn floats(&self, key: &str) -> Result<&[f64], Error> {
        self.typed(key, "a list of numbers", |v| match v {
            Value::List(List::Float(t)) => Some(t.as_slice()),
            _ => None,
        })
    }

    /// A list of whole numbers.
    pub fn integers(&self, key: &str) -> Result<Vec<i64>, Error> {
        self.typed(key, "a list of whole numbers", |v| match v {
            Value::List(List::Signed(t)) => Some(t.clone()),
            Value::List(List::Unsigned(t)) => {
                t.iter().map(|&n| i64::try_from(n).ok()).collect::<Option<_>>()
            }
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Error> {
        let bad = |why: String| Error::format(&self.path, why);
        let value = self.get(key).ok_or_else(|| bad(format!("no metadata key '{key}'")))?;
        take(value).ok_or_else(|| bad(format!("metadata key '{key}' is not {wanted}")))
    }
}

fn kind(scan: &mut Scan, key: &str) -> Result<Kind, Error> {
    let id = scan.u32(key)?;
    Kind::from_id(id).ok_or_else(|| {
        scan.source().bad(format!("metadata key '{key}' has a value of the unknown kind {id}"))
    })
}

fn value(scan: &mut Scan, key: &str) -> Result<Value, Error> {
    Ok(match kind(scan, key)? {
        Kind::Unsigned(n) => Value::Unsigned(unsigned(scan, n, key)?),
        Kind::Signed(n) => Value::Signed(signed(scan, n, key)?),
        Kind::Float(n) => Value::Float(float(scan, n, key)?),
        Kind::Bool => Value::Bool(flag(scan, key)?),
        Kind::Text => Value::Text(scan.text(key)?),
        Kind::List => Value::List(list(scan, key, 0)?),
    })
}

fn list(scan: &mut Scan, key: &str, depth: usize) -> Result<List, Error> {
    if depth == DEEPEST {
        let why = format!("metadata key '{key}' holds lists more than {DEEPEST} deep");
        return Err(scan.source().bad(why));
    }
    let kind = kind(scan, key)?;
    let count = scan.u64(key)?;
    scan.affords(count, kind.least(), &format!("the list '{key}'"))?;
    Ok(match kind {
        Kind::Unsigned(n) => List::Unsigned(many(count, || unsigned(scan, n, key))?),
        Kind::Signed(n) => List::Signed(many(count, || signed(scan, n, key))?),
        Kind::Float(n) => List::Float(many(count, || float(scan, n, key))?),
        Kind::Bool => List::Bool(many(count, || flag(scan, key))?),
        Kind::Text => List::Text(many(count, || scan.text(key))?),
        Kind::List => List::Lists(many(count, || list(scan, key, depth + 1))?),
    })
}

fn many<T>(count: u64, mut one: impl FnMut() -> Result<T, Error>) -> Result<Vec<T>, Error> {
    (0..count).map(|_| one()).collect()
}

fn unsigned(scan: &mut Scan, width: u32, key: &str) -> Result<u64, Error> {
    Ok(match width {
        1 => scan.u8(key)?.into(),
        2 => scan.u16(key)?.into(),
        4 => scan.u32(key)?.into(),
        _ => scan.u64(key)?,
    })
}

fn signed(scan: &mut Scan, width: u32, key: &str) -> Result<i64, Error> {
    Ok(match width {
        1 => scan.u8(key)?.cast_signed().into(),
        2 => scan.u16(key)?.cast_signed().into(),
        4 => scan.u32(key)?.cast_signed().into(),
        _ => scan.u64(key)?.cast_signed(),
    })
}

fn float(scan: &mut Scan, width: u32, key: &str) -> Result<f64, Error> {
    Ok(match width {
        4 => f32::from_bits(scan.u32(key)?).into(),
        _ => f64::from_bits(scan.u64(key)?),
    })
}

fn flag(scan: &mut Scan, key: &str) -> Result<bool, Error> {
    match scan.u8(key)? {
        0 => Ok(false),
        1 => Ok(true),
        b => Err(scan.source().bad(format!("metadata key '{key}' is {b}, neither true nor false"))),
    }
}
