//! What the methods say, against TransformerLens and against what must hold; training as the benchmark
//! does it.

mod hundred_steps;
mod lens;
mod mib;
#[path = "../../examples/workloads/training.rs"]
mod training;
