//! Products of two arrays by axis letters: `"bpd,hdk->bphk"`.
//!
//! One operation covers every product of a transformer and every product of its derivatives: the
//! cotangent of an operand is again an einsum of the other operand with the result's cotangent.
//! Letters in both operands and the result are batch axes, letters in both operands alone are
//! summed, in the order in which the left operand has them; each sum is one ascending chain of
//! fused multiply-adds. A letter in one operand alone that the result lacks is an error.

use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::kernels::product::Product;
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value};
use std::sync::Arc;

/// A product of two operands.
#[derive(Debug, Clone)]
pub struct Einsum {
    left: Vec<char>,
    right: Vec<char>,
    result: Vec<char>,
    /// Shapes of the operands and of the result.
    shapes: [Vec<usize>; 2],
    shape: Vec<usize>,
    tables: Tables,
    product: Product,
}

/// Element offsets of every index tuple: batch (a, b, c), m (a, c), n (b, c), k (a, b).
#[derive(Debug, Clone)]
struct Tables {
    batch: Vec<[usize; 3]>,
    m: Vec<[usize; 2]>,
    n: Vec<[usize; 2]>,
    k: Vec<[usize; 2]>,
}

fn formula_error(formula: &str, why: impl Into<String>) -> Error {
    Error::Formula { formula: formula.into(), why: why.into() }
}

/// Offsets of every index tuple over `axes` (letter, length) in an operand with `strides`.
fn offsets(axes: &[(char, usize)], letters: &[char], shape: &[usize]) -> Vec<usize> {
    let stride = |c: char| match letters.iter().position(|&l| l == c) {
        Some(i) => shape[i + 1..].iter().product::<usize>(),
        None => 0,
    };
    let mut out = vec![0usize];
    for &(c, len) in axes {
        let s = stride(c);
        out = out.iter().flat_map(|&base| (0..len).map(move |i| base + i * s)).collect();
    }
    if axes.iter().any(|a| a.1 == 0) { vec![] } else { out }
}

impl Einsum {
    /// Reads a formula for operands of the given shapes.
    pub fn new(formula: &str, a: &[usize], b: &[usize]) -> Result<Self, Error> {
        let bad = |why: &str| formula_error(formula, why);
        let (operands, result) = formula.split_once("->").ok_or_else(|| bad("no '->'"))?;
        let (left, right) = operands.split_once(',').ok_or_else(|| bad("two operands wanted"))?;
        let letters = |s: &str| s.chars().collect::<Vec<char>>();
        Self::from_letters(letters(left), letters(right), letters(result), a, b)
    }

    fn from_letters(
        left: Vec<char>,
        right: Vec<char>,
        result: Vec<char>,
        a: &[usize],
        b: &[usize],
    ) -> Result<Self, Error> {
        let formula = || {
            let s = |x: &[char]| x.iter().collect::<String>();
            format!("{},{}->{}", s(&left), s(&right), s(&result))
        };
        if left.len() != a.len() || right.len() != b.len() {
            let why = format!("operands have {} and {} axes", a.len(), b.len());
            return Err(formula_error(&formula(), why));
        }
        let mut lengths: Vec<(char, usize)> = vec![];
        for (&c, &n) in left.iter().chain(&right).zip(a.iter().chain(b)) {
            match lengths.iter().find(|(l, _)| *l == c) {
                Some(&(_, m)) if m != n => {
                    return Err(shapes_error(
                        "einsum",
                        &[a, b],
                        format!("axis '{c}' is {m} and {n}"),
                    ));
                }
                Some(_) => {}
                None => lengths.push((c, n)),
            }
        }
        let repeated = |x: &[char]| (1..x.len()).any(|i| x[..i].contains(&x[i]));
        if repeated(&left) || repeated(&right) || repeated(&result) {
            return Err(formula_error(&formula(), "a letter twice in one operand"));
        }
        let length = |c: char| lengths.iter().find(|(l, _)| *l == c).map(|x| x.1);
        let (mut batch, mut m, mut n, mut k) = (vec![], vec![], vec![], vec![]);
        let mut shape = vec![];
        for &c in &result {
            let len = length(c)
                .ok_or_else(|| formula_error(&formula(), format!("'{c}' is in no operand")))?;
            shape.push(len);
            match (left.contains(&c), right.contains(&c)) {
                (true, true) => batch.push((c, len)),
                (true, false) => m.push((c, len)),
                _ => n.push((c, len)),
            }
        }
        for &(c, len) in &lengths {
            if result.contains(&c) {
                continue;
            }
            if !(left.contains(&c) && right.contains(&c)) {
                return Err(formula_error(&formula(), format!("'{c}' would be summed alone")));
            }
            k.push((c, len));
        }
        let in_a = |axes: &[(char, usize)]| offsets(axes, &left, a);
        let in_b = |axes: &[(char, usize)]| offsets(axes, &right, b);
        let in_c = |axes: &[(char, usize)]| offsets(axes, &result, &shape);
        let pair = |x: Vec<usize>, y: Vec<usize>| {
            x.into_iter().zip(y).map(|(x, y)| [x, y]).collect::<Vec<_>>()
        };
        let batch = in_a(&batch)
            .into_iter()
            .zip(in_b(&batch))
            .zip(in_c(&batch))
            .map(|((x, y), z)| [x, y, z])
            .collect();
        let m = pair(in_a(&m), in_c(&m));
        let n = pair(in_b(&n), in_c(&n));
        let k = pair(in_a(&k), in_b(&k));
        let tables = Tables { batch, m, n, k };
        let Tables { batch, m, n, k } = tables.clone();
        let product = Product::new(batch, m, n, k);
        Ok(Self { left, right, result, shapes: [a.to_vec(), b.to_vec()], shape, tables, product })
    }

    /// Shapes of the operands.
    pub(crate) fn shapes(&self) -> &[Vec<usize>; 2] {
        &self.shapes
    }

    /// The same result where an operand is equal along an axis and has it no more; `None` where the
    /// other does not have it either.
    pub(crate) fn without(&self, operand: usize, axis: usize) -> Option<Self> {
        let mut letters = [self.left.clone(), self.right.clone()];
        let letter = letters[operand].remove(axis);
        let mut shapes = self.shapes.clone();
        shapes[operand].remove(axis);
        let there = self.result.contains(&letter) && letters[1 - operand].contains(&letter);
        let [left, right] = letters;
        let plain = there && self.product.section.is_none();
        plain.then(|| {
            Self::from_letters(left, right, self.result.clone(), &shapes[0], &shapes[1]).ok()
        })?
    }

    /// The shape of the result.
    pub(crate) fn result_shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same for a left operand of other rows, where its first two axes are the result's and the other
    /// operand has neither.
    pub(crate) fn of_rows(&self, rows: usize) -> Option<Self> {
        let own = (0..2).all(|i| {
            let letter = self.left.get(i);
            letter.is_some_and(|l| !self.right.contains(l)) && letter == self.result.get(i)
        });
        let (left, right, result) = (self.left.clone(), self.right.clone(), self.result.clone());
        let mut a = self.shapes[0].clone();
        *a.first_mut()? = rows;
        let plain = own && self.product.section.is_none();
        plain.then(|| Self::from_letters(left, right, result, &a, &self.shapes[1]).ok())?
    }

    /// The same for so many variants of each entry of the batch, the first axis of the result: an operand
    /// that varies has them along a second axis, as has the result, the other is common to them. `None`
    /// where no operand with a batch is common.
    pub(crate) fn beside(&self, varied: [bool; 2], times: usize) -> Option<Self> {
        let batch = self.result.first()?;
        let unused =
            |c: &char| ![&self.left, &self.right, &self.result].iter().any(|l| l.contains(c));
        let letter = ('A'..='Z').find(unused)?;
        let has = |letters: &[char]| letters.first() == Some(batch);
        let (mut letters, mut shapes) =
            ([self.left.clone(), self.right.clone()], self.shapes.clone());
        let mixed = (0..2).any(|i| !varied[i] && has(&letters[i]));
        let fits = (0..2).all(|i| !varied[i] || has(&letters[i])) && self.product.section.is_none();
        for i in (0..2).filter(|&i| varied[i] && fits) {
            letters[i].insert(1, letter);
            shapes[i].insert(1, times);
        }
        let ([left, right], mut result) = (letters, self.result.clone());
        result.insert(1, letter);
        let [a, b] = &shapes;
        (mixed && fits).then(|| Self::from_letters(left, right, result, a, b).ok())?
    }

    /// The sum of the result along one of its axes, which both operands have in front of what is summed
    /// already: one chain for each index, added from +0 in ascending order.
    pub(crate) fn summed(&self, axis: usize) -> Option<Self> {
        let mut result = self.result.clone();
        let letter = result.remove(axis);
        let section = self.tables.k.len();
        let before = self.left.iter().position(|l| *l == letter)?;
        let first = self.left.iter().position(|l| !self.result.contains(l))?;
        let fits = axis + 1 < self.result.len()
            && self.right.contains(&letter)
            && before < first
            && (1..=Product::LONGEST_SECTION).contains(&section)
            && self.product.section.is_none();
        let (left, right) = (self.left.clone(), self.right.clone());
        let [a, b] = &self.shapes;
        let mut e = fits.then(|| Self::from_letters(left, right, result, a, b).ok())??;
        e.product.section = Some(section);
        Some(e)
    }
}

impl Kernel for Einsum {
    fn name(&self) -> &'static str {
        "einsum"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        if x[0] != self.shapes[0] || x[1] != self.shapes[1] {
            let why = format!("it was made for {:?}", self.shapes);
            return Err(shapes_error("einsum", x, why));
        }
        Ok(self.shape.clone())
    }

    fn walk(&self, _x: &[&[usize]]) -> Option<Walk> {
        // Batch axes in front of all three; rows alone would pack the other operand again and again.
        let same = |i: usize| {
            let at = |letters: &[char]| letters.get(i).copied();
            at(&self.result).is_some()
                && at(&self.result) == at(&self.left)
                && at(&self.result) == at(&self.right)
        };
        let axes = (0..self.result.len()).take_while(|&i| same(i)).count();
        (axes > 0).then(|| Walk { axes, walked: vec![true; 2] })
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        // Pieces are the first of as many: all batch entries are equally far apart.
        let whole: usize = self.shape.iter().product();
        let batches = self.product.batch.len() * y.len() / whole.max(1);
        self.product.run_first(cx, batches, x[0].real(), x[1].real(), y);
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        for [a0, b0, c0] in &self.tables.batch {
            for [a1, c1] in &self.tables.m {
                for [b1, c2] in &self.tables.n {
                    y[c0 + c1 + c2] = self
                        .tables
                        .k
                        .iter()
                        .map(|[a2, b2]| x[0].real[a0 + a1 + a2] * x[1].real[b0 + b1 + b2])
                        .sum();
                }
            }
        }
    }
}

impl Op for Einsum {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let letters = [&self.left, &self.right];
        let mut out = vec![None, None];
        for i in 0..2 {
            if wanted[i] {
                let other = at.x[1 - i];
                // The left operand sets the order of the sum: dy for activations, and the other
                // operand for weights, whose rows run over (batch, pos).
                let (l, r) = (&self.result, letters[1 - i]);
                let e = if i == 0 {
                    let (ls, rs) = (g.shape(dy).to_vec(), g.shape(other).to_vec());
                    let e = Self::from_letters(l.clone(), r.clone(), letters[i].clone(), &ls, &rs)?;
                    g.apply(e, &[dy, other])?
                } else {
                    let (ls, rs) = (g.shape(other).to_vec(), g.shape(dy).to_vec());
                    let e = Self::from_letters(r.clone(), l.clone(), letters[i].clone(), &ls, &rs)?;
                    g.apply(e, &[other, dy])?
                };
                out[i] = Some(e);
            }
        }
        Ok(out)
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        let letter = self.result[part.axis];
        let axis = |letters: &[char]| letters.iter().position(|&l| l == letter);
        let axes = [axis(&self.left), axis(&self.right)];
        let shape = |i: usize| axes[i].map_or(x[i].to_vec(), |a| part.of(a).shape(x[i]));
        let (left, right, result) = (self.left.clone(), self.right.clone(), self.result.clone());
        let op = Self::from_letters(left, right, result, &shape(0), &shape(1)).ok()?;
        Some((Arc::new(op), axes.to_vec()))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let mut sum = None;
        for i in 0..2 {
            let Some(d) = dx[i] else { continue };
            let x = if i == 0 { [d, at.x[1]] } else { [at.x[0], d] };
            let t = g.apply(self.clone(), &x)?;
            sum = Some(match sum {
                None => t,
                Some(s) => g.add(s, t)?,
            });
        }
        Ok(sum)
    }
}

impl Graph {
    /// Records a product, e.g. `einsum("bpd,hdk->bphk", resid, w_q)`.
    pub fn einsum(&mut self, formula: &str, a: Value, b: Value) -> Result<Value, Error> {
        let e = Einsum::new(formula, self.shape(a), self.shape(b))?;
        self.apply(e, &[a, b])
    }
}
