//! What every decompose method brings.

use crate::{Dictionary, Error};
use flyroom_organism::Parameters;
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

/// The data of a method's budget: activations at one site.
#[derive(Debug, Clone)]
pub struct Data {
    /// The site.
    pub site: String,
    /// Activations `[sample, unit]`, positions that mean nothing left out.
    pub activations: Tensor,
}

impl Data {
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

/// Parameters as a type of their own; an unknown name or a wrong kind is an error that names it.
pub fn typed<T: DeserializeOwned>(method: &str, parameters: &Parameters) -> Result<T, Error> {
    serde_json::from_value(Json::Object(parameters.clone()))
        .map_err(|e| Error::Parameters { method: method.into(), why: e.to_string() })
}

/// Defaults overlaid with what a user set; unknown names are errors that list the known ones.
pub fn with_defaults(method: &dyn Decompose, set: &Parameters) -> Result<Parameters, Error> {
    let mut all = method.defaults();
    for (name, value) in set {
        if !all.contains_key(name) {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(Error::Parameters {
                method: method.entry().name.into(),
                why: format!("no parameter '{name}'; it has {known}"),
            });
        }
        all.insert(name.clone(), value.clone());
    }
    Ok(all)
}
