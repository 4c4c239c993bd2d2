//! Networks that Tracr compiled (Lindner et al. 2023): every residual direction has a name.
//!
//! The four are Tracr's own examples. BOS stands before the program's sequence, which has 1 to
//! `max_seq_len` tokens; the evaluation set is all sequences of one length. A specimen is imported
//! with its labels and encodings as parameters, in a random [`Gauge`] (`tracr-hist`) or in the
//! coordinates in which it was compiled (`tracr-hist@aligned`).
//!
//! | file | holds |
//! |---|---|
//! | `tracr/compiled.rs` | [`Compiled`]: labels and encodings, and what they say of variables |
//!
//! Task and truth are those of every [labelled](crate::labelled) network.
//!
//! ```
//! use flyroom_organism::find;
//! let hist = find("tracr-hist")?;
//! let e = hist.task(&hist.defaults(), None).unwrap_err().to_string();
//! assert!(e.contains("flyroom import tracr PATH"), "{e}");
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

mod compiled;
#[cfg(test)]
mod tests;

pub use compiled::{Compiled, Config, OutputEncoding};

use crate::import::not_bred;
use crate::labelled::Labelled;
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Gauge, Organism, Parameters, Source, Standing, Task, Truth, defaults_of,
    typed,
};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};

/// A compiled program of Tracr's examples.
#[derive(Debug)]
pub struct Tracr {
    name: &'static str,
    /// As the JSON file names it.
    program: &'static str,
    /// In the coordinates in which it was compiled.
    aligned: bool,
    summary: &'static str,
}

/// `hist`: how often the token of each position occurs.
pub const HIST: Tracr = Tracr {
    name: "tracr-hist",
    program: "hist",
    aligned: false,
    summary: "Tracr's histogram, compiled: how often each token occurs.",
};

/// `reverse`: the sequence backwards. Its length path is constant for inputs of one length.
pub const REVERSE: Tracr = Tracr {
    name: "tracr-reverse",
    program: "reverse",
    aligned: false,
    summary: "Tracr's reverse, compiled: the sequence backwards.",
};

/// `sort_unique`: distinct tokens in order.
pub const SORT_UNIQUE: Tracr = Tracr {
    name: "tracr-sort-unique",
    program: "sort_unique",
    aligned: false,
    summary: "Tracr's sort of distinct tokens, compiled.",
};

/// `frac_prevs_x`: the share of x among the tokens so far.
pub const FRAC_PREVS: Tracr = Tracr {
    name: "tracr-frac-prevs",
    program: "frac_prevs_x",
    aligned: false,
    summary: "Tracr's share of x among the tokens so far, compiled.",
};

/// [`HIST`] in the coordinates in which it was compiled.
pub const HIST_ALIGNED: Tracr = Tracr { name: "tracr-hist@aligned", aligned: true, ..HIST };

/// [`REVERSE`] in the coordinates in which it was compiled.
pub const REVERSE_ALIGNED: Tracr =
    Tracr { name: "tracr-reverse@aligned", aligned: true, ..REVERSE };

/// [`SORT_UNIQUE`] in the coordinates in which it was compiled.
pub const SORT_UNIQUE_ALIGNED: Tracr =
    Tracr { name: "tracr-sort-unique@aligned", aligned: true, ..SORT_UNIQUE };

/// [`FRAC_PREVS`] in the coordinates in which it was compiled.
pub const FRAC_PREVS_ALIGNED: Tracr =
    Tracr { name: "tracr-frac-prevs@aligned", aligned: true, ..FRAC_PREVS };

const ALL: [&Tracr; 8] = [
    &HIST,
    &HIST_ALIGNED,
    &REVERSE,
    &REVERSE_ALIGNED,
    &SORT_UNIQUE,
    &SORT_UNIQUE_ALIGNED,
    &FRAC_PREVS,
    &FRAC_PREVS_ALIGNED,
];

/// The organism of a program as the JSON file names it.
pub(crate) fn by_program(program: &str, aligned: bool) -> Result<&'static Tracr, Error> {
    ALL.into_iter().find(|t| t.program == program && t.aligned == aligned).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().filter(|t| t.aligned).map(|t| t.program).collect();
        Error::Parameters {
            organism: "tracr".into(),
            why: format!("program '{program}' is not known here; hint: {}", known.join(", ")),
        }
    })
}

/// Parameters of an imported specimen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// blake3 of the weights as compiled.
    pub weights: String,
    /// The JSON file beside the weights, as it is.
    pub compiled: Compiled,
}

impl Tracr {
    fn settings(&self, parameters: &Parameters) -> Result<Settings, Error> {
        let s: Settings = typed(self.name, parameters)?;
        if s.compiled.program.is_empty() {
            return Err(not_bred(self.name, "tracr"));
        }
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        if s.compiled.program != self.program {
            return Err(bad(format!("program '{}' is not {}", s.compiled.program, self.program)));
        }
        s.compiled.check().map_err(bad)?;
        Ok(s)
    }

    fn labelled(&self, settings: &Settings) -> Result<Labelled, Error> {
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        settings.compiled.labelled().map_err(bad)
    }

    /// The network and its truth in the coordinates of this entry: as compiled, or in a random
    /// gauge from the seed.
    pub(crate) fn settle(
        &self,
        settings: &Settings,
        compiled: Network,
        seed: u64,
    ) -> Result<(Network, Truth), Error> {
        let labelled = self.labelled(settings)?;
        let truth = labelled.truth(&compiled, &Context::single())?;
        Gauge::settle(compiled, truth, seed, self.aligned)
    }
}

impl Organism for Tracr {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "imported",
        }
    }

    fn route(&self) -> crate::Route {
        crate::Route::Tracr
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(self.name, "tracr"))
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let c = self.labelled(&self.settings(parameters)?)?;
        c.task(length.unwrap_or(c.length))
    }

    /// Over all inputs of all lengths: `accuracy` where the output is a class, and `max_error`,
    /// the largest difference between an output and what the program says (zeros where it says
    /// nothing).
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        self.labelled(&self.settings(parameters)?)?.measure(network, cx)
    }
}
