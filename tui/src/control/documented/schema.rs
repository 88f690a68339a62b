//! Values against what `openapi.json` tells of them.

use serde_json::Value;

pub(super) const DOCUMENT: &str = include_str!("../openapi.json");

pub(super) fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

pub(super) fn schema(name: &str) -> Value {
    document()["components"]["schemas"][name].clone()
}

/// Where a schema is told that stands in another's place, and whether there may be nothing.
fn resolve(schema: &Value) -> (Value, bool) {
    if let Some(name) = schema["$ref"].as_str() {
        let (_, name) = name.rsplit_once('/').unwrap();
        return (self::schema(name), false);
    }
    let Some(choices) = schema["oneOf"].as_array() else {
        let types = schema["type"].as_array();
        let is_nullable = types.is_some_and(|types| types.contains(&"null".into()));
        return (schema.clone(), is_nullable);
    };
    let is_null = |choice: &&Value| choice["type"] == "null";
    let of = choices.iter().find(|choice| !is_null(choice)).unwrap();
    (resolve(of).0, choices.iter().any(|choice| is_null(&choice)))
}

/// Whether the document tells of all that is in a value, and of nothing that has to be there and is not.
pub(super) fn check(value: &Value, schema: &Value, place: &str) {
    let (schema, is_nullable) = resolve(schema);
    if value.is_null() {
        return assert!(is_nullable, "{place} may be null");
    }
    let is_of = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    };
    let types = &schema["type"];
    let several = types.as_array().into_iter().flatten();
    let types: Vec<_> = several.chain([types]).filter_map(Value::as_str).collect();
    assert!(
        types.iter().any(|name| is_of(name)),
        "{place} is {value}, not {types:?}"
    );
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        check(item, &schema["items"], &format!("{place}/{at}"));
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for (key, value) in object {
        let place = format!("{place}/{key}");
        match schema["properties"].get(key) {
            Some(told) => check(value, told, &place),
            // It depends on the kind.
            None if schema["additionalProperties"] == true => {}
            None => panic!("{place} is not told: openapi.json is to have it"),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(
            object.contains_key(key.as_str().unwrap()),
            "{place} lacks {key}"
        );
    }
}

/// Whether everything that the document tells of is in a value that has all there can be.
pub(super) fn check_complete(value: &Value, schema: &Value, place: &str) {
    let (schema, _) = resolve(schema);
    for (key, told) in schema["properties"].as_object().into_iter().flatten() {
        let value = value.get(key);
        let value = value.unwrap_or_else(|| panic!("{place}/{key} is told and is nowhere"));
        check_complete(value, told, &format!("{place}/{key}"));
    }
    if let Some(first) = value.get(0) {
        check_complete(first, &schema["items"], &format!("{place}/0"));
    }
}
