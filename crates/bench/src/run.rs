//! A plan carried out: from its text to the board.

use crate::Fault;
use crate::assemble::{Finished, Layout, assemble};
use crate::foreign::{self, Foreign};
use crate::key::{CellSpec, Key};
use crate::plan::own::Own;
use crate::plan::{Catalog, EntryInfo, OrganismEntry, PROGRAM, Plan, RASP, SetInfo};
use crate::schedule::{CellId, Observer, Outcome, Schedule};
use crate::store::{Keep, Store};
use crate::twins::{self, Said};
use crate::work::{Bench, Labels};
use flyroom_explanation::rasp::Script;
use flyroom_organism::twins::Mechanism;
use flyroom_organism::{Parameters, Spec, Specimen, Truth, consistent, with_defaults};
use flyroom_tensor::Context;
use flyroom_validate::METRICS;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The plan of the main job.
pub const FIRST_LOOK: &str = include_str!("../plans/first-look.toml");

/// Every trap beside its control arm.
pub const CRASH_TEST: &str = include_str!("../plans/crash-test.toml");

/// Every method that applies on the standard set.
pub const FLYROOM_6: &str = include_str!("../plans/flyroom-6.toml");

/// The plans that need no file, by name; the first is that of the main job.
pub const EMBEDDED: [(&str, &str); 3] =
    [("first-look", FIRST_LOOK), ("crash-test", CRASH_TEST), ("flyroom-6", FLYROOM_6)];

/// Version of trials and scores, raised when any of them changes.
const SCORES: u32 = 5;

/// Everything that a plan can name, from the three registries and the frozen sets.
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
    Catalog { organisms, methods, metrics, sets: SetInfo::all() }
}

/// Parameter of every decompose method in a plan: where it looks.
const SITE: &str = "site";

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
    let mut mechanisms: Vec<(Mechanism, CellId)> = vec![];
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
            mechanisms.push((Mechanism::of(&s.organism, &s.parameters), id));
            bred.push((entry, s.seed, id));
            continue;
        }
        let organism = flyroom_organism::find(entry.registered())?;
        let name = organism.entry().name;
        let mut set = entry.set.clone();
        if let Some(text) = program_of(entry, &plan.folder)? {
            set.insert(PROGRAM.into(), text.into());
        }
        if let Some(own) = own_of(entry, &plan.folder)? {
            // What the plan sets stands over what the file says.
            set = own.parameters.into_iter().chain(set).collect();
        }
        let parameters = filled(&catalog.organisms, "organism", name, &set);
        let mechanism = Mechanism::of(name, &parameters.clone().into_iter().collect());
        for seed in 0..entry.seeds {
            let spec = CellSpec::new("specimen", name, organism.entry().version)
                .parameters(parameters.clone())
                .seed(seed);
            let parameters: Parameters = parameters.clone().into_iter().collect();
            let label = format!("breed {} / {seed}", entry.label);
            let key = spec.key();
            let id = schedule.add(label, spec, &[], move |_, folder| {
                bench.specimen(organism, &parameters, seed, &key, folder)
            });
            schedule.set_cost(id, milliseconds(organism.entry().cost));
            mechanisms.push((mechanism.clone(), id));
            bred.push((entry, seed, id));
        }
    }
    let mut tried: Vec<twins::Tried> = vec![];
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
                    let foreign = program.is_some();
                    tried.push((labels.method.clone(), Said::Dictionary, specimen, id, foreign));
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
                    let foreign = program.is_some();
                    tried.push((method.clone(), Said::Explanation, specimen, id, foreign));
                    described.push((method, id));
                    let mut wiring = None;
                    let wiring_metrics = ["faithfulness", "edge-auroc"];
                    if wiring_metrics.iter().any(|m| plan.wants_metric_on(m, &organism)) {
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
        if plan.wants_metric_on("effect-skill", &organism) {
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
    if plan.wants_metric(twins::TWIN_AUROC) {
        for (about, specimens, made, foreign) in twins::cells(&mechanisms, &tried) {
            let spec = CellSpec::new("twins", "twins", SCORES)
                .with("organism", twins::BEHAVIOUR_TWINS)
                .with("method", about.method.clone())
                .with("other", about.other.clone())
                .seed(about.number);
            let label = format!("twins {} by {}", about.names.join(" and "), about.method);
            let needs = [specimens, made].concat();
            let spec = marked(spec, foreign);
            results.push(schedule.add(label, spec, &needs, move |c, f| bench.twins(&about, c, f)));
        }
    }
    for id in schedule.ids() {
        let kind = COSTS.iter().find(|(kind, _)| *kind == schedule.spec(id).kind);
        if let Some((_, cost)) = kind {
            schedule.set_cost(id, *cost);
        }
    }
    let specimens = bred.iter().map(|(e, _, id)| (e.label.clone(), *id)).collect();
    let programs = programs.into_iter().flatten().collect();
    Ok(Cells { schedule, results, specimens, made, programs })
}

/// Milliseconds that cells take, by kind, roughly: they decide what starts first and no result.
const COSTS: [(&str, u64); 6] = [
    ("decomposition", 1500),
    ("explanation", 2000),
    ("parts", 500),
    ("wiring", 1500),
    ("trial", 6000),
    ("twins", 1000),
];

/// The declared cost of breeding one seed (`10 s`, `2 min`, `1 h`); words cost nothing.
fn milliseconds(cost: &str) -> u64 {
    let mut words = cost.split_whitespace();
    let number: f64 = words.next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let unit = match words.next() {
        Some("ms") => 1.0,
        Some("min") => 60_000.0,
        Some("h") => 3_600_000.0,
        _ => 1_000.0,
    };
    (number.clamp(0.0, 1e6) * unit) as u64
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
        if let Some(text) = program_of(entry, &plan.folder)? {
            let folder = root.join(foreign::INPUTS);
            fs::create_dir_all(&folder)?;
            flyroom_network::write_whole(&folder.join(kept_as(entry)), text.as_bytes())?;
        }
        if let Some(own) = own_of(entry, &plan.folder)? {
            let folder = root.join(foreign::INPUTS);
            fs::create_dir_all(&folder)?;
            let kept = folder.join(kept_file(entry));
            flyroom_network::write_whole(&kept, own.text.as_bytes())?;
            flyroom_network::write_whole(&folder.join(kept_as(entry)), own.program.as_bytes())?;
        }
    }
    Ok(())
}

/// What a run calls the program that it keeps.
fn kept_as(entry: &OrganismEntry) -> String {
    format!("{}.rasp", entry.name)
}

/// What a run calls the file of an organism that it keeps.
fn kept_file(entry: &OrganismEntry) -> String {
    format!("{}.toml", entry.name)
}

/// What the file of an organism says; in a run, both it and its program lie among the inputs.
fn own_of(entry: &OrganismEntry, folder: &Path) -> Result<Option<Own>, Fault> {
    let Some(path) = &entry.file else { return Ok(None) };
    let here = folder.join(path);
    let found = foreign::beside(folder, path, &kept_file(entry));
    let program = (found != here).then(|| folder.join(foreign::INPUTS).join(kept_as(entry)));
    let named = |e: Fault| format!("organism `{}`: {e}", entry.name);
    let own = Own::read(&found, program).map_err(named)?;
    let mut all: Parameters = own.parameters.clone().into_iter().collect();
    all.extend(entry.set.clone());
    consistent(&all).map_err(|e| named(e.into()))?;
    Ok(Some(own))
}

/// The text of the RASP program that an organism is; that it can be compiled is checked, so that a run
/// says so before it computes anything.
fn program_of(entry: &OrganismEntry, folder: &Path) -> Result<Option<String>, Fault> {
    let Some(path) = &entry.program else { return Ok(None) };
    let path = foreign::beside(folder, path, &kept_as(entry));
    let (_, text) = Script::read(&path).map_err(|e| format!("organism `{}`: {e}", entry.name))?;
    let mut all: Parameters = entry.set.clone().into_iter().collect();
    all.insert(PROGRAM.into(), text.clone().into());
    let organism = flyroom_organism::find(RASP)?;
    with_defaults(organism, &all)
        .and_then(|all| organism.task(&all, Some(1)))
        .map_err(|e| format!("organism `{}`: {}", entry.name, e.in_file(&path)))?;
    Ok(Some(text))
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
    keep_inputs(plan, root, &cells.programs)?;
    let layout = Layout::of(&cells);
    let outcomes = cells.schedule.run(&store, workers, observer);
    Ok(assemble(plan, &bench, &layout, &outcomes))
}

/// What the cells in a folder support, without computing any.
pub fn look(plan: &Plan, store: &Store, context: &Context) -> Result<Finished, Fault> {
    let bench = Bench { root: store.root().to_path_buf(), context: context.clone() };
    let cells = cells(plan, &bench)?;
    let outcomes = cells.schedule.found(store);
    Ok(assemble(plan, &bench, &Layout::of(&cells), &outcomes))
}

/// Runs one cell of a plan, and before it what it needs and is not there. With `again` the cell is
/// computed although it is there, and the two contents must be equal.
pub fn one(
    plan: &Plan,
    root: &Path,
    index: usize,
    again: bool,
    context: &Context,
    workers: usize,
    observer: &dyn Observer,
) -> Result<(String, Outcome), Fault> {
    let bench = Bench { root: root.to_path_buf(), context: context.clone() };
    let Cells { mut schedule, programs, .. } = cells(plan, &bench)?;
    let count = schedule.len();
    let Some(id) = schedule.ids().nth(index) else {
        return Err(format!(
            "there is no cell {index}: the plan has {count}, from 0 to {}; hint: --list shows them",
            count.saturating_sub(1)
        )
        .into());
    };
    if again {
        schedule.set_again(id);
    }
    let label = schedule.label(id).to_owned();
    let store = Store::open(root, plan)?;
    keep_inputs(plan, root, &programs)?;
    let mut outcomes = schedule.only(id).run(&store, workers, observer);
    Ok((label, outcomes.swap_remove(id.index())))
}

/// One cell of a plan, as an array job needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its number: the same for the same plan and version of flyroom, whatever is on disk.
    pub index: usize,
    /// How many cells stand before it in the longest chain that leads to it.
    pub level: usize,
    /// Its key.
    pub key: Key,
    /// Its name for people.
    pub label: String,
    /// `finished`, `at work`, `two contents` or `missing`.
    pub state: &'static str,
    /// The cells that it reads, by index.
    pub needs: Vec<usize>,
}

/// All cells of a plan, with what a folder has of them.
pub fn list(plan: &Plan, root: &Path, context: &Context) -> Result<Vec<Listed>, Fault> {
    let bench = Bench { root: root.to_path_buf(), context: context.clone() };
    let Cells { schedule, .. } = cells(plan, &bench)?;
    let store = Store::view(root).ok();
    let levels = schedule.levels();
    let listed = |id: CellId| {
        let key = schedule.spec(id).key();
        let state = store.as_ref().map_or("missing", |store| match store {
            s if s.contains(&key) && s.is_disputed(&key) => "two contents",
            s if s.contains(&key) => "finished",
            s if s.is_claimed(&key) => "at work",
            _ => "missing",
        });
        Listed {
            index: id.index(),
            level: levels[id.index()],
            key,
            label: schedule.label(id).to_owned(),
            state,
            needs: schedule.needs(id).map(CellId::index).collect(),
        }
    };
    Ok(schedule.ids().map(listed).collect())
}

/// What garbage collection must leave: the cells of the plan and the truths of its specimens.
pub fn needed(plan: &Plan, store: &Store, context: &Context) -> Result<Keep, Fault> {
    let bench = Bench { root: store.root().to_path_buf(), context: context.clone() };
    let Cells { schedule, specimens, .. } = cells(plan, &bench)?;
    let cells = schedule.ids().map(|id| schedule.spec(id).key()).collect();
    let ids = specimens.iter().filter_map(|(_, id)| {
        let cell = store.get(&schedule.spec(*id).key()).transpose()?;
        Some(cell.and_then(|cell| cell.read_json::<Spec>("specimen.json")).map(|spec| spec.id()))
    });
    Ok(Keep { cells, truths: ids.collect::<Result<_, _>>().ok() })
}
