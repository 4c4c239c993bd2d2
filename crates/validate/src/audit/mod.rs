//! The audit: is the truth about a specimen true?
//!
//! A board that ranks methods by a wrong truth ranks nothing. So every claim of a truth is put to
//! the network itself, on all inputs of the task's domain and of all its lengths, and by
//! interventions that no method chose.
//!
//! | check | the claim | file |
//! |---|---|---|
//! | sites | a variable is read, in its own directions, from where it is written on and not before | `sites.rs` |
//! | features | a direction holds what its name says | `features.rs` |
//! | edges | an edge moves an output under some corruption if and only if the truth has it | `edges.rs` |
//! | program | setting and exchanging variables does to the outputs what the program says | `program.rs` |
//! | geometry | tokens lie to each other as the truth says | `geometry.rs` |
//! | beliefs | the beliefs of the process that makes the data lie in the residual stream, and are used | `beliefs.rs` |
//! | factors | of a process with factors: each is held where it is asked for, and is used | `factors.rs` |
//!
//! Each check counts what it compared, names the first counterexamples and brings a control that
//! must fail. A check for which a truth makes no claim is `not-applicable` and says why. What the
//! outcome is worth is the [`Standing`] that it supports: a truth that claims to be exact stays so
//! only if all that can be checked holds; one counterexample makes it contested.
//!
//! What "holds" means follows from what the truth claims of itself. One that claims to be exact is held to
//! numbers: [`Options::within`], everywhere. Any other is held to *decisions*, of which
//! [`Options::agreement`] must be right: the nearest code, the largest output (of numbers the nearest
//! that the program knows). A compressed network is of this kind: its variables lie in
//! superposition, so every reading carries interference, also before a variable is written, and a
//! variable is set by exchanging the code of its own value for another's and leaving the rest.

mod beliefs;
mod check;
mod edges;
mod factors;
mod features;
mod geometry;
mod program;
mod sites;
pub(crate) mod wanted;

pub use beliefs::{BeliefsAudit, MOVED, UNMOVED};
pub use check::{Check, Control, Counterexample, Outcome};
pub(crate) use edges::own as written_by;
pub use edges::{AMPLIFIED, AuditedEdge, Corruption, EdgesAudit};
pub use factors::FactorsAudit;
pub use features::FeaturesAudit;
pub use geometry::{GeometryAudit, SHAPED, UNMATCHED};
pub use program::{MOST_OPEN, OpenVariable, ProgramAudit};
pub use sites::{SitesAudit, VariableReading};

use crate::Error;
use flyroom_explanation::Code;
use flyroom_network::Runner;
use flyroom_organism::{Specimen, Standing, Task, Truth};
use flyroom_tensor::{Context, hash};
use serde::{Deserialize, Serialize};

/// How strict and how thorough an audit is.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How far a reading may lie from its code, relative to 1 or to the code's largest coordinate
    /// if that is more; an output from its prediction, and an effect from none, relative to the
    /// largest clean output that counts.
    pub within: f64,
    /// Share of decisions that must be right where a truth does not claim to be exact.
    pub agreement: f64,
    /// Change of an output, relative to the largest clean one, from which on an edge moves it where a
    /// truth does not claim to be exact: half of what it takes to change a decision.
    pub moves: f64,
    /// Runs in which edges are patched, at most; more inputs than fit are taken at even steps.
    pub edge_runs: usize,
    /// Runs in which one variable is set, at most; more inputs than fit are taken at even steps.
    pub single_runs: usize,
    /// Runs in which two variables are set, drawn at random.
    pub pair_runs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            within: 1e-3,
            agreement: 0.99,
            moves: 0.25,
            edge_runs: 1 << 19,
            single_runs: 1 << 22,
            pair_runs: 1 << 14,
        }
    }
}

/// One length of the domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// Positions of an input, BOS among them.
    pub pos: usize,
    /// Inputs of this length.
    pub inputs: usize,
    /// Whether these are all that there are.
    pub exhaustive: bool,
}

/// The outcome of an audit: `audit.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Version of this format.
    pub schema: u32,
    /// Id of the specimen.
    pub specimen: String,
    /// Its name for people.
    pub label: String,
    /// blake3 of the truth that was audited.
    pub truth: String,
    /// How far numbers may be apart ([`Options::within`]).
    pub within: f64,
    /// Share of decisions that had to be right ([`Options::agreement`]), if not numbers within reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// What was looked at.
    pub lengths: Vec<Length>,
    /// Where variables lie.
    pub sites: SitesAudit,
    /// What directions hold.
    pub features: FeaturesAudit,
    /// Which edges carry the answer.
    pub edges: EdgesAudit,
    /// What the program predicts.
    pub program: ProgramAudit,
    /// Whether tokens have the shape that is claimed, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<GeometryAudit>,
    /// Whether beliefs are held, where the data come from a process that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beliefs: Option<BeliefsAudit>,
    /// Whether factors are held, where the data come from a process that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factors: Option<FactorsAudit>,
    /// Whether all that can be checked holds.
    pub outcome: Outcome,
    /// What the truth says of itself.
    pub claimed: Standing,
    /// What the audit supports.
    pub standing: Standing,
}

/// Name of the file beside `truth.json`.
pub const AUDIT_FILE: &str = "audit.json";

/// Version of the format of [`Audit`].
pub const AUDIT_SCHEMA: u32 = 1;

impl Audit {
    /// The checks in order.
    pub fn checks(&self) -> Vec<(&'static str, &Check)> {
        let mut all = vec![
            ("sites", &self.sites.check),
            ("features", &self.features.check),
            ("edges", &self.edges.check),
            ("program", &self.program.check),
        ];
        all.extend(self.geometry.iter().map(|g| ("geometry", &g.check)));
        all.extend(self.beliefs.iter().map(|b| ("beliefs", &b.check)));
        all.extend(self.factors.iter().map(|f| ("factors", &f.check)));
        all
    }

    /// Runs of the network with interventions.
    pub fn runs(&self) -> usize {
        self.checks().iter().map(|(_, c)| c.runs).sum()
    }
}

/// blake3 of what a truth claims.
pub fn truth_hash(truth: &Truth) -> Result<String, Error> {
    let text = serde_json::to_string(truth).map_err(|e| Error::Trial(e.to_string()))?;
    Ok(hash::bytes(text.as_bytes()).to_string())
}

/// Audits the truth about a specimen on tasks of several lengths, the full one last.
pub fn audit(
    specimen: &Specimen,
    truth: &Truth,
    tasks: &[Task],
    options: &Options,
    cx: &Context,
) -> Result<Audit, Error> {
    let scale = largest_output(specimen, tasks, cx)?;
    let ground = Ground { specimen, truth, tasks, options, cx, scale };
    let sites = sites::check(&ground)?;
    let features = features::check(&ground)?;
    let edges = edges::check(&ground)?;
    let program = program::check(&ground)?;
    let geometry = geometry::check(&ground)?;
    let beliefs = beliefs::check(&ground)?;
    let factors = factors::check(&ground)?;
    let mut outcomes =
        [&sites.check, &features.check, &edges.check, &program.check].map(|c| c.outcome).to_vec();
    outcomes.extend(geometry.iter().map(|g| g.check.outcome));
    outcomes.extend(beliefs.iter().map(|b| b.check.outcome));
    outcomes.extend(factors.iter().map(|f| f.check.outcome));
    let outcome = if outcomes.contains(&Outcome::Fails) {
        Outcome::Fails
    } else if outcomes.contains(&Outcome::Holds) {
        Outcome::Holds
    } else {
        Outcome::NotApplicable
    };
    let standing = match (outcome, truth.standing) {
        (Outcome::Fails, _) => Standing::Contested,
        (Outcome::Holds, Standing::Exact) => Standing::Exact,
        (Outcome::Holds, _) => Standing::Audited,
        (Outcome::NotApplicable, claimed) => claimed,
    };
    Ok(Audit {
        schema: AUDIT_SCHEMA,
        specimen: specimen.id(),
        label: specimen.label(),
        truth: truth_hash(truth)?,
        within: options.within,
        agreement: (!ground.exact()).then_some(options.agreement),
        lengths: tasks
            .iter()
            .map(|t| Length { pos: t.pos(), inputs: t.clean, exhaustive: t.exhaustive })
            .collect(),
        sites,
        features,
        edges,
        program,
        geometry,
        beliefs,
        factors,
        outcome,
        claimed: truth.standing,
        standing,
    })
}

/// What all checks look at; shared by threads, each of which brings its own runner.
#[derive(Debug, Clone, Copy)]
struct Ground<'a> {
    specimen: &'a Specimen,
    truth: &'a Truth,
    tasks: &'a [Task],
    options: &'a Options,
    cx: &'a Context,
    /// Largest clean output that counts, over all lengths: on the inputs of one, all may be 0.
    scale: f64,
}

fn largest_output(specimen: &Specimen, tasks: &[Task], cx: &Context) -> Result<f64, Error> {
    let mut largest = f64::MIN_POSITIVE;
    for task in tasks {
        let runner = Runner::new(&specimen.network, &task.inputs, cx)?;
        let clean = runner.logits()?;
        for i in 0..task.clean {
            let y = task.reading(i, clean.row(i));
            largest = y.iter().map(|y| f64::from(y.abs())).fold(largest, f64::max);
        }
    }
    Ok(largest)
}

impl Ground<'_> {
    /// Whether numbers are compared, and not decisions.
    fn exact(&self) -> bool {
        self.truth.standing == Standing::Exact
    }

    /// Whether variables can be exchanged and not set: what no run sends was never asked of this
    /// network.
    fn exchanges_only(&self) -> bool {
        let parts = self.truth.explanation.iter().flat_map(|e| &e.parts);
        parts.flat_map(|p| &p.alignments).any(|a| matches!(a.code, Code::Opaque { .. }))
    }

    /// Share of comparisons that may contradict.
    fn allowed(&self) -> f64 {
        if self.exact() { 0.0 } else { 1.0 - self.options.agreement }
    }

    /// Effect from which on an edge moves an output.
    fn moves(&self) -> f64 {
        if self.exact() { self.options.within } else { self.options.moves }
    }

    /// The context of one of several threads.
    fn alone(&self) -> Context {
        Context::new(self.cx.kernels(), 1)
    }

    /// `f` of each of `0..n`, on all threads, in order.
    fn each<T: Send>(
        &self,
        n: usize,
        f: impl Fn(usize) -> Result<T, Error> + Sync,
    ) -> Result<Vec<T>, Error> {
        let slots: Vec<std::sync::Mutex<Option<Result<T, Error>>>> =
            (0..n).map(|_| std::sync::Mutex::default()).collect();
        self.cx.each(n, |i| {
            let result = f(i);
            if let Ok(mut slot) = slots[i].lock() {
                *slot = Some(result);
            }
        });
        slots
            .into_iter()
            .map(|slot| match slot.into_inner() {
                Ok(Some(result)) => result,
                _ => Err(Error::Trial("a thread of the audit ended early".into())),
            })
            .collect()
    }
}

/// `0..n` at even steps, at most `most` of them.
fn spread(n: usize, most: usize) -> Vec<usize> {
    let most = most.clamp(1, n.max(1));
    (0..most.min(n)).map(|i| i * n / most).collect()
}
