//! SentencePiece BPE (Kudo and Richardson 2018): of all neighbours whose join is in the vocabulary,
//! the join with the greatest score is made, the leftmost of equals, until there is none. A
//! character that no piece covers is written in bytes, `<0x0A>`.

use super::byte_level::readable;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// A token: its bytes and its score.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub bytes: Vec<u8>,
    pub score: f32,
}

/// A vocabulary with scores.
#[derive(Debug)]
pub(super) struct Scored {
    pieces: Vec<Piece>,
    /// The first id of each piece.
    ids: BTreeMap<Vec<u8>, u32>,
    /// How the vocabulary writes a space.
    space: &'static str,
    /// Whether a text gets a space in front.
    prefix: bool,
    unknown: Option<u32>,
    /// Tokens that are found in text as they stand, longest first.
    added: Vec<(String, u32)>,
}

/// A possible join.
#[derive(PartialEq)]
struct Join {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when it was found: later joins make it void.
    len: usize,
}

impl Eq for Join {}

impl Ord for Join {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A run of bytes of the text; of length 0 once its left neighbour has taken it.
struct Symbol {
    start: usize,
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

impl Scored {
    pub fn new(
        pieces: Vec<Piece>,
        space: &'static str,
        prefix: bool,
        unknown: Option<u32>,
        mut added: Vec<(String, u32)>,
    ) -> Self {
        let mut ids = BTreeMap::new();
        for (id, piece) in (0..).zip(&pieces) {
            ids.entry(piece.bytes.clone()).or_insert(id);
        }
        added.retain(|(t, _)| !t.is_empty());
        added.sort_by_key(|(t, _)| std::cmp::Reverse(t.len()));
        Self { pieces, ids, space, prefix, unknown, added }
    }

    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token.as_bytes()).copied()
    }

    /// The tokens of a text; the byte that has none if that cannot be.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, u8> {
        let mut out = Vec::new();
        let mut rest = text;
        let mut first = true;
        while !rest.is_empty() {
            let found = self.find_added(rest);
            let (plain, token) = found.map_or((rest, None), |(at, t)| (&rest[..at], Some(t)));
            if !plain.is_empty() {
                let prefix = if first && self.prefix { " " } else { "" };
                let plain = format!("{prefix}{plain}").replace(' ', self.space);
                self.merge(&plain, &mut out)?;
                first = false;
            }
            let after = plain.len() + token.map_or(0, |(t, _)| t.len());
            out.extend(token.map(|(_, id)| *id));
            rest = &rest[after..];
        }
        Ok(out)
    }

    /// The first token that stands in the text as it is, and where.
    fn find_added(&self, text: &str) -> Option<(usize, &(String, u32))> {
        if self.added.is_empty() {
            return None;
        }
        text.char_indices().find_map(|(at, _)| {
            self.added.iter().find(|(t, _)| text[at..].starts_with(t.as_str())).map(|t| (at, t))
        })
    }

    fn merge(&self, text: &str, out: &mut Vec<u32>) -> Result<(), u8> {
        let bytes = text.as_bytes();
        let count = text.chars().count();
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(i, (start, c))| Symbol {
                start,
                len: c.len_utf8(),
                before: i.checked_sub(1),
                after: Some(i + 1).filter(|&n| n < count),
            })
            .collect();
        let mut heap = BinaryHeap::new();
        for right in 1..symbols.len() {
            heap.extend(self.join(bytes, &symbols, right - 1, right));
        }
        while let Some(Join { left, right, len, .. }) = heap.pop() {
            let (a, b) = (symbols[left].len, symbols[right].len);
            if a == 0 || b == 0 || a + b != len {
                continue;
            }
            symbols[left].len = len;
            symbols[right].len = 0;
            let after = symbols[right].after;
            symbols[left].after = after;
            if let Some(after) = after {
                symbols[after].before = Some(left);
                heap.extend(self.join(bytes, &symbols, left, after));
            }
            if let Some(before) = symbols[left].before {
                heap.extend(self.join(bytes, &symbols, before, left));
            }
        }
        for s in symbols.iter().filter(|s| s.len > 0) {
            let piece = &bytes[s.start..s.start + s.len];
            match self.ids.get(piece) {
                Some(&id) => out.push(id),
                None => self.spell(piece, out)?,
            }
        }
        Ok(())
    }

    fn join(&self, bytes: &[u8], symbols: &[Symbol], left: usize, right: usize) -> Option<Join> {
        let (start, len) = (symbols[left].start, symbols[left].len + symbols[right].len);
        let id = *self.ids.get(&bytes[start..start + len])?;
        Some(Join { score: self.pieces[id as usize].score, left, right, len })
    }

    /// A character in bytes; one unknown token where a byte has none.
    fn spell(&self, piece: &[u8], out: &mut Vec<u32>) -> Result<(), u8> {
        let ids: Result<Vec<u32>, u8> =
            piece.iter().map(|b| self.id(&format!("<0x{b:02X}>")).ok_or(*b)).collect();
        match (ids, self.unknown) {
            (Ok(ids), _) => out.extend(ids),
            (Err(_), Some(unknown)) => out.push(unknown),
            (Err(b), None) => return Err(b),
        }
        Ok(())
    }

    /// The bytes that a token stands for.
    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        let piece = &self.pieces.get(id as usize)?.bytes;
        Some(match byte_token(piece) {
            Some(b) => vec![b],
            None => match std::str::from_utf8(piece) {
                Ok(text) => text.replace(self.space, " ").into_bytes(),
                Err(_) => piece.clone(),
            },
        })
    }

    /// The text of tokens, without the space that was put in front.
    pub fn decode(&self, ids: &[u32], bos: Option<u32>) -> String {
        let ids = match ids.split_first() {
            Some((first, rest)) if Some(*first) == bos => rest,
            _ => ids,
        };
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| self.bytes_of(id)).flatten().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = if self.prefix { text.strip_prefix(' ').unwrap_or(&text) } else { &text };
        text.to_string()
    }

    pub fn display(&self, id: u32) -> Option<String> {
        Some(readable(&self.bytes_of(id)?))
    }
}

/// The byte of `<0x0A>`.
fn byte_token(piece: &[u8]) -> Option<u8> {
    let &[b'<', b'0', b'x', high, low, b'>'] = piece else { return None };
    let digit = |d: u8| char::from(d).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// llama2.c's `tokenizer.bin`: the longest piece, then for each its score, length and bytes.
pub(super) fn pieces_of_bin(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut rest = bytes.get(4..)?;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (score, after) = rest.split_first_chunk()?;
        let (len, after) = after.split_first_chunk()?;
        let len = usize::try_from(i32::from_le_bytes(*len)).ok()?;
        let (bytes, after) = after.split_at_checked(len)?;
        pieces.push(Piece { bytes: bytes.to_vec(), score: f32::from_le_bytes(*score) });
        rest = after;
    }
    Some(pieces)
}

/// A list of `{"id": 0, "score": 0.0, "bytes": [60, ...]}` in order of id.
pub(super) fn pieces_of_json(list: &[Value]) -> Option<Vec<Piece>> {
    let byte = |b: &Value| b.as_u64().and_then(|b| u8::try_from(b).ok());
    let one = |(at, entry): (usize, &Value)| {
        let bytes = entry["bytes"].as_array()?.iter().map(byte).collect::<Option<_>>()?;
        let score = entry["score"].as_f64()? as f32;
        (entry["id"].as_u64()? == at as u64).then_some(Piece { bytes, score })
    };
    list.iter().enumerate().map(one).collect()
}
