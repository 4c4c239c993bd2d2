//! `flyroom show MODEL --prompt TEXT`: what a language model says next.

use crate::args::{Args, Ask};
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_network::format::gguf::Gguf;
use flyroom_network::tokenizer::Tokenizer;
use flyroom_network::{Inputs, Network, Runner, pretrained};
use flyroom_organism::Specimen;
use flyroom_tensor::{Context, math};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Said {
    prompt: Vec<Token>,
    /// The likeliest next tokens.
    next: Vec<Next>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generated: Option<Generated>,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    text: String,
}

#[derive(Serialize)]
struct Next {
    id: u32,
    text: String,
    logit: f32,
    probability: f64,
}

/// The likeliest token again and again.
#[derive(Serialize)]
struct Generated {
    ids: Vec<u32>,
    text: String,
}

/// A specimen's folder, a Hugging Face folder or a GGUF file, with its tokenizer.
fn open(path: &Path, tokenizer: Option<&Path>) -> Result<(Network, Tokenizer)> {
    let other = tokenizer.map(Tokenizer::open).transpose()?;
    if path.join("specimen.json").exists() {
        let network = Specimen::read(path)?.network;
        let tokenizer = match other {
            Some(t) => t,
            None => Tokenizer::open(path).context(
                "hint: --tokenizer PATH names the folder or GGUF file that the specimen came from",
            )?,
        };
        return Ok((network, tokenizer));
    }
    if path.is_dir() {
        let network = pretrained::from_huggingface(path)?;
        return Ok((network, other.map_or_else(|| Tokenizer::open(path), Ok)?));
    }
    let file = Gguf::open(path)
        .context("hint: --prompt asks a specimen, a Hugging Face folder or a GGUF file")?;
    let network = pretrained::from_gguf(&file)?;
    Ok((network, other.map_or_else(|| Tokenizer::from_gguf(&file), Ok)?))
}

/// Logits behind the last token.
fn next_logits(network: &Network, ids: &[u32], cx: &Context) -> Result<Vec<f32>> {
    let inputs = Inputs::tokens(&[ids.to_vec()])?;
    let runner = Runner::new(network, &inputs, cx)?;
    let logits = runner.logits()?;
    let width = logits.shape().last().copied().unwrap_or(0);
    Ok(logits.data()[logits.data().len().saturating_sub(width)..].to_vec())
}

/// Token ids, the likeliest first; of equals the smaller id.
fn ranked(logits: &[f32]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let logit = |id: u32| logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    ids.sort_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
    ids
}

pub fn run(args: &Args, path: &Path, prompt: &str, ask: &Ask, as_json: bool) -> Result<bool> {
    let (network, tokenizer) = open(path, ask.tokenizer.as_deref())?;
    if network.architecture().transformer().is_none() {
        bail!("{}: not a network that reads tokens", path.display());
    }
    let cx = args.context()?;
    let ids = tokenizer.prompt(prompt)?;
    let text = |id: u32| tokenizer.display(id).unwrap_or_else(|| format!("#{id}"));
    let logits = next_logits(&network, &ids, &cx)?;
    let order = ranked(&logits);
    let at = |id: u32| logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    let greatest = order.first().map_or(0.0, |&id| at(id));
    let total: f64 = logits.iter().map(|&x| math::exp64(f64::from(x - greatest))).sum();
    let next = order.iter().take(ask.top).map(|&id| Next {
        id,
        text: text(id),
        logit: at(id),
        probability: math::exp64(f64::from(at(id) - greatest)) / total,
    });
    let next: Vec<Next> = next.collect();
    let generated = match ask.generate {
        None => None,
        Some(count) => {
            let (mut all, mut logits) = (ids.clone(), logits);
            for step in 0..count {
                if step > 0 {
                    logits = next_logits(&network, &all, &cx)?;
                }
                let Some(&best) = ranked(&logits).first() else { break };
                if tokenizer.eos() == Some(best) {
                    break;
                }
                all.push(best);
            }
            let ids = all.split_off(ids.len());
            Some(Generated { text: tokenizer.decode(&ids)?, ids })
        }
    };
    let prompt: Vec<Token> = ids.iter().map(|&id| Token { id, text: text(id) }).collect();
    let said = Said { prompt, next, generated };
    if as_json {
        output::json(&said)?;
        return Ok(true);
    }
    let pieces: Vec<String> = said.prompt.iter().map(|t| format!("{:?}", t.text)).collect();
    output::data(&format!("{} tokens: {}\n", said.prompt.len(), pieces.join(" ")));
    let width =
        said.next.iter().map(|n| format!("{:?}", n.text).chars().count()).max().unwrap_or(0);
    let mut lines = vec![format!("{:<width$}  {:>7}  probability", "next", "logit")];
    for n in &said.next {
        let text = format!("{:?}", n.text);
        lines.push(format!("{text:<width$}  {:>7.2}  {:.4}", n.logit, n.probability));
    }
    output::data(&lines.join("\n"));
    if let Some(g) = &said.generated {
        output::data(&format!("\n{}", g.text));
    }
    Ok(true)
}
