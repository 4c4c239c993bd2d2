//! Does a latent fall silent where a more specific one fires?
//!
//! *Measures*, for a feature f that is active together with another feature g, how much of the latent of
//! f goes away because g is there. *Intuition*: a sparse dictionary saves a latent by writing "parent and
//! child" as one direction wherever a child fires only with its parent; the latent of the parent then
//! looks like its feature and misses it exactly on the children ("A is for Absorption", Chanin et al.
//! 2024, arXiv 2409.14507, who see it from probes; SAEBench's absorption fraction is the partial form).
//! Here the features are columns of the inputs, so nothing is probed: g is taken out of the input and the
//! network runs again.
//!
//! The latent of f is the one whose direction has the greatest cosine with f's, if that is more than
//! [`OWN`]. With z its value on the input and z' without g (and whatever fires only under g):
//!
//! - **fraction** = 1 - z / z', within -1 and 1, over occasions with z' > 0;
//! - **full**: the share of these with z = 0 although the reconstruction keeps at least half of what f
//!   wrote, so that others write it: absorbed, and not merely missed.
//!
//! Pairs are (parent, child) where the truth knows parents, and else all features that happen to fire
//! together. *Nulls*: pairs without kinship on the same inputs, and random dictionaries of the same size
//! and encoder, each with its own nearest latents.

use crate::Error;
use crate::reconstruction::{mean_of, random_like};
use flyroom_decompose::Dictionary;
use flyroom_network::{Inputs, Runner};
use flyroom_organism::{Feature, Subject, Truth};
use flyroom_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Cosine from which on a latent is a feature's own: one that writes the feature and an orthogonal child in
/// equal parts has 1 / sqrt(2).
pub const OWN: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Occasions of one kind, at most.
const OCCASIONS: usize = 2000;

/// Random dictionaries behind the null.
const DRAWS: usize = 5;

/// How often latents fall silent, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Occasions on which the latent would fire without the other feature.
    pub occasions: usize,
    /// Mean of 1 - z / z'.
    pub fraction: f64,
    /// Share with z = 0 although the reconstruction keeps the feature.
    pub full: f64,
}

/// Absorption in a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AbsorptionScore {
    /// Whether the pairs are parents with their children, and not any two features.
    pub hierarchy: bool,
    /// Features that could be absorbed: parents, or all.
    pub features: usize,
    /// Those that have a latent of their own.
    pub found: usize,
    /// Of the pairs; `None` where there is no occasion.
    pub pairs: Option<Rate>,
    /// Of pairs without kinship.
    pub unrelated: Option<Rate>,
    /// Of the same pairs in random dictionaries, all draws together.
    pub random: Option<Rate>,
}

/// A feature of the inputs: its column, and its place among the features of the site.
pub(crate) struct Known {
    pub column: usize,
    parent: Option<usize>,
    pub direction: Vec<f64>,
}

/// An input on which `feature` and `other` are active, both as places among the features.
#[derive(Debug, Clone, Copy)]
struct Occasion {
    input: usize,
    feature: usize,
    other: usize,
}

/// The features of a site that are columns of the inputs, which the truth names x0, x1, ...
pub(crate) fn known(features: &[Feature], site: &str, width: usize) -> Vec<Known> {
    let here: Vec<&Feature> = features.iter().filter(|f| f.site == site).collect();
    let column = |f: &Feature| f.name.strip_prefix('x')?.parse::<usize>().ok();
    let usable: Vec<(&Feature, usize)> = here
        .into_iter()
        .filter_map(|f| Some((f, column(f)?)))
        .filter(|(_, c)| *c < width)
        .collect();
    let place = |name: &String| usable.iter().position(|(f, _)| f.name == *name);
    usable
        .iter()
        .map(|(f, column)| Known {
            column: *column,
            parent: f.parent.as_ref().and_then(place),
            direction: f.direction.iter().map(|&x| f64::from(x)).collect(),
        })
        .collect()
}

/// Whether `elder` lies above `younger` in the tree.
fn above(features: &[Known], elder: usize, younger: usize) -> bool {
    let up = |i: &usize| features[*i].parent;
    std::iter::successors(up(&younger), up).take(features.len()).any(|i| i == elder)
}

/// Kin and strangers among all features that are active together, each evenly thinned.
fn occasions(
    features: &[Known],
    inputs: &Inputs,
    clean: usize,
    hierarchy: bool,
) -> [Vec<Occasion>; 2] {
    let (mut kin, mut strangers) = (vec![], vec![]);
    for input in 0..clean {
        let row = inputs.vector_row(input);
        let active: Vec<usize> =
            (0..features.len()).filter(|&f| row[features[f].column] > 0.0).collect();
        for &feature in &active {
            for &other in active.iter().filter(|&&o| o != feature) {
                let one = Occasion { input, feature, other };
                if !hierarchy || features[other].parent == Some(feature) {
                    kin.push(one);
                } else if !above(features, feature, other) && !above(features, other, feature) {
                    strangers.push(one);
                }
            }
        }
    }
    let thinned = |all: Vec<Occasion>| {
        let step = all.len().div_ceil(OCCASIONS).max(1);
        all.into_iter().step_by(step).collect()
    };
    [thinned(kin), thinned(strangers)]
}

/// What lies at the site on occasions: as it is, without the other feature, without the feature itself.
struct Seen {
    as_is: Tensor,
    without_other: Tensor,
    without_feature: Tensor,
}

impl Seen {
    fn new(
        subject: &Subject,
        site: &str,
        features: &[Known],
        all: &[Occasion],
    ) -> Result<Self, Error> {
        let task = &subject.task.inputs;
        let width = task.vector_row_len().unwrap_or(0);
        let run = |removed: &dyn Fn(&Occasion, usize) -> bool| {
            let mut values = Vec::with_capacity(all.len() * width);
            for o in all {
                let mut row = task.vector_row(o.input).to_vec();
                for (_, f) in features.iter().enumerate().filter(|(i, _)| removed(o, *i)) {
                    row[f.column] = 0.0;
                }
                values.extend(row);
            }
            let inputs = Inputs::vectors(width, values)?;
            let runner = Runner::new(subject.network(), &inputs, &subject.context)?;
            let x = runner.clean(site)?;
            Ok::<_, Error>((*x).clone())
        };
        Ok(Self {
            as_is: run(&|_, _| false)?,
            without_other: run(&|o, i| i == o.other || above(features, o.other, i))?,
            without_feature: run(&|o, i| i == o.feature)?,
        })
    }
}

/// The latent nearest to each feature, with its cosine.
fn nearest(dictionary: &Dictionary, features: &[Known]) -> Vec<(usize, f64)> {
    let rows: Vec<Vec<f64>> = dictionary
        .directions()
        .into_iter()
        .map(|r| r.iter().map(|&x| f64::from(x)).collect())
        .collect();
    let cosine = |a: &[f64], b: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |s, (x, y)| s + x * y);
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
    };
    features
        .iter()
        .map(|f| {
            rows.iter()
                .map(|r| cosine(r, &f.direction))
                .enumerate()
                .fold((0, -1.0), |best, (j, c)| if c > best.1 { (j, c) } else { best })
        })
        .collect()
}

/// Sums of (occasions, fraction, full) of one dictionary.
fn sums(
    subject: &Subject,
    dictionary: &Dictionary,
    features: &[Known],
    own: &[Option<usize>],
    all: &[Occasion],
    seen: &Seen,
) -> Result<(usize, f64, f64), Error> {
    let cx = &subject.context;
    let (d, n) = (dictionary.d_in(), dictionary.n_latents());
    let z = dictionary.encode(&seen.as_is, cx)?;
    let without = dictionary.encode(&seen.without_other, cx)?;
    let y = dictionary.decode_as(&z, &seen.as_is, cx)?;
    let (mut count, mut fraction, mut full) = (0, 0.0, 0.0);
    for (i, o) in all.iter().enumerate() {
        let Some(j) = own[o.feature] else { continue };
        let (now, before) = (z.data()[i * n + j], without.data()[i * n + j]);
        if before <= 0.0 {
            continue;
        }
        count += 1;
        fraction += (1.0 - f64::from(now) / f64::from(before)).clamp(-1.0, 1.0);
        let along = |t: &Tensor| {
            let row = t.data()[i * d..(i + 1) * d].iter().zip(&features[o.feature].direction);
            row.fold(0.0, |s, (&x, u)| s + f64::from(x) * u)
        };
        let wrote = along(&seen.as_is) - along(&seen.without_feature);
        let kept = along(&seen.as_is) - along(&y) <= wrote / 2.0;
        full += f64::from(u8::from(now <= 0.0 && kept));
    }
    Ok((count, fraction, full))
}

fn rate((occasions, fraction, full): (usize, f64, f64)) -> Option<Rate> {
    let n = occasions as f64;
    (occasions > 0).then(|| Rate { occasions, fraction: fraction / n, full: full / n })
}

/// Scores a dictionary; the inner error says why it cannot be asked.
pub fn absorption(
    subject: &Subject,
    dictionary: &Dictionary,
    truth: &Truth,
    seed: u64,
) -> Result<Result<AbsorptionScore, &'static str>, Error> {
    let Some(width) = subject.task.inputs.vector_row_len() else {
        return Ok(Err("its inputs are no vectors of features"));
    };
    let features = known(&truth.features, &dictionary.site, width);
    if features.is_empty() {
        return Ok(Err("no feature of the inputs is known at this site"));
    }
    let hierarchy = features.iter().any(|f| f.parent.is_some());
    let [kin, strangers] =
        occasions(&features, &subject.task.inputs, subject.task.clean, hierarchy);
    if kin.is_empty() {
        return Ok(Err("no two features that count fire together"));
    }
    let can_be: Vec<bool> = (0..features.len())
        .map(|i| !hierarchy || features.iter().any(|f| f.parent == Some(i)))
        .collect();
    let own: Vec<Option<usize>> =
        nearest(dictionary, &features).into_iter().map(|(j, c)| (c > OWN).then_some(j)).collect();
    let seen = Seen::new(subject, &dictionary.site, &features, &kin)?;
    let pairs = rate(sums(subject, dictionary, &features, &own, &kin, &seen)?);
    let unrelated = match strangers.is_empty() {
        true => None,
        false => {
            let seen = Seen::new(subject, &dictionary.site, &features, &strangers)?;
            rate(sums(subject, dictionary, &features, &own, &strangers, &seen)?)
        }
    };
    let mean = mean_of(&seen.as_is);
    let mut random = (0, 0.0, 0.0);
    for draw in 0..DRAWS {
        let other = random_like(dictionary, &mean, seed, "evaluation/absorption/null", draw)?;
        let own: Vec<Option<usize>> =
            nearest(&other, &features).into_iter().map(|(j, _)| Some(j)).collect();
        let (n, fraction, full) = sums(subject, &other, &features, &own, &kin, &seen)?;
        random = (random.0 + n, random.1 + fraction, random.2 + full);
    }
    let found = own.iter().zip(&can_be).filter(|(o, can)| o.is_some() && **can).count();
    Ok(Ok(AbsorptionScore {
        hierarchy,
        features: can_be.iter().filter(|c| **c).count(),
        found,
        pairs,
        unrelated,
        random: rate(random),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_decompose::Encode;
    use flyroom_network::{Activation, Architecture, AutoencoderConfig, Network, Runner, Weights};
    use flyroom_organism::{Answers, Distance, Task};
    use flyroom_tensor::{Context, Stream};

    /// Four features along the axes of four units: x1 fires only with x0, the others on their own.
    fn task() -> Task {
        let mut draw = Stream::new(0, "absorption").block(0);
        let mut values = vec![];
        for _ in 0..400 {
            let on: Vec<bool> = (0..4).map(|_| draw.bernoulli(0.5)).collect();
            let active = [on[0], on[0] && on[1], on[2], on[3]];
            values.extend(active.map(|a| if a { 0.5 + draw.uniform() } else { 0.0 }));
        }
        Task {
            domain: "a parent, its child and two others".into(),
            exhaustive: false,
            inputs: Inputs::vectors(4, values.clone()).unwrap(),
            clean: 400,
            partner: (0..400).rev().collect(),
            reads: vec![true; 400],
            answers: Answers::Values(values),
            d_out: 4,
            columns: 4,
            distance: Distance::Squared { weights: vec![1.0; 4] },
            vocabulary: vec![],
            modulus: None,
        }
    }

    fn scored(enc: [f32; 16], dec: [f32; 16], parent: bool) -> AbsorptionScore {
        let (config, task) = (
            AutoencoderConfig {
                n_features: 4,
                d_hidden: 4,
                act_fn: Activation::Identity,
                hidden_maps: 0,
            },
            task(),
        );
        let one = Tensor::from_fn(&[4, 4], |i| if i / 4 == i % 4 { 1.0 } else { 0.0 });
        let weights =
            Weights::from([("W".into(), one.clone()), ("b_final".into(), Tensor::zeros(&[4]))]);
        let network = Network::new(Architecture::Autoencoder(config), weights).unwrap();
        let cx = Context::single();
        let features = (0..4)
            .map(|i| Feature {
                name: format!("x{i}"),
                site: "hook_hidden".into(),
                direction: one.row(i).to_vec(),
                parent: (parent && i == 1).then(|| "x0".into()),
            })
            .collect();
        let dictionary = Dictionary::new(
            "hook_hidden",
            Tensor::new(&[4, 4], enc.to_vec()).unwrap(),
            Tensor::zeros(&[4]),
            Tensor::new(&[4, 4], dec.to_vec()).unwrap(),
            Tensor::zeros(&[4]),
            Encode::Relu,
        )
        .unwrap();
        let subject = Subject {
            label: "axes-0".into(),
            id: String::new(),
            organism: "axes".into(),
            runner: Runner::new(&network, &task.inputs, &cx).unwrap(),
            task: &task,
            context: cx,
        };
        let truth = Truth { features, ..Truth::nothing() };
        absorption(&subject, &dictionary, &truth, 0).unwrap().unwrap()
    }

    const ONE: [f32; 16] = [1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 1.];

    #[test]
    fn a_latent_that_answers_to_one_feature_is_not_absorbed() {
        let s = scored(ONE, ONE, true);
        assert!(s.hierarchy && (s.features, s.found) == (1, 1));
        for rate in [s.pairs, s.unrelated] {
            let rate = rate.unwrap();
            assert!(rate.occasions > 90 && rate.fraction == 0.0 && rate.full == 0.0, "{s:?}");
        }
    }

    #[test]
    fn a_parent_that_its_child_writes_is_absorbed_by_the_child_alone() {
        // Columns of W_enc: latent 0 reads x0 - 4 x1, latent 1 reads x1 and writes both.
        let mut enc = ONE;
        enc[4] = -4.0;
        let mut dec = ONE;
        dec[4] = 2.0;
        let s = scored(enc, dec, true);
        let (kin, others) = (s.pairs.unwrap(), s.unrelated.unwrap());
        assert_eq!((kin.fraction, kin.full), (1.0, 1.0));
        assert_eq!((others.fraction, others.full), (0.0, 0.0));
        // Where it merely falls silent and nobody writes it, it is lost and not absorbed.
        let missed = scored(enc, ONE, true).pairs.unwrap();
        assert_eq!((missed.fraction, missed.full), (1.0, 0.0));
    }

    #[test]
    fn without_parents_any_two_features_that_meet_are_a_pair() {
        let s = scored(ONE, ONE, false);
        assert!(!s.hierarchy && (s.features, s.found) == (4, 4) && s.unrelated.is_none());
        assert_eq!(s.pairs.unwrap().fraction, 0.0);
        assert!(s.random.is_some());
    }
}
