//! The networks of W1 and W2: what is trained, on what, from where. The tests of this crate train the
//! same at small sizes.

use flyroom_network::{Architecture, Norm, TransformerConfig, Weights};
use flyroom_organism::train::{Batch, Nursery, Training, init};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::{Context, Graph, Stream, Value};
use std::collections::BTreeMap;

/// What may fail.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Batches that are drawn; step t takes number t modulo this.
pub const BATCHES: usize = 16;

/// A transformer that is trained on given batches.
pub struct Workload {
    pub architecture: TransformerConfig,
    pub batch: usize,
    pub pos: usize,
    /// The loss reads the last position alone, or every one.
    pub last: bool,
    pub adamw: AdamW,
}

/// Addition modulo p by one layer without norms: 113, 128 and 3830 are W1.
pub fn addition(p: usize, d_model: usize, batch: usize) -> Workload {
    let mut architecture = TransformerConfig::plain(1, d_model, 4, p + 1, 3);
    architecture.d_mlp = 4 * d_model;
    architecture.d_vocab_out = p;
    architecture.causal = true;
    let adamw = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.98, weight_decay: 1.0, ..AdamW::default() };
    Workload { architecture, batch, pos: 3, last: true, adamw }
}

/// The token before, by two layers with LayerNorm: a vocabulary of 64, 64, 32 and 64 are W2.
pub fn previous(vocabulary: usize, d_model: usize, pos: usize, batch: usize) -> Workload {
    let mut architecture = TransformerConfig::plain(2, d_model, 4, vocabulary, pos);
    architecture.d_mlp = 4 * d_model;
    architecture.norm = Norm::LayerNorm;
    Workload { architecture, batch, pos, last: false, adamw: AdamW::default() }
}

impl Workload {
    /// Weights to start from.
    pub fn init(&self, seed: u64) -> Outcome<Weights> {
        let scale = 1.0 / (self.architecture.d_model as f32).sqrt();
        Ok(init(&Architecture::Transformer(self.architecture.clone()), scale, seed)?)
    }

    /// Tokens `[batch, pos]` and targets, `[batch]` or `[batch, pos]`.
    pub fn data(&self, t: usize) -> (Vec<u32>, Vec<u32>) {
        let (vocabulary, out) = (self.architecture.d_vocab, self.architecture.d_vocab_out);
        if self.last {
            // The pairs of addition modulo p, as many as the batch holds.
            let p = out;
            let pairs = Stream::new(0, "workload/pairs").block(0).permutation(p * p);
            let pairs = &pairs[..self.batch];
            let rows = pairs.iter().flat_map(|&i| [i / p, i % p, p].map(|x| x as u32));
            return (rows.collect(), pairs.iter().map(|&i| ((i / p + i % p) % p) as u32).collect());
        }
        let mut draw = Stream::new(0, "workload/tokens").block((t % BATCHES) as u64);
        let n = self.batch * self.pos;
        let tokens: Vec<u32> = (0..n).map(|_| draw.below(vocabulary as u64) as u32).collect();
        // The token before, which a position can read.
        let targets =
            (0..n).map(|i| if i % self.pos == 0 { tokens[i] } else { tokens[i - 1] }).collect();
        (tokens, targets)
    }

    /// Records the mean loss.
    pub fn loss(&self, g: &mut Graph, logits: Value) -> Result<Value, flyroom_tensor::Error> {
        let (batch, pos) = (self.batch, self.pos);
        let (logits, targets) = if self.last {
            let width = self.architecture.d_vocab_out;
            let last = g.slice(logits, 1, pos - 1, 1)?;
            (g.reshape(last, &[batch, width])?, g.index_input("targets", &[batch]))
        } else {
            (logits, g.index_input("targets", &[batch, pos]))
        };
        let losses = g.cross_entropy(logits, targets)?;
        g.mean(losses)
    }

    /// Trains and returns the losses of the first and the last step, and the weights. `done` is told of
    /// every step.
    pub fn run(
        &self,
        init: Weights,
        steps: usize,
        cx: &Context,
        done: &(dyn Fn() + Sync),
    ) -> Outcome<(Vec<f64>, Weights)> {
        let batches: Vec<_> = (1..=BATCHES.min(steps)).map(|t| self.data(t)).collect();
        let data = |t: usize| {
            let (tokens, targets) = &batches[(t - 1) % BATCHES];
            let index = vec![("tokens", tokens.clone()), ("targets", targets.clone())];
            Batch { index, ..Batch::default() }
        };
        let progress = |_, _| {
            done();
            true
        };
        let training = Training {
            organism: "workload",
            seed: 0,
            architecture: &Architecture::Transformer(self.architecture.clone()),
            batch: self.batch,
            pos: self.pos,
            steps,
            optimizer: &|_| self.adamw,
            data: &data,
            loss: &|g, logits| self.loss(g, logits),
            probe_every: steps,
            probe: &|_| Ok(BTreeMap::new()),
        };
        let nursery =
            Nursery { checkpoints: None, every: usize::MAX, progress: &progress, watch: None };
        let (network, curve) = training.run(init, cx, &nursery)?;
        let losses = curve.iter().map(|p| p.values["loss"]).collect();
        Ok((losses, network.weights().clone()))
    }
}
