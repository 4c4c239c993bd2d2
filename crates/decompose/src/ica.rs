//! Independent components by FastICA (Hyvarinen and Oja 1997; Hyvarinen 1999), symmetric, logcosh.
//!
//! Activations are centred and whitened; then all rows of an orthogonal W are moved together,
//! W <- E\[tanh(W x) x^T\] - diag(E\[1 - tanh(W x)^2\]) W, W <- (W W^T)^{-1/2} W, until no row turns
//! any more: fixed points are directions along which the data are least normal. A basis: at most as
//! many parts as units. The part of a source is the direction that it writes (a column of the
//! mixing matrix), of unit length; its sign is that of the source's skew, so that what is zero or
//! positive stays so; parts are in order of the variance that they write.
//!
//! f64 throughout, with our own tanh and sums in order of the samples: the same bits everywhere.

use crate::method::Method;
use crate::pca::principal_components;
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::math::tanh64;
use flyroom_tensor::{Context, Stream, Tensor, linalg};
use serde::{Deserialize, Serialize};

/// Independent components.
pub(crate) const ICA: Method<Settings> = Method {
    name: "ica",
    version: 1,
    summary: "Independent components: the basis along which activations are least normal.",
    source: "Hyvarinen 1999, FastICA",
    run: decompose,
};

/// Parameters of the method.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Components, the principal ones of greatest variance being kept; 0 means all.
    n: usize,
    /// Steps after which a W that still turns is an error.
    steps: usize,
    /// W stands still when 1 - |cosine| of each row with the row before is at most this.
    tolerance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { n: 0, steps: 1000, tolerance: 1e-6 }
    }
}

/// Variances of principal components below this share of the greatest are rounding.
const RANK: f64 = 1e-12;

fn decompose(s: Settings, data: &Data, seed: u64, _: &Context) -> Result<Dictionary, Error> {
    let (rows, d) = data.checked()?;
    let (variances, vectors) = principal_components(data)?;
    let floor = RANK * variances[0].max(0.0);
    let rank = variances.iter().take_while(|&&v| v > floor).count();
    if s.n > rank || rank == 0 {
        let why = format!("n = {} components of a site of rank {rank} at {}", s.n, data.site);
        return Err(Error::parameters(ICA.name, why));
    }
    let c = if s.n == 0 { rank } else { s.n };
    let whitening: Vec<f64> = vectors[..c * d]
        .chunks_exact(d)
        .zip(&variances)
        .flat_map(|(v, variance)| v.iter().map(move |x| x / variance.sqrt()))
        .collect();
    let white = whitened(data, &data.mean(rows, d), &whitening, c);
    let mut draw = Stream::new(seed, "ica/init").block(0);
    let w = fixed_point(&white, linalg::random_rotation(c, &mut draw), c, &s)?;
    let unmixing = linalg::product(c, c, d, &w, &whitening);
    // Columns of the mixing matrix: what each source writes.
    let colouring: Vec<f64> = vectors[..c * d]
        .chunks_exact(d)
        .zip(&variances)
        .flat_map(|(v, variance)| v.iter().map(move |x| x * variance.sqrt()))
        .collect();
    let mixing = linalg::product(c, c, d, &w, &colouring);
    dictionary(data, c, &unmixing, &mixing, &skews(&white, &w, c))
}

/// Parts in order of the length of their rows of `mixing`.
fn dictionary(
    data: &Data,
    c: usize,
    unmixing: &[f64],
    mixing: &[f64],
    skews: &[f64],
) -> Result<Dictionary, Error> {
    let (rows, d) = data.checked()?;
    let lengths: Vec<f64> = mixing.chunks_exact(d).map(|r| linalg::dot(r, r).sqrt()).collect();
    let mut order: Vec<usize> = (0..c).collect();
    order.sort_by(|&a, &b| lengths[b].total_cmp(&lengths[a]));
    let mut w_dec = Vec::with_capacity(c * d);
    let mut readers = Vec::with_capacity(c * d);
    for &j in &order {
        let sign = if skews[j] < 0.0 { -1.0 } else { 1.0 };
        let row = |m: &[f64], factor: f64| -> Vec<f32> {
            m[j * d..(j + 1) * d].iter().map(|x| (sign * factor * x) as f32).collect()
        };
        w_dec.extend(row(mixing, 1.0 / lengths[j]));
        readers.extend(row(unmixing, lengths[j]));
    }
    let mean = data.mean(rows, d).into_iter().map(|m| m as f32).collect();
    let w_enc = Tensor::new(&[c, d], readers)?.transposed()?;
    let (b_enc, b_dec) = (Tensor::zeros(&[c]), Tensor::new(&[d], mean)?);
    Dictionary::new(&data.site, w_enc, b_enc, Tensor::new(&[c, d], w_dec)?, b_dec, Encode::Linear)
}

/// Samples `[sample, component]` of mean 0 and unit covariance.
fn whitened(data: &Data, mean: &[f64], whitening: &[f64], c: usize) -> Vec<f64> {
    let d = mean.len();
    let mut out = Vec::with_capacity(data.activations.data().len() / d * c);
    let mut centred = vec![0.0; d];
    for row in data.activations.data().chunks_exact(d) {
        centred.iter_mut().zip(row).zip(mean).for_each(|((y, &x), m)| *y = f64::from(x) - m);
        out.extend(whitening.chunks_exact(d).map(|k| linalg::dot(k, &centred)));
    }
    out
}

/// Third moment of each source.
fn skews(white: &[f64], w: &[f64], c: usize) -> Vec<f64> {
    let cube = |row: &[f64], x: &[f64]| {
        let y = linalg::dot(row, x);
        y * y * y
    };
    w.chunks_exact(c).map(|row| white.chunks_exact(c).map(|x| cube(row, x)).sum()).collect()
}

/// W at rest, rows orthonormal, `[component, component]`.
fn fixed_point(white: &[f64], w: Vec<f64>, c: usize, s: &Settings) -> Result<Vec<f64>, Error> {
    let mut w = decorrelated(&w, c)?;
    let mut turned = f64::INFINITY;
    for _ in 0..s.steps {
        let next = decorrelated(&moved(white, &w, c), c)?;
        turned = (0..c)
            .map(|j| {
                let row = j * c..(j + 1) * c;
                (1.0 - linalg::dot(&next[row.clone()], &w[row]).abs()).abs()
            })
            .fold(0.0, f64::max);
        w = next;
        if turned <= s.tolerance {
            return Ok(w);
        }
    }
    let why = format!(
        "a component still turns by 1 - |cos| = {turned:.1e} after {} steps; hint: the data may be \
         normal in some plane; try fewer components (n), more steps or a larger tolerance",
        s.steps
    );
    Err(Error::parameters(ICA.name, why))
}

/// E\[tanh(W x) x^T\] - diag(E\[1 - tanh(W x)^2\]) W
fn moved(white: &[f64], w: &[f64], c: usize) -> Vec<f64> {
    let samples = (white.len() / c) as f64;
    let mut out = vec![0.0; c * c];
    for ((row, w), out) in w.chunks_exact(c).zip(w.chunks_exact(c)).zip(out.chunks_exact_mut(c)) {
        let mut slope = 0.0;
        for x in white.chunks_exact(c) {
            let t = tanh64(linalg::dot(row, x));
            slope += 1.0 - t * t;
            out.iter_mut().zip(x).for_each(|(o, x)| *o += t * x);
        }
        out.iter_mut().zip(w).for_each(|(o, w)| *o = (*o - slope * w) / samples);
    }
    out
}

/// (W W^T)^{-1/2} W
fn decorrelated(w: &[f64], c: usize) -> Result<Vec<f64>, Error> {
    let gram = linalg::product(c, c, c, w, &linalg::transpose(c, c, w));
    let (values, vectors) = linalg::symmetric_eigen(c, &gram)?;
    if values.iter().any(|&v| v.is_nan() || v <= 0.0) {
        return Err(Error::parameters(
            ICA.name,
            "two components fell together; hint: another seed",
        ));
    }
    let scaled: Vec<f64> = vectors
        .chunks_exact(c)
        .zip(&values)
        .flat_map(|(v, value)| v.iter().map(move |x| x / value.sqrt()))
        .collect();
    let root = linalg::product(c, c, c, &linalg::transpose(c, c, &vectors), &scaled);
    Ok(linalg::product(c, c, c, &root, w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use serde_json::json;

    /// Powers of numbers from a linear congruence, mixed by a formula, as in
    /// benchmarks/oracles/ica.py: both sides compute the same samples.
    fn mixed(samples: usize) -> Data {
        let mut state = 12345u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            2.0 * (state as f64 / (1u64 << 31) as f64) - 1.0
        };
        let mut x = Vec::with_capacity(5 * samples);
        for _ in 0..samples {
            let mut s = [0.0; 5];
            for (j, s) in s.iter_mut().enumerate() {
                let u = next();
                *s = (0..2 * j + 3).fold(1.0, |p, _| p * u);
            }
            for i in 0..5 {
                let row = (0..5).map(|j| {
                    f64::from((3 * i + 7 * j + 2 * i * i * j + i * j * j) as u32 % 11) - 5.0
                });
                x.push(row.zip(s).map(|(m, s)| m * s).sum::<f64>() as f32);
            }
        }
        Data::new("s", Tensor::new(&[samples, 5], x).unwrap())
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1, benchmarks/oracles/ica.py: unit columns of the mixing matrix.
        let wanted = [
            [
                0.6346590788191406,
                0.2560117378284137,
                -0.12518898896804245,
                -0.5073364785409704,
                0.5085304891049524,
            ],
            [
                0.29236572509086034,
                -0.40541031652030973,
                -0.5142899504847425,
                -0.15114421615563495,
                -0.6803131858226016,
            ],
            [
                0.6034865230392144,
                0.1253383142662695,
                -0.2445934835906712,
                -0.48584301579825756,
                -0.5694075124828998,
            ],
            [
                0.3750589165406157,
                0.34481951096259744,
                0.813387979718167,
                -0.03506641458628793,
                -0.27856894119940184,
            ],
            [
                0.11207229015539209,
                -0.6105506960965584,
                0.5487246470767211,
                -0.22552670523429685,
                -0.5125491353929145,
            ],
        ];
        let (data, cx) = (mixed(1000), Context::single());
        let s = json!({"tolerance": 1e-13}).as_object().unwrap().clone();
        let d = ICA.decompose(&data, &s, 0, &cx).unwrap();
        for (row, wanted) in d.directions().into_iter().zip(&wanted) {
            for (x, w) in row.iter().zip(wanted) {
                // Both stand still to 1e-7 in angle; directions are stored in f32.
                assert!((f64::from(*x) - w).abs() < 1e-6, "{row:?}, {wanted:?}");
            }
        }
        // A basis of all units reconstructs.
        let y = d.reconstruct(&data.activations, &cx).unwrap();
        for (x, y) in data.activations.data().iter().zip(y.data()) {
            assert!((x - y).abs() < 1e-5);
        }
    }

    #[test]
    fn equal_seeds_give_equal_bits_and_others_the_same_parts() {
        let data = mixed(1000);
        let of = |seed| ICA.decompose(&data, &ICA.defaults(), seed, &Context::single()).unwrap();
        let (first, again, other) = (of(0), of(0), of(1));
        assert_eq!(first, again);
        for (a, b) in first.w_dec.data().iter().zip(other.w_dec.data()) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_an_error_that_says_so() {
        let cx = Context::single();
        let set = |v: serde_json::Value| v.as_object().unwrap().clone();
        let e = ICA.decompose(&mixed(50), &set(json!({"n": 6})), 0, &cx).unwrap_err().to_string();
        assert!(e.contains("n = 6"), "{e}");
        let e = ICA.decompose(&mixed(50), &set(json!({"steps": 1})), 0, &cx).unwrap_err();
        assert!(e.to_string().contains("hint"), "{e}");
        let constant = Data::new("s", Tensor::from_fn(&[9, 2], |_| 1.0));
        let e = ICA.decompose(&constant, &ICA.defaults(), 0, &cx).unwrap_err().to_string();
        assert!(e.contains("rank 0"), "{e}");
    }
}
