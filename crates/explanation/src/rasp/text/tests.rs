//! Texts that are programs, and texts that are not.

use super::*;
use crate::rasp::{Expr, Interpreter, Overrides, Variable, library};
use proptest::prelude::*;

const HEAD: &str = "vocabulary: a b c\nlength: 5\n";

fn script(body: &str) -> Script {
    let text = format!("{HEAD}{body}");
    Script::parse(&text).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn output(body: &str, tokens: &str) -> Vec<Value> {
    let tokens: Vec<Value> = tokens.split_whitespace().map(Value::from).collect();
    let program = script(body).program;
    Interpreter::new(&program).unwrap().run(&tokens, &Overrides::none()).unwrap().output().to_vec()
}

/// One integer a letter.
fn ints(digits: &str) -> Vec<Value> {
    digits.chars().map(|c| Value::Int(i64::from(c.to_digit(10).unwrap()))).collect()
}

fn names(s: &Script) -> Vec<&str> {
    s.program.variables.iter().map(|v| v.name.as_str()).collect()
}

#[test]
fn a_histogram_counts_as_the_library_does() {
    let s = script("hist_12 = selector_width(select(tokens, tokens, ==))\nreturn hist_12");
    assert_eq!(s.program, library::hist());
    assert_eq!(s.vocabulary, ["a", "b", "c"].map(Value::from));
    assert_eq!(s.length, 5);
}

#[test]
fn the_programs_of_the_library_survive_text() {
    let vocabulary = ["a", "b", "x"].map(Value::from).to_vec();
    for program in [
        library::hist(),
        library::reverse(),
        library::sort_unique(),
        library::frac_prevs(&Value::token("x")),
        library::induction(true),
    ] {
        let s = Script { program, vocabulary: vocabulary.clone(), length: 4 };
        let text = s.text().unwrap();
        assert_eq!(text.parse::<Script>().unwrap(), s, "{text}");
    }
}

#[test]
fn steps_have_names_that_say_what_they_are() {
    let s = script(
        "length = selector_width(select(tokens, tokens, true))
         reverse = aggregate(select(indices, length - 1 - indices, ==), tokens)
         out = aggregate(select(indices, indices + 1, ==), {a: b}[reverse])
         return out",
    );
    assert_eq!(
        names(&s),
        [
            "length_selector_width",
            "length_selector_width_attn_output",
            "length",
            "reverse_queries",
            "reverse",
            "out_queries",
            "out_values",
            "out"
        ]
    );
}

#[test]
fn a_function_of_four_sequences_is_cut_into_functions_of_two() {
    let body = "
        before = selector_width(select(indices, indices, <))
        same = selector_width(select(tokens, tokens, ==))
        all = selector_width(select(tokens, tokens, true))
        out = indices + before * 2 + same * 3 + all * 5
        return out";
    let s = script(body);
    assert_eq!(names(&s)[9..], ["out_sum", "out_sum_2", "out"]);
    // At index 1 of a b a: 1 + 1 * 2 + 1 * 3 + 3 * 5, at index 2: 2 + 2 * 2 + 2 * 3 + 3 * 5.
    assert_eq!(output(body, "a b a")[1..], [21, 27].map(Value::Int));
}

#[test]
fn a_choice_between_two_sequences_by_a_third_is_two_steps() {
    let body = "
        same = selector_width(select(tokens, tokens, ==))
        all = selector_width(select(tokens, tokens, true))
        out = if tokens == \"a\" then same else all
        return out";
    let s = script(body);
    assert_eq!(names(&s)[6..], ["out_choice", "out"]);
    assert_eq!(output(body, "a b a c"), ints("2424"));
    // The word for the other branch is none of the program's.
    let body = body.replace("\"a\"", "\"else\"");
    let s = Script::parse(&format!("vocabulary: a \"else\"\nlength: 5\n{body}")).unwrap();
    assert!(matches!(&s.program.variables[6].expr, Expr::SequenceMap { f, .. }
        if format!("{f:?}").contains("Token(\"else_\")")));
}

#[test]
fn a_named_selector_means_the_same_wherever_it_is_used() {
    let named = "s = causal(select(tokens, tokens, ==) and not select(indices, indices, ==))
        x = selector_width(s)
        y = aggregate(s, indices)
        return y";
    let written = "x = selector_width(causal(select(tokens, tokens, ==) and not select(indices, indices, ==)))
        y = aggregate(causal(select(tokens, tokens, ==) and not select(indices, indices, ==)), indices)
        return y";
    assert_eq!(script(named), script(written));
}

#[test]
fn operators_bind_as_in_arithmetic() {
    let value = |text: &str| match &script(&format!("x = {text}\nreturn x")).program.variables[..] {
        [Variable { expr: Expr::Constant(v), .. }] => v.clone(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(value("1 + 2 * 3"), Value::Int(7));
    assert_eq!(value("7 - 2 - 1"), Value::Int(4));
    assert_eq!(value("-7 mod 3 * 2"), Value::Int(4));
    assert_eq!(value("8 / 4 / 2"), Value::Real(1.0));
    assert_eq!(value("1 + 1 == 2 and not 1 == 2 or false"), Value::Bool(true));
    assert_eq!(value("if 2 < 1 then 0 else if 1 < 2 then 5 else 6"), Value::Int(5));
    assert_eq!(value("{1: 2, 3: a, else: none}[1 + 2]"), Value::token("a"));
    assert_eq!(value("round(2.5) - -1"), Value::Int(3));
    assert_eq!(value("\"a b\""), Value::token("a b"));
    assert_eq!(value("-9223372036854775808"), Value::Int(i64::MIN));
    assert_eq!(value("1e2"), Value::Real(100.0));
}

#[test]
fn comments_blank_lines_and_lines_inside_brackets_are_free() {
    let s = script(
        "\n# What for.\nx = aggregate(  # why\n  select(tokens,\n\n tokens, ==), tokens)\r\n\nreturn x # it",
    );
    assert_eq!(names(&s), ["x"]);
}

#[test]
fn a_text_without_the_last_newline_and_one_with_a_mark_of_windows_are_the_same() {
    let body = "x = tokens\nreturn x";
    assert_eq!(script(body), script(&body.replace('\n', "\r\n")));
}

#[test]
fn the_deepest_program_survives_json() {
    let deep = |n: usize| format!("{HEAD}x = {}tokens == indices\nreturn x", "not ".repeat(n));
    let s = Script::parse(&deep(DEPTH - 2)).unwrap();
    let json = serde_json::json!({"body": {"rasp": {"program": s.program}}}).to_string();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    assert!(Script::parse(&deep(DEPTH - 1)).is_err());
    for long in [
        format!("x = {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("x = {}1", "-".repeat(60_000)),
        format!("x = indices{}", " + indices".repeat(5_000)),
        format!("x = {}indices", "if true then 1 else ".repeat(3_000)),
    ] {
        let e = Script::parse(&format!("{HEAD}{long}\nreturn x")).unwrap_err();
        assert!(e.why.contains("one inside the other"), "{e}");
    }
}

#[test]
fn selectors_of_selectors_fill_no_memory() {
    let doubled: String = (1..40).map(|i| format!("s{i} = s{} and s{0}\n", i - 1)).collect();
    let body = format!("s0 = select(tokens, tokens, ==)\n{doubled}x = selector_width(s39)\n");
    let e = Script::parse(&format!("{HEAD}{body}return x")).unwrap_err();
    assert!(e.why.contains("too large once its selectors are written out"), "{e}");
}

#[test]
fn what_only_data_can_say_has_no_text() {
    let of = |program: Program| Script { program, vocabulary: ints("12"), length: 2 }.text();
    let mut p = library::hist();
    p.bos = false;
    assert!(of(p).is_err());
    let mixture = Value::Mixture(vec![(Value::Int(1), 0.5), (Value::Int(2), 0.5)]);
    assert!(of(Program::new(true).define("x", Expr::Constant(mixture))).is_err());
    let e = of(Program::new(true).define("x", Expr::Constant(Value::Real(f64::NAN))));
    assert!(e.unwrap_err().to_string().contains("'x'"));
}

/// Each case of `errors.txt`: a sentence, a text, and what is said of it.
#[test]
fn every_error_says_where_why_and_the_way_out() {
    let cases = include_str!("errors.txt");
    let mut wanted = String::new();
    let mut got = String::new();
    for case in cases.split("=== ").skip(1) {
        let (head, said) = case.split_once("\n---\n").expect("a case has a line ---");
        let (sentence, text) = head.split_once('\n').unwrap_or((head, ""));
        let error = match Script::parse(text) {
            Err(e) => e.to_string(),
            Ok(_) => "no error".into(),
        };
        wanted += &format!("=== {sentence}\n{text}\n---\n{}\n\n", said.trim_end());
        got += &format!("=== {sentence}\n{text}\n---\n{error}\n\n");
    }
    if got != wanted {
        let path = std::env::temp_dir().join("errors.txt");
        std::fs::write(&path, &got).unwrap();
        panic!("{got}\nerrors differ from errors.txt; all of them: {}", path.display());
    }
}

/// Numbers over the sequences x0.. to x{n - 1}.
fn numbers(n: usize) -> BoxedStrategy<String> {
    let name = move || {
        (0..n + 1).prop_map(move |i| if i == n { "indices".into() } else { format!("x{i}") })
    };
    let leaf = prop_oneof![
        3 => name(),
        1 => (-3i64..9).prop_map(|i| i.to_string()),
        1 => (0u8..40).prop_map(|i| format!("{:?}", f64::from(i) / 8.0)),
    ];
    leaf.prop_recursive(4, 20, 3, |inner| {
        let a = || inner.clone();
        let truth = prop_oneof![
            (a(), a(), "==|!=|<|<=|>|>=").prop_map(|(a, b, o)| format!("({a} {o} {b})")),
            (a(), a()).prop_map(|(a, b)| format!("(not {a} == {b})")),
            (a(), "a|b|c").prop_map(|(a, t)| format!("({a} < 2 and tokens == \"{t}\" or false)")),
        ];
        prop_oneof![
            (a(), a(), "[-+*/]").prop_map(|(a, b, o)| format!("{a} {o} {b}")),
            (a(), a(), "[-+*/]").prop_map(|(a, b, o)| format!("({a}) {o} ({b})")),
            a().prop_map(|a| format!("-({a})")),
            a().prop_map(|a| format!("round({a})")),
            a().prop_map(|a| format!("{{1: 2, 0.5: -1.5, else: 0}}[{a}]")),
            (truth, a(), a()).prop_map(|(c, a, b)| format!("(if {c} then {a} else {b})")),
            selectors(inner.clone()).prop_map(|s| format!("selector_width({s})")),
            (selectors(inner.clone()), a())
                .prop_map(|(s, x)| format!("mean({s}, {x}, default = 0.0)")),
        ]
    })
    .boxed()
}

fn selectors(numbers: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let predicates = prop_oneof![
        Just("==".to_string()),
        Just("<=".to_string()),
        Just("true".to_string()),
        Just("(true)".to_string()),
        Just("key == query - 1 or key > 3".to_string()),
    ];
    (numbers.clone(), numbers, predicates)
        .prop_map(|(k, q, p)| format!("select({k}, {q}, {p})"))
        .prop_recursive(2, 4, 2, |s| {
            prop_oneof![
                (s.clone(), s.clone()).prop_map(|(a, b)| format!("({a} and not {b})")),
                s.prop_map(|a| format!("causal({a})")),
            ]
        })
        .boxed()
}

fn programs() -> impl Strategy<Value = String> {
    (numbers(0), numbers(1), numbers(2)).prop_map(|(a, b, c)| {
        format!("vocabulary: a b c -1 \"d e\"\nlength: 3\nx0 = {a}\nx1 = {b}\nx2 = {c}\nreturn x2")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_program_survives_text(text in programs()) {
        if let Ok(s) = Script::parse(&text) {
            let printed = s.text().unwrap();
            prop_assert_eq!(&Script::parse(&printed).unwrap(), &s, "{}", printed);
            prop_assert!(Interpreter::new(&s.program).is_ok());
        }
    }

    #[test]
    fn no_text_panics(words in prop::collection::vec(
        "vocabulary: a b\n|length: 3\n|return x\n|x = |y|tokens|select\\(|aggregate\\(|\\)|,|==|\
         and |not |if |then |else |\\{|\\}|\\[|\\]|a: |-|1|[0-9.e]{1,4}|\"|`|\\\\|#|\n|key|.{0,3}", 0..40)) {
        if let Ok(s) = Script::parse(&words.concat()) {
            let printed = s.text().unwrap();
            prop_assert_eq!(Script::parse(&printed).unwrap(), s);
        }
    }
}
