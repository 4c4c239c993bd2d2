//! Sets of prompts for a language model: indirect objects from templates, or a user's own lines.
//!
//! *Indirect objects* (Wang et al. 2022, "Interpretability in the wild"): "After Mary and John went to
//! the store, John gave a drink to" wants " Mary". Templates, names, places and objects come from a
//! folder (`templates.json`, `names.json`, `places.json`, `objects.json`). Half of the prompts
//! name the answer first (ABBA), half second (BABA). The corrupted partner exchanges the second
//! mention: Mary gives, so that the answer is " John"; everything else stays, and the lengths too,
//! because only names of one token are used.

use crate::Error;
use crate::language_model::Prompt;
use flyroom_tensor::Stream;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// Draws for each prompt that is wanted before a set counts as impossible.
const DRAWS: usize = 64;

/// Text to token ids.
pub(crate) type Encode<'e> = dyn Fn(&str) -> Result<Vec<u32>, Error> + 'e;
/// The model's own next token behind each row of tokens.
pub(crate) type Next<'n> = dyn Fn(&[Vec<u32>]) -> Result<Vec<u32>, Error> + 'n;

/// Words and templates of one folder.
struct Words {
    templates: Vec<String>,
    names: Vec<String>,
    places: Vec<String>,
    objects: Vec<String>,
}

fn list(dir: &Path, file: &str) -> Result<Vec<String>, Error> {
    let path = dir.join(file);
    let bad = |why: String| Error::Format { path: path.clone(), why };
    let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
    let out: Vec<String> = parse(&text).map_err(|e| bad(format!("not a list of texts ({e})")))?;
    if out.is_empty() { Err(bad("an empty list".into())) } else { Ok(out) }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// The token of a word behind a space, if it is one token.
fn single(encode: &Encode, word: &str) -> Result<Option<u32>, Error> {
    // What stands before decides nothing but whether a start token is put there.
    let (with, without) = (encode(&format!("to {word}"))?, encode("to")?);
    Ok(match with.strip_prefix(without.as_slice()) {
        Some(&[token]) => Some(token),
        _ => None,
    })
}

/// `count` prompts with their partners, ABBA first, all of the least length of which so many are found.
pub(crate) fn indirect_objects(
    dir: &Path,
    count: usize,
    encode: &Encode,
) -> Result<Vec<Prompt>, Error> {
    let bad = |why: String| Error::Format { path: dir.into(), why };
    let words = Words {
        // The objects of the folder are said with "a".
        templates: list(dir, "templates.json")?
            .into_iter()
            .filter(|t| !t.contains(" an {object}"))
            .map(|t| t.trim_end().to_string())
            .collect(),
        names: list(dir, "names.json")?,
        places: list(dir, "places.json")?,
        objects: list(dir, "objects.json")?,
    };
    let named = |t: &&String| ["{name_A}", "{name_B}", "{name_C}"].iter().all(|n| t.contains(n));
    if let Some(t) = words.templates.iter().find(|t| !named(t)) {
        return Err(bad(format!("template '{t}' lacks one of {{name_A}}, {{name_B}}, {{name_C}}")));
    }
    if words.templates.is_empty() {
        return Err(bad("no template has \"a {object}\"".into()));
    }
    let mut names = vec![];
    for name in &words.names {
        names.extend(single(encode, name)?.map(|token| (name.as_str(), token)));
    }
    if names.len() < 2 {
        return Err(bad("fewer than two names are single tokens of this vocabulary".into()));
    }
    let mut by_length: BTreeMap<usize, (Vec<Prompt>, Vec<Prompt>)> = BTreeMap::new();
    let half = count.div_ceil(2);
    let stream = Stream::new(0, "prompts.indirect-objects");
    for i in 0..(count * DRAWS) as u64 {
        let mut draw = stream.block(i);
        let mut pick = |n: usize| draw.below(n as u64) as usize;
        let template = &words.templates[pick(words.templates.len())];
        let (place, object) =
            (&words.places[pick(words.places.len())], &words.objects[pick(words.objects.len())]);
        let a = pick(names.len());
        let b = (a + 1 + pick(names.len() - 1)) % names.len();
        let ((io, io_token), (s, s_token)) = (names[a], names[b]);
        // Even draws are ABBA, odd ones BABA.
        let (first, second) = if i % 2 == 0 { (io, s) } else { (s, io) };
        let text = |giver: &str| {
            template
                .replace("{name_A}", first)
                .replace("{name_B}", second)
                .replace("{name_C}", giver)
                .replace("{place}", place)
                .replace("{object}", object)
        };
        let (clean, corrupted) = (encode(&text(s))?, encode(&text(io))?);
        if clean.len() != corrupted.len() {
            continue;
        }
        let (abba, baba) = by_length.entry(clean.len()).or_default();
        let (same, most) = if i % 2 == 0 { (abba, half) } else { (baba, count - half) };
        let prompt = Prompt { clean, corrupted, answer: io_token, wrong: s_token };
        if same.len() < most && !same.contains(&prompt) {
            same.push(prompt);
        }
    }
    let mut sets = by_length.into_values().map(|(abba, baba)| [abba, baba].concat());
    sets.find(|p| p.len() == count).ok_or_else(|| {
        bad(format!("no {count} prompts of one length; hint: --count with a smaller number"))
    })
}

/// A user's prompts; each is the corrupted partner of the one before it, the first of the last.
/// `next` gives the model's own next token, which is the answer.
pub(crate) fn own(texts: &[String], encode: &Encode, next: &Next) -> Result<Vec<Prompt>, Error> {
    let bad = |why: String| Error::Parameters { organism: "language-model".into(), why };
    let rows = texts.iter().map(|t| encode(t)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = rows.first() else { return Ok(vec![]) };
    if let Some(i) = rows.iter().position(|r| r.len() != first.len()) {
        return Err(bad(format!(
            "'{}' has {} tokens, '{}' has {}; hint: prompts of one set have one length",
            texts[i],
            rows[i].len(),
            texts[0],
            first.len()
        )));
    }
    let answers = next(&rows)?;
    let n = rows.len();
    Ok((0..n)
        .map(|i| {
            let partner = (i + 1) % n;
            Prompt {
                clean: rows[i].clone(),
                corrupted: rows[partner].clone(),
                answer: answers[i],
                wrong: answers[partner],
            }
        })
        .collect())
}
