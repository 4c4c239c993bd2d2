//! Two numbers that tell a clock from a pizza (Zhong et al. 2023, "The Clock and the Pizza: Two
//! Stories in Mechanistic Explanation of Neural Networks", section 4).
//!
//! A *clock* multiplies cos a by cos b, so what an operand does to a logit depends on the other one; a
//! *pizza* adds the two points first and looks at |cos((a - b) / 2)| of the sum, so both operands pull
//! alike and the answer is loud or faint by their distance. With Q_abc the logit of c on (a, b):
//!
//! - *gradient symmetricity*, the mean over triples (a, b, c) of the cosine between dQ_abc / dE_a and
//!   dQ_abc / dE_b, where E_a and E_b are what the embedding writes for the two operands;
//! - *distance irrelevance*, the mean over d = a - b of the standard deviation over a + b of the right
//!   logits Q_{a, b, a + b}, over the standard deviation of all right logits.
//!
//! Choices that the definition leaves. The authors draw 100 triples; here it is every c on every pair
//! as long as these are no more than [`TRIPLES`], and beyond that every c on [`DRAWN`] pairs, drawn once
//! and for all. Gradients are taken at `hook_embed`, each operand at its own position, so that a = b
//! is no special case. A vanishing gradient has cosine 0. Standard deviations divide by n; logits are
//! raw.

use super::{scores, sums};
use crate::{Error, Parameters, Task};
use flyroom_network::{Form, Inputs, Network, record};
use flyroom_tensor::{Bindings, Context, Graph, Program, Stream, linalg};
use serde_json::json;

/// So many triples are still all taken: p = 64 and below.
const TRIPLES: usize = 1 << 18;

/// Pairs that stand for all of a larger modulus.
const DRAWN: usize = 128;

/// Pairs of one run.
const ROWS: usize = 128;

/// Logits whose gradients one run takes.
const LOGITS: usize = 8;

/// The pairs whose gradients are taken.
fn pairs(p: usize) -> Vec<usize> {
    if p * p * p <= TRIPLES {
        return (0..p * p).collect();
    }
    Stream::new(0, "modular addition/symmetricity").block(0).choose(p * p, DRAWN.min(p * p))
}

/// Below this accuracy a network does not add, and there is no story to tell.
const ADDS: f64 = 0.99;

/// A pizza is more symmetric than this,
const SYMMETRIC: f64 = 0.98;

/// a clock less than this,
const ONE_SIDED: f64 = 0.6;

/// and what lies between them in irrelevance is here.
const IRRELEVANT: f64 = 0.6;

/// `clock`, `pizza`, `between`, or `none` if it does not add.
fn story(accuracy: f64, symmetricity: f64, irrelevance: f64) -> &'static str {
    if accuracy < ADDS {
        "none"
    } else if symmetricity > SYMMETRIC && irrelevance < IRRELEVANT {
        "pizza"
    } else if symmetricity < ONE_SIDED && irrelevance > IRRELEVANT {
        "clock"
    } else {
        "between"
    }
}

/// `gradient_symmetricity`; `distance_irrelevance`, if right logits differ; `story`. `logits` are those of
/// all pairs, `[a * p + b][c]`.
pub(super) fn measures(
    task: &Task,
    network: &Network,
    logits: &[Vec<f64>],
    cx: &Context,
) -> Result<Parameters, Error> {
    let symmetricity = gradient_symmetricity(task, network, cx)?;
    let mut out = Parameters::new();
    out.insert("gradient_symmetricity".into(), json!(symmetricity));
    let irrelevance = distance_irrelevance(task.columns, logits);
    if let Some(irrelevance) = irrelevance {
        out.insert("distance_irrelevance".into(), json!(irrelevance));
    }
    let accuracy = scores(logits, &sums(task.columns), |_| true).map_or(0.0, |(right, _)| right);
    let story = irrelevance.map_or("none", |i| story(accuracy, symmetricity, i));
    out.insert("story".into(), json!(story));
    Ok(out)
}

/// Gradient symmetricity of a network that reads a and b at positions 0 and 1 and answers at the last;
/// `task` holds all its pairs.
fn gradient_symmetricity(task: &Task, network: &Network, cx: &Context) -> Result<f64, Error> {
    let (p, pos) = (task.columns, task.pos());
    let pairs = pairs(p);
    let names: Vec<String> = (0..LOGITS.min(p)).map(|j| format!("direction {j}")).collect();
    let mut plain = Graph::new();
    let logits = record(&mut plain, network.architecture(), ROWS, pos, Form::Plain)?;
    let last = plain.slice(logits, 1, pos - 1, 1)?; // [batch, 1, d_vocab_out]
    let shape = [ROWS, 1, task.d_out];
    let mut scalars = vec![];
    for name in &names {
        let direction = plain.input(name, &shape);
        let picked = plain.mul(last, direction)?;
        scalars.push(plain.sum(picked)?);
    }
    // One logit at the last position needs no MLP at the others.
    let (mut g, scalars) = plain.narrowed(&scalars)?;
    let embed = g.at("hook_embed")?;
    let mut gradients = vec![];
    for scalar in scalars {
        gradients.extend(g.gradient(scalar, &[embed])?); // [batch, pos, d_model]
    }
    let mut program = Program::compile(&g, &gradients)?;
    let mut sum = 0.0;
    for rows in pairs.chunks(ROWS) {
        // The last run is filled up with copies, which do not count.
        let filled = (0..ROWS).map(|i| rows[i % rows.len()]);
        let inputs = task.inputs.pick(filled);
        for first in (0..p).step_by(LOGITS) {
            let directions: Vec<Vec<f32>> = (0..names.len())
                .map(|j| {
                    let mut one = vec![0.0; ROWS * task.d_out];
                    one.chunks_exact_mut(task.d_out).for_each(|row| row[(first + j) % p] = 1.0);
                    one
                })
                .collect();
            let mut bindings = Bindings::new().with_all(network.weights());
            for (name, direction) in names.iter().zip(&directions) {
                bindings.bind(name, direction);
            }
            if let Inputs::Tokens { ids, .. } = &inputs {
                bindings = bindings.with_index("tokens", ids);
            }
            program.run(cx, &bindings)?;
            for j in 0..names.len().min(p - first) {
                let gradient = program.output(j);
                let width = gradient.len() / (ROWS * pos);
                for row in gradient.chunks_exact(pos * width).take(rows.len()) {
                    sum += cosine(&row[..width], &row[width..2 * width]);
                }
            }
        }
    }
    Ok(sum / (pairs.len() * p).max(1) as f64)
}

fn cosine(x: &[f32], y: &[f32]) -> f64 {
    let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (x, y) = (wide(x), wide(y));
    let norms = (linalg::dot(&x, &x) * linalg::dot(&y, &y)).sqrt();
    if norms > 0.0 { linalg::dot(&x, &y) / norms } else { 0.0 }
}

/// Distance irrelevance from the logits of all pairs, `[a * p + b][c]`; `None` if all right logits are
/// equal.
fn distance_irrelevance(p: usize, logits: &[Vec<f64>]) -> Option<f64> {
    let right = |a: usize, b: usize| logits[a * p + b][(a + b) % p];
    let all: Vec<f64> = (0..p * p).map(|i| right(i / p, i % p)).collect();
    // For odd p the sums a + b run through all residues where a does; so do they, twice, for even p.
    let within = |d: usize| deviation(&(0..p).map(|b| right((b + d) % p, b)).collect::<Vec<_>>());
    let mean = (0..p).map(within).sum::<f64>() / p as f64;
    let total = deviation(&all);
    (total > 0.0).then(|| mean / total)
}

fn deviation(x: &[f64]) -> f64 {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / x.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Right logits that are cos((a - b) / 2)^2 do not vary at a distance; those that vary with the sum
    // alone vary at a distance as much as everywhere.
    #[test]
    fn irrelevance_is_nothing_of_a_pizza_and_one_of_what_forgets_the_distance() {
        let p = 13;
        let table = |right: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            let row = |i: usize| {
                let mut row = vec![0.0; p];
                row[(i / p + i % p) % p] = right(i / p, i % p);
                row
            };
            (0..p * p).map(row).collect()
        };
        let by_distance = table(&|a, b| ((a + p - b) % p) as f64);
        assert!(distance_irrelevance(p, &by_distance).unwrap() < 1e-12);
        let by_sum = table(&|a, b| ((a + b) % p) as f64);
        assert!((distance_irrelevance(p, &by_sum).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(distance_irrelevance(p, &table(&|_, _| 2.0)), None);
    }

    #[test]
    fn words_follow_from_the_thresholds() {
        // The two public networks, an untrained one, and one between.
        assert_eq!(story(1.0, 0.346, 0.848), "clock");
        assert_eq!(story(1.0, 0.994, 0.172), "pizza");
        assert_eq!(story(0.02, 0.99, 0.2), "none");
        assert_eq!(story(1.0, 0.807, 0.659), "between");
    }
}
