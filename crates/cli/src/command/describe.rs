//! `flyroom describe`: step 2.

use crate::args::Args;
use crate::{names, output};
use anyhow::Result;
use flyroom_decompose::Dictionary;
use flyroom_describe::Description;
use flyroom_explanation::Body;
use flyroom_organism::Subject;
use std::path::Path;

#[allow(clippy::too_many_arguments)]
pub fn run(
    args: &Args,
    specimen: &Path,
    method: &str,
    parts: Option<&Path>,
    set: &[String],
    seed: u64,
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    let (method, parameters) = names::describe(method, &super::settings(set)?)?;
    let parts = parts.map(Dictionary::load).transpose()?;
    let (specimen, task) = super::specimen(specimen)?;
    let subject = Subject::new(&specimen, &task, &args.context()?)?;
    let d = method.describe(&subject, parts.as_ref(), &parameters, seed)?;
    d.explanation.check()?;
    d.explanation.write(out)?;
    if as_json {
        output::json(&d)?;
    } else {
        output::data(&text(&d));
        output::say(args.quiet, &format!("written to {}", out.display()));
    }
    Ok(true)
}

/// A description for people.
pub fn text(d: &Description) -> String {
    let mut out = String::new();
    if !d.frequencies.is_empty() {
        let rows: Vec<Vec<String>> = d
            .frequencies
            .iter()
            .map(|f| {
                vec![
                    f.frequency.to_string(),
                    output::number(f.power),
                    output::number(f.amplitude),
                    output::number(f.accuracy),
                    output::number(f.cross_entropy),
                    output::number(f.max_logit_change),
                    f.embedding.clone(),
                    f.verdict.clone(),
                ]
            })
            .collect();
        out.push_str(&output::table(
            &[
                "frequency",
                "power",
                "amplitude",
                "accuracy without",
                "CE without",
                "max |logit change|",
                "embedding",
                "verdict",
            ],
            &rows,
        ));
    }
    if let Some(r2) = d.logit_r2 {
        out.push_str(&format!("the sum of cosines holds {r2:.4} of the centred logits\n"));
    }
    if let Body::Circuit { edges, .. } = &d.explanation.body {
        let mut scored: Vec<_> = d.edges.iter().collect();
        scored.sort_by(|a, b| b.score.abs().total_cmp(&a.score.abs()));
        let rows: Vec<Vec<String>> = scored
            .iter()
            .take(edges.len().max(10))
            .map(|e| {
                let kept = if edges.contains(&e.edge) { "kept" } else { "" };
                let dead = if e.gradient_dead { "gradient-dead" } else { "" };
                vec![e.edge.to_string(), output::number(e.score), kept.into(), dead.into()]
            })
            .collect();
        out.push_str(&output::table(&["edge", "score", "circuit", "remark"], &rows));
        out.push_str(&format!("{} of {} edges kept\n", edges.len(), d.edges.len()));
    }
    out
}
