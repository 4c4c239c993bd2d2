//! Which program answers as a network does.
//!
//! A hypothesis is a RASP program with the columns of the output in which its values stand. Nothing but
//! inputs and outputs of the network is looked at: of several programs that answer alike the first with
//! the fewest variables is taken, whatever the network does. `agreement` is the share of outputs that
//! count on which the column with the highest logit is the value's own, or for numbers the share of
//! their variance that a line through them explains.

use crate::Error;
use flyroom_explanation::rasp::{Interpreter, Overrides, Program, Script, Trace};
use flyroom_explanation::{Code, Readout, Value};
use flyroom_organism::{Answers, Subject, rasp};
use flyroom_tensor::Tensor;
use std::collections::BTreeMap;

/// Agreement from which on a program answers as the network does.
pub const AGREES: f64 = 0.99;

/// Inputs that are looked at, at most.
const INPUTS: usize = 512;

/// A program that answers as the network does.
pub(crate) struct Hypothesis {
    pub program: Program,
    pub readout: Readout,
    /// Clean inputs, evenly spread, with what the program computes on each.
    pub traces: Vec<(usize, Trace)>,
}

/// One output that counts: its row of logits, and the program's value.
type Output<'a> = (&'a [f32], &'a Value);

impl Hypothesis {
    /// The program of a text, or where it is empty the best of the library.
    pub fn new(subject: &Subject, text: &str, method: &'static str) -> Result<Self, Error> {
        let not_here = |why: String| Error::NotApplicable { method, why };
        if subject.task.vocabulary.is_empty() {
            return Err(not_here("a program reads tokens".into()));
        }
        let logits = subject.runner.logits()?;
        if !text.trim().is_empty() {
            let script: Script = text
                .parse()
                .map_err(|e| Error::Parameters { method: method.into(), why: format!("{e}") })?;
            return match Self::of(subject, &logits, script.program)? {
                (agreement, Some(hypothesis)) if agreement >= AGREES => Ok(hypothesis),
                (agreement, _) => Err(not_here(format!(
                    "the program answers as the network does on {agreement:.3} of the outputs, less than {AGREES}"
                ))),
            };
        }
        let mut best: Option<Self> = None;
        for (_, text) in rasp::library() {
            let Ok(script) = text.parse::<Script>() else { continue };
            let shorter = |b: &Self| script.program.variables.len() < b.program.variables.len();
            if !reads(subject, &script) || !best.as_ref().is_none_or(shorter) {
                continue;
            }
            if let (agreement, Some(found)) = Self::of(subject, &logits, script.program)?
                && agreement >= AGREES
            {
                best = Some(found);
            }
        }
        best.ok_or_else(|| not_here("no program of the library answers as the network does".into()))
    }

    /// A program with its agreement; without a readout where its values have no columns.
    fn of(
        subject: &Subject,
        logits: &Tensor,
        program: Program,
    ) -> Result<(f64, Option<Self>), Error> {
        let task = subject.task;
        let interpreter = Interpreter::new(&program)?;
        let step = task.clean.div_ceil(INPUTS).max(1);
        let mut traces = vec![];
        for input in (0..task.clean).step_by(step) {
            let ids = task.inputs.token_row(input);
            let skip = usize::from(program.bos).min(ids.len());
            let value = |&t: &u32| task.vocabulary.get(t as usize).cloned();
            let tokens: Option<Vec<Value>> = ids[skip..].iter().map(value).collect();
            let trace = interpreter.run(&tokens.unwrap_or_default(), &Overrides::none());
            let Ok(trace) = trace else { return Ok((0.0, None)) };
            traces.push((input, trace));
        }
        let mut outputs: Vec<Output> = vec![];
        for (input, trace) in &traces {
            for pos in task.read_positions(*input) {
                let Some(value) = program.index(pos).and_then(|i| trace.output().get(i)) else {
                    return Ok((0.0, None));
                };
                let row = &logits.data()[(input * task.pos() + pos) * task.d_out..];
                outputs.push((&row[..task.columns], value));
            }
        }
        let (agreement, readout) = match &task.answers {
            Answers::Classes(_) => classes(&outputs),
            Answers::Values(_) => numbers(&outputs),
        };
        Ok((agreement, readout.map(|readout| Self { program, readout, traces })))
    }
}

/// Whether the tokens of the task, but for the one before every sequence, are those of a script.
fn reads(subject: &Subject, script: &Script) -> bool {
    let task = subject.task;
    let seen = (0..task.clean).flat_map(|i| task.inputs.token_row(i).iter().skip(1));
    let mut seen: Vec<u32> = seen.copied().collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len() == script.vocabulary.len()
        && seen.iter().all(|&t| {
            let value = task.vocabulary.get(t as usize);
            value.is_some_and(|v| script.vocabulary.contains(v))
        })
}

/// Each value's column is the one that is highest most often where the program says that value.
fn classes(outputs: &[Output]) -> (f64, Option<Readout>) {
    let mut counts: BTreeMap<&Value, Vec<usize>> = BTreeMap::new();
    for (row, value) in outputs {
        let best = (0..row.len()).fold(0, |b, i| if row[i] > row[b] { i } else { b });
        counts.entry(value).or_insert_with(|| vec![0; row.len()])[best] += 1;
    }
    let most = |n: &[usize]| (0..n.len()).fold(0, |b, i| if n[i] > n[b] { i } else { b });
    let columns: Vec<usize> = counts.values().map(|n| most(n)).collect();
    let right: usize = counts.values().zip(&columns).map(|(n, c)| n[*c]).sum();
    let mut distinct = columns.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let agreement = right as f64 / outputs.len().max(1) as f64;
    if distinct.len() < columns.len() || columns.is_empty() {
        return (agreement, None);
    }
    let values: Vec<Value> = counts.into_keys().cloned().collect();
    // How far a value's own logit lies above the others.
    let mut height = 0.0;
    for (row, value) in outputs {
        let own = values.iter().position(|v| v == *value).map_or(0, |i| columns[i]);
        let others: f64 = row.iter().map(|&x| f64::from(x)).sum::<f64>() - f64::from(row[own]);
        height += f64::from(row[own]) - others / (row.len().max(2) - 1) as f64;
    }
    let scale = (height / outputs.len() as f64) as f32;
    (agreement, Some(Readout { code: Code::OneHot { values }, columns: Some(columns), scale }))
}

/// One column that holds scale * value + offset.
fn numbers(outputs: &[Output]) -> (f64, Option<Readout>) {
    let pair = |(row, value): &Output| Some((value.number()?, f64::from(*row.first()?)));
    let Some(pairs) = outputs.iter().map(pair).collect::<Option<Vec<_>>>() else {
        return (0.0, None);
    };
    let Some((scale, offset, explained)) = line(&pairs) else { return (0.0, None) };
    let code = Code::Scalar { scale: scale as f32, offset: offset as f32 };
    (explained, Some(Readout::new(code)))
}

/// Slope, offset and share of explained variance of the line y = slope x + offset; `None` where either
/// does not vary.
pub(crate) fn line(pairs: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let n = pairs.len().max(1) as f64;
    let mean = pairs.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let [xx, xy, yy] = pairs.iter().fold([0.0; 3], |[xx, xy, yy], p| {
        let (x, y) = (p.0 - mean.0, p.1 - mean.1);
        [xx + x * x, xy + x * y, yy + y * y]
    });
    (xx > 0.0 && yy > 0.0).then(|| (xy / xx, mean.1 - xy / xx * mean.0, xy * xy / (xx * yy)))
}
