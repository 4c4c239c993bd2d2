//! The organisms against their programs, on all inputs of all lengths.

use super::*;
use crate::labelled::probe;
use flyroom_explanation::rasp::{Interpreter, Overrides};

fn cx() -> Context {
    Context::single()
}

fn bred(o: &Rasp, seed: u64) -> Bred {
    o.breed(&o.defaults(), seed, &cx(), &Nursery::none()).unwrap()
}

fn script(o: &Rasp) -> Script {
    o.text.unwrap().parse().unwrap()
}

fn labelled(o: &Rasp) -> Labelled {
    o.compiled(&o.defaults()).unwrap().labelled
}

// 3 + .. + 3^6 = 1,092, 4 + .. + 4^6 = 5,460, 5 + .. + 5^5 = 3,905, 4 + .. + 4^5 = 1,364; the last
// seven are the twins.
#[test]
fn every_network_is_its_program_on_all_inputs_of_all_lengths_in_every_gauge() {
    let inputs = [
        5460, 1092, 1364, 3905, 5460, 1092, 3905, 1092, 5460, 1092, 3905, 5460, 1092, 1364, 1092,
        1092, 5460,
    ];
    assert_eq!(ALL.len(), inputs.len());
    for ((turned, aligned), inputs) in ALL.iter().zip(inputs) {
        for (o, seed, limit) in [(aligned, 0, 1e-5), (turned, 0, 1e-4), (turned, 1, 1e-4)] {
            let m = o.measure(&o.defaults(), &bred(o, seed).network, &cx()).unwrap();
            assert_eq!(m["inputs"], inputs, "{}", o.name);
            assert!(m["max_error"].as_f64().unwrap() < limit, "{} {seed}: {m:?}", o.name);
            assert!(m.get("accuracy").is_none_or(|a| *a == 1.0), "{}: {m:?}", o.name);
        }
    }
}

#[test]
fn the_lowered_program_says_what_the_text_says() {
    for (o, _) in ALL {
        let said = Interpreter::new(&script(o).program).unwrap();
        let l = labelled(o);
        for n in 1..=l.length {
            for (s, trace) in l.traces(n).unwrap() {
                let wanted = said.run(&l.values(&s), &Overrides::none()).unwrap();
                assert_eq!(trace.output(), wanted.output(), "{} on {s:?}", o.name);
            }
        }
    }
}

#[test]
fn every_variable_reads_right_from_its_writing_on_and_is_zero_before() {
    for (turned, aligned) in ALL {
        let l = labelled(aligned);
        let r = probe::read(&l, &bred(aligned, 0));
        assert!(r.before == 0.0 && r.after < 1e-5, "{}: {r:?}", aligned.name);
        assert!((r.decoded - 1.0).abs() < 1e-12, "{}: {r:?}", aligned.name);
        assert!((r.permuted - r.chance).abs() < 0.05, "{}: {r:?}", aligned.name);
        let r = probe::read(&l, &bred(turned, 3));
        println!("{}: variables in gauge 3 {:.1e}", turned.name, r.before.max(r.after));
        assert!(r.before < 1e-4 && r.after < 1e-4, "{}: {r:?}", turned.name);
    }
}

#[test]
fn the_program_predicts_every_set_and_interchange_of_its_variables_also_of_pairs() {
    for (turned, aligned) in ALL {
        let full = labelled(turned).length;
        for (o, limit, lengths) in [(aligned, 1e-4, [1, 3]), (turned, 5e-4, [2, full])] {
            let l = labelled(o);
            for length in lengths {
                let (worst, rows) = probe::oracle_error(&l, &bred(o, 7), length);
                assert!(rows > 400 && worst < limit, "{} {length}: {worst}", o.name);
            }
        }
    }
}

#[test]
fn exactly_the_testable_edges_move_an_output_under_resampling() {
    for (_, o) in ALL {
        let b = bred(o, 0);
        let known = b.truth.circuit.as_ref().unwrap();
        let testable = known.iter().filter(|k| k.testable).map(|k| k.edge.to_string());
        let mut testable: Vec<String> = testable.collect();
        let mut found = probe::moved(&labelled(o), &b.network);
        testable.sort();
        found.sort();
        assert_eq!(found, testable, "{}", o.name);
    }
}

#[test]
fn four_programs_answer_as_tracrs_networks_do_input_by_input() {
    use crate::import::{Options, fixture, import};
    for (o, theirs, classes) in [
        (&HISTOGRAM, "hist", true),
        (&REVERSE, "reverse", true),
        (&SORT_UNIQUE, "sort_unique", true),
        (&FRACTION_PREVIOUS, "frac_prevs_x", false),
    ] {
        let Some(dir) = fixture("tracr") else { return };
        let path = dir.join(format!("{theirs}.safetensors"));
        let i = import("tracr", &path, &Options::default()).unwrap();
        let ours = bred(o, 0);
        for n in 1..=labelled(o).length {
            let (a, b) = (
                o.task(&o.defaults(), Some(n)).unwrap(),
                i.organism.task(&i.parameters, Some(n)).unwrap(),
            );
            assert_eq!(a.clean, b.clean);
            let cx = cx();
            let runner = |network, task: &Task| {
                flyroom_network::Runner::new(network, &task.inputs, &cx).unwrap().logits().unwrap()
            };
            let (x, y) = (runner(&ours.network, &a), runner(&i.bred.network, &b));
            // What an output says: the value of its largest column, or the number.
            let said = |task: &Task, logits: &[f32], code: &flyroom_explanation::Code, row, p| {
                let at = (row * task.pos() + p) * task.d_out;
                code.decode(&logits[at..at + task.d_out]).unwrap().value
            };
            let code = |e: &flyroom_explanation::Explanation| match &e.body {
                flyroom_explanation::Body::Rasp { readout, .. } => readout.code.clone(),
                other => panic!("{other:?}"),
            };
            let (c, d) = (
                code(ours.truth.explanation.as_ref().unwrap()),
                code(i.bred.truth.explanation.as_ref().unwrap()),
            );
            for row in 0..a.clean {
                let words = |t: &Task| -> Vec<Value> {
                    let ids = t.inputs.token_row(row)[1..].iter();
                    ids.map(|&id| t.vocabulary[id as usize].clone()).collect()
                };
                assert_eq!(words(&a), words(&b), "{theirs}");
                assert!(a.read_positions(row).eq(b.read_positions(row)), "{theirs}");
                for p in a.read_positions(row) {
                    let (u, v) = (said(&a, x.data(), &c, row, p), said(&b, y.data(), &d, row, p));
                    let near =
                        u.number().zip(v.number()).is_some_and(|(u, v)| (u - v).abs() < 1e-4);
                    assert!(if classes { u.same(&v) } else { near }, "{theirs} {u} {v}");
                }
            }
        }
    }
}

fn refused(body: &str) -> String {
    compile_text("rasp", body, 0).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_compiled_is_refused_by_name_with_a_way_out() {
    let e = refused(
        "vocabulary: a b\nlength: 3\nall = aggregate(select(tokens, tokens, true), tokens)\n\
         is_a = all == \"a\"\nreturn is_a",
    );
    assert!(e.contains("'is_a'") && e.contains("hint:"), "{e}");
    assert!(e.starts_with("line 4, column 1: variable 'is_a' cannot be compiled"), "{e}");
    let e = refused("vocabulary: a b\nlength: 40\nx = indices + 1\nreturn x");
    assert!(e.contains("'length:'"), "{e}");
    let e = refused("vocabulary: a b\nlength: 3\nx = 7\nreturn x");
    assert!(e.contains("the same on every input") && e.contains("hint:"), "{e}");
    // A step points at the statement that it was made from, and the file is named where there is one.
    let e = compile_text(
        "rasp",
        "vocabulary: a b\nlength: 3\n\nx = 2 * (7 / (indices - 1))\nreturn x",
        0,
    );
    let e = e.unwrap_err().in_file(std::path::Path::new("x.rasp")).to_string();
    assert!(e.starts_with("x.rasp: line 4, column 1: variable 'x") && e.contains('^'), "{e}");
    let e = refused("vocabulary: a b\nlength: 3\nx = 1e30 * (indices + 0.5)\nreturn x");
    assert!(e.contains("beyond 1000000") && e.contains("hint:"), "{e}");
}
