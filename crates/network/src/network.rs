//! A network: an architecture and the weights that fit it.

use crate::config::Architecture;
use crate::inputs::Inputs;
use crate::site::Site;
use crate::weights::RawTensor;
use crate::{Error, small, transformer};
use flyroom_tensor::{Graph, Tensor, Value, hash};
use std::collections::BTreeMap;

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
    /// Checks that every weight is there, has its shape and is finite.
    pub fn new(architecture: Architecture, weights: Weights) -> Result<Self, Error> {
        architecture.validate()?;
        let net = Self { architecture, weights, extra: BTreeMap::new() };
        for (name, wanted) in Self::parameters(&net.architecture)? {
            let t = net.weights.get(&name).ok_or_else(|| Error::Missing(name.clone()))?;
            if t.shape() != wanted {
                return Err(Error::Shape { name, got: t.shape().to_vec(), wanted });
            }
            if let Some(index) = t.data().iter().position(|x| !x.is_finite()) {
                return Err(Error::NonFinite { name, index, value: t.data()[index] });
            }
        }
        Ok(net)
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

    /// The same network with one weight replaced.
    pub fn with_weight(&self, name: &str, t: Tensor) -> Result<Self, Error> {
        let mut weights = self.weights.clone();
        weights.insert(name.into(), t);
        Self::new(self.architecture.clone(), weights)
    }

    /// blake3 over sorted (name, shape, little-endian bytes).
    pub fn hash(&self) -> String {
        hash::weights_hash(self.weights.iter().map(|(n, t)| (n.as_str(), t.shape(), t.data())))
            .to_string()
    }

    /// Names and shapes of the parameters, in order of name.
    pub fn parameters(architecture: &Architecture) -> Result<Vec<(String, Vec<usize>)>, Error> {
        let mut g = Graph::new();
        let pos = architecture.transformer().map_or(1, |c| c.n_ctx);
        record(&mut g, architecture, 1, pos, Form::Plain)?;
        Ok(g.leaves()
            .filter(|(name, _)| !matches!(*name, "tokens" | "input"))
            .map(|(name, v)| (name.to_string(), g.shape(v).to_vec()))
            .collect())
    }

    /// The table of sites for inputs of `pos` tokens, in order of name; parameters are not in it.
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
            (Architecture::Transformer(c), Inputs::Tokens { pos, ids }) => {
                if *pos == 0 || *pos > c.n_ctx {
                    return bad(format!("{pos} tokens in a context of {}", c.n_ctx));
                }
                match ids.iter().find(|&&t| t as usize >= c.d_vocab) {
                    Some(t) => bad(format!("token {t} in a vocabulary of {}", c.d_vocab)),
                    None => Ok(()),
                }
            }
            (Architecture::Mlp(c), Inputs::Vectors { width, .. }) if *width == c.d_in => Ok(()),
            (Architecture::Autoencoder(c), Inputs::Vectors { width, .. })
                if *width == c.n_features =>
            {
                Ok(())
            }
            (Architecture::Transformer(_), _) => bad("a transformer takes tokens".into()),
            (_, Inputs::Vectors { width, .. }) => {
                bad(format!("vectors of {width} are not what this network takes"))
            }
            _ => bad("this network takes vectors, not tokens".into()),
        }
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
    })
}
