//! What is bound by memory beside the rate at which this machine copies: 64 MiB arrays, beyond every cache.
//!
//!     cargo run --release -p flyroom-tensor --example memory -- [THREADS] [KERNELS]
//!
//! A rate counts each value that is read and each that is written once; the system may move more (a line that
//! is written is read first, except by copies that know how to go around the caches).

// It prints timings and nothing else.
#![allow(clippy::disallowed_methods)]

use flyroom_tensor::context::{Context, Kernels};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::kernels::{elementwise, norm, reduce, softmax};
use std::time::Instant;

/// Values of an array: rows of [`COLS`].
const N: usize = 16 << 20;
const COLS: usize = 512;

/// The least seconds of several runs: others share the machine.
fn best(mut f: impl FnMut()) -> f64 {
    f();
    let mut least = f64::INFINITY;
    for _ in 0..9 {
        let start = Instant::now();
        f();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let threads = args.next().map_or(Ok(1), |x| x.parse())?;
    let kernels: Kernels = args.next().map_or(Ok(Kernels::detect()), |x| x.parse())?;
    let cx = &Context::new(kernels, threads);
    let rows = N / COLS;
    let a: Vec<f32> = (0..N).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
    let b = a.clone();
    let (mut y, mut m, mut v) = (vec![0.0; N], vec![0.0; N], vec![0.0; N]);
    let mut short = vec![0.0; rows];
    // The system's own copy, each thread a part.
    let copy = best(|| {
        let parts = a.chunks(N.div_ceil(threads)).zip(y.chunks_mut(N.div_ceil(threads)));
        std::thread::scope(|scope| {
            parts.for_each(|(a, y)| drop(scope.spawn(|| y.copy_from_slice(a))));
        });
    });
    let copy = 8.0 * N as f64 / copy;
    println!("{kernels}, {threads} threads: the system copies {:.1} GB/s", copy / 1e9);
    println!("{:<20}{:>8}{:>8}", "", "GB/s", "share");
    // Bytes that are read and written for a value, and what is done.
    let say = |name: &str, bytes: usize, seconds: f64| {
        let rate = (bytes * N) as f64 / seconds;
        println!("{name:<20}{:>8.1}{:>7.0}%", rate / 1e9, 100.0 * rate / copy);
    };
    say("copy", 8, best(|| elementwise::copy(cx, &a, &mut y)));
    say("add", 12, best(|| elementwise::add(cx, &a, &b, &mut y)));
    say("mul", 12, best(|| elementwise::mul(cx, &a, &b, &mut y)));
    say("add in place", 12, best(|| elementwise::add_assign(cx, &mut y, &a)));
    say("scale", 8, best(|| elementwise::scale(cx, &a, 0.5, &mut y)));
    say("relu", 8, best(|| elementwise::relu(cx, &a, &mut y)));
    say("center", 8, best(|| norm::center_last(cx, &a, rows, COLS, &mut y)));
    say("root mean square", 4, best(|| norm::rms_last(cx, &a, rows, COLS, 1e-5, &mut short)));
    say("softmax", 8, best(|| softmax::softmax_last(cx, &a, rows, COLS, &mut y)));
    say("sum of a row", 4, best(|| reduce::sum_last(cx, &a, rows, COLS, &mut short)));
    say("sum over rows", 4, best(|| reduce::sum_rows(cx, &a, rows, COLS, &mut short[..COLS])));
    let adamw = AdamW::default();
    let mut t = 0;
    let mut step = || {
        t += 1;
        adamw.step(cx, t, &mut y, &a, &mut m, &mut v);
    };
    say("AdamW", 28, best(&mut step));
    Ok(())
}
