//! Induction: what followed this token when it came before (Elhage et al. 2021; Olsson et al. 2022).
//!
//! A sequence repeats one block of distinct tokens, so from its second period on every next token
//! is known: it is the one that followed the present token last time. Two attention layers can
//! look it up (a head of layer 0 notes each token's predecessor, a head of layer 1 finds the place
//! whose predecessor is the present token); one layer cannot. The period is drawn anew for each
//! sequence: with one fixed period the place to copy from is a fixed distance away and one layer
//! of position-to-position attention is enough.
//!
//! With head dropout ([`INDUCTION_BACKUP`]) no head of the second layer can be the only one.
//!
//! | file | holds |
//! |---|---|
//! | this one | data, task, organisms |
//! | `induction/dropout.rs` | heads that are silent while the network is trained |
//! | `induction/backup.rs` | what is left without heads, one and two at a time |

mod backup;
mod dropout;

use crate::Parameters as Json;
use crate::composition::composition;
use crate::organism::{Source, Standing, defaults_of, typed};
use crate::train::{Batch, Nursery, Training};
use crate::{Answers, Bred, Distance, Entry, Error, Organism, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Inputs, Network, Norm, Runner, TransformerConfig, Weights};
use flyroom_tensor::kernels::adamw::AdamW;
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream, Tensor, math};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Clean inputs of the evaluation set.
const CLEAN: usize = 128;

/// Clean inputs that a point of the learning curve sees.
const PROBED: usize = 32;

/// Blocks in the streams of the evaluation set: one for all clean inputs, one for all partners.
const CLEAN_BLOCK: u64 = 0;
const PARTNER_BLOCK: u64 = 1;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Blocks of attention, without MLPs.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Heads in a block.
    pub n_heads: usize,
    /// Tokens.
    pub vocab: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Least period.
    pub period_min: usize,
    /// Greatest period, inclusive. Equal to the least, position gives the answer away.
    pub period_max: usize,
    /// Sequences in a batch.
    pub batch: usize,
    /// Batches.
    pub steps: usize,
    /// Learning rate of AdamW (betas .9, .999) behind the warm-up.
    pub lr: f64,
    /// Steps over which the learning rate grows from 0, linearly.
    pub warmup: usize,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Standard deviation of every weight at the start, times sqrt(d_model).
    pub init: f32,
    /// Normalisation: none or layer_norm.
    pub norm: Norm,
    /// The null: targets change places among the positions of a batch that count.
    pub shuffle_labels: bool,
    /// Chance that one head of the last layer, drawn for each sequence, is silent while it is trained on.
    // Left out where it is 0, so that older specimens keep their ids.
    #[serde(skip_serializing_if = "no_chance")]
    pub head_dropout: f64,
}

fn no_chance(chance: &f64) -> bool {
    *chance == 0.0
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            n_layers: 2,
            d_model: 64,
            n_heads: 4,
            vocab: 64,
            seq: 48,
            period_min: 8,
            period_max: 24,
            batch: 64,
            steps: 400,
            lr: 1e-2,
            warmup: 50,
            weight_decay: 0.01,
            init: 1.0,
            norm: Norm::None,
            shuffle_labels: false,
            head_dropout: 0.0,
        }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Parameters { organism: "induction".into(), why });
        let sizes = [
            ("batch", self.batch, 1 << 16),
            ("vocab", self.vocab, 1 << 16),
            ("seq", self.seq, 1 << 12),
            ("d_model", self.d_model, 1 << 12),
            ("n_layers", self.n_layers, 64),
        ];
        if let Some((name, n, most)) = sizes.into_iter().find(|(_, n, most)| n > most) {
            return bad(format!("{name} = {n} is too large; hint: at most {most}"));
        }
        if self.period_min == 0 || self.period_min > self.period_max {
            return bad(format!("no period lies in {}..={}", self.period_min, self.period_max));
        }
        if self.period_max > self.vocab {
            return bad(format!(
                "{} distinct tokens of a vocabulary of {}",
                self.period_max, self.vocab
            ));
        }
        if self.period_max >= self.seq {
            return bad(format!(
                "a period of {} leaves nothing that repeats in {} tokens",
                self.period_max, self.seq
            ));
        }
        if self.batch == 0 || self.n_heads == 0 || !self.d_model.is_multiple_of(self.n_heads) {
            return bad("batch and n_heads are at least 1, and n_heads divides d_model".into());
        }
        if !(0.0..=1.0).contains(&self.head_dropout) {
            return bad(format!("head_dropout = {} is no chance", self.head_dropout));
        }
        if self.head_dropout > 0.0 && self.n_layers == 0 {
            return bad("head_dropout wants a layer whose heads it silences".into());
        }
        Ok(())
    }

    fn architecture(&self) -> Architecture {
        let mut c = TransformerConfig::plain(
            self.n_layers,
            self.d_model,
            self.n_heads,
            self.vocab,
            self.seq,
        );
        c.norm = self.norm;
        Architecture::Transformer(c)
    }
}

/// One sequence with its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Length of the block that repeats.
    pub period: usize,
    /// The tokens, `[seq]`.
    pub tokens: Vec<u32>,
    /// The token behind each position, `[seq]`. It is determined from position `period` on.
    pub next: Vec<u32>,
}

impl Sequence {
    /// A period uniform over the inclusive bounds, then that many distinct tokens.
    pub fn draw(p: &Parameters, random: &mut Generator) -> Self {
        let span = p.period_max - p.period_min + 1;
        let period = p.period_min + random.below(span as u64) as usize;
        Self::of_block(&random.choose(p.vocab, period), p.seq)
    }

    /// Another sequence of the same period, with another token at every position.
    pub fn partner(&self, p: &Parameters, random: &mut Generator) -> Self {
        loop {
            let other = Self::of_block(&random.choose(p.vocab, self.period), p.seq);
            // With a vocabulary no larger than the block this takes e draws in the mean.
            if self.tokens.iter().zip(&other.tokens).all(|(a, b)| a != b) || p.vocab < 2 {
                return other;
            }
        }
    }

    fn of_block(block: &[usize], seq: usize) -> Self {
        let at = |i: usize| block[i % block.len()] as u32;
        Self {
            period: block.len(),
            tokens: (0..seq).map(at).collect(),
            next: (1..=seq).map(at).collect(),
        }
    }
}

/// Weights of normals with standard deviation init / sqrt(d_model), every parameter from a stream
/// of its own, so that twins with more or fewer layers share what they both have. Gains of norms
/// are 1, their biases 0.
fn init(p: &Parameters, seed: u64) -> Result<Weights, Error> {
    let scale = p.init / (p.d_model as f32).sqrt();
    let draw = |(name, shape): (String, Vec<usize>)| {
        let mut t = Tensor::zeros(&shape);
        match name.rsplit('.').next() {
            Some("w") => t.data_mut().fill(1.0),
            Some("b") => {}
            _ => {
                Stream::new(seed, &format!("init/{name}")).block(0).fill_normal(t.data_mut(), scale)
            }
        }
        (name, t)
    };
    Ok(Network::parameters(&p.architecture())?.into_iter().map(draw).collect())
}

/// Batch of step `t`: sequences, targets and the weight of each position in the loss, from the
/// first position that may count.
fn batch(p: &Parameters, seed: u64, t: usize) -> Batch {
    let mut random = Stream::new(seed, "data").block(t as u64);
    let rows: Vec<Sequence> = (0..p.batch).map(|_| Sequence::draw(p, &mut random)).collect();
    let counts = |s: &Sequence| (p.period_min..p.seq).map(|i| i >= s.period).collect::<Vec<_>>();
    let counts: Vec<bool> = rows.iter().flat_map(counts).collect();
    let mut targets: Vec<u32> =
        rows.iter().flat_map(|s| s.next[p.period_min..].iter().copied()).collect();
    if p.shuffle_labels {
        let places: Vec<usize> = (0..counts.len()).filter(|&i| counts[i]).collect();
        let mut values: Vec<u32> = places.iter().map(|&i| targets[i]).collect();
        Stream::new(seed, "shuffle").block(t as u64).shuffle(&mut values);
        places.iter().zip(values).for_each(|(&i, v)| targets[i] = v);
    }
    let share = 1.0 / counts.iter().filter(|&&c| c).count() as f32;
    Batch {
        pos: None,
        index: vec![
            ("tokens", rows.iter().flat_map(|s| s.tokens.iter().copied()).collect()),
            ("targets", targets),
        ],
        real: vec![(
            "counts".into(),
            counts.iter().map(|&c| if c { share } else { 0.0 }).collect(),
        )],
    }
}

/// The evaluation set: the same for every seed.
fn task(p: &Parameters) -> Result<Task, Error> {
    let stream = Stream::new(0, "induction/evaluation");
    let (mut clean, mut other) = (stream.block(CLEAN_BLOCK), stream.block(PARTNER_BLOCK));
    let mut rows: Vec<Sequence> = (0..CLEAN).map(|_| Sequence::draw(p, &mut clean)).collect();
    let partners: Vec<Sequence> = rows.iter().map(|s| s.partner(p, &mut other)).collect();
    rows.extend(partners);
    let tokens: Vec<Vec<u32>> = rows.iter().map(|s| s.tokens.clone()).collect();
    Ok(Task {
        domain: format!(
            "{CLEAN} drawn sequences of {} tokens that repeat with periods {}..={}",
            p.seq, p.period_min, p.period_max
        ),
        exhaustive: false,
        inputs: Inputs::tokens(&tokens)?,
        clean: CLEAN,
        partner: (CLEAN..2 * CLEAN).chain(0..CLEAN).collect(),
        reads: rows.iter().flat_map(|s| (0..p.seq).map(|i| i >= s.period)).collect(),
        answers: Answers::Classes(rows.iter().flat_map(|s| s.next.iter().copied()).collect()),
        d_out: p.vocab,
        columns: p.vocab,
        distance: Distance::CentredLogits,
        vocabulary: (0..p.vocab as i64).map(Value::Int).collect(),
        modulus: None,
    })
}

/// Mean cross-entropy in nats over the counted positions of the clean inputs.
fn loss(task: &Task, logits: &[f32]) -> f64 {
    let Answers::Classes(answers) = &task.answers else { return f64::NAN };
    let (mut sum, mut n) = (0.0, 0usize);
    for i in 0..task.clean {
        for p in task.read_positions(i) {
            let at = i * task.pos() + p;
            let row = &logits[at * task.d_out..at * task.d_out + task.columns];
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|&x| math::exp64(f64::from(x - max))).sum();
            sum += f64::from(max) + math::ln64(total) - f64::from(row[answers[at] as usize]);
            n += 1;
        }
    }
    sum / n.max(1) as f64
}

/// Accuracy and loss.
fn scores(task: &Task, network: &Network, cx: &Context) -> Result<BTreeMap<String, f64>, Error> {
    let logits = Runner::new(network, &task.inputs, cx)?.logits()?;
    let accuracy = task.accuracy(logits.data()).unwrap_or(f64::NAN);
    Ok(BTreeMap::from([("accuracy".into(), accuracy), ("loss".into(), loss(task, logits.data()))]))
}

/// The organism with two layers, its twin with one, or that with spare heads.
#[derive(Debug)]
pub(crate) struct Induction {
    entry: Entry,
    n_layers: usize,
    /// Chance of a silent head, where there is head dropout.
    head_dropout: Option<f64>,
}

/// Two layers.
pub(crate) const INDUCTION: Induction = Induction {
    entry: Entry {
        name: "induction",
        version: 1,
        summary: "Two layers of attention that look up what followed a token before.",
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "10 s",
    },
    n_layers: 2,
    head_dropout: None,
};

/// Two layers whose second has a spare head.
pub(crate) const INDUCTION_BACKUP: Induction = Induction {
    entry: Entry {
        name: "induction-backup",
        version: 1,
        summary: "Induction with head dropout: one head can go, for another stands in for it.",
        source: Source::Constrained,
        standing: Standing::Contested,
        cost: "10 s",
    },
    n_layers: 2,
    head_dropout: Some(0.5),
};

/// The twin that has no path.
pub(crate) const INDUCTION_1_LAYER: Induction = Induction {
    entry: Entry {
        name: "induction-1-layer",
        version: 1,
        summary: "The control of induction: one layer, which cannot look anything up.",
        source: Source::Nothing,
        standing: Standing::Exact,
        cost: "6 s",
    },
    n_layers: 1,
    head_dropout: None,
};

impl Organism for Induction {
    fn entry(&self) -> Entry {
        self.entry.clone()
    }

    fn defaults(&self) -> Json {
        let mut all = defaults_of::<Parameters>();
        all.insert("n_layers".into(), json!(self.n_layers));
        if let Some(chance) = self.head_dropout {
            all.insert("head_dropout".into(), json!(chance));
            all.insert("n_heads".into(), json!(2));
        }
        all
    }

    fn breed(
        &self,
        parameters: &Json,
        seed: u64,
        cx: &Context,
        nursery: &Nursery,
    ) -> Result<Bred, Error> {
        let p: Parameters = typed(self.entry.name, parameters)?;
        p.check()?;
        let all = task(&p)?;
        let probed = Task {
            inputs: all.inputs.pick(0..PROBED),
            clean: PROBED,
            partner: vec![],
            reads: all.reads[..PROBED * p.seq].to_vec(),
            ..all
        };
        let training = Training {
            organism: self.entry.name,
            seed,
            architecture: &dropout::Dropped(&p),
            batch: p.batch,
            pos: p.seq,
            steps: p.steps,
            optimizer: &|t| AdamW {
                lr: p.lr * (t as f64 / p.warmup.max(1) as f64).min(1.0),
                weight_decay: p.weight_decay,
                ..AdamW::default()
            },
            data: &|t| {
                let mut batch = batch(&p, seed, t);
                dropout::silence(&p, seed, t, &mut batch);
                batch
            },
            loss: &|g, logits| {
                let width = p.seq - p.period_min;
                let logits = g.slice(logits, 1, p.period_min, width)?;
                let targets = g.index_input("targets", &[p.batch, width]);
                let losses = g.cross_entropy(logits, targets)?; // [batch, pos]
                let counts = g.input("counts", &[p.batch, width]);
                let counted = g.mul(losses, counts)?;
                g.sum(counted)
            },
            probe_every: (p.steps / 40).max(1),
            probe: &|network| {
                let mut values = scores(&probed, network, cx)?;
                values.remove("loss");
                Ok(values)
            },
        };
        let (network, curve) = training.run(init(&p, seed)?, cx, nursery)?;
        let truth =
            Truth { source: self.entry.source, standing: self.entry.standing, ..Truth::nothing() };
        Ok(Bred { network, curve, truth })
    }

    fn task(&self, parameters: &Json, length: Option<usize>) -> Result<Task, Error> {
        let mut p: Parameters = typed(self.entry.name, parameters)?;
        if let Some(length) = length {
            // Shorter sequences keep the periods that leave something to repeat.
            p.seq = length.min(p.seq);
            p.period_max = p.period_max.min(p.seq.saturating_sub(1));
        }
        p.check()?;
        task(&p)
    }

    fn measure(&self, parameters: &Json, network: &Network, cx: &Context) -> Result<Json, Error> {
        let p: Parameters = typed(self.entry.name, parameters)?;
        let task = task(&p)?;
        let mut out: Json =
            scores(&task, network, cx)?.into_iter().map(|(n, x)| (n, json!(x))).collect();
        out.extend(composition(network, &task, cx)?.metrics());
        if self.head_dropout.is_some() {
            out.extend(backup::metrics(&task, network, cx)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_defaults;

    fn small() -> Json {
        let set = json!({"d_model": 16, "vocab": 12, "seq": 12, "period_min": 3, "period_max": 5,
            "batch": 4, "steps": 6});
        with_defaults(&INDUCTION, set.as_object().unwrap()).unwrap()
    }

    #[test]
    fn periods_fill_the_inclusive_bounds_and_blocks_hold_distinct_tokens() {
        let p = Parameters::default();
        let mut random = Stream::new(0, "periods").block(0);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let s = Sequence::draw(&p, &mut random);
            let block: std::collections::BTreeSet<_> = s.tokens[..s.period].iter().collect();
            assert_eq!(block.len(), s.period);
            // Every answer that counts stands behind an earlier copy of the present token.
            for i in s.period..p.seq {
                assert_eq!(s.tokens[i], s.tokens[i - s.period]);
                assert_eq!(s.next[i], s.tokens[i + 1 - s.period]);
            }
            seen.insert(s.period);
        }
        assert_eq!(seen, (8..=24).collect());
    }

    #[test]
    fn partners_share_the_period_and_no_answer() {
        let task = INDUCTION.task(&INDUCTION.defaults(), None).unwrap();
        let Answers::Classes(answers) = &task.answers else { panic!() };
        assert_eq!((task.inputs.len(), task.pos()), (256, 48));
        for i in 0..task.clean {
            let j = task.partner[i];
            assert!(task.read_positions(i).eq(task.read_positions(j)));
            for p in task.read_positions(i) {
                assert_ne!(answers[i * 48 + p], answers[j * 48 + p]);
            }
        }
    }

    #[test]
    fn shorter_sequences_keep_the_periods_that_repeat() {
        let task = INDUCTION.task(&INDUCTION.defaults(), Some(16)).unwrap();
        assert_eq!(task.pos(), 16);
        assert!((0..task.clean).all(|i| task.read_positions(i).count() >= 1));
        assert!(INDUCTION.task(&INDUCTION.defaults(), Some(8)).is_err());
    }

    #[test]
    fn the_loss_weighs_every_position_that_counts_alike() {
        let p: Parameters = typed("induction", &small()).unwrap();
        let b = batch(&p, 0, 1);
        let sum: f32 = b.real[0].1.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
        let shuffled = batch(&Parameters { shuffle_labels: true, ..p }, 0, 1);
        assert_eq!(b.index[0], shuffled.index[0]);
        assert_ne!(b.index[1], shuffled.index[1]);
        let sorted = |x: &Batch| {
            let mut t = x.index[1].1.clone();
            t.sort_unstable();
            t
        };
        assert_eq!(sorted(&b), sorted(&shuffled));
    }

    #[test]
    fn twins_with_one_and_two_layers_start_from_the_same_weights() {
        let p: Parameters = typed("induction", &small()).unwrap();
        let two = init(&p, 3).unwrap();
        let one = init(&Parameters { n_layers: 1, ..p }, 3).unwrap();
        assert!(one.len() < two.len());
        assert!(one.iter().all(|(n, t)| two[n] == *t));
    }

    #[test]
    fn a_run_that_stops_and_resumes_gives_the_same_bits() {
        let cx = Context::single();
        let whole = INDUCTION.breed(&small(), 1, &cx, &Nursery::none()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let nursery = |stop: usize| {
            let progress: &'static (dyn Fn(usize, usize) -> bool + Sync) =
                if stop == 2 { &|t, _| t < 2 } else { &|_, _| true };
            Nursery { checkpoints: Some(dir.path().into()), every: 100, progress, watch: None }
        };
        assert!(INDUCTION.breed(&small(), 1, &cx, &nursery(2)).is_err());
        let resumed = INDUCTION.breed(&small(), 1, &cx, &nursery(0)).unwrap();
        assert_eq!(whole.network.hash(), resumed.network.hash());
        assert_eq!(whole.curve, resumed.curve);
    }

    #[test]
    fn without_its_spare_a_head_is_single_and_before_training_there_is_none() {
        let cx = Context::single();
        let set = |steps: usize| {
            let set = json!({"d_model": 32, "vocab": 16, "seq": 16, "period_min": 4,
                "period_max": 7, "batch": 32, "steps": steps});
            with_defaults(&INDUCTION_BACKUP, set.as_object().unwrap()).unwrap()
        };
        let of = |p: &Json, network: &Network| INDUCTION_BACKUP.measure(p, network, &cx).unwrap();
        let p = set(400);
        let network = INDUCTION_BACKUP.breed(&p, 0, &cx, &Nursery::none()).unwrap().network;
        let m = of(&p, &network);
        assert_eq!(m["backup"], "spare", "{m:?}");
        // The control: one of the two writes nothing.
        let mut written = network.weight("blocks.1.attn.W_O").unwrap().clone();
        let half = written.data().len() / 2;
        written.data_mut()[..half].fill(0.0);
        let alone = network.with_weight("blocks.1.attn.W_O", written).unwrap();
        assert_eq!(of(&p, &alone)["backup"], "single");
        let p = set(0);
        let untrained = INDUCTION_BACKUP.breed(&p, 0, &cx, &Nursery::none()).unwrap().network;
        assert_eq!(of(&p, &untrained)["backup"], "none");
    }

    #[test]
    fn impossible_parameters_are_refused_by_name() {
        for (set, word) in [
            (json!({"period_max": 70}), "vocabulary"),
            (json!({"period_max": 48, "vocab": 64}), "nothing that repeats"),
            (json!({"period_min": 30}), "no period"),
            (json!({"n_heads": 5}), "divides"),
            (json!({"head_dropout": 2.0}), "no chance"),
            (json!({"periods": 5}), "periods"),
        ] {
            let mut all = INDUCTION.defaults();
            all.extend(set.as_object().unwrap().clone());
            let e = INDUCTION.task(&all, None).unwrap_err().to_string();
            assert!(e.contains(word), "{e}");
        }
    }
}
