//! Changes of a file: of bits, bytes, numbers, stretches, and by words of its format.

use flyroom_tensor::random::Generator;

/// Numbers at which readers go wrong.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    16,
    32,
    64,
    100,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    u64::MAX >> 1,
    u64::MAX,
];

/// The same as text.
const TEXTS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "-0",
    "1e999",
    "-1e-999",
    "1e308",
    "0.5",
    "18446744073709551615",
    "9223372036854775808",
    "4294967296",
    "null",
    "true",
    "[]",
];

fn below(draws: &mut Generator, n: usize) -> usize {
    draws.below(n.max(1) as u64) as usize
}

/// A stretch of a file: where it begins and how long it is.
fn stretch(draws: &mut Generator, len: usize) -> std::ops::Range<usize> {
    let start = below(draws, len);
    let most = (len - start).min(1 << below(draws, 12));
    start..start + below(draws, most + 1)
}

/// One of the good files, changed one to eight times.
pub fn change(
    draws: &mut Generator,
    corpus: &[Vec<u8>],
    words: &[&str],
    longest: usize,
) -> Vec<u8> {
    let mut file = corpus.get(below(draws, corpus.len())).cloned().unwrap_or_default();
    let most = 1 << below(draws, 4);
    for _ in 0..=below(draws, most) {
        once(draws, corpus, words, &mut file);
    }
    file.truncate(longest);
    file
}

fn once(draws: &mut Generator, corpus: &[Vec<u8>], words: &[&str], file: &mut Vec<u8>) {
    let len = file.len();
    let at = below(draws, len);
    match below(draws, 13) {
        0 if len > 0 => file[at] ^= 1 << below(draws, 8),
        1 if len > 0 => file[at] = draws.next_u32() as u8,
        2 if len > 0 => file[at] = file[at].wrapping_add(1 + 254 * below(draws, 2) as u8),
        3 => file.insert(at, draws.next_u32() as u8),
        4 => drop(file.drain(stretch(draws, len))),
        5 => file.truncate(at),
        // A stretch again, elsewhere.
        6 => {
            let copy = file[stretch(draws, len)].to_vec();
            file.splice(at..at, copy);
        }
        // A stretch of another file.
        7 => {
            let other = &corpus[below(draws, corpus.len())];
            let copy = other[stretch(draws, other.len())].to_vec();
            let to = (at + below(draws, 2) * copy.len()).min(len);
            file.splice(at..to, copy);
        }
        // A number in 1, 2, 4 or 8 bytes.
        8 | 9 => {
            let width = 1 << below(draws, 4);
            let mut number = NUMBERS[below(draws, NUMBERS.len())];
            if draws.bernoulli(0.25) {
                number = (len as u64).wrapping_add(draws.below(17)).wrapping_sub(8);
            }
            for (byte, new) in file.iter_mut().skip(at).zip(&number.to_le_bytes()[..width]) {
                *byte = *new;
            }
        }
        // A number in digits.
        10 => {
            let from = file.iter().skip(at).position(u8::is_ascii_digit).map_or(at, |p| at + p);
            let digits = file[from..].iter().take_while(|b| b.is_ascii_digit()).count();
            let text = TEXTS[below(draws, TEXTS.len())];
            file.splice(from..from + digits, text.bytes());
        }
        _ => {
            let word = words.get(below(draws, words.len())).copied().unwrap_or("{");
            let to = (at + below(draws, 2) * word.len()).min(len);
            file.splice(at..to, word.bytes());
        }
    }
}
