//! Sparse autoencoder with an L1 penalty (Bricken et al. 2023, "Towards monosemanticity"; the form
//! of Templeton et al. 2024, "Scaling monosemanticity").
//!
//! z = ReLU((x - b_dec) W_enc + b_enc), x^ = z W_dec + b_dec, loss
//! |x - x^|^2 + c(t) sum over latents of z_j |W_dec,j|, mean over samples. Decoder rows are free: their
//! lengths stand in the penalty, so that a latent cannot evade it by growing its row. c rises
//! linearly from 0 over the first twentieth of the training. Afterwards the lengths are folded into
//! the encoder, which changes no reconstruction.

use crate::method::Method;
use crate::train::{Latents, Loop, Penalty, normalise};
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};

/// Sparse autoencoder with an L1 penalty.
pub(crate) const L1: Method<Settings> = Method {
    name: "l1",
    version: 1,
    summary: "Sparse autoencoder that pays for the sum of its latents.",
    source: "Bricken et al. 2023; Templeton et al. 2024",
    run: decompose,
};

/// Parameters of the method.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Latents; 0 means four for each unit of the site.
    n_latents: usize,
    /// c: what a latent of size 1 costs, against squared errors of activations whose units have
    /// the mean variance 1.
    coefficient: f64,
    /// Share of the steps over which c rises from 0.
    warmup: f64,
    /// Steps of training.
    steps: usize,
    /// Samples in a batch.
    batch: usize,
    /// Learning rate of Adam; falls linearly to 0 over the last fifth.
    lr: f64,
    /// Adam's decay of the first moment.
    beta1: f64,
    /// Times that dead latents start anew, evenly over the first half of the training.
    resamples: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            n_latents: 0,
            coefficient: 2.0,
            warmup: 0.05,
            steps: 2000,
            batch: 256,
            lr: 3e-3,
            beta1: 0.0,
            resamples: 0,
        }
    }
}

/// Added to the mean square of a decoder row, so that a row of zeros has a gradient.
const EPS: f32 = 1e-12;

fn decompose(s: Settings, data: &Data, seed: u64, cx: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let bad = |why: String| Err(Error::parameters(L1.name, why));
    if !(s.coefficient.is_finite() && s.coefficient >= 0.0) {
        return bad(format!("coefficient = {} is negative", s.coefficient));
    }
    if !(0.0..=1.0).contains(&s.warmup) {
        return bad(format!("warmup = {} is no share", s.warmup));
    }
    if !(0.0..1.0).contains(&s.beta1) {
        return bad(format!("beta1 = {} is not in 0..1", s.beta1));
    }
    let n_latents = if s.n_latents == 0 { 4 * d } else { s.n_latents };
    let rise = (s.warmup * s.steps as f64).max(1.0);
    let kind = Loop {
        method: L1.name,
        n_latents,
        steps: s.steps,
        batch: s.batch,
        lr: s.lr,
        beta1: s.beta1,
        unit_rows: false,
        resamples: s.resamples,
        latents: Latents::Paid(Penalty {
            record: &|g, z, w_dec| {
                let length = g.root_mean_square(w_dec, EPS)?; // [latent, 1]
                let length = g.reshape(length, &[n_latents])?;
                let paid = g.mul(z, length)?; // [sample, latent]
                let sum = g.sum(paid)?;
                // Lengths are sqrt(d) times root mean squares.
                g.scale(sum, ((d as f64).sqrt() / s.batch as f64) as f32)
            },
            // The squared error of the loop is a mean over units, not their sum.
            weight: &|t| s.coefficient / d as f64 * (t as f64 / rise).min(1.0),
        }),
    };
    let mut w = kind.train(data, seed, cx, &mut |_, _| {})?;
    for j in 0..n_latents {
        let length = normalise(&mut w.w_dec.data_mut()[j * d..(j + 1) * d]);
        let scaled = |x: &mut f32| *x = (f64::from(*x) * length) as f32;
        w.w_enc.data_mut().iter_mut().skip(j).step_by(n_latents).for_each(scaled);
        scaled(&mut w.b_enc.data_mut()[j]);
    }
    Dictionary::new(&data.site, w.w_enc, w.b_enc, w.w_dec, w.b_dec, Encode::Relu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use crate::train::tests::{holds_its_bits, pentagon, set, worst_of_pentagon};
    use serde_json::json;

    #[test]
    fn eight_latents_find_five_features_in_a_plane() {
        let cx = Context::single();
        for seed in 0..3 {
            let d = L1.decompose(&pentagon(4096, seed), &L1.defaults(), seed, &cx).unwrap();
            let worst = worst_of_pentagon(d.directions());
            assert!(worst > 0.98, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn the_coefficient_trades_latents_for_error() {
        let (data, cx) = (pentagon(2048, 1), Context::single());
        let mut before = (f64::MAX, -1.0);
        for c in [0.0, 0.3, 3.0] {
            let s = set(json!({"coefficient": c, "steps": 1000}));
            let d = L1.decompose(&data, &s, 0, &cx).unwrap();
            let z = d.encode(&data.activations, &cx).unwrap();
            let l0 = z.data().iter().filter(|&&z| z > 0.0).count() as f64 / 2048.0;
            let y = d.reconstruct(&data.activations, &cx).unwrap();
            let pairs = y.data().iter().zip(data.activations.data());
            let error: f64 = pairs.map(|(y, x)| f64::from(y - x) * f64::from(y - x)).sum();
            assert!(l0 < before.0 && error > before.1, "{c}: L0 {l0}, error {error}");
            before = (l0, error);
        }
    }

    #[test]
    fn equal_bits_with_all_kernels_and_any_number_of_threads() {
        let s = json!({"n_latents": 40, "steps": 60, "batch": 512, "resamples": 2});
        holds_its_bits(&L1, &set(s));
    }

    #[test]
    fn rows_are_unit_vectors_once_their_lengths_are_folded() {
        let cx = Context::single();
        let d = L1.decompose(&pentagon(500, 3), &set(json!({"steps": 100})), 0, &cx).unwrap();
        for row in d.directions() {
            assert!((f64::from(row[0]).hypot(f64::from(row[1])) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn impossible_parameters_are_named() {
        let data = pentagon(10, 0);
        for (s, word) in [
            (json!({"coefficient": -1.0}), "coefficient"),
            (json!({"warmup": 2.0}), "warmup"),
            (json!({"beta1": 1.0}), "beta1"),
            (json!({"lr": 0.0}), "lr"),
        ] {
            let e = L1.decompose(&data, &set(s), 0, &Context::single()).unwrap_err().to_string();
            assert!(e.starts_with("method l1: ") && e.contains(word), "{e}");
        }
    }
}
