//! Ranks with ties, and the correlations made of them.

/// Ranks from 1, ties share the mean of their ranks.
///
/// ```
/// use flyroom_bench::statistics::ranks;
/// assert_eq!(ranks(&[0.5, 0.1, 0.5, 0.9]), [2.5, 1.0, 2.5, 4.0]);
/// ```
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        // `==` and not `total_cmp`: 0 and -0 are a tie.
        let run = order[first..]
            .iter()
            .take_while(|i| values[**i] == values[order[first]])
            .count()
            .max(1);
        let shared = (2 * first + run + 1) as f64 / 2.0;
        for i in &order[first..first + run] {
            ranks[*i] = shared;
        }
        first += run;
    }
    ranks
}

/// Spearman's rho: Pearson's correlation of ranks. `None` for lists of different length, below two
/// values, or where one side is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let middle = (x.len() + 1) as f64 / 2.0;
    let (a, b) = (ranks(x), ranks(y));
    let product = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>()
    };
    let norm = product(&a, &a) * product(&b, &b);
    (norm > 0.0).then(|| (product(&a, &b) / norm.sqrt()).clamp(-1.0, 1.0))
}

/// Kendall's tau-b (1945): (concordant - discordant) / sqrt((n0 - ties in x)(n0 - ties in y)), over
/// all n0 = n (n - 1) / 2 pairs. `None` as for [`spearman`].
pub fn kendall_tau_b(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let sign = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
    let (mut score, mut pairs_x, mut pairs_y) = (0i64, 0u64, 0u64);
    for i in 0..x.len() {
        for j in 0..i {
            let (dx, dy) = (sign(x[i], x[j]), sign(y[i], y[j]));
            score += dx * dy;
            pairs_x += dx.unsigned_abs();
            pairs_y += dy.unsigned_abs();
        }
    }
    let norm = (pairs_x as f64 * pairs_y as f64).sqrt();
    (norm > 0.0).then(|| (score as f64 / norm).clamp(-1.0, 1.0))
}
