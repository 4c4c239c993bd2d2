//! Programs of users: the page that teaches the language, run as it stands.

use crate::tool::{flyroom, line, scratch};
use std::path::Path;

/// The words of a command line, some of them in double quotes.
fn words(line: &str) -> Vec<String> {
    let mut out = vec![];
    for (i, part) in line.split('"').enumerate() {
        match i % 2 {
            0 => out.extend(part.split_whitespace().map(str::to_owned)),
            _ => out.push(part.to_owned()),
        }
    }
    out
}

/// Runs the commands of a page of `docs/` on the files that it shows, and compares what is printed:
/// how many files and commands there were.
fn shown(page: &str) -> (usize, usize) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let page = std::fs::read_to_string(page).expect("the page is there");
    let dir = scratch();
    let (mut files, mut commands) = (0, 0);
    for block in page.split("\n```").skip(1).step_by(2) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        match head.split_once(' ').unwrap_or((head, "")) {
            ("rasp", name) | ("toml", name) if !name.is_empty() => {
                std::fs::write(dir.path().join(name), format!("{body}\n")).expect("a file");
                files += 1;
            }
            ("console", _) => {
                let (command, wanted) = body.split_once('\n').expect("a command and its output");
                let command = command.strip_prefix("$ flyroom ").expect("a command of flyroom");
                let words = words(command);
                let args: Vec<&str> = words.iter().map(String::as_str).collect();
                let ran = flyroom(dir.path(), &args);
                let printed = format!("{}{}", ran.stdout, ran.stderr);
                assert_eq!(printed.trim_end(), wanted.trim_end(), "{command}");
                commands += 1;
            }
            _ => {}
        }
    }
    (files, commands)
}

#[test]
fn the_page_of_the_language_shows_what_is_printed() {
    let (files, commands) = shown("rasp.md");
    assert!(files >= 8 && commands >= 9, "{files} files, {commands} commands");
}

#[test]
fn the_page_of_ones_own_organism_shows_what_is_printed() {
    assert_eq!(shown("your-own-organism.md"), (4, 4));
}

/// A network for [`DIFFERENT`].
const MINE: &str = "[task]\nprogram = \"different.rasp\"\nlength = 3\n\n[architecture]\nn_layers = 1\n\n\
                    [recipe]\nsteps = 60\nwarmup = 20\ncooldown = 20\nlr = 1\n";

#[test]
fn a_network_of_ones_own_goes_from_its_file_to_the_board() {
    let dir = scratch();
    let at = dir.path();
    let put = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a file");
    std::fs::create_dir(at.join("in")).expect("a folder");
    put("in/different.rasp", DIFFERENT);
    put("in/mine.toml", MINE);
    put("different.rasp", DIFFERENT);
    put("same.toml", &format!("# Another comment.\n{}", MINE.replace("lr = 1\n", "lr = 1.0\n")));
    let bred = |file: &str| line(at, &format!("breed {file} --json")).json()[0].clone();
    let mine = bred("in/mine.toml");
    // 3 + 9 + 27 sequences of 1 to 3 tokens.
    assert_eq!(
        (&mine["path"], &mine["metrics"]["inputs"]),
        (&"specimens/mine-0".into(), &39.into())
    );
    // What it is follows from what the files say.
    assert_eq!(bred("same.toml")["id"], mine["id"]);
    line(at, "describe specimens/mine-0 --method eap --out e.json --json").json();
    let card = line(at, "validate specimens/mine-0 e.json --json").json();
    assert!(card.is_object(), "{card}");
    let audit = line(at, "audit specimens/mine-0 --json").json();
    assert_eq!(audit["standing"], "contested", "{audit}");

    put(
        "plan.toml",
        "name = \"p\"\n[[organism]]\nfile = \"in/mine.toml\"\nset = { steps = 20 }\n\
         [[organism]]\nprogram = \"different.rasp\"\n\
         [[method]]\nstep = \"describe\"\nname = \"eap\"\n",
    );
    let board = line(at, "run plan.toml --out run --quiet --json").json();
    let mut rows = board["rows"].as_array().expect("rows").iter();
    let faithful = rows.find(|r| r["organism"] == "mine" && r["metric"] == "faithfulness");
    assert!(faithful.is_some_and(|r| r["score"].is_number()), "{faithful:?}");
    // The run stands alone.
    std::fs::remove_dir_all(at.join("in")).expect("it is there");
    std::fs::remove_file(at.join("different.rasp")).expect("it is there");
    let again = line(at, "run run/plan.toml --out again --quiet --json").json();
    assert_eq!(again["rows"], board["rows"]);
}

#[test]
fn a_file_of_an_organism_that_is_wrong_is_refused_with_its_place_and_a_way_out() {
    let dir = scratch();
    let at = dir.path();
    let put = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a file");
    put("different.rasp", DIFFERENT);
    for (from, to, said) in [
        ("[task]", "[task", "x.toml:1: this is not TOML: unclosed table, expected `]`"),
        (
            "[recipe]",
            "[recipes]",
            "x.toml:8: unknown key `recipes` in the file of an organism\nhint: did you mean `recipe`?",
        ),
        (
            "steps",
            "setps",
            "x.toml:9: unknown key `setps` in [recipe]\nhint: did you mean `steps`?",
        ),
        (
            "60",
            "\"many\"",
            "x.toml:9: `steps` is the text \"many\", but should be a whole number, as its default 2000",
        ),
        (
            "n_layers = 1",
            "d_model = 1000000",
            "x.toml: organism rasp-trained: d_model = 1000000 is no size\nhint: from 1 to 4096",
        ),
        (
            "n_layers = 1",
            "norm = \"layer-norm\"",
            "x.toml: organism rasp-trained: norm = 'layer-norm' is not known\nhint: did you mean 'layer_norm'?",
        ),
        (
            "program = \"different.rasp\"\n",
            "",
            "x.toml:1: the table [task] has no `program`\nhint: a file in RASP",
        ),
        ("different.rasp", "diferent.rasp", "hint: paths start where this file lies"),
    ] {
        assert!(MINE.contains(from), "{from}");
        put("x.toml", &MINE.replacen(from, to, 1));
        let ran = line(at, "breed x.toml");
        assert_eq!(ran.code, Some(2), "{to}");
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        put("p.toml", "name = \"p\"\n[[organism]]\nfile = \"x.toml\"\n");
        let ran = line(at, "run p.toml");
        assert_eq!(ran.code, Some(2), "{to}");
        assert!(ran.stderr.contains(said.lines().next().unwrap_or("")), "{}", ran.stderr);
    }
}

#[test]
fn a_prompt_that_the_program_does_not_take_says_so() {
    let dir = scratch();
    let text = "vocabulary: a b\nlength: 2\nreturn tokens\n";
    std::fs::write(dir.path().join("x.rasp"), text).expect("a file");
    for (prompt, said) in [
        ("a c", "error: --prompt: no token 'c'\nhint: the tokens are a b\n"),
        ("", "error: --prompt: no token at all\nhint: the tokens are a b\n"),
        ("a b a", "error: --prompt: 3 tokens\nhint: this program takes 2 at most ('length:')\n"),
    ] {
        let ran = flyroom(dir.path(), &["show", "x.rasp", "--prompt", prompt]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), said));
    }
}

#[test]
fn a_program_is_json_too() {
    let dir = scratch();
    let text = "vocabulary: 1 2\nlength: 2\nx = 1 / (tokens - 1)\nreturn x\n";
    std::fs::write(dir.path().join("x.rasp"), text).expect("a file");
    let shown = flyroom(dir.path(), &["show", "x.rasp", "--json"]).json();
    assert_eq!(shown["program"]["output"], "x");
    assert_eq!(shown["vocabulary"], serde_json::json!([1, 2]));
    let traced = flyroom(dir.path(), &["show", "x.rasp", "--prompt", "1 2", "--json"]).json();
    assert_eq!(traced["output"], serde_json::json!([{ "unknown": true }, 1.0]));
    assert_eq!(traced["variables"]["tokens"], serde_json::json!([1, 2]));
}

/// In no registry: how many tokens differ from that of each position.
const DIFFERENT: &str = "\
vocabulary: a b c
length: 4

different = selector_width(select(tokens, tokens, !=))
return different
";

#[test]
fn what_cannot_be_compiled_is_told_with_file_and_line() {
    let dir = scratch();
    let at = dir.path();
    let put = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a file");
    put(
        "mix.rasp",
        "vocabulary: a b\nlength: 3\n\nall = select(tokens, tokens, true)\n\
         mixed = aggregate(all, indices)\nout = mixed + 1\nreturn out\n",
    );
    put("mix.toml", "[task]\nprogram = \"mix.rasp\"\n");
    put("plan.toml", "name = \"p\"\n[[organism]]\nprogram = \"mix.rasp\"\n");
    for ask in ["breed mix.rasp", "breed mix.toml", "run plan.toml"] {
        let ran = line(at, ask);
        assert_eq!(ran.code, Some(2), "{ask}: {}", ran.stdout);
        let said = "mix.rasp: line 6, column 1: variable 'out' cannot be compiled: ";
        let shown = ["error: ", said, "\n6 | out = mixed + 1\n", "\nhint: "];
        assert!(shown.iter().all(|w| ran.stderr.contains(w)), "{ask}: {}", ran.stderr);
    }
}

#[test]
fn a_program_of_ones_own_goes_from_its_text_to_the_board() {
    let dir = scratch();
    let at = dir.path();
    let put = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a file");
    put("different.rasp", DIFFERENT);
    put("same-text.rasp", DIFFERENT);
    put("other.rasp", &DIFFERENT.replace("!=", "=="));
    let bred = |file: &str| line(at, &format!("breed {file} --seeds 0..2 --json")).json();
    let specimens = bred("different.rasp");
    for s in specimens.as_array().expect("a list") {
        assert_eq!(s["metrics"]["accuracy"], 1.0, "{s}");
        // 3 + 9 + 27 + 81 sequences of 1 to 4 tokens.
        assert_eq!(s["metrics"]["inputs"], 120, "{s}");
    }
    assert_eq!(specimens[0]["path"], "specimens/different-0");
    // What it is follows from the text, and from nothing else.
    assert_eq!(bred("same-text.rasp")[1]["id"], specimens[1]["id"]);
    assert_ne!(bred("other.rasp")[1]["id"], specimens[1]["id"]);
    // An audit names the file that it came from.
    let audit = line(at, "audit specimens/different-1");
    assert!(audit.stdout.starts_with("different-1: "), "{}", audit.stdout);

    line(at, "describe specimens/different-0 --method exact-patching --out e.json --json").json();
    let card = line(at, "validate specimens/different-0 e.json --json").json();
    assert!(card["exams"].is_object() || card["exams"].is_array(), "{card}");

    put(
        "mine.toml",
        "name = \"mine\"\n[[organism]]\nprogram = \"different.rasp\"\nset = { length = 3 }\n\
         [[method]]\nstep = \"describe\"\nname = \"exact-patching\"\n",
    );
    let board = line(at, "run mine.toml --out run --quiet --json").json();
    let score = |method: &str, metric: &str| {
        let mut rows = board["rows"].as_array().expect("rows").iter();
        let row = rows.find(|r| {
            r["organism"] == "different" && r["method"] == method && r["metric"] == metric
        });
        row.and_then(|r| r["score"].as_f64()).unwrap_or_else(|| panic!("{method} {metric}"))
    };
    assert_eq!(score("exact-patching", "edge-auroc"), 1.0);
    assert!(score("truth", "effect-skill") > 0.999);
    assert!(score("wrong program", "effect-skill") < 0.5);
    // The run stands alone.
    std::fs::remove_file(at.join("different.rasp")).expect("it is there");
    line(at, "report run --json").json();
    assert_eq!(line(at, "show run different --json").code, Some(0));
}

#[test]
fn a_program_that_is_none_is_refused_before_anything_is_computed() {
    let dir = scratch();
    let wrong = DIFFERENT.replace("different = ", "diferent = ");
    std::fs::write(dir.path().join("x.rasp"), wrong).expect("a file");
    let said = "x.rasp: line 5, column 8: 'different' is not defined\n  |\n5 | return different\n  \
                |        ^^^^^^^^^\nhint: did you mean 'diferent'?\n";
    let ran = line(dir.path(), "breed x.rasp");
    assert_eq!((ran.code, ran.stderr), (Some(2), format!("error: {said}")));
    let plan = "name = \"p\"\n[[organism]]\nprogram = \"x.rasp\"\n";
    std::fs::write(dir.path().join("p.toml"), plan).expect("a file");
    let ran = line(dir.path(), "run p.toml");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn a_program_that_is_not_there_or_is_taken_for_a_plan_has_a_way_out() {
    let dir = scratch();
    std::fs::write(dir.path().join("mine.rasp"), "length: 2\n").expect("a file");
    for (ask, says) in [
        ("breed none.rasp", ["none.rasp: there is no such file", "flyroom show rasp"]),
        ("show none.rasp", ["none.rasp: there is no such file", "flyroom list"]),
        ("run mine.rasp", ["mine.rasp: a program is no plan", "flyroom breed mine.rasp"]),
        ("describe none --method eap --out x.json", ["none/specimen.json", "flyroom breed"]),
    ] {
        let ran = line(dir.path(), ask);
        assert_eq!(ran.code, Some(2), "{ask}: {}", ran.stdout);
        for what in says {
            assert!(ran.stderr.contains(what), "{ask}: {}", ran.stderr);
        }
    }
}
