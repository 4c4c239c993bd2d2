//! The promise of docs/bits.md, tested: every kernel, at odd shapes, on every instruction set that
//! this CPU has and with 1, 2, 3 and 7 threads, gives the bits of its definition.

use super::adamw::{AdamW, sgd};
use super::sparse::{Active, combine, inner};
use super::{elementwise, norm, product::Product, reduce, softmax};
use crate::context::{Context, Kernels};
use crate::hash;
use crate::random::{Generator, Stream};
use crate::simd::portable::soft_fma;
use proptest::prelude::*;

/// Every context that must agree; says which instruction sets this CPU lacks.
fn contexts() -> Vec<Context> {
    for kernels in Kernels::ALL.into_iter().filter(|k| !k.available()) {
        println!("skipped: this CPU has no {kernels}");
    }
    Kernels::all_available()
        .into_iter()
        .flat_map(|kernels| [1, 2, 3, 7].map(|threads| Context::new(kernels, threads)))
        .collect()
}

fn normals(n: usize, g: &mut Generator) -> Vec<f32> {
    let mut x = vec![0.0; n];
    g.fill_normal(&mut x, 2.0);
    x
}

fn to_bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Runs `f` under every context and asserts that all give the same bits; returns the result.
fn agreed(len: usize, f: impl Fn(&Context, &mut [f32])) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for cx in contexts() {
        let mut y = vec![f32::NAN; len];
        f(&cx, &mut y);
        match &first {
            None => first = Some(y),
            Some(x) => assert_eq!(to_bits(x), to_bits(&y), "{cx:?} differs from portable"),
        }
    }
    first.unwrap_or_default()
}

/// A product whose operands are in one of the memory orders that einsum makes.
struct Case {
    product: Product,
    a: Vec<f32>,
    b: Vec<f32>,
    c_len: usize,
}

/// `order` picks, for each operand, which of its axes is innermost; bit 3 puts batch inside m of c.
fn case(batch: usize, m: usize, n: usize, k: usize, order: u8, g: &mut Generator) -> Case {
    let strides = |x: usize, y: usize, flip: bool| if flip { (1, x) } else { (y, 1) };
    let (am, ak) = strides(m, k, order & 1 != 0);
    let (bk, bn) = strides(k, n, order & 2 != 0);
    let (cm, cn) = strides(m, n, order & 4 != 0);
    let (cb, cm) = if order & 8 != 0 && order & 4 == 0 { (n, cm * batch) } else { (m * n, cm) };
    let product = Product::new(
        (0..batch).map(|i| [i * m * k, i * k * n, i * cb]).collect(),
        (0..m).map(|i| [i * am, i * cm]).collect(),
        (0..n).map(|i| [i * bn, i * cn]).collect(),
        (0..k).map(|i| [i * ak, i * bk]).collect(),
    );
    let (a, b) = (normals(batch * m * k, g), normals(batch * k * n, g));
    Case { product, a, b, c_len: batch * m * n }
}

/// The definition: one chain of fused multiply-adds for each element.
fn naive(case: &Case) -> Vec<f32> {
    let mut c = vec![f32::NAN; case.c_len];
    let p = &case.product;
    for b in &p.batch {
        for m in &p.m {
            for n in &p.n {
                c[b[2] + m[1] + n[1]] = p.k.iter().fold(0.0, |sum, k| {
                    soft_fma(case.a[b[0] + m[0] + k[0]], case.b[b[1] + n[0] + k[1]], sum)
                });
            }
        }
    }
    c
}

fn check_product(batch: usize, m: usize, n: usize, k: usize, order: u8) {
    let mut g = Stream::new(order.into(), "product").block((m * n * k) as u64);
    let case = case(batch, m, n, k, order, &mut g);
    let c = agreed(case.c_len, |cx, c| case.product.run(cx, &case.a, &case.b, c));
    assert_eq!(to_bits(&c), to_bits(&naive(&case)), "{batch} {m} {n} {k} order {order}");
}

#[test]
fn a_product_is_one_chain_for_each_element_at_any_shape_and_order() {
    for (batch, m, n, k) in [
        (1, 0, 3, 2),
        (0, 2, 2, 2),
        (1, 2, 3, 0),
        (1, 1, 1, 1),
        (1, 1, 37, 5),
        (1, 37, 1, 5),
        (3, 13, 17, 19),
        (2, 12, 32, 16),
        (5, 7, 48, 31),
        (1, 25, 33, 257),
        (2, 61, 67, 523),
        (1, 131, 530, 30),
    ] {
        for order in 0..16 {
            check_product(batch, m, n, k, order);
        }
    }
}

#[test]
fn a_product_large_enough_for_threads_is_divided_without_a_trace() {
    for order in [0, 3, 5, 8] {
        check_product(1, 203, 150, 97, order);
        check_product(70, 48, 33, 20, order);
    }
    // Several long blocks of k, whose sums go on from c.
    check_product(1, 310, 430, 780, 0);
    // A long sum of a small c: as few parts as threads, and two blocks of columns.
    check_product(1, 14, 1090, 2100, 0);
}

#[test]
fn a_product_reads_heads_inside_a_model_axis_and_leaves_the_rest_of_c() {
    // q[b, p, h, d] = sum_m x[b, p, m] w[h, m, d], heads of 5, written with a gap after each head.
    let (rows, heads, model, head) = (23, 3, 11, 5);
    let mut g = Stream::new(0, "heads").block(0);
    let (x, w) = (normals(rows * model, &mut g), normals(heads * model * head, &mut g));
    let gap = head + 2;
    let product = Product::new(
        vec![[0, 0, 0]],
        (0..rows).map(|r| [r * model, r * heads * gap]).collect(),
        (0..heads * head)
            .map(|i| {
                let (h, d) = (i / head, i % head);
                [h * model * head + d, h * gap + d]
            })
            .collect(),
        (0..model).map(|m| [m, m * head]).collect(),
    );
    let y = agreed(rows * heads * gap, |cx, c| {
        c.fill(7.0);
        product.run(cx, &x, &w, c);
    });
    for r in 0..rows {
        for h in 0..heads {
            for d in 0..gap {
                let expected = if d < head {
                    (0..model).fold(0.0, |s, m| {
                        soft_fma(x[r * model + m], w[(h * model + m) * head + d], s)
                    })
                } else {
                    7.0
                };
                assert_eq!(y[(r * heads + h) * gap + d], expected);
            }
        }
    }
}

#[test]
#[should_panic(expected = "share a place in c")]
fn a_product_that_would_write_one_place_twice_is_refused() {
    Product::new(vec![[0, 0, 0]], vec![[0, 0], [1, 0]], vec![[0, 0]], vec![[0, 0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn products_of_random_shapes_are_chains(
        batch in 1usize..4, m in 1usize..70, n in 1usize..70, k in 0usize..70, order in 0u8..16
    ) {
        check_product(batch, m, n, k, order);
    }
}

/// Rows and columns that exercise no, part, whole and several vectors, and several threads.
const SHAPES: [(usize, usize); 9] =
    [(0, 3), (3, 0), (1, 1), (2, 15), (5, 16), (7, 17), (3, 113), (211, 509), (4099, 67)];

/// The sum by sixteen lanes, written from docs/bits.md.
fn lane_sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (i, x) in x.iter().enumerate() {
        lanes[i % 16] += x;
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

#[test]
fn sums_have_the_order_of_their_definition() {
    for (rows, cols) in SHAPES {
        let mut g = Stream::new(1, "sums").block((rows * cols) as u64);
        let x = normals(rows * cols, &mut g);
        let sums = agreed(rows, |cx, y| reduce::sum_last(cx, &x, rows, cols, y));
        for r in 0..rows {
            assert_eq!(sums[r].to_bits(), lane_sum(&x[r * cols..(r + 1) * cols]).to_bits());
        }
        let columns = agreed(cols, |cx, y| reduce::sum_rows(cx, &x, rows, cols, y));
        for c in 0..cols {
            let chain = (0..rows).fold(0.0, |s, r| s + x[r * cols + c]);
            assert_eq!(columns[c].to_bits(), chain.to_bits());
        }
        // x as [outer, axis, inner] = [3, rows, cols / 3].
        let inner = cols / 3;
        let x = &x[..3 * rows * inner];
        let chains = agreed(3 * inner, |cx, y| reduce::sum_axis(cx, x, 3, rows, inner, y));
        for (i, sum) in chains.iter().enumerate() {
            let (o, j) = (i / inner, i % inner);
            let chain = (0..rows).fold(0.0, |s, r| s + x[(o * rows + r) * inner + j]);
            assert_eq!(sum.to_bits(), chain.to_bits());
        }
    }
}

#[test]
fn other_orders_give_other_bits() {
    let mut g = Stream::new(1, "control").block(0);
    let x = normals(37 * 113, &mut g);
    let ours = agreed(113, |cx, y| reduce::sum_rows(cx, &x, 37, 113, y));
    let reversed = (0..113).map(|c| (0..37).rev().fold(0.0, |s, r| s + x[r * 113 + c]));
    assert!(ours.iter().zip(reversed).any(|(a, b): (&f32, f32)| a.to_bits() != b.to_bits()));
    let ours = agreed(37, |cx, y| reduce::sum_last(cx, &x, 37, 113, y));
    let eight_lanes = x.chunks(113).map(|x| {
        let mut lanes = [0.0f32; 8];
        x.iter().enumerate().for_each(|(i, x)| lanes[i % 8] += x);
        lanes.iter().sum::<f32>()
    });
    assert!(ours.iter().zip(eight_lanes).any(|(a, b): (&f32, f32)| a.to_bits() != b.to_bits()));
}

#[test]
fn inner_products_and_maxima_agree_with_their_definition() {
    for (rows, cols) in SHAPES {
        let mut g = Stream::new(2, "dot").block((rows * cols) as u64);
        let (x, y) = (normals(rows * cols, &mut g), normals(rows * cols, &mut g));
        let dots = agreed(rows, |cx, out| reduce::dot_last(cx, &x, &y, rows, cols, out));
        let greatest = agreed(rows, |cx, out| reduce::max_last(cx, &x, rows, cols, out));
        agreed(rows, |cx, out| reduce::mean_last(cx, &x, rows, cols, out));
        for r in 0..rows {
            let (x, y) = (&x[r * cols..(r + 1) * cols], &y[r * cols..(r + 1) * cols]);
            let mut lanes = [0.0f32; 16];
            for i in 0..cols {
                lanes[i % 16] = soft_fma(x[i], y[i], lanes[i % 16]);
            }
            assert_eq!(dots[r].to_bits(), lane_sum(&lanes).to_bits());
            let max = x.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
            assert_eq!(greatest[r], max);
        }
    }
}

/// A function of one array, and the same in f64.
type Unary = (fn(&Context, &[f32], &mut [f32]), fn(f64) -> f64);

fn gelu64(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + crate::math::tanh64(u))
}

fn gelu_erf64(x: f64) -> f64 {
    x * crate::math::normal_cdf64(x)
}

fn sigmoid64(x: f64) -> f64 {
    1.0 / (1.0 + crate::math::exp64(-x))
}

#[test]
fn elementwise_functions_agree_everywhere_and_with_f64() {
    use crate::math::{exp64, ln64, tanh64};
    let functions: [Unary; 10] = [
        (elementwise::relu, |x| x.max(0.0)),
        (elementwise::gelu_tanh, gelu64),
        (elementwise::gelu_erf, gelu_erf64),
        (elementwise::silu, |x| x * sigmoid64(x)),
        (elementwise::sigmoid, sigmoid64),
        (elementwise::square, |x| x * x),
        (elementwise::exp, exp64),
        (elementwise::tanh, tanh64),
        (|cx, x, y| elementwise::scale(cx, x, 3.0, y), |x| 3.0 * x),
        (|cx, x, y| elementwise::add_const(cx, x, 3.0, y), |x| x + 3.0),
    ];
    for n in [0, 1, 15, 16, 17, 113, 200_003] {
        let mut g = Stream::new(3, "elementwise").block(n);
        let x = normals(n as usize, &mut g);
        for (i, (f, reference)) in functions.iter().enumerate() {
            let y = agreed(x.len(), |cx, y| f(cx, &x, y));
            for (&x, &y) in x.iter().zip(&y) {
                let expected = reference(x.into());
                // A few roundings of 2^-24 = 6e-8; in gelu and silu those of the exponential's
                // argument (up to 20 here) count as many times as it is large.
                let tolerance = 5e-6 * expected.abs().max(1e-4);
                assert!((f64::from(y) - expected).abs() < tolerance, "{i}: f({x}) = {y}");
            }
        }
        let positive: Vec<f32> = x.iter().map(|x| x.abs()).collect();
        for (f, reference) in [
            (elementwise::ln as fn(&Context, &[f32], &mut [f32]), ln64 as fn(f64) -> f64),
            (elementwise::sqrt, f64::sqrt),
        ] {
            let y = agreed(x.len(), |cx, y| f(cx, &positive, y));
            for (&x, &y) in positive.iter().zip(&y) {
                let expected = reference(x.into());
                assert!((f64::from(y) - expected).abs() <= 2e-7 * expected.abs(), "{x} {y}");
            }
        }
    }
}

#[test]
fn arithmetic_of_two_arrays_agrees_everywhere() {
    type Binary = (fn(&Context, &[f32], &[f32], &mut [f32]), fn(f32, f32) -> f32);
    let functions: [Binary; 4] = [
        (elementwise::add, |a, b| a + b),
        (elementwise::sub, |a, b| a - b),
        (elementwise::mul, |a, b| a * b),
        (elementwise::div, |a, b| a / b),
    ];
    for n in [0, 1, 17, 100_003] {
        let mut g = Stream::new(4, "binary").block(n);
        let (a, b) = (normals(n as usize, &mut g), normals(n as usize, &mut g));
        for (f, plain) in functions {
            let y = agreed(a.len(), |cx, y| f(cx, &a, &b, y));
            let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| plain(a, b)).collect();
            assert_eq!(to_bits(&y), to_bits(&expected));
        }
        let y = agreed(a.len(), |cx, y| {
            elementwise::copy(cx, &a, y);
            elementwise::add_assign(cx, y, &b);
        });
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(to_bits(&y), to_bits(&expected));
    }
}

#[test]
fn arithmetic_of_rows_from_operands_that_repeat_agrees_everywhere() {
    use elementwise::Repeat;
    let kinds = [Repeat::Not, Repeat::Row, Repeat::Column, Repeat::Single];
    let mut g = Stream::new(5, "repeat").block(0);
    for (rows, cols) in [(1, 1), (3, 16), (7, 33), (1, 70_001), (901, 97)] {
        for (ka, kb) in kinds.iter().flat_map(|&a| kinds.map(|b| (a, b))) {
            let mut operand = |kind| {
                let len = match kind {
                    Repeat::Not => rows * cols,
                    Repeat::Row => cols,
                    Repeat::Column => rows,
                    Repeat::Single => 1,
                };
                normals(len, &mut g)
            };
            let (a, b) = (operand(ka), operand(kb));
            let at = |x: &[f32], kind, i: usize| match kind {
                Repeat::Not => x[i],
                Repeat::Row => x[i % cols],
                Repeat::Column => x[i / cols],
                Repeat::Single => x[0],
            };
            let y = agreed(rows * cols, |cx, y| {
                elementwise::div_rows(cx, (&a, ka), (&b, kb), cols, y);
            });
            let expected: Vec<f32> =
                (0..rows * cols).map(|i| at(&a, ka, i) / at(&b, kb, i)).collect();
            assert_eq!(to_bits(&y), to_bits(&expected), "{rows} x {cols}: {ka:?}, {kb:?}");
        }
    }
}

#[test]
fn derivatives_of_elementwise_functions_agree_with_differences_in_f64() {
    type Vjp = (fn(&Context, &[f32], &[f32], &mut [f32]), fn(f64) -> f64);
    let functions: [Vjp; 3] = [
        (elementwise::gelu_vjp, gelu64),
        (elementwise::gelu_erf_vjp, gelu_erf64),
        (elementwise::silu_vjp, |x| x * sigmoid64(x)),
    ];
    let mut g = Stream::new(5, "slopes").block(0);
    let (x, dy) = (normals(1009, &mut g), normals(1009, &mut g));
    for (f, value) in functions {
        let dx = agreed(x.len(), |cx, dx| f(cx, &x, &dy, dx));
        for i in 0..x.len() {
            let (x, h) = (f64::from(x[i]), 1e-5);
            let expected = (value(x + h) - value(x - h)) / (2.0 * h) * f64::from(dy[i]);
            let tolerance = 3e-6 * (1.0 + expected.abs());
            assert!((f64::from(dx[i]) - expected).abs() < tolerance, "{x}: {} {expected}", dx[i]);
        }
    }
    let dx = agreed(x.len(), |cx, dx| elementwise::relu_vjp(cx, &x, &dy, dx));
    assert!((0..x.len()).all(|i| dx[i] == if x[i] > 0.0 { dy[i] } else { 0.0 }));
    // At 0 the derivative is 0.
    assert_eq!(agreed(1, |cx, dx| elementwise::relu_vjp(cx, &[0.0], &[5.0], dx)), [0.0]);
    let y = agreed(x.len(), |cx, y| elementwise::sigmoid(cx, &x, y));
    let dx = agreed(x.len(), |cx, dx| elementwise::sigmoid_vjp(cx, &y, &dy, dx));
    assert!((0..x.len()).all(|i| dx[i] == dy[i] * (y[i] * (1.0 - y[i]))));
    let dx = agreed(x.len(), |cx, dx| elementwise::tanh_vjp(cx, &y, &dy, dx));
    assert!((0..x.len()).all(|i| dx[i] == dy[i] * (1.0 - y[i] * y[i])));
}

#[test]
fn softmax_and_its_kin_agree_everywhere_and_with_f64() {
    use crate::math::{exp64, ln64};
    for (rows, cols) in SHAPES {
        let mut g = Stream::new(6, "softmax").block((rows * cols) as u64);
        let n = rows * cols;
        let (mut x, dy) = (normals(n, &mut g), normals(n, &mut g));
        // Some positions do not exist.
        x.iter_mut().skip(1).step_by(5).for_each(|x| *x = f32::NEG_INFINITY);
        let y = agreed(n, |cx, y| softmax::softmax_last(cx, &x, rows, cols, y));
        let log = agreed(n, |cx, y| softmax::log_softmax_last(cx, &x, rows, cols, y));
        let dx = agreed(n, |cx, dx| softmax::softmax_vjp(cx, &y, &dy, rows, cols, dx));
        let dlog = agreed(n, |cx, dx| softmax::log_softmax_vjp(cx, &log, &dy, rows, cols, dx));
        if cols == 0 {
            continue;
        }
        let targets: Vec<u32> = (0..rows).map(|r| (r * 7 % cols / 5 * 5) as u32).collect();
        let loss = agreed(rows, |cx, l| softmax::cross_entropy(cx, &x, &targets, rows, cols, l));
        let dloss = normals(rows, &mut g);
        let dce = agreed(n, |cx, dx| {
            softmax::cross_entropy_vjp(cx, &x, &targets, &dloss, rows, cols, dx);
        });
        for r in 0..rows {
            let row = r * cols..(r + 1) * cols;
            let (x, y, log, dy) =
                (&x[row.clone()], &y[row.clone()], &log[row.clone()], &dy[row.clone()]);
            let max = x.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x.into()));
            if max == f64::NEG_INFINITY {
                assert!(y.iter().all(|y| y.to_bits() == 0));
                continue;
            }
            let sum: f64 = x.iter().map(|&x| exp64(f64::from(x) - max)).sum();
            let p: Vec<f64> = x.iter().map(|&x| exp64(f64::from(x) - max) / sum).collect();
            let dot: f64 = (0..cols).map(|c| p[c] * f64::from(dy[c])).sum();
            let total: f64 = dy.iter().map(|&d| f64::from(d)).sum();
            for c in 0..cols {
                let close = |got: f32, want: f64, tolerance: f64| {
                    assert!((f64::from(got) - want).abs() <= tolerance, "{got} {want}");
                };
                let d = f64::from(dy[c]);
                close(y[c], p[c], 1e-6 * p[c].max(1e-6));
                close(dx[r * cols + c], p[c] * (d - dot), 1e-6);
                close(dlog[r * cols + c], d - p[c] * total, 1e-5 * (1.0 + total.abs()));
                let target = f64::from(u8::from(c == targets[r] as usize));
                close(dce[r * cols + c], (p[c] - target) * f64::from(dloss[r]), 1e-5);
                if x[c] == f32::NEG_INFINITY {
                    assert_eq!((y[c].to_bits(), log[c]), (0, f32::NEG_INFINITY));
                } else {
                    close(log[c], f64::from(x[c]) - max - ln64(sum), 3e-6);
                }
            }
            let target = x[targets[r] as usize];
            if target > f32::NEG_INFINITY {
                let want = ln64(sum) - (f64::from(target) - max);
                assert!((f64::from(loss[r]) - want).abs() < 3e-6);
            }
        }
    }
}

#[test]
fn norms_agree_everywhere_and_with_f64() {
    for (rows, cols) in SHAPES {
        let mut g = Stream::new(7, "norm").block((rows * cols) as u64);
        let n = rows * cols;
        let x = normals(n, &mut g);
        let centered = agreed(n, |cx, y| norm::center_last(cx, &x, rows, cols, y));
        agreed(n, |cx, y| norm::center_vjp(cx, &x, rows, cols, y));
        if cols == 0 {
            continue;
        }
        let rms = agreed(rows, |cx, y| norm::rms_last(cx, &x, rows, cols, 1e-5, y));
        let dy = normals(rows, &mut g);
        let dx = agreed(n, |cx, dx| norm::rms_vjp(cx, &x, &rms, &dy, rows, cols, dx));
        for r in 0..rows {
            let row: Vec<f64> = x[r * cols..(r + 1) * cols].iter().map(|&x| x.into()).collect();
            let mean = row.iter().sum::<f64>() / cols as f64;
            let square = row.iter().map(|x| x * x).sum::<f64>() / cols as f64;
            let want = (square + 1e-5).sqrt();
            assert!((f64::from(rms[r]) - want).abs() < 1e-6 * want);
            for c in 0..cols {
                assert!((f64::from(centered[r * cols + c]) - (row[c] - mean)).abs() < 2e-6);
                let slope = row[c] / (cols as f64 * want) * f64::from(dy[r]);
                assert!((f64::from(dx[r * cols + c]) - slope).abs() < 2e-6);
            }
        }
    }
}

#[test]
fn optimisers_agree_everywhere_and_adamw_with_f64() {
    let n = 50_021;
    let mut g = Stream::new(8, "adamw").block(0);
    let (p0, g1, g2) = (normals(n, &mut g), normals(n, &mut g), normals(n, &mut g));
    let adamw = AdamW { lr: 1e-2, weight_decay: 0.1, ..AdamW::default() };
    let all = agreed(3 * n, |cx, out| {
        let (p, rest) = out.split_at_mut(n);
        let (m, v) = rest.split_at_mut(n);
        p.copy_from_slice(&p0);
        m.fill(0.0);
        v.fill(0.0);
        adamw.step(cx, 1, p, &g1, m, v);
        adamw.step(cx, 2, p, &g2, m, v);
    });
    for i in 0..n {
        // Loshchilov and Hutter 2017, algorithm 2, in f64.
        let (mut p, mut m, mut v) = (f64::from(p0[i]), 0.0, 0.0);
        for (t, g) in [(1, f64::from(g1[i])), (2, f64::from(g2[i]))] {
            p -= 1e-2 * 0.1 * p;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let m_hat = m / (1.0 - crate::math::powi64(0.9, t));
            let v_hat = v / (1.0 - crate::math::powi64(0.999, t));
            p -= 1e-2 * m_hat / (v_hat.sqrt() + 1e-8);
        }
        assert!((f64::from(all[i]) - p).abs() < 1e-6 * p.abs().max(1.0), "{} {p}", all[i]);
    }
    let both = agreed(2 * n, |cx, out| {
        let (p, buffer) = out.split_at_mut(n);
        p.copy_from_slice(&p0);
        buffer.fill(0.0);
        sgd(cx, p, &g1, 0.1, 0.9, buffer);
        sgd(cx, p, &g2, 0.1, 0.9, buffer);
    });
    for i in 0..n {
        let buffer = g1[i] * 0.9 + g2[i];
        assert_eq!(both[i], p0[i] - g1[i] * 0.1 - buffer * 0.1);
    }
}

#[test]
fn products_with_active_elements_are_the_dense_ones() {
    for (rows, cols, d, k) in [(0, 3, 2, 1), (1, 1, 1, 1), (7, 131, 37, 5), (61, 523, 277, 40)] {
        let mut g = Stream::new(9, "sparse").block((rows * cols) as u64);
        let (x, shift) = (normals(rows * cols, &mut g), normals(cols, &mut g));
        let (table, back) = (normals(cols * d, &mut g), normals(rows * d, &mut g));
        // The matrix, and which elements are active, by definition.
        let mut z = vec![0.0; rows * cols];
        for r in 0..rows {
            let row: Vec<f32> = (0..cols).map(|j| x[r * cols + j] + shift[j]).collect();
            let mut order: Vec<usize> = (0..cols).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
            order.iter().take(k).filter(|&&j| row[j] > 0.0).for_each(|&j| z[r * cols + j] = row[j]);
        }
        let dense = |m: usize, n: usize, k: usize, a: [usize; 2], b: [usize; 2]| {
            Product::new(
                vec![[0, 0, 0]],
                (0..m).map(|i| [i * a[0], i * n]).collect(),
                (0..n).map(|i| [i * b[0], i]).collect(),
                (0..k).map(|i| [i * a[1], i * b[1]]).collect(),
            )
        };
        let plain = Context::new(Kernels::Portable, 1);
        let (mut y, mut dw) = (vec![0.0; rows * d], vec![0.0; cols * d]);
        let mut dz = vec![0.0; rows * cols];
        dense(rows, d, cols, [cols, 1], [1, d]).run(&plain, &z, &table, &mut y);
        dense(cols, d, rows, [1, cols], [1, d]).run(&plain, &z, &back, &mut dw);
        dense(rows, cols, d, [d, 1], [d, 1]).run(&plain, &back, &table, &mut dz);
        for cx in contexts() {
            let mut active = Active::default();
            active.take_largest_of_rows(&cx, &mut x.clone(), &shift, k);
            let mut slopes = vec![f32::NAN; active.values().len()];
            let mut got = vec![f32::NAN; rows * d];
            active.each_row(&cx, &mut slopes, [&mut got], d, 1 << 20, |r, slopes, [y]| {
                combine(&cx.alone(), active.row(r), &table, y);
                inner(&cx.alone(), &back[r * d..(r + 1) * d], &table, active.row(r).0, slopes);
            });
            assert_eq!(to_bits(&got), to_bits(&y));
            let mut by_column = vec![];
            active.by_column(active.values(), &mut by_column);
            let mut row = vec![f32::NAN; d];
            for j in 0..cols {
                let (samples, places) = active.column(j);
                combine(&cx, (samples, &by_column[places]), &back, &mut row);
                assert_eq!(to_bits(&row), to_bits(&dw[j * d..(j + 1) * d]));
            }
            let mut slopes = slopes.into_iter();
            for r in 0..rows {
                for &j in active.row(r).0 {
                    let wanted = dz[r * cols + j as usize];
                    assert_eq!(slopes.next().map(f32::to_bits), Some(wanted.to_bits()));
                }
                assert!(active.row(r).0.iter().all(|&j| z[r * cols + j as usize] > 0.0));
            }
            assert_eq!(active.values().len(), z.iter().filter(|z| **z > 0.0).count());
        }
    }
}

/// Hashes of results for fixed inputs: the table of docs/bits.md. A change here raises `bits_epoch`.
#[test]
fn the_test_vectors_of_bits_md_hold() {
    let mut g = Stream::new(0, "bits.md").block(0);
    let (rows, cols) = (37, 113);
    let n = rows * cols;
    let (x, y) = (normals(n, &mut g), normals(n, &mut g));
    let size: Vec<f32> = x.iter().map(|x| x.abs()).collect();
    let targets: Vec<u32> = (0..rows as u32).collect();
    let adamw = AdamW::default();
    // x as [37, 113] times y as [113, 37].
    let product = Product::new(
        vec![[0, 0, 0]],
        (0..rows).map(|i| [i * cols, i * rows]).collect(),
        (0..rows).map(|i| [i, i]).collect(),
        (0..cols).map(|i| [i, i * rows]).collect(),
    );
    type Run<'a> = Box<dyn Fn(&Context, &mut [f32]) + 'a>;
    let runs: Vec<(&str, usize, Run)> = vec![
        ("inputs", n, Box::new(|cx, z| elementwise::add(cx, &x, &y, z))),
        ("product", rows * rows, Box::new(|cx, z| product.run(cx, &x, &y, z))),
        ("sum_last", rows, Box::new(|cx, z| reduce::sum_last(cx, &x, rows, cols, z))),
        ("sum_rows", cols, Box::new(|cx, z| reduce::sum_rows(cx, &x, rows, cols, z))),
        ("dot_last", rows, Box::new(|cx, z| reduce::dot_last(cx, &x, &y, rows, cols, z))),
        ("exp", n, Box::new(|cx, z| elementwise::exp(cx, &x, z))),
        ("ln", n, Box::new(|cx, z| elementwise::ln(cx, &size, z))),
        ("tanh", n, Box::new(|cx, z| elementwise::tanh(cx, &x, z))),
        ("gelu_tanh", n, Box::new(|cx, z| elementwise::gelu_tanh(cx, &x, z))),
        ("gelu_vjp", n, Box::new(|cx, z| elementwise::gelu_vjp(cx, &x, &y, z))),
        ("gelu_erf", n, Box::new(|cx, z| elementwise::gelu_erf(cx, &x, z))),
        ("gelu_erf_vjp", n, Box::new(|cx, z| elementwise::gelu_erf_vjp(cx, &x, &y, z))),
        ("silu", n, Box::new(|cx, z| elementwise::silu(cx, &x, z))),
        ("silu_vjp", n, Box::new(|cx, z| elementwise::silu_vjp(cx, &x, &y, z))),
        ("softmax_last", n, Box::new(|cx, z| softmax::softmax_last(cx, &x, rows, cols, z))),
        ("log_softmax_last", n, Box::new(|cx, z| softmax::log_softmax_last(cx, &x, rows, cols, z))),
        (
            "cross_entropy",
            rows,
            Box::new(|cx, z| softmax::cross_entropy(cx, &x, &targets, rows, cols, z)),
        ),
        ("center_last", n, Box::new(|cx, z| norm::center_last(cx, &x, rows, cols, z))),
        ("rms_last", rows, Box::new(|cx, z| norm::rms_last(cx, &x, rows, cols, 1e-5, z))),
        (
            "adamw",
            3 * n,
            Box::new(|cx, z| {
                let (p, rest) = z.split_at_mut(n);
                let (m, v) = rest.split_at_mut(n);
                p.copy_from_slice(&x);
                m.fill(0.0);
                v.fill(0.0);
                adamw.step(cx, 1, p, &y, m, v);
            }),
        ),
    ];
    let mut table = String::new();
    for (name, len, run) in &runs {
        let digest = hash::floats(&agreed(*len, run)).to_string();
        table += &format!("| `{name}` | `{}` |\n", &digest[..16]);
    }
    let mut bytes = vec![];
    for i in -2000..2000 {
        use crate::math::*;
        let x = f64::from(i) * 0.37;
        let (s, c) = sin_cos64(x);
        let positive = x.abs() + 1e-3;
        for y in [
            exp64(x),
            ln64(positive),
            log2_64(positive),
            log10_64(positive),
            tanh64(x / 100.0),
            s,
            c,
            atan2_64(x, 3.0),
            lgamma64(positive),
        ] {
            bytes.extend(y.to_le_bytes());
        }
        bytes.extend(sin(x as f32).to_le_bytes());
        bytes.extend(cos(x as f32).to_le_bytes());
    }
    let digest = hash::bytes(&bytes).to_string();
    table += &format!("| `math64` | `{}` |\n", &digest[..16]);
    let page = include_str!("../../../../docs/bits.md");
    assert!(page.contains(&table), "docs/bits.md should hold\n\n{table}");
}
