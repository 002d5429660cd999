//! Everything folded from the events: posts, people, what was seen and done.
//!
//! `World = fold(log)`. Applying the same events in the same order gives the same world, and so does
//! any order that keeps each viewer's own actions in theirs: every effect is decided by the event's
//! own time. [`World::digest`] proves it. Retention is driven by the time of the events, never by a
//! clock, so a replay forgets what the first run forgot.

mod changes;
mod columns;
mod contents;
mod counters;
mod graph;
mod history;
mod hydrate;
mod labels;
mod people;
mod said;
mod saved;

pub use columns::{InteractionColumns, PostColumns};
pub use counters::Counts;
pub use history::Row;

use hashbrown::HashSet;

use crate::action::{ActionSet, idx};
use crate::clock::{UnixMs, before};
use crate::digest::Digest;
use crate::event::{Action, Body, EdgeKind, Event, Post, PostKind};
use crate::ids::{Id, Names};
use crate::query::Query;
use crate::thunder::{Inserted, PostStore, ReadLimits, ReadRequest, Record, StoreSettings};
use changes::Changes;
use contents::{Change, Contents};
use counters::Counters;
use graph::Graph;
use history::Histories;
use labels::Labels;
use people::People;

/// How much is remembered; Python's config holds the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldSettings {
    /// Of posts. Everything else that is older than their retention, by the latest event's time, is
    /// forgotten with them.
    pub posts: StoreSettings,
    /// Rows kept of each viewer's history.
    pub max_history_len: usize,
}

/// Trimming runs when the events' time has moved on by this part of the retention.
const TRIMS_PER_RETENTION: u64 = 48;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WorldCounts {
    pub events: u64,
    pub posts: usize,
    pub conflicting_posts: u64,
    pub follows: usize,
    pub blocks: usize,
    pub mutes: usize,
    pub profiles: usize,
    pub history_rows: usize,
}

/// The state.
#[derive(Debug)]
pub struct World {
    names: Names,
    posts: PostStore,
    contents: Contents,
    graph: Graph,
    histories: Histories,
    counters: Counters,
    labels: Labels,
    people: People,
    /// Time of the latest event.
    last_ms: UnixMs,
    /// When the next trim is due, by the events' time.
    next_trim_ms: UnixMs,
    events: u64,
    changes: Changes,
}

impl World {
    /// An empty world.
    pub fn new(settings: WorldSettings) -> Self {
        let mut posts = PostStore::new(settings.posts.clone());
        posts.remember_gone();
        Self {
            names: Names::default(),
            posts,
            contents: Contents::default(),
            graph: Graph::default(),
            histories: Histories::new(settings.max_history_len),
            counters: Counters::default(),
            labels: Labels::default(),
            people: People::default(),
            last_ms: 0,
            next_trim_ms: 0,
            events: 0,
            changes: Changes::default(),
        }
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        self.events += 1;
        for (id, text) in &event.names {
            self.names.learn(*id, text);
        }
        let at_ms = event.at_ms;
        match &event.body {
            // An advert is nobody's feed's business.
            Body::Post(post) if post.nullcast => {}
            Body::Post(post) => self.apply_post(post, at_ms),
            Body::Edit {
                post,
                text,
                language,
                topics,
            } => {
                let change = Change {
                    text: text.as_deref(),
                    language: language.as_deref().map(Some),
                    topics: topics.as_deref(),
                };
                self.contents.set(*post, at_ms, true, &change);
                self.changes.push(*post);
            }
            Body::Delete { post, undo } => {
                self.posts.set_deleted(*post, at_ms, !undo);
                self.changes.push(*post);
            }
            Body::Edge { kind, from, to, on } => self.graph.set(*kind, *from, *to, at_ms, *on),
            Body::Word {
                viewer,
                word,
                expires_ms,
                on,
            } => {
                self.people.set_word(*viewer, word, at_ms, *expires_ms, *on);
            }
            Body::Profile { user, profile } => {
                self.people.set_profile(*user, at_ms, (**profile).clone());
            }
            Body::Impression {
                viewer,
                post,
                request,
                surface,
            } => {
                if self
                    .histories
                    .impression(*viewer, *post, at_ms, *request, *surface)
                {
                    self.counters.shown(*post);
                }
            }
            Body::Action(action) => self.apply_action(action, at_ms),
            Body::Label {
                target,
                label,
                expires_ms,
                on,
            } => {
                self.labels.set(*target, label, at_ms, *expires_ms, *on);
            }
        }
        self.last_ms = self.last_ms.max(at_ms);
        if self.last_ms >= self.next_trim_ms {
            self.trim();
        }
    }

    fn apply_post(&mut self, post: &Post, at_ms: UnixMs) {
        let inserted = self.posts.insert(&Record {
            id: post.id,
            author: post.author,
            created_ms: at_ms,
            kind: post.kind(),
            media_kind: post.media_kind,
            media_duration_ms: post.media_duration_ms,
            reply_to: post.reply_to,
            root: post.root,
            repost_of: post.repost_of,
            quote_of: post.quote_of,
        });
        if !matches!(inserted, Inserted::Added | Inserted::AddedDeleted) {
            return; // The first create of an id stands, in the order of the log.
        }
        let change = Change {
            text: Some(&post.text),
            language: Some(post.language.as_deref()),
            topics: Some(&post.topics),
        };
        self.contents.set(post.id, at_ms, false, &change);
        self.changes.push(post.id);
        for (related, action) in [
            (post.reply_to, idx::REPLY),
            (post.repost_of, idx::REPOST),
            (post.quote_of, idx::QUOTE),
        ] {
            if let Some(related) = related {
                self.apply_action(
                    &Action {
                        viewer: post.author,
                        post: related.post,
                        action,
                        seconds: 0.0,
                        request: None,
                        surface: 0,
                        author: related.author,
                    },
                    at_ms,
                );
            }
        }
    }

    fn apply_action(&mut self, action: &Action, at_ms: UnixMs) {
        let first_times: ActionSet = self.histories.action(action, at_ms);
        self.counters.acted(action.post, first_times);
        let edge = match action.action {
            idx::FOLLOW_AUTHOR => Some(EdgeKind::Follow),
            idx::BLOCK_AUTHOR => Some(EdgeKind::Block),
            idx::MUTE_AUTHOR => Some(EdgeKind::Mute),
            _ => None,
        };
        if let (Some(kind), Some(author)) = (edge, action.author) {
            self.graph.set(kind, action.viewer, author, at_ms, true);
        }
    }

    /// Forgets posts older than the retention, seen from the latest event.
    fn trim(&mut self) {
        let retention_ms = self.posts.settings().retention_ms;
        let oldest = before(self.last_ms, retention_ms);
        let gone = self.posts.trim(self.last_ms);
        for post in gone.keys() {
            self.counters.forget(*post);
            self.changes.push(*post);
        }
        self.histories.trim(&gone, oldest);
        let posts = &self.posts;
        self.labels
            .trim(|post| posts.author_of(post).is_some(), oldest);
        self.contents
            .trim(|post| posts.author_of(post).is_some(), oldest);
        let step = i64::try_from(retention_ms / TRIMS_PER_RETENTION)
            .unwrap_or(i64::MAX)
            .max(1);
        self.next_trim_ms = self.last_ms.saturating_add(step);
    }

    /// Hash of the whole state at the latest event's time, in hexadecimal.
    pub fn digest(&mut self) -> String {
        self.trim();
        self.hash()
    }

    /// The same without forgetting first what is due.
    fn hash(&self) -> String {
        let mut digest = Digest::new();
        digest.i64(self.last_ms);
        self.posts.digest_into(&mut digest);
        self.contents.digest(&mut digest);
        self.graph.digest(&mut digest);
        self.histories.digest(&mut digest);
        let posts = &self.posts;
        self.counters
            .digest(&mut digest, |post| posts.author_of(post).is_some());
        self.labels.digest(&mut digest);
        self.people.digest(&mut digest);
        digest.hex()
    }

    /// Time of the latest event.
    pub fn last_ms(&self) -> UnixMs {
        self.last_ms
    }

    /// Changes whenever a post appears, disappears or is edited.
    pub fn generation(&self) -> u64 {
        self.changes.generation()
    }

    /// The posts that appeared, disappeared or were edited after `generation`, by id; None when it is
    /// so long ago that they are no longer known.
    pub fn changed_since(&self, generation: u64) -> Option<Vec<Id>> {
        self.changes.since(generation)
    }

    /// The spelling of an id.
    pub fn spell(&self, id: Id) -> String {
        self.names.spell(id)
    }

    /// How much there is of everything.
    pub fn counts(&self) -> WorldCounts {
        let posts = self.posts.counts();
        let [follows, blocks, mutes] = self.graph.counts();
        WorldCounts {
            events: self.events,
            posts: usize::try_from(posts.posts + posts.deleted).unwrap_or(usize::MAX),
            conflicting_posts: posts.conflicts,
            follows,
            blocks,
            mutes,
            profiles: self.people.profile_count(),
            history_rows: self.histories.row_count(),
        }
    }

    /// The newest posts of the accounts the viewer follows, without those known to be seen; see
    /// [`PostStore::newest`].
    pub fn in_network(&self, query: &Query, oldest_ms: UnixMs, limits: ReadLimits) -> Vec<Id> {
        let seen: Vec<Id> = query.seen.known().into_iter().flatten().copied().collect();
        let following: Vec<Id> = query.following.iter().copied().collect();
        let request = ReadRequest {
            viewer: Some(query.viewer),
            following: &following,
            excluded: &seen,
            oldest_ms,
            newest_ms: query.now_ms,
            videos_only: false,
            limits,
            start: 0,
            expired: None,
        };
        self.posts.newest(&request).posts
    }

    /// The posts with most engagements, not older than `oldest_ms` and not made after the request;
    /// ties go to the newer post, then to the larger id. Replies, reposts and what the viewer is
    /// known to have seen are left out.
    pub fn popular(&self, query: &Query, oldest_ms: UnixMs, max_results: usize) -> Vec<Id> {
        let nothing = HashSet::new();
        let seen = query.seen.known().unwrap_or(&nothing);
        let mut found: Vec<(u64, UnixMs, Id)> = self
            .posts
            .live()
            .into_iter()
            .filter(|record| (oldest_ms..=query.now_ms).contains(&record.created_ms))
            .filter(|record| matches!(record.kind, PostKind::Original | PostKind::Quote))
            .filter(|record| !seen.contains(&record.id))
            .map(|record| {
                (
                    self.counters.get(record.id).engagements(),
                    record.created_ms,
                    record.id,
                )
            })
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(max_results);
        found.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Counts of one post.
    pub fn post_counts(&self, post: Id) -> Counts {
        self.counters.get(post)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
