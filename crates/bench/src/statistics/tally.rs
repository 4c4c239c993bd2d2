//! How often each class comes: universality over seeds. Does every seed learn the same thing, or which
//! how often? Shares have Wilson intervals; the number of classes in effect is exp(H), with H the
//! entropy of the shares (Hill 1973, order 1): 1 if all are alike, k if k classes come equally often.

use super::wilson;
use flyroom_tensor::math::{exp64, ln64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// What it is called.
    pub word: String,
    /// How many are of it.
    pub count: u64,
    /// Of all.
    pub share: f64,
    /// 95 % interval of the share.
    pub interval: [f64; 2],
}

/// Classes, the most frequent first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// How many were counted.
    pub n: u64,
    /// All classes that came.
    pub classes: Vec<Class>,
    /// exp of the entropy of the shares.
    pub effective: f64,
}

impl Tally {
    /// Of words; `None` of none.
    ///
    /// ```
    /// use flyroom_bench::statistics::Tally;
    /// let t = Tally::of(["key", "key", "query", "key"].map(String::from)).unwrap();
    /// assert_eq!((t.classes[0].word.as_str(), t.classes[0].count), ("key", 3));
    /// // exp(-(3/4 ln 3/4 + 1/4 ln 1/4))
    /// assert!((t.effective - 1.754_765_4).abs() < 1e-6);
    /// ```
    pub fn of(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        words.into_iter().for_each(|w| *counts.entry(w).or_insert(0) += 1);
        let n: u64 = counts.values().sum();
        let share = |count: u64| count as f64 / n as f64;
        let entropy: f64 = counts.values().map(|&c| -share(c) * ln64(share(c))).sum();
        let mut classes = counts
            .into_iter()
            .map(|(word, count)| {
                let interval = wilson(count, n, 0.95)?;
                Some(Class { word, count, share: share(count), interval })
            })
            .collect::<Option<Vec<_>>>()?;
        classes.sort_by_key(|c| std::cmp::Reverse(c.count));
        (n > 0).then(|| Self { n, classes, effective: exp64(entropy) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_is_one_and_equal_classes_are_as_many_as_there_are() {
        let tally = |words: &[&str]| Tally::of(words.iter().map(|w| w.to_string()));
        assert_eq!(tally(&[]), None);
        assert_eq!(tally(&["a"; 30]).unwrap().effective, 1.0);
        let four = tally(&["a", "b", "c", "d", "a", "b", "c", "d"]).unwrap();
        assert!((four.effective - 4.0).abs() < 1e-12);
        // Wilson for 2 of 8, by hand: centre .3311, half width .2596.
        let [low, high] = four.classes[0].interval;
        assert!((low - 0.071_479_2).abs() < 1e-6 && (high - 0.590_724_6).abs() < 1e-6);
    }
}
