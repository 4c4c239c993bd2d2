//! `flyroom validate`: step 3.

use crate::args::Args;
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_decompose::Dictionary;
use flyroom_explanation::Explanation;
use flyroom_organism::{Subject, Truth};
use flyroom_validate::{Card, Observed, Trial, exam, parts};
use std::path::Path;

pub fn run(args: &Args, dir: &Path, explanation: &Path, as_json: bool) -> Result<bool> {
    let (specimen, task) = super::specimen(dir)?;
    let truth_path = specimen.truth_path(dir);
    let truth = Truth::read(&truth_path)?;
    if truth.schema != 1 {
        bail!("{}: schema {} is newer than this program", truth_path.display(), truth.schema);
    }
    let cx = args.context()?;
    let subject = Subject::new(&specimen, &task, &cx)?;
    if explanation.is_dir() {
        let dictionary = Dictionary::load(explanation)?;
        let features = truth.features_at(&dictionary.site);
        let score =
            parts::match_dictionary(&dictionary, &features, 0, 200, &cx).with_context(|| {
                format!("{} against {}", explanation.display(), truth_path.display())
            })?;
        if as_json {
            output::json(&score)?;
        } else {
            output::data(&format!(
                "{} latents against {} features at {}\n\
                 MCC {:.3} (random dictionaries {:.3}, truth {:.3}), adjusted {:.3}, p {:.3}\n\
                 F1 {:.3} (random {:.3})",
                score.latents,
                score.features,
                dictionary.site,
                score.found.mcc,
                score.null.mcc.mean,
                score.oracle.mcc,
                score.adjusted_mcc,
                score.p_value,
                score.found.f1,
                score.null.f1.mean,
            ));
        }
        return Ok(true);
    }
    let e = Explanation::read(explanation)?;
    e.check().with_context(|| explanation.display().to_string())?;
    if let Some(id) = &e.specimen
        && *id != specimen.id()
    {
        output::say(
            args.quiet,
            &format!(
                "note: {} was made for another specimen ({})",
                explanation.display(),
                id.chars().take(12).collect::<String>()
            ),
        );
    }
    let frozen = [e.hash()?];
    let observed = exam::draw(&subject, &truth, &frozen, exam::Budget::default())?
        .into_iter()
        .map(|x| Observed::new(&subject, x))
        .collect::<Result<Vec<_>, _>>()?;
    let card = Trial::new(&subject, &truth, &observed, 0).hold(&e)?;
    let path = explanation.with_file_name("card.json");
    flyroom_network::write_whole(&path, serde_json::to_string_pretty(&card)?.as_bytes())?;
    if as_json {
        output::json(&card)?;
    } else {
        output::data(&text(&card));
        output::say(args.quiet, &format!("card written to {}", path.display()));
    }
    Ok(true)
}

/// A card for people.
pub fn text(card: &Card) -> String {
    let words = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.3}"));
    let mut out = format!(
        "{} of {}: {}\nclean fidelity {}\n",
        card.method,
        card.label,
        card.verdict,
        words(card.clean_fidelity)
    );
    if let Some(b) = card.bits {
        out.push_str(&format!("{:.0} bits, and {:.2} for each token\n", b.once, b.per_token));
    }
    for exam in &card.exams {
        out.push_str(&format!(
            "\n{} exam: effect skill {} (null {}, oracle {}, whole network {}), hardest trivial predictor: {}\n",
            serde_json::to_value(exam.domain).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
            words(exam.effect.skill),
            words(exam.null.as_ref().map(|n| n.mean)),
            words(exam.oracle),
            words(exam.whole),
            exam.effect.trivial,
        ));
        let rows: Vec<Vec<String>> = exam
            .effect
            .families
            .iter()
            .map(|f| {
                vec![
                    f.family.clone(),
                    words(f.skill),
                    words(f.specificity),
                    f.effective.to_string(),
                    f.no_effect.to_string(),
                    f.abstained.to_string(),
                    f.reason.clone().unwrap_or_default(),
                ]
            })
            .collect();
        out.push_str(&output::table(
            &["family", "skill", "specificity", "with effect", "without", "abstained", "remark"],
            &rows,
        ));
    }
    out
}
