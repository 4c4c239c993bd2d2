//! A sheet on which weights are written, by the labels of residual dimensions.

use super::{LENGTH, Written};
use crate::Error;
use crate::labelled::{BOS, Labelled, Variable};
use flyroom_explanation::rasp::{
    Combine, Expr, INDICES, Lambda, Predicate, Program, Select, TOKENS,
};
use flyroom_explanation::{Code, Value};
use flyroom_network::{Architecture, Network, TransformerConfig, Weights};
use flyroom_tensor::Tensor;

/// Scores by which a match lies above other keys: they get e^-30 of its attention.
const SHARPNESS: f32 = 30.0;

/// The coordinate that says "this is position 0"; no variable of the program.
const START: &str = "start";

/// Weights of a network, all 0 but those that were written.
pub(super) struct Sheet {
    letters: Vec<Value>,
    /// The layer on which is written, and its neurons that were.
    layer: usize,
    neurons: usize,
    /// What heads bring to these letters is multiplied by so much; no variable of the program.
    faint: Option<(&'static str, f32)>,
    /// A variable of one dimension, with the coordinate of each letter.
    line: Option<(&'static str, Vec<f32>)>,
    /// Names of one-hot variables over the letters, besides `tokens`.
    variables: Vec<&'static str>,
    labels: Vec<String>,
    config: TransformerConfig,
    weights: Weights,
}

impl Sheet {
    /// Letters enter at `tokens`, positions at `indices`; `variables` get dimensions and no weights.
    pub fn new(
        letters: &[&str],
        variables: &[&'static str],
        heads: usize,
        neurons: usize,
    ) -> Result<Self, Error> {
        Self::with_line(letters, None, variables, heads, neurons)
    }

    /// The same in several layers; the first is written on, then [`Sheet::behind`] it the next.
    pub fn in_layers(
        layers: usize,
        letters: &[&str],
        variables: &[&'static str],
        heads: usize,
        neurons: usize,
    ) -> Result<Self, Error> {
        Self::any(layers, letters, None, variables, heads, neurons)
    }

    /// The same with a variable that lies along one dimension.
    pub fn with_line(
        letters: &[&str],
        line: Option<(&'static str, &[f32])>,
        variables: &[&'static str],
        heads: usize,
        neurons: usize,
    ) -> Result<Self, Error> {
        Self::any(1, letters, line, variables, heads, neurons)
    }

    fn any(
        layers: usize,
        letters: &[&str],
        line: Option<(&'static str, &[f32])>,
        variables: &[&'static str],
        heads: usize,
        neurons: usize,
    ) -> Result<Self, Error> {
        let one_hot =
            |name: &str| letters.iter().map(|l| format!("{name}:{l}")).collect::<Vec<_>>();
        let mut labels = one_hot(TOKENS);
        labels.extend((0..LENGTH).map(|i| format!("{INDICES}:{i}")));
        labels.push(START.into());
        labels.extend(line.map(|l| l.0.to_owned()));
        labels.extend(variables.iter().flat_map(|v| one_hot(v)));
        let mut config =
            TransformerConfig::plain(layers, labels.len(), heads, letters.len() + 1, LENGTH + 1);
        config.d_head = LENGTH + 1;
        config.d_mlp = neurons;
        config.d_vocab_out = letters.len();
        config.causal = false;
        config.attn_scale = 1.0;
        let architecture = Architecture::Transformer(config.clone());
        let weights = Network::parameters(&architecture)?
            .into_iter()
            .map(|(name, shape)| (name, Tensor::zeros(&shape)))
            .collect();
        let letters: Vec<Value> = letters.iter().map(|&l| Value::token(l)).collect();
        let line = line.map(|(name, coordinates)| (name, coordinates.to_vec()));
        let variables = variables.to_vec();
        let mut out = Self {
            letters,
            layer: 0,
            neurons: 0,
            faint: None,
            line,
            variables,
            labels,
            config,
            weights,
        };
        for i in 0..out.letters.len() {
            out.set("embed.W_E", i, i, 1.0);
        }
        let (first, start) = (out.letters.len(), out.dim(START));
        out.set("pos_embed.W_pos", 0, start, 1.0);
        (0..LENGTH).for_each(|i| out.set("pos_embed.W_pos", i + 1, first + i, 1.0));
        Ok(out)
    }

    /// Number of letters.
    pub fn letters(&self) -> usize {
        self.letters.len()
    }

    /// Goes on to the next layer.
    pub fn behind(&mut self) {
        self.layer += 1;
        self.neurons = 0;
    }

    /// What heads bring to some letters, which are no variable of the program, is multiplied by `x`.
    pub fn faint(&mut self, variable: &'static str, x: f32) {
        self.faint = Some((variable, x));
    }

    /// A weight of the layer on which is written.
    fn here(&self, name: &str) -> String {
        format!("blocks.{}.{name}", self.layer)
    }

    fn dim(&self, label: &str) -> usize {
        self.labels.iter().position(|l| l == label).unwrap_or(0)
    }

    /// The dimension of letter `i` of a variable.
    fn of(&self, variable: &str, i: usize) -> usize {
        self.dim(&format!("{variable}:{}", self.letters[i]))
    }

    /// Entry (row, column) of a matrix, of the first head where it has heads.
    fn set(&mut self, name: &str, row: usize, column: usize, x: f32) {
        self.at(name, 0, row, column, x);
    }

    fn at(&mut self, name: &str, head: usize, row: usize, column: usize, x: f32) {
        if let Some(t) = self.weights.get_mut(name) {
            let n = t.shape().len();
            let columns = t.shape()[n - 1];
            let rows = if n > 1 { t.shape()[n - 2] } else { 1 };
            t.data_mut()[(head * rows + row) * columns + column] = x;
        }
    }

    /// A head that brings the letter of the first place to a variable, at every place.
    pub fn first(&mut self, head: usize, variable: &str) {
        let indices = self.letters();
        for i in 0..LENGTH {
            self.at(&self.here("attn.W_Q"), head, indices + i, 0, SHARPNESS);
        }
        self.at(&self.here("attn.W_K"), head, indices, 0, 1.0);
        self.moves(head, variable);
    }

    /// A head that brings the letter of the place before to a variable; the first place attends to
    /// position 0, where there is none.
    pub fn previous(&mut self, head: usize, variable: &str) {
        let (indices, start) = (self.letters(), self.dim(START));
        self.at(&self.here("attn.W_K"), head, start, 0, 1.0);
        for i in 0..LENGTH {
            self.at(&self.here("attn.W_Q"), head, indices + i, i, SHARPNESS);
            if i + 1 < LENGTH {
                self.at(&self.here("attn.W_K"), head, indices + i, i + 1, 1.0);
            }
        }
        self.moves(head, variable);
    }

    fn moves(&mut self, head: usize, variable: &str) {
        let line = self.line.clone().filter(|(name, _)| *name == variable);
        for l in 0..self.letters() {
            let (to, x) = match &line {
                Some((name, coordinates)) => (self.dim(name), coordinates[l]),
                None => {
                    let faint = self.faint.filter(|(name, _)| *name == variable);
                    (self.of(variable, l), faint.map_or(1.0, |f| f.1))
                }
            };
            self.at(&self.here("attn.W_V"), head, l, l, 1.0);
            self.at(&self.here("attn.W_O"), head, l, to, x);
        }
    }

    /// Neurons (gain, bias, a weight for each letter): with x the coordinate of the variable of one
    /// dimension, each letter's coordinate of `to` gets its weight times relu(gain x + bias).
    pub fn tells<const N: usize>(&mut self, line: &str, to: &str, each: &[(f32, f32, [f32; N])]) {
        let row = self.dim(line);
        for (n, &(gain, bias, writes)) in each.iter().enumerate() {
            self.set(&self.here("mlp.W_in"), row, n, gain);
            self.set(&self.here("mlp.b_in"), 0, n, bias);
            for (l, write) in writes.into_iter().enumerate().take(self.letters()) {
                let to = self.of(to, l);
                self.set(&self.here("mlp.W_out"), n, to, write);
            }
        }
    }

    /// For each letter neurons (gain, bias, write): with x the sum of the letter's coordinates of
    /// `from`, the letter's coordinate of `to` gets the sum of write relu(gain x + bias).
    pub fn neurons(&mut self, from: &[&str], to: &str, each: &[(f32, f32, f32)]) {
        for l in 0..self.letters() {
            for (k, &(gain, bias, write)) in each.iter().enumerate() {
                let n = self.neurons + l * each.len() + k;
                for v in from {
                    let row = self.of(v, l);
                    self.set(&self.here("mlp.W_in"), row, n, gain);
                }
                self.set(&self.here("mlp.b_in"), 0, n, bias);
                let to = self.of(to, l);
                self.set(&self.here("mlp.W_out"), n, to, write);
            }
        }
        self.neurons += self.letters() * each.len();
    }

    /// What the MLP writes to every letter's coordinate of a variable where all neurons are silent.
    pub fn resting(&mut self, variable: &str, x: f32) {
        for l in 0..self.letters() {
            let to = self.of(variable, l);
            self.set(&self.here("mlp.b_out"), 0, to, x);
        }
    }

    /// A letter's logit gets `gain` times its coordinate of a variable.
    pub fn answers(&mut self, variable: &str, gain: f32) {
        for l in 0..self.letters() {
            let from = self.of(variable, l);
            self.set("unembed.W_U", from, l, gain);
        }
    }

    /// The network, and what its labels mean; `program` tells variables with a place by name.
    pub fn written(self, name: &str, program: Program) -> Result<Written, Error> {
        let letters = Code::OneHot { values: self.letters.clone() };
        let n = self.letters.len();
        let variable = |name: &str, first: usize, values: Vec<Value>| Variable {
            name: name.into(),
            dims: (first..first + values.len()).collect(),
            code: Code::OneHot { values: values.clone() },
            domain: values,
        };
        let mut variables = vec![
            variable(TOKENS, 0, self.letters.clone()),
            variable(INDICES, n, (0..LENGTH as i64).map(Value::Int).collect()),
        ];
        if let Some((name, coordinates)) = &self.line {
            let vectors = coordinates.iter().map(|&x| vec![x]).collect();
            variables.push(Variable {
                name: (*name).into(),
                dims: vec![self.dim(name)],
                code: Code::Table { values: self.letters.clone(), vectors },
                domain: self.letters.clone(),
            });
        }
        let placed = |v: &&&str| program.variables.iter().any(|p| p.name == **v);
        for v in self.variables.iter().filter(placed) {
            variables.push(variable(v, self.of(v, 0), self.letters.clone()));
        }
        let mut vocabulary = self.letters.clone();
        vocabulary.push(Value::token(BOS));
        let labelled = Labelled {
            name: name.into(),
            program,
            labels: self.labels,
            variables,
            readout: letters,
            vocabulary,
            tokens: (0..n as u32).collect(),
            bos: n as u32,
            length: LENGTH,
        };
        let network = Network::new(Architecture::Transformer(self.config), self.weights)?;
        Ok(Written { labelled, network })
    }
}

/// The letter of the first place.
pub(super) fn first() -> Expr {
    let start =
        Predicate::When(Lambda::X.with(flyroom_explanation::rasp::Binary::Eq, Lambda::constant(0)));
    moved(Select::new(INDICES, INDICES, start))
}

/// The letter of the place before.
pub(super) fn previous() -> Expr {
    use flyroom_explanation::rasp::Binary::{Eq, Sub};
    let before = Lambda::Y.with(Sub, Lambda::constant(1));
    moved(Select::new(INDICES, INDICES, Predicate::When(Lambda::X.with(Eq, before))))
}

fn moved(select: Select) -> Expr {
    Expr::Aggregate { select, x: TOKENS.into(), combine: Combine::Mixture, default: Value::None }
}
