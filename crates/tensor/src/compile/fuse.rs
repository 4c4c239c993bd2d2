//! Products joined with what only rearranges their operands or results, where nobody looks in between.
//!
//! An operand that is repeated along an axis is read as often instead. The sum of a product over an axis
//! that both operands have (heads, added in order) becomes one product in sections, each of which is a
//! chain of its own that is added to those before. And where rows are those of a table, with what is
//! added at their position, a product is that of the table, if that is shorter: rows that are equal have
//! equal products.

use crate::graph::Node;
use crate::ops::{Binary, Einsum, Expand, Gather, PickRows, SumTo};
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
        if live[i]
            && let Some(rows) = Rows::of(g, node)
            && let Some(v) = rows.product(&mut out, &map)
        {
            map.push(v);
            continue;
        }
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
    let mut x = [x[0], x[1]];
    let mut joined: Option<Einsum> = None;
    for i in 0..2 {
        let v = unnamed(g, x[i]);
        let Some((_, from)) = kernel::<Expand>(&g.nodes[v.index()]) else { continue };
        let Some(axis) = axis(g.shape(v), g.shape(from[0])) else { continue };
        if let Some(without) = joined.as_ref().unwrap_or(einsum).without(i, axis) {
            (joined, x[i]) = (Some(without), from[0]);
        }
    }
    Some((joined?, x))
}

/// A sum of a product that nobody else reads.
fn sum(g: &Graph, node: &Node, readers: &[usize]) -> Option<(Einsum, [Value; 2])> {
    let (sum, x) = kernel::<SumTo>(node)?;
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
    Some((einsum.summed(axis(g.shape(v), sum.target())?)?, [x[0], x[1]]))
}

/// A product of rows that a table has.
struct Rows<'g> {
    einsum: &'g Einsum,
    right: Value,
    /// `[row, d]`.
    table: Value,
    rows: usize,
    /// `[batch, pos]`.
    index: Value,
    /// What is added, `[pos, d]`.
    added: Value,
    pos: usize,
    d: usize,
}

impl<'g> Rows<'g> {
    fn of(g: &'g Graph, node: &'g Node) -> Option<Self> {
        let (einsum, x) = kernel::<Einsum>(node)?;
        let sum = unnamed(g, x[0]);
        let (&Binary::Add, parts) = kernel::<Binary>(&g.nodes[sum.index()])? else { return None };
        let [gathered, repeated] = [parts[0], parts[1]].map(|v| unnamed(g, v));
        let (_, from) = kernel::<Gather>(&g.nodes[gathered.index()])?;
        let (_, added) = kernel::<Expand>(&g.nodes[repeated.index()])?;
        let (table, index, added) = (from[0], from[1], added[0]);
        let (&[batch, pos], &[rows, d]) = (g.shape(index), g.shape(table)) else { return None };
        let fits = g.shape(x[0]) == [batch, pos, d] && g.shape(added) == [pos, d];
        // Twice as many rows, or the copies are not worth it.
        let fewer = rows.checked_mul(2)? <= batch;
        (fits && fewer).then_some(Self { einsum, right: x[1], table, rows, index, added, pos, d })
    }

    /// Records the product of the table, and its rows.
    fn product(&self, out: &mut Graph, map: &[Value]) -> Option<Value> {
        let einsum = self.einsum.of_rows(self.rows)?;
        let at = |v: Value| map[v.index()];
        let table = out.shaped(at(self.table), &[self.rows, 1, self.d]);
        let shape = [self.rows, self.pos, self.d];
        let x = vec![table, at(self.added)];
        let kernel = Arc::new(Binary::Add);
        let sums = out.push(Node::Derived { kernel, x }, shape.to_vec());
        let shape = einsum.result_shape().to_vec();
        let x = vec![sums, at(self.right)];
        let products = out.push(Node::Derived { kernel: Arc::new(einsum), x }, shape.clone());
        let picked = [&out.shape(at(self.index))[..1], &shape[1..]].concat();
        let x = vec![products, at(self.index)];
        Some(out.push(Node::Derived { kernel: Arc::new(PickRows), x }, picked))
    }
}
