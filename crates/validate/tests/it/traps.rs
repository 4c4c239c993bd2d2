//! Every trap breaks the method that it was made for, another finds what that one missed, and its
//! truth passes the audit.

use super::compiled::bred;
use flyroom_decompose::{Dictionary, Encode};
use flyroom_describe::metric::{CircuitMetric, Reference, mean};
use flyroom_describe::{Describe, Scores};
use flyroom_explanation::Body;
use flyroom_network::{Edge, Intervention, Network, Operation, Row, Selector};
use flyroom_organism::{Specimen, Standing, Subject, Task, Truth, find};
use flyroom_tensor::{Context, Kernels, Tensor};
use flyroom_validate::audit::{Audit, Options, Outcome, audit};
use flyroom_validate::used::{VariableUse, used};
use flyroom_validate::wiring::{self, EdgeTruthScore};
use serde_json::json;

struct Trap {
    specimen: Specimen,
    truth: Truth,
    task: Task,
}

impl Trap {
    fn new(name: &str, seed: u64) -> Self {
        let (specimen, truth) = bred(name, json!({}), seed);
        let task = find(name).unwrap().task(&specimen.spec.parameters, None).unwrap();
        Self { specimen, truth, task }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::new(&self.specimen, &self.task, &Context::single()).unwrap()
    }

    fn audit(&self) -> Audit {
        let organism = find(&self.specimen.spec.organism).unwrap();
        let of = |n| organism.task(&self.specimen.spec.parameters, Some(n)).unwrap();
        let longest = self.task.pos() - 1;
        let tasks: Vec<Task> = (1..=longest).map(of).collect();
        let cx = Context::new(Kernels::detect(), 2);
        audit(&self.specimen, &self.truth, &tasks, &Options::default(), &cx).unwrap()
    }

    /// The true edges that the task's corruption moves and a method does not keep, and how its
    /// scores rank all edges.
    fn missed(&self, method: Scores) -> (Vec<String>, EdgeTruthScore) {
        let d = method.describe(&self.subject(), None, &method.defaults(), 0).unwrap();
        let Body::Circuit { edges, .. } = &d.explanation.body else { unreachable!() };
        let known = self.truth.circuit.as_deref().unwrap();
        let testable = known.iter().filter(|k| k.testable && !edges.contains(&k.edge));
        let missed = testable.map(|k| k.edge.to_string()).collect();
        let score = wiring::score(&self.subject(), &d.edges, edges, Some(known), 1).unwrap();
        (missed, score.truth.unwrap())
    }
}

#[test]
fn the_truth_of_every_trap_passes_the_audit() {
    for name in [
        "trap-decoy",
        "trap-saturated-gate",
        "trap-cancelling-paths",
        "trap-spare-heads",
        "trap-norm-smuggling",
        "trap-fooling-branch",
        "trap-lookup-table",
    ] {
        let both = [name.to_string(), format!("{name}@aligned")];
        // A table has many neurons and edges: once is enough.
        let forms = if name == "trap-lookup-table" { &both[..1] } else { &both };
        for form in forms {
            let a = Trap::new(form, 1).audit();
            let bad: Vec<_> =
                a.checks().into_iter().filter(|c| c.1.outcome != Outcome::Holds).collect();
            assert!(bad.is_empty(), "{form}: {bad:#?}");
            assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{form}");
            assert!(a.program.exhaustive && a.edges.exhaustive, "{form}");
        }
    }
}

/// The probe of an audit reads the decoy as well as it reads what is used; setting it is without
/// effect, and setting what is used is not.
#[test]
fn the_decoy_is_decodable_and_not_used() {
    let t = Trap::new("trap-decoy", 2);
    let a = t.audit();
    let reading = |v: &str| a.sites.variables.iter().find(|r| r.variable == v).unwrap();
    for v in ["decoy", "first"] {
        let r = reading(v);
        assert_eq!((r.nearest, r.before), (1.0, r.before), "{v}");
        assert!(r.permuted < 0.5 && r.largest_error < 1e-5, "{r:?}");
    }
    let subject = t.subject();
    let clean = subject.runner.logits().unwrap();
    let e = t.truth.explanation.as_ref().unwrap();
    let largest = |variable: &str| {
        let place = &e.part(variable).unwrap().alignments[0].selector;
        let rows: Vec<Row> = (0..t.task.clean)
            .map(|input| {
                let swap = Operation::Interchange { input: t.task.partner[input] };
                Row { input, interventions: vec![Intervention::site(place.clone(), swap)] }
            })
            .collect();
        let outputs = subject.runner.run(&rows).unwrap();
        let moved = rows
            .iter()
            .zip(&outputs)
            .flat_map(|(row, y)| y.iter().zip(clean.row(row.input)).map(|(a, b)| (a - b).abs()));
        moved.fold(0f32, f32::max)
    };
    assert!(largest("decoy") < 1e-5, "{}", largest("decoy"));
    assert!(largest("first") > 0.9, "{}", largest("first"));
}

/// Everything in front of the gate, or of the two paths, has gradient 0 at clean inputs.
#[test]
fn eap_misses_what_the_gate_and_the_cancelling_paths_hide_and_two_others_find_it() {
    for (name, missed) in [("trap-saturated-gate", 2), ("trap-cancelling-paths", 1)] {
        for form in [name.to_string(), format!("{name}@aligned")] {
            let t = Trap::new(&form, 3);
            let (of_eap, score) = t.missed(Scores::Eap);
            assert_eq!(of_eap.len(), missed, "{form}: {of_eap:?}");
            assert!(score.auroc < 0.9, "{form}: {score:?}");
            for other in [Scores::Exact, Scores::Pairs, Scores::EapIg] {
                let (missed, score) = t.missed(other);
                assert!(missed.is_empty(), "{form}: {missed:?}");
                assert_eq!((score.recall, score.precision, score.auroc), (1.0, 1.0, 1.0), "{form}");
            }
        }
    }
}

/// Removing one head, its input or its edge changes nothing; two of them at once take the answer.
#[test]
fn single_ablation_is_wrong_on_the_spare_heads_and_pairs_are_right() {
    for form in ["trap-spare-heads", "trap-spare-heads@aligned"] {
        let t = Trap::new(form, 4);
        // Three value edges and three edges into the neurons; only the last edge of all is seen.
        let (missed, score) = t.missed(Scores::Exact);
        assert_eq!(missed.len(), 6, "{form}: {missed:?}");
        assert!(score.auroc < 0.7, "{form}: {score:?}");
        for found in [Scores::Pairs, Scores::EapIg] {
            let (missed, score) = t.missed(found);
            assert!(missed.is_empty() && score.auroc == 1.0, "{form}: {missed:?} {score:?}");
        }
        let subject = t.subject();
        let metric = CircuitMetric::new(&subject, 64, "test").unwrap();
        let m = |cut: &[Edge]| mean(&metric.each(cut, Reference::Resample).unwrap());
        let whole = m(&[]);
        let heads: Vec<Edge> = t
            .truth
            .circuit
            .iter()
            .flatten()
            .map(|k| k.edge)
            .filter(|e| e.to_string().ends_with("->m0"))
            .collect();
        assert_eq!(heads.len(), 3);
        for (i, a) in heads.iter().enumerate() {
            assert!((m(&[*a]) - whole).abs() < 1e-4 * whole, "{form}: {a}");
            for b in &heads[..i] {
                // The two that were cut agree on the partner's letter: the answer is reversed.
                assert!((m(&[*a, *b]) + whole).abs() < 1e-4 * whole, "{form}: {a}, {b}");
            }
        }
    }
}

/// All units hold the letter, and no linear read-out of them tells it: the sign is read, the norm is not.
/// The control: each letter in a direction of its own.
#[test]
fn what_a_norm_carries_is_read_by_no_direction_and_used() {
    for (armed, least, most) in [(true, 0.5, 0.75), (false, 1.0, 1.0)] {
        let (specimen, truth) = bred("trap-norm-smuggling", json!({ "armed": armed }), 6);
        let organism = find("trap-norm-smuggling").unwrap();
        let task = organism.task(&specimen.spec.parameters, None).unwrap();
        let t = Trap { specimen, truth, task };
        let d = t.specimen.network.weights()["pos_embed.W_pos"].shape()[1];
        let identity = Tensor::from_fn(&[d, d], |i| f32::from(u8::from(i / d == i % d)));
        let zeros = Tensor::zeros(&[d]);
        let site = "blocks.0.hook_resid_mid";
        let units =
            Dictionary::new(site, identity.clone(), zeros.clone(), identity, zeros, Encode::Linear)
                .unwrap();
        let found = used(&t.subject(), &units, &t.truth, 1).unwrap().unwrap();
        let first = found.variables.iter().find(|v| v.variable == "first").unwrap();
        assert!((least..=most).contains(&first.read), "{armed}: {first:?}");
        assert!((first.truth - 1.0).abs() < 1e-3, "{armed}: {first:?}");
        assert!((found.used - f64::from(u8::from(!armed))).abs() < 1e-3, "{armed}: {found:?}");
    }
}

/// A direction that no input moves where answers are read is made to count: the answer of the network
/// is what it was, and the decoy is still not used. An exchange along a mixture of the two wakes it
/// (Makelov et al. 2023), so what `used` says of a dictionary with that mixture is an illusion, and of
/// all units it is not. The control: the same dictionary where the direction counts for nothing.
#[test]
fn a_dictionary_that_mixes_the_decoy_with_a_dormant_direction_fools_used_and_all_units_do_not() {
    for form in ["trap-decoy", "trap-decoy@aligned"] {
        let mut t = Trap::new(form, 5);
        let weights = t.specimen.network.weights();
        // What says "this is position 0": the network answers behind it.
        let dormant: Vec<f32> = weights["pos_embed.W_pos"].row(0).to_vec();
        let decoy = t.truth.explanation.as_ref().unwrap().part("decoy").unwrap();
        let basis = decoy.alignments[0].selector.basis.clone().unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        assert!(basis.iter().all(|b| dot(b, &dormant).abs() < 1e-5), "{form}");
        let mut rows = basis.clone();
        let half = 0.5f32.sqrt();
        rows[0].iter_mut().zip(&dormant).for_each(|(x, s)| *x = half * (*x + s));
        let d = dormant.len();
        let w_dec = Tensor::new(&[rows.len(), d], rows.concat()).unwrap();
        let zeros = |n: usize| Tensor::zeros(&[n]);
        let w_enc = w_dec.transposed().unwrap();
        let site = "blocks.0.hook_resid_post";
        let mixture =
            Dictionary::new(site, w_enc, zeros(rows.len()), w_dec, zeros(d), Encode::Linear)
                .unwrap();
        let identity = Tensor::from_fn(&[d, d], |i| f32::from(u8::from(i / d == i % d)));
        let units =
            Dictionary::new(site, identity.clone(), zeros(d), identity, zeros(d), Encode::Linear)
                .unwrap();
        let of_decoy = |t: &Trap, dictionary: &Dictionary| -> VariableUse {
            let found = used(&t.subject(), dictionary, &t.truth, 1).unwrap().unwrap();
            found.variables.into_iter().find(|v| v.variable == "decoy").unwrap()
        };
        let before = t.subject().runner.logits().unwrap().clone();
        let control = of_decoy(&t, &mixture);
        assert!(control.read == 1.0 && control.effect < 1e-6, "{form}: {control:?}");

        let mut weights = weights.clone();
        let w_u = weights.get_mut("unembed.W_U").unwrap();
        let columns = w_u.shape()[1];
        for (row, s) in w_u.data_mut().chunks_exact_mut(columns).zip(&dormant) {
            row[0] += 4.0 * s;
        }
        let architecture = t.specimen.network.architecture().clone();
        t.specimen.network = Network::new(architecture, weights).unwrap();
        let subject = t.subject();
        let after = subject.runner.logits().unwrap();
        for input in 0..t.task.clean {
            let clean = t.task.reading(input, before.row(input));
            for (a, b) in clean.iter().zip(t.task.reading(input, after.row(input))) {
                assert!((a - b).abs() < 1e-4, "{form}: {input}");
            }
        }
        let (fooled, right) = (of_decoy(&t, &mixture), of_decoy(&t, &units));
        assert!(fooled.read == 1.0 && (fooled.effect - 0.68).abs() < 1e-3, "{form}: {fooled:?}");
        // Three latents have one subspace of three dimensions: the null is fooled with them.
        assert!(
            fooled.truth < 1e-6 && (fooled.random - fooled.effect).abs() < 1e-3,
            "{form}: {fooled:?}"
        );
        assert!(right.read == 1.0 && right.effect < 1e-6, "{form}: {right:?}");
    }
}

/// What reads the letter's copy, or what is dormant, is silent; a mixture of the two speaks, in front of the head
/// that brings the letter. The control: where nothing reads what is dormant, the mixture is silent too.
#[test]
fn the_fooling_branch_answers_to_a_mixture_of_two_directions_that_move_nothing_alone() {
    for (armed, right) in [(true, 1.0), (false, 0.0)] {
        let set = json!({ "armed": armed });
        let (specimen, truth) = bred("trap-fooling-branch", set.clone(), 7);
        let organism = find("trap-fooling-branch").unwrap();
        let task = organism.task(set.as_object().unwrap(), None).unwrap();
        let t = Trap { specimen, truth, task };
        let subject = t.subject();
        let clean = subject.runner.logits().unwrap();
        let part = |name: &str| {
            let part = t.truth.explanation.as_ref().unwrap().part(name).unwrap();
            part.alignments[0].selector.clone()
        };
        let (copy, first) = (part("copy"), part("first"));
        // What is dormant is no variable: a head writes it .04 long, a row for each letter.
        let w_o = &subject.network().weights()["blocks.0.attn.W_O"];
        let d = w_o.shape()[2];
        let faint = w_o.data().chunks_exact(d).filter_map(|row| {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            let is_faint = (length - 0.04).abs() < 1e-4;
            is_faint.then(|| row.iter().map(|x| x / length).collect::<Vec<f32>>())
        });
        let dormant = Selector::site(&copy.site).in_basis(faint.collect());
        assert_eq!(dormant.basis.as_ref().map(Vec::len), Some(3));
        assert_eq!(copy.site, "blocks.0.hook_resid_mid");
        assert_eq!(first.site, "blocks.1.hook_resid_mid");
        let half = 0.5f32.sqrt();
        let pairs = copy.basis.iter().flatten().zip(dormant.basis.iter().flatten());
        let mixed = pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| half * (a + b)).collect());
        let mixture = Selector::site(&copy.site).in_basis(mixed.collect());
        // How far outputs move, and the share that becomes the partner's answer where it is another.
        let moved = |place: &Selector| {
            let swap = |input: usize| Operation::Interchange { input: t.task.partner[input] };
            let row = |input| Row {
                input,
                interventions: vec![Intervention::site(place.clone(), swap(input))],
            };
            let rows: Vec<Row> = (0..t.task.clean).map(row).collect();
            let outputs = subject.runner.run(&rows).unwrap();
            let (mut largest, mut right, mut of) = (0f32, 0.0, 0.0);
            for (row, y) in rows.iter().zip(&outputs) {
                let top = |y: &[f32]| (0..3).max_by(|a, b| y[*a].total_cmp(&y[*b]));
                let (own, other) = (clean.row(row.input), clean.row(t.task.partner[row.input]));
                largest = y.iter().zip(own).map(|(a, b)| (a - b).abs()).fold(largest, f32::max);
                for p in t.task.read_positions(row.input) {
                    let at = 3 * p..3 * p + 3;
                    if top(&own[at.clone()]) != top(&other[at.clone()]) {
                        of += 1.0;
                        right += f64::from(u8::from(top(&y[at.clone()]) == top(&other[at])));
                    }
                }
            }
            (largest, right / of)
        };
        assert!(moved(&copy).0 < 1e-5 && moved(&dormant).0 < 1e-5, "{armed}");
        assert_eq!(moved(&mixture).1, right, "{armed}");
        assert_eq!(moved(&first).1, 1.0, "{armed}");
    }
}
