//! Data for the leaves that edits brought into a graph.

use super::{Prompt, Runner, Slot};
use crate::Error;
use crate::intervention::Operation;
use crate::patch::{self, Branch, Shape};
use crate::site::Axis;
use std::collections::BTreeMap;

impl Runner<'_> {
    /// Data for the edits of a shape in the branches of a graph, by leaf.
    pub(crate) fn edit_leaves(
        &self,
        shape: &Shape,
        prompts: &[Prompt],
        branches: &[Branch],
    ) -> Result<BTreeMap<String, Vec<f32>>, Error> {
        let mut leaves: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for b in 0..branches.len() {
            let rows = || prompts.iter().flat_map(|p| &p.branches[b].1);
            for i in 0..shape.sites.len() {
                let (mask, value) = Shape::leaves(b, i);
                leaves.insert(mask, joined(rows().map(|r| &r.edits[i].0)));
                leaves.insert(value, joined(rows().map(|r| &r.edits[i].1)));
            }
        }
        if shape.edges {
            for (b, branch) in branches.iter().enumerate() {
                self.mask_leaves(prompts, b, branch, &mut leaves)?;
            }
            self.reference_leaves(prompts, &mut leaves)?;
        }
        Ok(leaves)
    }

    /// Which edges each row of a branch patches.
    fn mask_leaves(
        &self,
        prompts: &[Prompt],
        branch: usize,
        Branch { reader, times }: &Branch,
        leaves: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let Some(table) = &self.edges else { return Ok(()) };
        let at = reader.as_ref().and_then(|r| r.at);
        let receivers = |slot: &Slot| if at.is_some() { 1 } else { slot.receivers };
        let read = |slot: &Slot| reader.as_ref().is_none_or(|r| r.site == slot.site);
        for slot in self.slots.values().filter(|s| s.at == 0 && read(s)) {
            let size = prompts.len() * times * slot.senders * receivers(slot);
            leaves.insert(patch::mask_leaf(branch, &slot.site), vec![0.0; size]);
        }
        for (b, row) in prompts.iter().flat_map(|p| &p.branches[branch].1).enumerate() {
            for &e in &row.edges {
                let edge = table.edges[e];
                let sender = table.sender(edge.from).unwrap_or(0);
                let slot = &self.slots[&edge.to];
                if let Some(mask) = leaves.get_mut(&patch::mask_leaf(branch, &slot.site)) {
                    let own = if at.is_some() { 0 } else { slot.at };
                    mask[(b * slot.senders + sender) * receivers(slot) + own] = 1.0;
                }
            }
        }
        Ok(())
    }

    /// What senders write in the reference runs of each prompt.
    fn reference_leaves(
        &self,
        prompts: &[Prompt],
        leaves: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let Some(table) = &self.edges else { return Ok(()) };
        let pos = self.inputs.pos();
        let sender_sites = patch::sender_sites(table);
        self.capture(&sender_sites.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut first = 0;
        for site in sender_sites {
            let info = self.site(&site)?;
            let heads = info.axis_len(Axis::Head).unwrap_or(1);
            let width = info.axis_len(Axis::Unit).unwrap_or(1);
            let mut all = Vec::with_capacity(prompts.len() * info.size());
            for prompt in prompts {
                // Unpatched senders bind this input's own clean values: any finite values do.
                let start = all.len();
                all.extend(self.clean_row(&site, prompt.input)?);
                let own = &mut all[start..];
                for (&sender, operation) in prompt.references.range(first..first + heads) {
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
