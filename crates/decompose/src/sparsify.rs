//! Dictionaries as sparsify (EleutherAI) lays them out: `cfg.json` and `sae.safetensors`.
//!
//! `encoder.weight` is `[latent, unit]`, the transpose of SAELens' `W_enc`, and `W_dec` a copy of it in
//! the same orientation; a file whose `W_dec` lies the other way round is known by its shape. Latents
//! are the ReLU of the k largest, with `b_dec` subtracted first. The file does not say where the
//! dictionary reads: that is the name of its folder.

use crate::dictionary::Extra;
use crate::{Dictionary, Encode, Error};
use flyroom_network::{RawTensor, read_safetensors, write_safetensors, write_whole};
use flyroom_tensor::Tensor;
use serde_json::{Map, Value as Json, json};
use std::path::Path;

const CFG: &str = "cfg.json";

/// Weights of a sparsify folder.
pub const WEIGHTS: &str = "sae.safetensors";

impl Dictionary {
    /// Reads a sparsify folder. What is not understood is kept for [`Dictionary::save_sparsify`].
    ///
    /// # Errors
    /// If a key or tensor is missing or of another shape: the message names it.
    pub fn load_sparsify(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(CFG);
        let bad = |why: String| Error::Format { path: path.clone(), why };
        let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
        let cfg: Map<String, Json> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let whole = |key: &str| cfg.get(key).and_then(Json::as_u64).map(|n| n as usize);
        let k = whole("k").ok_or_else(|| bad("no whole number under 'k'".into()))?;
        let d_in = whole("d_in").ok_or_else(|| bad("no whole number under 'd_in'".into()))?;
        for key in ["transcode", "skip_connection"] {
            if cfg.get(key) == Some(&Json::Bool(true)) {
                return Err(bad(format!("'{key}' is true: it is a transcoder, not a dictionary")));
            }
        }
        match cfg.get("activation").and_then(Json::as_str) {
            None | Some("topk") => {}
            Some(other) => return Err(bad(format!("the activation '{other}' is not read"))),
        }

        let path = dir.join(WEIGHTS);
        let bad = |why: String| Error::Format { path: path.clone(), why };
        let (tensors, header) = read_safetensors(&path)?;
        let take = |name: &str| -> Result<Tensor, Error> {
            let raw = tensors.get(name).ok_or_else(|| bad(format!("no tensor '{name}'")))?;
            raw.to_tensor().ok_or_else(|| bad(format!("'{name}' holds {:?}, no floats", raw.dtype)))
        };
        let encoder = take("encoder.weight")?;
        let &[latents, units] = encoder.shape() else {
            return Err(bad(format!("encoder.weight has the shape {:?}", encoder.shape())));
        };
        if units != d_in {
            return Err(bad(format!("encoder.weight reads {units} units, cfg.json says {d_in}")));
        }
        let mut w_dec = take("W_dec")?;
        if w_dec.shape() == [units, latents] && units != latents {
            w_dec = w_dec.transposed()?;
        }
        let mut d = Self::new(
            folder_name(dir),
            encoder.transposed()?,
            take("encoder.bias")?,
            w_dec,
            take("b_dec")?,
            Encode::TopK(k),
        )
        .map_err(|e| bad(e.to_string()))?;
        d.extra = Extra { cfg, tensors, header };
        Ok(d)
    }

    /// Writes a sparsify folder; one that was read is written with the same tensors bit for bit.
    ///
    /// # Errors
    /// If the dictionary is none of sparsify's, or the disk refuses.
    pub fn save_sparsify(&self, dir: &Path) -> Result<(), Error> {
        let format = |why: &str| Error::Format { path: dir.into(), why: why.into() };
        let Encode::TopK(k) = self.encode else {
            return Err(format("sparsify holds topk dictionaries; hint: --for saelens"));
        };
        if !self.subtract_b_dec {
            return Err(format("sparsify subtracts b_dec first and this dictionary does not"));
        }
        std::fs::create_dir_all(dir).map_err(|e| format(&e.to_string()))?;
        let mut tensors = self.extra.tensors.clone();
        let own = [
            ("encoder.weight", self.w_enc.transposed()?),
            ("encoder.bias", self.b_enc.clone()),
            ("W_dec", self.w_dec.clone()),
            ("b_dec", self.b_dec.clone()),
        ];
        for (name, t) in own {
            // An original that holds these values, in its own width and orientation, stays.
            let original = tensors.get(name).and_then(RawTensor::to_tensor);
            let turned = original.as_ref().and_then(|o| o.transposed().ok());
            if original.as_ref() != Some(&t) && (name != "W_dec" || turned.as_ref() != Some(&t)) {
                tensors.insert(name.into(), RawTensor::from_tensor(&t));
            }
        }
        for name in ["W_enc", "b_enc"] {
            tensors.remove(name);
        }
        write_safetensors(&dir.join(WEIGHTS), &tensors, &self.extra.header)?;
        let mut cfg = if self.extra.cfg.contains_key("num_latents") {
            self.extra.cfg.clone()
        } else {
            Map::new()
        };
        let mut default = |key: &str, value: Json| {
            cfg.entry(key).or_insert(value);
        };
        default("activation", json!("topk"));
        default("expansion_factor", json!(self.n_latents().div_ceil(self.d_in())));
        default("normalize_decoder", json!(true));
        default("num_latents", json!(self.n_latents()));
        default("multi_topk", json!(false));
        default("skip_connection", json!(false));
        default("transcode", json!(false));
        cfg.insert("k".into(), json!(k));
        cfg.insert("d_in".into(), json!(self.d_in()));
        let text = serde_json::to_string_pretty(&cfg).map_err(|e| format(&e.to_string()))?;
        Ok(write_whole(&dir.join(CFG), text.as_bytes())?)
    }
}

fn folder_name(dir: &Path) -> String {
    let whole = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn dictionary() -> Dictionary {
        let t = |shape: &[usize], c: f32| Tensor::from_fn(shape, |i| c * (i as f32 + 0.1).sqrt());
        let (w_enc, w_dec) = (t(&[2, 3], 1.0), t(&[3, 2], 0.3));
        Dictionary::new("s", w_enc, t(&[3], -1.0), w_dec, t(&[2], 7.0), Encode::TopK(2)).unwrap()
    }

    fn tensors(dir: &Path) -> BTreeMap<String, RawTensor> {
        read_safetensors(&dir.join(WEIGHTS)).unwrap().0
    }

    #[test]
    fn a_folder_read_back_is_the_same_and_named_by_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("layers.3"), dir.path().join("b"));
        let d = dictionary();
        d.save_sparsify(&a).unwrap();
        let read = Dictionary::load_sparsify(&a).unwrap();
        assert_eq!((&read.w_enc, &read.w_dec), (&d.w_enc, &d.w_dec));
        assert_eq!((read.site.as_str(), read.encode.clone()), ("layers.3", Encode::TopK(2)));
        read.save_sparsify(&b).unwrap();
        assert_eq!(tensors(&a), tensors(&b));
    }

    #[test]
    fn a_decoder_that_lies_the_other_way_round_is_known_by_its_shape_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let d = dictionary();
        d.save_sparsify(dir.path()).unwrap();
        let path = dir.path().join(WEIGHTS);
        let mut changed = tensors(dir.path());
        let turned = RawTensor::from_tensor(&d.w_dec.transposed().unwrap());
        changed.insert("W_dec".into(), turned.clone());
        changed.insert("other".into(), turned);
        write_safetensors(&path, &changed, &BTreeMap::new()).unwrap();
        let read = Dictionary::load_sparsify(dir.path()).unwrap();
        assert_eq!(read.w_dec, d.w_dec);
        let again = tempfile::tempdir().unwrap();
        read.save_sparsify(again.path()).unwrap();
        assert_eq!(tensors(again.path()), changed);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (key, value, word) in [
            ("k", Json::Null, "'k'"),
            ("d_in", json!(5), "says 5"),
            ("transcode", json!(true), "transcoder"),
            ("activation", json!("groupmax"), "groupmax"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            dictionary().save_sparsify(dir.path()).unwrap();
            let path = dir.path().join(CFG);
            let mut cfg: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            cfg[key] = value;
            std::fs::write(&path, cfg.to_string()).unwrap();
            let e = Dictionary::load_sparsify(dir.path()).unwrap_err().to_string();
            assert!(e.contains(word), "{key}: {e}");
        }
    }
}
