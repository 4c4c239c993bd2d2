//! From the residual stream to logit differences, without the rest of the vocabulary.
//!
//! The final norm is x -> w (x - mean) / scale + b (LayerNorm) or w x / scale (RMSNorm), the
//! unembedding linear. So a difference of two logits is one dot product with the normalised
//! stream, and with the scale frozen it is linear in x: a sum over all that was ever written there
//! (Elhage et al. 2021).

use crate::Error;
use flyroom_network::{Network, Norm};

/// The site behind the final norm's division, or the stream itself where there is no norm.
#[derive(Debug, Clone, Copy)]
pub struct Readout<'a> {
    network: &'a Network,
    norm: Norm,
    d_model: usize,
    d_vocab: usize,
}

/// A logit difference as a function of the residual stream.
#[derive(Debug, Clone)]
pub struct Direction {
    /// Weight of every coordinate of what lies at [`Readout::site`].
    pub weights: Vec<f64>,
    /// What the norm's bias adds.
    pub norm_bias: f64,
    /// What the unembedding's bias adds.
    pub unembed_bias: f64,
}

impl<'a> Readout<'a> {
    /// Of a transformer.
    pub fn new(network: &'a Network, method: &'static str) -> Result<Self, Error> {
        let c = network.architecture().transformer().ok_or_else(|| Error::NotApplicable {
            method,
            why: "it reads the residual stream of a transformer".into(),
        })?;
        Ok(Self { network, norm: c.norm, d_model: c.d_model, d_vocab: c.d_vocab_out })
    }

    /// Where [`Direction::weights`] read, `[pos, d_model]`.
    pub fn site(&self) -> &'static str {
        if self.norm == Norm::None { "unembed.hook_in" } else { "ln_final.hook_normalized" }
    }

    /// The logit of `plus` minus that of `minus`.
    pub fn difference(&self, plus: usize, minus: usize) -> Result<Direction, Error> {
        let w_u = self.network.weight("unembed.W_U")?.data(); // [d_model, d_vocab_out]
        let optional = |name: &str| self.network.weights().get(name).map(|t| t.data());
        let apart = |i: usize| {
            let at = |token: usize| f64::from(w_u[i * self.d_vocab + token]);
            at(plus) - at(minus)
        };
        let unembed: Vec<f64> = (0..self.d_model).map(apart).collect();
        let scaled = |w: Option<&[f32]>| match w {
            Some(w) => unembed.iter().zip(w).map(|(u, &w)| u * f64::from(w)).collect(),
            None => unembed.clone(),
        };
        let bias = |b: Option<&[f32]>| {
            b.map_or(0.0, |b| unembed.iter().zip(b).map(|(u, &b)| u * f64::from(b)).sum())
        };
        Ok(Direction {
            weights: scaled(optional("ln_final.w")),
            norm_bias: bias(optional("ln_final.b")),
            unembed_bias: optional("unembed.b_U")
                .map_or(0.0, |b| f64::from(b[plus]) - f64::from(b[minus])),
        })
    }

    /// The weights of what is *written* to the stream where the norm divides by `scale`: the
    /// norm's centring moved from the vector to the weights.
    pub fn frozen(&self, d: &Direction, scale: f64) -> Vec<f64> {
        let mean = match self.norm {
            Norm::LayerNorm => d.weights.iter().sum::<f64>() / self.d_model as f64,
            _ => 0.0,
        };
        d.weights.iter().map(|w| (w - mean) / scale).collect()
    }

    /// The scale site of the final norm, `[pos, 1]`; `None` without a norm.
    pub fn scale_site(&self) -> Option<&'static str> {
        (self.norm != Norm::None).then_some("ln_final.hook_scale")
    }

    /// Width of the stream.
    pub fn d_model(&self) -> usize {
        self.d_model
    }
}

impl Direction {
    /// The logit difference of what lies at the site.
    pub fn of(&self, x: &[f32]) -> f64 {
        dot(&self.weights, x) + self.norm_bias + self.unembed_bias
    }
}

/// Sum of products in ascending order.
pub fn dot(weights: &[f64], x: &[f32]) -> f64 {
    weights.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum()
}
