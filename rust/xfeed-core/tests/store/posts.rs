//! Posts for the tests, each of one kind and with what that kind needs.

use xfeed_core::event::{PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::thunder::{Record, StoreSettings};

pub(crate) fn post(id: u64, author: u64, created_ms: i64) -> Record {
    Record {
        id: Id(id),
        author: Id(author),
        created_ms,
        kind: PostKind::Original,
        media_kind: 0,
        media_duration_ms: 0,
        reply_to: None,
        root: None,
        repost_of: None,
        quote_of: None,
    }
}

pub(crate) fn related(post: u64) -> Option<Related> {
    Some(Related {
        post: Id(post),
        author: None,
    })
}

pub(crate) fn reply(id: u64, author: u64, created_ms: i64, to: u64, root: u64) -> Record {
    Record {
        kind: PostKind::Reply,
        reply_to: related(to),
        root: related(root),
        ..post(id, author, created_ms)
    }
}

pub(crate) fn repost(id: u64, author: u64, created_ms: i64, of: u64) -> Record {
    Record {
        kind: PostKind::Repost,
        repost_of: related(of),
        ..post(id, author, created_ms)
    }
}

pub(crate) fn quote(id: u64, author: u64, created_ms: i64, of: u64) -> Record {
    Record {
        kind: PostKind::Quote,
        quote_of: related(of),
        ..post(id, author, created_ms)
    }
}

pub(crate) fn video(record: Record) -> Record {
    Record {
        media_kind: 2,
        media_duration_ms: 5000,
        ..record
    }
}

pub(crate) fn settings(max_posts_per_timeline: usize) -> StoreSettings {
    StoreSettings {
        retention_ms: 100,
        max_posts_per_timeline,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    }
}
