//! Two trained networks that add modulo 113. The numbers were computed independently in numpy
//! (benchmarks/oracles/modadd113.py).

use super::{cards, imported};
use flyroom_describe::{Describe, Description, Fourier};
use flyroom_organism::Subject;
use flyroom_tensor::Context;
use flyroom_validate::Card;

/// The description of a network, its accuracy, and the description's card if that is asked for.
fn described(seed: usize, held: bool) -> Option<(Description, Option<Card>, f64)> {
    let file = format!("modadd113/modadd_seed{seed}.safetensors");
    let (specimen, truth, task) = imported("modadd113", &file, None)?;
    let subject =
        Subject::new(&specimen, &task, &Context::new(flyroom_tensor::Kernels::detect(), 2))
            .unwrap();
    let d = Fourier.describe(&subject, None, &Fourier.defaults(), 0).unwrap();
    let card =
        held.then(|| cards(&subject, &truth, std::slice::from_ref(&d.explanation)).remove(0));
    let accuracy = task.accuracy(subject.runner.logits().unwrap().data()).unwrap();
    Some((d, card, accuracy))
}

fn close(name: &str, got: f64, wanted: f64, within: f64) {
    assert!((got - wanted).abs() <= within, "{name}: {got}, wanted {wanted} within {within}");
}

#[test]
fn seed_0_has_six_key_frequencies_and_36_is_in_the_embedding_but_unused() {
    let Some((d, Some(card), accuracy)) = described(0, true) else { return };
    close("accuracy", accuracy, 0.999_687, 1e-4);
    let keys: Vec<usize> =
        d.frequencies.iter().filter(|f| f.embedding == "key").map(|f| f.frequency).collect();
    assert_eq!(keys, [15, 18, 1, 8, 56, 36]);
    assert_eq!(d.frequencies.len(), 56);
    let power: f64 = d.frequencies[..6].iter().map(|f| f.power).sum();
    close("power of the six", power, 0.9404, 1e-3);
    let of = |k: usize| d.frequencies.iter().find(|f| f.frequency == k).unwrap();
    close("CE without 15", of(15).cross_entropy, 6.57, 0.02);
    close("accuracy without 18", accuracy - of(18).accuracy, 0.429, 0.002);
    close("largest change without 1", of(1).max_logit_change, 50.4, 0.1);
    close("amplitude of 15", of(15).amplitude, 9.197, 0.01);
    close("amplitude of 36", of(36).amplitude, 0.002, 0.002);
    assert_eq!(of(36).verdict, "unused");
    for k in [15, 18, 1, 8, 56] {
        assert_eq!(of(k).verdict, "used", "{k}");
    }
    close("clean logit R^2", d.logit_r2.unwrap(), 0.5571, 1e-3);
    // The card's fidelity is against the mean output, which holds a bias over the answers.
    assert!(card.clean_fidelity.unwrap() < d.logit_r2.unwrap());
    // Right frequencies: far above the same cosines at other frequencies. Wrong effect sizes: a
    // part of every effect is missed.
    let exam = card.ranked().unwrap();
    let skill = exam.effect.skill.unwrap();
    assert!(skill > exam.null.as_ref().unwrap().high, "{card:#?}");
    assert!(skill < 0.9, "{card:#?}");
    assert!(
        card.verdict.contains("right parts") && card.verdict.contains("in part"),
        "{}",
        card.verdict
    );
}

#[test]
fn seed_1_has_four_key_frequencies_and_uses_15_which_is_none_of_them() {
    let Some((d, _, accuracy)) = described(1, false) else { return };
    close("accuracy", accuracy, 0.999_217, 1e-4);
    let keys: Vec<usize> =
        d.frequencies.iter().filter(|f| f.embedding == "key").map(|f| f.frequency).collect();
    assert_eq!(keys, [1, 30, 38, 49]);
    assert_eq!(d.frequencies[4].frequency, 15);
    close("power of 15", d.frequencies[4].power, 0.0284, 5e-4);
    let of = |k: usize| d.frequencies.iter().find(|f| f.frequency == k).unwrap();
    close("loss of accuracy without 15", accuracy - of(15).accuracy, 0.061, 0.002);
    close("loss of accuracy without 38", accuracy - of(38).accuracy, 0.021, 0.002);
    assert_eq!(of(15).verdict, "used");
    assert_eq!(of(15).embedding, "minor");
    close("clean logit R^2", d.logit_r2.unwrap(), 0.7759, 1e-3);
}
