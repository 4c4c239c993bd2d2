//! Many exchanges along one subspace, as a function of the subspace that has a gradient.
//!
//! What lies at a place x of a site becomes x + (s - x) P, s being what lies at a place of another run and P
//! the projector on a subspace; everything in front of the site is as it was. The loss is the squared
//! distance of the outputs from wanted ones. P is a leaf of the graph, so one compilation serves every
//! subspace of a site, whatever its dimension.

use crate::Error;
use crate::counterfactual::{Outcomes, Pair};
use flyroom_network::{Form, Inputs, Runner, record};
use flyroom_organism::{Distance, Task};
use flyroom_tensor::{Bindings, Graph, Program, Tensor};
use std::sync::Arc;

/// A site on which pairs are exchanged, `batch` at once.
pub(crate) struct Exchange<'r, 'a> {
    runner: &'r Runner<'a>,
    task: &'r Task,
    program: Program,
    clean: Arc<Tensor>,
    batch: usize,
    /// Units of the site.
    pub width: usize,
    tokens: Vec<u32>,
    x: Vec<f32>,
    change: Vec<f32>,
    wanted: Vec<f32>,
    counts: Vec<f32>,
    scale: f64,
    pairs: Vec<Pair>,
}

/// How far exchanges do what a program says they do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Accuracy {
    /// Share of the outputs that become what the program says, of those that it says become another.
    pub interchange: f64,
    /// Share of the outputs that stay what they were, of those that it says stay.
    pub isolation: f64,
    /// Share of all outputs that are right where nothing is done.
    pub idle: f64,
}

impl Accuracy {
    /// The smaller of the two.
    pub fn least(&self) -> f64 {
        self.interchange.min(self.isolation)
    }
}

impl<'r, 'a> Exchange<'r, 'a> {
    /// Compiles the network from a site on.
    pub fn new(
        runner: &'r Runner<'a>,
        task: &'r Task,
        site: &str,
        batch: usize,
    ) -> Result<Self, Error> {
        let (pos, d_out, columns) = (task.pos(), task.d_out, task.columns);
        let clean = runner.clean(site)?;
        let width = clean.shape().last().copied().unwrap_or(1);
        let mut plain = Graph::new();
        record(&mut plain, runner.network().architecture(), batch, pos, Form::Plain)?;
        let mut g = plain.edited(&mut |g, name, _| {
            if name != site {
                return Ok(None);
            }
            let x = g.input("exchange.x", &[batch, pos, width]);
            let change = g.input("exchange.change", &[batch, pos, width]);
            let projector = g.parameter("exchange.projector", &[width, width]);
            let along = g.einsum("bpd,de->bpe", change, projector)?;
            g.add(x, along).map(Some)
        })?;
        let logits = g.at("hook_logits")?;
        let projector = g.at("exchange.projector")?;
        let logits = g.reshape(logits, &[batch, pos, d_out])?;
        let compared = g.constant(compared(task));
        let outputs = g.einsum("bpo,oc->bpc", logits, compared)?;
        let wanted = g.input("exchange.wanted", &[batch, pos, columns]);
        let counts = g.input("exchange.counts", &[batch, pos, columns]);
        let off = g.sub(outputs, wanted)?;
        let off = g.mul(off, counts)?;
        let squares = g.mul(off, off)?;
        let loss = g.sum(squares)?;
        let gradient = g.gradient(loss, &[projector])?;
        let program = Program::compile(&g, &[loss, gradient[0], outputs])?;
        Ok(Self {
            runner,
            task,
            program,
            clean,
            batch,
            width,
            tokens: vec![],
            x: vec![0.0; batch * pos * width],
            change: vec![0.0; batch * pos * width],
            wanted: vec![0.0; batch * pos * columns],
            counts: vec![0.0; batch * pos * columns],
            scale: 1.0,
            pairs: vec![],
        })
    }

    /// What lies at a position of an input.
    fn vector(&self, input: usize, pos: usize) -> &[f32] {
        &self.clean.row(input)[pos * self.width..(pos + 1) * self.width]
    }

    /// Takes up to `batch` pairs. From now on a loss of 1 is that of doing nothing.
    pub fn load(&mut self, pairs: &[Pair], outcomes: &Outcomes) -> Result<(), Error> {
        let (pos, width, columns) = (self.task.pos(), self.width, self.task.columns);
        self.pairs = pairs.iter().take(self.batch).cloned().collect();
        let clean = self.clean.clone();
        for all in [&mut self.change, &mut self.wanted, &mut self.counts] {
            all.fill(0.0);
        }
        let pairs = std::mem::take(&mut self.pairs);
        for (b, pair) in pairs.iter().enumerate() {
            self.x[b * pos * width..(b + 1) * pos * width].copy_from_slice(clean.row(pair.input));
            for &(p, q) in &pair.places {
                let pair = self.vector(pair.source, q).iter().zip(self.vector(pair.input, p));
                let change: Vec<f32> = pair.map(|(s, x)| s - x).collect();
                let from = (b * pos + p) * width;
                self.change[from..from + width].copy_from_slice(&change);
            }
            for &(at, answer, _) in &pair.said {
                let from = (b * pos + at) * columns;
                self.counts[from..from + columns].fill(1.0);
                let wanted = self.wanted[from..from + columns].iter_mut();
                wanted.zip(outcomes.mean(answer)).for_each(|(w, m)| *w = *m as f32);
            }
        }
        let rows = (0..self.batch).map(|b| pairs.get(b).map_or(0, |p| p.input));
        self.tokens = match self.runner.inputs().pick(rows) {
            Inputs::Tokens { ids, .. } => ids,
            Inputs::Vectors { .. } => vec![],
        };
        self.pairs = pairs;
        self.scale = 1.0;
        let idle = self.run(&vec![0.0; width * width])?;
        self.scale = if idle > 0.0 { idle } else { 1.0 };
        Ok(())
    }

    /// The loss along a projector `[unit, unit]`.
    pub fn run(&mut self, projector: &[f64]) -> Result<f64, Error> {
        let projector: Vec<f32> = projector.iter().map(|x| *x as f32).collect();
        let mut bindings = Bindings::new().with_all(self.runner.network().weights());
        bindings.bind_index("tokens", &self.tokens);
        for (name, values) in [
            ("exchange.x", &self.x),
            ("exchange.change", &self.change),
            ("exchange.projector", &projector),
            ("exchange.wanted", &self.wanted),
            ("exchange.counts", &self.counts),
        ] {
            bindings.bind(name, values);
        }
        self.program.run(self.runner.context(), &bindings)?;
        Ok(f64::from(self.program.output(0)[0]) / self.scale)
    }

    /// The gradient of the loss where it was last run, `[unit, unit]`.
    pub fn gradient(&self) -> Vec<f64> {
        self.program.output(1).iter().map(|x| f64::from(*x) / self.scale).collect()
    }

    /// How right the outputs are along a projector.
    pub fn accuracy(&mut self, projector: &[f64], outcomes: &Outcomes) -> Result<Accuracy, Error> {
        self.run(projector)?;
        let (pos, columns) = (self.task.pos(), self.task.columns);
        let outputs = self.program.output(2);
        let [mut right, mut of] = [[0usize; 2]; 2];
        for (b, pair) in self.pairs.iter().enumerate() {
            for &(at, answer, other) in &pair.said {
                let from = (b * pos + at) * columns;
                let row: Vec<f64> =
                    outputs[from..from + columns].iter().map(|x| f64::from(*x)).collect();
                of[usize::from(other)] += 1;
                right[usize::from(other)] += usize::from(outcomes.of(&row) == answer);
            }
        }
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        Ok(Accuracy {
            interchange: share(right[1], of[1]),
            isolation: if of[0] == 0 { 1.0 } else { share(right[0], of[0]) },
            idle: share(of[0], of[0] + of[1]),
        })
    }
}

/// The linear map from outputs to what the task compares, `[d_out, columns]`.
fn compared(task: &Task) -> Tensor {
    let n = task.columns;
    Tensor::from_fn(&[task.d_out, n], |i| {
        let (from, to) = (i / n, i % n);
        let own = f32::from(u8::from(from == to));
        match &task.distance {
            _ if from >= n => 0.0,
            Distance::CentredLogits => own - 1.0 / n as f32,
            Distance::Squared { weights } => own * weights.get(to).map_or(1.0, |w| w.sqrt()),
        }
    })
}
