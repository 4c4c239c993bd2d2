//! From a row of the board to the files that it was made from.

use crate::Fault;
use crate::board::{CellResult, Row};
use crate::key::Key;
use crate::plan::Plan;
use crate::run::{Cells, cells};
use crate::schedule::{CellId, Schedule};
use crate::store::Store;
use crate::work::{Bench, RESULTS};
use flyroom_organism::Spec;
use flyroom_tensor::Context;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The cells behind one seed of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Traced {
    /// The specimen's seed.
    pub seed: u64,
    /// Its result, as the cell holds it; `None` where the cell is not there.
    pub result: Option<CellResult>,
    /// The cell that holds the number, then those that it was made from, back to the specimen.
    pub cells: Vec<TracedCell>,
    /// The truth against which it was judged.
    pub truth: Option<PathBuf>,
}

/// One cell on the way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedCell {
    /// What was done.
    pub label: String,
    /// Its key.
    pub key: Key,
    /// The files that it left, or where they would lie.
    pub files: Vec<PathBuf>,
    /// Why it is not there, if it is not.
    pub missing: Option<String>,
}

/// Where the numbers of a row come from, seed by seed.
pub fn row(plan: &Plan, store: &Store, row: &Row, cx: &Context) -> Result<Vec<Traced>, Fault> {
    let bench = Bench { root: store.root().to_path_buf(), context: cx.clone() };
    let Cells { schedule, results, .. } = cells(plan, &bench)?;
    let mut traced = vec![];
    for id in results {
        let spec = schedule.spec(id);
        let of_row = |name: &str, label: &str| match spec.parameters.get(name) {
            Some(serde_json::Value::String(text)) => text == label,
            _ => true,
        };
        if spec.kind != cell_kind(row)
            || !of_row("organism", &row.organism)
            || !of_row("method", &row.method)
        {
            continue;
        }
        let Some(seed) = seed_of(&schedule, id) else { continue };
        let is_row = |r: &CellResult| {
            (&r.organism, &r.method, &r.metric, r.tier, r.seed)
                == (&row.organism, &row.method, &row.metric, row.tier, seed)
        };
        let all = match store.get(&spec.key()) {
            Ok(Some(cell)) => cell.read_json::<Vec<CellResult>>(RESULTS).ok(),
            _ => None,
        };
        let result = all.and_then(|all| all.into_iter().find(is_row));
        if result.is_some() || row.seeds.iter().any(|s| s.seed == seed && s.score.is_none()) {
            let cells = way_back(&schedule, id, store, &row.method);
            let specimen = schedule.needs(id).next();
            let truth = specimen.and_then(|id| truth_path(&bench, store, &schedule, id));
            traced.push(Traced { seed, result, cells, truth });
        }
    }
    traced.sort_by_key(|t| t.seed);
    Ok(traced)
}

/// The specimens of an organism of the plan.
pub fn specimens(
    plan: &Plan,
    store: &Store,
    organism: &str,
    cx: &Context,
) -> Result<Vec<(u64, TracedCell)>, Fault> {
    let bench = Bench { root: store.root().to_path_buf(), context: cx.clone() };
    let Cells { schedule, specimens, .. } = cells(plan, &bench)?;
    let of = specimens.iter().filter(|(label, _)| label == organism);
    Ok(of
        .map(|(_, id)| (schedule.spec(*id).seed.unwrap_or(0), cell(&schedule, *id, store)))
        .collect())
}

fn truth_path(
    bench: &Bench,
    store: &Store,
    schedule: &Schedule,
    specimen: CellId,
) -> Option<PathBuf> {
    let cell = store.get(&schedule.spec(specimen).key()).ok()??;
    let spec: Spec = cell.read_json("specimen.json").ok()?;
    Some(bench.truth_path(&spec.id()))
}

fn cell_kind(row: &Row) -> &'static str {
    match row.table {
        crate::board::Table::Parts => "parts",
        crate::board::Table::Wiring => "wiring",
        crate::board::Table::Effects => "trial",
        crate::board::Table::Twins => "twins",
    }
}

fn seed_of(schedule: &Schedule, id: CellId) -> Option<u64> {
    // Of a pair of programs, its number.
    let specimens = || schedule.needs(id).next().and_then(|s| schedule.spec(s).seed);
    schedule.spec(id).seed.or_else(specimens)
}

/// The cell and what it was made from. A trial reads the explanations of all methods: of those only
/// the row's own is on the way.
fn way_back(schedule: &Schedule, id: CellId, store: &Store, method: &str) -> Vec<TracedCell> {
    let mut way = vec![cell(schedule, id, store)];
    let mut seen = BTreeSet::new();
    let methods = schedule.spec(id).parameters.get("methods").and_then(|m| m.as_array());
    for (at, need) in schedule.needs(id).enumerate() {
        let of_another = at > 0
            && methods
                .is_some_and(|all| all.get(at - 1).is_some_and(|m| m.as_str() != Some(method)));
        if !of_another && seen.insert(need) {
            way.push(cell(schedule, need, store));
        }
    }
    // The specimen last: it is where everything begins.
    if way.len() > 2 {
        way[1..].rotate_left(1);
    }
    way
}

fn cell(schedule: &Schedule, id: CellId, store: &Store) -> TracedCell {
    let key = schedule.spec(id).key();
    let (files, missing) = match store.get(&key) {
        Ok(Some(cell)) => (cell.files.keys().map(|name| cell.path(name)).collect(), None),
        Ok(None) => (vec![store.folder_of(&key)], Some("it is not there".to_owned())),
        Err(e) => (vec![store.folder_of(&key)], Some(e.to_string())),
    };
    TracedCell { label: schedule.label(id).to_owned(), key, files, missing }
}
