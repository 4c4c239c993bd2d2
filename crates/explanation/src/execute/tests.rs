use super::*;
use crate::rasp::{Program, library};
use crate::{Ablation, Code, Cosines, Part, Readout, Term};
use flyroom_network::{
    Architecture, Edge, EdgeTable, Network, Operation, Receiver, Sender, TransformerConfig,
};
use flyroom_tensor::math::cos64;
use flyroom_tensor::{Context, Tensor};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

fn site(name: &str, pos: usize, unit: usize) -> Site {
    let axes = vec![Axis::Batch, Axis::Pos, Axis::Unit];
    Site { name: name.into(), axes, shape: vec![1, pos, unit] }
}

fn row(input: usize, interventions: &[(&str, Operation)]) -> Row {
    let interventions = interventions
        .iter()
        .map(|(s, o)| Intervention::site(s.parse().unwrap(), o.clone()))
        .collect();
    Row { input, interventions }
}

fn interchange(input: usize) -> Operation {
    Operation::Interchange { input }
}

fn abstains(p: &Prediction, because: &str) {
    match p {
        Prediction::Abstain(a) => {
            assert!(a.why.contains(because) && a.reason == Reason::Unsaid, "{a:?}");
        }
        Prediction::Output(y) => panic!("{y:?} where it should abstain: {because}"),
    }
}

/// Tokens 0 = BOS, 1..=3 = a, b, c; hist_12 on units 2..7 of the MLP's output, its width on unit
/// 0 of the attention's.
struct Hist {
    inputs: Inputs,
    vocabulary: Vec<Value>,
    sites: Vec<Site>,
    reads: Reads,
}

fn hist_explanation() -> Explanation {
    let counts = Code::OneHot { values: (0..5).map(Value::Int).collect() };
    let width = Code::Scalar { scale: 1.0, offset: 0.0 };
    Explanation::new(
        "hist",
        vec![
            Part::new(
                "hist_12",
                "blocks.0.hook_mlp_out[unit=2..7]".parse().unwrap(),
                counts.clone(),
            ),
            Part::new(
                "hist_12_selector_width_attn_output",
                "blocks.0.hook_attn_out[unit=0]".parse().unwrap(),
                width,
            ),
        ],
        Body::Rasp { program: library::hist(), readout: Readout::new(counts) },
    )
}

impl Hist {
    fn new() -> Self {
        Self {
            // BOS a b a; BOS c c c; BOS a b c
            inputs: Inputs::tokens(&[vec![0, 1, 2, 1], vec![0, 3, 3, 3], vec![0, 1, 2, 3]])
                .unwrap(),
            vocabulary: ["BOS", "a", "b", "c"].map(Value::from).to_vec(),
            sites: vec![
                site("hook_embed", 4, 8),
                site("blocks.0.hook_attn_out", 4, 8),
                site("blocks.0.hook_mlp_out", 4, 8),
            ],
            reads: Reads { positions: vec![1, 2, 3], columns: (0..5).collect() },
        }
    }

    fn predict(&self, rows: &[Row]) -> Vec<Prediction> {
        let e = hist_explanation();
        e.check().unwrap();
        predict(&e, &self.scene(), rows).unwrap()
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            inputs: &self.inputs,
            vocabulary: &self.vocabulary,
            sites: &self.sites,
            reads: &self.reads,
            runner: None,
            corrupt: &[],
        }
    }
}

/// One-hot rows of counts.
fn counts(n: [usize; 3]) -> Prediction {
    let one_hot = |n: usize| (0..5).map(move |i| f32::from(i == n));
    Prediction::Output(n.into_iter().flat_map(one_hot).collect())
}

#[test]
fn a_clean_row_is_the_program() {
    let h = Hist::new();
    let p = h.predict(&[row(0, &[]), row(1, &[]), row(2, &[])]);
    assert_eq!(p, [counts([2, 1, 2]), counts([3, 3, 3]), counts([1, 1, 1])]);
}

#[test]
fn an_interchange_that_covers_a_variable_sets_it_to_the_sources() {
    let h = Hist::new();
    let p = h.predict(&[
        row(0, &[("blocks.0.hook_mlp_out[pos=2]", interchange(1))]),
        row(0, &[("blocks.0.hook_mlp_out[unit=2..7]", interchange(1))]),
        row(0, &[("blocks.0.hook_attn_out[pos=3]", interchange(1))]),
        row(
            0,
            &[
                ("blocks.0.hook_mlp_out[pos=1]", interchange(1)),
                ("blocks.0.hook_attn_out[pos=3]", interchange(2)),
            ],
        ),
    ]);
    assert_eq!(p, [counts([2, 3, 2]), counts([3, 3, 3]), counts([2, 1, 3]), counts([3, 1, 1])]);
}

#[test]
fn what_touches_no_place_changes_nothing() {
    let h = Hist::new();
    let p = h.predict(&[
        row(0, &[("hook_embed", interchange(1))]),
        row(0, &[("blocks.0.hook_mlp_out[unit=0..2]", Operation::Zero)]),
        row(0, &[("blocks.0.hook_mlp_out[unit=7]", Operation::Mean)]),
        // BOS is the same in every input, and the program has no variable there.
        row(0, &[("blocks.0.hook_mlp_out[pos=0]", interchange(1))]),
    ]);
    assert_eq!(p, vec![counts([2, 1, 2]); 4]);
}

#[test]
fn what_cuts_a_place_or_leaves_the_domain_abstains() {
    let h = Hist::new();
    let off = "no value that the program knows";
    for (selector, operation, because) in [
        ("blocks.0.hook_mlp_out[unit=3]", interchange(1), "touches a part"),
        ("blocks.0.hook_mlp_out[pos=1]", Operation::Zero, off),
        ("blocks.0.hook_mlp_out[pos=1]", Operation::Mean, off),
        ("blocks.0.hook_mlp_out[pos=1]", Operation::Add { input: 1, factor: 2.0 }, off),
        ("blocks.0.hook_mlp_out[pos=0]", Operation::Zero, "BOS"),
        ("blocks.0.hook_mlp_out[pos=1]", Operation::Set { values: vec![0.0] }, "codes none"),
    ] {
        abstains(&h.predict(&[row(0, &[(selector, operation)])])[0], because);
    }
    let edges = vec!["embed->logits".parse().unwrap()];
    let edges = Intervention::edges(edges, Operation::Zero);
    abstains(&h.predict(&[Row { input: 0, interventions: vec![edges] }])[0], "edges");
    let weight = Intervention::weight("embed.W_E".parse().unwrap(), Operation::Zero);
    abstains(&h.predict(&[Row { input: 0, interventions: vec![weight] }])[0], "weights");
}

/// A share of 0 is no share of anything: 1 / 0 has no value, and the positions beside it keep theirs.
#[test]
fn a_set_after_which_the_output_has_no_value_is_out_of_domain_at_its_position_alone() {
    let mut h = Hist::new();
    let nought = ("blocks.0.hook_attn_out[pos=2]", Operation::Set { values: vec![0.0] });
    let asked = [row(0, std::slice::from_ref(&nought))];
    let Prediction::Abstain(a) = &h.predict(&asked)[0] else { panic!("1 / 0 has a value") };
    assert_eq!(a.reason, Reason::OutOfDomain);
    assert_eq!(a.why, "the readout has no code for unknown");
    h.reads.positions = vec![1, 3];
    let Prediction::Output(both) = &h.predict(&asked)[0] else { panic!("positions 1 and 3") };
    assert_eq!(both, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_set_gives_the_variable_that_its_coordinates_code() {
    let h = Hist::new();
    let set = |values: &[f32]| Operation::Set { values: values.to_vec() };
    let three = [0.0, 0.0, 0.0, 1.0, 0.0];
    let whole = [&[9.0, 9.0][..], &three, &[9.0]].concat();
    let both = [three, [0.0, 0.0, 0.0, 0.0, 1.0]].concat();
    let p = h.predict(&[
        row(0, &[("blocks.0.hook_mlp_out[pos=1,unit=2..7]", set(&three))]),
        row(0, &[("blocks.0.hook_mlp_out[pos=1]", set(&whole))]),
        row(0, &[("blocks.0.hook_mlp_out[pos=2..4,unit=2..7]", set(&both))]),
        // A width of 4 is written as 1/5.
        row(0, &[("blocks.0.hook_attn_out[pos=1,unit=0]", set(&[0.2]))]),
    ]);
    assert_eq!(p, [counts([3, 1, 2]), counts([3, 1, 2]), counts([2, 3, 4]), counts([4, 1, 2])]);
    // The same along a basis: rows in another order, values with them.
    let axis = |u: usize| (0..8).map(|i| f32::from(i == u)).collect::<Vec<f32>>();
    let basis = Selector::site("blocks.0.hook_mlp_out")
        .at_pos(1)
        .in_basis([6, 5, 4, 3, 2].map(axis).to_vec());
    let i = Intervention::site(basis, set(&[0.0, 1.0, 0.0, 0.0, 0.0]));
    assert_eq!(h.predict(&[Row { input: 0, interventions: vec![i] }])[0], counts([3, 1, 2]));
}

#[test]
fn places_that_do_not_exist_are_errors_and_not_predictions() {
    let h = Hist::new();
    let e = hist_explanation();
    for bad in [
        row(0, &[("blocks.0.hook_mlp_owt", Operation::Zero)]),
        row(0, &[("hook_embed[pos=9]", Operation::Zero)]),
        row(0, &[("hook_embed[head=0]", Operation::Zero)]),
        row(7, &[]),
        row(0, &[("blocks.0.hook_mlp_out", interchange(7))]),
    ] {
        assert!(predict(&e, &h.scene(), std::slice::from_ref(&bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn a_copy_is_set_for_its_readers_alone() {
    // Both sums read tokens, the second from a later place.
    let h = Hist::new();
    let read = |f| crate::rasp::Expr::Map { f, x: "tokens".into() };
    let p = Program::new(true)
        .define("early", read(crate::rasp::Lambda::X))
        .define("late", read(crate::rasp::Lambda::X));
    let code = Code::OneHot { values: h.vocabulary[1..].to_vec() };
    let mut part = Part::new("tokens", "hook_embed[unit=0..3]".parse().unwrap(), code.clone());
    let mut copy = part.alignments[0].clone();
    copy.selector = "blocks.0.hook_attn_out[unit=0..3]".parse().unwrap();
    copy.readers = Some(vec!["late".into()]);
    part.alignments.push(copy);
    let e = Explanation::new(
        "copies",
        vec![part],
        Body::Rasp { program: p, readout: Readout::new(code) },
    );
    e.check().unwrap();
    let after = |place: &str| {
        let row = row(0, &[(place, interchange(1))]);
        let t = variables(&e, &h.scene(), &row).unwrap().unwrap().unwrap();
        ["early", "late"].map(|v| t.get(v).unwrap()[0].to_string())
    };
    assert_eq!(after("hook_embed"), ["c", "c"]);
    assert_eq!(after("blocks.0.hook_attn_out"), ["a", "c"]);
    assert_eq!(after("blocks.0.hook_mlp_out"), ["a", "a"]);
}

#[test]
fn a_snapshot_abstains_on_everything() {
    let h = Hist::new();
    let e = Explanation::new("parts", hist_explanation().parts, Body::Snapshot);
    abstains(&predict(&e, &h.scene(), &[row(0, &[])]).unwrap()[0], "snapshot");
    assert!(!e.body.predicts());
}

const P: u32 = 13;

/// All pairs modulo 13 and '='; frequency k of 2 and 5 on units 2k and 2k + 1 of the embedding.
struct Clock {
    inputs: Inputs,
    vocabulary: Vec<Value>,
    sites: Vec<Site>,
    reads: Reads,
    e: Explanation,
}

impl Clock {
    fn new() -> Self {
        let pairs: Vec<Vec<u32>> =
            (0..P).flat_map(|a| (0..P).map(move |b| vec![a, b, P])).collect();
        let plane = |k: u32, pos: usize, name: &str| {
            let selector = format!("hook_embed[pos={pos},unit={}..{}]", 2 * k, 2 * k + 2);
            let map = [[2.0, 0.0], [0.0, 2.0]];
            let code = Code::Plane { modulus: P, frequency: k, map, offset: [0.0; 2] };
            Part::new(format!("cos {k}, sin {k} of {name}"), selector.parse().unwrap(), code)
        };
        let parts = vec![plane(2, 0, "a"), plane(2, 1, "b"), plane(5, 0, "a"), plane(5, 1, "b")];
        let term = |frequency, amplitude, phase| Term { frequency, amplitude, phase };
        let terms = vec![term(2, 3.0, 0.0), term(5, 1.5, 0.25)];
        let body = Body::Cosines(Cosines { modulus: P, operands: [0, 1], terms });
        let e = Explanation::new("clock", parts, body);
        e.check().unwrap();
        Self {
            inputs: Inputs::tokens(&pairs).unwrap(),
            vocabulary: (0..i64::from(P)).map(Value::Int).chain([Value::token("=")]).collect(),
            sites: vec![site("hook_embed", 3, 16)],
            reads: Reads { positions: vec![2], columns: (0..P as usize).collect() },
            e,
        }
    }

    fn predict(&self, a: u32, b: u32, interventions: &[(&str, Operation)]) -> Prediction {
        let scene = Scene {
            inputs: &self.inputs,
            vocabulary: &self.vocabulary,
            sites: &self.sites,
            reads: &self.reads,
            runner: None,
            corrupt: &[],
        };
        let input = (a * P + b) as usize;
        predict(&self.e, &scene, &[row(input, interventions)]).unwrap().remove(0)
    }
}

/// Cosines of both terms with operands of their own, each with a factor.
fn logits(two: (f64, u32, u32), five: (f64, u32, u32)) -> Vec<f64> {
    let wave = |k: u32, (height, a, b): (f64, u32, u32), c: u32, phase: f64| {
        let turns = f64::from(k) * (f64::from(a) + f64::from(b) - f64::from(c));
        height * cos64(TAU * turns / f64::from(P) + phase)
    };
    (0..P).map(|c| wave(2, two, c, 0.0) + wave(5, five, c, 0.25)).collect()
}

fn near(p: &Prediction, wanted: &[f64]) {
    let got = p.output().unwrap_or_else(|| panic!("{p:?}"));
    for (g, w) in got.iter().zip(wanted) {
        assert!((f64::from(*g) - w).abs() < 1e-5, "{got:?} {wanted:?}");
    }
}

#[test]
fn the_clock_is_its_closed_form() {
    let clock = Clock::new();
    for (a, b) in [(0, 0), (3, 4), (12, 12), (7, 1)] {
        near(&clock.predict(a, b, &[]), &logits((3.0, a, b), (1.5, a, b)));
    }
}

#[test]
fn an_operand_is_exchanged_for_one_frequency_alone() {
    let clock = Clock::new();
    let source = 8 * P as usize + 11;
    let i = interchange(source);
    let plane_of_a = "hook_embed[pos=0,unit=4..6]";
    near(&clock.predict(3, 4, &[(plane_of_a, i.clone())]), &logits((3.0, 8, 4), (1.5, 3, 4)));
    // The whole embedding of a: both.
    near(
        &clock.predict(3, 4, &[("hook_embed[pos=0]", i.clone())]),
        &logits((3.0, 8, 4), (1.5, 8, 4)),
    );
    near(&clock.predict(3, 4, &[("hook_embed", i.clone())]), &logits((3.0, 8, 11), (1.5, 8, 11)));
    // The position of '=', and units of no frequency.
    for place in ["hook_embed[pos=2]", "hook_embed[unit=0..4]"] {
        near(&clock.predict(3, 4, &[(place, i.clone())]), &logits((3.0, 3, 4), (1.5, 3, 4)));
    }
    abstains(&clock.predict(3, 4, &[("hook_embed[pos=0,unit=4]", i)]), "touches a part");
}

#[test]
fn zero_and_the_mean_over_all_residues_remove_a_term() {
    let clock = Clock::new();
    for operation in [Operation::Zero, Operation::Mean] {
        let p = clock.predict(3, 4, &[("hook_embed[pos=0,unit=4..6]", operation)]);
        near(&p, &logits((0.0, 0, 0), (1.5, 3, 4)));
    }
}

#[test]
fn add_is_linear_and_set_takes_coordinates() {
    let clock = Clock::new();
    let place = "hook_embed[pos=0,unit=4..6]";
    let input = 8 * P as usize;
    for factor in [-1.0f32, 0.0, 1.0, 2.0] {
        let p = clock.predict(3, 4, &[(place, Operation::Add { input, factor })]);
        let (x, y) = (logits((3.0, 3, 4), (1.5, 3, 4)), logits((3.0, 8, 4), (1.5, 3, 4)));
        let f = f64::from(factor);
        let wanted: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x + f * (y - x)).collect();
        near(&p, &wanted);
    }
    // Twice (cos, sin) of 0: residue 0, whose map is 2.
    let set = Operation::Set { values: vec![2.0, 0.0] };
    near(&clock.predict(3, 4, &[(place, set)]), &logits((3.0, 0, 4), (1.5, 3, 4)));
}

/// A small transformer with weights from a fixed sequence.
fn small() -> Network {
    let mut config = TransformerConfig::plain(2, 8, 2, 5, 4);
    config.d_mlp = 6;
    let architecture = Architecture::Transformer(config);
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let weights: BTreeMap<String, Tensor> = Network::parameters(&architecture)
        .unwrap()
        .into_iter()
        .map(|(name, shape)| (name, Tensor::from_fn(&shape, |_| next())))
        .collect();
    Network::new(architecture, weights).unwrap()
}

fn distance(a: &Prediction, b: &[f32]) -> f32 {
    a.output().unwrap().iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn the_circuit_of_all_edges_is_the_network_and_of_none_its_partner() {
    let network = small();
    let inputs = Inputs::tokens(&[vec![0, 1, 2, 3], vec![4, 4, 1, 0], vec![2, 0, 3, 1]]).unwrap();
    let context = Context::single();
    let runner = Runner::new(&network, &inputs, &context).unwrap();
    let sites: Vec<Site> = runner.sites().cloned().collect();
    let reads = Reads { positions: vec![1, 3], columns: vec![0, 2, 4] };
    let scene = Scene {
        inputs: &inputs,
        vocabulary: &[],
        sites: &sites,
        reads: &reads,
        runner: Some(&runner),
        corrupt: &[1, 2, 0],
    };
    let edges = EdgeTable::new(network.architecture().transformer().unwrap()).edges;
    let run = |body: Body, rows: &[Row]| {
        predict(&Explanation::new("c", vec![], body), &scene, rows).unwrap()
    };
    let circuit = |edges: &[Edge], ablation| Body::Circuit { edges: edges.to_vec(), ablation };
    let rows = [
        row(0, &[]),
        row(1, &[("blocks.0.hook_mlp_out", interchange(2))]),
        row(2, &[("blocks.1.attn.hook_z[head=1]", Operation::Zero)]),
    ];
    let whole = run(Body::Whole, &rows);
    assert_eq!(run(circuit(&edges, Ablation::Resample), &rows), whole);

    // No edge, resampled: what the logits read is all the partner's.
    let clean: Vec<Row> = (0..3).map(|i| row(i, &[])).collect();
    let clean_outputs = run(Body::Whole, &clean);
    let none = run(circuit(&[], Ablation::Resample), &clean);
    for (i, partner) in [(0, 1), (1, 2), (2, 0)] {
        assert!(distance(&none[i], clean_outputs[partner].output().unwrap()) < 1e-5);
        assert!(distance(&none[i], clean_outputs[i].output().unwrap()) > 1e-3);
    }

    // No edge, zero: nothing of the input is left.
    let none = run(circuit(&[], Ablation::Zero), &clean);
    assert!(distance(&none[0], none[1].output().unwrap()) < 1e-5);

    // One head cut off from the logits, as the patched run of the network has it.
    let cut = Edge { from: Sender::Head(1, 0), to: Receiver::Logits };
    let kept: Vec<Edge> = edges.iter().copied().filter(|e| *e != cut).collect();
    let by_hand =
        Row { input: 0, interventions: vec![Intervention::edges(vec![cut], Operation::Mean)] };
    let got = run(circuit(&kept, Ablation::Mean), &clean[..1]);
    assert_eq!(got, run(Body::Whole, &[by_hand]));

    // A second reference for the sender of a cut edge.
    let other = Intervention::edges(vec![cut], Operation::Zero);
    let got = run(circuit(&kept, Ablation::Mean), &[Row { input: 0, interventions: vec![other] }]);
    abstains(&got[0], "reference");

    // Closed tier: no network, no open explanation.
    let closed = Scene { runner: None, ..scene };
    let e = Explanation::new("w", vec![], Body::Whole);
    assert!(predict(&e, &closed, &clean).is_err());
}
