//! What can go wrong while a graph is recorded, compiled or run.

/// Errors carry the operation and the shapes that did not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Operand shapes do not fit the operation.
    #[error("{op}: shapes {shapes:?} do not fit: {why}")]
    Shapes {
        /// Name of the operation.
        op: &'static str,
        /// Operand shapes in order.
        shapes: Vec<Vec<usize>>,
        /// What was expected.
        why: String,
    },
    /// An einsum formula that cannot be read.
    #[error("einsum '{formula}': {why}")]
    Formula {
        /// The formula as given.
        formula: String,
        /// What is wrong with it.
        why: String,
    },
    /// A leaf of the graph was not bound when the program ran.
    #[error("nothing is bound to '{0}'")]
    Unbound(String),
    /// A leaf was bound to data of the wrong length or kind.
    #[error("'{name}' wants {wanted}, got {got}")]
    Binding {
        /// Name of the leaf.
        name: String,
        /// What the graph declares.
        wanted: String,
        /// What was bound.
        got: String,
    },
    /// An index (token, target) lies outside its table.
    #[error("'{name}' holds {index}, outside a table of {size} rows")]
    Index {
        /// Name of the leaf that holds the index.
        name: String,
        /// The offending index.
        index: u32,
        /// Rows of the table.
        size: usize,
    },
    /// A derivative was asked through a node that is itself part of a derivative.
    #[error("{0}: second derivatives are out of scope")]
    SecondDerivative(&'static str),
    /// A site that the graph does not have.
    #[error("no site '{0}' in this graph")]
    NoSite(String),
    /// Data and shape disagree.
    #[error("shape {shape:?} wants {wanted} values, got {got}")]
    Length {
        /// The declared shape.
        shape: Vec<usize>,
        /// Product of the shape.
        wanted: usize,
        /// Values given.
        got: usize,
    },
    /// A request the machine cannot serve (kernels the CPU lacks, zero threads).
    #[error("{0}")]
    Machine(String),
}
