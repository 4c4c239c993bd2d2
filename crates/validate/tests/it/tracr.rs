//! The four networks that Tracr compiled (Lindner et al. 2023), each in two gauges: their programs
//! predict in-domain interventions within the float floor, exact patching finds their edges, and
//! the step to blame is named.

use super::{imported, truth_holds_and_controls_are_blamed};
use flyroom_describe::{Describe, Scores};
use flyroom_explanation::Body;
use flyroom_organism::Subject;
use flyroom_tensor::Context;
use flyroom_validate::wiring;

const FOUR: [&str; 4] = ["hist", "reverse", "sort_unique", "frac_prevs_x"];

#[test]
fn the_programs_of_the_four_predict_every_in_domain_intervention() {
    for name in FOUR {
        // As it was compiled on short inputs, turned on those of the full length.
        for (rotated, length) in [(None, Some(3)), (Some(1), None)] {
            let file = format!("tracr/{name}.safetensors");
            let Some((specimen, truth, _)) = imported("tracr", &file, rotated) else { return };
            let organism = flyroom_organism::find(&specimen.spec.organism).unwrap();
            let task = organism.task(&specimen.spec.parameters, length).unwrap();
            let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
            truth_holds_and_controls_are_blamed(&subject, &truth);
        }
    }
}

#[test]
fn exact_patching_finds_exactly_the_edges_that_the_corruption_moves() {
    for name in FOUR {
        let file = format!("tracr/{name}.safetensors");
        let Some((specimen, truth, task)) = imported("tracr", &file, Some(2)) else { return };
        let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
        let exact = Scores::Exact;
        let d = exact.describe(&subject, None, &exact.defaults(), 0).unwrap();
        let Body::Circuit { edges, .. } = &d.explanation.body else { unreachable!() };
        let score = wiring::score(&subject, &d.edges, edges, truth.circuit.as_deref(), 1).unwrap();
        let t = score.truth.unwrap();
        assert_eq!((t.recall, t.auroc), (1.0, 1.0), "{name}: {t:?}");
        assert_eq!(t.precision, 1.0, "{name}: extra {:?}", t.extra);
        assert!(score.faithfulness["resample"] > 0.99, "{name}: {:?}", score.faithfulness);
    }
}

#[test]
fn the_programs_of_the_four_are_right_for_all_inputs_to_length_3_and_all_single_interventions() {
    for name in FOUR {
        let file = format!("tracr/{name}.safetensors");
        let Some((specimen, truth, _)) = imported("tracr", &file, Some(3)) else { return };
        let organism = flyroom_organism::find(&specimen.spec.organism).unwrap();
        for length in 1..=3 {
            let task = organism.task(&specimen.spec.parameters, Some(length)).unwrap();
            assert!(task.exhaustive);
            let subject = Subject::new(&specimen, &task, &Context::single()).unwrap();
            // Rotated weights of 100 feed a ReLU: 1e-4 is their float floor.
            let compared = super::exhaustively(&subject, &truth, 2e-4);
            assert!(compared > task.clean, "{name}: {compared} runs of length {length}");
        }
    }
}
