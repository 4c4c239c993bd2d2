//! The organism of a network from anywhere: another organism's task judges it.
//!
//! Nothing is known about such a network, so its truth is empty and contested.

use super::file::TensorFile;
use super::{Declared, Imported, Options, contested, hooked, not_bred, transformer_lens};
use crate::organism::as_parameters;
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Organism, Parameters, Source, Standing, Task, defaults_of, find, typed,
    with_defaults,
};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Networks under TransformerLens' names, judged by the task of another organism.
#[derive(Debug)]
pub struct Foreign;

const NAME: &str = "imported";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Whose task judges the network.
    organism: String,
    /// Parameters of that organism.
    parameters: Parameters,
    /// blake3 of the weights: which network this is.
    weights: String,
}

impl Settings {
    fn judge(parameters: &Parameters) -> Result<(&'static dyn Organism, Parameters), Error> {
        let s: Self = typed(NAME, parameters)?;
        if s.organism.is_empty() {
            return Err(not_bred(NAME, "transformer-lens"));
        }
        Ok((find(&s.organism)?, s.parameters))
    }
}

impl Organism for Foreign {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A transformer from a file, judged by the task of another organism.",
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            cost: "imported",
        }
    }

    fn route(&self) -> crate::Route {
        crate::Route::Imported
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(NAME, "transformer-lens"))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let (judge, set) = Settings::judge(parameters)?;
        judge.task(&set, length)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let (judge, set) = Settings::judge(parameters)?;
        judge.measure(&set, network, cx)
    }
}

/// Imports a file whose task is that of the organism named in the options.
pub(crate) fn import(path: &Path, options: &Options) -> Result<Imported, Error> {
    let organism = options.organism.clone().ok_or_else(|| Error::Parameters {
        organism: NAME.into(),
        why: "weights do not say on which inputs they are judged; hint: --organism NAME names the \
              organism with that task, --set its parameters"
            .into(),
    })?;
    let judge = find(&organism)?;
    let set = with_defaults(judge, &options.set)?;
    let network = match hooked::files(path)? {
        Some(_) if options.declared != Declared::default() => {
            return Err(Error::Format {
                path: path.into(),
                why: format!(
                    "{} beside it says what may be declared; hint: leave --layout out",
                    hooked::CONFIG
                ),
            });
        }
        Some((state, config)) => hooked::read(&state, &config)?,
        None => transformer_lens::read(TensorFile::open(path)?, &options.declared)?,
    };
    let task = judge.task(&set, None)?;
    let fits = network.accepts(&task.inputs).map_err(|e| e.to_string()).and_then(|()| {
        let d_out = network.architecture().transformer().map_or(0, |c| c.d_vocab_out);
        match d_out == task.d_out {
            true => Ok(()),
            false => Err(format!("{d_out} logits, the task has {}", task.d_out)),
        }
    });
    if let Err(why) = fits {
        return Err(Error::Format {
            path: path.into(),
            why: format!("the task of '{organism}' does not fit this network: {why}"),
        });
    }
    let settings = Settings { organism, parameters: set, weights: network.hash() };
    Ok(Imported {
        organism: &Foreign,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}
