//! `flyroom import`: networks from files.

use super::breed;
use crate::args::Args;
use anyhow::Result;
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
    let options = Options { rotated, ..Options::default() };
    let (specimen, truth) = import(kind, path, &options)?.into_specimen(&args.context()?)?;
    let dir = out.join(specimen.label());
    truth.write(&specimen.truth_path(&dir))?;
    specimen.write(&dir)?;
    breed::print(&[breed::summary(&specimen, &dir)], as_json)
}
