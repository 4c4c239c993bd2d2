//! Text to tokens and back, by the rules of the file that a model came with.
//!
//! A model says nothing without its tokenizer. Two families cover the models here: byte-level BPE
//! (GPT-2, Llama 3, Qwen, SmolLM: Radford et al. 2019; Sennrich et al. 2016) and whatever else a
//! `tokenizer.json` declares are executed by Hugging Face's `tokenizers`; SentencePiece BPE (Llama 1
//! and 2, llama2.c: Kudo and Richardson 2018), which merges by score, is [`scored`]'s.
//!
//! | file | is read by |
//! |---|---|
//! | `*.gguf` | [`Tokenizer::from_gguf`] |
//! | `tokenizer.json` | [`byte_level`]; its truncation, padding and dropout are left out: the same text gives the same tokens |
//! | `vocab.json` (a map) with `merges.txt` | [`byte_level`], as GPT-2 |
//! | `vocab.json` (a list), `tok512.bin` | [`scored`], as llama2.c |
//!
//! ```no_run
//! use flyroom_network::tokenizer::Tokenizer;
//! let tokenizer = Tokenizer::open("model.gguf".as_ref())?;
//! let ids = tokenizer.prompt("The capital of France is")?; // with the first token of a text
//! assert_eq!(tokenizer.display(ids[0]).as_deref(), Some("The"));
//! # Ok::<(), flyroom_network::Error>(())
//! ```

mod byte_level;
mod gguf;
mod scored;

use crate::Error;
use crate::format::Source;
use crate::format::gguf::Gguf;
use scored::Scored;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Files of a folder that hold a tokenizer, the fullest first.
const NAMES: [&str; 4] = ["tokenizer.json", "vocab.json", "tok512.bin", "tokenizer.bin"];
/// The longest text file that is read; the largest vocabularies take 35 MB.
const LONGEST: u64 = 1 << 28;

/// Text to tokens and back.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    rules: Rules,
    bos: Option<u32>,
    eos: Option<u32>,
    /// Whether a text begins with `bos` although the rules do not say so.
    add_bos: bool,
}

#[derive(Debug)]
enum Rules {
    Declared(Box<tokenizers::Tokenizer>),
    Scored(Scored),
}

impl Tokenizer {
    /// Reads the tokenizer of a file, or of a folder that holds one.
    ///
    /// # Errors
    /// If the file is none of those above, or does not hold what they do.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let there = NAMES.iter().map(|n| path.join(n)).find(|p| p.is_file());
            let file = there.ok_or_else(|| {
                Error::format(
                    path,
                    format!("no tokenizer here; hint: it would be one of {NAMES:?}"),
                )
            })?;
            return Self::open(&file);
        }
        let source = Source::open(path)?;
        let magic = source.at(0, source.len().min(4), "the magic number")?;
        if magic == b"GGUF" {
            return Self::from_gguf(&Gguf::from_source(source)?);
        }
        let bytes = read(&source)?;
        if path.extension().is_some_and(|e| e == "bin") {
            let pieces = scored::pieces_of_bin(&bytes)
                .ok_or_else(|| source.bad("not a tokenizer of llama2.c"))?;
            return Ok(Self::of_llama2c(path, pieces));
        }
        let json: Value = serde_json::from_slice(&bytes)
            .map_err(|e| source.bad(format!("not a tokenizer ({e})")))?;
        match json {
            Value::Array(list) => {
                let pieces = scored::pieces_of_json(&list).ok_or_else(|| {
                    source.bad("not a vocabulary: each entry is {id, score, bytes, text}")
                })?;
                Ok(Self::of_llama2c(path, pieces))
            }
            Value::Object(map) if map.contains_key("model") => {
                Self::declared(path, Value::Object(map))
            }
            vocab @ Value::Object(_) => {
                let merges = path.with_file_name("merges.txt");
                let merges = read(&Source::open(&merges)?)?;
                let merges = String::from_utf8(merges)
                    .map_err(|_| source.bad("the merges beside it are not UTF-8"))?;
                let merges = merges.lines().filter(|l| !l.starts_with("#version") && !l.is_empty());
                let json = byte_level::declaration(byte_level::Declared {
                    vocab,
                    merges: merges.map(str::to_owned).collect(),
                    pre: byte_level::PreTokenizer::Gpt2,
                    added: vec![],
                });
                Self::declared(path, json)
            }
            _ => Err(source.bad("not a tokenizer: neither a map nor a list")),
        }
    }

    /// The same of the bytes of a `tokenizer.json`; `path` names them in errors.
    pub fn from_json(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let json = serde_json::from_slice(bytes)
            .map_err(|e| Error::format(path, format!("not a tokenizer ({e})")))?;
        Self::declared(path, json)
    }

    fn declared(path: &Path, json: Value) -> Result<Self, Error> {
        let rules = byte_level::load(json)
            .map_err(|e| Error::format(path, format!("not a tokenizer that is understood: {e}")))?;
        let first = rules.encode_fast("", true).ok().and_then(|e| e.get_ids().first().copied());
        Ok(Self {
            path: path.into(),
            rules: Rules::Declared(Box::new(rules)),
            bos: first,
            eos: None,
            add_bos: false,
        })
    }

    fn of_llama2c(path: &Path, pieces: Vec<scored::Piece>) -> Self {
        let rules = Scored::new(pieces, " ", true, Some(0), vec![]);
        let path = path.into();
        // The format has no fields for these; its models have them there.
        Self { path, rules: Rules::Scored(rules), bos: Some(1), eos: Some(2), add_bos: true }
    }

    /// The tokens of a text alone.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        match &self.rules {
            Rules::Declared(t) => self.declared_ids(t, text, false),
            Rules::Scored(s) => self.scored_ids(s, text),
        }
    }

    /// The tokens that a model is given for a text: with the first token where the file says that
    /// there is one.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        let ids = match &self.rules {
            Rules::Declared(t) => self.declared_ids(t, text, true)?,
            Rules::Scored(s) => self.scored_ids(s, text)?,
        };
        let bos = self.bos.filter(|_| self.add_bos);
        Ok(bos.into_iter().chain(ids).collect())
    }

    fn declared_ids(
        &self,
        rules: &tokenizers::Tokenizer,
        text: &str,
        special: bool,
    ) -> Result<Vec<u32>, Error> {
        let encoded = rules.encode_fast(text, special);
        let encoded = encoded.map_err(|e| Error::format(&self.path, e.to_string()))?;
        Ok(encoded.get_ids().to_vec())
    }

    fn scored_ids(&self, rules: &Scored, text: &str) -> Result<Vec<u32>, Error> {
        rules.encode(text).map_err(|b| {
            Error::format(
                &self.path,
                format!("no token for the byte {b:#04x}, and none for unknown"),
            )
        })
    }

    /// The text of tokens; ids that there are not are left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        match &self.rules {
            Rules::Declared(t) => {
                t.decode(ids, false).map_err(|e| Error::format(&self.path, e.to_string()))
            }
            Rules::Scored(s) => Ok(s.decode(ids, self.bos)),
        }
    }

    /// One token as people read it: its text with its spaces; bytes that are no whole character
    /// as `<0xE4>`.
    pub fn display(&self, id: u32) -> Option<String> {
        match &self.rules {
            Rules::Declared(t) => byte_level::display(t, id),
            Rules::Scored(s) => s.display(id),
        }
    }

    /// The id of a token as the vocabulary writes it (`Ġthe`, `▁the`, `<s>`).
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.rules {
            Rules::Declared(t) => t.token_to_id(token),
            Rules::Scored(s) => s.id(token),
        }
    }

    /// How many tokens there are.
    pub fn size(&self) -> usize {
        match &self.rules {
            Rules::Declared(t) => t.get_vocab_size(true),
            Rules::Scored(s) => s.size(),
        }
    }

    /// The first token of a text, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text, if the file says which.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }
}

/// A whole text file.
fn read(source: &Source) -> Result<Vec<u8>, Error> {
    match source.len() {
        0..=LONGEST => source.at(0, source.len(), "the vocabulary"),
        n => Err(source.bad(format!("{n} bytes are no vocabulary"))),
    }
}
