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
    /// Vectors `[n, width]`.
    Vectors {
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
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::Input(format!("{} values in rows of {width}", values.len())));
        }
        Ok(Self::Vectors { width, values })
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens { pos, ids } => ids.len().checked_div(*pos).unwrap_or(0),
            Self::Vectors { width, values } => values.len().checked_div(*width).unwrap_or(0),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens in each input; 1 for vectors.
    pub fn pos(&self) -> usize {
        match self {
            Self::Tokens { pos, .. } => *pos,
            Self::Vectors { .. } => 1,
        }
    }

    /// Length of each vector; `None` for tokens.
    pub fn vector_row_len(&self) -> Option<usize> {
        match self {
            Self::Vectors { width, .. } => Some(*width),
            Self::Tokens { .. } => None,
        }
    }

    /// Tokens of input `i`; empty for vectors.
    pub fn token_row(&self, i: usize) -> &[u32] {
        match self {
            Self::Tokens { pos, ids } => &ids[i * pos..(i + 1) * pos],
            Self::Vectors { .. } => &[],
        }
    }

    /// Values of input `i`; empty for tokens.
    pub fn vector_row(&self, i: usize) -> &[f32] {
        match self {
            Self::Vectors { width, values } => &values[i * width..(i + 1) * width],
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
            Self::Vectors { width, .. } => Self::Vectors {
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
            (Self::Vectors { width, values }, Self::Vectors { width: w, values: v })
                if width == w =>
            {
                Ok(Self::Vectors { width: *width, values: [values.as_slice(), v].concat() })
            }
            _ => Err(Error::Input("two sets of different kind or length".into())),
        }
    }
}
