//! What Tracr writes beside its weights: labels of residual dimensions and encodings of tokens.
//!
//! A label is `variable:value` for a one-hot variable and `variable` for a scalar one. Variables
//! are the program's, `tokens` and `indices` among them; `one` is the constant 1. The label of
//! `compiler_pad` belongs to a token that no weight reads and no input holds.

use crate::labelled::{BOS, Labelled, Variable};
use flyroom_explanation::rasp::{INDICES, Program, TOKENS, library};
use flyroom_explanation::{Code, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

/// Labels and encodings of a compiled program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Compiled {
    /// Name of the program.
    pub program: String,
    /// Tokens of its sequences.
    pub vocab: Vec<String>,
    /// Longest sequence, without BOS.
    pub max_seq_len: usize,
    /// Sizes.
    pub config: Config,
    /// One for each residual dimension.
    pub residual_labels: Vec<String>,
    /// Token ids.
    pub input_encoding: BTreeMap<String, u32>,
    /// Output ids.
    pub output_encoding: OutputEncoding,
    /// Keys that nothing here needs.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// Sizes of a compiled network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Heads of a block.
    pub num_heads: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Width of a head.
    pub key_size: usize,
    /// Whether there are norms.
    pub layer_norm: bool,
    /// Whether attention is masked.
    pub causal: bool,
    /// Keys that nothing here needs.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// What the output's dimensions mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutputEncoding {
    /// `"numerical"`: one number.
    Numerical(String),
    /// A class for each value.
    Categories(BTreeMap<String, u32>),
}

impl Default for OutputEncoding {
    fn default() -> Self {
        Self::Categories(BTreeMap::new())
    }
}

impl Compiled {
    /// Fails when labels and encodings contradict each other or the architecture is another.
    pub fn check(&self) -> Result<(), String> {
        let c = &self.config;
        if c.num_heads != 1 || c.layer_norm || c.causal || c.num_layers == 0 {
            return Err(format!(
                "{} layers, {} heads, layer_norm {}, causal {}; compiled programs here have one \
                 head, no norm and no mask",
                c.num_layers, c.num_heads, c.layer_norm, c.causal
            ));
        }
        let distinct: BTreeSet<_> = self.residual_labels.iter().collect();
        if distinct.len() != self.residual_labels.len() || distinct.is_empty() {
            return Err("residual_labels are empty or not distinct".into());
        }
        let numbered = |m: &BTreeMap<String, u32>, what: &str| {
            let ids: BTreeSet<u32> = m.values().copied().collect();
            match !m.is_empty() && ids.iter().copied().eq(0..m.len() as u32) {
                true => Ok(()),
                false => Err(format!("{what} does not number its keys 0, 1, 2, ...")),
            }
        };
        numbered(&self.input_encoding, "input_encoding")?;
        if let OutputEncoding::Categories(m) = &self.output_encoding {
            numbered(m, "output_encoding")?;
        }
        for t in self.vocab.iter().map(String::as_str).chain([BOS]) {
            if !self.input_encoding.contains_key(t) {
                return Err(format!("token '{t}' is not in input_encoding"));
            }
            if !self.residual_labels.contains(&format!("{TOKENS}:{t}")) {
                return Err(format!("no label '{TOKENS}:{t}' in residual_labels"));
            }
        }
        if self.vocab.is_empty() || self.max_seq_len == 0 {
            return Err("vocab or max_seq_len is empty".into());
        }
        let program = self.program()?;
        for v in program.variables.iter().map(|v| &v.name) {
            // The width itself is no residual direction: attention writes 1 / (1 + width).
            if !v.ends_with("_selector_width") && self.variable(v).is_none() {
                return Err(format!("no label of the variable '{v}' in residual_labels"));
            }
        }
        self.output_columns().map(|_| ())
    }

    /// The program, with the labels' names for its variables.
    pub fn program(&self) -> Result<Program, String> {
        match self.program.as_str() {
            "hist" => Ok(library::hist()),
            "reverse" => Ok(library::reverse()),
            "sort_unique" => Ok(library::sort_unique()),
            other => match other.strip_prefix("frac_prevs_") {
                Some(x) if self.vocab.iter().any(|t| t == x) => {
                    Ok(library::frac_prevs(&self.typed(x)))
                }
                _ => Err(format!("program '{other}' is not known here")),
            },
        }
    }

    /// A token, or a value of another variable: numbers where all tokens are numbers, else
    /// tokens are words and other values numbers.
    fn typed(&self, text: &str) -> Value {
        let integers = self.vocab.iter().all(|t| t.parse::<i64>().is_ok());
        match text.parse() {
            Ok(i) if integers || !self.vocab.iter().any(|t| t == text) => Value::Int(i),
            _ => Value::token(text),
        }
    }

    /// What each token id means.
    pub(crate) fn vocabulary(&self) -> Vec<Value> {
        let mut all: Vec<(u32, &String)> =
            self.input_encoding.iter().map(|(t, &i)| (i, t)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, t)| self.typed(t)).collect()
    }

    /// A variable of the program: where its labels lie and what they mean. BOS and the pad are no
    /// values of `tokens`.
    fn variable(&self, name: &str) -> Option<Variable> {
        let mut dims = vec![];
        let mut values = vec![];
        for (d, label) in self.residual_labels.iter().enumerate() {
            match label.split_once(':') {
                None if label == name => {
                    let code = Code::Scalar { scale: 1.0, offset: 0.0 };
                    let domain = self.numbers(name);
                    return Some(Variable { name: name.into(), dims: vec![d], code, domain });
                }
                Some((v, text))
                    if v == name && (v != TOKENS || self.vocab.iter().any(|t| t == text)) =>
                {
                    dims.push(d);
                    values.push(self.typed(text));
                }
                _ => {}
            }
        }
        let code = Code::OneHot { values: values.clone() };
        (!dims.is_empty()).then(|| Variable { name: name.into(), dims, code, domain: values })
    }

    /// Residual dimensions of the output, in order of its encoding.
    pub fn output_columns(&self) -> Result<Vec<usize>, String> {
        let output = self.program()?.output;
        let dim = |label: String| {
            self.residual_labels
                .iter()
                .position(|l| *l == label)
                .ok_or_else(|| format!("no label '{label}' in residual_labels"))
        };
        match &self.output_encoding {
            OutputEncoding::Numerical(word) if word == "numerical" => Ok(vec![dim(output)?]),
            OutputEncoding::Numerical(word) => Err(format!("output_encoding '{word}'")),
            OutputEncoding::Categories(m) => {
                let mut all: Vec<(u32, &String)> = m.iter().map(|(v, &i)| (i, v)).collect();
                all.sort_unstable();
                all.into_iter().map(|(_, v)| dim(format!("{output}:{v}"))).collect()
            }
        }
    }

    /// How the program's output stands in the network's output columns.
    pub(crate) fn readout_code(&self) -> Result<Code, String> {
        match &self.output_encoding {
            OutputEncoding::Numerical(_) => Ok(Code::Scalar { scale: 1.0, offset: 0.0 }),
            OutputEncoding::Categories(m) => {
                let mut all: Vec<(u32, &String)> = m.iter().map(|(v, &i)| (i, v)).collect();
                all.sort_unstable();
                Ok(Code::OneHot { values: all.into_iter().map(|(_, v)| self.typed(v)).collect() })
            }
        }
    }

    /// The values that a variable with one dimension may be set to.
    fn numbers(&self, name: &str) -> Vec<Value> {
        let n = self.max_seq_len as i64;
        // 1 / (1 + width)
        if name.ends_with("_attn_output") {
            return (0..=n).map(|w| Value::Real(1.0 / (1.0 + w as f64))).collect();
        }
        // shares a / b
        if name.starts_with("frac_prevs") {
            let mut shares: Vec<Value> = (1..=n)
                .flat_map(|b| (0..=b).map(move |a| Value::Real(a as f64 / b as f64)))
                .collect();
            shares.sort();
            shares.dedup();
            return shares;
        }
        vec![Value::Real(0.0), Value::Real(1.0)]
    }

    /// Program, labels and encodings in the form that every compiled network has.
    pub(crate) fn labelled(&self) -> Result<Labelled, String> {
        let program = self.program()?;
        let id = |t: &str| {
            let id = self.input_encoding.get(t).copied();
            id.ok_or_else(|| format!("no id of '{t}' in input_encoding"))
        };
        let named = program.variables.iter().map(|v| v.name.as_str());
        let named = [TOKENS, INDICES].into_iter().chain(named);
        Ok(Labelled {
            name: self.program.clone(),
            labels: self.residual_labels.clone(),
            variables: named.filter_map(|name| self.variable(name)).collect(),
            readout: self.readout_code()?,
            vocabulary: self.vocabulary(),
            tokens: self.vocab.iter().map(|t| id(t)).collect::<Result<_, _>>()?,
            bos: id(BOS)?,
            length: self.max_seq_len,
            program,
        })
    }
}
