//! Circuits in the form of the Mechanistic Interpretability Benchmark (Mueller et al. 2025, arXiv
//! 2504.13151), which is that of EAP-IG's graphs: `{cfg, nodes, edges}` with a score and `in_graph`
//! for each edge.
//!
//! Their edges are ours under other names, with two differences that are mapped exactly:
//!
//! - `input` is the token embedding (their hook is `hook_embed`), so `input->x` is `embed->x`.
//!   Position embeddings send nothing in their graphs: they are the same in a run and in its
//!   corrupted partner, so resampling never moves them. Here they get the score 0, stay out of the
//!   circuit, and are left out on the way back.
//! - where heads share keys and values, theirs has one `<k>` and `<v>` a query head and ours one a key
//!   head, whose first-order score is the sum over the heads that share it; on the way back each gets
//!   an equal share.
//!
//! The two forms that EAP-IG saves hold the same: JSON, and `.pt` ([`MibGraph::from_torch`]), which is
//! read as the JSON that the peer would have written.
//!
//! A file that marks no edge as `in_graph` is a ranking (MIB's `importances.json`); its circuit is then
//! the edges that score at least [`RANKED`] of the largest.

mod torch;

use crate::{Description, EdgeScore};
use flyroom_explanation::{Ablation, Body};
use flyroom_network::format::Source;
use flyroom_network::format::pt::PtFile;
use flyroom_network::{Edge, EdgeTable, Error, Receiver, Sender, TransformerConfig};
use flyroom_organism::Subject;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Share of the largest |score| from which on an edge of a bare ranking is in the circuit.
pub const RANKED: f64 = 0.01;

/// Bytes of JSON that are read.
const LONGEST: u64 = 1 << 30;

/// A circuit as the file has it; what is not understood is kept for the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct MibGraph {
    file: Map<String, Json>,
}

impl MibGraph {
    /// Reads a file of either form, which its first bytes tell.
    ///
    /// # Errors
    /// If it is not of its form: the message names the file and the key.
    pub fn read(source: Source) -> Result<Self, Error> {
        let all = source.len();
        if source.at(0, all.min(2), "the first bytes")? == b"PK" {
            let file = PtFile::from_source(source)?;
            return Self::from_torch(&file).map_err(|why| file.source().bad(why));
        }
        if all > LONGEST {
            return Err(source.bad(format!("{} MiB of JSON are too much", all >> 20)));
        }
        let bytes = source.at(0, all, "the text")?;
        let text = std::str::from_utf8(&bytes).map_err(|e| source.bad(format!("no text: {e}")))?;
        Self::parse(text).map_err(|why| source.bad(why))
    }

    /// Reads the text of a JSON file.
    ///
    /// # Errors
    /// If it is not of this form: the message names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Json =
            serde_json::from_str(text).map_err(|e| format!("this is not JSON: {e}"))?;
        let Json::Object(file) = json else { return Err("the top is no object".into()) };
        Self::checked(file)
    }

    fn checked(file: Map<String, Json>) -> Result<Self, String> {
        let graph = Self { file };
        for key in ["cfg", "nodes", "edges"] {
            if !graph.file.get(key).is_some_and(Json::is_object) {
                return Err(format!(
                    "no object under `{key}`; hint: a circuit in MIB's form has it"
                ));
            }
        }
        for key in ["n_layers", "n_heads", "d_model"] {
            graph.size(key)?;
        }
        for (name, edge) in graph.edges() {
            score_of(name, edge)?;
            in_graph(name, edge)?;
        }
        Ok(graph)
    }

    /// The text of the file; unknown keys and scores are as they were read.
    pub fn to_text(&self) -> String {
        Json::Object(self.file.clone()).to_string()
    }

    fn edges(&self) -> impl Iterator<Item = (&String, &Json)> {
        self.file.get("edges").and_then(Json::as_object).into_iter().flatten()
    }

    fn size(&self, key: &str) -> Result<u64, String> {
        let n = self.file.get("cfg").and_then(|c| c.get(key)).and_then(Json::as_u64);
        n.ok_or_else(|| format!("no whole number under `cfg.{key}`"))
    }

    /// Scores of all edges of a network, and those that are in the circuit.
    ///
    /// # Errors
    /// If the file is of another architecture, names an edge that the network lacks, or lacks one
    /// that it has.
    pub fn scores(&self, c: &TransformerConfig) -> Result<(Vec<EdgeScore>, Vec<Edge>), String> {
        for (key, wanted) in
            [("n_layers", c.n_layers), ("n_heads", c.n_heads), ("d_model", c.d_model)]
        {
            let got = self.size(key)?;
            if got != wanted as u64 {
                return Err(format!("cfg.{key} is {got}, the network has {wanted}"));
            }
        }
        let parallel = self.file.get("cfg").and_then(|c| c.get("parallel_attn_mlp"));
        let parallel = parallel.and_then(Json::as_bool).unwrap_or(false);
        if parallel != c.parallel_attn_mlp {
            return Err(format!(
                "cfg.parallel_attn_mlp is {parallel}, the network has {}",
                c.parallel_attn_mlp
            ));
        }
        let table = EdgeTable::new(c);
        let mut scores = vec![0.0; table.edges.len()];
        let mut seen = BTreeSet::new();
        let mut circuit = BTreeSet::new();
        for (name, edge) in self.edges() {
            let (score, kept) = (score_of(name, edge)?, in_graph(name, edge)?);
            let ours = ours(name, c)?;
            let Ok(i) = table.index(ours) else {
                // Their graphs have an MLP in every layer, also where the network has none.
                if c.d_mlp == 0 && of_mlp(ours) && score == 0.0 {
                    continue;
                }
                return Err(format!("edges.{name}: this network has no such edge"));
            };
            seen.insert(i);
            scores[i] += score;
            if kept {
                circuit.insert(i);
            }
        }
        let wanted = |e: &Edge| e.from != Sender::PosEmbed;
        let missing = table.edges.iter().enumerate().find(|(i, e)| wanted(e) && !seen.contains(i));
        if let Some((_, e)) = missing {
            return Err(format!("no edge `{}` under `edges`", theirs(*e, c).join("`, `")));
        }
        if circuit.is_empty() {
            let most = scores.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
            let ranked = |i: &usize| scores[*i] != 0.0 && scores[*i].abs() >= RANKED * most;
            circuit = (0..scores.len()).filter(ranked).collect();
        }
        let edges = table.edges.iter().zip(&scores);
        let all = edges.map(|(&edge, &score)| EdgeScore { edge, score, gradient_dead: false });
        Ok((all.collect(), circuit.into_iter().map(|i| table.edges[i]).collect()))
    }

    /// The circuit as an explanation of a subject, with its scores.
    ///
    /// # Errors
    /// As [`MibGraph::scores`].
    pub fn description(
        &self,
        method: &str,
        subject: &Subject,
        c: &TransformerConfig,
    ) -> Result<Description, String> {
        let (edges, circuit) = self.scores(c)?;
        let body = Body::Circuit { edges: circuit, ablation: Ablation::Resample };
        let explanation = crate::method::signed(method, subject, vec![], body);
        Ok(Description { edges, ..Description::new(explanation) })
    }

    /// The file of a circuit. Edges without a score get 0; scores of position embeddings are left out.
    pub fn new(c: &TransformerConfig, scores: &[EdgeScore], circuit: &[Edge]) -> Self {
        let share = c.n_heads / c.n_kv_heads.max(1);
        let by_edge: BTreeMap<Edge, f64> = scores.iter().map(|s| (s.edge, s.score)).collect();
        let mut edges = Map::new();
        let mut nodes: BTreeSet<String> = ["input".to_owned(), "logits".to_owned()].into();
        for e in EdgeTable::new(c).edges.into_iter().filter(|e| e.from != Sender::PosEmbed) {
            let kept = circuit.contains(&e);
            let shared = matches!(e.to, Receiver::Key(..) | Receiver::Value(..));
            let heads = if shared { share.max(1) as f64 } else { 1.0 };
            let score = by_edge.get(&e).copied().unwrap_or(0.0) / heads;
            for name in theirs(e, c) {
                if let Some((from, to)) = name.split_once("->").filter(|_| kept) {
                    nodes.insert(from.to_owned());
                    nodes.insert(to.split('<').next().unwrap_or(to).to_owned());
                }
                edges.insert(name, json!({ "score": score, "in_graph": kept }));
            }
        }
        let mut named = vec!["input".to_owned()];
        for l in 0..c.n_layers {
            named.extend((0..c.n_heads).map(|h| format!("a{l}.h{h}")));
            if c.d_mlp > 0 {
                named.push(format!("m{l}"));
            }
        }
        named.push("logits".to_owned());
        let nodes: Map<String, Json> = named
            .into_iter()
            .map(|n| {
                let kept = nodes.contains(&n);
                (n, json!({ "in_graph": kept }))
            })
            .collect();
        let cfg = json!({
            "n_layers": c.n_layers,
            "n_heads": c.n_heads,
            "parallel_attn_mlp": c.parallel_attn_mlp,
            "d_model": c.d_model,
        });
        let file = [("cfg", cfg), ("nodes", Json::Object(nodes)), ("edges", Json::Object(edges))];
        Self { file: file.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
    }
}

fn score_of(name: &str, edge: &Json) -> Result<f64, String> {
    let score = edge.get("score").and_then(Json::as_f64).filter(|s| s.is_finite());
    score.ok_or_else(|| format!("no number under `edges.{name}.score`"))
}

fn in_graph(name: &str, edge: &Json) -> Result<bool, String> {
    let kept = edge.get("in_graph").and_then(Json::as_bool);
    kept.ok_or_else(|| format!("neither true nor false under `edges.{name}.in_graph`"))
}

fn of_mlp(e: Edge) -> bool {
    matches!(e.from, Sender::Mlp(_)) || matches!(e.to, Receiver::Mlp(_))
}

/// Our edge of one of theirs.
fn ours(name: &str, c: &TransformerConfig) -> Result<Edge, String> {
    let text = name.strip_prefix("input->").map_or(name.to_owned(), |to| format!("embed->{to}"));
    let mut e: Edge = text.parse().map_err(|e| format!("edges.{name}: {e}"))?;
    let share = (c.n_heads / c.n_kv_heads.max(1)).max(1);
    match &mut e.to {
        Receiver::Key(_, h) | Receiver::Value(_, h) if *h < c.n_heads => *h /= share,
        _ => {}
    }
    Ok(e)
}

/// Their edges of one of ours.
fn theirs(e: Edge, c: &TransformerConfig) -> Vec<String> {
    let share = (c.n_heads / c.n_kv_heads.max(1)).max(1);
    let from = match e.from {
        Sender::Embed => "input".to_owned(),
        other => other.to_string(),
    };
    match e.to {
        Receiver::Key(l, g) => {
            (g * share..(g + 1) * share).map(|h| format!("{from}->a{l}.h{h}<k>")).collect()
        }
        Receiver::Value(l, g) => {
            (g * share..(g + 1) * share).map(|h| format!("{from}->a{l}.h{h}<v>")).collect()
        }
        to => vec![format!("{from}->{to}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(n_kv_heads: usize, d_mlp: usize) -> TransformerConfig {
        TransformerConfig { n_kv_heads, d_mlp, ..TransformerConfig::plain(2, 8, 4, 5, 3) }
    }

    fn scored(c: &TransformerConfig) -> (Vec<EdgeScore>, Vec<Edge>) {
        let score =
            |i: usize, e: Edge| if e.from == Sender::PosEmbed { 0.0 } else { i as f64 - 20.0 };
        let edges = EdgeTable::new(c).edges.into_iter().enumerate();
        let all: Vec<EdgeScore> = edges
            .map(|(i, edge)| EdgeScore { edge, score: score(i, edge), gradient_dead: false })
            .collect();
        let kept = all.iter().filter(|s| s.score > 9.0).map(|s| s.edge).collect();
        (all, kept)
    }

    #[test]
    fn a_circuit_written_and_read_is_the_same_with_and_without_shared_keys_and_mlps() {
        for (n_kv_heads, d_mlp) in [(4, 16), (4, 0), (2, 16), (1, 0)] {
            let c = config(n_kv_heads, d_mlp);
            let (scores, kept) = scored(&c);
            let text = MibGraph::new(&c, &scores, &kept).to_text();
            let read = MibGraph::parse(&text).unwrap();
            assert_eq!(read.scores(&c).unwrap(), (scores, kept));
            assert_eq!(read.to_text(), text);
        }
    }

    #[test]
    fn what_is_not_understood_comes_back() {
        let c = config(4, 16);
        let (scores, kept) = scored(&c);
        let mut json: Json =
            serde_json::from_str(&MibGraph::new(&c, &scores, &kept).to_text()).unwrap();
        json["nodes"]["m0"]["neurons"] = json!([1.0, 0.0]);
        json["cfg"]["model_name"] = json!("mine");
        let read = MibGraph::parse(&json.to_string()).unwrap();
        assert_eq!(serde_json::from_str::<Json>(&read.to_text()).unwrap(), json);
    }

    #[test]
    fn a_ranking_without_a_circuit_keeps_what_scores_a_hundredth_of_the_largest() {
        let c = config(4, 0);
        let (mut scores, _) = scored(&c);
        for (i, s) in scores.iter_mut().enumerate().filter(|(_, s)| s.edge.from != Sender::PosEmbed)
        {
            s.score = [1.0, 0.02, 0.005, 0.0][i % 4];
        }
        let (_, kept) = MibGraph::new(&c, &scores, &[]).scores(&c).unwrap();
        let wanted = scores.iter().filter(|s| s.score >= 0.01).map(|s| s.edge);
        assert_eq!(kept, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let c = config(4, 16);
        let (scores, kept) = scored(&c);
        let whole: Json =
            serde_json::from_str(&MibGraph::new(&c, &scores, &kept).to_text()).unwrap();
        let says = |change: &dyn Fn(&mut Json), word: &str| {
            let mut json = whole.clone();
            change(&mut json);
            let e = MibGraph::parse(&json.to_string()).and_then(|g| g.scores(&c)).unwrap_err();
            assert!(e.contains(word), "{word}: {e}");
        };
        says(&|j| j["edges"] = json!([]), "`edges`");
        says(&|j| j["cfg"]["n_heads"] = json!(12), "cfg.n_heads is 12");
        says(&|j| j["cfg"]["d_model"] = json!("8"), "`cfg.d_model`");
        says(
            &|j| j["edges"]["a0.h1->m1"] = json!({"score": "x", "in_graph": true}),
            "a0.h1->m1.score",
        );
        says(&|j| j["edges"]["a0.h1->m1"] = json!({"score": 1.0}), "a0.h1->m1.in_graph");
        says(
            &|j| j["edges"]["a1.h1->m0"] = json!({"score": 1.0, "in_graph": true}),
            "no such edge",
        );
        says(&|j| j["edges"]["soul->m0"] = json!({"score": 1.0, "in_graph": true}), "soul->m0");
        says(&|j| drop(j["edges"].as_object_mut().unwrap().remove("m0->logits")), "`m0->logits`");
        assert!(MibGraph::parse("[1]").is_err() && MibGraph::parse("{").is_err());
    }
}
