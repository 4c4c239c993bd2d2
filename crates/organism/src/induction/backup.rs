//! Does another head stand in for an induction head that is taken out?
//!
//! *Measures* the accuracy that is left when heads of the last layer hold their mean over the inputs at each position: each
//! head alone, and the two that attend most to the token behind the earlier copy of the present one. What a head writes on another
//! input would not do: it is another answer, as loud as the spare's right one.
//! *Intuition*: a head that has a spare does not matter alone; both together do. Who ranks heads by what taking
//! out one of them does finds neither.
//! *Source*: McGrath et al. 2023, "The hydra effect" (arXiv 2307.15771), and the backup heads of Wang et al. 2022 (arXiv 2211.00593).
//! These are about heads that change what they do when another is taken out; here the spare does what it always does.

use crate::{Error, Parameters, Task};
use flyroom_network::{Intervention, Network, Operation, Row, Runner, Selector};
use flyroom_tensor::Context;
use serde_json::json;

/// The pair matters when taking it out costs this much accuracy.
const MATTERS: f64 = 0.5;

/// A head seems not to matter when taking it out costs at most this share of what the pair costs.
const SEEMS: f64 = 0.1;

/// What is said of a network: `spare` where the pair matters and neither of the two seems to, `single` where
/// one of them alone costs [`MATTERS`], `shared` where it costs something in between, `none` where the pair does not
/// matter.
fn word(drops: [f64; 2], pair: f64) -> &'static str {
    let most = drops[0].max(drops[1]);
    match pair >= MATTERS {
        false => "none",
        true if most <= SEEMS * pair => "spare",
        true if most >= MATTERS => "single",
        true => "shared",
    }
}

/// Attention of each head of the last layer to the token behind the earlier copy of the present one, where there is
/// one, `[head]`.
fn attention(task: &Task, runner: &Runner, layer: usize, heads: usize) -> Result<Vec<f64>, Error> {
    let pattern = runner.clean(&format!("blocks.{layer}.attn.hook_pattern"))?;
    let pos = task.pos();
    let mut sum = vec![0.0; heads];
    let mut n = 0usize;
    for i in 0..task.clean {
        let (row, tokens) = (pattern.row(i), task.inputs.token_row(i));
        for q in task.read_positions(i) {
            let copies: Vec<usize> = (0..q).filter(|&k| tokens[k] == tokens[q]).collect();
            for (h, sum) in sum.iter_mut().enumerate() {
                let at = |k: usize| f64::from(row[(h * pos + q) * pos + k]);
                *sum += copies.iter().map(|k| at(k + 1)).sum::<f64>();
            }
            n += 1;
        }
    }
    Ok(sum.into_iter().map(|s| s / n.max(1) as f64).collect())
}

/// `induction_attention`: of each head of the last layer. `pair`: the two that have most of it. `left_alone`: the accuracy
/// that is left without each head of the layer; `left_first`, `left_second`: without one of the pair, `left_pair` without
/// both, `left_others`: without all others. `backup`: [`word`].
pub(super) fn metrics(task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
    let runner = Runner::new(network, &task.inputs, cx)?;
    let Some(c) = network.architecture().transformer().filter(|c| c.n_heads > 1 && c.n_layers > 0)
    else {
        return Ok(Parameters::new());
    };
    let (layer, heads) = (c.n_layers - 1, c.n_heads);
    let left = |without: &[usize]| -> Result<f64, Error> {
        let row = |input: usize| {
            let site = Selector::site(format!("blocks.{layer}.attn.hook_z"));
            let out = |&h: &usize| Intervention::site(site.clone().at_head(h), Operation::Mean);
            Row { input, interventions: without.iter().map(out).collect() }
        };
        let outputs = runner.run(&(0..task.clean).map(row).collect::<Vec<_>>())?.concat();
        task.accuracy(&outputs).ok_or_else(|| Error::Truth("answers are classes".into()))
    };
    let attention = attention(task, &runner, layer, heads)?;
    let mut order: Vec<usize> = (0..heads).collect();
    order.sort_by(|&a, &b| attention[b].total_cmp(&attention[a]));
    let (pair, others) = order.split_at(2);
    let clean = left(&[])?;
    let alone = (0..heads).map(|h| left(&[h])).collect::<Result<Vec<f64>, _>>()?;
    let both = left(pair)?;
    let drops = [clean - alone[pair[0]], clean - alone[pair[1]]];
    let names: Vec<String> = pair.iter().map(|h| format!("a{layer}.h{h}")).collect();
    Ok(Parameters::from_iter([
        ("induction_attention".into(), json!(attention)),
        ("pair".into(), json!(names)),
        ("left_alone".into(), json!(alone)),
        ("left_first".into(), json!(alone[pair[0]])),
        ("left_second".into(), json!(alone[pair[1]])),
        ("left_pair".into(), json!(both)),
        ("left_others".into(), json!(left(others)?)),
        ("backup".into(), json!(word(drops, clean - both))),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_their_thresholds() {
        assert_eq!(word([0.05, 0.08], 0.9), "spare");
        assert_eq!(word([0.9, 0.0], 0.9), "single");
        assert_eq!(word([0.3, 0.2], 0.9), "shared");
        assert_eq!(word([0.0, 0.0], 0.4), "none");
    }
}
