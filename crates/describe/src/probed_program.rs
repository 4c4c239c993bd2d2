//! A program whose answers are right, its variables where a probe finds them (Alain and Bengio 2016,
//! "Understanding intermediate layers using linear classifier probes"; Belinkov 2022).
//!
//! This is how algorithms are usually claimed: a [`Hypothesis`] gives the answers of the network, then
//! one looks for its variables. What each component adds to the residual stream is taken for a sum of
//! directions, one for each value of each variable that has no place yet, fitted by least squares to half
//! of the inputs; a variable lies where its directions are, if on the other half the nearest of its
//! class means is the right one ([`READ`], balanced). Correlations decide, no intervention: what can be read
//! need not be used, and what answers alike need not compute alike. Only a trial tells.
//!
//! Variables that always go together cannot be told apart by what is read: of these the first that has no
//! place is taken, and where they lie on a line the first whose number lies along it.

use crate::candidate::{Candidate, alike, candidates, is_fitted, named, positions, stream};
use crate::hypothesis::Hypothesis;
use crate::method::{settings, signed};
use crate::{Describe, Description, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::{Body, Part};
use flyroom_network::Selector;
use flyroom_organism::{Parameters, Subject, defaults_of};
use flyroom_tensor::linalg;
use serde::{Deserialize, Serialize};

const NAME: &str = "probed-program";

/// Balanced accuracy from which on a variable is read.
pub const READ: f64 = 0.9;
/// Share of what a component adds that a variable's directions make up at least.
const SHARE: f64 = 0.01;
/// Singular values below this share of the greatest count as 0.
const RANK: f64 = 1e-3;

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct ProbedProgram;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Text of the program; without, the library's that answers as the network does.
    program: String,
}

/// What is read at one site: samples are (input, position) in order.
struct Stage {
    site: String,
    width: usize,
    /// The stream, and what was added to it since the stage before, `[sample, unit]`.
    x: Vec<f64>,
    added: Vec<f64>,
    /// Whether directions are fitted to a sample; on the others they are tried.
    fitted: Vec<bool>,
}

impl Describe for ProbedProgram {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: NAME,
            step: "describe",
            version: 1,
            summary: "a program that answers as the network does, its variables where linear probes read them",
            source: "Alain and Bengio 2016; Belinkov 2022, Probing classifiers",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn describe(
        &self,
        subject: &Subject,
        _parts: Option<&Dictionary>,
        parameters: &Parameters,
        _seed: u64,
    ) -> Result<Description, Error> {
        let settings: Settings = settings(NAME, self.defaults(), parameters)?;
        let h = Hypothesis::new(subject, &settings.program, NAME)?;
        let mut left = candidates(subject, &h);
        let mut parts = vec![];
        let mut before: Option<Vec<f64>> = None;
        for site in stream(subject) {
            let stage = Stage::new(subject, &h, site, before.take())?;
            let found = stage.places(&left)?;
            left.retain(|c| !found.iter().any(|p: &Part| p.name == c.name));
            parts.extend(found);
            before = Some(stage.x);
        }
        let body = Body::Rasp { program: h.program, readout: h.readout };
        Ok(Description::new(signed(NAME, subject, parts, body)))
    }
}

impl Stage {
    fn new(
        subject: &Subject,
        h: &Hypothesis,
        site: String,
        before: Option<Vec<f64>>,
    ) -> Result<Self, Error> {
        let clean = subject.runner.clean(&site)?;
        let (places, pos) = (positions(subject, h), subject.task.pos());
        let width = clean.data().len() / (clean.shape()[0] * pos).max(1);
        let mut x = vec![];
        let mut fitted = vec![];
        for (k, (input, _)) in h.traces.iter().enumerate() {
            for p in &places {
                let at = (input * pos + p) * width;
                x.extend(clean.data()[at..at + width].iter().map(|&v| f64::from(v)));
                fitted.push(is_fitted(k));
            }
        }
        let added = match before {
            Some(before) => x.iter().zip(&before).map(|(x, b)| x - b).collect(),
            None => x.clone(),
        };
        Ok(Self { site, width, x, added, fitted })
    }

    fn samples(&self, fitted: bool) -> impl Iterator<Item = usize> + '_ {
        (0..self.fitted.len()).filter(move |&s| self.fitted[s] == fitted)
    }

    /// The variables that are read here, each with its place.
    fn places(&self, left: &[Candidate]) -> Result<Vec<Part>, Error> {
        let groups = alike(left);
        let directions = self.directions(&groups.iter().map(|g| g[0]).collect::<Vec<_>>())?;
        let mut out = vec![];
        for (directions, alike) in directions.iter().zip(&groups) {
            out.extend(self.place(directions, alike)?);
        }
        Ok(out)
    }

    /// For each variable what its values add, `[value, unit]`, each set of them with the mean 0: the least
    /// squares solution of least norm.
    fn directions(&self, variables: &[&Candidate]) -> Result<Vec<Vec<f64>>, Error> {
        let (d, p) = (self.width, variables.iter().map(|c| c.values.len()).sum::<usize>());
        let rows: Vec<usize> = self.samples(true).collect();
        let n = rows.len().max(1) as f64;
        let mut mean = vec![0.0; d];
        for s in &rows {
            let row = &self.added[s * d..(s + 1) * d];
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / n);
        }
        let (mut gram, mut with) = (vec![0.0; p * p], vec![0.0; p * d]);
        for &s in &rows {
            let mut first = 0;
            let mut hot = vec![];
            for c in variables {
                hot.extend(c.of[s].map(|v| first + v));
                first += c.values.len();
            }
            for &i in &hot {
                hot.iter().for_each(|&j| gram[i * p + j] += 1.0);
                let row = self.added[s * d..(s + 1) * d].iter().zip(&mean);
                with[i * d..(i + 1) * d].iter_mut().zip(row).for_each(|(w, (x, m))| *w += x - m);
            }
        }
        let inverse = linalg::pinv(p, p, &gram, 1e-9)?;
        let all = linalg::product(p, p, d, &inverse, &with);
        let mut rest = &all[..];
        let mut out = vec![];
        for c in variables {
            let (own, behind) = rest.split_at(c.values.len() * d);
            rest = behind;
            let mut own = own.to_vec();
            let k = c.values.len();
            for unit in 0..d {
                let mean = (0..k).map(|v| own[v * d + unit]).sum::<f64>() / k as f64;
                (0..k).for_each(|v| own[v * d + unit] -= mean);
            }
            out.push(own);
        }
        Ok(out)
    }

    /// The place of the first of some variables that go together, if it is read there.
    fn place(&self, directions: &[f64], alike: &[&Candidate]) -> Result<Option<Part>, Error> {
        let (first, d) = (alike[0], self.width);
        let k = first.values.len();
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        let (mut own, mut all) = (0.0, 0.0);
        for s in self.samples(true) {
            all += square(&self.added[s * d..(s + 1) * d]);
            own += first.of[s].map_or(0.0, |v| square(&directions[v * d..(v + 1) * d]));
        }
        if own < SHARE * all || own <= 0.0 {
            return Ok(None);
        }
        let svd = linalg::svd(k, d, directions)?;
        let rank = svd.s.iter().filter(|s| **s > RANK * svd.s[0]).count();
        let basis: Vec<&[f64]> = svd.vt.chunks_exact(d).take(rank).collect();
        let coordinates = |s: usize| -> Vec<f64> {
            basis.iter().map(|q| linalg::dot(q, &self.x[s * d..(s + 1) * d])).collect()
        };
        let mut code = vec![vec![0.0; rank]; k];
        let mut counts = vec![0.0; k];
        for s in self.samples(true) {
            let Some(v) = first.of[s] else { continue };
            counts[v] += 1.0;
            code[v].iter_mut().zip(coordinates(s)).for_each(|(m, c)| *m += c);
        }
        for (m, n) in code.iter_mut().zip(&counts) {
            m.iter_mut().for_each(|m| *m /= n);
        }
        let (mut right, mut tried) = (vec![0.0; k], vec![0.0; k]);
        for s in self.samples(false) {
            let Some(v) = first.of[s] else { continue };
            let c = coordinates(s);
            let far =
                |v: &usize| c.iter().zip(&code[*v]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            let nearest = (0..k).min_by(|a, b| far(a).total_cmp(&far(b)));
            tried[v] += 1.0;
            right[v] += f64::from(u8::from(nearest == Some(v)));
        }
        let shares: Vec<f64> =
            right.iter().zip(&tried).filter(|(_, n)| **n > 0.0).map(|(r, n)| r / n).collect();
        let accuracy = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        if accuracy < READ {
            return Ok(None);
        }
        let (variable, code) = named(alike, &code);
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let basis = basis.into_iter().map(narrow).collect();
        let selector = Selector::site(&self.site).in_basis(basis);
        let mut part = Part::new(variable.name.clone(), selector, code);
        part.about = format!("read with a balanced accuracy of {accuracy:.3}");
        Ok(Some(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_organism::train::Nursery;
    use flyroom_organism::{Specimen, find};
    use flyroom_tensor::Context;
    use serde_json::json;

    fn said(name: &str, set: serde_json::Value, seed: u64) -> Result<Vec<Part>, Error> {
        let o = find(name).unwrap();
        let cx = Context::single();
        let bred = o.breed(&o.defaults(), seed, &cx, &Nursery::none()).unwrap();
        let (specimen, _) = Specimen::new(o, &o.defaults(), seed, bred, Parameters::new());
        let task = o.task(&o.defaults(), None).unwrap();
        let subject = Subject::new(&specimen, &task, &cx).unwrap();
        let set = set.as_object().unwrap();
        Ok(ProbedProgram.describe(&subject, None, set, 0)?.explanation.parts)
    }

    #[test]
    fn variables_of_a_compiled_program_are_found_where_they_were_written() {
        let at = |p: &Part| (p.name.clone(), p.alignments[0].selector.site.clone());
        for (name, last) in [
            ("rasp-max", "blocks.1.hook_resid_mid"),
            ("rasp-histogram", "blocks.0.hook_resid_post"),
        ] {
            let parts: Vec<(String, String)> =
                said(name, json!({}), 1).unwrap().iter().map(at).collect();
            let read: Vec<&str> = parts.iter().map(|p| p.1.as_str()).collect();
            assert_eq!(&read[..2], ["blocks.0.hook_resid_pre"; 2], "{name}: {parts:?}");
            assert_eq!(read.last(), Some(&last), "{name}: {parts:?}");
            assert!(parts[2].0.ends_with("attn_output"), "{name}: {parts:?}");
        }
    }

    #[test]
    fn a_table_is_taken_for_the_program_whose_answers_it_gives_and_holds_none_of_its_steps() {
        let parts = said("trap-lookup-table", json!({}), 0).unwrap();
        let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["tokens", "indices", "max"]);
    }

    #[test]
    fn a_program_with_other_answers_is_refused() {
        let text = "vocabulary: 1 2 3 4 5\nlength: 5\nx = tokens\nreturn x\n";
        let e = said("rasp-max", json!({ "program": text }), 0).unwrap_err().to_string();
        assert!(e.contains("less than 0.99"), "{e}");
        let e = said("rasp-max", json!({ "program": "return" }), 0).unwrap_err().to_string();
        assert!(e.starts_with("method probed-program"), "{e}");
        let e = said("modular-addition-analytic", json!({}), 0).unwrap_err().to_string();
        assert!(e.contains("reads tokens"), "{e}");
    }
}
