//! Other people's programs as methods: what they get, what becomes of those that fail, and that they
//! harm nobody else. The programs are small shell scripts, so that a newcomer needs no Python.
#![cfg(unix)]

use flyroom_bench::assemble::Finished;
use flyroom_bench::board::{Row, Status};
use flyroom_bench::foreign::{INPUTS, LOG};
use flyroom_bench::run::{catalog, run};
use flyroom_bench::store::Event;
use flyroom_bench::{Plan, Store};
use flyroom_tensor::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Two organisms in a second, with one method of ours for each step.
const BASE: &str = r#"
name = "p"
[[organism]]
name = "superposition-5-2"
set = { steps = 20, batch = 16 }
seeds = 2
[[organism]]
name = "induction-compiled"
set = { letters = 3, seq = 3, n_heads = 1 }
[[method]]
step = "decompose"
name = "pca"
[[method]]
step = "describe"
name = "eap"
set = { pairs = 4 }
"#;

fn method(step: &str, name: &str, seconds: u64) -> String {
    format!(
        "[[method]]\nstep = \"{step}\"\nname = \"{name}\"\n\
         command = [\"sh\", \"{name}.sh\", \"{{in}}\", \"{{out}}\"]\nfiles = [\"{name}.sh\"]\n\
         timeout_seconds = {seconds}\n"
    )
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(&format!("{name}.sh")), text).unwrap();
    }

    fn run(&self, text: &str, out: &str) -> Finished {
        let file = self.path("plan.toml");
        let plan = Plan::parse(text, &file.display().to_string(), &catalog()).unwrap();
        run(&plan, &self.path(out), &Context::single(), 2, &()).unwrap()
    }

    fn store(&self, out: &str) -> Store {
        Store::view(&self.path(out)).unwrap()
    }
}

fn rows<'a>(finished: &'a Finished, method: &str) -> Vec<&'a Row> {
    finished.report.board.rows.iter().filter(|r| r.method == method).collect()
}

fn ours(finished: &Finished) -> Vec<Row> {
    let of = |r: &&Row| {
        ["pca", "eap", "truth", "wrong parts", "wrong program"].contains(&r.method.as_str())
    };
    finished.report.board.rows.iter().filter(of).cloned().collect()
}

fn failed(finished: &Finished, method: &str, why: &str) {
    let rows = rows(finished, method);
    assert!(!rows.is_empty(), "{method} has no row");
    for row in rows {
        let reason = row.reason.clone().unwrap_or_default();
        assert_eq!((row.status, row.rank, row.score), (Status::Failed, None, None), "{method}");
        assert!(reason.contains(why), "{method}: {reason}");
    }
}

/// A file of a finished cell of some method, from the run's folder.
fn file_of(root: &Path, method: &str, name: &str) -> String {
    let cells = fs::read_dir(root.join("cells")).unwrap().flatten().map(|e| e.path());
    let of_method = |folder: &PathBuf| {
        let cell = fs::read_to_string(folder.join("cell.json")).unwrap();
        cell.contains(&format!("\"entry\":\"{method}\""))
    };
    let folder = cells.filter(of_method).find(|f| f.join(name).exists()).expect("such a cell");
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn programs_that_fail_are_reported_and_harm_nothing_else() {
    let place = Place::new();
    let bad = [
        ("crashes", "echo first; echo 'no module' >&2; exit 3", "exit status 3: no module"),
        ("is-killed", "kill -9 $$", "signal 9"),
        ("hangs", "sleep 1000 & sleep 1000", "timed out after 1 s"),
        ("leaves-nothing", "true", "left nothing"),
        ("links", "ln -s /etc/passwd $2/cfg.json", "symbolic link, cfg.json"),
        (
            "fills-the-disk",
            "truncate -s 20G $2/sae_weights.safetensors",
            "wrote more than 1024 MiB",
        ),
        (
            "writes-rubbish",
            "echo rubbish > $2/cfg.json; echo '{\"a\": [' > $2/explanation.json",
            "cfg.json: expected value",
        ),
    ];
    let mut plan = BASE.to_owned();
    for (name, script, _) in bad {
        place.script(name, script);
        plan.push_str(&method("decompose", name, if name == "hangs" { 1 } else { 60 }));
    }
    for (name, script) in
        [("half", "printf '{\"schema\": 1, \"na' > $2/explanation.json"), ("no-program", "exit 1")]
    {
        place.script(name, script);
        plan.push_str(&method("describe", name, 60));
    }
    let without = place.run(BASE, "without");
    let with = place.run(&plan, "with");
    for (name, _, why) in bad {
        failed(&with, name, why);
    }
    failed(&with, "half", "explanation.json: at line 1");
    failed(&with, "no-program", "exit status 1");
    // No cell of the run failed, and every other row has the bytes that it has without them.
    assert_eq!(with.failures, vec![]);
    assert_eq!(ours(&with), ours(&without));
    assert!(ours(&with).len() >= 10);
    // What a program said is kept.
    assert_eq!(file_of(&place.path("with"), "crashes", LOG), "first\nno module\n");
}

/// A dictionary of two latents at the hidden layer of superposition-5-2, as a script that writes it.
fn identity(place: &Place, threshold: &str) -> String {
    let d = flyroom_decompose::find("neurons").unwrap();
    let data = flyroom_decompose::Data::new(
        "hook_hidden",
        flyroom_tensor::Tensor::from_fn(&[4, 2], |i| i as f32),
    );
    let dictionary = d.decompose(&data, &d.defaults(), 0, &Context::single()).unwrap();
    dictionary.save(&place.path("dictionary")).unwrap();
    format!("cp cfg.json sae_weights.safetensors $2/; echo {threshold}")
}

#[test]
fn a_program_stands_beside_ours_with_the_same_null_and_its_rows_say_what_they_depend_on() {
    let place = Place::new();
    let script = identity(&place, "once");
    place.script("mine", &script);
    for file in ["cfg.json", "sae_weights.safetensors"] {
        fs::copy(place.path("dictionary").join(file), place.path(file)).unwrap();
    }
    let plan = BASE.to_owned()
        + "[[method]]\nstep = \"decompose\"\nname = \"neurons\"\n\
           organisms = [\"superposition-5-2\"]\n"
        + &method("decompose", "mine", 60).replace(
            "files = [\"mine.sh\"]",
            "organisms = [\"superposition-5-2\"]\n\
             files = [\"mine.sh\", \"cfg.json\", \"sae_weights.safetensors\"]",
        );
    let first = place.run(&plan, "run");
    let (mine, neurons) = (rows(&first, "mine"), rows(&first, "neurons"));
    assert_eq!(mine.len(), neurons.len());
    for (a, b) in mine.iter().zip(&neurons) {
        assert_eq!((a.score, a.null, a.oracle, &a.metric), (b.score, b.null, b.oracle, &b.metric));
        assert!(a.machine_dependent && !b.machine_dependent);
    }
    // The run stands alone: what the plan read from beside it is kept.
    assert_eq!(fs::read_to_string(place.path("run").join(INPUTS).join("mine.sh")).unwrap(), script);

    // A second run finds everything; a changed script is another method result.
    let cells = place.store("run").keys().unwrap();
    place.run(&plan, "run");
    assert_eq!(place.store("run").keys().unwrap(), cells);
    place.script("mine", &identity(&place, "twice"));
    place.run(&plan, "run");
    let more = place.store("run").keys().unwrap();
    assert_eq!(more.len(), cells.len() + 4, "two seeds, each its dictionary and its scores");
    assert!(more.is_superset(&cells));
}

#[test]
fn a_program_gets_the_task_and_nothing_that_leads_to_the_truth() {
    let place = Place::new();
    place.script("looks", "cat $1/task.json; ls $1; pwd; env; find . ; exit 1");
    let plan = BASE.to_owned() + &method("describe", "looks", 60);
    place.run(&plan, "run");
    let log = file_of(&place.path("run"), "looks", LOG);
    for word in [
        "\"step\": \"describe\"",
        "\"seed\"",
        "weights.safetensors",
        "activations.npz",
        "task.json",
        "./looks.sh",
    ] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains("truth"), "{log}");
    assert!(!log.contains(&place.path("run").display().to_string()), "{log}");
}

#[test]
fn a_second_answer_of_other_content_is_stated_and_breaks_no_bits() {
    let place = Place::new();
    // Its answer depends on a file that no key can see.
    let state = place.path("state");
    place.script(
        "moody",
        &format!(
            "printf '{{\"reason\": \"%s\"}}' \"$(cat {})\" > $2/not-applicable.json",
            state.display()
        ),
    );
    let plan = BASE.to_owned() + &method("decompose", "moody", 60);
    fs::write(&state, "sunny").unwrap();
    place.run(&plan, "a");
    fs::write(&state, "cloudy").unwrap();
    place.run(&plan, "b");
    let text = fs::read_to_string(place.path("a").join("plan.toml")).unwrap();
    let store =
        Store::open(&place.path("a"), &Plan::parse_form(&text, "plan.toml").unwrap()).unwrap();
    let merged = store.take_in(&place.path("b")).unwrap();
    assert_eq!((merged.broken, merged.damaged), (vec![], vec![]));
    // Three specimens: each has the answer and the scores that quote its reason.
    assert_eq!(merged.second_answers, 6);
    let noted = store.ledger().unwrap().into_iter().filter(
        |e| matches!(&e.event, Event::Note { text } if text.contains("answered a second time")),
    );
    assert_eq!(noted.count(), 6);
}

#[test]
fn a_file_that_the_command_names_and_the_plan_does_not_list_is_an_error_before_anything_runs() {
    let place = Place::new();
    place.script("mine", "true");
    let text =
        BASE.to_owned() + &method("decompose", "mine", 60).replace("files = [\"mine.sh\"]\n", "");
    let file = place.path("plan.toml").display().to_string();
    let plan = Plan::parse(&text, &file, &catalog()).unwrap();
    let e = run(&plan, &place.path("run"), &Context::single(), 1, &()).unwrap_err().to_string();
    assert!(e.contains("files = [\"mine.sh\"]"), "{e}");
    let absent = BASE.to_owned() + &method("decompose", "absent", 60);
    let plan = Plan::parse(&absent, &file, &catalog()).unwrap();
    let e = run(&plan, &place.path("other"), &Context::single(), 1, &()).unwrap_err().to_string();
    assert!(e.contains("absent.sh"), "{e}");
}

#[test]
fn what_a_plan_says_of_programs_is_checked() {
    let wrong = |change: (&str, &str), word: &str| {
        let text = BASE.to_owned() + &method("decompose", "mine", 60).replace(change.0, change.1);
        let e = Plan::parse(&text, "p.toml", &catalog()).unwrap_err().to_string();
        assert!(e.contains(word), "{word}: {e}");
    };
    wrong(("{out}", "out"), "{out}");
    wrong(("name = \"mine\"", "name = \"topk\""), "taken");
    wrong(("\"mine.sh\"]\ntime", "\"../mine.sh\"]\ntime"), "below the folder of the plan");
    wrong(("timeout_seconds = 60", "timeout_seconds = 0"), "from 1 to");
    wrong(("timeout_seconds = 60", "timeout = 60"), "did you mean `timeout_seconds`?");
    wrong(("files", "file"), "did you mean `files`?");
}

#[test]
fn a_specimen_that_is_there_is_keyed_by_what_it_is_and_not_by_where_it_lies() {
    let place = Place::new();
    let plan = BASE.replace("seeds = 2", "seeds = 1");
    place.run(&plan, "bred");
    let store = place.store("bred");
    let keys = store.keys().unwrap();
    let is = |key: &&flyroom_bench::Key| {
        store.get(key).unwrap().unwrap().spec.entry == "superposition-5-2"
    };
    let cell = store.get(keys.iter().find(is).unwrap()).unwrap().unwrap();
    let mut boards = vec![];
    for folder in ["here/mine", "there/mine"] {
        let to = place.path(folder);
        let specimen = flyroom_organism::Specimen::read(&cell.path("")).unwrap();
        specimen.write(&to).unwrap();
        let truth = place.path("bred").join("truth").join(specimen.id()).join("truth.json");
        flyroom_organism::Truth::read(&truth).unwrap().write(&specimen.truth_path(&to)).unwrap();
        let text = format!(
            "name = \"p\"\n[[organism]]\nspecimen = \"{folder}\"\n[[method]]\nstep = \"decompose\"\nname = \"pca\"\n"
        );
        let finished = place.run(&text, &format!("run-{}", boards.len()));
        assert_eq!(rows(&finished, "pca")[0].organism, "mine");
        boards.push((
            finished.report.board,
            place.store(&format!("run-{}", boards.len())).keys().unwrap(),
        ));
    }
    assert_eq!(boards[0], boards[1]);
}
