//! What every organism brings, and the registry that lists them.
//!
//! An organism is a spec: parameters, how a specimen is bred from a seed, the task that judges it
//! and the truth about it. To add one: implement [`Organism`], add one line to
//! [`registry`](crate::registry), write one page in `docs/organisms/`.

use crate::parameters::{Parameters, overlaid};
use crate::progress_measures::ProgressMeasures;
use crate::train::Nursery;
use crate::traps::Trapped;
use crate::{Bred, Error, Task};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Where a truth comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The weights were written from it.
    Compiled,
    /// Training was constrained to it.
    Constrained,
    /// Papers found it in networks of this kind; a locator finds its instance.
    ReverseEngineered,
    /// The data were generated from it.
    Generated,
    /// There is nothing to find: a null.
    Nothing,
}

/// How far a truth can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Holds by construction.
    Exact,
    /// Holds under interventions that a method did not choose.
    Audited,
    /// Disputed, or not yet audited.
    Contested,
}

/// How a network of known truth was made. Methods are compared within a route too, for one that wins
/// on compiled networks alone has shown nothing about trained ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Weights written from a program, or by hand, in this project.
    Compiled,
    /// Weights written by Tracr.
    Tracr,
    /// Weights by a formula.
    Analytic,
    /// Training was constrained to an algorithm.
    Constrained,
    /// Trained freely.
    Trained,
    /// Somebody else's network.
    Imported,
    /// There is nothing to find in it.
    Null,
}

impl Route {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Tracr => "tracr",
            Self::Analytic => "analytic",
            Self::Constrained => "constrained",
            Self::Trained => "trained",
            Self::Imported => "imported",
            Self::Null => "null",
        }
    }
}

/// What the registry says about an organism.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its name in plans and on the command line.
    pub name: &'static str,
    /// Raised when a specimen of the same parameters and seed changes.
    pub version: u32,
    /// One sentence.
    pub summary: &'static str,
    /// Where its truth comes from.
    pub source: Source,
    /// How far it can be relied on.
    pub standing: Standing,
    /// Time to breed one seed on one core, in words.
    pub cost: &'static str,
}

/// A kind of network with known truth.
pub trait Organism: Sync + std::fmt::Debug {
    /// Name, version, truth and cost.
    fn entry(&self) -> Entry;

    /// Defaults of all parameters.
    fn defaults(&self) -> Parameters;

    /// One specimen. Trained organisms resume from the nursery's checkpoint.
    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error>;

    /// The evaluation set of a specimen, at its full length or at a shorter one.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error>;

    /// Numbers that describe a network of this kind (accuracy, loss), by name.
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error>;

    /// What follows its training by what is located in the finished network; `None` where nothing does.
    fn progress_measures(
        &self,
        parameters: &Parameters,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Option<Box<dyn ProgressMeasures>>, Error> {
        let _ = (parameters, finished, seed, cx);
        Ok(None)
    }

    /// How it was made: as a rule what the source of its truth says.
    fn route(&self) -> Route {
        match self.entry().source {
            Source::Compiled => Route::Compiled,
            Source::Constrained => Route::Constrained,
            Source::ReverseEngineered | Source::Generated => Route::Trained,
            Source::Nothing => Route::Null,
        }
    }

    /// Against what it was made, if it is a trap.
    fn trap(&self, parameters: &Parameters) -> Option<Trapped> {
        let _ = parameters;
        None
    }

    /// Where the dictionary that was published with a network reads and how it encodes (`relu`,
    /// `topk:K`), if its file does not say: (site, activation).
    fn dictionary(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}

/// Parameters as a type of their own; an unknown name or a wrong kind is an error that names it.
pub fn typed<T: DeserializeOwned>(organism: &str, parameters: &Parameters) -> Result<T, Error> {
    serde_json::from_value(Json::Object(parameters.clone()))
        .map_err(|e| Error::Parameters { organism: organism.into(), why: e.to_string() })
}

/// A type's default as parameters.
pub fn defaults_of<T: Default + Serialize>() -> Parameters {
    as_parameters(&T::default())
}

/// Settings as parameters: their fields by name.
pub(crate) fn as_parameters<T: Serialize>(settings: &T) -> Parameters {
    match serde_json::to_value(settings) {
        Ok(Json::Object(m)) => m,
        _ => Parameters::new(),
    }
}

/// Defaults overlaid with what a user set; unknown names are errors that list the known ones.
pub fn with_defaults(organism: &dyn Organism, set: &Parameters) -> Result<Parameters, Error> {
    overlaid(organism.defaults(), set)
        .map_err(|why| Error::Parameters { organism: organism.entry().name.into(), why })
}
