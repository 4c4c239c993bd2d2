//! Damaged files and wrong requests: every one is answered with exit code 2, the file or the name
//! that is wrong, and no panic, and leaves the folder as it was.

use crate::tool::{copy, line, listing, scratch};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::OnceLock;

const S: &str = "superposition-5-2-0";
const C: &str = "induction-compiled-0";

const PLAN: &str = r#"name = "small"

[[organism]]
name = "superposition-5-2"
set = { steps = 20, batch = 16 }

[[method]]
step = "decompose"
name = "random"
"#;

/// One of everything that flyroom writes, made once.
fn whole() -> &'static Path {
    static WHOLE: OnceLock<tempfile::TempDir> = OnceLock::new();
    WHOLE
        .get_or_init(|| {
            let dir = scratch();
            std::fs::write(dir.path().join("plan.toml"), PLAN).expect("a plan");
            for text in [
                "breed superposition-5-2 --set steps=20 --set batch=16 --out .",
                "breed induction-compiled --set letters=3 --set seq=3 --set n_heads=1 --out .",
                &format!("decompose {S} --method pca --out dictionary"),
                &format!("describe {C} --method eap --set pairs=4 --out explanation.json"),
                &format!("validate {C} explanation.json"),
                "run plan.toml --out run",
            ] {
                let ran = line(dir.path(), text);
                assert_eq!(ran.code, Some(0), "flyroom {text}: {}", ran.stderr);
            }
            dir
        })
        .path()
}

/// The truth of the superposition specimen, below the folder.
fn truth() -> String {
    let id =
        line(whole(), &format!("show {S} --json")).json()["id"].as_str().expect("id").to_owned();
    format!("truth/{id}/truth.json")
}

/// A file of a finished cell of the run that holds results.
fn results() -> String {
    listing(&whole().join("run"))
        .keys()
        .map(|p| p.display().to_string())
        .find(|p| p.ends_with("results.json"))
        .map(|p| format!("run/{p}"))
        .expect("a cell with results")
}

type Change = Box<dyn Fn(&Path)>;

/// What is done to the folder, what is asked then, and what the answer must name.
struct Case {
    name: String,
    change: Change,
    ask: String,
    says: Vec<String>,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, name: &str, ask: &str, says: &[&str], change: impl Fn(&Path) + 'static) {
        self.0.push(Case {
            name: name.into(),
            change: Box::new(change),
            ask: ask.into(),
            says: says.iter().map(|s| (*s).to_string()).collect(),
        });
    }

    /// The bytes of a file are changed.
    fn bytes(
        &mut self,
        name: &str,
        file: &str,
        ask: &str,
        change: impl Fn(Vec<u8>) -> Vec<u8> + 'static,
    ) {
        let short = file.rsplit('/').next().unwrap_or(file).to_string();
        let file = file.to_string();
        self.add(&format!("{file}: {name}"), ask, &[&short], move |dir| {
            let path = dir.join(&file);
            let old = std::fs::read(&path).expect("the file is there");
            let new = change(old.clone());
            assert_ne!(old, new, "{file}: nothing was changed");
            std::fs::write(path, new).expect("written");
        });
    }

    /// A JSON file is changed.
    fn json(&mut self, name: &str, file: &str, ask: &str, change: impl Fn(&mut Value) + 'static) {
        self.bytes(name, file, ask, move |old| {
            let mut v: Value = serde_json::from_slice(&old).expect("JSON");
            change(&mut v);
            serde_json::to_vec(&v).expect("JSON")
        });
    }

    fn keys(&mut self, file: &str, ask: &str, keys: &[&'static str]) {
        for &key in keys {
            self.json(&format!("without {key}"), file, ask, move |v| {
                v.as_object_mut().expect("an object").remove(key);
            });
            self.json(&format!("{key} of another type"), file, ask, move |v| {
                v[key] = json!([[{ "no": [] }]]);
            });
        }
    }

    fn all_hold(&self) {
        assert!(!self.0.is_empty());
        let mut wrong = vec![];
        for case in &self.0 {
            let dir = scratch();
            copy(whole(), dir.path());
            (case.change)(dir.path());
            let before = listing(dir.path());
            let ran = line(dir.path(), &case.ask);
            let mut bad = |why: String| {
                wrong.push(format!("{}\n  flyroom {}\n  {why}", case.name, case.ask));
            };
            if ran.code != Some(2) {
                bad(format!("exit code {:?}; stderr: {}", ran.code, ran.stderr.trim()));
            }
            if ran.stderr.contains("panicked") || ran.stderr.contains("RUST_BACKTRACE") {
                bad(format!("a panic: {}", ran.stderr.trim()));
            }
            for s in case.says.iter().filter(|s| !ran.stderr.contains(s.as_str())) {
                bad(format!("does not say '{s}': {}", ran.stderr.trim()));
            }
            let after = listing(dir.path());
            if ran.code == Some(2) && before != after {
                let changed: Vec<String> = before
                    .keys()
                    .chain(after.keys())
                    .filter(|k| before.get(*k) != after.get(*k) && !a_run_keeps(k))
                    .map(|k| k.display().to_string())
                    .collect();
                if !changed.is_empty() {
                    bad(format!("the folder changed: {}", changed.join(", ")));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), self.0.len(), wrong.join("\n"));
    }
}

/// What a run that failed in a cell leaves on purpose: the ledger, which says so, and the board and
/// the page, with its tables, of all that did not fail; and the index, which remembers what it verified.
fn a_run_keeps(path: &Path) -> bool {
    let name = path.display().to_string();
    let written =
        ["run/board.", "run/specimens.json", "run/report.", "run/tables/", "run/index.json"];
    path.starts_with("run/ledger")
        || written.iter().any(|w| name.starts_with(w)) && !name.contains("tmp")
}

fn part(share: f64) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |mut b| {
        let end = b.trim_ascii_end().len();
        b.truncate(((end as f64 * share) as usize).min(end - 1));
        b
    }
}

fn files() -> Vec<(String, String)> {
    let dictionary = format!("validate {S} dictionary --json");
    vec![
        (format!("{S}/specimen.json"), format!("show {S} --json")),
        (format!("{S}/model.safetensors"), format!("show {S} --json")),
        (truth(), dictionary.clone()),
        ("explanation.json".into(), format!("validate {C} explanation.json")),
        ("dictionary/cfg.json".into(), dictionary.clone()),
        ("dictionary/sae_weights.safetensors".into(), dictionary),
        ("card.json".into(), "show card.json".into()),
        ("run/board.json".into(), "show run".into()),
        (results(), "run plan.toml --out run".into()),
    ]
}

#[test]
fn what_is_cut_short_is_named() {
    let mut cases = Cases::default();
    for (file, ask) in files() {
        for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
            cases.bytes(&format!("{share} of it"), &file, &ask, part(share));
        }
    }
    let curve = format!("{S}/curve.jsonl");
    cases.bytes("half a line", &curve, &format!("show {S}"), part(0.9));
    cases.all_hold();
}

#[test]
fn what_is_not_the_file_at_all_is_named() {
    let mut cases = Cases::default();
    for (file, ask) in files() {
        cases.bytes("noise", &file, &ask, |b| {
            (0..b.len().max(64)).map(|i| (i * 7919 % 251) as u8).collect()
        });
        cases.bytes("another JSON", &file, &ask, |_| b"{\"exams\":{}}".to_vec());
        let short = file.rsplit('/').next().unwrap_or("").to_string();
        let name = file.clone();
        cases.add(&format!("{file}: a folder"), &ask, &[&short], move |dir| {
            std::fs::remove_file(dir.join(&name)).expect("removed");
            std::fs::create_dir(dir.join(&name)).expect("a folder");
        });
        // The board is written again by a run and looked for by show.
        if file != "run/board.json" {
            let name = file.clone();
            cases.add(&format!("{file}: missing"), &ask, &[], move |dir| {
                std::fs::remove_file(dir.join(&name)).expect("removed");
            });
        }
    }
    cases.all_hold();
}

/// Header length and header of a safetensors file.
fn split(b: &[u8]) -> (usize, String) {
    let n = u64::from_le_bytes(b[..8].try_into().expect("8 bytes")) as usize;
    (n, String::from_utf8(b[8..8 + n].to_vec()).expect("a header"))
}

fn with_header(b: &[u8], change: &dyn Fn(String) -> String) -> Vec<u8> {
    let (n, header) = split(b);
    let mut header = change(header);
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(&b[8 + n..]);
    out
}

fn with_first_weight(mut b: Vec<u8>, x: f32) -> Vec<u8> {
    let at = 8 + split(&b).0;
    b[at..at + 4].copy_from_slice(&x.to_le_bytes());
    b
}

#[test]
fn damaged_weights_are_named() {
    let mut cases = Cases::default();
    for (file, ask) in files().into_iter().filter(|(f, _)| f.ends_with(".safetensors")) {
        for (name, n) in [
            ("header of length 0", 0),
            ("header of length 1", 1),
            ("header longer than the file", 1 << 20),
            ("header of 2^63 bytes", 1 << 63),
            ("header of 2^64 - 1 bytes", u64::MAX),
        ] {
            cases.bytes(name, &file, &ask, move |mut b| {
                b[..8].copy_from_slice(&n.to_le_bytes());
                b
            });
        }
        cases.bytes("bytes behind the last tensor", &file, &ask, |mut b| {
            b.extend([0; 12]);
            b
        });
        for (name, from, to) in [
            ("a dtype that does not exist", "\"F32\"", "\"F99\""),
            ("integers", "\"F32\"", "\"I32\""),
            ("a negative shape", "\"shape\":[", "\"shape\":[-"),
            ("a huge shape", "\"shape\":[", "\"shape\":[4294967296,4294967296,"),
            ("a shape with one more axis", "\"shape\":[", "\"shape\":[1,"),
            ("no offsets", "data_offsets", "data_offsetz"),
            ("a tensor of another name", "W", "V"),
        ] {
            cases.bytes(name, &file, &ask, move |b| with_header(&b, &|h| h.replacen(from, to, 1)));
        }
        for (name, x) in [("NaN", f32::NAN), ("infinity", f32::INFINITY)] {
            cases.bytes(name, &file, &ask, move |b| with_first_weight(b, x));
        }
    }
    let (file, ask) = (format!("{S}/model.safetensors"), format!("show {S}"));
    for at in [0, 3, 17] {
        cases.bytes(&format!("a flipped bit in weight byte {at}"), &file, &ask, move |mut b| {
            let place = 8 + split(&b).0 + at;
            b[place] ^= 1;
            b
        });
    }
    cases.all_hold();
}

#[test]
fn wrong_and_missing_keys_are_named() {
    let mut cases = Cases::default();
    let (file, ask) = (format!("{S}/specimen.json"), format!("show {S}"));
    cases.keys(
        &file,
        &ask,
        &[
            "schema",
            "organism",
            "version",
            "parameters",
            "seed",
            "bits_epoch",
            "architecture",
            "metrics",
            "weights",
        ],
    );
    cases.json("a later schema", &file, &ask, |v| v["schema"] = json!(99));
    cases.json("a negative seed", &file, &ask, |v| v["seed"] = json!(-1));
    cases.json("another hash", &file, &ask, |v| v["weights"] = json!("00"));
    let again = format!("decompose {S} --method pca --out dictionary-2");
    cases.json("an organism that is not there", &file, &again, |v| {
        v["organism"] = json!("superposition-6-2");
    });
    cases.json("a parameter that is not there", &file, &again, |v| {
        v["parameters"]["more"] = json!(1);
    });
    let file = truth();
    let ask = format!("validate {S} dictionary");
    cases.keys(&file, &ask, &["schema", "source", "standing", "features", "variables"]);
    cases.json("a later schema", &file, &ask, |v| v["schema"] = json!(99));
    cases.json("a feature of another width", &file, &ask, |v| {
        v["features"][0]["direction"] = json!([1.0, 0.0, 0.0]);
    });
    let ask = format!("validate {C} explanation.json");
    cases.keys("explanation.json", &ask, &["schema", "name", "parts", "body"]);
    cases.json("a later schema", "explanation.json", &ask, |v| v["schema"] = json!(99));
    cases.json("an id of two-byte letters", "explanation.json", &ask, |v| {
        v["specimen"] = json!("aéééééééééééé");
        v["schema"] = json!(99);
    });
    let ask = format!("validate {S} dictionary");
    for (key, value) in [
        ("architecture", json!("transcoder")),
        ("architecture", json!(3)),
        ("d_in", json!(3)),
        ("d_sae", json!(7)),
        ("apply_b_dec_to_input", json!("yes")),
        ("normalize_activations", json!("covariance_whitening")),
    ] {
        cases.json(&format!("{key} = {value}"), "dictionary/cfg.json", &ask, move |v| {
            v[key] = value.clone();
        });
    }
    cases.keys("card.json", "show card.json", &["label", "verdict"]);
    cases.keys("run/board.json", "show run", &["rows"]);
    cases.all_hold();
}

#[test]
fn a_specimen_of_the_wrong_kind_is_refused() {
    let mut cases = Cases::default();
    let nothing = |_: &Path| {};
    cases.add(
        "a vector network has no edges",
        &format!("describe {S} --method eap --out e.json"),
        &["eap"],
        nothing,
    );
    cases.add(
        "no cyclic task",
        &format!("describe {C} --method fourier --out e.json"),
        &["fourier"],
        nothing,
    );
    cases.add(
        "a site that is not there",
        &format!("decompose {S} --method pca --site blocks.7.hook_resid_pre --out d"),
        &["blocks.7.hook_resid_pre"],
        nothing,
    );
    cases.add(
        "a site that cannot be read",
        &format!("decompose {S} --method pca --site [[ --out d"),
        &["[["],
        nothing,
    );
    cases.add(
        "an explanation of another network",
        &format!("validate {S} explanation.json"),
        &["explanation.json"],
        nothing,
    );
    cases.add(
        "a dictionary of another network",
        &format!("validate {C} dictionary"),
        &["dictionary"],
        nothing,
    );
    cases.add(
        "a board as an explanation",
        &format!("validate {C} run/board.json"),
        &["board.json"],
        nothing,
    );
    let picture =
        |dir: &Path| std::fs::write(dir.join("x.png"), b"\x89PNG\r\n\x1a\n").expect("x.png");
    for ask in [format!("validate {C} x.png"), "show x.png".into()] {
        cases.add("a picture", &ask, &["x.png", "a picture (PNG)"], picture);
    }
    let notes = |dir: &Path| std::fs::write(dir.join("notes"), "all is well").expect("notes");
    cases.add("notes on trial", &format!("validate {C} notes"), &["text that is no JSON"], notes);
    cases.add(
        "a network on trial",
        &format!("validate {C} {C}/model.safetensors"),
        &["model.safetensors", "no tensor 'W_enc'"],
        nothing,
    );
    cases.add("a specimen on trial", &format!("validate {C} {S}"), &["a folder with"], nothing);
    cases.add(
        "the weights of a dictionary alone",
        &format!("validate {S} dictionary/sae_weights.safetensors"),
        &["sae_weights.safetensors", "square matrices"],
        nothing,
    );
    cases.add(
        "an explanation as a plan",
        "run explanation.json --out r2",
        &["explanation.json"],
        nothing,
    );
    cases.add("a plan of another run", "run other.toml --out run", &["another plan"], |dir| {
        std::fs::write(dir.join("other.toml"), PLAN.replace("20", "21")).expect("a plan");
    });
    cases.add(
        "other parameters in the same place",
        "breed superposition-5-2 --set steps=21 --out .",
        &[S],
        nothing,
    );
    for kind in ["tracr", "modadd113", "induction26", "clock-pizza", "transformer-lens"] {
        cases.add(
            &format!("a dictionary imported as {kind}"),
            &format!("import {kind} dictionary/sae_weights.safetensors --out i"),
            &[if kind == "transformer-lens" { "--organism" } else { "sae_weights" }],
            nothing,
        );
    }
    for method in ["random", "topk", "pca"] {
        cases.add(
            "a parameter that cannot be",
            &format!("decompose {S} --method {method} --set n=-1 --set k=-1 --out d"),
            &[method],
            nothing,
        );
    }
    for (set, word) in [
        ("steps=-1", "steps"),
        ("steps=1.5", "steps"),
        ("batch=0", "batch"),
        ("lr=nan", "lr"),
        ("lr=-1", "lr"),
        ("p_active=2", "p_active"),
        ("d_hidden=0", "d_hidden"),
        ("d_hidden=9000000000000000000", "d_hidden"),
        ("act=tanh", "tanh"),
        ("=3", "''"),
    ] {
        cases.add(set, &format!("breed superposition-5-2 --set {set} --out b"), &[word], nothing);
    }
    cases.all_hold();
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let mut cases = Cases::default();
    let blocked = |dir: &Path| std::fs::write(dir.join("blocked"), "a file").expect("a file");
    for ask in [
        "breed superposition-5-2 --set steps=1 --set batch=8 --out blocked".to_string(),
        "breed superposition-5-2 --set steps=1 --set batch=8 --out blocked/below".to_string(),
        format!("decompose {S} --method pca --out blocked"),
        format!("decompose {S} --method pca --out blocked/below"),
        format!("describe {C} --method eap --set pairs=2 --out blocked/e.json"),
        "run plan.toml --out blocked".to_string(),
        "run plan.toml --out blocked/below".to_string(),
    ] {
        cases.add("a file where a folder should be", &ask, &["blocked"], blocked);
    }
    let ask = format!("describe {C} --method eap --set pairs=2 --out dictionary");
    cases.add("a folder where a file should be", &ask, &["dictionary"], |_| {});
    let ask = format!("describe {C} --method eap --set pairs=2 --out no/where/e.json");
    cases.add("a folder that is not there", &ask, &["no/where"], |_| {});
    cases.all_hold();
}

#[test]
fn plans_with_mistakes_are_explained() {
    let mut cases = Cases::default();
    let ask = "run plan.toml --out r2";
    for (name, from, to, says) in [
        ("no TOML", "[[organism]]", "[[organism", &["plan.toml:3", "not TOML"][..]),
        ("a text that does not end", "\"small\"", "\"small", &["plan.toml:1", "not TOML"]),
        (
            "an organism",
            "superposition-5-2",
            "superpositon-5-2",
            &["plan.toml:4", "did you mean `superposition-5-2`"],
        ),
        ("a method", "\"random\"", "\"randm\"", &["plan.toml:9", "did you mean `random`"]),
        ("a step", "\"decompose\"", "\"decompos\"", &["plan.toml:8", "decompose"]),
        (
            "a method of the other step",
            "\"decompose\"",
            "\"describe\"",
            &["plan.toml:9", "belongs to step"],
        ),
        ("a key", "step = ", "stpe = ", &["plan.toml:8", "did you mean `step`"]),
        ("a table", "[[method]]", "[[metod]]", &["plan.toml:7", "did you mean `method`"]),
        ("a parameter", "steps = 20", "setps = 20", &["plan.toml:5", "did you mean `steps`"]),
        ("a type", "steps = 20", "steps = \"20\"", &["plan.toml:5", "`steps`"]),
        ("a number that is none", "steps = 20", "lr = nan", &["plan.toml:5", "`lr`"]),
        ("no seeds", "set =", "seeds = 0\nset =", &["plan.toml:5", "`seeds`"]),
        (
            "too many seeds",
            "set =",
            "seeds = 99999999999999999999\nset =",
            &["plan.toml:5", "`seeds`"],
        ),
        ("a table as a list", "[[organism]]", "[organism]", &["plan.toml", "[[organism]]"]),
        ("no name", "name = \"random\"", "", &["plan.toml", "`name`"]),
        (
            "twice",
            "name = \"random\"",
            "name = \"random\"\n[[method]]\nstep = \"decompose\"\nname = \"random\"",
            &["stands twice"],
        ),
    ] {
        cases.add(name, ask, says, move |dir| {
            assert!(PLAN.contains(from), "{from}");
            std::fs::write(dir.join("plan.toml"), PLAN.replacen(from, to, 1)).expect("a plan");
        });
    }
    cases.add("an empty plan", ask, &["plan.toml"], |dir| {
        std::fs::write(dir.join("plan.toml"), "").expect("a plan");
    });
    cases.add("a plan that is no text", ask, &["plan.toml"], |dir| {
        std::fs::write(dir.join("plan.toml"), [0xff, 0xfe, 0x00]).expect("a plan");
    });
    cases.add("a folder as a plan", ask, &["plan.toml"], |dir| {
        std::fs::remove_file(dir.join("plan.toml")).expect("removed");
        std::fs::create_dir(dir.join("plan.toml")).expect("a folder");
    });
    cases.all_hold();
}

/// Hashes are shortened for people by characters, not by bytes.
#[test]
fn a_hash_that_is_no_hexadecimal_is_no_panic() {
    let mut cases = Cases::default();
    let file = format!("{S}/specimen.json");
    cases.json("a hash of two-byte letters", &file, &format!("show {S}"), |v| {
        v["weights"] = json!("aéééééééééééé");
    });
    cases.all_hold();
}

/// Cells of a run, so that a flipped bit in any of their files is found.
#[test]
fn a_flipped_bit_in_any_file_of_a_cell_is_found() {
    let mut cases = Cases::default();
    for (name, bytes) in listing(&whole().join("run/cells")) {
        let Some(bytes) = bytes.filter(|b| !b.is_empty()) else { continue };
        let file = format!("run/cells/{}", name.display());
        let at = bytes.len() / 2;
        cases.bytes("a flipped bit", &file, "run plan.toml --out run", move |mut b| {
            b[at] ^= 1;
            b
        });
    }
    assert!(cases.0.len() >= 8, "only {} files in cells", cases.0.len());
    cases.all_hold();
}

/// What the tests above would not notice if `flyroom` refused everything.
#[test]
fn the_same_requests_on_whole_files_are_carried_out() {
    let dir = scratch();
    copy(whole(), dir.path());
    for (_, ask) in files() {
        let ran = line(dir.path(), &ask);
        assert_eq!(ran.code, Some(0), "flyroom {ask}: {}", ran.stderr);
    }
}
