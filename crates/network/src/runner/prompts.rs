//! Rows of one prompt, which share all that lies in front of their edits.

use super::Runner;
use super::place::Placed;
use crate::intervention::Operation;
use crate::patch::{Branch, Reader};
use std::collections::BTreeMap;

/// Rows that pay for compiling a graph of their own.
const MIN_ROWS: usize = 32;
/// Prompts of one input that a row is tried at, the latest first.
const TRIED: usize = 8;
/// Rows of a prompt, at most: what they share is then a small part of their work, and several prompts make
/// a batch.
const MOST_OF_PROMPT: usize = 24;

/// An input with what senders of patched edges write instead, and the rows that run on it.
#[derive(Default)]
pub(crate) struct Prompt {
    pub(crate) input: usize,
    /// By index of the sender.
    pub(super) references: BTreeMap<usize, Operation>,
    /// By where their edges are read.
    pub(super) branches: Vec<(Option<Reader>, Vec<Placed>)>,
}

/// Prompts that run together.
pub(super) struct Batch {
    pub prompts: Vec<Prompt>,
    pub branches: Vec<Branch>,
}

impl Prompt {
    /// A row by itself.
    pub(crate) fn of(row: Placed) -> Self {
        Self::read_at(None, row)
    }

    fn read_at(reader: Option<Reader>, row: Placed) -> Self {
        let mut prompt = Self { input: row.input, ..Self::default() };
        prompt.add(reader, row);
        prompt
    }

    /// The rows' indices, in order of branches.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        self.branches.iter().flat_map(|b| &b.1).map(|r| r.row)
    }

    fn len(&self) -> usize {
        self.branches.iter().map(|b| b.1.len()).sum()
    }

    /// Whether a row's references are the ones of this prompt, or may become so.
    fn takes(&self, row: &Placed) -> bool {
        row.references.iter().all(|(s, o)| self.references.get(s).is_none_or(|own| own == o))
    }

    fn add(&mut self, reader: Option<Reader>, row: Placed) {
        for (&sender, operation) in &row.references {
            self.references.entry(sender).or_insert_with(|| operation.clone());
        }
        let at = self.branches.iter().position(|b| b.0 == reader);
        let at = at.unwrap_or_else(|| {
            self.branches.push((reader, vec![]));
            self.branches.len() - 1
        });
        self.branches[at].1.push(row);
    }

    /// Rows of readers that `kept` does not name join those that are read anywhere.
    fn merge(&mut self, kept: impl Fn(&Reader) -> bool) {
        let branches = std::mem::take(&mut self.branches);
        for (reader, rows) in branches {
            let reader = reader.filter(&kept);
            rows.into_iter().for_each(|row| self.add(reader.clone(), row));
        }
        self.branches.sort_by(|a, b| a.0.cmp(&b.0));
    }

    fn branches(&self) -> Vec<Branch> {
        let branch = |(reader, rows): &(Option<Reader>, Vec<Placed>)| Branch {
            reader: reader.clone(),
            times: rows.len(),
        };
        self.branches.iter().map(branch).collect()
    }
}

impl Runner<'_> {
    /// Batches of at most `most` rows. Rows of one prompt are together, and prompts with equally many rows
    /// of each reader. Few rows do not pay for a compilation: they are edited anywhere, and run alone.
    pub(super) fn batches(&self, rows: Vec<Placed>, most: usize) -> Vec<Batch> {
        let mut prompts: Vec<Prompt> = vec![];
        let mut of_input: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in rows {
            let reader = self.reader(&row);
            let same = of_input.entry(row.input).or_default();
            let fits = |&&p: &&usize| prompts[p].len() < MOST_OF_PROMPT && prompts[p].takes(&row);
            match same.iter().rev().take(TRIED).find(fits) {
                Some(&p) => prompts[p].add(reader, row),
                None => {
                    same.push(prompts.len());
                    prompts.push(Prompt::read_at(reader, row));
                }
            }
        }
        let mut out = vec![];
        let mut alone = vec![];
        for mut class in classes(prompts) {
            if class.len() * class[0].len() >= MIN_ROWS {
                let many: Vec<_> = class[0]
                    .branches()
                    .into_iter()
                    .filter(|b| b.times * class.len() >= MIN_ROWS)
                    .filter_map(|b| b.reader)
                    .collect();
                class.iter_mut().for_each(|p| p.merge(|r| many.contains(r)));
                out.extend(chunks(class, most));
            } else {
                for (reader, rows) in class.into_iter().flat_map(|p| p.branches) {
                    alone.extend(rows.into_iter().map(|r| Prompt::read_at(reader.clone(), r)));
                }
            }
        }
        let mut few = vec![];
        for mut class in classes(alone) {
            if class.len() >= MIN_ROWS {
                out.extend(chunks(class, most));
            } else {
                class.iter_mut().for_each(|p| p.merge(|_| false));
                few.extend(class);
            }
        }
        out.extend(chunks(few, most));
        out
    }

    /// Where all edges of a row are read, if it is one site.
    fn reader(&self, row: &Placed) -> Option<Reader> {
        let table = self.edges.as_ref()?;
        let mut slots = row.edges.iter().filter_map(|&e| self.slots.get(&table.edges.get(e)?.to));
        let first = slots.next()?;
        // Behind an edit of a site all of what is read may be another.
        let mut at = (first.receivers > 1 && row.edits.is_empty()).then_some(first.at);
        for slot in slots {
            if slot.site != first.site {
                return None;
            }
            at = at.filter(|&at| at == slot.at);
        }
        Some(Reader { site: first.site.clone(), at })
    }
}

/// Prompts with equally many rows of each reader.
fn classes(mut prompts: Vec<Prompt>) -> Vec<Vec<Prompt>> {
    let mut out: BTreeMap<Vec<Branch>, Vec<Prompt>> = BTreeMap::new();
    for prompt in &mut prompts {
        prompt.branches.sort_by(|a, b| a.0.cmp(&b.0));
    }
    for prompt in prompts {
        out.entry(prompt.branches()).or_default().push(prompt);
    }
    out.into_values().collect()
}

/// Batches of at most `most` rows, about equally large, of prompts with the same branches.
fn chunks(mut prompts: Vec<Prompt>, most: usize) -> Vec<Batch> {
    let Some(branches) = prompts.first().map(Prompt::branches) else { return vec![] };
    let rows = prompts[0].len().max(1);
    let batches = prompts.len().div_ceil((most / rows).max(1));
    let mut out = vec![];
    for left in (1..=batches).rev() {
        let rest = prompts.split_off(prompts.len().div_ceil(left));
        let prompts = std::mem::replace(&mut prompts, rest);
        out.push(Batch { prompts, branches: branches.clone() });
    }
    out
}
