//! `flyroom show RUN ROW`, `flyroom show RUN --ledger`, `flyroom show NAME`: from a number on the
//! screen to its files, and from a word to its page.

use super::run::plan_of;
use crate::args::{Args, Registry};
use crate::{names, output, pages};
use anyhow::{Result, bail};
use flyroom_bench::board::{Board, Row, Status};
use flyroom_bench::bred::Bred;
use flyroom_bench::store::{Event, LedgerEntry};
use flyroom_bench::work::RESULTS;
use flyroom_bench::{Plan, Store, trace};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn read_board(root: &Path) -> Result<Board> {
    let path = root.join("board.json");
    let text = std::fs::read_to_string(&path).map_err(|e| {
        anyhow::anyhow!(
            "{}: {e}; hint: `flyroom run` or `flyroom collect` writes it when it ends",
            path.display()
        )
    })?;
    Board::from_json(&text).map_err(|e| {
        anyhow::anyhow!("{}: {e}; hint: `flyroom run` writes it again", path.display())
    })
}

/// A row by its id, or everything about an organism or a method of the run.
pub fn run(args: &Args, root: &Path, name: &str, as_json: bool) -> Result<bool> {
    let store = Store::view(root)?;
    let plan = plan_of(&store)?;
    let board = read_board(root)?;
    // The whole hash begins the row too, and so does less of it where one row alone begins so.
    let begins = |row: &&Row| {
        row.id == name
            || (name.len() > 2 && (row.id.starts_with(name) || name.starts_with(&row.id)))
    };
    match board.rows.iter().filter(begins).collect::<Vec<_>>()[..] {
        [] => {}
        [row] => return one_row(args, &plan, &store, row, as_json),
        ref several => {
            let ids: Vec<&str> = several.iter().map(|row| row.id.as_str()).collect();
            bail!("'{name}' begins {} rows; hint: one of {}", ids.len(), ids.join(", "));
        }
    }
    let mut known: BTreeSet<&str> = plan.organisms.iter().map(|o| o.label.as_str()).collect();
    known.extend(board.rows.iter().flat_map(|r| [r.method.as_str(), &r.metric]));
    if !known.contains(name) {
        let hint = names::hint(name, known.into_iter());
        bail!("{} has no row, organism, method or metric '{name}'{hint}", root.display());
    }
    several(args, &plan, &store, &board, name, as_json)
}

fn one_row(args: &Args, plan: &Plan, store: &Store, row: &Row, as_json: bool) -> Result<bool> {
    let traced =
        trace::row(plan, store, row, &args.cell_context()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let metric = flyroom_validate::METRICS.iter().find(|m| m.name == row.metric);
    if as_json {
        let page = pages::page(&row.metric).map(|p| p.0);
        output::json(&json!({ "row": row, "metric": metric, "page": page, "seeds": traced }))?;
        return Ok(true);
    }
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), six);
    let rank = row.rank.map(|r| format!(", {r}")).unwrap_or_default();
    let mut text = format!(
        "row {}: {} on {}, {}\n\nscore {} (mean over seeds), 95 % interval {}\nnull {}, oracle {} ({})\n{}status {}{rank}: {}\n",
        row.id,
        row.method,
        row.organism,
        row.metric,
        number(row.score),
        row.interval.map_or("-".to_owned(), |[a, b]| format!("{} to {}", six(a), six(b))),
        number(row.null),
        number(row.oracle),
        row.oracle_kind.name(),
        above_null(row),
        row.status.name(),
        row.status.meaning(),
    );
    if let Some(reason) = &row.reason {
        text.push_str(&format!("reason: {reason}\n"));
    }
    if let Some(m) = metric {
        text.push_str(&format!(
            "\n{}: {}\nits null: {}\nits oracle: {}\n",
            m.name, m.summary, m.null, m.oracle
        ));
    }
    let shown =
        [&row.metric, &row.method, &row.organism].map(|n| n.split(['[', '/']).next().unwrap_or(n));
    let known: Vec<String> = shown
        .iter()
        .filter(|n| pages::page(n).is_some())
        .map(|n| format!("flyroom show {n}"))
        .collect();
    text.push_str(&format!("pages: {}\n", known.join(", ")));
    let rows: Vec<Vec<String>> = traced
        .iter()
        .map(|t| {
            let of = |f: fn(&flyroom_bench::CellResult) -> Option<f64>| {
                number(t.result.as_ref().and_then(f))
            };
            vec![t.seed.to_string(), of(|r| r.score), of(|r| r.null), of(|r| r.oracle)]
        })
        .collect();
    text.push('\n');
    text.push_str(&output::table(&["seed", "score", "null", "oracle"], &rows));
    for t in &traced {
        text.push_str(&format!("\nseed {} was made from\n", t.seed));
        for (at, cell) in t.cells.iter().enumerate() {
            let missing = cell.missing.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            text.push_str(&format!("  {}{missing}\n", cell.label));
            for file in &cell.files {
                let holds = at == 0 && file.ends_with(RESULTS);
                let mark = if holds { "   <- the number" } else { "" };
                text.push_str(&format!("    {}{mark}\n", file.display()));
            }
        }
        if let Some(truth) = &t.truth {
            text.push_str(&format!("  judged against\n    {}\n", truth.display()));
        }
    }
    output::data(&text);
    Ok(true)
}

/// With six decimals, and no sign at zero.
pub fn six(x: f64) -> String {
    let text = format!("{x:.6}");
    if text == "-0.000000" { "0.000000".into() } else { text }
}

/// The difference that decides between the null and more.
fn above_null(row: &Row) -> String {
    let Some(d) = row.above_null else { return String::new() };
    let interval = d.interval.map_or_else(
        || "no interval from one seed".to_owned(),
        |[a, b]| {
            let holds = if a <= 0.0 && b >= 0.0 { ", which holds 0" } else { "" };
            format!("95 % interval {} to {}{holds}", six(a), six(b))
        },
    );
    format!("score minus null {} (mean over seeds), {interval}\n", six(d.mean))
}

/// The specimens of an organism, and all rows that bear a name.
fn several(
    args: &Args,
    plan: &Plan,
    store: &Store,
    board: &Board,
    name: &str,
    as_json: bool,
) -> Result<bool> {
    let specimens = trace::specimens(plan, store, name, &args.cell_context()?)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let bred: Vec<Bred> = std::fs::read(store.root().join("specimens.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let rows: Vec<&Row> = board
        .rows
        .iter()
        .filter(|r| [&r.organism, &r.method, &r.metric].contains(&&name.to_owned()))
        .collect();
    let verdicts: Vec<String> = board
        .verdicts()
        .into_iter()
        .filter(|v| v.organism == name || v.method == name)
        .map(|v| v.text)
        .collect();
    if as_json {
        output::json(&json!({ "specimens": specimens, "rows": rows, "verdicts": verdicts }))?;
        return Ok(true);
    }
    for (seed, cell) in &specimens {
        let missing = cell.missing.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        output::data(&format!("{name} / {seed}{missing}"));
        for file in &cell.files {
            let mark = if file.ends_with("specimen.json") { "   <- what was measured" } else { "" };
            output::data(&format!("    {}{mark}", file.display()));
        }
    }
    let cells: Vec<Bred> = bred.iter().filter(|b| b.organism == name).cloned().collect();
    if !cells.is_empty() {
        output::data(&flyroom_bench::bred::every(&cells));
    }
    let silent = |row: &&&Row| row.status != Status::NotApplicable;
    let lines: Vec<Vec<String>> = rows
        .iter()
        .filter(silent)
        .map(|r| {
            vec![
                r.id.clone(),
                r.organism.clone(),
                r.method.clone(),
                r.metric.clone(),
                r.score.map_or("-".to_owned(), |s| format!("{s:.3}")),
                r.status.name().to_owned(),
            ]
        })
        .collect();
    output::data(&output::table(
        &["row", "organism", "method", "metric", "score", "status"],
        &lines,
    ));
    verdicts.iter().for_each(|text| output::data(text));
    Ok(true)
}

/// What all processes of a run did: cells with their times, and the sum of each kind.
pub fn ledger(root: &Path, as_json: bool) -> Result<bool> {
    let entries = Store::view(root)?.ledger()?;
    if as_json {
        output::json(&entries)?;
        return Ok(true);
    }
    let mut cells: BTreeMap<&str, (f64, [usize; 4])> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for LedgerEntry { event, .. } in &entries {
        let (cell, at, secs) = match event {
            Event::Finished { cell, duration_secs, .. } => (cell, 0, *duration_secs),
            Event::Found { cell, .. } => (cell, 1, 0.0),
            Event::Failed { cell, duration_secs, .. } => (cell, 2, *duration_secs),
            Event::Skipped { cell, .. } => (cell, 3, 0.0),
            Event::Started { .. } | Event::Note { .. } => continue,
        };
        let line = cells.entry(cell).or_default();
        line.0 += secs;
        line.1[at] += 1;
        if at == 0 {
            let kind = kinds.entry(cell.split(' ').next().unwrap_or("")).or_default();
            kind.0 += secs;
            kind.1 += 1;
        }
    }
    let mut lines: Vec<_> = cells.into_iter().collect();
    lines.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(b.0)));
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|(cell, (secs, counts))| {
            let mut row = vec![format!("{secs:.3}")];
            row.extend(counts.iter().map(usize::to_string));
            row.push((*cell).to_owned());
            row
        })
        .collect();
    let headings = ["seconds", "computed", "found", "failed", "skipped", "cell"];
    output::data(&output::table(&headings, &rows));
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .map(|(kind, (secs, n))| {
            vec![
                (*kind).to_owned(),
                n.to_string(),
                format!("{secs:.3}"),
                format!("{:.3}", secs / *n as f64),
            ]
        })
        .collect();
    output::data(&output::table(&["kind", "computed", "seconds", "seconds each"], &rows));
    Ok(true)
}

/// What a name or a word means; `None` if it is neither.
pub fn name(name: &str, as_json: bool) -> Option<Result<bool>> {
    // As it is written, with hyphens for spaces, or as a phrase that has words of the glossary in it.
    let hyphened = name.replace(' ', "-");
    let page = pages::page(name).or_else(|| pages::page(&hyphened));
    let entry = entry(name).or_else(|| entry(&hyphened));
    let mut meanings = pages::meanings(name);
    if meanings.is_empty() && page.is_none() && entry.is_none() {
        meanings = pages::within(name);
    }
    if page.is_none() && meanings.is_empty() && entry.is_none() {
        return None;
    }
    if as_json {
        let meanings: Vec<Value> =
            meanings.iter().map(|(of, is)| json!({ "of": of, "is": is })).collect();
        let page = page.map(|(path, text)| json!({ "path": path, "text": text }));
        let all = json!({ "name": name, "entry": entry, "words": meanings, "page": page });
        return Some(output::json(&all).map(|()| true));
    }
    for (of, is) in &meanings {
        // A table may have several columns.
        output::data(&format!("{name} ({}): {is}", of.to_lowercase()));
    }
    if let Some(entry) = &entry {
        output::data(&format!("{name}: {}", entry["summary"].as_str().unwrap_or("")));
        let parameters = entry["parameters"].as_object().into_iter().flatten();
        let set: Vec<String> = parameters.map(|(k, v)| format!("{k}={v}")).collect();
        if !set.is_empty() {
            output::data(&format!("parameters and their defaults: {}", set.join(", ")));
        }
    }
    if let Some((path, text)) = page {
        output::data(&format!("{path}:\n\n{text}"));
    }
    Some(Ok(true))
}

/// `; hint: did you mean ...?` where a name or a word is near.
pub fn near(wrong: &str) -> String {
    let entries: Vec<Value> =
        Registry::ALL.iter().flat_map(|(r, _)| super::list::entries(*r)).collect();
    let names = entries.iter().filter_map(|e| e["name"].as_str());
    let words = pages::words();
    let known = names.chain(words.iter().map(String::as_str));
    match flyroom_organism::nearest(wrong, known) {
        Some(n) => format!("; hint: did you mean '{n}'?"),
        None => {
            "; hint: `flyroom list organisms`, methods or metrics; GLOSSARY.md has the words".into()
        }
    }
}

/// What the registries say of a name.
fn entry(name: &str) -> Option<Value> {
    Registry::ALL.iter().flat_map(|(r, _)| super::list::entries(*r)).find(|e| e["name"] == name)
}
