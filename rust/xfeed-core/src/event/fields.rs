//! The fields of one line, each checked alone against the schema.

use serde_json::Value;

use crate::event::json;
use crate::event::reject::{Reject, nearest, shorten};
use crate::event::schema::{COMMON, EVENTS, EventSpec, FieldSpec, FieldType};
use crate::ids::Id;

/// Longest line.
const MAX_LINE_LEN: usize = 64 * 1024;

/// Fields that have each been checked alone.
pub(super) struct Checked {
    pub(super) spec: &'static EventSpec,
    fields: Vec<(String, Value)>,
}

impl Checked {
    pub(super) fn parse(line: &[u8]) -> Result<Self, Reject> {
        if line.len() > MAX_LINE_LEN {
            let message = format!("the line has {} bytes, at most {MAX_LINE_LEN}", line.len());
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
        let fields = json::parse(text).map_err(|error| {
            let message = format!("the line is not one JSON object: {error}");
            Reject::line("not_json", text, message)
        })?;
        let mut fields = fields.0;
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
        let known = || COMMON.iter().chain(spec.fields);
        for (name, value) in &fields {
            let Some(field) = known().find(|field| field.name == name) else {
                return Err(unknown_field(spec, name, value));
            };
            if !value.is_null() {
                check(field, value)?;
            }
        }
        // `expires_at_ms` of a label must be said even when it is null.
        let says_expiry = fields.iter().any(|(name, _)| name == "expires_at_ms");
        if spec.name == "label" && !says_expiry {
            let message = "give unix milliseconds, or null for a label that never expires";
            return Err(Reject::missing("expires_at_ms", message));
        }
        fields.retain(|(_, value)| !value.is_null());
        for field in known().filter(|field| field.required) {
            if !fields.iter().any(|(name, _)| name == field.name) {
                let message = format!("a `{}` event needs {}", spec.name, field.kind.describe());
                return Err(Reject::missing(field.name, &message));
            }
        }
        Ok(Self { spec, fields })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    pub(super) fn shown(&self, name: &str) -> String {
        self.get(name).map(plain).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = self.get(name)?.as_array()?;
        Some(
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Has been checked to be an id, so `None` means absent.
    pub(super) fn id(&self, name: &str, names: &mut Vec<(Id, String)>) -> Option<Id> {
        match self.get(name)? {
            Value::String(text) => {
                let id = Id::from_text(text).ok()?;
                if id.is_text() {
                    names.push((id, text.clone()));
                }
                Some(id)
            }
            other => other.as_u64().and_then(Id::from_int),
        }
    }

    /// As [`Checked::id`], for a required field; its absence was refused before.
    pub(super) fn need(&self, name: &str, names: &mut Vec<(Id, String)>) -> Result<Id, Reject> {
        self.id(name, names)
            .ok_or_else(|| Reject::missing(name, "an id"))
    }
}

fn find_spec(fields: &[(String, Value)]) -> Result<&'static EventSpec, Reject> {
    let all = || EVENTS.iter().map(|spec| spec.name);
    let Some((_, value)) = fields.iter().find(|(name, _)| name == "type") else {
        let names: Vec<&str> = all().collect();
        return Err(Reject::missing(
            "type",
            &format!("one of {}", names.join(", ")),
        ));
    };
    let Some(name) = value.as_str() else {
        return Err(Reject::field(
            "wrong_type",
            "type",
            &plain(value),
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

fn unknown_field(spec: &EventSpec, name: &str, value: &Value) -> Reject {
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
    Reject::field("unknown_field", &shorten(name), &plain(value), &message)
}

/// A value as people wrote it: strings without their quotes.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn check(field: &FieldSpec, value: &Value) -> Result<(), Reject> {
    let refuse = |code, why: &str| {
        let message = format!("must be {}{why}", field.kind.describe());
        Err(Reject::field(code, field.name, &plain(value), &message))
    };
    match (field.kind, value) {
        (FieldType::Id, Value::String(text)) => match Id::from_text(text) {
            Ok(_) => Ok(()),
            Err(why) => refuse("bad_id", &format!("; this one {why}")),
        },
        (FieldType::Id, Value::Number(number)) => {
            if number.as_u64().and_then(Id::from_int).is_some() {
                Ok(())
            } else {
                refuse("bad_id", "; pass larger or negative ids as strings")
            }
        }
        (FieldType::Text(min, max), Value::String(text)) => {
            // Counting bytes first spares counting characters in all short texts.
            if (text.len() <= max && text.len() >= min.saturating_mul(4))
                || (min..=max).contains(&text.chars().count())
            {
                Ok(())
            } else {
                refuse("bad_length", "")
            }
        }
        (FieldType::Int(min, max), Value::Number(number)) => match number.as_i64() {
            Some(int) if (min..=max).contains(&int) => Ok(()),
            Some(_) => refuse("out_of_range", ""),
            None => refuse("wrong_type", ""),
        },
        (FieldType::Number(min, max), Value::Number(number)) => match number.as_f64() {
            Some(float) if (min..=max).contains(&float) => Ok(()),
            _ => refuse("out_of_range", ""),
        },
        (FieldType::Bool, Value::Bool(_)) => Ok(()),
        (FieldType::OneOf(words), Value::String(text)) => {
            if words.contains(&text.as_str()) {
                Ok(())
            } else {
                refuse("unknown_value", "")
            }
        }
        (FieldType::Texts(max), Value::Array(list)) => {
            let fits = |text: &str| (1..=64).contains(&text.chars().count());
            let good = |value: &Value| value.as_str().is_some_and(fits);
            if list.len() <= max && list.iter().all(good) {
                Ok(())
            } else {
                refuse("bad_list", "")
            }
        }
        _ => refuse("wrong_type", ""),
    }
}
