//! The table of event types and their fields. Both decoders and the docs read it.
//!
//! Positions are numbers in protobuf messages: new types and fields go to the end, and none goes.

use crate::event::MEDIA_KINDS;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldType {
    /// An id: an integer or a string.
    Id,
    /// Text of `min..=max` characters.
    Text(usize, usize),
    /// An integer in `min..=max`.
    Int(i64, i64),
    /// A finite number in `min..=max`.
    Number(f64, f64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Up to so many texts of 1 to 64 characters.
    Texts(usize),
}

impl FieldType {
    /// What a field of this type may hold, for messages and docs.
    pub fn describe(self) -> String {
        match self {
            Self::Id => "an id (an integer 0 ..= 2^63 - 1 or a string)".into(),
            Self::Text(min, max) => format!("a text of {min} to {max} characters"),
            Self::Int(min, max) => format!("an integer {min} ..= {max}"),
            Self::Number(min, max) => format!("a number {min} ..= {max}"),
            Self::Bool => "true or false".into(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Texts(max) => format!("a list of at most {max} texts of 1 to 64 characters"),
        }
    }
}

/// One field of an event type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldSpec {
    /// Name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldType,
    /// Whether it must be there and not `null`.
    pub required: bool,
}

/// One event type.
#[derive(Debug, Clone, Copy)]
pub struct EventSpec {
    /// Value of `type`.
    pub name: &'static str,
    /// Its fields besides the common ones.
    pub fields: &'static [FieldSpec],
}

use FieldType::{Bool, Id, Int, Number, OneOf, Text, Texts};

const fn must(name: &'static str, kind: FieldType) -> FieldSpec {
    FieldSpec {
        name,
        kind,
        required: true,
    }
}

const fn may(name: &'static str, kind: FieldType) -> FieldSpec {
    FieldSpec {
        name,
        kind,
        required: false,
    }
}

const MEDIA: &[&str] = MEDIA_KINDS.split_at(1).1;
const TEXT: FieldType = Text(0, 25_000);
const LANGUAGE: FieldType = Text(2, 35);
const TOPICS: FieldType = Texts(16);
const DAY_MS: i64 = 86_400_000;
const LAST_MS: i64 = 253_402_300_799_999; // end of the year 9999
const MOMENT: FieldType = Int(0, LAST_MS);
const SURFACE: FieldType = Int(0, 15);

const EDGE: &[FieldSpec] = &[must("user_id", Id), must("target_id", Id)];
const POST_ONLY: &[FieldSpec] = &[must("post_id", Id)];

/// Fields of every event; the upper limit of `at_ms` is the clock's.
pub const COMMON: &[FieldSpec] = &[
    must("type", Text(1, 64)),
    must("at_ms", MOMENT),
    may("event_id", Id),
    may("v", Int(1, 1)),
];

/// Every event type.
pub const EVENTS: &[EventSpec] = &[
    EventSpec {
        name: "post",
        fields: &[
            must("post_id", Id),
            must("author_id", Id),
            may("text", TEXT),
            may("language", LANGUAGE),
            may("media_kind", OneOf(MEDIA)),
            may("media_duration_ms", Int(0, DAY_MS)),
            may("topics", TOPICS),
            may("reply_to_id", Id),
            may("reply_to_author_id", Id),
            may("root_id", Id),
            may("root_author_id", Id),
            may("repost_of_id", Id),
            may("repost_of_author_id", Id),
            may("quote_of_id", Id),
            may("quote_of_author_id", Id),
            may("nullcast", Bool),
        ],
    },
    EventSpec {
        name: "edit",
        fields: &[
            must("post_id", Id),
            may("text", TEXT),
            may("language", LANGUAGE),
            may("topics", TOPICS),
        ],
    },
    EventSpec {
        name: "delete",
        fields: POST_ONLY,
    },
    EventSpec {
        name: "undelete",
        fields: POST_ONLY,
    },
    EventSpec {
        name: "follow",
        fields: EDGE,
    },
    EventSpec {
        name: "unfollow",
        fields: EDGE,
    },
    EventSpec {
        name: "block",
        fields: EDGE,
    },
    EventSpec {
        name: "unblock",
        fields: EDGE,
    },
    EventSpec {
        name: "mute",
        fields: EDGE,
    },
    EventSpec {
        name: "unmute",
        fields: EDGE,
    },
    EventSpec {
        name: "mute_word",
        fields: &[
            must("user_id", Id),
            must("word", Text(1, 200)),
            may("expires_at_ms", MOMENT),
        ],
    },
    EventSpec {
        name: "unmute_word",
        fields: &[must("user_id", Id), must("word", Text(1, 200))],
    },
    EventSpec {
        name: "profile",
        fields: &[
            must("user_id", Id),
            may("handle", Text(1, 256)),
            may("name", Text(0, 256)),
            may("language", LANGUAGE),
            may("created_at_ms", MOMENT),
            may("protected", Bool),
            may("follower_count", Int(0, i64::MAX)),
        ],
    },
    EventSpec {
        name: "impression",
        fields: &[
            must("viewer_id", Id),
            must("post_id", Id),
            may("request_id", Id),
            may("surface", SURFACE),
        ],
    },
    EventSpec {
        name: "action",
        fields: &[
            must("viewer_id", Id),
            must("post_id", Id),
            must("action", Text(1, 64)),
            may("seconds", Number(0.0, 86_400.0)),
            may("request_id", Id),
            may("surface", SURFACE),
            may("author_id", Id),
        ],
    },
    EventSpec {
        name: "label",
        fields: &[
            may("post_id", Id),
            may("user_id", Id),
            must("label", Text(1, 64)),
            may("expires_at_ms", MOMENT),
        ],
    },
    EventSpec {
        name: "unlabel",
        fields: &[
            may("post_id", Id),
            may("user_id", Id),
            must("label", Text(1, 64)),
        ],
    },
];
