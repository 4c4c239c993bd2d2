//! Program: setting and exchanging variables does to the outputs what the program says.
//!
//! *Measures*, on all inputs, the outputs that count, clean, with one variable at one position set to
//! each value of its domain or exchanged with another input's, and with two variables set; and
//! compares each with the explanation's prediction. The skill is 1 - sum of squared errors of the
//! predicted effect / sum of squared effects: 1 is exact, 0 is what "no effect" reaches; a
//! prediction that is declined counts as "no effect" (Geiger et al. 2021; METRICS: effect skill
//! against the one trivial predictor that no exam can leak to). *Control*: the same program with
//! its description changed (its first selection negated, every cosine turned) must not reach .9.
//!
//! *Out of domain.* Variables set to values of their domains can together be what no run shows: two
//! positions of one index, a number of 0 to divide by. What is computed from that has no value in
//! the program, and the network does there what nobody claims. Such an output is open: neither
//! right nor wrong, and all other outputs of the run are compared. So that no program hides behind
//! it, at most [`MOST_OPEN`] of the outputs that setting or exchanging a variable touches may be
//! open, for each variable by itself. Clean outputs must have values, and the control is not
//! excused: what it leaves open counts as "no effect".

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

/// Share of the outputs touched by setting or exchanging one variable (moved, or left open by the
/// program) that may be open.
///
/// An output that compares two letters of V, or looks one up, has no value where two keys are
/// selected at once, unless they hold the same letter: that is one case in V. Vocabularies that are
/// run exhaustively have ten letters at most. A variable of which less than a tenth is decided has
/// not been put to the network.
pub const MOST_OPEN: f64 = 0.9;

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
    /// Runs with an output that is out of the program's domain.
    #[serde(default)]
    pub out_of_domain: usize,
    /// Variables that leave outputs open when they are set or exchanged alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenVariable>,
    /// Whether clean runs and sets were made on all inputs.
    pub exhaustive: bool,
    /// 1 - squared error / squared effect; `None` where nothing has an effect.
    pub skill: Option<f64>,
}

/// What setting or exchanging one variable touches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenVariable {
    /// Its name.
    pub variable: String,
    /// Outputs that moved and were compared.
    pub decided: usize,
    /// Outputs that have no value in the program.
    pub open: usize,
    /// Open of all that is touched.
    pub share: f64,
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
            out_of_domain: 0,
            open: vec![],
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
    out_of_domain: usize,
    /// For each variable, outputs that moved and were compared, and outputs left open.
    touched: Vec<[usize; 2]>,
    /// The first run of each variable that left an output open.
    first_open: Vec<Option<Counterexample>>,
    squared_error: f64,
    squared_effect: f64,
}

impl Compared {
    fn new(variables: usize) -> Self {
        Self {
            touched: vec![[0; 2]; variables],
            first_open: vec![None; variables],
            ..Self::default()
        }
    }

    fn join(&mut self, o: Self) {
        self.clean += o.clean;
        self.sets += o.sets;
        self.interchanges += o.interchanges;
        self.pairs += o.pairs;
        self.effective += o.effective;
        self.abstained += o.abstained;
        self.out_of_domain += o.out_of_domain;
        for (own, [decided, open]) in self.touched.iter_mut().zip(o.touched) {
            *own = [own[0] + decided, own[1] + open];
        }
        for (own, first) in self.first_open.iter_mut().zip(o.first_open) {
            *own = own.take().or(first);
        }
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
            jobs.push(Job { task, inputs, kind: Kind::Singles, excused: true });
        }
    }
    if variables.len() + usize::from(variables.iter().any(|v| v.positions.len() > 1)) > 1 {
        let seeds = ground.tasks.len();
        for (t, task) in ground.tasks.iter().enumerate() {
            let runs = ground.options.pair_runs / seeds;
            let inputs = spread(task.clean, TOGETHER);
            let kind = Kind::Pairs { runs, seed: t as u64 };
            jobs.push(Job { task, inputs, kind, excused: true });
        }
    }
    let exhaustive = ground.tasks.iter().all(|t| t.exhaustive && most(t) >= t.clean);
    let found = ground.each(jobs.len(), |j| jobs[j].run(ground, e))?;
    let (mut check, mut sum) = (Check::empty(), Compared::new(variables.len()));
    for (part, compared) in found {
        check.join(part);
        sum.join(compared);
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
    let mut check = check.concluded_within(ground.allowed());
    let open = open(variables, &sum);
    for (v, first) in open.iter().filter(|(v, _)| v.share > MOST_OPEN) {
        check.undecided(
            format!(
                "set or exchanged, '{}' leaves {:.1} % of the outputs that it touches out of the \
                 program's domain, more than {:.0} %: they are not decided",
                v.variable,
                100.0 * v.share,
                100.0 * MOST_OPEN
            ),
            first.cloned(),
        );
    }
    let open = open.into_iter().map(|(v, _)| v).collect();
    Ok(ProgramAudit {
        check,
        clean: sum.clean,
        sets: sum.sets,
        interchanges: sum.interchanges,
        pairs: sum.pairs,
        effective: sum.effective,
        abstained: sum.abstained,
        out_of_domain: sum.out_of_domain,
        open,
        exhaustive,
        skill,
    })
}

/// Variables that leave outputs open, each with its first such run.
fn open<'s>(
    variables: &[ExamVariable],
    sum: &'s Compared,
) -> Vec<(OpenVariable, Option<&'s Counterexample>)> {
    let all = variables.iter().zip(&sum.touched).zip(&sum.first_open);
    let one = |((v, &[decided, open]), first): ((&ExamVariable, &[usize; 2]), &'s Option<_>)| {
        let share = open as f64 / (decided + open).max(1) as f64;
        let of = OpenVariable { variable: v.name.clone(), decided, open, share };
        (of, first.as_ref())
    };
    all.map(one).filter(|(v, _)| v.open > 0).collect()
}

/// The skill of the program with its description changed, on some inputs of the full length.
fn control(ground: &Ground, e: &Explanation) -> Result<Option<Control>, Error> {
    let (Some(wrong), Some(task)) = (misdescribed(e), ground.tasks.last()) else {
        return Ok(None);
    };
    let inputs = spread(task.clean, CONTROL_INPUTS);
    let job = Job { task, inputs, kind: Kind::Singles, excused: false };
    let (check, compared) = job.run(ground, &wrong)?;
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
    /// Whether what leaves the program's domain is open; otherwise it counts as "no effect".
    excused: bool,
}

/// What was done in a run; single variables by their number.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Clean,
    Set(usize),
    Interchange(usize),
    Pair,
}

/// What is said of the outputs of a run.
struct Said {
    /// Outputs that count; the clean ones where nothing is said.
    output: Vec<f32>,
    /// For each position that counts whether it is open; empty where none is.
    open: Vec<bool>,
}

impl Job<'_> {
    fn run(&self, ground: &Ground, e: &Explanation) -> Result<(Check, Compared), Error> {
        let task = self.task.restricted(&self.inputs);
        let subject = Subject::new(ground.specimen, &task, &ground.alone())?;
        let mut examiner = Examiner::new(ground, &subject, e, self.excused)?;
        let variables = &ground.truth.variables;
        let n = task.clean;
        match self.kind {
            Kind::Singles => {
                let clean = (0..n).map(|input| Row { input, interventions: vec![] }).collect();
                examiner.compare(Act::Clean, clean)?;
                let mut g = Stream::new(0, "audit/interchanges").block(task.pos() as u64);
                for (number, v) in variables.iter().enumerate() {
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
                            examiner.compare(Act::Set(number), rows(&mut |_| values()))?;
                        }
                        if n > 1 {
                            let exchanged = rows(&mut |input| Operation::Interchange {
                                input: (input + 1 + g.below(n as u64 - 1) as usize) % n,
                            });
                            examiner.compare(Act::Interchange(number), exchanged)?;
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

/// Runs in which two variables, or one at two positions, are set to values of their domains, or
/// exchanged where they cannot be set, the earlier first.
fn pairs(variables: &[ExamVariable], task: &Task, runs: usize, g: &mut Generator) -> Vec<Row> {
    let mut places: Vec<(usize, usize)> = vec![];
    for (v, variable) in variables.iter().enumerate() {
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
                let operation = match values.is_empty() {
                    true => Operation::Interchange { input: one(g, task.clean) },
                    false => Operation::Set { values: values[one(g, values.len())].clone() },
                };
                Intervention::site(place(&variables[v], task, p), operation)
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
    /// As in [`Job`].
    excused: bool,
    check: Check,
    compared: Compared,
}

impl<'s, 'a> Examiner<'s, 'a> {
    fn new(
        ground: &'s Ground<'s>,
        subject: &'s Subject<'a>,
        explanation: &'s Explanation,
        excused: bool,
    ) -> Result<Self, Error> {
        let task = subject.task;
        let logits = subject.runner.logits()?;
        let clean: Vec<Vec<f32>> =
            (0..task.clean).map(|i| task.reading(i, logits.row(i))).collect();
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
            excused,
            check: Check::empty(),
            compared: Compared::new(ground.truth.variables.len()),
        })
    }

    /// What is said of rows. Where the whole output of a row has no value in the program, each of its
    /// positions is asked for by itself. `None` where the explanation has no word for the row.
    fn said(&self, act: Act, rows: &[Row]) -> Result<Vec<Option<Said>>, Error> {
        let access = self.explanation.access();
        let stage = &self.stage;
        let all = predict(self.explanation, &stage.scene(self.subject, access), rows)?;
        let excused = self.excused && act != Act::Clean;
        let left: Vec<usize> =
            (0..rows.len()).filter(|&i| excused && all[i].out_of_domain()).collect();
        let mut out: Vec<Option<Said>> = rows
            .iter()
            .zip(&all)
            .map(|(row, p)| {
                let output = stage.read(self.subject, row.input, p)?;
                Some(Said { output, open: vec![] })
            })
            .collect();
        if left.is_empty() {
            return Ok(out);
        }
        let task = self.subject.task;
        for &i in &left {
            let input = rows[i].input;
            let positions = task.read_positions(input).count();
            out[i] = Some(Said { output: self.clean[input].clone(), open: vec![true; positions] });
        }
        let asked: Vec<Row> = left.iter().map(|&i| rows[i].clone()).collect();
        for pos in 0..task.pos() {
            let stage = stage.at(pos);
            let said = predict(self.explanation, &stage.scene(self.subject, access), &asked)?;
            for (&i, p) in left.iter().zip(&said) {
                let input = rows[i].input;
                let place = task.read_positions(input).position(|p| p == pos);
                let read = stage.read(self.subject, input, p);
                if let (Some(at), Some(y), Some(said)) = (place, read, &mut out[i]) {
                    said.output[at * task.columns..][..y.len()].copy_from_slice(&y);
                    said.open[at] = false;
                }
            }
        }
        Ok(out)
    }

    /// Whether outputs say what is predicted: the largest of each position, or the nearest number that
    /// the program knows. Between outputs of which the prediction prefers neither there is no decision,
    /// nor where it is open; a control that prefers nothing at all is not right for that.
    fn decided(&self, said: &Said, got: &[f32]) -> bool {
        let columns = self.subject.task.columns.max(1);
        let equal = (self.ground.options.within * self.ground.scale) as f32;
        let largest = |x: &[f32]| (0..x.len()).fold(0, |b, i| if x[i] > x[b] { i } else { b });
        // As large as the largest, up to rounding: a mixture of two letters decides for neither.
        let preferred = |s: &[f32], i: usize| s[i] >= s[largest(s)] - equal;
        let off = |i: usize, x: f32| (self.numbers[i] - x).abs();
        let nearest =
            |x: f32| (0..self.numbers.len()).min_by(|&i, &j| off(i, x).total_cmp(&off(j, x)));
        // Half way between two numbers both are nearest.
        let near = |s: f32, y: f32| match (nearest(s), nearest(y)) {
            (Some(own), Some(got)) => off(got, s) <= off(own, s) + equal,
            _ => true,
        };
        said.output.chunks(columns).zip(got.chunks(columns)).enumerate().all(|(at, (s, y))| {
            said.open.get(at) == Some(&true)
                || match columns {
                    1 => y[0].is_finite() && near(s[0], y[0]),
                    _ => {
                        let flat = (0..columns).all(|i| preferred(s, i));
                        preferred(s, largest(y)) && (self.excused || !flat)
                    }
                }
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
        let said = self.said(act, &rows)?;
        let got = match self.ground.exact() {
            true => self.subject.runner.run(&rows)?,
            false => {
                let exchanged: Vec<Row> =
                    rows.iter().map(|r| self.exchanged(r)).collect::<Result<_, _>>()?;
                self.subject.runner.run(&exchanged)?
            }
        };
        let c = &mut self.compared;
        match act {
            Act::Clean => c.clean += rows.len(),
            Act::Set(_) => c.sets += rows.len(),
            Act::Interchange(_) => c.interchanges += rows.len(),
            Act::Pair => c.pairs += rows.len(),
        }
        if act != Act::Clean {
            self.check.runs += rows.len();
        }
        for ((row, said), y) in rows.iter().zip(said).zip(got) {
            let y = self.subject.task.reading(row.input, &y);
            self.compare_one(act, row, said, &y);
        }
        Ok(())
    }

    fn compare_one(&mut self, act: Act, row: &Row, said: Option<Said>, y: &[f32]) {
        let exact = self.ground.exact();
        let within = self.ground.options.within * self.ground.scale;
        let moves = self.ground.moves() * self.ground.scale;
        let columns = self.subject.task.columns.max(1);
        let own = &self.clean[row.input];
        // Declining says "no effect".
        let declined = said.is_none();
        let said = said.or_else(|| match act {
            Act::Clean => None,
            _ => Some(Said { output: own.clone(), open: vec![] }),
        });
        self.compared.abstained += usize::from(declined);
        let open = |at: usize| said.as_ref().is_some_and(|s| s.open.get(at) == Some(&true));
        let any_open = said.as_ref().is_some_and(|s| s.open.contains(&true));
        if any_open {
            self.compared.out_of_domain += 1;
        }
        if let Act::Set(v) | Act::Interchange(v) = act {
            for (at, (y, own)) in y.chunks(columns).zip(own.chunks(columns)).enumerate() {
                let moved = || y.iter().zip(own).any(|(y, o)| f64::from((y - o).abs()) > moves);
                if open(at) || moved() {
                    self.compared.touched[v][usize::from(open(at))] += 1;
                }
            }
            if any_open && self.compared.first_open[v].is_none() {
                self.compared.first_open[v] = Some(Counterexample {
                    claim: "the program says what the outputs are".into(),
                    input: self.ground.words(self.subject.task, row.input),
                    place: words(self.ground, self.subject.task, row),
                    wanted: "out of the program's domain".into(),
                    got: super::sites::shown(y),
                });
            }
        }
        if said.as_ref().is_some_and(|s| !s.open.is_empty() && s.open.iter().all(|&o| o)) {
            return;
        }
        let clean_said = self.predicted[row.input].as_ref();
        self.check.comparisons += 1;
        let mut worst = if said.is_none() { f64::INFINITY } else { 0f64 };
        let (mut moved, mut error, mut effect) = (false, 0f64, 0f64);
        if let Some(said) = &said {
            for (k, (y, s)) in y.iter().zip(&said.output).enumerate() {
                if open(k / columns) {
                    continue;
                }
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
            let relative = worst / self.ground.scale;
            self.check.largest_error = self.check.largest_error.max(relative);
        }
        let wrong = match (exact, &said) {
            (true, _) => worst > within,
            (false, Some(said)) => !self.decided(said, y),
            (false, None) => true,
        };
        if wrong {
            let (ground, subject) = (self.ground, self.subject);
            self.check.fail(|| Counterexample {
                claim: "the program predicts the outputs".into(),
                input: ground.words(subject.task, row.input),
                place: words(ground, subject.task, row),
                wanted: match (declined, &said) {
                    (false, Some(said)) => shown(said, columns),
                    _ => "declined, which counts as no effect".into(),
                },
                got: super::sites::shown(y),
            });
        }
    }
}

/// What is said of the outputs, for people: those that are not open.
fn shown(said: &Said, columns: usize) -> String {
    let open = |at: usize| said.open.get(at / columns) == Some(&true);
    let closed: Vec<f32> =
        said.output.iter().enumerate().filter(|(at, _)| !open(*at)).map(|(_, &y)| y).collect();
    let shown = super::sites::shown(&closed);
    let positions: Vec<String> =
        (0..said.open.len()).filter(|&at| said.open[at]).map(|at| (at + 1).to_string()).collect();
    match positions.is_empty() {
        true => shown,
        false => format!("{shown} (output {} of those that count is open)", positions.join(", ")),
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
