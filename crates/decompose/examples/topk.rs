//! Seconds a step of training a TopK dictionary, and the memory that it takes: W3 of DESIGN
//! section 6 unless other sizes are given.
//!
//!     cargo run --release -p flyroom-decompose --example topk -- d=512 n=16384 k=32 batch=2048 threads=2
//!
//! Further arguments: `steps` (measured, after one that is not), `auxk`, `kernels`, `method`
//! (`topk` or `batch-topk`). The last line hashes the dictionary, so that two builds can be compared.

// Reads the clock: it prints timings and nothing else.
#![allow(clippy::disallowed_methods)]

use flyroom_decompose::{Data, find, with_defaults};
use flyroom_tensor::context::{Context, Kernels};
use flyroom_tensor::{Stream, Tensor, hash};
use std::collections::BTreeMap;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

/// The most memory that this process ever held, in MiB, where the system says so.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? / 1024)
}

fn main() -> Result<(), Failure> {
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or("arguments are written name=value")?;
        given.insert(name.into(), value.into());
    }
    let count = |name: &str, default: usize| match given.get(name) {
        Some(value) => value.parse::<usize>().map_err(|e| format!("{name}: {e}")),
        None => Ok(default),
    };
    let (d, batch, steps) = (count("d", 512)?, count("batch", 2048)?, count("steps", 5)?);
    let kernels: Kernels = given.get("kernels").map_or("auto", |x| x).parse()?;
    let cx = Context::new(kernels, count("threads", 2)?);
    let method = find(given.get("method").map_or("topk", |x| x))?;
    let mut draw = Stream::new(0, "example").block(0);
    let mut x = vec![0.0; 2 * batch * d];
    draw.fill_normal(&mut x, 1.0);
    let data = Data::new("s", Tensor::new(&[2 * batch, d], x)?);
    let train = |steps: usize| -> Result<_, Failure> {
        let settings = serde_json::json!({
            "n_latents": count("n", 16384)?, "k": count("k", 32)?, "batch": batch, "steps": steps,
            "resamples": 0, "auxk": count("auxk", 0)?, "dead_after": 1,
        });
        let settings = settings.as_object().ok_or("an object")?;
        let settings = with_defaults(method, settings)?;
        let start = Instant::now();
        let trained = method.decompose(&data, &settings, 0, &cx)?;
        Ok((start.elapsed().as_secs_f64(), trained))
    };
    // What is done once costs the same in both.
    let (once, _) = train(1)?;
    let (all, trained) = train(1 + steps)?;
    println!("{cx:?}: {:.4} seconds a step of {steps}", (all - once) / steps as f64);
    if let Some(memory) = peak_memory() {
        println!("peak memory {memory} MiB");
    }
    let values = [&trained.w_enc, &trained.b_enc, &trained.w_dec, &trained.b_dec];
    let values: Vec<f32> = values.iter().flat_map(|t| t.data()).copied().collect();
    println!("dictionary {}", hash::floats(&values));
    Ok(())
}
