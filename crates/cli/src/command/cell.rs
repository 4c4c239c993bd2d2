//! `flyroom cell`: one cell of a plan, or the list of them, for array jobs.

use crate::args::{Args, Progress};
use crate::{output, progress};
use anyhow::Result;
use flyroom_bench::run::{Listed, list as all_cells, one};
use flyroom_bench::{Outcome, Plan};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub fn run(
    args: &Args,
    plan: &Plan,
    root: &Path,
    index: usize,
    again: bool,
    progress: Progress,
    as_json: bool,
) -> Result<bool> {
    let observer = progress::observer(args, progress);
    let (label, outcome) =
        one(plan, root, index, again, &args.cell_context()?, args.threads()?, observer.as_ref())
            .map_err(|e| anyhow::anyhow!("{e}"))?;
    drop(observer);
    match outcome {
        Outcome::Finished(cell) if as_json => {
            output::json(
                &json!({ "index": index, "label": label, "key": cell.key, "path": cell.folder }),
            )?;
        }
        Outcome::Finished(cell) => output::data(&format!("{label}: {}", cell.folder.display())),
        Outcome::Failed(reason) | Outcome::Skipped(reason) => anyhow::bail!("{label}: {reason}"),
    }
    Ok(true)
}

pub fn list(args: &Args, plan: &Plan, root: &Path, as_json: bool) -> Result<bool> {
    let cells = all_cells(plan, root, &args.cell_context()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    if as_json {
        output::json(&cells)?;
        return Ok(true);
    }
    let mut levels: BTreeMap<usize, Vec<&Listed>> = BTreeMap::new();
    for cell in &cells {
        levels.entry(cell.level).or_default().push(cell);
    }
    for (level, cells) in levels {
        let indices: Vec<usize> = cells.iter().map(|c| c.index).collect();
        output::data(&format!("level {level}: {} cells, {}", cells.len(), ranges(&indices)));
        let rows: Vec<Vec<String>> = cells
            .iter()
            .map(|c| {
                vec![
                    c.index.to_string(),
                    c.key.short().to_owned(),
                    c.state.to_owned(),
                    c.label.clone(),
                    ranges(&c.needs),
                ]
            })
            .collect();
        output::data(&output::table(&["index", "key", "state", "cell", "needs"], &rows));
    }
    Ok(true)
}

/// Indices as array jobs take them: `0-4,7`.
fn ranges(indices: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = vec![];
    for &i in indices {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    let text = |&(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn indices_are_written_as_array_jobs_take_them() {
        assert_eq!(super::ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(super::ranges(&[]), "");
    }
}
