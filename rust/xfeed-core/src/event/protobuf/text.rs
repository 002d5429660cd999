//! The schema as text, for those who compile it.

use std::fmt::Write as _;

use crate::event::protobuf::{FIRST_TYPE, NEVER_EXPIRES};
use crate::event::schema::{COMMON, EVENTS, FieldSpec, FieldType};

const HEAD: &str = r#"// Events of xfeed, version 1. Written by `make docs` from the table that the decoder reads.
//
// One `Event` is one message (of a Kafka topic, for instance); in a file or a buffer each comes after
// its length as a varint. docs/events.md says what the types and fields mean. What is unknown, repeated
// or outside its limits is refused, that event alone. Scalars are `optional` so that 0 and "not said"
// differ. Numbers never change; new fields and types get new ones.
syntax = "proto3";

package xfeed.v1;

// An integer 0 ..= 2^63 - 1 or a text of 1 to 512 bytes. One of both must be there: 0 is an id.
message Id {
  oneof id {
    uint64 number = 1;
    string text = 2;
  }
}

// A list that can be empty and still be there.
message Texts {
  repeated string items = 1;
}
"#;

/// The schema in the language of protobuf.
pub fn schema() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\nmessage Event {\n");
    for (number, field) in COMMON.iter().enumerate().skip(1) {
        text.push_str(&line(number, field));
    }
    text.push_str("  // Exactly one.\n  oneof type {\n");
    for (number, spec) in (FIRST_TYPE..).zip(EVENTS) {
        let line = format!(
            "    {} {} = {number};\n",
            message_name(spec.name),
            spec.name
        );
        text.push_str(&line);
    }
    text.push_str("  }\n}\n");
    for spec in EVENTS {
        let _ = writeln!(text, "\nmessage {} {{", message_name(spec.name));
        for (i, field) in spec.fields.iter().enumerate() {
            text.push_str(&line(i + 1, field));
        }
        if spec.name == "label" {
            text.push_str("  // A label says when it ends, or here that it never does.\n");
            let _ = writeln!(text, "  optional bool never_expires = {NEVER_EXPIRES};");
        }
        text.push_str("}\n");
    }
    text
}

fn line(number: usize, field: &FieldSpec) -> String {
    let kind = match field.kind {
        FieldType::Id => "Id",
        FieldType::Texts(_) => "Texts",
        FieldType::Text(..) | FieldType::OneOf(_) => "optional string",
        FieldType::Int(..) => "optional int64",
        FieldType::Number(..) => "optional double",
        FieldType::Bool => "optional bool",
    };
    let mut note = if field.required { " // required" } else { "" }.to_owned();
    match field.kind {
        FieldType::Id | FieldType::Bool => {}
        other if note.is_empty() => note = format!(" // {}", other.describe()),
        other => note = format!("{note}, {}", other.describe()),
    }
    format!("  {kind} {} = {number};{note}\n", field.name)
}

/// `mute_word` is `MuteWord`.
fn message_name(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at(1);
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect()
}
