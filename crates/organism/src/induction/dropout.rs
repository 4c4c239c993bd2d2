//! Head dropout: in some sequences of a batch one head of the last layer is silent, drawn anew each time, so
//! that no head of it can be the only one (Srivastava et al. 2014 for units).

use super::Parameters;
use crate::Error;
use crate::train::{Batch, Trained};
use flyroom_network::{Form, Network, Weights, record};
use flyroom_tensor::{Graph, Stream, Value};

/// Leaf that holds 1 where a head speaks.
const KEPT: &str = "heads_kept";

/// The network with heads that may be silent while it is trained.
pub(super) struct Dropped<'a>(pub &'a Parameters);

impl Trained for Dropped<'_> {
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Value, Error> {
        let architecture = self.0.architecture();
        if self.0.head_dropout == 0.0 {
            return architecture.record(g, batch, pos);
        }
        let mut plain = Graph::new();
        record(&mut plain, &architecture, batch, pos, Form::Plain)?;
        let last = format!("blocks.{}.attn.hook_z", self.0.n_layers - 1);
        *g = plain.edited(&mut |g, name, x| {
            if name != last {
                return Ok(None);
            }
            let shape = g.shape(x).to_vec(); // [batch, pos, head, d_head]
            let kept = g.input(KEPT, &shape);
            Ok(Some(g.mul(x, kept)?))
        })?;
        Ok(g.at("hook_logits")?)
    }

    fn network(&self, trained: Weights) -> Result<Network, Error> {
        self.0.architecture().network(trained)
    }
}

/// Adds to the batch of step `t` which heads speak.
pub(super) fn silence(p: &Parameters, seed: u64, t: usize, batch: &mut Batch) {
    if p.head_dropout == 0.0 {
        return;
    }
    let mut random = Stream::new(seed, "head-dropout").block(t as u64);
    let width = p.d_model / p.n_heads;
    let mut kept = Vec::with_capacity(p.batch * p.seq * p.d_model);
    for _ in 0..p.batch {
        let silent = random.below(p.n_heads as u64) as usize;
        let silent = random.bernoulli(p.head_dropout).then_some(silent);
        let heads: Vec<f32> = (0..p.d_model)
            .map(|unit| if silent == Some(unit / width) { 0.0 } else { 1.0 })
            .collect();
        (0..p.seq).for_each(|_| kept.extend_from_slice(&heads));
    }
    batch.real.push((KEPT.into(), kept));
}
