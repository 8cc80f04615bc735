//! Whether JSON is as a schema of `analyzer/schema` says.
use std::path::Path;

use serde_json::Value;

/// Checks what a verb printed.
pub fn check(verb: &str, value: &Value) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(format!("{verb}.schema.json"));
    let schema: Value =
        serde_json::from_slice(&std::fs::read(schema).expect("a schema")).expect("it is JSON");
    holds(&schema, &schema, value, verb);
}

/// What the schemas use of JSON Schema, checked without any package.
fn holds(schema: &Value, root: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        holds(root.pointer(pointer).expect("a definition"), root, value, at);
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value}");
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: type {other}"),
    };
    assert!(types.is_empty() || types.iter().any(is), "{at}: {value} is not of {types:?}");
    if let (Some(minimum), Some(number)) = (schema["minimum"].as_f64(), value.as_f64()) {
        assert!(number >= minimum, "{at}: {number}");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        assert!(regex::Regex::new(pattern).expect("a pattern").is_match(text), "{at}: {text}");
    }
    if let Some(object) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(key.as_str().expect("a key")), "{at}: {key} is missing");
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (key, value) in object {
                let property = properties.get(key).unwrap_or_else(|| panic!("{at}: {key} is not described"));
                holds(property, root, value, &format!("{at}.{key}"));
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        holds(&schema["items"], root, item, &format!("{at}[{index}]"));
    }
}
