//! The name of a result: what was asked for, and the hash of that.
//!
//! A [`CellSpec`] holds everything that decides the bits of a cell and nothing else: the kind of
//! work, the entry of the registry and its version, all parameters with the defaults filled in,
//! the seed, the keys of the inputs and `bits_epoch`. The commit, a path, the number of threads
//! and the kernels are absent, because rule 1 of the project says that they change no bit; a result
//! made on another machine last year is found again under the same [`Key`].
//!
//! ```
//! use flyroom_bench::CellSpec;
//! let spec = CellSpec::new("specimen", "superposition-5-2", 1)
//!     .with("steps", 10_000)
//!     .seed(3);
//! assert_eq!(
//!     spec.canonical(),
//!     r#"{"bits_epoch":1,"entry":"superposition-5-2","inputs":[],"kind":"specimen","parameters":{"steps":10000},"seed":3,"version":1}"#
//! );
//! assert_eq!(spec.key().short(), &spec.key().as_str()[..12]);
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical;

/// Raised in the commit that changes a test vector of the canonical order (docs/bits.md).
pub const BITS_EPOCH: u32 = 1;

/// The blake3 of a canonical JSON text, as 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key of a canonical text.
    pub fn of(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    /// A key as it was written, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(digit)).then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.short())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is not 64 hexadecimal digits"))
        })
    }
}

/// One deterministic job, by everything that decides its bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// What kind of work: `specimen`, `decomposition`, `explanation`, `card`, ...
    pub kind: String,
    /// The entry of a registry.
    pub entry: String,
    /// The entry's version, raised whenever the entry's results change.
    pub version: u32,
    /// All parameters, with the defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// The seed; work that draws nothing has none.
    pub seed: Option<u64>,
    /// The keys of the cells that this one reads, in the order in which it reads them.
    pub inputs: Vec<Key>,
    /// The epoch of the canonical order.
    pub bits_epoch: u32,
}

impl CellSpec {
    /// A spec without parameters, seed and inputs.
    pub fn new(kind: impl Into<String>, entry: impl Into<String>, version: u32) -> Self {
        Self {
            kind: kind.into(),
            entry: entry.into(),
            version,
            parameters: BTreeMap::new(),
            seed: None,
            inputs: Vec::new(),
            bits_epoch: BITS_EPOCH,
        }
    }

    /// With one parameter more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// With these parameters, as [`crate::plan::EntryInfo::fill`] gives them.
    #[must_use]
    pub fn parameters(mut self, parameters: BTreeMap<String, Value>) -> Self {
        self.parameters = parameters;
        self
    }

    /// With a seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The spec as a JSON value.
    pub fn to_value(&self) -> Value {
        json!({
            "kind": self.kind,
            "entry": self.entry,
            "version": self.version,
            "parameters": self.parameters,
            "seed": self.seed,
            "inputs": self.inputs,
            "bits_epoch": self.bits_epoch,
        })
    }

    /// The text that is hashed.
    pub fn canonical(&self) -> String {
        canonical::of_value(&self.to_value())
    }

    /// The name of the result.
    pub fn key(&self) -> Key {
        Key::of(&self.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_every_field_of_its_spec() {
        let base = CellSpec::new("specimen", "modadd113", 1).with("steps", 100).seed(0);
        let mut changed = vec![
            CellSpec { kind: "card".into(), ..base.clone() },
            CellSpec { entry: "modadd".into(), ..base.clone() },
            CellSpec { version: 2, ..base.clone() },
            base.clone().with("steps", 101),
            base.clone().with("steps", 100.0),
            base.clone().with("wd", 1.0),
            base.clone().seed(1),
            CellSpec { seed: None, ..base.clone() },
            CellSpec { inputs: vec![base.key()], ..base.clone() },
            CellSpec { bits_epoch: BITS_EPOCH + 1, ..base.clone() },
        ];
        changed.push(base.clone());
        let mut keys: Vec<Key> = changed.iter().map(CellSpec::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), changed.len());
    }

    #[test]
    fn a_spec_survives_its_own_text() {
        let spec = CellSpec::new("card", "effect-skill", 3).with("draws", 200).with("p", 0.05);
        let back: CellSpec = serde_json::from_str(&spec.canonical()).unwrap();
        assert_eq!(back.canonical(), spec.canonical());
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        assert!(Key::parse("abc").is_none());
        assert!(Key::parse(&"G".repeat(64)).is_none());
        assert!(Key::parse(&"A".repeat(64)).is_none());
        assert!(Key::parse(&"é".repeat(32)).is_none());
    }
}
