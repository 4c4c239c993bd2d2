//! A program that answers as the network does, its variables where exchanges do what it says
//! (Geiger et al. 2023, "Finding alignments between interpretable causal variables and distributed neural
//! representations", distributed alignment search).
//!
//! A [`Hypothesis`] gives the answers of the network. For each of its variables and each site of the
//! residual stream, in order of computation, a subspace is trained: what lies in it at one place of one
//! input is exchanged for what lies in it at one place of another, and the outputs are to become what
//! the program says of the first input with the variable's value of the second (the network's mean output
//! for that answer, in the distance of the task). A variable lies where it is found first with an
//! interchange accuracy and an isolation of [`PLACED`] on inputs that the search did not see.
//!
//! *Null*: the same search in the same network with weights drawn anew, each tensor with its norm. An
//! exchange that works says that the subspace can carry the variable, not that the network's own
//! values pass through it (Makelov et al. 2023, "Is this the subspace you are looking for?").

use crate::candidate::{Candidate, alike, candidates, is_fitted, named, positions, stream};
use crate::counterfactual::{Outcomes, Pair, pairs};
use crate::exchange::{Accuracy, Exchange};
use crate::grid::{Grid, GridAxis};
use crate::hypothesis::Hypothesis;
use crate::method::{settings, signed};
use crate::subspace::{Search, Span};
use crate::{Describe, Description, Error};
use flyroom_decompose::{Dictionary, MethodEntry};
use flyroom_explanation::{Body, Part};
use flyroom_network::{Runner, Selector};
use flyroom_organism::{Parameters, Subject, defaults_of, norm_matched};
use flyroom_tensor::{Stream, linalg};
use serde::{Deserialize, Serialize};

const NAME: &str = "das";

/// Interchange accuracy and isolation from which on a variable is placed.
pub const PLACED: f64 = 0.9;
/// Dimensions of a place at most.
const DIMENSIONS: usize = 16;
/// Directions along which class means differ by less than this share of the greatest are not kept.
const KEPT: f64 = 1e-2;

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct Das;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Text of the program; without, the library's that answers as the network does.
    program: String,
    /// Pairs to which a subspace is fitted, and as many on which it is tried.
    pairs: usize,
    /// Steps of a search.
    steps: usize,
    /// How far places may be off, of the explanation.
    tolerance: f64,
    /// Weight of the variance in the subspace that the variable's value does not explain; 0 is the
    /// method as published.
    purity: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { program: String::new(), pairs: 128, steps: 60, tolerance: 0.1, purity: 0.3 }
    }
}

/// A network at one site, ready to be searched.
struct Site<'r, 'a> {
    name: String,
    exchange: Exchange<'r, 'a>,
    x: Vec<f64>,
    fitted: Vec<bool>,
}

/// A subspace that was found.
struct Found {
    rows: Vec<f64>,
    accuracy: Accuracy,
}

/// A variable with its pairs.
struct Asked<'c> {
    variable: &'c Candidate,
    fitted: Vec<Pair>,
    tried: Vec<Pair>,
}

impl Describe for Das {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: NAME,
            step: "describe",
            version: 2,
            summary: "a program that answers as the network does, its variables where exchanges do what it says",
            source: "Geiger et al. 2023",
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
        let settings: Settings = settings(NAME, self.defaults(), parameters)?;
        let bad = |why: &str| Error::Parameters { method: NAME.into(), why: why.into() };
        if !(2..=4096).contains(&settings.pairs) || settings.steps > 100_000 {
            return Err(bad("'pairs' is 2 to 4096 and 'steps' at most 100000"));
        }
        if !(0.0..=0.5).contains(&settings.tolerance) {
            return Err(bad("'tolerance' is 0 to .5"));
        }
        if !(settings.purity.is_finite() && settings.purity >= 0.0) {
            return Err(bad("'purity' is a weight, 0 or more"));
        }
        let h = Hypothesis::new(subject, &settings.program, NAME)?;
        let outcomes = Outcomes::new(subject, &h)?;
        let all = candidates(subject, &h);
        let mut asked = vec![];
        for variable in &all {
            let half = |fitted: bool| -> Result<Vec<Pair>, Error> {
                let among: Vec<usize> =
                    (0..h.traces.len()).filter(|&k| is_fitted(k) == fitted).collect();
                let name = format!("das/{}/{}", variable.name, if fitted { "fit" } else { "try" });
                let mut g = Stream::new(seed, &name).block(0);
                pairs(subject, &h, &outcomes, variable, &among, settings.pairs, &mut g)
            };
            let (fitted, tried) = (half(true)?, half(false)?);
            if !fitted.is_empty() && !tried.is_empty() {
                asked.push(Asked { variable, fitted, tried });
            }
        }
        let network = norm_matched(subject.network(), &Stream::new(seed, "das/null"))?;
        let drawn = Runner::new(&network, &subject.task.inputs, &subject.context)?;
        let sites = stream(subject);
        let shape = (asked.len(), sites.len());
        let mut values = vec![None; shape.0 * shape.1];
        let mut nulls = values.clone();
        let mut parts: Vec<Part> = vec![];
        // The stream carries what was placed on to the sites behind.
        let mut taken = vec![];
        let mut left: Vec<&Candidate> = asked.iter().map(|a| a.variable).collect();
        for (s, name) in sites.iter().enumerate() {
            let mut site = Site::new(subject, &subject.runner, &h, name, settings.pairs)?;
            let mut of_null: Option<Site> = None;
            for group in alike(left.clone()) {
                let Some(i) = asked.iter().position(|a| a.variable.name == group[0].name) else {
                    continue;
                };
                let found = site.place(&asked[i], &outcomes, &taken, &settings, seed)?;
                values[i * shape.1 + s] = found.as_ref().map(|f| f.accuracy.least());
                let Some(found) = found.filter(|f| f.accuracy.least() >= PLACED) else { continue };
                let null = match &mut of_null {
                    Some(null) => null,
                    none => none.insert(Site::new(subject, &drawn, &h, name, settings.pairs)?),
                };
                let null = null.place(&asked[i], &outcomes, &[], &settings, seed)?;
                let null = null.map_or(0.0, |f| f.accuracy.least());
                nulls[i * shape.1 + s] = Some(null);
                let part = site.part(&group, &found, null);
                left.retain(|c| c.name != part.name);
                parts.push(part);
                taken.extend(found.rows);
            }
        }
        let words = values
            .iter()
            .map(|v| if v.is_some_and(|v| v >= PLACED) { "placed" } else { "" }.to_owned())
            .collect();
        let grid = Grid {
            name: "interchange".into(),
            quantity: "interchange accuracy or isolation, the smaller".into(),
            unit: String::new(),
            reading: "Where exchanges along a subspace do what the program says of the variable, it is placed; \
                      further on it is not sought."
                .into(),
            axes: vec![
                GridAxis {
                    name: "variable".into(),
                    labels: asked.iter().map(|a| a.variable.name.clone()).collect(),
                },
                GridAxis { name: "site".into(), labels: sites },
            ],
            values,
            neutral: 0.0,
            null_is: "the same search in the network with weights drawn anew, each tensor with its norm"
                .into(),
            null: nulls,
            words,
            detail: false,
            distance: false,
        };
        let body = Body::Rasp { program: h.program, readout: h.readout };
        let mut explanation = signed(NAME, subject, parts, body);
        explanation.tolerance = settings.tolerance;
        let mut out = Description::new(explanation);
        // A grid stands beside its null, which is drawn where something is placed.
        out.grids.extend(grid.check().is_ok().then_some(grid));
        Ok(out)
    }
}

impl<'r, 'a> Site<'r, 'a> {
    fn new(
        subject: &'r Subject<'a>,
        runner: &'r Runner<'a>,
        h: &Hypothesis,
        name: &str,
        batch: usize,
    ) -> Result<Self, Error> {
        let exchange = Exchange::new(runner, subject.task, name, batch)?;
        let clean = runner.clean(name)?;
        let (mut x, mut fitted) = (vec![], vec![]);
        for (k, (input, _)) in h.traces.iter().enumerate() {
            for p in positions(subject, h) {
                let row = &clean.row(*input)[p * exchange.width..(p + 1) * exchange.width];
                x.extend(row.iter().map(|&v| f64::from(v)));
                fitted.push(is_fitted(k));
            }
        }
        Ok(Self { name: name.into(), exchange, x, fitted })
    }

    /// The best subspace for a variable, outside those that are taken.
    fn place(
        &mut self,
        asked: &Asked,
        outcomes: &Outcomes,
        taken: &[f64],
        settings: &Settings,
        seed: u64,
    ) -> Result<Option<Found>, Error> {
        let (variable, width) = (asked.variable, self.exchange.width);
        let span = Span::new(self.x.clone(), width, self.fitted.clone(), taken)?;
        let most = (variable.values.len() - 1).min(DIMENSIONS).min(span.rank());
        let on_a_line = most > 1 && variable.values.iter().all(|v| v.number().is_some());
        let search = Search { steps: settings.steps, purity: settings.purity };
        let mut best: Option<Found> = None;
        for k in if on_a_line { vec![1, most] } else { vec![most] } {
            if k == 0 || best.as_ref().is_some_and(|b| b.accuracy.least() >= PLACED) {
                break;
            }
            let mut g = Stream::new(seed, &format!("das/{}/{}", variable.name, self.name)).block(0);
            self.exchange.load(&asked.fitted, outcomes)?;
            let rows = span.search(&mut self.exchange, variable, k, search, &mut g)?;
            let rows = self.kept(variable, rows)?;
            self.exchange.load(&asked.tried, outcomes)?;
            let accuracy = self.exchange.accuracy(&span.projector(&rows), outcomes)?;
            if best.as_ref().is_none_or(|b| accuracy.least() > b.accuracy.least()) {
                best = Some(Found { rows, accuracy });
            }
        }
        Ok(best)
    }

    /// Mean coordinates of each value, `[value, row]`.
    fn means(&self, variable: &Candidate, rows: &[f64]) -> Vec<Vec<f64>> {
        let d = self.exchange.width;
        let k = rows.len() / d.max(1);
        let mut means = vec![vec![0.0; k]; variable.values.len()];
        let mut counts = vec![0.0f64; variable.values.len()];
        for (s, v) in variable.of.iter().enumerate() {
            let (true, Some(v)) = (self.fitted[s], *v) else { continue };
            counts[v] += 1.0;
            let x = &self.x[s * d..(s + 1) * d];
            let coordinates = rows.chunks_exact(d).map(|q| linalg::dot(q, x));
            means[v].iter_mut().zip(coordinates).for_each(|(m, c)| *m += c);
        }
        for (mean, n) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|m| *m /= n.max(1.0));
        }
        means
    }

    /// The rows, turned so that class means differ most along the first, less those along which they
    /// do not differ.
    fn kept(&self, variable: &Candidate, rows: Vec<f64>) -> Result<Vec<f64>, Error> {
        let d = self.exchange.width;
        let k = rows.len() / d.max(1);
        let mut means = self.means(variable, &rows);
        for j in 0..k {
            let mean = means.iter().map(|m| m[j]).sum::<f64>() / means.len() as f64;
            means.iter_mut().for_each(|m| m[j] -= mean);
        }
        let svd = linalg::svd(means.len(), k, &means.concat())?;
        let rank = svd.s.iter().filter(|s| **s > KEPT * svd.s[0]).count();
        Ok(linalg::product(rank, k, d, &svd.vt[..rank * k], &rows))
    }

    fn part(&self, group: &[&Candidate], found: &Found, null: f64) -> Part {
        let (variable, code) = named(group, &self.means(group[0], &found.rows));
        let basis = found.rows.chunks_exact(self.exchange.width);
        let basis = basis.map(|q| q.iter().map(|&x| x as f32).collect()).collect();
        let selector = Selector::site(&self.name).in_basis(basis);
        let mut part = Part::new(variable.name.clone(), selector, code);
        let Accuracy { interchange, isolation, idle } = found.accuracy;
        part.about = format!(
            "interchange accuracy {interchange:.3}, isolation {isolation:.3}; doing nothing is right on \
             {idle:.3} of the outputs; with weights drawn anew {null:.3}"
        );
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_explanation::{Relation, TOLERANCE, relate};
    use flyroom_organism::train::Nursery;
    use flyroom_organism::{Specimen, Task, Truth, find};
    use flyroom_tensor::Context;
    use serde_json::json;

    struct Bred {
        specimen: Specimen,
        truth: Truth,
        task: Task,
    }

    fn bred(name: &str, seed: u64) -> Bred {
        bred_with(name, json!({}), seed)
    }

    fn bred_with(name: &str, set: serde_json::Value, seed: u64) -> Bred {
        let o = find(name).unwrap();
        let mut all = o.defaults();
        all.extend(set.as_object().unwrap().clone());
        let bred = o.breed(&all, seed, &Context::single(), &Nursery::none()).unwrap();
        let (specimen, truth) = Specimen::new(o, &all, seed, bred, Parameters::new());
        Bred { specimen, truth, task: o.task(&all, None).unwrap() }
    }

    impl Bred {
        fn subject(&self) -> Subject<'_> {
            Subject::new(&self.specimen, &self.task, &Context::single()).unwrap()
        }

        fn said(&self, set: serde_json::Value) -> Result<Description, Error> {
            Das.describe(&self.subject(), None, set.as_object().unwrap(), 0)
        }
    }

    #[test]
    fn variables_of_a_compiled_program_lie_where_they_were_written_and_weights_drawn_anew_hold_none()
     {
        let b = bred("rasp-histogram", 1);
        let d = b.said(json!({ "pairs": 64 })).unwrap();
        let names: Vec<&str> = d.explanation.parts.iter().map(|p| p.name.as_str()).collect();
        let width = "histogram_selector_width";
        let share = format!("{width}_attn_output");
        assert_eq!(names, ["tokens", share.as_str(), width]);
        let truth = b.truth.explanation.as_ref().unwrap();
        let subject = b.subject();
        for (part, name) in d.explanation.parts.iter().zip(["tokens", &share, "histogram"]) {
            let (found, code) = (&part.alignments[0].selector, &part.alignments[0].code);
            let site = subject.runner.site(&found.site).unwrap();
            let real = truth.parts.iter().find(|p| p.name == name || p.name == part.name).unwrap();
            let real = &real.alignments[0].selector;
            assert_eq!(real.site, found.site, "{name}");
            assert_eq!(
                relate(found, real, site, TOLERANCE).unwrap().relation,
                Relation::Covers,
                "{name}"
            );
            assert!(code.dims() >= 1, "{name}");
        }
        let grid = &d.grids[0];
        assert!(grid.null.iter().flatten().all(|n| *n < 0.5), "{:?}", grid.null);
        assert_eq!(grid.null.iter().flatten().count(), 3);
    }

    /// What was found fools: it lies where the letter is written and nothing reads it. The control: the same
    /// network where nothing reads what is dormant.
    #[test]
    fn a_mixture_with_what_is_dormant_is_taken_for_the_variable_and_is_not() {
        let program = "vocabulary: a b c\nlength: 4\n\
            first = aggregate(select(indices, indices, key == 0), tokens)\nreturn first\n";
        for (armed, wanted) in
            [(true, "blocks.0.hook_resid_mid"), (false, "blocks.1.hook_resid_mid")]
        {
            for seed in 0..3 {
                let b = bred_with("trap-fooling-branch", json!({ "armed": armed }), seed);
                let d = b.said(json!({ "program": program })).unwrap();
                let part = d.explanation.part("first").unwrap();
                assert_eq!(part.alignments[0].selector.site, wanted, "{armed} {}", part.about);
            }
        }
    }

    #[test]
    fn the_gradient_of_an_exchange_is_its_slope() {
        let b = bred("rasp-histogram", 1);
        let subject = b.subject();
        let h = Hypothesis::new(&subject, "", NAME).unwrap();
        let outcomes = Outcomes::new(&subject, &h).unwrap();
        let all = candidates(&subject, &h);
        let tokens = all.iter().find(|c| c.name == "tokens").unwrap();
        let mut g = Stream::new(3, "test").block(0);
        let among: Vec<usize> = (0..h.traces.len()).collect();
        let pairs = pairs(&subject, &h, &outcomes, tokens, &among, 16, &mut g).unwrap();
        assert_eq!(pairs.len(), 16);
        // Behind the attention the rest is a line between kinks, so that slopes are exact.
        let mut e =
            Exchange::new(&subject.runner, subject.task, "blocks.0.hook_resid_post", 16).unwrap();
        e.load(&pairs, &outcomes).unwrap();
        let d = e.width;
        let at: Vec<f64> = (0..d * d).map(|_| 0.1 * g.normal64()).collect();
        let way: Vec<f64> = (0..d * d).map(|_| g.normal64()).collect();
        e.run(&at).unwrap();
        let slope: f64 = e.gradient().iter().zip(&way).map(|(a, b)| a * b).sum();
        let mut moved = |t: f64| {
            let p: Vec<f64> = at.iter().zip(&way).map(|(a, b)| a + t * b).collect();
            e.run(&p).unwrap()
        };
        let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((slope - difference).abs() < 1e-3 * slope.abs().max(1.0), "{slope} {difference}");
    }

    #[test]
    fn settings_out_of_range_and_networks_without_tokens_are_refused() {
        let b = bred("rasp-length", 0);
        for (set, why) in [
            (json!({ "pairs": 1 }), "pairs"),
            (json!({ "purity": -1.0 }), "purity"),
            (json!({ "steps": 1_000_000 }), "steps"),
        ] {
            let e = b.said(set).unwrap_err().to_string();
            assert!(e.starts_with("method das") && e.contains(why), "{e}");
        }
        let e = bred("modular-addition-analytic", 0).said(json!({})).unwrap_err().to_string();
        assert!(e.contains("reads tokens"), "{e}");
    }
}
