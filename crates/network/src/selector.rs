//! Selectors: which part of a site is meant. One parser serves the command line, plans, truth and
//! explanations.
//!
//! `blocks.0.attn.hook_z[head=2,pos=-1,unit=3..5]` names coordinates; `@dirs.safetensors#7` behind
//! it names a direction instead, and in memory a selector may carry a whole subspace by its
//! orthonormal basis. Negative numbers count from the end, ranges exclude their end.
//!
//! ```
//! use flyroom_network::Selector;
//! let s: Selector = "blocks.0.attn.hook_z[head=2,pos=-1,unit=3..5]".parse()?;
//! assert_eq!(s.to_string(), "blocks.0.attn.hook_z[head=2,pos=-1,unit=3..5]");
//! # Ok::<(), flyroom_network::Error>(())
//! ```

use crate::Error;
use crate::site::{Axis, Site};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Part of an axis: `start..end`, end exclusive, negative from the end of the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    start: i64,
    /// `None` means the end of the axis.
    end: Option<i64>,
}

impl Span {
    /// One index.
    pub fn one(i: usize) -> Self {
        Self::range(i, i.saturating_add(1))
    }

    /// `start..end`.
    pub fn range(start: usize, end: usize) -> Self {
        let number = |i: usize| i64::try_from(i).unwrap_or(i64::MAX);
        Self { start: number(start), end: Some(number(end)) }
    }

    /// The indices meant on an axis of length `n`.
    pub fn indices(self, n: usize) -> Result<std::ops::Range<usize>, String> {
        let n = n as i64;
        let at = |i: i64| if i < 0 { i + n } else { i };
        let start = at(self.start);
        let end = self.end.map_or(n, |e| if e == 0 && self.start < 0 { n } else { at(e) });
        if 0 <= start && start < end && end <= n {
            Ok(start as usize..end as usize)
        } else {
            Err(format!("{self} lies outside an axis of {n}"))
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.end {
            Some(e) if self.start.checked_add(1) == Some(e) => write!(f, "{}", self.start),
            Some(e) => write!(f, "{}..{}", self.start, e),
            None => write!(f, "{}..", self.start),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let number =
            |t: &str| t.trim().parse::<i64>().map_err(|_| format!("'{t}' is not a number"));
        match s.split_once("..") {
            None => {
                let start = number(s)?;
                let end = start.checked_add(1).ok_or_else(|| format!("'{s}' is too large"))?;
                Ok(Self { start, end: Some(end) })
            }
            Some((a, "")) => Ok(Self { start: number(a)?, end: None }),
            Some((a, b)) => Ok(Self { start: number(a)?, end: Some(number(b)?) }),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<Span> for String {
    fn from(s: Span) -> Self {
        s.to_string()
    }
}

/// Digits alone, without the sign that `usize::from_str` takes.
pub(crate) fn natural(s: &str) -> Option<usize> {
    s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten()
}

/// Part of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The site's name.
    pub site: String,
    /// Heads, all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Span>,
    /// Positions, all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<Span>,
    /// Coordinates, all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Span>,
    /// A file of directions and a row of it, to be read before use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directions: Option<(String, usize)>,
    /// An orthonormal basis `[k][unit]`: the subspace meant instead of coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Vec<Vec<f32>>>,
}

impl Selector {
    /// A whole site.
    pub fn site(name: impl Into<String>) -> Self {
        Self { site: name.into(), head: None, pos: None, unit: None, directions: None, basis: None }
    }

    /// At one position.
    pub fn at_pos(mut self, pos: usize) -> Self {
        self.pos = Some(Span::one(pos));
        self
    }

    /// One head.
    pub fn at_head(mut self, head: usize) -> Self {
        self.head = Some(Span::one(head));
        self
    }

    /// One coordinate.
    pub fn at_unit(mut self, unit: usize) -> Self {
        self.unit = Some(Span::one(unit));
        self
    }

    /// A subspace by orthonormal rows.
    pub fn in_basis(mut self, basis: Vec<Vec<f32>>) -> Self {
        self.basis = Some(basis);
        self
    }

    /// 1 where the selector reaches, 0 elsewhere, over the site without its batch axis. With a
    /// basis or directions, whole vectors are marked.
    pub fn mask(&self, site: &Site) -> Result<Vec<f32>, Error> {
        let bad = |why: String| Error::Selector { text: self.to_string(), why };
        let mut ranges = vec![];
        for (&axis, &n) in site.axes.iter().zip(&site.shape).skip(1) {
            let span = match axis {
                Axis::Head => self.head,
                Axis::Pos => self.pos,
                Axis::Unit => self.unit,
                _ => None,
            };
            ranges.push(match span {
                Some(s) => s.indices(n).map_err(bad)?,
                None => 0..n,
            });
        }
        for (axis, span, word) in [
            (Axis::Head, self.head, "head"),
            (Axis::Pos, self.pos, "pos"),
            (Axis::Unit, self.unit, "unit"),
        ] {
            // A network without positions has pos = 1.
            let single = axis == Axis::Pos && span.is_some_and(|s| s.indices(1).is_ok());
            if span.is_some() && site.axis_len(axis).is_none() && !single {
                return Err(bad(format!("the site has no {word} axis")));
            }
        }
        if self.unit.is_some() && self.basis.is_some() {
            return Err(bad("either units or a subspace".into()));
        }
        if let Some(basis) = &self.basis
            && let Some(row) = basis.iter().find(|r| Some(r.len()) != site.axis_len(Axis::Unit))
        {
            return Err(bad(format!(
                "a basis vector of {} in vectors of {}",
                row.len(),
                site.axis_len(Axis::Unit).unwrap_or(0)
            )));
        }
        let mut mask = vec![1.0f32];
        for (range, &n) in ranges.iter().zip(&site.shape[1..]) {
            mask = mask
                .iter()
                .flat_map(|&m| (0..n).map(move |i| (m, i)))
                .map(|(m, i)| if range.contains(&i) { m } else { 0.0 })
                .collect();
        }
        Ok(mask)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.site)?;
        let parts: Vec<String> = [("head", self.head), ("pos", self.pos), ("unit", self.unit)]
            .into_iter()
            .filter_map(|(k, v)| v.map(|v| format!("{k}={v}")))
            .collect();
        if !parts.is_empty() {
            write!(f, "[{}]", parts.join(","))?;
        }
        if let Some((file, row)) = &self.directions {
            write!(f, "@{file}#{row}")?;
        } else if let Some(basis) = &self.basis {
            write!(f, "@subspace({})", basis.len())?;
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::Selector { text: text.into(), why };
        let (head, directions) = match text.split_once('@') {
            None => (text, None),
            Some((head, tail)) => {
                let (file, row) = tail
                    .rsplit_once('#')
                    .ok_or_else(|| bad("directions are written FILE#ROW".into()))?;
                let row =
                    natural(row).ok_or_else(|| bad(format!("'{row}' is not a row number")))?;
                (head, Some((file.to_string(), row)))
            }
        };
        let (site, parts) = match head.split_once('[') {
            None => (head, ""),
            Some((site, rest)) => {
                let inner = rest.strip_suffix(']').ok_or_else(|| bad("no closing ']'".into()))?;
                (site, inner)
            }
        };
        if site.is_empty() || site.contains(|c: char| c.is_whitespace() || "]=,#".contains(c)) {
            return Err(bad(
                "a site's name is not empty and has no spaces, ']', '=', ',' or '#'".into()
            ));
        }
        if directions.as_ref().is_some_and(|(file, _)| file.is_empty()) {
            return Err(bad("directions are written FILE#ROW".into()));
        }
        let mut out = Self::site(site);
        out.directions = directions;
        for part in parts.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) =
                part.split_once('=').ok_or_else(|| bad(format!("'{part}' is not key=range")))?;
            let span = value.parse().map_err(bad)?;
            let slot = match key.trim() {
                "head" => &mut out.head,
                "pos" => &mut out.pos,
                "unit" => &mut out.unit,
                other => return Err(bad(format!("'{other}' is none of head, pos, unit"))),
            };
            if slot.replace(span).is_some() {
                return Err(bad(format!("{} twice", key.trim())));
            }
        }
        Ok(out)
    }
}
