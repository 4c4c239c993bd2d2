//! Small networks with weights from a fixed formula.

use flyroom_network::*;
use flyroom_tensor::{Bindings64, Graph, Tensor, Value, evaluate_f64};

/// Weights in -0.8..0.8 that look random: a multiplicative hash of name and index.
pub fn network(architecture: Architecture) -> Network {
    let weights = Network::parameters(&architecture)
        .unwrap()
        .into_iter()
        .map(|(name, shape)| {
            let seed = name.bytes().fold(17u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
            let t = Tensor::from_fn(&shape, |i| {
                let h = (seed ^ i as u32).wrapping_mul(0x9e37_79b1);
                let h = (h ^ h >> 15).wrapping_mul(0x85eb_ca77);
                (h >> 8) as f32 / (1 << 23) as f32 * 0.8 - 0.8
            });
            (name, t)
        })
        .collect();
    Network::new(architecture, weights).unwrap()
}

/// Two layers, two heads, 5 tokens of 7.
pub fn plain() -> TransformerConfig {
    TransformerConfig { d_mlp: 10, ..TransformerConfig::plain(2, 8, 2, 7, 5) }
}

/// One of every kind.
pub fn kinds() -> Vec<TransformerConfig> {
    let p = plain();
    vec![
        p.clone(),
        TransformerConfig {
            norm: Norm::LayerNorm,
            act_fn: Activation::Gelu,
            attn_bias: true,
            ..p.clone()
        },
        TransformerConfig {
            norm: Norm::RmsNorm,
            n_heads: 4,
            n_kv_heads: 2,
            unembed_bias: true,
            ..p.clone()
        },
        TransformerConfig {
            n_heads: 3,
            n_kv_heads: 1,
            d_mlp: 0,
            positions: Positions::None,
            ..p.clone()
        },
        TransformerConfig {
            attention_share: 0.3,
            causal: false,
            act_fn: Activation::Square,
            ..p.clone()
        },
        TransformerConfig { pattern: Pattern::Linear, causal: false, ..p.clone() },
        // Llama's form.
        TransformerConfig {
            norm: Norm::RmsNorm,
            act_fn: Activation::Silu,
            n_heads: 4,
            n_kv_heads: 2,
            gated_mlp: true,
            mlp_bias: false,
            qkv_bias: true,
            eps: 1e-6,
            positions: Positions::Rotary(Rotary { base: 1e4, dim: 4, pairs: Pairs::Halves }),
            ..p.clone()
        },
        // GPT-NeoX's form.
        TransformerConfig {
            norm: Norm::LayerNorm,
            act_fn: Activation::GeluErf,
            attn_bias: true,
            parallel_attn_mlp: true,
            positions: Positions::Rotary(Rotary { base: 1e4, dim: 2, pairs: Pairs::Adjacent }),
            ..p
        },
    ]
}

pub fn inputs() -> Inputs {
    let row = |k: u32| (0..5).map(|p| (k * 5 + p * p + k * p) % 7).collect();
    Inputs::tokens(&(0..6).map(row).collect::<Vec<_>>()).unwrap()
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[track_caller]
pub fn close(got: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: [{i}] is {g}, wanted {w}");
    }
}

/// The folder of a fixture; without it a test says that it is skipped, and fails where CI=true.
pub fn fixture(folder: &str) -> Option<std::path::PathBuf> {
    match std::env::var_os("FLYROOM_FIXTURES") {
        Some(root) => Some(std::path::PathBuf::from(root).join(folder)),
        None => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "FLYROOM_FIXTURES is not set, and CI skips no test"
            );
            eprintln!("SKIPPED: a test of fixtures/{folder}, because FLYROOM_FIXTURES is not set");
            None
        }
    }
}

/// A file recorded by a script of `benchmarks/oracles`.
pub fn recorded(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// The gradient of the sum of squared logits with every weight and with the leaves of `real` is that of
/// central differences in f64: h^2 = 1e-10, and rounding of 1e-16 / 1e-5.
pub fn gradients_are_finite_differences(
    mut g: Graph,
    logits: Value,
    network: &Network,
    real: &[(&str, Vec<f64>)],
    bindings: Bindings64,
) {
    let square = g.mul(logits, logits).unwrap();
    let loss = g.sum(square).unwrap();
    let weight = |(n, t): (&String, &Tensor)| {
        (n.clone(), t.data().iter().map(|&x| f64::from(x)).collect::<Vec<_>>())
    };
    let mut leaves: Vec<(String, Vec<f64>)> = network.weights().iter().map(weight).collect();
    leaves.extend(real.iter().map(|(n, x)| (n.to_string(), x.clone())));
    let leaf = |name: &str| g.leaves().find(|(n, _)| *n == name).map(|(_, v)| v).unwrap();
    let wrt: Vec<_> = leaves.iter().map(|(n, _)| leaf(n)).collect();
    let gradients = g.gradient(loss, &wrt).unwrap();
    let bound = |leaves: &[(String, Vec<f64>)]| {
        leaves.iter().fold(bindings.clone(), |b, (n, x)| b.with(n, x))
    };
    let found = evaluate_f64(&g, &bound(&leaves), &gradients).unwrap();
    let at =
        |leaves: &[(String, Vec<f64>)]| evaluate_f64(&g, &bound(leaves), &[loss]).unwrap()[0][0];
    for (leaf, gradient) in found.iter().enumerate() {
        for i in (0..gradient.len()).step_by(5) {
            let mut moved = leaves.clone();
            moved[leaf].1[i] += 1e-5;
            let above = at(&moved);
            moved[leaf].1[i] -= 2e-5;
            let wanted = (above - at(&moved)) / 2e-5;
            let off = (gradient[i] - wanted).abs();
            assert!(off < 1e-6 * wanted.abs().max(1.0), "{}[{i}]: {wanted}", leaves[leaf].0);
        }
    }
}
