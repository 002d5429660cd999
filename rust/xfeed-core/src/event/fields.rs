//! The fields of one event, whatever format they came in, each checked alone against the schema.

use std::borrow::Cow;

use crate::event::reject::Reject;
use crate::event::schema::{COMMON, EventSpec, FieldSpec, FieldType};
use crate::ids::Id;

/// Longest event, in bytes.
pub(super) const MAX_EVENT_LEN: usize = 64 * 1024;

/// A value as its sender gave it.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    /// Any other number, with its spelling.
    Number(f64, String),
    Bool(bool),
    Texts(Vec<Cow<'a, str>>),
    /// A list that holds other things than texts, as text.
    MixedList(String),
    /// What no field holds, as text.
    Other(String),
}

impl Value<'_> {
    /// The value as people wrote it: texts without quotes.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone().into_owned(),
            Self::Int(int) => int.to_string(),
            Self::Bool(bool) => bool.to_string(),
            Self::Texts(texts) => serde_json::to_string(texts).unwrap_or_default(),
            Self::Number(_, text) | Self::MixedList(text) | Self::Other(text) => text.clone(),
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number, _) => Some(*number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers of the schema end far below 2^53"
            )]
            Self::Int(int) => Some(*int as f64),
            _ => None,
        }
    }
}

/// Fields that have each been checked alone.
pub(super) struct Checked<'a> {
    pub(super) spec: &'static EventSpec,
    pub(super) fields: Vec<(&'static FieldSpec, Value<'a>)>,
}

impl<'a> Checked<'a> {
    /// Checks that nothing is missing. The `fields` have been checked by [`check`]; `says_expiry` is
    /// whether the sender said when it ends, if only that it never does.
    pub(super) fn new(
        spec: &'static EventSpec,
        fields: Vec<(&'static FieldSpec, Value<'a>)>,
        says_expiry: bool,
    ) -> Result<Self, Reject> {
        if spec.name == "label" && !says_expiry {
            let message = "give unix milliseconds, or say that the label never expires (null)";
            return Err(Reject::missing("expires_at_ms", message));
        }
        let checked = Self { spec, fields };
        let known = COMMON.iter().chain(spec.fields);
        for field in known.filter(|field| field.required) {
            if checked.get(field.name).is_none() {
                let message = format!("a `{}` event needs {}", spec.name, field.kind.describe());
                return Err(Reject::missing(field.name, &message));
            }
        }
        Ok(checked)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields
            .iter()
            .find(|(field, _)| field.name == name)
            .map(|(_, value)| value)
    }

    pub(super) fn shown(&self, name: &str) -> String {
        self.get(name).map(Value::shown).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Int(int) => Some(*int),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number()
    }

    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name)? {
            Value::Texts(texts) => Some(texts.iter().map(|text| text.clone().into()).collect()),
            _ => None,
        }
    }

    /// Has been checked to be an id, so `None` means absent.
    pub(super) fn id(&self, name: &str, names: &mut Vec<(Id, String)>) -> Option<Id> {
        match self.get(name)? {
            Value::Text(text) => {
                let id = Id::from_text(text).ok()?;
                if id.is_text() {
                    names.push((id, text.clone().into_owned()));
                }
                Some(id)
            }
            Value::Int(int) => u64::try_from(*int).ok().and_then(Id::from_int),
            _ => None,
        }
    }

    /// As [`Checked::id`], for a required field; its absence was refused before.
    pub(super) fn need(&self, name: &str, names: &mut Vec<(Id, String)>) -> Result<Id, Reject> {
        self.id(name, names)
            .ok_or_else(|| Reject::missing(name, "an id"))
    }
}

/// Checks one value against what its field may hold.
pub(super) fn check(field: &FieldSpec, value: &Value<'_>) -> Result<(), Reject> {
    let refuse = |code, why: &str| {
        let message = format!("must be {}{why}", field.kind.describe());
        Err(Reject::field(code, field.name, &value.shown(), &message))
    };
    match (field.kind, value) {
        (FieldType::Id, Value::Text(text)) => match Id::from_text(text) {
            Ok(_) => Ok(()),
            Err(why) => refuse("bad_id", &format!("; this one {why}")),
        },
        (FieldType::Id, Value::Int(int)) if *int >= 0 => Ok(()),
        (FieldType::Id, Value::Int(_) | Value::Number(..)) => {
            refuse("bad_id", "; pass larger or negative ids as strings")
        }
        (FieldType::Text(min, max), Value::Text(text)) => {
            // Counting bytes first spares counting characters in all short texts.
            if (text.len() <= max && text.len() >= min.saturating_mul(4))
                || (min..=max).contains(&text.chars().count())
            {
                Ok(())
            } else {
                refuse("bad_length", "")
            }
        }
        (FieldType::Int(min, max), Value::Int(int)) => {
            if (min..=max).contains(int) {
                Ok(())
            } else {
                refuse("out_of_range", "")
            }
        }
        (FieldType::Number(min, max), Value::Int(_) | Value::Number(..)) => {
            if value
                .as_number()
                .is_some_and(|number| (min..=max).contains(&number))
            {
                Ok(())
            } else {
                refuse("out_of_range", "")
            }
        }
        (FieldType::Bool, Value::Bool(_)) => Ok(()),
        (FieldType::OneOf(words), Value::Text(text)) => {
            if words.contains(&text.as_ref()) {
                Ok(())
            } else {
                refuse("unknown_value", "")
            }
        }
        (FieldType::Texts(max), Value::Texts(texts)) => {
            let fits = |text: &Cow<'_, str>| (1..=64).contains(&text.chars().count());
            if texts.len() <= max && texts.iter().all(fits) {
                Ok(())
            } else {
                refuse("bad_list", "")
            }
        }
        (FieldType::Texts(_), Value::MixedList(_)) => refuse("bad_list", ""),
        _ => refuse("wrong_type", ""),
    }
}
