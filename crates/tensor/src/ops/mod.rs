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

use crate::{Narrowed, Op, Part};
use std::sync::Arc;

pub use binary::Binary;
pub use einsum::Einsum;
pub(crate) use gather::PickRows;
pub use gather::{Gather, GatherAt};
pub use loss::CrossEntropy;
pub use norm::{Center, RootMeanSquare};
pub use reduce::{Sum, SumTo};
pub use select::Select;
pub use shaping::{Concat, Expand, Slice};
pub use softmax::{CausalMask, LogSoftmax, Softmax};
pub use topk::TopK;
pub use unary::Unary;

/// An operation along the last axis on part of its rows.
fn narrowed_rows(op: impl Op + 'static, x: &[&[usize]], part: Part) -> Option<Narrowed> {
    let rows = x[0].len().checked_sub(1)?;
    (part.axis < rows).then(|| (Arc::new(op) as Arc<dyn Op>, vec![Some(part.axis)]))
}
