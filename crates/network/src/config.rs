//! Architectures as data. Every field has the meaning that TransformerLens gives it.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Longest axis of a weight that is believed: more is a broken file.
const LARGEST: usize = 1 << 24;

/// Longest input of a network that is unrolled over it.
const LONGEST_UNROLLED: usize = 1 << 10;

/// What a network computes, without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Architecture {
    /// Tokens to logits at every position.
    Transformer(TransformerConfig),
    /// A vector to a vector through one or more hidden layers.
    Mlp(MlpConfig),
    /// A vector to itself through a narrower one, decoder tied to encoder.
    Autoencoder(AutoencoderConfig),
    /// Tokens to logits at every position, through a state that is carried on.
    Gru(GruConfig),
}

/// Elementwise function of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// GPT-2's tanh form of GELU
    Gelu,
    /// GELU itself: x P(Z <= x) for a standard normal Z
    GeluErf,
    /// x / (1 + e^-x)
    Silu,
    /// x^2
    Square,
    /// x
    Identity,
}

/// Normalisation before each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None: the residual stream is read as it is.
    None,
    /// Ba et al. 2016, with weight and bias.
    LayerNorm,
    /// Zhang and Sennrich 2019, with weight.
    RmsNorm,
}

/// How scores of attention become the weights of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// e^score, divided by the sum over keys.
    #[default]
    Softmax,
    /// The scores themselves (linear self-attention; von Oswald et al. 2023, equation 3).
    Linear,
}

impl Pattern {
    fn is_softmax(&self) -> bool {
        *self == Self::Softmax
    }
}

/// How a transformer knows positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A learned table added to the embedding.
    Learned,
    /// Not at all.
    None,
    /// Queries and keys are turned by angles that grow with the position (Su et al. 2021).
    Rotary(Rotary),
}

/// Pair i of the first `dim` coordinates of a head is turned by pos * base^(-2i / dim) radians; the
/// others stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// Ratio of the fastest angle to the slowest, nearly.
    pub base: f64,
    /// Coordinates that are turned, an even number of at most d_head.
    pub dim: usize,
    /// Which two coordinates are a pair.
    pub pairs: Pairs,
}

/// How the coordinates of a head are paired for rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// i and i + dim / 2 (Llama, GPT-NeoX).
    Halves,
    /// 2i and 2i + 1 (the paper, GPT-J).
    Adjacent,
}

/// Epsilon of both norms, where a config does not say.
pub const NORM_EPS: f32 = 1e-5;

fn norm_eps() -> f32 {
    NORM_EPS
}

fn is_norm_eps(eps: &f32) -> bool {
    *eps == NORM_EPS
}

fn is_false(x: &bool) -> bool {
    !x
}

/// A transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads in a block.
    pub n_heads: usize,
    /// Key and value heads in a block; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Neurons of an MLP; 0 is attention-only.
    pub d_mlp: usize,
    /// Tokens.
    pub d_vocab: usize,
    /// Logits.
    pub d_vocab_out: usize,
    /// Longest input in tokens.
    pub n_ctx: usize,
    /// Function of the neurons.
    pub act_fn: Activation,
    /// Normalisation.
    pub norm: Norm,
    /// Positions.
    pub positions: Positions,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
    /// Scores are divided by this; the usual value is sqrt(d_head).
    pub attn_scale: f32,
    /// Share c of softmax in the pattern: c softmax + (1 - c); 1 is the usual network (Zhong et
    /// al. 2023 vary it).
    pub attention_share: f32,
    /// Whether q, k, v, and the head outputs have biases.
    pub attn_bias: bool,
    /// Whether the MLP has biases.
    pub mlp_bias: bool,
    /// Whether the logits have a bias.
    pub unembed_bias: bool,
    // What follows is left out of JSON where it has its default, so that older specimens keep
    // their bytes and ids.
    /// Added under the root of a norm.
    #[serde(default = "norm_eps", skip_serializing_if = "is_norm_eps")]
    pub eps: f32,
    /// Whether q, k and v have biases and the head outputs have none (`attn_bias` is all four).
    #[serde(default, skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// Whether neurons are act(W_gate x) * (W_in x) (Shazeer 2020) instead of act(W_in x).
    #[serde(default, skip_serializing_if = "is_false")]
    pub gated_mlp: bool,
    /// Whether attention and MLP of a block read the same residual stream (GPT-J, GPT-NeoX).
    #[serde(default, skip_serializing_if = "is_false")]
    pub parallel_attn_mlp: bool,
    /// What the pattern makes of the scores.
    #[serde(default, skip_serializing_if = "Pattern::is_softmax")]
    pub pattern: Pattern,
    /// Whether inputs are sequences of vectors `[pos, d_vocab]` in place of tokens, each of which
    /// `embed.W_E` takes to the residual stream: a token is the vector with a 1 at its id.
    #[serde(default, skip_serializing_if = "is_false")]
    pub vectors: bool,
}

impl TransformerConfig {
    /// A plain network of the usual kind, to be adjusted: ReLU, no norm, learned positions,
    /// causal, no biases but those of the MLP, `n_ctx` and vocabularies as given.
    pub fn plain(
        n_layers: usize,
        d_model: usize,
        n_heads: usize,
        vocab: usize,
        ctx: usize,
    ) -> Self {
        let d_head = d_model / n_heads.max(1);
        Self {
            n_layers,
            d_model,
            n_heads,
            n_kv_heads: n_heads,
            d_head,
            d_mlp: 0,
            d_vocab: vocab,
            d_vocab_out: vocab,
            n_ctx: ctx,
            act_fn: Activation::Relu,
            norm: Norm::None,
            positions: Positions::Learned,
            causal: true,
            attn_scale: (d_head as f32).sqrt(),
            attention_share: 1.0,
            attn_bias: false,
            mlp_bias: true,
            unembed_bias: false,
            eps: NORM_EPS,
            qkv_bias: false,
            gated_mlp: false,
            parallel_attn_mlp: false,
            pattern: Pattern::Softmax,
            vectors: false,
        }
    }

    /// The rotation of queries and keys, if positions are known by one.
    pub fn rotary(&self) -> Option<Rotary> {
        match self.positions {
            Positions::Rotary(r) => Some(r),
            _ => None,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Architecture(why));
        if self.n_heads == 0
            || self.n_kv_heads == 0
            || !self.n_heads.is_multiple_of(self.n_kv_heads)
        {
            return bad(format!(
                "n_kv_heads = {} does not divide n_heads = {}",
                self.n_kv_heads, self.n_heads
            ));
        }
        for (name, n) in [
            ("d_model", self.d_model),
            ("d_head", self.d_head),
            ("d_vocab", self.d_vocab),
            ("d_vocab_out", self.d_vocab_out),
            ("n_ctx", self.n_ctx),
            ("n_heads * d_head", self.n_heads.saturating_mul(self.d_head)),
        ] {
            if n == 0 || n > LARGEST {
                return bad(format!("{name} = {n} is not a size"));
            }
        }
        for (name, n) in
            [("n_layers", self.n_layers.saturating_mul(1 << 12)), ("d_mlp", self.d_mlp)]
        {
            if n > LARGEST {
                return bad(format!("{name} is too large"));
            }
        }
        if !(self.eps.is_finite() && self.eps >= 0.0) {
            return bad(format!("eps = {} is not 0 or more", self.eps));
        }
        if self.qkv_bias && self.attn_bias {
            return bad(
                "attn_bias has the biases of q, k and v already, qkv_bias is for them alone".into(),
            );
        }
        if self.gated_mlp && self.mlp_bias {
            return bad("a gated MLP has no biases here: mlp_bias".into());
        }
        if let Some(Rotary { base, dim, .. }) = self.rotary() {
            if dim == 0 || dim > self.d_head || !dim.is_multiple_of(2) {
                return bad(format!(
                    "rotary dim = {dim} is not even and within d_head = {}",
                    self.d_head
                ));
            }
            if !(base.is_finite() && base >= 1.0) {
                return bad(format!("rotary base = {base} is not 1 or more"));
            }
        }
        if !(self.attn_scale.is_finite() && self.attn_scale > 0.0) {
            return bad(format!("attn_scale = {} is not positive", self.attn_scale));
        }
        if !(0.0..=1.0).contains(&self.attention_share) {
            return bad(format!("attention_share = {} is not in 0..1", self.attention_share));
        }
        if self.pattern == Pattern::Linear && (self.causal || self.attention_share != 1.0) {
            return bad("a linear pattern has no causal mask and no attention_share".into());
        }
        Ok(())
    }
}

/// A multilayer perceptron: `d_in`, hidden layers with one activation, `d_out`. One with a residual
/// stream passes its input on, and each hidden layer reads the stream and adds to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Length of the input vector.
    pub d_in: usize,
    /// Widths of the hidden layers.
    pub d_hidden: Vec<usize>,
    /// Length of the output vector.
    pub d_out: usize,
    /// Function of the hidden units.
    pub act_fn: Activation,
    /// Whether layers have biases.
    pub bias: bool,
    /// Whether there is a residual stream, which is the output too; then `d_out` is `d_in`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub residual: bool,
}

/// x^ = act(W^T H W x + b), H a product of linear maps or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Features n: length of input and output.
    pub n_features: usize,
    /// Hidden width m.
    pub d_hidden: usize,
    /// Function of the output.
    pub act_fn: Activation,
    /// Linear maps of the hidden units into themselves, between encoder and decoder.
    #[serde(default, skip_serializing_if = "is_none")]
    pub hidden_maps: usize,
}

/// A gated recurrent unit (Cho et al. 2014) over embedded tokens, in the form of PyTorch: what the reset gate
/// multiplies is the product of the state with its bias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruConfig {
    /// Tokens.
    pub d_vocab: usize,
    /// Logits.
    pub d_vocab_out: usize,
    /// Length of a token's vector.
    pub d_embed: usize,
    /// Length of the state.
    pub d_hidden: usize,
    /// Longest input in tokens.
    pub n_ctx: usize,
}

impl GruConfig {
    fn validate(&self) -> Result<(), Error> {
        let sizes = [
            ("d_vocab", self.d_vocab),
            ("d_vocab_out", self.d_vocab_out),
            ("d_embed", self.d_embed),
            ("d_hidden", self.d_hidden),
        ];
        for (name, n) in sizes {
            if n == 0 || n > LARGEST {
                return Err(Error::Architecture(format!("{name} = {n} is not a size")));
            }
        }
        // Every position is recorded by itself.
        if self.n_ctx == 0 || self.n_ctx > LONGEST_UNROLLED {
            return Err(Error::Architecture(format!(
                "n_ctx = {} of a GRU is not from 1 to {LONGEST_UNROLLED}",
                self.n_ctx
            )));
        }
        Ok(())
    }
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

impl Architecture {
    /// Fails when the sizes contradict each other.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Transformer(c) => c.validate(),
            Self::Gru(c) => c.validate(),
            Self::Mlp(c) if c.d_in == 0 || c.d_out == 0 || c.d_hidden.contains(&0) => {
                Err(Error::Architecture("a layer of an mlp has no units".into()))
            }
            Self::Mlp(c)
                if c.d_in.max(c.d_out) > LARGEST || c.d_hidden.iter().any(|&d| d > LARGEST) =>
            {
                Err(Error::Architecture(format!("a layer of an mlp has more than {LARGEST} units")))
            }
            Self::Mlp(c) if c.residual && c.d_in != c.d_out => Err(Error::Architecture(format!(
                "a residual mlp answers with its stream: d_out = {} is not d_in = {}",
                c.d_out, c.d_in
            ))),
            Self::Autoencoder(c) if c.n_features.max(c.d_hidden) > LARGEST => {
                Err(Error::Architecture(format!("an autoencoder has more than {LARGEST} units")))
            }
            Self::Autoencoder(c) if c.hidden_maps > 1 << 12 => {
                Err(Error::Architecture(format!("hidden_maps = {} is too large", c.hidden_maps)))
            }
            Self::Autoencoder(c) if c.n_features == 0 || c.d_hidden == 0 => {
                Err(Error::Architecture("an autoencoder has no features or no hidden units".into()))
            }
            _ => Ok(()),
        }
    }

    /// The transformer, if it is one.
    pub fn transformer(&self) -> Option<&TransformerConfig> {
        match self {
            Self::Transformer(c) => Some(c),
            _ => None,
        }
    }
}
