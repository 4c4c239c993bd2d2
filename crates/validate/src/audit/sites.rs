//! Sites: a variable is read in its own directions from the place where it is written on, and is
//! not there before.
//!
//! *Measures*, for every place of every variable, at every position of every input: whether the
//! nearest code is that of the value that the program computes, and how far off it is; and how
//! large the same coordinates are at the places of the residual stream that come before the first.
//! *Intuition*: what holds a variable distinguishes its values on all inputs; what is computed
//! later cannot be there yet. *Control*: the same readings with the values permuted over inputs and
//! positions agree as often as chance has it, the sum of squared frequencies of the values.

use super::wanted::Wanted;
use super::{Check, Control, Counterexample, Ground};
use crate::Error;
use flyroom_explanation::{Alignment, Code, Part, Value};
use flyroom_network::{Axis, Runner, Selector, Site};
use flyroom_organism::{Task, stream_depth};
use flyroom_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Standard errors by which permuted readings may lie above chance.
const ERRORS_ABOVE_CHANCE: f64 = 5.0;

/// What was read of one variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableReading {
    /// The variable.
    pub variable: String,
    /// Its places.
    pub places: usize,
    /// Readings at all of them.
    pub readings: usize,
    /// Share whose nearest code is the right one.
    pub nearest: f64,
    /// Largest difference between a coordinate and its code.
    pub largest_error: f64,
    /// Largest coordinate in its directions before it is written; `None` if nothing comes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Share of right readings with values permuted.
    pub permuted: f64,
    /// What chance makes of it.
    pub chance: f64,
}

/// The check of places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SitesAudit {
    /// Counts and control.
    #[serde(flatten)]
    pub check: Check,
    /// In order of the program.
    pub variables: Vec<VariableReading>,
}

/// Sums of one variable.
#[derive(Debug, Clone, Default)]
struct Tally {
    readings: usize,
    nearest: usize,
    largest_error: f64,
    before: Option<f64>,
    permuted: usize,
    /// Expected number of permuted readings that are right, and the variance of it.
    expected: f64,
    variance: f64,
}

impl Tally {
    fn join(&mut self, other: &Self) {
        self.readings += other.readings;
        self.nearest += other.nearest;
        self.largest_error = self.largest_error.max(other.largest_error);
        self.before = match (self.before, other.before) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.permuted += other.permuted;
        self.expected += other.expected;
        self.variance += other.variance;
    }
}

pub(super) fn check(ground: &Ground) -> Result<SitesAudit, Error> {
    let none = |why: &str| SitesAudit { check: Check::not_applicable(why), variables: vec![] };
    let Some(e) = &ground.truth.explanation else {
        return Ok(none("the truth places no variable"));
    };
    let mut all = Check::empty();
    all.claims = e.parts.iter().map(|p| p.alignments.len()).sum();
    let mut tallies = vec![Tally::default(); e.parts.len()];
    for task in ground.tasks {
        let Some(wanted) = Wanted::new(e, task)? else {
            return Ok(none("the parts of this explanation have no values"));
        };
        let sites = Runner::new(&ground.specimen.network, &task.inputs, &ground.alone())?
            .sites()
            .cloned()
            .collect::<Vec<_>>();
        let jobs = jobs(&e.parts, &sites, &mut all);
        let found = ground.each(jobs.len(), |j| {
            Reader { ground, task, wanted: &wanted, parts: &e.parts }.read(&jobs[j])
        })?;
        for (check, read) in found {
            all.join(check);
            read.iter().for_each(|(part, tally)| tallies[*part].join(tally));
        }
    }
    let variables: Vec<VariableReading> = e
        .parts
        .iter()
        .zip(&tallies)
        .map(|(part, t)| {
            let n = t.readings.max(1) as f64;
            VariableReading {
                variable: part.name.clone(),
                places: part.alignments.len(),
                readings: t.readings,
                nearest: t.nearest as f64 / n,
                largest_error: t.largest_error,
                before: t.before,
                permuted: t.permuted as f64 / n,
                chance: t.expected / n,
            }
        })
        .collect();
    // The variable whose permuted readings lie farthest above chance.
    let above = |t: &Tally| {
        let above = t.permuted as f64 - t.expected;
        if above <= 1.0 { 0.0 } else { above / t.variance.sqrt().max(1e-9) }
    };
    let worst = tallies.iter().map(above).fold(0.0, f64::max);
    all.control = Some(Control::at_most(
        "values permuted: standard errors above chance, the worst variable",
        worst,
        ERRORS_ABOVE_CHANCE,
    ));
    Ok(SitesAudit { check: all.concluded_within(ground.allowed()), variables })
}

/// What is read at one site: (part, place or `None` for "not written yet").
struct Job<'a> {
    site: &'a Site,
    readings: Vec<(usize, Option<usize>)>,
}

/// All readings, by site. A place at no site of the network is a counterexample.
fn jobs<'a>(parts: &[Part], sites: &'a [Site], check: &mut Check) -> Vec<Job<'a>> {
    let mut by_site: BTreeMap<&str, Vec<(usize, Option<usize>)>> = BTreeMap::new();
    for (i, part) in parts.iter().enumerate() {
        let coded = |a: &Alignment| !matches!(a.code, Code::Opaque { .. });
        for (k, a) in part.alignments.iter().enumerate().filter(|(_, a)| coded(a)) {
            by_site.entry(&a.selector.site).or_default().push((i, Some(k)));
        }
        let Some((written, _)) = first_in_stream(part) else { continue };
        for site in sites.iter().filter(|s| s.name.contains(".hook_resid_")) {
            if stream_depth(&site.name).is_some_and(|d| d < written) {
                by_site.entry(&site.name).or_default().push((i, None));
            }
        }
    }
    let mut out = vec![];
    for (name, readings) in by_site {
        match sites.iter().find(|s| s.name == name) {
            Some(site) => out.push(Job { site, readings }),
            None => check.fail(|| Counterexample {
                claim: format!("'{}' lies at {name}", parts[readings[0].0].name),
                input: vec![],
                place: name.into(),
                wanted: "a site".into(),
                got: "this network has no such site".into(),
            }),
        }
    }
    out
}

/// The earliest place of a part in the residual stream, with its depth.
fn first_in_stream(part: &Part) -> Option<(usize, &Alignment)> {
    part.alignments
        .iter()
        .filter_map(|a| Some((stream_depth(&a.selector.site)?, a)))
        .min_by_key(|(depth, _)| *depth)
}

struct Reader<'a> {
    ground: &'a Ground<'a>,
    task: &'a Task,
    wanted: &'a Wanted<'a>,
    parts: &'a [Part],
}

impl Reader<'_> {
    fn read(&self, job: &Job) -> Result<(Check, Vec<(usize, Tally)>), Error> {
        let runner =
            Runner::new(&self.ground.specimen.network, &self.task.inputs, &self.ground.alone())?;
        let values = runner.clean(&job.site.name)?;
        let (mut check, mut out) = (Check::empty(), vec![]);
        for &(part, place) in &job.readings {
            let tally = match place {
                Some(k) => self.place(part, k, job.site, values.data(), &mut check)?,
                None => self.before(part, job.site, values.data(), &mut check)?,
            };
            out.push((part, tally));
        }
        Ok((check, out))
    }

    /// One place of a variable.
    fn place(
        &self,
        part: usize,
        k: usize,
        site: &Site,
        values: &[f32],
        check: &mut Check,
    ) -> Result<Tally, Error> {
        let part = &self.parts[part];
        let a = &part.alignments[k];
        let (within, exact) = (self.ground.options.within, self.ground.exact());
        let places = Places::new(&a.selector, site)?;
        let candidates = self.candidates(part, a);
        let separation = candidates.separation();
        let mut tally = Tally::default();
        // Of each reading the code that is claimed and the one that is nearest.
        let mut read: Vec<(usize, usize)> = vec![];
        for input in 0..self.task.clean {
            for &(pos, start) in &places.starts {
                let Some(value) = self.wanted.value(part, input, pos) else { continue };
                // A value that the program does not know is no claim.
                if value == Value::Unknown {
                    continue;
                }
                let x = places.coordinates(&values[input * site.size() + start..]);
                tally.readings += 1;
                check.comparisons += 1;
                let counterexample = |wanted: String| Counterexample {
                    claim: format!("'{}' lies at {}", part.name, a.selector),
                    input: self.ground.words(self.task, input),
                    place: format!("{}[pos={pos}]", site.name),
                    wanted,
                    got: shown(&x),
                };
                let Some(wanted) = candidates.of(&value) else {
                    check.fail(|| counterexample(format!("{value}, which has no code")));
                    continue;
                };
                let code = &candidates.codes[wanted];
                let (mut worst, mut largest, mut square) = (0f64, 1f64, 0f64);
                for (x, c) in x.iter().zip(code) {
                    let d = f64::from(x - c).abs();
                    worst = if d.is_nan() { f64::INFINITY } else { worst.max(d) };
                    largest = largest.max(f64::from(c.abs()));
                    square += d * d;
                }
                let nearest =
                    if square.sqrt() < separation / 2.0 { wanted } else { candidates.nearest(&x) };
                read.push((wanted, nearest));
                tally.nearest += usize::from(nearest == wanted);
                tally.largest_error = tally.largest_error.max(worst);
                check.largest_error = check.largest_error.max(worst);
                if nearest != wanted || (exact && worst > within * largest) {
                    check.fail(|| counterexample(format!("{value}, coded {}", shown(code))));
                }
            }
        }
        self.permute(&read, candidates.codes.len(), &a.selector, &mut tally);
        Ok(tally)
    }

    /// How often readings agree with values in another order.
    fn permute(&self, read: &[(usize, usize)], codes: usize, at: &Selector, tally: &mut Tally) {
        let n = read.len();
        let (mut wanted, mut got) = (vec![0f64; codes], vec![0f64; codes]);
        for &(w, g) in read {
            wanted[w] += 1.0;
            got[g] += 1.0;
        }
        let expected = wanted.iter().zip(&got).map(|(w, g)| w * g).sum::<f64>() / n.max(1) as f64;
        let share = expected / n.max(1) as f64;
        let order = Stream::new(0, &format!("audit/permuted/{}", at.site))
            .block(self.task.pos() as u64)
            .permutation(n);
        let right = read.iter().zip(order).filter(|((_, g), o)| read[*o].0 == *g).count();
        tally.permuted += right;
        tally.expected += expected;
        tally.variance += n as f64 * share * (1.0 - share);
    }

    /// The directions of a variable where it is not written yet.
    fn before(
        &self,
        part: usize,
        site: &Site,
        values: &[f32],
        check: &mut Check,
    ) -> Result<Tally, Error> {
        let part = &self.parts[part];
        let Some((_, first)) = first_in_stream(part) else { return Ok(Tally::default()) };
        let places = Places::new(&first.selector, site)?;
        let mut largest = 0f64;
        for input in 0..self.task.clean {
            for &(pos, start) in &places.starts {
                let x = places.coordinates(&values[input * site.size() + start..]);
                let most = x.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
                largest = largest.max(most);
                // In superposition what others wrote is there before.
                if !self.ground.exact() {
                    continue;
                }
                check.comparisons += 1;
                if most > self.ground.options.within {
                    check.fail(|| Counterexample {
                        claim: format!("'{}' is written at {}", part.name, first.selector),
                        input: self.ground.words(self.task, input),
                        place: format!("{}[pos={pos}]", site.name),
                        wanted: "0, before it is written".into(),
                        got: shown(&x),
                    });
                }
            }
        }
        Ok(Tally { before: Some(largest), ..Tally::default() })
    }

    /// The codes of the values that a variable takes on these inputs, and of those that its code
    /// knows.
    fn candidates(&self, part: &Part, a: &Alignment) -> Candidates {
        let mut values: BTreeSet<Value> = BTreeSet::new();
        for input in 0..self.task.clean {
            for pos in 0..self.task.pos() {
                values.extend(self.wanted.value(part, input, pos));
            }
        }
        values.extend(known(a));
        let mut out = Candidates { values: vec![], codes: vec![] };
        for value in values {
            let Some(code) = a.code.encode(&value) else { continue };
            let at = out.codes.iter().position(|c| *c == code).unwrap_or(out.codes.len());
            if at == out.codes.len() {
                out.codes.push(code);
            }
            out.values.push((value, at));
        }
        out
    }
}

/// The values of a code.
fn known(a: &Alignment) -> Vec<Value> {
    match &a.code {
        Code::OneHot { values } | Code::Table { values, .. } => values.clone(),
        Code::Plane { modulus, .. } => (0..i64::from(*modulus)).map(Value::Int).collect(),
        Code::Scalar { .. } | Code::Opaque { .. } => vec![],
    }
}

/// Values with the index of their code; codes are distinct.
struct Candidates {
    values: Vec<(Value, usize)>,
    codes: Vec<Vec<f32>>,
}

impl Candidates {
    fn of(&self, value: &Value) -> Option<usize> {
        let at = self.values.binary_search_by(|(v, _)| v.cmp(value)).ok()?;
        Some(self.values[at].1)
    }

    /// Least distance of two codes.
    fn separation(&self) -> f64 {
        let mut least = f64::INFINITY;
        for (i, a) in self.codes.iter().enumerate() {
            self.codes[..i].iter().for_each(|b| least = least.min(distance(a, b)));
        }
        least
    }

    fn nearest(&self, x: &[f32]) -> usize {
        (0..self.codes.len())
            .min_by(|&i, &j| distance(&self.codes[i], x).total_cmp(&distance(&self.codes[j], x)))
            .unwrap_or(0)
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |(a, b): (&f32, &f32)| f64::from(a - b) * f64::from(a - b);
    a.iter().zip(b).map(square).sum::<f64>().sqrt()
}

/// The vectors of a site that a selector means, and the subspace read of each.
pub(super) struct Places<'a> {
    /// (position, index of the vector's first coordinate).
    pub starts: Vec<(usize, usize)>,
    basis: Option<&'a [Vec<f32>]>,
    units: std::ops::Range<usize>,
}

impl<'a> Places<'a> {
    pub fn new(s: &'a Selector, site: &Site) -> Result<Self, Error> {
        // Fails for what does not lie in the site.
        s.mask(site)?;
        let bad = |why: String| Error::Trial(format!("'{s}': {why}"));
        let unit = site.axis_len(Axis::Unit).unwrap_or(1);
        let all = |span: Option<flyroom_network::Span>, n: usize| match span {
            Some(span) => span.indices(n).map_err(bad),
            None => Ok(0..n),
        };
        let heads = site.axis_len(Axis::Head).unwrap_or(1);
        let pos = site.axis_len(Axis::Pos).unwrap_or(1);
        if heads * pos * unit != site.size() {
            return Err(bad("its vectors do not lie behind one another".into()));
        }
        let mut starts = vec![];
        for p in all(s.pos, pos)? {
            for h in all(s.head, heads)? {
                starts.push((p, (p * heads + h) * unit));
            }
        }
        Ok(Self { starts, basis: s.basis.as_deref(), units: all(s.unit, unit)? })
    }

    /// Coordinates of the vector that begins here.
    pub fn coordinates(&self, x: &[f32]) -> Vec<f32> {
        match self.basis {
            Some(basis) => basis.iter().map(|q| along(q, x)).collect(),
            None => x[self.units.clone()].to_vec(),
        }
    }
}

/// Inner product in f64.
pub(super) fn along(q: &[f32], x: &[f32]) -> f32 {
    q.iter().zip(x).map(|(q, x)| f64::from(*q) * f64::from(*x)).sum::<f64>() as f32
}

/// Coordinates for people.
pub(super) fn shown(x: &[f32]) -> String {
    let words: Vec<String> = x.iter().take(12).map(|x| format!("{:.4}", x + 0.0)).collect();
    let more = if x.len() > 12 { ", ..." } else { "" };
    format!("({}{more})", words.join(", "))
}
