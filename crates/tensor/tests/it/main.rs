//! The graph, its operations, derivatives and compiler.

mod derivatives;
mod errors;
mod graphs;
