//! Plain Python values, as a tree.

use super::TensorView;
use std::sync::Arc;

/// A value of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    None,
    /// bool.
    Bool(bool),
    /// int.
    Int(i64),
    /// An int beyond 64 bits, little-endian, two's complement.
    Long(Arc<[u8]>),
    /// float, and NumPy's scalars that are no whole numbers.
    Float(f64),
    /// str.
    Text(Arc<str>),
    /// bytes and bytearray.
    Bytes(Arc<[u8]>),
    /// list.
    List(Vec<Value>),
    /// tuple, and `torch.Size`.
    Tuple(Vec<Value>),
    /// set and frozenset.
    Set(Vec<Value>),
    /// dict, in the order of the file.
    Dict(Vec<(Value, Value)>),
    /// `torch.Tensor`, and `torch.nn.Parameter`.
    Tensor(Arc<TensorView>),
    /// A thing of which only the name matters: `torch.float16`, a device.
    Named(Arc<str>),
}

impl Value {
    /// What a dict has under a text.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Self::Dict(pairs) = self else { return None };
        let is = |k: &Value| matches!(k, Self::Text(t) if **t == *key);
        // A key that is set twice has its last value.
        pairs.iter().rev().find(|(k, _)| is(k)).map(|(_, v)| v)
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(t) = self { Some(t) } else { None }
    }

    /// A whole number.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(i) = self { Some(*i) } else { None }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// A tensor.
    pub fn tensor(&self) -> Option<&TensorView> {
        if let Self::Tensor(t) = self { Some(t) } else { None }
    }

    /// The items of a list or tuple.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            _ => None,
        }
    }
}
