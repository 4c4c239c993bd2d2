//! `flyroom run`: a plan, from breeding to the board.

use super::rasp;
use crate::args::{Args, Progress};
use crate::{output, progress};
use anyhow::{Context as _, Result, bail};
use flyroom_bench::assemble::Finished;
use flyroom_bench::run::{EMBEDDED, catalog, run as carry_out};
use flyroom_bench::{Board, Plan, ReportData, Store};
use std::path::{Path, PathBuf};

/// A plan from its file, or an embedded one by its name, and the folder of its run.
pub fn plan(plan: Option<&Path>, out: Option<&Path>) -> Result<(Plan, PathBuf)> {
    if let Some(path) = plan.filter(|p| rasp::is(p)) {
        let path = path.display();
        bail!("{path}: a program is no plan; hint: `flyroom breed {path}` breeds it");
    }
    let named = |p: &Path| EMBEDDED.iter().find(|(name, _)| p == Path::new(name) && !p.exists());
    let (text, file) = match (plan, plan.map_or(EMBEDDED.first(), named)) {
        (Some(path), None) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                let known = EMBEDDED.iter().map(|(name, _)| *name);
                let near = flyroom_organism::nearest(path.to_str().unwrap_or(""), known);
                let hint = match near {
                    Some(near) => {
                        format!("the plan `{near}` is in the program: `flyroom run {near}`")
                    }
                    None => "a plan is a file in TOML".to_owned(),
                };
                anyhow::anyhow!("{}: {e}; hint: {hint}", path.display())
            })?;
            (text, path.display().to_string())
        }
        (_, embedded) => {
            let (name, text) = embedded.copied().unwrap_or_default();
            (text.to_owned(), name.to_owned())
        }
    };
    let plan = Plan::parse(&text, &file, &catalog())?;
    let root = out.map_or_else(|| PathBuf::from("runs").join(&plan.name), Path::to_path_buf);
    Ok((plan, root))
}

/// The plan of a run that is there.
pub fn plan_of(store: &Store) -> Result<Plan> {
    let file = store.root().join("plan.toml").display().to_string();
    Ok(Plan::parse(&store.plan_text()?, &file, &catalog())?)
}

pub fn run(
    args: &Args,
    plan: Option<&Path>,
    out: Option<&Path>,
    progress: Progress,
    as_json: bool,
) -> Result<bool> {
    let (plan, root) = self::plan(plan, out)?;
    let observer = progress::observer(args, progress);
    let finished =
        carry_out(&plan, &root, &args.cell_context()?, args.threads()?, observer.as_ref())
            .map_err(|e| anyhow::anyhow!("{e}"))?;
    drop(observer);
    write_all(&root, &finished)?;
    print(&finished, as_json)?;
    for (cell, reason) in &finished.failures {
        output::say(args.quiet, &format!("failed: {cell}: {reason}"));
    }
    say_where(args, &root, &finished.report.board);
    let Some((cell, reason)) = finished.failures.first() else { return Ok(true) };
    // Its own way out was printed above; here it is what and where.
    let reason = reason.lines().next().unwrap_or("");
    anyhow::bail!(
        "{} of the cells failed, their rows say so on the board; the first: {cell}: {reason}; \
         hint: run the same command again after mending the cause",
        finished.failures.len()
    )
}

/// What is there of a run that has not ended.
pub fn unfinished(root: &Path, as_json: bool) -> Result<bool> {
    let store = Store::view(root)?;
    let plan = plan_of(&store)?;
    let bench = flyroom_bench::work::Bench {
        root: root.to_path_buf(),
        context: flyroom_tensor::Context::single(),
    };
    let cells = flyroom_bench::run::cells(&plan, &bench).map_err(|e| anyhow::anyhow!("{e}"))?;
    let keys = cells.schedule.ids().map(|id| cells.schedule.spec(id).key());
    let (there, all) = (keys.filter(|key| store.contains(key)).count(), cells.schedule.len());
    if as_json {
        output::json(&serde_json::json!({ "plan": plan.name, "cells": all, "finished": there }))?;
    } else {
        output::data(&format!(
            "{}: a run of {} that is not finished, {there} of {all} cells; `flyroom run` with the same \
             plan and --out goes on",
            root.display(),
            plan.name
        ));
    }
    Ok(true)
}

/// The specimens and the board, for people or as JSON.
pub fn print(finished: &Finished, as_json: bool) -> Result<()> {
    let board = &finished.report.board;
    if as_json {
        output::data(&board.to_json()?);
    } else {
        output::data(&flyroom_bench::bred::text(&finished.bred));
        output::data("");
        output::data(&board.to_text());
    }
    Ok(())
}

/// Where everything is, and how a number is traced.
pub fn say_where(args: &Args, root: &Path, board: &Board) {
    let run = root.display();
    output::say(args.quiet, &format!("the page: {}", root.join("report.html").display()));
    if let Some(row) = board.rows.first() {
        let (id, metric) = (&row.id, &row.metric);
        output::say(
            args.quiet,
            &format!(
                "where a number comes from: flyroom show {run} ROW (as {id}); what a word means: flyroom show {metric}"
            ),
        );
    }
}

/// Everything that a run leaves beside its cells.
pub fn write_all(root: &Path, finished: &Finished) -> Result<()> {
    write(root, &finished.report)?;
    let bred = serde_json::to_string_pretty(&finished.bred)?;
    Ok(flyroom_network::write_whole(&root.join("specimens.json"), bred.as_bytes())?)
}

/// The board, its table as CSV, and the page, beside the cells that they are made from.
pub fn write(root: &Path, report: &ReportData) -> Result<()> {
    let put =
        |name: &str, text: &str| flyroom_network::write_whole(&root.join(name), text.as_bytes());
    put("board.json", &report.board.to_json()?)?;
    put("board.csv", &report.board.to_csv())?;
    if let Some(ranks) = &report.board.routes {
        put("routes.csv", &flyroom_bench::board::route::to_csv(ranks))?;
    }
    if let Some(test) = &report.board.crash_test {
        put("crash-test.csv", &test.to_csv())?;
    }
    put("report.json", &serde_json::to_string(report)?)?;
    let tables = root.join("tables");
    std::fs::create_dir_all(&tables).with_context(|| tables.display().to_string())?;
    let current = report.tables();
    for (name, text) in &current {
        flyroom_network::write_whole(&tables.join(name), text.as_bytes())?;
    }
    // Tables of figures that are no more would be taken for tables of this page. Another process of
    // the run may remove them at the same moment.
    let there = std::fs::read_dir(&tables).with_context(|| tables.display().to_string())?;
    for file in there.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "csv")) {
        if !current.iter().any(|(name, _)| file.file_name() == name.as_str()) {
            match std::fs::remove_file(file.path()) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| file.path().display().to_string());
                }
                _ => {}
            }
        }
    }
    Ok(put("report.html", &report.to_html())?)
}

/// What a run left when it ended.
pub fn report_of(root: &Path) -> Result<ReportData> {
    let path = root.join("report.json");
    let text = std::fs::read_to_string(&path).map_err(|e| {
        anyhow::anyhow!("{}: {e}; hint: `flyroom run` writes it when it ends", path.display())
    })?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// `flyroom report`: the page and the tables of a run once more, from what the run left.
pub fn report(root: &Path, as_json: bool) -> Result<bool> {
    let report = report_of(root)?;
    write(root, &report)?;
    if as_json {
        output::json(&report)?;
    } else {
        output::data(&report.board.to_text());
    }
    Ok(true)
}
