//! The null of an explanation: itself with its parts reassigned at random.
//!
//! What is moved depends on what the body names: the frequencies of cosines, the heads of a
//! circuit, the places of a program's variables and the values of its codes. No draw keeps a part
//! in its place. An explanation whose parts could as well be others scores no better than this.

use flyroom_explanation::rasp::{Expr, Rule, Variable};
use flyroom_explanation::{Alignment, Body, Code, Explanation, Part, Term, Value};
use flyroom_network::{Edge, EdgeTable, Receiver, Sender};
use flyroom_tensor::random::Generator;

/// A permutation of n without fixed points; the identity where there is none (n < 2).
pub fn derangement(g: &mut Generator, n: usize) -> Vec<usize> {
    if n < 2 {
        return (0..n).collect();
    }
    loop {
        let p = g.permutation(n);
        if p.iter().enumerate().all(|(i, &j)| i != j) {
            return p;
        }
    }
}

/// The explanation with its parts reassigned; `None` if its body has no parts to reassign.
pub fn reassigned(
    e: &Explanation,
    table: Option<&EdgeTable>,
    g: &mut Generator,
) -> Option<Explanation> {
    let mut out = e.clone();
    match &mut out.body {
        Body::Rasp { .. } => out.parts = reassigned_parts(&e.parts, g),
        Body::Cosines(c) => {
            // Every frequency becomes one that the explanation does not have, where there are
            // enough, else a derangement of all.
            let half = (c.modulus as usize - 1) / 2;
            let own: Vec<usize> = c.terms.iter().map(|t| t.frequency as usize).collect();
            let free: Vec<usize> = (1..=half).filter(|k| !own.contains(k)).collect();
            let to: Vec<usize> = if free.len() >= own.len() {
                g.choose(free.len(), own.len()).into_iter().map(|i| free[i]).collect()
            } else {
                derangement(g, own.len()).into_iter().map(|i| own[i]).collect()
            };
            for (t, &k) in c.terms.iter_mut().zip(&to) {
                t.frequency = k as u32;
            }
            for a in out.parts.iter_mut().flat_map(|p| &mut p.alignments) {
                if let Code::Plane { frequency, .. } = &mut a.code
                    && let Some(i) = own.iter().position(|&k| k == *frequency as usize)
                {
                    *frequency = to[i] as u32;
                }
            }
        }
        Body::Circuit { edges, .. } => {
            let table = table?;
            *edges = reassigned_edges(edges, table, g);
        }
        Body::Whole | Body::Snapshot => return None,
    }
    Some(out)
}

/// The explanation with its description changed and its parts left alone: the first selection of
/// a program from which its output is made is negated, a selection without comparison selects nothing; every
/// cosine is turned by half a period. A control that must be
/// blamed on `describe`; `None` for other bodies.
pub fn misdescribed(e: &Explanation) -> Option<Explanation> {
    let mut out = e.clone();
    match &mut out.body {
        Body::Rasp { program, .. } => {
            let mut used = vec![program.output.clone()];
            for v in program.variables.iter().rev() {
                if used.contains(&v.name) {
                    used.extend(v.expr.reads().iter().map(|r| r.to_string()));
                }
            }
            let mut made = program.variables.iter_mut().filter(|v| used.contains(&v.name));
            let selection = made.find_map(|v| match &mut v.expr {
                Expr::Aggregate { select, .. } | Expr::SelectorWidth { select } => {
                    Some(&mut select.rule)
                }
                _ => None,
            })?;
            *selection = Rule::Not(Box::new(selection.clone()));
        }
        Body::Cosines(c) => {
            c.terms.iter_mut().for_each(|t| t.phase += std::f32::consts::PI);
        }
        _ => return None,
    }
    Some(out)
}

/// The explanation with something that does nothing: the last step of a program is made once more and
/// nothing reads the copy; every cosine gets another of height 0, as far as there are frequencies left.
/// It is as right as it was and takes more bits; `None` for other bodies and where nothing was added.
pub fn padded(e: &Explanation) -> Option<Explanation> {
    let mut out = e.clone();
    let added = match &mut out.body {
        Body::Rasp { program, .. } => {
            let last = program.variables.last()?;
            let (mut name, expr) = (format!("idle-{}", last.name), last.expr.clone());
            while program.variables.iter().any(|v| v.name == name) {
                name.push('-');
            }
            program.variables.push(Variable { name, expr });
            1
        }
        Body::Cosines(c) => {
            let own: Vec<u32> = c.terms.iter().map(|t| t.frequency).collect();
            let free = (1..=c.modulus.saturating_sub(1) / 2).filter(|k| !own.contains(k));
            let idle: Vec<Term> = free
                .take(own.len())
                .map(|frequency| Term { frequency, amplitude: 0.0, phase: 0.0 })
                .collect();
            c.terms.extend(&idle);
            idle.len()
        }
        _ => 0,
    };
    (added > 0).then_some(out)
}

/// Every part moves to the place of another, with its own values in an order of their own; where
/// there is one part only, its values are exchanged in place.
pub fn reassigned_parts(parts: &[Part], g: &mut Generator) -> Vec<Part> {
    let mut out = parts.to_vec();
    if parts.len() < 2 {
        out.iter_mut().for_each(|p| exchange_values(p, g));
        return out;
    }
    // A plane that moved to the other operand of its own frequency would say the same.
    let frequency = |p: &Part| match p.alignments.first().map(|a| &a.code) {
        Some(Code::Plane { frequency, .. }) => Some(*frequency),
        _ => None,
    };
    let mut places = derangement(g, parts.len());
    for _ in 0..64 {
        let same = |(i, &j): (usize, &usize)| {
            frequency(&parts[i]).is_some() && frequency(&parts[i]) == frequency(&parts[j])
        };
        if !places.iter().enumerate().any(same) {
            break;
        }
        places = derangement(g, parts.len());
    }
    for (part, from) in out.iter_mut().zip(places.iter().map(|&j| &parts[j])) {
        let own = part.alignments.first().map(|a| a.code.clone());
        part.alignments = from
            .alignments
            .iter()
            .map(|a| {
                let code = own.as_ref().and_then(|own| moved(own, &a.code));
                Alignment {
                    code: code.unwrap_or_else(|| a.code.clone()),
                    readers: None,
                    ..a.clone()
                }
            })
            .collect();
        exchange_values(part, g);
    }
    out
}

/// The values of one code at the points of another, as many as both have.
fn moved(own: &Code, place: &Code) -> Option<Code> {
    if let (Code::Plane { .. }, Code::Plane { .. }) = (own, place) {
        return Some(own.clone());
    }
    let points: Vec<Vec<f32>> = match place {
        Code::OneHot { values } => (0..values.len())
            .map(|i| (0..values.len()).map(|j| f32::from(u8::from(i == j))).collect())
            .collect(),
        Code::Table { vectors, .. } => vectors.clone(),
        Code::Scalar { scale, offset } => {
            (0..8).map(|i| vec![scale * i as f32 / 8.0 + offset]).collect()
        }
        Code::Plane { .. } | Code::Opaque { .. } => return None,
    };
    let values: Vec<Value> = match own {
        Code::OneHot { values } | Code::Table { values, .. } => values.clone(),
        Code::Scalar { .. } => (0..8).map(|i| Value::Real(f64::from(i) / 8.0)).collect(),
        Code::Plane { .. } | Code::Opaque { .. } => return None,
    };
    let n = points.len().min(values.len());
    Some(Code::Table { values: values[..n].to_vec(), vectors: points[..n].to_vec() })
}

fn exchange_values(part: &mut Part, g: &mut Generator) {
    for a in &mut part.alignments {
        match &mut a.code {
            Code::OneHot { values } | Code::Table { values, .. } => {
                let order = derangement(g, values.len());
                *values = order.iter().map(|&i| values[i].clone()).collect();
            }
            Code::Scalar { scale, .. } => *scale = -*scale,
            Code::Plane { .. } | Code::Opaque { .. } => {}
        }
    }
}

/// Heads of every layer permuted without fixed points; where a layer has one head, its edges go
/// to random senders instead.
fn reassigned_edges(edges: &[Edge], table: &EdgeTable, g: &mut Generator) -> Vec<Edge> {
    let heads = |layer: usize| {
        table.senders.iter().filter(|s| matches!(s, Sender::Head(l, _) if *l == layer)).count()
    };
    let layers = table
        .senders
        .iter()
        .filter_map(|s| if let Sender::Head(l, _) = s { Some(*l + 1) } else { None })
        .max()
        .unwrap_or(0);
    let maps: Vec<Vec<usize>> = (0..layers).map(|l| derangement(g, heads(l))).collect();
    let head = |l: usize, h: usize| maps[l].get(h).copied().unwrap_or(h);
    let single = maps.iter().any(|m| m.len() < 2);
    let mut out: Vec<Edge> = vec![];
    for e in edges {
        let to = match e.to {
            Receiver::Query(l, h) => Receiver::Query(l, head(l, h)),
            Receiver::Key(l, h) => Receiver::Key(l, head(l, h)),
            Receiver::Value(l, h) => Receiver::Value(l, head(l, h)),
            other => other,
        };
        let from = match e.from {
            Sender::Head(l, h) => Sender::Head(l, head(l, h)),
            other => other,
        };
        let mut moved = Edge { from, to };
        if single || table.index(moved).is_err() {
            let choices: Vec<Edge> = table
                .edges
                .iter()
                .copied()
                .filter(|x| x.to == to && x.from != e.from && !out.contains(x))
                .collect();
            if !choices.is_empty() {
                moved = choices[g.below(choices.len() as u64) as usize];
            }
        }
        if table.index(moved).is_ok() && !out.contains(&moved) {
            out.push(moved);
        }
    }
    out
}
