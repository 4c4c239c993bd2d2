//! Two public 2-layer attention-only networks over 26 letters: one that learned to copy what
//! followed the last token before, one that did not.
//!
//! Inputs are 8 independent letters, kept if the last one occurs exactly once before and not at
//! the place just before it; the answer is the letter behind that occurrence, read at the last
//! position. (If the place just before is allowed the network that solves falls from .982 to .870:
//! there the answer is the token itself.) Letters besides may repeat.

use super::file::TensorFile;
use super::{Declared, Imported, Layout, Options, contested, not_bred, transformer_lens};
use crate::composition::composition;
use crate::organism::as_parameters;
use crate::task::{accuracy_and_loss, other_inputs};
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task,
    defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_network::{Inputs, Network};
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Networks that look up what followed a letter.
#[derive(Debug)]
pub struct Induction26;

const NAME: &str = "induction26";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Letters.
    vocab: usize,
    /// Tokens in a sequence.
    seq: usize,
    /// Sequences in the evaluation set.
    inputs: usize,
    /// blake3 of the weights: which network this is.
    weights: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { vocab: 26, seq: 8, inputs: 4000, weights: String::new() }
    }
}

/// Sequences and their answers. Sequence i is drawn from block i until it is kept.
fn draw(vocab: usize, seq: usize, inputs: usize) -> (Vec<Vec<u32>>, Vec<u32>) {
    let stream = Stream::new(0, "evaluation.induction26");
    (0..inputs as u64)
        .map(|i| {
            let mut g = stream.block(i);
            loop {
                let t: Vec<u32> = (0..seq).map(|_| g.below(vocab as u64) as u32).collect();
                let mut seen = (0..seq - 1).filter(|&j| t[j] == t[seq - 1]);
                if let (Some(j), None) = (seen.next(), seen.next())
                    && j + 2 < seq
                {
                    let answer = t[j + 1];
                    return (t, answer);
                }
            }
        })
        .unzip()
}

impl Organism for Induction26 {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A public 2-layer attention-only transformer that copies, imported.",
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
        Err(not_bred(NAME, "induction26"))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let s: Settings = typed(NAME, parameters)?;
        let seq = length.unwrap_or(s.seq);
        if !(3..=s.seq).contains(&seq) || s.seq > 64 || s.vocab < 2 || s.inputs < 2 {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!(
                    "{} letters, {seq} of {} tokens, {} inputs: at least 2 letters, 3 to 64 \
                     tokens and 2 inputs are needed",
                    s.vocab, s.seq, s.inputs
                ),
            });
        }
        let (rows, followed) = draw(s.vocab, seq, s.inputs);
        let last = |i: usize| i % seq == seq - 1;
        let all = rows.len() * seq;
        Ok(Task {
            domain: format!(
                "{} random sequences of {seq} letters whose last occurred exactly once before, \
                 not just before",
                rows.len()
            ),
            exhaustive: false,
            clean: rows.len(),
            partner: other_inputs(rows.len(), 0),
            reads: (0..all).map(last).collect(),
            answers: Answers::Classes(
                (0..all).map(|i| if last(i) { followed[i / seq] } else { 0 }).collect(),
            ),
            inputs: Inputs::tokens(&rows)?,
            d_out: s.vocab,
            columns: s.vocab,
            distance: Distance::CentredLogits,
            vocabulary: (0..s.vocab as i64).map(Value::Int).collect(),
            modulus: None,
        })
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let task = self.task(parameters, None)?;
        let mut out = accuracy_and_loss(&task, network, cx)?;
        out.extend(composition(network, &task, cx)?.metrics());
        Ok(out)
    }
}

pub(crate) fn import(path: &Path, _: &Options) -> Result<Imported, Error> {
    let declared =
        Declared { layout: Some(Layout::InOut), causal: Some(true), ..Declared::default() };
    let network = transformer_lens::read(TensorFile::open(path)?, &declared)?;
    let bad = |why: String| Error::Format { path: path.into(), why };
    let Some(c) = network.architecture().transformer() else {
        return Err(bad("not a transformer".into()));
    };
    if c.d_vocab != c.d_vocab_out || c.n_layers != 2 || c.d_mlp != 0 || c.n_ctx < 3 {
        return Err(bad(format!(
            "{} layers, MLPs of {}, {} tokens in 'embed.W_E', {} logits in 'unembed.W_U'; this \
             kind has 2 layers of attention alone and answers in its own vocabulary",
            c.n_layers, c.d_mlp, c.d_vocab, c.d_vocab_out
        )));
    }
    let settings =
        Settings { vocab: c.d_vocab, seq: c.n_ctx, weights: network.hash(), ..Settings::default() };
    Ok(Imported {
        organism: &Induction26,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}
