//! The report: a board and its figures as one page that needs nothing else.
//!
//! `report.html` holds its style and its drawings and asks for no other file, so it can be mailed,
//! archived beside the run and read in ten years. It has no script. The page is a pure function of
//! [`ReportData`]: equal data give equal bytes, and no date is printed.
//!
//! Verdicts come first, because they are what a reader came for; then the three tables, each score
//! drawn between its null and its oracle with every seed as a dot; then the figures, each with a
//! caption that says how to read it.
//!
//! ```
//! use flyroom_bench::report::{Figure, FigureGroup, LineChart, ReportData, Series};
//! use flyroom_bench::Board;
//! let data = ReportData {
//!     title: "first-look".into(),
//!     plan: "name = \"first-look\"".into(),
//!     board: Board::from_results(Vec::new()),
//!     verdicts: Vec::new(),
//!     figures: vec![FigureGroup {
//!         heading: "induction".into(),
//!         figures: vec![Figure::LineChart(LineChart {
//!             title: "Learning".into(),
//!             caption: "Lower is better.".into(),
//!             series: vec![Series { name: "seed 0".into(), points: vec![[0.0, 1.0], [10.0, 0.1]], dashed: false }],
//!             ..LineChart::default()
//!         })],
//!         folded: vec![],
//!     }],
//!     provenance: vec![("engine".into(), "0.1.0".into())],
//! };
//! let page = data.to_html();
//! assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
//! assert!(!page.contains("http"));
//! ```

mod figure;
mod matrix;
mod route;
mod svg;
mod table;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use figure::{
    AttentionPatterns, BarChart, BarSeries, CircuitEdge, CircuitGraph, CircuitNode, DecoderPlot,
    EdgeMark, Figure, FigureGroup, Heatmap, Level, LineChart, PatternOfHead, Series, SignedBar,
    SignedBars, Vector,
};

use crate::board::{Board, Role, Status, Table, Tier, Verdict};
use svg::escape;

const STYLE: &str = include_str!("style.css");
/// Colours, and what drawings are made of: also in a picture outside of the page.
const DRAWN: &str = include_str!("drawing.css");

/// Everything that a page is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportData {
    /// The name of the plan.
    pub title: String,
    /// The plan as it was written.
    pub plan: String,
    /// The board.
    pub board: Board,
    /// The verdicts, in the order in which they are printed.
    pub verdicts: Vec<Verdict>,
    /// The figures, in the order in which they are printed.
    pub figures: Vec<FigureGroup>,
    /// What made the run: name and value, in order. No dates and no machine: the page is citable.
    pub provenance: Vec<(String, String)>,
}

impl ReportData {
    /// The whole page.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        let title = escape(&self.title);
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} · flyroom</title>\n<style>\n{DRAWN}{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header>\n<p class=\"kicker\">flyroom report</p>\n<h1>{title}</h1>\n{}</header>\n",
            self.summary()
        );
        page.push_str(&self.faults());
        page.push_str(&self.verdict_section());
        page.push_str(&table::legend(&self.board));
        for table in Table::ALL {
            page.push_str(&table::section(&self.board, table));
        }
        if let Some(ranks) = &self.board.routes {
            page.push_str(&route::section(ranks));
        }
        if let Some(test) = &self.board.crash_test {
            page.push_str(&matrix::section(test));
        }
        page.push_str(&self.figure_sections());
        page.push_str(&self.colophon());
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    /// One line: how much was looked at.
    fn summary(&self) -> String {
        let count = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.dedup();
            names.len()
        };
        let rows = &self.board.rows;
        let organisms = count(rows.iter().map(|r| r.organism.as_str()).collect());
        let of_methods = rows.iter().filter(|r| r.role == Role::Method);
        let methods = count(of_methods.map(|r| r.method.as_str()).collect());
        let plural = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        format!(
            "<p class=\"summary\">{}, {}, {}. Every score stands between its matched null and, where \
             the truth is known, its oracle; every seed is shown.</p>\n",
            plural(organisms, "organism"),
            plural(methods, "method"),
            plural(rows.len(), "row"),
        ) + &match rows.iter().filter(|r| r.status == Status::NotApplicable).count() {
            0 => String::new(),
            n => format!(
                "<p class=\"note\">{n} of the rows are n/a, because the method does not claim what the metric \
                 measures: they are in board.json and board.csv and not on this page. <code>flyroom show RUN ROW</code> \
                 prints the files behind a row.</p>\n"
            ),
        }
    }

    fn faults(&self) -> String {
        let mut text = String::new();
        for (heading, words, lines) in [
            (
                "The board is invalid",
                "A control of the instrument failed. The rows it touches mean nothing until the cause is found.",
                &self.board.faults,
            ),
            ("Refused", "These results could not enter the board.", &self.board.refused),
        ] {
            if lines.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "<section class=\"fault\" role=\"alert\">\n<h2>{heading}</h2>\n<p>{words}</p>\n<ul>\n"
            );
            for line in lines {
                let _ = writeln!(text, "<li>{}</li>", escape(line));
            }
            text.push_str("</ul>\n</section>\n");
        }
        text
    }

    fn verdict_section(&self) -> String {
        if self.verdicts.is_empty() {
            return String::new();
        }
        // Dictionaries claim nothing about effects: they are folded, so that claims are seen first.
        let (parts, claims): (Vec<&Verdict>, Vec<&Verdict>) =
            self.verdicts.iter().partition(|v| v.tier == Tier::None && v.holds.is_none());
        let mut text = String::from("<section>\n<h2>Verdicts</h2>\n");
        text.push_str(&verdict_list(&claims));
        if !parts.is_empty() {
            let open = if claims.is_empty() { " open" } else { "" };
            let _ = write!(
                text,
                "<details{open}>\n<summary>{} on parts alone, without a claim about effects</summary>\n{}</details>\n",
                parts.len(),
                verdict_list(&parts)
            );
        }
        text.push_str(
            "<p class=\"note\">Words are thresholds on the share of the way from null to oracle: right from \
             .9, most or roughly right from .6, some or poor from .25, wrong below. An explanation <i>holds</i> if its \
             effects are right and nothing else is less than most; <i>no claim</i> means that it predicts no effects, \
             <i>not judged</i> that nobody knows the right ones.</p>\n</section>\n",
        );
        text
    }

    fn figure_sections(&self) -> String {
        let mut text = String::new();
        let mut number = 0;
        for group in &self.figures {
            let _ = write!(text, "<section>\n<h2>{}</h2>\n", escape(&group.heading));
            let mut draw = |figures: &[Figure]| {
                let mut drawn = String::from("<div class=\"figures\">\n");
                for figure in figures {
                    number += 1;
                    drawn.push_str(&figure.to_html(number));
                }
                drawn + "</div>\n"
            };
            text.push_str(&draw(&group.figures));
            if !group.folded.is_empty() {
                let count = group.folded.len();
                let _ = write!(
                    text,
                    "<details>\n<summary>{count} more figure{}</summary>\n{}</details>\n",
                    if count == 1 { "" } else { "s" },
                    draw(&group.folded)
                );
            }
            text.push_str("</section>\n");
        }
        text
    }

    /// The tables behind the figures: (file name, comma-separated values), in the order of the page.
    pub fn tables(&self) -> Vec<(String, String)> {
        let all = self.figures.iter().flat_map(|g| g.figures.iter().chain(&g.folded));
        all.enumerate()
            .map(|(i, figure)| (format!("{:02}-{}.csv", i + 1, slug(figure.title())), figure.csv()))
            .collect()
    }

    fn colophon(&self) -> String {
        let mut text = String::from("<section class=\"colophon\">\n<h2>Provenance</h2>\n");
        if !self.provenance.is_empty() {
            text.push_str("<dl>\n");
            for (name, value) in &self.provenance {
                let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
            }
            text.push_str("</dl>\n");
        }
        let _ = write!(
            text,
            "<details>\n<summary>The plan</summary>\n<div class=\"scroll\" tabindex=\"0\"><pre>{}</pre></div>\n</details>\n</section>\n",
            escape(&self.plan)
        );
        text
    }
}

fn verdict_list(verdicts: &[&Verdict]) -> String {
    let mut text = String::from("<ul class=\"verdicts\">\n");
    for verdict in verdicts {
        let (class, word) = match verdict.holds {
            // A control has to fail: one that holds is the bad news.
            Some(true) if verdict.role == Role::Control => ("fails", "holds"),
            Some(false) | None if verdict.role == Role::Control => ("none", "control"),
            Some(true) => ("holds", "holds"),
            Some(false) => ("fails", "fails"),
            None if verdict.tier == Tier::None => ("none", "no claim"),
            None => ("none", "not judged"),
        };
        // The subject in bold, the rest of the sentence as it is.
        let (subject, rest) = verdict.text.split_once(": ").unwrap_or((&verdict.text, ""));
        let rest = rest.strip_prefix("holds: ").unwrap_or(rest);
        let _ = writeln!(
            text,
            "<li><span class=\"mark {class}\">{word}</span><span><b>{}</b> <span class=\"words\">{}</span></span></li>",
            escape(subject),
            escape(rest)
        );
    }
    text + "</ul>\n"
}

/// A title as a file name: small letters, digits and hyphens.
fn slug(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.truncate(60);
    out.trim_end_matches('-').to_owned()
}
