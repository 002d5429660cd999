//! Unit tests of the reader and the writer of messages.

use super::wire::{put_bytes, put_number};
use super::*;
use crate::event::schema::{COMMON, EVENTS, EventSpec, FieldSpec, FieldType};
use crate::event::{self, Body};
use crate::ids::Id;

const NOW: i64 = 1_000_000;

/// Plain numbers that look random, the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn text(&mut self, max: usize) -> String {
        const LETTERS: [char; 6] = ['a', 'Z', '7', ' ', 'é', '火'];
        let len = 1 + self.below(max.min(12) as u64);
        (0..len)
            .map(|_| LETTERS[usize::try_from(self.below(6)).unwrap()])
            .collect()
    }

    fn value(&mut self, field: &FieldSpec) -> serde_json::Value {
        match field.kind {
            FieldType::Id => match self.below(4) {
                0 => serde_json::json!(self.below(5)),
                1 => serde_json::json!(i64::MAX as u64 - self.below(2)),
                _ => serde_json::json!(format!("at://{}", self.below(1000))),
            },
            FieldType::Text(..) if field.name == "action" => {
                let names = ["favorite", "dwell_time", "share", "follow_author"];
                serde_json::json!(names[usize::try_from(self.below(4)).unwrap()])
            }
            FieldType::Text(min, max) => serde_json::json!(format!("{:x>min$}", self.text(max))),
            FieldType::Int(min, max) => {
                let span = u64::try_from(max.saturating_sub(min))
                    .unwrap()
                    .saturating_add(1);
                serde_json::json!(min + i64::try_from(self.below(span)).unwrap())
            }
            FieldType::Number(_, max) => {
                serde_json::json!(
                    f64::from(u32::try_from(self.below(1000)).unwrap()) / 1000.0 * max
                )
            }
            FieldType::Bool => serde_json::json!(self.below(2) == 1),
            FieldType::OneOf(words) => {
                serde_json::json!(words[usize::try_from(self.below(words.len() as u64)).unwrap()])
            }
            FieldType::Texts(max) => {
                let len = self.below(max as u64 + 1);
                serde_json::json!((0..len).map(|_| self.text(60)).collect::<Vec<_>>())
            }
        }
    }

    fn line(&mut self, spec: &EventSpec) -> String {
        let mut object = serde_json::Map::new();
        object.insert("type".into(), serde_json::json!(spec.name));
        for field in COMMON.iter().skip(1).chain(spec.fields) {
            if field.required || self.below(3) == 0 {
                object.insert(field.name.into(), self.value(field));
            } else if field.name == "expires_at_ms" {
                object.insert(field.name.into(), serde_json::Value::Null);
            }
        }
        serde_json::Value::Object(object).to_string()
    }
}

fn refused(message: &[u8]) -> Reject {
    decode(message, Some(NOW)).expect_err("an event")
}

/// An event of the type at `position` with the given inside, made at moment 5.
fn event(position: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 1, 5);
    put_bytes(&mut out, FIRST_TYPE + position, inner);
    out
}

const DELETE: u32 = 2;

#[test]
fn json_and_protobuf_say_the_same_of_every_valid_event() {
    let mut draw = Draw(7);
    for spec in EVENTS {
        let mut valid = 0;
        for _ in 0..4000 {
            let line = draw.line(spec);
            let Ok(from_json) = event::decode(line.as_bytes(), None) else {
                assert!(encode(line.as_bytes()).is_err(), "{line}");
                continue;
            };
            valid += 1;
            let message = encode(line.as_bytes()).unwrap();
            let mut from_protobuf = decode(&message, None).expect(&line);
            // Names come in the order in which they are read.
            from_protobuf.names.sort();
            let mut expected = from_json;
            expected.names.sort();
            assert_eq!(from_protobuf, expected, "{line}");
        }
        assert!(valid > 100, "{valid} valid events of `{}`", spec.name);
    }
}

#[test]
fn a_broken_message_is_refused_or_read_and_never_a_panic() {
    let mut draw = Draw(11);
    for spec in EVENTS {
        let line = draw.line(spec);
        let Ok(message) = encode(line.as_bytes()) else {
            continue;
        };
        for end in 0..message.len() {
            assert!(
                decode(&message[..end], None).is_err(),
                "{line} cut at {end}"
            );
        }
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut flipped = message.clone();
                flipped[at] ^= 1 << bit;
                let _ = decode(&flipped, Some(NOW));
            }
        }
    }
    for len in 0..2000 {
        let bytes: Vec<u8> = (0..len % 64)
            .map(|_| u8::try_from(draw.below(256)).unwrap())
            .collect();
        let _ = decode(&bytes, None);
        assert!(Delimited::new(&bytes).count() <= bytes.len());
    }
}

#[test]
fn an_event_without_a_type_names_the_types() {
    let found = refused(&[0x08, 0x05]);
    assert_eq!(
        (found.code, found.field.as_str()),
        ("missing_field", "type")
    );
    assert!(found.message.contains("unlabel"), "{}", found.message);
    assert_eq!(refused(&[]).code, "missing_field");
}

#[test]
fn ids_are_numbers_or_texts_and_0_is_one() {
    let delete = |id: &[u8]| {
        let mut inner = Vec::new();
        put_bytes(&mut inner, 1, id);
        event(DELETE, &inner)
    };
    let post = |message: &[u8]| match decode(message, None).unwrap().body {
        Body::Delete { post, .. } => post,
        other => panic!("{other:?}"),
    };
    assert_eq!(post(&delete(&[0x08, 0x00])), Id(0));
    assert_eq!(post(&delete(&[0x12, 0x01, b'7'])), Id(7));
    let top = [
        0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    let found = refused(&delete(&top));
    assert_eq!(
        (found.code, found.value.as_str()),
        ("bad_id", "18446744073709551615")
    );
    assert_eq!(refused(&delete(&[])).code, "bad_id");
    assert_eq!(refused(&delete(&[0x08, 1, 0x12, 1, b'x'])).code, "bad_id");
    assert_eq!(refused(&delete(&[0x12, 1, 0xff])).code, "not_utf8");
}

#[test]
fn what_is_unknown_repeated_or_of_another_type_is_refused() {
    let id = [0x0a, 0x02, 0x08, 0x07];
    let code = |inner: &[u8]| refused(&event(DELETE, inner)).code;
    decode(&event(DELETE, &id), None).unwrap();
    assert_eq!(code(&[id, id].concat()), "repeated_field");
    assert_eq!(code(&[&id[..], &[0x10, 0x01]].concat()), "unknown_field");
    assert_eq!(code(&[0x08, 0x07]), "wrong_type");
    assert_eq!(code(&[0x0b, 0x0c]), "not_protobuf");
    let twice = [event(DELETE, &id), event(DELETE, &id)].concat();
    assert_eq!(refused(&twice).code, "repeated_field");
    let mut other = event(DELETE, &id);
    put_number(&mut other, 99, 1);
    assert_eq!(refused(&other).code, "unknown_field");
}

#[test]
fn limits_are_those_of_json() {
    let long = encode(br#"{"type":"edit","at_ms":1,"post_id":1,"text":"x"}"#).unwrap();
    decode(&long, None).unwrap();
    let mut inner = Vec::new();
    put_bytes(&mut inner, 1, &[0x08, 0x07]);
    put_bytes(&mut inner, 2, &vec![b'x'; 25_001]);
    assert_eq!(refused(&event(1, &inner)).code, "bad_length");
    let huge = refused(&event(1, &vec![b'x'; 70_000]));
    assert_eq!(huge.code, "message_too_long");
    let late = encode(br#"{"type":"delete","at_ms":1300001,"post_id":1}"#).unwrap();
    assert_eq!(refused(&late).code, "in_the_future");
    let mut negative = Vec::new();
    put_number(&mut negative, 1, (-1_i64).cast_unsigned());
    put_bytes(
        &mut negative,
        FIRST_TYPE + DELETE,
        &[0x0a, 0x02, 0x08, 0x07],
    );
    assert_eq!(refused(&negative).code, "out_of_range");
}

#[test]
fn a_label_must_say_when_it_ends_or_that_it_never_does() {
    let line = br#"{"type":"label","at_ms":5,"post_id":2,"label":"spam","expires_at_ms":null}"#;
    let never = encode(line).unwrap();
    assert_eq!(decode(&never, None), event::decode(line, None));
    let (label, after) = never.split_at(never.len() - 2);
    assert_eq!(after, [0x78, 0x01], "`never_expires` is written last");
    let mut silent = label.to_vec();
    silent[4] -= 2;
    let found = refused(&silent);
    assert_eq!(
        (found.code, found.field.as_str()),
        ("missing_field", "expires_at_ms")
    );
}

#[test]
fn one_bad_message_of_a_stream_costs_that_message() {
    let good = encode(br#"{"type":"delete","at_ms":1,"post_id":1}"#).unwrap();
    let mut stream = Vec::new();
    for message in [&good[..], &[0xff, 0xff], &[], &good[..]] {
        wire::put_varint(&mut stream, message.len() as u64);
        stream.extend_from_slice(message);
    }
    let found: Vec<bool> = Delimited::new(&stream)
        .map(|message| message.and_then(|bytes| decode(bytes, None)).is_ok())
        .collect();
    assert_eq!(found, [true, false, false, true]);
    let mut cut: Vec<_> = Delimited::new(&stream[..stream.len() - 1]).collect();
    assert_eq!(cut.len(), 4);
    assert_eq!(cut.pop().unwrap().unwrap_err().code, "not_protobuf");
}

#[test]
fn the_schema_names_every_field_of_the_table_once_in_its_message() {
    let text = schema();
    for (number, spec) in (16..).zip(EVENTS) {
        let line = format!(" {} = {number};\n", spec.name);
        assert_eq!(text.matches(&line).count(), 1, "{line}");
    }
    assert!(text.contains("\n  optional bool nullcast = 16;"));
    assert!(text.contains("\n    Unlabel unlabel = 32;"));
}
