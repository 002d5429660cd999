//! JSON lines to bytes.

use crate::event::decode::event_of;
use crate::event::fields::Value;
use crate::event::json;
use crate::event::protobuf::wire::{put_bytes, put_double, put_number};
use crate::event::protobuf::{FIRST_TYPE, ITEM, NEVER_EXPIRES, NUMBER, TEXT};
use crate::event::reject::Reject;
use crate::event::schema::{COMMON, EVENTS, FieldSpec, FieldType};

/// The message that says the same as a JSON line.
///
/// # Errors
/// A [`Reject`] for every line that is not a valid event.
pub fn encode(line: &[u8]) -> Result<Vec<u8>, Reject> {
    let checked = json::read(line)?;
    event_of(&checked, None)?;
    let mut outer = Vec::with_capacity(64);
    let mut inner = Vec::with_capacity(64);
    for (field, value) in &checked.fields {
        if let Some(position) = position_of(COMMON, field) {
            if position > 0 {
                put(&mut outer, position, field, value);
            }
        } else if let Some(position) = position_of(checked.spec.fields, field) {
            put(&mut inner, position + 1, field, value);
        }
    }
    if checked.spec.name == "label" && checked.get("expires_at_ms").is_none() {
        put_number(&mut inner, NEVER_EXPIRES, 1);
    }
    let position = EVENTS
        .iter()
        .position(|spec| spec.name == checked.spec.name);
    put_bytes(
        &mut outer,
        FIRST_TYPE + small(position.unwrap_or(0)),
        &inner,
    );
    Ok(outer)
}

fn put(out: &mut Vec<u8>, position: usize, field: &FieldSpec, value: &Value<'_>) {
    let number = small(position);
    let mut inner = Vec::new();
    match (field.kind, value) {
        (FieldType::Id, Value::Text(text)) => {
            put_bytes(&mut inner, TEXT, text.as_bytes());
            put_bytes(out, number, &inner);
        }
        (FieldType::Id, Value::Int(int)) => {
            put_number(&mut inner, NUMBER, int.cast_unsigned());
            put_bytes(out, number, &inner);
        }
        (FieldType::Number(..), Value::Int(_) | Value::Number(..)) => {
            put_double(out, number, value.as_number().unwrap_or(0.0));
        }
        (_, Value::Int(int)) => put_number(out, number, int.cast_unsigned()),
        (_, Value::Bool(bool)) => put_number(out, number, u64::from(*bool)),
        (_, Value::Text(text)) => put_bytes(out, number, text.as_bytes()),
        (_, Value::Texts(texts)) => {
            for text in texts {
                put_bytes(&mut inner, ITEM, text.as_bytes());
            }
            put_bytes(out, number, &inner);
        }
        // No checked field holds anything else.
        (_, Value::Number(..) | Value::MixedList(_) | Value::Other(_)) => {}
    }
}

fn position_of(fields: &'static [FieldSpec], field: &FieldSpec) -> Option<usize> {
    fields.iter().position(|known| known.name == field.name)
}

fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
