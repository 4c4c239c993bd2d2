//! Clocks and pizzas: one layer that adds modulo p, with attention as strong as one likes (Zhong et al.
//! 2023, "The Clock and the Pizza").
//!
//! The pattern of a head is c softmax + (1 - c), with c = `attention_share`: at 0 a head adds what the two
//! positions hold and cannot multiply. Nothing masks attention, no symbol `=` stands behind the
//! operands and the answer is read at b; one layer, no norm, no biases but the MLP's, as in the paper. Its
//! authors say that networks with attention come out as clocks, without as pizzas, and that many lie
//! between or do both; whether these are two algorithms is disputed, so what stands here is
//! contested: two numbers, and a word at stated thresholds (`symmetry.rs`).

use super::located::Spectrum;
use super::progress::KeyFrequencies;
use super::{answers, progress, split, sums, symmetry, task_of_pairs};
use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule};
use crate::progress_measures::ProgressMeasures;
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Network};
use flyroom_tensor::Context;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockPizza {
    /// p.
    modulus: usize,
    /// c of the pattern c softmax + (1 - c).
    attention_share: f32,
    /// Share of all pairs that is trained on.
    train_share: f64,
    /// Which pairs these are, the same for every seed.
    split: u64,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

/// The organism.
pub(crate) const CLOCK_PIZZA: Learned<ClockPizza> = Learned {
    entry: Entry {
        name: "clock-pizza",
        version: 1,
        summary: "1-layer transformers that add modulo 59, attention from none (pizzas) to all (clocks)",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "20 s",
    },
    lesson: || ClockPizza {
        modulus: 59,
        attention_share: 1.0,
        train_share: 0.8,
        split: 0,
        form: Form { n_layers: 1, d_model: 128, n_heads: 4, d_mlp: 512, ..Form::default() },
        schedule: Schedule {
            steps: 800,
            batch: 512,
            lr: 2e-3,
            warmup: 10,
            cooldown: 200,
            weight_decay: 1.0,
            ..Schedule::default()
        },
    },
};

impl ClockPizza {
    fn trained(&self) -> Vec<bool> {
        split(self.modulus, self.training_pairs(), self.split)
    }

    fn training_pairs(&self) -> usize {
        (self.train_share * (self.modulus * self.modulus) as f64).round() as usize
    }
}

impl Lesson for ClockPizza {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        let (p, c) = (self.modulus, self.attention_share);
        if !(3..=256).contains(&p) {
            return Err(format!("modulus = {p} is no modulus; hint: from 3 to 256"));
        }
        if !(0.0..=1.0).contains(&c) {
            return Err(format!("attention_share = {c} is no share; hint: from 0 to 1"));
        }
        let share = self.train_share;
        if !(0.0..=1.0).contains(&share) || self.training_pairs() == 0 {
            return Err(format!("train_share = {share} leaves no pairs or more than all"));
        }
        let mut config = self.form.transformer(p, 2, p, self.schedule.batch)?;
        config.attention_share = c;
        config.unembed_bias = false;
        Ok(Architecture::Transformer(config))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        2
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos - 1..pos
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let (p, trained) = (self.modulus, self.trained());
        let all: Vec<usize> = (0..p * p).filter(|&i| trained[i]).collect();
        let one = |_| {
            let i = all[random.below(all.len() as u64) as usize];
            Example {
                input: Input::Tokens(vec![(i / p) as u32, (i % p) as u32]),
                answers: Answers::Classes(vec![((i / p + i % p) % p) as u32]),
                counts: vec![true],
            }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        task_of_pairs(self.modulus, false, length)
    }

    /// The circles in its logits, as in other networks that add: a claim on trial.
    fn truth(&self, network: &Network, cx: &Context) -> Result<Truth, Error> {
        let task = task_of_pairs(self.modulus, false, None).map_err(|why| self.wrong(why))?;
        let logits = answers(&task, network, cx)?;
        Ok(Spectrum::of(self.modulus, &logits, network.weight("embed.W_E")?).truth())
    }

    /// `train_` and `test_accuracy` and `_loss`; what [`Spectrum::measures`] and [`symmetry::measures`]
    /// add.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let logits = answers(task, network, cx)?;
        let (trained, sums) = (self.trained(), sums(self.modulus));
        let numbers = progress(&trained, &sums, &logits);
        let mut out: Parameters = numbers.into_iter().map(|(n, x)| (n, json!(x))).collect();
        let spectrum = Spectrum::of(self.modulus, &logits, network.weight("embed.W_E")?);
        out.extend(spectrum.measures(&sums, &trained));
        out.extend(symmetry::measures(task, network, &logits, cx)?);
        Ok(out)
    }

    fn progress_measures(
        &self,
        task: Task,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Option<Box<dyn ProgressMeasures>>, Error> {
        let (sums, trained) = (sums(self.modulus), self.trained());
        let keys = KeyFrequencies::of(self.modulus, task, sums, trained, finished, seed, cx)?;
        Ok(Some(Box::new(keys)))
    }
}

impl ClockPizza {
    fn wrong(&self, why: String) -> Error {
        Error::Parameters { organism: CLOCK_PIZZA.entry.name.into(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};
    use serde_json::Value as Json;

    fn parameters(set: Json) -> Parameters {
        with_defaults(&CLOCK_PIZZA, set.as_object().unwrap()).unwrap()
    }

    // Without softmax a head weighs both operands alike, and b alone has the residual stream beside.
    #[test]
    fn an_untrained_network_has_no_story_and_is_the_more_symmetric_the_less_it_attends() {
        let cx = Context::single();
        let at = |share: f64| {
            let p = parameters(json!({
                "modulus": 7, "d_model": 16, "d_mlp": 24, "attention_share": share, "steps": 0
            }));
            let bred = CLOCK_PIZZA.breed(&p, 0, &cx, &Nursery::none()).unwrap();
            let config = bred.network.architecture().transformer().unwrap();
            assert!(!config.causal && !config.unembed_bias);
            assert_eq!(f64::from(config.attention_share), share);
            let m = CLOCK_PIZZA.measure(&p, &bred.network, &cx).unwrap();
            assert_eq!(m["story"], "none");
            m["gradient_symmetricity"].as_f64().unwrap()
        };
        assert!(at(0.0) > at(1.0));
    }

    #[test]
    fn parameters_that_make_no_sense_are_errors_with_the_way_out() {
        for (set, key) in [
            (json!({ "attention_share": 1.5 }), "attention_share"),
            (json!({ "modulus": 2 }), "modulus"),
            (json!({ "train_share": 0.0 }), "train_share"),
            (json!({ "n_heads": 3 }), "n_heads"),
        ] {
            let e = CLOCK_PIZZA.task(&parameters(set), None).unwrap_err().to_string();
            assert!(e.contains(key), "{e}");
        }
    }
}
