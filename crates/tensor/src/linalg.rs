//! Small dense linear algebra in f64: singular values, eigenvectors, least squares, rotations.
//!
//! *Why our own.* The crates that do this choose their instructions and their blocking from the CPU
//! at run time (faer through pulp and the cache sizes; nalgebra through matrixmultiply), so
//! their last bits are the machine's. What is needed here is small (hundreds of rows), and Jacobi's
//! methods are short, as accurate as any, and made of plain rotations in a fixed order: the same bits
//! everywhere, in plain f64 on one thread.
//!
//! Matrices are row-major slices with their number of rows and columns. Inner products use eight
//! virtual lanes, folded 4-2-1.
//!
//! ```
//! use flyroom_tensor::linalg;
//! let svd = linalg::svd(2, 2, &[3.0, 0.0, 0.0, -2.0])?;
//! assert_eq!(svd.s, [3.0, 2.0]);
//! # Ok::<(), linalg::LinalgError>(())
//! ```

use crate::random::Generator;

/// Why a decomposition or a solution does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinalgError {
    /// NaN or infinity among the inputs.
    #[error("the matrix holds a value that is not finite")]
    NotFinite,
    /// Least squares without a unique solution.
    #[error(
        "the matrix is singular to working precision at column {0}; \
         hint: add a ridge, or drop columns that depend on others"
    )]
    Singular(usize),
}

const LANES: usize = 8;

/// The inner product: eight lanes, folded 4-2-1.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    let mut sum = [0.0; LANES];
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x.iter().zip(y) {
        for i in 0..LANES {
            sum[i] += x[i] * y[i];
        }
    }
    for (i, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
        sum[i] += x * y;
    }
    let four: [f64; 4] = std::array::from_fn(|i| sum[i] + sum[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// y += c x
fn axpy(y: &mut [f64], c: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += c * x);
}

fn check(x: &[f64]) -> Result<(), LinalgError> {
    if x.iter().all(|x| x.is_finite()) { Ok(()) } else { Err(LinalgError::NotFinite) }
}

/// The transpose of x \[rows, cols\].
pub fn transpose(rows: usize, cols: usize, x: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), rows * cols);
    let mut out = vec![0.0; x.len()];
    for i in 0..rows {
        for j in 0..cols {
            out[j * rows + i] = x[i * cols + j];
        }
    }
    out
}

/// x \[m, k\] times y \[k, n\]: one ascending chain for each element.
pub fn product(m: usize, k: usize, n: usize, x: &[f64], y: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), m * k);
    assert_eq!(y.len(), k * n);
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for l in 0..k {
            axpy(&mut out[i * n..(i + 1) * n], x[i * k + l], &y[l * n..(l + 1) * n]);
        }
    }
    out
}

/// A = u diag(s) vt with r = min(rows, cols).
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// \[rows, r\], orthonormal columns.
    pub u: Vec<f64>,
    /// \[r\], descending, not negative.
    pub s: Vec<f64>,
    /// \[r, cols\], orthonormal rows; in each the entry of greatest magnitude is positive.
    pub vt: Vec<f64>,
}

/// Rotates the rows of `a` \[n, width\] until they are orthogonal (one-sided Jacobi; Hestenes 1958),
/// and the rows of `j` \[n, n\] with them, so that the old `a` is the transpose of `j` times the new.
fn orthogonalise_rows(n: usize, width: usize, a: &mut [f64], j: &mut [f64]) {
    // Rows count as orthogonal when the cosine of their angle is rounding error.
    let tolerance = f64::EPSILON * (width as f64).sqrt().max(1.0);
    // Convergence is quadratic: six to ten sweeps in practice, 60 never.
    for _ in 0..60 {
        let mut rotated = false;
        let mut squares: Vec<f64> =
            (0..n).map(|i| dot(&a[i * width..][..width], &a[i * width..][..width])).collect();
        for p in 0..n {
            for q in p + 1..n {
                let (head, tail) = a.split_at_mut(q * width);
                let (x, y) = (&mut head[p * width..][..width], &mut tail[..width]);
                let xy = dot(x, y);
                let (xx, yy) = (squares[p], squares[q]);
                if xy == 0.0 || xy.abs() <= tolerance * (xx.sqrt() * yy.sqrt()) {
                    continue;
                }
                rotated = true;
                // tan of the angle that makes them orthogonal, the smaller of the two (Rutishauser).
                let zeta = (yy - xx) / (2.0 * xy);
                let t = if zeta.abs() > 1e150 {
                    0.5 / zeta
                } else {
                    zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt())
                };
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = c * t;
                rotate(x, y, c, s);
                squares[p] = dot(x, x);
                squares[q] = dot(y, y);
                let (head, tail) = j.split_at_mut(q * n);
                rotate(&mut head[p * n..][..n], &mut tail[..n], c, s);
            }
        }
        if !rotated {
            break;
        }
    }
}

/// (x, y) = (c x - s y, s x + c y)
fn rotate(x: &mut [f64], y: &mut [f64], c: f64, s: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

fn identity(n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    out.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    out
}

/// The singular value decomposition of a \[rows, cols\].
pub fn svd(rows: usize, cols: usize, a: &[f64]) -> Result<Svd, LinalgError> {
    assert_eq!(a.len(), rows * cols);
    check(a)?;
    if rows > cols {
        let t = svd(cols, rows, &transpose(rows, cols, a))?;
        let mut out =
            Svd { u: transpose(cols, rows, &t.vt), s: t.s, vt: transpose(cols, cols, &t.u) };
        fix_signs(rows, cols, cols, &mut out);
        return Ok(out);
    }
    // Scaled to magnitude 1, so that no square overflows or vanishes.
    let scale = a.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let unit = if scale > 0.0 { scale } else { 1.0 };
    let mut rotated: Vec<f64> = a.iter().map(|x| x / unit).collect();
    let mut j = identity(rows);
    orthogonalise_rows(rows, cols, &mut rotated, &mut j);
    let lengths: Vec<f64> = (0..rows)
        .map(|i| {
            let row = &rotated[i * cols..(i + 1) * cols];
            dot(row, row).sqrt()
        })
        .collect();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|&x, &y| lengths[y].total_cmp(&lengths[x]));
    let s: Vec<f64> = order.iter().map(|&i| lengths[i] * unit).collect();
    // Rows that vanished have no direction of their own: any orthonormal completion serves.
    let floor = order.first().map_or(0.0, |&i| lengths[i]) * f64::EPSILON * cols as f64;
    let mut vt = Vec::with_capacity(rows * cols);
    for &i in order.iter().filter(|&&i| lengths[i] > floor) {
        vt.extend(rotated[i * cols..(i + 1) * cols].iter().map(|x| x / lengths[i]));
    }
    complete_rows(rows, cols, &mut vt);
    let mut u = vec![0.0; rows * rows];
    for (r, &i) in order.iter().enumerate() {
        for l in 0..rows {
            u[l * rows + r] = j[i * rows + l];
        }
    }
    let mut out = Svd { u, s, vt };
    fix_signs(rows, rows, cols, &mut out);
    Ok(out)
}

/// Makes the entry of greatest magnitude of each row of vt positive. `u` is \[rows, r\].
fn fix_signs(rows: usize, r: usize, cols: usize, svd: &mut Svd) {
    for i in 0..r {
        let row = &mut svd.vt[i * cols..(i + 1) * cols];
        let greatest = row.iter().fold(0.0f64, |m, &x| if x.abs() > m.abs() { x } else { m });
        if greatest < 0.0 {
            row.iter_mut().for_each(|x| *x = -*x);
            for l in 0..rows {
                svd.u[l * r + i] = -svd.u[l * r + i];
            }
        }
    }
}

/// Appends unit vectors, made orthogonal, until there are `rows` orthonormal rows.
fn complete_rows(rows: usize, cols: usize, basis: &mut Vec<f64>) {
    let mut next = 0;
    while basis.len() < rows * cols {
        let mut row = vec![0.0; cols];
        row[next] = 1.0;
        next += 1;
        if reject(basis, cols, &mut row) > 0.5 / (cols as f64).sqrt() {
            normalise(&mut row);
            basis.extend(row);
        }
    }
}

/// Removes from `row` its part in the span of the orthonormal rows of `basis`, twice (Kahan and Parlett:
/// twice is enough); returns the length of what is left.
fn reject(basis: &[f64], cols: usize, row: &mut [f64]) -> f64 {
    for _ in 0..2 {
        for b in basis.chunks_exact(cols) {
            let c = dot(b, row);
            axpy(row, -c, b);
        }
    }
    dot(row, row).sqrt()
}

fn normalise(row: &mut [f64]) {
    let length = dot(row, row).sqrt();
    row.iter_mut().for_each(|x| *x /= length);
}

/// Eigenvalues (descending) and eigenvectors (as rows, \[n, n\]) of a symmetric matrix \[n, n\], of which
/// the lower triangle is read. Errors are absolute: rounding errors of the greatest row sum.
///
/// Jacobi's rotations on the matrix made positive by a multiple of the identity; the values are
/// the Rayleigh quotients of the vectors.
pub fn symmetric_eigen(n: usize, a: &[f64]) -> Result<(Vec<f64>, Vec<f64>), LinalgError> {
    assert_eq!(a.len(), n * n);
    check(a)?;
    let mut full = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            full[i * n + j] = a[i * n + j];
            full[j * n + i] = a[i * n + j];
        }
    }
    let bound = full
        .chunks_exact(n.max(1))
        .map(|row| row.iter().fold(0.0, |s, x| s + x.abs()))
        .fold(0.0f64, f64::max);
    if bound == 0.0 {
        return Ok((vec![0.0; n], identity(n)));
    }
    // Scaled, shifted above every Gershgorin disc.
    let mut shifted: Vec<f64> = full.iter().map(|x| x / bound).collect();
    shifted.iter_mut().step_by(n + 1).for_each(|x| *x += 1.0);
    let mut j = identity(n);
    orthogonalise_rows(n, n, &mut shifted, &mut j);
    let mut pairs: Vec<(f64, &[f64])> = j
        .chunks_exact(n)
        .map(|v| {
            let quotient = (0..n).fold(0.0, |s, i| s + v[i] * dot(&full[i * n..(i + 1) * n], v));
            (quotient / dot(v, v), v)
        })
        .collect();
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
    let mut vectors = Vec::with_capacity(n * n);
    for (_, v) in &pairs {
        let greatest = v.iter().fold(0.0f64, |m, &x| if x.abs() > m.abs() { x } else { m });
        let sign = if greatest < 0.0 { -1.0 } else { 1.0 };
        vectors.extend(v.iter().map(|x| sign * x));
    }
    Ok((pairs.iter().map(|p| p.0).collect(), vectors))
}

/// The Cholesky factor: lower triangular l with a = l l^T, of a symmetric positive definite matrix
/// \[n, n\] (lower triangle read).
pub fn cholesky(n: usize, a: &[f64]) -> Result<Vec<f64>, LinalgError> {
    assert_eq!(a.len(), n * n);
    check(a)?;
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        let (done, row) = l.split_at_mut(i * n);
        for j in 0..i {
            let other = &done[j * n..(j + 1) * n];
            row[j] = (a[i * n + j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let rest = a[i * n + i] - dot(&row[..i], &row[..i]);
        // What rounding alone leaves of a dependent column.
        if rest <= a[i * n + i].abs() * f64::EPSILON * n as f64 {
            return Err(LinalgError::Singular(i));
        }
        row[i] = rest.sqrt();
    }
    Ok(l)
}

/// Solves l l^T w = y in place: l lower triangular \[n, n\], y \[n, q\].
fn cholesky_solve(n: usize, q: usize, l: &[f64], y: &mut [f64]) {
    for i in 0..n {
        let (done, rest) = y.split_at_mut(i * q);
        let row = &mut rest[..q];
        for j in 0..i {
            axpy(row, -l[i * n + j], &done[j * q..(j + 1) * q]);
        }
        row.iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    for i in (0..n).rev() {
        let (head, done) = y.split_at_mut((i + 1) * q);
        let row = &mut head[i * q..];
        for j in i + 1..n {
            axpy(row, -l[j * n + i], &done[(j - i - 1) * q..(j - i) * q]);
        }
        row.iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
}

/// w \[p, q\] that minimises |x w - y|^2 + lambda |w|^2, for x \[n, p\] and y \[n, q\], from the normal
/// equations (x^T x + lambda) w = x^T y: good to about the square of the condition number in
/// rounding errors.
pub fn ridge(
    n: usize,
    p: usize,
    q: usize,
    x: &[f64],
    y: &[f64],
    lambda: f64,
) -> Result<Vec<f64>, LinalgError> {
    assert_eq!(x.len(), n * p);
    assert_eq!(y.len(), n * q);
    check(x)?;
    check(y)?;
    let mut gram = vec![0.0; p * p];
    let mut w = vec![0.0; p * q];
    for i in 0..n {
        let row = &x[i * p..(i + 1) * p];
        for j in 0..p {
            axpy(&mut gram[j * p..j * p + j + 1], row[j], &row[..=j]);
            axpy(&mut w[j * q..(j + 1) * q], row[j], &y[i * q..(i + 1) * q]);
        }
    }
    gram.iter_mut().step_by(p + 1).for_each(|g| *g += lambda);
    let l = cholesky(p, &gram)?;
    cholesky_solve(p, q, &l, &mut w);
    Ok(w)
}

/// w \[p, q\] that minimises |x w - y|^2; an error where it is not unique.
pub fn solve_least_squares(
    n: usize,
    p: usize,
    q: usize,
    x: &[f64],
    y: &[f64],
) -> Result<Vec<f64>, LinalgError> {
    ridge(n, p, q, x, y, 0.0)
}

/// The Moore-Penrose inverse \[cols, rows\]: singular values below `tolerance` times the greatest count
/// as 0.
pub fn pinv(rows: usize, cols: usize, a: &[f64], tolerance: f64) -> Result<Vec<f64>, LinalgError> {
    let svd = svd(rows, cols, a)?;
    let r = svd.s.len();
    let floor = svd.s.first().map_or(0.0, |s| s * tolerance);
    let mut out = vec![0.0; cols * rows];
    for i in (0..r).filter(|&i| svd.s[i] > floor) {
        for j in 0..cols {
            let c = svd.vt[i * cols + j] / svd.s[i];
            for l in 0..rows {
                out[j * rows + l] += c * svd.u[l * r + i];
            }
        }
    }
    Ok(out)
}

/// An orthonormal basis (\[rank, cols\]) of the span of the rows of a, in their order (Gram-Schmidt,
/// twice): a row whose part outside the span of those before it is shorter than `tolerance` times
/// its length adds nothing.
pub fn orthonormal_rows(rows: usize, cols: usize, a: &[f64], tolerance: f64) -> Vec<f64> {
    assert_eq!(a.len(), rows * cols);
    let mut basis = vec![];
    for i in 0..rows {
        let mut row = a[i * cols..(i + 1) * cols].to_vec();
        let length = dot(&row, &row).sqrt();
        if length > 0.0 && reject(&basis, cols, &mut row) > tolerance * length {
            normalise(&mut row);
            basis.extend(row);
        }
    }
    basis
}

/// A random orthogonal matrix \[n, n\], uniform over all of them (determinant +1 or -1): the
/// Gram-Schmidt basis of n rows of normals (Stewart 1980).
pub fn random_rotation(n: usize, generator: &mut Generator) -> Vec<f64> {
    let mut basis = Vec::with_capacity(n * n);
    while basis.len() < n * n {
        let mut row: Vec<f64> = (0..n).map(|_| generator.normal64()).collect();
        // A row inside the span of the others has probability 0: drawn again.
        if reject(&basis, n, &mut row) > 1e-9 {
            normalise(&mut row);
            basis.extend(row);
        }
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn normals(n: usize, seed: u64) -> Vec<f64> {
        let mut g = Stream::new(seed, "linalg").block(0);
        (0..n).map(|_| g.normal64()).collect()
    }

    fn assert_close(x: &[f64], y: &[f64], tolerance: f64) {
        assert_eq!(x.len(), y.len());
        for (x, y) in x.iter().zip(y) {
            assert!((x - y).abs() <= tolerance, "{x} {y}");
        }
    }

    fn assert_orthonormal(rows: usize, cols: usize, a: &[f64]) {
        let gram = product(rows, cols, rows, a, &transpose(rows, cols, a));
        assert_close(&gram, &identity(rows), 1e-13);
    }

    #[test]
    fn svd_gives_back_the_matrix_with_orthonormal_factors() {
        for (rows, cols) in [(0, 0), (0, 3), (1, 1), (1, 5), (5, 1), (7, 13), (40, 17), (64, 64)] {
            let a = normals(rows * cols, 1);
            let svd = svd(rows, cols, &a).expect("finite");
            let r = rows.min(cols);
            assert_orthonormal(r, cols, &svd.vt);
            assert_orthonormal(r, rows, &transpose(rows, r, &svd.u));
            assert!(svd.s.is_sorted_by(|x, y| x >= y));
            let mut scaled = svd.vt.clone();
            for i in 0..r {
                scaled[i * cols..(i + 1) * cols].iter_mut().for_each(|x| *x *= svd.s[i]);
            }
            assert_close(&product(rows, r, cols, &svd.u, &scaled), &a, 1e-13);
        }
    }

    #[test]
    fn svd_of_a_deficient_matrix_has_zeros_and_full_bases() {
        // Rank 1 with singular value |x| |y| = sqrt(14) sqrt(77).
        let (x, y) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 0.0]);
        let a = product(3, 1, 4, &x, &y);
        let svd = svd(3, 4, &a).expect("finite");
        assert!((svd.s[0] - (14.0f64 * 77.0).sqrt()).abs() < 1e-13);
        assert!(svd.s[1] < 1e-14 && svd.s[2] < 1e-14);
        assert_orthonormal(3, 4, &svd.vt);
        assert_orthonormal(3, 3, &transpose(3, 3, &svd.u));
        let zero = super::svd(2, 3, &[0.0; 6]).expect("finite");
        assert_orthonormal(2, 3, &zero.vt);
    }

    #[test]
    fn eigenvectors_diagonalise_indefinite_matrices() {
        for n in [0, 1, 2, 13, 50] {
            let x = normals(n * n, 2);
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    a[i * n + j] = x[i * n + j] + x[j * n + i];
                }
            }
            let (values, vectors) = symmetric_eigen(n, &a).expect("finite");
            assert_orthonormal(n, n, &vectors);
            assert!(values.is_sorted_by(|x, y| x >= y));
            for i in 0..n {
                let v = &vectors[i * n..(i + 1) * n];
                let av = product(n, n, 1, &a, v);
                let lv: Vec<f64> = v.iter().map(|x| x * values[i]).collect();
                assert_close(&av, &lv, 1e-12 * n as f64);
            }
        }
    }

    #[test]
    fn least_squares_finds_the_planted_weights_and_refuses_dependent_columns() {
        let (n, p, q) = (50, 6, 2);
        let (x, w) = (normals(n * p, 3), normals(p * q, 4));
        let y = product(n, p, q, &x, &w);
        let found = solve_least_squares(n, p, q, &x, &y).expect("full rank");
        assert_close(&found, &w, 1e-12);
        let doubled: Vec<f64> = x.chunks(p).flat_map(|r| [r, &r[..1]].concat()).collect();
        let error = solve_least_squares(n, p + 1, q, &doubled, &y);
        assert_eq!(error, Err(LinalgError::Singular(6)));
        assert!(ridge(n, p + 1, q, &doubled, &y, 1e-3).is_ok());
        let nan = solve_least_squares(1, 1, 1, &[f64::NAN], &[0.0]);
        assert_eq!(nan, Err(LinalgError::NotFinite));
    }

    #[test]
    fn pinv_is_the_inverse_of_a_square_and_a_left_inverse_of_a_tall_matrix() {
        let a = normals(9 * 4, 5);
        let inverse = pinv(9, 4, &a, 1e-12).expect("finite");
        assert_close(&product(4, 9, 4, &inverse, &a), &identity(4), 1e-12);
    }

    #[test]
    fn rotations_are_orthogonal_and_bases_have_the_rank_of_their_rows() {
        let rotation = random_rotation(20, &mut Stream::new(1, "rotation").block(0));
        assert_orthonormal(20, 20, &rotation);
        let mut a = normals(3 * 8, 6);
        a.extend_from_within(..8);
        assert_eq!(orthonormal_rows(4, 8, &a, 1e-10).len(), 3 * 8);
    }

    #[test]
    fn the_test_vector_of_bits_md_holds() {
        let a = normals(23 * 37, 9);
        let svd = svd(23, 37, &a).expect("finite");
        let gram = product(23, 37, 23, &a, &transpose(23, 37, &a));
        let (values, vectors) = symmetric_eigen(23, &gram).expect("finite");
        let all = [svd.u, svd.s, svd.vt, values, vectors].concat();
        let bytes: Vec<u8> = all.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(crate::hash::bytes(&bytes).to_string(), VECTOR);
    }

    const VECTOR: &str = "349e926b4d4eaf8782aca311cd9681588afbf5e53cf7ca739c76bd26b42b50a3";
}
