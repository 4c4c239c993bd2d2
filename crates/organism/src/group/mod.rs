//! Group composition: one hidden layer learns the table of a finite group (Chughtai et al. 2023, "A Toy
//! Model of Universality"; Stander et al. 2024, "Grokking Group Multiplication with Cosets").
//!
//! A network reads two elements, one-hot, and answers their product: addition modulo n is the case of a
//! cyclic group. Trained with weight decay its neurons end up in few irreducible representations. What
//! they do with them, multiply matrices or tell cosets, is disputed, so the truth is contested; what is
//! located is in which representations the weights lie. The control is a random Latin square of equal
//! order, trained by the same recipe on its whole table: every row and column is as regular, and
//! there is no group.
//!
//! | file | holds |
//! |---|---|
//! | this one | [`Composition`] and its names |
//! | `group/finite.rs` | groups and their irreducible representations |
//! | `group/square.rs` | Latin squares, relabelled tables |
//! | `group/located.rs` | in which representations neurons lie |

mod finite;
mod located;
mod square;

use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::task::{cross_entropy, other_inputs};
use crate::{Answers, Distance, Entry, Error, Parameters, Source, Standing, Task, Truth};
use finite::Group;
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use located::Reading;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use square::{Labels, Square};
use std::sync::OnceLock;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Composition {
    /// A group (`Z24`, `D12`, `S4`), or `L24`: a random Latin square of order 24.
    table: String,
    /// Which random square; of a group, under which labels: 0 are its own, every other number
    /// renames rows, columns and symbols at random.
    labels: u64,
    /// Share of all pairs that is trained on.
    train_share: f64,
    /// Which pairs these are, the same for every seed.
    split: u64,
    /// ReLU neurons.
    d_mlp: usize,
    /// Standard deviation of every matrix at the start.
    init: f32,
    #[serde(flatten)]
    schedule: Schedule,
    #[serde(skip)]
    made: OnceLock<Result<Table, String>>,
}

/// What the parameters name.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    square: Square,
    /// Whether it is a group's.
    group: bool,
    /// Whether each pair, row by row, is trained on.
    trained: Vec<bool>,
}

fn recipe(table: &str) -> Composition {
    Composition {
        table: table.into(),
        labels: 0,
        train_share: 1.0,
        split: 0,
        d_mlp: 128,
        init: 0.1,
        schedule: Schedule {
            steps: 3000,
            batch: 256,
            lr: 1e-2,
            warmup: 10,
            cooldown: 1000,
            weight_decay: 0.3,
            ..Schedule::default()
        },
        made: OnceLock::new(),
    }
}

/// A group.
pub(crate) const GROUP_COMPOSITION: Learned<Composition> = Learned {
    entry: Entry {
        name: "group-composition",
        version: 1,
        summary: "one hidden layer that learned a group's table, S4 or another, in few irreducible representations",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "5 s",
    },
    lesson: || recipe("S4"),
};

/// The control.
pub(crate) const LATIN_SQUARE: Learned<Composition> = Learned {
    entry: Entry {
        name: "latin-square",
        version: 1,
        summary: "the control of group-composition: a random Latin square, which is no group",
        source: Source::Nothing,
        standing: Standing::Exact,
        cost: "5 s",
    },
    lesson: || recipe("L24"),
};

impl Composition {
    fn table(&self) -> Result<&Table, String> {
        self.made.get_or_init(|| self.make()).as_ref().map_err(Clone::clone)
    }

    fn make(&self) -> Result<Table, String> {
        let mut random = Stream::new(self.labels, "group composition/labels").block(0);
        let order = self.table.strip_prefix('L').and_then(|n| n.parse::<usize>().ok());
        let (square, group) = match order {
            Some(n) if (2..=finite::LARGEST).contains(&n) => {
                (square::random(n, &mut random), false)
            }
            Some(n) => {
                return Err(format!("table = 'L{n}' is no size; hint: L2 to L{}", finite::LARGEST));
            }
            None => {
                let group = Group::named(&self.table).map_err(|why| {
                    format!("table = {why}, and L24 is a random Latin square of order 24")
                })?;
                let n = group.order();
                let labels = match self.labels {
                    0 => Labels::natural(n),
                    _ => Labels::random(n, &mut random),
                };
                (labels.square(&group), true)
            }
        };
        let pairs = square.len() * square.len();
        let share = self.train_share;
        let count = (share * pairs as f64).round() as usize;
        if !(0.0..=1.0).contains(&share) || count == 0 {
            return Err(format!("train_share = {share} leaves no pairs or more than all"));
        }
        let mut trained = vec![false; pairs];
        let order = Stream::new(self.split, "group composition/split").block(0).permutation(pairs);
        order.iter().take(count).for_each(|&i| trained[i] = true);
        Ok(Table { square, group, trained })
    }

    fn wrong(why: String) -> Error {
        Error::Parameters { organism: GROUP_COMPOSITION.entry.name.into(), why }
    }
}

/// Two one-hots.
fn one_hots(n: usize, i: usize) -> Vec<f32> {
    let mut x = vec![0.0; 2 * n];
    x[i / n] = 1.0;
    x[n + i % n] = 1.0;
    x
}

impl Lesson for Composition {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        let n = self.table()?.square.len();
        if !(1..=1 << 12).contains(&self.d_mlp) {
            return Err(format!("d_mlp = {} is no size; hint: from 1 to 4096", self.d_mlp));
        }
        if !(0.0..=10.0).contains(&self.init) {
            return Err(format!("init = {} is no deviation; hint: 0.1", self.init));
        }
        Ok(Architecture::Mlp(MlpConfig {
            d_in: 2 * n,
            d_hidden: vec![self.d_mlp],
            d_out: n,
            act_fn: Activation::Relu,
            bias: true,
            residual: false,
        }))
    }

    fn init_scale(&self) -> f32 {
        self.init
    }

    fn pos(&self) -> usize {
        1
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        // Checked before anything is drawn.
        let Ok(Table { square, trained, .. }) = self.table() else { return vec![] };
        let n = square.len();
        let all: Vec<usize> = (0..n * n).filter(|&i| trained[i]).collect();
        let one = |_| {
            let i = all[random.below(all.len() as u64) as usize];
            Example {
                input: Input::Vector(one_hots(n, i)),
                answers: Answers::Classes(vec![square[i / n][i % n] as u32]),
                counts: vec![true],
            }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(n) = length.filter(|&n| n != 1) {
            return Err(format!("its inputs are vectors without positions, not {n} tokens"));
        }
        let square = &self.table()?.square;
        let n = square.len();
        let values = (0..n * n).flat_map(|i| one_hots(n, i)).collect();
        Ok(Task {
            domain: format!("all {} pairs of {} elements", n * n, n),
            exhaustive: true,
            inputs: Inputs::vectors(2 * n, values).map_err(|e| e.to_string())?,
            clean: n * n,
            partner: other_inputs(n * n, 0),
            reads: vec![true; n * n],
            answers: Answers::Classes(square.iter().flatten().map(|&s| s as u32).collect()),
            d_out: n,
            columns: n,
            distance: Distance::CentredLogits,
            vocabulary: vec![],
            modulus: None,
        })
    }

    /// Contested, without variables: what is located are the numbers of [`Lesson::measure`].
    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let group = self.table().map_err(Self::wrong)?.group;
        let Entry { source, standing, .. } = GROUP_COMPOSITION.entry;
        Ok(if group { Truth { source, standing, ..Truth::nothing() } } else { Truth::nothing() })
    }

    /// `train_` and `test_accuracy` and `_loss` over the pairs trained on and held out, where there are
    /// any; `readings`: what each group of this order finds in the neurons; `neurons`: the group that finds
    /// most and the word for it (`S4: cosets`), or `none`.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let mut out = Parameters::new();
        let Table { square, trained, .. } = self.table().map_err(Self::wrong)?;
        let n = square.len();
        let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
        for (name, wanted) in [("train", true), ("test", false)] {
            let (mut right, mut loss, mut count) = (0usize, 0.0, 0usize);
            for i in (0..n * n).filter(|&i| trained[i] == wanted) {
                let row: Vec<f64> = logits.row(i).iter().map(|&x| f64::from(x)).collect();
                let best = (0..n).fold(0, |b, c| if row[c] > row[b] { c } else { b });
                right += usize::from(best == square[i / n][i % n]);
                loss += cross_entropy(&row, square[i / n][i % n]);
                count += 1;
            }
            if count > 0 {
                out.insert(format!("{name}_accuracy"), json!(right as f64 / count as f64));
                out.insert(format!("{name}_loss"), json!(loss / count as f64));
            }
        }
        let readings: Vec<Reading> = Group::of_order(n)
            .iter()
            .map(|group| Reading::new(network, square, group))
            .collect::<Result<_, _>>()?;
        let most = |r: &Reading| r.purity.max(r.coset_share);
        let found = readings.iter().filter(|r| r.word() != "none");
        let best = found.fold(None, |b: Option<&Reading>, r| match b {
            Some(b) if most(b) >= most(r) => Some(b),
            _ => Some(r),
        });
        let neurons = best.map_or("none".into(), |r| format!("{}: {}", r.group, r.word()));
        out.insert("neurons".into(), json!(neurons));
        let readings: Map<_, _> = readings.iter().map(|r| (r.group.clone(), r.json())).collect();
        out.insert("readings".into(), json!(readings));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Nursery, init};
    use crate::{Organism, with_defaults};
    use serde_json::Value as Json;

    fn parameters(set: Json) -> Parameters {
        with_defaults(&GROUP_COMPOSITION, set.as_object().unwrap()).unwrap()
    }

    #[test]
    fn five_turns_and_their_reflections_are_learned_as_what_they_are() {
        let cx = Context::single();
        let p = parameters(json!({
            "table": "D5", "d_mlp": 64, "steps": 600, "cooldown": 200, "batch": 100
        }));
        let bred = GROUP_COMPOSITION.breed(&p, 0, &cx, &Nursery::none()).unwrap();
        let m = GROUP_COMPOSITION.measure(&p, &bred.network, &cx).unwrap();
        assert_eq!(m["accuracy"], json!(1.0), "{m:?}");
        assert!(m["neurons"].as_str().unwrap().starts_with("D5: "), "{m:?}");
        assert_eq!(m["readings"]["Z10"]["neurons"], "none", "{m:?}");
        assert_eq!(bred.truth.standing, Standing::Contested);
    }

    // Names are found again, so a network whose rows, columns and symbols change places reads alike.
    #[test]
    fn what_a_group_finds_does_not_depend_on_labels() {
        for name in ["Z12", "D6", "A4"] {
            let group = Group::named(name).unwrap();
            let n = group.order();
            let architecture = Architecture::Mlp(MlpConfig {
                d_in: 2 * n,
                d_hidden: vec![9],
                d_out: n,
                act_fn: Activation::Relu,
                bias: true,
                residual: false,
            });
            let network = Network::new(architecture.clone(), init(&architecture, 1.0, 3).unwrap());
            let network = network.unwrap();
            let plain = Labels::natural(n);
            let moved = Labels::random(n, &mut Stream::new(5, name).block(0));
            let (w_in, w_out) = ("blocks.0.mlp.W_in", "unembed.W_U");
            let (mut into, mut out) =
                (network.weight(w_in).unwrap().clone(), network.weight(w_out).unwrap().clone());
            for j in 0..9 {
                for x in 0..n {
                    let (from_in, from_out) = (
                        network.weight(w_in).unwrap().data(),
                        network.weight(w_out).unwrap().data(),
                    );
                    into.data_mut()[x * 9 + j] = from_in[moved.rows[x] * 9 + j];
                    into.data_mut()[(n + x) * 9 + j] = from_in[(n + moved.columns[x]) * 9 + j];
                    out.data_mut()[j * n + x] = from_out[j * n + moved.symbols[x]];
                }
            }
            let other = network.with_weight(w_in, into).unwrap().with_weight(w_out, out).unwrap();
            let a = Reading::new(&network, &plain.square(&group), &group).unwrap();
            let b = Reading::new(&other, &moved.square(&group), &group).unwrap();
            assert!(a.isotopic && b.isotopic, "{name}");
            assert!((a.purity - b.purity).abs() < 1e-9, "{name}: {} {}", a.purity, b.purity);
            assert!((a.coset_share - b.coset_share).abs() < 1e-9, "{name}");
        }
    }

    #[test]
    fn parameters_that_make_no_sense_are_errors_with_the_way_out() {
        for (set, key) in [
            (json!({ "table": "Q8" }), "table"),
            (json!({ "table": "L1" }), "L2 to"),
            (json!({ "table": "L99999999999" }), "L2 to"),
            (json!({ "train_share": 0.0 }), "train_share"),
            (json!({ "train_share": 1.5 }), "train_share"),
            (json!({ "d_mlp": 0 }), "d_mlp"),
            (json!({ "init": -1.0 }), "init"),
        ] {
            let e = GROUP_COMPOSITION.task(&parameters(set), None).unwrap_err().to_string();
            assert!(e.contains(key), "{e}");
        }
        assert!(GROUP_COMPOSITION.task(&parameters(json!({})), Some(3)).is_err());
    }
}
