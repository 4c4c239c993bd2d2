//! Functions that several layers compute together (Braun et al. 2025, "Interpretability in parameter space",
//! toy model of cross-layer distributed representations).
//!
//! The 50 neurons of compressed computation stand in two layers, or in three, beside a residual stream; the
//! stream at its end should be x + ReLU(x) + M x. What it holds is a sum, so a feature's function falls into one
//! contribution from each layer, and the nonlinear part of each, what the layer writes on the feature for x = 1 and x = -1
//! together, is what it does for the ReLU: these add up to 1 where the ReLU is computed.
//!
//! How far a function spans layers is the exponential of the entropy of its layers' shares: 1 where one layer does all, L
//! where L do as much each. The null deals the same neurons to layers anew.

use super::labels::Labels;
use crate::lesson::{Example, Learned, Lesson, Schedule};
use crate::{Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, math};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Deals of the null.
const DEALS: usize = 100;
/// A layer that does a greater share than this does the function alone.
const ALONE: f64 = 0.9;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CrossLayer {
    #[serde(flatten)]
    labels: Labels,
    n_layers: usize,
    /// Neurons of a layer.
    d_mlp: usize,
    #[serde(flatten)]
    schedule: Schedule,
}

fn standard(n_layers: usize, d_mlp: usize) -> CrossLayer {
    CrossLayer {
        labels: Labels { n_features: 100, p_active: 0.01, mixing: 0.0316 },
        n_layers,
        d_mlp,
        schedule: Schedule {
            steps: 2000,
            batch: 1024,
            lr: 5e-3,
            cooldown: 1500,
            weight_decay: 0.0,
            beta2: 0.999,
            ..Schedule::default()
        },
    }
}

const ENTRY: Entry = Entry {
    name: "cross-layer-mlp",
    version: 1,
    summary: "100 ReLUs from two layers of 25 neurons, each computed by both",
    source: Source::ReverseEngineered,
    standing: Standing::Contested,
    cost: "20 s",
};

/// Two layers of 25.
pub(crate) const TWO: Learned<CrossLayer> = Learned { entry: ENTRY, lesson: || standard(2, 25) };

/// Three layers of 17.
pub(crate) const THREE: Learned<CrossLayer> = Learned {
    entry: Entry {
        name: "cross-layer-mlp-3",
        summary: "100 ReLUs from three layers of 17 neurons, each computed by all",
        ..ENTRY
    },
    lesson: || standard(3, 17),
};

/// What each neuron does for each ReLU, `[neuron, feature]`, layer by layer.
fn contributions(labels: &Labels, network: &Network, cx: &Context) -> Result<Vec<Vec<f64>>, Error> {
    let n = labels.n_features;
    let both = [labels.alone(1.0), labels.alone(-1.0)].concat();
    let inputs = Inputs::vectors(n, both)?;
    let runner = Runner::new(network, &inputs, cx)?;
    let mut all = vec![];
    for layer in 0.. {
        let Ok(w) = network.weight(&format!("blocks.{layer}.mlp.W_out")) else { break };
        let post = runner.clean(&format!("blocks.{layer}.mlp.hook_post"))?;
        for neuron in 0..w.shape()[0] {
            let of = |i: usize| {
                let [up, down] = [i, n + i].map(|x| f64::from(post.row(x)[neuron]));
                (up + down) * f64::from(w.row(neuron)[i])
            };
            all.push((0..n).map(of).collect());
        }
    }
    Ok(all)
}

/// Exponential of the entropy of each feature's layers, and the greatest share, `[feature]`. Neurons stand in
/// layers of `d_mlp` in their order.
fn spans(neurons: &[&Vec<f64>], d_mlp: usize) -> Vec<(f64, f64)> {
    let n = neurons.first().map_or(0, |c| c.len());
    let of = |feature: usize| {
        let layers = neurons.chunks(d_mlp);
        let each: Vec<f64> =
            layers.map(|l| l.iter().fold(0.0, |s, c| s + c[feature]).abs()).collect();
        let all = each.iter().fold(0.0, |s, x| s + x);
        let shares = each.iter().map(|x| if all > 0.0 { x / all } else { 0.0 });
        let entropy = shares.clone().filter(|s| *s > 0.0).fold(0.0, |h, s| h - s * math::ln64(s));
        (math::exp64(entropy), shares.fold(0.0, f64::max))
    };
    (0..n).map(of).collect()
}

/// Mean span, and the share of features that no layer computes alone.
fn summary(spans: &[(f64, f64)]) -> (f64, f64) {
    let n = spans.len().max(1) as f64;
    let shared = spans.iter().filter(|s| s.1 <= ALONE).count();
    (spans.iter().fold(0.0, |sum, s| sum + s.0) / n, shared as f64 / n)
}

impl Lesson for CrossLayer {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.labels.check(self.schedule.batch)?;
        for (key, n, most) in [("n_layers", self.n_layers, 16), ("d_mlp", self.d_mlp, 1 << 10)] {
            if !(1..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from 1 to {most}"));
            }
        }
        Ok(self.labels.network(vec![self.d_mlp; self.n_layers], true))
    }

    fn init_scale(&self) -> f32 {
        self.labels.init_scale()
    }

    fn pos(&self) -> usize {
        1
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        self.labels.draw(random, rows, true)
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        self.labels.task(length, true)
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = ENTRY;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// `loss` per feature on 2^17 fresh inputs, `naive_loss` of as many exact ReLUs as there are neurons, `loss_ratio` of the
    /// two; `computed`, features whose ReLU adds up to more than half; of these `span`, the mean number of layers
    /// in effect, and `shared`, the share that no layer computes by more than .9; `span_dealt` and
    /// `shared_dealt`, the same where neurons are dealt to layers anew.
    fn measure(&self, _: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let loss = self.labels.loss(network, true, cx)?;
        let neurons = self.n_layers.saturating_mul(self.d_mlp);
        let naive = self.labels.naive(&self.labels.matrix(), neurons);
        let all = contributions(&self.labels, network, cx)?;
        let n = self.labels.n_features;
        let total = |i: usize| all.iter().fold(0.0, |s, c| s + c[i]);
        let computed: Vec<usize> = (0..n).filter(|&i| total(i) > 0.5).collect();
        let kept: Vec<Vec<f64>> =
            all.iter().map(|c| computed.iter().map(|&i| c[i]).collect()).collect();
        let mut out = Parameters::from_iter([
            ("loss".into(), json!(loss)),
            ("naive_loss".into(), json!(naive)),
            ("computed".into(), json!(computed.len())),
        ]);
        if naive > 0.0 {
            out.insert("loss_ratio".into(), json!(loss / naive));
        }
        if !computed.is_empty() {
            let order: Vec<&Vec<f64>> = kept.iter().collect();
            let (span, shared) = summary(&spans(&order, self.d_mlp));
            let deal = Stream::new(0, "cross-layer/deals");
            let (mut span_dealt, mut shared_dealt) = (0.0, 0.0);
            for block in 0..DEALS {
                let mut order = order.clone();
                deal.block(block as u64).shuffle(&mut order);
                let (a, b) = summary(&spans(&order, self.d_mlp));
                span_dealt += a / DEALS as f64;
                shared_dealt += b / DEALS as f64;
            }
            out.insert("span".into(), json!(span));
            out.insert("shared".into(), json!(shared));
            out.insert("span_dealt".into(), json!(span_dealt));
            out.insert("shared_dealt".into(), json!(shared_dealt));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::Weights;
    use flyroom_tensor::Tensor;

    /// Four features, two layers of two neurons, each of which writes what it reads.
    fn network(lesson: &CrossLayer, reads: [[[f32; 4]; 2]; 2]) -> Network {
        let mut weights = Weights::new();
        for (l, layer) in reads.iter().enumerate() {
            let out = Tensor::new(&[2, 4], layer.concat()).unwrap();
            weights.insert(format!("blocks.{l}.mlp.W_in"), out.transposed().unwrap());
            weights.insert(format!("blocks.{l}.mlp.W_out"), out);
        }
        Network::new(lesson.architecture().unwrap(), weights).unwrap()
    }

    fn lesson() -> CrossLayer {
        let labels = Labels { n_features: 4, p_active: 0.1, mixing: 0.0 };
        CrossLayer { labels, ..standard(2, 2) }
    }

    #[test]
    fn relus_in_one_layer_each_have_span_1_and_the_naive_loss() {
        let one = |i: usize| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 });
        let two = lesson();
        let network = network(&two, [[one(0), one(1)], [one(2), [0.0; 4]]]);
        let task = two.task(None).unwrap();
        let m = two.measure(&task, &network, &Context::single()).unwrap();
        assert_eq!(
            (&m["computed"], &m["span"], &m["shared"]),
            (&json!(3), &json!(1.0), &json!(0.0))
        );
        // Three of four ReLUs; about 13,000 active features of the fourth: a standard error below .01.
        let loss = m["loss"].as_f64().unwrap() / (0.1 * 0.25 / 6.0);
        assert!((loss - 1.0).abs() < 0.04, "{loss}");
    }

    #[test]
    fn a_relu_of_which_each_layer_does_half_has_span_2() {
        let half: [f32; 4] = [0.5f32.sqrt(), 0.0, 0.0, 0.0];
        let lesson = lesson();
        let first = network(&lesson, [[half, [0.0; 4]], [[0.0; 4], [0.0; 4]]]);
        let all = contributions(&lesson.labels, &first, &Context::single()).unwrap();
        assert!((all[0][0] - 0.5).abs() < 1e-6, "{all:?}");
        let neurons = [vec![0.5, 1.0], vec![0.0, 0.0], vec![0.5, 0.0], vec![0.0, 0.0]];
        let order: Vec<&Vec<f64>> = neurons.iter().collect();
        let found = spans(&order, 2);
        assert!((found[0].0 - 2.0).abs() < 1e-9 && (found[0].1 - 0.5).abs() < 1e-9);
        assert_eq!(found[1], (1.0, 1.0));
        assert_eq!(summary(&found).1, 0.5);
    }
}
