//! Executes an explanation: given inputs and interventions, it predicts outputs or abstains.
//!
//! The same [`Row`]s that a [`Runner`] executes on a network are executed here on what was said
//! about it. A program's variables are set where an intervention covers their place; an
//! intervention that touches no place of the explanation is predicted to change nothing; one that
//! cuts a place, or does what the body says nothing about, makes it abstain, and so does one after
//! which a program has no value for the output; the [`Reason`] tells the two apart. A clean
//! prediction is a row without interventions.
//!
//! | file | executes |
//! |---|---|
//! | `execute/rasp.rs` | [`crate::Body::Rasp`] |
//! | `execute/cosines.rs` | [`crate::Body::Cosines`] |
//! | `execute/circuit.rs` | [`crate::Body::Circuit`] and [`crate::Body::Whole`] |

mod circuit;
mod cosines;
mod rasp;
#[cfg(test)]
mod tests;

use crate::relation::{Subspace, span};
use crate::{Alignment, Body, Error, Explanation, Overlap, Relation, Value, relate};
use flyroom_network::{Axis, Inputs, Intervention, Row, Runner, Selector, Site, Target};

/// The part of the output that is compared: some positions, some columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// Positions of the network; `[0]` where it has none.
    pub positions: Vec<usize>,
    /// Columns of the output.
    pub columns: Vec<usize>,
}

/// What surrounds an explanation while it is executed.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The set of inputs that rows and interventions cite.
    pub inputs: &'a Inputs,
    /// What each token id means.
    pub vocabulary: &'a [Value],
    /// The sites of the network: names, axes and lengths, no weights.
    pub sites: &'a [Site],
    /// What of the output is predicted.
    pub reads: &'a Reads,
    /// The network on `inputs`; closed explanations never look at it.
    pub runner: Option<&'a Runner<'a>>,
    /// For each input its corrupted partner, as an index into `inputs`; may be empty where no
    /// circuit is resampled.
    pub corrupt: &'a [usize],
}

/// What an explanation says about one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// The output, `[pos, column]` flattened over [`Reads`].
    Output(Vec<f32>),
    /// Nothing; counted as "no effect" where the question has an answer.
    Abstain(Abstention),
}

/// That an explanation says nothing about a row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abstention {
    /// What kind of silence it is.
    pub reason: Reason,
    /// Why, in words.
    pub why: String,
}

/// Kinds of silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The explanation has no word for what is done: a place is cut, an operation gives no value,
    /// edges or weights are patched.
    Unsaid,
    /// The program knows what is done, and what follows has no value in it: the interventions bring
    /// together what no run does, so that an aggregate selects two letters and something is computed
    /// from both, a number is divided by 0, or a table ends.
    OutOfDomain,
}

impl Abstention {
    pub(crate) fn unsaid(why: impl Into<String>) -> Self {
        Self { reason: Reason::Unsaid, why: why.into() }
    }

    pub(crate) fn out_of_domain(why: impl Into<String>) -> Self {
        Self { reason: Reason::OutOfDomain, why: why.into() }
    }
}

impl Prediction {
    pub(crate) fn unsaid(why: impl Into<String>) -> Self {
        Self::Abstain(Abstention::unsaid(why))
    }

    /// The output, if it did not abstain.
    pub fn output(&self) -> Option<&[f32]> {
        match self {
            Self::Output(y) => Some(y),
            Self::Abstain(_) => None,
        }
    }

    /// Whether it abstained because what follows has no value in the program.
    pub fn out_of_domain(&self) -> bool {
        matches!(self, Self::Abstain(a) if a.reason == Reason::OutOfDomain)
    }
}

impl<'a> Scene<'a> {
    fn site(&self, name: &str) -> Result<&'a Site, Error> {
        self.sites.iter().find(|s| s.name == name).ok_or_else(|| {
            Error::Scene(format!("an intervention at '{name}', which is no site of the network"))
        })
    }

    fn check_input(&self, input: usize) -> Result<(), Error> {
        if input < self.inputs.len() {
            return Ok(());
        }
        Err(Error::Scene(format!("input {input} in a set of {}", self.inputs.len())))
    }

    /// Tokens of an input as values.
    fn tokens(&self, input: usize) -> Result<Vec<Value>, Error> {
        self.check_input(input)?;
        if matches!(self.inputs, Inputs::Vectors { .. }) {
            return Err(Error::Scene(
                "this explanation takes tokens, the inputs are vectors".into(),
            ));
        }
        let value = |&t: &u32| {
            self.vocabulary.get(t as usize).cloned().ok_or_else(|| {
                Error::Scene(format!("token {t} in a vocabulary of {}", self.vocabulary.len()))
            })
        };
        self.inputs.token_row(input).iter().map(value).collect()
    }
}

/// How every selector that was met lies to every alignment: rows touch few places, many times.
struct Overlaps {
    /// Of the explanation.
    tolerance: f64,
    /// (touched, overlap with each alignment where it was asked for).
    met: Vec<(Selector, Vec<Option<Overlap>>)>,
}

impl Overlaps {
    fn new(tolerance: f64) -> Self {
        Self { tolerance, met: vec![] }
    }

    /// The place of a selector among those that were met; checks a new one.
    fn meet(&mut self, scene: &Scene, touched: &Selector) -> Result<usize, Error> {
        if let Some(at) = self.met.iter().position(|(s, _)| s == touched) {
            return Ok(at);
        }
        // Checks the selector also where nothing is aligned.
        touched.mask(scene.site(&touched.site)?)?;
        self.met.push((touched.clone(), vec![]));
        Ok(self.met.len() - 1)
    }

    /// How the selector at `at` lies to alignment number `i`.
    fn of(&mut self, scene: &Scene, at: usize, i: usize, a: &Alignment) -> Result<&Overlap, Error> {
        let (touched, overlaps) = &mut self.met[at];
        if overlaps.len() <= i {
            overlaps.resize(i + 1, None);
        }
        match &mut overlaps[i] {
            Some(overlap) => Ok(overlap),
            // The site is looked up, so that a misspelt one is an error and not "no change".
            none => {
                let site = scene.site(&touched.site)?;
                Ok(none.insert(relate(&a.selector, touched, site, self.tolerance)?))
            }
        }
    }
}

/// Predicts the output of every row. Errors are what no prediction can be made from (a site that
/// does not exist, an input outside the set); what the explanation has no word for is an
/// abstention.
pub fn predict(e: &Explanation, scene: &Scene, rows: &[Row]) -> Result<Vec<Prediction>, Error> {
    e.check()?;
    for row in rows {
        scene.check_input(row.input)?;
    }
    match &e.body {
        Body::Rasp { program, readout } => {
            rasp::Executor::new(e, program, readout, scene)?.predict(rows)
        }
        Body::Cosines(c) => cosines::Executor::new(e, c, scene)?.predict(rows),
        Body::Circuit { edges, ablation } => circuit::predict(edges, *ablation, scene, rows),
        Body::Whole => circuit::predict_whole(scene, rows),
        Body::Snapshot => {
            let p = Prediction::unsaid("a snapshot says nothing about effects");
            Ok(vec![p; rows.len()])
        }
    }
}

/// The variables of a program after one row, or why it abstains; `Ok(None)` for bodies without
/// variables.
pub fn variables(
    e: &Explanation,
    scene: &Scene,
    row: &Row,
) -> Result<Option<Result<crate::rasp::Trace, Abstention>>, Error> {
    let Body::Rasp { program, readout } = &e.body else {
        return Ok(None);
    };
    scene.check_input(row.input)?;
    rasp::Executor::new(e, program, readout, scene)?.trace(row).map(Some)
}

/// Why a closed explanation abstains on an intervention's target, or the selector it acts on.
fn closed_target(i: &Intervention) -> Result<&Selector, Abstention> {
    let unsaid =
        |what| Abstention::unsaid(format!("a closed explanation says nothing about {what}"));
    match &i.target {
        Target::Site(s) => Ok(s),
        Target::Edges(_) => Err(unsaid("edges")),
        Target::Weight(_) => Err(unsaid("weights")),
    }
}

/// Coordinates along an alignment's basis that a `set` gives at one position. The alignment must
/// be covered. Values are read as a [`Runner`] reads them: one for each basis row, one for each
/// marked coordinate, or one for all.
fn set_coordinates(
    a: &Alignment,
    touched: &Selector,
    values: &[f32],
    site: &Site,
    pos: usize,
) -> Result<Result<Vec<f32>, Abstention>, Error> {
    let unsaid = |why: String| Ok(Err(Abstention::unsaid(why)));
    let unit = site.axis_len(Axis::Unit).unwrap_or(1);
    let heads = span(&a.selector, site, Axis::Head)?;
    if heads.len() != 1 {
        return unsaid(format!("'{}' lies in several heads at once", a.selector));
    }
    let mut x = vec![0f32; unit];
    match (&touched.basis, Subspace::of(touched, unit)?) {
        (Some(basis), _) => {
            if values.len() != basis.len() {
                return unsaid(format!("{} values for {} basis rows", values.len(), basis.len()));
            }
            for (q, v) in basis.iter().zip(values) {
                x.iter_mut().zip(q).for_each(|(x, q)| *x += v * q);
            }
        }
        (None, Subspace::Units(units)) => {
            let (p, h) = (span(touched, site, Axis::Pos)?, span(touched, site, Axis::Head)?);
            let first = ((pos - p.start) * h.len() + heads.start - h.start) * units.len();
            let n = p.len() * h.len() * units.len();
            for (i, u) in units.enumerate() {
                x[u] = match values.len() {
                    1 => values[0],
                    l if l == n => values[first + i],
                    l => return unsaid(format!("{l} values for {n} coordinates")),
                };
            }
        }
        (None, Subspace::Rows(_)) => {}
    }
    let x = Subspace::of(&a.selector, unit)?.coordinates(&x);
    match x.len() == a.code.dims() {
        true => Ok(Ok(x)),
        false => unsaid(format!(
            "'{}' has {} coordinates, its code {}",
            a.selector,
            x.len(),
            a.code.dims()
        )),
    }
}

/// Why an executor abstains on a cut.
fn cut(a: &Alignment, touched: &Selector) -> Abstention {
    Abstention::unsaid(format!("'{touched}' touches a part of '{}'", a.selector))
}

pub(crate) use Relation::{Covers, Cuts, Disjoint};
