//! Parts: the variables of an explanation, and where a network holds them.
//!
//! An [`Alignment`] says that a variable lies in a subspace of a site, and its [`Code`] says which
//! coordinates stand for which value. One variable may have several alignments: it lies in the
//! residual stream from where it is written until the end, and each place may be read by others.
//!
//! ```
//! use flyroom_explanation::{Code, Value};
//! let code = Code::OneHot { values: vec![Value::token("a"), Value::token("b")] };
//! assert_eq!(code.encode(&Value::token("b")), Some(vec![0.0, 1.0]));
//! assert_eq!(code.decode(&[0.9, 0.1]).unwrap().value, Value::token("a"));
//! ```

use crate::{Error, Value};
use flyroom_network::Selector;
use flyroom_tensor::math::sin_cos64;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A variable with its places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// In a program's explanation the name of a variable, `tokens` and `indices` among them.
    pub name: String,
    /// Where it lies; empty for a variable that no place is claimed for.
    #[serde(default)]
    pub alignments: Vec<Alignment>,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// A place of a variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alignment {
    /// Site and subspace: a basis, units, or the whole site. Without positions it applies at
    /// every position, each holding the variable's value at that index.
    pub selector: Selector,
    /// Coordinates to values.
    pub code: Code,
    /// Names of the variables that read this place ([`crate::rasp::READOUT`] is the output);
    /// all readers if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readers: Option<Vec<String>>,
}

/// How coordinates along the rows of an alignment's basis stand for values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Code {
    /// Coordinate i is 1 for `values[i]`, the others 0.
    OneHot {
        /// One for each row of the basis.
        values: Vec<Value>,
    },
    /// One coordinate: scale * value + offset.
    Scalar {
        /// Factor.
        scale: f32,
        /// Coordinate of the value 0.
        offset: f32,
    },
    /// A vector for each value.
    Table {
        /// The values.
        values: Vec<Value>,
        /// One for each value, all of one length.
        vectors: Vec<Vec<f32>>,
    },
    /// The values 0..modulus on an ellipse: coordinates M (cos t, sin t) + offset with
    /// t = 2 pi frequency value / modulus.
    Plane {
        /// Number of values.
        modulus: u32,
        /// Turns on the way through all values.
        frequency: u32,
        /// M, two rows.
        map: [[f32; 2]; 2],
        /// The centre.
        #[serde(default)]
        offset: [f32; 2],
    },
    /// The variable is here, and how is not said: it can be exchanged and not set.
    Opaque {
        /// Number of coordinates.
        dims: usize,
    },
}

/// A value read from coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value whose code is nearest; of several the first.
    pub value: Value,
    /// Euclidean distance from its code.
    pub distance: f64,
}

/// (cos, sin) of 2 pi frequency value / modulus.
pub(crate) fn phasor(modulus: u32, frequency: u32, value: i64) -> [f64; 2] {
    let p = i64::from(modulus.max(1));
    let turns = (value.rem_euclid(p) * (i64::from(frequency) % p)) % p;
    let (s, c) = sin_cos64(TAU * turns as f64 / p as f64);
    [c, s]
}

impl Code {
    /// Number of coordinates.
    pub fn dims(&self) -> usize {
        match self {
            Self::OneHot { values } => values.len(),
            Self::Scalar { .. } => 1,
            Self::Table { vectors, .. } => vectors.first().map_or(0, Vec::len),
            Self::Plane { .. } => 2,
            Self::Opaque { dims } => *dims,
        }
    }

    /// Coordinates of a value; [`Value::None`] is the zero vector, a mixture the weighted sum.
    /// `None` where the value has no code.
    pub fn encode(&self, value: &Value) -> Option<Vec<f32>> {
        match value {
            Value::Unknown => return None,
            Value::None => return Some(vec![0.0; self.dims()]),
            Value::Mixture(terms) => {
                let mut sum = vec![0f64; self.dims()];
                for (v, w) in terms {
                    let code = self.encode(v)?;
                    sum.iter_mut().zip(code).for_each(|(s, x)| *s += w * f64::from(x));
                }
                return Some(sum.into_iter().map(|x| x as f32).collect());
            }
            _ => {}
        }
        match self {
            Self::OneHot { values } => {
                let i = values.iter().position(|v| v.same(value))?;
                let mut code = vec![0.0; values.len()];
                code[i] = 1.0;
                Some(code)
            }
            Self::Scalar { scale, offset } => {
                let x = f64::from(*scale) * value.number()? + f64::from(*offset);
                Some(vec![x as f32])
            }
            Self::Table { values, vectors } => {
                let i = values.iter().position(|v| v.same(value))?;
                vectors.get(i).cloned()
            }
            Self::Plane { modulus, frequency, map, offset } => {
                let &Value::Int(i) = value else { return None };
                let u = phasor(*modulus, *frequency, i);
                Some(plane(map, offset, u).map(|x| x as f32).to_vec())
            }
            Self::Opaque { .. } => None,
        }
    }

    /// The value whose code is nearest to `coordinates`; `None` if there is no value or the
    /// number of coordinates is not [`Code::dims`]. A scalar has every real for a value, so its
    /// distance is 0 (and -0 is read as 0). None has no code of its own here: zeros are no value of a one-hot.
    pub fn decode(&self, coordinates: &[f32]) -> Option<Decoded> {
        if coordinates.len() != self.dims() || coordinates.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let among = |values: &mut dyn Iterator<Item = Value>| {
            let mut best: Option<Decoded> = None;
            for value in values {
                let code = self.encode(&value)?;
                let distance = code
                    .iter()
                    .zip(coordinates)
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)) * (f64::from(*a) - f64::from(*b)))
                    .sum::<f64>()
                    .sqrt();
                if best.as_ref().is_none_or(|b| distance < b.distance) {
                    best = Some(Decoded { value, distance });
                }
            }
            best
        };
        match self {
            Self::OneHot { values } | Self::Table { values, .. } => {
                among(&mut values.iter().cloned())
            }
            Self::Scalar { scale, offset } => {
                let x = (f64::from(coordinates[0]) - f64::from(*offset)) / f64::from(*scale);
                Some(Decoded { value: Value::Real(x + 0.0), distance: 0.0 })
            }
            Self::Plane { modulus, .. } => among(&mut (0..i64::from(*modulus)).map(Value::Int)),
            Self::Opaque { .. } => None,
        }
    }

    /// (cos t, sin t) of a plane's coordinates, not brought back to the circle.
    pub(crate) fn phasor_of(&self, x: [f64; 2]) -> Option<[f64; 2]> {
        let Self::Plane { map: [[a, b], [c, d]], offset, .. } = self else {
            return None;
        };
        let [a, b, c, d] = [*a, *b, *c, *d].map(f64::from);
        let determinant = a * d - b * c;
        let (x, y) = (x[0] - f64::from(offset[0]), x[1] - f64::from(offset[1]));
        Some([(d * x - b * y) / determinant, (a * y - c * x) / determinant])
    }

    fn check(&self) -> Result<(), String> {
        let distinct = |values: &[Value]| {
            for (i, v) in values.iter().enumerate() {
                if matches!(v, Value::None | Value::Unknown | Value::Mixture(_)) {
                    return Err(format!("{v} cannot be the value of a code"));
                }
                if values[..i].iter().any(|w| w.same(v)) {
                    return Err(format!("the value {v} occurs twice in a code"));
                }
            }
            if values.is_empty() { Err("a code without values".to_string()) } else { Ok(()) }
        };
        match self {
            Self::OneHot { values } => distinct(values),
            Self::Scalar { scale, offset } => {
                if scale.is_finite() && offset.is_finite() && *scale != 0.0 {
                    Ok(())
                } else {
                    Err(format!("scale {scale} and offset {offset} do not code a number"))
                }
            }
            Self::Table { values, vectors } => {
                distinct(values)?;
                if vectors.len() != values.len() {
                    return Err(format!("{} vectors for {} values", vectors.len(), values.len()));
                }
                let d = self.dims();
                if d == 0 || vectors.iter().any(|v| v.len() != d) {
                    return Err("the vectors of a table have different lengths or none".into());
                }
                if vectors.iter().flatten().any(|x| !x.is_finite()) {
                    return Err("a vector of a table is not finite".into());
                }
                Ok(())
            }
            Self::Plane { modulus, frequency, map, offset } => {
                let [[a, b], [c, d]] = map.map(|r| r.map(f64::from));
                let determinant = a * d - b * c;
                if *modulus < 2 || *frequency == 0 || frequency >= modulus {
                    return Err(format!("frequency {frequency} modulo {modulus}"));
                }
                if !(determinant.is_finite() && determinant != 0.0)
                    || offset.iter().any(|x| !x.is_finite())
                {
                    return Err("the map of a plane cannot be inverted".into());
                }
                Ok(())
            }
            Self::Opaque { dims: 0 } => Err("a code without coordinates".into()),
            Self::Opaque { .. } => Ok(()),
        }
    }
}

fn plane(map: &[[f32; 2]; 2], offset: &[f32; 2], u: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|i| f64::from(map[i][0]) * u[0] + f64::from(map[i][1]) * u[1] + f64::from(offset[i]))
}

impl Part {
    /// A part at one place.
    pub fn new(name: impl Into<String>, selector: Selector, code: Code) -> Self {
        let alignment = Alignment { selector, code, readers: None };
        Self { name: name.into(), alignments: vec![alignment], about: String::new() }
    }

    /// Fails when a code contradicts itself or does not have a coordinate for every basis vector.
    pub fn check(&self) -> Result<(), Error> {
        for a in &self.alignments {
            a.code.check().map_err(|why| Error::part(&self.name, why))?;
            if let Some(basis) = &a.selector.basis
                && basis.len() != a.code.dims()
            {
                let why = format!(
                    "a basis of {} vectors for a code of {} coordinates at '{}'",
                    basis.len(),
                    a.code.dims(),
                    a.selector
                );
                return Err(Error::part(&self.name, why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Vec<(Code, Vec<Value>)> {
        let words: Vec<Value> = ["a", "b", "c"].map(Value::from).to_vec();
        vec![
            (Code::OneHot { values: words.clone() }, words.clone()),
            (
                Code::Scalar { scale: -2.0, offset: 1.0 },
                [0.0, 0.25, -3.0].map(Value::Real).to_vec(),
            ),
            (
                Code::Table {
                    values: words.clone(),
                    vectors: vec![vec![0.5, 1.0], vec![-1.0, 0.0], vec![0.0, 2.0]],
                },
                words,
            ),
            (
                Code::Plane {
                    modulus: 13,
                    frequency: 5,
                    map: [[2.0, 0.5], [0.0, -1.0]],
                    offset: [0.25, -0.5],
                },
                (0..13).map(Value::Int).collect(),
            ),
        ]
    }

    #[test]
    fn decoding_what_was_encoded_gives_the_value_at_distance_zero() {
        for (code, values) in codes() {
            for v in values {
                let d = code.decode(&code.encode(&v).unwrap()).unwrap();
                assert_eq!(d, Decoded { value: v, distance: 0.0 });
            }
        }
    }

    #[test]
    fn a_plane_gives_back_cosine_and_sine() {
        let (code, _) = codes().pop().unwrap();
        let u = phasor(13, 5, 4);
        let x = code.encode(&Value::Int(4)).unwrap();
        let back = code.phasor_of([f64::from(x[0]), f64::from(x[1])]).unwrap();
        assert!((back[0] - u[0]).abs() < 1e-6 && (back[1] - u[1]).abs() < 1e-6);
        // cos(2 pi 20 / 13), from 20 mod 13 = 7: cos(14 pi / 13) = -0.970942.
        assert!((u[0] + 0.970_942).abs() < 1e-6);
    }

    #[test]
    fn a_mixture_is_coded_as_the_weighted_sum_and_none_as_zeros() {
        let (code, _) = codes().remove(0);
        let half = Value::Mixture(vec![(Value::token("a"), 0.5), (Value::token("c"), 0.5)]);
        assert_eq!(code.encode(&half), Some(vec![0.5, 0.0, 0.5]));
        assert_eq!(code.encode(&Value::None), Some(vec![0.0; 3]));
        assert_eq!(code.encode(&Value::token("z")), None);
        assert_eq!(code.encode(&Value::Unknown), None);
    }

    #[test]
    fn the_distance_of_zeros_from_a_one_hot_is_one() {
        let (code, _) = codes().remove(0);
        assert_eq!(code.decode(&[0.0; 3]).unwrap().distance, 1.0);
        assert_eq!(code.decode(&[0.0; 2]), None);
    }

    #[test]
    fn codes_that_contradict_themselves_are_refused() {
        let bad = [
            Code::OneHot { values: vec![Value::Int(1), Value::Real(1.0)] },
            Code::OneHot { values: vec![] },
            Code::Scalar { scale: 0.0, offset: 0.0 },
            Code::Table { values: vec![Value::Int(1)], vectors: vec![] },
            Code::Plane {
                modulus: 5,
                frequency: 5,
                map: [[1.0, 0.0], [0.0, 1.0]],
                offset: [0.0; 2],
            },
            Code::Plane {
                modulus: 5,
                frequency: 1,
                map: [[1.0, 1.0], [1.0, 1.0]],
                offset: [0.0; 2],
            },
        ];
        for code in bad {
            let p = Part::new("v", Selector::site("hook_embed"), code);
            assert!(p.check().is_err(), "{p:?}");
        }
    }
}
