//! Random directions: the null of every dictionary of the same size.
//!
//! n unit vectors, uniform on the sphere (normals, normalised), read by their own transpose times
//! c = d / (d + n - 1). That c is the best constant: with A = W^T W, E A = (n/d) I and E A^2 =
//! (n/d) (1 + (n-1)/d) I, so E|x - c A x|^2 is least there, and the expected share of variance that
//! is left, whatever the data, is (d - 1) / (d + n - 1).

use crate::method::Method;
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};

/// n random unit directions.
pub(crate) const RANDOM: Method<Settings> = Method {
    name: "random",
    version: 1,
    summary: "Random unit directions: the null of a dictionary of the same size.",
    source: "null",
    run: decompose,
};

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Directions; 0 means four for each unit of the site.
    n: usize,
}

/// Expected fraction of variance unexplained of n directions in d units.
pub fn expected_fvu(n: usize, d: usize) -> f64 {
    (d as f64 - 1.0) / (d as f64 + n as f64 - 1.0)
}

/// `n` unit vectors, uniform on the sphere in `d` dimensions, `[n, d]`.
pub fn unit_directions(n: usize, d: usize, draw: &mut Generator) -> Vec<f32> {
    let mut out = Vec::with_capacity(n * d);
    for _ in 0..n {
        let (row, norm) = loop {
            let row: Vec<f64> = (0..d).map(|_| draw.normal64()).collect();
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            if norm > 0.0 {
                break (row, norm);
            }
        };
        out.extend(row.iter().map(|x| (x / norm) as f32));
    }
    out
}

fn decompose(settings: Settings, data: &Data, seed: u64, _: &Context) -> Result<Dictionary, Error> {
    let (rows, d) = data.checked()?;
    let n = if settings.n == 0 { 4 * d } else { settings.n };
    let mut draw = Stream::new(seed, "random/directions").block(0);
    let w_dec = Tensor::new(&[n, d], unit_directions(n, d, &mut draw))?;
    let scale = d as f64 / (d as f64 + n as f64 - 1.0);
    let mut w_enc = w_dec.transposed()?;
    w_enc.data_mut().iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    let mean = data.mean(rows, d).into_iter().map(|m| m as f32).collect();
    let (b_enc, b_dec) = (Tensor::zeros(&[n]), Tensor::new(&[d], mean)?);
    Dictionary::new(&data.site, w_enc, b_enc, w_dec, b_dec, Encode::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use serde_json::json;

    #[test]
    fn what_random_directions_leave_is_known() {
        let cx = Context::single();
        let x = Tensor::from_fn(&[50, 6], |i| ((37 * i * i + 11 * i) % 101) as f32 / 101.0);
        let data = Data::new("s", x.clone());
        let mean = data.mean(50, 6);
        let variance: f64 = (x.data().chunks_exact(6))
            .flat_map(|r| {
                r.iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m) * (f64::from(x) - m))
            })
            .sum();
        for n in [1, 6, 24] {
            let set = json!({"n": n}).as_object().unwrap().clone();
            let draws = 400;
            let fvu: Vec<f64> = (0..draws)
                .map(|seed| {
                    let d = RANDOM.decompose(&data, &set, seed, &cx).unwrap();
                    let y = d.reconstruct(&x, &cx).unwrap();
                    let e = x.data().iter().zip(y.data());
                    e.map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum::<f64>() / variance
                })
                .collect();
            let mean = fvu.iter().sum::<f64>() / draws as f64;
            let spread = fvu.iter().map(|f| (f - mean) * (f - mean)).sum::<f64>() / draws as f64;
            let error = (spread / draws as f64).sqrt();
            // Four standard errors of the sample of dictionaries.
            assert!((mean - expected_fvu(n, 6)).abs() < 4.0 * error, "{n}: {mean} +- {error}");
        }
    }

    #[test]
    fn directions_are_unit_vectors_and_follow_the_seed_alone() {
        let draw = |seed| unit_directions(7, 3, &mut Stream::new(seed, "t").block(0));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for row in draw(1).chunks_exact(3) {
            let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((square - 1.0).abs() < 1e-6);
        }
    }
}
