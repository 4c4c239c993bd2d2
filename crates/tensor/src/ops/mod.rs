//! The operations that the networks here need, one file a family.
//!
//! Each file gives the operation, its kernels inside derivatives, and the method by which a graph
//! records it. `docs/bits.md` states the order of every sum.

mod binary;
mod einsum;
mod gather;
mod loss;
mod norm;
mod reduce;
mod select;
mod shaping;
mod softmax;
mod topk;
mod unary;

pub use binary::Binary;
pub use einsum::Einsum;
pub use gather::Gather;
pub use loss::CrossEntropy;
pub use norm::{Center, RootMeanSquare};
pub use reduce::{Sum, SumTo};
pub use select::Select;
pub use shaping::{Concat, Expand, Slice};
pub use softmax::{CausalMask, LogSoftmax, Softmax};
pub use topk::TopK;
pub use unary::Unary;
