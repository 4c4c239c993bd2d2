//! What the commands say: help as snapshots, lists as JSON, errors with a way out.

use crate::tool::{line, scratch};
use std::path::Path;

/// The commands that the binary says it has.
fn commands() -> Vec<String> {
    let dir = scratch();
    let help = line(dir.path(), "--help").stdout;
    let all: Vec<String> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next().map(str::to_owned))
        .collect();
    assert!(all.len() >= 8, "{help}");
    all
}

/// Set to write the snapshots anew.
const UPDATE: &str = "FLYROOM_UPDATE";

#[test]
fn help_is_as_committed() {
    let dir = scratch();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help");
    let mut changed = vec![];
    let lines = [("flyroom".to_string(), "--help".to_string())]
        .into_iter()
        .chain(commands().into_iter().map(|c| (c.clone(), format!("{c} --help"))));
    for (name, arguments) in lines {
        let ran = line(dir.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&file, &ran.stdout).expect("a snapshot is written");
        } else if std::fs::read_to_string(&file).ok().as_deref() != Some(ran.stdout.as_str()) {
            changed.push(format!("flyroom {arguments} is now:\n{}", ran.stdout));
        }
    }
    assert!(
        changed.is_empty(),
        "{}\nif this is meant, run the test with {UPDATE}=1 and commit",
        changed.join("\n")
    );
}

#[test]
fn no_help_snapshot_is_left_of_a_command_that_went() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help");
    let commands = commands();
    for entry in std::fs::read_dir(folder).expect("the snapshots").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        let name = name.trim_end_matches(".txt");
        assert!(name == "flyroom" || commands.iter().any(|c| c == name), "{name}.txt");
    }
}

#[test]
fn lists_are_json_with_unique_names() {
    let dir = scratch();
    for (what, keys) in [
        ("organisms", &["name", "summary", "source", "standing", "cost", "parameters"][..]),
        ("methods", &["name", "summary", "step", "version", "source", "parameters"]),
        ("metrics", &["name", "summary", "table", "null", "oracle"]),
    ] {
        let all = line(dir.path(), &format!("list {what} --json")).json();
        let all = all.as_array().expect("a list").clone();
        let mut names: Vec<&str> =
            all.iter().map(|e| e["name"].as_str().expect("a name")).collect();
        for e in &all {
            for k in keys {
                assert!(e.get(k).is_some_and(|v| *v != ""), "{what}: {} has no {k}", e["name"]);
            }
        }
        let table = line(dir.path(), &format!("list {what}"));
        assert_eq!(table.code, Some(0));
        for n in &names {
            assert!(table.stdout.contains(n), "{n} is not in the table");
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{what}: a name stands twice");
    }
}

#[test]
fn no_argument_is_an_error_with_usage() {
    let dir = scratch();
    let ran = line(dir.path(), "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("Usage: flyroom"), "{}", ran.stderr);
}

#[test]
fn a_tally_of_what_is_no_word_says_so_and_keeps_what_was_bred() {
    let dir = scratch();
    let ran = line(dir.path(), "breed superposition-5-2 --set steps=2 --tally loss");
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("--tally loss"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: words are"), "{}", ran.stderr);
    assert!(std::fs::read_dir(dir.path()).expect("listed").count() > 0, "nothing was kept");
}

#[test]
fn a_phase_diagram_has_every_seed_a_picture_and_the_untrained_beside() {
    let dir = scratch();
    let ask = "phases superposition-5-2 --over p_active=0.05,1 --seeds 0..2 --set steps=20 --out o";
    let ran = line(dir.path(), &format!("{ask} --measure loss_ratio --json"));
    let points = ran.json()["phases"]["points"].clone();
    let of = |i: usize, key: &str| points[i][key].as_array().expect("a list").len();
    assert_eq!((of(0, "values"), of(1, "values"), of(1, "untrained")), (2, 2, 2));
    assert_eq!(points[1]["at"][0].as_f64(), Some(1.0));
    let read = |name: &str| std::fs::read_to_string(dir.path().join("o").join(name)).expect(name);
    assert_eq!(read("phases.csv").lines().count(), 5);
    assert!(read("phases.svg").contains("loss ratio over p active"));
    // What is there is not bred again, whatever is drawn of it.
    let again = line(dir.path(), &format!("{ask} --measure pentagon=true"));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stderr.matches("is there already").count(), 4, "{}", again.stderr);
    assert!(again.stdout.contains("share"), "{}", again.stdout);
    for (measure, way_out) in
        [("los", "did you mean 'loss'?"), ("norms", "numbers are"), ("loss=1", "leave =1 out")]
    {
        let ran = line(dir.path(), &format!("{ask} --measure {measure}"));
        assert_eq!(ran.code, Some(2), "{measure}: {}", ran.stdout);
        assert!(ran.stderr.contains(way_out), "{measure}: {}", ran.stderr);
    }
    for (over, way_out) in [
        ("p_active", "KEY=A,B,C"),
        ("p_active=1", "KEY=A,B,C"),
        ("p_active=1,1", "twice"),
        ("p=1,2", "p_active"),
    ] {
        let ask = format!("phases superposition-5-2 --over {over} --measure loss --out e");
        let ran = line(dir.path(), &ask);
        assert_eq!(ran.code, Some(2), "{over}: {}", ran.stdout);
        assert!(ran.stderr.contains(way_out), "{over}: {}", ran.stderr);
    }
}

#[test]
fn errors_say_what_and_what_to_do() {
    let dir = scratch();
    for (arguments, what, way_out) in [
        ("breed superpositon-5-2", "superpositon-5-2", "did you mean 'superposition-5-2'"),
        ("breed nothing-like-it-at-all", "nothing-like-it-at-all", "`flyroom list` names all"),
        ("breed flyroom6", "flyroom6", "did you mean 'flyroom-6'"),
        ("exam flyroom-6 --out x", "is a set", "superposition-40-10"),
        ("breed ring-7 --set steps=300", "cooldown = 2000 is longer than steps = 300", "150"),
        ("breed superposition-5-2 --set step=20", "'step'", "did you mean 'steps'"),
        ("breed superposition-5-2 --set steps=many", "steps", "hint:"),
        ("breed superposition-5-2 --set steps", "--set steps", "KEY=VALUE"),
        ("breed superposition-5-2 --set steps=1 --set steps=2", "steps", "twice"),
        ("breed superposition-5-2 --seeds 3..3", "--seeds 3..3", "hint:"),
        ("breed superposition-5-2 --seeds x", "--seeds x", "hint:"),
        ("breed superposition-5-2 --seeds 2", "--seeds 2", "0..2 are the first 2, 2..3 is seed 2"),
        ("breed superposition-5-2 --threads 0", "--threads 0", "hint:"),
        ("breed superposition-5-2 --kernels avx3", "--kernels avx3", "hint:"),
        ("decompose nowhere --method pca --out x", "nowhere", "hint:"),
        ("decompose nowhere --method pcaa --out x", "pcaa", "did you mean 'pca'"),
        ("describe nowhere --method eapp --out x", "eapp", "did you mean 'eap'"),
        ("describe nowhere --method eap --set pair=3 --out x", "'pair'", "did you mean 'pairs'"),
        ("describe nowhere --method pca --out x", "pca", "decompose"),
        ("decompose nowhere --method eap --out x", "eap", "describe"),
        ("validate nowhere nothing.json", "nowhere", "hint:"),
        ("show nowhere", "nowhere", "hint:"),
        ("run nowhere.toml", "nowhere.toml", "hint:"),
        ("import trcr nowhere.safetensors", "trcr", "did you mean 'tracr'"),
        ("import tracr nowhere.safetensors", "nowhere.json", "hint:"),
        ("bred superposition-5-2", "bred", "'breed'"),
        ("list organism", "organism", "organisms"),
    ] {
        let ran = line(dir.path(), arguments);
        assert_eq!(ran.code, Some(2), "flyroom {arguments}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "flyroom {arguments} printed {}", ran.stdout);
        assert!(ran.stderr.starts_with("error: "), "flyroom {arguments}: {}", ran.stderr);
        for word in [what, way_out] {
            assert!(
                ran.stderr.contains(word),
                "flyroom {arguments}: no '{word}' in {}",
                ran.stderr
            );
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "something was written");
}

#[test]
fn data_goes_to_stdout_and_words_to_stderr() {
    let dir = scratch();
    let small = "breed superposition-5-2 --set steps=2 --set batch=8 --out .";
    let first = line(dir.path(), &format!("{small} --json"));
    let again = line(dir.path(), &format!("{small} --json"));
    assert_eq!(first.json(), again.json(), "what is there already is printed alike");
    assert!(again.stderr.contains("is there already"));
    let quiet = line(dir.path(), &format!("{small} --json --quiet"));
    assert_eq!((quiet.stderr.as_str(), quiet.stdout), ("", first.stdout));
    let shown = line(dir.path(), "show superposition-5-2-0 --json").json();
    assert_eq!(shown["id"], first_id(&again.json()));
}

#[test]
fn a_parameter_has_one_id_however_its_number_is_spelt() {
    let dir = scratch();
    let id = |value: &str| {
        let ask = "breed superposition-5-2 --set steps=2 --set batch=8 --json --quiet";
        let ask = format!("{ask} --set weight_decay={value} --out {value}");
        first_id(&line(dir.path(), &ask).json())
    };
    assert_eq!(id("1"), id("1.0"));
    assert_ne!(id("1"), id("0.5"));
}

#[test]
fn a_card_takes_the_place_of_no_other() {
    let dir = scratch();
    let say = |arguments: &str| {
        let ran = line(dir.path(), arguments);
        assert_eq!(ran.code, Some(0), "{arguments}: {}", ran.stderr);
        ran.stderr
    };
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("a card");
    let of = "superposition-5-2-0";
    say("breed superposition-5-2 --set steps=2 --set batch=8 --out .");
    say(&format!("decompose {of} --method pca --out parts"));
    say(&format!("decompose {of} --method random --out others"));
    say(&format!("validate {of} parts"));
    let first = read("card.json");
    assert!(say(&format!("validate {of} others")).contains("written to card-2.json"));
    // The same card once more is the same file.
    assert!(say(&format!("validate {of} parts")).contains("written to card.json"));
    assert!(!dir.path().join("card-3.json").exists() && read("card.json") == first);
    let refused = line(dir.path(), &format!("validate {of} others --out card.json"));
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("another card") && refused.stderr.contains("hint:"));
    assert_eq!(read("card.json"), first);
}

fn first_id(bred: &serde_json::Value) -> serde_json::Value {
    bred[0]["id"].clone()
}

#[test]
fn an_import_does_not_replace_another_specimen() {
    let Ok(fixtures) = std::env::var("FLYROOM_FIXTURES") else {
        eprintln!("SKIPPED: imports into one folder: FLYROOM_FIXTURES is not set");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "fixtures are needed where CI=true");
        return;
    };
    let fixtures = std::fs::canonicalize(fixtures).expect("the fixtures");
    let dir = scratch();
    let import = |name: &str| {
        let file = fixtures.join("induction26").join(name);
        line(dir.path(), &format!("import induction26 {} --out . --json --quiet", file.display()))
    };
    let first = import("solves.safetensors").json();
    let second = import("at-chance.safetensors");
    assert_eq!(second.code, Some(2), "{}", second.stdout);
    assert!(second.stderr.contains("holds another specimen"), "{}", second.stderr);
    assert_eq!(import("solves.safetensors").json(), first);
}

#[test]
fn a_transfer_compares_ranks_and_a_run_without_two_methods_of_a_ranking_says_which_there_are() {
    let dir = scratch();
    let plan = |name: &str, methods: &[&str]| {
        let mut text = "name = \"t\"\n[[organism]]\nname = \"induction-compiled\"\n\
                        [[metric]]\nname = \"edge-auroc\"\n"
            .to_owned();
        for method in methods {
            text.push_str(&format!("[[method]]\nstep = \"describe\"\n{method}\n"));
        }
        std::fs::write(dir.path().join(format!("{name}.toml")), text).expect("written");
        let ran = line(dir.path(), &format!("run {name}.toml --out {name} --quiet"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    let (eap, sender) = ("name = \"eap\"", "name = \"eap-ig-activations\"");
    let blocks = "name = \"eap-ig-activations\"\nset = { over = \"blocks\" }";
    plan("two", &[eap, blocks, sender]);
    plan("one", &[eap]);
    let found = line(dir.path(), "transfer two --json").json();
    assert_eq!(found[0]["organism"], "induction-compiled");
    let methods = found[0]["methods"].as_array().expect("a list");
    assert_eq!((methods.len(), &methods[2]["method"]), (3, &"null".into()), "{found}");
    assert!(found[0]["tau"].as_f64().expect("a number") > 0.9, "{found}");
    let none = line(dir.path(), "transfer one");
    assert_eq!(none.code, Some(2), "{}", none.stdout);
    assert!(none.stderr.contains("hint: MIB, InterpBench"), "{}", none.stderr);
}
