//! Programs whose variables can be set to what no run shows: outputs that then have no value are
//! open, counted, and excuse nothing else.

use super::audit::{all_mutants_fail, audited, tasks};
use super::compiled::bred;
use super::truth_holds_and_controls_are_blamed;
use flyroom_explanation::rasp::{Binary, Expr, Lambda};
use flyroom_explanation::{Body, Value};
use flyroom_organism::{Specimen, Standing, Subject, Truth, find};
use flyroom_tensor::Context;
use flyroom_validate::audit::{Audit, Corruption, MOST_OPEN, Options, Outcome, audit};
use flyroom_validate::exam;
use serde_json::json;

/// Two positions of one index: the one after both selects two letters, which are compared.
const REPEATS: &str = "\
vocabulary: a b c
length: 4

before = select(indices, indices, key < query)
seen = selector_width(before and select(tokens, tokens, ==))
last = aggregate(select(indices, indices, key == query - 1), tokens)
answer = if seen == 0 then \"new\" else (if last == tokens then \"again\" else \"seen\")
return answer
";

/// No token so far: nothing has a share of it. The other way out, division by 0.
const SHARE: &str = "\
vocabulary: a b
length: 4

so_far = causal(select(tokens, tokens, true))
same = selector_width(so_far and select(tokens, tokens, ==))
all = selector_width(so_far)
share = same / all
return share
";

/// What is not asked for is passed over by `if`, and the neurons read it all the same.
const PASSED_OVER: &str = "\
vocabulary: a b c
length: 4

before = aggregate(causal(select(indices, indices, key == query - 1)), tokens, default = a)
same = selector_width(causal(select(before, before, ==)))
answer = if tokens != \"c\" then \"-\" else (if same > 1 then \"seen\" else \"new\")
return answer
";

/// No mean is 0, which is what a mean of nothing is, and steps rise from there to both sides: the class
/// of 0 has a guard at BOS that no input shows.
const MEAN: &str = "\
vocabulary: a b c d
length: 3

side = {a: -4, b: -3, c: 3, d: 4}[tokens]
own = mean(select(tokens, tokens, ==), side)
answer = if tokens == \"a\" then round(own) else 0 - round(own)
return answer
";

/// One thing twice.
const TWICE: &str = "\
vocabulary: a b c
length: 3

x = {a: b, b: c, c: a}[tokens]
y = {a: b, b: c, c: a}[tokens]
out = if x == y then y else \"a\"
return out
";

/// The class of a mean of 0 is written by neurons that answer to BOS, and every number times 0 is 0: what
/// they read of BOS moves nothing.
const TIMES_NOTHING: &str = "\
vocabulary: a b
length: 3

side = {a: 1, b: -1}[tokens]
balance = mean(select(indices, indices, <=), side)
sum = balance * (indices + 1)
return sum
";

/// On sequences of one token every output is 0.
const FROM_NOTHING: &str = "\
vocabulary: a b c
length: 3

half = indices / 2
return half
";

/// One edge of nine, and the answer itself.
const NOTHING_TO_DO: &str = "\
vocabulary: a b c
length: 3
return tokens
";

fn compiled(text: &str, seed: u64) -> (Specimen, Truth) {
    bred("rasp", json!({ "program": text }), seed)
}

#[test]
fn a_program_with_outputs_out_of_its_domain_holds_and_one_changed_claim_fails() {
    for text in [REPEATS, SHARE] {
        let (specimen, truth) = compiled(text, 0);
        let tasks = tasks(&specimen, 1..=4);
        let a = audited(&specimen, &truth, &tasks);
        assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{a:#?}");
        let p = &a.program;
        assert!(p.out_of_domain > 0 && p.abstained == 0 && p.skill > Some(0.999_999), "{p:#?}");
        // What is open is less than all that the variable touches.
        assert!(p.open.iter().all(|v| v.decided > 0 && v.share < MOST_OPEN), "{p:#?}");
        all_mutants_fail(&specimen, &truth, &tasks, 9);
    }
}

/// Edges too are patched on every input.
fn on_all_inputs(specimen: &Specimen, truth: &Truth, length: usize) -> Audit {
    let options = Options { pair_runs: 1 << 9, ..Options::default() };
    let tasks = tasks(specimen, 1..=length);
    audit(specimen, truth, &tasks, &options, &Context::single()).unwrap()
}

#[test]
fn neurons_that_read_what_the_program_passes_over_and_guards_that_no_input_shows_hold() {
    let (specimen, truth) = compiled(PASSED_OVER, 0);
    let a = on_all_inputs(&specimen, &truth, 4);
    assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{a:#?}");
    assert!(a.program.out_of_domain > 0, "{:#?}", a.program);
    let (specimen, truth) = compiled(MEAN, 0);
    let a = on_all_inputs(&specimen, &truth, 3);
    assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{a:#?}");
    let guard = a.edges.edges.iter().find(|e| e.active.is_empty()).and_then(|e| e.jointly);
    assert_eq!(guard.map(|j| j.corruption), Some(Corruption::Exchanged), "{:#?}", a.edges);
}

#[test]
fn programs_with_little_in_them_hold() {
    for text in [TIMES_NOTHING, FROM_NOTHING, NOTHING_TO_DO] {
        let (specimen, truth) = compiled(text, 0);
        let a = on_all_inputs(&specimen, &truth, 3);
        assert_eq!((a.outcome, a.standing), (Outcome::Holds, Standing::Exact), "{text}{a:#?}");
    }
}

/// By hand: the 30 inputs to length 4 have 2 + 8 + 24 + 64 = 98 positions; at each `all` is set to each
/// of 0 to 4, and the share that attention writes for it to 1 / (1 + each): 98 times to 0.
#[test]
fn every_division_by_0_is_open_and_nothing_else() {
    let (specimen, truth) = compiled(SHARE, 1);
    let a = audited(&specimen, &truth, &tasks(&specimen, 1..=4));
    let open: Vec<(&str, usize)> =
        a.program.open.iter().map(|v| (v.variable.as_str(), v.open)).collect();
    assert_eq!(open, [("all_selector_width_attn_output", 98), ("all", 98)], "{:#?}", a.program);
}

/// The truth in which everything but the clean outputs divides by 0: it contradicts nothing, and
/// nothing of it is decided.
#[test]
fn a_program_cannot_hide_behind_outputs_without_a_value() {
    let (specimen, truth) = compiled(TWICE, 0);
    let tasks = tasks(&specimen, 1..=3);
    let honest = audited(&specimen, &truth, &tasks);
    assert_eq!((honest.outcome, honest.program.out_of_domain), (Outcome::Holds, 0), "{honest:#?}");
    let mut hidden = truth.clone();
    let Body::Rasp { program, .. } = &mut hidden.explanation.as_mut().unwrap().body else {
        panic!("a program")
    };
    let last = program.variables.last_mut().unwrap();
    let Expr::SequenceMap { f, .. } = &mut last.expr else { panic!("{last:?}") };
    let nowhere = Lambda::constant(1).with(Binary::Div, Lambda::constant(0));
    let equal = Lambda::X.with(Binary::Eq, Lambda::Y);
    assert_eq!(*f, equal.clone().choose(Lambda::Y, Lambda::Const(Value::token("a"))));
    *f = equal.choose(Lambda::Y, nowhere);
    let a = audited(&specimen, &hidden, &tasks);
    assert_eq!((a.outcome, a.standing), (Outcome::Fails, Standing::Contested), "{a:#?}");
    let check = &a.program.check;
    assert_eq!((check.outcome, check.failures), (Outcome::Fails, 0), "{check:#?}");
    assert!(check.why.contains("'x' leaves 100.0 % of the outputs"), "{check:#?}");
    assert!(!check.counterexamples.is_empty());
    assert!(a.program.open.iter().all(|v| v.decided == 0), "{:#?}", a.program);
}

/// The truth scores 1 in an exam without questions that have no answer; nothing else is left out.
#[test]
fn questions_without_an_answer_are_asked_of_nobody() {
    let budget = exam::Budget { per_family: 64, seen: 192 };
    let drawn = |specimen: &Specimen, truth: &Truth| {
        let organism = find(&specimen.spec.organism).unwrap();
        let task = organism.task(&specimen.spec.parameters, None).unwrap();
        let subject = Subject::new(specimen, &task, &Context::single()).unwrap();
        let hash = truth.explanation.as_ref().unwrap().hash().unwrap();
        let exams = exam::draw(&subject, truth, &[hash], budget).unwrap();
        let asked = exams[0].seen.len() + exams[0].held_out.len();
        assert_eq!(asked + exams[0].unanswerable, 192 + 3 * 64);
        if exams[0].unanswerable > 0 {
            truth_holds_and_controls_are_blamed(&subject, truth);
        }
        exams[0].unanswerable
    };
    for text in [REPEATS, SHARE] {
        let (specimen, truth) = compiled(text, 0);
        let left_out = drawn(&specimen, &truth);
        assert!((1..60).contains(&left_out), "{left_out} of 384 questions");
    }
    for (organism, set) in [("induction-compiled", json!({})), ("rasp-histogram", json!({}))] {
        let (specimen, truth) = bred(organism, set, 0);
        assert_eq!(drawn(&specimen, &truth), 0, "{organism}");
    }
}
