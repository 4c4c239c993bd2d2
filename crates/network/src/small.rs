//! Networks without positions: the multilayer perceptron and the tied autoencoder. Their sites
//! have the axes of a transformer with pos = 1 left out: `[batch, unit]`.

use crate::config::{AutoencoderConfig, MlpConfig};
use crate::transformer::activation;
use flyroom_tensor::{Error, Graph, Value};

/// Records an MLP on `input` `[batch, d_in]`; returns `[batch, d_out]`.
pub fn record_mlp(g: &mut Graph, c: &MlpConfig, batch: usize) -> Result<Value, Error> {
    let x = g.input("input", &[batch, c.d_in]);
    let mut x = g.site("hook_input", x);
    if c.residual {
        return residual(g, c, x);
    }
    let mut width = c.d_in;
    for (i, &d) in c.d_hidden.iter().enumerate() {
        let w = g.parameter(&format!("blocks.{i}.mlp.W_in"), &[width, d]);
        let mut pre = g.einsum("bi,io->bo", x, w)?;
        if c.bias {
            let b = g.parameter(&format!("blocks.{i}.mlp.b_in"), &[d]);
            pre = g.add(pre, b)?;
        }
        let pre = g.site(&format!("blocks.{i}.mlp.hook_pre"), pre);
        let post = activation(g, c.act_fn, pre)?;
        x = g.site(&format!("blocks.{i}.mlp.hook_post"), post);
        width = d;
    }
    let w = g.parameter("unembed.W_U", &[width, c.d_out]);
    let mut y = g.einsum("bi,io->bo", x, w)?;
    if c.bias {
        let b = g.parameter("unembed.b_U", &[c.d_out]);
        y = g.add(y, b)?;
    }
    Ok(g.site("hook_logits", y))
}

/// The blocks of an MLP with a residual stream, from `x` `[batch, d_in]` on; returns the stream behind them.
fn residual(g: &mut Graph, c: &MlpConfig, x: Value) -> Result<Value, Error> {
    let mut stream = x;
    for (i, &d) in c.d_hidden.iter().enumerate() {
        stream = g.site(&format!("blocks.{i}.hook_resid_pre"), stream);
        let w = g.parameter(&format!("blocks.{i}.mlp.W_in"), &[c.d_in, d]);
        let mut pre = g.einsum("bi,io->bo", stream, w)?;
        if c.bias {
            let b = g.parameter(&format!("blocks.{i}.mlp.b_in"), &[d]);
            pre = g.add(pre, b)?;
        }
        let pre = g.site(&format!("blocks.{i}.mlp.hook_pre"), pre);
        let post = activation(g, c.act_fn, pre)?;
        let post = g.site(&format!("blocks.{i}.mlp.hook_post"), post);
        let w = g.parameter(&format!("blocks.{i}.mlp.W_out"), &[d, c.d_in]);
        let mut out = g.einsum("bi,io->bo", post, w)?;
        if c.bias {
            let b = g.parameter(&format!("blocks.{i}.mlp.b_out"), &[c.d_in]);
            out = g.add(out, b)?;
        }
        let out = g.site(&format!("blocks.{i}.hook_mlp_out"), out);
        let sum = g.add(stream, out)?;
        stream = g.site(&format!("blocks.{i}.hook_resid_post"), sum);
    }
    Ok(g.site("hook_logits", stream))
}

/// Records x^ = act(W^T H W x + b) on `input` `[batch, n_features]` (Elhage et al. 2022).
pub fn record_autoencoder(
    g: &mut Graph,
    c: &AutoencoderConfig,
    batch: usize,
) -> Result<Value, Error> {
    let x = g.input("input", &[batch, c.n_features]);
    let x = g.site("hook_input", x);
    let w = g.parameter("W", &[c.d_hidden, c.n_features]);
    let hidden = g.einsum("bn,mn->bm", x, w)?;
    let mut hidden = g.site("hook_hidden", hidden); // [batch, d_hidden]
    for i in 0..c.hidden_maps {
        let map = g.parameter(&format!("hidden.{i}.W"), &[c.d_hidden, c.d_hidden]);
        let mapped = g.einsum("bm,mk->bk", hidden, map)?;
        hidden = g.site(&format!("hidden.{i}.hook_out"), mapped);
    }
    let y = g.einsum("bm,mn->bn", hidden, w)?;
    let b = g.parameter("b_final", &[c.n_features]);
    let y = g.add(y, b)?;
    let y = activation(g, c.act_fn, y)?;
    Ok(g.site("hook_logits", y))
}
