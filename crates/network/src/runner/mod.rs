//! A network on one set of inputs: clean activations, patched runs, gradients.
//!
//! Clean activations are kept per site for the whole set, because interventions cite inputs of the
//! set as their sources; means are taken over the set, per position.

mod attribution;
mod clean;
mod held;
mod leaves;
mod place;
mod prompts;
mod rows;

use crate::edge::{EdgeTable, Receiver};
use crate::network::Form;
use crate::patch::{self, Branch};
use crate::site::Site;
use crate::{Error, Inputs, Network};
use flyroom_tensor::{Bindings, Context, Program};
use held::{Budget, Held};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use attribution::GradientPath;
pub(crate) use place::{Placed, check_bases};
pub(crate) use prompts::Prompt;
pub(crate) use rows::group_key;

/// Sites that an error names at most.
const SITES_NAMED: usize = 12;
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
    pub(crate) batch: usize,
    /// Rows of a batch whose outputs nobody reads: outputs are often by far the largest site.
    inner_batch: usize,
    clean: RefCell<BTreeMap<String, Held>>,
    budget: Option<Budget>,
    means: RefCell<BTreeMap<String, Arc<Vec<f32>>>>,
    programs: RefCell<BTreeMap<ProgramKey, Vec<Program>>>,
    slots: BTreeMap<Receiver, Slot>,
}

/// What a compiled graph computes: of how many prompts, and how many runs of each with edges read where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ProgramKey {
    graph: String,
    prompts: usize,
    branches: Vec<Branch>,
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
            budget: None,
            means: RefCell::default(),
            programs: RefCell::default(),
            slots,
        })
    }

    /// Lets memory hold so many bytes of clean activations; sites beyond go to files in `folder`,
    /// which are removed with the runner, and are read when they are asked for. No value changes.
    pub fn with_budget(mut self, bytes: usize, folder: &Path) -> Self {
        self.budget = Some(Budget { bytes, folder: folder.into() });
        self
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
                None => {
                    let names: Vec<&str> = self.sites.keys().map(String::as_str).collect();
                    let more = match names.len().saturating_sub(SITES_NAMED) {
                        0 => String::new(),
                        n => format!(" and {n} more"),
                    };
                    let first = names[..names.len().min(SITES_NAMED)].join(", ");
                    format!("this network has no such site; hint: it has {first}{more}")
                }
            },
        })
    }

    /// All sites in order of name.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    fn bind<'b>(&'b self, inputs: &'b Inputs) -> Bindings<'b> {
        let bindings = Bindings::new().with_all(self.network.weights());
        match inputs {
            Inputs::Tokens { ids, .. } => bindings.with_index("tokens", ids),
            Inputs::Vectors { values, .. } => bindings.with("input", values),
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

/// The candidate with the longest common prefix and suffix, if they share at least half.
fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n String>) -> Option<&'n String> {
    let score = |c: &str| {
        let prefix = name.bytes().zip(c.bytes()).take_while(|(a, b)| a == b).count();
        let suffix = name.bytes().rev().zip(c.bytes().rev()).take_while(|(a, b)| a == b).count();
        prefix + suffix
    };
    candidates.max_by_key(|c| score(c)).filter(|c| 2 * score(c) >= name.len())
}
