//! Elementwise operations of two arrays under numpy's broadcasting: axes align at the end, an
//! axis of length 1 repeats.

use crate::kernel::{Applied, Arg, Arg64, Walk, shapes_error};
use crate::kernels::elementwise::{self, Repeat};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value};
use std::sync::Arc;

/// The four arithmetic operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// x + y
    Add,
    /// x - y
    Sub,
    /// x * y
    Mul,
    /// x / y
    Div,
}

/// The common shape, or `None`.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let n = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < n { 1 } else { s[i + s.len() - n] };
    (0..n)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// The axis of operand `s` that becomes `axis` of the common shape of `x`; `None` where it repeats.
pub(super) fn aligned(s: &[usize], x: &[&[usize]], axis: usize) -> Option<usize> {
    let axes = x.iter().map(|s| s.len()).max().unwrap_or(0);
    (axis + s.len()).checked_sub(axes).filter(|&i| s[i] != 1)
}

/// Where operand `s` has the first element of a row (all axes but the last) of what it and `other` are
/// broadcast to.
fn row_offset(row: usize, s: &[usize], other: &[usize]) -> usize {
    let n = s.len().max(other.len());
    let length = |s: &[usize], i: usize| (i + s.len()).checked_sub(n).map_or(1, |i| s[i]);
    let (mut rest, mut offset, mut stride) = (row, 0, last(s));
    for i in (0..n.saturating_sub(1)).rev() {
        let (own, both) = (length(s, i), length(s, i).max(length(other, i)));
        if own != 1 {
            offset += rest % both * stride;
        }
        stride *= own;
        rest /= both;
    }
    offset
}

/// Length of the last axis.
fn last(s: &[usize]) -> usize {
    s.last().copied().unwrap_or(1)
}

/// Whether an operand is the last axes of another, repeated over the others.
fn is_end_of(s: &[usize], out: &[usize]) -> bool {
    let ones = s.iter().take_while(|&&n| n == 1).count();
    s.len() > ones && out.ends_with(&s[ones..])
}

/// Axes of an operand, at most, that are looked at as fewer.
const MOST_AXES: usize = 8;

/// Shapes whose last axes are the same with these as one axis.
fn joined<'r>(x: [&[usize]; 2], room: &'r mut [[usize; MOST_AXES]; 2]) -> Option<[&'r [usize]; 2]> {
    let [a, b] = x;
    let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    if same < 2 || a.len().max(b.len()) > MOST_AXES {
        return None;
    }
    let [ra, rb] = room;
    let join = |s: &[usize], room: &'r mut [usize; MOST_AXES]| {
        let first = s.len() - same;
        room[..first].copy_from_slice(&s[..first]);
        room[first] = s[first..].iter().product();
        &room[..=first]
    };
    Some([join(a, ra), join(b, rb)])
}

/// A short period is written out to at least this many elements, so that loops are long.
const PATTERN: usize = 256;

impl Binary {
    /// Rows of `cols` elements of `y`, the last of which may be short, from operands that repeat as told.
    fn rows(
        self,
        cx: &Context,
        a: (&[f32], Repeat),
        b: (&[f32], Repeat),
        cols: usize,
        y: &mut [f32],
    ) {
        match self {
            Binary::Add => elementwise::add_rows(cx, a, b, cols, y),
            Binary::Sub => elementwise::sub_rows(cx, a, b, cols, y),
            Binary::Mul => elementwise::mul_rows(cx, a, b, cols, y),
            Binary::Div => elementwise::div_rows(cx, a, b, cols, y),
        }
    }
}

/// How an operand repeats where its elements are single, a row, a column or all of a result of so many
/// rows, columns and axes.
fn repeat(s: &[usize], (rows, cols, axes): (usize, usize, usize)) -> Option<Repeat> {
    match (s.iter().product::<usize>(), last(s)) {
        (len, _) if len == rows * cols => Some(Repeat::Not),
        (1, _) => Some(Repeat::Single),
        (len, last) if len == cols && last == cols => Some(Repeat::Row),
        (len, 1) if len == rows && s.len() == axes => Some(Repeat::Column),
        _ => None,
    }
}

/// Writes `x` so many times one behind the other.
fn pattern<'p>(x: &[f32], times: usize, room: &'p mut [f32; PATTERN]) -> &'p [f32] {
    let room = &mut room[..x.len() * times];
    room.chunks_exact_mut(x.len()).for_each(|part| part.copy_from_slice(x));
    room
}

impl Kernel for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
        }
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        broadcast(x[0], x[1]).ok_or_else(|| shapes_error(self.name(), x, "they do not broadcast"))
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        let out = broadcast(x[0], x[1])?;
        let along = |s: &[usize]| {
            if s.len() == out.len() {
                s.iter().zip(&out).take_while(|(a, b)| a == b).count()
            } else {
                0
            }
        };
        // An operand that has none of these axes is read whole.
        let free = |s: &[usize]| {
            let pad = out.len() - s.len();
            pad + s.iter().take_while(|&&n| n == 1).count()
        };
        let of = |s: &[usize]| along(s).max(free(s));
        let axes = of(x[0]).min(of(x[1]));
        let walked: Vec<bool> = x.iter().map(|s| along(s) >= axes).collect();
        (axes > 0 && walked.contains(&true)).then_some(Walk { axes, walked })
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (a, b) = (x[0].real(), x[1].real());
        if y.is_empty() {
            return;
        }
        // No axis is 0, so the longer one is that of the result.
        let mut room = [[0; MOST_AXES]; 2];
        let shapes = [x[0].shape, x[1].shape];
        let [sa, sb] = joined(shapes, &mut room).unwrap_or(shapes);
        let cols = last(sa).max(last(sb));
        let out = (y.len() / cols, cols, sa.len().max(sb.len()));
        if let (Some(ra), Some(rb)) = (repeat(sa, out), repeat(sb, out)) {
            let (times, mut room) = (PATTERN / cols, [0.0; PATTERN]);
            return match (ra, rb) {
                (Repeat::Not, Repeat::Row) if times > 1 => {
                    let b = pattern(b, times, &mut room);
                    self.rows(cx, (a, ra), (b, rb), cols * times, y);
                }
                (Repeat::Row, Repeat::Not) if times > 1 => {
                    let a = pattern(a, times, &mut room);
                    self.rows(cx, (a, ra), (b, rb), cols * times, y);
                }
                _ => self.rows(cx, (a, ra), (b, rb), cols, y),
            };
        }
        // Last axes that repeat over the others are one long row.
        if a.len() == y.len() && is_end_of(sb, sa) {
            return self.rows(cx, (a, Repeat::Not), (b, Repeat::Row), b.len(), y);
        }
        if b.len() == y.len() && is_end_of(sa, sb) {
            return self.rows(cx, (a, Repeat::Row), (b, Repeat::Not), a.len(), y);
        }
        let of = |s| if last(s) == 1 { (1, Repeat::Single) } else { (cols, Repeat::Not) };
        let ((wa, ra), (wb, rb)) = (of(sa), of(sb));
        let alone = cx.alone();
        cx.split(y, cols, cols, |first, y| {
            for (r, y) in y.chunks_exact_mut(cols).enumerate() {
                let (oa, ob) = (row_offset(first + r, sa, sb), row_offset(first + r, sb, sa));
                self.rows(&alone, (&a[oa..oa + wa], ra), (&b[ob..ob + wb], rb), cols, y);
            }
        });
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        let (sa, sb) = (x[0].shape, x[1].shape);
        let cols = last(sa).max(last(sb));
        for (i, y) in y.iter_mut().enumerate() {
            let at = |s: &[usize], other| {
                row_offset(i / cols, s, other) + if last(s) == 1 { 0 } else { i % cols }
            };
            let (a, b) = (x[0].real[at(sa, sb)], x[1].real[at(sb, sa)]);
            *y = match self {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
            };
        }
    }
}

impl Op for Binary {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let (a, b) = (at.x[0], at.x[1]);
        let mut out = vec![None, None];
        if wanted[0] {
            let d = match self {
                Binary::Add | Binary::Sub => dy,
                Binary::Mul => g.mul(dy, b)?,
                Binary::Div => g.div(dy, b)?,
            };
            out[0] = Some(g.sum_like(d, a)?);
        }
        if wanted[1] {
            let d = match self {
                Binary::Add => dy,
                Binary::Sub => g.scale(dy, -1.0)?,
                Binary::Mul => g.mul(dy, a)?,
                // d(a/b)/db = -(a/b)/b
                Binary::Div => {
                    let t = g.mul(dy, at.y)?;
                    let t = g.div(t, b)?;
                    g.scale(t, -1.0)?
                }
            };
            out[1] = Some(g.sum_like(d, b)?);
        }
        Ok(out)
    }

    fn narrowed(&self, x: &[&[usize]], part: Part) -> Option<Narrowed> {
        Some((Arc::new(*self), x.iter().map(|s| aligned(s, x, part.axis)).collect()))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let (a, b) = (at.x[0], at.x[1]);
        let shape = g.shape(at.y).to_vec();
        let left = match (dx[0], self) {
            (None, _) => None,
            (Some(d), Binary::Add | Binary::Sub) => Some(d),
            (Some(d), Binary::Mul) => Some(g.mul(d, b)?),
            (Some(d), Binary::Div) => Some(g.div(d, b)?),
        };
        let right = match (dx[1], self) {
            (None, _) => None,
            (Some(d), Binary::Add) => Some(d),
            (Some(d), Binary::Sub) => Some(g.scale(d, -1.0)?),
            (Some(d), Binary::Mul) => Some(g.mul(a, d)?),
            (Some(d), Binary::Div) => {
                let t = g.mul(at.y, d)?;
                let t = g.div(t, b)?;
                Some(g.scale(t, -1.0)?)
            }
        };
        Ok(match (left, right) {
            (Some(l), Some(r)) => Some(g.add(l, r)?),
            (Some(d), None) | (None, Some(d)) if g.shape(d) == shape => Some(d),
            (Some(d), None) | (None, Some(d)) => {
                let zero = g.constant(crate::Tensor::zeros(&shape));
                Some(g.add(zero, d)?)
            }
            (None, None) => None,
        })
    }
}

impl Graph {
    /// x + y, broadcasting.
    pub fn add(&mut self, x: Value, y: Value) -> Result<Value, Error> {
        self.apply(Binary::Add, &[x, y])
    }

    /// x - y, broadcasting.
    pub fn sub(&mut self, x: Value, y: Value) -> Result<Value, Error> {
        self.apply(Binary::Sub, &[x, y])
    }

    /// x * y, broadcasting.
    pub fn mul(&mut self, x: Value, y: Value) -> Result<Value, Error> {
        self.apply(Binary::Mul, &[x, y])
    }

    /// x / y, broadcasting.
    pub fn div(&mut self, x: Value, y: Value) -> Result<Value, Error> {
        self.apply(Binary::Div, &[x, y])
    }
}
