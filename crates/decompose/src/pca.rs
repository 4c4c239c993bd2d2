//! Principal components (Pearson 1901; Hotelling 1933): orthogonal directions in order of variance.
//!
//! The eigenvectors of the covariance of the centred activations, by Jacobi's rotations in f64
//! (`tensor::linalg`), so the same bits everywhere. In each the entry of greatest magnitude is
//! positive. Among all affine maps of rank n this one leaves the least squared error (Eckart and
//! Young 1936): FVU = sum of the eigenvalues left out / sum of all.

use crate::method::Method;
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::{Context, Tensor, linalg};
use serde::{Deserialize, Serialize};

/// Principal components.
pub(crate) const PCA: Method<Settings> = Method {
    name: "pca",
    version: 1,
    summary: "Principal components: orthogonal directions in order of variance.",
    source: "Pearson 1901; Hotelling 1933",
    run: decompose,
};

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Components; 0 means all.
    n: usize,
}

/// Variances along the principal components, descending, and the components as rows `[d, d]`, of
/// activations `[sample, d]` with population covariance.
pub fn principal_components(data: &Data) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (rows, d) = data.checked()?;
    let mean = data.mean(rows, d);
    // Lower triangle; samples are added in order.
    let mut covariance = vec![0f64; d * d];
    let mut centred = vec![0f64; d];
    for row in data.activations.data().chunks_exact(d) {
        for i in 0..d {
            centred[i] = f64::from(row[i]) - mean[i];
        }
        for i in 0..d {
            let c = centred[i];
            let line = &mut covariance[i * d..i * d + i + 1];
            line.iter_mut().zip(&centred).for_each(|(s, x)| *s += c * x);
        }
    }
    covariance.iter_mut().for_each(|x| *x /= rows as f64);
    Ok(linalg::symmetric_eigen(d, &covariance)?)
}

fn decompose(settings: Settings, data: &Data, _: u64, _: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    if settings.n > d {
        let why = format!("n = {} components of {d} units at {}", settings.n, data.site);
        return Err(Error::parameters("pca", why));
    }
    let n = if settings.n == 0 { d } else { settings.n };
    let (_, vectors) = principal_components(data)?;
    basis(data, n, &vectors)
}

/// The first `n` of orthonormal `vectors` (rows of one unit each) as a dictionary that reads and
/// writes the activations less their mean.
pub(crate) fn basis(data: &Data, n: usize, vectors: &[f64]) -> Result<Dictionary, Error> {
    let (rows, d) = data.checked()?;
    let w_dec = vectors[..n * d].iter().map(|&x| x as f32).collect();
    let w_dec = Tensor::new(&[n, d], w_dec)?;
    let mean = data.mean(rows, d).into_iter().map(|m| m as f32).collect();
    let (b_enc, b_dec) = (Tensor::zeros(&[n]), Tensor::new(&[d], mean)?);
    Dictionary::new(&data.site, w_dec.transposed()?, b_enc, w_dec, b_dec, Encode::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;
    use serde_json::json;

    /// x\[i\] = ((37 i^2 + 11 i) mod 101) / 101, as in benchmarks/oracles/parts.py.
    fn formula(rows: usize, cols: usize) -> Data {
        let x = Tensor::from_fn(&[rows, cols], |i| ((37 * i * i + 11 * i) % 101) as f32 / 101.0);
        Data::new("s", x)
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1, benchmarks/oracles/parts.py.
        let variances = [
            0.11136173034892467,
            0.07611085017478174,
            0.0670962023096973,
            0.05036335731643136,
            0.04629672520648094,
        ];
        let first = [
            0.6807726895173337,
            -0.24089219423688843,
            -0.10862394148723332,
            -0.540633620583945,
            0.4176549096959675,
        ];
        let (v, c) = principal_components(&formula(40, 5)).unwrap();
        for i in 0..5 {
            assert!((v[i] - variances[i]).abs() < 1e-12, "{v:?}");
            assert!((c[i] - first[i]).abs() < 1e-10, "{c:?}");
        }
    }

    #[test]
    fn what_is_left_is_the_sum_of_the_eigenvalues_left_out() {
        let data = formula(40, 5);
        let cx = Context::single();
        let set = |n: usize| json!({"n": n}).as_object().unwrap().clone();
        let (v, _) = principal_components(&data).unwrap();
        for n in 1..=5 {
            let d = PCA.decompose(&data, &set(n), 0, &cx).unwrap();
            let y = d.reconstruct(&data.activations, &cx).unwrap();
            let x = data.activations.data();
            let error: f64 =
                x.iter().zip(y.data()).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum();
            // Errors of f32 in the reconstruction: 200 elements of about 1.
            assert!((error / 40.0 - v[n..].iter().sum::<f64>()).abs() < 1e-6, "{n}: {error}");
        }
        let e = PCA.decompose(&data, &set(6), 0, &cx).unwrap_err().to_string();
        assert!(e.contains("n = 6"), "{e}");
    }
}
