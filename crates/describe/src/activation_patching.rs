//! Activation patching (Vig et al. 2020; Meng et al. 2022, who call it causal tracing; Wang et al.
//! 2022; how to read it: Heimersheim & Nanda 2024, arXiv 2404.15255).
//!
//! A run on one prompt gets, at one place, what a run on another prompt has there. *Denoising*
//! puts the clean prompt's activation into the corrupted run: what restores the answer is enough
//! to carry it. *Noising* puts the corrupted one into the clean run: what destroys the answer is
//! needed for it. Both are measured as
//!
//! recovered = (LD(patched) - LD(corrupted)) / (LD(clean) - LD(corrupted)),
//!
//! LD the mean logit difference over all pairs, so 0 is the corrupted and 1 the clean prompt; the
//! means are taken before the ratio. What lies before the patched layer is not computed again, and
//! a patch that changes no bit is not run.

use crate::grid::{Grid, GridAxis, finite};
use crate::method::{settings, signed};
use crate::prompts::{Pair, Prompts};
use crate::readout::{Direction, Readout};
use crate::{Describe, Description, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::Body;
use flyroom_network::{Intervention, Operation, Row, Runner, Selector};
use flyroom_organism::{Parameters, Subject, defaults_of};
use flyroom_tensor::Stream;
use flyroom_tensor::random::Generator;
use serde::{Deserialize, Serialize};

const NAME: &str = "activation-patching";

/// Differences of LD between clean and corrupted prompts below this mean that the corruption does
/// nothing.
const SAME: f64 = 1e-4;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Pairs (clean, corrupted).
    pairs: usize,
    /// Sweeps, with commas between.
    sites: String,
    /// Which prompt is run and which one is patched in, with a comma between.
    directions: String,
    /// Places of each sweep at which the null is drawn.
    nulls: usize,
    /// What is patched in: `partner`, or `itself`, the control.
    source: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pairs: 8,
            sites: "resid_pre,attn_out,mlp_out,z".into(),
            directions: "denoising,noising".into(),
            nulls: 64,
            source: "partner".into(),
        }
    }
}

/// What is patched, layer by layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ResidPre,
    AttnOut,
    MlpOut,
    Z,
    V,
    Pattern,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::ResidPre, Kind::AttnOut, Kind::MlpOut, Kind::Z, Kind::V, Kind::Pattern];

    fn name(self) -> &'static str {
        match self {
            Kind::ResidPre => "resid_pre",
            Kind::AttnOut => "attn_out",
            Kind::MlpOut => "mlp_out",
            Kind::Z => "z",
            Kind::V => "v",
            Kind::Pattern => "pattern",
        }
    }

    fn site(self, layer: usize) -> String {
        match self {
            Kind::ResidPre | Kind::AttnOut | Kind::MlpOut => {
                format!("blocks.{layer}.hook_{}", self.name())
            }
            _ => format!("blocks.{layer}.attn.hook_{}", self.name()),
        }
    }

    fn by_position(self) -> bool {
        matches!(self, Kind::ResidPre | Kind::AttnOut | Kind::MlpOut)
    }

    /// Sites of the layer that keep the run's own values, so that they need no computing.
    fn kept(self, layer: usize) -> Vec<String> {
        let mut kept = vec![Kind::ResidPre.site(layer)];
        if self == Kind::MlpOut {
            kept.push(Kind::AttnOut.site(layer));
        }
        if self != Kind::ResidPre {
            kept.push(self.site(layer));
        }
        kept
    }

    fn selector(self, layer: usize, place: usize) -> Selector {
        let s = Selector::site(self.site(layer));
        if self.by_position() { s.at_pos(place) } else { s.at_head(place) }
    }
}

/// Which run is patched, and from which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Denoising,
    Noising,
}

impl Way {
    const ALL: [Way; 2] = [Way::Denoising, Way::Noising];

    fn name(self) -> &'static str {
        match self {
            Way::Denoising => "denoising",
            Way::Noising => "noising",
        }
    }

    fn neutral(self) -> f64 {
        match self {
            Way::Denoising => 0.0,
            Way::Noising => 1.0,
        }
    }

    fn reading(self, kind: Kind) -> String {
        let place = if kind.by_position() { "position" } else { "head" };
        match self {
            Way::Denoising => format!(
                "The clean prompt's {} is put into the corrupted run, one layer and {place} at a \
                 time: 1 restores the clean logit difference, 0 changes nothing.",
                kind.name()
            ),
            Way::Noising => format!(
                "The corrupted prompt's {} is put into the clean run, one layer and {place} at a \
                 time: 0 destroys the clean logit difference, 1 changes nothing.",
                kind.name()
            ),
        }
    }
}

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct ActivationPatching;

impl Describe for ActivationPatching {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: NAME,
            step: "describe",
            version: 1,
            summary: "puts one prompt's activations into another's run, place by place",
            source: "Meng et al. 2022, arXiv 2202.05262; Heimersheim & Nanda 2024, arXiv 2404.15255",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn describe(
        &self,
        subject: &Subject,
        _parts: Option<&Dictionary>,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Description, Error> {
        let bad = |why: String| Error::Parameters { method: NAME.into(), why };
        let settings: Settings = settings(NAME, self.defaults(), parameters)?;
        let kinds = named(&settings.sites, &Kind::ALL, Kind::name).map_err(bad)?;
        let ways = named(&settings.directions, &Way::ALL, Way::name).map_err(bad)?;
        let itself = match settings.source.as_str() {
            "partner" => false,
            "itself" => true,
            other => return Err(bad(format!("source = '{other}': it is partner or itself"))),
        };
        let prompts = Prompts::new(subject, settings.pairs.max(1), NAME)?;
        let readout = Readout::new(subject.network(), NAME)?;
        let inputs = prompts.inputs();
        let runner = Runner::new(subject.network(), &inputs, &subject.context)?;
        let sweeps = Sweeps::new(&runner, &readout, &prompts, itself)?;
        let mut grids = vec![];
        for kind in kinds {
            if runner.site(&kind.site(0)).is_err() {
                continue;
            }
            for &way in &ways {
                let mut random = Stream::new(seed, "activation-patching/nulls").block(0);
                grids.push(sweeps.sweep(kind, way, settings.nulls.max(1), &mut random)?);
            }
        }
        if grids.is_empty() {
            return Err(Error::NotApplicable {
                method: NAME,
                why: "the network has none of these sites".into(),
            });
        }
        let explanation = signed(NAME, subject, vec![], Body::Snapshot);
        Ok(Description { grids, ..Description::new(explanation) })
    }
}

/// The members of `all` that a list names, in the order of `all`.
fn named<T: Copy + PartialEq>(
    list: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, String> {
    let mut found = vec![];
    for word in list.split(',').map(str::trim) {
        match all.iter().find(|&&t| name(t) == word) {
            Some(&t) => found.push(t),
            None => {
                let known: Vec<&str> = all.iter().map(|&t| name(t)).collect();
                return Err(format!("'{word}' is none of {}", known.join(", ")));
            }
        }
    }
    Ok(all.iter().copied().filter(|t| found.contains(t)).collect())
}

/// All sweeps of one set of pairs.
struct Sweeps<'s, 'a> {
    runner: &'s Runner<'s>,
    readout: &'s Readout<'s>,
    prompts: &'s Prompts<'a>,
    /// For each pair.
    directions: Vec<Direction>,
    /// Whether a run is patched with itself.
    itself: bool,
    n_layers: usize,
    /// Mean logit difference of the clean and the corrupted prompts, and of each pair.
    clean: Vec<f64>,
    corrupted: Vec<f64>,
}

/// A patched run: which place, which pair.
struct Patch {
    place: usize,
    pair: usize,
    row: Row,
}

impl<'s, 'a> Sweeps<'s, 'a> {
    fn new(
        runner: &'s Runner<'s>,
        readout: &'s Readout<'s>,
        prompts: &'s Prompts<'a>,
        itself: bool,
    ) -> Result<Self, Error> {
        let pairs = &prompts.pairs;
        let directions = pairs
            .iter()
            .map(|p| readout.difference(p.answer, p.wrong))
            .collect::<Result<Vec<_>, _>>()?;
        let at = runner.clean(readout.site())?;
        let difference = |row: usize, k: usize| {
            let p: &Pair = &pairs[k];
            directions[k].of(position(at.row(row), p.read, readout.d_model()))
        };
        let n = pairs.len();
        let clean: Vec<f64> = (0..n).map(|k| difference(k, k)).collect();
        let corrupted: Vec<f64> = (0..n).map(|k| difference(n + k, k)).collect();
        let apart = crate::metric::mean(&clean) - crate::metric::mean(&corrupted);
        if apart.is_nan() || apart.abs() < SAME {
            return Err(Error::NotApplicable {
                method: NAME,
                why: format!("the corruption moves the mean logit difference by {apart:.1e} only"),
            });
        }
        let n_layers = runner.network().architecture().transformer().map_or(0, |c| c.n_layers);
        Ok(Self { runner, readout, prompts, directions, itself, n_layers, clean, corrupted })
    }

    /// Rows of the set of inputs: (the run, what is patched in).
    fn runs(&self, way: Way, pair: usize, null: bool) -> (usize, usize) {
        let n = self.prompts.pairs.len();
        let (own, other) = match way {
            Way::Denoising => (n + pair, pair),
            Way::Noising => (pair, n + pair),
        };
        match (null, self.itself) {
            (true, _) => (own, 2 * n + pair),
            (false, true) => (own, own),
            (false, false) => (own, other),
        }
    }

    fn own(&self, way: Way) -> &[f64] {
        match way {
            Way::Denoising => &self.corrupted,
            Way::Noising => &self.clean,
        }
    }

    /// 0 for the corrupted prompts, 1 for the clean ones.
    fn recovered(&self, differences: &[f64]) -> Option<f64> {
        let mean = crate::metric::mean;
        let (clean, corrupted) = (mean(&self.clean), mean(&self.corrupted));
        finite((mean(differences) - corrupted) / (clean - corrupted))
    }

    fn sweep(
        &self,
        kind: Kind,
        way: Way,
        nulls: usize,
        random: &mut Generator,
    ) -> Result<Grid, Error> {
        let (layers, places) = (self.n_layers, self.places(kind)?);
        let cells = layers * places;
        let drawn: Vec<usize> = random.choose(cells, nulls.min(cells));
        let (mut values, mut null) = (vec![], vec![None; cells]);
        for layer in 0..layers {
            let all: Vec<usize> = (0..places).collect();
            values.extend(self.layer(kind, way, layer, &all, false)?);
            let of_layer: Vec<usize> =
                all.into_iter().filter(|p| drawn.contains(&(layer * places + p))).collect();
            let found = self.layer(kind, way, layer, &of_layer, true)?;
            of_layer.iter().zip(found).for_each(|(p, v)| null[layer * places + p] = v);
        }
        let columns = if kind.by_position() {
            GridAxis { name: "position".into(), labels: self.prompts.positions() }
        } else {
            GridAxis::numbered("head", places)
        };
        Ok(Grid {
            name: format!("{}, {}", kind.name(), way.name()),
            quantity: "logit difference recovered".into(),
            unit: String::new(),
            reading: format!("{} {}", way.reading(kind), self.prompts.averaged("pair")),
            axes: vec![GridAxis::numbered("layer", layers), columns],
            values,
            neutral: way.neutral(),
            null_is: format!(
                "the same patch from an unrelated prompt, at {} of {cells} places",
                drawn.len()
            ),
            null,
            words: vec![],
            detail: false,
            distance: false,
        })
    }

    /// Positions or heads of a site.
    fn places(&self, kind: Kind) -> Result<usize, Error> {
        use flyroom_network::Axis;
        let site = self.runner.site(&kind.site(0))?;
        let axis = if kind.by_position() { Axis::Pos } else { Axis::Head };
        Ok(site.axis_len(axis).unwrap_or(1))
    }

    /// What is recovered at some places of a layer.
    fn layer(
        &self,
        kind: Kind,
        way: Way,
        layer: usize,
        places: &[usize],
        null: bool,
    ) -> Result<Vec<Option<f64>>, Error> {
        let site = self.runner.site(&kind.site(layer))?;
        let kept = kind.kept(layer);
        self.runner.capture(&kept.iter().map(String::as_str).collect::<Vec<_>>())?;
        let all = self.runner.clean(&kind.site(layer))?;
        let mut found: Vec<Vec<f64>> = vec![self.own(way).to_vec(); places.len()];
        let mut patches = vec![];
        for (at, &place) in places.iter().enumerate() {
            let selector = kind.selector(layer, place);
            let mask = selector.mask(site)?;
            for pair in 0..self.prompts.pairs.len() {
                let (own, other) = self.runs(way, pair, null);
                let (x, y) = (all.row(own), all.row(other));
                let marked = |i: &usize| mask[*i] != 0.0;
                let moves =
                    (0..mask.len()).filter(marked).any(|i| x[i].to_bits() != y[i].to_bits());
                if !moves && own != other {
                    continue;
                }
                let whole = kept.iter().map(|s| {
                    let operation = Operation::Interchange { input: own };
                    Intervention::site(Selector::site(s.clone()), operation)
                });
                let patched =
                    Intervention::site(selector.clone(), Operation::Interchange { input: other });
                let interventions = whole.chain([patched]).collect();
                patches.push(Patch { place: at, pair, row: Row { input: own, interventions } });
            }
        }
        let rows: Vec<Row> = patches.iter().map(|p| p.row.clone()).collect();
        let outputs = self.runner.run_reading(&rows, self.readout.site())?;
        for (p, out) in patches.iter().zip(outputs) {
            let read = self.prompts.pairs[p.pair].read;
            let x = position(&out, read, self.readout.d_model());
            found[p.place][p.pair] = self.directions[p.pair].of(x);
        }
        Ok(found.iter().map(|differences| self.recovered(differences)).collect())
    }
}

/// The vector at a position of `[pos, d_model]`.
fn position(x: &[f32], pos: usize, d_model: usize) -> &[f32] {
    x.get(pos * d_model..(pos + 1) * d_model).unwrap_or(&[])
}
