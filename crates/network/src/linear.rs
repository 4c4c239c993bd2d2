//! First-order predictions of interventions: the derivative of the outputs along the change that
//! an intervention makes, at the clean run. What a gradient knows, and the bar that explanations
//! of the open tier have to clear.

use crate::intervention::Row;
use crate::network::record;
use crate::patch::{self, Branch, Shape};
use crate::runner::{Placed, Prompt, check_bases, group_key};
use crate::{Error, Inputs, Runner};
use flyroom_tensor::{Bindings, Graph, Program, Tensor, Value, ops::Unary};
use std::collections::BTreeMap;

impl Runner<'_> {
    /// For each row the predicted change of the outputs, `[pos, d_vocab_out]` or `[d_out]`.
    /// The changes of several sites add up. Edits of weights count as no change. `None` if no row acts on sites or edges.
    pub fn first_order(&self, rows: &[Row]) -> Result<Option<Vec<Vec<f32>>>, Error> {
        let mut groups: BTreeMap<String, (Shape, Vec<Placed>)> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            let (shape, _, placed) = self.place(i, row)?;
            if !shape.sites.is_empty() || shape.edges {
                let key = group_key(&shape, &[]);
                groups.entry(key).or_insert_with(|| (shape, vec![])).1.push(placed);
            }
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let size = self.site("hook_logits")?.size();
        let mut out = vec![vec![0.0; size]; rows.len()];
        for (shape, members) in groups.into_values() {
            check_bases(&shape)?;
            let prompts: Vec<Prompt> = members.into_iter().map(Prompt::of).collect();
            for prompts in prompts.chunks(self.batch) {
                let tangents = self.tangents(&shape, prompts)?;
                let rows = prompts.iter().flat_map(Prompt::rows);
                for (row, t) in rows.zip(tangents.chunks_exact(size.max(1))) {
                    out[row] = t.to_vec();
                }
            }
        }
        Ok(Some(out))
    }

    fn tangents(&self, shape: &Shape, prompts: &[Prompt]) -> Result<Vec<f32>, Error> {
        let (batch, pos) = (prompts.len(), self.inputs().pos());
        let architecture = self.network().architecture();
        let mut g = Graph::new();
        let logits = record(&mut g, architecture, batch, pos, shape.form())?;
        let mut now: BTreeMap<String, (Value, Value)> = BTreeMap::new();
        if shape.edges
            && let Some(c) = architecture.transformer()
        {
            for (site, x, moved) in patch::patched_receivers(&mut g, c, batch, pos)? {
                now.insert(site, (x, moved));
            }
        }
        for (i, (site, edit)) in shape.sites.iter().enumerate() {
            let x = patch::present(&g, site)?;
            let before = now.get(site).map_or(x, |n| n.1);
            let after = patch::apply(&mut g, (0, i), edit, before)?;
            now.insert(site.clone(), (x, after));
        }
        let mut tangents = vec![];
        for (x, after) in now.into_values() {
            tangents.push((x, finite_difference(&mut g, after, x)?));
        }
        let Some(t) = g.jvp(logits, &tangents)? else {
            return Ok(vec![0.0; g.shape(logits).iter().product()]);
        };
        let mut program = Program::compile(&g, &[t])?;
        let picked = self.inputs().pick(prompts.iter().map(|p| p.input));
        let alone = [Branch { reader: None, times: 1 }];
        let leaves = self.edit_leaves(shape, prompts, &alone)?;
        let mut bindings = Bindings::new().with_all(self.network().weights());
        match &picked {
            Inputs::Tokens { ids, .. } => bindings.bind_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.bind("input", values),
        }
        for (name, values) in &leaves {
            bindings.bind(name, values);
        }
        program.run(self.context(), &bindings)?;
        Ok(program.output(0).to_vec())
    }
}

/// after - x, and 0 where x is -infinity: a masked score has probability 0 and no slope.
fn finite_difference(
    g: &mut Graph,
    after: Value,
    x: Value,
) -> Result<Value, flyroom_tensor::Error> {
    let difference = g.sub(after, x)?;
    let seen = g.unary(Unary::Shift(1e30), x)?;
    let seen = g.relu(seen)?;
    let zero = g.constant(Tensor::zeros(g.shape(x)));
    g.select(seen, difference, zero)
}
