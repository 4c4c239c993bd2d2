//! The problem that stands in a context: points on a plane through 0, and a place where it is asked for.

use crate::task::other_inputs;
use crate::{Answers, Distance, Task};
use flyroom_network::{Inputs, Pattern, Positions, TransformerConfig};
use flyroom_tensor::Stream;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};

/// Contexts of the evaluation set.
const CLEAN: usize = 512;

/// Largest d and most examples of a context.
const LARGEST: usize = 64;

/// Sizes of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Numbers of x.
    pub d: usize,
    /// Examples of a context.
    pub examples: usize,
}

impl Problem {
    /// Fails with the key and the way out.
    pub fn check(&self) -> Result<(), String> {
        for (key, n) in [("d", self.d), ("examples", self.examples)] {
            if !(1..=LARGEST).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from 1 to {LARGEST}"));
            }
        }
        Ok(())
    }

    /// Vectors of an input: the examples and the question.
    pub fn pos(&self) -> usize {
        self.examples + 1
    }

    /// Numbers of a vector: x, y, and the x that is asked about.
    pub fn width(&self) -> usize {
        2 * self.d + 1
    }

    /// Linear self-attention and nothing else, with one head in a layer; scores are divided by the number of
    /// examples.
    pub fn transformer(&self, n_layers: usize, d_model: usize) -> TransformerConfig {
        let mut c = TransformerConfig::plain(n_layers, d_model, 1, self.width(), self.pos());
        c.d_vocab_out = 1;
        c.mlp_bias = false;
        c.positions = Positions::None;
        c.causal = false;
        c.attn_scale = self.examples as f32;
        c.pattern = Pattern::Linear;
        c.vectors = true;
        c
    }

    /// An input `[pos, width]` and its answer: x and the question are standard normal, y = w x with w normal and |w|^2
    /// = 1 in the mean.
    pub fn draw(&self, random: &mut Generator) -> (Vec<f32>, f32) {
        let (d, width) = (self.d, self.width());
        let mut w = vec![0.0; d];
        random.fill_normal(&mut w, 1.0 / (d as f32).sqrt());
        let mut out = vec![0.0; self.pos() * width];
        let mut answer = 0.0;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let mut x = vec![0.0; d];
            random.fill_normal(&mut x, 1.0);
            let y: f32 = x.iter().zip(&w).map(|(x, w)| x * w).sum();
            if i < self.examples {
                row[..d].copy_from_slice(&x);
                row[d] = y;
            } else {
                row[d + 1..].copy_from_slice(&x);
                answer = y;
            }
        }
        (out, answer)
    }

    /// The evaluation set: drawn contexts, read behind the last example.
    pub fn task(&self, length: Option<usize>) -> Result<Task, String> {
        let pos = self.pos();
        if let Some(n) = length.filter(|&n| n != pos) {
            return Err(format!(
                "its inputs are {} examples and a question, not {n} vectors",
                pos - 1
            ));
        }
        let mut random = Stream::new(0, "in-context/evaluation").block(0);
        let (mut values, mut answers) = (vec![], vec![0.0; CLEAN * pos]);
        for i in 0..CLEAN {
            let (input, answer) = self.draw(&mut random);
            values.extend(input);
            answers[(i + 1) * pos - 1] = answer;
        }
        let inputs = Inputs::sequences(pos, self.width(), values).map_err(|e| e.to_string())?;
        Ok(Task {
            domain: format!(
                "{CLEAN} drawn contexts of {} points in {} dimensions",
                pos - 1,
                self.d
            ),
            exhaustive: false,
            inputs,
            clean: CLEAN,
            partner: other_inputs(CLEAN, 0),
            reads: (0..CLEAN * pos).map(|i| i % pos == pos - 1).collect(),
            answers: Answers::Values(answers),
            d_out: 1,
            columns: 1,
            distance: Distance::Squared { weights: vec![1.0] },
            vocabulary: vec![],
            modulus: None,
        })
    }

    /// What gradient descent on |w x - y|^2 / (2 examples) answers after each of `steps` steps of one rate from w
    /// = 0.
    pub fn descent(&self, input: &[f32], rate: f64, steps: usize) -> Vec<f64> {
        let (d, width) = (self.d, self.width());
        let rows: Vec<Vec<f64>> =
            input.chunks_exact(width).map(|r| r.iter().map(|&x| f64::from(x)).collect()).collect();
        let Some((question, examples)) = rows.split_last() else { return vec![] };
        let at = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let mut w = vec![0.0; d];
        let mut answers = vec![];
        for _ in 0..steps {
            let mut next = w.clone();
            for row in examples {
                let off = row[d] - at(&w, &row[..d]);
                let share = rate / self.examples as f64 * off;
                next.iter_mut().zip(&row[..d]).for_each(|(w, x)| *w += share * x);
            }
            w = next;
            answers.push(at(&w, &question[d + 1..]));
        }
        answers
    }

    /// x S^k b at the question for k below `n`: S is the mean of x x^T over the examples, b that of y x.
    pub fn moments(&self, input: &[f32], n: usize) -> Vec<f64> {
        let (d, width) = (self.d, self.width());
        let (examples, question) = input.split_at(self.examples * width);
        let rows = || examples.chunks_exact(width);
        let inner =
            |v: &[f64], x: &[f32]| -> f64 { v.iter().zip(x).map(|(v, x)| v * f64::from(*x)).sum() };
        let share = 1.0 / self.examples as f64;
        let sum = |weight: &dyn Fn(&[f32]) -> f64| -> Vec<f64> {
            (0..d).map(|i| rows().map(|r| share * weight(r) * f64::from(r[i])).sum()).collect()
        };
        let mut v = sum(&|r| f64::from(r[d]));
        let mut out = vec![];
        for _ in 0..n {
            out.push(inner(&v, &question[d + 1..]));
            v = sum(&|r| inner(&v, &r[..d]));
        }
        out
    }

    /// The rate at which one step is best, n / (n + d + 1), in the mean over contexts: with S the mean of x x^T the error
    /// is |w|^2 tr (1 - rate S)^2 / d, and E S = 1, E tr S^2 / d = 1 + (d + 1) / n.
    pub fn best_rate(&self) -> f64 {
        self.examples as f64 / (self.examples + self.d + 1) as f64
    }

    /// Squared error of the best step, where |w|^2 = 1: (d + 1) / (n + d + 1).
    pub fn best_error(&self) -> f64 {
        1.0 - self.best_rate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_by_hand() {
        // y = 2 x, two examples at 1 and 3, asked at 5: the gradient at 0 is -(2 1 + 6 3) / 2 = -10.
        let p = Problem { d: 1, examples: 2 };
        let input = [1., 2., 0., 3., 6., 0., 0., 0., 5.];
        assert!((p.descent(&input, 0.1, 1)[0] - 0.1 * 10.0 * 5.0).abs() < 1e-12);
        // From w = 1 the mean of x^2 is 5: w becomes 1 + .1 * 5 * (2 - 1).
        // b = 10 and S = 5, asked at 5.
        assert_eq!(p.moments(&input, 3), [50.0, 250.0, 1250.0]);
        let two = p.descent(&input, 0.1, 2);
        assert!((two[1] - 1.5 * 5.0).abs() < 1e-12, "{two:?}");
    }

    #[test]
    fn the_best_rate_of_one_step_is_what_its_formula_says() {
        let p = Problem { d: 5, examples: 10 };
        let mut random = Stream::new(3, "test").block(0);
        let drawn: Vec<(Vec<f32>, f32)> = (0..20_000).map(|_| p.draw(&mut random)).collect();
        let error = |rate: f64| {
            let off = |(x, y): &(Vec<f32>, f32)| p.descent(x, rate, 1)[0] - f64::from(*y);
            drawn.iter().map(|one| off(one) * off(one)).sum::<f64>() / drawn.len() as f64
        };
        let best = error(p.best_rate());
        // (d + 1) / (n + d + 1) = 6 / 16; three standard errors of 20,000 contexts are about .02.
        assert!((best - 0.375).abs() < 0.02 && p.best_rate() == 0.625, "{best}");
        assert!(error(0.5) > best && error(0.75) > best);
    }
}
