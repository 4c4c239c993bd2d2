//! Patched rows: rows that share a graph and weights run together.

use super::place::{Placed, WeightEdits, check_bases, set_values};
use super::prompts::Batch;
use super::{ProgramKey, Runner};
use crate::intervention::{Operation, Row};
use crate::network::check_weight;
use crate::patch::{self, Edit, Shape};
use crate::selector::Selector;
use crate::site::{Axis, Site};
use crate::{Error, Inputs, Weights};
use flyroom_tensor::{Bindings, Context, Program};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Compiled graphs that are kept, and the bytes that their buffers may hold together.
const MAX_PROGRAMS: usize = 256;
const MAX_PROGRAM_BYTES: usize = 1 << 28;

/// Rows that share a graph and weights.
struct Group {
    shape: Shape,
    weights: WeightEdits,
    rows: Vec<Placed>,
}

impl Runner<'_> {
    /// Outputs of every row, each flattened `[pos, d_vocab_out]` or `[d_out]`.
    pub fn run(&self, rows: &[Row]) -> Result<Vec<Vec<f32>>, Error> {
        self.run_reading(rows, "hook_logits")
    }

    /// What lies at a site in every patched row.
    pub fn run_reading(&self, rows: &[Row], site: &str) -> Result<Vec<Vec<f32>>, Error> {
        let mut out: Vec<Vec<f32>> = vec![vec![]; rows.len()];
        self.run_each(rows, site, &mut |row, values| out[row] = values.to_vec())?;
        Ok(out)
    }

    /// Shows what lies at a site in every patched row (its index comes with it), in no particular order.
    pub fn run_each(
        &self,
        rows: &[Row],
        site: &str,
        seen: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        self.site(site)?;
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            let (mut shape, weights, placed) = self.place(i, row)?;
            shape.split = patch::split_only(site);
            groups
                .entry(group_key(&shape, &weights))
                .or_insert_with(|| Group { shape, weights, rows: vec![] })
                .rows
                .push(placed);
        }
        for Group { shape, weights, rows } in groups.into_values() {
            check_bases(&shape)?;
            let edited = self.edited_weights(&weights)?;
            let most = if site == "hook_logits" { self.batch } else { self.inner_batch };
            let batches = self.batches(rows, most);
            for batches in batches.chunks(self.context.threads()) {
                self.run_batches(&edited, &shape, batches, site, seen)?;
            }
        }
        Ok(())
    }

    fn edited_weights(&self, edits: &[(Selector, Operation)]) -> Result<Weights, Error> {
        let mut weights = Weights::new();
        for (s, operation) in edits {
            let own = self.network.weight(&s.site)?;
            let t = weights.entry(s.site.clone()).or_insert_with(|| own.clone());
            let site = parameter_site(&s.site, t.shape());
            let mask = s.mask(&site)?;
            let values = match operation {
                Operation::Zero => vec![0.0; mask.len()],
                Operation::Set { values } => set_values(s, &site, &mask, values)?,
                _ => {
                    return Err(Error::Selector {
                        text: s.to_string(),
                        why: "weights take zero or set".into(),
                    });
                }
            };
            for ((x, m), v) in t.data_mut().iter_mut().zip(&mask).zip(values) {
                if *m != 0.0 {
                    *x = v;
                }
            }
            check_weight(&s.site, t, own.shape())?;
        }
        Ok(weights)
    }

    /// Runs batches side by side, each on a thread of its own if there is more than one.
    fn run_batches(
        &self,
        edited: &Weights,
        shape: &Shape,
        batches: &[Batch],
        site: &str,
        seen: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        let mut jobs = vec![];
        for Batch { prompts, branches } in batches {
            // Weights are data: edits of them do not need another program.
            let key = ProgramKey {
                graph: format!("{site}|{}", group_key(shape, &[])),
                prompts: prompts.len(),
                branches: branches.clone(),
            };
            let program = self.program(&key, shape, site)?;
            let inputs = self.inputs.pick(prompts.iter().map(|p| p.input));
            let leaves = self.edit_leaves(shape, prompts, branches)?;
            jobs.push(Mutex::new(Job { key, program, inputs, leaves, done: Ok(()) }));
        }
        let context = if jobs.len() > 1 { &self.context.alone() } else { &self.context };
        let (own, pool) = (self.network.weights(), &self.context);
        pool.each(jobs.len(), |i| {
            // Nobody else has it: a lock that is poisoned is that of a panic that goes on.
            let mut job = jobs[i].lock().unwrap_or_else(PoisonError::into_inner);
            job.run(own, edited, context);
        });
        let floats = self.site(site)?.size();
        for (job, Batch { prompts, branches }) in jobs.into_iter().zip(batches) {
            let job = job.into_inner().unwrap_or_else(PoisonError::into_inner);
            job.done?;
            for (b, branch) in branches.iter().enumerate() {
                let values = job.program.output(b);
                // What no edit reaches all rows of a prompt have in common.
                let common = values.len() != prompts.len() * branch.times * floats;
                for (p, prompt) in prompts.iter().enumerate() {
                    for (t, row) in prompt.branches[b].1.iter().enumerate() {
                        let at = if common { p } else { p * branch.times + t };
                        seen(row.row, &values[at * floats..(at + 1) * floats]);
                    }
                }
            }
            self.keep(job.key, job.program);
        }
        Ok(())
    }

    /// A program that nobody uses, made anew if there is none.
    fn program(&self, key: &ProgramKey, shape: &Shape, site: &str) -> Result<Program, Error> {
        if let Some(program) = self.programs.borrow_mut().get_mut(key).and_then(Vec::pop) {
            return Ok(program);
        }
        let size = (key.prompts, self.inputs.pos());
        let architecture = self.network.architecture();
        let (g, read) = patch::record_patched(architecture, size, shape, &key.branches, site)?;
        Ok(Program::compile(&g, &read)?)
    }

    /// Keeps a program for later rows.
    fn keep(&self, key: ProgramKey, program: Program) {
        let mut programs = self.programs.borrow_mut();
        let kept = programs.values().flatten();
        let (count, bytes) =
            kept.fold((0, 0), |(count, bytes), p| (count + 1, bytes + p.buffer_bytes()));
        if count >= MAX_PROGRAMS || bytes + program.buffer_bytes() > MAX_PROGRAM_BYTES {
            programs.clear();
        }
        programs.entry(key).or_default().push(program);
    }
}

/// A batch about to run.
struct Job {
    key: ProgramKey,
    program: Program,
    inputs: Inputs,
    leaves: BTreeMap<String, Vec<f32>>,
    done: Result<(), flyroom_tensor::Error>,
}

impl Job {
    fn run(&mut self, own: &Weights, edited: &Weights, context: &Context) {
        let mut bindings = Bindings::new().with_all(own).with_all(edited);
        match &self.inputs {
            Inputs::Tokens { ids, .. } => bindings.bind_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.bind("input", values),
        }
        for (name, values) in &self.leaves {
            bindings.bind(name, values);
        }
        self.done = self.program.run(context, &bindings);
    }
}

/// A parameter as a site: heads and last-axis units can be selected.
fn parameter_site(name: &str, shape: &[usize]) -> Site {
    let mut axes = vec![Axis::Batch];
    let n = shape.len();
    let heads = n == 3 || [".b_Q", ".b_K", ".b_V"].iter().any(|b| name.ends_with(b));
    axes.extend((0..n).map(|i| match i {
        0 if heads => Axis::Head,
        i if i + 1 == n => Axis::Unit,
        _ => Axis::Key,
    }));
    let shape = [&[1], shape].concat();
    Site { name: name.into(), axes, shape }
}

pub(crate) fn group_key(shape: &Shape, weights: &[(Selector, Operation)]) -> String {
    let mut key = String::new();
    for (site, edit) in &shape.sites {
        key.push_str(site);
        match edit {
            Edit::Replace => key.push('='),
            Edit::Whole => key.push('!'),
            Edit::Add => key.push('+'),
            Edit::Subspace(basis) => {
                // The count of rows says where the bits end.
                key.push('@');
                key.push_str(&basis.len().to_string());
                key.push(':');
                for x in basis.iter().flatten() {
                    key.extend(x.to_bits().to_le_bytes().map(char::from));
                }
            }
        }
        key.push(';');
    }
    if shape.edges {
        key.push_str("edges;");
    }
    if shape.split {
        key.push_str("split;");
    }
    if !weights.is_empty() {
        key.push_str(&format!("{weights:?}"));
    }
    key
}
