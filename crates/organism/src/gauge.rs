//! Moves that keep the function of a transformer: turn the residual stream, rename heads and
//! neurons.
//!
//! A compiled network has a variable on every coordinate, which no trained network has, and a
//! method that reads coordinates would find everything there. So compiled organisms enter in a
//! random gauge: the residual stream becomes x' = x R for a random orthogonal R, heads of a layer
//! change places and so do neurons. Every weight that writes to the stream is multiplied by R,
//! every weight that reads it by R^T, so all logits stay (Elhage et al. 2021, "no privileged
//! basis"). Norms are computed coordinate by coordinate, so a network with norms is not turned.
//!
//! A [`Gauge`] moves networks, directions, selectors, edges, explanations and whole truths.
//!
//! ```
//! use flyroom_network::TransformerConfig;
//! use flyroom_organism::{Gauge, Places};
//! use flyroom_tensor::Stream;
//! let c = TransformerConfig::plain(2, 8, 4, 5, 5);
//! let g = Gauge::random(&c, &Stream::new(0, "gauge"));
//! let x = g.direction("hook_embed", &[1., 0., 0., 0., 0., 0., 0., 0.]);
//! assert!((x.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
//! ```

use crate::places::Places;
use crate::{Error, Truth};
use flyroom_network::{
    Edge, Network, Norm, Receiver, Selector, Sender, Span, TransformerConfig, Weights,
};
use flyroom_tensor::{Stream, Tensor, linalg};

/// Coordinates of a transformer, relative to those in which it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    d_model: usize,
    n_heads: usize,
    n_kv_heads: usize,
    /// R `[d_model, d_model]`, row i is where coordinate i goes; `None` leaves the stream.
    rotation: Option<Vec<f64>>,
    /// For each layer the old kv head at each new place.
    kv_heads: Vec<Vec<usize>>,
    /// For each layer the old query head at each new place; heads stay with their kv head.
    heads: Vec<Vec<usize>>,
    /// For each layer the old neuron at each new place.
    units: Vec<Vec<usize>>,
}

/// What the last axis of a site, and its head axis, run over.
struct Axes {
    /// The residual stream.
    stream: bool,
    neurons: bool,
    heads: bool,
    kv_heads: bool,
    layer: usize,
}

impl Axes {
    fn of(site: &str) -> Self {
        let hook = site.rsplit('.').next().unwrap_or(site);
        let layer = site.strip_prefix("blocks.").and_then(|s| s.split('.').next());
        let stream = matches!(
            hook,
            "hook_embed"
                | "hook_pos_embed"
                | "hook_resid_pre"
                | "hook_resid_mid"
                | "hook_resid_post"
                | "hook_attn_in"
                | "hook_mlp_in"
                | "hook_attn_out"
                | "hook_mlp_out"
                | "hook_q_input"
                | "hook_k_input"
                | "hook_v_input"
                | "hook_result"
                | "hook_in"
        );
        Self {
            stream,
            neurons: matches!(hook, "hook_pre" | "hook_post"),
            heads: matches!(
                hook,
                "hook_q"
                    | "hook_q_input"
                    | "hook_z"
                    | "hook_result"
                    | "hook_pattern"
                    | "hook_attn_scores"
            ),
            kv_heads: matches!(hook, "hook_k" | "hook_k_input" | "hook_v" | "hook_v_input"),
            layer: layer.and_then(|l| l.parse().ok()).unwrap_or(0),
        }
    }
}

impl Gauge {
    /// The coordinates as they are.
    pub fn identity(c: &TransformerConfig) -> Self {
        let order = |n: usize| vec![(0..n).collect(); c.n_layers];
        Self {
            d_model: c.d_model,
            n_heads: c.n_heads,
            n_kv_heads: c.n_kv_heads,
            rotation: None,
            kv_heads: order(c.n_kv_heads),
            heads: order(c.n_heads),
            units: order(c.d_mlp),
        }
    }

    /// Random coordinates: block 0 of the stream gives the rotation, block l + 1 the orders of
    /// heads and neurons of layer l.
    pub fn random(c: &TransformerConfig, stream: &Stream) -> Self {
        Self { rotation: Self::rotated(c, stream).rotation, ..Self::reordered(c, stream) }
    }

    /// The stream turned at random, unless a norm looks at its coordinates; heads and neurons stay.
    pub fn rotated(c: &TransformerConfig, stream: &Stream) -> Self {
        let mut out = Self::identity(c);
        if c.norm == Norm::None {
            out.rotation = Some(linalg::random_rotation(c.d_model, &mut stream.block(0)));
        }
        out
    }

    /// Heads and neurons in a random order; the stream stays.
    pub fn reordered(c: &TransformerConfig, stream: &Stream) -> Self {
        let mut out = Self::identity(c);
        let group = c.n_heads / c.n_kv_heads;
        for l in 0..c.n_layers {
            let mut random = stream.block(l as u64 + 1);
            out.kv_heads[l] = random.permutation(c.n_kv_heads);
            out.heads[l] = out.kv_heads[l]
                .iter()
                .flat_map(|&kv| random.permutation(group).into_iter().map(move |h| kv * group + h))
                .collect();
            out.units[l] = random.permutation(c.d_mlp);
        }
        out
    }

    /// A compiled network with its truth as it enters: in a random gauge from the seed, or `aligned`,
    /// as it was written.
    pub(crate) fn settle(
        network: Network,
        truth: Truth,
        seed: u64,
        aligned: bool,
    ) -> Result<(Network, Truth), Error> {
        match network.architecture().transformer() {
            Some(c) if !aligned => {
                let gauge = Self::random(c, &Stream::new(seed, "gauge"));
                Ok((gauge.apply(&network)?, gauge.truth(&truth)?))
            }
            _ => Ok((network, truth)),
        }
    }

    /// The network in these coordinates: the same logits.
    pub fn apply(&self, network: &Network) -> Result<Network, Error> {
        let fits = network.architecture().transformer().is_some_and(|c| {
            (c.d_model, c.n_heads, c.n_kv_heads, c.n_layers)
                == (self.d_model, self.n_heads, self.n_kv_heads, self.heads.len())
                && self.units.iter().all(|u| u.len() == c.d_mlp)
        });
        if !fits {
            return Err(Error::Truth("a gauge of another architecture".into()));
        }
        let mut weights = Weights::new();
        for (name, t) in network.weights() {
            let last = name.rsplit('.').next().unwrap_or(name);
            let layer = Axes::of(name).layer;
            let mut t = self.turned(last, t)?;
            if name.contains(".attn.") {
                let order = match last {
                    "W_Q" | "b_Q" | "W_O" => Some(&self.heads[layer]),
                    "W_K" | "b_K" | "W_V" | "b_V" => Some(&self.kv_heads[layer]),
                    _ => None,
                };
                if let Some(order) = order {
                    t = reordered(&t, 0, order);
                }
            }
            if name.contains(".mlp.") {
                t = match last {
                    "W_in" => reordered(&t, 1, &self.units[layer]),
                    "b_in" | "W_out" => reordered(&t, 0, &self.units[layer]),
                    _ => t,
                };
            }
            weights.insert(name.clone(), t);
        }
        let mut out = Network::new(network.architecture().clone(), weights)?;
        out.extra.clone_from(&network.extra);
        Ok(out)
    }

    /// A weight with its residual axis turned.
    fn turned(&self, last: &str, t: &Tensor) -> Result<Tensor, Error> {
        let Some(r) = &self.rotation else { return Ok(t.clone()) };
        let d = self.d_model;
        let w: Vec<f64> = t.data().iter().map(|&x| f64::from(x)).collect();
        let turned: Vec<f64> = match last {
            // [.., d_model]: w R
            "W_E" | "W_pos" | "W_O" | "b_O" | "W_out" | "b_out" => {
                linalg::product(w.len() / d, d, d, &w, r)
            }
            // [.., d_model, n]: R^T w
            "W_Q" | "W_K" | "W_V" | "W_in" | "W_U" => {
                let n = t.shape()[t.shape().len() - 1];
                let inverse = linalg::transpose(d, d, r);
                w.chunks_exact((d * n).max(1))
                    .flat_map(|w| linalg::product(d, d, n, &inverse, w))
                    .collect()
            }
            _ => w,
        };
        Ok(Tensor::new(t.shape(), turned.into_iter().map(|x| x as f32).collect())?)
    }
}

impl Places for Gauge {
    fn direction(&self, site: &str, direction: &[f32]) -> Vec<f32> {
        let axes = Axes::of(site);
        match &self.rotation {
            Some(r) if axes.stream && direction.len() == self.d_model => {
                let x: Vec<f64> = direction.iter().map(|&x| f64::from(x)).collect();
                let y = linalg::product(1, self.d_model, self.d_model, &x, r);
                y.into_iter().map(|x| x as f32).collect()
            }
            _ if axes.neurons => self.units[axes.layer].iter().map(|&u| direction[u]).collect(),
            _ => direction.to_vec(),
        }
    }

    /// Units of a turned stream become a basis. Fails for several heads or neurons, but not all, that
    /// are no longer neighbours.
    fn selector(&self, s: &Selector) -> Result<Selector, Error> {
        let axes = Axes::of(&s.site);
        let bad = |why: String| Error::Truth(format!("'{s}' in another gauge: {why}"));
        let mut out = s.clone();
        if let Some(basis) = &s.basis {
            out.basis = Some(basis.iter().map(|v| self.direction(&s.site, v)).collect());
        }
        let order = match (axes.heads, axes.kv_heads) {
            (true, _) => Some(&self.heads[axes.layer]),
            (_, true) => Some(&self.kv_heads[axes.layer]),
            _ => None,
        };
        if let (Some(order), Some(span)) = (order, s.head) {
            out.head = Some(moved(span, order).map_err(bad)?);
        }
        match (s.unit, &self.rotation) {
            (Some(span), Some(r)) if axes.stream => {
                let units = span.indices(self.d_model).map_err(bad)?;
                let row = |i: usize| r[i * self.d_model..(i + 1) * self.d_model].iter();
                out.unit = None;
                out.basis = Some(units.map(|i| row(i).map(|&x| x as f32).collect()).collect());
            }
            (Some(span), _) if axes.neurons => {
                out.unit = Some(moved(span, &self.units[axes.layer]).map_err(bad)?);
            }
            _ => {}
        }
        Ok(out)
    }

    fn edge(&self, e: Edge) -> Edge {
        let head = |l: usize, h: usize| place(&self.heads[l], h);
        let kv = |l: usize, h: usize| place(&self.kv_heads[l], h);
        let from = match e.from {
            Sender::Head(l, h) => Sender::Head(l, head(l, h)),
            other => other,
        };
        let to = match e.to {
            Receiver::Query(l, h) => Receiver::Query(l, head(l, h)),
            Receiver::Key(l, h) => Receiver::Key(l, kv(l, h)),
            Receiver::Value(l, h) => Receiver::Value(l, kv(l, h)),
            other => other,
        };
        Edge { from, to }
    }
}

/// New place of an old index.
fn place(order: &[usize], old: usize) -> usize {
    order.iter().position(|&o| o == old).unwrap_or(old)
}

fn moved(span: Span, order: &[usize]) -> Result<Span, String> {
    let mut places: Vec<usize> = span.indices(order.len())?.map(|old| place(order, old)).collect();
    places.sort_unstable();
    match (places.first(), places.last()) {
        (Some(&a), Some(&b)) if b - a + 1 == places.len() => Ok(Span::range(a, b + 1)),
        _ => Err(format!("{span} is no longer one range")),
    }
}

/// The tensor whose index i along `axis` is the old `order[i]`.
fn reordered(t: &Tensor, axis: usize, order: &[usize]) -> Tensor {
    let shape = t.shape();
    let inner: usize = shape[axis + 1..].iter().product();
    let n = shape[axis];
    Tensor::from_fn(shape, |i| {
        let (outer, at, rest) = (i / (inner * n), i / inner % n, i % inner);
        t.data()[(outer * n + order[at]) * inner + rest]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::{Activation, Architecture, Inputs, Intervention, Operation, Row, Runner};
    use flyroom_tensor::Context;

    /// Random weights, biases and MLPs, four heads on two kv heads, no neuron that is silent.
    fn network(norm: Norm) -> Network {
        let mut c = TransformerConfig::plain(2, 12, 4, 7, 5);
        (c.n_kv_heads, c.d_mlp, c.norm, c.act_fn) = (2, 10, norm, Activation::Gelu);
        (c.attn_bias, c.unembed_bias) = (true, true);
        let a = Architecture::Transformer(c);
        let mut random = Stream::new(3, "gauge test").block(0);
        let weights = Network::parameters(&a).unwrap().into_iter().map(|(name, shape)| {
            let mut t = Tensor::zeros(&shape);
            random.fill_normal(t.data_mut(), 0.4);
            (name, t)
        });
        let weights = weights.collect();
        Network::new(a, weights).unwrap()
    }

    fn inputs() -> Inputs {
        Inputs::tokens(&[vec![0, 1, 2, 3, 4], vec![6, 5, 4, 4, 0], vec![1, 1, 3, 2, 6]]).unwrap()
    }

    fn assert_close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            // Relative where values are large: a sum of products rounds with their size.
            assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{a} {b}");
        }
    }

    fn pair(norm: Norm) -> (Network, Network, Gauge) {
        let n = network(norm);
        let g = Gauge::random(n.architecture().transformer().unwrap(), &Stream::new(1, "gauge"));
        let moved = g.apply(&n).unwrap();
        (n, moved, g)
    }

    #[test]
    fn a_gauge_keeps_the_function_and_moves_the_weights() {
        for norm in [Norm::None, Norm::LayerNorm, Norm::RmsNorm] {
            let (n, m, _) = pair(norm);
            let (inputs, cx) = (inputs(), Context::single());
            let logits = |n: &Network| {
                Runner::new(n, &inputs, &cx).unwrap().logits().unwrap().data().to_vec()
            };
            assert_close(&logits(&n), &logits(&m));
            assert_ne!(n.hash(), m.hash());
        }
    }

    #[test]
    fn moved_directions_read_the_same_values() {
        let (n, m, g) = pair(Norm::None);
        let (inputs, cx) = (inputs(), Context::single());
        let (a, b) =
            (Runner::new(&n, &inputs, &cx).unwrap(), Runner::new(&m, &inputs, &cx).unwrap());
        for (site, width) in [
            ("hook_embed", 12),
            ("blocks.0.hook_resid_mid", 12),
            ("blocks.1.hook_resid_post", 12),
            ("blocks.1.hook_attn_out", 12),
            ("blocks.0.mlp.hook_post", 10),
            ("unembed.hook_in", 12),
        ] {
            let mut direction = vec![0f32; width];
            Stream::new(0, "direction").block(0).fill_normal(&mut direction, 1.0);
            let turned = g.direction(site, &direction);
            let read = |r: &Runner, v: &[f32]| -> Vec<f32> {
                let x = r.clean(site).unwrap();
                x.data()
                    .chunks_exact(width)
                    .map(|x| x.iter().zip(v).map(|(x, v)| x * v).sum())
                    .collect()
            };
            assert_close(&read(&a, &direction), &read(&b, &turned));
        }
    }

    #[test]
    fn moved_interventions_have_the_same_effects() {
        let (n, m, g) = pair(Norm::None);
        let (inputs, cx) = (inputs(), Context::single());
        let (a, b) =
            (Runner::new(&n, &inputs, &cx).unwrap(), Runner::new(&m, &inputs, &cx).unwrap());
        let effect = |r: &Runner, i: Intervention| {
            r.run(&[Row { input: 0, interventions: vec![i] }]).unwrap().concat()
        };
        let clean = a.run(&[Row { input: 0, interventions: vec![] }]).unwrap().concat();
        for text in [
            "blocks.0.attn.hook_z[head=1,pos=2]",
            "blocks.1.attn.hook_k[head=1,unit=0..2]",
            "blocks.0.attn.hook_pattern[head=3]",
            "blocks.0.mlp.hook_pre[unit=7]",
            "blocks.0.hook_resid_post[unit=3..6,pos=1]",
            "blocks.1.hook_attn_out",
        ] {
            let s: Selector = text.parse().unwrap();
            let to = Operation::Interchange { input: 1 };
            let before = effect(&a, Intervention::site(s.clone(), to.clone()));
            let after = effect(&b, Intervention::site(g.selector(&s).unwrap(), to));
            assert_close(&before, &after);
            assert!(before != clean, "{text}");
        }
        for text in ["a0.h1->a1.h1<k>", "a0.h2->a1.h3<q>", "embed->a0.h0<v>", "m0->m1"] {
            let e: Edge = text.parse().unwrap();
            let cut = |e: Edge| Intervention::edges(vec![e], Operation::Interchange { input: 2 });
            let before = effect(&a, cut(e));
            assert_close(&before, &effect(&b, cut(g.edge(e))));
            assert!(before != clean, "{e}");
        }
    }

    #[test]
    fn neighbours_that_part_are_refused() {
        let c = TransformerConfig::plain(1, 8, 4, 5, 5);
        let mut g = Gauge::identity(&c);
        g.heads[0] = vec![2, 0, 1, 3];
        let s = |t: &str| g.selector(&t.parse().unwrap());
        assert_eq!(
            s("blocks.0.attn.hook_z[head=0..2]").unwrap().to_string(),
            "blocks.0.attn.hook_z[head=1..3]"
        );
        assert!(s("blocks.0.attn.hook_z[head=2..4]").is_err());
        assert!(s("blocks.0.attn.hook_z").is_ok());
    }
}
