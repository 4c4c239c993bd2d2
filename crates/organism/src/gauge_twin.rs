//! Gauge twins: another compiled organism, written in another way that computes the same.
//!
//! A good method says the same of both, since nothing but the writing differs. [`Move`] is one of six
//! ways: neurons and heads in another order, neurons and heads scaled, the residual stream turned, a
//! neuron split in two, dead neurons added, a layer inserted that writes nothing. All but the turn
//! change no bit of what is computed but the order of sums. The truth moves along
//! ([`Places`]): same parts, same program, same edges under their new names.
//!
//! ```
//! use flyroom_organism::{find, train::Nursery, with_defaults};
//! use flyroom_tensor::Context;
//! use serde_json::json;
//! let twin = find("gauge-twin")?;
//! let set = json!({ "of": "induction-compiled@aligned", "move": "insert-layer" });
//! let p = with_defaults(twin, set.as_object().unwrap())?;
//! let bred = twin.breed(&p, 0, &Context::single(), &Nursery::none())?;
//! assert_eq!(bred.network.architecture().transformer().unwrap().n_layers, 3);
//! assert_eq!(bred.truth.circuit.unwrap().len(), 8);
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

use crate::organism::typed;
use crate::places::Places;
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Gauge, Organism, Parameters, Source, Standing, Task, find, with_defaults,
};
use flyroom_network::{
    Activation, Architecture, Edge, Network, Norm, Receiver, Selector, Sender, TransformerConfig,
    Weights,
};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) const NAME: &str = "gauge-twin";

/// Dead neurons that are added to every layer.
const DEAD: usize = 4;

/// Standard deviation of weights that nothing reads or that write nothing.
const IDLE: f32 = 0.5;

/// A way to write a network anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Heads and neurons of a layer change places.
    Permute,
    /// What a ReLU neuron reads is multiplied by a power of two and what it writes divided by it;
    /// likewise values and outputs of a head, and its queries and keys.
    Rescale,
    /// The residual stream is turned.
    Rotate,
    /// A neuron of every layer becomes two, each of which writes half.
    SplitNeuron,
    /// Neurons that never fire are added to every layer.
    PadNeurons,
    /// A layer is inserted whose heads and neurons compute something and write nothing.
    InsertLayer,
}

impl Move {
    /// All six, with their names.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Permute, "permute"),
        (Self::Rescale, "rescale"),
        (Self::Rotate, "rotate"),
        (Self::SplitNeuron, "split-neuron"),
        (Self::PadNeurons, "pad-neurons"),
        (Self::InsertLayer, "insert-layer"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(m, _)| *m == self).map_or("", |(_, name)| name)
    }

    /// The network written anew, and where its places went. Random numbers come from `stream`.
    fn apply(self, network: &Network, stream: &Stream) -> Result<(Network, Moved), Error> {
        let c = network
            .architecture()
            .transformer()
            .ok_or_else(|| self.refuse("only a transformer is written anew"))?;
        let neurons = |relu: bool| match c.act_fn {
            _ if c.d_mlp == 0 => Err(self.refuse("it has no neurons")),
            _ if c.gated_mlp => Err(self.refuse("its neurons are gated")),
            Activation::Relu => Ok(()),
            _ if relu => Err(self.refuse("its neurons are not ReLU")),
            _ => Ok(()),
        };
        match self {
            Self::Permute => {
                let gauge = Gauge::reordered(c, stream);
                Ok((gauge.apply(network)?, Moved::Gauge(gauge)))
            }
            Self::Rotate if c.norm != Norm::None => {
                Err(self.refuse("a norm looks at the coordinates of its stream"))
            }
            Self::Rotate => {
                let gauge = Gauge::rotated(c, stream);
                Ok((gauge.apply(network)?, Moved::Gauge(gauge)))
            }
            Self::Rescale => Ok((rescaled(network, c, stream)?, Moved::Inside)),
            Self::SplitNeuron => {
                neurons(false)?;
                Ok((split(network, c, stream)?, Moved::Inside))
            }
            Self::PadNeurons => {
                neurons(true)?;
                Ok((padded(network, c, stream)?, Moved::Inside))
            }
            Self::InsertLayer => {
                let at = stream.block(0).below(c.n_layers as u64 + 1) as usize;
                Ok((inserted(network, c, at, stream)?, Moved::Layer { at }))
            }
        }
    }

    fn refuse(self, why: &str) -> Error {
        Error::Parameters {
            organism: NAME.into(),
            why: format!("move = '{}' is not possible: {why}", self.name()),
        }
    }
}

/// Where places went.
#[derive(Debug)]
enum Moved {
    Gauge(Gauge),
    /// Nothing outside the layers' insides.
    Inside,
    /// Layers from `at` on are one further.
    Layer {
        at: usize,
    },
}

impl Moved {
    fn layer(&self, layer: usize) -> usize {
        match self {
            Self::Layer { at } if layer >= *at => layer + 1,
            _ => layer,
        }
    }
}

impl Places for Moved {
    fn site(&self, site: &str) -> String {
        let renamed = || -> Option<String> {
            let (layer, hook) = site.strip_prefix("blocks.")?.split_once('.')?;
            Some(format!("blocks.{}.{hook}", self.layer(layer.parse().ok()?)))
        };
        renamed().unwrap_or_else(|| site.to_owned())
    }

    fn direction(&self, site: &str, direction: &[f32]) -> Vec<f32> {
        match self {
            Self::Gauge(g) => g.direction(site, direction),
            _ => direction.to_vec(),
        }
    }

    fn selector(&self, s: &Selector) -> Result<Selector, Error> {
        match self {
            Self::Gauge(g) => g.selector(s),
            // What is inside a layer has another scale and other neighbours.
            Self::Inside
                if ["hook_pre", "hook_post", "hook_q", "hook_k", "hook_v", "hook_z"]
                    .iter()
                    .any(|hook| s.site.ends_with(hook)) =>
            {
                Err(Error::Truth(format!("'{s}' lies inside a layer that is written anew")))
            }
            _ => Ok(Selector { site: self.site(&s.site), ..s.clone() }),
        }
    }

    fn edge(&self, e: Edge) -> Edge {
        if let Self::Gauge(g) = self {
            return g.edge(e);
        }
        let from = match e.from {
            Sender::Head(l, h) => Sender::Head(self.layer(l), h),
            Sender::Mlp(l) => Sender::Mlp(self.layer(l)),
            other => other,
        };
        let to = match e.to {
            Receiver::Query(l, h) => Receiver::Query(self.layer(l), h),
            Receiver::Key(l, h) => Receiver::Key(self.layer(l), h),
            Receiver::Value(l, h) => Receiver::Value(self.layer(l), h),
            Receiver::Mlp(l) => Receiver::Mlp(self.layer(l)),
            other => other,
        };
        Edge { from, to }
    }
}

/// A power of two between 1/8 and 8.
fn power(random: &mut Generator) -> f32 {
    f32::from([1u8, 2, 4, 8][random.below(4) as usize])
        / f32::from([1u8, 8][random.below(2) as usize])
}

fn rebuilt(network: &Network, c: TransformerConfig, weights: Weights) -> Result<Network, Error> {
    let mut out = Network::new(Architecture::Transformer(c), weights)?;
    out.extra.clone_from(&network.extra);
    Ok(out)
}

/// Multiplies the entries of a weight by what `factor` says of their coordinates along two axes.
fn scaled(weights: &mut Weights, name: &str, factor: impl Fn(&[usize]) -> f32) {
    let Some(t) = weights.get_mut(name) else { return };
    let shape = t.shape().to_vec();
    for (i, x) in t.data_mut().iter_mut().enumerate() {
        let mut rest = i;
        let mut at = vec![0; shape.len()];
        for (axis, n) in shape.iter().enumerate().rev() {
            at[axis] = rest % n;
            rest /= n;
        }
        *x *= factor(&at);
    }
}

/// `Move::Rescale`. Powers of two change no mantissa, so all logits keep their bits.
fn rescaled(network: &Network, c: &TransformerConfig, stream: &Stream) -> Result<Network, Error> {
    let mut weights = network.weights().clone();
    for l in 0..c.n_layers {
        let mut random = stream.block(l as u64);
        let name = |w: &str| format!("blocks.{l}.{w}");
        if c.act_fn == Activation::Relu && !c.gated_mlp {
            let by: Vec<f32> = (0..c.d_mlp).map(|_| power(&mut random)).collect();
            scaled(&mut weights, &name("mlp.W_in"), |at| by[at[1]]);
            scaled(&mut weights, &name("mlp.b_in"), |at| by[at[0]]);
            scaled(&mut weights, &name("mlp.W_out"), |at| 1.0 / by[at[0]]);
        }
        // Query heads that share a key head share its factor.
        let group = c.n_heads / c.n_kv_heads;
        let by: Vec<[f32; 2]> =
            (0..c.n_kv_heads).map(|_| [power(&mut random), power(&mut random)]).collect();
        for (w, up) in [("W_V", true), ("b_V", true), ("W_O", false)] {
            let head = |at: &[usize]| if up { at[0] } else { at[0] / group };
            scaled(&mut weights, &name(&format!("attn.{w}")), |at| {
                let by = by[head(at)][0];
                if up { by } else { 1.0 / by }
            });
        }
        for (w, key) in [("W_K", true), ("b_K", true), ("W_Q", false), ("b_Q", false)] {
            scaled(&mut weights, &name(&format!("attn.{w}")), |at| {
                if key { by[at[0]][1] } else { 1.0 / by[at[0] / group][1] }
            });
        }
    }
    rebuilt(network, c.clone(), weights)
}

/// A weight with `more` entries along one axis, which `value` gives (by old coordinates and number).
fn grown(
    t: &Tensor,
    axis: usize,
    more: usize,
    mut value: impl FnMut(&[usize], usize) -> f32,
) -> Result<Tensor, Error> {
    let shape = t.shape();
    let mut wider = shape.to_vec();
    wider[axis] += more;
    let inner: usize = shape[axis + 1..].iter().product();
    let (n, m) = (shape[axis], wider[axis]);
    let mut data = Vec::with_capacity(wider.iter().product());
    for i in 0..wider.iter().product::<usize>() {
        let (outer, at, rest) = (i / (inner * m), i / inner % m, i % inner);
        data.push(if at < n {
            t.data()[(outer * n + at) * inner + rest]
        } else {
            value(&[outer, rest], at - n)
        });
    }
    Ok(Tensor::new(&wider, data)?)
}

/// `Move::SplitNeuron`: one neuron of every layer writes half, and so does its new copy.
fn split(network: &Network, c: &TransformerConfig, stream: &Stream) -> Result<Network, Error> {
    let mut weights = network.weights().clone();
    for l in 0..c.n_layers {
        let unit = stream.block(l as u64).below(c.d_mlp as u64) as usize;
        let name = |w: &str| format!("blocks.{l}.mlp.{w}");
        scaled(&mut weights, &name("W_out"), |at| if at[0] == unit { 0.5 } else { 1.0 });
        for (w, axis) in [("W_in", 1), ("b_in", 0), ("W_out", 0)] {
            let Some(t) = weights.get(&name(w)) else { continue };
            let n = t.shape()[t.shape().len() - 1];
            let old = t.clone();
            let copy = grown(t, axis, 1, |at, _| match w {
                "W_in" => old.data()[at[0] * n + unit],
                "b_in" => old.data()[unit],
                _ => old.data()[unit * n + at[1]],
            })?;
            weights.insert(name(w), copy);
        }
    }
    rebuilt(network, TransformerConfig { d_mlp: c.d_mlp + 1, ..c.clone() }, weights)
}

/// `Move::PadNeurons`: neurons that read nothing above 0 and would write something.
fn padded(network: &Network, c: &TransformerConfig, stream: &Stream) -> Result<Network, Error> {
    let mut weights = network.weights().clone();
    for l in 0..c.n_layers {
        let mut random = stream.block(l as u64);
        for (w, axis) in [("W_in", 1), ("b_in", 0), ("W_out", 0)] {
            let name = format!("blocks.{l}.mlp.{w}");
            let Some(t) = weights.get(&name) else { continue };
            let more = grown(t, axis, DEAD, |_, _| match w {
                "W_in" => 0.0,
                "b_in" => -1.0,
                _ => IDLE * random.normal(),
            })?;
            weights.insert(name, more);
        }
    }
    rebuilt(network, TransformerConfig { d_mlp: c.d_mlp + DEAD, ..c.clone() }, weights)
}

/// `Move::InsertLayer` in front of layer `at`.
fn inserted(
    network: &Network,
    c: &TransformerConfig,
    at: usize,
    stream: &Stream,
) -> Result<Network, Error> {
    let moved = Moved::Layer { at };
    let mut weights: Weights =
        network.weights().iter().map(|(name, t)| (moved.site(name), t.clone())).collect();
    let c = TransformerConfig { n_layers: c.n_layers + 1, ..c.clone() };
    let mut random = stream.block(1);
    for (name, shape) in Network::parameters(&Architecture::Transformer(c.clone()))? {
        if weights.contains_key(&name) {
            continue;
        }
        let mut t = Tensor::zeros(&shape);
        let last = name.rsplit('.').next().unwrap_or("");
        match last {
            // What writes to the stream writes nothing.
            "W_O" | "b_O" | "W_out" | "b_out" => {}
            "w" => t.data_mut().fill(1.0),
            "b" => {}
            _ => random.fill_normal(t.data_mut(), IDLE),
        }
        weights.insert(name, t);
    }
    rebuilt(network, c, weights)
}

/// The organism: another one, written in another way.
#[derive(Debug)]
pub struct GaugeTwin;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Name of the other organism.
    of: String,
    /// Parameters of it that differ from its defaults.
    set: Parameters,
    /// How it is written anew.
    r#move: Move,
}

impl Settings {
    fn of(parameters: &Parameters) -> Result<(&'static dyn Organism, Parameters, Move), Error> {
        let s: Self = typed(NAME, parameters)?;
        let other = find(&s.of)?;
        if other.entry().source != Source::Compiled || s.of == NAME {
            return Err(Error::Parameters {
                organism: NAME.into(),
                why: format!("of = '{}' is not compiled; hint: flyroom list organisms", s.of),
            });
        }
        Ok((other, with_defaults(other, &s.set)?, s.r#move))
    }
}

impl Organism for GaugeTwin {
    fn entry(&self) -> Entry {
        Entry {
            name: NAME,
            version: 1,
            summary: "a compiled organism written in another way that computes the same",
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "0 s",
        }
    }

    fn defaults(&self) -> Parameters {
        Parameters::from_iter([
            ("of".to_string(), Json::from("induction-compiled")),
            ("set".to_string(), Json::Object(Parameters::new())),
            ("move".to_string(), Json::from(Move::Permute.name())),
        ])
    }

    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let (other, theirs, how) = Settings::of(parameters)?;
        let bred = other.breed(&theirs, seed, cx, nursery)?;
        let stream = Stream::new(seed, &format!("{NAME}/{}", how.name()));
        let (network, moved) = how.apply(&bred.network, &stream)?;
        Ok(Bred { network, truth: moved.truth(&bred.truth)?, curve: bred.curve })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let (other, theirs, _) = Settings::of(parameters)?;
        other.task(&theirs, length)
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let (other, theirs, _) = Settings::of(parameters)?;
        other.measure(&theirs, network, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::{Inputs, Runner};
    use serde_json::json;

    /// Random weights with everything that a move may touch.
    fn network(norm: Norm) -> Network {
        let mut c = TransformerConfig::plain(2, 12, 4, 7, 5);
        (c.n_kv_heads, c.d_mlp, c.norm, c.attn_bias) = (2, 10, norm, true);
        let a = Architecture::Transformer(c);
        let mut random = Stream::new(3, "gauge twin test").block(0);
        let weights = Network::parameters(&a).unwrap().into_iter().map(|(name, shape)| {
            let mut t = Tensor::zeros(&shape);
            random.fill_normal(t.data_mut(), 0.4);
            (name, t)
        });
        let weights = weights.collect();
        Network::new(a, weights).unwrap()
    }

    fn logits(n: &Network) -> Vec<f32> {
        let inputs =
            Inputs::tokens(&[vec![0, 1, 2, 3, 4], vec![6, 5, 4, 4, 0], vec![1, 1, 3, 2, 6]])
                .unwrap();
        Runner::new(n, &inputs, &Context::single()).unwrap().logits().unwrap().data().to_vec()
    }

    #[test]
    fn six_moves_change_the_weights_and_no_logit() {
        let n = network(Norm::None);
        let clean = logits(&n);
        for (how, name) in Move::ALL {
            for seed in 0..3 {
                let (moved, _) = how.apply(&n, &Stream::new(seed, "twin")).unwrap();
                assert_ne!(moved.hash(), n.hash(), "{name}");
                let worst = clean
                    .iter()
                    .zip(logits(&moved))
                    .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
                    .fold(0f32, f32::max);
                assert!(worst <= 1e-5, "{name}, seed {seed}: {worst}");
                if matches!(how, Move::Rescale | Move::PadNeurons | Move::InsertLayer) {
                    assert_eq!(worst, 0.0, "{name} keeps bits");
                }
            }
        }
    }

    #[test]
    fn what_a_move_cannot_do_is_an_error_that_says_why() {
        let normed = network(Norm::LayerNorm);
        let why = Move::Rotate.apply(&normed, &Stream::new(0, "t")).unwrap_err().to_string();
        assert!(why.contains("norm"), "{why}");
        let twin = |set: serde_json::Value| {
            let p = with_defaults(&GaugeTwin, set.as_object().unwrap())?;
            GaugeTwin.breed(&p, 0, &Context::single(), &Nursery::none())
        };
        let why = twin(json!({ "move": "split-neuron" })).unwrap_err().to_string();
        assert!(why.contains("it has no neurons"), "{why}");
        let why = twin(json!({ "of": "induction" })).unwrap_err().to_string();
        assert!(why.contains("not compiled"), "{why}");
        let why = twin(json!({ "move": "spin" })).unwrap_err().to_string();
        assert!(why.contains("permute"), "{why}");
    }
}
