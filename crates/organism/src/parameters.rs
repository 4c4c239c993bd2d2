//! Parameters of organisms and methods: their defaults, what a user set, and what cannot go together.
//!
//! The type of a default is the type of its parameter. A value is brought to that type before it is hashed or
//! compared, so that `weight_decay = 1` and `weight_decay = 1.0` are one organism with one id.

use serde_json::{Map, Value as Json};

/// Parameters by name, always with defaults filled in.
pub type Parameters = Map<String, Json>;

/// Defaults overlaid with what a user set, in their one form; an unknown name is an error that lists the
/// known ones.
pub fn overlaid(mut defaults: Parameters, set: &Parameters) -> Result<Parameters, String> {
    for (name, value) in set {
        let Some(slot) = defaults.get_mut(name) else {
            let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(format!("no parameter '{name}'; it has {known}"));
        };
        *slot = as_default(value, slot);
    }
    Ok(defaults)
}

/// A value in the form of a default: an integer that stands for a real number is that real number, and
/// -0.0 is 0.0.
///
/// ```
/// use flyroom_organism::as_default;
/// use serde_json::json;
/// assert_eq!(as_default(&json!(1), &json!(0.01)), json!(1.0));
/// assert_eq!(as_default(&json!([1, 2]), &json!([0.5])), json!([1.0, 2.0]));
/// assert_eq!(as_default(&json!(1), &json!(2)), json!(1));
/// ```
pub fn as_default(value: &Json, default: &Json) -> Json {
    match (value, default) {
        (Json::Number(n), Json::Number(d)) if d.is_f64() => {
            n.as_f64().map_or_else(|| value.clone(), |x| Json::from(x + 0.0))
        }
        (Json::Array(items), Json::Array(defaults)) => match defaults.first() {
            Some(first) => items.iter().map(|item| as_default(item, first)).collect(),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

/// Fails where parameters cannot go together although each is possible: a rise or a fall of the learning
/// rate that is longer than the training, which would never reach `lr`. The error names both, and the way
/// out. Nothing is asked of what is not trained, or for 0 steps, as untrained twins are.
pub fn consistent(all: &Parameters) -> Result<(), String> {
    let whole = |name: &str| all.get(name).and_then(Json::as_u64);
    let Some(steps) = whole("steps").filter(|&n| n > 0) else { return Ok(()) };
    for name in ["warmup", "cooldown"] {
        if let Some(n) = whole(name).filter(|&n| n > steps) {
            return Err(format!(
                "{name} = {n} is longer than steps = {steps}, so the learning rate never reaches lr; \
                 hint: {name} = {} goes with {steps} steps, 0 is none",
                steps / 2
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(json: Json) -> Parameters {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn two_spellings_of_a_number_are_one_parameter() {
        let defaults = of(json!({ "weight_decay": 0.01, "steps": 100, "table": "D5" }));
        let all = |set: Json| overlaid(defaults.clone(), &of(set)).unwrap();
        for (a, b) in [
            (json!({ "weight_decay": 1 }), json!({ "weight_decay": 1.0 })),
            (json!({ "weight_decay": 0 }), json!({ "weight_decay": -0.0 })),
        ] {
            // As text: what is hashed.
            assert_eq!(Json::from(all(a)).to_string(), Json::from(all(b)).to_string());
        }
        // The control: what is counted stays a whole number, and other numbers are others.
        assert_eq!(all(json!({ "steps": 7 }))["steps"].to_string(), "7");
        assert_ne!(all(json!({ "weight_decay": 1 })), all(json!({ "weight_decay": 1.5 })));
        assert!(overlaid(defaults, &of(json!({ "step": 7 }))).unwrap_err().contains("steps"));
    }

    #[test]
    fn a_fall_of_the_learning_rate_longer_than_the_training_is_refused_by_both_names() {
        let asked = |set: Json| consistent(&of(set));
        for name in ["warmup", "cooldown"] {
            let e = asked(json!({ "steps": 300, name: 2000 })).unwrap_err();
            assert!(e.contains(&format!("{name} = 2000")) && e.contains("steps = 300"), "{e}");
            assert!(e.contains("hint: ") && e.contains("150"), "{e}");
            // What the hint says goes.
            assert_eq!(asked(json!({ "steps": 300, name: 150 })), Ok(()));
            assert_eq!(asked(json!({ "steps": 300, name: 300 })), Ok(()));
            // Untrained twins, a share of the steps (as dictionaries have it), and what is not trained.
            assert_eq!(asked(json!({ "steps": 0, name: 2000 })), Ok(()));
            assert_eq!(asked(json!({ "steps": 300, name: 0.05 })), Ok(()));
            assert_eq!(asked(json!({ name: 2000 })), Ok(()));
        }
        for o in crate::registry() {
            assert_eq!(consistent(&o.defaults()), Ok(()), "{}", o.entry().name);
        }
    }

    #[test]
    fn every_organism_has_one_id_at_its_defaults_however_they_are_spelt() {
        for o in crate::registry() {
            let defaults = o.defaults();
            let mut spelt = defaults.clone();
            for value in spelt.values_mut() {
                if let Some(x) = value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e15) {
                    *value = Json::from(x as i64);
                }
            }
            let all = crate::with_defaults(*o, &spelt).unwrap();
            assert_eq!(Json::from(all).to_string(), Json::from(defaults).to_string());
        }
    }
}
