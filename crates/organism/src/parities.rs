//! Products of signs: what a network learns late, and in which order.
//!
//! An input is `n_bits` signs, of which few matter. *Parity* is the product of k of them: nothing about fewer
//! than k tells anything, so that the loss stays where it began and then falls (Barak et al. 2022,
//! "Hidden progress in deep learning", arXiv 2207.08799). The *staircase* x0 + x0 x1 + x0 x1 x2 has a
//! term that leads to the next, and they are learned in that order (Abbe et al. 2021, "The staircase
//! property"). *Multi-parity* asks for several parities of bits of their own at once (Michaud et al. 2023, "The
//! quantization model of neural scaling").
//!
//! By the orthogonality of such products each term has its own number, the mean of output times product
//! over inputs: 1 where it is learned, 0 where it is not. One noun: [`Parities`], the parameters.

use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::{Answers, Entry, Error, Feature, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Clean inputs of the task.
const CLEAN: usize = 4096;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parities {
    /// Signs of an input.
    n_bits: usize,
    /// Neurons.
    d_mlp: usize,
    /// The bits of each product.
    terms: Vec<Vec<usize>>,
    /// Whether the products are added up in one output, or have one each.
    added: bool,
    /// Standard deviation of all matrices at the start: small, so that it answers nearly nothing.
    init_scale: f64,
    #[serde(flatten)]
    schedule: Schedule,
}

fn standard(terms: &[&[usize]], added: bool, steps: usize) -> Parities {
    Parities {
        n_bits: 40,
        d_mlp: 128,
        terms: terms.iter().map(|t| t.to_vec()).collect(),
        added,
        init_scale: 0.05,
        schedule: Schedule {
            steps,
            batch: 256,
            lr: 3e-3,
            warmup: 0,
            cooldown: 0,
            beta2: 0.999,
            ..Schedule::default()
        },
    }
}

const ENTRY: Entry = Entry {
    name: "parity",
    version: 1,
    summary: "the product of 3 of 40 signs: the loss stays on a plateau and then falls",
    source: Source::Generated,
    standing: Standing::Exact,
    cost: "1 s",
};

/// The product of three signs.
pub(crate) const PARITY: Learned<Parities> =
    Learned { entry: ENTRY, lesson: || standard(&[&[0, 1, 2]], true, 800) };

/// Each term has one sign more than the last.
pub(crate) const STAIRCASE: Learned<Parities> = Learned {
    entry: Entry {
        name: "staircase",
        summary: "x0 + x0 x1 + x0 x1 x2 of 40 signs: the terms are learned in this order",
        ..ENTRY
    },
    lesson: || standard(&[&[0], &[0, 1], &[0, 1, 2]], true, 400),
};

/// Three parities with bits of their own, one output each.
pub(crate) const MULTI_PARITY: Learned<Parities> = Learned {
    entry: Entry {
        name: "multi-parity",
        summary: "three parities of 3 signs each, of 40: each falls at its own time",
        ..ENTRY
    },
    lesson: || standard(&[&[0, 1, 2], &[3, 4, 5], &[6, 7, 8]], false, 800),
};

impl Parities {
    fn d_out(&self) -> usize {
        if self.added { 1 } else { self.terms.len() }
    }

    fn input(&self, random: &mut Generator) -> Vec<f32> {
        (0..self.n_bits).map(|_| if random.next_u32() & 1 == 0 { 1.0 } else { -1.0 }).collect()
    }

    fn product(term: &[usize], x: &[f32]) -> f32 {
        term.iter().map(|&i| x[i]).product()
    }

    fn target(&self, x: &[f32]) -> Vec<f32> {
        let products = self.terms.iter().map(|t| Self::product(t, x));
        if self.added { vec![products.sum()] } else { products.collect() }
    }

    /// Mean of output times product for each product, over the clean inputs.
    fn learned(&self, task: &Task, network: &Network, cx: &Context) -> Result<Vec<f64>, Error> {
        let outputs = Runner::new(network, &task.inputs, cx)?.logits()?;
        let d = self.d_out();
        let of = |(place, term): (usize, &Vec<usize>)| {
            let column = if self.added { 0 } else { place };
            let sum = (0..task.clean).fold(0.0, |s, i| {
                let product = Self::product(term, task.inputs.vector_row(i));
                s + f64::from(product) * f64::from(outputs.data()[i * d + column])
            });
            sum / task.clean as f64
        };
        Ok(self.terms.iter().enumerate().map(of).collect())
    }

    /// Bits that some term reads.
    fn relevant(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.terms.concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Lesson for Parities {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        for (key, n) in [("n_bits", self.n_bits), ("d_mlp", self.d_mlp)] {
            if !(1..=1 << 12).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from 1 to 4096"));
            }
        }
        if self.terms.is_empty() || self.terms.len() > 64 {
            return Err(format!("terms: {} products; hint: from 1 to 64", self.terms.len()));
        }
        for term in &self.terms {
            let distinct = |i: usize| !term[..i].contains(&term[i]);
            if term.is_empty() || term.len() > 64 || !(0..term.len()).all(distinct) {
                return Err(format!("terms: {term:?} are not bits that differ"));
            }
            if let Some(bit) = term.iter().find(|b| **b >= self.n_bits) {
                return Err(format!("terms: bit {bit} of {} bits", self.n_bits));
            }
        }
        if !(0.0..=10.0).contains(&self.init_scale) {
            return Err(format!("init_scale = {} is not in 0..10", self.init_scale));
        }
        if self.schedule.batch.saturating_mul(self.n_bits.max(self.d_mlp)) > 1 << 26 {
            return Err("batch is too large for these sizes; hint: a smaller batch".into());
        }
        Ok(Architecture::Mlp(MlpConfig {
            d_in: self.n_bits,
            d_hidden: vec![self.d_mlp],
            d_out: self.d_out(),
            act_fn: Activation::Relu,
            bias: true,
            residual: false,
        }))
    }

    fn init_scale(&self) -> f32 {
        self.init_scale as f32
    }

    fn pos(&self) -> usize {
        1
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let one = |_| {
            let x = self.input(random);
            let answers = Answers::Values(self.target(&x));
            Example { input: Input::Vector(x), answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(length) = length.filter(|&l| l != 1) {
            return Err(format!("its inputs are vectors, which have no length {length}"));
        }
        let mut random = Stream::new(0, "parities/evaluation").block(0);
        let rows: Vec<Vec<f32>> = (0..CLEAN).map(|_| self.input(&mut random)).collect();
        let d = self.d_out();
        let domain = format!("{CLEAN} draws of {} signs", self.n_bits);
        let inputs = Inputs::vectors(self.n_bits, rows.concat()).map_err(|e| e.to_string())?;
        let answers = rows.iter().flat_map(|x| self.target(x)).collect();
        Ok(Task::of_values(domain, inputs, answers, d))
    }

    /// The bits that matter, at the entrance.
    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = ENTRY;
        let feature = |bit: usize| Feature {
            name: format!("x{bit}"),
            site: "hook_input".into(),
            direction: (0..self.n_bits).map(|i| if i == bit { 1.0 } else { 0.0 }).collect(),
            parent: None,
        };
        let features = self.relevant().into_iter().map(feature).collect();
        Ok(Truth { source, standing, features, ..Truth::nothing() })
    }

    /// `term_0`, `term_1`, ...: the mean of output times product for each product.
    fn progress(
        &self,
        task: &Task,
        network: &Network,
        cx: &Context,
    ) -> Result<BTreeMap<String, f64>, Error> {
        let terms = self.learned(task, network, cx)?;
        Ok(terms.into_iter().enumerate().map(|(i, x)| (format!("term_{i}"), x)).collect())
    }

    /// `terms`, the mean of output times product for each; `relevant_share`, the share of the squared
    /// weights of the entrance that read bits that matter: k / n before training.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let w = network.weight("blocks.0.mlp.W_in")?;
        let square =
            |bit: usize| w.row(bit).iter().fold(0.0, |s, &x| s + f64::from(x) * f64::from(x));
        let all = (0..self.n_bits).map(square).fold(0.0, |s, x| s + x);
        let relevant = self.relevant().into_iter().map(square).fold(0.0, |s, x| s + x);
        Ok(Parameters::from_iter([
            ("terms".into(), json!(self.learned(task, network, cx)?)),
            ("relevant_share".into(), json!(if all > 0.0 { relevant / all } else { 0.0 })),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};

    #[test]
    fn a_term_that_is_learned_has_1_and_others_0() {
        // Four neurons answer x0 x1 exactly: |x0 + x1| - |x0 - x1| = 2 x0 x1.
        let lesson = Parities { d_mlp: 4, ..standard(&[&[0], &[0, 1]], true, 0) };
        let mut network = Network::new(
            lesson.architecture().unwrap(),
            crate::train::init(&lesson.architecture().unwrap(), 0.0, 0).unwrap(),
        )
        .unwrap();
        let signs = [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]];
        let w = flyroom_tensor::Tensor::from_fn(&[40, 4], |i| {
            if i / 4 < 2 { signs[i % 4][i / 4] } else { 0.0 }
        });
        network = network.with_weight("blocks.0.mlp.W_in", w).unwrap();
        let u = flyroom_tensor::Tensor::new(&[4, 1], vec![0.5, 0.5, -0.5, -0.5]).unwrap();
        network = network.with_weight("unembed.W_U", u).unwrap();
        let task = lesson.task(None).unwrap();
        let m = lesson.measure(&task, &network, &Context::single()).unwrap();
        let terms: Vec<f64> =
            m["terms"].as_array().unwrap().iter().flat_map(|x| x.as_f64()).collect();
        // The first is a mean of 4,096 signs: four errors are .0625.
        assert!(terms[0].abs() < 0.0625 && (terms[1] - 1.0).abs() < 1e-6, "{terms:?}");
        assert_eq!(m["relevant_share"], 1.0);
    }

    #[test]
    fn a_product_of_two_of_ten_signs_is_learned_and_with_shuffled_labels_it_is_not() {
        for (shuffled, learned) in [(false, true), (true, false)] {
            let set = json!({
                "n_bits": 10, "d_mlp": 32, "terms": [[0, 1]], "steps": 600, "batch": 128,
                "shuffle_labels": shuffled
            });
            let parameters = with_defaults(&PARITY, set.as_object().unwrap()).unwrap();
            let cx = Context::single();
            let bred = PARITY.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
            let m = PARITY.measure(&parameters, &bred.network, &cx).unwrap();
            let term = m["terms"][0].as_f64().unwrap();
            assert_eq!(term > 0.9, learned, "{m:?}");
            assert_eq!(bred.truth.features.len(), if learned { 2 } else { 0 });
        }
    }

    #[test]
    fn terms_that_make_no_sense_are_errors_that_name_them() {
        for terms in [&[][..], &[&[][..]], &[&[40][..]], &[&[1, 1][..]]] {
            let e = standard(terms, true, 1).architecture().unwrap_err();
            assert!(e.starts_with("terms"), "{e}");
        }
    }
}
