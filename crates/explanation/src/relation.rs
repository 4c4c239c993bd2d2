//! How what an intervention touches lies to where a variable lies.
//!
//! A selector means a set of positions, a set of heads, and a subspace of the vectors there; units
//! are the subspace of their axes. The intervention *covers* the variable's place when it holds
//! its heads and its subspace, is *disjoint* from it when no head is shared or the subspaces are
//! orthogonal, and *cuts* it otherwise. Positions do not cut: a variable has a value at each of
//! them, so the shared positions are listed instead.
//!
//! A unit vector counts as inside or outside a subspace when what remains of it is at most as long as
//! the explanation's tolerance. Places at different sites are disjoint; `blocks.i.hook_resid_post` and
//! `blocks.{i+1}.hook_resid_pre` are one site under two names.

use crate::Error;
use flyroom_network::{Axis, Selector, Site};
use std::borrow::Cow;
use std::ops::Range;

/// Longest rest of a unit vector that counts as nothing, where an explanation states no other.
pub const TOLERANCE: f64 = 1e-4;
/// How far products of a basis' rows may be from 1 and 0.
const ORTHONORMAL: f64 = 1e-4;

/// How an intervention lies to a variable's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The whole place is touched.
    Covers,
    /// Nothing of it is.
    Disjoint,
    /// A part of it is.
    Cuts,
}

/// A relation, and the positions where it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// At each of the positions.
    pub relation: Relation,
    /// Positions of the network that both selectors mean; empty where they are disjoint.
    pub positions: Vec<usize>,
}

impl Overlap {
    fn disjoint() -> Self {
        Self { relation: Relation::Disjoint, positions: vec![] }
    }
}

/// One name for each site that has two.
pub fn same_site(a: &str, b: &str) -> bool {
    fn canonical(name: &str) -> Cow<'_, str> {
        let post = name.strip_prefix("blocks.").and_then(|s| s.strip_suffix(".hook_resid_post"));
        match post.and_then(|l| l.parse::<usize>().ok()) {
            Some(l) => Cow::Owned(format!("blocks.{}.hook_resid_pre", l + 1)),
            None => Cow::Borrowed(name),
        }
    }
    a == b || canonical(a) == canonical(b)
}

/// The subspace that a selector means in vectors of one length.
pub(crate) enum Subspace<'a> {
    /// Coordinates.
    Units(Range<usize>),
    /// Orthonormal rows.
    Rows(&'a [Vec<f32>]),
}

impl<'a> Subspace<'a> {
    /// Fails when units lie outside the vectors or a basis is not orthonormal.
    pub fn of(s: &'a Selector, unit: usize) -> Result<Self, Error> {
        let bad = |why: String| Error::Basis { selector: s.to_string(), why };
        if s.directions.is_some() {
            return Err(bad("the file of directions was not read yet".into()));
        }
        let Some(basis) = &s.basis else {
            return match s.unit {
                None => Ok(Self::Units(0..unit)),
                Some(span) => span.indices(unit).map(Self::Units).map_err(bad),
            };
        };
        for (i, a) in basis.iter().enumerate() {
            if a.len() != unit {
                return Err(bad(format!("a basis vector of {} in vectors of {unit}", a.len())));
            }
            for (j, b) in basis[..=i].iter().enumerate() {
                let wanted = if i == j { 1.0 } else { 0.0 };
                let got = dot(a, b);
                if got.is_nan() || (got - wanted).abs() > ORTHONORMAL {
                    let why = format!("rows {j} and {i} of the basis have product {got:.6}");
                    return Err(bad(why + ", the basis must be orthonormal"));
                }
            }
        }
        Ok(Self::Rows(basis))
    }

    /// Number of dimensions.
    pub fn dims(&self) -> usize {
        match self {
            Self::Units(r) => r.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Coordinates of a vector in the subspace.
    pub fn coordinates(&self, x: &[f32]) -> Vec<f32> {
        match self {
            Self::Units(r) => x[r.clone()].to_vec(),
            Self::Rows(rows) => rows.iter().map(|q| dot(q, x) as f32).collect(),
        }
    }

    /// Lengths of the parts of a vector inside and outside the subspace.
    fn split(&self, x: &[f32]) -> (f64, f64) {
        let mut rest: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let mut inside = 0.0;
        match self {
            Self::Units(r) => {
                for v in &mut rest[r.clone()] {
                    inside += *v * *v;
                    *v = 0.0;
                }
            }
            Self::Rows(rows) => {
                for q in *rows {
                    let c = dot(q, x);
                    inside += c * c;
                    rest.iter_mut().zip(q).for_each(|(v, q)| *v -= c * f64::from(*q));
                }
            }
        }
        (inside.sqrt(), rest.iter().map(|v| v * v).sum::<f64>().sqrt())
    }

    /// How `touched` lies to this subspace.
    fn relation(&self, touched: &Self, unit: usize, tolerance: f64) -> Relation {
        if touched.dims() >= unit {
            return Relation::Covers;
        }
        if let (Self::Units(a), Self::Units(t)) = (self, touched) {
            return if t.start <= a.start && a.end <= t.end {
                Relation::Covers
            } else if t.end <= a.start || a.end <= t.start {
                Relation::Disjoint
            } else {
                Relation::Cuts
            };
        }
        let splits: Vec<(f64, f64)> = match self {
            Self::Rows(rows) => rows.iter().map(|q| touched.split(q)).collect(),
            Self::Units(r) => r
                .clone()
                .map(|i| {
                    let mut axis = vec![0.0; unit];
                    axis[i] = 1.0;
                    touched.split(&axis)
                })
                .collect(),
        };
        if splits.iter().all(|(_, outside)| *outside <= tolerance) {
            Relation::Covers
        } else if splits.iter().all(|(inside, _)| *inside <= tolerance) {
            Relation::Disjoint
        } else {
            Relation::Cuts
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// The indices of an axis that a selector means; 0 alone where the site has no such axis.
pub(crate) fn span(s: &Selector, site: &Site, axis: Axis) -> Result<Range<usize>, Error> {
    let n = site.axis_len(axis).unwrap_or(1);
    let span = if axis == Axis::Head { s.head } else { s.pos };
    match span {
        None => Ok(0..n),
        Some(span) => span.indices(n).map_err(|why| Error::Basis { selector: s.to_string(), why }),
    }
}

/// How an intervention on `touched` lies to a variable at `aligned`; `site` describes the site of
/// `touched`, `tolerance` is the longest rest of a unit vector that counts as nothing. The order matters: whole against part covers, part against whole cuts.
///
/// ```
/// use flyroom_explanation::{Relation, TOLERANCE, relate};
/// use flyroom_network::{Axis, Site};
/// let site = Site {
///     name: "hook_embed".into(),
///     axes: vec![Axis::Batch, Axis::Pos, Axis::Unit],
///     shape: vec![1, 3, 8],
/// };
/// let aligned = "hook_embed[unit=2..4]".parse()?;
/// let at = |s: &str| relate(&aligned, &s.parse().unwrap(), &site, TOLERANCE).unwrap();
/// assert_eq!(at("hook_embed[pos=1]").relation, Relation::Covers);
/// assert_eq!(at("hook_embed[pos=1]").positions, [1]);
/// assert_eq!(at("hook_embed[unit=3..6]").relation, Relation::Cuts);
/// assert_eq!(at("hook_embed[unit=4..6]").relation, Relation::Disjoint);
/// # Ok::<(), flyroom_network::Error>(())
/// ```
pub fn relate(
    aligned: &Selector,
    touched: &Selector,
    site: &Site,
    tolerance: f64,
) -> Result<Overlap, Error> {
    if !same_site(&aligned.site, &touched.site) {
        return Ok(Overlap::disjoint());
    }
    let (a, t) = (span(aligned, site, Axis::Pos)?, span(touched, site, Axis::Pos)?);
    let positions: Vec<usize> = (a.start.max(t.start)..a.end.min(t.end)).collect();
    if positions.is_empty() {
        return Ok(Overlap::disjoint());
    }
    let (a, t) = (span(aligned, site, Axis::Head)?, span(touched, site, Axis::Head)?);
    if t.end <= a.start || a.end <= t.start {
        return Ok(Overlap::disjoint());
    }
    let all_heads = t.start <= a.start && a.end <= t.end;
    let unit = site.axis_len(Axis::Unit).unwrap_or(1);
    let (a, t) = (Subspace::of(aligned, unit)?, Subspace::of(touched, unit)?);
    Ok(match a.relation(&t, unit, tolerance) {
        Relation::Disjoint => Overlap::disjoint(),
        Relation::Covers if all_heads => Overlap { relation: Relation::Covers, positions },
        _ => Overlap { relation: Relation::Cuts, positions },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(heads: Option<usize>, unit: usize) -> Site {
        let mut axes = vec![Axis::Batch, Axis::Pos];
        let mut shape = vec![1, 4];
        if let Some(h) = heads {
            axes.push(Axis::Head);
            shape.push(h);
        }
        axes.push(Axis::Unit);
        shape.push(unit);
        Site { name: "s".into(), axes, shape }
    }

    fn on(basis: &[&[f32]]) -> Selector {
        Selector::site("s").in_basis(basis.iter().map(|r| r.to_vec()).collect())
    }

    fn relation(aligned: &Selector, touched: &Selector) -> Relation {
        relate(aligned, touched, &site(None, 3), TOLERANCE).unwrap().relation
    }

    const H: f32 = std::f32::consts::FRAC_1_SQRT_2;

    #[test]
    fn a_subspace_is_covered_by_itself_in_another_basis() {
        let plane = on(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]]);
        let turned = on(&[&[H, H, 0.0], &[H, -H, 0.0]]);
        assert_eq!(relation(&plane, &turned), Relation::Covers);
        assert_eq!(relation(&turned, &plane), Relation::Covers);
        assert_eq!(relation(&plane, &"s[unit=0..2]".parse().unwrap()), Relation::Covers);
        assert_eq!(relation(&"s[unit=0..2]".parse().unwrap(), &turned), Relation::Covers);
    }

    #[test]
    fn a_line_in_a_plane_is_covered_by_it_and_cuts_it() {
        let plane = on(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]]);
        let line = on(&[&[H, H, 0.0]]);
        assert_eq!(relation(&line, &plane), Relation::Covers);
        assert_eq!(relation(&plane, &line), Relation::Cuts);
    }

    #[test]
    fn orthogonal_is_disjoint_and_slanted_cuts() {
        let x = on(&[&[1.0, 0.0, 0.0]]);
        assert_eq!(relation(&x, &on(&[&[0.0, H, H]])), Relation::Disjoint);
        assert_eq!(relation(&x, &on(&[&[H, H, 0.0]])), Relation::Cuts);
        assert_eq!(relation(&x, &on(&[&[1.0, 5e-5, 0.0]])), Relation::Covers);
        let slant = (1.0f32 - 1e-6).sqrt();
        assert_eq!(relation(&x, &on(&[&[slant, 1e-3, 0.0]])), Relation::Cuts);
    }

    #[test]
    fn other_sites_are_disjoint_and_a_site_under_two_names_is_one() {
        let x = Selector::site("s");
        assert_eq!(relation(&Selector::site("t"), &x), Relation::Disjoint);
        assert!(same_site("blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"));
        assert!(!same_site("blocks.0.hook_resid_post", "blocks.0.hook_resid_pre"));
    }

    #[test]
    fn what_is_off_by_less_than_the_tolerance_covers_or_is_disjoint() {
        let x = on(&[&[1.0, 0.0, 0.0]]);
        let off = (1.0f32 - 0.05 * 0.05).sqrt();
        for (touched, within) in
            [([off, 0.05, 0.0], Relation::Covers), ([0.05, off, 0.0], Relation::Disjoint)]
        {
            let at = |t| relate(&x, &on(&[&touched]), &site(None, 3), t).unwrap().relation;
            assert_eq!((at(0.06), at(0.04)), (within, Relation::Cuts));
        }
    }

    #[test]
    fn positions_are_shared_and_heads_cut() {
        let z = site(Some(3), 2);
        let r = |a: &str, t: &str| {
            relate(&a.parse().unwrap(), &t.parse().unwrap(), &z, TOLERANCE).unwrap()
        };
        let whole = r("s[head=1]", "s[pos=1..3]");
        assert_eq!((whole.relation, whole.positions), (Relation::Covers, vec![1, 2]));
        assert_eq!(r("s[head=1]", "s[head=2]").relation, Relation::Disjoint);
        assert_eq!(r("s", "s[head=2]").relation, Relation::Cuts);
        assert_eq!(r("s[pos=0]", "s[pos=-1]").relation, Relation::Disjoint);
        assert_eq!(r("s[head=1,pos=0]", "s[head=0..2,unit=1]").relation, Relation::Cuts);
    }

    #[test]
    fn a_basis_that_is_not_orthonormal_is_an_error() {
        let x = on(&[&[1.0, 0.0, 0.0]]);
        for bad in [on(&[&[1.0, 1.0, 0.0]]), on(&[&[f32::NAN, 0.0, 0.0]]), on(&[&[1.0, 0.0]])] {
            assert!(relate(&x, &bad, &site(None, 3), TOLERANCE).is_err());
        }
    }
}
