//! A dictionary's weights alone: a safetensors file without the `cfg.json` that would say where it
//! reads and how pre-activations become latents.
//!
//! Tensors have SAELens' names (`W_enc`, `b_enc`, `W_dec`, `b_dec`) or sparsify's (`encoder.weight`,
//! `encoder.bias`). How they lie is seen from the lengths of the biases; square ones could lie either
//! way and are refused. `threshold` says jumprelu, a gate says gated; the rest, and the site, is
//! [declared](Declared) or an error. As both peers do by default, `b_dec` is subtracted first.

use crate::{Dictionary, Encode, Error};
use flyroom_network::{RawTensor, read_safetensors};
use flyroom_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

/// What no tensor says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// Where it reads.
    pub site: Option<String>,
    /// How pre-activations become latents.
    pub activation: Option<Activation>,
}

/// A nonlinearity without tensors of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// None.
    Linear,
    /// max(x, 0)
    Relu,
    /// ReLU of the k largest.
    TopK(usize),
}

impl FromStr for Activation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("topk:").map(str::parse)) {
            ("linear", _) => Ok(Self::Linear),
            ("relu", _) => Ok(Self::Relu),
            (_, Some(Ok(k))) => Ok(Self::TopK(k)),
            _ => {
                Err(format!("'{text}' is no activation; hint: relu, topk:K with a number, linear"))
            }
        }
    }
}

impl Dictionary {
    /// Reads such a file.
    ///
    /// # Errors
    /// If a tensor is missing or fits no orientation, or if something is neither in the file nor
    /// declared: the message names it.
    pub fn load_bare(path: &Path, declared: &Declared) -> Result<Self, Error> {
        let bad = |why: String| Error::Format { path: path.into(), why };
        let (tensors, header) = read_safetensors(path)?;
        let take = |names: &[&str]| -> Result<Tensor, Error> {
            let found = names.iter().find_map(|n| Some((n, tensors.get(*n)?)));
            let Some((name, raw)) = found else {
                let held: Vec<&str> = tensors.keys().take(4).map(String::as_str).collect();
                return Err(bad(format!(
                    "no tensor '{}', so it is no dictionary; it holds '{}' and {} more; hint: \
                     `flyroom import --help` says which networks can be read in",
                    names.join("' or '"),
                    held.join("', '"),
                    tensors.len().saturating_sub(held.len()),
                )));
            };
            raw.to_tensor().ok_or_else(|| bad(format!("'{name}' holds {:?}, no floats", raw.dtype)))
        };
        let w_enc = take(&["W_enc", "encoder.weight"])?;
        let w_dec = take(&["W_dec", "decoder.weight"])?;
        let gated = tensors.contains_key("b_gate");
        let b_enc = take(if gated { &["b_gate"] } else { &["b_enc", "encoder.bias"] })?;
        let b_dec = take(&["b_dec", "decoder.bias", "bias"])?;
        let (n, d) = (b_enc.data().len(), b_dec.data().len());
        if n == d {
            return Err(bad(format!(
                "{n} latents of {d} units: square matrices could lie either way; hint: put a cfg.json \
                 beside it, as SAELens or sparsify write it, and give the folder"
            )));
        }
        let turned = |t: Tensor, wanted: [usize; 2]| match t.shape() {
            &[a, b] if [b, a] == wanted => t.transposed(),
            _ => Ok(t),
        };
        let (w_enc, w_dec) = (turned(w_enc, [d, n])?, turned(w_dec, [n, d])?);
        let encode = encode(&tensors, declared, &take).map_err(|why| match why {
            Lacking::Tensor(e) => e,
            Lacking::Word(why) => bad(why.into()),
        })?;
        let site = declared.site.clone().or_else(|| header.get("hook_name").cloned());
        let site = site.ok_or_else(|| {
            bad("no word on the site that it reads; hint: --site blocks.0.hook_resid_post".into())
        })?;
        Self::new(site, w_enc, b_enc, w_dec, b_dec, encode).map_err(|e| bad(e.to_string()))
    }
}

enum Lacking {
    Tensor(Error),
    Word(&'static str),
}

fn encode(
    tensors: &BTreeMap<String, RawTensor>,
    declared: &Declared,
    take: &dyn Fn(&[&str]) -> Result<Tensor, Error>,
) -> Result<Encode, Lacking> {
    let vector = |name: &str| take(&[name]).map(Tensor::into_data).map_err(Lacking::Tensor);
    let own = if tensors.contains_key("b_gate") {
        Some(Encode::Gated { r_mag: vector("r_mag")?, b_mag: vector("b_mag")? })
    } else if tensors.contains_key("threshold") {
        Some(Encode::JumpRelu { threshold: vector("threshold")? })
    } else {
        None
    };
    match (own, declared.activation) {
        (Some(_), Some(_)) => {
            Err(Lacking::Word("its tensors say how latents are made; hint: leave --activation out"))
        }
        (Some(own), None) => Ok(own),
        (None, Some(Activation::Linear)) => Ok(Encode::Linear),
        (None, Some(Activation::Relu)) => Ok(Encode::Relu),
        (None, Some(Activation::TopK(k))) => Ok(Encode::TopK(k)),
        (None, None) => Err(Lacking::Word(
            "no word on how pre-activations become latents; hint: --activation relu, or topk:K",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::write_safetensors;
    use flyroom_tensor::Context;

    fn relu_at(site: &str) -> Declared {
        Declared { site: Some(site.into()), activation: Some(Activation::Relu) }
    }

    fn file(tensors: &[(&str, Tensor)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let all = tensors.iter().map(|(n, t)| ((*n).to_owned(), RawTensor::from_tensor(t)));
        write_safetensors(&path, &all.collect(), &BTreeMap::new()).unwrap();
        (dir, path)
    }

    fn t(shape: &[usize]) -> Tensor {
        Tensor::from_fn(shape, |i| (i as f32 + 1.0).sqrt() - 1.5)
    }

    #[test]
    fn orientation_is_seen_from_the_biases() {
        let (enc, dec) = (t(&[2, 3]), t(&[3, 2]));
        let x = t(&[4, 2]);
        let cx = Context::single();
        let mut seen = vec![];
        for (w_enc, w_dec) in [
            (enc.clone(), dec.clone()),
            (enc.transposed().unwrap(), dec.transposed().unwrap()),
            (enc.transposed().unwrap(), dec.clone()),
        ] {
            let (_dir, path) =
                file(&[("W_enc", w_enc), ("W_dec", w_dec), ("b_enc", t(&[3])), ("b_dec", t(&[2]))]);
            let d = Dictionary::load_bare(&path, &relu_at("s")).unwrap();
            seen.push(d.reconstruct(&x, &cx).unwrap());
        }
        assert!(seen.iter().all(|y| *y == seen[0]));
        let names = [
            ("encoder.weight", enc),
            ("W_dec", dec),
            ("encoder.bias", t(&[3])),
            ("b_dec", t(&[2])),
        ];
        let (_dir, path) = file(&names);
        let k = Declared { activation: Some(Activation::TopK(1)), ..relu_at("s") };
        assert_eq!(Dictionary::load_bare(&path, &k).unwrap().encode, Encode::TopK(1));
    }

    #[test]
    fn what_is_not_known_is_asked_for() {
        let good =
            [("W_enc", t(&[2, 3])), ("W_dec", t(&[3, 2])), ("b_enc", t(&[3])), ("b_dec", t(&[2]))];
        let (_dir, path) = file(&good);
        let says = |path: &Path, declared: &Declared, word: &str| {
            let e = Dictionary::load_bare(path, declared).unwrap_err().to_string();
            assert!(e.contains(word), "{word}: {e}");
        };
        says(&path, &Declared::default(), "--activation");
        says(&path, &Declared { site: None, ..relu_at("s") }, "--site");
        let (_dir, path) = file(&good[1..]);
        says(&path, &relu_at("s"), "no tensor 'W_enc' or 'encoder.weight'");
        let square =
            [("W_enc", t(&[2, 2])), ("W_dec", t(&[2, 2])), ("b_enc", t(&[2])), ("b_dec", t(&[2]))];
        let (_dir, path) = file(&square);
        says(&path, &relu_at("s"), "either way");
        let mut jump = good.to_vec();
        jump.push(("threshold", t(&[3])));
        let (_dir, path) = file(&jump);
        says(&path, &relu_at("s"), "leave --activation out");
        let d = Dictionary::load_bare(&path, &Declared { activation: None, ..relu_at("s") });
        assert!(matches!(d.unwrap().encode, Encode::JumpRelu { .. }));
        assert!("topk:x".parse::<Activation>().unwrap_err().contains("topk:K"));
    }
}
