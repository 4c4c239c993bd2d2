//! Every operation against finite differences, and the control: broken derivatives are caught.

use crate::UNARY;
use flyroom_tensor::gradcheck::{Operand, gradcheck};
use flyroom_tensor::kernel::{Applied, Arg, Arg64};
use flyroom_tensor::ops::*;
use flyroom_tensor::{Context, Error, Graph, Kernel, Op, Tensor, Value};

fn real(shape: &[usize], k: u32) -> Operand {
    Operand::real(shape, k)
}

fn reals(shapes: &[&[usize]]) -> Vec<Operand> {
    shapes.iter().enumerate().map(|(k, s)| real(s, k as u32)).collect()
}

#[track_caller]
fn passes(op: impl Op + 'static, operands: &[Operand]) {
    let label = format!("{op:.40?}");
    gradcheck(op, operands).unwrap_or_else(|e| panic!("{label}: {e}"));
}

#[test]
fn arithmetic_agrees_with_finite_differences_under_every_kind_of_broadcasting() {
    let shapes: [[&[usize]; 2]; 9] = [
        [&[2, 3], &[2, 3]],
        [&[2, 3], &[3]],
        [&[3], &[2, 3]],
        [&[2, 1, 3], &[4, 1]],
        [&[2, 3], &[2, 1]],
        [&[1], &[5]],
        [&[2, 3], &[]],
        [&[], &[]],
        [&[1, 1], &[2, 2, 2]],
    ];
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
        for pair in shapes {
            passes(op, &reals(&pair));
        }
    }
}

#[test]
fn elementwise_functions_agree_with_finite_differences() {
    for op in UNARY {
        for shape in [&[][..], &[1], &[37], &[3, 17]] {
            passes(op, &[real(shape, 5)]);
        }
    }
}

#[test]
fn products_agree_with_finite_differences_with_batch_axes_and_head_sums() {
    let products: [(&str, &[usize], &[usize]); 13] = [
        ("bi,io->bo", &[2, 3], &[3, 4]),
        ("bpd,hdk->bphk", &[2, 2, 3], &[2, 3, 4]),
        ("bphd,hdk->bphk", &[2, 2, 2, 3], &[2, 3, 4]),
        ("bqhk,bphk->bhqp", &[2, 3, 2, 4], &[2, 3, 2, 4]),
        ("bhqp,bphk->bqhk", &[2, 2, 3, 3], &[2, 3, 2, 4]),
        ("bqgrk,bpgk->bgrqp", &[2, 2, 2, 3, 2], &[2, 2, 2, 2]),
        ("bgrqp,bpgk->bqgrk", &[2, 2, 2, 3, 3], &[2, 3, 2, 2]),
        ("bphk,hkd->bphd", &[2, 2, 2, 3], &[2, 3, 4]),
        // Two axes summed: heads and their widths.
        ("bphk,hkd->bpd", &[2, 2, 2, 3], &[2, 3, 4]),
        ("i,i->", &[5], &[5]),
        ("i,j->ij", &[3], &[2]),
        ("ij,ij->ij", &[2, 3], &[2, 3]),
        ("ij,jk->ki", &[2, 3], &[3, 2]),
    ];
    for (formula, a, b) in products {
        let op = Einsum::new(formula, a, b).expect(formula);
        gradcheck(op, &reals(&[a, b])).unwrap_or_else(|e| panic!("{formula}: {e}"));
    }
}

#[test]
fn table_look_ups_agree_with_finite_differences_where_rows_repeat() {
    let tokens = |shape: &[usize], x: &[u32]| Operand::Index(shape.to_vec(), x.to_vec());
    passes(Gather, &[real(&[4, 3], 0), tokens(&[2, 3], &[0, 3, 3, 1, 3, 0])]);
    passes(Gather, &[real(&[2, 5], 0), tokens(&[], &[1])]);
    for pos in 0..3 {
        let two = tokens(&[2, 3], &[0, 3, 3, 1, 3, 0]);
        passes(GatherAt { pos }, &[real(&[4, 5], 0), two]);
    }
    passes(CrossEntropy, &[real(&[2, 2, 5], 0), tokens(&[2, 2], &[4, 0, 2, 2])]);
    passes(CrossEntropy, &[real(&[3, 20], 0), tokens(&[3], &[19, 0, 7])]);
}

#[test]
fn softmax_and_mask_agree_with_finite_differences() {
    for shape in [&[1][..], &[2, 5], &[2, 3, 19]] {
        passes(Softmax, &[real(shape, 1)]);
        passes(LogSoftmax, &[real(shape, 1)]);
    }
    passes(CausalMask { first: 0 }, &[real(&[3, 3], 1)]);
    passes(CausalMask { first: 0 }, &[real(&[2, 2, 4, 4], 1)]);
    passes(CausalMask { first: 2 }, &[real(&[2, 1, 3], 1)]);
}

#[test]
fn norms_agree_with_finite_differences() {
    for shape in [&[2][..], &[3, 5], &[2, 2, 33]] {
        passes(Center, &[real(shape, 2)]);
        passes(RootMeanSquare { eps: 1e-5 }, &[real(shape, 2)]);
        passes(RootMeanSquare { eps: 0.5 }, &[real(shape, 2)]);
    }
}

/// Ops whose fields are private are made by the graph's method: one node recorded, then checked.
fn recorded(operands: &[Operand], record: impl Fn(&mut Graph, &[Value]) -> Result<Value, Error>) {
    let mut g = Graph::new();
    let x: Vec<Value> = operands
        .iter()
        .enumerate()
        .map(|(i, o)| match o {
            Operand::Real(t) | Operand::Fixed(t) => g.input(&format!("x{i}"), t.shape()),
            Operand::Index(s, _) => g.index_input(&format!("x{i}"), s),
        })
        .collect();
    let y = record(&mut g, &x).expect("the sample's shapes fit");
    let op = g.operation(y).expect("the method recorded an operation");
    gradcheck(op, operands).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn parts_joins_repeats_and_sums_agree_with_finite_differences() {
    recorded(&[real(&[4, 3], 0)], |g, x| g.slice(x[0], 0, 1, 2));
    recorded(&[real(&[2, 4, 3], 0)], |g, x| g.slice(x[0], 1, 3, 1));
    recorded(&[real(&[2, 4], 0)], |g, x| g.slice(x[0], 1, 0, 4));
    recorded(&reals(&[&[2, 3], &[2, 1], &[2, 4]]), |g, x| g.concat(x, 1));
    recorded(&reals(&[&[1, 3], &[2, 3]]), |g, x| g.concat(x, 0));
    recorded(&reals(&[&[2, 1, 2], &[2, 3, 2]]), |g, x| g.concat(x, 1));
    recorded(&[real(&[3], 0)], |g, x| g.repeat_to(x[0], &[2, 3]));
    recorded(&[real(&[2, 1, 3], 0)], |g, x| g.repeat_to(x[0], &[2, 4, 3]));
    recorded(&[real(&[2, 1], 0)], |g, x| g.repeat_to(x[0], &[3, 2, 5]));
    recorded(&[real(&[], 0)], |g, x| g.repeat_to(x[0], &[2, 2]));
    recorded(&[real(&[2, 3, 5], 0)], |g, x| g.sum(x[0]));
    recorded(&[real(&[], 0)], |g, x| g.sum(x[0]));
    for target in [
        &[1, 3, 5][..],
        &[2, 1, 5],
        &[2, 3, 1],
        &[1, 1, 5],
        &[2, 1, 1],
        &[1, 3, 1],
        &[1, 1, 1],
        &[3, 5],
        &[1, 5],
        &[5],
        &[1],
        &[],
    ] {
        recorded(&[real(&[2, 3, 5], 0)], |g, x| g.sum_to(x[0], target));
    }
}

#[test]
fn select_and_top_k_agree_with_finite_differences() {
    let mask = Tensor::from_fn(&[2, 3], |i| if i % 2 == 0 { -2.0 } else { 0.0 });
    passes(Select, &[Operand::Fixed(mask), real(&[2, 3], 0), real(&[2, 3], 1)]);
    for k in [0, 1, 3, 7] {
        passes(TopK { k }, &[real(&[3, 7], 4)]);
    }
}

#[test]
fn the_derivatives_of_a_whole_block_agree_with_finite_differences() {
    // Attention, a norm and a loss in one scalar: d loss / d w along a direction.
    let mut g = Graph::new();
    let x = g.input("x", &[2, 3, 4]);
    let w = g.parameter("w", &[4, 4]);
    let targets = g.index_input("t", &[2, 3]);
    let y = {
        let c = g.center(x).unwrap();
        let r = g.root_mean_square(c, 1e-5).unwrap();
        let n = g.div(c, r).unwrap();
        let q = g.einsum("bpd,de->bpe", n, w).unwrap();
        let s = g.einsum("bqd,bpd->bqp", q, n).unwrap();
        let s = g.causal_mask(s).unwrap();
        let p = g.softmax(s).unwrap();
        let z = g.einsum("bqp,bpd->bqd", p, q).unwrap();
        let z = g.add(z, x).unwrap();
        let l = g.cross_entropy(z, targets).unwrap();
        g.mean(l).unwrap()
    };
    let dw = g.gradient(y, &[w]).unwrap()[0];
    let t = g.input("dw", &[4, 4]);
    let pushed = g.jvp(y, &[(w, t)]).unwrap().unwrap();
    let value = |k: usize, n: usize| -> Vec<f64> {
        (0..n).map(|i| ((i * 7 + k * 5) % 11) as f64 / 7.0 - 0.7).collect()
    };
    let at = flyroom_tensor::Bindings64::default()
        .with("x", &value(0, 24))
        .with("w", &value(1, 16))
        .with("dw", &value(2, 16))
        .with_index("t", &[0, 3, 1, 2, 2, 0]);
    let out = flyroom_tensor::evaluate_f64(&g, &at, &[dw, pushed]).unwrap();
    let inner: f64 = out[0].iter().zip(value(2, 16)).map(|(a, b)| a * b).sum();
    let moved = |h: f64| {
        let w: Vec<f64> = value(1, 16).iter().zip(value(2, 16)).map(|(w, d)| w + h * d).collect();
        flyroom_tensor::evaluate_f64(&g, &at.clone().with("w", &w), &[y]).unwrap()[0][0]
    };
    let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
    assert!((inner - out[1][0]).abs() < 1e-12, "<dw, t> = {inner}, jvp = {}", out[1][0]);
    assert!((inner - numeric).abs() < 1e-8, "gradient {inner}, differences {numeric}");
}

#[test]
fn tangents_of_values_that_depend_on_each_other_are_added_as_cotangents_are() {
    // y = a b with a = 3 x, b = a + x: dy = b da + a db, where da moves b too.
    let mut g = Graph::new();
    let x = g.input("x", &[]);
    let a = g.scale(x, 3.0).unwrap();
    let b = g.add(a, x).unwrap();
    let y = g.mul(a, b).unwrap();
    let one = g.constant(Tensor::from_fn(&[], |_| 1.0));
    let ten = g.constant(Tensor::from_fn(&[], |_| 10.0));
    let pushed = g.jvp(y, &[(x, one), (a, ten), (b, ten)]).unwrap().unwrap();
    let pulled = g.vjp(y, one, &[x, a, b]).unwrap();
    let at = flyroom_tensor::Bindings64::default().with("x", &[2.0]);
    let out =
        flyroom_tensor::evaluate_f64(&g, &at, &[pushed, pulled[0], pulled[1], pulled[2]]).unwrap();
    // a = 6, b = 8; dy/da = b + a = 14, dy/db = 6, dy/dx = 3 * 14 + 6 = 48.
    assert_eq!(out, [[48.0 + 140.0 + 60.0], [48.0], [14.0], [6.0]]);
}

/// Ways to break a derivative.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Zeros,
    Omits(usize),
    Scaled,
    JvpScaled,
    JvpNothing,
}

#[derive(Debug, Clone)]
struct Broken<O>(O, Fault);

impl<O: Op> Kernel for Broken<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        self.0.shape(x)
    }
    fn index_operands(&self) -> &'static [usize] {
        self.0.index_operands()
    }
    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        self.0.run(cx, x, y);
    }
    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        self.0.reference(x, y);
    }
}

impl<O: Op> Op for Broken<O> {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        let mut out = self.0.vjp(g, at, dy, wanted)?;
        for (i, d) in out.iter_mut().enumerate() {
            let Some(right) = *d else { continue };
            *d = match self.1 {
                Fault::Zeros => Some(g.constant(Tensor::zeros(g.shape(right)))),
                Fault::Omits(operand) if operand == i => None,
                Fault::Scaled => Some(g.scale(right, 0.99)?),
                _ => Some(right),
            };
        }
        Ok(out)
    }
    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        let right = self.0.jvp(g, at, dx)?;
        match (self.1, right) {
            (Fault::JvpNothing, _) => Ok(None),
            (Fault::JvpScaled, Some(d)) => g.scale(d, 0.99).map(Some),
            _ => Ok(right),
        }
    }
}

#[test]
fn a_broken_derivative_is_caught_and_the_message_names_operation_operand_and_index() {
    let cases = [
        (Fault::Zeros, "mul: vjp of operand 0 in f64 at flat index 0 is 0e0"),
        (Fault::Omits(0), "mul: vjp of operand 0 in f64 at flat index 0"),
        (Fault::Omits(1), "mul: vjp of operand 1 in f64 at flat index 0"),
        (Fault::Scaled, "mul: vjp of operand 0 in f64 at flat index 0"),
        (Fault::JvpScaled, "mul: jvp of operand 0 in f64 at flat index 0"),
        (Fault::JvpNothing, "mul: jvp of operand 0 in f64 at flat index 0"),
    ];
    for (fault, words) in cases {
        let error = gradcheck(Broken(Binary::Mul, fault), &reals(&[&[2, 3], &[3]]));
        let text = error.expect_err("the fault was not seen").to_string();
        assert!(text.starts_with(words), "{fault:?}: {text}");
        assert!(text.contains("a central difference gives"), "{fault:?}: {text}");
    }
    // The same wrapper without effect passes: it is the fault that is caught.
    passes(Broken(Binary::Mul, Fault::Omits(7)), &reals(&[&[2, 3], &[3]]));
}

#[test]
fn every_fault_is_caught_in_every_family() {
    type Check = Box<dyn Fn(Fault) -> Result<(), flyroom_tensor::gradcheck::Failure>>;
    let ops: Vec<(Check, usize)> = vec![
        (
            Box::new(|f| {
                let e = Einsum::new("bi,io->bo", &[2, 3], &[3, 4]).unwrap();
                gradcheck(Broken(e, f), &reals(&[&[2, 3], &[3, 4]]))
            }),
            2,
        ),
        (Box::new(|f| gradcheck(Broken(Unary::Gelu, f), &reals(&[&[5]]))), 1),
        (Box::new(|f| gradcheck(Broken(Softmax, f), &reals(&[&[2, 4]]))), 1),
        (
            Box::new(|f| {
                let t = Operand::Index(vec![2], vec![1, 0]);
                gradcheck(Broken(CrossEntropy, f), &[real(&[2, 4], 0), t])
            }),
            1,
        ),
        (Box::new(|f| gradcheck(Broken(RootMeanSquare { eps: 1e-5 }, f), &reals(&[&[2, 4]]))), 1),
        (Box::new(|f| gradcheck(Broken(TopK { k: 2 }, f), &reals(&[&[2, 4]]))), 1),
    ];
    for (check, operands) in &ops {
        for f in [Fault::Zeros, Fault::Scaled, Fault::JvpScaled, Fault::JvpNothing] {
            check(f).expect_err("the fault was not seen");
        }
        (0..*operands).for_each(|i| {
            check(Fault::Omits(i)).expect_err("the omission was not seen");
        });
    }
}
