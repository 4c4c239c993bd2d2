//! The workloads of benchmarks/workloads.py, on flyroom's side.
//!
//!     cargo run --release -p flyroom-describe --example workloads -- prepare FOLDER
//!     cargo run --release -p flyroom-describe --example workloads -- W1 FOLDER [THREADS] [STEPS]
//!     cargo run --release -p flyroom-describe --example workloads -- bits . 0 100
//!     cargo run --release -p flyroom-describe --example workloads -- count [TIMES [NAME]]
//!
//! `prepare` writes the weights to start from and the data of every step, so that both sides compute
//! the same. A workload prints one line of JSON: the seconds of each unit (a training step, a sweep), the
//! losses at the first and the last step, and the peak of the resident memory in KiB.

// It prints timings and nothing else.
#![allow(clippy::disallowed_methods)]

mod count;
mod dictionary;
mod training;

use flyroom_describe::{Describe, Scores, metric::CircuitMetric};
use flyroom_network::{
    Architecture, Form, Network, RawTensor, Weights, read_safetensors, record, write_safetensors,
};
use flyroom_organism::train::Nursery;
use flyroom_organism::{Specimen, Subject, with_defaults};
use flyroom_tensor::hash::weights_hash;
use flyroom_tensor::{Bindings, Context, Graph, Kernels, Program, Tensor};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use training::{BATCHES, Outcome, Workload};

/// Seeds of W5.
const SEEDS: u64 = 16;
fn w1() -> Workload {
    training::addition(113, 128, 3830)
}

fn w2() -> Workload {
    training::previous(64, 64, 32, 64)
}

/// Trains and returns (seconds of each step, losses, weights).
fn timed(
    workload: &Workload,
    init: Weights,
    steps: usize,
    cx: &Context,
) -> Outcome<(Vec<f64>, Vec<f64>, Weights)> {
    let times = Mutex::new(vec![Instant::now()]);
    let tick = || times.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    let (losses, weights) = workload.run(init, steps, cx, &tick)?;
    let times = times.into_inner()?;
    let seconds = times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
    Ok((seconds, losses, weights))
}

/// Prints what the operations of a step of a workload take, the dearest first.
fn profile(workload: &Workload, init: &Weights, steps: usize, cx: &Context) -> Outcome<()> {
    let mut g = Graph::new();
    let architecture = Architecture::Transformer(workload.architecture.clone());
    let logits = record(&mut g, &architecture, workload.batch, workload.pos, Form::Plain)?;
    let loss = workload.loss(&mut g, logits)?;
    let (mut g, loss) = g.narrowed(&[loss])?;
    let loss = loss[0];
    let parameters = init.keys().map(|n| g.at(n)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = g.gradient(loss, &parameters)?;
    outputs.push(loss);
    let mut program = Program::compile(&g, &outputs)?;
    let (tokens, targets) = workload.data(1);
    let bindings = Bindings::new()
        .with_all(init)
        .with_index("tokens", &tokens)
        .with_index("targets", &targets);
    let mut costs: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for t in 0..=steps {
        let mut start = Instant::now();
        program.run_watched(cx, &bindings, &mut |names, shapes| {
            let now = Instant::now();
            if t > 0 {
                let cost = costs.entry(format!("{} {shapes:?}", names.join(" "))).or_default();
                *cost = (cost.0 + 1, cost.1 + (now - start).as_secs_f64());
            }
            start = Instant::now();
        })?;
    }
    let mut costs: Vec<_> = costs.into_iter().collect();
    costs.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let total: f64 = costs.iter().map(|c| c.1.1).sum::<f64>() / steps as f64;
    println!(
        "{:8.3} ms in all, {} steps, {} KiB",
        1e3 * total,
        program.steps(),
        program.buffer_bytes() / 1024
    );
    for (what, (count, seconds)) in costs {
        println!("{:8.3} ms in {:2}: {what}", 1e3 * seconds / steps as f64, count / steps);
    }
    Ok(())
}

fn index(name: &str, x: &[u32], tensors: &mut BTreeMap<String, RawTensor>) -> Outcome<()> {
    // Indices below 2^24 are exact in f32.
    let t = Tensor::new(&[x.len()], x.iter().map(|&x| x as f32).collect())?;
    tensors.insert(name.into(), RawTensor::from_tensor(&t));
    Ok(())
}

fn prepare(folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    for (name, workload, seeds) in [("W1", w1(), 1), ("W2", w2(), SEEDS)] {
        for seed in 0..seeds {
            let init = workload.init(seed)?;
            let raw = init.iter().map(|(n, t)| (n.clone(), RawTensor::from_tensor(t))).collect();
            write_safetensors(
                &folder.join(format!("{name}-{seed}.safetensors")),
                &raw,
                &BTreeMap::new(),
            )?;
        }
        let mut data = BTreeMap::new();
        for t in 1..=BATCHES {
            let (tokens, targets) = workload.data(t);
            index(&format!("tokens{t}"), &tokens, &mut data)?;
            index(&format!("targets{t}"), &targets, &mut data)?;
        }
        write_safetensors(
            &folder.join(format!("{name}-data.safetensors")),
            &data,
            &BTreeMap::new(),
        )?;
    }
    sweep(folder, true, 2, &Context::single())?;
    dictionary::prepare(folder)
}

/// W4: the induction organism as it is born, on prompts of its task; with four layers, a network of
/// that many with MLPs and norms in its place.
fn sweep(folder: &Path, write: bool, layers: usize, cx: &Context) -> Outcome<serde_json::Value> {
    const PROMPTS: usize = 256;
    let organism = flyroom_organism::find("induction")?;
    let set = json!({ "steps": 1 });
    let parameters = with_defaults(organism, set.as_object().ok_or("an object")?)?;
    let mut bred = organism.breed(&parameters, 0, cx, &Nursery::none())?;
    let task = organism.task(&parameters, None)?;
    if layers > 2 {
        let mut workload = training::previous(64, 64, task.pos(), 1);
        workload.architecture.n_layers = layers;
        let architecture = Architecture::Transformer(workload.architecture.clone());
        bred.network = Network::new(architecture, workload.init(0)?)?;
    }
    let (specimen, _) = Specimen::new(organism, &parameters, 0, bred, serde_json::Map::new());
    let subject = Subject::new(&specimen, &task, cx)?;
    if write {
        let metric = CircuitMetric::new(&subject, PROMPTS, "W4")?;
        let mut tensors: BTreeMap<String, RawTensor> = specimen
            .network
            .weights()
            .iter()
            .map(|(n, t)| (n.clone(), RawTensor::from_tensor(t)))
            .collect();
        let tokens = |i: usize| task.inputs.token_row(i);
        for (name, inputs) in [("clean", 0), ("corrupted", 1)] {
            let all: Vec<u32> = metric
                .pairs
                .iter()
                .flat_map(|&(i, j)| tokens(if inputs == 0 { i } else { j }).to_vec())
                .collect();
            index(name, &all, &mut tensors)?;
        }
        let shape = [metric.pairs.len(), task.pos(), task.d_out];
        let direction = Tensor::new(&shape, metric.direction.clone())?;
        tensors.insert("direction".into(), RawTensor::from_tensor(&direction));
        write_safetensors(&folder.join("W4.safetensors"), &tensors, &BTreeMap::new())?;
        return Ok(json!({}));
    }
    let set = json!({ "pairs": PROMPTS });
    let start = Instant::now();
    let set = set.as_object().ok_or("an object")?;
    let described = Scores::Exact.describe(&subject, None, set, 0)?;
    let seconds = start.elapsed().as_secs_f64();
    let scores: BTreeMap<String, f64> =
        described.edges.iter().map(|e| (e.edge.to_string(), e.score)).collect();
    Ok(json!({ "seconds": [seconds], "scores": scores }))
}

/// W5: several seeds of W2, each by one thread.
fn seeds(folder: &Path, threads: usize, steps: usize) -> Outcome<serde_json::Value> {
    let workload = w2();
    let inits = (0..SEEDS)
        .map(|i| weights(&folder.join(format!("W2-{i}.safetensors"))))
        .collect::<Outcome<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let losses = std::thread::scope(|scope| {
        let work = || {
            let mut last = vec![];
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(init) = inits.get(i) else { return Ok(last) };
                let cx = Context::new(Kernels::detect(), 1);
                let ran = workload.run(init.clone(), steps, &cx, &|| {});
                let (losses, _) = ran.map_err(|e| e.to_string())?;
                last.push((i, losses[losses.len() - 1]));
            }
        };
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = started.into_iter().map(|t| t.join().unwrap_or(Err("it panicked".into())));
        ended.collect::<Result<Vec<_>, String>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut losses = losses.concat();
    losses.sort_by_key(|l| l.0);
    let losses: Vec<f64> = losses.into_iter().map(|l| l.1).collect();
    Ok(json!({ "seconds": [seconds / steps as f64], "losses": losses }))
}

/// W1 and W2 with all fast kernels and 1, 2 and 3 threads: equal weights, or an error.
fn bits(steps: usize) -> Outcome<serde_json::Value> {
    let mut hashes = BTreeMap::new();
    for (name, workload) in [("W1", w1()), ("W2", w2())] {
        for kernels in Kernels::all_available().into_iter().filter(|k| *k != Kernels::Portable) {
            for threads in 1..=3 {
                let cx = Context::new(kernels, threads);
                let (_, weights) = workload.run(workload.init(0)?, steps, &cx, &|| {})?;
                let all = weights.iter().map(|(n, t)| (n.as_str(), t.shape(), t.data()));
                let hash = weights_hash(all).to_string();
                let first = hashes.entry(name).or_insert_with(|| hash.clone());
                if *first != hash {
                    return Err(format!("{name}: {cx:?} leaves {hash}, not {first}").into());
                }
            }
        }
    }
    Ok(json!({ "steps": steps, "hashes": hashes }))
}

fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn weights(path: &Path) -> Outcome<Weights> {
    let (tensors, _) = read_safetensors(path)?;
    tensors.iter().map(|(n, t)| Ok((n.clone(), t.to_tensor().ok_or("not f32")?))).collect()
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().ok_or("W1, W2, W3, W4, W4-large, W5, bits or prepare")?;
    if what == "count" {
        let times = args.next().map_or(Ok(1), |x| x.parse())?;
        return match args.next() {
            Some(name) => count::run(&name, times),
            None => {
                println!("{}", json!(count::NAMES));
                Ok(())
            }
        };
    }
    let folder = args.next().ok_or("FOLDER is missing")?;
    let folder = Path::new(&folder);
    let threads = args.next().map_or(Ok(2), |x| x.parse())?;
    let steps = args.next().map_or(Ok(10), |x| x.parse())?;
    let cx = Context::new(Kernels::detect(), threads);
    let read = |name: &str| weights(&folder.join(format!("{name}.safetensors")));
    let said = match what.as_str() {
        "prepare" => return prepare(folder),
        "profile-W1" => return profile(&w1(), &read("W1-0")?, steps, &cx),
        "profile-W2" => return profile(&w2(), &read("W2-0")?, steps, &cx),
        "W1" | "W2" => {
            let workload = if what == "W1" { w1() } else { w2() };
            let (seconds, losses, last) =
                timed(&workload, read(&format!("{what}-0"))?, steps, &cx)?;
            let raw = last.iter().map(|(n, t)| (n.clone(), RawTensor::from_tensor(t))).collect();
            let path = folder.join(format!("{what}-flyroom.safetensors"));
            write_safetensors(&path, &raw, &BTreeMap::new())?;
            json!({ "seconds": seconds, "losses": losses })
        }
        "W3" => dictionary::run(steps, &cx)?,
        "W4" => sweep(folder, false, 2, &cx)?,
        "W4-large" => sweep(folder, false, 4, &cx)?,
        "bits" => bits(steps)?,
        "W5" => seeds(folder, threads, steps)?,
        other => return Err(format!("no workload {other}").into()),
    };
    let mut said = said;
    said["peak_kib"] = json!(peak_kib());
    println!("{said}");
    Ok(())
}
