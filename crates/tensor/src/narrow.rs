//! Computing only what is read, along any axis: a loss on the last position needs no MLP at the others.
//!
//! One pass from the outputs back finds the part of each value that its readers read, one forward
//! records the graph anew with every operation made as narrow as that. Meant for a graph before its
//! gradient is taken, which then is as narrow.
//!
//! *Bits.* Every element that is still computed is computed as before. In the gradient, terms that
//! came from outside the part were exactly zero, and those may be skipped (docs/bits.md). Each reader
//! of a whole value takes a slice of its own, in the order in which the readers' cotangents arrive, and
//! what was a slice stays a value of its own, so cotangents are added in the same order and groups.

use crate::graph::Node;
use crate::{Error, Graph, Op, Value};
use std::sync::Arc;

/// Indices `start..start + len` of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The axis.
    pub axis: usize,
    /// First index.
    pub start: usize,
    /// How many.
    pub len: usize,
}

impl Part {
    /// The same indices of another axis.
    pub fn of(self, axis: usize) -> Self {
        Self { axis, ..self }
    }

    /// `shape` with the axis as long as the part.
    pub(crate) fn shape(self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if let Some(n) = shape.get_mut(self.axis) {
            *n = self.len;
        }
        shape
    }
}

/// An operation on parts: itself, and the axis of each operand of which the part is read, if not all of
/// the operand is.
pub type Narrowed = (Arc<dyn Op>, Vec<Option<usize>>);

/// What is read of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Demand {
    Nothing,
    Of(Part),
    Whole,
}

impl Demand {
    fn with(self, other: Demand) -> Demand {
        match (self, other) {
            (Demand::Nothing, d) | (d, Demand::Nothing) => d,
            (a, b) if a == b => a,
            _ => Demand::Whole,
        }
    }
}

/// The axis of `from` that is `axis` of `to`, a shape of equal size: the same length behind as many rows.
pub(crate) fn through_reshape(from: &[usize], to: &[usize], axis: usize) -> Option<usize> {
    let rows = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
    (0..from.len()).find(|&i| from[i] == to[axis] && rows(from, i) == rows(to, axis))
}

impl Graph {
    /// The same outputs from a graph that computes only the parts of values that are read. Returns it and
    /// where each output went. Names of sites stay where all of the site is computed.
    pub fn narrowed(&self, outputs: &[Value]) -> Result<(Graph, Vec<Value>), Error> {
        let mut demand = vec![Demand::Nothing; self.nodes.len()];
        let mut plans: Vec<Option<Narrowed>> = vec![None; self.nodes.len()];
        for &v in outputs {
            demand[v.index()] = Demand::Whole;
        }
        for i in (0..self.nodes.len()).rev() {
            let part = match demand[i] {
                Demand::Nothing => continue,
                Demand::Of(part) => Some(part),
                Demand::Whole => None,
            };
            let read: Vec<Demand> = match (&self.nodes[i], part) {
                (Node::Alias { of, .. }, Some(part)) if !self.is_parameter(i) => {
                    let axis = through_reshape(self.shape(*of), &self.shapes[i], part.axis);
                    vec![axis.map_or(Demand::Whole, |axis| Demand::Of(part.of(axis)))]
                }
                (Node::Apply { op, .. }, _) if op.part().is_some() => {
                    demand[i] = Demand::Whole;
                    op.part().into_iter().map(Demand::Of).collect()
                }
                (Node::Apply { op, x }, Some(part)) => {
                    let shapes: Vec<&[usize]> = x.iter().map(|&v| self.shape(v)).collect();
                    plans[i] = op.narrowed(&shapes, part);
                    match &plans[i] {
                        Some((_, axes)) => axes
                            .iter()
                            .map(|a| a.map_or(Demand::Whole, |a| Demand::Of(part.of(a))))
                            .collect(),
                        None => vec![Demand::Whole; x.len()],
                    }
                }
                (node, _) => vec![Demand::Whole; node.inputs().len()],
            };
            let inputs = self.nodes[i].inputs();
            // What cannot be made in part is made whole, and its readers cut.
            let alias = matches!(self.nodes[i], Node::Alias { .. });
            if part.is_some() && !(plans[i].is_some() || alias && read[0] != Demand::Whole) {
                demand[i] = Demand::Whole;
            }
            for (&v, d) in inputs.iter().zip(read) {
                demand[v.index()] = demand[v.index()].with(d);
            }
        }
        self.rebuilt(outputs, &demand, &plans)
    }

    /// Whether node `i` is the name of a leaf.
    fn is_parameter(&self, i: usize) -> bool {
        let leaf = |v: Value| matches!(self.nodes[v.index()], Node::Leaf { .. });
        matches!(self.nodes[i], Node::Alias { of, site: Some(_) } if leaf(of))
    }

    fn rebuilt(
        &self,
        outputs: &[Value],
        demand: &[Demand],
        plans: &[Option<Narrowed>],
    ) -> Result<(Graph, Vec<Value>), Error> {
        let mut out = Graph::new();
        // Where each value went, and as what.
        let mut made: Vec<Option<(Value, Demand)>> = vec![None; self.nodes.len()];
        for i in 0..self.nodes.len() {
            let node = &self.nodes[i];
            // Parameters stay, read or not: they have gradients, if zero ones.
            let kept = matches!(node, Node::Leaf { .. }) || self.is_parameter(i);
            if demand[i] == Demand::Nothing && !kept {
                continue;
            }
            let fetch = |out: &mut Graph, v: Value, want: Demand| match (made[v.index()], want) {
                (Some((value, Demand::Whole)), Demand::Of(p)) => {
                    out.slice(value, p.axis, p.start, p.len)
                }
                (Some((value, _)), _) => Ok(value),
                (None, _) => Err(Error::Unbound(format!("{v:?}"))),
            };
            let mut is = Demand::Whole;
            let value = match (node, demand[i]) {
                (Node::Leaf { name, index: true }, _) => out.index_input(name, &self.shapes[i]),
                (Node::Leaf { name, index: false }, _) => out.input(name, &self.shapes[i]),
                (Node::Constant(_), _) => out.push(node.clone(), self.shapes[i].clone()),
                (Node::Alias { of, .. }, Demand::Of(part)) => {
                    is = demand[i];
                    let axis = through_reshape(self.shape(*of), &self.shapes[i], part.axis);
                    let x = fetch(&mut out, *of, Demand::Of(part.of(axis.unwrap_or(part.axis))))?;
                    out.reshape(x, &part.shape(&self.shapes[i]))?
                }
                (Node::Alias { of, site }, _) => {
                    let x = fetch(&mut out, *of, Demand::Whole)?;
                    match site {
                        Some(name) => out.site(name, x),
                        None => out.reshape(x, &self.shapes[i])?,
                    }
                }
                (Node::Apply { op, x }, _) if op.part().is_some() => {
                    let part = op.part().map_or(Demand::Whole, Demand::Of);
                    let value = fetch(&mut out, x[0], part)?;
                    match made[x[0].index()] {
                        // Readers of the part are summed before they join others of what it is part of.
                        Some((whole, _)) if whole == value => {
                            out.reshape(value, &self.shapes[i])?
                        }
                        _ => value,
                    }
                }
                (Node::Apply { x, .. }, Demand::Of(part)) if plans[i].is_some() => {
                    is = demand[i];
                    let Some((op, axes)) = &plans[i] else { unreachable!("asked above") };
                    // The last operand first: of a value that is read twice, the cotangent of the operand
                    // in front arrives first.
                    let mut operands = vec![None; x.len()];
                    for (k, (&v, a)) in x.iter().zip(axes).enumerate().rev() {
                        let want = a.map_or(Demand::Whole, |a| Demand::Of(part.of(a)));
                        let mut value = fetch(&mut out, v, want)?;
                        if want == Demand::Whole && x[..k].contains(&v) {
                            value = out.reshape(value, self.shape(v))?;
                        }
                        operands[k] = Some(value);
                    }
                    let x = operands.into_iter().flatten().collect();
                    out.push(Node::Apply { op: op.clone(), x }, part.shape(&self.shapes[i]))
                }
                (Node::Apply { op, x }, _) => {
                    let x =
                        x.iter()
                            .map(|&v| fetch(&mut out, v, Demand::Whole))
                            .collect::<Result<Vec<_>, _>>()?;
                    out.push(Node::Apply { op: op.clone(), x }, self.shapes[i].clone())
                }
                (Node::Derived { kernel, x }, _) => {
                    let x =
                        x.iter()
                            .map(|&v| fetch(&mut out, v, Demand::Whole))
                            .collect::<Result<Vec<_>, _>>()?;
                    let kernel = kernel.clone();
                    out.push(Node::Derived { kernel, x }, self.shapes[i].clone())
                }
            };
            made[i] = Some((value, is));
        }
        let outputs = outputs
            .iter()
            .map(|v| made[v.index()].map(|m| m.0).ok_or(Error::Unbound(format!("{v:?}"))))
            .collect::<Result<_, _>>()?;
        Ok((out, outputs))
    }
}
