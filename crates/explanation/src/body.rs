//! Bodies: what the parts of an explanation do together, in a form that executes.
//!
//! | body | claims | access |
//! |---|---|---|
//! | [`Body::Rasp`] | the network runs this program on its variables | closed |
//! | [`Body::Cosines`] | logits are sums of cosines of a + b - c (Nanda et al. 2023) | closed |
//! | [`Body::Circuit`] | these edges alone carry the behaviour | open |
//! | [`Body::Whole`] | nothing: it is the network, the ceiling of every other | whole |
//! | [`Body::Snapshot`] | there are these parts; nothing about effects | closed |

use crate::part::Code;
use crate::rasp::Program;
use flyroom_network::Edge;
use serde::{Deserialize, Serialize};

/// What an explanation needs to be executed. Ranks are within a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Its own file and the input.
    Closed,
    /// The weights of the parts that it names, charged in bits.
    Open,
    /// The model itself.
    Whole,
}

/// What the parts do and how they are wired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Body {
    /// A program over the parts.
    Rasp {
        /// The program.
        program: Program,
        /// From its output to the network's.
        readout: Readout,
    },
    /// logits(c) = sum over terms of amplitude cos(2 pi frequency (a + b - c) / modulus + phase).
    Cosines(Cosines),
    /// A subgraph of the network, the rest replaced by a reference.
    Circuit {
        /// The edges that remain.
        edges: Vec<Edge>,
        /// What the other edges carry.
        ablation: Ablation,
    },
    /// The network.
    Whole,
    /// Parts without wiring; it predicts nothing and has no skill.
    Snapshot,
}

/// From an output variable to output vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readout {
    /// Coordinates of the output variable's value.
    pub code: Code,
    /// Column of the network's output for each coordinate; 0, 1, 2, ... if absent. All other
    /// columns are 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<usize>>,
    /// Multiplies the coordinates.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub scale: f32,
}

fn one() -> f32 {
    1.0
}

fn is_one(x: &f32) -> bool {
    *x == 1.0
}

impl Readout {
    /// Coordinate i is output column i.
    pub fn new(code: Code) -> Self {
        Self { code, columns: None, scale: 1.0 }
    }
}

/// The clock (Nanda et al. 2023, Zhong et al. 2023): the operands a and b are turned into angles,
/// the angles are added, and each residue c is scored by how near it lies. Parts are the planes
/// of the operands: alignments with a [`Code::Plane`] of a term's frequency at an operand's
/// position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosines {
    /// p: a, b and c are residues modulo p, and c is the column of the output.
    pub modulus: u32,
    /// Positions of a and b in the input.
    #[serde(default = "first_two")]
    pub operands: [usize; 2],
    /// Summed in order.
    pub terms: Vec<Term>,
}

fn first_two() -> [usize; 2] {
    [0, 1]
}

/// One cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// k in 1..modulus.
    pub frequency: u32,
    /// Height in logits.
    pub amplitude: f32,
    /// In radians.
    #[serde(default)]
    pub phase: f32,
}

/// What the edges outside a circuit carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ablation {
    /// Nothing.
    Zero,
    /// The mean per position over the set of inputs.
    Mean,
    /// What a run on the input's corrupted partner has there.
    Resample,
}

impl Body {
    /// What it needs to be executed.
    pub fn access(&self) -> Access {
        match self {
            Self::Rasp { .. } | Self::Cosines(_) | Self::Snapshot => Access::Closed,
            Self::Circuit { .. } => Access::Open,
            Self::Whole => Access::Whole,
        }
    }

    /// Whether it claims anything about effects; without, the skill is "-".
    pub fn predicts(&self) -> bool {
        !matches!(self, Self::Snapshot)
    }
}
