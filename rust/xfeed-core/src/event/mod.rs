//! Everything the engine knows came in as an event: one JSON object or one protobuf message, checked
//! field by field.
//!
//! [`schema`] is the table of types and fields, which both formats share. [`decode`] and
//! [`protobuf::decode`] turn bytes into an [`Event`] or into a [`Reject`] that names the field, the
//! value and what is allowed.

mod body;
mod decode;
mod fields;
mod json;
mod post;
pub mod protobuf;
mod reject;
pub mod schema;

pub use decode::{MAX_SKEW_MS, decode};
pub use post::{MEDIA_KINDS, MEDIA_VIDEO, Post, PostFault, PostKind, Related, has_duration};
pub use reject::Reject;

use crate::clock::UnixMs;
use crate::ids::Id;

/// A checked event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it happened.
    pub at_ms: UnixMs,
    /// The sender's name for this very event, as text.
    pub event_id: Option<String>,
    /// What happened.
    pub body: Body,
    /// String ids in it with their spelling.
    pub names: Vec<(Id, String)>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are described in `schema`")]
pub enum Body {
    Post(Box<Post>),
    Edit {
        post: Id,
        text: Option<String>,
        language: Option<String>,
        topics: Option<Vec<String>>,
    },
    Delete {
        post: Id,
        undo: bool,
    },
    Edge {
        kind: EdgeKind,
        from: Id,
        to: Id,
        on: bool,
    },
    Word {
        viewer: Id,
        word: String,
        expires_ms: Option<UnixMs>,
        on: bool,
    },
    Profile {
        user: Id,
        profile: Box<Profile>,
    },
    Impression {
        viewer: Id,
        post: Id,
        request: Option<Id>,
        surface: u8,
    },
    Action(Box<Action>),
    Label {
        target: Target,
        label: String,
        expires_ms: Option<UnixMs>,
        on: bool,
    },
}

impl Body {
    /// The `type` of the event it came from.
    pub fn type_name(&self) -> &'static str {
        let or = |on: bool, yes: &'static str, no: &'static str| if on { yes } else { no };
        match self {
            Self::Post(_) => "post",
            Self::Edit { .. } => "edit",
            Self::Delete { undo, .. } => or(*undo, "undelete", "delete"),
            Self::Edge {
                kind: EdgeKind::Follow,
                on,
                ..
            } => or(*on, "follow", "unfollow"),
            Self::Edge {
                kind: EdgeKind::Block,
                on,
                ..
            } => or(*on, "block", "unblock"),
            Self::Edge {
                kind: EdgeKind::Mute,
                on,
                ..
            } => or(*on, "mute", "unmute"),
            Self::Word { on, .. } => or(*on, "mute_word", "unmute_word"),
            Self::Profile { .. } => "profile",
            Self::Impression { .. } => "impression",
            Self::Action(_) => "action",
            Self::Label { on, .. } => or(*on, "label", "unlabel"),
        }
    }
}

/// The relations between people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum EdgeKind {
    Follow,
    Block,
    Mute,
}

/// What is known about a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "the fields are described in `schema`")]
pub struct Profile {
    pub handle: Option<String>,
    pub name: Option<String>,
    pub language: Option<String>,
    pub created_ms: Option<UnixMs>,
    pub protected: Option<bool>,
    pub follower_count: Option<u64>,
}

/// What a viewer did with a post.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are described in `schema`")]
pub struct Action {
    pub viewer: Id,
    pub post: Id,
    /// Position in the action table.
    pub action: usize,
    pub seconds: f32,
    pub request: Option<Id>,
    pub surface: u8,
    pub author: Option<Id>,
}

/// What a label is stuck to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Target {
    Post(Id),
    User(Id),
}
