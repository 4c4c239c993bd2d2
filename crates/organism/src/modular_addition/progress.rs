//! Progress measures of networks that add: restricted and excluded loss at every step, with the key
//! frequencies of the end (Nanda et al. 2023, section 5.1).
//!
//! The paper says that the circles grow while a network still answers by heart: without the key
//! frequencies its loss on the pairs trained on rises before the loss on the others falls. There the train
//! loss is near 0 by then. Where it still falls the excluded loss falls with it, so what it is above
//! the train loss is dated too: what the circles take off that loss. The null draws as many of the other
//! frequencies.

use super::located::Spectrum;
use super::{answers, progress};
use crate::progress_measures::{DRAWS, Dated, Progress, ProgressMeasures};
use crate::{Error, Parameters, Task};
use flyroom_network::Network;
use flyroom_tensor::{Context, Stream};
use serde_json::json;
use std::collections::BTreeMap;

/// Nats by which a loss has to move to have moved.
const MOVED: f64 = 0.5;

/// The key frequencies of a finished network.
pub(super) struct KeyFrequencies {
    p: usize,
    task: Task,
    labels: Vec<u32>,
    trained: Vec<bool>,
    keys: Vec<usize>,
    /// As many of the others, drawn; none where there are too few, or no key.
    drawn: Vec<Vec<usize>>,
}

impl KeyFrequencies {
    /// Of a network on its task of pairs modulo `p`, with what each pair was answered with in training
    /// and whether it was trained on.
    pub(super) fn of(
        p: usize,
        task: Task,
        labels: Vec<u32>,
        trained: Vec<bool>,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Self, Error> {
        let logits = answers(&task, finished, cx)?;
        let keys = Spectrum::of(p, &logits, finished.weight("embed.W_E")?).keys();
        let others: Vec<usize> = (1..=(p - 1) / 2).filter(|k| !keys.contains(k)).collect();
        let stream = Stream::new(seed, "progress/frequencies");
        let draw = |t: usize| -> Vec<usize> {
            let order = stream.block(t as u64).permutation(others.len());
            let mut drawn: Vec<usize> = order.iter().take(keys.len()).map(|&i| others[i]).collect();
            drawn.sort_unstable();
            drawn
        };
        let enough = !keys.is_empty() && keys.len() <= others.len();
        let drawn = if enough { (0..DRAWS).map(draw).collect() } else { vec![] };
        Ok(Self { p, task, labels, trained, keys, drawn })
    }
}

fn named(frequencies: &[usize]) -> Parameters {
    Parameters::from_iter([("key_frequencies".into(), json!(frequencies))])
}

impl ProgressMeasures for KeyFrequencies {
    fn located(&self) -> Parameters {
        named(&self.keys)
    }

    fn drawn(&self) -> Vec<Parameters> {
        self.drawn.iter().map(|d| named(d)).collect()
    }

    fn early(&self) -> Vec<Dated> {
        vec![
            Dated { name: "excluded_excess", rises: true },
            Dated { name: "excluded_loss", rises: true },
            Dated { name: "restricted_loss", rises: false },
        ]
    }

    fn late(&self) -> Dated {
        Dated { name: "test_loss", rises: false }
    }

    fn by(&self) -> f64 {
        MOVED
    }

    fn pictured(&self) -> (&'static [&'static str], &'static str) {
        (&["train_loss", "test_loss", "restricted_loss", "excluded_loss"], "cross-entropy, nats")
    }

    /// `train_` and `test_` accuracy and loss; `restricted_loss`, `excluded_loss` and `excluded_excess`, the
    /// excluded loss less the train loss; `squared_weights`, the sum of the squares of all weights.
    fn at(&self, network: &Network, cx: &Context) -> Result<Progress, Error> {
        let logits = answers(&self.task, network, cx)?;
        let spectrum = Spectrum::of(self.p, &logits, network.weight("embed.W_E")?);
        let mut values = progress(&self.trained, &self.labels, &logits);
        let train = values.get("train_loss").copied();
        let losses = |keys: &[usize]| {
            let [restricted, excluded] = spectrum.progress(keys, &self.labels, &self.trained);
            let excess = excluded.zip(train).map(|(x, train)| x - train);
            let named = [
                ("restricted_loss", restricted),
                ("excluded_loss", excluded),
                ("excluded_excess", excess),
            ];
            named.into_iter().filter_map(|(name, x)| Some((name.to_owned(), x?)))
        };
        values.extend(losses(&self.keys));
        let mut null: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for drawn in &self.drawn {
            losses(drawn).for_each(|(name, x)| null.entry(name).or_default().push(x));
        }
        let square = |x: &f32| f64::from(*x) * f64::from(*x);
        let weights = network.weights().values();
        let total: f64 = weights.map(|t| t.data().iter().map(square).sum::<f64>()).sum();
        values.insert("squared_weights".into(), total);
        Ok(Progress { values, null })
    }
}
