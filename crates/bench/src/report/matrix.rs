//! The crash test on the page: methods by traps, each entry a word with its number.

use std::fmt::Write as _;

use super::svg::escape;
use crate::board::matrix::{CrashTest, Entry, Word, short};

pub(super) fn section(test: &CrashTest) -> String {
    let mut text = String::from("<section>\n<h2>Which methods do the traps break?</h2>\n");
    if test.methods.is_empty() {
        text.push_str(
            "<p class=\"note\">No method of this run has a score on a trap.</p>\n</section>\n",
        );
        return text;
    }
    text.push_str(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"crash test\">\n\
         <table class=\"matrix\">\n<thead><tr><th>method</th>",
    );
    for c in &test.traps {
        let _ =
            write!(text, "<th title=\"{}\">{}</th>", escape(&c.symptom), escape(short(&c.trap)));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for method in &test.methods {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escape(method));
        for c in &test.traps {
            text.push_str(&test.entry(method, &c.trap).map(cell).unwrap_or_default());
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
    text.push_str(
        "<p class=\"note\">The number is the share of the way from null to oracle, mean over seeds; a star stands \
         where the trap was made to break the method. The control arm is the same network but for what breaks \
         it.</p>\n<dl>\n",
    );
    let there = |w: &&Word| test.entries.iter().any(|e| e.word == **w);
    for word in Word::ALL.iter().filter(there) {
        let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", word.name(), word.meaning());
    }
    for c in &test.traps {
        let control = match &c.control {
            Some(_) => "",
            None => " Its control arm is not in this run.",
        };
        let _ = writeln!(
            text,
            "<dt>{}</dt><dd>{}.{control}</dd>",
            escape(short(&c.trap)),
            escape(&c.symptom)
        );
    }
    text.push_str("</dl>\n");
    for line in &test.unexpected {
        let _ = writeln!(text, "<p class=\"note\">Unexpected: {}.</p>", escape(line));
    }
    text + "</section>\n"
}

fn cell(e: &Entry) -> String {
    let class = match e.word {
        Word::Holds => "good",
        Word::Breaks => "bad",
        Word::Low | Word::Mixed => "poor",
        Word::NotApplicable => "plain",
    };
    let several =
        |x: &[f64]| x.iter().map(|s| crate::board::number(*s)).collect::<Vec<_>>().join(", ");
    let title = match &e.metric {
        Some(metric) => format!(
            "{metric}, seeds: {}; control arm: {}",
            several(&e.shares),
            if e.control.is_empty() { "not in this run".to_owned() } else { several(&e.control) }
        ),
        None => "no score".to_owned(),
    };
    format!("<td class=\"{class}\" title=\"{}\">{}</td>", escape(&title), escape(&e.text()))
}
