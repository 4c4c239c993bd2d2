//! Sparse features and what is wanted of each: its ReLU, with labels that a matrix may mix.

use crate::lesson::{Example, Input};
use crate::{Answers, Error, Task};
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use serde::{Deserialize, Serialize};

/// Clean inputs of the task.
const CLEAN: usize = 512;
/// Inputs on which the loss is measured: its standard error is about .003 of it.
const MEASURED: usize = 1 << 17;
/// Inputs of one pass while measuring.
const AT_ONCE: usize = 1 << 13;

/// Inputs and labels, as parameters of an organism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Labels {
    /// Features n, of each of which the ReLU is wanted.
    pub n_features: usize,
    /// Probability that a feature is active.
    pub p_active: f64,
    /// Deviation of the entries of M.
    pub mixing: f64,
}

impl Labels {
    /// Fails with the key and the way out.
    pub fn check(&self, batch: usize) -> Result<(), String> {
        if !(1..=1 << 10).contains(&self.n_features) {
            let n = self.n_features;
            return Err(format!("n_features = {n} is no size; hint: from 1 to 1024"));
        }
        if !(self.p_active > 0.0 && self.p_active <= 1.0) {
            return Err(format!("p_active = {} is not in (0, 1]", self.p_active));
        }
        if !(0.0..=10.0).contains(&self.mixing) {
            return Err(format!("mixing = {} is not in 0..10", self.mixing));
        }
        if batch.saturating_mul(self.n_features) > 1 << 26 {
            return Err("batch times n_features is more than 2^26; hint: a smaller batch".into());
        }
        Ok(())
    }

    /// M, `[n, n]`.
    pub fn matrix(&self) -> Vec<f64> {
        let n = self.n_features;
        let mut draw = Stream::new(0, "compressed-computation/mixing").block(0);
        let mut m = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                let x = self.mixing * draw.normal64();
                (m[i * n + j], m[j * n + i]) = (x, x);
            }
        }
        m
    }

    fn input(&self, random: &mut Generator) -> Vec<f32> {
        let p = self.p_active;
        // u is uniform on 0 .. p where it is below p.
        let one = |u: f64| if u < p { (2.0 * u / p - 1.0) as f32 } else { 0.0 };
        (0..self.n_features).map(|_| one(random.uniform64())).collect()
    }

    /// ReLU(x) + M x, and x itself where the network passes it on.
    pub fn target(&self, matrix: &[f64], x: &[f32], passed: bool) -> Vec<f32> {
        let n = self.n_features;
        let own = |&x: &f32| f64::from(x.max(0.0)) + if passed { f64::from(x) } else { 0.0 };
        let mut out: Vec<f64> = x.iter().map(own).collect();
        for (j, &x) in x.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            let row = &matrix[j * n..(j + 1) * n];
            out.iter_mut().zip(row).for_each(|(o, m)| *o += m * f64::from(x));
        }
        out.into_iter().map(|x| x as f32).collect()
    }

    /// Loss per feature of m exact ReLUs.
    pub fn naive(&self, matrix: &[f64], m: usize) -> f64 {
        let n = self.n_features as f64;
        let kept = (m as f64 / n).min(1.0);
        let mixed = matrix.iter().fold(0.0, |s, m| s + m * m) / n;
        self.p_active * ((1.0 - kept) / 6.0 + mixed / 3.0)
    }

    /// Examples of a batch.
    pub fn draw(&self, random: &mut Generator, rows: usize, passed: bool) -> Vec<Example> {
        let matrix = self.matrix();
        let one = |_| {
            let x = self.input(random);
            let answers = Answers::Values(self.target(&matrix, &x, passed));
            Example { input: Input::Vector(x), answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    /// The evaluation set.
    pub fn task(&self, length: Option<usize>, passed: bool) -> Result<Task, String> {
        if let Some(length) = length.filter(|&l| l != 1) {
            return Err(format!("its inputs are vectors, which have no length {length}"));
        }
        let (n, matrix) = (self.n_features, self.matrix());
        let mut random = Stream::new(0, "compressed-computation/evaluation").block(0);
        let rows: Vec<Vec<f32>> = (0..CLEAN).map(|_| self.input(&mut random)).collect();
        let wanted = rows.iter().flat_map(|x| self.target(&matrix, x, passed)).collect();
        let domain = format!("{CLEAN} draws of {n} features at rate {}", self.p_active);
        let inputs = Inputs::vectors(n, rows.concat()).map_err(|e| e.to_string())?;
        Ok(Task::of_values(domain, inputs, wanted, n))
    }

    /// Hidden layers of ReLUs between features and labels, each added to the stream where `residual`.
    pub fn network(&self, d_hidden: Vec<usize>, residual: bool) -> Architecture {
        Architecture::Mlp(MlpConfig {
            d_in: self.n_features,
            d_hidden,
            d_out: self.n_features,
            act_fn: Activation::Relu,
            bias: false,
            residual,
        })
    }

    /// Of their first weights.
    pub fn init_scale(&self) -> f32 {
        (1.0 / self.n_features as f64).sqrt() as f32
    }

    /// Squared error per feature on fresh inputs.
    pub fn loss(&self, network: &Network, passed: bool, cx: &Context) -> Result<f64, Error> {
        let (n, matrix) = (self.n_features, self.matrix());
        let stream = Stream::new(0, "compressed-computation/loss");
        let mut total = 0.0;
        for block in 0..MEASURED / AT_ONCE {
            let mut random = stream.block(block as u64);
            let rows: Vec<Vec<f32>> = (0..AT_ONCE).map(|_| self.input(&mut random)).collect();
            let y = self.outputs(network, rows.concat(), cx)?;
            for (y, x) in y.chunks_exact(n).zip(&rows) {
                let wanted = self.target(&matrix, x, passed);
                let off = |(y, t): (&f32, &f32)| f64::from(*y) - f64::from(*t);
                total += y.iter().zip(&wanted).map(off).fold(0.0, |s, e| s + e * e);
            }
        }
        Ok(total / (MEASURED * n) as f64)
    }

    /// Outputs `[rows, n]` on inputs `[rows, n]`.
    pub fn outputs(
        &self,
        network: &Network,
        values: Vec<f32>,
        cx: &Context,
    ) -> Result<Vec<f32>, Error> {
        let inputs = Inputs::vectors(self.n_features, values)?;
        Ok(Runner::new(network, &inputs, cx)?.logits()?.data().to_vec())
    }

    /// Each feature alone at `value`, `[n, n]`.
    pub fn alone(&self, value: f32) -> Vec<f32> {
        let n = self.n_features;
        (0..n * n).map(|i| if i / n == i % n { value } else { 0.0 }).collect()
    }
}
