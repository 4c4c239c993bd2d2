//! The same ANDs, learned: a network of one hidden layer, trained from random weights.
//!
//! The constructed network is a way to decide and a bad estimate; squared error finds another. Newgas 2025
//! ("Compressed computation: dense circuits in a toy model of the universal-AND problem", arXiv 2507.09816)
//! trains a network of this form, finds that every neuron contributes to every output and that none of the theoretical
//! constructions is learned. Inputs, outputs and what is measured are those of the constructed network.
//!
//! *The floor.* The answers to all inputs are one matrix, `[input, AND]`, of rank `d_mlp` + 1 at most, for each is a sum of
//! the neurons' and of a bias. What is wanted has, where two booleans may be true, a single 1 in the row of each pair and in
//! each column: all its singular values are 1, so that no network is nearer to it than by one for each AND beyond
//! the rank (Eckart and Young 1936), whatever its neurons compute.

use super::Recipe;
use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Network};
use flyroom_tensor::Context;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LearnedAnds {
    /// Booleans.
    n_features: usize,
    /// Neurons.
    d_mlp: usize,
    /// Booleans that may be true at once.
    most_active: usize,
    /// The control: without ReLU there is nothing to compute an AND with.
    relu: bool,
    /// Standard deviation of every matrix at the start.
    init_scale: f32,
    #[serde(flatten)]
    schedule: Schedule,
}

/// Learned.
pub(crate) const TRAINED: Learned<LearnedAnds> = Learned {
    entry: Entry {
        name: "and-superposition-trained",
        version: 1,
        summary: "496 ANDs of 32 booleans by 60 neurons, learned: beside the constructed ones",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "30 s",
    },
    lesson: || LearnedAnds {
        n_features: 32,
        d_mlp: 60,
        most_active: 2,
        relu: true,
        init_scale: 0.1,
        schedule: Schedule {
            steps: 6000,
            batch: 256,
            lr: 3e-3,
            cooldown: 3000,
            weight_decay: 0.0,
            ..Schedule::default()
        },
    },
};

impl LearnedAnds {
    /// The sizes as the constructed network has them.
    fn recipe(&self) -> Recipe {
        let (n_features, d_mlp, most_active) = (self.n_features, self.d_mlp, self.most_active);
        Recipe { n_features, d_mlp, most_active, relu: self.relu, ..Recipe::default() }
    }
}

/// (sum of squares)^2 / sum of fourth powers, as a share of how many there are: 1 where all are as large, 1/3
/// for normals.
fn participation(w: impl Iterator<Item = f32>) -> f64 {
    let (mut n, mut two, mut four) = (0usize, 0f64, 0f64);
    for x in w {
        let square = f64::from(x) * f64::from(x);
        n += 1;
        two += square;
        four += square * square;
    }
    if four > 0.0 { two * two / four / n as f64 } else { 0.0 }
}

impl Lesson for LearnedAnds {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.recipe().check()?;
        if !(self.init_scale > 0.0 && self.init_scale < 10.0) {
            return Err(format!("init_scale = {} is not in (0, 10)", self.init_scale));
        }
        Ok(self.recipe().architecture())
    }

    fn init_scale(&self) -> f32 {
        self.init_scale
    }

    fn pos(&self) -> usize {
        1
    }

    /// As many true booleans as there may be, or fewer, each number as often.
    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let recipe = self.recipe();
        let one = |_| {
            let many = random.below(self.most_active as u64 + 1) as usize;
            let row = random.choose(self.n_features, many);
            let mut x = vec![0.0; self.n_features];
            row.iter().for_each(|&j| x[j] = 1.0);
            let answers = recipe.ands(&row).map(|and| if and { 1.0 } else { 0.0 }).collect();
            let counts = vec![true];
            Example { input: Input::Vector(x), answers: Answers::Values(answers), counts }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(length) = length.filter(|l| *l != 1) {
            return Err(format!("its inputs are vectors, which have no length {length}"));
        }
        self.architecture()?;
        self.recipe().task().map_err(|e| e.to_string())
    }

    /// What each neuron is for is not claimed.
    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = TRAINED.entry;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// The numbers of the constructed network without its bound; where two booleans may be true, `floor`, the least
    /// squared error of any network of so many neurons; and how many weights take part: `reads`, of a neuron's input
    /// weights, and `writes`, of an output's weights, in the mean ([`participation`]).
    fn measure(&self, _: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let answered = self.recipe().answered(network, cx)?;
        let mut out = answered.numbers();
        if self.most_active == 2 && answered.exhaustive {
            let beyond = answered.ands.saturating_sub(self.d_mlp + 1);
            out.insert("floor".into(), json!(beyond as f64 / answered.inputs as f64));
        }
        let columns = |name: &str| -> Result<f64, Error> {
            let w = network.weight(name)?.transposed()?;
            let n = w.shape()[0];
            let each = (0..n).map(|i| participation(w.row(i).iter().copied()));
            Ok(each.sum::<f64>() / n.max(1) as f64)
        };
        out.insert("reads".into(), json!(columns("blocks.0.mlp.W_in")?));
        out.insert("writes".into(), json!(columns("unembed.W_U")?));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};
    use serde_json::Value as Json;

    fn measured(set: Json) -> Parameters {
        let p = with_defaults(&TRAINED, set.as_object().unwrap()).unwrap();
        let cx = Context::single();
        let bred = TRAINED.breed(&p, 0, &cx, &Nursery::none()).unwrap();
        TRAINED.measure(&p, &bred.network, &cx).unwrap()
    }

    #[test]
    fn a_network_with_a_relu_learns_ands_and_one_without_cannot() {
        let of = |d_mlp: usize, relu: bool| {
            let m = measured(json!({ "n_features": 8, "d_mlp": d_mlp, "batch": 64, "steps": 1500,
                "cooldown": 700, "relu": relu }));
            ["squared_error", "squared_error_of_zero", "floor"].map(|k| m[k].as_f64().unwrap())
        };
        let ([with, zero, none], [without, ..]) = (of(30, true), of(30, false));
        assert!(with < 0.2 * zero && without > 0.4 * zero, "{with} {without} {zero}");
        // Of 28 ANDs on 37 inputs, 30 neurons leave none over and 10 leave 17.
        let [few, _, floor] = of(10, true);
        assert_eq!((none, floor), (0.0, 17.0 / 37.0));
        assert!(few > floor - 1e-6 && few < 1.5 * floor, "{few}");
    }

    #[test]
    fn what_takes_part_is_counted() {
        assert_eq!(participation([1.0, -1.0, 1.0, 1.0].into_iter()), 1.0);
        assert_eq!(participation([0.0, 0.0, -3.0, 0.0].into_iter()), 0.25);
        assert_eq!(participation(std::iter::empty()), 0.0);
    }
}
