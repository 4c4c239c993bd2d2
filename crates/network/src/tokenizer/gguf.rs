//! The tokenizer inside a GGUF file.

use super::byte_level::{self, Added, Declared, PreTokenizer};
use super::scored::{Piece, Scored};
use super::{Rules, Tokenizer};
use crate::Error;
use crate::format::gguf::{Gguf, Metadata};
use serde_json::Value;

/// Kinds of tokens: found as they stand, and not shown.
const CONTROL: i64 = 3;
/// Found as they stand.
const USER_DEFINED: i64 = 4;

impl Tokenizer {
    /// The tokenizer of a GGUF file: `tokenizer.ggml.model` `gpt2` (byte-level BPE, cut into words
    /// as `tokenizer.ggml.pre` says) or `llama` (SentencePiece BPE).
    pub fn from_gguf(file: &Gguf) -> Result<Self, Error> {
        let m = file.metadata();
        let bad = |why: String| Error::format(m.path(), why);
        let tokens = m.texts("tokenizer.ggml.tokens")?;
        let model = m.text("tokenizer.ggml.model")?;
        let special = |name: &str| token_id(m, &format!("tokenizer.ggml.{name}_token_id"), tokens);
        let (bos, eos) = (special("bos")?, special("eos")?);
        let flag = |key: &str, otherwise: bool| match m.get(key) {
            None => Ok(otherwise),
            Some(_) => m.flag(key),
        };
        let add_bos = flag("tokenizer.ggml.add_bos_token", model == "llama")?;
        let rules = match model {
            "gpt2" => {
                let name = m.text("tokenizer.ggml.pre")?;
                let pre = PreTokenizer::from_name(name).ok_or_else(|| {
                    bad(format!(
                        "tokenizer.ggml.pre '{name}' is not read; hint: gpt-2, smollm, llama-bpe \
                         and qwen2 are: put the model's tokenizer.json beside it and name that"
                    ))
                })?;
                let added = added(m, tokens)?;
                let json = byte_level::declaration(Declared {
                    vocab: (0..).zip(tokens).map(|(id, t)| (t.clone(), Value::from(id))).collect(),
                    merges: m.texts("tokenizer.ggml.merges")?.to_vec(),
                    pre,
                    added,
                });
                let loaded = byte_level::load(json);
                let loaded = loaded.map_err(|e| bad(format!("its tokenizer: {e}")))?;
                Rules::Declared(Box::new(loaded))
            }
            "llama" => {
                let scores = m.floats("tokenizer.ggml.scores")?;
                if scores.len() != tokens.len() {
                    return Err(bad(format!("{} tokens, {} scores", tokens.len(), scores.len())));
                }
                let pieces = tokens.iter().zip(scores).map(|(t, &score)| Piece {
                    bytes: t.clone().into_bytes(),
                    score: score as f32,
                });
                let added = added(m, tokens)?.into_iter().map(|a| (a.content, a.id)).collect();
                let prefix = flag("tokenizer.ggml.add_space_prefix", true)?;
                let unknown = special("unknown")?;
                Rules::Scored(Scored::new(pieces.collect(), "\u{2581}", prefix, unknown, added))
            }
            other => {
                return Err(bad(format!(
                    "tokenizer.ggml.model '{other}' is not read; hint: gpt2 and llama are: put the \
                     model's tokenizer.json beside it and name that"
                )));
            }
        };
        Ok(Self { path: m.path().into(), rules, bos, eos, add_bos })
    }
}

/// The id under a key, if there is one; it must be one of the tokens.
fn token_id(m: &Metadata, key: &str, tokens: &[String]) -> Result<Option<u32>, Error> {
    if m.get(key).is_none() {
        return Ok(None);
    }
    let id = m.count(key)?;
    match u32::try_from(id) {
        Ok(small) if id < tokens.len() => Ok(Some(small)),
        _ => Err(Error::format(m.path(), format!("{key} {id} of {} tokens", tokens.len()))),
    }
}

/// The tokens that are found as they stand.
fn added(m: &Metadata, tokens: &[String]) -> Result<Vec<Added>, Error> {
    let key = "tokenizer.ggml.token_type";
    if m.get(key).is_none() {
        return Ok(vec![]);
    }
    let kinds = m.integers(key)?;
    let found = (0..).zip(tokens).zip(kinds).filter(|(_, k)| [CONTROL, USER_DEFINED].contains(k));
    Ok(found
        .map(|((id, t), kind)| Added { id, content: t.clone(), special: kind == CONTROL })
        .collect())
}
