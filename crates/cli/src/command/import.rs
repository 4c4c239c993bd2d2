//! `flyroom import`: networks from files.

use super::breed;
use crate::args::{Args, Asked};
use crate::names;
use anyhow::{Result, bail};
use flyroom_network::write_whole;
use flyroom_organism::Specimen;
use flyroom_organism::import::{Declared, Layout, Options, PromptOptions, import};
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
    let organism = organism.map(str::to_owned);
    Ok(Options { declared, organism, set, rotated, ..Options::default() })
}

/// What the command line asks a language model; empty lines of a file are no prompts.
pub fn prompts(asked: &Asked) -> Result<PromptOptions> {
    let mut texts = asked.prompt.clone();
    if let Some(path) = &asked.prompts {
        let text = std::fs::read_to_string(path)
            .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        texts.extend(text.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned));
    }
    let (indirect_objects, count) = (asked.indirect_objects.clone(), asked.count);
    Ok(PromptOptions { texts, indirect_objects, count })
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
    // A folder's tokenizer goes along, so that the specimen can be asked in words.
    for file in ["tokenizer.json", "vocab.json", "merges.txt", "tok512.bin", "tokenizer.bin"] {
        let from = path.join(file);
        if kind == "huggingface" && from.is_file() {
            let bytes =
                std::fs::read(&from).map_err(|e| anyhow::anyhow!("{}: {e}", from.display()))?;
            write_whole(&dir.join(file), &bytes)?;
        }
    }
    breed::print(&[breed::summary(&specimen, &dir)], as_json)
}
