//! `flyroom decompose`: step 1.

use crate::args::Args;
use crate::{names, output};
use anyhow::Result;
use flyroom_decompose::collect;
use flyroom_organism::Subject;
use serde_json::json;
use std::path::Path;

#[allow(clippy::too_many_arguments)]
pub fn run(
    args: &Args,
    specimen: &Path,
    method: &str,
    site: Option<&str>,
    set: &[String],
    seed: u64,
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    let (method, parameters) = names::decompose(method, &super::settings(set)?)?;
    let (specimen, task) = super::specimen(specimen)?;
    let cx = args.context()?;
    let subject = Subject::new(&specimen, &task, &cx)?;
    let site = match site {
        Some(s) => s.to_owned(),
        None => flyroom_bench::work::auto_site(subject.network().architecture()),
    };
    let data = collect(&subject, &site)?;
    let dictionary = method.decompose(&data, &parameters, seed, &cx)?;
    dictionary.save(out)?;
    let r = flyroom_validate::reconstruction::reconstruction(
        &dictionary,
        &data.activations,
        seed,
        20,
        &cx,
    )?;
    let summary = json!({
        "method": method.entry().name,
        "site": site,
        "path": out,
        "reconstruction": r,
    });
    if as_json {
        output::json(&summary)?;
    } else {
        let words = |x: Option<f64>| x.map_or("-".to_owned(), output::number);
        output::data(&format!(
            "{} latents of {} at {site}, written to {}\n\
             fraction of variance unexplained {} (random dictionary {}, identity 0), L0 {}{}, dead {}",
            r.latents,
            specimen.label(),
            out.display(),
            words(r.fvu),
            words(r.null_fvu),
            output::number(r.l0),
            if r.dense { " (dense)" } else { "" },
            output::number(r.dead_share),
        ));
    }
    Ok(true)
}
