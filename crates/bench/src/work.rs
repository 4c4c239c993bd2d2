//! What is done in each kind of cell. Every function reads the folders of the cells before it and
//! fills one of its own; nothing else decides its bits.
//!
//! | kind | reads | leaves |
//! |---|---|---|
//! | `specimen` | | `specimen.json`, `model.safetensors`, `curve.jsonl`; the truth goes to `truth/<id>/` |
//! | `decomposition` | specimen | a SAELens folder |
//! | `explanation` | specimen | `explanation.json`, `description.json` |
//! | `parts` | specimen, decomposition, truth | `results.json`, `parts.json` |
//! | `wiring` | specimen, explanation, truth | `results.json`, `wiring.json` |
//! | `trial` | specimen, all its explanations, truth | `results.json`, `cards.json` |
//! | `twins` | specimens of behaviour twins, what a method made of each, truths | `results.json`, `twins.json` (see [`crate::twins`]) |
//!
//! A method that has nothing to say leaves `not-applicable.json` with the reason; a program that
//! failed leaves `failed.json` with it.

use crate::Fault;
use crate::board::{
    Absent, CellResult, NullTheory, OracleKind, Role, Source, Standing, Table, Tier,
};
use crate::foreign;
use crate::key::Key;
use crate::store::Cell;
use flyroom_decompose::{Decompose, Dictionary, collect};
use flyroom_describe::{Describe, Description};
use flyroom_explanation::{Access, Body, Explanation};
use flyroom_network::Architecture;
use flyroom_organism::train::Nursery;
use flyroom_organism::{
    self as organism, Organism, Parameters, Specimen, Subject, Truth, check_frozen,
};
use flyroom_tensor::{Context, Stream};
use flyroom_validate::{
    Card, Observed, Trial, beliefs, classifier, exam, geometry, misdescribed, padded, parts,
    reassigned_parts, used, wiring,
};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// What all cells of a run share.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Folder of the run; truth lies under it.
    pub root: PathBuf,
    /// Kernels and threads of one cell.
    pub context: Context,
}

/// The name of a result: what the plan calls the organism and the method.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The organism.
    pub organism: String,
    /// The method.
    pub method: String,
}

pub(crate) fn write_json(
    folder: &Path,
    name: &str,
    value: &(impl Serialize + ?Sized),
) -> Result<(), Fault> {
    Ok(std::fs::write(folder.join(name), serde_json::to_string_pretty(value)?)?)
}

impl Bench {
    /// Where the truth of a specimen of this run lies.
    pub fn truth_path(&self, id: &str) -> PathBuf {
        self.root.join("truth").join(id).join("truth.json")
    }

    /// Breeds a specimen. The truth is written first, so that a finished cell always has one.
    pub fn specimen(
        &self,
        organism: &dyn Organism,
        parameters: &Parameters,
        seed: u64,
        key: &Key,
        folder: &Path,
    ) -> Result<(), Fault> {
        // A checkpoint lies outside the cell's folder, which a kill leaves to be removed.
        let checkpoints = self.root.join("checkpoints").join(key.as_str());
        let nursery = Nursery {
            checkpoints: Some(checkpoints.clone()),
            every: 500,
            progress: &|_, _| true,
            watch: None,
        };
        let bred = organism.breed(parameters, seed, &self.context, &nursery)?;
        let metrics = organism.measure(parameters, &bred.network, &self.context)?;
        let (specimen, truth) = Specimen::new(organism, parameters, seed, bred, metrics);
        check_frozen(&specimen.spec)?;
        truth.write(&self.truth_path(&specimen.id()))?;
        specimen.write(folder)?;
        let _ = std::fs::remove_dir_all(checkpoints);
        Ok(())
    }

    /// Copies an imported specimen into the run, with its truth.
    pub fn imported(&self, from: &Path, folder: &Path) -> Result<(), Fault> {
        let specimen = Specimen::read(from)?;
        let truth = Truth::read(&specimen.truth_path(from))?;
        truth.write(&self.truth_path(&specimen.id()))?;
        Ok(specimen.write(folder)?)
    }

    /// Decomposes the activations at a site; `auto` is the last residual stream that is still
    /// read, the hidden layer of an autoencoder, the first hidden layer of an MLP, the state of a GRU behind
    /// the first half of its context.
    pub fn decomposition(
        &self,
        method: &dyn Decompose,
        site: &str,
        parameters: &Parameters,
        seed: u64,
        specimen: &Cell,
        folder: &Path,
    ) -> Result<(), Fault> {
        self.subject(specimen, |subject, _| {
            let site = match site {
                "auto" => auto_site(subject.network().architecture()),
                named => named.into(),
            };
            let data = collect(subject, &site)?;
            match method.decompose(&data, parameters, seed, &self.context) {
                Ok(d) => Ok(d.save(folder)?),
                Err(e) => write_json(folder, NOT_APPLICABLE, &json!({ "reason": e.to_string() })),
            }
        })
    }

    /// Describes a specimen.
    pub fn explanation(
        &self,
        method: &dyn Describe,
        parameters: &Parameters,
        seed: u64,
        specimen: &Cell,
        folder: &Path,
    ) -> Result<(), Fault> {
        self.subject(specimen, |subject, _| {
            match method.describe(subject, None, parameters, seed) {
                Ok(d) => {
                    d.explanation.check()?;
                    write_json(folder, "explanation.json", &d.explanation)?;
                    write_json(folder, "description.json", &d)
                }
                Err(flyroom_describe::Error::NotApplicable { why, .. }) => {
                    write_json(folder, NOT_APPLICABLE, &json!({ "reason": why }))
                }
                Err(e) => Err(e.into()),
            }
        })
    }

    /// Scores parts and reconstruction of a dictionary.
    pub fn parts(
        &self,
        labels: &Labels,
        specimen: &Cell,
        decomposition: &Cell,
        folder: &Path,
    ) -> Result<(), Fault> {
        self.subject(specimen, |subject, s| {
            let truth = self.truth(s)?;
            let base = |metric: &str, score: f64| {
                let mut r = CellResult::new(
                    Table::Parts,
                    &labels.organism,
                    &labels.method,
                    metric,
                    s.spec.seed,
                    score,
                );
                r.machine_dependent = decomposition.is_foreign();
                signed(r, &truth)
            };
            if let Some((absent, why)) = silent(decomposition) {
                return write_json(folder, RESULTS, &vec![base("mcc", 0.0).absent(absent, &why)]);
            }
            let scored = || self.matched(subject, s, &truth, decomposition, folder, &base);
            let results = match held_or_refused(scored, decomposition.is_foreign())? {
                Ok(results) => results,
                Err(why) => vec![base("mcc", 0.0).absent(Absent::Failed, &why)],
            };
            write_json(folder, RESULTS, &results)
        })
    }

    /// Matching and reconstruction of a dictionary that is there.
    fn matched(
        &self,
        subject: &Subject,
        s: &Specimen,
        truth: &Truth,
        decomposition: &Cell,
        folder: &Path,
        base: &dyn Fn(&str, f64) -> CellResult,
    ) -> Result<Vec<CellResult>, Fault> {
        let absent = |why: &str| vec![base("mcc", 0.0).absent(Absent::NotApplicable, why)];
        let dictionary = Dictionary::load(&decomposition.path(""))?;
        if let Some(shape) = &truth.shape {
            return Ok(match geometry::latents(subject, shape, &dictionary)? {
                Err(why) => vec![base("geometry", 0.0).absent(Absent::NotApplicable, why)],
                Ok((of_latents, itself)) => {
                    let mut row = base("geometry", of_latents.found.angles)
                        .null(of_latents.null.angles)
                        .oracle(itself.found.angles, OracleKind::Identity);
                    row.details.insert("fit".into(), serde_json::to_value(of_latents)?);
                    vec![row]
                }
            });
        }
        if let Some(process) = &truth.process {
            return Ok(match beliefs::latents(s, process, &dictionary, &self.context)? {
                Err(why) => vec![base("belief", 0.0).absent(Absent::NotApplicable, why)],
                Ok(b) => {
                    vec![
                        base("belief", b.score).null(b.null).oracle(b.oracle, OracleKind::Identity),
                    ]
                }
            });
        }
        let features = truth.features_at(&dictionary.site);
        if features.is_empty() {
            let why = format!("no feature is known at {}", dictionary.site);
            return Ok(absent(&why));
        }
        let seed = evaluation_seed(s);
        let score = parts::match_dictionary(&dictionary, &features, seed, 100, &self.context)?;
        let mut mcc = base("mcc", score.found.mcc)
            .null(score.null.mcc.mean)
            .oracle(score.oracle.mcc, OracleKind::Truth);
        mcc.null_spread = Some(score.null.mcc.spread(score.null.draws));
        mcc.details.insert("site".into(), Json::from(dictionary.site.clone()));
        mcc.details.insert("adjusted_mcc".into(), Json::from(score.adjusted_mcc));
        mcc.details.insert("p_value".into(), Json::from(score.p_value));
        let mut f1 = base("f1", score.found.f1)
            .null(score.null.f1.mean)
            .oracle(score.f1_ceiling, OracleKind::Truth);
        f1.null_spread = Some(score.null.f1.spread(score.null.draws));
        f1.primary = false;
        let mut results = vec![mcc, f1];
        if let Ok(c) = classifier::classifier(subject, &dictionary, truth, seed)? {
            let mut r =
                base("classifier-f1", c.found.f1).null(c.random.f1).oracle(1.0, OracleKind::Truth);
            r.primary = false;
            r.details.insert("classifier".into(), serde_json::to_value(c)?);
            results.push(r);
        }
        let data = collect(subject, &dictionary.site)?;
        let r = flyroom_validate::reconstruction::reconstruction(
            &dictionary,
            &data.activations,
            seed,
            20,
            &self.context,
        )?;
        if let (Some(fvu), Some(null)) = (r.fvu, r.null_fvu) {
            let mut explained = base("variance-explained", 1.0 - fvu)
                .null(1.0 - null)
                .oracle(1.0, OracleKind::Identity);
            explained.primary = false;
            explained.details.insert("reconstruction".into(), serde_json::to_value(r)?);
            results.push(explained);
        }
        if let Ok(found) = used::used(subject, &dictionary, truth, seed)? {
            let mut r =
                base("used", found.used).null(found.null).oracle(found.oracle, OracleKind::Truth);
            r.primary = false;
            r.details.insert("variables".into(), serde_json::to_value(&found.variables)?);
            results.push(r);
        }
        write_json(folder, "parts.json", &score)?;
        Ok(results)
    }

    /// Scores the wiring of an explanation that ranks edges.
    pub fn wiring(
        &self,
        labels: &Labels,
        specimen: &Cell,
        explanation: &Cell,
        folder: &Path,
    ) -> Result<(), Fault> {
        self.subject(specimen, |subject, s| {
            let truth = self.truth(s)?;
            let base = |metric: &str, score: f64| {
                let mut r = CellResult::new(
                    Table::Wiring,
                    &labels.organism,
                    &labels.method,
                    metric,
                    s.spec.seed,
                    score,
                );
                r.machine_dependent = explanation.is_foreign();
                signed(r, &truth)
            };
            if let Some((absent, why)) = silent(explanation) {
                let none = base("faithfulness", 0.0).absent(absent, &why);
                return write_json(folder, RESULTS, &vec![none]);
            }
            let d: Description = explanation.read_json("description.json")?;
            let Body::Circuit { edges, .. } = &d.explanation.body else {
                let none = base("faithfulness", 0.0)
                    .absent(Absent::NotApplicable, "the explanation claims no edges");
                return write_json(folder, RESULTS, &vec![none]);
            };
            let scored = || {
                let (known, seed) = (truth.circuit.as_deref(), evaluation_seed(s));
                Ok(wiring::score(subject, &d.edges, edges, known, seed)?)
            };
            let score = match held_or_refused(scored, explanation.is_foreign())? {
                Ok(score) => score,
                Err(why) => {
                    let none = base("faithfulness", 0.0).absent(Absent::Failed, &why);
                    return write_json(folder, RESULTS, &vec![none]);
                }
            };
            let mut faithful = base("faithfulness", score.faithfulness["resample"])
                .null(score.null_faithfulness)
                .oracle(1.0, OracleKind::FullModel);
            faithful.primary = score.truth.is_none();
            faithful.details.insert("edges".into(), json!([score.kept, score.edges]));
            faithful.details.insert("p_value".into(), Json::from(score.p_value));
            faithful.details.insert("ablations".into(), serde_json::to_value(&score.faithfulness)?);
            let mut results = vec![faithful];
            if let Some(t) = &score.truth {
                let mut auroc = base("edge-auroc", t.auroc)
                    .null(t.null_auroc[0])
                    .oracle(1.0, OracleKind::Truth);
                auroc.null_theory = Some(NullTheory::Equals(0.5));
                auroc.null_interval = Some([t.null_auroc[1], t.null_auroc[2]]);
                auroc.details.insert("precision".into(), Json::from(t.precision));
                auroc.details.insert("recall".into(), Json::from(t.recall));
                auroc
                    .details
                    .insert("gradient_dead".into(), serde_json::to_value(&t.gradient_dead)?);
                auroc.details.insert("untestable".into(), serde_json::to_value(&t.untestable)?);
                results.push(auroc);
            }
            write_json(folder, "wiring.json", &score)?;
            write_json(folder, RESULTS, &results)
        })
    }

    /// Holds the trial of a specimen: all its explanations and, where the truth is a program, the
    /// truth itself, the same with a step that does nothing, and two controls that must fail: right
    /// description on wrong parts, and the reverse.
    pub fn trial(
        &self,
        organism: &str,
        methods: &[String],
        specimen: &Cell,
        explanations: &[Cell],
        folder: &Path,
    ) -> Result<(), Fault> {
        self.subject(specimen, |subject, s| {
            let truth = self.truth(s)?;
            // The exam is drawn from the hashes of all explanations: one from a program makes the
            // questions, and so every number of the trial, depend on the machine that ran it.
            let machine_dependent =
                explanations.iter().any(|c| c.is_foreign() && silent(c).is_none());
            let base = |method: &str, score: f64| {
                let mut r = CellResult::new(
                    Table::Effects,
                    organism,
                    method,
                    "effect-skill",
                    s.spec.seed,
                    score,
                );
                r.machine_dependent = machine_dependent;
                signed(r, &truth)
            };
            let mut results = vec![];
            let mut asked: Vec<(String, Explanation)> = vec![];
            let mut reference = None;
            for (label, cell) in methods.iter().zip(explanations) {
                match silent(cell) {
                    Some((absent, why)) => results.push(base(label, 0.0).absent(absent, &why)),
                    None => {
                        let e: Explanation = cell.read_json("explanation.json")?;
                        if e.body.predicts() {
                            asked.push((label.clone(), e));
                        } else {
                            let why = flyroom_validate::SNAPSHOT;
                            results.push(base(label, 0.0).absent(Absent::NotApplicable, why));
                        }
                    }
                }
            }
            if let Some(e) = &truth.explanation {
                let mut g = Stream::new(evaluation_seed(s), "trial/controls").block(0);
                asked.push((TRUTH.into(), e.clone()));
                if let Body::Rasp { .. } | Body::Cosines(_) = e.body {
                    let moved =
                        Explanation { parts: reassigned_parts(&e.parts, &mut g), ..e.clone() };
                    asked.push((WRONG_PARTS.into(), moved));
                }
                if let Some(changed) = misdescribed(e) {
                    asked.push((WRONG_PROGRAM.into(), changed));
                }
                reference = padded(e).map(|e| (PADDED.to_owned(), e));
            }
            let mut cards: Vec<Card> = vec![];
            if asked.is_empty() {
                write_json(folder, "cards.json", &cards)?;
                return write_json(folder, RESULTS, &results);
            }
            let frozen = asked.iter().map(|(_, e)| e.hash()).collect::<Result<Vec<_>, _>>()?;
            let observed = exam::draw(subject, &truth, &frozen, exam::Budget::default())?
                .into_iter()
                .map(|e| Observed::new(subject, e))
                .collect::<Result<Vec<_>, _>>()?;
            // It follows from the truth, which is frozen, and so has no say in what is asked.
            asked.extend(reference);
            let trial = Trial::new(subject, &truth, &observed, evaluation_seed(s));
            let foreign: Vec<&String> = methods
                .iter()
                .zip(explanations)
                .filter(|(_, c)| c.is_foreign())
                .map(|m| m.0)
                .collect();
            for (label, e) in &asked {
                let held = || Ok(trial.hold(e)?);
                // What a stranger says must not take the others' trial with it.
                let mut card = match held_or_refused(held, foreign.contains(&label))? {
                    Ok(card) => card,
                    Err(why) => {
                        results.push(base(label, 0.0).absent(Absent::Failed, &why));
                        continue;
                    }
                };
                card.method.clone_from(label);
                let mut result = base(label, 0.0);
                result.role = match label.as_str() {
                    TRUTH | PADDED => Role::Truth,
                    WRONG_PARTS | WRONG_PROGRAM => Role::Control,
                    _ => Role::Method,
                };
                results.push(result_of(result, &card)?);
                cards.push(card);
            }
            write_json(folder, "cards.json", &cards)?;
            write_json(folder, RESULTS, &results)
        })
    }

    /// The truth of a specimen of this run.
    pub fn truth(&self, specimen: &Specimen) -> Result<Truth, Fault> {
        Ok(Truth::read(&self.truth_path(&specimen.id()))?)
    }

    /// Puts the specimen of a cell to its task.
    pub fn subject<T>(
        &self,
        cell: &Cell,
        work: impl FnOnce(&Subject, &Specimen) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let specimen = Specimen::read(&cell.path(""))?;
        let task =
            organism::find(&specimen.spec.organism)?.task(&specimen.spec.parameters, None)?;
        let subject = Subject::new(&specimen, &task, &self.context)?;
        work(&subject, &specimen)
    }
}

/// The truth, entered as an explanation.
const TRUTH: &str = "truth";
/// The truth with a step that does nothing: as right, and longer.
const PADDED: &str = "padded truth";
/// The truth's program on other parts: must be blamed on `decompose`.
const WRONG_PARTS: &str = "wrong parts";
/// The truth's parts with another program: must be blamed on `describe`.
const WRONG_PROGRAM: &str = "wrong program";

/// File of a cell's board results.
pub const RESULTS: &str = "results.json";
/// File of a cell whose method has nothing to say.
pub const NOT_APPLICABLE: &str = "not-applicable.json";

/// Work on what a program left: its errors are the program's, not the cell's.
pub(crate) fn held_or_refused<T>(
    work: impl FnOnce() -> Result<T, Fault>,
    foreign: bool,
) -> Result<Result<T, String>, Fault> {
    if !foreign {
        return work().map(Ok);
    }
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(e)) => Ok(Err(format!("its answer cannot be scored: {e}"))),
        Err(_) => Ok(Err("its answer cannot be scored: a bug, please report it".into())),
    }
}

/// Why a cell holds no result of its method, if it holds none.
pub(crate) fn silent(cell: &Cell) -> Option<(Absent, String)> {
    let failed = foreign::failure(cell).map(|why| (Absent::Failed, why));
    failed.or_else(|| not_applicable(cell).map(|why| (Absent::NotApplicable, why)))
}

/// Why a cell's method had nothing to say, if it had.
pub fn not_applicable(cell: &Cell) -> Option<String> {
    let v: Json = cell.read_json(NOT_APPLICABLE).ok()?;
    v["reason"].as_str().map(str::to_owned)
}

/// Streams of evaluation belong to the specimen, not to the method.
pub(crate) fn evaluation_seed(s: &Specimen) -> u64 {
    u64::from_str_radix(s.id().get(..16).unwrap_or("0"), 16).unwrap_or(0)
}

/// Where a decomposition looks unless it is told.
pub fn auto_site(architecture: &Architecture) -> String {
    match architecture {
        Architecture::Autoencoder(_) => "hook_hidden".into(),
        Architecture::Mlp(_) => "blocks.0.mlp.hook_post".into(),
        Architecture::Gru(c) => format!("cells.{}.hook_state", (c.n_ctx - 1) / 2),
        Architecture::Transformer(c) if c.n_layers > 1 => {
            format!("blocks.{}.hook_resid_pre", c.n_layers - 1)
        }
        Architecture::Transformer(_) => "blocks.0.hook_resid_post".into(),
    }
}

pub(crate) fn signed(mut r: CellResult, truth: &Truth) -> CellResult {
    r.source = source_of(truth.source);
    r.standing = standing_of(truth.standing);
    r
}

pub(crate) fn source_of(source: organism::Source) -> Source {
    match source {
        organism::Source::Compiled => Source::Compiled,
        organism::Source::Constrained => Source::Constrained,
        organism::Source::ReverseEngineered => Source::ReverseEngineered,
        organism::Source::Generated | organism::Source::Nothing => Source::Generated,
    }
}

pub(crate) fn standing_of(standing: organism::Standing) -> Standing {
    match standing {
        organism::Standing::Exact => Standing::Exact,
        organism::Standing::Audited => Standing::Audited,
        organism::Standing::Contested => Standing::Contested,
    }
}

fn result_of(mut r: CellResult, card: &Card) -> Result<CellResult, Fault> {
    r.tier = match card.tier {
        Access::Closed => Tier::Closed,
        Access::Open => Tier::Open,
        Access::Whole => Tier::Whole,
    };
    r.details.insert("verdict".into(), Json::from(card.verdict.clone()));
    r.details.insert("clean_fidelity".into(), serde_json::to_value(card.clean_fidelity)?);
    let Some(exam) = card.ranked() else {
        return Ok(r.absent(Absent::Untestable, "nothing could be asked"));
    };
    r.details.insert("worst_family".into(), serde_json::to_value(&exam.effect.worst)?);
    r.details.insert("trivial".into(), Json::from(exam.effect.trivial.clone()));
    r.details.insert("shuffled".into(), serde_json::to_value(exam.shuffled)?);
    r.details.insert("bits".into(), serde_json::to_value(card.bits)?);
    let Some(skill) = exam.effect.skill else {
        let why = exam.effect.families.iter().find_map(|f| f.reason.clone());
        return Ok(r.absent(Absent::Untestable, &why.unwrap_or_else(|| "no family counts".into())));
    };
    r.score = Some(skill);
    r.blame.clone_from(&card.blame);
    if let Some(null) = &exam.null {
        r = r.null(null.mean);
        r.details.insert("null_high".into(), Json::from(null.high));
    }
    match (exam.oracle, exam.whole) {
        (Some(o), _) => Ok(r.oracle(o, OracleKind::Truth)),
        (None, Some(w)) => Ok(r.oracle(w, OracleKind::FullModel)),
        (None, None) => Ok(r),
    }
}
