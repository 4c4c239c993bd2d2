//! The exam: which interventions a specimen is asked about.
//!
//! It belongs to the organism and not to any explanation: sites, operations, pairs and inputs come
//! from the architecture and the truth, and are the same for all explanations of a specimen. It is
//! drawn after all of them are frozen; its seed is the blake3 of their sorted hashes. Families
//! differ in operation *and* locus: what is held out acts in other ways and on the other half of
//! the units than what is seen.
//!
//! Two domains. `in-domain` sets and interchanges the variables that the truth declares, with
//! values of their domain; a program must answer these. `off-domain` treats heads, MLPs, neurons
//! and edges as an experimenter would who knows no variables; a program may abstain there.
//!
//! Values of variables can together be what no run shows, so that an aggregate selects two letters at
//! once or a number is divided by 0: then the truth's own program has no value for the output, the
//! question has no answer, and it is not asked of anybody. What is left out is counted.

use crate::Error;
use crate::effect::Stage;
use flyroom_explanation::{Access, Prediction, predict};
use flyroom_network::{
    Architecture, Edge, EdgeTable, Intervention, Operation, Receiver, Row, Selector,
};
use flyroom_organism::{Subject, Truth};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Stream, hash};
use serde::{Deserialize, Serialize};

/// Whether the truth says what an intervention means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Declared variables, values of their domain.
    InDomain,
    /// Units of the architecture, any operation.
    OffDomain,
}

/// One question: an input with interventions.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Family: operation and kind of locus.
    pub family: &'static str,
    /// Which units it touches, for the trivial predictors.
    pub units: Vec<usize>,
    /// The run.
    pub row: Row,
}

/// The questions of one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Exam {
    /// Its domain.
    pub domain: Domain,
    /// blake3 of the sorted hashes of the frozen explanations.
    pub seed: String,
    /// Number of units.
    pub units: usize,
    /// Shown to trivial predictors; explanations may have been fitted to their kind.
    pub seen: Vec<Item>,
    /// What counts.
    pub held_out: Vec<Item>,
    /// Questions that were drawn and are not asked, because they have no answer in the truth's
    /// program.
    pub unanswerable: usize,
}

/// How many questions.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Questions of a held-out family.
    pub per_family: usize,
    /// Questions that are seen.
    pub seen: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_family: 96, seen: 384 }
    }
}

/// The seed of the exam of these explanations.
pub fn seed_of(hashes: &[String]) -> String {
    let mut sorted = hashes.to_vec();
    sorted.sort();
    hash::bytes(sorted.join("\n").as_bytes()).to_string()
}

fn stream(seed: &str, domain: Domain) -> Generator {
    let number = u64::from_str_radix(seed.get(..16).unwrap_or("0"), 16).unwrap_or(0);
    Stream::new(number, &format!("exam/{domain:?}")).block(0)
}

/// Draws the exams that a specimen supports: in-domain where the truth declares variables,
/// off-domain always.
pub fn draw(
    subject: &Subject,
    truth: &Truth,
    frozen: &[String],
    budget: Budget,
) -> Result<Vec<Exam>, Error> {
    let seed = seed_of(frozen);
    let mut out = vec![];
    if !truth.variables.is_empty() {
        out.push(answerable(subject, truth, in_domain(subject, truth, &seed, budget))?);
    }
    let off = off_domain(subject, &seed, budget)?;
    if !off.held_out.is_empty() {
        out.push(off);
    }
    Ok(out)
}

/// The exam without the questions that are out of the domain of the truth's program.
fn answerable(subject: &Subject, truth: &Truth, mut exam: Exam) -> Result<Exam, Error> {
    let Some(e) = truth.explanation.as_ref().filter(|e| e.access() == Access::Closed) else {
        return Ok(exam);
    };
    let stage = Stage::new(subject);
    let scene = stage.scene(subject, e.access());
    let mut left_out = 0;
    for items in [&mut exam.seen, &mut exam.held_out] {
        let rows: Vec<Row> = items.iter().map(|i| i.row.clone()).collect();
        let said = predict(e, &scene, &rows)?;
        let mut open = said.iter().map(Prediction::out_of_domain);
        let drawn = items.len();
        items.retain(|_| !open.next().unwrap_or(false));
        left_out += drawn - items.len();
    }
    exam.unanswerable = left_out;
    Ok(exam)
}

fn one(g: &mut Generator, n: usize) -> usize {
    g.below(n.max(1) as u64) as usize
}

/// An input of the clean set other than `not`.
fn other(g: &mut Generator, n: usize, not: usize) -> usize {
    let i = one(g, n.saturating_sub(1));
    if i >= not && n > 1 { i + 1 } else { i }
}

fn in_domain(subject: &Subject, truth: &Truth, seed: &str, budget: Budget) -> Exam {
    let mut g = stream(seed, Domain::InDomain);
    let n = subject.task.clean;
    let pos = subject.task.pos();
    let mut places: Vec<(usize, usize)> = vec![];
    for (v, variable) in truth.variables.iter().enumerate() {
        places.extend(variable.positions.iter().filter(|&&p| p < pos).map(|&p| (v, p)));
    }
    let order = g.permutation(places.len());
    let half = places.len().div_ceil(2);
    let (seen_units, held_units) = order.split_at(half);
    let selector = |u: usize| {
        let (v, p) = places[u];
        let mut s = truth.variables[v].selector.clone();
        // A network without positions is selected whole.
        if pos > 1 {
            s = s.at_pos(p);
        }
        s
    };
    let set = |g: &mut Generator, u: usize| {
        let values = &truth.variables[places[u].0].values;
        Operation::Set { values: values[one(g, values.len())].clone() }
    };
    let mut exam = Exam {
        domain: Domain::InDomain,
        seed: seed.into(),
        units: places.len(),
        seen: vec![],
        held_out: vec![],
        unanswerable: 0,
    };
    // What is coded in a way that nobody knows can be exchanged and not set.
    let opaque = |u: usize| truth.variables[places[u].0].values.is_empty();
    for i in 0..budget.seen {
        let u = seen_units[i % seen_units.len()];
        let (family, input, operation) = if opaque(u) {
            let input = one(&mut g, n);
            let operation = Operation::Interchange { input: other(&mut g, n, input) };
            ("interchange one", input, operation)
        } else {
            let operation = set(&mut g, u);
            ("set one", one(&mut g, n), operation)
        };
        let interventions = vec![Intervention::site(selector(u), operation)];
        exam.seen.push(Item { family, units: vec![u], row: Row { input, interventions } });
    }
    if held_units.is_empty() {
        return exam;
    }
    for i in 0..budget.per_family {
        let u = held_units[i % held_units.len()];
        let input = one(&mut g, n);
        let source = other(&mut g, n, input);
        let row = Row {
            input,
            interventions: vec![Intervention::site(
                selector(u),
                Operation::Interchange { input: source },
            )],
        };
        exam.held_out.push(Item { family: "interchange one", units: vec![u], row });
    }
    if places.len() > 1 {
        for (family, swap) in [("set two", false), ("interchange two", true)] {
            if !swap && (0..places.len()).any(opaque) {
                continue;
            }
            for i in 0..budget.per_family {
                let u = held_units[i % held_units.len()];
                let w = other(&mut g, places.len(), u);
                let input = one(&mut g, n);
                let source = other(&mut g, n, input);
                let operation = |g: &mut Generator, u: usize| {
                    if swap { Operation::Interchange { input: source } } else { set(g, u) }
                };
                // In order of computation, as the variables are listed.
                let (a, b) = (u.min(w), u.max(w));
                let interventions = vec![
                    Intervention::site(selector(a), operation(&mut g, a)),
                    Intervention::site(selector(b), operation(&mut g, b)),
                ];
                exam.held_out.push(Item {
                    family,
                    units: vec![a, b],
                    row: Row { input, interventions },
                });
            }
        }
    }
    exam
}

/// A unit of the architecture.
#[derive(Debug, Clone)]
struct Unit {
    selector: Selector,
    /// The weights whose zeroing silences it.
    weight: Option<Selector>,
}

fn units(subject: &Subject, g: &mut Generator) -> Vec<Unit> {
    let mut out = vec![];
    let neurons = |out: &mut Vec<Unit>, g: &mut Generator, layer: usize, n: usize, w: &str| {
        for u in g.choose(n, n.min(12)) {
            out.push(Unit {
                selector: Selector::site(format!("blocks.{layer}.mlp.hook_post")).at_unit(u),
                weight: Some(Selector::site(w.to_string()).at_unit(u)),
            });
        }
    };
    match subject.network().architecture() {
        Architecture::Transformer(c) => {
            let pos = subject.task.pos();
            for p in g.choose(pos, pos.min(6)) {
                let selector = Selector::site("hook_embed").at_pos(p);
                out.push(Unit { selector, weight: None });
            }
            for l in 0..c.n_layers {
                for h in 0..c.n_heads {
                    out.push(Unit {
                        selector: Selector::site(format!("blocks.{l}.attn.hook_result")).at_head(h),
                        weight: Some(Selector::site(format!("blocks.{l}.attn.W_O")).at_head(h)),
                    });
                }
                if c.d_mlp > 0 {
                    for p in g.choose(pos, pos.min(3)) {
                        let site = format!("blocks.{l}.hook_mlp_out");
                        out.push(Unit { selector: Selector::site(site).at_pos(p), weight: None });
                    }
                    neurons(&mut out, g, l, c.d_mlp, &format!("blocks.{l}.mlp.W_in"));
                }
            }
        }
        Architecture::Mlp(c) => {
            for (l, &d) in c.d_hidden.iter().enumerate() {
                neurons(&mut out, g, l, d, &format!("blocks.{l}.mlp.W_in"));
            }
        }
        Architecture::Autoencoder(c) => {
            for u in 0..c.d_hidden {
                let selector = Selector::site("hook_hidden").at_unit(u);
                out.push(Unit { selector, weight: None });
            }
        }
        Architecture::Gru(c) => {
            let pos = subject.task.pos();
            for t in g.choose(pos, pos.min(6)) {
                for u in g.choose(c.d_hidden, c.d_hidden.min(6)) {
                    let selector = Selector::site(format!("cells.{t}.hook_state")).at_unit(u);
                    out.push(Unit { selector, weight: None });
                }
            }
        }
    }
    out
}

fn off_domain(subject: &Subject, seed: &str, budget: Budget) -> Result<Exam, Error> {
    let mut g = stream(seed, Domain::OffDomain);
    let task = subject.task;
    let n = task.clean;
    let mut all = units(subject, &mut g);
    g.shuffle(&mut all);
    let table = subject.network().architecture().transformer().map(EdgeTable::new);
    let mut exam = Exam {
        domain: Domain::OffDomain,
        seed: seed.into(),
        units: all.len() + table.as_ref().map_or(0, |t| t.edges.len()),
        seen: vec![],
        held_out: vec![],
        unanswerable: 0,
    };
    let half = all.len().div_ceil(2);
    if half == all.len() {
        return Ok(exam);
    }
    for i in 0..budget.seen {
        let u = i % half;
        let input = one(&mut g, n);
        let operation = if (i / half).is_multiple_of(2) {
            Operation::Mean
        } else {
            Operation::Interchange { input: task.partner[input] }
        };
        let interventions = vec![Intervention::site(all[u].selector.clone(), operation)];
        exam.seen.push(Item {
            family: "ablate one",
            units: vec![u],
            row: Row { input, interventions },
        });
    }
    let held = all.len() - half;
    let mut push = |family: &'static str, units: Vec<usize>, row: Row| {
        exam.held_out.push(Item { family, units, row });
    };
    for i in 0..budget.per_family {
        let u = half + i % held;
        let input = one(&mut g, n);
        let source = other(&mut g, n, input);
        let at =
            |u: usize, operation: Operation| Intervention::site(all[u].selector.clone(), operation);
        let swap = Operation::Interchange { input: source };
        push("interchange", vec![u], Row { input, interventions: vec![at(u, swap.clone())] });
        let w = other(&mut g, all.len(), u);
        let interventions = vec![at(u, swap.clone()), at(w, swap)];
        push("interchange two", vec![u, w], Row { input, interventions });
        let factor = if i % 2 == 0 { -1.0 } else { 2.0 };
        let add = Operation::Add { input: source, factor };
        push("add", vec![u], Row { input, interventions: vec![at(u, add)] });
    }
    let weighted: Vec<usize> = (half..all.len()).filter(|&u| all[u].weight.is_some()).collect();
    for i in 0..budget.per_family.min(weighted.len() * 8) {
        let u = weighted[i % weighted.len()];
        if let Some(s) = &all[u].weight {
            let interventions = vec![Intervention::weight(s.clone(), Operation::Zero)];
            push("weight edit", vec![u], Row { input: one(&mut g, n), interventions });
        }
    }
    if let Some(table) = &table {
        for _ in 0..budget.per_family {
            let e = one(&mut g, table.edges.len());
            let input = one(&mut g, n);
            let source = other(&mut g, n, input);
            let interventions = vec![Intervention::edges(
                vec![table.edges[e]],
                Operation::Interchange { input: source },
            )];
            push("single path", vec![all.len() + e], Row { input, interventions });
        }
    }
    Ok(exam)
}

/// Layer and kind of an edge's receiver: the bucket in which random circuits are matched.
pub fn bucket(e: Edge) -> (usize, u8) {
    match e.to {
        Receiver::Query(l, _) => (l, 0),
        Receiver::Key(l, _) => (l, 1),
        Receiver::Value(l, _) => (l, 2),
        Receiver::Mlp(l) => (l, 3),
        Receiver::Logits => (usize::MAX, 4),
    }
}
