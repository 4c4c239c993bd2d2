//! Networks that learn from drawn examples: what all families of trained organisms share.
//!
//! A family ([`Lesson`]) says what an example is, on which set a network is judged, and what is true of
//! it. The loop, the loss, the null of shuffled labels, stopping and going on, and the usual numbers
//! are the same for all of them ([`Learned`]). The parameters of a family are one flat list: its own,
//! with those of a transformer ([`Form`]) and of its training ([`Schedule`]) beside them.
//!
//! | file | holds |
//! |---|---|
//! | this one | [`Lesson`], [`Learned`], [`Example`] |
//! | `lesson/form.rs` | the sizes of a transformer |
//! | `lesson/schedule.rs` | AdamW with a warm-up and a cool-down |

mod form;
mod schedule;

pub(crate) use form::Form;
pub(crate) use schedule::Schedule;

use crate::organism::{as_parameters, typed};
use crate::progress_measures::ProgressMeasures;
use crate::task::accuracy_and_loss;
use crate::train::{Batch, Nursery, Training, init};
use crate::{Answers, Bred, Distance, Entry, Error, Organism, Parameters, Task, Truth};
use flyroom_explanation::Value as Meaning;
use flyroom_network::{Architecture, Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Graph, Stream, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::Range;

/// Clean inputs that a point of the learning curve sees, at most.
const PROBED: usize = 128;

/// What stands at the beginning of an example.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// Tokens, `[pos]`.
    Tokens(Vec<u32>),
    /// One vector, `[d_in]`, or a sequence of them, `[pos, d_in]`.
    Vector(Vec<f32>),
}

/// One example of a lesson.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// What the network reads.
    pub input: Input,
    /// What it should answer, `[pos]` classes or `[pos, d_out]` values, in the lesson's window.
    pub answers: Answers,
    /// Whether an answer counts, `[pos]` in the lesson's window.
    pub counts: Vec<bool>,
}

/// The evaluation set of sequences of one length whose last position alone is answered, with the
/// class of each.
pub(crate) fn answered_last(
    domain: String,
    rows: &[Vec<u32>],
    answer: impl Fn(&[u32]) -> u32,
    partner: Vec<usize>,
    columns: usize,
    vocabulary: Vec<Meaning>,
) -> Result<Task, String> {
    let inputs = Inputs::tokens(rows).map_err(|e| e.to_string())?;
    let pos = inputs.pos();
    let places = 0..rows.len() * pos;
    let last = |i: usize| i % pos == pos - 1;
    let class = |i: usize| if last(i) { answer(&rows[i / pos]) } else { 0 };
    Ok(Task {
        domain,
        exhaustive: false,
        inputs,
        clean: rows.len(),
        partner,
        reads: places.clone().map(last).collect(),
        answers: Answers::Classes(places.map(class).collect()),
        d_out: columns,
        columns,
        distance: Distance::CentredLogits,
        vocabulary,
        modulus: None,
    })
}

/// What one family of trained organisms brings.
pub(crate) trait Lesson:
    std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// How it is trained.
    fn schedule(&self) -> &Schedule;

    /// The network; sizes that make no sense are errors with the way out.
    fn architecture(&self) -> Result<Architecture, String>;

    /// Standard deviation of every matrix at the start.
    fn init_scale(&self) -> f32;

    /// Tokens or vectors of an example.
    fn pos(&self) -> usize;

    /// Positions whose answers may count, of an example of `pos` tokens.
    fn window(&self, pos: usize) -> Range<usize> {
        0..pos
    }

    /// `rows` examples of one length.
    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example>;

    /// The loss with what else is asked of the network while it is trained.
    fn besides(&self, g: &mut Graph, loss: Value) -> Result<Value, flyroom_tensor::Error> {
        let _ = g;
        Ok(loss)
    }

    /// The evaluation set, the same for every seed, at its full length or at another one.
    fn task(&self, length: Option<usize>) -> Result<Task, String>;

    /// What is known of a trained specimen.
    fn truth(&self, network: &Network, cx: &Context) -> Result<Truth, Error>;

    /// What a point of the learning curve holds besides.
    fn progress(
        &self,
        task: &Task,
        network: &Network,
        cx: &Context,
    ) -> Result<BTreeMap<String, f64>, Error> {
        let _ = (task, network, cx);
        Ok(BTreeMap::new())
    }

    /// What follows a training by what is located in the finished network.
    fn progress_measures(
        &self,
        task: Task,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Option<Box<dyn ProgressMeasures>>, Error> {
        let _ = (task, finished, seed, cx);
        Ok(None)
    }

    /// Numbers besides accuracy and loss, or besides squared errors.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let _ = (task, network, cx);
        Ok(Parameters::new())
    }
}

/// The organism of a lesson under one of its names.
#[derive(Debug)]
pub(crate) struct Learned<L> {
    /// What the registry says.
    pub entry: Entry,
    /// Its standard parameters.
    pub lesson: fn() -> L,
}

impl<L: Lesson> Learned<L> {
    fn bad(&self, why: String) -> Error {
        Error::Parameters { organism: self.entry.name.into(), why }
    }

    fn lesson(&self, parameters: &Parameters) -> Result<L, Error> {
        let lesson: L = typed(self.entry.name, parameters)?;
        lesson.schedule().check().map_err(|why| self.bad(why))?;
        Ok(lesson)
    }
}

/// The batch of step `t`, whose answers may have changed places.
fn batch<L: Lesson>(lesson: &L, seed: u64, t: usize) -> Batch {
    let schedule = lesson.schedule();
    let rows = lesson.draw(&mut Stream::new(seed, "data").block(t as u64), schedule.batch);
    let counted: Vec<bool> = rows.iter().flat_map(|r| r.counts.iter().copied()).collect();
    let places: Vec<usize> = (0..counted.len()).filter(|&i| counted[i]).collect();
    let mut theirs: Vec<usize> = (0..counted.len()).collect();
    if schedule.shuffle_labels {
        let mut shuffled = places.clone();
        Stream::new(seed, "shuffle").block(t as u64).shuffle(&mut shuffled);
        places.iter().zip(shuffled).for_each(|(&i, j)| theirs[i] = j);
    }
    let share = 1.0 / places.len().max(1) as f32;
    let share = |i: usize| if counted[i] { share } else { 0.0 };
    let mut out = Batch::default();
    let (mut tokens, mut vectors) = (vec![], vec![]);
    let (mut classes, mut values) = (vec![], vec![]);
    for row in rows {
        match row.input {
            Input::Tokens(t) => {
                out.pos = Some(t.len());
                tokens.extend(t);
            }
            Input::Vector(v) => vectors.extend(v),
        }
        match row.answers {
            Answers::Classes(c) => classes.extend(c),
            Answers::Values(v) => values.extend(v),
        }
    }
    match tokens.is_empty() {
        true => out.real.push(("input".into(), vectors)),
        false => out.index.push(("tokens", tokens)),
    }
    if values.is_empty() {
        out.index.push(("targets", theirs.iter().map(|&i| classes[i]).collect()));
        out.real.push(("counts".into(), (0..counted.len()).map(share).collect()));
    } else {
        let d = values.len() / counted.len().max(1);
        let of = |i: usize| values[i * d..(i + 1) * d].iter().copied();
        out.real.push(("targets".into(), theirs.iter().flat_map(|&i| of(i)).collect()));
        let each = |i: usize| std::iter::repeat_n(share(i), d);
        out.real.push(("counts".into(), (0..counted.len()).flat_map(each).collect()));
    }
    out
}

/// Cross-entropy of classes, or squared error of vectors, in the mean over the answers that count.
pub(crate) fn loss(
    g: &mut Graph,
    outputs: Value,
    classes: bool,
    window: Range<usize>,
) -> Result<Value, flyroom_tensor::Error> {
    let mut outputs = outputs;
    if let [_, pos, _] = *g.shape(outputs)
        && window != (0..pos)
    {
        outputs = g.slice(outputs, 1, window.start, window.len())?;
    }
    let shape = g.shape(outputs).to_vec();
    let each = if classes {
        let targets = g.index_input("targets", &shape[..shape.len() - 1]);
        g.cross_entropy(outputs, targets)?
    } else {
        let targets = g.input("targets", &shape);
        let off = g.sub(outputs, targets)?;
        g.mul(off, off)?
    };
    let shape = g.shape(each).to_vec();
    let counts = g.input("counts", &shape);
    let counted = g.mul(each, counts)?;
    g.sum(counted)
}

/// Accuracy and loss of classes; of values the squared error, summed over columns, in the mean over
/// answers, beside that of their mean alone.
pub(crate) fn scores(task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
    let Answers::Values(wanted) = &task.answers else {
        return accuracy_and_loss(task, network, cx);
    };
    let outputs = Runner::new(network, &task.inputs, cx)?.logits()?;
    let (pos, d) = (task.pos(), task.d_out);
    let (mut error, mut square, mut n) = (0f64, 0f64, 0usize);
    let mut total = vec![0f64; task.columns];
    for i in 0..task.clean {
        for p in task.read_positions(i) {
            let at = (i * pos + p) * d;
            for (c, sum) in total.iter_mut().enumerate() {
                let (x, w) = (f64::from(outputs.data()[at + c]), f64::from(wanted[at + c]));
                error += (x - w) * (x - w);
                square += w * w;
                *sum += w;
            }
            n += 1;
        }
    }
    let n = n.max(1) as f64;
    let of_mean = square / n - total.iter().map(|s| s * s).sum::<f64>() / (n * n);
    Ok(Parameters::from_iter([
        ("squared_error".into(), json!(error / n)),
        ("squared_error_of_mean".into(), json!(of_mean)),
    ]))
}

impl<L: Lesson> Organism for Learned<L> {
    fn entry(&self) -> Entry {
        self.entry.clone()
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&(self.lesson)())
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let lesson = self.lesson(parameters)?;
        let schedule = lesson.schedule();
        let architecture = lesson.architecture().map_err(|why| self.bad(why))?;
        let task = self.task(parameters, None)?;
        let probed = task.restricted(&(0..task.clean.min(PROBED)).collect::<Vec<_>>());
        let classes = matches!(task.answers, Answers::Classes(_));
        let pos = lesson.pos();
        let training = Training {
            organism: self.entry.name,
            seed,
            architecture: &architecture,
            batch: schedule.batch,
            pos,
            steps: schedule.steps,
            optimizer: &|t| schedule.adamw(t),
            data: &|t| batch(&lesson, seed, t),
            loss: &|g, outputs| {
                let pos = match *g.shape(outputs) {
                    [_, pos, _] => pos,
                    _ => 1,
                };
                let answers = loss(g, outputs, classes, lesson.window(pos))?;
                lesson.besides(g, answers)
            },
            probe_every: (schedule.steps / 20).max(1),
            probe: &|network| {
                let mut numbers = scores(&probed, network, cx)?;
                numbers.remove("loss");
                numbers.remove("squared_error_of_mean");
                let all = numbers.into_iter().filter_map(|(k, v)| Some((k, v.as_f64()?)));
                let mut point: BTreeMap<_, _> = all.collect();
                point.extend(lesson.progress(&task, network, cx)?);
                Ok(point)
            },
        };
        let first = init(&architecture, lesson.init_scale(), seed)?;
        let (network, curve) = training.run(first, cx, nursery)?;
        let truth = match schedule.shuffle_labels {
            true => Truth::nothing(),
            false => lesson.truth(&network, cx)?,
        };
        Ok(Bred { network, curve, truth })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let lesson = self.lesson(parameters)?;
        lesson.architecture().map_err(|why| self.bad(why))?;
        lesson.task(length).map_err(|why| self.bad(why))
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let task = self.task(parameters, None)?;
        let mut out = scores(&task, network, cx)?;
        out.extend(self.lesson(parameters)?.measure(&task, network, cx)?);
        Ok(out)
    }

    fn progress_measures(
        &self,
        parameters: &Parameters,
        finished: &Network,
        seed: u64,
        cx: &Context,
    ) -> Result<Option<Box<dyn ProgressMeasures>>, Error> {
        let task = self.task(parameters, None)?;
        self.lesson(parameters)?.progress_measures(task, finished, seed, cx)
    }
}
