//! Matryoshka BatchTopK sparse autoencoder (Bussmann et al. 2025, "Learning multi-level features
//! with Matryoshka sparse autoencoders").
//!
//! A [BatchTopK](crate::batch_topk) dictionary of which some prefixes are to reconstruct as well: with
//! z the latents that the batch kept, x^_m = z_{<m} W_dec_{<m} + b_dec and the loss is the sum of
//! |x - x^_m|^2 over the prefixes m, the last of which is the whole. *Intuition*: a latent for "parent and
//! child" saves a latent only where there is room for children; the first prefix has too few latents
//! to write every child with its parent, so it keeps the parents whole.
//!
//! Prefixes are the same in every batch, as in the paper's language models and SAELens; Nabeshima
//! (2024) draws them anew for each batch. Latents of a level that never fire start anew on what
//! their level leaves.

use crate::method::Method;
use crate::train::{Latents, Loop};
use crate::{Data, Dictionary, Error, batch_topk};
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};

/// Matryoshka BatchTopK sparse autoencoder.
pub(crate) const MATRYOSHKA: Method<Settings> = Method {
    name: "matryoshka",
    version: 1,
    summary: "BatchTopK sparse autoencoder whose first latents must reconstruct alone.",
    source: "Bussmann et al. 2025, arXiv:2503.17547",
    run: decompose,
};

/// Its parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Latents; 0 means four for each unit of the site.
    n_latents: usize,
    /// Latents of the whole that are active on average; 0 means the root of the number of units,
    /// rounded down.
    k: f64,
    /// Shares of the latents that are to reconstruct as well, ascending, with commas between.
    prefixes: Shares,
    /// Steps of training.
    steps: usize,
    /// Samples in a batch.
    batch: usize,
    /// Learning rate of Adam; falls linearly to 0 over the last fifth.
    lr: f64,
    /// Times that dead latents start anew, evenly over the first half of the training.
    resamples: usize,
}

/// One share, or several in a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "prefixes: a share, or shares with commas between, as text")]
enum Shares {
    One(f64),
    Several(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            n_latents: 0,
            k: 0.0,
            prefixes: Shares::Several("0.03125,0.125,0.5".into()),
            steps: 2000,
            batch: 256,
            lr: 3e-3,
            resamples: 5,
        }
    }
}

impl Settings {
    /// Latents of every prefix but the whole, ascending; equal ones count once.
    fn prefixes(&self, n_latents: usize) -> Result<Vec<usize>, Error> {
        let bad = |why: String| Error::parameters(MATRYOSHKA.name, why);
        let shares: Vec<f64> = match &self.prefixes {
            Shares::One(share) => vec![*share],
            Shares::Several(text) => {
                let parts = text.split(',').map(str::trim).filter(|s| !s.is_empty());
                let share = |s: &str| s.parse().map_err(|_| bad(format!("prefixes: '{s}'")));
                parts.map(share).collect::<Result<_, _>>()?
            }
        };
        let mut out: Vec<usize> = vec![];
        let mut last = 0.0;
        for share in shares {
            if !(share > last && share < 1.0) {
                let why = format!("prefixes: {share} is not above {last} and below 1");
                return Err(bad(why));
            }
            last = share;
            let latents = ((share * n_latents as f64).round() as usize).max(1);
            if out.last() != Some(&latents) && latents < n_latents {
                out.push(latents);
            }
        }
        Ok(out)
    }
}

fn decompose(s: Settings, data: &Data, seed: u64, cx: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let n_latents = if s.n_latents == 0 { 4 * d } else { s.n_latents };
    let kept = batch_topk::of_batch(MATRYOSHKA.name, s.k, d, n_latents, s.batch)?;
    let training = Loop {
        method: MATRYOSHKA.name,
        n_latents,
        steps: s.steps,
        batch: s.batch,
        lr: s.lr,
        beta1: 0.9,
        unit_rows: true,
        resamples: s.resamples,
        latents: Latents::Nested(kept, s.prefixes(n_latents)?),
    };
    batch_topk::train(&training, data, seed, cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use crate::train::tests::{found, holds_its_bits, pentagon, set, twenty};
    use serde_json::json;

    #[test]
    fn forty_latents_find_many_of_twenty_features_in_ten_units() {
        let (data, truth) = twenty(4000);
        for seed in 0..2 {
            let s = set(json!({"k": 1.0}));
            let d = MATRYOSHKA.decompose(&data, &s, seed, &Context::single()).unwrap();
            let n = found(&truth, d.directions());
            // Fewer than BatchTopK finds: there is no hierarchy here, and prefixes cost something.
            assert!(n >= 7, "seed {seed}: {n}");
        }
    }

    #[test]
    fn equal_bits_with_all_kernels_and_any_number_of_threads() {
        let s = json!({"n_latents": 40, "k": 2, "steps": 60, "batch": 128});
        holds_its_bits(&MATRYOSHKA, &set(s));
    }

    #[test]
    fn the_first_latents_reconstruct_more_alone_than_those_of_batch_topk() {
        let (data, cx) = (twenty(2000).0, Context::single());
        // The square of what the first ten latents of forty leave.
        let left = |d: &Dictionary| -> f64 {
            let z = d.encode(&data.activations, &cx).unwrap();
            let mut sum = 0.0;
            for (i, x) in data.activations.data().chunks_exact(10).enumerate() {
                for (u, x) in x.iter().enumerate() {
                    let row = z.row(i).iter().zip(d.w_dec.data().iter().skip(u).step_by(10));
                    let y: f32 = row.take(10).map(|(z, w)| z * w).sum();
                    sum += f64::from(x - y - d.b_dec.data()[u]).powi(2);
                }
            }
            sum
        };
        let s = json!({"k": 1, "steps": 1000});
        let plain = batch_topk::BATCH_TOPK.decompose(&data, &set(s.clone()), 0, &cx).unwrap();
        let mut s = set(s);
        s.insert("prefixes".into(), json!(0.25));
        let nested = MATRYOSHKA.decompose(&data, &s, 0, &cx).unwrap();
        let (plain, nested) = (left(&plain), left(&nested));
        assert!(nested < 0.9 * plain, "matryoshka {nested}, batch-topk {plain}");
    }

    #[test]
    fn prefixes_are_rounded_to_latents_and_equal_ones_count_once() {
        let of = |n: usize| Settings::default().prefixes(n).unwrap();
        assert_eq!(of(4096), [128, 512, 2048]);
        assert_eq!(of(40), [1, 5, 20]);
        assert_eq!(of(8), [1, 4]);
        assert_eq!(of(1), Vec::<usize>::new());
        let none = Settings { prefixes: Shares::Several(String::new()), ..Settings::default() };
        assert_eq!(none.prefixes(8).unwrap(), Vec::<usize>::new(), "BatchTopK");
    }

    #[test]
    fn impossible_parameters_are_named() {
        let data = pentagon(10, 0);
        for (s, word) in [
            (json!({"k": 9, "n_latents": 8}), "k = 9"),
            (json!({"batch": 0}), "batch"),
            (json!({"prefixes": "0.5,0.25"}), "0.25 is not above 0.5"),
            (json!({"prefixes": 1.0}), "1 is not above 0 and below 1"),
            (json!({"prefixes": "half"}), "half"),
            (json!({"prefixes": "nan"}), "NaN"),
            (json!({"prefixes": true}), "prefixes"),
        ] {
            let cx = Context::single();
            let e = MATRYOSHKA.decompose(&data, &set(s), 0, &cx).unwrap_err().to_string();
            assert!(e.starts_with("method matryoshka: ") && e.contains(word), "{e}");
        }
    }
}
