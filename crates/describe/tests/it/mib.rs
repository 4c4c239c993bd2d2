//! Circuits that EAP-IG's own code saved, recorded by `benchmarks/oracles/eap_circuits.py`: on a model
//! that TransformerLens saved, with the inputs of the induction task.

use flyroom_describe::mib::MibGraph;
use flyroom_describe::{Description, EdgeScore, find};
use flyroom_explanation::Body;
use flyroom_network::format::Source;
use flyroom_network::{Edge, Sender, TransformerConfig};
use flyroom_organism::import::{Options, import};
use flyroom_organism::{Specimen, Subject, Task};
use flyroom_tensor::Context;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn recorded(name: &str) -> MibGraph {
    MibGraph::read(Source::open(&root().join("tests/it/mib").join(name)).unwrap()).unwrap()
}

/// The model, judged by the task from which the script took its inputs.
fn specimen() -> (Specimen, Task) {
    let set = [("vocab", 8), ("seq", 9), ("period_min", 3), ("period_max", 6)];
    let options = Options {
        organism: Some("induction".into()),
        set: set.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect(),
        ..Options::default()
    };
    let path = root().join("../organism/tests/transformer_lens");
    let imported = import("transformer-lens", &path, &options).unwrap();
    let task = imported.organism.task(&imported.parameters, None).unwrap();
    (imported.into_specimen(&Context::single()).unwrap().0, task)
}

fn with_subject<T>(look: impl Fn(&Subject, &TransformerConfig) -> T) -> T {
    let (specimen, task) = specimen();
    let cx = Context::single();
    let subject = Subject::new(&specimen, &task, &cx).unwrap();
    look(&subject, specimen.network.architecture().transformer().unwrap())
}

fn circuit(d: &Description) -> Vec<Edge> {
    let Body::Circuit { edges, .. } = &d.explanation.body else { panic!("no circuit") };
    edges.clone()
}

#[test]
fn the_peers_scores_of_every_edge_are_those_of_our_eap() {
    with_subject(|subject, c| {
        let set = [("pairs".to_owned(), json!(128))].into_iter().collect();
        let mut parameters = find("eap").unwrap().defaults();
        parameters.extend::<serde_json::Map<String, Json>>(set);
        let ours = find("eap").unwrap().describe(subject, None, &parameters, 0).unwrap();
        let (theirs, _) = recorded("ranking.json").scores(c).unwrap();
        assert_eq!(ours.edges.len(), theirs.len());
        let most = theirs.iter().map(|s| s.score.abs()).fold(0.0, f64::max);
        assert!(most > 0.1, "{most}");
        let mut off: f64 = 0.0;
        for (a, b) in ours.edges.iter().zip(&theirs) {
            assert_eq!(a.edge, b.edge);
            if a.edge.from == Sender::PosEmbed {
                // A corrupted partner has the same positions.
                assert_eq!((a.score, b.score), (0.0, 0.0));
            }
            off = off.max((a.score - b.score).abs());
        }
        assert!(off <= 1e-5 * most, "{off} of {most}");
    });
}

#[test]
fn both_forms_of_a_file_hold_the_same_circuit() {
    with_subject(|_, c| {
        let (json, torch) = (recorded("circuit.json"), recorded("circuit.pt"));
        let read = |text: String| serde_json::from_str::<Json>(&text).unwrap();
        assert_eq!(read(torch.to_text()), read(json.to_text()));
        // 20 edges were asked for; those that led nowhere were pruned by the peer.
        let (scores, kept) = json.scores(c).unwrap();
        assert_eq!(torch.scores(c).unwrap(), (scores.clone(), kept.clone()));
        let marked = read(json.to_text())["edges"].as_object().unwrap().clone();
        let marked = marked.values().filter(|e| e["in_graph"] == json!(true)).count();
        assert_eq!(kept.len(), marked);
        assert!((1..=20).contains(&marked), "{marked}");
        // And the ranking is the same file with nothing kept.
        assert_eq!(recorded("ranking.json").scores(c).unwrap().0, scores);
    });
}

#[test]
fn a_circuit_of_the_peer_is_written_as_it_came_and_by_us_with_the_same_keys() {
    with_subject(|_, c| {
        let path = root().join("tests/it/mib/circuit.json");
        let file: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let read = recorded("circuit.json");
        assert_eq!(serde_json::from_str::<Json>(&read.to_text()).unwrap(), file);
        let (scores, kept) = read.scores(c).unwrap();
        let ours = MibGraph::new(c, &scores, &kept).to_text();
        let mut ours: Json = serde_json::from_str(&ours).unwrap();
        // The peer calls its `logits` node in the graph whatever the edges are; so do we.
        assert_eq!(ours, file);
        ours["edges"]["m0->logits"]["score"] = json!("much");
        assert!(MibGraph::parse(&ours.to_string()).is_err());
    });
}

#[test]
fn a_circuit_of_the_peer_is_an_explanation_that_can_be_tried() {
    with_subject(|subject, c| {
        let d = recorded("circuit.pt").description("circuit", subject, c).unwrap();
        d.explanation.check().unwrap();
        assert_eq!(circuit(&d), recorded("circuit.json").scores(c).unwrap().1);
        let all: &[EdgeScore] = &d.edges;
        assert_eq!(all.len(), subject.runner.edges().unwrap().edges.len());
    });
}
