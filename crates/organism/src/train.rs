//! Training, one step after another, with checkpoints that resume bit for bit.
//!
//! Step t draws its batch from block t of a stream, so a checkpoint is step, weights and moments
//! and holds no generator. The curve travels with it. What is trained is a network's weights, or
//! whatever else it is made of ([`Trained`]).

use crate::Error;
use flyroom_network::{
    Architecture, Network, RawTensor, Weights, read_safetensors, record, write_safetensors,
};
use flyroom_tensor::kernel::Data;
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::{Context, Graph, Program, Stream, Tensor, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

/// Where checkpoints lie and who is told of progress.
pub struct Nursery<'a> {
    /// Folder of checkpoints; `None` keeps none.
    pub checkpoints: Option<PathBuf>,
    /// Steps between checkpoints.
    pub every: usize,
    /// Told (step, steps) now and then; returning false stops after a checkpoint.
    pub progress: &'a (dyn Fn(usize, usize) -> bool + Sync),
    /// Who is shown the network on its way; what it sees changes nothing.
    pub watch: Option<Watch<'a>>,
}

/// Looks at a network while it is trained.
pub struct Watch<'a> {
    /// Steps between looks; the last step is seen too.
    pub every: usize,
    /// Shown the steps taken and the network.
    pub at: &'a (dyn Fn(usize, &Network) -> Result<(), Error> + Sync),
}

impl Nursery<'_> {
    /// No checkpoints, no progress.
    pub fn none() -> Nursery<'static> {
        Nursery { checkpoints: None, every: usize::MAX, progress: &|_, _| true, watch: None }
    }
}

/// One point of a learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps taken.
    pub step: usize,
    /// Values by name, `loss` among them.
    pub values: BTreeMap<String, f64>,
}

/// What is trained: tensors by name, of which a network is made.
pub trait Trained {
    /// Records the network on `batch` inputs of `pos` tokens, with a parameter for each tensor, and
    /// returns the outputs.
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Value, Error>;

    /// The network that trained tensors make.
    fn network(&self, trained: Weights) -> Result<Network, Error>;
}

/// A network's own weights.
impl Trained for Architecture {
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Value, Error> {
        Ok(record(g, self, batch, pos, flyroom_network::Form::Plain)?)
    }

    fn network(&self, trained: Weights) -> Result<Network, Error> {
        Ok(Network::new(self.clone(), trained)?)
    }
}

/// The inputs and targets of one step.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Tokens of a row, if not those of the run.
    pub pos: Option<usize>,
    /// Index leaves.
    pub index: Vec<(&'static str, Vec<u32>)>,
    /// Real leaves.
    pub real: Vec<(String, Vec<f32>)>,
}

/// Adds the loss to the recorded forward pass, given the logits.
pub type Loss<'a> = &'a dyn Fn(&mut Graph, Value) -> Result<Value, flyroom_tensor::Error>;

/// Values worth a point of the curve, besides the loss.
pub type Probe<'a> = &'a dyn Fn(&Network) -> Result<BTreeMap<String, f64>, Error>;

/// A training run.
pub struct Training<'a> {
    /// For errors.
    pub organism: &'a str,
    /// For errors.
    pub seed: u64,
    /// What is trained.
    pub architecture: &'a dyn Trained,
    /// Rows of a batch.
    pub batch: usize,
    /// Tokens of a row where the batch does not say; 1 for vectors.
    pub pos: usize,
    /// Steps in all.
    pub steps: usize,
    /// Settings of the optimiser at step t (from 1).
    pub optimizer: &'a dyn Fn(usize) -> AdamW,
    /// Draws the batch of step t (from 1).
    pub data: &'a dyn Fn(usize) -> Batch,
    /// The loss.
    pub loss: Loss<'a>,
    /// Steps between points of the curve.
    pub probe_every: usize,
    /// What else a point holds.
    pub probe: Probe<'a>,
}

struct State {
    step: usize,
    weights: Weights,
    first: Weights,
    second: Weights,
    curve: Vec<CurvePoint>,
}

impl Training<'_> {
    /// Trains from `init`, or from the nursery's checkpoint.
    pub fn run(
        &self,
        init: Weights,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<(Network, Vec<CurvePoint>), Error> {
        let (trained, curve) = self.tensors(init, cx, nursery)?;
        Ok((self.architecture.network(trained)?, curve))
    }

    /// The same, before they are made a network.
    pub fn tensors(
        &self,
        init: Weights,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<(Weights, Vec<CurvePoint>), Error> {
        let names: Vec<String> = init.keys().cloned().collect();
        // One program for each length of rows.
        let mut programs = BTreeMap::from([(self.pos, self.program(self.pos, &names)?)]);
        let zeros = || init.iter().map(|(n, t)| (n.clone(), Tensor::zeros(t.shape()))).collect();
        let mut state = match &nursery.checkpoints {
            Some(dir) if dir.join(CHECKPOINT).exists() => load(&dir.join(CHECKPOINT), &init)?,
            _ => State { step: 0, first: zeros(), second: zeros(), weights: init, curve: vec![] },
        };
        while state.step < self.steps {
            let t = state.step + 1;
            let batch = (self.data)(t);
            let program = match programs.entry(batch.pos.unwrap_or(self.pos)) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(place) => {
                    let program = self.program(*place.key(), &names)?;
                    place.insert(program)
                }
            };
            let weights = &state.weights;
            program.run_from(cx, &|name| {
                let index = || batch.index.iter().find(|(n, _)| *n == name);
                let real = || batch.real.iter().find(|(n, _)| n == name);
                let weight = weights.get(name).map(|w| Data::Real(w.data()));
                weight
                    .or_else(|| index().map(|(_, x)| Data::Index(x)))
                    .or_else(|| real().map(|(_, x)| Data::Real(x)))
            })?;
            let value = program.output(names.len())[0];
            if !value.is_finite() {
                return Err(Error::Diverged {
                    organism: self.organism.into(),
                    seed: self.seed,
                    step: t,
                    loss: value,
                });
            }
            if state.step.is_multiple_of(self.probe_every) {
                self.point(&mut state, value)?;
            }
            self.show(&state, nursery)?;
            let settings = (self.optimizer)(t);
            let moments = state.first.values_mut().zip(state.second.values_mut());
            for (i, (w, (m, v))) in state.weights.values_mut().zip(moments).enumerate() {
                let g = program.output(i);
                settings.step(cx, t as u64, w.data_mut(), g, m.data_mut(), v.data_mut());
            }
            state.step = t;
            if t == self.steps {
                self.point(&mut state, value)?;
                self.show(&state, nursery)?;
            }
            let go_on = (nursery.progress)(t, self.steps);
            if let Some(dir) = &nursery.checkpoints
                && (t.is_multiple_of(nursery.every) || !go_on)
                && t < self.steps
            {
                save(dir, &state)?;
            }
            if !go_on && t < self.steps {
                return Err(Error::Format {
                    path: nursery.checkpoints.clone().unwrap_or_default(),
                    why: format!("stopped at step {t}; run the same command again to go on"),
                });
            }
        }
        Ok((state.weights, state.curve))
    }

    /// Gradients of all tensors, then the loss, on rows of `pos` tokens.
    fn program(&self, pos: usize, names: &[String]) -> Result<Program, Error> {
        let mut g = Graph::new();
        let logits = self.architecture.record(&mut g, self.batch, pos)?;
        let loss = (self.loss)(&mut g, logits)?;
        // A loss on one position trains no others.
        let (mut g, loss) = g.narrowed(&[loss])?;
        let loss = loss[0];
        let parameters = names.iter().map(|n| g.at(n)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = g.gradient(loss, &parameters)?;
        outputs.push(loss);
        Ok(Program::compile(&g, &outputs)?)
    }

    fn point(&self, state: &mut State, loss: f32) -> Result<(), Error> {
        let network = self.architecture.network(state.weights.clone())?;
        let mut values = (self.probe)(&network)?;
        values.insert("loss".into(), f64::from(loss));
        state.curve.push(CurvePoint { step: state.step, values });
        Ok(())
    }

    fn show(&self, state: &State, nursery: &Nursery) -> Result<(), Error> {
        let Some(watch) = &nursery.watch else { return Ok(()) };
        if !state.step.is_multiple_of(watch.every.max(1)) && state.step < self.steps {
            return Ok(());
        }
        (watch.at)(state.step, &self.architecture.network(state.weights.clone())?)
    }
}

/// Weights to start from: every matrix normal with deviation `scale`, from a stream of its own; weights
/// of norms 1, biases 0.
pub fn init(architecture: &Architecture, scale: f32, seed: u64) -> Result<Weights, Error> {
    let draw = |(name, shape): (String, Vec<usize>)| {
        let mut t = Tensor::zeros(&shape);
        match name.rsplit('.').next() {
            Some("w") => t.data_mut().fill(1.0),
            Some(n) if n.starts_with('b') => {}
            _ => {
                Stream::new(seed, &format!("init/{name}")).block(0).fill_normal(t.data_mut(), scale)
            }
        }
        (name, t)
    };
    Ok(Network::parameters(architecture)?.into_iter().map(draw).collect())
}

const CHECKPOINT: &str = "checkpoint.safetensors";

fn save(dir: &Path, state: &State) -> Result<(), Error> {
    let format = |why: String| Error::Format { path: dir.into(), why };
    std::fs::create_dir_all(dir).map_err(|e| format(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (prefix, set) in [("w", &state.weights), ("m", &state.first), ("v", &state.second)] {
        for (n, t) in set {
            tensors.insert(format!("{prefix}/{n}"), RawTensor::from_tensor(t));
        }
    }
    let curve = serde_json::to_string(&state.curve).map_err(|e| format(e.to_string()))?;
    let metadata = BTreeMap::from([
        ("step".to_string(), state.step.to_string()),
        ("curve".to_string(), curve),
    ]);
    Ok(write_safetensors(&dir.join(CHECKPOINT), &tensors, &metadata)?)
}

fn load(path: &Path, like: &Weights) -> Result<State, Error> {
    let bad = |why: &str| Error::Format {
        path: path.into(),
        why: format!("{why}; hint: delete this file to breed from the start"),
    };
    let (tensors, metadata) = read_safetensors(path)?;
    let set = |prefix: &str| -> Result<Weights, Error> {
        like.iter()
            .map(|(n, t)| {
                let found = tensors
                    .get(&format!("{prefix}/{n}"))
                    .and_then(RawTensor::to_tensor)
                    .filter(|x| x.shape() == t.shape())
                    .ok_or_else(|| bad(&format!("no tensor '{prefix}/{n}' of the right shape")))?;
                Ok((n.clone(), found))
            })
            .collect()
    };
    let step = metadata.get("step").and_then(|s| s.parse().ok());
    let curve = metadata.get("curve").and_then(|s| serde_json::from_str(s).ok());
    Ok(State {
        step: step.ok_or_else(|| bad("no step in the header"))?,
        curve: curve.ok_or_else(|| bad("no curve in the header"))?,
        weights: set("w")?,
        first: set("m")?,
        second: set("v")?,
    })
}
