//! Derivatives as graph transformations (Griewank and Walther 2008, chapters 3 and 4).
//!
//! Reverse mode walks the nodes from last to first, so the cotangents that reach a value are
//! added in reverse order of its consumers, which is part of the canonical order. Both modes only
//! append nodes; what turns out to be unused is pruned by the compiler.

use crate::graph::Node;
use crate::{Error, Graph, Tensor, Value};

impl Graph {
    /// Gradients of a scalar with respect to values: each has the value's shape. A value that the
    /// scalar does not depend on gets zeros. A scalar that reads part of another derivative is
    /// [`Error::SecondDerivative`].
    pub fn gradient(&mut self, scalar: Value, wrt: &[Value]) -> Result<Vec<Value>, Error> {
        let shape = self.shape(scalar).to_vec();
        if shape.iter().product::<usize>() != 1 {
            return Err(crate::kernel::shapes_error("gradient", &[&shape], "a scalar has 1 value"));
        }
        let one = self.constant(Tensor::from_fn(&shape, |_| 1.0));
        self.vjp(scalar, one, wrt)
    }

    /// Pulls the cotangent `dy` of `y` back to `wrt`.
    pub fn vjp(&mut self, y: Value, dy: Value, wrt: &[Value]) -> Result<Vec<Value>, Error> {
        let n = y.index() + 1;
        // Only nodes between some `wrt` and `y` carry a cotangent.
        let mut below = vec![false; n];
        for v in wrt {
            if v.index() < n {
                below[v.index()] = true;
            }
        }
        for i in 0..n {
            if self.nodes[i].inputs().iter().any(|v| below[v.index()]) {
                below[i] = true;
            }
        }
        let mut cotangent: Vec<Option<Value>> = vec![None; n];
        if below[y.index()] {
            cotangent[y.index()] = Some(dy);
        }
        for i in (0..n).rev() {
            let (Some(dy), true) = (cotangent[i], below[i]) else { continue };
            if let Node::Alias { of, .. } = self.nodes[i] {
                if below[of.index()] {
                    let shape = self.shape(of).to_vec();
                    let dx = if self.shape(dy) == shape { dy } else { self.reshape(dy, &shape)? };
                    self.accumulate(&mut cotangent, of, dx)?;
                }
                continue;
            }
            self.refuse_second_derivative(i)?;
            let Some((op, x)) = self.op_at(Value(i as u32)) else { continue };
            let wanted: Vec<bool> =
                x.iter().map(|&v| below[v.index()] && !self.is_index(v)).collect();
            if !wanted.contains(&true) {
                continue;
            }
            let at = self.applied(&x, Value(i as u32));
            let dx = op.vjp(self, at, dy, &wanted)?;
            for ((&v, dx), wanted) in x.iter().zip(dx).zip(wanted) {
                if let (Some(dx), true) = (dx, wanted) {
                    self.accumulate(&mut cotangent, v, dx)?;
                }
            }
        }
        wrt.iter()
            .map(|&v| match cotangent.get(v.index()).copied().flatten() {
                Some(d) => Ok(d),
                None => Ok(self.constant(Tensor::zeros(self.shape(v)))),
            })
            .collect()
    }

    /// Nodes inside derivatives have no derivative of their own: zeros would be a wrong answer.
    fn refuse_second_derivative(&self, i: usize) -> Result<(), Error> {
        match &self.nodes[i] {
            Node::Derived { kernel, .. } => Err(Error::SecondDerivative(kernel.name())),
            _ => Ok(()),
        }
    }

    fn accumulate(
        &mut self,
        cotangent: &mut [Option<Value>],
        v: Value,
        dx: Value,
    ) -> Result<(), Error> {
        let slot = cotangent[v.index()];
        cotangent[v.index()] = Some(match slot {
            None => dx,
            Some(sum) => self.add(sum, dx)?,
        });
        Ok(())
    }

    /// Pushes tangents (value, tangent) forward to `y`; `None` if `y` does not depend on them.
    /// A tangent of a value that depends on another one is added to what arrives there, so that
    /// this is the adjoint of [`Graph::vjp`].
    pub fn jvp(&mut self, y: Value, tangents: &[(Value, Value)]) -> Result<Option<Value>, Error> {
        let n = y.index() + 1;
        let mut tangent: Vec<Option<Value>> = vec![None; n];
        for i in 0..n {
            let v = Value(i as u32);
            let mut sum = self.push_through(v, &tangent)?;
            for &(_, t) in tangents.iter().filter(|(of, _)| *of == v) {
                sum = Some(match sum {
                    None => t,
                    Some(s) => self.add(s, t)?,
                });
            }
            tangent[i] = sum;
        }
        Ok(tangent[y.index()])
    }

    /// The tangent that arrives at a node from its inputs.
    fn push_through(
        &mut self,
        v: Value,
        tangent: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let i = v.index();
        if self.nodes[i].inputs().iter().all(|u| tangent[u.index()].is_none()) {
            return Ok(None);
        }
        if let Node::Alias { of, .. } = self.nodes[i] {
            let Some(t) = tangent[of.index()] else { return Ok(None) };
            let shape = self.shape(v).to_vec();
            return if self.shape(t) == shape {
                Ok(Some(t))
            } else {
                self.reshape(t, &shape).map(Some)
            };
        }
        self.refuse_second_derivative(i)?;
        let Some((op, x)) = self.op_at(v) else { return Ok(None) };
        let dx: Vec<Option<Value>> = x.iter().map(|u| tangent[u.index()]).collect();
        let at = self.applied(&x, v);
        op.jvp(self, at, &dx)
    }
}
