//! The truth of a compiled network, read from its labels and weights.
//!
//! Where a variable is written and which edges exist follow from the weights alone: a component
//! writes the dimensions in which a column of its output matrix is not zero, and reads those in
//! which a row of its input matrix is not.

use super::compiled::{BOS, Compiled, Labelled};
use crate::{Error, ExamVariable, Feature, KnownEdge, Source, Standing, Truth};
use flyroom_explanation::rasp::{INDICES, Interpreter, Overrides, Program, READOUT, TOKENS};
use flyroom_explanation::{Alignment, Body, Explanation, Part, Readout, Value};
use flyroom_network::{Edge, EdgeTable, Network, Receiver, Selector, Sender};
use std::collections::{BTreeMap, BTreeSet};

/// The truth of a compiled network in the coordinates in which it was compiled.
pub(super) fn truth(
    compiled: &Compiled,
    network: &Network,
    testable: &[&str],
) -> Result<Truth, Error> {
    let wiring = Wiring::new(network)?;
    Frame { compiled, wiring: &wiring }.truth(testable)
}

/// Who writes and who reads which residual dimensions of a compiled network.
struct Wiring {
    table: EdgeTable,
    written: BTreeMap<Sender, BTreeSet<usize>>,
    read: BTreeMap<Receiver, BTreeSet<usize>>,
}

impl Wiring {
    fn new(aligned: &Network) -> Result<Self, Error> {
        let Some(c) = aligned.architecture().transformer() else {
            return Err(Error::Truth("only a transformer has edges".into()));
        };
        let table = EdgeTable::new(c);
        let used = |name: String, by_column: bool| -> Result<BTreeSet<usize>, Error> {
            let t = aligned.weight(&name)?;
            let n = t.shape()[t.shape().len() - 1];
            let nonzero = t.data().iter().enumerate().filter(|(_, x)| **x != 0.0);
            Ok(nonzero.map(|(i, _)| if by_column { i % n } else { i / n % c.d_model }).collect())
        };
        let mut written = BTreeMap::new();
        for &s in &table.senders {
            let name = match s {
                Sender::Embed => "embed.W_E".into(),
                Sender::PosEmbed => "pos_embed.W_pos".into(),
                Sender::Head(l, _) => format!("blocks.{l}.attn.W_O"),
                Sender::Mlp(l) => format!("blocks.{l}.mlp.W_out"),
            };
            written.insert(s, used(name, true)?);
        }
        let mut read = BTreeMap::new();
        for &r in &table.receivers {
            let name = match r {
                Receiver::Query(l, _) => format!("blocks.{l}.attn.W_Q"),
                Receiver::Key(l, _) => format!("blocks.{l}.attn.W_K"),
                Receiver::Value(l, _) => format!("blocks.{l}.attn.W_V"),
                Receiver::Mlp(l) => format!("blocks.{l}.mlp.W_in"),
                Receiver::Logits => "unembed.W_U".into(),
            };
            read.insert(r, used(name, false)?);
        }
        Ok(Self { table, written, read })
    }

    /// Edges whose ends share a dimension.
    fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        let shares = |e: &Edge| !self.written[&e.from].is_disjoint(&self.read[&e.to]);
        self.table.edges.iter().copied().filter(shares)
    }

    /// The first component that writes one of these dimensions.
    fn writer(&self, dims: &[usize]) -> Option<Sender> {
        let writes = |s: &&Sender| dims.iter().any(|d| self.written[*s].contains(d));
        self.table.senders.iter().find(writes).copied()
    }
}

/// How many components have run when a place of the residual stream is read: 0 behind the
/// embeddings, then one more behind each attention and each MLP.
fn depth(writer: Sender) -> usize {
    match writer {
        Sender::Embed | Sender::PosEmbed => 0,
        Sender::Head(l, _) => 2 * l + 1,
        Sender::Mlp(l) => 2 * l + 2,
    }
}

/// The residual stream at a depth.
fn residual(depth: usize) -> String {
    match depth {
        0 => "blocks.0.hook_resid_pre".into(),
        n if n % 2 == 1 => format!("blocks.{}.hook_resid_mid", n / 2),
        n => format!("blocks.{}.hook_resid_post", n / 2 - 1),
    }
}

struct Frame<'a> {
    compiled: &'a Compiled,
    wiring: &'a Wiring,
}

impl Frame<'_> {
    fn direction(&self, dim: usize) -> Vec<f32> {
        let d = self.compiled.residual_labels.len();
        (0..d).map(|i| f32::from(u8::from(i == dim))).collect()
    }

    fn basis(&self, dims: &[usize]) -> Vec<Vec<f32>> {
        dims.iter().map(|&i| self.direction(i)).collect()
    }

    fn truth(&self, testable: &[&str]) -> Result<Truth, Error> {
        let bad = |why: String| Error::Truth(why);
        let program = self.compiled.program().map_err(bad)?;
        let variables = self.variables(&program)?;
        let testable =
            testable.iter().map(|e| Ok(e.parse()?)).collect::<Result<BTreeSet<Edge>, Error>>()?;
        let edges: Vec<Edge> = self.wiring.edges().collect();
        if let Some(e) = testable.iter().find(|e| !edges.contains(e)) {
            return Err(bad(format!("the weights do not carry the edge {e}")));
        }
        Ok(Truth {
            schema: 1,
            source: Source::Compiled,
            standing: Standing::Exact,
            features: self.features(&program)?,
            circuit: Some(
                edges
                    .into_iter()
                    .map(|edge| KnownEdge { edge, testable: testable.contains(&edge) })
                    .collect(),
            ),
            explanation: Some(self.explanation(&program, &variables)?),
            variables: self.exam(&program, &variables),
        })
    }

    /// Every labelled direction that some input writes, where it is written: a histogram never
    /// holds `hist_12:0`, and no input holds the pad.
    fn features(&self, program: &Program) -> Result<Vec<Feature>, Error> {
        let occurring = self.occurring(program)?;
        let labels = &self.compiled.residual_labels;
        let variable = |label: &String| label.split(':').next().map(str::to_string);
        let mut out = vec![];
        for (i, name) in labels.iter().enumerate().filter(|(_, l)| occurring.contains(*l)) {
            // A one-hot variable is written where any of its values is.
            let dims: Vec<usize> =
                (0..labels.len()).filter(|&j| variable(&labels[j]) == variable(name)).collect();
            if let Some(w) = self.wiring.writer(&dims) {
                let (site, direction) = (residual(depth(w)), self.direction(i));
                out.push(Feature { name: name.clone(), site, direction });
            }
        }
        Ok(out)
    }

    /// Labels that are not 0 on some input of some length.
    fn occurring(&self, program: &Program) -> Result<BTreeSet<String>, Error> {
        let c = self.compiled;
        let interpreter = Interpreter::new(program)?;
        let mut out = BTreeSet::from(["one".to_string(), format!("{TOKENS}:{BOS}")]);
        for n in 1..=c.max_seq_len {
            for s in c.sequences(n).map_err(Error::Truth)? {
                let tokens: Vec<Value> = s.iter().map(|&i| c.token(i)).collect();
                for (name, values) in interpreter.run(&tokens, &Overrides::none())?.iter() {
                    out.insert(name.to_string());
                    out.extend(values.iter().map(|v| format!("{name}:{v}")));
                }
            }
        }
        Ok(out)
    }

    /// The program's variables that have labels, in order, with the depth at which each is there.
    fn variables(&self, program: &Program) -> Result<Vec<(Labelled, usize)>, Error> {
        let named =
            [TOKENS, INDICES].into_iter().chain(program.variables.iter().map(|v| v.name.as_str()));
        named
            .filter_map(|name| self.compiled.variable(name))
            .map(|v| match self.wiring.writer(&v.dims) {
                Some(w) => {
                    let at = depth(w);
                    Ok((v, at))
                }
                None => Err(Error::Truth(format!("no component writes the variable '{}'", v.name))),
            })
            .collect()
    }

    /// Depth at which a variable of the program is read to compute another: that of the component
    /// that writes the other, less itself. A width is computed with the number made from it.
    fn computed_at(&self, name: &str, variables: &[(Labelled, usize)]) -> Option<usize> {
        let with = |name: &str| variables.iter().find(|(v, _)| v.name == name).map(|(_, d)| *d);
        with(name).or_else(|| with(&format!("{name}_attn_output"))).map(|d| d.saturating_sub(1))
    }

    /// Readers of a variable that still see it at a depth.
    fn readers(
        &self,
        program: &Program,
        variables: &[(Labelled, usize)],
        name: &str,
        depth: usize,
    ) -> Vec<String> {
        let mut out: Vec<String> = program
            .variables
            .iter()
            .filter(|v| v.expr.reads().contains(&name))
            .filter(|v| self.computed_at(&v.name, variables).is_some_and(|at| at >= depth))
            .map(|v| v.name.clone())
            .collect();
        if program.output == name {
            out.push(READOUT.into());
        }
        out
    }

    /// The program with every place of the residual stream at which a variable lies: where it is
    /// written all readers see it, further on those that are computed later.
    fn explanation(
        &self,
        program: &Program,
        variables: &[(Labelled, usize)],
    ) -> Result<Explanation, Error> {
        let last = 2 * self.compiled.config.num_layers;
        let parts = variables
            .iter()
            .map(|(v, written)| Part {
                name: v.name.clone(),
                alignments: (*written..=last)
                    .map(|at| Alignment {
                        selector: Selector::site(residual(at)).in_basis(self.basis(&v.dims)),
                        code: v.code.clone(),
                        readers: (at > *written)
                            .then(|| self.readers(program, variables, &v.name, at)),
                    })
                    .collect(),
                about: String::new(),
            })
            .collect();
        let readout = Readout::new(self.compiled.readout_code().map_err(Error::Truth)?);
        let mut e = Explanation::new(
            self.compiled.program.clone(),
            parts,
            Body::Rasp { program: program.clone(), readout },
        );
        e.method = Some("truth".into());
        e.check()?;
        Ok(e)
    }

    /// The variables that something reads, where they are written.
    fn exam(&self, program: &Program, variables: &[(Labelled, usize)]) -> Vec<ExamVariable> {
        variables
            .iter()
            .filter(|(v, at)| !self.readers(program, variables, &v.name, *at).is_empty())
            .map(|(v, at)| ExamVariable {
                name: v.name.clone(),
                selector: Selector::site(residual(*at)).in_basis(self.basis(&v.dims)),
                positions: (1..=self.compiled.max_seq_len).collect(),
                values: self
                    .compiled
                    .domain(v)
                    .iter()
                    .filter_map(|x: &Value| v.code.encode(x))
                    .collect(),
            })
            .collect()
    }
}
