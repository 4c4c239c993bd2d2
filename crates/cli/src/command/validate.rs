//! `flyroom validate`: step 3.

use super::kind;
use crate::args::Args;
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_decompose::{Data, Declared, Dictionary, collect, collect_everywhere};
use flyroom_describe::EdgeScore;
use flyroom_describe::mib::MibGraph;
use flyroom_explanation::{Body, Explanation};
use flyroom_network::format::Source;
use flyroom_organism::{Subject, Truth};
use flyroom_tensor::hash;
use flyroom_validate::absorption::{AbsorptionScore, Rate, absorption};
use flyroom_validate::classifier::{ClassifierScore, classifier};
use flyroom_validate::parts::PartsScore;
use flyroom_validate::reconstruction::{Reconstruction, reconstruction};
use flyroom_validate::wiring::WiringScore;
use flyroom_validate::{Card, Observed, Trial, exam, parts, wiring};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is put on trial.
pub enum Claim {
    /// Parts.
    Dictionary(Box<Dictionary>),
    /// An explanation, with the scores of all edges where it came as a ranking of them.
    Explanation(Box<Explanation>, Vec<EdgeScore>),
}

/// The outcome: a card, or scores of parts; with the scores of the wiring where edges were ranked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Judged {
    /// Of a circuit that came as a ranking.
    Ranking {
        /// Its card.
        card: Box<Card>,
        /// Its wiring.
        wiring: Box<WiringScore>,
    },
    /// Of an explanation.
    Card(Box<Card>),
    /// Of a dictionary.
    Parts(Box<Parts>),
}

/// The card of a dictionary.
#[derive(Debug, Serialize, Deserialize)]
pub struct Parts {
    /// Where it lies.
    pub site: String,
    /// How it reconstructs at the positions whose outputs count.
    pub reconstruction: Reconstruction,
    /// The same at all positions, where these are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<Reconstruction>,
    /// Whether latents are on when their features are, where features are inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierScore>,
    /// How far children silence the latents of their parents, where features are inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorption: Option<AbsorptionScore>,
    /// Its match to the known features, where some are known.
    #[serde(flatten)]
    pub score: Option<Box<PartsScore>>,
}

/// What can be put on trial, for those who gave something else.
const ACCEPTED: &str = "explanation.json, a circuit in MIB's form (JSON, .pt), the folder of a dictionary \
    with its cfg.json (SAELens, sparsify), or the safetensors of a dictionary alone";

/// Random dictionaries beside a reconstruction.
const DRAWS: usize = 20;

impl Claim {
    /// Reads what can be put on trial. What the weights of a dictionary alone do not say is declared,
    /// or known of the organism with which they were published.
    pub fn read(path: &Path, subject: &Subject, declared: &Declared) -> Result<Self> {
        let none = || {
            anyhow::anyhow!(
                "{}: {}, nothing that can be put on trial; hint: {ACCEPTED}",
                path.display(),
                kind::name(path)
            )
        };
        let only_weights = || match *declared == Declared::default() {
            true => Ok(()),
            false => Err(anyhow::anyhow!(
                "{}: --site and --activation are for the weights of a dictionary without cfg.json",
                path.display()
            )),
        };
        if path.is_dir() {
            if !path.join("cfg.json").is_file() {
                return Err(none());
            }
            only_weights()?;
            return Ok(Self::Dictionary(Box::new(Dictionary::read(path)?)));
        }
        let source = Source::open(path)?;
        let head = source.at(0, source.len().min(9), "the first bytes")?;
        if kind::is_safetensors(&head) {
            let known = flyroom_organism::find(&subject.organism)?.dictionary();
            let mut declared = declared.clone();
            if let Some((site, activation)) = known {
                declared.site = declared.site.or(Some(site.to_owned()));
                declared.activation = declared.activation.or(activation.parse().ok());
            }
            return Ok(Self::Dictionary(Box::new(Dictionary::load_bare(path, &declared)?)));
        }
        only_weights()?;
        let circuit = head.starts_with(b"PK") || {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            if !text.trim_ascii_start().starts_with(b"{") {
                return Err(none());
            }
            // What is no whole JSON is named where explanations are read.
            let top: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            ["cfg", "nodes", "edges"].iter().all(|key| top.get(key).is_some())
        };
        if circuit {
            let Some(config) = subject.network().architecture().transformer() else {
                bail!("{}: a circuit, and this network has no edges", path.display());
            };
            let d = MibGraph::read(source)?
                .description("circuit", subject, config)
                .map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
            return Ok(Self::Explanation(Box::new(d.explanation), d.edges));
        }
        let e = Explanation::read(path)?;
        e.check().with_context(|| path.display().to_string())?;
        Ok(Self::Explanation(Box::new(e), vec![]))
    }

    /// The specimen that it is about, if it says.
    pub fn specimen(&self) -> Option<&str> {
        match self {
            Self::Dictionary(_) => None,
            Self::Explanation(e, _) => e.specimen.as_deref(),
        }
    }

    /// The hash of what it says.
    pub fn hash(&self) -> Result<String> {
        Ok(match self {
            Self::Explanation(e, _) => e.hash()?,
            Self::Dictionary(d) => {
                let named = [
                    ("W_enc", &d.w_enc),
                    ("b_enc", &d.b_enc),
                    ("W_dec", &d.w_dec),
                    ("b_dec", &d.b_dec),
                ];
                hash::weights_hash(named.iter().map(|(n, t)| (*n, t.shape(), t.data()))).to_string()
            }
        })
    }

    /// Scores it against the truth.
    pub fn judge(&self, subject: &Subject, truth: &Truth) -> Result<Judged> {
        match self {
            Self::Dictionary(d) => {
                let cx = &subject.context;
                let named = || format!("the dictionary at {}", d.site);
                let features = truth.features_at(&d.site);
                let score = match features.is_empty() {
                    true => None,
                    false => Some(Box::new(
                        parts::match_dictionary(d, &features, 0, 200, cx).with_context(named)?,
                    )),
                };
                let scored = |data: Data| reconstruction(d, &data.activations, 0, DRAWS, cx);
                let counted = collect(subject, &d.site).with_context(named)?;
                let all = collect_everywhere(subject, &d.site).with_context(named)?;
                let more = all.activations.shape() != counted.activations.shape();
                let everywhere = more.then(|| scored(all)).transpose().with_context(named)?;
                Ok(Judged::Parts(Box::new(Parts {
                    site: d.site.clone(),
                    reconstruction: scored(counted).with_context(named)?,
                    everywhere,
                    classifier: classifier(subject, d, truth, 0).with_context(named)?.ok(),
                    absorption: absorption(subject, d, truth, 0).with_context(named)?.ok(),
                    score,
                })))
            }
            Self::Explanation(e, edges) => {
                let frozen = [e.hash()?];
                let observed = exam::draw(subject, truth, &frozen, exam::Budget::default())?
                    .into_iter()
                    .map(|x| Observed::new(subject, x))
                    .collect::<Result<Vec<_>, _>>()?;
                let card = Box::new(Trial::new(subject, truth, &observed, 0).hold(e)?);
                let Body::Circuit { edges: kept, .. } = &e.body else {
                    return Ok(Judged::Card(card));
                };
                if edges.is_empty() {
                    return Ok(Judged::Card(card));
                }
                let known = truth.circuit.as_deref();
                let wiring = Box::new(wiring::score(subject, edges, kept, known, 0)?);
                Ok(Judged::Ranking { card, wiring })
            }
        }
    }
}

/// What the command line says of the weights of a dictionary.
pub fn declared(site: Option<&str>, activation: Option<&str>) -> Result<Declared> {
    let activation = match activation {
        None => None,
        Some(text) => Some(text.parse().map_err(|e| anyhow::anyhow!("--activation: {e}"))?),
    };
    Ok(Declared { site: site.map(str::to_owned), activation })
}

pub fn run(
    args: &Args,
    dir: &Path,
    explanation: &Path,
    declared: &Declared,
    out: Option<&Path>,
    as_json: bool,
) -> Result<bool> {
    let (specimen, task) = super::specimen(dir)?;
    let truth_path = specimen.truth_path(dir);
    let truth = Truth::read(&truth_path)?;
    if truth.schema != 1 {
        bail!("{}: schema {} is newer than this program", truth_path.display(), truth.schema);
    }
    let cx = args.context()?;
    let subject = Subject::new(&specimen, &task, &cx)?;
    let claim = Claim::read(explanation, &subject, declared)?;
    if let Some(id) = claim.specimen()
        && id != specimen.id()
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
    let judged = claim
        .judge(&subject, &truth)
        .with_context(|| format!("{} against {}", explanation.display(), truth_path.display()))?;
    let text = match &judged {
        Judged::Card(card) | Judged::Ranking { card, .. } => serde_json::to_string_pretty(card)?,
        Judged::Parts(card) => serde_json::to_string_pretty(card)?,
    };
    let path = match out {
        Some(path) => path.to_path_buf(),
        None => beside_others(explanation.with_file_name("card.json"), &text),
    };
    if as_json {
        output::json(&judged)?;
    } else {
        output::data(&words(&judged));
    }
    if holds_other(&path, &text) {
        bail!(
            "--out {}: another card lies there; hint: choose another file, or remove that one",
            path.display()
        );
    }
    flyroom_network::write_whole(&path, text.as_bytes())?;
    if !as_json {
        output::say(args.quiet, &format!("card written to {}", path.display()));
    }
    Ok(true)
}

/// Whether a file is there with other content.
fn holds_other(path: &Path, text: &str) -> bool {
    path.exists() && std::fs::read(path).is_ok_and(|there| there != text.as_bytes())
}

/// The place of a card beside earlier ones, of which none is lost: `card.json`, else `card-2.json`, ...
fn beside_others(first: PathBuf, text: &str) -> PathBuf {
    let numbered = (2..).map(|n| first.with_file_name(format!("card-{n}.json")));
    let mut places = std::iter::once(first.clone()).chain(numbered);
    places.find(|path| !holds_other(path, text)).unwrap_or(first)
}

/// An outcome that was kept as JSON, for people.
pub fn judged_text(value: &impl Serialize) -> Result<String> {
    Ok(words(&serde_json::from_value(serde_json::to_value(value)?)?))
}

/// An outcome for people.
fn words(judged: &Judged) -> String {
    match judged {
        Judged::Card(card) => text(card),
        Judged::Ranking { card, wiring } => {
            let mut out = text(card);
            out.push_str(&format!(
                "\nwiring: {} of {} edges kept, faithfulness {:.3} (random circuits {:.3}, whole \
                 network 1), p {:.3}\n",
                wiring.kept,
                wiring.edges,
                wiring.faithfulness.get("resample").copied().unwrap_or(f64::NAN),
                wiring.null_faithfulness,
                wiring.p_value,
            ));
            if let Some(t) = &wiring.truth {
                out.push_str(&format!(
                    "edge AUROC {:.3} (random rankings {:.3}, truth 1), precision {:.3}, recall {:.3}\n",
                    t.auroc, t.null_auroc[0], t.precision, t.recall,
                ));
            }
            out
        }
        Judged::Parts(card) => parts_text(card),
    }
}

/// The card of a dictionary for people.
pub fn parts_text(card: &Parts) -> String {
    let mut out = format!("{} latents at {}\n", card.reconstruction.latents, card.site);
    if let Some(score) = &card.score {
        out.push_str(&format!(
            "against {} known features: MCC {:.3} (random dictionaries {:.3}, truth {:.3}), adjusted \
             {:.3}, p {:.3}; F1 {:.3} (random {:.3})\n",
            score.features,
            score.found.mcc,
            score.null.mcc.mean,
            score.oracle.mcc,
            score.adjusted_mcc,
            score.p_value,
            score.found.f1,
            score.null.f1.mean,
        ));
    } else {
        out.push_str("no feature is known there, so no MCC\n");
    }
    if let Some(c) = &card.classifier {
        out.push_str(&format!(
            "latents as classifiers of their nearest features ({} of them): F1 {:.3} (random \
             dictionaries {:.3}, features at random {:.3}), precision {:.3}, recall {:.3}\n",
            c.judged_by, c.found.f1, c.random.f1, c.dealt.f1, c.found.precision, c.found.recall,
        ));
    }
    if let Some(a) = &card.absorption {
        let rate = |r: &Option<Rate>| {
            let words = |r: &Rate| {
                let Rate { occasions, fraction, full } = r;
                format!("fraction {fraction:.3}, full {full:.3} ({occasions} occasions)")
            };
            r.as_ref().map_or("none".to_owned(), words)
        };
        let pairs = if a.hierarchy { "parents by children" } else { "any feature by any other" };
        out.push_str(&format!(
            "absorption of {pairs}, {} of {} found: {}; unrelated pairs: {}; random dictionaries: {}\n",
            a.found,
            a.features,
            rate(&a.pairs),
            rate(&a.unrelated),
            rate(&a.random),
        ));
    }
    let rows = [
        ("positions that count", Some(&card.reconstruction)),
        ("all positions", card.everywhere.as_ref()),
    ];
    let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
    let explained = |fvu: Option<f64>| number(fvu.map(|f| 1.0 - f));
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .filter_map(|(name, r)| Some((name, r?)))
        .map(|(name, r)| {
            vec![
                name.to_owned(),
                r.samples.to_string(),
                number(r.explained_variance),
                explained(r.null_fvu),
                explained(r.identity_fvu),
                format!("{:.1} of {}", r.l0, r.latents),
                format!("{:.0}%", 100.0 * r.dead_share),
                if r.dense { "dense" } else { "sparse" }.to_owned(),
            ]
        })
        .collect();
    out.push_str(&output::table(
        &["at", "samples", "variance explained", "random", "identity", "L0", "dead", "latents"],
        &rows,
    ));
    out
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
        if exam.unanswerable > 0 {
            out.push_str(&format!(
                "{} questions that were drawn have no answer in the truth's program, and nobody is asked them\n",
                exam.unanswerable
            ));
        }
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
