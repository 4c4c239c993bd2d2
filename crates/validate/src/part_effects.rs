//! What happens when a part of an explanation is intervened on: parts of every kind, asked alike.
//!
//! *Questions.* Some clean inputs of the task, the same for all specimens of it, each asked twice: what
//! the part carries is replaced by what it carries on the input's corrupted partner, and by its own
//! at shifted positions. Inputs of one length leave what depends on length alone as it is, and a
//! partner leaves positions as they are; the shift moves those. Positions at which all inputs are
//! the same, BOS for one, stay.
//!
//! | part | how it is intervened on | access |
//! |---|---|---|
//! | edge of a circuit | patched on the specimen (Goldowsky-Dill et al. 2023) | open |
//! | latent of a dictionary | its code exchanged at all positions, the rest of the site left | open |
//! | variable of a program | set in the program, which says the output (Geiger et al. 2021) | closed |
//!
//! Ablation to zero or the mean is no question here: a program has no value for it.

use crate::Error;
use crate::audit::written_by;
use crate::distance::{Effects, NOISE, PartEffect};
use flyroom_decompose::{Dictionary, positions};
use flyroom_explanation::rasp::{Interpreter, Override, Overrides, Trace};
use flyroom_explanation::{Body, Explanation, Value};
use flyroom_network::{Axis, Edge, Inputs, Intervention, Operation, Row, Selector, Sender};
use flyroom_organism::{Subject, Task};
use flyroom_tensor::{Stream, Tensor};
use std::collections::BTreeMap;

/// Inputs that are asked about.
pub const INPUTS: usize = 48;

/// Rows that run together.
const TOGETHER: usize = 4096;

/// The questions that all parts of all explanations of a task are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    /// Clean inputs.
    inputs: Vec<usize>,
    /// Positions at which inputs differ, ascending.
    free: Vec<usize>,
}

impl Questions {
    /// Those of a task: equal tasks have equal ones.
    pub fn new(task: &Task) -> Self {
        let mut inputs =
            Stream::new(0, "part effects").block(0).choose(task.clean, task.clean.min(INPUTS));
        inputs.sort_unstable();
        let free = match &task.inputs {
            Inputs::Tokens { .. } => {
                let first = task.inputs.token_row(0);
                let differs =
                    |p: &usize| (0..task.clean).any(|i| task.inputs.token_row(i)[*p] != first[*p]);
                (0..task.pos()).filter(differs).collect()
            }
            Inputs::Vectors { .. } => vec![],
        };
        Self { inputs, free }
    }

    /// Whether positions can be shifted.
    fn shifts(&self) -> bool {
        self.free.len() > 1
    }

    /// Where question number `j` takes what belongs to a position.
    fn source(&self, j: usize, pos: usize) -> usize {
        let m = self.free.len();
        match self.free.iter().position(|&p| p == pos) {
            Some(at) if m > 1 => self.free[(at + 1 + j % (m - 1)) % m],
            _ => pos,
        }
    }

    /// `[pos, width]` with positions shifted.
    fn shifted(&self, j: usize, values: &[f32], width: usize) -> Vec<f32> {
        let pos = values.len() / width.max(1);
        (0..pos)
            .flat_map(|p| {
                let from = self.source(j, p);
                values[from * width..(from + 1) * width].iter().copied()
            })
            .collect()
    }
}

/// A specimen that is asked.
pub struct Asked<'s, 'a> {
    subject: &'s Subject<'a>,
    questions: Questions,
    /// Comparable outputs of each input.
    clean: Vec<Vec<f32>>,
    floor: f64,
}

impl<'s, 'a> Asked<'s, 'a> {
    /// Runs the specimen on the inputs of the questions.
    pub fn new(subject: &'s Subject<'a>) -> Result<Self, Error> {
        let questions = Questions::new(subject.task);
        let logits = subject.runner.logits()?;
        let read = |&i: &usize| subject.task.reading(i, logits.row(i));
        let clean: Vec<Vec<f32>> = questions.inputs.iter().map(read).collect();
        let squares: f64 = clean.iter().flatten().map(|&y| f64::from(y) * f64::from(y)).sum();
        let times = if questions.shifts() { 2.0 } else { 1.0 };
        let floor = NOISE * (times * squares).sqrt();
        Ok(Self { subject, questions, clean, floor })
    }

    /// An explanation's parts as a distribution; those shorter than [`NOISE`] of the clean outputs
    /// are dropped.
    pub fn effects(&self, parts: Vec<PartEffect>) -> Effects {
        Effects::new(parts, self.floor)
    }

    /// Length below which an effect is noise.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// The outputs alone, as one part: all that somebody sees who looks at no inside.
    pub fn outputs(&self) -> Vec<PartEffect> {
        let effect = self.clean.iter().flatten().map(|&y| f64::from(y)).collect();
        vec![PartEffect { name: "output".into(), effect }]
    }

    /// What the change of an output from clean is, in order of inputs.
    fn changes(&self, outputs: &[Vec<f32>]) -> Vec<f64> {
        let inputs = self.questions.inputs.iter().zip(&self.clean).zip(outputs);
        let change = |((&i, clean), y): ((&usize, &Vec<f32>), &Vec<f32>)| -> Vec<f64> {
            let read = self.subject.task.reading(i, y);
            read.iter().zip(clean).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect()
        };
        inputs.flat_map(change).collect()
    }

    /// Effects of parts, each asked by rows in the order of the questions.
    fn run(&self, parts: Vec<(String, Vec<Row>)>) -> Result<Vec<PartEffect>, Error> {
        let mut out = vec![];
        let each = parts.first().map_or(1, |p| p.1.len()).max(1);
        for parts in parts.chunks((TOGETHER / each).max(1)) {
            let rows: Vec<Row> = parts.iter().flat_map(|p| p.1.iter().cloned()).collect();
            let outputs = self.subject.runner.run(&rows)?;
            for ((name, _), outputs) in parts.iter().zip(outputs.chunks(each)) {
                let asked = outputs.chunks(self.clean.len().max(1));
                let effect = asked.flat_map(|y| self.changes(y)).collect();
                out.push(PartEffect { name: name.clone(), effect });
            }
        }
        Ok(out)
    }

    /// Edges, patched on the specimen.
    pub fn edges(&self, edges: &[Edge]) -> Result<Vec<PartEffect>, Error> {
        let runner = &self.subject.runner;
        let mut written: BTreeMap<(Sender, usize), Vec<f32>> = BTreeMap::new();
        let mut parts = vec![];
        for &edge in edges {
            let row = |input: usize, operation| Row {
                input,
                interventions: vec![Intervention::edges(vec![edge], operation)],
            };
            let partner =
                |&i: &usize| row(i, Operation::Interchange { input: self.subject.task.partner[i] });
            let mut rows: Vec<Row> = self.questions.inputs.iter().map(partner).collect();
            if self.questions.shifts() {
                for (j, &i) in self.questions.inputs.iter().enumerate() {
                    let values = match written.get(&(edge.from, i)) {
                        Some(values) => values.clone(),
                        None => {
                            let (own, width) = written_by(runner, edge.from, i)?;
                            let values = self.questions.shifted(j, &own, width);
                            written.insert((edge.from, i), values.clone());
                            values
                        }
                    };
                    rows.push(row(i, Operation::Set { values }));
                }
            }
            parts.push((edge.to_string(), rows));
        }
        self.run(parts)
    }

    /// Latents of a dictionary, at the positions from which dictionaries learn.
    pub fn latents(&self, dictionary: &Dictionary) -> Result<Vec<PartEffect>, Error> {
        let runner = &self.subject.runner;
        let site = runner.site(&dictionary.site)?;
        let (pos, width) = (site.axis_len(Axis::Pos).unwrap_or(1), dictionary.d_in());
        if site.size() != pos * width {
            return Err(Error::Trial(format!(
                "{} holds {} numbers at {pos} positions, a dictionary of {width} does not fit",
                dictionary.site,
                site.size()
            )));
        }
        let kept = positions(self.subject, &dictionary.site)?;
        let cx = &self.subject.context;
        let n = dictionary.n_latents();
        // Activations and codes `[input, pos]` of the inputs and of their partners.
        let coded = |inputs: &[usize]| -> Result<(Tensor, Tensor), Error> {
            let mut x = vec![];
            for &i in inputs {
                x.extend(runner.clean_row(&dictionary.site, i)?);
            }
            let x = Tensor::new(&[inputs.len() * pos, width], x)
                .map_err(flyroom_network::Error::from)?;
            let z = dictionary.encode(&x, cx)?;
            Ok((x, z))
        };
        let partners: Vec<usize> =
            self.questions.inputs.iter().map(|&i| self.subject.task.partner[i]).collect();
        let (x, z) = coded(&self.questions.inputs)?;
        let (_, theirs) = coded(&partners)?;
        let own = dictionary.decode_as(&z, &x, cx)?;
        let shifted: Vec<f32> = z
            .data()
            .chunks(pos * n)
            .enumerate()
            .flat_map(|(j, z)| self.questions.shifted(j, z, n))
            .collect();
        let mut sources = vec![theirs.data().to_vec()];
        if self.questions.shifts() && pos > 1 {
            sources.push(shifted);
        }
        let mut parts = vec![];
        for k in 0..n {
            let mut rows = vec![];
            for source in &sources {
                let mut changed = z.clone();
                let cells = changed.data_mut().iter_mut().zip(source).enumerate();
                for (at, (z, s)) in cells.filter(|(at, _)| at % n == k) {
                    if kept.contains(&(at / n % pos)) {
                        *z = *s;
                    }
                }
                let y = dictionary.decode_as(&changed, &x, cx)?;
                let moved = x.data().iter().zip(y.data()).zip(own.data());
                let values: Vec<f32> = moved.map(|((x, y), o)| x + (y - o)).collect();
                let inputs = self.questions.inputs.iter().zip(values.chunks(pos * width));
                rows.extend(inputs.map(|(&input, values)| Row {
                    input,
                    interventions: vec![Intervention::site(
                        Selector::site(dictionary.site.clone()),
                        Operation::Set { values: values.to_vec() },
                    )],
                }));
            }
            parts.push((format!("latent {k}"), rows));
        }
        self.run(parts)
    }

    /// Variables of a program, set in the program itself. Where it does not say what the output is,
    /// there is no effect.
    pub fn variables(&self, explanation: &Explanation) -> Result<Vec<PartEffect>, Error> {
        let Body::Rasp { program, readout } = &explanation.body else {
            return Err(Error::Trial("only a program has variables that can be set".into()));
        };
        let task = self.subject.task;
        let interpreter = Interpreter::new(program)?;
        let first = usize::from(program.bos);
        let words = |input: usize| -> Vec<Value> {
            let ids = task.inputs.token_row(input).iter().skip(first);
            ids.map(|&t| task.vocabulary.get(t as usize).cloned().unwrap_or(Value::Unknown))
                .collect()
        };
        let read = |input: usize, trace: &Trace| -> Option<Vec<f32>> {
            let mut counted = vec![];
            for p in task.read_positions(input) {
                let code = readout.code.encode(trace.output().get(program.index(p)?)?)?;
                counted.extend((0..task.columns).map(|c| {
                    let at = match &readout.columns {
                        Some(columns) => columns.iter().position(|&x| x == c),
                        None => Some(c),
                    };
                    at.and_then(|i| code.get(i)).map_or(0.0, |x| readout.scale * x)
                }));
            }
            Some(task.comparable(counted))
        };
        let mut out: Vec<PartEffect> = explanation
            .parts
            .iter()
            .map(|p| PartEffect { name: p.name.clone(), effect: vec![] })
            .collect();
        let times = if self.questions.shifts() { 2 } else { 1 };
        for time in 0..times {
            for (j, &input) in self.questions.inputs.iter().enumerate() {
                let own = words(input);
                let clean = interpreter.run(&own, &Overrides::none())?;
                let said = read(input, &clean).unwrap_or_default();
                let source = match time {
                    0 => interpreter.run(&words(task.partner[input]), &Overrides::none())?,
                    _ => clean.clone(),
                };
                for part in &mut out {
                    let values = source.get(&part.name).unwrap_or_default();
                    let mut set = Overrides::none();
                    for index in 0..own.len().min(values.len()) {
                        let from = match time {
                            0 => index,
                            _ => self.questions.source(j, index + first).saturating_sub(first),
                        };
                        let Some(value) = values.get(from).cloned() else { continue };
                        let variable = part.name.clone();
                        set.push(Override { variable, index, value, readers: None });
                    }
                    // Nor where it has no meaning for what is set together.
                    let then = interpreter.run(&own, &set).ok();
                    let then = then.and_then(|t| read(input, &t)).unwrap_or_else(|| said.clone());
                    let change = then.iter().zip(&said).map(|(a, b)| f64::from(*a) - f64::from(*b));
                    part.effect.extend(change);
                }
            }
        }
        Ok(out)
    }
}
