//! Gradients: of edges' effects to first order, and at one site.

use super::Runner;
use crate::edge::{EdgeTable, Receiver};
use crate::network::{Form, record};
use crate::site::Axis;
use crate::{Error, patch};
use flyroom_tensor::{Graph, Program, Tensor, Value};

impl Runner<'_> {
    /// First-order edge scores (EAP, Syed et al. 2023) for pairs (input, source input):
    /// s(u->v) = sum over pos of (a_u - a_u') . dm/din_v with m = sum of logits * `direction`,
    /// gradients averaged over `steps` points on the way from the corrupted to the clean
    /// embedding (EAP-IG-inputs, Hanna et al. 2024; one step at the clean input is EAP). Positive
    /// = the edge helps. Result: for each pair the scores in order of the edge table.
    pub fn edge_attribution(
        &self,
        pairs: &[(usize, usize)],
        direction: &[f32],
        steps: usize,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let c = self
            .network
            .architecture()
            .transformer()
            .ok_or_else(|| Error::Architecture("only a transformer has edges".into()))?;
        let table = EdgeTable::new(c);
        if steps == 0 {
            return Err(Error::Input("attribution wants at least one step".into()));
        }
        let size = self.check_direction(pairs.len(), direction)?;
        for &(input, source) in pairs {
            self.check_input(input)?;
            self.check_input(source)?;
        }
        let mut senders = patch::sender_sites(&table);
        senders.push("hook_embed".into());
        self.capture(&senders.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut out = vec![];
        for (chunk, pairs) in pairs.chunks(self.batch).enumerate() {
            let at = chunk * self.batch * size;
            let direction = &direction[at..at + pairs.len() * size];
            out.extend(self.attribute(&table, c.d_model, pairs, direction, steps)?);
        }
        Ok(out)
    }

    fn attribute(
        &self,
        table: &EdgeTable,
        d_model: usize,
        pairs: &[(usize, usize)],
        direction: &[f32],
        steps: usize,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let (batch, pos) = (pairs.len(), self.inputs.pos());
        let mut plain = Graph::new();
        record(&mut plain, self.network.architecture(), batch, pos, Form::Split)?;
        // The gradient is taken at the interpolated embedding, the differences at the ends.
        let mut g = plain.edited(&mut |g, name, v| {
            if name != "hook_embed" || steps == 1 {
                return Ok(None);
            }
            let shape = g.shape(v).to_vec();
            let corrupted = g.input("corrupted.hook_embed", &shape);
            let (share, rest) = (g.input("share", &[1]), g.input("rest", &[1]));
            let a = g.mul(v, share)?;
            let b = g.mul(corrupted, rest)?;
            g.add(a, b).map(Some)
        })?;
        let logits = g.at("hook_logits")?;
        let shape = g.shape(logits).to_vec();
        let weight = g.input("direction", &shape);
        let m = g.mul(logits, weight)?;
        let m = g.sum(m)?;
        let sites: Vec<(String, Vec<Receiver>)> =
            patch::receiver_sites(table).into_iter().collect();
        let receivers = sites.iter().map(|(s, _)| g.at(s)).collect::<Result<Vec<_>, _>>()?;
        let gradients = g.gradient(m, &receivers)?;
        let mut outputs: Vec<Value> = vec![];
        for ((_, found), gradient) in sites.iter().zip(gradients) {
            let before = table.into(found[0]).1;
            let differences = g.input("differences", &[batch, pos, table.senders.len(), d_model]);
            let d = g.slice(differences, 2, 0, before)?;
            let gradient = g.reshape(gradient, &[batch, pos, found.len(), d_model])?;
            let per_pos = g.einsum("bpud,bprd->bur", d, gradient)?;
            outputs.push(per_pos);
        }
        let mut program = Program::compile(&g, &outputs)?;
        let picked = self.inputs.pick(pairs.iter().map(|p| p.0));
        let mut differences = vec![0f32; batch * pos * table.senders.len() * d_model];
        let mut first = 0;
        for site in patch::sender_sites(table) {
            let heads = self.site(&site)?.axis_len(Axis::Head).unwrap_or(1);
            let clean = self.clean(&site)?;
            for (b, &(input, source)) in pairs.iter().enumerate() {
                let (x, y) = (clean.row(input), clean.row(source));
                for p in 0..pos {
                    for h in 0..heads {
                        let from = (p * heads + h) * d_model;
                        let to = ((b * pos + p) * table.senders.len() + first + h) * d_model;
                        for i in 0..d_model {
                            differences[to + i] = x[from + i] - y[from + i];
                        }
                    }
                }
            }
            first += heads;
        }
        let embeds = self.clean("hook_embed")?;
        let corrupted: Vec<f32> = pairs.iter().flat_map(|p| embeds.row(p.1).to_vec()).collect();
        let mut bindings = self.bind(&picked);
        bindings.bind("differences", &differences);
        bindings.bind("direction", direction);
        bindings.bind("corrupted.hook_embed", &corrupted);
        let mut out = vec![vec![0f64; table.edges.len()]; batch];
        for step in 1..=steps {
            let share = [step as f32 / steps as f32];
            let rest = [1.0 - share[0]];
            let bindings = bindings.clone().with("share", &share).with("rest", &rest);
            program.run(&self.context, &bindings)?;
            for (o, (_, found)) in sites.iter().enumerate() {
                let scores = program.output(o);
                for (at, &r) in found.iter().enumerate() {
                    let (first, before) = table.into(r);
                    for (b, row) in out.iter_mut().enumerate() {
                        for u in 0..before {
                            let score = scores[(b * before + u) * found.len() + at];
                            row[first + u] += f64::from(score) / steps as f64;
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// Gradient at a site of sum of logits * `direction` (one output-sized row for each of
    /// `inputs`), `[inputs, ..site]`.
    pub fn gradient(
        &self,
        inputs: &[usize],
        direction: &[f32],
        site: &str,
    ) -> Result<Tensor, Error> {
        self.site(site)?;
        let size = self.check_direction(inputs.len(), direction)?;
        inputs.iter().try_for_each(|&i| self.check_input(i))?;
        let form = if patch::split_only(site) { Form::Split } else { Form::Plain };
        let mut out = vec![];
        for (chunk, rows) in inputs.chunks(self.batch).enumerate() {
            let mut g = Graph::new();
            let logits =
                record(&mut g, self.network.architecture(), rows.len(), self.inputs.pos(), form)?;
            let shape = g.shape(logits).to_vec();
            let weight = g.input("direction", &shape);
            let m = g.mul(logits, weight)?;
            let m = g.sum(m)?;
            let at = g.at(site)?;
            let gradient = g.gradient(m, &[at])?;
            let mut program = Program::compile(&g, &gradient)?;
            let picked = self.inputs.pick(rows.iter().copied());
            let start = chunk * self.batch * size;
            let mut bindings = self.bind(&picked);
            bindings.bind("direction", &direction[start..start + rows.len() * size]);
            program.run(&self.context, &bindings)?;
            out.extend_from_slice(program.output(0));
        }
        let mut shape = self.site(site)?.shape.clone();
        shape[0] = inputs.len();
        Ok(Tensor::new(&shape, out)?)
    }
}
