//! The graph evaluated in f64, one reference after another: what tests hold the engine against.

use crate::graph::Node;
use crate::kernel::{Arg64, Kernel};
use crate::{Error, Graph, Value};
use std::collections::BTreeMap;

/// Data for the leaves of an f64 evaluation.
#[derive(Debug, Clone, Default)]
pub struct Bindings64 {
    /// Real leaves by name.
    pub real: BTreeMap<String, Vec<f64>>,
    /// Index leaves by name.
    pub index: BTreeMap<String, Vec<u32>>,
}

impl Bindings64 {
    /// Binds reals.
    pub fn with(mut self, name: &str, x: &[f64]) -> Self {
        self.real.insert(name.into(), x.to_vec());
        self
    }

    /// Binds indices.
    pub fn with_index(mut self, name: &str, x: &[u32]) -> Self {
        self.index.insert(name.into(), x.to_vec());
        self
    }

    fn leaf<'a, T>(
        set: &'a BTreeMap<String, Vec<T>>,
        name: &str,
        len: usize,
    ) -> Result<&'a [T], Error> {
        let x = set.get(name).ok_or_else(|| Error::Unbound(name.into()))?;
        if x.len() != len {
            let (wanted, got) = (format!("{len} values"), format!("{}", x.len()));
            return Err(Error::Binding { name: name.into(), wanted, got });
        }
        Ok(x)
    }
}

/// Values of `outputs` in f64. Leaves that no output reads may stay unbound.
pub fn evaluate_f64(
    g: &Graph,
    bindings: &Bindings64,
    outputs: &[Value],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut live = vec![false; g.nodes.len()];
    outputs.iter().for_each(|v| live[v.index()] = true);
    for i in (0..live.len()).rev() {
        if live[i] {
            g.nodes[i].inputs().iter().for_each(|v| live[v.index()] = true);
        }
    }
    let mut real: Vec<Vec<f64>> = vec![vec![]; g.nodes.len()];
    let mut index: Vec<Vec<u32>> = vec![vec![]; g.nodes.len()];
    for (i, node) in g.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let len: usize = g.shapes[i].iter().product();
        match node {
            Node::Leaf { name, index: true } => {
                index[i] = Bindings64::leaf(&bindings.index, name, len)?.to_vec();
            }
            Node::Leaf { name, index: false } => {
                real[i] = Bindings64::leaf(&bindings.real, name, len)?.to_vec();
            }
            Node::Constant(t) => real[i] = t.data().iter().map(|&x| f64::from(x)).collect(),
            Node::Alias { of, .. } => {
                real[i] = real[of.index()].clone();
                index[i] = index[of.index()].clone();
            }
            Node::Apply { op, x } => real[i] = apply(g, op.as_ref(), x, &real, &index, len)?,
            Node::Derived { kernel, x } => {
                real[i] = apply(g, kernel.as_ref(), x, &real, &index, len)?;
            }
        }
    }
    Ok(outputs.iter().map(|v| real[v.index()].clone()).collect())
}

fn apply(
    g: &Graph,
    kernel: &(impl Kernel + ?Sized),
    x: &[Value],
    real: &[Vec<f64>],
    index: &[Vec<u32>],
    len: usize,
) -> Result<Vec<f64>, Error> {
    let shapes: Vec<&[usize]> = x.iter().map(|&v| g.shape(v)).collect();
    for (k, v) in x.iter().enumerate() {
        if let (Some(size), Some(&index)) =
            (kernel.index_limit(k, &shapes), index[v.index()].iter().max())
            && index as usize >= size
        {
            return Err(Error::Index {
                name: format!("operand {k} of {}", kernel.name()),
                index,
                size,
            });
        }
    }
    let args: Vec<Arg64> = x
        .iter()
        .map(|v| Arg64 { real: &real[v.index()], index: &index[v.index()], shape: g.shape(*v) })
        .collect();
    let mut y = vec![0.0; len];
    kernel.reference(&args, &mut y);
    Ok(y)
}
