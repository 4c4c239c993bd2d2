//! Networks: against an independent oracle, against themselves, and against broken input.

mod attribution;
mod common;
mod files;
mod gguf;
mod gru;
mod linear_attention;
mod npz;
mod oracle;
mod patching;
mod places;
mod pretrained;
mod tokenizers;
mod torch;
