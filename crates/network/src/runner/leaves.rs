//! Data for the leaves that edits brought into a graph.

use super::{Placed, Runner};
use crate::Error;
use crate::intervention::Operation;
use crate::patch::{self, Shape};
use crate::site::Axis;
use std::collections::BTreeMap;

impl Runner<'_> {
    /// Data for the edits of a shape, by leaf.
    pub(crate) fn edit_leaves(
        &self,
        shape: &Shape,
        rows: &[Placed],
    ) -> Result<BTreeMap<String, Vec<f32>>, Error> {
        let mut leaves: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for i in 0..shape.sites.len() {
            let (mask, value) = Shape::leaves(i);
            leaves.insert(mask, joined(rows.iter().map(|r| &r.edits[i].0)));
            leaves.insert(value, joined(rows.iter().map(|r| &r.edits[i].1)));
        }
        if shape.edges {
            self.edge_leaves(rows, &mut leaves)?;
        }
        Ok(leaves)
    }

    fn edge_leaves(
        &self,
        rows: &[Placed],
        leaves: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let Some(table) = &self.edges else { return Ok(()) };
        let (batch, pos) = (rows.len(), self.inputs.pos());
        let mut references: Vec<BTreeMap<usize, &Operation>> = vec![BTreeMap::new(); batch];
        for slot in self.slots.values().filter(|s| s.at == 0) {
            let size = batch * slot.senders * slot.receivers;
            leaves.insert(patch::mask_leaf(&slot.site), vec![0.0; size]);
        }
        for (b, row) in rows.iter().enumerate() {
            for (e, operation) in &row.edges {
                let edge = table.edges[*e];
                let sender = table.sender(edge.from).unwrap_or(0);
                let slot = &self.slots[&edge.to];
                if let Some(mask) = leaves.get_mut(&patch::mask_leaf(&slot.site)) {
                    mask[(b * slot.senders + sender) * slot.receivers + slot.at] = 1.0;
                }
                if let Some(other) = references[b].insert(sender, operation)
                    && other != operation
                {
                    return Err(Error::Selector {
                        text: edge.to_string(),
                        why: "two edges of one sender with different references in one run".into(),
                    });
                }
            }
        }
        let sender_sites = patch::sender_sites(table);
        self.capture(&sender_sites.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut first = 0;
        for site in sender_sites {
            let info = self.site(&site)?;
            let heads = info.axis_len(Axis::Head).unwrap_or(1);
            let width = info.axis_len(Axis::Unit).unwrap_or(1);
            let mut all = Vec::with_capacity(batch * info.size());
            for (row, refs) in rows.iter().zip(&references) {
                // Unpatched senders bind this input's own clean values: any finite values do.
                let start = all.len();
                all.extend(self.clean_row(&site, row.input)?);
                let own = &mut all[start..];
                for (&sender, operation) in refs.range(first..first + heads) {
                    if let Operation::Set { values } = operation {
                        if values.len() != pos * width {
                            return Err(Error::Selector {
                                text: table.senders[sender].to_string(),
                                why: format!(
                                    "set wants {} values, [pos, d_model] of the sender, got {}",
                                    pos * width,
                                    values.len()
                                ),
                            });
                        }
                        for (p, values) in values.chunks_exact(width.max(1)).enumerate() {
                            let at = (p * heads + sender - first) * width;
                            own[at..at + width].copy_from_slice(values);
                        }
                        continue;
                    }
                    let values = self.supplied(&site, operation)?;
                    for p in 0..pos {
                        let at = (p * heads + sender - first) * width;
                        own[at..at + width].copy_from_slice(&values[at..at + width]);
                    }
                }
            }
            leaves.insert(patch::reference_leaf(&site), all);
            first += heads;
        }
        Ok(())
    }
}

fn joined<'v>(parts: impl Iterator<Item = &'v Vec<f32>>) -> Vec<f32> {
    let mut out = vec![];
    parts.for_each(|p| out.extend_from_slice(p));
    out
}
