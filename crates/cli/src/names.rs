//! Names and values on the command line: what is not known is answered with the nearest that is.

use anyhow::{Result, bail};
use flyroom_organism::{
    Parameters, consistent, frozen_set, frozen_sets, nearest, overlaid, with_defaults,
};
use serde_json::Value;

/// Names that a hint lists at most.
const LISTED: usize = 24;

/// `; hint: did you mean ...?` where a name is near, else the names that there are, or where they are listed.
pub fn hint<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(wrong, known.iter().copied()) {
        Some(n) => format!("; hint: did you mean '{n}'?"),
        None if known.is_empty() => "; hint: it has none".into(),
        None if known.len() > LISTED => format!("; hint: `flyroom list` names all {}", known.len()),
        None => format!("; hint: there are {}", known.join(", ")),
    }
}

/// Refuses parameters that are not among the defaults, and values of another kind.
pub fn check(entry: &str, defaults: &Parameters, set: &Parameters) -> Result<()> {
    for (name, value) in set {
        let Some(default) = defaults.get(name) else {
            let near = hint(name, defaults.keys().map(String::as_str));
            bail!("{entry} has no parameter '{name}'{near}");
        };
        let wanted = match default {
            Value::Number(n) if n.is_f64() => value.is_number().then_some(()).ok_or("a number"),
            Value::Number(_) => value.is_u64().then_some(()).ok_or("a whole number from 0 on"),
            Value::Bool(_) => value.is_boolean().then_some(()).ok_or("true or false"),
            _ => Ok(()),
        };
        if let Err(wanted) = wanted {
            bail!("--set {name}={value}: {entry} takes {wanted}; hint: its default is {default}");
        }
    }
    Ok(())
}

/// An organism and all its parameters.
pub fn organism(
    name: &str,
    set: &Parameters,
) -> Result<(&'static dyn flyroom_organism::Organism, Parameters)> {
    let all = flyroom_organism::registry();
    let Some(found) = all.iter().find(|o| o.entry().name == name) else {
        if let Some(set) = frozen_set(name) {
            let members: Vec<&str> = set.members.iter().map(|m| m.organism.as_str()).collect();
            bail!("'{name}' is a set; hint: name one of its organisms: {}", members.join(", "));
        }
        let sets = frozen_sets().iter().map(|s| s.name.as_str());
        let near = hint(name, all.iter().map(|o| o.entry().name).chain(sets));
        bail!("no organism '{name}'{near}");
    };
    check(name, &found.defaults(), set)?;
    let parameters = with_defaults(*found, set)?;
    consistent(&parameters).map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
    Ok((*found, parameters))
}

/// A decompose method and all its parameters.
pub fn decompose(
    name: &str,
    set: &Parameters,
) -> Result<(&'static dyn flyroom_decompose::Decompose, Parameters)> {
    let all = flyroom_decompose::registry();
    let Some(found) = all.iter().find(|m| m.entry().name == name) else {
        if flyroom_describe::registry().iter().any(|m| m.entry().name == name) {
            bail!(
                "'{name}' is no decompose method; hint: flyroom describe SPECIMEN --method {name}"
            );
        }
        bail!("no decompose method '{name}'{}", hint(name, all.iter().map(|m| m.entry().name)));
    };
    check(name, &found.defaults(), set)?;
    Ok((*found, flyroom_decompose::with_defaults(*found, set)?))
}

/// A describe method and all its parameters.
pub fn describe(
    name: &str,
    set: &Parameters,
) -> Result<(&'static dyn flyroom_describe::Describe, Parameters)> {
    let all = flyroom_describe::registry();
    let Some(found) = all.iter().find(|m| m.entry().name == name) else {
        if flyroom_decompose::registry().iter().any(|m| m.entry().name == name) {
            bail!(
                "'{name}' is no describe method; hint: flyroom decompose SPECIMEN --method {name}"
            );
        }
        bail!("no describe method '{name}'{}", hint(name, all.iter().map(|m| m.entry().name)));
    };
    check(name, &found.defaults(), set)?;
    let all = overlaid(found.defaults(), set).map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
    Ok((*found, all))
}

/// The kind of a file to import, which must be one of those there are.
pub fn kind(name: &str) -> Result<()> {
    let known = || flyroom_organism::import::KINDS.iter().map(|k| k.name);
    if known().any(|k| k == name) {
        return Ok(());
    }
    bail!("no kind of file '{name}'{}", hint(name, known()));
}
