//! The same circuits as EAP-IG's `Graph.to_pt` saves them: matrices `[sender, receiver]` of scores and
//! of what is in the circuit, with the names of both axes.
//!
//! A matrix has an entry for every pair, also where no edge is; a sender reaches the receivers behind
//! it, so `src_nodes`, which lie in order of computation, say which entries are edges. What is marked or
//! scored where none is, is an error.

use super::MibGraph;
use flyroom_network::format::pt::{PtFile, Value};
use flyroom_network::{Error, RawTensor};
use safetensors::Dtype;
use serde_json::{Map, Value as Json, json};

/// Pairs that a matrix may have: a model of 32 layers with 32 heads has 3.4 million.
const MOST_PAIRS: usize = 1 << 23;

/// A matrix of a file.
struct Matrix {
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn row(&self, i: usize) -> &[f64] {
        let start = i.saturating_mul(self.columns);
        self.values.get(start..start + self.columns).unwrap_or_default()
    }
}

impl MibGraph {
    /// Reads what `torch.save` wrote; nothing in it is executed.
    ///
    /// # Errors
    /// If it is not of this form: the message names the key.
    pub fn from_torch(file: &PtFile) -> Result<Self, String> {
        let top = file.value();
        if !matches!(top, Value::Dict(_)) {
            return Err("holds no dictionary; hint: EAP-IG's Graph.to_pt writes one".into());
        }
        let Some(cfg @ Value::Dict(pairs)) = top.get("cfg") else {
            return Err("no dictionary under `cfg`; hint: EAP-IG's Graph.to_pt writes it".into());
        };
        let parallel = matches!(cfg.get("parallel_attn_mlp"), Some(Value::Bool(true)));
        let cfg = pairs.iter().filter_map(|(k, v)| Some((k.text()?.to_owned(), plain(v)?)));
        let cfg: Map<String, Json> = cfg.collect();

        let senders = names(top, "src_nodes")?;
        let receivers = names(top, "dst_nodes")?;
        let (rows, columns) = (senders.len(), receivers.len());
        if rows.saturating_mul(columns) > MOST_PAIRS {
            return Err(format!("{rows} senders and {columns} receivers are more than are read"));
        }
        let matrix = |key: &str, columns: usize, wanted: &str| -> Result<Matrix, String> {
            let view = top.get(key).and_then(Value::tensor);
            let view = view.ok_or_else(|| format!("no tensor under `{key}`"))?;
            let fits = match view.shape() {
                [r] => *r == rows && columns == 1,
                [r, c] => (*r, *c) == (rows, columns),
                _ => false,
            };
            if !fits {
                let shape = view.shape();
                return Err(format!("`{key}` has shape {shape:?}, `src_nodes` wants {wanted}"));
            }
            let raw = file.read(view).map_err(|e| match e {
                Error::Format { why, .. } => format!("`{key}`: {why}"),
                other => other.to_string(),
            })?;
            let values = numbers(&raw).ok_or_else(|| {
                format!("`{key}` holds {:?}; hint: convert it to float32 or bool", raw.dtype)
            })?;
            Ok(Matrix { columns, values })
        };
        let pairs_of = format!("[{rows}, {columns}]");
        let scores = matrix("edges_scores", columns, &pairs_of)?;
        let kept = matrix("edges_in_graph", columns, &pairs_of)?;
        let nodes_kept = matrix("nodes_in_graph", 1, &format!("[{rows}]"))?;

        let mut reached = vec![];
        for to in &receivers {
            reached.push(senders_of(to, &senders, parallel)?);
        }
        let mut edges = Map::new();
        for (i, from) in senders.iter().enumerate() {
            let entries = scores.row(i).iter().zip(kept.row(i)).zip(receivers.iter().zip(&reached));
            for ((&score, &kept), (to, &reached)) in entries {
                let name = format!("{from}->{to}");
                if i < reached {
                    edges.insert(name, json!({ "score": score, "in_graph": kept != 0.0 }));
                } else if score != 0.0 || kept != 0.0 {
                    return Err(format!("{name} is scored or kept, and {from} comes behind {to}"));
                }
            }
        }
        let mut nodes = Map::new();
        for (i, name) in senders.iter().enumerate() {
            let kept = nodes_kept.row(i).first().is_some_and(|&x| x != 0.0);
            nodes.insert(name.clone(), json!({ "in_graph": kept }));
        }
        nodes.insert("logits".into(), json!({ "in_graph": true }));
        if top.get("nodes_scores").and_then(Value::tensor).is_some() {
            let scores = matrix("nodes_scores", 1, &format!("[{rows}]"))?;
            for (i, name) in senders.iter().enumerate() {
                // A node that nobody scored holds nan.
                if let Some(&score) = scores.row(i).first().filter(|s| s.is_finite()) {
                    nodes[name]["score"] = json!(score);
                }
            }
        }
        for (key, name_here) in
            [("neurons_in_graph", "neurons"), ("neurons_scores", "neurons_scores")]
        {
            let Some(view) = top.get(key).and_then(Value::tensor) else { continue };
            let width = view.shape().get(1).copied().unwrap_or(0);
            if rows.saturating_mul(width) > MOST_PAIRS {
                return Err(format!("`{key}` has shape {:?}, more than is read", view.shape()));
            }
            let values = matrix(key, width, &format!("[{rows}, d_model]"))?;
            for (i, name) in senders.iter().enumerate() {
                let row = values.row(i);
                if row.iter().all(|x| x.is_finite()) {
                    nodes[name][name_here] = match key {
                        "neurons_in_graph" => row.iter().map(|&x| x != 0.0).collect(),
                        _ => row.iter().copied().collect(),
                    };
                }
            }
        }
        let file = [("cfg", cfg), ("nodes", nodes), ("edges", edges)];
        let file = file.into_iter().map(|(k, v)| (k.to_owned(), Json::Object(v))).collect();
        Self::checked(file)
    }
}

/// A plain value as JSON.
fn plain(value: &Value) -> Option<Json> {
    Some(match value {
        Value::None => Json::Null,
        Value::Bool(b) => json!(b),
        Value::Int(i) => json!(i),
        Value::Float(x) => json!(x),
        Value::Text(t) => json!(t.as_ref()),
        _ => return None,
    })
}

/// The names of an axis, each once.
fn names(top: &Value, key: &str) -> Result<Vec<String>, String> {
    let items = top.get(key).and_then(Value::items);
    let items = items.ok_or_else(|| format!("no list under `{key}`"))?;
    let names: Option<Vec<String>> = items.iter().map(|v| v.text().map(str::to_owned)).collect();
    let names = names.ok_or_else(|| format!("`{key}` holds something that is no name"))?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|w| w[0] == w[1]) {
        Some(twice) => Err(format!("`{key}` has '{}' twice", twice[0])),
        None => Ok(names),
    }
}

/// How many of the first senders a receiver reads.
fn senders_of(to: &str, senders: &[String], parallel: bool) -> Result<usize, String> {
    if to == "logits" {
        return Ok(senders.len());
    }
    let node = to.split('<').next().unwrap_or(to);
    let layer = node.get(1..).unwrap_or("").split('.').next().unwrap_or("");
    let first = format!("a{layer}.");
    let at = match node.starts_with('m') && !parallel {
        true => senders.iter().position(|s| s == node),
        false => senders.iter().position(|s| s.starts_with(&first)),
    };
    at.ok_or_else(|| format!("`dst_nodes` has '{to}', `src_nodes` nothing of its layer"))
}

fn numbers(raw: &RawTensor) -> Option<Vec<f64>> {
    if raw.dtype == Dtype::BOOL {
        return Some(raw.bytes.iter().map(|&b| f64::from(u8::from(b != 0))).collect());
    }
    Some(raw.to_tensor()?.data().iter().map(|&x| f64::from(x)).collect())
}
