//! Dictionaries on disk, as SAELens lays them out: `cfg.json` and `sae_weights.safetensors`.
//!
//! SAELens' `standard` is a ReLU, `topk` the ReLU of the k largest, `jumprelu` a ReLU above
//! thresholds, `gated` a ReLU behind a gate. It has no linear dictionary, so PCA and neurons are written under the architecture `flyroom_linear`, which it
//! refuses instead of silently clipping negative latents. What this program does not understand
//! is either an error that names it (where it would change latents) or kept for the next export
//! (where it would not); tensors keep their bits on the way in and out.

use crate::dictionary::Extra;
use crate::{Dictionary, Encode, Error, Normalize};
use flyroom_network::{RawTensor, read_safetensors, write_safetensors, write_whole};
use flyroom_tensor::Tensor;
use serde_json::{Map, Value as Json, json};
use std::borrow::Cow;
use std::path::Path;

/// The architecture of dictionaries without a nonlinearity.
pub const LINEAR: &str = "flyroom_linear";

const CFG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";

impl Dictionary {
    /// Writes the folder; `cfg.json` comes last, so a folder with it is whole.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let format = |why: String| Error::Format { path: dir.into(), why };
        std::fs::create_dir_all(dir).map_err(|e| format(e.to_string()))?;
        let mut tensors = self.extra.tensors.clone();
        for (name, t) in self.tensors() {
            // A narrower original is written back as it was, unless the values were changed.
            let original = tensors.get(name).and_then(RawTensor::to_tensor);
            if original.as_ref() != Some(&*t) {
                tensors.insert(name.into(), RawTensor::from_tensor(&t));
            }
        }
        write_safetensors(&dir.join(WEIGHTS), &tensors, &self.extra.header)?;
        let text = serde_json::to_string_pretty(&self.cfg()).map_err(|e| format(e.to_string()))?;
        Ok(write_whole(&dir.join(CFG), text.as_bytes())?)
    }

    /// Reads the folder of a dictionary in any form that is known, by the names of its files.
    ///
    /// # Errors
    /// As [`Dictionary::load`].
    pub fn read(dir: &Path) -> Result<Self, Error> {
        if dir.join(crate::sparsify::WEIGHTS).exists() && !dir.join(WEIGHTS).exists() {
            return Self::load_sparsify(dir);
        }
        Self::load(dir)
    }

    fn tensors(&self) -> Vec<(&'static str, Cow<'_, Tensor>)> {
        // A gate has two biases and none of them is called b_enc.
        let bias = if matches!(self.encode, Encode::Gated { .. }) { "b_gate" } else { "b_enc" };
        let mut all = vec![
            ("W_enc", Cow::Borrowed(&self.w_enc)),
            (bias, Cow::Borrowed(&self.b_enc)),
            ("W_dec", Cow::Borrowed(&self.w_dec)),
            ("b_dec", Cow::Borrowed(&self.b_dec)),
        ];
        for (name, values) in self.encode.vectors() {
            all.push((name, Cow::Owned(Tensor::from_fn(&[values.len()], |i| values[i]))));
        }
        all
    }

    /// `cfg.json`: what was read, with what this program decides written over it.
    fn cfg(&self) -> Json {
        let mut cfg = self.extra.cfg.clone();
        // A file from before version 6 has the name of the hook at the top.
        let flat = ["hook_name", "hook_point"].into_iter().find(|key| cfg.contains_key(*key));
        let mut default = |key: &str, value: Json| {
            cfg.entry(key).or_insert(value);
        };
        default("dtype", json!("float32"));
        default("device", json!("cpu"));
        default("normalize_activations", json!("none"));
        if flat.is_none() {
            let reshape = if self.site.ends_with("hook_z") { "hook_z" } else { "none" };
            default("reshape_activations", json!(reshape));
            default("metadata", json!({}));
        }
        let architecture = match self.encode {
            Encode::Linear => LINEAR,
            Encode::Relu => "standard",
            Encode::TopK(_) => "topk",
            Encode::JumpRelu { .. } => "jumprelu",
            Encode::Gated { .. } => "gated",
        };
        cfg.insert("architecture".into(), json!(architecture));
        cfg.insert("d_in".into(), json!(self.d_in()));
        cfg.insert("d_sae".into(), json!(self.n_latents()));
        cfg.insert("apply_b_dec_to_input".into(), json!(self.subtract_b_dec));
        if let Some(name) = self.normalize.name() {
            cfg.insert("normalize_activations".into(), json!(name));
        }
        if let Encode::TopK(k) = self.encode {
            cfg.insert("k".into(), json!(k));
            cfg.entry("rescale_acts_by_decoder_norm").or_insert(json!(false));
        }
        if let Some(key) = flat {
            cfg.insert(key.into(), json!(self.site));
        } else if let Some(Json::Object(metadata)) = cfg.get_mut("metadata") {
            metadata.insert("hook_name".into(), json!(self.site));
        }
        Json::Object(cfg)
    }

    /// Reads a folder of the architectures `standard`, `topk`, `jumprelu`, `gated` and
    /// `flyroom_linear`.
    ///
    /// # Errors
    /// If a key or tensor is missing or would change latents in a way that is not understood: the
    /// message names it.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(CFG);
        let bad = |why: String| Error::Format { path: path.clone(), why };
        let text = std::fs::read_to_string(&path).map_err(|e| {
            bad(format!("{e}; hint: a dictionary is a folder with {CFG} and {WEIGHTS}"))
        })?;
        let cfg: Map<String, Json> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let kind = architecture(&cfg).map_err(bad)?;
        let site = hook_name(&cfg).map_err(bad)?;
        let subtract = match cfg.get("apply_b_dec_to_input") {
            None => true,
            Some(Json::Bool(b)) => *b,
            Some(other) => return Err(bad(format!("apply_b_dec_to_input is {other}"))),
        };
        let normalize = match cfg.get("normalize_activations") {
            // The boolean is of files from before version 6: a factor that lies in the weights.
            None | Some(Json::Null | Json::Bool(_)) => Normalize::None,
            Some(said) => said.as_str().and_then(Normalize::parse).ok_or_else(|| {
                bad(format!(
                    "normalize_activations is {said}; hint: none, expected_average_only_in, \
                     constant_norm_rescale and layer_norm are read; fold another into the weights \
                     (SAELens: fold_activation_norm_scaling_factor) and save again"
                ))
            })?,
        };

        let path = dir.join(WEIGHTS);
        let bad = |why: String| Error::Format { path: path.clone(), why };
        let (mut tensors, header) = read_safetensors(&path)?;
        let own: &[&str] = match kind {
            Kind::Linear | Kind::Relu | Kind::TopK(_) => &[],
            Kind::JumpRelu => &["threshold"],
            Kind::Gated => &["b_gate", "b_mag", "r_mag"],
        };
        for name in ["W_skip", "threshold", "log_threshold", "b_gate", "b_mag", "r_mag"] {
            if tensors.contains_key(name) && !own.contains(&name) {
                return Err(bad(format!("it has '{name}', which only another architecture uses")));
            }
        }
        let mut take = |name: &str| -> Result<Tensor, Error> {
            let raw = tensors.get(name).ok_or_else(|| bad(format!("no tensor '{name}'")))?;
            let t = raw.to_tensor().ok_or_else(|| {
                bad(format!("'{name}' holds {:?}; hint: convert it to F32 or BF16", raw.dtype))
            })?;
            // A full-precision original needs no copy; a narrow one is kept for the way out.
            if *raw == RawTensor::from_tensor(&t) {
                tensors.remove(name);
            }
            Ok(t)
        };
        let w_enc = take("W_enc")?;
        let b_enc = take(if matches!(kind, Kind::Gated) { "b_gate" } else { "b_enc" })?;
        let (w_dec, b_dec) = (take("W_dec")?, take("b_dec")?);
        let encode = match kind {
            Kind::Linear => Encode::Linear,
            Kind::Relu => Encode::Relu,
            Kind::TopK(k) => Encode::TopK(k),
            Kind::JumpRelu => Encode::JumpRelu { threshold: take("threshold")?.into_data() },
            Kind::Gated => Encode::Gated {
                r_mag: take("r_mag")?.into_data(),
                b_mag: take("b_mag")?.into_data(),
            },
        };
        let mut d =
            Self::new(site, w_enc, b_enc, w_dec, b_dec, encode).map_err(|e| bad(e.to_string()))?;
        for (key, got) in [("d_in", d.d_in()), ("d_sae", d.n_latents())] {
            let said = cfg.get(key).and_then(Json::as_u64);
            if said != Some(got as u64) {
                let said = said.map_or("nothing".into(), |s| s.to_string());
                return Err(bad(format!("{key} is {got} in the tensors, {said} in {CFG}")));
            }
        }
        if cfg.get("rescale_acts_by_decoder_norm") == Some(&Json::Bool(true))
            && !unit_rows(&d.w_dec)
        {
            return Err(bad(
                "latents are rescaled by decoder norms that are not 1; hint: fold the norms into \
                 W_enc and b_enc (SAELens: fold_W_dec_norm) and save again"
                    .into(),
            ));
        }
        d.subtract_b_dec = subtract;
        d.normalize = normalize;
        d.extra = Extra { cfg, tensors, header };
        Ok(d)
    }
}

/// The architecture, before its tensors are read.
enum Kind {
    Linear,
    Relu,
    TopK(usize),
    JumpRelu,
    Gated,
}

fn architecture(cfg: &Map<String, Json>) -> Result<Kind, String> {
    // A flat file from before version 6 need not say it: there was one.
    let usual = (!cfg.contains_key("metadata")).then_some("standard");
    let name = cfg.get("architecture").and_then(Json::as_str).or(usual);
    match name.ok_or("no key 'architecture'; hint: SAELens writes one of standard, topk, ...")? {
        LINEAR => Ok(Kind::Linear),
        "jumprelu" => Ok(Kind::JumpRelu),
        "gated" => Ok(Kind::Gated),
        "topk" => {
            let k = cfg.get("k").and_then(Json::as_u64);
            k.map(|k| Kind::TopK(k as usize)).ok_or("no key 'k' of a topk dictionary".into())
        }
        "standard" => {
            // Before version 6 a topk dictionary was a standard one with another activation.
            match cfg.get("activation_fn_str").or(cfg.get("activation_fn")).and_then(Json::as_str) {
                None | Some("relu") => Ok(Kind::Relu),
                Some("topk") => cfg
                    .get("activation_fn_kwargs")
                    .and_then(|k| k.get("k"))
                    .and_then(Json::as_u64)
                    .map(|k| Kind::TopK(k as usize))
                    .ok_or("activation topk without activation_fn_kwargs.k".into()),
                Some(other) => Err(format!("the activation '{other}' is not read yet")),
            }
        }
        other if other.contains("transcoder") => Err(format!(
            "it is a {other}: it reads one site and writes another, and a dictionary here \
             reconstructs the site that it reads; hint: standard, topk, jumprelu and gated are read"
        )),
        other => Err(format!(
            "the architecture '{other}' is not read yet; hint: standard, topk, jumprelu, gated and {LINEAR} are"
        )),
    }
}

fn hook_name(cfg: &Map<String, Json>) -> Result<String, String> {
    cfg.get("metadata")
        .and_then(|m| m.get("hook_name"))
        .or(cfg.get("hook_name"))
        .or(cfg.get("hook_point"))
        .and_then(Json::as_str)
        .map(str::to_string)
        .ok_or("no key 'hook_name' in metadata or at the top".into())
}

fn unit_rows(w_dec: &Tensor) -> bool {
    (0..w_dec.shape()[0]).all(|i| {
        let square: f64 = w_dec.row(i).iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        (square.sqrt() - 1.0).abs() < 1e-5
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::Dtype;

    fn dictionary(encode: Encode) -> Dictionary {
        let t = |shape: &[usize], c: f32| Tensor::from_fn(shape, |i| c * (i as f32 + 0.1).sqrt());
        Dictionary::new(
            "blocks.0.hook_resid_post",
            t(&[2, 3], 1.0),
            t(&[3], -1.0),
            t(&[3, 2], 0.3),
            t(&[2], 7.0),
            encode,
        )
        .unwrap()
    }

    #[test]
    fn a_folder_read_back_is_the_same_bit_for_bit() {
        for encode in [
            Encode::Linear,
            Encode::Relu,
            Encode::TopK(2),
            Encode::JumpRelu { threshold: vec![0.5, 0.25, 0.0] },
            Encode::Gated { r_mag: vec![0.1, -0.2, 0.3], b_mag: vec![1.0, 2.0, 3.0] },
        ] {
            let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let d = dictionary(encode.clone());
            d.save(a.path()).unwrap();
            let read = Dictionary::load(a.path()).unwrap();
            assert_eq!((&read.w_enc, &read.w_dec), (&d.w_enc, &d.w_dec));
            assert_eq!((&read.b_enc, &read.b_dec), (&d.b_enc, &d.b_dec));
            assert_eq!((&read.site, &read.encode), (&d.site, &d.encode));
            read.save(b.path()).unwrap();
            for file in [CFG, WEIGHTS] {
                let bytes = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
                assert_eq!(bytes(a.path()), bytes(b.path()), "{file}");
            }
        }
    }

    #[test]
    fn keys_and_tensors_of_others_come_back() {
        let dir = tempfile::tempdir().unwrap();
        dictionary(Encode::TopK(1)).save(dir.path()).unwrap();
        // As a peer might have left it: more keys, another tensor, one tensor in half the width.
        let path = dir.path().join(CFG);
        let mut cfg: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        cfg["metadata"]["neuronpedia_id"] = json!("x/1");
        cfg["seqpos_slice"] = json!([null]);
        cfg["apply_b_dec_to_input"] = json!(false);
        std::fs::write(&path, cfg.to_string()).unwrap();
        let weights = dir.path().join(WEIGHTS);
        let (mut tensors, header) = read_safetensors(&weights).unwrap();
        let half =
            RawTensor { dtype: Dtype::BF16, shape: vec![2], bytes: vec![0x80, 0x3f, 0, 0x40] };
        tensors.insert("b_dec".into(), half.clone());
        let other = RawTensor { dtype: Dtype::U8, shape: vec![3], bytes: vec![1, 2, 3] };
        tensors.insert("sparsity".into(), other);
        write_safetensors(&weights, &tensors, &header).unwrap();

        let d = Dictionary::load(dir.path()).unwrap();
        assert_eq!(d.b_dec.data(), [1.0, 2.0]);
        assert!(!d.subtract_b_dec);
        let again = tempfile::tempdir().unwrap();
        d.save(again.path()).unwrap();
        assert_eq!(read_safetensors(&again.path().join(WEIGHTS)).unwrap().0, tensors);
        let saved: Json =
            serde_json::from_slice(&std::fs::read(again.path().join(CFG)).unwrap()).unwrap();
        assert_eq!(saved, cfg);
        // A tensor that was changed is written as it is now.
        let mut changed = d;
        changed.b_dec.data_mut()[0] = 5.0;
        changed.save(again.path()).unwrap();
        assert_eq!(Dictionary::load(again.path()).unwrap().b_dec.data(), [5.0, 2.0]);
    }

    #[test]
    fn what_would_change_latents_is_refused_by_name() {
        for (key, value, word) in [
            ("architecture", json!("temporal"), "temporal"),
            ("architecture", json!("jumprelu"), "no tensor 'threshold'"),
            ("architecture", json!("gated"), "no tensor 'b_gate'"),
            ("architecture", Json::Null, "architecture"),
            ("k", Json::Null, "'k'"),
            ("k", json!(9), "k = 9"),
            ("d_in", json!(3), "d_in"),
            ("normalize_activations", json!("covariance_whitening"), "covariance_whitening"),
            ("architecture", json!("jumprelu_transcoder"), "transcoder"),
            ("rescale_acts_by_decoder_norm", json!(true), "norms"),
            ("metadata", json!({}), "hook_name"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            dictionary(Encode::TopK(2)).save(dir.path()).unwrap();
            let path = dir.path().join(CFG);
            let mut cfg: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            cfg[key] = value;
            std::fs::write(&path, cfg.to_string()).unwrap();
            let e = Dictionary::load(dir.path()).unwrap_err().to_string();
            assert!(e.contains(word), "{key}: {e}");
        }
        let dir = tempfile::tempdir().unwrap();
        let e = Dictionary::load(dir.path()).unwrap_err().to_string();
        assert!(e.contains("hint") && e.contains(CFG), "{e}");
    }

    /// Recorded by benchmarks/oracles/sae_lens.py with SAELens 6.54.12.
    #[test]
    fn dictionaries_of_sae_lens_encode_as_there_and_go_back_bit_for_bit() {
        for name in
            ["standard", "topk", "jumprelu", "gated", "layer_norm", "constant_norm", "before-6"]
        {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sae_lens").join(name);
            let d = Dictionary::load(&dir).unwrap();
            let (recorded, _) = read_safetensors(&dir.join("encoded.safetensors")).unwrap();
            let tensor = |key: &str| recorded[key].to_tensor().unwrap();
            let cx = flyroom_tensor::Context::single();
            let z = d.encode(&tensor("x"), &cx).unwrap();
            let y = d.reconstruct(&tensor("x"), &cx).unwrap();
            for (ours, theirs) in [(&z, tensor("z")), (&y, tensor("y"))] {
                assert_eq!(ours.shape(), theirs.shape());
                for (a, b) in ours.data().iter().zip(theirs.data()) {
                    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{name}: {a} and {b}");
                }
            }
            let again = tempfile::tempdir().unwrap();
            d.save(again.path()).unwrap();
            let tensors = |dir: &Path| read_safetensors(&dir.join(WEIGHTS)).unwrap().0;
            assert_eq!(tensors(again.path()), tensors(&dir), "{name}");
            let cfg = |dir: &Path| -> Json {
                serde_json::from_slice(&std::fs::read(dir.join(CFG)).unwrap()).unwrap()
            };
            assert_eq!(cfg(again.path()), cfg(&dir), "{name}");
        }
    }
}
