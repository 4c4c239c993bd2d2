//! Clean activations of the whole set, per site, and what references supply from them.

use super::Runner;
use super::held::{Arriving, Held};
use crate::intervention::Operation;
use crate::network::{Form, record};
use crate::{Error, patch};
use flyroom_tensor::{Graph, Program, Tensor};
use std::sync::Arc;

impl Runner<'_> {
    /// Clean activations of the whole set at a site, `[input, ..]`.
    pub fn clean(&self, site: &str) -> Result<Arc<Tensor>, Error> {
        self.held(site)?.whole()
    }

    fn held(&self, site: &str) -> Result<Held, Error> {
        self.capture(&[site])?;
        Ok(self.clean.borrow()[site].clone())
    }

    /// Clean activations of one input at a site.
    pub fn clean_row(&self, site: &str, input: usize) -> Result<Vec<f32>, Error> {
        self.check_input(input)?;
        self.held(site)?.row(input)
    }

    /// Clean outputs of the whole set, `[input, pos, d_vocab_out]` or `[input, d_out]`.
    pub fn logits(&self) -> Result<Arc<Tensor>, Error> {
        self.clean("hook_logits")
    }

    /// Computes several sites in one pass, where they are not known yet.
    pub fn capture(&self, sites: &[&str]) -> Result<(), Error> {
        let missing: Vec<&str> =
            sites.iter().copied().filter(|s| !self.clean.borrow().contains_key(*s)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for name in &missing {
            self.site(name)?;
        }
        // Neither form has all sites: the one has norms that are shared, the other single heads.
        let (split, plain): (Vec<&str>, Vec<&str>) =
            missing.iter().copied().partition(|s| patch::split_only(s));
        self.capture_in(Form::Plain, &plain)?;
        self.capture_in(Form::Split, &split)
    }

    fn capture_in(&self, form: Form, missing: &[&str]) -> Result<(), Error> {
        if missing.is_empty() {
            return Ok(());
        }
        let n = self.inputs.len();
        let mut arriving = vec![];
        let mut bytes: usize = self.clean.borrow().values().map(Held::bytes).sum();
        for name in missing {
            let mut shape = self.site(name)?.shape.clone();
            shape[0] = n;
            let size = shape.iter().product::<usize>().saturating_mul(4);
            let beyond = self.budget.as_ref().filter(|b| bytes.saturating_add(size) > b.bytes);
            if beyond.is_none() {
                bytes += size;
            }
            let folder = beyond.map(|b| b.folder.as_path());
            arriving.push((*name, Arriving::new(&shape, folder)?, shape));
        }
        let mut compiled: Option<(usize, Program)> = None;
        let most = if missing.contains(&"hook_logits") { self.batch } else { self.inner_batch };
        for start in (0..n).step_by(most) {
            let rows = start..n.min(start + most);
            let mut program = match compiled.take() {
                Some((batch, p)) if batch == rows.len() => p,
                _ => {
                    let (batch, pos) = (rows.len(), self.inputs.pos());
                    let mut g = Graph::new();
                    record(&mut g, self.network.architecture(), batch, pos, form)?;
                    let values = missing.iter().map(|s| g.at(s)).collect::<Result<Vec<_>, _>>()?;
                    Program::compile(&g, &values)?
                }
            };
            let picked = self.inputs.pick(rows.clone());
            program.run(&self.context, &self.bind(&picked))?;
            for (i, (_, values, _)) in arriving.iter_mut().enumerate() {
                values.extend(program.output(i))?;
            }
            compiled = Some((rows.len(), program));
        }
        for (name, values, shape) in arriving {
            self.clean.borrow_mut().insert(name.to_string(), values.finish(&shape)?);
        }
        Ok(())
    }

    /// Mean of a site per position over the whole set.
    pub fn mean(&self, site: &str) -> Result<Arc<Vec<f32>>, Error> {
        if let Some(m) = self.means.borrow().get(site) {
            return Ok(m.clone());
        }
        let all = self.held(site)?;
        let mut sums = vec![0f64; self.site(site)?.size()];
        for input in 0..self.inputs.len() {
            let row = all.row(input)?;
            sums.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(x));
        }
        let n = self.inputs.len().max(1) as f64;
        let mean = Arc::new(sums.into_iter().map(|s| (s / n) as f32).collect::<Vec<_>>());
        self.means.borrow_mut().insert(site.into(), mean.clone());
        Ok(mean)
    }

    /// What a reference operation supplies for a site: zeros, the mean, or a source input's clean
    /// activation.
    pub(super) fn supplied(&self, site: &str, operation: &Operation) -> Result<Vec<f32>, Error> {
        match operation {
            Operation::Zero => Ok(vec![0.0; self.site(site)?.size()]),
            Operation::Mean => Ok(self.mean(site)?.to_vec()),
            Operation::Interchange { input } => self.clean_row(site, *input),
            Operation::Set { .. } | Operation::Add { .. } => Err(Error::Selector {
                text: site.into(),
                why: "edges take zero, mean, interchange or set".into(),
            }),
        }
    }
}
