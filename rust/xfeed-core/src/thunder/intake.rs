//! The door of a store that stands alone: what may come in, and what became of it.
//!
//! The [`World`](crate::world) has its own door; both end in [`PostStore::insert`]. Here a post that is
//! too old or too far ahead is refused before it costs anything, one by one, so that a bad post never
//! takes others with it.

use crate::clock::{UnixMs, before};
use crate::event::{Body, Event, Post, Reject};
use crate::ids::Id;
use crate::thunder::{Inserted, PREFETCHED, PostStore, Record, StoreSettings};

/// Trimming runs when time has moved on by this part of the retention.
const TRIMS_PER_RETENTION: u64 = 48;

/// Authors whose old posts are cleared away while readers wait.
const SWEEP_AUTHORS: u32 = 1024;

/// Which times pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// The present; `None` takes the time of the newest post for it and refuses nothing as too new.
    pub now_ms: Option<UnixMs>,
    /// How far ahead of the present a post may be: clocks of senders differ.
    pub max_future_ms: u64,
}

macro_rules! outcomes {
    ($($variant:ident $name:literal $refused:literal $message:literal,)*) => {
        /// What became of one row or one event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Outcome {
            $(#[doc = $message] $variant,)*
        }

        impl Outcome {
            /// Every outcome, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether what came is not in the store.
            pub fn is_refused(self) -> bool {
                match self { $(Self::$variant => $refused,)* }
            }

            /// What it means.
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

outcomes! {
    Added "added" false "the post is there",
    AddedDeleted "added_deleted" false "the post is there and hidden: its delete came first",
    Known "known" false "the same post was there",
    Deleted "deleted" false "the delete holds",
    Undeleted "undeleted" false "the undelete holds, unless a later delete is known",
    Edited "edited" false "an edit changes nothing that the store keeps",
    Nullcast "nullcast" false "a post that is an advert only is not kept",
    Conflict "conflict" true "another post has this id; the first one stands",
    OverCap "over_cap" true "its author has so many newer posts that it is not kept",
    OverBudget "over_budget" true "it is older than what the memory budget has let go",
    BadTime "bad_time" true "its time is outside 0 ..= 2^48 - 1 milliseconds",
    TooOld "too_old" true "it is older than the retention",
    InTheFuture "in_the_future" true "its time is further ahead than `max_future_ms` allows",
    PointsAtItself "points_at_itself" true "it answers, repeats or quotes itself",
    Contradiction "contradiction" true "a repost is nothing else, a root needs a reply, and the author \
        of another post comes with that post",
    BadKind "bad_kind" true "its kind is none of 0 ..= 3, or not the one that its columns say",
    BadMedia "bad_media" true "its kind of media is none of 0 ..= 4, or a duration does not go with it",
    NotForTheStore "not_for_the_store" true "the store takes post, edit, delete and undelete only",
}

/// A store and what its door has to remember.
#[derive(Debug)]
pub struct Intake {
    store: PostStore,
    /// Time of the newest post that was taken.
    newest_ms: UnixMs,
    next_trim_ms: UnixMs,
}

impl Intake {
    /// An empty store behind a door.
    pub fn new(settings: StoreSettings) -> Self {
        Self::around(PostStore::new(settings), 0)
    }

    /// A door before a store whose newest post is of `newest_ms`.
    pub fn around(store: PostStore, newest_ms: UnixMs) -> Self {
        Self {
            store,
            newest_ms,
            next_trim_ms: 0,
        }
    }

    /// The store.
    pub fn store(&self) -> &PostStore {
        &self.store
    }

    /// Time of the newest post that was taken; 0 when there was none.
    pub fn newest_ms(&self) -> UnixMs {
        self.newest_ms
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.store.clear();
        self.newest_ms = 0;
        self.next_trim_ms = 0;
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event, door: Door) -> Outcome {
        let is_ahead = door.is_ahead(event.at_ms);
        match &event.body {
            Body::Post(_) | Body::Delete { .. } if is_ahead => Outcome::InTheFuture,
            Body::Post(post) if post.nullcast => Outcome::Nullcast,
            Body::Post(post) => self.add(&Record::of(post, event.at_ms), door),
            Body::Edit { .. } => Outcome::Edited,
            Body::Delete { post, undo } => self.set_deleted(*post, event.at_ms, !undo),
            _ => Outcome::NotForTheStore,
        }
    }

    /// Takes events one after the other, unless they were refused before, and tells what became of
    /// each.
    pub fn apply_all<'a>(
        &mut self,
        events: &'a [std::result::Result<Event, Reject>],
        door: Door,
        mut tell: impl FnMut(std::result::Result<Outcome, &'a Reject>),
    ) {
        for group in events.chunks(PREFETCHED) {
            let posts = group
                .iter()
                .flatten()
                .filter_map(|event| match &event.body {
                    Body::Post(post) => Some((post.id, post.author)),
                    _ => None,
                });
            self.store.prefetch(posts);
            for event in group {
                tell(event.as_ref().map(|event| self.apply(event, door)));
            }
        }
    }

    /// Takes posts one after the other, unless they were refused before, and tells what became of
    /// each.
    pub fn add_all(
        &mut self,
        posts: &[std::result::Result<Record, Outcome>],
        door: Door,
        mut tell: impl FnMut(Outcome),
    ) {
        for group in posts.chunks(PREFETCHED) {
            let there = group.iter().flatten();
            self.store
                .prefetch(there.map(|record| (record.id, record.author)));
            for post in group {
                tell(match post {
                    Ok(record) => self.add(record, door),
                    Err(outcome) => *outcome,
                });
            }
        }
    }

    /// Takes one post.
    pub fn add(&mut self, record: &Record, door: Door) -> Outcome {
        let created_ms = record.created_ms;
        if door.is_ahead(created_ms) {
            return Outcome::InTheFuture;
        }
        let now_ms = door.now_ms.unwrap_or(self.newest_ms);
        let oldest_ms = before(now_ms, self.store.settings().retention_ms);
        if created_ms < oldest_ms.max(self.store.hidden_before()) {
            return Outcome::TooOld;
        }
        let outcome = match self.store.insert(record) {
            Inserted::Added => Outcome::Added,
            Inserted::AddedDeleted => Outcome::AddedDeleted,
            Inserted::Known => Outcome::Known,
            Inserted::Conflict => Outcome::Conflict,
            Inserted::OverCap => Outcome::OverCap,
            Inserted::OverBudget => Outcome::OverBudget,
            Inserted::BadTime => Outcome::BadTime,
        };
        if !outcome.is_refused() {
            self.newest_ms = self.newest_ms.max(created_ms);
        }
        outcome
    }

    /// Takes a delete or an undelete of a post, known or not.
    pub fn set_deleted(&mut self, post: Id, at_ms: UnixMs, deleted: bool) -> Outcome {
        self.store.set_deleted(post, at_ms, deleted);
        if deleted {
            Outcome::Deleted
        } else {
            Outcome::Undeleted
        }
    }

    /// Hides what is older than the retention at `now_ms`. [`Intake::sweep`] clears it away in pieces
    /// between which readers get in, and [`Intake::end_trim`] forgets old deletes.
    pub fn begin_trim(&mut self, now_ms: UnixMs) {
        let step = self.store.settings().retention_ms / TRIMS_PER_RETENTION;
        let step = i64::try_from(step).unwrap_or(i64::MAX).max(1);
        self.next_trim_ms = now_ms.saturating_add(step);
        self.store.hide_before(now_ms);
    }

    /// The moment of the trim that is due now that a batch is in, if one is.
    pub fn due_trim(&self, door: Door) -> Option<UnixMs> {
        let now_ms = door.now_ms.unwrap_or(self.newest_ms);
        (now_ms >= self.next_trim_ms).then_some(now_ms)
    }

    /// Clears away hidden posts of some authors; returns whether there may be more.
    pub fn sweep(&mut self) -> bool {
        self.store.sweep(SWEEP_AUTHORS)
    }

    /// Forgets deletes that were said before the retention, of posts that are gone.
    pub fn end_trim(&mut self) {
        self.store.end_trim();
    }
}

impl Door {
    fn is_ahead(self, at_ms: UnixMs) -> bool {
        let allowed = i64::try_from(self.max_future_ms).unwrap_or(i64::MAX);
        self.now_ms
            .is_some_and(|now_ms| at_ms > now_ms.saturating_add(allowed))
    }
}

impl Record {
    /// What the store keeps of a post made at `created_ms`.
    pub fn of(post: &Post, created_ms: UnixMs) -> Self {
        Self {
            id: post.id,
            author: post.author,
            created_ms,
            kind: post.kind(),
            media_kind: post.media_kind,
            media_duration_ms: post.media_duration_ms,
            reply_to: post.reply_to,
            root: post.root,
            repost_of: post.repost_of,
            quote_of: post.quote_of,
        }
    }
}
