//! Organisms whose weights were written from a program.

use super::truth_holds_and_controls_are_blamed;
use flyroom_describe::{Describe, Scores};
use flyroom_explanation::Body;
use flyroom_organism::train::Nursery;
use flyroom_organism::{Specimen, Subject, Truth, find, with_defaults};
use flyroom_tensor::Context;
use flyroom_validate::{Observed, Trial, exam, wiring};
use serde_json::json;

pub(super) fn bred(organism: &str, set: serde_json::Value, seed: u64) -> (Specimen, Truth) {
    let organism = find(organism).unwrap();
    let parameters = with_defaults(organism, set.as_object().unwrap()).unwrap();
    let cx = Context::single();
    let bred = organism.breed(&parameters, seed, &cx, &Nursery::none()).unwrap();
    Specimen::new(organism, &parameters, seed, bred, Default::default())
}

#[test]
fn the_program_of_induction_compiled_predicts_every_in_domain_intervention() {
    let (specimen, truth) = bred("induction-compiled", json!({}), 3);
    let organism = find("induction-compiled").unwrap();
    for length in [3, 4] {
        let task = organism.task(&specimen.spec.parameters, Some(length)).unwrap();
        let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
        truth_holds_and_controls_are_blamed(&subject, &truth);
    }
}

#[test]
fn the_program_of_induction_compiled_is_right_for_all_inputs_to_length_4_and_all_singles() {
    let (specimen, truth) = bred("induction-compiled", json!({}), 5);
    let organism = find("induction-compiled").unwrap();
    for length in 2..=4 {
        let task = organism.task(&specimen.spec.parameters, Some(length)).unwrap();
        assert!(task.exhaustive);
        let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
        assert!(super::exhaustively(&subject, &truth, 1e-4) > task.clean);
    }
}

#[test]
fn exact_patching_finds_the_edges_of_induction_compiled_and_eap_names_the_dead_ones() {
    let (specimen, truth) = bred("induction-compiled", json!({}), 1);
    let organism = find("induction-compiled").unwrap();
    let task = organism.task(&specimen.spec.parameters, Some(4)).unwrap();
    let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
    let score = |m: Scores| {
        let d = m.describe(&subject, None, &m.defaults(), 0).unwrap();
        let Body::Circuit { edges, .. } = &d.explanation.body else { unreachable!() };
        wiring::score(&subject, &d.edges, edges, truth.circuit.as_deref(), 1).unwrap()
    };
    let exact = score(Scores::Exact);
    let t = exact.truth.unwrap();
    assert_eq!((t.precision, t.recall, t.auroc), (1.0, 1.0, 1.0), "{t:?}");
    assert!((exact.faithfulness["resample"] - 1.0).abs() < 1e-3, "{:?}", exact.faithfulness);
    assert!(exact.null_faithfulness < 0.2 && exact.p_value < 0.01);
    assert!(t.null_auroc[1] < 0.5 && 0.5 < t.null_auroc[2]);

    let eap = score(Scores::Eap).truth.unwrap();
    assert!(!eap.gradient_dead.is_empty());
    assert_eq!(eap.gradient_dead_recall, Some(0.0), "{eap:?}");
    // Their scores differ from those of other edges only below the float floor.
    assert!(eap.auroc < 0.9, "{}", eap.auroc);
    // Both heads attend sharply, so no gradient passes their queries and keys, nor anything that
    // is read through them alone.
    let known: Vec<String> = truth.circuit.iter().flatten().map(|k| k.edge.to_string()).collect();
    let dead: Vec<String> = eap.gradient_dead.iter().map(ToString::to_string).collect();
    for e in known.iter().filter(|e| e.ends_with("<q>") || e.ends_with("<k>")) {
        assert!(dead.contains(e), "{e} is not among {dead:?}");
    }
}

#[test]
fn the_cosines_of_balanced_modular_addition_are_the_network() {
    let (specimen, truth) =
        bred("modular-addition-analytic-balanced", json!({ "modulus": 13, "width": 36 }), 0);
    let organism = find("modular-addition-analytic-balanced").unwrap();
    let task = organism.task(&specimen.spec.parameters, None).unwrap();
    let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
    truth_holds_and_controls_are_blamed(&subject, &truth);
    // The method finds what was written, without the truth.
    let fourier = flyroom_describe::Fourier;
    let d = fourier.describe(&subject, None, &fourier.defaults(), 0).unwrap();
    let card = super::cards(&subject, &truth, &[d.explanation]).remove(0);
    assert!(card.ranked().unwrap().effect.skill.unwrap() > 0.999, "{card:?}");
}

/// The truth (closed), a circuit and another circuit (open): each tier has two askers at least.
#[test]
fn cards_of_one_trial_are_those_of_trials_held_one_by_one() {
    let set = json!({ "letters": 3, "seq": 3, "n_heads": 1 });
    let (specimen, truth) = bred("induction-compiled", set, 2);
    let organism = find("induction-compiled").unwrap();
    let task = organism.task(&specimen.spec.parameters, Some(3)).unwrap();
    let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
    let circuit = |m: Scores| m.describe(&subject, None, &m.defaults(), 0).unwrap().explanation;
    let program = truth.explanation.clone().unwrap();
    let changed = flyroom_validate::misdescribed(&program).unwrap();
    let all = [circuit(Scores::Exact), program, circuit(Scores::Eap), changed];
    let frozen: Vec<String> = all.iter().map(|e| e.hash().unwrap()).collect();
    let budget = exam::Budget { per_family: 32, seen: 64 };
    let observed: Vec<Observed> = exam::draw(&subject, &truth, &frozen, budget)
        .unwrap()
        .into_iter()
        .map(|e| Observed::new(&subject, e).unwrap())
        .collect();
    let together = Trial::new(&subject, &truth, &observed, 1);
    let mut references = 0;
    for e in &all {
        let card = together.hold(e).unwrap();
        assert_eq!(card, Trial::new(&subject, &truth, &observed, 1).hold(e).unwrap());
        let all = || card.exams.iter();
        references += all().filter(|x| x.oracle.is_some() || x.whole.is_some()).count();
    }
    assert!(references >= 4, "both tiers have a reference: {references}");
}
