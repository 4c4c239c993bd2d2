//! Ranks by construction route: a method that wins on compiled networks only is not the best.
//!
//! Ranks are within one organism, metric and tier; their mean over the organisms of a route says who
//! is ahead there. A mean over organisms on which other methods were not ranked would compare
//! different races, so the number of organisms and of seeds stands beside it. One route alone is
//! the board itself and has no table.

use std::collections::BTreeMap;

use flyroom_organism::Route;
use serde::{Deserialize, Serialize};

use super::csv::{exact, quote};
use super::{Row, Table, Tier};

/// Mean rank of a method over the organisms of one construction route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRank {
    /// The table.
    pub table: Table,
    /// The metric.
    pub metric: String,
    /// The tier.
    pub tier: Tier,
    /// The construction route.
    pub route: Route,
    /// The method.
    pub method: String,
    /// Mean of its ranks.
    pub mean_rank: f64,
    /// On so many organisms it has a rank.
    pub organisms: usize,
    /// Specimens of them with a score.
    pub seeds: usize,
}

/// By table, metric, tier and route, the best first; `None` where ranked rows are of one route.
pub(super) fn ranks(rows: &[Row], routes: &BTreeMap<String, Route>) -> Option<Vec<RouteRank>> {
    let mut found: BTreeMap<_, Vec<(u32, usize)>> = BTreeMap::new();
    for row in rows {
        if let (Some(rank), Some(&route)) = (row.rank, routes.get(&row.organism)) {
            let of = (row.table, row.metric.clone(), row.tier, route, row.method.clone());
            let seeds = row.seeds.iter().filter(|s| s.score.is_some()).count();
            found.entry(of).or_default().push((rank, seeds));
        }
    }
    let mut out: Vec<RouteRank> = found
        .into_iter()
        .map(|((table, metric, tier, route, method), ranks)| RouteRank {
            table,
            metric,
            tier,
            route,
            method,
            mean_rank: ranks.iter().map(|r| f64::from(r.0)).sum::<f64>() / ranks.len() as f64,
            organisms: ranks.len(),
            seeds: ranks.iter().map(|r| r.1).sum(),
        })
        .collect();
    let group = |r: &RouteRank| (r.table, r.metric.clone(), r.tier, r.route);
    out.sort_by(|a, b| {
        group(a)
            .cmp(&group(b))
            .then(a.mean_rank.total_cmp(&b.mean_rank))
            .then_with(|| a.method.cmp(&b.method))
    });
    let several = out.iter().any(|r| r.route != out[0].route);
    several.then_some(out)
}

/// The ranks as comma-separated values, one a line (RFC 4180).
pub fn to_csv(ranks: &[RouteRank]) -> String {
    let mut text = String::from("table,metric,tier,route,method,mean_rank,organisms,seeds\r\n");
    for r in ranks {
        let fields = [
            r.table.name().to_owned(),
            r.metric.clone(),
            r.tier.name().to_owned(),
            r.route.name().to_owned(),
            r.method.clone(),
            exact(Some(r.mean_rank)),
            r.organisms.to_string(),
            r.seeds.to_string(),
        ];
        text.push_str(&fields.map(|f| quote(&f)).join(","));
        text.push_str("\r\n");
    }
    text
}

impl RouteRank {
    /// Metric and tier as one word for people.
    pub(crate) fn race(&self) -> String {
        match self.tier {
            Tier::None => self.metric.clone(),
            tier => format!("{} ({})", self.metric, tier.name()),
        }
    }
}
