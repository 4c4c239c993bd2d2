//! Direct logit attribution (Elhage et al. 2021, "A Mathematical Framework for Transformer
//! Circuits"): what each component writes straight into the logit difference.
//!
//! The stream at the end is the sum of all that was written to it. With the final norm's scale
//! frozen at what it is in this run, norm and unembedding are linear, so the logit difference is a
//! sum over components: embeddings, every head's write, every MLP, and the biases. It is exact for
//! the direct path and says nothing of what a component does through later ones.
//!
//! The null is the same sum for random pairs of tokens: what a component writes into a difference
//! that nobody asked about.

use crate::grid::{Grid, GridAxis, finite};
use crate::method::{settings, signed};
use crate::metric::mean;
use crate::prompts::Prompts;
use crate::readout::{Readout, dot};
use crate::{Describe, Description, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::Body;
use flyroom_network::{Network, Runner};
use flyroom_organism::{Parameters, Subject, defaults_of};
use flyroom_tensor::Stream;
use serde::{Deserialize, Serialize};

const NAME: &str = "direct-logit-attribution";

/// Components may miss the logit difference by this share of the sum of their sizes.
pub const TOLERANCE: f64 = 1e-4;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Prompts.
    prompts: usize,
    /// Random pairs of tokens.
    nulls: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prompts: 16, nulls: 100 }
    }
}

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct DirectLogitAttribution;

/// What every component wrote at the position that is read, for one prompt.
struct Written {
    /// `[component][d_model]`, in order of [`Components::names`]; biases of the norm and of the
    /// unembedding are no vectors of the stream and come behind them.
    vectors: Vec<Vec<f32>>,
    /// Of the final norm; 1 without one.
    scale: f64,
    /// The logit difference of the run itself.
    difference: f64,
}

/// Writers to the residual stream, in order of writing.
struct Components {
    names: Vec<String>,
    heads: Vec<usize>,
    n_layers: usize,
    n_heads: usize,
}

impl Describe for DirectLogitAttribution {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: NAME,
            step: "describe",
            version: 1,
            summary: "splits the logit difference into what each head and MLP writes into it",
            source: "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn describe(
        &self,
        subject: &Subject,
        _parts: Option<&Dictionary>,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Description, Error> {
        let settings: Settings = settings(NAME, self.defaults(), parameters)?;
        let prompts = Prompts::new(subject, settings.prompts.max(1), NAME)?;
        let network = subject.network();
        let readout = Readout::new(network, NAME)?;
        let inputs = prompts.inputs();
        let clean = inputs.pick(0..prompts.pairs.len());
        let runner = Runner::new(network, &clean, &subject.context)?;
        let components = Components::of(network, &runner);
        components.capture(&runner, &readout)?;
        let mut written = vec![];
        for k in 0..prompts.pairs.len() {
            written.push(components.written(&runner, &readout, &prompts, k)?);
        }
        let mut shares = vec![];
        for (w, pair) in written.iter().zip(&prompts.pairs) {
            let of = components.shares(w, &readout, pair.answer, pair.wrong)?;
            let (sum, size) = (of.iter().sum::<f64>(), of.iter().map(|x| x.abs()).sum::<f64>());
            let missed = (sum - w.difference).abs();
            if missed.is_nan() || missed > TOLERANCE * size.max(1.0) {
                return Err(Error::NotApplicable {
                    method: NAME,
                    why: format!(
                        "its components write {sum:.4} of a logit difference of {:.4}",
                        w.difference
                    ),
                });
            }
            shares.push(of);
        }
        let mean_of = |shares: &[Vec<f64>]| -> Vec<f64> {
            (0..components.names.len())
                .map(|c| mean(&shares.iter().map(|s| s[c]).collect::<Vec<_>>()))
                .collect()
        };
        let columns = subject.task.columns.min(subject.task.d_out) as u64;
        let mut sizes: Vec<Vec<f64>> = vec![vec![]; components.names.len()];
        for draw in 0..settings.nulls.max(1) {
            let mut random = Stream::new(seed, "direct-logit-attribution/null").block(draw as u64);
            let mut shares = vec![];
            for w in &written {
                let plus = random.below(columns);
                // Another token, if there is one.
                let minus = (plus + 1 + random.below((columns - 1).max(1))) % columns;
                shares.push(components.shares(w, &readout, plus as usize, minus as usize)?);
            }
            sizes.iter_mut().zip(mean_of(&shares)).for_each(|(s, x)| s.push(x.abs()));
        }
        let null: Vec<Option<f64>> = sizes.into_iter().map(high).collect();
        let grids = components.grids(&prompts, &mean_of(&shares), &null, settings.nulls.max(1));
        let explanation = signed(NAME, subject, vec![], Body::Snapshot);
        Ok(Description { grids, ..Description::new(explanation) })
    }
}

/// The smallest value that at least 95 % do not exceed.
fn high(mut sizes: Vec<f64>) -> Option<f64> {
    sizes.sort_by(f64::total_cmp);
    sizes.get((sizes.len() * 95).div_ceil(100).saturating_sub(1)).copied().and_then(finite)
}

impl Components {
    fn of(network: &Network, runner: &Runner) -> Self {
        let (n_layers, n_heads) =
            network.architecture().transformer().map_or((0, 0), |c| (c.n_layers, c.n_heads));
        let has = |weight: &str| network.weights().contains_key(weight);
        let mut names = vec!["embed".to_owned()];
        if runner.site("hook_pos_embed").is_ok() {
            names.push("pos_embed".into());
        }
        let mut heads = vec![];
        for l in 0..n_layers {
            heads.push(names.len());
            names.extend((0..n_heads).map(|h| format!("a{l}.h{h}")));
            if has(&format!("blocks.{l}.attn.b_O")) {
                names.push(format!("a{l}.b_O"));
            }
            if runner.site(&format!("blocks.{l}.hook_mlp_out")).is_ok() {
                names.push(format!("m{l}"));
            }
        }
        names.extend(has("ln_final.b").then(|| "ln_final.b".into()));
        names.extend(has("unembed.b_U").then(|| "b_U".into()));
        Self { names, heads, n_layers, n_heads }
    }

    /// One pass for all sites that are read.
    fn capture(&self, runner: &Runner, readout: &Readout) -> Result<(), Error> {
        let mut sites = vec!["hook_embed".to_owned(), readout.site().to_owned()];
        sites.extend(readout.scale_site().map(str::to_owned));
        sites.push("hook_pos_embed".into());
        for l in 0..self.n_layers {
            sites.push(format!("blocks.{l}.attn.hook_z"));
            sites.push(format!("blocks.{l}.hook_mlp_out"));
        }
        sites.retain(|s| runner.site(s).is_ok());
        Ok(runner.capture(&sites.iter().map(String::as_str).collect::<Vec<_>>())?)
    }

    fn written(
        &self,
        runner: &Runner,
        readout: &Readout,
        prompts: &Prompts,
        k: usize,
    ) -> Result<Written, Error> {
        let pair = &prompts.pairs[k];
        let network = runner.network();
        let at = |site: &str, width: usize| -> Result<Vec<f32>, Error> {
            let all = runner.clean(site)?;
            let row = all.row(k);
            Ok(row.get(pair.read * width..(pair.read + 1) * width).unwrap_or(&[]).to_vec())
        };
        let d = readout.d_model();
        let mut vectors = vec![at("hook_embed", d)?];
        if self.names.get(1).is_some_and(|n| n == "pos_embed") {
            vectors.push(at("hook_pos_embed", d)?);
        }
        for l in 0..self.n_layers {
            let w_o = network.weight(&format!("blocks.{l}.attn.W_O"))?; // [head, d_head, d_model]
            let d_head = w_o.shape()[1];
            let z = at(&format!("blocks.{l}.attn.hook_z"), self.n_heads * d_head)?;
            for (z, w) in z.chunks_exact(d_head).zip(w_o.data().chunks_exact(d_head * d)) {
                let mut out = vec![0f64; d];
                for (&z, row) in z.iter().zip(w.chunks_exact(d)) {
                    out.iter_mut().zip(row).for_each(|(o, &w)| *o += f64::from(z) * f64::from(w));
                }
                vectors.push(out.into_iter().map(|x| x as f32).collect());
            }
            if let Some(b) = network.weights().get(&format!("blocks.{l}.attn.b_O")) {
                vectors.push(b.data().to_vec());
            }
            let mlp = format!("blocks.{l}.hook_mlp_out");
            if runner.site(&mlp).is_ok() {
                vectors.push(at(&mlp, d)?);
            }
        }
        let scale = match readout.scale_site() {
            Some(site) => at(site, 1)?.first().map_or(f64::NAN, |&s| f64::from(s)),
            None => 1.0,
        };
        let direction = readout.difference(pair.answer, pair.wrong)?;
        let difference = direction.of(&at(readout.site(), d)?);
        Ok(Written { vectors, scale, difference })
    }

    /// What each component writes into logit(plus) - logit(minus).
    fn shares(
        &self,
        written: &Written,
        readout: &Readout,
        plus: usize,
        minus: usize,
    ) -> Result<Vec<f64>, Error> {
        let direction = readout.difference(plus, minus)?;
        let weights = readout.frozen(&direction, written.scale);
        let mut out: Vec<f64> = written.vectors.iter().map(|v| dot(&weights, v)).collect();
        let has = |name: &str| self.names.iter().any(|n| n == name);
        out.extend(has("ln_final.b").then_some(direction.norm_bias));
        out.extend(has("b_U").then_some(direction.unembed_bias));
        Ok(out)
    }

    fn grids(
        &self,
        prompts: &Prompts,
        shares: &[f64],
        null: &[Option<f64>],
        draws: usize,
    ) -> Vec<Grid> {
        let quantity = "direct effect on the logit difference";
        let null_is = format!("95 % quantile of its size over {draws} random pairs of tokens");
        let told = format!("The final norm's scale is frozen. {}", prompts.averaged("prompt"));
        let grid = |name: &str, reading: &str, axes: Vec<GridAxis>, places: &[usize]| Grid {
            name: name.into(),
            quantity: quantity.into(),
            unit: "logits".into(),
            reading: format!("{reading} {told}"),
            axes,
            values: places.iter().map(|&i| finite(shares[i])).collect(),
            neutral: 0.0,
            null_is: null_is.clone(),
            null: places.iter().map(|&i| null[i]).collect(),
            words: vec![],
            detail: false,
            distance: false,
        };
        let all: Vec<usize> = (0..self.names.len()).collect();
        let component = GridAxis { name: "component".into(), labels: self.names.clone() };
        let mut out = vec![grid(
            "components",
            "Everything that writes to the residual stream, in order; the values add up to the \
             logit difference. Positive favours the answer; within its null a component says \
             nothing about it.",
            vec![component],
            &all,
        )];
        if self.n_heads * self.n_layers > 0 {
            let heads: Vec<usize> =
                self.heads.iter().flat_map(|&first| first..first + self.n_heads).collect();
            out.push(grid(
                "heads",
                "Blue heads write the answer themselves, red ones its rival; heads that act \
                 through later layers are pale here.",
                vec![
                    GridAxis::numbered("layer", self.n_layers),
                    GridAxis::numbered("head", self.n_heads),
                ],
                &heads,
            ));
        }
        out
    }
}
