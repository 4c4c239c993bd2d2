//! Every operation and every gradient of it, at odd shapes (0, 1, primes; small and large enough to be
//! divided), has equal bits with all kernels and with 1, 2, 3 and 7 threads, and is what it is in f64.
//! That kernels have the bits of their definition is tested beside them.

use crate::UNARY;
use flyroom_tensor::random::Stream;
use flyroom_tensor::{
    Bindings, Bindings64, Context, Error, Graph, Kernels, Program, Tensor, Value, evaluate_f64,
};

/// Lengths of three axes.
const SHAPES: [[usize; 3]; 7] =
    [[0, 3, 5], [3, 0, 5], [3, 5, 0], [1, 1, 1], [2, 7, 13], [1, 1, 40_009], [7, 61, 131]];

fn contexts() -> Vec<Context> {
    let all = Kernels::all_available();
    all.into_iter().flat_map(|k| [1, 2, 3, 7].map(|threads| Context::new(k, threads))).collect()
}

/// A few roundings of 2^-24 in sums of up to 40,000 terms, relative to the largest value.
const CLOSE: f64 = 3e-5;

/// What an operand is.
enum Operand {
    Real(Vec<usize>),
    /// Indices below a limit.
    Index(Vec<usize>, usize),
}
use Operand::{Index, Real};

struct Leaf {
    shape: Vec<usize>,
    real: Vec<f32>,
    index: Vec<u32>,
}

fn leaf(operand: &Operand, i: usize) -> Leaf {
    let mut draw = Stream::new(i as u64, "operand").block(0);
    match operand {
        Real(shape) => {
            let mut real = vec![0.0; shape.iter().product()];
            draw.fill_normal(&mut real, 1.0);
            // Away from 0, where quotients and maxima jump.
            real.iter_mut().for_each(|x| *x += 0.25f32.copysign(*x));
            Leaf { shape: shape.clone(), real, index: vec![] }
        }
        Index(shape, limit) => {
            let n = shape.iter().product();
            let index = (0..n).map(|_| draw.below(*limit as u64) as u32).collect();
            Leaf { shape: shape.clone(), real: vec![], index }
        }
    }
}

type Record<'a> = &'a dyn Fn(&mut Graph, &[Value]) -> Result<Value, Error>;

/// Records with `record`, multiplies the result with fixed values to a scalar, takes the gradients, and
/// holds all of them against each other and against f64.
#[track_caller]
fn holds(name: &str, operands: &[Operand], record: Record) {
    let leaves: Vec<Leaf> = operands.iter().enumerate().map(|(i, o)| leaf(o, i)).collect();
    let names: Vec<String> = (0..leaves.len()).map(|i| format!("x{i}")).collect();
    let mut g = Graph::new();
    let x: Vec<Value> = names
        .iter()
        .zip(operands)
        .map(|(name, o)| match o {
            Real(shape) => g.parameter(name, shape),
            Index(shape, _) => g.index_input(name, shape),
        })
        .collect();
    let said = format!("{name} {:?}", leaves.iter().map(|l| &l.shape).collect::<Vec<_>>());
    let y = record(&mut g, &x).unwrap_or_else(|e| panic!("{said}: {e}"));
    let weights = leaf(&Real(g.shape(y).to_vec()), 99);
    let weights = g.constant(Tensor::new(&weights.shape, weights.real).unwrap());
    let product = g.mul(y, weights).unwrap();
    let scalar = g.sum(product).unwrap();
    let wanted: Vec<Value> =
        x.iter().zip(operands).filter(|(_, o)| matches!(o, Real(_))).map(|(x, _)| *x).collect();
    let mut outputs = vec![y];
    outputs.extend(g.gradient(scalar, &wanted).unwrap_or_else(|e| panic!("{said}: {e}")));

    let (mut bindings, mut bindings64) = (Bindings::new(), Bindings64::default());
    for ((name, leaf), operand) in names.iter().zip(&leaves).zip(operands) {
        if let Index(..) = operand {
            bindings.bind_index(name, &leaf.index);
            bindings64 = bindings64.with_index(name, &leaf.index);
        } else {
            bindings.bind(name, &leaf.real);
            let wide: Vec<f64> = leaf.real.iter().map(|&x| x.into()).collect();
            bindings64 = bindings64.with(name, &wide);
        }
    }
    let mut program = Program::compile(&g, &outputs).unwrap();
    let mut run = |cx: &Context| -> Vec<Vec<f32>> {
        program.run(cx, &bindings).unwrap_or_else(|e| panic!("{said}: {e}"));
        (0..outputs.len()).map(|i| program.output(i).to_vec()).collect()
    };
    let bits = |all: &[Vec<f32>]| -> Vec<Vec<u32>> {
        all.iter().map(|x| x.iter().map(|x| x.to_bits()).collect()).collect()
    };
    let first = run(&Context::new(Kernels::Portable, 1));
    for cx in contexts() {
        assert!(bits(&run(&cx)) == bits(&first), "{said}: {cx:?} differs from portable");
    }
    for (i, wide) in evaluate_f64(&g, &bindings64, &outputs).unwrap().iter().enumerate() {
        let size = wide.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
        for (x, wide) in first[i].iter().zip(wide) {
            let equal = f64::from(*x) == *wide;
            assert!(equal || (f64::from(*x) - wide).abs() <= CLOSE * size, "{said}: {x} {wide}");
        }
    }
}

#[test]
fn arithmetic_has_equal_bits_under_every_kind_of_broadcasting() {
    for [a, b, c] in SHAPES {
        let others: [&[usize]; 9] =
            [&[a, b, c], &[b, c], &[c], &[1], &[], &[a, b, 1], &[a, 1, 1], &[a, 1, c], &[b, 1]];
        for other in others {
            let operands = [Real(vec![a, b, c]), Real(other.to_vec())];
            holds("add", &operands, &|g, x| g.add(x[0], x[1]));
            holds("sub", &operands, &|g, x| g.sub(x[1], x[0]));
            holds("mul", &operands, &|g, x| g.mul(x[1], x[0]));
            holds("div", &operands, &|g, x| g.div(x[0], x[1]));
        }
        let operands = [Real(vec![a, 1, c]), Real(vec![b, 1])];
        holds("both repeat", &operands, &|g, x| g.mul(x[0], x[1]));
    }
}

#[test]
fn functions_of_one_element_have_equal_bits() {
    for shape in SHAPES {
        for f in UNARY {
            holds(&format!("{f:?}"), &[Real(shape.to_vec())], &|g, x| g.unary(f, x[0]));
        }
    }
}

#[test]
fn products_have_equal_bits_with_their_gradients() {
    for [a, b, c] in SHAPES {
        // A product of the longest row with itself would be of 40,009^2 elements.
        let d = if c > 1000 { 2 } else { 17 };
        let cases: [(&str, Vec<usize>, Vec<usize>); 6] = [
            ("abc,cd->abd", vec![a, b, c], vec![c, d]),
            ("abc,dc->abd", vec![a, b, c], vec![d, c]),
            ("abc,abd->adc", vec![a, b, c], vec![a, b, d]),
            ("abc,bcd->abd", vec![a, b, c], vec![b, c, d]),
            ("abc,bcd->ad", vec![a, b, c], vec![b, c, d]),
            ("abc,abc->ab", vec![a, b, c], vec![a, b, c]),
        ];
        for (formula, x, y) in cases {
            holds(formula, &[Real(x), Real(y)], &|g, x| g.einsum(formula, x[0], x[1]));
        }
    }
}

#[test]
fn softmax_masks_norms_and_losses_have_equal_bits() {
    for [a, b, c] in SHAPES {
        let x = || Real(vec![a, b, c]);
        holds("softmax", &[x()], &|g, x| g.softmax(x[0]));
        holds("log softmax", &[x()], &|g, x| g.log_softmax(x[0]));
        holds("center", &[x()], &|g, x| g.center(x[0]));
        if c > 0 {
            holds("rms", &[x()], &|g, x| g.root_mean_square(x[0], 1e-5));
            let operands = [x(), Index(vec![a, b], c)];
            holds("cross entropy", &operands, &|g, x| g.cross_entropy(x[0], x[1]));
        }
        let square = [Real(vec![a, c.min(131), c.min(131)])];
        holds("mask", &square, &|g, x| {
            let y = g.causal_mask(x[0])?;
            g.softmax(y)
        });
        for k in [0, c.min(1), c / 3, c] {
            holds("top k", &[x()], &|g, x| g.top_k(x[0], k));
        }
    }
}

#[test]
fn sums_parts_joins_and_tables_have_equal_bits() {
    for [a, b, c] in SHAPES {
        let x = || Real(vec![a, b, c]);
        holds("sum", &[x()], &|g, x| g.sum(x[0]));
        for target in [
            &[a, b, 1][..],
            &[a, 1, c],
            &[1, b, c],
            &[a, 1, 1],
            &[1, b, 1],
            &[1, 1, c],
            &[1, 1, 1],
            &[b, c],
            &[c],
            &[],
        ] {
            holds("sum to", &[x()], &|g, x| g.sum_to(x[0], target));
        }
        for (axis, n) in [a, b, c].into_iter().enumerate() {
            holds("slice", &[x()], &|g, x| g.slice(x[0], axis, n / 3, n - n / 3));
            holds("concat", &[x(), x()], &|g, x| g.concat(x, axis));
        }
        holds("repeat", &[Real(vec![b, 1])], &|g, x| g.repeat_to(x[0], &[a, b, c]));
        holds("repeat", &[Real(vec![a, 1, c])], &|g, x| g.repeat_to(x[0], &[a, b, c]));
        if b > 0 {
            let operands = [Real(vec![b, c]), Index(vec![a, 5], b)];
            holds("gather", &operands, &|g, x| g.gather(x[0], x[1]));
        }
        let operands = [x(), x(), x()];
        holds("select", &operands, &|g, x| {
            let mask = g.relu(x[0])?;
            g.select(mask, x[1], x[2])
        });
    }
}
