//! Is a latent on when its feature is: every latent as a classifier of the feature that it is nearest to.
//!
//! *Measures*, for each latent, precision, recall and F1 of "the latent is above 0" against "the feature
//! is active", the feature being the one whose direction has the greatest |cosine| with the latent's; then
//! their means over latents. *Intuition*: a direction may be right and the latent still fire at the wrong
//! inputs, which no cosine sees. *Source*: the F1 of SynthSAEBench (Chanin et al. 2026,
//! arXiv 2602.14687), as its code in SAELens has it: latents that never fire score 0, several
//! latents may be judged by one feature, and a feature that no latent is near costs nothing. It is
//! not the F1 of [`crate::parts`], which counts directions that were found.
//!
//! *Nulls*: random dictionaries of the same size and encoder, each latent with its own nearest feature;
//! and the same latents, each judged by a feature drawn at random, which is what rates of firing
//! alone reach.

use crate::Error;
use crate::absorption::known;
use crate::reconstruction::{mean_of, random_like};
use flyroom_decompose::Dictionary;
use flyroom_organism::{Subject, Truth};
use flyroom_tensor::{Stream, Tensor, linalg};
use serde::{Deserialize, Serialize};

/// Random dictionaries, and random features, behind the nulls.
const DRAWS: usize = 20;

/// Means over latents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Of the share of a latent's inputs on which the feature is active.
    pub precision: f64,
    /// Of the share of the feature's inputs on which the latent is on.
    pub recall: f64,
    /// Of the harmonic means of both.
    pub f1: f64,
}

/// The latents of a dictionary as classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassifierScore {
    /// Latents, each with the feature nearest to it.
    pub found: Classified,
    /// Random dictionaries of the same size and encoder: mean over draws.
    pub random: Classified,
    /// The same latents with features drawn at random: mean over draws.
    pub dealt: Classified,
    /// Features that are nearest to some latent: a feature that is nobody's costs nothing above.
    pub judged_by: usize,
}

/// Counts of one latent and one feature.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    both: usize,
    latent: usize,
    feature: usize,
}

/// Means over latents of what each is against its feature; `on` is `[sample, latent]`, `active`
/// `[feature, sample]`.
fn classified(z: &Tensor, active: &[Vec<bool>], judge: &[usize]) -> Classified {
    let n = judge.len();
    let mut counts = vec![Counts::default(); n];
    for (i, z) in z.data().chunks_exact(n).enumerate() {
        for ((z, c), &f) in z.iter().zip(&mut counts).zip(judge) {
            let (on, is) = (*z > 0.0, active[f][i]);
            c.both += usize::from(on && is);
            c.latent += usize::from(on);
            c.feature += usize::from(is);
        }
    }
    let share = |a: usize, b: usize| if b > 0 { a as f64 / b as f64 } else { 0.0 };
    let mean = |f: &dyn Fn(&Counts) -> f64| counts.iter().map(f).sum::<f64>() / n as f64;
    Classified {
        precision: mean(&|c| share(c.both, c.latent)),
        recall: mean(&|c| share(c.both, c.feature)),
        // 2 / (1 / precision + 1 / recall)
        f1: mean(&|c| if c.both > 0 { share(2 * c.both, c.latent + c.feature) } else { 0.0 }),
    }
}

/// For each latent the feature with the greatest |cosine|, the first of equal ones.
fn nearest(dictionary: &Dictionary, features: &[Vec<f64>]) -> Vec<usize> {
    let cosine = |row: &[f64], f: &[f64]| {
        let norms = (linalg::dot(row, row) * linalg::dot(f, f)).sqrt();
        if norms > 0.0 { (linalg::dot(row, f) / norms).abs() } else { 0.0 }
    };
    let of = |row: &[f32]| {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let cosines: Vec<f64> = features.iter().map(|f| cosine(&row, f)).collect();
        (0..cosines.len()).fold(0, |best, f| if cosines[f] > cosines[best] { f } else { best })
    };
    dictionary.directions().into_iter().map(of).collect()
}

fn mean(draws: &[Classified]) -> Classified {
    let of = |f: &dyn Fn(&Classified) -> f64| {
        draws.iter().map(f).sum::<f64>() / draws.len().max(1) as f64
    };
    Classified { precision: of(&|c| c.precision), recall: of(&|c| c.recall), f1: of(&|c| c.f1) }
}

/// Scores a dictionary; the inner error says why it cannot be asked.
pub fn classifier(
    subject: &Subject,
    dictionary: &Dictionary,
    truth: &Truth,
    seed: u64,
) -> Result<Result<ClassifierScore, &'static str>, Error> {
    let inputs = &subject.task.inputs;
    let Some(width) = inputs.vector_row_len() else {
        return Ok(Err("its inputs are no vectors of features"));
    };
    let features = known(&truth.features, &dictionary.site, width);
    if features.is_empty() {
        return Ok(Err("no feature of the inputs is known at this site"));
    }
    let clean = subject.task.clean;
    let (n, d, cx) = (dictionary.n_latents(), dictionary.d_in(), &subject.context);
    let all = subject.runner.clean(&dictionary.site)?;
    let size = all.data().len() / inputs.len().max(1);
    if size != d || n == 0 {
        return Ok(Err("an input has more than one activation at this site"));
    }
    let x = Tensor::new(&[clean, d], all.data()[..clean * d].to_vec())?;
    let active: Vec<Vec<bool>> = features
        .iter()
        .map(|f| (0..clean).map(|i| inputs.vector_row(i)[f.column] > 0.0).collect())
        .collect();
    let directions: Vec<Vec<f64>> = features.iter().map(|f| f.direction.clone()).collect();
    let judge = nearest(dictionary, &directions);
    let z = dictionary.encode(&x, cx)?;
    let found = classified(&z, &active, &judge);
    let center = mean_of(&x);
    let stream = Stream::new(seed, "evaluation/classifier/dealt");
    let (mut random, mut dealt) = (vec![], vec![]);
    for draw in 0..DRAWS {
        let other = random_like(dictionary, &center, seed, "evaluation/classifier/null", draw)?;
        let z_other = other.encode(&x, cx)?;
        random.push(classified(&z_other, &active, &nearest(&other, &directions)));
        let mut deal = stream.block(draw as u64);
        let any: Vec<usize> =
            (0..n).map(|_| deal.below(directions.len() as u64) as usize).collect();
        dealt.push(classified(&z, &active, &any));
    }
    let mut judges = judge;
    judges.sort_unstable();
    judges.dedup();
    Ok(Ok(ClassifierScore {
        found,
        random: mean(&random),
        dealt: mean(&dealt),
        judged_by: judges.len(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_latents_and_one_that_never_fires_scores_nothing() {
        // Feature 0 on samples 0 and 1, feature 1 on sample 2.
        let active = [vec![true, true, false, false], vec![false, false, true, false]];
        // Latent 0 is feature 0; latent 1 fires on half of it and once without; latent 2 never.
        let z = [1., 2., 0., 3., 0., 0., 0., 0., 0., 0., 0.5, 0.];
        let z = Tensor::new(&[4, 3], z.to_vec()).unwrap();
        let got = classified(&z, &active, &[0, 0, 1]);
        // Precisions 1, 1/2, 0; recalls 1, 1/2, 0; F1 1, 1/2, 0.
        assert_eq!(got, Classified { precision: 0.5, recall: 0.5, f1: 0.5 });
        // Judged by the other feature, latent 0 is never right.
        assert_eq!(classified(&z, &active, &[1, 0, 1]).f1, (0.0 + 0.5 + 0.0) / 3.0);
    }
}
