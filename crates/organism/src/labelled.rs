//! Compiled networks: every residual dimension has a label, and the truth follows from the labels
//! and the weights.
//!
//! A label is `variable:value` for a one-hot variable and `variable` for a number. [`Labelled`] is
//! what a compiler says beside its weights: the program, its variables with their dimensions, and
//! how sequences become inputs. Networks that Tracr compiled and our own ([`crate::rasp`]) take the
//! same way from there.
//!
//! | file | holds |
//! |---|---|
//! | `labelled/wiring.rs` | [`Wiring`]: who writes and who reads which dimensions, by the weights |
//! | `labelled/truth.rs` | features, circuit, program and exam in the coordinates of the labels |
//! | `labelled/probe.rs` | what the tests of every compiled network ask |
//! | `labelled/task.rs` | the task on all sequences of one length, and how well a network does it |

#[cfg(test)]
pub(crate) mod probe;
mod task;
mod truth;
mod wiring;

use crate::Error;
use flyroom_explanation::rasp::{Interpreter, Overrides, Program, Trace};
use flyroom_explanation::{Code, Value};

/// The token before every sequence.
pub const BOS: &str = "BOS";

/// Sequences of one length that are enumerated at most.
pub(crate) const SEQUENCES: usize = 1 << 20;

/// A variable with a place in the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    /// Its name in the program.
    pub name: String,
    /// Residual dimensions.
    pub dims: Vec<usize>,
    /// A one-hot of these values, in order of the dimensions, or a number.
    pub code: Code,
    /// The values that it may be set to.
    pub domain: Vec<Value>,
}

/// A compiled program and what its residual dimensions mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labelled {
    /// Name of the program.
    pub name: String,
    /// Each variable with a place is written by one component.
    pub program: Program,
    /// One for each residual dimension.
    pub labels: Vec<String>,
    /// The program's variables that have labels, in order, `tokens` and `indices` among them.
    pub variables: Vec<Variable>,
    /// How the output stands in the network's columns.
    pub readout: Code,
    /// What each token id means.
    pub vocabulary: Vec<Value>,
    /// Ids of the program's tokens, in order.
    pub tokens: Vec<u32>,
    /// Id of the token before every sequence.
    pub bos: u32,
    /// Longest sequence, without BOS.
    pub length: usize,
}

impl Labelled {
    /// All sequences of `n` token ids in order, without BOS.
    pub fn sequences(&self, n: usize) -> Result<Vec<Vec<u32>>, String> {
        let v = self.tokens.len();
        let total = u32::try_from(n)
            .ok()
            .and_then(|n| v.checked_pow(n))
            .filter(|&t| t <= SEQUENCES)
            .ok_or_else(|| format!("{v}^{n} sequences are more than {SEQUENCES}"))?;
        let digits = |i: usize| {
            let mut rest = i;
            let mut s: Vec<u32> = (0..n)
                .map(|_| {
                    let d = rest % v;
                    rest /= v;
                    self.tokens[d]
                })
                .collect();
            s.reverse();
            s
        };
        Ok((0..total).map(digits).collect())
    }

    /// What a sequence means.
    pub fn values(&self, sequence: &[u32]) -> Vec<Value> {
        sequence.iter().map(|&t| self.vocabulary[t as usize].clone()).collect()
    }

    /// A sequence as the network sees it.
    pub fn with_bos(&self, sequence: &[u32]) -> Vec<u32> {
        [self.bos].into_iter().chain(sequence.iter().copied()).collect()
    }

    /// The program on every sequence of one length.
    pub fn traces(&self, n: usize) -> Result<Vec<(Vec<u32>, Trace)>, Error> {
        let interpreter = Interpreter::new(&self.program)?;
        self.sequences(n)
            .map_err(Error::Truth)?
            .into_iter()
            .map(|s| {
                let trace = interpreter.run(&self.values(&s), &Overrides::none())?;
                Ok((s, trace))
            })
            .collect()
    }
}
