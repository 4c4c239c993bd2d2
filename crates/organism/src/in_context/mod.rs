//! Regression in context: linear self-attention that answers as a step of gradient descent does (von Oswald
//! et al. 2023, "Transformers learn in-context by gradient descent", arXiv 2212.07677).
//!
//! An input is a context: vectors (x, y, 0), the points of a plane y = w x that is another one in each context, and at
//! the end (0, 0, x), a question. The answer is y there. Without a softmax a head adds
//! sum over i of (score_i) v_i, and one step from w = 0,
//!
//! ```text
//! w_1 = (rate / n) sum_i y_i x_i,        w_1 x = (rate / n) sum_i (x_i x) y_i
//! ```
//!
//! is such a sum: x_i is the key, x the query, y_i the value (their Proposition 1). The question has coordinates
//! of its own, so that it is no example to itself in a second layer (they leave it out of keys and values instead).
//!
//! | file | holds |
//! |---|---|
//! | this one | [`IN_CONTEXT_REGRESSION`], trained, and what all three are measured by |
//! | `problem.rs` | contexts, steps of gradient descent, the best rate of one |
//! | `descent.rs` | the twins whose weights are written: steps of a given rate, and the best one |

mod descent;
mod problem;

pub(crate) use descent::{IN_CONTEXT_DESCENT, IN_CONTEXT_OPTIMAL};
use problem::Problem;

use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, linalg};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Most layers.
const LAYERS: usize = 8;

/// Moments up to which answers are looked for.
const MOMENTS: usize = 4;

/// Rates among which two steps have theirs, in hundredths.
const RATES: usize = 200;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InContext {
    #[serde(flatten)]
    problem: Problem,
    n_layers: usize,
    d_model: usize,
    #[serde(flatten)]
    schedule: Schedule,
}

/// Trained.
pub(crate) const IN_CONTEXT_REGRESSION: Learned<InContext> = Learned {
    entry: Entry {
        name: "in-context-regression",
        version: 1,
        summary: "Linear attention that fits a plane to its context, as one step of gradient descent does.",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "10 s",
    },
    lesson: || InContext {
        problem: Problem { d: 5, examples: 10 },
        n_layers: 1,
        d_model: 24,
        schedule: Schedule {
            steps: 2000,
            batch: 256,
            lr: 1e-2,
            cooldown: 1500,
            weight_decay: 0.0,
            ..Schedule::default()
        },
    },
};

impl Lesson for InContext {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.problem.check()?;
        for (key, n, most) in [("n_layers", self.n_layers, LAYERS), ("d_model", self.d_model, 512)]
        {
            if !(1..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from 1 to {most}"));
            }
        }
        Ok(Architecture::Transformer(self.problem.transformer(self.n_layers, self.d_model)))
    }

    /// A quarter of the usual one: an answer is of the third degree in the input, and so is what is wrong with it.
    fn init_scale(&self) -> f32 {
        0.25 / (self.d_model as f32).sqrt()
    }

    fn pos(&self) -> usize {
        self.problem.pos()
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos - 1..pos
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let one = |_| {
            let (input, answer) = self.problem.draw(random);
            let answers = Answers::Values(vec![answer]);
            Example { input: Input::Vector(input), answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        self.problem.task(length)
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        Ok(Truth {
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            ..Truth::nothing()
        })
    }

    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        compared(&self.problem, task, network, cx)
    }
}

/// The answers beside those of algorithms, over the evaluation set. `step`: cosine with one step of gradient
/// descent; `step_error`: share of the square of the best step's answers by which they differ from them; `rate`: of
/// the step that is nearest; `twice_the_rate`: `step_error` beside a step of twice the best rate; `other_context`:
/// cosine with a step on answers that changed places within the context. `two_steps`, `two_steps_rate`: cosine with two
/// steps, of the rate at which they are nearest. `moments.k`: cosine with the best sum of the first k + 1 of x S^j b, with S the
/// mean of x x^T and b that of y x: one step is the first, k steps of any rates are a sum of k. `exact`: cosine with the right answers, which least squares
/// gives here. `value_of_y`: what y has of the first head's value, besides x, as the answer reads it. `optimum`: squared error of the best step in the mean over all contexts.
fn compared(
    problem: &Problem,
    task: &Task,
    network: &Network,
    cx: &Context,
) -> Result<Parameters, Error> {
    let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
    let (pos, width, d) = (problem.pos(), problem.width(), problem.d);
    let rows = || (0..task.clean).map(|i| task.inputs.vector_row(i));
    let last = |x: &[f32]| -> Vec<f64> {
        (0..task.clean).map(|i| f64::from(x[(i + 1) * pos - 1])).collect()
    };
    let found = last(logits.data());
    let right = match &task.answers {
        Answers::Values(values) => last(values),
        Answers::Classes(_) => vec![],
    };
    let steps = |rate: f64, n: usize| -> Vec<f64> {
        rows().filter_map(|x| problem.descent(x, rate, n).pop()).collect()
    };
    let best = steps(problem.best_rate(), 1);
    let mut random = Stream::new(0, "in-context/places").block(0);
    let elsewhere: Vec<f64> = rows()
        .filter_map(|x| {
            let mut input = x.to_vec();
            let from = random.permutation(problem.examples);
            for (i, j) in from.into_iter().enumerate() {
                input[i * width + d] = x[j * width + d];
            }
            problem.descent(&input, problem.best_rate(), 1).pop()
        })
        .collect();
    let twice: Vec<f64> = best.iter().map(|x| 2.0 * x).collect();
    let two = (1..=RATES).map(|r| r as f64 / 100.0).map(|rate| (rate, steps(rate, 2)));
    let (rate, two) = two.fold((0.0, vec![]), |near, next| {
        if near.1.is_empty() || off(&found, &next.1) < off(&found, &near.1) { next } else { near }
    });
    let all: Vec<Vec<f64>> = rows().map(|x| problem.moments(x, MOMENTS)).collect();
    let all: Vec<f64> = (0..MOMENTS).flat_map(|k| all.iter().map(move |m| m[k])).collect();
    let moments: Vec<f64> = (1..=MOMENTS)
        .map(|k| {
            let n = found.len();
            let basis = linalg::orthonormal_rows(k, n, &all[..k * n], 1e-9);
            let size = dot(&found, &found);
            let held: f64 = basis.chunks(n).map(|q| dot(q, &found) * dot(q, &found)).sum();
            if size > 0.0 { (held / size).sqrt() } else { 0.0 }
        })
        .collect();
    let square = dot(&best, &best);
    let along = if square > 0.0 { dot(&found, &best) / square } else { 0.0 };
    Ok(Parameters::from_iter([
        ("step".into(), json!(cosine(&found, &best))),
        ("step_error".into(), json!(off(&found, &best))),
        ("rate".into(), json!(along * problem.best_rate())),
        ("twice_the_rate".into(), json!(off(&found, &twice))),
        ("other_context".into(), json!(cosine(&found, &elsewhere))),
        ("two_steps".into(), json!(cosine(&found, &two))),
        ("two_steps_rate".into(), json!(rate)),
        ("moments".into(), json!(moments)),
        ("exact".into(), json!(cosine(&found, &right))),
        ("value_of_y".into(), json!(value_of_y(problem, network)?)),
        ("optimum".into(), json!(problem.best_error())),
    ]))
}

/// A head whose value is y can have x as its key, one whose value is x along a direction has y; they
/// answer by another algorithm.
fn value_of_y(problem: &Problem, network: &Network) -> Result<f64, Error> {
    let mut value = vec![];
    let (mut rows, mut cols) = (0, 0);
    for name in ["embed.W_E", "blocks.0.attn.W_V", "blocks.0.attn.W_O", "unembed.W_U"] {
        let w = network.weight(name)?;
        let next: Vec<f64> = w.data().iter().map(|&x| f64::from(x)).collect();
        let width = w.shape().last().copied().unwrap_or(1);
        value = match value.is_empty() {
            true => next,
            false => linalg::product(rows, cols, width, &value, &next),
        };
        (rows, cols) = (problem.width(), width);
    }
    let (of_y, all) = (value[problem.d], &value[..=problem.d]);
    let size = dot(all, all);
    Ok(if size > 0.0 { of_y * of_y / size } else { 0.0 })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// 0 where one of them is.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let size = (dot(a, a) * dot(b, b)).sqrt();
    if size > 0.0 { dot(a, b) / size } else { 0.0 }
}

/// |a - b|^2 / |b|^2; 1 where b is 0.
fn off(a: &[f64], b: &[f64]) -> f64 {
    let (size, apart) = (dot(b, b), a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>());
    if size > 0.0 { apart / size } else { 1.0 }
}
