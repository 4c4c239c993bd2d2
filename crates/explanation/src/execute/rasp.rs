//! A program on the input, with variables set by interventions.
//!
//! An interchange sets a covered variable to what the program computes on the source input, a
//! `set` to the value whose code the given coordinates are. Zero, mean and add give a variable no
//! value that a program knows: it abstains. It also abstains where variables are set to values that it
//! knows and the output then has none ([`Reason::OutOfDomain`](crate::Reason)). At the position of BOS there is no variable, so an
//! interchange changes nothing there.

use super::{
    Abstention, Covers, Cuts, Disjoint, Overlaps, Prediction, Scene, closed_target, cut,
    set_coordinates,
};
use crate::body::Readout;
use crate::part::Part;
use crate::rasp::{Interpreter, Override, Overrides, Program, Trace};
use crate::{Error, Explanation, Value};
use flyroom_network::{Operation, Row};
use std::collections::BTreeMap;
use std::sync::Arc;

/// [`Executor::near`] at least.
const NEAR: f64 = 1e-3;

pub(super) struct Executor<'a> {
    parts: &'a [Part],
    /// Farthest that given coordinates may lie from a value's code, relative to max(1, their length).
    near: f64,
    program: &'a Program,
    readout: &'a Readout,
    scene: &'a Scene<'a>,
    interpreter: Interpreter,
    /// Clean traces by input; the error of one is why it abstains.
    clean: BTreeMap<usize, Result<Arc<Trace>, Abstention>>,
    overlaps: Overlaps,
}

impl<'a> Executor<'a> {
    pub fn new(
        of: &'a Explanation,
        program: &'a Program,
        readout: &'a Readout,
        scene: &'a Scene<'a>,
    ) -> Result<Self, Error> {
        let interpreter = Interpreter::new(program)?;
        Ok(Self {
            parts: &of.parts,
            near: of.tolerance.max(NEAR),
            program,
            readout,
            scene,
            interpreter,
            clean: BTreeMap::new(),
            overlaps: Overlaps::new(of.tolerance),
        })
    }

    pub fn predict(&mut self, rows: &[Row]) -> Result<Vec<Prediction>, Error> {
        rows.iter()
            .map(|row| {
                Ok(match self.trace_shared(row)? {
                    Ok(trace) => self.read(&trace),
                    Err(why) => Prediction::Abstain(why),
                })
            })
            .collect()
    }

    /// All variables after a row, or why it abstains.
    pub fn trace(&mut self, row: &Row) -> Result<Result<Trace, Abstention>, Error> {
        Ok(self.trace_shared(row)?.map(Arc::unwrap_or_clone))
    }

    fn trace_shared(&mut self, row: &Row) -> Result<Result<Arc<Trace>, Abstention>, Error> {
        let overrides = match self.overrides(row)? {
            Ok(o) => o,
            Err(why) => return Ok(Err(why)),
        };
        if overrides.is_empty() {
            return self.clean(row.input);
        }
        Ok(self.run(row.input, &overrides)?.map(Arc::new))
    }

    fn clean(&mut self, input: usize) -> Result<Result<Arc<Trace>, Abstention>, Error> {
        if let Some(t) = self.clean.get(&input) {
            return Ok(t.clone());
        }
        let t = self.run(input, &Overrides::none())?.map(Arc::new);
        self.clean.insert(input, t.clone());
        Ok(t)
    }

    fn run(&self, input: usize, o: &Overrides) -> Result<Result<Trace, Abstention>, Error> {
        let tokens = self.scene.tokens(input)?;
        let skip = usize::from(self.program.bos).min(tokens.len());
        Ok(self
            .interpreter
            .run(&tokens[skip..], o)
            .map_err(|e| Abstention::out_of_domain(e.to_string())))
    }

    fn overrides(&mut self, row: &Row) -> Result<Result<Overrides, Abstention>, Error> {
        let mut out = Overrides::none();
        for i in &row.interventions {
            let touched = match closed_target(i) {
                Ok(s) => s,
                Err(why) => return Ok(Err(why)),
            };
            let site = self.scene.site(&touched.site)?;
            let met = self.overlaps.meet(self.scene, touched)?;
            let mut number = 0;
            for part in self.parts {
                for a in &part.alignments {
                    number += 1;
                    let overlap = self.overlaps.of(self.scene, met, number - 1, a)?;
                    if overlap.relation == Disjoint {
                        continue;
                    }
                    let readers: Option<Arc<[String]>> =
                        a.readers.as_ref().map(|r| r.clone().into());
                    let overlap = overlap.clone();
                    for pos in overlap.positions {
                        let index = self.program.index(pos);
                        let interchange = matches!(i.operation, Operation::Interchange { .. });
                        let index = match index {
                            Some(index) => index,
                            None if interchange => continue,
                            None => {
                                return Ok(Err(Abstention::unsaid(
                                    "BOS is no part of the program",
                                )));
                            }
                        };
                        if overlap.relation == Cuts {
                            return Ok(Err(cut(a, touched)));
                        }
                        debug_assert_eq!(overlap.relation, Covers);
                        let value = match &i.operation {
                            Operation::Interchange { input } => {
                                let source = match self.clean(*input)? {
                                    Ok(t) => t,
                                    Err(why) => return Ok(Err(why)),
                                };
                                source
                                    .get(&part.name)
                                    .and_then(|s| s.get(index))
                                    .cloned()
                                    .unwrap_or(Value::Unknown)
                            }
                            Operation::Set { values } => {
                                let x = match set_coordinates(a, touched, values, site, pos)? {
                                    Ok(x) => x,
                                    Err(why) => return Ok(Err(why)),
                                };
                                let length =
                                    x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
                                match a.code.decode(&x) {
                                    Some(d) if d.distance <= self.near * length.sqrt().max(1.0) => {
                                        d.value
                                    }
                                    _ => {
                                        let why = format!(
                                            "what '{}' is set to codes none of its values",
                                            part.name
                                        );
                                        return Ok(Err(Abstention::unsaid(why)));
                                    }
                                }
                            }
                            operation @ (Operation::Zero
                            | Operation::Mean
                            | Operation::Add { .. }) => {
                                let word = match operation {
                                    Operation::Zero => "zero",
                                    Operation::Mean => "mean",
                                    _ => "add",
                                };
                                let why = format!(
                                    "{word} gives '{}' no value that the program knows",
                                    part.name
                                );
                                return Ok(Err(Abstention::unsaid(why)));
                            }
                        };
                        out.push(Override {
                            variable: part.name.clone(),
                            index,
                            value,
                            readers: readers.clone(),
                        });
                    }
                }
            }
        }
        Ok(Ok(out))
    }

    fn read(&self, trace: &Trace) -> Prediction {
        let reads = self.scene.reads;
        let mut out = Vec::with_capacity(reads.positions.len() * reads.columns.len());
        for &pos in &reads.positions {
            let Some(value) = self.program.index(pos).and_then(|i| trace.output().get(i)) else {
                return Prediction::unsaid(format!("position {pos} is no part of the program"));
            };
            let Some(code) = self.readout.code.encode(value) else {
                let why = format!("the readout has no code for {value}");
                return Prediction::Abstain(Abstention::out_of_domain(why));
            };
            out.extend(reads.columns.iter().map(|&c| {
                let i = match &self.readout.columns {
                    Some(columns) => columns.iter().position(|&x| x == c),
                    None => Some(c),
                };
                i.and_then(|i| code.get(i)).map_or(0.0, |x| self.readout.scale * x)
            }));
        }
        Prediction::Output(out)
    }
}
