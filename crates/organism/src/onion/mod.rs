//! Onions: small recurrent networks that hold a sequence in magnitudes (Csordás, Potts, Manning and Geiger 2024,
//! "Recurrent neural networks learn to store and generate sequences using non-linear representations",
//! arXiv 2408.10920).
//!
//! A gated recurrent unit reads L tokens, then a start token, and repeats what it read; while it repeats, it reads the
//! token before (the paper's autoregressive form). All that it knows of the sequence is one state. The paper's claim is about how the token at
//! each place lies there: in large networks in linear subspaces, in small ones along shared directions, each place
//! with its own magnitude, so that a place is read only when the layers above it were peeled off.
//!
//! What is claimed is an intervention, [`arms`]: which of three kinds of edit of the state replaces the token at
//! one place and leaves the others.
//!
//! | file | holds |
//! |---|---|
//! | this one | the task, the recipe, the measure |
//! | `question.rs` | what an arm is asked |
//! | `arms.rs` | the three interventions, how they are trained and judged |
//! | `subspaces.rs` | the rotations and masks of the linear ones |

mod arms;
mod question;
mod subspaces;

use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::task::other_inputs;
use crate::{Answers, Distance, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, GruConfig, Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Sequences of the evaluation set.
const SEQUENCES: usize = 2000;

/// The token behind the sequence.
const START: &str = "start";

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Onion {
    /// Tokens, besides the start token.
    symbols: usize,
    /// Shortest sequence that is trained.
    shortest: usize,
    /// Longest one, on which it is judged.
    longest: usize,
    d_embed: usize,
    d_hidden: usize,
    /// Steps for which each arm is trained.
    arm_steps: usize,
    /// Learning rate of the first of these; it falls to 0.
    arm_lr: f64,
    #[serde(flatten)]
    schedule: Schedule,
}

/// The paper's task: 9 of 30 tokens.
fn small() -> Onion {
    Onion {
        symbols: 30,
        shortest: 2,
        longest: 9,
        d_embed: 64,
        d_hidden: 64,
        arm_steps: 1500,
        arm_lr: 3e-2,
        schedule: Schedule {
            steps: 14_000,
            batch: 256,
            lr: 3e-3,
            cooldown: 12_000,
            weight_decay: 0.1,
            ..Schedule::default()
        },
    }
}

/// A state four times as large.
fn large() -> Onion {
    let Onion { schedule, .. } = small();
    Onion {
        d_hidden: 256,
        schedule: Schedule { steps: 4000, batch: 128, lr: 2e-3, cooldown: 3000, ..schedule },
        ..small()
    }
}

/// Up to 4 of 10 tokens, in seconds.
fn mini() -> Onion {
    let Onion { schedule, .. } = small();
    Onion {
        symbols: 10,
        shortest: 1,
        longest: 4,
        d_embed: 10,
        d_hidden: 16,
        arm_steps: 500,
        schedule: Schedule { steps: 2500, batch: 128, lr: 1e-2, cooldown: 2000, ..schedule },
        ..small()
    }
}

fn mini_larger() -> Onion {
    Onion { d_hidden: 32, ..mini() }
}

const fn entry(name: &'static str, summary: &'static str, cost: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost,
    }
}

/// A GRU whose state is small.
pub(crate) const ONION: Learned<Onion> = Learned {
    entry: entry(
        "onion",
        "A small GRU that repeats up to 9 tokens, said to hold them in magnitudes.",
        "3 min",
    ),
    lesson: small,
};

/// A GRU whose state is large.
pub(crate) const ONION_256: Learned<Onion> = Learned {
    entry: entry(
        "onion-256",
        "A larger GRU that repeats up to 9 tokens, said to hold them in subspaces as well.",
        "5 min",
    ),
    lesson: large,
};

/// A small GRU and fewer tokens.
pub(crate) const ONION_MINI: Learned<Onion> = Learned {
    entry: entry(
        "onion-mini",
        "A GRU of 16 units that repeats up to 4 tokens, said to hold them in magnitudes.",
        "3 s",
    ),
    lesson: mini,
};

/// A larger GRU and fewer tokens.
pub(crate) const ONION_MINI_32: Learned<Onion> = Learned {
    entry: entry(
        "onion-mini-32",
        "A GRU of 32 units that repeats up to 4 tokens, said to hold them in subspaces as well.",
        "5 s",
    ),
    lesson: mini_larger,
};

impl Onion {
    /// What the network reads: the sequence, the start token, and all of the sequence but its last token.
    fn row(&self, sequence: &[u32]) -> Vec<u32> {
        let before = &sequence[..sequence.len() - 1];
        [sequence, &[self.symbols as u32], before].concat()
    }

    fn sequence(&self, random: &mut Generator, length: usize) -> Vec<u32> {
        (0..length).map(|_| random.below(self.symbols as u64) as u32).collect()
    }
}

impl Lesson for Onion {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        for (key, n, least, most) in [
            ("symbols", self.symbols, 2, 1 << 10),
            ("longest", self.longest, 2, 32),
            ("shortest", self.shortest, 1, self.longest),
            ("d_embed", self.d_embed, 1, 1 << 10),
            ("d_hidden", self.d_hidden, self.longest, 1 << 10),
            ("arm_steps", self.arm_steps, 0, 100_000),
        ] {
            if !(least..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from {least} to {most}"));
            }
        }
        if !(0.0..=1.0).contains(&self.arm_lr) {
            return Err(format!("arm_lr = {} is no rate; hint: from 0 to 1", self.arm_lr));
        }
        Ok(Architecture::Gru(GruConfig {
            d_vocab: self.symbols + 1,
            d_vocab_out: self.symbols,
            d_embed: self.d_embed,
            d_hidden: self.d_hidden,
            n_ctx: 2 * self.longest,
        }))
    }

    fn init_scale(&self) -> f32 {
        1.0 / (self.d_hidden as f32).sqrt()
    }

    fn pos(&self) -> usize {
        2 * self.longest
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos / 2..pos
    }

    /// All of one length, which is drawn first: each as often as it is long, so that as many tokens are trained of
    /// any place of the longest ones.
    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let tokens = (self.shortest..=self.longest).sum::<usize>();
        let mut left = random.below(tokens as u64) as usize;
        let mut length = self.shortest;
        while left >= length {
            left -= length;
            length += 1;
        }
        let one = |_| {
            let sequence = self.sequence(random, length);
            let input = Input::Tokens(self.row(&sequence));
            Example { input, counts: vec![true; length], answers: Answers::Classes(sequence) }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        let pos = length.unwrap_or(self.pos());
        let n = pos / 2;
        if !pos.is_multiple_of(2) || !(1..=self.longest).contains(&n) {
            let most = self.pos();
            return Err(format!("its inputs are 2, 4, ... or {most} tokens, not {pos}"));
        }
        let mut random = Stream::new(0, "onion/task").block(n as u64);
        let sequences: Vec<Vec<u32>> =
            (0..SEQUENCES).map(|_| self.sequence(&mut random, n)).collect();
        let rows: Vec<Vec<u32>> = sequences.iter().map(|s| self.row(s)).collect();
        let answers = sequences.iter().flat_map(|s| [vec![0; n], s.clone()].concat()).collect();
        let words = (0..self.symbols as i64).map(Value::Int);
        Ok(Task {
            domain: format!("{SEQUENCES} drawn sequences of {n} of {} tokens", self.symbols),
            exhaustive: false,
            inputs: Inputs::tokens(&rows).map_err(|e| e.to_string())?,
            clean: SEQUENCES,
            partner: other_inputs(SEQUENCES, 0),
            reads: (0..SEQUENCES * pos).map(|i| i % pos >= n).collect(),
            answers: Answers::Classes(answers),
            d_out: self.symbols,
            columns: self.symbols,
            distance: Distance::CentredLogits,
            vocabulary: words.chain([Value::Token(START.into())]).collect(),
            modulus: None,
        })
    }

    /// Which token stands where is known; that the state holds it in magnitudes is the claim on trial, and no
    /// subspace of it is one token's.
    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        Ok(Truth {
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            ..Truth::nothing()
        })
    }

    /// `sequences`: the share of sequences that are repeated without an error; and [`arms::measure`].
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
        let n = task.pos() / 2;
        let right = |i: &usize| {
            let sequence = &task.inputs.token_row(*i)[..n];
            said(logits.row(*i), n, self.symbols) == sequence
        };
        let right = (0..task.clean).filter(right).count();
        let mut out = Parameters::new();
        out.insert("sequences".into(), json!(right as f64 / task.clean as f64));
        out.extend(arms::measure(self, network, cx)?);
        Ok(out)
    }
}

/// The tokens that outputs `[2 n, symbols]` say in their second half.
fn said(outputs: &[f32], n: usize, symbols: usize) -> Vec<u32> {
    let best = |y: &[f32]| (0..symbols).fold(0, |b, c| if y[c] > y[b] { c } else { b }) as u32;
    outputs.chunks_exact(symbols).skip(n).map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_the_sequence_and_then_the_token_before_each_answer() {
        let lesson = Onion { longest: 3, shortest: 3, ..small() };
        assert_eq!(lesson.row(&[4, 5, 6]), [4, 5, 6, 30, 4, 5]);
        let task = lesson.task(None).unwrap();
        let row = task.inputs.token_row(7);
        assert_eq!((row[3], &row[4..]), (30, &row[..2]));
        let Answers::Classes(answers) = &task.answers else { panic!() };
        assert_eq!(answers[7 * 6 + 3..8 * 6], row[..3]);
        assert_eq!(task.read_positions(7).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(task.vocabulary.len(), 31);
        // Shorter ones are there, odd and longer ones are errors that say what there is.
        assert_eq!(lesson.task(Some(4)).unwrap().pos(), 4);
        for length in [0, 3, 8] {
            assert!(lesson.task(Some(length)).unwrap_err().contains("2, 4, ... or 6"));
        }
    }

    #[test]
    fn examples_of_a_step_have_one_length_and_long_ones_come_more_often() {
        let lesson = Onion { shortest: 1, longest: 3, ..small() };
        let mut counts = [0usize; 4];
        for t in 0..600 {
            let all = lesson.draw(&mut Stream::new(0, "test").block(t), 3);
            let lengths: Vec<usize> = all.iter().map(|e| e.counts.len()).collect();
            assert!(lengths.iter().all(|&n| n == lengths[0]));
            counts[lengths[0]] += 1;
        }
        // 1/6, 2/6 and 3/6 of 600, deviations 9, 12, 12.
        assert!(counts[1].abs_diff(100) < 40 && counts[2].abs_diff(200) < 50, "{counts:?}");
        assert_eq!(counts[0], 0);
    }

    #[test]
    fn sizes_that_make_no_sense_are_errors_with_the_way_out() {
        let bad = [
            Onion { shortest: 10, ..small() },
            Onion { longest: 100, ..small() },
            Onion { d_hidden: 3, ..small() },
            Onion { symbols: 1, ..small() },
        ];
        for (lesson, key) in bad.into_iter().zip(["shortest", "longest", "d_hidden", "symbols"]) {
            let why = lesson.architecture().unwrap_err();
            assert!(why.contains(key) && why.contains("hint"), "{why}");
        }
    }
}
