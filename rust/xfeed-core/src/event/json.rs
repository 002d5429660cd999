//! A JSON object as a list of fields in the order they were written, repeats included.

use std::fmt;

use serde_json::Value;
use serde_json::de::Deserializer;

/// Fields of one object.
pub(super) struct Fields(pub(super) Vec<(String, Value)>);

struct FieldsVisitor;

impl<'de> serde::de::Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::with_capacity(12);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

/// Parses one object and nothing after it.
pub(super) fn parse(text: &str) -> serde_json::Result<Fields> {
    let mut deserializer = Deserializer::from_str(text);
    let fields = serde::Deserializer::deserialize_map(&mut deserializer, FieldsVisitor)?;
    deserializer.end()?;
    Ok(fields)
}
