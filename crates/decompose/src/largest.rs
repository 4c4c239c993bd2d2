//! What TopK and BatchTopK share: their parameters, and the loop of `train.rs` from them.

use crate::train::{Auxiliary, Keep, Latents, Loop};
use serde::{Deserialize, Serialize};

/// Parameters of a method that keeps the largest latents; `K` is a count or an average.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings<K> {
    /// Latents; 0 means four for each unit of the site.
    pub n_latents: usize,
    /// Latents that may be active at once, or are on average; 0 means the root of the number of
    /// units, rounded down.
    pub k: K,
    /// Steps of training.
    pub steps: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Learning rate of Adam; falls linearly to 0 over the last fifth.
    pub lr: f64,
    /// Times that dead latents start anew, evenly over the first half of the training.
    pub resamples: usize,
    /// Dead latents that reconstruct what is left of a sample; 0 switches this loss off.
    pub auxk: usize,
    /// Weight of that loss.
    pub auxk_coefficient: f64,
    /// Steps without firing after which a latent counts as dead.
    pub dead_after: usize,
}

impl<K: Default> Default for Settings<K> {
    fn default() -> Self {
        Self {
            n_latents: 0,
            k: K::default(),
            steps: 2000,
            batch: 256,
            lr: 3e-3,
            resamples: 5,
            auxk: 0,
            auxk_coefficient: 1.0 / 32.0,
            dead_after: 100,
        }
    }
}

impl<K> Settings<K> {
    /// Latents of a dictionary for a site of `d` units.
    pub fn latents(&self, d: usize) -> usize {
        if self.n_latents == 0 { 4 * d } else { self.n_latents }
    }

    /// The loop that trains `n_latents` of them.
    pub fn training(&self, method: &'static str, n_latents: usize, keep: Keep) -> Loop<'static> {
        let auxiliary = (self.auxk > 0).then_some(Auxiliary {
            k: self.auxk,
            coefficient: self.auxk_coefficient,
            dead_after: self.dead_after,
        });
        Loop {
            method,
            n_latents,
            steps: self.steps,
            batch: self.batch,
            lr: self.lr,
            beta1: 0.9,
            unit_rows: true,
            resamples: self.resamples,
            latents: Latents::Largest(keep, auxiliary),
        }
    }
}
