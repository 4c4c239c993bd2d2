//! `flyroom progress`: each specimen is bred once more and measured on its way by what was located in it,
//! which is known at its end alone. The same seed must make the same weights again, and that is checked.

use super::breed::{self, Bred};
use crate::args::{Args, Progress};
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_bench::progress::{Followed, Point, Trainings};
use flyroom_bench::statistics::mean;
use flyroom_network::write_whole;
use flyroom_organism::train::{Nursery, Watch};
use flyroom_organism::{Dated, Specimen};
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
    claim: [Dated; 2],
    by: f64,
    names: &'static [&'static str],
    unit: &'static str,
}

impl Asked<'_> {
    /// Follows the training of one seed.
    fn follow(&self, bred: &Bred, seed: u64, cx: &Context) -> Result<Run> {
        let (organism, parameters) = (bred.organism, &bred.parameters);
        let summary = bred.specimens.iter().find(|s| s["seed"].as_u64() == Some(seed));
        let dir = summary.and_then(|s| s["path"].as_str()).context("no such specimen")?;
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
        let (claim, by) = (measures.claim(), self.by.unwrap_or(measures.by()));
        let (names, unit) = measures.pictured();
        let followed =
            Followed::new((seed, again), measures.located(), measures.drawn(), (claim, by), points);
        Ok(Run { followed, claim, by, names, unit })
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
    let (claim, by) = runs.first().map(|r| (r.claim, r.by)).context("no seeds")?;
    let runs = runs.into_iter().map(|r| r.followed).collect();
    let trainings = Trainings::new(asked.organism, claim, by, runs);
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

fn table(trainings: &Trainings) -> String {
    let step = |s: &Option<usize>| s.map_or_else(|| "-".to_owned(), |s| s.to_string());
    let row = |r: &Followed| {
        let located: Vec<String> =
            r.located.values().map(|v| super::tally::word(v).unwrap_or_default()).collect();
        let drawn: Vec<String> = r.drawn.iter().map(|d| step(&d.moved)).collect();
        vec![
            r.seed.to_string(),
            located.join("; "),
            step(&r.early),
            step(&r.late),
            r.lead.map_or_else(|| "-".to_owned(), |l| l.to_string()),
            drawn.join(", "),
        ]
    };
    let names = |r: &Followed| r.located.keys().map(|k| k.replace('_', " ")).collect::<Vec<_>>();
    let located = trainings.runs.first().map(names).unwrap_or_default().join("; ");
    let (early, late) =
        (trainings.early.name.replace('_', " "), trainings.late.name.replace('_', " "));
    let head =
        ["seed", &located, &format!("{early} moves"), &format!("{late} moves"), "lead", "drawn"];
    let rows: Vec<Vec<String>> = trainings.runs.iter().map(row).collect();
    let leads: Vec<f64> = trainings.runs.iter().filter_map(|r| r.lead).map(|l| l as f64).collect();
    let said = |b: &flyroom_bench::progress::Before| match b.interval {
        Some([low, high]) => format!("{} of {} (95 %: {low:.2} to {high:.2})", b.count, b.n),
        None => format!("{} of {}", b.count, b.n),
    };
    format!(
        "{}{early} moves by {} before {late}: {}, mean lead {} steps; of drawn parts {}\n",
        output::table(&head, &rows),
        trainings.by,
        said(&trainings.before),
        mean(&leads).map_or_else(|| "-".to_owned(), output::number),
        said(&trainings.before_drawn),
    )
}
