//! Patched rows: rows that share a graph and weights run together.

use super::Runner;
use super::place::{Placed, WeightEdits, check_bases, set_values};
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
/// Rows that pay for compiling a graph in which only their receiver is patched.
const MIN_ROWS_PER_READER: usize = 32;
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
        let mut out: Vec<Vec<f32>> = vec![vec![]; rows.len()];
        for group in self.by_reader(groups.into_values()) {
            check_bases(&group.shape)?;
            let edited = self.edited_weights(&group.weights)?;
            let most = if site == "hook_logits" { self.batch } else { self.inner_batch };
            for rows in group.rows.chunks(most) {
                let values = self.run_group(&edited, &group.shape, rows, site)?;
                for (placed, values) in rows.iter().zip(values) {
                    out[placed.row] = values;
                }
            }
        }
        Ok(out)
    }

    /// Rows whose edges all end at one receiver site become groups of their own: nothing is
    /// computed for the other receivers. Few rows do not pay for a compilation and stay together.
    fn by_reader(&self, groups: impl Iterator<Item = Group>) -> Vec<Group> {
        let mut out = vec![];
        for group in groups {
            let Group { shape, weights, rows } = group;
            let mut parts: BTreeMap<Option<String>, Vec<Placed>> = BTreeMap::new();
            for row in rows {
                let mut sites = row.edges.iter().map(|(e, _)| self.reader(*e));
                let first = sites.next().flatten();
                let single = first.filter(|f| sites.all(|s| s == Some(*f))).map(str::to_string);
                parts.entry(single).or_default().push(row);
            }
            let mut together = parts.remove(&None).unwrap_or_default();
            for (reader, rows) in parts {
                if rows.len() < MIN_ROWS_PER_READER {
                    together.extend(rows);
                } else {
                    let shape = Shape { reader, ..shape.clone() };
                    out.push(Group { shape, weights: weights.clone(), rows });
                }
            }
            if !together.is_empty() {
                out.push(Group { shape, weights, rows: together });
            }
        }
        out
    }

    /// The site at which an edge of the table is read.
    fn reader(&self, edge: usize) -> Option<&str> {
        let edge = self.edges.as_ref()?.edges.get(edge)?;
        self.slots.get(&edge.to).map(|s| s.site.as_str())
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

    fn run_group(
        &self,
        edited: &Weights,
        shape: &Shape,
        rows: &[Placed],
        site: &str,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (batch, pos) = (rows.len(), self.inputs.pos());
        // Weights are data: edits of them do not need another program.
        let program_key = (format!("{site}|{}", group_key(shape, &[])), batch);
        let cached = self.programs.borrow_mut().remove(&program_key);
        let mut program = match cached {
            Some(p) => p,
            None => {
                let g = patch::record_patched(self.network.architecture(), batch, pos, shape)?;
                Program::compile(&g, &[patch::present(&g, site)?])?
            }
        };
        let picked = self.inputs.pick(rows.iter().map(|r| r.input));
        let leaves = self.edit_leaves(shape, rows)?;
        let mut bindings = Bindings::new().with_all(self.network.weights()).with_all(edited);
        match &picked {
            Inputs::Tokens { ids, .. } => bindings.bind_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.bind("input", values),
        }
        for (name, values) in &leaves {
            bindings.bind(name, values);
        }
        program.run(&self.context, &bindings)?;
        let size = program.output(0).len() / batch.max(1);
        let out = program.output(0).chunks_exact(size.max(1)).map(<[f32]>::to_vec).collect();
        let mut programs = self.programs.borrow_mut();
        let bytes: usize = programs.values().map(Program::buffer_bytes).sum();
        if programs.len() >= MAX_PROGRAMS || bytes + program.buffer_bytes() > MAX_PROGRAM_BYTES {
            programs.clear();
        }
        programs.insert(program_key, program);
        Ok(out)
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
    if let Some(reader) = &shape.reader {
        key.push_str(reader);
        key.push(';');
    }
    if shape.split {
        key.push_str("split;");
    }
    if !weights.is_empty() {
        key.push_str(&format!("{weights:?}"));
    }
    key
}
