//! Scores of edges by gradients along activations, against runs that do by hand what they predict.

use crate::common::{bits, inputs, kinds, network, plain};
use flyroom_network::*;
use flyroom_tensor::{Context, Tensor};
use std::ops::Range;

const PAIRS: [(usize, usize); 2] = [(0, 3), (2, 5)];

fn direction() -> Vec<f32> {
    (0..2 * 35).map(|i| ((i * 5) % 9) as f32 / 4.0 - 1.0).collect()
}

/// m of an output of pair `b`.
fn m(output: &[f32], b: usize) -> f64 {
    output.iter().zip(&direction()[b * 35..]).map(|(x, d)| f64::from(*x) * f64::from(*d)).sum()
}

fn site_of(u: Sender) -> (String, usize) {
    match u {
        Sender::Embed => ("hook_embed".into(), 0),
        Sender::PosEmbed => ("hook_pos_embed".into(), 0),
        Sender::Head(l, h) => (format!("blocks.{l}.attn.hook_result"), h),
        Sender::Mlp(l) => (format!("blocks.{l}.hook_mlp_out"), 0),
    }
}

/// What a sender writes on an input, `[pos, d_model]`.
fn written(runner: &Runner, u: Sender, input: usize) -> Vec<f32> {
    let (site, head) = site_of(u);
    let row = runner.clean_row(&site, input).unwrap();
    let heads = row.len() / (5 * 8);
    row.chunks(8).skip(head).step_by(heads).flatten().copied().collect()
}

/// share * a + (1 - share) * b
fn between(a: &[f32], b: &[f32], share: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| share * a + (1.0 - share) * b).collect()
}

/// The sender writes `values`.
fn writes(u: Sender, values: Vec<f32>) -> Intervention {
    let (site, head) = site_of(u);
    let of = if matches!(u, Sender::Head(..)) { format!("[head={head}]") } else { String::new() };
    let selector = format!("{site}{of}").parse().unwrap();
    Intervention::site(selector, Operation::Set { values })
}

/// The senders of a block: what the code of Hanna et al. moves together.
fn blocks(table: &EdgeTable) -> Vec<Range<usize>> {
    let mut out: Vec<(String, Range<usize>)> = vec![];
    for (i, &u) in table.senders.iter().enumerate() {
        let site = site_of(u).0;
        match out.last_mut() {
            Some((last, range)) if *last == site => range.end = i + 1,
            _ => out.push((site, i..i + 1)),
        }
    }
    out.into_iter().filter(|(s, _)| s != "hook_pos_embed").map(|(_, r)| r).collect()
}

/// The derivative of m by central differences: edge `e` carries `step` times a_u - a_u' more and
/// less, while `moved` senders write what lies `share` of the way to their clean activations. What
/// is moved is held there, so nothing of a step upstream passes through it.
fn by_hand(runner: &Runner, e: Edge, b: usize, moved: &[Sender], share: f32) -> f64 {
    let (input, source) = PAIRS[b];
    let ends = |u: Sender| (written(runner, u, input), written(runner, u, source));
    let step = 1.0 / 64.0;
    let row = |sign: f32| {
        let mut interventions: Vec<Intervention> = moved
            .iter()
            .map(|&u| {
                let (clean, corrupted) = ends(u);
                writes(u, between(&clean, &corrupted, share))
            })
            .collect();
        // The edge carries what its sender writes in this run, and the step.
        let (clean, corrupted) = ends(e.from);
        let mut values = clean.clone();
        if moved.contains(&e.from) {
            values = between(&clean, &corrupted, share);
        }
        for ((v, a), b) in values.iter_mut().zip(&clean).zip(&corrupted) {
            *v += sign * step * (a - b);
        }
        interventions.push(Intervention::edges(vec![e], Operation::Set { values }));
        Row { input, interventions }
    };
    let out = runner.run(&[row(1.0), row(-1.0)]).unwrap();
    (m(&out[0], b) - m(&out[1], b)) / (2.0 * f64::from(step))
}

/// Kinds whose activations are smooth, so that differences are close to derivatives.
fn smooth() -> Vec<TransformerConfig> {
    kinds().into_iter().filter(|c| c.act_fn != Activation::Relu && c.d_mlp > 0).collect()
}

/// With weights that are half as large, which bend less.
fn calm(c: TransformerConfig) -> Network {
    let architecture = Architecture::Transformer(c);
    let mut weights = network(architecture.clone()).weights().clone();
    for w in weights.values_mut() {
        *w = Tensor::from_fn(w.shape(), |i| w.data()[i] / 2.0);
    }
    Network::new(architecture, weights).unwrap()
}

#[test]
fn scores_along_the_senders_activation_are_slopes_of_runs_that_hold_it_there() {
    let inputs = inputs();
    let steps = 3;
    let mut seen = 0.0f64;
    for c in smooth() {
        let net = calm(c.clone());
        let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
        let scores =
            runner.edge_attribution(&PAIRS, &direction(), GradientPath::Sender, steps).unwrap();
        for (k, &e) in runner.edges().unwrap().edges.iter().enumerate() {
            let b = k % 2;
            let slopes =
                (1..=steps).map(|s| by_hand(&runner, e, b, &[e.from], s as f32 / steps as f32));
            let wanted = slopes.sum::<f64>() / steps as f64;
            let got = scores[b][k];
            let close = (got - wanted).abs() < 5e-3 * (1.0 + wanted.abs());
            assert!(close, "{e}: {got} against {wanted}, {c:?}");
            seen = seen.max(wanted.abs());
        }
    }
    assert!(seen > 0.5, "the test saw no effect");
}

#[test]
fn scores_along_blocks_average_every_edge_over_every_block_and_stop_where_one_is_held() {
    let inputs = inputs();
    let steps = 2;
    let c = TransformerConfig { act_fn: Activation::Gelu, ..plain() };
    let net = calm(c);
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let scores =
        runner.edge_attribution(&PAIRS, &direction(), GradientPath::Blocks, steps).unwrap();
    let table = runner.edges().unwrap();
    let blocks = blocks(table);
    assert_eq!(blocks.len(), 5, "embeddings, attention and MLP of two layers");
    let mut cut = 0;
    for (k, &e) in table.edges.iter().enumerate() {
        let mut wanted = 0.0;
        for block in &blocks {
            let moved = &table.senders[block.clone()];
            for s in 1..=steps {
                let slope = by_hand(&runner, e, 0, moved, s as f32 / steps as f32);
                wanted += slope / (blocks.len() * steps) as f64;
                cut += usize::from(slope == 0.0);
            }
        }
        let got = scores[0][k];
        assert!((got - wanted).abs() < 5e-3 * (1.0 + wanted.abs()), "{e}: {got}, {wanted}");
    }
    assert!(cut > 0, "nothing was held");
}

#[test]
fn at_one_point_and_where_the_network_is_linear_the_senders_path_is_that_of_eap() {
    let inputs = inputs();
    let close = |a: &[Vec<f64>], b: &[Vec<f64>], why: &str| {
        for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{why}: {a} against {b}");
        }
    };
    let linear = TransformerConfig {
        attention_share: 0.0,
        causal: false,
        act_fn: Activation::Identity,
        ..plain()
    };
    let mut differ = 0.0f64;
    for (c, steps) in [(linear, 4)].into_iter().chain(kinds().into_iter().map(|c| (c, 1))) {
        let net = network(Architecture::Transformer(c.clone()));
        let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
        let score =
            |path, steps| runner.edge_attribution(&PAIRS, &direction(), path, steps).unwrap();
        let eap = score(GradientPath::Inputs, 1);
        close(&score(GradientPath::Sender, steps), &eap, &format!("{c:?}"));
        // And it is not, at more points of a network that is not linear.
        let more = score(GradientPath::Sender, 4);
        differ = more[0].iter().zip(&eap[0]).map(|(a, b)| (a - b).abs()).fold(differ, f64::max);
    }
    assert!(differ > 0.1, "{differ}");
}

#[test]
fn the_edges_of_a_sender_add_up_to_what_its_exchange_takes() {
    // Completeness (Sundararajan et al. 2017) along each sender's own activation.
    let inputs = inputs();
    let c = TransformerConfig { norm: Norm::RmsNorm, act_fn: Activation::Gelu, ..plain() };
    let net = network(Architecture::Transformer(c));
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let table = runner.edges().unwrap();
    let errors = |steps: usize| -> f64 {
        let scores =
            runner.edge_attribution(&PAIRS, &direction(), GradientPath::Sender, steps).unwrap();
        let clean = m(&runner.clean_row("hook_logits", 0).unwrap(), 0);
        let mut most = 0.0f64;
        for &u in &table.senders {
            let edges = table.edges.iter().zip(&scores[0]).filter(|(e, _)| e.from == u);
            let sum: f64 = edges.map(|(_, s)| s).sum();
            let row = Row { input: 0, interventions: vec![writes(u, written(&runner, u, 3))] };
            let taken = clean - m(&runner.run(&[row]).unwrap()[0], 0);
            most = most.max((sum - taken).abs());
        }
        most
    };
    let (one, many) = (errors(1), errors(100));
    assert!(many < 0.1 * one && many < 0.1, "{one} {many}");
}

#[test]
fn a_sender_that_the_corruption_does_not_move_has_no_edges_and_pairs_do_not_mix() {
    let inputs = inputs();
    let net = network(Architecture::Transformer(plain()));
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    for path in [GradientPath::Sender, GradientPath::Blocks] {
        let both = runner.edge_attribution(&PAIRS, &direction(), path, 3).unwrap();
        let alone = runner.edge_attribution(&PAIRS[1..], &direction()[35..], path, 3).unwrap();
        let narrow = |x: &[f64]| bits(&x.iter().map(|x| *x as f32).collect::<Vec<_>>());
        assert_eq!(narrow(&both[1]), narrow(&alone[0]), "{path:?}");
        for (e, s) in runner.edges().unwrap().edges.iter().zip(&both[0]) {
            assert!(e.from != Sender::PosEmbed || *s == 0.0, "{e}: {s}");
        }
    }
}
