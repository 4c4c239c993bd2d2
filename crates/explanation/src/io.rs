//! Explanations on disk: JSON with a schema version.
//!
//! Reading never trusts the file: it may be missing, cut short, of another version, or not an
//! explanation at all. Each is an error that names the file, the key path, and what to do.
//! Writing goes to a temporary file beside the target, which is then renamed, so that a reader
//! sees the old file or the new one and never a half.

use crate::Error;
use crate::body::{Body, Cosines, Readout};
use crate::explanation::{Explanation, SCHEMA};
use crate::part::{Alignment, Part};
use crate::rasp::{Program, Variable};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::path::Path;

impl Explanation {
    /// Reads and checks `explanation.json`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
        let e = Self::parse(path, &text)?;
        e.check().map_err(|e| bad(path, "explanation", e.to_string(), "correct that part"))?;
        Ok(e)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let json: Json = serde_json::from_str(text).map_err(|e| {
            let (why, hint) = if e.is_eof() {
                ("the file ends too early", "it was cut short: write it again")
            } else {
                ("this is not JSON", "correct it near that place")
            };
            let place = format!("line {}, column {}", e.line(), e.column());
            bad(path, &place, format!("{why} ({e})"), hint)
        })?;
        match json.get("schema").and_then(Json::as_u64) {
            Some(v) if v == u64::from(SCHEMA) => {}
            Some(v) => {
                let why = format!("version {v}, this program reads version {SCHEMA}");
                let hint = if v > u64::from(SCHEMA) { "update flyroom" } else { "write it again" };
                return Err(bad(path, "schema", why, hint));
            }
            None => {
                let why = "there is no schema version".to_string();
                return Err(bad(path, "schema", why, "is this an explanation.json?"));
            }
        }
        match Self::decode(&json) {
            Ok(e) => Ok(e),
            Err(whole) => {
                let (key, why) = locate(&json).unwrap_or(("the top".into(), whole));
                Err(bad(path, &key, why, "see the page of the format in docs/"))
            }
        }
    }

    fn decode(json: &Json) -> Result<Self, String> {
        serde_json::from_value(json.clone()).map_err(|e| e.to_string())
    }

    /// Writes it, replacing what is there in one step.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        self.check()?;
        let mut text =
            serde_json::to_string_pretty(self).map_err(|e| Error::Body(e.to_string()))?;
        text.push('\n');
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // The process id keeps two writers apart.
        let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let written = fs::File::create(&beside)
            .and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()))
            .and_then(|()| fs::rename(&beside, path));
        written.map_err(|e| {
            // What is left of the temporary file helps nobody.
            let _ = fs::remove_file(&beside);
            Error::file(path, e)
        })
    }
}

fn bad(path: &Path, key: &str, why: String, hint: &str) -> Error {
    Error::Format { path: path.into(), key: key.into(), why, hint: hint.into() }
}

/// The deepest key path whose value is not what belongs there.
fn locate(json: &Json) -> Option<(String, String)> {
    fn wrong<T: DeserializeOwned>(v: &Json) -> Option<String> {
        serde_json::from_value::<T>(v.clone()).err().map(|e| e.to_string())
    }
    fn each<'j>(v: &'j Json, key: &str) -> impl Iterator<Item = (String, &'j Json)> {
        let items = v.as_array().map(Vec::as_slice).unwrap_or_default();
        let key = key.to_string();
        items.iter().enumerate().map(move |(i, v)| (format!("{key}[{i}]"), v))
    }
    for (key, part) in each(&json["parts"], "parts") {
        for (key, a) in each(&part["alignments"], &format!("{key}.alignments")) {
            if let Some(why) = wrong::<Alignment>(a) {
                return Some((key, why));
            }
        }
        if let Some(why) = wrong::<Part>(part) {
            return Some((key, why));
        }
    }
    let body = &json["body"];
    let rasp = &body["rasp"];
    for (key, v) in each(&rasp["program"]["variables"], "body.rasp.program.variables") {
        if let Some(why) = wrong::<Variable>(v) {
            return Some((key, why));
        }
    }
    if rasp.is_object() {
        if let Some(why) = wrong::<Program>(&rasp["program"]) {
            return Some(("body.rasp.program".into(), why));
        }
        if let Some(why) = wrong::<Readout>(&rasp["readout"]) {
            return Some(("body.rasp.readout".into(), why));
        }
    }
    if let Some(c) = body.get("cosines")
        && let Some(why) = wrong::<Cosines>(c)
    {
        return Some(("body.cosines".into(), why));
    }
    wrong::<Body>(body).map(|why| ("body".into(), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::body::{Ablation, Term};
    use crate::part::Code;
    use crate::rasp::library;
    use flyroom_network::Selector;

    fn examples() -> Vec<Explanation> {
        let counts = Code::OneHot { values: (0..4).map(Value::Int).collect() };
        let h = std::f32::consts::FRAC_1_SQRT_2;
        let mut part = Part::new(
            "tokens",
            Selector::site("blocks.0.hook_resid_mid").in_basis(vec![vec![h, h], vec![h, -h]]),
            Code::OneHot { values: vec![Value::token("a"), Value::token("b")] },
        );
        part.alignments[0].readers = Some(vec!["out".into()]);
        let plane = Code::Plane {
            modulus: 113,
            frequency: 15,
            map: [[0.1, 0.0], [0.0, 0.3]],
            offset: [0.0; 2],
        };
        let cosines = Cosines {
            modulus: 113,
            operands: [0, 1],
            terms: vec![Term { frequency: 15, amplitude: 11.3, phase: 0.0 }],
        };
        vec![
            Explanation::new(
                "induction",
                vec![part],
                Body::Rasp {
                    program: library::induction(true),
                    readout: Readout { code: counts, columns: Some(vec![3, 2, 1, 0]), scale: 7.5 },
                },
            ),
            Explanation::new(
                "clock",
                vec![Part::new(
                    "cos 15, sin 15 of a",
                    "hook_embed[pos=0,unit=4..6]".parse().unwrap(),
                    plane,
                )],
                Body::Cosines(cosines),
            ),
            Explanation::new(
                "circuit",
                vec![],
                Body::Circuit {
                    edges: vec!["a0.h1->a1.h2<k>".parse().unwrap(), "m0->logits".parse().unwrap()],
                    ablation: Ablation::Resample,
                },
            ),
            Explanation::new("model", vec![], Body::Whole),
            Explanation::new("parts", vec![], Body::Snapshot),
        ]
    }

    #[test]
    fn what_is_written_is_read_with_the_same_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("explanation.json");
        let mut hashes = std::collections::BTreeSet::new();
        for e in examples() {
            e.write(&path).unwrap();
            let back = Explanation::read(&path).unwrap();
            assert_eq!(back, e);
            assert_eq!(back.hash().unwrap(), e.hash().unwrap());
            hashes.insert(e.hash().unwrap());
        }
        assert_eq!(hashes.len(), 5);
        // No temporary file is left.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_hash_does_not_see_the_order_of_keys() {
        let e = &examples()[1];
        let text = e.canonical_json().unwrap();
        assert!(text.starts_with("{\"body\":"), "{text}");
        let back: Explanation = serde_json::from_str(&text).unwrap();
        assert_eq!(back.hash().unwrap(), e.hash().unwrap());
    }

    #[test]
    fn no_prefix_of_a_file_is_read_and_none_panics() {
        let path = Path::new("x/explanation.json");
        for e in examples() {
            let text = serde_json::to_string(&e).unwrap();
            for n in (0..text.len()).filter(|&n| text.is_char_boundary(n)) {
                let e = Explanation::parse(path, &text[..n]).unwrap_err().to_string();
                assert!(e.contains("x/explanation.json: at line 1"), "{e}");
                assert!(e.contains("hint: it was cut short"), "{e}");
            }
        }
    }

    #[test]
    fn an_unknown_version_is_refused_before_anything_else_is_read() {
        let e = Explanation::parse(Path::new("e.json"), r#"{"schema": 9, "soul": 1}"#);
        assert_eq!(
            e.unwrap_err().to_string(),
            "e.json: at schema: version 9, this program reads version 1\nhint: update flyroom"
        );
        assert!(Explanation::parse(Path::new("e.json"), "[1]").is_err());
    }

    #[test]
    fn errors_name_the_key_path() {
        let path = Path::new("e.json");
        let cases = [
            (0, "/body/rasp/program/variables/1/expr", "body.rasp.program.variables[1]"),
            (0, "/body/rasp/readout/code", "body.rasp.readout"),
            (0, "/parts/0/alignments/0/code", "parts[0].alignments[0]"),
            (0, "/parts/0/name", "parts[0]"),
            (1, "/body/cosines/terms/0/amplitude", "body.cosines"),
            (2, "/body/circuit/edges/1", "body"),
        ];
        for (i, pointer, key) in cases {
            let mut json = serde_json::to_value(&examples()[i]).unwrap();
            *json.pointer_mut(pointer).unwrap() = Json::from(vec![true]);
            let e = Explanation::parse(path, &json.to_string()).unwrap_err().to_string();
            assert!(e.starts_with(&format!("e.json: at {key}: ")), "{key}: {e}");
        }
    }

    #[test]
    fn an_explanation_that_contradicts_itself_is_neither_written_nor_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.json");
        let mut e = examples().remove(0);
        e.parts[0].name = "nobody".into();
        assert!(e.write(&path).is_err());
        assert!(!path.exists());
        fs::write(&path, serde_json::to_string(&e).unwrap()).unwrap();
        let why = Explanation::read(&path).unwrap_err().to_string();
        assert!(why.contains("part 'nobody': the program has no such variable"), "{why}");
        assert!(Explanation::read(&dir.path().join("none.json")).is_err());
    }
}
