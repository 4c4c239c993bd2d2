//! The graph, its operations, derivatives and compiler.

mod bits;
mod derivatives;
mod errors;
mod graphs;

/// Every function of one element.
const UNARY: [flyroom_tensor::ops::Unary; 10] = {
    use flyroom_tensor::ops::Unary;
    [
        Unary::Relu,
        Unary::Gelu,
        Unary::GeluErf,
        Unary::Silu,
        Unary::Sigmoid,
        Unary::Square,
        Unary::Exp,
        Unary::Tanh,
        Unary::Scale(-0.7),
        Unary::Shift(0.3),
    ]
};
