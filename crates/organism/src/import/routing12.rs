//! A public 2-layer transformer that routes (pre-norm, ReLU, d_model 32): four letters 0-7, then a
//! selector 8-11, and the answer is the letter in the slot that the selector names.
//!
//! Its file says neither how many heads there are nor whether attention is causal. Both are found
//! out: unmasked attention errs, and so do eight heads; of 1, 2 and 4 heads, which all answer
//! everything, 4 has the least loss, and the dictionary that came with the network reconstructs the
//! residual stream behind attention best with 4 (docs/organisms/routing12.md). `--set heads=2`
//! reads it otherwise.

use super::file::TensorFile;
use super::{Imported, Options, contested, not_bred};
use crate::organism::as_parameters;
use crate::task::{accuracy_and_loss, other_inputs};
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, Organism, Parameters, Source, Standing, Task,
    defaults_of, typed,
};
use flyroom_explanation::Value;
use flyroom_network::{
    Activation, Architecture, Inputs, Network, Norm, RawTensor, TransformerConfig, Weights,
};
use flyroom_tensor::{Context, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Networks that copy the letter of a slot.
#[derive(Debug)]
pub struct Routing12;

const NAME: &str = "routing12";
const LETTERS: usize = 8;
const SLOTS: usize = 4;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Heads as which the file was read.
    heads: usize,
    /// blake3 of the weights: which network this is.
    weights: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { heads: 4, weights: String::new() }
    }
}

impl Organism for Routing12 {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "A public 2-layer transformer that answers the slot that is asked for, imported.",
            source: Source::ReverseEngineered,
            standing: Standing::Contested,
            cost: "imported",
        }
    }

    fn route(&self) -> crate::Route {
        crate::Route::Imported
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn breed(&self, _: &Parameters, _: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        Err(not_bred(NAME, NAME))
    }

    fn task(&self, _: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let pos = SLOTS + 1;
        if let Some(n) = length.filter(|&n| n != pos) {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!(
                    "inputs are four letters and a selector, so they have 5 tokens, not {n}"
                ),
            });
        }
        let n = LETTERS.pow(SLOTS as u32) * SLOTS;
        let rows: Vec<Vec<u32>> = (0..n)
            .map(|i| {
                let (selector, mut rest) = (i % SLOTS, i / SLOTS);
                let mut row = vec![0; pos];
                for slot in (0..SLOTS).rev() {
                    row[slot] = (rest % LETTERS) as u32;
                    rest /= LETTERS;
                }
                row[SLOTS] = (LETTERS + selector) as u32;
                row
            })
            .collect();
        let last = |i: usize| i % pos == SLOTS;
        let answer = |row: &[u32]| row[row[SLOTS] as usize - LETTERS];
        Ok(Task {
            domain: format!("all {n} prompts of four letters and a selector"),
            exhaustive: true,
            clean: n,
            partner: other_inputs(n, 0),
            reads: (0..n * pos).map(last).collect(),
            answers: Answers::Classes(
                (0..n * pos).map(|i| if last(i) { answer(&rows[i / pos]) } else { 0 }).collect(),
            ),
            inputs: Inputs::tokens(&rows)?,
            d_out: LETTERS + SLOTS,
            columns: LETTERS + SLOTS,
            distance: Distance::CentredLogits,
            vocabulary: (0..LETTERS as i64)
                .map(Value::Int)
                .chain((0..SLOTS).map(|s| Value::token(format!("slot {s}"))))
                .collect(),
            modulus: None,
        })
    }

    /// `accuracy` and `loss` (nats, over all 12 logits).
    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        accuracy_and_loss(&self.task(parameters, None)?, network, cx)
    }

    /// Found out, as the heads were: at no other site has it the variance that is declared.
    fn dictionary(&self) -> Option<(&'static str, &'static str)> {
        Some(("blocks.0.hook_resid_post", "relu"))
    }
}

/// Reads the file with `heads` heads, masked or not.
pub(super) fn read(path: &Path, heads: usize, causal: bool) -> Result<Network, Error> {
    let mut file = TensorFile::open(path)?;
    let [vocab, d] = file.axes("embed.weight", "[vocab, d_model]")?;
    let [n_ctx, _] = file.axes("pos", "[n_ctx, d_model]")?;
    let [d_mlp, _] = file.axes("blocks.0.mlp.fc_in.weight", "[d_mlp, d_model]")?;
    if (vocab, n_ctx) != (LETTERS + SLOTS, SLOTS + 1) {
        return Err(file.bad(format!(
            "{vocab} rows in 'embed.weight' and {n_ctx} in 'pos'; this kind reads 12 tokens at 5 places"
        )));
    }
    if heads == 0 || !d.is_multiple_of(heads) {
        return Err(file.bad(format!("{heads} heads do not divide d_model = {d}")));
    }
    let config = TransformerConfig {
        d_mlp,
        norm: Norm::LayerNorm,
        act_fn: Activation::Relu,
        causal,
        ..TransformerConfig::plain(file.layers("blocks."), d, heads, vocab, n_ctx)
    };
    let architecture = Architecture::Transformer(config);
    architecture.validate().map_err(|e| file.bad(e.to_string()))?;
    let mut weights = Weights::new();
    for (name, wanted) in Network::parameters(&architecture)? {
        let t = match (theirs(&name), transposed(&name), wanted.as_slice()) {
            // Linear maps lie as [out, in]; heads are blocks of rows of q, k, v and of columns of o.
            (theirs, true, &[h, d, k]) if !name.ends_with("W_O") => {
                let t = file.take_shaped(&theirs, &[h * k, d])?;
                Tensor::from_fn(&wanted, |i| {
                    let (head, row, column) = (i / (d * k), i / k % d, i % k);
                    t.data()[(head * k + column) * d + row]
                })
            }
            (theirs, true, &[h, k, d]) => {
                file.take_shaped(&theirs, &[d, h * k])?.transposed()?.reshaped(&wanted)?
            }
            (theirs, true, &[a, b]) => file.take_shaped(&theirs, &[b, a])?.transposed()?,
            (theirs, ..) => file.take_shaped(&theirs, &wanted)?,
        };
        weights.insert(name, t);
    }
    let mut network = Network::new(architecture, weights).map_err(|e| file.bad(e.to_string()))?;
    network.extra = file.rest();
    Ok(network)
}

/// Whether a parameter is a linear map.
fn transposed(name: &str) -> bool {
    name.contains(".W_") && !name.starts_with("embed.") && !name.starts_with("pos_embed.")
}

/// The name of a parameter in the file.
fn theirs(name: &str) -> String {
    match name {
        "embed.W_E" => return "embed.weight".into(),
        "pos_embed.W_pos" => return "pos".into(),
        "unembed.W_U" => return "unembed.weight".into(),
        _ => {}
    }
    let (stem, last) = name.rsplit_once('.').unwrap_or(("", name));
    match last {
        "W_in" => format!("{stem}.fc_in.weight"),
        "b_in" => format!("{stem}.fc_in.bias"),
        "W_out" => format!("{stem}.fc_out.weight"),
        "b_out" => format!("{stem}.fc_out.bias"),
        "w" => format!("{}.weight", stem.replace("ln_final", "ln_f")),
        "b" => format!("{}.bias", stem.replace("ln_final", "ln_f")),
        _ => format!("{name}.weight"),
    }
}

pub(super) fn import(path: &Path, options: &Options) -> Result<Imported, Error> {
    let heads = match options.set.get("heads") {
        None => Settings::default().heads,
        Some(_) => {
            let mut set = defaults_of::<Settings>();
            set.extend(options.set.clone());
            typed::<Settings>(NAME, &set)?.heads
        }
    };
    let network = read(path, heads, true)?;
    let settings = Settings { heads, weights: network.hash() };
    Ok(Imported {
        organism: &Routing12,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}

/// A network's tensors as this kind of file has them.
pub(super) fn write(network: &Network) -> Result<BTreeMap<String, RawTensor>, Error> {
    let mut out = network.extra.clone();
    for (name, t) in network.weights() {
        let t = match (transposed(name), t.shape()) {
            (true, &[h, d, k]) if !name.ends_with("W_O") => Tensor::from_fn(&[h * k, d], |i| {
                let (row, column) = (i / d, i % d);
                t.data()[(row / k * d + column) * k + row % k]
            }),
            (true, &[h, k, d]) => t.clone().reshaped(&[h * k, d])?.transposed()?,
            (true, &[_, _]) => t.transposed()?,
            _ => t.clone(),
        };
        out.insert(theirs(name), RawTensor::from_tensor(&t));
    }
    Ok(out)
}
