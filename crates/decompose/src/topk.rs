//! TopK sparse autoencoder (Gao et al. 2024, "Scaling and evaluating sparse autoencoders").
//!
//! z = ReLU(TopK((x - b_dec) W_enc + b_enc)), x^ = z W_dec + b_dec (their eq. 2 with an encoder
//! bias), trained on the squared error by the loop of `train.rs`, decoder rows of unit length.
//! A latent that once fell out of the k largest never gets a gradient again, so dead ones start
//! anew (`resamples`) or get a loss of their own (`auxk`, the paper's remedy, their section 2.2).

use crate::largest::Settings;
use crate::method::Method;
use crate::train::Keep;
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::Context;

/// TopK sparse autoencoder.
pub(crate) const TOPK: Method<Settings<usize>> = Method {
    name: "topk",
    version: 1,
    summary: "Sparse autoencoder that keeps the k largest latents.",
    source: "Gao et al. 2024, arXiv:2406.04093",
    run: decompose,
};

fn decompose(
    s: Settings<usize>,
    data: &Data,
    seed: u64,
    cx: &Context,
) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let n_latents = s.latents(d);
    let k = if s.k == 0 { d.isqrt().max(1) } else { s.k };
    if k > n_latents {
        return Err(Error::parameters(TOPK.name, format!("k = {k} of n_latents = {n_latents}")));
    }
    let training = s.training(TOPK.name, n_latents, Keep::OfSample(k));
    let w = training.train(data, seed, cx, &mut |_, _| {})?;
    Dictionary::new(&data.site, w.w_enc, w.b_enc, w.w_dec, w.b_dec, Encode::TopK(k))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use crate::train::tests::{holds_its_bits, pentagon, set, twenty, worst_of_pentagon};
    use flyroom_tensor::Tensor;
    use serde_json::json;

    #[test]
    fn eight_latents_find_five_features_in_a_plane() {
        let cx = Context::single();
        for seed in 0..3 {
            let d = TOPK.decompose(&pentagon(4096, seed), &TOPK.defaults(), seed, &cx).unwrap();
            // Measured .9967, .9967, .9983 at worst; eight random directions reach .90 on average.
            let worst = worst_of_pentagon(d.directions());
            assert!(worst > 0.99, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn equal_bits_with_all_kernels_and_any_number_of_threads() {
        let s = json!({"n_latents": 40, "k": 2, "steps": 60, "batch": 512});
        holds_its_bits(&TOPK, &set(s));
        let s = json!({"n_latents": 40, "k": 2, "steps": 60, "batch": 512, "resamples": 0,
            "auxk": 8, "dead_after": 10});
        holds_its_bits(&TOPK, &set(s));
    }

    #[test]
    fn dead_latents_come_back_by_resampling_and_by_the_auxiliary_loss_and_not_alone() {
        let (data, cx, n) = (twenty(2000).0, Context::single(), 24);
        let dead = |s: serde_json::Value| {
            let d = TOPK.decompose(&data, &set(s), 0, &cx).unwrap();
            let z = d.encode(&data.activations, &cx).unwrap();
            (0..n).filter(|&j| z.data().iter().skip(j).step_by(n).all(|&z| z <= 0.0)).count()
        };
        let alone = dead(json!({"n_latents": n, "k": 1, "resamples": 0}));
        let anew = dead(json!({"n_latents": n, "k": 1}));
        let auxiliary = dead(json!({"n_latents": n, "k": 1, "resamples": 0, "auxk": 5}));
        assert!(anew < alone && auxiliary < alone, "{alone}, {anew}, {auxiliary}");
    }

    #[test]
    fn decoder_rows_are_unit_vectors_and_latents_follow_the_scale_of_the_data() {
        let cx = Context::single();
        let data = pentagon(500, 3);
        let s = set(json!({"steps": 200}));
        let d = TOPK.decompose(&data, &s, 0, &cx).unwrap();
        for row in d.directions() {
            assert!((f64::from(row[0]).hypot(f64::from(row[1])) - 1.0).abs() < 1e-6);
        }
        // A power of two changes no mantissa, so the scaled data train to the same bits.
        let large = Tensor::from_fn(&[500, 2], |i| 1024.0 * data.activations.data()[i]);
        let large = Data::new("s", large);
        let e = TOPK.decompose(&large, &s, 0, &cx).unwrap();
        assert_eq!((&e.w_dec, &e.w_enc), (&d.w_dec, &d.w_enc));
        let (z, y) =
            (d.encode(&data.activations, &cx).unwrap(), e.encode(&large.activations, &cx).unwrap());
        assert!(z.data().iter().zip(y.data()).all(|(z, y)| 1024.0 * z == *y));
    }

    #[test]
    fn at_most_k_latents_fire_and_constant_data_do_no_harm() {
        let cx = Context::single();
        let data = Data::new("s", Tensor::from_fn(&[8, 3], |i| [1.0, -2.0, 0.5][i % 3]));
        let d = TOPK.decompose(&data, &set(json!({"steps": 20, "k": 2})), 0, &cx).unwrap();
        let z = d.encode(&data.activations, &cx).unwrap();
        assert!((0..8).all(|i| z.row(i).iter().filter(|&&z| z > 0.0).count() <= 2));
        assert_eq!(d.reconstruct(&data.activations, &cx).unwrap(), data.activations);
    }

    #[test]
    fn impossible_parameters_are_named() {
        let data = pentagon(10, 0);
        for (s, word) in [
            (json!({"k": 9, "n_latents": 8}), "k = 9"),
            (json!({"batch": 0}), "batch"),
            (json!({"lr": -1.0}), "lr"),
            (json!({"lambda": 1}), "lambda"),
            (json!({"steps": "many"}), "many"),
        ] {
            let e = TOPK.decompose(&data, &set(s), 0, &Context::single()).unwrap_err().to_string();
            assert!(e.starts_with("method topk: ") && e.contains(word), "{e}");
        }
    }
}
