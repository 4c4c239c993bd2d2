//! From a graph to something that runs: prune, plan the buffers once, execute many times.
//!
//! Nodes that no output reads are dropped. The rest run in order of recording; a buffer goes back
//! to the free list after its last reader, so a steady step allocates nothing.

use crate::graph::Node;
use crate::kernel::{Arg, Data};
use crate::{Context, Error, Graph, Kernel, Op, Tensor, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Data for the leaves of a graph, by name.
#[derive(Debug, Clone, Default)]
pub struct Bindings<'a>(BTreeMap<String, Data<'a>>);

impl<'a> Bindings<'a> {
    /// Nothing bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds reals.
    pub fn with(mut self, name: &str, x: &'a [f32]) -> Self {
        self.bind(name, x);
        self
    }

    /// Binds indices.
    pub fn with_index(mut self, name: &str, x: &'a [u32]) -> Self {
        self.bind_index(name, x);
        self
    }

    /// Binds reals in place.
    pub fn bind(&mut self, name: &str, x: &'a [f32]) {
        self.0.insert(name.into(), Data::Real(x));
    }

    /// Binds indices in place.
    pub fn bind_index(&mut self, name: &str, x: &'a [u32]) {
        self.0.insert(name.into(), Data::Index(x));
    }

    /// Binds every tensor of a set under its name.
    pub fn with_all(mut self, set: impl IntoIterator<Item = (&'a String, &'a Tensor)>) -> Self {
        for (name, t) in set {
            self.bind(name, t.data());
        }
        self
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Leaf(usize),
    Constant(usize),
    Buffer(usize),
}

#[derive(Debug, Clone)]
enum Compute {
    Op(Arc<dyn Op>),
    Derived(Arc<dyn Kernel>),
}

impl Compute {
    fn kernel(&self) -> &dyn Kernel {
        match self {
            Compute::Op(op) => op.as_ref() as &dyn Kernel,
            Compute::Derived(kernel) => kernel.as_ref(),
        }
    }
}

#[derive(Debug, Clone)]
struct Step {
    compute: Compute,
    x: Vec<(Place, Vec<usize>)>,
    buffer: usize,
    len: usize,
}

#[derive(Debug, Clone)]
struct Leaf {
    name: String,
    len: usize,
    index: bool,
    /// Smallest table that an index operand points into.
    limit: Option<usize>,
}

/// A compiled graph with its buffers.
#[derive(Debug, Clone)]
pub struct Program {
    leaves: Vec<Leaf>,
    constants: Vec<Arc<Tensor>>,
    steps: Vec<Step>,
    buffers: Vec<Vec<f32>>,
    outputs: Vec<(Place, Vec<usize>)>,
    /// Copies of outputs that are leaves themselves.
    leaf_outputs: BTreeMap<usize, Vec<f32>>,
}

impl Program {
    /// Compiles what `outputs` need.
    pub fn compile(g: &Graph, outputs: &[Value]) -> Result<Self, Error> {
        let n = g.nodes.len();
        let root = |mut v: Value| {
            while let Node::Alias { of, .. } = g.nodes[v.index()] {
                v = of;
            }
            v
        };
        // last[i]: the last step that reads node i; usize::MAX for outputs.
        let mut live = vec![false; n];
        let mut last = vec![0usize; n];
        for &v in outputs {
            if g.is_index(v) {
                let why = "an index leaf cannot be an output";
                return Err(crate::kernel::shapes_error("compile", &[g.shape(v)], why));
            }
            live[root(v).index()] = true;
            last[root(v).index()] = usize::MAX;
        }
        for i in (0..n).rev() {
            if !live[i] {
                continue;
            }
            for &v in g.nodes[i].inputs() {
                let r = root(v).index();
                live[r] = true;
                last[r] = last[r].max(i);
            }
        }
        let mut program = Self {
            leaves: vec![],
            constants: vec![],
            steps: vec![],
            buffers: vec![],
            outputs: vec![],
            leaf_outputs: BTreeMap::new(),
        };
        let mut place: Vec<Option<Place>> = vec![None; n];
        let mut free: Vec<usize> = vec![];
        let mut sizes: Vec<usize> = vec![];
        for i in 0..n {
            if !live[i] {
                continue;
            }
            let len = g.shapes[i].iter().product();
            let (compute, x) = match &g.nodes[i] {
                Node::Alias { .. } => continue,
                Node::Leaf { name, index } => {
                    place[i] = Some(Place::Leaf(program.leaves.len()));
                    let leaf = Leaf { name: name.clone(), len, index: *index, limit: None };
                    program.leaves.push(leaf);
                    continue;
                }
                Node::Constant(t) => {
                    place[i] = Some(Place::Constant(program.constants.len()));
                    program.constants.push(t.clone());
                    continue;
                }
                Node::Apply { op, x } => (Compute::Op(op.clone()), x),
                Node::Derived { kernel, x } => (Compute::Derived(kernel.clone()), x),
            };
            let mut operands = Vec::with_capacity(x.len());
            let shapes: Vec<&[usize]> = x.iter().map(|&v| g.shape(v)).collect();
            for (k, &v) in x.iter().enumerate() {
                let p = place[root(v).index()].ok_or_else(|| Error::Unbound(format!("{v:?}")))?;
                operands.push((p, g.shape(v).to_vec()));
                if let (Place::Leaf(l), Some(limit)) = (p, compute.kernel().index_limit(k, &shapes))
                {
                    let leaf = &mut program.leaves[l];
                    leaf.limit = Some(leaf.limit.map_or(limit, |old| old.min(limit)));
                }
            }
            // The smallest free buffer that is large enough; the output never overlaps an operand.
            let fit = (0..free.len())
                .filter(|&f| sizes[free[f]] >= len)
                .min_by_key(|&f| (sizes[free[f]], free[f]));
            let buffer = match fit {
                Some(f) => free.swap_remove(f),
                None => {
                    sizes.push(len);
                    sizes.len() - 1
                }
            };
            place[i] = Some(Place::Buffer(buffer));
            program.steps.push(Step { compute, x: operands, buffer, len });
            let mut done: Vec<Value> = x.iter().map(|&v| root(v)).collect();
            done.sort();
            done.dedup();
            for v in done {
                if let (Some(Place::Buffer(b)), true) = (place[v.index()], last[v.index()] == i) {
                    free.push(b);
                }
            }
        }
        for &v in outputs {
            let p = place[root(v).index()].ok_or_else(|| Error::Unbound(format!("{v:?}")))?;
            program.outputs.push((p, g.shape(v).to_vec()));
        }
        program.buffers = sizes.into_iter().map(|len| vec![0.0; len]).collect();
        Ok(program)
    }

    /// Runs every step. Results stay in place until the next run.
    pub fn run(&mut self, cx: &Context, bindings: &Bindings) -> Result<(), Error> {
        self.run_watched(cx, bindings, &mut |_, _| {})
    }

    /// [`Program::run`] that tells of each step when it is done: the operation's name and the shapes
    /// of its operands. What takes the time, for whoever has a clock.
    pub fn run_watched(
        &mut self,
        cx: &Context,
        bindings: &Bindings,
        done: &mut dyn FnMut(&'static str, &[&[usize]]),
    ) -> Result<(), Error> {
        let mut bound = Vec::with_capacity(self.leaves.len());
        for leaf in &self.leaves {
            let data =
                bindings.0.get(&leaf.name).ok_or_else(|| Error::Unbound(leaf.name.clone()))?;
            bound.push(leaf.check(*data)?);
        }
        for step in &self.steps {
            let mut y = std::mem::take(&mut self.buffers[step.buffer]);
            let x: Vec<Arg> = step
                .x
                .iter()
                .map(|(place, shape)| {
                    let len = shape.iter().product();
                    let data = match *place {
                        Place::Leaf(l) => bound[l],
                        Place::Constant(c) => Data::Real(self.constants[c].data()),
                        Place::Buffer(b) => Data::Real(&self.buffers[b][..len]),
                    };
                    Arg { data, shape }
                })
                .collect();
            step.compute.kernel().run(cx, &x, &mut y[..step.len]);
            let shapes: Vec<&[usize]> = step.x.iter().map(|(_, shape)| shape.as_slice()).collect();
            done(step.compute.kernel().name(), &shapes);
            self.buffers[step.buffer] = y;
        }
        for (place, _) in &self.outputs {
            if let Place::Leaf(l) = *place
                && let Data::Real(x) = bound[l]
            {
                self.leaf_outputs.insert(l, x.to_vec());
            }
        }
        Ok(())
    }

    /// Values of output `i` after a run.
    pub fn output(&self, i: usize) -> &[f32] {
        let (place, shape) = &self.outputs[i];
        let len: usize = shape.iter().product();
        match *place {
            Place::Buffer(b) => &self.buffers[b][..len],
            Place::Constant(c) => self.constants[c].data(),
            Place::Leaf(l) => self.leaf_outputs.get(&l).map_or(&[], Vec::as_slice),
        }
    }

    /// Output `i` as a tensor of its own.
    pub fn tensor(&self, i: usize) -> Result<Tensor, Error> {
        Tensor::new(&self.outputs[i].1, self.output(i).to_vec())
    }

    /// Bytes of all buffers.
    pub fn buffer_bytes(&self) -> usize {
        self.buffers.iter().map(|b| 4 * b.len()).sum()
    }

    /// Steps that survived pruning.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

impl Leaf {
    fn check<'a>(&self, data: Data<'a>) -> Result<Data<'a>, Error> {
        let wrong = |got: String| Error::Binding {
            name: self.name.clone(),
            wanted: format!("{} {}", self.len, if self.index { "indices" } else { "reals" }),
            got,
        };
        match data {
            Data::Real(x) if self.index => Err(wrong(format!("{} reals", x.len()))),
            Data::Index(x) if !self.index => Err(wrong(format!("{} indices", x.len()))),
            Data::Real(x) if x.len() != self.len => Err(wrong(format!("{} reals", x.len()))),
            Data::Index(x) if x.len() != self.len => Err(wrong(format!("{} indices", x.len()))),
            Data::Index(x) => match (self.limit, x.iter().max()) {
                (Some(size), Some(&index)) if index as usize >= size => {
                    Err(Error::Index { name: self.name.clone(), index, size })
                }
                _ => Ok(data),
            },
            Data::Real(_) => Ok(data),
        }
    }
}
