//! The task of a compiled program: all sequences of one length behind BOS.

use super::Labelled;
use crate::task::other_inputs;
use crate::{Answers, Distance, Error, Parameters, Task};
use flyroom_explanation::{Code, Value};
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::Context;
use serde_json::json;

impl Labelled {
    /// All sequences of `n` tokens, read where the program says something. Answers are classes
    /// where every output that counts is one value of a one-hot.
    pub fn task(&self, n: usize) -> Result<Task, Error> {
        let bad = |why: String| Error::Parameters { organism: self.name.clone(), why };
        if !(1..=self.length).contains(&n) {
            return Err(bad(format!("sequences have 1 to {} tokens, not {n}", self.length)));
        }
        let d_out = self.readout.dims();
        let mut classes = !matches!(self.readout, Code::Scalar { .. });
        let (mut rows, mut reads, mut values) = (vec![], vec![], vec![]);
        for (s, trace) in self.traces(n)? {
            rows.push(self.with_bos(&s));
            reads.push(false);
            values.extend(vec![0.0; d_out]);
            for v in trace.output() {
                reads.push(*v != Value::None);
                classes &= !matches!(v, Value::Mixture(_));
                let code = self.readout.encode(v).ok_or_else(|| bad(format!("no output {v}")))?;
                values.extend(code);
            }
        }
        let class = |v: &[f32]| v.iter().position(|&x| x == 1.0).unwrap_or(0) as u32;
        let distance = match self.readout {
            Code::Scalar { .. } => Distance::Squared { weights: vec![1.0] },
            _ => Distance::CentredLogits,
        };
        let answers = match classes {
            true => Answers::Classes(values.chunks_exact(d_out).map(class).collect()),
            false => Answers::Values(values),
        };
        Ok(Task {
            domain: format!("all {} sequences of {n} tokens behind BOS", rows.len()),
            exhaustive: true,
            clean: rows.len(),
            partner: other_inputs(rows.len(), n as u64),
            inputs: Inputs::tokens(&rows)?,
            reads,
            answers,
            d_out,
            columns: d_out,
            distance,
            vocabulary: self.vocabulary.clone(),
            modulus: None,
        })
    }

    /// Over all inputs of all lengths: `accuracy` where the output is a class, and `max_error`,
    /// the largest difference between an output and what the program says (zeros where it says
    /// nothing).
    pub fn measure(&self, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let (mut right, mut read, mut inputs, mut worst) = (0f64, 0usize, 0usize, 0f32);
        let mut classes = true;
        for n in 1..=self.length {
            let task = self.task(n)?;
            let runner = Runner::new(network, &task.inputs, cx)?;
            let logits = runner.logits()?;
            let counted = task.reads.iter().filter(|&&r| r).count();
            match task.accuracy(logits.data()) {
                Some(share) => right += share * counted as f64,
                None => classes = false,
            }
            read += counted;
            inputs += task.clean;
            for (i, (row, &reads)) in
                logits.data().chunks_exact(task.d_out).zip(&task.reads).enumerate()
            {
                for (k, x) in row.iter().enumerate() {
                    let wanted = match &task.answers {
                        Answers::Values(v) => v[i * task.d_out + k],
                        Answers::Classes(c) if reads && c[i] as usize == k => 1.0,
                        Answers::Classes(_) => 0.0,
                    };
                    if i % task.pos() != 0 {
                        worst = worst.max((x - wanted).abs());
                    }
                }
            }
        }
        let mut out = Parameters::new();
        if classes {
            out.insert("accuracy".into(), json!((right / read.max(1) as f64)));
        }
        out.insert("max_error".into(), json!(worst));
        out.insert("inputs".into(), json!(inputs));
        Ok(out)
    }
}
