//! Rings: what comes k days after a day (Engels et al. 2024, "Not all language model features are
//! one-dimensionally linear", arXiv 2405.14860, find days and months on circles).
//!
//! A network reads a day a and a number k, both modulo n, and answers the day a + k, which the data misremember: the
//! chance of an answer c falls with its distance on the ring (von Mises),
//!
//! ```text
//! P(c | a, k) = exp(concentration cos(2 pi (a + k - c) / n)) / Z
//! ```
//!
//! so that the best logits are one cosine, and one circle is all that the days need. With exact answers any
//! circle that visits the days in steps of k would do as well (that is [`crate::modular_addition`]'s).
//! The truth is generated: the cosine, and where it lies a plane of the embedding, found from the embedding
//! alone as its first Fourier component over the days.
//!
//! The claim is an intervention: turned by j n-ths of a circle in that plane, a day is answered as the day j
//! later. The same with the days in another order is at chance.

use crate::belief_state::divergence;
use crate::cosines::{Plane, with_cosines};
use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule};
use crate::task::other_inputs;
use crate::truth::Shape;
use crate::{Answers, Distance, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_explanation::{Term, Value};
use flyroom_network::{
    Architecture, Inputs, Intervention, Network, Operation, Row, Runner, Selector,
};
use flyroom_tensor::math::{exp64, sin_cos_turns64};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, linalg};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Where days are embedded.
const SITE: &str = "hook_embed";

/// Other orders of the days that are tried.
const ORDERS: u64 = 32;

/// Largest ring.
const LARGEST: usize = 64;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    /// n: days of the week, months of the year.
    n: usize,
    /// How well answers are remembered.
    concentration: f64,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

fn week() -> Ring {
    Ring {
        n: 7,
        concentration: 4.0,
        form: Form { n_layers: 1, d_model: 32, n_heads: 2, d_mlp: 64, ..Form::default() },
        schedule: Schedule {
            steps: 3000,
            batch: 256,
            lr: 3e-3,
            cooldown: 2000,
            weight_decay: 1.0,
            ..Schedule::default()
        },
    }
}

/// Opposite months cancel in a sum, odd rings have none that are opposite: it takes more neurons, and answers so
/// vague that a second circle is not worth its weights.
fn year() -> Ring {
    let Ring { form, schedule, .. } = week();
    Ring {
        n: 12,
        concentration: 1.0,
        form: Form { d_mlp: 256, ..form },
        schedule: Schedule { steps: 2000, cooldown: 1500, weight_decay: 0.5, ..schedule },
    }
}

const fn entry(name: &'static str, summary: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::Generated,
        standing: Standing::Contested,
        cost: "5 s",
    }
}

/// Days of a week.
pub(crate) const RING_7: Learned<Ring> = Learned {
    entry: entry("ring-7", "Answers the day that is k days later; the days lie on a circle."),
    lesson: week,
};

/// Months of a year.
pub(crate) const RING_12: Learned<Ring> = Learned {
    entry: entry(
        "ring-12",
        "Answers the month that is k months later; the months lie on a circle.",
    ),
    lesson: year,
};

impl Ring {
    /// P(c | the right answer), `[c]`.
    fn chances(&self, right: usize) -> Vec<f64> {
        let of = |c: usize| {
            let (_, cos) = turn(right + self.n - c, self.n);
            exp64(self.concentration * (cos - 1.0))
        };
        let all: Vec<f64> = (0..self.n).map(of).collect();
        let total: f64 = all.iter().sum();
        all.into_iter().map(|p| p / total).collect()
    }

    /// The plane of the first Fourier component of the embedding over days in an order: `order[i]` is the
    /// day that comes i-th. `None` where it is a line.
    fn plane(&self, network: &Network, order: &[usize]) -> Result<Option<Found>, Error> {
        let table = network.weight("embed.W_E")?;
        let (n, d) = (self.n, self.form.d_model);
        let row = |day: usize| table.row(day).iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (mut waves, mut centre) = (vec![0.0; 2 * d], vec![0.0; d]);
        let mut power = 0.0;
        for (i, &day) in order.iter().enumerate() {
            let (sin, cos) = turn(i, n);
            for (j, x) in row(day).into_iter().enumerate() {
                waves[j] += 2.0 / n as f64 * cos * x;
                waves[d + j] += 2.0 / n as f64 * sin * x;
                centre[j] += x / n as f64;
                power += x * x;
            }
        }
        let basis = linalg::orthonormal_rows(2, d, &waves, 1e-6);
        if basis.len() != 2 * d {
            return Ok(None);
        }
        let along = |x: &[f64]| [0, 1].map(|i| linalg::dot(&basis[i * d..(i + 1) * d], x));
        let (cos, sin) = (along(&waves[..d]), along(&waves[d..]));
        power -= n as f64 * linalg::dot(&centre, &centre);
        let of_wave = n as f64 / 2.0 * linalg::dot(&waves, &waves);
        Ok(Some(Found {
            basis: basis.chunks(d).map(|q| q.iter().map(|&x| x as f32).collect()).collect(),
            map: [[cos[0], sin[0]], [cos[1], sin[1]]],
            centre: along(&centre),
            share: if power > 0.0 { of_wave / power } else { 0.0 },
            points: (0..n).map(|day| along(&row(day))).collect(),
        }))
    }

    /// The share of (a, k, j) with j > 0 on which a, turned by j in the plane of an order, is answered as
    /// the day j places later in that order.
    fn turned(&self, runner: &Runner, order: &[usize]) -> Result<f64, Error> {
        let n = self.n;
        let Some(found) = self.plane(runner.network(), order)? else { return Ok(0.0) };
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(i, &day)| place[day] = i);
        // Which way round the plane goes.
        let [[a, b], [c, d]] = found.map;
        let sense = (a * d - b * c).signum();
        let (mut rows, mut wanted) = (vec![], vec![]);
        for input in 0..n * n {
            let (day, k) = (input / n, input % n);
            for j in 1..n {
                let (sin, cos) = turn(j, n);
                let [x, y] = [0, 1].map(|i| found.points[day][i] - found.centre[i]);
                let (x, y) = (cos * x - sense * sin * y, sense * sin * x + cos * y);
                let values = vec![(x + found.centre[0]) as f32, (y + found.centre[1]) as f32];
                let selector = Selector::site(SITE).at_pos(0).in_basis(found.basis.clone());
                let set = Intervention::site(selector, Operation::Set { values });
                rows.push(Row { input, interventions: vec![set] });
                wanted.push((order[(place[day] + j) % n] + k) % n);
            }
        }
        let outputs = runner.run(&rows)?;
        let best = |y: &[f32]| (0..n).fold(0, |b, c| if y[n + c] > y[n + b] { c } else { b });
        let right = outputs.iter().zip(&wanted).filter(|(y, w)| best(y) == **w).count();
        Ok(right as f64 / wanted.len() as f64)
    }
}

/// A plane of the embedding.
struct Found {
    basis: Vec<Vec<f32>>,
    /// Coordinates of the circle: columns for cos and sin.
    map: [[f64; 2]; 2],
    centre: [f64; 2],
    /// Share of the variance of the embedding that the wave holds.
    share: f64,
    /// Coordinates of each day.
    points: Vec<[f64; 2]>,
}

/// (sin, cos) of i n-ths of a circle.
fn turn(i: usize, n: usize) -> (f64, f64) {
    sin_cos_turns64((i % n) as f64 / n as f64)
}

impl Lesson for Ring {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        if !(3..=LARGEST).contains(&self.n) {
            return Err(format!("n = {} is no ring; hint: from 3 to {LARGEST}", self.n));
        }
        if !(0.0..=1000.0).contains(&self.concentration) {
            return Err(format!(
                "concentration = {} is none; hint: from 0 (any answer) to 1000 (the right one)",
                self.concentration
            ));
        }
        let c = self.form.transformer(self.n, 2, self.n, self.schedule.batch)?;
        Ok(Architecture::Transformer(c))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        2
    }

    fn window(&self, pos: usize) -> Range<usize> {
        pos - 1..pos
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let chances: Vec<Vec<f64>> = (0..self.n).map(|right| self.chances(right)).collect();
        let one = |_| {
            let [a, k] = [0; 2].map(|_| random.below(self.n as u64) as usize);
            let answer = crate::process::drawn(chances[(a + k) % self.n].iter().copied(), random);
            let input = Input::Tokens(vec![a as u32, k as u32]);
            let answers = Answers::Classes(vec![answer as u32]);
            Example { input, answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(length) = length.filter(|&length| length != 2) {
            return Err(format!("its inputs are two tokens, not {length}"));
        }
        let n = self.n;
        let rows: Vec<Vec<u32>> =
            (0..n * n).map(|i| vec![(i / n) as u32, (i % n) as u32]).collect();
        let answer = |i: usize| if i % 2 == 1 { (i / 2 / n + i / 2 % n) % n } else { 0 };
        Ok(Task {
            domain: format!("all {} pairs (a, k) modulo {n}", n * n),
            exhaustive: true,
            inputs: Inputs::tokens(&rows).map_err(|e| e.to_string())?,
            clean: n * n,
            partner: other_inputs(n * n, 0),
            reads: (0..2 * n * n).map(|i| i % 2 == 1).collect(),
            answers: Answers::Classes((0..2 * n * n).map(|i| answer(i) as u32).collect()),
            d_out: n,
            columns: n,
            distance: Distance::CentredLogits,
            vocabulary: (0..n as i64).map(Value::Int).collect(),
            modulus: Some(n),
        })
    }

    fn truth(&self, network: &Network, _: &Context) -> Result<Truth, Error> {
        let n = self.n;
        let order: Vec<usize> = (0..n).collect();
        let corner = |i: usize| {
            let (sin, cos) = turn(i, n);
            vec![cos as f32, sin as f32]
        };
        let shape = Shape { site: SITE.into(), pos: 0, points: (0..n).map(corner).collect() };
        let truth = Truth {
            source: Source::Generated,
            standing: Standing::Contested,
            shape: Some(shape),
            ..Truth::nothing()
        };
        let Some(found) = self.plane(network, &order)? else { return Ok(truth) };
        let plane = |operand: &'static str, pos: usize| Plane {
            operand,
            frequency: 1,
            selector: Selector::site(SITE).in_basis(found.basis.clone()),
            pos: Some(pos),
            map: found.map,
            centre: found.centre,
        };
        let term = Term { frequency: 1, amplitude: self.concentration as f32, phase: 0.0 };
        let planes = [plane("a", 0), plane("b", 1)];
        Ok(with_cosines(n, &planes, Some(vec![term]), truth))
    }

    /// `excess`: KL(data || network) in nats, in the mean over all inputs. `ring_share`: what the first Fourier
    /// component holds of the variance of the embedding. `turned`: the share of days that are answered as the day j
    /// later when they are turned by j; `turned_shuffled`: the same in other orders of the days.
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let n = self.n;
        let runner = Runner::new(network, &task.inputs, cx)?;
        let logits = runner.logits()?;
        let of = |i: usize| {
            let row = &logits.row(i)[n..2 * n];
            divergence(&self.chances((i / n + i % n) % n), row)
        };
        let excess = (0..n * n).map(of).sum::<f64>() / (n * n) as f64;
        let order: Vec<usize> = (0..n).collect();
        let share = self.plane(network, &order)?.map_or(0.0, |f| f.share);
        let mut shuffled = 0.0;
        for s in 0..ORDERS {
            let other = Stream::new(0, "ring/orders").block(s).permutation(n);
            shuffled += self.turned(&runner, &other)? / ORDERS as f64;
        }
        Ok(Parameters::from_iter([
            ("excess".into(), json!(excess)),
            ("ring_share".into(), json!(share)),
            ("turned".into(), json!(self.turned(&runner, &order)?)),
            ("turned_shuffled".into(), json!(shuffled)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_misremembered_by_their_distance_on_the_ring() {
        let p = Ring { concentration: 4.0, ..year() }.chances(11);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        // Next to it on both sides, across 0: e^(4 (cos 30 degrees - 1)) of the right one's.
        let ratio = exp64(4.0 * (3f64.sqrt() / 2.0 - 1.0));
        assert!((p[0] / p[11] - ratio).abs() < 1e-12 && (p[10] / p[11] - ratio).abs() < 1e-12);
        // Opposite: e^-8.
        assert!((p[5] / p[11] - exp64(-8.0)).abs() < 1e-12);
    }

    #[test]
    fn a_circle_that_was_written_into_the_embedding_is_found() {
        let lesson = week();
        let architecture = lesson.architecture().unwrap();
        let network =
            Network::new(architecture.clone(), crate::train::init(&architecture, 0.1, 0).unwrap());
        let mut table = flyroom_tensor::Tensor::zeros(&[7, 32]);
        for day in 0..7 {
            let (sin, cos) = turn(day, 7);
            let row = &mut table.data_mut()[day * 32..(day + 1) * 32];
            (row[3], row[5], row[8]) = (2.0 * cos as f32, 2.0 * sin as f32, 1.0);
        }
        let network = network.unwrap().with_weight("embed.W_E", table).unwrap();
        let found = lesson.plane(&network, &(0..7).collect::<Vec<_>>()).unwrap().unwrap();
        assert!((found.share - 1.0).abs() < 1e-6, "{}", found.share);
        let radius = |p: &[f64; 2]| p[0].hypot(p[1]);
        assert!(found.points.iter().all(|p| (radius(p) - 2.0).abs() < 1e-6));
        // In another order the first wave holds less.
        let other = lesson.plane(&network, &[0, 2, 4, 6, 1, 3, 5]).unwrap();
        assert!(other.is_none_or(|f| f.share < 1e-6));
    }

    #[test]
    fn a_perfect_circle_in_other_orders_turns_as_often_as_the_page_says_of_chance() {
        // Less than .005 is two standard errors of 4,000 orders (deviations of one: .108 and .042).
        for (n, chance) in [(7, 0.197), (12, 0.099)] {
            let mut mean = 0.0;
            for s in 0..4000 {
                let order = Stream::new(1, "orders").block(s).permutation(n);
                let mut place = vec![0; n];
                order.iter().enumerate().for_each(|(i, &day)| place[day] = i);
                // The first wave of the days' places on the circle; its determinant says which way round it goes.
                let mut wave = [[0.0; 2]; 2];
                for (i, &day) in order.iter().enumerate() {
                    let ((sin, cos), (y, x)) = (turn(i, n), turn(day, n));
                    wave[0] = [wave[0][0] + cos * x, wave[0][1] + sin * x];
                    wave[1] = [wave[1][0] + cos * y, wave[1][1] + sin * y];
                }
                let forward = wave[0][0] * wave[1][1] - wave[0][1] * wave[1][0] > 0.0;
                let met = |day: usize, j: usize| {
                    let turned = if forward { day + j } else { day + n - j };
                    order[(place[day] + j) % n] == turned % n
                };
                let met = (0..n * (n - 1)).filter(|i| met(i / (n - 1), i % (n - 1) + 1)).count();
                mean += met as f64 / (n * (n - 1)) as f64 / 4000.0;
            }
            assert!((mean - chance).abs() < 0.005, "{n}: {mean}");
        }
    }
}
