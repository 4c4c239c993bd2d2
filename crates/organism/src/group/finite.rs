//! Finite groups by name, and their irreducible representations over the reals.
//!
//! Of a representation everything that is needed here is one function on the group: with d its degree and
//! chi its character, kappa(x) = d chi(x) / |G|, summed over conjugate pairs. The matrix kappa(g h^-1)
//! is the projector onto the functions on G that its matrix elements span (Schur's relations; Serre
//! 1977, section 2.6). Characters of Z_n and D_n are cosines; those of S_n are traces of Young's orthogonal
//! form (James and Kerber 1981, section 3.4); A_n restricts them, and a partition equal to its conjugate
//! falls into two halves (Frobenius; James and Kerber, theorem 2.5.13).

use flyroom_tensor::math::sin_cos_turns64;
use std::collections::BTreeMap;

/// Largest order that is built.
pub(super) const LARGEST: usize = 120;

/// A group with its multiplication table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// `Z24`, `D12` (of order 24), `S4`, `A5`.
    pub name: String,
    /// `[a][b]` is a b; 0 is the identity.
    pub table: Vec<Vec<usize>>,
    /// Of each element.
    pub inverse: Vec<usize>,
    /// The trivial one first.
    pub irreps: Vec<Irrep>,
}

/// What one irreducible representation, or a conjugate pair, spans.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Irrep {
    /// A frequency, a sign, or a partition.
    pub name: String,
    /// kappa of each element.
    pub kernel: Vec<f64>,
}

impl Group {
    /// The group of a name; what names there are, if it is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "'{name}' is no group that is known here; hint: Z2 to Z{LARGEST}, D3 to D{} \
                 (of twice the order), S3, S4, S5, A4, A5",
                LARGEST / 2
            )
        };
        let letter = name.chars().next().ok_or_else(unknown)?;
        let n: usize = name[letter.len_utf8()..].parse().map_err(|_| unknown())?;
        if name != format!("{letter}{n}") {
            return Err(unknown());
        }
        match letter {
            'Z' if (2..=LARGEST).contains(&n) => Ok(cyclic(n)),
            'D' if (3..=LARGEST / 2).contains(&n) => Ok(dihedral(n)),
            'S' if (3..=5).contains(&n) => Ok(symmetric(n)),
            'A' if (4..=5).contains(&n) => Ok(alternating(n)),
            _ => Err(unknown()),
        }
    }

    /// All groups of an order that have a name here.
    pub fn of_order(n: usize) -> Vec<Self> {
        let mut names = vec![format!("Z{n}")];
        names.extend((n.is_multiple_of(2)).then(|| format!("D{}", n / 2)));
        // S3 is D3.
        let others = [(12, "A4"), (24, "S4"), (60, "A5"), (120, "S5")];
        names.extend(others.iter().filter(|(o, _)| *o == n).map(|(_, g)| g.to_string()));
        names.iter().filter_map(|g| Self::named(g).ok()).collect()
    }

    /// How many elements.
    pub fn order(&self) -> usize {
        self.table.len()
    }

    /// From elements and their product; the identity comes first.
    fn new<T: Ord>(name: String, elements: &[T], times: impl Fn(&T, &T) -> T) -> Self {
        let at: BTreeMap<&T, usize> = elements.iter().enumerate().map(|(i, x)| (x, i)).collect();
        let table: Vec<Vec<usize>> =
            elements.iter().map(|a| elements.iter().map(|b| at[&times(a, b)]).collect()).collect();
        let inverse = table.iter().map(|row| row.iter().position(|&c| c == 0).unwrap_or(0));
        let inverse = inverse.collect();
        Self { name, table, inverse, irreps: vec![] }
    }
}

fn cosine(turns: usize, of: usize) -> f64 {
    sin_cos_turns64((turns % of) as f64 / of as f64).1
}

fn cyclic(n: usize) -> Group {
    let elements: Vec<usize> = (0..n).collect();
    let mut group = Group::new(format!("Z{n}"), &elements, |a, b| (a + b) % n);
    let one = |k: usize| {
        let pair = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
        let kernel = (0..n).map(|x| pair / n as f64 * cosine(k * x, n)).collect();
        Irrep { name: k.to_string(), kernel }
    };
    group.irreps = (0..=n / 2).map(one).collect();
    group
}

/// Turn i is element i, turn i behind a reflection is element n + i.
fn dihedral(n: usize) -> Group {
    let elements: Vec<(usize, usize)> =
        [0, 1].iter().flat_map(|&s| (0..n).map(move |i| (s, i))).collect();
    // r^i s = s r^-i.
    let mut group = Group::new(format!("D{n}"), &elements, |&(s, i), &(t, j)| {
        ((s + t) % 2, (if t == 0 { i } else { n - i } + j) % n)
    });
    let irrep = |name: String, degree: f64, character: &dyn Fn(usize, usize) -> f64| {
        let kernel =
            elements.iter().map(|&(s, i)| degree * character(s, i) / (2 * n) as f64).collect();
        Irrep { name, kernel }
    };
    let sign = |x: usize| if x.is_multiple_of(2) { 1.0 } else { -1.0 };
    group.irreps.push(irrep("trivial".into(), 1.0, &|_, _| 1.0));
    group.irreps.push(irrep("reflections".into(), 1.0, &|s, _| sign(s)));
    if n.is_multiple_of(2) {
        group.irreps.push(irrep("odd turns".into(), 1.0, &|_, i| sign(i)));
        group.irreps.push(irrep("odd turns, reflections".into(), 1.0, &|s, i| sign(s + i)));
    }
    for k in 1..n.div_ceil(2) {
        let character = |s: usize, i: usize| if s == 0 { 2.0 * cosine(k * i, n) } else { 0.0 };
        group.irreps.push(irrep(k.to_string(), 2.0, &character));
    }
    group
}

/// Images of 0..n.
type Permutation = Vec<u8>;

fn permutations(n: usize) -> Vec<Permutation> {
    let mut all = vec![vec![]];
    for _ in 0..n {
        all = all
            .iter()
            .flat_map(|p: &Permutation| {
                let left = (0..n as u8).filter(|x| !p.contains(x));
                left.map(|x| [p.as_slice(), &[x]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

/// First b, then a.
fn composed(a: &Permutation, b: &Permutation) -> Permutation {
    b.iter().map(|&x| a[usize::from(x)]).collect()
}

fn even(p: &Permutation) -> bool {
    let pairs = (0..p.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
    pairs.filter(|&(i, j)| p[i] > p[j]).count().is_multiple_of(2)
}

/// Lengths of the cycles, the longest first.
fn cycles(p: &Permutation) -> Vec<usize> {
    let mut seen = vec![false; p.len()];
    let mut lengths = vec![];
    for start in 0..p.len() {
        let (mut at, mut length) = (start, 0);
        while !seen[at] {
            seen[at] = true;
            at = usize::from(p[at]);
            length += 1;
        }
        lengths.extend((length > 0).then_some(length));
    }
    lengths.sort_by(|a, b| b.cmp(a));
    lengths
}

/// Partitions of n, the longest first.
fn partitions(n: usize) -> Vec<Vec<usize>> {
    fn grow(left: usize, most: usize, head: &[usize], out: &mut Vec<Vec<usize>>) {
        if left == 0 {
            out.push(head.to_vec());
        }
        for part in (1..=most.min(left)).rev() {
            grow(left - part, part, &[head, &[part]].concat(), out);
        }
    }
    let mut out = vec![];
    grow(n, n, &[], &mut out);
    out
}

fn conjugate(shape: &[usize]) -> Vec<usize> {
    let longest = shape.first().copied().unwrap_or(0);
    (0..longest).map(|c| shape.iter().filter(|&&row| row > c).count()).collect()
}

/// Standard tableaux of a shape: the row of each number.
fn tableaux(shape: &[usize]) -> Vec<Vec<usize>> {
    let n: usize = shape.iter().sum();
    let mut all = vec![vec![]];
    for _ in 0..n {
        all = all
            .iter()
            .flat_map(|rows: &Vec<usize>| {
                let filled = |r: usize| rows.iter().filter(|&&x| x == r).count();
                let fits = (0..shape.len())
                    .filter(|&r| filled(r) < shape[r] && (r == 0 || filled(r - 1) > filled(r)));
                fits.map(|r| [rows.as_slice(), &[r]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

/// A square matrix, row by row.
type Matrix = Vec<Vec<f64>>;

/// Young's orthogonal form of the transposition of i and i + 1: with r the axial distance of the two in a
/// tableau, 1 / r on it and sqrt(1 - 1 / r^2) to the tableau with the two exchanged.
fn transposition(tableaux: &[Vec<usize>], i: usize) -> Matrix {
    let content = |rows: &[usize], k: usize| {
        let column = rows[..k].iter().filter(|&&r| r == rows[k]).count();
        column as f64 - rows[k] as f64
    };
    let mut matrix = vec![vec![0.0; tableaux.len()]; tableaux.len()];
    for (t, rows) in tableaux.iter().enumerate() {
        let inverse = 1.0 / (content(rows, i + 1) - content(rows, i));
        matrix[t][t] = inverse;
        let mut other = rows.clone();
        other.swap(i, i + 1);
        // Side by side in one row, the two change nothing, and below each other only a sign.
        if let Some(u) = tableaux.iter().position(|x| *x == other).filter(|&u| u != t) {
            matrix[u][t] = (1.0 - inverse * inverse).sqrt();
        }
    }
    matrix
}

/// The matrices of all permutations in the representation of a shape: products of transpositions.
fn young(elements: &[Permutation], shape: &[usize]) -> Vec<Matrix> {
    let n = elements[0].len();
    let tableaux = tableaux(shape);
    let size = tableaux.len();
    let unit = |i: usize| (0..size).map(|j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    let steps: Vec<(Permutation, Matrix)> = (0..n - 1)
        .map(|i| {
            let mut p: Permutation = (0..n as u8).collect();
            p.swap(i, i + 1);
            (p, transposition(&tableaux, i))
        })
        .collect();
    let first: Permutation = (0..n as u8).collect();
    let mut found = BTreeMap::from([(first.clone(), (0..size).map(unit).collect::<Matrix>())]);
    let mut front = vec![first];
    while let Some(p) = front.pop() {
        for (step, matrix) in &steps {
            let next = composed(step, &p);
            if !found.contains_key(&next) {
                let product = times(matrix, &found[&p]);
                found.insert(next.clone(), product);
                front.push(next);
            }
        }
    }
    elements.iter().map(|p| found[p].clone()).collect()
}

fn times(a: &Matrix, b: &Matrix) -> Matrix {
    let entry = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(x, r)| x * r[j]).sum();
    a.iter().map(|row| (0..b.len()).map(|j| entry(row, j)).collect()).collect()
}

fn trace(m: &Matrix) -> f64 {
    m.iter().enumerate().map(|(i, row)| row[i]).sum()
}

fn written(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("+")
}

fn symmetric(n: usize) -> Group {
    let elements = permutations(n);
    let mut group = Group::new(format!("S{n}"), &elements, composed);
    let order = elements.len() as f64;
    for shape in partitions(n) {
        let matrices = young(&elements, &shape);
        let degree = matrices[0].len() as f64;
        let kernel = matrices.iter().map(|m| degree * trace(m) / order).collect();
        group.irreps.push(Irrep { name: written(&shape), kernel });
    }
    group
}

fn alternating(n: usize) -> Group {
    let elements: Vec<Permutation> = permutations(n).into_iter().filter(even).collect();
    let mut group = Group::new(format!("A{n}"), &elements, composed);
    let order = elements.len() as f64;
    for shape in partitions(n) {
        let other = conjugate(&shape);
        // A shape and its conjugate restrict to the same.
        if other > shape {
            continue;
        }
        let characters: Vec<f64> = young(&elements, &shape).iter().map(trace).collect();
        let degree = characters[0];
        if other != shape {
            let kernel = characters.iter().map(|x| degree * x / order).collect();
            group.irreps.push(Irrep { name: written(&shape), kernel });
            continue;
        }
        // The halves differ on permutations whose cycles are the hooks of the diagonal.
        let diagonal = (0..shape.len()).take_while(|&i| shape[i] > i);
        let hooks: Vec<usize> = diagonal.map(|i| 2 * (shape[i] - i) - 1).collect();
        let product = hooks.iter().product::<usize>() as f64;
        if !((n - hooks.len()) / 2).is_multiple_of(2) {
            // Complex halves, conjugate to each other: a pair.
            let kernel = characters.iter().map(|x| degree / 2.0 * x / order).collect();
            group.irreps.push(Irrep { name: written(&shape), kernel });
            continue;
        }
        let split: Vec<usize> =
            (0..elements.len()).filter(|&g| cycles(&elements[g]) == hooks).collect();
        let class: Vec<usize> = (0..elements.len())
            .map(|g| group.table[group.table[g][split[0]]][group.inverse[g]])
            .collect();
        for (half, sign) in [("first", 1.0), ("second", -1.0)] {
            let character = |g: usize| {
                let side = match (split.contains(&g), class.contains(&g)) {
                    (false, _) => 0.0,
                    (_, true) => sign,
                    _ => -sign,
                };
                (characters[g] + side * product.sqrt()) / 2.0
            };
            let kernel = (0..elements.len()).map(|g| degree / 2.0 * character(g) / order).collect();
            group.irreps.push(Irrep { name: format!("{}, {half}", written(&shape)), kernel });
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        ["Z7", "Z12", "D3", "D5", "D12", "S3", "S4", "S5", "A4", "A5"]
            .map(|g| Group::named(g).unwrap())
            .to_vec()
    }

    #[test]
    fn tables_are_groups() {
        for g in groups() {
            let n = g.order();
            for a in 0..n {
                assert_eq!((g.table[0][a], g.table[a][0]), (a, a), "{}", g.name);
                assert_eq!((g.table[a][g.inverse[a]], g.table[g.inverse[a]][a]), (0, 0));
                for b in 0..n {
                    let ab = g.table[a][b];
                    assert!((0..n).all(|c| g.table[ab][c] == g.table[a][g.table[b][c]]));
                }
            }
        }
    }

    // Schur's relations: kappa * kappa' is kappa or 0, and all of them add up to the unit.
    #[test]
    fn kernels_are_projectors_at_right_angles_that_add_up_to_the_identity() {
        for g in groups() {
            let n = g.order();
            for (i, one) in g.irreps.iter().enumerate() {
                for (j, other) in g.irreps.iter().enumerate() {
                    for x in 0..n {
                        let folded: f64 = (0..n)
                            .map(|y| one.kernel[g.table[x][g.inverse[y]]] * other.kernel[y])
                            .sum();
                        let wanted = if i == j { one.kernel[x] } else { 0.0 };
                        assert!((folded - wanted).abs() < 1e-12, "{} {i} {j} {x}", g.name);
                    }
                }
            }
            for x in 0..n {
                let sum: f64 = g.irreps.iter().map(|r| r.kernel[x]).sum();
                let wanted = if x == 0 { 1.0 } else { 0.0 };
                assert!((sum - wanted).abs() < 1e-12, "{} {x}", g.name);
            }
        }
    }

    #[test]
    fn youngs_matrices_are_orthogonal_and_multiply_as_permutations_do() {
        for n in [3, 4] {
            let elements = permutations(n);
            let g = symmetric(n);
            for shape in partitions(n) {
                let m = young(&elements, &shape);
                for a in 0..elements.len() {
                    for b in 0..elements.len() {
                        let product = times(&m[a], &m[b]);
                        let of = &m[g.table[a][b]];
                        for (x, y) in product.iter().flatten().zip(of.iter().flatten()) {
                            assert!((x - y).abs() < 1e-12, "{shape:?} {a} {b}");
                        }
                    }
                    let back = &m[g.inverse[a]];
                    let size = back.len();
                    let turned = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
                    for (i, j) in turned {
                        assert!((m[a][i][j] - back[j][i]).abs() < 1e-12);
                    }
                }
            }
        }
    }

    // Dimensions d^2 of what each representation spans, from any character table.
    #[test]
    fn degrees_are_those_of_the_character_tables() {
        for (name, squares) in [
            ("S4", vec![1, 9, 4, 9, 1]),
            ("S5", vec![1, 16, 25, 36, 25, 16, 1]),
            ("A5", vec![1, 16, 25, 9, 9]),
            ("A4", vec![1, 9, 2]),
            ("D12", vec![1, 1, 1, 1, 4, 4, 4, 4, 4]),
            ("Z6", vec![1, 2, 2, 1]),
        ] {
            let g = Group::named(name).unwrap();
            let found: Vec<f64> = g.irreps.iter().map(|r| r.kernel[0] * g.order() as f64).collect();
            assert_eq!(found.len(), squares.len(), "{name}");
            for (x, d) in found.iter().zip(squares) {
                assert!((x - f64::from(d)).abs() < 1e-9, "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn names_that_are_no_group_say_which_are() {
        for name in ["", "Z", "Z1", "Z121", "Q8", "S6", "D2", "Z07", "S-3", "\u{3b6}4"] {
            assert!(Group::named(name).unwrap_err().contains("hint"), "{name}");
        }
        let of_24: Vec<String> = Group::of_order(24).into_iter().map(|g| g.name).collect();
        assert_eq!(of_24, ["Z24", "D12", "S4"]);
    }
}
