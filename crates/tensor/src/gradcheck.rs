//! Whether an operation's kernel and its two derivatives say the same thing.
//!
//! Four accounts of one operation are held against each other: the f32 kernel against the f64
//! reference; vjp and jvp, each evaluated in f32 and in f64, against central differences of the
//! reference; vjp against jvp by <dy, J dx> = <J^T dy, dx>; and the vjp of each operand alone
//! against that of all together. A derivative that is zero, incomplete or off by a percent fails.
//!
//! The data must keep a distance of 1e-4 from kinks (0 of a ReLU, ties of a top-k).
//!
//! ```
//! use flyroom_tensor::{gradcheck::{Operand, gradcheck}, ops::Binary};
//! gradcheck(Binary::Mul, &[Operand::real(&[2, 3], 0), Operand::real(&[3], 1)])?;
//! # Ok::<(), flyroom_tensor::gradcheck::Failure>(())
//! ```

use crate::reference::{Bindings64, evaluate_f64};
use crate::{Bindings, Context, Error, Graph, Op, Program, Tensor, Value};

/// Step of the central differences: their error is about h^2 + 2^-52 / h = 2e-10.
const STEP: f64 = 1e-6;
/// Tolerance of an f64 derivative, relative to max(1, |wanted|).
const TOLERANCE_F64: f64 = 1e-6;
/// Tolerance of what f32 computed, relative to max(1, |wanted|).
const TOLERANCE_F32: f64 = 1e-4;

/// One operand of the operation under test.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Reals in which the operation is differentiated.
    Real(Tensor),
    /// Reals in which it is not (a mask).
    Fixed(Tensor),
    /// Indices: shape and values.
    Index(Vec<usize>, Vec<u32>),
}

impl Operand {
    /// Reals of both signs, 0.3 to 1.7 from 0, no two equal: away from the usual kinks. Other
    /// numbers `k` give other values.
    pub fn real(shape: &[usize], k: u32) -> Self {
        Self::Real(spread(shape, k))
    }
}

/// Where two accounts differ.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The operation could not be recorded or run.
    #[error("{op}: {error}")]
    Error {
        /// Name of the operation.
        op: &'static str,
        /// What went wrong.
        error: Error,
    },
    /// Two numbers that should be equal.
    #[error(
        "{op}: {what} at flat index {index} is {got:e}, but {source_of_wanted} gives {wanted:e}"
    )]
    Differs {
        /// Name of the operation.
        op: &'static str,
        /// Which account: `forward in f32`, `vjp of operand 1 in f64`, ...
        what: String,
        /// Flat index of the element.
        index: usize,
        /// Its value.
        got: f64,
        /// What it is held against.
        source_of_wanted: &'static str,
        /// Its value.
        wanted: f64,
    },
}

/// The k-th of a family of arrays without equal elements.
fn spread(shape: &[usize], k: u32) -> Tensor {
    Tensor::from_fn(shape, |i| {
        // Multiples of the golden ratio's fraction keep the largest distance (Steinhaus).
        let u = (0.618_034 * (i as f64 + 1.0) + 0.377 * f64::from(k)).fract();
        let sign = if (7 * i + 3 * k as usize) % 5 < 3 { 1.0 } else { -1.0 };
        (sign * (0.3 + 1.4 * u)) as f32
    })
}

fn wide(t: &Tensor) -> Vec<f64> {
    t.data().iter().map(|&x| f64::from(x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

struct Check {
    op: &'static str,
}

impl Check {
    fn close(
        &self,
        what: &str,
        got: &[f64],
        source: &'static str,
        wanted: &[f64],
        tolerance: f64,
    ) -> Result<(), Failure> {
        for (index, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
            let same = got == wanted || (got - wanted).abs() <= tolerance * wanted.abs().max(1.0);
            if !same {
                let (what, source_of_wanted) = (what.into(), source);
                return Err(Failure::Differs {
                    op: self.op,
                    what,
                    index,
                    got,
                    source_of_wanted,
                    wanted,
                });
            }
        }
        Ok(())
    }
}

/// Checks one operation on one set of operands.
pub fn gradcheck(op: impl Op + 'static, operands: &[Operand]) -> Result<(), Failure> {
    let check = Check { op: op.name() };
    let failed = |error| Failure::Error { op: check.op, error };
    let mut g = Graph::new();
    let x: Vec<Value> = operands
        .iter()
        .enumerate()
        .map(|(i, o)| match o {
            Operand::Real(t) | Operand::Fixed(t) => g.input(&format!("x{i}"), t.shape()),
            Operand::Index(shape, _) => g.index_input(&format!("x{i}"), shape),
        })
        .collect();
    let y = g.apply(op, &x).map_err(failed)?;
    let dy_data = spread(g.shape(y), 11);
    let dy = g.input("dy", dy_data.shape());
    let real: Vec<usize> =
        (0..operands.len()).filter(|&i| matches!(operands[i], Operand::Real(_))).collect();
    let wrt: Vec<Value> = real.iter().map(|&i| x[i]).collect();
    let together = g.vjp(y, dy, &wrt).map_err(failed)?;
    let mut alone = vec![];
    let mut tangents = vec![];
    let mut pushed = vec![];
    let mut dx_data = vec![];
    for &i in &real {
        alone.push(g.vjp(y, dy, &[x[i]]).map_err(failed)?[0]);
        let d = spread(g.shape(x[i]), 17 + i as u32);
        tangents.push((x[i], g.input(&format!("dx{i}"), d.shape())));
        dx_data.push(d);
        pushed.push(push(&mut g, y, &tangents[tangents.len() - 1..]).map_err(failed)?);
    }
    pushed.push(push(&mut g, y, &tangents).map_err(failed)?);

    // Both precisions of everything at once: y, vjps together, vjps alone, jvps.
    let outputs: Vec<Value> = [vec![y], together, alone, pushed].concat();
    let (mut narrow, mut wide_data) = (Bindings::new(), Bindings64::default());
    let mut bind = |name: String, t| {
        narrow.bind(&name, Tensor::data(t));
        wide_data.real.insert(name, wide(t));
    };
    bind("dy".into(), &dy_data);
    real.iter().zip(&dx_data).for_each(|(i, d)| bind(format!("dx{i}"), d));
    for (i, o) in operands.iter().enumerate() {
        if let Operand::Real(t) | Operand::Fixed(t) = o {
            bind(format!("x{i}"), t);
        }
    }
    for (i, o) in operands.iter().enumerate() {
        if let Operand::Index(_, t) = o {
            narrow.bind_index(&format!("x{i}"), t);
            wide_data.index.insert(format!("x{i}"), t.clone());
        }
    }
    let mut program = Program::compile(&g, &outputs).map_err(failed)?;
    program.run(&Context::single(), &narrow).map_err(failed)?;
    let f32s: Vec<Vec<f64>> = (0..outputs.len())
        .map(|i| program.output(i).iter().map(|&x| f64::from(x)).collect())
        .collect();
    let f64s = evaluate_f64(&g, &wide_data, &outputs).map_err(failed)?;

    check.close("forward in f32", &f32s[0], "the f64 reference", &f64s[0], TOLERANCE_F32)?;
    let columns = differences(&g, y, &wide_data, &real).map_err(failed)?;
    let dy_wide = wide(&dy_data);
    let n = real.len();
    let mut total = vec![0.0; f64s[0].len()];
    for (k, &i) in real.iter().enumerate() {
        let pulled: Vec<f64> = columns[k].iter().map(|column| dot(&dy_wide, column)).collect();
        let dx = wide(&dx_data[k]);
        let mut moved = vec![0.0; total.len()];
        for (column, d) in columns[k].iter().zip(&dx) {
            moved.iter_mut().zip(column).for_each(|(m, c)| *m += c * d);
        }
        total.iter_mut().zip(&moved).for_each(|(t, m)| *t += m);
        let source = "a central difference";
        for (values, bits, tolerance) in
            [(&f64s, "f64", TOLERANCE_F64), (&f32s, "f32", TOLERANCE_F32)]
        {
            let name = |mode: &str| format!("{mode} of operand {i} in {bits}");
            check.close(&name("vjp"), &values[1 + k], source, &pulled, tolerance)?;
            check.close(&name("jvp"), &values[1 + 2 * n + k], source, &moved, tolerance)?;
            let (what, joint) = (name("vjp (alone)"), "the vjp of all operands together");
            check.close(&what, &values[1 + n + k], joint, &values[1 + k], 0.0)?;
        }
        let (left, right) = (dot(&dy_wide, &f64s[1 + 2 * n + k]), dot(&f64s[1 + k], &dx));
        let what = format!("<dy, jvp of operand {i}> in f64");
        check.close(&what, &[left], "<vjp, dx>", &[right], 1e-9)?;
    }
    for (values, bits, tolerance) in [(&f64s, "f64", TOLERANCE_F64), (&f32s, "f32", TOLERANCE_F32)]
    {
        let what = format!("jvp of all operands in {bits}");
        check.close(&what, &values[1 + 3 * n], "a central difference", &total, tolerance)?;
    }
    Ok(())
}

/// The tangent of y; zeros where the op says that there is none.
fn push(g: &mut Graph, y: Value, tangents: &[(Value, Value)]) -> Result<Value, Error> {
    Ok(match g.jvp(y, tangents)? {
        Some(t) => t,
        None => g.constant(Tensor::zeros(g.shape(y))),
    })
}

/// For each operand in `real` and each of its elements: dy/dx by central differences in f64.
fn differences(
    g: &Graph,
    y: Value,
    at: &Bindings64,
    real: &[usize],
) -> Result<Vec<Vec<Vec<f64>>>, Error> {
    let mut at = at.clone();
    let mut out = vec![];
    for i in real {
        let name = format!("x{i}");
        let mut columns = vec![];
        for j in 0..at.real[&name].len() {
            let mut moved = |by: f64| {
                let x = at.real.get_mut(&name).map(|x| &mut x[j]);
                let old = x.map(|x| std::mem::replace(x, *x + by));
                let y = evaluate_f64(g, &at, &[y]).map(|mut y| y.swap_remove(0));
                if let (Some(x), Some(old)) = (at.real.get_mut(&name), old) {
                    x[j] = old;
                }
                y
            };
            let (up, down) = (moved(STEP)?, moved(-STEP)?);
            // Equal infinities (masked scores) have no slope.
            let slope = |(u, d): (&f64, &f64)| if u == d { 0.0 } else { (u - d) / (2.0 * STEP) };
            columns.push(up.iter().zip(&down).map(slope).collect());
        }
        out.push(columns);
    }
    Ok(out)
}
