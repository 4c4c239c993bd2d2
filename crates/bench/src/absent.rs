//! Rows of what is not there: a cell that failed still stands on the board, with its reason, where
//! its numbers would have stood.
//!
//! Which rows those are is read from the cells of the same kind that are there (other seeds of the
//! same method). Where there is none, one row stands for all: the first metric of the kind that the
//! plan wants.

use std::collections::{BTreeMap, BTreeSet};

use crate::board::{Absent, CellResult, Source, Standing, Table, Tier};
use crate::key::{CellSpec, Key};
use crate::plan::Plan;
use crate::twins::{BEHAVIOUR_TWINS, TWIN_AUROC};
use crate::work::{source_of, standing_of};

/// The results that a cell would have held.
pub(crate) fn results(
    plan: &Plan,
    spec: &CellSpec,
    seeds: &BTreeMap<Key, u64>,
    reason: &str,
    found: &[CellResult],
) -> Vec<CellResult> {
    let Some((table, metrics)) = kind(&spec.kind) else { return vec![] };
    let text = |name: &str| spec.parameters.get(name).and_then(|v| v.as_str()).unwrap_or("");
    let organism = text("organism");
    let of_specimen = || spec.inputs.first().and_then(|key| seeds.get(key)).copied();
    let seed = spec.seed.or_else(of_specimen).unwrap_or(0);
    // A trial has the rows of all its methods, and those of the truth and the controls.
    let methods: Vec<&str> = match spec.parameters.get("methods").and_then(|v| v.as_array()) {
        Some(all) => all.iter().filter_map(|v| v.as_str()).collect(),
        None => vec![text("method")],
    };
    let whole_trial = spec.parameters.contains_key("methods");
    let mut rows: Vec<CellResult> = vec![];
    let mut named = BTreeSet::new();
    for like in found.iter().filter(|r| r.table == table && r.organism == organism) {
        let ours = whole_trial || methods.contains(&like.method.as_str());
        if ours && named.insert((&like.method, &like.metric, like.tier)) {
            rows.push(CellResult { seed, ..like.clone() });
        }
    }
    let metric = metrics.iter().find(|m| plan.wants_metric(m));
    for method in methods {
        if let Some(metric) = metric
            && !rows.iter().any(|r| r.method == method)
        {
            let (source, standing) = truth_of(plan, organism);
            let row = CellResult::new(table, organism, method, metric, seed, 0.0);
            rows.push(row.truth(source, standing).tier(Tier::None));
        }
    }
    rows.into_iter()
        .map(|row| CellResult {
            null: None,
            null_interval: None,
            null_spread: None,
            oracle: None,
            blame: None,
            details: BTreeMap::new(),
            ..row.absent(Absent::Failed, reason)
        })
        .collect()
}

fn kind(kind: &str) -> Option<(Table, &'static [&'static str])> {
    Some(match kind {
        "parts" => (Table::Parts, &["mcc", "f1", "variance-explained"]),
        "wiring" => (Table::Wiring, &["faithfulness", "edge-auroc"]),
        "trial" => (Table::Effects, &["effect-skill"]),
        "twins" => (Table::Twins, &[TWIN_AUROC]),
        _ => return None,
    })
}

/// What the registry says of the truth of an organism of the plan.
fn truth_of(plan: &Plan, label: &str) -> (Source, Standing) {
    if label == BEHAVIOUR_TWINS {
        return (Source::Compiled, Standing::Exact);
    }
    let entry = plan.organisms.iter().find(|o| o.label == label);
    match entry.and_then(|o| flyroom_organism::find(o.registered()).ok()).map(|o| o.entry()) {
        Some(entry) => (source_of(entry.source), standing_of(entry.standing)),
        None => (Source::Generated, Standing::Contested),
    }
}
