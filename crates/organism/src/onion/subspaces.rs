//! Rotations and masks: a subspace of the state for each place, or for each pair of neighbours.

use super::Onion;
use super::question::{Asked, Kind};
use crate::Error;
use flyroom_tensor::{Graph, Tensor, Value, linalg};

/// What the masks of an axis start from where it is one variable's alone.
const OWNED: f64 = 4.0;
/// Share of the variance below which an axis is not moved by any token.
const STILL: f64 = 1e-9;
/// exp S = (exp 2^-k S)^(2^k).
const HALVINGS: usize = 5;
/// Terms of the series of exp behind the first.
const TERMS: usize = 6;

/// Columns of the masks: places, or pairs of neighbours.
pub(super) fn variables(kind: Kind, places: usize) -> usize {
    match kind {
        Kind::Bigram => places - 1,
        _ => places,
    }
}

/// Whether a variable takes part in the exchange of a place, `[variable]`.
pub(super) fn moved(kind: Kind, places: usize, place: usize) -> Vec<f32> {
    let taken = |v: usize| match kind {
        Kind::Bigram => v == place || v + 1 == place,
        _ => v == place,
    };
    (0..variables(kind, places)).map(|v| f32::from(u8::from(taken(v)))).collect()
}

/// Where a linear arm starts: axes and masks. With B_j the covariance of the mean states of the tokens at place j, the axes are
/// the eigenvectors of a sum of all B_j with a weight each: where places lie in orthogonal subspaces these are
/// axes of the subspaces. Each axis is given to the variables by their shares of its variance.
pub(super) fn start(kind: Kind, lesson: &Onion, asked: &Asked) -> Result<(Tensor, Tensor), Error> {
    let (d, n) = (lesson.d_hidden, lesson.longest);
    let (mut whole, mut traces) = (vec![0.0; d * d], 0.0);
    let mut of_places = vec![];
    for place in 0..n {
        let b = between(lesson, asked, place);
        let trace: f64 = (0..d).map(|i| b[i * d + i]).sum();
        // Any weights would do that are not alike.
        let weight = (1.0 + place as f64 / n as f64) / trace.max(f64::MIN_POSITIVE);
        traces += trace;
        whole.iter_mut().zip(&b).for_each(|(w, b)| *w += weight * b);
        of_places.push(b);
    }
    let (_, axes) = linalg::symmetric_eigen(d, &whole).map_err(|e| Error::Truth(e.to_string()))?;
    let v = variables(kind, n);
    let mut masks = Tensor::zeros(&[d, v + 1]);
    for (h, q) in axes.chunks_exact(d).enumerate() {
        let along = |b: &Vec<f64>| {
            let bq: Vec<f64> = b.chunks_exact(d).map(|row| linalg::dot(row, q)).collect();
            linalg::dot(&bq, q)
        };
        let each: Vec<f64> = of_places.iter().map(along).map(|x| x.max(0.0)).collect();
        let all = each.iter().sum::<f64>();
        // An axis along which nothing moves is nobody's.
        if all <= STILL * traces {
            continue;
        }
        let row = &mut masks.data_mut()[h * (v + 1)..(h + 1) * (v + 1)];
        for (place, x) in each.iter().enumerate() {
            // A place lies in the pair with the next one, the last in the last pair.
            row[place.min(v - 1)] += (OWNED * x / all) as f32;
        }
    }
    Ok((Tensor::from_fn(&[d, d], |i| axes[i] as f32), masks))
}

/// The rotation that `arm.skew` makes of a first one, `[d, d]`: Q exp(A - A^T).
pub(super) fn rotation(g: &mut Graph, first: &Tensor) -> Result<Value, flyroom_tensor::Error> {
    let d = first.shape()[0];
    let one = g.constant(Tensor::from_fn(&[d, d], |i| f32::from(u8::from(i / d == i % d))));
    let a = g.parameter("arm.skew", &[d, d]);
    let transposed = g.einsum("ji,jk->ik", a, one)?;
    let skew = g.sub(a, transposed)?;
    let skew = g.scale(skew, 1.0 / (1 << HALVINGS) as f32)?;
    let mut exp = one;
    for term in (1..=TERMS).rev() {
        exp = g.einsum("ij,jk->ik", skew, exp)?;
        exp = g.scale(exp, 1.0 / term as f32)?;
        exp = g.add(one, exp)?;
    }
    for _ in 0..HALVINGS {
        exp = g.einsum("ij,jk->ik", exp, exp)?;
    }
    let first = g.constant(first.clone());
    g.einsum("ij,jk->ik", first, exp)
}

/// Covariance of the mean states of the tokens at a place, `[d, d]`.
fn between(lesson: &Onion, asked: &Asked, place: usize) -> Vec<f64> {
    let d = lesson.d_hidden;
    let mut means = vec![vec![0.0; d]; lesson.symbols];
    let mut counts = vec![0.0f64; lesson.symbols];
    let mut centre = vec![0.0; d];
    for (i, pair) in asked.pairs.iter().enumerate() {
        let token = pair.base[place] as usize;
        counts[token] += 1.0;
        for ((m, c), &x) in means[token].iter_mut().zip(&mut centre).zip(asked.base.row(i)) {
            *m += f64::from(x);
            *c += f64::from(x) / asked.pairs.len() as f64;
        }
    }
    let mut out = vec![0.0; d * d];
    for (mean, n) in means.iter().zip(&counts).filter(|(_, n)| **n > 0.0) {
        let off: Vec<f64> = mean.iter().zip(&centre).map(|(m, c)| m / n - c).collect();
        for (row, a) in out.chunks_exact_mut(d).zip(&off) {
            row.iter_mut().zip(&off).for_each(|(o, b)| *o += n * a * b);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::{Bindings, Context, Program, Stream};

    #[test]
    fn the_rotation_of_an_arm_is_one() {
        let d = 20;
        let mut first = Stream::new(3, "rotation").block(0);
        let q = linalg::random_rotation(d, &mut first);
        let mut g = Graph::new();
        let r = rotation(&mut g, &Tensor::from_fn(&[d, d], |i| q[i] as f32)).unwrap();
        let mut program = Program::compile(&g, &[r]).unwrap();
        let skew: Vec<f32> = (0..d * d).map(|_| first.normal()).collect();
        program.run(&Context::single(), &Bindings::new().with("arm.skew", &skew)).unwrap();
        let r: Vec<f64> = program.output(0).iter().map(|&x| f64::from(x)).collect();
        let product = linalg::product(d, d, d, &r, &linalg::transpose(d, d, &r));
        for (i, x) in product.into_iter().enumerate() {
            let one = f64::from(u8::from(i / d == i % d));
            assert!((x - one).abs() < 1e-4, "{i}: {x}");
        }
    }
}
