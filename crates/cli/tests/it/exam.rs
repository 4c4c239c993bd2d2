//! A blind specimen, and one submission about it.

use crate::tool::{line, listing, scratch};

#[test]
fn one_submission_is_scored_and_the_second_is_shown_the_first_ones_card() {
    let dir = scratch();
    let say = |text: &str| line(dir.path(), text);
    let exam = "exam superposition-5-2";
    let issued =
        say(&format!("{exam} --set steps=20 --set batch=16 --out blind --apart kept --json"))
            .json();
    // Neither the truth nor the seed lies with the specimen.
    let id = issued["id"].as_str().expect("an id").to_owned();
    assert!(listing(&dir.path().join("blind")).keys().all(|p| !p.ends_with("truth.json")));
    let spec = std::fs::read_to_string(dir.path().join("blind/specimen.json")).expect("a spec");
    assert!(spec.contains("\"seed\": 0"), "{spec}");
    assert_eq!(say("validate blind parts").code, Some(2));

    for (method, out) in [("pca", "parts"), ("neurons", "others")] {
        let ran = say(&format!("decompose blind --method {method} --out {out}"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let submit =
        |what: &str| say(&format!("{exam} --submit {what} --specimen blind --apart kept --json"));
    // What cannot be read takes no chance.
    assert_eq!(submit("nothing").code, Some(2));
    let first = submit("parts").json();
    assert!(first["found"]["mcc"].is_number(), "{first}");
    let second = submit("others");
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    let shown: serde_json::Value = serde_json::from_str(&second.stdout).expect("JSON");
    assert_eq!((&shown["refused"], &shown["first"]), (&true.into(), &first));
    assert!(dir.path().join("kept").join(id).join("submission.json").exists());
    // Of another organism there is no exam.
    assert_eq!(say("exam induction --submit parts --specimen blind --apart kept").code, Some(2));
}
