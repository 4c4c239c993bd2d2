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
use flyroom_tensor::{Bindings, Program};
use std::collections::BTreeMap;

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
            for batch in self.batches(rows, most) {
                self.run_batch(&edited, &shape, &batch, site, seen)?;
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

    fn run_batch(
        &self,
        edited: &Weights,
        shape: &Shape,
        Batch { prompts, branches }: &Batch,
        site: &str,
        seen: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        let size = (prompts.len(), self.inputs.pos());
        // Weights are data: edits of them do not need another program.
        let key = ProgramKey {
            graph: format!("{site}|{}", group_key(shape, &[])),
            prompts: prompts.len(),
            branches: branches.clone(),
        };
        let cached = self.programs.borrow_mut().remove(&key);
        let mut program = match cached {
            Some(p) => p,
            None => {
                let architecture = self.network.architecture();
                let (g, read) = patch::record_patched(architecture, size, shape, branches, site)?;
                Program::compile(&g, &read)?
            }
        };
        let picked = self.inputs.pick(prompts.iter().map(|p| p.input));
        let leaves = self.edit_leaves(shape, prompts, branches)?;
        let mut bindings = Bindings::new().with_all(self.network.weights()).with_all(edited);
        match &picked {
            Inputs::Tokens { ids, .. } => bindings.bind_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.bind("input", values),
        }
        for (name, values) in &leaves {
            bindings.bind(name, values);
        }
        program.run(&self.context, &bindings)?;
        let floats = self.site(site)?.size();
        for (b, branch) in branches.iter().enumerate() {
            let values = program.output(b);
            // What no edit reaches all rows of a prompt have in common.
            let common = values.len() != prompts.len() * branch.times * floats;
            for (p, prompt) in prompts.iter().enumerate() {
                for (t, row) in prompt.branches[b].1.iter().enumerate() {
                    let at = if common { p } else { p * branch.times + t };
                    seen(row.row, &values[at * floats..(at + 1) * floats]);
                }
            }
        }
        let mut programs = self.programs.borrow_mut();
        let bytes: usize = programs.values().map(Program::buffer_bytes).sum();
        if programs.len() >= MAX_PROGRAMS || bytes + program.buffer_bytes() > MAX_PROGRAM_BYTES {
            programs.clear();
        }
        programs.insert(key, program);
        Ok(())
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
