//! `flyroom audit`: is the truth about a specimen true?

use crate::args::Args;
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_bench::clock::Stopwatch;
use flyroom_bench::plan::{RASP, TRAINED};
use flyroom_explanation::Body;
use flyroom_organism::{Organism, Parameters, Specimen, Standing, Task, Truth};
use flyroom_validate::audit::{
    AUDIT_FILE, Audit, AuditedEdge, GeometryAudit, MOST_OPEN, Options, Outcome, audit,
};
use flyroom_validate::beliefs::BeliefScore;
use flyroom_validate::factors::FactorScore;
use flyroom_validate::geometry::Fit;
use std::path::{Path, PathBuf};

pub fn run(
    args: &Args,
    dir: &Path,
    length: Option<usize>,
    within: f64,
    as_json: bool,
) -> Result<bool> {
    if !(within > 0.0 && within < 1.0) {
        bail!("--within {within}: no share; hint: a number between 0 and 1, 0.001 unless told");
    }
    let specimen = Specimen::read(dir)?;
    let organism = flyroom_organism::find(&specimen.spec.organism)
        .with_context(|| dir.join("specimen.json").display().to_string())?;
    let truth_path = truth_path(&specimen, dir);
    let truth = Truth::read(&truth_path)?;
    let tasks = lengths(organism, &specimen.spec.parameters, &truth, length)
        .with_context(|| dir.join("specimen.json").display().to_string())?;
    let cx = args.context()?;
    let watch = Stopwatch::start();
    let options = Options { within, ..Options::default() };
    let mut outcome = audit(&specimen, &truth, &tasks, &options, &cx)
        .with_context(|| truth_path.display().to_string())?;
    if let Some(called) = called(&specimen, dir) {
        outcome.label = called;
    }
    let seconds = watch.elapsed_secs();
    let path = truth_path.with_file_name(AUDIT_FILE);
    flyroom_network::write_whole(&path, serde_json::to_string_pretty(&outcome)?.as_bytes())?;
    if as_json {
        output::json(&outcome)?;
    } else {
        output::data(&text(&outcome));
    }
    let runs = outcome.runs();
    output::say(
        args.quiet,
        &format!(
            "{runs} runs with interventions in {seconds:.1} s, {:.0} a second; audit written to {}",
            runs as f64 / seconds.max(1e-9),
            path.display()
        ),
    );
    Ok(outcome.outcome != Outcome::Fails)
}

/// The name of what came from a file: its folder bears it, the specimen holds only the text.
fn called(specimen: &Specimen, dir: &Path) -> Option<String> {
    let own = [RASP, TRAINED].contains(&specimen.spec.organism.as_str());
    let folder = std::path::absolute(dir).ok()?.file_name()?.to_str()?.to_owned();
    let of_seed = folder.strip_suffix(&format!("-{}", specimen.spec.seed))?;
    (own && !of_seed.is_empty()).then_some(folder)
}

/// Where the truth lies: beside the specimen, or of a run's cell beside all cells.
fn truth_path(specimen: &Specimen, dir: &Path) -> PathBuf {
    let beside = specimen.truth_path(dir);
    let of_run = dir.parent().map(|cells| specimen.truth_path(cells));
    of_run.filter(|path| !beside.exists() && path.exists()).unwrap_or(beside)
}

/// The tasks of every length that a program is claimed for, up to one; of other truths the task.
fn lengths(
    organism: &dyn Organism,
    parameters: &Parameters,
    truth: &Truth,
    most: Option<usize>,
) -> Result<Vec<Task>> {
    let program = matches!(truth.explanation.as_ref().map(|e| &e.body), Some(Body::Rasp { .. }));
    let full = match most {
        Some(n) => organism.task(parameters, Some(n)).with_context(|| format!("--length {n}"))?,
        None => organism.task(parameters, None)?,
    };
    let mut tasks: Vec<Task> = vec![];
    for n in 1..=full.pos() {
        if !program {
            break;
        }
        let Ok(task) = organism.task(parameters, Some(n)) else { continue };
        if task.pos() < full.pos() && tasks.iter().all(|t| t.pos() != task.pos()) {
            tasks.push(task);
        }
    }
    tasks.push(full);
    Ok(tasks)
}

/// A word of the JSON.
fn word(x: impl serde::Serialize) -> String {
    let json = serde_json::to_value(x).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// An audit for people.
pub fn text(a: &Audit) -> String {
    let inputs: usize = a.lengths.iter().map(|l| l.inputs).sum();
    let lengths: Vec<String> = a.lengths.iter().map(|l| l.pos.to_string()).collect();
    let mut out = format!("{}: {inputs} inputs of {} positions\n\n", a.label, lengths.join(", "));
    let rows: Vec<Vec<String>> = a
        .checks()
        .iter()
        .map(|(name, c)| {
            let control = c.control.as_ref().map_or("-".into(), |c| {
                format!("{} (at most {})", output::number(c.reached), output::number(c.most))
            });
            let counted = |n: usize| if c.comparisons == 0 { "-".into() } else { n.to_string() };
            vec![
                (*name).to_string(),
                word(c.outcome),
                counted(c.claims),
                counted(c.runs),
                counted(c.comparisons),
                counted(c.failures),
                if c.comparisons == 0 { "-".into() } else { output::number(c.largest_error) },
                control,
                c.why.clone(),
            ]
        })
        .collect();
    out.push_str(&output::table(
        &[
            "check",
            "outcome",
            "claims",
            "runs",
            "compared",
            "failed",
            "largest error",
            "control",
            "",
        ],
        &rows,
    ));
    if !a.sites.variables.is_empty() {
        let rows: Vec<Vec<String>> = a
            .sites
            .variables
            .iter()
            .map(|v| {
                // One that can be exchanged alone has no code to be read by.
                let read = |text: String| if v.readings == 0 { "-".into() } else { text };
                vec![
                    v.variable.clone(),
                    v.places.to_string(),
                    v.readings.to_string(),
                    read(format!("{:.2} %", 100.0 * v.nearest)),
                    read(output::number(v.largest_error)),
                    read(v.before.map_or("-".into(), output::number)),
                    read(format!("{:.1} % ({:.1} %)", 100.0 * v.permuted, 100.0 * v.chance)),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&output::table(
            &[
                "variable",
                "places",
                "readings",
                "right",
                "largest error",
                "before it is written",
                "values permuted (chance)",
            ],
            &rows,
        ));
    }
    if !a.edges.edges.is_empty() {
        let rows: Vec<Vec<String>> = a
            .edges
            .edges
            .iter()
            .map(|e| {
                let active: Vec<&str> = e.active.iter().map(|c| c.name()).collect();
                let (moved_by, effect) = match e.jointly {
                    Some(j) => (format!("{} with {}", j.corruption.name(), j.with), j.effect),
                    None if active.is_empty() => ("nothing".into(), largest(e)),
                    None => (active.join(" "), largest(e)),
                };
                vec![
                    e.edge.to_string(),
                    if e.claimed { "true" } else { "not claimed" }.into(),
                    moved_by,
                    output::number(effect),
                    if e.holds { "" } else { "contradicts the truth" }.into(),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&output::table(&["edge", "truth", "moved by", "largest effect", ""], &rows));
        out.push_str(&format!(
            "of {} edges the others move no output by more than {} of the largest ({} on {} inputs)\n",
            a.edges.table,
            output::number(a.edges.largest_unclaimed),
            if a.edges.exhaustive { "all of them" } else { "each" },
            a.edges.inputs,
        ));
    }
    if a.program.check.comparisons > 0 {
        let p = &a.program;
        let runs = p.sets + p.interchanges + p.pairs;
        out.push_str(&format!(
            "\nprogram: {} clean outputs, {} sets{}, {} interchanges, {} pairs; {} moved an output, {} \
             declined; skill {}\n",
            p.clean,
            p.sets,
            if p.exhaustive { " (all)" } else { "" },
            p.interchanges,
            p.pairs,
            p.effective,
            p.abstained,
            p.skill.map_or("-".into(), |s| format!("{s:.7}")),
        ));
        if p.out_of_domain > 0 {
            out.push_str(&format!(
                "in {} of {runs} runs ({:.1} %) an output is out of the program's domain: it is open, and \
                 the others are compared\n",
                p.out_of_domain,
                100.0 * p.out_of_domain as f64 / runs.max(1) as f64,
            ));
            let rows: Vec<Vec<String>> = p
                .open
                .iter()
                .map(|v| {
                    vec![
                        v.variable.clone(),
                        v.decided.to_string(),
                        v.open.to_string(),
                        format!("{:.1} % (at most {:.0} %)", 100.0 * v.share, 100.0 * MOST_OPEN),
                    ]
                })
                .collect();
            out.push_str(&output::table(
                &["set or exchanged", "outputs moved and compared", "open", "share"],
                &rows,
            ));
        }
    }
    if let Some(GeometryAudit { measured: m, .. }) = &a.geometry {
        let line = |name: &str, f: &Fit| {
            let mut row = vec![name.to_owned()];
            row.extend([f.angles, f.residual, f.order].map(output::number));
            row
        };
        let rows = [line("as they are called", &m.found), line("names permuted", &m.null)];
        out.push('\n');
        out.push_str(&output::table(&["tokens", "angles", "residual", "order"], &rows));
    }
    if let Some(b) = &a.beliefs {
        out.push('\n');
        out.push_str(&beliefs(&b.measured));
    }
    if let Some(f) = &a.factors {
        out.push('\n');
        out.push_str(&factors(&f.measured));
    }
    for (_, check) in a.checks() {
        for c in &check.counterexamples {
            let input = if c.input.is_empty() {
                String::new()
            } else {
                format!(" on {}", c.input.join(" "))
            };
            out.push_str(&format!(
                "\ncounterexample: {}{input}\n  at {}\n  claimed: {}\n  got: {}\n",
                c.claim, c.place, c.wanted, c.got
            ));
        }
    }
    out.push_str(&format!("\n{}\n", verdict(a)));
    out
}

/// Tables of beliefs.
fn beliefs(b: &BeliefScore) -> String {
    let number = output::number;
    let read = |name: &str, error: f64| vec![name.to_owned(), number(error)];
    let mut errors = vec![read("their variance", b.variance), read("one-hot history", b.history)];
    for (name, held) in [("untrained", &b.untrained), ("trained", &b.trained)] {
        errors.push(read(&format!("{name}, last layer"), held.last));
        errors.push(read(&format!("{name}, layers joined"), held.joined));
    }
    let mut out = output::table(&["beliefs read from", "mean squared error"], &errors);
    out.push_str(&format!(
        "score {} decades over the history, {} over the untrained network\n\n",
        number(b.score),
        number(b.over_untrained)
    ));
    let rows: Vec<Vec<String>> = b
        .exchanged
        .iter()
        .map(|e| {
            let mut row = vec![e.site.clone(), e.dims.to_string()];
            row.extend([e.moved, e.by_weights, e.random, e.whole].map(number));
            row
        })
        .collect();
    out.push_str(&output::table(
        &["exchanged at", "dims", "plane of beliefs", "read-out weights", "random", "whole site"],
        &rows,
    ));
    out
}

/// Tables of factors.
fn factors(f: &FactorScore) -> String {
    let number = output::number;
    let last = |sites: &[(String, f64)]| number(sites.last().map_or(f64::NAN, |s| s.1));
    let read: Vec<Vec<String>> = f
        .read
        .iter()
        .map(|r| {
            let name = if r.asked { r.name.clone() } else { format!("{} (idle)", r.name) };
            let mut row = vec![name, last(&r.trained), last(&r.untrained)];
            row.extend([r.bag, r.history, r.shuffled].map(number));
            row
        })
        .collect();
    let heads = ["R^2 behind the last layer", "trained", "untrained", "bag", "history", "shuffled"];
    let mut out = output::table(&heads, &read);
    let exchanged: Vec<Vec<String>> = f
        .exchanged
        .iter()
        .map(|e| {
            let mut row = vec![e.name.clone(), e.dims.to_string(), e.pairs.to_string()];
            row.extend([e.due, e.moved, e.random, e.elsewhere].map(number));
            row
        })
        .collect();
    let heads = ["plane exchanged", "dims", "pairs", "due", "moved", "random", "elsewhere"];
    out.push('\n');
    out.push_str(&output::table(&heads, &exchanged));
    let wrong = f.misnamed.iter();
    let wrong: Vec<Vec<String>> =
        wrong.map(|m| vec![m.idle.clone(), m.claimed.clone(), number(m.moved)]).collect();
    out.push('\n');
    out.push_str(&output::table(&["idle factor", "claimed to be", "moved"], &wrong));
    out
}

fn largest(e: &AuditedEdge) -> f64 {
    e.effects.values().copied().fold(0.0, f64::max)
}

/// One line.
fn verdict(a: &Audit) -> String {
    let standing = word(a.standing);
    match (a.outcome, a.claimed) {
        (Outcome::Holds, Standing::Exact) => "holds: the truth stays exact".into(),
        (Outcome::Holds, claimed) => {
            format!(
                "holds: the truth claimed to be {}, the audit supports {standing}",
                word(claimed)
            )
        }
        (Outcome::Fails, claimed) => {
            format!("fails: the truth claimed to be {}, it is contested", word(claimed))
        }
        (Outcome::NotApplicable, _) => {
            format!("nothing that this truth claims can be checked; it stays {standing}")
        }
    }
}
