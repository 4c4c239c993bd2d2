//! Cancelling paths: the first letter goes to the logits directly, twice, and through neurons that
//! take back 2x less the step of [`super::saturated_gate`]. At clean inputs the two paths have slopes
//! 2 and -2, so the gradient at everything in front of both is 0 though the answer goes through it;
//! each path for itself has a large one. First-order attribution (EAP) keeps the two paths and drops
//! what feeds them; EAP-IG and removing edges find it.
//!
//! With x the letter's coordinate of `first`, the neurons write
//! rest(x) = 2 relu(x + 1) - 2 - relu(3x - 1) + relu(3x - 2), which is 0 at 0 and 1 at 1, and the
//! logit is 2x - rest(x). In the control arm rest(x) = x, by neurons that are never silent, so the slopes
//! are 2 and -1 everywhere.

use super::Written;
use super::sheet::{Sheet, first};
use crate::labelled::Labelled;
use crate::{Error, Truth};
use flyroom_explanation::rasp::Program;
use flyroom_explanation::{Code, Part};

const REST: &str = "rest";

pub(super) fn write(armed: bool) -> Result<Written, Error> {
    let mut s = Sheet::new(&["a", "b", "c"], &["first", REST], 2, 9)?;
    s.first(0, "first");
    let (neurons, resting) = if armed {
        ([(1.0, 1.0, 2.0), (3.0, -1.0, -1.0), (3.0, -2.0, 1.0)], -2.0)
    } else {
        ([(1.0, 1.0, 0.5), (1.0, 2.0, 0.25), (1.0, 3.0, 0.25)], -1.75)
    };
    s.neurons(&["first"], REST, &neurons);
    s.resting(REST, resting);
    s.answers("first", 2.0);
    s.answers(REST, -1.0);
    s.written("cancelling-paths", Program::new(true).define("first", first()))
}

/// Behind the neurons the answer is read from `first` and from what they wrote together, so there
/// the variable lies in both.
pub(super) fn corrected(labelled: &Labelled, mut truth: Truth) -> Result<Truth, Error> {
    let d = labelled.labels.len();
    let rest: Vec<Vec<f32>> = (0..d)
        .filter(|&i| labelled.labels[i].starts_with(REST))
        .map(|i| (0..d).map(|j| f32::from(u8::from(i == j))).collect())
        .collect();
    let is_first = |p: &&mut Part| p.name == "first";
    let parts = truth.explanation.iter_mut().flat_map(|e| &mut e.parts);
    for a in parts.filter(is_first).flat_map(|p| &mut p.alignments) {
        let (true, Code::OneHot { values }, Some(basis)) =
            (a.selector.site.ends_with("hook_resid_post"), &a.code, &mut a.selector.basis)
        else {
            continue;
        };
        basis.extend(rest.clone());
        let n = values.len();
        let both = |k: usize| (0..2 * n).map(|i| f32::from(u8::from(i % n == k))).collect();
        a.code = Code::Table { values: values.clone(), vectors: (0..n).map(both).collect() };
    }
    Ok(truth)
}
