//! The largest of four: one head that attends to the largest token (Gross et al. 2024, "Compact
//! proofs of model performance via mechanistic interpretability").
//!
//! One layer of attention with one head and no MLP reads four numbers and answers the largest behind the
//! last. All 64^4 inputs can be enumerated, because the last position sees the others through a
//! sum: with e the exponentials of its scores, an answer is `direct + sum e v / sum e`, and tables of e and
//! e v for each (query, position, token) hold everything. So its accuracy is known, not sampled.

use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule, answered_last};
use crate::task::other_inputs;
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, math};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Numbers of an input.
const POS: usize = 4;

/// Clean inputs of the evaluation set.
const CLEAN: usize = 512;

/// The largest vocabulary whose inputs are enumerated.
const ENUMERATED: usize = 64;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MaxOf4 {
    /// Numbers 0..vocab.
    vocab: usize,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

/// The organism.
pub(crate) const MAX_OF_4: Learned<MaxOf4> = Learned {
    entry: Entry {
        name: "max-of-4",
        version: 1,
        summary: "One head that answers the largest of four numbers, on all 16,777,216 inputs.",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "10 s",
    },
    lesson: || MaxOf4 {
        vocab: 64,
        form: Form {
            n_layers: 1,
            d_model: 32,
            n_heads: 1,
            d_mlp: 0,
            causal: true,
            ..Form::default()
        },
        schedule: Schedule {
            steps: 3000,
            batch: 128,
            lr: 1e-2,
            cooldown: 1000,
            ..Schedule::default()
        },
    },
};

fn drawn(vocab: usize, random: &mut Generator) -> Vec<u32> {
    (0..POS).map(|_| random.below(vocab as u64) as u32).collect()
}

fn largest(tokens: &[u32]) -> u32 {
    tokens.iter().copied().max().unwrap_or(0)
}

impl Lesson for MaxOf4 {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        if !(2..=1 << 12).contains(&self.vocab) {
            return Err(format!("vocab = {} is no size; hint: from 2 to 4096", self.vocab));
        }
        let c = self.form.transformer(self.vocab, POS, self.vocab, self.schedule.batch)?;
        Ok(Architecture::Transformer(c))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        POS
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos - 1..pos
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let one = |_| {
            let tokens = drawn(self.vocab, random);
            let answers = Answers::Classes(vec![largest(&tokens)]);
            Example { input: Input::Tokens(tokens), answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(n) = length.filter(|&n| n != POS) {
            return Err(format!("its inputs are {POS} numbers, not {n}"));
        }
        let mut random = Stream::new(0, "max-of-4/evaluation").block(0);
        let rows: Vec<Vec<u32>> = (0..CLEAN).map(|_| drawn(self.vocab, &mut random)).collect();
        answered_last(
            format!("{CLEAN} of all inputs of {POS} numbers below {}", self.vocab),
            &rows,
            largest,
            other_inputs(CLEAN, 0),
            self.vocab,
            (0..self.vocab as i64).map(Value::Int).collect(),
        )
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = MAX_OF_4.entry;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// `attends_to_largest`: the share of evaluated inputs whose last position attends most to a largest
    /// token. `inputs`, `right`, `accuracy_everywhere`: over all inputs, if the network is of the form that
    /// can be enumerated.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let mut out = Parameters::new();
        if self.form.n_layers == 1 && self.form.n_heads == 1 {
            let runner = Runner::new(network, &task.inputs, cx)?;
            let pattern = runner.clean("blocks.0.attn.hook_pattern")?; // [input, 1, pos, pos]
            let hits = (0..task.clean).filter(|&i| {
                let at = (i * POS + POS - 1) * POS;
                let row = &pattern.data()[at..at + POS];
                let most = (0..POS).fold(0, |b, k| if row[k] > row[b] { k } else { b });
                let tokens = task.inputs.token_row(i);
                tokens[most] == largest(tokens)
            });
            let share = hits.count() as f64 / task.clean as f64;
            out.insert("attends_to_largest".into(), json!(share));
        }
        if let Some(tables) = Tables::new(self, network, cx)? {
            let (right, all) = (tables.right(), self.vocab.pow(POS as u32));
            out.insert("inputs".into(), json!(all));
            out.insert("right".into(), json!(right));
            out.insert("accuracy_everywhere".into(), json!(right as f64 / all as f64));
        }
        Ok(out)
    }
}

/// What one query sees, `q` the last token: all that an answer is made of.
struct Tables {
    vocab: usize,
    /// Exponential of the score of (q, position, token).
    weight: Vec<f64>,
    /// What (position, token) adds to the logits when it is attended to alone, `[pos, token, logit]`.
    value: Vec<f64>,
    /// Logits of q without attention, `[q, logit]`.
    direct: Vec<f64>,
}

impl Tables {
    /// `None` unless the network is one head without norm, MLP and rotation, on a vocabulary that is
    /// small enough.
    fn new(lesson: &MaxOf4, network: &Network, _: &Context) -> Result<Option<Self>, Error> {
        let f = &lesson.form;
        let plain = f.n_layers == 1 && f.n_heads == 1 && f.d_mlp == 0;
        if !plain || f.norm != "none" || f.positions != "learned" || lesson.vocab > ENUMERATED {
            return Ok(None);
        }
        let (n, d) = (lesson.vocab, f.d_model);
        let get = |name: &str| -> Result<Vec<f64>, Error> {
            Ok(network.weight(name)?.data().iter().map(|&x| f64::from(x)).collect())
        };
        let (embed, places) = (get("embed.W_E")?, get("pos_embed.W_pos")?);
        let stream = |place: usize, token: usize| -> Vec<f64> {
            let of = |t: &[f64], i: usize| t[i * d..(i + 1) * d].to_vec();
            let (e, p) = (of(&embed, token), of(&places, place));
            e.iter().zip(p).map(|(e, p)| e + p).collect()
        };
        // `x` `[d_in]` times `w` `[d_in, d_out]`.
        let times = |x: &[f64], w: &[f64]| -> Vec<f64> {
            let mut out = vec![0.0; w.len() / x.len()];
            for (x, row) in x.iter().zip(w.chunks_exact(out.len())) {
                out.iter_mut().zip(row).for_each(|(o, w)| *o += x * w);
            }
            out
        };
        let at = |letter: &str| get(&format!("blocks.0.attn.W_{letter}"));
        let (w_q, w_k, w_v, w_o) = (at("Q")?, at("K")?, at("V")?, at("O")?);
        let (w_u, b_u) = (get("unembed.W_U")?, get("unembed.b_U")?);
        let scale = match network.architecture().transformer() {
            Some(c) => f64::from(c.attn_scale),
            None => return Ok(None),
        };
        let seen: Vec<Vec<f64>> = (0..POS * n).map(|i| stream(i / n, i % n)).collect();
        let keys: Vec<Vec<f64>> = seen.iter().map(|x| times(x, &w_k)).collect();
        let value: Vec<f64> =
            seen.iter().flat_map(|x| times(&times(&times(x, &w_v), &w_o), &w_u)).collect();
        let mut weight = Vec::with_capacity(n * POS * n);
        let mut direct = Vec::with_capacity(n * n);
        for q in 0..n {
            let x = stream(POS - 1, q);
            let query = times(&x, &w_q);
            let dot = |k: &Vec<f64>| k.iter().zip(&query).map(|(k, q)| k * q).sum::<f64>() / scale;
            let scores: Vec<f64> = keys.iter().map(dot).collect();
            let top = scores.iter().copied().fold(f64::MIN, f64::max);
            weight.extend(scores.iter().map(|s| math::exp64(s - top)));
            direct.extend(times(&x, &w_u).iter().zip(&b_u).map(|(x, b)| x + b));
        }
        Ok(Some(Self { vocab: n, weight, value, direct }))
    }

    /// Inputs of all that are answered rightly: the logit of the largest is above every other one.
    ///
    /// Times the sum of weights, which is positive, an answer is `sum e (v + direct)`: one row for each
    /// position, added up.
    fn right(&self) -> u64 {
        let n = self.vocab;
        let mut right = 0;
        for q in 0..n {
            let direct = &self.direct[q * n..(q + 1) * n];
            // What a token at a position adds, less what it adds to no answer in particular.
            let row = |place: usize, token: usize| -> Vec<f32> {
                let at = place * n + token;
                let e = self.weight[q * POS * n + at];
                let value = &self.value[at * n..(at + 1) * n];
                value.iter().zip(direct).map(|(v, d)| (e * (v + d)) as f32).collect()
            };
            let rows: Vec<Vec<Vec<f32>>> =
                (0..POS).map(|p| (0..n).map(|t| row(p, t)).collect()).collect();
            let last = &rows[POS - 1][q];
            let mut two = vec![0f32; n];
            let mut three = vec![0f32; n];
            for (a, first) in rows[0].iter().enumerate() {
                for (s, (x, y)) in two.iter_mut().zip(first.iter().zip(last)) {
                    *s = x + y;
                }
                for (b, second) in rows[1].iter().enumerate() {
                    for (s, (x, y)) in three.iter_mut().zip(two.iter().zip(second)) {
                        *s = x + y;
                    }
                    for (c, third) in rows[2].iter().enumerate() {
                        let answer = a.max(b).max(c).max(q);
                        let wanted = three[answer] + third[answer];
                        // The answer itself is not above itself.
                        let above =
                            three.iter().zip(third).map(|(x, y)| u32::from(x + y >= wanted));
                        right += u64::from(above.sum::<u32>() == 1);
                    }
                }
            }
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};
    use flyroom_network::Inputs;

    #[test]
    fn all_inputs_counted_by_tables_are_those_that_the_network_answers_rightly() {
        let set = json!({ "vocab": 6, "d_model": 8, "steps": 60, "batch": 16 });
        let p = with_defaults(&MAX_OF_4, set.as_object().unwrap()).unwrap();
        let cx = Context::single();
        let bred = MAX_OF_4.breed(&p, 0, &cx, &Nursery::none()).unwrap();
        let lesson: MaxOf4 = crate::typed("max-of-4", &p).unwrap();
        let rows: Vec<Vec<u32>> =
            (0..6u32.pow(4)).map(|i| vec![i / 216, i / 36 % 6, i / 6 % 6, i % 6]).collect();
        let inputs = Inputs::tokens(&rows).unwrap();
        let logits = Runner::new(&bred.network, &inputs, &cx).unwrap().logits().unwrap();
        let right = rows.iter().enumerate().filter(|(i, row)| {
            let at = (i * POS + POS - 1) * 6;
            let logits = &logits.data()[at..at + 6];
            let wanted = largest(row) as usize;
            (0..6).all(|k| k == wanted || logits[k] < logits[wanted])
        });
        let right = right.count() as u64;
        assert!(right > 200 && right < 1296, "{right} would prove nothing");
        let tables = Tables::new(&lesson, &bred.network, &cx).unwrap().unwrap();
        assert_eq!(tables.right(), right);
    }
}
