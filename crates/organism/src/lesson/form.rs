//! The sizes of a transformer that is trained, as parameters of an organism.

use crate::names::nearest;
use flyroom_network::{Norm, Pairs, Positions, Rotary, TransformerConfig};
use serde::{Deserialize, Serialize};

/// Weights of a network at most.
const WEIGHTS: usize = 1 << 24;

/// Numbers that one site of one batch holds at most.
const ACTIVATIONS: usize = 1 << 26;

/// The form of a transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Form {
    pub n_layers: usize,
    pub d_model: usize,
    pub n_heads: usize,
    /// Neurons of a layer; 0 is attention alone.
    pub d_mlp: usize,
    /// `none`, `layer_norm`, `rms_norm`.
    pub norm: String,
    /// `learned`, `rotary`, `none`.
    pub positions: String,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            n_layers: 2,
            d_model: 32,
            n_heads: 4,
            d_mlp: 128,
            norm: "none".into(),
            positions: "learned".into(),
            causal: false,
        }
    }
}

/// The value of a name; else what names there are.
fn choice<T: Copy>(key: &str, name: &str, all: &[(&str, T)]) -> Result<T, String> {
    all.iter().find(|(n, _)| *n == name).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(n) => format!("did you mean '{n}'?"),
            None => format!("there are {}", known.join(", ")),
        };
        format!("{key} = '{name}' is not known; hint: {hint}")
    })
}

impl Form {
    /// The transformer of this form that reads up to `n_ctx` of `d_vocab` tokens and answers with
    /// `d_vocab_out` numbers, trained on batches of `batch`.
    pub fn transformer(
        &self,
        d_vocab: usize,
        n_ctx: usize,
        d_vocab_out: usize,
        batch: usize,
    ) -> Result<TransformerConfig, String> {
        let sizes = [
            ("n_layers", self.n_layers, 1, 32),
            ("d_model", self.d_model, 1, 1 << 12),
            ("n_heads", self.n_heads, 1, 1 << 8),
            ("d_mlp", self.d_mlp, 0, 1 << 14),
        ];
        for (key, n, least, most) in sizes {
            if !(least..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from {least} to {most}"));
            }
        }
        if !self.d_model.is_multiple_of(self.n_heads) {
            return Err(format!(
                "n_heads = {} does not divide d_model = {}; hint: d_model = {}",
                self.n_heads,
                self.d_model,
                self.d_model.next_multiple_of(self.n_heads)
            ));
        }
        let mut c =
            TransformerConfig::plain(self.n_layers, self.d_model, self.n_heads, d_vocab, n_ctx);
        c.d_vocab_out = d_vocab_out;
        c.d_mlp = self.d_mlp;
        c.mlp_bias = self.d_mlp > 0;
        c.unembed_bias = true;
        c.causal = self.causal;
        c.norm = choice(
            "norm",
            &self.norm,
            &[("none", Norm::None), ("layer_norm", Norm::LayerNorm), ("rms_norm", Norm::RmsNorm)],
        )?;
        let turned = Rotary { base: 10_000.0, dim: c.d_head, pairs: Pairs::Halves };
        c.positions = choice(
            "positions",
            &self.positions,
            &[
                ("learned", Positions::Learned),
                ("rotary", Positions::Rotary(turned)),
                ("none", Positions::None),
            ],
        )?;
        if self.positions == "rotary" && !c.d_head.is_multiple_of(2) {
            return Err(format!(
                "positions = 'rotary' turns pairs of coordinates, and a head has {}; hint: d_model = {}",
                c.d_head,
                self.d_model + self.n_heads
            ));
        }
        let widest = [c.d_model, c.d_mlp, c.n_heads * n_ctx, c.d_vocab_out];
        let widest = widest.into_iter().max().unwrap_or(0);
        if batch.saturating_mul(n_ctx).saturating_mul(widest) > ACTIVATIONS {
            return Err(format!(
                "batch = {batch} of {n_ctx} positions of {widest} numbers is more than {ACTIVATIONS}; \
                 hint: a smaller batch"
            ));
        }
        // Embedding, positions and unembedding; four matrices of attention, two of the MLP.
        let ends = c.d_model * (d_vocab + n_ctx + c.d_vocab_out);
        let blocks = c.n_layers * c.d_model * (4 * c.d_model + 2 * c.d_mlp);
        if ends + blocks > WEIGHTS {
            return Err(format!(
                "{} weights are more than {WEIGHTS}; hint: a smaller d_model or fewer n_layers",
                ends + blocks
            ));
        }
        Ok(c)
    }

    /// The usual deviation of matrices at the start, 1 / sqrt(d_model).
    pub fn init_scale(&self) -> f32 {
        1.0 / (self.d_model as f32).sqrt()
    }
}
