//! `flyroom show`: anything that flyroom wrote, for people or as JSON.

use super::{breed, describe, validate};
use crate::output;
use anyhow::{Result, bail};
use flyroom_bench::Board;
use flyroom_decompose::Dictionary;
use flyroom_describe::Description;
use flyroom_explanation::Explanation;
use flyroom_organism::Specimen;
use flyroom_validate::Card;
use serde_json::{Value, json};
use std::path::Path;

pub fn run(path: &Path, as_json: bool) -> Result<bool> {
    if path.join("board.json").exists() {
        return board(&path.join("board.json"), as_json);
    }
    if path.join("specimen.json").exists() {
        let s = Specimen::read(path)?;
        if as_json {
            output::json(&json!({ "spec": s.spec, "id": s.id(), "curve": s.curve }))?;
            return Ok(true);
        }
        return breed::print(&[breed::summary(&s, path)], false);
    }
    if path.join("cfg.json").exists() {
        let d = Dictionary::load(path)?;
        let (n, d_in) = (d.w_dec.shape()[0], d.w_dec.shape()[1]);
        if as_json {
            output::json(
                &json!({ "site": d.site, "latents": n, "d_in": d_in, "encode": d.encode }),
            )?;
        } else {
            output::data(&format!("a dictionary of {n} latents at {} ({d_in} units)", d.site));
        }
        return Ok(true);
    }
    if !path.exists()
        && let Some(name) = path.to_str()
        && let Some(shown) = super::trace::name(name, as_json)
    {
        return shown;
    }
    if !path.is_file() {
        bail!(
            "{}: no specimen, dictionary, explanation, card or run; hint: give the folder or file that a flyroom command wrote, or a name of `flyroom list`",
            path.display()
        );
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| anyhow::anyhow!("{}: not JSON ({e})", path.display()))?;
    if value.get("exams").is_some() {
        let card: Card = serde_json::from_value(value)
            .map_err(|e| anyhow::anyhow!("{}: not a card ({e})", path.display()))?;
        if as_json {
            output::json(&card)?;
        } else {
            output::data(&validate::text(&card));
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
    } else {
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
