//! Effect skill: does an explanation predict what interventions do?
//!
//! For an input x and an intervention i let y(x, i) be the outputs that count and e(x, i) what the
//! explanation says. Every predictor gets the clean output free, so what is judged is the effect:
//!
//! skill of a family = 1 - sum |y(x,i) - y(x) - De(x,i)|^2 / sum |y(x,i) - y(x) - T(x,i)|^2
//!
//! with De = e(x,i) - e(x) and T the trivial predictor with the smallest error on all that is held
//! out: no effect; the mean effect of the family's operation; the sum of the seen single effects;
//! the nearest seen question; ridge regression on (input, intervention); in the open tier also the
//! first-order gradient. Families are clipped at -1 and averaged without weights.

use crate::Error;
use crate::exam::{Domain, Exam, Item};
use flyroom_describe::metric::mean;
use flyroom_explanation::{Access, Explanation, Prediction, Reads, Scene, predict};
use flyroom_network::{Operation, Row, Site, Target};
use flyroom_organism::Subject;
use flyroom_tensor::linalg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Effects below this share of the family's largest count as none.
pub const NO_EFFECT: f64 = 0.01;
/// Effects below this share of the clean output's norm are float noise.
pub const FLOAT_FLOOR: f64 = 1e-5;
/// A family with fewer effective questions cannot be tested.
pub const LEAST: usize = 20;
/// A family on which a trivial predictor that saw other questions reaches this skill is leaky.
pub const LEAKY: f64 = 0.3;

/// What the network does in every question of an exam.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The exam.
    pub exam: Exam,
    stage: Stage,
    /// Clean outputs that count, by input.
    clean: BTreeMap<usize, Vec<f32>>,
    /// y(x, i) - y(x) of the seen questions.
    seen: Vec<Vec<f32>>,
    /// y(x, i) - y(x) of the held-out questions.
    held_out: Vec<Vec<f32>>,
    /// First-order predictions of the held-out questions, where they exist.
    first_order: Option<Vec<Vec<f32>>>,
    /// Errors of each closed trivial predictor on each held-out question.
    trivial: Vec<(&'static str, Vec<f64>)>,
}

/// How one family went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FamilyScore {
    /// Operation and kind of locus.
    pub family: String,
    /// In-domain or off-domain.
    pub domain: Domain,
    /// Questions with an effect.
    pub effective: usize,
    /// Questions without one.
    pub no_effect: usize,
    /// 1 - error / trivial error, clipped at -1; `None` if the family does not count.
    pub skill: Option<f64>,
    /// Share of the questions without effect that are predicted so; `None` if there are none.
    pub specificity: Option<f64>,
    /// Questions that the explanation declined.
    pub abstained: usize,
    /// Why it does not count: `not testable` or `leaky`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The effect skill of one explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectScore {
    /// Mean over the families that count; `None` if none does.
    pub skill: Option<f64>,
    /// Every family.
    pub families: Vec<FamilyScore>,
    /// The family with the least skill.
    pub worst: Option<String>,
    /// The trivial predictor that was hardest to beat.
    pub trivial: String,
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum()
}

fn norm(a: &[f32]) -> f64 {
    a.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

fn minus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

impl Observed {
    /// Runs the network on the whole exam.
    pub fn new(subject: &Subject, exam: Exam) -> Result<Self, Error> {
        let task = subject.task;
        let inputs: BTreeSet<usize> =
            exam.seen.iter().chain(&exam.held_out).map(|i| i.row.input).collect();
        let rows: Vec<Row> =
            inputs.iter().map(|&input| Row { input, interventions: vec![] }).collect();
        let outputs = subject.runner.run(&rows)?;
        let clean: BTreeMap<usize, Vec<f32>> =
            inputs.iter().zip(outputs).map(|(&i, y)| (i, task.reading(i, &y))).collect();
        let effects = |items: &[Item]| -> Result<Vec<Vec<f32>>, Error> {
            let mut out = Vec::with_capacity(items.len());
            for items in items.chunks(256) {
                let rows: Vec<Row> = items.iter().map(|i| i.row.clone()).collect();
                for (item, y) in items.iter().zip(subject.runner.run(&rows)?) {
                    let input = item.row.input;
                    out.push(minus(&task.reading(input, &y), &clean[&input]));
                }
            }
            Ok(out)
        };
        let seen = effects(&exam.seen)?;
        let held_out = effects(&exam.held_out)?;
        let rows: Vec<Row> = exam.held_out.iter().map(|i| i.row.clone()).collect();
        let first_order = match subject.runner.first_order(&rows)? {
            Some(tangents) => Some(
                exam.held_out
                    .iter()
                    .zip(tangents)
                    .map(|(item, t)| task.reading(item.row.input, &t))
                    .collect(),
            ),
            None => None,
        };
        let stage = Stage::new(subject);
        let mut out = Self { exam, stage, clean, seen, held_out, first_order, trivial: vec![] };
        out.trivial = out.trivial_errors(subject)?;
        Ok(out)
    }

    /// Errors of the closed trivial predictors on every held-out question.
    fn trivial_errors(&self, subject: &Subject) -> Result<Vec<(&'static str, Vec<f64>)>, Error> {
        let width = self.held_out.iter().chain(&self.seen).map(Vec::len).max().unwrap_or(0);
        let error = |predict: &dyn Fn(usize) -> Vec<f32>| -> Vec<f64> {
            self.held_out
                .iter()
                .enumerate()
                .map(|(i, effect)| squared(effect, &predict(i)))
                .collect()
        };
        // Effects of inputs with fewer outputs that count are compared on what both have.
        let fit = |x: &[f32], len: usize| {
            let mut x = x.to_vec();
            x.resize(len, 0.0);
            x
        };
        let mut average = vec![0f64; width];
        for e in &self.seen {
            average.iter_mut().zip(e).for_each(|(a, &x)| *a += f64::from(x));
        }
        let n = self.seen.len().max(1) as f64;
        let average: Vec<f32> = average.iter().map(|a| (a / n) as f32).collect();
        let mut of_unit: BTreeMap<usize, (Vec<f64>, usize)> = BTreeMap::new();
        for (item, e) in self.exam.seen.iter().zip(&self.seen) {
            let entry = of_unit.entry(item.units[0]).or_insert_with(|| (vec![0.0; width], 0));
            entry.0.iter_mut().zip(e).for_each(|(a, &x)| *a += f64::from(x));
            entry.1 += 1;
        }
        let singles = |item: &Item, len: usize| -> Vec<f32> {
            let mut sum = vec![0f32; len];
            for u in &item.units {
                if let Some((s, n)) = of_unit.get(u) {
                    sum.iter_mut().zip(s).for_each(|(a, x)| *a += (x / *n as f64) as f32);
                }
            }
            sum
        };
        let codes = Codes::new(subject, &self.exam);
        let seen_codes: Vec<Vec<f32>> = self.exam.seen.iter().map(|i| codes.of(i)).collect();
        let nearest = |item: &Item| -> usize {
            let code = codes.of(item);
            (0..seen_codes.len())
                .min_by(|&a, &b| {
                    squared(&code, &seen_codes[a]).total_cmp(&squared(&code, &seen_codes[b]))
                })
                .unwrap_or(0)
        };
        let mut out = vec![
            ("no effect", error(&|i| vec![0.0; self.held_out[i].len()])),
            ("mean effect", error(&|i| fit(&average, self.held_out[i].len()))),
            ("sum of singles", error(&|i| singles(&self.exam.held_out[i], self.held_out[i].len()))),
        ];
        if !self.seen.is_empty() {
            out.push((
                "nearest seen",
                error(&|i| {
                    fit(&self.seen[nearest(&self.exam.held_out[i])], self.held_out[i].len())
                }),
            ));
            let ridge = self.ridge(&codes, &seen_codes, width)?;
            let p = codes.len();
            out.push((
                "ridge",
                error(&|i| {
                    let code = codes.of(&self.exam.held_out[i]);
                    let mut y = vec![0f64; width];
                    for (k, &c) in code.iter().enumerate().take(p) {
                        if c != 0.0 {
                            let row = &ridge[k * width..(k + 1) * width];
                            y.iter_mut().zip(row).for_each(|(y, w)| *y += f64::from(c) * w);
                        }
                    }
                    let y: Vec<f32> = y.into_iter().map(|y| y as f32).collect();
                    fit(&y, self.held_out[i].len())
                }),
            ));
        }
        Ok(out)
    }

    fn ridge(
        &self,
        codes: &Codes,
        seen_codes: &[Vec<f32>],
        width: usize,
    ) -> Result<Vec<f64>, Error> {
        let x: Vec<f64> = seen_codes.iter().flatten().map(|&v| f64::from(v)).collect();
        let y: Vec<f64> = self
            .seen
            .iter()
            .flat_map(|e| (0..width).map(|i| f64::from(e.get(i).copied().unwrap_or(0.0))))
            .collect();
        Ok(linalg::ridge(seen_codes.len(), codes.len(), width, &x, &y, 1.0)?)
    }

    /// Scores an explanation.
    pub fn score(&self, subject: &Subject, e: &Explanation) -> Result<EffectScore, Error> {
        let all: Vec<usize> = (0..self.held_out.len()).collect();
        self.score_on(subject, e, &all)
    }

    /// The same on some of the held-out questions.
    pub fn score_on(
        &self,
        subject: &Subject,
        e: &Explanation,
        questions: &[usize],
    ) -> Result<EffectScore, Error> {
        let effects = self.predicted(subject, e, questions)?;
        let (hardest, trivial) = self.hardest(e.access(), questions);
        let mut by_family: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, &q) in questions.iter().enumerate() {
            by_family.entry(self.exam.held_out[q].family).or_default().push(at);
        }
        let mut families = vec![];
        for (family, members) in by_family {
            families.push(self.family(family, &members, questions, &effects, &trivial));
        }
        let counted: Vec<(f64, &str)> =
            families.iter().filter_map(|f| f.skill.map(|s| (s, f.family.as_str()))).collect();
        let skill =
            (!counted.is_empty()).then(|| mean(&counted.iter().map(|c| c.0).collect::<Vec<_>>()));
        let worst = counted.iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|c| c.1.to_string());
        Ok(EffectScore { skill, families, worst, trivial: hardest.into() })
    }

    /// Skill over all families together, for draws too small to be judged family by family.
    pub fn pooled_skill(
        &self,
        subject: &Subject,
        e: &Explanation,
        questions: &[usize],
    ) -> Result<f64, Error> {
        let effects = self.predicted(subject, e, questions)?;
        let (_, trivial) = self.hardest(e.access(), questions);
        let own: f64 = questions
            .iter()
            .zip(&effects)
            .map(|(&q, e)| {
                let truth = &self.held_out[q];
                e.as_ref().map_or_else(|| norm(truth) * norm(truth), |e| squared(truth, e))
            })
            .sum();
        let total: f64 = trivial.iter().sum();
        Ok(if total > 0.0 { (1.0 - own / total).max(-1.0) } else { 0.0 })
    }

    fn family(
        &self,
        family: &str,
        members: &[usize],
        questions: &[usize],
        effects: &[Option<Vec<f32>>],
        trivial: &[f64],
    ) -> FamilyScore {
        let size = |at: usize| norm(&self.held_out[questions[at]]);
        let largest = members.iter().map(|&at| size(at)).fold(0.0, f64::max);
        let floor = |at: usize| {
            let clean = &self.clean[&self.exam.held_out[questions[at]].row.input];
            (FLOAT_FLOOR * norm(clean)).max(NO_EFFECT * largest)
        };
        let (effective, silent): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|&&at| size(at) > floor(at));
        // Declining counts as predicting no effect.
        let error = |at: usize| {
            let truth = &self.held_out[questions[at]];
            effects[at].as_ref().map_or_else(|| norm(truth) * norm(truth), |e| squared(truth, e))
        };
        let specific = silent
            .iter()
            .filter(|&&at| effects[at].as_ref().is_none_or(|e| norm(e) <= floor(at)))
            .count();
        let total: f64 = effective.iter().map(|&at| trivial[at]).sum();
        let reason = if effective.len() < LEAST {
            Some(format!("not testable: {} questions have an effect", effective.len()))
        } else {
            self.leak(&effective, questions)
        };
        let skill = (reason.is_none() && total > 0.0).then(|| {
            let own: f64 = effective.iter().map(|&at| error(at)).sum();
            (1.0 - own / total).max(-1.0)
        });
        FamilyScore {
            family: family.into(),
            domain: self.exam.domain,
            effective: effective.len(),
            no_effect: silent.len(),
            skill,
            specificity: (!silent.is_empty()).then(|| specific as f64 / silent.len() as f64),
            abstained: members.iter().filter(|&&at| effects[at].is_none()).count(),
            reason,
        }
    }

    /// Why a family gives itself away, if it does.
    fn leak(&self, effective: &[usize], questions: &[usize]) -> Option<String> {
        let sum = |errors: &[f64]| effective.iter().map(|&at| errors[questions[at]]).sum::<f64>();
        let nothing = sum(&self.trivial[0].1);
        self.trivial.iter().filter(|t| t.0 == "nearest seen" || t.0 == "ridge").find_map(|t| {
            let skill = 1.0 - sum(&t.1) / nothing;
            (skill >= LEAKY).then(|| format!("leaky: {} reaches {skill:.2}", t.0))
        })
    }

    /// The trivial predictor with the smallest total error, and its errors on the questions.
    fn hardest(&self, access: Access, questions: &[usize]) -> (&'static str, Vec<f64>) {
        let pick = |errors: &[f64]| questions.iter().map(|&q| errors[q]).collect::<Vec<f64>>();
        let mut candidates: Vec<(&'static str, Vec<f64>)> =
            self.trivial.iter().map(|(n, e)| (*n, pick(e))).collect();
        if access != Access::Closed
            && let Some(f) = &self.first_order
        {
            let errors: Vec<f64> =
                questions.iter().map(|&q| squared(&self.held_out[q], &f[q])).collect();
            candidates.push(("first-order gradient", errors));
        }
        let total = |e: &[f64]| e.iter().sum::<f64>();
        candidates
            .into_iter()
            .min_by(|a, b| total(&a.1).total_cmp(&total(&b.1)))
            .unwrap_or(("no effect", vec![]))
    }

    /// De(x, i) of an explanation for some questions; `None` where it abstains.
    fn predicted(
        &self,
        subject: &Subject,
        e: &Explanation,
        questions: &[usize],
    ) -> Result<Vec<Option<Vec<f32>>>, Error> {
        let items: Vec<&Item> = questions.iter().map(|&q| &self.exam.held_out[q]).collect();
        self.effects_of(subject, e, &items)
    }

    /// The same for any questions.
    fn effects_of(
        &self,
        subject: &Subject,
        e: &Explanation,
        items: &[&Item],
    ) -> Result<Vec<Option<Vec<f32>>>, Error> {
        let inputs: BTreeSet<usize> = items.iter().map(|i| i.row.input).collect();
        // Clean rows and questions in one call: they share what the explanation computes.
        let mut rows: Vec<Row> =
            inputs.iter().map(|&input| Row { input, interventions: vec![] }).collect();
        rows.extend(items.iter().map(|i| i.row.clone()));
        let scene = self.stage.scene(subject, e.access());
        let mut predictions = predict(e, &scene, &rows)?;
        let asked = predictions.split_off(inputs.len());
        let clean: BTreeMap<usize, Option<Vec<f32>>> = inputs
            .iter()
            .zip(&predictions)
            .map(|(&i, p)| (i, self.stage.read(subject, i, p)))
            .collect();
        let mut out = vec![];
        for (row, p) in rows[inputs.len()..].iter().zip(asked) {
            out.push(match (self.stage.read(subject, row.input, &p), &clean[&row.input]) {
                (Some(y), Some(c)) => Some(minus(&y, c)),
                _ => None,
            });
        }
        Ok(out)
    }

    /// Squared error of an explanation on the seen questions, and that of "no effect": by these
    /// the grid of its reals is chosen.
    pub fn seen_error(&self, subject: &Subject, e: &Explanation) -> Result<(f64, f64), Error> {
        let items: Vec<&Item> = self.exam.seen.iter().collect();
        let (mut own, mut nothing) = (0.0, 0.0);
        for (truth, said) in self.seen.iter().zip(self.effects_of(subject, e, &items)?) {
            let silent = norm(truth) * norm(truth);
            nothing += silent;
            own += said.map_or(silent, |d| squared(truth, &d));
        }
        Ok((own, nothing))
    }

    /// Skill of the explanation against outcomes that belong to other questions of the family:
    /// at most 0 for anything that does not know the answers.
    pub fn shuffled(&self, subject: &Subject, e: &Explanation) -> Result<Option<f64>, Error> {
        let mut moved = self.clone();
        let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (q, item) in self.exam.held_out.iter().enumerate() {
            families.entry(item.family).or_default().push(q);
        }
        for members in families.values() {
            for (i, &q) in members.iter().enumerate() {
                let from = members[(i + members.len() / 2) % members.len()];
                let mut e = self.held_out[from].clone();
                e.resize(self.held_out[q].len(), 0.0);
                moved.held_out[q] = e;
            }
        }
        moved.trivial = moved.trivial_errors(subject)?;
        Ok(moved.score(subject, e)?.skill)
    }

    /// Clean fidelity: 1 - sum |y - e|^2 / sum |y - mean y|^2 over the exam's inputs.
    pub fn clean_fidelity(&self, subject: &Subject, e: &Explanation) -> Result<Option<f64>, Error> {
        let rows: Vec<Row> =
            self.clean.keys().map(|&input| Row { input, interventions: vec![] }).collect();
        let width = self.clean.values().map(Vec::len).max().unwrap_or(0);
        let mut average = vec![0f64; width];
        let mut counts = vec![0usize; width];
        for y in self.clean.values() {
            for (i, &x) in y.iter().enumerate() {
                average[i] += f64::from(x);
                counts[i] += 1;
            }
        }
        let average: Vec<f32> =
            average.iter().zip(&counts).map(|(a, &n)| (a / n.max(1) as f64) as f32).collect();
        let (mut own, mut trivial) = (0.0, 0.0);
        let scene = self.stage.scene(subject, e.access());
        for ((&input, y), p) in self.clean.iter().zip(predict(e, &scene, &rows)?) {
            let nothing = squared(y, &average[..y.len()]);
            trivial += nothing;
            own += self.stage.read(subject, input, &p).map_or(nothing, |p| squared(y, &p));
        }
        Ok((trivial > 0.0).then(|| 1.0 - own / trivial))
    }

    /// Number of held-out questions.
    pub fn questions(&self) -> usize {
        self.held_out.len()
    }
}

/// What an explanation is told of the network: its sites and which outputs are compared.
#[derive(Debug, Clone)]
pub struct Stage {
    sites: Vec<Site>,
    reads: Reads,
}

impl Stage {
    /// The positions and columns that count for any input.
    pub fn new(subject: &Subject) -> Self {
        Self {
            sites: subject.runner.sites().cloned().collect(),
            reads: Reads {
                positions: positions(subject),
                columns: (0..subject.task.columns).collect(),
            },
        }
    }

    /// The same for one of its positions.
    pub(crate) fn at(&self, pos: usize) -> Self {
        let reads = Reads { positions: vec![pos], columns: self.reads.columns.clone() };
        Self { sites: self.sites.clone(), reads }
    }

    /// What an explanation of a tier may look at.
    pub fn scene<'s>(&'s self, subject: &'s Subject, access: Access) -> Scene<'s> {
        Scene {
            inputs: &subject.task.inputs,
            vocabulary: &subject.task.vocabulary,
            sites: &self.sites,
            reads: &self.reads,
            runner: (access != Access::Closed).then_some(&subject.runner),
            corrupt: &subject.task.partner,
        }
    }

    /// The outputs that count of a prediction, comparable; `None` if it abstained.
    pub fn read(&self, subject: &Subject, input: usize, p: &Prediction) -> Option<Vec<f32>> {
        let y = p.output()?;
        let c = subject.task.columns;
        let mut counted = vec![];
        for (at, &p) in self.reads.positions.iter().enumerate() {
            if subject.task.reads[input * subject.task.pos() + p] {
                counted.extend_from_slice(&y[at * c..(at + 1) * c]);
            }
        }
        Some(subject.task.comparable(counted))
    }
}

/// Positions that count for at least one input.
fn positions(subject: &Subject) -> Vec<usize> {
    let pos = subject.task.pos();
    (0..pos).filter(|p| subject.task.reads.iter().skip(*p).step_by(pos).any(|&r| r)).collect()
}

/// Numbers by which trivial predictors know a question: its input's tokens or values, its units,
/// its operation.
struct Codes<'s, 'a> {
    subject: &'s Subject<'a>,
    vocabulary: usize,
    units: usize,
    inputs: usize,
}

impl<'s, 'a> Codes<'s, 'a> {
    /// Longest input code; longer ones are left to the units alone.
    const LONGEST: usize = 256;

    fn new(subject: &'s Subject<'a>, exam: &Exam) -> Self {
        let inputs = &subject.task.inputs;
        let vocabulary = subject.task.vocabulary.len();
        let full = match inputs.vector_row(0).len() {
            0 => inputs.pos() * vocabulary,
            n => n,
        };
        let inputs = if full <= Self::LONGEST { full } else { 0 };
        Self { subject, vocabulary, units: exam.units, inputs }
    }

    fn len(&self) -> usize {
        self.inputs + self.units + 4
    }

    fn of(&self, item: &Item) -> Vec<f32> {
        let mut x = vec![0.0; self.len()];
        let inputs = &self.subject.task.inputs;
        if self.inputs > 0 {
            for (p, &t) in inputs.token_row(item.row.input).iter().enumerate() {
                x[p * self.vocabulary + t as usize] = 1.0;
            }
            let v = inputs.vector_row(item.row.input);
            x[..v.len()].copy_from_slice(v);
        }
        for &u in &item.units {
            x[self.inputs + u] = 1.0;
        }
        let at = self.inputs + self.units;
        for i in &item.row.interventions {
            let k = match (&i.target, &i.operation) {
                (Target::Weight(_) | Target::Edges(_), _) => 0,
                (_, Operation::Zero | Operation::Mean) => 1,
                (_, Operation::Interchange { .. } | Operation::Add { .. }) => 2,
                (_, Operation::Set { .. }) => 3,
            };
            x[at + k] = 1.0;
        }
        x
    }
}
