//! What is known about a viewer and about candidates.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::batch::{ActiveLabel, CandidateBatch, CoreData, PostState, RelatedPost, Relation};
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
                .map(|record| self.core_data(query, &record));
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

    /// The store knows better than the sender who wrote a post.
    fn resolve(&self, relation: Relation, related: Related) -> RelatedPost {
        let author = self.posts.author_of(related.post).or(related.author);
        RelatedPost {
            relation,
            post: related.post,
            author,
            state: self.post_state(related.post),
            protected: author.is_some_and(|author| self.is_protected(author)),
        }
    }

    /// Every post inside the card of `record`: what it repeats and quotes, what those repeat and
    /// quote, and everything that any of them answers. Nearest first.
    fn related(&self, record: &Record) -> Vec<RelatedPost> {
        const MAX_RELATED: usize = 64;
        let mut related: Vec<RelatedPost> = Vec::new();
        let mut met: HashSet<Id> = HashSet::from([record.id]);
        let mut queue = VecDeque::from([(*record, true)]);
        while let Some((from, is_shown)) = queue.pop_front() {
            let shown = |other: Option<Related>| other.filter(|_| is_shown);
            let edges = [
                (Relation::Reposted, shown(from.repost_of)),
                (Relation::Quoted, shown(from.quote_of)),
                (Relation::Ancestor, from.reply_to),
                (Relation::Ancestor, from.root),
            ];
            for (relation, other) in edges {
                let Some(other) = other.filter(|other| met.insert(other.post)) else {
                    continue;
                };
                related.push(self.resolve(relation, other));
                if related.len() == MAX_RELATED {
                    // Nobody looked at what is further down, so its author is unknown.
                    if let Some(last) = related.last_mut() {
                        last.author = None;
                    }
                    return related;
                }
                if let Some(next) = self.posts.record(other.post) {
                    queue.push_back((next, relation != Relation::Ancestor));
                }
            }
        }
        related
    }

    fn core_data(&self, query: &Query, record: &Record) -> CoreData {
        let related = self.related(record);
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
            .is_some_and(|profile| profile.protected == Some(true))
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
