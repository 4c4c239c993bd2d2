//! Rows translated to edits of a graph: which sites in which way, and with which values.

use super::Runner;
use crate::Error;
use crate::intervention::{Operation, Row, Target};
use crate::patch::{Edit, Shape};
use crate::selector::Selector;
use crate::site::{Axis, Site};
use std::collections::BTreeMap;

/// A row translated to the leaves of its graph.
pub(crate) struct Placed {
    pub(crate) row: usize,
    pub(crate) input: usize,
    /// For each edit of the shape: (mask, value) over the site.
    pub(super) edits: Vec<(Vec<f32>, Vec<f32>)>,
    /// Patched edges, by index into the table.
    pub(super) edges: Vec<usize>,
    /// For each of their senders, by index, the operation that gives its reference.
    pub(super) references: BTreeMap<usize, Operation>,
}

/// Edits of weights in order of application.
pub(crate) type WeightEdits = Vec<(Selector, Operation)>;

impl Runner<'_> {
    pub(crate) fn place(
        &self,
        index: usize,
        row: &Row,
    ) -> Result<(Shape, WeightEdits, Placed), Error> {
        self.check_input(row.input)?;
        let mut shape = Shape::default();
        let mut weights = vec![];
        let mut placed = Placed {
            row: index,
            input: row.input,
            edits: vec![],
            edges: vec![],
            references: BTreeMap::new(),
        };
        for i in &row.interventions {
            match &i.target {
                Target::Weight(s) => weights.push((s.clone(), i.operation.clone())),
                Target::Edges(edges) => {
                    let table = self.edges.as_ref().ok_or_else(|| {
                        Error::Architecture("only a transformer has edges".into())
                    })?;
                    shape.edges = true;
                    for &e in edges {
                        placed.edges.push(table.index(e)?);
                        let sender = table.sender(e.from).unwrap_or(0);
                        let other = placed.references.insert(sender, i.operation.clone());
                        if other.is_some_and(|other| other != i.operation) {
                            return Err(Error::Selector {
                                text: e.to_string(),
                                why: "two edges of one sender with different references in one run"
                                    .into(),
                            });
                        }
                    }
                }
                Target::Site(s) => {
                    self.place_site(row.input, s, &i.operation, &mut shape, &mut placed)?
                }
            }
        }
        Ok((shape, weights, placed))
    }

    fn place_site(
        &self,
        own: usize,
        s: &Selector,
        operation: &Operation,
        shape: &mut Shape,
        placed: &mut Placed,
    ) -> Result<(), Error> {
        let site = self.site(&s.site)?;
        if s.directions.is_some() {
            return Err(Error::Selector {
                text: s.to_string(),
                why: "the file of directions was not read yet".into(),
            });
        }
        let mask = s.mask(site)?;
        let value = match operation {
            Operation::Set { values } => set_values(s, site, &mask, values)?,
            Operation::Add { input, factor } => {
                let from = self.clean_row(&s.site, *input)?;
                let to = self.clean_row(&s.site, own)?;
                let mut delta: Vec<f32> = from
                    .iter()
                    .zip(&to)
                    .zip(&mask)
                    // Equal values differ by 0, masked scores of -infinity too.
                    .map(|((a, b), m)| if *m != 0.0 && a != b { factor * (a - b) } else { 0.0 })
                    .collect();
                if let Some(basis) = &s.basis {
                    check_basis(&s.site, basis)?;
                    project(&mut delta, basis);
                }
                delta
            }
            _ => self.supplied(&s.site, operation)?,
        };
        let edit = match (operation, &s.basis) {
            (Operation::Add { .. }, _) => Edit::Add,
            (_, Some(basis)) => Edit::Subspace(basis.clone()),
            (_, None) if mask.iter().all(|&m| m != 0.0) => Edit::Whole,
            (_, None) => Edit::Replace,
        };
        // A second edit of the same kind joins the first unless another kind came between.
        let last = shape.sites.iter().rposition(|(name, _)| *name == s.site);
        let joins =
            |before: &Edit| *before == edit || (*before == Edit::Whole && edit == Edit::Replace);
        match last {
            Some(j) if joins(&shape.sites[j].1) => {
                let (m, v) = &mut placed.edits[j];
                for k in 0..mask.len() {
                    if edit == Edit::Add {
                        v[k] += value[k];
                    } else if mask[k] != 0.0 {
                        (m[k], v[k]) = (1.0, value[k]);
                    }
                }
            }
            _ => {
                shape.sites.push((s.site.clone(), edit));
                placed.edits.push((mask, value));
            }
        }
        Ok(())
    }
}

/// Fails unless every subspace of a shape is given by an orthonormal basis.
pub(crate) fn check_bases(shape: &Shape) -> Result<(), Error> {
    shape.sites.iter().try_for_each(|(site, edit)| match edit {
        Edit::Subspace(basis) => check_basis(site, basis),
        _ => Ok(()),
    })
}

/// Inner products may be off by 1e-3, which f32 files with unit vectors keep easily.
fn check_basis(site: &str, basis: &[Vec<f32>]) -> Result<(), Error> {
    for (i, a) in basis.iter().enumerate() {
        for (j, b) in basis[..=i].iter().enumerate() {
            let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let wanted = f64::from(i == j);
            if dot.is_nan() || (dot - wanted).abs() >= 1e-3 {
                return Err(Error::Selector {
                    text: site.into(),
                    why: format!("the basis is not orthonormal: rows {j} and {i} give {dot:.4}"),
                });
            }
        }
    }
    Ok(())
}

/// Values for the coordinates or the subspace that a selector marks, over the whole site.
pub(super) fn set_values(
    s: &Selector,
    site: &Site,
    mask: &[f32],
    values: &[f32],
) -> Result<Vec<f32>, Error> {
    let bad = |wanted: usize| Error::Selector {
        text: s.to_string(),
        why: format!("set wants {wanted} values, got {}", values.len()),
    };
    let mut out = vec![0.0; mask.len()];
    match &s.basis {
        Some(basis) => {
            if values.len() != basis.len() {
                return Err(bad(basis.len()));
            }
            let unit = site.axis_len(Axis::Unit).unwrap_or(1).max(1);
            for row in out.chunks_exact_mut(unit) {
                for (q, &v) in basis.iter().zip(values) {
                    row.iter_mut().zip(q).for_each(|(x, q)| *x += v * q);
                }
            }
        }
        None => {
            let marked: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] != 0.0).collect();
            match values.len() {
                1 => marked.iter().for_each(|&i| out[i] = values[0]),
                n if n == marked.len() => {
                    marked.iter().zip(values).for_each(|(&i, &v)| out[i] = v);
                }
                _ => return Err(bad(marked.len())),
            }
        }
    }
    Ok(out)
}

/// Keeps the part of each vector that lies in the span of an orthonormal basis.
fn project(x: &mut [f32], basis: &[Vec<f32>]) {
    let unit = basis.first().map_or(1, Vec::len).max(1);
    for row in x.chunks_exact_mut(unit) {
        let mut kept = vec![0.0f32; unit];
        for q in basis {
            let c: f32 = row.iter().zip(q).fold(0.0, |s, (x, q)| x.mul_add(*q, s));
            kept.iter_mut().zip(q).for_each(|(k, q)| *k += c * q);
        }
        row.copy_from_slice(&kept);
    }
}
