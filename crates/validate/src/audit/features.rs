//! Features: a direction holds what its name says.
//!
//! `tokens:a` claims 1 where the token is a and 0 elsewhere, `prev:b` the same of a variable of the
//! program (a share where it holds a mixture), `fraction` the coordinate that codes a number.
//! Where there is no program and inputs are vectors, `x3` claims that the fourth number of the input
//! alone moves the site along its direction. A name that says nothing of the kind is listed as
//! unchecked. *Control*: each direction read under the name of the next feature of its site.

use super::sites::along;
use super::wanted::Wanted;
use super::{Check, Control, Counterexample, Ground};
use crate::Error;
use flyroom_explanation::rasp::TOKENS;
use flyroom_explanation::{Code, Explanation, Part, Value};
use flyroom_network::{Axis, Inputs, Runner};
use flyroom_organism::{Feature, Task};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Share of misnamed features that may hold: two names may mean the same.
const MOST_MISNAMED: f64 = 0.5;

/// How far a number may be off where decisions are compared.
const NUMBER_OFF: f64 = 0.1;

/// The check of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeaturesAudit {
    /// Counts and control.
    #[serde(flatten)]
    pub check: Check,
    /// Names that claim nothing that could be read.
    pub unchecked: Vec<String>,
}

pub(super) fn check(ground: &Ground) -> Result<FeaturesAudit, Error> {
    let features = &ground.truth.features;
    let none = |why: &str| FeaturesAudit { check: Check::not_applicable(why), unchecked: vec![] };
    if features.is_empty() {
        return Ok(none("the truth names no direction"));
    }
    match &ground.truth.explanation {
        Some(e) => variables(ground, e),
        None if ground.tasks.iter().all(|t| t.inputs.vector_row_len().is_some()) => inputs(ground),
        None => Ok(none("no program says what the directions hold")),
    }
}

/// What a name claims.
enum Claim<'a> {
    /// The weight of a token, at every position.
    Token(&'a str),
    /// The weight of a value of a part.
    Value(&'a Part, &'a Code, usize),
    /// The coordinate of a number.
    Number(&'a Part, &'a Code),
}

fn claim<'a>(f: &'a Feature, e: &'a Explanation) -> Option<Claim<'a>> {
    let part = |name: &str| e.part(name).and_then(|p| Some((p, &p.alignments.first()?.code)));
    match f.name.split_once(':') {
        Some((TOKENS, text)) => Some(Claim::Token(text)),
        Some((name, text)) => match part(name)? {
            (p, code @ (Code::OneHot { values } | Code::Table { values, .. })) => {
                let at = values.iter().position(|v| v.to_string() == text)?;
                Some(Claim::Value(p, code, at))
            }
            _ => None,
        },
        None => match part(&f.name)? {
            (p, code @ Code::Scalar { .. }) => Some(Claim::Number(p, code)),
            _ => None,
        },
    }
}

impl Claim<'_> {
    /// The coordinate that is claimed; `None` where nothing is.
    fn wanted(&self, task: &Task, wanted: &Wanted, input: usize, pos: usize) -> Option<f32> {
        match self {
            Self::Token(text) => {
                let token = task.inputs.token_row(input).get(pos)?;
                let value = task.vocabulary.get(*token as usize)?;
                Some(f32::from(u8::from(value.to_string() == *text)))
            }
            Self::Value(part, Code::Table { values, .. }, at) => {
                let value = wanted.value(part, input, pos)?;
                Some(f32::from(u8::from(values.get(*at)?.same(&value))))
            }
            Self::Value(part, code, at) => {
                code.encode(&wanted.value(part, input, pos)?)?.get(*at).copied()
            }
            Self::Number(part, code) => match wanted.value(part, input, pos)? {
                Value::Unknown => None,
                value => code.encode(&value)?.first().copied(),
            },
        }
    }
}

fn variables(ground: &Ground, e: &Explanation) -> Result<FeaturesAudit, Error> {
    let features = &ground.truth.features;
    let claims: Vec<Option<Claim>> = features.iter().map(|f| claim(f, e)).collect();
    let mut check = Check::empty();
    check.claims = claims.iter().flatten().count();
    let unchecked = features
        .iter()
        .zip(&claims)
        .filter(|(_, c)| c.is_none())
        .map(|(f, _)| f.name.clone())
        .collect();
    let mut by_site: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, f) in features.iter().enumerate().filter(|(i, _)| claims[*i].is_some()) {
        by_site.entry(&f.site).or_default().push(i);
    }
    let by_site: Vec<(&str, Vec<usize>)> = by_site.into_iter().collect();
    let mut misnamed_hold = vec![true; features.len()];
    for task in ground.tasks {
        let Some(wanted) = Wanted::new(e, task)? else {
            return Ok(FeaturesAudit {
                check: Check::not_applicable("the parts of this explanation have no values"),
                unchecked: vec![],
            });
        };
        let found = ground.each(by_site.len(), |s| {
            let (site, members) = &by_site[s];
            Reader { ground, task, wanted: &wanted, claims: &claims }.read(site, members)
        })?;
        for (part, contradicted) in found {
            check.join(part);
            contradicted.into_iter().for_each(|i| misnamed_hold[i] = false);
        }
    }
    let read: Vec<usize> =
        by_site.iter().filter(|(_, m)| m.len() > 1).flat_map(|(_, m)| m.clone()).collect();
    let holding = read.iter().filter(|&&i| misnamed_hold[i]).count();
    check.control = (!read.is_empty()).then(|| {
        Control::at_most(
            "each direction read as the next feature: share that still holds",
            holding as f64 / read.len() as f64,
            MOST_MISNAMED,
        )
    });
    Ok(FeaturesAudit { check: check.concluded_within(ground.allowed()), unchecked })
}

struct Reader<'a> {
    ground: &'a Ground<'a>,
    task: &'a Task,
    wanted: &'a Wanted<'a>,
    claims: &'a [Option<Claim<'a>>],
}

impl Reader<'_> {
    /// Reads features of one site; returns those whose direction contradicts the name of the next.
    fn read(&self, site: &str, members: &[usize]) -> Result<(Check, Vec<usize>), Error> {
        let (features, within) = (&self.ground.truth.features, self.ground.options.within);
        let exact = self.ground.exact();
        let runner =
            Runner::new(&self.ground.specimen.network, &self.task.inputs, &self.ground.alone())?;
        let at = runner.site(site)?.clone();
        let unit = at.axis_len(Axis::Unit).unwrap_or(1);
        let vectors = at.size() / unit;
        let pos = at.axis_len(Axis::Pos).unwrap_or(1);
        let values = runner.clean(site)?;
        let (mut check, mut contradicted) = (Check::empty(), vec![]);
        for (m, &i) in members.iter().enumerate() {
            let f = &features[i];
            let next = members[(m + 1) % members.len()];
            let (Some(own), Some(other)) = (&self.claims[i], &self.claims[next]) else { continue };
            if f.direction.len() != unit {
                check.fail(|| Counterexample {
                    claim: format!("feature {} at {site}", f.name),
                    input: vec![],
                    place: site.into(),
                    wanted: format!("a direction of {unit} coordinates"),
                    got: format!("{}", f.direction.len()),
                });
                continue;
            }
            let mut holds_as_next = true;
            for input in 0..self.task.clean {
                for v in 0..vectors {
                    let p = v * pos / vectors;
                    let wanted = own.wanted(self.task, self.wanted, input, p);
                    let next = other.wanted(self.task, self.wanted, input, p);
                    if wanted.is_none() && next.is_none() {
                        continue;
                    }
                    let start = input * at.size() + v * unit;
                    let got = along(&f.direction, &values.data()[start..start + unit]);
                    let off = |wanted: f32| {
                        let d = f64::from((got - wanted).abs());
                        let most = match (exact, own) {
                            (true, _) => within * f64::from(wanted.abs()).max(1.0),
                            (false, Claim::Number(..)) => NUMBER_OFF,
                            (false, _) => 0.5,
                        };
                        (d, d.is_nan() || d > most)
                    };
                    holds_as_next &= next.is_none_or(|x| !off(x).1);
                    let Some(wanted) = wanted else { continue };
                    check.comparisons += 1;
                    let (error, wrong) = off(wanted);
                    check.largest_error = check.largest_error.max(error);
                    if wrong {
                        check.fail(|| Counterexample {
                            claim: format!("feature {}", f.name),
                            input: self.ground.words(self.task, input),
                            place: format!("{site}[pos={p}]"),
                            wanted: format!("{wanted:.4}"),
                            got: format!("{got:.4}"),
                        });
                    }
                }
            }
            if !holds_as_next {
                contradicted.push(i);
            }
        }
        Ok((check, contradicted))
    }
}

/// The index of `x3`.
fn index(name: &str) -> Option<usize> {
    name.strip_prefix('x')?.parse().ok()
}

/// Features of vectors: what the input's number i alone adds to the site.
fn inputs(ground: &Ground) -> Result<FeaturesAudit, Error> {
    let features = &ground.truth.features;
    let mut check = Check::empty();
    let Some(width) = ground.tasks.last().and_then(|t| t.inputs.vector_row_len()) else {
        let check = Check::not_applicable("inputs are no vectors");
        return Ok(FeaturesAudit { check, unchecked: vec![] });
    };
    let (known, unknown): (Vec<&Feature>, Vec<&Feature>) =
        features.iter().partition(|f| index(&f.name).is_some_and(|i| i < width));
    // Each number alone, and at the end nothing.
    let mut values = vec![0f32; (width + 1) * width];
    (0..width).for_each(|i| values[i * width + i] = 1.0);
    let alone = Inputs::vectors(width, values)?;
    let runner = Runner::new(&ground.specimen.network, &alone, &ground.alone())?;
    let mut misnamed = 0;
    for f in &known {
        let site = runner.clean(&f.site)?;
        let off = |i: usize| -> f64 {
            let (x, nothing) = (site.row(i), site.row(width));
            let moved: Vec<f64> =
                x.iter().zip(nothing).map(|(x, n)| f64::from(*x) - f64::from(*n)).collect();
            let length = moved.iter().map(|x| x * x).sum::<f64>().sqrt();
            let inner: f64 = moved.iter().zip(&f.direction).map(|(x, d)| x * f64::from(*d)).sum();
            if moved.len() != f.direction.len() || length == 0.0 {
                1.0
            } else {
                1.0 - inner / length
            }
        };
        let Some(i) = index(&f.name) else { continue };
        check.claims += 1;
        check.comparisons += 1;
        let error = off(i);
        check.largest_error = check.largest_error.max(error);
        if error.is_nan() || error > ground.options.within {
            check.fail(|| Counterexample {
                claim: format!("feature {}", f.name),
                input: vec![],
                place: f.site.clone(),
                wanted: "cosine 1 with what the input's number alone adds".into(),
                got: format!("{:.4}", 1.0 - error),
            });
        }
        misnamed += usize::from(off((i + 1) % width) <= ground.options.within);
    }
    check.control = (width > 1 && !known.is_empty()).then(|| {
        let share = misnamed as f64 / known.len() as f64;
        let what = "each direction taken for the next number's: share that still holds";
        Control::at_most(what, share, MOST_MISNAMED)
    });
    let unchecked = unknown.iter().map(|f| f.name.clone()).collect();
    Ok(FeaturesAudit { check: check.concluded(), unchecked })
}
