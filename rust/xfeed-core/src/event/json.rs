//! One JSON object as checked fields.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;
use serde_json::de::Deserializer;

use crate::event::fields::{Checked, MAX_EVENT_LEN, Value, check};
use crate::event::reject::{Reject, nearest, shorten};
use crate::event::schema::{COMMON, EVENTS, EventSpec};

/// Fields in the order they were written, repeats included.
type Fields = Vec<(String, Json)>;

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
        Ok(fields)
    }
}

/// Parses one object and nothing after it.
fn parse(text: &str) -> serde_json::Result<Fields> {
    let mut deserializer = Deserializer::from_str(text);
    let fields = serde::Deserializer::deserialize_map(&mut deserializer, FieldsVisitor)?;
    deserializer.end()?;
    Ok(fields)
}

/// Reads the fields of one line and checks each of them.
pub(super) fn read(line: &[u8]) -> Result<Checked<'static>, Reject> {
    if line.len() > MAX_EVENT_LEN {
        let message = format!("the line has {} bytes, at most {MAX_EVENT_LEN}", line.len());
        let start = String::from_utf8_lossy(&line[..200]).into_owned();
        return Err(Reject::line("line_too_long", &start, message));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let message = format!("the line is not UTF-8 from byte {}", error.valid_up_to());
        Reject::line("not_utf8", &String::from_utf8_lossy(line), message)
    })?;
    if text.contains("$serde_json::private::") {
        // The parser would take such an object for a number.
        let message = "the line holds a name that is reserved".to_owned();
        return Err(Reject::line("not_json", text, message));
    }
    let fields = parse(text).map_err(|error| {
        let message = format!("the line is not one JSON object: {error}");
        Reject::line("not_json", text, message)
    })?;
    for (i, (name, value)) in fields.iter().enumerate() {
        if fields[..i].iter().any(|(earlier, _)| earlier == name) {
            let shown = value.to_string();
            return Err(Reject::field(
                "repeated_field",
                name,
                &shown,
                "is there twice",
            ));
        }
    }
    let spec = find_spec(&fields)?;
    let mut checked = Vec::with_capacity(fields.len());
    let mut says_expiry = false;
    for (name, json) in fields {
        let mut known = COMMON.iter().chain(spec.fields);
        let Some(field) = known.find(|field| field.name == name) else {
            return Err(unknown_field(spec, &name, json));
        };
        says_expiry |= name == "expires_at_ms";
        if !json.is_null() {
            let value = value_of(json);
            check(field, &value)?;
            checked.push((field, value));
        }
    }
    Checked::new(spec, checked, says_expiry)
}

fn value_of(json: Json) -> Value<'static> {
    match json {
        Json::String(text) => Value::Text(Cow::Owned(text)),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN), number.to_string()),
        },
        Json::Bool(bool) => Value::Bool(bool),
        Json::Array(list) if list.iter().all(Json::is_string) => {
            let texts = list.into_iter().map(|text| match text {
                Json::String(text) => Cow::Owned(text),
                _ => Cow::Borrowed(""),
            });
            Value::Texts(texts.collect())
        }
        Json::Array(_) => Value::MixedList(json.to_string()),
        Json::Object(_) | Json::Null => Value::Other(json.to_string()),
    }
}

fn find_spec(fields: &Fields) -> Result<&'static EventSpec, Reject> {
    let all = || EVENTS.iter().map(|spec| spec.name);
    let Some((_, value)) = fields.iter().find(|(name, _)| name == "type") else {
        let names: Vec<&str> = all().collect();
        return Err(Reject::missing(
            "type",
            &format!("one of {}", names.join(", ")),
        ));
    };
    let Some(name) = value.as_str() else {
        let shown = value.to_string();
        return Err(Reject::field(
            "wrong_type",
            "type",
            &shown,
            "must be a string",
        ));
    };
    EVENTS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let message = match nearest(name, all()) {
            Some(near) => format!("is not an event type (did you mean `{near}`?)"),
            None => format!("must be one of {}", all().collect::<Vec<_>>().join(", ")),
        };
        Reject::field("unknown_type", "type", name, &message)
    })
}

fn unknown_field(spec: &EventSpec, name: &str, value: Json) -> Reject {
    let known = || COMMON.iter().chain(spec.fields).map(|field| field.name);
    let message = match nearest(name, known()) {
        Some(near) => format!("is not a field of `{}` (did you mean `{near}`?)", spec.name),
        None => {
            let names: Vec<&str> = known().collect();
            format!(
                "is not a field of `{}`, which has {}",
                spec.name,
                names.join(", ")
            )
        }
    };
    let shown = value_of(value).shown();
    Reject::field("unknown_field", &shorten(name), &shown, &message)
}
