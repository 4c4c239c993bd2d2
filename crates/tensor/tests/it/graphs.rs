//! Laws of graphs and programs on random recordings: what is pruned, reused, edited or joined
//! changes no bit, nor do kernels and threads.

use flyroom_tensor::ops::Unary;
use flyroom_tensor::{Bindings, Context, Graph, Kernels, Program, Tensor, Value};
use proptest::prelude::*;

/// A recording: (operation, first operand, second operand), operands counted back from the end.
type Recipe = Vec<(u8, usize, usize)>;

fn recipes(len: usize) -> impl Strategy<Value = Recipe> {
    prop::collection::vec((0u8..18, 0usize..64, 0usize..64), 1..len)
}

/// Every value has the shape [rows, cols]; values stay bounded. Every third one is a site.
fn record(recipe: &Recipe, rows: usize, cols: usize) -> (Graph, Vec<Value>) {
    let mut g = Graph::new();
    let x = g.input("x", &[rows, cols]);
    let w = g.parameter("w", &[cols, cols]);
    let table = g.parameter("table", &[5, cols]);
    let index = g.index_input("t", &[rows]);
    let embedded = g.gather(table, index).unwrap();
    let mut all = vec![x, embedded];
    for (i, &(op, a, b)) in recipe.iter().enumerate() {
        let (a, b) = (all[all.len() - 1 - a % all.len()], all[all.len() - 1 - b % all.len()]);
        let v = match op {
            0 => g.add(a, b).and_then(|v| g.scale(v, 0.5)),
            1 => g.sub(a, b).and_then(|v| g.unary(Unary::Tanh, v)),
            2 => g.mul(a, b).and_then(|v| g.unary(Unary::Tanh, v)),
            3 => g.relu(a),
            4 => g.unary(Unary::Gelu, a),
            5 => g.unary(Unary::Silu, a),
            6 => g.unary(Unary::Sigmoid, a),
            7 => g.softmax(a),
            8 => g.center(a),
            9 => g.root_mean_square(a, 1e-5).and_then(|r| g.div(a, r)),
            10 => g.einsum("bi,io->bo", a, w).and_then(|v| g.unary(Unary::Tanh, v)),
            11 => g.concat(&[a, b], 1).and_then(|v| g.slice(v, 1, cols / 2, cols)),
            12 => g
                .sum_to(a, &[rows, 1])
                .and_then(|s| g.unary(Unary::Tanh, s))
                .and_then(|s| g.mul(b, s)),
            13 => g
                .sum_to(a, &[1, cols])
                .and_then(|s| g.unary(Unary::Tanh, s))
                .and_then(|s| g.repeat_to(s, &[rows, cols])),
            14 => {
                let flat = g.reshape(a, &[cols, rows]).unwrap();
                let flat = g.scale(flat, -1.0).unwrap();
                g.reshape(flat, &[rows, cols])
            }
            15 => g.relu(a).and_then(|m| g.select(m, a, b)),
            16 => g.top_k(a, cols / 2),
            _ => g.log_softmax(a).and_then(|v| g.unary(Unary::Tanh, v)),
        };
        let v = v.expect("all shapes agree");
        all.push(if i % 3 == 0 { g.site(&format!("hook.{i}"), v) } else { v });
    }
    (g, all)
}

struct Data {
    x: Vec<f32>,
    w: Vec<f32>,
    table: Vec<f32>,
    t: Vec<u32>,
}

impl Data {
    fn new(rows: usize, cols: usize) -> Self {
        let real = |n: usize, k: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 193 + k * 71) % 257) as f32 / 128.5 - 1.0).collect()
        };
        let t = (0..rows).map(|i| (i * 7 % 5) as u32).collect();
        Self { x: real(rows * cols, 0), w: real(cols * cols, 1), table: real(5 * cols, 2), t }
    }

    fn bindings(&self) -> Bindings<'_> {
        Bindings::new()
            .with("x", &self.x)
            .with("w", &self.w)
            .with("table", &self.table)
            .with_index("t", &self.t)
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn run(g: &Graph, outputs: &[Value], cx: &Context, data: &Bindings) -> Vec<Vec<u32>> {
    let mut program = Program::compile(g, outputs).expect("it compiles");
    program.run(cx, data).expect("it runs");
    (0..outputs.len()).map(|i| bits(program.output(i))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn reused_buffers_and_pruned_nodes_change_no_bit(recipe in recipes(40)) {
        let (g, all) = record(&recipe, 3, 19);
        let data = Data::new(3, 19);
        let cx = Context::single();
        // With every value an output no buffer is ever free again.
        let wanted = run(&g, &all, &cx, &data.bindings());
        for (v, wanted) in all.iter().zip(&wanted) {
            prop_assert_eq!(&run(&g, &[*v], &cx, &data.bindings())[0], wanted);
        }
        // Twice in one program, and in the other order.
        let mut program = Program::compile(&g, &[all[all.len() - 1], all[all.len() / 2]]).unwrap();
        for _ in 0..2 {
            program.run(&cx, &data.bindings()).unwrap();
            prop_assert_eq!(&bits(program.output(0)), &wanted[all.len() - 1]);
            prop_assert_eq!(&bits(program.output(1)), &wanted[all.len() / 2]);
        }
    }

    #[test]
    fn gradients_are_the_same_bits_alone_and_together(recipe in recipes(24)) {
        let (mut g, all) = record(&recipe, 3, 8);
        let data = Data::new(3, 8);
        let cx = Context::single();
        let s = g.sum(all[all.len() - 1]).unwrap();
        let wrt = [g.at("w").unwrap(), g.at("table").unwrap(), all[0]];
        let together = g.gradient(s, &wrt).unwrap();
        let wanted = run(&g, &together, &cx, &data.bindings());
        for (v, wanted) in wrt.iter().zip(&wanted) {
            let alone = g.gradient(s, &[*v]).unwrap();
            prop_assert_eq!(&run(&g, &alone, &cx, &data.bindings())[0], wanted);
        }
    }

    #[test]
    fn edits_that_change_nothing_change_no_bit(recipe in recipes(40)) {
        let (g, all) = record(&recipe, 3, 8);
        let data = Data::new(3, 8);
        let cx = Context::single();
        let names: Vec<String> = g.sites().map(|(n, _)| n.to_string()).collect();
        let sites = |g: &Graph| names.iter().map(|n| g.at(n).unwrap()).collect::<Vec<_>>();
        let wanted = run(&g, &sites(&g), &cx, &data.bindings());
        let same = g.edited(&mut |_, _, v| Ok(Some(v))).unwrap();
        prop_assert_eq!(&run(&same, &sites(&same), &cx, &data.bindings()), &wanted);
        let none = g.edited(&mut |_, _, _| Ok(None)).unwrap();
        prop_assert_eq!(&run(&none, &sites(&none), &cx, &data.bindings()), &wanted);
        let renamed = g.edited(&mut |g, _, v| {
            let shape = g.shape(v).to_vec();
            let flat = [shape.iter().product()];
            let v = g.reshape(v, &flat)?;
            g.reshape(v, &shape).map(Some)
        }).unwrap();
        prop_assert_eq!(&run(&renamed, &sites(&renamed), &cx, &data.bindings()), &wanted);
        let chosen = g.edited(&mut |g, _, v| {
            let ones = g.constant(Tensor::from_fn(g.shape(v), |_| 1.0));
            g.select(ones, v, ones).map(Some)
        }).unwrap();
        prop_assert_eq!(&run(&chosen, &sites(&chosen), &cx, &data.bindings()), &wanted);
        prop_assert!(!all.is_empty());
    }

    #[test]
    fn joined_graphs_run_each_as_if_alone(one in recipes(24), two in recipes(24)) {
        let (mut a, all_a) = record(&one, 3, 8);
        let (b, all_b) = record(&two, 3, 8);
        let data = Data::new(3, 8);
        let cx = Context::single();
        let mut wanted = run(&a, &all_a, &cx, &data.bindings());
        wanted.extend(run(&b, &all_b, &cx, &data.bindings()));
        let moved = a.join(&b, "second.").unwrap();
        let outputs: Vec<Value> = all_a
            .iter()
            .copied()
            .chain(all_b.iter().map(|v| moved[b.position(*v)]))
            .collect();
        prop_assert_eq!(run(&a, &outputs, &cx, &data.bindings()), wanted);
        prop_assert!(a.at("second.hook.0").is_ok() && a.at("hook.0").is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..Default::default() })]

    #[test]
    fn kernels_and_threads_change_no_bit_of_values_and_gradients(recipe in recipes(20)) {
        // Large enough that work is divided among threads.
        let (mut g, mut all) = record(&recipe, 96, 61);
        let data = Data::new(96, 61);
        let s = g.sum(all[all.len() - 1]).unwrap();
        let w = g.at("w").unwrap();
        all.extend(g.gradient(s, &[w, all[0], all[1]]).unwrap());
        let wanted = run(&g, &all, &Context::new(Kernels::Portable, 1), &data.bindings());
        for kernels in Kernels::all_available() {
            for threads in 1..4 {
                let got = run(&g, &all, &Context::new(kernels, threads), &data.bindings());
                for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                    prop_assert!(got == wanted, "value {i} with {kernels} x {threads}");
                }
            }
        }
    }
}

#[test]
fn what_no_output_reads_needs_no_data_and_costs_no_step() {
    let mut g = Graph::new();
    let x = g.input("x", &[2]);
    let unread = g.input("unread", &[2]);
    let y = g.scale(x, 2.0).unwrap();
    g.add(y, unread).unwrap();
    let mut program = Program::compile(&g, &[y]).unwrap();
    assert_eq!(program.steps(), 1);
    program.run(&Context::single(), &Bindings::new().with("x", &[1.0, 2.0])).unwrap();
    assert_eq!(program.output(0), [2.0, 4.0]);
    let wide = flyroom_tensor::Bindings64::default().with("x", &[1.0, 2.0]);
    assert_eq!(flyroom_tensor::evaluate_f64(&g, &wide, &[y]).unwrap(), [[2.0, 4.0]]);
}

#[test]
fn a_chain_of_which_one_row_is_read_computes_one_row() {
    let mut g = Graph::new();
    let x = g.input("x", &[100, 10]);
    let w = g.parameter("w", &[10, 30]);
    let y = g.einsum("bi,io->bo", x, w).unwrap();
    let y = g.site("hook", y);
    let y = g.relu(y).unwrap();
    let last = g.slice(y, 0, 99, 1).unwrap();
    let (narrow, outputs) = g.narrowed(&[last]).unwrap();
    assert_eq!(narrow.shape(outputs[0]), [1, 30]);
    // The row of x, its product, its relu.
    let values = |g: &Graph, v| Program::compile(g, &[v]).unwrap().values();
    assert_eq!(values(&narrow, outputs[0]), 10 + 30 + 30);
    assert_eq!(values(&g, last), 100 * 30 * 2 + 30);
    // A name would stand for all rows.
    assert!(narrow.at("hook").is_err() && narrow.at("w").is_ok());
}

#[test]
fn a_long_chain_runs_in_one_buffer_and_walks_through_another() {
    let mut g = Graph::new();
    let mut x = g.input("x", &[10]);
    for _ in 0..50 {
        x = g.scale(x, 1.0).unwrap();
    }
    let program = Program::compile(&g, &[x]).unwrap();
    assert_eq!((program.steps(), program.buffer_bytes()), (50, 10 * 4));
}

#[test]
fn leaves_and_constants_can_be_outputs() {
    let mut g = Graph::new();
    let x = g.parameter("x", &[2]);
    let c = g.constant(Tensor::from_fn(&[2], |i| i as f32));
    let mut program = Program::compile(&g, &[x, c, x]).unwrap();
    for data in [[1.0, 2.0], [3.0, 4.0]] {
        program.run(&Context::single(), &Bindings::new().with("x", &data)).unwrap();
        assert_eq!(program.output(0), data);
        assert_eq!(program.output(1), [0.0, 1.0]);
        assert_eq!(program.tensor(2).unwrap().data(), data);
    }
}

#[test]
fn a_replaced_site_reaches_its_readers_and_not_its_source() {
    let mut g = Graph::new();
    let x = g.input("x", &[2]);
    let a = g.scale(x, 2.0).unwrap();
    let hook = g.site("hook", a);
    let read = g.scale(hook, 10.0).unwrap();
    g.site("after", read);
    let past = g.scale(a, 100.0).unwrap();
    g.site("past", past);
    let edited = g
        .edited(&mut |g, name, v| match name {
            "hook" => g.scale(v, -1.0).map(Some),
            _ => Ok(None),
        })
        .unwrap();
    let outputs =
        [edited.at("after").unwrap(), edited.at("past").unwrap(), edited.at("hook").unwrap()];
    let mut program = Program::compile(&edited, &outputs).unwrap();
    program.run(&Context::single(), &Bindings::new().with("x", &[1.0, 2.0])).unwrap();
    assert_eq!(program.output(0), [-20.0, -40.0]);
    assert_eq!(program.output(1), [200.0, 400.0]);
    assert_eq!(program.output(2), [-2.0, -4.0]);
}

#[test]
fn cotangents_are_added_in_reverse_order_of_the_consumers() {
    // 1e8 + 1 + -1e8 in f32: the order of the additions shows in the result.
    let mut g = Graph::new();
    let x = g.input("x", &[]);
    let parts = [1.0e8, 1.0, -1.0e8].map(|c| g.scale(x, c).unwrap());
    let y = g.add(parts[0], parts[1]).unwrap();
    let y = g.add(y, parts[2]).unwrap();
    let d = g.gradient(y, &[x]).unwrap();
    let mut program = Program::compile(&g, &d).unwrap();
    program.run(&Context::single(), &Bindings::new().with("x", &[1.0])).unwrap();
    // (-1e8 + 1) + 1e8: 1 is lost in the first addition. Ascending, (1e8 + 1) - 1e8 is also 0,
    // so a second order tells them apart: (1e8 - 1e8) + 1.
    assert_eq!(program.output(0), [0.0]);
    let mut g = Graph::new();
    let x = g.input("x", &[]);
    let parts = [1.0, -1.0e8, 1.0e8].map(|c| g.scale(x, c).unwrap());
    let y = g.add(parts[0], parts[1]).unwrap();
    let y = g.add(y, parts[2]).unwrap();
    let d = g.gradient(y, &[x]).unwrap();
    let mut program = Program::compile(&g, &d).unwrap();
    program.run(&Context::single(), &Bindings::new().with("x", &[1.0])).unwrap();
    assert_eq!(program.output(0), [1.0]);
}

proptest! {
    // A cotangent that arrives out of order shows in one of some thousand graphs.
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parts_that_nobody_reads_are_left_out_and_no_bit_changes(
        recipe in recipes(24),
        axis in 0usize..2,
        start in 0usize..3,
    ) {
        let (mut g, all) = record(&recipe, 4, 8);
        let data = Data::new(4, 8);
        let cx = Context::single();
        let part = g.slice(all[all.len() - 1], axis, start, 1).unwrap();
        let square = g.mul(part, part).unwrap();
        let s = g.sum(square).unwrap();
        let (mut narrow, outputs) = g.narrowed(&[s, part]).unwrap();
        let leaves = ["w", "table", "x"];
        let gradients = |g: &mut Graph, s: Value, part: Value| {
            let wrt: Vec<Value> =
                g.leaves().filter(|(n, _)| leaves.contains(n)).map(|(_, v)| v).collect();
            let mut outputs = g.gradient(s, &wrt).unwrap();
            outputs.extend([s, part]);
            let mut program = Program::compile(g, &outputs).unwrap();
            program.run(&cx, &data.bindings()).unwrap();
            // A sum of nothing but skipped zeros may differ in their sign.
            let all = (0..outputs.len()).flat_map(|i| program.output(i).to_vec());
            (all.map(|x| (x + 0.0).to_bits()).collect::<Vec<_>>(), program.values())
        };
        let (wanted, before) = gradients(&mut g, s, part);
        let (got, after) = gradients(&mut narrow, outputs[0], outputs[1]);
        prop_assert_eq!(got, wanted);
        // A part that several read from a whole is cut for each of them.
        prop_assert!(after <= before + 4 * 8 * recipe.len());
    }
}

#[test]
fn heads_that_are_added_are_one_product_and_no_bit_changes() {
    for (batch, pos, heads, k, d) in [(2, 3, 4, 16, 64), (1, 13, 3, 5, 33), (5, 1, 2, 1, 7)] {
        let mut g = Graph::new();
        let z = g.parameter("z", &[batch, pos, heads, k]);
        let w = g.parameter("w", &[heads, k, d]);
        let result = g.einsum("bphk,hkd->bphd", z, w).unwrap();
        let result = g.site("result", result);
        let out = g.sum_to(result, &[batch, pos, 1, d]).unwrap();
        let out = g.reshape(out, &[batch, pos, d]).unwrap();
        let square = g.mul(out, out).unwrap();
        let s = g.sum(square).unwrap();
        let mut outputs = g.gradient(s, &[z, w]).unwrap();
        outputs.push(out);
        let real = |n: usize| -> Vec<f32> {
            (0..n).map(|i| (i * 193 % 257) as f32 / 128.5 - 1.0).collect()
        };
        let (z, w) = (real(batch * pos * heads * k), real(heads * k * d));
        let bindings = Bindings::new().with("z", &z).with("w", &w);
        // The same step by step: what is read by others is not joined, what is bound is not repeated.
        let repeated = [batch, pos, heads, d];
        let mut by_hand = Graph::new();
        let dy = by_hand.input("dy", &repeated);
        let (z_in, w_in) =
            (by_hand.input("z", &[batch, pos, heads, k]), by_hand.input("w", &[heads, k, d]));
        let steps = [
            by_hand.einsum("bphd,hkd->bphk", dy, w_in).unwrap(),
            by_hand.einsum("bphk,bphd->hkd", z_in, dy).unwrap(),
        ];
        for kernels in Kernels::all_available() {
            for threads in [1, 3] {
                let cx = Context::new(kernels, threads);
                let joined = run(&g, &outputs, &cx, &bindings);
                let sums = run(&g, &[out, result], &cx, &bindings);
                assert_eq!(joined[2], sums[0]);
                let row = |i: usize| &sums[0][i / heads * d..][..d];
                let dy: Vec<f32> = (0..batch * pos * heads)
                    .flat_map(|i| row(i).iter().map(|&x| 2.0 * f32::from_bits(x)))
                    .collect();
                let gradients = run(&by_hand, &steps, &cx, &bindings.clone().with("dy", &dy));
                assert_eq!(joined[..2], gradients);
            }
        }
        let joined = Program::compile(&g, &outputs).unwrap();
        let apart = Program::compile(&g, &[&outputs[..], &[result]].concat()).unwrap();
        assert!(joined.steps() < apart.steps(), "{} {}", joined.steps(), apart.steps());
    }
}

#[test]
fn a_product_of_a_tables_rows_is_that_of_the_table_and_no_bit_changes() {
    let (batch, pos, rows, d, out) = (23, 3, 5, 17, 33);
    let mut g = Graph::new();
    let table = g.parameter("table", &[rows, d]);
    let added = g.parameter("added", &[pos, d]);
    let w = g.parameter("w", &[2, d, out]);
    let tokens = g.index_input("tokens", &[batch, pos]);
    let embed = g.gather(table, tokens).unwrap();
    let repeated = g.repeat_to(added, &[batch, pos, d]).unwrap();
    let x = g.add(embed, repeated).unwrap();
    let x = g.site("x", x);
    let y = g.einsum("bpd,hdk->bphk", x, w).unwrap();
    let square = g.mul(y, y).unwrap();
    let s = g.sum(square).unwrap();
    let mut outputs = g.gradient(s, &[table, added, w]).unwrap();
    outputs.push(y);
    // The same with the rows bound.
    let mut by_hand = Graph::new();
    let x_in = by_hand.input("x", &[batch, pos, d]);
    let w_in = by_hand.input("w", &[2, d, out]);
    let wanted = by_hand.einsum("bpd,hdk->bphk", x_in, w_in).unwrap();
    let real =
        |n: usize| -> Vec<f32> { (0..n).map(|i| (i * 193 % 257) as f32 / 128.5 - 1.0).collect() };
    let (table, added, w) = (real(rows * d), real(pos * d), real(2 * d * out));
    let tokens: Vec<u32> = (0..batch * pos).map(|i| (i * 7 % rows) as u32).collect();
    let bindings = Bindings::new()
        .with("table", &table)
        .with("added", &added)
        .with("w", &w)
        .with_index("tokens", &tokens);
    let there = |i: usize, c: usize| table[tokens[i] as usize * d + c] + added[i % pos * d + c];
    let rows_of_x: Vec<f32> = (0..batch * pos * d).map(|i| there(i / d, i % d)).collect();
    let by_hand_bindings = Bindings::new().with("x", &rows_of_x).with("w", &w);
    for kernels in Kernels::all_available() {
        for threads in [1, 2] {
            let cx = Context::new(kernels, threads);
            let got = run(&g, &outputs, &cx, &bindings);
            assert_eq!(got[3], run(&by_hand, &[wanted], &cx, &by_hand_bindings)[0]);
        }
    }
    let program = Program::compile(&g, &[y]).unwrap();
    assert!(program.values() < 2 * batch * pos * 2 * out, "{}", program.values());
}
