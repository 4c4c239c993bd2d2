//! BatchTopK sparse autoencoder (Bussmann, Leask and Nanda 2024, "BatchTopK sparse autoencoders").
//!
//! Of all latents of a batch the k times batch largest stay, so that a sample may use more or
//! fewer than k. Afterwards a latent of a single sample is kept if it is above one threshold: the
//! mean, over the last tenth of the training, of the least latent that stayed (their eq. 7 with a
//! sample of batches). The dictionary is therefore a JumpReLU, as SAELens writes it.

use crate::largest::Settings;
use crate::method::Method;
use crate::train::{Keep, Loop};
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::Context;

/// BatchTopK sparse autoencoder.
pub(crate) const BATCH_TOPK: Method<Settings<f64>> = Method {
    name: "batch-topk",
    version: 1,
    summary: "Sparse autoencoder that keeps the k times batch largest latents of a batch.",
    source: "Bussmann et al. 2024, arXiv:2412.06410",
    run: decompose,
};

fn decompose(s: Settings<f64>, data: &Data, seed: u64, cx: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let n_latents = s.latents(d);
    let kept = of_batch(BATCH_TOPK.name, s.k, d, n_latents, s.batch)?;
    train(&s.training(BATCH_TOPK.name, n_latents, kept), data, seed, cx)
}

/// What stays of a batch where a sample of `d` units keeps `k` latents on average; 0 means the root
/// of the number of units.
pub(crate) fn of_batch(
    method: &str,
    k: f64,
    d: usize,
    n_latents: usize,
    batch: usize,
) -> Result<Keep, Error> {
    let k = if k == 0.0 { d.isqrt().max(1) as f64 } else { k };
    if !(k > 0.0 && k <= n_latents as f64) {
        return Err(Error::parameters(method, format!("k = {k} of n_latents = {n_latents}")));
    }
    let all = batch.saturating_mul(n_latents);
    Ok(Keep::OfBatch(((k * batch as f64).round() as usize).min(all)))
}

/// Trains, and learns the threshold that takes the batch's place.
pub(crate) fn train(
    training: &Loop,
    data: &Data,
    seed: u64,
    cx: &Context,
) -> Result<Dictionary, Error> {
    let (mut least, mut steps) = (0.0, 0usize);
    let w = training.train(data, seed, cx, &mut |t, z| {
        let smallest = z.iter().copied().filter(|&z| z > 0.0).reduce(f32::min);
        if let Some(z) = smallest.filter(|_| 10 * t > 9 * training.steps) {
            least += f64::from(z);
            steps += 1;
        }
    })?;
    let threshold = (least / steps.max(1) as f64 * w.scale) as f32;
    let encode = Encode::JumpRelu { threshold: vec![threshold; training.n_latents] };
    Dictionary::new(&data.site, w.w_enc, w.b_enc, w.w_dec, w.b_dec, encode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use crate::train::tests::{found, holds_its_bits, pentagon, set, twenty};
    use serde_json::json;

    #[test]
    fn forty_latents_find_most_of_twenty_features_in_ten_units() {
        let (data, truth) = twenty(4000);
        for seed in 0..2 {
            let s = set(json!({"k": 1.0}));
            let d = BATCH_TOPK.decompose(&data, &s, seed, &Context::single()).unwrap();
            let n = found(&truth, d.directions());
            // Measured 15 and more; forty random directions come that near to none.
            assert!(n >= 12, "seed {seed}: {n}");
        }
    }

    #[test]
    fn equal_bits_with_all_kernels_and_any_number_of_threads() {
        let s = json!({"n_latents": 40, "k": 2, "steps": 60, "batch": 128, "auxk": 8,
            "dead_after": 10});
        holds_its_bits(&BATCH_TOPK, &set(s));
    }

    #[test]
    fn samples_use_k_latents_on_average_and_not_each() {
        let (data, cx) = (pentagon(4096, 0), Context::single());
        let s = set(json!({"n_latents": 10, "k": 1, "steps": 1000}));
        let d = BATCH_TOPK.decompose(&data, &s, 0, &cx).unwrap();
        let z = d.encode(&data.activations, &cx).unwrap();
        let counts: Vec<usize> =
            (0..4096).map(|i| z.row(i).iter().filter(|&&z| z > 0.0).count()).collect();
        let l0 = counts.iter().sum::<usize>() as f64 / 4096.0;
        assert!((0.2..1.2).contains(&l0), "{l0}");
        assert!(counts.iter().any(|&c| c > 1) && counts.contains(&0));
    }

    #[test]
    fn impossible_parameters_are_named() {
        let data = pentagon(10, 0);
        for (s, word) in
            [(json!({"k": 9, "n_latents": 8}), "k = 9"), (json!({"batch": 0}), "batch")]
        {
            let cx = Context::single();
            let e = BATCH_TOPK.decompose(&data, &set(s), 0, &cx).unwrap_err().to_string();
            assert!(e.starts_with("method batch-topk: ") && e.contains(word), "{e}");
        }
    }
}
