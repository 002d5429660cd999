//! Unit tests of the decoder.

use super::*;
use crate::event::schema::EVENTS;
use crate::event::{Body, Related};
use crate::ids::Id;

const NOW: i64 = 1_000_000;

fn read(line: &str) -> Result<Event, Reject> {
    decode(line.as_bytes(), Some(NOW))
}

fn refused(line: &str) -> Reject {
    read(line).expect_err(line)
}

#[test]
fn a_full_post_is_read_field_by_field() {
    let line = r#"{"type":"post","v":1,"event_id":"e1","at_ms":5,"post_id":"p/1","author_id":7,
        "text":"hi","language":"en","media_kind":"video","media_duration_ms":1200,
        "topics":["rust"],"reply_to_id":3,"reply_to_author_id":4,"root_id":2}"#;
    let event = read(line).unwrap();
    assert_eq!((event.at_ms, event.event_id.as_deref()), (5, Some("e1")));
    assert_eq!(event.names.len(), 1);
    let Body::Post(post) = event.body else {
        panic!("not a post")
    };
    assert_eq!(post.author, Id(7));
    assert_eq!(post.media_kind, crate::event::MEDIA_VIDEO);
    assert_eq!(
        post.reply_to,
        Some(Related {
            post: Id(3),
            author: Some(Id(4))
        })
    );
    assert_eq!(
        post.root,
        Some(Related {
            post: Id(2),
            author: None
        })
    );
    assert_eq!(post.kind(), crate::event::PostKind::Reply);
}

#[test]
fn every_type_in_the_schema_can_be_read() {
    let lines = [
        r#"{"type":"post","at_ms":1,"post_id":1,"author_id":2}"#,
        r#"{"type":"edit","at_ms":1,"post_id":1,"text":"x"}"#,
        r#"{"type":"delete","at_ms":1,"post_id":1}"#,
        r#"{"type":"undelete","at_ms":1,"post_id":1}"#,
        r#"{"type":"follow","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"unfollow","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"block","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"unblock","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"mute","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"unmute","at_ms":1,"user_id":1,"target_id":2}"#,
        r#"{"type":"mute_word","at_ms":1,"user_id":1,"word":"x"}"#,
        r#"{"type":"unmute_word","at_ms":1,"user_id":1,"word":"x"}"#,
        r#"{"type":"profile","at_ms":1,"user_id":1,"protected":true}"#,
        r#"{"type":"impression","at_ms":1,"viewer_id":1,"post_id":2,"surface":15}"#,
        r#"{"type":"action","at_ms":1,"viewer_id":1,"post_id":2,"action":"favorite"}"#,
        r#"{"type":"label","at_ms":1,"post_id":2,"label":"spam","expires_at_ms":null}"#,
        r#"{"type":"unlabel","at_ms":1,"user_id":2,"label":"spam"}"#,
    ];
    assert_eq!(lines.len(), EVENTS.len());
    for (line, spec) in lines.iter().zip(EVENTS) {
        assert!(line.contains(&format!("\"{}\"", spec.name)));
        assert_eq!(read(line).expect(line).body.type_name(), spec.name);
    }
}

#[test]
fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
    let found = refused(r#"{"type":"post","at_ms":1,"post_id":-4,"author_id":2}"#);
    assert_eq!(
        (found.code, found.field.as_str(), found.value.as_str()),
        ("bad_id", "post_id", "-4")
    );
    assert!(found.message.contains("2^63 - 1"), "{}", found.message);
}

#[test]
fn near_misses_are_pointed_out() {
    let field = refused(r#"{"type":"delete","at_ms":1,"psot_id":4}"#);
    assert!(
        field.message.contains("did you mean `post_id`"),
        "{}",
        field.message
    );
    let kind = refused(r#"{"type":"folow","at_ms":1}"#);
    assert!(
        kind.message.contains("did you mean `follow`"),
        "{}",
        kind.message
    );
    let action =
        refused(r#"{"type":"action","at_ms":1,"viewer_id":1,"post_id":2,"action":"favourite"}"#);
    assert!(
        action.message.contains("did you mean `favorite`"),
        "{}",
        action.message
    );
}

#[test]
fn ids_are_exact_up_to_the_limit_and_refused_beyond() {
    let line = |id: &str| format!(r#"{{"type":"delete","at_ms":1,"post_id":{id}}}"#);
    let largest = read(&line("9223372036854775807")).unwrap();
    assert_eq!(
        largest.body,
        Body::Delete {
            post: Id(i64::MAX.unsigned_abs()),
            undo: false
        }
    );
    for bad in [
        "9223372036854775808",
        "18446744073709551616",
        "1.0",
        "-1",
        "1e3",
        "\"\"",
        "true",
    ] {
        assert_eq!(refused(&line(bad)).field, "post_id", "{bad}");
    }
}

#[test]
fn the_clock_limits_the_future_only_at_the_border() {
    let line = |at: i64| format!(r#"{{"type":"delete","at_ms":{at},"post_id":1}}"#);
    read(&line(NOW + MAX_SKEW_MS)).unwrap();
    let late = line(NOW + MAX_SKEW_MS + 1);
    assert_eq!(refused(&late).code, "in_the_future");
    decode(late.as_bytes(), None).unwrap();
}

#[test]
fn null_is_absence() {
    let line = r#"{"type":"post","at_ms":1,"post_id":1,"author_id":2,"text":null}"#;
    let Body::Post(post) = read(line).unwrap().body else {
        panic!("not a post")
    };
    assert_eq!(post.text, "");
    let found = refused(r#"{"type":"delete","at_ms":1,"post_id":null}"#);
    assert_eq!(
        (found.code, found.field.as_str()),
        ("missing_field", "post_id")
    );
}

#[test]
fn a_label_must_say_when_it_ends() {
    let found = refused(r#"{"type":"label","at_ms":1,"post_id":2,"label":"spam"}"#);
    assert_eq!(
        (found.code, found.field.as_str()),
        ("missing_field", "expires_at_ms")
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let deep = "[".repeat(10_000);
    let long = "x".repeat(70_000);
    for line in [
        b"" as &[u8],
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b"{}{}",
        b"{\"type\":\"\\ud800\"}",
    ] {
        assert!(decode(line, Some(NOW)).is_err());
    }
    for line in [
        deep.as_str(),
        long.as_str(),
        r#"{"type":"post","at_ms":1e999}"#,
    ] {
        assert!(decode(line.as_bytes(), Some(NOW)).is_err());
    }
}
