//! The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens"): what the network would
//! answer if it stopped after each layer.
//!
//! The residual stream before each block, and behind the last, goes through the final norm, whose
//! mean and scale are computed anew for that layer, and through the unembedding. In the code this
//! is the network itself, run from `unembed.hook_in` on with an earlier layer's stream in its
//! place, so the last row of every grid is the network's own output, bit for bit.
//!
//! The null asks each prompt for what belongs to another one: the answer of the unrelated prompt,
//! and the distance to its final distribution.

use crate::grid::{Grid, GridAxis, finite};
use crate::method::{settings, signed};
use crate::prompts::Prompts;
use crate::{Describe, Description, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::Body;
use flyroom_network::{Intervention, Operation, Row, Runner, Selector};
use flyroom_organism::{Parameters, Subject, defaults_of};
use flyroom_tensor::math;
use serde::{Deserialize, Serialize};

const NAME: &str = "logit-lens";
const STREAM: &str = "unembed.hook_in";

/// Layers whose logits are held at once.
const AT_ONCE: usize = 8;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Prompts.
    prompts: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prompts: 8 }
    }
}

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct LogitLens;

/// What the lens sees at one layer and position, for the answer and for the null's.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    logit: f64,
    probability: f64,
    rank: f64,
    kl: f64,
}

impl Describe for LogitLens {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: NAME,
            step: "describe",
            version: 1,
            summary: "reads an answer from every layer's residual stream",
            source: "nostalgebraist 2020, interpreting GPT: the logit lens",
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
        _seed: u64,
    ) -> Result<Description, Error> {
        let settings: Settings = settings(NAME, self.defaults(), parameters)?;
        let prompts = Prompts::new(subject, settings.prompts.max(1), NAME)?;
        let inputs = prompts.inputs();
        let runner = Runner::new(subject.network(), &inputs, &subject.context)?;
        let layers = Layers::of(&runner)?;
        let n = prompts.pairs.len();
        let cells = layers.sites.len() * inputs.pos();
        let mut own = vec![Seen::default(); cells];
        let mut null = own.clone();
        let mut top: Vec<Top> = vec![];
        for k in 0..n {
            // The network's own distributions of this prompt and of the unrelated one.
            let last = layers.sites.len() - 1;
            let end = layers.read(&runner, k, last, 1)?.concat();
            let end = Distributions::new(&end, &layers);
            let other = layers.read(&runner, 2 * n + k, last, 1)?.concat();
            let other = Distributions::new(&other, &layers);
            for first in (0..layers.sites.len()).step_by(AT_ONCE) {
                for (i, logits) in layers.read(&runner, k, first, AT_ONCE)?.iter().enumerate() {
                    let lens = Distributions::new(logits, &layers);
                    for p in 0..inputs.pos() {
                        let cell = (first + i) * inputs.pos() + p;
                        let pair = &prompts.pairs[k];
                        let answer = prompts.answer_at(pair, p);
                        add(&mut own[cell], lens.seen(p, answer, &end), n);
                        add(&mut null[cell], lens.seen(p, pair.other, &other), n);
                        if k == 0 {
                            top.push(Top::new(&lens, &other, p));
                        }
                    }
                }
            }
        }
        let grids = grids(&prompts, &layers, &own, &null, &top);
        let explanation = signed(NAME, subject, vec![], Body::Snapshot);
        Ok(Description { grids, ..Description::new(explanation) })
    }
}

fn add(sum: &mut Seen, one: Seen, n: usize) {
    let n = n as f64;
    sum.logit += one.logit / n;
    sum.probability += one.probability / n;
    sum.rank += one.rank / n;
    sum.kl += one.kl / n;
}

/// The residual streams that the lens looks at, from the first to the last.
struct Layers {
    sites: Vec<String>,
    labels: Vec<String>,
    columns: usize,
}

impl Layers {
    fn of(runner: &Runner) -> Result<Self, Error> {
        let c = runner.network().architecture().transformer();
        let (n, columns) = c.map_or((0, 0), |c| (c.n_layers, c.d_vocab_out));
        let mut sites: Vec<String> = (0..n).map(|l| format!("blocks.{l}.hook_resid_pre")).collect();
        sites.push(STREAM.into());
        let mut labels: Vec<String> = (0..n).map(|l| l.to_string()).collect();
        labels.push("final".into());
        runner.capture(&sites.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self { sites, labels, columns })
    }

    /// Logits `[pos, d_vocab_out]` of up to `count` layers from `first` on.
    fn read(
        &self,
        runner: &Runner,
        input: usize,
        first: usize,
        count: usize,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let rows = self.sites[first..]
            .iter()
            .take(count)
            .map(|site| {
                let values = runner.clean(site)?.row(input).to_vec();
                let set = Operation::Set { values };
                let whole = Intervention::site(Selector::site(STREAM), set);
                Ok(Row { input, interventions: vec![whole] })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(runner.run(&rows)?)
    }
}

/// Logits of all positions with the logarithm of each normaliser.
struct Distributions<'l> {
    logits: &'l [f32],
    columns: usize,
    ln_sum: Vec<f64>,
}

impl<'l> Distributions<'l> {
    fn new(logits: &'l [f32], layers: &Layers) -> Self {
        let columns = layers.columns.max(1);
        let ln_sum = logits
            .chunks_exact(columns)
            .map(|row| {
                let most = row.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
                let sum: f64 = row.iter().map(|&x| math::exp64(f64::from(x) - most)).sum();
                most + math::ln64(sum)
            })
            .collect();
        Self { logits, columns, ln_sum }
    }

    fn row(&self, pos: usize) -> &[f32] {
        &self.logits[pos * self.columns..(pos + 1) * self.columns]
    }

    fn ln_probability(&self, pos: usize, token: usize) -> f64 {
        f64::from(self.row(pos)[token]) - self.ln_sum[pos]
    }

    fn top(&self, pos: usize) -> usize {
        let row = self.row(pos);
        (0..row.len()).fold(0, |best, t| if row[t] > row[best] { t } else { best })
    }

    /// KL(end || self) in nats.
    fn kl_from(&self, end: &Self, pos: usize) -> f64 {
        let (here, there) = (self.row(pos), end.row(pos));
        let offset = self.ln_sum[pos] - end.ln_sum[pos];
        let terms = here.iter().zip(there).map(|(&x, &y)| {
            let (x, y) = (f64::from(x), f64::from(y));
            math::exp64(y - end.ln_sum[pos]) * (y - x + offset)
        });
        terms.sum()
    }

    fn seen(&self, pos: usize, token: usize, end: &Self) -> Seen {
        let logit = self.row(pos)[token];
        Seen {
            logit: f64::from(logit),
            probability: math::exp64(self.ln_probability(pos, token)),
            rank: rank(self.row(pos), logit),
            kl: self.kl_from(end, pos),
        }
    }
}

/// 1 for the largest; equal logits share the mean of their ranks.
fn rank(row: &[f32], logit: f32) -> f64 {
    let above = row.iter().filter(|&&x| x > logit).count();
    let equal = row.iter().filter(|&&x| x == logit).count();
    above as f64 + (equal as f64 + 1.0) / 2.0
}

/// The top token of the first prompt.
struct Top {
    token: usize,
    probability: f64,
    /// What the lens gives to the unrelated prompt's last word there.
    null: f64,
}

impl Top {
    fn new(lens: &Distributions, other: &Distributions, pos: usize) -> Self {
        let token = lens.top(pos);
        Self {
            token,
            probability: math::exp64(lens.ln_probability(pos, token)),
            null: math::exp64(lens.ln_probability(pos, other.top(pos))),
        }
    }
}

fn grids(
    prompts: &Prompts,
    layers: &Layers,
    own: &[Seen],
    null: &[Seen],
    top: &[Top],
) -> Vec<Grid> {
    let axes = vec![
        GridAxis { name: "layer".into(), labels: layers.labels.clone() },
        GridAxis { name: "position".into(), labels: prompts.positions() },
    ];
    let grid =
        |name: &str, unit: &str, neutral: f64, reading: &str, of: &dyn Fn(&Seen) -> f64| Grid {
            name: name.into(),
            quantity: name.into(),
            unit: unit.into(),
            reading: format!("{reading} {}", prompts.averaged("prompt")),
            axes: axes.clone(),
            values: own.iter().map(|s| finite(of(s))).collect(),
            neutral,
            null_is: "the same for the answer and the final distribution of an unrelated prompt"
                .into(),
            null: null.iter().map(|s| finite(of(s))).collect(),
            words: vec![],
            detail: matches!(unit, "rank" | "logits"),
            distance: unit == "nats",
        };
    let rows = "Rows are the residual stream before each layer, the last one the network itself:";
    let mut all = vec![
        grid(
            "probability of the answer",
            "",
            0.0,
            &format!("{rows} where a column gains colour the answer can be read off."),
            &|s| s.probability,
        ),
        grid("rank of the answer", "rank", 1.0, &format!("{rows} 1 is the top token."), &|s| {
            s.rank
        }),
        grid("logit of the answer", "logits", 0.0, &format!("{rows} higher is surer."), &|s| {
            s.logit
        }),
        grid(
            "distance to the final distribution",
            "nats",
            0.0,
            &format!(
                "KL(final || lens). {rows} where a column loses its colour later layers change little."
            ),
            &|s| s.kl,
        ),
    ];
    all.push(Grid {
        name: "top token".into(),
        quantity: "probability of the top token".into(),
        unit: String::new(),
        reading: format!(
            "The token that the lens puts first, on the first prompt: {}. The stronger the colour, the surer.",
            prompts.example()
        ),
        axes,
        values: top.iter().map(|t| finite(t.probability)).collect(),
        neutral: 0.0,
        null_is: "what the lens gives to the top token of an unrelated prompt".into(),
        null: top.iter().map(|t| finite(t.null)).collect(),
        words: top.iter().map(|t| prompts.text(t.token)).collect(),
        detail: false,
        distance: false,
    });
    all
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn equal_logits_share_the_mean_of_their_ranks() {
        assert_eq!(rank(&[3.0, 1.0, 2.0], 3.0), 1.0);
        assert_eq!(rank(&[3.0, 1.0, 2.0], 1.0), 3.0);
        // Five that are equal: nobody knows anything, (1 + 5) / 2.
        assert_eq!(rank(&[0.0; 5], 0.0), 3.0);
    }
}
