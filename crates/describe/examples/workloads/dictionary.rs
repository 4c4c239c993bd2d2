//! W3: steps of a TopK dictionary, and what others need to take the same ones.

use crate::{index, training::Outcome};
use flyroom_decompose::{Data, Decompose, Dictionary, find, with_defaults};
use flyroom_network::{RawTensor, write_safetensors};
use flyroom_tensor::{Context, Stream, Tensor};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Samples (of the data as of a step), units, latents, active ones.
const SIZES: (usize, usize, usize, usize) = (2048, 512, 16384, 32);
/// Steps whose samples are written.
const STEPS: usize = 64;

/// Activations `[sample, unit]`: sparse sums of 4,096 directions, so that there is something to find.
fn activations() -> Vec<f32> {
    let (samples, d, ..) = SIZES;
    let mut draw = Stream::new(0, "workload/activations").block(0);
    let mut directions = vec![0.0f32; 4096 * d];
    draw.fill_normal(&mut directions, 1.0 / (d as f32).sqrt());
    let mut x = vec![0.0f32; samples * d];
    for row in x.chunks_exact_mut(d) {
        for _ in 0..16 {
            let (i, size) = (draw.below(4096) as usize, draw.uniform());
            row.iter_mut().zip(&directions[i * d..]).for_each(|(x, v)| *x += size * v);
        }
    }
    x
}

/// The samples of step t, counted from 1, as training draws them.
fn rows(t: usize) -> Vec<usize> {
    let mut draw = Stream::new(0, "topk/data").block(t as u64);
    (0..SIZES.0).map(|_| draw.below(SIZES.0 as u64) as usize).collect()
}

fn data() -> Outcome<Data> {
    let (samples, d, ..) = SIZES;
    Ok(Data::new("workload", Tensor::new(&[samples, d], activations())?))
}

/// The dictionary after so many steps.
fn train(data: &Data, steps: usize, cx: &Context) -> Outcome<Dictionary> {
    let (batch, _, n, k) = SIZES;
    let set = json!({
        "n_latents": n, "k": k, "batch": batch, "steps": steps, "lr": 1e-3, "resamples": 0, "auxk": 0,
    });
    let topk: &dyn Decompose = find("topk")?;
    let set = with_defaults(topk, set.as_object().ok_or("an object")?)?;
    Ok(topk.decompose(data, &set, 0, cx)?)
}

/// Writes the data, the dictionary to start from and the samples of every step.
pub fn prepare(folder: &Path) -> Outcome<()> {
    let data = data()?;
    let start = train(&data, 0, &Context::single())?;
    let named = [("W_enc", &start.w_enc), ("b_enc", &start.b_enc), ("W_dec", &start.w_dec)];
    let named = named.into_iter().chain([("b_dec", &start.b_dec), ("x", &data.activations)]);
    let mut raw: BTreeMap<String, RawTensor> =
        named.map(|(n, t)| (n.to_string(), RawTensor::from_tensor(t))).collect();
    for t in 1..=STEPS {
        let rows: Vec<u32> = rows(t).into_iter().map(|i| i as u32).collect();
        index(&format!("rows{t}"), &rows, &mut raw)?;
    }
    Ok(write_safetensors(&folder.join("W3.safetensors"), &raw, &BTreeMap::new())?)
}

/// What a dictionary leaves of the samples of step t, as a share of the variance of the data.
fn loss(dictionary: &Dictionary, data: &Data, t: usize, cx: &Context) -> Outcome<f64> {
    let d = SIZES.1;
    let y = dictionary.reconstruct(&data.activations, cx)?;
    let x = data.activations.data();
    let squares = |i: usize| -> f64 {
        let (x, y) = (&x[i * d..(i + 1) * d], &y.data()[i * d..(i + 1) * d]);
        x.iter().zip(y).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum()
    };
    let left: f64 = rows(t).into_iter().map(squares).sum();
    let mean: Vec<f64> = (0..d)
        .map(|c| x.chunks_exact(d).map(|x| f64::from(x[c])).sum::<f64>() / SIZES.0 as f64)
        .collect();
    let spread = |row: &[f32]| -> f64 {
        row.iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m) * (f64::from(x) - m)).sum()
    };
    Ok(left / x.chunks_exact(d).map(spread).sum::<f64>())
}

/// Seconds of a step, the loss before the first step and behind the last one.
pub fn run(steps: usize, cx: &Context) -> Outcome<serde_json::Value> {
    if steps + 1 > STEPS {
        return Err(format!("at most {} steps", STEPS - 1).into());
    }
    let data = data()?;
    let timed = |steps: usize| -> Outcome<(f64, Dictionary)> {
        let start = Instant::now();
        let dictionary = train(&data, steps, cx)?;
        Ok((start.elapsed().as_secs_f64(), dictionary))
    };
    // What is done once costs the same in both.
    let (once, _) = timed(1)?;
    let (all, last) = timed(1 + steps)?;
    let start = train(&data, 0, cx)?;
    let losses = [loss(&start, &data, 1, cx)?, loss(&last, &data, steps + 2, cx)?];
    Ok(json!({ "seconds": [(all - once) / steps as f64], "losses": losses }))
}
