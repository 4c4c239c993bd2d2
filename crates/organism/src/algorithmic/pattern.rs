//! Where the heads of the first layer attend, beside where they are said to, and what comes of other patterns.
//!
//! *Measures* the attention that goes to the claimed positions, and the accuracy that is left when the
//! pattern is replaced: with the claimed one (does it suffice?), with attention to other positions, with uniform attention,
//! with the pattern of another input (does what is attended to follow the input?).
//! *Intuition*: a picture of attention shows what a head looks at, a replaced pattern whether it matters (Jain and
//! Wallace 2019, "Attention is not explanation", are why a picture is not enough).
//! *Source* of the claims: `docs/organisms/algorithmic.md`.

use super::problem::{Claim, Sequences};
use crate::{Error, Parameters, Task};
use flyroom_network::{Intervention, Network, Operation, Row, Runner, Selector};
use flyroom_tensor::Context;
use serde_json::json;
use std::collections::BTreeMap;

const SITE: &str = "blocks.0.attn.hook_pattern";

/// A head has a slot when so much of its attention goes to the claimed positions.
const HOLDS: f64 = 0.5;

/// Share of the accuracy that must be left where a pattern is said to do as well.
const LEFT: f64 = 0.95;

/// Accuracy from which on a network has solved its problem.
const SOLVED: f64 = 0.95;

/// What is said of a specimen's attention.
fn word(accuracy: f64, attention: f64, claimed: f64, uniform: f64) -> &'static str {
    let left = |x: f64| x >= LEFT * accuracy;
    match accuracy >= SOLVED {
        false => "unsolved",
        true if left(uniform) => "unneeded",
        true if attention >= HOLDS && left(claimed) => "claimed",
        true => "other",
    }
}

/// What stands in the place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// Itself.
    Own,
    Claimed,
    Wrong,
    Uniform,
    /// What it is on the partner of the input, at all positions of the heads that were found.
    Partner,
}

/// The clean patterns of the first layer with the claims about each input.
pub(super) struct Located<'a> {
    task: &'a Task,
    runner: Runner<'a>,
    claims: Vec<Vec<Claim>>,
    heads: usize,
    /// Mean attention to the claimed positions of each slot, for each head: `[slot][head]`.
    attention: BTreeMap<usize, Vec<f64>>,
}

impl<'a> Located<'a> {
    /// Reads the patterns of the clean inputs of a task.
    pub fn new(
        sequences: Sequences,
        task: &'a Task,
        network: &'a Network,
        cx: &Context,
    ) -> Result<Self, Error> {
        let runner = Runner::new(network, &task.inputs, cx)?;
        let heads = network.architecture().transformer().map_or(1, |c| c.n_heads);
        let claims = (0..task.clean).map(|i| sequences.claims(task.inputs.token_row(i)));
        let claims = claims.collect();
        let mut out = Self { task, runner, claims, heads, attention: BTreeMap::new() };
        for slot in out.slots() {
            let of = |head| out.mean(|c| c.slot == slot, |i, c| out.claimed(i, head, c));
            let found = (0..heads).map(of).collect::<Result<_, _>>()?;
            out.attention.insert(slot, found);
        }
        Ok(out)
    }

    fn slots(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.claims.iter().flatten().map(|c| c.slot).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn at(&self, head: usize, query: usize, key: usize) -> usize {
        (head * self.task.pos() + query) * self.task.pos() + key
    }

    /// Attention of a head to what is claimed on one input.
    fn claimed(&self, input: usize, head: usize, c: &Claim) -> Result<f64, Error> {
        let pattern = self.runner.clean(SITE)?;
        let row = pattern.row(input);
        Ok(c.keys.iter().map(|&k| f64::from(row[self.at(head, c.query, k)])).sum())
    }

    /// The mean over some claims.
    fn mean(
        &self,
        counts: impl Fn(&Claim) -> bool,
        of: impl Fn(usize, &Claim) -> Result<f64, Error>,
    ) -> Result<f64, Error> {
        let (mut sum, mut n) = (0.0, 0usize);
        for (i, claims) in self.claims.iter().enumerate() {
            for c in claims.iter().filter(|c| counts(c)) {
                sum += of(i, c)?;
                n += 1;
            }
        }
        Ok(sum / n.max(1) as f64)
    }

    /// The head that attends most to what is claimed of a slot.
    fn best(&self, slot: usize) -> usize {
        let of = &self.attention[&slot];
        (0..of.len()).fold(0, |b, h| if of[h] > of[b] { h } else { b })
    }

    /// The heads that have a slot: the best one, and all that have at least [`HOLDS`].
    fn having(&self, slot: usize) -> Vec<usize> {
        let of = &self.attention[&slot];
        let best = self.best(slot);
        (0..of.len()).filter(|&h| h == best || of[h] >= HOLDS).collect()
    }

    /// What a position sees uniformly: all of them, or itself and those before it.
    fn visible(&self, query: usize) -> usize {
        match self.runner.network().architecture().transformer() {
            Some(c) if c.causal => query + 1,
            _ => self.task.pos(),
        }
    }

    /// The accuracy that is left with another pattern.
    pub fn accuracy(&self, instead: Instead) -> Result<f64, Error> {
        let pos = self.task.pos();
        let pattern = self.runner.clean(SITE)?;
        let mut found: Vec<usize> = self.attention.keys().flat_map(|&s| self.having(s)).collect();
        found.sort_unstable();
        found.dedup();
        let mut rows = vec![];
        for (input, claims) in self.claims.iter().enumerate() {
            let mut values = pattern.row(input).to_vec();
            if instead == Instead::Partner {
                let other = pattern.row(self.task.partner[input]);
                for &h in &found {
                    let head = self.at(h, 0, 0)..self.at(h + 1, 0, 0);
                    values[head.clone()].copy_from_slice(&other[head]);
                }
            }
            for c in claims.iter().filter(|_| instead != Instead::Own) {
                for h in self.having(c.slot) {
                    let from = self.at(h, c.query, 0);
                    let row = &mut values[from..from + pos];
                    let keys: Vec<usize> = match instead {
                        Instead::Own | Instead::Partner => continue,
                        Instead::Claimed => c.keys.clone(),
                        Instead::Wrong => vec![c.wrong],
                        Instead::Uniform => (0..self.visible(c.query)).collect(),
                    };
                    row.fill(0.0);
                    let share = 1.0 / keys.len().max(1) as f32;
                    keys.into_iter().for_each(|k| row[k] = share);
                }
            }
            let set = Intervention::site(Selector::site(SITE), Operation::Set { values });
            rows.push(Row { input, interventions: vec![set] });
        }
        let outputs = self.runner.run(&rows)?.concat();
        self.task.accuracy(&outputs).ok_or_else(|| Error::Truth("answers are classes".into()))
    }

    /// `attention`: of the best head of each slot to the claimed positions, in the mean over slots, and
    /// `attention_KIND` by kinds of claims; `attention_head`: of the one head that is best over all slots;
    /// `attention_uniform`: what uniform attention has. `heads`: those that are best at some slot. `left`: the
    /// accuracy behind each replacement. `pattern`, in words: `claimed` where half of the attention goes where it is said
    /// to go and the claimed pattern leaves [`LEFT`] of the accuracy; `unneeded` where uniform attention leaves
    /// as much; `other`; `unsolved` below an accuracy of [`SOLVED`].
    pub fn metrics(&self, kinds: &[&str]) -> Result<Parameters, Error> {
        let slots = self.slots();
        let n = slots.len().max(1) as f64;
        let over = |of: &dyn Fn(usize) -> f64| slots.iter().map(|&s| of(s)).sum::<f64>() / n;
        let one = |h: usize| over(&|s| self.attention[&s][h]);
        let uniform = |_, c: &Claim| Ok(c.keys.len() as f64 / self.visible(c.query) as f64);
        let mut flat = 0.0;
        for &s in &slots {
            flat += self.mean(|c| c.slot == s, uniform)? / n;
        }
        let mut heads: Vec<usize> = slots.iter().map(|&s| self.best(s)).collect();
        heads.sort_unstable();
        heads.dedup();
        let names: Vec<String> = heads.iter().map(|h| format!("a0.h{h}")).collect();
        let attention = over(&|s| self.attention[&s][self.best(s)]);
        let mut out = Parameters::from_iter([
            ("attention".into(), json!(attention)),
            ("attention_head".into(), json!((0..self.heads).map(one).fold(0.0, f64::max))),
            ("attention_uniform".into(), json!(flat)),
            ("heads".into(), json!(names)),
        ]);
        if kinds.len() > 1 {
            for (kind, name) in kinds.iter().enumerate() {
                let of = |i, c: &Claim| self.claimed(i, self.best(c.slot), c);
                let share = self.mean(|c| c.kind == kind, of)?;
                out.insert(format!("attention_{name}"), json!(share));
            }
        }
        let [own, claimed, wrong, flattened, partner] = [
            self.accuracy(Instead::Own)?,
            self.accuracy(Instead::Claimed)?,
            self.accuracy(Instead::Wrong)?,
            self.accuracy(Instead::Uniform)?,
            self.accuracy(Instead::Partner)?,
        ];
        let left =
            json!({ "claimed": claimed, "wrong": wrong, "uniform": flattened, "partner": partner });
        out.insert("left".into(), left);
        out.insert("pattern".into(), json!(word(own, attention, claimed, flattened)));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_their_thresholds() {
        assert_eq!(word(0.9, 1.0, 1.0, 0.0), "unsolved");
        assert_eq!(word(1.0, 0.9, 0.96, 0.2), "claimed");
        assert_eq!(word(1.0, 0.4, 0.96, 0.2), "other");
        assert_eq!(word(1.0, 0.9, 0.9, 0.2), "other");
        // Where uniform attention does it, what is attended to says nothing.
        assert_eq!(word(1.0, 0.9, 1.0, 0.96), "unneeded");
    }
}
