//! `flyroom exam`: a specimen that nobody has seen, and one submission about it.
//!
//! The specimen is bred from a seed that is drawn and not told, because whoever knows the seed can
//! breed the truth. What the examiner keeps lies apart, under `exams/<id>/` beside the specimen's
//! folder unless `--apart` says where: the truth, the seed, the submission and its card. A submission
//! is scored once; the next one is shown the first one's card.

use super::validate::{self, Claim};
use crate::args::Args;
use crate::{names, output};
use anyhow::{Context as _, Result, bail};
use flyroom_decompose::Declared;
use flyroom_network::write_whole;
use flyroom_organism::train::Nursery;
use flyroom_organism::{Specimen, Subject, Truth};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the examiner keeps of a specimen: `exam.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Issued {
    schema: u32,
    organism: String,
    seed: u64,
    specimen: String,
}

/// The one submission: `submission.json`, made before it is scored.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Submission {
    schema: u32,
    hash: String,
}

const ISSUED: &str = "exam.json";
const SUBMISSION: &str = "submission.json";
const CARD: &str = "card.json";

/// Where the examiner's side of a specimen lies.
fn kept(dir: &Path, id: &str, apart: Option<&Path>) -> PathBuf {
    let beside = || dir.parent().unwrap_or(dir).join("exams");
    apart.map_or_else(beside, Path::to_path_buf).join(id)
}

/// A seed that nobody chose.
fn drawn() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

pub fn issue(
    args: &Args,
    organism: &str,
    seed: Option<u64>,
    set: &[String],
    out: &Path,
    apart: Option<&Path>,
    as_json: bool,
) -> Result<bool> {
    let (organism, parameters) = names::organism(organism, &super::settings(set)?)?;
    if out.join("specimen.json").exists() {
        bail!("{} holds a specimen; hint: choose another folder with --out", out.display());
    }
    let cx = args.context()?;
    let nursery = Nursery { checkpoints: None, every: 500, progress: &|_, _| true, watch: None };
    let seed = seed.unwrap_or_else(drawn);
    let bred = organism.breed(&parameters, seed, &cx, &nursery)?;
    let metrics = organism.measure(&parameters, &bred.network, &cx)?;
    // Its own seed would give the truth away; its id is that of the specimen without it.
    let (specimen, truth) = Specimen::new(organism, &parameters, 0, bred, metrics);
    let id = specimen.id();
    let kept = kept(out, &id, apart);
    let issued =
        Issued { schema: 1, organism: organism.entry().name.into(), seed, specimen: id.clone() };
    truth.write(&kept.join("truth.json"))?;
    write_whole(&kept.join(ISSUED), &serde_json::to_vec_pretty(&issued)?)?;
    specimen.write(out)?;
    if as_json {
        output::json(&json!({ "specimen": out, "id": id, "kept": kept }))?;
    } else {
        output::data(&format!(
            "{} in {}\nid {id}\n\
             an explanation.json, a circuit in MIB's form or the folder of a dictionary is scored \
             once by\n  flyroom exam {} --submit FILE --specimen {}\n\
             what only the examiner may see lies in {}",
            organism.entry().name,
            out.display(),
            organism.entry().name,
            out.display(),
            kept.display(),
        ));
    }
    Ok(true)
}

pub fn submit(
    args: &Args,
    organism: &str,
    file: &Path,
    dir: &Path,
    apart: Option<&Path>,
    as_json: bool,
) -> Result<bool> {
    let (specimen, task) = super::specimen(dir)?;
    if specimen.spec.organism != organism {
        bail!(
            "{} is a specimen of {}; hint: flyroom exam {} --submit {} --specimen {}",
            dir.display(),
            specimen.spec.organism,
            specimen.spec.organism,
            file.display(),
            dir.display()
        );
    }
    let kept = kept(dir, &specimen.id(), apart);
    let path = kept.join(ISSUED);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        anyhow::anyhow!(
            "{}: no exam of this specimen ({e}); hint: `flyroom exam {organism} --out DIR` makes one, \
             and --apart says where the examiner's side lies",
            path.display()
        )
    })?;
    let _: Issued = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    if let Some(first) = earlier(&kept)? {
        return refused(&first, as_json);
    }
    let cx = args.context()?;
    let subject = Subject::new(&specimen, &task, &cx)?;
    // What cannot be read is no submission: it is said here, before the one chance is taken.
    let claim = Claim::read(file, &subject, &Declared::default())?;
    if let Some(id) = claim.specimen()
        && id != specimen.id()
    {
        bail!("{}: it is about another specimen ({:.12})", file.display(), id);
    }
    let submission = Submission { schema: 1, hash: claim.hash()? };
    let there = claim_chance(&kept, &submission)?;
    // A submission that was interrupted before its card goes on with the same content only.
    if there != submission {
        bail!(
            "{}: another submission was made and has no card yet; hint: submit the same again",
            kept.display()
        );
    }
    let truth = Truth::read(&kept.join("truth.json"))?;
    let judged = claim.judge(&subject, &truth)?;
    write_whole(&kept.join(CARD), &serde_json::to_vec_pretty(&judged)?)?;
    if as_json {
        output::json(&judged)?;
    } else {
        output::data(&validate::judged_text(&judged)?);
    }
    Ok(true)
}

/// The card of an earlier submission.
fn earlier(kept: &Path) -> Result<Option<Value>> {
    let path = kept.join(CARD);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Takes the one chance, or finds who took it.
fn claim_chance(kept: &Path, submission: &Submission) -> Result<Submission> {
    let path = kept.join(SUBMISSION);
    let named = || path.display().to_string();
    match std::fs::File::options().write(true).create_new(true).open(&path) {
        Ok(mut file) => {
            file.write_all(&serde_json::to_vec_pretty(submission)?).with_context(named)?;
            file.sync_all().with_context(named)?;
            Ok(Submission { schema: submission.schema, hash: submission.hash.clone() })
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(&path).with_context(named)?;
            serde_json::from_str(&text).with_context(named)
        }
        Err(e) => Err(e).with_context(named),
    }
}

/// The answer no, with the card that counts.
fn refused(first: &Value, as_json: bool) -> Result<bool> {
    if as_json {
        output::json(&json!({ "refused": true, "first": first }))?;
    } else {
        output::data(&validate::judged_text(first)?);
    }
    output::say(
        false,
        "refused: a submission was scored before, and its card, above, is the one that counts",
    );
    Ok(false)
}
