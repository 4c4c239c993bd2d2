//! A circuit on the network itself: every other edge carries its reference.
//!
//! The interventions of a row and the patched edges run together; a sender that an intervention
//! changed sends the change along the circuit's edges. An edge patch whose sender would need a
//! second reference in the same run is an abstention.

use super::{Prediction, Scene};
use crate::Error;
use crate::body::Ablation;
use flyroom_network::{Edge, Intervention, Operation, Row, Runner, Sender, Target};
use std::collections::BTreeSet;

fn runner<'a>(scene: &Scene<'a>) -> Result<&'a Runner<'a>, Error> {
    scene
        .runner
        .ok_or_else(|| Error::Scene("an open explanation needs the network to run on".into()))
}

pub(super) fn predict(
    edges: &[Edge],
    ablation: Ablation,
    scene: &Scene,
    rows: &[Row],
) -> Result<Vec<Prediction>, Error> {
    let runner = runner(scene)?;
    let table = runner
        .edges()
        .ok_or_else(|| Error::Body("a circuit of edges needs a transformer".into()))?;
    let kept: BTreeSet<Edge> = edges.iter().copied().collect();
    for &e in &kept {
        table.index(e)?;
    }
    let cut: Vec<Edge> = table.edges.iter().copied().filter(|e| !kept.contains(e)).collect();
    let cut_senders: BTreeSet<Sender> = cut.iter().map(|e| e.from).collect();
    let mut patched = vec![];
    let mut at = vec![];
    let mut out = vec![Prediction::unsaid(""); rows.len()];
    for (i, row) in rows.iter().enumerate() {
        let reference = match ablation {
            Ablation::Zero => Operation::Zero,
            Ablation::Mean => Operation::Mean,
            Ablation::Resample => {
                let input = *scene.corrupt.get(row.input).ok_or_else(|| {
                    Error::Scene(format!("input {} has no corrupted partner", row.input))
                })?;
                scene.check_input(input)?;
                Operation::Interchange { input }
            }
        };
        let clash = row.interventions.iter().any(|x| match &x.target {
            Target::Edges(e) => {
                x.operation != reference && e.iter().any(|e| cut_senders.contains(&e.from))
            }
            _ => false,
        });
        if clash {
            out[i] = Prediction::unsaid(
                "a sender would need a reference of its own and that of the circuit",
            );
            continue;
        }
        let mut interventions = row.interventions.clone();
        if !cut.is_empty() {
            interventions.push(Intervention::edges(cut.clone(), reference));
        }
        patched.push(Row { input: row.input, interventions });
        at.push(i);
    }
    for (i, y) in at.into_iter().zip(run(runner, scene, &patched)?) {
        out[i] = y;
    }
    Ok(out)
}

pub(super) fn predict_whole(scene: &Scene, rows: &[Row]) -> Result<Vec<Prediction>, Error> {
    run(runner(scene)?, scene, rows)
}

fn run(runner: &Runner, scene: &Scene, rows: &[Row]) -> Result<Vec<Prediction>, Error> {
    if runner.inputs() != scene.inputs {
        return Err(Error::Scene("the network runs on other inputs than the scene's".into()));
    }
    let pos = scene.inputs.pos().max(1);
    let take = |y: Vec<f32>| {
        let columns = y.len() / pos;
        let mut out = vec![];
        for &p in &scene.reads.positions {
            for &c in &scene.reads.columns {
                let x = (p < pos && c < columns).then(|| y[p * columns + c]).ok_or_else(|| {
                    Error::Scene(format!(
                        "position {p}, column {c} of an output [{pos}, {columns}]"
                    ))
                })?;
                out.push(x);
            }
        }
        Ok(Prediction::Output(out))
    };
    runner.run(rows)?.into_iter().map(take).collect()
}
