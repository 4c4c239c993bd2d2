//! Program: setting and exchanging variables does to the outputs what the program says.
//!
//! *Measures*, on all inputs, the outputs that count, clean, with one variable at one position set to
//! each value of its domain or exchanged with another input's, and with two variables set; and
//! compares each with the explanation's prediction. The skill is 1 - sum of squared errors of the
//! predicted effect / sum of squared effects: 1 is exact, 0 is what "no effect" reaches; a
//! prediction that is declined counts as "no effect" (Geiger et al. 2021; METRICS: effect skill
//! against the one trivial predictor that no exam can leak to). *Control*: the same program with
//! its description changed (its first selection negated, every cosine turned) must not reach .9.

use super::wanted::Wanted;
use super::{Check, Control, Counterexample, Ground, spread};
use crate::effect::Stage;
use crate::{Error, HOLDS, misdescribed};
use flyroom_explanation::{Explanation, predict};
use flyroom_network::{Intervention, Operation, Row, Selector};
use flyroom_organism::{ExamVariable, Subject, Task};
use flyroom_tensor::Stream;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};

/// Inputs that run together.
const TOGETHER: usize = 1024;

/// Inputs on which the control runs.
const CONTROL_INPUTS: usize = 64;

/// How far the skill may lie below 1, times the square of [`super::Options::within`].
const SKILL_SLACK: f64 = 1.0;

/// The check of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramAudit {
    /// Counts and control.
    #[serde(flatten)]
    pub check: Check,
    /// Runs without intervention.
    pub clean: usize,
    /// Runs with one variable set to a value of its domain.
    pub sets: usize,
    /// Runs with one variable exchanged.
    pub interchanges: usize,
    /// Runs with two variables set.
    pub pairs: usize,
    /// Of these runs, those that moved an output.
    pub effective: usize,
    /// Predictions that were declined.
    pub abstained: usize,
    /// Whether clean runs and sets were made on all inputs.
    pub exhaustive: bool,
    /// 1 - squared error / squared effect; `None` where nothing has an effect.
    pub skill: Option<f64>,
}

impl ProgramAudit {
    fn none(why: &str) -> Self {
        Self {
            check: Check::not_applicable(why),
            clean: 0,
            sets: 0,
            interchanges: 0,
            pairs: 0,
            effective: 0,
            abstained: 0,
            exhaustive: false,
            skill: None,
        }
    }
}

/// What was compared in one job.
#[derive(Default)]
struct Compared {
    clean: usize,
    sets: usize,
    interchanges: usize,
    pairs: usize,
    effective: usize,
    abstained: usize,
    squared_error: f64,
    squared_effect: f64,
}

impl Compared {
    fn join(&mut self, o: &Self) {
        self.clean += o.clean;
        self.sets += o.sets;
        self.interchanges += o.interchanges;
        self.pairs += o.pairs;
        self.effective += o.effective;
        self.abstained += o.abstained;
        self.squared_error += o.squared_error;
        self.squared_effect += o.squared_effect;
    }

    fn skill(&self) -> Option<f64> {
        (self.squared_effect > 0.0).then(|| 1.0 - self.squared_error / self.squared_effect)
    }
}

pub(super) fn check(ground: &Ground) -> Result<ProgramAudit, Error> {
    let Some(e) = &ground.truth.explanation else {
        return Ok(ProgramAudit::none("the truth has no program"));
    };
    if !e.body.predicts() {
        return Ok(ProgramAudit::none("the explanation predicts nothing"));
    }
    let variables = &ground.truth.variables;
    let each_input = |task: &Task| -> usize {
        let places = |v: &ExamVariable| v.positions.iter().filter(|&&p| p < task.pos()).count();
        variables.iter().map(|v| places(v) * (v.values.len() + 1)).sum::<usize>()
    };
    let all: usize = ground.tasks.iter().map(|t| t.clean.saturating_mul(each_input(t))).sum();
    // At most so many inputs of a length, so that all lengths together stay in the budget.
    let most = |task: &Task| match all > ground.options.single_runs {
        true => ground.options.single_runs / ground.tasks.len() / each_input(task).max(1),
        false => task.clean,
    };
    let mut jobs: Vec<Job> = vec![];
    for task in ground.tasks {
        let own = spread(task.clean, most(task).max(1));
        // At even steps, so that the inputs of a job differ everywhere.
        let parts = own.len().div_ceil(TOGETHER).max(1);
        for part in 0..parts {
            let inputs = own.iter().copied().skip(part).step_by(parts).collect();
            jobs.push(Job { task, inputs, kind: Kind::Singles });
        }
    }
    if variables.len() + usize::from(variables.iter().any(|v| v.positions.len() > 1)) > 1 {
        let seeds = ground.tasks.len();
        for (t, task) in ground.tasks.iter().enumerate() {
            let runs = ground.options.pair_runs / seeds;
            let inputs = spread(task.clean, TOGETHER);
            jobs.push(Job { task, inputs, kind: Kind::Pairs { runs, seed: t as u64 } });
        }
    }
    let exhaustive = ground.tasks.iter().all(|t| t.exhaustive && most(t) >= t.clean);
    let found = ground.each(jobs.len(), |j| jobs[j].run(ground, e))?;
    let (mut check, mut sum) = (Check::empty(), Compared::default());
    for (part, compared) in found {
        check.join(part);
        sum.join(&compared);
    }
    check.claims = variables.iter().map(|v| v.values.len()).sum::<usize>() + 1;
    let skill = sum.skill();
    let slack = SKILL_SLACK * ground.options.within * ground.options.within;
    if let Some(s) = skill.filter(|s| ground.exact() && (s.is_nan() || *s < 1.0 - slack)) {
        check.fail(|| Counterexample {
            claim: "the program predicts every effect".into(),
            input: vec![],
            place: "all runs".into(),
            wanted: "skill 1".into(),
            got: format!("skill {s:.6}"),
        });
    }
    check.control = control(ground, e)?;
    Ok(ProgramAudit {
        check: check.concluded_within(ground.allowed()),
        clean: sum.clean,
        sets: sum.sets,
        interchanges: sum.interchanges,
        pairs: sum.pairs,
        effective: sum.effective,
        abstained: sum.abstained,
        exhaustive,
        skill,
    })
}

/// The skill of the program with its description changed, on some inputs of the full length.
fn control(ground: &Ground, e: &Explanation) -> Result<Option<Control>, Error> {
    let (Some(wrong), Some(task)) = (misdescribed(e), ground.tasks.last()) else {
        return Ok(None);
    };
    let inputs = spread(task.clean, CONTROL_INPUTS);
    let (check, compared) = Job { task, inputs, kind: Kind::Singles }.run(ground, &wrong)?;
    if !ground.exact() {
        let right = 1.0 - check.failures as f64 / check.comparisons.max(1) as f64;
        let what = "the program with its first selection negated: share of runs that are right";
        return Ok(Some(Control::at_most(what, right, ground.options.agreement)));
    }
    let what = "the program with its first selection negated, or its cosines turned: skill";
    Ok(compared.skill().map(|s| Control::at_most(what, s, HOLDS)))
}

enum Kind {
    /// Clean runs, every set and one interchange of every variable at every position.
    Singles,
    /// Two variables set to random values.
    Pairs { runs: usize, seed: u64 },
}

struct Job<'a> {
    task: &'a Task,
    inputs: Vec<usize>,
    kind: Kind,
}

/// What was done in a run.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Clean,
    Set,
    Interchange,
    Pair,
}

impl Job<'_> {
    fn run(&self, ground: &Ground, e: &Explanation) -> Result<(Check, Compared), Error> {
        let task = self.task.restricted(&self.inputs);
        let subject = Subject::new(ground.specimen, &task, &ground.alone())?;
        let mut examiner = Examiner::new(ground, &subject, e)?;
        let variables = &ground.truth.variables;
        let n = task.clean;
        match self.kind {
            Kind::Singles => {
                let clean = (0..n).map(|input| Row { input, interventions: vec![] }).collect();
                examiner.compare(Act::Clean, clean)?;
                let mut g = Stream::new(0, "audit/interchanges").block(task.pos() as u64);
                for v in variables {
                    for &p in v.positions.iter().filter(|&&p| p < task.pos()) {
                        let at = place(v, &task, p);
                        let rows = |operation: &mut dyn FnMut(usize) -> Operation| -> Vec<Row> {
                            let row = |input| Row {
                                input,
                                interventions: vec![Intervention::site(
                                    at.clone(),
                                    operation(input),
                                )],
                            };
                            (0..n).map(row).collect()
                        };
                        for x in &v.values {
                            let values = || Operation::Set { values: x.clone() };
                            examiner.compare(Act::Set, rows(&mut |_| values()))?;
                        }
                        if n > 1 {
                            let exchanged = rows(&mut |input| Operation::Interchange {
                                input: (input + 1 + g.below(n as u64 - 1) as usize) % n,
                            });
                            examiner.compare(Act::Interchange, exchanged)?;
                        }
                    }
                }
            }
            Kind::Pairs { runs, seed } => {
                let mut g = Stream::new(0, "audit/pairs").block(seed);
                let rows = pairs(variables, &task, runs, &mut g);
                for rows in rows.chunks(4 * TOGETHER) {
                    examiner.compare(Act::Pair, rows.to_vec())?;
                }
            }
        }
        Ok((examiner.check, examiner.compared))
    }
}

/// A variable at a position; a network without positions is selected whole.
fn place(v: &ExamVariable, task: &Task, pos: usize) -> Selector {
    let s = v.selector.clone();
    if task.inputs.vector_row_len().is_none() { s.at_pos(pos) } else { s }
}

/// Runs in which two variables, or one at two positions, are set to values of their domains, the
/// earlier first.
fn pairs(variables: &[ExamVariable], task: &Task, runs: usize, g: &mut Generator) -> Vec<Row> {
    let mut places: Vec<(usize, usize)> = vec![];
    for (v, variable) in variables.iter().enumerate().filter(|(_, v)| !v.values.is_empty()) {
        places.extend(variable.positions.iter().filter(|&&p| p < task.pos()).map(|&p| (v, p)));
    }
    if places.len() < 2 || task.clean == 0 {
        return vec![];
    }
    let one = |g: &mut Generator, n: usize| g.below(n as u64) as usize;
    let mut rows = vec![];
    for _ in 0..runs {
        let mut two = g.choose(places.len(), 2);
        two.sort_unstable();
        let interventions = two
            .iter()
            .map(|&k| {
                let (v, p) = places[k];
                let values = &variables[v].values;
                let values = values[one(g, values.len())].clone();
                Intervention::site(place(&variables[v], task, p), Operation::Set { values })
            })
            .collect();
        rows.push(Row { input: one(g, task.clean), interventions });
    }
    rows
}

struct Examiner<'s, 'a> {
    ground: &'s Ground<'s>,
    subject: &'s Subject<'a>,
    explanation: &'s Explanation,
    stage: Stage,
    /// Clean outputs that count, of the network and as predicted.
    clean: Vec<Vec<f32>>,
    predicted: Vec<Option<Vec<f32>>>,
    /// Numbers that the program gives as outputs, in order.
    numbers: Vec<f32>,
    /// Values of variables on clean inputs.
    wanted: Option<Wanted<'s>>,
    scale: f64,
    check: Check,
    compared: Compared,
}

impl<'s, 'a> Examiner<'s, 'a> {
    fn new(
        ground: &'s Ground<'s>,
        subject: &'s Subject<'a>,
        explanation: &'s Explanation,
    ) -> Result<Self, Error> {
        let task = subject.task;
        let logits = subject.runner.logits()?;
        let clean: Vec<Vec<f32>> =
            (0..task.clean).map(|i| task.reading(i, logits.row(i))).collect();
        let scale = clean.iter().flatten().map(|y| f64::from(y.abs())).fold(0.0, f64::max);
        let stage = Stage::new(subject);
        let rows: Vec<Row> =
            (0..task.clean).map(|input| Row { input, interventions: vec![] }).collect();
        let predicted = predict(explanation, &stage.scene(subject, explanation.access()), &rows)?
            .iter()
            .enumerate()
            .map(|(i, p)| stage.read(subject, i, p))
            .collect::<Vec<Option<Vec<f32>>>>();
        let mut numbers: Vec<f32> = match task.columns {
            1 => predicted.iter().flatten().flatten().copied().collect(),
            _ => vec![],
        };
        numbers.sort_by(f32::total_cmp);
        numbers.dedup();
        let wanted = match ground.exact() {
            true => None,
            false => Wanted::new(explanation, task)?,
        };
        Ok(Self {
            ground,
            subject,
            explanation,
            stage,
            clean,
            predicted,
            numbers,
            wanted,
            scale: scale.max(f64::MIN_POSITIVE),
            check: Check::empty(),
            compared: Compared::default(),
        })
    }

    /// Whether outputs say what is predicted: the largest of each position, or the nearest number that
    /// the program knows. Where the prediction prefers nothing there is no decision.
    fn decided(&self, said: &[f32], got: &[f32]) -> bool {
        let columns = self.subject.task.columns.max(1);
        let largest = |x: &[f32]| (0..x.len()).fold(0, |b, i| if x[i] > x[b] { i } else { b });
        let nearest = |x: f32| {
            let off = |i: &usize| (self.numbers[*i] - x).abs();
            (0..self.numbers.len()).min_by(|i, j| off(i).total_cmp(&off(j)))
        };
        said.chunks(columns).zip(got.chunks(columns)).all(|(s, y)| match columns {
            1 => y[0].is_finite() && nearest(s[0]) == nearest(y[0]),
            _ => s.iter().all(|x| *x == s[0]) || largest(s) == largest(y),
        })
    }

    /// The row with variables set by exchange: the code of the value that the program has on the
    /// clean input leaves, the other comes, whatever else lies there stays.
    fn exchanged(&self, row: &Row) -> Result<Row, Error> {
        let mut out = row.clone();
        let Some(wanted) = &self.wanted else { return Ok(out) };
        let task = self.subject.task;
        for i in &mut out.interventions {
            let flyroom_network::Target::Site(s) = &i.target else { continue };
            let variable = self
                .ground
                .truth
                .variables
                .iter()
                .find(|v| v.selector.site == s.site && v.selector.basis == s.basis);
            let part = variable.and_then(|v| self.explanation.part(&v.name));
            let code = part.and_then(|p| Some((p, &p.alignments.first()?.code)));
            let (Some((part, code)), Some(span)) = (code, s.pos) else { continue };
            let bad = |why: String| Error::Trial(format!("'{s}': {why}"));
            let pos = span.indices(task.pos()).map_err(bad)?.start;
            let coded = |input: usize| code.encode(&wanted.value(part, input, pos)?);
            let to = match &i.operation {
                Operation::Set { values } => Some(values.clone()),
                Operation::Interchange { input } => coded(*input),
                _ => None,
            };
            let (Some(to), Some(own)) = (to, coded(row.input)) else { continue };
            let site = self.subject.runner.site(&s.site)?;
            let places = super::sites::Places::new(s, site)?;
            let Some(&(_, start)) = places.starts.first() else { continue };
            let clean = self.subject.runner.clean(&s.site)?;
            let there = places.coordinates(&clean.row(row.input)[start..]);
            let values = there.iter().zip(to).zip(own).map(|((x, b), a)| x + b - a).collect();
            i.operation = Operation::Set { values };
        }
        Ok(out)
    }

    /// Runs rows on the network and compares every output with its prediction.
    fn compare(&mut self, act: Act, rows: Vec<Row>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let scene = self.stage.scene(self.subject, self.explanation.access());
        let said = predict(self.explanation, &scene, &rows)?;
        let got = match self.ground.exact() {
            true => self.subject.runner.run(&rows)?,
            false => {
                let exchanged: Vec<Row> =
                    rows.iter().map(|r| self.exchanged(r)).collect::<Result<_, _>>()?;
                self.subject.runner.run(&exchanged)?
            }
        };
        let exact = self.ground.exact();
        let within = self.ground.options.within * self.scale;
        let c = &mut self.compared;
        match act {
            Act::Clean => c.clean += rows.len(),
            Act::Set => c.sets += rows.len(),
            Act::Interchange => c.interchanges += rows.len(),
            Act::Pair => c.pairs += rows.len(),
        }
        if act != Act::Clean {
            self.check.runs += rows.len();
        }
        for ((row, p), y) in rows.iter().zip(&said).zip(got) {
            let y = self.subject.task.reading(row.input, &y);
            let said = self.stage.read(self.subject, row.input, p);
            let own = &self.clean[row.input];
            // Declining says "no effect".
            let declined = said.is_none();
            let output = said.or_else(|| match act {
                Act::Clean => None,
                _ => Some(own.clone()),
            });
            let clean_said = self.predicted[row.input].as_ref();
            self.compared.abstained += usize::from(declined);
            self.check.comparisons += 1;
            let mut worst = if output.is_none() { f64::INFINITY } else { 0f64 };
            let (mut moved, mut error, mut effect) = (false, 0f64, 0f64);
            if let Some(output) = &output {
                for (k, (y, s)) in y.iter().zip(output).enumerate() {
                    let d = f64::from(y - s).abs();
                    worst = if d.is_nan() { f64::INFINITY } else { worst.max(d) };
                    let e = f64::from(y - own[k]);
                    moved |= e.abs() > within;
                    // The clean output is free: effects are compared.
                    let base = match (declined, clean_said) {
                        (false, Some(c)) => c[k],
                        _ => own[k],
                    };
                    let off = e - f64::from(s - base);
                    error += off * off;
                    effect += e * e;
                }
            }
            if act != Act::Clean {
                self.compared.effective += usize::from(moved);
                self.compared.squared_error += error;
                self.compared.squared_effect += effect;
            }
            if worst.is_finite() {
                let relative = worst / self.scale;
                self.check.largest_error = self.check.largest_error.max(relative);
            }
            let wrong = match (exact, &output) {
                (true, _) => worst > within,
                (false, Some(said)) => !self.decided(said, &y),
                (false, None) => true,
            };
            if wrong {
                let (ground, subject) = (self.ground, self.subject);
                self.check.fail(|| Counterexample {
                    claim: "the program predicts the outputs".into(),
                    input: ground.words(subject.task, row.input),
                    place: words(ground, subject.task, row),
                    wanted: match declined {
                        true => "declined, which counts as no effect".into(),
                        false => super::sites::shown(output.as_deref().unwrap_or(&[])),
                    },
                    got: super::sites::shown(&y),
                });
            }
        }
        Ok(())
    }
}

/// A row's interventions for people.
fn words(ground: &Ground, task: &Task, row: &Row) -> String {
    use flyroom_network::Target;
    let one = |i: &Intervention| {
        let place = match &i.target {
            Target::Site(s) => s.to_string(),
            Target::Edges(e) => e.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", "),
            Target::Weight(s) => s.to_string(),
        };
        let what = match &i.operation {
            Operation::Set { values } => format!("set to {}", super::sites::shown(values)),
            Operation::Interchange { input } => {
                format!("as in {}", ground.words(task, *input).join(" "))
            }
            Operation::Zero => "zero".into(),
            Operation::Mean => "mean".into(),
            Operation::Add { input, factor } => format!("{factor} times input {input} added"),
        };
        format!("{place} {what}")
    };
    match row.interventions.is_empty() {
        true => "no intervention".into(),
        false => row.interventions.iter().map(one).collect::<Vec<_>>().join("; "),
    }
}
