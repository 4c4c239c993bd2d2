//! Do things lie to each other as they should? (`geometry`)
//!
//! *Measures* how far the points that a network, or a dictionary's latents, give to the values of a variable
//! have the shape that the data give them: days on a ring (Engels et al. 2024, arXiv 2405.14860). *Intuition*: the coordinates
//! of a shape are arbitrary, so what can be compared are its angles, its best match by turning, scaling and
//! moving, and the order in which it is gone round.
//!
//! With points x and true points y, both less their means:
//!
//! - `angles`: correlation of the angles between x_i and x_j with those between y_i and y_j, over pairs;
//! - `residual`: min over s, R of |x - s y R|^2 / |x|^2 = 1 - (sum of singular values of x^T y)^2 / (|x|^2 |y|^2)
//!   (orthogonal Procrustes, Schönemann 1966, with a scale);
//! - `order`: in the plane of the two greatest principal components, the share of neighbours round the centre that
//!   are neighbours on the ring, the points being in its order.
//!
//! *Null*: the same points under names that changed places, 200 draws.

use crate::Error;
use flyroom_decompose::Dictionary;
use flyroom_organism::{Shape, Subject};
use flyroom_tensor::{Stream, Tensor, linalg, math};
use serde::{Deserialize, Serialize};

/// Draws of the null.
const DRAWS: u64 = 200;

/// Share of the draws below the null's upper end.
const UPPER: f64 = 0.95;

/// How far points have a shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Correlation of pairwise angles.
    pub angles: f64,
    /// Share of the points' variance that the best match leaves.
    pub residual: f64,
    /// Share of neighbours that are neighbours on the ring.
    pub order: f64,
}

/// A fit beside that of names that changed places.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GeometryScore {
    /// The points under their names.
    pub found: Fit,
    /// Mean over draws of other names.
    pub null: Fit,
    /// 95 % of those draws have a smaller correlation of angles.
    pub null_upper: f64,
}

/// Points `[point][coordinate]`.
type Points = Vec<Vec<f64>>;

/// The shape of the mean activations at its site.
pub fn activations(subject: &Subject, shape: &Shape) -> Result<GeometryScore, Error> {
    Ok(score(&points(subject, shape, &shape.site, None)?, &truth(shape)))
}

/// The shape of a dictionary's mean latents at its site, and of the activations there; the error says why it
/// cannot be asked.
pub fn latents(
    subject: &Subject,
    shape: &Shape,
    dictionary: &Dictionary,
) -> Result<Result<(GeometryScore, GeometryScore), &'static str>, Error> {
    let site = subject.runner.site(&dictionary.site)?;
    if site.size() != dictionary.d_in() * subject.task.pos() {
        return Ok(Err("its latents are not those of one vector at each position"));
    }
    let truth = truth(shape);
    let of = |d: Option<&Dictionary>| points(subject, shape, &dictionary.site, d);
    Ok(Ok((score(&of(Some(dictionary))?, &truth), score(&of(None)?, &truth))))
}

fn truth(shape: &Shape) -> Points {
    shape.points.iter().map(|p| p.iter().map(|&x| f64::from(x)).collect()).collect()
}

/// Mean of what lies at the shape's position of a site, token by token; of latents if a dictionary is given.
fn points(
    subject: &Subject,
    shape: &Shape,
    site: &str,
    dictionary: Option<&Dictionary>,
) -> Result<Points, Error> {
    let bad = |why: &str| Err(Error::Trial(format!("the shape at {site}: {why}")));
    let (n, pos) = (shape.points.len(), subject.task.pos());
    let dims = shape.points.first().map_or(0, Vec::len);
    if n < 3 || dims == 0 || shape.points.iter().any(|p| p.len() != dims) || shape.pos >= pos {
        return bad("three or more points of one length, at a position of the inputs");
    }
    let clean = subject.runner.clean(site)?;
    let (inputs, d) = (subject.task.clean, clean.row(0).len() / pos);
    let x: Vec<f32> = (0..inputs)
        .flat_map(|i| clean.row(i)[shape.pos * d..(shape.pos + 1) * d].iter().copied())
        .collect();
    let x = Tensor::new(&[inputs, d], x)?;
    let x = match dictionary {
        Some(dictionary) => dictionary.encode(&x, &subject.context)?,
        None => x,
    };
    let (mut sums, mut counts) = (vec![vec![0.0; x.row(0).len()]; n], vec![0usize; n]);
    for i in 0..inputs {
        let token = subject.task.inputs.token_row(i).get(shape.pos).map(|&t| t as usize);
        let Some(token) = token.filter(|&t| t < n) else { continue };
        counts[token] += 1;
        sums[token].iter_mut().zip(x.row(i)).for_each(|(s, &x)| *s += f64::from(x));
    }
    if counts.contains(&0) {
        return bad("a token that no input has at its position");
    }
    for (sum, &count) in sums.iter_mut().zip(&counts) {
        sum.iter_mut().for_each(|s| *s /= count as f64);
    }
    Ok(sums)
}

/// Fits points to true ones, beside other names.
fn score(x: &Points, y: &Points) -> GeometryScore {
    let found = fit(x, y);
    let mut null = Fit { angles: 0.0, residual: 0.0, order: 0.0 };
    let mut angles = vec![];
    for draw in 0..DRAWS {
        let names = Stream::new(0, "geometry").block(draw).permutation(x.len());
        let renamed: Points = names.into_iter().map(|i| x[i].clone()).collect();
        let other = fit(&renamed, y);
        null.angles += other.angles / DRAWS as f64;
        null.residual += other.residual / DRAWS as f64;
        null.order += other.order / DRAWS as f64;
        angles.push(other.angles);
    }
    angles.sort_by(f64::total_cmp);
    let null_upper = angles[(UPPER * DRAWS as f64) as usize];
    GeometryScore { found, null, null_upper }
}

fn fit(x: &Points, y: &Points) -> Fit {
    let (x, y) = (centred(x), centred(y));
    let (d, m, n) = (x[0].len(), y[0].len(), x.len());
    let (flat_x, flat_y) = (x.concat(), y.concat());
    let sizes = linalg::dot(&flat_x, &flat_x) * linalg::dot(&flat_y, &flat_y);
    let crossed = linalg::product(d, n, m, &linalg::transpose(n, d, &flat_x), &flat_y);
    // Points that are all one have no shape; neither has what is no number.
    let singular = linalg::svd(d, m, &crossed).map_or(0.0, |s| s.s.iter().sum());
    let matched = if sizes > 0.0 { singular * singular / sizes } else { 0.0 };
    let pairs = || (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let angles = |p: &Points| pairs().map(|(i, j)| angle(&p[i], &p[j])).collect::<Vec<_>>();
    Fit {
        angles: correlation(&angles(&x), &angles(&y)),
        residual: 1.0 - matched,
        order: neighbours(&x),
    }
}

fn centred(x: &Points) -> Points {
    let mut mean = vec![0.0; x[0].len()];
    for p in x {
        mean.iter_mut().zip(p).for_each(|(m, p)| *m += p / x.len() as f64);
    }
    x.iter().map(|p| p.iter().zip(&mean).map(|(p, m)| p - m).collect()).collect()
}

/// Angle between two vectors in radians; a right one where one of them is 0.
fn angle(a: &[f64], b: &[f64]) -> f64 {
    let size = (linalg::dot(a, a) * linalg::dot(b, b)).sqrt();
    let cos = if size > 0.0 { (linalg::dot(a, b) / size).clamp(-1.0, 1.0) } else { 0.0 };
    math::atan2_64((1.0 - cos * cos).sqrt(), cos)
}

/// Pearson's; 0 where one side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let less_mean = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
        x.iter().map(|x| x - mean).collect::<Vec<f64>>()
    };
    let (a, b) = (less_mean(a), less_mean(b));
    let size = (linalg::dot(&a, &a) * linalg::dot(&b, &b)).sqrt();
    if size > 0.0 { linalg::dot(&a, &b) / size } else { 0.0 }
}

/// Share of neighbours round the centre of the principal plane that are neighbours in the order of the points.
fn neighbours(x: &Points) -> f64 {
    let (n, d) = (x.len(), x[0].len());
    let Ok(svd) = linalg::svd(n, d, &x.concat()) else { return 0.0 };
    let r = svd.s.len();
    if r < 2 {
        return 0.0;
    }
    let place = |i: usize| math::atan2_64(svd.u[i * r + 1] * svd.s[1], svd.u[i * r] * svd.s[0]);
    let mut round: Vec<(f64, usize)> = (0..n).map(|i| (place(i), i)).collect();
    round.sort_by(|a, b| a.0.total_cmp(&b.0));
    let met = (0..n).filter(|&k| {
        let apart = round[k].1.abs_diff(round[(k + 1) % n].1);
        apart == 1 || apart == n - 1
    });
    met.count() as f64 / n as f64
}

/// The page is a test: every example in it is compiled and run.
#[cfg(doctest)]
mod page {
    #[doc = include_str!("../../../docs/metrics/geometry.md")]
    struct Geometry;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n: usize) -> Points {
        let corner = |i: usize| {
            let (sin, cos) = math::sin_cos_turns64(i as f64 / n as f64);
            vec![cos, sin]
        };
        (0..n).map(corner).collect()
    }

    #[test]
    fn a_shape_that_was_turned_scaled_and_moved_is_the_same_shape() {
        let y = ring(7);
        // Into three dimensions, doubled, mirrored, moved.
        let x: Points = y.iter().map(|p| vec![5.0, 2.0 * p[1] - 1.0, 2.0 * p[0] + 3.0]).collect();
        let s = score(&x, &y);
        assert!((s.found.angles - 1.0).abs() < 1e-9 && s.found.residual.abs() < 1e-9, "{s:?}");
        assert_eq!(s.found.order, 1.0);
        // Other names: two of six others are neighbours by chance; no correlation on average.
        assert!((s.null.order - 1.0 / 3.0).abs() < 0.06 && s.null.angles.abs() < 0.06, "{s:?}");
        assert!(s.null_upper < 0.9 && s.null.residual > 0.5, "{s:?}");
    }

    #[test]
    fn a_ring_that_is_gone_round_in_steps_of_two_is_another() {
        let y = ring(7);
        let x: Points = (0..7).map(|i| y[2 * i % 7].clone()).collect();
        let f = fit(&x, &y);
        assert!(f.angles < 0.5 && f.residual > 0.9, "{f:?}");
        assert_eq!(f.order, 0.0);
        // Half of the variance lies elsewhere: what is left of four dimensions is 1/2.
        let x: Points = (0..7).map(|i| [y[i].clone(), y[2 * i % 7].clone()].concat()).collect();
        assert!((fit(&x, &y).residual - 0.5).abs() < 1e-9);
    }

    #[test]
    fn points_that_are_all_one_have_no_shape() {
        let f = fit(&vec![vec![1.0, 2.0]; 5], &ring(5));
        assert_eq!((f.angles, f.residual), (0.0, 1.0));
        let line: Points = (0..5).map(|i| vec![i as f64]).collect();
        assert_eq!(fit(&line, &ring(5)).order, 0.0);
    }
}
