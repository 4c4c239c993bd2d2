//! The truth of a compiled network, read from its labels and weights.
//!
//! Where a variable is written and which edges exist follow from the weights ([`Wiring`]); what a
//! dimension means from its label.

use super::wiring::{Wiring, depth};
use super::{BOS, Labelled, Variable};
use crate::{Error, ExamVariable, Feature, KnownEdge, Source, Standing, Truth};
use flyroom_explanation::rasp::{READOUT, TOKENS};
use flyroom_explanation::{Alignment, Body, Explanation, Part, Readout};
use flyroom_network::{Edge, Network, Selector, Sender};
use flyroom_tensor::Context;
use std::collections::BTreeSet;

impl Labelled {
    /// The truth of this network in the coordinates of its labels. An edge is testable if the
    /// corruption of the longest task moves what is read through it.
    pub fn truth(&self, network: &Network, cx: &Context) -> Result<Truth, Error> {
        let wiring = Wiring::new(network)?;
        let placed = self.placed(&wiring)?;
        let testable = wiring.testable(&self.task(self.length)?, cx)?;
        let tasks = || (1..=self.length).map(|n| self.task(n)).collect();
        let bos = self.labels.iter().position(|l| *l == format!("{TOKENS}:{BOS}"));
        let mut circuit = vec![];
        for edge in wiring.edges() {
            let idle = bos.map(|bos| wiring.idle(edge, bos, &tasks, cx)).transpose()?;
            if idle != Some(true) {
                circuit.push(KnownEdge { edge, testable: testable.contains(&edge) });
            }
        }
        let frame = Frame { labelled: self, wiring: &wiring, placed };
        Ok(Truth {
            schema: 1,
            source: Source::Compiled,
            standing: Standing::Exact,
            features: frame.features()?,
            circuit: Some(circuit),
            explanation: Some(frame.explanation()?),
            variables: frame.exam()?,
            process: None,
            shape: None,
        })
    }

    /// Who writes each variable that has a place, by name.
    pub fn writers(&self, network: &Network) -> Result<Vec<(String, Sender)>, Error> {
        let wiring = Wiring::new(network)?;
        let writer = |v: &Variable| Some((v.name.clone(), wiring.writer(&v.dims)?));
        Ok(self.variables.iter().filter_map(writer).collect())
    }

    /// The edges through which the answer flows.
    pub fn edges(&self, network: &Network) -> Result<Vec<Edge>, Error> {
        Ok(Wiring::new(network)?.edges().collect())
    }

    /// The variables, each with the depth at which it is there.
    fn placed(&self, wiring: &Wiring) -> Result<Vec<(&Variable, usize)>, Error> {
        self.variables
            .iter()
            .map(|v| match wiring.writer(&v.dims) {
                Some(w) => Ok((v, depth(w))),
                None => Err(Error::Truth(format!("no component writes the variable '{}'", v.name))),
            })
            .collect()
    }
}

struct Frame<'a> {
    labelled: &'a Labelled,
    wiring: &'a Wiring<'a>,
    placed: Vec<(&'a Variable, usize)>,
}

impl Frame<'_> {
    fn direction(&self, dim: usize) -> Vec<f32> {
        let d = self.labelled.labels.len();
        (0..d).map(|i| f32::from(u8::from(i == dim))).collect()
    }

    fn basis(&self, dims: &[usize]) -> Vec<Vec<f32>> {
        dims.iter().map(|&i| self.direction(i)).collect()
    }

    /// Every labelled direction that some input writes, where it is written: a histogram never
    /// holds `hist_12:0`, and no input holds a pad.
    fn features(&self) -> Result<Vec<Feature>, Error> {
        let occurring = self.occurring()?;
        let labels = &self.labelled.labels;
        let variable = |label: &String| label.split(':').next().map(str::to_string);
        let mut out = vec![];
        for (i, name) in labels.iter().enumerate().filter(|(_, l)| occurring.contains(*l)) {
            // A one-hot variable is written where any of its values is.
            let dims: Vec<usize> =
                (0..labels.len()).filter(|&j| variable(&labels[j]) == variable(name)).collect();
            let written = self.wiring.writer(&dims).and_then(|w| self.wiring.residual(depth(w)));
            if let Some(site) = written {
                out.push(Feature {
                    name: name.clone(),
                    site,
                    direction: self.direction(i),
                    parent: None,
                });
            }
        }
        Ok(out)
    }

    /// Labels that are not 0 on some input of some length.
    fn occurring(&self) -> Result<BTreeSet<String>, Error> {
        let mut out = BTreeSet::from(["one".to_string(), format!("{TOKENS}:{BOS}")]);
        for n in 1..=self.labelled.length {
            for (_, trace) in self.labelled.traces(n)? {
                for (name, values) in trace.iter() {
                    out.insert(name.to_string());
                    out.extend(values.iter().map(|v| format!("{name}:{v}")));
                }
            }
        }
        Ok(out)
    }

    /// Depth at which a variable of the program reads others: that of the component that writes
    /// it, less itself. One without a place is computed with those that are made from it.
    fn computed_at(&self, name: &str) -> Option<usize> {
        if let Some((_, d)) = self.placed.iter().find(|(v, _)| v.name == name) {
            return Some(d.saturating_sub(1));
        }
        let program = &self.labelled.program;
        let made = program.variables.iter().filter(|v| v.expr.reads().contains(&name));
        made.filter_map(|v| self.computed_at(&v.name)).min()
    }

    /// Readers of a variable that still see it at a depth.
    fn readers(&self, name: &str, depth: usize) -> Vec<String> {
        let program = &self.labelled.program;
        let mut out: Vec<String> = program
            .variables
            .iter()
            .filter(|v| v.expr.reads().contains(&name))
            .filter(|v| self.computed_at(&v.name).is_some_and(|at| at >= depth))
            .map(|v| v.name.clone())
            .collect();
        if program.output == name {
            out.push(READOUT.into());
        }
        out
    }

    /// The program with every place of the residual stream at which a variable lies: where it is
    /// written all readers see it, further on those that are computed later.
    fn explanation(&self) -> Result<Explanation, Error> {
        let Labelled { name, program, readout, .. } = self.labelled;
        let parts = self
            .placed
            .iter()
            .map(|(v, written)| {
                let at = |depth: usize| {
                    Some(Alignment {
                        selector: Selector::site(self.wiring.residual(depth)?)
                            .in_basis(self.basis(&v.dims)),
                        code: v.code.clone(),
                        readers: (depth > *written).then(|| self.readers(&v.name, depth)),
                    })
                };
                Part {
                    name: v.name.clone(),
                    alignments: (*written..=self.wiring.last()).filter_map(at).collect(),
                    about: String::new(),
                }
            })
            .collect();
        let readout = Readout::new(readout.clone());
        let body = Body::Rasp { program: program.clone(), readout };
        let mut e = Explanation::new(name.clone(), parts, body);
        e.method = Some("truth".into());
        e.check()?;
        Ok(e)
    }

    /// The variables that something reads, where they are written.
    fn exam(&self) -> Result<Vec<ExamVariable>, Error> {
        let read = self.placed.iter().filter(|(v, at)| !self.readers(&v.name, *at).is_empty());
        let place = |(v, at): &(&Variable, usize)| {
            Some(ExamVariable {
                name: v.name.clone(),
                selector: Selector::site(self.wiring.residual(*at)?).in_basis(self.basis(&v.dims)),
                positions: (1..=self.labelled.length).collect(),
                values: v.domain.iter().filter_map(|x| v.code.encode(x)).collect(),
            })
        };
        Ok(read.filter_map(place).collect())
    }
}
