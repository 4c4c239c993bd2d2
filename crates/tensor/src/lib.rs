//! A recorded graph of array operations, its derivatives, and a compiler that executes it exactly.
//!
//! Training a small network and taking it apart are the same kind of work: run a fixed
//! computation many times, read some values on the way, replace others. So a computation is
//! recorded once as a [`Graph`] of [`Value`]s with named *sites*; captures, interventions, losses
//! and gradients are further nodes of it; [`Program`] prunes what nobody reads, plans the buffers
//! once and runs as often as wanted.
//!
//! Every operation implements [`Op`]: a forward kernel, an f64 reference, and the rules that
//! extend a graph by its reverse (vjp) and forward (jvp) derivatives. The graph accepts nothing
//! less, so an operation without derivatives cannot exist.
//!
//! All results are the same bits on every CPU and with any number of threads; `docs/bits.md`
//! states the order of every sum.
//!
//! ```
//! use flyroom_tensor::{Bindings, Context, Graph, Program};
//! let mut g = Graph::new();
//! let x = g.input("x", &[2, 3]);
//! let w = g.parameter("w", &[3, 2]);
//! let y = g.einsum("bi,io->bo", x, w)?;
//! let loss = g.sum(y)?;
//! let dw = g.gradient(loss, &[w])?[0];
//! let mut program = Program::compile(&g, &[loss, dw])?;
//! let data = Bindings::new()
//!     .with("x", &[1., 2., 3., 4., 5., 6.])
//!     .with("w", &[1., 0., 0., 1., 1., 1.]);
//! program.run(&Context::single(), &data)?;
//! assert_eq!(program.output(0), &[1. + 3. + 2. + 3. + 4. + 6. + 5. + 6.]);
//! assert_eq!(program.output(1), &[5., 5., 7., 7., 9., 9.]);
//! # Ok::<(), flyroom_tensor::Error>(())
//! ```

mod compile;
pub mod context;
mod derive;
mod error;
pub mod gradcheck;
mod graph;
pub mod hash;
pub mod kernel;
pub mod kernels;
pub mod linalg;
pub mod math;
mod narrow;
pub mod ops;
mod pool;
pub mod random;
mod reference;
pub mod simd;
mod tensor;
mod variants;

pub use compile::{Bindings, Done, Program};
pub use context::{Context, Kernels};
pub use error::Error;
pub use graph::{Edit, Graph, Value};
pub use kernel::{Arg, Kernel, Op};
pub use narrow::{Narrowed, Part};
pub use random::Stream;
pub use reference::{Bindings64, evaluate_f64};
pub use tensor::Tensor;
pub use variants::{Recording, Variants, Varied, Vary};
