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
//!
//! All but the last read sequences of up to four letters and answer, at every position, with the
//! first of them; a head carries it there. `NAME@aligned` keeps the coordinates in which the weights
//! were written.
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
mod saturated_gate;
mod sheet;
mod spare_heads;
#[cfg(test)]
mod tests;

use crate::labelled::Labelled;
use crate::organism::Parameters;
use crate::train::Nursery;
use crate::{Bred, Entry, Error, Gauge, Organism, Source, Standing, Task, Truth};
use flyroom_explanation::rasp::INDICES;
use flyroom_network::Network;
use flyroom_tensor::Context;

/// Longest sequence behind BOS.
const LENGTH: usize = 4;

/// A trap as it was written.
struct Written {
    labelled: Labelled,
    network: Network,
}

/// A network with weights written by hand against a method.
#[derive(Debug)]
pub(crate) struct Trap {
    name: &'static str,
    summary: &'static str,
    aligned: bool,
    write: fn() -> Result<Written, Error>,
    /// What the labels alone do not say.
    corrected: fn(&Labelled, Truth) -> Truth,
}

fn as_it_is(_: &Labelled, truth: Truth) -> Truth {
    truth
}

/// [`decoy`] in a random gauge.
pub(crate) const DECOY: Trap = Trap {
    name: "trap-decoy",
    summary: "A trap: a variable that can be read everywhere and that nothing reads.",
    aligned: false,
    write: decoy::write,
    corrected: as_it_is,
};

/// [`saturated_gate`] in a random gauge.
pub(crate) const SATURATED_GATE: Trap = Trap {
    name: "trap-saturated-gate",
    summary: "A trap: the answer passes a gate in which no gradient is left.",
    aligned: false,
    write: saturated_gate::write,
    corrected: as_it_is,
};

/// [`cancelling_paths`] in a random gauge.
pub(crate) const CANCELLING_PATHS: Trap = Trap {
    name: "trap-cancelling-paths",
    summary: "A trap: two paths whose first-order effects cancel, and whose effects do not.",
    aligned: false,
    write: cancelling_paths::write,
    corrected: cancelling_paths::corrected,
};

/// [`spare_heads`] in a random gauge.
pub(crate) const SPARE_HEADS: Trap = Trap {
    name: "trap-spare-heads",
    summary: "A trap: three heads vote, so that removing any one of them changes nothing.",
    aligned: false,
    write: spare_heads::write,
    corrected: as_it_is,
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

impl Trap {
    fn bare(&self, parameters: &Parameters) -> Result<(), Error> {
        crate::names::overlaid(Parameters::new(), parameters)
            .map(|_| ())
            .map_err(|why| Error::Parameters { organism: self.name.into(), why })
    }
}

impl Organism for Trap {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "none",
        }
    }

    fn defaults(&self) -> Parameters {
        Parameters::new()
    }

    /// Seeds differ in the gauge alone.
    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        self.bare(parameters)?;
        let Written { labelled, network } = (self.write)()?;
        let mut truth = (self.corrected)(&labelled, labelled.truth(&network, cx)?);
        // Two places of one index would make the letter a mixture, of which a gate says nothing.
        truth.variables.retain(|v| v.name != INDICES);
        let (network, truth) = Gauge::settle(network, truth, seed, self.aligned)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    /// `length` counts the letters behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        self.bare(parameters)?;
        (self.write)()?.labelled.task(length.unwrap_or(LENGTH))
    }

    /// Over all inputs of all lengths: `accuracy` and `max_error`, the largest difference between an
    /// output and what the program says.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        self.bare(parameters)?;
        (self.write)()?.labelled.measure(network, cx)
    }
}
