//! Bytes to checked fields.

use std::borrow::Cow;

use crate::event::fields::{Checked, MAX_EVENT_LEN, Value, check};
use crate::event::protobuf::wire::{Damage, Reader, Wire};
use crate::event::protobuf::{FIRST_TYPE, ITEM, NEVER_EXPIRES, NUMBER, TEXT, hex};
use crate::event::reject::Reject;
use crate::event::schema::{COMMON, EVENTS, EventSpec, FieldSpec, FieldType};

type Fields<'a> = Vec<(&'static FieldSpec, Value<'a>)>;

/// Reads the fields of one message and checks each of them.
pub(super) fn fields(message: &[u8]) -> Result<Checked<'_>, Reject> {
    if message.len() > MAX_EVENT_LEN {
        let text = format!(
            "the message has {} bytes, at most {MAX_EVENT_LEN}",
            message.len()
        );
        return Err(Reject::line("message_too_long", &hex(message), text));
    }
    let mut fields: Fields<'_> = Vec::with_capacity(12);
    let mut body: Option<(&'static EventSpec, &[u8])> = None;
    let mut reader = Reader::new(message);
    while !reader.is_at_end() {
        let (number, wire) = reader.field().map_err(|found| damaged(found, message))?;
        if let Some(field) = common(number) {
            take(&mut fields, field, wire, message)?;
            continue;
        }
        let Some(spec) = number
            .checked_sub(FIRST_TYPE)
            .and_then(|i| EVENTS.get(i as usize))
        else {
            return Err(unknown_field("Event", number, message));
        };
        let Wire::Bytes(inner) = wire else {
            return Err(wrong_type(spec.name, "must be a message", wire));
        };
        if let Some((earlier, _)) = body.replace((spec, inner)) {
            let text = format!(
                "one event has one type; this one is `{}` and `{}`",
                earlier.name, spec.name
            );
            return Err(Reject::line("repeated_field", &hex(message), text));
        }
    }
    let Some((spec, inner)) = body else {
        let names: Vec<&str> = EVENTS.iter().map(|spec| spec.name).collect();
        let allowed = format!("one of {}", names.join(", "));
        return Err(Reject::missing("type", &allowed));
    };
    fields.push((&COMMON[0], Value::Text(Cow::Borrowed(spec.name))));
    let mut says_expiry = false;
    let mut reader = Reader::new(inner);
    while !reader.is_at_end() {
        let (number, wire) = reader.field().map_err(|found| damaged(found, message))?;
        if number == NEVER_EXPIRES && spec.name == "label" {
            if wire != Wire::Varint(1) {
                return Err(wrong_type(
                    "never_expires",
                    "must be true or left out",
                    wire,
                ));
            }
            says_expiry = true;
            continue;
        }
        let position = (number as usize).checked_sub(1);
        let Some(field) = position.and_then(|i| spec.fields.get(i)) else {
            return Err(unknown_field(spec.name, number, message));
        };
        take(&mut fields, field, wire, message)?;
    }
    let ends = fields
        .iter()
        .any(|(field, _)| field.name == "expires_at_ms");
    if says_expiry && ends {
        let text = "and `expires_at_ms` cannot both be given";
        return Err(Reject::field(
            "contradiction",
            "never_expires",
            "true",
            text,
        ));
    }
    Checked::new(spec, fields, says_expiry || ends)
}

/// The common field of this number; the type, at position 0, is said by which message is there.
fn common(number: u32) -> Option<&'static FieldSpec> {
    COMMON.get(number as usize).filter(|_| number > 0)
}

fn take<'a>(
    fields: &mut Fields<'a>,
    field: &'static FieldSpec,
    wire: Wire<'a>,
    message: &[u8],
) -> Result<(), Reject> {
    let value = value_of(field, wire, message)?;
    if fields.iter().any(|(earlier, _)| earlier.name == field.name) {
        return Err(Reject::field(
            "repeated_field",
            field.name,
            &value.shown(),
            "is there twice",
        ));
    }
    check(field, &value)?;
    fields.push((field, value));
    Ok(())
}

fn value_of<'a>(field: &FieldSpec, wire: Wire<'a>, message: &[u8]) -> Result<Value<'a>, Reject> {
    match (field.kind, wire) {
        (FieldType::Id, Wire::Bytes(inner)) => id_of(field, inner, message),
        (FieldType::Text(..) | FieldType::OneOf(_), Wire::Bytes(text)) => {
            text_of(field, text).map(Value::Text)
        }
        (FieldType::Int(..), Wire::Varint(value)) => Ok(Value::Int(value.cast_signed())),
        (FieldType::Bool, Wire::Varint(value)) => Ok(Value::Bool(value != 0)),
        (FieldType::Number(..), Wire::Fixed64(bits)) => {
            let number = f64::from_bits(bits);
            Ok(Value::Number(number, format!("{number:?}")))
        }
        (FieldType::Texts(_), Wire::Bytes(inner)) => {
            let mut texts = Vec::new();
            let mut reader = Reader::new(inner);
            while !reader.is_at_end() {
                match reader.field().map_err(|found| damaged(found, message))? {
                    (ITEM, Wire::Bytes(text)) => texts.push(text_of(field, text)?),
                    (number, _) => return Err(unknown_field(field.name, number, message)),
                }
            }
            Ok(Value::Texts(texts))
        }
        _ => {
            let allowed = format!("must be {}", field.kind.describe());
            Err(wrong_type(field.name, &allowed, wire))
        }
    }
}

fn id_of<'a>(field: &FieldSpec, inner: &'a [u8], message: &[u8]) -> Result<Value<'a>, Reject> {
    let mut found = None;
    let mut reader = Reader::new(inner);
    while !reader.is_at_end() {
        let value = match reader.field().map_err(|found| damaged(found, message))? {
            (NUMBER, Wire::Varint(value)) => match i64::try_from(value) {
                Ok(int) => Value::Int(int),
                Err(_) => Value::Number(f64::INFINITY, value.to_string()),
            },
            (TEXT, Wire::Bytes(text)) => Value::Text(text_of(field, text)?),
            (number, _) => return Err(unknown_field(field.name, number, message)),
        };
        if let Some(earlier) = found.replace(value) {
            let shown = earlier.shown();
            return Err(Reject::field(
                "bad_id",
                field.name,
                &shown,
                "must be one number or one text, this one is two",
            ));
        }
    }
    found.ok_or_else(|| {
        let allowed = format!("must be {}", field.kind.describe());
        Reject::field("bad_id", field.name, "", &allowed)
    })
}

fn text_of<'a>(field: &FieldSpec, bytes: &'a [u8]) -> Result<Cow<'a, str>, Reject> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let text = format!("is not UTF-8 from byte {}", error.valid_up_to());
            let shown = String::from_utf8_lossy(bytes);
            Err(Reject::field("not_utf8", field.name, &shown, &text))
        }
    }
}

fn damaged(damage: Damage, message: &[u8]) -> Reject {
    let text = format!(
        "the message is damaged at byte {}: {}",
        damage.at, damage.what
    );
    Reject::line("not_protobuf", &hex(message), text)
}

fn unknown_field(home: &str, number: u32, message: &[u8]) -> Reject {
    let text = format!("`{home}` has no field with the number {number}");
    Reject::line("unknown_field", &hex(message), text)
}

fn wrong_type(name: &str, allowed: &str, wire: Wire<'_>) -> Reject {
    let shown = match wire {
        Wire::Varint(value) => value.to_string(),
        Wire::Fixed64(_) => "8 bytes".to_owned(),
        Wire::Fixed32 => "4 bytes".to_owned(),
        Wire::Bytes(bytes) => hex(bytes),
    };
    Reject::field("wrong_type", name, &shown, allowed)
}
