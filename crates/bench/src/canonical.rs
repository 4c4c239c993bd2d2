//! Canonical JSON: one spelling for one value, so that a hash of it can name a result.
//!
//! Two machines must agree on the key of a cell before either has run it, so the text that is
//! hashed may not depend on the order of fields in a struct or of insertions into a map. The rules
//! are the useful part of RFC 8785 (Rundgren, Jordan and Erdtman 2020), with one difference:
//! integers and floats stay apart, because a parameter that is a float keeps its point.
//!
//! - the keys of an object ascend by their UTF-8 bytes; no spaces anywhere;
//! - integers are plain (`10000`), floats are the shortest text that reads back as the same bits
//!   (`0.1`, `1.0`, `1e-7`);
//! - strings escape only what JSON requires.
//!
//! Not a number and infinity have no JSON; they are an error here and not a silent `null`.
//!
//! ```
//! use flyroom_bench::canonical;
//! let value = serde_json::json!({"seed": 3, "lr": 1.0, "betas": [0.9, 0.98], "entry": "topk"});
//! assert_eq!(
//!     canonical::of_value(&value),
//!     r#"{"betas":[0.9,0.98],"entry":"topk","lr":1.0,"seed":3}"#
//! );
//! ```

use serde::Serialize;
use serde_json::Value;

/// Why a value has no canonical JSON.
#[derive(Debug, thiserror::Error)]
#[error("{what} has no JSON form: {source}")]
pub struct CanonicalError {
    what: &'static str,
    source: serde_json::Error,
}

/// The canonical JSON of anything that serialises.
///
/// # Errors
/// If a map has keys that are not text. A float that is not finite becomes `null` in serde's own
/// data model before this function can see it: fields that may be infinite want a check of their
/// own ([`crate::plan`] has one).
pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    let value = serde_json::to_value(value)
        .map_err(|source| CanonicalError { what: std::any::type_name::<T>(), source })?;
    Ok(of_value(&value))
}

/// The canonical JSON of a JSON value.
pub fn of_value(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Sorted here and not by the map: another crate may switch on serde_json's
            // `preserve_order`, which would change every key in the workspace.
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        // serde_json writes numbers by itoa and ryu, and escapes only what it must.
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_order_of_insertion_leaves_no_trace() {
        let a: Value = serde_json::from_str(r#"{"b": {"y":1,"x":2}, "a": null}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a": null, "b": {"x":2,"y":1}}"#).unwrap();
        assert_eq!(of_value(&a), of_value(&b));
        assert_eq!(of_value(&a), r#"{"a":null,"b":{"x":2,"y":1}}"#);
    }

    #[test]
    fn an_integer_and_a_float_of_the_same_size_are_two_texts() {
        assert_eq!(
            of_value(&json!([1, 1.0, -0.0, 1e-7, u64::MAX])),
            "[1,1.0,-0.0,1e-7,18446744073709551615]"
        );
    }

    #[test]
    fn strings_escape_only_what_json_requires() {
        assert_eq!(of_value(&json!("a\"b\\\n\u{1}é/")), "\"a\\\"b\\\\\\n\\u0001é/\"");
    }

    proptest! {
        #[test]
        fn every_finite_float_reads_back_as_the_same_bits(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            let back: f64 = serde_json::from_str(&of_value(&json!(x))).unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
