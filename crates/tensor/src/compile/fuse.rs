//! Products joined with what only rearranges their operands or results, where nobody looks in between.
//!
//! An operand that is repeated along an axis is read as often instead. The sum of a product over an axis
//! that both operands have (heads, added in order) becomes one product in sections, each of which is a
//! chain of its own that is added to those before.

use crate::graph::Node;
use crate::ops::{Einsum, Expand, SumTo};
use crate::{Graph, Value};
use std::any::Any;
use std::sync::Arc;

/// A kernel of this type.
fn kernel<T: 'static>(node: &Node) -> Option<(&T, &[Value])> {
    match node {
        Node::Apply { op, x } => Some(((op.as_ref() as &dyn Any).downcast_ref()?, x)),
        Node::Derived { kernel, x } => Some(((kernel.as_ref() as &dyn Any).downcast_ref()?, x)),
        _ => None,
    }
}

/// The value under whatever name, if under no other shape.
fn unnamed(g: &Graph, mut v: Value) -> Value {
    while let Node::Alias { of, .. } = g.nodes[v.index()]
        && g.shape(of) == g.shape(v)
    {
        v = of;
    }
    v
}

/// The one axis along which `from` is longer than `to`, of as many axes, where that has 1.
fn axis(from: &[usize], to: &[usize]) -> Option<usize> {
    if from.len() != to.len() {
        return None;
    }
    let mut longer = (0..from.len()).filter(|&i| from[i] != to[i]);
    let axis = longer.next().filter(|&i| to[i] == 1)?;
    longer.next().is_none().then_some(axis)
}

/// The graph with products joined, and where its outputs went.
pub(super) fn fused(g: &Graph, outputs: &[Value]) -> (Graph, Vec<Value>) {
    // Readers of each value that count: those that some output needs.
    let mut live = vec![false; g.nodes.len()];
    let mut readers = vec![0usize; g.nodes.len()];
    for &v in outputs {
        live[v.index()] = true;
        // Whoever runs the program.
        readers[v.index()] += 1;
    }
    for i in (0..g.nodes.len()).rev() {
        if live[i] {
            for v in g.nodes[i].inputs() {
                live[v.index()] = true;
                readers[v.index()] += 1;
            }
        }
    }
    let mut out = Graph::new();
    let mut map: Vec<Value> = Vec::with_capacity(g.nodes.len());
    for (i, node) in g.nodes.iter().enumerate() {
        let joined = live[i].then(|| product(g, node).or_else(|| sum(g, node, &readers))).flatten();
        let shape = g.shapes[i].clone();
        let moved = |x: &[Value]| x.iter().map(|v| map[v.index()]).collect::<Vec<_>>();
        let node = match (joined, node) {
            (Some((einsum, x)), _) => {
                let x = x
                    .iter()
                    .zip(einsum.shapes())
                    .map(|(v, shape)| out.shaped(map[v.index()], shape))
                    .collect();
                Node::Derived { kernel: Arc::new(einsum), x }
            }
            (None, Node::Alias { of, site }) => {
                Node::Alias { of: map[of.index()], site: site.clone() }
            }
            (None, Node::Apply { op, x }) => Node::Apply { op: op.clone(), x: moved(x) },
            (None, Node::Derived { kernel, x }) => {
                Node::Derived { kernel: kernel.clone(), x: moved(x) }
            }
            (None, Node::Leaf { .. } | Node::Constant(_)) => node.clone(),
        };
        map.push(out.push(node, shape));
    }
    let outputs = outputs.iter().map(|v| map[v.index()]).collect();
    (out, outputs)
}

/// A product that reads what is repeated to its operands.
fn product(g: &Graph, node: &Node) -> Option<(Einsum, [Value; 2])> {
    let (einsum, x) = kernel::<Einsum>(node)?;
    let mut einsum = einsum.clone();
    let mut x = [x[0], x[1]];
    let mut any = false;
    for i in 0..2 {
        let v = unnamed(g, x[i]);
        let Some((_, from)) = kernel::<Expand>(&g.nodes[v.index()]) else { continue };
        let Some(axis) = axis(g.shape(v), g.shape(from[0])) else { continue };
        if let Some(without) = einsum.without(i, axis) {
            (einsum, x[i], any) = (without, from[0], true);
        }
    }
    any.then_some((einsum, x))
}

/// A sum of a product that nobody else reads.
fn sum(g: &Graph, node: &Node, readers: &[usize]) -> Option<(Einsum, [Value; 2])> {
    let (_, x) = kernel::<SumTo>(node)?;
    let mut v = x[0];
    loop {
        if readers[v.index()] != 1 {
            return None;
        }
        match g.nodes[v.index()] {
            Node::Alias { of, .. } if g.shape(of) == g.shape(v) => v = of,
            _ => break,
        }
    }
    let (einsum, x) = kernel::<Einsum>(&g.nodes[v.index()])?;
    let target = kernel::<SumTo>(node)?.0.target();
    Some((einsum.summed(axis(g.shape(v), target)?)?, [x[0], x[1]]))
}
