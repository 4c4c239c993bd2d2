//! A trial: an explanation against a network, and its outcome, the card.
//!
//! Explanations are frozen first, the exam is drawn from their hashes, and every score comes with
//! its null (parts reassigned at random, outcomes shuffled) and its oracle (the truth in the same
//! tier). Where an explanation fails, `blame` swaps the oracle's parts and the oracle's body into
//! it, one at a time: the step whose replacement restores the skill is to blame.

use crate::Error;
use crate::effect::{EffectScore, Observed};
use crate::exam::Domain;
use crate::null::reassigned;
use flyroom_describe::metric::mean;
use flyroom_explanation::bits::{Setting, choose_bits, size};
use flyroom_explanation::{Access, Body, Explanation};
use flyroom_organism::{Subject, Truth};
use flyroom_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;

/// Draws of the null.
pub const NULL_DRAWS: usize = 200;
/// Questions of each draw for explanations that run the network.
const OPEN_QUESTIONS: usize = 24;
/// Bits of a real at most.
const FINEST_GRID: u32 = 16;
/// Skill from which on an explanation holds.
pub const HOLDS: f64 = 0.9;
/// Skill below which it says nothing.
pub const NOTHING: f64 = 0.1;

/// Verdict of an explanation that predicts nothing.
pub const SNAPSHOT: &str = "a snapshot: it claims nothing about effects and has no skill";

/// A null distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Null {
    /// Its mean.
    pub mean: f64,
    /// Its 95 % quantile.
    pub high: f64,
    /// Draws.
    pub draws: usize,
}

/// One exam of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExamScore {
    /// In-domain or off-domain.
    pub domain: Domain,
    /// Skill and families.
    pub effect: EffectScore,
    /// Parts reassigned at random; `None` if there is nothing to reassign.
    pub null: Option<Null>,
    /// Skill against outcomes of other questions; at most 0.
    pub shuffled: Option<f64>,
    /// Skill of the truth's explanation where it is of the same tier.
    pub oracle: Option<f64>,
    /// Skill of the whole network (its ceiling), never ranked.
    pub whole: Option<f64>,
    /// Questions that nobody is asked, for they have no answer in the truth's program.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswerable: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The outcome of a trial: `card.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Version of this format.
    pub schema: u32,
    /// Id of the specimen.
    pub specimen: String,
    /// Its name for people.
    pub label: String,
    /// Hash of the explanation.
    pub explanation: String,
    /// Its method.
    pub method: String,
    /// What it may look at.
    pub tier: Access,
    /// 1 - error / error of the mean output, on clean inputs.
    pub clean_fidelity: Option<f64>,
    /// One for each domain that was asked.
    pub exams: Vec<ExamScore>,
    /// Code length in bits, once and for each token.
    pub bits: Option<Bits>,
    /// `decompose`, `describe`, `both` or nothing.
    pub blame: Option<String>,
    /// One line.
    pub verdict: String,
}

/// Code length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bits {
    /// Paid once.
    pub once: f64,
    /// Paid for each token.
    pub per_token: f64,
}

impl Card {
    /// The skill that is ranked: in-domain where the truth declares variables and the tier is
    /// closed, else the exam that was asked.
    pub fn ranked(&self) -> Option<&ExamScore> {
        let wanted = if self.tier == Access::Closed { Domain::InDomain } else { Domain::OffDomain };
        self.exams.iter().find(|e| e.domain == wanted).or_else(|| self.exams.first())
    }
}

/// The trial of one specimen: its exams, and what the truth and the whole network score in them.
pub struct Trial<'a> {
    subject: &'a Subject<'a>,
    truth: &'a Truth,
    observed: &'a [Observed],
    seed: u64,
    /// For each exam, scored when the first explanation of that tier asks: they are the same for all.
    references: Vec<Reference>,
}

/// What an exam's references score; the inner `None` is a score that does not exist.
#[derive(Debug, Default)]
struct Reference {
    oracle: OnceCell<Option<f64>>,
    whole: OnceCell<Option<f64>>,
}

impl<'a> Trial<'a> {
    /// A trial over exams that were drawn after all explanations were frozen; `seed` draws nulls.
    pub fn new(
        subject: &'a Subject<'a>,
        truth: &'a Truth,
        observed: &'a [Observed],
        seed: u64,
    ) -> Self {
        let references = observed.iter().map(|_| Reference::default()).collect();
        Self { subject, truth, observed, seed, references }
    }

    /// Puts one explanation on trial.
    pub fn hold(&self, e: &Explanation) -> Result<Card, Error> {
        let Self { subject, truth, observed, seed, .. } = *self;
        let tier = e.access();
        let mut exams = vec![];
        let mut fidelity = None;
        // A program says nothing about off-domain operations: it is asked in-domain where that
        // exists.
        let in_domain = observed.iter().any(|o| o.exam.domain == Domain::InDomain);
        // A snapshot claims nothing about effects: its skill is "-", not 0.
        let asked = if e.body.predicts() { observed } else { &[] };
        for (o, reference) in asked.iter().zip(&self.references) {
            if tier == Access::Closed && in_domain && o.exam.domain == Domain::OffDomain {
                continue;
            }
            let effect = o.score(subject, e)?;
            if fidelity.is_none() {
                fidelity = o.clean_fidelity(subject, e)?;
            }
            exams.push(ExamScore {
                domain: o.exam.domain,
                null: null(subject, o, e, seed)?,
                shuffled: if tier == Access::Closed { o.shuffled(subject, e)? } else { None },
                oracle: match truth.explanation.as_ref().filter(|t| t.access() == tier) {
                    Some(t) => once(&reference.oracle, || Ok(o.score(subject, t)?.skill))?,
                    None => None,
                },
                whole: match tier {
                    Access::Open => {
                        once(&reference.whole, || Ok(o.score(subject, &whole(e))?.skill))?
                    }
                    _ => None,
                },
                unanswerable: o.exam.unanswerable,
                effect,
            });
        }
        let mut card = Card {
            schema: 1,
            specimen: subject.id.clone(),
            label: subject.label.clone(),
            explanation: e.hash()?,
            method: e.method.clone().unwrap_or_else(|| e.name.clone()),
            tier,
            clean_fidelity: fidelity,
            exams,
            bits: None,
            blame: None,
            verdict: String::new(),
        };
        if !e.body.predicts() {
            card.verdict = SNAPSHOT.into();
            return Ok(card);
        }
        card.bits = bits(subject, observed, e)?;
        card.blame = blame(subject, truth, observed, e, &card)?;
        card.verdict = verdict(&card);
        Ok(card)
    }
}

/// A score that was made before, or is made now and kept.
fn once(
    cell: &OnceCell<Option<f64>>,
    make: impl FnOnce() -> Result<Option<f64>, Error>,
) -> Result<Option<f64>, Error> {
    match cell.get() {
        Some(made) => Ok(*made),
        None => make().map(|score| *cell.get_or_init(|| score)),
    }
}

/// Code length of an explanation. Its reals lie on the smallest grid that costs less than 1 % of
/// the trivial error on seen questions; weights that an open explanation calls are charged at the
/// finest grid, 16 bits, which is an upper bound.
fn bits(subject: &Subject, observed: &[Observed], e: &Explanation) -> Result<Option<Bits>, Error> {
    let real_bits = match (e.access(), observed.first()) {
        (Access::Closed, Some(o)) => {
            let (full, trivial) = o.seen_error(subject, e)?;
            let loss = |b: u32| match e.quantized(b) {
                // A grid so coarse that two values fall together explains nothing.
                q if q.check().is_err() => Ok(f64::INFINITY),
                q => Ok::<f64, Error>(o.seen_error(subject, &q)?.0),
            };
            choose_bits(full, trivial, loss)?
        }
        _ => FINEST_GRID,
    };
    let setting = Setting {
        architecture: subject.network().architecture(),
        sites: subject.runner.sites().count(),
        pos: subject.task.pos(),
        inputs: subject.task.inputs.len(),
        vocabulary: subject.task.vocabulary.len().max(1),
        real_bits,
    };
    let size = size(e, &setting)?;
    Ok(Some(Bits { once: size.code(), per_token: size.rate }))
}

fn whole(e: &Explanation) -> Explanation {
    Explanation { parts: vec![], body: Body::Whole, ..e.clone() }
}

fn null(
    subject: &Subject,
    o: &Observed,
    e: &Explanation,
    seed: u64,
) -> Result<Option<Null>, Error> {
    let stream = Stream::new(seed, "trial/null");
    let table = subject.runner.edges();
    let all = o.questions();
    let mut skills = vec![];
    for draw in 0..NULL_DRAWS {
        let mut g = stream.block(draw as u64);
        let Some(other) = reassigned(e, table, &mut g) else { return Ok(None) };
        let questions = if e.access() == Access::Closed {
            (0..all).collect()
        } else {
            let mut q = g.choose(all, OPEN_QUESTIONS.min(all));
            q.sort_unstable();
            q
        };
        skills.push(if e.access() == Access::Closed {
            o.score_on(subject, &other, &questions)?.skill.unwrap_or(0.0)
        } else {
            o.pooled_skill(subject, &other, &questions)?
        });
    }
    skills.sort_by(f64::total_cmp);
    Ok(Some(Null {
        mean: mean(&skills),
        high: skills[skills.len() * 95 / 100],
        draws: skills.len(),
    }))
}

/// The step to blame for a failure, by swapping the oracle into each.
pub fn blame(
    subject: &Subject,
    truth: &Truth,
    observed: &[Observed],
    e: &Explanation,
    card: &Card,
) -> Result<Option<String>, Error> {
    let (Some(oracle), Some(ranked)) = (&truth.explanation, card.ranked()) else {
        return Ok(None);
    };
    if std::mem::discriminant(&oracle.body) != std::mem::discriminant(&e.body)
        || ranked.effect.skill.is_none_or(|s| s >= HOLDS)
    {
        return Ok(None);
    }
    let Some(o) = observed.iter().find(|o| o.exam.domain == ranked.domain) else {
        return Ok(None);
    };
    let skill = |e: Explanation| -> Result<f64, Error> {
        match e.check() {
            Ok(()) => Ok(o.score(subject, &e)?.skill.unwrap_or(-1.0)),
            // Parts that the other's body does not know explain nothing together.
            Err(_) => Ok(-1.0),
        }
    };
    let right_parts = skill(Explanation { parts: oracle.parts.clone(), ..e.clone() })?;
    let right_body = skill(Explanation { body: oracle.body.clone(), ..e.clone() })?;
    Ok(Some(
        match (right_parts >= HOLDS, right_body >= HOLDS) {
            (true, false) => "decompose",
            (false, true) => "describe",
            (true, true) => "either",
            (false, false) => "both",
        }
        .into(),
    ))
}

/// One line for people; every word is a threshold.
pub fn verdict(card: &Card) -> String {
    let Some(exam) = card.ranked() else {
        return "was not asked anything".into();
    };
    let Some(skill) = exam.effect.skill else {
        return "cannot be tested here: no family of interventions has enough effects".into();
    };
    let fidelity = card.clean_fidelity.unwrap_or(0.0);
    let null = exam.null.as_ref().map(|n| n.high);
    let blame = card.blame.as_ref().map(|b| format!("; to blame: {b}")).unwrap_or_default();
    let above = null.is_none_or(|n| skill > n);
    let line = if skill >= HOLDS {
        "holds: it predicts interventions that it has not seen".to_string()
    } else if !above {
        "no better than its own parts reassigned at random".to_string()
    } else if skill >= NOTHING {
        let parts = if null.is_some() { "right parts, " } else { "" };
        format!("{parts}effects predicted in part only")
    } else if fidelity >= 0.5 {
        "predicts outputs but not what interventions do".to_string()
    } else {
        "predicts nothing".to_string()
    };
    format!("{line} (skill {skill:.2}, clean fidelity {fidelity:.2}){blame}")
}
