//! The loops that do the work: each takes a [`Context`](crate::context::Context) and slices, knows
//! shapes only as counts, and has the same bits with any instructions and any number of threads.
//!
//! | module | does |
//! |---|---|
//! | [`product`] | every product of two arrays: fused multiply-adds in ascending k |
//! | [`elementwise`] | functions of one, two or three elements, and their derivatives |
//! | [`reduce`] | sums, means, maxima along an axis |
//! | [`softmax`] | softmax, log-softmax, cross entropy, and their derivatives |
//! | [`norm`] | centring and root mean squares of rows, and their derivatives |
//! | [`largest`] | the k largest of a row |
//! | [`sparse`] | products with a matrix of few elements: the active latents of a batch |
//! | [`adamw`] | one step of an optimiser over a parameter |
//!
//! The orders of summation are those of docs/bits.md.

pub mod adamw;
pub mod elementwise;
pub mod largest;
pub mod norm;
pub mod product;
pub mod reduce;
pub mod softmax;
pub mod sparse;

#[cfg(test)]
mod bits;
