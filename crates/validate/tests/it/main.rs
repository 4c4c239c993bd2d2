//! Trials on networks whose truth is known, and on real networks that nobody here made.

mod audit;
mod compiled;
mod domain;
mod imposed;
mod modadd113;
mod tracr;
mod traps;
mod twins;

use flyroom_explanation::{Explanation, predict};
use flyroom_network::{Intervention, Operation, Row};
use flyroom_organism::{Specimen, Subject, Task, Truth};
use flyroom_tensor::Context;
use flyroom_validate::{Card, Observed, Trial, exam};
use std::path::PathBuf;

/// A file of the fixtures. Without them the test says so, and fails where CI demands them.
fn fixture(name: &str) -> Option<PathBuf> {
    match std::env::var_os("FLYROOM_FIXTURES") {
        Some(dir) => Some(PathBuf::from(dir).join(name)),
        None => {
            assert!(std::env::var_os("CI").is_none(), "FLYROOM_FIXTURES is unset");
            eprintln!("SKIPPED: FLYROOM_FIXTURES is unset, so {name} is not looked at");
            None
        }
    }
}

/// A specimen from a fixture, with its truth and task.
fn imported(kind: &str, name: &str, rotated: Option<u64>) -> Option<(Specimen, Truth, Task)> {
    let path = fixture(name)?;
    let options = flyroom_organism::import::Options { rotated, ..Default::default() };
    let imported = flyroom_organism::import::import(kind, &path, &options).unwrap();
    let organism = imported.organism;
    let (specimen, truth) = imported.into_specimen(&Context::single()).unwrap();
    let task = organism.task(&specimen.spec.parameters, None).unwrap();
    Some((specimen, truth, task))
}

/// The cards of some explanations, all frozen before the exam is drawn.
fn cards(subject: &Subject, truth: &Truth, explanations: &[Explanation]) -> Vec<Card> {
    let frozen: Vec<String> = explanations.iter().map(|e| e.hash().unwrap()).collect();
    let budget = exam::Budget { per_family: 64, seen: 192 };
    let observed: Vec<Observed> = exam::draw(subject, truth, &frozen, budget)
        .unwrap()
        .into_iter()
        .map(|e| Observed::new(subject, e).unwrap())
        .collect();
    let trial = Trial::new(subject, truth, &observed, 1);
    explanations.iter().map(|e| trial.hold(e).unwrap()).collect()
}

/// The truth, the truth's program on other parts, and another program on the truth's parts: the
/// first holds, the others fail and the right step is blamed. Padded, the truth says the same in more
/// bits.
fn truth_holds_and_controls_are_blamed(subject: &Subject, truth: &Truth) {
    let right = truth.explanation.clone().unwrap();
    let mut g = flyroom_tensor::Stream::new(7, "test/controls").block(0);
    let wrong_parts = Explanation {
        parts: flyroom_validate::reassigned_parts(&right.parts, &mut g),
        ..right.clone()
    };
    let wrong_program = flyroom_validate::misdescribed(&right).unwrap();
    let padded = flyroom_validate::padded(&right);
    // The balanced cosines have every frequency there is.
    assert_eq!(padded.is_none(), subject.label.contains("balanced"), "{}", subject.label);
    let all = [right, wrong_parts, wrong_program].into_iter().chain(padded);
    let cards = cards(subject, truth, &all.collect::<Vec<_>>());
    let ranked = |i: usize| cards[i].ranked().unwrap();
    let skill = |i: usize| ranked(i).effect.skill.unwrap();
    let name = &subject.label;
    assert!(skill(0) > 0.9999, "{name}: the truth's skill is {}", skill(0));
    assert!(cards[0].clean_fidelity.unwrap() > 0.9999, "{name}: {:?}", cards[0].clean_fidelity);
    for f in &ranked(0).effect.families {
        if f.skill.is_some() {
            assert!(f.specificity.is_none_or(|s| s == 1.0), "{name}: {f:?}");
            assert_eq!(f.abstained, 0, "{name}: {f:?}");
        }
    }
    // A program is far smaller than the weights that it explains, at 17 bits each.
    let bits = cards[0].bits.unwrap();
    let weights: usize = subject.network().weights().values().map(|t| t.data().len()).sum();
    assert!(bits.once > 0.0 && bits.per_token == 0.0, "{name}: {bits:?}");
    if weights > 5000 {
        assert!(bits.once < 17.0 * weights as f64, "{name}: {bits:?} for {weights} weights");
    }
    if let Some(card) = cards.get(3) {
        assert_eq!(card.ranked().unwrap().effect.skill, Some(skill(0)), "{name}: padded");
        assert!(card.bits.unwrap().once > bits.once + 1.0, "{name}: {:?}", card.bits);
    }
    let null = ranked(0).null.as_ref().unwrap();
    assert!(null.draws >= 200 && null.high < flyroom_validate::HOLDS, "{name}: {null:?}");
    assert!(ranked(0).shuffled.unwrap() <= 0.05, "{name}: {:?}", ranked(0).shuffled);
    assert_eq!(cards[0].blame, None, "{name}");
    assert!(skill(1) < flyroom_validate::HOLDS, "{name}: on wrong parts {}", skill(1));
    assert_eq!(cards[1].blame.as_deref(), Some("decompose"), "{name}");
    assert!(skill(2) < flyroom_validate::HOLDS, "{name}: with a wrong program {}", skill(2));
    assert_eq!(cards[2].blame.as_deref(), Some("describe"), "{name}");
}

/// Every input of a task, with every variable of the truth set to each of its values at each of
/// its positions and interchanged with one other input: the program says what the network does.
/// Returns how many runs were compared.
fn exhaustively(subject: &Subject, truth: &Truth, within: f32) -> usize {
    let e = truth.explanation.as_ref().unwrap();
    let stage = flyroom_validate::Stage::new(subject);
    let task = subject.task;
    let mut compared = 0;
    for v in &truth.variables {
        for &pos in v.positions.iter().filter(|&&p| p < task.pos()) {
            let mut operations: Vec<Operation> =
                v.values.iter().map(|x| Operation::Set { values: x.clone() }).collect();
            operations.push(Operation::Interchange { input: (7 * pos) % task.clean });
            for operation in operations {
                let selector = v.selector.clone().at_pos(pos);
                let rows: Vec<Row> = (0..task.clean)
                    .map(|input| Row {
                        input,
                        interventions: vec![Intervention::site(
                            selector.clone(),
                            operation.clone(),
                        )],
                    })
                    .collect();
                let said = predict(e, &stage.scene(subject, e.access()), &rows).unwrap();
                for ((row, p), y) in rows.iter().zip(said).zip(subject.runner.run(&rows).unwrap()) {
                    let said = stage.read(subject, row.input, &p).unwrap();
                    for (a, b) in said.iter().zip(task.reading(row.input, &y)) {
                        assert!((a - b).abs() <= within, "{}: {} {row:?}", subject.label, v.name);
                    }
                    compared += 1;
                }
            }
        }
    }
    compared
}
