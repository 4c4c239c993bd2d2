//! Mean ranks by construction route on the page.

use std::fmt::Write as _;

use super::svg::escape;
use crate::board::{RouteRank, number};

pub(super) fn section(ranks: &[RouteRank]) -> String {
    let mut text = String::from(
        "<section>\n<h2>Ranks by construction route</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"ranks by construction route\">\n\
         <table class=\"matrix\">\n<thead><tr><th>metric</th><th>route</th><th>method</th><th>mean rank</th>\
         <th>organisms</th><th>seeds</th></tr></thead>\n<tbody>\n",
    );
    let mut last = None;
    for r in ranks {
        let group = (r.table, r.race(), r.route);
        let first = last.as_ref() != Some(&group);
        let (race, route) =
            if first { (escape(&r.race()), r.route.name()) } else { (String::new(), "") };
        last = Some(group);
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{race}</th><td>{route}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&r.method),
            number(r.mean_rank),
            r.organisms,
            r.seeds
        );
    }
    text + "</tbody>\n</table>\n</div>\n<p class=\"note\">Mean of the ranks on the organisms that were made in one way, \
            and on how many of them, with how many specimens, the method has a rank: a method that wins on compiled \
            networks alone has shown nothing about trained ones.</p>\n</section>\n"
}
