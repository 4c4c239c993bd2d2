//! `flyroom import`: networks from files.

use super::breed;
use crate::args::Args;
use crate::names;
use anyhow::{Result, bail};
use flyroom_organism::Specimen;
use flyroom_organism::import::{Declared, Layout, Options, import};
use std::path::Path;

/// What the command line says about a file.
pub fn options(
    rotated: Option<u64>,
    organism: Option<&str>,
    layout: Option<&str>,
    set: &[String],
) -> Result<Options> {
    let layout = match layout {
        None => None,
        Some(text) => match Layout::ALL.iter().find(|l| l.0 == text) {
            Some(l) => Some(l.1),
            None => bail!("--layout {text}: no layout; hint: in-out or out-in"),
        },
    };
    let set = super::settings(set)?;
    if let Some(name) = organism {
        names::organism(name, &set)?;
    }
    let declared = Declared { layout, ..Declared::default() };
    Ok(Options { declared, organism: organism.map(str::to_owned), set, rotated })
}

pub fn run(
    args: &Args,
    kind: &str,
    path: &Path,
    options: &Options,
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    names::kind(kind)?;
    let (specimen, truth) = import(kind, path, options)?.into_specimen(&args.context()?)?;
    let dir = out.join(specimen.label());
    if dir.join("specimen.json").exists() && Specimen::read(&dir)?.id() != specimen.id() {
        bail!("{} holds another specimen; hint: choose another folder with --out", dir.display());
    }
    truth.write(&specimen.truth_path(&dir))?;
    specimen.write(&dir)?;
    breed::print(&[breed::summary(&specimen, &dir)], as_json)
}
