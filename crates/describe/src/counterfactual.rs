//! What a hypothesis says the network would answer if one of its variables had another value.
//!
//! A [`Pair`] takes a variable's value at one place of one input to one place of another, or its values at all
//! places to the same places, and asks the program for the answers. One place tells places apart;
//! all at once is what a program answers whose values at single places must agree (one key is 0). [`Outcomes`] turns a value that the program says into outputs: the
//! network's mean output where the program says it. So classes and numbers are treated alike, and
//! nothing is asked of the network that it never does.

use crate::Error;
use crate::candidate::{Candidate, positions};
use crate::hypothesis::Hypothesis;
use flyroom_explanation::Value;
use flyroom_explanation::rasp::{Interpreter, Overrides, Trace};
use flyroom_organism::Subject;
use flyroom_tensor::random::Generator;

/// Draws for each pair that is wanted, at most.
const DRAWS: usize = 24;

/// The outputs of a network by the value that a program says, as the task compares them.
pub(crate) struct Outcomes {
    values: Vec<Value>,
    /// `[value, column]`.
    means: Vec<f64>,
    /// The column of each value, where values have columns.
    columns: Option<Vec<usize>>,
    width: usize,
}

/// An exchange and what the program says behind it.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub input: usize,
    pub source: usize,
    /// (position, position of the source) of everything that is exchanged.
    pub places: Vec<(usize, usize)>,
    /// For each position that counts: (position, answer, whether it is another than before).
    pub said: Vec<(usize, usize, bool)>,
}

impl Outcomes {
    /// Of what the program says on the inputs of a hypothesis.
    pub fn new(subject: &Subject, h: &Hypothesis) -> Result<Self, Error> {
        let (task, width) = (subject.task, subject.task.columns);
        let logits = subject.runner.logits()?;
        let (mut values, mut sums, mut counts) = (vec![], vec![], vec![]);
        for (input, trace) in &h.traces {
            let outputs = task.reading(*input, logits.row(*input));
            for (pos, row) in task.read_positions(*input).zip(outputs.chunks_exact(width)) {
                let Some(value) = said(h, trace, pos) else { continue };
                let at = values.iter().position(|v: &Value| v.same(value)).unwrap_or_else(|| {
                    values.push(value.clone());
                    sums.extend(vec![0.0; width]);
                    counts.push(0.0);
                    values.len() - 1
                });
                counts[at] += 1.0;
                let sum = &mut sums[at * width..(at + 1) * width];
                sum.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(*x));
            }
        }
        for (sum, n) in sums.chunks_exact_mut(width.max(1)).zip(&counts) {
            sum.iter_mut().for_each(|s| *s /= n);
        }
        let column = |v: &Value| {
            let code = h.readout.code.encode(v)?;
            let hot = code.iter().position(|x| *x == 1.0)?;
            h.readout.columns.as_ref()?.get(hot).copied()
        };
        let columns = values.iter().map(column).collect();
        Ok(Self { values, means: sums, columns, width })
    }

    /// The answer that a value is.
    fn index(&self, value: &Value) -> Option<usize> {
        self.values.iter().position(|v| v.same(value))
    }

    /// The mean output of an answer, a number for each column.
    pub fn mean(&self, answer: usize) -> &[f64] {
        &self.means[answer * self.width..(answer + 1) * self.width]
    }

    /// The answer of an output: that of the highest column, or the nearest mean.
    pub fn of(&self, output: &[f64]) -> usize {
        let rank = |answer: &usize| match &self.columns {
            Some(columns) => -output[columns[*answer]],
            None => {
                let pairs = output.iter().zip(self.mean(*answer));
                pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
            }
        };
        (0..self.values.len()).min_by(|a, b| rank(a).total_cmp(&rank(b))).unwrap_or(0)
    }
}

/// What a program says at a position, if it is one value.
fn said<'t>(h: &Hypothesis, trace: &'t Trace, pos: usize) -> Option<&'t Value> {
    let value = trace.output().get(h.program.index(pos)?)?;
    (!matches!(value, Value::None | Value::Unknown | Value::Mixture(_))).then_some(value)
}

/// Draws pairs of a variable among some of the hypothesis' inputs (numbers of its traces): up to `count`,
/// on half of which some answer becomes another. None if the program never says anything else.
pub(crate) fn pairs(
    subject: &Subject,
    h: &Hypothesis,
    outcomes: &Outcomes,
    variable: &Candidate,
    among: &[usize],
    count: usize,
    g: &mut Generator,
) -> Result<Vec<Pair>, Error> {
    let (task, places) = (subject.task, positions(subject, h));
    let interpreter = Interpreter::new(&h.program)?;
    let (mut moved, mut still) = (vec![], vec![]);
    if among.is_empty() || places.is_empty() {
        return Ok(vec![]);
    }
    let one = |g: &mut Generator, n: usize| g.below(n as u64) as usize;
    for draw in 0..DRAWS * count {
        if moved.len() >= count / 2 && still.len() >= count / 2 {
            break;
        }
        let (base, source) = (among[one(g, among.len())], among[one(g, among.len())]);
        let exchanged: Vec<(usize, usize)> = if draw.is_multiple_of(2) {
            vec![(one(g, places.len()), one(g, places.len()))]
        } else {
            (0..places.len()).map(|p| (p, p)).collect()
        };
        let mut set = Overrides::none();
        let mut same = true;
        let complete = exchanged.iter().all(|&(p, q)| {
            let value = |k: usize, p: usize| variable.of[k * places.len() + p];
            let (own, other) = (value(base, p), value(source, q));
            let (Some(other), Some(index)) =
                (other.filter(|_| own.is_some()), h.program.index(places[p]))
            else {
                return false;
            };
            same &= own == Some(other);
            let value = variable.values[other].clone();
            set = std::mem::take(&mut set).set(&variable.name, index, value);
            true
        });
        if !complete || same && still.len() >= count / 2 {
            continue;
        }
        let (input, before) = &h.traces[base];
        let ids = task.inputs.token_row(*input);
        let skip = usize::from(h.program.bos).min(ids.len());
        let tokens: Option<Vec<Value>> =
            ids[skip..].iter().map(|&t| task.vocabulary.get(t as usize).cloned()).collect();
        let Some(Ok(after)) = tokens.map(|t| interpreter.run(&t, &set)) else { continue };
        let answer = |trace: &Trace, pos: usize| outcomes.index(said(h, trace, pos)?);
        let each = task.read_positions(*input).map(|pos| {
            let now = answer(&after, pos)?;
            Some((pos, now, answer(before, pos)? != now))
        });
        let Some(said) = each.collect::<Option<Vec<_>>>() else { continue };
        let kind = if said.iter().any(|s| s.2) { &mut moved } else { &mut still };
        if kind.len() < count / 2 {
            let places = exchanged.iter().map(|&(p, q)| (places[p], places[q])).collect();
            kind.push(Pair { input: *input, source: h.traces[source].0, places, said });
        }
    }
    if moved.is_empty() {
        return Ok(vec![]);
    }
    moved.extend(still);
    Ok(moved)
}
