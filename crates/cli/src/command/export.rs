//! `flyroom export`: specimens, dictionaries and circuits in the forms of others.

use crate::args::{Args, Form};
use crate::output;
use anyhow::{Context as _, Result, bail};
use flyroom_decompose::{Dictionary, Extra, LINEAR};
use flyroom_describe::Description;
use flyroom_describe::mib::MibGraph;
use flyroom_explanation::{Body, Explanation};
use flyroom_network::format::npz::write_npz;
use flyroom_network::format::transformer_lens;
use flyroom_network::{Inputs, RawTensor, write_safetensors, write_whole};
use flyroom_organism::{Answers, Subject, Task};
use flyroom_tensor::Tensor;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// How the files of an export are loaded, in Python.
const TRANSFORMER_LENS: &str = "\
import json
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

config = HookedTransformerConfig.from_dict(json.load(open('OUT/cfg.json')))
model = HookedTransformer(config)
model.load_state_dict(load_file('OUT/model.safetensors'), strict=False)  # buffers are its own
model.eval()";

const NPZ: &str = "\
import numpy
arrays = numpy.load('OUT')
print({name: arrays[name].shape for name in arrays})";

const SAE_LENS: &str = "\
from sae_lens import SAE
sae = SAE.load_from_disk('OUT')
latents = sae.encode(activations)";

const SPARSIFY: &str = "\
from sparsify import SparseCoder
sae = SparseCoder.load_from_disk('OUT')
latents = sae.encode(activations)";

const MIB: &str = "\
from eap.graph import Graph
graph = Graph.from_json('OUT')";

pub fn run(
    args: &Args,
    dir: &Path,
    form: Form,
    from: Option<&Path>,
    sites: &[String],
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    let (specimen, task) = super::specimen(dir)?;
    let needed = |what: &str| {
        from.ok_or_else(|| anyhow::anyhow!("--for {form}: {what}; hint: give it with --from"))
    };
    if !sites.is_empty() && !matches!(form, Form::Npz | Form::Saelens) {
        bail!("--for {form} takes no --site");
    }
    let python = match form {
        Form::TransformerLens => {
            let (config, tensors) =
                transformer_lens(&specimen.network).with_context(|| dir.display().to_string())?;
            std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
            write_safetensors(&out.join("model.safetensors"), &tensors, &BTreeMap::new())?;
            write_whole(&out.join("cfg.json"), &serde_json::to_vec_pretty(&config)?)?;
            TRANSFORMER_LENS
        }
        Form::Npz => {
            let subject = Subject::new(&specimen, &task, &args.context()?)?;
            let arrays = arrays(&subject, sites)?;
            write_npz(out, &arrays)?;
            NPZ
        }
        Form::Saelens => {
            let path = needed("which dictionary")?;
            let mut d = Dictionary::read(path)?;
            if !path.join("sae_weights.safetensors").exists() {
                // What only the other form understands stays behind.
                d.extra = Extra::default();
            }
            match sites {
                [] => {}
                [site] => d.site.clone_from(site),
                _ => bail!("--site: a dictionary lies at one site"),
            }
            if d.encode == flyroom_decompose::Encode::Linear {
                bail!(
                    "{}: SAELens has no linear dictionary, and reads {LINEAR} as nothing it knows; \
                     hint: export one of topk, or use the folder as it is with numpy",
                    path.display()
                );
            }
            let subject = Subject::new(&specimen, &task, &args.context()?)?;
            let units = flyroom_decompose::collect(&subject, &d.site)?.activations.shape()[1];
            if units != d.d_in() {
                bail!(
                    "{}: the dictionary takes {} units, {} of {} has {units}; hint: --site says \
                     where it lies",
                    path.display(),
                    d.d_in(),
                    d.site,
                    specimen.label()
                );
            }
            d.save(out)?;
            SAE_LENS
        }
        Form::Sparsify => {
            let path = needed("which dictionary")?;
            let mut d = Dictionary::read(path)?;
            if path.join("sae_weights.safetensors").exists() {
                // What only the other form understands stays behind.
                d.extra = Extra::default();
            }
            d.save_sparsify(out)?;
            SPARSIFY
        }
        Form::Mib => {
            let path = needed("which explanation")?;
            let (e, scores) = circuit(path)?;
            let Body::Circuit { edges, .. } = &e.body else {
                bail!("{}: it claims no edges, so it is no circuit", path.display());
            };
            let Some(config) = specimen.network.architecture().transformer() else {
                bail!("{}: edges exist in transformers only", dir.display());
            };
            write_whole(out, MibGraph::new(config, &scores, edges).to_text().as_bytes())?;
            MIB
        }
    };
    let python = python.replace("OUT", &out.display().to_string());
    if as_json {
        output::json(&json!({ "for": form.to_string(), "path": out, "python": python }))?;
    } else {
        output::say(args.quiet, &format!("written to {}; in Python:\n", out.display()));
        output::data(&python);
    }
    Ok(true)
}

/// Weights under their names, the clean inputs with their corrupted partners, answers and the
/// positions that count, and the clean activations at sites, `[input, ..]` as the site has them.
fn arrays(subject: &Subject, sites: &[String]) -> Result<BTreeMap<String, RawTensor>> {
    let weights = subject.network().weights();
    let mut all: BTreeMap<String, RawTensor> =
        weights.iter().map(|(n, t)| (n.clone(), RawTensor::from_tensor(t))).collect();
    for site in sites {
        // The set holds the corrupted partners behind the clean inputs.
        let all_inputs = subject.runner.clean(site)?;
        let rows = subject.task.clean.min(all_inputs.shape()[0]);
        let shape: Vec<usize> =
            std::iter::once(rows).chain(all_inputs.shape()[1..].iter().copied()).collect();
        let values = all_inputs.data()[..shape.iter().product()].to_vec();
        all.insert(site.clone(), RawTensor::from_tensor(&Tensor::new(&shape, values)?));
    }
    let task = subject.task;
    let partners = task.partner.iter().copied().take(task.clean);
    all.insert("inputs".into(), inputs(&task.inputs.pick(0..task.clean))?);
    all.insert("corrupted".into(), inputs(&task.inputs.pick(partners.clone()))?);
    let pos = task.pos();
    let counts = task.reads.iter().take(task.clean * pos).map(|&c| i64::from(c));
    all.insert("counts".into(), RawTensor::from_integers(&[task.clean, pos], counts));
    all.insert("answers".into(), answers(task, 0..task.clean)?);
    all.insert("corrupted_answers".into(), answers(task, partners)?);
    Ok(all)
}

fn inputs(set: &Inputs) -> Result<RawTensor> {
    Ok(match set {
        Inputs::Tokens { pos, ids } => {
            RawTensor::from_integers(&[set.len(), *pos], ids.iter().map(|&id| i64::from(id)))
        }
        Inputs::Vectors { pos: 1, width, values } => {
            RawTensor::from_tensor(&Tensor::new(&[set.len(), *width], values.clone())?)
        }
        Inputs::Vectors { pos, width, values } => {
            RawTensor::from_tensor(&Tensor::new(&[set.len(), *pos, *width], values.clone())?)
        }
    })
}

/// Right answers of some inputs, `[input, pos]` or `[input, pos, d_out]`.
fn answers(task: &Task, inputs: impl ExactSizeIterator<Item = usize>) -> Result<RawTensor> {
    let (n, pos) = (inputs.len(), task.pos());
    Ok(match &task.answers {
        Answers::Classes(all) => {
            let of = inputs.flat_map(|i| &all[i * pos..(i + 1) * pos]);
            RawTensor::from_integers(&[n, pos], of.map(|&class| i64::from(class)))
        }
        Answers::Values(all) => {
            let row = pos * task.d_out;
            let of = inputs.flat_map(|i| &all[i * row..(i + 1) * row]).copied().collect();
            RawTensor::from_tensor(&Tensor::new(&[n, pos, task.d_out], of)?)
        }
    })
}

/// An explanation with the scores of its edges, from `description.json`, or from `explanation.json`
/// with the description that lies beside it; without one, an edge that is claimed has the score 1.
fn circuit(path: &Path) -> Result<(Explanation, Vec<flyroom_describe::EdgeScore>)> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if let Ok(d) = serde_json::from_str::<Description>(&text) {
        d.explanation.check().with_context(|| path.display().to_string())?;
        return Ok((d.explanation, d.edges));
    }
    let e = Explanation::read(path)?;
    let Body::Circuit { edges, .. } = &e.body else { return Ok((e, vec![])) };
    // What the method saw lies beside; it is of this explanation or of one that was there before.
    let seen = std::fs::read_to_string(super::describe::beside(path)).ok();
    let seen = seen.and_then(|text| serde_json::from_str::<Description>(&text).ok());
    if let Some(d) = seen.filter(|d| d.explanation == e && !d.edges.is_empty()) {
        return Ok((e, d.edges));
    }
    let score = |&edge| flyroom_describe::EdgeScore { edge, score: 1.0, gradient_dead: false };
    let scores = edges.iter().map(score).collect();
    Ok((e, scores))
}
