//! Steps that walk together: a chain of element-wise functions, norms, softmaxes and batched products
//! goes through one piece after the other, so that what passes between them stays in the cache and the
//! threads are woken once.
//!
//! Pieces are independent (see [`Walk`](crate::kernel::Walk)), so neither their number nor who
//! computes them changes a bit.

use super::few::Few;
use super::{Compute, Place};
use crate::context::SharedMut;
use crate::kernel::{Arg, Data};
use crate::{Context, Tensor};
use std::cell::Cell;
use std::sync::Arc;

/// Fewer pieces are not worth it.
pub(super) const LEAST_PIECES: usize = 8;
/// A block of pieces touches about this many values: half of a first cache and of a second.
const BLOCK: usize = 24 * 1024;
/// Operands of a step in a group, and axes of each, at most.
pub(super) const MOST_OPERANDS: usize = 4;
const MOST_AXES: usize = 8;
/// Where an operand will be written.
const NOTHING: Arg = Arg { data: Data::Real(&[]), shape: &[] };

/// Where a walked operand lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// Made before the group.
    Before(Place),
    /// The group's output of this number.
    Output(usize),
    /// Between steps of the group: values before it in a piece's share of the scratch.
    Scratch(usize),
}

/// An operand of a step.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub from: From,
    /// Values of a piece; all of them for what is not walked.
    pub len: usize,
    pub walked: bool,
    /// Axes of a piece; the first is multiplied by the number of pieces. All axes of what is not walked.
    pub shape: Vec<usize>,
}

/// One step of a group.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub compute: Compute,
    pub x: Vec<Operand>,
    pub to: From,
    /// Values of a piece of the result.
    pub len: usize,
    /// For whoever watches.
    pub shapes: Vec<Vec<usize>>,
}

/// Steps that walk together.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub pieces: usize,
    pub members: Vec<Member>,
    /// Buffers of the outputs, with their lengths.
    pub outputs: Vec<(usize, usize)>,
    /// Values that a piece needs between steps.
    pub scratch: usize,
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// What lies outside of a group.
pub(super) struct Outside<'a> {
    pub bound: &'a [Data<'a>],
    pub constants: &'a [Arc<Tensor>],
    pub buffers: &'a [Vec<f32>],
}

impl<'a> Outside<'a> {
    pub fn data(&self, place: Place) -> Data<'a> {
        match place {
            Place::Leaf(l) => self.bound[l],
            Place::Constant(c) => Data::Real(self.constants[c].data()),
            Place::Buffer(b) => Data::Real(&self.buffers[b]),
        }
    }
}

fn cut<'a>(data: Data<'a>, start: usize, len: usize) -> Data<'a> {
    match data {
        Data::Real(x) => Data::Real(&x[start..start + len]),
        Data::Index(x) => Data::Index(&x[start..start + len]),
    }
}

impl Group {
    /// Runs all members on all pieces; `outputs` are the buffers of [`Group::outputs`].
    pub fn run(&self, cx: &Context, outside: &Outside, outputs: &mut [Vec<f32>]) {
        let shared: Few<SharedMut<f32>, 16> =
            Few::new(outputs.iter_mut().map(|y| SharedMut::new(y)), || SharedMut::new(&mut []));
        if let [member] = &self.members[..] {
            // SAFETY: this thread has all of it.
            unsafe { member.run(cx, outside, &shared, &SharedMut::new(&mut []), (0, 1, 1)) };
            return;
        }
        let alone = cx.alone();
        let touched: usize = self.members.iter().map(Member::touched).sum();
        let block = (BLOCK / touched.max(1)).clamp(1, self.pieces);
        cx.ranges(self.pieces, 2 * touched, |range| {
            let mut scratch = SCRATCH.take();
            if scratch.len() < block * self.scratch {
                scratch.resize(block * self.scratch, 0.0);
            }
            let between = SharedMut::new(&mut scratch);
            let mut start = range.start;
            while start < range.end {
                let count = block.min(range.end - start);
                for member in &self.members {
                    // SAFETY: ranges are disjoint, so no other thread has these pieces; within a member
                    // no operand is its result.
                    unsafe {
                        member.run(&alone, outside, &shared, &between, (start, count, block));
                    }
                }
                start += count;
            }
            SCRATCH.set(scratch);
        });
    }
}

impl Member {
    /// Values of a piece that are read or written.
    fn touched(&self) -> usize {
        self.len + self.x.iter().filter(|x| x.walked).map(|x| x.len).sum::<usize>()
    }

    /// # Safety
    /// Nobody else reads or writes these pieces of the outputs and of the scratch.
    unsafe fn run(
        &self,
        cx: &Context,
        outside: &Outside,
        outputs: &[SharedMut<f32>],
        scratch: &SharedMut<f32>,
        (start, count, block): (usize, usize, usize),
    ) {
        // A value between steps has the room of a whole block, one value behind the other.
        let range = |from: From, len: usize| match from {
            From::Scratch(at) => at * block..at * block + count * len,
            _ => start * len..(start + count) * len,
        };
        let data = |operand: &Operand| match operand.from {
            From::Before(place) if !operand.walked => cut(outside.data(place), 0, operand.len),
            From::Before(place) => {
                cut(outside.data(place), start * operand.len, count * operand.len)
            }
            // SAFETY: written by an earlier member, and by none while this one runs.
            from => Data::Real(unsafe {
                match from {
                    From::Output(i) => outputs[i].read(range(from, operand.len)),
                    _ => scratch.read(range(from, operand.len)),
                }
            }),
        };
        // SAFETY: the caller's promise.
        let y = unsafe {
            match self.to {
                From::Output(i) => outputs[i].slice(range(self.to, self.len)),
                to => scratch.slice(range(to, self.len)),
            }
        };
        if count == 1 {
            let args = self.x.iter().map(|x| Arg { data: data(x), shape: &x.shape[..] });
            return self.compute.kernel().run(cx, &Few::<_, 8>::new(args, || NOTHING), y);
        }
        let mut shapes = [[0usize; MOST_AXES]; MOST_OPERANDS];
        let mut args = [NOTHING; MOST_OPERANDS];
        for ((x, arg), shape) in self.x.iter().zip(&mut args).zip(&mut shapes) {
            let shape = &mut shape[..x.shape.len()];
            shape.copy_from_slice(&x.shape);
            if x.walked {
                shape[0] *= count;
            }
            *arg = Arg { data: data(x), shape };
        }
        self.compute.kernel().run(cx, &args[..self.x.len()], y);
    }
}

/// Axes of a piece of an operand: what lies in front is one axis, as long as a piece's share of it.
pub(super) fn piece(shape: &[usize], axes: usize, pieces: usize) -> Option<Vec<usize>> {
    let lead: usize = shape[..axes].iter().product();
    let mut out = vec![lead / pieces];
    out.extend_from_slice(&shape[axes..]);
    (lead.is_multiple_of(pieces) && out.len() <= MOST_AXES).then_some(out)
}
