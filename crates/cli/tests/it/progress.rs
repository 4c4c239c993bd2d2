//! `flyroom progress`: trainings followed by what was located at their end, and the promise that they come
//! out again bit for bit.

use crate::tool::{line, scratch};

/// A network that is small and adds hardly anything.
const SMALL: &str = "progress modular-addition-mini --set modulus=13 --set d_model=16 --set d_mlp=24 \
                     --set batch=40 --set steps=60 --set cooldown=20 --every 20";

#[test]
fn a_training_is_followed_to_the_weights_of_its_specimen_and_leaves_curves_and_pictures() {
    let dir = scratch();
    let ran = line(dir.path(), &format!("{SMALL} --seeds 0..2 --out o --json")).json();
    let run = &ran["progress"]["runs"][1];
    assert_eq!(run["seed"], 1);
    let steps: Vec<_> =
        run["points"].as_array().expect("looks").iter().map(|p| &p["step"]).collect();
    assert_eq!(steps, [0, 20, 40, 60]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join("o").join(name)).expect(name);
    let spec: serde_json::Value =
        serde_json::from_str(&read("modular-addition-mini-1/specimen.json")).expect("JSON");
    assert_eq!(run["weights"], spec["weights"]);
    // The last look is at the specimen itself.
    for name in ["test_loss", "restricted_loss", "excluded_loss"] {
        assert_eq!(run["points"][3]["values"][name], spec["metrics"][name], "{name}");
    }
    assert_eq!(run["located"]["key_frequencies"], spec["metrics"]["key_frequencies"]);
    assert_eq!(read("progress.csv").lines().count(), 9);
    assert!(read("progress-0.svg").contains("excluded loss"));
    // What is there is not bred again as a specimen.
    let again = line(dir.path(), &format!("{SMALL} --seeds 0..2 --out o"));
    assert_eq!(again.stderr.matches("is there already").count(), 2, "{}", again.stderr);
    assert!(again.stdout.contains("excluded loss moves by"), "{}", again.stdout);
}

#[test]
fn a_specimen_that_does_not_come_out_again_is_an_error() {
    let dir = scratch();
    line(dir.path(), &format!("{SMALL} --seeds 0..2 --out o --json")).json();
    let at = |seed: usize, name: &str| {
        dir.path().join(format!("o/modular-addition-mini-{seed}")).join(name)
    };
    std::fs::copy(at(1, "model.safetensors"), at(0, "model.safetensors")).expect("copied");
    let spec = std::fs::read_to_string(at(1, "specimen.json")).expect("read");
    let spec = spec.replacen("\"seed\": 1,", "\"seed\": 0,", 1);
    std::fs::write(at(0, "specimen.json"), spec).expect("written");
    let ran = line(dir.path(), &format!("{SMALL} --seeds 0..1 --out o"));
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("bits broken"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_followed_says_why() {
    let dir = scratch();
    for (ask, why) in [
        ("progress superposition-5-2 --set steps=2", "flyroom show progress"),
        (&format!("{SMALL} --by 0"), "--by 0"),
        ("progress modular-addition-mini --every 0", "--every 0"),
        ("progress modular-addition-mini --set steps=0", "it was not trained"),
    ] {
        let ran = line(dir.path(), ask);
        assert_eq!(ran.code, Some(2), "{ask}: {}", ran.stdout);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: "), "{ask}: {}", ran.stderr);
    }
}
