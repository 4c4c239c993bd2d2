//! Belief states: networks that predict a hidden Markov process (Shai et al. 2024, "Transformers represent
//! belief state geometry in their residual stream", arXiv 2405.15943).
//!
//! Who predicts the next token as well as can be must know the belief over the process' states, as far as it
//! matters for what comes; the paper finds it laid out linearly in the residual stream. The belief is
//! computed from the process ([`crate::Process`]), not found, so the truth is generated and exact: what is
//! on trial is whether a network holds it, and that is measured by `flyroom_validate::beliefs`.
//!
//! The loss has a floor that is known too: `optimum` is the entropy of the next token under the exact
//! belief, and `excess` the Kullback-Leibler divergence of the network's prediction from it, both in the mean over
//! the histories of the evaluation set, so that no drawn answer adds noise.

use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule};
use crate::process::entropy;
use crate::{Answers, Distance, Entry, Error, Parameters, Process, Source, Standing, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, math};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Debug;
use std::sync::OnceLock;

/// Clean inputs of the evaluation set.
const CLEAN: usize = 512;

/// Longest context.
const LONGEST: usize = 256;

/// A process with its parameters.
pub(crate) trait Kind:
    Debug + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const NAME: &'static str;

    /// Longest history that the cut predictors see, which are measured beside Bayes; 0 measures none.
    const CUTS: usize = 0;

    fn process(&self) -> Result<Process, Error>;

    /// What tokens are called.
    fn vocabulary(&self, tokens: usize) -> Vec<Value> {
        (0..tokens as i64).map(Value::Int).collect()
    }
}

/// See [`Process::mess3`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mess3 {
    /// Chance of each other state.
    x: f64,
    /// Chance that a state says its own name.
    a: f64,
}

/// See [`Process::rrxor`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rrxor {}

/// See [`Process::z1r`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Z1r {}

impl Kind for Mess3 {
    const NAME: &'static str = "mess3";

    fn process(&self) -> Result<Process, Error> {
        Process::mess3(self.x, self.a)
    }
}

impl Kind for Rrxor {
    const NAME: &'static str = "rrxor";

    fn process(&self) -> Result<Process, Error> {
        Process::rrxor()
    }
}

impl Kind for Z1r {
    const NAME: &'static str = "z1r";

    fn process(&self) -> Result<Process, Error> {
        Process::z1r()
    }
}

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "K: Kind"))]
pub(crate) struct BeliefState<K> {
    /// Tokens that are seen.
    context: usize,
    #[serde(flatten)]
    kind: K,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
    /// The process of the kind, once it was asked for.
    #[serde(skip)]
    made: OnceLock<Process>,
}

fn lesson<K: Kind>(kind: K, steps: usize) -> BeliefState<K> {
    let form = Form { n_layers: 4, d_model: 64, n_heads: 4, d_mlp: 256, ..Form::default() };
    let schedule = Schedule {
        steps,
        batch: 64,
        lr: 3e-3,
        warmup: 100,
        cooldown: steps / 2,
        weight_decay: 0.0,
        ..Schedule::default()
    };
    BeliefState::new(kind, 10, form, schedule)
}

const fn entry(name: &'static str, cost: &'static str, summary: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::Generated,
        standing: Standing::Contested,
        cost,
    }
}

/// Three states that call their names, sometimes wrongly.
pub(crate) const MESS3: Learned<BeliefState<Mess3>> = Learned {
    entry: entry(
        Mess3::NAME,
        "20 s",
        "Predicts a process of three states, whose beliefs are a fractal.",
    ),
    lesson: || lesson(Mess3 { x: 0.05, a: 0.85 }, 1000),
};

/// Two bits and their exclusive or.
pub(crate) const RRXOR: Learned<BeliefState<Rrxor>> = Learned {
    entry: entry(
        Rrxor::NAME,
        "40 s",
        "Predicts two random bits and their exclusive or, phase unknown.",
    ),
    lesson: || lesson(Rrxor {}, 1500),
};

/// Zero, one, a bit.
pub(crate) const Z1R: Learned<BeliefState<Z1r>> = Learned {
    entry: entry(Z1r::NAME, "10 s", "Predicts zero, one, a random bit, phase unknown."),
    lesson: || lesson(Z1r {}, 300),
};

impl<K: Kind> BeliefState<K> {
    /// A causal network that sees `context` tokens.
    pub(crate) fn new(kind: K, context: usize, form: Form, schedule: Schedule) -> Self {
        let form = Form { causal: true, ..form };
        Self { context, kind, form, schedule, made: OnceLock::new() }
    }

    fn known(&self) -> Result<&Process, Error> {
        match self.made.get() {
            Some(process) => Ok(process),
            None => {
                let process = self.kind.process()?;
                Ok(self.made.get_or_init(|| process))
            }
        }
    }

    fn process(&self) -> Result<&Process, String> {
        self.known().map_err(|e| e.to_string())
    }
}

impl<K: Kind> Lesson for BeliefState<K> {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        let n = self.process()?.tokens();
        if !(1..=LONGEST).contains(&self.context) {
            return Err(format!(
                "context = {} is no length; hint: from 1 to {LONGEST}",
                self.context
            ));
        }
        let c = self.form.transformer(n, self.context, n, self.schedule.batch)?;
        Ok(Architecture::Transformer(c))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        self.context
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        // `architecture` came first and has refused what is no process.
        let Ok(process) = self.process() else { return vec![] };
        let one = |_| {
            let (input, next) = history(process, self.context, random);
            let counts = vec![true; next.len()];
            Example { input: Input::Tokens(input), answers: Answers::Classes(next), counts }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        let process = self.process()?;
        let pos = length.unwrap_or(self.context);
        if !(1..=self.context).contains(&pos) {
            return Err(format!("histories have 1 to {} tokens, not {pos}", self.context));
        }
        let stream = Stream::new(0, &format!("{}/evaluation", K::NAME));
        let mut random = stream.block(0);
        // Partners are drawn like clean inputs and come behind them.
        let rows: Vec<_> = (0..2 * CLEAN).map(|_| history(process, pos, &mut random)).collect();
        let (inputs, next): (Vec<Vec<u32>>, Vec<Vec<u32>>) = rows.into_iter().unzip();
        Ok(Task {
            domain: format!("{CLEAN} drawn histories of {pos} tokens of {}", K::NAME),
            exhaustive: false,
            inputs: Inputs::tokens(&inputs).map_err(|e| e.to_string())?,
            clean: CLEAN,
            partner: (CLEAN..2 * CLEAN).chain(0..CLEAN).collect(),
            reads: vec![true; 2 * CLEAN * pos],
            answers: Answers::Classes(next.concat()),
            d_out: process.tokens(),
            columns: process.tokens(),
            distance: Distance::CentredLogits,
            vocabulary: self.kind.vocabulary(process.tokens()),
            modulus: None,
        })
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        Ok(Truth {
            source: Source::Generated,
            standing: Standing::Contested,
            process: Some(self.known()?.clone()),
            ..Truth::nothing()
        })
    }

    /// `optimum` and `excess` in nats, in the mean and at each position (`.._at`); `excess_cut`: that of the best
    /// predictors that see 1, 2, .. tokens.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let process = self.known()?;
        let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
        let (pos, n) = (task.pos(), process.tokens());
        let (mut optimum, mut excess) = (vec![0.0; pos], vec![0.0; pos]);
        let mut cut = vec![0.0; K::CUTS];
        let impossible = |history: &[u32]| Error::Truth(format!("{history:?} cannot come"));
        for i in 0..task.clean {
            let history = task.inputs.token_row(i);
            let beliefs = process.beliefs(history).ok_or_else(|| impossible(history))?;
            for (p, belief) in beliefs.iter().enumerate() {
                let next = process.next(belief);
                let at = (i * pos + p) * n;
                optimum[p] += entropy(&next) / task.clean as f64;
                excess[p] += divergence(&next, &logits.data()[at..at + n]) / task.clean as f64;
                for (seen, sum) in (1..).zip(&mut cut) {
                    let seen = &history[(p + 1usize).saturating_sub(seen)..=p];
                    let known = process.beliefs(seen).ok_or_else(|| impossible(seen))?;
                    let theirs = process.next(known.last().unwrap_or(belief));
                    *sum += relative_entropy(&next, &theirs) / (pos * task.clean) as f64;
                }
            }
        }
        let mean = |x: &[f64]| x.iter().sum::<f64>() / pos as f64;
        let mut out = Parameters::from_iter([
            ("optimum".into(), json!(mean(&optimum))),
            ("excess".into(), json!(mean(&excess))),
            ("optimum_at".into(), json!(optimum)),
            ("excess_at".into(), json!(excess)),
        ]);
        if !cut.is_empty() {
            out.insert("excess_cut".into(), json!(cut));
        }
        Ok(out)
    }
}

/// A history of `n` tokens and what comes behind each.
fn history(process: &Process, n: usize, random: &mut Generator) -> (Vec<u32>, Vec<u32>) {
    let all = process.draw(n + 1, random);
    (all[..n].to_vec(), all[1..].to_vec())
}

/// KL(p || q) of two distributions, in nats.
fn relative_entropy(p: &[f64], q: &[f64]) -> f64 {
    let term = |(&p, &q): (&f64, &f64)| {
        if p > 0.0 { p * (math::ln64(p) - math::ln64(q)) } else { 0.0 }
    };
    p.iter().zip(q).map(term).sum()
}

/// KL(chances || softmax(logits)) in nats.
pub fn divergence(chances: &[f64], logits: &[f32]) -> f64 {
    let row: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    let top = row.iter().copied().fold(f64::MIN, f64::max);
    let total = math::ln64(row.iter().map(|x| math::exp64(x - top)).sum()) + top;
    let term = |(&p, x): (&f64, &f64)| {
        if p > 0.0 { p * (math::ln64(p) - (x - total)) } else { 0.0 }
    };
    chances.iter().zip(&row).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};

    fn bred(organism: &dyn Organism, set: serde_json::Value) -> (Parameters, Network) {
        let p = with_defaults(organism, set.as_object().unwrap()).unwrap();
        let bred = organism.breed(&p, 0, &Context::single(), &Nursery::none()).unwrap();
        assert!(bred.truth.process.is_some());
        (organism.measure(&p, &bred.network, &Context::single()).unwrap(), bred.network)
    }

    #[test]
    fn no_network_is_better_than_bayes_and_one_that_knows_nothing_misses_what_tokens_tell() {
        let (m, _) = bred(&Z1R, json!({ "steps": 0, "n_layers": 1, "d_model": 8, "d_mlp": 0 }));
        let at = |key: &str, i: usize| m[key][i].as_f64().unwrap();
        assert!(m["excess"].as_f64().unwrap() > 0.1, "{m:?}");
        // Behind one token of Z1R: 0 leads to O or Z at 2 to 1, so the next is 1 with 2/3, and so for 1.
        let by_hand = entropy(&[1.0 / 3.0, 2.0 / 3.0]);
        assert!((at("optimum_at", 0) - by_hand).abs() < 1e-12, "{m:?}");
        assert!((0..10).all(|i| at("excess_at", i) >= 0.0));
    }

    #[test]
    fn divergence_is_that_computed_by_hand() {
        // softmax(0, ln 3) = (1/4, 3/4): 1/2 ln 2 + 1/2 ln (2/3).
        let wanted = 0.5 * math::ln64(4.0 / 3.0);
        assert!((divergence(&[0.5, 0.5], &[0.0, math::ln(3.0)]) - wanted).abs() < 1e-7);
        assert_eq!(divergence(&[1.0, 0.0], &[0.0, f32::NEG_INFINITY]), 0.0);
    }
}
