//! The pages of `docs/` and the words of the glossary, as they were when the binary was built.

const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

const GLOSSARY: &str = include_str!("../../../GLOSSARY.md");

/// The path and the text of the page of a name: one that has it in a heading, or in its own name.
pub fn page(name: &str) -> Option<(&'static str, &'static str)> {
    let base = name.split('@').next().unwrap_or(name);
    let stem = |path: &str| path.rsplit('/').next().map(|n| n.trim_end_matches(".md") == base);
    let named = PAGES.iter().find(|(path, _)| stem(path) == Some(true));
    named.or_else(|| PAGES.iter().find(|(_, text)| heads(text).any(|n| n == base))).copied()
}

/// The names in the headings of a page, separated by commas, code marks aside.
fn heads(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    let headings = page.lines().filter(move |line| {
        fenced ^= line.starts_with("```");
        !fenced && (line.starts_with("# ") || line.starts_with("## "))
    });
    let name = |n| str::trim_matches(str::trim(n), '`');
    headings.flat_map(move |h| h.trim_start_matches('#').split(',').map(name))
}

/// What the glossary says of a word: the heading of the table, and the rest of its line.
pub fn meanings(word: &str) -> Vec<(&'static str, String)> {
    let mut found = vec![];
    for (heading, head, cells) in glossary() {
        let is = |cell: &str| plain(cell).any(|w| w == word.to_lowercase());
        if is(cells[0]) {
            found.push((heading, cells[1..].join("; ")));
        } else if let Some(at) = cells.iter().position(|cell| cells.len() > 2 && is(cell)) {
            // A table of several columns of words: the first says when, the head for what.
            found.push((heading, format!("{} {} ({})", head[0], cells[0], head[at])));
        }
    }
    found
}

/// What the glossary says of the longest of its words that stands in a phrase, as a verdict's.
pub fn within(phrase: &str) -> Vec<(&'static str, String)> {
    let phrase = format!(" {} ", phrase.to_lowercase().replace([',', ';'], " "));
    let mut words = words();
    words.retain(|w| w.len() > 3 && phrase.contains(&format!(" {w} ")));
    words.sort_by_key(|w| std::cmp::Reverse(w.len()));
    words.first().map(|w| meanings(w)).unwrap_or_default()
}

/// All words that the glossary explains.
pub fn words() -> Vec<String> {
    let first = |(_, _, cells): (_, _, Vec<&'static str>)| cells[0];
    glossary().map(first).flat_map(plain).collect()
}

/// The words of a cell, separated by commas, code marks aside, in small letters.
fn plain(cell: &str) -> impl Iterator<Item = String> {
    cell.split(',').map(|w| w.trim().trim_matches('`').to_lowercase())
}

/// Lines of the glossary's tables: the heading above, the head of the table, the cells.
fn glossary() -> impl Iterator<Item = (&'static str, Vec<&'static str>, Vec<&'static str>)> {
    let cells = |line: &'static str| -> Option<Vec<&'static str>> {
        let row = line.strip_prefix("| ")?.trim_end().trim_end_matches('|');
        Some(row.split(" | ").map(str::trim).collect())
    };
    let mut heading = "";
    let mut head: Option<Vec<&str>> = None;
    GLOSSARY.lines().filter_map(move |line| {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        }
        if !line.starts_with('|') {
            head = None;
        }
        let cells = cells(line)?;
        match &head {
            None => {
                head = Some(cells);
                None
            }
            Some(head) => Some((heading, head.clone(), cells)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_registries_has_its_page_in_the_binary() {
        let organisms = flyroom_organism::registry().iter().map(|o| o.entry().name);
        let decompose = flyroom_decompose::registry().iter().map(|m| m.entry().name);
        let describe = flyroom_describe::registry().iter().map(|m| m.entry().name);
        let metrics = flyroom_validate::METRICS.iter().map(|m| m.name);
        for name in organisms.chain(decompose).chain(describe).chain(metrics) {
            let (path, text) = page(name).unwrap_or_else(|| panic!("{name} has no page"));
            assert!(path.starts_with("docs/") && text.len() > 100, "{name}: {path}");
        }
        assert!(page("no such name").is_none());
    }

    #[test]
    fn phrases_of_a_verdict_lead_to_their_words() {
        for (phrase, word) in [
            ("effect sizes not told apart from chance", "at null"),
            ("holds on 5 of 5 seeds", "other table"),
            ("fails, as it must", "control"),
            ("blame: describe", "step"),
            ("ranked, 1", "everything else"),
            ("a snapshot that predicts no effects", "parts"),
        ] {
            let said = if meanings(phrase).is_empty() { within(phrase) } else { meanings(phrase) };
            assert!(said.iter().any(|(_, is)| is.contains(word)), "{phrase}: {said:?}");
        }
        assert!(within("no such name").is_empty());
    }

    #[test]
    fn every_source_standing_route_and_tier_is_a_word_of_the_glossary() {
        use flyroom_organism::Route;
        let mut words: Vec<String> = vec!["truth".into(), "null".into(), "oracle".into()];
        for o in flyroom_organism::registry() {
            let entry = serde_json::to_value(o.entry()).unwrap();
            words.extend(["source", "standing"].map(|k| entry[k].as_str().unwrap().to_owned()));
            words.push(o.route().name().to_owned());
        }
        words.extend([Route::Imported, Route::Null, Route::Tracr].map(|r| r.name().to_owned()));
        words.extend(["audited", "contested", "closed", "open"].map(str::to_owned));
        for word in words {
            assert!(!meanings(&word).is_empty(), "{word} is printed and not explained");
        }
    }

    #[test]
    fn every_status_of_the_board_is_a_word_of_the_glossary() {
        use flyroom_bench::board::Status::*;
        for status in [
            Ranked,
            NoTruth,
            Claim,
            Single,
            AtNull,
            BelowNull,
            Circular,
            Beside,
            Ceiling,
            Truth,
            Control,
            Uncontrolled,
            Invalid,
            NotApplicable,
            Untestable,
            Failed,
        ] {
            let said = meanings(status.name());
            assert!(said.iter().any(|(h, _)| h.contains("Status")), "{}", status.name());
        }
    }
}
