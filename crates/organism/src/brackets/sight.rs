//! Which head sees which failure, by interventions.
//!
//! *Measures*, for each head and each way of failing: of the words that fail in this way alone and are told, the share
//! that passes for balanced when the head writes, at all positions, what it writes on a balanced word (`lost`). *Intuition*:
//! what a head alone sees is unseen when it looks elsewhere. *Null*: the head looks at another word that fails in the
//! same way (`null`); the sight is what is lost beyond that. *Other way round* (`raised`): of the balanced words, the share
//! that passes for unbalanced when the head looks at one that fails so; the null is that it looks at another balanced one.
//! Heads that stand in for each other lose nothing one by one and each of them raises.
//!
//! In notebooks on a network like this one (Alignment Research Center and Redwood Research's bracket classifier) one head
//! was found for the count and others for the depth. The words:
//!
//! | word | is |
//! |---|---|
//! | `separate` | a head loses [`SEES`] or more of the words of one way and at most [`BLIND`] of those of the other, and another head the other way round |
//! | `shared` | a head loses [`SEES`] or more of both |
//! | `one-sided` | some head loses [`SEES`] of one way, and none of the other |
//! | `spread` | no head loses [`SEES`] of either |

use super::Failures;
use crate::{Error, Task};
use flyroom_network::{Intervention, Operation, Row, Runner, Selector, TransformerConfig};

/// Share of words from which on a head sees a failure.
pub(super) const SEES: f64 = 0.5;
/// Share of words up to which a head is blind to it.
pub(super) const BLIND: f64 = 0.1;

/// What one head sees of one way of failing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Seen {
    /// Words that pass for balanced when it looks at a balanced one.
    pub lost: f64,
    /// And when it looks at another word that fails in the same way.
    pub null: f64,
    /// Balanced words that pass for unbalanced when it looks at one that fails so.
    pub raised: f64,
    /// And when it looks at another balanced one.
    pub raised_null: f64,
}

impl Seen {
    pub(super) fn sight(self) -> f64 {
        self.lost - self.null
    }
}

/// A head: layer and number.
pub(super) type Head = (usize, usize);

/// What each head sees of each way.
pub(super) struct Sight {
    pub heads: Vec<(Head, Vec<Seen>)>,
}

impl Sight {
    /// Of words that fail in each of `ways` alone, told or not by `says` of an output.
    pub(super) fn of(
        task: &Task,
        runner: &Runner,
        c: &TransformerConfig,
        failures: &[Failures],
        ways: &[Failures],
    ) -> Result<Self, Error> {
        let pos = task.pos();
        let says = |logits: &[f32]| {
            let at = (pos - 1) * 2;
            logits[at + 1] > logits[at]
        };
        let clean = runner.logits()?;
        let right = |&i: &usize| says(clean.row(i)) == failures[i].none();
        let told = |way: Failures| -> Vec<usize> {
            (0..task.clean).filter(|&i| failures[i] == way).filter(right).collect()
        };
        let balanced = told(Failures::default());
        // The share of words whose answer is `wanted` when a head looks at a word of `at`.
        let share = |(l, h): Head, words: &[usize], at: &[usize], shift: usize, wanted: bool| {
            if words.is_empty() || at.is_empty() {
                return Ok::<f64, Error>(0.0);
            }
            let z = Selector::site(format!("blocks.{l}.attn.hook_z")).at_head(h);
            let looks = |(k, &input): (usize, &usize)| {
                let operation = Operation::Interchange { input: at[(k + shift) % at.len()] };
                Row { input, interventions: vec![Intervention::site(z.clone(), operation)] }
            };
            let rows: Vec<Row> = words.iter().enumerate().map(looks).collect();
            let hits = runner.run(&rows)?.iter().filter(|y| says(y) == wanted).count();
            Ok(hits as f64 / words.len() as f64)
        };
        let mut heads = vec![];
        for head in (0..c.n_layers).flat_map(|l| (0..c.n_heads).map(move |h| (l, h))) {
            let mut seen = vec![];
            for &way in ways {
                let words = told(way);
                seen.push(Seen {
                    lost: share(head, &words, &balanced, 0, true)?,
                    null: share(head, &words, &words, 1, true)?,
                    raised: share(head, &balanced, &words, 0, false)?,
                    raised_null: share(head, &balanced, &balanced, 1, false)?,
                });
            }
            heads.push((head, seen));
        }
        Ok(Self { heads })
    }

    /// The head that loses most of a way.
    pub(super) fn best(&self, way: usize) -> Option<&(Head, Vec<Seen>)> {
        self.heads.iter().reduce(|a, b| if b.1[way].sight() > a.1[way].sight() { b } else { a })
    }

    /// The word for two ways.
    pub(super) fn word(&self, one: usize, other: usize) -> &'static str {
        let any = |f: &dyn Fn(&[Seen]) -> bool| self.heads.iter().any(|(_, seen)| f(seen));
        let only = |a: usize, b: usize| any(&|s| s[a].sight() >= SEES && s[b].sight() <= BLIND);
        let sees = |way: usize| any(&|s| s[way].sight() >= SEES);
        if only(one, other) && only(other, one) {
            "separate"
        } else if any(&|s| s[one].sight() >= SEES && s[other].sight() >= SEES) {
            "shared"
        } else if sees(one) || sees(other) {
            "one-sided"
        } else {
            "spread"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(lost: &[[f64; 2]]) -> Sight {
        let seen = |lost| Seen { lost, null: 0.02, ..Seen::default() };
        let heads = lost.iter().enumerate().map(|(h, l)| ((1, h), l.map(seen).to_vec()));
        Sight { heads: heads.collect() }
    }

    #[test]
    fn words_are_what_their_thresholds_say() {
        for (lost, word) in [
            (&[[0.9, 0.1], [0.0, 0.8]][..], "separate"),
            (&[[0.9, 0.6], [0.0, 0.8]], "shared"),
            (&[[0.9, 0.3], [0.0, 0.8]], "one-sided"),
            (&[[0.9, 0.0], [0.0, 0.4]], "one-sided"),
            (&[[0.4, 0.0], [0.0, 0.4]], "spread"),
        ] {
            assert_eq!(sight(lost).word(0, 1), word, "{lost:?}");
        }
        assert_eq!(sight(&[[0.1, 0.9], [0.6, 0.2]]).best(0).unwrap().0, (1, 1));
    }
}
