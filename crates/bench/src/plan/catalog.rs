//! The names that a plan may use, with their parameters and defaults.
//!
//! The registries live in other crates. Here they are data: whoever parses a plan hands in what
//! there is, and the same list fills in the defaults when a cell is named.

use flyroom_organism::{FrozenSet, Member, as_default, frozen_sets};
use serde_json::Value;

use super::Parameters;

/// Everything that a plan can name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The organisms.
    pub organisms: Vec<EntryInfo>,
    /// The methods of both steps.
    pub methods: Vec<EntryInfo>,
    /// The metrics.
    pub metrics: Vec<EntryInfo>,
    /// Sets of organisms that go by one name.
    pub sets: Vec<SetInfo>,
}

/// Organisms that a plan names together.
#[derive(Clone, Debug, PartialEq)]
pub struct SetInfo {
    /// The name in plans and on the command line.
    pub name: String,
    /// The organisms, each with all its parameters.
    pub members: Vec<(String, Parameters)>,
}

/// One entry of a registry, as far as a plan needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryInfo {
    /// The name in plans and on the command line.
    pub name: String,
    /// `organism`, `decompose`, `describe` or `metric`.
    pub step: String,
    /// Each parameter with its default. The type of the default is the type of the parameter; a
    /// default of `null` takes anything.
    pub parameters: Vec<(String, Value)>,
}

impl SetInfo {
    /// The frozen sets that there are.
    pub fn all() -> Vec<Self> {
        let member = |m: &Member| (m.organism.clone(), m.parameters.clone().into_iter().collect());
        let set = |set: &FrozenSet| Self {
            name: set.name.clone(),
            members: set.members.iter().map(member).collect(),
        };
        frozen_sets().iter().map(set).collect()
    }
}

impl EntryInfo {
    /// An entry from its parts.
    pub fn new(name: &str, step: &str, parameters: &[(&str, Value)]) -> Self {
        Self {
            name: name.to_owned(),
            step: step.to_owned(),
            parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
        }
    }

    /// The default of a parameter.
    pub fn default_of(&self, parameter: &str) -> Option<&Value> {
        self.parameters.iter().find(|(name, _)| name == parameter).map(|(_, value)| value)
    }

    /// All parameters: those that are set, in their one form, the defaults for the rest.
    pub fn fill(&self, set: &Parameters) -> Parameters {
        let mut all = Parameters::new();
        for (name, default) in &self.parameters {
            let value = set.get(name).map_or_else(|| default.clone(), |v| as_default(v, default));
            all.insert(name.clone(), value);
        }
        // A parameter that the entry lacks cannot come from a checked plan; dropping it silently
        // would give two requests one name, so it stays.
        for (name, value) in set {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        all
    }
}

/// Whether a value may stand where the default is `default`: else what it should have been.
pub(super) fn mismatch(value: &Value, default: &Value) -> Option<String> {
    let fits = match (value, default) {
        (_, Value::Null) => true,
        (Value::Number(n), Value::Number(d)) => d.is_f64() || !n.is_f64(),
        (Value::Array(items), Value::Array(defaults)) => defaults
            .first()
            .is_none_or(|first| items.iter().all(|item| mismatch(item, first).is_none())),
        (Value::Object(_), Value::Object(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::String(_), Value::String(_)) => true,
        _ => false,
    };
    (!fits).then(|| format!("{}, as its default {default}", kind_of(default)))
}

/// The type of a value with its article.
pub(super) fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) => "true or false".into(),
        Value::Number(n) if n.is_f64() => "a number".into(),
        Value::Number(_) => "a whole number".into(),
        Value::String(_) => "a text".into(),
        Value::Array(items) => match items.first() {
            Some(first) => format!("a list (each item {})", kind_of(first)),
            None => "a list".into(),
        },
        Value::Object(_) => "a table".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filling_keeps_what_is_set_and_takes_the_default_for_the_rest() {
        let info =
            EntryInfo::new("adamw", "organism", &[("lr", json!(0.001)), ("steps", json!(100))]);
        let set = Parameters::from([("lr".to_owned(), json!(1))]);
        let all = info.fill(&set);
        assert_eq!(crate::canonical::of(&all).unwrap(), r#"{"lr":1.0,"steps":100}"#);
    }

    #[test]
    fn a_whole_number_fits_a_number_and_not_the_other_way() {
        assert!(mismatch(&json!(1), &json!(0.5)).is_none());
        assert!(mismatch(&json!(0.5), &json!(1)).is_some());
        assert!(mismatch(&json!([1, 2]), &json!([0.5])).is_none());
        assert!(mismatch(&json!(["a"]), &json!([0.5])).is_some());
        assert!(mismatch(&json!("anything"), &Value::Null).is_none());
    }
}
