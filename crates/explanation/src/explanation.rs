//! An explanation: parts, and a body that executes, in one file that is cited by its hash.
//!
//! ```
//! use flyroom_explanation::{Body, Code, Explanation, Part, Readout, Value, rasp::library};
//! let counts = Code::OneHot { values: (0..5).map(Value::Int).collect() };
//! let site = "blocks.0.hook_mlp_out[unit=0..5]".parse()?;
//! let e = Explanation::new(
//!     "histogram",
//!     vec![Part::new("hist_12", site, counts.clone())],
//!     Body::Rasp { program: library::hist(), readout: Readout::new(counts) },
//! );
//! e.check()?;
//! assert_eq!(e.hash()?.len(), 64);
//! # Ok::<(), flyroom_explanation::Error>(())
//! ```

use crate::Error;
use crate::body::{Access, Body};
use crate::part::{Code, Part};
use crate::rasp::{Interpreter, READOUT};
use crate::relation::TOLERANCE;
use flyroom_network::Selector;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Version of the file format that this crate writes.
pub const SCHEMA: u32 = 1;

fn exact() -> f64 {
    TOLERANCE
}

fn is_exact(tolerance: &f64) -> bool {
    *tolerance == TOLERANCE
}

/// Parts, what they do, and for what inputs that is claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// Version of the format.
    pub schema: u32,
    /// For people.
    pub name: String,
    /// Id of the specimen that it explains, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specimen: Option<String>,
    /// What made it: a method's registry name, `truth`, a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The inputs for which it is claimed, in words; empty means the organism's evaluation set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// How far places may be off: a direction counts as covered by an intervention, or as left alone,
    /// where the rest of it is at most this share of its length; in between nothing is predicted.
    #[serde(default = "exact", skip_serializing_if = "is_exact")]
    pub tolerance: f64,
    /// Variables with their places.
    pub parts: Vec<Part>,
    /// What they do.
    pub body: Body,
}

impl Explanation {
    /// An explanation of the current schema without specimen, method or scope.
    pub fn new(name: impl Into<String>, parts: Vec<Part>, body: Body) -> Self {
        Self {
            schema: SCHEMA,
            name: name.into(),
            specimen: None,
            method: None,
            scope: String::new(),
            tolerance: TOLERANCE,
            parts,
            body,
        }
    }

    /// What it needs to be executed.
    pub fn access(&self) -> Access {
        self.body.access()
    }

    /// Fails, naming the part, when parts and body contradict each other.
    pub fn check(&self) -> Result<(), Error> {
        // From .7 on a direction could be covered and left alone at once.
        if !(0.0..=0.5).contains(&self.tolerance) {
            return Err(Error::Body(format!("a tolerance of {}, not 0 to .5", self.tolerance)));
        }
        let mut names = BTreeSet::new();
        for p in &self.parts {
            p.check()?;
            if !names.insert(&p.name) {
                return Err(Error::part(&p.name, "two parts of one name"));
            }
        }
        match &self.body {
            Body::Rasp { program, readout } => {
                let known = Interpreter::new(program)?;
                let known = known.names();
                for p in &self.parts {
                    if !known.contains(&p.name) {
                        return Err(Error::part(
                            &p.name,
                            format!("the program has no such variable: {}", known.join(", ")),
                        ));
                    }
                    let readers = p.alignments.iter().flat_map(|a| a.readers.iter().flatten());
                    if let Some(r) =
                        readers.into_iter().find(|r| *r != READOUT && !known.contains(r))
                    {
                        return Err(Error::part(&p.name, format!("no variable '{r}' to read it")));
                    }
                }
                Part::new(READOUT, Selector::site("hook_logits"), readout.code.clone()).check()?;
                if let Some(c) = &readout.columns
                    && c.len() != readout.code.dims()
                {
                    return Err(Error::Body(format!(
                        "the readout has {} columns for {} coordinates",
                        c.len(),
                        readout.code.dims()
                    )));
                }
                if !readout.scale.is_finite() {
                    return Err(Error::Body("the readout's scale is not finite".into()));
                }
            }
            Body::Cosines(c) => {
                if c.operands[0] == c.operands[1] {
                    return Err(Error::Body("both operands at one position".into()));
                }
                let mut seen = BTreeSet::new();
                for t in &c.terms {
                    let inside = (1..c.modulus).contains(&t.frequency);
                    if !inside || !t.amplitude.is_finite() || !t.phase.is_finite() {
                        return Err(Error::Body(format!("{t:?} modulo {}", c.modulus)));
                    }
                    if !seen.insert(t.frequency) {
                        return Err(Error::Body(format!("frequency {} twice", t.frequency)));
                    }
                }
                for p in &self.parts {
                    for a in &p.alignments {
                        let Code::Plane { modulus, frequency, .. } = &a.code else {
                            return Err(Error::part(&p.name, "parts of cosines are planes"));
                        };
                        if *modulus != c.modulus || !seen.contains(frequency) {
                            return Err(Error::part(
                                &p.name,
                                format!("no term has frequency {frequency} modulo {modulus}"),
                            ));
                        }
                    }
                }
            }
            Body::Circuit { edges, .. } => {
                let distinct: BTreeSet<_> = edges.iter().collect();
                if distinct.len() != edges.len() {
                    return Err(Error::Body("an edge of the circuit occurs twice".into()));
                }
            }
            Body::Whole | Body::Snapshot => {}
        }
        Ok(())
    }

    /// blake3 of the canonical JSON, in hex: what freezes it for an exam.
    pub fn hash(&self) -> Result<String, Error> {
        Ok(blake3::hash(self.canonical_json()?.as_bytes()).to_hex().to_string())
    }

    /// JSON without spaces, keys in order: equal explanations have equal bytes.
    pub fn canonical_json(&self) -> Result<String, Error> {
        let v = serde_json::to_value(self).map_err(|e| Error::Body(e.to_string()))?;
        let mut out = String::new();
        write_canonical(&v, &mut out);
        Ok(out)
    }

    /// A part by name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|p| p.name == name)
    }

    /// The same with every real replaced by the nearest of a grid of sign and `bits` bits over
    /// its tensor's range; bases are made orthonormal again. See [`crate::bits`].
    pub fn quantized(&self, bits: u32) -> Self {
        use crate::bits::quantize;
        let mut out = self.clone();
        for a in out.parts.iter_mut().flat_map(|p| &mut p.alignments) {
            if let Some(basis) = &mut a.selector.basis {
                quantize(basis.iter_mut().flatten(), bits);
                orthonormalize(basis);
            }
            quantize_code(&mut a.code, bits);
        }
        match &mut out.body {
            Body::Rasp { readout, .. } => quantize_code(&mut readout.code, bits),
            Body::Cosines(c) => {
                quantize(c.terms.iter_mut().map(|t| &mut t.amplitude), bits);
                quantize(c.terms.iter_mut().map(|t| &mut t.phase), bits);
            }
            _ => {}
        }
        out
    }
}

fn quantize_code(code: &mut Code, bits: u32) {
    use crate::bits::quantize;
    match code {
        Code::OneHot { .. } | Code::Opaque { .. } => {}
        // A tensor of two reals: each is the end of its own range and stays.
        Code::Scalar { .. } => {}
        Code::Table { vectors, .. } => quantize(vectors.iter_mut().flatten(), bits),
        Code::Plane { map, offset, .. } => {
            quantize(map.iter_mut().flatten(), bits);
            quantize(offset.iter_mut(), bits);
        }
    }
}

/// Gram and Schmidt in order. A row of which hardly anything is left, as on a grid of one bit, says
/// nothing that the rows before it do not say: the first axis that lies well outside takes its place.
fn orthonormalize(rows: &mut [Vec<f32>]) {
    fn reject(x: &mut [f64], done: &[Vec<f32>]) {
        for q in done {
            let c: f64 = x.iter().zip(q.iter()).map(|(x, q)| x * f64::from(*q)).sum();
            x.iter_mut().zip(q.iter()).for_each(|(x, q)| *x -= c * f64::from(*q));
        }
    }
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    for i in 0..rows.len() {
        let (done, rest) = rows.split_at_mut(i);
        let mut x: Vec<f64> = rest[0].iter().map(|&v| f64::from(v)).collect();
        let length = norm(&x);
        reject(&mut x, done);
        if norm(&x) <= 1e-2 * length {
            let d = x.len();
            let outside = |axis: usize| {
                let mut e = vec![0.0; d];
                e[axis] = 1.0;
                reject(&mut e, done);
                reject(&mut e, done);
                e
            };
            // The squares of what is left of all axes add up to d - i.
            let least = (d.saturating_sub(i) as f64 / d.max(1) as f64).sqrt() * 0.99;
            match (0..d).map(outside).find(|e| least > 0.0 && norm(e) >= least) {
                Some(e) => x = e,
                None => continue,
            }
        }
        let norm = norm(&x);
        if norm.is_nan() || norm == 0.0 {
            continue;
        }
        rest[0] = x.iter().map(|v| (v / norm) as f32).collect();
    }
}

fn write_canonical(v: &serde_json::Value, out: &mut String) {
    use serde_json::Value as Json;
    match v {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, k) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Json::from(k.as_str()));
                write_canonical(&map[k.as_str()], out);
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::{Stream, linalg};

    #[test]
    fn a_basis_on_a_coarse_grid_is_orthonormal() {
        for seed in 0..200 {
            let d = 2 + seed as usize % 12;
            let turned = linalg::random_rotation(d, &mut Stream::new(seed, "basis").block(0));
            for (rows, bits) in [(2, 1), (3.min(d), 1), (d, 1), (d, 2), (d, 3)] {
                let mut basis: Vec<Vec<f32>> = turned
                    .chunks(d)
                    .take(rows)
                    .map(|q| q.iter().map(|&x| x as f32).collect())
                    .collect();
                crate::bits::quantize(basis.iter_mut().flatten(), bits);
                orthonormalize(&mut basis);
                for (i, a) in basis.iter().enumerate() {
                    for (j, b) in basis[..=i].iter().enumerate() {
                        let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        let wanted = f32::from(u8::from(i == j));
                        assert!((product - wanted).abs() < 5e-5, "{seed} {bits} {product}");
                    }
                }
            }
        }
    }
}
