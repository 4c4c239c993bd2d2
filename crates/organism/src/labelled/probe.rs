//! What a compiled network must stand: every variable read at every depth, every edge patched,
//! every variable set, one by one and in pairs.

use super::Labelled;
use crate::Bred;
use flyroom_explanation::{Prediction, Reads, Scene, predict};
use flyroom_network::{Inputs, Intervention, Network, Operation, Row, Runner, Selector, Target};
use flyroom_tensor::{Context, Stream};
use std::collections::BTreeMap;

fn cx() -> Context {
    Context::single()
}

/// Random permutations of each variable's labels.
const PERMUTATIONS: u64 = 400;

/// Names of the residual stream's places, in order of depth.
fn depths(network: &Network) -> Vec<String> {
    let c = network.architecture().transformer().unwrap();
    let mut sites = vec!["blocks.0.hook_resid_pre".to_string()];
    for l in 0..c.n_layers {
        if c.d_mlp > 0 {
            sites.push(format!("blocks.{l}.hook_resid_mid"));
        }
        sites.push(format!("blocks.{l}.hook_resid_post"));
    }
    sites
}

/// What reading all variables at all depths gave.
#[derive(Debug, Default)]
pub struct Read {
    /// Largest difference from the program's value, from the depth on where it is written.
    pub after: f32,
    /// Largest coordinate before that.
    pub before: f32,
    /// Share of values that the code decodes, of one-hot variables from their writing on.
    pub decoded: f64,
    /// The same with the names of each variable's values permuted, mean over [`PERMUTATIONS`], and
    /// what that is by chance: 1 / values.
    pub permuted: f64,
    pub chance: f64,
}

/// Reads every variable on all inputs of all lengths.
pub fn read(l: &Labelled, bred: &Bred) -> Read {
    let explanation = bred.truth.explanation.as_ref().unwrap();
    let sites = depths(&bred.network);
    let mut out = Read::default();
    // How often each value of each one-hot variable was read as itself, and how often at all.
    let mut counts: BTreeMap<&str, (Vec<f64>, f64)> = BTreeMap::new();
    for n in 1..=l.length {
        let (sequences, traces): (Vec<_>, Vec<_>) = l.traces(n).unwrap().into_iter().unzip();
        let rows: Vec<Vec<u32>> = sequences.iter().map(|s| l.with_bos(s)).collect();
        let inputs = Inputs::tokens(&rows).unwrap();
        let cx = cx();
        let runner = Runner::new(&bred.network, &inputs, &cx).unwrap();
        for part in &explanation.parts {
            let first = &part.alignments[0];
            let basis = first.selector.basis.as_ref().unwrap();
            let written = sites.iter().position(|s| *s == first.selector.site).unwrap();
            assert_eq!(part.alignments.len(), sites.len() - written);
            let domain = &l.variables.iter().find(|v| v.name == part.name).unwrap().domain;
            for (depth, site) in sites.iter().enumerate() {
                let resid = runner.clean(site).unwrap();
                let d = basis[0].len();
                for (row, trace) in traces.iter().enumerate() {
                    let values = trace.get(&part.name).unwrap();
                    for (p, value) in values.iter().enumerate() {
                        let x = &resid.row(row)[(p + 1) * d..(p + 2) * d];
                        let got: Vec<f32> = basis
                            .iter()
                            .map(|q| x.iter().zip(q).map(|(x, q)| x * q).sum())
                            .collect();
                        if depth < written {
                            out.before = got.iter().fold(out.before, |m, x| m.max(x.abs()));
                            continue;
                        }
                        let wanted = first.code.encode(value).unwrap();
                        for (x, y) in got.iter().zip(&wanted) {
                            out.after = out.after.max((x - y).abs());
                        }
                        let at = domain.iter().position(|v| v.same(value));
                        if let (Some(at), true) = (at, got.len() > 1) {
                            let zeros = || (vec![0.0; domain.len()], 0.0);
                            let (right, all) = counts.entry(&part.name).or_insert_with(zeros);
                            let read = first.code.decode(&got).unwrap().value;
                            right[at] += f64::from(u8::from(read.same(value)));
                            *all += 1.0;
                        }
                    }
                }
            }
        }
    }
    let n = counts.len() as f64;
    for (name, (right, all)) in &counts {
        out.decoded += right.iter().sum::<f64>() / all / n;
        out.chance += 1.0 / right.len() as f64 / n;
        for draw in 0..PERMUTATIONS {
            let to = Stream::new(draw, name).block(0).permutation(right.len());
            let kept: f64 = (0..right.len()).filter(|&i| to[i] == i).map(|i| right[i]).sum();
            out.permuted += kept / all / n / PERMUTATIONS as f64;
        }
    }
    out
}

/// Patches edges one at a time with the partner's values on inputs of full length; returns the
/// edges that move an output that counts.
pub fn moved(l: &Labelled, network: &Network) -> Vec<String> {
    let task = l.task(l.length).unwrap();
    let cx = cx();
    let runner = Runner::new(network, &task.inputs, &cx).unwrap();
    let clean = runner.logits().unwrap();
    let inputs = (0..task.clean).step_by(task.clean.div_ceil(120));
    let mut out = vec![];
    for &e in &runner.edges().unwrap().edges {
        let row = |input: usize| Row {
            input,
            interventions: vec![Intervention {
                target: Target::Edges(vec![e]),
                operation: Operation::Interchange { input: task.partner[input] },
            }],
        };
        let rows: Vec<Row> = inputs.clone().map(row).collect();
        let after = runner.run(&rows).unwrap();
        let moves = rows.iter().zip(&after).any(|(row, after)| {
            let before = clean.row(row.input);
            task.read_positions(row.input).any(|p| {
                let at = p * task.d_out..(p + 1) * task.d_out;
                before[at.clone()].iter().zip(&after[at]).any(|(a, b)| (a - b).abs() > 1e-3)
            })
        });
        if moves {
            out.push(e.to_string());
        }
    }
    out
}

/// Sets every variable of the exam, at positions in turn, to every value of its domain on some
/// inputs, sets and interchanges 400 pairs of variables, interchanges whole streams, and compares
/// the network with the oracle's prediction: the largest difference, and how many rows.
pub fn oracle_error(l: &Labelled, bred: &Bred, length: usize) -> (f32, usize) {
    let task = l.task(length).unwrap();
    let cx = cx();
    let runner = Runner::new(&bred.network, &task.inputs, &cx).unwrap();
    let explanation = bred.truth.explanation.as_ref().unwrap();
    let variables = &bred.truth.variables;
    let mut rows = vec![];
    let inputs: Vec<usize> = (0..task.clean).step_by(task.clean.div_ceil(12)).collect();
    for v in variables {
        for (k, &input) in inputs.iter().enumerate() {
            let at = v.selector.clone().at_pos(v.positions[k % length]);
            let mut push = |operation| {
                let interventions = vec![Intervention::site(at.clone(), operation)];
                rows.push(Row { input, interventions });
            };
            v.values.iter().for_each(|x| push(Operation::Set { values: x.clone() }));
            push(Operation::Interchange { input: task.partner[input] });
        }
    }
    let mut g = Stream::new(0, "pairs").block(length as u64);
    let mut below = |n: usize| g.below(n as u64) as usize;
    for _ in 0..400 {
        let input = below(task.clean);
        let mut pair = vec![];
        for _ in 0..2 {
            let v = below(variables.len());
            let at = variables[v].selector.clone().at_pos(1 + below(length));
            let operation = match below(2) {
                0 => Operation::Interchange { input: below(task.clean) },
                _ => {
                    let values = &variables[v].values;
                    Operation::Set { values: values[below(values.len())].clone() }
                }
            };
            pair.push((v, Intervention::site(at, operation)));
        }
        // In order of computation, as the exam has them.
        pair.sort_by_key(|(v, _)| *v);
        rows.push(Row { input, interventions: pair.into_iter().map(|(_, i)| i).collect() });
    }
    for site in depths(&bred.network) {
        for (k, &input) in inputs.iter().enumerate() {
            let at = Selector::site(&site).at_pos(1 + k % length);
            let operation = Operation::Interchange { input: task.partner[input] };
            rows.push(Row { input, interventions: vec![Intervention::site(at, operation)] });
        }
    }
    let sites: Vec<_> = runner.sites().cloned().collect();
    let reads = Reads { positions: (1..=length).collect(), columns: (0..task.columns).collect() };
    let scene = Scene {
        inputs: &task.inputs,
        vocabulary: &task.vocabulary,
        sites: &sites,
        reads: &reads,
        runner: None,
        corrupt: &task.partner,
    };
    let predicted = predict(explanation, &scene, &rows).unwrap();
    let after = runner.run(&rows).unwrap();
    let mut worst = 0f32;
    for ((row, p), after) in rows.iter().zip(&predicted).zip(&after) {
        let Prediction::Output(p) = p else { panic!("{row:?}: {p:?}") };
        for (x, y) in p.iter().zip(&after[task.d_out..]) {
            worst = worst.max((x - y).abs());
        }
    }
    (worst, rows.len())
}
