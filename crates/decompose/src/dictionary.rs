//! A dictionary: latents read from activations and written back as directions.
//!
//! z = f((x - b_dec) W_enc + b_enc), x^ = z W_dec + b_dec, with f the identity (PCA, neurons), a
//! ReLU (Bricken et al. 2023), the ReLU of the k largest (Gao et al. 2024, eq. 2), a jump
//! (Rajamanoharan et al. 2024, arXiv 2407.14435, eq. 4) or a gate (Rajamanoharan et al. 2024, arXiv
//! 2404.16014, eq. 6). Dictionaries of others may norm each sample first ([`Normalize`]). Names and orientation of the tensors are SAELens'. Products run in the
//! engine, so latents are the same bits on every CPU and with any number of threads.
//!
//! ```
//! use flyroom_decompose::{Dictionary, Encode};
//! use flyroom_tensor::{Context, Tensor};
//! let w = Tensor::new(&[2, 2], vec![1., 0., 0., 1.])?;
//! let (b_enc, b_dec) = (Tensor::zeros(&[2]), Tensor::new(&[2], vec![1., 1.])?);
//! let d = Dictionary::new("hook_hidden", w.clone(), b_enc, w, b_dec, Encode::Relu)?;
//! let cx = Context::single();
//! let z = d.encode(&Tensor::new(&[1, 2], vec![3., 0.])?, &cx)?;
//! assert_eq!(z.data(), [2., 0.]); // (3, 0) - (1, 1), and no negative latents
//! assert_eq!(d.decode(&z, &cx)?.data(), [3., 1.]);
//! # Ok::<(), flyroom_decompose::Error>(())
//! ```

use crate::{Error, Normalize};
use flyroom_network::RawTensor;
use flyroom_tensor::{Bindings, Context, Graph, Program, Tensor, Value, math};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// How pre-activations become latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// As they are (PCA, neurons).
    Linear,
    /// max(x, 0)
    Relu,
    /// ReLU of the k largest.
    TopK(usize),
    /// max(x, 0) where x is above the threshold of its latent, else 0.
    JumpRelu {
        /// `[d_sae]`
        threshold: Vec<f32>,
    },
    /// max(m, 0) where x > 0, else 0; m = (x_in W_enc) exp(r_mag) + b_mag is a second reading of the
    /// same directions. The bias of x itself, `b_gate`, is the dictionary's `b_enc`.
    Gated {
        /// Log of the scale of each latent, `[d_sae]`.
        r_mag: Vec<f32>,
        /// Bias of the magnitudes, `[d_sae]`.
        b_mag: Vec<f32>,
    },
}

impl Encode {
    /// The vectors of one number a latent that it needs beside the biases.
    pub(crate) fn vectors(&self) -> Vec<(&'static str, &[f32])> {
        match self {
            Self::Linear | Self::Relu | Self::TopK(_) => vec![],
            Self::JumpRelu { threshold } => vec![("threshold", threshold)],
            Self::Gated { r_mag, b_mag } => vec![("r_mag", r_mag), ("b_mag", b_mag)],
        }
    }
}

/// Latents z = encode((x - b_dec) W_enc + b_enc), reconstruction z W_dec + b_dec.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    /// The site that it reads and writes.
    pub site: String,
    /// `[d_in, d_sae]`
    pub w_enc: Tensor,
    /// `[d_sae]`
    pub b_enc: Tensor,
    /// `[d_sae, d_in]`, rows are directions.
    pub w_dec: Tensor,
    /// `[d_in]`
    pub b_dec: Tensor,
    /// How pre-activations become latents.
    pub encode: Encode,
    /// Whether `b_dec` is subtracted before encoding (`apply_b_dec_to_input` of SAELens).
    pub subtract_b_dec: bool,
    /// What is done to each sample before.
    pub normalize: Normalize,
    /// What a folder held beside these, kept so that an export returns it.
    pub extra: Extra,
}

/// What the file of a dictionary holds beside what this program understands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra {
    /// `cfg.json` as it was read.
    pub cfg: Map<String, Json>,
    /// Tensors that are not used, and the narrow originals of those that were widened to f32.
    pub tensors: BTreeMap<String, RawTensor>,
    /// Metadata in the header of the safetensors file.
    pub header: BTreeMap<String, String>,
}

/// Rows that one pass encodes.
const CHUNK: usize = 2048;

impl Dictionary {
    /// Checks that the shapes fit, that all values are finite and that k latents exist.
    pub fn new(
        site: impl Into<String>,
        w_enc: Tensor,
        b_enc: Tensor,
        w_dec: Tensor,
        b_dec: Tensor,
        encode: Encode,
    ) -> Result<Self, Error> {
        let &[n, d] = w_dec.shape() else {
            return Err(Error::Shapes(format!(
                "W_dec has the shape {:?}, wanted [d_sae, d_in]",
                w_dec.shape()
            )));
        };
        let wanted: [(&str, &Tensor, &[usize]); 3] =
            [("W_enc", &w_enc, &[d, n]), ("b_enc", &b_enc, &[n]), ("b_dec", &b_dec, &[d])];
        for (name, t, shape) in wanted {
            if t.shape() != shape {
                return Err(Error::Shapes(format!(
                    "{name} has the shape {:?}, wanted {shape:?} beside W_dec [{n}, {d}]",
                    t.shape()
                )));
            }
        }
        for (name, t) in
            [("W_enc", &w_enc), ("b_enc", &b_enc), ("W_dec", &w_dec), ("b_dec", &b_dec)]
        {
            if let Some(i) = t.data().iter().position(|x| !x.is_finite()) {
                return Err(Error::Shapes(format!("{name} holds {} at {i}", t.data()[i])));
            }
        }
        if n == 0 || d == 0 {
            return Err(Error::Shapes("a dictionary without latents or units".into()));
        }
        if let Encode::TopK(k) = encode
            && !(1..=n).contains(&k)
        {
            return Err(Error::Shapes(format!("k = {k} of {n} latents")));
        }
        for (name, values) in encode.vectors() {
            if values.len() != n {
                return Err(Error::Shapes(format!(
                    "{name} has {} entries, wanted one for each of {n} latents",
                    values.len()
                )));
            }
            if let Some(i) = values.iter().position(|x| !x.is_finite()) {
                return Err(Error::Shapes(format!("{name} holds {} at {i}", values[i])));
            }
        }
        Ok(Self {
            site: site.into(),
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            encode,
            subtract_b_dec: true,
            normalize: Normalize::None,
            extra: Extra::default(),
        })
    }

    /// Length of the vectors that it takes apart.
    pub fn d_in(&self) -> usize {
        self.b_dec.shape()[0]
    }

    /// Number of latents.
    pub fn n_latents(&self) -> usize {
        self.b_enc.shape()[0]
    }

    /// What latent `i` writes: row i of W_dec, `[d_in]`.
    pub fn direction(&self, i: usize) -> &[f32] {
        self.w_dec.row(i)
    }

    /// All directions, one for each latent.
    pub fn directions(&self) -> Vec<&[f32]> {
        (0..self.n_latents()).map(|i| self.direction(i)).collect()
    }

    /// Latents `[sample, d_sae]` of activations `[sample, d_in]`.
    pub fn encode(&self, x: &Tensor, cx: &Context) -> Result<Tensor, Error> {
        let normal;
        let x = match self.normalize {
            Normalize::None => x,
            norm => {
                normal = norm.apply(x);
                &normal
            }
        };
        let mut z = self.pre_latents(x, &self.w_enc, &self.b_enc, cx)?;
        match &self.encode {
            Encode::Linear | Encode::Relu | Encode::TopK(_) => {}
            Encode::JumpRelu { threshold } => {
                for row in z.data_mut().chunks_exact_mut(threshold.len()) {
                    for (z, &t) in row.iter_mut().zip(threshold) {
                        *z = if *z > t { z.max(0.0) } else { 0.0 };
                    }
                }
            }
            Encode::Gated { r_mag, b_mag } => {
                let n = self.n_latents();
                let scale: Vec<f32> = r_mag.iter().map(|&r| math::exp(r)).collect();
                let w =
                    Tensor::from_fn(self.w_enc.shape(), |i| self.w_enc.data()[i] * scale[i % n]);
                let magnitude = self.pre_latents(x, &w, &Tensor::new(&[n], b_mag.clone())?, cx)?;
                for (z, &m) in z.data_mut().iter_mut().zip(magnitude.data()) {
                    *z = if *z > 0.0 { m.max(0.0) } else { 0.0 };
                }
            }
        }
        Ok(z)
    }

    /// What the graph makes of activations: latents, or for a jump or a gate what it decides on.
    fn pre_latents(
        &self,
        x: &Tensor,
        w_enc: &Tensor,
        b_enc: &Tensor,
        cx: &Context,
    ) -> Result<Tensor, Error> {
        self.rows(x, self.d_in(), self.n_latents(), (w_enc, b_enc), cx, |g, x| {
            let leaves = self.leaves(g);
            let pre = record_pre(g, x, &leaves, self.subtract_b_dec)?;
            record_latents(g, pre, &self.encode)
        })
    }

    /// Activations `[sample, d_in]` from latents `[sample, d_sae]`, before a norm is undone.
    pub fn decode(&self, z: &Tensor, cx: &Context) -> Result<Tensor, Error> {
        self.rows(z, self.n_latents(), self.d_in(), (&self.w_enc, &self.b_enc), cx, |g, z| {
            let leaves = self.leaves(g);
            record_decode(g, z, &leaves)
        })
    }

    /// Activations `[sample, d_in]` from latents `[sample, d_sae]` that samples `x` have.
    pub fn decode_as(&self, z: &Tensor, x: &Tensor, cx: &Context) -> Result<Tensor, Error> {
        let mut y = self.decode(z, cx)?;
        self.normalize.undo(&mut y, x);
        Ok(y)
    }

    /// x^ of `x`, `[sample, d_in]`.
    pub fn reconstruct(&self, x: &Tensor, cx: &Context) -> Result<Tensor, Error> {
        let width = self.d_in();
        let rows = match x.shape() {
            &[rows, w] if w == width => rows,
            _ => return self.encode(x, cx), // says what is wrong
        };
        let mut out = Vec::with_capacity(x.data().len());
        for chunk in x.data().chunks(CHUNK * width) {
            let chunk = Tensor::new(&[chunk.len() / width, width], chunk.to_vec())?;
            let z = self.encode(&chunk, cx)?;
            out.extend_from_slice(self.decode_as(&z, &chunk, cx)?.data());
        }
        Ok(Tensor::new(&[rows, width], out)?)
    }

    fn leaves(&self, g: &mut Graph) -> Leaves {
        Leaves::record(g, self.d_in(), self.n_latents())
    }

    fn rows(
        &self,
        x: &Tensor,
        width: usize,
        width_out: usize,
        (w_enc, b_enc): (&Tensor, &Tensor),
        cx: &Context,
        record: impl Fn(&mut Graph, Value) -> Result<Value, flyroom_tensor::Error>,
    ) -> Result<Tensor, Error> {
        let rows = match x.shape() {
            &[rows, w] if w == width => rows,
            other => {
                return Err(Error::Shapes(format!(
                    "the dictionary at {} wants [sample, {width}], got {other:?}",
                    self.site
                )));
            }
        };
        let mut out = Vec::with_capacity(rows * width_out);
        let mut compiled: Option<(usize, Program)> = None;
        for chunk in x.data().chunks(CHUNK * width) {
            let n = chunk.len() / width;
            let mut program = match compiled.take() {
                Some((size, program)) if size == n => program,
                _ => {
                    let mut g = Graph::new();
                    let x = g.input("x", &[n, width]);
                    let y = record(&mut g, x)?;
                    Program::compile(&g, &[y])?
                }
            };
            let bindings = Bindings::new()
                .with("x", chunk)
                .with("W_enc", w_enc.data())
                .with("b_enc", b_enc.data())
                .with("W_dec", self.w_dec.data())
                .with("b_dec", self.b_dec.data());
            program.run(cx, &bindings)?;
            out.extend_from_slice(program.output(0));
            compiled = Some((n, program));
        }
        Ok(Tensor::new(&[rows, width_out], out)?)
    }
}

/// The four tensors in a graph.
pub(crate) struct Leaves {
    pub w_enc: Value,
    pub b_enc: Value,
    pub w_dec: Value,
    pub b_dec: Value,
}

impl Leaves {
    /// Parameters under SAELens' names.
    pub fn record(g: &mut Graph, d_in: usize, d_sae: usize) -> Self {
        Self {
            w_enc: g.parameter("W_enc", &[d_in, d_sae]),
            b_enc: g.parameter("b_enc", &[d_sae]),
            w_dec: g.parameter("W_dec", &[d_sae, d_in]),
            b_dec: g.parameter("b_dec", &[d_in]),
        }
    }
}

/// Pre-activations (x - b_dec) W_enc + b_enc, `[sample, latent]`.
pub(crate) fn record_pre(
    g: &mut Graph,
    x: Value,
    w: &Leaves,
    subtract_b_dec: bool,
) -> Result<Value, flyroom_tensor::Error> {
    let x = if subtract_b_dec { g.sub(x, w.b_dec)? } else { x }; // [sample, unit]
    let pre = g.einsum("bd,dn->bn", x, w.w_enc)?;
    g.add(pre, w.b_enc)
}

/// z = f(pre-activations); for a jump or a gate the pre-activation that it decides on.
pub(crate) fn record_latents(
    g: &mut Graph,
    pre: Value,
    encode: &Encode,
) -> Result<Value, flyroom_tensor::Error> {
    match encode {
        Encode::Linear | Encode::JumpRelu { .. } | Encode::Gated { .. } => Ok(pre),
        Encode::Relu => g.relu(pre),
        Encode::TopK(k) => {
            let largest = g.top_k(pre, *k)?;
            g.relu(largest)
        }
    }
}

/// x^ = z W_dec + b_dec
pub(crate) fn record_decode(
    g: &mut Graph,
    z: Value,
    w: &Leaves,
) -> Result<Value, flyroom_tensor::Error> {
    let y = g.einsum("bn,nd->bd", z, w.w_dec)?;
    g.add(y, w.b_dec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(encode: Encode) -> Dictionary {
        Dictionary::new(
            "s",
            Tensor::new(&[2, 3], vec![1., 2., -1., 0., 1., 1.]).unwrap(),
            Tensor::new(&[3], vec![0., 0., 1.]).unwrap(),
            Tensor::new(&[3, 2], vec![1., 0., 0., 1., 1., 1.]).unwrap(),
            Tensor::new(&[2], vec![1., 0.]).unwrap(),
            encode,
        )
        .unwrap()
    }

    #[test]
    fn each_encoder_does_what_its_equation_says() {
        let cx = Context::single();
        // x - b_dec = (1, -1); pre = (1, 2 - 1, -1 - 1 + 1).
        let x = Tensor::new(&[1, 2], vec![2., -1.]).unwrap();
        for (encode, wanted) in [
            (Encode::Linear, [1., 1., -1.]),
            (Encode::Relu, [1., 1., 0.]),
            (Encode::TopK(1), [1., 0., 0.]), // of equals the first
            (Encode::TopK(3), [1., 1., 0.]),
            // Above the threshold, not at it.
            (Encode::JumpRelu { threshold: vec![1., 0.5, -9.] }, [0., 1., 0.]),
            // exp(0) (1, 1, -2) + (4, -3, 9) where the pre-activation is positive.
            (Encode::Gated { r_mag: vec![0.; 3], b_mag: vec![4., -3., 9.] }, [5., 0., 0.]),
        ] {
            assert_eq!(dictionary(encode).encode(&x, &cx).unwrap().data(), wanted);
        }
        let mut d = dictionary(Encode::Linear);
        d.subtract_b_dec = false;
        assert_eq!(d.encode(&x, &cx).unwrap().data(), [2., 3., -2.]);
        let z = Tensor::new(&[1, 3], vec![1., 2., 3.]).unwrap();
        assert_eq!(d.decode(&z, &cx).unwrap().data(), [1. + 3. + 1., 2. + 3.]);
    }

    #[test]
    fn rows_beyond_one_chunk_are_the_rows_alone() {
        let cx = Context::single();
        let d = dictionary(Encode::Relu);
        let n = 2 * CHUNK + 3;
        let x = Tensor::from_fn(&[n, 2], |i| (i % 17) as f32 - 8.0);
        let all = d.reconstruct(&x, &cx).unwrap();
        for i in [0, CHUNK, n - 1] {
            let one = Tensor::new(&[1, 2], x.row(i).to_vec()).unwrap();
            assert_eq!(d.reconstruct(&one, &cx).unwrap().data(), all.row(i));
        }
        let none = d.encode(&Tensor::zeros(&[0, 2]), &cx).unwrap();
        assert_eq!(none.shape(), [0, 3]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let t = |s: &[usize]| Tensor::zeros(s);
        let new = |a: &[usize], k| {
            Dictionary::new("s", t(a), t(&[3]), t(&[3, 2]), t(&[2]), Encode::TopK(k))
        };
        assert!(new(&[3, 2], 1).unwrap_err().to_string().contains("W_enc"));
        assert!(new(&[2, 3], 4).unwrap_err().to_string().contains("k = 4 of 3"));
        let jump = Encode::JumpRelu { threshold: vec![0.; 2] };
        let e = Dictionary::new("s", t(&[2, 3]), t(&[3]), t(&[3, 2]), t(&[2]), jump).unwrap_err();
        assert!(e.to_string().contains("threshold has 2"), "{e}");
        let x = t(&[1, 5]);
        let e = new(&[2, 3], 1).unwrap().encode(&x, &Context::single()).unwrap_err();
        assert!(e.to_string().contains("[sample, 2]"), "{e}");
    }
}
