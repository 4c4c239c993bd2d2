//! `flyroom collect`: runs of one plan from several machines become one.

use super::run::{plan_of, print, say_where, write_all};
use crate::args::Args;
use crate::output;
use anyhow::{Result, bail};
use flyroom_bench::run::look;
use flyroom_bench::store::Merged;
use flyroom_bench::{Plan, Store};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &Args, runs: &[PathBuf], out: Option<&Path>, as_json: bool) -> Result<bool> {
    let Some(first) = runs.first() else { bail!("there is no run to collect") };
    let root = out.unwrap_or(first);
    // The plan is read where the files beside it lie.
    let given = Store::view(first)?;
    let plan: Plan = plan_of(&given)?;
    let store = Store::open(root, &plan)?;
    for text in store.remarks() {
        output::say(args.quiet, text);
    }
    let mut all = Merged::default();
    for from in runs {
        let Merged { taken, equal, broken, damaged, ledgers, second_answers } =
            store.take_in(from)?;
        output::say(
            args.quiet,
            &format!(
                "{}: {taken} cells taken over, {equal} were there and are equal, {ledgers} ledgers",
                from.display()
            ),
        );
        all.taken += taken;
        all.equal += equal;
        all.ledgers += ledgers;
        all.broken.extend(broken);
        all.damaged.extend(damaged);
        all.second_answers += second_answers;
    }
    let plan = plan_of(&store)?;
    let finished =
        look(&plan, &store, &args.cell_context()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    write_all(root, &finished)?;
    if as_json {
        output::json(&json!({
            "path": root,
            "taken": all.taken,
            "equal": all.equal,
            "ledgers": all.ledgers,
            "broken": all.broken,
            "damaged": all.damaged,
            "second_answers": all.second_answers,
            "missing": finished.failures.len(),
        }))?;
    } else {
        print(&finished, false)?;
    }
    for text in all.broken.iter().chain(&all.damaged) {
        output::say(args.quiet, text);
    }
    if all.second_answers > 0 {
        let text = format!(
            "{} cells of other people's programs have another content elsewhere: the first answer counts",
            all.second_answers
        );
        output::say(args.quiet, &text);
    }
    if !finished.failures.is_empty() {
        let text = format!(
            "{} cells are not there or no result; their rows say `failed`; `flyroom cell --list` names them",
            finished.failures.len()
        );
        output::say(args.quiet, &text);
    }
    say_where(args, root, &finished.report.board);
    Ok(all.broken.is_empty() && all.damaged.is_empty())
}
