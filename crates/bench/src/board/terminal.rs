//! The board as text: three aligned tables of at most 100 columns, then the verdicts.

use super::matrix::{Word, short};
use super::{Board, CrashTest, RouteRank, Row, Status, Table, Tier, number};

/// The widest line.
const WIDTH: usize = 100;
/// Organism and method keep at least this much of their names.
const LEAST: usize = 8;
/// Widest heading of the score.
const HEADING: usize = 15;

pub(super) fn board(board: &Board) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let rows: Vec<&Row> =
            board.table(table).filter(|row| row.status != Status::NotApplicable).collect();
        if rows.is_empty() && !table.is_always_shown() {
            continue;
        }
        text.push_str(&format!("{}\n", table.question()));
        if rows.is_empty() {
            text.push_str("  nothing here: no method of this run claims it\n\n");
            continue;
        }
        let mut metrics: Vec<(bool, &str)> =
            rows.iter().map(|r| (!r.primary, r.metric.as_str())).collect();
        metrics.sort_unstable();
        metrics.dedup_by_key(|m| m.1);
        for (_, metric) in metrics {
            let of_metric: Vec<&Row> =
                rows.iter().copied().filter(|r| r.metric == metric).collect();
            text.push_str(&grid(metric, &of_metric));
        }
        text.push('\n');
    }
    if let Some(ranks) = &board.routes {
        text.push_str(&by_route(ranks));
    }
    if let Some(test) = &board.crash_test {
        text.push_str(&crash_test(test));
    }
    let verdicts = board.verdicts();
    if !verdicts.is_empty() {
        text.push_str("Verdicts\n");
        for verdict in verdicts {
            text.push_str(&wrap(&verdict.text));
        }
    }
    let failed: Vec<&Row> = board.rows.iter().filter(|r| r.status == Status::Failed).collect();
    if !failed.is_empty() {
        text.push_str("\nFailed\n");
        for row in failed {
            let why = row.reason.as_deref().unwrap_or("");
            let Row { id, method, organism, metric, .. } = row;
            text.push_str(&wrap(&format!("{id} {method} on {organism}, {metric}: {why}")));
        }
    }
    let mut dependent: Vec<&str> =
        board.rows.iter().filter(|r| r.machine_dependent).map(|r| r.organism.as_str()).collect();
    dependent.sort_unstable();
    dependent.dedup();
    if !dependent.is_empty() {
        text.push('\n');
        text.push_str(&wrap(&format!(
            "machine-dependent, because a program of somebody else had a part in them (board.json \
             marks the rows): {}",
            dependent.join(", ")
        )));
    }
    let silent = board.rows.iter().filter(|r| r.status == Status::NotApplicable).count();
    if silent > 0 {
        text.push_str(&format!(
            "\n{silent} rows are n/a; their reasons are in board.json and board.csv\n"
        ));
    }
    for (heading, lines) in [("The board is invalid", &board.faults), ("Refused", &board.refused)] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{heading}\n"));
            lines.iter().for_each(|line| text.push_str(&wrap(line)));
        }
    }
    text
}

/// Mean ranks, a line for each metric and route.
fn by_route(ranks: &[RouteRank]) -> String {
    let mut text = String::from(
        "Mean ranks by construction route (organisms with a rank, specimens behind them)\n",
    );
    let race = |r: &RouteRank| (r.table, r.race(), r.route);
    let of_race = ranks.iter().map(|r| r.race().chars().count()).max().unwrap_or(0);
    let of_route = ranks.iter().map(|r| r.route.name().len()).max().unwrap_or(0);
    for group in ranks.chunk_by(|a, b| race(a) == race(b)) {
        let methods = group.iter().map(|r| {
            format!("{} {} ({}, {})", r.method, number(r.mean_rank), r.organisms, r.seeds)
        });
        let (race, route) = (group[0].race(), group[0].route.name());
        let line = format!(
            "{race:<of_race$} {route:<of_route$} {}",
            methods.collect::<Vec<_>>().join(", ")
        );
        text.push_str(&wrap(&line));
    }
    text + "\n"
}

/// Methods by traps, in as many blocks of columns as the width asks for.
fn crash_test(test: &CrashTest) -> String {
    let mut text = String::from(
        "Which methods do the traps break? (share of the way from null to oracle; * made for it)\n",
    );
    if test.methods.is_empty() {
        return text + "  nothing here: no method of this run has a score on a trap\n\n";
    }
    let of_methods = test.methods.iter().map(|m| m.chars().count()).max().unwrap_or(0).max(6);
    let columns: Vec<(&str, Vec<String>, usize)> = test
        .traps
        .iter()
        .map(|c| {
            let entry = |m: &String| test.entry(m, &c.trap).map(|e| e.text()).unwrap_or_default();
            let entries: Vec<String> = test.methods.iter().map(entry).collect();
            let heading = short(&c.trap);
            let widest = entries.iter().map(|e| e.chars().count()).max().unwrap_or(0);
            (heading, entries, widest.max(heading.chars().count()))
        })
        .collect();
    let mut rest = &columns[..];
    while !rest.is_empty() {
        let mut width = 2 + of_methods;
        let fits = |c: &&(&str, Vec<String>, usize)| {
            width += 2 + c.2;
            width <= WIDTH
        };
        let (block, behind) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = behind;
        let mut line = |first: &str, cells: &dyn Fn(usize) -> String| {
            let mut out = format!("  {first:<of_methods$}");
            for (i, (_, _, width)) in block.iter().enumerate() {
                out.push_str(&format!("  {:<width$}", cells(i)));
            }
            text.push_str(&clip(out.trim_end(), WIDTH));
            text.push('\n');
        };
        line("method", &|i| block[i].0.to_owned());
        line(&"─".repeat(of_methods), &|i| "─".repeat(block[i].2));
        let none = Word::NotApplicable.name();
        for (m, method) in test.methods.iter().enumerate() {
            // A block shows who has a score in it.
            if block.iter().any(|c| c.1[m] != none) {
                line(method, &|i| block[i].1[m].clone());
            }
        }
        text.push('\n');
    }
    let without = test.traps.iter().filter(|c| c.control.is_none()).map(|c| short(&c.trap));
    let without: Vec<&str> = without.collect();
    if !without.is_empty() {
        text.push_str(&wrap(&format!(
            "without their control arms (armed = false), so that nothing is said to break: {}",
            without.join(", ")
        )));
    }
    test.unexpected.iter().for_each(|u| text.push_str(&wrap(&format!("unexpected: {u}"))));
    if !(without.is_empty() && test.unexpected.is_empty()) {
        text.push('\n');
    }
    text
}

/// One metric's rows. The score column takes its interval, so `0.912 ± 0.034`.
fn grid(metric: &str, rows: &[&Row]) -> String {
    let unit = rows.iter().map(|r| r.unit.as_str()).find(|u| !u.is_empty());
    let heading = unit.map_or_else(|| metric.to_owned(), |unit| format!("{metric} ({unit})"));
    let heading = clip(&heading, HEADING);
    let over = rows.first().map_or("seeds", |r| r.table.over());
    let header = ["row", "organism", "method", "tier", &heading, "null", "oracle", over, "status"]
        .map(str::to_owned);
    let mut lines = vec![header];
    let mut last = "";
    for row in rows {
        let organism = if row.organism == last { String::new() } else { row.organism.clone() };
        last = &row.organism;
        let tier = if row.tier == Tier::None { "" } else { row.tier.name() };
        let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        lines.push([
            row.id.clone(),
            organism,
            row.method.clone(),
            tier.to_owned(),
            score(row),
            optional(row.null),
            optional(row.oracle),
            row.seeds.iter().filter(|s| s.score.is_some()).count().to_string(),
            match row.rank {
                Some(rank) => format!("{}, {rank}", row.status.name()),
                None => row.status.name().to_owned(),
            },
        ]);
    }
    let mut widths = [0; 9];
    for line in &lines {
        for (width, field) in widths.iter_mut().zip(line) {
            *width = (*width).max(field.chars().count());
        }
    }
    // Where access is no part of the score the column goes.
    if lines[1..].iter().all(|line| line[3].is_empty()) {
        widths[3] = 0;
    }
    // The longer of the two names gives way; numbers and the status are never cut.
    let line_width = |widths: &[usize; 9]| {
        1 + widths.iter().filter(|w| **w > 0).map(|w| w + 2).sum::<usize>() - 1
    };
    while line_width(&widths) > WIDTH && widths[1].max(widths[2]) > LEAST {
        let longer = 1 + usize::from(widths[2] > widths[1]);
        widths[longer] -= 1;
    }
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let mut out = String::from(" ");
        for (i, (field, width)) in line.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right, so that points stand under points.
            if width == 0 {
                continue;
            }
            let field = if i < 3 { clip(field, width) } else { field.clone() };
            let numeric = (4..8).contains(&i);
            out.push_str(&if numeric {
                format!(" {field:>width$} ")
            } else {
                format!(" {field:<width$} ")
            });
        }
        text.push_str(&clip(out.trim_end(), WIDTH));
        text.push('\n');
        if n == 0 {
            let columns = widths.iter().filter(|w| **w > 0);
            let rule = columns.map(|w| w + 2).sum::<usize>().saturating_sub(2);
            text.push_str(&format!("  {}\n", "─".repeat(rule.min(WIDTH - 2))));
        }
    }
    text
}

/// The score with the longer arm of its interval.
fn score(row: &Row) -> String {
    match (row.score, row.interval) {
        (Some(score), Some([low, high])) => {
            format!("{} ± {}", number(score), number((high - score).max(score - low)))
        }
        // Room for what is not there, so that the numbers stay under each other.
        (Some(score), None) => format!("{}        ", number(score)),
        (None, _) => "-        ".to_owned(),
    }
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks at spaces; what follows is indented.
fn wrap(text: &str) -> String {
    let mut lines = Vec::new();
    let mut line = String::from(" ");
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && !line.trim().is_empty() {
            lines.push(std::mem::replace(&mut line, "    ".to_owned()));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines.into_iter().map(|line| line + "\n").collect()
}
