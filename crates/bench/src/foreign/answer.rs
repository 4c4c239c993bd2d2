//! What a program left: a SAELens folder, a MIB circuit (.json, .pt) or an `explanation.json`, read by the
//! readers that read files of strangers anyway, and refused in words where it is none of them.

use crate::Fault;
use crate::store::Cell;
use crate::work::NOT_APPLICABLE;
use flyroom_decompose::{Data, Dictionary, Extra};
use flyroom_describe::mib::MibGraph;
use flyroom_describe::{Description, EdgeScore};
use flyroom_explanation::{Body, Explanation};
use flyroom_network::format::Source;
use flyroom_organism::{Subject, Truth};
use flyroom_validate::{Observed, Trial, exam};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

use super::child::{size, too_large};

/// File of a cell whose program failed.
pub const FAILED: &str = "failed.json";

/// No file of an answer that is text is longer.
const TEXT_BYTES: u64 = 64 << 20;

/// Files that an answer has, at most: more is a mistake.
const MOST_FILES: usize = 1000;

/// Why a cell's program failed, if it did.
pub fn failure(cell: &Cell) -> Option<String> {
    let v: Json = cell.read_json(FAILED).ok()?;
    v["reason"].as_str().map(str::to_owned)
}

pub(super) fn failed(folder: &Path, why: &str) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(&json!({ "reason": why }))?;
    Ok(fs::write(folder.join(FAILED), text)?)
}

/// Takes what lies in `out` into the cell's folder; the error says why it is no answer.
pub(super) fn take(
    method: &str,
    step: &str,
    subject: &Subject,
    data: &Data,
    out: &Path,
    folder: &Path,
) -> Result<(), String> {
    let files = plain_files(out)?;
    if files.is_empty() {
        return Err("left nothing in {out}".into());
    }
    if size(out) > super::WRITTEN_BYTES {
        return Err(too_large(super::WRITTEN_BYTES));
    }
    let own = out.join(NOT_APPLICABLE);
    if own.is_file() {
        let v: Json = serde_json::from_str(&text(&own)?).map_err(|e| named(&own, e))?;
        let why = v["reason"].as_str().ok_or_else(|| named(&own, "no text under `reason`"))?;
        return write(folder, NOT_APPLICABLE, &json!({ "reason": why }));
    }
    if step == "decompose" {
        let mut dictionary =
            Dictionary::read(out).map_err(|e| without_folder(&e.to_string(), out))?;
        if !out.join("sae_weights.safetensors").exists() {
            // sparsify's form does not say where a dictionary lies, and has tensors of its own.
            dictionary.site.clone_from(&data.site);
            dictionary.extra = Extra::default();
        }
        if dictionary.site != data.site {
            return Err(format!(
                "its dictionary is of {}, the task was {}",
                dictionary.site, data.site
            ));
        }
        let (_, units) = data.checked().map_err(|e| e.to_string())?;
        if dictionary.d_in() != units {
            return Err(format!(
                "its dictionary takes {} units, {} has {units}",
                dictionary.d_in(),
                data.site
            ));
        }
        return dictionary.save(folder).map_err(|e| e.to_string());
    }
    let mut description = describe(method, subject, out, &files)?;
    let e = &mut description.explanation;
    match &e.specimen {
        Some(id) if *id != subject.id => {
            return Err("its explanation is of another specimen".into());
        }
        _ => e.specimen = Some(subject.id.clone()),
    }
    e.method = Some(method.to_owned());
    executable(subject, e)?;
    write(folder, "explanation.json", &description.explanation)?;
    write(folder, "description.json", &description)
}

fn write(folder: &Path, name: &str, value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| e.to_string())?;
    fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"))
}

fn describe(
    method: &str,
    subject: &Subject,
    out: &Path,
    files: &[PathBuf],
) -> Result<Description, String> {
    let explanation = out.join("explanation.json");
    let circuit = |path: &&PathBuf| {
        path.extension().is_some_and(|e| e == "json" || e == "pt") && path.parent() == Some(out)
    };
    if explanation.is_file() {
        text(&explanation)?;
        let e = Explanation::read(&explanation).map_err(|e| without_folder(&e.to_string(), out))?;
        return described(subject, e);
    }
    let Some(path) = files.iter().find(circuit) else {
        return Err("left neither explanation.json nor a circuit in MIB's form (.json, .pt)".into());
    };
    let config = subject.network().architecture().transformer();
    let config = config.ok_or("left a circuit, and this network has no edges")?;
    let graph = Source::open(path).and_then(MibGraph::read);
    let graph = graph.map_err(|e| without_folder(&e.to_string(), out))?;
    graph.description(method, subject, config).map_err(|e| named(path, e))
}

/// A description of an explanation that ranks its edges, if it has any, by whether it claims them.
fn described(subject: &Subject, explanation: Explanation) -> Result<Description, String> {
    let mut edges = vec![];
    if let (Body::Circuit { edges: claimed, .. }, Some(table)) =
        (&explanation.body, subject.runner.edges())
    {
        for &e in claimed {
            table.index(e).map_err(|e| e.to_string())?;
        }
        edges = table
            .edges
            .iter()
            .map(|&edge| EdgeScore {
                edge,
                score: f64::from(u8::from(claimed.contains(&edge))),
                gradient_dead: false,
            })
            .collect();
    }
    Ok(Description { edges, ..Description::new(explanation) })
}

/// Holds a trial without truth, so that an explanation that cannot be executed here is known before
/// it sits down with the others.
fn executable(subject: &Subject, e: &Explanation) -> Result<(), String> {
    let tried = || -> Result<(), Fault> {
        e.check()?;
        let truth = Truth::nothing();
        let few = exam::Budget { per_family: 4, seen: 8 };
        let observed = exam::draw(subject, &truth, &[e.hash()?], few)?
            .into_iter()
            .map(|exam| Observed::new(subject, exam))
            .collect::<Result<Vec<_>, _>>()?;
        Trial::new(subject, &truth, &observed, 0).hold(e)?;
        Ok(())
    };
    tried().map_err(|e| format!("its explanation cannot be executed here: {e}"))
}

/// All files below a folder; links and devices are refused by name.
fn plain_files(out: &Path) -> Result<Vec<PathBuf>, String> {
    fn walk(out: &Path, folder: &Path, all: &mut Vec<PathBuf>) -> Result<(), String> {
        let entries = fs::read_dir(folder).map_err(|e| format!("{{out}} cannot be read: {e}"))?;
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = path.strip_prefix(out).unwrap_or(&path).display().to_string();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(out, &path, all)?,
                Ok(kind) if kind.is_file() => all.push(path),
                Ok(kind) if kind.is_symlink() => {
                    return Err(format!("left a symbolic link, {name}; links are not followed"));
                }
                _ => return Err(format!("left {name}, which is neither a file nor a folder")),
            }
            if all.len() > MOST_FILES {
                return Err(format!("left more than {MOST_FILES} files"));
            }
        }
        Ok(())
    }
    let mut all = vec![];
    walk(out, out, &mut all)?;
    Ok(all)
}

/// A text of bounded length.
fn text(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|e| named(path, e))?.len();
    if length > TEXT_BYTES {
        return Err(named(path, format!("{} MiB of text are too much", length >> 20)));
    }
    fs::read_to_string(path).map_err(|e| named(path, e))
}

fn named(path: &Path, why: impl std::fmt::Display) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{name}: {why}")
}

/// Folders of a program are gone when its row is read: a message names files alone.
fn without_folder(text: &str, out: &Path) -> String {
    text.replace(&format!("{}/", out.display()), "").replace(&out.display().to_string(), "{out}")
}
