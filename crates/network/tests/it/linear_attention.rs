//! Attention without a softmax, and inputs that are sequences of vectors.

use crate::common::{bits, gradients_are_finite_differences, inputs, network, plain};
use flyroom_network::*;
use flyroom_tensor::{Bindings64, Context, Graph};

fn linear() -> TransformerConfig {
    TransformerConfig { pattern: Pattern::Linear, causal: false, ..plain() }
}

/// Sequences of three vectors of seven numbers, `[input, pos, width]`.
fn vectors(inputs: usize) -> Vec<f32> {
    (0..inputs * 21).map(|i| ((i * i * 7 + 3 * i) % 31) as f32 / 16.0 - 1.0).collect()
}

#[test]
fn a_token_is_the_vector_with_a_one_at_its_id() {
    let tokens = inputs();
    let ids: Vec<u32> = (0..6).flat_map(|i| tokens.token_row(i).to_vec()).collect();
    let one_hot: Vec<f32> =
        ids.iter().flat_map(|&t| (0..7).map(move |j| f32::from(u8::from(t == j)))).collect();
    let one_hot = Inputs::sequences(5, 7, one_hot).unwrap();
    assert_eq!((one_hot.len(), one_hot.pos(), one_hot.vector_row(2).len()), (6, 5, 35));
    assert_eq!(one_hot.vector_row_len(), None);
    let cx = Context::single();
    for c in [plain(), linear()] {
        let reads = network(Architecture::Transformer(c.clone()));
        let takes = Architecture::Transformer(TransformerConfig { vectors: true, ..c });
        let takes = Network::new(takes, reads.weights().clone()).unwrap();
        let (a, b) = (
            Runner::new(&reads, &tokens, &cx).unwrap().logits().unwrap(),
            Runner::new(&takes, &one_hot, &cx).unwrap().logits().unwrap(),
        );
        assert_eq!(bits(a.data()), bits(b.data()));
    }
}

#[test]
fn a_linear_pattern_is_the_scores_and_a_softmax_is_not() {
    let tokens = inputs();
    for (c, same) in [(linear(), true), (plain(), false)] {
        let net = network(Architecture::Transformer(c));
        let runner = Runner::new(&net, &tokens, &Context::single()).unwrap();
        let at = |hook: &str| runner.clean(&format!("blocks.1.attn.{hook}")).unwrap();
        let (scores, pattern) = (at("hook_attn_scores"), at("hook_pattern"));
        assert_eq!(bits(scores.data()) == bits(pattern.data()), same);
    }
}

#[test]
fn gradients_of_linear_attention_on_vectors_are_those_of_finite_differences() {
    let c = TransformerConfig { vectors: true, positions: Positions::None, ..linear() };
    let net = network(Architecture::Transformer(c));
    let mut g = Graph::new();
    let logits = record(&mut g, net.architecture(), 2, 3, Form::Plain).unwrap();
    let input = vectors(2).into_iter().map(f64::from).collect();
    let real = [("input", input)];
    gradients_are_finite_differences(g, logits, &net, &real, Bindings64::default());
}

#[test]
fn inputs_of_another_kind_or_size_are_refused() {
    let cx = Context::single();
    let c = TransformerConfig { vectors: true, ..linear() };
    let takes = network(Architecture::Transformer(c.clone()));
    let reads = network(Architecture::Transformer(linear()));
    let why = |net: &Network, inputs: &Inputs| {
        Runner::new(net, inputs, &cx).map(drop).unwrap_err().to_string()
    };
    let three = Inputs::sequences(3, 7, vectors(2)).unwrap();
    assert!(Runner::new(&takes, &three, &cx).is_ok());
    assert!(why(&reads, &three).contains("takes tokens"));
    assert!(why(&takes, &inputs()).contains("takes vectors"));
    let wide = Inputs::sequences(1, 21, vectors(2)).unwrap();
    assert!(why(&takes, &wide).contains("1 vectors of 21"));
    let long = Inputs::sequences(c.n_ctx + 1, 7, vec![0.0; 7 * (c.n_ctx + 1)]).unwrap();
    assert!(why(&takes, &long).contains("in a context of"));
    // Vectors alone are not sequences of them.
    let mlp = MlpConfig {
        d_in: 7,
        d_hidden: vec![2],
        d_out: 1,
        act_fn: Activation::Relu,
        bias: true,
        residual: false,
    };
    assert!(why(&network(Architecture::Mlp(mlp)), &three).contains("3 vectors of 7"));
    assert!(Inputs::sequences(0, 7, vec![]).is_err());
    assert!(Inputs::sequences(usize::MAX, 2, vec![0.0; 4]).is_err());
}
