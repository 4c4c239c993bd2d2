//! From a graph to something that runs: prune, join, group, plan the buffers once, execute many times.
//!
//! Nodes that no output reads are dropped, products joined with what only rearranges ([`fuse`]). Steps that can walk through pieces together do so
//! ([`group`]), the others run alone; a buffer goes back to the free list behind its last reader.

mod few;
mod fuse;
mod group;
mod plan;

use crate::kernel::Data;
use crate::{Context, Error, Graph, Kernel, Op, Tensor, Value};
use group::{Group, Outside};
use plan::Planner;
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
struct Leaf {
    name: String,
    len: usize,
    index: bool,
    /// Smallest table that an index operand points into.
    limit: Option<usize>,
}

/// Told of steps that are done: the operations' names, the shapes of the last one's operands.
pub type Done<'d> = dyn FnMut(&[&'static str], &[Vec<usize>]) + 'd;

/// A compiled graph with its buffers.
#[derive(Debug, Clone, Default)]
pub struct Program {
    leaves: Vec<Leaf>,
    constants: Vec<Arc<Tensor>>,
    groups: Vec<Group>,
    buffers: Vec<Vec<f32>>,
    outputs: Vec<(Place, Vec<usize>)>,
    /// Copies of outputs that are leaves themselves.
    leaf_outputs: BTreeMap<usize, Vec<f32>>,
    /// Empty between runs: what is kept is the room.
    bound: Vec<Data<'static>>,
    taken: Vec<Vec<f32>>,
}

impl Program {
    /// Compiles what `outputs` need.
    pub fn compile(g: &Graph, outputs: &[Value]) -> Result<Self, Error> {
        let (g, outputs) = fuse::fused(g, outputs);
        Planner::new(&g, &outputs)?.plan(&outputs)
    }

    /// Runs every step. Results stay in place until the next run.
    pub fn run(&mut self, cx: &Context, bindings: &Bindings) -> Result<(), Error> {
        self.execute(cx, &|name| bindings.0.get(name).copied(), None)
    }

    /// [`Program::run`] on what `leaf` finds by name: no list is made for a step.
    pub fn run_from<'a>(
        &mut self,
        cx: &Context,
        leaf: &dyn Fn(&str) -> Option<Data<'a>>,
    ) -> Result<(), Error> {
        self.execute(cx, leaf, None)
    }

    /// [`Program::run`] that tells when steps are done. What takes the time, for whoever has a clock.
    pub fn run_watched(
        &mut self,
        cx: &Context,
        bindings: &Bindings,
        done: &mut Done,
    ) -> Result<(), Error> {
        self.execute(cx, &|name| bindings.0.get(name).copied(), Some(done))
    }

    fn execute<'a>(
        &mut self,
        cx: &Context,
        find: &dyn Fn(&str) -> Option<Data<'a>>,
        mut done: Option<&mut Done>,
    ) -> Result<(), Error> {
        let mut bound: Vec<Data<'a>> = std::mem::take(&mut self.bound);
        for leaf in &self.leaves {
            let data = find(&leaf.name).ok_or_else(|| Error::Unbound(leaf.name.clone()))?;
            bound.push(leaf.check(data)?);
        }
        for group in &self.groups {
            let outputs = group.outputs.iter();
            self.taken.extend(outputs.map(|&(b, _)| std::mem::take(&mut self.buffers[b])));
            let outside =
                Outside { bound: &bound, constants: &self.constants, buffers: &self.buffers };
            group.run(cx, &outside, &mut self.taken);
            for (&(b, _), y) in group.outputs.iter().zip(self.taken.drain(..)) {
                self.buffers[b] = y;
            }
            if let (Some(done), Some(last)) = (&mut done, group.members.last()) {
                let names: Vec<_> =
                    group.members.iter().map(|m| m.compute.kernel().name()).collect();
                done(&names, &last.shapes);
            }
        }
        for (place, _) in &self.outputs {
            if let Place::Leaf(l) = *place
                && let Data::Real(x) = bound[l]
            {
                self.leaf_outputs.insert(l, x.to_vec());
            }
        }
        bound.clear();
        // The same room for data of any lifetime: a list is collected into where it came from.
        self.bound = bound.into_iter().map(|_| Data::Real(&[])).collect();
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

    /// Values that a run computes.
    pub fn values(&self) -> usize {
        self.groups.iter().map(|g| g.pieces * g.members.iter().map(|m| m.len).sum::<usize>()).sum()
    }

    /// Steps that survived pruning.
    pub fn steps(&self) -> usize {
        self.groups.iter().map(|g| g.members.len()).sum()
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
