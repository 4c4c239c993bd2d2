//! Three edits of the state behind the input that should replace the token at one place (Csordás et al. 2024,
//! section 5): h' is what the network goes on from, and it should then repeat the sequence with the other token.
//!
//! - *unigram*: a rotation R and a share of its axes for each place j, of which a mask M_j is 1;
//!   h' = h + R^T M_j R (h_s - h), where s is another sequence with the wanted token at j;
//! - *bigram*: the same for pairs of neighbours: h_s is of a sequence that has the wanted token at j and the neighbours
//!   of h's, and the pairs (j - 1, j) and (j, j + 1) are exchanged;
//! - *onion*: h' = h + (e(new) - e(old)) s(j) with one vector e = tanh E for each token and one scale for each place,
//!   s(j) = g c^j + b j + a, unit by unit. No other sequence is needed: this is the claim that layers are alike.
//!
//! What is learned (R, the masks; E, g, c, b, a) is learned by gradient through the frozen network, on
//! pairs of their own, and judged on others. All three are asked the same: one place of a sequence of full length,
//! every other place kept.
//!
//! Unlike the paper, masks are a softmax that grows sharp in place of Gumbel's, a unigram is exchanged alone as the
//! other two are, and linear arms and onion are judged on the same lengths.

use super::question::{Asked, Kind, Pair, site};
use super::subspaces::{moved, rotation, start, variables};
use super::{Onion, said};
use crate::lesson::{Schedule, loss};
use crate::train::{Batch, Nursery, Trained, Training};
use crate::{Error, Parameters};
use flyroom_network::{
    Form, Inputs, Intervention, Network, Operation, Row, Runner, Selector, Weights, record,
};
use flyroom_tensor::ops::Unary;
use flyroom_tensor::{Bindings, Context, Graph, Program, Stream, Tensor, Value, linalg};
use serde_json::json;

/// Pairs of a step.
const BATCH: usize = 256;
/// Batches of pairs, which come round again.
const POOL: usize = 64;
/// Pairs on which an arm is judged.
const JUDGED: usize = 1000;
/// How sharp the masks are in the end, and at the start 1.
const SHARPEST: f32 = 10.0;

const KINDS: [(Kind, &str); 3] =
    [(Kind::Unigram, "unigram"), (Kind::Bigram, "bigram"), (Kind::Onion, "onion")];

/// An arm on a network, to be trained.
struct Arm<'a> {
    kind: Kind,
    lesson: &'a Onion,
    network: &'a Network,
    /// Where the rotation starts, `[d_hidden, d_hidden]`.
    first: Tensor,
    /// Where the masks start, `[d_hidden, variable + 1]`.
    masks: Tensor,
    /// What it is trained on.
    asked: Asked,
}

impl<'a> Arm<'a> {
    fn new(
        kind: Kind,
        lesson: &'a Onion,
        network: &'a Network,
        cx: &Context,
    ) -> Result<Self, Error> {
        let mut random = Stream::new(0, "onion/pairs").block(0);
        let pairs = (0..BATCH * POOL).map(|_| lesson.pair(kind, &mut random)).collect();
        let asked = lesson.asked(network, pairs, cx)?;
        let (first, masks) = match kind {
            Kind::Onion => (Tensor::zeros(&[0]), Tensor::zeros(&[0])),
            kind => start(kind, lesson, &asked)?,
        };
        Ok(Self { kind, lesson, network, first, masks, asked })
    }

    fn init(&self) -> Weights {
        let d = self.lesson.d_hidden;
        let drawn = |name: &str, shape: &[usize], scale: f32| {
            let mut t = Tensor::zeros(shape);
            Stream::new(0, &format!("onion/arm/{name}")).block(0).fill_normal(t.data_mut(), scale);
            (name.to_string(), t)
        };
        let filled = |name: &str, x: f32| (name.to_string(), Tensor::from_fn(&[d], |_| x));
        Weights::from_iter(match self.kind {
            Kind::Onion => vec![
                drawn("arm.E", &[self.lesson.symbols, d], 1.0),
                filled("arm.g", 1.0),
                filled("arm.c", 0.9),
                filled("arm.b", 0.0),
                filled("arm.a", 0.0),
            ],
            _ => vec![
                ("arm.skew".to_string(), Tensor::zeros(&[d, d])),
                ("arm.masks".to_string(), self.masks.clone()),
            ],
        })
    }

    /// h' of a batch, `[batch, d_hidden]`.
    fn edited(&self, g: &mut Graph, batch: usize) -> Result<Value, flyroom_tensor::Error> {
        let d = self.lesson.d_hidden;
        let base = g.input("base", &[batch, d]);
        if self.kind == Kind::Onion {
            let table = g.parameter("arm.E", &[self.lesson.symbols, d]);
            let table = g.unary(Unary::Tanh, table)?;
            let [old, new] = ["old", "new"].map(|name| g.index_input(name, &[batch]));
            let (old, new) = (g.gather(table, old)?, g.gather(table, new)?);
            let change = g.sub(new, old)?;
            let scales = scales(g, self.lesson.longest, d)?;
            let place = g.index_input("place", &[batch]);
            let scale = g.gather(scales, place)?;
            let change = g.mul(change, scale)?;
            return g.add(base, change);
        }
        let n = variables(self.kind, self.lesson.longest);
        let source = g.input("source", &[batch, d]);
        let moved = g.input("moved", &[batch, n]);
        let rotation = rotation(g, &self.first)?;
        let masks = g.parameter("arm.masks", &[d, n + 1]);
        let sharpness = g.input("sharpness", &[n + 1]);
        let masks = g.mul(masks, sharpness)?;
        let masks = g.softmax(masks)?;
        let masks = g.slice(masks, 1, 0, n)?;
        let along = g.einsum("bv,hv->bh", moved, masks)?;
        let change = g.sub(source, base)?;
        let change = g.einsum("bi,hi->bh", change, rotation)?;
        let change = g.mul(change, along)?;
        let change = g.einsum("bh,hi->bi", change, rotation)?;
        g.add(base, change)
    }

    fn batch(&self, from: usize, sharpness: f32) -> Batch {
        let asked = &self.asked;
        let (d, n) = (self.lesson.d_hidden, self.lesson.longest);
        let pairs = &asked.pairs[from..from + BATCH];
        let wanted: Vec<Vec<u32>> = pairs.iter().map(Pair::wanted).collect();
        let part = |t: &Tensor| t.data()[from * d..(from + BATCH) * d].to_vec();
        let mut out = Batch {
            index: vec![
                ("tokens", wanted.iter().flat_map(|w| self.lesson.row(w)).collect()),
                ("targets", wanted.concat()),
            ],
            real: vec![
                ("counts".into(), vec![1.0 / (BATCH * n) as f32; BATCH * n]),
                ("base".into(), part(&asked.base)),
            ],
            ..Batch::default()
        };
        if self.kind == Kind::Onion {
            out.index.push(("old", pairs.iter().map(|p| p.base[p.place]).collect()));
            out.index.push(("new", pairs.iter().map(|p| p.token).collect()));
            out.index.push(("place", pairs.iter().map(|p| p.place as u32).collect()));
        } else {
            let moved = pairs.iter().flat_map(|p| moved(self.kind, n, p.place)).collect();
            out.real.push(("source".into(), part(&asked.source)));
            out.real.push(("moved".into(), moved));
            out.real.push(("sharpness".into(), vec![sharpness; variables(self.kind, n) + 1]));
        }
        out
    }

    fn trained(&self, cx: &Context) -> Result<Weights, Error> {
        let steps = self.lesson.arm_steps;
        let schedule = Schedule {
            steps,
            lr: self.lesson.arm_lr,
            warmup: 20,
            cooldown: steps,
            weight_decay: 0.0,
            ..Schedule::default()
        };
        let training = Training {
            organism: "onion",
            seed: 0,
            architecture: self,
            batch: BATCH,
            pos: 2 * self.lesson.longest,
            steps,
            optimizer: &|t| schedule.adamw(t),
            data: &|t| {
                let share = t as f32 / steps as f32;
                let sharpness = 1.0 + (SHARPEST - 1.0) * share;
                self.batch((t - 1) % POOL * BATCH, sharpness)
            },
            loss: &|g, outputs| {
                loss(g, outputs, true, self.lesson.longest..2 * self.lesson.longest)
            },
            probe_every: usize::MAX,
            probe: &|_| Ok(Default::default()),
        };
        if steps == 0 {
            return Ok(self.init());
        }
        Ok(training.tensors(self.init(), cx, &Nursery::none())?.0)
    }

    /// h' of every pair, masks being what they are closest to, `[pair][d_hidden]`; a pair's place is `place` of it.
    fn states(
        &self,
        weights: &Weights,
        asked: &Asked,
        place: &[usize],
        cx: &Context,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (d, n) = (self.lesson.d_hidden, self.lesson.longest);
        let mut out = vec![];
        if self.kind == Kind::Onion {
            let mut g = Graph::new();
            let table = g.parameter("arm.E", &[self.lesson.symbols, d]);
            let table = g.unary(Unary::Tanh, table)?;
            let scales = scales(&mut g, n, d)?;
            let mut program = Program::compile(&g, &[table, scales])?;
            program.run(cx, &Bindings::new().with_all(weights))?;
            let row = |i: usize, r: usize| &program.output(i)[r * d..(r + 1) * d];
            for (i, pair) in asked.pairs.iter().enumerate() {
                let (new, old) =
                    (row(0, pair.token as usize), row(0, pair.base[pair.place] as usize));
                let scale = row(1, place[pair.place]);
                let h = asked.base.row(i).iter();
                let change = new.iter().zip(old).zip(scale).map(|((new, old), s)| (new - old) * s);
                out.push(h.zip(change).map(|(h, c)| h + c).collect());
            }
            return Ok(out);
        }
        let mut g = Graph::new();
        let rotation = rotation(&mut g, &self.first)?;
        let mut program = Program::compile(&g, &[rotation])?;
        program.run(cx, &Bindings::new().with_all(weights))?;
        let rotation: Vec<f64> = program.output(0).iter().map(|&x| f64::from(x)).collect();
        let masks = &weights["arm.masks"];
        let best = |h: usize| {
            let row = masks.row(h);
            (0..row.len()).fold(0, |b, v| if row[v] > row[b] { v } else { b })
        };
        let owner: Vec<usize> = (0..d).map(best).collect();
        for (i, pair) in asked.pairs.iter().enumerate() {
            let moved = moved(self.kind, n, place[pair.place]);
            let both = asked.source.row(i).iter().zip(asked.base.row(i));
            let change: Vec<f64> = both.map(|(s, b)| f64::from(*s) - f64::from(*b)).collect();
            let mut h: Vec<f64> = asked.base.row(i).iter().map(|&x| f64::from(x)).collect();
            for (axis, &v) in rotation.chunks_exact(d).zip(&owner) {
                if moved.get(v).is_some_and(|&m| m > 0.0) {
                    let along = linalg::dot(axis, &change);
                    h.iter_mut().zip(axis).for_each(|(h, a)| *h += along * a);
                }
            }
            out.push(h.into_iter().map(|x| x as f32).collect());
        }
        Ok(out)
    }
}

/// s(j) = g c^j + b j + a for each place j, `[place, d]`.
fn scales(g: &mut Graph, places: usize, d: usize) -> Result<Value, flyroom_tensor::Error> {
    let [gain, c, b, a] =
        ["g", "c", "b", "a"].map(|name| g.parameter(&format!("arm.{name}"), &[d]));
    let (mut power, mut rows) = (gain, vec![]);
    for j in 0..places {
        let line = g.scale(b, j as f32)?;
        let line = g.add(line, a)?;
        let row = g.add(power, line)?;
        rows.push(g.reshape(row, &[1, d])?);
        power = g.mul(power, c)?;
    }
    g.concat(&rows, 0)
}

impl Trained for Arm<'_> {
    fn record(&self, g: &mut Graph, batch: usize, pos: usize) -> Result<Value, Error> {
        let mut plain = Graph::new();
        record(&mut plain, self.network.architecture(), batch, pos, Form::Plain)?;
        let (site, weights) = (site(self.lesson), self.network.weights());
        g.splice(&plain, "", &mut |g, name, _| {
            if let Some(frozen) = weights.get(name) {
                return Ok(Some(g.constant(frozen.clone())));
            }
            if name == site { self.edited(g, batch).map(Some) } else { Ok(None) }
        })?;
        Ok(g.at("hook_logits")?)
    }

    fn network(&self, _: Weights) -> Result<Network, Error> {
        Ok(self.network.clone())
    }
}

/// The share of pairs whose sequence is repeated as wanted from the states of an arm.
fn right(
    lesson: &Onion,
    runner: &Runner,
    asked: &Asked,
    states: Vec<Vec<f32>>,
) -> Result<f64, Error> {
    let row = |(input, values)| {
        let set = Operation::Set { values };
        let interventions = vec![Intervention::site(Selector::site(site(lesson)), set)];
        Row { input, interventions }
    };
    let outputs = runner.run(&states.into_iter().enumerate().map(row).collect::<Vec<_>>())?;
    let n = lesson.longest;
    let all = outputs.iter().zip(&asked.pairs);
    let met = all.filter(|(y, pair)| said(y, n, lesson.symbols) == pair.wanted()).count();
    Ok(met as f64 / asked.pairs.len().max(1) as f64)
}

/// For each arm the share of pairs after whose edit the whole sequence is repeated with the wanted token, and the same
/// with the places in another order; `arm_nothing`: without an edit; `arm_wanted`: from the state behind the wanted sequence itself.
pub(super) fn measure(
    lesson: &Onion,
    network: &Network,
    cx: &Context,
) -> Result<Parameters, Error> {
    let n = lesson.longest;
    let mut out = Parameters::new();
    for (kind, name) in KINDS {
        let mut random = Stream::new(0, "onion/judged").block(0);
        let pairs: Vec<Pair> = (0..JUDGED).map(|_| lesson.pair(kind, &mut random)).collect();
        let wanted: Vec<Vec<u32>> = pairs.iter().map(Pair::wanted).collect();
        let rows: Vec<Vec<u32>> = wanted.iter().map(|w| lesson.row(w)).collect();
        let inputs = Inputs::tokens(&rows)?;
        let runner = Runner::new(network, &inputs, cx)?;
        let asked = lesson.asked(network, pairs, cx)?;
        let arm = Arm::new(kind, lesson, network, cx)?;
        let weights = arm.trained(cx)?;
        let own: Vec<usize> = (0..n).collect();
        // Far enough that no pair of neighbours holds both.
        let next: Vec<usize> = (0..n).map(|j| (j + n / 2) % n).collect();
        for (key, place) in [(name.to_string(), own), (format!("{name}_elsewhere"), next)] {
            let states = arm.states(&weights, &asked, &place, cx)?;
            out.insert(key, json!(right(lesson, &runner, &asked, states)?));
        }
        if kind == Kind::Onion {
            let rows = |t: &Tensor| (0..JUDGED).map(|i| t.row(i).to_vec()).collect();
            let idle = right(lesson, &runner, &asked, rows(&asked.base))?;
            out.insert("unedited".into(), json!(idle));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::Lesson;

    const BITS: usize = 3;

    fn lesson(longest: usize, arm_steps: usize) -> Onion {
        let (symbols, d_hidden) = (1 << BITS, BITS * (longest + 1));
        Onion { symbols, longest, d_embed: BITS, d_hidden, arm_steps, ..super::super::small() }
    }

    /// A shift register: the bits of each token enter at one end, move on by a slot a step, and are said behind the
    /// last slot. So every place of the state lies in a subspace of its own.
    fn register(lesson: &Onion) -> Network {
        let architecture = lesson.architecture().unwrap();
        let bit = |token: usize, i: usize| if (token >> i) & 1 == 1 { 1.0 } else { -1.0 };
        let last = BITS * lesson.longest;
        let weights =
            Network::parameters(&architecture).unwrap().into_iter().map(|(name, shape)| {
                let columns = shape.last().copied().unwrap_or(1);
                let t = Tensor::from_fn(&shape, |at| {
                    let (i, j) = (at / columns, at % columns);
                    match name.as_str() {
                        // The start token is none of them.
                        "embed.W_E" if i < lesson.symbols => bit(i, j),
                        "cell.W_in" if i == j => 3.0,
                        "cell.W_hn" if i + BITS == j => 3.0,
                        "cell.b_r" => 20.0,
                        "cell.b_z" => -20.0,
                        "unembed.W_U" if i >= last => bit(j, i - last),
                        _ => 0.0,
                    }
                });
                (name, t)
            });
        let weights = weights.collect();
        Network::new(architecture, weights).unwrap()
    }

    #[test]
    fn places_that_lie_in_subspaces_answer_to_exchanges_of_subspaces() {
        let lesson = lesson(4, 300);
        let network = register(&lesson);
        let m = measure(&lesson, &network, &Context::single()).unwrap();
        let of = |key: &str| m[key].as_f64().unwrap();
        assert!(of("unigram") > 0.99 && of("bigram") > 0.99, "{m:?}");
        // Chance of another place's token is 1 in 8.
        assert!(of("unigram_elsewhere") < 0.2 && of("unedited") == 0.0, "{m:?}");
    }

    #[test]
    fn a_question_changes_one_place_and_its_source_has_what_is_exchanged() {
        let lesson = lesson(9, 0);
        let mut random = Stream::new(0, "test").block(0);
        for _ in 0..100 {
            let p = lesson.pair(Kind::Bigram, &mut random);
            let wanted = p.wanted();
            let other = (0..9).filter(|&j| wanted[j] != p.base[j]).collect::<Vec<_>>();
            assert_eq!(other, [p.place]);
            let near = p.place.saturating_sub(1)..(p.place + 2).min(9);
            assert_eq!(p.source[near.clone()], wanted[near]);
        }
        // Pairs (0, 1) and (1, 2) hold place 1, the first and the last place lie in one pair each.
        assert_eq!(moved(Kind::Bigram, 4, 1), [1.0, 1.0, 0.0]);
        assert_eq!(moved(Kind::Bigram, 4, 0), [1.0, 0.0, 0.0]);
        assert_eq!(moved(Kind::Bigram, 4, 3), [0.0, 0.0, 1.0]);
        assert_eq!(moved(Kind::Unigram, 4, 3), [0.0, 0.0, 0.0, 1.0]);
    }
}
