//! Search for the subspace of a site along which exchanges do what a program says.
//!
//! What no input moves holds no variable, so the search runs in the span of what lies at the site. It
//! starts near the directions that the variable's value explains best and descends on the orthonormal frames of one dimension
//! (Adam on the tangent part of the gradient, then Gram-Schmidt). Beside the loss of the exchange stands
//! the share of the coordinates' variance that the variable's value does not explain, with a small
//! weight: behind a saturated gate many subspaces do the same, and of these the one is taken that holds the
//! variable alone.

use crate::Error;
use crate::candidate::Candidate;
use crate::exchange::Exchange;
use flyroom_tensor::linalg;
use flyroom_tensor::random::Generator;

/// Singular values below this share of the greatest count as 0.
const RANK: f64 = 1e-3;
/// Length of what is added to each direction of a start, start by start.
const SPREADS: [f64; 2] = [0.0, 0.3];
/// What is paid, doing nothing being 1, below which no step is taken any more.
const SETTLED: f64 = 1e-6;
/// What is paid below which no other start is tried.
const DONE: f64 = 1e-2;
/// Gradient that counts as none: it is no reason for a whole step.
const STILL: f64 = 1e-3;
/// Loss above which a third of the steps is enough.
const HOPELESS: f64 = 0.95;
/// Learning rate of the first step; it falls linearly to 0.
const RATE: f64 = 0.05;

/// What lies at a site where a program has variables, and the span of it.
pub(crate) struct Span {
    /// `[sample, unit]`
    x: Vec<f64>,
    width: usize,
    fitted: Vec<bool>,
    /// Orthonormal rows `[rank, unit]`.
    basis: Vec<f64>,
}

/// How a variable's values lie in a span: scatter within them and in all.
struct Scatter {
    rank: usize,
    within: Vec<f64>,
    total: Vec<f64>,
}

/// Settings of a search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    pub steps: usize,
    /// Weight of the variance that the value does not explain.
    pub purity: f64,
}

impl Span {
    /// Of samples `[sample, unit]`, less the subspaces (orthonormal rows) that are taken.
    pub fn new(x: Vec<f64>, width: usize, fitted: Vec<bool>, taken: &[f64]) -> Result<Self, Error> {
        let rows: Vec<&[f64]> =
            x.chunks_exact(width).zip(&fitted).filter(|(_, f)| **f).map(|(x, _)| x).collect();
        let n = rows.len().max(1) as f64;
        let mut mean = vec![0.0; width];
        rows.iter().for_each(|r| mean.iter_mut().zip(*r).for_each(|(m, x)| *m += x / n));
        let mut scatter = vec![0.0; width * width];
        for row in rows {
            let mut c: Vec<f64> = row.iter().zip(&mean).map(|(x, m)| x - m).collect();
            for q in taken.chunks_exact(width) {
                let along = linalg::dot(q, &c);
                c.iter_mut().zip(q).for_each(|(c, q)| *c -= along * q);
            }
            outer(&mut scatter, &c, 1.0 / n);
        }
        let svd = linalg::svd(width, width, &scatter)?;
        let least = RANK * RANK * svd.s.first().copied().unwrap_or(0.0);
        let rank = svd.s.iter().filter(|s| **s > least).count();
        let basis = svd.vt[..rank * width].to_vec();
        Ok(Self { x, width, fitted, basis })
    }

    /// Dimensions.
    pub fn rank(&self) -> usize {
        self.basis.len() / self.width.max(1)
    }

    /// The projector `[unit, unit]` on orthonormal rows `[k, unit]`.
    pub fn projector(&self, rows: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.width * self.width];
        rows.chunks_exact(self.width).for_each(|q| outer(&mut out, q, 1.0));
        out
    }

    fn scatter(&self, variable: &Candidate) -> Scatter {
        let (r, k) = (self.rank(), variable.values.len());
        let mut samples: Vec<(usize, Vec<f64>)> = vec![];
        for (s, v) in variable.of.iter().enumerate() {
            if let (true, Some(v)) = (self.fitted[s], *v) {
                let x = &self.x[s * self.width..(s + 1) * self.width];
                let rows = self.basis.chunks_exact(self.width);
                samples.push((v, rows.map(|b| linalg::dot(b, x)).collect()));
            }
        }
        let mut counts = vec![0.0f64; k];
        let (mut mean, mut means) = (vec![0.0; r], vec![0.0; k * r]);
        for (v, y) in &samples {
            counts[*v] += 1.0;
            mean.iter_mut().zip(y).for_each(|(m, y)| *m += y / samples.len() as f64);
            means[v * r..(v + 1) * r].iter_mut().zip(y).for_each(|(m, y)| *m += y);
        }
        for (m, n) in means.chunks_exact_mut(r.max(1)).zip(&counts) {
            m.iter_mut().for_each(|m| *m /= n.max(1.0));
        }
        let (mut within, mut total) = (vec![0.0; r * r], vec![0.0; r * r]);
        for (v, y) in &samples {
            let own = &means[v * r..(v + 1) * r];
            let off = |from: &[f64]| y.iter().zip(from).map(|(y, m)| y - m).collect::<Vec<f64>>();
            outer(&mut within, &off(own), 1.0 / samples.len() as f64);
            outer(&mut total, &off(&mean), 1.0 / samples.len() as f64);
        }
        Scatter { rank: r, within, total }
    }

    /// Orthonormal rows `[k, unit]` in which a variable lies, by the pairs that an exchange holds: those of
    /// the start from which less is paid.
    pub fn search(
        &self,
        exchange: &mut Exchange,
        variable: &Candidate,
        k: usize,
        settings: Search,
        g: &mut Generator,
    ) -> Result<Vec<f64>, Error> {
        let scatter = self.scatter(variable);
        let mut best: Option<(f64, Vec<f64>)> = None;
        for spread in SPREADS {
            let start = scatter.start(k, spread, g)?;
            let (paid, rows) = self.descend(exchange, &scatter, start, settings)?;
            if best.as_ref().is_none_or(|b| paid < b.0) {
                best = Some((paid, rows));
            }
            if paid < DONE {
                break;
            }
        }
        Ok(best.map(|b| b.1).unwrap_or_default())
    }

    /// Descends from a frame; the least that was paid on the way, and its rows `[k, unit]`.
    fn descend(
        &self,
        exchange: &mut Exchange,
        scatter: &Scatter,
        mut q: Vec<f64>,
        settings: Search,
    ) -> Result<(f64, Vec<f64>), Error> {
        let (r, d) = (self.rank(), self.width);
        let mut best: Option<(f64, Vec<f64>)> = None;
        let k = q.len() / r.max(1);
        let (mut first, mut second) = (vec![0.0; k * r], vec![0.0; k * r]);
        let mut powers = (1.0, 1.0);
        for step in 0..settings.steps {
            let rows = linalg::product(k, r, d, &q, &self.basis);
            let loss = exchange.run(&self.projector(&rows))?;
            let paid = loss + settings.purity * scatter.share(&q);
            if best.as_ref().is_none_or(|b| paid < b.0) {
                best = Some((paid, rows));
            }
            if paid < SETTLED || step == settings.steps / 3 && loss > HOPELESS {
                break;
            }
            // P = B^T q^T q B, so dL/dq = q (G + G^T) with G = B dL/dP B^T.
            let of_p = exchange.gradient();
            let left = linalg::product(r, d, d, &self.basis, &of_p);
            let inner = linalg::product(r, d, r, &left, &linalg::transpose(r, d, &self.basis));
            let turned = linalg::transpose(r, r, &inner);
            let both: Vec<f64> = inner.iter().zip(&turned).map(|(a, b)| a + b).collect();
            let mut gradient = linalg::product(k, r, r, &q, &both);
            scatter.impurity(&q, settings.purity, &mut gradient);
            // What turns the frame within its own subspace changes nothing.
            let own = linalg::product(k, r, k, &gradient, &linalg::transpose(k, r, &q));
            let inside = linalg::product(k, k, r, &own, &q);
            let rate = RATE * (1.0 - step as f64 / settings.steps as f64);
            let (b1, b2) = (0.9f64, 0.99f64);
            powers = (powers.0 * b1, powers.1 * b2);
            let (c1, c2) = (1.0 - powers.0, 1.0 - powers.1);
            let mut all = 0.0;
            for i in 0..k * r {
                let x = gradient[i] - inside[i];
                first[i] = b1 * first[i] + (1.0 - b1) * x;
                second[i] = b2 * second[i] + (1.0 - b2) * x * x;
                all += second[i] / c2;
            }
            // One step length for the whole frame, so that no basis is preferred.
            let length = (all / (k * r) as f64).sqrt() + STILL;
            for i in 0..k * r {
                q[i] -= rate * first[i] / c1 / length;
            }
            q = linalg::orthonormal_rows(k, r, &q, 1e-9);
            if q.len() < k * r {
                break;
            }
        }
        Ok(best.unwrap_or((f64::INFINITY, vec![])))
    }
}

impl Scatter {
    /// A frame of k rows near the directions along which a value explains the most variance (Fisher 1936).
    fn start(&self, k: usize, spread: f64, g: &mut Generator) -> Result<Vec<f64>, Error> {
        let (r, k) = (self.rank, k.min(self.rank));
        // With total = V S V^T and y = S^(-1/2) V^T x all directions vary alike, and the variance within
        // values alone says how much is not explained.
        let (values, vectors) = linalg::symmetric_eigen(r, &self.total)?;
        let least = RANK * RANK * values.first().copied().unwrap_or(0.0);
        let n = values.iter().filter(|s| **s > least).count();
        let mut whiten = vectors[..n * r].to_vec();
        for (row, s) in whiten.chunks_exact_mut(r.max(1)).zip(&values) {
            row.iter_mut().for_each(|x| *x /= s.sqrt());
        }
        let left = linalg::product(n, r, r, &whiten, &self.within);
        let within = linalg::product(n, r, n, &left, &linalg::transpose(n, r, &whiten));
        let (_, turns) = linalg::symmetric_eigen(n, &within)?;
        let purest = linalg::product(n, n, r, &turns, &whiten);
        let own: Vec<f64> =
            purest.chunks_exact(r.max(1)).rev().take(k).flatten().copied().collect();
        let own = linalg::orthonormal_rows(own.len() / r.max(1), r, &own, 1e-9);
        let length = spread / (r.max(1) as f64).sqrt();
        let along = |i: usize| own.get(i).copied().unwrap_or(0.0);
        let rows: Vec<f64> = (0..k * r).map(|i| along(i) + length * g.normal64()).collect();
        Ok(linalg::orthonormal_rows(k, r, &rows, 1e-9))
    }

    /// The share of the coordinates' variance that lies within values.
    fn share(&self, q: &[f64]) -> f64 {
        let (within, total) = (self.along(q, &self.within).1, self.along(q, &self.total).1);
        if total > 0.0 { within / total } else { 1.0 }
    }

    /// q m, and the trace of q m q^T.
    fn along(&self, q: &[f64], m: &[f64]) -> (Vec<f64>, f64) {
        let qm = linalg::product(q.len() / self.rank.max(1), self.rank, self.rank, q, m);
        let trace = qm.iter().zip(q).map(|(a, b)| a * b).sum::<f64>();
        (qm, trace)
    }

    /// Adds the gradient of `weight` times the share of the coordinates' variance within values.
    fn impurity(&self, q: &[f64], weight: f64, gradient: &mut [f64]) {
        let ((of_within, within), (of_total, total)) =
            (self.along(q, &self.within), self.along(q, &self.total));
        if total <= 0.0 {
            return;
        }
        let both = of_within.iter().zip(&of_total);
        for (g, (w, t)) in gradient.iter_mut().zip(both) {
            *g += weight * 2.0 * (w * total - within * t) / (total * total);
        }
    }
}

/// Adds `weight` x x^T.
fn outer(sum: &mut [f64], x: &[f64], weight: f64) {
    for (row, a) in sum.chunks_exact_mut(x.len().max(1)).zip(x) {
        row.iter_mut().zip(x).for_each(|(s, b)| *s += weight * a * b);
    }
}
