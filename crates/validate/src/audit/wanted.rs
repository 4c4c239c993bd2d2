//! What an explanation says that its parts hold, input by input.

use crate::Error;
use flyroom_explanation::rasp::{Interpreter, Overrides, Program, Trace};
use flyroom_explanation::{Body, Explanation, Part, Value};
use flyroom_organism::Task;

/// The values of all parts on the clean inputs of a task.
pub(crate) enum Wanted<'a> {
    /// A program's variables, one trace for each input.
    Rasp(&'a Program, Vec<Trace>),
    /// Operands a and b of each input, and where they stand; vectors hold both as one-hots.
    Operands(Vec<[i64; 2]>, Option<[usize; 2]>),
}

impl<'a> Wanted<'a> {
    /// Fails for an input on which the program cannot be run; `None` for bodies whose parts have
    /// no values.
    pub fn new(e: &'a Explanation, task: &Task) -> Result<Option<Self>, Error> {
        match &e.body {
            Body::Rasp { program, .. } => {
                let interpreter = Interpreter::new(program)?;
                let mut traces = Vec::with_capacity(task.clean);
                for input in 0..task.clean {
                    let ids = task.inputs.token_row(input);
                    let skip = usize::from(program.bos).min(ids.len());
                    let tokens = ids[skip..]
                        .iter()
                        .map(|&t| {
                            task.vocabulary.get(t as usize).cloned().unwrap_or(Value::Unknown)
                        })
                        .collect::<Vec<_>>();
                    traces.push(interpreter.run(&tokens, &Overrides::none())?);
                }
                Ok(Some(Self::Rasp(program, traces)))
            }
            Body::Cosines(c) => {
                let at = c.operands;
                let mut out = Vec::with_capacity(task.clean);
                for input in 0..task.clean {
                    let ids = task.inputs.token_row(input);
                    let vector = task.inputs.vector_row(input);
                    let half = vector.len() / 2;
                    let hot = |x: &[f32]| x.iter().position(|&v| v == 1.0).map(|i| i as i64);
                    let both = if vector.is_empty() {
                        at.map(|p| ids.get(p).map(|&t| i64::from(t)))
                    } else {
                        [hot(&vector[..half]), hot(&vector[half..])]
                    };
                    let [Some(a), Some(b)] = both else {
                        return Err(Error::Trial(format!("input {input} has no two operands")));
                    };
                    out.push([a, b]);
                }
                let tokens = task.inputs.vector_row_len().is_none();
                Ok(Some(Self::Operands(out, tokens.then_some(at))))
            }
            Body::Circuit { .. } | Body::Whole | Body::Snapshot => Ok(None),
        }
    }

    /// The value of a part at a position of the network; `None` where it has none there.
    pub fn value(&self, part: &Part, input: usize, pos: usize) -> Option<Value> {
        match self {
            Self::Rasp(program, traces) => {
                traces[input].get(&part.name)?.get(program.index(pos)?).cloned()
            }
            Self::Operands(values, places) => {
                let which = match places {
                    Some(places) => places.iter().position(|&p| p == pos)?,
                    None => half(part)?,
                };
                Some(Value::Int(values[input][which]))
            }
        }
    }
}

/// In which half of a vector of two one-hots a part lies.
fn half(part: &Part) -> Option<usize> {
    let basis = part.alignments.first()?.selector.basis.as_ref()?;
    let inside = |operand: usize| {
        basis.iter().all(|q| {
            let (a, b) = q.split_at(q.len() / 2);
            [b, a][operand].iter().all(|x| x.abs() < 1e-6)
        })
    };
    (0..2).find(|&o| inside(o))
}
