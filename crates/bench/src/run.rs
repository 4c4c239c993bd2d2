//! A plan carried out: from its text to the board.

use crate::Fault;
use crate::board::{Board, CellResult};
use crate::bred::Bred;
use crate::figures;
use crate::foreign::{self, Foreign};
use crate::key::CellSpec;
use crate::plan::{Catalog, EntryInfo, OrganismEntry, Plan};
use crate::report::{Figure, ReportData};
use crate::schedule::{CellId, Observer, Outcome, Schedule};
use crate::store::{Cell, Store};
use crate::work::{Bench, Labels, RESULTS};
use flyroom_organism::{Parameters, Specimen, Truth};
use flyroom_tensor::Context;
use flyroom_validate::METRICS;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The plan of the main job.
pub const FIRST_LOOK: &str = include_str!("../plans/first-look.toml");

/// Version of trials and scores, raised when any of them changes.
const SCORES: u32 = 2;

/// Everything that a plan can name, from the three registries.
pub fn catalog() -> Catalog {
    let info = |name: &str, step: &str, parameters: Parameters| {
        let parameters: Vec<(&str, Value)> =
            parameters.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        EntryInfo::new(name, step, &parameters)
    };
    let organisms = flyroom_organism::registry()
        .iter()
        .map(|o| info(o.entry().name, "organism", o.defaults()))
        .collect();
    let mut methods: Vec<EntryInfo> = flyroom_decompose::registry()
        .iter()
        .map(|m| {
            let mut all = m.defaults();
            all.insert(SITE.into(), Value::from("auto"));
            info(m.entry().name, "decompose", all)
        })
        .collect();
    methods.extend(
        flyroom_describe::registry().iter().map(|m| info(m.entry().name, "describe", m.defaults())),
    );
    let metrics = METRICS.iter().map(|m| info(m.name, "metric", Parameters::new())).collect();
    Catalog { organisms, methods, metrics }
}

/// Parameter of every decompose method in a plan: where it looks.
const SITE: &str = "site";

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    /// The board that its results support, its verdicts and its figures.
    pub report: ReportData,
    /// The specimens with what was measured on them.
    pub bred: Vec<Bred>,
    /// Cells that failed or were skipped: (cell, reason).
    pub failures: Vec<(String, String)>,
}

/// A plan as cells: results are read from those listed.
pub struct Cells<'a> {
    /// All cells.
    pub schedule: Schedule<'a>,
    /// Those that leave results for the board.
    pub results: Vec<CellId>,
    /// Specimens with the labels of their organisms.
    pub specimens: Vec<(String, CellId)>,
    /// What methods made of them.
    pub made: Vec<Made>,
    /// The programs among the methods.
    pub programs: Vec<Arc<Foreign>>,
}

/// What one method made of one specimen.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the plan calls the organism and the method.
    pub labels: Labels,
    /// Seed of the specimen.
    pub seed: u64,
    /// The specimen.
    pub specimen: CellId,
    /// Its decomposition or explanation.
    pub result: CellId,
    /// The scores of the wiring, for explanations.
    pub wiring: Option<CellId>,
}

/// Lays a plan out as cells.
pub fn cells<'a>(plan: &Plan, bench: &'a Bench) -> Result<Cells<'a>, Fault> {
    let catalog = catalog();
    let mut schedule = Schedule::new();
    let mut results = vec![];
    let mut made = vec![];
    // Specimens first: what trains longest starts first and the rest fills the gaps.
    let mut bred: Vec<(&OrganismEntry, u64, CellId)> = vec![];
    for entry in &plan.organisms {
        if let Some(path) = &entry.specimen {
            let from = foreign::beside(&plan.folder, path, &entry.name);
            let specimen = Specimen::read(&from)?;
            let s = &specimen.spec;
            flyroom_organism::find(&s.organism)?;
            // What it is and not where it lies.
            let spec = CellSpec::new("specimen", &s.organism, s.version)
                .with("specimen", specimen.id())
                .seed(s.seed);
            let label = format!("import {}", entry.label);
            let id = schedule.add(label, spec, &[], move |_, folder| bench.imported(&from, folder));
            bred.push((entry, s.seed, id));
            continue;
        }
        let organism = flyroom_organism::find(&entry.name)?;
        let parameters = filled(&catalog.organisms, "organism", &entry.name, &entry.set);
        for seed in 0..entry.seeds {
            let spec = CellSpec::new("specimen", &entry.name, organism.entry().version)
                .parameters(parameters.clone())
                .seed(seed);
            let parameters: Parameters = parameters.clone().into_iter().collect();
            let label = format!("breed {} / {seed}", entry.label);
            let id = schedule.add(label, spec, &[], move |_, folder| {
                bench.specimen(organism, &parameters, seed, folder)
            });
            bred.push((entry, seed, id));
        }
    }
    let mut programs: Vec<Option<Arc<Foreign>>> = vec![];
    for m in &plan.methods {
        programs.push(Foreign::resolve(m, &plan.folder)?.map(Arc::new));
    }
    for &(entry, seed, specimen) in &bred {
        let organism = entry.label.clone();
        let mut described: Vec<(String, CellId)> = vec![];
        let mut of_programs = false;
        let wanted = plan.methods.iter().zip(&programs).filter(|(m, _)| m.wants(entry));
        for (m, program) in wanted {
            for nth in 0..m.seeds {
                let method_seed = method_seed(seed, nth);
                let all = filled(&catalog.methods, &m.step, &m.name, &m.set);
                let parameters = parameters_without_site(&all);
                let method =
                    if m.seeds > 1 { format!("{}/{nth}", m.label) } else { m.label.clone() };
                let labels = Labels { organism: organism.clone(), method: method.clone() };
                let name = format!("{method} on {organism} / {seed}");
                let work = format!("{} {name}", m.step);
                if m.step == "decompose" {
                    let id = if let Some(program) = program.clone() {
                        let spec = program.spec(method_seed);
                        schedule.add(work, spec, &[specimen], move |c, f| {
                            bench.foreign(&program, method_seed, &c[0], f)
                        })
                    } else {
                        let d = flyroom_decompose::find(&m.name)?;
                        let site =
                            all.get(SITE).and_then(Value::as_str).unwrap_or("auto").to_owned();
                        let spec = CellSpec::new("decomposition", &m.name, d.entry().version)
                            .parameters(all)
                            .seed(method_seed);
                        schedule.add(work, spec, &[specimen], move |c, f| {
                            bench.decomposition(d, &site, &parameters, method_seed, &c[0], f)
                        })
                    };
                    made.push(Made {
                        labels: labels.clone(),
                        seed,
                        specimen,
                        result: id,
                        wiring: None,
                    });
                    let spec = scored("parts", &labels, program.is_some());
                    results.push(schedule.add(
                        format!("parts {name}"),
                        spec,
                        &[specimen, id],
                        move |c, f| bench.parts(&labels, &c[0], &c[1], f),
                    ));
                } else {
                    let id = if let Some(program) = program.clone() {
                        of_programs = true;
                        let spec = program.spec(method_seed);
                        schedule.add(work, spec, &[specimen], move |c, f| {
                            bench.foreign(&program, method_seed, &c[0], f)
                        })
                    } else {
                        let d = flyroom_describe::find(&m.name)?;
                        let spec = CellSpec::new("explanation", &m.name, d.entry().version)
                            .parameters(all)
                            .seed(method_seed);
                        schedule.add(work, spec, &[specimen], move |c, f| {
                            bench.explanation(d, &parameters, method_seed, &c[0], f)
                        })
                    };
                    described.push((method, id));
                    let mut wiring = None;
                    if plan.wants_metric("faithfulness") || plan.wants_metric("edge-auroc") {
                        let spec = scored("wiring", &labels, program.is_some());
                        let labels = labels.clone();
                        let scores = schedule.add(
                            format!("wiring {name}"),
                            spec,
                            &[specimen, id],
                            move |c, f| bench.wiring(&labels, &c[0], &c[1], f),
                        );
                        results.push(scores);
                        wiring = Some(scores);
                    }
                    made.push(Made { labels, seed, specimen, result: id, wiring });
                }
            }
        }
        if plan.wants_metric("effect-skill") {
            let methods: Vec<String> = described.iter().map(|d| d.0.clone()).collect();
            let spec = CellSpec::new("trial", "trial", SCORES)
                .with("organism", organism.clone())
                .with("methods", methods.clone());
            let spec = marked(spec, of_programs);
            let needs: Vec<CellId> =
                std::iter::once(specimen).chain(described.iter().map(|d| d.1)).collect();
            results.push(schedule.add(
                format!("trial of {organism} / {seed}"),
                spec,
                &needs,
                move |c, f| bench.trial(&organism, &methods, &c[0], &c[1..], f),
            ));
        }
    }
    let specimens = bred.iter().map(|(e, _, id)| (e.label.clone(), *id)).collect();
    let programs = programs.into_iter().flatten().collect();
    Ok(Cells { schedule, results, specimens, made, programs })
}

/// The seed of a method's `nth` try on the specimen of a seed. Each specimen gets draws of its own:
/// with the same ones on all of them, one lucky draw would look like a finding on every seed.
fn method_seed(specimen: u64, nth: u64) -> u64 {
    specimen.wrapping_add(nth << 32)
}

fn scored(kind: &str, labels: &Labels, of_program: bool) -> CellSpec {
    let spec = CellSpec::new(kind, kind, SCORES)
        .with("organism", labels.organism.clone())
        .with("method", labels.method.clone());
    marked(spec, of_program)
}

/// What is read from the answer of a program is as machine-dependent as the answer.
fn marked(spec: CellSpec, of_program: bool) -> CellSpec {
    if of_program { spec.with(foreign::MARK, foreign::CONTRACT) } else { spec }
}

/// Keeps what the plan read from beside it, so that the run stands alone.
fn keep_inputs(plan: &Plan, root: &Path, programs: &[Arc<Foreign>]) -> Result<(), Fault> {
    for program in programs {
        program.keep(root)?;
    }
    for entry in &plan.organisms {
        if let Some(path) = &entry.specimen {
            let from = foreign::beside(&plan.folder, path, &entry.name);
            let (specimen, to) =
                (Specimen::read(&from)?, root.join(foreign::INPUTS).join(&entry.name));
            Truth::read(&specimen.truth_path(&from))?.write(&specimen.truth_path(&to))?;
            specimen.write(&to)?;
        }
    }
    Ok(())
}

fn filled(
    entries: &[EntryInfo],
    step: &str,
    name: &str,
    set: &BTreeMap<String, Value>,
) -> BTreeMap<String, Value> {
    entries
        .iter()
        .find(|e| e.name == name && e.step == step)
        .map_or_else(|| set.clone(), |e| e.fill(set))
}

fn parameters_without_site(all: &BTreeMap<String, Value>) -> Parameters {
    all.iter().filter(|(n, _)| *n != SITE).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// What figures are drawn from.
struct Drawn {
    specimens: Vec<(String, CellId)>,
    made: Vec<Made>,
}

/// Runs a plan in a folder, or goes on where it was stopped.
pub fn run(
    plan: &Plan,
    root: &Path,
    context: &Context,
    workers: usize,
    observer: &dyn Observer,
) -> Result<Finished, Fault> {
    let store = Store::open(root, plan)?;
    let bench = Bench { root: root.to_path_buf(), context: context.clone() };
    let cells = cells(plan, &bench)?;
    let labels: Vec<String> =
        cells.schedule.ids().map(|id| cells.schedule.label(id).to_owned()).collect();
    let Cells { schedule, results, specimens, made, programs } = cells;
    keep_inputs(plan, root, &programs)?;
    let outcomes = schedule.run(&store, workers, observer);
    let cells = Drawn { specimens, made };
    let mut found: Vec<CellResult> = vec![];
    for id in &results {
        if let Some(cell) = outcomes[id.index()].cell() {
            let all: Vec<CellResult> = cell.read_json(RESULTS)?;
            found.extend(all.into_iter().filter(|r| plan.wants_metric(&r.metric)));
        }
    }
    let mut bred = vec![];
    for (organism, id) in &cells.specimens {
        if let Some(cell) = outcomes[id.index()].cell() {
            bred.push(Bred::of(organism, cell)?);
        }
    }
    let failures = labels
        .into_iter()
        .zip(&outcomes)
        .filter_map(|(label, o)| o.reason().map(|r| (label, r.to_owned())))
        .collect();
    let board = Board::from_results(found);
    let mut provenance = vec![
        ("flyroom".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("bits epoch".to_owned(), crate::BITS_EPOCH.to_string()),
    ];
    for b in &bred {
        let weights = b.weights.chars().take(16).collect::<String>();
        provenance.push((format!("{} / {}", b.organism, b.seed), weights));
    }
    let report = ReportData {
        title: plan.name.clone(),
        plan: plan.text.clone(),
        verdicts: board.verdicts(),
        figures: draw(&cells, &outcomes, &bench)?,
        board,
        provenance,
    };
    Ok(Finished { report, bred, failures })
}

/// The figures of a run: curves of all seeds, the rest for the first seed of each organism.
fn draw(cells: &Drawn, outcomes: &[Outcome], bench: &Bench) -> Result<Vec<Figure>, Fault> {
    let cell = |id: CellId| outcomes[id.index()].cell();
    let specimens: Vec<(String, Cell)> = cells
        .specimens
        .iter()
        .filter_map(|(name, id)| Some((name.clone(), cell(*id)?.clone())))
        .collect();
    let mut out = figures::curves(&specimens)?;
    for m in cells.made.iter().filter(|m| m.seed == 0) {
        let (Some(specimen), Some(result)) = (cell(m.specimen), cell(m.result)) else { continue };
        if foreign::failure(result).is_some() {
            continue;
        }
        let (organism, method) = (&m.labels.organism, &m.labels.method);
        match m.wiring {
            None => out.extend(figures::decoder(bench, organism, method, specimen, result)?),
            Some(w) => {
                out.extend(figures::spectrum(organism, m.seed, result)?);
                if let Some(w) = cell(w) {
                    out.extend(figures::circuit(organism, method, m.seed, result, w)?);
                }
            }
        }
    }
    Ok(out)
}
