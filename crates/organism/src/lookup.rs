//! A lookup table as a network: one neuron for each entry, right behaviour and no algorithm.
//!
//! Tokens: head i brings the token of position i, as a one-hot, to a block of its own at every
//! position; the neuron of an entry (input, position) adds up the coordinates of the tokens of that
//! input and of that position and fires, with 1, where all of them are there; it writes the answer.
//! Vectors of zeros and ones: the neuron of an input x has the weights x and the bias 1 - |x|^2, so it
//! fires on x alone. What is not in the table gets logits of 0.

use crate::{Answers, Error, Task};
use flyroom_network::{Activation, Architecture, MlpConfig, Network, TransformerConfig, Weights};
use flyroom_tensor::Tensor;
use std::collections::BTreeSet;

/// Entries at most.
const ENTRIES: usize = 1 << 12;

/// Scores by which the wanted key lies above others: they get e^-30 of the attention.
const SHARPNESS: f32 = 30.0;

/// The clean inputs of a task that differ, each by its first index.
pub(crate) fn distinct(task: &Task) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let content = |i: usize| {
        let bits = task.inputs.vector_row(i).iter().map(|x| x.to_bits());
        bits.chain(task.inputs.token_row(i).iter().copied()).collect::<Vec<u32>>()
    };
    (0..task.clean).filter(|&i| seen.insert(content(i))).collect()
}

/// The table of some clean inputs of a task.
pub(crate) fn network(task: &Task, kept: &[usize]) -> Result<Network, Error> {
    let Answers::Classes(classes) = &task.answers else {
        return Err(Error::Truth(
            "a table holds classes; the answers of this task are vectors".into(),
        ));
    };
    let mut entries: Vec<(usize, usize, usize)> = vec![];
    for &input in kept {
        for pos in task.read_positions(input) {
            entries.push((input, pos, classes[input * task.pos() + pos] as usize));
        }
    }
    entries.retain(|e| e.2 < task.d_out);
    if entries.is_empty() || entries.len() > ENTRIES {
        return Err(Error::Truth(format!(
            "a table of {} entries, and 1 to {ENTRIES} are possible; hint: a smaller share",
            entries.len()
        )));
    }
    match task.inputs.vector_row_len() {
        Some(width) => of_vectors(task, width, &entries),
        None => of_tokens(task, &entries),
    }
}

/// All weights of an architecture, 0.
fn zeros(architecture: &Architecture) -> Result<Weights, Error> {
    let all = Network::parameters(architecture)?.into_iter();
    Ok(all.map(|(name, shape)| (name, Tensor::zeros(&shape))).collect())
}

/// Sets an entry by its index in each axis.
fn set(weights: &mut Weights, name: &str, at: &[usize], x: f32) {
    if let Some(t) = weights.get_mut(name) {
        let place = at.iter().zip(t.shape()).fold(0, |sum, (i, n)| sum * n + i);
        t.data_mut()[place] = x;
    }
}

fn of_vectors(
    task: &Task,
    width: usize,
    entries: &[(usize, usize, usize)],
) -> Result<Network, Error> {
    let architecture = Architecture::Mlp(MlpConfig {
        d_in: width,
        d_hidden: vec![entries.len()],
        d_out: task.d_out,
        act_fn: Activation::Relu,
        bias: true,
        residual: false,
    });
    let mut weights = zeros(&architecture)?;
    for (neuron, &(input, _, class)) in entries.iter().enumerate() {
        let x = task.inputs.vector_row(input);
        if x.iter().any(|&x| x != 0.0 && x != 1.0) {
            return Err(Error::Truth("a table holds vectors of zeros and ones only".into()));
        }
        for i in (0..width).filter(|&i| x[i] == 1.0) {
            set(&mut weights, "blocks.0.mlp.W_in", &[i, neuron], 1.0);
        }
        set(&mut weights, "blocks.0.mlp.b_in", &[neuron], 1.0 - x.iter().sum::<f32>());
        set(&mut weights, "unembed.W_U", &[neuron, class], 1.0);
    }
    Ok(Network::new(architecture, weights)?)
}

fn of_tokens(task: &Task, entries: &[(usize, usize, usize)]) -> Result<Network, Error> {
    let pos = task.pos();
    let largest = (0..task.inputs.len()).flat_map(|i| task.inputs.token_row(i)).max();
    let vocab = task.vocabulary.len().max(largest.map_or(0, |&t| t as usize + 1));
    // Blocks of the residual stream: the token here, positions, tokens of all positions, the answer.
    let (positions, gathered) = (vocab, vocab + pos);
    let answer = gathered + pos * vocab;
    let mut c = TransformerConfig::plain(1, answer + task.d_out, pos, vocab, pos);
    c.d_head = vocab;
    c.d_mlp = entries.len();
    c.d_vocab_out = task.d_out;
    c.causal = false;
    c.attn_scale = 1.0;
    let architecture = Architecture::Transformer(c);
    let mut w = zeros(&architecture)?;
    (0..vocab).for_each(|t| set(&mut w, "embed.W_E", &[t, t], 1.0));
    for p in 0..pos {
        set(&mut w, "pos_embed.W_pos", &[p, positions + p], 1.0);
        for head in 0..pos {
            set(&mut w, "blocks.0.attn.W_Q", &[head, positions + p, 0], SHARPNESS);
        }
        set(&mut w, "blocks.0.attn.W_K", &[p, positions + p, 0], 1.0);
        for t in 0..vocab {
            set(&mut w, "blocks.0.attn.W_V", &[p, t, t], 1.0);
            set(&mut w, "blocks.0.attn.W_O", &[p, t, gathered + p * vocab + t], 1.0);
        }
    }
    for (neuron, &(input, at, class)) in entries.iter().enumerate() {
        for (p, &t) in task.inputs.token_row(input).iter().enumerate() {
            set(&mut w, "blocks.0.mlp.W_in", &[gathered + p * vocab + t as usize, neuron], 1.0);
        }
        set(&mut w, "blocks.0.mlp.W_in", &[positions + at, neuron], 1.0);
        set(&mut w, "blocks.0.mlp.b_in", &[neuron], -(pos as f32));
        set(&mut w, "blocks.0.mlp.W_out", &[neuron, answer + class], 1.0);
    }
    (0..task.d_out).for_each(|k| set(&mut w, "unembed.W_U", &[answer + k, k], 1.0));
    Ok(Network::new(architecture, w)?)
}
