//! A set of inputs of one length. Interventions cite an input of the set by its index and never
//! carry an activation, so that they mean the same for every network and every explanation.

use crate::Error;

/// Inputs of one kind and one length.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// Token ids `[n, pos]`.
    Tokens {
        /// Tokens in each input.
        pos: usize,
        /// All ids, row-major.
        ids: Vec<u32>,
    },
    /// Vectors `[n, width]`, or sequences of them, `[n, pos, width]`.
    Vectors {
        /// Vectors in each input.
        pos: usize,
        /// Length of each vector.
        width: usize,
        /// All values, row-major.
        values: Vec<f32>,
    },
}

impl Inputs {
    /// Token sequences, which must have one length.
    pub fn tokens(rows: &[Vec<u32>]) -> Result<Self, Error> {
        let pos = rows.first().map_or(0, Vec::len);
        match rows.iter().position(|r| r.len() != pos) {
            Some(i) => Err(Error::Input(format!(
                "sequence {i} has {} tokens, the first has {pos}",
                rows[i].len()
            ))),
            None => Ok(Self::Tokens { pos, ids: rows.concat() }),
        }
    }

    /// Vectors from one flat array.
    pub fn vectors(width: usize, values: Vec<f32>) -> Result<Self, Error> {
        Self::sequences(1, width, values)
    }

    /// Sequences of `pos` vectors from one flat array.
    pub fn sequences(pos: usize, width: usize, values: Vec<f32>) -> Result<Self, Error> {
        let row = pos.saturating_mul(width);
        if row == 0 || !values.len().is_multiple_of(row) {
            return Err(Error::Input(format!(
                "{} values in rows of {pos} x {width}",
                values.len()
            )));
        }
        Ok(Self::Vectors { pos, width, values })
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens { pos, ids } => ids.len().checked_div(*pos).unwrap_or(0),
            Self::Vectors { pos, width, values } => {
                values.len().checked_div(pos * width).unwrap_or(0)
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens or vectors in each input.
    pub fn pos(&self) -> usize {
        match self {
            Self::Tokens { pos, .. } | Self::Vectors { pos, .. } => *pos,
        }
    }

    /// Length of the vector that an input is; `None` for tokens and for sequences of vectors.
    pub fn vector_row_len(&self) -> Option<usize> {
        match self {
            Self::Vectors { pos: 1, width, .. } => Some(*width),
            _ => None,
        }
    }

    /// Tokens of input `i`; empty for vectors.
    pub fn token_row(&self, i: usize) -> &[u32] {
        match self {
            Self::Tokens { pos, ids } => &ids[i * pos..(i + 1) * pos],
            Self::Vectors { .. } => &[],
        }
    }

    /// Values of input `i`, `[pos, width]`; empty for tokens.
    pub fn vector_row(&self, i: usize) -> &[f32] {
        match self {
            Self::Vectors { pos, width, values } => &values[i * pos * width..(i + 1) * pos * width],
            Self::Tokens { .. } => &[],
        }
    }

    /// The inputs at `rows`, in that order, repeats allowed.
    pub fn pick(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        match self {
            Self::Tokens { pos, .. } => Self::Tokens {
                pos: *pos,
                ids: rows.into_iter().flat_map(|i| self.token_row(i).to_vec()).collect(),
            },
            Self::Vectors { pos, width, .. } => Self::Vectors {
                pos: *pos,
                width: *width,
                values: rows.into_iter().flat_map(|i| self.vector_row(i).to_vec()).collect(),
            },
        }
    }

    /// Both sets, one behind the other.
    pub fn joined(&self, other: &Self) -> Result<Self, Error> {
        match (self, other) {
            (Self::Tokens { pos, ids }, Self::Tokens { pos: p, ids: i }) if pos == p => {
                Ok(Self::Tokens { pos: *pos, ids: [ids.as_slice(), i].concat() })
            }
            (
                Self::Vectors { pos, width, values },
                Self::Vectors { pos: p, width: w, values: v },
            ) if (pos, width) == (p, w) => {
                Ok(Self::Vectors { pos: *pos, width: *width, values: [&values[..], v].concat() })
            }
            _ => Err(Error::Input("two sets of different kind or length".into())),
        }
    }
}
