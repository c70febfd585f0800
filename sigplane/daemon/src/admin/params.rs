//! Parameters: an object, or a list in the method's order.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tandem_admin::ErrorCode;
use tandem_policy::TargetState;

use crate::ask::Refusal;

/// Reads parameters; `names` is the order of a list.
pub(super) fn read<T: DeserializeOwned>(names: &[&str], params: Value) -> Result<T, Refusal> {
    let object = match params {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        Value::Array(list) if list.len() > names.len() => {
            return Err(invalid(match names {
                [] => "it takes no list of parameters".to_owned(),
                names => format!("too many parameters: it takes {}", names.join(", ")),
            }));
        }
        Value::Array(list) => {
            let names = names.iter().map(|name| (*name).to_owned());
            names.zip(list).collect()
        }
        _ => return Err(invalid("neither an object nor a list".to_owned())),
    };
    serde_json::from_value(Value::Object(object)).map_err(|e| invalid(e.to_string()))
}

/// The names that statistics are asked for by: a list, `{"names": [...]}`, or nothing for all.
pub(super) fn names(params: Value) -> Result<Vec<String>, Refusal> {
    let list = match params {
        Value::Object(mut object) => match (object.remove("names"), object.keys().next()) {
            (_, Some(other)) => return Err(invalid(format!("`{other}` is not known"))),
            (names, None) => names.unwrap_or_default(),
        },
        other => other,
    };
    match list {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => list
            .into_iter()
            .map(|name| match name {
                Value::String(name) => Ok(name),
                other => Err(invalid(format!("{other} is no name"))),
            })
            .collect(),
        Value::String(name) => Ok(vec![name]),
        other => Err(invalid(format!("{other} is no list of names"))),
    }
}

/// Whether a counter is asked for: all are by no name or `all`, one by its name, and a group by `sip:`.
pub(super) fn is_wanted(names: &[String], counter: &str) -> bool {
    let fits = |name: &String| match name.strip_suffix(':') {
        Some(group) => counter
            .strip_prefix(group)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_')),
        None => name == "all" || name == counter,
    };
    names.is_empty() || names.iter().any(fits)
}

/// A target's state: by our name, or by Kamailio's letters (`a`, `i`, `t`, `d`, each with a `p` or without).
pub(super) fn state(text: &str) -> Result<TargetState, Refusal> {
    let kamailios = || match text.to_ascii_lowercase().as_str() {
        "a" | "ap" => Some(TargetState::Active),
        "i" | "ip" => Some(TargetState::Inactive),
        "d" | "dp" => Some(TargetState::Disabled),
        "t" | "tp" | "p" => Some(TargetState::Probing),
        _ => None,
    };
    TargetState::parse(text).or_else(kamailios).ok_or_else(|| {
        invalid(format!(
            "{text:?} is no state: active, inactive, probing, disabled and draining are"
        ))
    })
}

pub(super) fn invalid(problem: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidParams, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_admin::SetStateParams;

    use super::*;

    #[test]
    fn a_list_is_an_object_in_order() {
        let names = ["state", "set", "target"];
        let of = |params| read::<SetStateParams>(&names, params);
        let list = of(json!(["ip", 1, "sip:10.0.0.1"])).unwrap();
        let object = of(json!({"state": "ip", "set": 1, "target": "sip:10.0.0.1"})).unwrap();
        assert_eq!(list, object);
        for wrong in [
            json!(["ip", 1, "sip:10.0.0.1", 2]),
            json!([1]),
            json!(null),
            json!({"state": "a", "target": "x", "more": 1}),
            json!(7),
        ] {
            assert_eq!(of(wrong).unwrap_err().code, ErrorCode::InvalidParams);
        }
        assert!(read::<tandem_admin::CaptureParams>(&[], json!([1])).is_err());
    }

    #[test]
    fn kamailios_letters_are_states() {
        let states = ["ap", "I", "d", "tp", "draining"].map(|s| state(s).unwrap().as_str());
        assert_eq!(
            states,
            ["active", "inactive", "disabled", "probing", "draining"]
        );
        assert!(state("x").is_err() && state("").is_err());
    }

    #[test]
    fn counters_are_wanted_by_name_group_or_all() {
        let wanted = |names: Value, counter| {
            let names = super::names(names).unwrap();
            is_wanted(&names, counter)
        };
        assert!(wanted(json!(null), "calls"));
        assert!(wanted(json!([]), "calls"));
        assert!(wanted(json!(["all"]), "calls"));
        assert!(wanted(json!(["calls"]), "calls") && !wanted(json!(["calls"]), "calls_now"));
        assert!(wanted(json!(["calls:"]), "calls") && wanted(json!(["calls:"]), "calls_now"));
        assert!(!wanted(json!(["call:"]), "calls"));
        assert!(wanted(json!({"names": ["sip:", "calls"]}), "sip_not_sip"));
        assert!(names(json!([1])).is_err() && names(json!({"x": 1})).is_err());
    }
}
