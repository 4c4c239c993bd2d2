//! The three tables of the page, each score as a bar between its null and its oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::svg::{at, escape};
use crate::board::{Board, HOLDS, Row, Status, Table, Tier, number};

/// The bar's size in pixels, and what part of the way from null (0) to oracle (1) it shows.
const BAR: [f64; 2] = [190.0, 26.0];
const SHOWN: [f64; 2] = [-0.25, 1.1];

pub(super) fn section(board: &Board, table: Table) -> String {
    let rows: Vec<&Row> =
        board.table(table).filter(|row| row.status != Status::NotApplicable).collect();
    if rows.is_empty() && !table.is_always_shown() {
        return String::new();
    }
    let mut text = format!("<section>\n<h2>{}</h2>\n", table.question());
    if rows.is_empty() {
        text.push_str("<p class=\"note\">No method of this run claims it.</p>\n</section>\n");
        return text;
    }
    let mut metrics: Vec<(bool, &str)> =
        rows.iter().map(|r| (!r.primary, r.metric.as_str())).collect();
    metrics.sort_unstable();
    metrics.dedup_by_key(|m| m.1);
    for (_, metric) in metrics {
        let of_metric: Vec<&Row> = rows.iter().copied().filter(|r| r.metric == metric).collect();
        text.push_str(&grid(metric, &of_metric));
    }
    text.push_str("</section>\n");
    text
}

fn grid(metric: &str, rows: &[&Row]) -> String {
    let unit = rows.iter().map(|r| r.unit.as_str()).find(|u| !u.is_empty());
    let unit =
        unit.map(|u| format!(" <span class=\"unit\">{}</span>", escape(u))).unwrap_or_default();
    let over = rows.first().map_or("seeds", |r| r.table.over());
    let mut text = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n\
         <caption>{0}{unit}</caption>\n<colgroup><col class=\"id\"><col class=\"organism\"><col class=\"method\"><col class=\"bar\">\
         <col class=\"score\"><col class=\"number\"><col class=\"number\"><col class=\"few\"><col></colgroup>\n<thead><tr><th>row</th><th>organism</th><th>method</th>\
         <th class=\"bar\"><span>null</span><span>oracle</span></th><th class=\"n\">score</th>\
         <th class=\"n\">null</th><th class=\"n\">oracle</th><th class=\"n\">{over}</th><th class=\"status\">status</th></tr></thead>\n<tbody>\n",
        escape(metric)
    );
    let mut last = "";
    for row in rows {
        let first = row.organism != last;
        last = &row.organism;
        text.push_str(&line(row, first));
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
    text
}

fn line(row: &Row, first: bool) -> String {
    let organism = if first { escape(&row.organism) } else { String::new() };
    let tier = if row.tier == Tier::None {
        String::new()
    } else {
        format!(" <span class=\"tier\">{}</span>", row.tier.name())
    };
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let interval = row.interval.zip(row.score).map(|([low, high], score)| {
        format!("<span class=\"pm\"> ± {}</span>", number((high - score).max(score - low)))
    });
    let rank = row.rank.map(|rank| format!("<b class=\"rank\">{rank}</b> ")).unwrap_or_default();
    let words = [
        row.reason.as_deref().map(str::to_owned),
        row.blame.as_deref().map(|b| format!("blame: {b}")),
        // Where nothing is missing there is no weakest.
        worst_family(row)
            .filter(|_| row.position().is_none_or(|p| p < HOLDS))
            .map(|f| format!("weakest on {f}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().map(|w| escape(&w)).collect();
    let words = if words.is_empty() {
        String::new()
    } else {
        format!("<small>{}</small>", words.join("; "))
    };
    let class = match row.status {
        Status::Ranked | Status::NoTruth => "good",
        Status::Invalid | Status::BelowNull | Status::Uncontrolled => "bad",
        _ => "plain",
    };
    let size = bits(row).map(|b| format!("<small>{b}</small>")).unwrap_or_default();
    let oracle_kind =
        row.oracle.map(|_| format!(" title=\"{}\"", row.oracle_kind.name())).unwrap_or_default();
    format!(
        "<tr{}><td class=\"id\"><code>{}</code></td><th scope=\"row\">{organism}</th><td class=\"method\">{}{tier}{size}</td><td class=\"bar\">{}</td><td class=\"n\">{}{}</td>\
         <td class=\"n\">{}</td><td class=\"n\"{oracle_kind}>{}</td><td class=\"n\">{}</td>\
         <td class=\"status {class}\" title=\"{}\">{rank}{}{words}</td></tr>\n",
        if first { " class=\"first\"" } else { "" },
        escape(&row.id),
        escape(&row.method),
        bar(row),
        optional(row.score),
        interval.unwrap_or_default(),
        optional(row.null),
        optional(row.oracle),
        row.seeds.iter().filter(|s| s.score.is_some()).count(),
        row.status.meaning(),
        row.status.name(),
    )
}

/// Code length of an explanation, mean over seeds.
fn bits(row: &Row) -> Option<String> {
    let [once, rate] = row.bits()?;
    let rate = if rate > 0.0 { format!(", {rate:.1} a token") } else { String::new() };
    Some(format!("{} bits{rate}", thousands(once)))
}

/// A whole number with a comma before every three digits.
fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// The family of questions that most seeds were weakest on.
fn worst_family(row: &Row) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for s in &row.seeds {
        if let Some(family) = s.details.get("worst_family").and_then(|f| f.as_str()) {
            *counts.entry(family).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|c| c.1).map(|c| c.0.to_owned())
}

/// The bar: null and oracle are where every row has them, so rows compare at a glance.
fn bar(row: &Row) -> String {
    let [width, height] = BAR;
    let middle = height / 2.0;
    let place = |share: f64| {
        let share = share.clamp(SHOWN[0], SHOWN[1]);
        5.0 + (share - SHOWN[0]) / (SHOWN[1] - SHOWN[0]) * (width - 10.0)
    };
    let (null, oracle) = (place(0.0), place(1.0));
    let Some(mean) = row.position() else {
        let why = match (row.score, row.null, row.oracle) {
            (None, _, _) => "no score",
            (_, None, _) => "no null",
            (_, _, None) => "no oracle",
            _ => "the oracle is no better than the null",
        };
        return format!("<span class=\"nobar\">{why}</span>");
    };
    let seeds: Vec<f64> = row.seeds.iter().filter_map(|s| row.position_of(s)).collect();
    let mut text = format!(
        "<svg class=\"scorebar\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{:.0} % of the way from null to oracle\"><title>{:.0} % of the way from null to oracle</title>",
        100.0 * mean,
        100.0 * mean
    );
    let _ = write!(
        text,
        "<line class=\"track\" x1=\"{}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\"/>",
        at(null),
        at(oracle)
    );
    let (left, right) = (null.min(place(mean)), null.max(place(mean)));
    let class = if mean < 0.0 { "fill below" } else { "fill" };
    let _ = write!(
        text,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"8\"/>",
        at(left),
        at(middle - 4.0),
        at((right - left).max(0.5))
    );
    for end in [null, oracle] {
        let _ = write!(
            text,
            "<line class=\"end\" x1=\"{0}\" x2=\"{0}\" y1=\"4\" y2=\"{1}\"/>",
            at(end),
            at(height - 4.0)
        );
    }
    if let (Some([low, high]), Some(null), Some(oracle)) = (row.interval, row.null, row.oracle) {
        let share = |score: f64| (score - null) / (oracle - null);
        let _ = write!(
            text,
            "<line class=\"arm\" x1=\"{}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\"/>",
            at(place(share(low))),
            at(place(share(high)))
        );
    }
    for (seed, share) in seeds.iter().enumerate() {
        // A little apart, so that equal seeds are seen to be several.
        let shift = if seeds.len() > 1 { (seed % 3) as f64 * 2.0 - 2.0 } else { 0.0 };
        let class = if (SHOWN[0]..=SHOWN[1]).contains(share) { "dot" } else { "dot outside" };
        let _ = write!(
            text,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"2.6\"/>",
            at(place(*share)),
            at(middle + shift)
        );
    }
    text.push_str("</svg>");
    text
}

/// What the bars and the statuses on this page mean.
pub(super) fn legend(board: &Board) -> String {
    let statuses: BTreeSet<Status> =
        board.rows.iter().map(|row| row.status).filter(|s| *s != Status::NotApplicable).collect();
    if statuses.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<section class=\"legend\">\n<h2>How to read the tables</h2>\n<p>A bar starts at the score of the row's null \
         (left tick) and ends at the mean over seeds; the right tick is the oracle; a red bar runs below the null. Each dot is one specimen; a hollow \
         dot lies beyond the edge, where lines are cut too. The thin line, and ±, its longer arm, are the 95 % interval over seeds: Student's t below \
         8 seeds, BCa bootstrap from 8. Bits are the length of an explanation in a code that names its parts, their wiring \
         and the weights that it calls; <i>weakest on</i> names the family of interventions that it predicts worst. Ranks compare methods on one \
         organism by one metric within one tier of access; the three tables are never added up.</p>\n<dl>\n",
    );
    for status in statuses {
        let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", status.name(), status.meaning());
    }
    text.push_str("</dl>\n</section>\n");
    text
}
