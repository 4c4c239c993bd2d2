//! Random numbers without state to store: a stream is a seed and a name, and step t reads block t.
//!
//! [`Stream::new`] derives a key from blake3(seed as 8 little-endian bytes, then the name);
//! [`Stream::block`] is the ChaCha8 keystream (Bernstein 2008) of that key with t as its 64-bit stream
//! number. Two runs that ask for the same (seed, name, t) get the same numbers, whatever else they
//! drew, so a run that stops and resumes needs to store nothing.
//!
//! ```
//! use flyroom_tensor::random::Stream;
//! let data = Stream::new(0, "data");
//! assert_eq!(data.block(3).permutation(5), data.block(3).permutation(5));
//! assert_ne!(data.block(3).next_u64(), data.block(4).next_u64());
//! ```

use crate::math::{ln64, sin_cos_turns64};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A key from which any number of blocks of random numbers follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u8; 32],
}

impl Stream {
    /// The stream of a seed under a name (what it is for: `"init"`, `"data"`, ...).
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// The generator of step `t`.
    pub fn block(&self, t: u64) -> Generator {
        let mut words = ChaCha8Rng::from_seed(self.key);
        words.set_stream(t);
        Generator { words, spare: None }
    }
}

/// The numbers of one block, in order.
#[derive(Clone, Debug)]
pub struct Generator {
    words: ChaCha8Rng,
    /// The second value of the last pair of normals.
    spare: Option<f64>,
}

impl Generator {
    /// The next 32 bits of the keystream.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        self.words.next_u32()
    }

    /// The next 64 bits: two words, the low one first.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32());
        high << 32 | low
    }

    /// Uniform in [0, 1), a multiple of 2^-24: the top bits of one word.
    #[inline]
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1), a multiple of 2^-53: the top bits of two words.
    pub fn uniform64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Standard normal, rounded from [`Generator::normal64`].
    pub fn normal(&mut self) -> f32 {
        self.normal64() as f32
    }

    /// Standard normal (Box and Muller 1958): of a pair of uniforms u, v the values
    /// sqrt(-2 ln(1 - u)) cos(2 pi v), then the same with the sine.
    pub fn normal64(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * ln64(1.0 - self.uniform64())).sqrt();
        let (sine, cosine) = sin_cos_turns64(self.uniform64());
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Uniform in 0..n without bias (Lemire 2019): the high half of a 64 x 64 bit product, drawn
    /// again in the rare cases that would favour some values.
    ///
    /// # Panics
    /// If n is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no number is below 0");
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// True with probability p.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform64() < p
    }

    /// Shuffles in place (Fisher and Yates; Durstenfeld 1964), from the last element down.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }

    /// 0..n in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..n).collect();
        self.shuffle(&mut items);
        items
    }

    /// `count` distinct numbers below n, in random order: a shuffle from the front that stops early.
    ///
    /// # Panics
    /// If `count` exceeds n.
    pub fn choose(&mut self, n: usize, count: usize) -> Vec<usize> {
        assert!(count <= n, "cannot choose {count} of {n}");
        let mut items: Vec<usize> = (0..n).collect();
        for i in 0..count {
            let j = i + self.below((n - i) as u64) as usize;
            items.swap(i, j);
        }
        items.truncate(count);
        items
    }

    /// Fills with low + (high - low) u, u uniform in [0, 1).
    pub fn fill_uniform(&mut self, out: &mut [f32], low: f32, high: f32) {
        for x in out {
            *x = low + (high - low) * self.uniform();
        }
    }

    /// Fills with normals of standard deviation `scale`.
    pub fn fill_normal(&mut self, out: &mut [f32], scale: f32) {
        for x in out {
            *x = self.normal() * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn chacha8_gives_the_published_keystream() {
        // Key and stream 0, from the eSTREAM vectors of ChaCha8 (256-bit key, 64-bit IV): 3e00ef2f.
        let mut words = ChaCha8Rng::from_seed([0; 32]);
        assert_eq!(words.next_u32().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f]);
    }

    #[test]
    fn streams_differ_by_seed_name_and_block() {
        let first = |seed, name: &str, t| Stream::new(seed, name).block(t).next_u64();
        let all = [first(0, "a", 0), first(1, "a", 0), first(0, "b", 0), first(0, "a", 1)];
        for i in 0..4 {
            for j in 0..i {
                assert_ne!(all[i], all[j]);
            }
        }
    }

    #[test]
    fn moments_of_uniform_and_normal_are_those_of_their_laws() {
        let mut g = Stream::new(7, "moments").block(0);
        let n = 200_000;
        let (mut u1, mut u2, mut z1, mut z2, mut z4) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let u = f64::from(g.uniform());
            let z = g.normal64();
            u1 += u;
            u2 += u * u;
            z1 += z;
            z2 += z * z;
            z4 += z * z * z * z;
        }
        let n = f64::from(n);
        // Five standard errors each: sqrt(1/12), sqrt(4/45), 1, sqrt(2), sqrt(96) over sqrt(n).
        let limit = 5.0 / n.sqrt();
        assert!((u1 / n - 0.5).abs() < 0.289 * limit);
        assert!((u2 / n - 1.0 / 3.0).abs() < 0.299 * limit);
        assert!((z1 / n).abs() < limit);
        assert!((z2 / n - 1.0).abs() < 1.415 * limit);
        assert!((z4 / n - 3.0).abs() < 9.8 * limit);
    }

    #[test]
    fn below_is_uniform_and_permutations_are_permutations() {
        let mut g = Stream::new(3, "below").block(0);
        let mut counts = [0i32; 7];
        for _ in 0..70_000 {
            counts[g.below(7) as usize] += 1;
        }
        // Five standard deviations of a count: sqrt(70000 6/49) = 93.
        assert!(counts.iter().all(|c| (c - 10_000).abs() < 465), "{counts:?}");
        for n in [0, 1, 2, 17] {
            let mut p = g.permutation(n);
            p.sort_unstable();
            assert_eq!(p, (0..n).collect::<Vec<_>>());
        }
        let mut chosen = g.choose(50, 20);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 20);
    }

    #[test]
    fn the_test_vectors_of_bits_md_hold() {
        let mut g = Stream::new(42, "test vector").block(5);
        let words: Vec<u32> = (0..4).map(|_| g.next_u32()).collect();
        assert_eq!(words, WORDS);
        let mut bytes = vec![];
        for _ in 0..1000 {
            bytes.extend(g.uniform().to_le_bytes());
            bytes.extend(g.uniform64().to_le_bytes());
            bytes.extend(g.normal64().to_le_bytes());
            bytes.extend(g.below(1_000_003).to_le_bytes());
        }
        for i in g.permutation(1000) {
            bytes.extend((i as u64).to_le_bytes());
        }
        assert_eq!(hash::bytes(&bytes).to_string(), DRAWS);
    }

    const WORDS: [u32; 4] = [2_101_301_256, 1_739_837_606, 2_135_877_966, 2_950_475_795];
    const DRAWS: &str = "49e7c569e52b364ea5392fa5ca6dedaa539cf7c426d6c6521ec17b7051157e02";
}
