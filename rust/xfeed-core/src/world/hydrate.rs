//! What is known about a viewer and about candidates.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::batch::{ActiveLabel, CandidateBatch, CoreData, RelatedPost, Relation};
use crate::clock::UnixMs;
use crate::event::{Related, Target};
use crate::ids::Id;
use crate::query::{Lookup, Query};
use crate::thunder::Record;
use crate::world::World;

impl World {
    /// Whom a viewer follows, and how many follow the viewer.
    pub fn hydrate_following(&self, query: &mut Query) {
        query.following = self.graph.following(query.viewer);
        let told = self
            .people
            .profile(query.viewer)
            .and_then(|profile| profile.follower_count);
        let counted = self.graph.follower_count(query.viewer);
        query.follower_count = Some(told.map_or(counted, |told| told.max(counted)));
    }

    /// Whom the viewer blocks and mutes, who blocks the viewer, and which words are muted.
    pub fn hydrate_safety(&self, query: &mut Query) {
        query.blocked = Lookup::Known(self.graph.blocked(query.viewer));
        query.blocked_by = Lookup::Known(self.graph.blocked_by(query.viewer));
        query.muted = Lookup::Known(self.graph.muted(query.viewer));
        let words = self.people.muted_words(query.viewer, query.now_ms);
        query.muted_words = Lookup::Known(words);
    }

    /// Which posts the viewer has seen.
    pub fn hydrate_seen(&self, query: &mut Query) {
        query.seen = Lookup::Known(self.histories.seen(query.viewer).collect());
    }

    /// Fills `core`: everything the filters and the answer need to know about each post.
    pub fn hydrate_core(&self, query: &Query, batch: &mut CandidateBatch) {
        for (row, id) in batch.post_id.iter().enumerate() {
            batch.core[row] = self
                .posts
                .get(*id)
                .map(|record| self.core_data(query, record));
        }
    }

    /// Fills `in_network` from `core`.
    pub fn hydrate_in_network(query: &Query, batch: &mut CandidateBatch) {
        for (core, in_network) in batch.core.iter().zip(&mut batch.in_network) {
            *in_network = core
                .as_ref()
                .map(|core| core.author == query.viewer || query.following.contains(&core.author));
        }
    }

    /// Fills `labels` from `core`, at the query's time.
    pub fn hydrate_labels(&self, query: &Query, batch: &mut CandidateBatch) {
        for row in 0..batch.len() {
            let Some(core) = &batch.core[row] else {
                continue;
            };
            let mut labels = Vec::new();
            let mut add = |target, on| {
                let active = self.labels.active(target, query.now_ms);
                labels.extend(active.into_iter().map(|name| ActiveLabel { name, on }));
            };
            add(Target::Post(batch.post_id[row]), "post");
            add(Target::User(core.author), "author");
            for related in &core.related {
                let (post, author) = match related.relation {
                    Relation::Reposted => ("reposted post", "reposted author"),
                    Relation::Quoted => ("quoted post", "quoted author"),
                    // An answered post is not part of what the card shows.
                    Relation::Ancestor => continue,
                };
                add(Target::Post(related.post), post);
                if let Some(id) = related.author {
                    add(Target::User(id), author);
                }
            }
            batch.labels[row] = Some(labels);
        }
    }

    fn resolve(&self, relation: Relation, related: Related) -> RelatedPost {
        let author = related
            .author
            .or_else(|| self.posts.author_of(related.post));
        let deleted = self.posts.was_deleted(related.post);
        RelatedPost {
            relation,
            post: related.post,
            author,
            deleted,
            protected: author.is_some_and(|author| self.is_protected(author)),
        }
    }

    /// The post itself, then what it repeats, quotes and answers, up to the root that is known.
    fn core_data(&self, query: &Query, record: &Record) -> CoreData {
        let mut related: Vec<RelatedPost> = Vec::new();
        let mut add = |relation, other: Option<Related>| {
            let Some(other) = other else { return };
            if !related.iter().any(|known| known.post == other.post) {
                related.push(self.resolve(relation, other));
            }
        };
        add(Relation::Reposted, record.repost_of);
        add(Relation::Quoted, record.quote_of);
        // A repost shows the whole card of its source, so what the source quotes or answers counts.
        let source = record
            .repost_of
            .and_then(|source| self.posts.get(source.post));
        add(Relation::Quoted, source.and_then(|source| source.quote_of));
        for start in [Some(record), source].into_iter().flatten() {
            add(Relation::Ancestor, start.reply_to);
            add(Relation::Ancestor, start.root);
            for ancestor in self.ancestors(start) {
                add(Relation::Ancestor, Some(ancestor));
            }
        }
        let shown = related
            .iter()
            .filter(|other| other.relation != Relation::Ancestor)
            .map(|other| (other.post, other.author));
        let mut texts = Vec::new();
        let mut people: Vec<Id> = Vec::new();
        for (post, author) in std::iter::once((record.id, Some(record.author))).chain(shown) {
            texts.extend(
                self.contents
                    .get(post)
                    .and_then(|content| content.text().cloned()),
            );
            people.extend(author);
        }
        let profiles = people
            .iter()
            .filter_map(|person| self.people.profile(*person));
        texts.extend(
            profiles
                .flat_map(|profile| [profile.handle.as_deref(), profile.name.as_deref()])
                .flatten()
                .map(Arc::from),
        );
        let viewer = query.viewer;
        let mutual_follow =
            query.following.contains(&record.author) && self.graph.follows(record.author, viewer);
        CoreData {
            author: record.author,
            created_ms: record.created_ms,
            kind: record.kind,
            media_kind: record.media_kind,
            media_duration_ms: record.media_duration_ms,
            related,
            texts,
            mutual_follow,
            protected: self.is_protected(record.author),
        }
    }

    fn is_protected(&self, user: Id) -> bool {
        self.people
            .profile(user)
            .is_some_and(|profile| profile.protected)
    }

    /// Posts above `record` in its conversation, nearest first, as far as they are stored.
    fn ancestors(&self, record: &Record) -> Vec<Related> {
        const MAX_DEPTH: usize = 64;
        let mut met: HashSet<Id> = HashSet::from([record.id]);
        let mut above = Vec::new();
        let mut next = record.reply_to;
        while let Some(parent) = next {
            if above.len() == MAX_DEPTH || !met.insert(parent.post) {
                break;
            }
            above.push(parent);
            next = self
                .posts
                .record(parent.post)
                .and_then(|parent| parent.reply_to);
        }
        above
    }

    /// Text of a post, after its edits.
    pub fn text(&self, post: Id) -> Option<Arc<str>> {
        self.contents
            .get(post)
            .and_then(|content| content.text().cloned())
    }

    /// Language and topics of a post, after its edits.
    pub fn tags(&self, post: Id) -> (Option<String>, Vec<String>) {
        let Some(content) = self.contents.get(post) else {
            return (None, Vec::new());
        };
        (
            content.language().map(str::to_owned),
            content.topics().to_vec(),
        )
    }

    /// Handle of a person.
    pub fn handle(&self, user: Id) -> Option<String> {
        self.people
            .profile(user)
            .and_then(|profile| profile.handle.clone())
    }

    /// Whether a post can be shown.
    pub fn post_state(&self, post: Id) -> PostState {
        if self.posts.get(post).is_some() {
            PostState::Live
        } else if self.posts.was_deleted(post) {
            PostState::Deleted
        } else {
            PostState::Unknown
        }
    }

    /// When a live post was made.
    pub fn created_ms(&self, post: Id) -> Option<UnixMs> {
        self.posts.get(post).map(|record| record.created_ms)
    }
}

/// Whether a post is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostState {
    /// It can be shown.
    Live,
    /// It was deleted.
    Deleted,
    /// It never came in, or is older than the retention.
    Unknown,
}
