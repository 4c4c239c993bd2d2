//! The graph evaluated in f64, one reference after another: what tests hold the engine against.

use crate::graph::Node;
use crate::kernel::Arg64;
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

/// Values of `outputs` in f64.
pub fn evaluate_f64(
    g: &Graph,
    bindings: &Bindings64,
    outputs: &[Value],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut real: Vec<Vec<f64>> = Vec::with_capacity(g.nodes.len());
    let mut index: Vec<Vec<u32>> = Vec::with_capacity(g.nodes.len());
    for (i, node) in g.nodes.iter().enumerate() {
        let len: usize = g.shapes[i].iter().product();
        let (mut values, mut indices) = (vec![], vec![]);
        match node {
            Node::Leaf { name, index: true } => {
                let x = bindings.index.get(name).ok_or_else(|| Error::Unbound(name.clone()))?;
                indices = x.clone();
            }
            Node::Leaf { name, index: false } => {
                let x = bindings.real.get(name).ok_or_else(|| Error::Unbound(name.clone()))?;
                values = x.clone();
            }
            Node::Constant(t) => values = t.data().iter().map(|&x| f64::from(x)).collect(),
            Node::Alias { of, .. } => {
                values = real[of.index()].clone();
                indices = index[of.index()].clone();
            }
            Node::Apply { x, .. } | Node::Derived { x, .. } => {
                let args: Vec<Arg64> = x
                    .iter()
                    .map(|v| Arg64 {
                        real: &real[v.index()],
                        index: &index[v.index()],
                        shape: g.shape(*v),
                    })
                    .collect();
                values = vec![0.0; len];
                match node {
                    Node::Apply { op, .. } => op.reference(&args, &mut values),
                    Node::Derived { kernel, .. } => kernel.reference(&args, &mut values),
                    _ => unreachable!("matched above"),
                }
            }
        }
        real.push(values);
        index.push(indices);
    }
    Ok(outputs.iter().map(|v| real[v.index()].clone()).collect())
}
