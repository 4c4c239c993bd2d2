//! What every decompose method brings.

use crate::{Dictionary, Error};
use flyroom_organism::{Parameters, defaults_of, overlaid};
use flyroom_tensor::{Context, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What the registries say about a method, in this crate and in `describe`.
#[derive(Debug, Clone, Serialize)]
pub struct MethodEntry {
    /// Its name in plans and on the command line.
    pub name: &'static str,
    /// `decompose` or `describe`.
    pub step: &'static str,
    /// Raised when its results change.
    pub version: u32,
    /// One sentence.
    pub summary: &'static str,
    /// Author, year, where.
    pub source: &'static str,
}

/// The data of a method's budget: activations at one site, and the weights behind them.
#[derive(Debug, Clone)]
pub struct Data {
    /// The site.
    pub site: String,
    /// Activations `[sample, unit]`, positions that mean nothing left out.
    pub activations: Tensor,
    /// The last matrix that writes the site, if one does; see [`collect`](crate::collect).
    pub writer: Option<Writer>,
}

/// A matrix whose rows are added up, by coefficients, to what lies at a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Writer {
    /// The parameter's name.
    pub name: String,
    /// What each of its inputs writes, `[input, unit]`.
    pub rows: Tensor,
}

impl Data {
    /// Activations alone.
    pub fn new(site: impl Into<String>, activations: Tensor) -> Self {
        Self { site: site.into(), activations, writer: None }
    }

    /// (samples, units) of activations that can be taken apart: some, and finite.
    pub fn checked(&self) -> Result<(usize, usize), Error> {
        let bad = |why: String| Err(Error::Shapes(format!("activations at {}: {why}", self.site)));
        let &[n, d] = self.activations.shape() else {
            return bad(format!("wanted [sample, unit], got {:?}", self.activations.shape()));
        };
        if n == 0 || d == 0 {
            return bad(format!("{n} samples of {d} units"));
        }
        match self.activations.data().iter().position(|x| !x.is_finite()) {
            Some(i) => bad(format!("sample {} holds {}", i / d, self.activations.data()[i])),
            None => Ok((n, d)),
        }
    }

    /// Mean of each unit, in f64, samples in order.
    pub(crate) fn mean(&self, n: usize, d: usize) -> Vec<f64> {
        let mut mean = vec![0f64; d];
        for row in self.activations.data().chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
        }
        mean.iter_mut().for_each(|m| *m /= n as f64);
        mean
    }
}

/// A method that takes activations apart.
pub trait Decompose: Sync {
    /// Name, version, source.
    fn entry(&self) -> MethodEntry;

    /// Defaults of all parameters.
    fn defaults(&self) -> Parameters;

    /// Parts of the activations. Equal data, parameters and seed give equal bits.
    fn decompose(
        &self,
        data: &Data,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
    ) -> Result<Dictionary, Error>;
}

/// A method as its file gives it: an entry, and a function of settings of its own type, whose
/// defaults are those of the method and whose field names are its parameters.
pub(crate) struct Method<S> {
    pub name: &'static str,
    pub version: u32,
    pub summary: &'static str,
    pub source: &'static str,
    pub run: fn(S, &Data, u64, &Context) -> Result<Dictionary, Error>,
}

impl<S: Default + Serialize + DeserializeOwned> Decompose for Method<S> {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: self.name,
            step: "decompose",
            version: self.version,
            summary: self.summary,
            source: self.source,
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<S>()
    }

    /// An unknown parameter or one of the wrong kind is an error that names it.
    fn decompose(
        &self,
        data: &Data,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
    ) -> Result<Dictionary, Error> {
        let settings = serde_json::from_value(Json::Object(parameters.clone()))
            .map_err(|e| Error::parameters(self.name, e))?;
        (self.run)(settings, data, seed, cx)
    }
}

/// Defaults overlaid with what a user set; unknown names are errors that list the known ones.
pub fn with_defaults(method: &dyn Decompose, set: &Parameters) -> Result<Parameters, Error> {
    overlaid(method.defaults(), set).map_err(|why| Error::parameters(method.entry().name, why))
}
