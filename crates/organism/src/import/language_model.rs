//! Language models from files, as specimens of `language-model`: kinds `huggingface` and `gguf`.

use super::prompts::{self, Encode};
use super::{Imported, Options, contested};
use crate::language_model::{LanguageModel, Prompt, Settings, last_row};
use crate::organism::as_parameters;
use crate::{Bred, Error};
use flyroom_network::format::gguf::Gguf;
use flyroom_network::tokenizer::Tokenizer;
use flyroom_network::{Inputs, Network, Runner, pretrained};
use flyroom_tensor::Context;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prompts of a set where nothing else is said.
const COUNT: usize = 16;
/// Next tokens whose text is kept for each prompt, the likeliest first.
const LIKELY: usize = 20;

/// On which prompts a language model is judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PromptOptions {
    /// A user's own prompts, all of one length in tokens.
    pub texts: Vec<String>,
    /// A folder with templates and words for indirect objects.
    pub indirect_objects: Option<PathBuf>,
    /// How many prompts of that set.
    pub count: Option<usize>,
}

/// A folder with `config.json`, safetensors and a tokenizer.
pub(super) fn huggingface(path: &Path, options: &Options) -> Result<Imported, Error> {
    let tokenizer = Tokenizer::open(path)?;
    assemble(pretrained::from_huggingface(path)?, &tokenizer, path, &options.prompts)
}

/// A GGUF file with the tokenizer inside.
pub(super) fn gguf(path: &Path, options: &Options) -> Result<Imported, Error> {
    let file = Gguf::open(path)?;
    let tokenizer = Tokenizer::from_gguf(&file)?;
    assemble(pretrained::from_gguf(&file)?, &tokenizer, path, &options.prompts)
}

fn assemble(
    network: Network,
    tokenizer: &Tokenizer,
    path: &Path,
    options: &PromptOptions,
) -> Result<Imported, Error> {
    let bad = |why: String| Error::Format { path: path.into(), why };
    let vocab = network.architecture().transformer().map_or(0, |c| c.d_vocab_out);
    let encode: &Encode = &|text: &str| Ok(tokenizer.prompt(text)?);
    let next = |rows: &[Vec<u32>]| -> Result<Vec<u32>, Error> {
        Ok(likely(&network, rows, 1)?.into_iter().filter_map(|l| l.first().copied()).collect())
    };
    let (domain, prompts) = match (&options.indirect_objects, options.texts.is_empty()) {
        (Some(_), false) => {
            return Err(bad("either --prompt and --prompts or --indirect-objects".into()));
        }
        (None, true) => {
            return Err(bad(
                "a language model is judged on prompts; hint: --prompt TEXT (several of \
                            one length), --prompts FILE (one a line) or --indirect-objects DIR"
                    .into(),
            ));
        }
        (None, false) if options.count.is_some() => {
            return Err(bad("--count is for --indirect-objects".into()));
        }
        (None, false) => {
            let prompts = prompts::own(&options.texts, encode, &next)?;
            let domain = format!(
                "{} prompts of a user; the answer is what the model itself says next, the corrupted \
                 partner is the next prompt",
                prompts.len()
            );
            (domain, prompts)
        }
        (Some(dir), true) => {
            let count = options.count.unwrap_or(COUNT);
            if count == 0 || count > 1 << 16 {
                return Err(bad(format!("--count {count} is no number of prompts")));
            }
            let prompts = prompts::indirect_objects(dir, count, encode)?;
            let domain = format!(
                "{count} sentences that want the indirect object, half with it named first (ABBA) \
                 and half second (BABA); the corrupted partner exchanges who gives"
            );
            (domain, prompts)
        }
    };
    let strings = strings(&network, tokenizer, &prompts)?;
    let settings = Settings { domain, prompts, strings, vocab, weights: network.hash() };
    Ok(Imported {
        organism: &LanguageModel,
        parameters: as_parameters(&settings),
        seed: 0,
        bred: Bred { network, curve: vec![], truth: contested() },
    })
}

/// The text of every token of the prompts and answers, and of the likeliest next ones.
fn strings(
    network: &Network,
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
) -> Result<BTreeMap<u32, String>, Error> {
    let rows: Vec<Vec<u32>> =
        prompts.iter().flat_map(|p| [p.clean.clone(), p.corrupted.clone()]).collect();
    let mut ids: Vec<u32> = likely(network, &rows, LIKELY)?.concat();
    ids.extend(rows.into_iter().flatten());
    ids.extend(prompts.iter().flat_map(|p| [p.answer, p.wrong]));
    Ok(ids.into_iter().filter_map(|id| Some((id, tokenizer.display(id)?))).collect())
}

/// The likeliest next tokens of each row, in order.
fn likely(network: &Network, rows: &[Vec<u32>], count: usize) -> Result<Vec<Vec<u32>>, Error> {
    let mut out = vec![];
    let width = network.architecture().transformer().map_or(1, |c| c.d_vocab_out);
    for row in rows {
        let inputs = Inputs::tokens(std::slice::from_ref(row))?;
        let runner = Runner::new(network, &inputs, &Context::single())?;
        let logits = runner.logits()?;
        let last = last_row(logits.data(), width);
        let mut ids: Vec<u32> = (0..last.len() as u32).collect();
        ids.sort_by(|&a, &b| last[b as usize].total_cmp(&last[a as usize]).then(a.cmp(&b)));
        ids.truncate(count);
        out.push(ids);
    }
    Ok(out)
}
