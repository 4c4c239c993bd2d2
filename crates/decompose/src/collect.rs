//! The data of step 1: activations of the task's clean inputs at one site.

use crate::writer::writer;
use crate::{Data, Error};
use flyroom_network::Axis;
use flyroom_organism::Subject;
use flyroom_tensor::Tensor;

/// Positions whose activations are worth taking apart: those at which some clean input has an
/// output that counts. Where the site is the same for every input at all of them (the embedding of
/// a fixed last token), all positions at which it is not, and where there is none of these, the
/// former.
///
/// So the beginning-of-sequence token, positions that no loss reads and fixed separators stay out.
pub fn positions(subject: &Subject, site: &str) -> Result<Vec<usize>, Error> {
    let task = subject.task;
    let (rows, pos, width) = layout(subject, site)?;
    if pos == 1 {
        return Ok(vec![0]);
    }
    let clean = subject.runner.clean(site)?;
    let counts = |p: usize| (0..task.clean).any(|i| task.reads[i * task.pos() + p]);
    let varies = |p: usize| {
        let at = |i: usize| &clean.data()[(i * pos + p) * width..][..width];
        (1..rows).any(|i| at(i) != at(0))
    };
    let read: Vec<usize> = (0..pos).filter(|&p| counts(p)).collect();
    if read.iter().any(|&p| varies(p)) {
        return Ok(read);
    }
    let varying: Vec<usize> = (0..pos).filter(|&p| varies(p)).collect();
    match (varying.is_empty(), read.is_empty()) {
        (false, _) => Ok(varying),
        (true, false) => Ok(read),
        (true, true) => Ok((0..pos).collect()),
    }
}

/// (clean inputs, positions of the site, units of all heads at one position).
fn layout(subject: &Subject, site: &str) -> Result<(usize, usize, usize), Error> {
    let found = subject.runner.site(site)?;
    let Some(unit) = found.axis_len(Axis::Unit) else {
        return Err(Error::Shapes(format!(
            "{site} holds no vectors of units; hint: take a site such as hook_resid_post or \
             mlp.hook_post"
        )));
    };
    let width = unit * found.axis_len(Axis::Head).unwrap_or(1);
    let pos = found.axis_len(Axis::Pos).unwrap_or(1);
    Ok((subject.task.clean, pos, width))
}

/// Activations `[sample, unit]` of the task's clean inputs at a site, in order of (input, pos), at
/// the [`positions`] that mean something, with the last matrix that writes the site. Heads are
/// concatenated (`reshape_activations: hook_z`).
pub fn collect(subject: &Subject, site: &str) -> Result<Data, Error> {
    let kept = positions(subject, site)?;
    collect_at(subject, site, &kept)
}

/// The same at every position of the site: what most dictionaries of others were made from.
pub fn collect_everywhere(subject: &Subject, site: &str) -> Result<Data, Error> {
    let (_, pos, _) = layout(subject, site)?;
    collect_at(subject, site, &(0..pos).collect::<Vec<_>>())
}

fn collect_at(subject: &Subject, site: &str, kept: &[usize]) -> Result<Data, Error> {
    let (rows, pos, width) = layout(subject, site)?;
    let clean = subject.runner.clean(site)?;
    let mut data = Vec::with_capacity(rows * kept.len() * width);
    for i in 0..rows {
        for &p in kept {
            data.extend_from_slice(&clean.data()[(i * pos + p) * width..][..width]);
        }
    }
    let activations = Tensor::new(&[rows * kept.len(), width], data)?;
    Ok(Data { writer: writer(subject.network(), site)?, ..Data::new(site, activations) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::{Architecture, Inputs, Network, Runner, TransformerConfig};
    use flyroom_organism::{Answers, Distance, Task};
    use flyroom_tensor::{Context, Stream};

    fn network() -> Network {
        let a = Architecture::Transformer(TransformerConfig::plain(1, 6, 2, 5, 4));
        let mut draw = Stream::new(0, "collect").block(0);
        let weights = Network::parameters(&a)
            .unwrap()
            .into_iter()
            .map(|(n, s)| (n, Tensor::from_fn(&s, |_| draw.normal())))
            .collect();
        Network::new(a, weights).unwrap()
    }

    /// Token 4 comes first and last, and only the output at `read` counts.
    fn task(read: usize) -> Task {
        let inputs =
            Inputs::tokens(&[vec![4, 0, 1, 4], vec![4, 2, 3, 4], vec![4, 3, 3, 4]]).unwrap();
        Task {
            domain: "three inputs, two of them clean".into(),
            exhaustive: false,
            inputs,
            clean: 2,
            partner: vec![2, 2],
            reads: (0..12).map(|i| i % 4 == read).collect(),
            answers: Answers::Classes(vec![0; 12]),
            d_out: 5,
            columns: 5,
            distance: Distance::CentredLogits,
            vocabulary: vec![],
            modulus: None,
        }
    }

    fn with<T>(read: usize, f: impl Fn(&Subject) -> T) -> T {
        let (network, task, cx) = (network(), task(read), Context::single());
        let runner = Runner::new(&network, &task.inputs, &cx).unwrap();
        f(&Subject {
            label: "t".into(),
            id: "t".into(),
            organism: "t".into(),
            runner,
            task: &task,
            context: cx,
        })
    }

    #[test]
    fn positions_that_mean_nothing_stay_out() {
        // At the last position the stream after attention differs between inputs.
        with(3, |s| {
            assert_eq!(positions(s, "blocks.0.hook_resid_post").unwrap(), [3]);
            // The embedding of the last token never does: the positions where it differs.
            assert_eq!(positions(s, "hook_embed").unwrap(), [1, 2]);
        });
        // Where nothing is before it, the first position is the same for all inputs everywhere.
        with(0, |s| assert_eq!(positions(s, "blocks.0.hook_resid_post").unwrap(), [1, 2, 3]));
    }

    #[test]
    fn samples_are_in_order_of_input_and_position_with_heads_side_by_side() {
        with(2, |s| {
            let data = collect(s, "blocks.0.attn.hook_z").unwrap();
            assert_eq!(data.activations.shape(), [2, 6]);
            let clean = s.runner.clean("blocks.0.attn.hook_z").unwrap(); // [3, 4, 2, 3]
            assert_eq!(data.activations.row(1), &clean.row(1)[2 * 6..3 * 6]);
            let e = collect(s, "blocks.0.attn.hook_pattern").unwrap_err().to_string();
            assert!(e.contains("hint"), "{e}");
        });
    }
}
