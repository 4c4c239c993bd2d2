//! From a graph to groups of steps and buffers.

use super::group::{From, Group, LEAST_PIECES, MOST_OPERANDS, Member, Operand, piece};
use super::{Compute, Leaf, Place, Program};
use crate::graph::Node;
use crate::kernel::Walk;
use crate::{Error, Graph, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Steps that may be left for later while others join a group.
const WINDOW: usize = 32;

/// Makes a [`Program`].
pub(super) struct Planner<'g> {
    g: &'g Graph,
    live: Vec<bool>,
    outputs: BTreeSet<usize>,
    /// How each step walks and in how many pieces at most.
    walks: Vec<Option<(Walk, usize)>>,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl<'g> Planner<'g> {
    /// Finds what the outputs need.
    pub fn new(g: &'g Graph, outputs: &[Value]) -> Result<Self, Error> {
        let n = g.nodes.len();
        let mut planner =
            Self { g, live: vec![false; n], outputs: BTreeSet::new(), walks: vec![None; n] };
        for &v in outputs {
            if g.is_index(v) {
                let why = "an index leaf cannot be an output";
                return Err(crate::kernel::shapes_error("compile", &[g.shape(v)], why));
            }
            let root = planner.root(v);
            planner.live[root] = true;
            planner.outputs.insert(root);
        }
        for i in (0..g.nodes.len()).rev() {
            if planner.live[i] {
                for &v in g.nodes[i].inputs() {
                    let root = planner.root(v);
                    planner.live[root] = true;
                }
                planner.walks[i] = planner.walk(i);
            }
        }
        Ok(planner)
    }

    /// The node that holds a value under whatever name or shape.
    fn root(&self, mut v: Value) -> usize {
        while let Node::Alias { of, .. } = self.g.nodes[v.index()] {
            v = of;
        }
        v.index()
    }

    fn compute(&self, i: usize) -> Option<(Compute, &'g [Value])> {
        match &self.g.nodes[i] {
            Node::Apply { op, x } => Some((Compute::Op(op.clone()), x)),
            Node::Derived { kernel, x } => Some((Compute::Derived(kernel.clone()), x)),
            _ => None,
        }
    }

    fn shapes(&self, x: &[Value]) -> Vec<&'g [usize]> {
        x.iter().map(|&v| self.g.shape(v)).collect()
    }

    fn len(&self, i: usize) -> usize {
        self.g.shapes[i].iter().product()
    }

    fn walk(&self, i: usize) -> Option<(Walk, usize)> {
        let (compute, x) = self.compute(i)?;
        let walk = compute.kernel().walk(&self.shapes(x)).filter(|_| x.len() <= MOST_OPERANDS)?;
        let pieces = self.g.shapes[i][..walk.axes].iter().product();
        (pieces >= LEAST_PIECES).then_some((walk, pieces))
    }

    /// Whether a step can be one of a group's, each in `pieces`.
    fn joins(&self, i: usize, walk: &Walk, members: &[usize], pieces: usize) -> bool {
        let Some((_, x)) = self.compute(i) else { return false };
        let fits = |shape: &[usize]| piece(shape, walk.axes, pieces).is_some();
        // What the group makes is only there in pieces.
        x.iter().zip(&walk.walked).all(|(&v, &walked)| {
            let made = members.contains(&self.root(v));
            if walked { fits(self.g.shape(v)) } else { !made }
        }) && fits(&self.g.shapes[i])
    }

    /// Steps in an order in which they can run, those that walk together in one group with the number
    /// of its pieces.
    fn groups(&self) -> Vec<(usize, Vec<usize>)> {
        let steps = (0..self.live.len()).filter(|&i| self.live[i] && self.compute(i).is_some());
        let mut pending: VecDeque<usize> = steps.collect();
        let mut out = vec![];
        while let Some(first) = pending.pop_front() {
            let mut members = vec![first];
            let mut pieces = self.walks[first].as_ref().map_or(1, |(_, pieces)| *pieces);
            let mut read: BTreeSet<usize> = self.reads(first).collect();
            let mut later = BTreeSet::new();
            let mut k = 0;
            while pieces > 1 && k < pending.len() && later.len() < WINDOW {
                let i = pending[k];
                let near = || self.reads(i).any(|v| read.contains(&v) || members.contains(&v));
                let joined = self.walks[i]
                    .as_ref()
                    .filter(|_| near() && !self.reads(i).any(|v| later.contains(&v)))
                    .map(|(walk, most)| (walk, gcd(pieces, *most)))
                    .filter(|(walk, pieces)| {
                        *pieces >= LEAST_PIECES && self.joins(i, walk, &members, *pieces)
                    });
                if let Some((_, fewer)) = joined {
                    pieces = fewer;
                    read.extend(self.reads(i));
                    members.push(i);
                    pending.remove(k);
                } else {
                    later.insert(i);
                    k += 1;
                }
            }
            out.push(if members.len() > 1 { (pieces, members) } else { (1, members) });
        }
        out
    }

    fn reads(&self, i: usize) -> impl Iterator<Item = usize> {
        self.g.nodes[i].inputs().iter().map(|&v| self.root(v))
    }

    /// Plans groups and buffers.
    pub fn plan(self, outputs: &[Value]) -> Result<Program, Error> {
        let mut program = Program::default();
        let mut place: BTreeMap<usize, Place> = BTreeMap::new();
        for i in (0..self.live.len()).filter(|&i| self.live[i]) {
            match &self.g.nodes[i] {
                Node::Leaf { name, index } => {
                    place.insert(i, Place::Leaf(program.leaves.len()));
                    let leaf =
                        Leaf { name: name.clone(), len: self.len(i), index: *index, limit: None };
                    program.leaves.push(leaf);
                }
                Node::Constant(t) => {
                    place.insert(i, Place::Constant(program.constants.len()));
                    program.constants.push(t.clone());
                }
                _ => {}
            }
        }
        let groups = self.groups();
        // The last group that reads each value; outputs are read for ever.
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, (_, members)) in groups.iter().enumerate() {
            last.extend(members.iter().flat_map(|&i| self.reads(i)).map(|v| (v, n)));
        }
        last.extend(self.outputs.iter().map(|&v| (v, usize::MAX)));
        let mut ends: Vec<Vec<usize>> = vec![vec![]; groups.len()];
        for (&v, &n) in last.iter().filter(|(_, n)| **n != usize::MAX) {
            ends[n].push(v);
        }
        let (mut free, mut sizes): (Vec<usize>, Vec<usize>) = (vec![], vec![]);
        for (n, (pieces, members)) in groups.into_iter().enumerate() {
            let mut group = Group { pieces, members: vec![], outputs: vec![], scratch: 0 };
            let mut made: BTreeMap<usize, From> = BTreeMap::new();
            // Room between steps that nobody reads any more: (first value, values) of a piece.
            let mut room: Vec<(usize, usize)> = vec![];
            for (m, &i) in members.iter().enumerate() {
                let Some((compute, x)) = self.compute(i) else { continue };
                let shapes = self.shapes(x);
                for (k, &v) in x.iter().enumerate() {
                    if let (Some(&Place::Leaf(l)), Some(limit)) =
                        (place.get(&self.root(v)), compute.kernel().index_limit(k, &shapes))
                    {
                        let leaf = &mut program.leaves[l];
                        leaf.limit = Some(leaf.limit.map_or(limit, |old| old.min(limit)));
                    }
                }
                let together = members.len() > 1;
                let walk = self.walks[i].as_ref().map(|w| &w.0).filter(|_| together);
                let operands = x
                    .iter()
                    .enumerate()
                    .map(|(k, &v)| {
                        let (root, shape) = (self.root(v), self.g.shape(v));
                        let from = match (made.get(&root), place.get(&root)) {
                            (Some(&from), _) => from,
                            (None, Some(&place)) => From::Before(place),
                            (None, None) => return Err(Error::Unbound(format!("{v:?}"))),
                        };
                        Ok(self.operand(i, walk, k, from, shape, pieces))
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let len = self.len(i) / pieces;
                let read_later = last.get(&i).is_some_and(|&l| l > n);
                let to = if members.len() == 1 || read_later {
                    // The smallest free buffer that is large enough; it never overlaps an operand, for
                    // buffers are given back behind the group that reads them last.
                    let fit = (0..free.len())
                        .filter(|&f| sizes[free[f]] >= self.len(i))
                        .min_by_key(|&f| (sizes[free[f]], free[f]));
                    let buffer = match fit {
                        Some(f) => free.swap_remove(f),
                        None => {
                            sizes.push(self.len(i));
                            sizes.len() - 1
                        }
                    };
                    place.insert(i, Place::Buffer(buffer));
                    group.outputs.push((buffer, self.len(i)));
                    From::Output(group.outputs.len() - 1)
                } else {
                    let fit = room.iter().position(|r| r.1 == len).map(|r| room.swap_remove(r).0);
                    From::Scratch(fit.unwrap_or_else(|| {
                        group.scratch += len;
                        group.scratch - len
                    }))
                };
                let unread =
                    |v: &usize| !members[m + 1..].iter().any(|&i| self.reads(i).any(|r| r == *v));
                let done: BTreeSet<usize> = self.reads(i).filter(unread).collect();
                for v in done {
                    if let Some(&From::Scratch(at)) = made.get(&v) {
                        room.push((at, self.len(v) / pieces));
                    }
                }
                made.insert(i, to);
                let shapes = shapes.iter().map(|s| s.to_vec()).collect();
                group.members.push(Member { compute, x: operands, to, len, shapes });
            }
            for v in &ends[n] {
                if let Some(Place::Buffer(b)) = place.get(v) {
                    free.push(*b);
                }
            }
            program.groups.push(group);
        }
        for &v in outputs {
            let p = place.get(&self.root(v)).ok_or_else(|| Error::Unbound(format!("{v:?}")))?;
            program.outputs.push((*p, self.g.shape(v).to_vec()));
        }
        program.buffers = sizes.into_iter().map(|len| vec![0.0; len]).collect();
        Ok(program)
    }

    /// Operand `k` of step `i`.
    fn operand(
        &self,
        i: usize,
        walk: Option<&Walk>,
        k: usize,
        from: From,
        shape: &[usize],
        pieces: usize,
    ) -> Operand {
        let len: usize = shape.iter().product();
        match walk {
            Some(walk) if walk.walked[k] => {
                let shape = piece(shape, walk.axes, pieces).unwrap_or_default();
                Operand { from, len: len / pieces, walked: true, shape }
            }
            Some(walk) => {
                // Axes of length 1 in front would be more than the result has now.
                let most = self.g.shapes[i].len() - walk.axes + 1;
                let more = shape.len().saturating_sub(most);
                let ones = shape.iter().take_while(|&&n| n == 1).count();
                Operand { from, len, walked: false, shape: shape[more.min(ones)..].to_vec() }
            }
            None => Operand { from, len, walked: false, shape: shape.to_vec() },
        }
    }
}
