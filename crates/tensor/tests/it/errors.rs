//! What a caller can get wrong is an error that says what; nothing panics.

use flyroom_tensor::{
    Bindings, Bindings64, Context, Error, Graph, Program, Tensor, Value, evaluate_f64,
};

fn linear() -> (Graph, Value) {
    let mut g = Graph::new();
    let x = g.input("x", &[2, 3]);
    let w = g.parameter("w", &[3, 2]);
    let y = g.einsum("bi,io->bo", x, w).unwrap();
    (g, y)
}

fn lookup() -> (Graph, Value, Value) {
    let mut g = Graph::new();
    let table = g.parameter("table", &[4, 2]);
    let t = g.index_input("t", &[3]);
    let y = g.gather(table, t).unwrap();
    let s = g.sum(y).unwrap();
    let d = g.gradient(s, &[table]).unwrap()[0];
    (g, y, d)
}

#[test]
fn leaves_that_are_unbound_or_of_the_wrong_length_or_kind_are_named() {
    let (g, y) = linear();
    let mut program = Program::compile(&g, &[y]).unwrap();
    let cx = Context::single();
    let error = program.run(&cx, &Bindings::new().with("x", &[0.0; 6])).unwrap_err();
    assert_eq!(error.to_string(), "nothing is bound to 'w'");
    let short = Bindings::new().with("x", &[0.0; 6]).with("w", &[0.0; 5]);
    let error = program.run(&cx, &short).unwrap_err();
    assert_eq!(error.to_string(), "'w' wants 6 reals, got 5 reals");
    let kind = Bindings::new().with("x", &[0.0; 6]).with_index("w", &[0; 6]);
    let error = program.run(&cx, &kind).unwrap_err();
    assert_eq!(error.to_string(), "'w' wants 6 reals, got 6 indices");
    // The program is whole after errors.
    let good = Bindings::new().with("x", &[1.0; 6]).with("w", &[1.0; 6]);
    program.run(&cx, &good).unwrap();
    assert_eq!(program.output(0), [3.0; 4]);

    let error = evaluate_f64(&g, &Bindings64::default().with("x", &[0.0; 6]), &[y]).unwrap_err();
    assert_eq!(error, Error::Unbound("w".into()));
    let short = Bindings64::default().with("x", &[0.0; 6]).with("w", &[0.0; 5]);
    assert!(
        matches!(evaluate_f64(&g, &short, &[y]), Err(Error::Binding { name, .. }) if name == "w")
    );
}

#[test]
fn an_index_outside_its_table_is_an_error_in_forward_and_backward_alone() {
    let (g, y, d) = lookup();
    for out in [vec![y], vec![d], vec![y, d]] {
        let mut program = Program::compile(&g, &out).unwrap();
        let bad = Bindings::new().with("table", &[0.0; 8]).with_index("t", &[0, 4, 1]);
        let error = program.run(&Context::single(), &bad).unwrap_err();
        assert_eq!(error, Error::Index { name: "t".into(), index: 4, size: 4 });
    }
    let mut g = Graph::new();
    let logits = g.input("logits", &[2, 3]);
    let targets = g.index_input("targets", &[2]);
    let loss = g.cross_entropy(logits, targets).unwrap();
    let loss = g.sum(loss).unwrap();
    let d = g.gradient(loss, &[logits]).unwrap()[0];
    for out in [loss, d] {
        let mut program = Program::compile(&g, &[out]).unwrap();
        let bad = Bindings::new().with("logits", &[0.0; 6]).with_index("targets", &[2, 3]);
        let error = program.run(&Context::single(), &bad).unwrap_err();
        assert_eq!(error, Error::Index { name: "targets".into(), index: 3, size: 3 });
        let bad = Bindings64::default().with("logits", &[0.0; 6]).with_index("targets", &[2, 3]);
        assert!(matches!(evaluate_f64(&g, &bad, &[out]), Err(Error::Index { index: 3, .. })));
    }
}

#[test]
fn formulas_that_cannot_be_read_are_errors_with_the_reason() {
    let cases = [
        ("ab,bc", "no '->'"),
        ("ab->ab", "two operands wanted"),
        ("ab,bc->ad", "'d' is in no operand"),
        ("ab,bc->a", "'c' would be summed alone"),
        ("aa,ab->ab", "a letter twice"),
        ("ab,bc->aca", "a letter twice"),
        ("abc,bc->a", "operands have 2 and 2 axes"),
        ("ab, bc->ac", "operands have 2 and 2 axes"),
        ("ab,bc,cd->ad", "operands have 2 and 2 axes"),
        ("", "no '->'"),
    ];
    for (formula, why) in cases {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", &[2, 2]), g.input("b", &[2, 2]));
        let error = g.einsum(formula, a, b).unwrap_err().to_string();
        assert!(error.contains(why), "'{formula}': {error}");
    }
    let mut g = Graph::new();
    let (a, b) = (g.input("a", &[2, 3]), g.input("b", &[4, 2]));
    let error = g.einsum("ab,bc->ac", a, b).unwrap_err().to_string();
    assert!(error.contains("axis 'b' is 3 and 4"), "{error}");
}

#[test]
fn shapes_that_do_not_fit_are_errors_that_name_the_operation() {
    let mut g = Graph::new();
    let a = g.input("a", &[2, 3]);
    let b = g.input("b", &[4, 3]);
    let s = g.input("s", &[]);
    let t = g.index_input("t", &[2]);
    let errors = [
        (g.add(a, b), "add"),
        (g.add(a, t), "add"),
        (g.gather(s, t), "gather"),
        (g.gather(t, t), "gather"),
        (g.cross_entropy(b, t), "cross_entropy"),
        (g.slice(a, 1, 2, 2), "slice"),
        (g.slice(a, 1, usize::MAX, 2), "slice"),
        (g.slice(a, 2, 0, 1), "slice"),
        (g.concat(&[a, b], 1), "concat"),
        (g.concat(&[], 0), "concat"),
        (g.concat(&[a], 2), "concat"),
        (g.repeat_to(a, &[2, 4]), "expand"),
        (g.repeat_to(a, &[3]), "expand"),
        (g.sum_to(a, &[2, 2]), "sum_to"),
        (g.sum_to(a, &[1, 2, 3]), "sum_to"),
        (g.top_k(a, 4), "top_k"),
        (g.top_k(s, 1), "top_k"),
        (g.root_mean_square(s, 1e-5), "root_mean_square"),
        (g.causal_mask(a), "causal_mask"),
        (g.causal_mask(s), "causal_mask"),
        (g.select(a, a, b), "select"),
        (g.reshape(a, &[5]), "reshape"),
    ];
    for (error, op) in errors {
        let error = error.expect_err(op).to_string();
        assert!(error.starts_with(&format!("{op}: shapes")), "{op}: {error}");
    }
    let made = flyroom_tensor::ops::Einsum::new("ij,jk->ik", &[2, 3], &[3, 2]).unwrap();
    let error = g.apply(made, &[a, b]).unwrap_err().to_string();
    assert!(error.contains("it was made for"), "{error}");
    assert!(g.at("nowhere").is_err());
    assert!(g.gradient(a, &[b]).is_err());
    assert!(Program::compile(&g, &[t]).is_err(), "an index is no output");
    assert!(Tensor::new(&[2, 2], vec![0.0; 3]).is_err());
}

#[test]
fn a_second_derivative_is_an_error_and_never_zeros() {
    let mut g = Graph::new();
    let x = g.input("x", &[3]);
    let y = g.relu(x).unwrap();
    let y = g.mul(y, y).unwrap();
    let s = g.sum(y).unwrap();
    let d = g.gradient(s, &[x]).unwrap()[0];
    let n = g.sum(d).unwrap();
    assert_eq!(
        g.gradient(n, &[x]).unwrap_err().to_string().split(':').nth(1),
        Some(" second derivatives are out of scope")
    );
    let t = g.input("t", &[3]);
    assert!(matches!(g.jvp(n, &[(x, t)]), Err(Error::SecondDerivative(_))));
}

#[test]
fn joining_graphs_whose_leaves_disagree_is_an_error() {
    let (mut g, _) = linear();
    let mut other = Graph::new();
    let x = other.input("x", &[3, 2]);
    other.scale(x, 2.0).unwrap();
    let error = g.join(&other, "b.").unwrap_err().to_string();
    assert!(error.contains("leaf 'x'"), "{error}");
    let mut third = Graph::new();
    third.index_input("x", &[2, 3]);
    assert!(g.join(&third, "c.").is_err());
}

#[test]
fn an_edit_of_another_shape_or_kind_is_an_error_that_names_the_site() {
    let mut g = Graph::new();
    let x = g.input("x", &[2]);
    g.site("here", x);
    let error = g.edited(&mut |g, _, v| g.repeat_to(v, &[2, 2]).map(Some)).unwrap_err().to_string();
    assert!(error.contains("'here'"), "{error}");
    assert!(g.edited(&mut |g, _, _| Ok(Some(g.index_input("t", &[2])))).is_err());
}

#[test]
fn what_is_not_a_number_goes_through_top_k_without_a_panic() {
    let mut g = Graph::new();
    let x = g.input("x", &[64]);
    let y = g.top_k(x, 5).unwrap();
    let mut program = Program::compile(&g, &[y]).unwrap();
    let data: Vec<f32> =
        (0..64).map(|i| if i % 3 == 0 { f32::NAN } else { (i * 37 % 64) as f32 }).collect();
    program.run(&Context::single(), &Bindings::new().with("x", &data)).unwrap();
    let mut wanted: Vec<f32> = data.iter().copied().filter(|x| !x.is_nan()).collect();
    wanted.sort_by(f32::total_cmp);
    let mut kept: Vec<f32> = program.output(0).iter().copied().filter(|&x| x != 0.0).collect();
    kept.sort_by(f32::total_cmp);
    assert_eq!(kept, wanted[wanted.len() - 5..]);
}

#[test]
fn arrays_without_elements_are_computed() {
    let mut g = Graph::new();
    let x = g.input("x", &[0, 3]);
    let z = g.input("z", &[3, 0]);
    let w = g.input("w", &[3, 2]);
    let outs = [
        g.einsum("bi,io->bo", x, w),
        g.einsum("ij,ik->jk", z, w),
        g.softmax(x),
        g.softmax(z),
        g.log_softmax(z),
        g.center(z),
        g.sum_to(z, &[3, 1]),
        g.sum(x),
        g.add(z, z),
        g.repeat_to(z, &[2, 3, 0]),
        g.slice(w, 0, 1, 0),
        g.top_k(z, 0),
        g.concat(&[z, w], 1),
    ]
    .into_iter()
    .collect::<Result<Vec<_>, _>>()
    .unwrap();
    let mut program = Program::compile(&g, &outs).unwrap();
    let data = Bindings::new().with("x", &[]).with("z", &[]).with("w", &[1.0; 6]);
    program.run(&Context::single(), &data).unwrap();
    assert_eq!(program.output(6), [0.0; 3]);
    let wide = Bindings64::default().with("x", &[]).with("z", &[]).with("w", &[1.0; 6]);
    let reference = evaluate_f64(&g, &wide, &outs).unwrap();
    for (i, r) in reference.iter().enumerate() {
        assert_eq!(r.len(), program.output(i).len());
    }
}
