//! Posts: their kinds, and how they refer to each other.

use crate::ids::Id;

/// Kind of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PostKind {
    Original,
    Reply,
    Repost,
    Quote,
}

impl PostKind {
    /// Every kind; the position is the number in columns.
    pub const ALL: [Self; 4] = [Self::Original, Self::Reply, Self::Repost, Self::Quote];

    /// Name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Reply => "reply",
            Self::Repost => "repost",
            Self::Quote => "quote",
        }
    }
}

/// Names of the kinds of media; the position is the number in columns, 0 is none.
pub const MEDIA_KINDS: [&str; 5] = ["none", "photo", "video", "animation", "audio"];

/// Position of `video` in [`MEDIA_KINDS`].
pub const MEDIA_VIDEO: u8 = 2;

/// Whether media of this kind has a duration.
pub fn has_duration(media_kind: u8) -> bool {
    matches!(media_kind, MEDIA_VIDEO..=MEDIA_AUDIO)
}

const MEDIA_AUDIO: u8 = 4;

/// A post that another one refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Related {
    /// The post.
    pub post: Id,
    /// Its author, where the sender knew.
    pub author: Option<Id>,
}

/// A new post.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are described in `schema`")]
pub struct Post {
    pub id: Id,
    pub author: Id,
    pub text: String,
    pub language: Option<String>,
    pub media_kind: u8,
    pub media_duration_ms: u32,
    pub topics: Vec<String>,
    pub reply_to: Option<Related>,
    /// Whom it answers, where the post it answers was not said.
    pub reply_to_author: Option<Id>,
    pub root: Option<Related>,
    pub repost_of: Option<Related>,
    pub quote_of: Option<Related>,
    /// Made as an advert only: no feed shows it.
    pub nullcast: bool,
}

impl Post {
    /// A repost is nothing else; a reply may also quote.
    pub fn kind(&self) -> PostKind {
        if self.repost_of.is_some() {
            PostKind::Repost
        } else if self.reply_to.is_some() || self.reply_to_author.is_some() {
            PostKind::Reply
        } else if self.quote_of.is_some() {
            PostKind::Quote
        } else {
            PostKind::Original
        }
    }

    /// What contradicts itself in how it refers to other posts, if anything does.
    pub fn fault(&self) -> Option<PostFault> {
        let is_reply = self.reply_to.is_some() || self.reply_to_author.is_some();
        let itself = [
            (self.reply_to, "reply_to_id"),
            (self.root, "root_id"),
            (self.repost_of, "repost_of_id"),
            (self.quote_of, "quote_of_id"),
        ]
        .into_iter()
        .find(|(related, _)| related.is_some_and(|related| related.post == self.id));
        if let Some((_, field)) = itself {
            return Some(PostFault {
                code: "points_at_itself",
                field,
                message: "must be another post than `post_id`",
            });
        }
        if self.repost_of.is_some() && (is_reply || self.quote_of.is_some()) {
            return Some(PostFault {
                code: "contradiction",
                field: "repost_of_id",
                message: "cannot be a reply or a quote as well: leave those fields out",
            });
        }
        (self.root.is_some() && !is_reply).then_some(PostFault {
            code: "missing_field",
            field: "reply_to_id",
            message: "a post with `root_id` is a reply",
        })
    }
}

/// What is wrong with a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostFault {
    /// Stable code, as in [`crate::event::Reject`].
    pub code: &'static str,
    /// The field it is about.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub message: &'static str,
}
