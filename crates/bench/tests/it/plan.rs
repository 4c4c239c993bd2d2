//! Plans: what is read, and what is said about a plan that is wrong.

use flyroom_bench::{Catalog, EntryInfo, Plan, SetInfo};
use serde_json::json;

fn catalog() -> Catalog {
    let organism =
        |name| EntryInfo::new(name, "organism", &[("steps", json!(5000)), ("lr", json!(0.001))]);
    Catalog {
        organisms: vec![
            organism("superposition-5-2"),
            organism("modadd113"),
            organism("tracr-hist"),
        ],
        methods: vec![
            EntryInfo::new("topk", "decompose", &[("k", json!(4)), ("init", json!("kaiming"))]),
            EntryInfo::new("pca", "decompose", &[]),
            EntryInfo::new("rasp", "describe", &[("layers", json!([0]))]),
        ],
        metrics: vec![
            EntryInfo::new("effect-skill", "metric", &[]),
            EntryInfo::new("mcc", "metric", &[]),
        ],
        sets: vec![SetInfo {
            name: "the-two".into(),
            members: ["superposition-5-2", "modadd113"]
                .map(|name| (name.to_owned(), [("steps".to_owned(), json!(7))].into()))
                .into(),
        }],
    }
}

const GOOD: &str = r#"# The main job.
name = "first-look"

[[organism]]
name = "superposition-5-2"
seeds = 5
set = { steps = 10000 }

[[organism]]
name = "tracr-hist"

[[method]]
step = "decompose"
name = "topk"
set = { k = 2 }
organisms = ["superposition-5-2"]

[[method]]
step = "describe"
name = "rasp"

[[metric]]
name = "effect-skill"
"#;

/// The message for GOOD with one piece of text replaced.
fn message(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the test replaces text that is there");
    Plan::parse(&GOOD.replacen(from, to, 1), "p.toml", &catalog()).unwrap_err().to_string()
}

#[test]
fn a_plan_is_read_as_it_is_written() {
    let plan = Plan::parse(GOOD, "p.toml", &catalog()).unwrap();
    assert_eq!(plan.name, "first-look");
    assert_eq!((plan.organisms[0].seeds, plan.organisms[1].seeds), (5, 1));
    assert_eq!(plan.organisms[0].set["steps"], json!(10000));
    assert_eq!(plan.methods[0].label, "topk");
    assert!(
        plan.methods[0].wants(&plan.organisms[0]) && !plan.methods[0].wants(&plan.organisms[1])
    );
    assert!(plan.methods[1].wants(&plan.organisms[1]));
    assert!(plan.wants_metric("effect-skill") && !plan.wants_metric("mcc"));
    let only = GOOD.trim_end().to_owned() + "\norganisms = [\"superposition-5-2\"]\n";
    let plan = Plan::parse(&only, "p.toml", &catalog()).unwrap();
    let on = |o: usize| plan.wants_metric_on("effect-skill", &plan.organisms[o].label);
    assert!(on(0) && !on(1) && plan.wants_metric("effect-skill"));
}

#[test]
fn comments_and_layout_do_not_change_what_a_plan_is() {
    let plan = Plan::parse(GOOD, "p.toml", &catalog()).unwrap();
    let spaced = GOOD.replace("# The main job.", "").replace(" = ", "   =   ");
    let other = Plan::parse_form(&spaced, "p.toml").unwrap();
    assert_eq!(plan.canonical(), other.canonical());
    assert_eq!(plan.key(), other.key());
    let more = Plan::parse_form(&GOOD.replace("seeds = 5", "seeds = 6"), "p.toml").unwrap();
    assert_ne!(plan.key(), more.key());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_key_that_was_meant() {
    assert_eq!(
        message("seeds = 5", "seed = 5"),
        "p.toml:6: unknown key `seed` in [[organism]]\nhint: did you mean `seeds`?"
    );
    assert_eq!(
        message("[[metric]]", "[[metrics]]"),
        "p.toml:22: unknown key `metrics` in the plan\nhint: did you mean `metric`?"
    );
}

#[test]
fn an_unknown_name_is_named_with_its_line_and_the_name_that_was_meant() {
    assert_eq!(
        message("\"superposition-5-2\"\nseeds", "\"superpositon-5-2\"\nseeds"),
        "p.toml:5: there is no organism `superpositon-5-2`\nhint: did you mean `superposition-5-2`?"
    );
    assert_eq!(
        message("\"topk\"", "\"top-k\""),
        "p.toml:14: there is no decompose method `top-k`\nhint: did you mean `topk`?"
    );
    assert_eq!(
        message("\"effect-skill\"", "\"zzz\""),
        "p.toml:23: there is no metric `zzz`\nhint: there are `effect-skill`, `mcc`"
    );
    assert_eq!(
        message("step = \"decompose\"", "step = \"decompse\""),
        "p.toml:13: there is no step `decompse`\nhint: did you mean `decompose`?"
    );
    assert_eq!(
        message("[\"superposition-5-2\"]", "[\"modadd113\"]"),
        "p.toml:16: the plan has no organism `modadd113`\nhint: there are `superposition-5-2`, `tracr-hist`"
    );
}

#[test]
fn a_method_under_the_wrong_step_is_told_where_it_belongs() {
    assert_eq!(
        message("\"rasp\"", "\"pca\""),
        "p.toml:20: there is no describe method `pca`\nhint: `pca` belongs to step = \"decompose\""
    );
}

#[test]
fn a_parameter_is_checked_by_name_and_by_type() {
    assert_eq!(
        message("{ steps = 10000 }", "{ step = 10000 }"),
        "p.toml:7: `superposition-5-2` has no parameter `step`\nhint: did you mean `steps`?"
    );
    assert_eq!(
        message("{ steps = 10000 }", "{ steps = 1e4 }"),
        "p.toml:7: `steps` is 10000.0, but should be a whole number, as its default 5000"
    );
    assert_eq!(
        message("{ k = 2 }", "{ init = 3 }"),
        "p.toml:15: `init` is 3, but should be a text, as its default \"kaiming\""
    );
    assert_eq!(
        message("{ steps = 10000 }", "{ lr = nan }"),
        "p.toml:7: `lr` is nan, but should be a finite number"
    );
    assert_eq!(
        message("{ k = 2 }", "3"),
        "p.toml:15: `set` is 3, but should be a table: { name = value }"
    );
}

#[test]
fn seeds_are_a_count_from_one() {
    assert_eq!(
        message("seeds = 5", "seeds = \"5\""),
        "p.toml:6: `seeds` is the text \"5\", but should be a whole number: seeds 0..n are run"
    );
    assert_eq!(
        message("seeds = 5", "seeds = 0"),
        "p.toml:6: `seeds` is 0, but should be from 1 to 1000000"
    );
    assert_eq!(
        message("seeds = 5", "seeds = -1"),
        "p.toml:6: `seeds` is -1, but should be from 1 to 1000000"
    );
}

#[test]
fn what_stands_twice_is_an_error_that_names_both_lines() {
    assert_eq!(
        message("\"tracr-hist\"", "\"superposition-5-2\"\nset = { steps = 10_000 }"),
        "p.toml:9: organism `superposition-5-2` stands twice; first in line 4\n\
         hint: remove one, or give it other parameters under `set`; for more seeds use `seeds`"
    );
    // Setting a parameter to its default is the same entry as not setting it.
    let twice = "name = \"p\"\n[[organism]]\nname = \"modadd113\"\n[[organism]]\nname = \"modadd113\"\nset.steps = 5000\n";
    let error = Plan::parse(twice, "p.toml", &catalog()).unwrap_err();
    assert!(
        error.to_string().starts_with("p.toml:4: organism `modadd113` stands twice"),
        "{error}"
    );
}

#[test]
fn a_name_with_two_settings_is_a_sweep_and_its_labels_tell_them_apart() {
    let sweep = "name = \"p\"\n[[organism]]\nname = \"modadd113\"\n\
        [[method]]\nstep = \"decompose\"\nname = \"topk\"\n\
        [[method]]\nstep = \"decompose\"\nname = \"topk\"\nset = { k = 8, init = \"data\" }\n";
    let plan = Plan::parse(sweep, "p.toml", &catalog()).unwrap();
    let labels: Vec<&str> = plan.methods.iter().map(|m| m.label.as_str()).collect();
    assert_eq!(labels, ["topk", "topk[init=data,k=8]"]);
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        message("name = \"first-look\"", ""),
        "p.toml:1: the plan has no `name`\nhint: add name = \"...\""
    );
    assert_eq!(
        message("name = \"tracr-hist\"", ""),
        "p.toml:9: [[organism]] has no `name`\nhint: add name = \"...\""
    );
    let empty = Plan::parse("name = \"p\"", "p.toml", &catalog()).unwrap_err();
    assert!(empty.to_string().starts_with("p.toml:1: the plan names no organism\nhint: "));
}

#[test]
fn text_that_is_not_toml_is_an_error_with_a_line_and_never_a_panic() {
    for text in [
        "name = ",
        "name = \"p\"\n[[organism]",
        "\u{0}",
        "organism = 3\nname=\"p\"",
        "name = \"p\"\norganism = [1]",
    ] {
        let error = Plan::parse(text, "p.toml", &catalog()).unwrap_err();
        assert!(error.to_string().starts_with("p.toml:"), "{error}");
    }
    assert_eq!(
        Plan::parse("name = \"p\"\norganism = 3", "p.toml", &catalog()).unwrap_err().to_string(),
        "p.toml:2: `organism` is 3, but should be a list of tables, each under [[organism]]"
    );
}

#[test]
fn a_program_of_ones_own_is_an_organism_by_its_files_name() {
    let mut catalog = catalog();
    let parameters = [("length", json!(0)), ("program", json!(""))];
    catalog.organisms.push(EntryInfo::new("rasp", "organism", &parameters));
    let read = |more: &str| {
        let text = format!("name = \"p\"\n[[organism]]\nprogram = \"in/count.rasp\"\n{more}\n");
        Plan::parse(&text, "p.toml", &catalog).map_err(|e| e.to_string())
    };
    let plan = read("seeds = 2\nset = { length = 3 }").unwrap();
    let o = &plan.organisms[0];
    assert_eq!((o.name.as_str(), o.label.as_str(), o.seeds), ("count", "count", 2));
    assert_eq!((o.registered(), o.program.as_deref()), ("rasp", Some("in/count.rasp")));
    assert_eq!(read("name = \"mine\"").unwrap().organisms[0].name, "mine");
    for (more, said) in [
        ("name = \"tracr-hist\"", "a name of its own: this one is taken"),
        ("name = \"a/b\"", "the name of one file or folder"),
        ("set = { lenght = 3 }", "did you mean `length`?"),
        ("set = { program = \"x\" }", "parameters without `program`"),
        (
            "[[organism]]\nprogram = \"other/count.rasp\"\nset = { length = 2 }",
            "a name of its own: this one is taken",
        ),
        ("specimen = \"there\"", "`specimen`"),
    ] {
        let e = read(more).unwrap_err();
        assert!(e.contains(said), "{more}: {e}");
    }
}

#[test]
fn a_set_stands_for_its_organisms_with_their_own_parameters() {
    let text = "name = \"p\"\n[[organism]]\nname = \"the-two\"\nseeds = 3\n\
                [[method]]\nstep = \"decompose\"\nname = \"pca\"\norganisms = [\"modadd113\"]\n";
    let plan = Plan::parse(text, "plan.toml", &catalog()).unwrap();
    let found: Vec<_> = plan.organisms.iter().map(|o| (o.label.as_str(), o.seeds)).collect();
    assert_eq!(found, [("superposition-5-2", 3), ("modadd113", 3)]);
    assert!(plan.organisms.iter().all(|o| o.set["steps"] == json!(7)));

    let set = text.replace("seeds = 3", "set = { steps = 9 }");
    let error = Plan::parse(&set, "plan.toml", &catalog()).unwrap_err().to_string();
    assert!(error.contains("plan.toml:4") && error.contains("frozen"), "{error}");

    let twice = format!("{text}[[organism]]\nname = \"modadd113\"\nset = {{ steps = 7 }}\n");
    let error = Plan::parse(&twice, "plan.toml", &catalog()).unwrap_err().to_string();
    assert!(error.contains("`modadd113` stands twice"), "{error}");
}

#[test]
fn a_slip_in_the_name_of_a_set_and_a_cooldown_beyond_the_steps_are_told_with_their_line() {
    let wrong = |organism: &str| {
        let text = format!("name = \"p\"\n[[organism]]\n{organism}\n");
        Plan::parse(&text, "plan.toml", &flyroom_bench::run::catalog()).unwrap_err().to_string()
    };
    let e = wrong("name = \"flyroom6\"");
    assert!(e.starts_with("plan.toml:3: ") && e.contains("did you mean `flyroom-6`?"), "{e}");
    let e = wrong("name = \"ring-7\"\nset = { steps = 300 }");
    assert!(e.starts_with("plan.toml:4: cooldown = 2000 is longer than steps = 300"), "{e}");
    assert!(e.contains("\nhint: cooldown = 150 goes"), "{e}");
}

#[test]
fn a_run_of_a_set_is_opened_again_as_the_same_run() {
    let text = "name = \"p\"\n[[organism]]\nname = \"flyroom-6\"\n\
                [[method]]\nstep = \"decompose\"\nname = \"pca\"\norganisms = [\"induction\"]\n";
    let plan = Plan::parse(text, "plan.toml", &flyroom_bench::run::catalog()).unwrap();
    assert_eq!(plan.organisms.len(), 6);
    assert_eq!(Plan::parse_form(text, "plan.toml").unwrap().canonical(), plan.canonical());
}
