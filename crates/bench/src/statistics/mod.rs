//! The statistics that a board needs, and no more.
//!
//! Three to twenty seeds of one organism are the usual sample here, so the choices are those for
//! small samples: a t interval below 8 seeds, BCa from there; methods are
//! compared by paired differences on the same specimens, never by two separate intervals.
//!
//! Everything is plain f64 in a fixed order over [`flyroom_tensor::math`]: a distribution from a
//! foreign crate calls the machine's `ln` and `exp`, which differ in the last bit between C
//! libraries, and the last bit can move a rank. The distributions are few (normal, Student t for
//! whole degrees of freedom), so they are written out here and checked against scipy to 1e-12.
//! Resampling draws from a [`flyroom_tensor::Stream`] named after the procedure.
//!
//! ```
//! use flyroom_bench::statistics::{mean, mean_interval};
//! // Student t with 2 degrees of freedom: 4.302653 * sd / sqrt(3), sd = 0.1.
//! let [low, high] = mean_interval(&[0.8, 0.9, 1.0], 0.95).unwrap();
//! assert!((mean(&[0.8, 0.9, 1.0]).unwrap() - 0.9).abs() < 1e-12);
//! assert!((high - 0.9 - 0.248_413_771).abs() < 1e-8 && (0.9 - low - 0.248_413_771).abs() < 1e-8);
//! ```

mod auroc;
mod bootstrap;
mod interval;
mod jaccard;
mod multiple;
mod normal;
mod permutation;
mod quantile;
mod rank;
mod student;
mod tally;

pub use auroc::auroc;
pub use bootstrap::{RESAMPLES, bca_from, bca_interval, bootstrap_means};
pub use interval::{
    Difference, mean, mean_interval, paired_difference, standard_deviation, t_interval, wilson,
};
pub use jaccard::{bootstrap_jaccard, jaccard};
pub use multiple::{benjamini_hochberg, holm};
pub use normal::{normal_cdf, normal_quantile};
pub use permutation::{permutation_independent, permutation_paired};
pub use quantile::{median, quantile};
pub use rank::{kendall_tau_b, ranks, spearman};
pub use student::{t_cdf, t_quantile};
pub use tally::{Class, Tally};

/// Ascending order by `total_cmp`: the same for the same values, whatever they are.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The argument at which an increasing function reaches `target`, by bisection to the last bit.
///
/// 200 halvings and no derivative: slower than a rational approximation, and free of its constants.
fn invert(increasing: impl Fn(f64) -> f64, target: f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..200 {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            break;
        }
        if increasing(middle) < target { low = middle } else { high = middle }
    }
    low + 0.5 * (high - low)
}
