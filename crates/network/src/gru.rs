//! The gated recurrent unit (Cho et al. 2014), unrolled over the positions of its input.
//!
//! The form is PyTorch's, with x the token's vector, h the state before and h' the one behind it:
//!
//! ```text
//! r = sigmoid(x W_ir + h W_hr + b_r)
//! z = sigmoid(x W_iz + h W_hz + b_z)
//! n = tanh(x W_in + b_in + r * (h W_hn + b_hn))
//! h' = (1 - z) * n + z * h
//! ```
//!
//! PyTorch's matrices lie `[gate, input]` with r, z, n below one another; here each is its own, `[input, gate]`, and
//! its two biases of r are one, those of z too. Every position has sites of its own, `cells.T.hook_*`, `[batch, unit]`: an
//! intervention on a state is what all later positions see.

use crate::config::GruConfig;
use flyroom_tensor::{Error, Graph, Tensor, Value, ops::Unary};

/// One gate's weights.
struct Gate {
    of_input: Value,
    of_state: Value,
}

impl Gate {
    fn new(g: &mut Graph, c: &GruConfig, letter: char) -> Self {
        let of_input = g.parameter(&format!("cell.W_i{letter}"), &[c.d_embed, c.d_hidden]);
        let of_state = g.parameter(&format!("cell.W_h{letter}"), &[c.d_hidden, c.d_hidden]);
        Self { of_input, of_state }
    }

    /// sigmoid(x W_i + h W_h + b), `[batch, d_hidden]`.
    fn open(&self, g: &mut Graph, x: Value, h: Value, b: Value) -> Result<Value, Error> {
        let of_input = g.einsum("be,eh->bh", x, self.of_input)?;
        let of_state = g.einsum("bi,ih->bh", h, self.of_state)?;
        let sum = g.add(of_input, of_state)?;
        let sum = g.add(sum, b)?;
        g.unary(Unary::Sigmoid, sum)
    }
}

/// Records the network on `tokens` `[batch, pos]`; returns logits `[batch, pos, d_vocab_out]`.
pub fn record(g: &mut Graph, c: &GruConfig, batch: usize, pos: usize) -> Result<Value, Error> {
    let w_e = g.parameter("embed.W_E", &[c.d_vocab, c.d_embed]);
    let tokens = g.index_input("tokens", &[batch, pos]);
    let [reset, update, new] = ['r', 'z', 'n'].map(|letter| Gate::new(g, c, letter));
    let [b_r, b_z, b_in, b_hn] =
        ["b_r", "b_z", "b_in", "b_hn"].map(|b| g.parameter(&format!("cell.{b}"), &[c.d_hidden]));
    let mut h = g.constant(Tensor::zeros(&[batch, c.d_hidden]));
    let mut states = Vec::with_capacity(pos);
    for t in 0..pos {
        let x = g.gather_at(w_e, tokens, t)?;
        let x = g.site(&format!("cells.{t}.hook_embed"), x); // [batch, d_embed]
        let r = reset.open(g, x, h, b_r)?;
        let r = g.site(&format!("cells.{t}.hook_reset"), r); // [batch, d_hidden]
        let z = update.open(g, x, h, b_z)?;
        let z = g.site(&format!("cells.{t}.hook_update"), z);
        let of_input = g.einsum("be,eh->bh", x, new.of_input)?;
        let of_input = g.add(of_input, b_in)?;
        let of_state = g.einsum("bi,ih->bh", h, new.of_state)?;
        let of_state = g.add(of_state, b_hn)?;
        let of_state = g.mul(r, of_state)?;
        let n = g.add(of_input, of_state)?;
        let n = g.unary(Unary::Tanh, n)?;
        let n = g.site(&format!("cells.{t}.hook_new"), n);
        // (1 - z) n + z h
        let kept = g.sub(h, n)?;
        let kept = g.mul(z, kept)?;
        let state = g.add(n, kept)?;
        h = g.site(&format!("cells.{t}.hook_state"), state);
        states.push(g.reshape(h, &[batch, 1, c.d_hidden])?);
    }
    let states = g.concat(&states, 1)?; // [batch, pos, d_hidden]
    let w_u = g.parameter("unembed.W_U", &[c.d_hidden, c.d_vocab_out]);
    let logits = g.einsum("bph,hv->bpv", states, w_u)?;
    let b_u = g.parameter("unembed.b_U", &[c.d_vocab_out]);
    let logits = g.add(logits, b_u)?;
    Ok(g.site("hook_logits", logits))
}
