//! The published layout, written from its description: what Thunder is compared with.
//!
//! Concurrent hash maps with the standard hasher: records behind `Arc` by id; per author a deque of
//! (id, time) for originals, for replies and reposts, and for videos; tombstones. A read walks the
//! deques of every followed account from the back, looks up each record, sorts everything it took
//! and cuts. Three things differ from the published store, so that both sides do the same work: times
//! are in milliseconds instead of seconds, equal times are told apart by id, and the time of insertion
//! is an argument.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use dashmap::DashMap;
use xfeed_core::event::{PostKind, Related};
use xfeed_core::thunder::Record;

const MAX_ORIGINALS_PER_AUTHOR: usize = 50;
const MAX_SECONDARY_PER_AUTHOR: usize = 30;
const MAX_SCAN_PER_AUTHOR: usize = 500;
const MAX_LIST_LEN: usize = 5_000;

/// A post as it is stored; 0 stands for what is not there.
pub struct Post {
    id: i64,
    author: i64,
    created_ms: i64,
    reply_to: i64,
    reply_to_author: i64,
    source: i64,
    source_author: i64,
    conversation: i64,
    is_reply: bool,
    is_repost: bool,
    has_video: bool,
}

impl From<&Record> for Post {
    fn from(record: &Record) -> Self {
        let post = |related: Option<Related>| related.map_or(0, |it| it.post.0.cast_signed());
        let author = |related: Option<Related>| {
            let author = related.and_then(|it| it.author);
            author.map_or(0, |author| author.0.cast_signed())
        };
        Self {
            id: record.id.0.cast_signed(),
            author: record.author.0.cast_signed(),
            created_ms: record.created_ms,
            reply_to: post(record.reply_to),
            reply_to_author: author(record.reply_to),
            source: post(record.repost_of),
            source_author: author(record.repost_of),
            conversation: post(record.root),
            is_reply: record.kind == PostKind::Reply,
            is_repost: record.kind == PostKind::Repost,
            has_video: record.has_video(),
        }
    }
}

#[derive(Clone, Copy)]
struct Entry {
    id: i64,
    created_ms: i64,
}

impl Post {
    /// When it was made.
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }
}

type Lists = DashMap<i64, VecDeque<Entry>>;

/// The store.
pub struct Published {
    retention_ms: i64,
    posts: DashMap<i64, Arc<Post>>,
    originals: Lists,
    secondary: Lists,
    videos: Lists,
    /// Tombstones: none in this workload, and asked for all the same.
    deleted: DashMap<i64, bool>,
}

impl Published {
    /// An empty store.
    pub fn new(retention_ms: i64) -> Self {
        Self {
            retention_ms,
            posts: DashMap::new(),
            originals: DashMap::new(),
            secondary: DashMap::new(),
            videos: DashMap::new(),
            deleted: DashMap::new(),
        }
    }

    /// Adds a batch that arrived at `now_ms`.
    pub fn insert(&self, mut batch: Vec<Post>, now_ms: i64) {
        batch.retain(|post| {
            post.created_ms < now_ms && now_ms - post.created_ms <= self.retention_ms
        });
        batch.sort_unstable_by_key(|post| (post.created_ms, post.id));
        for post in batch {
            if self.deleted.contains_key(&post.id) {
                continue;
            }
            let post = Arc::new(post);
            if self.posts.insert(post.id, Arc::clone(&post)).is_none() {
                self.list(&post);
            }
        }
    }

    fn list(&self, post: &Post) {
        let entry = Entry {
            id: post.id,
            created_ms: post.created_ms,
        };
        let is_secondary = post.is_reply || post.is_repost;
        let lists = if is_secondary {
            &self.secondary
        } else {
            &self.originals
        };
        self.push(lists, post.author, entry);
        if self.is_video(post) {
            self.push(&self.videos, post.author, entry);
        }
    }

    fn is_video(&self, post: &Post) -> bool {
        let of_source = || {
            let source = self.posts.get(&post.source);
            source.is_some_and(|source| source.has_video && !source.is_reply)
        };
        !post.is_reply && (post.has_video || (post.is_repost && of_source()))
    }

    fn push(&self, lists: &Lists, author: i64, entry: Entry) {
        let mut list = lists.entry(author).or_default();
        while list.len() >= MAX_LIST_LEN {
            if let Some(oldest) = list.pop_front() {
                self.posts.remove(&oldest.id);
            }
        }
        list.push_back(entry);
    }

    /// Sorts every list, as is done once after start-up.
    pub fn sort(&self) {
        for lists in [&self.originals, &self.secondary, &self.videos] {
            for mut list in lists.iter_mut() {
                let entries = list.make_contiguous();
                entries.sort_unstable_by_key(|entry| (entry.created_ms, entry.id));
            }
        }
    }

    /// The newest posts of `following` but for `excluded`, newest first.
    pub fn newest(
        &self,
        viewer: i64,
        following: &[i64],
        excluded: &[i64],
        max_results: usize,
    ) -> Vec<i64> {
        let followed: HashSet<i64> = following.iter().copied().collect();
        let excluded: HashSet<i64> = excluded.iter().copied().collect();
        let mut found = self.walk(
            &self.originals,
            viewer,
            following,
            &excluded,
            MAX_ORIGINALS_PER_AUTHOR,
            None,
        );
        found.extend(self.walk(
            &self.secondary,
            viewer,
            following,
            &excluded,
            MAX_SECONDARY_PER_AUTHOR,
            Some(&followed),
        ));
        found.sort_unstable_by_key(|post| Reverse((post.created_ms, post.id)));
        found.truncate(max_results);
        found.iter().map(|post| post.id).collect()
    }

    fn walk(
        &self,
        lists: &Lists,
        viewer: i64,
        following: &[i64],
        excluded: &HashSet<i64>,
        cap: usize,
        followed: Option<&HashSet<i64>>,
    ) -> Vec<Arc<Post>> {
        let mut found = Vec::new();
        for author in following {
            let Some(list) = lists.get(author) else {
                continue;
            };
            let posts = list
                .iter()
                .rev()
                .filter(|entry| !excluded.contains(&entry.id))
                .take(MAX_SCAN_PER_AUTHOR)
                .filter_map(|entry| self.posts.get(&entry.id).map(|post| Arc::clone(&post)))
                .filter(|post| !(post.is_repost && post.source_author == viewer))
                .filter(|post| followed.is_none_or(|followed| self.shows(post, followed)))
                .take(cap);
            found.extend(posts);
        }
        found
    }

    /// The rule for replies.
    fn shows(&self, post: &Post, followed: &HashSet<i64>) -> bool {
        if followed.is_empty() || post.reply_to == 0 {
            return true;
        }
        let Some(parent) = self.posts.get(&post.reply_to) else {
            return false;
        };
        if !parent.is_reply && !parent.is_repost {
            return true;
        }
        post.conversation != 0
            && parent.reply_to == post.conversation
            && followed.contains(&post.reply_to_author)
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
