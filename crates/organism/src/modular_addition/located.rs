//! Which frequencies a specimen adds with: the instance of the truth, located in its logits.
//!
//! The schema, the same for every specimen (Nanda et al. 2023): a and b are points on a few circles,
//! and logits(c) = sum over key frequencies k of A_k cos(2 pi k (a + b - c) / p + phi_k). The
//! instance is looked for where the schema ends, in the logits of all p^2 pairs: averaged over the
//! pairs of each sum s = a + b and taken apart into waves over s, a frequency is *key* if it holds
//! at least [`KEY`] of the variance of all logits. Where the operands lie follows: the plane that the wave spans
//! in the embedding. No method of the registries looks this way.
//!
//! Progress measures, as in the paper: the *restricted* loss is that of the waves of the key
//! frequencies alone, over all pairs; the *excluded* loss that of everything else, over the pairs
//! that were trained on. A network that generalises by these circles has a low restricted loss and
//! an excluded loss far above its own.

use super::scores;
use crate::cosines::{Plane, with_cosines};
use crate::{Parameters, Source, Standing, Truth};
use flyroom_explanation::Term;
use flyroom_network::Selector;
use flyroom_tensor::math::{atan2_64, sin_cos_turns64};
use flyroom_tensor::{Tensor, linalg};
use serde_json::json;

/// Share of the logits' variance over all pairs from which on a frequency is key. Where nothing is
/// known of the sum, all frequencies together hold about 1 / p.
pub const KEY: f64 = 0.01;

/// Cosine and sine parts of a table `[p][width]` at one frequency: the least-squares fit of
/// cos_part cos t + sin_part sin t to its rows.
struct Wave {
    cos_part: Vec<f64>,
    sin_part: Vec<f64>,
}

impl Wave {
    fn of(table: &[Vec<f64>], frequency: usize) -> Self {
        let p = table.len();
        let mut wave =
            Self { cos_part: vec![0.0; table[0].len()], sin_part: vec![0.0; table[0].len()] };
        for (x, row) in table.iter().enumerate() {
            let (sin, cos) = angle(frequency, x, p);
            for (i, v) in row.iter().enumerate() {
                wave.cos_part[i] += 2.0 / p as f64 * cos * v;
                wave.sin_part[i] += 2.0 / p as f64 * sin * v;
            }
        }
        wave
    }

    /// Sum over the rows of the square of its value.
    fn power(&self, p: usize) -> f64 {
        let square = |x: &[f64]| linalg::dot(x, x);
        (square(&self.cos_part) + square(&self.sin_part)) * p as f64 / 2.0
    }
}

/// (sin, cos) of 2 pi frequency x / p.
fn angle(frequency: usize, x: usize, p: usize) -> (f64, f64) {
    sin_cos_turns64((frequency * x % p) as f64 / p as f64)
}

/// Shares of a total; zeros where there is nothing.
fn shares(powers: impl Iterator<Item = f64>, total: f64) -> Vec<f64> {
    powers.map(|x| if total > 0.0 { x / total } else { 0.0 }).collect()
}

/// Waves of the embedding and of the logits of one network; frequency k is at k - 1.
pub(super) struct Spectrum {
    p: usize,
    /// Logits of all pairs, each row centred.
    logits: Vec<Vec<f64>>,
    /// Mean of them.
    mean: Vec<f64>,
    /// Means over the pairs of each sum, less the mean of all.
    by_sum: Vec<Vec<f64>>,
    written: Vec<Wave>,
    /// Share of each frequency in the variance of the logits of all pairs.
    logit_power: Vec<f64>,
    embedded: Vec<Wave>,
    /// Mean row of the embedding.
    centre: Vec<f64>,
    /// Share of each frequency in the embedding without its mean.
    embedding_power: Vec<f64>,
}

impl Spectrum {
    /// From the logits of all pairs, `[a * p + b][c]`, and the embedding, whose first p rows are the
    /// residues.
    pub(super) fn of(p: usize, logits: &[Vec<f64>], embedding: &Tensor) -> Self {
        let centred = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / p as f64;
            row.iter().map(|x| x - mean).collect()
        };
        let logits: Vec<Vec<f64>> = logits.iter().map(centred).collect();
        let mut by_sum = vec![vec![0.0; p]; p];
        for (i, row) in logits.iter().enumerate() {
            let sum = &mut by_sum[(i / p + i % p) % p];
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += x / p as f64);
        }
        let mean = mean_row(&by_sum);
        for row in &mut by_sum {
            row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m);
        }
        let rows: Vec<Vec<f64>> =
            (0..p).map(|x| embedding.row(x).iter().map(|&v| f64::from(v)).collect()).collect();
        let waves = |table: &[Vec<f64>]| -> Vec<Wave> {
            (1..=(p - 1) / 2).map(|k| Wave::of(table, k)).collect()
        };
        let (written, embedded) = (waves(&by_sum), waves(&rows));
        let from_mean =
            |row: &Vec<f64>| row.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m)).sum::<f64>();
        let variance = logits.iter().map(from_mean).sum();
        // Each sum stands for p pairs.
        let logit_power = written.iter().map(|w| w.power(p) * p as f64);
        let embedding_power: Vec<f64> = embedded.iter().map(|w| w.power(p)).collect();
        let embedded_in_all = embedding_power.iter().sum();
        Self {
            p,
            logit_power: shares(logit_power, variance),
            embedding_power: shares(embedding_power.into_iter(), embedded_in_all),
            centre: mean_row(&rows),
            logits,
            mean,
            by_sum,
            written,
            embedded,
        }
    }

    /// Key frequencies, ascending.
    pub(super) fn keys(&self) -> Vec<usize> {
        (1..=self.written.len()).filter(|&k| self.logit_power[k - 1] >= KEY).collect()
    }

    /// What the key frequencies write for the sum s.
    fn told(&self, keys: &[usize], s: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.p];
        for &k in keys {
            let (sin, cos) = angle(k, s, self.p);
            let wave = &self.written[k - 1];
            for (i, x) in row.iter_mut().enumerate() {
                *x += cos * wave.cos_part[i] + sin * wave.sin_part[i];
            }
        }
        row
    }

    /// (restricted loss over all pairs, excluded loss over the trained ones).
    pub(super) fn progress(
        &self,
        keys: &[usize],
        labels: &[u32],
        trained: &[bool],
    ) -> [Option<f64>; 2] {
        let p = self.p;
        let told: Vec<Vec<f64>> = (0..p).map(|s| self.told(keys, s)).collect();
        let (mut restricted, mut excluded) = (vec![], vec![]);
        for (i, row) in self.logits.iter().enumerate() {
            let told = &told[(i / p + i % p) % p];
            restricted.push(told.iter().zip(&self.mean).map(|(t, m)| t + m).collect());
            excluded.push(row.iter().zip(told).map(|(x, t)| x - t).collect());
        }
        let loss = |rows: &[Vec<f64>], all: bool| {
            scores(rows, labels, |i| all || trained[i]).map(|(_, loss)| loss)
        };
        [loss(&restricted, true), loss(&excluded, false)]
    }

    /// `key_frequencies`; `embedding_share`: what they hold of the embedding's power without its
    /// mean; `embedding_peak`: greatest power of a frequency over the median; both spectra as shares
    /// from frequency 1 on; `restricted_loss` and `excluded_loss`.
    pub(super) fn measures(&self, labels: &[u32], trained: &[bool]) -> Parameters {
        let keys = self.keys();
        let mut sorted = self.embedding_power.clone();
        sorted.sort_by(f64::total_cmp);
        let (greatest, median) = (sorted[sorted.len() - 1], sorted[sorted.len() / 2]);
        let mut out = Parameters::new();
        let share = keys.iter().fold(0.0, |s, &k| s + self.embedding_power[k - 1]);
        out.insert("embedding_share".into(), json!(share));
        if median > 0.0 {
            out.insert("embedding_peak".into(), json!(greatest / median));
        }
        let [restricted, excluded] = self.progress(&keys, labels, trained);
        out.insert("restricted_loss".into(), json!(restricted));
        out.insert("excluded_loss".into(), json!(excluded));
        out.insert("key_frequencies".into(), json!(keys));
        out.insert("embedding_power".into(), json!(self.embedding_power));
        out.insert("logit_power".into(), json!(self.logit_power));
        out
    }

    /// The instance of the schema: reverse-engineered and contested, a claim on trial.
    pub(super) fn truth(&self) -> Truth {
        let keys = self.keys();
        let truth = Truth {
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            ..Truth::nothing()
        };
        let planes: Vec<Plane> = keys
            .iter()
            .flat_map(|&k| [("a", 0, k), ("b", 1, k)])
            .filter_map(|(operand, pos, k)| self.plane(operand, pos, k))
            .collect();
        let terms = (!planes.is_empty()).then(|| keys.iter().map(|&k| self.term(k)).collect());
        with_cosines(self.p, &planes, terms, truth)
    }

    /// The plane that a wave spans in the embedding; `None` where it is a line.
    fn plane(&self, operand: &'static str, pos: usize, frequency: usize) -> Option<Plane> {
        let wave = &self.embedded[frequency - 1];
        let width = self.centre.len();
        let rows = [wave.cos_part.as_slice(), &wave.sin_part].concat();
        let basis = linalg::orthonormal_rows(2, width, &rows, 1e-9);
        if basis.len() != 2 * width {
            return None;
        }
        let along = |x: &[f64]| [0, 1].map(|i| linalg::dot(&basis[i * width..(i + 1) * width], x));
        let (cos, sin) = (along(&wave.cos_part), along(&wave.sin_part));
        let vectors = basis.chunks(width).map(|q| q.iter().map(|&x| x as f32).collect()).collect();
        Some(Plane {
            operand,
            frequency,
            selector: Selector { basis: Some(vectors), ..Selector::site("hook_embed") },
            pos: Some(pos),
            map: [[cos[0], sin[0]], [cos[1], sin[1]]],
            centre: along(&self.centre),
        })
    }

    /// The cosine of a + b - c that fits the logits best.
    fn term(&self, frequency: usize) -> Term {
        let p = self.p;
        let (mut x, mut y) = (0.0, 0.0);
        for (s, row) in self.by_sum.iter().enumerate() {
            for (c, v) in row.iter().enumerate() {
                let (sin, cos) = angle(frequency, s + p - c, p);
                x += 2.0 / (p * p) as f64 * cos * v;
                y += 2.0 / (p * p) as f64 * sin * v;
            }
        }
        Term {
            frequency: frequency as u32,
            amplitude: (x * x + y * y).sqrt() as f32,
            phase: atan2_64(-y, x) as f32,
        }
    }
}

fn mean_row(table: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; table[0].len()];
    for row in table {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / table.len() as f64);
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_explanation::Body;

    /// Logits that are cosines of a + b - c at two frequencies, and an embedding on two circles.
    fn written(p: usize, terms: &[(usize, f64, f64)]) -> (Vec<Vec<f64>>, Tensor) {
        let cos = |k: usize, x: usize, phase: f64| {
            let (sin, cos) = angle(k, x, p);
            let (s, c) = flyroom_tensor::math::sin_cos64(phase);
            cos * c - sin * s
        };
        let row = |i: usize| {
            (0..p)
                .map(|c| {
                    let s = i / p + i % p + p - c;
                    terms.iter().map(|&(k, a, phase)| a * cos(k, s, phase)).sum::<f64>()
                })
                .collect()
        };
        let width = 2 * terms.len() + 1;
        let embedding = Tensor::from_fn(&[p + 1, width], |i| {
            let (x, j) = (i / width, i % width);
            match terms.get(j / 2) {
                Some(&(k, ..)) if j % 2 == 0 => angle(k, x, p).1 as f32,
                Some(&(k, ..)) => angle(k, x, p).0 as f32,
                None => 3.0,
            }
        });
        ((0..p * p).map(row).collect(), embedding)
    }

    #[test]
    fn frequencies_amplitudes_and_phases_that_were_written_are_located() {
        let (logits, embedding) = written(13, &[(2, 5.0, 0.0), (5, 3.0, 0.4)]);
        let truth = Spectrum::of(13, &logits, &embedding).truth();
        let names: Vec<&str> = truth.variables.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["a2", "b2", "a5", "b5"]);
        let Some(Body::Cosines(c)) = truth.explanation.map(|e| e.body) else { panic!() };
        for (term, (k, a, phase)) in c.terms.iter().zip([(2, 5.0, 0.0), (5, 3.0, 0.4)]) {
            assert_eq!(term.frequency, k);
            assert!((f64::from(term.amplitude) - a).abs() < 1e-5, "{term:?}");
            assert!((f64::from(term.phase) - phase).abs() < 1e-5, "{term:?}");
        }
        // In its plane residue x lies on the unit circle.
        for v in &truth.variables {
            for value in &v.values {
                assert!((f64::from(value[0]).hypot(f64::from(value[1])) - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn the_restricted_loss_is_that_of_the_keys_and_the_excluded_one_that_of_the_rest() {
        let (logits, embedding) = written(13, &[(2, 9.0, 0.0), (5, 9.0, 0.0)]);
        let labels: Vec<u32> = (0..169).map(|i| (i / 13 + i % 13) % 13).collect();
        let trained: Vec<bool> = (0..169).map(|i| i % 3 == 0).collect();
        let m = Spectrum::of(13, &logits, &embedding).measures(&labels, &trained);
        let whole = scores(&logits, &labels, |_| true).unwrap().1;
        assert!((m["restricted_loss"].as_f64().unwrap() - whole).abs() < 1e-9);
        // Nothing is left: ln 13.
        assert!((m["excluded_loss"].as_f64().unwrap() - 2.564949357461537).abs() < 1e-9);
        assert_eq!(m["key_frequencies"], json!([2, 5]));
        assert!((m["embedding_share"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        // Logits that say nothing of the sum have no key.
        let flat = vec![vec![0.0; 13]; 169];
        let none = Spectrum::of(13, &flat, &embedding);
        assert_eq!(none.measures(&labels, &trained)["key_frequencies"], json!([]));
        assert_eq!(none.truth().variables, vec![]);
    }
}
