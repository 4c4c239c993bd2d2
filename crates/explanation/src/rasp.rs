//! RASP: sequence programs that attention and MLPs can run (Weiss et al. 2021, "Thinking like
//! transformers"; compiled to weights by Lindner et al. 2023, "Tracr").
//!
//! | file | holds |
//! |---|---|
//! | `ast.rs` | [`Program`], its expressions, selections and lambdas, as data |
//! | `lambda.rs` | what a [`Lambda`] computes |
//! | `interpret.rs` | [`Interpreter`]: a program compiled to slots, evaluated with [`Overrides`] |
//! | `text.rs` | [`Script`]: a program as people write it, with its vocabulary and length |
//! | `library.rs` | the programs of Tracr's examples, and induction |

mod ast;
mod interpret;
mod lambda;
pub mod library;
mod text;

pub use ast::{
    Binary, Combine, Expr, INDICES, Lambda, Predicate, Program, Rule, Select, TOKENS, Unary,
    Variable,
};
pub use interpret::{Interpreter, Override, Overrides, READOUT, Trace, evaluate};
pub use text::{Diagnostic, Script};
