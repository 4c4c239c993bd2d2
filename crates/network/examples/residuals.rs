//! Times prompts through a language model with every residual site captured; benchmarks/residuals.py
//! asks for them in turn with transformers.
//!
//!     cargo run --release -p flyroom-network --example residuals -- MODEL [THREADS] [KERNELS]
//!
//! MODEL is a GGUF file or a Hugging Face folder. Each line of the input is a prompt as token ids; the
//! answer is a line of JSON: the seconds from the ids to the activations, recording and compiling
//! of the graph included, the greatest logit at the last position and its token.

// It prints timings and nothing else.
#![allow(clippy::disallowed_methods)]

use flyroom_network::format::gguf::Gguf;
use flyroom_network::{Inputs, Runner, pretrained};
use flyroom_tensor::{Context, Kernels};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("MODEL is missing")?;
    let threads = args.next().map_or(Ok(1), |x| x.parse())?;
    let kernels = args.next().map_or(Ok(Kernels::detect()), |x| x.parse::<Kernels>())?;
    let cx = Context::new(kernels, threads);
    let path = Path::new(&path);
    let network = match path.is_dir() {
        true => pretrained::from_huggingface(path)?,
        false => pretrained::from_gguf(&Gguf::open(path)?)?,
    };
    let layers = network.architecture().transformer().map_or(0, |c| c.n_layers);
    let mut sites = vec!["hook_embed".to_string(), "hook_logits".into()];
    for i in 0..layers {
        for site in ["hook_resid_pre", "hook_resid_mid", "hook_resid_post"] {
            sites.push(format!("blocks.{i}.{site}"));
        }
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let ids = line.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        let start = Instant::now();
        let inputs = Inputs::tokens(&[ids])?;
        let runner = Runner::new(&network, &inputs, &cx)?;
        let there: Vec<&str> =
            sites.iter().map(String::as_str).filter(|s| runner.site(s).is_ok()).collect();
        runner.capture(&there)?;
        let seconds = start.elapsed().as_secs_f64();
        let logits = runner.logits()?;
        let width = logits.shape()[2];
        let last = &logits.data()[logits.data().len() - width..];
        let best = (0..width).fold(0, |b, i| if last[i] > last[b] { i } else { b });
        let (logit, sites) = (last[best], there.len());
        println!("{{\"seconds\":{seconds},\"sites\":{sites},\"token\":{best},\"logit\":{logit}}}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
