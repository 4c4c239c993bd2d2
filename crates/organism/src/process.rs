//! Hidden Markov processes: data with a known optimal predictor.
//!
//! A process emits a token whenever it moves from one state to another; who sees only tokens can know
//! no more than a *belief*, the distribution over states given the history. Bayes' rule updates it with
//! one product and one division, so it is known exactly for every history, and with it the distribution of
//! the next token that no predictor can better (Shai et al. 2024, "Transformers represent belief state
//! geometry in their residual stream", arXiv 2405.15943).
//!
//! With T\[token\]\[from\]\[to\] = P(token, to | from) and a belief b (a row vector),
//!
//! ```text
//! P(token | b) = sum(b T[token]),   b' = b T[token] / P(token | b)
//! ```
//!
//! and the belief before the first token is the stationary distribution.
//!
//! ```
//! use flyroom_organism::Process;
//! let beliefs = Process::z1r()?.beliefs(&[0, 0]).unwrap();
//! // "0" is said by the states Z and R with chances 1 and 1/2: then the process is in O or Z.
//! assert!((beliefs[0][1] - 2.0 / 3.0).abs() < 1e-15);
//! // A second 0: it was R and then Z.
//! assert!((beliefs[1][1] - 1.0).abs() < 1e-15);
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

use crate::{Error, Factor};
use flyroom_tensor::{linalg, math, random::Generator};
use serde::{Deserialize, Serialize};

/// States and tokens of a process, at most.
const LARGEST: usize = 256;

/// How far the chances of a state may be from a sum of 1.
const ROUNDING: f64 = 1e-9;

/// A hidden Markov process that starts in its stationary distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Process {
    tokens: usize,
    /// What may happen in each state: (token, next state, chance), in this order.
    leaving: Vec<Vec<(u32, u32, f64)>>,
    /// The belief before the first token, `[state]`.
    stationary: Vec<f64>,
    factors: Vec<Factor>,
}

/// As a file holds it: the table of all chances, or, where states have factors, which makes them many, the edges
/// (token, from, to, chance).
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transitions: Vec<Vec<Vec<f64>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edges: Vec<(u32, u32, u32, f64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    factors: Vec<Factor>,
}

impl TryFrom<Written> for Process {
    type Error = Error;

    fn try_from(w: Written) -> Result<Self, Error> {
        if w.edges.is_empty() {
            return Self::new(w.transitions)?.with_factors(w.factors);
        }
        let sizes = w.edges.iter().fold((0, 0), |(n, m), e| (n.max(e.0), m.max(e.1.max(e.2))));
        let edges = w.edges.iter().map(|&(t, a, b, p)| (t as usize, a as usize, b as usize, p));
        Self::of(sizes.0 as usize + 1, sizes.1 as usize + 1, edges)?.with_factors(w.factors)
    }
}

impl From<Process> for Written {
    fn from(p: Process) -> Self {
        let all = p.leaving.iter().zip(0..).flat_map(|(out, from)| {
            out.iter().map(move |&(token, to, chance)| (token, from, to, chance))
        });
        if !p.factors.is_empty() {
            return Self { edges: all.collect(), factors: p.factors, ..Self::default() };
        }
        let mut transitions = vec![vec![vec![0.0; p.states()]; p.states()]; p.tokens];
        for (token, from, to, chance) in all {
            transitions[token as usize][from as usize][to as usize] = chance;
        }
        Self { transitions, ..Self::default() }
    }
}

fn bad(why: &str) -> Error {
    Error::Truth(format!("a hidden Markov process: {why}"))
}

impl Process {
    /// The process with P(token, to | from) = `transitions[token][from][to]`. Fails unless these are
    /// distributions with one stationary distribution.
    pub fn new(transitions: Vec<Vec<Vec<f64>>>) -> Result<Self, Error> {
        let states = transitions.first().map_or(0, Vec::len);
        let square = |t: &Vec<Vec<f64>>| t.len() == states && t.iter().all(|r| r.len() == states);
        if !transitions.iter().all(square) {
            return Err(bad("every token has a chance for each pair of states"));
        }
        let mut edges = vec![];
        for (token, t) in transitions.iter().enumerate() {
            for (from, row) in t.iter().enumerate() {
                // What is no chance is kept, to be refused.
                let there = row.iter().enumerate().filter(|(_, p)| **p != 0.0);
                edges.extend(there.map(|(to, &p)| (token, from, to, p)));
            }
        }
        Self::of(transitions.len(), states, edges)
    }

    /// The process whose `edges` are (token, from, to, chance). Fails unless these are distributions with one
    /// stationary distribution.
    pub(crate) fn of(
        tokens: usize,
        states: usize,
        edges: impl IntoIterator<Item = (usize, usize, usize, f64)>,
    ) -> Result<Self, Error> {
        let sized = |n: usize| (1..=LARGEST).contains(&n);
        if !sized(states) || !sized(tokens) {
            return Err(bad("1 to 256 states and tokens"));
        }
        let mut leaving = vec![vec![]; states];
        for (token, from, to, chance) in edges {
            if token >= tokens || from >= states || to >= states {
                return Err(bad("an edge of a token or a state that there is not"));
            }
            leaving[from].push((token as u32, to as u32, chance));
        }
        for out in &mut leaving {
            out.sort_by_key(|&(token, to, _)| (token, to));
            if out.windows(2).any(|w| (w[0].0, w[0].1) == (w[1].0, w[1].1)) {
                return Err(bad("an edge that is there twice"));
            }
        }
        let mut moves = vec![0.0; states * states];
        for (from, out) in leaving.iter().enumerate() {
            out.iter().for_each(|&(_, to, p)| moves[from * states + to as usize] += p);
        }
        let chance = |p: f64| (0.0..=1.0).contains(&p);
        let one = |row: &[f64]| (row.iter().sum::<f64>() - 1.0).abs() <= ROUNDING;
        let chances = leaving.iter().flatten().all(|&(_, _, p)| chance(p));
        if !chances || !moves.chunks_exact(states).all(one) {
            return Err(bad("what leaves a state has chances that sum to 1"));
        }
        // pi (M - 1) = 0 and sum(pi) = 1, by least squares: exact where there is one such pi.
        let mut equations = linalg::transpose(states, states, &moves);
        equations.iter_mut().step_by(states + 1).for_each(|x| *x -= 1.0);
        equations.extend(vec![1.0; states]);
        let mut wanted = vec![0.0; states];
        wanted.push(1.0);
        let stationary = linalg::solve_least_squares(states + 1, states, 1, &equations, &wanted)
            .map_err(|_| bad("it has more than one stationary distribution"))?
            .into_iter()
            .map(|p| p.max(0.0))
            .collect();
        Ok(Self { tokens, leaving, stationary, factors: vec![] })
    }

    /// The same process, whose states are made of these factors.
    pub(crate) fn with_factors(self, factors: Vec<Factor>) -> Result<Self, Error> {
        match factors.iter().all(|f| f.fits(self.states())) {
            true => Ok(Self { factors, ..self }),
            false => Err(bad("a factor has one value, or none, for each state")),
        }
    }

    /// Three states; a step leads to each other state with chance `x`, and says the name of the state
    /// that it leads to with chance `a`, either other name with (1 - a) / 2 (Marzen and Crutchfield
    /// 2017; Shai et al. 2024).
    pub fn mess3(x: f64, a: f64) -> Result<Self, Error> {
        let all = (0..27).map(|i| (i / 9, i / 3 % 3, i % 3));
        Self::of(
            3,
            3,
            all.map(|(token, from, to)| {
                let said = if token == to { a } else { (1.0 - a) / 2.0 };
                (token, from, to, said * if from == to { 1.0 - 2.0 * x } else { x })
            }),
        )
    }

    /// Two fair bits, then their exclusive or, again and again. States: nothing known, the first bit is
    /// 0, it is 1, the third will be 1, it will be 0.
    pub fn rrxor() -> Result<Self, Error> {
        let fair = [
            (0, 0, 1, 0.5),
            (1, 0, 2, 0.5),
            (0, 1, 4, 0.5),
            (1, 1, 3, 0.5),
            (0, 2, 3, 0.5),
            (1, 2, 4, 0.5),
        ];
        Self::of(2, 5, fair.into_iter().chain([(1, 3, 0, 1.0), (0, 4, 0, 1.0)]))
    }

    /// Zero, one, a fair bit, again and again. States are named by what they say: Z, O, R.
    pub fn z1r() -> Result<Self, Error> {
        Self::of(2, 3, [(0, 0, 1, 1.0), (1, 1, 2, 1.0), (0, 2, 0, 0.5), (1, 2, 0, 0.5)])
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.stationary.len()
    }

    /// What its states are made of, where that is known.
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// The belief before the first token, `[state]`.
    pub fn stationary(&self) -> &[f64] {
        &self.stationary
    }

    /// P(next token) under a belief, `[token]`.
    pub fn next(&self, belief: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.tokens];
        for (b, leaving) in belief.iter().zip(&self.leaving) {
            for said in leaving.chunk_by(|x, y| x.0 == y.0) {
                out[said[0].0 as usize] += b * said.iter().map(|(_, _, p)| p).sum::<f64>();
            }
        }
        out
    }

    /// The belief behind a token; `None` where the token cannot come.
    pub fn update(&self, belief: &[f64], token: u32) -> Option<Vec<f64>> {
        let mut joint = vec![0.0; self.states()];
        for (b, leaving) in belief.iter().zip(&self.leaving) {
            let said = leaving.iter().filter(|(t, ..)| *t == token);
            said.for_each(|&(_, to, p)| joint[to as usize] += b * p);
        }
        let chance: f64 = joint.iter().sum();
        (chance > 0.0).then(|| joint.into_iter().map(|j| j / chance).collect())
    }

    /// The belief behind each token of a history, `[pos][state]`; `None` where it cannot come.
    pub fn beliefs(&self, tokens: &[u32]) -> Option<Vec<Vec<f64>>> {
        let mut belief = self.stationary.clone();
        let behind = |&token: &u32| {
            belief = self.update(&belief, token)?;
            Some(belief.clone())
        };
        tokens.iter().map(behind).collect()
    }

    /// A history of `n` tokens.
    pub fn draw(&self, n: usize, random: &mut Generator) -> Vec<u32> {
        let mut state = drawn(self.stationary.iter().copied(), random);
        let mut out = Vec::with_capacity(n);
        for _ in 0..n {
            // Token and next state at once.
            let leaving = &self.leaving[state];
            let (token, to, _) = leaving[drawn(leaving.iter().map(|(_, _, p)| *p), random)];
            out.push(token);
            state = to as usize;
        }
        out
    }

    /// H(next token | the `n` tokens before it) in nats, from all histories: what no predictor that sees `n`
    /// tokens can better. Takes tokens^n steps.
    pub fn conditional_entropy(&self, n: usize) -> f64 {
        self.entropy_below(&self.stationary, n)
    }

    fn entropy_below(&self, belief: &[f64], n: usize) -> f64 {
        let next = self.next(belief);
        if n == 0 {
            return entropy(&next);
        }
        let each = next.iter().enumerate().map(|(token, chance)| {
            let behind = self.update(belief, token as u32);
            behind.map_or(0.0, |b| chance * self.entropy_below(&b, n - 1))
        });
        each.sum()
    }
}

/// In nats.
pub(crate) fn entropy(chances: &[f64]) -> f64 {
    let term = |&p: &f64| if p > 0.0 { -p * math::ln64(p) } else { 0.0 };
    chances.iter().map(term).sum()
}

/// An index drawn with these chances; the last one that is possible takes what rounding leaves.
pub(crate) fn drawn(chances: impl Iterator<Item = f64>, random: &mut Generator) -> usize {
    let at = random.uniform64();
    let (mut sum, mut last) = (0.0, 0);
    for (i, p) in chances.enumerate().filter(|(_, p)| *p > 0.0) {
        sum += p;
        last = i;
        if at < sum {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::Stream;

    const LN_2: f64 = std::f64::consts::LN_2;

    fn near(x: &[f64], y: &[f64]) {
        assert_eq!(x.len(), y.len());
        assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-14), "{x:?} {y:?}");
    }

    fn mess3() -> Process {
        Process::mess3(0.05, 0.85).unwrap()
    }

    #[test]
    fn stationary_distributions_are_those_computed_by_hand() {
        near(mess3().stationary(), &[1.0 / 3.0; 3]);
        near(Process::z1r().unwrap().stationary(), &[1.0 / 3.0; 3]);
        // A third of the time nothing is known; the other states come in pairs of equal chances.
        let sixth = 1.0 / 6.0;
        let rrxor = Process::rrxor().unwrap();
        near(rrxor.stationary(), &[1.0 / 3.0, sixth, sixth, sixth, sixth]);
    }

    #[test]
    fn beliefs_are_those_computed_by_hand() {
        // From the uniform belief every destination has 1/3 and says A with .85, .075, .075.
        let b = mess3().beliefs(&[0, 0]).unwrap();
        near(&b[0], &[0.85, 0.075, 0.075]);
        // Moved: .85 * .9 + .15 * .05 = .7725 and .11375 twice; said A: .656625 and .00853125 twice.
        let total = 0.656625 + 2.0 * 0.00853125;
        near(&b[1], &[0.656625 / total, 0.00853125 / total, 0.00853125 / total]);
        // Z1R says 1 from O (then R) or R (then Z), 2 to 1; another 1 came from O and R before it.
        let b = Process::z1r().unwrap().beliefs(&[1, 1, 0]).unwrap();
        near(&b[0], &[1.0 / 3.0, 0.0, 2.0 / 3.0]);
        near(&b[1], &[1.0, 0.0, 0.0]);
        near(&b[2], &[0.0, 1.0, 0.0]);
        // 0 xor 0 is not 1: the last token of 0, 0, 1 is the first or the second of three. So it is not
        // the first bit 0, nor is 0 certain to follow.
        let b = Process::rrxor().unwrap().beliefs(&[0, 0, 1]).unwrap();
        assert_eq!(b[2][1], 0.0);
        assert_eq!(b[2][0], 0.0);
    }

    #[test]
    fn beliefs_and_their_predictions_sum_to_1_and_impossible_histories_have_none() {
        for process in [mess3(), Process::rrxor().unwrap(), Process::z1r().unwrap()] {
            let mut random = Stream::new(3, "histories").block(0);
            for _ in 0..50 {
                let history = process.draw(12, &mut random);
                for b in process.beliefs(&history).unwrap() {
                    assert!((b.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    assert!((process.next(&b).iter().sum::<f64>() - 1.0).abs() < 1e-12);
                }
            }
        }
        let z1r = Process::z1r().unwrap();
        // Three equal tokens never come; 7 is no token.
        assert_eq!(z1r.beliefs(&[0, 0, 0]), None);
        assert_eq!(z1r.beliefs(&[7]), None);
    }

    #[test]
    fn entropies_fall_to_the_entropy_rate() {
        // One fair bit in three tokens, once the phase is known.
        let z1r = Process::z1r().unwrap();
        assert!((z1r.conditional_entropy(0) - LN_2).abs() < 1e-15);
        assert!((z1r.conditional_entropy(12) - LN_2 / 3.0).abs() < 0.01);
        // Two fair bits in three.
        let rrxor = Process::rrxor().unwrap();
        assert!((rrxor.conditional_entropy(0) - LN_2).abs() < 1e-15);
        let late = rrxor.conditional_entropy(14);
        assert!(late > 2.0 / 3.0 * LN_2 && late < 2.0 / 3.0 * LN_2 + 0.03, "{late}");
        // Behind one token the next state has chances .7725 and .11375 twice (above).
        let same = 0.7725 * 0.85 + 2.0 * 0.11375 * 0.075;
        let other = 0.7725 * 0.075 + 0.11375 * 0.85 + 0.11375 * 0.075;
        let by_hand = entropy(&[same, other, other]);
        assert!((mess3().conditional_entropy(1) - by_hand).abs() < 1e-14);
        let entropies: Vec<f64> = (0..8).map(|n| mess3().conditional_entropy(n)).collect();
        assert!(entropies.windows(2).all(|w| w[1] < w[0]), "{entropies:?}");
    }

    #[test]
    fn drawn_histories_have_the_frequencies_of_the_process() {
        let process = mess3();
        let mut random = Stream::new(1, "histories").block(0);
        let n = 20_000;
        let same = (0..n).filter(|_| process.draw(2, &mut random).windows(2).all(|w| w[0] == w[1]));
        let share = same.count() as f64 / n as f64;
        // P(the second token is the first) from above; 5 standard errors.
        let p = 0.7725 * 0.85 + 2.0 * 0.11375 * 0.075;
        assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt(), "{share} {p}");
    }

    #[test]
    fn what_is_no_process_is_refused() {
        let refused = |t: Vec<Vec<Vec<f64>>>| Process::new(t).unwrap_err().to_string();
        assert!(refused(vec![]).contains("256 states"));
        assert!(refused(vec![vec![vec![1.0], vec![1.0]]]).contains("each pair of states"));
        assert!(refused(vec![vec![vec![0.5]]]).contains("sum to 1"));
        assert!(refused(vec![vec![vec![f64::NAN]]]).contains("sum to 1"));
        // Two states that never meet.
        let apart = vec![vec![vec![1.0, 0.0], vec![0.0, 1.0]]];
        assert!(refused(apart).contains("more than one stationary"));
        let text = serde_json::to_string(&mess3()).unwrap();
        assert_eq!(serde_json::from_str::<Process>(&text).unwrap(), mess3());
        assert!(serde_json::from_str::<Process>(r#"{"transitions": [[[2.0]]]}"#).is_err());
    }
}
