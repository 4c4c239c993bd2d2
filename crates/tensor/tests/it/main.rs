//! The graph, its operations, derivatives and compiler.

mod bits;
mod derivatives;
mod errors;
mod graphs;
