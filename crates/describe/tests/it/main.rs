//! What the methods say, against TransformerLens and against what must hold.

mod lens;
mod mib;
