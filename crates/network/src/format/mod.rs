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
//! | `raw.rs` | a tensor in its own element type, kept bit for bit | |
//! | `source.rs` | pieces of a file, checked against its length | |
//! | `npz.rs` | | arrays for numpy |
//! | `whole.rs` | | files that appear whole or not at all |

pub mod gguf;
mod npz;
mod raw;
mod safetensors;
mod source;
mod whole;

pub use npz::npz;
pub use raw::{RawTensor, RawTensors};
pub use safetensors::{SafetensorsFile, read_safetensors, write_safetensors};
pub use source::Source;
pub use whole::write_whole;
