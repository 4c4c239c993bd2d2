//! Networks that our own compiler wrote from RASP programs (Weiss et al. 2021; after Lindner et al.
//! 2023, "Tracr").
//!
//! The way of a program: its text ([`Script`]) is lowered until each variable is written by one
//! component, every variable gets the closed domain of its values, steps get layers, heads and
//! residual dimensions, and these get weights and labels. Task and truth then follow from labels
//! and weights as for every [labelled](crate::labelled) network. `NAME@aligned` keeps the
//! coordinates of the labels, `NAME` moves each specimen to a random [`Gauge`].
//!
//! | file | holds |
//! |---|---|
//! | `rasp/lower.rs` | a program whose every variable has one writer |
//! | `rasp/domain.rs` | which values a variable can hold, also when others are set |
//! | `rasp/layout.rs` | layers, heads, residual dimensions |
//! | `rasp/weights.rs` | the weights |
//! | `rasp/compressed.rs` | the same in fewer residual dimensions, by a trained projection |
//! | `rasp/imposed.rs` | networks trained until their components play a program's roles |
//! | `rasp/trained.rs` | a network of any form, trained on what a program answers |
//! | `rasp/programs/` | the programs of the organisms, as text |
//!
//! ```
//! use flyroom_organism::{find, train::Nursery};
//! use flyroom_tensor::Context;
//! let o = find("rasp-histogram@aligned")?;
//! let bred = o.breed(&o.defaults(), 0, &Context::single(), &Nursery::none())?;
//! let m = o.measure(&o.defaults(), &bred.network, &Context::single())?;
//! assert_eq!((&m["accuracy"], &m["inputs"]), (&1.0.into(), &1092.into()));
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

pub(crate) mod compressed;
mod domain;
pub(crate) mod imposed;
mod layout;
mod lower;
#[cfg(test)]
mod tests;
pub(crate) mod trained;
mod weights;

use crate::labelled::{BOS, Labelled, Variable};
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Gauge, Organism, Parameters, Source, Standing, Task, defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_explanation::rasp::Script;
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Sequences of all lengths at most: a program is run on each of them.
const SEQUENCES: usize = 1 << 18;

/// A program as a network, in the coordinates of its labels.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub network: Network,
    pub labelled: Labelled,
}

/// Compiles a program; what cannot be compiled is refused with the variable's name.
pub(crate) fn compile(organism: &str, script: &Script) -> Result<Compiled, Error> {
    let bad = |why: String| Error::Parameters { organism: organism.into(), why };
    let (v, n) = (script.vocabulary.len(), script.length);
    let total = (1..=n).try_fold(0usize, |t, n| t.checked_add(v.checked_pow(n as u32)?));
    if n == 0 || v == 0 {
        return Err(bad("no tokens or no length make no sequence; hint: 1 and more".into()));
    }
    if total.is_none_or(|t| t > SEQUENCES) {
        return Err(bad(format!(
            "sequences of up to {n} of {v} tokens are more than the {SEQUENCES} on which a program \
             is run; hint: a shorter 'length:' or a smaller 'vocabulary:'"
        )));
    }
    let lowered = lower::lower(organism, script)?;
    let layout = layout::Layout::new(organism, &lowered)?;
    let (_, readout) = lowered.readout()?;
    let bos = Value::token(BOS);
    let mut labels = vec![String::new(); layout.d_model];
    labels[layout.bos] = format!("tokens:{bos}");
    let mut variables = vec![];
    for (step, dims) in lowered.steps.iter().zip(&layout.dims).filter(|(_, d)| !d.is_empty()) {
        for (dim, value) in dims.clone().zip(&step.domain.values) {
            labels[dim] = match step.domain.form {
                domain::Form::OneHot => format!("{}:{value}", step.name),
                domain::Form::Number => step.name.clone(),
            };
        }
        variables.push(Variable {
            name: step.name.clone(),
            dims: dims.clone().collect(),
            code: step.domain.code(),
            domain: step.domain.values.clone(),
        });
    }
    let labelled = Labelled {
        name: organism.into(),
        program: lowered.program.clone(),
        labels,
        variables,
        readout,
        vocabulary: script.vocabulary.iter().cloned().chain([bos]).collect(),
        tokens: (0..v as u32).collect(),
        bos: v as u32,
        length: n,
    };
    labelled.says_everything()?;
    let network = weights::network(organism, &lowered, &layout, v + 1, n)?;
    Ok(Compiled { network, labelled })
}

/// Compiles a program from its text, for sequences of its own length or, if that is not 0, of another.
pub(crate) fn compile_text(organism: &str, text: &str, length: usize) -> Result<Compiled, Error> {
    let mut script: Script = text.parse()?;
    if length > 0 {
        script.length = length;
    }
    compile(organism, &script).map_err(|e| e.in_text(text))
}

impl Labelled {
    /// Fails where a variable has a value of which the program says nothing.
    fn says_everything(&self) -> Result<(), Error> {
        for n in 1..=self.length {
            for (s, trace) in self.traces(n)? {
                for (name, values) in trace.iter() {
                    if let Some(i) = values.iter().position(|v| *v == Value::Unknown) {
                        let input: Vec<String> =
                            self.values(&s).iter().map(Value::to_string).collect();
                        let why = format!(
                            "on '{}' the program does not say what it is at index {i} (it is \
                             computed from several different values at once, by a division by \
                             zero, or from what no table holds); hint: select one key, use \
                             mean(...) for numbers, or give the table an 'else'",
                            input.join(" ")
                        );
                        return Err(Error::variable(&self.name, name, &why));
                    }
                }
            }
        }
        Ok(())
    }
}

/// An organism from a program.
#[derive(Debug)]
pub(crate) struct Rasp {
    name: &'static str,
    summary: &'static str,
    /// The program; the parameter `program` where there is none.
    pub(crate) text: Option<&'static str>,
    aligned: bool,
}

/// Parameters of an organism whose program is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The text of a program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    program: String,
    /// Longest sequence, without BOS; 0 is that of the program's text.
    length: usize,
}

macro_rules! organisms {
    ($($constant:ident $aligned:ident $name:literal $summary:literal)*) => {$(
        #[doc = $summary]
        pub(crate) const $constant: Rasp = Rasp {
            name: concat!("rasp-", $name),
            summary: $summary,
            text: Some(include_str!(concat!("rasp/programs/", $name, ".rasp"))),
            aligned: false,
        };
        #[doc = $summary]
        pub(crate) const $aligned: Rasp =
            Rasp { name: concat!("rasp-", $name, "@aligned"), aligned: true, ..$constant };
    )*
    /// Programs with an organism of their own.
    const ALL: &[(&Rasp, &Rasp)] = &[$((&$constant, &$aligned)),*];
    };
}

organisms! {
    REVERSE REVERSE_ALIGNED "reverse" "The sequence backwards, compiled from RASP."
    HISTOGRAM HISTOGRAM_ALIGNED "histogram" "How often each token occurs, compiled from RASP."
    SORT SORT_ALIGNED "sort" "Tokens in order, compiled from RASP."
    SORT_UNIQUE SORT_UNIQUE_ALIGNED "sort-unique" "Distinct tokens in order, compiled from RASP."
    FRACTION_PREVIOUS FRACTION_PREVIOUS_ALIGNED "fraction-previous"
        "The share of x among the tokens so far, compiled from RASP."
    MOST_FREQUENT MOST_FREQUENT_ALIGNED "most-frequent"
        "The token that occurs most often, compiled from RASP."
    MAX MAX_ALIGNED "max" "The largest token, compiled from RASP."
    PAIR_BALANCE PAIR_BALANCE_ALIGNED "pair-balance"
        "Opened minus closed brackets so far, as a share, compiled from RASP."
    SHUFFLE_DYCK SHUFFLE_DYCK_ALIGNED "shuffle-dyck"
        "Whether brackets of two kinds are balanced, each kind for itself, compiled from RASP."
    LENGTH LENGTH_ALIGNED "length" "How long the sequence is, compiled from RASP."
    MAX_ONE_HOT MAX_ONE_HOT_ALIGNED "max-one-hot"
        "Twin of rasp-max: each value asks whether it occurs."
    REVERSE_BEHIND REVERSE_BEHIND_ALIGNED "reverse-behind"
        "Twin of rasp-reverse: each token counts those behind it."
    HISTOGRAM_BY_TOKEN HISTOGRAM_BY_TOKEN_ALIGNED "histogram-by-token"
        "Twin of rasp-histogram: every token is counted, one count chosen."
    SORT_COUNTING SORT_COUNTING_ALIGNED "sort-counting"
        "Twin of rasp-sort: small tokens are counted, none is moved."
    MOST_FREQUENT_TALLY MOST_FREQUENT_TALLY_ALIGNED "most-frequent-tally"
        "Twin of rasp-most-frequent: every token is counted, counts compared."
    PAIR_BALANCE_SIGNED PAIR_BALANCE_SIGNED_ALIGNED "pair-balance-signed"
        "Twin of rasp-pair-balance: one mean of signs."
    FRACTION_PREVIOUS_COUNTED FRACTION_PREVIOUS_COUNTED_ALIGNED "fraction-previous-counted"
        "Twin of rasp-fraction-previous: a count divided by the place."
}

/// Indirect object identification: compiled only to be imposed.
pub(crate) const IOI: Rasp = Rasp {
    name: "rasp-ioi",
    summary: "Which of two names stood once.",
    text: Some(include_str!("rasp/programs/ioi.rasp")),
    aligned: false,
};

/// The names and texts of the programs that have an organism of their own.
pub fn library() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().filter_map(|(o, _)| Some((o.name, o.text?)))
}

/// A program of one's own.
pub(crate) const OWN: Rasp = Rasp {
    name: "rasp",
    summary: "A RASP program of your own, compiled: --set program=TEXT.",
    text: None,
    aligned: false,
};

/// A program of one's own, in the coordinates of its labels.
pub(crate) const OWN_ALIGNED: Rasp = Rasp { name: "rasp@aligned", aligned: true, ..OWN };

impl Rasp {
    fn compiled(&self, parameters: &Parameters) -> Result<Compiled, Error> {
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        let settings: Settings = typed(self.name, parameters)?;
        let text = self.text.unwrap_or(&settings.program);
        if text.trim().is_empty() {
            return Err(bad("no program; hint: --set program=\"$(cat FILE.rasp)\"".into()));
        }
        compile_text(self.name, text, settings.length)
    }
}

impl Organism for Rasp {
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
        let mut out = defaults_of::<Length>();
        if self.text.is_none() {
            out.insert("program".into(), json!(""));
        }
        out
    }

    /// Seeds differ in the gauge alone, so the aligned form is the same for all of them.
    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        let Compiled { network, labelled } = self.compiled(parameters)?;
        let truth = labelled.truth(&network, cx)?;
        let (network, truth) = Gauge::settle(network, truth, seed, self.aligned)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let labelled = self.compiled(parameters)?.labelled;
        labelled.task(length.unwrap_or(labelled.length))
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
        self.compiled(parameters)?.labelled.measure(network, cx)
    }
}

/// The parameter of every program.
#[derive(Debug, Default, Serialize)]
struct Length {
    length: usize,
}
