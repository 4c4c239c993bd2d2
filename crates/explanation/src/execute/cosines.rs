//! The clock: every term multiplies one phasor of a with one of b and turns by -c.
//!
//! With phasors u = e^{i w a}, v = e^{i w b}, w = 2 pi k / p, a term is
//! amplitude Re(u v e^{-i w c} e^{i phase}): linear in u and in v, so interventions on the planes
//! of the operands have exact consequences. Interchange puts the source's phasor, zero the one
//! that the coordinates 0 stand for (none, for a plane centred at 0), mean the mean phasor over
//! the inputs, set the one that the values stand for, add moves on the line to the source's.

use super::{
    Abstention, Covers, Cuts, Overlaps, Prediction, Scene, closed_target, cut, set_coordinates,
};
use crate::body::Cosines;
use crate::part::{Code, Part, phasor};
use crate::{Error, Explanation, Value};
use flyroom_network::{Operation, Row, Selector};
use flyroom_tensor::math::sin_cos64;
use std::collections::BTreeMap;
use std::f64::consts::TAU;

type Phasor = [f64; 2];

pub(super) struct Executor<'a> {
    parts: &'a [Part],
    body: &'a Cosines,
    scene: &'a Scene<'a>,
    /// For each term and residue c: amplitude (cos, sin) of w c - phase.
    waves: Vec<Vec<Phasor>>,
    /// Mean phasors by (frequency, operand).
    means: BTreeMap<(u32, usize), Phasor>,
    overlaps: Overlaps,
}

impl<'a> Executor<'a> {
    pub fn new(
        of: &'a Explanation,
        body: &'a Cosines,
        scene: &'a Scene<'a>,
    ) -> Result<Self, Error> {
        let p = u64::from(body.modulus.max(1));
        let waves = body
            .terms
            .iter()
            .map(|t| {
                (0..p)
                    .map(|c| {
                        let turns = (c * u64::from(t.frequency)) % p;
                        let angle = TAU * turns as f64 / p as f64 - f64::from(t.phase);
                        let (s, c) = sin_cos64(angle);
                        [f64::from(t.amplitude) * c, f64::from(t.amplitude) * s]
                    })
                    .collect()
            })
            .collect();
        let one_hot = one_hot(scene, body.modulus);
        if let Some(o) = body.operands.iter().find(|&&o| !one_hot && o >= scene.inputs.pos()) {
            return Err(Error::Scene(format!(
                "an operand at position {o} of inputs with {} tokens",
                scene.inputs.pos()
            )));
        }
        Ok(Self {
            parts: &of.parts,
            body,
            scene,
            waves,
            means: BTreeMap::new(),
            overlaps: Overlaps::new(of.tolerance),
        })
    }

    pub fn predict(&mut self, rows: &[Row]) -> Result<Vec<Prediction>, Error> {
        rows.iter()
            .map(|row| {
                Ok(match self.phasors(row)? {
                    Ok(u) => self.read(&u),
                    Err(why) => Prediction::Abstain(why),
                })
            })
            .collect()
    }

    /// Both residues of an input, or why it has none.
    fn operands(&self, input: usize) -> Result<Result<[i64; 2], Abstention>, Error> {
        if one_hot(self.scene, self.body.modulus) {
            self.scene.check_input(input)?;
            let x = self.scene.inputs.vector_row(input);
            let hot = |x: &[f32]| x.iter().position(|&v| v == 1.0).map(|i| i as i64);
            let (a, b) = x.split_at(x.len() / 2);
            return Ok(match (hot(a), hot(b)) {
                (Some(a), Some(b)) => Ok([a, b]),
                _ => Err(Abstention::unsaid(format!("input {input} is not two one-hot codes"))),
            });
        }
        let tokens = self.scene.tokens(input)?;
        let mut out = [0; 2];
        for (o, &pos) in out.iter_mut().zip(&self.body.operands) {
            match &tokens[pos] {
                Value::Int(i) => *o = *i,
                other => {
                    let why = format!("{other} at position {pos} is no residue");
                    return Ok(Err(Abstention::unsaid(why)));
                }
            }
        }
        Ok(Ok(out))
    }

    fn mean(
        &mut self,
        frequency: u32,
        operand: usize,
    ) -> Result<Result<Phasor, Abstention>, Error> {
        if let Some(m) = self.means.get(&(frequency, operand)) {
            return Ok(Ok(*m));
        }
        let n = self.scene.inputs.len();
        let mut sum = [0.0; 2];
        for input in 0..n {
            match self.operands(input)? {
                Ok(o) => {
                    let u = phasor(self.body.modulus, frequency, o[operand]);
                    sum = [sum[0] + u[0], sum[1] + u[1]];
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        let mean = sum.map(|s| s / n.max(1) as f64);
        self.means.insert((frequency, operand), mean);
        Ok(Ok(mean))
    }

    /// Phasors of both operands for each term after a row.
    fn phasors(&mut self, row: &Row) -> Result<Result<Vec<[Phasor; 2]>, Abstention>, Error> {
        let p = self.body.modulus;
        let own = match self.operands(row.input)? {
            Ok(o) => o,
            Err(why) => return Ok(Err(why)),
        };
        let mut state: Vec<[Phasor; 2]> =
            self.body.terms.iter().map(|t| own.map(|o| phasor(p, t.frequency, o))).collect();
        for i in &row.interventions {
            let touched = match closed_target(i) {
                Ok(s) => s,
                Err(why) => return Ok(Err(why)),
            };
            let site = self.scene.site(&touched.site)?;
            let met = self.overlaps.meet(self.scene, touched)?;
            for (number, a) in self.parts.iter().flat_map(|p| &p.alignments).enumerate() {
                let Code::Plane { frequency, .. } = &a.code else {
                    return Err(Error::Body("parts of cosines are planes".into()));
                };
                let term = self.body.terms.iter().position(|t| t.frequency == *frequency);
                let overlap = self.overlaps.of(self.scene, met, number, a)?.clone();
                for pos in overlap.positions {
                    let operand = if one_hot(self.scene, p) {
                        half(&a.selector)
                    } else {
                        self.body.operands.iter().position(|&o| o == pos)
                    };
                    // A plane that no operand is read from has no effect.
                    let (Some(term), Some(operand)) = (term, operand) else {
                        continue;
                    };
                    if overlap.relation == Cuts {
                        return Ok(Err(cut(a, touched)));
                    }
                    debug_assert_eq!(overlap.relation, Covers);
                    let place =
                        |x: [f32; 2]| a.code.phasor_of(x.map(f64::from)).unwrap_or([f64::NAN; 2]);
                    let now = state[term][operand];
                    let source = |input: usize| {
                        Ok::<_, Error>(
                            self.operands(input)?.map(|o| phasor(p, *frequency, o[operand])),
                        )
                    };
                    let next = match &i.operation {
                        Operation::Interchange { input } => source(*input)?,
                        Operation::Zero => Ok(place([0.0; 2])),
                        Operation::Mean => self.mean(*frequency, operand)?,
                        Operation::Set { values } => {
                            set_coordinates(a, touched, values, site, pos)?
                                .map(|x| place([x[0], x[1]]))
                        }
                        Operation::Add { input, factor } => source(*input)?.map(|to| {
                            let from = phasor(p, *frequency, own[operand]);
                            let f = f64::from(*factor);
                            [0, 1].map(|j| now[j] + f * (to[j] - from[j]))
                        }),
                    };
                    match next {
                        Ok(u) if u.iter().all(|x| x.is_finite()) => state[term][operand] = u,
                        Ok(_) => {
                            return Ok(Err(Abstention::unsaid("an angle that is no number")));
                        }
                        Err(why) => return Ok(Err(why)),
                    }
                }
            }
        }
        Ok(Ok(state))
    }

    fn read(&self, state: &[[Phasor; 2]]) -> Prediction {
        let products: Vec<Phasor> = state
            .iter()
            .map(|[u, v]| [u[0] * v[0] - u[1] * v[1], u[0] * v[1] + u[1] * v[0]])
            .collect();
        let logit = |c: usize| {
            let mut sum = 0.0;
            for (z, wave) in products.iter().zip(&self.waves) {
                if let Some(w) = wave.get(c) {
                    sum += z[0] * w[0] + z[1] * w[1];
                }
            }
            sum as f32
        };
        let reads = self.scene.reads;
        let one: Vec<f32> = reads.columns.iter().map(|&c| logit(c)).collect();
        Prediction::Output(one.repeat(reads.positions.len()))
    }
}

/// Whether inputs are vectors of two one-hot codes, a before b.
fn one_hot(scene: &Scene, modulus: u32) -> bool {
    scene.inputs.vector_row_len() == Some(2 * modulus as usize)
}

/// The operand in whose half of the input a plane lies, if it lies in one.
fn half(selector: &Selector) -> Option<usize> {
    let basis = selector.basis.as_ref()?;
    let inside = |operand: usize| {
        basis.iter().all(|q| {
            let (a, b) = q.split_at(q.len() / 2);
            [b, a][operand].iter().all(|x| x.abs() < 1e-6)
        })
    };
    (0..2).find(|&o| inside(o))
}
