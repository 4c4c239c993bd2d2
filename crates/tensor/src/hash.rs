//! Content hashes: what a specimen is cited by.
//!
//! A [`Digest`] is 32 bytes of blake3, written as 64 lower-case hexadecimal digits. The hash of
//! weights does not depend on the order in which they come, on the CPU or on the file format.
//!
//! ```
//! use flyroom_tensor::hash;
//! assert_eq!(
//!     hash::bytes(b"").to_string(), // the published test vector of blake3
//!     "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
//! );
//! ```

use std::fmt;
use std::str::FromStr;

/// 32 bytes of blake3.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash; hint: a hash is 64 hexadecimal digits")]
pub struct DigestError(String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError(text.to_owned());
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| error())?;
        }
        Ok(Digest(out))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

/// The hash of bytes.
pub fn bytes(data: &[u8]) -> Digest {
    Digest(*blake3::hash(data).as_bytes())
}

/// The hash of f32 values: of their little-endian bytes.
pub fn floats(data: &[f32]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    update_floats(&mut hasher, data);
    Digest(*hasher.finalize().as_bytes())
}

fn update_floats(hasher: &mut blake3::Hasher, data: &[f32]) {
    let mut buffer = [0u8; 4096];
    for part in data.chunks(buffer.len() / 4) {
        for (bytes, x) in buffer.as_chunks_mut::<4>().0.iter_mut().zip(part) {
            *bytes = x.to_le_bytes();
        }
        hasher.update(&buffer[..4 * part.len()]);
    }
}

/// The hash of named arrays, sorted by name: for each the name, the shape (lengths of the axes) and the
/// values, all little-endian; every name and shape after its length and every length and count as
/// 8 bytes.
pub fn weights_hash<'a>(
    weights: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>,
) -> Digest {
    let mut weights: Vec<_> = weights.into_iter().collect();
    weights.sort_by_key(|w| w.0);
    let mut hasher = blake3::Hasher::new();
    let number = |hasher: &mut blake3::Hasher, n: usize| {
        hasher.update(&(n as u64).to_le_bytes());
    };
    number(&mut hasher, weights.len());
    for (name, shape, values) in weights {
        number(&mut hasher, name.len());
        hasher.update(name.as_bytes());
        number(&mut hasher, shape.len());
        for &length in shape {
            number(&mut hasher, length);
        }
        number(&mut hasher, values.len());
        update_floats(&mut hasher, values);
    }
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_hash_ignores_order_and_sees_everything_else() {
        let x: Vec<f32> = (0..5000).map(|i| i as f32).collect();
        let hash = |name, shape: &[usize], values: &[f32]| {
            weights_hash([(name, shape, values), ("b", &[1], &[2.0])])
        };
        let base = hash("a", &[5, 1000], &x);
        let swapped = [("b", &[1][..], &[2.0][..]), ("a", &[5, 1000], &x)];
        assert_eq!(base, weights_hash(swapped));
        assert_ne!(base, hash("c", &[5, 1000], &x));
        assert_ne!(base, hash("a", &[1000, 5], &x));
        let mut y = x.clone();
        y[4999] = -0.0;
        assert_ne!(base, hash("a", &[5, 1000], &y));
    }

    #[test]
    fn hashes_are_read_back_and_other_text_is_an_error() {
        let digest = bytes(b"fly");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err());
        }
    }
}
