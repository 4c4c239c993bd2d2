//! `flyroom gc`: what a run does not need goes.

use super::run::plan_of;
use crate::args::Args;
use crate::output;
use anyhow::Result;
use flyroom_bench::Store;
use flyroom_bench::run::needed;
use serde_json::json;
use std::path::Path;

pub fn run(args: &Args, root: &Path, dry_run: bool, as_json: bool) -> Result<bool> {
    let store = Store::view(root)?;
    let plan = plan_of(&store)?;
    let keep = needed(&plan, &store, &args.cell_context()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let found = store.collect_garbage(&keep, dry_run)?;
    let bytes = found.bytes();
    if as_json {
        output::json(&json!({
            "dry_run": dry_run, "bytes": bytes, "removed": found.removed, "kept": found.kept,
        }))?;
        return Ok(true);
    }
    if !found.removed.is_empty() {
        let row = |r: &flyroom_bench::store::Removed| {
            vec![r.bytes.to_string(), r.path.clone(), r.why.to_owned()]
        };
        let rows: Vec<Vec<String>> = found.removed.iter().map(row).collect();
        output::data(&output::table(&["bytes", "path", "why"], &rows));
    }
    for text in &found.kept {
        output::say(args.quiet, &format!("kept: {text}"));
    }
    let done = if dry_run { "would be removed" } else { "removed" };
    output::data(&format!("{} things, {bytes} bytes {done}", found.removed.len()));
    Ok(true)
}
