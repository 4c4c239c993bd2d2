//! Do methods rank here as they rank elsewhere?
//!
//! A public benchmark ranks methods by a number on its own networks; a board has numbers of the same kind
//! on ours. [`compare`] asks, organism by organism, whether the two orders agree: Kendall's tau-b between
//! the public scores and those of each specimen, its mean over seeds with an interval, and beside it what
//! chance gives. With n methods there are n! orders, so the least that a permutation test can say is
//! 1 / n!: three methods never show more than p = .17, however many seeds there are. That bound stands
//! beside every tau.
//!
//! What a benchmark calls random is the null of a row here, and goes by the name [`NULL`].

use crate::board::Row;
use crate::statistics::{kendall_tau_b, mean, mean_interval};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The public rankings, with their sources.
const FILE: &str = include_str!("../public/rankings.json");

/// In a ranking, what nobody's method reaches: the nulls of the rows.
pub const NULL: &str = "null";

/// How methods rank on a public benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// The benchmark.
    pub name: String,
    /// Who published it, and what the scores are.
    pub source: String,
    /// The metric of the board that it is compared with.
    pub metric: String,
    /// Scores by the labels of our methods in the plan of the set; higher is better.
    pub scores: BTreeMap<String, f64>,
}

static RANKINGS: LazyLock<Vec<Ranking>> =
    LazyLock::new(|| serde_json::from_str(FILE).unwrap_or_default());

/// All public rankings.
pub fn rankings() -> &'static [Ranking] {
    &RANKINGS
}

/// A method in two rankings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Its name.
    pub method: String,
    /// What it scores there.
    pub public: f64,
    /// What it scores here, mean over the seeds.
    pub ours: f64,
}

/// Two rankings of the same methods, there and on one organism here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The public benchmark.
    pub ranking: String,
    /// The metric of the board.
    pub metric: String,
    /// The organism.
    pub organism: String,
    /// The methods that both have, best there first.
    pub methods: Vec<Method>,
    /// The seeds on which all of them have a score.
    pub seeds: Vec<u64>,
    /// Kendall's tau-b on each of these; `None` where all methods score the same.
    pub taus: Vec<Option<f64>>,
    /// Mean of those that there are.
    pub tau: Option<f64>,
    /// Its 95 % interval over seeds; `None` below two.
    pub interval: Option<[f64; 2]>,
    /// Share of all orders of the methods whose mean tau is as great or greater.
    pub p: Option<f64>,
    /// The least that share can be.
    pub least_p: f64,
    /// Methods of the ranking that have no score here.
    pub missing: Vec<String>,
}

/// Compares the rows of a board with rankings, for every organism on which two methods of one have a score.
pub fn compare(rankings: &[Ranking], rows: &[Row]) -> Vec<Transfer> {
    let mut all = vec![];
    for ranking in rankings {
        let of: Vec<&Row> = rows.iter().filter(|r| r.metric == ranking.metric).collect();
        let organisms: BTreeSet<&str> = of.iter().map(|r| r.organism.as_str()).collect();
        for organism in organisms {
            let of: Vec<&Row> = of.iter().copied().filter(|r| r.organism == organism).collect();
            all.extend(transfer(ranking, organism, &of));
        }
    }
    all
}

fn transfer(ranking: &Ranking, organism: &str, rows: &[&Row]) -> Option<Transfer> {
    let mut public: Vec<(&str, f64)> =
        ranking.scores.iter().map(|(m, s)| (m.as_str(), *s)).collect();
    public.sort_by(|a, b| b.1.total_cmp(&a.1));
    // Scores by seed.
    let scores = |method: &str| -> BTreeMap<u64, f64> {
        let seeds = rows.iter().flat_map(|r| r.seeds.iter().map(move |s| (r, s)));
        if method != NULL {
            let own = seeds.filter(|(r, _)| r.method == method);
            return own.filter_map(|(_, s)| Some((s.seed, s.score?))).collect();
        }
        // Of the rows that are compared; each has its own.
        let mut nulls: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (r, s) in seeds {
            if let Some(null) = s.null.filter(|_| ranking.scores.contains_key(&r.method)) {
                nulls.entry(s.seed).or_default().push(null);
            }
        }
        nulls.into_iter().filter_map(|(seed, all)| Some((seed, mean(&all)?))).collect()
    };
    let found: Vec<(&str, f64, BTreeMap<u64, f64>)> =
        public.iter().map(|(m, p)| (*m, *p, scores(m))).collect();
    let (there, missing): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, _, s)| !s.is_empty());
    if there.iter().filter(|(m, _, _)| *m != NULL).count() < 2 {
        return None;
    }
    let seeds: Vec<u64> =
        there[0].2.keys().copied().filter(|s| there.iter().all(|t| t.2.contains_key(s))).collect();
    if seeds.is_empty() {
        return None;
    }
    let ours: Vec<Vec<f64>> =
        seeds.iter().map(|seed| there.iter().map(|t| t.2[seed]).collect()).collect();
    let order: Vec<f64> = there.iter().map(|t| t.1).collect();
    let taus: Vec<Option<f64>> = ours.iter().map(|o| kendall_tau_b(&order, o)).collect();
    let known: Vec<f64> = taus.iter().flatten().copied().collect();
    let tau = mean(&known);
    let orders = permutations(&order);
    let mean_tau = |order: &[f64]| {
        let all: Vec<f64> = ours.iter().filter_map(|o| kendall_tau_b(order, o)).collect();
        mean(&all)
    };
    let as_great = |tau: f64| {
        // The order itself counts, and rounding must not lose it.
        let great = orders.iter().filter(|o| mean_tau(o).is_some_and(|t| t >= tau - 1e-12));
        great.count() as f64 / orders.len() as f64
    };
    let methods = there.iter().enumerate().map(|(i, (method, public, _))| Method {
        method: (*method).to_owned(),
        public: *public,
        ours: ours.iter().map(|o| o[i]).sum::<f64>() / ours.len() as f64,
    });
    Some(Transfer {
        ranking: ranking.name.clone(),
        metric: ranking.metric.clone(),
        organism: organism.to_owned(),
        methods: methods.collect(),
        // No tau lies beyond, and an interval by Student's t may.
        interval: mean_interval(&known, 0.95).map(|i| i.map(|x| x.clamp(-1.0, 1.0))),
        p: tau.map(as_great),
        least_p: 1.0 / orders.len() as f64,
        seeds,
        taus,
        tau,
        missing: missing.into_iter().map(|(m, _, _)| m.to_owned()).collect(),
    })
}

/// All orders of a few values.
fn permutations(values: &[f64]) -> Vec<Vec<f64>> {
    if values.is_empty() {
        return vec![vec![]];
    }
    let mut all = vec![];
    for i in 0..values.len() {
        let mut rest = values.to_vec();
        let first = rest.remove(i);
        all.extend(permutations(&rest).into_iter().map(|mut p| {
            p.insert(0, first);
            p
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, CellResult, Table};

    /// Rows of one organism; a method's score on each seed.
    fn rows(methods: &[(&str, &[f64])]) -> Vec<Row> {
        let mut results = vec![];
        for (method, scores) in methods {
            for (seed, score) in scores.iter().enumerate() {
                let r = CellResult::new(Table::Wiring, "o", method, "m", seed as u64, *score);
                results.push(r.null(0.5));
            }
        }
        Board::from_results(results).rows
    }

    fn ranking(scores: &[(&str, f64)]) -> Ranking {
        Ranking {
            name: "public".into(),
            source: "a paper".into(),
            metric: "m".into(),
            scores: scores.iter().map(|(m, s)| ((*m).to_owned(), *s)).collect(),
        }
    }

    #[test]
    fn the_public_rankings_can_be_read_and_name_methods_and_metrics_that_there_are() {
        let catalog = crate::run::catalog();
        assert_eq!(rankings().len(), 2);
        for r in rankings() {
            assert!(catalog.metrics.iter().any(|m| m.name == r.metric), "{}", r.metric);
            for method in r.scores.keys().filter(|m| *m != NULL) {
                // A label may carry parameters, as a plan's labels do.
                let name = method.split('[').next().unwrap_or_default();
                assert!(catalog.methods.iter().any(|m| m.name == name), "{method}");
            }
        }
    }

    #[test]
    fn the_same_order_is_tau_one_the_other_way_round_is_minus_one_and_p_counts_all_orders() {
        let public = ranking(&[("a", 0.9), ("b", 0.8), (NULL, 0.4)]);
        let same = compare(
            std::slice::from_ref(&public),
            &rows(&[("a", &[0.9, 0.8]), ("b", &[0.7, 0.6])]),
        );
        assert_eq!(same.len(), 1);
        assert_eq!((same[0].tau, same[0].p), (Some(1.0), Some(1.0 / 6.0)));
        assert_eq!(same[0].least_p, 1.0 / 6.0);
        assert_eq!(same[0].methods[2].ours, 0.5);
        let other = compare(&[public], &rows(&[("a", &[0.1, 0.1]), ("b", &[0.2, 0.2])]));
        assert_eq!((other[0].tau, other[0].p), (Some(-1.0), Some(1.0)));
    }

    #[test]
    fn seeds_that_disagree_take_the_middle_and_an_interval_over_them() {
        let public = ranking(&[("a", 0.9), ("b", 0.8)]);
        let found = compare(&[public], &rows(&[("a", &[1.0, 0.0, 1.0]), ("b", &[0.5, 0.5, 0.5])]));
        assert_eq!(found[0].taus, [Some(1.0), Some(-1.0), Some(1.0)]);
        assert!((found[0].tau.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        let [low, high] = found[0].interval.unwrap();
        assert_eq!([low, high], [-1.0, 1.0], "three seeds say nothing");
    }

    #[test]
    fn methods_that_score_the_same_have_no_tau_and_one_method_alone_is_not_compared() {
        let public = ranking(&[("a", 0.9), ("b", 0.8), ("c", 0.1)]);
        let tied = compare(std::slice::from_ref(&public), &rows(&[("a", &[1.0]), ("b", &[1.0])]));
        assert_eq!((tied[0].tau, tied[0].p), (None, None));
        assert_eq!(tied[0].missing, ["c"]);
        assert!(compare(&[public], &rows(&[("a", &[1.0])])).is_empty());
    }
}
