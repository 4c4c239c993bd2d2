//! Transformers under TransformerLens' names (Nanda and Bloom 2022), as `safetensors`.
//!
//! Sizes come from the shapes. What no shape says is declared: the function of the neurons, the
//! divisor of the scores, whether attention is causal, and how matrices lie. A square matrix fits
//! both layouts, so undeclared it is an error rather than a guess. A file without `ln1` is a
//! network without norm: one whose norm was folded into its weights and left no tensor (`LNPre`)
//! cannot be told from it and must not be imported.
//!
//! Tensors that no architecture uses (`attn.mask`, `attn.IGNORE`) travel in [`Network::extra`], so
//! [`write`] returns the file tensor for tensor. A weight in BF16 comes back as F32 of the same
//! value.

use super::file::TensorFile;
use crate::Error;
use flyroom_network::{
    Activation, Architecture, Network, Norm, Positions, RawTensor, TransformerConfig, Weights,
};
use flyroom_tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How matrices lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[in, out]`, as TransformerLens has them: `W_E [vocab, d_model]`, `W_Q [head, d_model,
    /// d_head]`, `W_O [head, d_head, d_model]`, `W_in [d_model, d_mlp]`, `W_U [d_model, vocab]`.
    InOut,
    /// `[out, in]`: `W_E [d_model, vocab]`, `W_Q [head, d_head, d_model]`, `W_O [d_model,
    /// head * d_head]`, `W_in [d_mlp, d_model]`, `W_U [vocab, d_model]`.
    OutIn,
}

impl Layout {
    /// Both, by the names that `--layout` takes.
    pub const ALL: [(&'static str, Self); 2] = [("in-out", Self::InOut), ("out-in", Self::OutIn)];
}

/// What the shapes of a transformer's tensors do not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// How all matrices lie; by their shapes if absent, where those tell.
    pub layout: Option<Layout>,
    /// How `W_U` lies where it differs from the rest.
    pub unembed_layout: Option<Layout>,
    /// What the neurons compute; needed where there is an MLP.
    pub act_fn: Option<Activation>,
    /// Divisor of the scores; sqrt(d_head) if absent.
    pub attn_scale: Option<f32>,
    /// Whether a position sees only itself and those before it; yes if absent.
    pub causal: Option<bool>,
    /// Share of softmax in the pattern; 1 if absent.
    pub attention_share: Option<f32>,
    /// Longest input of a network without `W_pos`.
    pub n_ctx: Option<usize>,
}

/// Where d_model stands among the last two axes of a matrix `[in, out]`.
#[derive(Clone, Copy, PartialEq)]
enum ModelAxis {
    First,
    Last,
}

/// The layout of a matrix, declared or seen, checked against its shape.
fn oriented(
    file: &TensorFile,
    name: &str,
    shape: &[usize],
    d_model: usize,
    axis: ModelAxis,
    declared: Option<Layout>,
) -> Result<Layout, Error> {
    let (a, b) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let (read, written) = match axis {
        ModelAxis::First => (a, b),
        ModelAxis::Last => (b, a),
    };
    let fits = |l: Layout| d_model == if l == Layout::InOut { read } else { written };
    let said = |l: Layout| if l == Layout::InOut { "[in, out]" } else { "[out, in]" };
    match declared {
        Some(l) if fits(l) => Ok(l),
        Some(l) => Err(file.bad(format!(
            "tensor '{name}' has shape {shape:?}, which is not {} with d_model {d_model}; \
             hint: --layout says how matrices lie",
            said(l)
        ))),
        None => match (fits(Layout::InOut), fits(Layout::OutIn)) {
            (true, true) => Err(file.bad(format!(
                "tensor '{name}' has shape {shape:?}, which may be [in, out] or [out, in]; \
                 hint: --layout in-out (as TransformerLens) or --layout out-in"
            ))),
            (true, false) => Ok(Layout::InOut),
            (false, true) => Ok(Layout::OutIn),
            (false, false) => Err(file.bad(format!(
                "tensor '{name}' has shape {shape:?}, in which d_model {d_model} is no axis"
            ))),
        },
    }
}

/// The one of the last two axes that is not d_model.
fn other(shape: &[usize], axis: ModelAxis, layout: Layout) -> usize {
    let n = shape.len();
    let model_last = (axis == ModelAxis::Last) == (layout == Layout::InOut);
    if model_last { shape[n - 2] } else { shape[n - 1] }
}

/// Reads a network; what is left in the file becomes its extra tensors.
pub(crate) fn read(mut file: TensorFile, declared: &Declared) -> Result<Network, Error> {
    let path = file.path().to_path_buf();
    let n_layers = file.layers("blocks.");
    let d_model = d_model(&file, declared)?;
    let orient = |file: &TensorFile, name: &str, axis| -> Result<(Layout, usize), Error> {
        let shape: [usize; 2] = file.axes(name, "two axes")?;
        let l = oriented(file, name, &shape, d_model, axis, declared.layout)?;
        Ok((l, other(&shape, axis, l)))
    };

    let (embed, d_vocab) = orient(&file, "embed.W_E", ModelAxis::Last)?;
    let positions = match file.shape("pos_embed.W_pos") {
        Some(_) => Positions::Learned,
        None => Positions::None,
    };
    let n_ctx = match (file.shape("pos_embed.W_pos"), declared.n_ctx) {
        (Some(&[n, _]), _) => n,
        (Some(shape), _) => {
            return Err(file.bad(format!(
                "tensor 'pos_embed.W_pos' has shape {shape:?}, this format has [n_ctx, d_model]"
            )));
        }
        (None, Some(n)) => n,
        (None, None) => {
            return Err(file.bad(
                "no tensor 'pos_embed.W_pos', so the longest input is not known; hint: --n-ctx N",
            ));
        }
    };
    let unembed = {
        let shape: [usize; 2] = file.axes("unembed.W_U", "two axes")?;
        let l = declared.unembed_layout.or(declared.layout);
        oriented(&file, "unembed.W_U", &shape, d_model, ModelAxis::First, l)?
    };
    let d_vocab_out = {
        let shape: [usize; 2] = file.axes("unembed.W_U", "two axes")?;
        other(&shape, ModelAxis::First, unembed)
    };
    let has = |suffixes: &[&str]| suffixes.iter().any(|s| file.shape(s).is_some());
    let mlp = ["W_in", "b_in", "W_out", "b_out"].map(|w| format!("blocks.0.mlp.{w}"));
    let d_mlp = match has(&mlp.each_ref().map(String::as_str)) {
        true => orient(&file, "blocks.0.mlp.W_in", ModelAxis::First)?.1,
        false => 0,
    };
    if d_mlp > 0 && declared.act_fn.is_none() {
        return Err(file.bad("no shape says what the neurons compute; hint: --act-fn relu"));
    }
    let heads = |name: &str| -> Result<(Layout, usize, usize), Error> {
        let shape: [usize; 3] = file.axes(name, "[head, d_model, d_head]")?;
        let l = oriented(&file, name, &shape, d_model, ModelAxis::First, declared.layout)?;
        Ok((l, shape[0], other(&shape, ModelAxis::First, l)))
    };
    let (n_heads, n_kv_heads, d_head) = match n_layers {
        0 => (1, 1, 1),
        _ => {
            let (_, n_heads, d_head) = heads("blocks.0.attn.W_Q")?;
            let (_, kv, _) = heads("blocks.0.attn.W_K")?;
            if kv == 0 || !n_heads.is_multiple_of(kv) {
                return Err(file.bad(format!(
                    "tensor 'blocks.0.attn.W_K' has shape {:?}: {kv} heads in \
                     'blocks.0.attn.W_Q's {n_heads}",
                    file.shape("blocks.0.attn.W_K").unwrap_or(&[])
                )));
            }
            (n_heads, kv, d_head)
        }
    };
    let norm = match (has(&["blocks.0.ln1.w"]), has(&["blocks.0.ln1.b"])) {
        (false, _) => Norm::None,
        (true, true) => Norm::LayerNorm,
        (true, false) => Norm::RmsNorm,
    };
    let config = TransformerConfig {
        n_layers,
        d_model,
        n_heads,
        n_kv_heads,
        d_head,
        d_mlp,
        d_vocab,
        d_vocab_out,
        n_ctx,
        act_fn: declared.act_fn.unwrap_or(Activation::Relu),
        norm,
        positions,
        causal: declared.causal.unwrap_or(true),
        attn_scale: declared.attn_scale.unwrap_or((d_head as f32).sqrt()),
        attention_share: declared.attention_share.unwrap_or(1.0),
        attn_bias: ["Q", "K", "V", "O"].iter().any(|l| has(&[&format!("blocks.0.attn.b_{l}")])),
        mlp_bias: has(&["blocks.0.mlp.b_in", "blocks.0.mlp.b_out"]),
        unembed_bias: has(&["unembed.b_U"]),
        ..TransformerConfig::plain(n_layers, d_model, n_heads, d_vocab, n_ctx)
    };
    let architecture = Architecture::Transformer(config);
    architecture.validate().map_err(|e| file.bad(e.to_string()))?;
    let mut weights = Weights::new();
    for (name, wanted) in Network::parameters(&architecture)? {
        let layout = match name.as_str() {
            "embed.W_E" => embed,
            "unembed.W_U" => unembed,
            _ => matrix_layout(&file, &name, d_model, declared.layout)?,
        };
        let stored =
            if layout == Layout::InOut { wanted.clone() } else { out_in_shape(&name, &wanted) };
        let t = file.take_shaped(&name, &stored)?;
        let t = if layout == Layout::InOut { t } else { from_out_in(&name, &t, &wanted) };
        weights.insert(name, t);
    }
    let mut network = Network::new(architecture, weights).map_err(|e| file.bad(e.to_string()))?;
    network.extra = file.rest();
    let mask =
        network.extra.iter().find(|(n, t)| n.ends_with("attn.mask") && t.shape != [n_ctx; 2]);
    if let Some((name, t)) = mask {
        return Err(Error::Format {
            path,
            why: format!(
                "tensor '{name}' has shape {:?} with {n_ctx} rows of 'pos_embed.W_pos'",
                t.shape
            ),
        });
    }
    match network.extra.keys().find(|n| is_weight(n)) {
        Some(n) => Err(Error::Format {
            path,
            why: format!("tensor '{n}' is a weight that this architecture has no place for"),
        }),
        None => Ok(network),
    }
}

/// Whether a tensor has the name of a weight rather than of a mask or a constant.
pub(super) fn is_weight(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).trim_start_matches('_');
    last.starts_with("W_") || last.starts_with("b_") || matches!(last, "w" | "b")
}

fn d_model(file: &TensorFile, declared: &Declared) -> Result<usize, Error> {
    if let Some(&[_, d]) = file.shape("pos_embed.W_pos") {
        return Ok(d);
    }
    for name in ["ln_final.w", "blocks.0.attn.b_O", "blocks.0.mlp.b_out"] {
        if let Some(&[d]) = file.shape(name) {
            return Ok(d);
        }
    }
    let shape: [usize; 2] = file.axes("embed.W_E", "two axes")?;
    match declared.layout {
        Some(Layout::InOut) => Ok(shape[1]),
        Some(Layout::OutIn) => Ok(shape[0]),
        None => Err(file.bad("no vector says which axis is d_model; hint: --layout in-out (as TransformerLens) or --layout out-in")),
    }
}

/// The layout of a matrix inside a block; vectors and tables of rows have one.
fn matrix_layout(
    file: &TensorFile,
    name: &str,
    d_model: usize,
    declared: Option<Layout>,
) -> Result<Layout, Error> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let axis = match last {
        "W_Q" | "W_K" | "W_V" | "W_in" => ModelAxis::First,
        "W_out" => ModelAxis::Last,
        "W_O" => {
            let shape = file.shape(name).unwrap_or(&[]);
            return match (shape.len(), declared) {
                (3, None | Some(Layout::InOut)) => Ok(Layout::InOut),
                (2, Some(Layout::OutIn)) => Ok(Layout::OutIn),
                (2, None) if shape[0] != shape[1] => Ok(Layout::OutIn),
                (2, None) => Err(file.bad(format!(
                    "tensor '{name}' has shape {shape:?}, which may be [in, out] or [out, in]; \
                     hint: --layout out-in"
                ))),
                (0, _) => Ok(Layout::InOut), // absent: named when it is taken
                _ => Err(file.bad(format!(
                    "tensor '{name}' has shape {shape:?}; it is [head, d_head, d_model] in layout \
                     in-out and [d_model, head * d_head] in layout out-in"
                ))),
            };
        }
        _ => return Ok(Layout::InOut),
    };
    match file.shape(name) {
        Some(shape) if shape.len() >= 2 => oriented(file, name, shape, d_model, axis, declared),
        _ => Ok(Layout::InOut),
    }
}

/// The shape that a parameter has in a file of layout out-in.
fn out_in_shape(name: &str, in_out: &[usize]) -> Vec<usize> {
    match (name.rsplit('.').next(), in_out) {
        (Some("W_Q" | "W_K" | "W_V"), &[h, d, k]) => vec![h, k, d],
        (Some("W_O"), &[h, k, d]) => vec![d, h * k],
        (Some("W_E" | "W_in" | "W_out" | "W_U"), &[a, b]) => vec![b, a],
        _ => in_out.to_vec(),
    }
}

/// For each element in our order, where it lies in layout out-in.
fn out_in_index(name: &str, in_out: &[usize], i: usize) -> usize {
    match (name.rsplit('.').next(), in_out) {
        (Some("W_Q" | "W_K" | "W_V"), &[_, d, k]) => {
            let (h, row, column) = (i / (d * k), i / k % d, i % k);
            (h * k + column) * d + row
        }
        (Some("W_O"), &[h, k, d]) => (i % d) * (h * k) + i / d,
        (Some("W_E" | "W_in" | "W_out" | "W_U"), &[a, b]) => (i % b) * a + i / b,
        _ => i,
    }
}

fn from_out_in(name: &str, t: &Tensor, wanted: &[usize]) -> Tensor {
    Tensor::from_fn(wanted, |i| t.data()[out_in_index(name, wanted, i)])
}

fn to_out_in(name: &str, t: &Tensor) -> Tensor {
    let mut out = Tensor::zeros(&out_in_shape(name, t.shape()));
    for (i, &x) in t.data().iter().enumerate() {
        out.data_mut()[out_in_index(name, t.shape(), i)] = x;
    }
    out
}

/// A network's tensors under TransformerLens' names in a layout, its extra tensors among them.
pub fn write(network: &Network, layout: Layout, unembed: Layout) -> BTreeMap<String, RawTensor> {
    let mut out = network.extra.clone();
    for (name, t) in network.weights() {
        let layout = if name == "unembed.W_U" { unembed } else { layout };
        let raw = match layout {
            Layout::InOut => RawTensor::from_tensor(t),
            Layout::OutIn => RawTensor::from_tensor(&to_out_in(name, t)),
        };
        out.insert(name.clone(), raw);
    }
    out
}
