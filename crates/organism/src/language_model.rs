//! A real language model on a set of prompts.
//!
//! Nothing is known about it that was not found by the field, so its truth is empty and contested.
//! The prompts are parameters as token ids, with the text of every token that a report may name, so
//! that the task is rebuilt from `specimen.json` alone, without a tokenizer. Each prompt has a
//! corrupted partner of the same length; what counts is the next token, at the last position.

use crate::import::not_bred;
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task,
    defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::{Context, math};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Language models from files.
#[derive(Debug)]
pub struct LanguageModel;

const NAME: &str = "language-model";
/// Logits that a task may have in all: 4 GiB of them.
const MOST_LOGITS: usize = 1 << 30;

/// One prompt and its corrupted partner, as token ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    pub clean: Vec<u32>,
    pub corrupted: Vec<u32>,
    /// The next token that is right.
    pub answer: u32,
    /// The next token that is right for the partner.
    pub wrong: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What the prompts are, in words.
    pub domain: String,
    /// All of one length.
    pub prompts: Vec<Prompt>,
    /// Text of tokens by id: those of the prompts, and those that the model finds likely there.
    pub strings: BTreeMap<u32, String>,
    /// Tokens that the model knows.
    pub vocab: usize,
    /// blake3 of the weights: which network this is.
    pub weights: String,
}

impl Settings {
    fn of(parameters: &Parameters) -> Result<Self, Error> {
        let s: Self = typed(NAME, parameters)?;
        let bad = |why: String| Err(Error::Parameters { organism: NAME.into(), why });
        let Some(first) = s.prompts.first() else {
            return Err(not_bred(NAME, "huggingface"));
        };
        let length = first.clean.len();
        let all = || s.prompts.iter().flat_map(|p| [&p.clean, &p.corrupted]);
        if let Some(other) = all().find(|p| p.len() != length) {
            return bad(format!("a prompt of {} tokens among prompts of {length}", other.len()));
        }
        let used = all().flatten().chain(s.prompts.iter().flat_map(|p| [&p.answer, &p.wrong]));
        if let Some(t) = used.copied().find(|&t| t as usize >= s.vocab) {
            return bad(format!("token {t} in a vocabulary of {}", s.vocab));
        }
        let logits = (2 * s.prompts.len()).saturating_mul(length).saturating_mul(s.vocab);
        if length == 0 || logits > MOST_LOGITS {
            return bad(format!(
                "{} prompts of {length} tokens with {} logits each are more than fit; \
                 hint: fewer or shorter prompts",
                s.prompts.len(),
                s.vocab
            ));
        }
        Ok(s)
    }
}

impl Organism for LanguageModel {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A real language model on a set of prompts, imported.",
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
        Err(not_bred(NAME, "huggingface"))
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let s = Settings::of(parameters)?;
        let pos = s.prompts[0].clean.len();
        if let Some(n) = length.filter(|&n| n != pos) {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!("its prompts have {pos} tokens, not {n}"),
            });
        }
        let n = s.prompts.len();
        let clean = s.prompts.iter().map(|p| p.clean.clone());
        let partners = s.prompts.iter().map(|p| p.corrupted.clone());
        let rows: Vec<Vec<u32>> = clean.chain(partners).collect();
        let answers = s.prompts.iter().map(|p| p.answer);
        let classes: Vec<u32> = answers.chain(s.prompts.iter().map(|p| p.wrong)).collect();
        let last = |i: usize| i % pos == pos - 1;
        let mut vocabulary: Vec<Value> =
            (0..s.vocab).map(|id| Value::token(format!("#{id}"))).collect();
        for (id, text) in s.strings {
            if let Some(v) = vocabulary.get_mut(id as usize) {
                *v = Value::token(text);
            }
        }
        Ok(Task {
            domain: s.domain,
            exhaustive: false,
            clean: n,
            partner: (n..2 * n).collect(),
            reads: (0..rows.len() * pos).map(last).collect(),
            answers: Answers::Classes(
                (0..rows.len() * pos).map(|i| if last(i) { classes[i / pos] } else { 0 }).collect(),
            ),
            inputs: Inputs::tokens(&rows)?,
            d_out: s.vocab,
            columns: s.vocab,
            distance: Distance::CentredLogits,
            vocabulary,
            modulus: None,
        })
    }

    /// Over the clean prompts: `accuracy` (the answer is the likeliest next token), `loss` (nats),
    /// `logit_diff` (answer minus wrong answer) and `preferred` (share in which it is positive).
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let task = self.task(parameters, None)?;
        let clean = task.inputs.pick(0..task.clean);
        let runner = Runner::new(network, &clean, cx)?;
        let logits = runner.logits()?;
        let prompts = Settings::of(parameters)?.prompts;
        let [mut right, mut loss, mut difference, mut preferred] = [0f64; 4];
        for (i, p) in prompts.iter().enumerate() {
            let row = last_row(logits.row(i), task.d_out);
            let at = |token: u32| f64::from(row[token as usize]);
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|&x| math::exp64(f64::from(x - top))).sum();
            right += f64::from(u8::from(row[p.answer as usize] == top));
            loss += math::ln64(total) + f64::from(top) - at(p.answer);
            difference += at(p.answer) - at(p.wrong);
            preferred += f64::from(u8::from(at(p.answer) > at(p.wrong)));
        }
        let n = prompts.len() as f64;
        let names = ["accuracy", "loss", "logit_diff", "preferred"];
        let values = [right, loss, difference, preferred];
        Ok(names.into_iter().zip(values).map(|(k, v)| (k.to_string(), json!(v / n))).collect())
    }
}

/// Logits at the last position, from those at all.
pub(crate) fn last_row(logits: &[f32], width: usize) -> &[f32] {
    &logits[logits.len().saturating_sub(width)..]
}
