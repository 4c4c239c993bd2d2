//! Interventions that must agree with each other, bit for bit where the engine promises it.

use crate::common::{bits, close, inputs, kinds, network, plain};
use flyroom_network::*;
use flyroom_tensor::{Bindings64, Context, Graph, evaluate_f64};

fn row(input: usize, interventions: Vec<Intervention>) -> Row {
    Row { input, interventions }
}

fn on(selector: &str, operation: Operation) -> Intervention {
    Intervention::site(selector.parse().unwrap(), operation)
}

fn from(input: usize) -> Operation {
    Operation::Interchange { input }
}

fn each(check: impl Fn(&TransformerConfig, &Network, &Runner)) {
    let inputs = inputs();
    for c in kinds() {
        let net = network(Architecture::Transformer(c.clone()));
        check(&c, &net, &Runner::new(&net, &inputs, &Context::single()).unwrap());
    }
}

#[test]
fn the_plain_and_the_split_form_give_the_same_bits() {
    each(|c, _, runner| {
        let plain = runner.logits().unwrap();
        // Reading a head's own input forces the split form.
        let rows: Vec<Row> = (0..6).map(|i| row(i, vec![])).collect();
        let edges = vec![runner.edges().unwrap().edges[0]];
        let split: Vec<Row> =
            (0..6).map(|i| row(i, vec![Intervention::edges(edges.clone(), from(i))])).collect();
        for (i, got) in runner.run(&rows).unwrap().iter().enumerate() {
            assert_eq!(bits(got), bits(plain.row(i)), "plain {c:?}");
        }
        for (i, got) in runner.run(&split).unwrap().iter().enumerate() {
            assert_eq!(bits(got), bits(plain.row(i)), "split {c:?}");
        }
    });
}

#[test]
fn an_edge_patched_with_itself_changes_no_bit() {
    each(|c, _, runner| {
        let clean = runner.logits().unwrap();
        let edges = &runner.edges().unwrap().edges;
        let mut rows: Vec<Row> =
            edges.iter().map(|&e| row(2, vec![Intervention::edges(vec![e], from(2))])).collect();
        rows.push(row(2, vec![Intervention::edges(edges.clone(), from(2))]));
        for (i, got) in runner.run(&rows).unwrap().iter().enumerate() {
            assert_eq!(bits(got), bits(clean.row(2)), "edge {:?} of {c:?}", edges.get(i));
        }
    });
}

#[test]
fn many_rows_of_one_receiver_give_the_bits_of_each_alone() {
    let net = network(Architecture::Transformer(plain()));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let edges = &runner.edges().unwrap().edges;
    // Enough of each for a graph of its own, and pairs of edges that need the whole one.
    let mut rows: Vec<Row> = (0..6 * edges.len())
        .map(|i| row(i % 6, vec![Intervention::edges(vec![edges[i / 6]], from((i + 1) % 6))]))
        .collect();
    rows.extend((1..20).map(|i| {
        row(i % 6, vec![Intervention::edges(vec![edges[i], edges[60 - i]], from((i + 2) % 6))])
    }));
    for (r, got) in rows.iter().zip(runner.run(&rows).unwrap()) {
        let alone = runner.run(std::slice::from_ref(r)).unwrap();
        assert_eq!(bits(&alone[0]), bits(&got), "{r:?}");
    }
}

#[test]
fn every_edge_of_every_prompt_gives_the_bits_of_each_alone() {
    each(|c, _, runner| {
        let edges = &runner.edges().unwrap().edges;
        // Two references of each input: two prompts, so that every receiver has a graph of its own.
        let one = |i: usize, e: Edge| {
            row(i % 6, vec![Intervention::edges(vec![e], from((i % 6 + 1 + i / 6) % 6))])
        };
        let rows: Vec<Row> = edges.iter().flat_map(|&e| (0..12).map(move |i| one(i, e))).collect();
        let site = "blocks.1.attn.hook_z";
        let (out, z) = (runner.run(&rows).unwrap(), runner.run_reading(&rows, site).unwrap());
        for k in (0..rows.len()).step_by(7) {
            let alone = std::slice::from_ref(&rows[k]);
            assert_eq!(bits(&runner.run(alone).unwrap()[0]), bits(&out[k]), "{alone:?} of {c:?}");
            let wanted = runner.run_reading(alone, site).unwrap();
            assert_eq!(bits(&wanted[0]), bits(&z[k]), "{site}, {alone:?} of {c:?}");
        }
        let cx = Context::new(flyroom_tensor::Kernels::Portable, 3);
        let other = Runner::new(runner.network(), runner.inputs(), &cx).unwrap();
        assert_eq!(other.run(&rows).unwrap(), out);
    });
}

#[test]
fn an_edge_patched_with_itself_keeps_negative_zeros() {
    let c = TransformerConfig { n_layers: 0, ..plain() };
    let mut net = network(Architecture::Transformer(c));
    for name in ["embed.W_E", "pos_embed.W_pos"] {
        let mut t = net.weight(name).unwrap().clone();
        t.data_mut().fill(-0.0);
        net = net.with_weight(name, t).unwrap();
    }
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let edge = "embed->logits".parse().unwrap();
    let rows = [row(0, vec![Intervention::edges(vec![edge], from(0))])];
    let got = runner.run_reading(&rows, "unembed.hook_in").unwrap();
    assert!(got[0].iter().all(|x| x.to_bits() == (-0.0f32).to_bits()));
}

#[test]
fn an_edge_set_to_what_another_input_sends_gives_the_bits_of_the_interchange() {
    each(|c, _, runner| {
        let edges = &runner.edges().unwrap().edges;
        let sent = |e: Edge| -> Vec<f32> {
            let (site, head) = match e.from {
                Sender::Embed => ("hook_embed".to_string(), None),
                Sender::PosEmbed => ("hook_pos_embed".to_string(), None),
                Sender::Head(l, h) => (format!("blocks.{l}.attn.hook_result"), Some(h)),
                Sender::Mlp(l) => (format!("blocks.{l}.hook_mlp_out"), None),
            };
            let all = runner.clean_row(&site, 4).unwrap();
            match head {
                None => all,
                Some(h) => {
                    let rows = all.chunks_exact(c.n_heads * c.d_model);
                    rows.flat_map(|r| r[h * c.d_model..(h + 1) * c.d_model].to_vec()).collect()
                }
            }
        };
        let rows = |operation: &dyn Fn(Edge) -> Operation| -> Vec<Row> {
            let patch = |&e: &Edge| row(2, vec![Intervention::edges(vec![e], operation(e))]);
            edges.iter().map(patch).collect()
        };
        let set = runner.run(&rows(&|e| Operation::Set { values: sent(e) })).unwrap();
        let interchanged = runner.run(&rows(&|_| from(4))).unwrap();
        for ((a, b), e) in set.iter().zip(&interchanged).zip(edges) {
            assert_eq!(bits(a), bits(b), "{e} of {c:?}");
        }
    });
}

#[test]
fn all_edges_from_another_input_give_that_input_s_logits() {
    each(|c, _, runner| {
        let clean = runner.logits().unwrap();
        let all = runner.edges().unwrap().edges.clone();
        let rows = [row(0, vec![Intervention::edges(all, from(3))])];
        let got = runner.run(&rows).unwrap();
        close(&got[0], clean.row(3), 1e-4, &format!("{c:?}"));
    });
}

#[test]
fn an_edge_patch_is_the_difference_at_the_receiver() {
    // Into the MLP of layer 1 from head 0 of layer 0, computed by hand at hook_mlp_in.
    let c = plain();
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let rows = [row(1, vec![Intervention::edges(vec!["a0.h0->m1".parse().unwrap()], from(4))])];
    let got = runner.run_reading(&rows, "blocks.1.hook_mlp_in").unwrap();
    let x = runner.clean("blocks.1.hook_mlp_in").unwrap();
    let a = runner.clean("blocks.0.attn.hook_result").unwrap();
    let mut wanted = x.row(1).to_vec();
    for p in 0..5 {
        for d in 0..8 {
            let at = p * 2 * 8 + d;
            wanted[p * 8 + d] += a.row(4)[at] - a.row(1)[at];
        }
    }
    close(&got[0], &wanted, 1e-6, "hook_mlp_in");
    // Nobody else reads it: the key inputs of layer 1 are clean.
    let keys = runner.run_reading(&rows, "blocks.1.hook_k_input").unwrap();
    assert_eq!(bits(&keys[0]), bits(runner.clean("blocks.1.hook_k_input").unwrap().row(1)));
}

#[test]
fn the_whole_residual_stream_of_another_input_gives_its_logits_bit_for_bit() {
    each(|c, _, runner| {
        let clean = runner.logits().unwrap();
        for site in ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "unembed.hook_in"] {
            let got = runner.run(&[row(0, vec![on(site, from(5))])]).unwrap();
            assert_eq!(bits(&got[0]), bits(clean.row(5)), "{site} of {c:?}");
        }
        let own: Vec<Row> = runner
            .sites()
            .filter(|s| runner.capture(&[&s.name]).is_ok())
            .map(|s| row(1, vec![on(&s.name, from(1))]))
            .collect();
        for (r, got) in own.iter().zip(runner.run(&own).unwrap()) {
            assert_eq!(bits(&got), bits(clean.row(1)), "{:?} of {c:?}", r.interventions);
        }
    });
}

#[test]
fn removing_a_head_is_the_same_at_its_mix_at_its_write_and_in_its_weights() {
    each(|c, net, runner| {
        let clean = runner.logits().unwrap();
        for h in 0..c.n_heads {
            let weight = format!("blocks.0.attn.W_O[head={h}]").parse().unwrap();
            let rows = [
                row(2, vec![on(&format!("blocks.0.attn.hook_z[head={h}]"), Operation::Zero)]),
                row(2, vec![on(&format!("blocks.0.attn.hook_result[head={h}]"), Operation::Zero)]),
                row(2, vec![Intervention::weight(weight, Operation::Zero)]),
            ];
            let got = runner.run(&rows).unwrap();
            assert_eq!(bits(&got[0]), bits(&got[1]));
            assert_eq!(bits(&got[0]), bits(&got[2]));
            assert_ne!(bits(&got[0]), bits(clean.row(2)));
        }
        // The edit was the run's alone.
        let again = runner.run(&[row(2, vec![])]).unwrap();
        assert_eq!(bits(&again[0]), bits(clean.row(2)));
        assert_eq!(net.hash(), runner.network().hash());
    });
}

/// I - 2 v v^T with |v| = 1: an orthonormal basis without a zero.
fn householder(n: usize) -> Vec<Vec<f32>> {
    let v: Vec<f64> = (0..n).map(|i| 0.3 + ((i * 5) % 7) as f64).collect();
    let norm: f64 = v.iter().map(|x| x * x).sum();
    let at = |i: usize, j: usize| f64::from(i == j) - 2.0 * v[i] * v[j] / norm;
    (0..n).map(|i| (0..n).map(|j| at(i, j) as f32).collect()).collect()
}

#[test]
fn a_subspace_of_all_directions_is_the_whole_vector() {
    each(|c, _, runner| {
        let selector: Selector = "blocks.0.hook_resid_post[pos=2]".parse().unwrap();
        let all = selector.clone().in_basis(householder(c.d_model));
        for operation in [from(4), Operation::Zero, Operation::Mean] {
            let rows = [
                row(1, vec![Intervention::site(selector.clone(), operation.clone())]),
                row(1, vec![Intervention::site(all.clone(), operation)]),
            ];
            let got = runner.run_reading(&rows, "blocks.0.hook_resid_post").unwrap();
            close(&got[1], &got[0], 1e-5, &format!("{c:?}"));
            // A norm of a vector of zeros magnifies float noise 1 / sqrt(eps) = 316 times.
            let got = runner.run(&rows).unwrap();
            close(&got[1], &got[0], 316.0 * 1e-6, &format!("{c:?}"));
        }
    });
}

#[test]
fn two_subspaces_that_fill_the_space_do_together_what_each_leaves_out() {
    let net = network(Architecture::Transformer(plain()));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let site = Selector::site("blocks.0.hook_resid_post");
    let (a, b) = (householder(8)[..3].to_vec(), householder(8)[3..].to_vec());
    let both = vec![
        Intervention::site(site.clone().in_basis(a.clone()), from(4)),
        Intervention::site(site.clone().in_basis(b), from(4)),
    ];
    let set = Intervention::site(
        site.clone().in_basis(a.clone()),
        Operation::Set { values: vec![0.0; 3] },
    );
    let zero = Intervention::site(site.clone().in_basis(a), Operation::Zero);
    let rows = [row(0, both), row(0, vec![set]), row(0, vec![zero])];
    let got = runner.run(&rows).unwrap();
    close(&got[0], runner.logits().unwrap().row(4), 1e-5, "both halves");
    assert_eq!(bits(&got[1]), bits(&got[2]));
}

#[test]
fn a_run_that_starts_from_its_own_residual_stream_gives_the_bits_of_the_run_from_its_tokens() {
    each(|c, _, runner| {
        for layer in 0..c.n_layers {
            let stream = format!("blocks.{layer}.hook_resid_pre");
            let z = format!("blocks.{layer}.attn.hook_z");
            for (part, whole) in [
                (format!("{stream}[pos=2]"), vec![&stream]),
                (format!("{z}[head=1]"), vec![&stream, &z]),
            ] {
                let own = whole.into_iter().map(|s| on(s, from(4)));
                let rows = [
                    row(4, vec![on(&part, from(1))]),
                    row(4, own.chain([on(&part, from(1))]).collect()),
                ];
                for site in ["hook_logits", "unembed.hook_in"] {
                    let out = runner.run_reading(&rows, site).unwrap();
                    assert_eq!(bits(&out[0]), bits(&out[1]), "{part} read at {site}");
                }
            }
        }
    });
}

#[test]
fn a_part_that_is_set_before_the_whole_is_forgotten() {
    each(|_, _, runner| {
        let (part, whole) = ("blocks.1.hook_resid_pre[pos=2]", "blocks.1.hook_resid_pre");
        let rows =
            [row(4, vec![on(part, from(1)), on(whole, from(2))]), row(4, vec![on(whole, from(2))])];
        let out = runner.run(&rows).unwrap();
        assert_eq!(bits(&out[0]), bits(&out[1]));
    });
}

#[test]
fn rows_in_groups_and_alone_give_the_same_bits() {
    each(|c, _, runner| {
        let mut rows = vec![];
        for i in 0..6 {
            rows.push(row(i, vec![]));
            rows.push(row(i, vec![on("blocks.0.attn.hook_z[head=1,pos=-1]", Operation::Mean)]));
            rows.push(row(i, vec![on("blocks.1.attn.hook_pattern[pos=1]", from((i + 1) % 6))]));
            rows.push(row(
                i,
                vec![on(
                    "blocks.0.hook_resid_pre[unit=2..4]",
                    Operation::Set { values: vec![0.5] },
                )],
            ));
            rows.push(row(i, vec![on("blocks.1.hook_q_input[head=0]", from((i + 2) % 6))]));
            let edge = runner.edges().unwrap().edges[3 * i % 20];
            rows.push(row(i, vec![Intervention::edges(vec![edge], Operation::Mean)]));
            rows.push(row(
                i,
                vec![
                    on("hook_embed[pos=0]", Operation::Zero),
                    on("blocks.0.hook_attn_out", Operation::Add { input: 0, factor: 0.5 }),
                ],
            ));
        }
        let together = runner.run(&rows).unwrap();
        for (r, wanted) in rows.iter().zip(&together) {
            let alone = runner.run(std::slice::from_ref(r)).unwrap();
            assert_eq!(bits(&alone[0]), bits(wanted), "{r:?} of {c:?}");
        }
        for threads in 2..4 {
            let cx = Context::new(flyroom_tensor::Kernels::Portable, threads);
            let other = Runner::new(runner.network(), runner.inputs(), &cx).unwrap();
            assert_eq!(other.run(&rows).unwrap(), together);
        }
    });
}

#[test]
fn operations_do_to_a_site_what_they_say() {
    let net = network(Architecture::Transformer(plain()));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let site = "blocks.0.mlp.hook_post";
    let clean = runner.clean(site).unwrap();
    let read = |i: Vec<Intervention>| runner.run_reading(&[row(1, i)], site).unwrap().remove(0);
    let at = |p: usize, u: usize| p * 10 + u;

    let got = read(vec![on(
        "blocks.0.mlp.hook_post[pos=1,unit=2..4]",
        Operation::Set { values: vec![7.0, 8.0] },
    )]);
    let mut wanted = clean.row(1).to_vec();
    (wanted[at(1, 2)], wanted[at(1, 3)]) = (7.0, 8.0);
    assert_eq!(got, wanted);

    let got = read(vec![on("blocks.0.mlp.hook_post[unit=5]", Operation::Mean)]);
    for p in 0..5 {
        let mean = (0..6).map(|i| f64::from(clean.row(i)[at(p, 5)])).sum::<f64>() / 6.0;
        assert!((f64::from(got[at(p, 5)]) - mean).abs() < 1e-6);
    }

    let got =
        read(vec![on("blocks.0.mlp.hook_post[pos=-1]", Operation::Add { input: 3, factor: 2.0 })]);
    for i in 0..50 {
        let (x, y) = (clean.row(1)[i], clean.row(3)[i]);
        let wanted = if i < at(4, 0) { x } else { x + 2.0 * (y - x) };
        assert!((got[i] - wanted).abs() < 1e-5);
    }

    // In order: the later one wins where both reach, and what follows an addition sees it.
    let first = on("blocks.0.mlp.hook_post[pos=0]", Operation::Set { values: vec![1.0] });
    let second = on("blocks.0.mlp.hook_post[pos=0,unit=0]", Operation::Set { values: vec![2.0] });
    let got = read(vec![first.clone(), second.clone()]);
    assert_eq!((got[0], got[1]), (2.0, 1.0));
    let got = read(vec![second.clone(), first.clone()]);
    assert_eq!((got[0], got[1]), (1.0, 1.0));
    let add = on(site, Operation::Add { input: 3, factor: 1.0 });
    let got = read(vec![first.clone(), add.clone(), second]);
    assert_eq!(got[0], 2.0);
    assert_eq!(got[1], 1.0 + (clean.row(3)[1] - clean.row(1)[1]));
    assert_eq!(read(vec![add, first])[1], 1.0);
}

#[test]
fn masked_scores_stay_masked_under_additions() {
    let net = network(Architecture::Transformer(plain()));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let rows = [row(
        0,
        vec![on("blocks.0.attn.hook_attn_scores", Operation::Add { input: 1, factor: 1.0 })],
    )];
    assert!(runner.run(&rows).unwrap()[0].iter().all(|x| x.is_finite()));
}

#[test]
fn sites_of_both_forms_are_captured_together() {
    let c = TransformerConfig { norm: Norm::LayerNorm, ..plain() };
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let names: Vec<String> = runner.sites().map(|s| s.name.clone()).collect();
    assert!(names.iter().any(|n| n == "blocks.0.ln1.hook_scale"));
    assert!(names.iter().any(|n| n == "blocks.0.hook_q_input"));
    runner.capture(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let resid = runner.clean("blocks.0.hook_resid_pre").unwrap();
    let q = runner.clean("blocks.0.hook_q_input").unwrap();
    for p in 0..5 {
        for h in 0..2 {
            let (own, shared) = (&q.row(0)[(p * 2 + h) * 8..][..8], &resid.row(0)[p * 8..][..8]);
            assert_eq!(own, shared);
        }
    }
    // Every site can be read in a patched run, and a frozen norm is an intervention.
    let frozen = row(0, vec![on("blocks.0.ln1.hook_scale", from(2))]);
    for n in names.iter().filter(|n| !n.contains("_input")) {
        runner.run_reading(std::slice::from_ref(&frozen), n).unwrap();
    }
    let bare = row(0, vec![]);
    let got = runner.run_reading(&[bare], "blocks.1.hook_v_input").unwrap();
    assert_eq!(bits(&got[0]), bits(runner.clean("blocks.1.hook_v_input").unwrap().row(0)));
}

#[test]
fn gradients_agree_with_central_differences_of_the_f64_reference() {
    each(|c, net, runner| {
        let chosen = [1usize, 4];
        let size = 5 * c.d_vocab_out;
        let direction: Vec<f32> = (0..2 * size).map(|i| ((i * 5) % 9) as f32 / 4.0 - 1.0).collect();
        for site in
            ["hook_embed", "blocks.0.attn.hook_z", "blocks.1.hook_k_input", "unembed.hook_in"]
        {
            let got = runner.gradient(&chosen, &direction, site).unwrap();
            let form = if site.ends_with("_input") { Form::Split } else { Form::Plain };
            let mut g = Graph::new();
            record(&mut g, net.architecture(), 2, 5, form).unwrap();
            let moved = g
                .edited(&mut |g, name, v| {
                    if name != site {
                        return Ok(None);
                    }
                    let shape = g.shape(v).to_vec();
                    let by = g.input("by", &shape);
                    g.add(v, by).map(Some)
                })
                .unwrap();
            let mut at = Bindings64::default();
            for (n, t) in net.weights() {
                at.real.insert(n.clone(), t.data().iter().map(|&x| f64::from(x)).collect());
            }
            let tokens = chosen.iter().flat_map(|&i| runner.inputs().token_row(i).to_vec());
            at.index.insert("tokens".into(), tokens.collect());
            let logits = moved.at("hook_logits").unwrap();
            let value = |at: &Bindings64| -> f64 {
                let out = evaluate_f64(&moved, at, &[logits]).unwrap();
                out[0].iter().zip(&direction).map(|(x, d)| x * f64::from(*d)).sum()
            };
            for i in (0..got.data().len()).step_by(7) {
                let step = |h: f64| {
                    let mut by = vec![0.0; got.data().len()];
                    by[i] = h;
                    value(&at.clone().with("by", &by))
                };
                let wanted = (step(1e-6) - step(-1e-6)) / 2e-6;
                let got = f64::from(got.data()[i]);
                let close = (got - wanted).abs() < 1e-3 * wanted.abs().max(1.0);
                assert!(close, "{site}[{i}] of {c:?}: {got}, differences give {wanted}");
            }
        }
    });
}

#[test]
fn first_order_predictions_are_exact_where_the_network_is_linear() {
    let c = TransformerConfig {
        attention_share: 0.0,
        causal: false,
        act_fn: Activation::Identity,
        ..plain()
    };
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let edge = |e: &str| Intervention::edges(vec![e.parse().unwrap()], from(4));
    let rows = [
        row(1, vec![]),
        row(1, vec![edge("embed->m0")]),
        // The one's change goes through the other's receiver.
        row(1, vec![edge("embed->m0"), edge("m0->logits")]),
        row(1, vec![on("blocks.0.hook_resid_pre[pos=1]", from(3))]),
        row(
            1,
            vec![
                on("hook_embed", Operation::Add { input: 3, factor: 0.5 }),
                on("blocks.0.hook_mlp_out", Operation::Add { input: 2, factor: 1.0 }),
            ],
        ),
        row(1, vec![on("blocks.0.mlp.hook_post[unit=3]", Operation::Mean)]),
    ];
    let clean = runner.logits().unwrap();
    let exact = runner.run(&rows).unwrap();
    let predicted = runner.first_order(&rows).unwrap().unwrap();
    for i in [0, 1, 3, 4, 5] {
        let change: Vec<f32> = exact[i].iter().zip(clean.row(1)).map(|(a, b)| a - b).collect();
        close(&predicted[i], &change, 1e-4, &format!("{:?}", rows[i]));
        assert!(i == 0 || change.iter().any(|x| x.abs() > 0.01));
    }
    // An edge patched to a source is a constant: behind a patched m0 the exact run subtracts what
    // m0 now writes. First order adds both changes, each at the clean run.
    let parts = [row(1, vec![edge("embed->m0")]), row(1, vec![edge("m0->logits")])];
    let parts = runner.first_order(&parts).unwrap().unwrap();
    let sum: Vec<f32> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
    close(&predicted[2], &sum, 1e-4, "two edges");
    assert!(runner.first_order(&rows[..1]).unwrap().is_none());
}

#[test]
fn first_order_predictions_of_scores_are_finite_under_a_mask() {
    let net = network(Architecture::Transformer(plain()));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let site = "blocks.0.attn.hook_attn_scores";
    for operation in [from(2), Operation::Add { input: 2, factor: 1e-3 }, Operation::Mean] {
        let rows = [row(1, vec![on(site, operation)])];
        let predicted = runner.first_order(&rows).unwrap().unwrap();
        assert!(predicted[0].iter().all(|x| x.is_finite()));
    }
    // A small step is what the derivative says.
    let small = [row(1, vec![on(site, Operation::Add { input: 2, factor: 1e-3 })])];
    let predicted = runner.first_order(&small).unwrap().unwrap();
    let exact = runner.run(&small).unwrap();
    let clean = runner.logits().unwrap();
    for ((p, e), c) in predicted[0].iter().zip(&exact[0]).zip(clean.row(1)) {
        assert!((p - (e - c)).abs() < 1e-4, "{p} against {}", e - c);
    }
    assert!(predicted[0].iter().any(|p| p.abs() > 2e-3), "the test saw no effect");
}

#[test]
fn attribution_is_exact_patching_where_the_network_is_linear() {
    let c = TransformerConfig {
        attention_share: 0.0,
        causal: false,
        act_fn: Activation::Identity,
        ..plain()
    };
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let pairs = [(0, 3), (2, 5)];
    let direction: Vec<f32> = (0..2 * 35).map(|i| ((i * 5) % 9) as f32 / 4.0 - 1.0).collect();
    let clean = runner.logits().unwrap();
    let m = |x: &[f32], b: usize| -> f64 {
        x.iter().zip(&direction[b * 35..]).map(|(x, d)| f64::from(x * d)).sum()
    };
    for steps in [1, 3] {
        let scores =
            runner.edge_attribution(&pairs, &direction, GradientPath::Inputs, steps).unwrap();
        let mut seen = 0.0f64;
        for (b, &(input, source)) in pairs.iter().enumerate() {
            let edges = &runner.edges().unwrap().edges;
            let rows: Vec<Row> = edges
                .iter()
                .map(|&e| row(input, vec![Intervention::edges(vec![e], from(source))]))
                .collect();
            for (k, got) in runner.run(&rows).unwrap().iter().enumerate() {
                let wanted = m(clean.row(input), b) - m(got, b);
                let close = (scores[b][k] - wanted).abs() < 1e-3 * wanted.abs().max(1.0);
                assert!(close, "{}: {} against {wanted}", edges[k], scores[b][k]);
                seen = seen.max(wanted.abs());
            }
        }
        assert!(seen > 0.5, "the test saw no effect");
    }
}

#[test]
fn integrated_attribution_adds_up_better_than_one_gradient() {
    // Completeness (Sundararajan et al. 2017) along the embedding: the edges from `embed` of a
    // network whose only other sender is fixed sum to m(clean) - m(corrupted).
    let c = TransformerConfig { n_layers: 0, norm: Norm::RmsNorm, ..plain() };
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let direction: Vec<f32> = (0..35).map(|i| ((i * 5) % 9) as f32 / 4.0 - 1.0).collect();
    let clean = runner.logits().unwrap();
    let m = |i: usize| -> f64 {
        clean.row(i).iter().zip(&direction).map(|(x, d)| f64::from(x * d)).sum()
    };
    let error = |steps: usize| {
        let scores =
            runner.edge_attribution(&[(0, 3)], &direction, GradientPath::Inputs, steps).unwrap();
        (scores[0].iter().sum::<f64>() - (m(0) - m(3))).abs()
    };
    assert!(error(200) < 0.1 * error(1) && error(200) < 0.05, "{} {}", error(1), error(200));
}

#[test]
fn what_a_caller_can_get_wrong_is_an_error_with_the_reason() {
    let c = TransformerConfig { norm: Norm::LayerNorm, ..plain() };
    let net = network(Architecture::Transformer(c));
    let inputs = inputs();
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap();
    let edge = |e: &str| Intervention::edges(vec![e.parse().unwrap()], from(0));
    let site = |s: &str| Selector::site(s);
    let set = |values: Vec<f32>| Operation::Set { values };
    let cases: Vec<(Vec<Intervention>, &str)> = vec![
        (vec![on("blocks.0.attn.hook_zz", Operation::Zero)], "did you mean 'blocks.0.attn.hook_z'"),
        (vec![on("blocks.0.attn.hook_z[head=2]", Operation::Zero)], "outside an axis of 2"),
        (vec![on("hook_embed[head=0]", Operation::Zero)], "no head axis"),
        (vec![on("blocks.0.attn.hook_pattern[unit=0]", Operation::Zero)], "no unit axis"),
        (vec![on("hook_embed", from(6))], "no input 6 in a set of 6"),
        (vec![on("hook_embed", Operation::Add { input: 9, factor: 1.0 })], "no input 9"),
        (vec![on("hook_embed[pos=0]", set(vec![1.0; 3]))], "set wants 8 values, got 3"),
        (vec![on("hook_embed@dirs.safetensors#0", Operation::Zero)], "not read yet"),
        (vec![edge("a2.h0->logits")], "no such edge"),
        (vec![edge("m1->m0")], "no such edge"),
        (vec![edge("m0->m0")], "no such edge"),
        (vec![Intervention::edges(vec!["m0->m1".parse().unwrap()], set(vec![1.0]))], "set wants"),
        (
            vec![Intervention::edges(
                vec!["m0->m1".parse().unwrap()],
                Operation::Add { input: 1, factor: 1.0 },
            )],
            "edges take zero, mean, interchange or set",
        ),
        (
            vec![
                edge("m0->m1"),
                Intervention::edges(vec!["m0->logits".parse().unwrap()], Operation::Zero),
            ],
            "different references",
        ),
        (vec![edge("m0->m1"), on("blocks.0.ln1.hook_scale", Operation::Mean)], "a norm of its own"),
        (
            vec![Intervention::site(
                site("hook_embed").in_basis(vec![vec![1.0; 8]]),
                Operation::Zero,
            )],
            "not orthonormal",
        ),
        (
            vec![Intervention::site(
                site("hook_embed").in_basis(vec![vec![f32::NAN; 8]]),
                Operation::Zero,
            )],
            "not orthonormal",
        ),
        (
            vec![Intervention::site(
                site("hook_embed").in_basis(vec![vec![1.0; 3]]),
                Operation::Zero,
            )],
            "a basis vector of 3 in vectors of 8",
        ),
        (
            vec![Intervention::weight(site("blocks.0.attn.W_X"), Operation::Zero)],
            "no tensor 'blocks.0.attn.W_X'",
        ),
        (
            vec![Intervention::weight(site("embed.W_E"), Operation::Mean)],
            "weights take zero or set",
        ),
        (vec![Intervention::weight(site("embed.W_E"), set(vec![f32::NAN]))], "holds NaN"),
    ];
    for (interventions, why) in cases {
        let error = runner.run(&[row(0, interventions.clone())]).unwrap_err().to_string();
        assert!(error.contains(why), "{interventions:?}: {error}");
    }
    let fails = |e: Result<(), Error>, why: &str| {
        let error = e.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    fails(runner.run(&[row(6, vec![])]).map(drop), "no input 6");
    fails(runner.run_reading(&[row(0, vec![])], "nowhere").map(drop), "no such site");
    fails(runner.gradient(&[6], &[0.0; 35], "hook_embed").map(drop), "no input 6");
    fails(runner.gradient(&[0], &[0.0; 34], "hook_embed").map(drop), "a direction of 34 values");
    fails(
        runner.edge_attribution(&[(6, 0)], &[0.0; 35], GradientPath::Inputs, 1).map(drop),
        "no input 6",
    );
    fails(
        runner.edge_attribution(&[(0, 6)], &[0.0; 35], GradientPath::Inputs, 1).map(drop),
        "no input 6",
    );
    fails(
        runner.edge_attribution(&[(0, 1)], &[0.0; 35], GradientPath::Inputs, 0).map(drop),
        "at least one step",
    );
    fails(
        runner.edge_attribution(&[(0, 1)], &[], GradientPath::Inputs, 1).map(drop),
        "a direction of 0 values",
    );

    let mlp = network(Architecture::Mlp(MlpConfig {
        d_in: 3,
        d_hidden: vec![4],
        d_out: 2,
        act_fn: Activation::Relu,
        bias: true,
        residual: false,
    }));
    let vectors = Inputs::vectors(3, vec![0.5; 6]).unwrap();
    let runner = Runner::new(&mlp, &vectors, &Context::single()).unwrap();
    fails(
        runner.run(&[row(0, vec![edge("m0->logits")])]).map(drop),
        "only a transformer has edges",
    );
    fails(
        runner.run(&[row(0, vec![on("hook_input[pos=1]", Operation::Zero)])]).map(drop),
        "no pos axis",
    );
    runner
        .run(&[row(0, vec![on("blocks.0.mlp.hook_post[pos=-1,unit=0]", Operation::Zero)])])
        .unwrap();
    fails(Runner::new(&mlp, &inputs, &Context::single()).map(drop), "takes vectors");
    fails(Runner::new(&net, &vectors, &Context::single()).map(drop), "takes tokens");
    let long = Inputs::tokens(&[vec![0; 6]]).unwrap();
    fails(Runner::new(&net, &long, &Context::single()).map(drop), "6 tokens in a context of 5");
    let unknown = Inputs::tokens(&[vec![7; 5]]).unwrap();
    fails(
        Runner::new(&net, &unknown, &Context::single()).map(drop),
        "token 7 in a vocabulary of 7",
    );
    fails(Inputs::tokens(&[vec![1, 2], vec![1]]).map(drop), "sequence 1 has 1 tokens");
    let none = Inputs::tokens(&[]).unwrap();
    fails(Runner::new(&net, &none, &Context::single()).map(drop), "0 tokens");
}

#[test]
fn activations_beyond_the_budget_lie_in_files_and_change_no_bit() {
    let inputs = inputs();
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    for c in kinds() {
        let net = network(Architecture::Transformer(c.clone()));
        let free = Runner::new(&net, &inputs, &Context::single()).unwrap();
        // Room for the embeddings of 6 inputs at 5 positions and nothing else.
        let bytes = 4 * 6 * 5 * c.d_model;
        let tight = Runner::new(&net, &inputs, &Context::single())
            .unwrap()
            .with_budget(bytes, folder.path());
        let sites = ["hook_embed", "blocks.0.hook_resid_post", "hook_logits"];
        tight.capture(&sites).unwrap();
        assert_eq!(files(), 2);
        for site in sites {
            let (a, b) = (tight.clean(site).unwrap(), free.clean(site).unwrap());
            assert_eq!(a.shape(), b.shape());
            assert_eq!(bits(a.data()), bits(b.data()), "{site} of {c:?}");
            assert_eq!(bits(&tight.clean_row(site, 4).unwrap()), bits(b.row(4)));
            assert_eq!(bits(&tight.mean(site).unwrap()), bits(&free.mean(site).unwrap()));
        }
        let edges = free.edges().unwrap().edges.clone();
        let rows = [
            row(1, vec![on("blocks.0.hook_resid_post", from(4))]),
            row(1, vec![on("blocks.0.hook_resid_post", Operation::Mean)]),
            row(1, vec![Intervention::edges(edges, from(3))]),
        ];
        for (a, b) in tight.run(&rows).unwrap().iter().zip(free.run(&rows).unwrap()) {
            assert_eq!(bits(a), bits(&b), "{c:?}");
        }
        drop(tight);
        assert_eq!(files(), 0);
    }
    // A folder that cannot be written is named.
    let net = network(Architecture::Transformer(plain()));
    let nowhere = folder.path().join("nowhere");
    let runner = Runner::new(&net, &inputs, &Context::single()).unwrap().with_budget(0, &nowhere);
    let error = runner.clean("hook_embed").unwrap_err().to_string();
    assert!(error.contains("nowhere/activations-"), "{error}");
}

#[test]
fn a_loss_on_one_position_has_the_same_gradients_when_only_that_is_computed() {
    use flyroom_tensor::{Bindings, Graph, Program};
    for config in kinds() {
        let network = network(Architecture::Transformer(config.clone()));
        for form in [Form::Plain, Form::Split] {
            let mut g = Graph::new();
            let logits = record(&mut g, network.architecture(), 3, 5, form).unwrap();
            let at = g.slice(logits, 1, 3, 1).unwrap();
            let targets = g.index_input("targets", &[3, 1]);
            let losses = g.cross_entropy(at, targets).unwrap();
            let loss = g.sum(losses).unwrap();
            let (mut narrow, outputs) = g.narrowed(&[loss]).unwrap();
            let run = |g: &mut Graph, loss| {
                let names = network.weights().keys();
                let wrt: Vec<_> = names.map(|n| g.at(n).unwrap()).collect();
                let mut outputs = g.gradient(loss, &wrt).unwrap();
                outputs.push(loss);
                let mut program = Program::compile(g, &outputs).unwrap();
                let tokens: Vec<u32> = (0..15).map(|i| i * i % 7).collect();
                let bindings = Bindings::new()
                    .with_all(network.weights())
                    .with_index("tokens", &tokens)
                    .with_index("targets", &[1, 2, 3]);
                program.run(&Context::single(), &bindings).unwrap();
                let all = (0..outputs.len()).flat_map(|i| program.output(i).to_vec());
                // A sum of nothing but skipped zeros may differ in their sign.
                (bits(&all.map(|x| x + 0.0).collect::<Vec<_>>()), program.values())
            };
            let (wanted, before) = run(&mut g, loss);
            let (got, after) = run(&mut narrow, outputs[0]);
            assert!(got == wanted, "{config:?} {form:?}");
            assert!(after < before, "{after} of {before} values: {config:?} {form:?}");
        }
    }
}
