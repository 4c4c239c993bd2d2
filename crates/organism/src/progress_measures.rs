//! Progress measures: numbers that follow a network through its training by what was located in the
//! finished one (Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability").
//!
//! Which parts a network ends with is known at the end, so these numbers cannot stand in its learning
//! curve: the finished specimen is located, then bred once more and looked at on the way
//! ([`Watch`](crate::train::Watch)); the same seed makes the same network. Each number that rests on
//! what was located stands beside the same number for parts drawn at random, which is what any part of
//! that make shows.

use crate::{Error, Parameters};
use flyroom_network::Network;
use flyroom_tensor::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often parts are drawn for the null.
pub const DRAWS: usize = 5;

/// What is measured of a network on its way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// By name.
    pub values: BTreeMap<String, f64>,
    /// Of the numbers that rest on what was located, the same for each draw of other parts.
    pub null: BTreeMap<String, Vec<f64>>,
}

/// A number whose move can be dated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Dated {
    /// Its name.
    pub name: &'static str,
    /// Whether it moves upwards.
    pub rises: bool,
}

impl Dated {
    /// The first step at which a curve of (step, value) is `by` away from the farthest that it was before
    /// in the other direction.
    pub fn moved(&self, curve: &[(usize, f64)], by: f64) -> Option<usize> {
        let sign = if self.rises { 1.0 } else { -1.0 };
        let mut least = f64::INFINITY;
        for &(step, value) in curve {
            least = least.min(sign * value);
            if sign * value >= least + by {
                return Some(step);
            }
        }
        None
    }
}

/// What follows one training.
pub trait ProgressMeasures: Sync {
    /// What was located in the finished network, by name.
    fn located(&self) -> Parameters;

    /// Parts of the same make in its place, for each draw.
    fn drawn(&self) -> Vec<Parameters>;

    /// Numbers that are said to move early.
    fn early(&self) -> Vec<Dated>;

    /// The number that is said to follow, in the same unit.
    fn late(&self) -> Dated;

    /// How far they have to come to have moved.
    fn by(&self) -> f64;

    /// Names and unit of the numbers that are drawn in one picture.
    fn pictured(&self) -> (&'static [&'static str], &'static str);

    /// The numbers of a network of this training.
    fn at(&self, network: &Network, cx: &Context) -> Result<Progress, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_moved_where_it_is_that_far_from_its_farthest_before() {
        let curve = [(0, 4.0), (10, 2.0), (20, 2.5), (30, 3.0), (40, 9.0)];
        let rises = Dated { name: "excluded_loss", rises: true };
        assert_eq!(rises.moved(&curve, 1.0), Some(30));
        assert_eq!(rises.moved(&curve, 8.0), None);
        let falls = Dated { rises: false, ..rises };
        assert_eq!(falls.moved(&curve, 1.0), Some(10));
        assert_eq!(falls.moved(&[], 1.0), None);
    }
}
