//! What is imposed: a program, the network that is to run it, and which component has which variable.

use super::{Imposed, Recipe};
use crate::labelled::Labelled;
use crate::organism::typed;
use crate::rasp::Compiled;
use crate::{Error, Parameters, Task};
use flyroom_explanation::Value;
use flyroom_explanation::rasp::{Interpreter, Override, Overrides, Trace};
use flyroom_network::{Receiver, Selector, Sender, TransformerConfig};
use serde_json::json;
use std::collections::BTreeSet;

/// A head or an MLP.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub(super) sender: Sender,
    /// The variable that it writes, if any.
    pub(super) variable: Option<String>,
}

impl Component {
    /// The site of its output before the residual stream, with its head.
    pub(super) fn inner(&self) -> Option<(String, usize)> {
        match self.sender {
            Sender::Head(l, h) => Some((format!("blocks.{l}.attn.hook_z"), h)),
            Sender::Mlp(l) => Some((format!("blocks.{l}.hook_mlp_out"), 0)),
            Sender::Embed | Sender::PosEmbed => None,
        }
    }

    /// What it writes to the residual stream.
    pub(super) fn written(&self) -> Option<Selector> {
        Some(match self.sender {
            Sender::Head(l, h) => Selector::site(format!("blocks.{l}.attn.hook_result")).at_head(h),
            Sender::Mlp(l) => Selector::site(format!("blocks.{l}.hook_mlp_out")),
            Sender::Embed | Sender::PosEmbed => return None,
        })
    }
}

/// A program, the network to be trained and its components.
pub(super) struct Plan {
    pub(super) recipe: Recipe,
    pub(super) labelled: Labelled,
    pub(super) interpreter: Interpreter,
    pub(super) config: TransformerConfig,
    pub(super) components: Vec<Component>,
    /// Who reads what whom: a sender, and the component whose variable is made from the sender's.
    pub(super) reads: BTreeSet<(Sender, Option<Sender>)>,
}

/// The component of a receiver; `None` is the output.
pub(super) fn component(to: Receiver) -> Option<Sender> {
    match to {
        Receiver::Query(l, h) | Receiver::Key(l, h) | Receiver::Value(l, h) => {
            Some(Sender::Head(l, h))
        }
        Receiver::Mlp(l) => Some(Sender::Mlp(l)),
        Receiver::Logits => None,
    }
}

impl Imposed {
    pub(super) fn plan(&self, parameters: &Parameters) -> Result<Plan, Error> {
        let bad = |why: String| Error::Parameters { organism: self.name.into(), why };
        let recipe: Recipe = typed(self.name, parameters)?;
        recipe.schedule.check().map_err(bad)?;
        for (key, n, most) in [
            ("d_model", recipe.d_model, 1 << 10),
            ("d_head", recipe.d_head, 1 << 8),
            ("d_mlp", recipe.d_mlp, 1 << 12),
        ] {
            if !(1..=most).contains(&n) {
                return Err(bad(format!("{key} = {n} is no size; hint: from 1 to {most}")));
            }
        }
        if recipe.spare_heads > 32 {
            return Err(bad("spare_heads is more than 32".into()));
        }
        let of = Parameters::from_iter([("length".to_string(), json!(recipe.length))]);
        let Compiled { network, mut labelled } = self.of.compiled(&of)?;
        labelled.name = self.name.into();
        let Some(own) = network.architecture().transformer() else {
            return Err(bad("only a transformer has components".into()));
        };
        let heads = own.n_heads + recipe.spare_heads;
        let mut config =
            TransformerConfig::plain(own.n_layers, recipe.d_model, heads, own.d_vocab, own.n_ctx);
        config.d_vocab_out = own.d_vocab_out;
        config.d_head = recipe.d_head;
        config.attn_scale = (recipe.d_head as f32).sqrt();
        config.d_mlp = recipe.d_mlp;
        config.unembed_bias = true;
        config.causal = own.causal;
        let writers = labelled.writers(&network)?;
        let mut components = vec![];
        for l in 0..own.n_layers {
            let all = (0..heads).map(|h| Sender::Head(l, h)).chain([Sender::Mlp(l)]);
            for sender in all {
                let mut own = writers.iter().filter(|(_, s)| *s == sender);
                let variable = own.next().map(|(name, _)| name.clone());
                if let (Some(a), Some((b, _))) = (&variable, own.next()) {
                    return Err(bad(format!(
                        "one component writes '{a}' and '{b}', which cannot be exchanged alone"
                    )));
                }
                components.push(Component { sender, variable });
            }
        }
        let reads =
            labelled.edges(&network)?.into_iter().map(|e| (e.from, component(e.to))).collect();
        let interpreter = Interpreter::new(&labelled.program)?;
        Ok(Plan { recipe, labelled, interpreter, config, components, reads })
    }
}

/// All sequences of one length and what the program makes of them.
pub(super) struct Known {
    pub(super) task: Task,
    pub(super) traces: Vec<Trace>,
}

/// A variable that has a source's value at an index.
pub(super) struct Taken<'a> {
    pub(super) component: usize,
    pub(super) index: usize,
    pub(super) from: &'a Trace,
}

/// What is expected of one row.
pub(super) struct Wanted {
    /// For each position whether the program gives one value there.
    pub(super) reads: Vec<bool>,
    /// Whether it gives something that has a code: a mixture of values, or none, too.
    pub(super) taught: Vec<bool>,
    /// `[pos, d_out]`.
    pub(super) values: Vec<f32>,
}

impl Plan {
    pub(super) fn known(&self) -> Result<Vec<Known>, Error> {
        let of = |n: usize| {
            let traces = self.labelled.traces(n)?.into_iter().map(|(_, t)| t).collect();
            Ok(Known { task: self.labelled.task(n)?, traces })
        };
        (1..=self.labelled.length).map(of).collect()
    }

    /// Whether sequences of a length are worth training on: the program answers some of them.
    pub(super) fn answers(&self, known: &Known) -> bool {
        known.traces.iter().any(|trace| self.wanted(trace).reads.contains(&true))
    }

    pub(super) fn owners(&self) -> Vec<usize> {
        (0..self.components.len()).filter(|&i| self.components[i].variable.is_some()).collect()
    }

    /// Outputs as the network should give them.
    pub(super) fn wanted(&self, trace: &Trace) -> Wanted {
        let d = self.labelled.readout.dims();
        let mut out = Wanted { reads: vec![false], taught: vec![false], values: vec![0.0; d] };
        for v in trace.output() {
            let single = !matches!(v, Value::None | Value::Unknown | Value::Mixture(_));
            let code = self.labelled.readout.encode(v);
            out.reads.push(single && code.is_some());
            out.taught.push(code.is_some());
            out.values.extend(code.unwrap_or_else(|| vec![0.0; d]));
        }
        out
    }

    /// What the program says of an input when some variables have sources' values at some indices.
    pub(super) fn counterfactual(&self, base: &[Value], taken: &[Taken]) -> Result<Trace, Error> {
        let mut set = Overrides::none();
        for t in taken {
            let Some(variable) = &self.components[t.component].variable else { continue };
            let value = t.from.get(variable).and_then(|v| v.get(t.index));
            set.push(Override {
                variable: variable.clone(),
                index: t.index,
                value: value.cloned().unwrap_or(Value::Unknown),
                readers: None,
            });
        }
        Ok(self.interpreter.run(base, &set)?)
    }
}
