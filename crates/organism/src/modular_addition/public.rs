//! Public networks that add modulo p, read from files: two with the symbol `=`, two without.
//!
//! Which circles such a network uses is a claim on trial, so the truth of an imported one is empty
//! and contested.

use super::{all_pairs, answers, symmetry};
use crate::import::not_bred;
use crate::task::accuracy_and_loss;
use crate::train::Nursery;
use crate::{Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, defaults_of, typed};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Networks of one make.
#[derive(Debug)]
pub struct Public {
    name: &'static str,
    summary: &'static str,
    /// Kind of file on the command line.
    kind: &'static str,
    modulus: usize,
    /// Whether `=` stands behind the operands.
    equals: bool,
}

/// Nanda et al. 2023: a, b, `=`, modulo 113.
pub const MODADD113: Public = Public {
    name: "modadd113",
    summary: "A public 1-layer transformer that adds modulo 113, imported.",
    kind: "modadd113",
    modulus: 113,
    equals: true,
};

/// Zhong et al. 2023: a, b, modulo 59, with attention or without.
pub const CLOCK_PIZZA59: Public = Public {
    name: "clock-pizza59",
    summary: "A public 1-layer transformer that adds modulo 59, clock or pizza, imported.",
    kind: "clock-pizza",
    modulus: 59,
    equals: false,
};

/// Which network it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// p.
    pub modulus: usize,
    /// The config beside the weights, as it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Json>,
    /// blake3 of the weights.
    pub weights: String,
}

impl Organism for Public {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            cost: "imported",
        }
    }

    fn route(&self) -> crate::Route {
        crate::Route::Imported
    }

    fn defaults(&self) -> Parameters {
        let mut all = defaults_of::<Settings>();
        all.insert("modulus".into(), self.modulus.into());
        all
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(self.name, self.kind))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let s: Settings = typed(self.name, parameters)?;
        all_pairs(self.name, s.modulus, self.equals, length)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let task = self.task(parameters, None)?;
        let mut out = accuracy_and_loss(&task, network, cx)?;
        out.extend(symmetry::measures(&task, network, &answers(&task, network, cx)?, cx)?);
        Ok(out)
    }
}
