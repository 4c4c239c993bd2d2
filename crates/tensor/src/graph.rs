//! The recorded graph: leaves, applied operations, and named sites.
//!
//! Nodes are kept in the order in which they were recorded, which is a topological order and the
//! canonical order of execution. A *site* is a node of its own that passes its input on, so that
//! replacing it reaches exactly those that read the site (`hook_q_input` is not `hook_resid_pre`
//! even where they hold the same values).

use crate::kernel::{Applied, shapes_error};
use crate::{Error, Kernel, Op, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) u32);

impl Value {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Bound by name when the program runs.
    Leaf { name: String, index: bool },
    /// Known when the graph is recorded.
    Constant(Arc<Tensor>),
    /// The input under another shape or a name: no work, no memory.
    Alias { of: Value, site: Option<String> },
    /// A differentiable operation.
    Apply { op: Arc<dyn Op>, x: Vec<Value> },
    /// Part of a derivative.
    Derived { kernel: Arc<dyn Kernel>, x: Vec<Value> },
}

impl Node {
    pub(crate) fn inputs(&self) -> &[Value] {
        match self {
            Node::Leaf { .. } | Node::Constant(_) => &[],
            Node::Alias { of, .. } => std::slice::from_ref(of),
            Node::Apply { x, .. } | Node::Derived { x, .. } => x,
        }
    }
}

/// What the readers of a site shall read instead, if anything: sees the graph that is being
/// recorded, the site's name and its value.
pub type Edit<'e> = dyn FnMut(&mut Graph, &str, Value) -> Result<Option<Value>, Error> + 'e;

/// A recorded computation.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) shapes: Vec<Vec<usize>>,
    sites: BTreeMap<String, Value>,
    leaves: BTreeMap<String, Value>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, node: Node, shape: Vec<usize>) -> Value {
        self.nodes.push(node);
        self.shapes.push(shape);
        Value((self.nodes.len() - 1) as u32)
    }

    fn leaf(&mut self, name: &str, shape: &[usize], index: bool) -> Value {
        if let Some(&v) = self.leaves.get(name) {
            return v;
        }
        let v = self.push(Node::Leaf { name: name.into(), index }, shape.to_vec());
        self.leaves.insert(name.into(), v);
        v
    }

    /// Reals bound at run time. The same name twice is the same value, with the shape that it was
    /// given first.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.leaf(name, shape, false)
    }

    /// Indices (tokens, targets) bound at run time.
    pub fn index_input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.leaf(name, shape, true)
    }

    /// A parameter: an input that is also a site, so that weight edits are interventions.
    pub fn parameter(&mut self, name: &str, shape: &[usize]) -> Value {
        if let Some(&v) = self.sites.get(name) {
            return v;
        }
        let v = self.leaf(name, shape, false);
        self.site(name, v)
    }

    /// Values known now.
    pub fn constant(&mut self, t: Tensor) -> Value {
        let shape = t.shape().to_vec();
        self.push(Node::Constant(Arc::new(t)), shape)
    }

    /// Names a value. Edits of the site reach what reads the returned value.
    pub fn site(&mut self, name: &str, v: Value) -> Value {
        let shape = self.shape(v).to_vec();
        let s = self.push(Node::Alias { of: v, site: Some(name.into()) }, shape);
        self.sites.insert(name.into(), s);
        s
    }

    /// The same values under another shape of equal size.
    pub fn reshape(&mut self, v: Value, shape: &[usize]) -> Result<Value, Error> {
        let from = self.shape(v);
        if from.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(shapes_error("reshape", &[from, shape], "sizes differ"));
        }
        Ok(self.push(Node::Alias { of: v, site: None }, shape.to_vec()))
    }

    /// The same under a shape of equal size.
    pub(crate) fn shaped(&mut self, v: Value, shape: &[usize]) -> Value {
        match self.shape(v) == shape {
            true => v,
            false => self.push(Node::Alias { of: v, site: None }, shape.to_vec()),
        }
    }

    /// Records an operation.
    pub fn apply(&mut self, op: impl Op + 'static, x: &[Value]) -> Result<Value, Error> {
        let shape = self.check(&op, x)?;
        Ok(self.push(Node::Apply { op: Arc::new(op), x: x.to_vec() }, shape))
    }

    /// Records part of a derivative.
    pub(crate) fn derived(
        &mut self,
        kernel: impl Kernel + 'static,
        x: &[Value],
    ) -> Result<Value, Error> {
        let shape = self.check(&kernel, x)?;
        Ok(self.push(Node::Derived { kernel: Arc::new(kernel), x: x.to_vec() }, shape))
    }

    fn check(&self, kernel: &dyn Kernel, x: &[Value]) -> Result<Vec<usize>, Error> {
        let shapes: Vec<&[usize]> = x.iter().map(|&v| self.shape(v)).collect();
        for (i, &v) in x.iter().enumerate() {
            if self.is_index(v) != kernel.index_operands().contains(&i) {
                let why = format!("operand {i} is of the wrong kind (real or index)");
                return Err(shapes_error(kernel.name(), &shapes, why));
            }
        }
        kernel.shape(&shapes)
    }

    pub(crate) fn is_index(&self, v: Value) -> bool {
        match &self.nodes[v.index()] {
            Node::Leaf { index, .. } => *index,
            Node::Alias { of, .. } => self.is_index(*of),
            _ => false,
        }
    }

    /// Lengths of the axes of a value.
    pub fn shape(&self, v: Value) -> &[usize] {
        &self.shapes[v.index()]
    }

    /// The value that carries a site's name.
    pub fn at(&self, site: &str) -> Result<Value, Error> {
        self.sites.get(site).copied().ok_or_else(|| Error::NoSite(site.into()))
    }

    /// All sites by name.
    pub fn sites(&self) -> impl Iterator<Item = (&str, Value)> {
        self.sites.iter().map(|(n, &v)| (n.as_str(), v))
    }

    /// All leaves by name: inputs and parameters.
    pub fn leaves(&self) -> impl Iterator<Item = (&str, Value)> {
        self.leaves.iter().map(|(n, &v)| (n.as_str(), v))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The graph with sites replaced: `edit` sees every site in order of recording and may return
    /// what its readers shall read instead. Returns the new graph; values are renumbered, so look
    /// sites up by name afterwards. The site's own name moves to the replacement.
    pub fn edited(&self, edit: &mut Edit) -> Result<Graph, Error> {
        let mut out = Graph::new();
        out.splice(self, "", edit)?;
        Ok(out)
    }

    /// Copies `other` behind what is recorded here: leaves are shared by name, sites get `prefix`
    /// before their names. Several runs are joined in this way, and one may read another's sites.
    /// Returns where each value of `other` went.
    pub fn join(&mut self, other: &Graph, prefix: &str) -> Result<Vec<Value>, Error> {
        self.splice(other, prefix, &mut |_, _, _| Ok(None))
    }

    /// [`Graph::join`] with edits, which see the sites under their unprefixed names.
    pub fn splice(
        &mut self,
        other: &Graph,
        prefix: &str,
        edit: &mut Edit,
    ) -> Result<Vec<Value>, Error> {
        let mut map: Vec<Value> = Vec::with_capacity(other.nodes.len());
        for (node, shape) in other.nodes.iter().zip(&other.shapes) {
            let moved = |x: &[Value]| x.iter().map(|v| map[v.index()]).collect::<Vec<_>>();
            let v = match node {
                Node::Leaf { name, index } => {
                    let v = self.leaf(name, shape, *index);
                    if self.shape(v) != shape.as_slice() || self.is_index(v) != *index {
                        let why = format!("leaf '{name}' has another shape or kind in each graph");
                        return Err(shapes_error("join", &[self.shape(v), shape], why));
                    }
                    v
                }
                Node::Constant(_) => self.push(node.clone(), shape.clone()),
                Node::Alias { of, site: None } => {
                    let of = map[of.index()];
                    self.push(Node::Alias { of, site: None }, shape.clone())
                }
                Node::Alias { of, site: Some(name) } => {
                    let of = map[of.index()];
                    let v = edit(self, name, of)?.unwrap_or(of);
                    if self.shape(v) != shape.as_slice() || self.is_index(v) != self.is_index(of) {
                        let why =
                            format!("the replacement of site '{name}' has another shape or kind");
                        return Err(shapes_error("site", &[shape, self.shape(v)], why));
                    }
                    self.site(&format!("{prefix}{name}"), v)
                }
                Node::Apply { op, x } => {
                    let x = moved(x);
                    self.push(Node::Apply { op: op.clone(), x }, shape.clone())
                }
                Node::Derived { kernel, x } => {
                    let x = moved(x);
                    self.push(Node::Derived { kernel: kernel.clone(), x }, shape.clone())
                }
            };
            map.push(v);
        }
        Ok(map)
    }

    pub(crate) fn op_at(&self, v: Value) -> Option<(Arc<dyn Op>, Vec<Value>)> {
        match &self.nodes[v.index()] {
            Node::Apply { op, x } => Some((op.clone(), x.clone())),
            _ => None,
        }
    }

    /// Place of a value in order of recording: the index of its image in what [`Graph::join`]
    /// returns.
    pub fn position(&self, v: Value) -> usize {
        v.index()
    }

    /// The operation that made a value; `None` for leaves, names and parts of derivatives.
    pub fn operation(&self, v: Value) -> Option<Arc<dyn Op>> {
        self.op_at(v).map(|(op, _)| op)
    }

    pub(crate) fn applied<'a>(&self, x: &'a [Value], y: Value) -> Applied<'a> {
        Applied { x, y }
    }
}
