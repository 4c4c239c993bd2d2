//! From results to judged and ranked rows. The rules are those of [`super`], in its order.

use std::collections::BTreeMap;

use super::result::{Absent, CellResult, NullTheory, OracleKind, Role, Source, Standing, Tier};
use super::row::{Row, SeedScore, Status};
use super::{Board, FLOAT_FLOOR, HOLDS, SCHEMA, best_first, number};
use crate::statistics::{mean, mean_interval, normal_quantile, paired_difference};

const CONFIDENCE: f64 = 0.95;
/// Digits of a row's id at least.
const LEAST_DIGITS: usize = 4;

/// A row with the results it is made of, while it is judged.
struct Draft {
    row: Row,
    results: Vec<CellResult>,
}

pub(super) fn board(results: Vec<CellResult>) -> Board {
    let mut refused = Vec::new();
    let mut drafts: Vec<Draft> = group(results, &mut refused).into_iter().map(draft).collect();
    let mut faults = Vec::new();
    judge(&mut drafts, &mut faults);
    let mut rows: Vec<Row> = drafts.into_iter().map(|draft| draft.row).collect();
    name(&mut rows);
    let place =
        |row: &Row| (row.table, row.organism.clone(), !row.primary, row.metric.clone(), row.tier);
    rows.sort_by(|a, b| {
        place(a)
            .cmp(&place(b))
            .then(a.rank.unwrap_or(u32::MAX).cmp(&b.rank.unwrap_or(u32::MAX)))
            .then(best_first(a.score, b.score))
            .then(a.longer(b))
            .then_with(|| a.method.cmp(&b.method))
    });
    rank(&mut rows);
    faults.sort();
    faults.dedup();
    refused.sort();
    Board { schema: SCHEMA, rows, routes: None, crash_test: None, faults, refused }
}

/// One group per row, its seeds ascending. A seed that stands twice and a number that is not
/// finite are refused by name: silence would hide a broken run.
fn group(results: Vec<CellResult>, refused: &mut Vec<String>) -> Vec<Vec<CellResult>> {
    let mut groups: BTreeMap<_, BTreeMap<u64, CellResult>> = BTreeMap::new();
    // By content, so that of two results for one seed the same one stays whatever came first.
    let mut results: Vec<(String, CellResult)> =
        results.into_iter().map(|r| (crate::canonical::of(&r).unwrap_or_default(), r)).collect();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, mut result) in results {
        let name =
            format!("{} on {}/{}: {}", result.method, result.organism, result.seed, result.metric);
        let numbers = [result.score, result.null, result.oracle];
        if numbers.iter().flatten().any(|x| !x.is_finite()) {
            refused.push(format!("{name}: a number is not finite"));
            result.score = None;
            result.null = result.null.filter(|x| x.is_finite());
            result.oracle = result.oracle.filter(|x| x.is_finite());
            result.absent = Some(Absent::Untestable);
            result.reason = Some("a number is not finite".to_owned());
        }
        let row = (
            result.table,
            result.organism.clone(),
            result.metric.clone(),
            result.tier,
            result.method.clone(),
        );
        let seeds = groups.entry(row).or_default();
        match seeds.get(&result.seed) {
            None => {
                seeds.insert(result.seed, result);
            }
            Some(there) if *there == result => {}
            Some(_) => refused.push(format!("{name}: two different results for one seed")),
        }
    }
    groups.into_values().map(|seeds| seeds.into_values().collect()).collect()
}

fn draft(results: Vec<CellResult>) -> Draft {
    let first = &results[0];
    // The worst standing of any seed is the row's.
    let standing = results.iter().map(|r| r.standing).max().unwrap_or(first.standing);
    let scored: Vec<&CellResult> = results.iter().filter(|r| r.score.is_some()).collect();
    let of = |field: fn(&CellResult) -> Option<f64>| {
        scored.iter().filter_map(|r| field(r)).collect::<Vec<f64>>()
    };
    let (scores, nulls, oracles) = (of(|r| r.score), of(|r| r.null), of(|r| r.oracle));
    let complete = |values: &[f64]| values.len() == scores.len() && !values.is_empty();
    let row = Row {
        id: String::new(),
        table: first.table,
        organism: first.organism.clone(),
        method: first.method.clone(),
        metric: first.metric.clone(),
        primary: first.primary,
        role: first.role,
        tier: first.tier,
        source: first.source,
        standing,
        machine_dependent: results.iter().any(|r| r.machine_dependent),
        score: mean(&scores),
        interval: mean_interval(&scores, CONFIDENCE),
        // A mean over some of the seeds would be compared with a mean over all of them.
        null: mean(&nulls).filter(|_| complete(&nulls)),
        oracle: mean(&oracles).filter(|_| complete(&oracles)),
        oracle_kind: if complete(&oracles) { first.oracle_kind } else { OracleKind::None },
        above_null: paired_difference(&scores, &nulls, CONFIDENCE),
        seeds: results
            .iter()
            .map(|r| SeedScore {
                seed: r.seed,
                score: r.score,
                null: r.null,
                oracle: r.oracle,
                details: r.details.clone(),
            })
            .collect(),
        status: Status::Ranked,
        rank: None,
        blame: most_common(results.iter().filter_map(|r| r.blame.as_deref())),
        reason: failures(&results)
            .or_else(|| most_common(results.iter().filter_map(|r| r.reason.as_deref()))),
        unit: first.unit.clone(),
    };
    Draft { row, results }
}

/// Which seeds of a row failed, and why the first did.
fn failures(results: &[CellResult]) -> Option<String> {
    let failed: Vec<&CellResult> =
        results.iter().filter(|r| r.absent == Some(Absent::Failed)).collect();
    let why = failed.first()?.reason.as_deref().unwrap_or("");
    // The way out stands where the failure was reported; a table has one line.
    let why = why.lines().next().unwrap_or("");
    let seeds: Vec<String> = failed.iter().map(|r| r.seed.to_string()).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    Some(format!("{noun} {} of {}: {why}", seeds.join(", "), results.len()))
}

/// The shortest ids, of [`LEAST_DIGITS`] at least, that tell all rows apart.
fn name(rows: &mut [Row]) {
    let ids: Vec<String> = rows.iter().map(Row::id_of).collect();
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    for (row, id) in rows.iter_mut().zip(&ids) {
        let at = sorted.partition_point(|other| other < &id.as_str());
        // Ids are sorted, so the nearest ones are the neighbours.
        let before = at.checked_sub(1).and_then(|i| sorted.get(i)).map_or(0, |b| shared(b, id));
        let behind = sorted.get(at + 1).map_or(0, |b| shared(id, b));
        let digits = (before.max(behind) + 1).max(LEAST_DIGITS);
        row.id = id.chars().take(digits).collect();
    }
}

fn most_common<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    // The first in the alphabet of equals.
    counts
        .into_iter()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(word, _)| word.to_owned())
}

fn judge(drafts: &mut [Draft], faults: &mut Vec<String>) {
    let null_checks = drafts.iter().filter(|d| d.null_theory().is_some()).count();
    let oracle_checks = drafts.iter().filter(|d| d.has_exact_truth()).count();
    let mut broken_groups = BTreeMap::new();
    for draft in drafts.iter() {
        if let Some(fault) = draft.beats_the_truth(confidence(oracle_checks)) {
            faults.push(fault.clone());
            broken_groups.entry(draft.group()).or_insert(fault);
        }
    }
    for row in drafts.iter().map(|d| &d.row).filter(|r| r.role == Role::Control) {
        if row.position().is_some_and(|p| p >= HOLDS) {
            faults
                .push(format!("{} on {} is wrong on purpose and holds", row.method, row.organism));
        }
    }
    for draft in drafts.iter_mut() {
        let off_theory = draft.null_off_theory(confidence(null_checks));
        faults.extend(off_theory.clone());
        let broken = off_theory.or_else(|| broken_groups.get(&draft.group()).cloned());
        draft.row.status = draft.status(broken.is_some());
        if draft.row.status == Status::Invalid {
            draft.row.reason = broken;
        }
    }
}

/// 95 % for all checks together.
fn confidence(checks: usize) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / checks.max(1) as f64
}

impl Draft {
    fn group(&self) -> (super::Table, String, String, Tier) {
        (self.row.table, self.row.organism.clone(), self.row.metric.clone(), self.row.tier)
    }

    fn name(&self) -> String {
        format!("{} on {}, {}", self.row.method, self.row.organism, self.row.metric)
    }

    fn status(&self, broken: bool) -> Status {
        let row = &self.row;
        if self.results.iter().any(|r| r.absent == Some(Absent::Failed)) {
            return Status::Failed;
        }
        let (Some(score), null) = (row.score, row.null) else {
            let untestable = self.results.iter().any(|r| r.absent == Some(Absent::Untestable));
            return if untestable { Status::Untestable } else { Status::NotApplicable };
        };
        if row.tier == Tier::Whole {
            return Status::Ceiling;
        }
        match row.role {
            Role::Truth => return Status::Truth,
            Role::Control => return Status::Control,
            Role::Method => {}
        }
        let Some(null) = null else { return Status::Uncontrolled };
        if broken {
            return Status::Invalid;
        }
        match row.above_null.and_then(|d| d.interval) {
            Some([low, high]) if low <= FLOAT_FLOOR && high >= -FLOAT_FLOOR => {
                return Status::AtNull;
            }
            _ if score < null - FLOAT_FLOOR => {
                let reached = self.null_reaches(null - score);
                return if reached { Status::AtNull } else { Status::BelowNull };
            }
            _ if score <= null + FLOAT_FLOOR => return Status::AtNull,
            _ => {}
        }
        if self.results.iter().any(|r| r.circular) {
            return Status::Circular;
        }
        if row.source == Source::ReverseEngineered || row.standing == Standing::Contested {
            return Status::Claim;
        }
        if self.results.iter().filter(|r| r.score.is_some()).count() < 2 {
            return Status::Single;
        }
        match row.oracle {
            _ if !row.primary => Status::Beside,
            None => Status::NoTruth,
            Some(_) => Status::Ranked,
        }
    }

    /// Whether the mean of as many draws of the null as there are seeds lies as far below the null, in 95 % of
    /// all cases. Where nearly all draws are 0, so is a score without knowledge on every seed: the seeds alone
    /// show no spread, and the mean of the null is a little more than 0.
    fn null_reaches(&self, below: f64) -> bool {
        let scored = self.results.iter().filter(|r| r.score.is_some());
        let Some(spreads) = scored.map(|r| r.null_spread).collect::<Option<Vec<f64>>>() else {
            return false;
        };
        let variance: f64 = spreads.iter().map(|s| s * s).sum();
        let of_mean = variance.sqrt() / spreads.len() as f64;
        below <= normal_quantile(0.5 + 0.5 * CONFIDENCE) * of_mean + FLOAT_FLOOR
    }

    fn has_exact_truth(&self) -> bool {
        let row = &self.row;
        row.standing == Standing::Exact
            && row.oracle_kind == OracleKind::Truth
            && row.tier != Tier::Whole
            && row.score.is_some()
    }

    /// The exact truth scores below the method, by more than the interval of their difference. One
    /// specimen has no interval and decides nothing.
    fn beats_the_truth(&self, confidence: f64) -> Option<String> {
        if !self.has_exact_truth() {
            return None;
        }
        let scored = || self.results.iter().filter(|r| r.score.is_some());
        let scores: Vec<f64> = scored().filter_map(|r| r.score).collect();
        let oracles: Vec<f64> = scored().filter_map(|r| r.oracle).collect();
        let difference = paired_difference(&scores, &oracles, confidence)?;
        difference.above(FLOAT_FLOOR).then(|| {
            let by = number(difference.mean);
            format!("{}: the exact truth scores {by} less than the method", self.name())
        })
    }

    fn null_theory(&self) -> Option<NullTheory> {
        let theory = self.results.first()?.null_theory?;
        self.results.iter().any(|r| r.null.is_some()).then_some(theory)
    }

    /// The null's interval excludes its theoretical value: over seeds where there are two or more,
    /// else over the draws of the one seed.
    fn null_off_theory(&self, confidence: f64) -> Option<String> {
        let theory = self.null_theory()?;
        let nulls: Vec<f64> = self.results.iter().filter_map(|r| r.null).collect();
        let over_draws = self.results.iter().find_map(|r| r.null_interval);
        let [low, high] = mean_interval(&nulls, confidence).or(over_draws)?;
        let (off, words) = match theory {
            NullTheory::Equals(v) => (low > v + FLOAT_FLOOR || high < v - FLOAT_FLOOR, number(v)),
            NullTheory::AtMost(v) => (low > v + FLOAT_FLOOR, format!("at most {}", number(v))),
        };
        off.then(|| {
            let interval = format!("{} to {}", number(low), number(high));
            format!("{}: the null lies at {interval} and should be {words}", self.name())
        })
    }
}

/// Ranks within neighbours of the same (table, organism, metric, tier); rows are sorted already.
fn rank(rows: &mut [Row]) {
    let group = |row: &Row| (row.table, row.organism.clone(), row.metric.clone(), row.tier);
    let mut start = 0;
    while start < rows.len() {
        let length =
            rows[start..].iter().take_while(|row| group(row) == group(&rows[start])).count();
        let rows_of_group = &mut rows[start..start + length];
        // Rows without truth compete by their difference to the null, among themselves.
        for (status, value) in [
            (Status::Ranked, (|row: &Row| row.score) as fn(&Row) -> Option<f64>),
            (Status::NoTruth, |row: &Row| row.above_null.map(|d| d.mean)),
        ] {
            let here = |r: &&Row| r.status == status;
            // Of two with equal scores the one that takes fewer bits is the better.
            let better = |of: &Row, than: &Row| match (value(of), value(than)) {
                (Some(v), Some(own)) if (v - own).abs() <= FLOAT_FLOOR => of.longer(than).is_lt(),
                (Some(v), Some(own)) => v > own,
                _ => false,
            };
            let ranks: Vec<Option<u32>> = rows_of_group
                .iter()
                .map(|row| {
                    value(row).filter(|_| here(&row))?;
                    let above = rows_of_group.iter().filter(here).filter(|r| better(r, row));
                    Some(above.count() as u32 + 1)
                })
                .collect();
            for (row, rank) in rows_of_group.iter_mut().zip(ranks) {
                row.rank = rank.or(row.rank);
            }
        }
        rows_of_group.sort_by_key(|row| row.rank.unwrap_or(u32::MAX));
        start += length;
    }
}
