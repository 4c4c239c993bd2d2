//! The transformer, one line a site. Names and shapes are TransformerLens'.
//!
//! Two forms give the same bits. The plain form feeds q, k and v from one normalised residual
//! stream. The `split` form gives every head its own input (`hook_q_input`, `hook_k_input`,
//! `hook_v_input`, each `[batch, pos, head, d_model]`), so that an edge into one head's query can
//! be patched alone; the norm is then computed for each head anew.

use crate::config::{Activation, Norm, Pattern, Positions, TransformerConfig};
use crate::rotary::Tables;
use flyroom_tensor::{Error, Graph, Value, ops::Unary};

/// Records the network on `tokens` `[batch, pos]` or `input` `[batch, pos, d_vocab]`; returns logits `[batch, pos, d_vocab_out]`.
pub fn record(
    g: &mut Graph,
    c: &TransformerConfig,
    batch: usize,
    pos: usize,
    split: bool,
) -> Result<Value, Error> {
    let w_e = g.parameter("embed.W_E", &[c.d_vocab, c.d_model]);
    let embed = if c.vectors {
        let input = g.input("input", &[batch, pos, c.d_vocab]);
        g.einsum("bpv,vd->bpd", input, w_e)?
    } else {
        let tokens = g.index_input("tokens", &[batch, pos]);
        g.gather(w_e, tokens)?
    }; // [batch, pos, d_model]
    let mut resid = g.site("hook_embed", embed);
    if c.positions == Positions::Learned {
        let w_pos = g.parameter("pos_embed.W_pos", &[c.n_ctx, c.d_model]);
        let rows = g.slice(w_pos, 0, 0, pos)?; // [pos, d_model]
        let rows = g.repeat_to(rows, &[batch, pos, c.d_model])?;
        let pos_embed = g.site("hook_pos_embed", rows);
        resid = g.add(resid, pos_embed)?;
    }
    let rotary = c.rotary().map(|r| r.tables(g, pos, c.d_head));
    for i in 0..c.n_layers {
        resid = block(g, c, i, resid, rotary, split)?;
    }
    let resid = g.site("unembed.hook_in", resid);
    let x = norm(g, c, "ln_final", resid, true)?;
    let w_u = g.parameter("unembed.W_U", &[c.d_model, c.d_vocab_out]);
    let mut logits = g.einsum("bpd,dv->bpv", x, w_u)?;
    if c.unembed_bias {
        let b_u = g.parameter("unembed.b_U", &[c.d_vocab_out]);
        logits = g.add(logits, b_u)?;
    }
    Ok(g.site("hook_logits", logits))
}

fn block(
    g: &mut Graph,
    c: &TransformerConfig,
    i: usize,
    resid: Value,
    rotary: Option<Tables>,
    split: bool,
) -> Result<Value, Error> {
    let resid = g.site(&format!("blocks.{i}.hook_resid_pre"), resid);
    // Of two that run side by side the MLP reads before the heads write.
    let beside = c.parallel_attn_mlp && c.d_mlp > 0;
    let mlp_in = beside.then(|| g.site(&format!("blocks.{i}.hook_mlp_in"), resid));
    let attn_out = attention(g, c, i, resid, rotary, split)?; // [batch, pos, d_model]
    let resid = g.add(resid, attn_out)?;
    if c.d_mlp == 0 {
        return Ok(g.site(&format!("blocks.{i}.hook_resid_post"), resid));
    }
    if let Some(mlp_in) = mlp_in {
        let mlp_out = mlp(g, c, i, mlp_in)?; // [batch, pos, d_model]
        let resid = g.add(resid, mlp_out)?;
        return Ok(g.site(&format!("blocks.{i}.hook_resid_post"), resid));
    }
    let resid = g.site(&format!("blocks.{i}.hook_resid_mid"), resid);
    let mlp_in = g.site(&format!("blocks.{i}.hook_mlp_in"), resid);
    let mlp_out = mlp(g, c, i, mlp_in)?; // [batch, pos, d_model]
    let resid = g.add(resid, mlp_out)?;
    Ok(g.site(&format!("blocks.{i}.hook_resid_post"), resid))
}

fn attention(
    g: &mut Graph,
    c: &TransformerConfig,
    i: usize,
    resid: Value,
    rotary: Option<Tables>,
    split: bool,
) -> Result<Value, Error> {
    let (heads, groups, d, k) = (c.n_heads, c.n_kv_heads, c.d_model, c.d_head);
    let &[batch, pos, _] = g.shape(resid) else { unreachable!("recorded above") };
    let at = |hook: &str| format!("blocks.{i}.attn.{hook}");
    let mut shared = None;
    let mut read = |g: &mut Graph, letter: &str, heads: usize| -> Result<Value, Error> {
        let w = g.parameter(&at(&format!("W_{letter}")), &[heads, d, k]);
        let mut y = if split {
            let x = g.reshape(resid, &[batch, pos, 1, d])?;
            let x = g.repeat_to(x, &[batch, pos, heads, d])?;
            let hook = format!("blocks.{i}.hook_{}_input", letter.to_lowercase());
            let x = g.site(&hook, x);
            let x = norm(g, c, &format!("blocks.{i}.ln1"), x, false)?;
            g.einsum("bphd,hdk->bphk", x, w)?
        } else {
            let x = match shared {
                Some(x) => x,
                None => {
                    let x = g.site(&format!("blocks.{i}.hook_attn_in"), resid);
                    norm(g, c, &format!("blocks.{i}.ln1"), x, true)?
                }
            };
            shared = Some(x);
            g.einsum("bpd,hdk->bphk", x, w)?
        };
        if c.attn_bias || c.qkv_bias {
            let b = g.parameter(&at(&format!("b_{letter}")), &[heads, k]);
            y = g.add(y, b)?;
        }
        Ok(g.site(&at(&format!("hook_{}", letter.to_lowercase())), y))
    };
    let mut q = read(g, "Q", heads)?; // [batch, pos, head, d_head]
    let mut key = read(g, "K", groups)?; // [batch, pos, kv_head, d_head]
    let v = read(g, "V", groups)?; // [batch, pos, kv_head, d_head]
    if let Some(rotary) = rotary {
        q = rotary.turn(g, q)?;
        q = g.site(&at("hook_rot_q"), q); // [batch, pos, head, d_head]
        key = rotary.turn(g, key)?;
        key = g.site(&at("hook_rot_k"), key); // [batch, pos, kv_head, d_head]
    }

    let scores = if groups == heads {
        g.einsum("bqhk,bphk->bhqp", q, key)?
    } else {
        let q = g.reshape(q, &[batch, pos, groups, heads / groups, k])?;
        let s = g.einsum("bqgrk,bpgk->bgrqp", q, key)?;
        g.reshape(s, &[batch, heads, pos, pos])?
    };
    let mut scores = g.scale(scores, 1.0 / c.attn_scale)?;
    if c.causal {
        scores = g.causal_mask(scores)?;
    }
    let scores = g.site(&at("hook_attn_scores"), scores); // [batch, head, query, key]
    let mut pattern = match c.pattern {
        Pattern::Softmax => g.softmax(scores)?,
        Pattern::Linear => scores,
    };
    if c.attention_share != 1.0 {
        pattern = g.scale(pattern, c.attention_share)?;
        pattern = g.unary(Unary::Shift(1.0 - c.attention_share), pattern)?;
    }
    let pattern = g.site(&at("hook_pattern"), pattern); // [batch, head, query, key]
    let z = if groups == heads {
        g.einsum("bhqp,bphk->bqhk", pattern, v)?
    } else {
        let p = g.reshape(pattern, &[batch, groups, heads / groups, pos, pos])?;
        let z = g.einsum("bgrqp,bpgk->bqgrk", p, v)?;
        g.reshape(z, &[batch, pos, heads, k])?
    };
    let z = g.site(&at("hook_z"), z); // [batch, pos, head, d_head]
    let w_o = g.parameter(&at("W_O"), &[heads, k, d]);
    let result = g.einsum("bphk,hkd->bphd", z, w_o)?;
    let result = g.site(&at("hook_result"), result); // [batch, pos, head, d_model]
    let out = g.sum_to(result, &[batch, pos, 1, d])?; // heads added in order
    let mut out = g.reshape(out, &[batch, pos, d])?;
    if c.attn_bias {
        let b_o = g.parameter(&at("b_O"), &[d]);
        out = g.add(out, b_o)?;
    }
    Ok(g.site(&format!("blocks.{i}.hook_attn_out"), out))
}

fn mlp(g: &mut Graph, c: &TransformerConfig, i: usize, resid: Value) -> Result<Value, Error> {
    let at = |hook: &str| format!("blocks.{i}.mlp.{hook}");
    let x = norm(g, c, &format!("blocks.{i}.ln2"), resid, true)?;
    let w_in = g.parameter(&at("W_in"), &[c.d_model, c.d_mlp]);
    let mut linear = g.einsum("bpd,df->bpf", x, w_in)?;
    if c.mlp_bias {
        let b_in = g.parameter(&at("b_in"), &[c.d_mlp]);
        linear = g.add(linear, b_in)?;
    }
    let post = if c.gated_mlp {
        let w_gate = g.parameter(&at("W_gate"), &[c.d_model, c.d_mlp]);
        let pre = g.einsum("bpd,df->bpf", x, w_gate)?;
        let pre = g.site(&at("hook_pre"), pre); // [batch, pos, d_mlp]
        let linear = g.site(&at("hook_pre_linear"), linear); // [batch, pos, d_mlp]
        let gate = activation(g, c.act_fn, pre)?;
        g.mul(gate, linear)?
    } else {
        let pre = g.site(&at("hook_pre"), linear); // [batch, pos, d_mlp]
        activation(g, c.act_fn, pre)?
    };
    let post = g.site(&at("hook_post"), post); // [batch, pos, d_mlp]
    let w_out = g.parameter(&at("W_out"), &[c.d_mlp, c.d_model]);
    let mut out = g.einsum("bpf,fd->bpd", post, w_out)?;
    if c.mlp_bias {
        let b_out = g.parameter(&at("b_out"), &[c.d_model]);
        out = g.add(out, b_out)?;
    }
    Ok(g.site(&format!("blocks.{i}.hook_mlp_out"), out))
}

/// The elementwise function of an MLP.
pub(crate) fn activation(g: &mut Graph, f: Activation, x: Value) -> Result<Value, Error> {
    match f {
        Activation::Relu => g.unary(Unary::Relu, x),
        Activation::Gelu => g.unary(Unary::Gelu, x),
        Activation::GeluErf => g.unary(Unary::GeluErf, x),
        Activation::Silu => g.unary(Unary::Silu, x),
        Activation::Square => g.unary(Unary::Square, x),
        Activation::Identity => Ok(x),
    }
}

fn norm(
    g: &mut Graph,
    c: &TransformerConfig,
    name: &str,
    x: Value,
    sites: bool,
) -> Result<Value, Error> {
    if c.norm == Norm::None {
        return Ok(x);
    }
    let centred = if c.norm == Norm::LayerNorm { g.center(x)? } else { x };
    let mut scale = g.root_mean_square(centred, c.eps)?;
    if sites {
        scale = g.site(&format!("{name}.hook_scale"), scale); // [.., 1]
    }
    let mut y = g.div(centred, scale)?;
    if sites {
        y = g.site(&format!("{name}.hook_normalized"), y);
    }
    let w = g.parameter(&format!("{name}.w"), &[c.d_model]);
    y = g.mul(y, w)?;
    if c.norm == Norm::LayerNorm {
        let b = g.parameter(&format!("{name}.b"), &[c.d_model]);
        y = g.add(y, b)?;
    }
    Ok(y)
}
