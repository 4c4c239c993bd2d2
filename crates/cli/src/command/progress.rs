//! `flyroom progress`: each specimen is bred once more and measured on its way by what was located in it,
//! which is known at its end alone. The same seed must make the same weights again, and that is checked.

use super::breed::{self, Bred};
use crate::args::{Args, Progress};
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_bench::progress::{Before, Claim, Followed, Moved, Point, Trainings};
use flyroom_bench::statistics::mean;
use flyroom_network::write_whole;
use flyroom_organism::Specimen;
use flyroom_organism::train::{Nursery, Watch};
use flyroom_tensor::Context;
use serde_json::json;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Looks at a training, if nothing else is asked for.
const LOOKS: usize = 60;

/// What was asked for.
pub struct Asked<'a> {
    pub organism: &'a str,
    pub seeds: &'a str,
    pub set: &'a [String],
    /// Steps between looks.
    pub every: Option<usize>,
    /// How far a number has to come to have moved.
    pub by: Option<f64>,
    pub out: &'a Path,
    pub progress: Progress,
}

/// A training that was followed, with what its organism says of all of them.
struct Run {
    followed: Followed,
    claim: Claim,
    names: &'static [&'static str],
    unit: &'static str,
}

impl Asked<'_> {
    /// Follows the training of one seed.
    fn follow(&self, bred: &Bred, seed: u64, cx: &Context) -> Result<Run> {
        let (organism, parameters) = (bred.organism, &bred.parameters);
        let summary = bred.specimens.iter().find(|s| s["seed"].as_u64() == Some(seed));
        let dir = summary.and_then(|s| s["path"].as_str()).with_context(|| {
            let out = self.out.display();
            format!("{out} holds a specimen of another seed in place of {seed}; hint: choose another folder with --out")
        })?;
        let specimen = Specimen::read(Path::new(dir))?;
        let measures = organism.progress_measures(parameters, &specimen.network, seed, cx)?;
        let Some(measures) = measures else {
            bail!(
                "progress {}: nothing is located in it by which its training could be followed; hint: `flyroom \
                 show progress` names those of which it is",
                self.organism
            )
        };
        let steps = parameters.get("steps").and_then(|s| s.as_u64()).unwrap_or(0) as usize;
        let every = self.every.unwrap_or(steps / LOOKS).max(1);
        let points = Mutex::new(vec![]);
        let look = |step: usize, network: &flyroom_network::Network| {
            let progress = measures.at(network, cx)?;
            points.lock().unwrap_or_else(PoisonError::into_inner).push(Point { step, progress });
            Ok(())
        };
        let nursery = Nursery { watch: Some(Watch { every, at: &look }), ..Nursery::none() };
        let again = organism.breed(parameters, seed, cx, &nursery)?.network.hash();
        if again != specimen.spec.weights {
            bail!(
                "bits broken: {dir} was bred to weights {:.12}, and now to {again:.12}; hint: if an older flyroom bred \
                 it, choose another folder with --out",
                specimen.spec.weights
            );
        }
        let points = points.into_inner().unwrap_or_else(PoisonError::into_inner);
        if points.is_empty() {
            bail!("progress {}: it was not trained; hint: --set steps=N", self.organism);
        }
        let by = self.by.unwrap_or(measures.by());
        let claim = Claim { early: measures.early(), late: measures.late(), by };
        let (names, unit) = measures.pictured();
        let parts = (measures.located(), measures.drawn());
        let followed = Followed::new((seed, again), parts, &claim, points);
        Ok(Run { followed, claim, names, unit })
    }
}

pub fn run(args: &Args, asked: &Asked, as_json: bool) -> Result<bool> {
    if let Some(by) = asked.by.filter(|x| !(*x > 0.0 && x.is_finite())) {
        bail!("--by {by}: nothing moves by that; hint: a number above 0");
    }
    if asked.every == Some(0) {
        bail!("--every 0: no steps between looks; hint: 1 is every step");
    }
    let bred = breed::run(args, asked.organism, asked.seeds, asked.set, asked.out, asked.progress)?;
    let follow = |seed: u64, cx: &Context| asked.follow(&bred, seed, cx);
    let runs = breed::each(args, breed::seeds(asked.seeds)?, &follow)?;
    let mut pictures = vec![];
    for run in &runs {
        let picture = asked.out.join(format!("progress-{}.svg", run.followed.seed));
        let figure = run.followed.figure(asked.organism, run.names, run.unit);
        write_whole(&picture, figure.picture().as_bytes())?;
        pictures.push(picture);
    }
    let claim = runs.first().map(|r| r.claim.clone()).context("no seeds")?;
    let runs = runs.into_iter().map(|r| r.followed).collect();
    let trainings = Trainings::new(asked.organism, claim, runs);
    write_whole(&asked.out.join("progress.csv"), trainings.csv().as_bytes())?;
    if as_json {
        output::json(&json!({ "progress": trainings, "pictures": pictures }))?;
        return Ok(true);
    }
    output::data(&table(&trainings));
    let folder = asked.out.display();
    output::say(
        args.quiet,
        &format!("curves: {folder}/progress.csv, pictures: {folder}/progress-*.svg"),
    );
    Ok(true)
}

/// A table of steps, and a line for each number that is said to be early.
fn table(trainings: &Trainings) -> String {
    let claim = &trainings.claim;
    let plain = |name: &str| name.replace('_', " ");
    let step = |s: &Option<usize>| s.map_or_else(|| "-".to_owned(), |s| s.to_string());
    let row = |r: &Followed| {
        let located: Vec<String> =
            r.located.values().map(|v| super::tally::word(v).unwrap_or_default()).collect();
        let early = claim.early.iter().filter_map(|d| Some(step(&r.early.get(d.name)?.at)));
        let mut row = vec![r.seed.to_string(), located.join("; ")];
        row.extend(early);
        row.push(step(&r.late));
        row
    };
    let names = |r: &Followed| r.located.keys().map(|k| plain(k)).collect::<Vec<_>>();
    let located = trainings.runs.first().map(names).unwrap_or_default().join("; ");
    let early = claim.early.iter().map(|d| plain(d.name));
    let head: Vec<String> = ["seed".to_owned(), located]
        .into_iter()
        .chain(early)
        .chain([plain(claim.late.name)])
        .collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = trainings.runs.iter().map(row).collect();
    let mut text = output::table(&head, &rows);
    let said = |b: Option<&Before>| match b.map(|b| (b, b.interval)) {
        Some((b, Some([low, high]))) => {
            format!("{} of {} (95 %: {low:.2} to {high:.2})", b.count, b.n)
        }
        _ => "none".to_owned(),
    };
    for d in &claim.early {
        let moved: Vec<&Moved> =
            trainings.runs.iter().filter_map(|r| r.early.get(d.name)).collect();
        let leads: Vec<f64> = moved.iter().filter_map(|m| m.lead).map(|l| l as f64).collect();
        text.push_str(&format!(
            "{} moves by {} before {}: {}, mean lead {} steps; of drawn parts {}\n",
            plain(d.name),
            claim.by,
            plain(claim.late.name),
            said(trainings.before.get(d.name)),
            mean(&leads).map_or_else(|| "-".to_owned(), output::number),
            said(trainings.before_drawn.get(d.name)),
        ));
    }
    text
}
