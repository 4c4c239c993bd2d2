//! Brackets: is a word of brackets balanced (Dyck-1, and Dyck-2 with two kinds)?
//!
//! A word fails by *count* (it ends at another height than it began), by *depth* (somewhere more is closed
//! than was opened) or, with two kinds, by *kind* (a bracket is closed by one of the other kind). A
//! bidirectional transformer reads the word between `start` and `end` and answers behind `end`. The failures are
//! told apart in the data and in what is measured, for a network may see one and not the other; which head sees
//! which is located in `brackets/sight.rs`.

mod sight;

use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule, answered_last};
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sight::{Seen, Sight};
use std::ops::Range;

/// Clean inputs of the evaluation set, as many of each kind of word.
const CLEAN: usize = 1024;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Brackets {
    /// Kinds of brackets: 1 or 2.
    kinds: usize,
    /// Brackets of a word, an even number.
    length: usize,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

const fn entry(name: &'static str, summary: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "30 s",
    }
}

fn recipe(kinds: usize) -> Brackets {
    Brackets {
        kinds,
        length: 16,
        form: Form { n_layers: 2, d_model: 32, n_heads: 4, d_mlp: 64, ..Form::default() },
        schedule: Schedule {
            steps: 3000,
            batch: 128,
            lr: 3e-3,
            cooldown: 1000,
            ..Schedule::default()
        },
    }
}

/// One kind.
pub(crate) const DYCK_1: Learned<Brackets> = Learned {
    entry: entry(
        "brackets-1",
        "Is a word of one kind of brackets balanced? Fails by count or by depth.",
    ),
    lesson: || recipe(1),
};

/// Two kinds.
pub(crate) const DYCK_2: Learned<Brackets> = Learned {
    entry: entry(
        "brackets-2",
        "Is a word of two kinds of brackets balanced? Fails by kind as well.",
    ),
    lesson: || recipe(2),
};

/// How a word is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draw {
    Balanced,
    /// One bracket of a balanced word is turned around.
    Count,
    /// A balanced part of a balanced word is turned around.
    Depth,
    /// One bracket of a balanced word is of the other kind.
    Kind,
    /// Every bracket by itself.
    Free,
}

/// Why a word is not balanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Failures {
    count: bool,
    depth: bool,
    kind: bool,
}

impl Failures {
    fn none(self) -> bool {
        self == Self::default()
    }
}

/// Tokens: 2 k opens kind k and 2 k + 1 closes it.
fn failures(word: &[u32]) -> Failures {
    let mut out = Failures::default();
    let mut open: Vec<u32> = vec![];
    let mut height = 0i64;
    for &t in word {
        if t % 2 == 0 {
            height += 1;
            open.push(t / 2);
        } else {
            height -= 1;
            out.depth |= height < 0;
            out.kind |= open.pop().is_some_and(|kind| kind != t / 2);
        }
    }
    out.count = height != 0;
    out
}

impl Brackets {
    /// A balanced word, uniform among all of one kind (Arnold and Sleep 1980), kinds by chance.
    fn balanced(&self, random: &mut Generator) -> Vec<u32> {
        let mut word: Vec<u32> = vec![];
        let mut open: Vec<u32> = vec![];
        for at in 0..self.length {
            let (h, rest) = (open.len(), self.length - at);
            let (up, all) = ((h + 2) * (rest - h), 2 * rest * (h + 1));
            let opens = random.below(all as u64) < up as u64;
            match (opens, opens.then_some(0).or_else(|| open.pop())) {
                (false, Some(kind)) => word.push(2 * kind + 1),
                _ => {
                    let kind = random.below(self.kinds as u64) as u32;
                    open.push(kind);
                    word.push(2 * kind);
                }
            }
        }
        word
    }

    fn word(&self, draw: Draw, random: &mut Generator) -> Vec<u32> {
        let mut word = self.balanced(random);
        let n = word.len() as u64;
        match draw {
            Draw::Balanced => {}
            Draw::Count => {
                let at = random.below(n) as usize;
                word[at] ^= 1;
            }
            Draw::Depth => {
                // Balanced parts end where the height is 0 again.
                let mut ends = vec![0];
                let mut height = 0i64;
                for (i, t) in word.iter().enumerate() {
                    height += if t % 2 == 0 { 1 } else { -1 };
                    if height == 0 {
                        ends.push(i + 1);
                    }
                }
                let part = random.below(ends.len() as u64 - 1) as usize;
                word[ends[part]..ends[part + 1]].iter_mut().for_each(|t| *t ^= 1);
            }
            Draw::Kind => {
                let at = random.below(n) as usize;
                word[at] ^= 2;
            }
            Draw::Free => {
                let letters = 2 * self.kinds as u64;
                word.iter_mut().for_each(|t| *t = random.below(letters) as u32);
            }
        }
        word
    }

    /// Half of the words are balanced, the others fail in every way alike often.
    fn ways(&self) -> &'static [Draw] {
        match self.kinds {
            1 => &[
                Draw::Balanced,
                Draw::Count,
                Draw::Balanced,
                Draw::Depth,
                Draw::Balanced,
                Draw::Free,
            ],
            _ => &[
                Draw::Balanced,
                Draw::Count,
                Draw::Balanced,
                Draw::Depth,
                Draw::Balanced,
                Draw::Kind,
                Draw::Balanced,
                Draw::Free,
            ],
        }
    }

    /// A word between `start` and `end`.
    fn framed(&self, word: &[u32]) -> Vec<u32> {
        let start = 2 * self.kinds as u32;
        [start].into_iter().chain(word.iter().copied()).chain([start + 1]).collect()
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=2).contains(&self.kinds) {
            return Err(format!("kinds = {} is neither 1 nor 2", self.kinds));
        }
        if self.length < 2 || self.length > 256 || !self.length.is_multiple_of(2) {
            return Err(format!(
                "length = {} is no length of a balanced word; hint: an even number from 2 to 256",
                self.length
            ));
        }
        Ok(())
    }
}

impl Lesson for Brackets {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.check()?;
        let vocab = 2 * self.kinds + 2;
        let c = self.form.transformer(vocab, self.length + 2, 2, self.schedule.batch)?;
        Ok(Architecture::Transformer(c))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        self.length + 2
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos - 1..pos
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let one = |row: usize| {
            let word = self.word(self.ways()[row % self.ways().len()], random);
            let balanced = u32::from(failures(&word).none());
            Example {
                input: Input::Tokens(self.framed(&word)),
                answers: Answers::Classes(vec![balanced]),
                counts: vec![true],
            }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(n) = length.filter(|&n| n != self.pos()) {
            let why = format!("its words have {} brackets between two marks", self.length);
            return Err(format!("{why}, {} tokens and not {n}; hint: --set length=N", self.pos()));
        }
        self.check()?;
        let mut random = Stream::new(0, "brackets/evaluation").block(0);
        let ways = self.ways();
        let rows: Vec<Vec<u32>> = (0..CLEAN)
            .map(|i| self.framed(&self.word(ways[i % ways.len()], &mut random)))
            .collect();
        let letters = ["(", ")", "[", "]"].into_iter().take(2 * self.kinds);
        // Words stand in pairs of a balanced one and one that fails: they are each other's partners.
        answered_last(
            format!("{CLEAN} drawn words of {} brackets", self.length),
            &rows,
            |row| u32::from(failures(&row[1..row.len() - 1]).none()),
            (0..CLEAN).map(|i| i ^ 1).collect(),
            2,
            letters.chain(["start", "end"]).map(Value::token).collect(),
        )
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = DYCK_1.entry;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// Shares answered rightly of words that are balanced (`balanced`), and of those that fail by
    /// count alone, by depth alone and by kind alone (`only_count`, `only_depth`, `only_kind`). What heads see
    /// of these ways ([`Sight`]): for each way the head whose look at a balanced word loses most (`count_head`), what that
    /// loses (`count_lost`), its null (`count_null`), what it loses of the other way (`count_head_loses_depth`), and the
    /// most balanced words that one head's look at such a word makes unbalanced (`count_raised`) with its null; `sight` is
    /// the word for count and depth.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let runner = Runner::new(network, &task.inputs, cx)?;
        let logits = runner.logits()?;
        let pos = self.pos();
        let found: Vec<Failures> =
            (0..task.clean).map(|i| failures(&task.inputs.token_row(i)[1..pos - 1])).collect();
        let right = |i: usize| {
            let at = (i * pos + pos - 1) * 2;
            (logits.data()[at + 1] > logits.data()[at]) == found[i].none()
        };
        let of = |count, depth, kind| Failures { count, depth, kind };
        let mut ways = vec![("count", of(true, false, false)), ("depth", of(false, true, false))];
        ways.extend((self.kinds > 1).then_some(("kind", of(false, false, true))));
        let mut out = Parameters::new();
        let named = ways.iter().map(|(name, way)| (format!("only_{name}"), *way));
        for (name, wanted) in named.chain([("balanced".to_string(), of(false, false, false))]) {
            let all: Vec<usize> = (0..task.clean).filter(|&i| found[i] == wanted).collect();
            let good = all.iter().filter(|&&i| right(i)).count();
            out.insert(name, json!(good as f64 / all.len().max(1) as f64));
        }
        let Some(c) = network.architecture().transformer() else { return Ok(out) };
        let alone: Vec<Failures> = ways.iter().map(|(_, way)| *way).collect();
        let sight = Sight::of(task, &runner, c, &found, &alone)?;
        out.insert("sight".into(), json!(sight.word(0, 1)));
        for (w, (name, _)) in ways.iter().enumerate() {
            let Some(((l, h), seen)) = sight.best(w) else { continue };
            out.insert(format!("{name}_head"), json!(format!("a{l}.h{h}")));
            out.insert(format!("{name}_lost"), json!(seen[w].lost));
            out.insert(format!("{name}_null"), json!(seen[w].null));
            for (o, (other, _)) in ways.iter().enumerate().filter(|(o, _)| *o != w) {
                out.insert(format!("{name}_head_loses_{other}"), json!(seen[o].lost));
            }
            let most = |f: &dyn Fn(Seen) -> f64| {
                sight.heads.iter().map(|(_, s)| f(s[w])).fold(0.0, f64::max)
            };
            out.insert(format!("{name}_raised"), json!(most(&|s| s.raised)));
            out.insert(format!("{name}_raised_null"), json!(most(&|s| s.raised_null)));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Organism;

    #[test]
    fn words_fail_in_the_way_that_they_were_drawn() {
        for kinds in [1, 2] {
            let b = recipe(kinds);
            let mut random = Stream::new(0, "words").block(0);
            for _ in 0..200 {
                let mut of = |draw| failures(&b.word(draw, &mut random));
                assert!(of(Draw::Balanced).none());
                assert!(of(Draw::Count).count);
                let depth = of(Draw::Depth);
                assert!(depth.depth && !depth.count);
                if kinds == 2 {
                    let kind = of(Draw::Kind);
                    assert!(kind.kind && !kind.count && !kind.depth);
                }
            }
        }
    }

    #[test]
    fn balanced_words_are_uniform() {
        // Five words of six brackets: Catalan(3).
        let b = Brackets { length: 6, ..recipe(1) };
        let mut random = Stream::new(0, "uniform").block(0);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..5000 {
            *seen.entry(b.balanced(&mut random)).or_insert(0usize) += 1;
        }
        assert_eq!(seen.len(), 5);
        // 1000 each; five standard deviations of a binomial are 141.
        assert!(seen.values().all(|&n| n.abs_diff(1000) < 141), "{seen:?}");
    }

    #[test]
    fn partners_answer_otherwise_when_one_of_them_fails() {
        let task = DYCK_2.task(&DYCK_2.defaults(), None).unwrap();
        let Answers::Classes(c) = &task.answers else { panic!() };
        let last = |i: usize| c[(i + 1) * task.pos() - 1];
        let differ = (0..task.clean).filter(|&i| last(i) != last(task.partner[i])).count();
        assert!(differ > task.clean * 9 / 10, "{differ}");
    }
}
