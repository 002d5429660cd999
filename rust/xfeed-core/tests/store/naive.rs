//! The store's specification as a program that is slow and plain: two maps, and every question is
//! answered by looking at all posts. What it says is right; the store has to say the same.

use std::collections::{BTreeMap, BTreeSet};

use xfeed_core::event::PostKind;
use xfeed_core::ids::Id;
use xfeed_core::thunder::{Found, Inserted, ReadRequest, Record, StoreCounts, StoreSettings};

/// Everything that two equal stores must agree on.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct State {
    /// Live and deleted posts.
    pub(crate) posts: BTreeMap<u64, Record>,
    /// What was last said about a post's life: when, and whether deleted.
    pub(crate) said: BTreeMap<u64, (i64, bool)>,
}

pub(crate) struct Naive {
    settings: StoreSettings,
    pub(crate) state: State,
    /// What is older is hidden at once and counted until the next trim.
    oldest: i128,
    /// Posts that made way since the last trim, with their authors.
    gone: BTreeMap<u64, u64>,
    conflicts: u64,
    over_cap: u64,
    trimmed: u64,
}

impl Naive {
    pub(crate) fn new(settings: StoreSettings) -> Self {
        Self {
            settings,
            state: State::default(),
            oldest: i128::MIN,
            gone: BTreeMap::new(),
            conflicts: 0,
            over_cap: 0,
            trimmed: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    pub(crate) fn insert(&mut self, record: &Record) -> Inserted {
        if record.created_ms < 0 || record.created_ms >= 1 << 48 {
            return Inserted::BadTime;
        }
        if let Some(first) = self.record(record.id) {
            if first == *record {
                return Inserted::Known;
            }
            self.conflicts += 1;
            return Inserted::Conflict;
        }
        if let Some(hidden) = self.state.posts.remove(&record.id.0) {
            self.trimmed += 1;
            self.gone.insert(hidden.id.0, hidden.author.0);
        }
        self.state.posts.insert(record.id.0, *record);
        let list = self.list(record.author, record.is_secondary());
        if list.len() > self.settings.max_posts_per_timeline {
            let oldest = list[list.len() - 1].id;
            let was_hidden = oldest != record.id && self.record(oldest).is_none();
            self.state.posts.remove(&oldest.0);
            self.trimmed += u64::from(was_hidden);
            self.over_cap += u64::from(!was_hidden);
            if oldest == record.id {
                return Inserted::OverCap;
            }
            self.gone.insert(oldest.0, record.author.0);
        }
        self.gone.remove(&record.id.0);
        if self.was_deleted(record.id) {
            return Inserted::AddedDeleted;
        }
        Inserted::Added
    }

    pub(crate) fn set_deleted(&mut self, id: Id, at_ms: i64, deleted: bool) {
        let said = self.state.said.entry(id.0).or_insert((at_ms, deleted));
        *said = (*said).max((at_ms, deleted));
    }

    pub(crate) fn trim(&mut self, now_ms: i64) -> BTreeMap<u64, u64> {
        let oldest = i128::from(now_ms) - i128::from(self.settings.retention_ms);
        self.oldest = self.oldest.max(oldest);
        let oldest = self.oldest;
        let is_old = |at_ms: i64| i128::from(at_ms) < oldest;
        let mut gone: BTreeMap<u64, u64> = (self.state.posts.values())
            .filter(|post| is_old(post.created_ms))
            .map(|post| (post.id.0, post.author.0))
            .collect();
        self.state.posts.retain(|id, _| !gone.contains_key(id));
        let posts = &self.state.posts;
        let stays = |id: &u64, at_ms| !is_old(at_ms) || posts.contains_key(id);
        self.state.said.retain(|id, said| stays(id, said.0));
        self.trimmed += gone.len() as u64;
        gone.append(&mut self.gone);
        gone
    }

    pub(crate) fn record(&self, id: Id) -> Option<Record> {
        let post = self.state.posts.get(&id.0).copied();
        post.filter(|post| i128::from(post.created_ms) >= self.oldest)
    }

    /// The state without what is hidden.
    pub(crate) fn shown(&self) -> State {
        let mut state = self.state.clone();
        state.posts.retain(|id, _| self.record(Id(*id)).is_some());
        state
    }

    pub(crate) fn was_deleted(&self, id: Id) -> bool {
        self.state.said.get(&id.0).is_some_and(|said| said.1)
    }

    pub(crate) fn get(&self, id: Id) -> Option<Record> {
        self.record(id).filter(|_| !self.was_deleted(id))
    }

    pub(crate) fn live(&self) -> Vec<Record> {
        let ids = self.state.posts.keys();
        ids.filter_map(|id| self.get(Id(*id))).collect()
    }

    pub(crate) fn counts(&self) -> StoreCounts {
        let is_dead = |id: &&u64| self.was_deleted(Id(**id));
        let n_dead = self.state.posts.keys().filter(is_dead).count();
        let authors: BTreeSet<Id> = self.state.posts.values().map(|post| post.author).collect();
        StoreCounts {
            posts: (self.state.posts.len() - n_dead) as u64,
            deleted: n_dead as u64,
            tombstones: self.state.said.len() as u64,
            authors: authors.len() as u64,
            conflicts: self.conflicts,
            over_cap: self.over_cap,
            over_budget: 0,
            trimmed: self.trimmed,
        }
    }

    /// One author's posts in one list, live and deleted, newest first.
    fn list(&self, author: Id, secondary: bool) -> Vec<Record> {
        let mut list: Vec<Record> = (self.state.posts.values())
            .filter(|post| post.author == author && post.is_secondary() == secondary)
            .copied()
            .collect();
        list.sort_by_key(|post| std::cmp::Reverse((post.created_ms, post.id)));
        list
    }

    pub(crate) fn newest(&self, request: &ReadRequest<'_>) -> Found {
        let mut followed: BTreeSet<Id> = request.following.iter().copied().collect();
        followed.retain(|author| !self.settings.hidden_authors.contains(author));
        let limits = request.limits;
        let mut found: Vec<Record> = Vec::new();
        for author in &followed {
            let mut originals = self.list(*author, false);
            let mut secondary = self.list(*author, true);
            originals.retain(|post| self.is_wanted(post, request));
            secondary.retain(|post| self.is_wanted(post, request));
            secondary.truncate(limits.max_scan_per_author);
            if request.videos_only {
                originals.retain(Record::has_video);
                secondary.retain(|post| self.shows_video(post, request));
                originals.extend(secondary);
                originals.sort_by_key(|post| std::cmp::Reverse((post.created_ms, post.id)));
                originals.truncate(limits.max_videos_per_author);
                found.extend(originals);
            } else {
                secondary.retain(|post| self.shows(post, request.viewer, &followed));
                originals.truncate(limits.max_originals_per_author);
                secondary.truncate(limits.max_secondary_per_author);
                found.extend(originals);
                found.extend(secondary);
            }
        }
        found.sort_by_key(|post| std::cmp::Reverse((post.created_ms, post.id)));
        found.truncate(limits.max_results);
        let with_posts = |author: &&Id| {
            let lists = [self.list(**author, false), self.list(**author, true)];
            !lists.concat().is_empty()
        };
        let authors = followed.iter().filter(with_posts).count();
        Found {
            posts: found.iter().map(|post| post.id).collect(),
            authors,
            authors_scanned: authors,
        }
    }

    fn is_wanted(&self, post: &Record, request: &ReadRequest<'_>) -> bool {
        let window = request.oldest_ms..=request.newest_ms;
        self.get(post.id).is_some()
            && window.contains(&post.created_ms)
            && !request.excluded.contains(&post.id)
    }

    /// Whether somebody else made the post that `repost` repeats, as far as one knows.
    fn repeats_another(&self, repost: &Record, viewer: Option<Id>) -> bool {
        let source = repost.repost_of;
        let sent = source.and_then(|source| source.author);
        let known = source.and_then(|source| self.record(source.post));
        let author = known.map(|post| post.author);
        viewer.is_none() || (author != viewer && sent != viewer)
    }

    fn shows(&self, post: &Record, viewer: Option<Id>, followed: &BTreeSet<Id>) -> bool {
        if post.kind == PostKind::Repost {
            let source = post.repost_of;
            let is_dead = source.is_some_and(|source| self.was_deleted(source.post));
            return !is_dead && self.repeats_another(post, viewer);
        }
        let Some(reply_to) = post.reply_to else {
            return true;
        };
        let Some(parent) = self.get(reply_to.post) else {
            return false;
        };
        if !parent.is_secondary() {
            return true;
        }
        let (Some(root), Some(above)) = (post.root, parent.reply_to) else {
            return false;
        };
        let replied_to = reply_to.author.unwrap_or(parent.author);
        above.post == root.post && followed.contains(&replied_to)
    }

    fn shows_video(&self, post: &Record, request: &ReadRequest<'_>) -> bool {
        let Some(source) = post.repost_of else {
            return false;
        };
        let Some(source) = self.get(source.post) else {
            return false;
        };
        post.kind == PostKind::Repost
            && source.kind != PostKind::Reply
            && source.has_video()
            && self.repeats_another(post, request.viewer)
    }
}
