//! Trainings that are followed by what was located at their end: when each number moved, beside parts
//! drawn at random.

use crate::report::{Figure, LineChart, Series};
use crate::statistics::{mean, wilson};
use flyroom_organism::{Dated, Parameters, Progress};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A network on its way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Steps taken.
    pub step: usize,
    /// What is measured.
    #[serde(flatten)]
    pub progress: Progress,
}

/// When a number moved that is said to be early.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// The step; `None` if it never does.
    pub at: Option<usize>,
    /// Steps from then until the late number moved.
    pub lead: Option<i64>,
    /// The step for each draw of other parts.
    pub drawn: Vec<Option<usize>>,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Followed {
    /// Seed.
    pub seed: u64,
    /// blake3 of the weights it ends with, which are the specimen's.
    pub weights: String,
    /// What was located in them.
    pub located: Parameters,
    /// Parts of the same make, drawn at random.
    pub drawn: Vec<Parameters>,
    /// When each early number moved.
    pub early: BTreeMap<String, Moved>,
    /// When the one moved that is said to follow.
    pub late: Option<usize>,
    /// All looks.
    pub points: Vec<Point>,
}

/// What is dated, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What is said to move early.
    pub early: Vec<Dated>,
    /// What is said to follow.
    pub late: Dated,
    /// How far they have to come to have moved.
    pub by: f64,
}

/// How often an early number moved before the late one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Before {
    /// So often.
    pub count: u64,
    /// Of so many.
    pub n: u64,
    /// 95 %, Wilson's.
    pub interval: Option<[f64; 2]>,
}

impl Before {
    fn of(moves: impl Iterator<Item = (Option<usize>, Option<usize>)>) -> Self {
        let (mut count, mut n) = (0, 0);
        for (early, late) in moves {
            n += 1;
            count += u64::from(early.is_some_and(|e| late.is_none_or(|l| e < l)));
        }
        Self { count, n, interval: wilson(count, n, 0.95) }
    }
}

/// Trainings of one organism, a seed each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trainings {
    /// Of what.
    pub organism: String,
    /// What is dated.
    #[serde(flatten)]
    pub claim: Claim,
    /// In how many seeds each early number moved before the late one.
    pub before: BTreeMap<String, Before>,
    /// The same of parts drawn at random, every draw of every seed.
    pub before_drawn: BTreeMap<String, Before>,
    /// The seeds, in order.
    pub runs: Vec<Followed>,
}

/// The curve of a number, or of one draw of its null.
fn curve(points: &[Point], value: impl Fn(&Progress) -> Option<f64>) -> Vec<(usize, f64)> {
    points.iter().filter_map(|p| Some((p.step, value(&p.progress)?))).collect()
}

impl Followed {
    /// Dates the moves.
    pub fn new(
        (seed, weights): (u64, String),
        (located, drawn): (Parameters, Vec<Parameters>),
        claim: &Claim,
        points: Vec<Point>,
    ) -> Self {
        let of = |d: Dated| d.moved(&curve(&points, |p| p.values.get(d.name).copied()), claim.by);
        let late = of(claim.late);
        let early = claim.early.iter().map(|d| {
            let of_draw = |i: usize| {
                let values = |p: &Progress| p.null.get(d.name)?.get(i).copied();
                d.moved(&curve(&points, values), claim.by)
            };
            let at = of(*d);
            let lead = at.zip(late).map(|(e, l)| l as i64 - e as i64);
            let drawn = (0..drawn.len()).map(of_draw).collect();
            (d.name.to_owned(), Moved { at, lead, drawn })
        });
        let early = early.collect();
        Self { seed, weights, located, drawn, early, late, points }
    }

    /// The named numbers over the steps; dashed the means over draws of other parts.
    pub fn figure(&self, organism: &str, names: &[&str], unit: &str) -> Figure {
        let line = |name: String, dashed, value: &dyn Fn(&Progress) -> Option<f64>| {
            let all = curve(&self.points, value).into_iter().map(|(step, y)| [step as f64, y]);
            Series { name, points: all.collect(), dashed }
        };
        let plain = |name: &str| name.replace('_', " ");
        let mut series: Vec<Series> =
            names.iter().map(|n| line(plain(n), false, &|p| p.values.get(*n).copied())).collect();
        let drawn = names
            .iter()
            .map(|n| line(format!("{}, others drawn", plain(n)), true, &|p| mean(p.null.get(*n)?)));
        series.extend(drawn.filter(|s| !s.points.is_empty()));
        Figure::LineChart(LineChart {
            title: format!("{organism}, seed {}: progress measures", self.seed),
            caption: "By what was located in the finished network; dashed, by as many parts drawn at random."
                .into(),
            x_label: "steps".into(),
            y_label: unit.to_owned(),
            series,
            ..LineChart::default()
        })
    }
}

impl Trainings {
    /// Counts them.
    pub fn new(organism: &str, claim: Claim, runs: Vec<Followed>) -> Self {
        let moves = |name: &str| {
            let all = runs.iter().filter_map(|r| Some((r.early.get(name)?, r.late)));
            all.collect::<Vec<_>>()
        };
        let (mut before, mut before_drawn) = (BTreeMap::new(), BTreeMap::new());
        for d in &claim.early {
            let moves = moves(d.name);
            before.insert(d.name.to_owned(), Before::of(moves.iter().map(|(m, l)| (m.at, *l))));
            let drawn = moves.iter().flat_map(|(m, l)| m.drawn.iter().map(move |d| (*d, *l)));
            before_drawn.insert(d.name.to_owned(), Before::of(drawn));
        }
        Self { organism: organism.to_owned(), claim, before, before_drawn, runs }
    }

    /// A line a look: seed, step, every number and every draw.
    pub fn csv(&self) -> String {
        let points = || self.runs.iter().flat_map(|r| r.points.iter().map(|p| (r.seed, p)));
        let names: BTreeSet<&str> =
            points().flat_map(|(_, p)| p.progress.values.keys().map(String::as_str)).collect();
        let draws: BTreeSet<(&str, usize)> = points()
            .flat_map(|(_, p)| p.progress.null.iter())
            .flat_map(|(name, all)| (0..all.len()).map(move |i| (name.as_str(), i)))
            .collect();
        let head = names.iter().map(|n| (*n).to_owned());
        let head = head.chain(draws.iter().map(|(n, i)| format!("{n} drawn {i}")));
        let head: Vec<String> = head.map(|n| crate::board::quote(&n)).collect();
        let mut text = format!("seed,step,{}\r\n", head.join(","));
        for (seed, p) in points() {
            let values = names.iter().map(|n| p.progress.values.get(*n).copied());
            let null = draws.iter().map(|(n, i)| p.progress.null.get(*n)?.get(*i).copied());
            let row: Vec<String> =
                values.chain(null).map(|x| x.map_or_else(String::new, |x| x.to_string())).collect();
            text.push_str(&format!("{seed},{},{}\r\n", p.step, row.join(",")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        let late = Dated { name: "test", rises: false };
        Claim { early: vec![Dated { name: "excluded", rises: true }], late, by: 1.0 }
    }

    fn followed(excluded: &[f64], test: &[f64], drawn: &[f64]) -> Followed {
        let point = |(i, ((e, t), d)): (usize, ((&f64, &f64), &f64))| Point {
            step: 10 * i,
            progress: Progress {
                values: BTreeMap::from([("excluded".into(), *e), ("test".into(), *t)]),
                null: BTreeMap::from([("excluded".into(), vec![*d, 0.0])]),
            },
        };
        let points = excluded.iter().zip(test).zip(drawn).enumerate().map(point).collect();
        let drawn = vec![Parameters::new(); 2];
        Followed::new((7, "w".into()), (Parameters::new(), drawn), &claim(), points)
    }

    #[test]
    fn what_moved_first_leads_and_what_never_moved_is_not_before() {
        let early = followed(&[2.0, 1.0, 2.0, 3.0], &[4.0, 5.0, 5.0, 3.0], &[2.0, 1.0, 0.5, 0.0]);
        let moved = |f: &Followed| f.early["excluded"].clone();
        let wanted = Moved { at: Some(20), lead: Some(10), drawn: vec![None, None] };
        assert_eq!((moved(&early), early.late), (wanted, Some(30)));
        let late = followed(&[2.0, 1.0, 1.0, 3.0], &[4.0, 5.0, 3.0, 3.0], &[2.0, 3.0, 3.0, 3.0]);
        assert_eq!((moved(&late).lead, moved(&late).drawn), (Some(-10), vec![Some(10), None]));
        let flat = followed(&[1.0; 4], &[4.0, 5.0, 3.0, 3.0], &[1.0; 4]);
        assert_eq!((moved(&flat).at, moved(&flat).lead), (None, None));
        let all = Trainings::new("o", claim(), vec![early, late, flat]);
        let count = |b: &BTreeMap<String, Before>| (b["excluded"].count, b["excluded"].n);
        assert_eq!((count(&all.before), count(&all.before_drawn)), ((1, 3), (1, 6)));
        let csv = all.csv();
        assert_eq!(csv.lines().count(), 13);
        assert!(csv.starts_with("seed,step,excluded,test,excluded drawn 0,excluded drawn 1\r\n"));
        assert!(csv.contains("\r\n7,20,2,5,0.5,0\r\n"), "{csv}");
    }

    #[test]
    fn the_picture_has_every_number_and_dashed_what_other_parts_show() {
        let run = followed(&[2.0, 1.0], &[4.0, 5.0], &[2.0, 1.0]);
        let Figure::LineChart(chart) = run.figure("o", &["excluded", "test"], "nats") else {
            panic!("no curve")
        };
        let names: Vec<(&str, bool)> =
            chart.series.iter().map(|s| (s.name.as_str(), s.dashed)).collect();
        let wanted = [("excluded", false), ("test", false), ("excluded, others drawn", true)];
        assert_eq!(names, wanted);
        assert_eq!(chart.series[2].points, [[0.0, 1.0], [10.0, 0.5]]);
    }
}
