//! Look-ups by name: what is not known is answered with the nearest that is.

/// The known name that is nearest to a wrong one, if any is near: one letter has to be changed, or at most
/// a third of those of the shorter, or it goes on where the wrong one ends.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|n| (strsim::damerau_levenshtein(n, wrong), n))
        .filter(|(d, n)| {
            let begun = wrong.len() >= 4 && n.starts_with(wrong);
            begun || *d <= (n.len().min(wrong.len()) / 3).max(1)
        })
        .min()
        .map(|(_, n)| n)
}

/// The entry of a registry that bears a name; else `; did you mean '...'?`, or nothing where no
/// name is near.
pub fn named<T: ?Sized + 'static>(
    registry: &[&'static T],
    name_of: impl Fn(&T) -> &'static str,
    name: &str,
) -> Result<&'static T, String> {
    registry.iter().copied().find(|&e| name_of(e) == name).ok_or_else(|| {
        let near = nearest(name, registry.iter().map(|&e| name_of(e)));
        near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        let known = ["topk", "pca", "random"];
        assert_eq!(nearest("tokp", known), Some("topk"));
        assert_eq!(nearest("randon", known), Some("random"));
        assert_eq!(nearest("rand", known), Some("random"));
        assert_eq!(nearest("transformer", known), None);
        // Short names are near to nothing but slips of theirs.
        assert_eq!(nearest("nope", known), None);
        assert_eq!(nearest("sae", ["das", "eap"]), None);
    }
}
