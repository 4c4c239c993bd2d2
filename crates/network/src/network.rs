//! A network: an architecture and the weights that fit it.

use crate::config::Architecture;
use crate::format::{RawTensor, read_safetensors, write_safetensors};
use crate::inputs::Inputs;
use crate::site::Site;
use crate::{Error, gru, small, transformer};
use flyroom_tensor::{Graph, Tensor, Value, hash};
use std::collections::BTreeMap;
use std::path::Path;

/// Weights by TransformerLens' names.
pub type Weights = BTreeMap<String, Tensor>;

/// An architecture with weights.
#[derive(Debug, Clone)]
pub struct Network {
    architecture: Architecture,
    weights: Weights,
    /// Tensors of an imported file that the architecture does not use (masks and the like), kept
    /// so that an export returns them bit for bit.
    pub extra: BTreeMap<String, RawTensor>,
}

impl Network {
    /// Checks that every weight is there, has its shape and is finite. Tensors that the
    /// architecture does not use go to [`Network::extra`].
    pub fn new(architecture: Architecture, mut weights: Weights) -> Result<Self, Error> {
        architecture.validate()?;
        let mut own = Weights::new();
        for (name, wanted) in Self::parameters(&architecture)? {
            let t = weights.remove(&name).ok_or_else(|| Error::Missing(name.clone()))?;
            check_weight(&name, &t, &wanted)?;
            own.insert(name, t);
        }
        let extra = weights.iter().map(|(n, t)| (n.clone(), RawTensor::from_tensor(t))).collect();
        Ok(Self { architecture, weights: own, extra })
    }

    /// Reads weights from a safetensors file; what the architecture does not use is kept in
    /// [`Network::extra`]. Errors name the file and the tensor.
    pub fn read(architecture: Architecture, path: &Path) -> Result<Self, Error> {
        let (tensors, _) = read_safetensors(path)?;
        architecture.validate()?;
        let mut weights = Weights::new();
        let mut extra = tensors;
        for (name, _) in Self::parameters(&architecture)? {
            let Some(raw) = extra.remove(&name) else { continue };
            let t = raw.to_tensor().ok_or_else(|| {
                Error::format(
                    path,
                    format!("tensor '{name}' is {:?}, not f32, f16 or bf16", raw.dtype),
                )
            })?;
            weights.insert(name, t);
        }
        let net =
            Self::new(architecture, weights).map_err(|e| Error::format(path, e.to_string()))?;
        Ok(Self { extra, ..net })
    }

    /// Writes weights (as f32) and [`Network::extra`] to a safetensors file.
    pub fn write(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), Error> {
        let own = self.weights.iter().map(|(n, t)| (n.clone(), RawTensor::from_tensor(t)));
        let all = self.extra.iter().map(|(n, t)| (n.clone(), t.clone())).chain(own).collect();
        write_safetensors(path, &all, metadata)
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// All weights by name.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// One weight.
    pub fn weight(&self, name: &str) -> Result<&Tensor, Error> {
        self.weights.get(name).ok_or_else(|| Error::Missing(name.into()))
    }

    /// The same network with one weight replaced by another of its shape.
    pub fn with_weight(&self, name: &str, t: Tensor) -> Result<Self, Error> {
        check_weight(name, &t, self.weight(name)?.shape())?;
        let mut net = self.clone();
        net.weights.insert(name.into(), t);
        Ok(net)
    }

    /// blake3 over sorted (name, shape, little-endian bytes).
    pub fn hash(&self) -> String {
        hash::weights_hash(self.weights.iter().map(|(n, t)| (n.as_str(), t.shape(), t.data())))
            .to_string()
    }

    /// Names and shapes of the parameters, in order of name.
    pub fn parameters(architecture: &Architecture) -> Result<Vec<(String, Vec<usize>)>, Error> {
        let mut g = Graph::new();
        record(&mut g, architecture, 1, 1, Form::Plain)?;
        Ok(g.leaves()
            .filter(|(name, _)| !matches!(*name, "tokens" | "input"))
            .map(|(name, v)| (name.to_string(), g.shape(v).to_vec()))
            .collect())
    }

    /// The table of sites for inputs of `pos` tokens or vectors, in order of name; parameters are not in it.
    pub fn sites(&self, pos: usize, form: Form) -> Result<Vec<Site>, Error> {
        let mut g = Graph::new();
        record(&mut g, &self.architecture, 1, pos, form)?;
        Ok(g.sites()
            .filter(|(name, _)| !self.weights.contains_key(*name))
            .map(|(name, v)| Site::new(name, g.shape(v)))
            .collect())
    }

    /// Fails when the network cannot take these inputs.
    pub fn accepts(&self, inputs: &Inputs) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Input(why));
        match (&self.architecture, inputs) {
            (Architecture::Transformer(c), Inputs::Vectors { pos, width, .. }) if c.vectors => {
                match *pos <= c.n_ctx && *width == c.d_vocab {
                    true => Ok(()),
                    false => bad(format!(
                        "{pos} vectors of {width} numbers, in a context of {} vectors of {}",
                        c.n_ctx, c.d_vocab
                    )),
                }
            }
            (Architecture::Transformer(c), Inputs::Tokens { pos, ids }) if !c.vectors => {
                tokens_fit(*pos, ids, c.n_ctx, c.d_vocab)
            }
            (Architecture::Gru(c), Inputs::Tokens { pos, ids }) => {
                tokens_fit(*pos, ids, c.n_ctx, c.d_vocab)
            }
            (Architecture::Gru(_), Inputs::Vectors { .. }) => bad("a GRU takes tokens".into()),
            (Architecture::Mlp(c), Inputs::Vectors { pos: 1, width, .. }) if *width == c.d_in => {
                Ok(())
            }
            (Architecture::Autoencoder(c), Inputs::Vectors { pos: 1, width, .. })
                if *width == c.n_features =>
            {
                Ok(())
            }
            (Architecture::Transformer(c), Inputs::Vectors { .. }) if !c.vectors => {
                bad("this transformer takes tokens".into())
            }
            (_, Inputs::Vectors { pos, width, .. }) => {
                bad(format!("{pos} vectors of {width} are not what this network takes"))
            }
            _ => bad("this network takes vectors, not tokens".into()),
        }
    }
}

/// Fails when tokens lie outside a context or a vocabulary.
fn tokens_fit(pos: usize, ids: &[u32], n_ctx: usize, d_vocab: usize) -> Result<(), Error> {
    let bad = |why: String| Err(Error::Input(why));
    if pos == 0 || pos > n_ctx {
        return bad(format!("{pos} tokens in a context of {n_ctx}"));
    }
    match ids.iter().find(|&&t| t as usize >= d_vocab) {
        Some(t) => bad(format!("token {t} in a vocabulary of {d_vocab}")),
        None => Ok(()),
    }
}

/// Fails when a weight has another shape than wanted or is not finite.
pub(crate) fn check_weight(name: &str, t: &Tensor, wanted: &[usize]) -> Result<(), Error> {
    let name = name.to_string();
    if t.shape() != wanted {
        return Err(Error::Shape { name, got: t.shape().to_vec(), wanted: wanted.to_vec() });
    }
    match t.data().iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NonFinite { name, index, value: t.data()[index] }),
        None => Ok(()),
    }
}

/// The two ways to record a transformer; other networks have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// q, k and v read one input.
    Plain,
    /// Every head reads an input of its own, so that edges can be patched.
    Split,
}

/// Records the forward pass of any architecture on `batch` inputs of `pos` tokens. The leaf of
/// the inputs is `tokens` or `input`; the result is the site `hook_logits`.
pub fn record(
    g: &mut Graph,
    architecture: &Architecture,
    batch: usize,
    pos: usize,
    form: Form,
) -> Result<Value, Error> {
    Ok(match architecture {
        Architecture::Transformer(c) => transformer::record(g, c, batch, pos, form == Form::Split)?,
        Architecture::Mlp(c) => small::record_mlp(g, c, batch)?,
        Architecture::Autoencoder(c) => small::record_autoencoder(g, c, batch)?,
        Architecture::Gru(c) => gru::record(g, c, batch, pos)?,
    })
}
