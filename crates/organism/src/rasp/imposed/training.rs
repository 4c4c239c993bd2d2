//! The graph that is trained, in which outputs of components come from other inputs, and its batches.

use super::plan::{Component, Known, Plan, Taken};
use crate::Error;
use crate::train::{Batch, Trained};
use flyroom_network::{Architecture, Form, Network, Weights, record};
use flyroom_tensor::{Graph, Stream, Value as Node};
use std::collections::BTreeMap;

/// Inputs from which a run may take outputs.
const SOURCES: usize = 2;

/// The network on inputs and, behind them in the same batch, on their sources: every component's output
/// may be replaced with what it is on one of these.
impl Trained for Plan {
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Node, Error> {
        let mut plain = Graph::new();
        let architecture = Architecture::Transformer(self.config.clone());
        record(&mut plain, &architecture, (1 + SOURCES) * batch, pos, Form::Plain)?;
        let sites = self.sites();
        *g = plain.edited(&mut |g, name, x| {
            if !sites.iter().any(|(s, _)| s == name) {
                return Ok(None);
            }
            let own = g.slice(x, 0, 0, batch)?;
            let shape = g.shape(own).to_vec();
            let (mut now, mut all) = (own, vec![]);
            for k in 0..SOURCES {
                let source = g.slice(x, 0, (1 + k) * batch, batch)?;
                let mask = g.input(&leaf(name, k), &shape);
                now = g.select(mask, source, now)?;
                all.push(source);
            }
            all.insert(0, now);
            Ok(Some(g.concat(&all, 0)?))
        })?;
        let logits = g.at("hook_logits")?;
        Ok(g.slice(logits, 0, 0, batch)?)
    }

    fn network(&self, trained: Weights) -> Result<Network, Error> {
        Ok(Network::new(Architecture::Transformer(self.config.clone()), trained)?)
    }
}

/// Leaf of the mask of a site, 1 where it is what it is on source `k`.
pub(super) fn leaf(site: &str, k: usize) -> String {
    format!("exchange.{site}.{k}")
}

impl Plan {
    /// Sites of the components with the numbers that each position holds: heads x width.
    fn sites(&self) -> Vec<(String, [usize; 2])> {
        let c = &self.config;
        (0..c.n_layers)
            .flat_map(|l| {
                [
                    (format!("blocks.{l}.attn.hook_z"), [c.n_heads, c.d_head]),
                    (format!("blocks.{l}.hook_mlp_out"), [1, c.d_model]),
                ]
            })
            .collect()
    }

    /// Batch of step `t`: a third of the rows as they are, a third with a variable exchanged, a
    /// third with components that have none.
    pub(super) fn batch(&self, known: &[Known], seed: u64, t: usize) -> Result<Batch, Error> {
        let mut random = Stream::new(seed, "data").block(t as u64);
        let n = known.len() as u64;
        let mut draw = random.below(n * (n + 1) / 2);
        let mut length = 0;
        while draw > length as u64 {
            draw -= length as u64 + 1;
            length += 1;
        }
        let known = &known[length];
        let (pos, b) = (known.task.pos(), self.recipe.schedule.batch);
        let owners = self.owners();
        let sites = self.sites();
        let mut masks: BTreeMap<(&str, usize), Vec<f32>> = BTreeMap::new();
        for (site, [heads, width]) in &sites {
            for k in 0..SOURCES {
                masks.insert((site, k), vec![0.0; b * pos * heads * width]);
            }
        }
        let d = self.labelled.readout.dims();
        let mut tokens = vec![vec![]; 1 + SOURCES];
        let (mut reads, mut values) = (vec![], vec![]);
        for row in 0..b {
            let inputs: [usize; 1 + SOURCES] =
                std::array::from_fn(|_| random.below(known.task.clean as u64) as usize);
            for (tokens, &i) in tokens.iter_mut().zip(&inputs) {
                tokens.extend_from_slice(known.task.inputs.token_row(i));
            }
            let mut exchange = |component: &Component, p: usize, k: usize| {
                let Some((site, head)) = component.inner() else { return };
                let Some((s, [heads, width])) = sites.iter().find(|(s, _)| *s == site) else {
                    return;
                };
                if let Some(mask) = masks.get_mut(&(s.as_str(), k)) {
                    let from = ((row * pos + p) * heads + head) * width;
                    mask[from..from + width].fill(1.0);
                }
            };
            let kind = row % 3;
            let mut taken = vec![];
            if kind == 1 && !owners.is_empty() {
                let one = owners[random.below(owners.len() as u64) as usize];
                let alone = random.bernoulli(0.5);
                for &c in owners.iter().filter(|&&c| c == one || !alone) {
                    let whole = random.bernoulli(0.5);
                    let source = random.below(SOURCES as u64) as usize;
                    for index in 0..pos - 1 {
                        // Of no source, or of any.
                        let drawn = random.below(1 + SOURCES as u64) as usize;
                        let k = if whole { source } else { drawn };
                        if k < SOURCES {
                            exchange(&self.components[c], index + 1, k);
                            let from = &known.traces[inputs[1 + k]];
                            taken.push(Taken { component: c, index, from });
                        }
                    }
                }
            }
            if kind == 2 || kind == 1 && random.bernoulli(0.5) {
                for c in self.components.iter().filter(|c| c.variable.is_none()) {
                    if random.bernoulli(0.5) {
                        let k = random.below(SOURCES as u64) as usize;
                        (0..pos).for_each(|p| exchange(c, p, k));
                    }
                }
            }
            let base = self.labelled.values(&known.task.inputs.token_row(inputs[0])[1..]);
            let wanted = match taken.is_empty() {
                true => self.wanted(&known.traces[inputs[0]]),
                false => self.wanted(&self.counterfactual(&base, &taken)?),
            };
            reads.extend(wanted.taught);
            values.extend(wanted.values);
        }
        // Each kind of row weighs what it weighs, however many answers it has.
        let kind = |at: usize| at / pos % 3;
        let mut counted = [0usize; 3];
        (0..reads.len()).filter(|&i| reads[i]).for_each(|i| counted[kind(i)] += 1);
        let weights = [1.0, self.recipe.interchange, self.recipe.strict];
        let share = |i: usize| match reads[i] {
            true => weights[kind(i)] / counted[kind(i)].max(1) as f32,
            false => 0.0,
        };
        let mut out =
            Batch { pos: Some(pos), index: vec![("tokens", tokens.concat())], real: vec![] };
        out.real.push(("targets".into(), values));
        let each = |i: usize| std::iter::repeat_n(share(i), d);
        out.real.push(("counts".into(), (0..reads.len()).flat_map(each).collect()));
        out.real.extend(masks.into_iter().map(|((site, k), mask)| (leaf(site, k), mask)));
        Ok(out)
    }
}
