//! A network on one set of inputs: clean activations, patched runs, gradients.
//!
//! Clean activations are kept per site for the whole set, because interventions cite inputs of the
//! set as their sources; means are taken over the set, per position.

use crate::edge::{EdgeTable, Receiver};
use crate::intervention::{Operation, Row, Target};
use crate::network::{Form, record};
use crate::patch::{self, Edit, Shape};
use crate::selector::Selector;
use crate::site::{Axis, Site};
use crate::{Error, Inputs, Network};
use flyroom_tensor::{Bindings, Context, Graph, Program, Tensor, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Floats that the largest site of one batch may hold.
const BATCH_FLOATS: usize = 1 << 21;

/// A network on a set of inputs.
#[derive(Debug)]
pub struct Runner<'a> {
    network: &'a Network,
    inputs: &'a Inputs,
    context: Context,
    sites: BTreeMap<String, Site>,
    edges: Option<EdgeTable>,
    batch: usize,
    clean: RefCell<BTreeMap<String, Arc<Tensor>>>,
    means: RefCell<BTreeMap<String, Arc<Vec<f32>>>>,
    programs: RefCell<BTreeMap<(String, usize), Program>>,
}

/// A row translated to the leaves of its graph.
struct Placed {
    row: usize,
    input: usize,
    /// For each edit of the shape: (mask, value) over the site.
    edits: Vec<(Vec<f32>, Vec<f32>)>,
    /// For each patched edge (index into the table) the operation that gives its reference.
    edges: Vec<(usize, Operation)>,
}

/// Rows that share a graph and weights.
struct Group {
    shape: Shape,
    weights: Vec<(Selector, Operation)>,
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
        let largest = sites.values().map(Site::size).max().unwrap_or(1).max(1);
        Ok(Self {
            network,
            inputs,
            context: context.clone(),
            sites,
            edges,
            batch: (BATCH_FLOATS / largest).clamp(1, 1024),
            clean: RefCell::default(),
            means: RefCell::default(),
            programs: RefCell::default(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network
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
        let missing: Vec<&str> = sites
            .iter()
            .copied()
            .filter(|s| !self.clean.borrow().contains_key(*s))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut data: Vec<Vec<f32>> = vec![vec![]; missing.len()];
        for name in &missing {
            self.site(name)?;
        }
        let shape = Shape {
            sites: vec![],
            edges: missing.iter().any(|s| !self.plain_has(s)),
        };
        let n = self.inputs.len();
        for start in (0..n).step_by(self.batch) {
            let rows: Vec<usize> = (start..n.min(start + self.batch)).collect();
            let mut g = Graph::new();
            let form = if shape.edges { Form::Split } else { Form::Plain };
            record(&mut g, self.network.architecture(), rows.len(), self.inputs.pos(), form)?;
            let values = missing.iter().map(|s| g.at(s)).collect::<Result<Vec<_>, _>>()?;
            let mut program = Program::compile(&g, &values)?;
            let picked = self.inputs.pick(rows.iter().copied());
            program.run(&self.context, &self.bind(&picked))?;
            for (i, d) in data.iter_mut().enumerate() {
                d.extend_from_slice(program.output(i));
            }
        }
        for (name, d) in missing.iter().zip(data) {
            let mut shape = self.site(name)?.shape.clone();
            shape[0] = n;
            self.clean.borrow_mut().insert(name.to_string(), Arc::new(Tensor::new(&shape, d)?));
        }
        Ok(())
    }

    fn plain_has(&self, site: &str) -> bool {
        !["hook_q_input", "hook_k_input", "hook_v_input"].iter().any(|s| site.ends_with(s))
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

    /// Outputs of every row, each flattened `[pos, d_vocab_out]` or `[d_out]`.
    pub fn run(&self, rows: &[Row]) -> Result<Vec<Vec<f32>>, Error> {
        self.run_reading(rows, "hook_logits")
    }

    /// What lies at a site in every patched row.
    pub fn run_reading(&self, rows: &[Row], site: &str) -> Result<Vec<Vec<f32>>, Error> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            self.check_input(row.input)?;
            let (shape, weights, placed) = self.place(i, row)?;
            let key = group_key(&shape, &weights);
            groups
                .entry(key)
                .or_insert_with(|| Group { shape, weights, rows: vec![] })
                .rows
                .push(placed);
        }
        let mut out: Vec<Vec<f32>> = vec![vec![]; rows.len()];
        for (key, group) in &groups {
            let edited = self.edited_weights(&group.weights)?;
            let network = edited.as_ref().unwrap_or(self.network);
            for rows in group.rows.chunks(self.batch) {
                let size = self.run_group(network, key, &group.shape, rows, site)?;
                for (placed, values) in rows.iter().zip(size) {
                    out[placed.row] = values;
                }
            }
        }
        Ok(out)
    }

    fn place(
        &self,
        index: usize,
        row: &Row,
    ) -> Result<(Shape, Vec<(Selector, Operation)>, Placed), Error> {
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
                    .map(|((a, b), m)| if *m != 0.0 { factor * (a - b) } else { 0.0 })
                    .collect();
                if let Some(basis) = &s.basis {
                    project(&mut delta, basis);
                }
                delta
            }
            _ => self.supplied(&s.site, operation)?,
        };
        let edit = match (operation, &s.basis) {
            (Operation::Add { .. }, _) => Edit::Add,
            (_, Some(basis)) => Edit::Subspace(basis.clone()),
            (_, None) => Edit::Replace,
        };
        // A second edit of the same kind joins the first unless another kind came between.
        let last = shape.sites.iter().rposition(|(name, _)| *name == s.site);
        match last {
            Some(j) if shape.sites[j].1 == edit => {
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

    fn edited_weights(
        &self,
        edits: &[(Selector, Operation)],
    ) -> Result<Option<Network>, Error> {
        if edits.is_empty() {
            return Ok(None);
        }
        let mut weights = self.network.weights().clone();
        for (s, operation) in edits {
            let t = weights.get_mut(&s.site).ok_or_else(|| Error::Missing(s.site.clone()))?;
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
        }
        Ok(Some(Network::new(self.network.architecture().clone(), weights)?))
    }

    fn run_group(
        &self,
        network: &Network,
        key: &str,
        shape: &Shape,
        rows: &[Placed],
        site: &str,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (batch, pos) = (rows.len(), self.inputs.pos());
        let program_key = (format!("{site}|{key}"), batch);
        let cached = self.programs.borrow_mut().remove(&program_key);
        let mut program = match cached {
            Some(p) => p,
            None => {
                let g = patch::record_patched(self.network.architecture(), batch, pos, shape)?;
                Program::compile(&g, &[g.at(site)?])?
            }
        };
        let picked = self.inputs.pick(rows.iter().map(|r| r.input));
        let mut leaves: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for i in 0..shape.sites.len() {
            let (mask, value) = Shape::leaves(i);
            leaves.insert(mask, rows.iter().flat_map(|r| r.edits[i].0.clone()).collect());
            leaves.insert(value, rows.iter().flat_map(|r| r.edits[i].1.clone()).collect());
        }
        if shape.edges {
            self.edge_leaves(rows, &mut leaves)?;
        }
        let mut bindings = Bindings::new().with_all(network.weights());
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
        if programs.len() > 64 {
            programs.clear();
        }
        programs.insert(program_key, program);
        Ok(out)
    }

    fn edge_leaves(
        &self,
        rows: &[Placed],
        leaves: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let Some(table) = &self.edges else { return Ok(()) };
        let (batch, pos) = (rows.len(), self.inputs.pos());
        let index: BTreeMap<Receiver, (String, usize, usize, usize)> = self.receiver_index(table);
        let mut references: Vec<BTreeMap<usize, &Operation>> = vec![BTreeMap::new(); batch];
        for (site, receivers) in patch::receiver_sites(table) {
            let before = index[&receivers[0]].3;
            leaves.insert(patch::mask_leaf(&site), vec![0.0; batch * before * receivers.len()]);
        }
        for (b, row) in rows.iter().enumerate() {
            for (e, operation) in &row.edges {
                let edge = table.edges[*e];
                let sender = table.sender(edge.from).unwrap_or(0);
                let (site, at, n, before) = &index[&edge.to];
                if let Some(mask) = leaves.get_mut(&patch::mask_leaf(site)) {
                    mask[(b * before + sender) * n + at] = 1.0;
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
        let mut first = 0;
        for site in patch::sender_sites(table) {
            let info = self.site(&site)?;
            let heads = info.axis_len(Axis::Head).unwrap_or(1);
            let width = info.axis_len(Axis::Unit).unwrap_or(1);
            let mut all = Vec::with_capacity(batch * info.size());
            for (row, refs) in rows.iter().zip(&references) {
                // Unpatched senders bind this input's own clean values: any finite values do.
                let mut own = self.supplied(&site, &Operation::Interchange { input: row.input })?;
                for (&sender, operation) in refs.range(first..first + heads) {
                    let values = self.supplied(&site, operation)?;
                    for p in 0..pos {
                        let at = (p * heads + sender - first) * width;
                        own[at..at + width].copy_from_slice(&values[at..at + width]);
                    }
                }
                all.extend(own);
            }
            leaves.insert(patch::reference_leaf(&site), all);
            first += heads;
        }
        Ok(())
    }

    /// Receiver to (site, index at the site, receivers at the site, senders before it).
    fn receiver_index(&self, table: &EdgeTable) -> BTreeMap<Receiver, (String, usize, usize, usize)> {
        let mut out = BTreeMap::new();
        for (site, receivers) in patch::receiver_sites(table) {
            for (at, &r) in receivers.iter().enumerate() {
                let before = table.edges.iter().filter(|e| e.to == r).count();
                out.insert(r, (site.clone(), at, receivers.len(), before));
            }
        }
        out
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
        let size = direction.len() / pairs.len().max(1);
        let mut out = vec![];
        for (chunk, pairs) in pairs.chunks(self.batch).enumerate() {
            let at = chunk * self.batch * size;
            let direction = &direction[at..at + pairs.len() * size];
            let mut sums = vec![vec![0f64; table.edges.len()]; pairs.len()];
            for step in 1..=steps {
                let share = step as f32 / steps as f32;
                let scores = self.attribute(&table, c.d_model, pairs, direction, share)?;
                for (s, x) in sums.iter_mut().zip(scores) {
                    s.iter_mut().zip(x).for_each(|(s, x)| *s += f64::from(x) / steps as f64);
                }
            }
            out.extend(sums);
        }
        Ok(out)
    }

    fn attribute(
        &self,
        table: &EdgeTable,
        d_model: usize,
        pairs: &[(usize, usize)],
        direction: &[f32],
        share: f32,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (batch, pos) = (pairs.len(), self.inputs.pos());
        let mut plain = Graph::new();
        record(&mut plain, self.network.architecture(), batch, pos, Form::Split)?;
        // The gradient is taken at the interpolated embedding, the differences at the ends.
        let mut g = plain.edited(&mut |g, name, v| {
            if name != "hook_embed" || share == 1.0 {
                return Ok(None);
            }
            let shape = g.shape(v).to_vec();
            let corrupted = g.input("corrupted.hook_embed", &shape);
            let a = g.scale(v, share)?;
            let b = g.scale(corrupted, 1.0 - share)?;
            g.add(a, b).map(Some)
        })?;
        let logits = g.at("hook_logits")?;
        let shape = g.shape(logits).to_vec();
        let weight = g.input("direction", &shape);
        let m = g.mul(logits, weight)?;
        let m = g.sum(m)?;
        let sites: Vec<(String, Vec<Receiver>)> = patch::receiver_sites(table).into_iter().collect();
        let receivers = sites.iter().map(|(s, _)| g.at(s)).collect::<Result<Vec<_>, _>>()?;
        let gradients = g.gradient(m, &receivers)?;
        let mut outputs: Vec<Value> = vec![];
        let index = self.receiver_index(table);
        for ((site, found), gradient) in sites.iter().zip(gradients) {
            let before = index[&found[0]].3;
            let differences = g.input("differences", &[batch, pos, table.senders.len(), d_model]);
            let d = g.slice(differences, 2, 0, before)?;
            let gradient = g.reshape(gradient, &[batch, pos, found.len(), d_model])?;
            let per_pos = g.einsum("bpud,bprd->bur", d, gradient)?;
            outputs.push(per_pos);
            debug_assert!(!site.is_empty());
        }
        let mut program = Program::compile(&g, &outputs)?;
        let picked = self.inputs.pick(pairs.iter().map(|p| p.0));
        let mut differences = vec![0f32; batch * pos * table.senders.len() * d_model];
        let mut first = 0;
        for site in patch::sender_sites(table) {
            let heads = self.site(&site)?.axis_len(Axis::Head).unwrap_or(1);
            let clean = self.clean(&site)?;
            for (b, &(input, source)) in pairs.iter().enumerate() {
                self.check_input(source)?;
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
        let corrupted: Vec<f32> =
            pairs.iter().flat_map(|p| embeds.row(p.1).to_vec()).collect();
        let mut bindings = self.bind(&picked);
        bindings.bind("differences", &differences);
        bindings.bind("direction", direction);
        bindings.bind("corrupted.hook_embed", &corrupted);
        program.run(&self.context, &bindings)?;
        let mut out = vec![vec![0f32; table.edges.len()]; batch];
        for (o, (_, found)) in sites.iter().enumerate() {
            let before = index[&found[0]].3;
            let scores = program.output(o);
            for (at, &r) in found.iter().enumerate() {
                let edges = table.edges.iter().enumerate().filter(|(_, e)| e.to == r);
                for (e, edge) in edges {
                    let u = table.sender(edge.from).unwrap_or(0);
                    for (b, row) in out.iter_mut().enumerate() {
                        row[e] = scores[(b * before + u) * found.len() + at];
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
        let size = direction.len() / inputs.len().max(1);
        let form = if self.plain_has(site) { Form::Plain } else { Form::Split };
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
    axes.extend((0..n).map(|i| match (n, i) {
        (3, 0) => Axis::Head,
        (_, i) if i + 1 == n => Axis::Unit,
        _ => Axis::Key,
    }));
    let shape = [&[1], shape].concat();
    Site { name: name.into(), axes, shape }
}

/// Values for the coordinates or the subspace that a selector marks, over the whole site.
fn set_values(
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

fn group_key(shape: &Shape, weights: &[(Selector, Operation)]) -> String {
    let mut key = String::new();
    for (site, edit) in &shape.sites {
        key.push_str(site);
        match edit {
            Edit::Replace => key.push('='),
            Edit::Add => key.push('+'),
            Edit::Subspace(basis) => {
                key.push('@');
                for x in basis.iter().flatten() {
                    key.push_str(&format!("{:x}.", x.to_bits()));
                }
            }
        }
        key.push(';');
    }
    if shape.edges {
        key.push_str("edges;");
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

