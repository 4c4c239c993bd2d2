//! Sites: the named places of a network and the axes of what lies there.

use serde::{Deserialize, Serialize};

/// What an axis runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Inputs.
    Batch,
    /// Positions; in patterns and scores the position of the query.
    Pos,
    /// Query heads, or kv heads at `hook_k`, `hook_v` and their inputs.
    Head,
    /// The position of the key.
    Key,
    /// Coordinates of the vector that lies there.
    Unit,
}

/// A named place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// As TransformerLens writes it.
    pub name: String,
    /// One for each axis of the array.
    pub axes: Vec<Axis>,
    /// Lengths of the axes; the batch axis is 1.
    pub shape: Vec<usize>,
}

impl Site {
    /// Axes follow from the name and the number of axes.
    pub(crate) fn new(name: &str, shape: &[usize]) -> Self {
        use Axis::{Batch, Head, Key, Pos, Unit};
        let axes = match (
            name.ends_with("hook_pattern") || name.ends_with("hook_attn_scores"),
            shape.len(),
        ) {
            (true, _) => vec![Batch, Head, Pos, Key],
            (_, 4) => vec![Batch, Pos, Head, Unit],
            (_, 3) => vec![Batch, Pos, Unit],
            _ => vec![Batch, Unit],
        };
        Self { name: name.into(), axes, shape: shape.to_vec() }
    }

    /// Length of an axis, if the site has it.
    pub fn axis_len(&self, axis: Axis) -> Option<usize> {
        self.axes.iter().position(|&a| a == axis).map(|i| self.shape[i])
    }

    /// Values of one input at this site.
    pub fn size(&self) -> usize {
        self.shape[1..].iter().product()
    }
}
