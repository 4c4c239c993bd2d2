//! From the cells of a run to its board, verdicts and figures, whoever computed the cells: one
//! process, several, or machines whose folders were brought together.

use crate::Fault;
use crate::absent;
use crate::board::{Arm, Board, CellResult, Standing};
use crate::bred::Bred;
use crate::figures;
use crate::foreign;
use crate::key::{CellSpec, Key};
use crate::plan::Plan;
use crate::report::{FigureGroup, ReportData};
use crate::run::{Cells, Made};
use crate::schedule::{CellId, Outcome};
use crate::store::Cell;
use crate::work::{Bench, RESULTS, standing_of};
use flyroom_describe::Grid;
use flyroom_organism::{Route, Spec, Truth};
use flyroom_validate::audit::{AUDIT_FILE, AUDIT_SCHEMA, Audit, truth_hash};
use std::collections::BTreeMap;

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    /// The board that its results support, its verdicts and its figures.
    pub report: ReportData,
    /// The specimens with what was measured on them.
    pub bred: Vec<Bred>,
    /// Cells that failed, were skipped or are not there: (cell, reason).
    pub failures: Vec<(String, String)>,
}

/// What is known of the cells of a plan besides their work.
pub(crate) struct Layout {
    labels: Vec<String>,
    specs: Vec<CellSpec>,
    results: Vec<CellId>,
    specimens: Vec<(String, CellId)>,
    made: Vec<Made>,
}

impl Layout {
    pub(crate) fn of(cells: &Cells) -> Self {
        let schedule = &cells.schedule;
        Self {
            labels: schedule.ids().map(|id| schedule.label(id).to_owned()).collect(),
            specs: schedule.ids().map(|id| schedule.spec(id).clone()).collect(),
            results: cells.results.clone(),
            specimens: cells.specimens.clone(),
            made: cells.made.clone(),
        }
    }
}

/// Puts together what the outcomes of a plan's cells support. A cell that failed or cannot be read
/// stands on the board with its reason, and takes nothing else with it.
pub(crate) fn assemble(
    plan: &Plan,
    bench: &Bench,
    layout: &Layout,
    outcomes: &[Outcome],
) -> Finished {
    let mut failures: Vec<(String, String)> = vec![];
    for (label, outcome) in layout.labels.iter().zip(outcomes) {
        failures.extend(outcome.reason().map(|reason| (label.clone(), reason.to_owned())));
    }
    let mut seeds: BTreeMap<Key, u64> = BTreeMap::new();
    for (_, id) in &layout.specimens {
        let spec = &layout.specs[id.index()];
        seeds.insert(spec.key(), spec.seed.unwrap_or(0));
    }
    let mut found: Vec<CellResult> = vec![];
    let mut missing: Vec<(&CellSpec, String)> = vec![];
    for id in &layout.results {
        let (label, spec) = (&layout.labels[id.index()], &layout.specs[id.index()]);
        let read = match &outcomes[id.index()] {
            Outcome::Finished(cell) => cell.read_json::<Vec<CellResult>>(RESULTS).map_err(|e| {
                failures.push((label.clone(), e.to_string()));
                e.to_string()
            }),
            Outcome::Failed(reason) | Outcome::Skipped(reason) => Err(reason.clone()),
        };
        match read {
            Ok(all) => found
                .extend(all.into_iter().filter(|r| plan.wants_metric_on(&r.metric, &r.organism))),
            Err(reason) => missing.push((spec, reason)),
        }
    }
    let absent: Vec<CellResult> = missing
        .iter()
        .flat_map(|(spec, reason)| absent::results(plan, spec, &seeds, reason, &found))
        .collect();
    found.extend(absent);
    let audited = audited(bench, layout, outcomes);
    for r in &mut found {
        if let Some(&standing) = audited.get(&(r.organism.as_str(), r.seed)) {
            r.standing = standing;
        }
    }
    let mut bred = vec![];
    for (organism, id) in &layout.specimens {
        match outcomes[id.index()].cell().map(|cell| Bred::of(organism, cell)) {
            Some(Ok(specimen)) => bred.push(specimen),
            Some(Err(e)) => failures.push((layout.labels[id.index()].clone(), e.to_string())),
            None => {}
        }
    }
    let (routes, arms) = kinds(layout, outcomes);
    let board = Board::from_results(found).routed(&routes).crash_tested(&arms);
    let mut provenance = vec![
        ("flyroom".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("bits epoch".to_owned(), crate::BITS_EPOCH.to_string()),
    ];
    for b in &bred {
        let weights = b.weights.chars().take(16).collect::<String>();
        provenance.push((format!("{} / {}", b.organism, b.seed), weights));
    }
    let figures = draw(layout, outcomes, bench).unwrap_or_else(|e| {
        failures.push(("the figures of the report".to_owned(), e.to_string()));
        vec![]
    });
    let report = ReportData {
        title: plan.name.clone(),
        plan: plan.text.clone(),
        verdicts: board.verdicts(),
        figures,
        board,
        provenance,
    };
    Finished { report, bred, failures }
}

/// The construction route of each organism of a run, and those that are traps or their control arms
/// in order of the plan.
fn kinds(layout: &Layout, outcomes: &[Outcome]) -> (BTreeMap<String, Route>, Vec<Arm>) {
    let (mut routes, mut arms) = (BTreeMap::new(), vec![]);
    for (label, id) in &layout.specimens {
        let spec = outcomes[id.index()].cell().and_then(|c| c.read_json("specimen.json").ok());
        let Some(Spec { organism, parameters, .. }) = spec else { continue };
        let Ok(kind) = flyroom_organism::find(&organism) else { continue };
        if routes.insert(label.clone(), kind.route()).is_none()
            && let Some(trapped) = kind.trap(&parameters)
        {
            arms.push(Arm { label: label.clone(), organism, trapped });
        }
    }
    (routes, arms)
}

/// The standing of the truths of a run that were audited, by organism and seed. An audit lies beside
/// the truth that it is about and is no cell: no result of a cell may depend on it.
fn audited<'l>(
    bench: &Bench,
    layout: &'l Layout,
    outcomes: &[Outcome],
) -> BTreeMap<(&'l str, u64), Standing> {
    let standing = |cell: &Cell| -> Option<(u64, Standing)> {
        let spec: Spec = cell.read_json("specimen.json").ok()?;
        let path = bench.truth_path(&spec.id());
        let text = std::fs::read_to_string(path.with_file_name(AUDIT_FILE)).ok()?;
        let audit: Audit = serde_json::from_str(&text).ok()?;
        let own = truth_hash(&Truth::read(&path).ok()?).ok()?;
        (audit.schema == AUDIT_SCHEMA && audit.truth == own)
            .then(|| (spec.seed, standing_of(audit.standing)))
    };
    let each = layout.specimens.iter().filter_map(|(organism, id)| {
        let (seed, standing) = standing(outcomes[id.index()].cell()?)?;
        Some(((organism.as_str(), seed), standing))
    });
    each.collect()
}

/// The figures of a run, organism by organism: curves of all seeds, the rest for the first.
fn draw(layout: &Layout, outcomes: &[Outcome], bench: &Bench) -> Result<Vec<FigureGroup>, Fault> {
    let cell = |id: CellId| outcomes[id.index()].cell();
    let mut organisms: Vec<&str> = vec![];
    for (name, _) in &layout.specimens {
        if !organisms.contains(&name.as_str()) {
            organisms.push(name);
        }
    }
    let mut groups = vec![];
    for organism in organisms {
        let mut group = FigureGroup { heading: organism.to_owned(), ..FigureGroup::default() };
        let of_organism = layout.specimens.iter().filter(|(name, _)| name == organism);
        let ids: Vec<CellId> = of_organism.map(|(_, id)| *id).collect();
        let bred: Vec<&Cell> = ids.iter().filter_map(|&id| cell(id)).collect();
        group.figures.extend(figures::curves(organism, &bred)?);
        let Some(&first) = ids.first() else { continue };
        let mut seen: Vec<Grid> = vec![];
        for m in layout.made.iter().filter(|m| m.specimen == first) {
            let (Some(specimen), Some(result)) = (cell(m.specimen), cell(m.result)) else {
                continue;
            };
            if foreign::failure(result).is_some() {
                continue;
            }
            let method = &m.labels.method;
            if !result.files.contains_key("description.json") {
                group.figures.extend(figures::decoder(bench, organism, method, specimen, result)?);
                group.folded.extend(figures::gram(organism, m.seed, method, result)?);
                continue;
            }
            group.figures.extend(figures::spectrum(organism, m.seed, result)?);
            if let Some(w) = m.wiring.and_then(cell) {
                group.figures.extend(figures::circuit(organism, method, m.seed, result, w)?);
            }
            for grid in figures::grids_of(result)? {
                let figure = figures::grid(&grid, method, organism, m.seed);
                if grid.detail { &mut group.folded } else { &mut group.figures }.push(figure);
                seen.push(grid);
            }
        }
        if let Some(specimen) = cell(first) {
            group.figures.extend(figures::patterns(bench, organism, specimen, &seen)?);
        }
        groups.push(group);
    }
    groups.retain(|g| !g.figures.is_empty() || !g.folded.is_empty());
    Ok(groups)
}
