//! How the places of a network move when its weights are written in another way.
//!
//! A network may be written in many ways that compute the same (a [`Gauge`](crate::Gauge), a
//! [`Move`](crate::gauge_twin::Move)). What is known of it is known of places: directions at sites,
//! selectors, edges. [`Places`] says where each goes, and moves explanations and whole truths along.

use crate::{Error, Truth};
use flyroom_explanation::{Body, Explanation};
use flyroom_network::{Edge, Selector};

/// Where the places of a network go.
pub trait Places {
    /// A site's new name.
    fn site(&self, site: &str) -> String {
        site.to_owned()
    }

    /// A direction at an old site: what it reads, or writes, stays the same.
    fn direction(&self, site: &str, direction: &[f32]) -> Vec<f32>;

    /// A selected place. Fails where it is no longer one place.
    fn selector(&self, s: &Selector) -> Result<Selector, Error>;

    /// An edge.
    fn edge(&self, e: Edge) -> Edge;

    /// An explanation whose places and edges have moved.
    fn explanation(&self, e: &Explanation) -> Result<Explanation, Error> {
        let mut out = e.clone();
        for a in out.parts.iter_mut().flat_map(|p| &mut p.alignments) {
            a.selector = self.selector(&a.selector)?;
        }
        if let Body::Circuit { edges, .. } = &mut out.body {
            edges.iter_mut().for_each(|e| *e = self.edge(*e));
        }
        Ok(out)
    }

    /// A truth whose places and edges have moved.
    fn truth(&self, t: &Truth) -> Result<Truth, Error> {
        let mut out = t.clone();
        for f in &mut out.features {
            f.direction = self.direction(&f.site, &f.direction);
            f.site = self.site(&f.site);
        }
        for e in out.circuit.iter_mut().flatten() {
            e.edge = self.edge(e.edge);
        }
        for v in &mut out.variables {
            v.selector = self.selector(&v.selector)?;
        }
        out.explanation = t.explanation.as_ref().map(|e| self.explanation(e)).transpose()?;
        Ok(out)
    }
}
