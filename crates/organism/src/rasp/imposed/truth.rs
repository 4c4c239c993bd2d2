//! What is known of a trained specimen: the program on its components, and the edges that they use.

use super::plan::{Plan, component};
use crate::{Error, ExamVariable, KnownEdge, Source, Standing, Truth};
use flyroom_explanation::{Alignment, Body, Code, Explanation, Part, Readout, Value};
use flyroom_network::{
    Edge, EdgeTable, Intervention, Network, Operation, Row, Runner, Selector, Sender,
};
use flyroom_tensor::Context;
use std::collections::BTreeMap;

/// Inputs of each length on which edges are patched, at most.
const PATCHED: usize = 256;

/// Change of an output, as a share of the largest, from which on an edge moves it.
const MOVES: f32 = 0.25;

impl Plan {
    /// The edges through which the answer flows: of those between a variable's component and one that
    /// reads the variable, the ones that move an output by [`MOVES`] of the largest when they carry what
    /// another input, or another position, sends. Which of its queries, keys and values a head uses for
    /// what the program says is its own affair; that nothing flows elsewhere was trained.
    fn circuit(&self, network: &Network, cx: &Context) -> Result<Vec<KnownEdge>, Error> {
        let table = EdgeTable::new(&self.config);
        let permitted: Vec<Edge> = table
            .edges
            .iter()
            .copied()
            .filter(|e| self.reads.contains(&(e.from, component(e.to))))
            .collect();
        let mut out: BTreeMap<Edge, KnownEdge> = BTreeMap::new();
        for n in 1..=self.labelled.length {
            let task = self.labelled.task(n)?;
            let step = task.clean.div_ceil(PATCHED);
            let inputs: Vec<usize> = (0..task.clean).step_by(step.max(1)).collect();
            let runner = Runner::new(network, &task.inputs, cx)?;
            let plain = |&input: &usize| Row { input, interventions: vec![] };
            let clean = runner.run(&inputs.iter().map(plain).collect::<Vec<_>>())?;
            let clean: Vec<Vec<f32>> =
                inputs.iter().zip(&clean).map(|(&i, y)| task.reading(i, y)).collect();
            let largest = clean.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
            for &edge in &permitted {
                let mut rows = vec![];
                for &input in &inputs {
                    let patched = |operation| Row {
                        input,
                        interventions: vec![Intervention::edges(vec![edge], operation)],
                    };
                    rows.push(patched(Operation::Interchange { input: task.partner[input] }));
                    rows.push(match self.exchanged(&runner, edge.from, input)? {
                        Some(values) => patched(Operation::Set { values }),
                        None => plain(&input),
                    });
                }
                let got = runner.run(&rows)?;
                for (k, y) in got.iter().enumerate() {
                    let (input, own) = (inputs[k / 2], &clean[k / 2]);
                    let y = task.reading(input, y);
                    let off = y.iter().zip(own).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                    if off > MOVES * largest {
                        let known = out.entry(edge).or_insert(KnownEdge { edge, testable: false });
                        known.testable |= k % 2 == 0;
                    }
                }
            }
        }
        Ok(out.into_values().collect())
    }

    /// What a sender writes on an input, at two positions exchanged.
    fn exchanged(
        &self,
        runner: &Runner,
        sender: Sender,
        input: usize,
    ) -> Result<Option<Vec<f32>>, Error> {
        let (site, heads, head) = match sender {
            Sender::Embed => ("hook_embed".to_string(), 1, 0),
            Sender::PosEmbed => ("hook_pos_embed".to_string(), 1, 0),
            Sender::Head(l, h) => (format!("blocks.{l}.attn.hook_result"), self.config.n_heads, h),
            Sender::Mlp(l) => (format!("blocks.{l}.hook_mlp_out"), 1, 0),
        };
        let (pos, d) = (runner.inputs().pos(), self.config.d_model);
        let mut pairs = (1..pos).flat_map(|p| (1..p).map(move |q| (q, p)));
        let all = (pos - 1) * pos.saturating_sub(2) / 2;
        let Some((p, q)) = pairs.nth(input % all.max(1)) else { return Ok(None) };
        let row = runner.clean_row(&site, input)?;
        let own = |at: usize| &row[(at * heads + head) * d..(at * heads + head + 1) * d];
        let order = (0..pos).map(|at| {
            if at == p {
                q
            } else if at == q {
                p
            } else {
                at
            }
        });
        Ok(Some(order.flat_map(own).copied().collect()))
    }

    /// The program on the outputs of the components.
    pub(super) fn truth(&self, network: &Network, cx: &Context) -> Result<Truth, Error> {
        let rows = |name: &str, values: Vec<Value>, from: usize| -> Result<Code, Error> {
            let t = network.weight(name)?;
            let vectors = (from..from + values.len()).map(|i| t.row(i).to_vec()).collect();
            Ok(Code::Table { values, vectors })
        };
        let n = self.labelled.length;
        let letters = self.labelled.tokens.iter();
        let letters = letters.map(|&t| self.labelled.vocabulary[t as usize].clone()).collect();
        let indices = (0..n as i64).map(Value::Int).collect();
        let mut placed = vec![
            ("tokens".to_string(), Selector::site("hook_embed"), rows("embed.W_E", letters, 0)?),
            (
                "indices".to_string(),
                Selector::site("hook_pos_embed"),
                rows("pos_embed.W_pos", indices, 1)?,
            ),
        ];
        for c in &self.components {
            if let (Some(name), Some(selector)) = (&c.variable, c.written()) {
                let code = Code::Opaque { dims: self.config.d_model };
                placed.push((name.clone(), selector, code));
            }
        }
        let variables = placed
            .iter()
            .skip(2)
            .map(|(name, selector, _)| ExamVariable {
                name: name.clone(),
                selector: selector.clone(),
                positions: (1..=n).collect(),
                values: vec![],
            })
            .collect();
        let parts = placed
            .into_iter()
            .map(|(name, selector, code)| Part {
                name,
                alignments: vec![Alignment { selector, code, readers: None }],
                about: String::new(),
            })
            .collect();
        let body = Body::Rasp {
            program: self.labelled.program.clone(),
            readout: Readout::new(self.labelled.readout.clone()),
        };
        let mut e = Explanation::new(self.labelled.name.clone(), parts, body);
        e.method = Some("truth".into());
        e.check()?;
        Ok(Truth {
            source: Source::Constrained,
            standing: Standing::Contested,
            circuit: Some(self.circuit(network, cx)?),
            explanation: Some(e),
            variables,
            ..Truth::nothing()
        })
    }
}
