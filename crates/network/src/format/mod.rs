//! Readers of files: what others wrote, as plain data.
//!
//! A file that somebody hands in may be wrong, cut short or hostile. Every reader here is a pure
//! function of its bytes that executes nothing, and asks for memory only after it has compared
//! what the file declares with how long the file is ([`Source`]). Errors name the file, then the
//! tensor or the key. Shapes are returned as they lie in the file, outermost axis first: which of
//! two axes is `d_model` is for the caller to declare, not for a reader to guess.
//!
//! | file | reads | writes |
//! |---|---|---|
//! | `safetensors.rs` | safetensors, tensor by tensor | yes |
//! | `gguf/` | GGUF: metadata, and tensors dequantised one by one | |
//! | `npz.rs` | NumPy arrays, alone and in archives | yes |
//! | `pt/` | PyTorch files: plain values, and tensors one by one | |
//! | `raw.rs` | a tensor in its own element type, kept bit for bit | |
//! | `source.rs` | pieces of a file, checked against its length | |
//! | `transformer_lens.rs` | | a config and a state dict |
//! | `zip.rs` | archives, below `pt/` and `npz.rs` | yes |
//! | `whole.rs` | | files that appear whole or not at all |

pub mod gguf;
pub mod npz;
pub mod pt;
mod raw;
mod safetensors;
mod source;
mod transformer_lens;
mod whole;
mod zip;

pub use raw::{RawTensor, RawTensors};
pub use safetensors::{SafetensorsFile, read_safetensors, write_safetensors};
pub use source::Source;
pub use transformer_lens::transformer_lens;
pub use whole::write_whole;
