//! Singular vectors of the matrix that writes a site (Millidge and Black 2022, "The singular value
//! decompositions of transformer weight matrices are highly interpretable").
//!
//! With A = U S V^T, rows of A being what each input adds to the site, the parts are the rows of
//! V^T: orthogonal directions in order of how strongly the matrix writes them. Which matrix that is
//! stands in `writer.rs`. Of the data only the mean is used, as b_dec; nothing is learned, and the
//! seed does nothing. One-sided Jacobi in f64 (`tensor::linalg`): the same bits everywhere.

use crate::method::Method;
use crate::pca::basis;
use crate::{Data, Dictionary, Error};
use flyroom_tensor::{Context, linalg};
use serde::{Deserialize, Serialize};

/// Singular vectors of a weight matrix.
pub(crate) const SVD: Method<Settings> = Method {
    name: "svd",
    version: 1,
    summary: "Singular vectors of the weight matrix that writes the site; no activations needed.",
    source: "Millidge and Black 2022",
    run: decompose,
};

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Singular vectors; 0 means all that the matrix has.
    n: usize,
}

fn decompose(settings: Settings, data: &Data, _: u64, _: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let bad = |why: String| Err(Error::parameters(SVD.name, why));
    let Some(writer) = &data.writer else {
        return bad(format!(
            "no matrix writes {}; hint: take a site in front of a nonlinearity, such as \
             mlp.hook_pre or hook_resid_post",
            data.site
        ));
    };
    let &[rows, units] = writer.rows.shape() else {
        return bad(format!("{} has the shape {:?}", writer.name, writer.rows.shape()));
    };
    let there = rows.min(units);
    if units != d || settings.n > there {
        return bad(format!(
            "n = {} singular vectors of {} [{rows}, {units}] at {d} units",
            settings.n, writer.name
        ));
    }
    let a: Vec<f64> = writer.rows.data().iter().map(|&x| f64::from(x)).collect();
    let n = if settings.n == 0 { there } else { settings.n };
    basis(data, n, &linalg::svd(rows, units, &a)?.vt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decompose, Writer};
    use flyroom_tensor::Tensor;
    use serde_json::json;

    #[test]
    fn directions_are_those_that_the_matrix_writes_strongest() {
        // Rows 3 (0, 1), 1 (1, 0), 0: the first singular vector is (0, 1).
        let rows = Tensor::new(&[3, 2], vec![0., 3., 1., 0., 0., 0.]).unwrap();
        let x = Tensor::new(&[2, 2], vec![1., 2., 3., 4.]).unwrap();
        let mut data = Data::new("hook_hidden", x);
        let cx = Context::single();
        let none = SVD.decompose(&data, &SVD.defaults(), 0, &cx).unwrap_err().to_string();
        assert!(none.contains("hint") && none.contains("hook_hidden"), "{none}");
        data.writer = Some(Writer { name: "W".into(), rows });
        let d = SVD.decompose(&data, &SVD.defaults(), 0, &cx).unwrap();
        assert_eq!((d.direction(0), d.direction(1)), (&[0., 1.][..], &[1., 0.][..]));
        // All of them together are a basis.
        assert_eq!(d.reconstruct(&data.activations, &cx).unwrap(), data.activations);
        let three = json!({"n": 3}).as_object().unwrap().clone();
        let e = SVD.decompose(&data, &three, 0, &cx).unwrap_err().to_string();
        assert!(e.contains("n = 3"), "{e}");
    }
}
