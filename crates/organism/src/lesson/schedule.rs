//! How a network is trained: AdamW (Loshchilov and Hutter 2019) whose learning rate rises, stays and
//! falls.

use flyroom_tensor::kernels::adamw::AdamW;
use serde::{Deserialize, Serialize};

/// Steps, batch and optimiser, as parameters of an organism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub steps: usize,
    /// Examples of a step.
    pub batch: usize,
    /// Learning rate of AdamW behind the warm-up.
    pub lr: f64,
    /// Steps over which the learning rate grows from 0, linearly.
    pub warmup: usize,
    /// Steps at the end over which the learning rate falls to 0, linearly.
    pub cooldown: usize,
    /// Decoupled, on all weights.
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    /// The null: answers change places among the examples.
    pub shuffle_labels: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            steps: 2000,
            batch: 64,
            lr: 3e-3,
            warmup: 50,
            cooldown: 500,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.98,
            shuffle_labels: false,
        }
    }
}

impl Schedule {
    /// Fails with the key and the way out.
    pub fn check(&self) -> Result<(), String> {
        for (key, n, least, most) in
            [("batch", self.batch, 1, 1 << 16), ("steps", self.steps, 0, 100_000_000)]
        {
            if !(least..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from {least} to {most}"));
            }
        }
        let rates = [("lr", self.lr, 10.0), ("weight_decay", self.weight_decay, 100.0)];
        for (key, x, most) in rates {
            if !(0.0..=most).contains(&x) {
                return Err(format!("{key} = {x} is no rate; hint: from 0 to {most}"));
            }
        }
        for (key, x) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&x) {
                return Err(format!("{key} = {x} is no share; hint: from 0 on, below 1"));
            }
        }
        Ok(())
    }

    /// Settings of the optimiser at step t, counted from 1.
    pub fn adamw(&self, t: usize) -> AdamW {
        let rise = t as f64 / self.warmup.max(1) as f64;
        let fall = (self.steps + 1).saturating_sub(t) as f64;
        let fall = fall / self.cooldown.saturating_add(1) as f64;
        AdamW {
            lr: self.lr * rise.min(fall).min(1.0),
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            ..AdamW::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_stays_and_falls() {
        let schedule =
            Schedule { steps: 100, warmup: 10, cooldown: 20, lr: 1.0, ..Schedule::default() };
        let lr = |t: usize| schedule.adamw(t).lr;
        assert_eq!((lr(1), lr(10), lr(80)), (0.1, 1.0, 1.0));
        assert!((lr(90) - 11.0 / 21.0).abs() < 1e-12 && (lr(100) - 1.0 / 21.0).abs() < 1e-12);
    }
}
