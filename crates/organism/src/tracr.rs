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
//! | `tracr/truth.rs` | features, circuit, program and exam in the coordinates of a gauge |
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
mod truth;

pub use compiled::{Compiled, Config, OutputEncoding};

use crate::import::not_bred;
use crate::task::other_inputs;
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Gauge, Organism, Parameters, Source, Standing, Task,
    Truth, defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_explanation::rasp::{Interpreter, Overrides};
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A compiled program of Tracr's examples.
#[derive(Debug)]
pub struct Tracr {
    name: &'static str,
    /// As the JSON file names it.
    program: &'static str,
    /// In the coordinates in which it was compiled.
    aligned: bool,
    summary: &'static str,
    /// Edges that resampling with an input of equal length moves.
    testable: &'static [&'static str],
}

/// `hist`: how often the token of each position occurs.
pub const HIST: Tracr = Tracr {
    name: "tracr-hist",
    program: "hist",
    aligned: false,
    summary: "Tracr's histogram, compiled: how often each token occurs.",
    testable: &["embed->a0.h0<q>", "embed->a0.h0<k>", "a0.h0->m0", "m0->logits"],
};

/// `reverse`: the sequence backwards. Its length path is constant for inputs of one length.
pub const REVERSE: Tracr = Tracr {
    name: "tracr-reverse",
    program: "reverse",
    aligned: false,
    summary: "Tracr's reverse, compiled: the sequence backwards.",
    testable: &["embed->a3.h0<v>", "a3.h0->logits"],
};

/// `sort_unique`: distinct tokens in order.
pub const SORT_UNIQUE: Tracr = Tracr {
    name: "tracr-sort-unique",
    program: "sort_unique",
    aligned: false,
    summary: "Tracr's sort of distinct tokens, compiled.",
    testable: &[
        "embed->a0.h0<q>",
        "embed->a0.h0<k>",
        "embed->a1.h0<v>",
        "a0.h0->m0",
        "m0->a1.h0<k>",
        "a1.h0->logits",
    ],
};

/// `frac_prevs_x`: the share of x among the tokens so far.
pub const FRAC_PREVS: Tracr = Tracr {
    name: "tracr-frac-prevs",
    program: "frac_prevs_x",
    aligned: false,
    summary: "Tracr's share of x among the tokens so far, compiled.",
    testable: &["embed->m0", "m0->a1.h0<v>", "a1.h0->logits"],
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

    /// The network and its truth in the coordinates of this entry: as compiled, or in a random
    /// gauge from the seed.
    pub(crate) fn settle(
        &self,
        settings: &Settings,
        compiled: Network,
        seed: u64,
    ) -> Result<(Network, Truth), Error> {
        let truth = truth::truth(&settings.compiled, &compiled, self.testable)?;
        match compiled.architecture().transformer() {
            Some(c) if !self.aligned => {
                let gauge = Gauge::random(c, &Stream::new(seed, "gauge"));
                Ok((gauge.apply(&compiled)?, gauge.truth(&truth)?))
            }
            _ => Ok((compiled, truth)),
        }
    }

    fn task_of(&self, c: &Compiled, n: usize) -> Result<Task, Error> {
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        if !(1..=c.max_seq_len).contains(&n) {
            return Err(bad(format!("sequences have 1 to {} tokens, not {n}", c.max_seq_len)));
        }
        let sequences = c.sequences(n).map_err(bad)?;
        let program = Interpreter::new(&c.program().map_err(bad)?)?;
        let readout = c.readout_code().map_err(bad)?;
        let d_out = readout.dims();
        let mut rows = Vec::with_capacity(sequences.len());
        let mut reads = vec![];
        let mut values = vec![];
        for s in &sequences {
            rows.push(c.ids(s));
            let tokens: Vec<Value> = s.iter().map(|&i| c.token(i)).collect();
            let trace = program.run(&tokens, &Overrides::none())?;
            reads.push(false);
            values.extend(vec![0.0; d_out]);
            for v in trace.output() {
                reads.push(*v != Value::None);
                let code = readout.encode(v).ok_or_else(|| bad(format!("no output {v}")))?;
                values.extend(code);
            }
        }
        let numerical = matches!(c.output_encoding, OutputEncoding::Numerical(_));
        let (answers, distance) = match numerical {
            true => (Answers::Values(values), Distance::Squared { weights: vec![1.0] }),
            false => (
                Answers::Classes(
                    values
                        .chunks_exact(d_out)
                        .map(|v| v.iter().position(|&x| x == 1.0).unwrap_or(0) as u32)
                        .collect(),
                ),
                Distance::CentredLogits,
            ),
        };
        Ok(Task {
            domain: format!("all {} sequences of {n} tokens behind BOS", rows.len()),
            exhaustive: true,
            clean: rows.len(),
            partner: other_inputs(rows.len(), n as u64),
            inputs: Inputs::tokens(&rows)?,
            reads,
            answers,
            d_out,
            columns: d_out,
            distance,
            vocabulary: c.vocabulary(),
            modulus: None,
        })
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

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(self.name, "tracr"))
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let c = self.settings(parameters)?.compiled;
        self.task_of(&c, length.unwrap_or(c.max_seq_len))
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
        let c = self.settings(parameters)?.compiled;
        let (mut right, mut read, mut inputs, mut worst) = (0f64, 0usize, 0usize, 0f32);
        let mut classes = true;
        for n in 1..=c.max_seq_len {
            let task = self.task_of(&c, n)?;
            let runner = Runner::new(network, &task.inputs, cx)?;
            let logits = runner.logits()?;
            let counted = task.reads.iter().filter(|&&r| r).count();
            match task.accuracy(logits.data()) {
                Some(share) => right += share * counted as f64,
                None => classes = false,
            }
            read += counted;
            inputs += task.clean;
            for (i, (row, &reads)) in
                logits.data().chunks_exact(task.d_out).zip(&task.reads).enumerate()
            {
                for (k, x) in row.iter().enumerate() {
                    let wanted = match &task.answers {
                        Answers::Values(v) => v[i * task.d_out + k],
                        Answers::Classes(c) if reads && c[i] as usize == k => 1.0,
                        Answers::Classes(_) => 0.0,
                    };
                    if i % task.pos() != 0 {
                        worst = worst.max((x - wanted).abs());
                    }
                }
            }
        }
        let mut out = Parameters::new();
        if classes {
            out.insert("accuracy".into(), json!((right / read.max(1) as f64)));
        }
        out.insert("max_error".into(), json!(worst));
        out.insert("inputs".into(), json!(inputs));
        Ok(out)
    }
}
