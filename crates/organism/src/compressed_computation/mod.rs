//! A network that seems to compute more functions than it has neurons, and the reason why it does not.
//!
//! 50 neurons are asked for ReLU(x_i) of 100 sparse features at once. Braun et al. 2025 ("Interpretability in
//! parameter space", toy model of compressed computation) trained it between a fixed random
//! embedding and its transpose and found less loss than 50 neurons that serve one feature each. Bhagat et
//! al. 2026 ("Compressed computation is (probably) not computation in superposition", arXiv 2606.14673)
//! saw that the embedding E does not pass x on as it is: what the neurons have to add is
//! ReLU(x) + M x with M = I - E E^T, and without M the gain is gone.
//!
//! Here, as there, the residual stream is taken out of the problem: x passes beside the neurons as it is,
//! whatever they do, so that the network is `W_out ReLU(W_in x)` and its target ReLU(x) + M x. M is
//! symmetric with nothing on its diagonal, normal with deviation `mixing` elsewhere (1 / sqrt(1000) is
//! that of an embedding in 1,000 dimensions), and the same for all seeds; the clean arm has `mixing` 0.
//!
//! The naive network computes m of n ReLUs exactly and nothing else. With x uniform on -1 .. 1 at rate p its
//! loss per feature is p ((1 - m / n) / 6 + mean_i sum_j M_ij^2 / 3). In the clean arm no network does better
//! on inputs of one active feature: what it makes of e_1 .. e_n are n vectors in m dimensions, and those of
//! the target are orthonormal.

pub(crate) mod cross_layer;
mod labels;

use crate::lesson::{Example, Learned, Lesson, Schedule};
use crate::{Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Architecture, Network};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, linalg};
use labels::Labels;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CompressedComputation {
    #[serde(flatten)]
    labels: Labels,
    /// Neurons m.
    d_mlp: usize,
    #[serde(flatten)]
    schedule: Schedule,
}

fn standard(mixing: f64) -> CompressedComputation {
    CompressedComputation {
        labels: Labels { n_features: 100, p_active: 0.01, mixing },
        d_mlp: 50,
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
    name: "compressed-computation",
    version: 1,
    summary: "100 ReLUs from 50 neurons, with labels that a random matrix mixes: better than 50 exact ReLUs",
    source: Source::Generated,
    standing: Standing::Contested,
    cost: "12 s",
};

/// The arm of the paper, whose labels are mixed.
pub(crate) const MIXED: Learned<CompressedComputation> =
    Learned { entry: ENTRY, lesson: || standard(0.0316) };

/// The arm without the mixing matrix.
pub(crate) const CLEAN_ARM: Learned<CompressedComputation> = Learned {
    entry: Entry {
        name: "compressed-computation-clean",
        summary: "100 ReLUs from 50 neurons, with clean labels: no better than 50 exact ReLUs",
        ..ENTRY
    },
    lesson: || standard(0.0),
};

impl Lesson for CompressedComputation {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.labels.check(self.schedule.batch)?;
        if !(1..=1 << 10).contains(&self.d_mlp) {
            return Err(format!("d_mlp = {} is no size; hint: from 1 to 1024", self.d_mlp));
        }
        Ok(self.labels.network(vec![self.d_mlp], false))
    }

    fn init_scale(&self) -> f32 {
        self.labels.init_scale()
    }

    fn pos(&self) -> usize {
        1
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        self.labels.draw(random, rows, false)
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        self.labels.task(length, false)
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = ENTRY;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// `loss` per feature on 2^17 fresh inputs, `naive_loss`, `loss_ratio` of the two; `computed`, features
    /// whose output answers 1 with more than half; with a mixing matrix `top_share`, the share of
    /// the squared length of the neurons' inputs in the span of its m greatest eigenvectors, which is
    /// m / n by chance.
    fn measure(&self, _: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let (n, matrix) = (self.labels.n_features, self.labels.matrix());
        let loss = self.labels.loss(network, false, cx)?;
        let naive = self.labels.naive(&matrix, self.d_mlp);
        let answers = self.labels.outputs(network, self.labels.alone(1.0), cx)?;
        let computed = (0..n).filter(|i| answers[i * n + i] > 0.5).count();
        let mut out = Parameters::from_iter([
            ("loss".into(), json!(loss)),
            ("naive_loss".into(), json!(naive)),
            ("computed".into(), json!(computed)),
        ]);
        if naive > 0.0 {
            out.insert("loss_ratio".into(), json!(loss / naive));
        }
        if self.labels.mixing > 0.0 && self.d_mlp < n {
            // Eigenvalues come in descending order.
            let (_, vectors) = linalg::symmetric_eigen(n, &matrix).map_err(|e| {
                Error::Parameters { organism: ENTRY.name.into(), why: format!("mixing: {e}") }
            })?;
            let w = network.weight("blocks.0.mlp.W_in")?.transposed()?;
            let along = |v: &[f64], w: &[f32]| {
                let x = v.iter().zip(w).fold(0.0, |s, (v, w)| s + v * f64::from(*w));
                x * x
            };
            let (mut top, mut all) = (0.0, 0.0);
            for neuron in w.data().chunks_exact(n) {
                for (place, v) in vectors.chunks_exact(n).enumerate() {
                    let x = along(v, neuron);
                    all += x;
                    top += if place < self.d_mlp { x } else { 0.0 };
                }
            }
            out.insert("top_share".into(), json!(if all > 0.0 { top / all } else { 0.0 }));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::Weights;
    use flyroom_tensor::Tensor;

    #[test]
    fn exact_relus_of_half_the_features_have_the_naive_loss_in_both_arms() {
        for mixing in [0.0, 0.1] {
            let lesson = CompressedComputation {
                labels: Labels { n_features: 20, p_active: 0.01, mixing },
                d_mlp: 10,
                ..standard(mixing)
            };
            let one = |rows: usize, cols: usize| {
                Tensor::from_fn(&[rows, cols], |i| if i / cols == i % cols { 1.0 } else { 0.0 })
            };
            let weights = Weights::from([
                ("blocks.0.mlp.W_in".into(), one(20, 10)),
                ("unembed.W_U".into(), one(10, 20)),
            ]);
            let network = Network::new(lesson.architecture().unwrap(), weights).unwrap();
            let task = lesson.task(None).unwrap();
            let m = lesson.measure(&task, &network, &Context::single()).unwrap();
            // 26,000 active features: the ratio has a standard error of about .01.
            let ratio = m["loss_ratio"].as_f64().unwrap();
            assert!((ratio - 1.0).abs() < 0.04, "{mixing}: {m:?}");
            assert_eq!(m["computed"], 10);
        }
    }

    #[test]
    fn the_target_is_relu_and_the_matrix_which_is_symmetric_without_a_diagonal() {
        let lesson = Labels { n_features: 3, p_active: 0.01, mixing: 0.5 };
        let m = lesson.matrix();
        assert!((0..9).all(|i| m[i] == m[(i % 3) * 3 + i / 3]));
        assert_eq!((m[0], m[4], m[8]), (0.0, 0.0, 0.0));
        let y = lesson.target(&m, &[1.0, 0.0, -1.0], false);
        let wanted = [1.0 - m[2], m[3] - m[5], m[6]].map(|x| x as f32);
        assert_eq!(y, wanted);
    }

    #[test]
    fn sizes_that_make_no_sense_are_errors_that_name_them() {
        for (n_features, p_active, mixing, key) in
            [(0, 0.1, 0.0, "n_features"), (3, 0.0, 0.0, "p_active"), (3, 0.1, -1.0, "mixing")]
        {
            let labels = Labels { n_features, p_active, mixing };
            let lesson = CompressedComputation { labels, ..standard(0.0) };
            assert!(lesson.architecture().unwrap_err().contains(key));
        }
    }
}
