//! `flyroom show`: anything that flyroom wrote, for people or as JSON.

use super::{audit, breed, describe, rasp, validate};
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_bench::{Board, CellResult};
use flyroom_decompose::Dictionary;
use flyroom_describe::Description;
use flyroom_explanation::Explanation;
use flyroom_network::SafetensorsFile;
use flyroom_organism::{Specimen, Truth};
use flyroom_validate::Card;
use flyroom_validate::audit::Audit;
use serde_json::{Value, json};
use std::path::Path;

pub fn run(path: &Path, as_json: bool) -> Result<bool> {
    if path.is_dir() {
        if let Some(shown) = folder(path, as_json)? {
            return Ok(shown);
        }
    } else if path.is_file() {
        return file(path, as_json);
    }
    // A folder may bear the name of a page by chance.
    if let Some(name) = path.to_str() {
        if let Some(shown) = super::trace::name(name, as_json) {
            return shown;
        }
        if !path.exists() {
            bail!(
                "{name}: there is no such file or folder, and no organism, method, metric, page or \
                 word of the glossary has this name{}",
                super::trace::near(name)
            );
        }
    }
    bail!(
        "{}: {}, no specimen, dictionary, explanation, card or run; hint: give the folder or file that a \
         flyroom command wrote, or a name of `flyroom list`",
        path.display(),
        super::kind::name(path)
    )
}

/// A folder that flyroom wrote; `None` if it is none.
fn folder(path: &Path, as_json: bool) -> Result<Option<bool>> {
    let has = |name: &str| path.join(name).exists();
    let shown = if has("board.json") {
        board(&path.join("board.json"), as_json)
    } else if has("specimen.json") {
        specimen(path, as_json)
    } else if has("cfg.json") {
        dictionary(path, as_json)
    } else if has("plan.toml") && has("cells") {
        super::run::unfinished(path, as_json)
    } else if has("truth.json") {
        truth(&path.join("truth.json"), as_json)
    } else if has("results.json") {
        results(&path.join("results.json"), as_json)
    } else if has("explanation.json") {
        file(&path.join("explanation.json"), as_json)
    } else {
        return specimens(path, as_json);
    };
    shown.map(Some)
}

fn specimen(path: &Path, as_json: bool) -> Result<bool> {
    let s = Specimen::read(path)?;
    if as_json {
        output::json(&json!({ "spec": s.spec, "id": s.id(), "curve": s.curve }))?;
        return Ok(true);
    }
    breed::print(&[breed::summary(&s, path)], false)
}

/// A folder of specimens, as `flyroom breed` makes it.
fn specimens(path: &Path, as_json: bool) -> Result<Option<bool>> {
    let listing = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut folders: Vec<_> =
        listing.flatten().map(|e| e.path()).filter(|p| p.join("specimen.json").is_file()).collect();
    if folders.is_empty() {
        return Ok(None);
    }
    folders.sort();
    let all: Result<Vec<Value>> =
        folders.iter().map(|p| Ok(breed::summary(&Specimen::read(p)?, p))).collect();
    breed::print(&all?, as_json).map(Some)
}

fn dictionary(path: &Path, as_json: bool) -> Result<bool> {
    let d = Dictionary::read(path)?;
    let (n, d_in) = (d.w_dec.shape()[0], d.w_dec.shape()[1]);
    if as_json {
        output::json(&json!({ "site": d.site, "latents": n, "d_in": d_in, "encode": d.encode }))?;
    } else {
        output::data(&format!("a dictionary of {n} latents at {} ({d_in} units)", d.site));
    }
    Ok(true)
}

/// What a cell found: the numbers of which the board's rows are means.
fn results(path: &Path, as_json: bool) -> Result<bool> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let all: Vec<CellResult> =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    if as_json {
        output::json(&all)?;
        return Ok(true);
    }
    let words = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), super::trace::six);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|r| {
            let named = [&r.organism, &r.method, &r.metric].map(String::clone);
            let numbers = [words(r.score), words(r.null), words(r.oracle)];
            let ends = [r.seed.to_string(), r.tier.name().to_owned()];
            named.into_iter().chain(ends).chain(numbers).collect()
        })
        .collect();
    let headings = ["organism", "method", "metric", "seed", "tier", "score", "null", "oracle"];
    output::data(&output::table(&headings, &rows));
    Ok(true)
}

fn weights(path: &Path, as_json: bool) -> Result<bool> {
    let file = SafetensorsFile::open(path)?;
    let tensors: Vec<_> = file.tensors().collect();
    if as_json {
        let all: Vec<Value> = tensors
            .iter()
            .map(|(name, t)| json!({ "name": name, "dtype": t.dtype, "shape": t.shape }))
            .collect();
        output::json(&all)?;
        return Ok(true);
    }
    let rows: Vec<Vec<String>> = tensors
        .iter()
        .map(|(name, t)| {
            vec![(*name).to_owned(), format!("{:?}", t.dtype), format!("{:?}", t.shape)]
        })
        .collect();
    output::data(&output::table(&["tensor", "type", "shape"], &rows));
    Ok(true)
}

fn truth(path: &Path, as_json: bool) -> Result<bool> {
    let t = Truth::read(path)?;
    if as_json {
        output::json(&t)?;
        return Ok(true);
    }
    let word = |v: Value| v.as_str().unwrap_or("").to_owned();
    output::data(&format!(
        "a truth: {}, standing {}\n{} features, {}, {}\n{}",
        word(serde_json::to_value(t.source)?),
        word(serde_json::to_value(t.standing)?),
        t.features.len(),
        t.circuit.as_ref().map_or("no known wiring".into(), |c| format!("{} true edges", c.len())),
        t.explanation.as_ref().map_or("no program".into(), |e| format!(
            "a program of {} parts ({})",
            e.parts.len(),
            e.name
        )),
        t.circuit.iter().flatten().map(|e| format!("  {}\n", e.edge)).collect::<String>()
    ));
    Ok(true)
}

fn file(path: &Path, as_json: bool) -> Result<bool> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    match (name, path.extension().and_then(|e| e.to_str())) {
        ("specimen.json", _) => return specimen(path.parent().unwrap_or(path), as_json),
        ("truth.json", _) => return truth(path, as_json),
        ("results.json", _) => return results(path, as_json),
        (_, Some("safetensors")) => return weights(path, as_json),
        _ if rasp::is(path) => return rasp::run(path, as_json),
        _ => {}
    }
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!(
            "{}: {}; hint: text and safetensors are shown, and what flyroom wrote; `flyroom import --help` \
             says which networks can be read in",
            path.display(),
            super::kind::name(path)
        );
    };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(e) if path.extension().is_some_and(|e| e == "json") => {
            let kind = super::kind::name(path);
            bail!(
                "{}: {kind}, and not whole JSON ({e}); hint: run the command again that wrote it",
                path.display()
            )
        }
        // A curve, a ledger, a plan, a table: lines that speak for themselves.
        Err(_) => {
            output::data(&text);
            return Ok(true);
        }
    };
    if value.get("exams").is_some() {
        let card: Card = serde_json::from_value(value)
            .map_err(|e| anyhow::anyhow!("{}: not a card ({e})", path.display()))?;
        if as_json {
            output::json(&card)?;
        } else {
            output::data(&validate::text(&card));
        }
    } else if value.get("sites").is_some() && value.get("claimed").is_some() {
        let a: Audit = serde_json::from_value(value)
            .map_err(|e| anyhow::anyhow!("{}: not an audit ({e})", path.display()))?;
        if as_json {
            output::json(&a)?;
        } else {
            output::data(&audit::text(&a));
        }
    } else if value.get("reconstruction").is_some() && value.get("site").is_some() {
        let card: validate::Parts = serde_json::from_value(value).map_err(|e| {
            anyhow::anyhow!("{}: not the card of a dictionary ({e})", path.display())
        })?;
        if as_json {
            output::json(&card)?;
        } else {
            output::data(&validate::parts_text(&card));
        }
    } else if value.get("rows").is_some() {
        return board(path, as_json);
    } else if value.get("explanation").is_some_and(Value::is_object) {
        let d = description(path, value)?;
        if as_json {
            output::json(&d)?;
        } else {
            output::data(&d.explanation.name);
            output::data(&describe::text(&d));
        }
    } else if value.get("parts").is_some() && value.get("body").is_some() {
        let e = Explanation::read(path)?;
        if as_json {
            output::json(&e)?;
        } else {
            output::data(&format!(
                "{}\naccess {}, {} parts, scope: {}\nhash {}",
                e.name,
                serde_json::to_value(e.access())?.as_str().unwrap_or(""),
                e.parts.len(),
                if e.scope.is_empty() { "the evaluation set" } else { &e.scope },
                e.hash()?
            ));
            // What was seen on the way, if it lies beside and belongs to it.
            let seen = describe::beside(path);
            if let Ok(text) = std::fs::read_to_string(&seen)
                && let Ok(value) = serde_json::from_str(&text)
                && let Ok(d) = description(&seen, value)
                && d.explanation == e
            {
                output::data(&describe::text(&d));
            }
        }
    } else {
        // No form of its own: as it is.
        output::json(&value)?;
    }
    Ok(true)
}

/// A description whose grids can be drawn.
fn description(path: &Path, value: Value) -> Result<Description> {
    let d: Description = serde_json::from_value(value)
        .map_err(|e| anyhow::anyhow!("{}: not a description ({e})", path.display()))?;
    for grid in &d.grids {
        grid.check().map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    }
    Ok(d)
}

fn board(path: &Path, as_json: bool) -> Result<bool> {
    let text =
        std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let board = Board::from_json(&text).map_err(|e| {
        anyhow::anyhow!("{}: {e}; hint: `flyroom run` writes it again", path.display())
    })?;
    if as_json {
        output::json(&board.rows)?;
    } else {
        output::data(&board.to_text());
    }
    Ok(true)
}
