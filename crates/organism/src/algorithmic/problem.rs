//! The three problems: how a sequence is drawn, its answers, and where attention is said to go.

use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};

/// Which problem; `n` is the length of a list or word and `v` the number of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Problem {
    /// `n` distinct numbers, SEP, then the same in order: each next one is answered.
    Sort,
    /// START, a word, END: is it its own mirror image? Answered at END.
    Palindrome,
    /// START, a word: at each letter, which is the first that occurred once so far?
    FirstUnique,
}

/// Where one position is said to attend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The position that attends.
    pub query: usize,
    /// Positions to which it is said to attend, all alike.
    pub keys: Vec<usize>,
    /// The position to which it would attend by another rule: what must do harm.
    pub wrong: usize,
    /// Claims that one head should answer for: the number that is answered (of `Sort`), the position else.
    pub slot: usize,
    /// Which of [`Problem::kinds`] it is.
    pub kind: usize,
}

/// Letters and length of a problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequences {
    pub problem: Problem,
    pub letters: usize,
    pub length: usize,
}

impl Problem {
    /// Claims that are told apart: what they are called.
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Problem::Sort => &["next"],
            Problem::Palindrome => &["equal", "unequal"],
            Problem::FirstUnique => &["copy"],
        }
    }
}

impl Sequences {
    /// Marks behind the letters in the vocabulary.
    pub fn marks(self) -> &'static [&'static str] {
        match self.problem {
            Problem::Sort => &["SEP"],
            Problem::Palindrome => &["START", "END"],
            Problem::FirstUnique => &["START"],
        }
    }

    /// Tokens of a sequence.
    pub fn pos(self) -> usize {
        match self.problem {
            Problem::Sort => 2 * self.length,
            Problem::Palindrome => self.length + 2,
            Problem::FirstUnique => self.length + 1,
        }
    }

    /// Classes of an answer.
    pub fn classes(self) -> usize {
        match self.problem {
            Problem::Sort => self.letters,
            Problem::Palindrome => 2,
            Problem::FirstUnique => self.letters + 1,
        }
    }

    /// How many sequences there are, if they can be counted; of words for palindromes those with at most
    /// one letter that does not equal its mirror image, which are the hardest to tell.
    pub fn count(self) -> Option<usize> {
        let (v, half) = (self.letters, self.length / 2);
        let places = self.length as u32;
        match self.problem {
            Problem::Sort => {
                (0..self.length).try_fold(1usize, |all, i| all.checked_mul(v.saturating_sub(i)))
            }
            Problem::FirstUnique => v.checked_pow(places),
            Problem::Palindrome => v.checked_pow(places / 2)?.checked_mul(1 + half * (v - 1)),
        }
    }

    /// The i-th of them.
    pub fn nth(self, mut i: usize) -> Vec<u32> {
        let mut digit = |n: usize| {
            let digit = i % n;
            i /= n;
            digit
        };
        let (v, n) = (self.letters, self.length);
        match self.problem {
            Problem::Sort => {
                let mut free: Vec<u32> = (0..v as u32).collect();
                self.framed((0..n).map(|_| free.remove(digit(free.len()))).collect())
            }
            Problem::FirstUnique => self.framed((0..n).map(|_| digit(v) as u32).collect()),
            Problem::Palindrome => {
                let first: Vec<u32> = (0..n / 2).map(|_| digit(v) as u32).collect();
                let mut word: Vec<u32> = first.iter().chain(first.iter().rev()).copied().collect();
                if let Some(change) = digit(1 + n / 2 * (v - 1)).checked_sub(1) {
                    let letter = &mut word[n / 2 + change / (v - 1)];
                    *letter = (*letter + 1 + (change % (v - 1)) as u32) % v as u32;
                }
                self.framed(word)
            }
        }
    }

    /// A drawn sequence. Of words every second one is a palindrome, and half of the others differ from one in
    /// one letter; `row` says which.
    pub fn draw(self, random: &mut Generator, row: usize) -> Vec<u32> {
        if self.problem == Problem::Sort {
            let drawn = random.choose(self.letters, self.length);
            return self.framed(drawn.into_iter().map(|x| x as u32).collect());
        }
        let v = self.letters as u64;
        let mut word: Vec<u32> = (0..self.length).map(|_| random.below(v) as u32).collect();
        if self.problem == Problem::Palindrome && row % 4 != 3 {
            for i in 0..self.length / 2 {
                word[self.length - 1 - i] = word[i];
            }
            if row % 4 == 1 {
                let at = random.below(self.length as u64) as usize;
                word[at] = (word[at] + 1 + random.below(v - 1) as u32) % v as u32;
            }
        }
        self.framed(word)
    }

    /// Letters between marks, and behind a list the same in order without the last.
    fn framed(self, letters: Vec<u32>) -> Vec<u32> {
        let mark = self.letters as u32;
        match self.problem {
            Problem::Sort => {
                let mut order = letters.clone();
                order.sort_unstable();
                order.pop();
                letters.into_iter().chain([mark]).chain(order).collect()
            }
            Problem::Palindrome => [mark].into_iter().chain(letters).chain([mark + 1]).collect(),
            Problem::FirstUnique => [mark].into_iter().chain(letters).collect(),
        }
    }

    /// The answer at each position, `[pos]`, where there is one.
    pub fn answers(self, row: &[u32]) -> Vec<Option<u32>> {
        let mut out = vec![None; row.len()];
        match self.problem {
            Problem::Sort => {
                let mut order = row[..self.length].to_vec();
                order.sort_unstable();
                out.splice(self.length.., order.into_iter().map(Some));
            }
            Problem::Palindrome => {
                let word = &row[1..row.len() - 1];
                let same = word.iter().eq(word.iter().rev());
                out[row.len() - 1] = Some(u32::from(same));
            }
            Problem::FirstUnique => {
                for p in 1..row.len() {
                    let seen = &row[1..=p];
                    let once = |&&x: &&u32| seen.iter().filter(|&&y| y == x).count() == 1;
                    out[p] = Some(seen.iter().find(once).copied().unwrap_or(self.letters as u32));
                }
            }
        }
        out
    }

    /// Where the positions of a sequence are said to attend.
    pub fn claims(self, row: &[u32]) -> Vec<Claim> {
        let n = self.length;
        match self.problem {
            Problem::Sort => {
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_unstable_by_key(|&i| row[i]);
                let claim = |i: usize| Claim {
                    query: n + i,
                    keys: vec![order[i]],
                    wrong: order[(i + 1) % n],
                    slot: row[order[i]] as usize,
                    kind: 0,
                };
                (0..n).map(claim).collect()
            }
            Problem::Palindrome => {
                let claim = |query: usize| {
                    let mirror = n + 1 - query;
                    let equal = row[mirror] == row[query];
                    let (key, wrong) = if equal { (mirror, query) } else { (query, mirror) };
                    let kind = usize::from(!equal);
                    Claim { query, keys: vec![key], wrong, slot: query, kind }
                };
                (n / 2 + 1..=n).map(claim).collect()
            }
            Problem::FirstUnique => {
                let claim = |query: usize| {
                    let keys: Vec<usize> = (1..query).filter(|&k| row[k] == row[query]).collect();
                    Claim { query, keys, wrong: 0, slot: query, kind: 0 }
                };
                (2..=n).map(claim).filter(|c| !c.keys.is_empty()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::Stream;
    use std::collections::BTreeSet;

    fn of(problem: Problem, letters: usize, length: usize) -> Sequences {
        Sequences { problem, letters, length }
    }

    #[test]
    fn all_sequences_are_counted_and_differ() {
        // Of 81 words 9 are palindromes and 36 have one pair that differs: 9 times 2 places times 2 letters.
        for (s, count) in [
            (of(Problem::Sort, 5, 3), 60),
            (of(Problem::Palindrome, 3, 4), 45),
            (of(Problem::FirstUnique, 3, 4), 81),
        ] {
            assert_eq!(s.count(), Some(count));
            let all: BTreeSet<Vec<u32>> = (0..count).map(|i| s.nth(i)).collect();
            assert_eq!(all.len(), count);
            let mut random = Stream::new(0, "sequences").block(0);
            // Every fourth word is drawn freely.
            let near = |row: &usize| s.problem != Problem::Palindrome || row % 4 != 3;
            assert!((0..100).filter(near).all(|row| all.contains(&s.draw(&mut random, row))));
        }
    }

    #[test]
    fn answers_and_claims_are_those_of_examples() {
        // The list 3 0 2: behind SEP comes 0, at position 1.
        let s = of(Problem::Sort, 4, 3);
        let row = s.framed(vec![3, 0, 2]);
        assert_eq!(row, [3, 0, 2, 4, 0, 2]);
        assert_eq!(s.answers(&row), [None, None, None, Some(0), Some(2), Some(3)]);
        let keys: Vec<_> =
            s.claims(&row).into_iter().map(|c| (c.query, c.keys[0], c.wrong)).collect();
        assert_eq!(keys, [(3, 1, 2), (4, 2, 0), (5, 0, 1)]);
        // The last letter of a b c a equals its mirror image, the third does not.
        let s = of(Problem::Palindrome, 3, 4);
        let row = s.framed(vec![0, 1, 2, 0]);
        assert_eq!(s.answers(&row).last(), Some(&Some(0)));
        let keys: Vec<_> =
            s.claims(&row).into_iter().map(|c| (c.query, c.keys[0], c.kind)).collect();
        assert_eq!(keys, [(3, 3, 1), (4, 1, 0)]);
        // The problem's own example: acbba wants aaaac.
        let s = of(Problem::FirstUnique, 3, 5);
        let row = s.framed(vec![0, 2, 1, 1, 0]);
        let wanted = [None, Some(0), Some(0), Some(0), Some(0), Some(2)];
        assert_eq!(s.answers(&row), wanted);
        let keys: Vec<_> = s.claims(&row).into_iter().map(|c| (c.query, c.keys)).collect();
        assert_eq!(keys, [(4, vec![3]), (5, vec![1])]);
    }
}
