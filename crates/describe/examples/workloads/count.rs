//! One thing at a time, once or several times, for a count of instructions: benchmarks/instructions.py.
//!
//! Sizes are small and values are fixed, so that a run under an emulator takes a second and counts the
//! same every time. Once more than once is what one time takes.

use crate::training::{Outcome, Workload, addition, previous};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::kernels::product::Product;
use flyroom_tensor::kernels::sparse::combine;
use flyroom_tensor::kernels::{elementwise, norm, reduce, softmax};
use flyroom_tensor::{Context, Kernels};

/// What can be counted.
pub const NAMES: [&str; 14] = [
    "product 128x768x512",
    "product 720x128x512",
    "product 384x128x128",
    "softmax",
    "cross entropy",
    "center",
    "root mean square",
    "adamw",
    "add",
    "gelu",
    "sum of rows",
    "sparse decode",
    "step of W1",
    "step of W2",
];

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37) % 101) as f32 / 101.0 - 0.5).collect()
}

/// Row-major a `[m, k]` times b `[k, n]`.
fn product(m: usize, k: usize, n: usize, times: usize, cx: &Context) {
    let product = Product::new(
        vec![[0, 0, 0]],
        (0..m).map(|i| [i * k, i * n]).collect(),
        (0..n).map(|i| [i, i]).collect(),
        (0..k).map(|i| [i, i * n]).collect(),
    );
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0; m * n]);
    (0..times).for_each(|_| product.run(cx, &a, &b, &mut c));
}

fn steps(workload: &Workload, times: usize, cx: &Context) -> Outcome<()> {
    // The first step makes what later ones use.
    workload.run(workload.init(0)?, 2 + times, cx, &|| {})?;
    Ok(())
}

/// Runs what is called so, so many times, on one thread with AVX2.
pub fn run(name: &str, times: usize) -> Outcome<()> {
    let cx = &Context::new("avx2".parse::<Kernels>()?, 1);
    let (rows, cols) = (512, 113);
    let (x, mut y, mut row) = (values(rows * cols), vec![0.0; rows * cols], vec![0.0; rows]);
    let targets: Vec<u32> = (0..rows as u32).map(|i| i % cols as u32).collect();
    let (mut m, mut v) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
    let (table, mut out) = (values(1024 * 512), vec![0.0; 512]);
    let active: Vec<u32> = (0..32).map(|i| i * 31).collect();
    match name {
        "product 128x768x512" => product(128, 768, 512, times, cx),
        "product 720x128x512" => product(720, 128, 512, times, cx),
        "product 384x128x128" => product(384, 128, 128, times, cx),
        "step of W1" => steps(&addition(23, 64, 256), times, cx)?,
        "step of W2" => steps(&previous(32, 32, 16, 16), times, cx)?,
        _ => {
            for t in 1..=times {
                match name {
                    "softmax" => softmax::softmax_last(cx, &x, rows, cols, &mut y),
                    "cross entropy" => {
                        softmax::cross_entropy(cx, &x, &targets, rows, cols, &mut row);
                    }
                    "center" => norm::center_last(cx, &x, rows, cols, &mut y),
                    "root mean square" => norm::rms_last(cx, &x, rows, cols, 1e-5, &mut row),
                    "adamw" => {
                        AdamW::default().step(cx, t as u64, &mut y, &x, &mut m, &mut v);
                    }
                    "add" => elementwise::add_assign(cx, &mut y, &x),
                    "gelu" => elementwise::gelu_tanh(cx, &x, &mut y),
                    "sum of rows" => reduce::sum_rows(cx, &x, rows, cols, &mut y[..cols]),
                    "sparse decode" => {
                        for _ in 0..64 {
                            combine(cx, (&active, &x[..32]), &table, &mut out);
                        }
                    }
                    other => return Err(format!("{other}: there are {NAMES:?}").into()),
                }
            }
        }
    }
    Ok(())
}
