//! Traps: small networks with weights written by hand, each made to break one kind of method.
//!
//! Everything about them is known, as of every compiled network ([`crate::labelled`]): the program,
//! where its variables lie, every edge through which the answer flows. What they add to the
//! collection is a reason why a method that works elsewhere must go wrong here.
//!
//! | trap | breaks | file |
//! |---|---|---|
//! | decoy | reading out: a variable is there and nothing uses it | `traps/decoy.rs` |
//! | saturated gate | gradients: they vanish where the gate is open | `traps/saturated_gate.rs` |
//! | cancelling paths | gradients: two paths cancel to first order and not in fact | `traps/cancelling_paths.rs` |
//! | spare heads | removing one thing at a time: two others stand in | `traps/spare_heads.rs` |
//! | norm-smuggling | linear read-outs: a norm carries what no direction does | `traps/norm_smuggling.rs` |
//! | fooling branch | searching a subspace by exchanging along it: one does what the variable does and is not it | `traps/fooling_branch.rs` |
//! | lookup table | looking at answers: they are an algorithm's, and a table gives them | `traps/lookup_table.rs` |
//!
//! All but the lookup table read sequences of up to four letters and answer, at every position, with the first of
//! them; a head carries it there. `NAME@aligned` keeps the coordinates in which the weights were written.
//! With `armed = false` a trap is its own control arm: the same network but for what breaks the
//! method, so a method that fails there too does not fail because of the trap. What a trap is made
//! for is its [`Aim`].
//!
//! ```
//! use flyroom_organism::{find, train::Nursery};
//! use flyroom_tensor::Context;
//! let trap = find("trap-saturated-gate@aligned")?;
//! let bred = trap.breed(&trap.defaults(), 0, &Context::single(), &Nursery::none())?;
//! let m = trap.measure(&trap.defaults(), &bred.network, &Context::single())?;
//! assert_eq!(m["accuracy"], 1.0);
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

mod cancelling_paths;
mod decoy;
mod fooling_branch;
mod lookup_table;
mod norm_smuggling;
mod saturated_gate;
mod sheet;
mod spare_heads;
#[cfg(test)]
mod tests;

use crate::Parameters;
use crate::labelled::Labelled;
use crate::organism::{defaults_of, typed};
use crate::train::Nursery;
use crate::{Bred, Entry, Error, Gauge, Organism, Source, Standing, Task, Truth};
use flyroom_explanation::rasp::INDICES;
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};

/// Longest sequence behind BOS.
const LENGTH: usize = 4;

/// A trap as it was written.
struct Written {
    labelled: Labelled,
    network: Network,
}

/// Against what a trap was made. It is a claim: the crash test of a run shows whether it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Aim {
    /// Name of the trap, without its gauge.
    pub trap: &'static str,
    /// Metrics that show it; of several the first for which a method has a score.
    pub metrics: &'static [&'static str],
    /// Methods that it was made to break.
    pub breaks: &'static [&'static str],
    /// Methods that see what those miss.
    pub seen_by: &'static [&'static str],
    /// What goes wrong, in a sentence.
    pub symptom: &'static str,
}

/// A trap in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trapped {
    /// Against what it was made.
    pub aim: Aim,
    /// Whether it is armed, or the control arm.
    pub armed: bool,
}

/// A network with weights written by hand against a method.
#[derive(Debug)]
pub(crate) struct Trap {
    name: &'static str,
    summary: &'static str,
    aligned: bool,
    aim: Aim,
    /// Writes it, armed or not.
    write: fn(bool) -> Result<Written, Error>,
    /// What the labels alone do not say.
    corrected: fn(&Labelled, Truth) -> Result<Truth, Error>,
}

fn as_it_is(_: &Labelled, truth: Truth) -> Result<Truth, Error> {
    Ok(truth)
}

const EDGES: &[&str] = &["edge-auroc"];

/// [`decoy`] in a random gauge.
pub(crate) const DECOY: Trap = Trap {
    name: "trap-decoy",
    summary: "A trap: a variable that can be read everywhere and that nothing reads.",
    aligned: false,
    aim: Aim {
        trap: "trap-decoy",
        metrics: &["used", "edge-auroc"],
        breaks: &["neurons", "pca"],
        seen_by: &["exact-patching"],
        symptom: "what it reads is there, and the network does not use it",
    },
    write: decoy::write,
    corrected: as_it_is,
};

/// [`saturated_gate`] in a random gauge.
pub(crate) const SATURATED_GATE: Trap = Trap {
    name: "trap-saturated-gate",
    summary: "A trap: the answer passes a gate in which no gradient is left.",
    aligned: false,
    aim: Aim {
        trap: "trap-saturated-gate",
        metrics: EDGES,
        breaks: &["eap"],
        seen_by: &["exact-patching", "pair-patching", "eap-ig"],
        symptom: "no gradient passes the open gate, so edges in front of it score 0",
    },
    write: saturated_gate::write,
    corrected: as_it_is,
};

/// [`cancelling_paths`] in a random gauge.
pub(crate) const CANCELLING_PATHS: Trap = Trap {
    name: "trap-cancelling-paths",
    summary: "A trap: two paths whose first-order effects cancel, and whose effects do not.",
    aligned: false,
    aim: Aim {
        trap: "trap-cancelling-paths",
        metrics: EDGES,
        breaks: &["eap"],
        seen_by: &["exact-patching", "pair-patching", "eap-ig"],
        symptom: "the gradients of two paths cancel, so what feeds both scores 0",
    },
    write: cancelling_paths::write,
    corrected: cancelling_paths::corrected,
};

/// [`spare_heads`] in a random gauge.
pub(crate) const SPARE_HEADS: Trap = Trap {
    name: "trap-spare-heads",
    summary: "A trap: three heads vote, so that removing any one of them changes nothing.",
    aligned: false,
    aim: Aim {
        trap: "trap-spare-heads",
        metrics: EDGES,
        breaks: &["exact-patching", "eap"],
        seen_by: &["pair-patching", "eap-ig"],
        symptom: "two heads stand in for the one that was removed, so all three score 0",
    },
    write: spare_heads::write,
    corrected: as_it_is,
};

/// [`norm_smuggling`] in a random gauge.
pub(crate) const NORM_SMUGGLING: Trap = Trap {
    name: "trap-norm-smuggling",
    summary: "A trap: half of the answer is carried by the norm of a direction.",
    aligned: false,
    aim: Aim {
        trap: "trap-norm-smuggling",
        metrics: &["used", "edge-auroc"],
        breaks: &["ica"],
        seen_by: &["exact-patching"],
        symptom: "no direction holds what the norm says, so it is not read and seems not to be there",
    },
    write: norm_smuggling::write,
    corrected: as_it_is,
};

/// [`lookup_table`] in a random gauge.
pub(crate) const LOOKUP_TABLE: Trap = Trap {
    name: "trap-lookup-table",
    summary: "A trap: the answers of an algorithm from a table, in which none of its steps is.",
    aligned: false,
    aim: Aim {
        trap: "trap-lookup-table",
        metrics: &["edge-auroc", "effect-skill"],
        breaks: &["probed-program"],
        seen_by: &["exact-patching"],
        symptom: "the answers are those of a program, and its steps are not there",
    },
    write: lookup_table::write,
    corrected: lookup_table::inside,
};

/// [`fooling_branch`] in a random gauge.
pub(crate) const FOOLING_BRANCH: Trap = Trap {
    name: "trap-fooling-branch",
    summary: "A trap: a subspace that is not the variable's, along which exchanges do what it does.",
    aligned: false,
    aim: Aim {
        trap: "trap-fooling-branch",
        metrics: &["edge-auroc", "effect-skill"],
        breaks: &["das"],
        seen_by: &["exact-patching"],
        symptom: "an exchange wakes directions that sleep on every input, and what nothing reads looks used",
    },
    write: fooling_branch::write,
    corrected: fooling_branch::asleep,
};

/// [`DECOY`] as written.
pub(crate) const DECOY_ALIGNED: Trap = Trap { name: "trap-decoy@aligned", aligned: true, ..DECOY };

/// [`SATURATED_GATE`] as written.
pub(crate) const SATURATED_GATE_ALIGNED: Trap =
    Trap { name: "trap-saturated-gate@aligned", aligned: true, ..SATURATED_GATE };

/// [`CANCELLING_PATHS`] as written.
pub(crate) const CANCELLING_PATHS_ALIGNED: Trap =
    Trap { name: "trap-cancelling-paths@aligned", aligned: true, ..CANCELLING_PATHS };

/// [`SPARE_HEADS`] as written.
pub(crate) const SPARE_HEADS_ALIGNED: Trap =
    Trap { name: "trap-spare-heads@aligned", aligned: true, ..SPARE_HEADS };

/// [`NORM_SMUGGLING`] as written.
pub(crate) const NORM_SMUGGLING_ALIGNED: Trap =
    Trap { name: "trap-norm-smuggling@aligned", aligned: true, ..NORM_SMUGGLING };

/// [`FOOLING_BRANCH`] as written.
pub(crate) const FOOLING_BRANCH_ALIGNED: Trap =
    Trap { name: "trap-fooling-branch@aligned", aligned: true, ..FOOLING_BRANCH };

/// [`LOOKUP_TABLE`] as written.
pub(crate) const LOOKUP_TABLE_ALIGNED: Trap =
    Trap { name: "trap-lookup-table@aligned", aligned: true, ..LOOKUP_TABLE };

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whether the trap is set; without it the network is its control arm.
    armed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { armed: true }
    }
}

impl Trap {
    fn written(&self, parameters: &Parameters) -> Result<Written, Error> {
        (self.write)(typed::<Settings>(self.name, parameters)?.armed)
    }
}

impl Organism for Trap {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 2,
            summary: self.summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "none",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn trap(&self, parameters: &Parameters) -> Option<Trapped> {
        let settings: Settings = typed(self.name, parameters).ok()?;
        Some(Trapped { aim: self.aim, armed: settings.armed })
    }

    /// Seeds differ in the gauge alone.
    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        let Written { labelled, network } = self.written(parameters)?;
        let mut truth = (self.corrected)(&labelled, labelled.truth(&network, cx)?)?;
        // Two places of one index would make the letter a mixture, of which a gate says nothing.
        truth.variables.retain(|v| v.name != INDICES);
        let (network, truth) = Gauge::settle(network, truth, seed, self.aligned)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let labelled = self.written(parameters)?.labelled;
        labelled.task(length.unwrap_or(labelled.length))
    }

    /// Over all inputs of all lengths: `accuracy` and `max_error`, the largest difference between an
    /// output and what the program says.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        self.written(parameters)?.labelled.measure(network, cx)
    }
}
