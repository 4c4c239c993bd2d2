//! A grid: numbers that a method read from a specimen, over one or two named axes, each beside its
//! null. Tables, pictures and files are made from grids and from nothing else.
//!
//! ```
//! use flyroom_describe::{Grid, GridAxis};
//! let grid = Grid {
//!     name: "heads".into(),
//!     quantity: "direct effect on the logit difference".into(),
//!     unit: "logits".into(),
//!     reading: "Blue heads write the answer, red heads its rival.".into(),
//!     axes: vec![GridAxis::numbered("layer", 2), GridAxis::numbered("head", 2)],
//!     values: vec![Some(0.1), Some(-0.2), Some(3.0), Some(0.0)],
//!     neutral: 0.0,
//!     null_is: "95 % quantile over random pairs of tokens".into(),
//!     null: vec![Some(0.3); 4],
//!     words: vec![],
//!     detail: false,
//!     distance: false,
//! };
//! assert_eq!(grid.at(1, 0), Some(3.0));
//! assert!(grid.check().is_ok());
//! ```

use serde::{Deserialize, Serialize};

/// An axis with a name for each of its places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridAxis {
    /// What it runs over: layer, position, head, component.
    pub name: String,
    /// One for each place.
    pub labels: Vec<String>,
}

impl GridAxis {
    /// Places 0..n.
    pub fn numbered(name: &str, n: usize) -> Self {
        Self { name: name.into(), labels: (0..n).map(|i| i.to_string()).collect() }
    }
}

/// Numbers over one or two axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Its name; unique in a description.
    pub name: String,
    /// What the numbers are.
    pub quantity: String,
    /// Their unit; empty for shares and probabilities.
    pub unit: String,
    /// How to read it, in one or two sentences.
    pub reading: String,
    /// One or two; of two the first is drawn downwards.
    pub axes: Vec<GridAxis>,
    /// Row-major; `None` where there is no finite number.
    pub values: Vec<Option<f64>>,
    /// The value that says nothing: what stands where nothing was changed.
    pub neutral: f64,
    /// What the null is.
    pub null_is: String,
    /// The null of each value; `None` where it was not drawn.
    pub null: Vec<Option<f64>>,
    /// A word for each value, or none at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Kept for who asks: another grid says it better at first sight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detail: bool,
    /// Small is the finding: a value far from the neutral one, and so beyond the null, is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distance: bool,
}

impl Grid {
    /// (rows, columns); a single axis is one column.
    pub fn shape(&self) -> (usize, usize) {
        let len = |i: usize| self.axes.get(i).map_or(1, |a| a.labels.len());
        (len(0), len(1))
    }

    /// The value of a row and a column.
    pub fn at(&self, row: usize, column: usize) -> Option<f64> {
        self.values.get(row * self.shape().1 + column).copied().flatten()
    }

    /// How far a value lies from the one that says nothing.
    pub fn effect(&self, row: usize, column: usize) -> f64 {
        self.at(row, column).map_or(0.0, |v| (v - self.neutral).abs())
    }

    /// Mean and 95 % quantile of the distance of the drawn nulls from the neutral value.
    pub fn null_effect(&self) -> Option<(f64, f64)> {
        let mut sizes: Vec<f64> =
            self.null.iter().flatten().map(|v| (v - self.neutral).abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let last = sizes.len().checked_sub(1)?;
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        // The smallest value that at least 95 % of them do not exceed.
        Some((mean, sizes[(sizes.len() * 95).div_ceil(100).saturating_sub(1).min(last)]))
    }

    /// Fails, with the reason, when axes and numbers contradict each other or no null was drawn.
    pub fn check(&self) -> Result<(), String> {
        let wanted = self.axes.iter().map(|a| a.labels.len()).try_fold(1usize, usize::checked_mul);
        if self.axes.is_empty() || self.axes.len() > 2 {
            return Err(format!(
                "grid '{}' has {} axes, not one or two",
                self.name,
                self.axes.len()
            ));
        }
        if wanted != Some(self.values.len()) || self.null.len() != self.values.len() {
            return Err(format!(
                "grid '{}' has {} values and {} nulls on axes of {wanted:?} places",
                self.name,
                self.values.len(),
                self.null.len()
            ));
        }
        if !self.words.is_empty() && self.words.len() != self.values.len() {
            return Err(format!("grid '{}' has {} words", self.name, self.words.len()));
        }
        if !self.values.is_empty() && self.null.iter().all(Option::is_none) {
            return Err(format!("grid '{}' stands without its null", self.name));
        }
        Ok(())
    }
}

/// A number that a file can hold.
pub(crate) fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            name: "g".into(),
            quantity: "q".into(),
            unit: String::new(),
            reading: String::new(),
            axes: vec![GridAxis::numbered("layer", 2), GridAxis::numbered("head", 10)],
            values: (0..20).map(|i| Some(f64::from(i))).collect(),
            neutral: 1.0,
            null_is: "zeros to nineteen".into(),
            null: (0..20).map(|i| Some(f64::from(i))).collect(),
            words: vec![],
            detail: false,
            distance: false,
        }
    }

    #[test]
    fn nulls_are_summed_up_by_their_distance_from_what_says_nothing() {
        // |i - 1| for i in 0..20 is 1, 0, 1, 2, ..., 18: mean 172 / 20; 19 of 20 are at most 17.
        assert_eq!(grid().null_effect(), Some((8.6, 17.0)));
        assert_eq!(grid().effect(1, 3), 12.0);
    }

    #[test]
    fn contradictions_and_grids_without_a_null_are_refused() {
        assert!(grid().check().is_ok());
        for (spoil, word) in [
            (&(|g: &mut Grid| g.values.push(None)) as &dyn Fn(&mut Grid), "21 values"),
            (&|g: &mut Grid| g.axes.clear(), "axes"),
            (&|g: &mut Grid| g.null = vec![None; 20], "without its null"),
            (&|g: &mut Grid| g.words = vec!["a".into()], "words"),
        ] {
            let mut g = grid();
            spoil(&mut g);
            let why = g.check().unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
