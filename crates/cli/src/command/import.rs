//! `flyroom import`: networks from files.

use super::breed;
use crate::args::Args;
use crate::names;
use anyhow::{Result, bail};
use flyroom_organism::Specimen;
use flyroom_organism::import::{Options, import};
use std::path::Path;

pub fn run(
    args: &Args,
    kind: &str,
    path: &Path,
    rotated: Option<u64>,
    out: &Path,
    as_json: bool,
) -> Result<bool> {
    names::kind(kind)?;
    let options = Options { rotated, ..Options::default() };
    let (specimen, truth) = import(kind, path, &options)?.into_specimen(&args.context()?)?;
    let dir = out.join(specimen.label());
    if dir.join("specimen.json").exists() && Specimen::read(&dir)?.id() != specimen.id() {
        bail!("{} holds another specimen; hint: choose another folder with --out", dir.display());
    }
    truth.write(&specimen.truth_path(&dir))?;
    specimen.write(&dir)?;
    breed::print(&[breed::summary(&specimen, &dir)], as_json)
}
