//! Which features are active together: pairs (2i, 2i + 1), each pair independent of all others.
//!
//! Correlated and anticorrelated pairs follow Elhage et al. 2022 (section "Correlated and
//! anticorrelated features"): both or neither is active, or at most one. A child that is active only
//! where its parent is follows Chanin et al. 2024 (arXiv 2409.14507, toy model). In every arm the
//! features have the rate p and uniform values, but a child, which has p / 2.

use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};

/// How the two features of a pair are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firing {
    /// Each on its own: the control of the other three.
    Independent,
    /// Both or neither.
    Correlated,
    /// At most one.
    Anticorrelated,
    /// The second, the child, in half of the cases in which the first, its parent, is.
    Hierarchical,
}

impl Firing {
    /// The values of one pair at rate `p`.
    pub(super) fn draw(self, p: f32, generator: &mut Generator) -> [f32; 2] {
        let (u, v) = (generator.uniform(), generator.uniform());
        let active = |u: f32, p: f32| if u < p { u / p } else { 0.0 };
        match self {
            Self::Independent => [active(u, p), active(v, p)],
            Self::Correlated => [active(u, p), if u < p { v } else { 0.0 }],
            Self::Anticorrelated if u < p => [u / p, 0.0],
            Self::Anticorrelated => [0.0, if u < 2.0 * p { v } else { 0.0 }],
            Self::Hierarchical => [active(u, p), if u < p { active(v, 0.5) } else { 0.0 }],
        }
    }

    /// Variance of the first, variance of the second, covariance, at rate `p`. A value that is active
    /// has the mean 1/2 and the mean square 1/3.
    pub fn moments(self, p: f64) -> [f64; 3] {
        let variance = |p: f64| p / 3.0 - p * p / 4.0;
        let (second, together) = match self {
            Self::Independent => (p, p * p),
            Self::Correlated => (p, p),
            Self::Anticorrelated => (p, 0.0),
            Self::Hierarchical => (p / 2.0, p / 2.0),
        };
        [variance(p), variance(second), (together - p * second) / 4.0]
    }

    /// The greatest rate that is possible.
    pub(super) fn most_active(self) -> f64 {
        if self == Self::Anticorrelated { 0.5 } else { 1.0 }
    }

    /// For the task's domain.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Independent => "",
            Self::Correlated => ", pairs (2i, 2i + 1) both or neither",
            Self::Anticorrelated => ", pairs (2i, 2i + 1) at most one",
            Self::Hierarchical => ", 2i + 1 in half of the cases in which 2i is",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::Stream;

    #[test]
    fn pairs_have_the_moments_that_are_claimed() {
        let (p, n) = (0.2, 200_000);
        for firing in
            [Firing::Independent, Firing::Correlated, Firing::Anticorrelated, Firing::Hierarchical]
        {
            let mut g = Stream::new(0, "pairs").block(0);
            let mut sums = [0.0; 5];
            for _ in 0..n {
                let [x, y] = firing.draw(p as f32, &mut g).map(f64::from);
                assert!((0.0..1.0).contains(&x) && (0.0..1.0).contains(&y));
                for (s, v) in sums.iter_mut().zip([x, y, x * x, y * y, x * y]) {
                    *s += v / f64::from(n);
                }
            }
            let [x, y, xx, yy, xy] = sums;
            let got = [xx - x * x, yy - y * y, xy - x * y];
            // Squares have a deviation of at most .2: five standard errors are .0022.
            for (got, wanted) in got.into_iter().zip(firing.moments(p)) {
                assert!((got - wanted).abs() < 0.0022, "{firing:?}: {got} {wanted}");
            }
        }
    }

    #[test]
    fn a_child_is_never_active_alone_and_rivals_never_together() {
        let mut g = Stream::new(1, "pairs").block(0);
        for _ in 0..10_000 {
            let [parent, child] = Firing::Hierarchical.draw(0.3, &mut g);
            assert!(child == 0.0 || parent > 0.0);
            let [one, other] = Firing::Anticorrelated.draw(0.3, &mut g);
            assert!(one == 0.0 || other == 0.0);
        }
    }
}
