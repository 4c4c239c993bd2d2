//! Functions so small that every circuit of the network can be tried.
//!
//! A network of few ReLUs learns XOR of two bits, or |x|. All subsets of its weights are run, with the
//! others set to 0 and the biases left: a subset is a *perfect circuit* where it answers every input
//! as the function does, and a *minimal* one where no proper subset of it is perfect. More than
//! one minimal circuit in one network means that "the circuit" is no fact about it (Méloux et al. 2025,
//! "Everything, everywhere, all at once: is mechanistic interpretability identifiable?", arXiv 2502.20914, who
//! count circuits of small Boolean networks).
//!
//! Two nouns: [`Gate`], the parameters, and [`Circuits`], what was found.

use crate::lesson::{Example, Input, Learned, Lesson, Schedule};
use crate::{Answers, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_network::{Activation, Architecture, Inputs, MlpConfig, Network};
use flyroom_tensor::Context;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Weights whose subsets are all tried.
const MOST_WEIGHTS: usize = 18;
/// Points of -1 .. 1 on which |x| is judged.
const GRID: usize = 101;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    /// Exclusive or of two bits, 0 or 1.
    Xor,
    /// |x| of one number on -1 .. 1.
    AbsoluteValue,
}

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gate {
    function: Function,
    /// Hidden layers.
    n_layers: usize,
    /// Neurons of each.
    d_mlp: usize,
    #[serde(flatten)]
    schedule: Schedule,
}

fn standard(function: Function, n_layers: usize, d_mlp: usize) -> Gate {
    Gate {
        function,
        n_layers,
        d_mlp,
        schedule: Schedule {
            steps: 3000,
            batch: 32,
            lr: 1e-2,
            cooldown: 1500,
            weight_decay: 0.0,
            ..Schedule::default()
        },
    }
}

const ENTRY: Entry = Entry {
    name: "boolean",
    version: 1,
    summary: "XOR by six ReLUs, and every circuit of it that is perfect",
    source: Source::Generated,
    standing: Standing::Contested,
    cost: "1 s",
};

/// Exclusive or.
pub(crate) const BOOLEAN: Learned<Gate> =
    Learned { entry: ENTRY, lesson: || standard(Function::Xor, 1, 6) };

/// The absolute value.
pub(crate) const ABSOLUTE_VALUE: Learned<Gate> = Learned {
    entry: Entry {
        name: "absolute-value",
        summary: "|x| by seven ReLUs, and every circuit of it that is perfect",
        ..ENTRY
    },
    lesson: || standard(Function::AbsoluteValue, 1, 7),
};

impl Function {
    fn answer(self, x: &[f32]) -> f32 {
        match self {
            Self::Xor => f32::from(u8::from(x.iter().filter(|x| **x > 0.5).count() == 1)),
            Self::AbsoluteValue => x.iter().map(|x| x.abs()).sum(),
        }
    }

    fn d_in(self) -> usize {
        match self {
            Self::Xor => 2,
            Self::AbsoluteValue => 1,
        }
    }

    /// All inputs, or a grid of them.
    fn inputs(self) -> Vec<Vec<f32>> {
        match self {
            Self::Xor => (0..4u8).map(|i| vec![f32::from(i & 1), f32::from(i >> 1)]).collect(),
            Self::AbsoluteValue => {
                let at = |i: usize| 2.0 * i as f32 / (GRID - 1) as f32 - 1.0;
                (0..GRID).map(|i| vec![at(i)]).collect()
            }
        }
    }

    /// Largest error of an answer that counts as right. For bits a margin of .1 about 1/2 stays free: what is
    /// learned from shuffled answers lies there, a little on the right side, for a shuffle leaves one in
    /// `batch` where it was.
    fn tolerance(self) -> f64 {
        match self {
            Self::Xor => 0.4,
            Self::AbsoluteValue => 0.05,
        }
    }
}

/// One layer, `w` `[d_in, d_out]`.
struct Layer {
    w: Vec<f64>,
    b: Vec<f64>,
}

impl Layer {
    /// What it makes of `x` `[d_in]` with the weights of a mask alone, the lowest bit its first.
    fn pre(&self, x: &[f64], mask: u32) -> Vec<f64> {
        let mut out = self.b.clone();
        for (i, &x) in x.iter().enumerate() {
            for (j, out) in out.iter_mut().enumerate() {
                let at = i * self.b.len() + j;
                if mask >> at & 1 == 1 {
                    *out += self.w[at] * x;
                }
            }
        }
        out
    }
}

/// The layers of a network, input first.
fn layers(network: &Network, hidden: usize) -> Result<Vec<Layer>, Error> {
    let get = |name: String| -> Result<Vec<f64>, Error> {
        Ok(network.weight(&name)?.data().iter().map(|&x| f64::from(x)).collect())
    };
    let block = |i: usize, letter| get(format!("blocks.{i}.mlp.{letter}_in"));
    let mut all = (0..hidden)
        .map(|i| Ok(Layer { w: block(i, 'W')?, b: block(i, 'b')? }))
        .collect::<Result<Vec<_>, Error>>()?;
    all.push(Layer { w: get("unembed.W_U".into())?, b: get("unembed.b_U".into())? });
    Ok(all)
}

/// The one output with the weights of a mask alone; the layers' bits follow each other.
fn output(layers: &[Layer], x: &[f32], mut mask: u32) -> f64 {
    let mut x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for (i, layer) in layers.iter().enumerate() {
        if i > 0 {
            x.iter_mut().for_each(|x| *x = x.max(0.0));
        }
        x = layer.pre(&x, mask);
        mask >>= layer.w.len();
    }
    x.iter().sum()
}

/// All perfect circuits of a network, as masks over its weights: those of the first layer first, each
/// row by row.
#[derive(Debug, Clone, PartialEq)]
struct Circuits {
    /// Whether all weights together are one.
    whole: bool,
    /// Subsets of weights that are perfect, ascending.
    perfect: Vec<u32>,
    /// Of these the minimal ones.
    minimal: Vec<u32>,
}

/// Tries all subsets of the weights of a network.
fn circuits(function: Function, layers: &[Layer]) -> Circuits {
    let inputs = function.inputs();
    let weights: usize = layers.iter().map(|l| l.w.len()).sum();
    let off = |x: &[f32], mask| (output(layers, x, mask) - f64::from(function.answer(x))).abs();
    let right = |mask| inputs.iter().all(|x| off(x, mask) <= function.tolerance());
    // Whether a subset of a mask, itself among them, is perfect.
    let mut holds = vec![false; 1 << weights];
    let mut found = Circuits { whole: false, perfect: vec![], minimal: vec![] };
    for mask in 0..1u32 << weights {
        let less = |i: &usize| mask >> i & 1 == 1 && holds[(mask & !(1 << i)) as usize];
        let inner = (0..weights).any(|i| less(&i));
        let perfect = right(mask);
        holds[mask as usize] = inner || perfect;
        if perfect {
            found.perfect.push(mask);
            if !inner {
                found.minimal.push(mask);
            }
            found.whole = mask + 1 == 1 << weights;
        }
    }
    found
}

impl Gate {
    fn weights(&self) -> usize {
        let (d, inner) = (self.d_mlp, self.n_layers.saturating_sub(1));
        let ends = d.saturating_mul(self.function.d_in() + 1);
        d.saturating_mul(d).saturating_mul(inner).saturating_add(ends)
    }

    /// A circuit in words: `x0-a1` leads from input 0 to the second neuron of the first layer, whose letter
    /// is a; y is the output.
    fn words(&self, mask: u32) -> String {
        let mut froms: Vec<String> = (0..self.function.d_in()).map(|i| format!("x{i}")).collect();
        let mut at = 0;
        let mut all = vec![];
        let letters = ('a'..='w').take(self.n_layers);
        let named = letters.map(|l| (0..self.d_mlp).map(|i| format!("{l}{i}")).collect::<Vec<_>>());
        for tos in named.chain([vec!["y".to_string()]]) {
            for from in &froms {
                for to in &tos {
                    if mask >> at & 1 == 1 {
                        all.push(format!("{from}-{to}"));
                    }
                    at += 1;
                }
            }
            froms = tos;
        }
        all.join(" ")
    }
}

impl Lesson for Gate {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        let weights = self.weights();
        if self.n_layers == 0 || self.d_mlp == 0 || weights > MOST_WEIGHTS {
            return Err(format!(
                "n_layers = {}, d_mlp = {}: all circuits of {weights} weights are to be tried; hint: at \
                 least one of each, and {MOST_WEIGHTS} weights at most",
                self.n_layers, self.d_mlp
            ));
        }
        Ok(Architecture::Mlp(MlpConfig {
            d_in: self.function.d_in(),
            d_hidden: vec![self.d_mlp; self.n_layers],
            d_out: 1,
            act_fn: Activation::Relu,
            bias: true,
            residual: false,
        }))
    }

    fn init_scale(&self) -> f32 {
        1.0
    }

    fn pos(&self) -> usize {
        1
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let one = |_| {
            let x = match self.function {
                Function::Xor => (0..2).map(|_| (random.next_u32() & 1) as f32).collect(),
                Function::AbsoluteValue => vec![2.0 * random.uniform() - 1.0],
            };
            let answers = Answers::Values(vec![self.function.answer(&x)]);
            Example { input: Input::Vector(x), answers, counts: vec![true] }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        if let Some(length) = length.filter(|&l| l != 1) {
            return Err(format!("its inputs are vectors, which have no length {length}"));
        }
        let rows = self.function.inputs();
        let n = rows.len();
        let xor = self.function == Function::Xor;
        let domain = if xor { "all 4 inputs".into() } else { format!("{n} points of -1 .. 1") };
        let inputs =
            Inputs::vectors(self.function.d_in(), rows.concat()).map_err(|e| e.to_string())?;
        let answers = rows.iter().map(|x| self.function.answer(x)).collect();
        Ok(Task { exhaustive: xor, ..Task::of_values(domain, inputs, answers, 1) })
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = ENTRY;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// `solved`, whether the whole network is perfect; `subsets` of its weights, of which `perfect` many
    /// are; `minimal`, the circuits of which no proper subset is, in words, and `minimal_sizes`, their weights;
    /// `shared`, weights that are in all of them; `circuits`: `one` or `several` of them in a network that is
    /// solved, or `unsolved`.
    fn measure(&self, _: &Task, network: &Network, _: &Context) -> Result<Parameters, Error> {
        let found = circuits(self.function, &layers(network, self.n_layers)?);
        let sizes: Vec<u32> = found.minimal.iter().map(|m| m.count_ones()).collect();
        let words: Vec<String> = found.minimal.iter().map(|&m| self.words(m)).collect();
        let word = match (found.whole, found.minimal.len()) {
            (false, _) => "unsolved",
            (true, 0 | 1) => "one",
            _ => "several",
        };
        let mut out = Parameters::from_iter([
            ("circuits".into(), json!(word)),
            ("solved".into(), json!(found.whole)),
            ("subsets".into(), json!(1u32 << self.weights())),
            ("perfect".into(), json!(found.perfect.len())),
            ("minimal".into(), json!(words)),
            ("minimal_sizes".into(), json!(sizes)),
        ]);
        if let Some(shared) = found.minimal.iter().copied().reduce(|a, b| a & b) {
            out.insert("shared".into(), json!(shared.count_ones()));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init;
    use flyroom_network::{Runner, Weights};
    use flyroom_tensor::Tensor;

    fn network(gate: &Gate, w: &[f32], b: &[f32], u: &[f32]) -> Network {
        let (d, h) = (gate.function.d_in(), gate.d_mlp);
        let weights = Weights::from([
            ("blocks.0.mlp.W_in".into(), Tensor::new(&[d, h], w.to_vec()).unwrap()),
            ("blocks.0.mlp.b_in".into(), Tensor::new(&[h], b.to_vec()).unwrap()),
            ("unembed.W_U".into(), Tensor::new(&[h, 1], u.to_vec()).unwrap()),
            ("unembed.b_U".into(), Tensor::zeros(&[1])),
        ]);
        Network::new(gate.architecture().unwrap(), weights).unwrap()
    }

    fn found(gate: &Gate, network: &Network) -> Circuits {
        circuits(gate.function, &layers(network, gate.n_layers).unwrap())
    }

    #[test]
    fn a_network_that_computes_twice_has_two_minimal_circuits_and_one_that_does_not_has_one() {
        let gate = standard(Function::AbsoluteValue, 1, 2);
        let one = network(&gate, &[1.0, -1.0], &[0.0; 2], &[1.0, 1.0]);
        let only = Circuits { whole: true, perfect: vec![0b1111], minimal: vec![0b1111] };
        assert_eq!(found(&gate, &one), only);
        assert_eq!(gate.words(0b1111), "x0-a0 x0-a1 a0-y a1-y");
        // ReLU(x + y) - 2 ReLU(x + y - 1) and ReLU(x - y) + ReLU(y - x), each times .65: one alone answers 0 or
        // .65, both together 0 or 1.3.
        let gate = standard(Function::Xor, 1, 4);
        let w = [1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0];
        let u = [0.65, -1.3, 0.65, 0.65];
        let twice = network(&gate, &w, &[0.0, -1.0, 0.0, 0.0], &u);
        let found = found(&gate, &twice);
        assert!(found.whole);
        let first = 0b0011_0011_0011;
        let second = 0b1100_1100_1100;
        assert!([first, second].iter().all(|m| found.minimal.iter().any(|f| f & m == *f)));
        assert!(found.minimal.len() >= 2 && found.perfect.len() > found.minimal.len());
        // None of them holds another, and every perfect one holds one.
        for a in &found.minimal {
            assert!(found.minimal.iter().all(|b| a == b || a & b != *a));
        }
        assert!(found.perfect.iter().all(|p| found.minimal.iter().any(|m| m & p == *m)));
    }

    #[test]
    fn the_whole_circuit_answers_as_the_network_does() {
        let gate = standard(Function::Xor, 2, 3);
        let c = gate.architecture().unwrap();
        let network = Network::new(c.clone(), init(&c, 1.0, 4).unwrap()).unwrap();
        let task = gate.task(None).unwrap();
        let runner = Runner::new(&network, &task.inputs, &Context::single()).unwrap();
        let theirs = runner.logits().unwrap();
        let layers = layers(&network, 2).unwrap();
        assert_eq!(gate.weights(), 18);
        for (x, y) in gate.function.inputs().iter().zip(theirs.data()) {
            let mine = output(&layers, x, (1 << 18) - 1);
            assert!((mine - f64::from(*y)).abs() < 1e-5, "{mine} {y}");
        }
    }

    #[test]
    fn a_network_that_is_wrong_has_no_perfect_whole() {
        let gate = standard(Function::Xor, 1, 1);
        let zero = network(&gate, &[0.0; 2], &[0.0], &[0.0]);
        let none = Circuits { whole: false, perfect: vec![], minimal: vec![] };
        assert_eq!(found(&gate, &zero), none);
        for (n, d) in [(1, 7), (0, 3), (2, 0), (usize::MAX, usize::MAX)] {
            assert!(standard(Function::Xor, n, d).architecture().unwrap_err().contains("d_mlp"));
        }
    }
}
