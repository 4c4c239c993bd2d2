//! What a program gets: `task.json` and the arrays that it names, each as safetensors and as npz.
//!
//! It is what a built-in method sees: the network, the activations of the site on the task's clean
//! inputs, and for a describe method the inputs with their corrupted partners, the answers and the
//! edges. Nothing of the truth is in memory when it is written.

use crate::Fault;
use flyroom_decompose::{Data, positions};
use flyroom_network::format::npz::write_npz;
use flyroom_network::{Inputs, RawTensor, write_safetensors, write_whole};
use flyroom_organism::{Answers, Subject};
use safetensors::tensor::Dtype;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

use crate::plan::Parameters;

/// The request of one cell.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The method as the plan calls it.
    pub method: &'a str,
    /// `decompose` or `describe`.
    pub step: &'a str,
    /// Seed of the method.
    pub seed: u64,
    /// What the plan sets.
    pub parameters: &'a Parameters,
    /// Wall-clock time that it may take.
    pub seconds: u64,
}

fn integers(shape: &[usize], values: impl IntoIterator<Item = usize>) -> RawTensor {
    RawTensor::from_integers(shape, values.into_iter().map(|n| n as i64))
}

fn reals(shape: &[usize], values: &[f32]) -> RawTensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    RawTensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

fn write_arrays(
    folder: &Path,
    name: &str,
    arrays: &BTreeMap<String, RawTensor>,
) -> Result<(), Fault> {
    write_safetensors(&folder.join(format!("{name}.safetensors")), arrays, &BTreeMap::new())?;
    Ok(write_npz(&folder.join(format!("{name}.npz")), arrays)?)
}

impl Given<'_> {
    /// Writes the folder; `task.json` comes last.
    ///
    /// # Errors
    /// Of the disk, and of the network where an array cannot be made.
    pub fn write(&self, subject: &Subject, data: &Data, folder: &Path) -> Result<(), Fault> {
        let network = subject.network();
        let weights: BTreeMap<String, RawTensor> = network
            .weights()
            .iter()
            .map(|(name, t)| (name.clone(), RawTensor::from_tensor(t)))
            .collect();
        write_arrays(folder, "weights", &weights)?;

        let (samples, width) = data.checked()?;
        let kept = positions(subject, &data.site)?;
        let of = |i: usize| (i / kept.len().max(1), kept[i % kept.len().max(1)]);
        let activations = BTreeMap::from([
            ("activations".to_owned(), RawTensor::from_tensor(&data.activations)),
            ("input".to_owned(), integers(&[samples], (0..samples).map(|i| of(i).0))),
            ("position".to_owned(), integers(&[samples], (0..samples).map(|i| of(i).1))),
        ]);
        write_arrays(folder, "activations", &activations)?;

        let mut files = json!({
            "weights": ["weights.safetensors", "weights.npz"],
            "activations": ["activations.safetensors", "activations.npz"],
        });
        let task = subject.task;
        if self.step == "describe" {
            write_arrays(folder, "inputs", &inputs(subject))?;
            files["inputs"] = json!(["inputs.safetensors", "inputs.npz"]);
            if let Some(table) = subject.runner.edges() {
                write_whole(&folder.join("edges.json"), &serde_json::to_vec(&table.edges)?)?;
                files["edges"] = json!(["edges.json"]);
            }
        }
        let text = json!({
            "schema": super::CONTRACT,
            "step": self.step,
            "method": self.method,
            "organism": subject.organism,
            "specimen": subject.id,
            "site": data.site,
            "seed": self.seed,
            "parameters": self.parameters,
            "budget": { "samples": samples, "seconds": self.seconds },
            "units": width,
            "architecture": network.architecture(),
            "task": {
                "domain": task.domain,
                "exhaustive": task.exhaustive,
                "clean_inputs": task.clean,
                "positions": task.pos(),
                "outputs": task.d_out,
                "columns": task.columns,
                "modulus": task.modulus,
                "vocabulary": task.vocabulary,
            },
            "files": files,
        });
        Ok(write_whole(&folder.join("task.json"), &serde_json::to_vec_pretty(&text)?)?)
    }
}

/// The set of inputs, clean ones first, with partners, answers and the outputs that count.
fn inputs(subject: &Subject) -> BTreeMap<String, RawTensor> {
    let task = subject.task;
    let (n, pos) = (task.inputs.len(), task.pos());
    let set = match &task.inputs {
        Inputs::Tokens { ids, .. } => integers(&[n, pos], ids.iter().map(|&id| id as usize)),
        Inputs::Vectors { pos: 1, width, values } => reals(&[n, *width], values),
        Inputs::Vectors { pos, width, values } => reals(&[n, *pos, *width], values),
    };
    let answers = match &task.answers {
        Answers::Classes(classes) => integers(&[n, pos], classes.iter().map(|&c| c as usize)),
        Answers::Values(values) => reals(&[n, pos, task.d_out], values),
    };
    let counts = task.reads.iter().map(|&r| u8::from(r)).collect();
    BTreeMap::from([
        ("inputs".to_owned(), set),
        ("partner".to_owned(), integers(&[task.partner.len()], task.partner.iter().copied())),
        ("answers".to_owned(), answers),
        ("counts".to_owned(), RawTensor { dtype: Dtype::U8, shape: vec![n, pos], bytes: counts }),
    ])
}
