//! The figures of a report, drawn from the cells of a run: learning curves, learned directions
//! against true ones and against each other, circuits against the truth, Fourier spectra, what
//! lenses and patches saw, attention. One specimen of each organism is drawn, the first seed; curves
//! show all.

mod grids;
mod patterns;

pub use grids::figure as grid;
pub use patterns::patterns;

use crate::Fault;
use crate::report::{
    BarChart, BarSeries, CircuitEdge, CircuitGraph, CircuitNode, DecoderPlot, EdgeMark, Figure,
    Heatmap, LineChart, Series, Vector,
};
use crate::store::Cell;
use crate::work::{Bench, not_applicable};
use flyroom_decompose::Dictionary;
use flyroom_describe::{Description, FrequencyLine, Grid};
use flyroom_explanation::Body;
use flyroom_network::{Receiver, Sender};
use flyroom_organism::Specimen;
use flyroom_organism::train::CurvePoint;
use flyroom_validate::wiring::EdgeTruthScore;
use std::collections::{BTreeMap, BTreeSet};

/// Learning curves of an organism: one chart for each quantity, one line for each seed.
pub fn curves(organism: &str, specimens: &[&Cell]) -> Result<Vec<Figure>, Fault> {
    let mut charts: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for cell in specimens {
        let bytes = cell.read("curve.jsonl")?;
        let points: Vec<CurvePoint> = String::from_utf8_lossy(&bytes)
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let names: BTreeSet<&String> = points.iter().flat_map(|p| p.values.keys()).collect();
        let label = specimen_seed(cell)?;
        for name in names {
            let series = Series {
                name: format!("seed {label}"),
                points: points
                    .iter()
                    .filter_map(|p| Some([p.step as f64, *p.values.get(name)?]))
                    .collect(),
                dashed: false,
            };
            charts.entry(name.clone()).or_default().push(series);
        }
    }
    Ok(charts
        .into_iter()
        .map(|(name, series)| {
            let loss = name == "loss";
            Figure::LineChart(LineChart {
                title: format!("{organism}: {name} while it learns"),
                caption: if loss {
                    "Training loss, lower is better; the axis is logarithmic. One line a seed."
                        .into()
                } else {
                    "Measured on inputs that training did not draw. One line a seed.".into()
                },
                x_label: "step".into(),
                y_label: name,
                log_y: loss,
                series,
                ..LineChart::default()
            })
        })
        .collect())
}

fn specimen_seed(cell: &Cell) -> Result<u64, Fault> {
    let spec: flyroom_organism::Spec = cell.read_json("specimen.json")?;
    Ok(spec.seed)
}

/// A dictionary in a plane against the features of its site; nothing where the site is no plane.
pub fn decoder(
    bench: &Bench,
    organism: &str,
    method: &str,
    specimen: &Cell,
    decomposition: &Cell,
) -> Result<Option<Figure>, Fault> {
    if not_applicable(decomposition).is_some() {
        return Ok(None);
    }
    let dictionary = Dictionary::load(&decomposition.path(""))?;
    if dictionary.d_in() != 2 {
        return Ok(None);
    }
    let s = Specimen::read(&specimen.path(""))?;
    let truth = bench.truth(&s)?;
    let vector = |d: &[f32], name: String| Vector { x: f64::from(d[0]), y: f64::from(d[1]), name };
    Ok(Some(Figure::DecoderPlot(DecoderPlot {
        title: format!("{method} on {organism} / {}", s.spec.seed),
        caption: "Rays are the true feature directions, dots the learned ones. A good dictionary \
                  has a dot on every ray and none between."
            .into(),
        truth: truth
            .features_at(&dictionary.site)
            .iter()
            .map(|f| vector(&f.direction, f.name.clone()))
            .collect(),
        learned: dictionary.directions().iter().map(|d| vector(d, String::new())).collect(),
    })))
}

/// Latents of which a Gram matrix is drawn.
const LATENTS: usize = 40;

/// Cosines of the decoder's directions with each other, where they are few enough to be seen.
pub fn gram(
    organism: &str,
    seed: u64,
    method: &str,
    decomposition: &Cell,
) -> Result<Option<Figure>, Fault> {
    if not_applicable(decomposition).is_some() {
        return Ok(None);
    }
    let dictionary = Dictionary::load(&decomposition.path(""))?;
    let directions = dictionary.directions();
    let n = directions.len();
    if !(2..=LATENTS).contains(&n) || dictionary.d_in() < 2 {
        return Ok(None);
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosine = |a: &[f32], b: &[f32]| {
        let norm = (dot(a, a) * dot(b, b)).sqrt();
        (norm > 0.0).then(|| dot(a, b) / norm)
    };
    let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    Ok(Some(Figure::Heatmap(Heatmap {
        title: format!("Decoder Gram matrix: {method} on {organism} / {seed}"),
        caption: "Cosine of each latent's decoder direction with each other's: the diagonal is 1. \
                  Elsewhere the darkest cells are pairs of latents that share a direction; in few \
                  dimensions no two latents can be at right angles to all others, so that every cell \
                  has some colour."
            .into(),
        x_label: "latent".into(),
        y_label: "latent".into(),
        rows: names.clone(),
        columns: names,
        values: directions
            .iter()
            .map(|a| directions.iter().map(|b| cosine(a, b)).collect())
            .collect(),
        ..Heatmap::default()
    })))
}

/// A circuit, each edge marked by what the truth says of it.
pub fn circuit(
    organism: &str,
    method: &str,
    seed: u64,
    explanation: &Cell,
    wiring: &Cell,
) -> Result<Option<Figure>, Fault> {
    if not_applicable(explanation).is_some() {
        return Ok(None);
    }
    let d: Description = explanation.read_json("description.json")?;
    let Body::Circuit { edges, .. } = &d.explanation.body else { return Ok(None) };
    let score: flyroom_validate::wiring::WiringScore = wiring.read_json("wiring.json")?;
    let mark = |e: &flyroom_network::Edge, t: &Option<EdgeTruthScore>| match t {
        None => EdgeMark::Plain,
        Some(t) if t.extra.contains(e) => EdgeMark::Extra,
        Some(_) => EdgeMark::Found,
    };
    let weight = |e: &flyroom_network::Edge| {
        d.edges.iter().find(|s| s.edge == *e).map_or(0.0, |s| s.score.abs())
    };
    let mut drawn: Vec<CircuitEdge> = edges
        .iter()
        .map(|e| CircuitEdge {
            from: e.from.to_string(),
            to: e.to.to_string(),
            weight: weight(e),
            mark: mark(e, &score.truth),
        })
        .collect();
    for e in score.truth.iter().flat_map(|t| &t.missed) {
        drawn.push(CircuitEdge {
            from: e.from.to_string(),
            to: e.to.to_string(),
            weight: 0.0,
            mark: EdgeMark::Missed,
        });
    }
    // A receiver is drawn as the component that it feeds.
    for e in &mut drawn {
        if let Some((head, letter)) = e.to.split_once('<') {
            debug_assert!(letter.ends_with('>'));
            e.to = head.to_owned();
        }
    }
    let used: BTreeSet<String> =
        drawn.iter().flat_map(|e| [e.from.clone(), e.to.clone()]).collect();
    let mut nodes: BTreeMap<(u32, String), CircuitNode> = BTreeMap::new();
    for s in &d.edges {
        for (id, layer) in [
            (s.edge.from.to_string(), sender_layer(s.edge.from)),
            (receiver_node(s.edge.to), receiver_layer(s.edge.to)),
        ] {
            if used.contains(&id) {
                let node = CircuitNode { id: id.clone(), name: String::new(), layer };
                nodes.insert((layer, id), node);
            }
        }
    }
    // Rows that nothing stands in are left out.
    let layers: BTreeSet<u32> = nodes.keys().map(|k| k.0).collect();
    let nodes = nodes
        .into_values()
        .map(|n| CircuitNode { layer: layers.range(..n.layer).count() as u32, ..n })
        .collect();
    Ok(Some(Figure::CircuitGraph(CircuitGraph {
        title: format!("{method} on {organism} / {seed}"),
        caption: format!(
            "Input below, logits above; the width of a line is its score. Queries, keys and values \
             between the same two nodes are one line. {} of {} edges kept, faithfulness {:.3} under \
             resampling.",
            score.kept, score.edges, score.faithfulness["resample"]
        ),
        nodes,
        edges: drawn,
    })))
}

fn sender_layer(s: Sender) -> u32 {
    match s {
        Sender::Embed | Sender::PosEmbed => 0,
        Sender::Head(l, _) => 2 * l as u32 + 1,
        Sender::Mlp(l) => 2 * l as u32 + 2,
    }
}

fn receiver_layer(r: Receiver) -> u32 {
    match r {
        Receiver::Query(l, _) | Receiver::Key(l, _) | Receiver::Value(l, _) => 2 * l as u32 + 1,
        Receiver::Mlp(l) => 2 * l as u32 + 2,
        Receiver::Logits => u32::MAX,
    }
}

fn receiver_node(r: Receiver) -> String {
    let text = r.to_string();
    text.split_once('<').map_or(text.clone(), |(head, _)| head.to_owned())
}

/// Power of every frequency; those that the explanation names are pointed out.
pub fn spectrum(organism: &str, seed: u64, explanation: &Cell) -> Result<Option<Figure>, Fault> {
    if not_applicable(explanation).is_some() {
        return Ok(None);
    }
    let d: Description = explanation.read_json("description.json")?;
    if d.frequencies.is_empty() {
        return Ok(None);
    }
    let mut lines: Vec<&FrequencyLine> = d.frequencies.iter().collect();
    lines.sort_by_key(|l| l.frequency);
    let named =
        |l: &FrequencyLine| l.embedding == "key" || (l.embedding == "flat" && l.verdict == "used");
    Ok(Some(Figure::BarChart(BarChart {
        title: format!("Frequencies of {organism} / {seed}"),
        caption: "Share of the embedding's non-constant power at each frequency. Highlighted are \
                  those that the explanation names."
            .into(),
        x_label: "frequency".into(),
        y_label: "power (share)".into(),
        names: lines.iter().map(|l| l.frequency.to_string()).collect(),
        series: vec![BarSeries {
            name: "power".into(),
            values: lines.iter().map(|l| l.power).collect(),
        }],
        highlighted: (0..lines.len()).filter(|&i| named(lines[i])).collect(),
        highlight: "named".into(),
    })))
}

/// What a method read from a specimen; nothing where it had nothing to say.
pub fn grids_of(explanation: &Cell) -> Result<Vec<Grid>, Fault> {
    if not_applicable(explanation).is_some() {
        return Ok(vec![]);
    }
    let d: Description = explanation.read_json("description.json")?;
    d.grids.iter().try_for_each(Grid::check).map_err(Fault::from)?;
    Ok(d.grids)
}
