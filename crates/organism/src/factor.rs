//! What the states of a process are made of.
//!
//! The state of a story is its topic, its mood, what has happened and where its sentence stands. A [`Factor`] is one of
//! these: a value for each state, or none where it means nothing (a sentence that has not begun has no number), and
//! which states are alike in all else. A belief has a marginal for each factor; where factors are
//! independent given any history, which a grammar may be written for, marginals are all there is to it, and
//! putting one marginal in the place of another is exact ([`Factor::replaced`]).

use crate::Process;
use serde::{Deserialize, Serialize};

/// Mass of the states in which a factor means something, below which it means nothing to a belief.
const PRESENT: f64 = 0.999;

/// Total variation of the next token between two values, from which on a factor is asked for.
const ASKED: f64 = 0.05;

/// One factor of the states of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// Names of its values.
    pub values: Vec<String>,
    /// Its value in each state.
    pub of: Vec<Option<u32>>,
    /// States of one number here differ in this factor alone; as many numbers as states at most.
    pub rest: Vec<u32>,
}

impl Factor {
    /// Whether it says what it must of `states` states.
    pub(crate) fn fits(&self, states: usize) -> bool {
        let known = |v: &Option<u32>| v.is_none_or(|v| (v as usize) < self.values.len());
        self.values.len() > 1
            && self.of.len() == states
            && self.rest.len() == states
            && self.rest.iter().all(|&r| (r as usize) < states)
            && self.of.iter().all(known)
    }

    /// Chances of its values under a belief, `[value]`; `None` where it means nothing.
    pub fn marginal(&self, belief: &[f64]) -> Option<Vec<f64>> {
        let mut out = vec![0.0; self.values.len()];
        for (b, value) in belief.iter().zip(&self.of) {
            value.iter().for_each(|&v| out[v as usize] += b);
        }
        let mass: f64 = out.iter().sum();
        (mass >= PRESENT).then(|| out.into_iter().map(|p| p / mass).collect())
    }

    /// The belief with another marginal of this factor, all else as it was.
    pub fn replaced(&self, belief: &[f64], marginal: &[f64]) -> Vec<f64> {
        let groups = self.rest.iter().max().map_or(0, |&m| m as usize + 1);
        let mut mass = vec![0.0; groups];
        for ((b, value), &rest) in belief.iter().zip(&self.of).zip(&self.rest) {
            mass[rest as usize] += if value.is_some() { *b } else { 0.0 };
        }
        let one = |((b, value), &rest): ((&f64, &Option<u32>), &u32)| match *value {
            Some(v) => mass[rest as usize] * marginal[v as usize],
            None => *b,
        };
        belief.iter().zip(&self.of).zip(&self.rest).map(one).collect()
    }

    /// Whether the next token depends on it: some two of its values, all else as it is, give distributions that
    /// differ by a total variation of .05.
    pub fn asked(&self, process: &Process, belief: &[f64]) -> bool {
        if self.marginal(belief).is_none() {
            return false;
        }
        let certain = |v: usize| {
            let marginal: Vec<f64> =
                (0..self.values.len()).map(|w| f64::from(u8::from(w == v))).collect();
            process.next(&self.replaced(belief, &marginal))
        };
        let first = certain(0);
        (1..self.values.len()).any(|v| {
            let off = |(p, q): (&f64, &f64)| (p - q).abs();
            0.5 * first.iter().zip(&certain(v)).map(off).sum::<f64>() > ASKED
        })
    }
}
