//! The machine's fused multiply-add rate, and the share of it that the product kernel reaches at
//! the sizes of DESIGN section 6.
//!
//!     cargo run --release -p flyroom-tensor --example peak -- [THREADS] [KERNELS]

// The one place of this crate that reads the clock: it prints timings and nothing else.
#![allow(clippy::disallowed_methods)]

use flyroom_tensor::context::{Context, Kernels};
use flyroom_tensor::kernels::product::Product;
use std::time::Instant;

/// Row-major c[batch, m, n] = a[batch, m, k] b, where b is [batch, k, n] or, transposed, [batch, n, k],
/// and a is [batch, m, k] or, transposed, [batch, k, m].
fn tables(batch: usize, m: usize, k: usize, n: usize, a_t: bool, b_t: bool) -> Product {
    let (am, ak) = if a_t { (1, m) } else { (k, 1) };
    let (bn, bk) = if b_t { (k, 1) } else { (1, n) };
    Product::new(
        (0..batch).map(|i| [i * m * k, i * k * n, i * m * n]).collect(),
        (0..m).map(|i| [i * am, i * n]).collect(),
        (0..n).map(|i| [i * bn, i]).collect(),
        (0..k).map(|i| [i * ak, i * bk]).collect(),
    )
}

fn seconds(f: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// What the product of `flops` reaches, its best rate and the median of its shares in the machine's rate
/// of the same moment: the clock of a shared machine moves by a fifth.
fn against_peak(cx: &Context, flops: f64, f: &mut dyn FnMut()) -> (f64, f64) {
    let runs = (1e9 / flops) as usize + 1;
    let (mut best, mut shares) = (0.0f64, vec![]);
    f();
    let start = Instant::now();
    while shares.len() < 5 || start.elapsed().as_secs_f64() < 1.0 {
        let peak = flyroom_tensor::kernels::product::peak_rate(cx, seconds);
        let time = seconds(&mut || (0..runs).for_each(|_| f()));
        let rate = flops * runs as f64 / time;
        best = best.max(rate);
        shares.push(rate / peak);
    }
    shares.sort_by(f64::total_cmp);
    (best, shares[shares.len() / 2])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let threads = args.next().map_or(Ok(1), |x| x.parse())?;
    let kernels: Kernels = args.next().map_or(Ok(Kernels::detect()), |x| x.parse())?;
    let cx = Context::new(kernels, threads);
    println!("{kernels}, {threads} threads");
    println!("{:<34}{:>11}{:>15}", "batch x (m x k x n)", "best GF/s", "median share");
    for (name, batch, m, k, n, a_t, b_t) in [
        ("W3 encode", 1, 2048, 768, 16384, false, false),
        ("W1 mlp in", 1, 11490, 128, 512, false, false),
        ("W1 mlp out", 1, 11490, 512, 128, false, false),
        ("W1 mlp weight gradient", 1, 128, 11490, 512, true, false),
        ("W1 q weight gradient", 1, 128, 11490, 128, true, false),
        ("square", 1, 384, 128, 128, false, false),
        ("W2 mlp in", 1, 3072, 64, 256, false, false),
        ("W2 mlp in, its input's gradient", 1, 3072, 256, 64, false, true),
        ("W2 q", 1, 3072, 64, 64, false, false),
        ("W2 mlp weight gradient", 1, 64, 3072, 256, true, false),
        ("W2 scores", 256, 48, 16, 48, false, true),
        ("W2 scores, k first", 256, 48, 16, 48, false, false),
        ("W2 z", 256, 48, 48, 16, false, false),
        ("W1 scores", 15320, 1, 32, 3, false, true),
        ("W1 z", 15320, 1, 3, 32, false, false),
        ("W1 z, its values' gradient", 15320, 3, 1, 32, true, false),
        ("one row", 1, 1, 512, 512, false, false),
        ("one column", 1, 512, 512, 1, false, false),
    ] {
        let product = tables(batch, m, k, n, a_t, b_t);
        let a = vec![0.5; batch * m * k];
        let b = vec![0.25; batch * k * n];
        let mut c = vec![0.0; batch * m * n];
        let flops = 2.0 * (batch * m * k * n) as f64;
        let (rate, share) = against_peak(&cx, flops, &mut || product.run(&cx, &a, &b, &mut c));
        println!(
            "{:<34}{:>11.1}{:>14.0}%  {name}",
            format!("{batch} x ({m} x {k} x {n})"),
            rate / 1e9,
            100.0 * share
        );
    }
    Ok(())
}
