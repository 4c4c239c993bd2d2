//! Prompts: pairs (input, corrupted partner) of a task with the one logit difference that they are
//! asked about.
//!
//! The *logit difference* of a run is the logit of the input's answer minus that of its partner's
//! answer, at the last position that counts and where the two answers differ. To each pair belongs
//! an unrelated input with an answer of its own: what is taken from it is the null.

use crate::Error;
use crate::metric::spread;
use flyroom_explanation::Value;
use flyroom_network::Inputs;
use flyroom_organism::{Answers, Subject, Task};

/// Letters of a prompt in a caption.
const LETTERS: usize = 90;

/// One pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The clean input.
    pub clean: usize,
    /// Its corrupted partner.
    pub partner: usize,
    /// An input with another answer, a third one where the task has more than two.
    pub unrelated: usize,
    /// Where the logit difference is read.
    pub read: usize,
    /// The right token.
    pub answer: usize,
    /// The partner's answer there.
    pub wrong: usize,
    /// The unrelated input's answer.
    pub other: usize,
}

/// Pairs of a task.
#[derive(Debug, Clone)]
pub struct Prompts<'a> {
    task: &'a Task,
    /// The answer at each position of each input; `usize::MAX` where there is no single one.
    classes: Vec<usize>,
    /// In the order in which they were picked.
    pub pairs: Vec<Pair>,
}

impl<'a> Prompts<'a> {
    /// Up to `count` pairs, spread evenly over the clean inputs, whose answers differ.
    pub fn new(subject: &Subject<'a>, count: usize, method: &'static str) -> Result<Self, Error> {
        let na = |why: &str| Error::NotApplicable { method, why: why.into() };
        let task: &'a Task = subject.task;
        if subject.network().architecture().transformer().is_none() {
            return Err(na("it reads the residual stream of a transformer"));
        }
        let classes = match &task.answers {
            Answers::Classes(classes) => classes.iter().map(|&c| c as usize).collect(),
            Answers::Values(values) => values
                .chunks_exact(task.d_out.max(1))
                .map(|row| winner(row, task.columns))
                .collect(),
        };
        let mut prompts = Self { task, classes, pairs: vec![] };
        for clean in spread(task.clean) {
            if prompts.pairs.len() == count {
                break;
            }
            let Some(&partner) = task.partner.get(clean) else { continue };
            let Some(read) = prompts.differing(clean, partner) else { continue };
            let (answer, wrong) = (prompts.class(clean, read), prompts.class(partner, read));
            // A third answer, or where the task has two the other one.
            let others = || {
                let others = spread(task.clean).filter(move |&i| i != clean && i != partner);
                others.filter_map(|i| Some((i, prompts.answer(i)?))).filter(|o| o.1 != answer)
            };
            let found = others().find(|o| o.1 != wrong).or_else(|| others().next());
            let Some((unrelated, other)) = found else { continue };
            let pair = Pair { clean, partner, unrelated, read, answer, wrong, other };
            prompts.pairs.push(pair);
        }
        if prompts.pairs.is_empty() {
            return Err(na(
                "no input has a partner with another answer and an unrelated input beside it",
            ));
        }
        Ok(prompts)
    }

    fn class(&self, input: usize, pos: usize) -> usize {
        self.classes.get(input * self.task.pos() + pos).copied().unwrap_or(usize::MAX)
    }

    /// The last position that counts in both and where the answers differ.
    fn differing(&self, clean: usize, partner: usize) -> Option<usize> {
        let counted: Vec<usize> = self.task.read_positions(partner).collect();
        self.task
            .read_positions(clean)
            .filter(|p| counted.contains(p))
            .filter(|&p| {
                let (a, b) = (self.class(clean, p), self.class(partner, p));
                a != b && a < self.task.d_out && b < self.task.d_out
            })
            .last()
    }

    /// The answer at the last position that counts.
    fn answer(&self, input: usize) -> Option<usize> {
        let last = self.task.read_positions(input).last()?;
        Some(self.class(input, last)).filter(|&c| c < self.task.d_out)
    }

    /// The answer asked about at a position: its own where it counts, else that of the position
    /// that is read.
    pub fn answer_at(&self, pair: &Pair, pos: usize) -> usize {
        let counts = self.task.read_positions(pair.clean).any(|p| p == pos);
        let own = self.class(pair.clean, pos);
        if counts && own < self.task.d_out { own } else { pair.answer }
    }

    /// Clean inputs, partners and unrelated inputs of all pairs, in this order: input i of pair k
    /// is row `i * pairs + k`.
    pub fn inputs(&self) -> Inputs {
        let all = |of: &dyn Fn(&Pair) -> usize| self.pairs.iter().map(of).collect::<Vec<_>>();
        let rows = [all(&|p| p.clean), all(&|p| p.partner), all(&|p| p.unrelated)].concat();
        self.task.inputs.pick(rows)
    }

    /// Positions with their tokens; brackets mark tokens that differ between the clean inputs,
    /// where the first one's stands.
    pub fn positions(&self) -> Vec<String> {
        (0..self.task.pos())
            .map(|p| {
                let mut tokens =
                    self.pairs.iter().filter_map(|k| self.task.inputs.token_row(k.clean).get(p));
                let first = tokens.next().copied().unwrap_or(0);
                let text = token_text(self.task, first as usize);
                if tokens.all(|&t| t == first) {
                    format!("{p}:{text}")
                } else {
                    format!("{p}:({text})")
                }
            })
            .collect()
    }

    /// What a token id means.
    pub fn text(&self, token: usize) -> String {
        token_text(self.task, token)
    }

    /// How many were averaged, and the first of them: `noun` is prompt or pair.
    pub fn averaged(&self, noun: &str) -> String {
        match self.pairs.len() {
            1 => format!("One {noun}: {}.", self.example()),
            n => format!("Mean of {n} {noun}s; the first: {}.", self.example()),
        }
    }

    /// The first pair in words.
    pub fn example(&self) -> String {
        let Some(first) = self.pairs.first() else { return String::new() };
        let words = |input: usize| {
            let row = self.task.inputs.token_row(input);
            let texts: Vec<String> = row.iter().map(|&t| self.text(t as usize)).collect();
            let apart = if texts.iter().any(|t| t.contains('·')) { "" } else { " " };
            ending(texts.join(apart).replace('·', " ").trim())
        };
        format!(
            "clean '{}', answer '{}'; corrupted '{}', answer '{}'; read at position {}",
            words(first.clean),
            self.text(first.answer).replace('·', " ").trim(),
            words(first.partner),
            self.text(first.wrong).replace('·', " ").trim(),
            first.read
        )
    }
}

/// A text, or the end of a long one: what is read lies behind it.
fn ending(text: &str) -> String {
    let letters = text.chars().count();
    if letters <= LETTERS {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(letters + 1 - LETTERS)).collect()
}

/// The column of a vector that stands above all others of the first `columns`.
fn winner(row: &[f32], columns: usize) -> usize {
    let row = &row[..columns.min(row.len())];
    let best = (0..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
    let above = (0..row.len()).all(|c| c == best || row[c] < row[best]);
    if above && !row.is_empty() { best } else { usize::MAX }
}

/// A token for people: its text with a dot for each space, or its id.
pub fn token_text(task: &Task, token: usize) -> String {
    match task.vocabulary.get(token) {
        Some(Value::Token(t)) => t
            .chars()
            .map(|c| match c {
                ' ' => '·',
                '\n' => '⏎',
                c if c.is_control() => '\u{fffd}',
                c => c,
            })
            .collect(),
        Some(v) => v.to_string(),
        None => format!("#{token}"),
    }
}
