//! A network on one set of inputs: clean activations, patched runs, gradients.
//!
//! Clean activations are kept per site for the whole set, because interventions cite inputs of the
//! set as their sources; means are taken over the set, per position.

use crate::edge::{EdgeTable, Receiver};
use crate::intervention::{Operation, Row, Target};
use crate::network::{Form, check_weight, record};
use crate::patch::{self, Edit, Shape};
use crate::selector::Selector;
use crate::site::{Axis, Site};
use crate::{Error, Inputs, Network, Weights};
use flyroom_tensor::{Bindings, Context, Graph, Program, Tensor, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Floats that the largest site of one batch may hold.
const BATCH_FLOATS: usize = 1 << 21;
/// Compiled graphs that are kept, and the bytes that their buffers may hold together.
const MAX_PROGRAMS: usize = 256;
/// Rows that pay for compiling a graph in which only their receiver is patched.
const MIN_ROWS_PER_READER: usize = 32;
const MAX_PROGRAM_BYTES: usize = 1 << 28;

/// A network on a set of inputs.
#[derive(Debug)]
pub struct Runner<'a> {
    network: &'a Network,
    inputs: &'a Inputs,
    context: Context,
    sites: BTreeMap<String, Site>,
    edges: Option<EdgeTable>,
    pub(crate) batch: usize,
    /// Rows of a batch whose outputs nobody reads: outputs are often by far the largest site.
    inner_batch: usize,
    clean: RefCell<BTreeMap<String, Arc<Tensor>>>,
    means: RefCell<BTreeMap<String, Arc<Vec<f32>>>>,
    programs: RefCell<BTreeMap<(String, usize), Program>>,
    slots: BTreeMap<Receiver, Slot>,
}

/// Where a receiver reads: index among the receivers of its site, and its senders, which are the
/// first ones of the table.
#[derive(Debug, Clone)]
struct Slot {
    site: String,
    at: usize,
    receivers: usize,
    senders: usize,
}

/// A row translated to the leaves of its graph.
pub(crate) struct Placed {
    pub(crate) row: usize,
    pub(crate) input: usize,
    /// For each edit of the shape: (mask, value) over the site.
    edits: Vec<(Vec<f32>, Vec<f32>)>,
    /// For each patched edge (index into the table) the operation that gives its reference.
    edges: Vec<(usize, Operation)>,
}

/// Edits of weights in order of application.
pub(crate) type WeightEdits = Vec<(Selector, Operation)>;

/// Rows that share a graph and weights.
struct Group {
    shape: Shape,
    weights: WeightEdits,
    rows: Vec<Placed>,
}

impl<'a> Runner<'a> {
    /// Checks that the network takes the inputs.
    pub fn new(network: &'a Network, inputs: &'a Inputs, context: &Context) -> Result<Self, Error> {
        network.accepts(inputs)?;
        let pos = inputs.pos();
        let edges = network.architecture().transformer().map(EdgeTable::new);
        let mut sites = BTreeMap::new();
        for form in [Form::Split, Form::Plain] {
            sites.extend(network.sites(pos, form)?.into_iter().map(|s| (s.name.clone(), s)));
        }
        let slots = edges.as_ref().map(slots).unwrap_or_default();
        let largest = sites.values().map(Site::size).max().unwrap_or(1).max(1);
        let inner = sites.values().filter(|s| s.name != "hook_logits").map(Site::size).max();
        let rows = |floats: usize| (BATCH_FLOATS / floats.max(1)).clamp(1, 1024);
        Ok(Self {
            network,
            inputs,
            context: context.clone(),
            sites,
            edges,
            batch: rows(largest),
            inner_batch: rows(inner.unwrap_or(1)),
            clean: RefCell::default(),
            means: RefCell::default(),
            programs: RefCell::default(),
            slots,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network
    }

    /// Kernels and threads.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The set of inputs.
    pub fn inputs(&self) -> &Inputs {
        self.inputs
    }

    /// Senders, receivers and edges; `None` unless it is a transformer.
    pub fn edges(&self) -> Option<&EdgeTable> {
        self.edges.as_ref()
    }

    /// A site by name.
    pub fn site(&self, name: &str) -> Result<&Site, Error> {
        self.sites.get(name).ok_or_else(|| Error::Selector {
            text: name.into(),
            why: match nearest(name, self.sites.keys()) {
                Some(near) => format!("this network has no such site; did you mean '{near}'?"),
                None => "this network has no such site".into(),
            },
        })
    }

    /// All sites in order of name.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// Clean activations of the whole set at a site, `[input, ..]`.
    pub fn clean(&self, site: &str) -> Result<Arc<Tensor>, Error> {
        self.capture(&[site])?;
        Ok(self.clean.borrow()[site].clone())
    }

    /// Clean outputs of the whole set, `[input, pos, d_vocab_out]` or `[input, d_out]`.
    pub fn logits(&self) -> Result<Arc<Tensor>, Error> {
        self.clean("hook_logits")
    }

    /// Computes several sites in one pass, where they are not known yet.
    pub fn capture(&self, sites: &[&str]) -> Result<(), Error> {
        let missing: Vec<&str> =
            sites.iter().copied().filter(|s| !self.clean.borrow().contains_key(*s)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for name in &missing {
            self.site(name)?;
        }
        // Neither form has all sites: the one has norms that are shared, the other single heads.
        let (split, plain): (Vec<&str>, Vec<&str>) =
            missing.iter().copied().partition(|s| patch::split_only(s));
        self.capture_in(Form::Plain, &plain)?;
        self.capture_in(Form::Split, &split)
    }

    fn capture_in(&self, form: Form, missing: &[&str]) -> Result<(), Error> {
        if missing.is_empty() {
            return Ok(());
        }
        let mut data: Vec<Vec<f32>> = vec![vec![]; missing.len()];
        let n = self.inputs.len();
        let mut compiled: Option<(usize, Program)> = None;
        let most = if missing.contains(&"hook_logits") { self.batch } else { self.inner_batch };
        for start in (0..n).step_by(most) {
            let rows = start..n.min(start + most);
            let mut program = match compiled.take() {
                Some((batch, p)) if batch == rows.len() => p,
                _ => {
                    let (batch, pos) = (rows.len(), self.inputs.pos());
                    let mut g = Graph::new();
                    record(&mut g, self.network.architecture(), batch, pos, form)?;
                    let values = missing.iter().map(|s| g.at(s)).collect::<Result<Vec<_>, _>>()?;
                    Program::compile(&g, &values)?
                }
            };
            let picked = self.inputs.pick(rows.clone());
            program.run(&self.context, &self.bind(&picked))?;
            for (i, d) in data.iter_mut().enumerate() {
                d.extend_from_slice(program.output(i));
            }
            compiled = Some((rows.len(), program));
        }
        for (name, d) in missing.iter().zip(data) {
            let mut shape = self.site(name)?.shape.clone();
            shape[0] = n;
            self.clean.borrow_mut().insert(name.to_string(), Arc::new(Tensor::new(&shape, d)?));
        }
        Ok(())
    }

    fn bind<'b>(&'b self, inputs: &'b Inputs) -> Bindings<'b> {
        let bindings = Bindings::new().with_all(self.network.weights());
        match inputs {
            Inputs::Tokens { ids, .. } => bindings.with_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.with("input", values),
        }
    }

    /// Mean of a site per position over the whole set.
    pub fn mean(&self, site: &str) -> Result<Arc<Vec<f32>>, Error> {
        if let Some(m) = self.means.borrow().get(site) {
            return Ok(m.clone());
        }
        let all = self.clean(site)?;
        let size = self.site(site)?.size();
        let mut sums = vec![0f64; size];
        for row in all.data().chunks_exact(size.max(1)) {
            sums.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x));
        }
        let n = self.inputs.len().max(1) as f64;
        let mean = Arc::new(sums.into_iter().map(|s| (s / n) as f32).collect::<Vec<_>>());
        self.means.borrow_mut().insert(site.into(), mean.clone());
        Ok(mean)
    }

    /// What a reference operation supplies for a site: zeros, the mean, or a source input's clean
    /// activation.
    fn supplied(&self, site: &str, operation: &Operation) -> Result<Vec<f32>, Error> {
        match operation {
            Operation::Zero => Ok(vec![0.0; self.site(site)?.size()]),
            Operation::Mean => Ok(self.mean(site)?.to_vec()),
            Operation::Interchange { input } => {
                self.check_input(*input)?;
                Ok(self.clean(site)?.row(*input).to_vec())
            }
            Operation::Set { .. } | Operation::Add { .. } => Err(Error::Selector {
                text: site.into(),
                why: "edges take zero, mean or interchange".into(),
            }),
        }
    }

    fn check_input(&self, input: usize) -> Result<(), Error> {
        if input < self.inputs.len() {
            return Ok(());
        }
        Err(Error::Input(format!("no input {input} in a set of {}", self.inputs.len())))
    }

    /// One output-sized row for each input; returns that size.
    fn check_direction(&self, inputs: usize, direction: &[f32]) -> Result<usize, Error> {
        let size = self.site("hook_logits")?.size();
        if direction.len() != inputs * size {
            return Err(Error::Input(format!(
                "a direction of {} values for {inputs} outputs of {size}",
                direction.len()
            )));
        }
        Ok(size)
    }

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

    pub(crate) fn place(
        &self,
        index: usize,
        row: &Row,
    ) -> Result<(Shape, WeightEdits, Placed), Error> {
        self.check_input(row.input)?;
        let mut shape = Shape::default();
        let mut weights = vec![];
        let mut placed = Placed { row: index, input: row.input, edits: vec![], edges: vec![] };
        for i in &row.interventions {
            match &i.target {
                Target::Weight(s) => weights.push((s.clone(), i.operation.clone())),
                Target::Edges(edges) => {
                    let table = self.edges.as_ref().ok_or_else(|| {
                        Error::Architecture("only a transformer has edges".into())
                    })?;
                    shape.edges = true;
                    for &e in edges {
                        placed.edges.push((table.index(e)?, i.operation.clone()));
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
                self.check_input(*input)?;
                let clean = self.clean(&s.site)?;
                let (from, to) = (clean.row(*input), clean.row(own));
                let mut delta: Vec<f32> = from
                    .iter()
                    .zip(to)
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
            let clean = self.clean(&site)?;
            let mut all = Vec::with_capacity(batch * info.size());
            for (row, refs) in rows.iter().zip(&references) {
                // Unpatched senders bind this input's own clean values: any finite values do.
                let start = all.len();
                all.extend_from_slice(clean.row(row.input));
                let own = &mut all[start..];
                for (&sender, operation) in refs.range(first..first + heads) {
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

fn slots(table: &EdgeTable) -> BTreeMap<Receiver, Slot> {
    let mut out = BTreeMap::new();
    for (site, found) in patch::receiver_sites(table) {
        for (at, &r) in found.iter().enumerate() {
            let (receivers, senders) = (found.len(), table.into(r).1);
            out.insert(r, Slot { site: site.clone(), at, receivers, senders });
        }
    }
    out
}

fn joined<'v>(parts: impl Iterator<Item = &'v Vec<f32>>) -> Vec<f32> {
    let mut out = vec![];
    parts.for_each(|p| out.extend_from_slice(p));
    out
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
fn set_values(s: &Selector, site: &Site, mask: &[f32], values: &[f32]) -> Result<Vec<f32>, Error> {
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

/// The candidate with the longest common prefix and suffix, if they share at least half.
fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n String>) -> Option<&'n String> {
    let score = |c: &str| {
        let prefix = name.bytes().zip(c.bytes()).take_while(|(a, b)| a == b).count();
        let suffix = name.bytes().rev().zip(c.bytes().rev()).take_while(|(a, b)| a == b).count();
        prefix + suffix
    };
    candidates.max_by_key(|c| score(c)).filter(|c| 2 * score(c) >= name.len())
}
