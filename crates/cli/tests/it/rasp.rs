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

#[test]
fn the_page_of_the_language_shows_what_is_printed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rasp.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let dir = scratch();
    let (mut files, mut commands) = (0, 0);
    for block in page.split("\n```").skip(1).step_by(2) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        match head.split_once(' ').unwrap_or((head, "")) {
            ("rasp", name) => {
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
    assert!(files >= 8 && commands >= 9, "{files} files, {commands} commands");
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
