//! Induction with weights written by hand, so that everything about it is known.
//!
//! The residual stream has one coordinate for each letter and BOS, each position, each letter as
//! predecessor and each letter as output. A head of layer 0 attends one place back and writes the
//! letter there to the predecessor's coordinates; a head of layer 1 attends to the places whose
//! predecessor is the present letter and writes their letters to the output's; where nothing
//! matches, both attend to position 0, whose value is zero. That is `prev` and `out` of
//! [`library::induction`] (Olsson et al. 2022), and the other heads are zero.
//!
//! `induction-compiled@aligned` keeps these coordinates, `induction-compiled` moves each specimen
//! to a random [`Gauge`].
//!
//! ```
//! use flyroom_organism::{find, train::Nursery};
//! use flyroom_tensor::Context;
//! let o = find("induction-compiled@aligned")?;
//! let bred = o.breed(&o.defaults(), 0, &Context::single(), &Nursery::none())?;
//! let edges: Vec<String> =
//!     bred.truth.circuit.unwrap().iter().map(|e| e.edge.to_string()).collect();
//! assert!(edges.contains(&"a0.h0->a1.h0<k>".to_string()));
//! assert_eq!(edges.len(), 8);
//! # Ok::<(), flyroom_organism::Error>(())
//! ```

use crate::Parameters as Json;
use crate::organism::{Source, Standing, defaults_of, typed};
use crate::train::Nursery;
use crate::{
    Answers, Bred, Distance, Entry, Error, ExamVariable, Feature, Gauge, KnownEdge, Organism, Task,
    Truth,
};
use flyroom_explanation::rasp::{INDICES, Interpreter, Overrides, READOUT, TOKENS, library};
use flyroom_explanation::{Alignment, Body, Code, Explanation, Part, Readout, Value};
use flyroom_network::{
    Architecture, Inputs, Network, Runner, Selector, TransformerConfig, Weights,
};
use flyroom_tensor::{Context, Stream, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Names of the program's variables.
const PREV: &str = "prev";
const OUT: &str = "out";

/// Most letters and tokens: the domain of 6 letters and 7 tokens has 128,520 sequences.
const MOST_LETTERS: usize = 6;
const MOST_TOKENS: usize = 7;

/// Partners among which the one with the most different answers is taken.
const CANDIDATES: usize = 16;

/// What a specimen is written from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Letters, besides BOS.
    pub letters: usize,
    /// Most tokens behind BOS.
    pub seq: usize,
    /// Heads in a layer; all but one are zero.
    pub n_heads: usize,
    /// How far a matching key's score lies above that of BOS, and BOS's above the others': another
    /// key gets e^-sharpness of a match's attention.
    pub sharpness: f32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { letters: 5, seq: 6, n_heads: 4, sharpness: 20.0 }
    }
}

impl Parameters {
    fn check(&self, length: usize) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Parameters { organism: NAME.into(), why });
        if !(2..=MOST_LETTERS).contains(&self.letters) || !(2..=MOST_TOKENS).contains(&self.seq) {
            return bad(format!(
                "{} letters and {} tokens: 2 to {MOST_LETTERS} letters and 2 to {MOST_TOKENS} \
                 tokens are enumerated",
                self.letters, self.seq
            ));
        }
        if !(2..=self.seq).contains(&length) || length > 2 * self.letters {
            return bad(format!(
                "no sequence of {length} tokens: they have 2 to {} and hold each of {} letters at \
                 most twice",
                self.seq, self.letters
            ));
        }
        if !(1..=64).contains(&self.n_heads) || !(1.0..=80.0).contains(&self.sharpness) {
            return bad("n_heads lies in 1..=64 and sharpness in 1..=80".into());
        }
        Ok(())
    }

    /// The letter of a token id.
    fn letter(&self, id: u32) -> Value {
        match id as usize {
            i if i < self.letters => Value::token(char::from(b'a' + i as u8).to_string()),
            _ => Value::token("BOS"),
        }
    }

    fn letters(&self) -> Vec<Value> {
        (0..self.letters as u32).map(|i| self.letter(i)).collect()
    }

    fn bos(&self) -> u32 {
        self.letters as u32
    }

    fn layout(&self) -> Layout {
        let l = self.letters;
        let pos = l + 1..l + 1 + self.seq + 1;
        let prev = pos.end..pos.end + l;
        let out = prev.end..prev.end + l;
        Layout { tokens: 0..l, bos: l, d_model: out.end, pos, prev, out }
    }

    fn config(&self) -> TransformerConfig {
        let mut c = TransformerConfig::plain(
            2,
            self.layout().d_model,
            self.n_heads,
            self.letters + 1,
            self.seq + 1,
        );
        c.d_vocab_out = self.letters;
        c.d_head = self.seq.max(self.letters + 1);
        c.attn_scale = (c.d_head as f32).sqrt();
        c
    }

    /// Sequences of one length in order: no letter more than twice, so that what followed a letter
    /// before is one letter or none.
    fn sequences(&self, length: usize) -> Vec<Vec<u32>> {
        let mut out: Vec<Vec<u32>> = vec![vec![]];
        for _ in 0..length {
            out = out
                .iter()
                .flat_map(|s| (0..self.letters as u32).map(move |t| (s, t)))
                .filter(|(s, t)| s.iter().filter(|x| x == &t).count() < 2)
                .map(|(s, t)| s.iter().copied().chain([t]).collect())
                .collect();
        }
        out
    }
}

/// The coordinates of the residual stream.
struct Layout {
    tokens: Range<usize>,
    bos: usize,
    /// Position 0 is that of BOS.
    pos: Range<usize>,
    prev: Range<usize>,
    out: Range<usize>,
    d_model: usize,
}

impl Layout {
    fn one_hot(&self, i: usize) -> Vec<f32> {
        (0..self.d_model).map(|j| f32::from(u8::from(i == j))).collect()
    }

    fn basis(&self, range: Range<usize>) -> Vec<Vec<f32>> {
        range.map(|i| self.one_hot(i)).collect()
    }
}

/// Entry (i, j) of a matrix of head 0.
fn set(weights: &mut Weights, layer: usize, matrix: &str, i: usize, j: usize, x: f32) {
    if let Some(t) = weights.get_mut(&format!("blocks.{layer}.attn.{matrix}")) {
        let cols = t.shape()[2];
        t.data_mut()[i * cols + j] = x;
    }
}

fn network(p: &Parameters) -> Result<Network, Error> {
    let c = p.config();
    let at = p.layout();
    let architecture = Architecture::Transformer(c.clone());
    let mut weights: Weights = Network::parameters(&architecture)?
        .into_iter()
        .map(|(name, shape)| (name, Tensor::zeros(&shape)))
        .collect();
    let ones = |weights: &mut Weights, name: &str, from: Range<usize>, to: usize| {
        if let Some(t) = weights.get_mut(name) {
            let cols = t.shape()[1];
            from.enumerate().for_each(|(i, row)| t.data_mut()[row * cols + to + i] = 1.0);
        }
    };
    ones(&mut weights, "embed.W_E", 0..p.letters + 1, at.tokens.start);
    ones(&mut weights, "pos_embed.W_pos", 0..p.seq + 1, at.pos.start);
    ones(&mut weights, "unembed.W_U", at.out.clone(), 0);

    // A match scores 2 sharpness, position 0 (BOS) scores sharpness, others 0; the engine divides
    // by attn_scale.
    let score = p.sharpness * c.attn_scale;
    // The dimension of a head in which every query asks for position 0.
    let default = c.d_head - 1;
    let w = &mut weights;
    set(w, 0, "W_K", at.pos.start, default, 1.0);
    for i in 1..=p.seq {
        set(w, 0, "W_Q", at.pos.start + i, default, score);
        if i < p.seq {
            set(w, 0, "W_K", at.pos.start + i, i - 1, 1.0);
            set(w, 0, "W_Q", at.pos.start + i + 1, i - 1, 2.0 * score);
        }
    }
    set(w, 1, "W_K", at.pos.start, default, 1.0);
    for t in 0..p.letters {
        set(w, 1, "W_Q", at.tokens.start + t, default, score);
        set(w, 1, "W_Q", at.tokens.start + t, t, 2.0 * score);
        set(w, 1, "W_K", at.prev.start + t, t, 1.0);
        for (layer, to) in [(0, &at.prev), (1, &at.out)] {
            set(w, layer, "W_V", at.tokens.start + t, t, 1.0);
            set(w, layer, "W_O", t, to.start + t, 1.0);
        }
    }
    Ok(Network::new(architecture, weights)?)
}

/// Everything that is known, in the coordinates in which the weights were written.
fn truth(p: &Parameters) -> Result<Truth, Error> {
    let at = p.layout();
    let letters = p.letters();
    let one_hot = |values: Vec<Value>| Code::OneHot { values };
    let place = |site: &str, range: &Range<usize>, values: Vec<Value>, readers: Option<&[&str]>| {
        Alignment {
            selector: Selector::site(site).in_basis(at.basis(range.clone())),
            code: one_hot(values),
            readers: readers.map(|r| r.iter().map(|s| s.to_string()).collect()),
        }
    };
    let indices: Vec<Value> = (0..p.seq as i64).map(Value::Int).collect();
    let real = at.pos.start + 1..at.pos.end;
    // Behind the layer that reads a variable only later layers see a change of it.
    let stream = |range: &Range<usize>, values: &[Value], written: &str, later: &[&str]| {
        let mut out = vec![];
        for (site, readers) in [
            (written, None),
            ("blocks.0.hook_resid_pre", None),
            ("blocks.0.hook_attn_in", Some(&[PREV][..])),
            ("blocks.0.hook_resid_post", Some(later)),
            ("blocks.1.hook_attn_in", Some(later)),
        ] {
            if readers.is_none_or(|r| !r.is_empty()) {
                out.push(place(site, range, values.to_vec(), readers));
            }
        }
        out
    };
    let result = |layer: usize| format!("blocks.{layer}.attn.hook_result");
    let attn_out = |layer: usize| format!("blocks.{layer}.hook_attn_out");
    let written = |layer: usize, range: &Range<usize>| {
        let mut at_head = place(&result(layer), range, letters.clone(), None);
        at_head.selector = at_head.selector.at_head(0);
        vec![at_head, place(&attn_out(layer), range, letters.clone(), None)]
    };
    let mut prev = written(0, &at.prev);
    for site in ["blocks.0.hook_resid_post", "blocks.1.hook_attn_in"] {
        prev.push(place(site, &at.prev, letters.clone(), None));
    }
    let mut out = written(1, &at.out);
    for site in ["blocks.1.hook_resid_post", "unembed.hook_in"] {
        out.push(place(site, &at.out, letters.clone(), None));
    }
    let part = |name: &str, alignments: Vec<Alignment>, about: &str| Part {
        name: name.into(),
        alignments,
        about: about.into(),
    };
    let parts = vec![
        part(TOKENS, stream(&at.tokens, &letters, "hook_embed", &[OUT]), "the letter"),
        part(INDICES, stream(&real, &indices, "hook_pos_embed", &[]), "the place behind BOS"),
        part(PREV, prev, "the letter one place before"),
        part(OUT, out, "what followed this letter when it came before"),
    ];
    let mut explanation = Explanation::new(
        "induction",
        parts,
        Body::Rasp {
            program: library::induction(true),
            readout: Readout::new(one_hot(letters.clone())),
        },
    );
    explanation.method = Some("truth".into());
    explanation.check()?;
    debug_assert!(explanation.part(READOUT).is_none());

    let variable = |name: &str, site: &str, range: &Range<usize>| ExamVariable {
        name: name.into(),
        selector: Selector::site(site).in_basis(at.basis(range.clone())),
        positions: (1..=p.seq).collect(),
        values: (0..range.len())
            .map(|i| (0..range.len()).map(|j| f32::from(u8::from(i == j))).collect())
            .collect(),
    };
    let edge = |text: &str, testable: bool| -> Result<KnownEdge, Error> {
        Ok(KnownEdge { edge: text.parse()?, testable })
    };
    Ok(Truth {
        schema: 1,
        source: Source::Compiled,
        standing: Standing::Exact,
        features: features(p),
        circuit: Some(vec![
            edge("pos_embed->a0.h0<q>", false)?,
            edge("pos_embed->a0.h0<k>", false)?,
            edge("embed->a0.h0<v>", true)?,
            edge("embed->a1.h0<q>", true)?,
            // Position 0, to which a query without a match attends.
            edge("pos_embed->a1.h0<k>", false)?,
            edge("a0.h0->a1.h0<k>", true)?,
            edge("embed->a1.h0<v>", true)?,
            edge("a1.h0->logits", true)?,
        ]),
        explanation: Some(explanation),
        variables: vec![
            variable(TOKENS, "hook_embed", &at.tokens),
            variable(PREV, "blocks.0.hook_resid_post", &at.prev),
            variable(OUT, "blocks.1.hook_resid_post", &at.out),
        ],
        process: None,
        shape: None,
    })
}

/// Every direction that the inputs of the domain fill, at every place of the residual stream. BOS
/// and its position always come together, so they are one direction.
fn features(p: &Parameters) -> Vec<Feature> {
    let at = p.layout();
    let mut out = vec![];
    let sites = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"];
    for (depth, site) in sites.into_iter().enumerate() {
        let mut add = |name: String, direction: Vec<f32>| {
            out.push(Feature { name, site: site.into(), direction, parent: None });
        };
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let bos =
            (0..at.d_model).map(|i| if i == at.bos || i == at.pos.start { half } else { 0.0 });
        add("bos".into(), bos.collect());
        for i in 0..p.seq {
            add(format!("{INDICES}:{i}"), at.one_hot(at.pos.start + 1 + i));
        }
        let written = [(TOKENS, &at.tokens), (PREV, &at.prev), (OUT, &at.out)];
        for (name, range) in &written[..=depth] {
            for t in 0..p.letters {
                add(format!("{name}:{}", p.letter(t as u32)), at.one_hot(range.start + t));
            }
        }
    }
    out
}

/// All sequences of one length; partners are others of them.
fn task(p: &Parameters, length: usize) -> Result<Task, Error> {
    p.check(length)?;
    let program = Interpreter::new(&library::induction(true))?;
    let code = Code::OneHot { values: p.letters() };
    let sequences = p.sequences(length);
    let mut values = vec![];
    for s in &sequences {
        let tokens: Vec<Value> = s.iter().map(|&t| p.letter(t)).collect();
        let trace = program.run(&tokens, &Overrides::none())?;
        values.extend(vec![0.0; p.letters]);
        for v in trace.output() {
            values.extend(code.encode(v).ok_or_else(|| Error::Truth(format!("no output {v}")))?);
        }
    }
    let n = sequences.len();
    let mut random = Stream::new(0, "induction-compiled/partners").block(length as u64);
    let row = (length + 1) * p.letters;
    let answers = |i: usize| values[i * row..(i + 1) * row].chunks_exact(p.letters);
    let differ = |i: usize, j: usize| answers(i).zip(answers(j)).filter(|(a, b)| a != b).count();
    let partner = (0..n).map(|i| {
        let drawn = (0..CANDIDATES).map(|_| random.below(n as u64) as usize);
        // The first of the best.
        drawn.fold((i, 0), |best, j| {
            let d = differ(i, j);
            if d > best.1 || best.0 == i { (j, d) } else { best }
        })
    });
    let partner = partner.map(|(j, _)| j).collect();
    let with_bos = |s: &Vec<u32>| [p.bos()].into_iter().chain(s.iter().copied()).collect();
    Ok(Task {
        domain: format!(
            "all {n} sequences of {length} of {} letters, each at most twice, behind BOS",
            p.letters
        ),
        exhaustive: true,
        inputs: Inputs::tokens(&sequences.iter().map(with_bos).collect::<Vec<_>>())?,
        clean: n,
        partner,
        reads: (0..n * (length + 1)).map(|i| i % (length + 1) != 0).collect(),
        answers: Answers::Values(values),
        d_out: p.letters,
        columns: p.letters,
        distance: Distance::CentredLogits,
        vocabulary: (0..=p.bos()).map(|t| p.letter(t)).collect(),
        modulus: None,
    })
}

const NAME: &str = "induction-compiled";

/// The organism in a random gauge, or as written.
#[derive(Debug)]
pub(crate) struct InductionCompiled {
    aligned: bool,
}

/// In a random gauge.
pub(crate) const INDUCTION_COMPILED: InductionCompiled = InductionCompiled { aligned: false };

/// As written: one coordinate for each letter, position, predecessor and output.
pub(crate) const INDUCTION_COMPILED_ALIGNED: InductionCompiled =
    InductionCompiled { aligned: true };

impl Organism for InductionCompiled {
    fn entry(&self) -> Entry {
        let (name, summary) = match self.aligned {
            false => (NAME, "Induction with weights written by hand, in a random gauge."),
            true => (
                "induction-compiled@aligned",
                "Induction with weights written by hand, in the coordinates of its variables.",
            ),
        };
        Entry {
            name,
            version: 1,
            summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "none",
        }
    }

    fn defaults(&self) -> Json {
        defaults_of::<Parameters>()
    }

    /// Seeds differ in the gauge alone, so the aligned form is the same for all of them.
    fn breed(&self, parameters: &Json, seed: u64, _: &Context, _: &Nursery) -> Result<Bred, Error> {
        let p: Parameters = typed(self.entry().name, parameters)?;
        p.check(2)?;
        let (network, truth) = Gauge::settle(network(&p)?, truth(&p)?, seed, self.aligned)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    /// `length` counts the tokens behind BOS.
    fn task(&self, parameters: &Json, length: Option<usize>) -> Result<Task, Error> {
        let p: Parameters = typed(self.entry().name, parameters)?;
        task(&p, length.unwrap_or(p.seq.min(2 * p.letters)))
    }

    /// Over all inputs of all lengths: `max_error`, the largest difference between an output and
    /// what the program says (zeros where it says nothing), and `accuracy`, the share of outputs
    /// that are nearest to it among the letters and nothing.
    fn measure(&self, parameters: &Json, network: &Network, cx: &Context) -> Result<Json, Error> {
        let p: Parameters = typed(self.entry().name, parameters)?;
        let (mut worst, mut right, mut read, mut inputs) = (0f32, 0usize, 0usize, 0usize);
        for length in 2..=p.seq.min(2 * p.letters) {
            let task = task(&p, length)?;
            let Answers::Values(wanted) = &task.answers else { continue };
            let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
            let rows = logits.data().chunks_exact(task.d_out);
            for ((x, y), _) in
                rows.zip(wanted.chunks_exact(task.d_out)).zip(&task.reads).filter(|(_, r)| **r)
            {
                let error = x.iter().zip(y).fold(0f32, |m, (x, y)| m.max((x - y).abs()));
                worst = worst.max(error);
                right += usize::from(error < 0.5);
                read += 1;
            }
            inputs += task.clean;
        }
        Ok([
            ("accuracy", json!(right as f64 / read.max(1) as f64)),
            ("inputs", json!(inputs)),
            ("max_error", json!(worst)),
        ]
        .map(|(n, x)| (n.to_string(), x))
        .into_iter()
        .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_explanation::{Prediction, Reads, Scene, predict};
    use flyroom_network::{Form, Intervention, Operation, Row};

    fn bred(o: &InductionCompiled, seed: u64) -> Bred {
        o.breed(&o.defaults(), seed, &Context::single(), &Nursery::none()).unwrap()
    }

    #[test]
    fn the_network_is_the_program_on_all_inputs_of_all_lengths_in_every_gauge() {
        for (o, seed, limit) in [
            (&INDUCTION_COMPILED_ALIGNED, 0, 1e-7),
            (&INDUCTION_COMPILED, 0, 1e-5),
            (&INDUCTION_COMPILED, 1, 1e-5),
        ] {
            let b = bred(o, seed);
            let m = o.measure(&o.defaults(), &b.network, &Context::single()).unwrap();
            // 25 + 120 + 540 + 2,220 + 8,100 sequences of 2 to 6 tokens.
            assert_eq!(m["inputs"], 11_005);
            assert_eq!(m["accuracy"], 1.0);
            assert!(m["max_error"].as_f64().unwrap() < limit, "{m:?}");
        }
    }

    #[test]
    fn sets_and_interchanges_of_variables_are_predicted_by_the_program() {
        let o = &INDUCTION_COMPILED;
        let (b, cx) = (bred(o, 5), Context::single());
        let task = o.task(&o.defaults(), Some(4)).unwrap();
        let runner = Runner::new(&b.network, &task.inputs, &cx).unwrap();
        let sites = b.network.sites(5, Form::Split).unwrap();
        let plain = b.network.sites(5, Form::Plain).unwrap();
        let sites = [sites, plain].concat();
        let reads = Reads { positions: (1..5).collect(), columns: (0..5).collect() };
        let scene = Scene {
            inputs: &task.inputs,
            vocabulary: &task.vocabulary,
            sites: &sites,
            reads: &reads,
            runner: None,
            corrupt: &[],
        };
        let mut random = Stream::new(0, "test rows").block(0);
        let mut rows = vec![];
        for _ in 0..400 {
            let mut one = |v: &ExamVariable| {
                let pos = 1 + random.below(4) as usize;
                let values = v.values[random.below(v.values.len() as u64) as usize].clone();
                let operation = match random.bernoulli(0.5) {
                    true => Operation::Set { values },
                    false => Operation::Interchange { input: random.below(540) as usize },
                };
                Intervention::site(v.selector.clone().at_pos(pos), operation)
            };
            // Singles and pairs.
            let interventions: Vec<Intervention> = b.truth.variables.iter().map(&mut one).collect();
            let input = random.below(540) as usize;
            let which = random.below(3) as usize;
            let other = (which + 1 + random.below(2) as usize) % 3;
            rows.push(Row { input, interventions: vec![interventions[which].clone()] });
            let pair = [which, other].map(|i| interventions[i].clone()).to_vec();
            rows.push(Row { input, interventions: pair });
        }
        let e = b.truth.explanation.as_ref().unwrap();
        let said = predict(e, &scene, &rows).unwrap();
        let (mut changed, mut abstained) = (0, 0);
        for ((row, said), got) in rows.iter().zip(&said).zip(runner.run(&rows).unwrap()) {
            let Prediction::Output(said) = said else {
                abstained += 1;
                continue;
            };
            for (x, y) in got[5..].iter().zip(said) {
                assert!((x - y).abs() < 1e-4, "{row:?}: {x} {y}");
            }
            let clean = runner.logits().unwrap();
            let same = clean.row(row.input)[5..].iter().zip(said).all(|(x, y)| (x - y).abs() < 0.1);
            changed += usize::from(!same);
        }
        assert_eq!(abstained, 0);
        assert!(changed > 300, "{changed} of 800 rows change the output");
    }

    #[test]
    fn cutting_an_edge_changes_outputs_exactly_where_the_truth_says_it_is_testable() {
        let o = &INDUCTION_COMPILED;
        let (b, cx) = (bred(o, 2), Context::single());
        let task = o.task(&o.defaults(), Some(4)).unwrap();
        let runner = Runner::new(&b.network, &task.inputs, &cx).unwrap();
        let logits = runner.logits().unwrap();
        let known = b.truth.circuit.as_ref().unwrap();
        for &edge in &runner.edges().unwrap().edges {
            let rows: Vec<Row> = (0..60)
                .map(|i| i * 9)
                .map(|i| {
                    let to = Operation::Interchange { input: task.partner[i] };
                    Row { input: i, interventions: vec![Intervention::edges(vec![edge], to)] }
                })
                .collect();
            let moved = rows.iter().zip(runner.run(&rows).unwrap()).any(|(row, y)| {
                y.iter().zip(logits.row(row.input)).any(|(a, b)| (a - b).abs() > 1e-3)
            });
            let testable = known.iter().any(|k| k.edge == edge && k.testable);
            assert_eq!(moved, testable, "{edge}");
        }
    }

    #[test]
    fn edges_that_no_letter_moves_are_needed_nevertheless() {
        let o = &INDUCTION_COMPILED_ALIGNED;
        let (b, cx) = (bred(o, 0), Context::single());
        let task = o.task(&o.defaults(), Some(4)).unwrap();
        let runner = Runner::new(&b.network, &task.inputs, &cx).unwrap();
        let logits = runner.logits().unwrap();
        for known in b.truth.circuit.unwrap().iter().filter(|k| !k.testable) {
            let cut = Intervention::edges(vec![known.edge], Operation::Zero);
            let rows: Vec<Row> =
                (0..50).map(|i| Row { input: i * 10, interventions: vec![cut.clone()] }).collect();
            let moved = rows.iter().zip(runner.run(&rows).unwrap()).any(|(row, y)| {
                y.iter().zip(logits.row(row.input)).any(|(a, b)| (a - b).abs() > 0.1)
            });
            assert!(moved, "{}", known.edge);
        }
    }

    #[test]
    fn features_read_one_where_they_are_written_and_zero_elsewhere() {
        for o in [&INDUCTION_COMPILED, &INDUCTION_COMPILED_ALIGNED] {
            let (b, cx) = (bred(o, 4), Context::single());
            let task = o.task(&o.defaults(), Some(4)).unwrap();
            let runner = Runner::new(&b.network, &task.inputs, &cx).unwrap();
            for f in &b.truth.features {
                let x = runner.clean(&f.site).unwrap();
                let high = if f.name == "bos" { std::f32::consts::SQRT_2 } else { 1.0 };
                let mut found = 0;
                for row in x.data().chunks_exact(f.direction.len()) {
                    let y: f32 = row.iter().zip(&f.direction).map(|(x, v)| x * v).sum();
                    assert!(y.abs() < 1e-5 || (y - high).abs() < 1e-5, "{} {y}", f.name);
                    found += usize::from(y > 0.5);
                }
                // Length 4 leaves the last two of six places empty.
                let beyond = ["indices:4", "indices:5"].contains(&f.name.as_str());
                assert_eq!(found > 0, !beyond, "{} at {}", f.name, f.site);
            }
        }
    }

    #[test]
    fn partners_differ_in_an_answer_wherever_another_sequence_does() {
        let o = &INDUCTION_COMPILED;
        for length in 2..=5 {
            let task = o.task(&o.defaults(), Some(length)).unwrap();
            let Answers::Values(v) = &task.answers else { panic!() };
            let row = (length + 1) * 5;
            let of = |i: usize| &v[i * row..(i + 1) * row];
            let same = (0..task.clean).filter(|&i| of(i) == of(task.partner[i])).count();
            assert!(same * 10 <= task.clean, "{same} of {} at length {length}", task.clean);
        }
    }
}
