//! The variables of a hypothesis that have no place yet, and where a place is looked for.
//!
//! What is fitted is fitted to every other input, and tried on those between.

use crate::hypothesis::{Hypothesis, line};
use flyroom_explanation::rasp::Trace;
use flyroom_explanation::{Code, Value};
use flyroom_organism::Subject;

/// Values of a variable at most.
const VALUES: usize = 64;
/// Share of the variance of coordinates from which on they are a line.
const LINE: f64 = 1.0 - 1e-6;

/// A variable without a place, and which of its values each sample has.
pub(crate) struct Candidate {
    pub name: String,
    pub values: Vec<Value>,
    pub of: Vec<Option<usize>>,
}

/// The sites of the residual stream, in order of computation.
pub(crate) fn stream(subject: &Subject) -> Vec<String> {
    let layers = subject.network().architecture().transformer().map_or(0, |c| c.n_layers);
    let of_layer = |l: usize| ["mid", "post"].map(|at| format!("blocks.{l}.hook_resid_{at}"));
    std::iter::once("blocks.0.hook_resid_pre".to_owned())
        .chain((0..layers).flat_map(of_layer))
        .filter(|site| subject.runner.site(site).is_ok())
        .collect()
}

/// Whether directions are fitted to the `k`th input that is looked at; on the others they are tried.
pub(crate) fn is_fitted(k: usize) -> bool {
    k.is_multiple_of(2)
}

/// Positions at which a program has variables.
pub(crate) fn positions(subject: &Subject, h: &Hypothesis) -> Vec<usize> {
    (0..subject.task.pos()).filter(|&p| h.program.index(p).is_some()).collect()
}

/// Every variable that takes two values or more where directions are fitted, in order of the program; it has
/// none of the others.
pub(crate) fn candidates(subject: &Subject, h: &Hypothesis) -> Vec<Candidate> {
    let places = positions(subject, h);
    let Some((_, first)) = h.traces.first() else { return vec![] };
    let names: Vec<String> = first.iter().map(|(name, _)| name.to_owned()).collect();
    let mut out = vec![];
    for name in names {
        let value = |trace: &Trace, p: usize| {
            let v = trace.get(&name)?.get(h.program.index(p)?)?.clone();
            (!matches!(v, Value::None | Value::Unknown | Value::Mixture(_))).then_some(v)
        };
        let each: Vec<Option<Value>> = h
            .traces
            .iter()
            .flat_map(|(_, t)| places.iter().map(move |&p| (t, p)))
            .map(|(t, p)| value(t, p))
            .collect();
        let fitted = each.iter().enumerate().filter(|(s, _)| is_fitted(s / places.len().max(1)));
        let mut values: Vec<Value> = fitted.filter_map(|(_, v)| v.clone()).collect();
        values.sort();
        values.dedup_by(|a, b| a.same(b));
        let place = |v: &Value| values.iter().position(|x| x.same(v));
        let of = each.iter().map(|v| v.as_ref().and_then(place)).collect();
        if (2..=VALUES).contains(&values.len()) {
            out.push(Candidate { name, values, of });
        }
    }
    out
}

impl Candidate {
    /// The values by number of first appearance: equal for variables that always go together.
    fn partition(&self) -> Vec<Option<usize>> {
        let mut order: Vec<usize> = vec![];
        self.of
            .iter()
            .map(|v| {
                let v = (*v)?;
                Some(order.iter().position(|x| *x == v).unwrap_or_else(|| {
                    order.push(v);
                    order.len() - 1
                }))
            })
            .collect()
    }
}

/// Which of the variables that go together has these class means for its code.
pub(crate) fn named<'a>(alike: &[&'a Candidate], means: &[Vec<f64>]) -> (&'a Candidate, Code) {
    let first = alike[0];
    // Value number v of the first is value number `of[v]` of another.
    let numbers = |c: &Candidate| -> Option<Vec<(f64, f64)>> {
        (0..first.values.len())
            .map(|v| {
                let sample = first.of.iter().position(|x| *x == Some(v))?;
                Some((c.values[c.of[sample]?].number()?, *means[v].first()?))
            })
            .collect()
    };
    if means.first().is_some_and(|m| m.len() == 1) && first.values.len() > 2 {
        for c in alike {
            if let Some((scale, offset, explained)) = numbers(c).and_then(|pairs| line(&pairs))
                && explained >= LINE
            {
                return (c, Code::Scalar { scale: scale as f32, offset: offset as f32 });
            }
        }
    }
    let vectors = means.iter().map(|m| m.iter().map(|&x| x as f32).collect()).collect();
    (first, Code::Table { values: first.values.clone(), vectors })
}

/// Variables of which each group always goes together, in order of their first.
pub(crate) fn alike<'a>(all: impl IntoIterator<Item = &'a Candidate>) -> Vec<Vec<&'a Candidate>> {
    let mut groups: Vec<(Vec<Option<usize>>, Vec<&Candidate>)> = vec![];
    for c in all {
        let partition = c.partition();
        match groups.iter_mut().find(|g| g.0 == partition) {
            Some(group) => group.1.push(c),
            None => groups.push((partition, vec![c])),
        }
    }
    groups.into_iter().map(|g| g.1).collect()
}
