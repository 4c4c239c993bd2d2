//! A specimen: one organism bred with one seed, in memory and on disk.

use crate::Parameters;
use crate::train::CurvePoint;
use crate::{Error, Organism, Truth};
use flyroom_network::{
    Architecture, Network, RawTensor, read_safetensors, write_safetensors, write_whole,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised in the commit that changes a test vector of the canonical order.
pub const BITS_EPOCH: u32 = 1;

/// What [`Organism::breed`] returns.
#[derive(Debug, Clone)]
pub struct Bred {
    /// The network.
    pub network: Network,
    /// Its learning curve, empty if it was not trained.
    pub curve: Vec<CurvePoint>,
    /// What is known of it.
    pub truth: Truth,
}

/// What a specimen is, without its weights: `specimen.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Version of this format.
    pub schema: u32,
    /// Registry entry.
    pub organism: String,
    /// Version of the entry.
    pub version: u32,
    /// All parameters.
    pub parameters: Parameters,
    /// Seed.
    pub seed: u64,
    /// Epoch of the canonical order.
    pub bits_epoch: u32,
    /// The architecture.
    pub architecture: Architecture,
    /// Final numbers by name.
    pub metrics: Parameters,
    /// blake3 of the weights.
    pub weights: String,
}

/// A specimen.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// What it is.
    pub spec: Spec,
    /// Its network.
    pub network: Network,
    /// Its learning curve.
    pub curve: Vec<CurvePoint>,
}

impl Spec {
    /// The id of the specimen: a hash of what was asked for and of the weights that came out.
    pub fn id(&self) -> String {
        let Self { organism, version, parameters, seed, bits_epoch, .. } = self;
        let key = serde_json::json!([organism, version, parameters, seed, bits_epoch]);
        let mut h = blake3::Hasher::new();
        h.update(key.to_string().as_bytes());
        h.update(self.weights.as_bytes());
        h.finalize().to_hex().to_string()
    }
}

impl Specimen {
    /// Assembles a specimen; the truth goes its own way.
    pub fn new(
        organism: &dyn Organism,
        parameters: &Parameters,
        seed: u64,
        bred: Bred,
        metrics: Parameters,
    ) -> (Self, Truth) {
        let entry = organism.entry();
        let spec = Spec {
            schema: 1,
            organism: entry.name.into(),
            version: entry.version,
            parameters: parameters.clone(),
            seed,
            bits_epoch: BITS_EPOCH,
            architecture: bred.network.architecture().clone(),
            metrics,
            weights: bred.network.hash(),
        };
        (Self { spec, network: bred.network, curve: bred.curve }, bred.truth)
    }

    /// Name for people.
    pub fn label(&self) -> String {
        format!("{}-{}", self.spec.organism, self.spec.seed)
    }

    /// The id: a hash of what was asked for and of the weights that came out.
    pub fn id(&self) -> String {
        self.spec.id()
    }

    /// Writes `specimen.json`, `model.safetensors` and `curve.jsonl` into a folder; the spec comes
    /// last, so a folder with it is whole.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let format = |why: String| Error::Format { path: dir.into(), why };
        std::fs::create_dir_all(dir).map_err(|e| format(e.to_string()))?;
        let mut tensors: BTreeMap<String, RawTensor> = self.network.extra.clone();
        for (n, t) in self.network.weights() {
            tensors.insert(n.clone(), RawTensor::from_tensor(t));
        }
        write_safetensors(&dir.join("model.safetensors"), &tensors, &BTreeMap::new())?;
        let mut curve = String::new();
        for p in &self.curve {
            curve.push_str(&serde_json::to_string(p).map_err(|e| format(e.to_string()))?);
            curve.push('\n');
        }
        write_whole(&dir.join("curve.jsonl"), curve.as_bytes())?;
        let spec = serde_json::to_string_pretty(&self.spec).map_err(|e| format(e.to_string()))?;
        Ok(write_whole(&dir.join("specimen.json"), spec.as_bytes())?)
    }

    /// Reads a folder and checks the weights against the hash in its spec.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("specimen.json");
        let bad = |path: &Path, why: String| Error::Format { path: path.into(), why };
        let text = std::fs::read_to_string(&path).map_err(|e| {
            bad(&path, format!("{e}; hint: a specimen is a folder that `flyroom breed` wrote"))
        })?;
        let damaged = |path: &Path, why: &dyn std::fmt::Display| {
            bad(
                path,
                format!("{why}; hint: the file is damaged: breed or bring the specimen again"),
            )
        };
        let spec: Spec = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        if spec.schema != 1 {
            return Err(bad(&path, format!("schema {} is newer than this program", spec.schema)));
        }
        let model = dir.join("model.safetensors");
        let (mut tensors, _) = read_safetensors(&model).map_err(|e| match e {
            flyroom_network::Error::Format { why, .. } => damaged(&model, &why),
            other => other.into(),
        })?;
        let mut weights = BTreeMap::new();
        for (name, _) in Network::parameters(&spec.architecture)? {
            let raw =
                tensors.remove(&name).ok_or_else(|| bad(&model, format!("no tensor '{name}'")))?;
            let t = raw
                .to_tensor()
                .ok_or_else(|| bad(&model, format!("tensor '{name}' does not hold f32")))?;
            weights.insert(name, t);
        }
        let mut network =
            Network::new(spec.architecture.clone(), weights).map_err(|e| damaged(&model, &e))?;
        if network.hash() != spec.weights {
            return Err(bad(
                &model,
                format!(
                    "the weights are not those of specimen.json (blake3 {}); hint: breed it again",
                    spec.weights.chars().take(12).collect::<String>()
                ),
            ));
        }
        network.extra = tensors;
        let path = dir.join("curve.jsonl");
        let text = std::fs::read_to_string(&path).map_err(|e| bad(&path, e.to_string()))?;
        let curve = text
            .lines()
            .map(|l| serde_json::from_str(l).map_err(|e| bad(&path, e.to_string())))
            .collect::<Result<_, _>>()?;
        Ok(Self { spec, network, curve })
    }

    /// Where the truth about the specimen in `dir` lies: beside it, under its id.
    pub fn truth_path(&self, dir: &Path) -> PathBuf {
        let parent = dir.parent().unwrap_or(dir);
        parent.join("truth").join(self.id()).join("truth.json")
    }
}

impl Truth {
    /// Writes `truth.json`.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let bad = |why: String| Error::Format { path: path.into(), why };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| bad(e.to_string()))?;
        }
        let text = serde_json::to_string(self).map_err(|e| bad(e.to_string()))?;
        Ok(write_whole(path, text.as_bytes())?)
    }

    /// Reads `truth.json`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |why: String| Error::Format { path: path.into(), why };
        let text = std::fs::read_to_string(path).map_err(|e| {
            bad(format!("{e}; hint: truth lies beside the specimen it was bred with"))
        })?;
        let truth: Self = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if truth.schema != 1 {
            return Err(bad(format!("schema {} is newer than this program", truth.schema)));
        }
        Ok(truth)
    }
}
