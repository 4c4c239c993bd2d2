//! Programs of users: the page that teaches the language, run as it stands.

use crate::tool::{flyroom, scratch};
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
