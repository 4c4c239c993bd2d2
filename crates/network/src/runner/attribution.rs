//! Gradients: of edges' effects to first order, and at one site.

use super::Runner;
use crate::Error;
use crate::edge::{EdgeTable, Receiver};
use crate::network::{Form, record};
use crate::patch::{self, Branch, Edit, Shape};
use crate::site::Axis;
use flyroom_tensor::{Bindings, Graph, Program, Tensor, Value};
use std::ops::Range;

/// On what way the gradient of an edge's score is averaged over points k = 1..n, the last of which is
/// the clean run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientPath {
    /// From the corrupted to the clean embeddings (EAP-IG-inputs, Hanna et al. 2024). One point is
    /// EAP (Syed et al. 2023).
    Inputs,
    /// From the corrupted to the clean activation of the edge's own sender, in a run that is clean
    /// but for what follows from it (EAP-IG-activations, Mueller et al. 2025; of nodes, Marks et al.
    /// 2025). One point is EAP.
    Sender,
    /// The same for the embeddings, the heads of each layer together and each MLP, one after the
    /// other, and the scores of *all* edges averaged over all of these runs, gradients stopping at
    /// what was replaced: what the code of Hanna et al. computes under that name.
    Blocks,
}

/// Receiver sites with their receivers, in order of the program's outputs.
type Sites = [(String, Vec<Receiver>)];

impl Runner<'_> {
    /// First-order edge scores for pairs (input, source input): s(u->v) = sum over pos of
    /// (a_u - a_u') . dm/din_v with m = sum of logits * `direction`, the gradient averaged over
    /// `steps` points of `path`. Positive = the edge helps. Result: for each pair the scores in
    /// order of the edge table.
    pub fn edge_attribution(
        &self,
        pairs: &[(usize, usize)],
        direction: &[f32],
        path: GradientPath,
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
        let sites: Vec<_> = patch::receiver_sites(&table).into_iter().collect();
        let mut out = vec![];
        for (chunk, pairs) in pairs.chunks(self.batch).enumerate() {
            let at = chunk * self.batch * size;
            let direction = &direction[at..at + pairs.len() * size];
            let differences = self.differences(&table, c.d_model, pairs)?;
            let picked = self.inputs.pick(pairs.iter().map(|p| p.0));
            let mut bindings = self.bind(&picked);
            bindings.bind("differences", &differences);
            bindings.bind("direction", direction);
            out.extend(match path {
                GradientPath::Inputs => self.along_inputs(&table, &sites, pairs, steps, bindings),
                _ => self.along_activations(&table, &sites, pairs, (path, steps), bindings),
            }?);
        }
        Ok(out)
    }

    /// a_u - a_u' of every pair, `[pair, pos, sender, d_model]`.
    fn differences(
        &self,
        table: &EdgeTable,
        d_model: usize,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<f32>, Error> {
        let pos = self.inputs.pos();
        let mut differences = vec![0f32; pairs.len() * pos * table.senders.len() * d_model];
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
        Ok(differences)
    }

    fn along_inputs(
        &self,
        table: &EdgeTable,
        sites: &Sites,
        pairs: &[(usize, usize)],
        steps: usize,
        bindings: Bindings,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let mut plain = Graph::new();
        let pos = self.inputs.pos();
        record(&mut plain, self.network.architecture(), pairs.len(), pos, Form::Split)?;
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
        let mut program = products(&mut g, table, sites)?;
        let embeds = self.clean("hook_embed")?;
        let corrupted: Vec<f32> = pairs.iter().flat_map(|p| embeds.row(p.1).to_vec()).collect();
        let bindings = bindings.clone().with("corrupted.hook_embed", &corrupted);
        let mut out = vec![vec![0f64; table.edges.len()]; pairs.len()];
        for step in 1..=steps {
            let share = [step as f32 / steps as f32];
            let rest = [1.0 - share[0]];
            let bindings = bindings.clone().with("share", &share).with("rest", &rest);
            program.run(&self.context, &bindings)?;
            collect(&mut out, table, sites, &program, 0..table.senders.len(), steps);
        }
        Ok(out)
    }

    fn along_activations(
        &self,
        table: &EdgeTable,
        sites: &Sites,
        pairs: &[(usize, usize)],
        (path, steps): (GradientPath, usize),
        bindings: Bindings,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let pos = self.inputs.pos();
        let senders = patch::sender_sites(table);
        let shape = Shape {
            sites: senders.iter().map(|s| (s.clone(), Edit::Replace)).collect(),
            split: true,
            ..Shape::default()
        };
        let architecture = self.network.architecture();
        let alone = [Branch { reader: None, times: 1 }];
        let size = (pairs.len(), pos);
        let (mut g, _) = patch::record_patched(architecture, size, &shape, &alone, "hook_logits")?;
        let mut program = products(&mut g, table, sites)?;
        let leaves: Vec<_> = (0..senders.len()).map(|i| Shape::leaves(0, i)).collect();
        let clean = senders.iter().map(|s| self.clean(s)).collect::<Result<Vec<_>, _>>()?;
        let heads = senders
            .iter()
            .map(|s| Ok(self.site(s)?.axis_len(Axis::Head).unwrap_or(1)))
            .collect::<Result<Vec<_>, Error>>()?;
        let size = |s: usize| clean[s].data().len() / clean[s].shape()[0].max(1);
        let still: Vec<Vec<f32>> =
            (0..senders.len()).map(|s| vec![0.0; pairs.len() * size(s)]).collect();
        // (site, its heads, index of the first of its senders) that are moved together.
        let mut moved: Vec<(usize, Range<usize>, usize)> = vec![];
        let mut first = 0;
        for (s, site) in senders.iter().enumerate() {
            match path {
                GradientPath::Blocks if site == "hook_pos_embed" => {}
                GradientPath::Blocks => moved.push((s, 0..heads[s], first)),
                _ => moved.extend((0..heads[s]).map(|h| (s, h..h + 1, first))),
            }
            first += heads[s];
        }
        let mut out = vec![vec![0f64; table.edges.len()]; pairs.len()];
        for (s, of, first) in &moved {
            let width = size(*s) / (pos * heads[*s]).max(1);
            let within = |i: usize| of.contains(&(i / width.max(1) % heads[*s]));
            let ends = |b: usize| (clean[*s].row(pairs[b].0), clean[*s].row(pairs[b].1));
            let same = |b: usize| {
                let (x, y) = ends(b);
                (0..size(*s)).all(|i| !within(i) || x[i] == y[i])
            };
            // Edges of a sender that the corruption does not move score 0.
            if path == GradientPath::Sender && (0..pairs.len()).all(same) {
                continue;
            }
            let mask: Vec<f32> = (0..pairs.len() * size(*s))
                .map(|i| if within(i % size(*s)) { 1.0 } else { 0.0 })
                .collect();
            for step in 1..=steps {
                let share = step as f32 / steps as f32;
                let value: Vec<f32> = (0..pairs.len())
                    .flat_map(|b| {
                        let (x, y) = ends(b);
                        x.iter().zip(y).map(move |(x, y)| share * x + (1.0 - share) * y)
                    })
                    .collect();
                let mut bindings = bindings.clone();
                for (i, (of_mask, of_value)) in leaves.iter().enumerate() {
                    let here = i == *s;
                    bindings.bind(of_mask, if here { &mask } else { &still[i] });
                    bindings.bind(of_value, if here { &value } else { &still[i] });
                }
                program.run(&self.context, &bindings)?;
                let (counted, runs) = match path {
                    GradientPath::Blocks => (0..table.senders.len(), steps * moved.len()),
                    _ => (first + of.start..first + of.end, steps),
                };
                collect(&mut out, table, sites, &program, counted, runs);
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

/// Compiles, for each receiver site, the product of all differences before it with the gradient
/// of m there, `[pair, sender, receiver]`.
fn products(g: &mut Graph, table: &EdgeTable, sites: &Sites) -> Result<Program, Error> {
    let logits = g.at("hook_logits")?;
    let shape = g.shape(logits).to_vec();
    let weight = g.input("direction", &shape);
    let m = g.mul(logits, weight)?;
    let m = g.sum(m)?;
    let receivers = sites.iter().map(|(s, _)| g.at(s)).collect::<Result<Vec<_>, _>>()?;
    let gradients = g.gradient(m, &receivers)?;
    let embed = g.at("hook_embed")?;
    let &[batch, pos, d_model] = g.shape(embed) else {
        return Err(Error::Architecture("embeddings are not [batch, pos, d_model]".into()));
    };
    let mut outputs: Vec<Value> = vec![];
    for ((_, found), gradient) in sites.iter().zip(gradients) {
        let before = table.into(found[0]).1;
        let differences = g.input("differences", &[batch, pos, table.senders.len(), d_model]);
        let d = g.slice(differences, 2, 0, before)?;
        let gradient = g.reshape(gradient, &[batch, pos, found.len(), d_model])?;
        let per_pos = g.einsum("bpud,bprd->bur", d, gradient)?;
        outputs.push(per_pos);
    }
    Ok(Program::compile(g, &outputs)?)
}

/// Adds what a run found of the edges of `senders`, one of `runs`.
fn collect(
    out: &mut [Vec<f64>],
    table: &EdgeTable,
    sites: &Sites,
    program: &Program,
    senders: Range<usize>,
    runs: usize,
) {
    for (o, (_, found)) in sites.iter().enumerate() {
        let scores = program.output(o);
        for (at, &r) in found.iter().enumerate() {
            let (first, before) = table.into(r);
            for (b, row) in out.iter_mut().enumerate() {
                for u in senders.start..senders.end.min(before) {
                    let score = scores[(b * before + u) * found.len() + at];
                    row[first + u] += f64::from(score) / runs as f64;
                }
            }
        }
    }
}
