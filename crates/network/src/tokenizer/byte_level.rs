//! Tokenizers as `tokenizers` declares them, and declarations for vocabularies that have none.
//!
//! Byte-level BPE writes each byte as a printable character, so that any text has tokens, and cuts it
//! into words by a pattern that is part of the model ([`PreTokenizer`]).

use serde_json::{Value, json};
use tokenizers::Tokenizer;

/// How text is cut into words before merges: each is a model family's own pattern, from its
/// published `tokenizer.json`.
#[derive(Debug, Clone, Copy)]
pub(super) enum PreTokenizer {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit alone, then GPT-2's.
    Smollm,
    /// Contractions in any case, up to three digits, newlines with what precedes them.
    Llama3,
    /// The same with each digit alone; text is composed (NFC) first.
    Qwen2,
}

impl PreTokenizer {
    /// By the name that a GGUF file gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" => Self::Gpt2,
            "smollm" => Self::Smollm,
            "llama-bpe" | "llama3" | "llama-v3" => Self::Llama3,
            "qwen2" => Self::Qwen2,
            _ => return None,
        })
    }

    fn declaration(self) -> Value {
        let byte_level = |use_regex: bool| {
            json!({
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": use_regex
            })
        };
        let split = |digits: &str| {
            let pattern = format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            json!({
                "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
                "invert": false
            })
        };
        let parts = match self {
            Self::Gpt2 => return byte_level(true),
            Self::Smollm => {
                json!([{ "type": "Digits", "individual_digits": true }, byte_level(true)])
            }
            Self::Llama3 => json!([split(r"\p{N}{1,3}"), byte_level(false)]),
            Self::Qwen2 => json!([split(r"\p{N}"), byte_level(false)]),
        };
        json!({ "type": "Sequence", "pretokenizers": parts })
    }
}

/// A token that is found in text as it stands, before anything else.
pub(super) struct Added {
    pub id: u32,
    pub content: String,
    pub special: bool,
}

/// What a byte-level tokenizer is made of.
pub(super) struct Declared {
    /// A map from token to id.
    pub vocab: Value,
    /// `left right`, best first.
    pub merges: Vec<String>,
    pub pre: PreTokenizer,
    pub added: Vec<Added>,
}

/// The `tokenizer.json` of a vocabulary with merges.
pub(super) fn declaration(d: Declared) -> Value {
    let added: Vec<Value> = d
        .added
        .into_iter()
        .map(|a| {
            json!({
                "id": a.id, "content": a.content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": a.special
            })
        })
        .collect();
    let normalizer = match d.pre {
        PreTokenizer::Qwen2 => json!({ "type": "NFC" }),
        _ => Value::Null,
    };
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": d.pre.declaration(),
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE",
            "ignore_merges": matches!(d.pre, PreTokenizer::Llama3),
            "vocab": d.vocab,
            "merges": d.merges,
        },
    })
}

/// A tokenizer without what would make its tokens depend on chance or on other texts.
pub(super) fn load(mut json: Value) -> Result<Tokenizer, String> {
    let Some(map) = json.as_object_mut() else { return Err("it is no map".into()) };
    map.insert("truncation".into(), Value::Null);
    map.insert("padding".into(), Value::Null);
    if let Some(model) = map.get_mut("model").and_then(Value::as_object_mut) {
        model.remove("dropout");
    }
    serde_json::from_value(json).map_err(|e| e.to_string())
}

/// The byte that a character of a byte-level vocabulary stands for (Radford et al. 2019): printable
/// Latin-1 stands for itself, the other 68 bytes for U+0100 and on, in order.
fn byte_of(c: char) -> Option<u8> {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u8::try_from(u32::from(c)) {
        Ok(b) => Some(b).filter(|&b| printable(b)),
        Err(_) => {
            let nth = u32::from(c).checked_sub(0x100)? as usize;
            (0..=u8::MAX).filter(|&b| !printable(b)).nth(nth)
        }
    }
}

/// One token as people read it.
pub(super) fn display(tokenizer: &Tokenizer, id: u32) -> Option<String> {
    let raw = tokenizer.id_to_token(id)?;
    let bytes: Option<Vec<u8>> = raw.chars().map(byte_of).collect();
    let byte_level =
        matches!(tokenizer.get_decoder(), Some(tokenizers::DecoderWrapper::ByteLevel(_)));
    Some(match bytes {
        Some(bytes) if byte_level => readable(&bytes),
        // A token that was added is in the vocabulary as it stands.
        _ if byte_level => raw,
        _ => raw.replace('\u{2581}', " "),
    })
}

/// Bytes as text; those that are no whole character as `<0xE4>`.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("<0x{b:02X}>")));
    }
    out
}
