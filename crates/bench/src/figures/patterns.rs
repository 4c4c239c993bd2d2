//! Attention patterns of a few heads on one input. Only what is drawn is captured.

use super::grids;
use crate::Fault;
use crate::report::{AttentionPatterns, Figure, PatternOfHead};
use crate::store::Cell;
use crate::work::Bench;
use flyroom_describe::Grid;
use flyroom_network::{Pattern, Runner};
use std::collections::BTreeSet;

/// Heads that are drawn.
const HEADS: usize = 8;

/// The heads that grids point to, the others in order where there is room, on the first input.
pub fn patterns(
    bench: &Bench,
    organism: &str,
    specimen: &Cell,
    seen: &[Grid],
) -> Result<Option<Figure>, Fault> {
    bench.subject(specimen, |subject, s| {
        // Weights that are no shares have no such picture.
        let softmax = subject.network().architecture().transformer();
        let Some(c) = softmax.filter(|c| c.pattern == Pattern::Softmax) else { return Ok(None) };
        let all: Vec<(usize, usize)> =
            (0..c.n_layers).flat_map(|l| (0..c.n_heads).map(move |h| (l, h))).collect();
        let pointed: Vec<Vec<(usize, usize)>> =
            seen.iter().map(grids::heads).filter(|h| !h.is_empty()).collect();
        // Each grid in turn names its next head.
        let longest = pointed.iter().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|i| pointed.iter().filter_map(move |p| p.get(i)));
        let mut chosen: BTreeSet<(usize, usize)> = BTreeSet::new();
        for &head in turns.chain(&all) {
            if chosen.len() < HEADS {
                chosen.insert(head);
            }
        }
        let inputs = subject.task.inputs.pick([0]);
        let runner = Runner::new(subject.network(), &inputs, &subject.context)?;
        let site = |l: usize| format!("blocks.{l}.attn.hook_pattern");
        let layers: BTreeSet<usize> = chosen.iter().map(|c| c.0).collect();
        let sites: Vec<String> = layers.into_iter().map(site).collect();
        runner.capture(&sites.iter().map(String::as_str).collect::<Vec<_>>())?;
        let pos = inputs.pos();
        let mut heads = vec![];
        for (l, h) in chosen {
            let pattern = runner.clean(&site(l))?;
            let of_head = pattern.row(0).chunks_exact((pos * pos).max(1)).nth(h);
            let weights = of_head.unwrap_or(&[]).chunks_exact(pos.max(1)).map(<[_]>::to_vec);
            heads.push(PatternOfHead { name: format!("a{l}.h{h}"), weights: weights.collect() });
        }
        let which = if heads.len() == all.len() {
            "All heads".to_owned()
        } else if pointed.is_empty() {
            format!("The first {} of {} heads", heads.len(), all.len())
        } else {
            format!("{} of {} heads, those first that the methods point to", heads.len(), all.len())
        };
        let token = |&t: &u32| flyroom_describe::token_text(subject.task, t as usize);
        Ok(Some(Figure::AttentionPatterns(AttentionPatterns {
            title: format!("Attention of {organism} / {}", s.spec.seed),
            caption: format!(
                "Each row is a token that looks, each column a token that is looked at; the stronger \
                 the colour, the more. Rows add up to 1. {which}, on the first input of the evaluation set."
            ),
            tokens: inputs.token_row(0).iter().map(token).collect(),
            heads,
        })))
    })
}
