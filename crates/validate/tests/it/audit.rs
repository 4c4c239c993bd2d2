//! Audits: true truths hold, and every truth in which one thing was changed fails.

use super::{compiled::bred, imported};
use flyroom_network::{Edge, EdgeTable};
use flyroom_organism::{KnownEdge, Specimen, Standing, Task, Truth, find};
use flyroom_tensor::{Context, Kernels};
use flyroom_validate::audit::{Audit, Options, Outcome, audit};
use serde_json::{Value as Json, json};

fn two() -> Context {
    Context::new(Kernels::detect(), 2)
}

pub(super) fn tasks(specimen: &Specimen, lengths: std::ops::RangeInclusive<usize>) -> Vec<Task> {
    let organism = find(&specimen.spec.organism).unwrap();
    lengths.filter_map(|n| organism.task(&specimen.spec.parameters, Some(n)).ok()).collect()
}

fn small() -> Options {
    Options { edge_runs: 1 << 13, single_runs: 1 << 14, pair_runs: 1 << 9, ..Options::default() }
}

pub(super) fn audited(specimen: &Specimen, truth: &Truth, tasks: &[Task]) -> Audit {
    audit(specimen, truth, tasks, &small(), &two()).unwrap()
}

#[test]
fn the_truth_of_induction_compiled_holds_and_stays_exact() {
    for seed in [0, 3] {
        let (specimen, truth) = bred("induction-compiled", json!({}), seed);
        let a = audited(&specimen, &truth, &tasks(&specimen, 2..=6));
        assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{a:#?}");
    }
}

#[test]
fn the_truths_of_tracr_hold_and_stay_exact() {
    for name in ["hist", "reverse", "sort_unique", "frac_prevs_x"] {
        for rotated in [None, Some(4)] {
            let file = format!("tracr/{name}.safetensors");
            let Some((specimen, truth, _)) = imported("tracr", &file, rotated) else { return };
            let a = audited(&specimen, &truth, &tasks(&specimen, 1..=4));
            assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{a:#?}");
        }
    }
}

/// Changes the first place of a JSON value that `f` accepts.
fn change(v: &mut Json, f: &impl Fn(&mut Json) -> bool) -> bool {
    if f(v) {
        return true;
    }
    match v {
        Json::Array(items) => items.iter_mut().any(|x| change(x, f)),
        Json::Object(map) => map.values_mut().any(|x| change(x, f)),
        _ => false,
    }
}

/// The truth with one line of its program changed; `None` if no line has what is changed.
fn reprogrammed(truth: &Truth, f: impl Fn(&mut Json) -> bool) -> Option<Truth> {
    let mut out = truth.clone();
    let e = out.explanation.as_mut()?;
    let mut body = serde_json::to_value(&e.body).unwrap();
    if !change(&mut body["rasp"]["program"], &f) {
        return None;
    }
    e.body = serde_json::from_value(body).unwrap();
    e.check().unwrap();
    Some(out)
}

/// Truths in which one thing is wrong, the check that must say so, and what was changed.
fn mutants(specimen: &Specimen, truth: &Truth) -> Vec<(&'static str, &'static str, Truth)> {
    let mut out = vec![];
    let mut with = |check, what, change: &dyn Fn(&mut Truth)| {
        let mut t = truth.clone();
        change(&mut t);
        assert_ne!(&t, truth, "{what}");
        out.push((check, what, t));
    };
    let c = specimen.network.architecture().transformer().unwrap();
    let table = EdgeTable::new(c);
    let own: Vec<Edge> = truth.circuit.iter().flatten().map(|k| k.edge).collect();
    let foreign = *table.edges.iter().find(|e| !own.contains(e)).unwrap();
    with("edges", "an edge that is not there", &|t| {
        let claim = KnownEdge { edge: foreign, testable: false };
        t.circuit.as_mut().unwrap().push(claim);
    });
    with("edges", "a true edge left out", &|t| {
        t.circuit.as_mut().unwrap().remove(0);
    });
    with("edges", "a testable edge called untestable", &|t| {
        let edges = t.circuit.as_mut().unwrap();
        edges.iter_mut().find(|k| k.testable).unwrap().testable = false;
    });
    // A variable of at least two values.
    let several = |t: &Truth| {
        let parts = &t.explanation.as_ref().unwrap().parts;
        let many = |p: &flyroom_explanation::Part| {
            p.alignments[0].selector.basis.as_ref().is_some_and(|b| b.len() > 1)
        };
        parts.iter().position(many).unwrap()
    };
    with("sites", "two directions exchanged", &|t| {
        let part = several(t);
        let parts = &mut t.explanation.as_mut().unwrap().parts;
        parts[part].alignments[0].selector.basis.as_mut().unwrap().swap(0, 1);
    });
    with("sites", "a direction turned by a tenth", &|t| {
        let part = several(t);
        let parts = &mut t.explanation.as_mut().unwrap().parts;
        turned(parts[part].alignments[0].selector.basis.as_mut().unwrap());
    });
    with("sites", "a site that does not exist", &|t| {
        let parts = &mut t.explanation.as_mut().unwrap().parts;
        parts[0].alignments[0].selector.site = "blocks.9.hook_resid_post".into();
    });
    with("features", "two features exchanged", &|t| {
        let i = t.features.iter().position(|f| f.name.starts_with("tokens:")).unwrap();
        let j = i + 1;
        assert!(
            t.features[j].name.starts_with("tokens:") && t.features[i].site == t.features[j].site
        );
        let own = t.features[i].direction.clone();
        t.features[i].direction = std::mem::replace(&mut t.features[j].direction, own);
    });
    with("features", "a feature turned", &|t| {
        let i = t.features.iter().position(|f| f.name.starts_with("tokens:")).unwrap();
        let mut two = vec![t.features[i].direction.clone(), t.features[i + 1].direction.clone()];
        turned(&mut two);
        t.features[i].direction = two.swap_remove(0);
    });
    with("program", "a variable set in directions that are turned", &|t| {
        let v = t.variables.iter_mut().find(|v| v.selector.basis.as_ref().unwrap().len() > 1);
        turned(v.unwrap().selector.basis.as_mut().unwrap());
    });
    let predicate = reprogrammed(truth, |v| {
        let Some(p) = v.get_mut("predicate") else { return false };
        *p = json!(if *p == json!("neq") { "eq" } else { "neq" });
        true
    });
    out.extend(predicate.map(|t| ("program", "another predicate", t)));
    let constant = reprogrammed(truth, |v| {
        let Some(n) = v.get("const").and_then(Json::as_i64) else { return false };
        v["const"] = json!(n + 1);
        true
    });
    out.extend(constant.map(|t| ("program", "another constant", t)));
    out
}

/// Turns the first of orthonormal rows by .1 radians towards the second, and back.
fn turned(basis: &mut [Vec<f32>]) {
    let (a, b) = (basis[0].clone(), basis[1].clone());
    let (cos, sin) = (0.995_004_2, 0.099_833_42);
    let mix = |x: f32, y: f32| a.iter().zip(&b).map(|(a, b)| x * a + y * b).collect::<Vec<f32>>();
    (basis[0], basis[1]) = (mix(cos, sin), mix(-sin, cos));
}

/// Every mutant fails, in the check that it was made for, and a counterexample is named.
pub(super) fn all_mutants_fail(specimen: &Specimen, truth: &Truth, tasks: &[Task], least: usize) {
    let right = audited(specimen, truth, tasks);
    assert_eq!(right.outcome, Outcome::Holds, "{:#?}", right.checks());
    let mutants = mutants(specimen, truth);
    assert!(mutants.len() >= least, "{}: {} mutants", specimen.label(), mutants.len());
    for (check, what, truth) in mutants {
        let a = audited(specimen, &truth, tasks);
        let label = specimen.label();
        assert_eq!(
            (a.outcome, a.standing),
            (Outcome::Fails, Standing::Contested),
            "{label}: {what}"
        );
        let (_, found) = a.checks().into_iter().find(|(name, _)| *name == check).unwrap();
        assert_eq!(found.outcome, Outcome::Fails, "{label}: {what}: {:#?}", a.checks());
        assert!(!found.counterexamples.is_empty() && found.failures > 0, "{label}: {what}");
        assert_ne!(a.truth, right.truth, "{label}: {what}");
    }
}

#[test]
fn one_changed_claim_about_induction_compiled_fails() {
    for (organism, seed) in [("induction-compiled", 1), ("induction-compiled@aligned", 0)] {
        let set = json!({ "letters": 3, "seq": 4, "n_heads": 2 });
        let (specimen, truth) = bred(organism, set, seed);
        all_mutants_fail(&specimen, &truth, &tasks(&specimen, 2..=4), 10);
    }
}

#[test]
fn one_changed_claim_about_a_tracr_network_fails() {
    for name in ["hist", "reverse", "sort_unique", "frac_prevs_x"] {
        let file = format!("tracr/{name}.safetensors");
        let Some((specimen, truth, _)) = imported("tracr", &file, Some(4)) else { return };
        all_mutants_fail(&specimen, &truth, &tasks(&specimen, 2..=3), 10);
    }
}

/// What an audit finds depends on neither threads nor kernels.
#[test]
fn an_audit_has_the_same_bits_on_one_thread_and_on_three() {
    let set = json!({ "letters": 3, "seq": 4, "n_heads": 2 });
    let (specimen, truth) = bred("induction-compiled", set, 1);
    let tasks = tasks(&specimen, 2..=4);
    let on = |kernels, threads| {
        let cx = Context::new(kernels, threads);
        audit(&specimen, &truth, &tasks, &small(), &cx).unwrap()
    };
    assert_eq!(on(Kernels::Portable, 1), on(Kernels::detect(), 3));
}

/// Superposition: directions alone. Analytic addition: planes and a program, no wiring. A null:
/// nothing.
#[test]
fn truths_get_the_checks_that_apply_and_say_which_do_not() {
    let outcome = |a: &Audit| a.checks().iter().map(|(_, c)| c.outcome).collect::<Vec<_>>();
    use Outcome::{Holds, NotApplicable};
    let organism = |name: &str, set: Json| {
        let (specimen, truth) = bred(name, set, 0);
        let task = find(name).unwrap().task(&specimen.spec.parameters, None).unwrap();
        (audited(&specimen, &truth, std::slice::from_ref(&task)), specimen, truth, task)
    };
    let (a, specimen, mut truth, task) =
        organism("superposition-5-2", json!({ "steps": 500, "batch": 256 }));
    assert_eq!(outcome(&a), [NotApplicable, Holds, NotApplicable, NotApplicable], "{a:#?}");
    assert_eq!(a.standing, Standing::Exact);
    assert!(a.edges.check.why.contains("no wiring"), "{a:#?}");
    let own = truth.features[0].direction.clone();
    truth.features[0].direction = std::mem::replace(&mut truth.features[1].direction, own);
    assert_eq!(audited(&specimen, &truth, &[task]).standing, Standing::Contested);

    let (a, ..) =
        organism("modular-addition-analytic-balanced", json!({ "modulus": 7, "width": 24 }));
    assert_eq!(outcome(&a), [Holds, NotApplicable, NotApplicable, Holds], "{a:#?}");
    let (a, ..) = organism("untrained", json!({}));
    assert_eq!((outcome(&a), a.standing), (vec![NotApplicable; 4], Standing::Exact), "{a:#?}");
}
